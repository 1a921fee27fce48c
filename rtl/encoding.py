"""Instructions as records and as 32-bit words, after the one definition in `ohmweave.rtl.isa`."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.rtl.isa import CLASS_BITS, CLASSES, WORD_BITS, Class, Field, Half, InstructionClass, Rule

__all__ = [
    "MAX_INSTRUCTIONS",
    "OPERATIONS",
    "Instruction",
    "class_of",
    "decode",
    "encode",
    "instruction_writes",
    "value_name",
]

#: The largest instruction table that a half can have.
MAX_INSTRUCTIONS = 64
HALF_WORD = 16


def class_of(kind: int) -> InstructionClass:
    return next(info for info in CLASSES if info.kind == kind)


def _operations() -> dict[str, tuple[InstructionClass, enum.IntEnum]]:
    found: dict[str, tuple[InstructionClass, enum.IntEnum]] = {}
    for info in CLASSES:
        for op in info.fields[0].values or ():
            assert op.name.lower() not in found, f"two operations are called {op.name}"
            found[op.name.lower()] = info, op
    return found


#: The name of each operation, which is different in all classes → its class, and the value of `op`.
OPERATIONS = _operations()


@dataclass(frozen=True)
class Instruction:
    """One instruction: its class, and the values of all the class's fields, in their order.

    `Instruction.of(AluOp.ADD, src=Operand.RESULT, with_=Operand.K0)` makes one; `instruction["src"]` is an operand.
    Whether it is legal shows when it is encoded.
    """

    kind: Class
    values: tuple[int, ...]

    @classmethod
    def of(cls, op: enum.IntEnum, /, **operands: int) -> "Instruction":
        """The instruction of an operation, with the fields' defaults for what is not given.

        An underscore at the end of a name is left out: `with_` is `with`, which Python keeps for itself.
        """
        info = next(info for info, known in OPERATIONS.values() if known is op)
        return cls.from_operands(info, {"op": op} | {name.rstrip("_"): v for name, v in operands.items()})

    @classmethod
    def from_operands(cls, info: InstructionClass, operands: Mapping[str, int]) -> "Instruction":
        """`OhmweaveError` for an operand that the class does not have, or one that has to be given and is not."""
        names = [field.name for field in info.fields]
        for name in operands:
            if name not in names:
                raise OhmweaveError(
                    f"the {info.kind.name}-type has no operand {name}; it has {', '.join(names[1:])}"
                )
        for field in info.fields:
            if field.required and field.name not in operands:
                raise OhmweaveError(f"{field.name} must be given: {_choice(field.values, field.legal)}")
        values = (operands.get(field.name, field.default) for field in info.fields)
        return cls(info.kind, tuple(index(value) for value in values))

    @property
    def info(self) -> InstructionClass:
        return class_of(self.kind)

    @property
    def op(self) -> enum.IntEnum:
        """The operation, a member of the class's enumeration."""
        operations = self.info.fields[0].values
        assert operations is not None
        return operations(self["op"])

    def operands(self) -> Iterator[tuple[Field, int]]:
        """Every field with its value, `op` first."""
        return zip(self.info.fields, self.values, strict=True)

    def __getitem__(self, name: str) -> int:
        for field, value in self.operands():
            if field.name == name:
                return value
        raise KeyError(name)


def encode(instruction: Instruction, half: Half | None = None) -> int:
    """The word of an instruction.

    Raises `OhmweaveError` for an instruction that is illegal: in that half's table, or in both.
    """
    info = instruction.info
    _refuse(info, {field.name: value for field, value in instruction.operands()}, half)
    word = int(info.kind)
    for field, value in instruction.operands():
        word |= value << field.low
    return word


def decode(word: int, half: Half | None = None) -> Instruction:
    """The instruction of a word.

    Raises `OhmweaveError` for a word that is no legal instruction: in that half's table, or in both.
    """
    whole("an instruction", word, 0, (1 << WORD_BITS) - 1)
    if word == 0:
        raise OhmweaveError("a word of zeros is no instruction")
    info = class_of(word & (1 << CLASS_BITS) - 1)
    if word & info.reserved:
        raise OhmweaveError(
            f"bits that the {info.kind.name}-type does not use must be zero, not {word & info.reserved:#010x}"
        )
    values = {field.name: field.extract(word) for field in info.fields}
    _refuse(info, values, half)
    return Instruction(info.kind, tuple(values.values()))


def instruction_writes(place: int, word: int) -> list[tuple[int, int]]:
    """The (local address, data) writes that put a word, legal or not, into a place of a half's table."""
    whole("the place of an instruction", place, 0, MAX_INSTRUCTIONS - 1)
    whole("an instruction", word, 0, (1 << WORD_BITS) - 1)
    return [(2 * place, word & (1 << HALF_WORD) - 1), (2 * place + 1, word >> HALF_WORD)]


def _refuse(info: InstructionClass, values: dict[str, int], half: Half | None) -> None:
    """Raise `OhmweaveError` where the values of a class's fields are no legal instruction."""
    if half is not None and half not in info.halves:
        raise OhmweaveError(f"{_half(half)} has no instructions of the {info.kind.name}-type")
    for field in info.fields:
        value = values[field.name]
        if value not in field.legal:
            raise OhmweaveError(
                f"{field.name} must be {_choice(field.values, field.legal)}, not {value_name(field.values, value)}"
            )
    if half is not None:
        values = values | {"half": half}
    for rule in info.rules:
        if half is None and rule.about("half"):
            continue
        if not rule.holds(values):
            raise OhmweaveError(_sentence(info, rule, values))


def value_name(values: type[enum.IntEnum] | None, value: object) -> str:
    """What people call the value of a field: the member's name in small letters, or the number."""
    for member in values or ():
        if member == value:
            return member.name.lower()
    return f"{int(value)}" if isinstance(value, int) else repr(value)


def _choice(values: type[enum.IntEnum] | None, legal: Sequence[int]) -> str:
    """What a field accepts, in words."""
    if values is None and len(legal) > 2 and list(legal) == list(range(legal[0], legal[-1] + 1)):
        return f"a whole number from {legal[0]} to {legal[-1]}"
    return _join([value_name(values, value) for value in legal])


def _join(words: list[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _half(half: int) -> str:
    return f"the {'ReRAM' if half == Half.RERAM else Half(half).name.lower()} half"


def _sentence(info: InstructionClass, rule: Rule, values: Mapping[str, int]) -> str:
    """How a rule is broken."""
    kinds = {field.name: field.values for field in info.fields}
    choices: dict[str, list[str]] = {}  # what is accepted → the fields that may hold it
    for need in rule.need:
        accepted = _choice(kinds[need.field], need.values)
        choices.setdefault(accepted, []).append(need.field)
    needs = [f"{_join(fields)} must be {accepted}" for accepted, fields in choices.items()]
    found = [value_name(kinds[need.field], values[need.field]) for need in rule.need]
    given = [
        f"{condition.field} is {value_name(kinds[condition.field], values[condition.field])}"
        for condition in rule.when
        if condition.field != "half"
    ]
    where = f"where {' and '.join(given)}" if given else f"in {_half(values['half'])}"
    return f"{' or '.join(needs)} {where}, not {' and '.join(found)}"
