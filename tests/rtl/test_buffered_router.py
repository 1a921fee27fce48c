"""Router with buffers and virtual channels: refusals and its testbench, alone and in a mesh."""

import re
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out, connect

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.network.buffered_router import BufferedRouter
from ohmweave.rtl.network.round_robin import RoundRobin
from ohmweave.rtl.network.virtual_channel import MESH_PORTS, Side, VirtualChannel, VirtualLink
from ohmweave.testbench.runner import available, run_testbench

DEFAULTS: dict[str, Any] = {"link_bits": 16, "virtual_channels": 2, "depth": 4, "side_bits": 2}
# Edges, on the simulator that builds them in a second.
EDGES = [
    {},
    {"virtual_channels": 1, "depth": 2, "link_bits": 11},
    {"virtual_channels": 4, "depth": 8, "link_bits": 17, "side_bits": 4},
    {"virtual_channels": 3},
]


@pytest.mark.parametrize(
    ("simulator", "changes"),
    [("verilator", {"virtual_channels": 1, "depth": 2})] + [("icarus", changes) for changes in EDGES],
    ids=str,
)
def test_testbench(simulator: str, changes: dict[str, Any]) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = DEFAULTS | changes
    router = BufferedRouter(**parameters)
    run_testbench(
        router,
        "tb_buffered_router",
        simulator,
        parameters=parameters,
        # Nothing changes at time 0 that its allocators read.
        verilog_text=emit_verilog(emit_rtlil(router, "dut")),
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"link_bits": 0}, TypeError, "BufferedRouter link_bits must be a whole number from 1 to 64, not 0"),
        (
            {"virtual_channels": 9},
            TypeError,
            "BufferedRouter virtual_channels must be a whole number from 1 to 8, not 9",
        ),
        (
            {"side_bits": True},
            TypeError,
            "BufferedRouter side_bits must be a whole number from 1 to 8, not True",
        ),
        ({"depth": 3}, OhmweaveError, "BufferedRouter depth must be a power of two from 2 to 64, not 3"),
        ({"link_bits": 3}, ValueError, "BufferedRouter link_bits must be at least 4, not 3"),
    ],
)
def test_refusals(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        BufferedRouter(**DEFAULTS | changes)


def test_refusals_below() -> None:
    with pytest.raises(
        TypeError, match=r"^RoundRobin requesters must be a whole number from 1 to 64, not 65$"
    ):
        RoundRobin(requesters=65)
    with pytest.raises(
        TypeError, match=r"^VirtualChannel side_bits must be a whole number from 1 to 8, not 0$"
    ):
        VirtualChannel(link_bits=16, depth=4, side_bits=0, virtual_channels=2)


class Mesh(Component):
    """side × side routers; the ports are the local ones, in raster order."""

    def __init__(self, *, side: int, **parameters: Any):
        self.side = side
        self.parameters = parameters
        link = VirtualLink(parameters["link_bits"], parameters["virtual_channels"])
        super().__init__({"i": In(link).array(side * side), "o": Out(link).array(side * side)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        side = self.side
        routers = [BufferedRouter(**self.parameters) for _ in range(side * side)]
        for n, router in enumerate(routers):
            x, y = n % side, n // side
            m.submodules[f"router_{n}"] = router
            m.d.comb += [router.x.eq(x), router.y.eq(y)]
            self._local(m, n, router)
            if x + 1 < side:
                connect(m, router.o[Side.EAST], routers[n + 1].i[Side.WEST])
                connect(m, routers[n + 1].o[Side.WEST], router.i[Side.EAST])
            if y + 1 < side:
                connect(m, router.o[Side.SOUTH], routers[n + side].i[Side.NORTH])
                connect(m, routers[n + side].o[Side.NORTH], router.i[Side.SOUTH])
        return m

    def _local(self, m: Module, n: int, router: BufferedRouter) -> None:
        for name in ("valid", "flit", "channel"):
            m.d.comb += [
                getattr(router.i[0], name).eq(getattr(self.i[n], name)),
                getattr(self.o[n], name).eq(getattr(router.o[0], name)),
            ]
        m.d.comb += [self.i[n].credit.eq(router.i[0].credit), router.o[0].credit.eq(self.o[n].credit)]


def run_mesh(side: int, parameters: dict[str, Any], **more: Any) -> None:
    if not available("icarus"):
        pytest.skip("icarus is not installed")
    run_testbench(
        Mesh(side=side, **parameters),
        "tb_buffered_mesh",
        "icarus",
        parameters={**parameters, **more, "side": side},
        verilog_text=emit_verilog(emit_rtlil(Mesh(side=side, **parameters), "dut")),
    )


def test_mesh() -> None:
    """Random packets between all places of a mesh of 3 × 3 arrive; links in rings do not come to a standstill."""
    assert len(Side) == MESH_PORTS
    parameters = DEFAULTS | {"depth": 2}
    run_mesh(3, parameters)


@pytest.mark.parametrize(("depth", "cycles"), [(2, 5), (8, 8)])
def test_credits_limit_one_channel(depth: int, cycles: int) -> None:
    """Between two routers a channel sends `depth` flits in 5 cycles, or one a cycle."""
    parameters = DEFAULTS | {"depth": depth, "virtual_channels": 1}
    run_mesh(2, parameters, loop=[depth, cycles])
