"""The chip as integrators know one: AXI4-Stream in and out, AXI4-Lite registers."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, connect

from ohmweave.params import GroupParams, MemoryParams
from ohmweave.rtl.group import PEGroup
from ohmweave.rtl.host.port import HostPort
from ohmweave.rtl.netlist import instantiate

__all__ = ["Chip"]


class Chip(Component):
    """A `PEGroup` behind a `HostPort`, with ports named as tools for AXI expect them.

    Images enter by an AXI4-Stream and results leave by one, both of `link_bits` bits, which is a flit. All else, the
    configuration and the cells of the arrays included, is written and read in registers (`register_map`). With
    memory, images, results and configuration can go through the cache to an AXI4 memory instead, images into all
    entries of the chip at once (`memory_map`).

    Latency: that of the `PEGroup` and 1 cycle each way. Throughput: 1 flit a cycle each way; of images from memory a
    word of the cache's port a cycle, at each entry 1 flit.

    Parameters: params, of the chip; memory, MemoryParams, or None.

    Ports
    -----
    images_t…
        AXI4-Stream with `tlast`, in: frames; on a chip with several entries with `tdest`, where they enter: 0 at the
        root, n at entry n - 1.
    results_t…
        AXI4-Stream with `tlast`, out: frames of results.
    registers_aw…, _w…, _b…, _ar…, _r…
        AXI4-Lite slave, 32 bits of data, 12 of address.
    memory_aw…, _w…, _b…, _ar…, _r…
        AXI4 manager, where there is memory.

    The clock is `clk`; the reset, `rst`, is synchronous and active high.
    """

    def __init__(self, *, params: GroupParams, memory: MemoryParams | None = None):
        self._params = params
        self._memory = memory
        names = ("images", "results", "registers", *(("memory",) if memory is not None else ()))
        self._port = HostPort(params=params, memory=memory)
        ports = self._port.signature.members
        #: As seen from outside.
        self._interfaces: dict[str, Any] = {name: ports[name].signature for name in names}
        super().__init__(
            {
                f"{name}_{member_name}": member
                for name, signature in self._interfaces.items()
                for member_name, member in signature.members.items()
            }
        )

    def _interface(self, name: str) -> Any:
        """The ports of an interface as one, seen from inside."""
        signature = self._interfaces[name]
        interface = signature.flip().create(path=(name,))
        for member in signature.members:
            setattr(interface, member, getattr(self, f"{name}_{member}"))
        return interface

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = instantiate(m, platform, "host", "host_port", lambda: self._port)
        group = instantiate(
            m, platform, "group", "pe_group", lambda: PEGroup(params=self._params), reset=host.reset
        )
        connect(m, self._interface("images"), host.images)
        connect(m, host.results, self._interface("results"))
        connect(m, self._interface("registers"), host.registers)
        if self._memory is not None:
            connect(m, host.memory, self._interface("memory"))
        if self._params.entries > 1:
            for outside, inside in zip(host.entry_i, group.entry_i, strict=True):
                connect(m, outside, inside)
        connect(m, host.host_in, group.host_in)
        connect(m, group.host_out, host.host_out)
        m.d.comb += [
            host.busy.eq(group.busy),
            host.activity.eq(group.activity),
            host.fault.eq(group.fault),
        ]
        return m
