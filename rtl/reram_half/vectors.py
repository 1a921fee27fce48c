"""Vectors of results from blocks of them."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.held import Held
from ohmweave.rtl.reram_half.layouts import BlockLayout

__all__ = ["Vectors"]


class Vectors(Component):
    """Puts vector_blocks blocks of results together, so that the arithmetic half works on all its lanes.

    The n-th block of a window stands in lanes (n mod vector_blocks)·columns_at_once and following of the window's
    vector n div vector_blocks: blocks are counted as they come, so that those that are pruned leave no hole. The
    last vector of a window may have fewer blocks; its other lanes are zero. Two vectors wait here while a third is
    put together, so that the array does not wait for an arithmetic half that takes vectors at its own pace.

    Parameters
    ----------
    params : PEParams

    Ports
    -----
    i : In(stream(BlockLayout(params)))
        Blocks; `end` is the last of a window. `ready` is a register: not while two vectors wait.
    o : Out(stream(VectorLayout(params)))
        Vectors, registered.
    src : Out(1)
        Number of the buffer that the vector at `o` comes from.
    more : Out(1)
        Another vector waits behind that at `o`, or to follow it in the next cycle, or is completed by the block at `i`.

    Timing
    ------
    Latency: the block that completes a vector taken in cycle c → vector in cycle c + 1, or after those that wait.
    Throughput: a block a cycle, a vector every other cycle.

    Raises `TypeError` when `params` is not a PEParams.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "i": In(stream.Signature(BlockLayout(params))),
                "o": Out(stream.Signature(VectorLayout(params))),
                "src": Out(1),
                "more": Out(1),
            }
        )

    @property
    def params(self) -> PEParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params = self._params
        count = params.vector_blocks
        block_bits = params.lane_bits * params.array.columns_at_once

        m.submodules.shown = shown = Held(block_bits * count)
        spare = Signal.like(shown.q)
        made = Signal.like(shown.q)
        # All blocks of a vector but the one that completes it.
        parts = [Signal(block_bits, name=f"part_{n}") for n in range(count - 1)]
        # At least one bit: a vector of one block would switch on nothing.
        position = Signal(range(max(count, 2)))
        valid = Signal()
        # One waits in `spare`. The bits of a vector hang on the one register, all else on the other.
        waiting, free = Signal(), Signal(init=1)
        shown_src = Signal()
        spare_src = Signal()

        taken = Signal()
        last = Signal()  # of its vector
        completes = Signal()
        block = self.i.p.values.as_value()
        m.d.comb += [
            self.i.ready.eq(free),
            taken.eq(self.i.valid & free),
            last.eq(self.i.p.end | (position == count - 1)),
            completes.eq(taken & last),
            self.o.valid.eq(valid),
            self.o.payload.as_value().eq(shown.q),
            self.src.eq(shown_src),
            self.more.eq(~free | (valid & self.i.valid & last)),
        ]
        with m.If(completes), m.Switch(position):
            for n in range(count):
                with m.Case(n):
                    zeros = [Const(0, block_bits)] * (count - 1 - n)
                    m.d.comb += made.eq(Cat(*parts[:n], block, *zeros))
        with m.If(completes):
            m.d.sync += position.eq(0)
        with m.Elif(taken):
            m.d.sync += position.eq(position + 1)
            with m.Switch(position):
                for n, part in enumerate(parts):
                    with m.Case(n):
                        m.d.sync += part.eq(block)

        # None is made while one waits, and none comes in the cycle in which the one shown is taken: that is known late.
        moves = Signal()
        m.d.comb += moves.eq(~valid & (~free | completes))
        with m.If(waiting):
            m.d.comb += shown.d.eq(spare)
        with m.Else():
            m.d.comb += shown.d.eq(made)
        m.d.comb += shown.take.eq(moves)
        with m.If(moves):
            m.d.sync += [
                valid.eq(1), waiting.eq(0), free.eq(1), shown_src.eq(Mux(free, self.i.p.src, spare_src))
            ]  # fmt: skip
        with m.Elif(completes):
            m.d.sync += [spare.eq(made), spare_src.eq(self.i.p.src), waiting.eq(1), free.eq(0)]
        with m.If(valid & self.o.ready):
            m.d.sync += valid.eq(0)
        return m
