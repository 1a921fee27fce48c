"""Chips that come to a standstill, and what is said of it: who waits for whom, by the netlist's run and the model's."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import test_connections as routes_of
import test_cycle as two_layers
import test_turns as turns
from amaranth.hdl import Shape
from mapping_graphs import LIMITS, spanning

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import LOCAL_BITS, Region
from ohmweave.rtl.encoding import Instruction, encode
from ohmweave.rtl.isa import ControlOp, Half, Place
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT, NodeRegister
from ohmweave.rtl.pe import StageConfig
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.backends.job import Standstill, hang_message
from ohmweave.sim.compiler import compile_chain
from ohmweave.sim.cycle import explain, standstill
from ohmweave.sim.cycle.decode import chip_settings
from ohmweave.sim.cycle.timing import timing
from ohmweave.sim.mapping import cut as cut_module
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.program import packets
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.two_layers import two_layers as two_layers_on_one

FETCH = encode(Instruction.of(ControlOp.FETCH, src=Place.TREE, des=Place.BUFFER_0), Half.RERAM)
TINY, CHIP = PRESETS["tiny"], replace(PRESETS["tiny"], levels=2)
ALONE = replace(TINY, levels=0)
CIRCLE, CHAIN = "in a circle each waits for the next: ", "each waits for the next: "
Write = tuple[int, int, int]
#: What no chain ends with.
WAITS = ("a result", "a window", "a frame", "flits", "wait", "first")


def said(params: GroupParams, job: Job, *backends: str) -> str:
    """What is said behind how many outputs came; the same by all backends."""
    found = set()
    for backend in backends or ("cxxrtl", "cycle"):
        with pytest.raises(OhmweaveError) as error:
            simulate(params, job, backend)
        found.add(str(error.value))
    assert len(found) == 1, found
    text = found.pop()
    begin, _, why = text.partition("; ")
    assert begin.startswith("the simulation hangs: ")
    assert begin.endswith(f"and then nothing was transferred for {job.idle_limit} cycles")
    assert len(text) < 1000
    print(text)
    return why


def job_of(images: int = 2) -> Job:
    """Layer "one" on PE 0, "two" on PE 1."""
    return replace(two_layers.job_of(images), idle_limit=1000)


def rewritten(job: Job, change: Callable[[Write], Write | None]) -> Job:
    """Other configuration: `change` is given each (unit, address, word)."""
    words = (job.config & 0xFFFF).tolist()
    flits: list[int] = []
    at = 0
    while at < len(words):
        unit, address, count = words[at : at + 3]
        writes = [(unit, address + place, word) for place, word in enumerate(words[at + 3 : at + 3 + count])]
        kept = [each for each in map(change, writes) if each is not None]
        flits += packets(unit, [(place, word) for _, place, word in kept])
        at += 3 + count
    return replace(job, config=np.array(flits, np.uint32))


def without(job: Job, unit: int, region: Region) -> Job:
    return rewritten(
        job, lambda write: None if write[:1] == (unit,) and write[1] >> LOCAL_BITS == region else write
    )


def test_what_is_rewritten() -> None:
    """The tests' own change of nothing is none."""
    job = job_of()
    assert rewritten(job, lambda write: write).config.tolist() == job.config.tolist()


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr(cut_module, "check_flow", lambda stages, pe: None)


@pytest.fixture(autouse=True)
def everything_waits(monkeypatch):
    """Whatever is asked of the model on the way: nothing could go on."""
    reached = standstill._reached

    def asked(*arguments):
        answers = reached(*arguments)
        moving = [ask for ask, answer in answers.items() if answer.moves]
        assert not moving, moving
        return answers

    monkeypatch.setattr(standstill, "_reached", asked)


def spanning_job(convolutions: int) -> Job:
    graph = spanning(convolutions)
    program = mapped(graph, CHIP).program()
    pixels = np.random.default_rng(1).integers(0, 16, (4, 12, 6, 4), dtype=np.uint8)
    return replace(Job.of(program, program.encode(pixels)), idle_limit=3000)


