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
from ohmweave.sim.mapping.regions import Region
from ohmweave.sim.mapping.route import Route
from ohmweave.sim.mapping.section_ports import by_sections
from ohmweave.sim.pe_config import Plan, Share, SideLink, plan, share_config
from ohmweave.sim.program import Inbound, Outbound, Placed, Program

__all__ = ["compile_mapped", "piece_plan"]

RECEIVERS = {
    Port.MAIN: SwitchOutput.MAIN,
    Port.SHORTCUT: SwitchOutput.SHORTCUT,
    Port.SIDE: SwitchOutput.SIDE,
}


def compile_mapped(
    sections: Sequence[Sequence[Cut]],
    layout: Layout,
    params: GroupParams,
    *,
    regions: Sequence[Sequence[Region]] = (),
) -> Program:
    """All pieces on their units.

    sections  the copies of each; images are dealt out to those of the first in turn
    regions   of the copies, where there are several sections
    """
    copies = [cut for cuts in sections for cut in cuts]
    pieces = [piece for cut in copies for piece in cut.pieces]
    routes = _routes(copies, layout, params)
    # Copies are alike: what the PEs of their pieces are sent is made once.
    like = {
        piece: first
        for cuts in sections
        for cut in cuts
        for piece, first in zip(cut.pieces, cuts[0].pieces, strict=True)
    }
    shares = {piece: _share(piece, params) for cuts in sections for piece in cuts[0].pieces}
    placement = layout.placement
    parts: list[tuple[int, Share | None, Routes]] = [
        (placement[piece], shares[like[piece]], routes[placement[piece]]) for piece in pieces
    ]
    # Switches of PEs that have no piece pass streams on.
    parts += [(unit, None, routes[unit]) for unit in sorted(set(routes) - set(placement.values()))]
    output = copies[-1].output
    outbound = Outbound(output.tensor.shape, output.bits, signed=output.tensor.raw)
    flits_out = flits_per_frame(outbound.numbers, outbound.bits, params.pe.link_bits)
    count = len(sections[0])
    last = [placement[cut.output.source] for cut in sections[-1]]
    readers = [[placement[piece] for piece in cut.pieces if piece.reads(cut.image)] for cut in copies]
    several = count > 1 and not regions
    units: dict[str, list[int]] = {}
    for piece in pieces:
        units.setdefault(piece.stage.name, []).append(placement[piece])
    program = program_of(
        params,
        parts,
        Inbound(copies[0].image.count, copies[0].image.bits, blocks=copies[0].blocks),
        outbound,
        tuple(Placed(name, tuple(found)) for name, found in units.items()),
        [unit for each in readers for unit in each],
        dict.fromkeys(last, flits_out if len(last) > 1 else 1),
        {each[0]: 1 for each in readers} if several else {},
        count,
        [placement[cut.output.source] for cuts in sections[:-1] for cut in cuts],
    )
    if regions:
        return by_sections(program, sections, regions)
    if count == 1 or params.entries == 1:
        return program
    return by_entries(program, copies_below(count, params.pes // count, params))


def piece_plan(piece: Piece, params: GroupParams) -> Plan:
    """What a piece's PE does; `OhmweaveError` names the stage if no PE can."""
    side = None
    if piece.side is not None:
        assert piece.tiling.stage.side is not None
        side = SideLink(
            channels=piece.side.count,
            first=piece.gives[0] - piece.side.channels[0],
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


def _routes(copies: Sequence[Cut], layout: Layout, params: GroupParams) -> dict[int, Routes]:
    """Unit → what its switch does."""
    found: dict[int, Routes] = {unit: {} for unit in layout.placement.values()}
    comes = {route.net.source: route.comes for route in layout.routes}
    for cut in copies:
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
    for cut in copies:
        last = cut.output.source
        found[layout.placement[last]][SwitchOutput.COLLECTION] = _leaving(
            last, layout.placement, comes, params
        )
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
    return sum(piece.channels * bits for piece in pieces) // params.pe.link_bits
