"""Twins: two runs from identical weights and data, and what one rounding makes of a run.

Where two runs differ in one thing, the first gradients that differ say what it does and to
which images. Where a run ends elsewhere after its weights moved by one rounding, its result is
chance and not a fact: the rounding band tells the two apart.

Functions that take long are generators which give way: they yield None between pieces of work,
so that whoever drives them can stop.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from core import diagnostics, train
from core.choices import TASKS
from core.config import RunConfig
from core.data import Dataset
from core.models import Params, layers
from core.snapshot import Snapshot

# What twins may differ in: what turns the same batch and the same weights into other weights.
MAY_DIFFER = ("loss", "epsilon", "dropout", "dropout_value", "optimizer", "learning_rate")

# Rows of LOSSES that are one function rounded in other places (from_logits, optax, PyTorch) gave
# gradients 2 roundings (2^-24 each) apart at the question's first step and 17 after ten of them,
# which is the most that rounding grew to; clipping in another place differed by a million.
TOLERANCE = 64 * 2.0**-24

ROUNDING = 6e-8  # 2^-24, the largest relative error of one float32 rounding, rounded up
LANES = 4  # runs mapped at once: a step of four takes 0.1 to 0.2 s on two cores
MOST = 24  # samples shown

Array = Any  # a numpy array in what is yielded and returned, a jax Array inside the programs


@dataclass(frozen=True)
class Samples:
    """Some training images and what the network says of them; k of them, at most MOST."""

    index: Array  # int [k], position in the training images
    images: Array  # uint8 [k, 784]
    labels: Array  # uint8 [k], the task's
    logits: tuple[Array, ...]  # float32 [k, outputs] of each run
    slopes: tuple[Array, ...]  # dloss/dlogits, float32 [k, outputs] of each run


class Divergence(NamedTuple):
    """The first step whose gradients differ by more than rounding."""

    step: int
    layer: int  # where they differ most, among the layers with weights, from 0
    relative: Array  # float64 [layers]: see `relative_differences`
    differing: int  # samples of that step's batch whose slopes differ at all
    samples: Samples  # those that differ most, largest |slope_a - slope_b| first


class Pair(NamedTuple):
    """Both twins at one step."""

    a: Snapshot
    b: Snapshot
    divergence: Divergence | None  # None while they agree


class SwapRow(NamedTuple):
    """One line of what the question prints."""

    label: str
    published: float
    measured: float


class Outcomes(NamedTuple):
    """Runs of one configuration, row by row: one a perturbation or one a seed."""

    accuracy: Array  # float32 [runs, steps + 1], of all training images, before each step
    loss: Array  # float32 [runs, steps + 1], mean, in nats


# --- twins ---------------------------------------------------------------------------------------


def differences(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, with both values.

    Raises:
      ValueError: they differ in more than MAY_DIFFER, so that weights, images or batches would
        not be identical; names the field.
    """
    pairs = {f.name: (getattr(a, f.name), getattr(b, f.name)) for f in fields(RunConfig)}
    found = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    for name, (one, other) in found.items():
        if name not in MAY_DIFFER:
            raise ValueError(
                f"{name} is {one!r} in one twin and {other!r} in the other; "
                f"twins may differ in {', '.join(MAY_DIFFER)} only"
            )
    return found


def twins(a: RunConfig, b: RunConfig, data: Dataset) -> Iterator[Pair | None]:
    """Train both in lock step: a Pair at each snapshot step, None between chunks.

    Raises ValueError as `differences` does.
    """
    differences(a, b)
    on_device = train.on_device(a.task, data)
    runs = [train.ticks(c, train.program(train.shape(c)), on_device) for c in (a, b)]
    search = first_divergence(a, b, data)
    searched, found = -1, None
    for step in train.snapshot_steps(a):
        left = yield from _next_snapshot(runs[0])
        right = yield from _next_snapshot(runs[1])
        while found is None and searched < step:
            found = next(search)
            searched += 1
            yield None
        yield Pair(left, right, found)


def _next_snapshot(
    ticks: Iterator[Snapshot | None],
) -> Generator[None, None, Snapshot]:
    for tick in ticks:
        if tick is not None:
            return tick
        yield None
    raise RuntimeError("the run ended before its last snapshot")


