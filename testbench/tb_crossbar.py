"""Crossbar: every output in every cycle against a model that counts cycles, with the macro's Verilog model inside."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar.model import CrossbarModel, pack
from ohmweave.testbench.stream import PACES, parameters, reset, start

ARRAY = ArrayParams(**parameters())
READ, WRITE = ARRAY.read_cycles, ARRAY.write_cycles
ROW_BITS = (ARRAY.rows - 1).bit_length()


class Bench:
    """Drives all inputs and checks all outputs, one cycle a call of `cycle`."""

    def __init__(self, dut: Any, seed: int = 1):
        self.dut = dut
        self.numbers = np.random.default_rng(seed)
        self.cells = CrossbarModel(ARRAY)
        self.taken: dict[str, list[int]] = {"request": [], "program": [], "result": []}
        self.now = 0
        self.clear()
        dut.id.value = 5

    def clear(self) -> None:
        """What a reset does; the cells keep their levels."""
        self.read_done = self.write_done = self.now
        self.result: int | None = None

    def vector(self) -> np.ndarray:
        density = self.numbers.choice([0.0, 0.1, 1.0])
        return self.numbers.integers(0, 2**ARRAY.dac_bits, ARRAY.rows) * (
            self.numbers.random(ARRAY.rows) < density
        )

    def levels(self) -> np.ndarray:
        return self.numbers.integers(0, 2**ARRAY.cell_bits, ARRAY.cols)

    async def cycle(
        self, group: int | None, program: tuple[int, np.ndarray] | None, ready: bool
    ) -> tuple[bool, bool]:
        """Offer a request and a row, or None; whether each was taken."""
        dut, x = self.dut, self.vector()
        dut.x.value = pack(x, ARRAY.dac_bits)
        dut.request__valid.value = group is not None
        if group is not None and ARRAY.colmux > 1:
            dut.request__payload.value = group
        dut.program__valid.value = program is not None
        if program is not None:
            dut.program__payload.value = program[0] | pack(program[1], ARRAY.cell_bits) << ROW_BITS
        dut.result__ready.value = ready

        idle = self.now >= max(self.read_done, self.write_done)
        valid = self.result is not None and self.now >= self.read_done
        take_row = idle and program is not None
        may_read = idle and program is None and (not valid or ready)
        take_request = may_read and group is not None
        await ReadOnly()
        got = (dut.request__ready.value, dut.program__ready.value, dut.result__valid.value, dut.busy.value)
        want = (may_read, idle, valid, not idle or valid)
        assert tuple(map(int, got)) == tuple(map(int, want)), f"cycle {self.now}: {got}, not {want}"
        if valid:
            assert int(dut.result__payload.value) == self.result, f"cycle {self.now}: wrong sums"
        await RisingEdge(dut.clk)

        if valid and ready:
            self.taken["result"].append(self.now)
            self.result = None
        if take_row:
            assert program is not None
            self.taken["program"].append(self.now)
            self.cells.program(*program)
            self.write_done = self.now + WRITE
        if take_request:
            assert group is not None
            self.taken["request"].append(self.now)
            sums, reference = self.cells.read(x, group)
            self.result = pack(sums, ARRAY.sum_bits)
            self.result |= reference << ARRAY.sum_bits * ARRAY.columns_at_once
            self.read_done = self.now + READ
        self.now += 1
        return take_request, take_row

    async def run(self, cycles: int, *, idle: float = 0.0, stall: float = 0.0, rows: float = 0.0) -> None:
        """Random traffic; an offer stays until it is taken."""
        rng = random.Random(cycles)
        group: int | None = None
        row: tuple[int, np.ndarray] | None = None
        for _ in range(cycles):
            if group is None and rng.random() >= idle:
                group = rng.randrange(ARRAY.colmux)
            if row is None and rng.random() < rows:
                row = rng.randrange(1 << ROW_BITS), self.levels()
            requested, programmed = await self.cycle(group, row, rng.random() >= stall)
            group = None if requested else group
            row = None if programmed else row

    async def fill(self) -> None:
        """Program every row."""
        for number in range(ARRAY.rows):
            row = number, self.levels()
            while not (await self.cycle(None, row, False))[1]:
                pass


async def begin(dut: Any, *, fill: bool = True) -> Bench:
    for name in ("request__valid", "program__valid", "result__ready", "x", "program__payload"):
        getattr(dut, name).value = 0
    if ARRAY.colmux > 1:
        dut.request__payload.value = 0
    await start(dut)
    bench = Bench(dut)
    if fill:
        # Cells outlive a test, as they outlive a reset: start each from levels that are known.
        await bench.fill()
        bench.taken["program"].clear()
    return bench


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Reads and rows at random at every pace."""
    bench = await begin(dut)
    for idle, stall in PACES:
        for rows in (0.0, 0.1):
            await bench.run(40 * (READ + 1), idle=idle, stall=stall, rows=rows)
    assert len(bench.taken["result"]) > 60
    assert len(bench.taken["program"]) > 3


@cocotb.test()
async def latency_and_interval(dut: Any) -> None:
    """read_cycles to a result and from read to read; write_cycles from row to row."""
    bench = await begin(dut)
    while bench.now < bench.write_done:
        await bench.cycle(None, None, True)
    first = bench.now
    await bench.run(10 * READ + 1)
    assert bench.taken["request"] == [first + n * READ for n in range(11)]
    assert bench.taken["result"] == [first + n * READ for n in range(1, 11)]
    bench.taken["program"].clear()
    while len(bench.taken["program"]) < 4:
        await bench.cycle(0, (0, bench.levels()), True)
    starts = bench.taken["program"]
    assert starts == [starts[0] + n * WRITE for n in range(4)]


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset drops the read, the result and the wait after a row; the cells stay."""
    bench = await begin(dut)
    for cycles in (1, 2, READ + 1, READ + WRITE + 3):
        await bench.run(cycles, stall=0.5, rows=0.3)
        dut.request__valid.value = 0
        dut.program__valid.value = 0
        await reset(dut)
        bench.clear()
        await bench.run(5 * READ, stall=0.2)
