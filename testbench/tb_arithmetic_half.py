"""Arithmetic half: programs against an interpreter of their instructions, in values and in cycles."""

import random
from typing import Any

import cocotb

from ohmweave.testbench.arithmetic_bench import BUFFER_LANES, LANES, TB, VECTORS, Case, Data
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
    U8,
    U16,
    WIDE,
    WINDOW,
    K,
    R,
    a_type,
    n_type,
)  # fmt: skip
from ohmweave.testbench.stream import PACES, start


def requantise(size: int = U4, des: int = NETWORK) -> list[int]:
    return [a_type(ADD, RESULT, K[0]), a_type(MUL, FORWARD, K[1], size=size, des=des)]


def sizes() -> list[int]:
    """Channels of a pixel: less than a vector, one, and as many as the constants hold."""
    return sorted({1, LANES - 1, LANES, min(LANES + 3, LANES * VECTORS), LANES * VECTORS})


@cocotb.test()
async def requantised(dut: Any) -> None:
    """Bias, scale, round and clip, for every number of channels, with and without an N-type before it."""
    tb = TB(dut)
    await start(dut)
    data = Data(1)
    for channels in sizes():
        for head in ([], [n_type(U8, channels)]):
            for pace in PACES:
                await tb.run(data.case(channels=channels, pixels=3, frames=2, post=head + requantise()), pace)


@cocotb.test()
async def residual(dut: Any) -> None:
    """A shortcut, from the second buffer by windows of one pixel, of a word or more, or from the side input."""
    tb = TB(dut)
    await start(dut)
    data = Data(2)
    for operand in (WINDOW, SIDE):
        for planes in (0, 1, 2):
            limit = min(BUFFER_LANES >> planes, LANES * VECTORS)
            # Words of whole vectors: a pixel may have several.
            wide = LANES * VECTORS if (BUFFER_LANES >> planes) % LANES == 0 else limit
            for channels in sorted({1, limit, min(limit + LANES - 1, wide), wide}):
                program = [
                    a_type(MUL, operand, K[2], des=R[0], forward=0),
                    a_type(ADD, RESULT, R[0]),
                    a_type(ADD, FORWARD, K[0]),
                    a_type(MUL, FORWARD, K[1], size=U8, des=NETWORK),
                ]
                case = data.case(channels=channels, pixels=2, frames=2, post=program, planes=planes)
                if operand == WINDOW:
                    case.windows = data.windows(4)
                else:
                    case.sides = data.vectors(4, channels)
                for pace in (PACES[0], PACES[3]):
                    await tb.run(case, pace)


@cocotb.test()
async def partial_sums(dut: Any) -> None:
    """Partial sums of a neighbour added and sent on, not requantised."""
    tb = TB(dut)
    await start(dut)
    data = Data(3)
    for channels in sizes():
        head = n_type(U4, channels, fuse=1)
        # In the second program the register is written while its reader waits for the side input.
        for program in (
            [head, a_type(ADD, RESULT, SIDE, des=NETWORK)],
            [head, a_type(ADD, RESULT, K[0], des=R[0], forward=0), a_type(SUB, R[0], SIDE, des=NETWORK)],
        ):
            case = data.case(channels=channels, pixels=2, frames=2, post=program)
            case.sides = data.vectors(4, channels)
            for pace in PACES:
                await tb.run(case, pace)


@cocotb.test()
async def pooled_windows(dut: Any) -> None:
    """Maximum and average over windows of every size, of activations in one, two and four planes."""
    tb = TB(dut)
    await start(dut)
    data = Data(4)
    largest = [a_type(MAX, FORWARD, WINDOW, batch=EACH, size=U16, des=NETWORK)]
    average = [a_type(ADD, WINDOW, FORWARD, batch=EACH), a_type(MUL, FORWARD, K[1], size=U4, des=NETWORK)]
    for program in (largest, average):
        for edge in (1, 2, 3):
            for planes in (0, 1, 2):
                channels = min(BUFFER_LANES >> planes, LANES * VECTORS)
                case = Case(
                    pool=program, channels=channels, windows_a_frame=3, window_pixels=edge * edge, planes=planes,
                    constants=data.constants(channels), windows=data.windows(6),
                )  # fmt: skip
                await tb.run(case, PACES[0 if edge != 2 else 3])
    for groups in (1, 2, 3):
        channels = BUFFER_LANES >> groups
        case = Case(
            pool=largest, channels=channels, windows_a_frame=2, groups=groups, windows=data.windows(2)
        )
        await tb.run(case)


