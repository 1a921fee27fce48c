"""Side tensors of more channels than a word of the second buffer has: how stages are cut, and what comes out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.compiler import tiled
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.layerwise import run_layers
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.pe_config import Plan, SideLink, plan
from ohmweave.sim.program import Program
from ohmweave.sim.stages import Stage, stages
from ohmweave.sim.tiling import tile

FULL, TINY = PRESETS["re-reram"], PRESETS["tiny"]
#: Vectors of 4 channels: words of 8, 4 and 2 channels are two vectors, one, and less than one.
SHORT = replace(TINY, pe=replace(TINY.pe, vector_blocks=1))
#: Words of 24 channels: 3 vectors of 8, and for 8 bits no whole number of them.
ODD = replace(
    TINY,
    pe=replace(
        TINY.pe,
        array=replace(TINY.pe.array, rows=216, cols=64, colmux=16),
        buffer=replace(TINY.pe.buffer, lanes=24, window_lanes=216),
    ),
)


def residual(
    channels: int, bits: int, size: tuple[int, int], *, stride: int = 1, kernel: int = 3, inputs: int = 3
) -> Graph:
    """A convolution to which the results of another one are added; all numbers cover what they can be."""
    random = np.random.default_rng([channels, bits, stride])

    def conv(name: str, side: int, **more: Any) -> Conv:
        weights = random.integers(-8, 8, (channels, inputs, side, side)).astype(np.int16)
        spread = 40 * np.sqrt(weights[0].size)  # of sums of products with numbers of 4 bits
        middle = weights.reshape(channels, -1).sum(axis=1) * 7.5
        if more:
            beside = random.uniform(0.5, 1.5, channels) * spread / (1 << bits)  # a unit of the side tensor
            more |= {"in_mult": (beside * 256).astype(np.uint16), "in_shift": np.full(channels, 8, np.int8)}
        return Conv(
            name=name, input="image", weights=weights, weight_bits=4, pads=(side // 2,) * 4, stride=(stride, stride),
            bias=(random.uniform(0.5, 1.5, channels) * spread - middle).astype(np.int64), bits=bits,
            mult=(random.uniform(0.8, 1.2, channels) * (1 << bits + 12) / (3 * spread)).astype(np.uint16),
            shift=np.full(channels, 12, np.int8), **more,
        )  # fmt: skip

    nodes = (
        conv("beside", 1),
        conv("both", kernel, residual="beside"),
        Conv(name="end", input="both", weights=np.ones((1, channels, 1, 1), np.int16), weight_bits=4,
             bias=np.zeros(1, np.int64), bits=RAW_BITS),
    )  # fmt: skip
    return Graph(name="net", input=Tensor(name="image", shape=(inputs, *size), bits=4), nodes=nodes)


def same(netlist: Result, model: Result) -> None:
    np.testing.assert_array_equal(model.outputs, netlist.outputs)
    for name in ("first_in", "last_out", "busy", "states", "flits"):
        np.testing.assert_array_equal(getattr(model, name), getattr(netlist, name), err_msg=name)
    assert model.cycles == netlist.cycles


def stage_of(graph: Graph) -> Stage:
    return next(stage for stage in stages(graph) if stage.side is not None)


@pytest.mark.parametrize(
    ("params", "channels", "bits", "size", "stride", "passes"),
    [
        # As many as the array has columns for.
        (FULL, 256, 4, (3, 3), 1, [256]),
        (FULL, 512, 4, (3, 3), 1, [256, 256]),
        (FULL, 256, 8, (3, 3), 1, [256]),
        # 32 channels of 16 bits a word, 7 words.
        (FULL, 224, 16, (3, 3), 1, [224]),
        (FULL, 256, 16, (3, 3), 1, [128, 128]),
        # The buffer's map has 224 columns, which the words of a pixel share,
        (FULL, 256, 4, (2, 112), 1, [256]),
        (FULL, 256, 4, (2, 113), 1, [128, 128]),
        (FULL, 256, 8, (2, 56), 1, [256]),
        (FULL, 256, 8, (2, 57), 1, [128, 128]),
        # and its windows are at most 7 columns apart.
        (FULL, 256, 4, (8, 8), 3, [256]),
        (FULL, 256, 8, (8, 8), 2, [128, 128]),
        (FULL, 128, 8, (8, 8), 4, [64, 64]),
        (TINY, 16, 4, (3, 8), 1, [16]),
        (TINY, 16, 4, (3, 9), 1, [8, 8]),
        # Half a vector a word.
        (TINY, 16, 8, (3, 3), 1, [4, 4, 4, 4]),
        (SHORT, 16, 8, (3, 4), 1, [16]),
        (SHORT, 16, 8, (3, 5), 1, [8, 8]),
        (SHORT, 8, 16, (3, 3), 1, [2, 2, 2, 2]),
        (ODD, 64, 4, (3, 3), 1, [64]),
        (ODD, 64, 8, (3, 3), 1, [12, 12, 12, 12, 12, 4]),
    ],
)
def test_channels_of_a_pass(
    params: GroupParams, channels: int, bits: int, size: tuple[int, int], stride: int, passes: list[int]
) -> None:
    tiling = tile(stage_of(residual(channels, bits, size, stride=stride)), params.pe)
    assert [behind - first for first, behind in tiling.passes] == passes
    assert [behind for _, behind in tiling.passes[:-1]] == [first for first, _ in tiling.passes[1:]]


#: Chip, channels, bits, size, stride, kernel, inputs, passes of the stage.
RUNS = {
    "4 bits": (TINY, 16, 4, (4, 5), 1, 3, 3, 1),
    "last word not full": (TINY, 13, 4, (5, 4), 1, 1, 2, 1),
    "passes of two words": (TINY, 40, 4, (3, 3), 1, 3, 3, 3),
    "stride 2": (TINY, 16, 4, (6, 7), 2, 3, 3, 1),
    "stride 3": (TINY, 16, 4, (7, 7), 3, 3, 3, 1),
    "partial sums": (TINY, 16, 4, (4, 4), 1, 3, 16, 1),
    "words of a vector": (SHORT, 16, 8, (5, 4), 1, 3, 3, 1),
    "words of two vectors": (SHORT, 15, 4, (4, 7), 1, 3, 3, 1),
    "words of three vectors": (ODD, 64, 4, (4, 5), 1, 3, 3, 1),
    "5 words": (ODD, 64, 4, (2, 5), 1, 1, 3, 1),
    "full size, 4 bits": (FULL, 256, 4, (5, 6), 1, 3, 256, 1),
    "full size, 8 bits": (FULL, 128, 8, (5, 6), 1, 3, 64, 1),
}


def run(name: str, *, netlist: bool) -> None:
    """A residual stage and those around it, one after the other: in the model, and with `netlist` there, too."""
    params, channels, bits, size, stride, kernel, inputs, passes = RUNS[name]
    graph = residual(channels, bits, size, stride=stride, kernel=kernel, inputs=inputs)
    images = np.random.default_rng(len(name)).integers(0, 256, (3, *size, inputs), np.uint8)
    golden = graph_golden.activations(graph, images, ["both", "end"])
    tilings = [tiled(stage, params) for stage in stages(graph)]
    (stage,) = (tiling for tiling in tilings if tiling.stage.side is not None)
    assert len(stage.passes) == passes

    def both(program: Program, frames: np.ndarray) -> Result:
        job = Job.of(program, frames)
        model = simulate(params, job, "cycle")
        if netlist:
            same(simulate(params, job), model)
        return model

    ran = run_layers(graph, tilings, images, params, both, lambda _done, _total: None)
    parts = [each.program.decode(each.result.outputs) for each in ran.passes if each.tiling is stage]
    assert len(np.unique(golden["both"])) > 1 << bits - 2, "the results must tell faults apart"
    np.testing.assert_array_equal(np.concatenate(parts, axis=3).transpose(0, 3, 1, 2), golden["both"])
    np.testing.assert_array_equal(ran.values.transpose(0, 3, 1, 2), golden["end"])


@pytest.mark.parametrize("name", RUNS)
def test_model(name: str) -> None:
    """What the model gives is golden."""
    run(name, netlist=False)


# Netlists that no other test builds: nightly.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly) if case[0] in (SHORT, ODD) else name
        for name, case in RUNS.items()
    ],
)
def test_netlist(name: str) -> None:
    """The netlist gives the same in the same cycles."""
    run(name, netlist=True)


def test_whole_network() -> None:
    """All stages at once: the side tensor comes by a link of its own."""
    graph = residual(16, 4, (4, 5))
    pixels = np.random.default_rng(5).integers(0, 256, (4, 4, 5, 3), np.uint8)
    found = mapped(graph, TINY)
    (piece,) = (piece for piece in found.pieces if piece.side is not None)
    assert piece.outs == (0, 16)
    program = found.program()
    job = Job.of(program, program.encode(pixels >> 4))
    netlist, model = simulate(TINY, job), simulate(TINY, job, "cycle")
    same(netlist, model)
    np.testing.assert_array_equal(
        program.decode(model.outputs, 4).reshape(4, -1), graph_golden.logits(graph, pixels).reshape(4, 20)
    )


def plan_of(graph: Graph, params: GroupParams, side: SideLink, channels: int) -> Plan:
    tiling = tile(stage_of(graph), params.pe)
    return plan(tiling, params.pe, tile=0, channels=channels, link_channels=64, side=side)


@pytest.mark.parametrize("apart", [False, True])
def test_words_of_a_pixel(apart: bool) -> None:
    """3 words of 8 channels for 20: columns of the map and of the windows, which are as far apart as pixels' are."""
    params = replace(TINY, pe=replace(TINY.pe, array=replace(TINY.pe.array, cols=32, colmux=8)))
    graph = residual(20, 4, (5, 5), stride=2)
    size, stride = ((3, 3), (1, 1)) if apart else ((5, 5), (2, 2))
    made = plan_of(graph, params, SideLink(channels=30, first=7, size=size, stride=stride, apart=apart), 20)
    receiver, buffer = made.settings["shortcut"], made.settings["buffers"][1]
    expected = {"plane_lanes": 8, "last_lane": 7, "before": 7, "last_taken": 19, "after": 3}
    assert expected.items() <= receiver.items()
    assert receiver["last_pixel"] == size[0] * size[1] - 1
    expected = {"kernel": 1, "columns": 3, "in_height": size[0], "in_width": 3 * size[1], "group_step": 0}
    expected |= {"stride": stride[0], "next_columns": 3, "skip": 3 * stride[1] - 3, "last_x": 2, "last_y": 2}
    assert expected.items() <= buffer.items()


@pytest.mark.parametrize(
    ("params", "bits", "channels", "size", "stride", "sentence"),
    [
        (TINY, 8, 5, (3, 3), 1, "channels of its side tensor must be at most 4, not 5"),
        (SHORT, 16, 3, (3, 3), 1, "channels of its side tensor must be at most 2, not 3"),
        (TINY, 4, 16, (3, 9), 1, "in_width must be a whole number from 1 to 16, not 18"),
        (TINY, 4, 16, (3, 4), 4, "stride in columns must be a whole number from 1 to 7, not 8"),
        (SHORT, 8, 32, (1, 1), 1, "kernel in columns must be a whole number from 1 to 7, not 8"),
    ],
)
def test_refused(
    params: GroupParams, bits: int, channels: int, size: tuple[int, int], stride: int, sentence: str
) -> None:
    """What no pass of `tile` has is refused."""
    side = SideLink(channels=channels, first=0, size=size, stride=(stride, stride))
    with pytest.raises(OhmweaveError) as refused:
        plan_of(residual(channels, bits, size, stride=stride), params, side, channels)
    assert str(refused.value) == sentence
