"""Treemaps: nested rectangles with areas as values, as SVG and as PNG."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

__all__ = ["COLOURS", "Box", "Node", "boxes", "drawings", "png", "svg"]

WIDTH, HEIGHT, TITLE, LEGEND = 1200, 750, 30, 24
#: A rectangle with a name has a strip of this height for it, if there is room.
STRIP = 15
FONT = 11
#: Smaller shares of the whole are drawn as one rectangle with their kind's colour, and below the second not at all.
SPLIT_SHARE, LEAST_SHARE = 1 / 400, 1 / 20_000
COLOURS = {
    "logic": "#9ecae1", "clock": "#bcbddc", "leakage": "#d9d9d9", "memory": "#fdd0a2", "macro": "#a1d99b",
    "module": "#f4f4f4",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """What has `value`: itself where it has no children, else all of theirs. `kind` is one of COLOURS."""

    name: str
    kind: str
    value: float
    children: tuple["Node", ...] = field(default=())


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing, those around it first."""

    node: Node
    depth: int
    x: float
    y: float
    width: float
    height: float

    @property
    def named(self) -> bool:
        return self.width > 40 and self.height > STRIP


def _squarified(
    values: Sequence[float], x: float, y: float, width: float, height: float
) -> Iterator[tuple[float, float, float, float]]:
    """Rectangles with areas as `values`, which fall, in rows that keep them near squares (Bruls, Huizing, van Wijk)."""
    left = list(values)
    scale = width * height / sum(left) if sum(left) > 0 else 0.0
    while left:
        side = min(width, height)
        count, worst = 0, float("inf")
        for taken in range(1, len(left) + 1):
            total = sum(left[:taken]) * scale
            ratios = max(
                max(side * side * value * scale / total**2, total**2 / (side * side * value * scale))
                for value in left[:taken]
            )
            if ratios > worst:
                break
            count, worst = taken, ratios
        row, left = left[:count], left[count:]
        thick = sum(row) * scale / side
        place = y if width >= height else x
        for value in row:
            long = value * scale / thick
            if width >= height:
                yield x, place, thick, long
            else:
                yield place, y, long, thick
            place += long
        if width >= height:
            x, width = x + thick, max(width - thick, 1e-9)
        else:
            y, height = y + thick, max(height - thick, 1e-9)


def boxes(root: Node) -> list[Box]:
    """Where everything is drawn, from the outside in."""
    found: list[Box] = []

    def draw(node: Node, depth: int, x: float, y: float, width: float, height: float) -> None:
        box = Box(node, depth, x, y, width, height)
        found.append(box)
        shown = sorted(
            (child for child in node.children if child.value >= LEAST_SHARE * root.value),
            key=lambda child: (-child.value, child.name),
        )
        if not shown or node.value < SPLIT_SHARE * root.value or min(width, height) < 6:
            return
        top = STRIP if box.named else 1
        inside = (x + 1, y + top, width - 2, height - top - 1)
        places = _squarified([child.value for child in shown], *inside)
        for child, place in zip(shown, places, strict=True):
            draw(child, depth + 1, *place)

    if root.value > 0:
        draw(root, 0, 0.0, float(TITLE), float(WIDTH), float(HEIGHT - TITLE - LEGEND))
    return found


def _colour(node: Node, drawn_whole: bool) -> str:
    if node.kind != "module" or not drawn_whole:
        return COLOURS[node.kind]
    shares: dict[str, float] = {}
    for leaf in _leaves(node):
        shares[leaf.kind] = shares.get(leaf.kind, 0.0) + leaf.value
    return COLOURS[max(shares, key=lambda kind: shares[kind], default="module")]


def _leaves(node: Node) -> Iterator[Node]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves(child)


def _kinds(root: Node) -> list[str]:
    """Those that the drawing has, for the legend."""
    there = {leaf.kind for leaf in _leaves(root)}
    return [kind for kind in COLOURS if kind in there and kind != "module"]


def _label(box: Box, unit: str) -> str:
    """As much of a name and its value as there is room for."""
    room = int((box.width - 6) / (0.56 * FONT))
    full = f"{box.node.name}: {box.node.value:,.0f} {unit}"
    for text in (full, box.node.name):
        if len(text) <= room:
            return text
    return box.node.name[: room - 1] + "…" if room > 4 else ""


def _drawn(root: Node) -> list[tuple[Box, str]]:
    found = boxes(root)
    nexts = [*found[1:], None]
    return [
        (box, _colour(box.node, after is None or after.depth <= box.depth))
        for box, after in zip(found, nexts, strict=True)
    ]


def svg(root: Node, title: str, unit: str) -> str:
    """The drawing as SVG; each rectangle tells its name and value."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="{FONT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="6" y="20" font-size="15">{escape(title)}</text>',
    ]
    for box, colour in _drawn(root):
        share = 100 * box.node.value / root.value
        lines.append(
            f"<g><title>{escape(box.node.name)}: {box.node.value:,.1f} {unit}, {share:.2f} %</title>"
            f'<rect x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" height="{box.height:.2f}" '
            f'fill="{colour}" stroke="#555" stroke-width="0.5"/>'
        )
        if box.named and (label := _label(box, unit)):
            lines.append(f'<text x="{box.x + 3:.2f}" y="{box.y + FONT:.2f}">{escape(label)}</text>')
        lines.append("</g>")
    for number, kind in enumerate(_kinds(root)):
        x, y = 6 + 110 * number, HEIGHT - 18
        lines.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[kind]}" stroke="#555"/>')
        lines.append(f'<text x="{x + 18}" y="{y + 10}">{kind}</text>')
    return "\n".join([*lines, "</svg>", ""])


def drawings(name: str, root: Node, title: str, unit: str) -> dict[str, str | bytes]:
    """NAME.svg and NAME.png."""
    return {f"{name}.svg": svg(root, title, unit), f"{name}.png": png(root, title, unit)}


def _plain(text: str) -> str:
    """With characters alone that Pillow's own font has, whose spaces are narrow."""
    return text.replace("×", "x").replace("²", "2").replace("µ", "u").replace("…", "..").replace(" ", "  ")


def png(root: Node, title: str, unit: str) -> bytes:
    """The same as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(FONT), ImageFont.load_default(15)
    draw.text((6, 6), _plain(title), "black", large)
    for box, colour in _drawn(root):
        draw.rectangle((box.x, box.y, box.x + box.width, box.y + box.height), colour, "#555555")
        if box.named and (label := _label(box, unit)):
            draw.text((box.x + 3, box.y + 1), _plain(label), "black", small)
    for number, kind in enumerate(_kinds(root)):
        x, y = 6 + 110 * number, HEIGHT - 18
        draw.rectangle((x, y, x + 12, y + 12), COLOURS[kind], "#555555")
        draw.text((x + 18, y), kind, "black", small)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()
