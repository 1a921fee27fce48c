"""Many long counters for the price of one."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole

__all__ = ["COUNTER_BITS", "EventCounters"]

COUNTER_BITS = 64


class EventCounters(Component):
    """A counter of 64 bits for each of `sources` bits: in how many cycles it was high since `clear`.

    The counts lie in one memory. Each source has a short counter of its own only, of as many bits as the number of
    sources, which one adder adds to the memory in turn; so a source costs a few registers and a word of memory instead
    of a 64-bit register and its adder. While nothing counts and nothing is read, nothing changes.

    Latency: `done` comes at most `sources` cycles after `request`, later where `clear` comes in between; `value`
    counts every cycle up to the one that is two before `done`. Throughput: each source in each cycle; one count read
    at a time.

    Parameters: sources, 2 to 16384; `TypeError` if it is no such number.

    Ports
    -----
    events : In(sources)
    clear : In(1)
        Sets all counts to 0; what is high in the same cycle is not counted.
    select : In(range(sources))
    request : In(1)
        A count is wanted: `select` and `request` stay until `done`.
    done : Out(1)
        For one cycle, with `value`.
    value : Out(64)
    """

    def __init__(self, *, sources: int):
        whole("EventCounters sources", sources, 2, 16384, error=TypeError)
        self._sources = sources
        super().__init__(
            {
                "events": In(sources),
                "clear": In(1),
                "select": In(range(sources)),
                "request": In(1),
                "done": Out(1),
                "value": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sources = self._sources
        m.submodules.counts = counts = Memory(shape=COUNTER_BITS, depth=sources, init=[])
        read, write = counts.read_port(), counts.write_port()

        # Whose turn it is. A round after the last event, all of them are in the memory and the turns end.
        turn = Signal(range(sources))
        rest = Signal(range(sources + 1))
        step = Signal()
        fresh = Signal(init=1)
        m.d.comb += step.eq((rest != 0) | self.request)
        with m.If(step):
            m.d.sync += [turn.eq(turn + 1), rest.eq(rest - (rest != 0))]
            with m.If(turn == sources - 1):
                m.d.sync += [turn.eq(0), fresh.eq(0)]
        with m.If(self.events.any()):
            m.d.sync += rest.eq(sources)

        parts: list[Any] = []
        for n in range(sources):
            # An event in each cycle between two turns, which come every `sources` cycles as long as there are events.
            short = Signal(range(sources + 1), name=f"short_{n}")
            mine = Signal(name=f"mine_{n}")
            m.d.comb += mine.eq(step & (turn == n))
            parts.append(Mux(mine, short, 0))
            with m.If(self.clear):
                m.d.sync += short.eq(0)
            with m.Elif(mine):
                m.d.sync += short.eq(self.events[n])
            with m.Elif(self.events[n]):
                m.d.sync += short.eq(short + 1)

        # The memory answers a cycle later. In the first round after `clear`, nothing in it counts.
        part = Signal(range(sources + 1))
        adding = Signal()
        first = Signal()
        adds = Signal(range(sources))
        m.d.comb += [
            read.addr.eq(turn),
            read.en.eq(step),
            self.value.eq(Mux(first, 0, read.data) + part),
            self.done.eq(self.request & adding & (adds == self.select)),
            write.addr.eq(adds),
            write.data.eq(self.value),
            write.en.eq(adding),
        ]
        m.d.sync += adding.eq(step)
        with m.If(step):
            m.d.sync += [part.eq(_either(parts)), first.eq(fresh), adds.eq(turn)]
        with m.If(self.clear):
            m.d.sync += [turn.eq(0), fresh.eq(1), rest.eq(0)]
        return m


def _either(values: list[Any]) -> Value:
    """All of them ORed, as a tree: one behind the other would be too deep for thousands."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        values = [low | high for low, high in pairs] + values[len(values) // 2 * 2 :]
    return values[0]
