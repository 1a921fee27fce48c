"""The host port: standard interfaces on one side, the chip's flits on the other."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import GroupParams, MemoryParams
from ohmweave.rtl.activity import ActivityLayout, PEState
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.host.axi_lite import AXILite, AXILiteSlave
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.event_counters import EventCounters
from ohmweave.rtl.host.flit_input import FlitInput
from ohmweave.rtl.host.flit_output import FlitOutput
from ohmweave.rtl.host.host_register import REGISTER_BITS
from ohmweave.rtl.host.loader import ways
from ohmweave.rtl.host.memory_map import MEMORY_PAGE
from ohmweave.rtl.host.memory_port import MemoryPort
from ohmweave.rtl.host.register_map import ADDRESS_BITS
from ohmweave.rtl.host.registers import HostRegisters, sources
from ohmweave.rtl.memory.axi4 import AXI4

__all__ = ["HostPort"]


class HostPort(Component):
    """AXI4-Stream images in, AXI4-Stream results out, AXI4-Lite registers: all that a host needs of a `PEGroup`.

    The registers are those of `register_map`. No path leads from an input of an AXI interface to an output of one.

    Latency: 1 cycle from `images` to `host_in`, 1 cycle from `host_out` to `results`; a write to CONFIG is at
    `host_in` 2 cycles after the cycle in which its address and data have both been taken. Throughput: 1 flit a cycle
    of images and of results, 1 configuration flit every 2 cycles.

    With memory, images may come and results go that way instead, and so may configuration (see `MemoryPort`).

    Parameters: params, of the chip; memory, MemoryParams, or None.

    Ports
    -----
    images : In(AXIStream(link_bits, dest_bits))
        On a chip with several entries `tdest` says where a frame enters: 0 at the root, n at entry n - 1.
    results : Out(AXIStream(link_bits))
    registers : In(AXILite(12))
    memory : Out(AXI4(address_bits, axi))
        Where there is memory.
    host_in, entry_i, host_out, busy, activity, fault
        As those of `PEGroup`, the other way round.
    reset : Out(1)
        For one cycle: the chip is to be reset.
    """

    def __init__(self, *, params: GroupParams, memory: MemoryParams | None = None):
        self._params = params
        self._memory = memory
        link_bits = params.pe.link_bits
        entries = {"entry_i": Out(stream.Signature(link_bits)).array(params.entries)}
        bus = {"memory": Out(AXI4(memory.cache.address_bits, memory.axi))} if memory is not None else {}
        super().__init__(
            {
                "images": In(AXIStream(link_bits, (ways(params) - 1).bit_length())),
                "results": Out(AXIStream(link_bits)),
                "registers": In(AXILite(ADDRESS_BITS)),
                **bus,
                **(entries if params.entries > 1 else {}),
                "host_in": Out(flit_stream(link_bits)),
                "host_out": In(stream.Signature(link_bits)),
                "busy": In(params.pes),
                "activity": In(ActivityLayout(params)),
                "fault": In(Fault),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link_bits = self._params.pe.link_bits
        m.submodules.axi_lite = axi_lite = AXILiteSlave(address_bits=ADDRESS_BITS)
        m.submodules.registers = registers = HostRegisters(params=self._params)
        flit_input = FlitInput(link_bits=link_bits, points=ways(self._params))
        m.submodules.flit_input = ResetInserter(registers.reset)(flit_input)
        m.submodules.flit_output = output = FlitOutput(link_bits=link_bits)
        m.submodules.counters = counters = EventCounters(sources=sources(self._params))
        connect(m, flipped(self.registers), axi_lite.bus)
        connect(m, flipped(self.host_out), output.i)
        memory = None
        if self._memory is None:
            connect(m, axi_lite.access, registers.access)
            connect(m, registers.config, flit_input.config)
            connect(m, flipped(self.images), flit_input.images)
            connect(m, output.results, flipped(self.results))
        else:
            memory = self._add_memory(m, axi_lite, registers, flit_input, output)
        self._enter(m, flit_input, memory)
        m.d.comb += [
            self.reset.eq(registers.reset),
            flit_input.enable.eq(~registers.reset),
            flit_input.length.eq(registers.image_flits),
            flit_input.start.eq(registers.start),
            flit_input.stop.eq(registers.stop),
            flit_input.abort.eq(registers.abort),
            output.length.eq(registers.result_flits),
            output.clear.eq(registers.reset),
            registers.running.eq(flit_input.running),
            registers.damaged.eq(flit_input.damaged),
            registers.packet_open.eq(flit_input.packet_open),
            registers.flit_waits.eq(self.host_in.valid),
            registers.result_waits.eq(self.results.tvalid),
            registers.reading.eq(self.busy.any()),
            registers.in_frame.eq(flit_input.in_frame),
            registers.begun.eq(flit_input.begun | (0 if memory is None else memory.begun)),
            registers.early.eq(flit_input.early),
            registers.late.eq(flit_input.late),
            registers.ended_out.eq(output.ended),
            registers.fault.eq(self.fault),
            # In the order of `register_map.EVENTS`; PEs and links as `registers.sources` says.
            counters.events.eq(
                Cat(
                    registers.counting,
                    flit_input.ended,
                    output.ended,
                    flit_input.taken,
                    output.left,
                    self.images.tvalid & ~self.images.tready & registers.counting,
                    self.results.tvalid & ~self.results.tready & registers.counting,
                    self.busy,
                    self._states(PEState.COMPUTE),
                    # A PE also waits while the chip has nothing to do, which does not count.
                    *(
                        self._states(wait) & registers.counting.replicate(self._params.pes)
                        for wait in (PEState.OUTPUT, PEState.NEIGHBOUR, PEState.INPUT)
                    ),
                    *(pe.flits for pe in self.activity.pes),
                    self.activity.nodes if self._params.levels else Const(0, 0),
                )
            ),
            counters.clear.eq(registers.start),
            counters.select.eq(registers.count_select),
            counters.request.eq(registers.count_request),
            registers.counted.eq(counters.done),
            registers.count.eq(counters.value),
        ]
        return m

    def _states(self, state: PEState) -> Value:
        """Whether each PE is in a state."""
        return Cat(self.activity.pes[n].state[state] for n in range(self._params.pes))

    def _enter(self, m: Module, flit_input: Any, memory: Any) -> None:
        """Lead data to the points where they enter: those of the stream by `tdest`, those of memory each by its own."""
        flits = flit_input.o
        if self._params.entries == 1:
            connect(m, flits, flipped(self.host_in))
            return
        m.d.comb += [
            self.host_in.valid.eq(flits.valid & (flit_input.to == 0)),
            self.host_in.payload.eq(flits.payload),
        ]
        with m.If(flit_input.to == 0):
            m.d.comb += flits.ready.eq(self.host_in.ready)
        for n, entry in enumerate(self.entry_i):
            mine = flit_input.to == n + 1
            m.d.comb += [entry.valid.eq(flits.valid & mine), entry.payload.eq(flits.p.data)]
            with m.If(mine):
                m.d.comb += flits.ready.eq(entry.ready)
            if memory is not None:
                # Nothing of the stream is there then: the way changes only while the chip has no work.
                with m.If(memory.from_memory):
                    m.d.comb += [
                        entry.valid.eq(memory.o[n + 1].valid),
                        entry.payload.eq(memory.o[n + 1].payload),
                        memory.o[n + 1].ready.eq(entry.ready),
                    ]

    def _add_memory(self, m: Module, axi_lite: Any, registers: Any, flit_input: Any, output: Any) -> Any:
        """Add memory between the interfaces and the chip."""
        assert self._memory is not None
        m.submodules.memory_port = memory = MemoryPort(params=self._params, memory=self._memory)
        connect(m, memory.bus, flipped(self.memory))

        # Registers of memory have a page of their own.
        here, there, access = registers.access, memory.access, axi_lite.access
        page = (MEMORY_PAGE // (REGISTER_BITS // 8)).bit_length() - 1
        for kind, results in (("read", ("done", "error", "data")), ("write", ("done", "error"))):
            word, valid = getattr(access, f"{kind}_word"), getattr(access, f"{kind}_valid")
            theirs = word[page]
            for block, mine in ((here, ~theirs), (there, theirs)):
                m.d.comb += [
                    getattr(block, f"{kind}_word").eq(word),
                    getattr(block, f"{kind}_valid").eq(valid & mine),
                ]
            for name in results:
                answers = (getattr(block, f"{kind}_{name}") for block in (there, here))
                m.d.comb += getattr(access, f"{kind}_{name}").eq(Mux(theirs, *answers))
        for block in (here, there):
            m.d.comb += [
                block.write_data.eq(access.write_data),
                block.write_mask.eq(access.write_mask),
            ]

        # Packets stay whole: a load of configuration waits for the end of one that came by registers, and those wait
        # for the end of the load.
        floor, by_host = Signal(), Signal()
        config = flit_input.config
        m.d.comb += [
            floor.eq(memory.configures & ~(flit_input.packet_open & by_host)),
            config.valid.eq(Mux(floor, memory.config.valid, registers.config.valid)),
            config.payload.eq(Mux(floor, memory.config.payload, registers.config.payload)),
            memory.config.ready.eq(floor & config.ready),
            registers.config.ready.eq(~floor & config.ready),
        ]
        with m.If(config.valid & config.ready):
            m.d.sync += by_host.eq(~floor)

        # Images and results by the way that the host chose.
        images, root = flit_input.images, memory.o[0]
        with m.If(memory.from_memory):
            m.d.comb += [
                images.tvalid.eq(root.valid),
                images.tdata.eq(root.payload),
                images.tlast.eq(memory.last[0]),
                root.ready.eq(images.tready),
            ]
        with m.Else():
            connect(m, flipped(self.images), images)
        results = output.results
        m.d.comb += [
            memory.results.payload.eq(results.tdata),
            self.results.tdata.eq(results.tdata),
            self.results.tlast.eq(results.tlast),
        ]
        with m.If(memory.to_memory):
            m.d.comb += [
                memory.results.valid.eq(results.tvalid),
                results.tready.eq(memory.results.ready),
            ]
        with m.Else():
            m.d.comb += [
                self.results.tvalid.eq(results.tvalid),
                results.tready.eq(self.results.tready),
            ]
        m.d.comb += [
            memory.working.eq(registers.working | results.tvalid | self.host_in.valid),
            memory.start.eq(registers.start),
            memory.running.eq(flit_input.running),
            memory.reset.eq(registers.reset),
        ]
        return memory
