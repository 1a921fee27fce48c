"""PE group: frames stream through a configured chip; every flit is compared, with and without stalls."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cocotb

from ohmweave.testbench.stream import StreamSink, StreamSource, parameters, reset, start

CASE: dict[str, Any] = json.loads(Path(parameters()["case"]).read_text())
# Cells keep their levels through a reset, so only the first test programs them.
programmed = False


async def _program(dut: Any) -> None:
    global programmed
    if not programmed:
        await StreamSource(dut, "host_in").run(CASE["arrays"])
        programmed = True


def _sources(dut: Any, idle: float) -> list[Any]:
    """All that is sent, on its way: entries are offered data from the first cycle on, while the chip is configured."""
    source = StreamSource(dut, "host_in", idle=idle, seed=11)
    running = [cocotb.start_soon(source.run(CASE["config"] + CASE["frames"]))]
    for entry, flits in enumerate(CASE["entries"]):
        source = StreamSource(dut, f"entry_i__{entry}", idle=idle, seed=20 + entry)
        running.append(cocotb.start_soon(source.run(flits)))
    return running


async def _stream(dut: Any, idle: float, stall: float) -> list[int]:
    """Configure the chip and stream all frames; compare every flit and give the cycle of each."""
    sink = StreamSink(dut, "host_out", stall=stall, seed=12)
    running = _sources(dut, idle)
    await sink.run(len(CASE["expected"]))
    for task in running:
        await task
    assert [word for _, word in sink.taken] == CASE["expected"]
    return [cycle for cycle, _ in sink.taken]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def full_pace(dut: Any) -> None:
    """Frames follow each other as fast as the slowest array reads: read_cycles a window and read."""
    await start(dut)
    await _program(dut)
    cycles = await _stream(dut, 0.0, 0.0)
    flits = CASE["flits_per_frame"]
    found = [after - before for before, after in pairwise(cycles[flits - 1 :: flits])]
    assert len(found) > 1
    assert not CASE["interval"] or set(found) == {CASE["interval"]}, found


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def idle_cycles_and_back_pressure(dut: Any) -> None:
    await start(dut)
    await _program(dut)
    await _stream(dut, 0.4, 0.4)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """Nothing of the frame that was cut off is left, and the chip works once it is configured again."""
    await start(dut)
    await _program(dut)
    running = _sources(dut, 0.0)
    sink = StreamSink(dut, "host_out")
    await sink.run(cycles=len(CASE["config"]) + CASE["half"])
    assert not sink.taken
    for task in running:
        task.cancel()
    dut.host_in__valid.value = 0
    for entry in range(len(CASE["entries"])):
        getattr(dut, f"entry_i__{entry}__valid").value = 0
    await reset(dut)
    await sink.run(cycles=sink.cycle + 20)
    assert not sink.taken
    assert int(dut.busy.value) == 0
    await _stream(dut, 0.0, 0.2)
