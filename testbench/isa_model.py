"""The instruction set once more, by hand and in NumPy: what the decoder and `ohmweave.rtl.encoding` are held against.

It takes nothing from `ohmweave.rtl.isa`: the places of the fields and the rules are written down here a second time.
"""

import itertools
import random

import numpy as np

__all__ = ["FIELDS", "HALVES", "fields", "legal", "random_legal", "words"]

HALVES = ("reram", "arithmetic")

#: Class (bits 1:0) → the widths of its fields from bit 2 on, lowest first.
FIELDS: dict[int, list[tuple[str, int]]] = {
    0: [("op", 2), ("index", 1), ("fusion", 3), ("kernel", 3), ("blocks", 6), ("planes", 2), ("slices", 2), ("src", 3),
        ("des", 3), ("first", 5)],
    1: [("op", 4), ("batch", 2), ("size", 2), ("src", 4), ("with", 4), ("des", 4), ("forward", 1), ("when", 1)],
    2: [("op", 2), ("fuse", 1), ("size", 2), ("kernel", 3), ("channels", 12), ("src", 3), ("des", 3), ("exit", 1)],
    3: [("op", 3), ("mode", 2), ("src", 3), ("des", 3)],
}  # fmt: skip

BUFFER_0, BUFFER_1, BOTH_BUFFERS, ARITHMETIC, TREE, MESH, COLLECTION = range(7)
BUFFERS = (BUFFER_0, BUFFER_1, BOTH_BUFFERS)


def fields(word: int, kind: int) -> dict[str, int]:
    """What each field of a class holds in a word."""
    found, rest = {}, word >> 2
    for name, width in FIELDS[kind]:
        found[name] = rest & ((1 << width) - 1)
        rest >>= width
    return found


def legal(words: np.ndarray, half: str) -> np.ndarray:
    """For each word of 32 bits whether the half may execute it."""
    w = words.astype(np.uint64)

    def cut(low: int, high: int) -> np.ndarray:
        return (w >> np.uint64(low) & np.uint64((1 << high - low + 1) - 1)).astype(np.int64)

    def one_of(values: np.ndarray, *accepted: int) -> np.ndarray:
        return np.isin(values, accepted)

    kind = cut(0, 1)

    op, fusion, kernel = cut(2, 3), cut(5, 7), cut(8, 10)
    r = one_of(op, 1, 2) & ((op == 1) | (fusion == 0)) & (kernel >= 1)
    r &= (cut(17, 18) <= 2) & (cut(19, 20) <= 2)
    r &= one_of(cut(21, 23), *BUFFERS) & (cut(24, 26) == ARITHMETIC)
    index, first = cut(4, 4), cut(27, 31)
    r &= ((index == 0) | (first == 0)) & ((cut(21, 23) != BOTH_BUFFERS) | (first != 0))

    op, batch, src, second, des = cut(2, 5), cut(6, 7), cut(10, 13), cut(14, 17), cut(18, 21)
    operands = (0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15)
    a = (op >= 1) & (op <= 8) & (batch <= 2)
    a &= one_of(src, *operands) & one_of(second, *operands) & one_of(des, 0, 1, 2, 8, 9, 10, 11)
    a &= ~one_of(op, 5, 6) | (second == 0)
    a &= (batch != 1) | (src == 4) | (second == 4)
    a &= (batch != 2) | one_of(src, 8, 9, 10, 11) | one_of(second, 8, 9, 10, 11)
    a &= (src < 12) | (second < 12) | (src == second)
    a &= cut(24, 31) == 0

    op, fuse, kernel, src, des = cut(2, 3), cut(4, 4), cut(7, 9), cut(22, 24), cut(25, 27)
    into = one_of(des, *BUFFERS) & (fuse == 0) | (des == ARITHMETIC)
    if half == "reram":  # frames in: over the tree, or from a neighbour
        n = ((op == 1) & (src == TREE) | (op == 2) & (src == MESH)) & into
    else:  # frames out: to a neighbour or a buffer, or to the collection tree
        near = (des == MESH) | one_of(des, *BUFFERS) & (fuse == 0)
        n = (src == ARITHMETIC) & ((op == 2) & near | (op == 3) & (des == COLLECTION))
    n &= (kernel >= 1) & (cut(29, 31) == 0)

    c = one_of(cut(2, 4), 1, 2, 3, 4, 5) & (cut(7, 9) <= 6) & (cut(10, 12) <= 6) & (cut(13, 31) == 0)

    r &= half == "reram"
    a &= half == "arithmetic"
    return np.choose(kind, [r, a, n, c]).astype(bool)


def random_legal(rng: random.Random, half: str, kind: int, count: int) -> list[int]:
    """Legal words of a class that the half has."""
    generator = np.random.default_rng(rng.getrandbits(32))
    used = 2 + sum(width for _, width in FIELDS[kind])
    found: list[int] = []
    while len(found) < count:
        tries = generator.integers(0, 1 << used, 16384, dtype=np.uint64) & ~np.uint64(3) | np.uint64(kind)
        found += tries[legal(tries, half)].tolist()
    return found[:count]


def words(rng: random.Random, half: str, count: int) -> list[int]:
    """`count` words to try that half's decoder with, about half of them legal.

    In legal words of each class: every value of each field, and of each pair of fields of up to 6 bits together,
    and every change of one bit or two, bits of no field included. The rest are words at random, and legal ones with
    up to three bits changed.
    """
    kinds = [kind for kind in FIELDS if kind != (1 if half == "reram" else 0)]
    found = [0, (1 << 32) - 1]
    for kind in kinds:
        places, low = [], 2
        for _, width in FIELDS[kind]:
            places.append((low, width))
            low += width
        pairs = [(a, b) for a, b in itertools.combinations(places, 2) if a[1] + b[1] <= 6]
        for base in random_legal(rng, half, kind, 4):
            found += [base ^ (1 << one | 1 << other) for one in range(32) for other in range(one + 1)]
            for low, width in places:
                found += [_put(base, low, width, value) for value in range(1 << width)]
        for base in random_legal(rng, half, kind, 8):
            for (low, width), (low_2, width_2) in pairs:
                found += [
                    _put(_put(base, low, width, value), low_2, width_2, value_2)
                    for value in range(1 << width)
                    for value_2 in range(1 << width_2)
                ]
    assert len(found) < count, f"the {half} half needs {len(found)} words"
    rest = count - len(found)
    found += [rng.getrandbits(32) for _ in range(rest // 4)]
    rest -= rest // 4
    for kind in kinds:
        for word in random_legal(rng, half, kind, -(-rest // len(kinds))):
            for _ in range(rng.randrange(4)):
                word ^= 1 << rng.randrange(32)
            found.append(word)
    return found[:count]


def _put(word: int, low: int, width: int, value: int) -> int:
    return word & ~(((1 << width) - 1) << low) | value << low
