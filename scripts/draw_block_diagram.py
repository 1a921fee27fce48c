"""Draws docs/block-diagram.svg: the chip on the left, one of its PEs on the right.

    python scripts/draw_block_diagram.py

A test compares the file with what this prints, so that the two do not drift apart.
"""

from html import escape
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "docs" / "block-diagram.svg"
WIDTH, HEIGHT = 1180, 600
INK, SOFT, LINE = "#1f2933", "#52606d", "#7b8794"
FILL = {"pe": "#dbeafe", "node": "#fde9c9", "analog": "#fbd5d5", "data": "#e3f1e3", "control": "#ece6f6"}


class Drawing:
    """Shapes in the order in which they are drawn."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, kind: str, *lines: str, size: int = 13) -> None:
        fill = FILL.get(kind, "none")
        dash = ' stroke-dasharray="6 4"' if kind == "frame" else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" stroke="{LINE}"{dash}/>'
        )
        top = y + h / 2 - (len(lines) - 1) * size * 0.65 + size * 0.35
        for number, line in enumerate(lines):
            self.text(x + w / 2, top + number * size * 1.3, line, size=size if number == 0 else size - 2)

    def text(self, x: float, y: float, words: str, *, size: int = 13, anchor: str = "middle") -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{INK}">'
            f"{escape(words)}</text>"
        )

    def arrow(self, *points: tuple[float, float], soft: bool = False) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        style = 'stroke-dasharray="3 3"' if soft else ""
        colour = SOFT if soft else INK
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" {style} marker-end="url(#head)"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}"/>')

    def svg(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"


def chip(d: Drawing) -> None:
    """The PE group: distribution tree, mesh, collection tree."""
    d.text(250, 28, "chip: 16 PEs, links of 16 bits", size=16)
    d.arrow((250, 44), (250, 62))
    d.text(262, 56, "host_in: configuration and images", size=12, anchor="start")
    d.box(205, 64, 90, 28, "node", "node")
    d.text(30, 84, "distribution tree 1-4-16", size=12, anchor="start")
    left, top, side, gap = 60, 186, 62, 38
    for quad in range(4):
        x = left + 6 + quad * (side + gap)
        d.box(x, 124, 50, 24, "node", "node", size=12)
        d.arrow((215 + quad * 23, 92), (x + 25, 122))
        for child in range(4):
            d.arrow((x + 10 + child * 10, 148), (x + 4 + child * 14, 166))
    d.text(250, 180, "each to the four PEs of a quad", size=11)
    for row in range(4):
        for column in range(4):
            x, y = left + column * (side + gap), top + row * 68
            number = sum((column >> b & 1) << 2 * b | (row >> b & 1) << 2 * b + 1 for b in range(2))
            d.box(x, y, side, 44, "pe", f"PE {number}", size=13)
            if column < 3:
                d.line(x + side, y + 22, x + side + gap, y + 22)
            if row < 3:
                d.line(x + side / 2, y + 44, x + side / 2, y + 68)
    d.text(428, 256, "mesh", size=12, anchor="start")
    d.text(250, 452, "each from the four PEs of a quad", size=11)
    for quad in range(4):
        x = left + 6 + quad * (side + gap)
        d.box(x, 480, 50, 24, "node", "node", size=12)
        for child in range(4):
            d.arrow((x + 4 + child * 14, 460), (x + 10 + child * 10, 478))
        d.arrow((x + 25, 504), (215 + quad * 23, 534))
    d.text(30, 552, "collection tree 16-4-1", size=12, anchor="start")
    d.box(205, 536, 90, 28, "node", "node")
    d.arrow((250, 564), (250, 584))
    d.text(262, 580, "host_out: logits", size=12, anchor="start")


def element(d: Drawing) -> None:
    """The path of the data through one PE."""
    d.box(500, 46, 660, 536, "frame")
    d.text(830, 28, "one PE: one layer of the network", size=16)
    d.box(520, 70, 620, 46, "node", "switch", "from and to the tree, four neighbours and the collection tree")
    d.box(530, 160, 170, 50, "data", "unpacker", "flits to pixels")
    d.box(530, 244, 170, 66, "data", "convolution buffer", "6 banks × 128 lanes", "× 224 pixels × 4 bits")
    d.box(530, 376, 300, 120, "analog", "crossbar (black box)", "1152 wordlines × 256 bitlines,",
          "4-bit cells, a reference column;", "16 columns read in 6 cycles")  # fmt: skip
    d.box(745, 160, 170, 50, "control", "tile controller", "starts reads, hands on")
    d.box(745, 244, 170, 50, "control", "indexing filter", "which column groups")
    d.box(950, 160, 170, 50, "data", "packer", "results to flits")
    d.box(950, 244, 170, 50, "data", "max pool", "blocks of up to 4×4")
    d.box(
        950,
        376,
        170,
        120,
        "data",
        "4 result lanes",
        "offset and bias,",
        "multiply, round, shift,",
        "clip (this is ReLU)",
    )
    d.arrow((615, 116), (615, 158))
    d.arrow((615, 210), (615, 242))
    d.arrow((615, 310), (615, 374))
    d.text(605, 346, "window", size=11, anchor="end")
    d.arrow((830, 436), (948, 436))
    d.text(889, 428, "16 sums", size=11)
    d.arrow((1035, 376), (1035, 296))
    d.arrow((1035, 244), (1035, 212))
    d.arrow((1035, 160), (1035, 118))
    d.arrow((830, 244), (830, 212), soft=True)
    d.arrow((745, 185), (702, 265), soft=True)
    d.arrow((765, 210), (735, 250), (735, 374), soft=True)
    d.text(830, 560, "dashed: control", size=11)


def draw() -> str:
    drawing = Drawing()
    chip(drawing)
    element(drawing)
    return drawing.svg()


if __name__ == "__main__":
    TARGET.write_text(draw())
