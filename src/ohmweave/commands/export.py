"""`ohmweave export`: a network as an ONNX graph."""

from pathlib import Path
from typing import Any

import click

from ohmweave.commands.float_options import FloatChoices, float_options, load_integers
from ohmweave.commands.options import model_argument

__all__ = ["command"]


@click.command("export", short_help="Write a network as an integer-only ONNX graph.")
@model_argument
@click.option(
    "--onnx",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to write the graph.",
)
@float_options
def command(model: str, path: Path, **choices: Any) -> int:
    """Write MODEL as an ONNX graph of integers and standard operators.

    MODEL is `lenet5`, `resnet20`, `resnet20-w4a4`, an .npz network file, an .onnx file of a float network, which is
    quantised first, or `resnet18`, `resnet34` or `generator`. The graph's input is `images`, (N,C,H,W) uint8, raw
    pixels; its output is `logits`, (N,classes) integers. ONNX Runtime computes the same integers as the netlist.
    """
    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim import graph_onnx, onnx_export
    from ohmweave.sim.network import Network

    with progress_bars(Console(stderr=True)) as progress:
        network, sentences = load_integers(model, FloatChoices(**choices), progress)
    if isinstance(network, Network):
        onnx_export.export_onnx(network, path)
    else:
        graph_onnx.export_onnx(network, path)
    console = output()
    for sentence in sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
