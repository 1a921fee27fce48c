"""Ranges of tensors: histograms that grow with what they see, and the choice of a range from one.

Bins lie at whole multiples of the width from 0 on; where values fall outside, the width doubles and neighbouring bins
join, so that one pass over the calibration images is enough and memory does not depend on their number.
"""

import numpy as np

from ohmweave.sim.quantise.options import QuantiseOptions

__all__ = ["Histogram", "choose_range", "shrunk_steps"]

BINS = 4096
#: Shares of each end of the whole range that `mse` tries, every one with every other, and factors that refine them.
COARSE = np.geomspace(1.0, 1 / 32, 21)
FINE = np.linspace(0.84, 1.16, 33)


class Histogram:
    """Values of one tensor: counts of bins `first` … of `width`, the least and the greatest value."""

    def __init__(self) -> None:
        self.low = 0.0  # 0 is always inside: padding and ReLU need it exactly
        self.high = 0.0
        self.width = 0.0
        self.first = 0
        self.counts = np.zeros(1, np.int64)

    def add(self, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise FloatingPointError
        self.low, self.high = min(self.low, low), max(self.high, high)
        span = max(self.high, -self.low)
        if span == 0:
            self.counts[-self.first] += values.size
            return
        if self.width == 0:
            zeros, self.first = int(self.counts.sum()), 0
            self.width = 2.0 ** np.ceil(np.log2(span / (BINS // 2)))
            self.counts = np.array([zeros], np.int64)
        while span / self.width >= BINS:
            self._double()
        index = np.floor(values.reshape(-1) * np.float32(1 / self.width)).astype(np.int32)
        first = min(self.first, int(index.min()))
        last = max(self.first + len(self.counts), int(index.max()) + 1)
        counts = np.bincount(index - first, minlength=last - first)
        counts[self.first - first : self.first - first + len(self.counts)] += self.counts
        self.first, self.counts = first, counts

    def _double(self) -> None:
        if self.first % 2:
            self.first -= 1
            self.counts = np.concatenate([[0], self.counts])
        if len(self.counts) % 2:
            self.counts = np.concatenate([self.counts, [0]])
        self.counts = self.counts.reshape(-1, 2).sum(1)
        self.first //= 2
        self.width *= 2

    @property
    def centres(self) -> np.ndarray:
        """Of the bins; the first and the last not beyond the values seen."""
        centres = (np.arange(len(self.counts)) + self.first + 0.5) * self.width
        # ReLU's zeros are most values: they stand for 0, not for half a bin.
        if self.low == 0 and self.first == 0:
            centres[0] = 0.0
        return np.clip(centres, self.low, self.high)


def choose_range(histogram: Histogram, bits: int, options: QuantiseOptions) -> tuple[float, float]:
    """Least and greatest number that is to be represented; 0 is between them."""
    low, high = histogram.low, histogram.high
    if options.range == "minmax" or low == high:
        return low, high
    counts, centres = histogram.counts, histogram.centres
    if options.range == "percentile":
        rare = (1 - options.percentile / 100) * counts.sum()
        if low < 0:
            rare /= 2
        below, above = np.cumsum(counts), np.cumsum(counts[::-1])
        if low < 0:
            low = min(0.0, max(low, float(centres[np.searchsorted(below, rare, side="right")])))
        high = max(0.0, min(high, float(centres[::-1][np.searchsorted(above, rare, side="right")])))
        return (low, high) if high > low else (histogram.low, histogram.high)
    seen = counts > 0
    counts, centres = counts[seen].astype(float), centres[seen]

    def error(low: float, high: float) -> float:
        step = (high - low) / ((1 << bits) - 1)
        zero = np.rint(-low / step)
        values = np.clip(np.rint(centres / step) + zero, 0, (1 << bits) - 1) - zero
        return float(((values * step - centres) ** 2 * counts).sum())

    lows, highs = (end * COARSE if end else np.zeros(1) for end in (low, high))
    best = min(((one, other) for one in lows for other in highs), key=lambda pair: error(*pair))
    for _ in range(2 if low < 0 < high else 1):  # one end after the other
        if high > 0:
            tried = np.minimum(best[1] * FINE, high)
            best = (best[0], min(tried, key=lambda end: error(best[0], end)))
        if low < 0:
            tried = np.maximum(best[0] * FINE, low)
            best = (min(tried, key=lambda end: error(end, best[1])), best[1])
    return float(best[0]), float(best[1])


def shrunk_steps(weights: np.ndarray, steps: np.ndarray, top: int) -> np.ndarray:
    """The steps of least squared error of each row of weights, among shares of `steps`."""
    best, least = steps.copy(), np.full(len(steps), np.inf)
    for share in np.linspace(1.0, 0.4, 31):
        tried = steps * share
        values = np.clip(np.rint(weights / tried[:, None]), -top, top) * tried[:, None]
        error = ((values - weights) ** 2).sum(1)
        best, least = np.where(error < least, tried, best), np.minimum(error, least)
    return best
