"""Testbench of the ReRAM half's controller: every output in every cycle against an interpreter of its programs."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.encoding import Instruction, decode, encode, instruction_writes
from ohmweave.rtl.isa import Class, ControlOp, Half, NetworkOp, Place, ReadOp
from ohmweave.testbench.lockstep import pack
from ohmweave.testbench.stream import StreamSource, parameters, reset, start

P = parameters()
WORDS, COLMUX, SIGNS, LANES, WINDOW_BITS = (
    P[name] for name in ("words", "colmux", "signs", "lanes", "window_bits")
)
RECEIVERS = 3
PLACE_BITS = (WORDS - 1).bit_length()

Program = dict[int, int]  # place → word; the others are never written


def receive(des: Place, *, exit: int = 0, channels: int = 0) -> int:
    return encode(
        Instruction.of(NetworkOp.DISTRIBUTION, src=Place.TREE, des=des, exit=exit, channels=channels)
    )


def read(op: ReadOp = ReadOp.CONVOLUTION, src: Place = Place.BUFFER_0, **operands: int) -> int:
    return encode(Instruction.of(op, src=src, **operands))


def control(op: ControlOp) -> int:
    return encode(Instruction.of(op, src=Place.TREE, des=Place.BUFFER_0))


class Configuration:
    def __init__(
        self,
        length: int,
        windows: tuple[int, int] = (1, 1),
        split: tuple[int, int] = (0, 0),
        in_place: int = 0,
    ):
        self.length, self.windows, self.split, self.in_place = length, windows, split, in_place

    def word(self) -> int:
        fields = [(self.length, WORDS.bit_length()), *((n - 1, WINDOW_BITS) for n in self.windows)]
        return pack([*fields, *((split, 2) for split in self.split), (self.in_place, 1)])


class Interpreter:
    """What the controller does in each cycle from the one after `clear`."""

    def __init__(self, program: Program, config: Configuration):
        self.program, self.config = program, config
        self.place = self.start = 0
        self.delay = 1  # until the instruction is there
        self.stopped = False
        self.failed = False
        self.started: set[int] = set()
        self.issued: list[tuple[int, int]] = []  # (cycle, place)
        self.now = 0

    def frame(self, instruction: Instruction) -> int | None:
        """The frame of reads of an R-type instruction; None if it cannot be executed."""
        src, planes, slices = (instruction[name] for name in ("src", "planes", "slices"))
        if instruction["fusion"] or instruction["first"] > instruction["blocks"]:
            return None
        if src == Place.BOTH_BUFFERS and self.config.in_place:
            return None
        if not instruction["index"] and (instruction["blocks"] + 1) * 2**slices * SIGNS > COLMUX:
            return None
        for buffer, split in enumerate(self.config.split):
            if src in (buffer, Place.BOTH_BUFFERS) and LANES % 2 ** (split + planes):
                return None
        whole = instruction.op is ReadOp.FULLY_CONNECTED
        width = (COLMUX - 1).bit_length()
        return pack(
            [
                (src == Place.BUFFER_1, 1),
                (src == Place.BOTH_BUFFERS, 1),
                *((split, 2) for split in self.config.split),
                *((0 if whole else windows - 1, WINDOW_BITS) for windows in self.config.windows),
                (instruction["index"], 1),
                *((instruction[name] & (1 << width) - 1, width) for name in ("first", "blocks")),
                (planes, 2),
                (slices, 2),
            ]
        )

    def cycle(
        self, ready: list[bool], frame_ready: bool, reading: bool, programming: bool
    ) -> tuple[dict[int, int], int | None]:
        """Words offered to the receivers, and the frame offered; then moves on."""
        self.now += 1
        if not self.config.length or self.stopped or self.failed:
            return {}, None
        if self.delay:
            self.delay -= 1
            return {}, None
        word = self.program.get(self.place, 0)
        try:
            instruction = decode(word, Half.RERAM)
        except OhmweaveError:
            self.failed = True
            return {}, None
        offers: dict[int, int] = {}
        frame = None
        if instruction.kind is Class.N:
            wanted = {
                Place.BUFFER_0: {0},
                Place.BUFFER_1: {1},
                Place.BOTH_BUFFERS: {0, 1},
                Place.ARITHMETIC: {2},
            }[Place(instruction["des"])]
            offers = dict.fromkeys(wanted - self.started, word >> 2)
            self.started |= {n for n in wanted if ready[n]}
            done = self.started >= wanted
        elif instruction.kind is Class.R:
            frame = self.frame(instruction)
            done = frame_ready
            if frame is None:
                self.failed = True
                return {}, None
        else:
            op = instruction.op
            self.stopped = op is ControlOp.FETCH
            self.failed = op is ControlOp.DMA
            done = {ControlOp.WEIGHT_LOAD: not programming, ControlOp.DATA_LOAD: not reading}.get(
                op,  # type: ignore[call-overload]
                op is ControlOp.DISPATCH,
            )
        if done:
            self.issued.append((self.now - 1, self.place))
            ends = self.place == self.config.length - 1 or (
                instruction.kind is Class.N and bool(instruction["exit"])
            )
            following = self.start if ends else self.place + 1
            if instruction.kind is Class.C and instruction.op is ControlOp.DISPATCH and not ends:
                self.start = self.place + 1
            self.place, self.delay, self.started = following, 1, set()
        return offers, frame


class Bench:
    def __init__(self, dut: Any, seed: object = 1):
        self.dut = dut
        self.random = random.Random(str(seed))
        self.model = Interpreter({}, Configuration(0))
        for n in range(RECEIVERS):
            getattr(dut, f"receive__{n}__ready").value = 0
        dut.frame__ready.value = dut.reading.value = dut.programming.value = 0
        dut.program__valid.value = dut.program__payload.value = 0
        dut.config.value = 0
        dut.clear.value = 0

    async def load(self, program: Program, config: Configuration) -> None:
        """Clear the controller, write the program and start it."""
        dut = self.dut
        dut.clear.value = 1
        writes = [write for place, word in program.items() for write in instruction_writes(place, word)]
        self.random.shuffle(writes)
        # What lies outside of the table is ignored.
        writes.append((2 * WORDS + self.random.randrange(9), 0xFFFF))
        await StreamSource(dut, "program").run(pack([(a, 16), (d, 16)]) for a, d in writes)
        dut.config.value = config.word()
        # Two cycles of `clear` at least: the word of place 0 may have been written in the last.
        await RisingEdge(dut.clk)
        dut.clear.value = 0
        self.model = Interpreter(program, config)

    async def cycle(self, stall: float = 0.0) -> None:
        dut, model = self.dut, self.model
        ready = [self.random.random() >= stall for _ in range(RECEIVERS)]
        frame_ready, reading, programming = (self.random.random() >= stall for _ in range(3))
        reading, programming = not reading, not programming
        for n, value in enumerate(ready):
            getattr(dut, f"receive__{n}__ready").value = int(value)
        dut.frame__ready.value = int(frame_ready)
        dut.reading.value, dut.programming.value = int(reading), int(programming)
        await ReadOnly()
        where = f"cycle {model.now}, place {model.place}"
        assert int(dut.error.value) & 1 == model.failed, where
        if model.failed:
            assert int(dut.error.value) >> 1 == model.place, where
        offers, frame = model.cycle(ready, frame_ready, reading, programming)
        for n in range(RECEIVERS):
            valid = bool(getattr(dut, f"receive__{n}__valid").value)
            assert valid == (n in offers), f"{where}: receive {n}"
            if valid:
                assert int(getattr(dut, f"receive__{n}__payload").value) == offers[n], f"{where}: receive {n}"
        assert bool(dut.frame__valid.value) == (frame is not None), f"{where}: frame"
        if frame is not None:
            assert int(dut.frame__payload.value) == frame, f"{where}: frame"
        await RisingEdge(dut.clk)


def random_word(source: random.Random) -> int:
    """An instruction, mostly one that can be executed."""
    dice = source.random()
    if dice < 0.02:
        return source.getrandbits(32)
    if dice < 0.4:
        des = source.choice((Place.BUFFER_0, Place.BUFFER_1, Place.BOTH_BUFFERS, Place.ARITHMETIC))
        return receive(des, exit=int(source.random() < 0.1), channels=source.randrange(4096))
    if dice < 0.8:
        slices = source.randint(0, 2)
        most = max(1, COLMUX // (SIGNS << slices))
        src = source.choice((Place.BUFFER_0, Place.BUFFER_1, Place.BOTH_BUFFERS))
        index = source.randint(0, 1) if src != Place.BOTH_BUFFERS else 0
        blocks = min(63, source.randrange(most + (source.random() < 0.05)))
        first = 0 if index else source.randint(int(src == Place.BOTH_BUFFERS), max(1, min(31, blocks)))
        return read(
            source.choice(list(ReadOp)),
            src,
            index=index,
            first=first,
            blocks=blocks,
            planes=source.randint(0, 2),
            slices=slices,
        )
    return control(
        source.choice((ControlOp.WEIGHT_LOAD, ControlOp.DATA_LOAD, ControlOp.DISPATCH, ControlOp.DISPATCH))
    )


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.8])
async def random_programs(dut: Any, stall: float) -> None:
    """Programs of every length, configurations, busy receivers and reads; also cleared in the middle."""
    bench = Bench(dut, stall)
    await start(dut)
    source, executed = bench.random, 0
    for turn in range(40):
        length = WORDS if turn == 0 else source.randint(0, WORDS)
        program = {place: random_word(source) for place in range(max(length, 1))}
        config = Configuration(
            length,
            (source.randint(1, 1 << WINDOW_BITS), source.randint(1, 1 << WINDOW_BITS)),
            (source.choice((0, 0, 0, 1, 2, 3)), source.choice((0, 0, 0, 1, 2, 3))),
            int(source.random() < 0.2),
        )
        await bench.load(program, config)
        for _ in range(source.randint(1, 120)):
            await bench.cycle(stall)
        executed += len(bench.model.issued)
    assert executed > 100, f"only {executed} instructions were executed"


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The first instruction in the cycle after the first, then one every two cycles, also where the program wraps."""
    bench = Bench(dut)
    await start(dut)
    program = {0: receive(Place.BUFFER_0), 1: read()}
    await bench.load(program, Configuration(2))
    for _ in range(20):
        await bench.cycle()
    assert bench.model.issued == [(1 + 2 * n, n % 2) for n in range(10)]


