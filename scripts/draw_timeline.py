"""Draws docs/timeline.svg, what one PE does in every cycle of two frames, and writes docs/timeline.md about it.

    python scripts/draw_timeline.py

Both come from the waves of a simulation of the netlist. A test compares the files with what this gives, so that they
do not drift apart from the hardware.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

from ohmweave.presets import PRESETS
from ohmweave.rtl.isa import AluOp
from ohmweave.sim import graph_golden
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.backends.job import RESET_CYCLES
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.layer_bench import Layer, layer_graph, layer_images
from ohmweave.sim.stages import stages

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: One PE between the host's ports.
PARAMS = replace(PRESETS["tiny"], levels=0)
LAYER = Layer(name="layer", channels=4, outputs=8, size=5, kernel=3, pool=True)
FRAMES = 2

#: What is looked at: name → scope in the PE, and the port of a stream in it.
STREAMS = {
    "flits in": ("main_receiver", "i"),
    "pixels": ("buffer_0.writer", "pixel"),
    "windows": ("buffer_0.window_register", "window"),
    "reads": ("reram.crossbar", "request"),
    "results": ("reram.shift_add", "o"),
    "vectors": ("reram.vectors", "o"),
    "instructions": ("arithmetic.controller", "issue"),
    "pixels to be pooled": ("buffer_1.writer", "pixel"),
    "pool windows": ("buffer_1.window_register", "window"),
    "flits out": ("sender", "o"),
}
OPERATION = ("arithmetic.controller", "issue__payload.op")


@dataclass(frozen=True)
class Timeline:
    """Cycles, counted from that in which the first flit of the first frame is taken from the host.

    taken    stream → cycles of its transfers
    offered  stream → cycles in which something was there
    ops      of each instruction
    """

    taken: Mapping[str, list[int]]
    offered: Mapping[str, list[int]]
    ops: list[AluOp]
    windows: int
    blocks: int
    interval: int

    def frame(self, name: str, number: int) -> list[int]:
        """The transfers of a frame; each has as many."""
        cycles = self.taken[name]
        each = len(cycles) // FRAMES
        return cycles[number * each : (number + 1) * each]

    def instructions(self, pool: bool) -> list[int]:
        pairs = zip(self.taken["instructions"], self.ops, strict=True)
        return [cycle for cycle, op in pairs if (op is AluOp.MAX) == pool]


def measure() -> Timeline:
    """The layer on the netlist."""
    graph, images = layer_graph(LAYER), layer_images(LAYER, FRAMES)
    (stage, *_) = stages(graph)
    tiling = tiled(stage, PARAMS)
    program = compile_pass(tiling, 0, PARAMS)
    job = Job.of(program, program.encode(images >> 4))
    with tempfile.TemporaryDirectory() as folder:
        waves = Path(folder) / "waves.vcd"
        result = simulate(PARAMS, job, "pysim", waves=waves)
        history = read_waves(waves)
    wanted = graph_golden.activations(graph, images, [stage.result.name])[stage.result.name]
    assert (program.decode(result.outputs).transpose(0, 3, 1, 2) == wanted).all()
    start = RESET_CYCLES + int(result.first_in[0])
    taken, offered = {}, {}
    for name, (scope, port) in STREAMS.items():
        valid, ready = (history[f"{scope}.{port}__{end}"][start:] for end in ("valid", "ready"))
        offered[name] = np.flatnonzero(valid).tolist()
        taken[name] = np.flatnonzero(valid & ready).tolist()
    ops = history[".".join(OPERATION)][start:][taken["instructions"]]
    return Timeline(
        taken=taken,
        offered=offered,
        ops=[AluOp(op) for op in ops.tolist()],
        windows=tiling.windows,
        blocks=-(-LAYER.outputs // PARAMS.pe.array.columns_at_once),
        interval=int(np.diff(result.last_out)[0]),
    )


def read_waves(path: Path) -> dict[str, np.ndarray]:
    """Values at each rising edge of the clock of the signals that are looked at, by their names in the PE."""
    wanted = {f"{scope}.{port}__{end}" for scope, port in STREAMS.values() for end in ("valid", "ready")}
    wanted.add(".".join(OPERATION))
    scope: list[str] = []
    names: dict[str, list[str]] = {}  # a signal has the same code everywhere
    values: dict[str, int] = {}
    changes: dict[str, int] = {}
    history: list[dict[str, int]] = []
    clock = ""
    with path.open() as lines:
        for line in lines:
            match line.split():
                case ["$scope", _, name, _]:
                    scope.append(name)
                case ["$upscope", _]:
                    scope.pop()
                case ["$var", _, _, code, name, *_]:
                    if name == "clk":
                        clock = code
                    _, _, below = ".".join([*scope, name.lstrip("\\")]).partition(".pe_0.")
                    if below in wanted:
                        names.setdefault(code, []).append(below)
                case [time] if time.startswith("#"):
                    # What stood there before the edge.
                    if changes.pop(clock, 0):
                        history.append(dict(values))
                    values.update(changes)
                    changes = {}
                case [change] if change[0] in "01" and (change[1:] in names or change[1:] == clock):
                    changes[change[1:]] = int(change[0])
                case [value, code] if value[0] == "b" and code in names:
                    changes[code] = int(value[1:], 2)
    found = {name for each in names.values() for name in each}
    assert found == wanted, f"not in the waves: {sorted(wanted - found)}"
    return {name: np.array([each[code] for each in history]) for code, here in names.items() for name in here}


INK, SOFT, GRID = "#1f2933", "#52606d", "#e4e7eb"
#: Frame by frame: what happens, and what waits.
FULL, PALE = ("#2563a8", "#c2591c"), ("#c3d7ee", "#f5d3bb")
ROWS = (
    ("flits in", "flits in"), ("pixels into buffer 0", "pixels"), ("windows of buffer 0", "windows"),
    ("array reads", "reads"), ("shift-and-add results", "results"), ("vectors of results", "vectors"),
    ("post: add, multiply, clip", "post"), ("pixels into buffer 1", "pixels to be pooled"),
    ("windows of buffer 1", "pool windows"), ("pool: maximum", "pool"), ("flits out", "flits out"),
)  # fmt: skip
LEFT, RIGHT, ROW, BAR = 280, 1230, 24, 15
#: Cycles of the enlarged part.
DETAIL = 48


class Drawing:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.height = 0

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", fill: str = INK
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
            f"{escape(words)}</text>"
        )

    def rect(self, x: float, y: float, w: float, h: float, fill: str) -> None:
        self.parts.append(
            f'<rect x="{round(x, 2):g}" y="{y:g}" width="{round(w, 2):g}" height="{h:g}" fill="{fill}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = GRID) -> None:
        self.parts.append(
            f'<line x1="{round(x1, 2):g}" y1="{y1:g}" x2="{round(x2, 2):g}" y2="{y2:g}" stroke="{colour}"/>'
        )

    def svg(self) -> str:
        size = f'viewBox="0 0 {RIGHT + 20} {self.height}" width="{RIGHT + 20}" height="{self.height}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
            f'<rect width="{RIGHT + 20}" height="{self.height}" fill="white"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


@dataclass(frozen=True)
class Span:
    """Cycles `first` to `last` of something that belongs to a frame; `waits`: it is there and not taken."""

    first: int
    last: int
    frame: int
    waits: bool = False
    label: str = ""


def spans(t: Timeline, key: str) -> list[Span]:
    """What a row shows."""
    if key in ("post", "pool"):
        cycles = t.instructions(key == "pool")
        labels = {cycle: op.name for cycle, op in zip(t.taken["instructions"], t.ops, strict=True)}
        return [
            Span(cycle, cycle, at * FRAMES // len(cycles), label=labels[cycle])
            for at, cycle in enumerate(cycles)
        ]
    cycles = t.taken[key]
    each = len(cycles) // FRAMES
    if key == "reads":
        length = PARAMS.pe.array.read_cycles
        return [
            Span(
                cycle, cycle + length - 1, at // each, label=f"w{at // t.blocks % t.windows} b{at % t.blocks}"
            )
            for at, cycle in enumerate(cycles)
        ]
    made = []
    if "windows" in key:  # offered until they are taken
        offered, at = sorted(set(t.offered[key]) - set(cycles)), 0
        for cycle in offered:
            while at < len(cycles) and cycles[at] < cycle:
                at += 1
            made.append(Span(cycle, cycle, at // each, waits=True))
    return merged(made) + [Span(cycle, cycle, at // each) for at, cycle in enumerate(cycles)]


def merged(cycles: Iterable[Span]) -> list[Span]:
    """Neighbours that wait, in one."""
    found: list[Span] = []
    for span in cycles:
        if found and found[-1].last + 1 == span.first and found[-1].frame == span.frame:
            found[-1] = replace(found[-1], last=span.last)
        else:
            found.append(span)
    return found


def panel(d: Drawing, t: Timeline, top: float, first: int, behind: int, step: int) -> None:
    """All rows over the cycles `first` to `behind`."""
    scale = (RIGHT - LEFT) / (behind - first)
    bottom = top + 20 + ROW * len(ROWS)
    for cycle in range(-(-first // step) * step, behind, step):
        x = LEFT + (cycle - first) * scale
        d.line(x, top + 14, x, bottom)
        d.text(x, top + 10, f"{cycle}", size=10, anchor="middle", fill=SOFT)
    for row, (title, key) in enumerate(ROWS):
        y = top + 22 + ROW * row
        d.text(LEFT - 10, y + 12, title, anchor="end")
        for span in spans(t, key):
            if span.last < first or span.first >= behind:
                continue
            begin, end = max(span.first, first), min(span.last + 1, behind)
            fill = (PALE if span.waits else FULL)[span.frame]
            gap = 0.5 if scale < 6 else 1  # so that neighbours are told apart
            x, width = LEFT + (begin - first) * scale, (end - begin) * scale
            if key == "reads" or scale >= 6:
                width -= gap
            d.rect(x, y, width, BAR, fill)
            if span.label and width > 5 * len(span.label):
                size = 10 if key == "reads" else 8
                d.text(x + width / 2, y + 11, span.label, size=size, anchor="middle", fill="white")
    # Between what comes in, the two halves, and what goes out.
    for behind_row in (2, 6, 10):
        d.line(20, top + 19.5 + ROW * behind_row, RIGHT, top + 19.5 + ROW * behind_row, SOFT)
    for name, row in (("in", 0.5), ("ReRAM half", 3.5), ("arithmetic half", 7.5), ("out", 10)):
        d.text(20, top + 34 + ROW * row, name, fill=SOFT)


def detail(t: Timeline) -> int:
    """First cycle of the enlarged part: the second frame comes in, while the first is read and pooled."""
    flits = t.taken["flits in"]
    bursts = [after for before, after in pairwise(flits) if after - before > t.blocks]
    return max(cycle for cycle in t.taken["reads"][:: t.blocks] if cycle < bursts[-2])


def draw(t: Timeline) -> str:
    d = Drawing()
    d.text(20, 24, "One PE, two frames: every transfer, read and instruction, by the cycle", size=15)
    d.rect(700, 13, 14, 12, FULL[0])
    d.text(720, 24, "first frame")
    d.rect(810, 13, 14, 12, FULL[1])
    d.text(830, 24, "second frame")
    d.rect(930, 13, 7, 12, PALE[0])
    d.rect(937, 13, 7, 12, PALE[1])
    d.text(950, 24, "a window waits until it is read")
    end = max(t.taken["flits out"]) + 8
    panel(d, t, 40, 0, -(-end // 10) * 10, 50)
    height = 40 + 20 + ROW * len(ROWS)
    start = detail(t)
    d.text(20, height + 38, f"Cycles {start} to {start + DETAIL - 1}", size=15)
    panel(d, t, height + 54, start, start + DETAIL, 6)
    d.height = 2 * height + 34
    return d.svg()


PAGE = """\
# Timeline of a processing element

