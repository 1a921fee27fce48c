"""Speed and memory against their targets: ratios measured in one run, absolute figures beside them."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave.commands.float_options import FloatChoices, load_integers
from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.cache import CACHE_VARIABLE
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.datasets import shipped_images
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.images import ImageSet, from_arrays
from ohmweave.sim.importer.execute import float_model
from ohmweave.sim.layer_bench import (
    LAYERS,
    POOLED,
    PRUNED,
    Measured,
    layer_params,
    measure_layer,
    measure_pruned,
)
from ohmweave.sim.models import build_model
from ohmweave.sim.network import Network, builtin
from ohmweave.sim.npz import write_files
from ohmweave.sim.report import versions
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages

__all__ = ["BENCHES", "Row", "measure", "write"]

ARCH = "re-reram"
SCHEMA = 1
MEGABYTE = 1e6
# Images whose simulation takes a second or more, so that starting up does not count.
BUSY_FRAMES = {"cxxrtl": 30, "verilator": 30, "pysim": 1}
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure and its target.

    at_most   whether the target is the largest value that meets it, or the smallest
    details   absolute figures that the value was made from
    """

    name: str
    what: str
    value: float
    unit: str
    target: float
    at_most: bool = True
    details: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


def measure(names: list[str], told: Callable[[str], None]) -> Iterator[Row]:
    """The rows of the named benches, as they are measured; `told` hears which bench begins."""
    for name in names:
        told(name)
        yield from BENCHES[name]()


def write(folder: Path, rows: list[Row]) -> Path:
    """Write `bench.json` into a folder."""
    record = {
        "schema": SCHEMA,
        "arch": ARCH,
        "machine": {"cores": os.cpu_count(), "machine": platform.machine()},
        "rows": [asdict(row) | {"met": row.met} for row in rows],
        "versions": versions(("verilator",)),
    }
    (path,) = write_files(folder, {"bench.json": json.dumps(record, indent=2) + "\n"})
    return path


