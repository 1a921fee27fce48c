"""The controller of the ReRAM half: instructions from its table, issued in order."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.decoder import Decoder, InstructionLayout
from ohmweave.rtl.fault import ErrorLayout
from ohmweave.rtl.flit import ConfigWrite
from ohmweave.rtl.instruction_table import InstructionTable
from ohmweave.rtl.isa import Class, ControlOp, Half, Place, ReadOp
from ohmweave.rtl.reram_half.layouts import RECEIVERS, FrameLayout, ReRAMConfig
from ohmweave.rtl.reram_half.row_mask import PLANES, SPLITS, plane_shares
from ohmweave.rtl.reram_half.signs import SLICES, sign_scheme

__all__ = ["Controller"]


class Controller(Component):
    """Executes the program of the ReRAM half over and over (Re-ReRAM, section IV, tables I and II).

    Instructions are issued in order. Transfers and frames of reads go on by themselves, once they are started: the
    controller waits only for the receiver, or the reads, that an instruction needs, so that frames are received
    while another is read, and the next frame of reads waits issued when one ends.

    - N-type: starts the receiver of its destination with its operands; both buffers: those of the two, the
      instruction being done when both have started. With `exit` the program starts over.
    - R-type: starts a frame of reads, when that before has requested all its reads. A convolution has as many windows
      as the configuration says of its buffer, a fully connected layer one. Of both buffers together it reads a frame
      each, their windows as they come.
    - C-type: WEIGHT_LOAD waits until no row is to be programmed. DATA_LOAD waits until all frames of reads are over and
      their results worked on: what the buffers hold of them is not needed any more. DISPATCH marks the place behind it
      as that at which the program starts over; until one is executed that is the first. FETCH stops until `clear`.

    After the last instruction the program starts over, too: behind the last DISPATCH that was executed, if any. A
    DISPATCH in the last place, or in the place before the program's end by `exit`, marks what comes next.

    Parameters
    ----------
    params : PEParams

    Ports
    -----
    program : In(stream(ConfigWrite)), always ready
        The instruction table: local addresses 2n and 2n + 1, low half first.
    config : In(ReRAMConfig(params))
    clear : In(1)
        Starts over at instruction 0 and forgets errors; nothing is issued meanwhile. The table stays.
    receive : array of Out(stream(InstructionLayout(Class.N))), in the order of `RECEIVERS`
        Operands for the receivers of buffer 0, buffer 1 and the arithmetic half, each ready while it is idle.
    frame : Out(stream(FrameLayout(array)))
    reading : In(1)
        A frame of reads, or work on its results, is under way.
    programming : In(1)
        A row waits for the array, or is being programmed.
    error : Out(ErrorLayout(reram_program))
        A word that cannot be executed was met, and where. Nothing is executed from there on, until `clear`.

    Timing
    ------
    Latency: clear low in cycle c → the first instruction is issued in cycle c + 1. Throughput: an instruction every
    two cycles, as long as none waits. One that waited is issued in the cycle in which what it waits for is ready.

    Errors
    ------
    Words that the decoder finds illegal, A-type among them; DMA; frames of reads of windows that share reads
    (`fusion`), of more column groups than there are (with `index` the table is not looked at), of a first block behind
    the last, of both buffers while they are one (`in_place`), and of inputs whose planes do not fill whole lanes.

    Raises `TypeError` when `params` is not a PEParams.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "program": In(stream.Signature(ConfigWrite)),
                "config": In(ReRAMConfig(params)),
                "clear": In(1),
                "receive": Out(stream.Signature(InstructionLayout(Class.N))).array(len(RECEIVERS)),
                "frame": Out(stream.Signature(FrameLayout(params.array))),
                "reading": In(1),
                "programming": In(1),
                "error": Out(ErrorLayout(params.reram_program)),
            }
        )

    @property
    def params(self) -> PEParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words = self._params.reram_program
        m.submodules.table = table = InstructionTable(words=words)
        m.submodules.decoder = decoder = Decoder(half=Half.RERAM)

        place = Signal(range(words))
        start = Signal(range(words))
        # The word of `place` is there; else it is being read.
        fetched = Signal()
        stopped = Signal()
        failed = Signal()
        # Receivers that have started with an instruction that is for more of them.
        started = Signal(len(RECEIVERS))

        issues = Signal()
        illegal = Signal()
        done = Signal()
        m.d.comb += [
            table.config.payload.eq(self.program.payload),
            table.config.valid.eq(self.program.valid),
            self.program.ready.eq(table.config.ready),
            table.address.eq(place),
            table.read.eq(~fetched),
            issues.eq(fetched & ~stopped & ~failed & ~self.clear),
            self.error.valid.eq(failed),
            self.error.index.eq(place),
        ]

        stops = Signal()
        marks = Signal()
        leaves = Signal()
        with m.If(issues):
            # Only here, so that the simulators decode only what is issued.
            m.d.comb += decoder.word.eq(table.word)
            with m.If(~decoder.legal):
                m.d.comb += illegal.eq(1)
            with m.Else(), m.Switch(decoder.kind):
                with m.Case(Class.N):
                    self._transfer(m, decoder.n, started, done, illegal)
                    m.d.comb += leaves.eq(decoder.n.exit)
                with m.Case(Class.R):
                    self._read(m, decoder.r, done, illegal)
                with m.Case(Class.C), m.Switch(decoder.c.op):
                    with m.Case(ControlOp.WEIGHT_LOAD):
                        m.d.comb += done.eq(~self.programming)
                    with m.Case(ControlOp.DATA_LOAD):
                        m.d.comb += done.eq(~self.reading)
                    with m.Case(ControlOp.DISPATCH):
                        m.d.comb += [done.eq(1), marks.eq(1)]
                    with m.Case(ControlOp.FETCH):
                        m.d.comb += stops.eq(1)
                    with m.Default():
                        m.d.comb += illegal.eq(1)
                with m.Default():
                    m.d.comb += illegal.eq(1)

        ends = Signal()
        m.d.comb += ends.eq(leaves | (place == self.config.length - 1))
        with m.If(done):
            m.d.sync += [place.eq(Mux(ends, start, place + 1)), fetched.eq(0)]
            with m.If(marks & ~ends):
                m.d.sync += start.eq(place + 1)
        with m.Elif(~fetched):
            m.d.sync += fetched.eq(self.config.length != 0)
        with m.If(illegal):
            m.d.sync += failed.eq(1)
        with m.If(stops):
            m.d.sync += stopped.eq(1)
        with m.If(self.clear):
            m.d.sync += [signal.eq(0) for signal in (place, start, stopped, failed, started)]
            # Instruction 0 is read in every cycle of `clear`, from the second on surely.
            m.d.sync += fetched.eq(0)
        return m

    def _transfer(self, m: Module, fields: Any, started: Signal, done: Signal, illegal: Signal) -> None:
        """Starts the receivers of an N-type instruction."""
        wanted = Signal(len(RECEIVERS))
        ready = Signal(len(RECEIVERS))
        with m.Switch(fields.des):
            for n, receiver in enumerate(RECEIVERS):
                with m.Case(receiver):
                    m.d.comb += wanted.eq(1 << n)
            with m.Case(Place.BOTH_BUFFERS):
                buffers = (Place.BUFFER_0, Place.BUFFER_1)
                m.d.comb += wanted.eq(sum(1 << RECEIVERS.index(buffer) for buffer in buffers))
            with m.Default():
                m.d.comb += illegal.eq(1)
        for n, port in enumerate(self.receive):
            m.d.comb += [
                port.valid.eq(wanted[n] & ~started[n]),
                port.payload.eq(fields),
                ready[n].eq(port.ready),
            ]
        m.d.comb += done.eq(wanted.any() & ((started | ready) & wanted == wanted))
        m.d.sync += started.eq(Mux(done, 0, started | (ready & wanted)))

    def _read(self, m: Module, fields: Any, done: Signal, illegal: Signal) -> None:
        """Starts the frame of reads of an R-type instruction."""
        frame = self.frame.payload
        src = Value.cast(fields.src)
        both = src == Place.BOTH_BUFFERS
        sound = Signal()
        m.d.comb += [
            sound.eq(
                (Value.cast(fields.des) == Place.ARITHMETIC)
                & (fields.fusion == 0)
                & (fields.index | self._fits(fields))
                & (fields.first <= fields.blocks)
                & ~(both & self.config.in_place)
                & ((src == Place.BUFFER_1) | self._divides(self.config.split[0], fields.planes))
                & ((src == Place.BUFFER_0) | self._divides(self.config.split[1], fields.planes))
            ),
            self.frame.valid.eq(sound),
            illegal.eq(~sound),
            done.eq(sound & self.frame.ready),
            frame.src.eq(src == Place.BUFFER_1),
            frame.both.eq(both),
            frame.split.eq(self.config.split),
            frame.index.eq(fields.index),
            frame.first.eq(fields.first),
            frame.blocks.eq(fields.blocks),
            frame.planes.eq(fields.planes),
            frame.slices.eq(fields.slices),
        ]
        with m.If(Value.cast(fields.op) == ReadOp.CONVOLUTION):
            m.d.comb += frame.windows.eq(self.config.windows)

    def _fits(self, fields: Any) -> Value:
        """Whether the array has the column groups of blocks 0 to `blocks`."""
        array = self._params.array
        signs = sign_scheme(array).signs
        fits: Value = Const(0)
        for log, slices in enumerate(SLICES):
            blocks = array.colmux // (slices * signs)
            fits |= (fields.slices == log) & (fields.blocks < blocks)
        return fits

    def _divides(self, split: Value, planes: Value) -> Value:
        """Whether the planes of a pixel fill whole lanes."""
        divides: Value = Const(0)
        for log in PLANES:
            splits = [s for s in SPLITS if plane_shares(self._params.buffer, s, log)]
            divides |= (planes == log) & split.matches(*splits)
        return divides
