"""Compiles an integer network onto a chip: one PE a layer, neighbours in the mesh, one copy of each layer."""

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams, PEParams
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.conv_buffer import conv_config
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.group import STEPS, mesh_position, mesh_unit, node_unit
from ohmweave.rtl.indexing_filter import index_table
from ohmweave.rtl.network.tree_node import RADIX, node_writes
from ohmweave.rtl.pe import RoutesLayout, StageConfig, SwitchInput, SwitchOutput
from ohmweave.rtl.pooler import MAX_POOL
from ohmweave.rtl.registers import register_writes
from ohmweave.rtl.requantizer import scale_writes
from ohmweave.rtl.unpacker import MAX_PIXELS
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.program import Program, Stage, packets

__all__ = ["compile_network"]


def compile_network(network: Network, params: GroupParams) -> Program:
    """Place the layers on a path of neighbouring PEs and work out everything that configures the chip.

    Raises `OhmweaveError` naming the layer that does not fit a PE, or the PEs that are lacking.
    """
    pe = params.pe
    if pe.array.sign_scheme != "offset":
        raise OhmweaveError(
            f"sign_scheme must be offset to run a network, not {pe.array.sign_scheme}: weights on a pair of "
            "columns are not compiled yet"
        )
    if pe.link_bits != CONFIG_BITS:
        raise OhmweaveError(
            f"link_bits must be {CONFIG_BITS} to run a network, not {pe.link_bits}: wider links are emitted only"
        )
    if len(network.layers) > params.pes:
        raise OhmweaveError(
            f"{network.name} needs {len(network.layers)} PEs, one a layer, and the chip has {params.pes}"
        )
    if network.input_bits != pe.buffer.act_bits or network.act_bits != pe.buffer.act_bits:
        raise OhmweaveError(
            f"{network.name} must have inputs and activations of {pe.buffer.act_bits} bits, not "
            f"{network.input_bits} and {network.act_bits}"
        )
    if network.weight_bits > pe.array.cell_bits:
        raise OhmweaveError(
            f"{network.name} must have weights of at most {pe.array.cell_bits} bits, not {network.weight_bits}"
        )
    units = _path(params)[: len(network.layers)]
    config: list[int] = []
    levels: dict[int, np.ndarray] = {}
    for position, (layer, unit) in enumerate(zip(network.layers, units, strict=True)):
        try:
            stage = _stage(layer, network.shapes[position], pe)
        except OhmweaveError as error:
            raise OhmweaveError(f"layer {layer.name} does not fit a PE: {error}") from None
        levels[unit] = _levels(layer, pe)
        writes = [
            *_at(Region.ROUTES, register_writes(RoutesLayout(), _routes(units, position))),
            *_at(Region.SCALES, _scales(layer)),
            *_at(Region.INDEX, index_table(_significant_groups(layer, pe))),
            # Last, because its final word enables the stage.
            *_at(Region.STAGE, register_writes(StageConfig(pe), stage)),
        ]
        config += packets(unit, writes)
    config += _tree(params, units[0], units[-1])
    return Program(
        params=params,
        levels=levels,
        config=np.array(config, dtype=np.uint32),
        input_shape=network.input_shape,
        classes=network.classes,
        stages=tuple(Stage(layer.name, (unit,)) for layer, unit in zip(network.layers, units, strict=True)),
    )


def _path(params: GroupParams) -> list[int]:
    """All PEs so that each is a neighbour of the one before: row by row, every other row backwards."""
    side = params.side
    return [mesh_unit(x if y % 2 == 0 else side - 1 - x, y) for y in range(side) for x in range(side)]


def _routes(units: list[int], position: int) -> dict | list[int]:
    """Settings of the switch of the PE at a position of the path, in the order of `SwitchOutput`."""
    routes = [SwitchInput.CLOSED] * len(SwitchOutput)
    here = mesh_position(units[position])
    if position:
        side = _side(here, mesh_position(units[position - 1]))
        routes[SwitchOutput.CORE] = SwitchInput(SwitchInput.NORTH + side)
    else:
        routes[SwitchOutput.CORE] = SwitchInput.TREE
    if position + 1 < len(units):
        side = _side(here, mesh_position(units[position + 1]))
        routes[SwitchOutput.NORTH + side] = SwitchInput.CORE
    else:
        routes[SwitchOutput.COLLECTION] = SwitchInput.CORE
    return [int(route) for route in routes]