def first_divergence(a: RunConfig, b: RunConfig, data: Dataset) -> Iterator[Divergence | None]:
    """Step both until their gradients differ: None a step while they agree, then a Divergence.

    Ends without one where they agree to the last step. A layer's gradients differ where
    |g_a - g_b| > TOLERANCE max(|g_a|, |g_b|) in the Euclidean norm.

    Raises ValueError as `differences` does.
    """
    differences(a, b)
    on_device, look = train.on_device(a.task, data), _look(train.shape(a))

    def look_from(config: RunConfig, at: _At) -> train.Look:
        state, inputs = at.state._replace(slots=()), (*on_device[:2], at.order)
        seen: train.Look = jax.device_get(look(state, *inputs, train.knobs(config)))
        return seen

    both = zip(_states(a, on_device), _states(b, on_device), strict=True)
    for step, (at_a, at_b) in enumerate(both):
        looks = look_from(a, at_a), look_from(b, at_b)
        relative = relative_differences(looks[0].gradients, looks[1].gradients)
        if relative.max() > TOLERANCE:
            yield _divergence(step, relative, _batch(a, step, at_a.order), looks, data, a.task)
            return
        yield None


def relative_differences(a: Params, b: Params) -> Array:
    """|g_a - g_b| / max(|g_a|, |g_b|) of each layer with weights: float64 [layers].

    0 where they are equal, NaN in the same places included; inf where one alone is not finite.
    """
    pairs = zip(layers(a), layers(b), strict=True)
    return np.array([_relative(_flat(x), _flat(y)) for x, y in pairs])


def _flat(layer: Any) -> Array:
    return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(layer)])


def _gap(a: Array, b: Array) -> Array:
    """|a - b|, 0 where both are the same infinity or NaN, inf where one alone is not finite."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.where(np.isnan(gap), np.inf, gap))


def _relative(a: Array, b: Array) -> float:
    gap = np.linalg.norm(_gap(a, b))
    if gap == 0 or not np.isfinite(gap):
        return float(gap)
    size = max(np.linalg.norm(x[np.isfinite(x)]) for x in (a, b))
    return float(gap / size)


def _batch(config: RunConfig, step: int, order: Any) -> Array:
    """Which training images the step uses: int [batch]."""
    if config.full_batch:
        return np.arange(config.train_size)
    start = step % config.steps_per_epoch * config.batch_size
    return np.asarray(order)[start : start + config.batch_size]


def _divergence(
    step: int,
    relative: Array,
    batch: Array,  # which images it uses
    looks: tuple[train.Look, train.Look],
    data: Dataset,
    task: str,
) -> Divergence:
    slopes = [np.asarray(look.slope, np.float64) for look in looks]
    contribution = np.max(_gap(*slopes), axis=-1)
    differing = int(np.count_nonzero(contribution))
    worst = np.argsort(-contribution, kind="stable")[: min(MOST, differing)]
    index = batch[worst]
    return Divergence(
        step=step,
        layer=int(relative.argmax()),
        relative=relative,
        differing=differing,
        samples=Samples(
            index=index,
            images=data.train_images[index],
            labels=train.labels_of(task, data.train_labels[index]),
            logits=tuple(look.logits[worst] for look in looks),
            slopes=tuple(look.slope[worst] for look in looks),
        ),
    )


class _At(NamedTuple):
    state: train.State
    order: Any  # of the images in the epoch that the next step belongs to


def _states(config: RunConfig, data: train.DeviceData) -> Iterator[_At]:
    """A run without snapshots: its state before each step, and after the last.

    A state's arrays are gone once the next one is asked for.
    """
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    order = lru_cache(maxsize=1)(lambda epoch: program.order(knobs, np.int32(epoch)))
    state = program.init(knobs)
    for step in range(config.steps):
        at = _At(state, order(step // config.steps_per_epoch))
        yield at
        images, labels = data.train_images, data.train_labels
        state = program.advance(state, images, labels, at.order, knobs, np.int32(step + 1))
    yield _At(state, order(config.epochs))


@lru_cache(maxsize=8)
def _look(shape: train.Shape) -> Any:
    """state without slots, images, labels, order, knobs -> train.Look"""
    return _compiled_for(shape, train.functions(shape)["look"])


def _compiled_for(shape: train.Shape, function: Callable[..., Any], **options: Any) -> Any:
    """`function`, compiled on first use to give the numbers of this shape's program."""
    jitted = jax.jit(function, **options)

    def call(*arguments: Any) -> Any:
        with train.numerics(shape):
            return jitted(*arguments)

    return call


