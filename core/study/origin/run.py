"""The first NaN of a run. Its looks tell between which steps to search; these are trained again."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.config import RunConfig
from core.parts.choices import TASKS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES, with_grad
from core.run import diagnostics, train
from core.run.snapshot import PROBE, Health, Snapshot
from core.study.origin.loss import PARTS, of_loss
from core.study.origin.tape import Made, Recorder, origin

Array = Any  # of JAX or of NumPy
FEW = 10  # examples whose loss is evaluated one operation at a time, until one of them tells


class Origin(NamedTuple):
    """Where the first NaN of a run comes from."""

    step: int  # updates that had been done
    place: str  # as in: in the loss
    made: Made | None  # None where no operation alone is to blame: fused, they round otherwise
    image: int | None = None  # the example's place among the training images, where one tells it
    logits: tuple[float, ...] = ()  # of that example
    label: int | None = None


def broken(look: Snapshot) -> bool:
    """Whether a look shows NaN, or the step after it makes weights that are no numbers."""
    return (
        _shown(look)
        or bool(np.any(look.health[:, Health.NAN] > 0))  # of the batch that comes next
        or not look.next_finite
    )


def _shown(look: Snapshot) -> bool:
    """Whether the images looked at have NaN: a prediction, the loss, or a gradient of their own."""
    nan_gradient = look.sample_health[Health.NAN] > 0
    return bool(look.saturation.nonfinite > 0 or np.isnan(look.loss) or nan_gradient)


def of_run(
    config: RunConfig, data: train.DeviceData, looks: Sequence[Snapshot]
) -> Iterator[Origin | None]:
    """From a run's looks the Origin of its first NaN; nothing more where none of them shows NaN.

    Up to there it is trained again, looked at where it was. Yields None between pieces of work.
    """
    first = next((i for i, look in enumerate(looks) if broken(look)), None)
    if first is None:
        return
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    order = lru_cache(maxsize=1)(lambda epoch: program.order(data.arranged, knobs, np.int32(epoch)))
    looked_at = {look.step for look in looks[:first]}
    state = program.init(knobs)
    for step in range(looks[first].step):
        batch = data.train_images, data.train_labels, order(step // config.steps_per_epoch), knobs
        if step in looked_at:
            _, state = program.diagnose(state, *batch)
        elif step < max(looked_at):
            state = program.advance(state, *batch, np.int32(step + 1))
        else:  # its arrays are gone after a step
            before = jax.tree.map(jnp.copy, state)
            state = program.advance(state, *batch, np.int32(step + 1))
            if not diagnostics.all_finite(state.params):
                yield _in_batch(config, data, before, batch[2])
                return
        yield None
    if _shown(looks[first]) and (nan := _in_images(config, data, state)):
        yield nan
    else:
        yield _in_batch(config, data, state, order(looks[first].step // config.steps_per_epoch))


class _Pass(NamedTuple):
    """A forward pass."""

    forward: Callable[[Array, Array], Array]  # of params and x
    x: Array
    labels: Array
    places: Array  # among the training images
    together: bool  # whether an example's logits depend on the others, or on its place


def _in_images(config: RunConfig, data: train.DeviceData, state: train.State) -> Origin | None:
    """Where a NaN comes from in the pass over the images that a look measures."""
    shape, knobs = train.shape(config), train.knobs(config)
    step, drop = train.Step(shape), train.dropping(knobs)
    norm = train.norming(knobs, state.running)

    def forward(params: Array, x: Array) -> Array:
        return step.model.at_test(partial(step.apply, params, drop=drop, norm=norm), x)

    with train.numerics(shape):
        x, labels = train.pixels(data.train_images[:PROBE], knobs), data.train_labels[:PROBE]
        places = np.arange(len(x))
        together = step.model.test_batch is not None
        return _in_pass(config, state, _Pass(forward, x, labels, places, together))


def _in_batch(
    config: RunConfig, data: train.DeviceData, state: train.State, order: Array
) -> Origin:
    """Where it comes from in the next step: its forward pass, backward pass or update."""
    shape, knobs, step = train.shape(config), train.knobs(config), int(state.step)
    parts, images = train.Step(shape), data.train_images
    drop, norm = train.dropping(knobs), train.norming(knobs)
    with train.numerics(shape):
        x, labels, key = parts.batch(state, images, data.train_labels, order, knobs)
        _, places, _ = parts.batch(state, images, jnp.arange(len(images)), order, knobs)

        def forward(params: Array, x: Array) -> Array:
            return parts.apply(params, x, rng=key, drop=drop, norm=norm)

        together = parts.model.test_batch is not None or config.dropout != "off"
        nan = _in_pass(config, state, _Pass(forward, x, labels, places, together))
        if nan is not None:
            return nan

        def gradient(params: Array) -> Array:
            return parts.backprop(
                state._replace(params=params), images, data.train_labels, order, knobs
            ).gradients

        recorder = Recorder()
        gradients = recorder.record(gradient, state.params)
        if made := origin(gradients):
            return Origin(step, "in the backward pass", made)
        tree = jax.tree.structure(state.params)
        given = jax.tree.unflatten(tree, [jnp.asarray(each.array) for each in gradients])

        def update(state: train.State, gradients: Array) -> Array:
            return parts.update(state, gradients, state.running, knobs).params

        made = origin(recorder.record(update, state, given))
        return Origin(step, "in the update of the weights", made)


def _in_pass(config: RunConfig, state: train.State, run: _Pass) -> Origin | None:
    """Where it comes from in a forward pass and its losses; None if all of these are finite."""
    form, step = TASKS[config.task].form, int(state.step)
    all_logits = jax.jit(run.forward)(state.params, run.x)
    logits, labels = np.asarray(all_logits), np.asarray(run.labels)
    numbers = np.isfinite(logits).all(axis=-1)
    rows, known = (all_logits[:, 0], labels) if form == "binary" else (all_logits, labels)
    wiring = LOSS_INPUTS[config.loss_input]
    if form != "regression":
        rows = getattr(wiring, form)(rows)
        known = (known.astype(np.int32) + config.label_shift) % max(2, logits.shape[-1])
    known = known.astype(np.int32 if form == "softmax" else logits.dtype)
    own = wiring.instead[form] if wiring.instead else getattr(LOSSES[config.loss], form)
    row = jax.jit(with_grad(own))
    loss, slope = row(rows, known, np.float32(config.epsilon))
    slope = np.asarray(slope).reshape(logits.shape)
    nan_loss, nan_slope = np.isnan(np.asarray(loss)), np.isnan(slope).any(axis=-1)
    for which in (nan_loss, nan_slope, ~np.isfinite(slope).all(axis=-1)):
        for i in np.flatnonzero(numbers & which & (wiring.instead is None))[:FEW]:
            if made := of_loss(form, config.loss, np.asarray(rows)[i], known[i], config.epsilon):
                own = tuple(logits[i].astype(float).tolist())
                label = None if form == "regression" else int(known[i])
                return Origin(step, PARTS[made.result], made, int(run.places[i]), own, label)
    if numbers.all():
        return None
    i = int(np.flatnonzero(~numbers)[0])
    x = run.x if run.together else run.x[i : i + 1]
    recorder = Recorder()
    made = origin(recorder.record(run.forward, state.params, x))
    image = None if run.together else int(run.places[i])
    return Origin(step, _layer(made, recorder.products), made, image)


def _layer(made: Made | None, products: int) -> str:
    """The place in words: the layer, in a forward pass with so many matrix products."""
    last = made.operations[-1].product if made and made.operations else 0
    return f"in the forward pass{f', layer {last} of {products}' if last else ''}"
