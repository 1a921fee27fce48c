"""Batches: cycles of the first images of a run, which are those of a run of as many."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ohmweave.presets import PRESETS
from ohmweave.sim.batch import MOST, Batch, batch_table, batches
from ohmweave.sim.images import ImageSet
from ohmweave.sim.network import Network
from ohmweave.sim.run import run

CHIP = replace(PRESETS["tiny"], levels=2)


def result(last_out: list[int], shards: tuple[int, ...], first: int = 10) -> Any:
    return SimpleNamespace(
        first_in=np.array([first] * len(last_out)), last_out=np.array(last_out), shards=shards
    )


def test_figures():
    one = result([59, 160, 261, 459, 54, 250, 350], (4, 3))
    assert batches([one], 7) == [Batch(1, 50), Batch(2, 151), Batch(4, 450)]
    assert batches([one], 7)[2].cycles_per_image == 112.5
    assert batches([one], 7)[1].record() == {"images": 2, "cycles": 151, "cycles_per_image": 75.5}


def test_copies_are_whole_frames():
    """Frames of three images, of which the run had ten."""
    one = result([59, 160, 261, 459], (4,))
    assert batches([one], 10, 3) == [Batch(1, 50), Batch(2, 50), Batch(4, 151), Batch(8, 252)]
    assert [each.images for each in batches([one], 3, 3)] == [1, 2]


def test_passes_add_up():
    passes = [result([59, 160], (2,)), result([25, 30], (2,), first=20)]
    assert batches(passes, 2) == [Batch(1, 50 + 6), Batch(2, 151 + 11)]


def test_no_more_than_some():
    many = result(list(range(100, 300)), (200,))
    assert [each.images for each in batches([many], 200)] == [1, 2, 4, 8, 16, 32, 64]
    assert MOST == 64


def ran(network: Network, images: np.ndarray, count: int, **options: Any) -> list[dict]:
    chosen = ImageSet("test", images[:count, ..., None], None)
    outcome = run(network, chosen, CHIP, arch="chip", backend="cycle", **options)
    return outcome.report.record()["batch"]


@pytest.mark.parametrize(
    "options", [{}, {"copies": 2}, {"mapping": "layers"}], ids=["one", "copies", "layers"]
)
def test_a_batch_is_a_run_of_as_many(small_network, small_images, options):
    images = np.concatenate([small_images[0], small_images[0]])[:8]
    found = ran(small_network, images, 8, **options)
    assert [each["images"] for each in found] == [1, 2, 4, 8]
    for each in found:
        alone = ran(small_network, images, each["images"], **options)[-1]
        assert alone["images"] == each["images"]
        # Alone, no results come behind that the last windows of a pool would let pass: a cycle sooner.
        assert each["cycles"] - 1 <= alone["cycles"] <= each["cycles"]
    per_image = [each["cycles_per_image"] for each in found]
    assert per_image == sorted(per_image, reverse=True)


def test_jobs_tell_of_the_first_simulation(small_network, small_images):
    """Of seven images the first of three simulations has three."""
    found = ran(small_network, small_images[0], 7, jobs=3)
    assert [each["images"] for each in found] == [1, 2]
    assert found == ran(small_network, small_images[0], 7)[:2]


def test_golden_has_none(small_network, small_images):
    outcome = run(
        small_network, ImageSet("test", small_images[0][..., None], None), CHIP, arch="chip", backend="golden"
    )
    assert outcome.report.record()["batch"] == []


def test_table():
    shown = io.StringIO()
    Console(file=shown, width=80).print(batch_table([Batch(1, 2_000), Batch(2, 3_000)]))
    rows = [line.split() for line in shown.getvalue().splitlines()]
    assert ["1", "2,000", "2,000.0", "500,000"] in rows
    assert ["2", "3,000", "1,500.0", "666,667"] in rows
