"""PyTorch, eager, with fused Adam, and images in torch's default memory layout."""

from collections.abc import Callable
from itertools import pairwise

import torch

from benchmarks._peers import BATCH, CONVOLUTIONS, NORMALISED, RATE, WIDTHS, Data

VERSION = f"PyTorch {torch.__version__}"


def epochs(
    network: str, data: Data, memory_format: torch.memory_format = torch.contiguous_format
) -> Callable[[], None]:
    torch.manual_seed(0)
    model = mlp() if network == "mlp" else cnn().to(memory_format=memory_format)
    x = torch.from_numpy(data.standardised())
    if network == "cnn":
        x = x.reshape(-1, 1, 28, 28).to(memory_format=memory_format)
    y = torch.from_numpy(data.labels).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    loss = torch.nn.CrossEntropyLoss(reduction="sum")

    def epoch() -> None:
        for chosen in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()

    return epoch


def mlp() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(WIDTHS):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def cnn() -> torch.nn.Module:
    """The CNN with torch's symmetric padding: outputs have the same size as with SAME padding."""
    layers: list[torch.nn.Module] = []
    channels = 1
    for i, (filters, size) in enumerate(CONVOLUTIONS):
        layers.append(torch.nn.Conv2d(channels, filters, size, stride=2, padding=size // 2))
        layers += [torch.nn.BatchNorm2d(filters)] if i < NORMALISED else []
        layers.append(torch.nn.ReLU())
        channels = filters
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(40, 10))
