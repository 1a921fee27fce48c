"""Derived and validated parameters: what the hardware, the compiler and the models are built from.

Users write a configuration (`ohmweave.config`); it becomes these frozen records. Each record checks itself, so a
bad combination is refused before anything is elaborated.
"""

from dataclasses import dataclass
from functools import cached_property

from ohmweave.check import power, whole
from ohmweave.errors import OhmweaveError

__all__ = [
    "AXIParams", "ArrayParams", "BufferParams", "CacheArrayParams", "CacheParams", "DMAParams", "GroupParams",
    "MemoryParams", "PEParams",
]  # fmt: skip

#: Sides of a window: rows and columns, or one number for both.
Kernel = int | tuple[int, int]

SIGN_SCHEMES = ("offset", "pairs")
#: A configuration word has 16 bits.
LINK_BITS = (16, 32, 64)
#: The fewest and the most flits that a frame buffer behind the collection tree can hold.
EXIT_FLITS = (16, 1 << 17)
#: The most channels whose constants the configuration space of a PE has addresses for.
MAX_PE_COLS = 256
#: A scale, multiplier and shift, is kept in one constant of a lane.
MIN_LANE_BITS = 24


@dataclass(frozen=True, kw_only=True)
class ArrayParams:
    """One crossbar array.

    rows, cols   wordlines and bitlines (the reference column not counted)
    cell_bits    bits of one cell: conductance levels 0 … 2^cell_bits-1
    colmux       bitlines that share one sense unit; cols / colmux columns are read at once
    dac_bits     bits of input that one wordline takes in a read
    adc_bits     bits of a sense unit's code; None is lossless
    adc_drop     low bits of a column's sum that the sense unit does not resolve
    read_cycles  cycles from the start of a read to its sums, and between reads
    write_cycles cycles to program one row
    sign_scheme  `offset`: level = weight + 2^(cell_bits-1), with a reference column whose cells conduct one
                 level, so that its sum is that of the inputs; `pairs`: one column for each sign
    """

    rows: int
    cols: int
    cell_bits: int
    colmux: int
    dac_bits: int
    read_cycles: int
    write_cycles: int
    adc_bits: int | None = None
    adc_drop: int = 0
    sign_scheme: str = "offset"

    def __post_init__(self) -> None:
        whole("rows", self.rows, 1, 4096)
        whole("cols", self.cols, 1, 4096)
        whole("cell_bits", self.cell_bits, 1, 8)
        whole("colmux", self.colmux, 1, self.cols)
        if self.cols % self.colmux:
            raise OhmweaveError(
                f"cols must be a multiple of colmux, not {self.cols} with colmux {self.colmux}"
            )
        whole("dac_bits", self.dac_bits, 1, 8)
        whole("read_cycles", self.read_cycles, 1, 255)
        whole("write_cycles", self.write_cycles, 1, 65535)
        if self.adc_bits is not None:
            whole("adc_bits", self.adc_bits, 1, self.lossless_bits)
        whole("adc_drop", self.adc_drop, 0, self.lossless_bits - 1)
        if self.sign_scheme not in SIGN_SCHEMES:
            raise OhmweaveError(
                f"sign_scheme must be one of {', '.join(SIGN_SCHEMES)}, not {self.sign_scheme!r}"
            )

    @property
    def columns_at_once(self) -> int:
        """Columns that one read senses."""
        return self.cols // self.colmux

    @property
    def lossless_bits(self) -> int:
        """Bits that hold every possible sum of a column."""
        return (self.rows * (2**self.dac_bits - 1) * (2**self.cell_bits - 1)).bit_length()

    @property
    def lossless(self) -> bool:
        """Whether the sense units give every sum as it is."""
        return self.adc_drop == 0 and (self.adc_bits is None or self.adc_bits >= self.lossless_bits)

    @property
    def sum_bits(self) -> int:
        """Bits of one column's sum as the sense unit gives it, dropped low bits put back as zeros."""
        code = self.lossless_bits - self.adc_drop if self.adc_bits is None else self.adc_bits
        return min(self.lossless_bits, code + self.adc_drop)

    @cached_property
    def name(self) -> str:
        """Name of the macro, different for each array that behaves differently."""
        scheme = "" if self.sign_scheme == "offset" else f"_{self.sign_scheme}"
        adc = f"a{'x' if self.adc_bits is None else self.adc_bits}d{self.adc_drop}"
        return (
            f"crossbar_{self.rows}x{self.cols}_c{self.cell_bits}_m{self.colmux}_i{self.dac_bits}"
            f"_{adc}_r{self.read_cycles}_w{self.write_cycles}{scheme}"
        )