@pytest.mark.parametrize("convolutions", [7, 9])
def test_shortcut_past_too_many_layers(convolutions, unchecked) -> None:
    """Where the streams meet the shortcut is full, the main stream is missing, and that is because of the shortcut."""
    job = spanning_job(convolutions)
    units = {name: unit for unit, name in job.names.items()}
    text = said(CHIP, job)
    assert text.startswith(CIRCLE)
    members = text.removeprefix(CIRCLE).split("; ")
    assert members[0].startswith(
        f"PE {units['met']} (met): its shortcut receiver is full, "
        "its arithmetic half waits for a result, its main receiver waits for "
    )
    # Eight of them are named, the last because it waits for the first.
    assert members.pop(7) == "…"
    between = [f"conv{n}" for n in range(convolutions, 0, -1)][:6]
    assert len(members) == 8
    for member, name in zip(members[1:-1], between, strict=True):
        assert member.startswith(f"PE {units[name]} ({name}): its main receiver waits for ")
    assert members[-1].startswith(f"PE {units['conv0']} (conv0): its flits to the ")
    assert members[-1].endswith(" wait")


@pytest.mark.parametrize("backend", ["verilator", "icarus", "pysim"])
def test_other_simulators(backend) -> None:
    job = replace(job_of(1), idle_limit=300)
    job = replace(job, frames=job.frames[:, :-2].copy())
    text = said(TINY, job, backend, "cycle")
    assert text.endswith("the host: it has nothing more to send")


def test_frames_that_are_too_short() -> None:
    job = job_of()
    job = replace(job, frames=job.frames[:, :-2].copy())
    assert said(TINY, job) == (
        CHAIN + "PE 1 (two): its main receiver waits for pixel 7 of 12; "
        "PE 0 (one): its main receiver waits for pixel 23 of 30; the host: it has nothing more to send"
    )


def test_one_output_more() -> None:
    job = job_of()
    assert said(TINY, replace(job, outputs_per_frame=job.outputs_per_frame + 1)) == (
        CHAIN + "PE 1 (two): its main receiver waits for a frame; "
        "PE 0 (one): its main receiver waits for a frame; the host: it has nothing more to send"
    )


def test_shares_are_explained_by_themselves() -> None:
    """Of the second share's own frames: the first has two of them and gives an output for each."""
    job = job_of(3)
    job = replace(job, frames=job.frames[:, :-8].copy(), outputs_per_frame=7)
    with pytest.raises(OhmweaveError) as error:
        simulate(TINY, job, "cxxrtl", jobs=2)
    with pytest.raises(OhmweaveError) as expected:
        simulate(TINY, replace(job, frames=job.frames[:2]), "cycle")
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("unit", [0, 1])
def test_no_stage(unit) -> None:
    text = said(TINY, without(job_of(), unit, Region.STAGE))
    if unit:
        assert text == "PE 1 (two): it was never enabled"
    else:
        assert (
            text
            == CHAIN + "PE 1 (two): its main receiver waits for a frame; PE 0 (one): it was never enabled"
        )


def test_no_routes() -> None:
    assert said(TINY, without(job_of(), 0, Region.ROUTES)) == (
        CHAIN
        + "PE 1 (two): its main receiver waits for a frame; PE 0 (one): its switch leads nothing to the east"
    )
    assert said(TINY, without(job_of(), 1, Region.ROUTES)) == (
        "PE 1 (two): its switch leads nothing to the collection tree"
    )


def test_a_pe_that_was_told_nothing() -> None:
    job = job_of()
    assert said(TINY, rewritten(job, lambda write: None if write[0] == 1 else write)) == (
        "the collection tree: it takes from PEs that were told nothing"
    )
    assert said(TINY, rewritten(job, lambda write: None if write[0] == 0 else write)) == (
        "PE 1 (two): nothing comes from the west: PE 0, which was told nothing; "
        "frames wait too: the distribution tree: its flits are for PEs that were told nothing"
    )


