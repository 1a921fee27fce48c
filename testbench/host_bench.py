"""A host port between a host and the streams of a chip, for its testbenches."""

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.axi_host import Host
from ohmweave.testbench.stream import StreamSink, StreamSource, parameters, start

__all__ = ["CONFIG_BIT", "LINK_BITS", "PES", "Account", "Bench", "flits"]

LINK_BITS: int = parameters()["link_bits"]
PES: int = parameters()["pes"]
CONFIG_BIT = 1 << LINK_BITS


class Bench:
    """A host, and a chip that takes flits and gives some, of which `entered` and `results` keep account."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.host = Host(dut, link_bits=LINK_BITS)

    @classmethod
    async def begin(cls, dut: Any) -> "Bench":
        dut.busy.value = 0
        dut.activity.value = 0
        dut.fault.value = 0
        dut.host_in__ready.value = 0
        dut.host_out__valid.value = 0
        dut.host_out__payload.value = 0
        bench = cls(dut)
        await start(dut)
        await RisingEdge(dut.clk)
        cocotb.start_soon(bench.host.check_stability())
        return bench

    def consume(self, stall: float = 0.0, seed: int = 3) -> StreamSink:
        """Let the chip take all flits from now on."""
        sink = StreamSink(self.dut, "host_in", stall=stall, seed=seed)
        self.consumer = cocotb.start_soon(sink.run())
        return sink

    def stop_consuming(self) -> None:
        self.consumer.cancel()
        self.dut.host_in__ready.value = 0

    def produce(self, words: Iterable[int], idle: float = 0.0, seed: int = 4) -> Any:
        """Let the chip send results."""
        source = StreamSource(self.dut, "host_out", idle=idle, seed=seed)
        return cocotb.start_soon(source.run(words))


def flits(chance: random.Random, count: int) -> list[int]:
    return [chance.getrandbits(LINK_BITS) for _ in range(count)]


class Account:
    """What happens at the ports, cycle by cycle, for the counters to equal."""

    def __init__(self, bench: Bench):
        self._bench = bench
        self._rows: list[dict[str, bool]] = []

    async def run(self) -> None:
        def high(port: str, name: str) -> bool:
            return bool(int(self._bench.host.signal(port, name).value))

        while True:
            await RisingEdge(self._bench.dut.clk)
            row = {"answer": high("registers", "bvalid")}
            for port in ("images", "results"):
                valid, ready = high(port, "tvalid"), high(port, "tready")
                row[f"{port} taken"] = valid and ready
                row[f"{port} waits"] = valid and not ready
                row[f"{port} ended"] = valid and ready and high(port, "tlast")
            self._rows.append(row)

    def counts(self) -> dict[str, int]:
        """From the answer to `start` on, to the last flit of results."""
        first = next(n for n, row in enumerate(self._rows) if row["answer"])
        last = max(n for n, row in enumerate(self._rows) if row["results taken"])
        rows = self._rows[first : last + 1]
        seen = {
            "FRAMES_IN": "images ended",
            "FRAMES_OUT": "results ended",
            "FLITS_IN": "images taken",
            "FLITS_OUT": "results taken",
            "IMAGES_WAITED": "images waits",
            "RESULTS_WAITED": "results waits",
        }
        return {"CYCLES": len(rows)} | {name: sum(row[key] for row in rows) for name, key in seen.items()}
