"""Frame buffers behind the collection tree: the cycle model against the netlist, and both against the golden model."""

import dataclasses
import random
from dataclasses import replace

import numpy as np
import pytest
from exit_programs import chain, job_of, sections

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.network.tree_entry import EntryRegister, entry_unit
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.graph import Graph
from ohmweave.sim.graph_golden import logits
from ohmweave.sim.program import Program, packets

TINY = PRESETS["tiny"]
#: Four PEs with a frame buffer each, 16 with one each, and four quads with one each.
SMALL = replace(TINY, levels=1, entries=4, exit_flits=16)
EACH = replace(TINY, levels=2, entries=16, exit_flits=16)
NODES = replace(TINY, levels=2, entries=4, exit_flits=64)
#: Maps of 15 flits and of 64.
SHORT, LONG = {}, {"size": (8, 8), "channels": 4}


def same(params: GroupParams, job: Job, backend: str = "cxxrtl", jobs: int = 1) -> Result:
    """The cycle model and a simulator of the netlist."""
    model, netlist = (simulate(params, job, name, jobs=jobs) for name in ("cycle", backend))
    for field in dataclasses.fields(Result):
        if field.name not in ("build_s", "run_s"):
            np.testing.assert_array_equal(
                getattr(model, field.name), getattr(netlist, field.name), err_msg=field.name
            )
    return netlist


def compare(graph: Graph, program: Program, images: int, *, backend: str = "cxxrtl", jobs: int = 1) -> Result:
    """Both, and the golden model."""
    job, pixels = job_of(program, graph, images)
    result = same(program.params, job, backend, jobs)
    found = program.decode(result.outputs, images).transpose(0, 3, 1, 2).reshape(images, -1)
    assert (found == logits(graph, pixels).reshape(images, -1)).all()
    return result


@pytest.mark.parametrize("maps", [SHORT, LONG])
@pytest.mark.parametrize(
    "copies", [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 1, 1)]
)
def test_sections_of_one_layer(copies: tuple[int, ...], maps: dict) -> None:
    """A PE each, with maps that fit its frame buffer and with such as do not."""
    graph = chain(len(copies), **maps)
    compare(graph, sections(graph, (1,) * len(copies), copies, SMALL), 7)


@pytest.mark.parametrize("copies", [(3, 2), (2, 3), (5, 4, 1), (1, 4, 6, 2)])
def test_other_numbers_of_copies(copies: tuple[int, ...]) -> None:
    """Maps that each copy makes in turn, and takes in turn."""
    graph = chain(len(copies), **LONG)
    compare(graph, sections(graph, (1,) * len(copies), copies, EACH), 13)


@pytest.mark.parametrize(
    ("lengths", "copies"), [((2, 2), (1, 1)), ((1, 3), (3, 1)), ((3, 1), (1, 2)), ((1, 2, 1), (1, 2, 1))]
)
def test_sections_of_several_layers(lengths: tuple[int, ...], copies: tuple[int, ...]) -> None:
    """Below nodes; the first layers of the others wait for the slowest."""
    graph = chain(sum(lengths), **LONG)
    compare(graph, sections(graph, lengths, copies, NODES), 5)


@pytest.mark.parametrize("backend", [pytest.param("verilator", marks=pytest.mark.nightly), "icarus", "pysim"])
def test_simulators_agree(backend: str) -> None:
    graph = chain(2)
    compare(graph, sections(graph, (1, 1), (2, 1), SMALL), 2, backend=backend)


def test_shares_of_the_frames() -> None:
    graph = chain(2)
    compare(graph, sections(graph, (1, 1), (2, 1), SMALL), 6, jobs=2)


def test_maps_fit_a_deeper_buffer() -> None:
    """A buffer is time that a section may be late: with one of several maps the first copies run ahead."""
    graph = chain(2, **LONG)
    program = sections(graph, (1, 1), (3, 1), SMALL)
    job, _ = job_of(program, graph, 30)
    shallow, deep = (
        simulate(replace(SMALL, exit_flits=flits), job, "cycle").first_in[-1] for flits in (16, 256)
    )
    assert deep < shallow


