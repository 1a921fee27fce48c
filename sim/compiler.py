"""Compiles stages onto a chip: a row of neighbouring PEs for each, and everything that configures them.

Two ways: all stages of a chain at once, each on a PE of its own and the next its neighbour (`compile_chain`); or one
pass of one stage at a time, on as many PEs as its rows need (`compile_pass`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.group import STEPS, mesh_position, mesh_unit, node_unit
from ohmweave.rtl.network.tree_node import RADIX, node_writes
from ohmweave.rtl.pe import RoutesLayout, SwitchInput, SwitchOutput
from ohmweave.rtl.registers import register_writes
from ohmweave.sim.graph import RAW_BITS, Graph
from ohmweave.sim.pe_config import Plan, Share, plan, raw_width, share_config
from ohmweave.sim.program import Inbound, Outbound, Placed, Program, packets
from ohmweave.sim.stages import Stage
from ohmweave.sim.tiling import Columns, Tiling, tile

__all__ = ["compile_chain", "compile_pass", "is_chain", "tiled"]

Routes = dict[SwitchOutput, SwitchInput]


def tiled(stage: Stage, params: GroupParams) -> Tiling:
    """The stage cut up for the chip's PEs; `OhmweaveError` names the stage if it does not fit."""
    try:
        tiling = tile(stage, params.pe)
    except OhmweaveError as error:
        raise OhmweaveError(f"{stage.name} does not fit a PE: {error}") from None
    if len(tiling.shares) > params.pes:
        raise OhmweaveError(
            f"{stage.name} needs {len(tiling.shares)} PEs for its rows, and the chip has {params.pes}"
        )
    # What no PE can be configured for is refused before anything runs; passes of as many channels are alike.
    for outs in {behind - first: (first, behind) for first, behind in tiling.passes}.values():
        for place in range(len(tiling.shares)):
            _plan(tiling, params, place, outs)
    return tiling


def is_chain(graph: Graph, tilings: Sequence[Tiling], params: GroupParams) -> bool:
    """Whether all stages can run at once: each reads the one before, and fits one PE of its own."""
    before = graph.input.name
    for tiling in tilings:
        stage = tiling.stage
        if stage.main.name != before or stage.side is not None or stage.sent != (1, 1) or stage.expanded:
            return False
        if len(tiling.shares) > 1 or len(tiling.passes) > 1:
            return False
        before = stage.result.name
    return before == graph.output.name and len(tilings) <= params.pes


