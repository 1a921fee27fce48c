"""Averages that leave their border out, as nodes of an integer graph.

A window at the border of a map is divided by the number of its places that lie inside. A node's sums have one scale
for all pixels, and so windows of different numbers of places are different nodes: each a `SumPool`, with the kernel
and the scale of what lies inside, of the part of the map that its windows reach, all put together over space. Of a
window of 3×3 with a border of 1 that makes nine: four corners, four edges and the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmweave.sim.graph_base import Node, Pads, Pair, window_count
from ohmweave.sim.graph_nodes import CONCAT_AXES, MAX_PARTS, Concat, Select, SumPool

__all__ = ["MAX_PARTS", "Span", "average_nodes", "average_parts"]


@dataclass(frozen=True)
class Span:
    """Neighbouring windows along one side of a map that have equally many places inside it.

    start   first place of the first window that is inside
    length  places of each window inside
    step    from one window to the next
    count   of windows
    """

    start: int
    length: int
    step: int = 1
    count: int = 1

    @property
    def extent(self) -> int:
        """Places from the first to the last."""
        return (self.count - 1) * self.step + self.length

    def covers(self, size: int) -> bool:
        """Whether they are all windows of that length and step of a map of that size."""
        return self.start == 0 and window_count(size, self.length, self.step, 0) == self.count


def _spans(size: int, kernel: int, stride: int, before: int, after: int) -> tuple[Span, ...]:
    """All windows along a side of a map with that border, in order.

    Windows that see the border on both sides are equal, and so are their spans.
    """
    found: list[Span] = []
    index, windows = 0, window_count(size, kernel, stride, before + after)
    while index < windows:
        first = index * stride - before
        low, high = max(first, 0), min(first + kernel, size)
        count = window_count(size - first, kernel, stride, 0) if first >= 0 else 0
        if count > 1:  # the windows inside, which are as far apart as they were
            found.append(Span(low, kernel, stride, count))
        else:
            found.append(Span(low, high - low))
        index += found[-1].count
    return tuple(found)


def _both(
    size: tuple[int, ...], kernel: Pair, stride: Pair, pads: Pads
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    rows, columns = (_spans(size[i], kernel[i], stride[i], pads[i], pads[2 + i]) for i in (0, 1))
    return rows, columns


def average_parts(size: Pair, *, kernel: Pair, stride: Pair, pads: Pads) -> int:
    """Parts that such an average of a map of height and width `size` is put together of."""
    rows, columns = _both(size, kernel, stride, pads)
    return len(rows) * len(columns)


def average_nodes(
    name: str,
    source: str,
    shape: tuple[int, int, int],
    *,
    kernel: Pair,
    stride: Pair,
    pads: Pads,
    scaled: Callable[[int], Mapping[str, Any]],
    label: Callable[[str], str],
) -> list[Node]:
    """Nodes of an average that leaves its border out, at most MAX_PARTS parts.

    name    of the last node, the average
    source  the tensor that is averaged, and its shape
    pads    (top, left, bottom, right), each less than the kernel
    scaled  fields of a `SumPool` whose windows have so many places: bias, scale, and the same output of all
    label   name of an inner node, of a suffix
    """
    rows, columns = _both(shape[1:], kernel, stride, pads)
    nodes: list[Node] = []
    bands: dict[Span, str] = {}
    # Equal windows are computed once.
    for y, row in enumerate(dict.fromkeys(rows)):
        band = name if len(rows) == 1 else label(f"rows{y}")
        parts: dict[Span, str] = {}
        for x, column in enumerate(dict.fromkeys(columns)):
            part, seen = band if len(columns) == 1 else label(f"part{y}_{x}"), source
            if not (row.covers(shape[1]) and column.covers(shape[2])):
                seen = label(f"seen{y}_{x}")
                nodes.append(
                    Select(
                        name=seen, input=source, channels=np.arange(shape[0], dtype=np.int32),
                        start=(row.start, column.start), size=(row.extent, column.extent),
                    )
                )  # fmt: skip
            window = (row.length, column.length)
            nodes.append(
                SumPool(
                    name=part, input=seen, kernel=window, stride=(row.step, column.step),
                    **scaled(window[0] * window[1]),
                )
            )  # fmt: skip
            parts[column] = part
        nodes += _joined(band, [parts[column] for column in columns], CONCAT_AXES[2])
        bands[row] = band
    return nodes + _joined(name, [bands[row] for row in rows], CONCAT_AXES[1])


def _joined(name: str, parts: list[str], axis: str) -> list[Node]:
    return [Concat(name=name, parts=tuple(parts), axis=axis)] if len(parts) > 1 else []
