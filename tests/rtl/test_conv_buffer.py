"""Runs the testbench of the convolution buffer, and checks what its configuration refuses."""

from dataclasses import asdict, replace
from itertools import combinations

import pytest
from amaranth.sim import Simulator, SimulatorContext

from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.conv_buffer import ConvBuffer, ConvConfig, conv_config, in_place
from ohmweave.rtl.registers import register_writes
from ohmweave.testbench.conv_model import Layer, Pair, Schedule
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench
from ohmweave.testbench.stream import PACES

TINY = PRESETS["tiny"].pe.buffer
FULL = PRESETS["re-reram"].pe.buffer

# LeNet-5's layers are 5×5 on 1 and 6 channels and on 16; here on smaller images. (kernel, stride, pad, height, width)
FULL_LAYERS: list[tuple] = [
    (1, 1, 0, 1, 1), (2, 2, 0, 4, 6), (3, 1, 1, 5, 7), (4, 3, 2, 7, 7), (5, 1, 2, 8, 8), (5, 1, 0, 5, 5),
    (6, 1, 0, 8, 9), (7, 1, 0, 8, 9), (7, 2, 3, 12, 12),
]  # fmt: skip
# Rows and columns of their own, and padding of other values; in `tiny` besides every square one.
FILLED = {"fill": (3, 14, 7, 9)}
ONE_FILLED = {"fill": (9,)}
MORE_LAYERS: list[tuple] = [
    # Adjacent windows that share a read: 3×3 at strides 1 and 2, 5×5, 2×2.
    ((3, 5), (1, 3), (1, 1), 6, 9), ((3, 7), (2, 6), (1, 0), 7, 14),
    ((5, 6), (1, 2), (2, 2), 6, 8), ((2, 6), (2, 6), 0, 4, 12),
    # 1×1 kernels on pixels of several words.
    *(((1, n), (1, n), 0, 3, 2 * n) for n in range(2, 8)), ((1, 3), (2, 6), 0, 5, 12),
    # Any other.
    ((7, 1), (1, 1), (3, 0), 9, 4), ((1, 7), (1, 1), (0, 3), 3, 9), ((7, 2), (3, 4), (6, 1), 8, 9),
    ((2, 7), (1, 1), (1, 0), 4, 9),
    ((4, 7), (1, 5), (0, 6), 5, 6), ((6, 3), (4, 2), (0, 2), 10, 5),
    # Fill values, of several bit planes.
    (3, 1, 1, 4, 5, FILLED), (5, 2, 4, 7, 7, {"fill": (6, 11)}),
    (7, 1, 3, 7, 8, ONE_FILLED), ((2, 3), (1, 2), (1, 2), 3, 6, FILLED),
    (3, 1, 1, 4, 5, {"fill": (0x3A, 0x14, 0xF7, 0x92), "planes": 2}),
    (4, 1, 3, 4, 4, {"fill": (0xC5, 0x7E), "planes": 2}),
    (2, 1, 1, 3, 3, {"fill": (0x1234, 0xFEDC), "planes": 4}), (7, 1, (6, 6), 2, 2, ONE_FILLED),
    # More windows than the padded image has, and fewer.
    (2, 2, 0, 5, 7, {"out": (3, 4)}), (3, 2, 0, 6, 8, {"out": (3, 4), **FILLED}), (3, 2, 1, 6, 5, {"out": (4, 3)}),
    (3, 1, 0, 2, 2, {"out": (2, 2)}), (5, 4, 2, 9, 6, {"out": (3, 2)}), (7, 3, 0, 8, 8, {"out": (3, 3)}),
    (1, 2, 0, 6, 9, {"out": (2, 3)}), (3, 1, 1, 8, 7, {"out": (3, 4)}), (3, 2, 0, 9, 9, {"out": (1, 1)}),
]  # fmt: skip
FULL_LAYERS += [
    ((3, 4), (1, 2), (1, 1), 4, 6), ((1, 4), (1, 4), 0, 2, 8), ((3, 7), (1, 5), (1, 1), 3, 10),
    (7, 2, 3, 9, 9, {"fill": (0x72, 0x8A, 0x91, 0), "planes": 2}), (3, 1, 1, 3, 3, FILLED),
    (3, 2, 0, 4, 6, {"out": (2, 3)}), (1, 2, 0, 5, 5, {"out": (2, 2)}),
]  # fmt: skip
# In place: a first layer on its image, and kernel, stride, padding of the second, the pixels that a window gives,
# and what else there is to the second. The most rows that the first layer's image may have, but for full size.
IN_PLACE: list[tuple] = [
    ((3, 1, 1, 4, 7), (3, 1, 1, 1, ONE_FILLED)), ((3, 1, 0, 5, 6), (2, 2, 0, 1, {})),
    ((3, 2, 1, 5, 7), (1, 1, 0, 2, {})), ((1, 1, 0, 5, 4), (3, 1, 1, 4, {})), ((2, 4, 0, 5, 10), (3, 2, 1, 3, {})),
    (((3, 4), (1, 2), (1, 1), 10, 6), ((4, 3), 1, (3, 1), 2, {"fill": (0x3A, 0x14), "planes": 2})),
    ((5, 1, 2, 21, 4), ((6, 4), (2, 1), (0, 1), 1, {})), ((7, 1, 3, 44, 4), (7, 2, 3, 1, ONE_FILLED)),
]  # fmt: skip
FULL_IN_PLACE: list[tuple] = [
    ((5, 1, 0, 8, 8), (5, 1, 2, 1, {})), ((3, 1, 1, 4, 5), (1, 1, 0, 1, {})),
    (((3, 5), (1, 3), (1, 1), 4, 6), ((3, 4), 1, (1, 1), 3, {"fill": (0x72, 0x8A), "planes": 2})),
]  # fmt: skip
# One row more than there may be.
NOT_IN_PLACE = [
    ((3, 1, 1, 5, 7), (3, 1, 1, 1, {})), ((3, 1, 0, 6, 7), (2, 2, 0, 1, {})), ((3, 2, 1, 6, 7), (1, 1, 0, 1, {})),
    ((1, 1, 0, 6, 6), (3, 1, 1, 2, {})), ((5, 1, 2, 22, 5), (5, 1, 2, 1, {})), ((7, 1, 3, 45, 5), (7, 1, 3, 1, {})),
]  # fmt: skip
SHAPES = {"tiny": (TINY, None, IN_PLACE), "re-reram": (FULL, FULL_LAYERS, FULL_IN_PLACE)}


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_conv_buffer(shape: str, simulator: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params, layers, in_place_layers = SHAPES[shape]
    known: dict[str, object] = {
        "buffer": asdict(params),
        "more": MORE_LAYERS,
        "in_place": in_place_layers,
        "not_in_place": NOT_IN_PLACE,
    }
    if layers:
        known["layers"] = layers
    run_testbench(ConvBuffer(params=params), "tb_conv_buffer", simulator, parameters=known)


# Further shapes of the buffer, in Amaranth's simulator, which has nothing to compile.
ODD_SHAPES: dict[str, tuple[BufferParams, list[tuple]]] = {
    # Two rows of a 5×5, 6×6 or 7×7 window in one bank.
    "four_banks": (
        replace(TINY, banks=4, width=9),
        [(1, 1, 0, 3, 9), (3, 1, 1, 5, 5), (4, 1, 0, 5, 8), (5, 1, 2, 7, 6), (6, 2, 3, 9, 9), (7, 1, 0, 9, 9),
         ((7, 3), 1, (3, 1), 8, 6), ((1, 7), (1, 7), 0, 2, 7),
         (6, 4, 0, 9, 9, {"out": (3, 3)}), (5, 1, 2, 9, 8, {"out": (4, 5)})],
    ),
    "five_banks": (
        replace(TINY, banks=5, act_bits=3),
        [(2, 1, 0, 3, 9), (5, 2, 2, 9, 9), (6, 1, 5, 7, 7), (7, 3, 3, 10, 11)],
    ),
    # More banks than any kernel has rows, and a window larger than it must be.
    "sixteen_banks": (
        replace(TINY, banks=16, lanes=16, window_lanes=200, act_bits=1),
        [(3, 3, 0, 18, 9), (5, 1, 2, 20, 5), (7, 4, 6, 9, 16)],
    ),
    "one_column": (
        replace(TINY, width=1),
        [(1, 1, 0, 1, 1), (1, 4, 0, 9, 1), (3, 1, 1, 4, 1), (7, 1, 6, 5, 1)],
    ),
    "small_kernels": (
        replace(TINY, max_kernel=3, max_stride=2, banks=4),
        [(1, 2, 0, 5, 5), (2, 1, 1, 5, 5), (3, 1, 1, 5, 7), (3, 2, 0, 7, 7)],
    ),
    "rectangles": (
        replace(TINY, banks=5, lanes=16, window_lanes=150),
        [((3, 5), (1, 3), (1, 1), 6, 9), ((1, 7), (1, 7), 0, 2, 14), ((6, 1), 1, (3, 0), 7, 3),
         ((2, 7), 1, (1, 0), 4, 9),
         ((2, 3), (1, 2), (1, 2), 3, 6, FILLED), (7, 1, 3, 3, 4, ONE_FILLED),
         (3, 1, 2, 4, 4, {"fill": (0xC5, 0x3E, 0x91, 0x84), "planes": 2}),
         (2, 1, 1, 3, 3, {"fill": (0x1234, 0xFEDC, 0, 0x4), "planes": 4})],
    ),
    "only_1x1": (replace(TINY, max_kernel=1, max_stride=1), [(1, 1, 0, 3, 3)]),
}  # fmt: skip


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_odd_shape(shape: str) -> None:
    params, shapes = ODD_SHAPES[shape]
    layers = [Layer(params, *layer[:5], frames=3, **dict(*layer[5:])) for layer in shapes]
    # And each in turn with the next one that has as many slots.
    pairs = [
        Pair(first, second)
        for first, second in combinations(layers, 2)
        if params.row_slots(first.k) == params.row_slots(second.k)
    ]
    dut = ConvBuffer(params=params)

    async def testbench(ctx: SimulatorContext) -> None:
        for number, layer in enumerate([*layers, *pairs]):
            idle, stall = PACES[number % len(PACES)]
            schedule, pixels, windows = Schedule(layer), layer.pixels(), layer.windows()
            ctx.set(dut.window.ready, 0)
            ctx.set(dut.clear, 1)
            ctx.set(dut.config, layer.layers[0].plan.config)
            ctx.set(dut.other, layer.layers[-1].plan.config)
            ctx.set(dut.alternate, len(layer.layers) > 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            ctx.set(dut.pixel.valid, 1)
            *_, room = await ctx.tick().sample(dut.pixel.ready)
            assert not room, "nothing is taken in the cycle after `clear`"
            quiet = 0
            while windows:
                offer, ready = bool(pixels) and layer.random.random() >= idle, layer.random.random() >= stall
                ctx.set(dut.pixel.valid, offer)
                if offer:
                    ctx.set(dut.pixel.payload, pixels[0])
                ctx.set(dut.window.ready, ready)
                _, _, room, valid, window, spare, coming, shown = await ctx.tick().sample(
                    dut.pixel.ready, dut.window.valid, dut.window.payload,
                    dut.spare, dut.pixel_layer, dut.window_layer,
                )  # fmt: skip
                assert (room, valid, spare) == (schedule.ready, schedule.valid, schedule.spare), layer.name
                assert coming == schedule.pixel_layer, layer.name
                assert not valid or shown == schedule.window_layer, layer.name
                schedule.clock(bool(offer and room), bool(valid and ready))
                if valid:
                    assert window == windows[0], layer.name
                if valid and ready:
                    windows.pop(0)
                if offer and room:
                    pixels.pop(0)
                quiet = 0 if (valid and ready) or (offer and room) else quiet + 1
                assert quiet < 100, f"{layer.name}: nothing moves"

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 1, 0, 9, 9), "kernel must be a whole number from 1 to 7, not 8"),
        ((0, 1, 0, 9, 9), "kernel must be a whole number from 1 to 7, not 0"),
        ((True, 1, 0, 9, 9), "kernel must be a whole number from 1 to 7, not True"),
        ((3, 5, 0, 9, 9), "stride must be a whole number from 1 to 4, not 5"),
        ((3, 1, 3, 9, 9), "pad must be a whole number from 0 to 2, not 3"),
        ((3, 1, -1, 9, 9), "pad must be a whole number from 0 to 2, not -1"),
        ((3, 1, 0, 4097, 9), "in_height must be a whole number from 1 to 4096, not 4097"),
        ((3, 1, 0, 9, 17), "in_width must be a whole number from 1 to 16, not 17"),
        ((3, 1, 0, 9, 9.0), "in_width must be a whole number from 1 to 16, not 9.0"),
        (((3, 8), 1, 0, 9, 9), "kernel in columns must be a whole number from 1 to 7, not 8"),
        (((0, 3), 1, 0, 9, 9), "kernel in rows must be a whole number from 1 to 7, not 0"),
        (((3, 3, 3), 1, 0, 9, 9), "kernel must be a number or rows and columns, not (3, 3, 3)"),
        ((3, (5, 1), 0, 9, 9), "stride in rows must be a whole number from 1 to 4, not 5"),
        ((3, (1, 8), 0, 9, 9), "stride in columns must be a whole number from 1 to 7, not 8"),
        (((3, 5), 1, (3, 0), 9, 9), "pad in rows must be a whole number from 0 to 2, not 3"),
        (((3, 5), 1, (0, 5), 9, 9), "pad in columns must be a whole number from 0 to 4, not 5"),
        (((3, 5), 1, 3, 9, 9), "pad must be a whole number from 0 to 2, not 3"),
        (((1, 5), 1, (0, 1), 9, 2), "in_width must be at least kernel - 2 × pad, 3, not 2"),
        ((5, 1, 1, 2, 9), "in_height must be at least kernel - 2 × pad, 3, not 2"),
        ((5, 1, 1, 9, 2), "in_width must be at least kernel - 2 × pad, 3, not 2"),
    ],
)
def test_refused_convolution(arguments: tuple, message: str) -> None:
    with pytest.raises(OhmweaveError) as error:
        conv_config(TINY, *arguments)
    assert str(error.value) == message


