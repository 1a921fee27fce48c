"""A host, played by cocotbext-axi, of a host port or a chip: registers by name, flits, and the rules of AXI."""

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any

from cocotb.triggers import RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from ohmweave.rtl.host.register_map import fields, register
from ohmweave.rtl.memory.descriptors import Copy

__all__ = ["Host"]


def _pauses(probability: float, seed: int) -> Iterator[bool]:
    chance = random.Random(seed)
    while True:
        yield chance.random() < probability


class Host:
    """Masters on the ports `images`, `results` and `registers` of `dut`.

    separator  what stands between the name of a port and that of a signal
    link_bits  bits of a flit
    """

    def __init__(self, dut: Any, *, separator: str = "__", link_bits: int = 16):
        def bus(kind: Any, name: str) -> Any:
            # They report every access otherwise.
            logging.getLogger(f"cocotb.{dut._name}.{name}").setLevel(logging.WARNING)
            return kind.from_prefix(dut, name, bus_separator=separator)

        self._dut = dut
        self._separator = separator
        self.lite = AxiLiteMaster(bus(AxiLiteBus, "registers"), dut.clk, dut.rst)
        self.images = AxiStreamSource(bus(AxiStreamBus, "images"), dut.clk, dut.rst, byte_size=link_bits)
        self.results = AxiStreamSink(bus(AxiStreamBus, "results"), dut.clk, dut.rst, byte_size=link_bits)

    def signal(self, port: str, name: str) -> Any:
        return getattr(self._dut, f"{port}{self._separator}{name}")

    def pause(self, idle: float, stall: float, seed: int = 1) -> None:
        """Random idle cycles of what the host sends, and stalls of what it takes, on each channel."""
        write, read = self.lite.write_if, self.lite.read_if
        for n, sender in enumerate((write.aw_channel, write.w_channel, read.ar_channel, self.images)):
            sender.set_pause_generator(_pauses(idle, 10 * seed + n) if idle else None)
            sender.pause = False
        for n, taker in enumerate((write.b_channel, read.r_channel, self.results)):
            taker.set_pause_generator(_pauses(stall, 10 * seed + 5 + n) if stall else None)
            taker.pause = False

    async def write_at(self, address: int, data: bytes) -> bool:
        """Write bytes; whether it was accepted."""
        answer = await self.lite.write(address, data)
        assert answer.resp in (AxiResp.OKAY, AxiResp.SLVERR)
        return bool(answer.resp == AxiResp.OKAY)

    async def read_at(self, address: int) -> tuple[int, bool]:
        """A word, and whether the read was accepted."""
        answer = await self.lite.read(address, 4)
        assert answer.resp in (AxiResp.OKAY, AxiResp.SLVERR)
        return int.from_bytes(answer.data, "little"), bool(answer.resp == AxiResp.OKAY)

    async def write(self, name: str, value: int) -> None:
        assert await self.write_at(register(name).address, value.to_bytes(4, "little")), name

    async def refused(self, name: str, value: int) -> None:
        """A write that is answered with SLVERR."""
        assert not await self.write_at(register(name).address, value.to_bytes(4, "little")), name

    async def read(self, name: str) -> int:
        word, accepted = await self.read_at(register(name).address)
        assert accepted, name
        return word

    async def long(self, name: str) -> int:
        """A counter of two words."""
        low = await self.read(name)
        return low | await self.read(f"{name}_HIGH") << 32

    async def status(self) -> dict[str, int]:
        return fields("STATUS", await self.read("STATUS"))

    async def errors(self) -> set[str]:
        """Names of the errors that are set."""
        return {name for name, value in fields("ERROR", await self.read("ERROR")).items() if value}

    async def command(self, name: str) -> None:
        await self.write("CONTROL", register("CONTROL").field(name).mask)

    async def start(self, image_flits: int, result_flits: int) -> None:
        await self.write("IMAGE_FLITS", image_flits)
        await self.write("RESULT_FLITS", result_flits)
        await self.command("start")

    async def configure(self, words: Sequence[int]) -> None:
        """Send configuration flits; the writes follow each other as from a host with a queue."""
        address = register("CONFIG").address
        events = [self.lite.init_write(address, (word & 0xFFFF).to_bytes(4, "little")) for word in words]
        for event in events:
            await event.wait()
            assert event.data.resp == AxiResp.OKAY

    async def send(self, flits: Sequence[int], to: int | None = None) -> None:
        """Give the source a frame to send, and to which point, where there are several."""
        await self.images.send(AxiStreamFrame(list(flits), tdest=to))

    async def frame(self) -> list[int]:
        """The next frame of results."""
        return list((await self.results.recv()).tdata)

    async def copy(self, kind: int, address: int, length: int, *, to: int = 0, ends: bool = False) -> None:
        """Queue a copy of memory, once there is room for it."""
        await self.write("COPY_ADDRESS", address)
        await self.write("COPY_LENGTH", length)
        room = "load_room" if kind in (Copy.LOAD, Copy.CONFIGURE) else "store_room"
        while not fields("COPY_STATUS", await self.read("COPY_STATUS"))[room]:
            pass
        await self.write("COPY", kind | ends << 7 | to << 8)

    async def until_copied(self) -> None:
        """Wait for the end of all copies."""
        while not fields("COPY_STATUS", await self.read("COPY_STATUS"))["idle"]:
            pass

    async def until_idle(self) -> None:
        while not (await self.status())["idle"]:
            pass

    async def check_stability(self) -> None:
        """For ever: whatever is offered on an output stays offered and unchanged until it is taken, or the reset."""
        channels = {
            ("results", "tvalid", "tready"): ("tdata", "tlast"),
            ("registers", "bvalid", "bready"): ("bresp",),
            ("registers", "rvalid", "rready"): ("rdata", "rresp"),
        }
        waiting: dict[Any, list[int]] = {}
        while True:
            await RisingEdge(self._dut.clk)
            if int(self._dut.rst.value):
                waiting.clear()
                continue
            for (port, valid, ready), payload in channels.items():
                offered = int(self.signal(port, valid).value)
                words = [int(self.signal(port, name).value) for name in payload] if offered else []
                if (port, valid) in waiting:
                    assert offered, f"{port}: {valid} fell before the transfer"
                    assert words == waiting.pop((port, valid)), f"{port}: changed before the transfer"
                if offered and not int(self.signal(port, ready).value):
                    waiting[port, valid] = words