def test_trees_that_are_closed() -> None:
    def closed(register: int) -> Job:
        return rewritten(
            job_of(),
            lambda write: (*write[:2], 0) if write[:2] == (FIRST_NODE_UNIT, register) else write,
        )

    assert said(TINY, closed(NodeRegister.SELECT)) == "the collection tree: it takes from nowhere"
    assert said(TINY, closed(NodeRegister.CHILDREN)) == (
        CHAIN
        + "PE 1 (two): its main receiver waits for a frame; PE 0 (one): its main receiver waits for a frame; "
        "the distribution tree: it is closed"
    )


def with_stage(job: Job, unit: int, path: tuple[str, ...], value: int) -> Job:
    """Another value of a field of a PE's stage."""
    shape, start = StageConfig(TINY.pe), 0
    for name in path:
        start += shape[name].offset
        shape = shape[name].shape
    width = Shape.cast(shape).width

    def change(write: Write) -> Write:
        each, address, word = write
        region, local = address >> LOCAL_BITS, address & ((1 << LOCAL_BITS) - 1)
        if each == unit and region == Region.STAGE:
            for bit in range(start, start + width):
                if bit // 16 == local:
                    word = word & ~(1 << bit % 16) | (value >> (bit - start) & 1) << bit % 16
        return each, address, word

    return rewritten(job, change)


def with_length(job: Job, unit: int, length: int) -> Job:
    """So many instructions of a PE's ReRAM half."""
    return with_stage(job, unit, ("reram", "length"), length)


def with_fetch(job: Job, unit: int) -> Job:
    """FETCH in place of the first instruction of a PE's ReRAM half."""

    def change(write: Write) -> Write:
        each, address, word = write
        local = address - Region.RERAM_PROGRAM.address(0)
        return each, address, FETCH >> (16 * local) & 0xFFFF if each == unit and local in (0, 1) else word

    return rewritten(job, change)


def test_a_pe_without_program() -> None:
    text = said(TINY, with_length(job_of(), 1, 0))
    assert text == "PE 1 (two): its ReRAM half has no program"
    text = said(TINY, with_length(job_of(), 0, 0))
    assert (
        text
        == CHAIN
        + "PE 1 (two): its main receiver waits for a frame; PE 0 (one): its ReRAM half has no program"
    )


def test_fetch() -> None:
    """It stops a program for good."""
    assert said(TINY, with_fetch(job_of(), 1)) == (
        "PE 1 (two): FETCH stopped its ReRAM half, at instruction 0"
    )
    assert said(TINY, with_fetch(job_of(), 0)) == (
        CHAIN + "PE 1 (two): its main receiver waits for a frame; "
        "PE 0 (one): FETCH stopped its ReRAM half, at instruction 0"
    )


def closed_job(monkeypatch, change) -> Job:
    program = routes_of.changed(monkeypatch, change)
    pixels = np.random.default_rng(1).integers(0, 16, (2, 5, 5, 4), dtype=np.uint8)
    return replace(Job.of(program, program.encode(pixels)), idle_limit=1000)


def test_closed_routes(monkeypatch) -> None:
    """A receiver that its switch gives nothing, and results that go nowhere."""
    job = closed_job(monkeypatch, lambda routes, where: routes[where["second"]].pop(SwitchOutput.MAIN))
    units = {name: unit for unit, name in job.names.items()}
    monkeypatch.undo()
    assert said(CHIP, job) == (
        f"{CHAIN}PE {units['logits']} (logits): its main receiver waits for a frame; "
        f"PE {units['third']} (third): its main receiver waits for a frame; "
        f"PE {units['second']} (second): its switch leads nothing to its main receiver"
    )

    def nowhere(routes, where) -> None:
        for output, source in list(routes[where["second"]].items()):
            if source == SwitchInput.CORE:
                del routes[where["second"]][output]

    text = said(CHIP, closed_job(monkeypatch, nowhere))
    assert f"PE {units['second']} (second): its switch leads nothing to the " in text


