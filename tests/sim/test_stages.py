"""Graphs as stages, cut up for PEs: the arithmetic of the shares put together is that of the golden model."""

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.frames import flits_per_frame, pack, unpack
from ohmweave.sim.graph import from_network
from ohmweave.sim.network import builtin
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.stages import Stage, arrange, steps
from ohmweave.sim.tiling import tile
from ohmweave.testbench.stage_model import run_stage


def check(graph, pe, images):
    expected = {
        name: values.transpose(0, 2, 3, 1) for name, values in graph_golden.activations(graph, images).items()
    }
    values = {graph.input.name: expected[graph.input.name]}
    for step in steps(graph):
        if isinstance(step, Stage):
            name = step.result.name
            side = None if step.side is None else values[step.side.name]
            values[name] = run_stage(tile(step, pe), values[step.main.name], side)
        else:
            name = step.name
            values[name] = arrange(graph, step, values)
        if name in expected:
            np.testing.assert_array_equal(values[name], expected[name], name)
    np.testing.assert_array_equal(values[graph.output.name], expected[graph.output.name])


def test_lenet5():
    random = np.random.default_rng(3)
    check(
        from_network(builtin("lenet5")),
        PRESETS["re-reram"].pe,
        random.integers(0, 256, (2, 28, 28), np.uint8),
    )


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    graph = random_graph(seed)
    shape = graph.input.shape
    random = np.random.default_rng(seed)
    check(graph, PRESETS["re-reram"].pe, random.integers(0, 256, (2, *shape[1:], shape[0]), np.uint8))


def test_numbers_on_a_link():
    """Packed lowest bits first, without gaps, and unpacked again; signed sums too."""
    random = np.random.default_rng(1)
    for link_bits in (16, 32, 64):
        small, large = random.integers(0, 16, (3, 5, 7)), random.integers(0, 1 << 16, (3, 5, 2))
        flits = pack([(small, 4), (large, 16)], link_bits)
        for frame in range(3):
            stream = place = 0
            for pixel in range(5):
                for number, bits in [(n, 4) for n in small[frame, pixel]] + [
                    (n, 16) for n in large[frame, pixel]
                ]:
                    stream |= int(number) << place
                    place += bits
            assert sum(int(flit) << (link_bits * n) for n, flit in enumerate(flits[frame])) == stream
        assert flits_per_frame(10, 16, link_bits) == pack([(large, 16)], link_bits).shape[1]
        np.testing.assert_array_equal(unpack(pack([(large, 16)], link_bits), 10, 16), large.reshape(3, -1))
        sums = random.integers(-(2**47), 2**47, (2, 4, 1))
        flits = pack([(sums & (2**48 - 1), 48)], link_bits)
        np.testing.assert_array_equal(unpack(flits, 4, 48, signed=True), sums.reshape(2, -1))
