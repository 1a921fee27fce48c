"""One node of the distribution tree and of the collection tree."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, MAX_TURN, flit_stream
from ohmweave.rtl.network.config_receiver import ConfigReceiver
from ohmweave.rtl.network.router import Router

__all__ = ["FIRST_NODE_UNIT", "RADIX", "NodeRegister", "TreeNode", "node_writes"]

#: Children of a node.
RADIX = 4
#: Unit number of the root; the other nodes follow, level by level. Units below are PEs.
FIRST_NODE_UNIT = 0x100
#: Cycles for which data wait behind a configuration flit, which may become a new route.
SETTLE_CYCLES = 3


class NodeRegister(enum.IntEnum):
    """Addresses of a node's configuration registers.

    CHILDREN  bit n: data of the distribution tree go to child n
    SELECT    0: the collection is closed; n + 1: it takes the flits of child n
    TURN + n  flits of child n after which the next child with a turn is taken from, and so on in a circle; 0: the
              child has no turn, and if it is selected it stays so
    DEAL + n  the same of the distribution, while it goes to child n alone: flits of data after which they go to the
              next child with such a turn
    """

    CHILDREN = 0
    SELECT = 1
    TURN = 2
    DEAL = 6


def node_writes(
    *,
    children: Iterable[int] = (),
    select: int | None = None,
    turns: Mapping[int, int] | None = None,
    deals: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Address → word that makes a node send data to `children` and collect from some of them.

    children  those that all data go to, or with `deals` the one that has the first turn
    select    the child that is taken from, or that has the first turn
    turns     child → flits of its turn, where several are taken from
    deals     child → flits of its turn, where several are sent to in turn
    """
    enabled, lengths, dealt = set(children), dict(turns or {}), dict(deals or {})
    for child in (*enabled, *lengths, *dealt, *(() if select is None else (select,))):
        if child not in range(RADIX):
            raise ValueError(f"A node's child must be from 0 to {RADIX - 1}, not {child!r}")
    for length in (*lengths.values(), *dealt.values()):
        whole("The turn of a node's child", length, 1, MAX_TURN, error=ValueError)
    if dealt and len(enabled) != 1:
        raise ValueError(f"A node's children must be one where they take turns, not {sorted(enabled)}")
    return {
        NodeRegister.CHILDREN: sum(1 << child for child in enabled),
        NodeRegister.SELECT: 0 if select is None else select + 1,
        **{NodeRegister.TURN + child: lengths.get(child, 0) for child in range(RADIX)},
        **{NodeRegister.DEAL + child: dealt.get(child, 0) for child in range(RADIX)},
    }


