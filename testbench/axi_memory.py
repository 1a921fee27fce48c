"""A memory on an AXI4 port, played by cocotbext-axi, that can pause, take its time and refuse."""

import logging
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.queue import Queue
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiResp

__all__ = ["AXIMemory", "pauses"]

CHANNELS = ("aw", "w", "b", "ar", "r")


def pauses(probability: float, seed: int) -> Iterator[bool]:
    """Whether to pause in each cycle."""
    chance = random.Random(seed)
    while True:
        yield chance.random() < probability


class AXIMemory:
    """`size` bytes behind a port of `dut`.

    port, separator        its name, and what stands between that and a signal's
    bad_reads, bad_writes  number of a line of `line` bytes → the response to it; reads fail in beat `bad_beat`
    bad_lasts              lines whose `rlast` comes a beat too early
    bursts                 what was asked for: ("r" or "w", address, beats)
    """

    def __init__(
        self,
        dut: Any,
        *,
        size: int,
        line: int,
        bad_beat: int = 0,
        port: str = "bus",
        separator: str = "__",
    ):
        logging.getLogger("cocotb." + dut._name).setLevel(logging.WARNING)
        for channel in CHANNELS:
            logging.getLogger(f"cocotb.{dut._name}.{port}{separator}{channel}").setLevel(logging.WARNING)
        logging.getLogger(f"cocotb.{dut._name}.{port}").setLevel(logging.ERROR)
        self._dut = dut
        self._prefix = port + separator
        self.line = line
        self.bad_beat = bad_beat
        self.bad_reads: dict[int, AxiResp] = {}
        self.bad_writes: dict[int, AxiResp] = {}
        self.bad_lasts: set[int] = set()
        self.bursts: list[tuple[str, int, int]] = []
        self.ram = AxiRam(AxiBus.from_prefix(dut, port, bus_separator=separator), dut.clk, dut.rst, size=size)
        self._hook_reads()
        self._hook_writes()

    def _hook_reads(self) -> None:
        side = self.ram.read_if
        read, send = side._read, side.r_channel.send
        code: list[AxiResp] = []
        early: list[bool] = []

        async def read_or_refuse(address: int, length: int) -> bytes:
            number, place = divmod(address, self.line)
            early[:] = [number in self.bad_lasts and place == self.line - 2 * length]
            if number in self.bad_reads and place == self.bad_beat * length:
                code[:] = [self.bad_reads[number]]
                raise OSError
            return bytes(await read(address, length))

        async def answer(beat: Any) -> None:
            if beat.rresp == AxiResp.SLVERR:
                beat.rresp = code.pop()
            if early.pop():
                beat.rlast = 1
            await send(beat)

        side._read, side.r_channel.send = read_or_refuse, answer

    def _hook_writes(self) -> None:
        side = self.ram.write_if
        write, send = side._write, side.b_channel.send
        code: list[AxiResp] = []

        async def write_or_refuse(address: int, data: bytes) -> None:
            number = address // self.line
            if number in self.bad_writes:
                code[:] = [self.bad_writes[number]]
                raise OSError
            await write(address, data)

        async def answer(end: Any) -> None:
            if end.bresp == AxiResp.SLVERR:
                end.bresp = code[0]
            await send(end)

        side._write, side.b_channel.send = write_or_refuse, answer

    def channel(self, name: str) -> Any:
        side = self.ram.write_if if name in ("aw", "w", "b") else self.ram.read_if
        return getattr(side, f"{name}_channel")

    def pause(self, probability: float, seed: int = 1) -> None:
        """Random pauses on every channel."""
        for n, name in enumerate(CHANNELS):
            self.pause_one(name, pauses(probability, 10 * seed + n) if probability else None)

    def pause_one(self, name: str, generator: Iterator[bool] | None) -> None:
        channel = self.channel(name)
        channel.set_pause_generator(generator)
        if generator is None:
            channel.pause = False

    def delay_reads(self, cycles: int) -> None:
        """Let each read begin no sooner than `cycles` after it was asked for; several wait at once. Not for resets."""
        side = self.ram.read_if
        receive = side.ar_channel.recv
        side.ar_channel.queue_occupancy_limit = 16
        waiting: Queue[tuple[int, Any]] = Queue()
        now = [0]

        async def count() -> None:
            while True:
                await RisingEdge(self._dut.clk)
                now[0] += 1

        async def take() -> None:
            while True:
                request = await receive()
                waiting.put_nowait((now[0] + cycles, request))

        async def later() -> Any:
            time, request = await waiting.get()
            while now[0] < time:
                await RisingEdge(self._dut.clk)
            return request

        cocotb.start_soon(count())
        cocotb.start_soon(take())
        side.ar_channel.recv = later

    def signal(self, name: str) -> Any:
        return getattr(self._dut, self._prefix + name)

    async def check_rules(self) -> None:
        """For ever: what is offered stays offered and unchanged until it is taken; bursts are lines, within 4 KiB."""
        payloads = {
            "aw": ("addr", "len", "size", "burst", "id"),
            "w": ("data", "strb", "last"),
            "ar": ("addr", "len", "size", "burst", "id"),
        }
        waiting: dict[str, list[int]] = {}
        while True:
            await ReadOnly()
            reset = bool(int(self._dut.rst.value))
            for channel, names in payloads.items():
                offered = int(self.signal(f"{channel}valid").value)
                words = [int(self.signal(channel + name).value) for name in names] if offered else []
                if channel in waiting:
                    assert offered, f"{channel}valid fell before the transfer"
                    assert words == waiting[channel], f"{channel} changed before the transfer"
                taken = offered and int(self.signal(f"{channel}ready").value)
                waiting.pop(channel, None)
                if offered and not taken and not reset:
                    waiting[channel] = words
                if taken and not reset and channel != "w":
                    address, length, size, burst, identifier = words
                    bytes_ = (length + 1) << size
                    assert (burst, identifier, bytes_) == (1, 0, self.line)
                    assert address // 4096 == (address + bytes_ - 1) // 4096
                    assert address % self.line == 0
                    self.bursts.append((channel[1], address, length + 1))
            await RisingEdge(self._dut.clk)
