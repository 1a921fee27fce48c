"""LEF views of the netlist's black boxes: abstract blocks with their pins."""

import math
from collections.abc import Sequence

from ohmweave.rtl.macro_text import PortWidth
from ohmweave.sim.synthesis.macros import MacroFigures

__all__ = ["DEFAULT_LAYERS", "PIN_PITCH_UM", "lef_view"]

#: Of the signal pins and of the supply's straps; these are NanGate45's names.
DEFAULT_LAYERS = ("metal3", "metal4")
#: Between two pins; a pin is half as wide.
PIN_PITCH_UM = 0.28
#: Everything stands on this grid.
GRID_UM = 0.005
#: Part of the height of each supply strap.
STRAP = 0.05


def lef_view(
    name: str,
    ports: Sequence[PortWidth],
    figures: MacroFigures,
    *,
    layers: tuple[str, str] = DEFAULT_LAYERS,
    pitch_um: float = PIN_PITCH_UM,
) -> str:
    """A square block of the macro's area, or larger where its pins need more; the clock `clk` is added to `ports`.

    Inputs stand at the west side and outputs at the east side, bit 0 lowest, in as many columns as it takes. Two
    straps over the block are its supply. Between the pins their layer is taken; that of the straps is free beside them,
    and what lies below the pins is not told.
    """
    pins: dict[bool, list[str]] = {False: ["clk"], True: []}
    for port, width, output in ports:
        if width:
            pins[output] += [port] if width == 1 else [f"{port}[{bit}]" for bit in range(width)]
    side = math.sqrt(figures.area_um2)
    while not _fits(pins, side, pitch_um):
        side *= 1.02
    side = math.ceil(side / GRID_UM) * GRID_UM
    rows = int(side / pitch_um) - 1
    text = [
        "VERSION 5.8 ;\n",
        'BUSBITCHARS "[]" ;\n',
        'DIVIDERCHAR "/" ;\n',
        f"# The macro has {figures.area_um2:.3f} um2; a block that is larger is so for its pins.\n",
        f"MACRO {name}\n",
        f"  FOREIGN {name} 0 0 ;\n",
        "  CLASS BLOCK ;\n",
        "  ORIGIN 0 0 ;\n",
        f"  SIZE {side:.3f} BY {side:.3f} ;\n",
        "  SYMMETRY X Y R90 ;\n",
    ]
    for output, names in pins.items():
        for n, pin in enumerate(names):
            column, row = divmod(n, rows)
            x = side - (column + 1) * pitch_um if output else (column + 0.5) * pitch_um
            text.append(_pin(pin, output, layers[0], _grid(x), _grid((row + 0.5) * pitch_um), pitch_um / 2))
    for supply, use, centre in (("VDD", "POWER", 0.75), ("VSS", "GROUND", 0.25)):
        low, high = _grid((centre - STRAP / 2) * side), _grid((centre + STRAP / 2) * side)
        text.append(
            f"  PIN {supply}\n    DIRECTION INOUT ;\n    USE {use} ;\n    PORT\n      LAYER {layers[1]} ;\n"
            f"        RECT 0 {low:.3f} {side:.3f} {high:.3f} ;\n    END\n  END {supply}\n"
        )
    west, east = (-(-len(names) // rows) * pitch_um for names in pins.values())
    text.append(
        f"  OBS\n    LAYER {layers[0]} ;\n"
        f"      RECT {_grid(west + pitch_um / 2):.3f} 0 {_grid(side - east - pitch_um / 2):.3f} {side:.3f} ;\n  END\n"
    )
    return "".join([*text, f"END {name}\nEND LIBRARY\n"])


def _fits(pins: dict[bool, list[str]], side: float, pitch_um: float) -> bool:
    """Whether all columns of pins stand beside each other, with a gap in the middle."""
    rows = int(side / pitch_um) - 1
    return rows > 0 and (sum(-(-len(names) // rows) for names in pins.values()) + 1) * pitch_um <= side


def _pin(name: str, output: bool, layer: str, x: float, y: float, size: float) -> str:
    use = "CLOCK" if name == "clk" else "SIGNAL"
    return (
        f"  PIN {name}\n    DIRECTION {'OUTPUT' if output else 'INPUT'} ;\n    USE {use} ;\n"
        f"    PORT\n      LAYER {layer} ;\n"
        f"        RECT {x:.3f} {y:.3f} {x + size:.3f} {y + size:.3f} ;\n    END\n  END {name}\n"
    )


def _grid(x: float) -> float:
    return round(x / GRID_UM) * GRID_UM
