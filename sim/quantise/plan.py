"""The float nodes as integer ones will be: limits, scales of the file and additions fused into what comes before.

A step is one node of the integer graph. `COMPUTING` steps scale their sums to whatever their output needs; the others
hand numbers on as they are, so that their inputs and outputs have one scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph_average import MAX_PARTS, average_parts
from ohmweave.sim.importer.record import (
    Add,
    AveragePool,
    ChannelAffine,
    Clip,
    Conv,
    ConvTranspose,
    FloatGraph,
    FloatNode,
    Pad,
    Quantised,
)

__all__ = ["Fixed", "Plan", "Step", "free_name", "make_plan", "pads_image", "same_scale"]

COMPUTING = (Conv, ConvTranspose, Add, ChannelAffine, AveragePool)


def free_name(base: str, taken: set[str]) -> str:
    """`base` or one like it, which is then taken."""
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name


@dataclass(frozen=True)
class Fixed:
    """A scale that the file carries, unsigned: number = real / scale + zero."""

    scale: float
    zero: int
    bits: int

    @classmethod
    def of(cls, node: Quantised) -> "Fixed":
        bits = (node.high - node.low + 1).bit_length() - 1
        if bits not in (4, 8, 16):
            raise OhmweaveError(f"{node.text}: a quantised tensor must have 4, 8 or 16 bits, not {bits}")
        if not node.low <= node.zero <= node.high:
            raise OhmweaveError(f"{node.text}: the zero point must be one of the numbers, not {node.zero}")
        return cls(node.scale, node.zero - node.low, bits)


@dataclass(eq=False)
class Step:
    """node: what is computed; inputs, output: float tensors; residual: a tensor added to a convolution's sums."""

    node: FloatNode
    inputs: tuple[str, ...]
    output: str
    low: float = -np.inf
    high: float = np.inf
    residual: str | None = None
    fixed: Fixed | None = None
    raw: bool = False

    @property
    def computes(self) -> bool:
        return isinstance(self.node, COMPUTING)

    @property
    def reads(self) -> tuple[str, ...]:
        return self.inputs if self.residual is None else (*self.inputs, self.residual)

    @property
    def limited(self) -> bool:
        return self.low != -np.inf or self.high != np.inf


@dataclass(eq=False)
class Plan:
    """Steps in order; the input's tensor; the shapes of all; what was done that people should know."""

    steps: list[Step]
    graph: FloatGraph
    output: str
    shapes: dict[str, tuple[int, int, int]]
    notes: list[str] = field(default_factory=list)
    #: Tensors that are others in another scale: what they are in the float network.
    alias: dict[str, str] = field(default_factory=dict)

    def producers(self) -> dict[str, Step]:
        return {step.output: step for step in self.steps}

    def read_count(self) -> dict[str, int]:
        counts = dict.fromkeys([self.graph.input, self.output, *(step.output for step in self.steps)], 0)
        counts[self.output] += 1
        for step in self.steps:
            for name in step.reads:
                counts[name] += 1
        return counts

    def fresh(self, name: str) -> str:
        while name in self.shapes:
            name += "_"
        return name

    def rescale(self, name: str, source: str) -> Step:
        """A step that gives `source` in another scale; not yet in the list."""
        shape = self.shapes[source]
        output = self.fresh(f"{source}_{name}")
        self.shapes[output] = shape
        self.alias[output] = self.alias.get(source, source)
        ones = np.ones(shape[0])
        node = ChannelAffine(name=output, inputs=(source,), output=output, scale=ones, shift=0 * ones)
        return Step(node, (source,), output)


def make_plan(graph: FloatGraph, image: Fixed | None = None, *, black_fits: bool = True) -> Plan:
    """The steps of a float network.

    image       the input's scale, if all its channels have the same and 0 is black; None otherwise
    black_fits  whether the float network's 0 is a pixel, so that the image can be padded with it
    """
    plan = Plan([], graph, graph.output, dict(graph.shapes), list(graph.notes))
    for node in graph.nodes:
        _add(plan, node)
    _fuse_additions(plan)
    if image is None:
        _separate_input(plan, black_fits)
    else:
        _drop_same_scale(plan, image)
    _split_conflicts(plan, image)
    _make_raw(plan)
    return plan