class TreeNode(Component):
    """Sends flits from its parent to 1 to 4 children, and those of one child, or of several in turn, up to its parent.

    Configuration flits from the parent go to all children and to the node's own registers (`NodeRegister`),
    data flits to the children that are enabled. After reset both trees are closed. Writes to other addresses
    are ignored. Data for a node whose children are all closed wait, and everything behind them: open a path first.
    Data do not reach the node's receiver, so that they do not end a packet there as they do in a PE: a packet
    must be sent whole.

    Turns put the parts of pixels together that several children compute: each sends as many flits of every pixel as
    its turn has. A child whose turn has come is waited for, however long it takes. Turns of the distribution deal
    frames out to several children, each of which gets the next.

    Order is kept: a data flit waits until the configuration flits before it have become the node's routes.
    (Re-ReRAM, section VI and Fig. 9: fat tree with multicast 1 to 4, and a 4-to-1 collection.)

    Latency: 2 cycles down, 2 cycles up. A data flit follows a configuration flit after 4 cycles at the earliest;
    a write to `SELECT` taken in cycle c acts from cycle c + 4.
    Throughput: 1 flit a cycle each way.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 16 to 64.
    registered_ready : bool
        As in `Router`: whether `ready` is cut between the children and the parent. A tree does without.

    Ports
    -----
    unit : In(16)
        The node's unit number; constant.
    down : In(flit_stream(link_bits))
        From the parent. `ready` depends on the flit's `config`.
    down_o : Out(flit_stream(link_bits)).array(4)
        To the children.
    up_i : In(flit_stream(link_bits)).array(4)
        From the children. A child that is not selected is never ready.
    up_o : Out(flit_stream(link_bits))
        To the parent.

    Raises
    ------
    TypeError
        `link_bits` is not a number of its range.

    `node_writes` refuses children that a node does not have, and turns that are not from 1 to `MAX_TURN` flits.
    """

    def __init__(self, *, link_bits: int, registered_ready: bool = False):
        whole("TreeNode link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        super().__init__(
            {
                "unit": In(CONFIG_BITS),
                "down": In(flit_stream(link_bits)),
                "down_o": Out(flit_stream(link_bits)).array(RADIX),
                "up_i": In(flit_stream(link_bits)).array(RADIX),
                "up_o": Out(flit_stream(link_bits)),
            }
        )
        self._link_bits = link_bits
        self._registered_ready = bool(registered_ready)

    @property
    def link_bits(self) -> int:
        return self._link_bits

    @property
    def registered_ready(self) -> bool:
        return self._registered_ready

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        common: dict[str, Any] = {"link_bits": self.link_bits, "registered_ready": self.registered_ready}
        m.submodules.distribution = distribution = Router(
            inputs=1, outputs=RADIX + 1, broadcast_config=True, **common
        )
        m.submodules.collection = collection = Router(inputs=RADIX, outputs=1, **common)
        m.submodules.receiver = receiver = ConfigReceiver(link_bits=self.link_bits, data_output=False)

        for n in range(RADIX):
            connect(m, distribution.o[n], flipped(self.down_o[n]))
            connect(m, flipped(self.up_i[n]), collection.i[n])
        connect(m, distribution.o[RADIX], receiver.flits)
        connect(m, collection.o[0], flipped(self.up_o))

        # The receiver is never stalled, so a configuration flit takes a known time to become a route.
        settling = Signal(range(SETTLE_CYCLES + 1))
        hold = Signal()
        down = distribution.i[0]
        m.d.comb += [
            hold.eq(~self.down.payload.config & (settling != 0)),
            down.payload.eq(self.down.payload),
            down.valid.eq(self.down.valid & ~hold),
            self.down.ready.eq(down.ready & ~hold),
        ]
        with m.If(self.down.valid & self.down.ready & self.down.payload.config):
            m.d.sync += settling.eq(SETTLE_CYCLES)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)

        collects = Signal()
        deals = Signal()
        m.d.comb += [
            collects.eq(Cat(up.valid & up.ready for up in collection.i).any()),
            deals.eq(down.valid & down.ready & ~down.payload.config),
        ]
        children = Signal(RADIX)
        select = Signal(range(RADIX + 1))
        taken, turns = self._turns(m, "turn", select, [n + 1 for n in range(RADIX)], collects)
        dealt, dealt_turns = self._turns(m, "deal", children, [1 << n for n in range(RADIX)], deals)
        write = receiver.config.payload
        m.d.comb += [receiver.unit.eq(self.unit), receiver.config.ready.eq(1)]
        with m.If(receiver.config.valid), m.Switch(write.address):
            with m.Case(NodeRegister.CHILDREN):
                m.d.sync += [children.eq(write.data), dealt.eq(0)]
            with m.Case(NodeRegister.SELECT):
                m.d.sync += [select.eq(write.data), taken.eq(0)]
            for n in range(RADIX):
                with m.Case(NodeRegister.TURN + n):
                    m.d.sync += [turns[n].eq(write.data), taken.eq(0)]
                with m.Case(NodeRegister.DEAL + n):
                    m.d.sync += [dealt_turns[n].eq(write.data), dealt.eq(0)]
        # The local output is closed to data: only configuration, which goes everywhere, gets there.
        m.d.comb += [distribution.routes[n].eq(children[n]) for n in range(RADIX)]
        m.d.comb += collection.routes[0].eq(select)
        return m

    def _turns(
        self, m: Module, name: str, chosen: Signal, codes: Sequence[int], moves: Signal
    ) -> tuple[Any, Any]:
        """Let `chosen`, the code of a child, go on to the next child with a turn when its own is over.

        Gives the flits of the present turn, and the turns' lengths.
        """
        turns = Signal(data.ArrayLayout(CONFIG_BITS, RADIX), name=f"{name}s")
        taken = Signal(CONFIG_BITS, name=f"{name}_taken")
        turn = Signal(CONFIG_BITS, name=f"{name}_length")
        following = Signal(chosen.shape(), name=f"{name}_following")
        with m.Switch(chosen):
            for n, code in enumerate(codes):
                others = [(n + step) % RADIX for step in range(1, RADIX + 1)]
                with m.Case(code):
                    m.d.comb += turn.eq(turns[n])
                    for other in reversed(others):  # the first of them that has a turn
                        with m.If(turns[other] != 0):
                            m.d.comb += following.eq(codes[other])
        with m.If(moves & (turn != 0)):
            m.d.sync += taken.eq(taken + 1)
            with m.If(taken + 1 == turn):
                m.d.sync += [taken.eq(0), chosen.eq(following)]
        return taken, turns