@dataclass(frozen=True, kw_only=True)
class BufferParams:
    """One convolution buffer: `banks` line memories of `width` pixels of `lanes` channels of `act_bits` bits.

    A kernel of k×k shares the lanes: a pixel takes `pixel_lanes(k)` of them, so that a memory word holds that
    many fewer channels of `groups(k)` different image rows, and k*k pixels fit into the window.
    """

    lanes: int
    width: int
    banks: int
    act_bits: int
    window_lanes: int
    max_kernel: int = 7
    max_stride: int = 4

    def __post_init__(self) -> None:
        whole("lanes", self.lanes, 8, 1024)
        if self.lanes % 8:
            raise OhmweaveError(f"lanes must be a multiple of 8, not {self.lanes}")
        whole("width", self.width, 1, 4096)
        whole("banks", self.banks, 4, 16)
        whole("act_bits", self.act_bits, 1, 16)
        whole("max_kernel", self.max_kernel, 1, 7)
        whole("max_stride", self.max_stride, 1, 4)
        if self.window_lanes < 9 * self.lanes:
            raise OhmweaveError(
                f"rows must be at least 9 × lanes, not {self.window_lanes} with {self.lanes} lanes"
            )

    @property
    def map_width(self) -> int:
        """Columns of the widest output map: padding up to kernel - 1 on both sides makes it wider than the image."""
        return self.width + self.max_kernel - 1

    def groups(self, kernel: Kernel) -> int:
        """Image rows that share one memory word for a kernel: 1, 2, 4 or 8, no more than it needs."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        groups = 1
        while rows * columns * (self.lanes // groups) > self.window_lanes or self.banks * groups <= rows:
            groups *= 2
        return groups

    def pixel_lanes(self, kernel: Kernel) -> int:
        """Lanes, and so the most channels, of one pixel for a kernel."""
        return self.lanes // self.groups(kernel)

    def row_slots(self, kernel: Kernel) -> int:
        """Image rows that the buffer holds at once for a kernel."""
        return self.banks * self.groups(kernel)


@dataclass(frozen=True, kw_only=True)
class PEParams:
    """One processing element.

    link_bits         bits of a flit's payload
    vector_blocks     blocks of results (columns read at once) that the arithmetic half works on together
    lane_bits         bits of a lane, signed
    reram_program     instructions in the table of the ReRAM half
    arithmetic_program  and in that of the arithmetic half
    """

    array: ArrayParams
    buffer: BufferParams
    link_bits: int = 16
    vector_blocks: int = 2
    lane_bits: int = 48
    reram_program: int = 16
    arithmetic_program: int = 32

    def __post_init__(self) -> None:
        whole("cols of a PE", self.array.cols, 1, MAX_PE_COLS)
        whole("vector_blocks", self.vector_blocks, 1, 4)
        if self.vectors * self.alu_lanes > MAX_PE_COLS:
            raise OhmweaveError(
                f"vectors for all columns must have at most {MAX_PE_COLS} lanes, not {self.vectors} × {self.alu_lanes}"
            )
        whole("link_bits", self.link_bits, 1, 64)
        whole("lane_bits", self.lane_bits, MIN_LANE_BITS, 64)
        whole("reram_program", self.reram_program, 2, 64)
        whole("arithmetic_program", self.arithmetic_program, 2, 64)
        if self.buffer.window_lanes != self.array.rows:
            raise OhmweaveError(
                f"the window must have {self.array.rows} lanes, not {self.buffer.window_lanes}"
            )
        if self.array.dac_bits != self.buffer.act_bits:
            raise OhmweaveError(
                f"dac_bits must be act_bits, {self.buffer.act_bits}, not {self.array.dac_bits}: inputs by several "
                "passes are not built yet"
            )

    @property
    def alu_lanes(self) -> int:
        """Lanes of the arithmetic half, and so channels of a vector."""
        return self.vector_blocks * self.array.columns_at_once

    @property
    def vectors(self) -> int:
        """Vectors of a pixel with as many channels as the array has columns."""
        return -(-self.array.cols // self.alu_lanes)


@dataclass(frozen=True, kw_only=True)
class GroupParams:
    """A chip of 4^levels PEs: distribution and collection trees of radix 4 over a square mesh; 0 levels: one PE.

    entries     points at which frames enter the distribution tree, each above a node of one of its levels; 1: the root
    exit_flits  flits of the frame buffer behind each branch of the collection tree that an entry is beside; 0: there
                are none
    """

    pe: PEParams
    levels: int
    entries: int = 1
    exit_flits: int = 0

    def __post_init__(self) -> None:
        whole("levels", self.levels, 0, 4)
        choices = [4**level for level in range(self.levels + 1)]
        if type(self.entries) is not int or self.entries not in choices:
            accepted = ", ".join(map(str, choices))
            raise OhmweaveError(
                f"entries must be one of {accepted} on a chip of {self.pes} PEs, not {self.entries!r}"
            )
        low, high = EXIT_FLITS
        flits = self.exit_flits
        if type(flits) is not int or (flits and (not low <= flits <= high or flits & (flits - 1))):
            raise OhmweaveError(f"exit_flits must be 0 or a power of two from {low} to {high}, not {flits!r}")
        if flits and self.entries == 1:
            raise OhmweaveError(f"exit_flits must be 0 on a chip with one entry, not {flits}")
        if self.pe.link_bits not in LINK_BITS:
            raise OhmweaveError(
                f"link_bits must be one of {', '.join(map(str, LINK_BITS))}, not {self.pe.link_bits}"
            )
        if self.pe.link_bits % self.pe.buffer.act_bits:  # a power of two, so the quotient is one, too
            raise OhmweaveError(
                f"link_bits must be a multiple of dac_bits, {self.pe.buffer.act_bits}, not {self.pe.link_bits}"
            )

    @property
    def pes(self) -> int:
        return 4**self.levels

    @property
    def side(self) -> int:
        """PEs along one edge of the mesh."""
        return 2**self.levels

    @property
    def entry_pes(self) -> int:
        """PEs below each entry."""
        return self.pes // self.entries

    @property
    def entry_level(self) -> int:
        """Level of the trees that has a node below each entry; `levels`: a PE."""
        return (self.entries.bit_length() - 1) // 2


@dataclass(frozen=True, kw_only=True)
class CacheArrayParams:
    """One memory array of the cache, with one port.

    depth, width  words, and bits of each
    granule       bits that are written together
    read_cycles   cycles from a read to its word, and to the next access
    write_cycles  cycles from a write to the next access
    """

    depth: int
    width: int
    granule: int
    read_cycles: int = 1
    write_cycles: int = 1

    def __post_init__(self) -> None:
        whole("depth", self.depth, 1, 1 << 24)
        whole("width", self.width, 1, 8192)
        whole("granule", self.granule, 1, self.width)
        if self.width % self.granule:
            raise OhmweaveError(
                f"width must be a multiple of granule, not {self.width} with granule {self.granule}"
            )
        whole("read_cycles", self.read_cycles, 1, 15)
        whole("write_cycles", self.write_cycles, 1, 15)

    @property
    def granules(self) -> int:
        """Bits of the mask of a write."""
        return self.width // self.granule

    @property
    def name(self) -> str:
        """Name of the macro, different for each array that behaves differently."""
        return (
            f"cache_array_{self.depth}x{self.width}_g{self.granule}_r{self.read_cycles}_w{self.write_cycles}"
        )


@dataclass(frozen=True, kw_only=True)
class CacheParams:
    """The on-chip cache.

    capacity      bytes of data
    line_bits     bits of a line, and of a word of the data array
    ways          lines of a set
    address_bits  of an address in memory, which counts bytes
    port_bits     bits of data of a request
    fills         lines that can be on their way from memory at once
    read_cycles   cycles of a read of the arrays
    write_cycles  and of a write
    """

    capacity: int = 4 << 20
    line_bits: int = 4096
    ways: int = 8
    address_bits: int = 32
    port_bits: int = 64
    fills: int = 4
    read_cycles: int = 1
    write_cycles: int = 1

    def __post_init__(self) -> None:
        power("line_bits", self.line_bits, 32, 8192)
        power("ways", self.ways, 1, 16)
        power("port_bits", self.port_bits, 8, 512)
        power("fills", self.fills, 2, 8)
        power("capacity", self.capacity, 4, 1 << 28)
        whole("address_bits", self.address_bits, 8, 64)
        if self.port_bits > self.line_bits:
            raise OhmweaveError(
                f"port_bits must be at most line_bits, {self.line_bits}, not {self.port_bits}"
            )
        if self.capacity < self.ways * self.line_bytes:
            raise OhmweaveError(
                f"capacity must hold {self.ways} lines of {self.line_bytes} bytes, not {self.capacity} bytes"
            )
        if self.address_bits <= self.set_bits + self.offset_bits:
            raise OhmweaveError(
                f"address_bits must be more than {self.set_bits + self.offset_bits}, those of an address in a way, "
                f"not {self.address_bits}"
            )
        # The arrays check their times.
        assert self.tag_array.depth == self.sets

    @property
    def line_bytes(self) -> int:
        return self.line_bits // 8

    @property
    def offset_bits(self) -> int:
        """Bits of an address that count bytes in a line."""
        return self.line_bytes.bit_length() - 1

    @property
    def line_address_bits(self) -> int:
        """Bits of the number of a line in memory."""
        return self.address_bits - self.offset_bits

    @property
    def sets(self) -> int:
        return self.capacity // (self.ways * self.line_bytes)

    @property
    def set_bits(self) -> int:
        return self.sets.bit_length() - 1

    @property
    def way_bits(self) -> int:
        return self.ways.bit_length() - 1

    @property
    def tag_bits(self) -> int:
        """Bits of an address that tell the lines of a set from each other."""
        return self.line_address_bits - self.set_bits

    @property
    def words(self) -> int:
        """Words of a request's size in a line."""
        return self.line_bits // self.port_bits

    @property
    def tag_array(self) -> CacheArrayParams:
        """A word a set: for each way the tag and, above it, whether the line is there."""
        return CacheArrayParams(
            depth=self.sets,
            width=self.ways * (self.tag_bits + 1),
            granule=self.tag_bits + 1,
            read_cycles=self.read_cycles,
            write_cycles=self.write_cycles,
        )

    @property
    def data_array(self) -> CacheArrayParams:
        """A word a line: that of way w of set s is word s·ways + w."""
        return CacheArrayParams(
            depth=self.sets * self.ways,
            width=self.line_bits,
            granule=8,
            read_cycles=self.read_cycles,
            write_cycles=self.write_cycles,
        )


