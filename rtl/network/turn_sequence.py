"""Whose turn it is, where several take turns in an order that is written down."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite

__all__ = ["PLACES", "TurnSequence"]

#: Numbers that a sequence can have.
PLACES = 16


class TurnSequence(Component):
    """Goes through a table of 1 to 16 numbers in a circle, to the next after so many transfers.

    Its registers are the flits of a turn, how many numbers there are, and the numbers. A write to any of them starts
    it at the first number with nothing taken. After reset all are 0: number 0 has a turn that does not end. (Re-ReRAM,
    section VI: whole frames go from one part of the chip to the next.)

    Latency: after the last transfer of a turn in cycle c, `current` is the next number in cycle c + 1; a write in
    cycle c acts in cycle c + 1. Throughput: a transfer a cycle, without a gap between turns.

    Parameters
    ----------
    numbers : int
        The numbers are from 0 to `numbers` - 1; 2 to 256. Higher bits of a word are ignored.
    turn, count, table : int
        Addresses of the registers: the flits of a turn, 0 for one that does not end; how many numbers, modulo 16 and
        0 for 16; the first number, with the others behind it.

    Ports
    -----
    config : In(stream(ConfigWrite))
        Writes; those to other addresses are ignored. Always ready.
    moves : In(1)
        A flit is transferred in this cycle.
    current : Out(range(numbers))
        Whose turn it is. A register.

    Raises
    ------
    TypeError
        A parameter is not a number of its range.
    """

    def __init__(self, *, numbers: int, turn: int, count: int, table: int):
        whole("TurnSequence numbers", numbers, 2, 256, error=TypeError)
        for name, address, last in (
            ("turn", turn, 2**CONFIG_BITS - 1),
            ("count", count, 2**CONFIG_BITS - 1),
            ("table", table, 2**CONFIG_BITS - PLACES),
        ):
            whole(f"TurnSequence {name}", address, 0, last, error=TypeError)
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "moves": In(1),
                "current": Out(range(numbers)),
            }
        )
        self._numbers = numbers
        self._turn, self._count, self._table = int(turn), int(count), int(table)

    @property
    def numbers(self) -> int:
        return self._numbers

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        table = Signal(data.ArrayLayout(range(self.numbers), PLACES))
        turn = Signal(CONFIG_BITS)
        taken = Signal(CONFIG_BITS)
        count = Signal(range(PLACES))
        place = Signal(range(PLACES))
        following = Signal(range(PLACES))
        with m.If(self.moves):
            m.d.sync += taken.eq(taken + 1)
            with m.If(taken + 1 == turn):
                m.d.comb += following.eq(place + 1)
                with m.If(following == count):
                    m.d.sync += [place.eq(0), self.current.eq(table[0])]
                with m.Else():
                    m.d.sync += place.eq(following)
                    with m.Switch(following):
                        for n in range(PLACES):
                            with m.Case(n):
                                m.d.sync += self.current.eq(table[n])
                m.d.sync += taken.eq(0)

        m.d.comb += self.config.ready.eq(1)
        address, word = self.config.p.address, self.config.p.data
        # Behind the transfers, so that a write goes before them.
        with m.If(self.config.valid), m.Switch(address):
            with m.Case(self._turn):
                m.d.sync += [turn.eq(word), *self._restart(taken, place, table[0])]
            with m.Case(self._count):
                m.d.sync += [count.eq(word), *self._restart(taken, place, table[0])]
            for n in range(PLACES):
                with m.Case(self._table + n):
                    first = table[0] if n else word
                    m.d.sync += [table[n].eq(word), *self._restart(taken, place, first)]
        return m

    def _restart(self, taken: Signal, place: Signal, first: Any) -> list[Any]:
        return [taken.eq(0), place.eq(0), self.current.eq(first)]
