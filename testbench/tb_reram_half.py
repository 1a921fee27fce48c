"""Testbench of the ReRAM half with the array's Verilog model inside: vectors against products of integers."""

import dataclasses
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.params import ArrayParams, BufferParams, PEParams
from ohmweave.rtl.crossbar.model import CrossbarModel
from ohmweave.rtl.crossbar.model import pack as pack_array
from ohmweave.rtl.encoding import Instruction, encode, instruction_writes
from ohmweave.rtl.indexing_filter import index_table
from ohmweave.rtl.isa import ControlOp, NetworkOp, Place, ReadOp
from ohmweave.rtl.reram_half.signs import levels
from ohmweave.testbench.lockstep import pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
PARAMS = PEParams(**P | {"array": ArrayParams(**P["array"]), "buffer": BufferParams(**P["buffer"])})
ARRAY, BUFFER = PARAMS.array, PARAMS.buffer
AT_ONCE, READ_CYCLES = ARRAY.columns_at_once, ARRAY.read_cycles
SIGNS = 2 if ARRAY.sign_scheme == "pairs" else 1
LOSSLESS = ARRAY.adc_bits is None and not ARRAY.adc_drop
BUFFERS = (Place.BUFFER_0, Place.BUFFER_1)
WINDOW_BITS = 24
SMALL = ARRAY.rows < 200


@dataclasses.dataclass
class Layer:
    """Weights in the array: S slices, P planes of the inputs, 2^split pixels that share the lanes of a word."""

    slices: int
    planes: int
    split: int

    def __post_init__(self) -> None:
        self.pixel = BUFFER.lanes >> self.split
        self.channels = self.pixel // self.planes
        self.blocks = ARRAY.colmux // (self.slices * SIGNS)
        self.pixels = ARRAY.rows // self.pixel

    def fits(self) -> bool:
        return self.blocks > 0 and BUFFER.lanes % ((1 << self.split) * self.planes) == 0

    def random(self, numbers: np.random.Generator) -> None:
        limit = 1 << (self.slices * ARRAY.cell_bits - 1)
        shape = (self.pixels, self.channels, self.blocks * AT_ONCE)
        self.weights = numbers.integers(-limit, limit, shape)
        # Each plane has rows with the same weights.
        rows = np.zeros((self.pixels, self.planes, self.channels, shape[2]), np.int64)
        rows[:] = self.weights[:, None]
        self.levels = levels(rows.reshape(-1, shape[2]), self.slices * ARRAY.cell_bits, ARRAY)
        self.model = CrossbarModel(ARRAY)
        self.model.levels[: len(self.levels), : self.levels.shape[1]] = self.levels

    def window(self, numbers: np.random.Generator) -> np.ndarray:
        """Activations, pixels × channels."""
        top = 1 << self.planes * ARRAY.dac_bits
        values = numbers.integers(0, top, (self.pixels, self.channels))
        return values * (numbers.random(values.shape) < numbers.choice([0.05, 0.5, 1.0]))

    def rows(self, window: np.ndarray, planes: range) -> np.ndarray:
        """Inputs of the array with some planes of a window."""
        x = np.zeros((self.pixels, self.planes, self.channels), np.int64)
        for p in planes:
            x[:, p] = window >> p * ARRAY.dac_bits & (1 << ARRAY.dac_bits) - 1
        rows = np.zeros(ARRAY.rows, np.int64)
        rows[: x.size] = x.reshape(-1)
        return rows

    def word(self, window: np.ndarray) -> int:
        return pack_array(self.rows(window, range(self.planes)), ARRAY.dac_bits)

    def vectors(self, window: np.ndarray, blocks: list[int]) -> list[int]:
        """Words of the vectors of one window."""
        results = [self.block(window, block) for block in blocks]
        count = PARAMS.vector_blocks
        return [
            pack((int(value), PARAMS.lane_bits) for result in results[n : n + count] for value in result)
            for n in range(0, len(results), count)
        ]

    def block(self, window: np.ndarray, block: int) -> np.ndarray:
        result = np.zeros(AT_ONCE, np.int64)
        for p in range(self.planes):
            x = self.rows(window, range(p, p + 1))
            for j in range(self.slices):
                for sign in range(SIGNS):
                    sums, reference = self.model.read(x, (block * self.slices + j) * SIGNS + sign)
                    result += (-1) ** sign * (sums << ARRAY.cell_bits * j + ARRAY.dac_bits * p)
            if SIGNS == 1:
                result -= reference << self.slices * ARRAY.cell_bits - 1 + ARRAY.dac_bits * p
        if LOSSLESS:
            columns = self.weights[:, :, block * AT_ONCE : (block + 1) * AT_ONCE]
            assert (result == np.einsum("tc,tcn->n", window, columns)).all()
        return result


