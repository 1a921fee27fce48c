"""Structured pruning: whole output channels of a convolution that weigh least.

A pruned channel is zero everywhere. It can be taken out of the graph, with the weights that read it (`pruned`), or
stay in the array, where the index table of the PE skips its columns (`skipped`): a block of columns that is not read
costs no cycles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.sim.graph import Add, Conv, Flatten, Graph, MaxPool, Node, Scaled, Select, SumPool
from ohmweave.sim.stages import Stage
from ohmweave.sim.tiling import Columns, Tiling, tile

__all__ = ["Pruned", "kept_channels", "prune", "skipped"]


@dataclass(frozen=True, eq=False)
class Pruned:
    """A graph without the channels that were pruned.

    node   the convolution
    kept   its channels that are left, ascending
    """

    graph: Graph
    node: str
    kept: np.ndarray


def kept_channels(weights: np.ndarray, share: float) -> np.ndarray:
    """Channels that are left, ascending, where `share` of them are pruned: those of the largest L1 norm."""
    channels = len(weights)
    if not 0 <= share < 1:
        raise OhmweaveError(f"the share that is pruned must be from 0 to less than 1, not {share!r}")
    count = channels - round(channels * share)
    if not count:
        raise OhmweaveError(
            f"the share that is pruned must leave a channel, and {share!r} of {channels} leaves none"
        )
    norms = np.abs(weights.astype(np.int64)).reshape(channels, -1).sum(axis=1)
    # The first of equal ones stay.
    return np.sort(np.argsort(-norms, kind="stable")[:count])


def prune(graph: Graph, node: str, share: float) -> Pruned:
    """Prune `share` of the output channels of a convolution.

    What reads them reads fewer channels; where they are padding or a number's zero point, biases take it over. Raises
    `OhmweaveError` for what is no convolution, for a graph's last node, and where a reader needs all channels: sums
    of several tensors, residuals, grouped convolutions.
    """
    nodes = {each.name: each for each in graph.nodes}
    conv = nodes.get(node)
    if not isinstance(conv, Conv):
        raise OhmweaveError(f"{node} is no convolution of the graph {graph.name}")
    if conv.raw or conv.groups > 1 or conv.residual is not None:
        raise conv.refuse("the last node, and grouped ones and those with a residual, cannot be pruned")
    kept = kept_channels(conv.weights, share)
    #: Channels that are left of each tensor that lost some.
    left = {node: kept}
    made: list[Node] = []
    for each in graph.nodes:
        if each.name == node:
            made.append(_outputs(conv, kept))
            continue
        lost = [name for name in each.inputs if name in left]
        made.append(_reader(graph, each, left) if lost else each)
    return Pruned(replace(graph, nodes=tuple(made)), node, kept)


def _outputs(node: Scaled, kept: np.ndarray) -> Node:
    """The node with only these of its output channels; of a convolution, its weights too."""
    arrays = {key: getattr(node, key) for key in node.ARRAYS}
    return replace(node, **{key: value[kept] if len(value) else value for key, value in arrays.items()})


def _reader(graph: Graph, node: Node, left: dict[str, np.ndarray]) -> Node:
    """A node that reads fewer channels; `left` gets its own, if it has fewer for that."""
    kept = left.get(node.inputs[0])
    if isinstance(node, Conv) and kept is not None and node.groups == 1 and node.residual not in left:
        gone = np.setdiff1d(np.arange(node.in_channels), kept)
        # Numbers that were the zero point in every place of the window.
        zero = graph.tensors[node.input].zero_point
        missing = node.weights[:, gone].astype(np.int64).sum(axis=(1, 2, 3)) * zero
        return replace(node, weights=node.weights[:, kept], bias=node.bias + missing)
    if isinstance(node, Select) and kept is not None:
        place = np.full(graph.tensors[node.input].shape[0] + 1, -1, np.int32)
        place[kept] = np.arange(len(kept))  # the last place, where -1 points, stays
        return replace(node, channels=place[node.channels])
    if isinstance(node, MaxPool | SumPool) and kept is not None:
        left[node.name] = kept
        return node if isinstance(node, MaxPool) else _outputs(node, kept)
    if isinstance(node, Add) and kept is not None and len(node.terms) == 1:
        left[node.name] = kept
        return replace(
            node,
            **{key: getattr(node, key)[..., kept] for key in node.ARRAYS if len(getattr(node, key))},
        )
    if isinstance(node, Flatten) and kept is not None:
        _, height, width = graph.tensors[node.input].shape
        pixels = height * width
        left[node.name] = (kept[:, None] * pixels + np.arange(pixels)).reshape(-1)
        return node
    raise node.refuse("it needs all channels of what it reads")


def skipped(stage: Stage, full: Stage, kept: np.ndarray, pe: PEParams) -> tuple[Tiling, list[Columns]]:
    """A pruned stage whose arrays still hold everything, cut up, and what each pass holds.

    stage  without the pruned channels, `full` with them

    Channels can stand in any column: those that are left fill the blocks in which most of them stood already.
    """
    at_once = pe.array.columns_at_once
    whole = tile(full, pe)
    if any(first % at_once for first, _ in whole.passes):
        raise OhmweaveError(f"{full.name} does not fill whole blocks, so that none can be skipped")
    blocks = -(-full.out_channels // at_once)
    count = -(-len(kept) // at_once)
    weight = np.bincount(kept // at_once, minlength=blocks)
    chosen = np.sort(np.argsort(-weight, kind="stable")[:count])
    order = _order(full.out_channels, kept, chosen.tolist(), at_once)
    passes, columns = [], []
    done = 0
    for first, behind in whole.passes:
        mine = [block for block in chosen.tolist() if first <= block * at_once < behind]
        if not mine:
            continue
        held = min(len(mine) * at_once, len(kept) - done)
        passes.append((done, done + held))
        done += held
        columns.append(
            Columns(full.weights[order[first:behind]], tuple(block - first // at_once for block in mine))
        )
    return replace(tile(stage, pe), passes=tuple(passes)), columns


def _order(channels: int, kept: np.ndarray, chosen: Sequence[int], at_once: int) -> np.ndarray:
    """The channel in each column: those kept, in order, in the chosen blocks, the others wherever there is room."""
    order = np.full(channels, -1)
    places = np.concatenate(
        [np.arange(block * at_once, min((block + 1) * at_once, channels)) for block in chosen]
    )
    if len(places) < len(kept):  # the last block, which may be short, was among them
        raise OhmweaveError("the channels that are left do not fit the blocks that are read")
    order[places[: len(kept)]] = kept
    order[order < 0] = np.setdiff1d(np.arange(channels), kept)
    return order
