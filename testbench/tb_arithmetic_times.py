"""Arithmetic half: cycles, back-pressure between its programs, illegal instructions, interruptions."""

import random
from collections import deque
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.arithmetic_bench import (
    ACT,
    BITS,
    BUFFER_LANES,
    LANES,
    TB,
    VECTORS,
    WINDOW_LANES,
    Case,
    Data,
    Transfers,
    unpack_sent,
)
from ohmweave.testbench.arithmetic_model import (
    ADD,
    BUFFER,
    DIV,
    EACH,
    FORWARD,
    FRAME,
    ISQRT,
    LAST,
    MAX,
    MUL,
    NETWORK,
    RESULT,
    SIDE,
    SUB,
    U4,
    WIDE,
    WINDOW,
    IllegalInstruction,
    K,
    R,
    a_type,
    instruction,
    n_type,
    nibbles,
)
from ohmweave.testbench.lockstep import fields
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, start

#: Cycles from `clear` on in which the head of the only program is looked at.
BEGINS = 3
#: From a body's first cycle to the first operands, and from operands to what is sent.
OPERANDS, SENT = 3, 4


def cycles(transfers: Transfers, name: str) -> list[int]:
    return [cycle for cycle, _ in transfers[name]]


def steps(times: list[int]) -> set[int]:
    """Cycles between transfers."""
    return {after - before for before, after in pairwise(times)}


def post_program(length: int, result: int, last: int = NETWORK, op: int = ADD) -> list[int]:
    """`length` instructions that depend on each other; number `result` names RESULT, the last one writes."""
    return [
        a_type(op if n == 0 else ADD, RESULT if n == result else FORWARD, K[0] if n % 2 else FORWARD,
               size=U4 if last == BUFFER and n == length - 1 else WIDE, des=last if n == length - 1 else 0)
        for n in range(length)
    ]  # fmt: skip


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """What the docstring of ArithmeticHalf says, with everything there and every output taken."""
    tb = TB(dut)
    await start(dut)
    data = Data(1)
    for length in range(1, 8):
        for result in range(length):
            for head in (0, 1):
                program = [n_type(U4, LANES)] * head + post_program(length, result)
                case = data.case(channels=LANES, pixels=4, frames=2, post=program)
                for more in (False, True):
                    found = await tb.run(case, more=more)
                    taken, sent = cycles(found, "result"), cycles(found, "out")
                    # The program's head is looked at before, whether it is an N-type or not.
                    assert taken[0] == BEGINS + OPERANDS + result, f"{length}, {result}: {taken}"
                    passes = {out - took for took, out in zip(taken, sent, strict=True)}
                    assert passes == {length - 1 - result + SENT}
                    if more:
                        two = {b - a for a, b in zip(taken[:-3], taken[2:-1], strict=True)}
                        assert two == {max(2 * length, result + 4)}, f"{length}, {result}: {taken}"
                    else:
                        assert steps(taken) == {max(length, result + 4)}
    for op, extra in ((DIV, 28), (ISQRT, 25)):
        program = [
            a_type(op, RESULT, *([K[0]] if op == DIV else [])),
            *[a_type(ADD, FORWARD, K[0])] * 3,
            a_type(ADD, des=NETWORK),
        ]
        found = await tb.run(data.case(channels=LANES, pixels=4, frames=1, post=program))
        assert steps(cycles(found, "result")) == {5 + extra}
        assert cycles(found, "out")[0] - cycles(found, "result")[0] == 4 + extra + SENT
    for vectors in range(1, VECTORS + 1):
        for pixels in (1, 4, 9):
            program = [a_type(MAX, FORWARD, WINDOW, batch=EACH), a_type(ADD, des=NETWORK)]
            channels = LANES * vectors
            case = Case(
                pool=program,
                channels=channels,
                windows_a_frame=3,
                window_pixels=pixels,
                windows=data.windows(3),
            )
            found = await tb.run(case)
            body = pixels + 1
            assert steps(cycles(found, "window")) == {body * vectors + 2}
            sent = cycles(found, "out")
            assert steps(sent[:vectors]) <= {body}
            assert sent[0] == BEGINS + OPERANDS + body - 1 + SENT


