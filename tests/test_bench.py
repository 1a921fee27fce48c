"""The benchmark's own parts; nothing here is asserted about seconds."""

import dataclasses
import json

import numpy as np
import pytest

from ohmweave.bench import Row, busy_network, write
from ohmweave.presets import PRESETS
from ohmweave.sim import golden
from ohmweave.sim.compiler import compile_network


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


def test_busy_network_keeps_its_array_reading():
    """It fills all wordlines, more flits could come than are needed, and it fits a chip of four PEs."""
    network = busy_network()
    params = dataclasses.replace(PRESETS["re-reram"], levels=1)
    compile_network(network, params)
    array, layer = params.pe.array, network.layers[0]
    assert layer.rows == array.rows
    reads = -(-layer.out_channels // array.columns_at_once)
    flits = layer.in_channels * params.pe.buffer.act_bits // params.pe.link_bits
    assert flits < reads * array.read_cycles
    # Its activations are not all clipped: what the array computes reaches the second layer.
    images = np.random.default_rng(1).integers(0, 256, (2, 12, 12, 128)).astype(np.uint8)
    first, logits = golden.activations(network, images)
    assert (first < 15).mean() > 0
    assert (logits[0] != logits[1]).any()
