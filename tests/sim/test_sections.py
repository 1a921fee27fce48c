"""Networks in sections, each on the chip in another number of copies, with frame buffers between them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from mapping_graphs import LIMITS
from test_mapping_run import simulated

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import library
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.cut import Cutter
from ohmweave.sim.mapping.mapped import Mapped, mapped
from ohmweave.sim.mapping.regions import regions, started
from ohmweave.sim.mapping.sections import FULL, divisions
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.run import measure

#: 16 small PEs, and 64 large ones.
CHIP = replace(PRESETS["tiny"], levels=2, entries=4, exit_flits=64)
LARGE = replace(PRESETS["re-reram"], levels=3, entries=16, exit_flits=4096)


def in_sections() -> list[tuple[int, Graph, Mapped]]:
    """Random graphs of which sections in different numbers of copies are faster than copies of the whole."""
    found = []
    for seed in (4, 24, 50, 96):
        graph = random_graph(seed, LIMITS)
        made = mapped(graph, CHIP, None)
        assert len(made.sections) > 1
        found.append((seed, graph, made))
    return found


def test_random_graphs():
    """Every output is golden's; images come as often as predicted, in the same cycles as the model says."""
    shapes = set()
    for seed, graph, made in in_sections():
        shape = tuple(len(cuts) for cuts in made.sections)
        print(f"seed {seed}: {shape} copies, {len(made.pieces)} pieces")
        result, equal = simulated(graph, made, images=4 * made.copies)
        assert equal
        model, equal = simulated(graph, made, images=4 * made.copies, backend="cycle")
        assert equal
        assert result.cycles == model.cycles
        for name in ("last_out", "states", "flits"):
            np.testing.assert_array_equal(getattr(model, name), getattr(result, name), err_msg=name)
        interval = measure(result, made.copies).interval
        assert interval is not None
        assert interval <= made.interval
        assert made.interval < mapped(graph, CHIP, 1).interval
        shapes.add(shape)
    assert shapes == {(3, 1), (2, 1)}


def test_images_that_are_no_whole_round():
    """Copies without an image of their own are sent nothing that counts."""
    _, graph, made = next(each for each in in_sections() if each[2].copies == 3)
    for images in (1, 2, 4):
        _, equal = simulated(graph, made, images=images, backend="cycle")
        assert equal


def test_resnet20():
    """64 PEs: twice as fast as copies of the whole, as predicted."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    made = mapped(graph, LARGE, None)
    whole = mapped(graph, replace(LARGE, exit_flits=0), None)
    assert made.interval <= whole.interval / 2
    result, equal = simulated(graph, made, images=4 * made.copies, backend="cycle")
    assert equal
    assert measure(result, made.copies).interval == made.interval == 1536


def test_divisions():
    """All stages in order, each in one section; fewer and fewer copies, no more than there are entries and PEs for."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    found = divisions(graph, LARGE)
    count = len(Cutter(graph, LARGE.pe).stages)
    assert [each.interval for each in found] == sorted(each.interval for each in found)
    for division in found:
        ends = [run.behind for run in division.runs]
        assert [run.first for run in division.runs] == [0, *ends[:-1]]
        assert ends[-1] == count
        copies = [run.copies for run in division.runs]
        assert all(before >= after for before, after in pairwise(copies))
        assert sum(copies) <= LARGE.entries
        sections = [run.cuts(graph, LARGE) for run in division.runs]
        assert sum(len(cut.pieces) for cuts in sections for cut in cuts) == division.pes <= FULL * LARGE.pes
    fewer = replace(LARGE, entries=4)
    assert divisions(graph, fewer)[0].interval > found[0].interval


def test_regions():
    """Branches of their own for all copies; pieces that the trees feed, or collect from, stand in them."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    division = divisions(graph, LARGE)[0]
    sections = [run.cuts(graph, LARGE) for run in division.runs]
    places = regions(sections, LARGE)
    branches = [branch for row in places for region in row for branch in region.branches]
    assert len(set(branches)) == len(branches)
    assert [region.entry for region in places[0]] == sorted(region.entry for region in places[0])
    assert [region.exit for region in places[-1]] == sorted(region.exit for region in places[-1])
    placement, allowed = started(sections, places, LARGE)
    assert len(set(placement.values())) == len(placement) == division.pes
    below = LARGE.pes // LARGE.entries
    for cuts, row in zip(sections, places, strict=True):
        for cut, region in zip(cuts, row, strict=True):
            for piece in cut.pieces:
                if piece.reads(cut.image):
                    assert placement[piece] // below == region.entry
                    assert set(allowed[piece]) == set(range(region.entry * below, (region.entry + 1) * below))
            assert placement[cut.output.source] // below == region.exit
    with pytest.raises(OhmweaveError) as error:
        regions([*sections, *([sections[0]] * 16)], LARGE)
    count = sum(map(len, sections)) + 16 * len(sections[0])
    assert str(error.value) == f"{count} copies of sections need as many entries, and the chip has 16"


def test_layouts_are_repeatable():
    graph = in_sections()[0][1]
    units = [list(mapped(graph, CHIP, None).layout.placement.values()) for _ in range(2)]
    assert units[0] == units[1]
    configs = [mapped(graph, CHIP, None).program().config for _ in range(2)]
    assert np.array_equal(*configs)
