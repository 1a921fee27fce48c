"""ResNet-20 for CIFAR-10 in PyTorch, in floating point or on the integers of the graph that it exports."""

import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ohmweave.sim import graph
from ohmweave.sim.quantise.scales import encode

__all__ = ["ResNet20"]

WIDTHS = (16, 32, 64)
BLOCKS = 3  # of each width
CLASSES = 10
PIXEL_STEP = 1 / 64  # makes the standard deviation of a pixel about one, as float networks like it


class Round(torch.autograd.Function):
    """Nearest whole number, with the gradient of no rounding at all."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.round()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def best_log_step(x: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """For each row of x the step of the smallest squared error, of 64 between 1/8 and all of the row's range."""
    reach = torch.maximum(x.amax(1) / high, x.amin(1) / low if low else x.new_zeros(())).clamp(min=1e-6)
    steps = reach * torch.linspace(0.125, 1, 64)[:, None]
    errors = torch.stack(
        [((x / s[:, None]).round().clamp(low, high) * s[:, None] - x).square().sum(1) for s in steps]
    )
    return steps.gather(0, errors.argmin(0)[None])[0].log()


class Levels(nn.Module):
    """Whole numbers clip(round(x/step), low, high); a learned step for the whole tensor or for each row of it.

    What comes out is in units of the step, which batch normalisation makes no difference to. The step is learned as
    its logarithm: it stays positive, and Adam changes it by a ratio. The first tensor sets it.
    """

    def __init__(self, low: int, high: int, rows: int = 1):
        super().__init__()
        self.low, self.high, self.rows = low, high, rows
        self.log_step = nn.Parameter(torch.full((rows,), math.nan))

    def step(self) -> torch.Tensor:
        return self.log_step.exp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.log_step.isnan().any():
            with torch.no_grad():
                self.log_step.copy_(
                    best_log_step(x.detach().float().reshape(self.rows, -1), self.low, self.high)
                )
        inverse = (-self.log_step).exp()
        inverse = inverse.reshape(-1, *[1] * (x.ndim - 1)) if self.rows > 1 else inverse.reshape(())
        return Round.apply(functional.hardtanh(x * inverse, self.low, self.high))


def double(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def weight_levels(bits: int, rows: int) -> Levels:
    """As many levels below zero as above: a channel that batch normalisation turns over has its weights negated."""
    return Levels(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1, rows)


class Conv(nn.Module):
    """3×3 convolution, batch normalisation, the shortcut if there is one, ReLU or the quantisation that includes it."""

    def __init__(self, inputs: int, outputs: int, bits: int | None, stride: int = 1):
        super().__init__()
        self.stride, self.bits = stride, bits
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        self.norm = nn.BatchNorm2d(outputs)
        if bits:
            self.weight_levels = weight_levels(bits, outputs)
            self.levels = Levels(0, 2**bits - 1)

    def forward(
        self, x: torch.Tensor, shortcut: torch.Tensor | None = None, shortcut_step: torch.Tensor | None = None
    ) -> torch.Tensor:
        weight = self.weight_levels(self.weight) if self.bits else self.weight
        v = self.norm(functional.conv2d(x, weight, stride=self.stride, padding=1))
        if shortcut is not None:
            v = (
                v + shortcut
                if shortcut_step is None
                else torch.addcmul(v, shortcut, shortcut_step.to(v.dtype))
            )
        return self.levels(v) if self.bits else functional.relu(v)

    def export(self, name: str, read: str, residual: tuple[str, torch.Tensor] | None = None) -> graph.Conv:
        """Its integers: norm(v) / step = (v + bias) · mult / 2^shift; a residual has the scale that makes it a v."""
        weights = self.weight_levels(self.weight).detach().double().numpy()
        gain = double(self.norm.weight) / np.sqrt(double(self.norm.running_var) + self.norm.eps)
        offset = double(self.norm.bias) - gain * double(self.norm.running_mean)
        # mult is unsigned: a channel with a negative gain has its weights negated.
        weights *= np.where(gain < 0, -1, 1)[:, None, None, None]
        gain = np.abs(gain)
        mult, shift = encode(gain / double(self.levels.step()))
        more = {}
        if residual is not None:
            in_mult, in_shift = encode(double(residual[1]) / gain)
            more = {"residual": residual[0], "in_mult": in_mult, "in_shift": in_shift}
        return graph.Conv(
            name=name,
            input=read,
            weights=weights.astype(np.int16),
            weight_bits=self.bits,
            bias=np.rint(offset / gain).astype(np.int64),
            mult=mult,
            shift=shift,
            bits=self.bits,
            stride=(self.stride, self.stride),
            pads=(1, 1, 1, 1),
            **more,
        )


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, bits: int | None):
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = Conv(inputs, outputs, bits, self.stride)
        self.conv2 = Conv(outputs, outputs, bits)

    def forward(self, x: torch.Tensor, step: torch.Tensor | None) -> torch.Tensor:
        shortcut = x
        if self.stride != 1:  # the channels that are new have no shortcut
            shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))
        return self.conv2(self.conv1(x), shortcut, step)


