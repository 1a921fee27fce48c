"""The table of macros: rules against what was measured, other sizes, a user's file and what is refused of one."""

import dataclasses
import gzip
import os
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.presets import PRESETS
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.hard_macros import FO4_NS, HardMacros
from ohmweave.sim.synthesis.library import unit_gates
from ohmweave.sim.synthesis.macro_table import Sram
from ohmweave.sim.synthesis.macros import DEFAULT_TABLE, load_macros
from ohmweave.sim.synthesis.mapped import MEMORY_CELL
from ohmweave.sim.synthesis.scaling import energy_factor

TEXT = files("ohmweave.sim.synthesis").joinpath(DEFAULT_TABLE).read_text(encoding="utf-8")
ARRAY = PRESETS["re-reram"].pe.array
LIBERTY = "OHMWEAVE_LIBERTY"
SILICON, MODEL = load_macros().srams
#: Family and figure: the largest relative error that `macros.toml` states beside the rule.
ERRORS = {
    (SILICON, "area_um2"): 0.0071,
    (SILICON, "access_ns"): 0.0697,
    (SILICON, "read_energy_pj"): 0.108,
    (SILICON, "write_energy_pj"): 0.0512,
    (SILICON, "leakage_w"): 1e-6,
    (MODEL, "area_um2"): 0.264,
    (MODEL, "access_ns"): 0.192,
    (MODEL, "leakage_w"): 0.467,
}


@pytest.mark.parametrize(("sram", "figure"), ERRORS, ids=lambda of: getattr(of, "node_nm", of))
def test_rules_against_measured(sram: Sram, figure: str) -> None:
    """The error of each rule is what is stated."""
    macros, stated = load_macros(), ERRORS[sram, figure]
    errors = [
        getattr(macros.memory(one.width, one.depth, node_nm=sram.node_nm), figure) / getattr(one, figure) - 1
        for one in sram.measured
    ]
    assert max(map(abs, errors)) == pytest.approx(stated, rel=0.02, abs=1e-6)


@pytest.mark.parametrize(("sram", "macros", "constant"), [(SILICON, 10, True), (MODEL, 16, False)])
def test_rules_are_the_fit(sram: Sram, macros: int, constant: bool) -> None:
    """The factors of the table are those of least squares over the relative errors."""
    assert len(sram.measured) == macros
    one = np.ones(len(sram.measured))
    depth = np.array([macro.depth for macro in sram.measured])
    width = np.array([macro.width for macro in sram.measured])
    assert (width.max(), depth.max()) == (sram.max_width, sram.max_depth)
    rows = depth / np.where(depth >= sram.deep_from, sram.deep_words_a_row, sram.words_a_row)
    quantities = {
        "area_um2": [constant * one, depth * width, width, rows],
        "access_ns": [one, rows],
        "read_energy_pj": [one, depth * width, width],
        "write_energy_pj": [one, depth * width, width],
        "leakage_w": [depth * width],
    }
    for figure, columns in quantities.items():
        if getattr(sram, figure) is None:
            assert {getattr(macro, figure) for macro in sram.measured} == {None}
            continue
        wanted = np.array([getattr(macro, figure) for macro in sram.measured])
        fit = np.linalg.lstsq(np.stack(columns, 1) / wanted[:, None], one, rcond=None)[0]
        assert np.allclose(fit, getattr(sram, figure), rtol=1e-4, atol=0), figure


def test_measured_is_what_liberty_says() -> None:
    """Every figure of the table, read again from the macros' Liberty files, where they are at hand."""
    named = os.environ.get(LIBERTY)
    if named is None:
        pytest.skip(f"{LIBERTY} does not name a folder with the Liberty files of RM_IHPSG13_1P_*")
    liberty_folder = Path(named)
    for macro in SILICON.measured:
        (path,) = liberty_folder.glob(f"RM_IHPSG13_1P_{macro.depth}x{macro.width}_*.lib.gz")
        text = gzip.decompress(path.read_bytes()).decode()
        clock = text[text.index("pin(A_CLK)") :]
        data = text[text.index("bus(A_DOUT)") :]
        rise = re.search(r"cell_rise.*?values\s*\((.*?)\);", data, re.DOTALL)
        assert rise is not None
        assert float(re.findall(r"\d+\.\d+", rise[1])[3 * 6 + 2]) == macro.access_ns
        for condition, energy in (
            (r"A_MEN  & !A_WEN & A_REN", macro.read_energy_pj),
            (r"A_MEN  & A_WEN  & !A_REN", macro.write_energy_pj),
        ):
            found = re.search(rf'"{condition}".*?values \((.*?)\)', clock, re.DOTALL)
            assert found is not None
            assert float(found[1]) == energy
        assert float(re.findall(r"\narea\s*: ([\d.]+)", text)[0]) == macro.area_um2
        assert float(re.findall(r"\ncell_leakage_power : ([\d.]+)", text)[0]) * 1e-9 == pytest.approx(
            macro.leakage_w
        )