@cocotb.test()
async def where_programs_start_over(dut: Any) -> None:
    """Behind the last DISPATCH; at the end, or at `exit`; FETCH stops."""
    bench = Bench(dut)
    await start(dut)
    dispatch = control(ControlOp.DISPATCH)
    transfer = receive(Place.ARITHMETIC)
    cases = [
        ([transfer, transfer, transfer], 2, [0, 1, 0, 1, 0]),
        ([transfer, dispatch, read()], 3, [0, 1, 2, 2, 2, 2]),
        ([read(), dispatch, receive(Place.BUFFER_1, exit=1), transfer], 4, [0, 1, 2, 2, 2]),
        ([read(), dispatch, transfer, dispatch, transfer], 5, [0, 1, 2, 3, 4, 4, 4]),
        ([read(), dispatch], 2, [0, 1, 0, 1]),
        ([read(), control(ControlOp.FETCH), transfer], 3, [0]),
    ]
    for words, length, places in cases:
        await bench.load(dict(enumerate(words[:WORDS])), Configuration(min(length, WORDS)))
        for _ in range(2 * len(places) + (10 if len(places) == 1 else 0)):
            await bench.cycle()
        if len(words) <= WORDS:
            assert [place for _, place in bench.model.issued] == places


ILLEGAL = [
    0,
    0xFFFFFFFF,
    receive(Place.BUFFER_0) | 1 << 31,
    encode(Instruction.of(NetworkOp.LOCAL, src=Place.ARITHMETIC, des=Place.MESH)),
    0x00000045,  # A-type
    control(ControlOp.DMA),
    read(blocks=1) | Place.BOTH_BUFFERS << 21,  # none of the blocks is buffer 0's
    read(index=1) | 1 << 27,
    read(first=1),
    read(fusion=1),
    read(blocks=COLMUX // SIGNS),
    read(blocks=COLMUX // SIGNS // 2, slices=1),
]


@cocotb.test()
async def illegal(dut: Any) -> None:
    """Each ends the program where it stands, and nothing is executed until `clear`."""
    bench = Bench(dut)
    await start(dut)
    for word in ILLEGAL:
        await bench.load({0: receive(Place.BUFFER_0), 1: word}, Configuration(2))
        for _ in range(12):
            await bench.cycle()
        assert bench.model.failed
        assert bench.model.issued == [(1, 0)]
        assert int(dut.error.value) == 1 | 1 << 1
    # The planes of a pixel of one lane.
    await bench.load({0: read(planes=1), 1: read()}, Configuration(2, split=(3, 0)))
    for _ in range(6):
        await bench.cycle()
    assert bench.model.failed == (LANES % 16 != 0)


@cocotb.test()
async def unwritten(dut: Any) -> None:
    """A place of which a half or nothing was written holds no instruction."""
    bench = Bench(dut)
    await start(dut)
    await reset(dut)
    for half in (0, 1):
        dut.clear.value = 1
        writes = instruction_writes(half, receive(Place.BUFFER_0))[half : half + 1]
        await StreamSource(dut, "program").run(pack([(a, 16), (d, 16)]) for a, d in writes)
        dut.config.value = Configuration(2).word()
        await RisingEdge(dut.clk)
        dut.clear.value = 0
        bench.model = Interpreter({}, Configuration(2))
        for _ in range(6):
            await bench.cycle()
        assert bench.model.failed


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset starts the controller over; the table has to be written again."""
    bench = Bench(dut, 9)
    await start(dut)
    for after in range(1, 12):
        await bench.load({0: receive(Place.BOTH_BUFFERS), 1: read()}, Configuration(2))
        for _ in range(after):
            await bench.cycle(0.5)
        dut.clear.value = 1
        await reset(dut, 1)
        dut.clear.value = 0
        bench.model = Interpreter({}, Configuration(2))
        for _ in range(5):
            await bench.cycle(0.5)
