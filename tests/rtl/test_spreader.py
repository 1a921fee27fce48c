"""Spreader against its model on every simulator, and what its configuration refuses."""

import dataclasses
import random
from typing import Any

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams
from ohmweave.rtl.spreader import Spreader, SpreaderConfig, spread_size, spreader_config
from ohmweave.testbench.link_cases import LINKS
from ohmweave.testbench.runner import SEED, available, run_testbench

BUFFERS = {name: params.buffer for name, params in LINKS.items()} | {
    "narrow": BufferParams(lanes=8, width=1, banks=4, act_bits=4, window_lanes=72)
}
TINY = BUFFERS["tiny"]

NONE = (0, 0, 0, 0)
# height, width, step, border, fill, planes, kernel
CHOICE: dict[str, list[tuple]] = {
    "tiny": [
        # One side of the border, one step at a time; a single word; the widest map and the largest border.
        *((2, 3, (1, 1), tuple(int(n == side) for n in range(4)), [5] * 8, 1, 1) for side in range(4)),
        (3, 4, (2, 1), NONE, [1], 1, 1), (3, 4, (1, 2), NONE, [1, 2], 1, 1), (3, 4, (4, 4), NONE, [1, 2, 3], 1, 3),
        (1, 1, (1, 1), (1, 2, 3, 4), [1, 2, 3, 4], 1, 1), (1, 1, (4, 4), (0, 1, 0, 0), [7], 1, 1),
        (2, 1, (4, 1), (15, 15, 15, 0), [15], 1, 1), (2, 1, (1, 4), (0, 0, 0, 15), [15], 1, 1),
        (2, 16, (2, 1), NONE, [9], 1, 1), (1, 1, (1, 1), NONE, [3], 1, 1), (3, 5, (1, 1), NONE, [3], 1, 1),
        # Bit planes, and pixels of fewer lanes.
        (2, 2, (2, 2), (1, 1, 1, 1), [0x12, 0x34, 0x56, 0x78], 2, 3), (2, 2, (2, 2), NONE, [0xABCD, 0x1234], 4, 3),
        (2, 2, (2, 2), NONE, [0xAB, 0xCD], 2, 4), (2, 2, (2, 2), NONE, [0xAB], 2, 5),
        (2, 2, (2, 1), NONE, [8, 9], 1, 5),
    ],
    "full": [
        (2, 3, (2, 2), (1, 2, 0, 1), [3, 5, 7, *[11] * 125], 1, 3), (2, 75, (1, 3), (0, 1, 0, 0), [0x9A] * 64, 2, 3),
        (2, 2, (3, 2), (0, 0, 1, 1), [0x1234, 0x5678, 0x9ABC, 0xDEF0], 4, 2),
        (2, 2, (2, 2), NONE, [1, 2, 3, 4, 4], 1, 7),
        (2, 2, (2, 2), NONE, [0xFEDC, 0xBA98, 0x7654, 0x3210], 4, 7), (2, 2, (2, 2), NONE, [0xFE, 0xDC, 0xBA, 1], 2, 5),
    ],
    "link_32": [
        (2, 2, (2, 2), NONE, [1, 2, 3, 4], 1, 1), (2, 2, (2, 2), NONE, [0x12, 0x34, 0x56, 0x78], 2, 1),
        (2, 2, (2, 2), NONE, [0x1234], 4, 5), (2, 2, (2, 2), NONE, [0x12], 2, 7),
    ],
    "wide_planes": [(2, 2, (2, 2), NONE, [1, 2, 3, 255], 1, 1), (2, 2, (2, 2), (1, 0, 0, 1), [0x1234, 0xFEDC], 2, 5)],
    "narrow": [(3, 1, (3, 4), (2, 0, 1, 0), [6], 1, 1), (3, 1, (1, 4), NONE, [6], 1, 1)],
}  # fmt: skip

RUNS = [("verilator", "tiny"), *(("icarus", case) for case in CHOICE)]


def geometry(params: BufferParams, *values: Any) -> dict[str, Any]:
    """One line of `CHOICE` as the testbench wants it."""
    height, width, step, border, fill, planes, kernel = values
    config = spreader_config(
        params, height=height, width=width, step=step, border=border, fill=fill, planes=planes, kernel=kernel
    )
    return {
        "height": height, "width": width, "step": step, "border": border, "fill": fill, "planes": planes,
        "plane_lanes": params.pixel_lanes(kernel) // planes, "config": SpreaderConfig(params).const(config).as_bits(),
    }  # fmt: skip


