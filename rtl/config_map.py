"""Where each component of a PE stands in the PE's configuration space."""

import enum

from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.rtl.flit import ConfigWrite

__all__ = ["ConfigDemux", "Region"]

LOCAL_BITS = 12


class Region(enum.IntEnum):
    """The upper four bits of an address in a PE; the lower twelve are local to the component."""

    STAGE = 0
    ROUTES = 1
    CONSTANTS = 2
    INDEX = 3
    ARRAY = 4
    RERAM_PROGRAM = 5
    ARITHMETIC_PROGRAM = 6

    def address(self, local: int = 0) -> int:
        """Address in the PE of a local address; `ValueError` if it lies outside a region."""
        if not 0 <= local < 1 << LOCAL_BITS:
            raise ValueError(f"A local address must be from 0 to {(1 << LOCAL_BITS) - 1}, not {local!r}")
        return int(self) << LOCAL_BITS | local


class ConfigDemux(Component):
    """Hands each configuration write to the component of its region, with the address made local.

    A write to a region that does not exist is taken and ignored.

    Ports: `i`, writes to the PE; `o`, one stream a `Region`. Latency: 0 (combinational). Throughput: 1 a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(ConfigWrite)),
                "o": Out(stream.Signature(ConfigWrite)).array(len(Region)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        region = self.i.p.address[LOCAL_BITS:]
        m.d.comb += self.i.ready.eq(1)
        for which, port in zip(Region, self.o, strict=True):
            m.d.comb += [
                port.p.address.eq(self.i.p.address[:LOCAL_BITS]),
                port.p.data.eq(self.i.p.data),
            ]
            with m.If(region == which):
                m.d.comb += [port.valid.eq(self.i.valid), self.i.ready.eq(port.ready)]
        return m
