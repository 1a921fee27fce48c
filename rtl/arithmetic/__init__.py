"""The arithmetic half of a PE: its programs, and the lanes that add, multiply, divide and take inverse square roots."""

from ohmweave.rtl.arithmetic.constants import constant_writes
from ohmweave.rtl.arithmetic.formats import CYCLES, ScaleLayout, VectorLayout, scale_word
from ohmweave.rtl.arithmetic.half import ArithmeticHalf
from ohmweave.rtl.arithmetic.layouts import ArithmeticConfig
from ohmweave.rtl.arithmetic.vector_unit import RequestLayout, VectorUnit

__all__ = [
    "CYCLES", "ArithmeticConfig", "ArithmeticHalf", "RequestLayout", "ScaleLayout", "VectorLayout", "VectorUnit",
    "constant_writes", "scale_word",
]  # fmt: skip
