"""Links with virtual channels, and one virtual channel at the input of a router."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Out, Signature

from ohmweave.check import whole
from ohmweave.rtl.memory.word_queue import WordQueue

__all__ = ["MESH_PORTS", "PacketFlit", "Side", "VirtualChannel", "VirtualLink"]

#: The PE and the neighbours north, east, south and west.
MESH_PORTS = 5


class Side(enum.IntEnum, shape=3):  # type: ignore[call-arg]
    """Ports of a router in a mesh; x grows to the east, y to the south."""

    LOCAL = 0
    NORTH = 1
    EAST = 2
    SOUTH = 3
    WEST = 4


class PacketFlit(data.StructLayout):
    """A flit of a packet: `data`, and whether it is the packet's first (`head`) and last (`tail`).

    The head's lowest bits are where the packet goes: x in side_bits, then y.
    """

    def __init__(self, link_bits: int):
        super().__init__({"data": link_bits, "head": 1, "tail": 1})


class VirtualLink(Signature):
    """A link of several virtual channels with credits.

    valid, flit, channel  a flit of that channel in this cycle; it is always taken
    credit                one bit a channel: a place has become free at the receiver
    """

    def __init__(self, link_bits: int, virtual_channels: int):
        super().__init__(
            {
                "valid": Out(1),
                "flit": Out(PacketFlit(link_bits)),
                "channel": Out(range(virtual_channels)),
                "credit": In(virtual_channels),
            }
        )


class _State(enum.Enum, shape=2):  # type: ignore[call-arg]
    IDLE = 0
    WAITING = 1
    ACTIVE = 2


class VirtualChannel(Component):
    """A queue of flits, and what its first packet has got so far: an output (route computation), a virtual channel
    there, and the right to send.

    Routes go along x first, then along y, so that no packets of a mesh wait for each other in a circle.

    Latency: a head that comes in cycle c asks for a channel in cycle c + 2, and if it gets one then, may be sent in
    c + 3. Throughput: a flit a cycle; 2 cycles between packets.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data.
    depth : int
        Flits that the queue holds, a power of two from 2 to 64.
    side_bits : int
        Bits of x and of y.
    virtual_channels : int
        Of the output link.

    Ports
    -----
    push, flit : In(1), In(PacketFlit(link_bits))
        A flit comes; the sender knows by its credits that there is a place.
    x, y : In(side_bits)
        Where the router stands, constant.
    first : Out(PacketFlit(link_bits))
        The flit that is next.
    waiting : Out(1)
        The packet asks for a virtual channel of the output `side`.
    side : Out(Side)
    granted, grant : In(1), In(range(virtual_channels))
        It gets this one.
    ready, channel : Out(1), Out(range(virtual_channels))
        `first` can be sent, in the channel that the packet got.
    pop : In(1)
        `first` is sent. Only with `ready`.
    """

    def __init__(self, *, link_bits: int, depth: int, side_bits: int, virtual_channels: int):
        whole("VirtualChannel side_bits", side_bits, 1, 8, error=TypeError)
        self._depth = depth
        self._side_bits = side_bits
        self._layout = PacketFlit(link_bits)
        super().__init__(
            {
                "push": In(1),
                "flit": In(self._layout),
                "x": In(side_bits),
                "y": In(side_bits),
                "first": Out(self._layout),
                "waiting": Out(1),
                "side": Out(Side),
                "granted": In(1),
                "grant": In(range(virtual_channels)),
                "ready": Out(1),
                "channel": Out(range(virtual_channels)),
                "pop": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.queue = queue = WordQueue(shape=self._layout, depth=self._depth)
        state = Signal(_State)
        m.d.comb += [
            queue.i.valid.eq(self.push),
            queue.i.payload.eq(self.flit),
            queue.o.ready.eq(self.pop),
            self.first.eq(queue.o.payload),
            self.waiting.eq(state == _State.WAITING),
            self.ready.eq((state == _State.ACTIVE) & queue.o.valid),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE), m.If(queue.o.valid):
                m.d.sync += [self.side.eq(self._route(m)), state.eq(_State.WAITING)]
            with m.Case(_State.WAITING), m.If(self.granted):
                m.d.sync += [self.channel.eq(self.grant), state.eq(_State.ACTIVE)]
            with m.Case(_State.ACTIVE), m.If(self.pop & self.first.tail):
                m.d.sync += state.eq(_State.IDLE)
        return m

    def _route(self, m: Module) -> Any:
        """The output for the head that is first."""
        bits = self._side_bits
        to_x, to_y = self.first.data[:bits], self.first.data[bits : 2 * bits]
        side = Signal(Side)
        with m.If(to_x > self.x):
            m.d.comb += side.eq(Side.EAST)
        with m.Elif(to_x < self.x):
            m.d.comb += side.eq(Side.WEST)
        with m.Elif(to_y > self.y):
            m.d.comb += side.eq(Side.SOUTH)
        with m.Elif(to_y < self.y):
            m.d.comb += side.eq(Side.NORTH)
        with m.Else():
            m.d.comb += side.eq(Side.LOCAL)
        return side