def _side(here: tuple[int, int], there: tuple[int, int]) -> int:
    """On which side of a PE its neighbour is."""
    return STEPS.index((there[0] - here[0], there[1] - here[1]))


def _tree(params: GroupParams, first: int, last: int) -> list[int]:
    """Flits that open the distribution tree down to one PE and the collection tree up from another."""
    children: dict[int, int] = {}
    selects: dict[int, int] = {}
    for level in range(params.levels):
        below = RADIX ** (params.levels - level)
        for unit, chosen in ((first, children), (last, selects)):
            chosen[node_unit(level, unit // below)] = unit // (below // RADIX) % RADIX
    flits: list[int] = []
    for node in sorted({*children, *selects}):
        writes = node_writes(children=[children[node]] if node in children else [], select=selects.get(node))
        flits += packets(node, writes.items())
    return flits


def _at(region: Region, writes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(region.address(local), word) for local, word in writes]


def _significant_groups(layer: ConvLayer, pe: PEParams) -> range:
    """Column groups that the layer uses; none of them is pruned."""
    return range(-(-layer.out_channels // pe.array.columns_at_once))


def _stage(layer: ConvLayer, in_shape: tuple[int, int, int], pe: PEParams) -> dict:
    """Values of a `StageConfig`."""
    channels, height, width = in_shape
    array, lanes = pe.array, pe.result_lanes
    if layer.out_channels > array.cols:
        raise OhmweaveError(f"its output channels must be at most {array.cols}, not {layer.out_channels}")
    if layer.pool > MAX_POOL:
        raise OhmweaveError(f"its pool must be at most {MAX_POOL}, not {layer.pool}")
    convolution = conv_config(
        pe.buffer, layer.kernel, layer.stride, layer.pad, height, width, channels=channels
    )
    if height * width > MAX_PIXELS:
        raise OhmweaveError(f"its input must have at most {MAX_PIXELS} pixels, not {height}×{width}")
    last_group = (layer.out_channels - 1) % array.columns_at_once + 1
    end_x, end_y = (
        size // layer.pool * layer.pool - 1 for size in (convolution.out_width, convolution.out_height)
    )
    return {
        "buffer": convolution.config,
        "unpacker": {"last_lane": channels - 1, "last_pixel": height * width - 1},
        "requantizer": {
            "last_word": (last_group - 1) // lanes,
            "last_count": (last_group - 1) % lanes,
        },
        "pooler": {
            "pool": layer.pool - 1,
            "last_x": convolution.out_width - 1,
            "last_y": convolution.out_height - 1,
            "end_x": end_x,
            "end_y": end_y,
        },
        "packer": {"raw": layer.raw},
        "enable": 1,
    }


def _levels(layer: ConvLayer, pe: PEParams) -> np.ndarray:
    """Conductance levels of the array: rows in the order of the window's lanes, unused cells at level 0."""
    array = pe.array
    levels = np.zeros((array.rows, array.cols), dtype=np.uint8)
    kernel, lanes = layer.kernel, pe.buffer.pixel_lanes(layer.kernel)
    offset = layer.weights.astype(np.int16) + 2 ** (array.cell_bits - 1)
    # (out, in, row, column) of the kernel to (column, row, in, out): the window is column by column.
    taps = offset.transpose(3, 2, 1, 0)
    used = levels[: kernel * kernel * lanes].reshape(kernel, kernel, lanes, array.cols)
    used[:, :, : layer.in_channels, : layer.out_channels] = taps
    return levels


def _scales(layer: ConvLayer) -> list[tuple[int, int]]:
    """Writes of the table of bias, multiplier and shift of each output channel."""
    return [
        write
        for column in range(layer.out_channels)
        for write in scale_writes(
            column,
            bias=int(layer.bias[column]),
            mult=int(layer.mult[column]),
            shift=int(layer.shift[column]),
        )
    ]