def read(
    src: int | Place, layer: Layer, blocks: int | None, op: ReadOp = ReadOp.CONVOLUTION, first: int = 0
) -> int:
    """An R-type instruction over the blocks from `first` to behind `blocks`, or over those of the index table."""
    return encode(
        Instruction.of(
            op,
            src=src,
            index=int(blocks is None),
            first=first,
            blocks=(blocks or 1) - 1,
            planes=layer.planes.bit_length() - 1,
            slices=layer.slices.bit_length() - 1,
        )
    )


def receive(des: Place) -> int:
    return encode(Instruction.of(NetworkOp.DISTRIBUTION, src=Place.TREE, des=des, channels=5))


class Bench:
    def __init__(self, dut: Any, seed: object):
        self.dut = dut
        self.random = random.Random(str(seed))
        self.numbers = np.random.default_rng(self.random.getrandbits(32))
        self.tasks: list[Any] = []
        for name in ("program", "index", "rows", "window_0", "window_1"):
            getattr(dut, f"{name}__valid").value = 0
            getattr(dut, f"{name}__payload").value = 0
        for n in range(3):
            getattr(dut, f"receive__{n}__ready").value = 0
        dut.result__ready.value = dut.clear.value = dut.config.value = dut.working.value = 0
        dut.feeds.value = dut.written.value = dut.spare.value = 0
        dut.id.value = 3

    async def program_cells(self, layer: Layer) -> None:
        layer.random(self.numbers)
        row_bits = (ARRAY.rows - 1).bit_length()
        words = (
            row | pack_array(cells, ARRAY.cell_bits) << row_bits
            for row, cells in enumerate(layer.model.levels)
        )
        await StreamSource(self.dut, "rows").run(words)

    async def configure(
        self,
        program: list[int],
        windows: tuple[int, int],
        split: int,
        table: list[int],
        in_place: bool = False,
    ) -> None:
        """Clear the half, write its tables and configuration, and let it go."""
        dut = self.dut
        dut.clear.value = 1
        writes = [write for place, word in enumerate(program) for write in instruction_writes(place, word)]
        await StreamSource(dut, "program").run(pack([(a, 16), (d, 16)]) for a, d in writes)
        await StreamSource(dut, "index").run(pack([(a, 16), (d, 16)]) for a, d in index_table(table))
        dut.config.value = pack(
            [
                (len(program), PARAMS.reram_program.bit_length()),
                *((n - 1, WINDOW_BITS) for n in windows),
                (split, 2),
                (split, 2),
                (in_place, 1),
            ]
        )
        await RisingEdge(dut.clk)
        dut.clear.value = 0

    def feed(self, words: dict[int, list[int]], pace: tuple[float, float]) -> dict[int, StreamSource]:
        sources = {}
        for n, queue in words.items():
            sources[n] = StreamSource(self.dut, f"window_{n}", idle=pace[0], seed=n + 1)
            self.tasks.append(cocotb.start_soon(sources[n].run(queue)))
        return sources

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.tasks = []
        for name in ("window_0", "window_1"):
            getattr(self.dut, f"{name}__valid").value = 0
        for n in range(3):
            getattr(self.dut, f"receive__{n}__ready").value = 0

    async def run_frames(
        self, layer: Layer, frames: list[tuple[int, list[int]]], windows: tuple[int, int],
        pace: tuple[float, float],
    ) -> tuple[dict[int, StreamSource], StreamSink]:  # fmt: skip
        """Windows for frames of (buffer, blocks); expects just their vectors."""
        words: dict[int, list[int]] = {0: [], 1: []}
        expected: list[int] = []
        reads = 0
        for src, blocks in frames:
            for _ in range(windows[src]):
                window = layer.window(self.numbers)
                words[src].append(layer.word(window))
                expected += layer.vectors(window, blocks)
                reads += len(blocks) * layer.slices * SIGNS * layer.planes
        sources = self.feed(words, pace)
        sink = StreamSink(self.dut, "result", stall=pace[1])
        came: list[int] = []
        watch = cocotb.start_soon(result_sources(self.dut, came))
        await sink.run(len(expected), cycles=4 * reads * (READ_CYCLES + 3) + 400)
        await sink.run(cycles=sink.cycle + 4 * READ_CYCLES + 8)
        assert [word for _, word in sink.taken] == expected, (
            f"{len(sink.taken)} vectors, {len(expected)} expected, or not the same ones"
        )
        assert came == [src for src, blocks in frames for _ in range(windows[src] * vector_count(blocks))]
        watch.cancel()
        assert not self.dut.busy.value
        self.stop()
        return sources, sink


