#!/usr/bin/env python3
"""Train the shipped ResNet-20 networks on CIFAR-10; needs PyTorch, which the package does not.

    python scripts/train_resnet20.py --out resnet20-float.pt
    python scripts/train_resnet20.py --bits 8 --start resnet20-float.pt --rate 0.01 --decay 2e-4 --epochs 6 \\
        --frozen 2 --out resnet20-w8a8.npz
    python scripts/train_resnet20.py --bits 4 --start resnet20-float.pt --rate 0.04 --decay 2e-4 --epochs 16 \\
        --out resnet20-w4a4.npz

The first trains in floating point, with the shortcuts of He et al. (2016) that have no weights. The others go on from
there with the integers that the network will compute: signed weights with a learned step for each output channel,
unsigned activations with a learned step for each layer (Esser et al., Learned Step Size Quantization, 2020), the sum
with the shortcut before it is quantised, batch normalisation folded into the requantisation afterwards. The float
network teaches along: half of the loss is the distance to its softened answers. With 4 bits all weights and
activations have 4, those of the first and last layer and the pixels as well.

The last 5,000 training images are held out: every figure that is printed on the way is theirs; the test images are
looked at once, at the end. A checkpoint is written beside the output after every epoch; `--resume` goes on from it.
"""

import argparse
import time
from pathlib import Path

import torch
from resnet20_model import ResNet20
from torch import nn
from torch.nn import functional

from ohmweave.sim import datasets, graph, graph_golden

HELD_OUT = 5000
MARGIN = 4  # pixels that a training image is moved by, at most
TEMPERATURE = 2.0  # of the teacher's answers


def augmented(padded: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
    """Each picked image moved by its own random offset, every other one mirrored; (N, 3, 32, 32), channels last."""
    count, size = len(picks), padded.shape[1] - 2 * MARGIN
    dy, dx = torch.randint(0, 2 * MARGIN + 1, (2, count, 1))
    along = torch.arange(size)
    columns = torch.where(torch.rand(count, 1) < 0.5, along, along.flip(0)) + dx
    crops = padded[picks[:, None, None], (along + dy)[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def predict(model: ResNet20, images: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Classes; of a quantised network those of its integers, but for what floating point rounds otherwise."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part.permute(0, 3, 1, 2).float()).argmax(1) for part in images.split(batch)])


def optimisers_of(model: nn.Module, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Adam for the steps, whose gradients differ by orders of magnitude; descent with momentum for all others."""
    steps = [value for name, value in model.named_parameters() if name.endswith("log_step")]
    others = [value for name, value in model.named_parameters() if not name.endswith("log_step")]
    groups = [
        {"params": [value for value in others if value.ndim > 1], "weight_decay": decay},
        {"params": [value for value in others if value.ndim == 1]},
    ]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True)]
    if steps:
        optimisers.append(torch.optim.Adam(steps, rate / 20))
    return optimisers


def loss_of(logits: torch.Tensor, labels: torch.Tensor, taught: torch.Tensor | None) -> torch.Tensor:
    loss = functional.cross_entropy(logits, labels)
    if taught is None:
        return loss
    softened = functional.log_softmax(logits / TEMPERATURE, 1)
    target = functional.log_softmax(taught / TEMPERATURE, 1)
    distance = functional.kl_div(softened, target, reduction="batchmean", log_target=True)
    return loss / 2 + TEMPERATURE**2 / 2 * distance


def freeze(model: nn.Module) -> None:
    """Fix what is folded into the requantisation, so that the last epochs train the very network that is exported."""
    for name, value in model.named_parameters():
        if name.endswith("log_step"):
            value.requires_grad_(False)
            value.grad = None
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def train(args: argparse.Namespace) -> ResNet20:
    pixels, labels = (torch.from_numpy(array) for array in datasets.load_cifar10("train"))
    labels = labels.long()
    held, held_labels = pixels[-HELD_OUT:], labels[-HELD_OUT:]
    edges = [MARGIN] * 4
    padded = functional.pad(pixels[:-HELD_OUT].permute(0, 3, 1, 2).float(), edges, mode="reflect")
    padded = padded.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    model = ResNet20(args.bits, args.exact_pool).to(memory_format=torch.channels_last)
    teacher = None
    if args.start:
        teacher = ResNet20().to(memory_format=torch.channels_last).eval()
        teacher.load_state_dict(torch.load(args.start, weights_only=True))
        model.load_state_dict(teacher.state_dict(), strict=False)
    optimisers = optimisers_of(model, args.rate, args.decay)
    count = len(padded) // args.batch
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            each,
            [group["lr"] for group in each.param_groups],
            args.epochs * count,
            pct_start=0.15,
            cycle_momentum=False,
        )
        for each in optimisers
    ]
    checkpoint = args.out.with_suffix(".checkpoint")
    first = 0
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for each, saved in zip(optimisers + schedules, state["optimisers"] + state["schedules"], strict=True):
            each.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        first = state["epoch"]
    for epoch in range(first, args.epochs):
        model.train()
        if args.bits and epoch >= args.epochs - args.frozen:
            freeze(model)
        started, total = time.monotonic(), 0.0
        for picks in torch.randperm(len(padded))[: count * args.batch].split(args.batch):
            images = augmented(padded, picks).float()
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images)
                with torch.no_grad():
                    taught = None if teacher is None else teacher(images).float()
            loss = loss_of(logits.float(), labels[picks], taught)
            for each in optimisers:
                each.zero_grad()
            loss.backward()
            for each in optimisers + schedules:
                each.step()
            total += loss.item() / count
        right = (predict(model, held) == held_labels).float().mean().item()
        took = time.monotonic() - started
        print(f"epoch {epoch + 1}: loss {total:.4f}, held out {right:.2%}, {took:.0f} s", flush=True)
        state = {
            "model": model.state_dict(),
            "optimisers": [each.state_dict() for each in optimisers],
            "schedules": [each.state_dict() for each in schedules],
            "random": torch.get_rng_state(),
            "epoch": epoch + 1,
        }
        partial = checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(checkpoint)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the file of weights to write")
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="of weights and activations; floating point without"
    )
    parser.add_argument("--start", type=Path, help="the float network to go on from, which teaches, too")
    parser.add_argument(
        "--exact-pool", action="store_true", help="give the last layer the exact sums of the pool"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last whole epoch")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument(
        "--frozen", type=int, default=3, help="last epochs with fixed steps and normalisation"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2, help="largest learning rate")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the order of sums, and so the result, does not depend on the machine's cores
    model = train(args)
    images, labels = datasets.load_cifar10("test")
    if args.bits:
        exported = model.export()
        graph.save(exported, args.out)
        classes = graph_golden.classify(graph_golden.logits(exported, images))
    else:
        torch.save(model.state_dict(), args.out)
        classes = predict(model, torch.from_numpy(images)).numpy()
    print(f"test: {(classes == labels).mean():.2%}{' as integers' if args.bits else ''}")


if __name__ == "__main__":
    main()
