"""Sense units of few bits: they clip and drop bits in the netlist as in the golden model."""

from dataclasses import replace

import numpy as np
import pytest

from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.golden import logits
from ohmweave.sim.graph import from_network
from ohmweave.sim.stages import stages


def chip(**adc: int) -> GroupParams:
    tiny = PRESETS["tiny"]
    return replace(tiny, pe=replace(tiny.pe, array=replace(tiny.pe.array, **adc)))


@pytest.mark.parametrize("adc", [{"adc_bits": 8}, {"adc_drop": 3}, {"adc_bits": 6, "adc_drop": 2}], ids=str)
def test_netlist_is_golden(adc, small_network, small_images):
    params = chip(**adc)
    images = small_images[0][:3]
    expected = logits(small_network, images, array=params.pe.array)
    assert (expected != logits(small_network, images)).any(), "the sense units must make a difference"
    program = compile_chain([tiled(stage, params) for stage in stages(from_network(small_network))], params)
    job = Job.of(program, program.encode(images[..., None] >> 4))
    result = simulate(params, job, "pysim")
    np.testing.assert_array_equal(program.decode(result.outputs).reshape(expected.shape), expected)
