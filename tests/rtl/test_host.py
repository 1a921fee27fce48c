"""The host port, on Verilator and Icarus, against cocotbext-axi; and that it is quiet when there is nothing to do."""

import random
import re
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import verilog
from amaranth.sim import Simulator

from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.host.axi_lite import AXILite
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.event_counters import EventCounters
from ohmweave.rtl.host.flit_input import FlitInput
from ohmweave.rtl.host.flit_output import FlitOutput
from ohmweave.rtl.host.host_register import Access
from ohmweave.rtl.host.port import HostPort
from ohmweave.rtl.host.register_map import ADDRESS_BITS, REGISTERS, fields, place, register
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.testbench.runner import SIMULATORS, TOP, available, run_testbench

ROOT = Path(__file__).resolve().parents[2]
TINY = PRESETS["tiny"]
#: Chips, and what their constant registers say, worked out by hand.
CHIPS: dict[str, tuple[GroupParams, dict[int, int]]] = {
    "tiny": (
        TINY,
        {
            0x008: 16 << 24 | 1 << 16 | 4,
            0x00C: 16 << 16 | 72,
            0x010: 0x44,
            0x014: 6 << 16 | 4,
            0x018: 16 << 17 | 6 << 12 | 8,
            0x01C: 8 << 16 | 32 << 8 | 16,
        },
    ),
    "one PE, wide links": (
        replace(
            TINY,
            levels=0,
            pe=replace(
                TINY.pe,
                link_bits=64,
                array=replace(TINY.pe.array, adc_bits=9, adc_drop=2, sign_scheme="pairs"),
            ),
        ),
        {
            0x008: 64 << 24 | 1,
            0x00C: 16 << 16 | 72,
            0x010: 1 << 24 | 2 << 16 | 9 << 8 | 0x44,
            0x014: 6 << 16 | 4,
            0x018: 16 << 17 | 6 << 12 | 8,
            0x01C: 8 << 16 | 32 << 8 | 16,
        },
    ),
    "re-reram": (
        PRESETS["re-reram"],
        {
            0x008: 16 << 24 | 2 << 16 | 16,
            0x00C: 256 << 16 | 1152,
            0x010: 0x44,
            0x014: 6 << 16 | 16,
            0x018: 224 << 17 | 6 << 12 | 128,
            0x01C: 32 << 16 | 32 << 8 | 16,
        },
    ),
}


