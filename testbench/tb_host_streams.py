"""Images, results, faults and resets at the host port, between cocotbext-axi and the streams of a chip."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from ohmweave.rtl.host.register_map import register
from ohmweave.testbench.host_bench import CONFIG_BIT, PES, Account, Bench, flits
from ohmweave.testbench.stream import PACES


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def frames(dut: Any, pace: tuple[float, float]) -> None:
    """Images come in and results go out whole; every counter equals what was seen at the ports."""
    bench = await Bench.begin(dut)
    host = bench.host
    chance = random.Random(9)
    image_flits, result_flits, count = 7, 3, 12
    await host.write("IMAGE_FLITS", image_flits)
    await host.write("RESULT_FLITS", result_flits)
    await ClockCycles(dut.clk, 4)
    account = Account(bench)
    cocotb.start_soon(account.run())
    host.pause(*pace)
    sink = bench.consume(pace[1])
    images = [flits(chance, image_flits) for _ in range(count)]
    results = [flits(chance, result_flits) for _ in range(count)]
    for image in images:
        await host.send(image)
    await host.command("start")

    async def compute() -> None:
        """Each frame of results when its image is in."""
        for n, frame in enumerate(results):
            while len(sink.taken) < image_flits * (n + 1):
                await RisingEdge(dut.clk)
            await bench.produce(frame, idle=pace[0], seed=n)

    producer = cocotb.start_soon(compute())
    while len(sink.taken) < image_flits * (count - 1) + 2:
        await RisingEdge(dut.clk)
    await host.command("stop")
    got = [await host.frame() for _ in range(count)]
    await producer
    await host.until_idle()
    assert [word for _, word in sink.taken] == [word for image in images for word in image]
    assert got == results
    found = {name: await host.long(name) for name in account.counts()}
    assert found == account.counts()
    assert found["FLITS_IN"] == image_flits * count
    assert found["FRAMES_OUT"] == count
    assert await host.errors() == set()
    # And they stay.
    assert found == {name: await host.long(name) for name in account.counts()}
    # The next start sets them to 0.
    await host.command("start")
    assert await host.long("FLITS_IN") == 0
    assert 0 < await host.long("CYCLES") < 600


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def result_without_an_image(dut: Any) -> None:
    """It is offered and counted when it leaves; that it waits is nobody's loss, and frames under way stay at none."""
    bench = await Bench.begin(dut)
    host = bench.host
    host.pause(0.0, 1.0)
    host.lite.write_if.b_channel.clear_pause_generator()
    host.lite.read_if.r_channel.clear_pause_generator()
    host.lite.write_if.b_channel.pause = host.lite.read_if.r_channel.pause = False
    await host.start(1, 1)
    await host.command("stop")
    await bench.produce([7])
    await ClockCycles(dut.clk, 20)
    status = await host.status()
    assert status["result_waits"]
    assert not status["idle"]
    assert await host.long("RESULTS_WAITED") == 0
    host.pause(0.0, 0.0)
    assert await host.frame() == [7]
    assert await host.long("FRAMES_OUT") == 1
    status = await host.status()
    assert status["idle"]
    assert status["pending"] == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def pace_of_streams(dut: Any) -> None:
    """1 cycle through the host port each way, 1 flit a cycle."""
    bench = await Bench.begin(dut)
    host = bench.host
    await host.start(50, 50)
    sink = bench.consume()
    await host.send(range(50))
    await ClockCycles(dut.clk, 60)
    cycles = [cycle for cycle, _ in sink.taken]
    assert cycles == list(range(cycles[0], cycles[0] + 50))
    words = list(range(100, 150))
    producer = bench.produce(words)
    assert await host.frame() == words
    await producer
    await host.send(range(50))
    while not int(dut.images__tvalid.value):
        await RisingEdge(dut.clk)
    assert int(dut.images__tready.value)
    assert not int(dut.host_in__valid.value)
    await RisingEdge(dut.clk)
    assert int(dut.host_in__valid.value)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def configuration_between_images(dut: Any, pace: tuple[float, float]) -> None:
    """Packets that the host writes while images stream in are whole at the chip, and so are the images."""
    bench = await Bench.begin(dut)
    host = bench.host
    host.pause(pace[0], pace[1])
    sink = bench.consume(pace[1])
    chance = random.Random(13)
    image = flits(chance, 40)
    await host.start(40, 1)
    for _ in range(10):
        await host.send(image)
    packets = []
    for size in (3, 0, 1, 6, 2):
        packet = [
            chance.getrandbits(16),
            chance.getrandbits(16),
            size,
            *(chance.getrandbits(16) for _ in range(size)),
        ]
        packets.append(packet)
        await host.configure(packet)
        assert not (await host.status())["packet_open"]
    await host.configure(packets[0][:4])
    status = await host.status()
    assert status["packet_open"]
    await ClockCycles(dut.clk, 40)
    taken = len(sink.taken)
    await ClockCycles(dut.clk, 40)
    assert len(sink.taken) == taken, "images went on inside a packet"
    await host.configure(packets[0][4:])
    while len(sink.taken) < 400 + sum(map(len, packets)) + len(packets[0]):
        await RisingEdge(dut.clk)
    words = [word for _, word in sink.taken]
    assert [word for word in words if not word & CONFIG_BIT] == image * 10
    configured = [word & 0xFFFF for word in words if word & CONFIG_BIT]
    assert configured == [word for packet in (*packets, packets[0]) for word in packet]
    runs = "".join("c" if word & CONFIG_BIT else "d" for word in words).replace("d", " ").split()
    # Each run is of whole packets.
    sizes = [len(packet) for packet in (*packets, packets[0])]
    for run in runs:
        length = len(run)
        while length > 0:
            length -= sizes.pop(0)
        assert length == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stop_in_a_frame(dut: Any) -> None:
    """The frame that has begun is taken to its end, the next one waits for the next start."""
    bench = await Bench.begin(dut)
    host = bench.host
    sink = bench.consume(0.8)
    await host.refused("CONTROL", 1)  # no lengths
    await host.start(30, 2)
    await host.refused("CONTROL", 1)  # running already
    await host.refused("IMAGE_FLITS", 5)
    await host.refused("RESULT_FLITS", 5)
    for n in range(3):
        await host.send([n] * 30)
    while len(sink.taken) < 35:
        await RisingEdge(dut.clk)
    await host.command("stop")
    status = await host.status()
    assert status["running"]
    assert status["pending"] == 2
    while len(sink.taken) < 60:
        await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, 50)
    assert len(sink.taken) == 60
    status = await host.status()
    assert not status["running"]
    assert not status["idle"]
    await host.refused("IMAGE_FLITS", 5)
    producer = bench.produce([1, 2, 3, 4])
    assert [await host.frame(), await host.frame()] == [[1, 2], [3, 4]]
    await producer
    assert await host.status() == dict.fromkeys(await host.status(), 0) | {"idle": 1}
    assert await host.long("FRAMES_IN") == 2
    # A frame waits at `images`, which is nothing that the chip could be blamed for.
    assert int(dut.images__tvalid.value)
    waited = await host.long("IMAGES_WAITED")
    assert await host.long("IMAGES_WAITED") == waited
    # Started anew it goes on for as many frames as come; stopped while none is under way, it stops at once.
    await host.command("start")
    await host.send([3] * 30)
    while len(sink.taken) < 120:
        await RisingEdge(dut.clk)
    await host.command("stop")
    assert not (await host.status())["running"]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(length=[1, 4, 6, 9], before=[0, 2])
