"""Router: refusals, the netlist's shape, and its testbench."""

import re
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out, connect

from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.network.router import Router
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench

DEFAULTS: dict[str, Any] = {
    "inputs": 5,
    "outputs": 5,
    "link_bits": 16,
    "broadcast_config": False,
    "registered_ready": False,
}

# On both simulators: a switch of a mesh, and the distribution of a tree node.
USED = [
    {"registered_ready": True},
    {"inputs": 1, "broadcast_config": True},
]
# Edges, where building is cheap.
EDGES = [
    {},
    {"inputs": 4, "outputs": 1},
    {"inputs": 1, "outputs": 1, "link_bits": 9},
    {"inputs": 1, "outputs": 3, "broadcast_config": True, "registered_ready": True},
    {"inputs": 2, "outputs": 4},
]


@pytest.mark.parametrize(
    ("simulator", "changes"),
    [(simulator, changes) for simulator in SIMULATORS for changes in USED]
    + [("icarus", changes) for changes in EDGES],
    ids=str,
)
def test_testbench(simulator: str, changes: dict[str, Any]) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = DEFAULTS | changes
    run_testbench(Router(**parameters), "tb_router", simulator, parameters=parameters)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"inputs": 0}, TypeError, "Router inputs must be a whole number from 1 to 16, not 0"),
        ({"inputs": True}, TypeError, "Router inputs must be a whole number from 1 to 16, not True"),
        ({"outputs": 17}, TypeError, "Router outputs must be a whole number from 1 to 16, not 17"),
        ({"outputs": "5"}, TypeError, "Router outputs must be a whole number from 1 to 16, not '5'"),
        ({"link_bits": 0}, TypeError, "Router link_bits must be a whole number from 1 to 64, not 0"),
        ({"link_bits": 65}, TypeError, "Router link_bits must be a whole number from 1 to 64, not 65"),
        ({"broadcast_config": True}, ValueError, "Router inputs must be 1 with broadcast_config, not 5"),
    ],
)
def test_refusals(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Router(**DEFAULTS | changes)


@pytest.mark.parametrize(("registered_ready", "places"), [(False, 2), (True, 3)])
def test_registers(registered_ready: bool, places: int) -> None:
    """There are the switch and the link register of each output, and nothing else that holds a flit."""
    router = Router(**DEFAULTS | {"registered_ready": registered_ready})
    text = rtlil.convert(router, name="router")
    flip_flops = re.findall(r"cell \$s?dff\w* .*?parameter \\WIDTH (\d+)", text, re.DOTALL)
    assert sum(map(int, flip_flops)) == 5 * places * (16 + 1 + 1)


class Pair(Component):
    """Two routers with a link each way, as neighbours of a mesh have."""

    def __init__(self, *, registered_ready: bool):
        super().__init__({"routes": In(4).array(2), "o": Out(flit_stream(16)).array(2)})
        self.registered_ready = registered_ready

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pair = [
            Router(inputs=2, outputs=2, link_bits=16, registered_ready=self.registered_ready)
            for _ in range(2)
        ]
        m.submodules.a, m.submodules.b = pair
        for n in range(2):
            connect(m, pair[n].o[0], pair[1 - n].i[0])
            m.d.comb += [
                pair[n].routes.eq(self.routes[n]),
                self.o[n].valid.eq(pair[n].o[1].valid),
                self.o[n].payload.eq(pair[n].o[1].payload),
                pair[n].o[1].ready.eq(self.o[n].ready),
            ]
        return m


def test_ring() -> None:
    """Links in a ring need `registered_ready`, and with it there is no combinational loop."""
    rtlil.convert(Pair(registered_ready=True), name="pair")
    with pytest.raises(Exception, match="Combinational cycle detected"):
        rtlil.convert(Pair(registered_ready=False), name="pair")
