"""A recording of a run: what it holds, and what it is the same as."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from core import export
from core.config import RunConfig
from core.run import train
from core.run.prepare import device_data
from core.study.compare.recording import Recording, read
from core.study.compare.walk import compare
from core.study.record import record
from tests.kit import MINUTE, ROOT
from tests.kit.runs import DIGITS, tiny

STEP = "params, memory = update(params, memory, x[batch], y[batch])"


def recorded(config: RunConfig, folder: Path, steps: int = 3) -> Recording:
    assert record(config, folder / "run.safetensors", steps) == ""
    return read(folder / "run.safetensors")


def test_a_recording_holds_the_run_s_own_steps_and_is_the_same_as_itself(tmp_path: Path) -> None:
    found = recorded(DIGITS, tmp_path)
    program, knobs = train.program(train.shape(DIGITS)), train.knobs(DIGITS)
    data, state = device_data(DIGITS), program.init(knobs)
    order = program.order(data.arranged, knobs, np.int32(0))
    for step in range(4):
        leaves = map(np.asarray, jax.tree.leaves(state.params))
        for name, own in zip(train.parameters(program.shape), leaves, strict=True):
            np.testing.assert_allclose(found.params(step)[name], own, rtol=1e-5, atol=1e-7)
        given = data.train_images, data.train_labels, order, knobs
        state = program.advance(state, *given, np.int32(step + 1))
    assert found.steps == 3 and found.settings["learning_rate"] == 0.02
    assert compare(found, found).same


@pytest.mark.slow
def test_a_script_of_the_run_records_the_same(tmp_path: Path) -> None:
    """The JAX script that the page gives, with the recorder's two lines around its step."""
    config = tiny(task="digits", learning_rate=0.1)
    script = export.script(config, "jax")
    assert script.whole and STEP in script.text
    before = "recorder.before(params, inputs=x[batch], labels=y[batch])"
    recorder = 'recorder = Recorder("script.safetensors", steps=3)\n'
    lines = script.text.replace("EPOCHS = 2", f"{recorder}EPOCHS = 2").replace(
        STEP, f"{before}\n    {STEP}\n    recorder.after(params)"
    )
    imported = lines.replace("import optax", "import optax\nfrom samenet_jax import Recorder", 1)
    (tmp_path / "run.py").write_text(imported)
    for name, content in export.files(config, "jax").items():
        (tmp_path / name).write_bytes(content)
    path = {**os.environ, "PYTHONPATH": str(ROOT / "recorders")}
    subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=path, check=True, timeout=4 * MINUTE
    )
    assert compare(recorded(config, tmp_path), read(tmp_path / "script.safetensors")).same


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"}, {"dropout": "rate"}, {"last_batch": "kept", "batch_size": 30},
        {"normalisation": "batch_norm"}, {"precision": "mixed_float16"}, {"precision": "bfloat16"},
        {"loss_input": "softmax"}, {"reduction": "sum", "decay_form": "l2"}, {"model": "cnn"},
    ],
)  # fmt: skip
def test_every_kind_of_run_can_be_recorded(changes: dict[str, str], tmp_path: Path) -> None:
    found = recorded(tiny(task="digits", **changes), tmp_path, steps=2)
    assert found.steps == 2 and found.params(2) and found.grads(1)
    assert compare(found, found).same
