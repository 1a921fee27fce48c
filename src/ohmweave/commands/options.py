"""Options that several commands share, and what the user's words for a model mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.config import DEFAULT_ARCH
from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS

if TYPE_CHECKING:
    from ohmweave.sim.graph import Graph
    from ohmweave.sim.network import Network

__all__ = [
    "AIMS", "FLOAT_MODELS", "MAPPINGS", "aim_option", "arch_option", "check_output_file", "check_output_folder",
    "copies_option", "load_model", "mapping_option", "model_argument", "out_option",
]  # fmt: skip

#: Float networks by name; the same as `ohmweave.sim.models.MODELS`, a test compares them.
FLOAT_MODELS = ("resnet18", "resnet34", "generator")

#: The same as `ohmweave.sim.ways.MAPPINGS`, which takes a while to import; a test compares them.
MAPPINGS = ("auto", "pipeline", "parts", "layers")

#: The same as `ohmweave.sim.mapping.mapped.AIMS`.
AIMS = ("interval", "latency")

model_argument = click.argument("model", metavar="MODEL")


def arch_option(function: Any) -> Any:
    return click.option(
        "--arch",
        default=DEFAULT_ARCH,
        show_default=True,
        metavar="PRESET|FILE.toml",
        help=f"The accelerator: a preset ({', '.join(PRESETS)}) or a file of knobs on top of one.",
    )(function)


class CopiesType(click.ParamType):
    """A number of copies, or `fit`, which becomes None."""

    name = "N|fit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "fit":
            return None
        return click.IntRange(1, 256).convert(value, param, ctx)


def copies_option(function: Any) -> Any:
    return click.option(
        "--copies",
        type=CopiesType(),
        default="1",
        show_default=True,
        help="Copies of the network on the chip, which take images in turn; `fit`: as many as make it faster.",
    )(function)


def mapping_option(function: Any) -> Any:
    return click.option(
        "--mapping",
        type=click.Choice(MAPPINGS),
        default=MAPPINGS[0],
        show_default=True,
        help="All layers on the chip at once (`pipeline`), as many at a time as fit (`parts`), or one by one "
        "(`layers`); `auto`: the first of these that is possible.",
    )(function)


def aim_option(function: Any) -> Any:
    return click.option(
        "--aim",
        type=click.Choice(AIMS),
        default=AIMS[0],
        show_default=True,
        help="What PEs are for that a pipeline leaves: `interval`: none of them, since images follow each other no "
        "sooner; `latency`: a shorter way for each image. Of a network that is on the chip as a whole.",
    )(function)


def out_option(text: str) -> Any:
    """`--out`, a folder for results."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("out"),
        show_default=True,
        metavar="DIR",
        help=text,
    )


def load_model(model: str) -> "Network | Graph":
    """The integer network that MODEL names."""
    from ohmweave.sim.library import BUILTIN, builtin, load

    if model in BUILTIN:
        return builtin(model)
    if model.endswith(".npz"):
        return load(Path(model))
    names = ", ".join((*BUILTIN, *FLOAT_MODELS))
    raise OhmweaveError(f"MODEL must be one of {names}, an .npz network file or an .onnx file, not {model!r}")


def check_output_folder(folder: Path) -> None:
    """Refuse early what could not be written in the end, without making anything yet."""
    import os

    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OhmweaveError(f"--out {folder} must be a folder, and {existing} is none")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OhmweaveError(f"--out {folder} cannot be written: {existing} is not writable")


def check_output_file(path: Path) -> None:
    """The same for a file, whose folder has to be there."""
    import os

    from ohmweave.sim.npz import replaceable

    folder = replaceable(path).parent
    if not folder.is_dir():
        raise OhmweaveError(f"{path} cannot be written: {path.parent} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OhmweaveError(f"{path} cannot be written: {path.parent} is not writable")
