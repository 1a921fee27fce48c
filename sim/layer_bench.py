"""The layers of ResNet-18 and ResNet-34, each alone on the netlist: every output checked, cycles against their bounds.

An interval is bounded by four things, of which the largest binds:

    arrays        windows × column groups × reads of a result × cycles of a read
    partial sums  bits of what a PE hands to the next, over a link, where the rows need several PEs
    input         flits of a frame
    output        flits of its results

Columns beyond an array's stand on rows of PEs side by side, of which the longest counts; where the chip has too few
PEs they take rounds, one after the other, whose bounds add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ohmweave.params import GroupParams, PEParams
from ohmweave.sim import graph_golden
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.frames import flits_per_frame
from ohmweave.sim.graph import Conv, Graph, MaxPool, Node, Tensor
from ohmweave.sim.graph_base import RAW_BITS
from ohmweave.sim.pe_config import leaving_bits, partial_bits
from ohmweave.sim.prune import prune, skipped
from ohmweave.sim.stage_program import blocks
from ohmweave.sim.stages import sent_pixels, stages
from ohmweave.sim.tiling import Columns, Tiling

__all__ = [
    "LAYERS", "POOLED", "PRUNED", "Bounds", "Layer", "Measured", "bounds", "layer_graph", "layer_images",
    "layer_params", "measure_layer", "measure_passes", "measure_pruned",
]  # fmt: skip

BITS = 4


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One shape of a convolution.

    size       height and width of its input
    pool       whether a maximum of 3×3 at stride 2 follows
    logits     whether its sums leave as they are, as those of the last layer do
    link_bits  of the chip that it is measured on
    target     most that its interval may be of its bound
    """

    name: str
    channels: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1
    pool: bool = False
    logits: bool = False
    link_bits: int = 16
    target: float = 1.03

    @property
    def pad(self) -> int:
        return self.kernel // 2


def _layer(kernel: int, channels: int, outputs: int, size: int, stride: int = 1, **more: Any) -> Layer:
    step = "" if stride == 1 else f"/{stride}"
    plain = stride == 1 and kernel != 7
    return Layer(
        name=f"{kernel}×{kernel}{step} {channels}→{outputs} ({size})",
        channels=channels,
        outputs=outputs,
        size=size,
        kernel=kernel,
        stride=stride,
        target=1.03 if plain else 1.05,
        **more,
    )


#: Every shape of a layer with weights of ResNet-18 and ResNet-34 for images of 224×224. Where frames on links of 16
#: bits would take longer than the array needs for them, the links have 32.
LAYERS: tuple[Layer, ...] = (
    _layer(7, 3, 64, 224, 2),
    _layer(3, 64, 64, 56),
    _layer(3, 64, 128, 56, 2, link_bits=32),
    _layer(1, 64, 128, 56, 2),
    _layer(3, 128, 128, 28),
    _layer(3, 128, 256, 28, 2, link_bits=32),
    _layer(1, 128, 256, 28, 2),
    _layer(3, 256, 256, 14),
    _layer(3, 256, 512, 14, 2),
    _layer(1, 256, 512, 14, 2, link_bits=32),
    _layer(3, 512, 512, 7),
    replace(_layer(1, 512, 1000, 1, logits=True), name="fully connected 512→1000"),
)

#: Layers that are measured with the pool behind them, and without: the only one of a ResNet, and one of many channels.
POOLED: tuple[Layer, ...] = (replace(LAYERS[0], pool=True), replace(LAYERS[1], pool=True))
#: Layers that are measured with channels pruned: links wide enough that frames come as fast as few reads want them.
PRUNED: tuple[Layer, ...] = tuple(replace(layer, link_bits=64) for layer in (LAYERS[1], LAYERS[4]))