def entry_job(
    orders: dict[int, dict[str, object]], copies: tuple[int, int], images: int, missing: int = 0
) -> Job:
    """Two sections on `SMALL` with other turns; what comes out, but for some of it, may be no frame of the network."""
    graph = chain(2)
    program = sections(graph, (1, 1), copies, SMALL, orders)
    job, _ = job_of(program, graph, images)
    return replace(job, outputs_per_frame=job.outputs_per_frame - missing, idle_limit=400)


def outcome(job: Job, backend: str) -> Result | str:
    try:
        return simulate(SMALL, job, backend)
    except OhmweaveError as error:
        return str(error)


def ran(job: Job) -> bool:
    """Whether the netlist came to the end: the model does the same in either case."""
    found = outcome(job, "cxxrtl")
    if isinstance(found, str):
        assert found.startswith("the simulation hangs: ")
        assert outcome(job, "cycle") == found
        return False
    same(SMALL, job)
    return True


def test_random_turns() -> None:
    """Turns of any length and order, of which most come to a standstill at some time."""
    rng = random.Random(3)
    ends = 0
    for _ in range(60):
        copies = rng.choice([(1, 1), (2, 1), (1, 2), (2, 2)])
        first = range(copies[0])
        second = range(copies[0], sum(copies))
        orders: dict[int, dict[str, object]] = {}
        turn = rng.choice([1, 2, 5, 15])
        for numbers, others, names in (
            (first, second, ("targets", "out_turn")),
            (second, first, ("sources", "in_turn")),
        ):
            for number in numbers:
                length = rng.choice([1, 2, 3, 16])
                flits = rng.choice([turn, turn, turn, 2 * turn, 7])
                orders[number] = {names[0]: [rng.choice(others) for _ in range(length)], names[1]: flits}
        ends += ran(entry_job(orders, copies, rng.choice([2, 5]), rng.choice([0, 7, 35])))
    print(f"{ends} of 60 came to the end")
    assert 10 < ends < 50


ONES = {EntryRegister.OUT_TABLE + place: 1 for place in range(16)}


@pytest.mark.parametrize(
    ("number", "writes", "ends"),
    [
        (0, {EntryRegister.OUT_TURN: 0}, True),
        (1, {EntryRegister.IN_TURN: 0}, True),
        (0, {EntryRegister.OUT_COUNT: 0}, False),
        (0, {EntryRegister.OUT_COUNT: 0, **ONES}, True),
        (0, {EntryRegister.OUT_COUNT: 15, EntryRegister.OUT_TABLE + 15: 2, **ONES}, True),
        (1, {EntryRegister.IN_COUNT: 17}, True),
        (1, {EntryRegister.IN_COUNT: 2, EntryRegister.IN_TABLE + 1: 2}, False),
        (0, {EntryRegister.OUT_TABLE: 5}, True),
        (0, {EntryRegister.EXIT: 0xFFFF}, True),
        (0, {EntryRegister.EXIT: 0xFFFE}, False),
        (1, {EntryRegister.OPEN: 3}, True),
        (1, {EntryRegister.OPEN: 0xFFFE}, True),
        (1, {EntryRegister.OPEN: 0}, False),
        (1, {EntryRegister.OPEN: 1}, False),
    ],
)
def test_registers_as_they_are(number: int, writes: dict[int, int], ends: bool) -> None:
    """Words that `entry_writes` does not make: turns that do not end, counts modulo 16, higher bits."""
    job = entry_job({}, (1, 1), 4)
    more = np.array(packets(entry_unit(number), writes.items()), np.uint32)
    assert ran(replace(job, config=np.concatenate([job.config, more]))) == ends
