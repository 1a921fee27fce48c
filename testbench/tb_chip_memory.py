"""A chip with memory: programmed from it, fed from it into all entries at once, with results that go back into it."""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiResp

from ohmweave.rtl.host.register_map import fields
from ohmweave.rtl.memory.axi_master import MemoryFault
from ohmweave.rtl.memory.descriptors import Copy, DMAFault
from ohmweave.testbench.axi_host import Host
from ohmweave.testbench.axi_memory import AXIMemory
from ohmweave.testbench.stream import PACES, parameters, reset, start

PARAMS = parameters()
#: Name of a network → what it needs; `frames`: of each, the flits for each point where data enter.
CASES: dict[str, dict[str, Any]] = json.loads(Path(PARAMS["cases"]).read_text())
FLIT = PARAMS["link_bits"] // 8
POINTS = PARAMS["points"]
LINE, WORD = PARAMS["line_bytes"], PARAMS["word_bytes"]
MEMORY = 1 << 20
ARRAYS, CONFIG, IMAGES, OUT = 0x0, 0x40000, 0x80000, 0xC0000
# Cells keep their levels through a reset, so only the first test of a network programs them.
programmed = ""


def to_bytes(flits: list[int], size: int) -> bytes:
    return b"".join(flit.to_bytes(size, "little") for flit in flits)


