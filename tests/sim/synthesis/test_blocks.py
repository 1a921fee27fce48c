"""Blocks by name, and `--set`."""

import dataclasses
from importlib import import_module

import pytest

from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams
from ohmweave.sim.backends import chip_source
from ohmweave.sim.synthesis.block_list import BLOCKS
from ohmweave.sim.synthesis.blocks import block_source, settings

TINY = load_architecture("tiny")


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("arch", ["tiny", "re-reram", "re-reram-256"])
def test_every_block_is_there(arch, block):
    architecture = load_architecture(arch)
    where, arguments = BLOCKS[block]
    module, _, name = where.rpartition(".")
    getattr(import_module(module), name)(**arguments(architecture))


def test_settings_reach_the_component():
    assert settings(TINY, "router") == {"link_bits": 16, "inputs": 5, "outputs": 8, "registered_ready": False}
    component = block_source(TINY, "router", ["inputs=2", "outputs=0x3"]).make()
    assert (len(component.i), len(component.o)) == (2, 3)
    assert settings(TINY, "conv_buffer") == dataclasses.asdict(TINY.params.pe.buffer)
    component = block_source(TINY, "conv_buffer", ["lanes=16", "window_lanes=144"]).make()
    assert component._params == BufferParams(lanes=16, width=16, banks=6, act_bits=4, window_lanes=144)
    component = block_source(TINY, "reram_half", ["array.adc_bits=5", "link_bits=32"]).make()
    assert (component.params.array.adc_bits, component.params.link_bits) == (5, 32)


def test_sources_are_told_apart():
    keys = [block_source(TINY, "router", given).key for given in ([], ["inputs=2"], ["inputs=3"])]
    assert len({*keys, block_source(TINY, "switch").key}) == 4
    assert block_source(TINY, "chip").key == chip_source(TINY.params, TINY.memory).key
    assert block_source(TINY, "router").top == "router"


@pytest.mark.parametrize(
    ("block", "given", "sentence"),
    [
        ("nope", "", f"the block must be one of {', '.join(BLOCKS)}, not 'nope'"),
        ("router", "inputs", "--set must be NAME=VALUE, not 'inputs'"),
        (
            "router",
            "x=1",
            "the block router has no parameter 'x'; it takes link_bits, inputs, outputs, registered_ready",
        ),
        ("router", "inputs=many", "inputs must be a whole number, not 'many'"),
        ("router", "inputs=2.5", "inputs must be a whole number, not '2.5'"),
        ("pe", "array.adc_bits=x", "array.adc_bits must be a whole number or lossless, not 'x'"),
        ("conv_buffer", "lanes=20", "lanes must be a multiple of 8, not 20"),
        ("conv_buffer", "lanes=16", "rows must be at least 9 × lanes, not 72 with 16 lanes"),
    ],
)
def test_refused(block, given, sentence):
    with pytest.raises(OhmweaveError) as error:
        block_source(TINY, block, [given] if given else [])
    assert str(error.value) == sentence


def test_what_a_component_refuses():
    with pytest.raises(OhmweaveError, match=r"^Router link_bits must be a whole number from "):
        block_source(TINY, "router", ["link_bits=0"]).make()
