"""Requantizer: random and extreme tables and sums against Python's integers."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, LANES, COLS, COLMUX, SUM_BITS = P["act_bits"], P["lanes"], P["cols"], P["colmux"], P["sum_bits"]
AT_ONCE = COLS // COLMUX
WORDS = AT_ONCE // LANES
GROUP_BITS, COUNT_BITS = (COLMUX - 1).bit_length(), (LANES - 1).bit_length()
TOP_SUM = (1 << SUM_BITS) - 1
TOP = (1 << ACT) - 1

Entry = tuple[int, int, int]  # bias, mult, shift


def result(total: int, reference: int, entry: Entry) -> tuple[int, int]:
    """The raw value and the activation of one column."""
    bias, mult, shift = entry
    v = total - (reference * 2 ** (P["cell_bits"] - 1) if P["offset"] else 0) + bias
    return v, max(0, min(TOP, (v * mult + 2 ** (shift - 1)) // 2**shift))


def results(word: int, table: dict[int, Entry], last_word: int, last_count: int) -> list[int]:
    """The words of results of one column group; lanes that do not count are zero."""
    *sums, reference = fields(word, SUM_BITS, AT_ONCE + 1)
    place = word >> (SUM_BITS * (AT_ONCE + 1))
    group, last = place & ((1 << GROUP_BITS) - 1), place >> GROUP_BITS
    words = []
    for n in range(last_word + 1 if last else WORDS):
        final = bool(last) and n == last_word
        counts = last_count + 1 if final else LANES
        column = [n * LANES + lane for lane in range(counts)]
        pairs = [result(sums[c], reference, table[group * AT_ONCE + c]) for c in column]
        pairs += [(0, 0)] * (LANES - counts)
        activations = [(q, ACT) for _, q in pairs]
        words.append(pack([*activations, *((v, 32) for v, _ in pairs), (counts - 1, COUNT_BITS), (final, 1)]))
    return words


class RequantizerModel:
    """One word a cycle; table, sum, product and result take a cycle each."""

    def __init__(self, table: dict[int, Entry], last_word: int, last_count: int):
        self._expected = lambda word: results(word, table, last_word, last_count)
        self.todo: list[int] = []
        self.stages: list[int | None] = [None, None, None]

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.stages[-1]
        if shown is not None and not ready:
            return False, shown
        accepted = len(self.todo) <= 1
        self.stages = [self.todo.pop(0) if self.todo else None, *self.stages[:2]]
        if accepted and word is not None:
            self.todo = self._expected(word)
        return accepted, shown


def sums_word(sums: list[int], reference: int, group: int, last: bool) -> int:
    return pack([*((s, SUM_BITS) for s in sums), (reference, SUM_BITS), (group, GROUP_BITS), (last, 1)])


def windows(rng: random.Random, count: int, groups: int, extreme: bool = False) -> list[int]:
    """Sums of `count` windows, each read in `groups` column groups."""
    words = []
    for _ in range(count):
        for group in range(groups):
            sums = [rng.choice((0, TOP_SUM)) if extreme else rng.randint(0, TOP_SUM) for _ in range(AT_ONCE)]
            reference = rng.choice((0, TOP_SUM)) if extreme else rng.randint(0, TOP_SUM >> 3)
            words.append(sums_word(sums, reference, group, group == groups - 1))
    return words


def typical(rng: random.Random) -> Entry:
    """A scale that brings most results into the range of an activation."""
    mult = rng.randint(1, 65535)
    shift = SUM_BITS + mult.bit_length() - ACT + rng.randint(-2, 2)
    return rng.randint(-(1 << SUM_BITS), 1 << SUM_BITS), mult, max(1, min(39, shift))


def edge(rng: random.Random, column: int) -> Entry:
    """The ends of every field; shifts 1 to 39 in turn."""
    bias = rng.choice((-(1 << 23), -(1 << 23) + 1, -1, 0, 1, (1 << 23) - 1))
    return bias, rng.choice((0, 1, 2, 32768, 65535)), column % 39 + 1


async def write_table(dut: Any, table: dict[int, Entry]) -> None:
    """Write each column's entry; what the two unused bits and the fourth word hold is random."""
    rng = random.Random(len(table))
    writes = []
    for column, (bias, mult, shift) in table.items():
        bits = pack([(bias, 24), (shift, 6), (rng.randrange(4), 2), (mult, 16), (rng.randrange(1 << 16), 16)])
        writes += [(4 * column + n, word) for n, word in enumerate(fields(bits, 16, 4))]
    rng.shuffle(writes)
    # Columns that do not exist.
    writes += [(4 * column + n, 0xFFFF) for column in (COLS, COLS + 1, 2 * COLS) for n in range(3)]
    await StreamSource(dut, "table").run(pack([(a, 16), (d, 16)]) for a, d in writes)


