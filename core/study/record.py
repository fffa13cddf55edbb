"""Record the first steps of a run: `python -m core.study.record config.json --out FILE`.

The file is a recording as docs/recordings.md describes it, written by the recorder that visitors
copy, so that a run can be laid beside another program's recording. Each step is compiled as a run
compiles it, apart from the loop around it.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from core import command
from core.command import tell
from core.config import RunConfig
from core.data import DataUnavailable
from core.parts.choices import REDUCTIONS
from core.parts.losses import LOSSES
from core.run import train
from core.run.command import add_config
from core.run.prepare import device_data
from recorders.samenet_jax import Recorder

STEPS = 5
EVALUATED = 100  # held-out images


def record(config: RunConfig, to: Path, steps: int = STEPS) -> str:
    """Record the first steps of a run; return what the recorder says of what it leaves out.

    Raises:
      DataUnavailable: full MNIST is not there.
    """
    shape, knobs = train.shape(config), train.knobs(config)
    step, data, names = train.Step(shape), device_data(config), train.parameters(shape)

    def named(params: Any) -> dict[str, Array]:
        return dict(zip(names, jax.tree.leaves(params), strict=True))

    given = data.train_images, data.train_labels
    settings = {name: config.effective(name) for name in asdict(config)}
    settings |= {"loss": LOSSES[config.loss].label, "run": config.differences()}
    steps, said = min(steps, config.steps), io.StringIO()
    with train.numerics(shape), contextlib.redirect_stdout(said):
        recorder = Recorder(to, steps=steps, **settings)
        begin, passed = jax.jit(step.init), jax.jit(step.backprop)
        batched, updated = jax.jit(step.batch), jax.jit(step.update)
        order, state = jax.jit(step.order), begin(knobs)
        for k in range(steps):
            epoch = np.int32(k // config.steps_per_epoch)
            at = order(data.arranged, knobs, epoch)
            batch, seen = batched(state, *given, at, knobs), passed(state, *given, at, knobs)
            rows = slice(None) if (full := step.filled(state)) is None else np.asarray(full)
            recorder.before(
                named(state.params), inputs=batch.x[rows], labels=batch.labels[rows],
                state=_state(state),
            )  # fmt: skip
            state = updated(state, seen.gradients, seen.moments, knobs)
            recorder.after(
                named(state.params),
                grads=named(seen.gradients),
                **_outcome(config, seen, rows),
            )
        _evaluate(recorder, step, state, data, knobs)
        recorder.close()
    return said.getvalue().strip()


def _state(state: train.State) -> dict[str, Any]:
    """What is not trained: running averages and the loss scale, where there are any."""
    return {"running": state.running, "scaler": state.scaler}


def _outcome(config: RunConfig, seen: train.Backprop, rows: Any) -> dict[str, Array]:
    """The outputs and the loss of a batch; the outputs only where the loss is given them."""
    losses = seen.loss[rows]
    divisor = REDUCTIONS[config.reduction].divisor(len(losses), seen.logits.shape[-1])
    loss = config.loss_weight * losses.sum() / divisor
    return {"loss": loss, **({"outputs": seen.logits[rows]} if config.loss_as_written else {})}


def _evaluate(
    recorder: Any, step: train.Step, state: train.State, data: train.DeviceData, knobs: train.Knobs
) -> None:
    """Record what the network makes of held-out images, as at test time."""
    n = step.model.test_batch or EVALUATED
    x, labels = train.pixels(data.test_images[:n], knobs), data.test_labels[:n]
    logits = jax.jit(step.evaluate)(state.weights, x, knobs)
    recorder.evaluation(x, labels, logits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.study.record", __doc__)
    add_config(parser)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(arguments)
    try:
        said = record(options.config, options.out)
    except (DataUnavailable, OSError, MemoryError, RuntimeError) as error:
        tell(str(error))
        return 1
    if said:
        tell(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
