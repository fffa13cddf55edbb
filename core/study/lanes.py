"""Many runs through one compiled program: the one way in which runs are mapped.

A batch of runs of one shape takes its steps together, each run in a lane with its own knobs. On a
CPU the lanes go one after the other (`in_turn`), so that each run gives the same bits as alone; on
an accelerator they go under `jax.vmap` (`at_once`) if that is measured to be faster. If there are
several local devices, each has a share of the lanes.

The question's ten steps took 0.36 s of processor time a run with `lax.map`, which goes in turn, and
0.47 s with `vmap`, on two cores with JAX 0.10.2; `benchmarks.sweep --ways` measures the two ways of
this module.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from core.config import RunConfig
from core.parts.initializers import INITIALIZERS
from core.parts.models import Params
from core.run import train
from core.run.snapshot import Fit
from core.study.states import compiled_for

BUDGET = 0.2  # seconds that a batch of short runs may take from beginning to end
PIECE = 0.05  # seconds that one call may take, so that a stop or a visitor's click waits no longer
MOST = 64  # runs in a batch on one device
STATES = 1 << 28  # bytes that the weights, gradients and slots of a batch may take
GROWTH = 8  # how many times as many steps as the last call the next one may have

Array = Any  # a numpy array where it is yielded or returned, a jax Array inside the programs


class Metrics(NamedTuple):
    """What is measured of each run, [runs] or [runs, looks], as in its Snapshots."""

    loss: Array  # float32, mean over the first PROBE images, in nats
    train_accuracy: Array  # float32, on the same images; NaN for a regression
    gradient_norm: Array  # float32, Euclidean, of the next step's gradient
    next_finite: Array  # bool, whether all weights are finite after the next step


class Ended(NamedTuple):
    """A batch of runs at its end."""

    runs: Array  # int [k], their positions among the runs asked for
    metrics: Metrics  # [k, looks]: before every step and after the last, or only after the last
    # float32 [k], accuracy on all held-out images, or a regression's error; None with `every_step`.
    held_out: Array | None
    # float32 [k], that accuracy as the run's program reports it; NaN where that is the true one,
    # and None if all are true.
    reported: Array | None = None


class Way(NamedTuple):
    """How a batch is mapped: a key of WAYS, and on how many local devices."""

    name: str
    devices: int


class _Run(NamedTuple):
    state: train.State
    order: Any  # that of the images in the last step's epoch; empty for full batches


# Ways to map function(run, the lane's other arguments, *what all lanes share) over the lanes.

Each = Callable[..., tuple[Any, Any]]


def in_turn(function: Each, runs: Any, others: Any, live: Any, *shared: Any) -> tuple[Any, Any]:
    """Apply `function` to the first `live` lanes, one after the other, changing runs in place.

    It is like `lax.map`, except that another number of lanes does not need another compilation.
    """

    def at(i: Any, tree: Any) -> Any:
        return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, keepdims=False), tree)

    def put(i: Any, tree: Any, one: Any) -> Any:
        return jax.tree.map(lambda a, x: lax.dynamic_update_index_in_dim(a, x, i, 0), tree, one)

    def body(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        run, out = function(at(i, carry[0]), at(i, others), *shared)
        return put(i, carry[0], run), put(i, carry[1], out)

    _, one = jax.eval_shape(function, at(0, runs), at(0, others), *shared)
    lanes = len(jax.tree.leaves(others)[0])
    outs = jax.tree.map(lambda x: jnp.zeros((lanes, *x.shape), x.dtype), one)
    return lax.fori_loop(0, live, body, (runs, outs))


def at_once(function: Each, runs: Any, others: Any, live: Any, *shared: Any) -> tuple[Any, Any]:
    """Apply `function` to all lanes with `jax.vmap`; a small `live` saves nothing."""
    return jax.vmap(lambda run, other: function(run, other, *shared))(runs, others)


WAYS = {"in_turn": in_turn, "at_once": at_once}


# The programs of a shape.


class Programs(NamedTuple):
    """Compiled for a batch: each takes runs, other arguments by lane, live lanes, shared ones."""

    advance: Callable[..., Any]  # (runs, knobs, live, (data, first step, stop)) -> runs at `stop`
    look: Callable[..., Any]  # (runs, knobs, live, (data, step)) -> runs after the step, Metrics
    held_out: Callable[..., Any]  # (runs, knobs, live, (data,)) -> runs, float32 [lanes, batches]
    reported: Callable[..., Any]  # the same


def _mapped(
    shape: train.Shape, way: Way, function: Each, options: Mapping[str, Any], donated: bool = True
) -> Any:
    mapped: Any = WAYS[way.name]

    def call(runs: Any, others: Any, live: Any, shared: tuple[Any, ...]) -> Any:
        return mapped(function, runs, others, live[0], *shared)

    if way.devices > 1:
        lane, same = PartitionSpec("lanes"), PartitionSpec()
        specs = (lane, lane, lane, same)
        call = jax.shard_map(
            call, mesh=_mesh(way.devices), in_specs=specs, out_specs=lane, check_vma=False
        )
    return compiled_for(shape, call, options, donate_argnums=(0,) if donated else ())


@lru_cache(maxsize=1)
def _mesh(devices: int) -> Mesh:
    return Mesh(np.array(jax.local_devices()[:devices]), ("lanes",))


@lru_cache(maxsize=16)
def _start(shape: train.Shape, way: Way) -> Any:
    """((), (knobs, perturbations) by lane, live lanes, (magnitude,)) -> (), runs."""
    parts = train.Step(shape)
    undrawn = 0 if shape.full_batch else shape.train_size

    def start(_: Any, lane: Any, magnitude: Any) -> tuple[Any, _Run]:
        knobs, perturbation = lane
        state = parts.init(knobs)
        moved = state._replace(params=perturb(state.params, perturbation, magnitude))
        return (), _Run(moved, jnp.zeros(undrawn, jnp.int32))

    return _mapped(shape, way, start, train.ONCE, donated=False)


@lru_cache(maxsize=8)
def _programs(shape: train.Shape, way: Way) -> Programs:
    parts = train.Step(shape)
    together, looking = parts.model.test_batch, train.Looking(parts)

    def order(run: _Run, data: train.DeviceData, step: Any, knobs: Any) -> Any:
        """The order of the images in the epoch of `step`, drawn when an epoch begins."""
        if shape.full_batch:
            return run.order
        epoch, within = jnp.divmod(step, shape.steps_per_epoch)
        return lax.cond(
            within == 0, lambda: parts.order(data.arranged, knobs, epoch), lambda: run.order
        )

    def advance(run: _Run, knobs: Any, data: train.DeviceData, first: Any, stop: Any) -> Any:
        images, labels = data.train_images, data.train_labels

        def step(carry: tuple[Any, _Run]) -> tuple[Any, _Run]:
            at, run = carry
            run = _Run(run.state, order(run, data, at, knobs))
            passed = parts.backprop(run.state, images, labels, run.order, knobs)
            after = parts.update(run.state, passed.gradients, passed.moments, knobs)
            return at + 1, run._replace(state=after)

        return lax.while_loop(lambda carry: carry[0] < stop, step, (first, run))[1], ()

    def look(run: _Run, knobs: Any, data: train.DeviceData, step: Any) -> tuple[_Run, Metrics]:
        images, labels, drawn = data.train_images, data.train_labels, order(run, data, step, knobs)
        seen, after = looking.diagnose(run.state, images, labels, drawn, knobs)
        norm = jnp.linalg.norm(seen["gradient_norms"])
        metrics = Metrics(seen["loss"], seen["train_accuracy"], norm, seen["next_finite"])
        return _Run(after, drawn), metrics

    def evaluate(
        measure: Callable[..., Any], run: _Run, knobs: Any, data: train.DeviceData
    ) -> tuple[Any, Any]:
        weights, images, labels = run.state.weights, data.test_images, data.test_labels

        def score(images: Any, labels: Any) -> Any:
            accuracy_or_fit = measure(weights, images, labels, knobs)
            return accuracy_or_fit.error if isinstance(accuracy_or_fit, Fit) else accuracy_or_fit

        if together is None:
            return run, score(images, labels)[None]
        mixed = (
            each.reshape(together, -1, *each.shape[1:]).swapaxes(0, 1) for each in (images, labels)
        )
        return run, lax.map(lambda batch: score(*batch), tuple(mixed))

    return Programs(
        _mapped(shape, way, advance, train.OFTEN),
        _mapped(shape, way, look, train.SELDOM),
        _mapped(shape, way, partial(evaluate, looking.held_out), train.SELDOM),
        _mapped(shape, way, partial(evaluate, looking.reported), train.SELDOM),
    )


def perturb(params: Params, perturbation: Any, magnitude: Any) -> Params:
    """w + w magnitude u, u uniform on (-1, 1) with seed `perturbation`; 0 changes nothing."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(perturbation), len(leaves))
    size = jnp.where(perturbation > 0, magnitude, 0)

    def moved(w: Any, key: Any) -> Any:
        # Not w (1 + ...): in float32 that factor rounds to 1 or to one value below it.
        return w + w * (size.astype(w.dtype) * jax.random.uniform(key, w.shape, w.dtype, -1, 1))

    moved_leaves = [moved(w, key) for w, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved_leaves)


