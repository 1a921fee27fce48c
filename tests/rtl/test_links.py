"""Names, numbers and bits of a chip's links."""

from dataclasses import replace

import pytest
from amaranth.hdl import Signal

from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.activity import LINKS, STATES, ActivityLayout, PEActivity, PEState, link_numbers
from ohmweave.rtl.links import Link, links

TINY = PRESETS["tiny"]
LARGE = replace(TINY, levels=2)


def named(params: GroupParams) -> dict[str, Link]:
    return {link.name: link for link in links(params)}


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_every_bit_but_those_of_edges_and_states(levels: int) -> None:
    """Numbers and bits rise together, no two links have one, and what has none is a state or leads off the mesh."""
    params = replace(TINY, levels=levels)
    found = links(params)
    for each in ("number", "bit"):
        values = [getattr(link, each) for link in found]
        assert values == sorted(set(values))
    edges = 4 * params.side
    assert len(found) + edges == link_numbers(params)
    assert len(found) + edges + len(STATES) * params.pes == ActivityLayout(params).size
    assert len(named(params)) == len(found)


def test_places() -> None:
    """Worked out by hand for 16 PEs: rows of the mesh 0 1 4 5, 2 3 6 7, 8 9 12 13, 10 11 14 15."""
    found = named(LARGE)
    assert [found[f"PE 3 -> PE {n}"].number for n in (1, 6, 9, 2)] == [18, 19, 20, 21]
    assert found["PE 3 -> node 1.0"].number == 22
    assert found["node 1.0 -> PE 3"].number == 23
    assert "PE 0 -> PE 5" not in found
    assert found["host -> node 0.0"] == Link("host", "node 0.0", 96, 176)
    assert found["node 0.0 -> host"] == Link("node 0.0", "host", 97, 177)
    assert found["node 0.0 -> node 1.2"].number == 98 + 4
    assert found["node 1.2 -> node 0.0"].number == 98 + 5
    assert found["PE 0 -> PE 1"].bit == 5 + 1
    assert found["PE 1 -> PE 0"].bit == 11 + 5 + 3


def test_entries_and_exits() -> None:
    found = named(replace(LARGE, entries=4, exit_flits=64))
    assert found["entry 2 -> node 1.2"].number == 98 + 4
    assert found["node 1.2 -> exit 2"].number == 98 + 5
    found = named(replace(LARGE, entries=16))
    assert found["entry 9 -> PE 9"].number == 9 * 6 + 5
    assert found["PE 9 -> node 1.2"].number == 9 * 6 + 4
    assert found["node 0.0 -> node 1.2"].number == 98 + 4


def test_one_pe() -> None:
    assert [(link.name, link.bit) for link in links(replace(TINY, levels=0))] == [
        ("PE 0 -> host", 9),
        ("host -> PE 0", 10),
    ]


def test_bits_are_those_of_the_layout() -> None:
    """As the group's `activity` has them."""
    assert PEActivity()["flits"].offset == len(STATES)
    assert [state.name for state in PEState] == ["READ", "COMPUTE", "OUTPUT", "NEIGHBOUR", "INPUT", "OFF"]
    layout = ActivityLayout(LARGE)
    for link in links(LARGE):
        whole = Signal(layout).shape()
        if link.number < 16 * len(LINKS):
            unit, place = divmod(link.number, len(LINKS))
            first = whole["pes"].offset + unit * PEActivity().size + PEActivity()["flits"].offset
            assert link.bit == first + place
        else:
            assert link.bit == whole["nodes"].offset + link.number - 16 * len(LINKS)