def test_turns_that_do_not_fit_a_pixel() -> None:
    """PE B takes one flit more of PE A than a pixel has, and B's own results wait for their turn."""
    bench = turns.Bench(turns.graph_of(8, 4, 1, 3), TINY)
    one = bench.flits(0, 4)
    a, b, c = turns.A, turns.B, turns.C
    bench.put(a, 0, (0, 4), {turns.MAIN: turns.TREE, turns.to(a, b): turns.CORE})
    taken = Turns(turns.come(b, a), one + 1, turns.CORE, one)
    bench.put(b, 0, (4, 8), {turns.MAIN: turns.TREE, turns.to(b, c): taken})
    bench.put(c, 1, (0, 3), {turns.MAIN: turns.come(c, b), turns.COLLECTION: turns.CORE})
    program = bench.program([a, b], c)
    frames = program.encode(np.ones((2, turns.SIZE, turns.SIZE, 3), np.uint8))
    assert said(TINY, replace(Job.of(program, frames), idle_limit=2000)) == (
        f"{CHAIN}PE {c} (all): its main receiver waits for pixel 13 of 25; PE {b} (all): its switch takes from the "
        f"west first; PE {a} (all): its main receiver waits for a frame; the host: it has nothing more to send"
    )


def test_a_pe_that_waits_for_itself() -> None:
    """Its program only lets frames in: nothing empties the buffer that they fill."""
    text = said(TINY, with_length(job_of(), 0, 1))
    assert text == (
        "PE 0 (one) waits for itself: instruction 0 of its ReRAM half waits for the end of the main frame, "
        "its main receiver is full, its convolution buffer is full"
    )


def both_layers(in_place: bool) -> Job:
    """On the one PE of a chip, in one buffer or in both."""
    graph, tilings = two_layers.pair(2, (3, 3), (1, 1), 7)
    made = two_layers_on_one(*tilings, ALONE.pe, in_place=in_place)
    assert made is not None
    program = compile_chain([made], ALONE)
    frames = program.encode(two_layers.pixels_of(graph, 7, 3) >> 4)
    return replace(Job.of(program, frames), idle_limit=1000)


@pytest.mark.parametrize("in_place", [False, True])
def test_two_layers_on_one_pe(in_place: bool) -> None:
    """Windows of the second layer come of results of the first: the array waits for the host, not for itself."""
    job = both_layers(in_place)
    assert said(ALONE, replace(job, frames=job.frames[:, :-3].copy())) == (
        f"{CHAIN}PE 0 (one + two): its main receiver waits for pixel 38 of 49; "
        "the host: it has nothing more to send"
    )


def test_results_that_no_program_takes() -> None:
    job = with_stage(both_layers(in_place=True), 0, ("arithmetic", "pool", "enable"), 0)
    assert (
        said(ALONE, job)
        == "PE 0 (one + two): no program of its arithmetic half takes the results of its array"
    )


@pytest.mark.parametrize("limit", [4, 5, 6, 7])
def test_a_limit_that_is_too_short(limit: int) -> None:
    """What still works is no standstill, wherever in a read the limit falls."""
    assert said(TINY, replace(job_of(1), idle_limit=limit)).endswith(" still works")


def test_names(unchecked) -> None:
    """Long names are cut, those that are not known left out."""
    job = spanning_job(7)
    longest = {unit: f"{name}{'x' * 200}" for unit, name in job.names.items()}
    text = said(CHIP, replace(job, names=longest))
    assert f"PE {min(longest)} ({longest[min(longest)][:23]}…): " in text
    unnamed = said(CHIP, replace(job, names={}))
    assert "(" not in unnamed
    assert unnamed.count("PE ") == 8


def outcome(job: Job) -> str:
    with pytest.raises(OhmweaveError) as error:
        simulate(TINY, job)
    return str(error.value)