async def frame_of_the_wrong_length(dut: Any, length: int, before: int) -> None:
    """It is named, nothing is let in behind the flit that showed it, and the chip starts over after a reset."""
    bench = await Bench.begin(dut)
    host = bench.host
    sink = bench.consume()
    await host.start(5, 1)
    for _ in range(before):
        await host.send([3] * 5)
    await host.send([4] * length)
    await host.send([6] * 5)
    await ClockCycles(dut.clk, 60)
    name = "tlast_early" if length < 5 else "tlast_late"
    assert await host.errors() == {name}
    assert [word for _, word in sink.taken] == [3] * 5 * before + [4] * min(length, 5)
    status = await host.status()
    assert status["stream_error"]
    assert not status["running"]
    await host.refused("CONTROL", 1)
    await host.write("ERROR", register("ERROR").field(name).mask)
    assert await host.errors() == set()
    await host.refused("CONTROL", 1)  # the chip still has a frame that is none
    await host.command("reset")
    assert (await host.status())["idle"]
    # A flit that waits at the port would be the first of the next frame: the host clears its side, too.
    host.images.clear()
    host.images.assert_reset()
    sink.taken.clear()
    await host.start(5, 1)
    await host.send([7] * 5)
    await ClockCycles(dut.clk, 20)
    assert [word for _, word in sink.taken] == [7] * 5
    assert await host.errors() == set()