# --- who is stuck --------------------------------------------------------------------------------


def stuck(config: RunConfig, snapshot: Snapshot, data: Dataset, most: int = MOST) -> Samples:
    """The wrong images without any gradient at a snapshot, the most certain of them first.

    The census's own, so that a page shows those that it counts: one logit a sample is all that
    a snapshot keeps, hence for the binary task only.

    Raises:
      ValueError: the task has more than one logit.
    """
    if TASKS[config.task].form != "binary":
        raise ValueError(f"task is {config.task!r}; allowed for stuck samples is binary")
    logits = np.asarray(snapshot.margins)[:, None]
    knobs = train.knobs(config)
    slopes, is_stuck = _stuck(logits, snapshot.labels, knobs, np.float32(config.batch_size))
    candidates = np.flatnonzero(is_stuck)
    certainty = np.abs(logits[candidates, 0])
    index = candidates[np.argsort(-certainty, kind="stable")[:most]]
    return Samples(
        index=index,
        images=data.train_images[index],
        labels=snapshot.labels[index],
        logits=(logits[index],),
        slopes=(np.asarray(slopes)[index],),
    )


@jax.jit
def _stuck(logits: Array, labels: Array, knobs: train.Knobs, batch_size: Array) -> Any:
    """The slopes, and who is wrong while his slope vanishes in the batch's mean, as the census."""
    _, slopes = train.losses_and_slopes("binary", logits, labels, knobs)
    dead = jnp.all(slopes / batch_size == 0, axis=-1)
    return slopes, dead & ~diagnostics.correct(logits, labels)


# --- the swap ------------------------------------------------------------------------------------


def swap(a: RunConfig, b: RunConfig, data: Dataset) -> list[SwapRow]:
    """What the question prints, with `a` as its JAX and `b` as its Keras.

    Each side's final weights are also evaluated by the other side's program: the accuracies
    move with the weights, so that it is the training that differs and not the prediction.
    Published are the question's own figures; accuracies are of the first train.PROBE images.

    Raises ValueError as `differences` does.
    """
    differences(a, b)
    on_device = train.on_device(a.task, data)
    jax_start, jax_end = _ends(a, on_device)
    keras_start, keras_end = _ends(b, on_device)

    def accuracy(config: RunConfig, weights: _At) -> float:
        program = train.program(train.shape(config))
        own = program.init(train.knobs(config))  # for slots of the right kind
        state = own._replace(params=weights.state.params)
        inputs = (on_device.train_images, on_device.train_labels, weights.order)
        return float(program.diagnose(state, *inputs, train.knobs(config))[0]["train_accuracy"])

    return [
        SwapRow("Initial Keras accuracy", 0.435, accuracy(b, keras_start)),
        SwapRow("Initial JAX accuracy", 0.435, accuracy(a, jax_start)),
        SwapRow("Final JAX accuracy", 0.792, accuracy(a, jax_end)),
        SwapRow("Final Keras accuracy", 0.909, accuracy(b, keras_end)),
        SwapRow("JAX accuracy (Keras weights)", 0.909, accuracy(a, keras_end)),
        SwapRow("Keras accuracy (JAX weights)", 0.792, accuracy(b, jax_end)),
    ]


def _ends(config: RunConfig, data: train.DeviceData) -> tuple[_At, _At]:
    """The first and the last state of a run."""
    end = deque(_states(config, data), maxlen=1)[0]
    return next(_states(config, data)), end


# --- the rounding band ---------------------------------------------------------------------------


def rounding_band(
    config: RunConfig, data: Dataset, perturbations: int = 100, magnitude: float = ROUNDING
) -> Iterator[Outcomes | None]:
    """The same run from weights moved by at most one rounding, `perturbations` times.

    Each weight w becomes w + w magnitude u with u uniform on (-1, 1), rounded to float32. The
    first row of the first piece is the run from the weights as they are; `perturbations` rows
    follow. Yields up to LANES rows at a time and None after every step of them.

    Raises:
      ValueError: the run draws batches or drops units, which would move it more than a rounding.
    """
    index = np.arange(1 + perturbations, dtype=np.int32)
    return _outcomes(config, data, np.full_like(index, config.seed), index, magnitude)