@cocotb.test()
async def waits_for_results(dut: Any) -> None:
    """Cycles of FORWARD and of registers that come from the last stage, with others between; the latest counts."""
    tb = TB(dut)
    await start(dut)
    data = Data(7)
    other = a_type(MAX, K[0], K[0], forward=0)
    for between in range(6):
        for first, second, least in (
            (a_type(ADD, RESULT), a_type(ADD, FORWARD, K[0], des=NETWORK), 1),
            (a_type(MUL, RESULT, K[1]), a_type(ADD, FORWARD, K[0], des=NETWORK), 3),
            (a_type(ADD, RESULT, size=U4), a_type(SUB, K[0], FORWARD, des=NETWORK), 3),
            (a_type(ADD, RESULT, des=R[1]), a_type(ADD, R[1], K[0], des=NETWORK), 3),
            (a_type(MUL, RESULT, K[1], des=R[1]), a_type(SUB, K[0], R[1], des=NETWORK), 3),
            (a_type(ADD, RESULT, size=U4, des=R[1]), a_type(ADD, R[1], R[1], des=NETWORK), 3),
            (a_type(ADD, RESULT, des=R[1]), a_type(SUB, FORWARD, R[1], des=NETWORK), 3),
            # On a frame's first pixel it is 0, and waited for all the same.
            (a_type(ADD, RESULT, des=R[1]), a_type(SUB, R[1], K[0], batch=FRAME, des=NETWORK), 3),
            # Another register, and no one's FORWARD.
            (a_type(MUL, RESULT, K[1], des=R[1], forward=0), a_type(SUB, K[0], R[2], des=NETWORK), 1),
            (a_type(MUL, RESULT, K[1]), a_type(ADD, K[0], des=NETWORK), 1),
        ):
            case = data.case(channels=LANES, pixels=4, frames=1, post=[first, *[other] * between, second])
            found = await tb.run(case)
            passes = {
                out - took for took, out in zip(cycles(found, "result"), cycles(found, "out"), strict=True)
            }
            assert passes == {max(least, between + 1) + SENT}, f"{between}, {least}: {passes}"
    # Operations that stay in the first stage find a register there in their first cycle.
    for op, extra in ((DIV, 28), (ISQRT, 25)):
        program = [
            a_type(ADD, RESULT, K[0], des=R[1]),
            a_type(op, R[1], *([K[1]] if op == DIV else []), des=NETWORK),
        ]
        found = await tb.run(data.case(channels=LANES, pixels=4, frames=1, post=program))
        assert cycles(found, "out")[0] - cycles(found, "result")[0] == 3 + extra + SENT
    # The later of two that write; a register that the body before writes, for the same vector and for another.
    twice = [
        a_type(ADD, RESULT, des=R[1]),
        a_type(ADD, K[0], des=R[1]),
        a_type(ADD, R[1], K[0], des=NETWORK),
    ]
    for between in range(6):
        across = [
            a_type(SUB, R[1], K[0], des=NETWORK),
            *[other] * between,
            a_type(ADD, RESULT, des=R[1], forward=0),
        ]
        for vectors in range(1, VECTORS + 1):
            for post in (twice[:2] + [other] * between + twice[2:], across):
                for pace in PACES:
                    await tb.run(data.case(channels=LANES * vectors, pixels=4, frames=1, post=post), pace)
    # FORWARD of an operation that was kept later does not wait for, or become, what comes later of one before it.
    program = [
        a_type(MUL, RESULT, K[1], size=U4), a_type(ADD, K[0], K[0]), a_type(ADD, FORWARD, K[0], des=NETWORK)
    ]  # fmt: skip
    found = await tb.run(data.case(channels=LANES, pixels=4, frames=1, post=program))
    assert cycles(found, "out")[0] - cycles(found, "result")[0] == 2 + SENT


