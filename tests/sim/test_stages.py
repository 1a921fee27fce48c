"""Graphs as stages, cut up for PEs: the arithmetic of the shares put together is that of the golden model."""

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.graph import from_network
from ohmweave.sim.merging import merged
from ohmweave.sim.network import builtin
from ohmweave.sim.random_graph import Limits, random_graph
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
            values[name] = run_stage(tile(merged(step, pe), pe), values[step.main.name], side)
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
    # Windows, dilated ones too, of at most 7 places a side.
    graph = random_graph(seed, Limits(max_dilation=1) if seed % 2 else Limits(max_kernel=4))
    shape = graph.input.shape
    random = np.random.default_rng(seed)
    check(graph, PRESETS["re-reram"].pe, random.integers(0, 256, (2, *shape[1:], shape[0]), np.uint8))
