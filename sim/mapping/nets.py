"""What the links between PEs carry: from each piece to all that take what leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ohmweave.sim.mapping.cut import Piece

__all__ = ["Net", "Port", "nets"]


class Port(Enum):
    """Where a net ends: receivers of a PE, or its switch, which puts the PE's own results behind what comes."""

    MAIN = "main"
    SHORTCUT = "shortcut"
    SIDE = "side"
    JOINED = "joined"


@dataclass(frozen=True, eq=False)
class Net:
    """From the piece that it leaves to the ports that take it, at least one but for the network's output."""

    source: Piece
    sinks: Sequence[tuple[Piece, Port]]


def nets(pieces: Sequence[Piece]) -> list[Net]:
    """One for every piece, in their order."""
    sinks: dict[Piece, list[tuple[Piece, Port]]] = {piece: [] for piece in pieces}
    for piece in pieces:
        if piece.main.pieces:
            sinks[piece.main.source].append((piece, Port.MAIN))
        if piece.side is not None and piece.side.pieces:
            sinks[piece.side.source].append((piece, Port.SHORTCUT))
        if piece.partial is not None:
            sinks[piece.partial].append((piece, Port.SIDE))
        if piece.before is not None:
            sinks[piece.before].append((piece, Port.JOINED))
    return [Net(piece, tuple(ends)) for piece, ends in sinks.items()]
