"""Networks larger than the chip, a part of them at a time: outputs, what is chosen, what is reported and refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from mapping_graphs import LIMITS, conv, residual

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import library
from ohmweave.sim.graph import RAW_BITS, Graph, Tensor
from ohmweave.sim.images import ImageSet
from ohmweave.sim.mapping import parts as parts_module
from ohmweave.sim.mapping.connect import connected, crossings
from ohmweave.sim.mapping.mapped import mapped, whole_run
from ohmweave.sim.mapping.parts import parted
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.run import run

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
SEED = 3


def images_of(graph: Graph, count: int = 3) -> ImageSet:
    channels, height, width = graph.input.shape
    random = np.random.default_rng(SEED)
    return ImageSet("random", random.integers(0, 256, (count, height, width, channels), dtype=np.uint8), None)


def larger_than_the_chip(count: int) -> list[tuple[int, Graph]]:
    """Random graphs that only fit in parts, those of the most parts first."""
    found = []
    for seed in range(60):
        graph = random_graph(seed, LIMITS)
        try:
            mapped(graph, TINY)
        except OhmweaveError:
            try:
                found.append((len(parted(graph, TINY).parts), seed, graph))
            except OhmweaveError:
                continue
    found.sort(key=lambda each: -each[0])
    assert len(found) >= count
    return [(seed, graph) for _, seed, graph in found[:count]]


@pytest.mark.parametrize(("backend", "count"), [("cycle", 6), ("cxxrtl", 3)])
def test_random_graphs(backend, count):
    for seed, graph in larger_than_the_chip(count):
        print(f"seed {seed}")
        report = run(graph, images_of(graph), TINY, arch="tiny", backend=backend).report
        assert (report.mapping, report.mismatches) == ("parts", 0)
        assert len(report.parts) > 1
        names = [name for part in report.parts for name in part]
        assert names == [layer.name for layer in report.layers] == [stage.name for stage in connected(graph)]


def test_resnet20():
    """23 stages on 16 PEs, in two parts: as many cycles as these, more than ten times fewer than layer by layer."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    images = images_of(graph, 2)
    found = parted(graph, FULL)
    parts, layers = (
        run(graph, images, FULL, arch="re-reram", backend="cycle", mapping=mapping).report
        for mapping in ("auto", "layers")
    )
    assert (parts.mapping, layers.mapping) == ("parts", "layers")
    assert (parts.mismatches, layers.mismatches) == (0, 0)
    assert parts.cycles is not None
    assert layers.cycles is not None
    assert parts.cycles.interval == found.interval == 6144 + 2048
    # Of both parts, each found empty.
    assert parts.cycles.latency == 12_346
    assert parts.cycles.interval * 10 < layers.cycles.interval
    assert [(names[0], names[-1]) for names in parts.parts] == [
        ("stem", "block4_conv2"),
        ("block5_conv1", "fc"),
    ]
    cells = FULL.pe.array.rows * FULL.pe.array.cols
    assert parts.written == cells * sum(len(part.pieces) for part in found.parts)
    assert layers.written == cells * sum(layer.pes for layer in layers.layers)


def test_the_fewest_cycles():
    """Against all ways to cut a line at some of its places."""
    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    for _ in range(50):
        places = sorted(random.choice(20, 6, replace=False).tolist())
        runs = list(itertools.combinations(places, 2))
        costs = {run: float(random.integers(1, 20)) for run in runs if random.random() < 0.7}
        ways = []
        for count in range(len(places) - 1):
            for inner in itertools.combinations(places[1:-1], count):
                way = list(itertools.pairwise([places[0], *inner, places[-1]]))
                if all(run in costs for run in way):
                    ways.append((sum(costs[run] for run in way), len(way)))
        found = parts_module._fewest_cycles(places, costs)
        assert (found is None) == (not ways)
        if found is not None:
            assert (sum(costs[run] for run in found), len(found)) == min(ways)


def test_a_part_whose_links_run_out(monkeypatch):
    """It is left out, and the others are chosen anew."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    first = parted(graph, FULL)
    names = [part.pieces[-1].stage.name for part in first.parts]

    def crowded(graph, params, run, aim):
        made = whole_run(graph, params, run, aim)
        if connected(graph)[run[1] - 1].name != names[0]:
            return made

        def lay_out():
            raise OhmweaveError("links")

        return replace(made, lay_out=lay_out)

    monkeypatch.setattr(parts_module, "whole_run", crowded)
    second = parted(graph, FULL)
    assert second.parts[0].pieces[-1].stage.name != names[0]
    assert second.interval >= first.interval


def test_where_a_network_can_be_cut():
    """Not past a shortcut, and not behind sums that are not scaled."""
    small = {"ins": 4, "outs": 4}
    raw = {"bits": RAW_BITS, "mult": np.zeros(0, np.uint16), "shift": np.zeros(0, np.int8)}
    nodes = (
        conv("one", "image", **small),
        conv("two", "one", **small),
        conv("three", "two", **small, **residual("one")),
        conv("logits", "three", kernel=1, **small, **raw),
    )
    graph = Graph(name="short", input=Tensor(name="image", shape=(4, 6, 6), bits=4), nodes=nodes)
    found = crossings(connected(graph))
    assert {number: tensor.name for number, tensor in found.items()} == {
        0: "image",
        1: "one",
        3: "three",
        4: "logits",
    }


def test_refusals(tmp_path):
    network = library.builtin("resnet20-w4a4")
    images = images_of(network, 1)
    with pytest.raises(OhmweaveError) as error:
        run(network, images, FULL, arch="re-reram", mapping="parts", waves=tmp_path / "a.vcd")
    assert (
        str(error.value) == "waveforms are of one configuration of the chip, and this network needs several"
    )
    with pytest.raises(OhmweaveError) as error:
        run(network, images, FULL, arch="re-reram", mapping="parts", copies=2)
    assert str(error.value) == (
        "copies are of networks whose layers all fit the chip at once, and resnet20_w4a4 runs in parts"
    )
    with pytest.raises(OhmweaveError) as error:
        parted(network, TINY)
    assert str(error.value) == (
        "resnet20_w4a4 cannot run in parts, of which one is too large: stem does not fit a PE: in_width must be a "
        "whole number from 1 to 16, not 32"
    )
    # Two PEs for each convolution of 3×3 pixels: five between the ends of a shortcut.
    raw = {"bits": RAW_BITS, "mult": np.zeros(0, np.uint16), "shift": np.zeros(0, np.int8)}
    nodes = (
        conv("one", "image", ins=4),
        conv("two", "one"),
        conv("three", "two"),
        conv("four", "three", kernel=1, **residual("one", 16)),
        conv("logits", "four", kernel=1, outs=4, **raw),
    )
    graph = Graph(name="wide", input=Tensor(name="image", shape=(4, 6, 6), bits=4), nodes=nodes)
    with pytest.raises(OhmweaveError) as error:
        parted(graph, TINY)
    assert str(error.value) == (
        "wide cannot run in parts, of which one from two to four is too large: wide needs 5 PEs for all its stages at "
        "once, 1 more than the 4 of the chip"
    )
    assert run(graph, images_of(graph), TINY, arch="tiny", backend="cycle").report.mapping == "layers"
