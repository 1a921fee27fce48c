"""The host's registers, defined once: the hardware, the tests and the table of docs/blocks/host.md are made of it."""

from ohmweave.rtl.host.host_register import (
    RO,
    RW,
    W1C,
    WO,
    BitField,
    HostRegister,
    counter_registers,
    halves,
    whole_field,
)
from ohmweave.rtl.host.memory_map import MEMORY_REGISTERS

__all__ = [
    "ADDRESS_BITS", "COUNTERS", "EVENTS", "IDENTITY", "LINK_COUNTER", "MAP_VERSION", "PE_COUNTERS", "REGISTERS",
    "fields", "place", "register",
]  # fmt: skip

#: A page of 4 KiB.
ADDRESS_BITS = 12
#: "ohmw".
IDENTITY = 0x6F68_6D77
#: Upper half: changes that old software cannot live with; lower half: additions.
MAP_VERSION = 0x0001_0001
#: Cycles after which a write to CONFIG that the chip does not take is given up, unless the host says otherwise.
DEFAULT_CONFIG_WAIT = 1 << 20


#: Name, first address and meaning of the counters of 64 bits: events of the host port, in the order of their sources.
EVENTS = (
    ("CYCLES", 0x080, "cycles in which the chip had work: running, or results to come, and no error"),
    ("FRAMES_IN", 0x088, "frames whose last flit `images` has taken"),
    ("FRAMES_OUT", 0x090, "frames whose last flit has left at `results`"),
    ("FLITS_IN", 0x098, "flits that `images` has taken"),
    ("FLITS_OUT", 0x0A0, "flits that have left at `results`"),
    (
        "IMAGES_WAITED",
        0x0A8,
        "cycles of CYCLES in which a flit waited at `images`: `tvalid` without `tready`",
    ),
    (
        "RESULTS_WAITED",
        0x0B0,
        "cycles of CYCLES in which a flit waited at `results`: `tvalid` without `tready`",
    ),
)
#: Those of the PE that PE_SELECT names, in the order of `activity.PEState`.
PE_COUNTERS = (
    ("PE_READ", 0x0B8, "cycles in which the array of the PE that PE_SELECT names was reading"),
    ("PE_COMPUTE", 0x0C0, "those in which it was not, and the PE's arithmetic half executed an instruction"),
    (
        "PE_WAIT_OUTPUT",
        0x0C8,
        "cycles of CYCLES in which the PE did neither, and what it had made was not taken",
    ),
    (
        "PE_WAIT_NEIGHBOUR",
        0x0D0,
        "those in which instead an instruction of it waited for partial sums or a second operand",
    ),
    ("PE_WAIT_INPUT", 0x0D8, "those in which it was enabled and did nothing of this"),
)
LINK_COUNTER = ("LINK_FLITS", 0x0E0, "flits of data over the link that LINK_SELECT names")
COUNTERS = (*EVENTS, *PE_COUNTERS, LINK_COUNTER)


