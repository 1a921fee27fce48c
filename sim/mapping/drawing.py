"""The PE grid of a chip with a network on it, as SVG: stages as colours, streams as lines."""

from colorsys import hls_to_rgb
from xml.etree import ElementTree as ET

from ohmweave.rtl.group import STEPS, mesh_position
from ohmweave.sim.mapping.summary import Summary

__all__ = ["drawing"]

SVG = "http://www.w3.org/2000/svg"
#: Pixels from PE to PE, the side of a PE, the height of a line of the legend.
PITCH, SIDE, LINE = 46, 30, 15
MARGIN = 24
#: Pixels that the two directions of a link are apart, half of it.
APART = 4
#: Columns of the legend are so wide; its longest name.
COLUMN, NAME = 250, 28
#: How light stages and their streams are.
LIGHT, DARK = 0.82, 0.42


def drawing(title: str, found: Summary) -> str:
    """An SVG document; of parts, one grid below the other."""
    if not found.parts:
        return _document(_grid(title, found))
    count = len(found.parts)
    grids = [_grid(f"{title}, part {number} of {count}", part) for number, part in enumerate(found.parts, 1)]
    whole = ET.Element("svg", xmlns=SVG)
    width = height = 0
    for grid in grids:
        grid.attrib |= {"y": str(height)}
        width, height = max(width, int(grid.attrib["width"])), height + int(grid.attrib["height"])
        whole.append(grid)
    whole.attrib |= {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    return _document(whole)


def _document(svg: ET.Element) -> str:
    return ET.tostring(svg, encoding="unicode") + "\n"


def _grid(title: str, found: Summary) -> ET.Element:
    """The PEs of a chip, what is on them, and the names of the layers below."""
    side = found.params.side
    stages = [stage.name for stage in found.stages]
    grid = side * PITCH
    columns = max(1, (grid + 2 * MARGIN) // COLUMN)
    lines = -(-len(stages) // columns)
    width, height = max(grid, COLUMN) + 2 * MARGIN, grid + 3 * MARGIN + LINE * lines
    svg = ET.Element(
        "svg",
        {
            "xmlns": SVG,
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "font-family": "sans-serif",
            "font-size": "9",
        },
    )
    ET.SubElement(svg, "rect", width=str(width), height=str(height), fill="white")
    _text(svg, MARGIN, MARGIN - 8, title, size=12)
    colours = {name: _colour(index, len(stages), LIGHT) for index, name in enumerate(stages)}
    lines_of = {name: _colour(index, len(stages), DARK) for index, name in enumerate(stages)}
    # PEs without a stage first, then links, then what stands on them.
    for unit in range(found.params.pes):
        _pe(svg, unit, "#f2f2f2", "")
    for link in found.links:
        _link(svg, link.unit, link.side, lines_of[link.stage])
    for index, stage in enumerate(found.stages):
        for copy in stage.units:
            for unit in copy:
                _pe(svg, unit, colours[stage.name], str(index + 1))
        x = MARGIN + COLUMN * (index // lines)
        y = grid + 2 * MARGIN + LINE * (index % lines)
        ET.SubElement(
            svg, "rect", x=str(x), y=str(y), width="10", height="10", fill=colours[stage.name], stroke="#555"
        )
        name = stage.name if len(stage.name) <= NAME else f"{stage.name[: NAME - 1]}…"
        _text(svg, x + 14, y + 9, f"{index + 1} {name}: {stage.pes} PEs, {stage.times.longest:,}")
    return svg


def _colour(index: int, count: int, lightness: float) -> str:
    """Hues in the order of the stages, neighbours of different depth; in hexadecimal, which all viewers know."""
    depth = 0.06 * (index % 2)
    parts = hls_to_rgb(index / count, lightness - depth, 0.7)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def _corner(unit: int) -> tuple[int, int]:
    x, y = mesh_position(unit)
    return MARGIN + x * PITCH, MARGIN + y * PITCH


def _pe(svg: ET.Element, unit: int, fill: str, label: str) -> None:
    x, y = _corner(unit)
    square = ET.SubElement(
        svg,
        "rect",
        {
            "x": str(x),
            "y": str(y),
            "width": str(SIDE),
            "height": str(SIDE),
            "rx": "3",
            "fill": fill,
            "stroke": "#888",
        },
    )
    ET.SubElement(square, "title").text = f"PE {unit}"
    if label:
        _text(svg, x + SIDE // 2, y + SIDE // 2 + 3, label, anchor="middle")


def _link(svg: ET.Element, unit: int, to: int, colour: str) -> None:
    """An arrow over the gap between two PEs; the two directions beside each other."""
    x, y = _corner(unit)
    dx, dy = STEPS[to]
    middle = SIDE / 2
    from_x, from_y = x + middle + dx * middle - dy * APART, y + middle + dy * middle + dx * APART
    gap = PITCH - SIDE
    to_x, to_y = from_x + dx * gap, from_y + dy * gap
    ET.SubElement(
        svg,
        "line",
        {
            "x1": f"{from_x:g}", "y1": f"{from_y:g}", "x2": f"{to_x:g}", "y2": f"{to_y:g}",
            "stroke": colour, "stroke-width": "2",
        },
    )  # fmt: skip
    tip = [(0, 0), (-4 * dx - 3 * dy, -4 * dy - 3 * dx), (-4 * dx + 3 * dy, -4 * dy + 3 * dx)]
    points = " ".join(f"{to_x + px:g},{to_y + py:g}" for px, py in tip)
    ET.SubElement(svg, "polygon", points=points, fill=colour)


def _text(
    svg: ET.Element, x: float, y: float, text: str, *, anchor: str = "start", size: int | None = None
) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    if size:
        place["font-size"] = str(size)
    ET.SubElement(svg, "text", place).text = text
