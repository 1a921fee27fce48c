"""Factors between process nodes.

Source: A. Stillmaker and B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from
180 nm to 7 nm", Integration 58 (2017) 74-81, with its corrigendum. The tables stand here as two programs that use them
have them, which agree: nodeScale (NanoCAD Laboratory, UCLA) and hwcomponents (MIT) [secondary]; of the paper itself,
its abstract and corrigendum were read, whose example the coefficients reproduce (`tests/sim/synthesis`).

What it is: areas by ITRS, to two digits; delay, energy and power of HSPICE runs of the Predictive Technology Models,
fitted by polynomials in the supply with R² > 0.95. What it is not: a design moved to another library. Against
the cells that this project was measured on it is off by a factor of up to two either way: see docs/silicon.md. A node
between two of the tables, 22 nm among them, is interpolated: the logarithm of the factor over that of the node.
"""

import math
from bisect import bisect_left

from ohmweave.errors import OhmweaveError

__all__ = [
    "NODES", "area_factor", "check_node", "delay_factor", "energy_factor", "nand2_area", "power_factor",
]  # fmt: skip

NODES = (180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7)

# Area at the node of the column over that at the node of the row.
_AREA = (
    (1, 0.34, 0.15, 0.08, 0.053, 0.025, 0.011, 0.01, 0.0093, 0.0055, 0.0032),
    (2.9, 1, 0.44, 0.23, 0.16, 0.072, 0.033, 0.03, 0.027, 0.016, 0.0092),
    (6.6, 2.3, 1, 0.53, 0.35, 0.16, 0.075, 0.067, 0.061, 0.036, 0.021),
    (12, 4.3, 1.9, 1, 0.66, 0.31, 0.14, 0.13, 0.12, 0.068, 0.039),
    (19, 6.4, 2.8, 1.5, 1, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059),
    (40, 14, 6.1, 3.3, 2.2, 1, 0.46, 0.41, 0.38, 0.22, 0.13),
    (88, 30, 13, 7.1, 4.7, 2.2, 1, 0.89, 0.82, 0.48, 0.28),
    (99, 34, 15, 7.9, 5.3, 2.4, 1.1, 1, 0.91, 0.54, 0.31),
    (110, 37, 16, 8.7, 5.8, 2.7, 1.2, 1.1, 1, 0.59, 0.34),
    (180, 63, 28, 15, 9.8, 4.5, 2.1, 1.9, 1.7, 1, 0.58),
    (320, 110, 48, 25, 17, 7.8, 3.6, 3.2, 2.9, 1.7, 1),
)

# Supply of each node in volts: nominal of the models, 1.2 at 130 nm as the cells there have. Coefficients of the
# high-performance devices, highest power of the supply first.
_VOLTS = dict(zip(NODES, (1.8, 1.2, 1.2, 1.1, 1.0, 0.9, 0.9, 0.85, 0.8, 0.75, 0.7), strict=True))
_DELAY: dict[int, tuple[float, ...]] = {
    180: (97.09, -356.7, 406.5),
    130: (-76.65, 334.9, -493.4, 275.8),
    90: (-60.34, 262.5, -384.2, 210.9),
    65: (-53.3, 230.4, -333.9, 178.6),
    45: (-501.6, 1567, -1619, 566.1),
    32: (-1047, 2982, -2797, 873.5),
    20: (34.63, -66.37, 41.15),
    16: (24.8, -47.52, 28.87),
    14: (-40.66, 109.2, -100.6, 35.92),
    10: (-34.95, 93.65, -85.99, 30.4),
    7: (-28.58, 76.6, -70.26, 24.69),
}
_ENERGY: dict[int, tuple[float, ...]] = {
    180: (24.64, -17.98, 0),
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.018, -0.3107, 0.1539),
    32: (0.8367, -0.4341, 0.1701),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}
_POWER: dict[int, tuple[float, ...]] = {
    180: (0, 101000, -79720),
    130: (27020, -15450, 5630),
    90: (17320, -11230, 4328),
    65: (12890, -10510, 4362),
    45: (5462, -1760, 522.4),
    32: (4001, -1733, 533.6),
    20: (2922, -1286, 299.9),
    16: (2133, -882.6, 197.7),
    14: (1675, -711, 159),
    10: (1456, -621.6, 143.8),
    7: (1179, -515.7, 123.4),
}

#: Areas of a NAND gate of two inputs in µm²: sg13g2_nand2_1, NAND2_X1 of NanGate45, NAND2xp5_ASAP7_75t_R.
_NAND2 = {130: 7.2576, 45: 0.798, 7: 0.08748}


def check_node(node_nm: float) -> None:
    """Refuse a node that the tables do not reach."""
    low, high = NODES[-1], NODES[0]
    good = isinstance(node_nm, (int, float)) and not isinstance(node_nm, bool) and low <= node_nm <= high
    if not good:
        raise OhmweaveError(f"a process node must be from {low} to {high} nm, not {node_nm!r}")


def area_factor(from_nm: float, to_nm: float) -> float:
    """What an area at `from_nm` is multiplied by at `to_nm`."""
    check_node(from_nm)
    check_node(to_nm)
    if from_nm == to_nm:
        return 1.0
    rows = {
        node: _between(dict(zip(NODES, row, strict=True)), to_nm)
        for node, row in zip(NODES, _AREA, strict=True)
    }
    return _between(rows, from_nm)


def delay_factor(
    from_nm: float, to_nm: float, volts: tuple[float | None, float | None] = (None, None)
) -> float:
    """The same for a delay; `volts`: supplies at both nodes, None is the nominal one."""
    return _ratio(_DELAY, from_nm, to_nm, volts)


def energy_factor(
    from_nm: float, to_nm: float, volts: tuple[float | None, float | None] = (None, None)
) -> float:
    """The same for the energy of an operation."""
    return _ratio(_ENERGY, from_nm, to_nm, volts)


def power_factor(
    from_nm: float, to_nm: float, volts: tuple[float | None, float | None] = (None, None)
) -> float:
    """The same for power, each node at the frequency that its delay allows.

    At the same frequency, dynamic power goes with `energy_factor`.
    """
    return _ratio(_POWER, from_nm, to_nm, volts)


def nand2_area(node_nm: float) -> float:
    """µm² of a NAND gate of two inputs: measured at 130, 45 and 7 nm, between and beyond by `area_factor`."""
    check_node(node_nm)
    if node_nm > max(_NAND2):
        return _NAND2[130] * area_factor(130, node_nm)
    return _between(_NAND2, node_nm)


def _ratio(
    table: dict[int, tuple[float, ...]],
    from_nm: float,
    to_nm: float,
    volts: tuple[float | None, float | None],
) -> float:
    check_node(from_nm)
    check_node(to_nm)
    values = [
        _between(
            {node: _polynomial(terms, _VOLTS[node] if v is None else v) for node, terms in table.items()}, nm
        )
        for nm, v in zip((from_nm, to_nm), volts, strict=True)
    ]
    return values[1] / values[0]


def _polynomial(terms: tuple[float, ...], x: float) -> float:
    value = 0.0
    for term in terms:
        value = value * x + term
    return value


def _between(table: dict[int, float], node_nm: float) -> float:
    """The table's value at a node, or between those beside it."""
    nodes = sorted(table)
    above = bisect_left(nodes, node_nm)
    if nodes[above] == node_nm:
        return float(table[nodes[above]])
    low, high = nodes[above - 1], nodes[above]
    share = math.log(node_nm / low) / math.log(high / low)
    return table[low] ** (1 - share) * table[high] ** share
