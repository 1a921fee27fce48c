"""Whether streams that part and meet again can flow: what comes the short way waits in a buffer of a few rows.

All readers of a stream take its pixels at the same time. Where one of them leads to a stage's side input, and another,
over more stages, to its main input, the rows that the longer way needs have to find room at the end of the shorter one.
"""

from collections.abc import Sequence

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.sim.stages import Stage

__all__ = ["check_flow"]

#: Tensor → for each row of a map how many rows of that tensor are there before it.
Needs = dict[str, np.ndarray]


def check_flow(stages: Sequence[Stage], pe: PEParams) -> None:
    """Raise `OhmweaveError` for a stage whose side tensor would wait for ever."""
    slots = pe.buffer.row_slots((1, 1))
    needs: dict[str, Needs] = {}
    for stage in stages:
        main = _needs(needs, stage.main.name, stage.main.shape[1])
        through = {name: rows[_rows(stage) - 1] for name, rows in main.items()}
        if stage.side is not None:
            side = _needs(needs, stage.side.name, stage.side.shape[1])
            _check(stage, through, side, slots)
            for name, rows in side.items():
                through[name] = np.maximum(through[name], rows) if name in through else rows
        needs[stage.result.name] = through


def _needs(needs: dict[str, Needs], name: str, height: int) -> Needs:
    """Those of a tensor, itself included."""
    return {**needs.get(name, {}), name: np.arange(1, height + 1)}


def _rows(stage: Stage) -> np.ndarray:
    """Rows of the main tensor that each row of the results needs."""
    height = stage.main.shape[1]
    rows = np.arange(1, stage.result.shape[1] + 1)
    if stage.whole_frame:
        return np.full(len(rows), height)
    if stage.pool is not None:
        pool = stage.pool
        rows = np.minimum((rows - 1) * pool.stride[0] + pool.kernel[0] - pool.pads[0], stage.pixels[0])
    in_map = (np.maximum(rows, 1) - 1) * stage.stride[0] + stage.kernel[0] - stage.pads[0]
    return np.clip(-(-in_map // stage.spread[0]), 1, height)


def _check(stage: Stage, main: Needs, side: Needs, slots: int) -> None:
    assert stage.side is not None
    for name in (each for each in reversed(main) if each in side):  # the nearest first
        # Rows that come the short way until the buffer is full of those behind the one that is wanted.
        held = np.append(side[name][slots - 1 :], [np.iinfo(np.int64).max] * min(slots - 1, len(main[name])))
        short = main[name] - held[: len(main[name])]
        if short.max() > 0:
            raise OhmweaveError(
                f"{stage.name} adds {stage.side.name}, of which {slots} rows can wait: {short.max()} more rows "
                f"of {name} come before {stage.main.name}"
            )
