"""The switch of a PE: each output takes flits from one input, or from two of them in turn."""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, MAX_TURN, ConfigWrite, flit_stream
from ohmweave.rtl.network.router import Router
from ohmweave.rtl.registers import RegisterFile, register_writes

__all__ = ["RoutesLayout", "Switch", "SwitchInput", "SwitchOutput", "Turns", "switch_writes"]


class SwitchInput(enum.IntEnum):
    """What an output of a PE's switch can take its flits from."""

    CLOSED = 0
    TREE = 1
    NORTH = 2
    EAST = 3
    SOUTH = 4
    WEST = 5
    CORE = 6


class SwitchOutput(enum.IntEnum):
    """Where a PE's switch sends flits: the receivers of the PE, neighbours, the collection tree."""

    MAIN = 0
    SHORTCUT = 1
    SIDE = 2
    NORTH = 3
    EAST = 4
    SOUTH = 5
    WEST = 6
    COLLECTION = 7


class Turns(NamedTuple):
    """An output takes `first_flits` flits from one input, then `second_flits` from another, and so on in turn."""

    first: SwitchInput
    first_flits: int
    second: SwitchInput
    second_flits: int


class RoutesLayout(data.FlexibleLayout):
    """For each `SwitchOutput` where it takes flits from.

    first   the `SwitchInput` that it takes from for ever, or in its first turn
    turns   it takes turns
    second  with `turns`: the `SwitchInput` of its second turn
    flits   with `turns`: the flits of each turn; 0: it does not end

    The lowest two words say what a switch without turns needs; whatever the others are then is not looked at.
    """

    def __init__(self) -> None:
        outputs = len(SwitchOutput)
        inputs = data.ArrayLayout(range(len(SwitchInput)), outputs)
        flits = data.ArrayLayout(data.StructLayout({"first": CONFIG_BITS, "second": CONFIG_BITS}), outputs)
        half = 2 * CONFIG_BITS
        super().__init__(
            2 * half + flits.size,
            {
                "first": data.Field(inputs, 0),
                "turns": data.Field(outputs, half - outputs),
                "second": data.Field(inputs, half),
                "flits": data.Field(flits, 2 * half),
            },
        )


#: Words of an input for each output.
INPUT_WORDS = 2


def switch_writes(routes: Mapping[SwitchOutput, SwitchInput | Turns]) -> list[tuple[int, int]]:
    """The (local address, data) writes that give each output its input or turns; others are closed.

    The words of turns come first, and only those that are needed: outputs open with the last writes.

    Raises `ValueError` for turns that are not from 1 to `MAX_TURN` flits, or not between two inputs.
    """
    first, second = [0] * len(SwitchOutput), [0] * len(SwitchOutput)
    flits = [{"first": 0, "second": 0} for _ in SwitchOutput]
    for output, source in routes.items():
        if not isinstance(source, Turns):
            first[output] = SwitchInput(source)
            continue
        first[output], second[output] = SwitchInput(source.first), SwitchInput(source.second)
        if not first[output] or not second[output] or first[output] == second[output]:
            raise ValueError(
                "The turns of a switch's output must be of two open inputs, "
                f"not {source.first!r} and {source.second!r}"
            )
        for each in (source.first_flits, source.second_flits):
            whole("The turn of a switch's output", each, 1, MAX_TURN, error=ValueError)
        flits[output] = {"first": source.first_flits, "second": source.second_flits}
    turns = sum(1 << output for output, code in enumerate(second) if code)
    values = {"first": first, "turns": turns, "second": second, "flits": flits}
    words = register_writes(RoutesLayout(), values)
    if not turns:
        return words[:INPUT_WORDS]
    lengths = [(address, word) for address, word in words[2 * INPUT_WORDS :] if word]
    return words[INPUT_WORDS : 2 * INPUT_WORDS] + lengths + words[:INPUT_WORDS]


class Switch(Component):
    """Takes each output's flits from an input, or from two inputs in turn: a router with routes that are configured.

    Turns put together, pixel by pixel, what several PEs compute: an output takes the flits of a pixel that the PEs
    before send, then those that its own PE adds, and so on. It waits for the input whose turn it is, however long
    that takes, and the other input waits, unless another output takes from it. An input that several outputs take
    from at the moment is a multicast, as in `Router`: a flit is taken when all of them can load it. So outputs that
    start with the same turns stay in step.

    Every write begins the turns of all outputs anew. (Re-ReRAM, section VI.B: paths are configured before the run.)

    Latency: taken in cycle c → offered in cycle c + 2; a write taken in cycle c acts from cycle c + 1. Throughput: 1
    flit a cycle from every input, and no cycle is lost between turns.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 1 to 64.

    Ports
    -----
    config : In(stream(ConfigWrite))
        Writes to `RoutesLayout`; always ready. After reset all outputs are closed.
    i : In(flit_stream(link_bits)).array(6)
        In the order of `SwitchInput` from `TREE` on. `ready` depends on registers alone.
    o : Out(flit_stream(link_bits)).array(8)
        In the order of `SwitchOutput`. Registered.

    Raises
    ------
    TypeError
        `link_bits` is not a number of its range.

    `switch_writes` makes the writes, and refuses turns that a switch cannot take.
    """

    def __init__(self, *, link_bits: int):
        whole("Switch link_bits", link_bits, 1, 64, error=TypeError)
        self._link_bits = link_bits
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "i": In(flit_stream(link_bits)).array(len(SwitchInput) - 1),
                "o": Out(flit_stream(link_bits)).array(len(SwitchOutput)),
            }
        )

    @property
    def link_bits(self) -> int:
        return self._link_bits

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterFile(layout=RoutesLayout())
        # The mesh has rings, so its ready paths are cut in each PE.
        m.submodules.router = router = Router(
            inputs=len(SwitchInput) - 1,
            outputs=len(SwitchOutput),
            link_bits=self.link_bits,
            registered_ready=True,
        )
        connect(m, flipped(self.config), registers.config)
        for own, port in zip(self.i, router.i, strict=True):
            connect(m, flipped(own), port)
        for own, port in zip(self.o, router.o, strict=True):
            connect(m, port, flipped(own))

        settings = registers.value
        later = Signal(len(SwitchOutput))  # it is the turn of `second`
        # Where each output takes from at the moment: a register, since much hangs on it behind the router's `ready`.
        routes = Signal.like(settings.first)
        m.d.comb += router.routes.eq(routes)

        counted = Signal(len(SwitchOutput))
        taken = [Signal(CONFIG_BITS, name=f"taken_{n}") for n in SwitchOutput]  # flits of the present turn
        m.d.comb += counted.eq(router.loads & settings.turns)
        with m.If(counted.any()):
            for n in SwitchOutput:
                with m.If(counted[n]):
                    m.d.sync += taken[n].eq(taken[n] + 1)
                    length = Mux(later[n], settings.flits[n].second, settings.flits[n].first)
                    with m.If(taken[n] + 1 == length):
                        other = Mux(later[n], settings.first[n], settings.second[n])
                        m.d.sync += [taken[n].eq(0), later[n].eq(~later[n]), routes[n].eq(other)]
        with m.If(self.config.valid):
            m.d.sync += [later.eq(0), *(each.eq(0) for each in taken), routes.eq(settings.first)]
            with m.Switch(self.config.p.address):
                for word in range(INPUT_WORDS):
                    with m.Case(word):
                        now = routes.as_value()[CONFIG_BITS * word : CONFIG_BITS * (word + 1)]
                        m.d.sync += now.eq(self.config.p.data)
        return m
