"""SFU lane against the model, and the model's error bound on every mantissa."""

import random
from dataclasses import replace

import pytest

from ohmweave.presets import PRESETS
from ohmweave.rtl.arithmetic.sfu import SfuLane
from ohmweave.testbench import lane_model as model
from ohmweave.testbench.runner import available, run_testbench

#: The narrowest and the widest lane, the usual one, and an odd one.
RUNS = [("verilator", 48), *(("icarus", bits) for bits in (24, 25, 48, 64))]


@pytest.mark.parametrize(("simulator", "bits"), RUNS)
def test_sfu_lane(simulator: str, bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = replace(PRESETS["tiny"].pe, lane_bits=bits)
    assert run_testbench(SfuLane(params=params), "tb_sfu", simulator, parameters={"bits": bits}) == 3


def within(x: int, mult: int, shift: int) -> bool:
    """Whether mult / 2^shift is 1/√x within 2^-16 of it: (1 - 2^-16)² ≤ mult²·x / 4^shift ≤ (1 + 2^-16)²."""
    square = mult * mult * x << 32
    return (2**16 - 1) ** 2 << 2 * shift <= square <= (2**16 + 1) ** 2 << 2 * shift


@pytest.mark.parametrize("places", [0, 1, 15, 46], ids="{} places up".format)
def test_error_of_every_mantissa(places: int) -> None:
    """Every number of 16 bits, and the same further up, where the scale is one of finer steps."""
    for x in range(1, 2**16):
        mult, shift = model.inverse_root(x << places)
        assert 2**15 <= mult < 2**16
        assert within(x << places, mult, shift), (x, mult, shift)


def test_no_scale_is_nearer() -> None:
    """Also between the mantissas: neither neighbour of the multiplier is nearer to 2^shift / √x."""
    for x in [
        *range(1, 3000),
        *range(2**30, 2**30 + 3000),
        *(4**n + 4**n // 2**15 + 1 for n in range(10, 31)),
    ]:
        mult, shift = model.inverse_root(x)
        # mult - 1/2 ≤ 2^shift/√x < mult + 1/2
        assert 16 * 4**shift < (4 * mult + 2) ** 2 * x
        # Of 2^15 the neighbour below is half as far away: 2^16 - 1 with the shift one more.
        assert (4 * mult - (1 if mult == 2**15 else 2)) ** 2 * x <= 16 * 4**shift


@pytest.mark.parametrize("x", [0, -1, -(2**47)])
def test_below_one(x: int) -> None:
    assert model.inverse_root(x) == model.inverse_root(1) == (2**15, 15)


def test_normalisation_by_live_statistics() -> None:
    """The example of the documentation, in the model's operations, against floating point."""
    rng = random.Random(1)
    bits, wide = 48, model.WIDE
    scales = [model.scale(1, -8)]

    def step(op: int, a: int, b: int) -> int:
        return int(model.operate(op, wide, [a], [b % 2**bits], bits)[0])

    for spread, error in ((2, 0.1), (10, 0.01), (60, 0.004)):
        x = [min(255, max(0, round(rng.gauss(100, spread)))) for _ in range(500)]
        n, total, squares = len(x), sum(x), sum(value * value for value in x)
        m = step(model.DIV, step(model.MUL, total, *scales), n)
        q = step(model.DIV, step(model.MUL, squares, *scales), n)
        v = step(model.SUB, q, step(model.MUL, step(model.MUL, m, m), model.scale(1, 8)))
        r = step(model.ADD, step(model.ISQRT, step(model.ADD, v, 1), 0), -4 << 16)
        mean = total / n
        deviation = (squares / n - mean**2 + 1 / 256) ** 0.5
        for value in x[:50]:
            y = step(model.MUL, step(model.SUB, step(model.MUL, value, *scales), m), r) / 256
            assert abs(y - (value - mean) / deviation) < error
