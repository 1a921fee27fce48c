"""The registers of the host port and configuration through them, from a host that cocotbext-axi plays."""

import random
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time

from ohmweave.testbench.host_bench import CONFIG_BIT, PES, Bench
from ohmweave.testbench.stream import PACES, parameters, start

CONSTANTS: dict[int, int] = parameters()["constants"]

# The map once more, from its page: what is at which address, so that a slip in the definition shows.
READ_ONLY = {*range(0x000, 0x020, 4), 0x044, 0x04C, *range(0x080, 0x0E8, 4)}
WRITABLE = {0x050: 0xFFFFFFFF, 0x054: 0xFFFFFFFF, 0x05C: 0xFFFFFFFF, 0x060: 0xFFFF, 0x064: 0xFFFF}
COMMANDS = {0x040, 0x048, 0x058}
RESET_VALUES = {0x050: 0, 0x054: 0, 0x05C: 1 << 20, 0x060: 0, 0x064: 0}
# Six links of each PE, two of each node of the trees above them.
SELECTED = {0x060: PES, 0x064: 6 * PES + 2 * (PES - 1) // 3}


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def every_address(dut: Any) -> None:
    """What is there answers, with what it says of the chip and its reset values; all else is SLVERR."""
    bench = await Bench.begin(dut)
    host = bench.host
    bench.consume()
    for address in range(0, 1 << 12, 4):
        word, accepted = await host.read_at(address)
        assert accepted == (address in READ_ONLY | set(WRITABLE) | COMMANDS), hex(address)
        expected = CONSTANTS.get(address, RESET_VALUES.get(address, 1 if address == 0x044 else 0))
        assert word == expected, hex(address)
    for address in range(0, 1 << 12, 4):
        accepted = await host.write_at(address, bytes(4))
        assert accepted == (address in set(WRITABLE) | COMMANDS), hex(address)


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def reads_and_writes_at_once(dut: Any, pace: tuple[float, float]) -> None:
    """Bytes, halves and words, at every offset, with reads under way: the model is a dictionary of bytes."""
    bench = await Bench.begin(dut)
    host = bench.host
    host.pause(*pace)
    chance = random.Random(7)
    model = dict(RESET_VALUES)

    async def reader() -> None:
        for _ in range(60):
            address = chance.choice(sorted(READ_ONLY | {0x0E8, 0xFFC}))
            word, accepted = await host.read_at(address)
            assert accepted == (address in READ_ONLY)
            if address in CONSTANTS:
                assert word == CONSTANTS[address]

    reading = cocotb.start_soon(reader())
    for _ in range(80):
        address = chance.choice(sorted(model))
        width = chance.choice((1, 2, 4))
        offset = chance.randrange(5 - width)
        data = chance.randbytes(width)
        old = model[address].to_bytes(4, "little")
        new = int.from_bytes(old[:offset] + data + old[offset + width :], "little") & WRITABLE[address]
        accepted = await host.write_at(address + offset, data)
        assert accepted == (new < SELECTED.get(address, 1 << 32))
        if accepted:
            model[address] = new
        assert await host.read_at(address) == (model[address], True)
    await reading


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_byte_of_a_command(dut: Any) -> None:
    """Bytes without their strobe are not written: neither commands nor flits nor the clearing of errors."""
    bench = await Bench.begin(dut)
    host = bench.host
    sink = bench.consume()
    await host.write("IMAGE_FLITS", 4)
    await host.write("RESULT_FLITS", 4)
    assert await host.write_at(0x041, b"\1\1\1")
    assert not (await host.status())["running"]
    assert not await host.write_at(0x058, b"\1")
    assert not await host.write_at(0x059, b"\1\1\1")
    assert await host.write_at(0x05A, b"\1\1")
    assert await host.write_at(0x058, b"\2\3")
    assert await host.write_at(0x058, b"\4\5\6\7")
    await ClockCycles(dut.clk, 4)
    assert [word for _, word in sink.taken] == [CONFIG_BIT | 0x302, CONFIG_BIT | 0x504]
    assert await host.write_at(0x040, b"\1")
    assert (await host.status())["running"]


async def _cycles_until(dut: Any, signal: Any) -> int:
    """Rising edges until a signal is high, one at least."""
    count = 0
    while True:
        await RisingEdge(dut.clk)
        count += 1
        await ReadOnly()
        if int(signal.value):
            await RisingEdge(dut.clk)
            return count


async def _offer(dut: Any, channel: str, wait: int) -> None:
    """Offer one address or word after some cycles; it is taken at once."""
    for _ in range(wait):
        await RisingEdge(dut.clk)
    getattr(dut, f"registers__{channel}valid").value = 1
    await RisingEdge(dut.clk)
    assert int(getattr(dut, f"registers__{channel}ready").value)
    getattr(dut, f"registers__{channel}valid").value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_and_throughput_of_registers(dut: Any) -> None:
    """2 cycles from the address or the data, whichever is later, to the answer, which waits for nobody's ready."""
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
        getattr(dut, f"registers__{name}").value = 0
    for name in (
        "images__tvalid",
        "results__tready",
        "host_in__ready",
        "host_out__valid",
        "busy",
        "activity",
        "fault",
    ):
        getattr(dut, name).value = 0
    await start(dut)
    await RisingEdge(dut.clk)
    dut.registers__awaddr.value = 0x050
    dut.registers__araddr.value = 0x050
    dut.registers__wdata.value = 5
    dut.registers__wstrb.value = 15
    for lead in (-3, 0, 2):  # cycles by which the address is before the data
        cocotb.start_soon(_offer(dut, "aw", max(0, -lead)))
        cocotb.start_soon(_offer(dut, "w", max(0, lead)))
        assert await _cycles_until(dut, dut.registers__bvalid) == abs(lead) + 2
        await ClockCycles(dut.clk, 3)
        assert int(dut.registers__bvalid.value)
        dut.registers__bready.value = 1
        await ClockCycles(dut.clk, 2)
        assert not int(dut.registers__bvalid.value)
        dut.registers__bready.value = 0
    cocotb.start_soon(_offer(dut, "ar", 0))
    assert await _cycles_until(dut, dut.registers__rvalid) == 2
    assert int(dut.registers__rdata.value) == 5
    # An access of each side every 2 cycles.
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
        getattr(dut, f"registers__{name}").value = 1
    await ClockCycles(dut.clk, 5)
    answers = {"b": 0, "r": 0}
    for _ in range(40):
        await RisingEdge(dut.clk)
        for channel in answers:
            answers[channel] += int(getattr(dut, f"registers__{channel}valid").value)
    assert answers == {"b": 20, "r": 20}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def configuration(dut: Any, pace: tuple[float, float]) -> None:
    """What is written to CONFIG comes out as configuration flits, in order, whatever the paces."""
    bench = await Bench.begin(dut)
    bench.host.pause(*pace)
    sink = bench.consume(pace[1])
    words = [random.Random(5).getrandbits(16) for _ in range(60)]
    await bench.host.configure(words)
    await ClockCycles(dut.clk, 30)
    assert [word for _, word in sink.taken] == [CONFIG_BIT | word for word in words]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def configuration_every_two_cycles(dut: Any) -> None:
    bench = await Bench.begin(dut)
    sink = bench.consume()
    await bench.host.configure(range(40))
    cycles = [cycle for cycle, _ in sink.taken]
    assert {after - before for before, after in pairwise(cycles)} == {2}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def configuration_is_given_up(dut: Any) -> None:
    """A chip that takes nothing: writes are answered while there is room, then with SLVERR, and the bus lives."""
    bench = await Bench.begin(dut)
    host = bench.host
    await host.write("CONFIG_WAIT", 25)
    await host.configure([1, 2])
    assert (await host.status())["flit_waits"]
    for _ in range(2):
        before = get_sim_time("ns")
        waiting = cocotb.start_soon(host.refused("CONFIG", 3))
        assert await host.read("ID") == CONSTANTS[0]  # reads do not wait for it
        await waiting
        assert 250 <= get_sim_time("ns") - before < 350
    assert await host.errors() == {"config_refused"}
    await host.write("ERROR", 1 << 3)
    assert await host.errors() == set()
    sink = bench.consume()
    await host.configure([4])
    await ClockCycles(dut.clk, 4)
    assert [word for _, word in sink.taken] == [CONFIG_BIT | word for word in (1, 2, 4)]
    status = await host.status()
    assert status["packet_open"]
    assert not status["flit_waits"]