def compile_pass(tiling: Tiling, number: int, params: GroupParams, columns: Columns | None = None) -> Program:
    """One pass of a stage: its PEs in a row, all listening to the tree, each adding to what the one before sends.

    columns  what the arrays hold, where channels were pruned
    """
    stage, outs = tiling.stage, tiling.passes[number]
    inbound = _inbound(stage, outs)
    raw_bits = _raw_bits(stage)
    units = _path(params)[: len(tiling.shares)]
    parts = []
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
        parts.append((unit, _share(tiling, params, place, outs, columns), routes))
    outbound = Outbound(
        ((outs[1] - outs[0]) // stage.merged, *stage.result.shape[1:]),
        raw_bits or stage.result.bits,
        stage.raw,
    )
    return _program(params, parts, inbound, outbound, (Placed(stage.name, tuple(units)),), units, units[-1])


def compile_chain(tilings: Sequence[Tiling], params: GroupParams) -> Program:
    """All stages of a chain at once: each reads what the one before gives, and fits one PE."""
    if len(tilings) > params.pes:
        raise OhmweaveError(f"{len(tilings)} stages need {len(tilings)} PEs, and the chip has {params.pes}")
    units = _path(params)[: len(tilings)]
    parts = []
    for place, (unit, tiling) in enumerate(zip(units, tilings, strict=True)):
        routes: Routes = {
            SwitchOutput.MAIN: _from(unit, units[place - 1]) if place else SwitchInput.TREE,
            _to(unit, units[place + 1])
            if place + 1 < len(units)
            else SwitchOutput.COLLECTION: SwitchInput.CORE,
        }
        parts.append((unit, _share(tiling, params, 0, tiling.passes[0]), routes))
    first, last = tilings[0].stage, tilings[-1].stage
    outbound = Outbound(last.result.shape, _raw_bits(last) or last.result.bits, last.raw)
    placed = tuple(Placed(each.stage.name, (unit,)) for each, unit in zip(tilings, units, strict=True))
    inbound = _inbound(first, tilings[0].passes[0])
    return _program(params, parts, inbound, outbound, placed, units[:1], units[-1])


def _inbound(stage: Stage, outs: tuple[int, int]) -> Inbound:
    if stage.side is None:
        return Inbound(stage.main.shape[0], stage.main.bits)
    return Inbound(stage.main.shape[0], stage.main.bits, outs[1] - outs[0], stage.side.bits)


def _raw_bits(stage: Stage) -> int:
    """Bits of a number that leaves as a sum; 0 for a stage that scales."""
    return raw_width(stage.sum_bound) if stage.raw else 0


def _share(
    tiling: Tiling,
    params: GroupParams,
    place: int,
    outs: tuple[int, int],
    columns: Columns | None = None,
) -> Share:
    made = _plan(tiling, params, place, outs, pruned=columns is not None)
    return share_config(made, tiling, params.pe, tile=place, outs=outs, columns=columns)


def _plan(
    tiling: Tiling, params: GroupParams, place: int, outs: tuple[int, int], *, pruned: bool = False
) -> Plan:
    """What a PE does for a pass; `OhmweaveError` names the stage if it cannot."""
    inbound = _inbound(tiling.stage, outs)
    try:
        return plan(
            tiling,
            params.pe,
            tile=place,
            channels=outs[1] - outs[0],
            link_channels=inbound.pixel_bits // inbound.bits,
            side_first=inbound.main_bits // inbound.side_bits if inbound.side_bits else 0,
            raw_bits=_raw_bits(tiling.stage) or RAW_BITS,
            pruned=pruned,
        )
    except OhmweaveError as error:
        raise OhmweaveError(f"{tiling.stage.name} does not fit a PE: {error}") from None


def _program(
    params: GroupParams,
    parts: Sequence[tuple[int, Share, Routes]],
    inbound: Inbound,
    outbound: Outbound,
    placed: tuple[Placed, ...],
    entries: Sequence[int],
    leaves: int,
) -> Program:
    if params.pe.link_bits < CONFIG_BITS:
        raise OhmweaveError(f"link_bits must be at least {CONFIG_BITS}, not {params.pe.link_bits}")
    config: list[int] = []
    for unit, share, routes in parts:
        words = [int(routes.get(output, SwitchInput.CLOSED)) for output in SwitchOutput]
        opened = [
            (Region.ROUTES.address(local), word) for local, word in register_writes(RoutesLayout(), words)
        ]
        config += packets(unit, [*opened, *share.writes])
    config += _tree(params, entries, leaves)
    return Program(
        params=params,
        levels={unit: share.levels for unit, share, _ in parts},
        config=np.array(config, dtype=np.uint32),
        inbound=inbound,
        outbound=outbound,
        stages=placed,
    )


def _path(params: GroupParams) -> list[int]:
    """All PEs so that each is a neighbour of the one before: row by row, every other row backwards."""
    side = params.side
    return [mesh_unit(x if y % 2 == 0 else side - 1 - x, y) for y in range(side) for x in range(side)]


def _side(here: int, there: int) -> int:
    """On which side of a PE its neighbour is."""
    (x, y), (to_x, to_y) = mesh_position(here), mesh_position(there)
    return STEPS.index((to_x - x, to_y - y))


def _from(here: int, there: int) -> SwitchInput:
    return SwitchInput(SwitchInput.NORTH + _side(here, there))


def _to(here: int, there: int) -> SwitchOutput:
    return SwitchOutput(SwitchOutput.NORTH + _side(here, there))


def _tree(params: GroupParams, entries: Sequence[int], last: int) -> list[int]:
    """Flits that open the distribution tree down to some PEs and the collection tree up from one."""
    children: dict[int, set[int]] = {}
    selects: dict[int, int] = {}
    for level in range(params.levels):
        below = RADIX ** (params.levels - level)
        for unit in entries:
            children.setdefault(node_unit(level, unit // below), set()).add(unit // (below // RADIX) % RADIX)
        selects[node_unit(level, last // below)] = last // (below // RADIX) % RADIX
    flits: list[int] = []
    for node in sorted({*children, *selects}):
        writes: Mapping[int, int] = node_writes(
            children=sorted(children.get(node, ())), select=selects.get(node)
        )
        flits += packets(node, writes.items())
    return flits
