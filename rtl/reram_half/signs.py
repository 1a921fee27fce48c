"""Sign schemes: how the cells, which are unsigned, hold signed weights of one or several slices."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from amaranth.hdl import Mux

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams

__all__ = ["SLICES", "Offset", "Pairs", "SignScheme", "levels", "sign_scheme", "slices_of"]

#: Cells, each in a column group of its own, that a weight can be spread over.
SLICES = (1, 2, 4)


class SignScheme(ABC):
    """What a scheme says to the compiler (`magnitudes`) and to the shift-and-add (`signs`, `term`).

    Weights w of S·cell_bits bits are cut into S slices, the lowest bits first. Slice j of block b takes `signs`
    column groups, (b·S + j)·signs and those after it; each is one read for each plane of the inputs.

    A third scheme, `polarized`, fits here: rows are grouped into fragments, and in one column all weights of a
    fragment have one sign. Its `magnitudes` are |w|, in one column group a slice. A read drives the rows of one
    fragment of one plane, so that the expander counts fragments as it counts planes and the row mask has masks for
    them; there is no reference, and `term` negates by a bit for each fragment and column, from a table that is
    configured, where `Pairs` takes the one `sign` of the read for all columns.
    """

    #: Column groups of a slice.
    signs: int

    @abstractmethod
    def magnitudes(self, weights: np.ndarray, weight_bits: int) -> list[np.ndarray]:
        """Unsigned numbers of `weight_bits` bits for each of the `signs` column groups."""

    @abstractmethod
    def term(self, total: Any, *, reference: Any, top: Any, sign: Any, cell_bits: int) -> Any:
        """What the sum `total` of a column adds to the column's result, before it is shifted, in the netlist.

        reference   the reference column's sum in the same read
        top         the read is of the highest slice
        sign        which of the slice's column groups was read
        """


class Offset(SignScheme):
    """One column group a slice: cells hold w + 2^(S·cell_bits - 1), and the reference column gives Σx to take off.

    The offset is 2^(cell_bits - 1) in the highest slice, so that it is taken off there alone.
    """

    signs = 1

    def magnitudes(self, weights: np.ndarray, weight_bits: int) -> list[np.ndarray]:
        return [weights + (1 << (weight_bits - 1))]

    def term(self, total: Any, *, reference: Any, top: Any, sign: Any, cell_bits: int) -> Any:
        return Mux(top, total - (reference << (cell_bits - 1)), total)


class Pairs(SignScheme):
    """Two column groups a slice: the first has |w| where w > 0, the second where w < 0; their difference counts."""

    signs = 2

    def magnitudes(self, weights: np.ndarray, weight_bits: int) -> list[np.ndarray]:
        return [np.maximum(weights, 0), np.maximum(-weights, 0)]

    def term(self, total: Any, *, reference: Any, top: Any, sign: Any, cell_bits: int) -> Any:
        return Mux(sign, -total, total)


_SCHEMES: dict[str, SignScheme] = {"offset": Offset(), "pairs": Pairs()}


def sign_scheme(array: ArrayParams) -> SignScheme:
    """The scheme of an array."""
    return _SCHEMES[array.sign_scheme]


def slices_of(weight_bits: int, array: ArrayParams) -> int:
    """Slices of weights of so many bits; `OhmweaveError` where the array has no such weights."""
    accepted = [slices * array.cell_bits for slices in SLICES]
    if weight_bits not in accepted:
        raise OhmweaveError(
            f"weight_bits must be one of {', '.join(map(str, accepted))} with cells of {array.cell_bits} bits, "
            f"not {weight_bits!r}"
        )
    return weight_bits // array.cell_bits


def levels(weights: np.ndarray, weight_bits: int, array: ArrayParams) -> np.ndarray:
    """Levels of the cells for signed `weights`, rows × channels.

    Channel c is column c mod columns_at_once of block c div columns_at_once. Columns come in the order in which the
    array has them: for each block, for each slice, for each sign, columns_at_once of them. Channels that fill the
    last block up are zero weights. Gives rows × (blocks · slices · signs · columns_at_once) of uint8.

    Raises `OhmweaveError` if the array has no weights of `weight_bits`, or a weight lies outside of them.
    """
    slices, at_once = slices_of(weight_bits, array), array.columns_at_once
    weights = np.asarray(weights, np.int64)
    limit = 1 << (weight_bits - 1)
    if weights.size and (weights.min() < -limit or weights.max() >= limit):
        raise OhmweaveError(
            f"weights of {weight_bits} bits must be from {-limit} to {limit - 1}, "
            f"not from {weights.min()} to {weights.max()}"
        )
    rows, channels = weights.shape
    blocks = -(-channels // at_once)
    padded = np.zeros((rows, blocks * at_once), np.int64)
    padded[:, :channels] = weights
    # Axes: row, block, slice, sign, column.
    signs = np.stack(sign_scheme(array).magnitudes(padded, weight_bits)).reshape(-1, rows, blocks, at_once)
    steps = np.arange(slices)[:, None, None, None, None] * array.cell_bits
    cells = (signs[None] >> steps) & ((1 << array.cell_bits) - 1)
    return cells.transpose(2, 3, 0, 1, 4).reshape(rows, -1).astype(np.uint8)