@cocotb.test()
async def whole_frames(dut: Any) -> None:
    """Global average, sent with the frame's last pixel: over results, and over the second buffer's pixels."""
    tb = TB(dut)
    await start(dut)
    data = Data(5)
    for channels in sizes():
        program = [
            a_type(ADD, RESULT, K[0], size=U8),
            a_type(ADD, R[1], FORWARD, batch=FRAME, des=R[1]),
            a_type(MUL, R[1], K[3], when=LAST, size=U8, des=NETWORK),
        ]
        for pace in (PACES[0], PACES[3]):
            await tb.run(data.case(channels=channels, pixels=5, frames=2, post=program), pace)
    channels = min(BUFFER_LANES, LANES * VECTORS)
    program = [
        a_type(ADD, R[1], WINDOW, batch=FRAME, des=R[1]),
        a_type(MUL, R[1], K[3], when=LAST, size=U8, des=NETWORK),
    ]
    case = Case(
        pool=program, channels=channels, windows_a_frame=4, constants=data.constants(channels),
        windows=data.windows(8),
    )  # fmt: skip
    await tb.run(case, PACES[3])


@cocotb.test()
async def division_and_roots(dut: Any) -> None:
    """Quotients and inverse square roots, forwarded to instructions of one cycle and from them."""
    tb = TB(dut)
    await start(dut)
    data = Data(6)
    program = [
        a_type(MAX, RESULT, des=R[2]),
        a_type(ISQRT, FORWARD, des=R[3], forward=0),
        a_type(MUL, FORWARD, R[3], size=U16, des=R[3]),
        a_type(DIV, R[2], R[3]),
        a_type(SUB, FORWARD, R[3], des=NETWORK),
    ]
    for channels in sizes():
        for pace in (PACES[0], PACES[3]):
            await tb.run(data.case(channels=channels, pixels=2, frames=1, post=program), pace)


def random_program(
    rng: random.Random, pool: bool, shared: bool, planes: int | None, channels: int
) -> list[int]:
    """A legal program that sends something; with `shared`, one of two that run at once.

    Two programs at once have registers of their own and the side input is post's; only post writes the buffer, and
    what they send is told apart by its size.
    """
    registers = (R[2:] if pool else R[:2]) if shared else R
    operands = [0, FORWARD, *registers, *K]
    if not (pool and shared):
        operands.append(SIDE)
    if pool or not shared:
        operands.append(WINDOW)
    program = []
    if rng.random() < 0.5:
        program.append(
            n_type(rng.randrange(3) if not shared else U16, rng.randint(1, channels), rng.randrange(2))
        )
    result_at = rng.randrange(4) if not pool else -1
    length = rng.randint(max(1, result_at + 1), 7)
    sends_at = rng.randrange(length)
    for n in range(length):
        op = rng.choice([ADD, SUB, MUL, MUL, MAX, 8, 6, DIV, ISQRT])
        src, second = rng.choice(operands), rng.choice(operands)
        if n == result_at:
            src = RESULT
        if op in (6, ISQRT):
            second = 0
        if src in K and second in K:
            second = src
        if not pool and WINDOW in operands and WINDOW in (src, second):
            operands = [operand for operand in operands if operand != WINDOW]  # once in a body of `post`
        batch = rng.randrange(3)
        if (batch == EACH and WINDOW not in (src, second)) or (batch == FRAME and not {src, second} & set(R)):
            batch = 0
        des = rng.choice([0, *registers])
        if n == sends_at:
            des = NETWORK
        elif not pool and n == length - 1 and planes is not None:
            des = BUFFER
        program.append(
            a_type(
                op,
                src,
                second,
                batch=batch,
                des=des,
                forward=int(rng.random() < 0.8),
                size=rng.choice([U4, U8, U16, WIDE, WIDE]),
                when=LAST if rng.random() < 0.15 else 0,
            )
        )
    return program


def sides_of(program: list[int]) -> bool:
    return any(word & 3 == 1 and SIDE in (word >> 10 & 15, word >> 14 & 15) for word in program)


