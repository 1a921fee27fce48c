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
    """The two halves of one PE and what stands between them and the links."""
    d.box(500, 46, 660, 536, "frame")
    d.text(830, 28, "one PE: one stage of the network", size=16)
    d.box(520, 70, 620, 46, "node", "switch", "from and to the tree, four neighbours and the collection tree")
    d.box(520, 146, 140, 40, "data", "main receiver", "and spreader")
    d.box(690, 146, 140, 40, "data", "shortcut receiver")
    d.box(850, 146, 130, 40, "data", "side receiver")
    d.box(1000, 146, 130, 40, "data", "sender")
    d.box(520, 216, 140, 54, "data", "buffer 0", "6 banks × 128 lanes", "× 224 pixels", size=12)
    d.box(690, 216, 140, 54, "data", "buffer 1", "shortcut, or results", "to be pooled", size=12)
    d.box(510, 300, 330, 272, "frame")
    d.text(675, 320, "ReRAM half", size=14)
    d.box(690, 332, 140, 40, "control", "controller", "16 instructions")
    d.box(690, 384, 140, 40, "control", "indexing filter", "which blocks")
    d.box(520, 384, 140, 40, "control", "tile controller", "slices and planes")
    d.box(520, 440, 310, 76, "analog", "crossbar (black box)", "1152 wordlines × 256 bitlines, 4-bit cells,",
          "reference column; 16 columns in 6 cycles")  # fmt: skip
    d.box(520, 528, 310, 36, "data", "shift and add", "slices and planes put together, vectors")
    d.box(860, 300, 280, 272, "frame")
    d.text(1000, 320, "arithmetic half", size=14)
    d.box(870, 332, 120, 40, "control", "controller", "32 instructions")
    d.box(1010, 332, 120, 40, "data", "constants", "K0 … K3 a channel")
    d.box(870, 400, 260, 70, "data", "32 ALU lanes of 48 bits", "add, multiply and shift, maximum,",
          "divide, clip to 4, 8, 16 bits")  # fmt: skip
    d.box(870, 484, 260, 34, "data", "32 SFU lanes: inverse square roots")
    d.box(870, 532, 260, 32, "data", "registers R0 … R3 a vector")
    for x in (590, 760, 915):
        d.arrow((x, 116), (x, 144))
    d.arrow((1065, 146), (1065, 118))
    d.arrow((590, 186), (590, 214))
    d.arrow((760, 186), (760, 214))
    d.arrow((590, 270), (590, 382))
    d.text(582, 292, "windows", size=11, anchor="end")
    d.arrow((590, 424), (590, 438))
    d.arrow((690, 404), (662, 404), soft=True)
    d.arrow((690, 352), (625, 352), (625, 382), soft=True)
    d.arrow((675, 516), (675, 526))
    d.arrow((830, 546), (846, 546), (846, 435), (868, 435))
    d.arrow((830, 232), (892, 232), (892, 298))
    d.text(838, 226, "windows", size=11, anchor="start")
    d.arrow((915, 186), (915, 298))
    d.text(922, 206, "partial sums", size=11, anchor="start")
    d.arrow((860, 318), (845, 318), (845, 256), (832, 256))
    d.arrow((1065, 300), (1065, 188))
    d.text(1073, 250, "vectors", size=11, anchor="start")
    d.text(830, 596, "dashed: control", size=11)


def draw() -> str:
    drawing = Drawing()
    chip(drawing)
    element(drawing)
    return drawing.svg()


if __name__ == "__main__":
    TARGET.write_text(draw())
