"""What the array's reads of a window come to: sums of columns, shifted and added up."""

import numpy as np

from ohmweave.params import PEParams
from ohmweave.rtl.reram_half.row_mask import plane_shares
from ohmweave.rtl.reram_half.signs import sign_scheme

__all__ = ["Reads"]

#: Whole numbers that the types of floating point hold exactly.
EXACT = ((np.float32, 1 << 24), (np.float64, 1 << 53))


class Reads:
    """All reads of a window by one R-type instruction.

    levels          of the array's cells (rows, cols)
    blocks          of results, in their order
    slices, planes  logarithms of their numbers; split, of the pixels in a word
    """

    def __init__(
        self, params: PEParams, levels: np.ndarray, *, blocks: list[int], slices: int, planes: int, split: int
    ):
        self._params = params
        self._array = array = params.array
        self._levels = levels.astype(np.int64)
        self._slices, self._planes = 1 << slices, 1 << planes
        signs = sign_scheme(array).signs
        at_once = array.columns_at_once
        self._offset = array.sign_scheme == "offset"
        # Column groups: block, slice, sign.
        groups = (np.array(blocks)[:, None, None] * self._slices + np.arange(self._slices)[:, None]) * signs
        groups = np.minimum(groups + np.arange(signs), array.colmux - 1)
        self._columns = (groups[..., None] * at_once + np.arange(at_once)).transpose(1, 2, 0, 3)
        self._columns = self._columns.reshape(self._slices, signs, -1)
        share = plane_shares(params.buffer, split, planes)
        lanes = np.arange(params.buffer.window_lanes) % params.buffer.lanes
        self._plane = np.zeros_like(lanes) if planes == 0 else lanes // share % self._planes
        self.channels = len(blocks) * at_once
        if array.lossless:
            self._weights = self._joined()
            bound = int(np.abs(self._weights).sum(axis=0).max(initial=0)) * ((1 << array.dac_bits) - 1)
            self._type = next((kind for kind, most in EXACT if bound < most), np.int64)
            self._weights = self._weights.astype(self._type)

    def _joined(self) -> np.ndarray:
        """What a row's input counts for in each result, where the sense units lose nothing."""
        array = self._array
        total = np.zeros((array.rows, self.channels), np.int64)
        for slice_ in range(self._slices):
            for sign, columns in enumerate(self._columns[slice_]):
                term = self._levels[:, columns] << (array.cell_bits * slice_)
                total += -term if sign else term
        if self._offset:
            total -= 1 << (array.cell_bits * self._slices - 1)
        return total << (array.dac_bits * self._plane)[:, None]

    def results(self, windows: np.ndarray) -> np.ndarray:
        """Results (n, channels) of windows (n, rows)."""
        if self._array.lossless:
            return self._wrapped((windows.astype(self._type) @ self._weights).astype(np.int64))
        array = self._array
        total = np.zeros((len(windows), self.channels), np.int64)
        for plane in range(self._planes):
            x = np.where(self._plane == plane, windows, 0).astype(np.float64)
            reference = self._sensed(x.sum(axis=1, keepdims=True))
            for slice_ in range(self._slices):
                shift = array.cell_bits * slice_ + array.dac_bits * plane
                for sign, columns in enumerate(self._columns[slice_]):
                    sums = self._sensed(x @ self._levels[:, columns].astype(np.float64))
                    if self._offset and slice_ == self._slices - 1:
                        sums = sums - (reference << (array.cell_bits - 1))
                    total += (-sums if sign else sums) << shift
        return self._wrapped(total)

    def _sensed(self, sums: np.ndarray) -> np.ndarray:
        """Codes of the sense units, dropped bits put back as zeros."""
        codes = sums.astype(np.int64) >> self._array.adc_drop
        if self._array.adc_bits is not None:
            codes = np.minimum(codes, (1 << self._array.adc_bits) - 1)
        return codes << self._array.adc_drop

    def _wrapped(self, totals: np.ndarray) -> np.ndarray:
        """Lanes count modulo 2^lane_bits."""
        unused = 64 - self._params.lane_bits
        return (totals << unused) >> unused