@dataclass(frozen=True)
class Bounds:
    """Cycles from frame to frame that each part takes at least, all passes together; 0 for what is not used.

    arrays    reads
    partials  partial sums on a link
    input     flits of a frame
    output    flits of its results
    """

    arrays: int
    partials: int
    input: int
    output: int

    @property
    def binding(self) -> str:
        """Name of the largest."""
        return max(("arrays", "partials", "input", "output"), key=lambda name: int(getattr(self, name)))

    @property
    def cycles(self) -> int:
        return int(getattr(self, self.binding))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the netlist took for a layer.

    pes, passes  PEs at once, and passes one after the other
    interval     cycles from frame to frame, all passes together
    latency      cycles of one frame
    busy         cycles of an interval in which the busiest array read, or held sums that nobody took yet
    wrong        outputs that are not those of the golden model, of all frames
    outputs      compared
    """

    name: str
    link_bits: int
    pes: int
    passes: int
    interval: float
    latency: int
    busy: float
    bounds: Bounds
    wrong: int
    outputs: int

    @property
    def ratio(self) -> float:
        return self.interval / self.bounds.cycles

    @property
    def waits_for_arithmetic(self) -> float:
        """Cycles of an interval in which an array held sums, for the arithmetic half or whoever is behind it."""
        return self.busy - self.bounds.arrays

    @property
    def waits_for_input(self) -> float:
        """Cycles of an interval in which no window was there to be read."""
        return self.interval - self.busy


def layer_params(params: GroupParams, link_bits: int) -> GroupParams:
    """The chip with links of that width."""
    return replace(params, pe=replace(params.pe, link_bits=link_bits))


def layer_graph(layer: Layer, seed: int = 1, bits: int = BITS) -> Graph:
    """The layer with seeded weights whose outputs cover all numbers; a small node that ends a graph follows it."""
    random = np.random.default_rng([seed, layer.channels, layer.outputs, layer.kernel])
    top = 1 << (bits - 1)
    shape = (layer.outputs, layer.channels, layer.kernel, layer.kernel)
    weights = random.integers(-top, top, shape).astype(np.int16)
    # Mean of each channel's sums of products of uniform numbers, and their deviation, of which ±1.5 cover the outputs.
    middle = weights.reshape(layer.outputs, -1).sum(axis=1) * ((1 << bits) - 1) / 2
    spread = np.sqrt(weights[0].size * (weights.astype(float) ** 2).mean() * ((1 << 2 * bits) - 1) / 12)
    shift = 24
    mult = (1 << bits) / (3 * spread) * (1 << shift)
    while mult * 1.2 >= 1 << 16:
        mult, shift = mult / 2, shift - 1
    scale: dict[str, Any] = {}
    if not layer.logits:
        scale = {
            "mult": (mult * random.uniform(0.8, 1.2, layer.outputs)).astype(np.uint16),
            "shift": np.full(layer.outputs, shift, np.int8),
        }
    conv = Conv(
        name="layer",
        input="image",
        weights=weights,
        weight_bits=bits,
        stride=(layer.stride, layer.stride),
        pads=(layer.pad,) * 4,
        bias=(random.uniform(0.75, 2.25, layer.outputs) * spread - middle).astype(np.int64),
        bits=RAW_BITS if layer.logits else bits,
        **scale,
    )
    nodes: list[Node] = [conv]
    if layer.pool:
        nodes.append(MaxPool(name="pool", input="layer", kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1)))
    if not layer.logits:
        nodes.append(
            Conv(
                name="end",
                input=nodes[-1].name,
                weights=np.ones((1, layer.outputs, 1, 1), np.int16),
                weight_bits=bits,
                bias=np.zeros(1, np.int64),
                bits=RAW_BITS,
            )
        )
    image = Tensor(name="image", shape=(layer.channels, layer.size, layer.size), bits=bits)
    return Graph(name="layer", input=image, nodes=tuple(nodes))


def bounds(tiling: Tiling, pe: PEParams) -> Bounds:
    """What bounds a stage's interval."""
    stage = tiling.stage
    # Rows of PEs side by side: the longest counts.
    channels = [max(behind - first for first, behind in among) for among in tiling.rounds]
    leave = [among[-1][1] - among[0][0] for among in tiling.rounds]
    _, height, width = stage.result.shape
    sent, bits = stage.sent_shape, stage.main.bits
    flits = flits_per_frame(sent[0] * sent[1] * sent[2], bits, pe.link_bits)
    partial = partial_bits(tiling) if len(tiling.shares) > 1 else 0
    leaving = leaving_bits(stage)
    return Bounds(
        arrays=tiling.windows
        * sum(blocks(each, pe) for each in channels)
        * tiling.reads
        * pe.array.read_cycles,
        partials=sum(-(-tiling.windows * each * partial // pe.link_bits) for each in channels),
        input=flits * len(tiling.rounds),
        output=sum(flits_per_frame(each * height * width, leaving, pe.link_bits) for each in leave),
    )


def measure_layer(
    layer: Layer, params: GroupParams, *, frames: int = 3, seed: int = 1, backend: str = "cxxrtl"
) -> Measured:
    """Frames back to back through the layer, each pass of it; all outputs compared with the golden model's."""
    graph = layer_graph(layer, seed)
    images = layer_images(layer, frames, seed)
    return measure_passes(layer.name, graph, images, tiled(stages(graph)[0], params), params, backend=backend)


def measure_pruned(
    layer: Layer,
    share: float,
    params: GroupParams,
    *,
    compact: bool = False,
    frames: int = 3,
    seed: int = 1,
    backend: str = "cxxrtl",
) -> Measured:
    """The layer with a share of its output channels pruned.

    compact  the arrays hold only what is left; else they hold everything, and the index tables skip what is pruned
    """
    full = layer_graph(layer, seed)
    pruned = prune(full, "layer", share)
    stage, columns = stages(pruned.graph)[0], None
    if compact:
        tiling = tiled(stage, params)
    else:
        tiling, columns = skipped(stage, stages(full)[0], pruned.kept, params.pe)
    images = layer_images(layer, frames, seed)
    name = f"{layer.name}, {share:.0%} pruned"
    return measure_passes(name, pruned.graph, images, tiling, params, columns=columns, backend=backend)


def layer_images(layer: Layer, frames: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (frames, layer.size, layer.size, layer.channels), np.uint8)


def measure_passes(
    name: str,
    graph: Graph,
    images: np.ndarray,
    tiling: Tiling,
    params: GroupParams,
    *,
    columns: Sequence[Columns] | None = None,
    backend: str = "cxxrtl",
) -> Measured:
    """The first stage of a graph, cut up, on the chip `params`."""
    from ohmweave.sim.backends import Job, simulate
    from ohmweave.sim.run import measure

    stage = tiling.stage
    wanted = graph_golden.activations(graph, images, [stage.result.name])[stage.result.name]
    sent = sent_pixels(stage, images >> (8 - graph.input.bits))
    parts: list[np.ndarray] = []
    interval, busy, latency = 0.0, 0.0, 0
    for number in range(len(tiling.rounds)):
        program = compile_pass(tiling, number, params, columns[number] if columns is not None else None)
        result = simulate(
            params,
            Job.of(program, program.encode(sent)),
            backend=backend,
        )
        cycles = measure(result)
        assert cycles.interval is not None, "one frame has no interval"
        parts.append(program.decode(result.outputs))
        interval += cycles.interval
        latency += cycles.latency
        busy += max(int(result.busy[unit]) for unit in program.stages[0].units) / len(images)
    values = np.concatenate(parts, axis=3).transpose(0, 3, 1, 2)
    return Measured(
        name=name,
        link_bits=params.pe.link_bits,
        pes=tiling.pes,
        passes=len(tiling.rounds),
        interval=interval,
        latency=latency,
        busy=busy,
        bounds=bounds(tiling, params.pe),
        wrong=int((values != wanted).sum()),
        outputs=wanted.size,
    )