def test_memories_of_other_sizes() -> None:
    macros = load_macros()
    one = macros.memory(64, 256)
    assert macros.memory(512, 256) == one.times(8)
    assert macros.memory(65, 256).area_um2 == macros.memory(33, 256).area_um2 * 2
    # Two banks of half the depth: as fast, and one of them is read.
    deep = macros.memory(64, 8192)
    assert deep.area_um2 == 2 * macros.memory(64, 4096).area_um2
    assert deep.read_energy_pj == macros.memory(64, 4096).read_energy_pj
    two = macros.memory(64, 256, ports=2)
    assert two.area_um2 == pytest.approx(1.95 * one.area_um2)
    assert two.read_energy_pj == one.read_energy_pj
    three = macros.memory(64, 256, ports=3)
    assert three.area_um2 == pytest.approx(2 * two.area_um2)
    assert three.read_energy_pj == one.read_energy_pj
    assert three.write_energy_pj == 2 * one.write_energy_pj


@pytest.mark.parametrize("sram", [SILICON, MODEL], ids=lambda sram: sram.node_nm)
def test_larger_memories_take_more(sram: Sram) -> None:
    macros = load_macros()
    for width in (1, 16, 512):
        areas = [
            macros.memory(width, depth, node_nm=sram.node_nm).area_um2
            for depth in (1, 16, 32, 64, 1024, 2048, 4096, 4097, 1 << 20)
        ]
        assert areas == sorted(areas)
        assert min(areas) > 0


@pytest.mark.parametrize(
    ("node_nm", "family"),
    [
        (None, SILICON),
        (180, SILICON),
        (130, SILICON),
        (90, SILICON),
        (77, SILICON),
        (76, MODEL),
        (65, MODEL),
        (45, MODEL),
        (22, MODEL),
        (7, MODEL),
    ],
)
def test_family_of_a_node(node_nm: float | None, family: Sram) -> None:
    """The nearest by ratio, at its own node: the limit is at the square root of 130 · 45."""
    figures = load_macros().memory(64, 256, node_nm=node_nm)
    assert figures.node_nm == family.node_nm
    assert figures.source.startswith(family.source)
    assert figures.access_ns == pytest.approx(
        family.access_ns[0] + family.access_ns[1] * 256 / family.words_a_row
    )


def test_access_of_a_memory_in_a_netlist() -> None:
    """Static timing takes the family of the library's node, and the first one, in FO4 of its node, for unit gates."""
    memory = {"WIDTH": 64, "SIZE": 256, "RD_PORTS": 1, "WR_PORTS": 1, "RD_CLK_ENABLE": 1}
    macros = load_macros()

    def access(node_nm: float | None) -> float:
        hard = HardMacros(unit_gates(), macros, Process(node_nm), {}).at(1.0)(
            MEMORY_CELL, {"parameters": memory}
        )
        assert hard is not None
        return hard.access_ns

    for node_nm in (180, 130, 45, 22):
        assert access(node_nm) == macros.memory(64, 256, 2, node_nm).at(node_nm).access_ns
    assert access(45) == pytest.approx(MODEL.access_ns[0] + 256 * MODEL.access_ns[1])
    assert access(None) == pytest.approx(access(130) / FO4_NS)


def test_energies_of_the_other_family() -> None:
    """A family without energies has the other's, scaled to its node; ports, slices and banks are those of the other."""
    macros = load_macros()
    for width, depth, ports in ((64, 256, 1), (1536, 32, 2), (64, 3000, 3)):
        own, other = macros.memory(width, depth, ports, 45), macros.memory(width, depth, ports)
        factor = energy_factor(130, 45)
        assert own.read_energy_pj == pytest.approx(factor * other.read_energy_pj)
        assert own.write_energy_pj == pytest.approx(factor * other.write_energy_pj)
        assert own.source == f"{MODEL.source}; energies: {SILICON.source}; scaled from 130 to 45 nm"
        assert own.at(22).read_energy_pj == pytest.approx(other.at(22).read_energy_pj)
    assert macros.memory(64, 3000, node_nm=45).area_um2 == 2 * macros.memory(64, 1500, node_nm=45).area_um2


