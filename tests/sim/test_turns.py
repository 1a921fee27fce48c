"""Channels of a layer over several PEs, put together by turns of the switches: netlist, cycle model, golden model."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim import compiler
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.compiler import Routes, tiled
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.graph_golden import activations
from ohmweave.sim.pe_config import leaving_bits
from ohmweave.sim.program import Outbound, Placed, Program
from ohmweave.sim.stages import stages

TINY = PRESETS["tiny"]
SIZE = 5
CORE, TREE, COLLECTION, MAIN = SwitchInput.CORE, SwitchInput.TREE, SwitchOutput.COLLECTION, SwitchOutput.MAIN
#: PEs of a quad, each a neighbour of the one before, and the last of the first.
A, B, C, D = 0, 1, 3, 2


def conv(name: str, source: str, inputs: int, outputs: int, kernel: int, bits: int) -> Conv:
    chance = np.random.default_rng([inputs, outputs, kernel])
    scale = (
        {}
        if bits == RAW_BITS
        else {"mult": np.full(outputs, 3, np.uint16), "shift": np.full(outputs, 5, np.int8)}
    )
    return Conv(
        name=name, input=source, weights=chance.integers(-8, 8, (outputs, inputs, kernel, kernel)).astype(np.int16),
        weight_bits=4, bias=chance.integers(-50, 50, outputs), bits=bits, pads=(kernel // 2,) * 4, **scale,
    )  # fmt: skip


def graph_of(middle: int, bits: int, kernel: int, outs: int) -> Graph:
    """Two layers: `middle` channels of `bits` bits between them."""
    nodes = (conv("one", "image", 3, middle, 3, bits), conv("two", "one", middle, outs, kernel, RAW_BITS))
    return Graph(name="two", input=Tensor(name="image", shape=(3, SIZE, SIZE), bits=4), nodes=nodes)


class Bench:
    """A program of slices of layers, put on PEs by hand."""

    def __init__(self, graph: Graph, params: GroupParams) -> None:
        self.graph, self.params = graph, params
        self.tilings = [tiled(stage, params) for stage in stages(graph)]
        self.parts: list = []

    def flits(self, layer: int, channels: int) -> int:
        """Flits of so many channels of a layer's pixel."""
        bits = channels * leaving_bits(self.tilings[layer].stage)
        assert bits % self.params.pe.link_bits == 0
        return bits // self.params.pe.link_bits

    def put(self, unit: int, layer: int, outs: tuple[int, int], routes: Routes) -> None:
        share = compiler._share(self.tilings[layer], self.params, 0, outs, (outs,))
        self.parts.append((unit, share, routes))

    def program(self, entries: list[int], last: int) -> Program:
        stage = self.tilings[-1].stage
        return compiler.program_of(
            self.params,
            self.parts,
            compiler._inbound(self.tilings[0].stage, (0, 1)),
            Outbound(stage.result.shape, leaving_bits(stage), stage.raw),
            (Placed("all", tuple(unit for unit, _, _ in self.parts)),),
            entries,
            {last: 1},
        )

    def compare(self, program: Program, images: int = 3) -> None:
        """Results are the golden model's, and the model's times the netlist's."""
        pixels = np.random.default_rng(5).integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8)
        job = replace(Job.of(program, program.encode(pixels >> 4)), idle_limit=5000)
        netlist, model = simulate(self.params, job), simulate(self.params, job, "cycle")
        golden = activations(self.graph, pixels)["two"].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(program.decode(netlist.outputs), golden)
        np.testing.assert_array_equal(model.outputs, netlist.outputs)
        for name in ("first_in", "last_out", "busy", "states", "flits"):
            np.testing.assert_array_equal(getattr(model, name), getattr(netlist, name), err_msg=name)
        assert model.cycles == netlist.cycles


def to(here: int, there: int) -> SwitchOutput:
    return compiler._to(here, there)


def come(here: int, there: int) -> SwitchInput:
    return compiler._from(here, there)


