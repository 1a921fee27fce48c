"""The compiler and the programs it makes: chains of stages, and single passes of one."""

import dataclasses
import itertools

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.group import mesh_position
from ohmweave.rtl.network.tree_node import NodeRegister
from ohmweave.rtl.switch import SwitchInput, SwitchOutput
from ohmweave.sim.compiler import compile_chain, compile_pass, is_chain, tiled
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, MaxPool, Node, Tensor
from ohmweave.sim.program import Program, packets
from ohmweave.sim.stages import stages
from ohmweave.sim.tiling import Tiling

FULL = PRESETS["re-reram"]
TINY = PRESETS["tiny"]
ROOT, QUADS = 0x100, 0x101


def conv(
    name: str,
    input: str,
    out: int,
    channels: int,
    kernel: int | tuple[int, int],
    *,
    bits: int = 4,
    weight_bits: int = 4,
    **more: object,
) -> Conv:
    rng = np.random.default_rng(1)
    rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    half = 1 << weight_bits - 1
    scale = {} if bits == RAW_BITS else {"mult": np.ones(out, np.uint16), "shift": np.ones(out, np.int8)}
    return Conv(
        name=name,
        input=input,
        weights=rng.integers(-half, half, (out, channels, rows, columns)).astype(np.int16),
        weight_bits=weight_bits,
        bias=np.zeros(out, np.int64),
        bits=bits,
        **scale,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def raw(
    name: str, input: str, out: int, channels: int, kernel: int | tuple[int, int], **more: object
) -> Conv:
    return conv(name, input, out, channels, kernel, bits=RAW_BITS, **more)  # type: ignore[arg-type]


def graph(*nodes: Node, shape: tuple[int, int, int] = (1, 5, 5), bits: int = 4) -> Graph:
    return Graph(name="net", input=Tensor(name="image", shape=shape, bits=bits), nodes=nodes)


def tilings(net: Graph, params: GroupParams) -> list[Tiling]:
    return [tiled(stage, params) for stage in stages(net)]


def chain(net: Graph, params: GroupParams) -> Program:
    made = tilings(net, params)
    assert is_chain(net, made, params)
    return compile_chain(made, params)


def passes(net: Graph, params: GroupParams) -> list[Program]:
    """All passes of all stages."""
    made = tilings(net, params)
    return [compile_pass(each, number, params) for each in made for number in range(len(each.rounds))]


def parse(config: np.ndarray) -> dict[int, dict[int, int]]:
    """Unit → address → the word written last, from configuration flits."""
    assert all(int(flit) >> 16 == 1 for flit in config)
    words = [int(word) & 0xFFFF for word in config]
    writes: dict[int, dict[int, int]] = {}
    while words:
        unit, start, count, *words = words
        writes.setdefault(unit, {}).update((start + n, word) for n, word in enumerate(words[:count]))
        words = words[count:]
    return writes


def routes(program: Program, unit: int) -> dict[SwitchOutput, SwitchInput]:
    """What each open output of a PE's switch sends on."""
    writes = parse(program.config)[unit]
    word = writes[Region.ROUTES.address(0)] | writes[Region.ROUTES.address(1)] << 16
    taken = {output: SwitchInput(word >> 3 * output & 7) for output in SwitchOutput}
    return {output: source for output, source in taken.items() if source != SwitchInput.CLOSED}


def check_neighbours(units: list[int] | tuple[int, ...]) -> None:
    for before, after in itertools.pairwise(units):
        (x0, y0), (x1, y1) = mesh_position(before), mesh_position(after)
        assert abs(x0 - x1) + abs(y0 - y1) == 1


def test_packets_join_runs_of_addresses() -> None:
    flits = packets(3, [(4, 10), (5, 11), (9, 12)])
    assert all(flit >> 16 == 1 for flit in flits)
    assert [flit & 0xFFFF for flit in flits] == [3, 4, 2, 10, 11, 3, 9, 1, 12]
    assert packets(3, []) == []


def test_stages_are_on_neighbouring_pes() -> None:
    nodes = [conv(f"l{n}", f"l{n - 1}" if n else "image", 1, 1, 1) for n in range(15)]
    program = chain(graph(*nodes, raw("end", "l14", 2, 1, 1), shape=(1, 1, 1)), FULL)
    assert [stage.name for stage in program.stages] == [*(node.name for node in nodes), "end"]
    units = [unit for stage in program.stages for unit in stage.units]
    assert sorted(units) == list(range(16))
    check_neighbours(units)
    # Each takes what the one before sends, and sends on.
    for place, unit in enumerate(units):
        opened = routes(program, unit)
        assert len(opened) == 2
        if place == 0:
            assert opened[SwitchOutput.MAIN] == SwitchInput.TREE
        else:
            assert SwitchInput.NORTH <= opened[SwitchOutput.MAIN] <= SwitchInput.WEST
        (sends,) = (output for output, source in opened.items() if source == SwitchInput.CORE)
        if place == 15:
            assert sends == SwitchOutput.COLLECTION
        else:
            # North, east, south, west: what one sends there, the other takes from the other side.
            side = sends - SwitchOutput.NORTH
            assert routes(program, units[place + 1])[SwitchOutput.MAIN] == SwitchInput.NORTH + (side + 2) % 4


def test_trees_lead_to_the_first_and_from_the_last_pe() -> None:
    program = chain(graph(conv("a", "image", 2, 1, 5), raw("b", "a", 3, 2, 1)), FULL)
    writes = parse(program.config)
    first, last = program.stages[0].units[0], program.stages[-1].units[0]
    for unit, register, encode in (
        (first, NodeRegister.CHILDREN, lambda child: 1 << child),
        (last, NodeRegister.SELECT, lambda child: child + 1),
    ):
        assert writes[ROOT][register] == encode(unit // 4)
        assert writes[QUADS + unit // 4][register] == encode(unit % 4)


def test_a_pass_is_a_row_of_pes_that_add_up() -> None:
    """All take their channels from the tree; each adds what the one before sends, and the last sends the sums."""
    net = graph(raw("a", "image", 5, 600, 3), shape=(600, 3, 3))
    (tiling,) = tilings(net, FULL)
    assert not is_chain(net, [tiling], FULL)
    assert tiling.shares == ((0, 120), (120, 240), (240, 360), (360, 480), (480, 600))
    program = compile_pass(tiling, 0, FULL)
    (stage,) = program.stages
    assert len(stage.units) == 5
    check_neighbours(stage.units)
    for place, unit in enumerate(stage.units):
        opened = routes(program, unit)
        assert opened.pop(SwitchOutput.MAIN) == SwitchInput.TREE
        if place:
            assert SwitchInput.NORTH <= opened.pop(SwitchOutput.SIDE) <= SwitchInput.WEST
        ((output, source),) = opened.items()
        assert source == SwitchInput.CORE
        assert (output == SwitchOutput.COLLECTION) == (place == 4)
    writes = parse(program.config)
    for quad in range(4):
        children = {unit % 4 for unit in stage.units if unit // 4 == quad}
        assert bool(children) == (writes[ROOT][NodeRegister.CHILDREN] >> quad & 1)
        if children:
            assert writes[QUADS + quad][NodeRegister.CHILDREN] == sum(1 << child for child in children)
    last = stage.units[-1]
    assert writes[ROOT][NodeRegister.SELECT] == last // 4 + 1
    assert writes[QUADS + last // 4][NodeRegister.SELECT] == last % 4 + 1
    # The host sends every pixel whole, and takes sums of 32 bits.
    frames = program.encode(np.full((1, 3, 3, 600), 0xA, np.uint8))
    assert frames.shape == (1, 9 * 150)
    assert program.outputs_per_frame == 5 * 2


def test_passes_take_the_channels_in_turn() -> None:
    """A stage of more channels than columns, on a chip of one PE, runs several times, each time with other weights."""
    net = graph(raw("a", "image", 40, 1, 5))
    single = dataclasses.replace(TINY, levels=0)
    (tiling,) = tilings(net, single)
    assert tiling.passes == ((0, 16), (16, 32), (32, 40))
    assert tiling.rounds == tuple((each,) for each in tiling.passes)
    weights = net.nodes[0].weights  # type: ignore[attr-defined]
    for number, (first, behind) in enumerate(tiling.passes):
        program = compile_pass(tiling, number, single)
        assert program.outbound.shape == (behind - first, 1, 1)
        (levels,) = program.levels.values()
        taken = levels.reshape(-1, 16)[: 25 * 2 : 2, : behind - first].astype(int) - 8
        np.testing.assert_array_equal(taken, weights[first:behind, 0].transpose(2, 1, 0).reshape(25, -1))


def test_a_block_of_columns_that_the_array_does_not_have() -> None:
    """Positive and negative halves of four slices each, for the 4 channels that are read at once."""
    array = dataclasses.replace(TINY.pe.array, sign_scheme="pairs")
    pairs = dataclasses.replace(TINY, pe=dataclasses.replace(TINY.pe, array=array))
    net = graph(conv("a", "image", 1, 1, 1, weight_bits=16), raw("b", "a", 1, 1, 5))
    with pytest.raises(OhmweaveError) as caught:
        tilings(net, pairs)
    sentence = "a does not fit a PE: 4 channels of 16-bit weights take 32 columns, and the array has 16"
    assert str(caught.value) == sentence
    assert tilings(net, TINY)


def test_columns_side_by_side() -> None:
    """On more PEs the passes run at once; the collection takes the parts of each pixel in turns."""
    net = graph(raw("a", "image", 40, 1, 5))
    (tiling,) = tilings(net, TINY)
    assert tiling.rounds == (((0, 16), (16, 32), (32, 40)),)
    assert tiling.pes == 3
    program = compile_pass(tiling, 0, TINY)
    assert program.outbound.shape == (40, 1, 1)
    weights = net.nodes[0].weights  # type: ignore[attr-defined]
    for (unit, levels), (first, behind) in zip(sorted(program.levels.items()), tiling.passes, strict=True):
        assert unit == first // 16
        taken = levels.reshape(-1, 16)[: 25 * 2 : 2, : behind - first].astype(int) - 8
        np.testing.assert_array_equal(taken, weights[first:behind, 0].transpose(2, 1, 0).reshape(25, -1))
    registers = parse(program.config)[ROOT]
    # All three listen; 16 sums of 32 bits are 32 flits, 8 are 16.
    assert [registers[n] for n in range(6)] == [0b111, 1, 32, 32, 16, 0]
    # Parts of the same size take turns by vectors of 8.
    (tiling,) = tilings(graph(raw("a", "image", 32, 1, 5)), TINY)
    program = compile_pass(tiling, 0, TINY)
    registers = parse(program.config)[ROOT]
    assert [registers[n] for n in range(6)] == [0b11, 1, 16, 16, 0, 0]
    assert (program.outbound.rows, program.outbound.turn) == (2, 8)
    numbers = np.array([0, 16, 8, 24])[:, None] + np.arange(8)  # the order on the link
    flits = np.stack([numbers.reshape(-1), np.zeros(32, int)], axis=1).reshape(1, -1)
    np.testing.assert_array_equal(program.decode(flits.astype(np.uint16)).reshape(-1), np.arange(32))


def test_rows_and_columns_side_by_side() -> None:
    """Two rows of two PEs; three of two do not fit a chip of four, and run in two rounds."""
    # 3×3 windows of 16 channels take two arrays of 72 rows.
    for channels, rounds, pes in ((32, 1, 4), (48, 2, 4)):
        net = graph(raw("a", "image", channels, 16, 3), shape=(16, 3, 3))
        (tiling,) = tilings(net, TINY)
        assert (len(tiling.shares), len(tiling.rounds), tiling.pes) == (2, rounds, pes)
        assert sorted(compile_pass(tiling, 0, TINY).levels) == [0, 1, 2, 3]


def test_parts_that_are_no_whole_flits_run_in_turn() -> None:
    """33 channels of 4 bits: the last part of a pixel would begin in the middle of a flit."""
    nodes = (conv("a", "image", 33, 1, 1), raw("b", "a", 1, 33, 1))
    tiling = tilings(graph(*nodes), TINY)[0]
    assert [behind - first for first, behind in tiling.passes] != [16, 16, 16]
    assert len(tiling.rounds) == len(tiling.passes) > 1


def test_a_stage_beside_others_is_no_chain() -> None:
    """A side tensor has to come from the host; and a PE has no more than two stages."""
    nodes = (conv("a", "image", 2, 1, 1), conv("b", "a", 2, 2, 1))
    one = {"residual": "b", "in_mult": np.ones(2, np.uint16), "in_shift": np.zeros(2, np.int8)}
    net = graph(*nodes, raw("c", "a", 2, 2, 1, **one))
    assert not is_chain(net, tilings(net, TINY), TINY)
    straight = graph(*nodes, raw("c", "b", 2, 2, 1))
    assert is_chain(straight, tilings(straight, TINY), TINY)
    long = graph(
        *[conv(f"l{n}", f"l{n - 1}" if n else "image", 1, 1, 1) for n in range(8)], raw("e", "l7", 2, 1, 1)
    )
    assert is_chain(long, tilings(long, FULL), FULL)
    assert not is_chain(long, tilings(long, TINY), TINY)


def test_levels_follow_the_window() -> None:
    """Row (column·k + row)·L + channel holds the weight, 8 added; the rest of the block of columns a weight of 0."""
    net = graph(raw("a", "image", 5, 3, 3), shape=(3, 3, 3))
    (levels,) = chain(net, FULL).levels.values()
    weights = net.nodes[0].weights  # type: ignore[attr-defined]
    expected = np.zeros((1152, 256), np.uint8)
    expected[:, :16] = 8
    for o, c, i, j in np.ndindex(weights.shape):
        expected[(j * 3 + i) * 128 + c, o] = weights[o, c, i, j] + 8
    np.testing.assert_array_equal(levels, expected)


def test_levels_of_planes_and_slices() -> None:
    """Each plane of an input has rows of its own with the same weights; slices of a weight are 16 columns apart."""
    net = graph(raw("a", "image", 5, 3, 3, weight_bits=8), shape=(3, 3, 3), bits=8)
    (levels,) = chain(net, FULL).levels.values()
    weights = net.nodes[0].weights  # type: ignore[attr-defined]
    expected = np.zeros((1152, 256), np.uint8)
    expected[:, 16:32] = 8
    for o, c, i, j in np.ndindex(weights.shape):
        for plane, part in itertools.product(range(2), range(2)):
            level = weights[o, c, i, j] + 128 >> 4 * part & 15
            expected[(j * 3 + i) * 128 + plane * 64 + c, 16 * part + o] = level
    np.testing.assert_array_equal(levels, expected)


def test_encode_packs_without_gaps() -> None:
    net = graph(raw("a", "image", 2, 3, 1), shape=(3, 1, 2))
    flits = chain(net, FULL).encode(np.array([[[[1, 2, 15], [3, 4, 5]]]], np.uint8))
    assert flits.tolist() == [[0x3F21, 0x0054]]
    wide = dataclasses.replace(FULL, pe=dataclasses.replace(FULL.pe, link_bits=64))
    flits = chain(net, wide).encode(np.array([[[[1, 2, 15], [3, 4, 5]]]], np.uint8))
    assert flits.dtype == np.uint64
    assert flits.tolist() == [[0x543F21]]


def test_encode_puts_the_side_tensor_beside_the_pixels() -> None:
    """Numbers of the side tensor follow those of the main tensor, from a multiple of the wider ones' bits on."""
    nodes = (
        conv("a", "image", 2, 3, 1, bits=8),
        raw(
            "b", "image", 2, 3, 1, residual="a", in_mult=np.ones(2, np.uint16), in_shift=np.zeros(2, np.int8)
        ),
    )
    net = graph(*nodes, shape=(3, 1, 1))
    program = compile_pass(tilings(net, FULL)[1], 0, FULL)
    flits = program.encode(np.array([[[[1, 2, 3]]]], np.uint8), np.array([[[[0xAB, 0xCD]]]], np.uint8))
    assert flits.tolist() == [[0x0321, 0xCDAB]]
    assert routes(program, program.stages[0].units[0]) == {
        SwitchOutput.MAIN: SwitchInput.TREE,
        SwitchOutput.SHORTCUT: SwitchInput.TREE,
        SwitchOutput.COLLECTION: SwitchInput.CORE,
    }


def test_decode_joins_the_flits_of_a_sum() -> None:
    program = chain(graph(raw("a", "image", 2, 3, 1), shape=(3, 1, 1)), FULL)
    assert program.outputs_per_frame == 4
    logits = program.decode(np.array([[0xFFFF, 0xFFFF, 0x0001, 0x0002]], np.uint16))
    assert logits.tolist() == [[[[-1, 0x20001]]]]


def test_decode_of_wide_sums() -> None:
    """Sums that 32 bits do not hold have 48."""
    net = graph(raw("a", "image", 2, 64, 1, weight_bits=16), shape=(64, 1, 1), bits=8)
    assert chain(net, FULL).outputs_per_frame == 4
    net = graph(
        conv("p", "image", 64, 64, 1, bits=16), raw("a", "p", 2, 64, 1, weight_bits=16), shape=(64, 1, 1)
    )
    made = tilings(net, FULL)
    program = compile_pass(made[1], 0, FULL)
    assert program.outputs_per_frame == 6
    sums = program.decode(np.array([[0, 0, 0x8000, 1, 0, 2]], np.uint16))
    assert sums.tolist() == [[[[-(1 << 47), 2 << 32 | 1]]]]


def test_decode_of_a_map() -> None:
    """What leaves before the end are numbers of the tensor's bits."""
    net = graph(conv("a", "image", 3, 1, 4, bits=8), MaxPool(name="m", input="a", kernel=(1, 1), stride=(1, 1)),
                raw("b", "m", 2, 3, 1))  # fmt: skip
    program = compile_pass(tilings(net, FULL)[0], 0, FULL)
    assert program.outputs_per_frame == 6
    values = program.decode(np.array([[0x0201, 0x0403, 0x0605, 0x0807, 0x0A09, 0x0C0B]], np.uint16))
    np.testing.assert_array_equal(values, np.arange(1, 13).reshape(1, 2, 2, 3))


def test_array_config_programs_every_row() -> None:
    program = chain(graph(raw("a", "image", 2, 1, 5)), TINY)
    (unit, levels), *none = program.levels.items()
    assert not none
    words = [int(word) & 0xFFFF for word in program.array_config()]
    writes = []
    while words:
        target, start, count, *words = words
        assert target == unit
        writes += [(start + n, word) for n, word in enumerate(words[:count])]
        words = words[count:]
    assert [word for address, word in writes if address == 0x4FFF] == list(range(TINY.pe.array.rows))
    held: dict[int, int] = {}
    for address, word in writes:
        if address != 0x4FFF:
            held[address & 0xFFF] = word
            continue
        row = sum(held[n] << 16 * n for n in range(4))
        assert [row >> 4 * n & 15 for n in range(16)] == levels[word].tolist()


@pytest.mark.parametrize(
    ("net", "params", "sentence"),
    [
        (
            lambda: graph(raw("a", "image", 2, 9, 5), shape=(9, 5, 5)),
            TINY,
            "a needs 5 PEs for its rows, and the chip has 4",
        ),
        (
            lambda: graph(raw("a", "image", 2, 1, (8, 1)), shape=(1, 9, 9)),
            TINY,
            "a does not fit a PE: its window's height must be at most 7, not 8",
        ),
        (
            lambda: graph(raw("a", "image", 2, 1, (1, 8)), shape=(1, 9, 9)),
            TINY,
            "a does not fit a PE: its window's width must be at most 7, not 8",
        ),
        (
            lambda: graph(conv("p", "image", 1, 1, 1, bits=16), raw("a", "p", 2, 1, 5)),
            TINY,
            "a does not fit a PE: its input of 16 bits does not fit beside a window of 5×5 pixels",
        ),
        (
            lambda: graph(raw("a", "image", 2, 1, 3), shape=(1, 5, 17)),
            TINY,
            "a does not fit a PE: in_width must be a whole number from 1 to 16, not 17",
        ),
        (
            lambda: graph(raw("a", "image", 2, 1, 5, stride=(5, 5)), shape=(1, 10, 10)),
            TINY,
            "a does not fit a PE: stride in rows must be a whole number from 1 to 4, not 5",
        ),
        (
            lambda: graph(raw("a", "image", 2, 1, 3, stride=(4, 4)), shape=(1, 300, 224)),
            FULL,
            "a does not fit a PE: pixels of a frame must be a whole number from 1 to 65536, not 67200",
        ),
        (
            lambda: graph(
                conv("a", "image", 2, 1, 1),
                MaxPool(name="p", input="a", kernel=(2, 2), stride=(5, 2)),
                raw("b", "p", 2, 2, 1),
                shape=(1, 12, 9),
            ),
            TINY,
            "a does not fit a PE: stride in rows must be a whole number from 1 to 4, not 5",
        ),
    ],
)
def test_refusals(net, params, sentence: str) -> None:  # type: ignore[no-untyped-def]
    """By cutting the stages up, before anything is compiled or simulated."""
    with pytest.raises(OhmweaveError) as caught:
        tilings(net(), params)
    assert str(caught.value) == sentence


def test_chain_of_more_stages_than_pes_is_refused() -> None:
    nodes = [conv(f"l{n}", f"l{n - 1}" if n else "image", 1, 1, 1) for n in range(4)]
    made = tilings(graph(*nodes, raw("e", "l3", 2, 1, 1), shape=(1, 1, 1)), TINY)
    with pytest.raises(OhmweaveError, match=r"^5 stages need 5 PEs, and the chip has 4$"):
        compile_chain(made, TINY)
