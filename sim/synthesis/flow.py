"""From a netlist to cells: each distinct module on its own, with what it instantiates as black boxes, once.

Two steps, each kept in the cache by content: to gates, which no library has a part in, and to the cells of a
library. Several modules share a run of Yosys where they are small; two runs go on at a time.
"""

import contextlib
import gzip
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.design import Design
from ohmweave.sim.backends.hierarchy import split_modules
from ohmweave.sim.cache import cache_folder, cached, content_key, find_cached, is_full
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.mapped import MEMORY_CELL, Module, Synthesised, read_module, write_module
from ohmweave.sim.synthesis.mapping_library import mapping_library
from ohmweave.sim.synthesis.parts import Part, split
from ohmweave.sim.synthesis.scripts import (
    CELLS_FILE,
    GATES_FILE,
    LIBRARY_FILE,
    SOURCE_FILE,
    cells_script,
    gates_script,
)
from ohmweave.sim.synthesis.tool import Run, Tool, find_tool, run_yosys

__all__ = ["DEFAULT_THRESHOLD", "JOBS", "Progress", "synthesise"]

#: Memories with as many bits are macros; a register file of fewer is smaller as flip-flops than as SRAM.
DEFAULT_THRESHOLD = 1024
MAX_THRESHOLD = 1 << 30
JOBS = 2
#: Gates from which a module is mapped with less effort.
LARGE_GATES = 20_000
# How much goes into one run: characters of RTLIL, gates.
BATCH_TEXT, BATCH_GATES = 200_000, 20_000

#: Called with (what, done, total).
Progress = Callable[[str, int, int], None]


def synthesise(
    design: Design,
    library: Library,
    *,
    memory_threshold_bits: int = DEFAULT_THRESHOLD,
    dont_use: Sequence[str] = (),
    tool: Tool | None = None,
    limit_bytes: int | None = None,
    progress: Progress | None = None,
) -> Synthesised:
    """Map a netlist onto the cells of a library.

    memory_threshold_bits  memories with as many bits or more stay memories, the others become flip-flops
    dont_use               patterns of cells that are not to be chosen
    tool                   which Yosys; None: the one that `find_tool` finds
    limit_bytes            most memory of each of the two runs of Yosys at a time

    Raises `OhmweaveError` for a tool that is missing, fails or runs out of memory, for a threshold that is none, and
    for a module that the library has not all cells for.
    """
    whole("the memory threshold", memory_threshold_bits, 1, MAX_THRESHOLD)
    flow = _Flow(tool or find_tool(), limit_bytes, progress or (lambda what, done, total: None))
    parts = split(design, memory_threshold_bits)
    cells = mapping_library(library, dont_use)
    gates = flow.gates(list(parts.modules.values()))
    folders = flow.cells(list(parts.modules.values()), gates, cells)
    modules = {name: read_module(folders[name]) for name in parts.modules}
    for module in modules.values():
        _check_mapped(module, library)
    return Synthesised(
        top=parts.top,
        modules=modules,
        macros=design.macros,
        memory_threshold_bits=memory_threshold_bits,
        tool=flow.tool.version if flow.tool.name == "yosys" else f"{flow.tool.version} ({flow.tool.name})",
        cpu_seconds=sum(run.cpu_seconds for run in flow.runs),
        peak_bytes=max((run.peak_bytes for run in flow.runs), default=0),
    )


def _check_mapped(module: Module, library: Library) -> None:
    for kind in module.cells:
        if kind not in library.cells and kind != MEMORY_CELL:
            raise OhmweaveError(
                f"the library {library.name} must have cells for all of {module.name}, and has none for {kind}"
            )