@cocotb.test()
async def pixels_to_the_buffer(dut: Any) -> None:
    """Cycles of pixels, for each number of vectors; no faster than the buffer takes them, and nothing is lost."""
    tb = TB(dut)
    await start(dut)
    data = Data(2)
    for length in range(1, 7):
        for channels in sorted({1, LANES, BUFFER_LANES}):
            program = post_program(length, 0, BUFFER)
            case = data.case(channels=channels, pixels=4, frames=3, post=program)
            for pace in PACES:
                found = await tb.run(case, pace)
                if pace == PACES[0] and channels <= LANES:
                    taken = cycles(found, "result")
                    fours = {b - a for a, b in zip(taken[4:], taken[8:], strict=False)}
                    assert fours == {max(4 * max(length, 4), length + 8)}, fours
                    assert found["pixel"][0][0] == taken[0] + length + SENT
                    taken = cycles(await tb.run(case, more=True), "result")
                    fours = {b - a for a, b in zip(taken[4:], taken[8:], strict=False)}
                    assert fours == {max(4 * length, 8, length + 8)}, fours


class Pooled:
    """Stands for the second convolution buffer: takes `group` pixels, then gives one window, and holds no more."""

    def __init__(self, dut: Any, group: int, room: int):
        self.dut, self.group, self.room = dut, group, room
        self.pixels: list[int] = []
        self.waiting: deque[int] = deque()
        self.given: list[list[int]] = []

    async def run(self) -> None:
        dut = self.dut
        while True:
            dut.pixel__ready.value = len(self.waiting) < self.room
            dut.window__valid.value = bool(self.waiting)
            if self.waiting:
                dut.window__payload.value = self.waiting[0]
            await ReadOnly()
            took = bool(dut.pixel__valid.value) and bool(dut.pixel__ready.value)
            gave = bool(dut.window__valid.value) and bool(dut.window__ready.value)
            word = int(dut.pixel__payload.value) if took else 0
            await RisingEdge(dut.clk)
            if gave:
                self.waiting.popleft()
            if took:
                self.pixels.append(word)
                if len(self.pixels) % self.group == 0:
                    pixels = [fields(p, ACT, BUFFER_LANES) for p in self.pixels[-self.group :]]
                    window = [lane for pixel in pixels for lane in pixel]
                    window += [0] * (WINDOW_LANES - len(window))
                    self.given.append(window)
                    self.waiting.append(nibbles(window, ACT))


async def pooled(
    tb: TB, case: Case, group: int, *, room: int, interval: int, stall: float = 0.0
) -> list[int]:
    """Convolution results every `interval` cycles, through both programs; gives the cycles they are taken in."""
    dut = tb.dut
    await tb.configure(case)
    machine, post, pool = case.machine()
    machine.run(post, len(case.results))
    source, sink = StreamSource(dut, "result"), StreamSink(dut, "out", stall=stall, seed=3)
    buffer = Pooled(dut, group, room)
    bodies = len(case.results) // case.vectors // group * case.vectors

    async def feed() -> None:
        for vector in case.results:
            due = source.cycle + interval
            await source.run([nibbles(vector, BITS)])
            while source.cycle < due:
                await RisingEdge(dut.clk)
                source.cycle += 1

    tasks = [cocotb.start_soon(feed()), cocotb.start_soon(buffer.run())]
    await sink.run(bodies, cycles=200 + (interval + 60) * len(case.results))
    await sink.run(cycles=sink.cycle + 20)
    for task in tasks:
        task.cancel()
    assert [fields(p, ACT, BUFFER_LANES) for p in buffer.pixels] == machine.pixels
    machine.windows.extend(buffer.given)
    machine.run(pool, bodies)
    assert [unpack_sent(word) for _, word in sink.taken] == machine.sent
    return [cycle for cycle, _ in source.taken]