What one [PE](blocks/pe.md) does in every cycle while two frames go through it back to back (Re-ReRAM, section V,
figure 6), taken from the waves of the netlist. The layer is small, so that each cycle can be seen: a convolution of
3×3 with a border on {size}×{size}×{channels}, batch normalisation (multiplier, shift and bias of each of {outs}
channels), ReLU, and the maximum of 3×3 at stride 2, all of 4 bits, on a PE of `tiny`, which reads {at_once} columns
in {read} cycles. All outputs are those of the golden model.

![Two frames through a PE](timeline.svg)

Cycle 0 is that in which the host's first flit is taken. Pale windows wait; a window is taken with its last read.
Reads are labelled with window and block, instructions with their operation.

## What is seen

- **A window takes {window} cycles**: {blocks} blocks of {at_once} channels × {read} cycles a read. {windows} windows
  are {arrays} cycles, and the frames come out {interval} cycles apart: nothing but the array's reads is in the
  interval. Between the first read and the last there are {gaps} cycles in which the array does not read, at the seam
  of the frames either.
- **Both halves work at the same time.** The arithmetic half scales and clips the results of a window, and pools those
  of windows before, while the array reads the next ones: {beside} of {work} instructions are executed beside reads,
  the other {behind} after the last read of all.
- **The next frame comes in beside the reads.** {early} of the {flits} flits of the second frame are taken before the
  first frame's reads are over: a row as soon as buffer 0 has finished with another. Its first window waits when the
  array gets to it.
