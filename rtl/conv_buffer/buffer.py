"""Convolution buffer: pixels in, windows out."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter
from amaranth.lib import memory, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams

from .geometry import UNITS, ConvConfig
from .reader import ColumnReader
from .window import WindowRegister
from .writer import LineWriter

__all__ = ["ConvBuffer"]


class ConvBuffer(Component):
    def __init__(self, *, params: BufferParams):
        if not isinstance(params, BufferParams):
            raise TypeError(f"params must be BufferParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "config": In(ConvConfig(params)),
                "clear": In(1),
                "pixel": In(stream.Signature(params.lanes * params.act_bits)),
                "window": Out(stream.Signature(params.window_lanes * params.act_bits)),
            }
        )

    @property
    def params(self) -> BufferParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params = self._params
        writer = LineWriter(params=params)
        reader = ColumnReader(params=params)
        window = WindowRegister(params=params)
        for name, part in (("writer", writer), ("reader", reader), ("window_register", window)):
            m.submodules[name] = ResetInserter(self.clear)(part)
            m.d.comb += part.config.eq(self.config)

        word = params.lanes * params.act_bits
        for bank in range(params.banks):
            # Two words at least: an address of no bits is not Verilog.
            lines = memory.Memory(shape=word, depth=max(2, params.width), init=[])
            m.submodules[f"bank_{bank}"] = lines
            write = lines.write_port(granularity=word // UNITS)
            read = lines.read_port()
            enable = writer.enable.word_select(bank, UNITS)
            m.d.comb += [
                write.addr.eq(Mux(enable.any(), writer.column, -1)),
                write.data.eq(writer.data),
                write.en.eq(enable),
                read.addr.eq(reader.address),
                read.en.eq(reader.read),
                window.words[bank].eq(read.data),
            ]
        m.d.comb += [
            writer.pixel.payload.eq(self.pixel.payload),
            writer.pixel.valid.eq(self.pixel.valid & ~self.clear),
            self.pixel.ready.eq(writer.pixel.ready & ~self.clear),
            writer.limit.eq(reader.limit),
            writer.next_frame.eq(reader.next_frame),
            reader.row.eq(writer.row),
            reader.column.eq(writer.column),
            window.word.payload.eq(reader.word.payload),
            window.word.valid.eq(reader.word.valid),
            reader.word.ready.eq(window.word.ready),
            self.window.payload.eq(window.window.payload),
            self.window.valid.eq(window.window.valid),
            window.window.ready.eq(self.window.ready),
        ]
        return m
