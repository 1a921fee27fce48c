"""Side receiver against its cycle model on every simulator."""

import dataclasses
from typing import Any

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.elements import WIDTHS
from ohmweave.rtl.side_receiver import SideConfig, SideReceiver, side_config
from ohmweave.testbench.link_cases import LINKS, RUNS
from ohmweave.testbench.runner import available, run_testbench

TINY = LINKS["tiny"]


def choice(lanes: int) -> list[tuple[int, bool, int, int, int, int]]:
    """Width, signed, pixels, channels of a pixel on the link, first taken, number taken."""
    return [
        # Every width, alternately signed, full vectors and a part filled one.
        *((width, bool(n % 2), 2, lanes, 0, lanes) for n, width in enumerate(WIDTHS)),
        *((width, bool((n + 1) % 2), 2, lanes + 3, 0, lanes + 3) for n, width in enumerate(WIDTHS)),
        # Vectors and pixels that meet inside a flit, and several in one.
        (4, False, 9, 1, 0, 1), (8, True, 7, 1, 0, 1), (20, True, 7, 1, 0, 1), (4, False, 5, 3, 0, 3),
        (12, True, 5, 3, 0, 3), (36, True, 3, 2 * lanes + 1, 0, 2 * lanes + 1),
        # Ranges.
        (4, False, 5, 7, 2, 3), (8, False, 5, 2 * lanes, lanes, lanes), (20, True, 3, 2 * lanes, 0, lanes),
        (20, True, 3, lanes + 2, 1, lanes), (16, False, 3, 5, 4, 1), (4, False, 4, 9, 0, 1),
        (48, True, 1, 3 * lanes, lanes, 2 * lanes),
    ]  # fmt: skip


def geometry(params: PEParams, *values: Any) -> dict[str, Any]:
    names = ("width", "signed", "pixels", "channels", "first", "taken")
    known = dict(zip(names, values, strict=True))
    return {**known, "config": side_config(params, **known)}


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_side_receiver(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = LINKS[case]
    layout = SideConfig(params)
    some = choice(params.alu_lanes)
    known = {
        "link_bits": params.link_bits,
        "lanes": params.alu_lanes,
        "lane_bits": params.lane_bits,
        "fields": [(name, layout[name].width) for name in layout.members],
        "geometries": [geometry(params, *values) for values in (some[1::3] if case == "full" else some)],
    }
    assert run_testbench(SideReceiver(params=params), "tb_side_receiver", simulator, parameters=known) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 18}, "width must be a multiple of 4 from 4 to 48, not 18"),
        ({"width": 52}, "width must be a multiple of 4 from 4 to 48, not 52"),
        ({"width": 0}, "width must be a multiple of 4 from 4 to 48, not 0"),
        ({"width": 8.0}, "width must be a multiple of 4 from 4 to 48, not 8.0"),
        ({"pixels": 65537}, "pixels of a frame must be a whole number from 1 to 65536, not 65537"),
        ({"channels": 0}, "channels of a pixel must be a whole number from 1 to 4096, not 0"),
        ({"first": -1}, "first channel taken must be a whole number from 0 to 3, not -1"),
        ({"taken": 5}, "channels taken must be a whole number from 1 to 4, not 5"),
    ],
)
def test_refused_geometry(change: dict, message: str) -> None:
    with pytest.raises(OhmweaveError) as error:
        side_config(TINY, **{"width": 20, "signed": True, "pixels": 4, "channels": 4, **change})
    assert str(error.value) == message


def test_refused_parameters() -> None:
    with pytest.raises(TypeError) as type_error:
        SideReceiver(params=TINY.buffer)  # type: ignore[arg-type]
    assert str(type_error.value).startswith("params must be PEParams, not BufferParams(")
    array = dataclasses.replace(TINY.array, cols=12)
    params = dataclasses.replace(TINY, array=array, link_bits=12)
    with pytest.raises(OhmweaveError) as error:
        SideReceiver(params=params)
    assert str(error.value) == "link_bits must be 4 times a power of two, not 12"


def test_largest_values_fit() -> None:
    """Every field holds the extremes of what is accepted."""
    for params in LINKS.values():
        layout = SideConfig(params)
        for values in ({"first": 4095}, {"taken": 1}, {}):
            config = side_config(params, width=48, signed=True, pixels=65536, channels=4096, **values)  # type: ignore[arg-type]
            assert {name: layout.const(config)[name] for name in config} == config
