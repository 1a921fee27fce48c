"""Configuration of the ReRAM half, and what its parts tell each other."""

from amaranth.hdl import signed
from amaranth.lib import data

from ohmweave.params import ArrayParams, PEParams
from ohmweave.rtl import isa
from ohmweave.rtl.reram_half.signs import sign_scheme

__all__ = [
    "RECEIVERS", "WINDOW_BITS", "BlockLayout", "FrameLayout", "PartialLayout", "ReRAMConfig", "ReadLayout",
]  # fmt: skip

#: Bits of the number of windows of a frame.
WINDOW_BITS = 24
#: Places that a frame is received to, in the order of the ports for them.
RECEIVERS = (isa.Place.BUFFER_0, isa.Place.BUFFER_1, isa.Place.ARITHMETIC)


class ReRAMConfig(data.StructLayout):
    """Configuration of the half; it changes only while `clear` is high.

    length    instructions of the program; 0: nothing is executed
    windows   for each buffer, windows of a frame, minus one
    split     for each buffer, the logarithm to the base 2 of the pixels that share the lanes of a word: 0 to 3 for
              L = lanes, lanes / 2, lanes / 4, lanes / 8 lanes of a pixel (`BufferParams.groups`)
    in_place  buffer 1 has no lines of its own: its windows come from buffer 0, a frame of each in turn
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "length": range(params.reram_program + 1),
                "windows": data.ArrayLayout(WINDOW_BITS, 2),
                "split": data.ArrayLayout(2, 2),
                "in_place": 1,
            }
        )


class FrameLayout(data.StructLayout):
    """A frame of reads, from an R-type instruction and the configuration of the buffers.

    src       number of the buffer
    both      windows of either buffer, as they come
    split     for each buffer, as in `ReRAMConfig`
    windows   for each buffer, windows, minus one
    index     1: blocks as the index table says, 0: from `first` to `blocks`
    first, blocks    the first and the last block; with `both` buffer 0 has those before `first`
    planes, slices   logarithms to the base 2 of their numbers, 0 to 2
    """

    def __init__(self, array: ArrayParams):
        super().__init__(
            {
                "src": 1,
                "both": 1,
                "split": data.ArrayLayout(2, 2),
                "windows": data.ArrayLayout(WINDOW_BITS, 2),
                "index": 1,
                "first": range(array.colmux),
                "blocks": range(array.colmux),
                "planes": 2,
                "slices": 2,
            }
        )


class ReadLayout(data.StructLayout):
    """One read of the array.

    src            number of the buffer whose window is read
    group          column group
    plane, slice   what is read of the inputs and of the weights: the term is shifted by their bits
    sign           which of the slice's column groups
    top            the highest slice
    first, last    first and last read of a block
    end            last read of a window
    """

    def __init__(self, array: ArrayParams):
        super().__init__(
            {
                "src": 1,
                "group": range(array.colmux),
                "plane": 2,
                "slice": 2,
                # Without a bit where there is one sign: constant bits of registers slow CXXRTL down.
                "sign": range(sign_scheme(array).signs),
                "top": 1,
                "first": 1,
                "last": 1,
                "end": 1,
            }
        )


class PartialLayout(data.StructLayout):
    """Sums of one read, and of which read they are."""

    def __init__(self, array: ArrayParams):
        super().__init__(
            {
                "sums": data.ArrayLayout(array.sum_bits, array.columns_at_once),
                "reference": array.sum_bits,
                "read": ReadLayout(array),
            }
        )


class BlockLayout(data.StructLayout):
    """Results of one block of columns, of a window of buffer `src`; `end` is the last of the window."""

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "values": data.ArrayLayout(signed(params.lane_bits), params.array.columns_at_once),
                "src": 1,
                "end": 1,
            }
        )
