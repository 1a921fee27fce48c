#!/usr/bin/env python3
"""Train the shipped LeNet-5 on MNIST with 4-bit weights and activations; needs PyTorch, which the package does not.

    python scripts/train_lenet5.py --out lenet5.npz

The forward pass computes the integers that the network will compute, scaled: 4-bit weights with a learned step for
each output channel, 4-bit activations with a learned step for each layer (Esser et al., Learned Step Size
Quantization, 2020), batch normalisation folded into the requantisation afterwards. The epoch is chosen by 5,000
images held out of the training set; the test images are looked at once, at the end, by the golden model.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ohmweave.sim import datasets, golden, network

#: name, input channels, output channels, kernel, pad, pool
LAYERS = (
    ("conv1", 1, 6, 5, 2, 2),
    ("conv2", 6, 16, 5, 0, 2),
    ("fc1", 16, 120, 5, 0, 1),
    ("fc2", 120, 84, 1, 0, 1),
    ("fc3", 84, 10, 1, 0, 1),
)
HELD_OUT = 5000
MAX_SHIFT = 2  # pixels that a training image is moved by, at most


def fake_quantise(
    x: torch.Tensor, log_step: torch.Tensor, low: int, high: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers clip(round(x/step)) and the step, with gradients to both as in the paper on learned step sizes.

    The step is learned as its logarithm: it stays positive, and Adam changes it by a ratio.
    """
    step = log_step.exp()
    ratio = (x / step).clamp(low, high)
    return ratio + (torch.floor(ratio + 0.5) - ratio).detach(), step


class QuantisedConv(nn.Module):
    """One layer: integers in, integers out; the last one gives logits in units of its accumulator's step."""

    def __init__(self, inputs: int, outputs: int, kernel: int, pad: int, pool: int, last: bool):
        super().__init__()
        self.pad, self.pool, self.last = pad, pool, last
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight)
        steps = 1 if last else outputs  # raw logits need one scale for all classes
        spread = self.weight.detach().reshape(steps, -1).abs().mean(1)
        self.weight_log_step = nn.Parameter((2 * spread / 7**0.5).log().reshape(-1, 1, 1, 1))
        if last:
            self.bias = nn.Parameter(torch.zeros(outputs))
        else:
            self.norm = nn.BatchNorm2d(outputs)
            self.act_log_step = nn.Parameter(torch.tensor(0.25).log())

    def integers(self) -> tuple[torch.Tensor, torch.Tensor]:
        return fake_quantise(self.weight, self.weight_log_step, -8, 7)

    def forward(self, x: torch.Tensor, in_step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, step = self.integers()
        v = functional.conv2d(x * in_step, weights * step, padding=self.pad)
        if self.last:
            return v + self.bias[:, None, None], in_step
        q, step = fake_quantise(self.norm(v), self.act_log_step, 0, 15)
        return (functional.max_pool2d(q, self.pool) if self.pool > 1 else q), step

    def export(self, name: str, in_step: float) -> network.ConvLayer:
        """The layer's integers: norm(v·s) / act_step = (v + bias) · mult / 2^shift."""
        weights, step = (each.detach().double().numpy() for each in self.integers())
        weights = np.rint(weights)
        scale = in_step * step.reshape(-1)
        mult = shift = np.ones(len(weights))
        if self.last:
            bias = self.bias.detach().double().numpy() / scale
        else:
            norm = self.norm
            gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double().numpy()
            offset = norm.bias.detach().double().numpy() - gain * norm.running_mean.double().numpy()
            # mult is unsigned: a channel with a negative gain would need its weights negated, and -8 has no
            # negative of four bits. The gains start at one and stay positive.
            assert (gain > 0).all(), f"{name}: a channel's gain became negative: train with another seed"
            bias = offset / (gain * scale)
            factor = gain * scale / float(self.act_log_step.detach().exp())
            shift = 15 - np.floor(np.log2(factor))
            mult = np.minimum(np.rint(factor * 2**shift), 65535)
        return network.ConvLayer(
            name=name,
            weights=weights.astype(np.int8),
            bias=np.rint(bias).astype(np.int32),
            mult=mult.astype(np.uint16),
            shift=shift.astype(np.uint8),
            pad=self.pad,
            pool=self.pool,
            raw=self.last,
        )


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            QuantisedConv(*sizes, last=index == len(LAYERS) - 1) for index, (_, *sizes) in enumerate(LAYERS)
        )
        self.register_buffer("pixel_step", torch.tensor(1 / 15))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = self.pixel_step
        for stage in self.stages:
            x, step = stage(x, step)
        return x.flatten(1)

    def export(self) -> network.Network:
        layers = []
        step = float(self.pixel_step)
        for stage, (name, *_) in zip(self.stages, LAYERS, strict=True):
            layers.append(stage.export(name, step))
            step = step if stage.last else float(stage.act_log_step.detach().exp())
        return network.Network(name="lenet5", input_shape=(1, 28, 28), layers=tuple(layers))


def moved(images: torch.Tensor) -> torch.Tensor:
    """Each image of a batch moved by its own random offset, zeros coming in."""
    count, _, height, width = images.shape
    padded = functional.pad(images, [MAX_SHIFT] * 4)
    dy, dx = torch.randint(0, 2 * MAX_SHIFT + 1, (2, count))
    rows = (dy[:, None] + torch.arange(height))[:, :, None]
    columns = (dx[:, None] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], 0, rows, columns][:, None]


def accuracy(net: network.Network, images: np.ndarray, labels: np.ndarray) -> float:
    return float((golden.classify(golden.logits(net, images)) == labels).mean())


def train(epochs: int, batch: int, rate: float) -> network.Network:
    images, labels = datasets.load_mnist("train")
    held_images, held_labels = images[-HELD_OUT:], labels[-HELD_OUT:]
    inputs = torch.tensor(images[:-HELD_OUT] >> 4, dtype=torch.float32)[:, None]
    targets = torch.tensor(labels[:-HELD_OUT], dtype=torch.long)
    model = LeNet5()
    slow = [value for name, value in model.named_parameters() if name.endswith("log_step")]
    fast = [value for name, value in model.named_parameters() if not name.endswith("log_step")]
    optimiser = torch.optim.Adam([{"params": fast}, {"params": slow}])
    steps = epochs * (len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=[rate, rate / 10], total_steps=steps, pct_start=0.1
    )
    best, best_accuracy = None, -1.0
    for epoch in range(epochs):
        model.train()
        started, total = time.monotonic(), 0.0
        for picks in torch.randperm(len(inputs))[: len(inputs) // batch * batch].split(batch):
            loss = functional.cross_entropy(model(moved(inputs[picks])), targets[picks], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * batch / len(inputs)
        exported = model.export()
        held = accuracy(exported, held_images, held_labels)
        took = time.monotonic() - started
        print(
            f"epoch {epoch + 1}: loss {total:.4f}, held out {held:.2%} as integers, {took:.0f} s", flush=True
        )
        if held >= best_accuracy:  # of equal ones the later, trained longer
            best, best_accuracy = exported, held
    assert best is not None
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the network file to write")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the order of sums, and so the result, does not depend on the machine's cores
    started = time.monotonic()
    net = train(args.epochs, args.batch, args.rate)
    network.save(net, args.out)
    images, labels = datasets.load_mnist("test")
    print(f"test: {accuracy(net, images, labels):.2%} as integers; {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
