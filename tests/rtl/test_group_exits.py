"""Frames from copies to copies through the frame buffers of a whole chip, whose PEs pass on what they get."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import lcm

import numpy as np
import pytest

from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.network.tree_entry import EntryRegister, entry_unit, entry_writes
from ohmweave.rtl.network.tree_node import RADIX, node_writes
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, switch_writes
from ohmweave.sim.backends import Job, Result, Standstill, simulate
from ohmweave.sim.program import packets

TINY = PRESETS["tiny"]
#: Buffers of little more than a frame. Other tests run the same chips, so that they are built once for all.
SMALL = replace(TINY, levels=1, entries=4, exit_flits=16)
EACH = replace(TINY, levels=2, entries=16, exit_flits=16)
FLITS = 11


def configuration(params: GroupParams, copies: Sequence[int]) -> list[int]:
    """PE n passes on what comes by entry n; sections of so many copies, one PE each, the last of one copy."""
    flits: list[int] = []
    for unit in range(sum(copies)):
        routes = switch_writes({SwitchOutput.COLLECTION: SwitchInput.TREE})
        flits += packets(unit, [(Region.ROUTES.address(local), word) for local, word in routes])
    last = sum(copies) - 1
    for level in range(params.levels):
        index, child = divmod(last // RADIX ** (params.levels - level - 1), RADIX)
        flits += packets(node_unit(level, index), node_writes(select=child).items())
    first = 0
    for section, count in enumerate(copies):
        before = copies[section - 1] if section else 0
        behind = copies[section + 1] if section + 1 < len(copies) else 0
        for j in range(count):
            sources = [first - before + (j + t * count) % before for t in range(lcm(count, before) // count)]
            turns = lcm(count, behind) // count
            targets = [first + count + (j + t * count) % behind for t in range(turns)]
            writes = entry_writes(
                opened=2 if section else 1,
                exit=bool(behind),
                sources=sources,
                in_turn=FLITS if section else 0,
                targets=targets,
                out_turn=FLITS if behind else 0,
            )
            flits += packets(entry_unit(first + j), writes.items())
        first += count
    return flits


def job_of(params: GroupParams, copies: Sequence[int], rounds: int, *, before: Sequence[int] = ()) -> Job:
    """Frames that count up, dealt out to the first section in turn."""
    words = np.arange(rounds * copies[0] * FLITS, dtype=np.uint16).reshape(rounds, copies[0], FLITS)
    frames = np.zeros((rounds, params.entries, FLITS), np.uint16)
    frames[:, : copies[0]] = words
    return Job(
        levels={},
        config=np.array([*before, *configuration(params, copies)], np.uint32),
        frames=frames,
        outputs_per_frame=copies[0] * FLITS,
        entry_flits=tuple(FLITS if entry < copies[0] else 0 for entry in range(params.entries)),
        idle_limit=300,
    )


def run(params: GroupParams, copies: Sequence[int], rounds: int, **changed: Sequence[int]) -> Result:
    """All frames come out whole and in their order."""
    result = simulate(params, job_of(params, copies, rounds, **changed), "cxxrtl")
    assert result.outputs.reshape(-1).tolist() == list(range(rounds * copies[0] * FLITS)), copies
    return result


@pytest.mark.nightly
def test_sections_of_many_copies() -> None:
    """From many to few, from few to many, several sections."""
    for copies, rounds in [((5, 1), 6), ((1, 4, 1), 30), ((5, 4, 1), 8), ((3, 2, 4, 6, 1), 8), ((15, 1), 2)]:
        run(EACH, copies, rounds)


def test_buffers_that_are_parts_of_the_simulation() -> None:
    """With another configuration before, whose sequences and routes are written anew; and a rate."""
    # All of it closed but the exits, which nothing reaches.
    stale = [
        flit
        for entry in range(4)
        for flit in packets(
            entry_unit(entry),
            entry_writes(opened=0, exit=True, sources=(), targets=[3, 2, 1, 0], out_turn=9).items(),
        )
    ]
    for copies in [(1, 1), (3, 1), (1, 2, 1), (1, 1, 1, 1)]:
        result = run(SMALL, copies, 12, before=stale)
        # Behind one copy all frames go over one link, a flit a cycle without a gap.
        assert result.last_out[-1] - result.last_out[0] == 11 * copies[0] * FLITS, copies


def test_latency() -> None:
    """A section more is 1 cycle of an entry, 2 + 2 of a PE's switch and a buffer."""
    spans = []
    for copies in [(1,), (1, 1), (1, 1, 1), (1, 1, 1, 1)]:
        result = run(SMALL, copies, 1)
        spans.append(int(result.last_out[0] - result.first_in[0]))
    assert [after - before for before, after in pairwise(spans)] == [1 + 2 + 2] * 3


def test_closed_exits_change_nothing() -> None:
    """Not a cycle, beside a chip that has none."""
    job = job_of(SMALL, (1,), 5)
    # It takes a tenth of the time to build.
    backend = "icarus" if shutil.which("iverilog") else "cxxrtl"
    with_exits, without = (simulate(replace(SMALL, exit_flits=flits), job, backend) for flits in (16, 0))
    assert (with_exits.outputs == without.outputs).all()
    assert (with_exits.last_out == without.last_out).all()
    assert with_exits.cycles == without.cycles


def test_an_entry_that_the_buffer_does_not_name_gets_nothing() -> None:
    """Each has to name the other; what is in the buffer stays there."""
    job = job_of(SMALL, (1, 1), 2)
    wrong = packets(entry_unit(0), [(EntryRegister.OUT_TABLE, 2)])
    job = replace(job, config=np.concatenate([job.config, np.array(wrong, np.uint32)]))
    with pytest.raises(Standstill, match="the simulation hangs: 0 of 22 outputs came"):
        simulate(SMALL, job, "cxxrtl")
