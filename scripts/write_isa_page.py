"""Writes docs/isa.md, the reference of the instruction set, from its definition in rtl/isa.py.

    python scripts/write_isa_page.py

A test compares the page with what this gives, so that the two do not drift apart.
"""

import enum
from collections.abc import Sequence
from pathlib import Path

from ohmweave.assembler import assemble, disassemble
from ohmweave.rtl.arithmetic.formats import CYCLES
from ohmweave.rtl.encoding import value_name
from ohmweave.rtl.isa import (
    CLASS_BITS,
    CLASSES,
    WORD_BITS,
    AluOp,
    Batch,
    Class,
    ControlOp,
    Destination,
    Field,
    Format,
    Half,
    InstructionClass,
    Is,
    NetworkOp,
    Operand,
    Place,
    ReadOp,
    Rule,
    When,
)  # fmt: skip

TARGET = Path(__file__).resolve().parent.parent / "docs" / "isa.md"

#: What each member of an enumeration means; one that is missing here cannot be written.
MEANINGS: dict[type[enum.IntEnum], dict[enum.IntEnum, str]] = {
    ReadOp: {
        ReadOp.CONVOLUTION: "reads the array for as many windows as the buffer's configuration says",
        ReadOp.FULLY_CONNECTED: "reads it for one window, the whole map",
    },
    AluOp: {
        AluOp.ADD: "`src` + `with`",
        AluOp.SUB: "`src` − `with`",
        AluOp.MUL: "`src` × m / 2^s, halves rounded up, where `with` is a [scale](#vectors-constants-and-scales)",
        AluOp.DIV: f"`src` / `with`, halves rounded up, clipped to ±2^24; in {CYCLES[AluOp.DIV]} cycles",
        AluOp.ISQRT: f"the scale nearest to 1/√`src`, for `mul` to multiply by; in {CYCLES[AluOp.ISQRT]} cycles",
        AluOp.RELU: "`src`, or 0 if it is negative",
        AluOp.MAX: "the greater of `src` and `with`",
        AluOp.MIN: "the lesser of `src` and `with`",
    },
    NetworkOp: {
        NetworkOp.DISTRIBUTION: "a frame from the distribution tree",
        NetworkOp.LOCAL: "a frame from a neighbour, to a neighbour, or of results that stay in the PE",
        NetworkOp.COLLECTION: "a frame to the collection tree",
    },
    ControlOp: {
        ControlOp.WEIGHT_LOAD: "waits until no row of the array is left to be programmed",
        ControlOp.FETCH: "stops until the stage is enabled anew",
        ControlOp.DATA_LOAD: "waits until all reads are over and the arithmetic half has worked on their results",
        ControlOp.DISPATCH: "marks the next instruction as the one at which the program starts over",
        ControlOp.DMA: "for the chip's controller; a PE cannot execute it",
    },
    Place: {
        Place.BUFFER_0: "the first convolution buffer",
        Place.BUFFER_1: "the second",
        Place.BOTH_BUFFERS: "the two together",
        Place.ARITHMETIC: "the arithmetic half",
        Place.TREE: "the distribution tree",
        Place.MESH: "a neighbour",
        Place.COLLECTION: "the collection tree",
    },
    Operand: {
        Operand.ZERO: "0 in all lanes",
        Operand.FORWARD: "what the last instruction with `forward` 1 gave; 0 before there was one",
        Operand.RESULT: "a vector of the ReRAM half's results",
        Operand.SIDE: "a vector from the side input: a neighbour's partial sums",
        Operand.WINDOW: "a pixel of the second buffer's window",
        **{register: "a register" for register in Operand if Operand.R0 <= register <= Operand.R3},
        **{constant: "a constant of its own for each channel" for constant in Operand if constant >= Operand.K0},
    },
    Destination: {
        Destination.NONE: "nowhere",
        Destination.NETWORK: "out of the PE, as the program's N-type instruction says",
        Destination.BUFFER: "the second buffer, for pooling",
        **{register: "a register" for register in Destination if register >= Destination.R0},
    },
    Format: {
        Format.U4: "unsigned, 4 bits",
        Format.U8: "unsigned, 8 bits",
        Format.U16: "unsigned, 16 bits",
        Format.WIDE: "signed, as wide as a lane",
    },
    Batch: {
        Batch.NONE: "executed once for a vector",
        Batch.WINDOW: "repeated for all pixels of the window, each time with what the time before gave as `forward`, "
        "at first 0",
        Batch.FRAME: "accumulates over a frame: on its first pixel registers are read as 0",
    },
    When: {When.ALWAYS: "on every pixel", When.LAST: "on a frame's last pixel only"},
}  # fmt: skip
#: Enumerations that have a table of their own at the end, and what it is called.
SHARED = {
    Place: "Places",
    Operand: "Operands",
    Destination: "Destinations",
    Format: "Formats",
    Batch: "Batches",
    When: "When",
}