def test_what_the_model_refuses() -> None:
    """The sentence is as it would be without a model."""
    job = without(job_of(), 1, Region.STAGE)
    told = packets(0, [(Region.ROUTES.address(15), 0)])
    late = replace(job, config=np.concatenate([job.config, np.array(told, np.uint32)]))
    with pytest.raises(
        OhmweaveError, match=r"^the cycle model takes no configuration of PE 0 after it was enabled$"
    ):
        simulate(TINY, late, "cycle")
    assert outcome(late) == (
        "the simulation hangs: 0 of 24 outputs came, and then nothing was transferred for 1000 cycles"
    )


def test_a_model_that_differs_or_breaks(monkeypatch) -> None:
    job = without(job_of(), 1, Region.STAGE)
    begin = "the simulation hangs: 0 of 24 outputs came, and then nothing was transferred for 1000 cycles"
    monkeypatch.setattr(explain, "timing", lambda params, chip, job: None)
    assert outcome(job) == f"{begin}; the cycle model does not stand still"

    def elsewhere(params, chip, job) -> None:
        raise hang_message(job, 3, "whatever")

    monkeypatch.setattr(explain, "timing", elsewhere)
    assert outcome(job) == f"{begin}; the cycle model stands still after 3"

    def broken(params, chip, job) -> None:
        raise IndexError

    monkeypatch.setattr(explain, "timing", broken)
    assert outcome(job) == begin
    # In plain Python it would take too long.
    monkeypatch.undo()
    monkeypatch.setattr(explain, "COMPILED", False)
    assert outcome(job) == begin


def damaged(job: Job, chance: random.Random) -> tuple[Job, bool]:
    """One thing that is wrong, and whether the chip is sound for all that.

    Frames are shorter, an output is expected too many, a PE or a part of it is left out, or a word is 0.
    """
    unit = chance.choice(sorted(job.levels))
    words: list[Write] = []
    rewritten(job, lambda write: words.append(write) or write)
    zero = chance.choice([each for each in words if each[1] >> LOCAL_BITS in (Region.ROUTES, Region.STAGE)])
    ways: list[Callable[[], Job]] = [
        lambda: replace(
            job, frames=job.frames[:, : chance.randint(1, max(job.frames.shape[1] - 1, 1))].copy()
        ),
        lambda: replace(job, outputs_per_frame=job.outputs_per_frame + 1),
        lambda: rewritten(job, lambda write: None if write[0] == unit else write),
        lambda: without(job, unit, chance.choice([Region.ROUTES, Region.STAGE])),
        lambda: with_length(job, unit, chance.randint(0, 3)),
        lambda: with_fetch(job, unit),
        lambda: rewritten(job, lambda write: (*write[:2], 0) if write[:2] == zero[:2] else write),
    ]
    way = chance.randrange(len(ways))
    return ways[way](), way < 2


def test_everything_that_stands_still_is_explained() -> None:
    """Random graphs, of which random parts are left out; where the chip is sound it waits for the host."""
    chance = random.Random(5)
    found: list[tuple[str, bool]] = []
    for seed in range(25):
        graph = random_graph(seed, LIMITS)
        channels, height, width = graph.input.shape
        pixels = np.random.default_rng(seed).integers(0, 16, (2, height, width, channels), dtype=np.uint8)
        try:
            program = mapped(graph, CHIP).program()
        except OhmweaveError:  # it does not fit
            continue
        job = replace(Job.of(program, program.encode(pixels)), idle_limit=1500)
        for _ in range(10):
            made, sound = damaged(job, chance)
            try:
                timing(CHIP, chip_settings(CHIP, made.config), made)
            except Standstill as hang:
                found.append((str(hang), sound))
            except OhmweaveError:  # refused before it runs
                pass
    print(f"{len(found)} of them hang")
    assert len(found) > 80
    for text, sound in found:
        assert len(text) < 1000
        circle = CIRCLE in text or " waits for itself: " in text
        assert circle or not text.endswith(WAITS), text
        if sound:
            assert text.endswith("the host: it has nothing more to send"), text
