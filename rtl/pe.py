"""The processing element: one stage of a network, from flits to flits."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.array_loader import ArrayLoader
from ohmweave.rtl.config_map import ConfigDemux, Region
from ohmweave.rtl.conv_buffer import ConvBuffer, ConvConfig
from ohmweave.rtl.crossbar import Crossbar
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.indexing_filter import IndexingFilter
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.network.config_receiver import ConfigReceiver
from ohmweave.rtl.network.router import Router
from ohmweave.rtl.packer import Packer, PackerConfig
from ohmweave.rtl.pooler import Pooler, PoolerConfig
from ohmweave.rtl.registers import RegisterFile
from ohmweave.rtl.requantizer import Requantizer, RequantizerConfig
from ohmweave.rtl.tile_controller import TileController
from ohmweave.rtl.unpacker import Unpacker, UnpackerConfig

__all__ = ["PE", "RoutesLayout", "StageConfig", "SwitchInput", "SwitchOutput"]

NEIGHBOURS = 4


class SwitchInput(enum.IntEnum):
    """What an output of a PE's switch can take its flits from."""

    CLOSED = 0
    TREE = 1
    NORTH = 2
    EAST = 3
    SOUTH = 4
    WEST = 5
    CORE = 6


class SwitchOutput(enum.IntEnum):
    """Where a PE's switch sends flits."""

    CORE = 0
    NORTH = 1
    EAST = 2
    SOUTH = 3
    WEST = 4
    COLLECTION = 5


class RoutesLayout(data.ArrayLayout):
    """For each `SwitchOutput` a `SwitchInput`."""

    def __init__(self) -> None:
        super().__init__(range(len(SwitchInput)), len(SwitchOutput))


class StageConfig(data.StructLayout):
    """What a PE does: the configuration of each of its parts, and `enable`.

    While `enable` is 0 the data path is held in reset and takes no flits.
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "buffer": ConvConfig(params.buffer),
                "unpacker": UnpackerConfig(params),
                "requantizer": RequantizerConfig(params),
                "pooler": PoolerConfig(params),
                "packer": PackerConfig(),
                "enable": 1,
            }
        )


class PE(Component):
    """One convolution with its activation and pooling, streamed (Re-ReRAM, section V).

    Flits of the input map enter by the switch, are unpacked into pixels and written into the convolution buffer,
    whose windows the array multiplies with its cells, one column group after the other as the indexing filter tells;
    the results are requantised, pooled, packed into flits again and leave by the switch. The tile controller keeps
    the order. Fully connected layers are convolutions whose window is the whole map.

    Ports
    -----
    unit        number of the PE, constant; configuration packets are addressed with it
    tree        flits from the distribution tree: configuration and data
    mesh_i      data flits from the neighbours, in the order north, east, south, west
    mesh_o      data flits to them
    collection  data flits to the collection tree
    busy        the array is reading

    Throughput: a window takes G·max(read_cycles, W) cycles, G column groups and W words of results in a group; never
    less than its pixels and flits take to come and go.
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
        m.submodules.routes = routes = RegisterFile(layout=RoutesLayout())
        m.d.comb += receiver.unit.eq(self.unit)
        connect(m, flipped(self.tree), receiver.flits)
        connect(m, receiver.config, demux.i)
        connect(m, demux.o[Region.STAGE], stage.config)
        connect(m, demux.o[Region.ROUTES], routes.config)

        # The switch. The mesh has rings, so its ready paths are cut in each PE.
        m.submodules.switch = switch = Router(
            inputs=len(SwitchInput) - 1,
            outputs=len(SwitchOutput),
            link_bits=params.link_bits,
            registered_ready=True,
        )
        m.d.comb += switch.routes.eq(routes.value)
        connect(m, receiver.data, switch.i[SwitchInput.TREE - 1])
        for side in range(NEIGHBOURS):
            connect(m, flipped(self.mesh_i[side]), switch.i[SwitchInput.NORTH - 1 + side])
            connect(m, switch.o[SwitchOutput.NORTH + side], flipped(self.mesh_o[side]))
        connect(m, switch.o[SwitchOutput.COLLECTION], flipped(self.collection))

        self._data_path(m, platform, switch, demux, stage.value)
        return m

    def _data_path(self, m: Module, platform: object, switch: Router, demux: ConfigDemux, stage: Any) -> None:
        params, array = self._params, self._params.array
        clear = Signal()
        m.d.comb += clear.eq(~stage.enable)

        def held_in_reset(name: str, component: Any) -> Any:
            m.submodules[name] = ResetInserter(clear)(component)
            return component

        unpacker = held_in_reset("unpacker", Unpacker(params=params))
        buffer = instantiate(m, platform, "buffer", "conv_buffer", lambda: ConvBuffer(params=params.buffer))
        m.submodules.filter = index = IndexingFilter(entries=array.colmux)
        controller = held_in_reset("controller", TileController(arrays=1, groups=array.colmux))
        m.submodules.loader = loader = ArrayLoader(array=array)
        m.submodules.crossbar = crossbar = Crossbar(array=array)
        requantizer = held_in_reset("requantizer", Requantizer(params=params))
        pooler = held_in_reset("pooler", Pooler(params=params))
        packer = held_in_reset("packer", Packer(params=params))
        m.d.comb += [
            unpacker.config.eq(stage.unpacker),
            buffer.config.eq(stage.buffer),
            buffer.clear.eq(clear),
            crossbar.id.eq(self.unit),
            requantizer.config.eq(stage.requantizer),
            pooler.config.eq(stage.pooler),
            packer.config.eq(stage.packer),
            self.busy.eq(crossbar.busy),
        ]
        connect(m, demux.o[Region.INDEX], index.config)
        connect(m, demux.o[Region.ARRAY], loader.config)
        connect(m, demux.o[Region.SCALES], requantizer.table)
        connect(m, loader.program, crossbar.program)

        # Flits to windows; nothing enters before the stage is configured.
        core = switch.o[SwitchOutput.CORE]
        m.d.comb += [
            unpacker.i.payload.eq(core.payload),
            unpacker.i.valid.eq(core.valid & stage.enable),
            core.ready.eq(unpacker.i.ready & stage.enable),
        ]
        connect(m, unpacker.o, buffer.pixel)

        # Windows to sums.
        m.d.comb += [
            controller.window.valid.eq(buffer.window.valid),
            buffer.window.ready.eq(controller.window.ready),
            crossbar.x.eq(buffer.window.payload),
            controller.forward.ready.eq(1),
        ]
        connect(m, index.index, controller.index)
        connect(m, controller.request[0], crossbar.request)

        # Sums to flits.
        m.d.comb += [
            controller.result[0].valid.eq(crossbar.result.valid),
            crossbar.result.ready.eq(controller.result[0].ready),
            requantizer.i.valid.eq(controller.write_back.valid),
            controller.write_back.ready.eq(requantizer.i.ready),
            requantizer.i.p.sums.eq(crossbar.result.p.sums),
            requantizer.i.p.reference.eq(crossbar.result.p.reference),
            requantizer.i.p.group.eq(controller.write_back.p.group),
            requantizer.i.p.last.eq(controller.write_back.p.last),
        ]
        connect(m, requantizer.o, pooler.i)
        connect(m, pooler.o, packer.i)
        connect(m, packer.o, switch.i[SwitchInput.CORE - 1])
