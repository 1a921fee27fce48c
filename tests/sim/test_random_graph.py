"""Random graphs: legal, reproducible, of every kind, within limits."""

import collections

import numpy as np

from ohmweave.sim import graph_golden
from ohmweave.sim.graph import RAW_BITS, Concat, Conv, Flatten, Select
from ohmweave.sim.graph_nodes import CONCAT_AXES
from ohmweave.sim.random_graph import KINDS, Limits, random_graph


def described(graph):
    """All that a graph is, to be compared."""
    arrays = [[getattr(node, key).tolist() for key in node.ARRAYS] for node in graph.nodes]
    return (graph.tensors, graph.fill, [str(node) for node in graph.nodes], arrays)


def test_random_graphs_use_their_range():
    """A tensor of some size has numbers near both ends of its range, mostly, and so do the graphs have all kinds."""
    kinds, ranges = collections.Counter(), []
    for seed in range(150):
        graph = random_graph(seed)
        assert described(graph) == described(random_graph(seed))
        for node in graph.nodes:
            bits = graph.tensors[node.name].bits
            kinds[type(node).__name__, bits] += 1
            if isinstance(node, Conv):
                kinds["depthwise"] += node.groups > 1 and node.weights.shape[1] == 1
                kinds["grouped"] += node.groups > 1 and node.weights.shape[1] > 1
                for key in ("transposed", "residual"):
                    kinds[key] += bool(getattr(node, key))
                kinds["dilated"] += node.dilation != (1, 1)
                kinds["weights", node.weight_bits] += 1
            if isinstance(node, Select):
                kinds["padded channels"] += bool((node.channels < 0).any())
            if isinstance(node, Concat):
                kinds[node.axis] += 1
                kinds["average"] += f"{node.name}_rows0" in graph.node or f"{node.name}_part0_0" in graph.node
        kinds["fill"] += bool(graph.fill)
        channels, height, width = graph.input.shape
        images = np.random.default_rng(seed).integers(0, 256, (4, height, width, channels)).astype(np.uint8)
        for name, values in graph_golden.activations(graph, images).items():
            if values.size > 100 and not graph.tensors[name].raw:
                ranges.append((int(values.max()) - int(values.min())) / graph.tensors[name].top)
    assert np.median(ranges) > 0.9
    assert np.mean(np.array(ranges) < 0.25) < 0.1
    types = ("Conv", "Add", "SumPool", "MaxPool", "Select", "Concat")
    expected = [(each, bits) for each in types for bits in (4, 8, 16)]
    expected += [("weights", bits) for bits in (4, 8, 16)]
    expected += [(each, RAW_BITS) for each in ("Conv", "Add", "SumPool")]
    expected += ["depthwise", "grouped", "transposed", "residual", "dilated", "padded channels", "fill"]
    expected += [*CONCAT_AXES, "average"]
    assert not [each for each in expected if kinds[each] < 3]


def test_random_graphs_keep_to_limits():
    limits = Limits(
        steps=8,
        channels=4,
        size=6,
        max_kernel=3,
        max_stride=2,
        max_dilation=1,
        input_bits=(4,),
        bits=(4, 8),
        weight_bits=(8,),
        kinds=tuple(kind for kind in KINDS if kind not in ("transposed", "flatten")),
        zero_points=False,
    )
    for seed in range(100):
        graph = random_graph(seed, limits)
        assert graph.input.bits == 4
        assert not graph.fill
        for tensor in graph.tensors.values():
            assert tensor.shape[0] <= 4
            assert max(tensor.shape[1:]) <= 6
            assert tensor.bits in (4, 8) or tensor is graph.output
            assert tensor.zero_point == 0
        for node in graph.nodes:
            assert not isinstance(node, Flatten)
            if isinstance(node, Conv):
                assert not node.transposed
                assert max(node.kernel) <= 3
                assert max(node.stride) <= 2
                assert node.dilation == (1, 1)
                assert node.weight_bits == 8
