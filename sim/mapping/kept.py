"""Layouts that were made before: found again by everything that goes into them.

Placement and routes are made by search, which takes minutes for a large network, and follow from the pieces, the
streams between them and the search's own program alone. Each is kept as a file of the cache with its checksum. One
that cannot be read, or is not what was written, is made anew; where the cache cannot be written nothing is kept.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.group import STEPS, mesh_position
from ohmweave.sim.cache import cache_folder, content_key
from ohmweave.sim.mapping import layout, nets, place, route
from ohmweave.sim.mapping.cut import Piece
from ohmweave.sim.mapping.layout import Layout
from ohmweave.sim.mapping.place import Allowed, Placement
from ohmweave.sim.mapping.route import Route
from ohmweave.sim.npz import atomic_path

__all__ = ["KEPT", "kept_layout"]

#: Layouts that are kept, those that were used last, and the most bytes of one.
KEPT, MAX_BYTES = 256, 1 << 22
#: What finds a layout.
PROGRAM = (layout, nets, place, route)


def kept_layout(
    pieces: Sequence[Piece], units: Sequence[int], allowed: Allowed, begin: Placement | None = None
) -> Layout:
    """What `layout.laid_out` gives, or raises, for the same; made once."""
    path = cache_folder() / "layouts" / f"{_key(pieces, units, allowed, begin)}.json"
    found = _read(path)
    if found is None:
        found = _made(pieces, units, allowed, begin)
        _write(path, found)
    if "why" in found:
        raise OhmweaveError(found["why"])
    placement = dict(zip(pieces, found["placement"], strict=True))
    ways = zip((net for net in nets.nets(pieces) if net.sinks), found["routes"], strict=True)
    return Layout(placement, [Route(net, tuple(map(tuple, links))) for net, links in ways])


def _made(
    pieces: Sequence[Piece], units: Sequence[int], allowed: Allowed, begin: Placement | None
) -> dict[str, Any]:
    """A layout as numbers: the unit of each piece, and the links of each net that has a sink; or why there is none."""
    try:
        made = layout.laid_out(pieces, units, allowed, begin)
    except OhmweaveError as error:
        return {"why": str(error)}
    return {
        "placement": [made.placement[piece] for piece in pieces],
        "routes": [each.links for each in made.routes],
    }


def _key(pieces: Sequence[Piece], units: Sequence[int], allowed: Allowed, begin: Placement | None) -> str:
    number = {piece: index for index, piece in enumerate(pieces)}
    given = [
        [[(number[piece], port.value) for piece, port in net.sinks] for net in nets.nets(pieces)],
        [(unit, mesh_position(unit)) for unit in units],
        STEPS,
        sorted((number[piece], sorted(where)) for piece, where in allowed.items()),
        None if begin is None else [begin[piece] for piece in pieces],
        sys.version_info[:3],  # whose random numbers the search takes
    ]
    sources = [Path(module.__file__ or "").read_bytes() for module in PROGRAM]
    return content_key(json.dumps(given), *sources)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """What `_write` wrote; None if it is not that."""
    try:
        with path.open() as stream:
            digest, _, text = stream.read(MAX_BYTES).partition("\n")
        if digest != _digest(text):
            return None
        os.utime(path)
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return found


def _write(path: Path, found: dict[str, Any]) -> None:
    """Keep a layout, and no more than `KEPT` of them."""
    text = json.dumps(found)
    with contextlib.suppress(OSError, OhmweaveError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(f"{_digest(text)}\n{text}")
        oldest = sorted(path.parent.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)[KEPT:]
        for each in oldest:
            each.unlink(missing_ok=True)
