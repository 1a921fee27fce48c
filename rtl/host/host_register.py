"""What a host's register is, and how registers are read."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = [
    "REGISTER_BITS", "RO", "RW", "W1C", "WO", "Access", "BitField", "CounterRead", "HostRegister",
    "counter_registers", "halves", "read_registers", "whole_field",
]  # fmt: skip

REGISTER_BITS = 32


class Access(enum.Enum):
    """What a host may do with a register; its other accesses are answered with SLVERR, save that all can be read."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"
    WRITE_ONLY = "wo"
    CLEAR = "w1c"


RO, RW, WO, W1C = Access.READ_ONLY, Access.READ_WRITE, Access.WRITE_ONLY, Access.CLEAR


@dataclass(frozen=True)
class BitField:
    """Bits `low` … `low` + `width` - 1 of a register."""

    name: str
    low: int
    width: int
    text: str
    reset: int = 0

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class HostRegister:
    """A register of 32 bits at a byte address; bits of no field read as 0 and ignore what is written."""

    name: str
    address: int
    access: Access
    text: str
    fields: tuple[BitField, ...]

    @property
    def place(self) -> int:
        """Its number: the address in words."""
        return self.address // (REGISTER_BITS // 8)

    def field(self, name: str) -> BitField:
        """The field of a name; `KeyError` if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


def whole_field(text: str, width: int = REGISTER_BITS, reset: int = 0) -> tuple[BitField, ...]:
    """A register of one field."""
    return (BitField("value", 0, width, text, reset),)


def halves(low: tuple[str, str], high: tuple[str, str]) -> tuple[BitField, ...]:
    return (BitField(low[0], 0, 16, low[1]), BitField(high[0], 16, 16, high[1]))


def counter_registers(counters: Iterable[tuple[str, int, str]]) -> Iterable[HostRegister]:
    """The registers of counters of 64 bits: name, address of the lower word, meaning."""
    for name, address, text in counters:
        low = whole_field("bits 31:0; this read latches the upper ones")
        yield HostRegister(name, address, RO, f"{text[0].upper()}{text[1:]}.", low)
        high = whole_field("bits 63:32, as latched when a lower word was last read")
        yield HostRegister(f"{name}_HIGH", address + 4, RO, f"Upper word of {name}.", high)


def _word(reg: HostRegister, values: Mapping[str, Any]) -> Value:
    """A register as it is read."""
    assert set(values) == {field.name for field in reg.fields}, reg.name
    parts: list[Value] = []
    for field in sorted(reg.fields, key=lambda field: field.low):
        filled = sum(len(part) for part in parts)
        value = values[field.name]
        if isinstance(value, int):
            value = Const(value, field.width)
        parts += [Const(0, field.low - filled), value]
        assert len(value) == field.width, f"{reg.name}.{field.name}"
    return Cat(*parts)


@dataclass(frozen=True)
class CounterRead:
    """How a count is asked for, as the ports of `EventCounters`: `request` and `select` until `done`, with `value`."""

    request: Any
    select: Any
    done: Any
    value: Any


def read_registers(
    m: Module,
    access: Any,
    registers: Iterable[HostRegister],
    values: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, Any],
    counter: CounterRead,
) -> None:
    """Answer the reads of an `access`, a `RegisterAccess`; SLVERR for an address at which there is no register.

    values   register → field → what it reads as; not of counters
    counts   the registers that are lower words of counters → the source of each
    """
    high = Signal(REGISTER_BITS)
    m.d.comb += [access.read_done.eq(1), access.read_error.eq(1)]
    with m.If(access.read_valid), m.Switch(access.read_word):
        for reg in registers:
            with m.Case(reg.place):
                m.d.comb += access.read_error.eq(0)
                if reg.name in counts:
                    m.d.comb += [
                        counter.request.eq(1),
                        counter.select.eq(counts[reg.name]),
                        access.read_done.eq(counter.done),
                        access.read_data.eq(counter.value),
                    ]
                elif reg.name.removesuffix("_HIGH") in counts:
                    m.d.comb += access.read_data.eq(high)
                else:
                    m.d.comb += access.read_data.eq(_word(reg, values[reg.name]))
    with m.If(counter.request & counter.done):
        m.d.sync += high.eq(counter.value[REGISTER_BITS:])