def test_refused_channels() -> None:
    with pytest.raises(OhmweaveError) as error:
        conv_config(FULL, 5, 1, 2, 28, 28, channels=33)
    assert str(error.value) == "channels of a 5×5 kernel must be a whole number from 1 to 32, not 33"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fill": (3, 16)}, "fill value of channel 1 must be a whole number from 0 to 15, not 16"),
        ({"fill": (0,) * 33}, "channels with a fill value must be a whole number from 1 to 32, not 33"),
        ({"planes": 3}, "planes must be one of 1, 2, 4, not 3"),
        (
            {"planes": 2, "channels": 17},
            "channels of a 5×5 kernel must be a whole number from 1 to 16, not 17",
        ),
    ],
)
def test_refused_fill(more: dict, message: str) -> None:
    with pytest.raises(OhmweaveError) as error:
        conv_config(FULL, 5, 1, 2, 28, 28, **more)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ((4, 3), "rows of windows must be a whole number from 1 to 3, not 4"),
        ((0, 3), "rows of windows must be a whole number from 1 to 3, not 0"),
        ((3, 5), "columns of windows must be a whole number from 1 to 4, not 5"),
        ((3, 1.0), "columns of windows must be a whole number from 1 to 4, not 1.0"),
    ],
)
def test_refused_windows(out: tuple, message: str) -> None:
    """A window has its first pixel in the image or before it."""
    with pytest.raises(OhmweaveError) as error:
        conv_config(TINY, 3, 2, 1, 5, 7, out=out)
    assert str(error.value) == message