def random_case(seed: int, post: bool, pool: bool) -> Case:
    data = Data(seed)
    rng = data.rng
    planes = rng.randrange(3)
    channels = rng.choice([rng.randint(1, BUFFER_LANES >> planes), rng.randint(1, LANES * VECTORS)])
    edge = rng.randint(1, 3)
    case = Case(
        channels=channels, planes=planes, window_pixels=edge * edge, base=rng.randrange(4), pixels=3,
        windows_a_frame=2, constants=data.constants(channels),
    )  # fmt: skip
    frames = 2
    if post:
        case.post = random_program(rng, False, post and pool, planes, channels)
        case.results = data.vectors(case.pixels * frames, channels)
    if pool:
        case.pool = random_program(rng, True, post and pool, planes, channels)
        case.windows = data.windows(case.windows_a_frame * frames)
    # As many vectors and windows as the programs take, found by having plenty of them.
    plenty = [data.vectors(1, LANES)[0] for _ in range(400)]
    windows = data.windows(case.pixels * frames)
    machine, first, second = case.machine()
    machine.sides.extend(plenty)
    machine.windows.extend(windows)
    machine.run(first, len(case.results))
    if pool:
        machine.run(second, len(case.windows) * case.vectors)
    case.sides = plenty[: len(plenty) - len(machine.sides)]
    if not pool:
        case.windows = windows[: len(windows) - len(machine.windows)]
    return case


@cocotb.test()
async def random_programs(dut: Any) -> None:
    """Legal programs of any instructions, `post` or `pool`."""
    tb = TB(dut)
    await start(dut)
    for seed in range(60):
        await tb.run(random_case(seed, seed % 2 == 0, seed % 2 == 1), PACES[seed // 2 % len(PACES)])


@cocotb.test()
async def random_programs_at_once(dut: Any) -> None:
    """Legal programs, `post` and `pool` at the same time."""
    tb = TB(dut)
    await start(dut)
    for seed in range(100, 130):
        await tb.run(random_case(seed, True, True), PACES[seed % len(PACES)])


def two_layers(seed: int) -> Case:
    """Results of two layers in turn: the first one's go to the buffer, the second one's to the network.

    Each has channels, constants and registers of its own.
    """
    data = Data(seed)
    rng = data.rng
    planes, groups = rng.randrange(3), rng.randrange(2)
    most = [min(BUFFER_LANES >> planes + groups, LANES * (VECTORS - 1)), LANES]
    channels = [rng.randint(1, max(1, count)) for count in most]
    row = -(-channels[0] // LANES)
    registers, own = (R[:2], R[2:]) if rng.random() < 0.5 else (R, R)
    first = random_program(rng, False, False, planes, channels[0])
    # It ends in the buffer and sends nothing; the second one has the first's operands, but for the side input.
    first = [word & ~(15 << 18) if word >> 18 & 15 == NETWORK and word & 3 == 1 else word for word in first]
    second = random_program(rng, False, False, None, channels[1])
    first, second = (without_streams(program, r) for program, r in ((first, registers), (second, own)))
    pixels = [rng.randint(1, 3), rng.randint(1, 3)]
    sources: list[int] = []
    results: list[list[int]] = []
    order = [0] * (2 * pixels[0]) + [1] * (2 * pixels[1])
    rng.shuffle(order)
    for src in order:
        vectors = data.vectors(1, channels[src])
        sources += [src] * len(vectors)
        results += vectors
    constants = data.constants(channels[0])
    constants |= {
        (LANES * row + channel, slot): value for (channel, slot), value in data.constants(channels[1]).items()
    }
    return Case(
        post=first, pool=second, channels=channels[0], pool_channels=channels[1], row=row, pixels=pixels[0],
        windows_a_frame=pixels[1], groups=groups, planes=planes, constants=constants, results=results,
        sources=sources, base=rng.randrange(4),
    )  # fmt: skip


def without_streams(program: list[int], registers: tuple[int, ...]) -> list[int]:
    """The program with other operands for the window and the side input."""
    found = []
    for word in program:
        for low in (10, 14):
            if word & 3 == 1 and word >> low & 15 in (SIDE, WINDOW):
                word = word & ~(15 << low) | registers[0] << low
        if word & 3 == 1 and word >> 6 & 3 == EACH:
            word &= ~(3 << 6)
        found.append(word)
    return found


@cocotb.test()
async def random_programs_of_two_layers(dut: Any) -> None:
    """Legal programs for the results of two layers, in any order of pixels."""
    if VECTORS == 1:
        return  # no constants are left for a second layer
    tb = TB(dut)
    await start(dut)
    for seed in range(200, 240):
        await tb.run(two_layers(seed), PACES[seed % len(PACES)])
