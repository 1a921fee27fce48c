"""All tables of a library side by side, so that NumPy looks thousands of values up at once."""

from collections.abc import Sequence

import numpy as np

from ohmweave.sim.synthesis.cells import Table

__all__ = ["Tables"]


class Tables:
    """Tables by number, axes padded to the longest."""

    def __init__(self, tables: Sequence[Table]):
        rows = max((len(table.slews) for table in tables), default=1)
        columns = max((len(table.loads) for table in tables), default=1)
        count = len(tables)
        self.slews = np.full((count, rows), np.inf)
        self.loads = np.full((count, columns), np.inf)
        self.values = np.zeros((count, rows, columns))
        self.sizes = np.ones((2, count), np.int64)
        for number, table in enumerate(tables):
            height, width = table.values.shape
            self.slews[number, :height] = table.slews
            self.loads[number, :width] = table.loads
            self.values[number, :height, :width] = table.values
            self.sizes[:, number] = height, width

    def at(self, which: np.ndarray, slew: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Values of tables `which`, each at its slew and load, as `Table.at` gives them."""
        row, down = _place(self.slews[which], slew, self.sizes[0][which])
        column, across = _place(self.loads[which], load, self.sizes[1][which])
        below = np.minimum(row + 1, self.sizes[0][which] - 1)
        beside = np.minimum(column + 1, self.sizes[1][which] - 1)
        left = self.values[which, row, column]
        left = left + (self.values[which, below, column] - left) * down
        right = self.values[which, row, beside]
        right = right + (self.values[which, below, beside] - right) * down
        return left + (right - left) * across


def _place(axes: np.ndarray, values: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index at or below each value, not the last one, and how far towards the next; 0 and 0 on axes of one."""
    index = np.clip((axes <= values[:, None]).sum(axis=1) - 1, 0, np.maximum(sizes - 2, 0))
    rows = np.arange(len(values))
    low = axes[rows, index]
    step = axes[rows, np.minimum(index + 1, sizes - 1)] - low
    single = sizes == 1
    return index, np.where(single, 0.0, (values - low) / np.where(single, 1.0, step))
