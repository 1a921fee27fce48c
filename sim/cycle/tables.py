"""The arrays that the model's processes run on, from what the PEs and nodes were told."""

from dataclasses import dataclass

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.arithmetic.formats import CYCLES
from ohmweave.rtl.elements import FORMAT_BITS, UNIT
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.group import STEPS, mesh_neighbour, node_unit, opposite
from ohmweave.rtl.isa import (
    REGISTER_OPERANDS,
    AluOp,
    Batch,
    Class,
    ControlOp,
    Destination,
    Format,
    Operand,
    Place,
    ReadOp,
    When,
)
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.reram_half.signs import sign_scheme
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.decode import ChipSettings, NodeSettings, PESettings
from ohmweave.sim.cycle.entries import below_entries, entry_tables
from ohmweave.sim.cycle.exits import exit_tables

__all__ = ["Tables", "tables"]

#: Bits of the receivers that an N-type of the ReRAM half starts.
RECEIVERS = {Place.BUFFER_0: 1, Place.BUFFER_1: 2, Place.BOTH_BUFFERS: 3, Place.ARITHMETIC: 4}
CONTROL = {
    ControlOp.WEIGHT_LOAD: st.KIND_WEIGHT_LOAD,
    ControlOp.DATA_LOAD: st.KIND_DATA_LOAD,
    ControlOp.DISPATCH: st.KIND_DISPATCH,
    ControlOp.FETCH: st.KIND_FETCH,
}


@dataclass(frozen=True)
class Tables:
    """Arguments of `chip.run`; row n of those of PEs is PE `units[n]`, that of a node is `node_rows[level, index]`."""

    units: list[int]
    node_rows: dict[tuple[int, int], int]
    pes: np.ndarray
    settings: np.ndarray
    reram: np.ndarray
    arithmetic: np.ndarray
    enabled: np.ndarray
    above: np.ndarray
    nodes: np.ndarray
    node_settings: np.ndarray
    entries: np.ndarray
    entry_settings: np.ndarray
    exits: np.ndarray
    exit_settings: np.ndarray


