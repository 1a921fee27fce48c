"""Records that the arithmetic half's parts exchange: its configuration, and what goes on to the lanes."""

from amaranth.lib import data

from ohmweave.params import PEParams
from ohmweave.rtl.isa import AluOp, Destination, Format, Operand

__all__ = [
    "CHANNEL_BITS",
    "MAX_GROUPS",
    "MAX_PLANES",
    "MAX_WINDOW_PIXELS",
    "ArithmeticConfig",
    "IssueLayout",
    "PlaceLayout",
    "ProgramConfig",
]

CHANNEL_BITS = 12
PIXEL_BITS = 24
#: Pixels of the largest window that instructions run over: 3×3.
MAX_WINDOW_PIXELS = 9
#: Powers of two: image rows that share a buffer's word, and parts of `act_bits` that an activation is cut into.
MAX_GROUPS = 3
MAX_PLANES = 2


class ProgramConfig(data.StructLayout):
    """One of the two programs.

    enable        it may run
    first, last   where it stands in the instruction table
    last_pixel    pixels of a frame that it runs for, minus one
    last_channel  channels of a pixel, minus one
    row           vectors of constants and registers before its own
    """

    def __init__(self, params: PEParams):
        place = range(params.arithmetic_program)
        super().__init__(
            {
                "enable": 1,
                "first": place,
                "last": place,
                "last_pixel": PIXEL_BITS,
                "last_channel": CHANNEL_BITS,
                "row": range(params.vectors),
            }
        )


class ArithmeticConfig(data.StructLayout):
    """Configuration of the arithmetic half.

    post, pool         the programs
    second             `pool` runs for the results of buffer 1's windows instead of for windows; `post` for the others
    last_window_pixel  pixels of a window, minus one; more than one only where groups is 0
    groups             a pixel in the second buffer takes lanes / 2^groups lanes
    planes             its activations have act_bits × 2^planes bits
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "post": ProgramConfig(params),
                "pool": ProgramConfig(params),
                "second": 1,
                "last_window_pixel": range(MAX_WINDOW_PIXELS),
                "groups": range(MAX_GROUPS + 1),
                "planes": range(MAX_PLANES + 1),
            }
        )


class PlaceLayout(data.StructLayout):
    """Where an instruction that has been fetched belongs.

    index        its place in the table
    probe        it is looked at before the first body, and executed only if it is an N-type
    pool         the program: pool, or post
    begin, end   first and last instruction of the body
    vector       vector of the pixel
    row          place of the vector among the constants and registers
    head, tail   it is the pixel's first, last
    count        lanes that hold channels, minus one
    first_pixel, last_pixel  the pixel is the first, last of the frame
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "index": range(params.arithmetic_program),
                "probe": 1,
                "pool": 1,
                "begin": 1,
                "end": 1,
                "vector": range(params.vectors),
                "row": range(params.vectors),
                "head": 1,
                "tail": 1,
                "count": range(params.alu_lanes),
                "first_pixel": 1,
                "last_pixel": 1,
            }
        )


class IssueLayout(data.StructLayout):
    """An A-type instruction, or one round of it, ready for the lanes.

    op, size, src, with  as in the instruction
    des           where the result goes; NONE in all rounds but the last
    forward       the result becomes FORWARD
    zero_forward  FORWARD is 0: nothing has been forwarded yet
    zero_registers  registers are read as 0
    final         the last round: vectors of streams are taken
    vector, row, head, tail, count  of the body's place
    out           what goes with the result to the network, if it goes there
    """

    def __init__(self, params: PEParams):
        count = range(params.alu_lanes)
        out = data.StructLayout({"size": Format, "fuse": 1, "count": count, "last": 1})
        super().__init__(
            {
                "op": AluOp,
                "size": Format,
                "src": Operand,
                "with": Operand,
                "des": Destination,
                "forward": 1,
                "zero_forward": 1,
                "zero_registers": 1,
                "final": 1,
                "vector": range(params.vectors),
                "row": range(params.vectors),
                "head": 1,
                "tail": 1,
                "count": count,
                "out": out,
            }
        )
