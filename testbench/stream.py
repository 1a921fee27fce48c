"""Drivers and monitors of `amaranth.lib.stream` ports, and what every testbench starts with."""

import ast
import os
import random
from collections.abc import Iterable
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

__all__ = ["PACES", "StreamSink", "StreamSource", "parameters", "reset", "start"]

#: (probability that a source idles a cycle, probability that a sink does not take a word), swept by the tests.
PACES = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)]


def parameters() -> dict[str, Any]:
    """What `run_testbench(parameters=…)` was given."""
    return ast.literal_eval(os.environ["OHMWEAVE_TB_PARAMETERS"])


async def start(dut: Any) -> None:
    """Start a 10 ns clock and hold reset for two cycles; returns just after a rising edge."""
    Clock(dut.clk, 10, unit="ns").start()
    await reset(dut)


async def reset(dut: Any, cycles: int = 2) -> None:
    """Pulse the synchronous reset."""
    dut.rst.value = 1
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


class StreamSource:
    """Drives `<name>__valid`, `<name>__payload`: offers each word until it is taken, with random idle cycles.

    `taken` holds (cycle, word) of every transfer; `cycle` counts rising edges since `run` began.
    """

    def __init__(self, dut: Any, name: str, *, idle: float = 0.0, seed: int = 1):
        self._clk = dut.clk
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload", None)
        self._idle = idle
        self._random = random.Random(seed)
        self.cycle = 0
        self.taken: list[tuple[int, int]] = []
        self._valid.value = 0

    async def run(self, words: Iterable[int]) -> None:
        """Send every word; returns after the last was taken."""
        for word in words:
            while self._random.random() < self._idle:
                self._valid.value = 0
                await self._edge()
            self._valid.value = 1
            if self._payload is not None:
                self._payload.value = word
            while True:
                await ReadOnly()
                took = bool(self._ready.value)
                await self._edge()
                if took:
                    self.taken.append((self.cycle - 1, word))
                    break
        self._valid.value = 0

    async def _edge(self) -> None:
        await RisingEdge(self._clk)
        self.cycle += 1


class StreamSink:
    """Drives `<name>__ready` at random and records what is transferred, as (cycle, word), in `taken`.

    It also checks the stream's rules: once valid, a word stays offered and unchanged until it is taken.
    """

    def __init__(self, dut: Any, name: str, *, stall: float = 0.0, seed: int = 2):
        self._clk = dut.clk
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload", None)
        self._name = name
        self._stall = stall
        self._random = random.Random(seed)
        self.cycle = 0
        self.taken: list[tuple[int, int]] = []
        self._ready.value = 0

    async def run(self, count: int | None = None, *, cycles: int | None = None) -> None:
        """Take `count` words, or whatever comes in `cycles` cycles."""
        waiting: int | None = None
        while (count is None or len(self.taken) < count) and (cycles is None or self.cycle < cycles):
            self._ready.value = int(self._random.random() >= self._stall)
            await ReadOnly()
            valid = bool(self._valid.value)
            word = int(self._payload.value) if valid and self._payload is not None else 0
            if waiting is not None:
                assert valid, f"{self._name}: a word was withdrawn before it was taken"
                assert word == waiting, f"{self._name}: a word changed before it was taken"
            took = valid and bool(self._ready.value)
            waiting = word if valid and not took else None
            await RisingEdge(self._clk)
            self.cycle += 1
            if took:
                self.taken.append((self.cycle - 1, word))
        self._ready.value = 0
