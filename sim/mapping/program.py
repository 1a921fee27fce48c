"""The program of a network that is on the chip as a whole."""

from collections.abc import Mapping, Sequence

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.compiler import Routes, program_of
from ohmweave.sim.entries import by_entries, copies_below
from ohmweave.sim.frames import flits_per_frame
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.layout import Layout
from ohmweave.sim.mapping.nets import Port
from ohmweave.sim.mapping.route import Route
from ohmweave.sim.pe_config import Plan, Share, SideLink, plan, share_config
from ohmweave.sim.program import Inbound, Outbound, Placed, Program

__all__ = ["compile_mapped", "piece_plan"]

RECEIVERS = {
    Port.MAIN: SwitchOutput.MAIN,
    Port.SHORTCUT: SwitchOutput.SHORTCUT,
    Port.SIDE: SwitchOutput.SIDE,
}


def compile_mapped(cut: Cut, layout: Layout, params: GroupParams, *, copies: int = 1) -> Program:
    """All pieces on their units, and as many more times on the units that follow those, block by block.

    copies  of the network, each on pes / copies PEs; the flits of as many frames are dealt out to them in turn
    """
    block = params.pes // copies
    shares = {piece: _share(piece, params) for piece in cut.pieces}
    routes = _routes(cut, layout, params)
    parts: list[tuple[int, Share | None, Routes]] = []
    for copy in range(copies):
        parts += [
            (copy * block + layout.placement[piece], shares[piece], routes[layout.placement[piece]])
            for piece in cut.pieces
        ]
        # Switches of PEs that have no piece pass streams on.
        passing = sorted(set(routes) - set(layout.placement.values()))
        parts += [(copy * block + unit, None, routes[unit]) for unit in passing]
    entries = [layout.placement[piece] for piece in cut.pieces if piece.reads(cut.image)]
    leaves = layout.placement[cut.output.source]
    outbound = Outbound(cut.output.tensor.shape, cut.output.bits, signed=cut.output.tensor.raw)
    flits_out = flits_per_frame(outbound.numbers, outbound.bits, params.pe.link_bits)
    names = dict.fromkeys(piece.stage.name for piece in cut.pieces)
    program = program_of(
        params,
        parts,
        Inbound(cut.image.count, cut.image.bits),
        outbound,
        tuple(
            Placed(
                name,
                tuple(
                    copy * block + layout.placement[piece] for copy in range(copies) for piece in cut.of(name)
                ),
            )
            for name in names
        ),
        [copy * block + unit for copy in range(copies) for unit in entries],
        {copy * block + leaves: flits_out if copies > 1 else 1 for copy in range(copies)},
        {copy * block + entries[0]: 1 for copy in range(copies)} if copies > 1 else {},
        copies,
    )
    if copies == 1 or params.entries == 1:
        return program
    return by_entries(program, copies_below(copies, block, params))


def piece_plan(piece: Piece, params: GroupParams) -> Plan:
    """What a piece's PE does; `OhmweaveError` names the stage if no PE can."""
    side = None
    if piece.side is not None:
        assert piece.tiling.stage.side is not None
        side = SideLink(
            channels=piece.side.count,
            first=piece.first + piece.outs[0] - piece.side.channels[0],
            size=piece.tiling.stage.side.shape[1:],
            stride=(1, 1),
            apart=True,
        )
    try:
        return plan(
            piece.tiling,
            params.pe,
            tile=piece.place,
            channels=piece.outs[1] - piece.outs[0],
            link_channels=piece.main.count,
            link_first=piece.main.channels[0] - piece.first,
            side=side,
        )
    except OhmweaveError as error:
        raise OhmweaveError(f"{piece.stage.name} does not fit a PE: {error}") from None


def _share(piece: Piece, params: GroupParams) -> Share:
    made = piece_plan(piece, params)
    return share_config(made, piece.tiling, params.pe, tile=piece.place, outs=piece.outs)


def _routes(cut: Cut, layout: Layout, params: GroupParams) -> dict[int, Routes]:
    """Unit → what its switch does."""
    found: dict[int, Routes] = {unit: {} for unit in layout.placement.values()}
    comes = {route.net.source: route.comes for route in layout.routes}
    for piece in cut.pieces:
        routes = found[layout.placement[piece]]
        if piece.main is cut.image:
            routes[SwitchOutput.MAIN] = SwitchInput.TREE
        if piece.side is cut.image:
            routes[SwitchOutput.SHORTCUT] = SwitchInput.TREE
    for route in layout.routes:
        source = layout.placement[route.net.source]
        own = _leaving(route.net.source, layout.placement, comes, params)
        for unit, side in route.links:
            where = own if unit == source else _from(route, unit)
            found.setdefault(unit, {})[SwitchOutput(SwitchOutput.NORTH + side)] = where
        for piece, port in route.net.sinks:
            if port in RECEIVERS:
                unit = layout.placement[piece]
                found[unit][RECEIVERS[port]] = _from(route, unit)
    last = cut.output.source
    found[layout.placement[last]][SwitchOutput.COLLECTION] = _leaving(last, layout.placement, comes, params)
    return found


def _from(route: Route, unit: int) -> SwitchInput:
    """The input at which a stream comes to a unit."""
    return SwitchInput(SwitchInput.NORTH + route.comes[unit])


def _leaving(
    piece: Piece,
    placement: Mapping[Piece, int],
    comes: Mapping[Piece, Mapping[int, int]],
    params: GroupParams,
) -> SwitchInput | Turns:
    """What leaves a piece's PE: its results, behind the slices of other pieces that come for each pixel."""
    before = piece.before
    if before is None:
        return SwitchInput.CORE
    assert piece.stream is not None
    at = piece.stream.pieces.index(piece)
    return Turns(
        SwitchInput(SwitchInput.NORTH + comes[before][placement[piece]]),
        _flits(piece.stream.pieces[:at], piece.stream.bits, params),
        SwitchInput.CORE,
        _flits([piece], piece.stream.bits, params),
    )


def _flits(pieces: Sequence[Piece], bits: int, params: GroupParams) -> int:
    """Flits of a pixel that some slices are."""
    return sum((piece.outs[1] - piece.outs[0]) * bits for piece in pieces) // params.pe.link_bits
