"""The arithmetic half of a PE: the lanes that add, multiply, divide and take inverse square roots."""

from ohmweave.rtl.arithmetic.formats import CYCLES, ScaleLayout, VectorLayout, scale_word
from ohmweave.rtl.arithmetic.vector_unit import RequestLayout, VectorUnit

__all__ = ["CYCLES", "RequestLayout", "ScaleLayout", "VectorLayout", "VectorUnit", "scale_word"]