def vector_count(blocks: list[int]) -> int:
    return -(-len(blocks) // PARAMS.vector_blocks)


async def result_sources(dut: Any, found: list[int]) -> None:
    """The buffer of each vector that is taken."""
    while True:
        await ReadOnly()
        if dut.result__valid.value and dut.result__ready.value:
            found.append(int(dut.result_src.value))
        await RisingEdge(dut.clk)


def layers(source: random.Random, count: int) -> list[Layer]:
    every = [Layer(s, p, split) for s in (1, 2, 4) for p in (1, 2, 4) for split in range(4)]
    fitting = [layer for layer in every if layer.fits()]
    return source.sample(fitting, min(count, len(fitting)))


def two_sets(source: random.Random, layer: Layer) -> tuple[list[int], list[int]]:
    """Blocks of two layers that share the columns."""
    first = source.randint(1, layer.blocks - 1)
    return list(range(first)), list(range(first, source.randint(first, layer.blocks - 1) + 1))


async def programmed(dut: Any, seed: str) -> tuple[Bench, Layer]:
    """A bench after reset with one layer's cells written; `clear` is high."""
    bench = Bench(dut, seed)
    await start(dut)
    (layer,) = layers(bench.random, 1)
    dut.clear.value = 1
    await bench.program_cells(layer)
    return bench, layer


@cocotb.test()
@cocotb.parametrize(pace=PACES)
async def random_layers(dut: Any, pace: tuple[float, float]) -> None:
    """Both buffers, dense and pruned, convolutions and fully connected layers, in turn."""
    bench = Bench(dut, pace)
    await start(dut)
    for layer in layers(bench.random, 3 if SMALL else 1):
        dut.clear.value = 1
        await bench.program_cells(layer)
        blocks = bench.random.randint(1, layer.blocks)
        table = sorted(bench.random.sample(range(layer.blocks), bench.random.randint(1, layer.blocks)))
        windows = (bench.random.randint(1, 4), bench.random.randint(1, 3))
        program = [
            encode(Instruction.of(ControlOp.WEIGHT_LOAD, src=Place.TREE, des=Place.ARITHMETIC)),
            encode(Instruction.of(ControlOp.DISPATCH, src=Place.TREE, des=Place.BUFFER_0)),
            receive(Place.BOTH_BUFFERS),
            read(0, layer, blocks),
            read(1, layer, None),
            encode(Instruction.of(ControlOp.DATA_LOAD, src=Place.TREE, des=Place.BUFFER_0)),
        ]
        await bench.configure(program, windows, layer.split, table)
        receivers = [StreamSink(dut, f"receive__{n}", stall=pace[1], seed=n) for n in range(3)]
        bench.tasks += [cocotb.start_soon(receiver.run()) for receiver in receivers]
        turns = 3 if SMALL else 1
        await bench.run_frames(layer, [(0, list(range(blocks))), (1, table)] * turns, windows, pace)
        # One more, for the frame that does not come.
        for receiver in receivers[:2]:
            assert [word for _, word in receiver.taken] == [program[2] >> 2] * (turns + 1)
        assert not receivers[2].taken
        # A fully connected layer has one window, whatever the configuration says.
        whole = [read(1, layer, None, ReadOp.FULLY_CONNECTED)]
        await bench.configure(whole, (1 << WINDOW_BITS, 1 << WINDOW_BITS), layer.split, table)
        await bench.run_frames(layer, [(1, table)] * 2, (1, 1), pace)


@cocotb.test()
@cocotb.parametrize(pace=PACES[::3])
async def two_layers_by_frames(dut: Any, pace: tuple[float, float]) -> None:
    """Frames of two layers in turn, each with blocks of its own: of two buffers, and of one that holds both."""
    bench = Bench(dut, f"frames {pace}")
    await start(dut)
    for layer in layers(bench.random, 4 if SMALL else 1):
        if layer.blocks < 2:
            continue
        dut.clear.value = 1
        await bench.program_cells(layer)
        blocks = two_sets(bench.random, layer)
        windows = (bench.random.randint(1, 4), bench.random.randint(1, 3))
        program = [read(n, layer, blocks[n][-1] + 1, first=blocks[n][0]) for n in range(2)]
        await bench.configure(program, windows, layer.split, [])
        frames = [(0, blocks[0]), (1, blocks[1])] * 2
        await bench.run_frames(layer, frames, windows, pace)
        await bench.configure(program, windows, layer.split, [], in_place=True)
        shared = [layer.window(bench.numbers) for _ in range(2 * sum(windows))]
        layer_of = [n for n in range(2) for _ in range(windows[n])] * 2
        expected = [
            word
            for window, n in zip(shared, layer_of, strict=True)
            for word in layer.vectors(window, blocks[n])
        ]
        bench.feed({0: [layer.word(window) for window in shared]}, pace)
        sink = StreamSink(dut, "result", stall=pace[1])
        await sink.run(len(expected), cycles=80 * READ_CYCLES * len(expected) + 400)
        assert [word for _, word in sink.taken] == expected
        bench.stop()


@cocotb.test()
@cocotb.parametrize(pace=PACES[::3])
async def two_layers_by_windows(dut: Any, pace: tuple[float, float]) -> None:
    """Windows of both buffers as they come; of buffer 0 no more than its results have places for."""
    bench = Bench(dut, f"windows {pace}")
    await start(dut)
    for layer in layers(bench.random, 4 if SMALL else 1):
        if layer.blocks < 2:
            continue
        dut.clear.value = 1
        await bench.program_cells(layer)
        blocks = two_sets(bench.random, layer)
        windows = (bench.random.randint(4, 6), bench.random.randint(1, 3))
        dut.feeds.value = 1
        both = read(Place.BOTH_BUFFERS, layer, blocks[1][-1] + 1, first=blocks[1][0])
        await bench.configure([both], windows, layer.split, [])
        shown = [[layer.window(bench.numbers) for _ in range(2 * count)] for count in windows]
        expected = [[word for w in shown[n] for word in layer.vectors(w, blocks[n])] for n in range(2)]
        bench.feed({n: [layer.word(window) for window in shown[n]] for n in range(2)}, pace)
        sink = StreamSink(dut, "result", stall=pace[1])
        came: list[int] = []
        tasks = [
            cocotb.start_soon(sink.run(cycles=1 << 30)),
            cocotb.start_soon(result_sources(dut, came)),
        ]
        # Until places are made two windows of buffer 0 are read, or three while there is a spare one; and all of the
        # first frame's windows of buffer 1.
        dut.spare.value = spare = bench.random.getrandbits(1)
        counts = [vector_count(each) for each in blocks]
        quiet = 0
        while quiet < 60 + 40 * READ_CYCLES * layer.slices * layer.planes:
            before = len(came)
            await RisingEdge(dut.clk)
            quiet = quiet + 1 if len(came) == before else 0
        assert [came.count(n) for n in range(2)] == [(2 + spare) * counts[0], windows[1] * counts[1]]
        # Each result that is written makes a place.
        written = 0
        while len(came) < sum(map(len, expected)):
            out = came.count(0) // counts[0] - written
            assert 0 <= out <= 2 + spare
            dut.written.value = now = int(out > 0 and bench.random.random() < 0.1)
            written += now
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        for task in tasks:
            task.cancel()
        words = [word for _, word in sink.taken]
        assert [[w for w, n in zip(words, came, strict=True) if n == src] for src in range(2)] == expected
        bench.stop()
        dut.feeds.value = dut.spare.value = dut.written.value = 0


@cocotb.test()
async def loads_wait_for_results(dut: Any) -> None:
    """DATA_LOAD: reads are over, the vectors taken, and the arithmetic half has done its work on them."""
    bench, layer = await programmed(dut, "load")
    load = encode(Instruction.of(ControlOp.DATA_LOAD, src=Place.TREE, des=Place.BUFFER_0))
    for src in (0, 1):
        program = [read(src, layer, layer.blocks), load, receive(BUFFERS[1 - src])]
        await bench.configure(program, (2, 2), layer.split, [0])
        loads = getattr(dut, f"receive__{1 - src}__valid")
        bench.feed({src: [layer.word(layer.window(bench.numbers)) for _ in range(2)]}, PACES[0])
        vectors = 2 * -(-layer.blocks // PARAMS.vector_blocks)
        sink = StreamSink(dut, "result", stall=0.8)
        taking = cocotb.start_soon(sink.run(vectors))
        begun = False
        while len(sink.taken) < vectors:
            await RisingEdge(dut.clk)
            assert not int(loads.value)
            begun |= bool(int(dut.busy.value))
            if begun:
                assert int(dut.src.value) == src
                dut.working.value = 1
        await taking
        for _ in range(10):
            await RisingEdge(dut.clk)
            assert not int(loads.value)
        dut.working.value = 0
        for _ in range(4):
            await RisingEdge(dut.clk)
        assert int(loads.value)
        bench.stop()


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """No cycle is lost between blocks and windows, nor between frames of arrays of two and more cycles a read."""
    bench = Bench(dut, "rate")
    await start(dut)
    for layer in layers(bench.random, 3 if SMALL else 1):
        dut.clear.value = 1
        await bench.program_cells(layer)
        table = sorted(bench.random.sample(range(layer.blocks), bench.random.randint(1, layer.blocks)))
        for blocks, indices in ((None, table), (layer.blocks, list(range(layer.blocks)))):
            windows, frames = (3, 1), 3
            await bench.configure(
                [receive(Place.BUFFER_0), read(0, layer, blocks)], windows, layer.split, table
            )
            dut.receive__0__ready.value = 1
            sources, sink = await bench.run_frames(layer, [(0, indices)] * frames, windows, PACES[0])
            each = layer.slices * SIGNS * layer.planes
            reads = len(indices) * each
            last = (len(indices) - 1) % PARAMS.vector_blocks + 1
            # A vector every other cycle: the last one of a window may be a single read behind the one before.
            more = max(0, 2 - last * each * READ_CYCLES)
            interval = reads * READ_CYCLES + more
            taken = [cycle for cycle, _ in sources[0].taken]
            gap = max(0, 2 - READ_CYCLES - more)
            # The instruction tables are read, the transfer issued, the frame issued, its first window read.
            first = 4 + (reads - 1) * READ_CYCLES
            assert taken == [first + n * interval + n // windows[0] * gap for n in range(windows[0] * frames)]
            if more:
                continue
            # The last vector of a window comes read_cycles + 2 after the window's last read.
            times = [cycle for cycle, _ in sink.taken]
            count = -(-len(indices) // PARAMS.vector_blocks)
            assert times[count - 1 :: count] == [cycle + READ_CYCLES + 2 for cycle in taken]


@cocotb.test()
async def cleared_in_the_middle(dut: Any) -> None:
    """A pulse of `clear` of one cycle and of several, in any cycle, leaves nothing of the frames before."""
    bench, layer = await programmed(dut, "clear")
    table = sorted(bench.random.sample(range(layer.blocks), bench.random.randint(1, layer.blocks)))
    await bench.configure([read(0, layer, None)], (2, 1), layer.split, table)
    for after in range(1, 25 if SMALL else 4):
        bench.feed({0: [layer.word(layer.window(bench.numbers)) for _ in range(30)]}, PACES[0])
        dut.result__ready.value = after % 2
        for _ in range(after + READ_CYCLES * bench.random.randint(0, 3)):
            await RisingEdge(dut.clk)
        bench.stop()
        dut.clear.value = 1
        for _ in range(1 + after % 3 * 4):
            await RisingEdge(dut.clk)
        dut.clear.value = 0
        await bench.run_frames(layer, [(0, table)], (2, 1), PACES[0])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset forgets the tables, too; the cells stay."""
    bench, layer = await programmed(dut, "reset")
    for after in range(1, 10 if SMALL else 3):
        await bench.configure([read(1, layer, layer.blocks)], (1, 2), layer.split, [0])
        bench.feed({1: [layer.word(layer.window(bench.numbers)) for _ in range(30)]}, PACES[0])
        for _ in range(3 * after):
            await RisingEdge(dut.clk)
        bench.stop()
        await reset(dut, 1)
        await bench.configure([read(1, layer, layer.blocks)], (1, 2), layer.split, [0])
        await bench.run_frames(layer, [(1, list(range(layer.blocks)))], (1, 2), PACES[0])


@cocotb.test()
async def error(dut: Any) -> None:
    """An instruction that cannot be executed shows, and frames before it are read to their end."""
    bench, layer = await programmed(dut, "error")
    illegal = encode(Instruction.of(ControlOp.DMA, src=Place.TREE, des=Place.BUFFER_0))
    await bench.configure([read(0, layer, 1), illegal], (2, 1), layer.split, [0])
    await bench.run_frames(layer, [(0, [0])], (2, 1), PACES[0])
    await ReadOnly()
    assert int(dut.error.value) == 1 | 1 << 1
    await RisingEdge(dut.clk)
    dut.clear.value = 1
    await RisingEdge(dut.clk)
    dut.clear.value = 0
    await ReadOnly()
    assert not int(dut.error.value) & 1
    await RisingEdge(dut.clk)
