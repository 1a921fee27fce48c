"""Single layers on the netlist: outputs against golden, cycles against bounds worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.compiler import tiled
from ohmweave.sim.layer_bench import (
    LAYERS,
    POOLED,
    Layer,
    bounds,
    layer_graph,
    layer_images,
    layer_params,
    measure_layer,
)
from ohmweave.sim.stages import stages

PARAMS = layer_params(PRESETS["re-reram"], 16)


def bound(layer):
    params = layer_params(PRESETS["re-reram"], layer.link_bits)
    return bounds(tiled(stages(layer_graph(layer))[0], params), params.pe)


def layer(name):
    return next(each for each in LAYERS if each.name == name)


def test_bounds_by_hand():
    found = bound(layer("7×7/2 3→64 (224)"))
    assert (found.arrays, found.partials, found.binding) == (112 * 112 * 4 * 6, 0, "arrays")
    assert found.input == 224 * 224 * 3 * 4 // 16
    assert found.output == 112 * 112 * 64 * 4 // 16
    found = bound(layer("3×3 512→512 (7)"))
    # Two rows of four PEs at once, each with half of the channels.
    assert found.arrays == 49 * 16 * 6
    assert found.input == 49 * 128
    assert found.binding == "partials"
    assert found.partials in [49 * 256 * bits // 16 for bits in (16, 20)]


def test_the_ends_bind_no_layer():
    """Links are wide enough for frames and results; the fully connected layer's few flits are beside one window."""
    for each in LAYERS[:-1]:
        found = bound(each)
        assert found.binding in ("arrays", "partials"), each.name
        if each.link_bits > 16:
            assert bound(replace(each, link_bits=16)).binding in ("input", "output"), each.name


@pytest.mark.parametrize("each", [*LAYERS[3:6], LAYERS[-2]], ids=lambda each: each.name)
def test_outputs_use_all_numbers(each):
    """Or equal outputs would say little: no channel is the same everywhere, and every number is often there."""
    values = graph_golden.activations(layer_graph(each), layer_images(each, 1), ["layer"])["layer"]
    assert (values.reshape(each.outputs, -1).std(axis=1) > 0).all()
    assert np.bincount(values.reshape(-1), minlength=16).min() > 0.01 * values.size


@pytest.mark.parametrize(
    "small",
    [
        Layer(name="3×3", channels=8, outputs=8, size=12, kernel=3),
        Layer(name="3×3/2", channels=8, outputs=16, size=12, kernel=3, stride=2),
        Layer(name="rows over two PEs, pooled", channels=16, outputs=8, size=8, kernel=3, pool=True),
        Layer(name="rows and columns over four PEs", channels=16, outputs=32, size=8, kernel=3),
        Layer(name="more than the chip's PEs", channels=16, outputs=48, size=8, kernel=3, pool=True),
        Layer(name="columns over two PEs", channels=32, outputs=20, size=1, logits=True),
    ],
    ids=lambda small: small.name,
)
def test_small_layers(small):
    measured = measure_layer(small, PRESETS["tiny"])
    assert measured.wrong == 0
    _, height, width = stages(layer_graph(small))[0].result.shape
    assert measured.outputs == 3 * small.outputs * height * width
    # Three frames are two intervals. No vectors of a next frame go before the windows of the last one: where they are
    # pooled, each pass ends so much sooner.
    sooner = 41 * measured.passes if small.pool else 0
    assert measured.interval == measured.bounds.cycles - sooner / 2
    assert measured.waits_for_arithmetic >= 0


@pytest.mark.nightly
@pytest.mark.parametrize("each", LAYERS, ids=lambda each: each.name)
def test_layers_of_full_size(each):
    measured = measure_layer(each, layer_params(PRESETS["re-reram"], each.link_bits))
    assert measured.wrong == 0
    assert measured.ratio <= each.target


@pytest.mark.nightly
@pytest.mark.parametrize("each", POOLED, ids=lambda each: each.name)
def test_pools_of_full_size(each):
    params = layer_params(PRESETS["re-reram"], each.link_bits)
    pooled, plain = (measure_layer(replace(each, pool=pool), params) for pool in (True, False))
    assert pooled.wrong == plain.wrong == 0
    assert pooled.interval <= 1.02 * plain.interval
