"""PE group: frames stream through a configured chip; every flit is compared, with and without stalls."""

import itertools
import json
from pathlib import Path
from typing import Any

import cocotb

from ohmweave.testbench.stream import StreamSink, StreamSource, parameters, reset, start


async def _stream(dut: Any, flits: list[int], expected: list[int], idle: float, stall: float) -> StreamSink:
    source = StreamSource(dut, "host_in", idle=idle, seed=11)
    sink = StreamSink(dut, "host_out", stall=stall, seed=12)
    running = cocotb.start_soon(source.run(flits))
    await sink.run(len(expected))
    await running
    assert [word for _, word in sink.taken] == expected
    return sink


def _case() -> dict[str, Any]:
    return json.loads(Path(parameters()["case"]).read_text())


@cocotb.test()
@cocotb.parametrize(pace=[(0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.3, 0.3)])
async def every_flit_equals_golden(dut: Any, pace: tuple[float, float]) -> None:
    case = _case()
    await start(dut)
    await _stream(dut, case["config"] + case["frames"], case["expected"], *pace)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset nothing of the frame that was cut off is left, and the chip works once configured again."""
    case = _case()
    await start(dut)
    source = StreamSource(dut, "host_in")
    sink = StreamSink(dut, "host_out")
    running = cocotb.start_soon(source.run(case["config"] + case["frames"]))
    await sink.run(cycles=len(case["config"]) + len(case["frames"]) // 2)
    running.cancel()
    dut.host_in__valid.value = 0
    await reset(dut)
    assert int(dut.busy.value) == 0
    await _stream(dut, case["config"] + case["frames"], case["expected"], 0.0, 0.0)


@cocotb.test()
async def interval_is_that_of_the_slowest_stage(dut: Any) -> None:
    """Frames follow each other as fast as the arrays read: read_cycles for every window and column group."""
    case = _case()
    await start(dut)
    sink = await _stream(dut, case["config"] + case["frames"], case["expected"], 0.0, 0.0)
    ends = [cycle for cycle, _ in sink.taken][case["flits_per_frame"] - 1 :: case["flits_per_frame"]]
    intervals = [after - before for before, after in itertools.pairwise(ends[1:])]
    assert intervals
    assert set(intervals) == {case["interval"]}, f"{intervals}, not {case['interval']}"
