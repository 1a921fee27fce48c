"""Wide registers whose enable reaches all bits in time."""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole

__all__ = ["Held"]

#: Bits of a part: the enable's tree of buffers has a level for the parts and few within each.
PART = 128


class Held(Component):
    """A register of `width` bits that takes `d` with `take`; in parts that are modules of their own.

    A synthesis module by module gives each part its own buffers for the enable, which so has a tree rather than one
    long chain, and keeps what makes `d` apart from it. Nothing resets it: whoever reads it knows when it was written.

    Parameters: width, in bits; `TypeError` if it is no number from 1 on. Ports: `take`, `d`, `q`. Latency: 1 cycle.
    """

    def __init__(self, width: int):
        whole("Held width", width, 1, 1 << 20, error=TypeError)
        self._width = width
        super().__init__({"take": In(1), "d": In(width), "q": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for at in range(0, self._width, PART):
            size = min(PART, self._width - at)
            part = Module()
            # Signals of the part's own, so that all parts of a size are the same module.
            take, d, q = Signal(), Signal(size), Signal(size, reset_less=True)
            with part.If(take):
                part.d.sync += q.eq(d)
            m.submodules[f"part_{at // PART}"] = part
            m.d.comb += [take.eq(self.take), d.eq(self.d[at : at + size]), self.q[at : at + size].eq(q)]
        return m
