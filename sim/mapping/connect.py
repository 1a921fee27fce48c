"""Stages that read what other stages give, without a host between them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph import Flatten, Graph, Select, Tensor
from ohmweave.sim.stages import MOVES, Scale, Stage, passed, steps

__all__ = ["channelwise", "connected", "crossings", "narrowed", "of_channels"]


def connected(graph: Graph) -> list[Stage]:
    """The stages of a graph; `OhmweaveError` for one that only a host can feed."""
    same: dict[str, Tensor] = {}
    found = []
    for step in steps(graph):
        if isinstance(step, Stage):
            found.append(_connected(step, same))
        elif isinstance(step, Flatten) and graph.tensors[step.input].shape[1:] == (1, 1):
            same[step.name] = same.get(step.input, graph.tensors[step.input])
        elif isinstance(step, Select) and (stage := _chosen(graph, step)) is not None:
            found.append(_connected(stage, same))
        else:
            assert isinstance(step, MOVES)
            raise OhmweaveError(f"{step.name} moves numbers, which only the host can do")
    return found


def crossings(stages: Sequence[Stage]) -> dict[int, Tensor]:
    """Where a network can begin and be cut: number of the stage behind, and the only map that it and those behind read.

    Its end, where nothing crosses, is there, too, with the map that leaves.
    """
    readers = {
        tensor.name: number
        for number, stage in enumerate(stages)
        for tensor in (stage.main, stage.side)
        if tensor is not None
    }
    found = {0: stages[0].main}
    made = {stages[0].main.name}
    for number, before in enumerate(stages[:-1], 1):
        made.add(before.result.name)
        crossing = {name for name in made if readers.get(name, 0) >= number}
        if crossing == {before.result.name} and not before.raw:
            found[number] = before.result
    return {**found, len(stages): stages[-1].result}


def _connected(stage: Stage, same: Mapping[str, Tensor]) -> Stage:
    if stage.expanded is not None:
        raise OhmweaveError(f"{stage.name} is sent borders beside its pixels, which only the host can do")
    main = same.get(stage.main.name, stage.main)
    side = None if stage.side is None else same.get(stage.side.name, stage.side)
    # A window of one pixel is read of every pixel that another stage gives, and not only sent those that it reads.
    stride = (stage.stride[0] * stage.sent[0], stage.stride[1] * stage.sent[1])
    return replace(stage, main=main, side=side, sent=(1, 1), stride=stride)


def _chosen(graph: Graph, node: Select) -> Stage | None:
    """Pixels on a grid, and channels, that an array passes on; None for what it cannot choose."""
    main, result = graph.tensors[node.input], graph.tensors[node.name]
    grid = tuple(-(-size // step) for size, step in zip(main.shape[1:], node.step, strict=True))
    if node.start != (0, 0) or any(node.pads) or node.size != grid:
        return None
    channels = node.channels
    weights = np.zeros((len(channels), main.shape[0], 1, 1), np.int16)
    weights[channels >= 0, channels[channels >= 0]] = 1
    stage = passed(node.name, main, graph.zero_points(node.input))
    count = len(channels)
    return replace(
        stage,
        result=result,
        weights=weights,
        stride=node.step,
        bias=np.where(channels < 0, main.zero_point, 0).astype(np.int64),
        scale=Scale(np.ones(count, np.uint16), np.zeros(count, np.int8)),
    )


def channelwise(stage: Stage) -> bool:
    """Whether each channel is made of the same channel alone."""
    outs, ins = stage.weights.shape[:2]
    return outs == ins and not stage.weights[~np.eye(outs, dtype=bool)].any()


def narrowed(stage: Stage, outs: tuple[int, int]) -> Stage:
    """A stage of channels that have nothing to do with each other, some of them alone."""
    some = slice(*outs)
    made = of_channels(stage, outs)
    return replace(
        made,
        main=_part(stage.main, outs),
        side=None if stage.side is None else _part(stage.side, outs),
        weights=made.weights[:, some],
        fill=stage.fill[some],
    )


def of_channels(stage: Stage, outs: tuple[int, int]) -> Stage:
    """A stage that gives some of the channels alone, and reads all that it read."""
    some = slice(*outs)

    def scale(whole: Scale | None) -> Scale | None:
        return None if whole is None else Scale(whole.mult[some], whole.shift[some])

    return replace(
        stage,
        result=_part(stage.result, outs),
        weights=stage.weights[some],
        main_scale=scale(stage.main_scale),
        side_scale=scale(stage.side_scale),
        bias=stage.bias[some],
        scale=scale(stage.scale),
    )


def _part(whole: Tensor, channels: tuple[int, int]) -> Tensor:
    return replace(whole, shape=(channels[1] - channels[0], *whole.shape[1:]))
