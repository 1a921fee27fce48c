"""What a program connects: every stream has a source and is taken, or the first that is not is named."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mapping_graphs import LIMITS, conv, residual

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.group import STEPS, mesh_position
from ohmweave.rtl.switch import SwitchInput, SwitchOutput
from ohmweave.sim import graph_golden
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.compiler import Routes, compile_pass, tiled
from ohmweave.sim.connections import check_connections
from ohmweave.sim.graph import RAW_BITS, Graph, Tensor
from ohmweave.sim.mapping import program as program_module
from ohmweave.sim.mapping.cut import Cutter
from ohmweave.sim.mapping.layout import Layout, laid_out
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.mapping.program import compile_mapped
from ohmweave.sim.program import Program
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.stages import stages

CHIP = replace(PRESETS["tiny"], levels=2)
NO_SCALE = {"bits": RAW_BITS, "mult": np.zeros(0, np.uint16), "shift": np.zeros(0, np.int8)}
SMALL = {"ins": 4, "outs": 4}


def net() -> Graph:
    """A shortcut past one convolution."""
    nodes = (
        conv("first", "image", **SMALL),
        conv("second", "first", **SMALL),
        conv("third", "second", kernel=1, **SMALL, **residual("first")),
        conv("logits", "third", kernel=1, **SMALL, **NO_SCALE),
    )
    return Graph(name="net", input=Tensor(name="image", shape=(4, 5, 5), bits=4), nodes=nodes)


def changed(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[int, Routes], dict[str, int]], None]
) -> Program:
    """The network's program with other routes: `change` is given them, and where each stage is."""
    cut = Cutter(net(), CHIP.pe).cut()
    layout = laid_out(cut.pieces, range(CHIP.pes), {})
    where = {piece.stage.name: unit for piece, unit in layout.placement.items()}
    real = program_module._routes

    def routes(copies: object, layout: Layout, params: GroupParams) -> dict[int, Routes]:
        found = real(copies, layout, params)
        change(found, where)
        return found

    monkeypatch.setattr(program_module, "_routes", routes)
    return compile_mapped([[cut]], layout, CHIP)


def refusal(program: Program) -> str:
    with pytest.raises(OhmweaveError) as error:
        check_connections(program)
    return str(error.value)


def test_programs_of_the_compiler_are_sound():
    count = 0
    for seed in range(40):
        graph = random_graph(seed, LIMITS)
        for copies in (1, 2):
            try:
                found = mapped(graph, CHIP, copies)
            except OhmweaveError:
                continue
            check_connections(found.program())
            count += 1
        try:
            tilings = [tiled(stage, CHIP) for stage in stages(graph)]
        except OhmweaveError:
            continue
        for tiling in tilings:
            for number in range(len(tiling.rounds)):
                check_connections(compile_pass(tiling, number, CHIP))
    assert count > 20


@pytest.mark.parametrize(
    ("levels", "entries", "copies"), [(3, 16, 2), (3, 16, 1), (3, 4, 2), (3, 64, 4), (2, 4, 2)]
)
def test_copies_that_are_larger_than_what_an_entry_has_below(cache, levels, entries, copies):
    """Images come in below the entry of the copy, wherever else its pieces stand."""
    chip = replace(CHIP, levels=levels, entries=entries)
    check_connections(mapped(net(), chip, copies).program())


def test_receivers(monkeypatch):
    def close(output: SwitchOutput, stage: str) -> Callable[[dict[int, Routes], dict[str, int]], None]:
        return lambda routes, where: routes[where[stage]].pop(output)

    text = refusal(changed(monkeypatch, close(SwitchOutput.MAIN, "first")))
    assert text.endswith("takes main data, and its switch sends it none")
    monkeypatch.undo()

    def open_side(routes: dict[int, Routes], where: dict[str, int]) -> None:
        routes[where["first"]][SwitchOutput.SIDE] = SwitchInput.TREE

    text = refusal(changed(monkeypatch, open_side))
    assert text.endswith("sends side data, which its program never takes")
    monkeypatch.undo()
    text = refusal(changed(monkeypatch, close(SwitchOutput.COLLECTION, "logits")))
    assert text.endswith("goes nowhere: no output of its switch takes it")


