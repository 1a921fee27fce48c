"""Stages for one PE: what its ports are given and what has to leave it, by the compiler and the golden model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.group import mesh_side
from ohmweave.rtl.network.config_receiver import config_packet
from ohmweave.rtl.pe import StageConfig
from ohmweave.sim.compiler import compile_chain, compile_pass, tiled
from ohmweave.sim.frames import pack
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, MaxPool, Node, SumPool, Tensor
from ohmweave.sim.graph_golden import activations, compute
from ohmweave.sim.pe_config import partial_bits
from ohmweave.sim.program import Program
from ohmweave.sim.stages import sent_pixels, stages
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.two_layers import TwoLayers, two_layers

__all__ = ["KINDS", "PEJob", "pe_job"]

FRAMES = 2
#: Instructions that the compiler makes for a pool.
POOL_PROGRAM = 2


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A stage to be made: a convolution of the image and what follows.

    shape      of its input; what another convolution gives where it has more than 8 bits
    residual   bits of what another convolution of the image gives and is added
    share      which PE of the row that the stage is cut up for
    then       (output channels, kernel, options) of a convolution that follows on the same PE
    """

    shape: tuple[int, int, int]
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    bits: int = 4
    weight_bits: int = 4
    result_bits: int = 4
    zero_point: int = 0
    raw: bool = False
    average: bool = False
    residual: int = 0
    pool: dict[str, Any] | None = None
    share: int = 0
    more: dict[str, Any] | None = None
    then: tuple[int, tuple[int, int], dict[str, Any]] | None = None