def aligned(address: int) -> int:
    return -(-address // WORD) * WORD


class Bench(Host):
    """A host, and a memory with all that the chip needs."""

    def __init__(self, dut: Any, network: str):
        super().__init__(dut, separator="_", link_bits=PARAMS["link_bits"])
        self.dut = dut
        self.network = network
        self.case = CASES[network]
        self.frames_in: list[list[list[int]]] = self.case["frames"]
        self.expected: list[list[int]] = self.case["results"]
        self.memory = AXIMemory(dut, size=MEMORY, line=LINE, port="memory", separator="_")
        ram = self.memory.ram
        ram.write(ARRAYS, to_bytes(self.case["arrays"], 2))
        ram.write(CONFIG, to_bytes(self.case["config"], 2))
        ram.write(OUT, bytes(MEMORY - OUT))
        #: Frame → (point, address, flits) of what is loaded for it.
        self.places: list[list[tuple[int, int, int]]] = []
        place = IMAGES
        for frame in self.frames_in:
            self.places.append([])
            for point, flits in enumerate(frame):
                if flits:
                    ram.write(place, to_bytes(flits, FLIT))
                    self.places[-1].append((point, place, len(flits)))
                    place = aligned(place + len(flits) * FLIT)

    async def program(self) -> None:
        """From memory: cells, where they were not yet, and the configuration."""
        global programmed
        if programmed != self.network:
            await self.copy(Copy.CONFIGURE, ARRAYS, len(self.case["arrays"]))
            programmed = self.network
        await self.copy(Copy.CONFIGURE, CONFIG, len(self.case["config"]))
        await self.until_copied()

    async def begin(self) -> None:
        """Images from memory, results into it."""
        await self.write("ROUTE", 3)
        await self.start(1, len(self.expected[0]))
        if self.places[0][0][0] == 0:
            await self.command("stop")
            await self.start(self.places[0][0][2], len(self.expected[0]))

    async def load(self, frame: int) -> None:
        for n, (point, place, length) in enumerate(self.places[frame]):
            ends = n == len(self.places[frame]) - 1
            await self.copy(Copy.LOAD, place, length, to=point, ends=ends)

    async def whole_run(self) -> None:
        """All frames; results are in memory and equal to what they must be."""
        await self.begin()
        count = len(self.expected) * len(self.expected[0])
        await self.copy(Copy.STORE, OUT, count)
        await self.copy(Copy.FLUSH, 0, 0)
        for frame in range(len(self.frames_in)):
            await self.load(frame)
        await self.until_copied()
        await self.command("stop")
        await self.until_idle()
        assert self.results_in_memory() == [flit for result in self.expected for flit in result]

    def results_in_memory(self) -> list[int]:
        data = bytes(self.memory.ram.read(OUT, len(self.expected) * len(self.expected[0]) * FLIT))
        return [int.from_bytes(data[at : at + FLIT], "little") for at in range(0, len(data), FLIT)]

    async def copy_errors(self) -> set[str]:
        return {name for name, value in fields("COPY_ERROR", await self.read("COPY_ERROR")).items() if value}


async def begin(dut: Any, network: str) -> Bench:
    bench = Bench(dut, network)
    await start(dut)
    await RisingEdge(dut.clk)
    cocotb.start_soon(bench.check_stability())
    cocotb.start_soon(bench.memory.check_rules())
    return bench


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(network=sorted(CASES), pace=[PACES[0], PACES[3]])
async def from_memory_and_back(dut: Any, network: str, pace: tuple[float, float]) -> None:
    """Every result is the golden model's; identity, counts and counters are right."""
    bench = await begin(dut, network)
    assert fields("CACHE", await bench.read("CACHE")) == {"line_bytes": LINE, "ways": PARAMS["ways"]}
    assert fields("POINTS", await bench.read("POINTS")) == {"points": POINTS, "word_bytes": WORD}
    bench.pause(*pace)
    bench.memory.pause(pace[1])
    await bench.program()
    configured = await bench.read("LOADS_DONE")
    bench.memory.bursts.clear()
    await bench.whole_run()
    assert await bench.errors() == set()
    assert await bench.copy_errors() == set()
    assert await bench.read("LOADS_DONE") - configured == sum(map(len, bench.places))
    assert await bench.read("STORES_DONE") == 2
    assert await bench.long("FRAMES_OUT") == len(bench.expected)
    reads = [address for kind, address, _ in bench.memory.bursts if kind == "r"]
    # Words of the frames, of which each misses its line once at most.
    assert await bench.long("CACHE_MISSES") == len(reads)
    assert await bench.long("CACHE_HITS") > len(reads)
    assert await bench.long("CACHE_WRITE_BACKS") == sum(kind == "w" for kind, _, _ in bench.memory.bursts)
    assert await bench.long("CACHE_FAILURES") == 0


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(network=sorted(CASES))
async def results_to_the_stream(dut: Any, network: str) -> None:
    """Images of memory, results by the stream; and the other way round."""
    bench = await begin(dut, network)
    await bench.program()
    await bench.write("ROUTE", 1)
    await bench.start(max(len(flits) for flits in bench.frames_in[0]), len(bench.expected[0]))
    for frame in range(len(bench.frames_in)):
        await bench.load(frame)
    for result in bench.expected:
        assert await bench.frame() == result
    await bench.command("stop")
    await bench.until_idle()
    await bench.write("ROUTE", 2)
    await bench.copy(Copy.STORE, OUT, len(bench.expected) * len(bench.expected[0]))
    await bench.copy(Copy.FLUSH, 0, 0)
    # A frame of the stream is what enters at one point; of several, the last one's are those that are counted.
    await bench.start(
        max(len(flits) for flits in bench.frames_in[0]), len(bench.expected[0]) // len(bench.places[0])
    )
    for flits_of_points in bench.frames_in:
        for point, flits in enumerate(flits_of_points):
            if flits:
                await bench.send(flits, to=point)
    await bench.until_copied()
    assert bench.results_in_memory() == [flit for result in bench.expected for flit in result]


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(
    (("network", "code"), tuple(zip(sorted(CASES), (AxiResp.SLVERR, AxiResp.DECERR), strict=True)))
)
async def errors_of_memory(dut: Any, network: str, code: AxiResp) -> None:
    """An image that cannot be read, and results that cannot be written, are named; nothing that came before is lost,
    and after a reset all is well."""
    bench = await begin(dut, network)
    await bench.program()
    place = bench.places[-1][-1][1]
    bench.memory.bad_reads[place // LINE] = code
    await bench.begin()
    await bench.copy(Copy.STORE, OUT, len(bench.expected) * len(bench.expected[0]))
    for frame in range(len(bench.frames_in)):
        await bench.load(frame)
    while not await bench.copy_errors():
        pass
    assert await bench.copy_errors() == {"load"}
    read, write = (
        (MemoryFault.READ_SLVERR, MemoryFault.WRITE_SLVERR)
        if code == AxiResp.SLVERR
        else (MemoryFault.READ_DECERR, MemoryFault.WRITE_DECERR)
    )
    assert fields("LOAD_FAULT", await bench.read("LOAD_FAULT")) == {
        "fault": DMAFault.MEMORY,
        "response": read,
    }
    assert await bench.read("FAULT_ADDRESS") == place // LINE * LINE
    status = fields("COPY_STATUS", await bench.read("COPY_STATUS"))
    assert status["load_halted"]
    assert not status["store_halted"]
    # Those in front of it have come out, or will.
    while (await bench.status())["pending"] > 1:
        pass
    bench.memory.bad_reads.clear()
    await bench.command("reset")
    await bench.until_copied()
    await bench.write("COPY_ERROR", 3)
    assert await bench.copy_errors() == set()
    await bench.command("stop")
    await bench.write("ROUTE", 0)
    await bench.program()
    await bench.whole_run()

    bench.memory.bad_writes[OUT // LINE] = code
    await bench.begin()
    await bench.copy(Copy.STORE, OUT, len(bench.expected) * len(bench.expected[0]))
    for frame in range(len(bench.frames_in)):
        await bench.load(frame)
    await bench.until_copied()
    await bench.copy(Copy.FLUSH, 0, 0)
    while not await bench.copy_errors():
        pass
    assert await bench.copy_errors() == {"store"}
    found = fields("STORE_FAULT", await bench.read("STORE_FAULT"))
    assert found == {"fault": DMAFault.MEMORY, "response": write}
    assert await bench.read("FAULT_ADDRESS") == OUT // LINE * LINE
    bench.memory.bad_writes.clear()
    await bench.write("COPY_ERROR", 2)
    await bench.copy(Copy.FLUSH, 0, 0)
    await bench.until_copied()
    assert bench.results_in_memory() == [flit for result in bench.expected for flit in result]


@cocotb.test(timeout_time=100, timeout_unit="ms")
@cocotb.parametrize(network=sorted(CASES), to_memory=[True, False])
async def nobody_takes_results(dut: Any, network: str, to_memory: bool) -> None:
    """A memory that takes nothing, or a stream that nobody reads, for long: then every result is there."""
    bench = await begin(dut, network)
    await bench.program()
    await bench.write("ROUTE", 3 if to_memory else 1)
    await bench.start(max(len(flits) for flits in bench.frames_in[0]), len(bench.expected[0]))
    bench.results.pause = True
    if to_memory:
        await bench.copy(Copy.STORE, OUT, len(bench.expected) * len(bench.expected[0]))
        await bench.copy(Copy.FLUSH, 0, 0)
        bench.memory.channel("aw").pause = True
        bench.memory.channel("w").pause = True
    for frame in range(len(bench.frames_in)):
        await bench.load(frame)
    await ClockCycles(dut.clk, PARAMS["stall"])
    assert not fields("COPY_STATUS", await bench.read("COPY_STATUS"))["idle"] or not to_memory
    assert (await bench.status())["pending"] or to_memory
    bench.results.pause = False
    bench.memory.channel("aw").pause = False
    bench.memory.channel("w").pause = False
    if to_memory:
        await bench.until_copied()
        assert bench.results_in_memory() == [flit for result in bench.expected for flit in result]
    else:
        for result in bench.expected:
            assert await bench.frame() == result
    assert await bench.errors() == set()


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize((("network", "soft"), tuple(zip(sorted(CASES), (True, False), strict=True))))
async def reset_in_the_middle(dut: Any, network: str, soft: bool) -> None:
    """Copies that are under way are broken off, and none of them is left; then everything as from the start."""
    bench = await begin(dut, network)
    # Without a store nobody takes results, and the queues fill up.
    for cycles, frames, stored in ((30, 2, True), (300, 2, True), (900, 2, True), (500, 5, False)):
        await bench.program()
        await bench.begin()
        if stored:
            await bench.copy(Copy.STORE, OUT, 2 * len(bench.expected) * len(bench.expected[0]))
        for frame in range(min(frames, len(bench.places))):
            await bench.load(frame)
        await ClockCycles(dut.clk, cycles)
        if soft:
            await bench.command("reset")
            await bench.until_copied()
            status = fields("COPY_STATUS", await bench.read("COPY_STATUS"))
            assert not status["load_busy"]
            assert not status["store_busy"]
            await bench.write("ROUTE", 0)
        else:
            await reset(dut)
        assert await bench.copy_errors() == set()
        assert (await bench.status())["idle"]
    await bench.program()
    await bench.whole_run()


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(network=sorted(CASES)[1:])
async def packets_stay_whole(dut: Any, network: str) -> None:
    """A packet that the host has begun by registers is not mixed with those of a load, which waits for its end; one
    that it begins meanwhile waits for the end of the load."""
    bench = await begin(dut, network)
    await bench.program()
    config = bench.case["config"]
    packet = config[: 3 + config[2]]
    await bench.configure(packet[:-1])
    await bench.copy(Copy.CONFIGURE, CONFIG, len(config))
    await ClockCycles(dut.clk, 300)
    assert fields("COPY_STATUS", await bench.read("COPY_STATUS"))["load_busy"]
    await bench.configure([packet[-1], *packet, *packet])
    await bench.until_copied()
    await bench.whole_run()


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(network=sorted(CASES)[:1])
async def refused(dut: Any, network: str) -> None:
    """What is no copy, and ways that change while there is work; nothing happens."""
    bench = await begin(dut, network)
    await bench.write("COPY_LENGTH", 4)
    for word in (*(kind for kind in range(len(Copy), 8)), POINTS << 8, 0xFF << 8 | Copy.CONFIGURE):
        await bench.refused("COPY", word)
    await bench.write("COPY_ADDRESS_HIGH", 1)
    await bench.refused("COPY", Copy.LOAD)
    await bench.write("COPY_ADDRESS_HIGH", 0)
    await bench.refused("CACHE", 0)
    _, accepted = await bench.read_at(0x2FC)
    assert not accepted
    # Copies that the engines refuse.
    for name, kind in (("load", Copy.LOAD), ("store", Copy.STORE)):
        for length, address, fault in (
            (0, 0, DMAFault.EMPTY),
            (4, 1, DMAFault.ALIGNMENT),
            (1 << 30, 0, DMAFault.RANGE),
        ):
            await bench.copy(kind, address, length)
            while not await bench.copy_errors():
                pass
            assert await bench.copy_errors() == {name}
            found = fields(f"{name.upper()}_FAULT", await bench.read(f"{name.upper()}_FAULT"))
            assert found == {"fault": fault, "response": 0}
            await bench.write("COPY_ERROR", 3)
            await bench.until_copied()
    # Loads wait for the start, in the queue and behind it, until there is no room.
    queued = 0
    await bench.write("COPY_ADDRESS", IMAGES)
    while fields("COPY_STATUS", await bench.read("COPY_STATUS"))["load_room"]:
        await bench.write("COPY", Copy.LOAD)
        await ClockCycles(dut.clk, 50)
        queued += 1
        assert queued <= 2 * PARAMS["descriptors"]
    await bench.refused("COPY", Copy.LOAD)
    await bench.command("reset")
    await bench.until_copied()
    await bench.start(4, 4)
    await bench.refused("ROUTE", 1)
    assert fields("ROUTE", await bench.read("ROUTE")) == {"images": 0, "results": 0}