def _add(plan: Plan, node: FloatNode) -> None:
    if isinstance(node, Clip | Quantised):
        _limit(plan, node)
        return
    if isinstance(node, AveragePool) and node.leaves_border_out:
        size = plan.shapes[node.inputs[0]][1:]
        parts = average_parts(size, kernel=node.kernel, stride=node.stride, pads=node.pads)
        if parts > MAX_PARTS:
            raise OhmweaveError(
                f"{node.text}: an average that leaves its border out is put together of at most {MAX_PARTS} parts, "
                f"each for one number of places inside the map, and this one needs {parts}"
            )
    if isinstance(node, Pad) and node.value != 0:
        raise OhmweaveError(f"{node.text}: padding between layers must be with 0, not {node.value:g}")
    if isinstance(node, ChannelAffine) and node.scale.min() < 0:
        # Scales are unsigned; a weight for each channel is not.
        shape = (-1, 1, 1, 1)
        node = Conv(
            name=node.name,
            inputs=node.inputs,
            output=node.output,
            weights=node.scale.reshape(shape).astype(np.float32),
            bias=node.shift.astype(np.float32),
            groups=len(node.scale),
        )
    if isinstance(node, Conv):
        extent = [(side - 1) * step + 1 for side, step in zip(node.kernel, node.dilation, strict=True)]
        if any(node.pads[i] >= extent[i % 2] for i in range(4)):
            node = _padded_before(plan, node)
    plan.steps.append(Step(node, node.inputs, node.output))


def _padded_before(plan: Plan, node: Conv) -> Conv:
    """A convolution whose border is wider than its kernel: the border becomes a step of its own."""
    (source,) = node.inputs
    top, left, bottom, right = node.pads
    output = plan.fresh(f"{source}_padded")
    pad = Pad(name=output, inputs=(source,), output=output, before=(0, top, left), after=(0, bottom, right))
    plan.shapes[output] = pad.out_shape(plan.shapes[source])
    plan.steps.append(Step(pad, pad.inputs, output))
    return replace(node, inputs=(output,), pads=(0, 0, 0, 0))


def _limit(plan: Plan, node: Clip | Quantised) -> None:
    """Fuse a limit or a scale into the step before, where only it reads that; else a step of its own."""
    (source,) = node.inputs
    step = plan.producers().get(source)
    readers = sum(each.inputs.count(source) for each in plan.graph.nodes) + (plan.graph.output == source)
    fits = step is not None and step.fixed is None and readers == 1
    if isinstance(node, Clip):
        fits = fits and step is not None and step.computes
    if not fits or step is None:
        step = plan.rescale("limited" if isinstance(node, Clip) else "scaled", source)
        del plan.shapes[step.output]
        plan.steps.append(step)
    step.output = node.output
    if isinstance(node, Clip):
        step.low, step.high = (float(np.clip(each, node.low, node.high)) for each in (step.low, step.high))
    else:
        step.fixed = Fixed.of(node)


def _fuse_additions(plan: Plan) -> None:
    """Additions become the residual of the convolution before them where it alone is read by them."""
    reads = plan.read_count()
    producers = plan.producers()
    for step in list(plan.steps):
        if not isinstance(step.node, Add) or len(set(step.inputs)) != 2:
            continue
        found = []
        for place, name in enumerate(step.inputs):
            before = producers.get(name)
            if (
                before is not None
                and isinstance(before.node, Conv)
                and reads[name] == 1
                and before.residual is None
                and before.fixed is None
                and not before.limited
                # What a file's scales were measured without is not put into them.
                and before.node.weight_scale is None
            ):
                found.append((before.node.weights[0].size, before, step.inputs[1 - place]))
        if not found:
            continue
        _, conv, other = max(found, key=lambda each: each[0])
        conv.residual, conv.output = other, step.output
        conv.low, conv.high, conv.fixed = step.low, step.high, step.fixed
        plan.steps.remove(conv)
        plan.steps[plan.steps.index(step)] = conv
        producers[conv.output] = conv


def pads_image(step: Step, image: str) -> bool:
    """Whether a convolution pads the image with its zero point."""
    if image not in step.inputs or not isinstance(step.node, Conv | ConvTranspose):
        return False
    return isinstance(step.node, ConvTranspose) or any(step.node.pads)


