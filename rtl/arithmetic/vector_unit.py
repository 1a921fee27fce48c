"""ALU and SFU lanes behind one stream of requests and one of results."""

from itertools import pairwise
from math import gcd

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.alu import AluLane
from ohmweave.rtl.arithmetic.divider import Divider
from ohmweave.rtl.arithmetic.formats import (
    CYCLES,
    NORMALISING,
    QUOTIENT_BITS,
    ROOT_BITS,
    STAGES,
    VectorLayout,
)
from ohmweave.rtl.arithmetic.lane_group import GROUP_LANES, Lane, LaneGroup
from ohmweave.rtl.arithmetic.sfu import SfuLane
from ohmweave.rtl.isa import AluOp, Format
from ohmweave.rtl.netlist import instantiate

__all__ = ["RequestLayout", "ResultLayout", "StageLayout", "VectorUnit"]


class RequestLayout(data.StructLayout):
    """One operation on all lanes.

    a     first operands, signed
    b     second operands: signed numbers, or scales (`ScaleLayout`) for MUL; RELU and ISQRT ignore them
    forward_a, forward_b  FORWARD is the operand instead
    result_a, result_b  or else what is in the last stage gives it
    op    operation
    size  format of the result
    keep  the result is FORWARD for the operations behind it
    tag   what goes along with it
    """

    def __init__(self, params: PEParams, tag: ShapeLike):
        super().__init__(
            {
                "a": VectorLayout(params),
                "b": VectorLayout(params),
                "forward_a": 1,
                "forward_b": 1,
                "result_a": 1,
                "result_b": 1,
                "op": AluOp,
                "size": Format,
                "keep": 1,
                "tag": tag,
            }
        )


class ResultLayout(data.StructLayout):
    """Values of all lanes, and the request's tag."""

    def __init__(self, params: PEParams, tag: ShapeLike):
        super().__init__({"values": VectorLayout(params), "tag": tag})


class StageLayout(data.StructLayout):
    """What is in a stage.

    late  its result leaves the last stage only
    """

    def __init__(self, tag: ShapeLike):
        super().__init__({"valid": 1, "late": 1, "keep": 1, "size": Format, "tag": tag})


