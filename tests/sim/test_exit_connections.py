"""Frame buffers and the entries that take from them: what does not fit together is named, and what does runs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from exit_programs import chain, job_of, sections

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.network.tree_entry import EntryRegister, entry_unit
from ohmweave.rtl.network.tree_node import NodeRegister
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, switch_writes
from ohmweave.sim.backends import simulate
from ohmweave.sim.connections import check_connections
from ohmweave.sim.program import Program, packets

SMALL = replace(PRESETS["tiny"], levels=1, entries=4, exit_flits=16)
EACH = replace(PRESETS["tiny"], levels=2, entries=16, exit_flits=16)
NODES = replace(PRESETS["tiny"], levels=2, entries=4, exit_flits=64)
#: Flits of a map.
MAP = 15


def program(
    copies: tuple[int, ...], change: dict[int, dict] | None = None, params: GroupParams = SMALL
) -> Program:
    return sections(chain(len(copies)), (1,) * len(copies), copies, params, change)


def refusal(made: Program) -> str:
    with pytest.raises(OhmweaveError) as error:
        check_connections(made)
    return str(error.value)


def written(made: Program, unit: int, writes: dict[int, int]) -> Program:
    """With further configuration."""
    more = np.array(packets(unit, writes.items()), np.uint32)
    return replace(made, config=np.concatenate([made.config, more]))


@pytest.mark.parametrize(
    ("params", "copies"),
    [
        (SMALL, (1, 1)),
        (SMALL, (2, 2)),
        (SMALL, (1, 2, 1)),
        (EACH, (3, 2)),
        (EACH, (2, 3)),
        (EACH, (5, 4, 1)),
        (EACH, (4, 6, 4)),
        (NODES, (3, 1)),
        (NODES, (1, 1, 2)),
    ],
)
def test_sections_are_sound(params: GroupParams, copies: tuple[int, ...]) -> None:
    check_connections(program(copies, params=params))


@pytest.mark.parametrize(
    ("copies", "change", "text"),
    [
        (
            (1, 1),
            {0: {"exit": False, "targets": (), "out_turn": 0}},
            "the switch of PE 0 sends data to the tree, which does not collect them",
        ),
        ((1, 1), {1: {"sources": (2,)}}, "entry 1 takes from frame buffer 2, which is closed"),
        ((2, 1), {2: {"sources": (0, 3)}}, "entry 2 takes from frame buffer 3, which is closed"),
        ((1, 1), {0: {"targets": (0,)}}, "entry 1 takes from frame buffer 0, which sends it nothing"),
        (
            (2, 1),
            {2: {"sources": (0, 1, 1)}},
            "entry 2 takes 2 turns of a round from frame buffer 1, which sends it 1",
        ),
        (
            (1, 2),
            {1: {"in_turn": 14}},
            "entry 1 takes turns of 14 flits from frame buffer 0, whose turns have 15",
        ),
        (
            (1, 2),
            {2: {"opened": 1, "sources": (), "in_turn": 0}},
            "frame buffer 0 sends to entry 2, which takes nothing from it",
        ),
        ((2, 1), {2: {"sources": (0,)}}, "frame buffer 1 sends to entry 2, which takes nothing from it"),
        ((1, 2), {0: {"targets": (1, 2, 3)}}, "frame buffer 0 sends to entry 3, which takes nothing from it"),
        (
            (2, 2),
            {
                0: {"targets": (3, 2)},
                1: {"targets": (2, 3)},
                2: {"sources": (0, 1)},
                3: {"sources": (1, 0)},
            },
            "entry 2 waits for frame buffer 0, and that for entry 3: their turns never meet",
        ),
    ],
)  # fmt: skip
def test_turns(copies: tuple[int, int], change: dict[int, dict], text: str) -> None:
    assert refusal(program(copies, change)) == text


def test_branches() -> None:
    made = program((1, 1))
    assert refusal(written(made, entry_unit(1), {EntryRegister.IN_TURN: 0})) == (
        "entry 1 takes turns of 0 flits from frame buffers, which never end"
    )
    assert refusal(written(made, entry_unit(2), {EntryRegister.EXIT: 1, EntryRegister.OUT_TABLE: 1})) == (
        "the tree collects from PE 2, whose switch sends it nothing"
    )
    assert refusal(written(made, node_unit(0, 0), {NodeRegister.SELECT: 1})) == (
        "the switch of PE 1 sends data to the tree, which does not collect them"
    )
    assert refusal(written(made, node_unit(0, 0), {NodeRegister.TURN: 1, NodeRegister.TURN + 1: 1})) == (
        "the tree collects from branch 0, which leaves into a frame buffer"
    )


def test_what_is_below() -> None:
    """Nothing comes into a buffer, or nobody takes what an entry lets in."""
    made = program((1, 1), {3: {"opened": 0, "exit": True, "targets": (2,), "out_turn": MAP}})
    made = written(
        made,
        entry_unit(2),
        {EntryRegister.IN_TURN: MAP, EntryRegister.IN_COUNT: 1, EntryRegister.IN_TABLE: 3},
    )
    made = written(made, entry_unit(2), {EntryRegister.OPEN: 2})
    assert refusal(made) == "the tree sends data to PE 2, whose switch takes none of it"
    nodes = sections(chain(2), (1, 1), (1, 1), NODES)
    assert refusal(written(nodes, node_unit(1, 0), {NodeRegister.SELECT: 2})) == (
        "the switch of PE 0 sends data to the tree, which does not collect them"
    )
    assert refusal(written(nodes, node_unit(1, 1), {NodeRegister.CHILDREN: 0})) == (
        "the switch of PE 4 takes data of the tree, which sends it none"
    )
    nodes = written(nodes, entry_unit(2), {EntryRegister.EXIT: 1, EntryRegister.OUT_TURN: MAP})
    nodes = written(nodes, entry_unit(2), {EntryRegister.OUT_COUNT: 1, EntryRegister.OUT_TABLE: 3})
    told = {EntryRegister.IN_TURN: MAP, EntryRegister.IN_COUNT: 1, EntryRegister.IN_TABLE: 2}
    nodes = written(nodes, entry_unit(3), {**told, EntryRegister.OPEN: 2})
    assert refusal(nodes) == "entry 3 takes from frame buffers, and no PE below it takes data of the tree"
    routes = switch_writes({SwitchOutput.COLLECTION: SwitchInput.TREE})
    passing = written(nodes, 12, {Region.ROUTES.address(local): word for local, word in routes})
    passing = written(passing, node_unit(1, 3), {NodeRegister.CHILDREN: 1, NodeRegister.SELECT: 1})
    passing = written(passing, node_unit(0, 0), {NodeRegister.TURN + 1: 1, NodeRegister.TURN + 3: 1})
    assert refusal(passing) == "frame buffer 2 is open, and no PE below it sends it anything"


def test_turns_that_pass_come_to_the_end() -> None:
    """Orders changed at random: a round that the check goes through the chip goes through, too, and no other."""
    rng = random.Random(5)
    found = {True: 0, False: 0}
    graph = chain(2, size=(3, 3))
    for _ in range(150):
        rounds = rng.choice([1, 2])
        pairs = [(source, target) for source in range(2) for target in (2, 3)] * rounds
        change = {}
        for number in range(4):
            shuffled = rng.sample(pairs, len(pairs))
            if number < 2:
                change[number] = {"targets": [target for source, target in shuffled if source == number]}
            else:
                change[number] = {"sources": [source for source, target in shuffled if target == number]}
        made = sections(graph, (1, 1), (2, 2), SMALL, change)
        job, _ = job_of(made, graph, 16)
        try:
            check_connections(made)
        except OhmweaveError:
            assert refusal(made).endswith("their turns never meet")
            with pytest.raises(OhmweaveError, match=r"^the simulation hangs: .*; in a circle each waits"):
                simulate(SMALL, replace(job, idle_limit=1000), "cycle")
            found[False] += 1
            continue
        simulate(SMALL, job, "cycle")
        found[True] += 1
    print(found)
    assert min(found.values()) > 20
