"""The ReRAM half of a PE: its controller, the array's reads, and vectors of results."""

from ohmweave.rtl.reram_half.half import ReRAMHalf
from ohmweave.rtl.reram_half.layouts import RECEIVERS, ReRAMConfig
from ohmweave.rtl.reram_half.signs import levels, sign_scheme, slices_of

__all__ = [
    "RECEIVERS", "ReRAMConfig", "ReRAMHalf", "levels", "sign_scheme", "slices_of",
]  # fmt: skip
