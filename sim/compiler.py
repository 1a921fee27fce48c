"""Compiles stages onto a chip: a row of neighbouring PEs for each, and everything that configures them.

Two ways: all stages of a chain at once, each on a PE of its own and the next its neighbour, or two of them on one where
the chip has fewer PEs than the chain has stages (`compile_chain`); or one round of one stage at a time, on as many PEs
as its rows and columns need (`compile_pass`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isqrt, prod

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.group import mesh_side, mesh_unit, node_unit
from ohmweave.rtl.network.tree_node import RADIX, node_writes
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns, switch_writes
from ohmweave.sim.entries import by_entries, copies_below, first_pes
from ohmweave.sim.folding import folded
from ohmweave.sim.frames import flits_per_frame
from ohmweave.sim.graph import Graph
from ohmweave.sim.merging import merged
from ohmweave.sim.pe_config import Plan, Share, SideLink, leaving_bits, plan, share_config
from ohmweave.sim.program import Inbound, Outbound, Placed, Program, packets
from ohmweave.sim.stages import Stage
from ohmweave.sim.tiling import Columns, Tiling, tile
from ohmweave.sim.two_layers import TwoLayers, two_layers_config

__all__ = [
    "Routes",
    "chain_flits",
    "compile_chain",
    "compile_pass",
    "copy_pes",
    "is_chain",
    "program_of",
    "tiled",
]

Routes = dict[SwitchOutput, SwitchInput | Turns]
Pair = tuple[int, int]


def tiled(stage: Stage, params: GroupParams) -> Tiling:
    """The stage cut up for the chip's PEs; `OhmweaveError` names the stage if it does not fit."""
    try:
        tiling = tile(merged(stage, params.pe), params.pe)
    except OhmweaveError as error:
        raise OhmweaveError(f"{stage.name} does not fit a PE: {error}") from None
    if len(tiling.shares) > params.pes:
        raise OhmweaveError(
            f"{stage.name} needs {len(tiling.shares)} PEs for its rows, and the chip has {params.pes}"
        )
    # What no PE can be configured for is refused before anything runs.
    _check(tiling, params)
    return _side_by_side(tiling, params)


def _check(tiling: Tiling, params: GroupParams) -> None:
    """Raise for what a PE cannot do; passes of as many channels are alike."""
    for among in tiling.rounds:
        for outs in {behind - first: (first, behind) for first, behind in among}.values():
            for place in range(len(tiling.shares)):
                _plan(tiling, params, place, outs, among)


