"""What configuration flits say: settings, programs and constants of each PE, nodes of the trees, routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.arithmetic.constants import CONSTANTS, ENTRY_WORDS
from ohmweave.rtl.config_map import LOCAL_BITS, Region
from ohmweave.rtl.encoding import Instruction, decode
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.indexing_filter import COUNT, DENSE, TABLE
from ohmweave.rtl.isa import Class, ControlOp, Half, Place
from ohmweave.rtl.network.tree_entry import FIRST_ENTRY_UNIT
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT, RADIX, NodeRegister
from ohmweave.rtl.pe import StageConfig
from ohmweave.rtl.reram_half.row_mask import plane_shares
from ohmweave.rtl.reram_half.signs import sign_scheme
from ohmweave.rtl.switch import RoutesLayout, SwitchInput, SwitchOutput, Turns
from ohmweave.sim.cycle.entries import EntrySettings, entry_settings

__all__ = ["ChipSettings", "NodeSettings", "PESettings", "chip_settings"]


@dataclass
class PESettings:
    """What one PE was told.

    stage       `StageConfig`, a constant with its fields
    routes      for each output of the switch the input that it takes from, or its turns
    reram, arithmetic  the programs
    constants   (vectors, 4, lanes): of each vector and slot
    blocks      what the index table lists
    enabled     cycle from which on the stage works
    """

    unit: int
    stage: Any
    routes: dict[SwitchOutput, SwitchInput | Turns]
    reram: list[Instruction]
    arithmetic: list[Instruction]
    constants: np.ndarray
    blocks: list[int]
    enabled: int


@dataclass
class NodeSettings:
    """What a node of the trees was told.

    children       open ones, one bit each; with `deals` the first
    select, turns  the child first taken from, plus one; lengths of the turns
    deals          lengths of the turns of the distribution
    """

    children: int = 0
    select: int = 0
    turns: list[int] = field(default_factory=lambda: [0] * RADIX)
    deals: list[int] = field(default_factory=lambda: [0] * RADIX)


@dataclass(frozen=True)
class ChipSettings:
    """All PEs and nodes that were told anything, all entries, and the cycle from which on the root takes frames."""

    pes: dict[int, PESettings]
    nodes: dict[int, NodeSettings]
    entries: list[EntrySettings]
    first: int


#: Cycles from the last configuration flit to the first of a frame: the root of the trees lets its routes settle.
SETTLING = 4
#: Cycles from a flit that a PE takes to what it writes.
WRITTEN = 2


def chip_settings(params: GroupParams, config: np.ndarray) -> ChipSettings:
    """The settings that a job's configuration flits make.

    Raises `OhmweaveError` for what the model does not describe.
    """
    writes, end = _writes(config)
    down = 2 * params.levels + WRITTEN + (params.entries > 1)
    pes = {unit: _pe(params, unit, told, down) for unit, told in writes.items() if unit < params.pes}
    nodes = {unit: _node(told) for unit, told in writes.items() if FIRST_NODE_UNIT <= unit < FIRST_ENTRY_UNIT}
    entries = entry_settings(params, writes, end, len(config), SETTLING)
    first = len(config)
    if params.levels:
        first += SETTLING - 1
    elif end is not None and end < params.pes:
        first += 1  # data wait behind a write
    return ChipSettings(pes, nodes, entries, first)


def _writes(config: np.ndarray) -> tuple[dict[int, list[tuple[int, int, int]]], int | None]:
    """Unit → (address, word, number of the flit), and the unit that the last flit writes to, if it does."""
    words = (config & ((1 << CONFIG_BITS) - 1)).tolist()
    if not (config >> CONFIG_BITS & 1).all():
        raise OhmweaveError("the cycle model takes no data between configuration flits")
    found: dict[int, list[tuple[int, int, int]]] = {}
    at, end = 0, None
    while at + 2 < len(words):
        unit, address, count = words[at : at + 3]
        behind = min(at + 3 + count, len(words))
        told = found.setdefault(unit, [])
        for place in range(at + 3, behind):
            told.append(((address + place - at - 3) & 0xFFFF, words[place], place))
        end = unit if count and behind == len(words) else None
        at = behind
    return found, end


def _pe(params: GroupParams, unit: int, told: list[tuple[int, int, int]], down: int) -> PESettings:
    regions: dict[int, dict[int, int]] = {region: {} for region in Region}
    layout = StageConfig(params.pe)
    word, bit = divmod(layout["enable"].offset, CONFIG_BITS)
    enabled = None
    for address, value, number in told:
        region, local = address >> LOCAL_BITS, address & ((1 << LOCAL_BITS) - 1)
        if region == Region.ARRAY:
            raise OhmweaveError(
                f"the cycle model takes the levels that arrays are loaded with, and PE {unit} is programmed row by row"
            )
        if enabled is not None:
            raise OhmweaveError(f"the cycle model takes no configuration of PE {unit} after it was enabled")
        if region in regions:
            regions[region][local] = value
        if region == Region.STAGE and local == word and value >> bit & 1:
            enabled = number + down
    if enabled is None:
        enabled = np.iinfo(np.int64).max
    stage = layout.from_bits(_bits(regions[Region.STAGE]) & ((1 << layout.size) - 1))
    length = stage["reram"]["length"]
    last = max(
        (
            stage["arithmetic"][name]["last"] + 1
            for name in ("post", "pool")
            if stage["arithmetic"][name]["enable"]
        ),
        default=0,
    )
    return PESettings(
        unit=unit,
        stage=stage,
        routes=_routes(unit, regions[Region.ROUTES]),
        reram=_program(unit, regions[Region.RERAM_PROGRAM], length, Half.RERAM, params, stage),
        arithmetic=_program(unit, regions[Region.ARITHMETIC_PROGRAM], last, Half.ARITHMETIC, params, stage),
        constants=_constants(params, regions[Region.CONSTANTS]),
        blocks=_blocks(params, regions[Region.INDEX]),
        enabled=enabled,
    )


def _routes(unit: int, words: Mapping[int, int]) -> dict[SwitchOutput, SwitchInput | Turns]:
    layout = RoutesLayout()
    told = layout.from_bits(_bits(words) & ((1 << layout.size) - 1))
    routes: dict[SwitchOutput, SwitchInput | Turns] = {}
    for output in SwitchOutput:
        routes[output] = first = _input(unit, told["first"][output])
        flits = told["flits"][output]
        if told["turns"] >> output & 1 and flits["first"]:
            second = _input(unit, told["second"][output])
            routes[output] = Turns(first, flits["first"], second, flits["second"])
    readers: dict[SwitchInput, set[SwitchInput | Turns]] = {}
    for source in routes.values():
        for each in (source.first, source.second) if isinstance(source, Turns) else (source,):
            readers.setdefault(each, set()).add(source)
    for each, sources in readers.items():
        # Which flits an output misses while it takes from elsewhere would depend on time.
        if each != SwitchInput.CLOSED and len(sources) > 1:
            raise OhmweaveError(
                f"the cycle model has outputs that share an input take the same turns, and those of PE {unit} do not"
            )
    return routes


def _input(unit: int, code: int) -> SwitchInput:
    if code > max(SwitchInput):
        raise OhmweaveError(f"the switch of PE {unit} has no input {code}")
    return SwitchInput(code)


def _bits(words: Mapping[int, int]) -> int:
    return sum(word << (CONFIG_BITS * local) for local, word in words.items())


def _program(
    unit: int, words: Mapping[int, int], length: int, half: Half, params: GroupParams, stage: Any
) -> list[Instruction]:
    found = []
    for place in range(length):
        word = words.get(2 * place, 0) | words.get(2 * place + 1, 0) << CONFIG_BITS
        name = "ReRAM" if half == Half.RERAM else "arithmetic"
        try:
            instruction = decode(word, half)
        except OhmweaveError as error:
            raise OhmweaveError(
                f"the cycle model runs legal programs, and instruction {place} of the {name} half of PE {unit} is not: "
                f"{error}"
            ) from None
        if half == Half.RERAM and not _executable(instruction, params, stage):
            raise OhmweaveError(
                f"the cycle model runs legal programs, and instruction {place} of the {name} half of PE {unit} is not"
            )
        found.append(instruction)
    return found


def _executable(instruction: Instruction, params: GroupParams, stage: Any) -> bool:
    """Whether the controller of the ReRAM half executes an instruction that is legal by itself."""
    if instruction.kind == Class.C:
        return instruction.op != ControlOp.DMA
    if instruction.kind != Class.R:
        return True
    array, buffer = params.pe.array, params.pe.buffer
    both = instruction["src"] == Place.BOTH_BUFFERS
    reads = (1 << instruction["slices"]) * sign_scheme(array).signs
    fits = instruction["index"] or instruction["blocks"] < array.colmux // reads
    sources = [n for n in range(2) if both or instruction["src"] == (Place.BUFFER_0, Place.BUFFER_1)[n]]
    divides = all(plane_shares(buffer, stage["reram"]["split"][n], instruction["planes"]) for n in sources)
    ordered = instruction["first"] <= instruction["blocks"]
    alone = not (both and stage["reram"]["in_place"])
    return bool(instruction["fusion"] == 0 and fits and divides and ordered and alone)


def _constants(params: GroupParams, words: Mapping[int, int]) -> np.ndarray:
    pe = params.pe
    found = np.zeros(CONSTANTS * pe.vectors * pe.alu_lanes, np.uint64)
    for local, word in words.items():
        entry, place = divmod(local, ENTRY_WORDS)
        if entry < len(found):
            found[entry] |= np.uint64(word << (CONFIG_BITS * place))
    values = found & np.uint64((1 << pe.lane_bits) - 1)
    signed = (values << np.uint64(64 - pe.lane_bits)).view(np.int64) >> (64 - pe.lane_bits)
    return signed.reshape(pe.vectors, CONSTANTS, pe.alu_lanes)


def _blocks(params: GroupParams, words: Mapping[int, int]) -> list[int]:
    """The indices that the indexing filter walks."""
    entries = params.pe.array.colmux
    count = min(words.get(COUNT, 0), entries)
    if words.get(DENSE, 0) & 1:
        return list(range(count))
    steps = (min(max(words.get(TABLE + place, 1), 1), entries) for place in range(count))
    return [min(place, entries - 1) for place in (np.cumsum(list(steps), dtype=int) - 1).tolist()]


def _node(told: list[tuple[int, int, int]]) -> NodeSettings:
    node = NodeSettings()
    for address, value, _ in told:
        if address == NodeRegister.CHILDREN:
            node.children = value & (1 << RADIX) - 1
        elif address == NodeRegister.SELECT:
            node.select = value
        elif NodeRegister.TURN <= address < NodeRegister.TURN + RADIX:
            node.turns[address - NodeRegister.TURN] = value
        elif NodeRegister.DEAL <= address < NodeRegister.DEAL + RADIX:
            node.deals[address - NodeRegister.DEAL] = value
    return node
