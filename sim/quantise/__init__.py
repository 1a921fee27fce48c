"""Post-training quantisation: from a float network and calibration images to an integer graph."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph import Graph, Tensor
from ohmweave.sim.importer.record import FloatGraph
from ohmweave.sim.quantise.build import Builder
from ohmweave.sim.quantise.calibrate import calibrate, normalised
from ohmweave.sim.quantise.options import RANGES, LayerBits, QuantiseOptions, parse_layer_bits
from ohmweave.sim.quantise.plan import Fixed, Plan, free_name, make_plan, pads_image, same_scale
from ohmweave.sim.quantise.ranges import Histogram, choose_range
from ohmweave.sim.quantise.scales import TensorScale, from_range

__all__ = [
    "RANGES", "LayerBits", "QuantiseOptions", "Quantised", "TensorScale", "normalised", "parse_layer_bits", "quantise",
]  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised:
    """An integer graph and how it stands for the float network.

    logit_scale  real output = logits · logit_scale
    scales       integer tensor → its scale; real = scale·(number - zero)
    floats       integer tensor → the tensor of the float network that it stands for
    notes        sentences for people: what was left out, and what the host has to do
    """

    graph: Graph
    logit_scale: float
    scales: Mapping[str, TensorScale]
    floats: Mapping[str, str]
    notes: tuple[str, ...]

    def sentences(self) -> list[str]:
        """What people should know about it."""
        return [*self.notes, f"1 of the output stands for {self.logit_scale:.6g} of the float network's"]


def quantise(
    network: FloatGraph,
    images: np.ndarray | None,
    options: QuantiseOptions | None = None,
    *,
    name: str | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Quantised:
    """The network in integers.

    images  uint8 (N, H, W, C), for calibration; None is enough where the file carries every scale
    name    of the integer graph
    """
    options = options or QuantiseOptions()
    mean, std = (np.array(each) for each in options.per_channel(network.input_shape[0]))
    top = (1 << options.input_bits) - 1
    # real = pixel / (top·std) - mean / std
    image = TensorScale(1 / (top * std), top * mean, options.input_bits)
    plain = image.uniform and not mean.any()
    black_fits = bool(image.zero.min() >= 0 and image.zero.max() <= top)
    plan = make_plan(network, Fixed(image.step, 0, image.bits) if plain else None, black_fits=black_fits)
    names = _names(plan)
    _check_layers(plan, names, options)
    scales = _scales(plan, names, image, images, options, progress)
    padded = not plain and any(pads_image(step, network.input) for step in plan.steps)
    fill = tuple(int(each) for each in np.rint(image.zero)) if padded else ()
    builder = Builder(plan, scales, names, options)
    nodes = builder.build()
    graph = Graph(
        name=_identifier(name or network.name, "network"),
        input=Tensor(name=names[network.input], shape=network.input_shape, bits=options.input_bits),
        nodes=nodes,
        fill=fill,
    )
    return Quantised(
        graph=graph,
        logit_scale=builder.logit_scale,
        scales=MappingProxyType({names[key]: value for key, value in scales.items()}),
        floats=MappingProxyType({names[key]: plan.alias.get(key, key) for key in names}),
        notes=tuple(plan.notes),
    )


def _identifier(text: str, default: str) -> str:
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")[:56].strip("_") or default
    return f"n_{name}" if name[0].isdigit() else name


def _names(plan: Plan) -> dict[str, str]:
    """A name for each tensor: that of the ONNX node that makes it, as far as names may have its characters."""
    result = {plan.graph.input: "image"}
    taken = {"image"}
    for step in plan.steps:
        result[step.output] = free_name(_identifier(step.node.name, type(step.node).__name__.lower()), taken)
    return result


def _check_layers(plan: Plan, names: Mapping[str, str], options: QuantiseOptions) -> None:
    known = [names[step.output] for step in plan.steps if step.computes]
    for name in options.layers:
        if name not in known:
            shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
            raise OhmweaveError(f"bits of a layer must name one of {shown}, not {name!r}")


def _scales(
    plan: Plan,
    names: Mapping[str, str],
    image: TensorScale,
    images: np.ndarray | None,
    options: QuantiseOptions,
    progress: Callable[[str, int, int], None],
) -> dict[str, TensorScale]:
    """The scale of every tensor but the raw one."""
    roots = same_scale(plan.steps)
    fixed: dict[str, tuple[float, int, int]] = {}
    source = plan.graph.input
    if source in roots:
        fixed[roots[source]] = (image.step, 0, image.bits)
    bits: dict[str, int] = {}
    needed: dict[str, list[str]] = {}
    for step in plan.steps:
        if step.raw:
            continue
        root = roots[step.output]
        if step.fixed is not None:
            fixed.setdefault(root, (step.fixed.scale, step.fixed.zero, step.fixed.bits))
        if step.computes:
            layer = options.layers.get(names[step.output])
            wanted = (layer and layer.act_bits) or options.act_bits
            bits[root] = max(bits.get(root, 0), wanted)
            needed.setdefault(root, []).append(plan.alias.get(step.output, step.output))
    measured = sorted({name for root in needed if root not in fixed for name in needed[root]})
    histograms: dict[str, Histogram] = {}
    if measured:
        if images is None:
            raise OhmweaveError(
                f"calibration images must be given for the network {plan.graph.name}: "
                f"the file has no scales for {len(measured)} of its tensors, such as {measured[0]}"
            )
        histograms = calibrate(plan.graph, images, options, measured, progress)
    result = {source: image}
    for root, members in needed.items():
        if root in fixed:
            continue
        ranges = [choose_range(histograms[name], bits[root], options) for name in members]
        low, high = min(each[0] for each in ranges), max(each[1] for each in ranges)
        fixed[root] = (*from_range(low, high, bits[root]), bits[root])
    for step in plan.steps:
        if not step.raw:
            scale, zero, width = fixed[roots[step.output]]
            channels = plan.shapes[step.output][0]
            result[step.output] = TensorScale(np.full(channels, scale), np.full(channels, float(zero)), width)
    return result
