"""The instruction set, defined once: classes, operations, operands and their places in a 32-bit word.

The decoder of the netlist, the assembler, the disassembler and the reference page are all made from `CLASSES`
(Re-ReRAM, section IV, tables I and II: R-, A-, N- and C-type). A field's values are whole numbers or the members of an
enumeration; bits that no field of a class covers are zero. A word of zeros is no instruction.
"""

import enum
from dataclasses import dataclass

__all__ = [
    "CLASSES", "WORD_BITS", "AluOp", "Batch", "Class", "ControlOp", "Destination", "Field", "Format", "Half",
    "InstructionClass", "NetworkOp", "Operand", "Place", "ReadOp", "When",
]  # fmt: skip

WORD_BITS = 32


class Half(enum.IntEnum):
    """The halves of a PE, each with an instruction table of its own."""

    RERAM = 0
    ARITHMETIC = 1


class Class(enum.IntEnum):
    """Bits 1:0 of every instruction."""

    R = 0
    A = 1
    N = 2
    C = 3


class ReadOp(enum.IntEnum):
    """Operations of the R-type: computing on the array."""

    CONVOLUTION = 1
    FULLY_CONNECTED = 2


class AluOp(enum.IntEnum):
    """Operations of the A-type: a vector of results at a time on the ALU and SFU lanes."""

    ADD = 1
    SUB = 2
    MUL = 3
    DIV = 4
    ISQRT = 5
    RELU = 6
    MAX = 7
    MIN = 8


class NetworkOp(enum.IntEnum):
    """Operations of the N-type: frames in from, or out to, one of the three networks."""

    DISTRIBUTION = 1
    LOCAL = 2
    COLLECTION = 3


class ControlOp(enum.IntEnum):
    """Operations of the C-type."""

    WEIGHT_LOAD = 1
    FETCH = 2
    DATA_LOAD = 3
    DISPATCH = 4
    DMA = 5


class Place(enum.IntEnum):
    """Where frames come from and go to."""

    BUFFER_0 = 0
    BUFFER_1 = 1
    BOTH_BUFFERS = 2
    ARITHMETIC = 3
    TREE = 4
    MESH = 5
    COLLECTION = 6


class Operand(enum.IntEnum):
    """Operands of the A-type."""

    ZERO = 0
    FORWARD = 1
    RESULT = 2
    SIDE = 3
    WINDOW = 4
    R0 = 8
    R1 = 9
    R2 = 10
    R3 = 11
    K0 = 12
    K1 = 13
    K2 = 14
    K3 = 15


class Destination(enum.IntEnum):
    """Where the result of an A-type instruction goes, besides forwarding."""

    NONE = 0
    NETWORK = 1
    BUFFER = 2
    R0 = 8
    R1 = 9
    R2 = 10
    R3 = 11


class Format(enum.IntEnum):
    """Format of an A-type result: unsigned of 4, 8 or 16 bits, saturated; or signed and as wide as the lanes."""

    U4 = 0
    U8 = 1
    U16 = 2
    WIDE = 3


class Batch(enum.IntEnum):
    """What an A-type instruction is repeated or accumulated over."""

    NONE = 0
    WINDOW = 1
    FRAME = 2


class When(enum.IntEnum):
    """On which pixels of a frame an A-type instruction is executed."""

    ALWAYS = 0
    LAST = 1


@dataclass(frozen=True)
class Field:
    """`width` bits from bit `low` on: a number, or a member of `values`; the assembler's `default` if not given."""

    name: str
    low: int
    width: int
    text: str
    values: type[enum.IntEnum] | None = None
    default: int = 0


@dataclass(frozen=True)
class InstructionClass:
    """One class: the halves whose tables may hold it and its fields; `op` is the first of them."""

    kind: Class
    halves: tuple[Half, ...]
    text: str
    fields: tuple[Field, ...]


CLASSES: tuple[InstructionClass, ...] = (
    InstructionClass(
        Class.R,
        (Half.RERAM,),
        "Reads the array for every window of one frame.",
        (
            Field("op", 2, 2, "convolution, or fully connected: one window, the whole map", ReadOp),
            Field(
                "index", 4, 1, "1: column blocks as the index table says; 0: all blocks from 0 to `blocks`"
            ),
            Field("fusion", 5, 3, "neighbouring windows that share a read, minus one"),
            Field("kernel", 8, 3, "rows of a window, 1 to 7", default=1),
            Field("blocks", 11, 6, "blocks of results (columns read at once) of a pixel, minus one"),
            Field("planes", 17, 2, "passes over the input's bit planes, as a power of two: 0, 1 or 2"),
            Field(
                "slices",
                19,
                2,
                "columns that the bits of a weight are spread over, as a power of two: 0, 1 or 2",
            ),
            Field("src", 21, 3, "the convolution buffer that is read", Place),
            Field("des", 24, 3, "the arithmetic half", Place, default=Place.ARITHMETIC),
        ),
    ),
    InstructionClass(
        Class.A,
        (Half.ARITHMETIC,),
        "One operation on all lanes.",
        (
            Field("op", 2, 4, "operation", AluOp),
            Field("batch", 6, 2, "repeated over a window's pixels, or accumulated over a frame", Batch),
            Field("size", 8, 2, "format of the result", Format, default=Format.WIDE),
            Field("src", 10, 4, "first operand", Operand, default=Operand.FORWARD),
            Field("with", 14, 4, "second operand", Operand),
            Field("des", 18, 4, "where the result is written", Destination),
            Field("forward", 22, 1, "1: the result is the next instruction's FORWARD operand", default=1),
            Field("when", 23, 1, "for all pixels of a frame, or the last only", When),
        ),
    ),
    InstructionClass(
        Class.N,
        (Half.RERAM, Half.ARITHMETIC),
        "Moves one frame: into a buffer or to the arithmetic half's side input, or out of the arithmetic half.",
        (
            Field("op", 2, 2, "which network", NetworkOp),
            Field("fuse", 4, 1, "1: elements are partial sums, `wide_bits` each; 0: activations"),
            Field("size", 5, 2, "format of an activation", Format),
            Field("kernel", 7, 3, "rows of the window that the frame is read with, 1 to 7", default=1),
            Field("channels", 10, 12, "channels of a pixel that are moved, minus one"),
            Field("src", 22, 3, "network or arithmetic half", Place),
            Field("des", 25, 3, "buffer, arithmetic half or network", Place),
            Field("exit", 28, 1, "1: the last transfer of the program: the table starts over"),
        ),
    ),
    InstructionClass(
        Class.C,
        (Half.RERAM, Half.ARITHMETIC),
        "Control.",
        (
            Field("op", 2, 3, "operation", ControlOp),
            Field("mode", 5, 2, "input and output mode"),
            Field("src", 7, 3, "from", Place),
            Field("des", 10, 3, "to", Place),
        ),
    ),
)
