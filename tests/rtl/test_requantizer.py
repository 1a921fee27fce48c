"""Requantizer against Python's integers on every simulator."""

import pytest

from ohmweave.rtl.requantizer import Requantizer, scale_writes
from ohmweave.testbench.pe_cases import PES, RUNS
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_requantizer(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = PES[case]
    known = {
        "act_bits": params.buffer.act_bits,
        "lanes": params.result_lanes,
        "cols": params.array.cols,
        "colmux": params.array.colmux,
        "sum_bits": params.array.sum_bits,
        "cell_bits": params.array.cell_bits,
        "offset": params.array.sign_scheme == "offset",
    }
    assert run_testbench(Requantizer(params=params), "tb_requantizer", simulator, parameters=known) == 6


@pytest.mark.parametrize(
    ("bias", "mult", "shift", "words"),
    [
        (0, 0, 1, [0x0000, 0x0100, 0x0000]),
        (-1, 0xFFFF, 39, [0xFFFF, 0x27FF, 0xFFFF]),
        (-(1 << 23), 1, 32, [0x0000, 0x2080, 0x0001]),
        (0x123456, 0xABCD, 5, [0x3456, 0x0512, 0xABCD]),
    ],
)
def test_scale_writes(bias: int, mult: int, shift: int, words: list[int]) -> None:
    for column in (0, 1, 255):
        expected = [(4 * column + n, word) for n, word in enumerate(words)]
        assert scale_writes(column, bias=bias, mult=mult, shift=shift) == expected
