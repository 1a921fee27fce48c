"""ALU and SFU lanes behind one stream of requests and one of results."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.alu import AluLane
from ohmweave.rtl.arithmetic.formats import CYCLES, VectorLayout
from ohmweave.rtl.arithmetic.sfu import SfuLane
from ohmweave.rtl.isa import AluOp, Format
from ohmweave.rtl.netlist import instantiate

__all__ = ["RequestLayout", "VectorUnit"]


class RequestLayout(data.StructLayout):
    """One operation on all lanes.

    op    operation
    size  format of the result
    a     first operands, signed
    b     second operands: signed numbers, or scales (`ScaleLayout`) for MUL; RELU and ISQRT ignore them
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "op": AluOp,
                "size": Format,
                "a": VectorLayout(params),
                "b": data.ArrayLayout(params.lane_bits, params.alu_lanes),
            }
        )


class VectorUnit(Component):
    """Executes one operation on `alu_lanes` lanes at once.

    Re-ReRAM, section IV.B: 32 ALU lanes, 32 SFU lanes. For each lane, v being

        ADD   a + b                  MUL    round_shift(a·mult, shift), b being a scale
        SUB   a - b                  DIV    clip(⌊a/b + 1/2⌋, -2^24, 2^24)
        MAX   max(a, b)              ISQRT  the scale nearest to 1/√max(a, 1)
        MIN   min(a, b)              RELU   max(a, 0)

    the result is v clipped to the signed range of a lane and then, unless `size` is WIDE, to the unsigned range of
    4, 8 or 16 bits. round_shift(x, s) is ⌊x/2^s + 1/2⌋ for every s from -16 to 47. An operation that is none gives
    0 in one cycle. `docs/number-formats.md` has the formats.

    Parameters: params, of the PE: alu_lanes and lane_bits.
    Ports: `request`, `result`.
    Latency: n cycles from taking a request to its result, n = 4 for DIV, 8 for ISQRT, 1 for all others.
    Throughput: a request every n cycles. While one is worked on none is taken, nor while a result waits.

    Raises TypeError if `params` is not a `PEParams`.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "request": In(stream.Signature(RequestLayout(params))),
                "result": Out(stream.Signature(VectorLayout(params))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, result = self.request, self.result
        # Cycles that the operation under way still takes.
        left = Signal(range(max(CYCLES.values())))
        held = Signal(data.StructLayout({"op": AluOp, "size": Format}))
        taken, finish = Signal(), Signal()
        op, size = Signal(AluOp), Signal(Format)
        idle = left == 0
        long = [op for op, cycles in CYCLES.items() if cycles > 1]
        m.d.comb += [
            request.ready.eq(idle & (~result.valid | result.ready)),
            taken.eq(request.valid & request.ready),
            op.eq(Mux(idle, request.p.op, held.op)),
            size.eq(Mux(idle, request.p.size, held.size)),
        ]
        with m.If(idle):
            with m.Switch(request.p.op):
                with m.Case(*long):
                    m.d.comb += finish.eq(0)
                with m.Default():
                    m.d.comb += finish.eq(taken)
        with m.Else():
            m.d.sync += left.eq(left - 1)
            m.d.comb += finish.eq(left == 1)
        with m.If(result.ready):
            m.d.sync += result.valid.eq(0)
        with m.If(taken):
            m.d.sync += [held.op.eq(request.p.op), held.size.eq(request.p.size)]
            with m.Switch(request.p.op):
                for slow in long:
                    with m.Case(slow):
                        m.d.sync += left.eq(CYCLES[slow] - 1)
        with m.If(finish):
            m.d.sync += result.valid.eq(1)

        special = op == AluOp.ISQRT
        working = Signal()
        m.d.comb += working.eq(taken | ~idle)
        for lane in range(self._params.alu_lanes):
            alu = instantiate(m, platform, f"alu_{lane}", "alu_lane", lambda: AluLane(params=self._params))
            sfu = instantiate(m, platform, f"sfu_{lane}", "sfu_lane", lambda: SfuLane(params=self._params))
            m.d.comb += [
                alu.enable.eq(working),
                alu.first.eq(idle),
                alu.write.eq(finish),
                alu.op.eq(op),
                alu.size.eq(size),
                alu.a.eq(request.p.a[lane]),
                alu.b.eq(request.p.b[lane]),
                alu.special.eq(sfu.scale),
                result.p[lane].eq(alu.result),
                sfu.start.eq(taken & special),
                sfu.step.eq(~idle & ~finish & special),
                sfu.finish.eq(finish & special),
                sfu.a.eq(request.p.a[lane]),
            ]
        return m
