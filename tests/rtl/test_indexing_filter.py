"""The indexing filter: its testbench on both simulators, the compiler's writes, refusals."""

import re

import pytest
from amaranth.back import verilog

from ohmweave.rtl.indexing_filter import (
    COUNT,
    DENSE,
    LATENCY,
    MAX_ENTRIES,
    TABLE,
    IndexingFilter,
    index_table,
)
from ohmweave.testbench import tb_indexing_filter
from ohmweave.testbench.runner import TOP, available, run_testbench


def without_memory_contents(component: IndexingFilter) -> str:
    """Verilog in which words never written are X in Icarus, as in the netlist that is emitted."""
    text = verilog.convert(component, name=TOP, strip_internal_attrs=True)
    text, count = re.subn(r"  initial begin\n(?:    \\table \[\d+\] = .*\n)+  end\n", "", text)
    assert count == 1
    return text


# A build with Verilator takes seconds, one with Icarus none: the edges of `entries` run on the latter.
CASES = [("verilator", 3), ("verilator", 16), *(("icarus", entries) for entries in (1, 2, 3, 16, 200))]


@pytest.mark.parametrize(("simulator", "entries"), CASES)
def test_testbench(simulator: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    component = IndexingFilter(entries=entries)
    ran = run_testbench(
        component,
        "tb_indexing_filter",
        simulator,
        parameters={"entries": entries},
        verilog_text=without_memory_contents(component),
    )
    assert ran == 8


def test_testbench_knows_the_addresses() -> None:
    assert (COUNT, DENSE, TABLE, LATENCY) == (
        tb_indexing_filter.COUNT,
        tb_indexing_filter.DENSE,
        tb_indexing_filter.TABLE,
        tb_indexing_filter.LATENCY,
    )


@pytest.mark.parametrize(
    ("significant", "writes"),
    [
        ([], [(COUNT, 0)]),
        ([0], [(COUNT, 0), (DENSE, 1), (COUNT, 1)]),
        ([0, 1, 2], [(COUNT, 0), (DENSE, 1), (COUNT, 3)]),
        ([2], [(COUNT, 0), (DENSE, 0), (TABLE, 3), (COUNT, 1)]),
        ([0, 1, 5], [(COUNT, 0), (DENSE, 0), (TABLE, 1), (TABLE + 1, 1), (TABLE + 2, 4), (COUNT, 3)]),
        (range(1, 3), [(COUNT, 0), (DENSE, 0), (TABLE, 2), (TABLE + 1, 1), (COUNT, 2)]),
        ([MAX_ENTRIES - 1], [(COUNT, 0), (DENSE, 0), (TABLE, MAX_ENTRIES), (COUNT, 1)]),
    ],
)
def test_index_table(significant: list[int], writes: list[tuple[int, int]]) -> None:
    assert index_table(significant) == writes
    model = tb_indexing_filter.Model(MAX_ENTRIES)
    for write in writes:
        model.write(0, *write)
    assert model.round == list(significant)


@pytest.mark.parametrize("significant", [[-1], [1, 1], [3, 2], [MAX_ENTRIES]])
def test_index_table_refuses(significant: list[int]) -> None:
    sentence = f"Significant indices must be in ascending order from 0 to 65533, not {significant!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        index_table(significant)


@pytest.mark.parametrize("entries", [0, -1, 65535, 1.5, "16", None, True])
def test_refuses_entries(entries: object) -> None:
    sentence = f"Entries must be a whole number from 1 to 65534, not {entries!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        IndexingFilter(entries=entries)  # type: ignore[arg-type]