REGISTERS = (
    HostRegister("ID", 0x000, RO, 'Says that this is such a chip: "ohmw".', whole_field(f"0x{IDENTITY:08X}")),
    HostRegister(
        "VERSION", 0x004, RO, "Version of this map.",
        halves(("minor", "registers or fields were added"), ("major", "old software does not fit")),
    ),
    HostRegister(
        "CHIP", 0x008, RO, "The chip.",
        (
            BitField("pes", 0, 16, "PEs"),
            BitField("levels", 16, 8, "levels of the trees"),
            BitField("link_bits", 24, 8, "bits of a flit, and of `tdata`"),
        ),
    ),
    HostRegister(
        "ARRAY", 0x00C, RO, "The arrays.", halves(("rows", "wordlines"), ("cols", "bitlines, without a reference"))
    ),
    HostRegister(
        "CELLS", 0x010, RO, "Their cells and converters.",
        (
            BitField("cell_bits", 0, 4, "bits of a cell"),
            BitField("dac_bits", 4, 4, "bits of an input in one read"),
            BitField("adc_bits", 8, 8, "bits of a code; 0: lossless"),
            BitField("adc_drop", 16, 8, "low bits that are not resolved"),
            BitField("pairs", 24, 1, "sign scheme: 0 offset, 1 pairs of columns"),
        ),
    ),
    HostRegister(
        "READS", 0x014, RO, "Reads of an array.",
        halves(("colmux", "columns that share a sense unit"), ("read_cycles", "cycles of a read")),
    ),
    HostRegister(
        "BUFFER", 0x018, RO, "A convolution buffer.",
        (
            BitField("lanes", 0, 12, "channels of a word"),
            BitField("banks", 12, 5, "line memories"),
            BitField("width", 17, 13, "pixels of a line"),
        ),
    ),
    HostRegister(
        "PROGRAMS", 0x01C, RO, "A PE's halves.",
        (
            BitField("reram", 0, 8, "instructions in the table of the ReRAM half"),
            BitField("arithmetic", 8, 8, "instructions in the table of the arithmetic half"),
            BitField("lanes", 16, 10, "lanes of the arithmetic half"),
        ),
    ),
    HostRegister(
        "CONTROL", 0x040, WO,
        "Commands, each done by writing 1. Of several, `reset` counts before `stop`, and `stop` before `start`.",
        (
            BitField(
                "start", 0, 1,
                "sets the counters to 0 and lets images in; SLVERR, and nothing happens, while running, with an error "
                "in STATUS or with a frame's length of 0",
            ),
            BitField("stop", 1, 1, "lets no further image in; one that has begun is taken to its end"),
            BitField(
                "reset", 2, 1,
                "resets the PEs, the trees and all that is under way; cells, counters, ERROR and what the host wrote "
                "into registers stay",
            ),
        ),
    ),
    HostRegister(
        "STATUS", 0x044, RO, "What the chip does.",
        (
            BitField("idle", 0, 1, "not running, every image's results have left, no array reads, no flit waits"),
            BitField("running", 1, 1, "images are let in"),
            BitField("fault", 2, 1, "ERROR.fault is set"),
            BitField(
                "stream_error", 3, 1,
                "a frame at `images` was not as long as IMAGE_FLITS says: no more are let in until `reset`",
            ),
            BitField("reading", 4, 1, "an array reads"),
            BitField("packet_open", 5, 1, "a configuration packet lacks words: images wait"),
            BitField("flit_waits", 6, 1, "a flit that was taken from the host has not entered the chip yet"),
            BitField("result_waits", 7, 1, "a flit is offered at `results`"),
            BitField("pending", 16, 16, "frames that have begun to enter and whose results have not all left"),
        ),
    ),
    HostRegister(
        "ERROR", 0x048, W1C, "Errors since they were last cleared; writing 1 clears a bit.",
        (
            BitField("fault", 0, 1, "a PE met an instruction that it cannot execute: FAULT says which"),
            BitField("tlast_early", 1, 1, "`tlast` came before flit IMAGE_FLITS of a frame"),
            BitField("tlast_late", 2, 1, "flit IMAGE_FLITS of a frame came without `tlast`"),
            BitField("config_refused", 3, 1, "a write to CONFIG waited for CONFIG_WAIT cycles and was given up"),
        ),
    ),
    HostRegister(
        "FAULT", 0x04C, RO, "The fault that last set ERROR.fault; kept when that is cleared.",
        (
            BitField("unit", 0, 16, "number of the PE"),
            BitField("index", 16, 14, "place of the instruction in its table"),
            BitField("half", 30, 1, "whose table: 0 the ReRAM half's, 1 the arithmetic half's"),
            BitField("valid", 31, 1, "there has been a fault since `rst`"),
        ),
    ),
    HostRegister(
        "IMAGE_FLITS", 0x050, RW, "Length of a frame at `images`; SLVERR unless the chip has no work.",
        whole_field("flits of a frame"),
    ),
    HostRegister(
        "RESULT_FLITS", 0x054, RW, "Length of a frame at `results`; SLVERR unless the chip has no work.",
        whole_field("flits of a frame: the last of each has `tlast`"),
    ),
    HostRegister(
        "CONFIG", 0x058, WO,
        "Sends a configuration flit; the answer comes once the chip has room for it. Needs the strobes of bytes 0 and "
        "1, SLVERR with one of them.",
        whole_field("the flit", 16),
    ),
    HostRegister(
        "CONFIG_WAIT", 0x05C, RW, "How long a write to CONFIG may wait, before it is answered with SLVERR.",
        whole_field("cycles; 0: for ever", reset=DEFAULT_CONFIG_WAIT),
    ),
    HostRegister(
        "PE_SELECT", 0x060, RW, "The PE that PE_READ to PE_WAIT_INPUT count; SLVERR for a number that no PE has.",
        whole_field("its number", 16),
    ),
    HostRegister(
        "LINK_SELECT", 0x064, RW, "The link that LINK_FLITS counts; SLVERR for a number that no link has.",
        whole_field("its [number](group.md#links)", 16),
    ),
    *counter_registers(COUNTERS),
)  # fmt: skip


def register(name: str) -> HostRegister:
    """The register of a name; `KeyError` if there is none."""
    for candidate in (*REGISTERS, *MEMORY_REGISTERS):
        if candidate.name == name:
            return candidate
    raise KeyError(name)


def place(name: str) -> int:
    """A register's number: its address in words."""
    return register(name).place


def fields(name: str, word: int) -> dict[str, int]:
    """The fields of a register that was read as `word`."""
    return {field.name: (word & field.mask) >> field.low for field in register(name).fields}
