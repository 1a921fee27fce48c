"""Several copies of a network on one chip, which take images in turn."""

import dataclasses

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim.compiler import compile_chain, copy_pes, tiled
from ohmweave.sim.copies import copied
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor, from_network
from ohmweave.sim.graph_golden import logits
from ohmweave.sim.images import ImageSet
from ohmweave.sim.library import builtin
from ohmweave.sim.run import Outcome, run
from ohmweave.sim.stages import stages

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]


def network(convolutions: int = 1, size: int = 6, *, whole: bool = True, residual: bool = False) -> Graph:
    """Convolutions of two channels, and a last layer that sees the whole map, or with `whole` false one pixel."""
    random = np.random.default_rng(convolutions)
    nodes = []
    for n in range(convolutions):
        conv = Conv(
            name=f"conv{n}",
            input=f"conv{n - 1}" if n else "image",
            weights=random.integers(-8, 8, (2, 2, 3, 3)).astype(np.int16),
            weight_bits=4,
            pads=(1,) * 4,
            bias=random.integers(-50, 50, 2),
            mult=np.full(2, 900, np.uint16),
            shift=np.full(2, 14, np.int8),
            bits=4,
        )
        nodes.append(conv)
    more = {"residual": "conv0", "in_mult": np.ones(2, np.uint16), "in_shift": np.zeros(2, np.int8)}
    shape = (2, 2, size, size) if whole and not residual else (2, 2, 1, 1)
    last = Conv(
        name="logits", input=nodes[-1].name, weights=random.integers(-8, 8, shape).astype(np.int16), weight_bits=4,
        bias=np.zeros(2, np.int64), bits=RAW_BITS, **(more if residual else {}),
    )  # fmt: skip
    return Graph(name="net", input=Tensor(name="image", shape=(2, size, size), bits=4), nodes=(*nodes, last))


def images(graph: Graph, count: int) -> ImageSet:
    channels, height, width = graph.input.shape
    pixels = np.random.default_rng(3).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return ImageSet("random", pixels, None)


def ran(graph: Graph, count: int, **options: object) -> Outcome:
    """A run whose outputs are golden's."""
    taken = images(graph, count)
    outcome = run(graph, taken, TINY, arch="tiny", **options)  # type: ignore[arg-type]
    assert (outcome.logits == logits(graph, taken.pixels)).all()
    assert outcome.report.mismatches == 0
    return outcome


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("copies", [2, 3, 4])
def test_any_number_of_images(copies: int, count: int) -> None:
    """Also fewer than copies, and numbers that leave some copies with one image more."""
    outcome = ran(network(), count, copies=copies)
    assert [layer.pes for layer in outcome.report.layers] == [copies]


def test_images_follow_sooner() -> None:
    """Two layers on one PE: with four PEs images leave in a quarter of the time, but for the link into the chip."""
    # 36 windows of two pixels a read, and the last layer's one of 36 pixels; 72 numbers an image.
    one, flits = (18 + 1) * TINY.pe.array.read_cycles, 36 * 2 * 4 // 16
    # From the first layer's last read to the second's, which nothing hides.
    way = 21
    for copies in (2, 4):
        cycles = ran(network(), 40, copies=copies).report.cycles
        assert cycles is not None
        assert cycles.interval is not None
        assert cycles.interval == max((one + way) / copies, flits)


def test_as_many_as_make_it_faster() -> None:
    outcome = ran(network(), 8, copies=None)
    assert [layer.pes for layer in outcome.report.layers] == [4]
    # Results that fill the link out of the chip leave no sooner from several copies: one, with a PE for each layer.
    outcome = ran(network(size=9, whole=False), 4, copies=None)
    assert [layer.pes for layer in outcome.report.layers] == [1, 1]


def test_shards_begin_with_the_first_copy() -> None:
    one, two = (ran(network(), 7, copies=4, jobs=jobs) for jobs in (1, 2))
    assert (one.logits == two.logits).all()


@pytest.mark.parametrize("backend", [pytest.param("verilator", marks=pytest.mark.nightly), "icarus", "pysim"])
def test_simulators_agree(backend: str) -> None:
    one, other = (ran(network(), 5, copies=4, backend=each).report for each in ("cxxrtl", backend))
    assert one.cycles == other.cycles
    assert one.layers == other.layers


def test_blocks_of_several_pes() -> None:
    """A copy of four stages takes four PEs with branches of the trees of their own."""
    assert [copy_pes(layers) for layers in (1, 2, 4, 5, 16, 17)] == [1, 4, 4, 16, 16, 64]
    graph = network(3)
    params = dataclasses.replace(TINY, levels=2)
    program = compile_chain([tiled(stage, params) for stage in stages(graph)], params, copies=4)
    assert [stage.units for stage in program.stages] == [
        (0, 4, 8, 12), (1, 5, 9, 13), (3, 7, 11, 15), (2, 6, 10, 14)
    ]  # fmt: skip
    taken = images(graph, 9)
    outcome = run(graph, taken, params, arch="16 tiny PEs", copies=4)
    assert (outcome.logits == logits(graph, taken.pixels)).all()


@pytest.mark.parametrize(("levels", "count"), [(1, 1), (2, 4), (3, 12), (4, 12)])
def test_lenet(levels: int, count: int) -> None:
    """Four PEs a copy, two fully connected layers on one; the link into the chip feeds 12: 196 flits an image."""
    params = dataclasses.replace(FULL, levels=levels)
    graph = from_network(builtin("lenet5"))
    found = copied([tiled(stage, params) for stage in stages(graph)], params, None)
    assert found.count == count
    if count > 1:
        assert [layer.pes for layer in found.layers] == [1, 1, 1, 1]


def test_refusals() -> None:
    graph = network()
    with pytest.raises(OhmweaveError, match=r"^5 copies of 2 stages do not fit the chip of 4 PEs$"):
        run(graph, images(graph, 1), TINY, arch="tiny", copies=5)
    side = network(2, residual=True)
    sentence = (
        "copies are of networks whose layers all fit the chip at once, and net runs in parts: "
        "net needs 3 PEs for all its stages at once, 1 more than the 2 of the chip"
    )
    with pytest.raises(OhmweaveError, match=f"^{sentence}$"):
        run(side, images(side, 1), TINY, arch="tiny", copies=2)
    made = [tiled(stage, TINY) for stage in stages(graph)]
    with pytest.raises(OhmweaveError, match=r"^2 copies of 2 stages need 8 PEs, and the chip has 4$"):
        compile_chain(made, TINY, copies=2)