INTRODUCTION = f"""# Instruction set

<!-- Written by scripts/write_isa_page.py from rtl/isa.py. -->

Each half of a processing element, the ReRAM half and the arithmetic half, has a controller and an instruction table of
its own. The tables are written once, as configuration, and executed over and over, without fetching anything.
The ReRAM half's program takes frames in and reads the array; the arithmetic half's computes on what was read, a vector
of channels at a time, and sends it on.

An instruction is a word of {WORD_BITS} bits. Bits {CLASS_BITS - 1}:0 give its class, the next bits the operation. Bits
that a class does not use are zero. [`ohmweave asm`](usage.md#ohmweave-asm) makes words of text, `ohmweave disasm` text
of words.

Instruction i of a table stands at the local addresses 2i, its low 16 bits, and 2i + 1
(`ohmweave.rtl.encoding.instruction_writes`).

## Illegal words

A word is illegal if it is zero, if a field has a value that is not in its table here, if a bit that is not used is set,
if the half does not have the class, or if one of the class's rules is broken. The [decoder](blocks/decoder.md) of each
half finds this; the half then reports the instruction's place as an error and executes neither that instruction nor
any after it. What depends on the array's size or on the configuration, such as more blocks than the array has, each
half's controller finds and reports in the same way.
"""

VECTORS = """## Vectors, constants and scales

A vector has as many elements as the arithmetic half has lanes: vector v of a pixel holds its channels from v × lanes
on. Each channel has four constants of its own, `k0` to `k3`, each an addend or a scale. A scale m / 2^s has m, which
is unsigned, in its bits 0–15, and s in its bits 16–21, modulo 64: from −16 to 47. Every result is clipped to the range
of a lane, and then to its format; the clip to an unsigned format is a ReLU.
"""

EXAMPLES = [
    (
        "A 3×3 convolution of 16 channels into 32, two blocks of 16 columns, with bias, scale and ReLU; 4-bit results "
        "to a neighbour. k0 holds the biases and k1 the scales; the clip to `u4` is the ReLU.",
        """
        .reram
        distribution kernel=3 channels=15 src=tree des=buffer_0
        convolution kernel=3 blocks=1 src=buffer_0
        .arithmetic
        local channels=31 src=arithmetic des=mesh
        add src=result with=k0
        mul with=k1 size=u4 des=network
        """,
    ),
    (
        "Max pooling behind it: results wait in the second buffer (the first three instructions of `.arithmetic`), and "
        "each of its windows gives their greatest (the last two).",
        """
        .arithmetic
        local channels=31 src=arithmetic des=buffer_1
        add src=result with=k0
        mul with=k1 size=u4 des=buffer
        collection channels=31 src=arithmetic des=collection
        max batch=window with=window size=u4 des=network
        """,
    ),
    (
        "Rows of a layer that several PEs share: partial sums of a neighbour come in at the side, and go on with those "
        "of this PE added.",
        """
        .reram
        distribution channels=127 src=tree des=buffer_0
        local fuse=1 channels=31 src=mesh des=arithmetic
        convolution blocks=1
        .arithmetic
        local fuse=1 channels=31 src=arithmetic des=mesh
        add src=result with=side des=network
        """,
    ),
    (
        "The average over a frame: r0 accumulates, and only the last pixel's sum goes on, scaled by k1.",
        """
        .arithmetic
        collection size=u8 channels=31 src=arithmetic des=collection
        add src=result with=r0 batch=frame des=r0
        mul with=k1 size=u8 des=network when=last
        """,
    ),
]


