"""What a unit says of an instruction that it cannot execute."""

from amaranth.lib import data

__all__ = ["ErrorLayout", "Fault"]


class ErrorLayout(data.StructLayout):
    """An instruction of a table of `words` cannot be executed: `valid`, and its place in the table, `index`."""

    def __init__(self, words: int):
        super().__init__({"valid": 1, "index": range(words)})


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