class _Flow:
    def __init__(self, tool: Tool, limit_bytes: int | None, progress: Progress):
        self.tool = tool
        self.limit_bytes = limit_bytes
        self.progress = progress
        self.runs: list[Run] = []

    def gates(self, parts: list[Part]) -> dict[str, Path]:
        """The folder with the gates of each module."""
        keys = {
            part.name: content_key("gates", self.tool.version, gates_script(), part.key) for part in parts
        }
        found = {name: find_cached("gates", key) for name, key in keys.items()}
        missing = [part for part in parts if found[part.name] is None]

        def make(batch: list[Part], folder: Path) -> None:
            (folder / SOURCE_FILE).write_text("\n".join(part.text for part in batch) + _stubs(batch))
            self.run(gates_script(), folder, batch)
            texts = split_modules((folder / GATES_FILE).read_text())
            for part in batch:
                text = texts[part.name]

                def build(entry: Path, text: str = text) -> None:
                    with gzip.open(entry / "gates.il.gz", "wt", compresslevel=1) as stream:
                        stream.write(text)
                    (entry / "gates.txt").write_text(str(text.count("\n  cell ")))

                found[part.name] = cached("gates", keys[part.name], build)

        self.batches("to gates", missing, lambda part: part.size, BATCH_TEXT, make)
        return {name: folder for name, folder in found.items() if folder is not None}

    def cells(self, parts: list[Part], gates: dict[str, Path], library: str) -> dict[str, Path]:
        """The folder with the cells of each module."""
        count = {name: int((folder / "gates.txt").read_text()) for name, folder in gates.items()}

        def script(batch: list[Part], most: int = LARGE_GATES) -> str:
            names = [part.name for part in batch]
            large = [name for name in names if count[name] >= most]
            return cells_script([name for name in names if name not in large], large)

        keys = {
            part.name: content_key("cells", gates[part.name].name, script([part]), library) for part in parts
        }
        found = {name: find_cached("cells", key) for name, key in keys.items()}
        missing = [part for part in parts if found[part.name] is None]

        def make(batch: list[Part], folder: Path) -> None:
            with (folder / GATES_FILE).open("w") as stream:
                for part in batch:
                    with gzip.open(gates[part.name] / "gates.il.gz", "rt") as text:
                        shutil.copyfileobj(text, stream)
                stream.write(_stubs(batch))
            (folder / LIBRARY_FILE).write_text(library)
            try:
                self.run(script(batch), folder, batch)
            except OhmweaveError:
                if script(batch, 0) == script(batch):
                    raise
                # ABC's choices end in a trap on a few modules, which the same program without them maps.
                self.run(script(batch, 0), folder, batch)
            mapped = _read_json(folder / CELLS_FILE)
            for part in batch:

                def build(entry: Path, part: Part = part) -> None:
                    write_module(
                        entry, part.name, mapped[part.name], part.children, part.macros, part.memories
                    )

                found[part.name] = cached("cells", keys[part.name], build)

        self.batches("to cells", missing, lambda part: count[part.name] + 1, BATCH_GATES, make)
        return {name: folder for name, folder in found.items() if folder is not None}

    def run(self, script: str, folder: Path, batch: list[Part]) -> None:
        what = batch[0].name if len(batch) == 1 else f"{batch[0].name} and {len(batch) - 1} more"
        self.runs.append(
            run_yosys(script, folder=folder, what=what, tool=self.tool, limit_bytes=self.limit_bytes)
        )

    def batches(
        self,
        what: str,
        parts: list[Part],
        size: Callable[[Part], int],
        most: int,
        make: Callable[[list[Part], Path], None],
    ) -> None:
        """Call `make` with each batch of parts and a folder for it; the largest first, JOBS at a time."""
        done = 0
        total = sum(size(part) for part in parts)
        if parts:
            self.progress(what, done, total)

        def one(batch: list[Part]) -> int:
            with _folder() as folder:
                make(batch, folder)
            return sum(size(part) for part in batch)

        with ThreadPoolExecutor(JOBS) as pool:
            waiting: set[Future[int]] = {pool.submit(one, batch) for batch in _batches(parts, size, most)}
            try:
                while waiting:
                    ready, waiting = wait(waiting, return_when=FIRST_EXCEPTION, timeout=0.5)
                    for future in ready:
                        done += future.result()
                    if ready:
                        self.progress(what, done, total)
            finally:
                for future in waiting:
                    future.cancel()


def _batches(parts: list[Part], size: Callable[[Part], int], most: int) -> list[list[Part]]:
    """Parts that share a run: large ones have their own, small ones fill one up together."""
    batches: list[list[Part]] = []
    left = 0
    for part in sorted(parts, key=size, reverse=True):
        if size(part) > left:
            batches.append([])
            left = most
        batches[-1].append(part)
        left -= size(part)
    return batches


def _stubs(batch: list[Part]) -> str:
    """Black boxes for what the modules of a batch instantiate and is not in it."""
    inside = {part.name for part in batch}
    boxes = {name: text for part in batch for name, text in part.stubs.items() if name not in inside}
    return "".join(boxes.values())


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for a run, beside the cache, whose disk has room for what goes there anyway."""
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="synthesis-", dir=root))
    except OSError as error:
        raise OhmweaveError(
            f"the cache folder {root} cannot be written ({error.strerror or error})"
        ) from None
    try:
        yield folder
    except OhmweaveError:
        if is_full(folder):
            raise OhmweaveError(f"the cache folder {root} is full") from None
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any]:
    with path.open() as stream:
        modules: dict[str, Any] = json.load(stream)["modules"]
    return modules
