"""Pixels that stand for no word of the image: in the border of a map and between the words of a spread one."""

from collections.abc import Iterable, Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams, Kernel
from ohmweave.rtl.receiver import PLANES

__all__ = ["FILL_BITS", "FILL_VALUES", "FillLayout", "fill_lanes", "fill_values", "fill_word"]

#: Channels with a value of their own, and one value for all the others: a normalised image has three channels.
FILL_VALUES = 4
#: Bits of a value: those of the widest activation.
FILL_BITS = 16


class FillLayout(data.StructLayout):
    """What a pixel without a word of its own holds, from `fill_values()`.

    values       of channels 0, 1, 2 and of all others
    planes       bit planes of an activation: 2^planes of act_bits each
    plane_lanes  lanes of a plane: plane p of channel c is in lane p × plane_lanes + c
    """

    def __init__(self, params: BufferParams):
        super().__init__(
            {
                "values": data.ArrayLayout(FILL_BITS, FILL_VALUES),
                "planes": 2,
                "plane_lanes": range(params.lanes + 1),
            }
        )


def fill_values(
    params: BufferParams, fill: Sequence[int], *, planes: int = 1, kernel: Kernel = 1
) -> dict[str, int | list[int]]:
    """A value for each field of `FillLayout`; `OhmweaveError` for what it cannot hold.

    fill    one value a channel; those of channel 3 on are the same
    planes  bit planes of an activation: 1, 2 or 4
    kernel  window that the pixels are read with: rows and columns, or one number for both
    """
    if isinstance(planes, bool) or planes not in PLANES:
        raise OhmweaveError(f"planes must be one of {', '.join(map(str, PLANES))}, not {planes!r}")
    bits, pixel_lanes = planes * params.act_bits, params.pixel_lanes(kernel)
    if bits > FILL_BITS:
        raise OhmweaveError(f"planes must be at most {FILL_BITS // params.act_bits}, those of {FILL_BITS} bits, "
                            f"not {planes}")  # fmt: skip
    if planes > pixel_lanes:
        raise OhmweaveError(f"planes must be at most the lanes of a pixel, {pixel_lanes}, not {planes}")
    plane_lanes = pixel_lanes // planes
    whole("channels with a fill value", len(fill), 1, plane_lanes)
    for channel, value in enumerate(fill):
        whole(f"fill value of channel {channel}", value, 0, (1 << bits) - 1)
    own = FILL_VALUES - 1
    for channel, value in enumerate(fill):
        if channel > own and value != fill[own]:
            raise OhmweaveError(
                f"fill values of channels {own} and up must be the same, not {fill[own]} and {value} "
                f"(channel {channel})"
            )
    values = [*fill[:FILL_VALUES], *[0] * (FILL_VALUES - len(fill))]
    return {"values": values, "planes": planes.bit_length() - 1, "plane_lanes": plane_lanes}


def fill_lanes(values: Sequence[ValueLike], *, act_bits: int, planes: int, plane_lanes: int) -> Value:
    """`planes` × `plane_lanes` lanes of `act_bits` with these values, as `FillLayout.values`, in every channel."""
    lanes = act_bits * plane_lanes
    shared = FILL_VALUES - 1
    parts = [Value.cast(value)[: act_bits * planes] for value in values]
    rest = Const(0, max(plane_lanes - shared, 0) * act_bits)
    own = Cat(
        Cat(*(part[act_bits * plane :][:act_bits] for part in parts[: min(shared, plane_lanes)]), rest)
        for plane in range(planes)
    )
    # One constant for each bit of the shared value: CXXRTL takes many times longer to join a word lane by lane.
    each = sum(1 << act_bits * channel for channel in range(shared, plane_lanes))
    word: Value = own
    for bit in range(act_bits * planes if each else 0):
        plane, place = divmod(bit, act_bits)
        word = word | Mux(
            parts[shared][bit], Const(each << (plane * lanes + place), len(own)), Const(0, len(own))
        )
    return word


def fill_word(
    m: Module, fill: data.View, *, act_bits: int, lanes: int, pixel_lanes: Iterable[int] | None = None
) -> Signal:
    """A word of `lanes` lanes for `fill`, a view of `FillLayout`; lanes beyond those of the planes are zero.

    Only evaluated where it is called under an `m.If`; else it is zero.

    pixel_lanes  the lanes that a pixel can have; `lanes` alone by default
    """
    word = Signal(act_bits * lanes)
    options = sorted({lanes} if pixel_lanes is None else set(pixel_lanes))
    with m.Switch(fill.planes):
        for planes in PLANES:
            each = sorted({option // planes for option in options} - {0})
            if not each or planes * act_bits > FILL_BITS:
                continue
            with m.Case(planes.bit_length() - 1):
                if len(each) == 1:
                    _drive(m, word, fill, act_bits, planes, each[0])
                    continue
                with m.Switch(fill.plane_lanes):
                    for plane_lanes in each:
                        with m.Case(plane_lanes):
                            _drive(m, word, fill, act_bits, planes, plane_lanes)
    return word


def _drive(m: Module, word: Signal, fill: data.View, act_bits: int, planes: int, plane_lanes: int) -> None:
    used = fill_lanes(fill.values, act_bits=act_bits, planes=planes, plane_lanes=plane_lanes)
    m.d.comb += word.eq(Cat(used, Const(0, len(word) - len(used))))