@dataclass(frozen=True, kw_only=True)
class AXIParams:
    """The port to memory.

    data_bits    bits of data, a beat
    id_bits      bits of the identifiers, which are all 0
    outstanding  bursts of each kind that may wait for their end
    """

    data_bits: int = 64
    id_bits: int = 1
    outstanding: int = 4

    def __post_init__(self) -> None:
        power("AXI data_bits", self.data_bits, 32, 512)
        whole("AXI id_bits", self.id_bits, 1, 16)
        power("AXI outstanding", self.outstanding, 2, 16)


@dataclass(frozen=True, kw_only=True)
class DMAParams:
    """The copy engine.

    link_bits    bits of data of a flit
    descriptors  that it holds: the one that is worked on and those whose lines may be prefetched
    ahead        lines that prefetching may be ahead of reading
    """

    link_bits: int = 16
    descriptors: int = 4
    ahead: int = 16

    def __post_init__(self) -> None:
        if self.link_bits not in LINK_BITS:
            raise OhmweaveError(
                f"link_bits must be one of {', '.join(map(str, LINK_BITS))}, not {self.link_bits}"
            )
        power("descriptors", self.descriptors, 2, 16)
        whole("ahead", self.ahead, 1, 1023)


@dataclass(frozen=True, kw_only=True)
class MemoryParams:
    """Memory behind a chip: its cache, its port, and what copies between it and the chip.

    cache, axi          the cache, the port to memory
    descriptors, ahead  of the engine that loads and of the one that stores, as in `DMAParams`
    queue_words         words of the cache's port that wait in front of each point where data enter the chip
    """

    cache: CacheParams = CacheParams()
    axi: AXIParams = AXIParams()
    descriptors: int = 4
    ahead: int = 16
    queue_words: int = 256

    def __post_init__(self) -> None:
        power("queue_words", self.queue_words, 2, 4096)
        if self.cache.port_bits < max(LINK_BITS):
            raise OhmweaveError(
                f"port_bits must be at least {max(LINK_BITS)} for the memory of a chip, not {self.cache.port_bits}"
            )
        # Checks what is left.
        assert self.engine(min(LINK_BITS)).descriptors == self.descriptors

    def engine(self, link_bits: int) -> DMAParams:
        """A copy engine with flits of so many bits."""
        return DMAParams(link_bits=link_bits, descriptors=self.descriptors, ahead=self.ahead)