def test_trees(monkeypatch):
    def no_tree(routes: dict[int, Routes], where: dict[str, int]) -> None:
        """The first stage's data from a side at which nothing is; the tree's flits are then taken by nobody."""
        routes[where["first"]][SwitchOutput.MAIN] = SwitchInput.CORE

    program = changed(monkeypatch, no_tree)
    unit = next(iter(program.stages[0].units))
    assert refusal(program) == f"the tree sends data to PE {unit}, whose switch takes none of it"
    monkeypatch.undo()

    def tree(routes: dict[int, Routes], where: dict[str, int]) -> None:
        routes[where["second"]][SwitchOutput.MAIN] = SwitchInput.TREE
        for output, source in list(routes[where["second"]].items()):
            if output == SwitchOutput.MAIN:
                continue
            routes[where["second"]][output] = source

    assert "PE " in refusal(changed(monkeypatch, tree))


def test_edge_and_neighbours(monkeypatch):
    def over_the_edge(routes: dict[int, Routes], where: dict[str, int]) -> None:
        routes.setdefault(0, {})[SwitchOutput.NORTH] = SwitchInput.CORE

    program = changed(monkeypatch, over_the_edge)
    assert refusal(program) == "the switch of PE 0 sends flits to the north: the edge of the mesh"
    monkeypatch.undo()

    def from_beyond(routes: dict[int, Routes], where: dict[str, int]) -> None:
        routes.setdefault(0, {})[SwitchOutput.WEST] = SwitchInput.NORTH

    assert refusal(changed(monkeypatch, from_beyond)).startswith(
        "the switch of PE 0 takes flits from the north: the edge of the mesh"
    )


def test_circle(monkeypatch):
    """Four PEs that pass on what comes: nothing is ever made there."""

    def circle(routes: dict[int, Routes], where: dict[str, int]) -> None:
        free = next(
            base
            for base in range(0, CHIP.pes, 4)
            if not any(unit in routes for unit in range(base, base + 4))
        )
        corners = {mesh_position(base): base for base in range(free, free + 4)}
        for (x, y), unit in corners.items():
            left, top = (x - mesh_position(free)[0]) == 0, (y - mesh_position(free)[1]) == 0
            ahead = 1 if top and left else 2 if top else 0 if left else 3  # clockwise
            dx, dy = STEPS[ahead]
            assert (x + dx, y + dy) in corners
            behind = {1: 2, 2: 3, 0: 1, 3: 0}[ahead]  # the side from which the one before comes
            routes[unit] = {SwitchOutput(SwitchOutput.NORTH + ahead): SwitchInput(SwitchInput.NORTH + behind)}

    assert refusal(changed(monkeypatch, circle)).endswith("comes back to it in a circle")


def test_whatever_is_changed_is_refused_or_does_no_harm(monkeypatch):
    """Routes changed at random: what passes the check computes the right numbers."""
    rng = random.Random(4)
    graph = net()
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 5, 4), dtype=np.uint8)
    expected = graph_golden.logits(graph, pixels)
    refused = passed = 0
    for _ in range(60):
        units, output, source = rng.random(), rng.choice(list(SwitchOutput)), rng.choice(list(SwitchInput))

        def change(routes: dict[int, Routes], where: dict[str, int]) -> None:
            unit = sorted(routes)[int(units * len(routes))]  # noqa: B023
            routes[unit][output] = source  # noqa: B023

        program = changed(monkeypatch, change)
        monkeypatch.undo()
        try:
            check_connections(program)
        except OhmweaveError:
            refused += 1
            continue
        passed += 1
        job = replace(Job.of(program, program.encode(pixels >> 4)), idle_limit=5000)
        given = program.decode(simulate(CHIP, job, backend="cycle").outputs)
        assert (given.transpose(0, 3, 1, 2) == expected).all()
    print(f"{refused} refused, {passed} passed")
    assert refused > 30
    assert passed
