"""Chips that come to a standstill with frame buffers: who waits for whom, by the netlist's run and the model's."""

from dataclasses import replace

import pytest
from exit_programs import chain, job_of, sections
from test_exit_connections import NODES, SMALL, written
from test_standstill import CHAIN, CIRCLE, everything_waits, said  # noqa: F401

from ohmweave.params import GroupParams
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.network.tree_node import NodeRegister

CLOSED = {"exit": False, "targets": (), "out_turn": 0}
FRAMES = "; frames wait too: " + CHAIN
#: What the first section's PE waits for, where its frame buffer is full.
FULL = (
    "PE 0 (conv0): no instruction lets a frame into its main receiver, its flits to the frame buffer wait; "
    "frame buffer 0: it is full; "
)


def why(
    copies: tuple[int, ...],
    change: dict[int, dict],
    *,
    images: int = 12,
    params: GroupParams = SMALL,
    nodes: dict[int, int] | None = None,
) -> str:
    """What is said of sections of a layer each; `nodes`: further registers of the root."""
    graph = chain(len(copies))
    made = sections(graph, (1,) * len(copies), copies, params, change)
    if nodes:
        made = written(made, node_unit(0, 0), nodes)
    job, _ = job_of(made, graph, images)
    return said(params, replace(job, idle_limit=1000))


def test_a_buffer_that_is_closed() -> None:
    assert why((1, 1), {0: CLOSED}) == (
        CHAIN + "PE 1 (conv1): its main receiver waits for a frame; frame buffer 0: it is closed" + FRAMES
        + "PE 0 (conv0): no instruction lets a frame into its main receiver, its flits to the collection tree wait; "
        "the collection tree: it does not take from there"
    )  # fmt: skip


def test_turns_without_their_other_side() -> None:
    waits = "PE 1 (conv1): its main receiver waits for a frame; "
    assert why((1, 1), {1: {"sources": (2,)}}) == (
        CHAIN + waits + "frame buffer 2: it is closed" + FRAMES + FULL
        + "entry 1: it takes nothing of frame buffer 0"
    )  # fmt: skip
    assert why((1, 1), {0: {"targets": (2,)}}) == (
        CHAIN + waits + "frame buffer 0: it gives nothing to entry 1" + FRAMES + FULL
        + "entry 2: it takes nothing of frame buffers"
    )  # fmt: skip
    assert why((1, 2), {2: {"opened": 1, "sources": (), "in_turn": 0}}, images=30) == (
        CHAIN + "PE 2 (conv1): its main receiver waits for a frame; entry 2: all frames are in"
    )


def test_turns_that_never_meet() -> None:
    change = {
        0: {"targets": (3, 2)},
        1: {"targets": (2, 3)},
        2: {"sources": (0, 1)},
        3: {"sources": (1, 0)},
    }
    assert why((2, 2), change) == (
        CIRCLE + "frame buffer 0: it gives to entry 3 first; entry 3: it takes from frame buffer 1 first; "
        "frame buffer 1: it gives to entry 2 first; entry 2: it takes from frame buffer 0 first"
    )  # fmt: skip


@pytest.mark.parametrize("params", [SMALL, pytest.param(NODES, marks=pytest.mark.nightly)])
def test_a_tree_that_takes_from_a_branch_that_left(params: GroupParams) -> None:
    assert why((1, 1), {}, params=params, nodes={NodeRegister.SELECT: 1}) == (
        "the collection tree: it takes from a branch that leaves into frame buffer 0"
    )


def test_sections_behind_a_tree_that_takes_nothing() -> None:
    """Every buffer fills up, back to the entry point."""
    closed = {NodeRegister.SELECT: 0}
    assert why((1, 1), {}, images=40, params=NODES, nodes=closed) == (
        "the collection tree: it takes from nowhere"
    )


def test_frames_that_are_too_few() -> None:
    """One of two copies gets four maps in place of five, and the section behind them waits for its turn."""
    graph = chain(2)
    job, _ = job_of(sections(graph, (1, 1), (2, 1), SMALL), graph, 10)
    short = replace(job, entry_flits=(job.lengths[0], job.lengths[1] - 3, 0, 0), idle_limit=1000)
    assert said(SMALL, short) == (
        CHAIN + "PE 2 (conv1): its main receiver waits for a frame; "
        "PE 1 (conv0): its main receiver waits for a frame; entry 1: all frames are in"
    )
