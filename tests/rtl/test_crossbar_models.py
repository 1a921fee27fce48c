"""The models of the crossbar macro, equal to the one in NumPy cycle by cycle."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.crossbar import CrossbarModel, MacroModel, verilog_model, write_cells
from ohmweave.rtl.crossbar.model import pack, unpack
from ohmweave.sim.backends.toolchain import run_tool
from ohmweave.sim.backends.verilator import tool
from ohmweave.testbench.crossbar_traces import SIMULATIONS, Edge, build, run

SEED = 20


def make(**changes: object) -> ArrayParams:
    base = {
        "rows": 24, "cols": 12, "cell_bits": 4, "colmux": 3, "dac_bits": 4, "read_cycles": 3, "write_cycles": 2
    }  # fmt: skip
    return ArrayParams(**(base | changes))


ARRAYS = [
    PRESETS["re-reram"].pe.array,
    PRESETS["tiny"].pe.array,
    make(rows=1, cols=1, cell_bits=1, colmux=1, dac_bits=1, read_cycles=1, write_cycles=1),
    make(rows=32, cols=36, colmux=1, cell_bits=2, dac_bits=1, read_cycles=1, sign_scheme="pairs"),
    make(rows=37, cols=21, colmux=7, cell_bits=3, dac_bits=3, read_cycles=2),
    make(rows=9, cols=40, colmux=2, cell_bits=8, dac_bits=8, adc_bits=14),
    make(rows=300, cols=34, colmux=2, adc_bits=6, adc_drop=3),
    make(rows=700, cols=16, colmux=1, cell_bits=1, dac_bits=8, adc_drop=2),
    make(rows=16, cols=300, colmux=3, cell_bits=5, dac_bits=2, adc_bits=4, read_cycles=9),
    make(rows=40, cols=8, colmux=8, dac_bits=5, adc_bits=8, adc_drop=12),
]
IDS = [array.name for array in ARRAYS]
LARGE = 100_000  # cells from which only some rows are read back one by one


def random_levels(array: ArrayParams) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 2**array.cell_bits, (array.rows, array.cols))


def one_read(array: ArrayParams, group: int, x: np.ndarray) -> list[Edge]:
    return [Edge(1, group, pack(x, array.dac_bits)), *[Edge()] * (array.read_cycles - 1)]


def programming(array: ArrayParams, levels: np.ndarray, rng: random.Random) -> list[Edge]:
    """All rows in any order, some twice."""
    rows = list(range(array.rows))
    rng.shuffle(rows)
    blank = np.zeros(array.cols, np.int64)
    edges = [Edge(write=1, row=row, levels=pack(blank, array.cell_bits)) for row in rows[:3]]
    edges += [Edge(write=1, row=row, levels=pack(levels[row], array.cell_bits)) for row in rows]
    if array.rows < 1 << (array.rows - 1).bit_length():  # a row that is not there
        edges.append(Edge(write=1, row=array.rows, levels=pack(blank + 1, array.cell_bits)))
    return edges


def reading_back(array: ArrayParams, rng: random.Random) -> list[Edge]:
    """Every cell by one-hot inputs, and full inputs on every group."""
    rows = range(array.rows) if array.rows * array.cols < LARGE else rng.sample(range(array.rows), 6)
    edges: list[Edge] = []
    for group in range(array.colmux):
        for row in rows:
            x = np.zeros(array.rows, np.int64)
            x[row] = 1
            edges += one_read(array, group, x)
        edges += one_read(array, group, np.full(array.rows, 2**array.dac_bits - 1))
    return [*edges, Edge(), Edge()]


def traffic(array: ArrayParams, rng: random.Random, cycles: int) -> list[Edge]:
    """Reads and writes at random, also where no user of the macro would put them."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    edges = []
    for _ in range(cycles):
        density = rng.choice([0.0, 0.05, 0.5, 1.0])
        x = numbers.integers(0, 2**array.dac_bits, array.rows) * (numbers.random(array.rows) < density)
        levels = numbers.integers(0, 2**array.cell_bits, array.cols)
        edges.append(
            Edge(
                start=int(rng.random() < 2 / (array.read_cycles + 2)),
                group=rng.randrange(array.colmux),
                x=pack(x, array.dac_bits),
                write=int(rng.random() < 0.1),
                row=rng.randrange(array.rows),
                levels=pack(levels, array.cell_bits),
            )
        )
    return edges


def stimulus(array: ArrayParams, *, loaded: bool) -> list[Edge]:
    """Reads of an array that is loaded or still blank, programming unless loaded, readback, random traffic."""
    rng = random.Random(SEED)
    edges = traffic(array, rng, 3) if not loaded else []
    edges += [] if loaded else programming(array, random_levels(array), rng)
    edges += reading_back(array, random.Random(SEED + 1))
    return edges + traffic(array, random.Random(SEED + 2), 60)


def expected(
    array: ArrayParams, edges: list[Edge], levels: np.ndarray | None = None
) -> list[tuple[int, int]]:
    model = MacroModel(array)
    if levels is not None:
        model.cells.load(levels)
    trace = []
    for edge in edges:
        trace.append((model.sums, model.reference))
        model.edge(**vars(edge))
    return trace


