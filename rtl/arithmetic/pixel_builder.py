"""From vectors of activations to pixels of a convolution buffer."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.arithmetic.layouts import MAX_GROUPS, MAX_PLANES
from ohmweave.rtl.arithmetic.sequencer import PIXELS
from ohmweave.rtl.arithmetic.window_select import layouts
from ohmweave.rtl.memory.word_queue import WordQueue

__all__ = ["PixelBuilder"]


class PixelBuilder(Component):
    """Gathers the vectors of a pixel and cuts their elements into planes of act_bits, as `WindowSelect` joins them.

    A pixel takes L = lanes / 2^groups lanes, a plane L / 2^planes of them: lane p·L/2^planes + c holds bits
    act_bits·p and up of channel c. Lanes without a channel are 0.

    It has room for `PIXELS` pixels that wait; whoever writes must not begin another one meanwhile.

    Parameters: params, of the PE.
    Ports: `groups`, `planes`, constant; `write`: `value` is vector `vector` of the pixel, its first (`head`), its last
    (`tail`), `count` + 1 of its lanes hold channels; `pixel`.
    Latency: a pixel is valid in the cycle after its last vector, if those before have left. Throughput: a vector
    a cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        buffer = params.buffer
        super().__init__(
            {
                "groups": In(range(MAX_GROUPS + 1)),
                "planes": In(range(MAX_PLANES + 1)),
                "write": In(1),
                "head": In(1),
                "tail": In(1),
                "vector": In(range(params.vectors)),
                "count": In(range(params.alu_lanes)),
                "value": In(VectorLayout(params)),
                "pixel": Out(stream.Signature(buffer.lanes * buffer.act_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, bits = self._params.buffer.lanes, self._params.buffer.act_bits
        built = Signal(self.pixel.payload.shape())
        placed = Signal.like(built)
        joined = Signal.like(built)
        parts = [Signal(len(self.value) * bits, name=f"plane_{plane}") for plane in range(1 << MAX_PLANES)]
        m.submodules.queue = queue = WordQueue(shape=len(built), depth=PIXELS)
        m.d.comb += [queue.i.valid.eq(self.write & self.tail), queue.i.payload.eq(joined)]
        connect(m, queue.o, flipped(self.pixel))
        with m.If(self.write):
            # Each plane of the vector, then plain slices: no long expressions for compilers of the netlist.
            for lane in range(len(self.value)):
                with m.If(self.count >= lane):
                    element = Signal(bits << MAX_PLANES, name=f"element_{lane}")
                    m.d.comb += element.eq(self.value[lane])
                    for plane, part in enumerate(parts):
                        m.d.comb += part.word_select(lane, bits).eq(element.word_select(plane, bits))
            with m.Switch(Cat(self.planes, self.groups)):
                for groups, planes, width in layouts(lanes):
                    with m.Case(planes | groups << len(self.planes)):
                        self._place(m, placed, parts[: 1 << planes], width)
            m.d.comb += joined.eq(placed)
            with m.If(~self.head):
                m.d.comb += joined.eq(built | placed)
            m.d.sync += built.eq(joined)
        return m

    def _place(self, m: Module, placed: Value, parts: list[Signal], width: int) -> None:
        """`placed`: the vector in its lanes of the pixel, for planes of `width` lanes; what goes beyond is lost."""
        lanes, bits = self._params.alu_lanes, self._params.buffer.act_bits
        with m.Switch(self.vector):
            for vector in range(min(self._params.vectors, -(-width // lanes))):
                with m.Case(vector):
                    for plane, part in enumerate(parts):
                        first, end = lanes * vector, min(lanes * (vector + 1), width)
                        place = placed[(plane * width + first) * bits : (plane * width + end) * bits]
                        m.d.comb += place.eq(part)
