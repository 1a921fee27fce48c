"""The compiler and the program it makes."""

import dataclasses
import itertools

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.group import mesh_position
from ohmweave.rtl.network.tree_node import NodeRegister
from ohmweave.sim.compiler import compile_network
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.program import packets

FULL = PRESETS["re-reram"]
TINY = PRESETS["tiny"]


def layer(name: str, out: int, channels: int, kernel: int, **more: object) -> ConvLayer:
    rng = np.random.default_rng(1)
    return ConvLayer(
        name=name,
        weights=rng.integers(-8, 8, (out, channels, kernel, kernel)).astype(np.int8),
        bias=np.zeros(out, np.int32),
        mult=np.ones(out, np.uint16),
        shift=np.ones(out, np.uint8),
        **more,
    )


def network(*layers: ConvLayer, size: tuple[int, int, int] = (1, 5, 5), **more: object) -> Network:
    return Network(name="net", input_shape=size, layers=layers, **more)


def with_array(params: GroupParams, **changes: object) -> GroupParams:
    array = dataclasses.replace(params.pe.array, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(params, pe=dataclasses.replace(params.pe, array=array))


def parse(config: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """Unit → writes, from configuration flits."""
    words = [int(word) & 0xFFFF for word in config]
    writes: dict[int, list[tuple[int, int]]] = {}
    while words:
        unit, start, count, *words = words
        writes.setdefault(unit, []).extend((start + n, word) for n, word in enumerate(words[:count]))
        words = words[count:]
    return writes


def test_packets_join_runs_of_addresses() -> None:
    flits = packets(3, [(4, 10), (5, 11), (9, 12)])
    assert all(flit >> 16 == 1 for flit in flits)
    assert [flit & 0xFFFF for flit in flits] == [3, 4, 2, 10, 11, 3, 9, 1, 12]
    assert packets(3, []) == []


def test_layers_are_on_neighbouring_pes() -> None:
    layers = [layer(f"l{n}", 1, 1, 1) for n in range(15)] + [layer("end", 2, 1, 1, raw=True)]
    program = compile_network(network(*layers, size=(1, 1, 1)), FULL)
    units = [unit for stage in program.stages for unit in stage.units]
    assert sorted(units) == list(range(16))
    for before, after in itertools.pairwise(units):
        (x0, y0), (x1, y1) = mesh_position(before), mesh_position(after)
        assert abs(x0 - x1) + abs(y0 - y1) == 1


def test_trees_lead_to_the_first_and_from_the_last_pe() -> None:
    program = compile_network(network(layer("a", 2, 1, 5), layer("b", 3, 2, 1, raw=True)), FULL)
    writes = parse(program.config)
    first, last = program.stages[0].units[0], program.stages[-1].units[0]
    for unit, register, encode in (
        (first, NodeRegister.CHILDREN, lambda child: 1 << child),
        (last, NodeRegister.SELECT, lambda child: child + 1),
    ):
        assert dict(writes[0x100])[register] == encode(unit // 4)
        assert dict(writes[0x101 + unit // 4])[register] == encode(unit % 4)


def test_levels_follow_the_window() -> None:
    """Row (column·k + row)·L + channel holds the weight, 8 added; all else is level 0."""
    net = network(layer("a", 5, 3, 3, raw=True), size=(3, 3, 3))
    program = compile_network(net, FULL)
    (levels,) = program.levels.values()
    weights = net.layers[0].weights
    expected = np.zeros((1152, 256), np.uint8)
    for o, c, i, j in np.ndindex(weights.shape):
        expected[(j * 3 + i) * 128 + c, o] = weights[o, c, i, j] + 8
    np.testing.assert_array_equal(levels, expected)


def test_encode_packs_the_top_bits_without_gaps() -> None:
    program = compile_network(network(layer("a", 2, 3, 1, raw=True), size=(3, 1, 1)), FULL)
    flits = program.encode(np.array([[[[0x1F, 0x2E, 0xF0]]]], np.uint8))
    assert flits.tolist() == [[0x0F21]]


def test_decode_joins_halves() -> None:
    program = compile_network(network(layer("a", 2, 3, 1, raw=True), size=(3, 1, 1)), FULL)
    assert program.outputs_per_frame == 4
    logits = program.decode(np.array([[0xFFFF, 0xFFFF, 0x0001, 0x0002]], np.uint16))
    assert logits.tolist() == [[-1, 0x20001]]


def test_array_config_programs_every_row() -> None:
    program = compile_network(network(layer("a", 2, 1, 5, raw=True)), TINY)
    writes = parse(program.array_config())
    (unit,) = program.levels
    rows = [word for address, word in writes[unit] if address == 0x4FFF]
    assert rows == list(range(TINY.pe.array.rows))


@pytest.mark.parametrize(
    ("net", "params", "sentence"),
    [
        (
            lambda: network(
                *(layer(f"l{n}", 1, 1, 1) for n in range(4)), layer("e", 2, 1, 1, raw=True), size=(1, 1, 1)
            ),
            TINY,
            "net needs 5 PEs, one a layer, and the chip has 4",
        ),
        (
            lambda: network(layer("a", 17, 1, 5, raw=True)),
            TINY,
            "layer a does not fit a PE: its output channels must be at most 16, not 17",
        ),
        (
            lambda: network(layer("a", 2, 3, 5, raw=True), size=(3, 5, 5)),
            TINY,
            "layer a does not fit a PE: channels of a 5×5 kernel must be a whole number from 1 to 2, not 3",
        ),
        (
            lambda: network(layer("a", 2, 1, 1, pool=5), layer("b", 2, 2, 1, raw=True)),
            TINY,
            "layer a does not fit a PE: its pool must be at most 4, not 5",
        ),
        (
            lambda: network(layer("a", 2, 1, 5, raw=True), input_bits=8),
            TINY,
            "net must have inputs and activations of 4 bits, not 8 and 4",
        ),
        (
            lambda: network(layer("a", 2, 1, 5, raw=True), weight_bits=8),
            TINY,
            "net must have weights of at most 4 bits, not 8",
        ),
        (
            lambda: network(layer("a", 2, 1, 5, raw=True)),
            with_array(TINY, sign_scheme="pairs"),
            "sign_scheme must be offset to run a network, not pairs: weights on a pair of columns are not compiled "
            "yet",
        ),
        (
            lambda: network(layer("a", 2, 1, 5, raw=True)),
            dataclasses.replace(FULL, pe=dataclasses.replace(FULL.pe, link_bits=32, result_lanes=8)),
            "link_bits must be 16 to run a network, not 32: wider links are emitted only",
        ),
        (
            lambda: network(
                layer("a", 2, 1, 1, stride=4, pool=4),
                layer("b", 2, 2, 7, stride=4),
                layer("c", 2, 2, 2, stride=4, raw=True),
                size=(1, 300, 224),
            ),
            FULL,
            "layer a does not fit a PE: its input must have at most 65536 pixels, not 300×224",
        ),
    ],
)
def test_refusals(net, params, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OhmweaveError) as caught:
        compile_network(net(), params)
    assert str(caught.value) == sentence


def test_wrong_images_are_refused() -> None:
    program = compile_network(network(layer("a", 2, 1, 5, raw=True)), TINY)
    with pytest.raises(OhmweaveError, match=r"^images must be uint8 of 5×5×1, not uint8 of 4×5×1$"):
        program.encode(np.zeros((1, 4, 5), np.uint8))
