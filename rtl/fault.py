"""What a unit says of an instruction that it cannot execute."""

from amaranth.lib import data

__all__ = ["Fault"]


class Fault(data.Struct):
    """An instruction that is not one: which of which PE; it was not executed, nor anything after it.

    valid  there was one; it stays until the reset
    half   `isa.Half` in whose table it stands
    index  its place in the table
    unit   number of the PE
    """

    valid: 1
    half: 1
    index: 14
    unit: 16
