"""What the lanes of the arithmetic half compute, on arrays of whole numbers of any size, without time.

It takes nothing from `ohmweave.rtl`; the numbers of operations and formats are those of the instruction set.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADD", "CYCLES", "DIV", "ISQRT", "MAX", "MIN", "MUL", "OPS", "RELU", "SIZES", "STAGES", "SUB", "WIDE", "corners",
    "divide", "inverse_root", "lanes", "operate", "round_shift", "scale", "signed", "unpack_scale",
]  # fmt: skip

ADD, SUB, MUL, DIV, ISQRT, RELU, MAX, MIN = OPS = range(1, 9)
WIDE = 3
SIZES = (0, 1, 2, WIDE)
#: Cycles in the first stage of the lanes, where they are more than one, and the stages.
CYCLES = {DIV: 29, ISQRT: 26}
STAGES = 3

#: Whole numbers of Python in an array of NumPy: nothing overflows.
Numbers = NDArray[np.object_]


def lanes(values: Sequence[int] | NDArray) -> Numbers:
    return np.array([int(value) for value in values], dtype=object)


def signed(values: Numbers, bits: int) -> Numbers:
    """Two's complement of `bits` bits read as numbers."""
    values = values % 2**bits
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values)


def scale(mult: int, shift: int) -> int:
    """mult / 2^shift as the operand of MUL: 16 bits, and the shift modulo 64 above them."""
    assert 0 <= mult < 1 << 16
    assert -16 <= shift <= 47
    return mult + (shift % 64 << 16)


def unpack_scale(word: int) -> tuple[int, int]:
    code = word >> 16 & 63
    return word & 0xFFFF, code if code < 48 else code - 64


def round_shift(values: Numbers, shifts: Numbers) -> Numbers:
    """⌊x / 2^s + 1/2⌋."""
    half = lanes([2**s // 2 if s > 0 else 0 for s in shifts])
    return (values * lanes([2 ** max(-s, 0) for s in shifts]) + half) // lanes(
        [2 ** max(s, 0) for s in shifts]
    )


def divide(a: Numbers, b: Numbers) -> Numbers:
    """clip(⌊a/b + 1/2⌋, -2^24, 2^24); a/0 is the end on a's side, 0/0 = 0."""
    by = np.where(b == 0, 1, b)
    quotient = np.where(by > 0, (2 * a + by) // (2 * np.abs(by)), (-2 * a - by) // (2 * np.abs(by)))
    quotient = np.where(b == 0, np.sign(a) * 2**24, quotient)
    return np.clip(quotient, -(2**24), 2**24)


def inverse_root(x: int) -> tuple[int, int]:
    """The (mult, shift) nearest to 1/√x with 2^15 ≤ mult < 2^16; x below 1 counts as 1."""
    x = max(x, 1)
    shift = 16
    while 4**shift <= 4**15 * x:  # 2^shift/√x ≤ 2^15
        shift += 1
    mult = (math.isqrt(4 * 4**shift // x) + 1) // 2
    return (mult, shift) if mult < 2**16 else (mult // 2, shift - 1)


def operate(op: int, size: int, a: Sequence[int] | Numbers, b: Sequence[int], bits: int) -> Numbers:
    """The results of one operation on lanes of `bits` bits; `b` holds bits, not numbers."""
    x, words = lanes(a), lanes(b)
    y = signed(words, bits)
    if op == MUL:
        pairs = [unpack_scale(word) for word in words]
        value = round_shift(x * lanes([mult for mult, _ in pairs]), lanes([shift for _, shift in pairs]))
    elif op == DIV:
        value = divide(x, y)
    elif op == ISQRT:
        value = lanes([scale(*inverse_root(number)) for number in x])
    else:
        value = {
            ADD: x + y,
            SUB: x - y,
            RELU: np.maximum(x, 0),
            MAX: np.maximum(x, y),
            MIN: np.minimum(x, y),
        }.get(op, 0 * x)
    value = np.clip(value, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return value if size == WIDE else np.clip(value, 0, 2 ** (4 << size) - 1)


def corners(bits: int) -> list[int]:
    """Signed numbers at which something changes: the ends of lane, formats, quotients and mantissas."""
    near = [0, 2**4, 2**8, 2**16, 2**24, 2**23, 2**14, 2 ** (bits - 1), 2 ** (bits - 2), 3 * 2 ** (bits - 4)]
    values = {sign * (value + step) for value in near for step in (-2, -1, 0, 1, 2) for sign in (1, -1)}
    return sorted(value for value in values if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1))
