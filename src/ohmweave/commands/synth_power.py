"""`ohmweave synth --power`: power of the mapped chip in a recorded run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ohmweave.config import Architecture
from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from rich.console import Console

    from ohmweave.sim.synthesis.power_run import Run

__all__ = ["PowerChoices", "check_power", "power_options", "prepared", "show_power"]

LAYER = "layer"
#: What comes along with --power alone.
NAMES = ("images", "limit", "frequency", "every")
#: Lines of the table; the file has all.
SHOWN = 20

_OPTIONS = (
    click.option(
        "--power",
        metavar="MODEL|layer",
        help="Also the power of the chip in a run of MODEL, a network of integers as `ohmweave run` takes it, or of "
        "a layer of ResNet-18 on its own.",
    ),
    click.option(
        "--images", metavar="FILE.npz|DIR|DATASET", help="What runs through MODEL, as `ohmweave run` has it."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=2),
        default=20,
        show_default=True,
        metavar="N",
        help="The first N of them.",
    ),
    click.option(
        "--frequency",
        type=click.IntRange(1, 100_000),
        default=1000,
        show_default=True,
        metavar="MHZ",
        help="Of the clock, for watts; the chip may be slower.",
    ),
    click.option(
        "--every",
        type=click.IntRange(min=64),
        default=4096,
        show_default=True,
        metavar="CYCLES",
        help="Of so many cycles of the run 64 are looked at.",
    ),
)


@dataclass(frozen=True)
class PowerChoices:
    """The options above."""

    power: str | None
    images: str | None
    limit: int
    frequency: int
    every: int


def power_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def check_power(
    choices: PowerChoices, block: str, settings: Sequence[str], liberty: Sequence[Path], target: str | None
) -> None:
    """Refuse what does not go with --power, and what goes with nothing else."""
    if choices.power is None:
        context = click.get_current_context()
        for name in NAMES:
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise OhmweaveError(f"--{name} goes with --power")
        return
    if target is not None:
        raise OhmweaveError("--power is of cells of a Liberty file; --target goes without it")
    if block not in ("chip", "group"):
        raise OhmweaveError(f"--power is of what a network runs on, chip or group, not {block}")
    if settings:
        raise OhmweaveError("--power is of a chip as --arch has it; --set goes without it")
    if not liberty:
        raise OhmweaveError(
            "--power needs cells with energies, and unit gates have none: --liberty names some"
        )


def prepared(choices: PowerChoices, architecture: Architecture) -> "Run":
    """What runs, compiled."""
    from ohmweave.commands.options import load_model
    from ohmweave.commands.run import load_image_set
    from ohmweave.sim.library import BUILTIN
    from ohmweave.sim.synthesis.power_run import layer_run, network_run

    model = choices.power
    assert model is not None
    if model == LAYER:
        if choices.images is not None:
            raise OhmweaveError("--images goes with --power MODEL; the layer has numbers of its own")
        return layer_run(architecture.params)
    if model not in BUILTIN and not model.endswith(".npz"):
        names = ", ".join((*BUILTIN, LAYER))
        raise OhmweaveError(f"--power must be one of {names} or an .npz network file, not {model!r}")
    network = load_model(model)
    images = load_image_set(model, network, choices.images, choices.limit)
    return network_run(network, images, architecture.params)


def show_power(console: "Console", record: dict[str, Any]) -> None:
    """The table by block, and what the whole chip takes and does."""
    from rich.table import Table

    table = Table(
        title=f"{record['block']} of {record['arch']} in {record['workload']}, mW at {record['frequency_mhz']} MHz"
    )
    for name in ("module", "instances", "logic", "clock", "leakage", "macros", "all instances", "%"):
        table.add_column(name, justify="left" if name == "module" else "right", overflow="fold")
    total = record["power_w"]["total"] or 1.0

    def row(name: str, instances: str, modules: Sequence[dict[str, float]]) -> None:
        sums = [
            sum(each["internal_w"] + each["switching_w"] for each in modules),
            *(sum(each[key] for each in modules) for key in ("clock_w", "leakage_w", "macros_w", "total_w")),
        ]
        parts = [f"{1e3 * watts:,.3f}" if watts else "" for watts in sums]
        table.add_row(name, instances, *parts, f"{100 * sums[-1] / total:.1f}")

    modules = record["modules"]
    for module in modules[:SHOWN]:
        row(module["name"], str(module["instances"]), [module])
    if len(modules) > SHOWN:
        row(f"{len(modules) - SHOWN} more", "", modules[SHOWN:])
    table.add_section()
    row("all", "", modules)
    console.print(table)
    watts = record["power_w"]
    sentences = [
        f"{watts['total']:.4g} W, {1e6 * record['energy_per_image_j']:.4g} µJ an image, "
        f"{record['gops']:.4g} GOPS, {record['gops_per_w']:.4g} GOPS/W",
        f"  {watts['clock']:.4g} W of it the clock; gated for each register it would take at least "
        f"{record['clock_if_gated']['w']:.4g} W (estimate)",
    ]
    if record["at_rest"]:
        sentences.append(
            f"  modules that the run has no part of are taken to rest: {len(record['at_rest'])}, listed in power.json"
        )
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
