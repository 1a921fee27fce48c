"""The processing element: two halves that work at the same time, between links."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.activity import STATES, PEActivity, PEState
from ohmweave.rtl.arithmetic.half import ArithmeticHalf
from ohmweave.rtl.arithmetic.layouts import ArithmeticConfig
from ohmweave.rtl.array_loader import ArrayLoader
from ohmweave.rtl.cleared import Cleared
from ohmweave.rtl.config_map import ConfigDemux, Region
from ohmweave.rtl.conv_buffer import ConvBuffer, ConvConfig
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.isa import Half, Place
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.network.config_receiver import ConfigReceiver
from ohmweave.rtl.receiver import Receiver, ReceiverConfig
from ohmweave.rtl.registers import RegisterFile
from ohmweave.rtl.reram_half import RECEIVERS, ReRAMConfig, ReRAMHalf
from ohmweave.rtl.sender import Sender, SenderConfig
from ohmweave.rtl.side_receiver import SideConfig, SideReceiver
from ohmweave.rtl.splitter import Splitter, SplitterConfig
from ohmweave.rtl.spreader import Spreader, SpreaderConfig
from ohmweave.rtl.switch import Switch, SwitchInput, SwitchOutput

__all__ = ["PE", "StageConfig"]

NEIGHBOURS = 4
BUFFERS = 2


class StageConfig(data.StructLayout):
    """What a PE does: the configuration of each of its parts.

    buffers    of the two convolution buffers
    main       of the receiver of buffer 0, `spreader` of what stands between them
    shortcut   of the receiver of buffer 1, which the arithmetic half fills where `pooling` is set
    splitter   of what stands between them, for pixels that were computed side by side
    side       of the receiver of the arithmetic half
    enable     while it is 0 the data path is held in reset and takes no flits
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "buffers": data.ArrayLayout(ConvConfig(params.buffer), BUFFERS),
                "main": ReceiverConfig(params),
                "spreader": SpreaderConfig(params.buffer),
                "shortcut": ReceiverConfig(params),
                "pooling": 1,
                "splitter": SplitterConfig(params.buffer),
                "side": SideConfig(params),
                "reram": ReRAMConfig(params),
                "arithmetic": ArithmeticConfig(params),
                "sender": SenderConfig(),
                "enable": 1,
            }
        )