# Running the programs.


def runs(
    configs: Sequence[RunConfig],
    data: train.DeviceData,
    *,
    perturbations: Sequence[int] | None = None,
    magnitude: float = 0.0,
    every_step: bool = False,
    way: Way | None = None,
) -> Iterator[Ended | None]:
    """Train these runs: yield an Ended for each batch, in order, and None between pieces of work.

    A run is measured after its last step, and with `every_step` before every step as well. In turn,
    the first run goes alone to find out what a step costs. Then as many runs go together as BUDGET
    allows, and as many steps in a call as PIECE allows, at least one. The starting weights are
    changed by `perturb`, by default not at all. `way` is the fastest one by default.

    Raises:
      ValueError: they are not of one family.
    """
    if any(family(config) != family(configs[0]) for config in configs):
        raise ValueError("runs that go together have one shape, one source and as many steps")
    moved = (
        np.zeros(len(configs), np.int32)
        if perturbations is None
        else np.asarray(perturbations, np.int32)
    )
    return _runs(configs, data, moved, magnitude, every_step, way)


def family(config: RunConfig) -> tuple[Any, ...]:
    """What runs must have in common to go together."""
    return train.shape(config), config.source, config.process, config.epochs


def _runs(
    configs: Sequence[RunConfig],
    data: train.DeviceData,
    moved: Array,
    magnitude: float,
    every_step: bool,
    way: Way | None,
) -> Iterator[Ended | None]:
    shape, steps = train.shape(configs[0]), configs[0].steps
    way = way or fastest(configs[0], data)
    start, programs = _start(shape, way), _programs(_trained(shape), way)
    most, data = capacity(shape), _for_devices(data, way)
    # With `at_once`, lanes cost the same whether they are live or not.
    together, done, pace = most if way.name == "at_once" else 1, 0, _Pace()
    while done < len(configs):
        count = min(together * way.devices, len(configs) - done)
        places, live = lanes(count, most, way.devices)
        chosen = done + places
        knobs = _stacked([configs[i] for i in chosen])
        _, batch = start((), (knobs, moved[chosen]), live, (np.float32(magnitude),))
        looks: list[Metrics] = []
        reported = None
        truthful = np.array([configs[i].report == "true" for i in chosen])
        step = 0
        while step <= steps:
            stop = step if every_step else min(step + pace.steps(max(live)), steps)
            if stop > step:
                started = time.perf_counter()
                shared = (data, np.int32(step), np.int32(stop))
                batch, _ = jax.block_until_ready(programs.advance(batch, knobs, live, shared))
                pace.took(time.perf_counter() - started, (stop - step) * max(live))
                step = stop
            else:
                if not every_step:  # before the look, which takes one more step
                    ended = programs.held_out(batch, knobs, live, (data,))
                    batch, held_out = jax.block_until_ready(ended)
                    if not truthful.all():
                        ended = programs.reported(batch, knobs, live, (data,))
                        batch, reported = jax.block_until_ready(ended)
                    yield None
                started = time.perf_counter()
                batch, metrics = programs.look(batch, knobs, live, (data, np.int32(step)))
                looks.append(jax.device_get(metrics))
                if every_step:
                    pace.took(time.perf_counter() - started, max(live))
                step += 1
            yield None
        lane = np.unique(places, return_index=True)[1]  # the lane of each run
        yield Ended(
            chosen[lane],
            Metrics(*(np.stack(column, axis=-1)[lane] for column in zip(*looks, strict=True))),
            None if every_step else _mean(jax.device_get(held_out)[lane]),
            None if reported is None else _otherwise(truthful[lane], reported[lane]),
        )
        done += count
        if way.name == "in_turn":
            together = max(1, min(pace.runs(steps), GROWTH * together, most))


