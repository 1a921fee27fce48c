"""The registers of a chip with memory, beside those of `register_map`, in the same manner."""

from ohmweave.rtl.host.host_register import (
    RO,
    RW,
    W1C,
    WO,
    BitField,
    HostRegister,
    counter_registers,
    whole_field,
)
from ohmweave.rtl.memory.descriptors import LENGTH_BITS, Copy, DMAFault

__all__ = ["COPIES", "MEMORY_COUNTERS", "MEMORY_PAGE", "MEMORY_REGISTERS"]

#: Their addresses have this bit set, those of the others have not.
MEMORY_PAGE = 0x200
#: The copy engines, in the order of their bits.
COPIES = ("load", "store")

#: Name, first address and meaning of the counters of 64 bits, in the order of the hardware's sources.
MEMORY_COUNTERS = (
    ("CACHE_HITS", 0x280, "accesses to the cache that found their line, prefetches among them"),
    ("CACHE_MISSES", 0x288, "accesses that did not"),
    ("CACHE_WRITE_BACKS", 0x290, "changed lines that left the cache"),
    ("CACHE_FAILURES", 0x298, "lines that memory did not give or did not take"),
)

_KINDS = ", ".join(f"{int(value)} {name.lower()}" for name, value in Copy.__members__.items())
_FAULTS = ", ".join(f"{int(value)} {name.lower()}" for name, value in DMAFault.__members__.items())

MEMORY_REGISTERS = (
    HostRegister(
        "CACHE", 0x200, RO, "The cache.",
        (BitField("line_bytes", 0, 16, "bytes of a line"), BitField("ways", 16, 16, "lines of a set")),
    ),
    HostRegister("CACHE_SETS", 0x204, RO, "The cache.", whole_field("sets")),
    HostRegister(
        "POINTS", 0x208, RO, "Where data can enter the chip.",
        (
            BitField("points", 0, 16, "1: the root of the tree; more: it and so many entries less one"),
            BitField("word_bytes", 16, 16, "bytes of a word: loads and stores begin at a multiple of them"),
        ),
    ),
    HostRegister(
        "ROUTE", 0x210, RW, "Which way images come and results go; SLVERR unless the chip has no work.",
        (
            BitField("images", 0, 1, "0: from the stream `images`, 1: by loads from memory"),
            BitField("results", 1, 1, "0: to the stream `results`, 1: to stores into memory"),
        ),
    ),
    HostRegister("COPY_ADDRESS", 0x220, RW, "Where a copy begins in memory.", whole_field("bits 31:0 of the address")),
    HostRegister("COPY_ADDRESS_HIGH", 0x224, RW, "Upper word of COPY_ADDRESS.", whole_field("bits 63:32")),
    HostRegister(
        "COPY_LENGTH", 0x228, RW, "How much is copied.",
        whole_field("flits: of link_bits of data, of 16 bits of configuration", LENGTH_BITS),
    ),
    HostRegister(
        "COPY", 0x22C, WO,
        "Puts a copy into the queue of its engine, that of loads or that of stores; SLVERR where there is no room, and "
        "for a kind, a point or an address that is none.",
        (
            BitField("kind", 0, 3, f"{_KINDS}; loads and configurations are one queue, the others the other"),
            BitField("ends", 7, 1, "of a load: a frame ends with it"),
            BitField("to", 8, 8, "of a load: where its data enter; 0 the root, n entry n - 1"),
        ),
    ),
    HostRegister(
        "COPY_STATUS", 0x230, RO, "What the engines do.",
        (
            BitField("load_busy", 0, 1, "a load is under way or waits"),
            BitField("store_busy", 1, 1, "a store or flush is under way or waits"),
            BitField("load_room", 2, 1, "another load would be taken"),
            BitField("store_room", 3, 1, "another store or flush would be taken"),
            BitField("load_halted", 4, 1, "a load failed: the engine waits until a bit of COPY_ERROR is cleared"),
            BitField("store_halted", 5, 1, "a store or flush failed"),
            BitField("idle", 6, 1, "nothing of memory is under way"),
        ),
    ),
    HostRegister(
        "COPY_ERROR", 0x234, W1C, "Copies that failed, since they were last cleared; writing 1 clears a bit.",
        (
            BitField("load", 0, 1, "LOAD_FAULT says why"),
            BitField("store", 1, 1, "STORE_FAULT says why"),
        ),
    ),
    HostRegister(
        "LOAD_FAULT", 0x238, RO, "The last load that failed.",
        (
            BitField("fault", 0, 3, _FAULTS),
            BitField("response", 8, 3, "what memory answered: 1, 2 SLVERR, DECERR to a read, 3, 4 to a write"),
        ),
    ),
    HostRegister("LOAD_MOVED", 0x23C, RO, "Of that load.", whole_field("flits that had been moved")),
    HostRegister(
        "STORE_FAULT", 0x240, RO, "The last store or flush that failed.",
        (
            BitField("fault", 0, 3, _FAULTS),
            BitField("response", 8, 3, "as in LOAD_FAULT"),
        ),
    ),
    HostRegister("STORE_MOVED", 0x244, RO, "Of that store.", whole_field("flits that had been moved")),
    HostRegister(
        "FAULT_ADDRESS", 0x248, RO, "Where memory refused, last.", whole_field("bits 31:0 of the line's address")
    ),
    HostRegister("FAULT_ADDRESS_HIGH", 0x24C, RO, "Upper word of FAULT_ADDRESS.", whole_field("bits 63:32")),
    HostRegister("LOADS_DONE", 0x250, RO, "Loads that were carried out.", whole_field("modulo 2^32, since `rst`")),
    HostRegister("STORES_DONE", 0x254, RO, "Stores and flushes that were.", whole_field("modulo 2^32, since `rst`")),
    *counter_registers(MEMORY_COUNTERS),
)  # fmt: skip
