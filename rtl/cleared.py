"""A component with a second reset as a port, so that it can be a module of its own."""

from typing import Any

from amaranth.hdl import Module, ResetInserter
from amaranth.lib.wiring import Component, In, Out, connect, flipped

__all__ = ["Cleared"]


class Cleared(Component):
    """`component` with its ports and one more, `clear`: while it is high the component is held in reset.

    Parameters: component, none of whose ports is an array. Latency: that of the component.
    """

    def __init__(self, component: Component):
        self._component = component
        super().__init__({**component.signature.members, "clear": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inner: Any = self._component
        m.submodules.inner = ResetInserter(self.clear)(inner)
        for name, member in self._component.signature.members.items():
            own, port = getattr(self, name), getattr(inner, name)
            if member.is_signature:
                connect(m, flipped(own), port)
            elif member.flow is In:
                m.d.comb += port.eq(own)
            else:
                assert member.flow is Out
                m.d.comb += own.eq(port)
        return m
