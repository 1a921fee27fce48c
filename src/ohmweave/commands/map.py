"""`ohmweave map`: where a network's layers go on a chip, and what will bound it, without running anything."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.commands.float_options import FloatChoices, float_options, is_float, load_integers
from ohmweave.commands.options import (
    aim_option,
    arch_option,
    check_output_folder,
    copies_option,
    mapping_option,
    model_argument,
    out_option,
)
from ohmweave.config import load_architecture

if TYPE_CHECKING:
    from rich.console import Console

    from ohmweave.sim.mapping.summary import Summary

__all__ = ["command"]

#: Grows when a field of map.json changes its meaning.
SCHEMA = 1


@click.command("map", short_help="Show where a network's layers go, and what bounds it.")
@model_argument
@arch_option
@copies_option
@mapping_option
@aim_option
@out_option("Folder for map.svg and map.json.")
@float_options
def command(
    model: str, arch: str, copies: int | None, mapping: str, aim: str, out: Path, **choices: Any
) -> int:
    """Map MODEL onto the accelerator: PEs of each layer, predicted cycles, the bottleneck; nothing is simulated.

    MODEL is what `ohmweave run` takes. Prints a table and writes map.svg, the grid of PEs with the layers and the
    streams between them, and map.json.
    """
    architecture = load_architecture(arch)
    if is_float(model):
        check_output_folder(out)

    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim.mapping.drawing import drawing
    from ohmweave.sim.mapping.summary import summary
    from ohmweave.sim.npz import write_files
    from ohmweave.sim.run import MAPPING, planned

    with progress_bars(Console(stderr=True)) as progress:
        network, sentences = load_integers(model, FloatChoices(**choices), progress)
        check_output_folder(out)
        progress(MAPPING, 0, 0)
        chosen = planned(network, architecture.params, copies=copies, mapping=mapping, aim=aim)
        found = summary(chosen, architecture.params)
    title = f"{network.name} on {architecture.name}"
    record = {"schema": SCHEMA, "model": network.name, "arch": architecture.name, **_record(found)}
    write_files(out, {"map.svg": drawing(title, found), "map.json": json.dumps(record, indent=2) + "\n"})
    console = output()
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    _show(console, title, found)
    console.print(f"wrote {out / 'map.svg'} and {out / 'map.json'}", markup=False)
    return 0


def _record(found: "Summary") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "mapping": "parts" if found.parts else "layers" if found.why else "pipeline",
        "why": found.why or None,
        "copies": found.copies,
        "pes": found.pes,
        "interval": found.interval,
        "bottleneck": found.slowest.name,
        "stages": [
            {
                "name": stage.name,
                "copies": stage.copies,
                "pes": stage.pes,
                "units": stage.units,
                **asdict(stage.times),
            }
            for stage in found.stages
        ],
        "links": {
            "used": len(found.links),
            "of": found.link_count,
            "busiest": max(map(found.busy, found.links), default=0.0),
            "mean": sum(map(found.busy, found.links)) / max(1, len(found.links)),
        },
        "parts": [
            {"stages": [stage.name for stage in part.stages], "pes": part.pes, "interval": part.interval}
            for part in found.parts
        ],
        "course": [{"pes": pes, "stage": stage, "cycles": cycles} for pes, stage, cycles in found.course],
    }


def _show(console: "Console", title: str, found: "Summary") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console.print(Text(title, style="bold"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    if found.parts:
        facts.add_row("mapping", Text(f"{len(found.parts)} parts one after the other: {found.why}"))
        for number, part in enumerate(found.parts, 1):
            names = part.stages[0].name, part.stages[-1].name
            facts.add_row(
                f"part {number}",
                Text(
                    f"{names[0]} to {names[1]}, {part.pes} PEs, {part.interval:,.0f} cycles an image (predicted)"
                ),
            )
        facts.add_row("cycles", f"{found.interval:,.0f} an image, configuration not counted (predicted)")
    elif found.why:
        facts.add_row("mapping", Text(f"one layer after the other: {found.why}"))
        facts.add_row("cycles", f"{found.interval:,.0f} an image, configuration not counted (predicted)")
    else:
        counts = list(dict.fromkeys(stage.copies for stage in found.stages))
        copies = f", {' and '.join(map(str, counts))} copies" if counts != [1] else ""
        facts.add_row("mapping", f"all layers at once{copies}")
        facts.add_row("interval", f"{found.interval:,.0f} cycles from image to image (predicted)")
    facts.add_row("PEs", f"{found.pes} of {found.params.pes}")
    slow = found.slowest
    each_of = f" in each of {slow.copies} copies" if slow.copies > 1 else ""
    facts.add_row(
        "slowest",
        Text(f"{slow.name}, {slow.times.longest:,} cycles{each_of}, bound by its {slow.times.binds}"),
    )
    if found.links:
        busy = [100 * found.busy(link) for link in found.links]
        facts.add_row(
            "links",
            f"{len(busy)} of {found.link_count} used; the busiest {max(busy):.0f} % of the time, "
            f"on average {sum(busy) / len(busy):.0f} %",
        )
    for pes, stage, cycles in found.course[:-1]:
        facts.add_row("", Text(f"with {pes} PEs it was {stage}, {cycles:,} cycles"))
    console.print(facts)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer")
    for column in ("copies", "PEs", "array", "partial sums", "input", "output"):
        table.add_column(column, justify="right")
    table.add_column("binds")
    for each in found.stages:
        times = each.times
        numbers = (times.array, times.sums, times.flits_in, times.flits_out)
        table.add_row(
            Text(each.name),
            str(each.copies),
            str(each.pes),
            *(f"{number:,}" if number else "–" for number in numbers),
            times.binds,
            style="bold" if each is slow else None,
        )
    console.print(table)
