"""The arithmetic half of a PE: programs on vectors of results."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.constants import CONSTANTS, VectorConstants
from ohmweave.rtl.arithmetic.controller import Controller, one_of
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.arithmetic.layouts import ArithmeticConfig
from ohmweave.rtl.arithmetic.pixel_builder import PixelBuilder
from ohmweave.rtl.arithmetic.registers import REGISTERS, VectorRegisters
from ohmweave.rtl.arithmetic.vector_unit import VectorUnit
from ohmweave.rtl.arithmetic.window_select import WindowSelect
from ohmweave.rtl.elements import OutputLayout
from ohmweave.rtl.fault import ErrorLayout
from ohmweave.rtl.flit import ConfigWrite
from ohmweave.rtl.instruction_table import InstructionTable
from ohmweave.rtl.isa import CONSTANT_OPERANDS, REGISTER_OPERANDS, Destination, Operand
from ohmweave.rtl.netlist import instantiate

__all__ = ["ArithmeticHalf"]


class ArithmeticHalf(Component):
    """Executes A-type instructions on vectors of `alu_lanes` channels (Re-ReRAM, section IV and V).

    Two programs stand in its table: `post` runs for every vector of results of the ReRAM half, `pool` for every
    vector of every window of a convolution buffer, to which `post` may send its pixels; or `pool` runs for the results
    of a second layer (`second`), whose windows are what `post` made. The controller
    (`Controller`: what an instruction means) issues one instruction after the other to the lanes (`VectorUnit`);
    the result of one is an operand of the next without a cycle between. An instruction that takes a vector from a
    stream, or sends one, waits for it.

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
        Another vector waits behind that at `result`.
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

    - Instruction i = 0, 1, … of a body takes its operands in cycle c + 2 + i, c being the cycle in which the vector or
      window that starts the body is there and the controller free; what is sent shows at `out` a cycle later. After
      `clear` the controller is free 1 + p cycles later, having looked at the heads of p programs.
    - A body of n instructions takes n cycles; one over a window counts as many as the window has pixels, and DIV and
      ISQRT as many as `VectorUnit` works on them (4, 8).
    - Between bodies of `post` max(0, r + 3 - n) cycles are lost, r being the number of the instruction that names
      RESULT: 2 at most, and none where it is the first of three or more. Between the bodies of a window none are
      lost, after its last one 1.
    - The body of a pixel's first vector waits until fewer than two pixels are on their way to the buffer. So with
      one vector a pixel, RESULT in the first instruction, and a buffer that takes every pixel, two pixels take
      max(2·max(n, 3), n + 4) cycles.
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
        unit = instantiate(m, platform, "unit", "vector_unit", lambda: VectorUnit(params=params))
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
            registers.load.eq(load.valid),
            registers.a_load.eq(one_of(load.src, REGISTER_OPERANDS)),
            registers.b_load.eq(one_of(load["with"], REGISTER_OPERANDS)),
            registers.a_row.eq(load.row * REGISTERS + load.src[:2]),
            registers.b_row.eq(load.row * REGISTERS + load["with"][:2]),
            registers.active.eq(issue.valid),
        ]
        constant_a, constant_b = (one_of(load[name], CONSTANT_OPERANDS) for name in ("src", "with"))
        m.d.comb += [
            constants.load.eq(load.valid & (constant_a | constant_b)),
            constants.load_row.eq(load.row * CONSTANTS + Mux(constant_a, load.src[:2], load["with"][:2])),
            constants.active.eq(issue.valid & (_names(issue.p, *CONSTANT_OPERANDS))),
            constants.count.eq(issue.p.count),
        ]
        windowed = Signal(select.value.shape())
        m.d.comb += [
            select.groups.eq(self.config.groups),
            select.planes.eq(self.config.planes),
            select.enable.eq(load.valid & _names(load, Operand.WINDOW)),
            select.window.eq(self.window.payload),
            select.pixel.eq(load.pixel),
            select.vector.eq(load.vector),
            select.count.eq(load.count),
        ]
        with m.If(select.enable):
            m.d.sync += windowed.eq(select.value)

        # One instruction is in the lanes; where its result goes.
        flight = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "des": Destination,
                    "forward": 1,
                    "vector": range(params.vectors),
                    "row": range(params.vectors),
                    "head": 1,
                    "tail": 1,
                    "count": range(params.alu_lanes),
                    "out": issue.p.out.shape(),
                }
            )
        )
        lands = Signal()
        sends = Signal()
        m.d.comb += [
            sends.eq(flight.des == Destination.NETWORK),
            unit.result.ready.eq(flight.valid & (~sends | self.out.ready)),
            lands.eq(unit.result.valid & unit.result.ready),
            self.busy.eq(controller.busy | flight.valid),
        ]

        # An instruction is executed when its vectors are there and the one before it is done.
        there = Signal()
        named_result = _names(issue.p, Operand.RESULT)
        named_side = _names(issue.p, Operand.SIDE)
        m.d.comb += [
            there.eq((~named_result | self.result.valid) & (~named_side | self.side.valid)),
            unit.request.valid.eq(issue.valid & there & (~flight.valid | lands)),
            issue.ready.eq(unit.request.valid & unit.request.ready),
            controller.result_taken.eq(issue.ready & issue.p.final & named_result),
            self.result.ready.eq(controller.result_taken | controller.take_result),
            self.side.ready.eq(issue.ready & issue.p.final & named_side),
            self.needs_side.eq(~flight.valid & issue.valid & named_side),
            self.needs_window.eq(~flight.valid & ~issue.valid & controller.wants_window),
        ]
        forward = Signal(VectorLayout(params))
        with m.If(issue.valid):
            m.d.comb += [unit.request.p.op.eq(issue.p.op), unit.request.p.size.eq(issue.p.size)]
            for operand, value, register in (
                (issue.p.src, unit.request.p.a, registers.a),
                (issue.p["with"], unit.request.p.b, registers.b),
            ):
                with m.Switch(operand):
                    with m.Case(Operand.FORWARD):
                        with m.If(issue.p.zero_forward):
                            m.d.comb += value.as_value().eq(0)
                        with m.Elif(flight.valid & flight.forward):
                            m.d.comb += value.as_value().eq(unit.result.payload.as_value())
                        with m.Else():
                            m.d.comb += value.as_value().eq(forward.as_value())
                    with m.Case(Operand.RESULT):
                        m.d.comb += value.as_value().eq(self.result.payload.as_value())
                    with m.Case(Operand.SIDE):
                        m.d.comb += value.as_value().eq(self.side.payload.as_value())
                    with m.Case(Operand.WINDOW):
                        m.d.comb += value.as_value().eq(windowed.as_value())
                    with m.Case(*REGISTER_OPERANDS), m.If(~issue.p.zero_registers):
                        m.d.comb += value.as_value().eq(register.as_value())
                    with m.Case(*CONSTANT_OPERANDS):
                        m.d.comb += value.as_value().eq(constants.value.as_value())

        with m.If(lands):
            m.d.sync += flight.valid.eq(0)
            with m.If(flight.forward):
                m.d.sync += forward.eq(unit.result.payload)
        with m.If(issue.ready):
            m.d.sync += flight.valid.eq(1)
            for field in ("des", "forward", "vector", "row", "head", "tail", "count", "out"):
                m.d.sync += flight[field].eq(issue.p[field])

        # Results to a register, to the buffer, to the network.
        m.d.comb += [
            registers.row.eq(flight.row * REGISTERS + flight.des[:2]),
            registers.data.eq(unit.result.payload),
            registers.write.eq(lands & one_of(flight.des, REGISTER_OPERANDS)),
            builder.write.eq(lands & (flight.des == Destination.BUFFER)),
            builder.head.eq(flight.head),
            builder.tail.eq(flight.tail),
            builder.vector.eq(flight.vector),
            builder.count.eq(flight.count),
            builder.value.eq(unit.result.payload),
            self.out.valid.eq(unit.result.valid & flight.valid & sends),
            self.out.p.values.eq(unit.result.payload),
            self.out.p.size.eq(flight.out.size),
            self.out.p.fuse.eq(flight.out.fuse),
            self.out.p.count.eq(flight.out.count),
            self.out.p.last.eq(flight.out.last),
        ]
        with m.If(self.clear):
            m.d.sync += flight.valid.eq(0)
        return m


def _names(instruction: data.View, *operands: Operand) -> Value:
    return one_of(instruction.src, operands) | one_of(instruction["with"], operands)
