"""One vector of one pixel of a window."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.arithmetic.layouts import MAX_GROUPS, MAX_PLANES, MAX_WINDOW_PIXELS

__all__ = ["WindowSelect", "layouts", "plane_lanes", "word_vectors"]


def plane_lanes(lanes: int, groups: int, planes: int) -> int:
    """Lanes of one plane of a pixel: lanes / 2^groups / 2^planes; 0 where it does not divide."""
    return 0 if lanes % (1 << (groups + planes)) else lanes >> (groups + planes)


def layouts(lanes: int) -> list[tuple[int, int, int]]:
    """All (groups, planes, lanes of a plane) that a buffer of so many lanes can have."""
    found = []
    for groups in range(MAX_GROUPS + 1):
        for planes in range(MAX_PLANES + 1):
            if width := plane_lanes(lanes, groups, planes):
                found.append((groups, planes, width))
    return found


def word_vectors(params: PEParams, groups: int, planes: int) -> int:
    """Vectors of each word where a pixel may have several: whole vectors, in words of their own; 0 where it has one."""
    width = plane_lanes(params.buffer.lanes, groups, planes)
    return 0 if groups or width % params.alu_lanes else width // params.alu_lanes


class WindowSelect(Component):
    """Takes vector v of pixel t out of a window and puts the planes of its activations together.

    A pixel takes L = lanes / 2^groups lanes, a plane L / 2^planes of them: lane t·L + p·L/2^planes + c of the window
    holds bits act_bits·p and up of channel c. The pixels of a window are counted column by column.

    Channels beyond the L / 2^planes of a word are in the words that follow, which are columns of the window, too:
    vector v of a pixel of one word or more is vector v mod n of word t + ⌊v / n⌋, n being `word_vectors`. There are
    `MAX_WINDOW_PIXELS` words.

    Parameters: params, of the PE.
    Ports: `groups`, `planes`, constant; `enable`; `window`; `pixel`; `vector`; `value`: unsigned elements, 0 in lanes
    beyond `count` and where the pixel has no such channel, all 0 while `enable` is low.
    Latency: 0 (combinational).
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        buffer = params.buffer
        super().__init__(
            {
                "groups": In(range(MAX_GROUPS + 1)),
                "planes": In(range(MAX_PLANES + 1)),
                "enable": In(1),
                "window": In(buffer.window_lanes * buffer.act_bits),
                "pixel": In(range(MAX_WINDOW_PIXELS)),
                "vector": In(range(params.vectors)),
                "count": In(range(params.alu_lanes)),
                "value": Out(VectorLayout(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._params
        lanes, bits = params.buffer.lanes, params.buffer.act_bits
        layout = Cat(self.planes, self.groups)
        # The word, and which of its vectors.
        place = Signal(range(MAX_WINDOW_PIXELS + params.vectors - 1))
        vector = Signal(range(params.vectors))
        word = Signal(lanes * bits)
        # The vector's part of each plane: plain slices, and one place where they are put together, so that compilers
        # of the netlist have no long expressions to digest.
        parts = [Signal(params.alu_lanes * bits, name=f"plane_{plane}") for plane in range(1 << MAX_PLANES)]
        with m.If(self.enable):
            m.d.comb += [place.eq(self.pixel), vector.eq(self.vector)]
            with m.Switch(layout):
                for groups, planes, _ in layouts(lanes):
                    if each := word_vectors(params, groups, planes):
                        with m.Case(planes | groups << len(self.planes)):
                            self._follow(m, place, vector, each)
            with m.Switch(place):
                for number in range(MAX_WINDOW_PIXELS):
                    with m.Case(number):
                        m.d.comb += word.eq(self.window.word_select(number, lanes * bits))
            with m.Switch(layout):
                for groups, planes, width in layouts(lanes):
                    with m.Case(planes | groups << len(self.planes)):
                        self._cut(m, word, vector, parts[: 1 << planes], width)
            for lane in range(params.alu_lanes):
                with m.If(self.count >= lane):
                    m.d.comb += self.value[lane].eq(Cat(part.word_select(lane, bits) for part in parts))
        return m

    def _follow(self, m: Module, place: Signal, inside: Signal, each: int) -> None:
        """Where vectors are that a pixel's first word of `each` vectors has not; looked up, not divided."""
        with m.Switch(self.vector):
            for vector in range(each, self._params.vectors):
                with m.Case(vector):
                    m.d.comb += [place.eq(self.pixel + vector // each), inside.eq(vector % each)]

    def _cut(self, m: Module, word: Value, inside: Value, parts: list[Signal], width: int) -> None:
        """`parts` for planes of `width` lanes; zero where a plane ends."""
        lanes, bits = self._params.alu_lanes, self._params.buffer.act_bits
        with m.Switch(inside):
            for vector in range(min(self._params.vectors, -(-width // lanes))):
                with m.Case(vector):
                    for plane, part in enumerate(parts):
                        first, end = lanes * vector, min(lanes * (vector + 1), width)
                        m.d.comb += part.eq(
                            word[(plane * width + first) * bits : (plane * width + end) * bits]
                        )
