"""Derived and validated parameters: what the hardware, the compiler and the models are built from.

Users write a configuration (`ohmweave.config`); it becomes these frozen records. Each record checks itself, so a
bad combination is refused before anything is elaborated.
"""

from dataclasses import dataclass
from functools import cached_property

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError

__all__ = ["ArrayParams", "BufferParams", "GroupParams", "PEParams"]

#: Sides of a window: rows and columns, or one number for both.
Kernel = int | tuple[int, int]

SIGN_SCHEMES = ("offset", "pairs")
#: A configuration word has 16 bits.
LINK_BITS = (16, 32, 64)
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
    """A chip of 4^levels PEs: distribution and collection trees of radix 4 over a square mesh; 0 levels: one PE."""

    pe: PEParams
    levels: int

    def __post_init__(self) -> None:
        whole("levels", self.levels, 0, 4)
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
