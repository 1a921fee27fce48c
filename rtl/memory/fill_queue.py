"""Lines on their way into the cache, and those that make room for them on their way out."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import CacheParams

__all__ = ["DoneLayout", "EvictLayout", "FillLayout", "FillQueue", "StateLayout"]


class StateLayout(data.StructLayout):
    """What is kept of a set beside its tags: `dirty`, a bit a way, and `plru`, see `replacement`."""

    def __init__(self, ways: int):
        super().__init__({"dirty": ways, "plru": ways - 1})


class FillLayout(data.StructLayout):
    """What is to happen to one `way` of a `set`: `evict` the line `victim` (its tag), `fetch` the line `tag`.

    `state` is that of the set, which nobody else changes in the meantime.
    """

    def __init__(self, params: CacheParams):
        super().__init__(
            {
                "set": params.set_bits,
                "way": params.way_bits,
                "tag": params.tag_bits,
                "victim": params.tag_bits,
                "evict": 1,
                "fetch": 1,
                "state": StateLayout(params.ways),
            }
        )


class EvictLayout(data.StructLayout):
    """A line that is to leave: where it is, and its number in memory."""

    def __init__(self, params: CacheParams):
        super().__init__(
            {"set": params.set_bits, "way": params.way_bits, "address": params.line_address_bits}
        )


class DoneLayout(data.StructLayout):
    """A fill at its end: its `place` in the queue, what it was, and `kept`: memory did not take the line that was to
    leave."""

    def __init__(self, params: CacheParams):
        super().__init__(
            {"place": (params.fills - 1).bit_length(), "fill": FillLayout(params), "kept": 1},
        )


class FillQueue(Component):
    """Leads fills, in their order, through three steps: the line in the way is handed to memory; memory has taken it
    and is asked for the new one; that one is put in place. Each step works on another fill, so that lines leave and
    come at the same time. A line is asked for only after memory has taken the one whose place it gets: should memory
    refuse that one, it is still in the cache, and its place is kept. (A place that was given away before would have
    to hold the line that comes, and with it the answers to writes behind it.)

    Latency, of each fill that waits for nothing: 2 cycles to `read` if nothing is evicted.
    Throughput: a fill a cycle.

    Parameters: params, CacheParams.

    Ports
    -----
    fill : In(stream(FillLayout))
        `ready` depends on registers only, as all other outputs do but `pending`.
    place : Out(range(fills))
        That of the fill which is taken next.
    level : Out(range(fills + 1))
        Fills that have not ended.
    set, pending : In(set_bits), Out(1)
        Whether one of them is in that set.
    evict : Out(stream(EvictLayout))
        Line to be handed to memory.
    read : Out(stream(line_address_bits))
        Line to be asked for.
    written : In(stream({error}))
        Memory's answer to a line that was handed over.
    done : Out(stream(DoneLayout))
        Ends with its transfer. If the fill fetches and nothing is kept, memory's line has to be there.
    """

    def __init__(self, *, params: CacheParams):
        if not isinstance(params, CacheParams):
            raise TypeError(f"params must be CacheParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "fill": In(stream.Signature(FillLayout(params))),
                "place": Out(range(params.fills)),
                "level": Out(range(params.fills + 1)),
                "set": In(params.set_bits),
                "pending": Out(1),
                "evict": Out(stream.Signature(EvictLayout(params))),
                "read": Out(stream.Signature(params.line_address_bits)),
                "written": In(stream.Signature(data.StructLayout({"error": 1}))),
                "done": Out(stream.Signature(DoneLayout(params))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = self._params.fills
        slots = Signal(data.ArrayLayout(FillLayout(self._params), count))
        open_ = Signal(count)
        kept = Signal(count)
        # Fills that have passed each step, modulo twice as many as there can be.
        taken, left, asked, ended = (
            Signal(range(2 * count), name=name) for name in ("taken", "left", "asked", "ended")
        )
        bits = self.place.shape().width

        m.d.comb += [
            self.place.eq(taken[:bits]),
            self.level.eq((taken - ended)[: bits + 1]),
            self.fill.ready.eq(self.level != count),
        ]
        for n in range(count):
            with m.If(open_[n] & (slots[n].set == self.set)):
                m.d.comb += self.pending.eq(1)
        with m.If(self.fill.valid & self.fill.ready):
            m.d.sync += taken.eq(taken + 1)
            with m.Switch(self.place):
                for n in range(count):
                    with m.Case(n):
                        m.d.sync += [slots[n].eq(self.fill.payload), open_[n].eq(1), kept[n].eq(0)]

        self._leave(m, slots[left[:bits]], left, taken)
        self._ask(m, slots[asked[:bits]], kept, asked, left)

        last = slots[ended[:bits]]
        m.d.comb += [
            self.done.valid.eq(ended != asked),
            self.done.p.place.eq(ended[:bits]),
            self.done.p.fill.eq(last),
            self.done.p.kept.eq(kept.bit_select(ended[:bits], 1)),
        ]
        with m.If(self.done.valid & self.done.ready):
            m.d.sync += [ended.eq(ended + 1), open_.bit_select(ended[:bits], 1).eq(0)]
        return m

    def _leave(self, m: Module, slot: Any, left: Signal, taken: Signal) -> None:
        """Hand over the line in the way, if it was changed."""
        there = Signal()
        m.d.comb += [
            there.eq(left != taken),
            self.evict.valid.eq(there & slot.evict),
            self.evict.p.set.eq(slot.set),
            self.evict.p.way.eq(slot.way),
            self.evict.p.address.eq(_line(slot.set, slot.victim)),
        ]
        with m.If(there & (~slot.evict | self.evict.ready)):
            m.d.sync += left.eq(left + 1)

    def _ask(self, m: Module, slot: Any, kept: Signal, asked: Signal, left: Signal) -> None:
        """Wait until memory has taken it, then ask for the new one."""
        there = Signal()
        confirmed = Signal()
        onward = Signal()
        m.d.comb += there.eq(asked != left)
        with m.If(there & slot.evict & ~confirmed):
            m.d.comb += self.written.ready.eq(1)
            with m.If(self.written.valid):
                m.d.sync += confirmed.eq(1)
                with m.If(self.written.p.error):
                    m.d.comb += onward.eq(1)
                    m.d.sync += kept.bit_select(asked[: len(asked) - 1], 1).eq(1)
                with m.Elif(~slot.fetch):
                    m.d.comb += onward.eq(1)
        with m.Elif(there):
            m.d.comb += [self.read.valid.eq(1), onward.eq(self.read.ready)]
        m.d.comb += self.read.payload.eq(_line(slot.set, slot.tag))
        with m.If(onward):
            m.d.sync += [asked.eq(asked + 1), confirmed.eq(0)]


def _line(set_: Any, tag: Any) -> Any:
    """Number of a line in memory."""
    return Cat(set_, tag)