def test_refused_parameters() -> None:
    with pytest.raises(TypeError) as error:
        ConvBuffer(params=PRESETS["tiny"])  # type: ignore[arg-type]
    assert str(error.value).startswith("params must be BufferParams, not GroupParams(")


def test_configuration_is_refused_where_a_field_cannot_hold_it() -> None:
    plan = conv_config(FULL, 7, 2, 3, 224, 224, channels=3)
    assert (plan.out_height, plan.out_width) == (112, 112)
    with pytest.raises(ValueError, match="stride must fit into 3 bits, not 8"):
        register_writes(ConvConfig(FULL), {**plan.config, "stride": 8})


def test_largest_values_fit() -> None:
    """Every field holds the extremes of what is accepted."""
    for params in (TINY, FULL, BufferParams(lanes=8, width=4096, banks=16, act_bits=1, window_lanes=72)):
        for kernel in range(1, 8):
            for pad in (0, kernel - 1):
                for stride in (1, 4):
                    plan = conv_config(params, kernel, stride, pad, 4096, params.width)
                    register_writes(ConvConfig(params), plan.config)
                    along = (stride, 7 if stride > 1 else 1)
                    plan = conv_config(params, (kernel, 1), along, (pad, 0), 4096, params.width)
                    register_writes(ConvConfig(params), plan.config)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            (3, 1, 1, 4, 7), (4, 1, 1, 4, 7),
            "image rows in a word must be the same for both layers in place, not 1 and 2",
        ),
        (
            (3, 1, 0, 5, 7), (3, 1, 1, 5, 5),
            "in_height of the second layer in place must be the first layer's rows of windows, 3, not 5",
        ),
        (
            (3, 1, 0, 5, 7), (3, 1, 1, 3, 7),
            "in_width of the second layer in place must be 1 to 4 times the first layer's columns of windows, 5, not 7",
        ),
        (
            (3, 2, 1, 5, 5), (3, 1, 1, 3, 12),
            None,
        ),
        (
            (3, 2, 1, 5, 5), (3, 1, 1, 3, 1),
            "in_width of the second layer in place must be 1 to 4 times the first layer's columns of windows, 3, not 1",
        ),
        (
            (3, 2, 1, 5, 3), (3, 1, 1, 3, 10),
            "in_width of the second layer in place must be 1 to 4 times the first layer's columns of "
            "windows, 2, not 10",
        ),
        (
            (3, 1, 1, 5, 7), (3, 1, 1, 5, 7),
            "rows held while row 1 of the results is written must be at most 6, not 7",
        ),
        (
            (1, 4, 0, 9, 7), (3, 1, 1, 3, 2),
            "rows held while row 0 of the results is written must be at most 6, not 10",
        ),
        (
            (7, 1, 3, 45, 9), (7, 1, 3, 45, 9),
            "rows held while row 3 of the results is written must be at most 48, not 49",
        ),
    ],
)  # fmt: skip
def test_layers_that_share_a_buffer(first: tuple, second: tuple, message: str | None) -> None:
    plans = [conv_config(TINY, *layer) for layer in (first, second)]
    if message is None:
        in_place(TINY, *plans)
        return
    with pytest.raises(OhmweaveError) as error:
        in_place(TINY, *plans)
    assert str(error.value) == message


@pytest.mark.parametrize("pair", range(len(NOT_IN_PLACE)))
def test_a_row_too_many(pair: int) -> None:
    """One row fewer is accepted."""
    (k, s, p, height, width), (*second, results, more) = NOT_IN_PLACE[pair]
    for rows in (height - 1, height):
        first = conv_config(TINY, k, s, p, rows, width)
        plan = conv_config(TINY, *second, first.out_height, first.out_width * results, **more)
        if rows < height:
            in_place(TINY, first, plan)
            continue
        with pytest.raises(OhmweaveError, match="rows held while row"):
            in_place(TINY, first, plan)
