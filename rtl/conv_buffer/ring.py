"""Counting through the slots of the line memories."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data

__all__ = ["SlotLayout", "add_slot"]


class SlotLayout(data.StructLayout):
    """A slot: `bank` of `banks`, and `group`, the offset in eighths of a word."""

    def __init__(self, banks: int):
        super().__init__({"bank": (banks - 1).bit_length(), "group": 3})


def add_slot(m: Module, banks: int, slot, bank, group, group_step):
    """Slot that lies `bank` banks and `group` eighths after `slot`; going round the banks takes a further group."""
    total = Signal(range(2 * banks))
    result = Signal(SlotLayout(banks))
    m.d.comb += total.eq(slot.bank + bank)
    with m.If(total >= banks):
        m.d.comb += [result.bank.eq(total - banks), result.group.eq(slot.group + group + group_step)]
    with m.Else():
        m.d.comb += [result.bank.eq(total), result.group.eq(slot.group + group)]
    return result
