"""Runs a graph on the chip one round of passes of one stage after the other, the chip configured anew for each.

Between stages the host keeps the maps and arranges what the next one is sent; every sum and every scaled number is
computed by the netlist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.sim.compiler import compile_pass
from ohmweave.sim.graph import Graph, Node
from ohmweave.sim.stages import Stage, arrange, sent_pixels, steps
from ohmweave.sim.tiling import Tiling

if TYPE_CHECKING:
    from ohmweave.sim.backends import Result
    from ohmweave.sim.program import Program

__all__ = ["LayersRun", "PassRun", "run_layers"]

#: Called with the number of passes done and in all.
Progress = Callable[[int, int], None]
Simulate = Callable[["Program", np.ndarray], "Result"]


@dataclass(frozen=True)
class PassRun:
    """One round of passes of a stage: the program that ran, and what the simulation measured."""

    tiling: Tiling
    program: "Program"
    result: "Result"


@dataclass(frozen=True)
class LayersRun:
    """Values (N, height, width, channels) of the output, and what each pass took."""

    values: np.ndarray
    passes: Sequence[PassRun]


def run_layers(
    graph: Graph,
    tilings: Sequence[Tiling],
    images: np.ndarray,
    params: GroupParams,
    simulate: Simulate,
    progress: Progress,
) -> LayersRun:
    """Images (N, H, W) or (N, H, W, C), uint8, through all stages of a graph.

    simulate  runs a program on frames
    """
    images = images.reshape(*images.shape[:3], -1)
    values = {graph.input.name: images >> (8 - graph.input.bits)}
    todo = steps(graph)
    last_reader = {name: place for place, step in enumerate(todo) for name in _read(step)}
    by_name = {tiling.stage.result.name: tiling for tiling in tilings}
    total = sum(len(tiling.rounds) for tiling in tilings)
    passes: list[PassRun] = []
    for place, step in enumerate(todo):
        if isinstance(step, Stage):
            tiling = by_name[step.result.name]
            parts = []
            for number in range(len(tiling.rounds)):
                progress(len(passes), total)
                run = _run_pass(tiling, number, values, params, simulate)
                passes.append(run)
                parts.append(run.program.decode(run.result.outputs))
            dtype = np.int64 if step.raw else np.uint8 if step.result.bits <= 8 else np.uint16
            values[step.result.name] = np.concatenate(parts, axis=3).astype(dtype)
        else:
            values[step.name] = arrange(graph, step, values)
        # What nobody reads any more is forgotten.
        for name in [name for name, reader in last_reader.items() if reader == place]:
            values.pop(name, None)
    progress(total, total)
    return LayersRun(values[graph.output.name], passes)


def _read(step: Stage | Node) -> tuple[str, ...]:
    """Tensors that a step reads."""
    if isinstance(step, Stage):
        return (step.main.name,) if step.side is None else (step.main.name, step.side.name)
    return step.inputs


def _run_pass(
    tiling: Tiling, number: int, values: dict[str, np.ndarray], params: GroupParams, simulate: Simulate
) -> PassRun:
    stage = tiling.stage
    program = compile_pass(tiling, number, params)
    side = None
    if stage.side is not None:
        among = tiling.rounds[number]
        first, behind = among[0][0], among[-1][1]
        side = _on_grid(stage.stride, values[stage.side.name][..., first:behind])
    frames = program.encode(sent_pixels(stage, values[stage.main.name]), side)
    return PassRun(tiling, program, simulate(program, frames))


def _on_grid(stride: tuple[int, int], side: np.ndarray) -> np.ndarray:
    """The side tensor's numbers beside the pixels of the main tensor on which their windows begin."""
    if stride == (1, 1):
        return side
    count, height, width, channels = side.shape
    rows, columns = ((height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1)
    grid = np.zeros((count, rows, columns, channels), side.dtype)
    grid[:, :: stride[0], :: stride[1]] = side
    return grid