BORDER = {"pads": (1, 1, 1, 1)}
#: By name: what PEs of the preset `tiny` are given.
KINDS: dict[str, Kind] = {
    "relu": Kind(shape=(5, 6, 7), outputs=11, more=BORDER),
    "uneven": Kind(
        shape=(7, 7, 6), outputs=6, zero_point=3, more={"pads": (1, 0, 2, 1), "stride": (2, 1)}
    ),
    "pool 2x2": Kind(
        shape=(4, 6, 7), outputs=7, more=BORDER, pool={"kernel": (2, 2), "stride": (2, 2)}
    ),
    "pool 3x3": Kind(
        shape=(3, 5, 5),
        outputs=4,
        result_bits=8,
        more=BORDER,
        pool={"kernel": (3, 3), "stride": (2, 2), "pads": (1, 1, 1, 1)},
    ),
    "8 bits": Kind(shape=(4, 4, 5), outputs=7, bits=8, weight_bits=8, result_bits=8, more=BORDER),
    "16 bits": Kind(shape=(2, 3, 4), outputs=3, bits=16, weight_bits=16, result_bits=16, more=BORDER),
    "residual": Kind(shape=(6, 5, 4), outputs=6, residual=4, more=BORDER),
    "residual of 8 bits": Kind(
        shape=(6, 4, 4), outputs=4, residual=8, zero_point=2, more=BORDER
    ),
    "transposed": Kind(
        shape=(3, 3, 3), outputs=5, more={"stride": (2, 2), "transposed": True, "output_padding": (1, 0)}
    ),
    "many channels": Kind(shape=(21, 3, 4), outputs=9, kernel=(1, 1)),
    # Two windows in a read.
    "merged": Kind(shape=(3, 4, 6), outputs=2, result_bits=8, more=BORDER),
    "merged, pool": Kind(
        shape=(2, 5, 8), outputs=2, more=BORDER, pool={"kernel": (3, 2), "stride": (1, 2)}
    ),
    "whole map": Kind(shape=(8, 3, 3), outputs=10, raw=True),
    "average": Kind(shape=(6, 3, 4), outputs=6, average=True),
    "first of three": Kind(shape=(20, 4, 5), outputs=7, more=BORDER),
    "second of three": Kind(shape=(20, 4, 5), outputs=7, more=BORDER, share=1),
    "last of three": Kind(shape=(20, 4, 5), outputs=7, more=BORDER, share=2),
    "last of two, residual": Kind(shape=(12, 4, 4), outputs=8, more=BORDER, residual=4, share=1),
    "last of two, pool": Kind(
        shape=(12, 5, 5), outputs=6, more=BORDER, pool={"kernel": (2, 2)}, share=1
    ),
    # Four rows of the image, and the results over the first of them.
    "two in place": Kind(shape=(3, 4, 5), outputs=3, more=BORDER, then=(6, (2, 2), {})),
    "two in place, strided": Kind(
        shape=(4, 4, 7), outputs=4, zero_point=2, more=BORDER | {"stride": (2, 2)}, then=(7, (1, 2), {})
    ),
    # Maps of more rows than a buffer holds, and one that grows.
    "two in both buffers": Kind(shape=(3, 9, 6), outputs=7, more=BORDER, then=(5, (3, 3), BORDER)),
    "two in both buffers, merged": Kind(shape=(3, 9, 6), outputs=2, more=BORDER, then=(3, (3, 3), {})),
    "two in both buffers, larger": Kind(
        shape=(3, 4, 5), outputs=4, more={"stride": (2, 2), "transposed": True}, then=(6, (3, 3), BORDER)
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PEJob:
    """One PE's part of a stage, as its ports see it.

    arrays     flits that program its cells, into `tree`
    config     flits that configure and enable it
    disable, enable   flits that do just that to the configured PE
    programs   words in the tables of the ReRAM half and of the arithmetic half, of which `post` are the first
    inputs     port → flits of each frame
    output     port that the results leave by
    expected   flits of each frame
    reads      of the array for a frame
    """

    name: str
    unit: int
    arrays: list[int]
    config: list[int]
    disable: list[int]
    enable: list[int]
    programs: list[list[int]]
    post: int
    inputs: dict[str, list[list[int]]]
    output: str
    expected: list[list[int]]
    reads: int

    def record(self) -> dict[str, Any]:
        return asdict(self)


def pe_job(name: str, params: GroupParams, seed: int = 1, frames: int = FRAMES) -> PEJob:
    """The job of a kind, the same for the same seed."""
    kind = KINDS[name]
    rng = np.random.default_rng([seed, list(KINDS).index(name)])
    graph = _graph(kind, rng)
    images = rng.integers(0, 256, (frames, *graph.input.shape[1:], graph.input.shape[0]), np.uint8)
    values = {
        tensor: each.transpose(0, 2, 3, 1).astype(np.int64)
        for tensor, each in activations(graph, images).items()
    }
    stage = next(each for each in stages(graph) if each.name == "stage")
    tiling = tiled(stage, params)
    if kind.then is not None:
        following = next(each for each in stages(graph) if each.name == "then")
        pair = two_layers(tiling, tiled(following, params), params.pe, in_place="in place" in name)
        assert pair is not None, f"{name} does not fit one PE"
        return _job(name, kind, graph, pair, compile_chain([pair], params), values)
    assert len(tiling.passes) == 1, f"{name} needs several passes"
    assert kind.share < len(tiling.shares), f"{name} needs no PE of that number"
    assert (tiling.stage.merged > 1) == name.startswith("merged"), (
        f"{name} merges {tiling.stage.merged} windows"
    )
    program = compile_pass(tiling, 0, params)
    return _job(name, kind, graph, tiling, program, values)


def _job(
    name: str,
    kind: Kind,
    graph: Graph,
    layer: Tiling | TwoLayers,
    program: Program,
    values: dict[str, np.ndarray],
) -> PEJob:
    layers = layer.parts
    tiling, result = layers[0], layers[-1].stage.result.name
    stage, units, link = tiling.stage, program.stages[0].units, program.params.pe.link_bits
    unit, last = units[kind.share], len(units) - 1
    side = values[stage.side.name] if stage.side is not None else None
    inputs = {"tree": program.encode(sent_pixels(stage, values[stage.main.name]), side).tolist()}
    partial = partial_bits(tiling) if last else 0
    at_once = program.params.pe.array.columns_at_once
    if kind.share:
        sums = _partial_sums(graph, tiling, kind.share, values)
        inputs[f"mesh_i__{mesh_side(unit, units[kind.share - 1])}"] = _packed(sums, partial, link)
    if kind.share == last:
        output, expected = "collection", _packed(values[result], program.outbound.bits, link)
    else:
        output = f"mesh_o__{mesh_side(unit, units[kind.share + 1])}"
        expected = _packed(_partial_sums(graph, tiling, kind.share + 1, values), partial, link)
    writes = _writes(program.config.tolist(), unit)
    place = Region.STAGE.address(-(-StageConfig(program.params.pe).size // CONFIG_BITS) - 1)
    top = 1 << (StageConfig(program.params.pe).size - 1) % CONFIG_BITS  # `enable`, the last bit
    programs = [
        [
            dict(writes)[region.address(at)] | dict(writes)[region.address(at + 1)] << 16
            for at in range(0, sum(address >> 12 == region for address, _ in writes), 2)
        ]
        for region in (Region.RERAM_PROGRAM, Region.ARITHMETIC_PROGRAM)
    ]
    pool = POOL_PROGRAM if stage.pool is not None and kind.share == last else 0
    return PEJob(
        name=name,
        unit=unit,
        arrays=replace(program, levels={unit: program.levels[unit]}).array_config().tolist(),
        config=program.config.tolist(),
        disable=config_packet(unit, place, [dict(writes)[place] & ~top]),
        enable=config_packet(unit, place, [dict(writes)[place]]),
        programs=programs,
        post=len(programs[1]) - pool,
        inputs=inputs,
        output=output,
        expected=expected,
        reads=sum(each.windows * each.reads * -(-each.stage.out_channels // at_once) for each in layers),
    )


def _writes(config: Sequence[int], unit: int) -> list[tuple[int, int]]:
    """What configuration flits write to a unit."""
    found, place = [], 0
    while place < len(config):
        to, address, count = (flit & 0xFFFF for flit in config[place : place + 3])
        words = config[place + 3 : place + 3 + count]
        if to == unit:
            found += [(address + n, word & 0xFFFF) for n, word in enumerate(words)]
        place += 3 + count
    return found


def _packed(values: np.ndarray, bits: int, link_bits: int) -> list[list[int]]:
    numbers = values.reshape(len(values), -1, values.shape[3]).astype(np.int64) & ((1 << bits) - 1)
    return pack([(numbers, bits)], link_bits).tolist()


def _partial_sums(graph: Graph, tiling: Tiling, share: int, values: dict[str, np.ndarray]) -> np.ndarray:
    """Sums of products of the channels of the first shares, by the golden model."""
    stage = tiling.stage
    node = next(each for each in graph.nodes if each.name == "stage")
    assert isinstance(node, Conv)
    weights = node.weights.copy()
    weights[:, tiling.shares[share - 1][1] :] = 0
    part = Conv(
        name="part",
        input=node.input,
        weights=weights,
        weight_bits=node.weight_bits,
        stride=node.stride,
        pads=node.pads,
        bias=np.zeros(node.channels, np.int64),
        bits=RAW_BITS,
    )
    fill = graph.zero_points(node.input)
    return compute(part, [graph.tensors[node.input]], [values[stage.main.name]], fill)


class _Maker:
    """Nodes with scales by which the numbers of random images use the range of each tensor."""

    def __init__(self, rng: np.random.Generator, image: Tensor) -> None:
        self.rng = rng
        self.tensors = {image.name: image}
        channels, height, width = image.shape
        self.values = {image.name: rng.integers(0, 1 << image.bits, (4, height, width, channels))}
        self.nodes: list[Node] = []

    def add(self, node: Node) -> None:
        tensors = [self.tensors[name] for name in node.inputs]
        fill = np.full(tensors[0].shape[0], tensors[0].zero_point)
        self.tensors[node.name] = node.result(tensors)
        self.values[node.name] = compute(node, tensors, [self.values[name] for name in node.inputs], fill)
        self.nodes.append(node)

    def scaled(self, kind: type, channels: int, *, bits: int, zero_point: int = 0, **values: Any) -> None:
        raw = kind(bias=np.zeros(channels, np.int64), bits=RAW_BITS, **values)
        tensors = [self.tensors[name] for name in raw.inputs]
        fill = np.full(tensors[0].shape[0], tensors[0].zero_point)
        sums = compute(raw, tensors, [self.values[name] for name in raw.inputs], fill)
        v = sums.reshape(-1, channels).astype(np.float64)
        bias = np.rint(-np.quantile(v, self.rng.uniform(0.2, 0.6, channels), axis=0).diagonal())
        scale = (
            ((1 << bits) - 1) / np.maximum(np.abs(v + bias).max(0), 1) * self.rng.uniform(0.8, 1.5, channels)
        )
        shift = np.clip(np.floor(np.log2(65535 / scale)), -16, 47)
        mult = np.clip(np.rint(scale * 2.0**shift), 1, 65535).astype(np.uint16)
        self.add(
            kind(
                bias=(bias + np.rint(zero_point / scale)).astype(np.int64),
                mult=mult,
                shift=shift.astype(np.int8),
                bits=bits,
                zero_point=zero_point,
                low=zero_point,
                **values,
            )
        )

    def weights(self, outputs: int, channels: int, kernel: tuple[int, int], bits: int) -> dict[str, Any]:
        top = 1 << (bits - 1)
        shape = (outputs, channels, *kernel)
        return {"weights": self.rng.integers(-top, top, shape).astype(np.int16), "weight_bits": bits}


def _graph(kind: Kind, rng: np.random.Generator) -> Graph:
    """A graph with the node `stage`."""
    channels, height, width = kind.shape
    source = "image" if kind.bits <= 8 else "before"
    image = Tensor(name="image", shape=kind.shape, bits=min(kind.bits, 8))
    maker = _Maker(rng, image)
    if source == "before":
        maker.scaled(
            Conv,
            channels,
            bits=kind.bits,
            name=source,
            input="image",
            **maker.weights(channels, channels, (1, 1), 4),
        )
    if kind.residual:
        made = maker.weights(kind.outputs, channels, (1, 1), 4)
        maker.scaled(Conv, kind.outputs, bits=kind.residual, name="beside", input="image", **made)
    if kind.average:
        maker.scaled(
            SumPool, channels, bits=kind.result_bits, name="stage", input=source, kernel=(height, width)
        )
    else:
        options = maker.weights(kind.outputs, channels, kind.kernel, kind.weight_bits) | (kind.more or {})
        if kind.residual:
            options |= {
                "residual": "beside",
                "in_mult": rng.integers(20000, 65536, kind.outputs).astype(np.uint16),
                "in_shift": rng.integers(9, 13, kind.outputs).astype(np.int8),
            }
        if kind.raw:
            bias = rng.integers(-(1 << 20), 1 << 20, kind.outputs)
            maker.add(Conv(name="stage", input=source, bias=bias, bits=RAW_BITS, **options))
            return Graph(name="stage", input=image, nodes=tuple(maker.nodes))
        maker.scaled(
            Conv,
            kind.outputs,
            bits=kind.result_bits,
            zero_point=kind.zero_point,
            name="stage",
            input=source,
            **options,
        )
    if kind.pool is not None:
        maker.add(MaxPool(name="pool", input="stage", **kind.pool))
    if kind.then is not None:
        outputs, kernel, options = kind.then
        made = maker.weights(outputs, kind.outputs, kernel, kind.weight_bits)
        maker.scaled(
            Conv, outputs, bits=kind.result_bits, name="then", input=maker.nodes[-1].name, **made, **options
        )
    # A graph ends with sums.
    last = maker.nodes[-1].name
    ones = np.ones((1, maker.tensors[last].shape[0], 1, 1), np.int16)
    maker.add(
        Conv(name="end", input=last, weights=ones, weight_bits=4, bias=np.zeros(1, np.int64), bits=RAW_BITS)
    )
    return Graph(name="stage", input=image, nodes=tuple(maker.nodes))
