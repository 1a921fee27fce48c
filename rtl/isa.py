"""The instruction set, defined once: classes, operations, operands and their places in a 32-bit word.

The decoder of the netlist, the assembler, the disassembler and the reference page are all made from `CLASSES`
(Re-ReRAM, section IV, tables I and II: R-, A-, N- and C-type). A field's values are whole numbers or the members of an
enumeration; bits that no field of a class covers are zero. A word of zeros is no instruction. What the fields do not
exclude each on its own, the `rules` of the class do: a word that breaks one is illegal and is never executed.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = [
    "CLASSES", "CONSTANT_OPERANDS", "REGISTER_OPERANDS", "WORD_BITS", "AluOp", "Batch", "Class", "ControlOp",
    "Destination", "Field", "Format", "Half", "InstructionClass", "Is", "NetworkOp", "Operand", "Place",
    "ReadOp", "Rule", "When",
]  # fmt: skip

WORD_BITS = 32
#: Bits that tell the class, the lowest of a word.
CLASS_BITS = 2


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
    """`width` bits from bit `low` on: a number, or a member of `values`; the assembler's `default` if not given.

    accepted  the values that are legal; all that there are where it is empty
    required  it has no default, and has to be given
    """

    name: str
    low: int
    width: int
    text: str
    values: type[enum.IntEnum] | None = None
    default: int = 0
    accepted: tuple[int, ...] = ()
    required: bool = False

    @cached_property
    def legal(self) -> Sequence[int]:
        """Every value that is legal, in ascending order."""
        return self.accepted or tuple(self.values or ()) or range(1 << self.width)

    @property
    def mask(self) -> int:
        """The bits of the word that are the field's."""
        return ((1 << self.width) - 1) << self.low

    def extract(self, word: int) -> int:
        return (word & self.mask) >> self.low


@dataclass(frozen=True)
class Is:
    """That a field, or `half`, the half whose table holds the instruction, has one of some values."""

    field: str
    values: Sequence[int]

    def holds(self, values: Mapping[str, int]) -> bool:
        return values[self.field] in self.values


@dataclass(frozen=True)
class Rule:
    """Where all of `when` hold, at least one of `need` has to; `text` says why."""

    when: tuple[Is, ...]
    need: tuple[Is, ...]
    text: str

    def about(self, name: str) -> bool:
        """Whether it asks for that field, or `half`."""
        return any(condition.field == name for condition in (*self.when, *self.need))

    def holds(self, values: Mapping[str, int]) -> bool:
        if not all(condition.holds(values) for condition in self.when):
            return True
        return any(condition.holds(values) for condition in self.need)


@dataclass(frozen=True)
class InstructionClass:
    """One class: the halves whose tables may hold it, its fields, `op` the first of them, and its rules."""

    kind: Class
    halves: tuple[Half, ...]
    text: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()

    @cached_property
    def reserved(self) -> int:
        """The bits of the word that have to be zero."""
        used = (1 << CLASS_BITS) - 1
        for field in self.fields:
            used |= field.mask
        return ((1 << WORD_BITS) - 1) & ~used


BUFFERS = (Place.BUFFER_0, Place.BUFFER_1, Place.BOTH_BUFFERS)
REGISTER_OPERANDS = (Operand.R0, Operand.R1, Operand.R2, Operand.R3)
CONSTANT_OPERANDS = (Operand.K0, Operand.K1, Operand.K2, Operand.K3)