def random_choice(params: BufferParams, count: int) -> list[tuple]:
    """Any step, and borders that the width leaves room for."""
    rng = random.Random(SEED)
    result = []
    for n in range(count):
        step = (1 + n % 4, 1 + n // 4 % 4)
        width = rng.randint(1, (params.width - 1) // step[1] + 1)
        room = params.width - spread_size(1, width, step=step)[1]
        left = rng.randint(0, min(room, 15))
        right = rng.randint(0, min(room - left, 15))
        border = (rng.randint(0, 3), left, rng.randint(0, 3), right)
        fill = [rng.randrange(16) for _ in range(4)]
        result.append((rng.randint(1, 4), width, step, border, fill, 1, 1))
    return result


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_spreader(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = BUFFERS[case]
    choice = CHOICE[case] + (random_choice(params, 16) if case == "tiny" else [])
    known = {
        "act_bits": params.act_bits,
        "lanes": params.lanes,
        "geometries": [geometry(params, *values) for values in choice],
        "tall": geometry(params, 1361, 1, (3, 1), (0, 0, 15, 0), [1], 1, 1),
        "transparent": geometry(params, 5, 1, (1, 1), NONE, [15], 1, 1)["config"],
    }
    assert run_testbench(Spreader(params=params), "tb_spreader", simulator, parameters=known) == 6


def test_spread_size() -> None:
    assert spread_size(7, 9) == (7, 9)
    assert spread_size(7, 9, step=(2, 3)) == (13, 25)
    assert spread_size(1, 1, step=(4, 4), border=(1, 2, 3, 4)) == (5, 7)


def test_all_zero_is_transparent() -> None:
    config = spreader_config(TINY, height=1, width=1, step=(4, 4))
    assert not config["spread"]  # a step without a second word
    assert spreader_config(TINY, height=2, width=1, step=(2, 1))["spread"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "height must be a whole number from 1 to 4096, not 0"),
        ({"width": 17}, "width must be a whole number from 1 to 16, not 17"),
        ({"step": 2}, "step must be two numbers, rows and columns, not 2"),
        ({"step": (2,)}, "step must be two numbers, rows and columns, not (2,)"),
        ({"step": (0, 1)}, "row step must be a whole number from 1 to 4, not 0"),
        ({"step": (1, 5)}, "column step must be a whole number from 1 to 4, not 5"),
        ({"step": (1, True)}, "column step must be a whole number from 1 to 4, not True"),
        ({"border": (1, 1)}, "border must be four numbers, top, left, bottom, right, not (1, 1)"),
        ({"border": 1}, "border must be four numbers, top, left, bottom, right, not 1"),
        ({"border": (16, 0, 0, 0)}, "top border must be a whole number from 0 to 15, not 16"),
        ({"border": (0, -1, 0, 0)}, "left border must be a whole number from 0 to 15, not -1"),
        ({"border": (0, 0, 16, 0)}, "bottom border must be a whole number from 0 to 15, not 16"),
        ({"border": (0, 0, 0, 0.5)}, "right border must be a whole number from 0 to 15, not 0.5"),
        ({"step": (1, 4), "width": 5}, "columns of the spread map must be at most 16, not 17"),
        ({"border": (0, 7, 0, 6)}, "columns of the spread map must be at most 16, not 17"),
        ({"height": 4093, "border": (2, 0, 2, 0)}, "rows of the spread map must be at most 4096, not 4097"),
        ({"planes": 3}, "planes must be one of 1, 2, 4, not 3"),
        ({"planes": True}, "planes must be one of 1, 2, 4, not True"),
        ({"planes": 4, "kernel": 5}, "planes must be at most the lanes of a pixel, 2, not 4"),
        ({"fill": []}, "channels with a fill value must be a whole number from 1 to 8, not 0"),
        (
            {"fill": [0] * 5, "planes": 2},
            "channels with a fill value must be a whole number from 1 to 4, not 5",
        ),
        ({"fill": [0, 16]}, "fill value of channel 1 must be a whole number from 0 to 15, not 16"),
        (
            {"fill": [256], "planes": 2},
            "fill value of channel 0 must be a whole number from 0 to 255, not 256",
        ),
        (
            {"fill": [1, 2, 3, 4, 4, 5]},
            "fill values of channels 3 and up must be the same, not 4 and 5 (channel 5)",
        ),
    ],
)
def test_refused_geometry(change: dict, message: str) -> None:
    with pytest.raises(OhmweaveError) as error:
        spreader_config(TINY, **{"height": 4, "width": 4, **change})
    assert str(error.value) == message


def test_refuses_fill_values_of_more_than_16_bits() -> None:
    with pytest.raises(OhmweaveError) as error:
        spreader_config(BUFFERS["wide_planes"], height=1, width=1, planes=4)
    assert str(error.value) == "planes must be at most 2, those of 16 bits, not 4"


def test_largest_geometries() -> None:
    spreader_config(TINY, height=4092, width=4, border=(2, 6, 2, 6))
    spreader_config(
        dataclasses.replace(TINY, width=4096), height=1024, width=1024, step=(4, 4), border=(1, 0, 2, 3)
    )


def test_refused_parameters() -> None:
    with pytest.raises(TypeError) as error:
        Spreader(params=LINKS["tiny"])  # type: ignore[arg-type]
    assert str(error.value).startswith("params must be BufferParams, not PEParams(")
