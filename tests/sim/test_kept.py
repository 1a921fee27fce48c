"""Layouts that are kept: the same as made anew, made once, and made anew where what was kept is damaged."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from mapping_graphs import LIMITS, spanning

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim.mapping import kept, layout
from ohmweave.sim.mapping.cut import Cut, Cutter
from ohmweave.sim.mapping.kept import kept_layout
from ohmweave.sim.mapping.layout import Layout
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.random_graph import random_graph

CHIP = replace(PRESETS["tiny"], levels=3)
UNITS = range(CHIP.pes)


def cut_of(seed: int) -> Cut:
    """New pieces each time."""
    return Cutter(random_graph(seed, LIMITS), CHIP.pe).cut()


def large(count: int) -> list[int]:
    """Seeds of graphs with several pieces."""
    found = []
    for seed in range(60):
        try:
            if len(cut_of(seed).pieces) > 3:
                found.append(seed)
        except OhmweaveError:
            continue
    return found[:count]


SEEDS = large(4)


def numbers(made: Layout, cut: Cut) -> tuple:
    """A layout by the numbers of its pieces."""
    number = {piece: index for index, piece in enumerate(cut.pieces)}
    return (
        [(number[piece], unit) for piece, unit in made.placement.items()],
        [(number[each.net.source], each.links) for each in made.routes],
        [[(number[piece], port) for piece, port in each.net.sinks] for each in made.routes],
    )


@pytest.fixture
def made(cache, monkeypatch) -> list[int]:
    """An empty cache, and the numbers of pieces of the layouts that are made."""
    found: list[int] = []
    real = layout.laid_out

    def laid_out(pieces, *arguments):
        found.append(len(pieces))
        return real(pieces, *arguments)

    monkeypatch.setattr(layout, "laid_out", laid_out)
    return found


def files(cache: Path) -> list[Path]:
    return sorted((cache / "layouts").iterdir())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_and_made_once(cache, made, seed):
    cut = cut_of(seed)
    fresh = numbers(layout.laid_out(cut.pieces, UNITS, {}), cut)
    made.clear()
    for _ in range(3):
        cut = cut_of(seed)
        assert numbers(kept_layout(cut.pieces, UNITS, {}), cut) == fresh
    assert made == [len(cut.pieces)]
    assert len(files(cache)) == 1


def test_the_same_program(cache, made):
    graph = spanning(1)
    first, second = (mapped(graph, CHIP, copies=2).program() for _ in range(2))
    assert len(made) == 1
    assert (first.config == second.config).all()
    assert first.stages == second.stages


def test_everything_counts(cache, made, monkeypatch):
    """Another layout for other pieces, units, places that are allowed, beginnings, and another search."""
    one, other = (cut_of(seed) for seed in SEEDS[:2])
    kept_layout(one.pieces, UNITS, {})
    kept_layout(other.pieces, UNITS, {})
    kept_layout(one.pieces, range(16, 64), {})
    kept_layout(one.pieces, UNITS, {one.pieces[0]: range(32)})
    kept_layout(one.pieces, UNITS, {one.pieces[1]: range(32)})
    kept_layout(one.pieces, UNITS, {one.pieces[1]: range(33)})
    kept_layout(one.pieces, UNITS, {}, {piece: unit for unit, piece in enumerate(one.pieces)})
    assert len(made) == len(files(cache)) == 7
    monkeypatch.setattr(kept, "PROGRAM", (*kept.PROGRAM, kept))
    kept_layout(one.pieces, UNITS, {})
    assert len(made) == len(files(cache)) == 8


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b" ",
        lambda content: content.replace(b"[", b"{", 1),
        lambda content: content[:70] + bytes([content[70] ^ 1]) + content[71:],
        lambda content: b"\xff\xfe" + content,
        lambda content: b"0" * 64 + content[64:],
    ],
)
def test_damage_is_made_anew(cache, made, damage):
    cut = cut_of(SEEDS[0])
    fresh = numbers(kept_layout(cut.pieces, UNITS, {}), cut)
    (path,) = files(cache)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert numbers(kept_layout(cut.pieces, UNITS, {}), cut) == fresh
    assert len(made) == 2
    assert path.read_bytes() == content
    kept_layout(cut.pieces, UNITS, {})
    assert len(made) == 2


def test_that_there_is_none_is_kept(cache, monkeypatch):
    """The same sentence again, without another search."""
    cut = cut_of(SEEDS[0])
    searches = []

    def none(*arguments):
        searches.append(arguments)
        raise OhmweaveError("too few links")

    monkeypatch.setattr(layout, "laid_out", none)
    for _ in range(2):
        with pytest.raises(OhmweaveError, match=r"^too few links$"):
            kept_layout(cut.pieces, UNITS, {})
    assert len(searches) == len(files(cache)) == 1


def test_no_more_than_some(cache, made, monkeypatch):
    """Those that were used last stay."""
    monkeypatch.setattr(kept, "KEPT", 2)
    one, two, three = (cut_of(seed) for seed in SEEDS[:3])
    for age, cut in ((300, one), (200, two)):
        before = set(files(cache)) if made else set()
        kept_layout(cut.pieces, UNITS, {})
        (new,) = set(files(cache)) - before
        os.utime(new, (os.stat(new).st_atime - age, os.stat(new).st_mtime - age))
    kept_layout(one.pieces, UNITS, {})  # used again
    kept_layout(three.pieces, UNITS, {})
    assert len(files(cache)) == 2
    kept_layout(one.pieces, UNITS, {})
    assert len(made) == 3
    kept_layout(two.pieces, UNITS, {})
    assert len(made) == 4


def test_a_cache_that_cannot_be_written(cache, made):
    cache.write_text("a file")
    cut = cut_of(SEEDS[0])
    assert numbers(kept_layout(cut.pieces, UNITS, {}), cut) == numbers(
        kept_layout(cut.pieces, UNITS, {}), cut
    )
    assert len(made) == 2
