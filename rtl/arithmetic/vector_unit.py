"""ALU and SFU lanes behind one stream of requests and one of results."""

from math import gcd

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.alu import AluLane
from ohmweave.rtl.arithmetic.divider import Divider
from ohmweave.rtl.arithmetic.formats import CYCLES, VectorLayout
from ohmweave.rtl.arithmetic.lane_group import GROUP_LANES, Lane, LaneGroup
from ohmweave.rtl.arithmetic.sfu import SfuLane
from ohmweave.rtl.isa import AluOp, Format
from ohmweave.rtl.netlist import instantiate

__all__ = ["RequestLayout", "VectorUnit"]


class RequestLayout(data.StructLayout):
    """One operation on all lanes.

    a     first operands, signed
    b     second operands: signed numbers, or scales (`ScaleLayout`) for MUL; RELU and ISQRT ignore them
    op    operation
    size  format of the result
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "a": VectorLayout(params),
                "b": data.ArrayLayout(params.lane_bits, params.alu_lanes),
                "op": AluOp,
                "size": Format,
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
    Ports: `request`, `result`; `clear`, drop what is under way and what waits, as a reset does.
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
                "clear": In(1),
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
        long = [slow for slow, cycles in CYCLES.items() if cycles > 1]
        starts = Signal()
        m.d.comb += [
            request.ready.eq(idle & (~result.valid | result.ready)),
            taken.eq(request.valid & request.ready),
            starts.eq(Cat(request.p.op == slow for slow in long).any()),
            finish.eq(Mux(idle, taken & ~starts, left == 1)),
            op.eq(Mux(idle, request.p.op, held.op)),
            size.eq(Mux(idle, request.p.size, held.size)),
        ]
        with m.If(~idle):
            m.d.sync += left.eq(left - 1)
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

        # What the lanes hold besides `result` is set anew by each operation, so they need not be cleared.
        with m.If(self.clear):
            m.d.sync += [left.eq(0), result.valid.eq(0)]

        divide, divider_first, root_start, root_step, root_finish = (Signal() for _ in range(5))
        m.d.comb += [
            divide.eq((taken | ~idle) & (op == AluOp.DIV)),
            divider_first.eq(divide & idle),
            root_start.eq(taken & (op == AluOp.ISQRT)),
            root_step.eq(~idle & ~finish & (op == AluOp.ISQRT)),
            root_finish.eq(finish & (op == AluOp.ISQRT)),
        ]
        # Inputs that do not change while a lane has nothing to do let a simulator leave it alone.
        count = gcd(GROUP_LANES, self._params.alu_lanes)
        for n in range(self._params.alu_lanes // count):
            alu = self._group(m, platform, f"alu_{n}", AluLane, count)
            divider = self._group(m, platform, f"divider_{n}", Divider, count)
            sfu = self._group(m, platform, f"sfu_{n}", SfuLane, count)
            lanes = slice(n * count, (n + 1) * count)
            a, b = Signal.like(alu.a, name=f"a_{n}"), Signal.like(alu.b, name=f"b_{n}")
            with m.If(taken):
                m.d.comb += [a.eq(request.p.a[lanes]), b.eq(request.p.b[lanes])]
            with m.If(divider_first):
                m.d.comb += [divider.a.eq(a), divider.b.eq(b)]
            with m.If(root_start):
                m.d.comb += sfu.a.eq(a)
            m.d.comb += [
                divider.step.eq(divide),
                divider.first.eq(divider_first),
                sfu.start.eq(root_start),
                sfu.step.eq(root_step),
                sfu.finish.eq(root_finish),
                alu.enable.eq(finish),
                alu.op.eq(op),
                alu.size.eq(size),
                alu.a.eq(a),
                alu.b.eq(b),
                alu.quotient.eq(divider.quotient),
                alu.scale.eq(sfu.scale),
                result.p[lanes].eq(alu.result),
            ]
        return m

    def _group(self, m: Module, platform: object, name: str, lane: type[Lane], count: int) -> LaneGroup:
        """A group of lanes, the same module for each group."""

        def make() -> LaneGroup:
            return LaneGroup(lane=lambda: lane(params=self._params), common=lane.common, count=count)

        return instantiate(m, platform, name, lane.module, make)
