"""Export a ResNet-20 checkpoint of the `pytorch_resnet_cifar10` family (option-A shortcuts) to ONNX, with PyTorch.

    pip install torch==2.13.0 onnx
    python scripts/export_resnet20_checkpoint.py resnet20-12fca82f.th resnet20.onnx

A network from elsewhere for cross-checks of the importer; `ohmweave` itself needs no PyTorch.
"""

import sys

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions beside a shortcut of every second pixel with zeros as further channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.more = (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return functional.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64))):
            first = Block(inputs, outputs, 1 if inputs == outputs else 2)
            layer = nn.Sequential(first, Block(outputs, outputs, 1), Block(outputs, outputs, 1))
            self.add_module(f"layer{stage + 1}", layer)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = functional.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


def main() -> None:
    checkpoint, target = sys.argv[1:]
    network = ResNet20()
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    network.eval()
    torch.onnx.export(
        network, (torch.zeros(1, 3, 32, 32),), target, dynamo=False, opset_version=17,
        input_names=["images"], output_names=["logits"], dynamic_axes={"images": {0: "N"}},
    )  # fmt: skip


if __name__ == "__main__":
    main()
