"""Testbench of the row mask: every division of the lanes, lane by lane."""

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from ohmweave.testbench.stream import parameters

P = parameters()
LANES, WINDOW_LANES, BITS = P["lanes"], P["window_lanes"], P["act_bits"]


def expected(window: int, split: int, planes: int, plane: int) -> int:
    """Pixel after pixel of the window: plane p has the p-th part of each pixel's lanes."""
    if planes == 0:
        return window
    pixel, rest = divmod(LANES, 1 << split)
    share, more = divmod(pixel, 1 << planes)
    if rest or more or not share or plane >> planes:
        return 0
    result = 0
    for lane in range(WINDOW_LANES):
        if plane * share <= lane % pixel < (plane + 1) * share:
            result |= window & ((1 << BITS) - 1) << lane * BITS
    return result


@cocotb.test()
async def every_division(dut: Any) -> None:
    source = random.Random(1)
    width = WINDOW_LANES * BITS
    for split in range(4):
        for planes in range(3):
            seen = 0
            for plane in range(4):
                windows = [source.getrandbits(width) for _ in range(2)]
                for src, enable in ((0, 1), (1, 1), (0, 0)):
                    dut.window_0.value, dut.window_1.value = windows
                    dut.src.value, dut.enable.value = src, enable
                    dut.split.value, dut.planes.value, dut.plane.value = split, planes, plane
                    await Timer(1, unit="ns")
                    want = expected(windows[src], split, planes, plane) if enable else 0
                    assert int(dut.x.value) == want, f"split {split}, planes {planes}, plane {plane}"
                # Together the planes have each lane once.
                dut.window_0.value, dut.src.value, dut.enable.value = (1 << width) - 1, 0, 1
                await Timer(1, unit="ns")
                if plane < 1 << planes:
                    assert not int(dut.x.value) & seen
                    seen |= int(dut.x.value)
            assert seen in ((1 << width) - 1, 0)
            assert planes or seen
