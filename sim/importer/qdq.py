"""Handlers of QuantizeLinear and DequantizeLinear: their scales and zero points are kept."""

from collections.abc import Callable

import numpy as np

from ohmweave.sim.importer.lower import Op, View, WeightScale
from ohmweave.sim.importer.record import Quantised

__all__ = ["QUANTISING"]

INTEGERS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767),
            "uint4": (0, 15), "int4": (-8, 7)}  # fmt: skip


def _zero(op: Op, scale: np.ndarray) -> tuple[np.ndarray, str]:
    """Zero point, int64 in the shape of the scale, and the integers' type."""
    if not op.given(2):
        kinds = {0: "uint8", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4"}
        kind = kinds.get(op.whole("output_dtype", 0))
        if kind is None:
            op.refuse_attribute(
                "output_dtype", "an integer of 4, 8 or 16 bits", op.attributes["output_dtype"]
            )
        return np.zeros(scale.shape, np.int64), kind
    zero = op.constant(2, "a zero point")
    if zero.dtype.name not in (*INTEGERS, "int32") or zero.shape != scale.shape:
        op.refuse(f"must have a zero point like its scale and of {', '.join(INTEGERS)}, not {zero.dtype}")
    return zero.astype(np.int64), zero.dtype.name


def _steps(op: Op) -> np.ndarray:
    scale = op.floats(1, "a scale")
    if scale.ndim > 1 or not scale.size or scale.min() <= 0:
        op.refuse("must have a scale that is positive, one number or one for each entry of an axis")
    if op.whole("block_size", 0):
        op.refuse_attribute("block_size", "0", op.attributes["block_size"])
    return scale


def quantize_linear(op: Op) -> None:
    op.accept("axis", "block_size", "output_dtype", "precision", "saturate")
    scale = _steps(op)
    zero, kind = _zero(op, scale)
    if kind not in INTEGERS:
        op.refuse(f"must give {', '.join(INTEGERS)}, not {kind}")
    low, high = INTEGERS[kind]
    if op.is_constant(0):
        axis = op.whole("axis", 1)
        value = op.floats(0, "a tensor")
        steps, zeros = (_along(op, each, axis, value) for each in (scale, zero))
        values = np.clip(np.rint(value / steps) + zeros, low, high).astype(np.int64)
        op.lowering.constants[op.node.output[0]] = values
        op.lowering.scales[op.node.output[0]] = WeightScale(scale, axis, (high - low + 1).bit_length() - 1)
        return
    if scale.size != 1:
        op.refuse(f"must have one scale for all of a computed tensor, not {scale.size}")
    view = op.view(0)
    step, point = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    tensor = op.emit(Quantised, [view.tensor], scale=step, zero=point, low=low, high=high)
    op.lowering.quantised[op.node.output[0]] = (View(tensor, view.shape, view.index), step, point)


def _along(op: Op, each: np.ndarray, axis: int, value: np.ndarray) -> np.ndarray:
    if each.size == 1:
        return each.reshape(-1)[0]
    if not -value.ndim <= axis < value.ndim or value.shape[axis] != each.size:
        op.refuse_attribute("axis", f"one with {each.size} entries", axis)
    sides = [1] * value.ndim
    sides[axis] = each.size
    return each.reshape(sides)


def dequantize_linear(op: Op) -> None:
    op.accept("axis", "block_size", "output_dtype")
    scale = _steps(op)
    zero, _ = _zero(op, scale)
    name = op.node.input[0]
    if name in op.lowering.quantised:
        view, step, point = op.lowering.quantised[name]
        if scale.size != 1 or float(scale.reshape(-1)[0]) != step or int(zero.reshape(-1)[0]) != point:
            op.refuse("must have the scale and zero point of the QuantizeLinear before it")
        return op.result(view)
    value = op.constant(0, "integers from a QuantizeLinear, or integers")
    if value.dtype.name not in (*INTEGERS, "int32", "int64"):
        op.refuse(f"must have integers of 4, 8, 16 or 32 bits, not {value.dtype}")
    axis = op.whole("axis", 1)
    steps, zeros = (_along(op, each, axis, value) for each in (scale, zero))
    integers = value.astype(np.int64) - zeros
    output = op.node.output[0]
    op.lowering.constants[output] = (integers * np.asarray(steps, np.float64)).astype(np.float32)
    bits = next((bits for bits in (4, 8, 16) if -(1 << (bits - 1)) <= integers.min(initial=0)
                 and integers.max(initial=0) < 1 << (bits - 1)), None)  # fmt: skip
    if bits is not None:
        width = {"uint4": 4, "int4": 4, "uint8": 8, "int8": 8}.get(value.dtype.name, 16)
        if value.dtype == np.int64:  # of a QuantizeLinear of a constant
            width = op.lowering.scales[name].bits
        side = axis % value.ndim if value.ndim else 0
        op.lowering.scales[output] = WeightScale(scale.astype(np.float64), side, max(bits, width))
    return None


QUANTISING: dict[str, Callable[[Op], None]] = {
    "DequantizeLinear": dequantize_linear, "QuantizeLinear": quantize_linear,
}  # fmt: skip
