"""Factors between nodes: what the paper prints of them, and that they are factors at all."""

import itertools

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis import scaling
from ohmweave.sim.synthesis.scaling import (
    NODES,
    area_factor,
    delay_factor,
    energy_factor,
    nand2_area,
    power_factor,
)

FACTORS = [area_factor, delay_factor, energy_factor, power_factor]


def test_example_of_the_corrigendum() -> None:
    """1 pJ at 65 nm and 1.3 V is 0.1755 pJ at 32 nm and 0.9 V (factors 2.604 and 0.4571)."""
    assert scaling._polynomial(scaling._ENERGY[32], 0.9) == pytest.approx(0.4571, abs=5e-5)
    assert scaling._polynomial(scaling._ENERGY[65], 1.3) == pytest.approx(2.604, abs=5e-4)
    assert energy_factor(65, 32, (1.3, 0.9)) == pytest.approx(0.1755, abs=1e-4)


def test_areas_of_the_table() -> None:
    assert area_factor(130, 45) == 0.16
    assert area_factor(45, 130) == 6.4
    assert area_factor(90, 7) == 0.021
    for row, column in itertools.product(NODES, NODES):
        # Two digits each: the table's own error.
        assert area_factor(row, column) * area_factor(column, row) == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_node_is_itself(factor) -> None:
    for node in (*NODES, 22, 28):
        assert factor(node, node) == 1.0


@pytest.mark.parametrize("factor", [area_factor, energy_factor])
def test_smaller_is_less(factor) -> None:
    values = [factor(130, node) for node in (180, 130, 90, 65, 45, 32, 22, 20, 16, 14, 10, 7)]
    assert values == sorted(values, reverse=True)


def test_between_two_nodes() -> None:
    assert area_factor(90, 32) > area_factor(90, 22) > area_factor(90, 20)
    assert area_factor(22, 20) > area_factor(22, 16)
    low, high = sorted((delay_factor(90, 32), delay_factor(90, 20)))
    assert low < delay_factor(90, 22) < high


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("bad", [6.9, 181, 0, -45, True, "45", float("nan")])
def test_refused_node(factor, bad) -> None:
    for nodes in ((bad, 45), (45, bad)):
        with pytest.raises(OhmweaveError) as caught:
            factor(*nodes)
        assert str(caught.value) == f"a process node must be from 7 to 180 nm, not {bad!r}"


def test_nand2() -> None:
    assert (nand2_area(130), nand2_area(45), nand2_area(7)) == (7.2576, 0.798, 0.08748)
    assert nand2_area(180) == pytest.approx(7.2576 * 2.9)
    assert nand2_area(45) > nand2_area(22) > nand2_area(7)
