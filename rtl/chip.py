"""The chip as integrators know one: AXI4-Stream in and out, AXI4-Lite registers."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, Flow, In, Out, Signature, connect

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.group import PEGroup
from ohmweave.rtl.host.axi_lite import AXILite
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.port import HostPort
from ohmweave.rtl.host.register_map import ADDRESS_BITS
from ohmweave.rtl.netlist import instantiate

__all__ = ["Chip"]


class Chip(Component):
    """A `PEGroup` behind a `HostPort`, with ports named as tools for AXI expect them.

    Images enter by an AXI4-Stream and results leave by one, both of `link_bits` bits, which is a flit. All else, the
    configuration and the cells of the arrays included, is written and read in registers (`register_map`).

    Latency: that of the `PEGroup` and 1 cycle each way. Throughput: 1 flit a cycle each way.

    Parameters: params, of the chip, which has one entry: `OhmweaveError` otherwise.

    Ports
    -----
    images_t…
        AXI4-Stream with `tlast`, in: frames.
    results_t…
        AXI4-Stream with `tlast`, out: frames of results.
    registers_aw…, _w…, _b…, _ar…, _r…
        AXI4-Lite slave, 32 bits of data, 12 of address.

    The clock is `clk`; the reset, `rst`, is synchronous and active high.
    """

    def __init__(self, *, params: GroupParams):
        if params.entries != 1:
            raise OhmweaveError(
                f"a chip with AXI interfaces must have one stream of images and 1 entry, not {params.entries}"
            )
        self._params = params
        link = AXIStream(params.pe.link_bits)
        self._interfaces: dict[str, tuple[Flow, Signature]] = {
            "images": (In, link),
            "results": (Out, link),
            "registers": (In, AXILite(ADDRESS_BITS)),
        }
        super().__init__(
            {
                f"{name}_{member_name}": member
                for name, (flow, signature) in self._interfaces.items()
                for member_name, member in (signature if flow is Out else signature.flip()).members.items()
            }
        )

    def _interface(self, name: str) -> Any:
        """The ports of an interface as one, seen from inside."""
        flow, signature = self._interfaces[name]
        interface = (signature.flip() if flow is Out else signature).create(path=(name,))
        for member in signature.members:
            setattr(interface, member, getattr(self, f"{name}_{member}"))
        return interface

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = instantiate(m, platform, "host", "host_port", lambda: HostPort(params=self._params))
        group = instantiate(
            m, platform, "group", "pe_group", lambda: PEGroup(params=self._params), reset=host.reset
        )
        connect(m, self._interface("images"), host.images)
        connect(m, host.results, self._interface("results"))
        connect(m, self._interface("registers"), host.registers)
        connect(m, host.host_in, group.host_in)
        connect(m, group.host_out, host.host_out)
        m.d.comb += [host.busy.eq(group.busy), host.fault.eq(group.fault)]
        return m
