"""`ohmweave compile`: a network laid out and compiled once, as a file that `ohmweave run --program` takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ohmweave.commands.float_options import FloatChoices, float_options, load_integers
from ohmweave.commands.options import (
    aim_option,
    arch_option,
    check_output_file,
    copies_option,
    mapping_option,
    model_argument,
)
from ohmweave.config import Architecture, load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS

if TYPE_CHECKING:
    from ohmweave.sim.saved_program import SavedProgram

__all__ = ["command", "load_program"]


@click.command("compile", short_help="Compile a network into a file that run takes.")
@model_argument
@arch_option
@copies_option
@mapping_option
@aim_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.ohmp",
    help="Where to write the program.",
)
@float_options
def command(
    model: str, arch: str, copies: int | None, mapping: str, aim: str, out: Path, **choices: Any
) -> int:
    """Compile MODEL for the accelerator, all layers at once, into a file for `ohmweave run MODEL --program FILE`.

    MODEL is what `ohmweave run` takes. The file holds everything that the chip is sent but the images: the cells of its
    arrays and its configuration. It belongs to this network and this accelerator.
    """
    architecture = load_architecture(arch)
    check_output_file(out)

    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim.connections import check_connections
    from ohmweave.sim.mapping.parts import Parts
    from ohmweave.sim.run import MAPPING, compiled, planned
    from ohmweave.sim.saved_program import save
    from ohmweave.sim.ways import Layers

    with progress_bars(Console(stderr=True)) as progress:
        network, sentences = load_integers(model, FloatChoices(**choices), progress)
        progress(MAPPING, 0, 0)
        chosen = planned(network, architecture.params, copies=copies, mapping=mapping, aim=aim)
        if isinstance(chosen, Layers | Parts):
            why = f": {chosen.why}" if chosen.why else ""
            how = "in parts" if isinstance(chosen, Parts) else "one layer after the other"
            raise OhmweaveError(
                f"a program has all layers on the chip at once, and {network.name} runs {how}{why}"
            )
        program = compiled(chosen, architecture.params)
        check_connections(program)
        size = save(out, program, network)
    console = output()
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    pes = len({unit for stage in program.stages for unit in stage.units})
    console.print(
        f"wrote {out}: {network.name} on {pes} of {architecture.params.pes} PEs of {architecture.name}, {size:,} bytes",
        markup=False,
        soft_wrap=True,
    )
    return 0


def load_program(path: Path, context: click.Context) -> tuple["SavedProgram", Architecture]:
    """The program in a file, and the chip that it is for; refuses options of the command that say something else."""
    from ohmweave.sim.saved_program import load

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is not ParameterSource.DEFAULT

    saved = load(path)
    copies, mapping = saved.program.copies, context.params["mapping"]
    if given("copies") and context.params["copies"] != copies:
        said = context.params["copies"] or "fit"
        raise OhmweaveError(f"--copies must be {copies} or not given, as {saved.name} has it, not {said}")
    if mapping in ("layers", "parts"):
        raise OhmweaveError(
            f"--mapping must be pipeline or auto, as {saved.name} has all layers at once, not {mapping}"
        )
    if given("aim"):
        raise OhmweaveError(
            f"--aim must not be given with {saved.name}, which is compiled for an aim already"
        )
    if given("arch"):
        architecture = load_architecture(context.params["arch"])
        saved.check_chip(architecture.params, architecture.name)
        return saved, architecture
    names = [name for name, params in PRESETS.items() if params == saved.program.params]
    return saved, Architecture(names[0] if names else str(path), saved.program.params)
