"""Levels of the cells for weights of every scheme: put together again they are the weights."""

import dataclasses
import re

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.rtl.reram_half import levels, sign_scheme, slices_of

FULL = PRESETS["re-reram"].pe.array
TINY = PRESETS["tiny"].pe.array
ARRAYS = {
    "full": FULL,
    "tiny": TINY,
    "pairs": dataclasses.replace(TINY, sign_scheme="pairs"),
    "two bits": dataclasses.replace(TINY, cell_bits=2, cols=12),
    "two bits, pairs": dataclasses.replace(TINY, cell_bits=2, cols=12, sign_scheme="pairs"),
}


@pytest.mark.parametrize("slices", [1, 2, 4])
@pytest.mark.parametrize("case", ARRAYS)
def test_columns_give_the_weights_back(case: str, slices: int) -> None:
    array = ARRAYS[case]
    bits, at_once = slices * array.cell_bits, array.columns_at_once
    random = np.random.default_rng(slices)
    limit = 1 << (bits - 1)
    weights = random.integers(-limit, limit, (5, 2 * at_once + 1))
    weights[0, :3] = -limit, limit - 1, 0
    cells = levels(weights, bits, array)
    signs = 2 if array.sign_scheme == "pairs" else 1
    assert cells.dtype == np.uint8
    assert cells.shape == (5, 3 * slices * signs * at_once)
    assert cells.max() < 2**array.cell_bits
    for channel in range(3 * at_once):
        block, column = divmod(channel, at_once)
        total = np.zeros(5, np.int64)
        for j in range(slices):
            for sign in range(signs):
                group = (block * slices + j) * signs + sign
                total += (-1) ** sign * (
                    cells[:, group * at_once + column].astype(np.int64) << array.cell_bits * j
                )
        if signs == 1:
            total -= limit
        wanted = weights[:, channel] if channel < weights.shape[1] else 0
        assert (total == wanted).all()


def test_pairs_use_the_column_of_the_sign_alone() -> None:
    array = ARRAYS["pairs"]
    cells = levels(np.array([[5, -7, 0, -8]]), 4, array)
    assert cells.tolist() == [[5, 0, 0, 0, 0, 7, 0, 8]]


def test_signs_and_slices() -> None:
    assert sign_scheme(TINY).signs == 1
    assert sign_scheme(ARRAYS["pairs"]).signs == 2
    assert [slices_of(bits, FULL) for bits in (4, 8, 16)] == [1, 2, 4]


@pytest.mark.parametrize(
    ("weights", "bits", "sentence"),
    [
        ([[0]], 6, "weight_bits must be one of 4, 8, 16 with cells of 4 bits, not 6"),
        ([[0, 8]], 4, "weights of 4 bits must be from -8 to 7, not from 0 to 8"),
        ([[-129, 3]], 8, "weights of 8 bits must be from -128 to 127, not from -129 to 3"),
    ],
)
def test_refusals(weights: list[list[int]], bits: int, sentence: str) -> None:
    with pytest.raises(OhmweaveError, match=f"^{re.escape(sentence)}$"):
        levels(np.array(weights), bits, TINY)