class VectorUnit(Component):
    """Executes operations on `alu_lanes` lanes at once.

    Re-ReRAM, section IV.B: 32 ALU lanes, 32 SFU lanes. For each lane, v being

        ADD   a + b                  MUL    round_shift(a·mult, shift), b being a scale
        SUB   a - b                  DIV    clip(⌊a/b + 1/2⌋, -2^24, 2^24)
        MAX   max(a, b)              ISQRT  the scale nearest to 1/√max(a, 1)
        MIN   min(a, b)              RELU   max(a, 0)

    the result is v clipped to the signed range of a lane and then, unless `size` is WIDE, to the unsigned range of
    4, 8 or 16 bits. round_shift(x, s) is ⌊x/2^s + 1/2⌋ for every s from -16 to 47. An operation that is none gives
    0. `docs/number-formats.md` has the formats. FORWARD is the result of the last operation before that was to be
    kept, 0 at first and anything after `clear`.

    Parameters: params, of the PE: alu_lanes and lane_bits; tag, shape of what goes along with each operation.

    Ports: `request`, whose `ready` depends on neither its `valid` nor its payload; `result`; `stages`, what is in each;
    `late`, an operation that MUL or a `size` other than WIDE keeps from giving FORWARD earlier is still to give it from
    the last stage: no request must name FORWARD; `clear`, drop what is under way and what waits, as a reset does.
    Latency: n + 3 cycles from taking a request to its result, n = 29 for DIV, 26 for ISQRT, 1 for all others; while a
    result waits, all behind it waits.
    Throughput: a request every n cycles. A request that is to give FORWARD late is in the last stage, and `late` low,
    n + 2 cycles after it was taken.

    Raises TypeError if `params` is not a `PEParams`.
    """

    def __init__(self, *, params: PEParams, tag: ShapeLike = 1):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        self._stage = StageLayout(tag)
        super().__init__(
            {
                "clear": In(1),
                "request": In(stream.Signature(RequestLayout(params, tag))),
                "result": Out(stream.Signature(ResultLayout(params, tag))),
                "late": Out(1),
                "stages": Out(data.ArrayLayout(self._stage, STAGES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, result = self.request, self.result
        stages = [Signal(self._stage, name=f"stage_{n + 1}") for n in range(STAGES)]
        first, last = stages[0], stages[-1]
        op = Signal(AluOp)
        # Cycles in the first stage behind this one.
        left = Signal(range(max(CYCLES.values())))
        moves, ends, taken = Signal(), Signal(), Signal()
        done = Signal(STAGES)
        m.d.comb += [
            moves.eq(~result.valid | result.ready),
            ends.eq(moves & (left == 0)),
            done.eq(Cat(ends & first.valid, (moves & stage.valid for stage in stages[1:]))),
            self.late.eq(Cat(stage.valid & stage.late & stage.keep for stage in stages[:-1]).any()),
            request.ready.eq(moves & (~first.valid | (left == 0))),
            taken.eq(request.valid & request.ready),
            *(mine.eq(stage) for mine, stage in zip(self.stages, stages, strict=True)),
        ]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(moves):
            m.d.sync += [result.valid.eq(last.valid), result.p.tag.eq(last.tag)]
            for before, stage in pairwise(stages):
                m.d.sync += stage.eq(before)
            m.d.sync += stages[1].valid.eq(done[0])
            # FORWARD is to be what the request gives, not what comes later from before it.
            with m.If(taken & request.p.keep):
                m.d.sync += [stage.keep.eq(0) for stage in stages[1:]]
        with m.If(ends):
            m.d.sync += first.valid.eq(0)
        with m.If(taken):
            m.d.sync += [
                first.valid.eq(1),
                first.late.eq((request.p.op == AluOp.MUL) | (request.p.size != Format.WIDE)),
                first.keep.eq(request.p.keep),
                first.size.eq(request.p.size),
                first.tag.eq(request.p.tag),
                op.eq(request.p.op),
            ]
            with m.Switch(request.p.op):
                for slow, cycles in CYCLES.items():
                    with m.Case(slow):
                        m.d.sync += left.eq(cycles - 1)
                with m.Default():
                    m.d.sync += left.eq(0)

        # What the lanes hold is set anew by each operation, so they need not be cleared.
        with m.If(self.clear):
            m.d.sync += [left.eq(0), result.valid.eq(0), *(stage.valid.eq(0) for stage in stages)]

        keep_first, keep_last = Signal(), Signal()
        m.d.comb += [
            keep_first.eq(done[0] & first.keep & ~first.late),
            keep_last.eq(done[-1] & last.keep & last.late),
        ]
        divides, roots = self._phases(m, taken)
        count = gcd(GROUP_LANES, self._params.alu_lanes)
        for n in range(self._params.alu_lanes // count):
            alu = self._group(m, platform, f"alu_{n}", AluLane, count)
            divider = self._group(m, platform, f"divider_{n}", Divider, count)
            sfu = self._group(m, platform, f"sfu_{n}", SfuLane, count)
            lanes = slice(n * count, (n + 1) * count)
            # Inputs that do not change while a lane has nothing to do let a simulator leave it alone.
            with m.If(taken):
                m.d.comb += [
                    alu.a.eq(request.p.a[lanes]),
                    alu.b.eq(request.p.b[lanes]),
                    alu.forward_a.eq(request.p.forward_a),
                    alu.forward_b.eq(request.p.forward_b),
                    alu.result_a.eq(request.p.result_a),
                    alu.result_b.eq(request.p.result_b),
                ]
            m.d.comb += [getattr(divider, name).eq(divides[name]) for name in divides.shape().members]
            m.d.comb += [getattr(sfu, name).eq(roots[name]) for name in roots.shape().members]
            with m.If(divides.first):
                m.d.comb += [divider.a.eq(alu.x), divider.b.eq(alu.y)]
            with m.If(roots.first):
                m.d.comb += sfu.a.eq(alu.x)
            m.d.comb += [
                alu.take.eq(taken),
                alu.op.eq(op),
                alu.quotient.eq(divider.quotient),
                alu.scale.eq(sfu.scale),
                alu.done.eq(done),
                alu.keep_first.eq(keep_first),
                alu.keep_last.eq(keep_last),
                alu.size.eq(stages[1].size),
                result.p.values[lanes].eq(alu.result),
            ]
        return m

    def _phases(self, m: Module, taken: Signal) -> tuple[Signal, Signal]:
        """What dividers and SFU lanes do in this cycle: registers, since there are thousands of bits behind each."""
        op = self.request.p.op
        divides = Signal(data.StructLayout({"first": 1, "measure": 1, "check": 1, "step": 1, "round": 1}))
        roots = Signal(
            data.StructLayout(
                {"first": 1, "normalise": 1, "level": range(NORMALISING), "prepare": 1, "step": 1}
            )
        )
        bits = Signal(range(max(QUOTIENT_BITS, ROOT_BITS)))  # still to be found
        m.d.sync += [
            divides.first.eq(taken & (op == AluOp.DIV)),
            divides.measure.eq(divides.first),
            divides.check.eq(divides.measure),
            divides.round.eq(divides.step & (bits == 0)),
            roots.first.eq(taken & (op == AluOp.ISQRT)),
            roots.prepare.eq(roots.normalise & (roots.level == 0)),
        ]
        with m.If(roots.first):
            m.d.sync += [roots.normalise.eq(1), roots.level.eq(NORMALISING - 1)]
        with m.Elif(roots.level == 0):
            m.d.sync += roots.normalise.eq(0)
        with m.Else():
            m.d.sync += roots.level.eq(roots.level - 1)
        with m.If(divides.check):
            m.d.sync += [divides.step.eq(1), bits.eq(QUOTIENT_BITS - 1)]
        with m.Elif(roots.prepare):
            m.d.sync += [roots.step.eq(1), bits.eq(ROOT_BITS - 1)]
        with m.Elif(bits == 0):
            m.d.sync += [divides.step.eq(0), roots.step.eq(0)]
        with m.Else():
            m.d.sync += bits.eq(bits - 1)
        with m.If(self.clear):
            m.d.sync += [divides.eq(0), roots.eq(0), bits.eq(0)]
        return divides, roots

    def _group(self, m: Module, platform: object, name: str, lane: type[Lane], count: int) -> LaneGroup:
        """A group of lanes, the same module for each group."""

        def make() -> LaneGroup:
            return LaneGroup(lane=lambda: lane(params=self._params), common=lane.common, count=count)

        return instantiate(m, platform, name, lane.module, make)