@pytest.fixture(scope="module", params=SIMULATIONS)
def traces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Both traces of every array, from one simulator."""
    simulation = request.param
    if simulation == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("iverilog is not on PATH")
    folder: Path = tmp_path_factory.mktemp(simulation)
    print(f"seed {SEED}")
    build(simulation, folder, ARRAYS)
    cells = {n: random_levels(array) for n, array in enumerate(ARRAYS)}
    return {
        False: run(simulation, folder, ARRAYS, [stimulus(array, loaded=False) for array in ARRAYS]),
        True: run(simulation, folder, ARRAYS, [stimulus(array, loaded=True) for array in ARRAYS], cells),
    }


@pytest.mark.parametrize("loaded", [False, True], ids=["programmed", "loaded"])
@pytest.mark.parametrize("n", range(len(ARRAYS)), ids=IDS)
def test_model_equals_numpy(traces: dict, n: int, loaded: bool) -> None:
    array = ARRAYS[n]
    edges = stimulus(array, loaded=loaded)
    want = expected(array, edges, random_levels(array) if loaded else None)
    got = traces[loaded][n]
    assert len(got) == len(want)
    wrong = [cycle for cycle in range(len(want)) if got[cycle] != want[cycle]]
    assert not wrong, f"{len(wrong)} cycles differ, the first is {wrong[0]} of {len(want)}"


@pytest.mark.parametrize("n", range(len(ARRAYS)), ids=IDS)
def test_programming_equals_loading(traces: dict, n: int) -> None:
    """The readback of an array programmed row by row is that of one loaded directly."""
    array = ARRAYS[n]
    both = reading_back(array, random.Random(SEED + 1))
    readback = slice(array.read_cycles, len(both))  # a read begun before may still give its result
    programmed = stimulus(array, loaded=False)
    start = len(programmed) - len(stimulus(array, loaded=True))
    assert traces[False][n][start:][readback] == traces[True][n][readback]


@pytest.mark.parametrize("array", ARRAYS, ids=IDS)
def test_stimulus_means_something(array: ArrayParams) -> None:
    """The reads give many different sums, and a finite ADC clips some but not all."""
    rng = np.random.default_rng(SEED)
    model = CrossbarModel(array)
    model.load(random_levels(array))
    x = rng.integers(0, 2**array.dac_bits, array.rows)
    sums, _ = model.read(x, 0)
    assert all(int(each) < 2**array.sum_bits for each in sums)
    lossless = x @ model.levels[:, : array.columns_at_once]
    if array.adc_bits is None and not array.adc_drop:
        assert (sums == lossless).all()
    else:
        assert (sums <= lossless).all()


def test_finite_adc_clips_and_drops() -> None:
    model = CrossbarModel(make(rows=4, cols=2, colmux=1, adc_bits=5, adc_drop=2))
    model.load(np.array([[15, 1], [15, 2], [15, 0], [15, 0]]))
    sums, reference = model.read(np.array([15, 15, 0, 0]), 0)
    assert sums.tolist() == [31 << 2, 45 >> 2 << 2]
    assert reference == 30 >> 2 << 2


@pytest.mark.parametrize("sign_scheme", ["offset", "pairs"])
def test_reference_column(sign_scheme: str) -> None:
    _, reference = CrossbarModel(make(sign_scheme=sign_scheme)).read(np.full(24, 7), 0)
    assert reference == (24 * 7 if sign_scheme == "offset" else 0)


def test_pack_is_undone_by_unpack() -> None:
    values = np.random.default_rng(SEED).integers(0, 32, 77)
    assert (unpack(pack(values, 5), 77, 5) == values).all()


def test_levels_are_checked(tmp_path: Path) -> None:
    array = make()
    with pytest.raises(OhmweaveError, match=r"^levels must have 24 × 12 cells, not \(12, 24\)$"):
        CrossbarModel(array).load(np.zeros((12, 24)))
    with pytest.raises(OhmweaveError, match=r"^levels must be from 0 to 15, not from 0 to 16$"):
        write_cells(tmp_path, 0, array, np.eye(24, 12, dtype=np.int64) * 16)


@pytest.mark.parametrize(
    "define", [[], ["-DOHMWEAVE_DPI"], ["-DSYNTHESIS"]], ids=["plain", "dpi", "synthesis"]
)
@pytest.mark.parametrize("array", ARRAYS, ids=IDS)
def test_verilog_is_clean(array: ArrayParams, define: list[str], tmp_path: Path) -> None:
    (tmp_path / f"{array.name}.v").write_text(verilog_model(array))
    command, environment = tool()
    waived = ["-Wno-UNUSEDSIGNAL", "-Wno-UNDRIVEN"] if define == ["-DSYNTHESIS"] else []  # an empty module
    run_tool(
        "lint", [command, "--lint-only", "-Wall", *define, *waived, f"{array.name}.v"], tmp_path, environment
    )