def seed_strip(
    config: RunConfig, data: Dataset, seeds: Sequence[int] = range(10)
) -> Iterator[Outcomes | None]:
    """The same run from the weights of each seed, in order; yields as `rounding_band` does.

    Raises ValueError as `rounding_band` does.
    """
    each = np.asarray(seeds, np.int32)
    return _outcomes(config, data, each, np.zeros_like(each), 0.0)


def collect(pieces: Iterable[Outcomes | None]) -> Outcomes:
    """All rows of a band or a strip as one table."""
    rows = [piece for piece in pieces if piece is not None]
    return Outcomes(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _outcomes(
    config: RunConfig, data: Dataset, seeds: Array, perturbations: Array, magnitude: float
) -> Iterator[Outcomes | None]:
    if not config.full_batch:
        raise ValueError(
            f"batch_size is {config.batch_size}; allowed here is {config.train_size}, "
            "the whole training set"
        )
    if config.dropout != "off":
        raise ValueError(f"dropout is {config.dropout!r}; allowed here is off")
    start, step = _lanes(train.shape(config))
    on_device, knobs = train.on_device(config.task, data), train.knobs(config)

    def pieces() -> Iterator[Outcomes | None]:
        for first in range(0, len(seeds), LANES):
            # The last piece is filled up with its last run: another shape would compile again.
            lanes = np.minimum(np.arange(first, first + LANES), len(seeds) - 1)
            each = jax.tree.map(lambda knob: np.broadcast_to(knob, (LANES,)), knobs)
            each = each._replace(seed=seeds[lanes])
            states, scores = start(each, perturbations[lanes], np.float32(magnitude)), []
            for _ in range(config.steps + 1):
                states, score = step(states, on_device.train_images, on_device.train_labels, each)
                scores.append(jax.device_get(score))
                yield None
            rows = len(seeds) - first
            yield Outcomes(
                *(np.stack(column, axis=-1)[:rows] for column in zip(*scores, strict=True))
            )

    return pieces()


@lru_cache(maxsize=8)
def _lanes(shape: train.Shape) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled for LANES full-batch runs at once, each with its own knobs:

    start: knobs, perturbations, magnitude -> states
    step: states, images, labels, knobs -> states after a step, scores [LANES] before it

    One after the other in one program: `lax.map` took 0.36 s of processor time a run of ten
    steps and `vmap` 0.47, on two cores with JAX 0.10.2.
    """
    parts = train.functions(shape)

    def start(knobs: train.Knobs, perturbation: Any, magnitude: Any) -> train.State:
        state: train.State = parts["init"](knobs)
        moved = perturb(state.params, perturbation, magnitude)
        return state._replace(params=moved)

    def step(
        state: train.State, images: Any, labels: Any, knobs: train.Knobs
    ) -> tuple[train.State, Outcomes]:
        seen: train.Look = parts["look"](state, images, labels, None, knobs)
        correct = diagnostics.correct(seen.logits, labels)
        score = Outcomes(jnp.mean(correct), jnp.mean(seen.loss))
        return parts["update"](state, seen.gradients, knobs), score

    def all_start(knobs: train.Knobs, perturbations: Any, magnitude: Any) -> Any:
        return lax.map(lambda lane: start(lane[0], lane[1], magnitude), (knobs, perturbations))

    def all_step(states: Any, images: Any, labels: Any, knobs: train.Knobs) -> Any:
        return lax.map(lambda lane: step(lane[0], images, labels, lane[1]), (states, knobs))

    return (
        _compiled_for(shape, all_start),
        _compiled_for(shape, all_step, donate_argnums=0),
    )


def perturb(params: Params, perturbation: Any, magnitude: Any) -> Params:
    """w + w magnitude u, u uniform on (-1, 1) and other for each `perturbation`; none for 0."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(perturbation), len(leaves))
    size = jnp.where(perturbation > 0, magnitude, 0)

    def moved(w: Any, key: Any) -> Any:
        # Not w (1 + ...): in float32 that factor rounds to 1 or to one value below it.
        return w + w * (size * jax.random.uniform(key, w.shape, w.dtype, -1, 1))

    moved_leaves = [moved(w, key) for w, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved_leaves)
