"""Amaranth's own simulator: slow, but the shortest way from the Python to the values of its signals."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Fragment, Module, Value
from amaranth.sim import Simulator

from ohmweave.rtl.crossbar.model import MacroModel
from ohmweave.rtl.netlist import Macro
from ohmweave.sim.backends.counts import COUNTED, counts
from ohmweave.sim.backends.design import ChipSource
from ohmweave.sim.backends.job import RESET_CYCLES, Job, Progress, Result, fault_message, hang_message
from ohmweave.sim.backends.native import check_waves

__all__ = ["WAVES", "SimPlatform", "simulate"]

#: Wave formats that the backend writes.
WAVES = (".vcd",)


class SimPlatform:
    """Amaranth's platform of a simulation: collects the macros, whose outputs `processes` of Python drive."""

    def __init__(self) -> None:
        self.macros: list[Macro] = []

    def add_macro(self, macro: Macro) -> None:
        """Called by each macro while it is elaborated."""
        self.macros.append(macro)


def array_process(macro: Any, cells: Mapping[int, np.ndarray]) -> Any:
    """The process that drives the outputs of a crossbar macro; `cells` are the levels of each array by its id."""

    async def process(ctx: Any) -> None:
        model: MacroModel | None = None
        ports = (macro.id, macro.start, macro.group, macro.x, macro.write, macro.row, macro.levels)
        async for _, _, unit, start, group, x, write, row, levels in ctx.tick().sample(*ports):
            if model is None:
                model = MacroModel(macro.model)
                if unit in cells:
                    model.cells.load(cells[unit])
            if model.edge(start=start, group=group, x=x, write=write, row=row, levels=levels):
                ctx.set(macro.sums.as_value(), model.sums)
                ctx.set(macro.reference, model.reference)

    return process


class _Stream:
    """Flits on their way to a port of the chip: frames behind `before` others."""

    def __init__(self, port: Any, words: Sequence[int], before: int, frame: int):
        self._port, self._words, self._before, self._frame = port, words, before, frame
        self._sent = 0

    def offer(self, ctx: Any) -> None:
        valid = self._sent < len(self._words)
        ctx.set(Value.cast(self._port.payload), self._words[self._sent] if valid else 0)
        ctx.set(self._port.valid, valid)

    def takes(self, ctx: Any) -> bool:
        return self._sent < len(self._words) and bool(ctx.get(self._port.ready))

    def take(self) -> int:
        """Go on to the next; frames that have begun."""
        self._sent += 1
        return -(-(self._sent - self._before) // self._frame) if self._sent > self._before else 0


def simulate(
    source: ChipSource,
    job: Job,
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run `job`; always one process, whatever `jobs` is."""
    check_waves("pysim", waves, WAVES)
    started = time.perf_counter()
    chip: Any = source.make()
    entries = list(getattr(chip, "entry_i", ()))
    job.check_entries(len(entries))
    platform = SimPlatform()
    top = Module()
    top.domains.sync = domain = ClockDomain()
    top.submodules.chip = chip
    simulator = Simulator(Fragment.get(top, platform))
    simulator.add_clock(1e-8)
    for macro in platform.macros:
        simulator.add_process(array_process(macro, job.levels))

    frames, per_frame = len(job.frames), job.outputs_per_frame
    streams = [
        _Stream(chip.host_in, job.flits, len(job.config), job.host_flits),
        *(
            _Stream(port, words.tolist(), 0, flits)
            for port, words, flits in zip(entries, job.entry_data, job.lengths, strict=False)
        ),
    ]
    wanted = frames * per_frame
    first_in: list[int] = []
    outputs: list[tuple[int, int]] = []
    port = next(getattr(chip, name) for name in COUNTED if hasattr(chip, name))
    counted = Value.cast(port)
    count = np.zeros(len(counted), np.int64)
    cycle = 0

    async def drive(ctx: Any) -> None:
        nonlocal cycle
        ctx.set(domain.rst, 1)
        ctx.set(chip.host_out.ready, 1)
        for _ in range(RESET_CYCLES):
            await ctx.tick()
        ctx.set(domain.rst, 0)
        moved = 0
        while True:
            for stream in streams:
                stream.offer(ctx)
            # An input may be ready by what the others offer.
            for stream in [stream for stream in streams if stream.takes(ctx)]:
                if stream.take() > len(first_in):
                    first_in.append(cycle)
                moved = cycle
            if first_in:
                bits = ctx.get(counted)
                while bits:
                    low = bits & -bits
                    count[low.bit_length() - 1] += 1
                    bits ^= low
            fault = ctx.get(chip.fault.as_value())
            if fault & 1:
                raise fault_message(fault, cycle)
            out = ctx.get(chip.host_out.valid)
            if out:
                outputs.append((cycle, ctx.get(chip.host_out.payload)))
                moved = cycle
                if progress and len(outputs) % per_frame == 0:
                    progress(len(outputs) // per_frame, frames)
            elif cycle - moved >= job.idle_limit:
                raise hang_message(job, len(outputs))
            cycle += 1
            if len(outputs) == wanted:
                break
            await ctx.tick()

    simulator.add_testbench(drive)
    begun = time.perf_counter()
    with simulator.write_vcd(str(waves)) if waves else contextlib.nullcontext():
        simulator.run()
    found = counts(count, cycle - first_in[0], source.params)
    table = np.array(outputs, np.uint64).reshape(frames, per_frame, 2)
    return Result(
        outputs=table[:, :, 1].astype(job.frames.dtype),
        first_in=np.array(first_in, np.int64),
        last_out=table[:, -1, 0].astype(np.int64),
        busy=found.busy,
        states=found.states,
        flits=found.flits,
        cycles=cycle,
        shards=(frames,),
        simulated=cycle,
        build_s=begun - started,
        run_s=time.perf_counter() - begun,
    )
