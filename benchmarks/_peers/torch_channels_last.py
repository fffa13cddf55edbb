"""PyTorch, eager, with fused Adam, and channels last in memory as its guide advises for CPUs."""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks._peers import Data
from benchmarks._peers.torch_eager import VERSION
from benchmarks._peers.torch_eager import epochs as eager

__all__ = ["VERSION", "epochs"]

epochs: Callable[[str, Data], Callable[[], None]] = partial(
    eager, memory_format=torch.channels_last
)