def _side_by_side(tiling: Tiling, params: GroupParams) -> Tiling:
    """As many passes at once as the chip has rows of PEs for.

    The collection takes the parts of each pixel in turns, so that each part has to be whole flits.
    """
    bits = leaving_bits(tiling.stage)
    whole = all((behind - first) * bits % params.pe.link_bits == 0 for first, behind in tiling.passes)
    if not whole or len(tiling.shares) > RADIX:  # longer rows than a quad has PEs are no circle of neighbours
        return tiling
    for together in range(min(len(tiling.passes), params.pes // _block(tiling)), 1, -1):
        wider = replace(tiling, together=together)
        try:
            _check(wider, params)
        except OhmweaveError:  # a pixel of so many channels is too long for a receiver
            continue
        return wider
    return tiling


def _block(tiling: Tiling) -> int:
    """PEs from the first of a row to that of the next, such that the trees reach every row by branches of its own."""
    return 1 << (len(tiling.shares) - 1).bit_length()


def is_chain(graph: Graph, tilings: Sequence[Tiling], params: GroupParams) -> bool:
    """Whether all stages can run at once: each reads the one before, and fits one PE, of its own or with another."""
    before = graph.input.name
    for tiling in tilings:
        stage = tiling.stage
        if stage.main.name != before or stage.side is not None or stage.sent != (1, 1) or stage.expanded:
            return False
        if len(tiling.shares) > 1 or len(tiling.passes) > 1:
            return False
        before = stage.result.name
    return before == graph.output.name and folded(tilings, params) is not None


def compile_pass(tiling: Tiling, number: int, params: GroupParams, columns: Columns | None = None) -> Program:
    """One round of passes of a stage: each a row of PEs, each of which adds to what the one before sends.

    All PEs listen to the tree, and the collection puts together what the last of each row sends of a pixel.

    columns  what the arrays hold, where channels were pruned
    """
    stage, among = tiling.stage, tiling.rounds[number]
    bits = leaving_bits(stage)
    rows = _rows(tiling, params, len(among))
    parts = []
    for units, outs in zip(rows, among, strict=True):
        for place, unit in enumerate(units):
            routes: Routes = {SwitchOutput.MAIN: SwitchInput.TREE}
            if place:
                routes[SwitchOutput.SIDE] = _from(unit, units[place - 1])
            if place + 1 < len(units):
                routes[_to(unit, units[place + 1])] = SwitchInput.CORE
            else:
                routes[SwitchOutput.COLLECTION] = SwitchInput.CORE
                if stage.side is not None:
                    routes[SwitchOutput.SHORTCUT] = SwitchInput.TREE
            parts.append((unit, _share(tiling, params, place, outs, among, columns), routes))
    whole = (among[0][0], among[-1][1])
    turn = _turn(among, bits, params)
    shape = ((whole[1] - whole[0]) // stage.merged, *stage.result.shape[1:])
    outbound = Outbound(shape, bits, stage.raw, rows=len(rows), turn=turn)
    turns = {
        units[-1]: -(-(turn or behind - first) * bits // params.pe.link_bits)
        for units, (first, behind) in zip(rows, among, strict=True)
    }
    entries = [unit for units in rows for unit in units]
    placed = (Placed(stage.name, tuple(entries)),)
    return program_of(params, parts, _inbound(stage, whole), outbound, placed, entries, turns)


def _turn(among: Sequence[Pair], bits: int, params: GroupParams) -> int:
    """Channels of a vector, where rows of PEs can take turns by vectors, and hardly wait for each other; 0 else."""
    channels = {behind - first for first, behind in among}
    lanes = params.pe.alu_lanes
    even = len(channels) == 1 and channels.pop() % lanes == 0 and lanes * bits % params.pe.link_bits == 0
    return lanes if len(among) > 1 and even else 0


def _rows(tiling: Tiling, params: GroupParams, count: int) -> list[list[int]]:
    """Rows of neighbouring PEs; several of them such that the trees reach each by branches of its own, in order."""
    rows = len(tiling.shares)
    if count == 1:
        return [_path(params.pes)[:rows]]
    block = _block(tiling)
    around = [0, 1, 3, 2][:rows]  # a quad's PEs in a circle
    return [[first + place for place in around] for first in range(0, count * block, block)]


def compile_chain(layers: Sequence[Tiling | TwoLayers], params: GroupParams, *, copies: int = 1) -> Program:
    """All stages of a chain at once: each reads what the one before gives, on a PE of its own or with the next.

    copies  of the whole chain, each on a block of PEs with branches of the trees of its own: the flits of as many
            frames are dealt out to them in turn, and their results collected one after the other; with several
            entries of the chip, each deals to the copies below it
    """
    if len(layers) > params.pes:
        raise OhmweaveError(f"{len(layers)} stages need {len(layers)} PEs, and the chip has {params.pes}")
    block = params.pes if copies == 1 else copy_pes(len(layers))
    if copies * block > params.pes:
        raise OhmweaveError(
            f"{copies} copies of {len(layers)} stages need {copies * block} PEs, and the chip has {params.pes}"
        )
    below = copies_below(copies, block, params)
    rows = [
        [first + unit for unit in _path(block)[: len(layers)]] for first in first_pes(below, block, params)
    ]
    shares = [_layer_share(layer, params) for layer in layers]
    parts = []
    for units in rows:
        for place, (unit, share) in enumerate(zip(units, shares, strict=True)):
            routes: Routes = {
                SwitchOutput.MAIN: _from(unit, units[place - 1]) if place else SwitchInput.TREE,
                _to(unit, units[place + 1])
                if place + 1 < len(units)
                else SwitchOutput.COLLECTION: SwitchInput.CORE,
            }
            parts.append((unit, share, routes))
    _, flits_out = chain_flits(layers, params)
    last = layers[-1].parts[-1].stage
    placed = tuple(
        Placed(layer.name, units) for layer, units in zip(layers, zip(*rows, strict=True), strict=True)
    )
    program = program_of(
        params,
        parts,
        _inbound(layers[0].parts[0].stage, layers[0].parts[0].passes[0]),
        Outbound(last.result.shape, leaving_bits(last), last.raw),
        placed,
        [units[0] for units in rows],
        {units[-1]: flits_out if copies > 1 else 1 for units in rows},
        {units[0]: 1 for units in rows} if copies > 1 else {},
        copies,
    )
    return by_entries(program, below) if copies > 1 and params.entries > 1 else program


def copy_pes(layers: int) -> int:
    """PEs of the block that a copy of a chain of so many layers takes."""
    return RADIX ** next(level for level in range(layers) if RADIX**level >= layers)


def chain_flits(layers: Sequence[Tiling | TwoLayers], params: GroupParams) -> Pair:
    """Flits of a frame of a chain's input, and of its results."""
    first, last = layers[0].parts[0], layers[-1].parts[-1].stage
    pixel_bits = _inbound(first.stage, first.passes[0]).pixel_bits
    height, width = first.stage.sent_shape[1:]
    link_bits = params.pe.link_bits
    return (
        flits_per_frame(height * width, pixel_bits, link_bits),
        flits_per_frame(prod(last.result.shape), leaving_bits(last), link_bits),
    )


def _inbound(stage: Stage, outs: Pair) -> Inbound:
    if stage.side is None:
        return Inbound(stage.main.shape[0], stage.main.bits)
    return Inbound(stage.main.shape[0], stage.main.bits, outs[1] - outs[0], stage.side.bits)


def _layer_share(layer: Tiling | TwoLayers, params: GroupParams) -> Share:
    """What the PE of a chain's layer, or of two, is sent."""
    if isinstance(layer, Tiling):
        return _share(layer, params, 0, layer.passes[0], layer.passes)
    inbound = _inbound(layer.first.stage, layer.first.passes[0])
    return two_layers_config(layer, params.pe, link_channels=inbound.pixel_bits // inbound.bits)


def _share(
    tiling: Tiling,
    params: GroupParams,
    place: int,
    outs: Pair,
    among: Sequence[Pair],
    columns: Columns | None = None,
) -> Share:
    made = _plan(tiling, params, place, outs, among, pruned=columns is not None)
    return share_config(made, tiling, params.pe, tile=place, outs=outs, columns=columns)


def _plan(
    tiling: Tiling,
    params: GroupParams,
    place: int,
    outs: Pair,
    among: Sequence[Pair],
    *,
    pruned: bool = False,
) -> Plan:
    """What a PE does for a pass among those of its round; `OhmweaveError` names the stage if it cannot."""
    before = among[0][0]
    inbound = _inbound(tiling.stage, (before, among[-1][1]))
    link_channels = inbound.pixel_bits // inbound.bits
    side = None
    if inbound.side_bits:
        side = SideLink(
            channels=inbound.pixel_bits // inbound.side_bits,
            first=inbound.main_bits // inbound.side_bits + outs[0] - before,
            size=tiling.stage.sent_shape[1:],
            stride=tiling.stage.stride,
        )
    try:
        return plan(
            tiling,
            params.pe,
            tile=place,
            channels=outs[1] - outs[0],
            link_channels=link_channels,
            side=side,
            pruned=pruned,
        )
    except OhmweaveError as error:
        raise OhmweaveError(f"{tiling.stage.name} does not fit a PE: {error}") from None


def program_of(
    params: GroupParams,
    parts: Sequence[tuple[int, Share | None, Routes]],
    inbound: Inbound,
    outbound: Outbound,
    placed: tuple[Placed, ...],
    entries: Sequence[int],
    turns: Mapping[int, int],
    deals: Mapping[int, int] | None = None,
    copies: int = 1,
    exits: Sequence[int] = (),
) -> Program:
    """The program of shares on PEs.

    parts    unit, what it is sent and what its switch does; None for a PE that only passes streams on
    entries  units that the host's flits go to
    turns, deals, exits, copies  as in `_tree` and `Program`
    """
    if params.pe.link_bits < CONFIG_BITS:
        raise OhmweaveError(f"link_bits must be at least {CONFIG_BITS}, not {params.pe.link_bits}")
    config: list[int] = []
    for unit, share, routes in parts:
        opened = [(Region.ROUTES.address(local), word) for local, word in switch_writes(routes)]
        config += packets(unit, [*opened, *(() if share is None else share.writes)])
    config += _tree(params, entries, turns, deals or {}, exits)
    return Program(
        params=params,
        levels={unit: share.levels for unit, share, _ in parts if share is not None},
        config=np.array(config, dtype=np.uint32),
        inbound=inbound,
        outbound=outbound,
        stages=placed,
        copies=copies,
    )


def _path(pes: int) -> list[int]:
    """The PEs of the first block of so many, each a neighbour of the one before: row by row, back and forth."""
    side = isqrt(pes)
    return [mesh_unit(x if y % 2 == 0 else side - 1 - x, y) for y in range(side) for x in range(side)]


def _from(here: int, there: int) -> SwitchInput:
    return SwitchInput(SwitchInput.NORTH + mesh_side(here, there))


def _to(here: int, there: int) -> SwitchOutput:
    return SwitchOutput(SwitchOutput.NORTH + mesh_side(here, there))


def _tree(
    params: GroupParams,
    entries: Sequence[int],
    turns: Mapping[int, int],
    deals: Mapping[int, int],
    exits: Sequence[int],
) -> list[int]:
    """Flits that open the distribution tree down to some PEs and the collection tree up from some.

    turns  PE → flits that it sends at a time; where there are several, they take turns in the order of their numbers
    deals  PE → flits that are sent to it at a time, in the same order; none where all PEs get all flits
    exits  PEs whose data leave the collection tree at the entries' level
    """
    reached = _by_node(params, dict.fromkeys(entries, 1))
    collected, dealt = _by_node(params, turns), _by_node(params, deals)
    collected.update(_by_node(params, dict.fromkeys(exits, 1), params.entry_level))
    config: list[int] = []
    for node in sorted({*reached, *collected}):
        taken, given = collected.get(node, {}), dealt.get(node, {})
        open_children = sorted(reached.get(node, ()))
        writes = node_writes(
            children=open_children[:1] if len(given) > 1 else open_children,
            select=min(taken, default=None),
            turns=taken if len(taken) > 1 else None,
            deals=given if len(given) > 1 else None,
        )
        config += packets(node, writes.items())
    return config


def _by_node(params: GroupParams, flits: Mapping[int, int], top: int = 0) -> dict[int, dict[int, int]]:
    """Node → child → flits of the PEs below it, from level `top` on."""
    found: dict[int, dict[int, int]] = {}
    for level in range(top, params.levels):
        below = RADIX ** (params.levels - level)
        for unit, count in flits.items():
            at = found.setdefault(node_unit(level, unit // below), {})
            child = unit // (below // RADIX) % RADIX
            at[child] = at.get(child, 0) + count
    return found