def _images(network: Network, count: int) -> ImageSet:
    """The shipped images, repeated until there are enough."""
    pixels, labels = shipped_images()
    times = -(-count // len(pixels))
    channels, height, width = network.input_shape
    return from_arrays(
        "the shipped images",
        np.tile(pixels, (times, 1, 1)),
        np.tile(labels, times),
        shape=(height, width, channels),
        classes=network.classes,
    ).head(count)


def _cycles() -> Iterator[Row]:
    """Cycles of LeNet-5 with one copy of each layer."""
    network = builtin("lenet5")
    report = run(network, _images(network, 20), PRESETS[ARCH], arch=ARCH).report
    assert report.cycles is not None
    assert report.cycles.interval is not None
    yield Row(
        name="interval",
        what="LeNet-5: cycles from image to image, one copy of each layer",
        value=report.cycles.interval,
        unit="cycles",
        target=5000,
    )
    yield Row(
        name="latency",
        what="LeNet-5: cycles of one image",
        value=report.cycles.latency,
        unit="cycles",
        target=12000,
    )


BUSY_SHAPE = (128, 12, 12)
BUSY_OUTPUTS = 256


def busy_job(params: GroupParams, images: int, seed: int = 1) -> Job:
    """Images for a chip of one PE that runs a layer from the middle of a network, which keeps its array reading.

    3×3 on 128 channels to 256 fills the array. A pixel's results take 16 reads of 6 cycles; its inputs come in 32
    flits and its results leave in 64, so that the links never hold the array up.
    """
    random = np.random.default_rng(seed)
    channels, height, width = BUSY_SHAPE
    bits = params.pe.buffer.act_bits

    def layer(name: str, source: str, shape: tuple[int, ...], scale: dict[str, Any]) -> Conv:
        return Conv(
            name=name,
            input=source,
            weights=random.integers(-8, 8, shape).astype(np.int16),
            weight_bits=4,
            bias=random.integers(-1000, 1000, shape[0]),
            pads=(shape[2] // 2,) * 4,
            **scale,
        )

    scale = {
        "mult": np.ones(BUSY_OUTPUTS, np.uint16),
        "shift": np.full(BUSY_OUTPUTS, 9, np.int8),
        "bits": bits,
    }
    busy = layer("busy", "image", (BUSY_OUTPUTS, channels, 3, 3), scale)
    # A graph ends in sums; these are not run.
    end = layer("end", "busy", (1, BUSY_OUTPUTS, 1, 1), {"bits": RAW_BITS})
    graph = Graph(name="busy", input=Tensor(name="image", shape=BUSY_SHAPE, bits=bits), nodes=(busy, end))
    program = compile_pass(tiled(stages(graph)[0], params), 0, params)
    return Job.of(
        program, program.encode(random.integers(0, 1 << bits, (images, height, width, channels), np.uint8))
    )


def _speed() -> Iterator[Row]:
    """Simulated cycles a second of a chip of one PE whose array reads all the time."""
    params = dataclasses.replace(PRESETS[ARCH], levels=0)
    speed: dict[str, float] = {}
    busy = 0.0
    for backend, count in BUSY_FRAMES.items():
        job = busy_job(params, count)
        results = [
            simulate(params, job, backend=backend) for _ in range(1 if backend == "pysim" else REPEATS)
        ]
        speed[backend] = max(result.simulated / result.run_s for result in results)
        result = results[0]
        busy = 100 * result.busy[0] / (result.last_out[-1] - result.first_in[0] + 1)
    absolute = {f"{name}, cycles/s": value for name, value in speed.items()}
    absolute["array reads, % of the cycles"] = busy
    for other, target in (("verilator", 1.3), ("pysim", 150.0)):
        yield Row(
            name=f"cxxrtl/{other}",
            what=f"one busy full-size PE: CXXRTL's speed against {other}'s",
            value=speed["cxxrtl"] / speed[other],
            unit="×",
            target=target,
            at_most=False,
            details=absolute,
        )


def _ten_thousand() -> Iterator[Row]:
    """All of a data set: from the call to the checked result, the cached simulation being there."""
    network = builtin("lenet5")
    run(network, _images(network, 1), PRESETS[ARCH], arch=ARCH)
    images = _images(network, 10_000)
    start = time.perf_counter()
    report = run(network, images, PRESETS[ARCH], arch=ARCH, jobs=2).report
    yield Row(
        name="10,000 images",
        what="LeNet-5 on 10,000 images with two jobs, cxxrtl, check against golden included",
        value=time.perf_counter() - start,
        unit="s",
        target=240,
        details={
            "cycles/s": report.sim.cycles_per_s or 0.0,
            "simulating, s": report.sim.run_s,
            "mismatches": report.mismatches,
        },
    )


@contextmanager
def _program(*arguments: str) -> Iterator[Callable[[], tuple[float, float]]]:
    """The program as a user starts it, with a cache that is empty at first: seconds and megabytes of each call."""
    with tempfile.TemporaryDirectory(prefix="ohmweave-bench-") as folder:
        environment = os.environ | {CACHE_VARIABLE: str(Path(folder) / "cache")}
        yield lambda: _call([sys.executable, "-m", "ohmweave", *arguments], Path(folder), environment)


def _call(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds that a command takes, and megabytes of its largest process: itself, a compiler or a simulation."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace").strip()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise OhmweaveError(f"the run that was to be measured failed: {said}")
    return seconds, usage.ru_maxrss * 1024 / MEGABYTE


def _build() -> Iterator[Row]:
    """From nothing to the first image's logits, and again with the simulation in the cache."""
    with _program("run", "lenet5", "--limit", "1") as call:
        first, _ = call()
        again = min(call()[0] for _ in range(REPEATS))
    yield Row(
        name="first build",
        what="first run of the 16-PE group to the end of one image: emit, compile, simulate",
        value=first,
        unit="s",
        target=60,
    )
    yield Row(
        name="cached",
        what="the same with the simulation in the cache, start of the program included",
        value=again,
        unit="s",
        target=2,
    )


def _memory() -> Iterator[Row]:
    """Of the largest process of a run that builds: the program itself, the compiler or the simulation."""
    with _program("run", "lenet5") as call:
        _, megabytes = call()
    yield Row(
        name="memory",
        what="LeNet-5 on 1,000 images, build included: memory of the largest process",
        value=megabytes,
        unit="MB",
        target=2000,
    )


def _emit() -> Iterator[Row]:
    """The Verilog of a chip of 256 PEs."""
    with tempfile.TemporaryDirectory(prefix="ohmweave-bench-") as folder:
        configuration = Path(folder) / "chip.toml"
        configuration.write_text(f'preset = "{ARCH}"\nlevels = 4\n')
        with _program("emit", "--arch", str(configuration), "--out", f"{folder}/netlist") as call:
            seconds, megabytes = call()
        size = sum(path.stat().st_size for path in Path(folder, "netlist").iterdir())
    yield Row(
        name="emit 256 PEs",
        what="time to emit the Verilog of a top with 256 PEs",
        value=seconds,
        unit="s",
        target=60,
        details={"memory, MB": megabytes},
    )
    yield Row(
        name="size of 256 PEs",
        what="the Verilog of a top with 256 PEs",
        value=size / MEGABYTE,
        unit="MB",
        target=10,
    )


IMPORTED = "resnet34"


def _import() -> Iterator[Row]:
    """An ONNX file of floating point to what each PE is sent, in a process of its own."""
    model = build_model(IMPORTED)
    with tempfile.TemporaryDirectory(prefix="ohmweave-bench-") as folder:
        (Path(folder) / "net.onnx").write_bytes(float_model(model.network).SerializeToString())
        assert model.calibration is not None
        np.savez(Path(folder) / "images.npz", images=model.calibration)
        script = "from ohmweave.bench import compile_file; compile_file('net.onnx', 'images.npz')"
        seconds, megabytes = _call([sys.executable, "-c", script], Path(folder), os.environ)
    details = {"calibration images": float(len(model.calibration))}
    what = f"{IMPORTED} at 224×224 from an ONNX file: import, quantise, compile every pass of every layer"
    yield Row(name="import", what=what, value=seconds, unit="s", target=30, details=details)
    yield Row(name="import, memory", what="memory of that", value=megabytes, unit="MB", target=2000)


def compile_file(model: str, calibration: str) -> None:
    """Import and quantise a float network, and compile all of its stages, one after the other, for the chip."""
    graph, _ = load_integers(model, FloatChoices(calibration=calibration), lambda _what, _done, _total: None)
    assert isinstance(graph, Graph)
    for stage in stages(graph):
        tiling = tiled(stage, PRESETS[ARCH])
        for number in range(len(tiling.rounds)):
            compile_pass(tiling, number, PRESETS[ARCH])


#: What can bind a layer's interval, in words.
BOUNDS = {"arrays": "arrays", "partials": "partial sums", "input": "input", "output": "output"}


def _layers() -> Iterator[Row]:
    """Every layer shape of ResNet-18 and ResNet-34 against what bounds it."""
    for layer in LAYERS:
        measured = measure_layer(layer, layer_params(PRESETS[ARCH], layer.link_bits))
        bound = BOUNDS[measured.bounds.binding]
        yield Row(
            name=layer.name,
            what=f"{layer.name}: interval against its bound, {bound}; {layer.link_bits}-bit links",
            value=measured.ratio,
            unit="×",
            target=layer.target,
            details=_figures(measured),
        )


def _pruned() -> Iterator[Row]:
    """Layers of which channels were pruned and the index tables skip the columns, against the same with all of them."""
    for layer in PRUNED:
        params = layer_params(PRESETS[ARCH], layer.link_bits)
        whole = measure_layer(layer, params)
        for share in (0.5, 0.75):
            measured = measure_pruned(layer, share, params)
            yield Row(
                name=measured.name,
                what=f"{measured.name}: interval against the kept share of {whole.interval:,.0f} cycles",
                value=measured.interval / ((1 - share) * whole.interval),
                unit="×",
                target=1.03,
                details=_figures(measured),
            )


def _pool() -> Iterator[Row]:
    """Convolution, scale, ReLU and pool: cycles that the arithmetic half adds to those of the array."""
    for layer in POOLED:
        params = layer_params(PRESETS[ARCH], layer.link_bits)
        plain, pooled = (
            measure_layer(dataclasses.replace(layer, pool=pool), params) for pool in (False, True)
        )
        yield Row(
            name=f"{layer.name} with pool",
            what=f"{layer.name} and 3×3 pool: cycles that the arithmetic half exposes",
            value=max(0.0, 100 * (pooled.interval / plain.interval - 1)),
            unit="%",
            target=2,
            details=_figures(pooled) | {"cycles without the pool": plain.interval},
        )


def _figures(measured: Measured) -> dict[str, float]:
    bounds = measured.bounds
    return {
        "cycles": measured.interval,
        "PEs": measured.pes,
        "passes": measured.passes,
        "arrays": bounds.arrays,
        "partial sums": bounds.partials,
        "flits in": bounds.input,
        "flits out": bounds.output,
        "waits for arithmetic": measured.waits_for_arithmetic,
        "waits for input": measured.waits_for_input,
        "wrong outputs": measured.wrong,
    }


#: The paper's chip, and ResNet-34 in its 4 bits.
CHIP = "re-reram-256"
NARROW = FloatChoices(weight_bits="4", act_bits="4", input_bits="4")


def _chip() -> Iterator[Row]:
    """Networks that are on 256 PEs as a whole, as often as they fit; cycles of the model, which are the netlist's."""
    network = builtin("lenet5")
    params = PRESETS[CHIP]
    report = run(network, _images(network, 480), params, arch=CHIP, backend="cycle", copies=None).report
    assert report.cycles is not None
    assert report.cycles.interval is not None
    yield Row(
        name="LeNet-5 on 256 PEs",
        what="LeNet-5 on 256 PEs, as many copies as fit: cycles from image to image",
        value=report.cycles.interval,
        unit="cycles",
        target=100,
    )
    graph, _ = load_integers("resnet34", NARROW, lambda _what, _done, _total: None)
    # Three of each of five copies.
    pixels = np.random.default_rng(1).integers(0, 256, (15, 224, 224, 3), dtype=np.uint8)
    images = ImageSet("random", pixels, None)
    report = run(graph, images, params, arch=CHIP, backend="cycle", copies=None).report
    assert report.cycles is not None
    assert report.cycles.interval is not None
    yield Row(
        name="ResNet-34 on 256 PEs",
        what="ResNet-34, 224×224, 4 bits, on 256 PEs: cycles from image to image",
        value=report.cycles.interval,
        unit="cycles",
        target=16_000,
        details={"mismatches": report.mismatches, "PEs": sum(layer.pes for layer in report.layers)},
    )
    yield Row(
        name="ResNet-34 model",
        what="ResNet-34 on 256 PEs: seconds that the cycle model takes for an image",
        value=report.sim.run_s / len(pixels),
        unit="s",
        target=60,
    )
    single = run(graph, images.head(1), params, arch=CHIP, backend="cycle", copies=1, aim="latency").report
    assert single.cycles is not None
    yield Row(
        name="ResNet-34 latency",
        what="ResNet-34 on 256 PEs, one pipeline, PEs that are left for latency: cycles of one image",
        value=single.cycles.latency,
        unit="cycles",
        target=120_000,
    )


#: What can be asked for by name.
BENCHES: dict[str, Callable[[], Iterator[Row]]] = {
    "cycles": _cycles,
    "speed": _speed,
    "images": _ten_thousand,
    "build": _build,
    "memory": _memory,
    "emit": _emit,
    "import": _import,
    "layers": _layers,
    "pruned": _pruned,
    "pool": _pool,
    "chip": _chip,
}