class PE(Component):
    """A processing element: windows of a map through the array, then arithmetic on the results (Re-ReRAM, section V).

    Frames enter by the switch. The ReRAM half's program lets them in and reads the array with the windows that its
    convolution buffer makes of them; the arithmetic half's program works on the vectors of results, with partial sums
    of a neighbour (side) and with windows of the other buffer: pixels of a shortcut, or its own results, to be
    pooled. What it sends leaves by the switch. The instructions, once loaded, repeat for frame after frame.

        switch ─ main receiver ─ spreader ─ buffer 0 ─┐
                                                      ├─ ReRAM half ─ arithmetic half ─ sender ─ switch
        switch ─ shortcut receiver ──┬──── buffer 1 ──┘        │ ↑ windows │ ↑ side receiver ─ switch
                                     └──── splitter ─ pixels ──┴───────────┘

    The ReRAM half reads the buffer that its R-type instruction names, the arithmetic half the other one (until the
    first of them: buffer 1), so that frames may come to either in turn. A program whose arithmetic half takes windows
    has a DATA_LOAD before an R-type that names another buffer than the one before.

    Two layers of a chain can share the PE, each with columns of the array: what the first one makes is what the second
    one reads, from buffer 1, or from buffer 0 where it is written over the pixels that are done with (in place).

    Ports
    -----
    unit        number of the PE, constant; configuration packets are addressed with it
    tree        flits from the distribution tree: configuration and data
    mesh_i      data flits from the neighbours, in the order north, east, south, west
    mesh_o      data flits to them
    collection  data flits to the collection tree
    busy        the array is reading
    activity    what the PE does in this cycle (`PEState`), and the links over which a flit of data goes
    fault       an instruction could not be executed; it stays until the stage is disabled

    Throughput: a window takes B·S·P·read_cycles cycles, B blocks of results, S slices of a weight, P planes of an
    input; never less than the arithmetic half's bodies for its vectors take, nor its flits to come and go.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        link = flit_stream(params.link_bits)
        super().__init__(
            {
                "unit": In(16),
                "tree": In(link),
                "mesh_i": In(link).array(NEIGHBOURS),
                "mesh_o": Out(link).array(NEIGHBOURS),
                "collection": Out(link),
                "busy": Out(1),
                "activity": Out(PEActivity()),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._params

        # Configuration.
        m.submodules.receiver = receiver = ConfigReceiver(link_bits=params.link_bits)
        m.submodules.demux = demux = ConfigDemux()
        m.submodules.stage = stage = RegisterFile(layout=StageConfig(params))
        m.submodules.switch = switch = Switch(link_bits=params.link_bits)
        m.d.comb += receiver.unit.eq(self.unit)
        connect(m, flipped(self.tree), receiver.flits)
        connect(m, receiver.config, demux.i)
        connect(m, demux.o[Region.STAGE], stage.config)
        connect(m, demux.o[Region.ROUTES], switch.config)

        # The switch.
        connect(m, receiver.data, switch.i[SwitchInput.TREE - 1])
        for side in range(NEIGHBOURS):
            connect(m, flipped(self.mesh_i[side]), switch.i[SwitchInput.NORTH - 1 + side])
            connect(m, switch.o[SwitchOutput.NORTH + side], flipped(self.mesh_o[side]))
        connect(m, switch.o[SwitchOutput.COLLECTION], flipped(self.collection))
        moves = Cat(link.valid & link.ready for link in (*self.mesh_o, self.collection, receiver.data))

        self._data_path(m, platform, switch, demux, stage.value, moves)
        return m

    def _data_path(
        self, m: Module, platform: object, switch: Switch, demux: ConfigDemux, stage: Any, moves: Value
    ) -> None:
        params = self._params
        clear = Signal()
        m.d.comb += clear.eq(~stage.enable)

        def part(name: str, module: str, make: Callable[[], Component]) -> Any:
            """A module of its own, emitted once, that is held in reset while the stage is not enabled."""
            shared = instantiate(m, platform, name, module, lambda: Cleared(make()))
            m.d.comb += shared.clear.eq(clear)
            return shared

        buffers = [
            instantiate(m, platform, f"buffer_{n}", "conv_buffer", lambda: ConvBuffer(params=params.buffer))
            for n in range(BUFFERS)
        ]
        reram = instantiate(m, platform, "reram", "reram_half", lambda: ReRAMHalf(params=params))
        arithmetic = instantiate(
            m, platform, "arithmetic", "arithmetic_half", lambda: ArithmeticHalf(params=params)
        )
        main = part("main_receiver", "receiver", lambda: Receiver(params=params))
        spreader = part("spreader", "spreader", lambda: Spreader(params=params.buffer))
        shortcut = part("shortcut_receiver", "receiver", lambda: Receiver(params=params))
        splitter = part("splitter", "splitter", lambda: Splitter(params=params.buffer))
        side = part("side_receiver", "side_receiver", lambda: SideReceiver(params=params))
        sender = part("sender", "sender", lambda: Sender(params=params))
        m.submodules.loader = loader = ArrayLoader(array=params.array)
        m.d.comb += [
            main.config.eq(stage.main),
            spreader.config.eq(stage.spreader),
            shortcut.config.eq(stage.shortcut),
            splitter.config.eq(stage.splitter),
            side.config.eq(stage.side),
            sender.config.eq(stage.sender),
            reram.id.eq(self.unit),
            reram.config.eq(stage.reram),
            reram.clear.eq(clear),
            arithmetic.config.eq(stage.arithmetic),
            arithmetic.clear.eq(clear),
            self.busy.eq(reram.busy),
        ]
        for n, buffer in enumerate(buffers):
            m.d.comb += [buffer.config.eq(stage.buffers[n]), buffer.clear.eq(clear)]
        connect(m, demux.o[Region.ARRAY], loader.config)
        connect(m, loader.program, reram.rows)
        connect(m, demux.o[Region.INDEX], reram.index)
        connect(m, demux.o[Region.RERAM_PROGRAM], reram.program)
        connect(m, demux.o[Region.CONSTANTS], arithmetic.constants)
        connect(m, demux.o[Region.ARITHMETIC_PROGRAM], arithmetic.program)

        # Frames in, each when the program says so.
        for output, unit in (
            (SwitchOutput.MAIN, main),
            (SwitchOutput.SHORTCUT, shortcut),
            (SwitchOutput.SIDE, side),
        ):
            connect(m, switch.o[output], unit.i)
        for place, unit in ((Place.BUFFER_0, main), (Place.BUFFER_1, shortcut), (Place.ARITHMETIC, side)):
            start = reram.receive[RECEIVERS.index(place)]
            m.d.comb += [unit.start.valid.eq(start.valid), start.ready.eq(unit.start.ready)]
        connect(m, arithmetic.pixel, splitter.i)
        connect(m, main.o, spreader.i)
        self._fill_buffers(m, stage, buffers, spreader.o, shortcut.o, splitter.o)

        # Windows to results, results to flits.
        m.d.comb += reram.working.eq(arithmetic.busy)
        for n, buffer in enumerate(buffers):
            reads, works = getattr(reram, f"window_{n}"), arithmetic.window
            m.d.comb += [
                reads.payload.eq(buffer.window.payload),
                reads.valid.eq(buffer.window.valid),
                buffer.window.ready.eq(reads.ready),
            ]
            with m.If((reram.src == 1 - n) & ~stage.arithmetic.second):
                m.d.comb += [
                    works.payload.eq(buffer.window.payload),
                    works.valid.eq(buffer.window.valid),
                    buffer.window.ready.eq(works.ready),
                ]
        connect(m, reram.result, arithmetic.result)
        m.d.comb += [
            arithmetic.result_src.eq(reram.result_src),
            arithmetic.result_more.eq(reram.result_more),
            reram.feeds.eq(stage.pooling),
            reram.written.eq(splitter.i.valid & splitter.i.ready),
            reram.spare.eq(buffers[1].spare),
        ]
        connect(m, side.o, arithmetic.side)
        connect(m, arithmetic.out, sender.i)
        connect(m, sender.o, switch.i[SwitchInput.CORE - 1])

        # What the PE does. Of registers alone, as the switch's ready is: while nothing happens, nothing changes here.
        stuck = arithmetic.out.valid & ~sender.i.ready
        lacks = Signal()
        m.d.comb += lacks.eq(
            (arithmetic.needs_side & ~side.o.valid) | (arithmetic.needs_window & ~arithmetic.window.valid)
        )
        does: Value = Const(1 << PEState.INPUT, len(STATES))
        # The first of them that is so.
        for state, condition in reversed(
            (
                (PEState.READ, reram.busy),
                (PEState.OFF, ~stage.enable),
                (PEState.COMPUTE, arithmetic.busy & ~stuck & ~lacks),
                (PEState.OUTPUT, stuck | (sender.o.valid & ~sender.o.ready)),
                (PEState.NEIGHBOUR, lacks),
            )
        ):
            does = Mux(condition, (1 << state) & (1 << len(STATES)) - 1, does)
        # No `with m.If`: Icarus would not begin a process of signals that have not changed since the start.
        m.d.comb += self.activity.eq(Cat(does[: len(STATES)], moves))

        m.d.comb += [
            self.fault.unit.eq(self.unit),
            self.fault.valid.eq(reram.error.valid | arithmetic.error.valid),
            self.fault.half.eq(Mux(reram.error.valid, Half.RERAM, Half.ARITHMETIC)),
            self.fault.index.eq(Mux(reram.error.valid, reram.error.index, arithmetic.error.index)),
        ]

    def _fill_buffers(
        self, m: Module, stage: Any, buffers: list[Any], main: Any, shortcut: Any, results: Any
    ) -> None:
        """Pixels of the network, or results that stay, to the buffers. In place buffer 0 takes both, frame by frame."""
        in_place = stage.reram.in_place
        stays = Signal()
        first, second = (buffer.pixel for buffer in buffers)
        m.d.comb += [
            buffers[0].other.eq(stage.buffers[1]),
            buffers[0].alternate.eq(in_place),
            first.valid.eq(main.valid),
            first.payload.eq(main.payload),
            main.ready.eq(first.ready),
            stays.eq(stage.pooling & ~in_place),
            second.valid.eq(Mux(stays, results.valid, shortcut.valid)),
            second.payload.eq(Mux(stays, results.payload, shortcut.payload)),
            results.ready.eq(second.ready & stays),
            shortcut.ready.eq(second.ready & ~stays),
        ]
        with m.If(in_place & buffers[0].pixel_layer):
            m.d.comb += [
                first.valid.eq(results.valid),
                first.payload.eq(results.payload),
                results.ready.eq(first.ready),
                main.ready.eq(0),
            ]