def fault(unit: int, index: int, half: int) -> int:
    return 1 | half << 1 | index << 2 | unit << 16


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def faults(dut: Any) -> None:
    """Each is shown until it is cleared, the first of several first, once; images wait meanwhile."""
    bench = await Bench.begin(dut)
    host = bench.host
    sink = bench.consume()
    await host.start(6, 1)
    await host.send([1] * 3 + [2] * 3)
    await ClockCycles(dut.clk, 20)
    dut.fault.value = fault(3, 0x2345, 1)
    await ClockCycles(dut.clk, 4)
    await host.send([5] * 6)
    await ClockCycles(dut.clk, 20)
    assert len(sink.taken) == 6
    status = await host.status()
    assert status["fault"]
    assert not status["running"]
    assert await host.errors() == {"fault"}
    assert await host.read("FAULT") == 1 << 31 | 1 << 30 | 0x2345 << 16 | 3
    dut.fault.value = fault(1, 7, 0)  # of another PE: it waits until the first was seen to
    await ClockCycles(dut.clk, 4)
    assert await host.read("FAULT") == 1 << 31 | 1 << 30 | 0x2345 << 16 | 3
    await host.refused("CONTROL", 1)
    await host.write("ERROR", 0xE)
    assert await host.errors() == {"fault"}
    assert (await host.status())["pending"]
    cycles = await host.long("CYCLES")
    assert 0 < await host.long("CYCLES") == cycles  # they stand still since the fault
    await host.write("ERROR", 1)
    await ClockCycles(dut.clk, 2)
    assert await host.errors() == {"fault"}
    assert await host.read("FAULT") == 1 << 31 | 7 << 16 | 1
    await host.write("ERROR", 1)
    await ClockCycles(dut.clk, 2)
    assert await host.errors() == set()  # though the chip shows it still
    await host.command("reset")
    dut.fault.value = 0
    await ClockCycles(dut.clk, 2)
    dut.fault.value = fault(1, 7, 0)  # the same once more
    await ClockCycles(dut.clk, 2)
    assert await host.errors() == {"fault"}
    await host.command("reset")
    dut.fault.value = 0
    assert await host.errors() == {"fault"}  # a reset does not hide what happened


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_fault_while_the_last_is_cleared(dut: Any) -> None:
    """In whatever cycle another one comes, it is not lost."""
    bench = await Bench.begin(dut)
    host = bench.host
    for delay in range(8):
        dut.fault.value = fault(1, delay, 0)
        await ClockCycles(dut.clk, 3)
        clearing = cocotb.start_soon(host.write("ERROR", 1))
        await ClockCycles(dut.clk, delay + 1)
        dut.fault.value = fault(2, delay, 1)
        await clearing
        await ClockCycles(dut.clk, 3)
        assert await host.errors() == {"fault"}
        assert (await host.read("FAULT")) & 0xFFFF == 2
        dut.fault.value = 0
        await host.write("ERROR", 1)
        assert await host.errors() == set()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(soft=[False, True])
