"""From memory into the chip: loads, dealt out to the points where data enter, and configuration."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import GroupParams, MemoryParams
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.host.dispatch_queue import DispatchQueue, WordLayout
from ohmweave.rtl.memory.descriptors import LENGTH_BITS, Copy
from ohmweave.rtl.memory.dma import Engine
from ohmweave.rtl.memory.word_queue import WordQueue
from ohmweave.rtl.netlist import instantiate

__all__ = ["LoadLayout", "Loader", "ways"]


def ways(params: GroupParams) -> int:
    """Points where data enter a chip: 0, the root of the distribution tree; n, its entry n - 1, where there are any."""
    return 1 + (params.entries if params.entries > 1 else 0)


class LoadLayout(data.StructLayout):
    """A load: `configure`, or data; where it begins in memory; its length in flits, of configuration of 16 bits; `to`
    which point it goes; `ends`, a frame ends with it."""

    def __init__(self, params: GroupParams, memory: MemoryParams):
        super().__init__(
            {
                "configure": 1,
                "address": memory.cache.address_bits,
                "length": LENGTH_BITS,
                "to": range(ways(params)),
                "ends": 1,
            }
        )


class Loader(Component):
    """Gives loads to a copy engine, whole words of the cache's port at a time, and deals out what comes (Re-ReRAM,
    section III: the workload dispatch).

    In front of each point is a queue, so that one that is full does not hold up the others as long as loads are not
    longer than what queues hold. The engine prefetches the lines of the next loads meanwhile.

    Latency: that of the engine, and 2 cycles. Throughput: a word a cycle, at each point a flit a cycle; a
    configuration flit a cycle.

    Parameters: params, of the chip; memory, MemoryParams.

    Ports
    -----
    load : In(stream(LoadLayout))
    engine : Out(Engine(cache, port_bits))
        `abort` is not driven.
    o : Out(stream(link_bits)), one a point
    last : Out(points)
        The flit at a point is the last of a frame.
    config : Out(stream(16))
        Configuration flits.
    configures : Out(1)
        The load that is under way is one of configuration.
    enable : In(1)
        Loads of data may begin to come.
    clear : In(1)
        Forgets what is in the queues.
    ended : Out(1)
        For one cycle: all of a frame for a point other than the root has come.
    done, fault, moved : Out(1), Out(3), Out(32)
        In the cycle of a load's completion: what the engine says of it.
    """

    def __init__(self, *, params: GroupParams, memory: MemoryParams):
        self._params = params
        self._memory = memory
        self._word_bits = memory.cache.port_bits
        link_bits = params.pe.link_bits
        super().__init__(
            {
                "load": In(stream.Signature(LoadLayout(params, memory))),
                "engine": Out(Engine(memory.cache, self._word_bits)),
                "o": Out(stream.Signature(link_bits)).array(ways(params)),
                "last": Out(ways(params)),
                "config": Out(stream.Signature(CONFIG_BITS)),
                "configures": Out(1),
                "enable": In(1),
                "clear": In(1),
                "ended": Out(1),
                "done": Out(1),
                "fault": Out(3),
                "moved": Out(LENGTH_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link_bits = self._params.pe.link_bits
        engine, load = self.engine, self.load
        parts, config_parts = self._word_bits // link_bits, self._word_bits // CONFIG_BITS
        # The engine holds one more than its queue.
        m.submodules.loads = loads = WordQueue(shape=load.p.shape(), depth=2 * self._memory.descriptors)
        current = loads.o.p
        shift = Mux(load.p.configure, config_parts.bit_length() - 1, parts.bit_length() - 1)
        most = Mux(load.p.configure, config_parts - 1, parts - 1)
        words = Signal(LENGTH_BITS + 1)
        m.d.comb += [
            words.eq((load.p.length + most) >> shift),
            loads.i.payload.eq(load.payload),
            loads.i.valid.eq(load.valid & engine.descriptor.ready),
            load.ready.eq(loads.i.ready & engine.descriptor.ready),
            engine.descriptor.valid.eq(load.valid & loads.i.ready),
            engine.descriptor.p.kind.eq(Mux(load.p.configure, Copy.CONFIGURE, Copy.LOAD)),
            engine.descriptor.p.address.eq(load.p.address),
            engine.descriptor.p.length.eq(words),
            engine.done.ready.eq(1),
            loads.o.ready.eq(engine.done.valid),
            self.done.eq(engine.done.valid),
            self.fault.eq(engine.done.p.fault),
            self.configures.eq(loads.o.valid & current.configure),
        ]

        passed = Signal(LENGTH_BITS)  # flits of the current load
        left = Signal(LENGTH_BITS)
        here = Signal(range(parts + 1))  # in this word
        begun = Signal()
        goes = Signal()
        word = Signal(WordLayout(self._word_bits, link_bits))
        m.d.comb += [
            left.eq(current.length - passed),
            here.eq(Mux(left < parts, left, parts)),
            self.moved.eq(passed),
            goes.eq(engine.o.valid & ~current.configure & (self.enable | begun)),
            word.data.eq(engine.o.p.data),
            word.flits.eq(here),
            word.last.eq(current.ends & (left <= parts)),
        ]
        taken = Signal()
        queues = [
            instantiate(m, platform, f"queue_{n}", "dispatch_queue", self._queue) for n in range(len(self.o))
        ]
        for n, queue in enumerate(queues):
            connect(m, queue.o, flipped(self.o[n]))
            m.d.comb += [
                queue.clear.eq(self.clear),
                queue.i.payload.eq(word),
                self.last[n].eq(queue.last),
            ]
        with m.Switch(current.to):
            for n, queue in enumerate(queues):
                with m.Case(n):
                    m.d.comb += [queue.i.valid.eq(goes), taken.eq(goes & queue.i.ready)]

        part = Signal(range(config_parts))
        final = Signal()
        m.d.comb += [
            self.config.valid.eq(engine.o.valid & current.configure),
            final.eq((part == config_parts - 1) | (left == 1)),
            engine.o.ready.eq(taken | (self.config.valid & self.config.ready & final)),
            self.ended.eq(taken & word.last & (current.to != 0)),
        ]
        with m.Switch(part):
            for n in range(config_parts):
                with m.Case(n):
                    m.d.comb += self.config.payload.eq(engine.o.p.data.word_select(n, CONFIG_BITS))
        with m.If(taken):
            m.d.sync += [passed.eq(passed + here), begun.eq(1)]
        with m.If(self.config.valid & self.config.ready):
            m.d.sync += [passed.eq(passed + 1), part.eq(Mux(final, 0, part + 1))]
        with m.If(engine.done.valid):
            m.d.sync += [passed.eq(0), begun.eq(0), part.eq(0)]
        return m

    def _queue(self) -> DispatchQueue:
        return DispatchQueue(
            word_bits=self._word_bits,
            link_bits=self._params.pe.link_bits,
            depth=self._memory.queue_words,
        )