def _run(testbench: str, chip: str, simulator: str) -> int:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params, constants = CHIPS[chip]
    return run_testbench(
        HostPort(params=params),
        testbench,
        simulator,
        verilog_text=emit_verilog(emit_rtlil(HostPort(params=params), TOP)),
        parameters={
            "link_bits": params.pe.link_bits,
            "pes": params.pes,
            "constants": {0x000: 0x6F686D77, 0x004: 0x00010001} | constants,
        },
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("chip", CHIPS)
def test_registers(chip: str, simulator: str) -> None:
    assert _run("tb_host", chip, simulator) == 13


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("chip", ["one PE, wide links", "re-reram"])
def test_streams(chip: str, simulator: str) -> None:
    assert _run("tb_host_streams", chip, simulator) == 25


def _changes(vcd: str, cycles: int) -> set[str]:
    """Names of the signals that change in the last `cycles` cycles."""
    names = dict(re.findall(r"^\$var \S+ \d+ (\S+) (\S+)", vcd, re.MULTILINE))
    steps: list[set[str]] = [set()]  # a time each
    for line in vcd.split("$enddefinitions", 1)[1].splitlines()[1:]:
        if line.startswith("#"):
            steps.append(set())
        elif found := re.match(r"(?:[01xz]|[br]\S+ |s\S+ )(\S+)$", line):
            steps[-1].add(names[found.group(1)])
    edges = [n for n, step in enumerate(steps) if "clk" in step]
    return set().union(*steps[edges[-2 * cycles] :])


@pytest.mark.parametrize("stopped", [False, True])
def test_quiet_when_idle(stopped: bool, tmp_path: Path) -> None:
    """After a frame, a configuration packet, busy cycles and reads of counters, nothing but the clock changes."""
    dut = HostPort(params=TINY)
    bus = dut.registers

    async def write(ctx: Any, name: str, value: int) -> None:
        ctx.set(bus.awaddr, register(name).address)
        ctx.set(bus.wdata, value)
        ctx.set(bus.wstrb, 15)
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        await ctx.tick()
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        await ctx.tick().until(bus.bvalid)

    async def bench(ctx: Any) -> None:
        for ready in (bus.bready, bus.rready, dut.results.tready, dut.host_in.ready):
            ctx.set(ready, 1)
        for name, value in (("IMAGE_FLITS", 1), ("RESULT_FLITS", 1), ("CONTROL", 1)):
            await write(ctx, name, value)
        for word in (1, 0, 0):
            await write(ctx, "CONFIG", word)
        ctx.set(dut.images.tlast, 1)
        ctx.set(dut.images.tvalid, 1)
        ctx.set(dut.busy, 5)
        await ctx.tick()
        ctx.set(dut.images.tvalid, 0)
        await ctx.tick().repeat(9)
        ctx.set(dut.busy, 0)
        ctx.set(dut.host_out.valid, 1)
        await ctx.tick()
        ctx.set(dut.host_out.valid, 0)
        if stopped:
            await write(ctx, "CONTROL", 2)
        ctx.set(bus.araddr, register("FLITS_IN").address)
        ctx.set(bus.arvalid, 1)
        await ctx.tick()
        ctx.set(bus.arvalid, 0)
        (count,) = await ctx.tick().sample(bus.rdata).until(bus.rvalid)
        assert count == 1
        await ctx.tick().repeat(250)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    path = tmp_path / "waves.vcd"
    with simulator.write_vcd(str(path)):
        simulator.run()
    changed = _changes(path.read_text(), 200)
    assert "clk" in changed
    # Running, the cycles are counted even while nothing comes.
    assert (changed == {"clk"}) == stopped, changed


def test_addresses_and_bits_of_the_map() -> None:
    """No two registers at an address, no two fields on a bit, all of it within the page and the word."""
    assert len({reg.name for reg in REGISTERS}) == len(REGISTERS)
    assert len({reg.address for reg in REGISTERS}) == len(REGISTERS)
    for reg in REGISTERS:
        assert reg.address % 4 == 0
        assert 0 <= reg.address < 1 << ADDRESS_BITS
        masks = [field.mask for field in reg.fields]
        assert sum(masks) < 1 << 32
        combined = 0
        for mask in masks:
            assert mask
            assert not combined & mask, reg.name
            combined |= mask
        assert reg.access is not Access.READ_WRITE or len(reg.fields) == 1
        assert all(field.reset < 1 << field.width for field in reg.fields)


def test_names_of_the_map() -> None:
    assert register("STATUS").address == 0x044
    assert place("STATUS") == 0x11
    assert fields("FAULT", 1 << 31 | 5 << 16 | 2) == {"unit": 2, "index": 5, "half": 0, "valid": 1}
    assert register("ERROR").field("tlast_late").mask == 4
    with pytest.raises(KeyError, match=r"^'NONE'$"):
        register("NONE")
    with pytest.raises(KeyError, match=r"^'none'$"):
        register("ERROR").field("none")


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: AXIStream(12), ValueError, "AXI4-Stream width must be a multiple of 8, not 12"),
        (
            lambda: AXIStream("8"),
            TypeError,
            "AXI4-Stream width must be a whole number from 8 to 1024, not '8'",
        ),
        (lambda: AXILite(2), TypeError, "AXI4-Lite address_bits must be a whole number from 3 to 32, not 2"),
        (
            lambda: FlitInput(link_bits=8),
            TypeError,
            "FlitInput link_bits must be a whole number from 16 to 64, not 8",
        ),
        (
            lambda: FlitOutput(link_bits=128),
            TypeError,
            "FlitOutput link_bits must be a whole number from 8 to 64, not 128",
        ),
        (
            lambda: EventCounters(sources=1),
            TypeError,
            "EventCounters sources must be a whole number from 2 to 16384, not 1",
        ),
    ],
)
def test_refusals(make, error, sentence: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("sources", [2, 3, 23])
def test_counts(sources: int) -> None:
    """Every read comes in time and is exact to the cycle, in traffic of every density, cleared at any time."""
    dut = EventCounters(sources=sources)
    chance = random.Random(sources)
    waits: list[int] = []

    async def bench(ctx: Any) -> None:
        before = counts = [0] * sources  # up to the second cycle before this one, up to the last
        density, asked, cleared = 0.0, None, False
        for cycle in range(6000):
            if cycle % 30 == 0:
                density = chance.choice((0.0, 0.05, 1.0))
            if asked is None and chance.random() < 0.03:
                asked, cleared = cycle, False
                ctx.set(dut.select, chance.randrange(sources))
            events = [chance.random() < density for _ in range(sources)]
            clear = chance.random() < (0.002 if asked is None else 0.1)
            ctx.set(dut.events, sum(bit << n for n, bit in enumerate(events)))
            ctx.set(dut.clear, clear)
            ctx.set(dut.request, asked is not None)
            cleared |= clear
            if ctx.get(dut.done):
                assert asked is not None
                assert ctx.get(dut.value) == before[ctx.get(dut.select)]
                if not cleared:
                    waits.append(cycle - asked)
                asked = None
            before, counts = counts, [0 if clear else n + bit for n, bit in zip(counts, events, strict=True)]
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert sources // 2 < max(waits) <= sources


def test_page_is_what_the_definition_gives() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write_host_page.py"))
    text = (ROOT / "docs" / "blocks" / "host.md").read_text()
    assert script["page"](text) == text


def test_counters_cost_one_memory() -> None:
    """No register and no adder of 64 bits for each PE: the counts lie in one memory."""
    text = verilog.convert(EventCounters(sources=23))
    assert len(re.findall(r"^  reg \[63:0\] \S+ \[22:0\];", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^  reg \[63:0\] \S+;", text, re.MULTILINE)) <= 1  # what the memory gives
