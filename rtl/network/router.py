"""Switch without buffers, virtual channels or route computation: its paths are configured before the run."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import FlitLayout, flit_stream

__all__ = ["Router"]

MAX_PORTS = 16


class Router(Component):
    """Connects each output to one input, and so each input to any number of outputs (multicast).

    Each output is a switch register followed by a link register: the two stages that are left of a router's
    seven once paths are configured (Re-ReRAM, section VI.B: switch and link traversal). A flit is taken from an
    input in a cycle in which every output that selects this input can load it, and all of them load it in that
    cycle, so that none is served twice or left out. An input that no output selects is never ready: its flits
    wait, none is dropped. Flits already taken go on when `routes` changes.

    Latency: taken in cycle c → offered at the outputs in cycle c + 2, unless they are stalled.
    Throughput: 1 flit a cycle from every input.

    Parameters
    ----------
    inputs, outputs : int
        Ports, 1 to 16 each.
    link_bits : int
        Bits of a flit's data, 1 to 64.
    broadcast_config : bool
        A configuration flit goes to every output, whatever `routes` says; data flits follow `routes`. For
        routers of one input, since two inputs could not broadcast at once without arbitration. Otherwise a
        configuration flit is routed like data.
    registered_ready : bool
        False: two registers an output, and `ready` runs from an output through its two registers to the inputs
        within a cycle, and so through a whole chain of routers.
        True: the link register gets a second place for the one flit that is under way when the receiver stalls,
        and `ready` of the inputs depends on registers only. **Routers whose links form a ring, as in a mesh,
        need this**: their `ready` paths would otherwise be a combinational loop, whatever the routes. Latency
        and throughput are the same.

    Ports
    -----
    i : In(flit_stream(link_bits)).array(inputs)
        `ready` does not depend on `valid`; with `broadcast_config` it depends on the flit's `config`.
    o : Out(flit_stream(link_bits)).array(outputs)
        Registered.
    routes : In(ArrayLayout(range(inputs + 1), outputs))
        For each output 0: closed; n + 1: it takes the flits of input n. Larger values are closed.
    loads : Out(outputs)
        Outputs that take a flit in this cycle. Combinational from `valid` of the inputs.

    Raises
    ------
    TypeError
        A parameter is not a number of its range.
    ValueError
        `broadcast_config` with several inputs.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        link_bits: int,
        broadcast_config: bool = False,
        registered_ready: bool = False,
    ):
        whole("Router inputs", inputs, 1, MAX_PORTS, error=TypeError)
        whole("Router outputs", outputs, 1, MAX_PORTS, error=TypeError)
        whole("Router link_bits", link_bits, 1, 64, error=TypeError)
        if broadcast_config and inputs != 1:
            raise ValueError(f"Router inputs must be 1 with broadcast_config, not {inputs!r}")
        super().__init__(
            {
                "i": In(flit_stream(link_bits)).array(inputs),
                "o": Out(flit_stream(link_bits)).array(outputs),
                "routes": In(data.ArrayLayout(range(inputs + 1), outputs)),
                "loads": Out(outputs),
            }
        )
        self._inputs = inputs
        self._outputs = outputs
        self._link_bits = link_bits
        self._broadcast_config = bool(broadcast_config)
        self._registered_ready = bool(registered_ready)

    @property
    def inputs(self) -> int:
        return self._inputs

    @property
    def outputs(self) -> int:
        return self._outputs

    @property
    def link_bits(self) -> int:
        return self._link_bits

    @property
    def broadcast_config(self) -> bool:
        return self._broadcast_config

    @property
    def registered_ready(self) -> bool:
        return self._registered_ready

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        can_load = Signal(self.outputs)
        flits = [Signal(FlitLayout(self.link_bits), name=f"flit_{n}") for n in range(self.outputs)]

        transfer = []
        for i in range(self.inputs):
            wanted = Signal(self.outputs, name=f"wanted_{i}")
            m.d.comb += wanted.eq(Cat(self.routes[n] == i + 1 for n in range(self.outputs)))
            if self.broadcast_config:
                with m.If(self.i[i].payload.config):
                    m.d.comb += wanted.eq(Const(-1, self.outputs))
            m.d.comb += self.i[i].ready.eq(wanted.any() & (can_load | ~wanted).all())
            transfer.append(wanted & (self.i[i].valid & self.i[i].ready).replicate(self.outputs))

        for n in range(self.outputs):
            if self.inputs == 1:
                m.d.comb += [self.loads[n].eq(transfer[0][n]), flits[n].eq(self.i[0].payload)]
                continue
            with m.Switch(self.routes[n]):
                for i in range(self.inputs):
                    with m.Case(i + 1):
                        m.d.comb += [self.loads[n].eq(transfer[i][n]), flits[n].eq(self.i[i].payload)]

        for n in range(self.outputs):
            self._output(m, n, can_load[n], self.loads[n], flits[n])
        return m

    def _output(self, m: Module, n: int, can_load: Any, load: Any, flit: Any) -> None:
        """The switch register and the link register of output `n`."""
        switch = Signal(FlitLayout(self.link_bits), name=f"switch_{n}")
        switch_valid = Signal(name=f"switch_valid_{n}")
        link_ready = Signal(name=f"link_ready_{n}")
        o = self.o[n]

        m.d.comb += can_load.eq(~switch_valid | link_ready)
        with m.If(load):
            m.d.sync += [switch.eq(flit), switch_valid.eq(1)]
        with m.Elif(link_ready):
            m.d.sync += switch_valid.eq(0)

        if not self.registered_ready:
            m.d.comb += link_ready.eq(~o.valid | o.ready)
            with m.If(link_ready):
                m.d.sync += o.valid.eq(switch_valid)
                with m.If(switch_valid):
                    m.d.sync += o.payload.eq(switch)
            return

        # The second place of the link register: it fills when the switch delivers in the cycle in which the
        # receiver stalls, which the switch learns one cycle later.
        spare = Signal(FlitLayout(self.link_bits), name=f"spare_{n}")
        spare_valid = Signal(name=f"spare_valid_{n}")
        m.d.comb += link_ready.eq(~spare_valid)
        with m.If(~o.valid | o.ready):
            m.d.sync += [o.valid.eq(spare_valid | switch_valid), spare_valid.eq(0)]
            with m.If(spare_valid):
                m.d.sync += o.payload.eq(spare)
            with m.Elif(switch_valid):
                m.d.sync += o.payload.eq(switch)
        with m.Elif(switch_valid & ~spare_valid):
            m.d.sync += [spare.eq(switch), spare_valid.eq(1)]
