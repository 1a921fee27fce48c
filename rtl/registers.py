"""Registers that configuration writes fill."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite

__all__ = ["RegisterFile", "register_writes", "word_writes"]


def word_writes(bits: int, size: int) -> list[tuple[int, int]]:
    """The (local address, data) writes of a value of `size` bits, its lowest word to address 0."""
    words = -(-size // CONFIG_BITS)
    return [(word, bits >> (CONFIG_BITS * word) & (1 << CONFIG_BITS) - 1) for word in range(words)]


def register_writes(layout: data.Layout, values: Mapping[str, Any] | Sequence[Any]) -> list[tuple[int, int]]:
    """The (local address, data) writes that give a `RegisterFile(layout=layout)` these values.

    Raises `ValueError` for a value that its field does not hold.
    """
    const = layout.const(values)
    _refuse_truncated(layout, const, values, "")
    return word_writes(const.as_bits(), layout.size)


def _refuse_truncated(
    layout: data.Layout, const: Any, values: Mapping[str, Any] | Sequence[Any], where: str
) -> None:
    """Amaranth cuts a value to the width of its field without a word."""
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        shape, name = layout[key].shape, f"{where}{key}"
        if isinstance(shape, data.Layout):
            _refuse_truncated(shape, const[key], value, f"{name}.")
        elif const[key] != value:
            raise ValueError(f"{name} must fit into {layout[key].width} bits, not {value!r}")


class RegisterFile(Component):
    """Holds one record of configuration, written 16 bits at a time: address n holds bits 16n … 16n+15.

    Writes to other addresses are taken and ignored.

    Parameters: layout, the record's layout; `TypeError` if it is none.
    Ports: `config`, writes; `value`, the record, all zeros after reset.
    Latency: a write shows one cycle later. Throughput: one write a cycle.
    """

    def __init__(self, *, layout: data.Layout):
        if not isinstance(layout, data.Layout):
            raise TypeError(f"Layout must be an amaranth.lib.data layout, not {layout!r}")
        self._layout = layout
        super().__init__({"config": In(stream.Signature(ConfigWrite)), "value": Out(layout)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = Signal(self._layout.size)
        m.d.comb += [self.config.ready.eq(1), self.value.as_value().eq(bits)]
        with m.If(self.config.valid), m.Switch(self.config.p.address):
            for word in range(-(-self._layout.size // CONFIG_BITS)):
                with m.Case(word):
                    m.d.sync += bits[CONFIG_BITS * word : CONFIG_BITS * (word + 1)].eq(self.config.p.data)
        return m
