"""No block grows or slows by more than a twentieth unless the table says so, too."""

import dataclasses
from pathlib import Path

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.guard import GUARDED, LIMIT, Row, compare, measure, read_table, table_text

TABLE = Path(__file__).with_name("guard.csv")
ROW = Row("tiny", "router", 1000.0, 0.0, 20.0, "Yosys 0.70")


def test_blocks_are_as_the_table_says(capsys):
    lines, wrong = compare(read_table(TABLE), measure())
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert not wrong, "\n".join([*wrong, "if that is meant: python scripts/write_silicon_guard.py"])


def test_table_is_of_what_is_guarded():
    assert [row.name for row in read_table(TABLE)] == list(GUARDED)


def test_table_comes_back(tmp_path):
    rows = [ROW, dataclasses.replace(ROW, block="switch", memory=12.5)]
    (tmp_path / "table.csv").write_text(table_text(rows))
    assert read_table(tmp_path / "table.csv") == rows


@pytest.mark.parametrize(
    ("field", "value", "ok"),
    [
        ("logic", 1000 * (1 + LIMIT) - 1, True),
        ("logic", 1000 * (1 + LIMIT) + 1, False),
        ("logic", 1000 * (1 - LIMIT) - 1, False),
        ("memory", 1.0, False),
        ("critical_path", 20.9, True),
        ("critical_path", 21.1, False),
    ],
)
def test_limits(field, value, ok):
    lines, wrong = compare([ROW], [dataclasses.replace(ROW, **{field: value})])
    assert len(lines) == 1
    assert (not wrong) == ok


def test_blocks_in_one_table_alone():
    assert compare([ROW], [])[1] == ["router of tiny is in the table alone"]
    assert compare([], [ROW])[1] == ["router of tiny is not in the table"]


def test_other_tools_are_named():
    lines, wrong = compare([ROW], [dataclasses.replace(ROW, tool="Yosys 0.71")])
    assert "Yosys 0.71" in lines[-1]
    assert not wrong


def test_damaged_table(tmp_path):
    (tmp_path / "table.csv").write_text("arch,block\ntiny,router\n")
    with pytest.raises(OhmweaveError, match=r"cannot be read"):
        read_table(tmp_path / "table.csv")
