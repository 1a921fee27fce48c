"""Registers and the map of a PE's configuration space, in Amaranth's simulator."""

import random
import re
from typing import Any

import pytest
from amaranth.hdl import signed
from amaranth.lib import data
from amaranth.sim import Simulator

from ohmweave.rtl.config_map import ConfigDemux, Region
from ohmweave.rtl.registers import RegisterFile, register_writes

LAYOUTS = {
    "one bit": data.StructLayout({"a": 1}),
    "a word": data.StructLayout({"a": 7, "b": 9}),
    "across words": data.StructLayout({"a": 5, "b": signed(20), "c": 1, "d": data.ArrayLayout(3, 4)}),
    "three words and a bit": data.ArrayLayout(7, 7),
}


def simulate(component: Any, testbench: Any) -> None:
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("name", LAYOUTS)
def test_register_file(name: str) -> None:
    layout = LAYOUTS[name]
    words = -(-layout.size // 16)
    dut = RegisterFile(layout=layout)
    rng = random.Random(layout.size)

    async def testbench(ctx: Any) -> None:
        held = 0
        assert ctx.get(dut.value.as_value()) == 0
        for _ in range(200):
            address = rng.choice([*range(words + 2), 0x1000, 0xFFFF])
            written, valid = rng.getrandbits(16), rng.random() < 0.7
            ctx.set(dut.config.valid, valid)
            ctx.set(dut.config.p.address, address)
            ctx.set(dut.config.p.data, written)
            assert ctx.get(dut.config.ready) == 1
            assert ctx.get(dut.value.as_value()) == held
            await ctx.tick()
            if valid and address < words:
                held = held & ~(0xFFFF << 16 * address) | written << 16 * address
                held &= (1 << layout.size) - 1
            assert ctx.get(dut.value.as_value()) == held

    simulate(dut, testbench)


def test_register_writes() -> None:
    layout = LAYOUTS["across words"]
    values = {"a": 0x15, "b": -2, "c": 1, "d": [1, 2, 3, 4]}
    writes = register_writes(layout, values)
    # a: bits 0-4, b: 5-24, c: 25, d: 26-37
    bits = 0x15 | (-2 & 0xFFFFF) << 5 | 1 << 25 | (1 | 2 << 3 | 3 << 6 | 4 << 9) << 26
    assert writes == [(0, bits & 0xFFFF), (1, bits >> 16 & 0xFFFF), (2, bits >> 32)]
    dut = RegisterFile(layout=layout)

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.config.valid, 1)
        for address, word in writes:
            ctx.set(dut.config.p.address, address)
            ctx.set(dut.config.p.data, word)
            await ctx.tick()
        assert ctx.get(dut.value.a) == 0x15
        assert ctx.get(dut.value.b) == -2
        assert ctx.get(dut.value.c) == 1
        assert [ctx.get(dut.value.d[n]) for n in range(4)] == [1, 2, 3, 4]

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"a": 32}, "a must fit into 5 bits, not 32"),
        ({"b": -(2**19) - 1}, "b must fit into 20 bits, not -524289"),
        ({"d": [7, 8, 0, 0]}, "d.1 must fit into 3 bits, not 8"),
    ],
)
def test_register_writes_refuse_what_would_be_cut(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        register_writes(LAYOUTS["across words"], values)


def test_refuses_what_is_no_layout() -> None:
    with pytest.raises(TypeError) as error:
        RegisterFile(layout=16)  # type: ignore[arg-type]
    assert str(error.value) == "Layout must be an amaranth.lib.data layout, not 16"


def test_region_addresses() -> None:
    assert [region.address(5) for region in Region] == [n << 12 | 5 for n in range(len(Region))]
    with pytest.raises(ValueError, match=r"^A local address must be from 0 to 4095, not 4096$"):
        Region.CONSTANTS.address(4096)


def test_config_demux() -> None:
    dut = ConfigDemux()
    rng = random.Random(1)

    async def testbench(ctx: Any) -> None:
        seen = set()
        for _ in range(400):
            address, word, valid = rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(1)
            ready = [rng.getrandbits(1) for _ in Region]
            ctx.set(dut.i.p.address, address)
            ctx.set(dut.i.p.data, word)
            ctx.set(dut.i.valid, valid)
            for port, bit in zip(dut.o, ready, strict=True):
                ctx.set(port.ready, bit)
            await ctx.delay(1e-7)
            region = address >> 12
            seen.add(region)
            assert ctx.get(dut.i.ready) == (ready[region] if region < len(Region) else 1)
            for n, port in enumerate(dut.o):
                assert ctx.get(port.valid) == (valid and n == region)
                if n == region:
                    assert ctx.get(port.p.address) == address & 0xFFF
                    assert ctx.get(port.p.data) == word
        assert seen == set(range(16))

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
