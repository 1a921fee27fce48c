"""A PE whose halves take windows of either buffer: frames come to the two in turn."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Shape

from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.encoding import Instruction, encode, instruction_writes
from ohmweave.rtl.isa import ControlOp, Half, NetworkOp, Place, ReadOp
from ohmweave.rtl.pe import StageConfig
from ohmweave.rtl.receiver import receiver_config
from ohmweave.rtl.registers import word_writes
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, switch_writes
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.graph_golden import compute
from ohmweave.sim.program import Inbound, packets
from ohmweave.sim.stages import stages

TINY = PRESETS["tiny"]
CHANNELS, OUTPUTS, HEIGHT, WIDTH = 3, 3, 5, 6
BUFFERS = (Place.BUFFER_0, Place.BUFFER_1)


def receive(des):
    return Instruction.of(NetworkOp.DISTRIBUTION, channels=CHANNELS - 1, src=Place.TREE, des=des)


def read(src, kernel):
    return Instruction.of(ReadOp.CONVOLUTION, kernel=kernel, src=src)


WAIT = Instruction.of(ControlOp.DATA_LOAD, src=Place.TREE, des=Place.BUFFER_0)


def make_graph(kernel, residual):
    """A convolution that leaves sums, perhaps with another one's result added."""
    rng = np.random.default_rng([kernel, residual])
    image = Tensor(name="image", shape=(CHANNELS, HEIGHT, WIDTH), bits=4)
    beside = Conv(
        name="beside",
        input="image",
        weights=rng.integers(-8, 8, (OUTPUTS, CHANNELS, 1, 1)).astype(np.int16),
        weight_bits=4,
        bias=np.zeros(OUTPUTS, np.int64),
        mult=np.full(OUTPUTS, 1, np.uint16),
        shift=np.full(OUTPUTS, 4, np.int8),
        bits=4,
    )
    more = {
        "residual": "beside",
        "in_mult": rng.integers(1, 30, OUTPUTS).astype(np.uint16),
        "in_shift": rng.integers(-2, 3, OUTPUTS).astype(np.int8),
    }
    stage = Conv(
        name="stage",
        input="image",
        weights=rng.integers(-8, 8, (OUTPUTS, CHANNELS, kernel, kernel)).astype(np.int16),
        weight_bits=4,
        pads=(kernel // 2,) * 4,
        bias=rng.integers(-50, 50, OUTPUTS),
        bits=RAW_BITS,
        **(more if residual else {}),
    )
    return Graph(name="stage", input=image, nodes=(beside, stage) if residual else (stage,))


def in_turn(tiling, instructions):
    """The stage's program with others in its ReRAM half, and both buffers made for windows of either kind.

    A pixel on the link has one of each buffer's frames.
    """
    pe, stage = TINY.pe, tiling.stage
    program = compile_pass(tiling, 0, TINY)
    (unit,) = program.stages[0].units
    layout = StageConfig(pe)
    words, place = {}, 0
    flits = program.config.tolist()
    while place < len(flits):
        to, address, count = (flit & 0xFFFF for flit in flits[place : place + 3])
        if to == unit:
            words |= {address + n: flits[place + 3 + n] & 0xFFFF for n in range(count)}
        place += 3 + count
    bits = sum(words[Region.STAGE.address(n)] << 16 * n for n in range(-(-layout.size // 16)))

    def field(*path):
        """Offset and width."""
        offset, shape = 0, layout
        for key in path:
            offset, shape = offset + shape[key].offset, shape[key].shape
        return offset, Shape.cast(shape).width

    def put(value, *path):
        nonlocal bits
        offset, width = field(*path)
        bits = bits & ~((1 << width) - 1 << offset) | value << offset

    def get(*path):
        offset, width = field(*path)
        return bits >> offset & (1 << width) - 1

    for path in (("buffers",), ("reram", "windows"), ("reram", "split")):
        put(get(*path, 0), *path, 1)
    put(len(instructions), "reram", "length")
    taken = {"pixels": HEIGHT * WIDTH, "channels": 2 * CHANNELS, "taken": CHANNELS, "kernel": tiling.kernel}
    for n, receiver in enumerate(("main", "shortcut")):
        config = receiver_config(pe, first=n * CHANNELS, **taken)
        put(layout[receiver].shape.const(config).as_bits(), receiver)

    routes = {
        SwitchOutput.MAIN: SwitchInput.TREE,
        SwitchOutput.SHORTCUT: SwitchInput.TREE,
        SwitchOutput.COLLECTION: SwitchInput.CORE,
    }
    table = [
        write
        for n, instruction in enumerate(instructions)
        for write in instruction_writes(n, encode(instruction, Half.RERAM))
    ]
    enable = Region.STAGE.address(-(-layout.size // 16) - 1)
    writes = [(enable, 0)]
    for region, local in (
        (Region.ROUTES, switch_writes(routes)),
        (Region.RERAM_PROGRAM, table),
        (Region.STAGE, word_writes(bits, layout.size)),
    ):
        writes += [(region.address(address), word) for address, word in local]
    return replace(
        program,
        config=np.append(program.config, np.array(packets(unit, writes), np.uint32)),
        inbound=Inbound(CHANNELS, stage.main.bits, CHANNELS, stage.main.bits),
    )


def run(program, first, second, results):
    """Frames of the two receivers, and how many results a frame of both gives."""
    job = Job(
        levels=program.levels,
        config=program.config,
        frames=program.encode(first, second),
        outputs_per_frame=results * program.outputs_per_frame,
        idle_limit=5000,
    )
    result = simulate(TINY, job)
    outputs = result.outputs.reshape(len(first) * results, -1)
    return program.decode(outputs), result


@pytest.mark.parametrize("kernel", [1, 3])
def test_frames_in_both_buffers(kernel):
    """Images in turn to buffer 0 and to buffer 1, each read where it is."""
    graph = make_graph(kernel, residual=False)
    (stage,) = stages(graph)
    program = in_turn(
        tiled(stage, TINY),
        [each for buffer in BUFFERS for each in (receive(buffer), read(buffer, kernel))],
    )
    images = np.random.default_rng(1).integers(0, 16, (10, HEIGHT, WIDTH, CHANNELS))
    found, result = run(program, images[::2], images[1::2], 2)
    np.testing.assert_array_equal(found, golden(graph, [images]))
    if kernel == 1:  # the buffers have room for the next frames, and the array never waits
        assert set(np.diff(result.last_out)) == {2 * HEIGHT * WIDTH * TINY.pe.array.read_cycles}


def test_buffers_swap():
    """Residuals: what one half takes windows of for a frame is the other half's for the next."""
    graph = make_graph(1, residual=True)
    stage = next(each for each in stages(graph) if each.name == "stage")
    program = in_turn(
        tiled(stage, TINY),
        [each for buffer in BUFFERS for each in (receive(Place.BOTH_BUFFERS), read(buffer, 1), WAIT)],
    )
    main, beside = np.random.default_rng(2).integers(0, 16, (2, 10, HEIGHT, WIDTH, CHANNELS))
    turn = (np.arange(len(main)) % 2 == 0)[:, None, None, None]
    found, _ = run(program, np.where(turn, main, beside), np.where(turn, beside, main), 1)
    np.testing.assert_array_equal(found, golden(graph, [main, beside]))


def golden(graph, values):
    node = graph.node["stage"]
    tensors = [graph.tensors[name] for name in node.inputs]
    return compute(node, tensors, values, np.zeros(CHANNELS, np.int64))