@pytest.mark.parametrize(
    ("bits", "slices", "link_bits"),
    [
        (4, (4, 4, 4), 16),
        (8, (4, 2, 2), 16),
        (8, (4, 4), 32),
        pytest.param(4, (8, 8), 32, marks=pytest.mark.nightly),
    ],
)
def test_slices_of_a_layer(bits: int, slices: tuple[int, ...], link_bits: int) -> None:
    """A layer over several PEs in a chain, each of which adds its channels; the next PE reads the whole pixels."""
    params = replace(TINY, pe=replace(TINY.pe, link_bits=link_bits))
    middle = sum(slices)
    bench = Bench(graph_of(middle, bits, 1, 3), params)
    chain = [A, B, C, D][: len(slices) + 1]
    first = 0
    for place, channels in enumerate(slices):
        unit = chain[place]
        before, own = (bench.flits(0, each) for each in (first, channels))
        source = Turns(come(unit, chain[place - 1]), before, CORE, own) if place else CORE
        bench.put(unit, 0, (first, first + channels), {MAIN: TREE, to(unit, chain[place + 1]): source})
        first += channels
    reader = chain[-1]
    bench.put(reader, 1, (0, 3), {MAIN: come(reader, chain[-2]), COLLECTION: CORE})
    bench.compare(bench.program(chain[:-1], reader))


def crossed() -> tuple[Bench, Program]:
    """Both layers over two PEs. What the first two put together goes to the others by two ways, each a link long."""
    bench = Bench(graph_of(8, 4, 3, 4), TINY)
    one, two = bench.flits(0, 4), bench.flits(1, 2)
    bench.put(A, 0, (0, 4), {MAIN: TREE, to(A, B): CORE, to(A, D): come(A, B)})
    both = Turns(come(B, A), one, CORE, one)
    bench.put(B, 0, (4, 8), {MAIN: TREE, to(B, A): both, to(B, C): both})
    bench.put(C, 1, (0, 2), {MAIN: come(C, B), to(C, D): CORE})
    bench.put(D, 1, (2, 4), {MAIN: come(D, A), COLLECTION: Turns(come(D, C), two, CORE, two)})
    return bench, bench.program([A, B], D)


def test_turns_to_several_outputs() -> None:
    bench, program = crossed()
    bench.compare(program)


def test_turns_that_come_to_a_standstill() -> None:
    """A turn of more flits than a pixel has: in the model as in the netlist."""
    bench = Bench(graph_of(8, 4, 1, 3), TINY)
    one = bench.flits(0, 4)
    bench.put(A, 0, (0, 4), {MAIN: TREE, to(A, B): CORE})
    bench.put(B, 0, (4, 8), {MAIN: TREE, to(B, C): Turns(come(B, A), one + 1, CORE, one)})
    bench.put(C, 1, (0, 3), {MAIN: come(C, B), COLLECTION: CORE})
    program = bench.program([A, B], C)
    frames = np.ones((2, SIZE, SIZE, 3), np.uint8)
    job = replace(Job.of(program, program.encode(frames)), idle_limit=5000)
    said = set()
    for name in ("cxxrtl", "cycle"):
        with pytest.raises(OhmweaveError) as found:
            simulate(TINY, job, name)
        said.add(str(found.value))
    assert len(said) == 1, said


def test_inputs_that_outputs_share_by_other_turns() -> None:
    """What each of them gets depends on time."""
    bench, program = crossed()
    unit, share, routes = bench.parts[1]
    bench.parts[1] = unit, share, {**routes, to(B, C): CORE}
    program = bench.program([A, B], D)
    job = Job.of(program, program.encode(np.ones((1, SIZE, SIZE, 3), np.uint8)))
    message = (
        f"the cycle model has outputs that share an input take the same turns, and those of PE {B} do not"
    )
    with pytest.raises(OhmweaveError, match=f"^{re.escape(message)}$"):
        simulate(TINY, job, "cycle")
