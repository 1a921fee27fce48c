"""Switch of a PE: its testbench, the words that configure it, and what is refused."""

import re
from typing import Any

import pytest

from ohmweave.rtl.flit import MAX_TURN
from ohmweave.rtl.switch import (
    RoutesLayout,
    Switch,
    SwitchInput,
    SwitchOutput,
    Turns,
    switch_writes,
)
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench


@pytest.mark.parametrize(("simulator", "link_bits"), [*((each, 16) for each in SIMULATORS), ("icarus", 64)])
def test_testbench(simulator: str, link_bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = {"link_bits": link_bits, "longest": link_bits == 16}
    run_testbench(Switch(link_bits=link_bits), "tb_switch", simulator, parameters=parameters)


@pytest.mark.parametrize("link_bits", [0, 65, None])
def test_refusals(link_bits: Any) -> None:
    message = f"Switch link_bits must be a whole number from 1 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Switch(link_bits=link_bits)


def test_static_routes_are_two_words() -> None:
    """Those of the turns are neither written nor looked at."""
    routes = {SwitchOutput.MAIN: SwitchInput.TREE, SwitchOutput.SOUTH: SwitchInput.CORE}
    assert switch_writes(routes) == [(0, 0x0001), (1, 0x0003)]
    assert switch_writes({}) == [(0, 0), (1, 0)]


def test_words_of_turns() -> None:
    """In front of those that open the outputs; the inputs of second turns are written even where they are 0."""
    routes = {
        SwitchOutput.MAIN: SwitchInput.TREE,
        SwitchOutput.EAST: Turns(SwitchInput.WEST, 4, SwitchInput.CORE, MAX_TURN),
    }
    writes = switch_writes(routes)
    assert writes == [(2, 0x6000), (3, 0), (12, 4), (13, MAX_TURN), (0, 0x5001), (1, 0x1000)]
    layout = RoutesLayout()
    assert layout.size == 320
    value = layout.from_bits(sum(word << 16 * address for address, word in writes))
    assert [value["first"][n] for n in SwitchOutput] == [1, 0, 0, 0, 5, 0, 0, 0]
    assert [value["second"][n] for n in SwitchOutput] == [0, 0, 0, 0, 6, 0, 0, 0]
    assert value["turns"] == 1 << SwitchOutput.EAST
    flits = value["flits"][SwitchOutput.EAST]
    assert (flits["first"], flits["second"]) == (4, MAX_TURN)


@pytest.mark.parametrize("length", [0, MAX_TURN + 1, True, 1.0])
def test_lengths_refused(length: Any) -> None:
    message = f"The turn of a switch's output must be a whole number from 1 to {MAX_TURN}, not {length!r}"
    for lengths in ((length, 1), (1, length)):
        turns = Turns(SwitchInput.WEST, lengths[0], SwitchInput.CORE, lengths[1])
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            switch_writes({SwitchOutput.EAST: turns})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SwitchInput.CLOSED, SwitchInput.CORE),
        (SwitchInput.CORE, SwitchInput.CLOSED),
        (SwitchInput.WEST, SwitchInput.WEST),
    ],
)
def test_inputs_refused(first: SwitchInput, second: SwitchInput) -> None:
    message = f"The turns of a switch's output must be of two open inputs, not {first!r} and {second!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        switch_writes({SwitchOutput.EAST: Turns(first, 1, second, 1)})