async def configure(
    dut: Any, table: dict[int, Entry], last_word: int = WORDS - 1, last_count: int = LANES - 1
) -> RequantizerModel:
    """Set the configuration, reset the block, give a fresh model. The table outlives a reset."""
    dut.config.value = pack([(last_word, (WORDS - 1).bit_length()), (last_count, COUNT_BITS)])
    await reset(dut)
    return RequantizerModel(table, last_word, last_count)


def expect(words: list[int], table: dict[int, Entry], last_word: int, last_count: int) -> list[int]:
    return [out for word in words for out in results(word, table, last_word, last_count)]


async def begin(dut: Any) -> None:
    dut.table__valid.value = 0
    dut.table__payload.value = 0
    dut.i__valid.value = 0
    await start(dut)


# Stands first: later tests write the columns that must be unwritten here.
@cocotb.test()
async def unused_columns_unwritten(dut: Any) -> None:
    """Columns beyond a pixel's last leave no trace, though their entries were never written."""
    await begin(dut)
    rng = random.Random(1)
    used = COLS - LANES + 1 if LANES > 1 else COLS - 1
    table = {column: typical(rng) for column in range(used)}
    await write_table(dut, table)
    last_word = (used - 1) % AT_ONCE // LANES
    last_count = (used - 1) % LANES
    words = windows(rng, 3, COLMUX)
    model = await configure(dut, table, last_word, last_count)
    await transfer(dut, words, expect(words, table, last_word, last_count), model, pace=PACES[0])


@cocotb.test()
async def random_windows(dut: Any) -> None:
    """Random tables and sums, every last word and count in turn, at every pace."""
    await begin(dut)
    rng = random.Random(2)
    table = {column: typical(rng) for column in range(COLS)}
    await write_table(dut, table)
    places = [(w, c) for w in range(WORDS) for c in range(LANES)]
    between = total = 0
    for n, (last_word, last_count) in enumerate(places if len(places) < 8 else places[::3]):
        for pace in PACES:
            words = windows(rng, 4, 1 + n % COLMUX)
            expected = expect(words, table, last_word, last_count)
            model = await configure(dut, table, last_word, last_count)
            await transfer(dut, words, expected, model, pace=pace)
            between += sum(0 < q < TOP for word in expected for q in fields(word, ACT, LANES))
            total += LANES * len(expected)
    # A test whose results are all clipped would show little.
    assert between > total // 4, f"only {between} of {total} activations are not clipped"


@cocotb.test()
async def extremes(dut: Any) -> None:
    """Ends of sums, biases, multipliers; shifts 1 to 39; the entries of every column."""
    await begin(dut)
    rng = random.Random(3)
    for _ in range(3 + 80 // COLS):
        table = {column: edge(rng, column + rng.randrange(39)) for column in range(COLS)}
        await write_table(dut, table)
        words = windows(rng, 1, COLMUX, extreme=True) + windows(rng, 1, COLMUX)
        model = await configure(dut, table)
        expected = expect(words, table, WORDS - 1, LANES - 1)
        await transfer(dut, words, expected, model, pace=PACES[0])


@cocotb.test()
async def ties(dut: Any) -> None:
    """Small values over small shifts: halves round up, also just below zero and at the clips."""
    await begin(dut)
    rng = random.Random(4)
    for base in (1, 2, 3, 4):
        table = {c: (rng.randint(-12, 12 + (TOP << base)), 1, base) for c in range(COLS)}
        await write_table(dut, table)
        words = [
            sums_word([rng.randint(0, 3) for _ in range(AT_ONCE)], 0, group, group == COLMUX - 1)
            for group in range(COLMUX)
        ]
        model = await configure(dut, table)
        expected = expect(words, table, WORDS - 1, LANES - 1)
        await transfer(dut, words, expected, model, pace=PACES[0])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset drops the sums and results in flight and keeps the table."""
    await begin(dut)
    rng = random.Random(5)
    table = {column: typical(rng) for column in range(COLS)}
    await write_table(dut, table)
    for after in range(1, 9):
        words = windows(rng, 4, COLMUX)
        await configure(dut, table)
        dut.o__ready.value = after % 2
        feed = cocotb.start_soon(StreamSource(dut, "i").run(words))
        for _ in range(after):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        model = await configure(dut, table)
        expected = expect(words, table, WORDS - 1, LANES - 1)
        await transfer(dut, words, expected, model, pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """4 cycles to the first result; a group every W cycles, the last one every last_word + 1."""
    await begin(dut)
    rng = random.Random(6)
    table = {column: typical(rng) for column in range(COLS)}
    await write_table(dut, table)
    for last_word in {0, WORDS - 1}:
        words = windows(rng, 3, 2)
        model = await configure(dut, table, last_word)
        expected = expect(words, table, last_word, LANES - 1)
        taken, sent = await transfer(dut, words, expected, model, pace=PACES[0])
        spent = [(last_word + 1) if n % 2 else WORDS for n in range(len(words))]
        assert [cycle for cycle, _ in taken] == [sum(spent[:n]) for n in range(len(words))]
        assert [cycle for cycle, _ in sent] == [4 + n for n in range(len(expected))]