def _mean(batches: Array) -> Array:
    """[runs, batches] -> float32 [runs], each the mean that `train.programs.in_batches` takes."""
    return np.array([np.mean(list(each)) for each in batches], np.float32)


def _otherwise(truthful: Array, batches: Array) -> Array:
    """float32 [runs]: as `_mean`, but NaN for the runs whose program reports the truth."""
    return np.where(truthful, np.float32(np.nan), _mean(jax.device_get(batches)))


class _Pace:
    """What a step of one run took in the last call, and so how many fit in the next one."""

    def __init__(self) -> None:
        self.seconds, self.last = PIECE, 1  # a step; steps in the last call, summed over its runs

    def took(self, seconds: float, steps: int) -> None:
        """Record a call that took so many seconds for so many steps, summed over its runs."""
        self.seconds, self.last = seconds / steps, steps

    def steps(self, live: int) -> int:
        """How many steps a call may take with `live` runs."""
        return max(1, min(int(PIECE / self.seconds), GROWTH * self.last) // live)

    def runs(self, steps: int) -> int:
        """How many runs of so many steps fit in BUDGET."""
        return int(BUDGET / (self.seconds * max(1, steps)))


def lanes(count: int, most: int, devices: int) -> tuple[Array, Array]:
    """Which run of a batch each lane has, int [lanes], and how many are live on each device.

    Every device has `most` lanes: the first ones are live, the others repeat a run.
    """
    shares = np.array_split(np.arange(count), devices)
    places = [np.pad(share, (0, most - len(share)), constant_values=0) for share in shares]
    return np.concatenate(places), np.array([len(share) for share in shares], np.int32)


def _stacked(configs: Sequence[RunConfig]) -> train.Knobs:
    return train.Knobs(*map(np.stack, zip(*map(train.knobs, configs), strict=True)))


def _trained(shape: train.Shape) -> train.Shape:
    """The shape for a program that draws no weights, so that all initialisers share it."""
    return shape._replace(initializer=next(iter(INITIALIZERS)))


def _for_devices(data: train.DeviceData, way: Way) -> train.DeviceData:
    if way.devices == 1:
        return data
    everywhere = NamedSharding(_mesh(way.devices), PartitionSpec())
    return train.DeviceData(*jax.device_put(tuple(data), everywhere))


def capacity(shape: train.Shape) -> int:
    """How many runs of a shape fit in a batch on one device: a power of two up to MOST."""
    fits = max(1, min(MOST, STATES // train.bytes_needed(shape)))
    return int(1 << (fits.bit_length() - 1))


_fastest: dict[train.Shape, Way] = {}


def fastest(config: RunConfig, data: train.DeviceData) -> Way:
    """The fastest way to map runs like this one on this machine, using all local devices.

    On a CPU it is `in_turn`; elsewhere a step of a batch with no lane idle is timed once each way.
    """
    devices = jax.local_device_count()
    if jax.default_backend() == "cpu":
        return Way("in_turn", devices)
    shape = train.shape(config)
    if shape not in _fastest:
        ways = [Way(name, devices) for name in WAYS]
        _fastest[shape] = min(ways, key=lambda way: seconds_a_step(config, data, way))
    return _fastest[shape]


def seconds_a_step(config: RunConfig, data: train.DeviceData, way: Way) -> float:
    """Seconds for a step of one run in a batch with no lane idle: the better of two calls."""
    shape, seconds = train.shape(config), []
    most, data = capacity(shape), _for_devices(data, way)
    places, live = lanes(most * way.devices, most, way.devices)
    knobs, unmoved = _stacked([config] * len(places)), np.zeros(len(places), np.int32)
    _, batch = _start(shape, way)((), (knobs, unmoved), live, (np.float32(0),))
    for step in range(3):
        started, shared = time.perf_counter(), (data, np.int32(step), np.int32(step + 1))
        batch, _ = _programs(_trained(shape), way).advance(batch, knobs, live, shared)
        jax.block_until_ready(batch)
        seconds.append((time.perf_counter() - started) / len(places))
    return min(seconds[1:])


def let_go() -> int | None:
    """Forget all compiled programs of batches; 0, or None if there are none."""
    if not _programs.cache_info().currsize:
        return None
    _programs.cache_clear()
    _start.cache_clear()
    return 0