def test_memories_of_32_words() -> None:
    """As deep as the shallowest that the model has, and near to them."""
    macros = load_macros()
    wide = macros.memory(1536, 32, node_nm=45)
    (one,) = (macro for macro in MODEL.measured if (macro.depth, macro.width) == (32, 64))
    assert wide.area_um2 == pytest.approx(24 * one.area_um2, rel=0.07)
    assert wide.access_ns == pytest.approx(one.access_ns, rel=0.02)


def test_one_family_alone(tmp_path: Path) -> None:
    """A file with [sram] once, as a table or as a list of one: whatever the node, that family's."""
    start, end = TEXT.index("[[sram]]\nnode_nm = 45"), TEXT.index("\n[crossbar]")
    for text in (TEXT[:start] + TEXT[end:], (TEXT[:start] + TEXT[end:]).replace("[[sram]]\n", "[sram]\n", 1)):
        table = tmp_path / "own.toml"
        table.write_text(text)
        for node_nm in (None, 130, 45):
            assert load_macros(table).memory(64, 256, 2, node_nm) == load_macros().memory(64, 256, 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 8, 1), "width of a memory must be a whole number from 1 to 65536, not 0"),
        ((8, 0, 1), "depth of a memory must be a whole number from 1 to 16777216, not 0"),
        ((8, 8, 0), "ports of a memory must be a whole number from 1 to 64, not 0"),
        ((8, 8.0, 1), "depth of a memory must be a whole number from 1 to 16777216, not 8.0"),
    ],
)
def test_refused_memory(sizes, message: str) -> None:
    with pytest.raises(OhmweaveError) as caught:
        load_macros().memory(*sizes)
    assert str(caught.value) == message


