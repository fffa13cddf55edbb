"""Gates, biases and projections that one program keeps whole and another in parts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.study.compare.matching import match
from core.study.compare.recording import Array, Recording, read
from core.study.compare.walk import compare
from tests.kit.recorder import written

INPUTS, UNITS = 3, 5
Cell = dict[str, Array]  # a gate's kernels "i*" and "h*", and its biases "bi*" and "bh*"
Layout = Callable[[Cell], dict[str, Array]]


def cell(gates: str, seed: int, biases: str = "one") -> Cell:
    """A layer's numbers by gate; `biases`: both, one (those of the state are 0), none."""
    rng = np.random.default_rng(seed)
    found = {}
    for gate in gates:
        found |= {f"i{gate}": rng.normal(size=(INPUTS, UNITS))}
        found |= {f"h{gate}": rng.normal(size=(UNITS, UNITS))}
        found |= {f"bi{gate}": rng.normal(size=UNITS) * (biases != "none")}
        found |= {f"bh{gate}": rng.normal(size=UNITS) * (biases == "both")}
    return {name: v.astype(np.float32) for name, v in found.items()}


def _joined(v: Cell, kind: str, order: str) -> Array:
    return np.concatenate([v[kind + gate] for gate in order], axis=-1)


def torch_lstm(v: Cell, order: str = "ifgo") -> dict[str, Array]:
    return {"rnn.weight_ih_l0": _joined(v, "i", order).T, "rnn.bias_ih_l0": _joined(v, "bi", order),
            "rnn.weight_hh_l0": _joined(v, "h", order).T,
            "rnn.bias_hh_l0": _joined(v, "bh", order)}  # fmt: skip


def torch_gru(v: Cell) -> dict[str, Array]:
    return torch_lstm(v, "rzn")


def keras_lstm(v: Cell) -> dict[str, Array]:
    return {"lstm/lstm_cell/kernel": _joined(v, "i", "ifgo"),
            "lstm/lstm_cell/recurrent_kernel": _joined(v, "h", "ifgo"),
            "lstm/lstm_cell/bias": _joined(v, "bi", "ifgo")}  # fmt: skip


def keras_gru(v: Cell) -> dict[str, Array]:
    both = np.stack([_joined(v, "bi", "zrn"), _joined(v, "bh", "zrn")])
    return {"gru/gru_cell/kernel": _joined(v, "i", "zrn"), "gru/gru_cell/bias": both,
            "gru/gru_cell/recurrent_kernel": _joined(v, "h", "zrn")}  # fmt: skip


def flax_lstm(v: Cell) -> dict[str, Array]:
    kernels = {f"{kind}{gate}/kernel": v[kind + gate] for kind in "ih" for gate in "ifgo"}
    return kernels | {f"h{gate}/bias": v[f"bi{gate}"] for gate in "ifgo"}


def flax_gru(v: Cell) -> dict[str, Array]:
    kernels = {f"{kind}{gate}/kernel": v[kind + gate] for kind in "ih" for gate in "rzn"}
    return kernels | {f"i{gate}/bias": v[f"bi{gate}"] for gate in "rzn"} | {"hn/bias": v["bhn"]}


def recorded(layout: Layout, gates: str, biases: str, seed: int = 0) -> Recording:
    """Two steps of SGD; gradients of added biases are the same, as they are in any framework."""
    params, tensors = layout(cell(gates, seed, biases)), {}
    for k in range(3):
        tensors |= {f"step/{k}/params/{name}": v.astype(np.float32) for name, v in params.items()}
        slopes = cell(gates, 10 + k, "both")
        slopes |= {
            f"bh{gate}": slopes[f"bi{gate}"] for gate in gates if gates != "rzn" or gate != "n"
        }
        if k < 2:
            grads = layout(slopes)
            tensors |= {f"step/{k}/grads/{name}": v for name, v in grads.items()}
            params = {name: v - np.float32(0.1) * grads[name] for name, v in params.items()}
    tensors = {key: np.ascontiguousarray(v) for key, v in tensors.items()}
    return read(written(tensors, 2, framework=layout.__name__.partition("_")[0]))


