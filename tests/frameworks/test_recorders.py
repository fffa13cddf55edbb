"""What recorders write, and that docs/recordings.md says how to use them."""

import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors import safe_open

from tests.frameworks.probe import installed
from tests.kit import ROOT

# Keras' own get_config says this to NumPy 2 where it asks a variable for its number.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept")

FOLDER = ROOT / "recorders"
DOCS = (ROOT / "docs/recordings.md").read_text()
Tensors = dict[str, np.ndarray]


def recorder(framework: str) -> Any:
    """The class that records in a framework; skips the test without that."""
    installed(framework)
    return importlib.import_module(f"recorders.samenet_{framework}").Recorder


def read(path: Path) -> tuple[dict[str, Any], Tensors]:
    with safe_open(path, "numpy") as file:
        told = file.metadata()
        told |= {key: json.loads(told[key]) for key in ("settings", "sampled") if key in told}
        return told, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def names(tensors: Tensors, where: str) -> set[str]:
    return {key.removeprefix(where) for key in tensors if key.startswith(where)}


def assert_sgd(tensors: Tensors, steps: int, rate: float, where: str = "") -> None:
    """Every recorded parameter moved by -rate times its recorded gradient."""
    for k in range(steps):
        found = names(tensors, f"step/{k}/params/")
        assert found == names(tensors, f"step/{k + 1}/params/")
        assert found == names(tensors, f"step/{k}/grads/")
        for name in found:
            before, after = (tensors[f"step/{j}/params/{name}"] for j in (k, k + 1))
            grad = tensors[f"step/{k}/grads/{name}"]
            np.testing.assert_allclose(after - before, -rate * grad, atol=1e-6, err_msg=name)
            assert np.any(grad != 0), name
    assert not names(tensors, f"step/{steps + 1}/")


def test_all_recorders_keep_and_write_alike() -> None:
    texts = [file.read_text() for file in sorted(FOLDER.glob("samenet_*.py"))]
    shared = [
        re.search(r"    # What follows is.*\n(?=def flat)", text, re.DOTALL) for text in texts
    ]
    assert None not in shared and len({match.group() for match in shared if match}) == 1
    assert len(texts) == 3


