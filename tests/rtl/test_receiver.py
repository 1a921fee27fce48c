"""Receiver against its cycle model on every simulator."""

import dataclasses
from typing import Any

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.receiver import Receiver, ReceiverConfig, receiver_config
from ohmweave.testbench.link_cases import LINKS, RUNS
from ohmweave.testbench.runner import available, run_testbench

TINY, FULL = LINKS["tiny"], LINKS["full"]

# pixels, channels of a pixel on the link, first taken, number taken, planes, kernel, channels of a word
CHOICE: dict[str, list[tuple]] = {
    "tiny": [
        *((5, channels, 0, channels, 1, 1, None) for channels in range(1, 9)),
        (6, 4, 0, 4, 2, 1, None), (5, 3, 0, 3, 2, 1, None), (3, 2, 0, 2, 4, 1, None), (4, 1, 0, 1, 4, 1, None),
        # Small planes: one lane each.
        (4, 1, 0, 1, 2, 5, None), (4, 2, 0, 2, 1, 5, None),
        # Ranges, aligned or not, and pixels of several words.
        (4, 16, 8, 8, 1, 1, None), (5, 7, 2, 3, 1, 1, None), (3, 9, 0, 1, 1, 1, None), (3, 9, 8, 1, 1, 1, None),
        (2, 20, 0, 20, 1, 1, None), (2, 19, 3, 13, 1, 1, 5), (2, 10, 0, 10, 2, 1, None), (2, 40, 4, 24, 1, 1, None),
        (1, 1, 0, 1, 1, 1, None),
    ],
    "full": [
        (3, 1, 0, 1, 1, 1, None), (3, 6, 0, 6, 1, 5, None), (2, 120, 0, 120, 1, 1, None), (4, 3, 0, 3, 2, 7, None),
        (2, 128, 0, 128, 1, 3, None), (2, 64, 0, 64, 2, 3, None), (2, 32, 0, 32, 4, 1, None), (2, 4, 0, 4, 4, 7, None),
        (2, 256, 128, 128, 1, 1, None), (2, 512, 0, 512, 1, 1, None), (2, 17, 5, 9, 2, 5, None),
        (1, 2048, 1024, 130, 1, 1, None),
    ],
    "link_32": [
        (4, 24, 0, 24, 1, 1, None), (5, 7, 1, 6, 1, 5, None), (3, 3, 0, 3, 4, 3, None), (3, 9, 0, 9, 2, 1, None),
        (3, 3, 0, 3, 1, 7, None), (4, 1, 0, 1, 2, 7, None), (2, 48, 8, 32, 1, 1, 8),
    ],
    "link_64": [
        (6, 8, 0, 8, 1, 1, None), (9, 5, 0, 5, 1, 1, None), (8, 1, 0, 1, 2, 5, None), (5, 2, 0, 2, 4, 3, None),
        (4, 4, 0, 4, 2, 3, None), (3, 37, 3, 21, 1, 1, None),
    ],
    "wide_planes": [(5, 16, 0, 16, 1, 3, None), (4, 3, 0, 3, 2, 5, None), (3, 7, 1, 5, 2, 1, 3)],
}  # fmt: skip


def geometry(params: PEParams, *values: Any) -> dict[str, Any]:
    """One line of `CHOICE` as the testbench wants it."""
    pixels, channels, first, taken, planes, kernel, word = values
    plane_lanes = params.buffer.pixel_lanes(kernel) // planes
    config = receiver_config(
        params,
        pixels=pixels,
        channels=channels,
        first=first,
        taken=taken,
        planes=planes,
        kernel=kernel,
        word=word,
    )
    return {
        "pixels": pixels, "channels": channels, "first": first, "taken": taken, "planes": planes,
        "plane_lanes": plane_lanes, "word": word or plane_lanes, "config": config,
    }  # fmt: skip


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_receiver(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = LINKS[case]
    layout = ReceiverConfig(params)
    known = {
        "act_bits": params.buffer.act_bits,
        "link_bits": params.link_bits,
        "lanes": params.buffer.lanes,
        "fields": [(name, layout[name].width) for name in layout.members],
        "geometries": [geometry(params, *values) for values in CHOICE[case]],
        "long": geometry(params, 301, 1, 0, 1, 1, 1, None),
    }
    assert run_testbench(Receiver(params=params), "tb_receiver", simulator, parameters=known) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": 0}, "pixels of a frame must be a whole number from 1 to 65536, not 0"),
        ({"channels": 4097}, "channels of a pixel must be a whole number from 1 to 4096, not 4097"),
        ({"first": 4}, "first channel taken must be a whole number from 0 to 3, not 4"),
        ({"first": 2, "taken": 3}, "channels taken must be a whole number from 1 to 2, not 3"),
        ({"planes": 3}, "planes must be one of 1, 2, 4, not 3"),
        ({"planes": True}, "planes must be one of 1, 2, 4, not True"),
        ({"planes": 4, "kernel": 5}, "planes must be at most the lanes of a pixel, 2, not 4"),
        ({"word": 9}, "channels of a word must be a whole number from 1 to 8, not 9"),
        ({"word": 5, "planes": 2}, "channels of a word must be a whole number from 1 to 4, not 5"),
    ],
)
def test_refused_geometry(change: dict, message: str) -> None:
    with pytest.raises(OhmweaveError) as error:
        receiver_config(TINY, **{"pixels": 4, "channels": 4, **change})
    assert str(error.value) == message


def test_refuses_activations_wider_than_a_flit() -> None:
    with pytest.raises(OhmweaveError) as error:
        receiver_config(LINKS["wide_planes"], pixels=1, channels=1, planes=4)
    assert str(error.value) == "planes must be at most 2, those of a flit, not 4"


def test_refused_parameters() -> None:
    with pytest.raises(TypeError) as type_error:
        Receiver(params=TINY.buffer)  # type: ignore[arg-type]
    assert str(type_error.value).startswith("params must be PEParams, not BufferParams(")
    array = dataclasses.replace(TINY.array, cols=12)
    params = dataclasses.replace(TINY, array=array, link_bits=12)
    with pytest.raises(OhmweaveError) as error:
        Receiver(params=params)
    assert str(error.value) == "link_bits must be a power of two of activations of 4 bits, not 12"


def test_largest_values_fit() -> None:
    """Every field holds the extremes of what is accepted."""
    for params in LINKS.values():
        layout = ReceiverConfig(params)
        for values in ({"first": 4095}, {"taken": 1}, {}):
            config = receiver_config(params, pixels=65536, channels=4096, **values)  # type: ignore[arg-type]
            assert {name: layout.const(config)[name] for name in config} == config