- **What is exposed** is the way in and the way out, once and not once a frame: {fill} cycles from the first flit to
  the first read (the pixels of the first window, then switch, receiver and buffer), and {drain} cycles from the end
  of the last read to the last flit (the last results, and the window of 9 pixels that is pooled when they are there).
- The first instruction works on a vector {way} cycles after its last read was started: {read} are the read, {start}
  the way through shift-and-add and the start of the program's body.

What a frame keeps busy, of {interval} cycles:

| part | times | cycles | of the interval |
|---|--:|--:|--:|
{table}

`post` has {post} instructions a vector; `pool` repeats one over the 9 pixels of each of {pools} windows. Together
they take {share} of the arithmetic half's cycles. With one block of channels instead of {blocks} the array would be
done in {one} cycles, and the arithmetic half would be the slower one: `testbench/tb_pe.py::intervals` measures such a
stage. [Processing element](blocks/pe.md#timing) has the formulas, [Layers](layers.md) what they come to at full size.

## How it was made

    python scripts/draw_timeline.py

runs the layer in Amaranth's simulator (`ohmweave.sim.backends.pysim`) with waves, takes the handshakes of the parts
out of them, and writes this page and the figure. [Simulators](simulators.md) says how to get the waves of other runs.
"""


def page(t: Timeline) -> str:
    """docs/timeline.md."""
    array = PARAMS.pe.array
    read, reads, work = array.read_cycles, t.taken["reads"], t.taken["instructions"]
    last_read = reads[-1] + read
    per = {name: len(cycles) // FRAMES for name, cycles in t.taken.items()}
    post, pool = (len(t.instructions(which)) // FRAMES for which in (False, True))
    beside = sum(reads[0] <= cycle < last_read for cycle in work)
    way = t.instructions(False)[0] - reads[t.blocks - 1]
    rows = (
        ("flits in", per["flits in"], 1),
        ("pixels into buffer 0", per["pixels"], 1),
        (f"array reads, {read} cycles each", per["reads"], read),
        ("shift-and-add results", per["results"], 1),
        ("vectors of results", per["vectors"], 1),
        ("instructions of `post`", post, 1),
        ("pixels into buffer 1", per["pixels to be pooled"], 1),
        ("instructions of `pool`", pool, 1),
        ("flits out", per["flits out"], 1),
    )
    return PAGE.format(
        size=LAYER.size,
        channels=LAYER.channels,
        outs=LAYER.outputs,
        at_once=array.columns_at_once,
        read=read,
        window=t.blocks * read,
        blocks=t.blocks,
        windows=t.windows,
        arrays=t.windows * t.blocks * read,
        one=t.windows * read,
        interval=t.interval,
        gaps=sum(after - before - read for before, after in pairwise(reads)),
        beside=beside,
        work=len(work),
        behind=len(work) - beside,
        early=sum(cycle < t.frame("reads", 1)[0] for cycle in t.frame("flits in", 1)),
        flits=per["flits in"],
        fill=reads[0],
        drain=t.taken["flits out"][-1] + 1 - last_read,
        way=way,
        start=way - read,
        post=post // per["vectors"],
        pools=per["pool windows"],
        share=f"{(post + pool) / t.interval:.0%}",
        table="\n".join(
            f"| {name} | {count} | {count * each} | {count * each / t.interval:.0%} |"
            for name, count, each in rows
        ),
    )


def write() -> None:
    timeline = measure()
    (DOCS / "timeline.svg").write_text(draw(timeline))
    (DOCS / "timeline.md").write_text(page(timeline))


if __name__ == "__main__":
    write()