def tables(params: GroupParams, chip: ChipSettings) -> Tables:
    """The arrays of a chip before its first cycle."""
    units = sorted(chip.pes) or [0]
    if not chip.pes:
        raise OhmweaveError("the configuration is for no PE of the chip")
    rows = {unit: row for row, unit in enumerate(units)}
    pes = np.zeros((len(units), st.PE_STATE), np.int64)
    pes[:, [st.AWAKE, st.EX_BEGINS, st.SQ_PROBING, st.SQ_PROBE_DECODED]] = 1
    pes[:, [st.BUFFER_0 + st.RE_FRESH, st.BUFFER_1 + st.RE_FRESH]] = 1
    settings = np.zeros((len(units), st.PE_CONFIG), np.int64)
    reram = np.zeros((len(units), params.pe.reram_program, st.RERAM_SIZE), np.int64)
    arithmetic = np.zeros((len(units), params.pe.arithmetic_program, st.ARITHMETIC_SIZE), np.int64)
    for row, unit in enumerate(units):
        pe = chip.pes[unit]
        _pe_settings(settings[row], params, pe)
        _routes(pes[row], settings[row], params, pe, rows)
        for place, instruction in enumerate(pe.reram):
            _reram(reram[row, place], params, pe, instruction)
        for place, instruction in enumerate(pe.arithmetic):
            _arithmetic(arithmetic[row, place], pe, instruction)
    path = sorted(
        {
            (level, unit // RADIX ** (params.levels - level))
            for level in range(params.levels)
            for unit in (*rows, *below_entries(params))
        }
    )
    node_rows = {node: row for row, node in enumerate(path)}
    nodes, node_settings, above = _nodes(params, chip, rows, node_rows)
    entries, entry_settings = entry_tables(params, chip.entries, node_rows)
    told = [entry.exit for entry in chip.entries] if params.exit_flits else []
    exits, exit_settings = exit_tables(params, told, node_rows, rows)
    enabled = np.array([chip.pes[unit].enabled for unit in units], np.int64)
    return Tables(
        units, node_rows, pes, settings, reram, arithmetic, enabled, above, nodes, node_settings, entries,
        entry_settings, exits, exit_settings,
    )  # fmt: skip


def _pe_settings(c: np.ndarray, params: GroupParams, pe: PESettings) -> None:
    stage, p = pe.stage, params.pe
    c[st.C_LENGTH] = stage["reram"]["length"]
    c[st.C_IN_PLACE], c[st.C_POOLING] = stage["reram"]["in_place"], stage["pooling"]
    c[st.C_READ_CYCLES], c[st.C_VECTOR_BLOCKS] = p.array.read_cycles, p.vector_blocks
    c[st.C_LANES], c[st.C_PER_FLIT] = p.alu_lanes, p.link_bits // UNIT
    c[st.C_SPLIT_LAST] = stage["splitter"]["last"]
    half = stage["arithmetic"]
    c[st.C_SECOND], c[st.C_WINDOW_PIXEL] = half["second"], half["last_window_pixel"]
    for base, name in ((st.C_POST, "post"), (st.C_POOL, "pool")):
        fields = ("enable", "first", "last", "last_pixel", "last_channel", "row")
        c[base : base + len(fields)] = [half[name][each] for each in fields]
    for base, name in ((st.C_MAIN, "main"), (st.C_SHORTCUT, "shortcut")):
        receiver = stage[name]
        per_flit = p.link_bits // p.buffer.act_bits
        c[base + st.R_FLIT_LAST] = (per_flit >> receiver["planes"]) - 1
        for place, each in enumerate(("last_lane", "before", "last_taken", "after", "last_pixel")):
            c[base + st.R_LAST_LANE + place] = receiver[each]
    side = ("before", "after", "vector_units", "last_units", "last_vector", "last_pixel")
    c[st.C_SIDE : st.C_SIDE + len(side)] = [stage["side"][each] for each in side]
    spread = ("spread", "top", "left", "gap_y", "gap_x", "end_y", "end_x", "last_y", "last_x")
    c[st.C_SPREAD : st.C_SPREAD + len(spread)] = [stage["spreader"][each] for each in spread]
    for base, number in ((st.C_BUFFER_0, 0), (st.C_BUFFER_1, 1)):
        buffer = stage["buffers"][number]
        geometry = (
            "kernel", "pad", "stride", "skip", "first_rows", "first_columns", "next_columns", "slots", "in_width",
            "in_height", "last_x", "last_y",
        )  # fmt: skip
        c[base : base + len(geometry)] = [buffer[each] for each in geometry]
        # The first of 7 columns waits beside the window.
        c[base + st.B_STORES] = p.buffer.max_kernel > 6 and buffer["first_columns"] == 7


def _routes(s: np.ndarray, c: np.ndarray, params: GroupParams, pe: PESettings, rows: dict[int, int]) -> None:
    c[st.C_FROM : st.C_FROM + 6] = -1
    for output, source in pe.routes.items():
        first = source.first if isinstance(source, Turns) else source
        if first != SwitchInput.CLOSED:
            s[st.SW_WANTED + first - 1] |= 1 << output
        if isinstance(source, Turns):
            c[st.C_TURNS] |= 1 << output
            for place, (each, flits) in enumerate((source[:2], source[2:])):
                c[st.C_INPUTS + place * len(SwitchOutput) + output] = each - 1
                c[st.C_FLITS + place * len(SwitchOutput) + output] = flits
    for side in range(len(STEPS)):
        neighbour = mesh_neighbour(pe.unit, side, params.side)
        if neighbour is None:
            continue
        place = SwitchInput.NORTH - 1 + side
        c[st.C_FROM + place] = rows.get(neighbour, -1)
        c[st.C_BIT + place] = 1 << (SwitchOutput.NORTH + opposite(side))


def _reram(i: np.ndarray, params: GroupParams, pe: PESettings, instruction: Instruction) -> None:
    if instruction.kind == Class.N:
        i[st.I_KIND] = st.KIND_TRANSFER
        i[st.I_RECEIVERS] = RECEIVERS[Place(instruction["des"])]
        i[st.I_EXIT] = instruction["exit"]
        return
    if instruction.kind == Class.C:
        i[st.I_KIND] = CONTROL[ControlOp(instruction["op"])]
        return
    i[st.I_KIND] = st.KIND_READ
    i[st.I_SRC] = instruction["src"] == Place.BUFFER_1
    i[st.I_BOTH] = instruction["src"] == Place.BOTH_BUFFERS
    if instruction["op"] == ReadOp.CONVOLUTION:
        windows = pe.stage["reram"]["windows"]
        i[st.I_WINDOWS_0], i[st.I_WINDOWS_1] = windows[0], windows[1]
    i[st.I_FIRST], i[st.I_END] = instruction["first"], instruction["blocks"]
    if instruction["index"]:
        i[st.I_FIRST], i[st.I_END] = 0, len(pe.blocks) - 1
        i[st.I_STUCK] = not pe.blocks
    signs = sign_scheme(params.pe.array).signs
    i[st.I_READS] = signs << (instruction["slices"] + instruction["planes"])


def _arithmetic(a: np.ndarray, pe: PESettings, instruction: Instruction) -> None:
    wide = pe.stage["sender"]["wide_bits"] // UNIT
    if instruction.kind == Class.C:
        a[st.A_KIND] = st.KIND_NOTHING
        return
    bits = FORMAT_BITS.get(Format(instruction["size"]))
    units = wide if bits is None else bits // UNIT
    if instruction.kind == Class.N:
        a[st.A_KIND] = st.KIND_FORMAT
        a[st.A_UNITS] = wide if instruction["fuse"] else units
        a[st.A_CHANNELS] = instruction["channels"]
        return
    named = (instruction["src"], instruction["with"])
    a[st.A_KIND] = st.KIND_OPERATION
    a[st.A_CYCLES] = CYCLES[instruction.op]  # type: ignore[index]
    for place, operand in (
        (st.A_RESULT, Operand.RESULT),
        (st.A_SIDE, Operand.SIDE),
        (st.A_WINDOW, Operand.WINDOW),
    ):
        a[place] = operand in named
    a[st.A_DES] = {Destination.NETWORK: st.DES_NETWORK, Destination.BUFFER: st.DES_BUFFER}.get(
        Destination(instruction["des"]), st.DES_NONE
    )
    a[st.A_REPEATED] = instruction["batch"] == Batch.WINDOW
    a[st.A_LAST] = instruction["when"] == When.LAST
    a[st.A_UNITS] = units
    a[st.A_FORWARD], a[st.A_KEEP] = Operand.FORWARD in named, instruction["forward"]
    a[st.A_LATE] = instruction.op == AluOp.MUL or instruction["size"] != Format.WIDE
    a[st.A_READS], a[st.A_READS_TOO], a[st.A_WRITES] = (
        register - Operand.R0 + 1 if register in REGISTER_OPERANDS else 0
        for register in (*named, instruction["des"])
    )


def _nodes(
    params: GroupParams, chip: ChipSettings, rows: dict[int, int], place: dict[tuple[int, int], int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Registers and settings of the nodes in `place`, and for each PE the node above it, and the entry or -1."""
    above = np.full((len(rows), 3), -1, np.int64)
    if not params.levels:
        return np.zeros((0, st.NODE_STATE), np.int64), np.zeros((0, st.NODE_CONFIG), np.int64), above
    nodes = np.zeros((len(place), st.NODE_STATE), np.int64)
    settings = np.zeros((len(place), st.NODE_CONFIG), np.int64)
    settings[:, st.M_FIRST : st.M_FIRST + RADIX] = -1
    several = params.entries > 1
    for (level, index), row in place.items():
        settings[row, st.M_ENTRY] = index if several and level == params.entry_level else -1
        told = chip.nodes.get(node_unit(level, index), NodeSettings())
        nodes[row, st.N_SELECT] = told.select
        nodes[row, st.N_CHILDREN] = told.children
        settings[row, st.M_TURN : st.M_TURN + RADIX] = told.turns
        settings[row, st.M_DEAL : st.M_DEAL + RADIX] = told.deals
        settings[row, st.M_LEAF] = level == params.levels - 1
        if level:
            parent = place[level - 1, index // RADIX]
            settings[row, st.M_PARENT], settings[row, st.M_CHILD] = parent, index % RADIX
            settings[parent, st.M_FIRST + index % RADIX] = row
    for unit, row in rows.items():
        parent = place[params.levels - 1, unit // RADIX]
        above[row, :2] = parent, unit % RADIX
        if several and params.entry_level == params.levels:
            above[row, 2] = unit
        settings[parent, st.M_FIRST + unit % RADIX] = row
    settings[:, st.M_COLLECTS : st.M_COLLECTS + RADIX] = settings[:, st.M_FIRST : st.M_FIRST + RADIX]
    for number, entry in enumerate(chip.entries):
        if entry.exit.opened:
            parent = place[params.entry_level - 1, number // RADIX]
            settings[parent, st.M_COLLECTS + number % RADIX] = -1
    return nodes, settings, above