class ResNet20(nn.Module):
    """Takes pixels of 0..255; with `bits` all of its layers work on whole numbers, else on floating point.

    exact_pool  the last layer takes the sum over all positions as it is, not requantised to `bits`
    """

    def __init__(self, bits: int | None = None, exact_pool: bool = False):
        super().__init__()
        self.bits = bits
        self.stem = Conv(3, WIDTHS[0], bits)
        sizes = [WIDTHS[0], *(width for width in WIDTHS for _ in range(BLOCKS))]
        self.blocks = nn.ModuleList(Block(*pair, bits) for pair in itertools.pairwise(sizes))
        self.fc = nn.Linear(WIDTHS[-1], CLASSES)
        if bits:
            self.pool_levels = None if exact_pool else Levels(0, 2**bits - 1)
            self.fc_levels = weight_levels(bits, 1)  # raw logits need one scale for all classes

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if not self.bits:
            x = self.stem(pixels * PIXEL_STEP)
            for block in self.blocks:
                x = block(x, None)
            return self.fc(x.mean((2, 3)))
        x, step = self.stem(torch.floor(pixels * 2.0 ** (self.bits - 8))), self.stem.levels.step()
        for block in self.blocks:
            x, step = block(x, step), block.conv2.levels.step()
        with torch.autocast("cpu", enabled=False):
            step = step / (x.shape[2] * x.shape[3])  # the sum for the mean
            x = x.float().sum((2, 3))
            if self.pool_levels is not None:
                x, step = self.pool_levels(x * step), self.pool_levels.step()
            weight = self.fc_levels(self.fc.weight)
            return functional.linear(x, weight) * (step * self.fc_levels.step()) + self.fc.bias

    def export(self) -> graph.Graph:
        image = graph.Tensor(name="image", shape=(3, 32, 32), bits=self.bits)
        nodes: list[graph.Node] = [self.stem.export("stem", "image")]
        step, side = self.stem.levels.step(), image.shape[1]
        for index, block in enumerate(self.blocks):
            name, read = f"block{index}", nodes[-1].name
            nodes.append(block.conv1.export(f"{name}_conv1", read))
            if block.stride != 1:
                side //= block.stride
                channels = np.arange(block.conv1.weight.shape[0], dtype=np.int32)
                channels[block.conv1.weight.shape[1] :] = -1
                shortcut = graph.Select(
                    name=f"{name}_shortcut",
                    input=read,
                    channels=channels,
                    size=(side, side),
                    step=(block.stride, block.stride),
                )
                nodes.append(shortcut)
                read = shortcut.name
            nodes.append(block.conv2.export(f"{name}_conv2", f"{name}_conv1", (read, step)))
            step = block.conv2.levels.step()
        scale = double(step) / side**2
        mult, shift, pool_bits = np.ones(1, np.uint16), np.zeros(1, np.int8), 16  # the sums as they are
        if self.pool_levels is not None:
            pool_step = double(self.pool_levels.step())
            mult, shift = encode(scale / pool_step)
            scale, pool_bits = pool_step, self.bits
        pool = graph.SumPool(
            name="pool",
            input=nodes[-1].name,
            kernel=(side, side),
            bias=np.zeros(WIDTHS[-1], np.int64),
            mult=mult.repeat(WIDTHS[-1]),
            shift=shift.repeat(WIDTHS[-1]),
            bits=pool_bits,
        )
        fc = graph.Conv(
            name="fc",
            input="pool",
            weights=self.fc_levels(self.fc.weight).detach().numpy().astype(np.int16)[:, :, None, None],
            weight_bits=self.bits,
            bias=np.rint(double(self.fc.bias) / (scale * double(self.fc_levels.step()))).astype(np.int64),
            bits=graph.RAW_BITS,
        )
        name = f"resnet20_w{self.bits}a{self.bits}"
        return graph.Graph(name=name, input=image, nodes=(*nodes, pool, fc))
