"""The router that the paper leaves out: buffers, virtual channels, route computation and allocation.

No chip of this generator has it. It is here to measure what `Router`, whose paths are configured, saves.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import power, whole
from ohmweave.rtl.network.round_robin import RoundRobin
from ohmweave.rtl.network.virtual_channel import MESH_PORTS, PacketFlit, VirtualChannel, VirtualLink

__all__ = ["BufferedRouter"]


class BufferedRouter(Component):
    """Wormhole router of a mesh, five ports, virtual channels with credits.

    A flit is written into its channel's buffer; a head gets its route, then a free virtual channel of that output,
    where one input channel a cycle is served; then, like every flit behind it, the switch: of the channels of an
    input one may ask, and of the inputs that ask for an output one gets it, each in turn. The switch register and
    the link register follow: the two stages that `Router` has. A channel is kept until the packet's tail has left.
    (Re-ReRAM, section VI.B and figure 10, takes all of this away but the last two stages.)

    Latency: a head that comes in cycle c is offered at its output in cycle c + 5, a flit behind it in c + 3, if
    nothing else wants what they need.
    Throughput: 1 flit a cycle at each output; a packet of n flits takes n + 2 cycles of its channel, so that it takes
    several channels, or long packets, to fill a link. A credit comes back 5 cycles after its flit was sent: `depth`
    below 5 limits one channel to depth / 5 of the cycles between two such routers.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 1 to 64, and at least 2·side_bits.
    virtual_channels : int
        Of each link, 1 to 8.
    depth : int
        Flits that the buffer of a channel holds, a power of two from 2 to 64.
    side_bits : int
        Bits of x and of y, 1 to 8.

    Ports
    -----
    i : In(VirtualLink(link_bits, virtual_channels)).array(5)
        In the order of `Side`. A sender has `depth` credits of each channel after a reset.
    o : Out(VirtualLink(link_bits, virtual_channels)).array(5)
        Registered. The receiver has `depth` places for each channel.
    x, y : In(side_bits)
        Where the router stands, constant.

    Raises
    ------
    TypeError
        A parameter is not a number of its range.
    ValueError
        `link_bits` below 2·side_bits.
    OhmweaveError
        `depth` is no power of two from 2 to 64.
    """

    def __init__(self, *, link_bits: int, virtual_channels: int = 4, depth: int = 4, side_bits: int = 4):
        whole("BufferedRouter link_bits", link_bits, 1, 64, error=TypeError)
        whole("BufferedRouter virtual_channels", virtual_channels, 1, 8, error=TypeError)
        whole("BufferedRouter side_bits", side_bits, 1, 8, error=TypeError)
        power("BufferedRouter depth", depth, 2, 64)
        if link_bits < 2 * side_bits:
            raise ValueError(f"BufferedRouter link_bits must be at least {2 * side_bits}, not {link_bits!r}")
        self._link_bits = link_bits
        self._channels = virtual_channels
        self._depth = depth
        self._side_bits = side_bits
        link = VirtualLink(link_bits, virtual_channels)
        super().__init__(
            {
                "i": In(link).array(MESH_PORTS),
                "o": Out(link).array(MESH_PORTS),
                "x": In(side_bits),
                "y": In(side_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        inputs = [[self._channel(m, port, n) for n in range(self._channels)] for port in range(MESH_PORTS)]
        # Of each output: channels that a packet has, and places left in the receiver's buffers.
        held = Signal(data.ArrayLayout(self._channels, MESH_PORTS))
        left = Signal(
            data.ArrayLayout(data.ArrayLayout(range(self._depth + 1), self._channels), MESH_PORTS),
            init=[[self._depth] * self._channels] * MESH_PORTS,
        )
        self._allocate_channels(m, inputs, held)
        sent = self._allocate_switch(m, inputs, left)
        for port in range(MESH_PORTS):
            self._output(m, port, sent[port], held[port], left[port])
        return m

    def _channel(self, m: Module, port: int, n: int) -> VirtualChannel:
        """Virtual channel `n` of an input."""
        channel = VirtualChannel(
            link_bits=self._link_bits,
            depth=self._depth,
            side_bits=self._side_bits,
            virtual_channels=self._channels,
        )
        m.submodules[f"channel_{port}_{n}"] = channel
        i = self.i[port]
        m.d.comb += [
            channel.push.eq(i.valid & (i.channel == n)),
            channel.flit.eq(i.flit),
            channel.x.eq(self.x),
            channel.y.eq(self.y),
        ]
        m.d.sync += i.credit[n].eq(channel.pop)
        return channel

    def _allocate_channels(self, m: Module, inputs: list[list[VirtualChannel]], held: Any) -> None:
        """The lowest free channel of each output to one of the input channels that wait for one, in turn."""
        every = [channel for channels in inputs for channel in channels]
        served = []
        for port in range(MESH_PORTS):
            m.submodules[f"channels_{port}"] = turn = RoundRobin(requesters=len(every))
            free = Signal(name=f"free_{port}")
            lowest = Signal(range(self._channels), name=f"lowest_{port}")
            m.d.comb += [
                free.eq(~held[port].all()),
                turn.requests.eq(Cat(channel.waiting & (channel.side == port) for channel in every)),
                turn.taken.eq(free),
            ]
            for n in reversed(range(self._channels)):
                with m.If(~held[port][n]):
                    m.d.comb += lowest.eq(n)
            with m.If(free & turn.grant.any()):
                m.d.sync += held[port].bit_select(lowest, 1).eq(1)
            served.append((turn.grant & free.replicate(len(every)), lowest))
        for n, channel in enumerate(every):
            m.d.comb += channel.granted.eq(Cat(grant[n] for grant, _ in served).any())
            for grant, lowest in served:
                with m.If(grant[n]):
                    m.d.comb += channel.grant.eq(lowest)

    def _allocate_switch(self, m: Module, inputs: list[list[VirtualChannel]], left: Any) -> list[Any]:
        """One channel of each input may ask for its output, and one input gets it; for each output what it gets."""
        asking = []
        for port, channels in enumerate(inputs):
            m.submodules[f"input_{port}"] = turn = RoundRobin(requesters=self._channels)
            can_go = []
            for channel in channels:
                place = Signal()
                with m.Switch(channel.side):
                    for side in range(MESH_PORTS):
                        with m.Case(side), m.Switch(channel.channel):
                            for n in range(self._channels):
                                with m.Case(n):
                                    m.d.comb += place.eq(left[side][n] != 0)
                can_go.append(channel.ready & place)
            flit = Signal(PacketFlit(self._link_bits), name=f"asking_{port}")
            side = Signal(range(MESH_PORTS), name=f"side_{port}")
            to = Signal(range(self._channels), name=f"to_{port}")
            m.d.comb += turn.requests.eq(Cat(can_go))
            for n, channel in enumerate(channels):
                with m.If(turn.grant[n]):
                    m.d.comb += [flit.eq(channel.first), side.eq(channel.side), to.eq(channel.channel)]
            asking.append((turn, flit, side, to))

        outputs: list[Any] = []
        taken: list[list[Value]] = [[] for _ in range(MESH_PORTS)]
        for port in range(MESH_PORTS):
            m.submodules[f"output_{port}"] = turn = RoundRobin(requesters=MESH_PORTS)
            m.d.comb += [
                turn.requests.eq(Cat(one.requests.any() & (side == port) for one, _, side, _ in asking)),
                turn.taken.eq(1),
            ]
            flit = Signal(PacketFlit(self._link_bits), name=f"flit_{port}")
            channel = Signal(range(self._channels), name=f"channel_{port}")
            for n, (_, one_flit, _, to) in enumerate(asking):
                with m.If(turn.grant[n]):
                    m.d.comb += [flit.eq(one_flit), channel.eq(to)]
                taken[n].append(turn.grant[n])
            outputs.append((turn.grant.any(), flit, channel))
        for port, (turn, _, _, _) in enumerate(asking):
            m.d.comb += turn.taken.eq(Cat(taken[port]).any())
            for n, channel in enumerate(inputs[port]):
                m.d.comb += channel.pop.eq(turn.grant[n] & turn.taken)
        return outputs

    def _output(self, m: Module, port: int, sent: Any, held: Any, left: Any) -> None:
        """Switch register, link register, credits and the end of a packet at one output."""
        load, flit, channel = sent
        o = self.o[port]
        valid = Signal(name=f"switch_valid_{port}")
        switch = Signal(PacketFlit(self._link_bits), name=f"switch_{port}")
        to = Signal(range(self._channels), name=f"switch_channel_{port}")
        m.d.sync += [valid.eq(load), o.valid.eq(valid)]
        with m.If(load):
            m.d.sync += [switch.eq(flit), to.eq(channel)]
        with m.If(valid):
            m.d.sync += [o.flit.eq(switch), o.channel.eq(to)]
        for n in range(self._channels):
            gone = Signal(name=f"gone_{port}_{n}")
            m.d.comb += gone.eq(load & (channel == n))
            with m.If(gone & ~o.credit[n]):
                m.d.sync += left[n].eq(left[n] - 1)
            with m.Elif(~gone & o.credit[n]):
                m.d.sync += left[n].eq(left[n] + 1)
            with m.If(gone & flit.tail):
                m.d.sync += held[n].eq(0)
