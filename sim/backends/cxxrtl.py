"""The default backend: Yosys' CXXRTL and a C++ compiler, nothing that is not a Python package or everywhere."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ohmweave.sim.backends.cxxrtl_activity import Recorded, layout, recording_gate, recording_part
from ohmweave.sim.backends.cxxrtl_gate import PREAMBLE, gate, namespace, two_evaluations
from ohmweave.sim.backends.cxxrtl_pieces import in_files, in_pieces, out_of_header
from ohmweave.sim.backends.cxxrtl_speed import RUNTIME, fast_header, guard_writes
from ohmweave.sim.backends.design import ChipSource, Design
from ohmweave.sim.backends.hierarchy import Part, black_box, mangle, partition, ports, split_modules
from ohmweave.sim.backends.job import RESET_CYCLES, Job, Progress, Result
from ohmweave.sim.backends.native import check_waves, run_native
from ohmweave.sim.backends.toolchain import (
    cases,
    compile_objects,
    compiler,
    compiler_version,
    cxxrtl_include,
    run_yosys,
    template,
    yosys_version,
)  # fmt: skip
from ohmweave.sim.backends.verilog import counted_port, entries
from ohmweave.sim.cache import cached, content_key

__all__ = ["WAVES", "build", "simulate"]

#: Wave formats that the backend writes.
WAVES = (".vcd",)
EXECUTABLE = "simulation"
LAYOUT = "layout.json"
#: Cycles of a window of recorded activity: one word of 64 bits for each bit of the chip.
WINDOW = 64
FLAGS = ("-std=c++14", "-fno-plt", "-w", "-DNDEBUG")
# Runs with waves are short, and what makes them is a lot of code.
SPEED, SPEED_WAVES = "-O3", "-O1"
# A module in the way of being flattened or optimised keeps its attributes; names end with -g0.
PASSES = "proc; flatten; opt; clean"


def simulate(
    source: ChipSource,
    job: Job,
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
    gated: bool = True,
) -> Result:
    """Run `job`; `gated=False` evaluates everything in every cycle, to the same outputs and cycles."""
    check_waves("cxxrtl", waves, WAVES)
    started = time.perf_counter()
    design = source.design()
    job.check_entries(entries(design))
    executable = build(design, gated=gated, waves=waves is not None)
    arguments = [] if waves is None else [waves]
    return run_native(
        [executable], job, arguments, jobs=1 if waves else jobs, started=started, progress=progress,
        params=source.params,
    )  # fmt: skip


def build(design: Design, *, gated: bool = True, waves: bool = False, activity: bool = False) -> Path:
    """Path of the simulation executable, built or found in the cache.

    gated  large shared modules are translated on their own and sleep while nothing changes in them
    waves  with the names and values of all signals, for a waveform
    activity  with the recording of `templates/activity.h`, and `layout.json` beside it
    """
    compiler()  # refused before anything is done
    support = {name: template(name) for name in ("activity.h", "cxxrtl_main.cc", "driver.h", "expressions.h")}
    flags = [*FLAGS, SPEED_WAVES if waves else SPEED]
    generator = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    key = content_key(
        design.key, *support.values(), generator, repr((gated, waves, activity, flags, RESET_CYCLES)),
        yosys_version(), " ".join(compiler()), compiler_version(),
    )  # fmt: skip

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        found = _write_sources(work, design, gated=gated, waves=waves, activity=activity)
        if activity:
            (folder / LAYOUT).write_text(json.dumps(found))
        include = ["-I", ".", "-I", str(cxxrtl_include())]
        compile_objects(sorted(work.glob("*.cc")), [*flags, *include], folder / EXECUTABLE)
        shutil.rmtree(work)

    return cached("cxxrtl", key, make) / EXECUTABLE


def _write_sources(
    work: Path, design: Design, *, gated: bool, waves: bool, activity: bool = False
) -> list[list[object]]:
    """All C++ of a simulation; gives what its parts record."""
    modules = split_modules(design.rtlil)
    parts = partition(modules, design.top, design.modules if gated else (), design.macros)
    glue = [design.header, PREAMBLE]
    recorded: dict[str, list[Recorded]] = {}
    reach = _translate_all(work, parts, modules, design, waves=waves)
    for number, part in enumerate(parts):
        stem = f"part{number}"
        glue.append(f'#include "{stem}.h"\n')
        glue += [_macro(design, name, part.top) for name in part.macros]
        files = work / f"{stem}.h", work / f"{stem}.cc"
        header, source = (file.read_text() for file in files)
        if gated:
            texts = two_evaluations(
                part.top, header, source, reach[part.top].through, settles=part.top != design.top
            )
            if texts is None:  # feedback: evaluated as a whole, as often as it takes
                shutil.rmtree(work)
                work.mkdir()
                return _write_sources(work, design, gated=False, waves=waves, activity=activity)
            header, source = texts
            for child in part.children:
                text = gate(part.top, child, ports(modules[child]), reach[child].outputs)
                glue.append(recording_gate(text, child) if activity else text)
        name = mangle(part.top)
        header, source = out_of_header(*in_pieces(header, source, name), name)
        if activity:
            header, source, recorded[part.top] = recording_part(part.top, header, source)
        files[0].write_text(header)
        for file_number, text in enumerate(in_files(source)):
            (files[1] if not file_number else work / f"{stem}_{file_number}.cc").write_text(text)
    (work / "glue.cc").write_text("".join(glue))
    # The folder of the sources comes before CXXRTL's own on the path of includes.
    (work / RUNTIME).parent.mkdir(exist_ok=True)
    runtime = (cxxrtl_include() / RUNTIME).read_text()
    (work / RUNTIME).write_text(fast_header(runtime, template("expressions.h")))
    (work / "driver.h").write_text(template("driver.h", RESET_CYCLES=RESET_CYCLES))
    (work / "main.cc").write_text(
        template(
            "cxxrtl_main.cc",
            ENTRIES=cases(entries(design)),
            COUNTED=counted_port(design),
            TOP=design.top,
        )
    )
    (work / "design.h").write_text(
        f"{design.header}\n"
        f'#include "part{len(parts) - 1}.h"\n'
        f"using Top = {namespace(design.top)}::{mangle(design.top)};\n"
        f"#define OHMWEAVE_WAVES {int(waves)}\n"
        f"#define OHMWEAVE_SINGLE_PASS {int(gated)}\n"
        f"#define OHMWEAVE_ACTIVITY {int(activity)}\n"
    )
    (work / "activity.h").write_text(template("activity.h", WINDOW=WINDOW))
    return layout(recorded)


def _macro(design: Design, name: str, parent: str) -> str:
    """The macro's model, in the namespace of the part that instantiates it."""
    return f"#define cxxrtl_design {namespace(parent)}\n{design.models[name]}\n#undef cxxrtl_design\n"


