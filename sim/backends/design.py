"""Emission of the chip's netlist, kept in the cache so that a later run needs no Amaranth."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ohmweave.params import ArrayParams, CacheArrayParams, GroupParams, MemoryParams
from ohmweave.sim.cache import cached, content_key

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

__all__ = ["TOP", "ChipSource", "Design", "chip_source", "group_source"]

TOP = "chip"
# What macros are made from.
MACROS = {params.__name__: params for params in (ArrayParams, CacheArrayParams)}
# Files of the hardware's package that the netlist and the macros' models come from.
SOURCES = ("*.py", "*.h", "*.in")


@dataclass(frozen=True)
class Design:
    """An emitted netlist.

    rtlil    text without the macros' bodies
    modules  the top and the shared modules
    macros   name → parameters of each macro
    cxxrtl   name → (RTLIL of the black box, C++ that implements it)
    header   C++ that all implementations include
    """

    top: str
    rtlil: str
    modules: tuple[str, ...]
    macros: dict[str, ArrayParams | CacheArrayParams]
    stubs: dict[str, str]
    models: dict[str, str]
    header: str

    @property
    def crossbars(self) -> tuple[ArrayParams, ...]:
        """The macros that have cells."""
        return tuple(array for array in self.macros.values() if isinstance(array, ArrayParams))

    @cached_property
    def key(self) -> str:
        """Hash of all of it."""
        return content_key(
            self.rtlil, json.dumps([self.modules, self.stubs, self.models], sort_keys=True), self.header
        )


@dataclass(frozen=True)
class ChipSource:
    """Where a chip comes from.

    make  builds the component
    key   hash over everything that `make` depends on; None emits anew every time
    params  of the group of PEs, if it is one
    top     name of the netlist's top module
    """

    make: Callable[[], "Component"]
    key: str | None = None
    params: GroupParams | None = None
    top: str = TOP

    def design(self) -> Design:
        """The netlist, emitted or found in the cache."""
        if self.key is None:
            return emit(self.make(), self.top)
        key = self.key

        def build(folder: Path) -> None:
            design = emit(self.make(), self.top)
            (folder / "netlist.il").write_text(design.rtlil)
            record = asdict(design)
            del record["rtlil"]
            kinds = {name: type(params).__name__ for name, params in design.macros.items()}
            record["macros"] = {name: (kinds[name], fields) for name, fields in record["macros"].items()}
            (folder / "design.json").write_text(json.dumps(record))

        folder = cached("netlist", key, build)
        record: dict[str, Any] = json.loads((folder / "design.json").read_text())
        record["modules"] = tuple(record["modules"])
        record["macros"] = {name: MACROS[kind](**fields) for name, (kind, fields) in record["macros"].items()}
        return Design(rtlil=(folder / "netlist.il").read_text(), **record)


def emit(component: "Component", top: str = TOP) -> Design:
    """Elaborate a chip, or a part of one, as module `top`."""
    from ohmweave.rtl import crossbar
    from ohmweave.rtl.macro_models import models_of
    from ohmweave.rtl.netlist import emit_rtlil

    netlist = emit_rtlil(component, top)
    arrays = {name: _params(macro.model) for name, macro in netlist.macros.items()}
    return Design(
        top=netlist.top,
        rtlil=netlist.rtlil,
        modules=netlist.modules,
        macros=arrays,
        stubs={name: models_of(array).rtlil_stub(array) for name, array in arrays.items()},
        models={name: models_of(array).cxxrtl_model(array) for name, array in arrays.items()},
        header=crossbar.core_header(),
    )


def _params(model: object) -> ArrayParams | CacheArrayParams:
    assert isinstance(model, (ArrayParams, CacheArrayParams)), f"no model of {model!r}"
    return model


def sources_key() -> str:
    """Hash over the hardware's sources and the version of Amaranth: an edited checkout gets a new netlist."""
    parts: list[str | bytes] = [version("amaranth")]
    for package, patterns in (("ohmweave.rtl", SOURCES), ("ohmweave", ("params.py",))):
        root = Path(str(files(package)))
        for path in sorted(path for pattern in patterns for path in root.rglob(pattern)):
            parts += [str(path.relative_to(root)), path.read_bytes()]
    return content_key(*parts)


def group_source(params: GroupParams) -> ChipSource:
    """The PE group of `params`."""

    def make() -> "Component":
        from ohmweave.rtl.group import PEGroup

        return PEGroup(params=params)

    return ChipSource(make, content_key(sources_key(), repr(params)), params)


def chip_source(params: GroupParams, memory: MemoryParams | None = None) -> ChipSource:
    """The same behind AXI interfaces, perhaps with memory."""

    def make() -> "Component":
        from ohmweave.rtl.chip import Chip

        return Chip(params=params, memory=memory)

    return ChipSource(make, content_key(sources_key(), "chip", repr(params), repr(memory)))
