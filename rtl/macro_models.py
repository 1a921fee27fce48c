"""Which generator makes the models of a macro for the simulators, by what the macro's `model` is."""

from typing import Protocol, cast

from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.rtl import crossbar
from ohmweave.rtl.memory import generate

__all__ = ["MacroParams", "models_of"]

MacroParams = ArrayParams | CacheArrayParams


class _Models(Protocol):
    """What every generator has; each takes the macro's parameters."""

    def rtlil_stub(self, array: MacroParams, /) -> str: ...

    def cxxrtl_model(self, array: MacroParams, /) -> str: ...

    def verilog_model(self, array: MacroParams, /) -> str: ...


def models_of(params: MacroParams) -> _Models:
    """The generator for a macro with these parameters."""
    return cast("_Models", crossbar if isinstance(params, ArrayParams) else generate)