@dataclass(frozen=True)
class _Reach:
    """What of a part hangs together within a cycle.

    outputs  those that an input reaches
    through  cells of other parts that an input of theirs and an output of this part reach each other through
    """

    outputs: frozenset[str]
    through: frozenset[str]


def _translate_all(
    work: Path, parts: Sequence[Part], modules: dict[str, str], design: Design, *, waves: bool
) -> dict[str, _Reach]:
    """All parts to `part0`, `part1`, …, each as soon as the parts in it are done, as many at once as processors."""
    done: dict[str, Future[_Reach]] = {}

    def translate(number: int, part: Part) -> _Reach:
        reach = {child: done[child].result() for child in part.children}
        return _translate(work, f"part{number}", part, modules, reach, design, waves=waves)

    # Parts come after those in them, and are begun in their order: what one waits for has been begun.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, part in enumerate(parts):
            done[part.top] = pool.submit(translate, number, part)
    return {name: future.result() for name, future in done.items()}


def _translate(
    work: Path, stem: str, part: Part, modules: dict[str, str], reach: dict[str, _Reach], design: Design,
    *, waves: bool,
) -> _Reach:  # fmt: skip
    """RTLIL of a part to `stem`.h and `stem`.cc."""
    texts = [modules[name] for name in part.modules]
    texts += [black_box(name, ports(modules[name]), reach[name].outputs) for name in part.children]
    texts += [design.stubs[name] for name in part.macros]
    (work / f"{stem}.il").write_text("\n".join(texts))
    # What no longer hangs together without flip-flops, clocked memory ports and boxes whose outputs are registered.
    cut = ["t:$*ff*", "t:$memrd_v2 r:CLK_ENABLE=1 %i", *(f"t:{name}" for name in part.macros)]
    cut += [f"t:{name}" for name in part.children if not reach[name].outputs]
    boxes = [f"t:{name}" for name in part.children if reach[name].outputs]
    lines = [
        f"read_rtlil {stem}.il",
        f"hierarchy -top {part.top}",
        PASSES,
        f"write_rtlil {stem}.flat.il",
        f"write_cxxrtl -header -namespace {namespace(part.top)} -O6 {'-g4' if waves else '-g0'} {stem}.cc",
        "delete =*",
        f"read_rtlil {stem}.flat.il",
        *(f"delete {cells}" for cells in cut),
        # From all inputs at once: a selection for each output takes seconds where a part has hundreds of modules.
        f"select -write {stem}.reached {part.top}/i:* %co* {part.top}/o:* %i",
        *(
            f"select -write {stem}.through{number} {part.top}/o:* %ci* {box} %i"
            for number, box in enumerate(boxes)
        ),
    ]
    run_yosys("\n".join([*lines, ""]), work, f"{stem}.ys")
    source = work / f"{stem}.cc"
    source.write_text(guard_writes(source.read_text()))
    return _Reach(
        outputs=frozenset(line.partition("/")[2] for line in (work / f"{stem}.reached").read_text().split()),
        through=frozenset(
            line.partition("/")[2]
            for number in range(len(boxes))
            for line in (work / f"{stem}.through{number}").read_text().split()
        ),
    )
