"""The chip from its host, played by cocotbext-axi: programmed through AXI4-Lite, cells included, and run by streams."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.rtl.host.register_map import fields
from ohmweave.testbench.axi_host import Host
from ohmweave.testbench.stream import PACES, parameters, reset, start

CASE: dict[str, Any] = json.loads(Path(parameters()["case"]).read_text())
FRAMES: list[list[int]] = CASE["frames"]
RESULTS: list[list[int]] = CASE["results"]
WORKS = 1 << 20
# Of a PE: that it reads, computes, waits for its output, a neighbour, pixels; and its links.
STATES, LINKS = 5, 6
PE_BITS = STATES + LINKS
# Cells keep their levels through a reset, so only the first test programs them.
programmed = False


async def begin(dut: Any) -> Host:
    """A host, and a chip with its cells programmed."""
    global programmed
    host = Host(dut, separator="_", link_bits=CASE["link_bits"])
    await start(dut)
    await RisingEdge(dut.clk)
    cocotb.start_soon(host.check_stability())
    if not programmed:
        await host.configure(CASE["arrays"])
        programmed = True
    return host


async def run(host: Host) -> None:
    """Start the chip, send all frames and compare all results."""
    await host.start(len(FRAMES[0]), len(RESULTS[0]))
    for frame in FRAMES:
        await host.send(frame)
    for result in RESULTS:
        assert await host.frame() == result


PE_COUNTERS = ("PE_READ", "PE_COMPUTE", "PE_WAIT_OUTPUT", "PE_WAIT_NEIGHBOUR", "PE_WAIT_INPUT")


async def _count(dut: Any, counts: Counter[int]) -> None:
    """Cycles since `start` in which each bit of `activity` is 1; with WORKS, those in which CYCLES counts, too."""
    registers = dut.host.registers
    while True:
        await RisingEdge(dut.clk)
        await ReadOnly()
        if int(registers.start.value):
            counts.clear()
            continue
        word = int(dut.group__activity.value)
        works = int(registers.counting.value)
        while word:
            bit = word.bit_length() - 1
            word ^= 1 << bit
            counts[bit] += 1
            counts[WORKS + bit] += works


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def whole_network(dut: Any, pace: tuple[float, float]) -> None:
    """Every result is the golden model's; status and counters agree with what was sent and came, and with the PEs."""
    host = await begin(dut)
    assert fields("CHIP", await host.read("CHIP")) == CASE["chip"]
    host.pause(*pace)
    await host.configure(CASE["config"])
    assert (await host.status())["idle"]
    pes = CASE["chip"]["pes"]
    counts: Counter[int] = Counter()
    counting = cocotb.start_soon(_count(dut, counts))
    await run(host)
    await host.command("stop")
    await host.until_idle()
    counting.cancel()
    assert await host.errors() == set()
    counters = {
        "FRAMES_IN": len(FRAMES),
        "FRAMES_OUT": len(FRAMES),
        "FLITS_IN": len(FRAMES) * len(FRAMES[0]),
        "FLITS_OUT": len(FRAMES) * len(RESULTS[0]),
    }
    assert {name: await host.long(name) for name in counters} == counters
    cycles = await host.long("CYCLES")
    for pe in range(pes):
        await host.write("PE_SELECT", pe)
        found = [await host.long(name) for name in PE_COUNTERS]
        first = PE_BITS * pe
        seen = [counts[first + n] for n in range(2)] + [counts[WORKS + first + n] for n in range(2, STATES)]
        assert found == seen, pe
        assert bool(found[0]) == CASE["used"][pe]
        # A PE that has a layer does one of these things in each cycle, and the others none.
        assert sum(found) == (cycles if CASE["used"][pe] else 0), pe
    bits = [PE_BITS * pe + STATES + n for pe in range(pes) for n in range(LINKS)]
    bits += range(PE_BITS * pes, len(dut.group__activity))
    for number, bit in enumerate(bits):
        await host.write("LINK_SELECT", number)
        assert await host.long("LINK_FLITS") == counts[bit], number
    # What the root takes from the host, and gives to it.
    assert counts[bits[-2]] == counters["FLITS_IN"]
    assert counts[bits[-1]] == counters["FLITS_OUT"]
    if pace == PACES[0]:
        # Images wait for the arrays, and the host waits for results, not they for it.
        assert 0 < await host.long("IMAGES_WAITED") < cycles
        assert await host.long("RESULTS_WAITED") < cycles // 10


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(soft=[True, False])
async def reset_in_the_middle(dut: Any, soft: bool) -> None:
    """Nothing is left of the frames that were cut off, and the chip works once it is configured again."""
    host = await begin(dut)
    for cycles in (50, 700):
        await host.configure(CASE["config"])
        await host.start(len(FRAMES[0]), len(RESULTS[0]))
        for frame in FRAMES:
            await host.send(frame)
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        assert (await host.status())["pending"]
        if soft:
            await host.command("reset")
        else:
            await reset(dut)
        host.images.clear()
        host.images.assert_reset()
        for _ in range(50):
            await RisingEdge(dut.clk)
        host.results.clear()
        host.results.assert_reset()
        assert not int(dut.group__busy.value)
        assert (await host.status())["idle"]
    await host.configure(CASE["config"])
    await run(host)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def fault_and_recovery(dut: Any) -> None:
    """An instruction that is none is named with its PE and place; with a good program after a reset all is well."""
    host = await begin(dut)
    await host.write("IMAGE_FLITS", len(FRAMES[0]))
    await host.write("RESULT_FLITS", len(RESULTS[0]))
    await host.configure(CASE["wrong_config"])
    while not (await host.status())["fault"]:
        pass
    assert await host.errors() == {"fault"}
    assert fields("FAULT", await host.read("FAULT")) == CASE["fault"]
    await host.refused("CONTROL", 1)
    await host.command("reset")
    await host.refused("CONTROL", 1)  # the error stays until the host has seen it
    await host.write("ERROR", 1)
    assert await host.errors() == set()
    await host.configure(CASE["config"])
    await run(host)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def short_frame_and_recovery(dut: Any) -> None:
    """A frame that lacks its last flit is named, and does no harm to those after a reset."""
    host = await begin(dut)
    await host.configure(CASE["config"])
    await host.start(len(FRAMES[0]), len(RESULTS[0]))
    await host.send(FRAMES[0])
    await host.send(FRAMES[1][:-1])
    assert await host.frame() == RESULTS[0]
    while not (await host.status())["stream_error"]:
        pass
    assert await host.errors() == {"tlast_early"}
    await host.command("reset")
    await host.write("ERROR", 0xF)
    await host.configure(CASE["config"])
    await run(host)