CLASSES: tuple[InstructionClass, ...] = (
    InstructionClass(
        Class.R,
        (Half.RERAM,),
        "Reads the array for every window of one frame.",
        (
            Field("op", 2, 2, "convolution, or fully connected: one window, the whole map", ReadOp),
            Field("index", 4, 1, "1: column blocks as the index table says; 0: all from `first` to `blocks`"),
            Field("fusion", 5, 3, "neighbouring windows that share a read, minus one"),
            Field("kernel", 8, 3, "rows of a window", default=1, accepted=tuple(range(1, 8))),
            Field("blocks", 11, 6, "the last block of results (columns read at once)"),
            Field(
                "planes", 17, 2, "passes over the input's bit planes, as a power of two", accepted=(0, 1, 2)
            ),
            Field(
                "slices",
                19,
                2,
                "columns that the bits of a weight are spread over, as a power of two",
                accepted=(0, 1, 2),
            ),
            Field(
                "src", 21, 3, "the convolution buffer that is read, or both in turn", Place, accepted=BUFFERS
            ),
            Field(
                "des",
                24,
                3,
                "the arithmetic half",
                Place,
                default=Place.ARITHMETIC,
                accepted=(Place.ARITHMETIC,),
            ),
            Field(
                "first",
                27,
                5,
                "the first block; of both buffers: the first of buffer 1, those before are buffer 0's",
            ),
        ),
        (
            Rule(
                (Is("index", (1,)),),
                (Is("first", (0,)),),
                "the index table names the blocks",
            ),
            Rule(
                (Is("src", (Place.BOTH_BUFFERS,)),),
                (Is("first", tuple(range(1, 32))),),
                "the windows of either buffer have blocks of their own",
            ),
            Rule(
                (Is("op", (ReadOp.FULLY_CONNECTED,)),),
                (Is("fusion", (0,)),),
                "the whole map is one window, which has no neighbour",
            ),
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
        (
            Rule(
                (Is("op", (AluOp.ISQRT, AluOp.RELU)),),
                (Is("with", (Operand.ZERO,)),),
                "these take one operand",
            ),
            Rule(
                (Is("batch", (Batch.WINDOW,)),),
                (Is("src", (Operand.WINDOW,)), Is("with", (Operand.WINDOW,))),
                "it is the window's pixels that it is repeated over",
            ),
            Rule(
                (Is("batch", (Batch.FRAME,)),),
                (Is("src", REGISTER_OPERANDS), Is("with", REGISTER_OPERANDS)),
                "a register accumulates, and is taken for zero on the frame's first pixel",
            ),
            *(
                Rule(
                    (Is("src", (constant,)),),
                    (
                        Is(
                            "with",
                            tuple(op for op in Operand if op == constant or op not in CONSTANT_OPERANDS),
                        ),
                    ),
                    "an instruction reads one constant",
                )
                for constant in CONSTANT_OPERANDS
            ),
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
            Field(
                "kernel",
                7,
                3,
                "rows of the window that the frame is read with",
                default=1,
                accepted=tuple(range(1, 8)),
            ),
            Field("channels", 10, 12, "channels of a pixel that are moved, minus one"),
            Field(
                "src",
                22,
                3,
                "network or arithmetic half",
                Place,
                accepted=(Place.ARITHMETIC, Place.TREE, Place.MESH),
                required=True,
            ),
            Field(
                "des",
                25,
                3,
                "buffer, arithmetic half or network",
                Place,
                accepted=(*BUFFERS, Place.ARITHMETIC, Place.MESH, Place.COLLECTION),
                required=True,
            ),
            Field("exit", 28, 1, "1: the last transfer of the program: the table starts over"),
        ),
        (
            Rule(
                (Is("half", (Half.RERAM,)),),
                (Is("src", (Place.TREE, Place.MESH)),),
                "this half's program takes frames in",
            ),
            Rule(
                (Is("half", (Half.ARITHMETIC,)),),
                (Is("src", (Place.ARITHMETIC,)),),
                "this half's program sends frames out",
            ),
            Rule(
                (Is("op", (NetworkOp.DISTRIBUTION,)),),
                (Is("src", (Place.TREE,)),),
                "the distribution tree leads to the PEs only",
            ),
            Rule(
                (Is("op", (NetworkOp.LOCAL,)),),
                (Is("src", (Place.MESH, Place.ARITHMETIC)),),
                "links to neighbours, and within the PE",
            ),
            Rule(
                (Is("op", (NetworkOp.COLLECTION,)),),
                (Is("src", (Place.ARITHMETIC,)),),
                "the collection tree leads away from the PEs only",
            ),
            Rule(
                (Is("src", (Place.TREE, Place.MESH)),),
                (Is("des", (*BUFFERS, Place.ARITHMETIC)),),
                "what comes in stays; a PE passes frames on in its switch, without an instruction",
            ),
            Rule(
                (Is("op", (NetworkOp.LOCAL,)), Is("src", (Place.ARITHMETIC,))),
                (Is("des", (*BUFFERS, Place.MESH)),),
                "results go to a neighbour, or stay for pooling",
            ),
            Rule(
                (Is("op", (NetworkOp.COLLECTION,)),),
                (Is("des", (Place.COLLECTION,)),),
                "results go to the collection tree",
            ),
            Rule(
                (Is("fuse", (1,)),),
                (Is("des", (Place.ARITHMETIC, Place.MESH, Place.COLLECTION)),),
                "a convolution buffer holds activations",
            ),
        ),
    ),
    InstructionClass(
        Class.C,
        (Half.RERAM, Half.ARITHMETIC),
        "Control.",
        (
            Field("op", 2, 3, "operation", ControlOp),
            Field("mode", 5, 2, "input and output mode"),
            Field("src", 7, 3, "from", Place, required=True),
            Field("des", 10, 3, "to", Place, required=True),
        ),
    ),
)