async def reset_in_the_middle(dut: Any, soft: bool) -> None:
    """At any time: nothing but an offered result is left of what was under way, and the next frames come whole."""
    bench = await Bench.begin(dut)
    host = bench.host
    chance = random.Random(21)
    for round_ in range(12):
        sink = bench.consume(0.5, seed=round_)
        await host.start(6, 4)
        host.pause(0.3, 0.3, seed=round_ + 1)
        await host.configure([1, 2, chance.randrange(3)])
        for _ in range(4):
            await host.send([0xBAD] * 6)
        producer = bench.produce([0xBAD] * 30, idle=0.5, seed=round_)
        await ClockCycles(dut.clk, chance.randrange(60))
        if soft:
            commanding = cocotb.start_soon(host.command("reset"))
            while not int(dut.reset.value):
                await RisingEdge(dut.clk)
        else:
            dut.rst.value = 1
            await RisingEdge(dut.clk)
        # The chip is reset as its host port is.
        producer.cancel()
        dut.host_out__valid.value = 0
        bench.stop_consuming()
        host.images.clear()
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        assert not int(dut.reset.value)
        host.pause(0, 0)
        if soft:
            # What the host's side of the stream still holds is not let in; then that starts over, too.
            await commanding
            assert not (await host.status())["running"]
            assert (await host.status())["pending"] == 0
            host.images.assert_reset()
            await ClockCycles(dut.clk, 10)
        await ClockCycles(dut.clk, 6)
        status = await host.status()
        assert not status["packet_open"]
        assert not status["result_waits"]
        assert status["idle"], status
        assert not int(dut.host_in__valid.value)
        host.results.clear()
        assert await host.read("IMAGE_FLITS") == (6 if soft else 0)
        sink = bench.consume()
        await host.start(2, 3)
        await host.send([round_, 8])
        producer = bench.produce([5, 6, 7])
        frame = await host.frame()
        assert frame[-3:] == [5, 6, 7]
        assert len(frame) <= 6  # up to what had left before the reset stands before
        assert [word for _, word in sink.taken] == [round_, 8]
        await host.command("stop")
        await host.until_idle()
        bench.stop_consuming()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def states_and_links(dut: Any) -> None:
    """Each bit of `activity` exactly while there is work; while there is none a PE that waits does not count."""
    bench = await Bench.begin(dut)
    host = bench.host
    chance = random.Random(32)
    width = len(dut.activity)
    counts = [0] * width
    rates = [chance.choice((0.0, 0.1, 0.9, 1.0)) for _ in range(width)]

    async def drive(cycles: int) -> list[int]:
        driven = [0] * width
        for _ in range(cycles):
            word = [chance.random() < rate for rate in rates]
            dut.activity.value = sum(bit << n for n, bit in enumerate(word))
            driven = [n + bit for n, bit in zip(driven, word, strict=True)]
            await RisingEdge(dut.clk)
        dut.activity.value = 0
        return driven

    await drive(20)
    await host.start(1, 1)
    for _ in range(2):
        for n, count in enumerate(await drive(300)):
            counts[n] += count
        await ClockCycles(dut.clk, 3)
    await host.command("stop")
    await ClockCycles(dut.clk, 3)
    assert not (await host.status())["running"]
    # PEs that wait go on waiting, and nobody counts it.
    waits = [n for n in range(11 * PES) if n % 11 in (2, 3, 4)]
    dut.activity.value = sum(1 << n for n in waits)
    await ClockCycles(dut.clk, 50)
    dut.activity.value = 0
    names = ("PE_COMPUTE", "PE_WAIT_OUTPUT", "PE_WAIT_NEIGHBOUR", "PE_WAIT_INPUT")
    for pe in range(PES):
        await host.write("PE_SELECT", pe)
        assert [await host.long(name) for name in names] == counts[11 * pe + 1 : 11 * pe + 5], pe
    links = [11 * pe + 5 + n for pe in range(PES) for n in range(6)] + list(range(11 * PES, width))
    for number, bit in enumerate(links):
        await host.write("LINK_SELECT", number)
        assert await host.long("LINK_FLITS") == counts[bit], number
    await host.refused("LINK_SELECT", len(links))
    assert await host.read("LINK_SELECT") == len(links) - 1
    assert sum(counts) > 1000


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def busy_cycles(dut: Any) -> None:
    """Of every PE, exactly; what is read while they count lies between what was and what is."""
    bench = await Bench.begin(dut)
    host = bench.host
    chance = random.Random(31)
    counts = [0] * PES
    rates = [0.0, 1.0, *(chance.random() for _ in range(PES))][:PES] if PES > 1 else [0.7]
    quiet = [False]

    async def drive() -> None:
        while not quiet[0]:
            word = [chance.random() < rate for rate in rates]
            dut.busy.value = sum(bit << n for n, bit in enumerate(word))
            await RisingEdge(dut.clk)
            for n, bit in enumerate(word):
                counts[n] += bit
        dut.busy.value = 0

    await host.start(1, 1)
    driving = cocotb.start_soon(drive())
    for _ in range(40):
        pe = chance.randrange(PES)
        await host.write("PE_SELECT", pe)
        before = counts[pe]
        found = await host.long("PE_READ")
        assert before <= found <= counts[pe], pe
        if PES > 4 and chance.random() < 0.2:
            await ClockCycles(dut.clk, chance.randrange(100))
    quiet[0] = True
    await driving
    await host.write("PE_SELECT", PES - 1)
    await host.refused("PE_SELECT", PES)
    assert await host.read("PE_SELECT") == PES - 1
    await ClockCycles(dut.clk, 3)
    for pe in range(PES):
        await host.write("PE_SELECT", pe)
        assert await host.long("PE_READ") == counts[pe]
    assert sum(counts) > 100
    await host.command("stop")
    await host.command("start")
    for pe in (0, PES - 1):
        await host.write("PE_SELECT", pe)
        assert await host.long("PE_READ") == 0