LSTM, GRU = "ifgo", "rzn"
SAME = [
    (LSTM, keras_lstm, flax_lstm, "one"),
    (LSTM, keras_lstm, flax_lstm, "none"),
    (GRU, torch_gru, keras_gru, "both"),
    (GRU, torch_gru, keras_gru, "none"),
]
TWICE = [
    (LSTM, torch_lstm, keras_lstm, "one"),
    (LSTM, torch_lstm, keras_lstm, "none"),
    (LSTM, torch_lstm, flax_lstm, "one"),
    (LSTM, torch_lstm, flax_lstm, "none"),
    (GRU, keras_gru, flax_gru, "one"),
    (GRU, torch_gru, flax_gru, "none"),
]


def _ids(rows: list[Any]) -> list[str]:
    return [f"{a.__name__}-{b.__name__}-{biases}" for _, a, b, biases in rows]


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize(("gates", "a", "b", "biases"), SAME, ids=_ids(SAME))
def test_gates_are_matched_in_any_layout(
    gates: str, a: Layout, b: Layout, biases: str, turned: bool
) -> None:
    a, b = (b, a) if turned else (a, b)
    report = compare(recorded(a, gates, biases), recorded(b, gates, biases))
    assert report.same and not report.verdicts, report.markdown()
    assert {stage.status for stage in report.stages[5:7]} == {"same"}
    assert any(note.startswith("matched") for note in report.notes)


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize(("gates", "two", "one", "biases"), TWICE, ids=_ids(TWICE))
def test_two_biases_that_are_added_up_move_twice_as_far_as_one(
    gates: str, two: Layout, one: Layout, biases: str, turned: bool
) -> None:
    a, b = (one, two) if turned else (two, one)
    report = compare(recorded(a, gates, biases), recorded(b, gates, biases))
    assert [v.cause for v in report.verdicts] == ["two_biases"], report.markdown()
    assert report.verdicts[0].side == ("b" if turned else "a")
    status = {stage.name: stage.status for stage in report.stages}
    assert (status["initial weights"], status["gradients"]) == ("same", "same")
    assert status["update"] == "differs"


def test_other_first_weights_are_matched_by_their_shapes() -> None:
    for a, b, gates in ((keras_lstm, flax_lstm, LSTM), (torch_gru, flax_gru, GRU)):
        report = compare(recorded(a, gates, "none"), recorded(b, gates, "none", seed=1))
        assert "other_parameters" not in {v.cause for v in report.verdicts}
        assert report.stages[0].status == "differs"


def test_a_fused_projection_is_matched_with_separate_ones() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(8, 8)).astype(np.float32) for _ in range(3))
    fused = {"in_proj_weight": np.concatenate([q.T, k.T, v.T]), "in_proj_bias": np.zeros(24)}
    apart = {
        f"{name}/kernel": x for name, x in zip(("key", "query", "value"), (k, q, v), strict=True)
    }
    apart |= {f"{name}/bias": np.zeros(8) for name in ("key", "query", "value")}
    for ours, theirs in ((fused, apart), (apart, fused)):
        found = match(ours, theirs)
        assert not found.only_a and not found.only_b and all(pair.exact for pair in found.pairs)
        pairs = {(pair.a, pair.b) if ours is apart else (pair.b, pair.a) for pair in found.pairs}
        places = {name: part.split(" ")[0].strip("/") for name, part in pairs}
        assert places == {"query/kernel": "1", "key/kernel": "2", "value/kernel": "3",
                          "query/bias": "1", "key/bias": "2", "value/bias": "3"}  # fmt: skip


def test_layers_that_only_have_other_widths_are_not_cut() -> None:
    rng = np.random.default_rng(0)
    one, other = (
        {"w": rng.normal(size=(8, 12))},
        {f"w{i}": rng.normal(size=(8, 4)) for i in range(2)},
    )
    found = match(one, other)
    assert (found.only_a, found.only_b) == (("w",), ("w0", "w1"))