@cocotb.test()
async def convolution_and_pooling(dut: Any) -> None:
    """Bias, scale, ReLU, 3×3 maximum with stride 2: a vector is taken whenever the array can have one ready.

    32 channels are two blocks of 6 cycles; a window goes with four pixels.
    """
    tb = TB(dut)
    await start(dut)
    data = Data(3)
    for vectors in range(1, max(1, BUFFER_LANES // LANES) + 1):
        case = data.case(
            channels=LANES * vectors,
            pixels=16,
            frames=1,
            windows_a_frame=4,
            window_pixels=9,
            post=[a_type(ADD, RESULT, K[0]), a_type(MUL, FORWARD, K[1], size=U4, des=BUFFER)],
            pool=[a_type(MAX, FORWARD, WINDOW, batch=EACH, des=NETWORK)],
        )
        taken = await pooled(tb, case, 4, room=2, interval=12)
        late = [cycle - 12 * n for n, cycle in enumerate(taken)]
        assert max(late) <= 12, late  # the next result comes in 12 cycles: it finds the place free


@cocotb.test()
async def programs_do_not_wait_for_each_other(dut: Any) -> None:
    """A buffer that takes nothing until `pool` has emptied it, results without a pause, a slow network."""
    tb = TB(dut)
    await start(dut)
    data = Data(4)
    for length in (1, 2, 5):
        for group in (1, 2, 4):
            for channels in sorted({LANES, BUFFER_LANES}):
                case = data.case(
                    channels=channels,
                    pixels=8,
                    frames=1,
                    windows_a_frame=8 // group,
                    window_pixels=4,
                    post=post_program(length, length - 1, BUFFER),
                    pool=[a_type(ADD, WINDOW, FORWARD, batch=EACH, des=R[0]), a_type(ADD, R[0], des=NETWORK)],
                )
                for stall in (0.0, 0.6):
                    await pooled(tb, case, group, room=1, interval=0, stall=stall)


async def errors(tb: TB, case: Case) -> None:
    """The error of an illegal instruction, and what is sent before and after it."""
    dut = tb.dut
    await tb.configure(case)
    machine, post, pool = case.machine()
    index = None
    try:
        machine.run(post, len(case.results))
        if case.pool:
            machine.run(pool, len(case.windows) * case.vectors)
    except IllegalInstruction as illegal:
        index = illegal.args[0]
    assert index is not None
    sink = StreamSink(dut, "out")
    tasks = [cocotb.start_soon(source.run(words)) for source, words in tb.sources(case, PACES[0]).values()]
    dut.pixel__ready.value = 1
    await sink.run(cycles=60)
    assert int(dut.error.value) == 1 | index << 1
    assert [unpack_sent(word) for _, word in sink.taken] == machine.sent
    await sink.run(cycles=90)
    assert int(dut.error.value) == 1 | index << 1
    assert len(sink.taken) == len(machine.sent)
    for task in tasks:
        task.cancel()
    dut.clear.value = 1
    await RisingEdge(dut.clk)
    dut.clear.value = 0
    await RisingEdge(dut.clk)
    assert not int(dut.error.value) & 1


@cocotb.test()
async def illegal_instructions(dut: Any) -> None:
    """No instruction, one that the decoder refuses, each that is out of place: an error with its place, no more."""
    tb = TB(dut)
    await start(dut)
    data = Data(5)
    send = a_type(ADD, RESULT, K[0], des=NETWORK)
    two = [a_type(ADD, RESULT, des=R[0]), a_type(ADD, RESULT)]
    bad_post = [
        0,
        (1 << 32) - 1,
        instruction(0, op=1, kernel=1, des=3),
        a_type(ADD, batch=EACH),
        a_type(ISQRT, FORWARD, K[0]),
        a_type(ADD, K[0], K[1]),
        two[1],
    ]
    for bad in bad_post:
        for before in ([send], [send, a_type(DIV, FORWARD, K[0], des=R[1])]):
            await errors(tb, data.case(channels=LANES, pixels=4, frames=1, post=[*before, bad], base=3))
        # Met on the frame's first pixel, or never: it is decoded all the same.
        if bad not in (0, (1 << 32) - 1):
            await errors(tb, data.case(channels=LANES, pixels=4, frames=1, post=[send, bad | LAST << 23]))
    case = data.case(channels=LANES, pixels=4, frames=1, post=[*two[:1], a_type(ADD, des=BUFFER)] * 1)
    case.post = [*case.post, a_type(ADD, des=BUFFER)]
    await errors(tb, case)
    for bad in (a_type(ADD, RESULT), a_type(ADD, des=BUFFER), a_type(ADD, K[1], K[2])):
        case = Case(
            pool=[a_type(ADD, WINDOW, des=NETWORK), bad],
            channels=LANES,
            windows_a_frame=2,
            windows=data.windows(2),
        )
        await errors(tb, case)
    # WINDOW in post a second time.
    named = [a_type(ADD, RESULT, WINDOW), a_type(ADD, FORWARD, WINDOW, des=NETWORK)]
    case = data.case(channels=LANES, pixels=4, frames=1, post=named)
    case.windows = data.windows(4)
    await errors(tb, case)
    # WINDOW in post while pool is enabled.
    case = data.case(channels=LANES, pixels=4, frames=1, post=[send, a_type(ADD, WINDOW)], pool=[send])
    await errors(tb, case)


@cocotb.test()
async def cleared_in_the_middle(dut: Any) -> None:
    """`clear` in any cycle: the next frame starts over, with the table, the constants and registers as they were."""
    tb = TB(dut)
    await start(dut)
    data = Data(6)
    rng = random.Random(6)
    channels = LANES * VECTORS
    program = [
        n_type(U4, channels),
        a_type(ADD, RESULT, SIDE, batch=0),
        a_type(DIV, FORWARD, K[0], des=R[1]),
        a_type(ADD, FORWARD, R[1], des=NETWORK),
    ]
    for after in range(1, 34, 2):
        case = data.case(channels=channels, pixels=3, frames=2, post=program)
        case.sides = data.vectors(6, channels)
        await tb.configure(case)
        tasks = [cocotb.start_soon(s.run(words)) for s, words in tb.sources(case, (0.2, 0.0)).values()]
        dut.out__ready.value = 1
        for _ in range(after):
            await RisingEdge(dut.clk)
        for task in tasks:
            task.cancel()
        dut.clear.value = 1
        for port in ("result", "side", "window"):
            getattr(dut, f"{port}__valid").value = 0
        for _ in range(rng.randint(1, 3)):
            await RisingEdge(dut.clk)
        dut.clear.value = 0
        await tb.run(case, configure=False)
    # What registers hold is there after `clear`.
    case = data.case(channels=LANES, pixels=1, frames=1, post=[a_type(ADD, RESULT, des=R[2])])
    await tb.run(case)
    kept = case.results[0]
    # What is behind a vector that nobody takes writes none.
    program = [a_type(ADD, RESULT, des=NETWORK), a_type(ADD, K[0], des=R[2])]
    case = data.case(channels=LANES, pixels=1, frames=1, post=program)
    await tb.configure(case, restart=False)
    source, words = tb.sources(case, PACES[0])["result"]
    await source.run(words)
    for _ in range(20):
        await RisingEdge(dut.clk)
    case = data.case(channels=LANES, pixels=1, frames=1, post=[a_type(ADD, R[2], RESULT, des=NETWORK)])
    case.registers = {(0, R[2]): kept}
    await tb.run(case, restart=False)