@pytest.mark.parametrize("heading", ["PyTorch", "JAX", "Keras", "Anything else"])
def test_the_documented_code_records(
    heading: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    framework = {"PyTorch": "torch", "JAX": "jax", "Keras": "keras"}.get(heading, "numpy")
    installed(framework)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    code = re.search(rf"^### {heading}\n.*?^```python\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    assert code
    exec(code.group(1), {})
    told, tensors = read(tmp_path / f"{framework}.safetensors")
    assert (told["samenet_recording"], told["framework"], told["steps"]) == ("1", framework, "5")
    assert told["settings"] and told["version"] and told["backend"]
    assert_sgd(tensors, 5, 0.1)
    for name in ("inputs", "labels", "outputs", "loss"):
        assert tensors[f"step/4/{name}"].shape[:1] == (() if name == "loss" else (32,))


def test_the_documented_keys_are_those_written() -> None:
    written = {"params", "state", "grads", "inputs", "labels", "weights", "outputs", "loss"}
    written |= {"outputs_grad", "masks"}
    assert {key.partition("/")[0] for key in re.findall(r"`step/K/([\w/]+)`", DOCS)} == written


# What is the same in all recorders, seen in JAX's, which takes NumPy's arrays, too.


def record(path: Path, steps: list[dict[str, Any]], **options: Any) -> tuple[Any, Tensors]:
    """Record parameters and gradients, {name: array} both, and the same parameters afterwards."""
    seen = recorder("jax")(path, steps=len(steps), **options)
    for step in steps:
        seen.before(step["params"])
        seen.after(step["params"], grads=step["params"])
    seen.close()
    return read(path)


def test_a_block_is_the_same_transposed_and_under_another_name(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(90, 3, 200)).astype(np.float32)
    turned = array.transpose(2, 0, 1)
    kept, other = (
        record(tmp_path / "a", [{"params": {name: x}}], budget=80_000)[1][f"step/0/params/{name}"]
        for name, x in (("a", array), ("b", turned))
    )
    assert kept.shape == (64, 3, 64)
    np.testing.assert_array_equal(kept.transpose(2, 0, 1), other)
    rows, columns = (
        np.sort(np.random.default_rng(n).permutation(n)[:64]) for n in (90, 200)
    )  # fmt: skip
    np.testing.assert_array_equal(kept, array[rows][:, :, columns])


def test_what_is_large_is_sampled_and_described(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # A hundredth of a network of 100 million parameters, and of the budget.
    random, path, budget = np.random.default_rng(0), tmp_path / "large", 640_000
    params = {"w": random.normal(size=(1000, 999)), "v": random.normal(size=(999, 10))}
    params = {name: array.astype(np.float32) for name, array in params.items()}
    params["b"] = np.arange(999, dtype=np.float32)
    told, tensors = record(path, [{"params": params}] * 5, budget=budget)
    assert path.stat().st_size <= budget
    assert "48.5 MB are too much" in capsys.readouterr().out
    assert told["steps"] == "5"
    assert names(told["sampled"], "step/5/params/") == {"w", "v"}  # not b
    assert names(told["sampled"], "step/0/params/") == names(told["sampled"], "step/0/grads/")
    shapes = {name: tensors[f"step/0/params/{name}"].shape for name in params}
    assert shapes == {"w": (64, 64), "v": (64, 10), "b": (999,)}
    whole = told["sampled"]["step/3/grads/w"]
    assert whole["shape"] == [1000, 999]
    assert whole["sha256"] == hashlib.sha256(params["w"].tobytes()).hexdigest()
    assert whole["norm"] == pytest.approx(np.linalg.norm(params["w"].astype(float)), rel=1e-12)
    assert whole["quantiles"][::6] == [params["w"].min(), params["w"].max()]
    kept = [np.sort(np.random.default_rng(n).permutation(n)[:256]) for n in (1000, 999)]
    quantiles = np.quantile(params["w"][np.ix_(*kept)], [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(whole["quantiles"][1:6], quantiles, rtol=1e-6)


def test_the_budget_holds_with_fewer_steps_and_without_what_is_too_large(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, w = tmp_path / "a", np.ones((100, 100), np.float32)
    told, tensors = record(path, [{"params": {"w": w}}] * 9, budget=130_000)
    assert path.stat().st_size <= 130_000
    assert 0 < int(told["steps"]) < 9
    assert f"step/{told['steps']}/params/w" in tensors
    batch = np.ones((60, 60, 60, 60), np.float16)  # no axis is longer than 64
    capsys.readouterr()
    told, tensors = record(path, [{"params": {"w": w[:9], "batch": batch}}], budget=130_000)
    assert {*tensors} == {"step/0/params/w", "step/0/grads/w", "step/1/params/w"}
    assert "no room for step/0/params/batch" in capsys.readouterr().out


def test_room_for_the_parameters_after_the_last_step_is_part_of_the_plan(tmp_path: Path) -> None:
    w = np.ones((100, 100), np.float32)  # 40 kB, in the file three times
    _, tensors = record(tmp_path / "a", [{"params": {"w": w}}], budget=120_000)
    assert tensors["step/1/params/w"].shape == (64, 64)
    _, tensors = record(tmp_path / "a", [{"params": {"w": w}}], budget=180_000)
    assert tensors["step/1/params/w"].shape == (100, 100)


def test_batches_that_grow_end_the_recording_early(tmp_path: Path) -> None:
    path, seen = tmp_path / "a", recorder("jax")(tmp_path / "a", steps=9, budget=130_000)
    for n in (1, 1, 20, 20, 20, 20, 20, 20):
        seen.before({"w": np.ones(100)}, inputs=np.ones((n, 60)))
        seen.after({"w": np.ones(100)})
    seen.close()
    told, tensors = read(path)
    assert path.stat().st_size <= 130_000
    assert f"step/{told['steps']}/params/w" in tensors


def test_a_batch_in_evaluation_mode_is_kept_before_and_after_the_file_is_written(
    tmp_path: Path,
) -> None:
    for late in (False, True):
        seen = recorder("jax")(tmp_path / "a", steps=1)
        for moment in (False, True):
            if moment == late:
                seen.evaluation(np.ones((4, 2)), np.ones(4), np.ones((4, 3)), accuracy=0.25)
            seen.before({"w": np.ones(2)})
            seen.after({"w": np.ones(2)})
        told, tensors = read(tmp_path / "a")
        assert tensors["eval/metrics/accuracy"] == 0.25
        assert names(tensors, "eval/") == {"inputs", "labels", "outputs", "metrics/accuracy"}
        assert told["steps"] == "1" and "step/1/params/w" in tensors


def test_a_large_batch_in_evaluation_mode_is_sampled(tmp_path: Path) -> None:
    seen = recorder("jax")(tmp_path / "a", steps=1, budget=800_000)
    seen.before({"w": np.ones(2)})
    seen.after({"w": np.ones(2)})
    seen.evaluation(np.ones((1000, 784)), np.ones(1000), np.ones((1000, 10)))
    told, tensors = read(tmp_path / "a")
    assert {*told["sampled"]} == {"eval/inputs", "eval/outputs"}
    assert tensors["eval/inputs"].shape == (64, 64)
    assert (tmp_path / "a").stat().st_size <= 800_000


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_large_tensor_may_hold_anything(tmp_path: Path) -> None:
    shape, arrays = (70, 200), {}
    arrays["nan"] = np.full(shape, np.nan, np.float32)
    arrays["inf"] = np.full(shape, -np.inf, np.float16)
    arrays["bytes"] = np.full(shape, 255, np.uint8)
    arrays["turned"] = np.arange(200 * 70.0).reshape(200, 70).T
    arrays["flags"] = np.ones(shape, bool)
    seen = recorder("jax")(tmp_path / "a", steps=1, budget=150_000)
    seen.before({}, state=arrays)
    seen.after({})
    told, tensors = read(tmp_path / "a")
    about = {name: told["sampled"][f"step/0/state/{name}"] for name in arrays}
    for name, array in arrays.items():
        assert tensors[f"step/0/state/{name}"].dtype == array.dtype
        assert about[name]["sha256"] == hashlib.sha256(array.tobytes()).hexdigest()
    assert np.isnan(about["nan"]["norm"]) and np.all(np.isnan(about["nan"]["quantiles"]))
    assert about["inf"]["quantiles"][0] == -np.inf
    assert about["bytes"]["norm"] == 255 * 14000**0.5 and about["flags"]["norm"] == 14000**0.5


# JAX


def test_jax_with_nested_parameters_donation_and_optax(tmp_path: Path) -> None:
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.5))
    params = {"a/b": [jnp.ones((3, 2)), None], "a": {"b": [jnp.ones(2)]}, "ü ×": jnp.ones(())}

    def loss_fn(params: Any, x: Any) -> Any:
        first, second = params["a/b"][0], params["a"]["b"][0]
        return jnp.sum((x @ first + second) ** 2) * params["ü ×"]

    def step(params: Any, slots: Any, x: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_fn)(params, x)
        updates, slots = optimizer.update(grads, slots, params)
        return optax.apply_updates(params, updates), slots, updates, {"loss": loss, "grads": grads}

    step, slots = jax.jit(step, donate_argnums=(0, 1)), optimizer.init(params)
    seen, updates = recorder("jax")(tmp_path / "a", steps=3, note="hand-made"), []
    for k in range(3):
        x = np.full((5, 3), k + 1.0, np.float32)
        seen.before(params, inputs={"x": x}, state={"key": jax.random.key(k), "n": k})
        params, slots, update, more = step(params, slots, x)
        seen.after(params, **more)
        updates.append(jax.device_get(update))
    told, tensors = read(tmp_path / "a")
    assert told["settings"]["note"] == "hand-made"
    assert told["settings"]["enable_x64"] is False
    assert names(tensors, "step/0/params/") == {"a/b/0", "a/b/0'", "ü ×"}
    assert names(tensors, "step/2/state/") == {"key", "n"}
    assert {key.split("/")[2] for key in tensors if key.startswith("step/3/")} == {"params"}
    for k in range(3):
        before, after = (tensors[f"step/{j}/params/ü ×"] for j in (k, k + 1))
        np.testing.assert_allclose(after - before, updates[k]["ü ×"], atol=1e-6)
        # This parameter only scales the loss.
        scaled = tensors[f"step/{k}/grads/ü ×"] * before
        np.testing.assert_allclose(scaled, tensors[f"step/{k}/loss"], rtol=1e-5)
        assert tensors[f"step/{k}/inputs/x"][0, 0] == k + 1


def test_jax_formats_that_numpy_lacks_become_float32(tmp_path: Path) -> None:
    half = jnp.arange(3, dtype=jnp.bfloat16) / 3
    seen = recorder("jax")(tmp_path / "a", steps=1)
    seen.before(half, state={"skipped": "text", "also": len})
    seen.after(half, grads=half)
    told, tensors = read(tmp_path / "a")
    assert {*tensors} == {"step/0/params/array", "step/0/grads/array", "step/1/params/array"}
    kept = tensors["step/0/grads/array"]
    assert told["settings"]["formats"] == ["bfloat16"]
    assert kept.dtype == np.float32 and np.all(kept == np.asarray(half, np.float32))


def test_jax_parameters_that_are_not_trained_are_state(tmp_path: Path) -> None:
    params = {"w": np.ones(2, np.float32), "steps": 3, "on": True}
    grads = jax.grad(lambda p: p["w"] @ p["w"] * p["steps"], allow_int=True)(params)
    seen = recorder("jax")(tmp_path / "a", steps=1)
    seen.before(params, state={"steps": 4})
    seen.after(params, grads=grads)
    _, tensors = read(tmp_path / "a")
    assert names(tensors, "step/0/params/") == {"w"} == names(tensors, "step/0/grads/")
    assert names(tensors, "step/0/state/") == {"steps", "steps'", "on"}


def test_jax_recorders_belong_outside_of_what_is_compiled(tmp_path: Path) -> None:
    seen = recorder("jax")(tmp_path / "a")
    with pytest.raises(TypeError, match=r"outside jax\.jit"):
        jax.jit(lambda w: seen.before({"w": w}))(1.0)