def test_crossbar() -> None:
    """The paper's own array has the paper's figures; others go with their cells."""
    macros = load_macros()
    figures = macros.crossbar(ARRAY)
    assert figures.area_um2 == pytest.approx(7737.3)
    assert (figures.access_ns, figures.node_nm) == (5.77, 22)
    assert figures.read_energy_pj == pytest.approx(0.115 * 5.77)
    quarter = dataclasses.replace(ARRAY, rows=ARRAY.rows // 2, cols=ARRAY.cols // 2)
    assert macros.crossbar(quarter).area_um2 == pytest.approx(7737.3 / 4)
    assert macros.crossbar(quarter).read_energy_pj == pytest.approx(figures.read_energy_pj / 4)
    assert macros.macro(ARRAY) == figures


def test_converters(tmp_path: Path) -> None:
    array = ArrayParams(
        rows=128, cols=128, cell_bits=2, colmux=16, dac_bits=1, read_cycles=1, write_cycles=1,
        adc_bits=8, sign_scheme="pairs",
    )  # fmt: skip
    macros = load_macros()
    figures = macros.converters(array)
    assert figures.area_um2 == pytest.approx(8 * 1200 + 128 * 0.166)
    assert figures.read_energy_pj == pytest.approx(8 * 1.5625 + 128 * 0.391)
    half = dataclasses.replace(array, adc_bits=6)
    middle = (284.4 * 1200) ** 0.5
    assert macros.converters(half).area_um2 == pytest.approx(8 * middle + 128 * 0.166)
    wide = dataclasses.replace(array, dac_bits=3, adc_bits=8)
    assert macros.converters(wide).area_um2 == pytest.approx(8 * 1200 + 128 * 0.166 * 4)
    offset = dataclasses.replace(array, sign_scheme="offset")
    assert macros.converters(offset).area_um2 == pytest.approx(9 * 1200 + 128 * 0.166)
    table = tmp_path / "apart.toml"
    table.write_text(TEXT.replace('converters = "included"', 'converters = "apart"'))
    both = load_macros(table).crossbar(array)
    assert both.area_um2 == pytest.approx(macros.crossbar(array).area_um2 + figures.at(22).area_um2)


def test_cache() -> None:
    data = CacheArrayParams(depth=8192, width=4096, granule=64)
    figures = load_macros().macro(data)
    assert figures.area_um2 == pytest.approx(4.404e6)
    assert (figures.leakage_w, figures.access_ns) == (1.13, 0.605)


def test_nothing_else_is_a_macro() -> None:
    with pytest.raises(TypeError, match=r"^Model must be ArrayParams or CacheArrayParams, not 'sram'$"):
        load_macros().macro("sram")


def test_another_node() -> None:
    figures = load_macros().memory(64, 256)
    assert figures.at(130) == figures
    moved = figures.at(45)
    assert moved.area_um2 == pytest.approx(0.16 * figures.area_um2)
    assert moved.node_nm == 45
    assert moved.source == f"{figures.source}; scaled from 130 to 45 nm"


def test_user_file(tmp_path: Path) -> None:
    table = tmp_path / "own.toml"
    table.write_text(TEXT.replace("area_um2 = 7737.3", "area_um2 = 10000"))
    assert load_macros(table).crossbar(ARRAY).area_um2 == pytest.approx(10000)
    assert load_macros(table).memory(64, 256) == load_macros().memory(64, 256)


REFUSED = [
    ("node_nm = 130", "node_nm = 500", "a process node must be from 7 to 180 nm, not 500"),
    ("node_nm = 130", "node_nm = 0", "node_nm of [[sram]] must be a number above 0, not 0"),
    ("max_width = 64", "max_width = 64.0", "max_width of [[sram]] must be a whole number from 1, not 64.0"),
    ("max_width = 64", "", "[[sram]] must have max_width"),
    ("max_width = 64", "max_width = 64\nports = 2", None),
    (
        "[2.96919, 0.00483629]",
        "[2.96919]",
        "access_ns of [[sram]] must be a list of 2 numbers, not [2.96919]",
    ),
    (
        "[2.96919, 0.00483629]",
        "[1, true]",
        "access_ns of [[sram]] must be a list of 2 numbers, not [1, True]",
    ),
    ("area_um2 = 7737.3", "area_um2 = inf", "area_um2 of [crossbar] must be a number above 0, not inf"),
    ("area_um2 = 7737.3", "area_um2 = true", "area_um2 of [crossbar] must be a number above 0, not True"),
    ('= "included"', '= "none"', "converters of [crossbar] must be one of included, apart, not 'none'"),
    ("\n[dac]", "\n[dacs]", "the top level has no 'dacs'; it takes sram, crossbar, cache, adc, dac"),
    ("[cache]", "cache = 1\n[dac.cache]", None),
    ("bits = 8\n", "bits = 4\n", "the two [[adc]] must have different bits at the same node_nm"),
    ("node_nm = 45", "node_nm = 130", "each [[sram]] must have another node_nm"),
    (
        "\nwrite_energy_pj = [",
        "\n#",
        "[[sram]] must have both of read_energy_pj and write_energy_pj, or neither",
    ),
    ("depth = 64\n", "depth = 0\n", "depth of [[sram.measured]] must be a whole number from 1, not 0"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED)
def test_refused_files(tmp_path: Path, old: str, new: str, message: str | None) -> None:
    assert old in TEXT
    table = tmp_path / "bad.toml"
    table.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(OhmweaveError) as caught:
        load_macros(table)
    sentence = str(caught.value)
    if message is None:
        assert sentence.startswith(f"{table}: ")
        assert sentence.count("\n") == 0
    else:
        assert sentence == f"{table}: {message}"


def test_refused_without_energies(tmp_path: Path) -> None:
    table = tmp_path / "bad.toml"
    rules = re.sub(r"(?m)^(read|write)_energy_pj = \[.*", "", TEXT)
    for text in (rules, "sram = []\n" + TEXT[TEXT.index("\n[crossbar]") :]):
        table.write_text(text)
        with pytest.raises(OhmweaveError) as caught:
            load_macros(table)
        sentence = "[[sram]] must have read_energy_pj and write_energy_pj once at least"
        assert str(caught.value) == f"{table}: {sentence}"


def test_refused_text(tmp_path: Path) -> None:
    table = tmp_path / "none.toml"
    with pytest.raises(OhmweaveError) as caught:
        load_macros(table)
    assert str(caught.value) == f"table of macros {table} cannot be read: No such file or directory"
    table.write_text("[sram")
    with pytest.raises(OhmweaveError, match=rf"^table of macros {re.escape(str(table))} is not valid TOML: "):
        load_macros(table)
    table.write_text("sram = 1\ncrossbar = 1\ncache = 1\nadc = 1\ndac = 1\n")
    with pytest.raises(OhmweaveError) as caught:
        load_macros(table)
    assert str(caught.value) == f"{table}: adc must be two tables, [[adc]]"
