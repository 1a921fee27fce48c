"""What a report says of PEs and links: the busiest, means an image, and a table that fits a terminal."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ohmweave.presets import PRESETS
from ohmweave.rtl.links import links
from ohmweave.sim import report
from ohmweave.sim.report import Cycles, LayerUse, LinkUse, NamedLink, Report, SimTimes
from ohmweave.sim.use import BUSIEST, Ran, link_use, use_of

TINY = PRESETS["tiny"]


def result(states: list[list[int]], flits: dict[str, int] | None = None) -> Any:
    table = np.array(states)
    of_links = np.array([(flits or {}).get(link.name, 0) for link in links(TINY)])
    return SimpleNamespace(states=table, busy=table[:, 0], flits=of_links)


def test_the_pe_that_reads_longest_is_shown() -> None:
    """Its means of an image, and what is left of the interval."""
    first = result([[90, 1, 1, 1, 7, 0], [60, 12, 6, 3, 19, 0], [40, 60, 0, 0, 0, 0]])
    layer = use_of("conv", 2, [Ran(first, (1, 2), 3)], 25.0)
    assert layer == LayerUse("conv", 20.0, 5.0, 2, 4.0, 2.0, 1.0, 19 / 3)


def test_passes_add_up() -> None:
    """Of each pass the PE that reads longest in it."""
    first = result([[6, 2, 0, 0, 2, 0], [8, 1, 1, 0, 0, 0]])
    second = result([[4, 0, 0, 6, 0, 0], [0, 0, 0, 0, 0, 10]])
    layer = use_of("conv", 2, [Ran(first, (0, 1), 2), Ran(second, (0,), 2)], None)
    assert layer == LayerUse("conv", 6.0, None, 2, 0.5, 0.5, 3.0, 0.0)


def test_links_are_shares_of_an_interval() -> None:
    """The busiest first, of equal ones the one of the lower number; the mean is of those that carry something."""
    carried = {"PE 0 -> PE 1": 30, "host -> node 0.0": 60, "node 0.0 -> PE 0": 60, "PE 1 -> PE 3": 6}
    several = [
        result([[0] * 6] * 4, carried),
        result([[0] * 6] * 4, {"PE 2 -> PE 3": 12, "PE 0 -> PE 1": 12}),
    ]
    use = link_use(TINY, several, 3, 40.0)
    assert use == LinkUse(
        5,
        (42 + 60 + 60 + 6 + 12) / 3 / 5 / 40,
        [
            NamedLink("node 0.0 -> PE 0", 20.0, 0.5),
            NamedLink("host -> node 0.0", 20.0, 0.5),
            NamedLink("PE 0 -> PE 1", 14.0, 0.35),
            NamedLink("PE 2 -> PE 3", 4.0, 0.1),
            NamedLink("PE 1 -> PE 3", 2.0, 0.05),
        ],
    )


def test_only_the_busiest_are_named() -> None:
    every = {link.name: 10 + link.number for link in links(TINY)}
    use = link_use(TINY, [result([[0] * 6] * 4, every)], 1, 100.0)
    assert use.used == len(every)
    assert len(use.busiest) == BUSIEST
    assert use.busiest[0].name == "node 0.0 -> host"


def test_no_link_carries_anything() -> None:
    assert link_use(TINY, [result([[0] * 6] * 4)], 1, 100.0) == LinkUse(0, 0.0, [])


def made(layers: list[LayerUse], used: LinkUse | None) -> Report:
    return Report(
        model="net", arch="tiny", backend="cxxrtl", mapping="pipeline", host={}, images=2, correct=None, mismatches=0,
        cycles=Cycles(1, 2.0, 3), layers=layers, sim=SimTimes(0.0, 0.0, None), versions={}, links=used,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("width", "name", "large"),
    [(80, "layer2_0_downsample_0", 75_264.2), (100, "layer4.2.conv2", 1_759_675.2)],
)
def test_tables_fit_a_terminal(width: int, name: str, large: float) -> None:
    """Names and numbers are whole; no column is cut."""
    layer = LayerUse(name, large, large, 256, large, large, large, large)
    link = NamedLink("node 3.63 -> PE 255", large, 0.987)
    shown = io.StringIO()
    console = Console(file=shown, width=width)
    report.show(console, made([layer], LinkUse(1234, 0.25, [link])))
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert text.split().count(f"{large:,.0f}") == 7
    assert name in text
    headings = {"layer", "cycles", "compute", "wait", "out", "near", "in", "idle", "PEs"}
    assert headings <= set(text.split())
    assert "node 3.63 -> PE 255" in text
    assert "98.7" in text
    assert "mean of 1,234" in text
    assert "…" not in text


def test_record() -> None:
    """New keys beside those that were there."""
    layer = LayerUse("conv", 20.0, 5.0, 2, 4.0, 2.0, 1.0, 6.5)
    record = made([layer], LinkUse(1, 0.25, [NamedLink("host -> PE 0", 5.0, 0.25)])).record()
    assert record["layers"] == [
        {
            "name": "conv", "cycles": 20.0, "idle": 5.0, "pes": 2,
            "compute": 4.0, "wait_output": 2.0, "wait_neighbour": 1.0, "wait_input": 6.5,
        }
    ]  # fmt: skip
    assert record["links"] == {
        "used": 1, "mean": 0.25, "busiest": [{"name": "host -> PE 0", "flits": 5.0, "share": 0.25}],
    }  # fmt: skip
    assert made([], None).record()["links"] is None
