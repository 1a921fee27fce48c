"""The blocks by name: the component of each, and the arguments that it has in an architecture."""

from collections.abc import Callable, Mapping
from typing import Any

from ohmweave.config import Architecture

__all__ = ["BLOCKS", "CHIP"]

#: The block that has everything in it.
CHIP = "chip"

Arguments = Callable[[Architecture], dict[str, Any]]


def _pe(architecture: Architecture) -> dict[str, Any]:
    return {"params": architecture.params.pe}


def _buffer(architecture: Architecture) -> dict[str, Any]:
    return {"params": architecture.params.pe.buffer}


def _array(architecture: Architecture) -> dict[str, Any]:
    return {"array": architecture.params.pe.array}


def _group(architecture: Architecture) -> dict[str, Any]:
    return {"params": architecture.params}


def _chip(architecture: Architecture) -> dict[str, Any]:
    return {"params": architecture.params, "memory": architecture.memory}


def _cache(architecture: Architecture) -> dict[str, Any]:
    return {"params": architecture.memory.cache}


def _link(**more: Any) -> Arguments:
    return lambda architecture: {"link_bits": architecture.params.pe.link_bits, **more}


def _exit(architecture: Architecture) -> dict[str, Any]:
    params = architecture.params
    return {
        "link_bits": params.pe.link_bits, "depth": params.exit_flits or 1024, "entries": max(params.entries, 4)
    }  # fmt: skip


def _dma(architecture: Architecture) -> dict[str, Any]:
    memory = architecture.memory
    return {"cache": memory.cache, "params": memory.engine(architecture.params.pe.link_bits)}


#: Name → (component, its arguments). What is called `params` there goes by the names of its fields in `--set`.
BLOCKS: Mapping[str, tuple[str, Arguments]] = {
    # Of a PE.
    "conv_buffer": ("ohmweave.rtl.conv_buffer.ConvBuffer", _buffer),
    "window_register": ("ohmweave.rtl.conv_buffer.window.WindowRegister", _buffer),
    "spreader": ("ohmweave.rtl.spreader.Spreader", _buffer),
    "splitter": ("ohmweave.rtl.splitter.Splitter", _buffer),
    "indexing_filter": (
        "ohmweave.rtl.indexing_filter.IndexingFilter", lambda arch: {"entries": arch.params.pe.array.colmux},
    ),
    "tile_controller": (
        "ohmweave.rtl.tile_controller.TileController",
        lambda arch: {"arrays": 1, "groups": arch.params.pe.array.colmux},
    ),
    "expander": ("ohmweave.rtl.reram_half.expander.Expander", _array),
    "shift_add": ("ohmweave.rtl.reram_half.shift_add.ShiftAdd", _pe),
    "reram_half": ("ohmweave.rtl.reram_half.ReRAMHalf", _pe),
    "alu": ("ohmweave.rtl.arithmetic.alu.AluLane", _pe),
    "divider": ("ohmweave.rtl.arithmetic.divider.Divider", _pe),
    "sfu": ("ohmweave.rtl.arithmetic.sfu.SfuLane", _pe),
    "vector_unit": ("ohmweave.rtl.arithmetic.vector_unit.VectorUnit", _pe),
    "arithmetic_half": ("ohmweave.rtl.arithmetic.half.ArithmeticHalf", _pe),
    "receiver": ("ohmweave.rtl.receiver.Receiver", _pe),
    "side_receiver": ("ohmweave.rtl.side_receiver.SideReceiver", _pe),
    "sender": ("ohmweave.rtl.sender.Sender", _pe),
    "pe": ("ohmweave.rtl.pe.PE", _pe),
    # Of the networks.
    "router": (
        "ohmweave.rtl.network.router.Router",
        # That of a PE's switch.
        _link(inputs=5, outputs=8, registered_ready=False),
    ),
    "buffered_router": (
        "ohmweave.rtl.network.buffered_router.BufferedRouter", _link(virtual_channels=4, depth=4),
    ),
    "switch": ("ohmweave.rtl.switch.Switch", _link()),
    "tree_node": ("ohmweave.rtl.network.tree_node.TreeNode", _link()),
    "tree_entry": ("ohmweave.rtl.network.tree_entry.TreeEntry", _link(exits=0)),
    "tree_exit": ("ohmweave.rtl.network.tree_exit.TreeExit", _exit),
    # Of the chip.
    "cache": ("ohmweave.rtl.memory.cache.Cache", _cache),
    "dma": ("ohmweave.rtl.memory.dma.DMA", _dma),
    "host": ("ohmweave.rtl.host.port.HostPort", _chip),
    "group": ("ohmweave.rtl.group.PEGroup", _group),
    CHIP: ("ohmweave.rtl.chip.Chip", _chip),
}  # fmt: skip
