"""The arithmetic half of a PE: programs on vectors of results."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.constants import CONSTANTS, VectorConstants
from ohmweave.rtl.arithmetic.controller import Controller, one_of
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.arithmetic.layouts import ArithmeticConfig, IssueLayout
from ohmweave.rtl.arithmetic.pixel_builder import PixelBuilder
from ohmweave.rtl.arithmetic.registers import REGISTERS, VectorRegisters
from ohmweave.rtl.arithmetic.vector_unit import VectorUnit
from ohmweave.rtl.arithmetic.window_select import WindowSelect
from ohmweave.rtl.elements import OutputLayout
from ohmweave.rtl.fault import ErrorLayout
from ohmweave.rtl.flit import ConfigWrite
from ohmweave.rtl.held import Held
from ohmweave.rtl.instruction_table import InstructionTable
from ohmweave.rtl.isa import CONSTANT_OPERANDS, REGISTER_OPERANDS, Destination, Operand
from ohmweave.rtl.netlist import instantiate

__all__ = ["ArithmeticHalf"]

#: What goes through the lanes with an instruction: where its result goes.
FLIGHT = ("des", "vector", "row", "head", "tail", "count", "out")


class ArithmeticHalf(Component):
    """Executes A-type instructions on vectors of `alu_lanes` channels (Re-ReRAM, section IV and V).

    Two programs stand in its table: `post` runs for every vector of results of the ReRAM half, `pool` for every
    vector of every window of a convolution buffer, to which `post` may send its pixels; or `pool` runs for the results
    of a second layer (`second`), whose windows are what `post` made. The controller
    (`Controller`: what an instruction means) issues one instruction after the other to the lanes (`VectorUnit`), in
    whose stages several are at a time. An instruction that takes a vector from a stream waits for it, as for what it
    reads and those before it have not given yet; one whose result is not taken holds up all behind it.

    Parameters
    ----------
    params : PEParams

    Ports
    -----
    program, constants : In(stream(ConfigWrite))
        Writes to the instruction table (`InstructionTable`) and to the constants (`VectorConstants`).
    config : In(ArithmeticConfig(params))
        Constant unless `clear` or the reset is high.
    clear : In(1)
        Forgets everything but the instruction table, constants and registers, and stops, from the next cycle on.
    result, side : In(stream(VectorLayout(params)))
        Vectors of results and of partial sums; lanes without a channel hold 0.
    result_src : In(1)
        Number of the buffer whose window the vector at `result` comes from.
    result_more : In(1)
        Another vector waits behind that at `result`, or will in the next cycle.
    window : In(stream(window_lanes × act_bits))
        Windows of a convolution buffer. It may be another one after `busy` was low.
    pixel : Out(stream(lanes × act_bits))
        Pixels for the second buffer.
    out : Out(stream(OutputLayout(params)))
        Vectors for the network.
    busy : Out(1)
        An instruction is under way; a vector that waits does not count.
    needs_side, needs_window : Out(1)
        With no instruction in the lanes, the next one names SIDE, or WINDOW: it waits for as long as none is there.
        Of registers alone.
    error : Out(ErrorLayout(params.arithmetic_program))
        An illegal instruction was met, until `clear`; nothing more is executed.

    Latency and throughput
    ----------------------
    With everything there and every output taken:

    - Instruction i = 0, 1, … of a body takes its operands in cycle c + 3 + i + w, c being the cycle in which the vector
      or window that starts the body is there and the controller free, and w the cycles that it and those before it
      wait or work longer:

      - DIV 28, ISQRT 25, as `VectorUnit` works on them;
      - 2 for FORWARD of MUL, or of a result of another format than WIDE, and for a register that the instruction
        before writes, less the instructions between, if any.

      What is sent shows at `out` 4 cycles later, after DIV or ISQRT 28 or 25 more. After `clear` the controller is free
      2 + p cycles later, having looked at the heads of p programs.
    - A body of n instructions takes n + w cycles; one over a window counts as many as the window has pixels.
    - A body of n cycles whose instruction in cycle r names RESULT takes max(n, r + 4) cycles, and while another vector
      waits behind the one that it takes, two take max(2n, r + 4). Between the bodies of a window no cycle is lost,
      after its last one 2.
    - The body of a pixel's first vector waits until fewer than four pixels are on their way to the buffer. So with
      one vector a pixel and a buffer that takes every pixel, four pixels take no less than n + 8 cycles.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        buffer = params.buffer
        vectors = stream.Signature(VectorLayout(params))
        super().__init__(
            {
                "program": In(stream.Signature(ConfigWrite)),
                "constants": In(stream.Signature(ConfigWrite)),
                "config": In(ArithmeticConfig(params)),
                "clear": In(1),
                "result": In(vectors),
                "result_src": In(1),
                "result_more": In(1),
                "side": In(vectors),
                "window": In(stream.Signature(buffer.window_lanes * buffer.act_bits)),
                "pixel": Out(stream.Signature(buffer.lanes * buffer.act_bits)),
                "out": Out(stream.Signature(OutputLayout(params))),
                "busy": Out(1),
                "needs_side": Out(1),
                "needs_window": Out(1),
                "error": Out(ErrorLayout(params.arithmetic_program)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._params

        def held_in_reset(name: str, component: Any) -> Any:
            m.submodules[name] = ResetInserter(self.clear)(component)
            return component

        m.submodules.table = table = InstructionTable(words=params.arithmetic_program)
        m.submodules.constants = constants = VectorConstants(params=params)
        m.submodules.registers = registers = VectorRegisters(params=params)
        m.submodules.select = select = WindowSelect(params=params)
        controller = held_in_reset("controller", Controller(params=params))
        # A module of its own, asleep in the simulation while no instruction runs.
        shape = IssueLayout(params)
        # `sends`: to the network. All that moves in the lanes hangs on it.
        tag = data.StructLayout({"sends": 1} | {field: shape[field].shape for field in FLIGHT})
        unit = instantiate(m, platform, "unit", "vector_unit", lambda: VectorUnit(params=params, tag=tag))
        m.d.comb += unit.clear.eq(self.clear)
        builder = held_in_reset("builder", PixelBuilder(params=params))
        connect(m, flipped(self.program), table.config)
        connect(m, flipped(self.constants), constants.config)
        connect(m, builder.pixel, flipped(self.pixel))
        load, issue = controller.load, controller.issue
        m.d.comb += [
            controller.config.eq(self.config),
            self.error.eq(controller.error),
            table.read.eq(controller.fetch),
            table.address.eq(controller.index),
            controller.word.eq(table.word),
            controller.result.eq(self.result.valid),
            controller.result_src.eq(self.result_src),
            controller.result_more.eq(self.result_more),
            controller.window.eq(self.window.valid),
            self.window.ready.eq(controller.take_window),
            builder.groups.eq(self.config.groups),
            builder.planes.eq(self.config.planes),
            controller.pixel_taken.eq(self.pixel.valid & self.pixel.ready),
        ]

        # What the next instruction reads, while the present one is executed.
        m.d.comb += [
            registers.load.eq(controller.load_valid),
            registers.a_load.eq(one_of(load.src, REGISTER_OPERANDS)),
            registers.b_load.eq(one_of(load["with"], REGISTER_OPERANDS)),
            registers.a_row.eq(load.row * REGISTERS + load.src[:2]),
            registers.b_row.eq(load.row * REGISTERS + load["with"][:2]),
            registers.active.eq(issue.valid),
        ]
        constant_a, constant_b = (one_of(load[name], CONSTANT_OPERANDS) for name in ("src", "with"))
        m.d.comb += [
            constants.load.eq(controller.load_valid & (constant_a | constant_b)),
            constants.load_row.eq(load.row * CONSTANTS + Mux(constant_a, load.src[:2], load["with"][:2])),
            constants.active.eq(issue.valid & (_names(issue.p, *CONSTANT_OPERANDS))),
            constants.count.eq(issue.p.count),
        ]
        m.submodules.windowed = windowed = Held(select.value.shape().size)
        m.d.comb += [
            select.groups.eq(self.config.groups),
            select.planes.eq(self.config.planes),
            # Not `load_valid`, which comes late in the cycle.
            select.enable.eq(controller.wants_window),
            select.window.eq(self.window.payload),
            select.pixel.eq(load.pixel),
            select.vector.eq(load.vector),
            select.count.eq(load.count),
        ]
        m.d.comb += [
            windowed.take.eq(controller.load_valid & _names(load, Operand.WINDOW)),
            windowed.d.eq(select.value),
        ]

        # Where what the lanes find goes.
        flight = unit.result.p.tag
        values = unit.result.p.values
        sends, lands, empty = Signal(), Signal(), Signal()
        m.d.comb += [
            sends.eq(flight.sends),
            unit.result.ready.eq(~sends | self.out.ready),
            lands.eq(~unit.result.valid | unit.result.ready),
            empty.eq(~unit.result.valid & ~Cat(stage.valid for stage in unit.stages).any()),
            self.busy.eq(controller.busy | ~empty),
        ]

        # An instruction goes to the lanes when its vectors are there, and written what it reads.
        named_result = _names(issue.p, Operand.RESULT)
        named_side = _names(issue.p, Operand.SIDE)
        there, go = Signal(), Signal()
        *before, last = unit.stages
        m.d.comb += [
            there.eq(
                # What is in the last stage gives its result to an operation that is taken.
                ~Cat(self._writes(stage, issue.p, src) for stage in before for src in ("src", "with")).any()
                & ~(unit.late & ~issue.p.zero_forward & _names(issue.p, Operand.FORWARD))
            ),
            go.eq(there & (~named_result | self.result.valid) & (~named_side | self.side.valid)),
            unit.request.valid.eq(issue.valid & go),
            issue.ready.eq(unit.request.valid & unit.request.ready),
            controller.result_taken.eq(issue.ready & issue.p.final & named_result),
            self.result.ready.eq(controller.result_taken | controller.take_result),
            self.side.ready.eq(issue.ready & issue.p.final & named_side),
            self.needs_side.eq(empty & issue.valid & named_side),
            self.needs_window.eq(empty & ~issue.valid & controller.wants_window),
        ]
        request = unit.request.p
        with m.If(issue.valid):
            m.d.comb += [
                request.op.eq(issue.p.op),
                request.size.eq(issue.p.size),
                request.keep.eq(issue.p.forward),
            ]
            m.d.comb += request.tag.sends.eq(issue.p.des == Destination.NETWORK)
            m.d.comb += [request.tag[field].eq(issue.p[field]) for field in FLIGHT]
            for operand, value, forward, result, register in (
                ("src", request.a, request.forward_a, request.result_a, registers.a),
                ("with", request.b, request.forward_b, request.result_b, registers.b),
            ):
                with m.Switch(issue.p[operand]):
                    with m.Case(Operand.FORWARD):
                        m.d.comb += forward.eq(~issue.p.zero_forward)
                    with m.Case(Operand.RESULT):
                        m.d.comb += value.as_value().eq(self.result.payload.as_value())
                    with m.Case(Operand.SIDE):
                        m.d.comb += value.as_value().eq(self.side.payload.as_value())
                    with m.Case(Operand.WINDOW):
                        m.d.comb += value.as_value().eq(windowed.q)
                    with m.Case(*REGISTER_OPERANDS), m.If(~issue.p.zero_registers):
                        m.d.comb += [
                            value.as_value().eq(register.as_value()),
                            result.eq(self._writes(last, issue.p, operand)),
                        ]
                    with m.Case(*CONSTANT_OPERANDS):
                        m.d.comb += value.as_value().eq(constants.value.as_value())

        # Results to a register, to the buffer, to the network.
        m.d.comb += [
            registers.row.eq(last.tag.row * REGISTERS + last.tag.des[:2]),
            registers.write.eq(last.valid & one_of(last.tag.des, REGISTER_OPERANDS) & lands),
            registers.data.eq(values),
            builder.write.eq(unit.result.valid & (flight.des == Destination.BUFFER)),
            builder.head.eq(flight.head),
            builder.tail.eq(flight.tail),
            builder.vector.eq(flight.vector),
            builder.count.eq(flight.count),
            builder.value.eq(values),
            self.out.valid.eq(unit.result.valid & sends),
            self.out.p.values.eq(values),
            self.out.p.size.eq(flight.out.size),
            self.out.p.fuse.eq(flight.out.fuse),
            self.out.p.count.eq(flight.out.count),
            self.out.p.last.eq(flight.out.last),
        ]
        return m

    def _writes(self, stage: data.View, instruction: data.View, operand: str) -> Value:
        """Whether what is in a stage is still to write the register that is an operand of the instruction."""
        des, register = stage.tag.des, instruction[operand]
        writes, reads = one_of(des, REGISTER_OPERANDS), one_of(register, REGISTER_OPERANDS)
        same = (des[:2] == register[:2]) & (stage.tag.row == instruction.row)
        return stage.valid & writes & reads & same


def _names(instruction: data.View, *operands: Operand) -> Value:
    return one_of(instruction.src, operands) | one_of(instruction["with"], operands)
