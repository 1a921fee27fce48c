"""Options of float networks, which become integers before anything else, and what MODEL means with them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.commands.options import FLOAT_MODELS, load_model
from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from ohmweave.sim.graph import Graph
    from ohmweave.sim.importer import FloatGraph
    from ohmweave.sim.network import Network
    from ohmweave.sim.quantise import Quantised

__all__ = ["RANGES", "FloatChoices", "float_options", "is_float", "load_integers"]

#: The same as `ohmweave.sim.quantise.RANGES`; a test compares them.
RANGES = ("minmax", "percentile", "mse")
#: Images that a data set gives for calibration: the first of those for training.
CALIBRATION_IMAGES = 256


class _Numbers(click.ParamType):
    """One number, or several with commas between."""

    name = "A,B,C"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not one number, or one a channel with commas between", param, ctx)


def _bits(*bits: int) -> click.Choice:
    return click.Choice([str(each) for each in bits])


_OPTIONS = (
    click.option(
        "--calibration",
        metavar="FILE.npz|DIR|DATASET",
        help="Images that show which values a float network's tensors have: as --images, or a data set's first "
        f"{CALIBRATION_IMAGES} images for training.",
    ),
    click.option("--mean", type=_Numbers(), help="What a float network's images are normalised with, [default: 0]"),
    click.option("--std", type=_Numbers(), help="after pixel / 255: (x - mean) / std. [default: 1]"),
    click.option("--weight-bits", type=_bits(4, 8, 16), help="Bits of a float network's weights. [default: 8]"),
    click.option("--act-bits", type=_bits(4, 8, 16), help="Bits of its activations. [default: 8]"),
    click.option("--input-bits", type=_bits(4, 8), help="Top bits of each pixel that it sees. [default: 8]"),
    click.option(
        "--layer-bits",
        multiple=True,
        metavar="NAME=W[/A]",
        help="Bits of one layer's weights and output; may be given several times.",
    ),
    click.option(
        "--range",
        "range_",
        type=click.Choice(RANGES),
        help="Range of activations: all that calibration saw, all but the rarest, or that of least squared error. "
        "[default: mse]",
    ),
    click.option(
        "--percentile", type=float, help="Percent of the values that --range percentile keeps. [default: 99.99]"
    ),
    click.option(
        "--weights",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Weights of {', '.join(FLOAT_MODELS[:2])}: torchvision's .pth, or .safetensors or .npz with its names; "
        "without them they are random.",
    ),
)  # fmt: skip


def float_options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class FloatChoices:
    """What a user said about a float network; None or empty where nothing was."""

    calibration: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    weight_bits: str | None = None
    act_bits: str | None = None
    input_bits: str | None = None
    layer_bits: tuple[str, ...] = ()
    range_: str | None = None
    percentile: float | None = None
    weights: Path | None = None

    def given(self) -> list[str]:
        """The options that were given, as the user wrote them."""
        return [
            f"--{each.name.rstrip('_').replace('_', '-')}"
            for each in fields(self)
            if getattr(self, each.name) not in (None, ())
        ]


Progress = Callable[[str, int, int], None]


def is_float(model: str) -> bool:
    """Whether MODEL names a float network."""
    return model.endswith(".onnx") or model in FLOAT_MODELS


def load_integers(
    model: str, choices: FloatChoices, progress: Progress
) -> tuple["Network | Graph", list[str]]:
    """What MODEL names, a float network quantised, and sentences that its user should read."""
    if is_float(model):
        quantised = _quantised(model, choices, progress)
        return quantised.graph, quantised.sentences()
    if choices.given():
        raise OhmweaveError(f"{choices.given()[0]} is for float networks, and {model} has integers already")
    return load_model(model), []


def _quantised(model: str, choices: FloatChoices, progress: Progress) -> "Quantised":
    from ohmweave.sim.quantise import QuantiseOptions, parse_layer_bits, quantise

    mean, std = choices.mean, choices.std
    calibration = None
    if model.endswith(".onnx"):
        if choices.weights is not None:
            raise OhmweaveError(
                f"--weights is for {', '.join(FLOAT_MODELS)}, and {model} has weights of its own"
            )
        from ohmweave.sim.importer import load_onnx

        progress("importing", 0, 0)
        network = load_onnx(Path(model))
        name = Path(model).stem
    else:
        from ohmweave.sim.models import build_model

        progress("building", 0, 0)
        built = build_model(model, weights=choices.weights)
        network, name, calibration = built.network, model, built.calibration
        mean, std = mean or built.mean, std or built.std
    known: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "weight_bits": choices.weight_bits and int(choices.weight_bits),
        "act_bits": choices.act_bits and int(choices.act_bits),
        "input_bits": choices.input_bits and int(choices.input_bits),
        "range": choices.range_,
        "percentile": choices.percentile,
        "layers": parse_layer_bits(choices.layer_bits) or None,
    }
    options = QuantiseOptions(**{key: value for key, value in known.items() if value is not None})
    if choices.calibration is not None:
        calibration = _calibration_images(choices.calibration, network)
    return quantise(network, calibration, options, name=name, progress=progress)


def _calibration_images(source: str, network: "FloatGraph") -> Any:
    from ohmweave.sim.datasets import LOADERS
    from ohmweave.sim.images import from_arrays, load_images

    channels, height, width = network.input_shape
    # Labels do not matter here, whatever they are.
    expected: dict[str, Any] = {"shape": (height, width, channels), "classes": 1 << 31}
    if source in LOADERS:
        images, _ = LOADERS[source]("train")
        name = f"the images of {source}"
        return from_arrays(name, images[:CALIBRATION_IMAGES], None, **expected).pixels
    return load_images(Path(source), **expected).pixels
