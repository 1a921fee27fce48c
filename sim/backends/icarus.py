"""Icarus Verilog with nothing but Verilog: the macro's model too, and the test bench."""

import shutil
import subprocess
import time
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.design import ChipSource, Design
from ohmweave.sim.backends.job import RESET_CYCLES, Job, Progress, Result
from ohmweave.sim.backends.native import check_waves, run_native
from ohmweave.sim.backends.toolchain import run_tool, template
from ohmweave.sim.backends.verilog import (
    counted_bits,
    counted_port,
    entries,
    link_bits,
    macro_models,
    netlist_verilog,
)
from ohmweave.sim.cache import cached, content_key

__all__ = ["WAVES", "build", "simulate"]

#: Wave formats that the backend writes.
WAVES = (".vcd", ".fst")
COMPILED = "simulation.vvp"


def simulate(
    source: ChipSource,
    job: Job,
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run `job` in Icarus Verilog."""
    check_waves("icarus", waves, WAVES)
    _tool("iverilog")
    command: list[str | Path] = [_tool("vvp"), "-n"]
    started = time.perf_counter()
    design = source.design()
    job.check_entries(entries(design))
    command.append(build(design))
    if waves:
        command += ["-fst"] if waves.suffix == ".fst" else []
        command.append(f"+waves={waves.absolute()}")
    return run_native(
        command, job, jobs=1 if waves else jobs, started=started, progress=progress,
        folder=("+job={}", "+ohmweave_cells={}"), arrays=design.crossbars,
        params=source.params,
    )  # fmt: skip


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise OhmweaveError(f"no Icarus Verilog: {name} is not on PATH; install it or choose another backend")
    return path


def _entry_ports(design: Design) -> str:
    """Connections of the chip's entries."""
    width = link_bits(design)
    return "".join(
        f".entry_i__{n}__valid(entry_valid[{n}]), .entry_i__{n}__ready(entry_ready[{n}]), "
        f".entry_i__{n}__payload(entry_payload[{n * width} +: {width}]),\n    "
        for n in range(entries(design))
    )


def build(design: Design) -> Path:
    """Path of the compiled simulation, built or found in the cache."""
    tool = _tool("iverilog")
    version = subprocess.run([tool, "-V"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    bench = template(
        "icarus_main.v", TOP=design.top, COUNTED=counted_port(design), COUNTED_BITS=counted_bits(design),
        LINK_BITS=link_bits(design), RESET_CYCLES=RESET_CYCLES, ENTRIES=entries(design),
        ENTRY_PORTS=_entry_ports(design),
    )  # fmt: skip

    def make(folder: Path) -> None:
        sources = {"chip.v": netlist_verilog(design), "macros.v": macro_models(design), "testbench.v": bench}
        for name, text in sources.items():
            (folder / name).write_text(text)
        run_tool("Icarus Verilog", [tool, "-g2012", "-s", "testbench", "-o", COMPILED, *sources], folder)

    return cached("icarus", content_key(design.key, bench, version), make) / COMPILED
