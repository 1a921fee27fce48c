"""The crossbar array in NumPy: what the other models of the macro are compared with."""

from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams

__all__ = ["CrossbarModel", "MacroModel", "pack", "unpack", "write_cells"]


def pack(values: np.ndarray, bits: int) -> int:
    """Whole numbers from 0 of `bits` bits each as one, the first in the lowest bits."""
    planes = (np.asarray(values, np.int64)[:, None] >> np.arange(bits)) & 1
    return int.from_bytes(np.packbits(planes.astype(np.uint8).ravel(), bitorder="little").tobytes(), "little")


def unpack(word: int, count: int, bits: int) -> np.ndarray:
    """The inverse of `pack`."""
    raw = np.frombuffer(word.to_bytes((count * bits + 7) // 8, "little"), np.uint8)
    planes = np.unpackbits(raw, bitorder="little", count=count * bits).reshape(count, bits)
    return planes.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))


class CrossbarModel:
    """Cells, converters and no time."""

    def __init__(self, array: ArrayParams):
        self.array = array
        self.levels = np.zeros((array.rows, array.cols), np.int64)

    def program(self, row: int, levels: np.ndarray) -> None:
        """Set the cells of one row; one beyond the last is ignored."""
        if row < self.array.rows:
            self.levels[row] = levels

    def load(self, levels: np.ndarray) -> None:
        """Set all cells, as rows × cols levels."""
        self.levels[:] = check_levels(self.array, levels)

    def read(self, x: np.ndarray, group: int) -> tuple[np.ndarray, int]:
        """Sums of the group's columns and of the reference column, as the sense units give them."""
        first = group * self.array.columns_at_once
        x = np.asarray(x, np.int64)
        sums = self._code(x @ self.levels[:, first : first + self.array.columns_at_once])
        if self.array.sign_scheme != "offset":
            return sums, 0
        return sums, int(self._code(x.sum()))

    def _code(self, sums: np.ndarray) -> np.ndarray:
        codes = np.asarray(sums) >> self.array.adc_drop
        if self.array.adc_bits is not None:
            codes = np.minimum(codes, 2**self.array.adc_bits - 1)
        return codes << self.array.adc_drop


class MacroModel:
    """The macro's ports, clock edge by clock edge, around a `CrossbarModel`."""

    def __init__(self, array: ArrayParams):
        self.cells = CrossbarModel(array)
        self.sums = 0
        self.reference = 0
        self._result = (0, 0)
        self._left = 0

    def edge(self, *, start: int, group: int, x: int, write: int, row: int, levels: int) -> bool:
        """One rising edge with the ports as they are before it; whether `sums` and `reference` are new."""
        array = self.cells.array
        if write:
            self.cells.program(row, unpack(levels, array.cols, array.cell_bits))
        if start:
            sums, reference = self.cells.read(unpack(x, array.rows, array.dac_bits), group)
            self._result = (pack(sums, array.sum_bits), reference)
            self._left = array.read_cycles
        if not self._left:
            return False
        self._left -= 1
        if self._left:
            return False
        self.sums, self.reference = self._result
        return True


def check_levels(array: ArrayParams, levels: np.ndarray) -> np.ndarray:
    """`levels`, if they are rows × cols conductance levels of the array's cells."""
    levels = np.asarray(levels)
    if levels.shape != (array.rows, array.cols):
        raise OhmweaveError(f"levels must have {array.rows} × {array.cols} cells, not {levels.shape}")
    if levels.min() < 0 or levels.max() >= 2**array.cell_bits:
        raise OhmweaveError(
            f"levels must be from 0 to {2**array.cell_bits - 1}, not from {levels.min()} to {levels.max()}"
        )
    return levels


def write_cells(folder: Path, id: int, array: ArrayParams, levels: np.ndarray) -> None:
    """Write the file from which the Verilog model loads array `id`, given `+ohmweave_cells=<folder>`."""
    digits = (array.cols * array.cell_bits + 3) // 4
    rows = (f"{pack(row, array.cell_bits):0{digits}x}\n" for row in check_levels(array, levels))
    (folder / f"{id}.hex").write_text("".join(rows))
