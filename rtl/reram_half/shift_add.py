"""Results of a block from the sums of its reads."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.reram_half.layouts import BlockLayout, PartialLayout
from ohmweave.rtl.reram_half.signs import sign_scheme

__all__ = ["ShiftAdd"]


class ShiftAdd(Component):
    """Adds the sums of a block's slices, signs and planes up, each shifted to its place (Re-ReRAM, section IV).

    Result of a column, for slices j of S and planes p of P, with sums S and the reference column's sum R:

    - `offset`: Σ_jp S_jp · 2^(cell_bits·j + dac_bits·p) - 2^(S·cell_bits - 1) · Σ_p R_p · 2^(dac_bits·p)
    - `pairs`: Σ_jp (S⁺_jp - S⁻_jp) · 2^(cell_bits·j + dac_bits·p)

    Lanes count modulo 2^lane_bits, so that a result that fits into lane_bits, signed, is right, whatever came before
    it.

    Parameters
    ----------
    params : PEParams

    Ports
    -----
    i : In(stream(PartialLayout(array)))
        Sums of one read. `first` starts a block, `last` ends it. `ready` comes from `o.ready` and a register.
    o : Out(stream(BlockLayout(params)))
        Results of one block, registered; `src`, and `end` of its last read.

    Timing
    ------
    Latency: last sums of a block taken in cycle c → block in cycle c + 1.
    Throughput: sums of one read a cycle, if each block is taken at once.

    Raises `TypeError` when `params` is not a PEParams.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "i": In(stream.Signature(PartialLayout(params.array))),
                "o": Out(stream.Signature(BlockLayout(params))),
            }
        )

    @property
    def params(self) -> PEParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        array, lane_bits = self._params.array, self._params.lane_bits
        scheme = sign_scheme(array)
        read = self.i.p.read
        valid = Signal()
        end = Signal()
        src = Signal()
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(~valid | self.o.ready),
            taken.eq(self.i.valid & self.i.ready),
            self.o.valid.eq(valid),
            self.o.p.end.eq(end),
            self.o.p.src.eq(src),
        ]
        with m.If(self.o.ready):
            m.d.sync += valid.eq(0)

        totals = [Signal(signed(lane_bits), name=f"total_{n}") for n in range(array.columns_at_once)]
        values = [
            scheme.term(
                total, reference=self.i.p.reference, top=read.top, sign=read.sign, cell_bits=array.cell_bits
            )
            for total in self.i.p.sums
        ]
        terms = [Signal(value.shape(), name=f"term_{n}") for n, value in enumerate(values)]
        shifted = [Signal(signed(lane_bits), name=f"shifted_{n}") for n in range(len(totals))]
        m.d.comb += [result.eq(total) for result, total in zip(self.o.p.values, totals, strict=True)]
        # Everything under `taken`: the simulators evaluate nothing of it in the other cycles.
        with m.If(taken):
            m.d.comb += [term.eq(value) for term, value in zip(terms, values, strict=True)]
            with m.Switch(Cat(read.plane, read.slice)):
                for shift, places in self._shifts().items():
                    with m.Case(*places):
                        m.d.comb += [s.eq(term << shift) for s, term in zip(shifted, terms, strict=True)]
            m.d.sync += [valid.eq(read.last), end.eq(read.end), src.eq(read.src)]
            with m.If(read.first):
                m.d.sync += [total.eq(s) for total, s in zip(totals, shifted, strict=True)]
            with m.Else():
                m.d.sync += [total.eq(total + s) for total, s in zip(totals, shifted, strict=True)]
        return m

    def _shifts(self) -> dict[int, list[int]]:
        """Each shift, and where it is needed: plane + 4 · slice."""
        array = self._params.array
        places: dict[int, list[int]] = {}
        for slice_ in range(4):
            for plane in range(4):
                shift = array.cell_bits * slice_ + array.dac_bits * plane
                places.setdefault(shift, []).append(plane + 4 * slice_)
        return places
