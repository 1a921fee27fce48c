"""Assembler and disassembler: instruction tables as text, one instruction a line.

    .reram                                      ; whose table follows: .reram or .arithmetic
    distribution src=tree des=buffer_0 kernel=3 channels=15
    convolution kernel=3 blocks=1

A line is an operation and its operands as name=value, in any order, in capitals or small letters; what stands behind
`;` or `#` is a comment. Operations, operands, defaults and values are those of `ohmweave.rtl.isa`. A value is the name
of a member where the operand has names, and else a number, decimal, 0x… or 0b….
"""

import re
from collections.abc import Mapping

from ohmweave.errors import OhmweaveError
from ohmweave.program_file import InstructionTables
from ohmweave.rtl.encoding import MAX_INSTRUCTIONS, OPERATIONS, Instruction, decode, encode, value_name
from ohmweave.rtl.isa import Field, Half, InstructionClass

__all__ = ["assemble", "disassemble"]

SECTIONS = {f".{half.name.lower()}": half for half in Half}
COMMENT = re.compile(r"[;#].*")
# As many digits as a word can need: Python takes its time over numbers of any length.
NUMBER = re.compile(r"[0-9]{1,10}|0x[0-9a-f]{1,8}|0b[01]{1,32}")


def assemble(
    text: str, name: str = "the program", limits: Mapping[Half, int] | None = None
) -> InstructionTables:
    """The tables that a text describes.

    name    what the text is called in a refusal
    limits  how many instructions each half's table holds, by default the most that any does

    Raises `OhmweaveError` for the first line that is no instruction, or one that its half does not have.
    """
    limits = limits or dict.fromkeys(Half, MAX_INSTRUCTIONS)
    found: dict[Half, list[int]] = {half: [] for half in Half}
    begun: dict[Half, int] = {}  # where each section began
    half: Half | None = None
    for number, line in enumerate(text.split("\n"), 1):
        words = COMMENT.sub("", line).lower().split()
        if not words:
            continue
        try:
            if words[0].startswith("."):
                half = _section(words, begun)
                begun[half] = number
            elif half is None:
                raise OhmweaveError(f"instructions must stand below {' or '.join(SECTIONS)}")
            elif len(found[half]) == limits[half]:
                raise OhmweaveError(
                    f"the table .{half.name.lower()} must have at most {limits[half]} instructions"
                )
            else:
                found[half].append(encode(_instruction(words), half))
        except OhmweaveError as error:
            raise OhmweaveError(f"{name}, line {number}: {error}") from None
    if not any(found.values()):
        raise OhmweaveError(f"{name} must have at least one instruction")
    return InstructionTables(tuple(found[Half.RERAM]), tuple(found[Half.ARITHMETIC]))


def _section(words: list[str], begun: Mapping[Half, int]) -> Half:
    half = SECTIONS.get(words[0])
    if half is None:
        raise OhmweaveError(f"a section must be {' or '.join(SECTIONS)}, not {words[0]!r}")
    if len(words) > 1:
        raise OhmweaveError(f"{words[0]} must stand alone in its line, without {words[1]!r}")
    if half in begun:
        raise OhmweaveError(f"{words[0]} was begun in line {begun[half]}: a table is one section")
    return half


def _instruction(words: list[str]) -> Instruction:
    if words[0] not in OPERATIONS:
        raise OhmweaveError(f"the operation must be one of {', '.join(OPERATIONS)}, not {words[0]!r}")
    info, op = OPERATIONS[words[0]]
    operands: dict[str, int] = {"op": op}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise OhmweaveError(f"an operand must be name=value, without blanks, not {word!r}")
        field = _operand(info, name, words[0])
        if name in operands:
            raise OhmweaveError(f"{name} must be given once")
        operands[name] = _value(field, value)
    return Instruction.from_operands(info, operands)


def _operand(info: InstructionClass, name: str, operation: str) -> Field:
    fields = info.fields[1:]
    for field in fields:
        if field.name == name:
            return field
    known = ", ".join(field.name for field in fields)
    raise OhmweaveError(f"an operand of {operation} must be one of {known}, not {name!r}")


def _value(field: Field, text: str) -> int:
    """The value that a text gives to a field, if it is one at all: `encode` refuses what is illegal."""
    if field.values is None:
        if not NUMBER.fullmatch(text):
            raise OhmweaveError(f"{field.name} must be a whole number, not {text!r}")
        return int(text, 10 if text.isdigit() else 0)
    for member in field.values:
        if member.name.lower() == text:
            return int(member)
    names = ", ".join(value_name(field.values, value) for value in field.legal)
    raise OhmweaveError(f"{field.name} must be one of {names}, not {text!r}")


def disassemble(tables: InstructionTables) -> str:
    """The text of tables; operands that have their defaults are left out.

    `assemble` gives the same tables again. Raises `OhmweaveError` for a word that is no instruction of its half.
    """
    lines = []
    for section, half in SECTIONS.items():
        if not tables.of(half):
            continue
        lines.append(section)
        texts = [(_text(decode(word, half)), word) for word in tables.of(half)]
        width = max(len(text) for text, _ in texts)
        lines += [f"{text:{width}}  ; {place:2}  {word:#010x}" for place, (text, word) in enumerate(texts)]
    return "\n".join(lines) + "\n"


def _text(instruction: Instruction) -> str:
    shown = [instruction.op.name.lower()]
    for field, value in instruction.operands():
        if field.name != "op" and (field.required or value != field.default):
            shown.append(f"{field.name}={value_name(field.values, value)}")
    return " ".join(shown)