def names(values: Sequence[int], kind: type[enum.IntEnum] | None) -> str:
    """Values as the assembler calls them, the last with "or"; many numbers by the first and the last."""
    if kind is None and len(values) > 2:
        return f"{values[0]} … {values[-1]}"
    words = [f"`{value_name(kind, value)}`" for value in values]
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def bits(field: Field) -> str:
    return f"{field.low + field.width - 1}:{field.low}" if field.width > 1 else f"{field.low}"


def accepted(field: Field) -> str:
    """What a field accepts, for a cell of a table."""
    legal = list(field.legal)
    if field.values is None:
        return f"{legal[0]} … {legal[-1]}" if len(legal) > 2 else ", ".join(map(str, legal))
    if field.name == "op":
        return "see below"
    if legal == list(field.values) and field.values in SHARED:
        title = SHARED[field.values]
        return f"[{title.lower()}](#{title.lower()})"
    return ", ".join(f"`{value_name(field.values, value)}`" for value in legal)


def default(field: Field) -> str:
    if field.name == "op" or field.required:
        return "none"
    return f"`{value_name(field.values, field.default)}`"


def condition(info: InstructionClass, test: Is) -> str:
    if test.field == "half":
        return f"the half is {names(test.values, Half)}"
    kind = next(field.values for field in info.fields if field.name == test.field)
    return f"`{test.field}` is {names(test.values, kind)}"


def rule(info: InstructionClass, one: Rule) -> str:
    where = " and ".join(condition(info, test) for test in one.when)
    need = ", or ".join(condition(info, test) for test in one.need)
    return f"- Where {where}: {need}. ({one.text[0].upper()}{one.text[1:]}.)"


def meanings(kind: type[enum.IntEnum], heading: str) -> list[str]:
    rows = [f"| {heading} | value | meaning |", "|---|---|---|"]
    return [*rows, *(f"| `{m.name.lower()}` | {int(m)} | {MEANINGS[kind][m]} |" for m in kind)]


def section(info: InstructionClass) -> list[str]:
    """One class: fields, operations, rules."""
    halves = " and ".join("ReRAM" if half == Half.RERAM else half.name.lower() for half in info.halves)
    where = f"the {halves} half" if len(info.halves) == 1 else "both halves"
    op = info.fields[0].values
    assert op is not None
    lines = [f"## {info.kind.name}-type", "", f"{info.text} In the tables of {where}.", ""]
    lines += ["| bits | field | accepts | default | meaning |", "|---|---|---|---|---|"]
    lines.append(f"| {CLASS_BITS - 1}:0 | class | {int(info.kind)} | | {info.kind.name}-type |")
    for field in info.fields:
        lines.append(
            f"| {bits(field)} | `{field.name}` | {accepted(field)} | {default(field)} | {field.text} |"
        )
    top = max(field.low + field.width for field in info.fields)
    if top < WORD_BITS:
        lines.append(f"| {WORD_BITS - 1}:{top} | | 0 | | not used |")
    lines += ["", *meanings(op, "operation")]
    if info.rules:
        lines += ["", "Rules:", "", *(rule(info, one) for one in info.rules)]
    return [*lines, ""]


def example(text: str, source: str) -> list[str]:
    listing = disassemble(assemble(source))
    return [text, "", *(f"    {line}" for line in listing.splitlines()), ""]


def page() -> str:
    """The whole page."""
    lines = INTRODUCTION.splitlines()
    lines += ["", "## Classes", "", "| bits 1:0 | class | tables of | |", "|---|---|---|---|"]
    for info in CLASSES:
        halves = ", ".join(f"`{half.name.lower()}`" for half in info.halves)
        link = f"[{info.kind.name}](#{info.kind.name.lower()}-type)"
        lines.append(f"| {int(Class(info.kind))} | {link} | {halves} | {info.text} |")
    lines.append("")
    for info in CLASSES:
        lines += section(info)
    for kind, title in SHARED.items():
        lines += [f"## {title}", "", *meanings(kind, "name"), ""]
    lines += [*VECTORS.splitlines(), "", "## Examples", ""]
    lines += ["Behind each instruction stand its place in the table and its word.", ""]
    for text, source in EXAMPLES:
        lines += example(text, source)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(page())
