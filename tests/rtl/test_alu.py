"""ALU lane and divider against the model, and the model against the definition of its numbers."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.arithmetic import scale_word
from ohmweave.rtl.arithmetic.alu import AluLane
from ohmweave.rtl.arithmetic.divider import Divider
from ohmweave.testbench import lane_model as model
from ohmweave.testbench.runner import available, run_testbench

TINY = PRESETS["tiny"].pe
#: The narrowest and the widest lane, the usual one, and an odd one.
RUNS = [("verilator", 48), *(("icarus", bits) for bits in (24, 25, 48, 64))]


def lane(bits: int) -> PEParams:
    return replace(TINY, lane_bits=bits)


@pytest.mark.parametrize(("simulator", "bits"), RUNS)
def test_alu_lane(simulator: str, bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    assert run_testbench(AluLane(params=lane(bits)), "tb_alu", simulator, parameters={"bits": bits}) == 5


@pytest.mark.parametrize(("simulator", "bits"), RUNS)
def test_divider(simulator: str, bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    assert run_testbench(Divider(params=lane(bits)), "tb_divider", simulator, parameters={"bits": bits}) == 4


def test_quotients_are_rounded() -> None:
    """The model's quotient is ⌊a/b + 1/2⌋ in exact fractions, so within 1/2; its ends; by zero."""
    numbers = [*range(-40, 41), 999, -1000, 2**24, 2**25 + 1, -(2**30)]
    pairs = [(a, b) for a in numbers for b in numbers if b]
    found = model.divide(model.lanes([a for a, _ in pairs]), model.lanes([b for _, b in pairs]))
    for (a, b), quotient in zip(pairs, found, strict=True):
        assert quotient == max(-(2**24), min(2**24, floor(Fraction(a, b) + Fraction(1, 2))))
    by_zero = model.divide(model.lanes([5, -5, 0]), model.lanes([0, 0, 0]))
    assert list(by_zero) == [2**24, -(2**24), 0]


def test_division_by_a_power_of_two_is_the_rounding_shift() -> None:
    values = model.lanes(range(-3000, 3000, 7))
    for shift in range(12):
        by = model.lanes([2**shift] * len(values))
        shifts = model.lanes([shift] * len(values))
        assert list(model.divide(values, by)) == list(model.round_shift(values, shifts))


def test_scale_word() -> None:
    for mult, shift in ((0, 0), (65535, 47), (1, -16), (0x8000, -1), (3, 32)):
        assert scale_word(mult, shift) == model.scale(mult, shift)
        assert model.unpack_scale(scale_word(mult, shift)) == (mult, shift)


@pytest.mark.parametrize(
    ("mult", "shift", "sentence"),
    [
        (-1, 0, "mult must be a whole number from 0 to 65535, not -1"),
        (65536, 0, "mult must be a whole number from 0 to 65535, not 65536"),
        (1.0, 0, "mult must be a whole number from 0 to 65535, not 1.0"),
        (1, -17, "shift must be a whole number from -16 to 47, not -17"),
        (1, 48, "shift must be a whole number from -16 to 47, not 48"),
    ],
)
def test_scale_word_refuses(mult: int, shift: int, sentence: str) -> None:
    with pytest.raises(OhmweaveError) as caught:
        scale_word(mult, shift)
    assert str(caught.value) == sentence
