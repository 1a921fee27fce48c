"""Which window the array sees, and which of its rows."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams

__all__ = ["PLANES", "RowMask", "plane_shares"]

#: Logarithms to the base 2 of the numbers of planes that inputs may have.
PLANES = (0, 1, 2)
#: And of the pixels that may share the lanes of a word.
SPLITS = (0, 1, 2, 3)


def plane_shares(params: BufferParams, split: int, planes: int) -> int:
    """Lanes of one plane of a pixel, lanes / 2^(split + planes); 0 if that is no whole number."""
    parts = 1 << (split + planes)
    return 0 if params.lanes % parts else params.lanes // parts


class RowMask(Component):
    """Inputs of the array for one read: a window, all rows but those of one plane zero.

    A pixel's L = lanes / 2^split lanes are divided among its planes, lanes p·Lp to p·Lp + Lp - 1 to plane p.
    Each plane of the inputs has rows of its own, with the same weights, so that inputs of more bits than a DAC takes
    are read a plane at a time. With one plane the window passes as it is.

    Ports
    -----
    window_0, window_1 : In(window_lanes·act_bits)
        Windows of the two buffers.
    src, split, planes, plane : In(1), In(2), In(2), In(2)
        Which of them; how its lanes are divided; which plane is read.
    enable : In(1)
        While 0, x is 0: the array looks only in the cycle in which a read starts.
    x : Out(window_lanes·act_bits)
        Zero also where the lanes cannot be divided so (`plane_shares` of 0), and for planes that there are not.

    Latency: 0 (combinational). Raises `TypeError` when `params` is not a BufferParams.
    """

    def __init__(self, *, params: BufferParams):
        if not isinstance(params, BufferParams):
            raise TypeError(f"params must be BufferParams, not {params!r}")
        self._params = params
        width = params.window_lanes * params.act_bits
        super().__init__(
            {
                "window_0": In(width),
                "window_1": In(width),
                "src": In(1),
                "split": In(2),
                "planes": In(2),
                "plane": In(2),
                "enable": In(1),
                "x": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width, lanes = len(self.x), self._params.lanes
        window = Signal(width)
        with m.If(self.enable):
            with m.If(self.src):
                m.d.comb += window.eq(self.window_1)
            with m.Else():
                m.d.comb += window.eq(self.window_0)

        # A mask for one word, the same for every pixel of the window.
        word = Signal(lanes * self._params.act_bits)
        parts = Signal(3)
        m.d.comb += [
            parts.eq(self.split + self.planes),
            self.x.eq(window & word.replicate(-(-width // len(word)))[:width]),
        ]
        with m.If(self.enable), m.Switch(self.planes):
            for planes in PLANES:
                with m.Case(planes):
                    self._mask(m, word, planes, parts)
        return m

    def _mask(self, m: Module, word: Signal, planes: int, parts: Signal) -> None:
        """The lanes of a word that belong to the plane being read."""
        if not planes:
            m.d.comb += word.eq(-1)
            return
        lanes, bits = self._params.lanes, self._params.act_bits
        with m.Switch(parts):
            for split in SPLITS:
                share = plane_shares(self._params, split, planes)
                if not share:
                    continue
                with m.Case(split + planes), m.Switch(self.plane):
                    for plane in range(1 << planes):
                        mine = (n for n in range(lanes) if n // share % (1 << planes) == plane)
                        with m.Case(plane):
                            m.d.comb += word.eq(sum(((1 << bits) - 1) << (bits * n) for n in mine))
