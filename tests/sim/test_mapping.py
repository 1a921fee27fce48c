"""A whole network on a chip at once: how it is cut, placed and routed, and what is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from mapping_graphs import LIMITS, conv, spanning

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.rtl.group import STEPS, mesh_position, mesh_unit
from ohmweave.sim import library
from ohmweave.sim.graph import RAW_BITS, Graph, Tensor
from ohmweave.sim.mapping.allocate import allocated, quicker
from ohmweave.sim.mapping.cut import Cut, Cutter
from ohmweave.sim.mapping.layout import laid_out
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.mapping.nets import nets
from ohmweave.sim.mapping.place import distance, improved, ranked
from ohmweave.sim.mapping.route import Crowded, routed
from ohmweave.sim.mapping.times import piece_times
from ohmweave.sim.random_graph import random_graph

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
#: A chip of 64 small PEs.
CHIP = replace(TINY, levels=3)
UNITS = range(CHIP.pes)
SEEDS = range(60)


def cuts() -> list[tuple[int, Cut]]:
    """Random graphs that can be cut, by their seeds."""
    found = []
    for seed in SEEDS:
        try:
            found.append((seed, Cutter(random_graph(seed, LIMITS), CHIP.pe).cut()))
        except OhmweaveError:
            continue
    assert len(found) > len(SEEDS) // 3
    return found


CUTS = cuts()


@pytest.mark.parametrize(("seed", "cut"), CUTS, ids=lambda each: each if isinstance(each, int) else "")
def test_pieces_do_all_of_a_stage(seed, cut):
    """Each row of a stage's pieces has all rows of the weights, the rows together all columns, each once."""
    for name in {piece.stage.name for piece in cut.pieces}:
        pieces = cut.of(name)
        stage = pieces[0].stage
        columns: Counter[int] = Counter()
        for piece in pieces:
            tiling, channels = piece.tiling, range(*piece.gives)
            assert len(channels) * tiling.stage.merged == piece.outs[1] - piece.outs[0]
            if piece.final:
                columns.update(channels)
            assert (piece.stream is None) == (not piece.final)
            assert (piece.partial is None) == (piece.place == 0)
            start, end = tiling.shares[piece.place]
            held = piece.main.channels
            assert held[0] <= piece.first + start < piece.first + end <= held[1], "channels of another stream"
            if piece.final and stage.side is not None:
                assert piece.side.channels[0] <= min(channels) <= max(channels) < piece.side.channels[1]
        assert columns == Counter(range(stage.out_channels // pieces[0].stage.merged))


def test_slices_stay_apart_where_nobody_needs_them_together():
    """Of 32 channels made in two slices, readers that take one each have streams of their own; the host has one."""
    nodes = (
        conv("wide", "image", outs=32, ins=4),
        conv("alone", "wide", ins=32, outs=32, kernel=1, groups=1),
        conv("logits", "alone", ins=32, outs=32, kernel=1, bits=RAW_BITS, mult=np.zeros(0, np.uint16),
             shift=np.zeros(0, np.int8)),
    )  # fmt: skip
    graph = Graph(name="wide", input=Tensor(name="image", shape=(4, 5, 5), bits=4), nodes=nodes)
    cut = Cutter(graph, CHIP.pe).cut()
    slices = [piece for piece in cut.of("wide") if piece.stream is not None]
    assert [piece.outs for piece in slices] == [(0, 16), (16, 32)]
    assert len({piece.stream for piece in slices}) == len(cut.of("alone")[0].tiling.shares) == 2
    assert cut.output.channels == (0, 32)
    assert [piece.before is None for piece in cut.output.pieces] == [True] + [False] * (
        len(cut.output.pieces) - 1
    )


@pytest.mark.parametrize(("seed", "cut"), CUTS, ids=lambda each: each if isinstance(each, int) else "")
def test_layout(seed, cut):
    """Pieces on different PEs; every net a tree of neighbouring PEs that reaches all its ends; no link used twice."""
    if len(cut.pieces) > CHIP.pes:
        pytest.skip("it is larger than the chip")
    entry = UNITS[:16] if seed % 2 else UNITS
    if sum(piece.reads(cut.image) for piece in cut.pieces) > len(entry):
        pytest.skip("more pieces read the image than may")
    allowed = {piece: entry for piece in cut.pieces if piece.reads(cut.image)}
    layout = laid_out(cut.pieces, UNITS, allowed)
    where = layout.placement
    assert len(set(where.values())) == len(cut.pieces)
    assert all(where[piece] in entry for piece in cut.pieces if piece.reads(cut.image))
    assert {route.net.source for route in layout.routes} == {
        net.source for net in nets(cut.pieces) if net.sinks
    }
    used: Counter[tuple[int, int]] = Counter()
    for route in layout.routes:
        used.update(route.links)
        there = {where[route.net.source]}
        for unit, side in route.links:
            assert unit in there, "a link that nothing leads to"
            (x, y), (dx, dy) = mesh_position(unit), STEPS[side]
            assert 0 <= x + dx < CHIP.side
            assert 0 <= y + dy < CHIP.side
            after = mesh_unit(x + dx, y + dy)
            assert after not in there, "two ways to a PE"
            there.add(after)
        assert there >= {where[piece] for piece, _ in route.net.sinks}
    assert not used or max(used.values()) == 1


def test_annealing_shortens_the_ways_and_is_repeatable():
    cut = Cutter(library.builtin("resnet20-w4a4"), FULL.pe).cut()
    first = ranked(cut.pieces, UNITS, {})
    assert list(first.values()) == list(range(len(cut.pieces)))
    better = improved(cut.pieces, first, UNITS, {})
    assert distance(cut.pieces, better) < distance(cut.pieces, first)
    assert better == improved(cut.pieces, first, UNITS, {})
    assert better != improved(cut.pieces, first, UNITS, {}, seed=2)


def test_too_few_links():
    """Four PEs in a square have too few for a layer of many streams; whoever lays out says so in the end."""
    _, cut = max(
        ((seed, cut) for seed, cut in CUTS if len(cut.pieces) <= 16),
        key=lambda each: len(nets(each[1].pieces)),
    )
    crowded = [piece for piece in cut.pieces for _ in range(1)]
    placement = {piece: unit for unit, piece in enumerate(crowded)}
    line = [mesh_unit(x, 0) for x in range(8)] + [mesh_unit(x, 1) for x in range(8)]
    tight = {piece: line[unit] for piece, unit in placement.items()}
    with pytest.raises(
        Crowded, match=r"^\d+ links of the mesh would carry two streams each: no other ways are left$"
    ):
        routed(cut.pieces, tight, sorted(line)[: len(cut.pieces)])


def test_allocation_goes_from_slowest_to_slowest():
    """Layers of one block of results cannot be made faster; others are, until no PEs are left."""
    found = allocated(library.builtin("resnet20-w4a4"), FULL.pe, 64)
    assert [step.pes for step in found.steps] == [23]
    wide = Graph(
        name="wide",
        input=Tensor(name="image", shape=(4, 6, 6), bits=4),
        nodes=(
            conv("slow", "image", ins=4, outs=16),
            conv("logits", "slow", ins=16, outs=4, kernel=1, bits=RAW_BITS, mult=np.zeros(0, np.uint16),
                 shift=np.zeros(0, np.int8)),
        ),
    )  # fmt: skip
    found = allocated(wide, CHIP.pe, 64)
    cycles = [step.times.longest for step in found.steps]
    assert cycles == sorted(cycles, reverse=True)
    assert len(cycles) > 1
    assert [step.pes for step in found.steps] == sorted({step.pes for step in found.steps})
    assert found.steps[-1].pes == len(found.cut.pieces)
    slowest = max(piece_times(piece, CHIP.pe).longest for piece in found.cut.pieces)
    assert found.interval == slowest
    few = allocated(wide, CHIP.pe, found.steps[0].pes)
    assert len(few.steps) == 1
    assert few.interval > found.interval


@pytest.mark.parametrize("more", [0, 1, 2, 5, 41])
def test_pes_that_are_left(more):
    """Never more than there are; the steps that gain most for a PE first; half of them each time; at last none."""
    start = allocated(library.builtin("resnet20-w4a4"), FULL.pe, 64)
    pes = len(start.cut.pieces) + more
    found = list(quicker(start, FULL.pe, pes))
    assert found[-1] is start
    counts = [len(each.cut.pieces) for each in found]
    assert counts == sorted(set(counts), reverse=True)
    assert max(counts) <= pes
    for each in found:
        assert max(piece_times(piece, FULL.pe).longest for piece in each.cut.pieces) == start.interval
        before, after = rows_of(start.cut), rows_of(each.cut)
        assert all(after[name] in (before[name], 2 * before[name], 4 * before[name]) for name in before)
    if more == 2:
        gains = {}
        for stage in start.cutter.stages:
            before = max(piece_times(piece, FULL.pe).longest for piece in start.cut.of(stage.name))
            try:
                wider = start.cutter.cut({**start.rows, stage.name: 2}).of(stage.name)
            except OhmweaveError:
                continue
            taken = len(wider) - len(start.cut.of(stage.name))
            after = max(piece_times(piece, FULL.pe).longest for piece in wider)
            if taken:
                gains[stage.name] = (before - after) / stage.result.shape[1] / taken
        best = sorted(gains, key=gains.__getitem__, reverse=True)[:2]
        assert {name for name, count in rows_of(found[0].cut).items() if count > 1} == set(best)


def rows_of(cut: Cut) -> Counter[str]:
    """Rows of PEs of each stage."""
    return Counter(piece.stage.name for piece in cut.pieces if piece.final)


def test_a_network_that_does_not_fit_says_how_many_are_missing():
    network = library.builtin("resnet20-w4a4")
    with pytest.raises(OhmweaveError) as error:
        mapped(network, FULL)
    assert str(error.value) == (
        "resnet20_w4a4 needs 23 PEs for all its stages at once, 7 more than the 16 of the chip"
    )
    with pytest.raises(OhmweaveError) as error:
        mapped(network, replace(FULL, levels=3), 3)
    assert str(error.value) == "copies of resnet20_w4a4 must divide the 64 PEs of the chip, which 3 do not"


def test_a_shortcut_past_too_many_layers():
    """The second buffer has six rows: one for the window, five that wait while the longer way comes."""
    for count in range(6):
        Cutter(spanning(count), TINY.pe)
    with pytest.raises(OhmweaveError) as error:
        Cutter(spanning(6), TINY.pe)
    assert str(error.value) == (
        "met adds conv0, of which 6 rows can wait: 1 more rows of conv0 come before conv6"
    )
    # A map that the buffer holds whole has no such limit.
    Cutter(spanning(9, size=6), TINY.pe)
