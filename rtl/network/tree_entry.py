"""A point at which data enter the distribution tree below its root."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, MAX_TURN, ConfigWrite, flit_stream
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.network.config_receiver import ConfigReceiver
from ohmweave.rtl.network.turn_sequence import PLACES, TurnSequence

__all__ = ["FIRST_ENTRY_UNIT", "EntryData", "EntryRegister", "TreeEntry", "entry_unit", "entry_writes"]

#: Unit number of the first entry; the others follow.
FIRST_ENTRY_UNIT = 0x200
#: Entries of the largest chip.
MAX_ENTRIES = 256


def entry_unit(number: int) -> int:
    """Unit number of an entry."""
    return FIRST_ENTRY_UNIT + number


class EntryRegister(enum.IntEnum):
    """Addresses of the configuration registers of an entry and, in a chip with frame buffers, of the exit beside it.

    OPEN             0: data come from the parent; 1: from the entry point; with frame buffers 2: from these in turn
    EXIT             bit 0: data of the branch of the collection tree go into the frame buffer
    IN_TURN          flits of the turn of each buffer that the entry takes from
    IN_COUNT         how many turns there are before the first comes again
    OUT_TURN         flits of the turn of each entry that the buffer sends to
    OUT_COUNT        how many turns there are before the first comes again
    IN_TABLE + n     the buffer whose turn is the n-th
    OUT_TABLE + n    the entry whose turn is the n-th
    """

    OPEN = 0
    EXIT = 1
    IN_TURN = 2
    IN_COUNT = 3
    OUT_TURN = 4
    OUT_COUNT = 5
    IN_TABLE = 16
    OUT_TABLE = 32


class EntryData(enum.IntEnum):
    """What `EntryRegister.OPEN` says: where data come from."""

    ABOVE = 0
    POINT = 1
    BUFFERS = 2


def entry_writes(
    *,
    opened: int,
    exit: bool = False,
    sources: Sequence[int] = (),
    in_turn: int = 0,
    targets: Sequence[int] = (),
    out_turn: int = 0,
) -> dict[int, int]:
    """Address → word that makes an entry, and the exit beside it, let data through; in the order to write them in.

    opened    where data come from, as in `EntryData`
    exit      whether the collection's branch goes into the frame buffer
    sources   the frame buffers that the entry takes from, a number for each turn
    in_turn   flits of such a turn
    targets   the entries that the frame buffer sends to, a number for each turn
    out_turn  flits of such a turn
    """
    whole("What an entry is opened to", opened, 0, max(EntryData), error=ValueError)
    into = EntryRegister.IN_TURN, EntryRegister.IN_COUNT, EntryRegister.IN_TABLE
    out = EntryRegister.OUT_TURN, EntryRegister.OUT_COUNT, EntryRegister.OUT_TABLE
    return {
        **_sequence("sources", sources, in_turn, into, used=opened == EntryData.BUFFERS),
        **_sequence("targets", targets, out_turn, out, used=exit),
        EntryRegister.EXIT: int(exit),
        EntryRegister.OPEN: opened,
    }


def _sequence(
    name: str, numbers: Sequence[int], turn: int, registers: tuple[int, int, int], *, used: bool
) -> dict[int, int]:
    """Writes of one of the two sequences."""
    if not used:
        if numbers or turn:
            raise ValueError(f"An entry's {name} must be none where it has no turns, not {list(numbers)}")
        return {}
    whole(f"The number of an entry's {name}", len(numbers), 1, PLACES, error=ValueError)
    whole(f"The turn of an entry's {name}", turn, 1, MAX_TURN, error=ValueError)
    for number in numbers:
        whole(f"Each of an entry's {name}", number, 0, MAX_ENTRIES - 1, error=ValueError)
    length, count, table = registers
    return {
        length: turn,
        count: len(numbers),
        **{table + place: number for place, number in enumerate(numbers)},
    }


class TreeEntry(Component):
    """Stands in front of a node of the distribution tree, or of a PE, and lets data in beside those of its parent.

    Configuration flits from the parent always pass, to what is below and to the entry's own register
    (`EntryRegister`). Data come from the parent or, while the entry is open, from the entry point; the others wait,
    and behind data of the parent configuration too. After reset the entry is closed.

    With exits it can be opened to frame buffers instead, of which it takes from one after the other (`TurnSequence`);
    all that is said here of data of the entry point holds for theirs. It hands its writes on to the exit beside it.

    Order is kept: data of the entry point follow the packet that opened it, and go before one that closes it if they
    were taken before. Packets of the parent stay whole: while one lacks flits, no data of the entry point get between.
    So a host may offer data at any time: what is configured before the packet that opens an entry acts on all of them.
    (Re-ReRAM, section VI: the dispatch unit enters the tree at any level.)

    Latency: 1 cycle. Data from the entry point follow a configuration flit after 1 cycle at the earliest, those of
    either input follow a word for the entry after 2.
    Throughput: 1 flit a cycle, of both inputs together; of an open entry, configuration goes first.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 16 to 64.
    exits : int
        Frame buffers of the chip, 2 to 256; 0: there are none, and of the ports only the first four.

    Ports
    -----
    unit : In(16)
        The entry's unit number; constant.
    parent : In(flit_stream(link_bits))
        From the node above. `ready` depends on the flit's `config`.
    entry : In(stream(link_bits))
        Data from the entry point. `ready` depends on whether the parent offers configuration.
    o : Out(flit_stream(link_bits))
        To the node, or the PE, below. Registered; its `ready` reaches those of the inputs within the cycle.
    frames : In(stream(link_bits))
        Data of the frame buffer whose turn it is. `ready` as that of `entry`.
    from_ : Out(range(exits))
        The frame buffer whose turn it is; a flit taken from the last of a turn is followed by the next number.
    exit_config : Out(stream(ConfigWrite))
        Writes to the entry's registers, for the exit beside it, which has to be always ready: a word taken in cycle c
        is one in cycle c + 1.

    Raises
    ------
    TypeError
        `link_bits` or `exits` is not a number of its range.

    `entry_writes` refuses numbers of buffers and entries that no chip has, more than 16 of them, and turns that are
    not from 1 to `MAX_TURN` flits.
    """

    def __init__(self, *, link_bits: int, exits: int = 0):
        whole("TreeEntry link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        if exits != 0 or isinstance(exits, bool):
            whole("TreeEntry exits", exits, 2, MAX_ENTRIES, error=TypeError)
        frames = {
            "frames": In(stream.Signature(link_bits)),
            "from_": Out(range(exits)),
            "exit_config": Out(stream.Signature(ConfigWrite)),
        }
        super().__init__(
            {
                "unit": In(CONFIG_BITS),
                "parent": In(flit_stream(link_bits)),
                "entry": In(stream.Signature(link_bits)),
                "o": Out(flit_stream(link_bits)),
                **(frames if exits else {}),
            }
        )
        self._link_bits = link_bits
        self._exits = exits

    @property
    def link_bits(self) -> int:
        return self._link_bits

    @property
    def exits(self) -> int:
        return self._exits

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = ConfigReceiver(
            link_bits=self.link_bits, data_output=False, open_output=True
        )
        is_config = self.parent.p.config
        is_open = Signal()
        in_turn = Signal()
        free = Signal()
        opened = is_open | in_turn if self.exits else is_open
        sides = [(self.entry, is_open), *([(self.frames, in_turn)] if self.exits else [])]
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            # Behind a word that is about to become the register, data of all inputs wait. The parent's do not wait
            # for the rest of a packet, which is behind them.
            self.parent.ready.eq(free & (is_config | ~(opened | receiver.config.valid))),
            *(
                side.ready.eq(
                    free & lets & ~(self.parent.valid & is_config | receiver.open | receiver.config.valid)
                )
                for side, lets in sides
            ),
            # The receiver is never stalled.
            receiver.unit.eq(self.unit),
            receiver.flits.payload.eq(self.parent.payload),
            receiver.flits.valid.eq(self.parent.valid & self.parent.ready),
            receiver.config.ready.eq(1),
        ]
        with m.If(receiver.config.valid & (receiver.config.p.address == EntryRegister.OPEN)):
            word = receiver.config.p.data
            if self.exits:
                m.d.sync += [is_open.eq(word[0] & ~word[1]), in_turn.eq(word[1])]
            else:
                m.d.sync += is_open.eq(word[0])

        with m.If(self.parent.valid & self.parent.ready):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.parent.payload)]
        for side, _ in sides:
            with m.Elif(side.valid & side.ready):
                m.d.sync += [self.o.valid.eq(1), self.o.p.data.eq(side.payload), self.o.p.config.eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        if self.exits:
            self._add_sequence(m, platform, receiver)
        return m

    def _add_sequence(self, m: Module, platform: Any, receiver: ConfigReceiver) -> None:
        """The sequence of frame buffers, and the writes for it and for the exit."""
        sequence = instantiate(
            m, platform, "sequence", "entry_sequence",
            lambda: TurnSequence(
                numbers=self.exits,
                turn=EntryRegister.IN_TURN,
                count=EntryRegister.IN_COUNT,
                table=EntryRegister.IN_TABLE,
            ),
        )  # fmt: skip
        m.d.comb += [
            sequence.moves.eq(self.frames.valid & self.frames.ready),
            self.from_.eq(sequence.current),
        ]
        for port in (sequence.config, self.exit_config):
            m.d.comb += [port.valid.eq(receiver.config.valid), port.payload.eq(receiver.config.payload)]
