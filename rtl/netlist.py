"""From Amaranth components to one netlist in which each distinct module stands once.

Amaranth elaborates every submodule anew, so sixteen equal PEs would be emitted sixteen times. What is added with
`instantiate` is elaborated once, on its own, and instantiated by name. The analog macros are `Macro`s: black boxes
whose models come from elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal, Value
from amaranth.lib.wiring import Component, Out

__all__ = ["Macro", "Netlist", "NetlistPlatform", "emit_rtlil", "emit_verilog", "instantiate"]


@dataclass
class NetlistPlatform:
    """What a netlist collects while it is elaborated; passed as Amaranth's `platform`.

    components  module name → component still to be emitted or emitted already
    macros      module name → the macro's component, for its parameters (`Macro.model`)
    """

    components: dict[str, Component] = field(default_factory=dict)
    macros: dict[str, "Macro"] = field(default_factory=dict)


def _connections(component: Any) -> dict[str, Any]:
    """Named port connections of an `Instance` for the signals of a component or of an interface like it."""
    return {
        f"{'o' if member.flow is Out else 'i'}_{'__'.join(map(str, path))}": value
        for path, member, value in component.signature.flatten(component)
    }


def instantiate(
    m: Module,
    platform: object,
    instance: str,
    module: str,
    make: Callable[[], Component],
    *,
    reset: Value | None = None,
) -> Any:
    """Add an instance of the component that `make` returns to `m`; give back what has its ports.

    In a netlist the component is elaborated once as `module`, which has to name every parameter that matters, and
    instantiated by name from then on. On any other platform it becomes an ordinary submodule. `reset` resets it and
    all that is below it, beside the domain's own.
    """
    if not isinstance(platform, NetlistPlatform):
        component = make()
        m.submodules[instance] = component if reset is None else ResetInserter(reset)(component)
        return component
    if module not in platform.components:
        platform.components[module] = make()
    ports = platform.components[module].signature.create(path=(instance,))
    rst = ResetSignal() if reset is None else ResetSignal() | reset
    m.submodules[instance] = Instance(module, i_clk=ClockSignal(), i_rst=rst, **_connections(ports))
    return ports


class Macro(Component):
    """Base of the black boxes: a subclass gives `macro_name` and `model`, the ports are its signature.

    In a netlist it becomes an instance of module `macro_name`. In Amaranth's simulator its outputs are left
    undriven for a process of the test bench to drive (`SimPlatform` in `ohmweave.sim` collects the macros).
    """

    macro_name: str
    #: What the macro's models are made from; anything that can be compared and hashed.
    model: object

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if isinstance(platform, NetlistPlatform):
            platform.macros.setdefault(self.macro_name, self)
            m.submodules.macro = Instance(self.macro_name, i_clk=ClockSignal(), **_connections(self))
        elif platform is not None:
            platform.add_macro(self)
        return m


@dataclass(frozen=True)
class Netlist:
    """An emitted design: RTLIL text without the macros' bodies, and the macros it instantiates."""

    top: str
    rtlil: str
    modules: tuple[str, ...]
    macros: Mapping[str, Macro]


# Yosys starts each `always @*` at time 0 by a register that it reads and that is initialised to 0. Where it is
# declared with that value the change can come before the block waits for it, and the block would sleep; a nonblocking
# assignment comes after all blocks have started.
_STARTER = re.compile(r"^(  reg (\\\$auto\$verilog_backend\S+) ) = 0;$", re.MULTILINE)

# Amaranth gives every memory initial contents, one line a word; a RAM macro has none.
_MEMINIT = re.compile(r"^  cell \$meminit_v2 .*?^  end\n", re.MULTILINE | re.DOTALL)


def emit_rtlil(component: Component, name: str) -> Netlist:
    """Elaborate `component` as module `name`, and every shared component below it once.

    `modules` lists the names of the top and of the shared components; what is private to one of them is called
    `<name>.<submodule>` in the RTLIL.
    """
    platform = NetlistPlatform(components={name: component})
    texts: dict[str, str] = {}
    while pending := [module for module in platform.components if module not in texts]:
        for module in pending:
            # Elaborating one component may add others to the platform, hence the outer loop.
            text = rtlil.convert(platform.components[module], name=module, platform=platform)
            texts[module] = _MEMINIT.sub("", text)
    return Netlist(
        top=name,
        rtlil="\n".join(texts.values()),
        modules=tuple(texts),
        macros=dict(platform.macros),
    )


def emit_verilog(netlist: Netlist) -> str:
    """The netlist as Verilog, one module for each of its RTLIL; the macros' modules come from their models.

    Ports of width 0 are not in the Verilog, neither of modules nor of instances.
    """
    script = [
        f"read_rtlil <<rtlil\n{netlist.rtlil}\nrtlil",
        # As in amaranth.back.verilog.
        "proc -nomux -norom",
        "memory_collect",
        # Where a line came from is only of use in the Python, and the paths are of this machine.
        "attrmap -remove src -remove generator -remove top -remove amaranth.hierarchy -remove amaranth.decoding",
        "attrmap -modattr -remove src -remove generator -remove top",
        "write_verilog -norename",
    ]
    # 0.40 is the first that Amaranth's own Verilog back end takes.
    yosys = find_yosys(lambda version: version >= (0, 40))
    text = yosys.run(["-q", "-"], "\n".join(script), ignore_warnings=True)
    return _STARTER.sub(r"\1;\n  initial \2 <= 0;", text)
