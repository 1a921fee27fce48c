"""From a word of an instruction table to an operation and its operands, or to the finding that it is none."""

from collections.abc import Iterable

from amaranth.hdl import Const, Module, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.rtl.encoding import class_of
from ohmweave.rtl.isa import CLASS_BITS, CLASSES, WORD_BITS, Class, Field, Half, InstructionClass, Is

__all__ = ["Decoder", "InstructionLayout"]


class InstructionLayout(data.StructLayout):
    """The fields of a class's instructions, under their names in `ohmweave.rtl.isa`, `op` lowest.

    An operand called `with` is `view["with"]`, the name being a keyword of Python.
    """

    def __init__(self, kind: Class):
        super().__init__({field.name: field.values or field.width for field in class_of(kind).fields})


class Decoder(Component):
    """Decodes the instructions of one half of a PE (Re-ReRAM, section IV).

    Parameters: half, `Half.RERAM` or `Half.ARITHMETIC`; `TypeError` if it is neither.
    Ports: `word` In(32); `legal` Out(1), whether the half may execute the word: exactly where
    `ohmweave.rtl.encoding.decode(word, half)` takes it; `kind` Out(Class), bits 1:0; `r`, `a`, `n`, `c`
    Out(InstructionLayout), the word's fields as each class has them: those of the class that `kind` names are the
    word's bits, legal or not, those of the others are zero.
    Latency: 0 (combinational). Throughput: a word a cycle.
    """

    def __init__(self, *, half: Half):
        if not isinstance(half, Half):
            raise TypeError(f"Half must be a member of Half, not {half!r}")
        self._half = half
        ports = {info.kind.name.lower(): Out(InstructionLayout(info.kind)) for info in CLASSES}
        super().__init__({"word": In(WORD_BITS), "legal": Out(1), "kind": Out(Class), **ports})

    @property
    def half(self) -> Half:
        return self._half

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.kind.eq(self.word[:CLASS_BITS])
        for info in CLASSES:
            view = getattr(self, info.kind.name.lower())
            # Not other names for the same bits of the word: CXXRTL would see feedback between them.
            with m.If(self.word[:CLASS_BITS] == info.kind):
                for field in info.fields:
                    m.d.comb += Value.cast(view[field.name]).eq(_bits(self.word, field))
        # A class that the half does not have is not among the cases, and so never legal.
        with m.Switch(self.word[:CLASS_BITS]):
            for info in CLASSES:
                if self._half in info.halves:
                    with m.Case(info.kind):
                        m.d.comb += self.legal.eq(self._legal(info))
        return m

    def _legal(self, info: InstructionClass) -> Value:
        """Whether the word, of this class, has nothing in it that is not legal."""
        found: Value = (self.word & info.reserved) == 0
        fields = {field.name: field for field in info.fields}
        for field in info.fields:
            found &= self._is(fields, Is(field.name, field.legal))
        for rule in info.rules:
            broken: Value = Const(1)
            for condition in rule.when:
                broken &= self._is(fields, condition)
            for condition in rule.need:
                broken &= ~self._is(fields, condition)
            found &= ~broken
        return found

    def _is(self, fields: dict[str, Field], condition: Is) -> Value:
        """One bit: whether the condition holds of the word."""
        if condition.field == "half":
            return Const(int(self._half in condition.values), 1)
        field = fields[condition.field]
        if len(set(condition.values)) == 1 << field.width:
            return Const(1, 1)
        return _matches(_bits(self.word, field), condition.values)


def _bits(word: Value, field: Field) -> Value:
    return word[field.low : field.low + field.width]


def _matches(value: Value, accepted: Iterable[int]) -> Value:
    return value.matches(*(int(number) for number in accepted))
