"""The host port: standard interfaces on one side, the chip's flits on the other."""

from amaranth.hdl import Cat, Module, ResetInserter
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import GroupParams
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.host.axi_lite import AXILite, AXILiteSlave
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.event_counters import EventCounters
from ohmweave.rtl.host.flit_input import FlitInput
from ohmweave.rtl.host.flit_output import FlitOutput
from ohmweave.rtl.host.register_map import ADDRESS_BITS
from ohmweave.rtl.host.registers import EVENTS, HostRegisters

__all__ = ["HostPort"]


class HostPort(Component):
    """AXI4-Stream images in, AXI4-Stream results out, AXI4-Lite registers: all that a host needs of a `PEGroup`.

    The registers are those of `register_map`. No path leads from an input of an AXI interface to an output of one.

    Latency: 1 cycle from `images` to `host_in`, 1 cycle from `host_out` to `results`; a write to CONFIG is at
    `host_in` 2 cycles after the cycle in which its address and data have both been taken. Throughput: 1 flit a cycle
    of images and of results, 1 configuration flit every 2 cycles.

    Parameters: params, of the chip.

    Ports
    -----
    images : In(AXIStream(link_bits))
    results : Out(AXIStream(link_bits))
    registers : In(AXILite(12))
    host_in, host_out, busy, fault
        As those of `PEGroup`, the other way round.
    reset : Out(1)
        For one cycle: the chip is to be reset.
    """

    def __init__(self, *, params: GroupParams):
        self._params = params
        link_bits = params.pe.link_bits
        super().__init__(
            {
                "images": In(AXIStream(link_bits)),
                "results": Out(AXIStream(link_bits)),
                "registers": In(AXILite(ADDRESS_BITS)),
                "host_in": Out(flit_stream(link_bits)),
                "host_out": In(stream.Signature(link_bits)),
                "busy": In(params.pes),
                "fault": In(Fault),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link_bits = self._params.pe.link_bits
        m.submodules.axi_lite = axi_lite = AXILiteSlave(address_bits=ADDRESS_BITS)
        m.submodules.registers = registers = HostRegisters(params=self._params)
        flit_input = FlitInput(link_bits=link_bits)
        m.submodules.flit_input = ResetInserter(registers.reset)(flit_input)
        m.submodules.flit_output = output = FlitOutput(link_bits=link_bits)
        m.submodules.counters = counters = EventCounters(sources=EVENTS + self._params.pes)
        connect(m, flipped(self.registers), axi_lite.bus)
        connect(m, axi_lite.access, registers.access)
        connect(m, registers.config, flit_input.config)
        connect(m, flipped(self.images), flit_input.images)
        connect(m, flit_input.o, flipped(self.host_in))
        connect(m, flipped(self.host_out), output.i)
        connect(m, output.results, flipped(self.results))
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
            registers.begun.eq(flit_input.begun),
            registers.early.eq(flit_input.early),
            registers.late.eq(flit_input.late),
            registers.ended_out.eq(output.ended),
            registers.fault.eq(self.fault),
            # In the order of `register_map.COUNTERS`.
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
                )
            ),
            counters.clear.eq(registers.start),
            counters.select.eq(registers.count_select),
            counters.request.eq(registers.count_request),
            registers.counted.eq(counters.done),
            registers.count.eq(counters.value),
        ]
        return m
