"""Pixels that were computed side by side, one after the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams

__all__ = ["MAX_MERGED", "Splitter", "SplitterConfig", "splitter_config"]

#: Pixels that a word can hold.
MAX_MERGED = 4


class SplitterConfig(data.StructLayout):
    """Configuration of the splitter; all zero lets everything through.

    last      pixels of a word, minus one
    channels  lanes from one pixel to the next
    """

    def __init__(self, params: BufferParams):
        super().__init__({"last": range(MAX_MERGED), "channels": range(params.lanes)})


def splitter_config(params: BufferParams, pixels: int, channels: int) -> dict[str, int]:
    """Settings for words of so many pixels of so many channels; `OhmweaveError` for what cannot be."""
    whole("The pixels of a word", pixels, 1, MAX_MERGED)
    whole("The channels of a pixel", channels, 1, params.lanes - 1)
    if pixels * channels > params.lanes:
        raise OhmweaveError(
            f"{pixels} pixels of {channels} channels do not fit a word of {params.lanes} lanes"
        )
    return {"last": pixels - 1, "channels": channels}


class Splitter(Component):
    """Takes words apart that hold several pixels of few channels, for merged windows (Re-ReRAM, figure 12).

    The lanes of pixel p begin at lane p·`channels`. Each leaves as a word of its own, moved down to lane 0; what
    stands above it there is not cleared, and whoever reads the word looks at its channels alone.

    Parameters: params, of the convolution buffer that follows.
    Ports: `config`, constant while words come; `i`, `o`: streams of lanes × act_bits.
    Latency: 0. Throughput: a pixel a cycle; a word is taken with its last pixel.
    Errors: `splitter_config` refuses more pixels than `MAX_MERGED`, or than a word has room for.
    """

    def __init__(self, *, params: BufferParams):
        if not isinstance(params, BufferParams):
            raise TypeError(f"params must be BufferParams, not {params!r}")
        self._params = params
        word = stream.Signature(params.lanes * params.act_bits)
        super().__init__({"config": In(SplitterConfig(params)), "i": In(word), "o": Out(word)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pixel = Signal(range(MAX_MERGED))
        offset = Signal(range(self._params.lanes))
        last = Signal()
        m.d.comb += [
            last.eq(pixel == self.config.last),
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & last),
        ]
        # Shifts only where there is something to shift: idle, they cost a simulation nothing.
        with m.If(offset.any()):
            m.d.comb += self.o.payload.eq(self.i.payload >> (offset * self._params.act_bits))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [pixel.eq(pixel + 1), offset.eq(offset + self.config.channels)]
            with m.If(last):
                m.d.sync += [pixel.eq(0), offset.eq(0)]
        return m
