"""What the recorder of PyTorch sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.probe import installed
from tests.frameworks.test_recorders import assert_sgd, names, read, recorder


@pytest.fixture(scope="module")
def torch() -> Any:
    return installed("torch")


def network(torch: Any) -> Any:
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    return torch.nn.Sequential(*layers)


def steps(torch: Any, seen: Any, model: Any, optimizer: Any, n: int, **how: Any) -> list[Any]:
    """Take steps as a loop does, each of `micro` batches, clipped to the norm `clip`."""
    losses, loss_fn = [], torch.nn.CrossEntropyLoss()
    for _ in range(n):
        optimizer.zero_grad()
        for _ in range(how.get("micro", 1)):
            x, y = torch.randn(6, 4), torch.randint(3, (6,))
            outputs = model(x)
            loss = loss_fn(outputs, y)
            loss.backward()
        if "clip" in how:
            torch.nn.utils.clip_grad_norm_(model.parameters(), how["clip"])
        seen.before(x, y, outputs, loss)
        optimizer.step()
        seen.after()
        losses.append(loss.item())
    return losses


def test_a_loop(torch: Any, tmp_path: Path) -> None:
    model, path = network(torch), tmp_path / "a"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = recorder("torch")(path, model, optimizer, torch.nn.CrossEntropyLoss(), steps=3, mine=1)
    losses = steps(torch, seen, model, optimizer, 3)
    written = path.read_bytes()
    hooks = len(model._forward_hooks) + len(model._forward_pre_hooks)
    steps(torch, seen, model, optimizer, 2)
    seen.close()  # as at the end of the program
    assert path.read_bytes() == written and hooks == 0
    told, tensors = read(path)
    assert_sgd(tensors, 3, 0.1)
    assert names(tensors, "step/0/params/") == {
        f"{i}.{p}" for i in (0, 1, 3) for p in ("weight", "bias")
    }
    assert [tensors[f"step/{k}/loss"] for k in range(3)] == pytest.approx(losses)
    # The state is the one that the step started from.
    assert [tensors[f"step/{k}/state/1.num_batches_tracked"] for k in range(3)] == [0, 1, 2]
    assert np.all(tensors["step/0/state/1.running_var"] == 1)
    # Of the mean of six losses, each gives (p - y) / 6.
    logits, labels = tensors["step/2/outputs"], tensors["step/2/labels"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        tensors["step/2/outputs_grad"], (p - np.eye(3)[labels]) / 6, atol=1e-6
    )
    settings = told["settings"]
    assert "SGD" in settings["optimizer"] and "lr: 0.1" in settings["optimizer"]
    assert settings["loss"] == "CrossEntropyLoss()" and settings["reduction"] == "mean"
    assert settings["mine"] == 1 and settings["formats"] == ["torch.float32"]
    assert settings["learning_rates"] == [[0.1]] * 3 and "eps=1e-05" in settings["layers"]


def test_clipping_and_accumulation_are_seen_as_the_optimizer_sees_them(
    torch: Any, tmp_path: Path
) -> None:
    model = network(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen = recorder("torch")(tmp_path / "a", model, optimizer, steps=2)
    steps(torch, seen, model, optimizer, 2, clip=0.01, micro=3)
    _, tensors = read(tmp_path / "a")
    assert_sgd(tensors, 2, 0.5)
    squares = (
        np.sum(np.square(tensors[key])) for key in tensors if key.startswith("step/1/grads/")
    )
    assert sum(squares) ** 0.5 == pytest.approx(0.01, rel=1e-3)
    assert tensors["step/1/state/1.num_batches_tracked"] == 3


def test_what_is_frozen_short_sparse_or_nested(torch: Any, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(9, 4, sparse=True)
            self.short = torch.nn.Parameter(torch.full((4,), 1.1, dtype=torch.bfloat16))
            self.fixed = torch.nn.Parameter(torch.ones(4), requires_grad=False)
            self.unused = torch.nn.Parameter(torch.ones(4))

        def forward(self, x: Any) -> dict[str, Any]:
            return {"out": self.words(x["ids"]) * self.short * self.fixed}

    model = Odd()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = recorder("torch")(tmp_path / "a", model, optimizer, steps=5)
    x = {"ids": torch.tensor([1, 2])}
    outputs = model(x)
    outputs["out"].sum().backward()
    seen.before(x, None, outputs, masks={"drop": torch.ones(2, dtype=torch.bool)})
    optimizer.step()
    seen.close()  # the loop was shorter
    seen.evaluation(x, None, outputs, accuracy=0.3)
    told, tensors = read(tmp_path / "a")
    assert told["steps"] == "1"
    assert names(tensors, "step/0/params/") == {"words.weight", "short", "unused"}
    assert names(tensors, "step/0/grads/") == {"words.weight", "short"}
    assert names(tensors, "step/0/state/") == {"fixed"}
    assert tensors["step/0/params/short"].dtype == np.float32
    assert tensors["step/0/masks/drop"].dtype == bool
    moved = tensors["step/1/params/words.weight"] - tensors["step/0/params/words.weight"]
    np.testing.assert_allclose(moved, -0.1 * tensors["step/0/grads/words.weight"], atol=1e-6)
    assert tensors["step/0/inputs/ids"].tolist() == [1, 2] == tensors["eval/inputs/ids"].tolist()
    assert tensors["eval/metrics/accuracy"] == 0.3
