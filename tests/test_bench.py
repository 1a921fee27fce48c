"""The benchmark's own parts; nothing here is asserted about seconds."""

import dataclasses
import json

import pytest

from ohmweave.bench import BUSY_SHAPE, Row, busy_job, write
from ohmweave.presets import PRESETS


def row(**changes):
    return Row(**({"name": "x", "what": "figure", "value": 2.0, "unit": "s", "target": 3.0} | changes))


@pytest.mark.parametrize(
    ("value", "at_most", "met"),
    [(2.0, True, True), (3.0, True, True), (3.1, True, False), (3.1, False, True), (2.0, False, False)],
)
def test_met(value, at_most, met):
    assert row(value=value, at_most=at_most).met is met


def test_file(tmp_path):
    path = write(tmp_path / "deep", [row(details={"a": 1.0}), row(value=9.0)])
    record = json.loads(path.read_text())
    assert path.name == "bench.json"
    assert [entry["met"] for entry in record["rows"]] == [True, False]
    assert record["rows"][0]["details"] == {"a": 1.0}


def test_busy_job_keeps_the_array_reading():
    """It fills the array, and the links carry more than is needed."""
    params = dataclasses.replace(PRESETS["re-reram"], levels=0)
    job = busy_job(params, 2)
    array, pixels = params.pe.array, BUSY_SHAPE[1] * BUSY_SHAPE[2]
    (levels,) = job.levels.values()
    assert levels.shape == (array.rows, array.cols)
    assert levels.any(axis=0).all()
    assert levels.any(axis=1).all()
    reading = pixels * array.colmux * array.read_cycles
    assert job.frames.shape[1] < reading
    assert job.outputs_per_frame < reading
    assert len(job.frames) == 2
