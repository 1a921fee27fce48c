"""`ohmweave run`: a network on the netlist, checked against the golden model."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.commands.compile import load_program
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
from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from ohmweave.sim.graph import Graph
    from ohmweave.sim.images import ImageSet
    from ohmweave.sim.network import Network

__all__ = ["BACKENDS", "command"]

#: The same as `ohmweave.sim.run.BACKENDS`, which takes a while to import; a test compares them.
BACKENDS = ("cxxrtl", "verilator", "icarus", "pysim", "cycle", "golden")
EXIT_MISMATCH = 1


@click.command("run", short_help="Run a network on the netlist and check every output.")
@model_argument
@arch_option
@click.option(
    "--images",
    metavar="FILE.npz|DIR|DATASET",
    help="An .npz with `images` (N,H,W[,C] uint8) and perhaps `labels`, a folder of PNGs, or `mnist` "
    "or `cifar10`: the 10,000 test images of `ohmweave fetch`. A built-in network has test images of its own.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take the first N images.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    help="What simulates the netlist; `cycle` is a model of its transactions, `golden` the integer model alone.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Simulations side by side, each with a share of the images.",
)
@copies_option
@mapping_option
@aim_option
@click.option(
    "--program",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `ohmweave compile` made of MODEL, which is then not laid out again; --arch is that chip.",
)
@out_option("Folder for result.json and logits.npy.")
@click.option(
    "--waves", type=click.Path(path_type=Path), metavar="FILE", help="Write waveforms there (.vcd or .fst)."
)
@float_options
def command(
    model: str,
    arch: str,
    images: str | None,
    limit: int | None,
    backend: str,
    jobs: int,
    copies: int | None,
    mapping: str,
    aim: str,
    program: Path | None,
    out: Path,
    waves: Path | None,
    **choices: Any,
) -> int:
    """Run images through MODEL on the generated netlist, and check every output against the golden model.

    MODEL is `lenet5`, `resnet20`, `resnet20-w4a4`, an .npz network file, an .onnx file of a float network, which is
    quantised first, or `resnet18`, `resnet34` or `generator`. Prints a table, writes result.json and logits.npy into
    the output folder; the exit code is 1 if any image's outputs differ from the golden model's.
    """
    if program is None:
        saved, architecture = None, load_architecture(arch)
    else:
        saved, architecture = load_program(program, click.get_current_context())
    if is_float(model):
        check_output_folder(out)  # before the time that quantisation takes

    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim import report
    from ohmweave.sim.run import run

    with progress_bars(Console(stderr=True)) as progress:
        network, sentences = load_integers(model, FloatChoices(**choices), progress)
        if saved is not None:
            saved.check_network(network, model)
        image_set = load_image_set(model, network, images, limit)
        check_output_folder(out)
        with contextlib.nullcontext() if saved is None else saved.running():
            outcome = run(
                network,
                image_set,
                architecture.params,
                arch=architecture.name,
                backend=backend,
                jobs=jobs,
                copies=copies,
                mapping=mapping,
                aim=aim,
                program=None if saved is None else saved.program,
                waves=waves,
                progress=progress,
            )
    # The files first: they are there also when nobody reads the table to its end.
    report.write(out, outcome.report, outcome.logits)
    console = output()
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    report.show(console, outcome.report)
    console.print(f"wrote {out / 'result.json'} and {out / 'logits.npy'}", highlight=False, markup=False)
    return EXIT_MISMATCH if outcome.report.mismatches else 0


def load_image_set(
    model: str, network: "Network | Graph", source: str | None, limit: int | None
) -> "ImageSet":
    """The images that `--images` names, or those that belong to a built-in network."""
    from ohmweave.sim.datasets import LOADERS
    from ohmweave.sim.images import from_arrays, load_images
    from ohmweave.sim.library import BUILTIN, builtin_images
    from ohmweave.sim.network import Network

    if isinstance(network, Network):
        (channels, height, width), classes = network.input_shape, network.classes
    else:
        channels, height, width = network.input.shape
        # Labels of an output that is a map mean nothing.
        classes = network.output.shape[0] if len(network.logits_shape) == 1 else 1 << 31
    expected: dict[str, Any] = {"shape": (height, width, channels), "classes": classes}
    if source is None:
        if model not in BUILTIN:
            raise OhmweaveError(
                f"--images must be given for {model}: only a built-in network has images of its own"
            )
        return from_arrays(*builtin_images(model), **expected).head(limit)
    if source in LOADERS:
        return from_arrays(f"the images of {source}", *LOADERS[source]("test"), **expected).head(limit)
    return load_images(Path(source), limit=limit, **expected)