def _separate_input(plan: Plan, black_fits: bool) -> None:
    """Pixels whose scale or black differs by channel: convolutions fold it into their weights, others cannot."""
    name = plan.graph.input
    readers = [step for step in plan.steps if name in step.reads]
    kinds = Conv | ConvTranspose | ChannelAffine
    plain = all(step.residual != name and isinstance(step.node, kinds) for step in readers)
    padded = any(pads_image(step, name) for step in readers)
    if plain and (
        not padded or (black_fits and not any(isinstance(step.node, ChannelAffine) for step in readers))
    ):
        return
    change = plan.rescale("normalised", name)
    for step in readers:
        step.inputs = tuple(change.output if each == name else each for each in step.inputs)
        step.residual = change.output if step.residual == name else step.residual
    plan.steps.insert(0, change)


def _drop_same_scale(plan: Plan, image: Fixed) -> None:
    """A file's scale of the input that is the pixels' own changes nothing."""
    for step in list(plan.steps):
        fixed, node = step.fixed, step.node
        if step.inputs != (plan.graph.input,) or fixed is None or not isinstance(node, ChannelAffine):
            continue
        same = (fixed.zero, fixed.bits) == (image.zero, image.bits) and abs(
            fixed.scale / image.scale - 1
        ) < 1e-6
        plain = np.all(node.scale == 1) and not np.any(node.shift)
        if same and plain and not step.limited and step.output != plan.output:
            plan.steps.remove(step)
            for other in plan.steps:
                other.inputs = tuple(
                    plan.graph.input if each == step.output else each for each in other.inputs
                )
                other.residual = plan.graph.input if other.residual == step.output else other.residual


def _split_conflicts(plan: Plan, image: Fixed | None) -> None:
    """Steps that hand numbers on have one scale; where the file wants two, a change of scale is put between."""
    steps: list[Step] = []
    known: dict[str, Fixed | None] = {plan.graph.input: image}
    for step in plan.steps:
        if step.computes:
            steps.append(step)
            known[step.output] = step.fixed
        else:
            steps.extend(_agreeing(plan, step, known))
    plan.steps = steps


def _agreeing(plan: Plan, step: Step, known: dict[str, Fixed | None]) -> list[Step]:
    """The step, whose inputs get its scale, and whatever changes of scale that takes before and after it."""
    before, after = [], []
    if len(step.inputs) == 1:
        wanted = known.get(step.inputs[0]) or step.fixed
    else:
        # The image has a range of its own, which the others need not keep to.
        given = [known.get(name) for name in step.inputs if name != plan.graph.input]
        wanted = step.fixed or next((each for each in given if each is not None), None)
        inputs = list(step.inputs)
        for place, name in enumerate(inputs):
            fixed = known.get(name)
            if name == plan.graph.input or (fixed is not None and fixed != wanted):
                change = plan.rescale("scaled", name)
                change.fixed = wanted
                inputs[place] = change.output
                before.append(change)
        step.inputs = tuple(inputs)
    if step.fixed is not None and step.fixed != wanted:
        change = plan.rescale("scaled", step.output)
        moved, change.output, change.fixed = change.output, step.output, step.fixed
        change.inputs, step.output = (moved,), moved
        after.append(change)
        known[change.output] = change.fixed
    step.fixed = wanted
    known[step.output] = wanted
    return [*before, step, *after]


def _make_raw(plan: Plan) -> None:
    """The output is the sums of the last step as they are; a step of its own where that is none."""
    last = plan.producers()[plan.output]
    alone = plan.read_count()[plan.output] == 1
    # Parts are put together once they are numbers.
    in_parts = isinstance(last.node, AveragePool) and last.node.leaves_border_out
    if not alone or not last.computes or in_parts or last.limited or last.fixed is not None:
        last = plan.rescale("logits", plan.output)
        plan.steps.append(last)
        plan.output = last.output
    last.raw = True
    plan.steps.remove(last)
    plan.steps.append(last)


def same_scale(steps: Sequence[Step]) -> dict[str, str]:
    """Tensor → representative of the tensors that have one scale."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for step in steps:
        root(step.output)
        if not step.computes:
            for name in step.inputs:
                parent[root(name)] = root(step.output)
    return {name: root(name) for name in list(parent)}
