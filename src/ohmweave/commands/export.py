"""`ohmweave export`: a network as an ONNX graph."""

from pathlib import Path

import click

from ohmweave.commands.options import load_model, model_argument

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
def command(model: str, path: Path) -> int:
    """Write MODEL as an ONNX graph of integers and standard operators.

    MODEL is `lenet5` or an .npz network file. The graph's input is `images`, (N,C,H,W) uint8, raw pixels; its output
    is `logits`, (N,classes) integers. ONNX Runtime computes the same integers as the netlist.
    """
    network = load_model(model)

    from ohmweave.commands.terminal import output
    from ohmweave.sim.onnx_export import export_onnx

    export_onnx(network, path)
    output().print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
