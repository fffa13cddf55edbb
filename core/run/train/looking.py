"""A look at a run, as JAX functions: what a snapshot holds, and the step that follows it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.parts.models import Params
from core.parts.reports import REPORTS, answers
from core.run import diagnostics
from core.run.snapshot import DROPPED, PROBE, SHOWN, Fit, Largest
from core.run.train.gradient import (
    batch_gradient,
    clip_range,
    forward,
    losses_and_slopes,
    share_of_batch,
)
from core.run.train.step import Batch, Step, cast, test_key
from core.run.train.vocabulary import Knobs, State, Weights, dropping, norming, pixels


class _Probe(NamedTuple):
    """The first training images, as at test time."""

    x: Array  # [probe, inputs]
    labels: Array
    logits: Array  # [probe, outputs]
    units: list[Array]  # of each hidden layer


class Looking:
    """The functions that measure the runs of a shape; they are pure, and compiled elsewhere."""

    def __init__(self, step: Step) -> None:
        self.step, self.size = step, min(PROBE, step.shape.train_size)

    def see(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], Params, Any]:
        """What a snapshot holds of a state, the next step's gradient and its batch's moments.

        Neither depends on the optimizer or the learning rate; `state.slots` may be empty.
        """
        step = self.step
        batch = step.batch(state, images, labels, order, knobs)
        batch_logits, pull_back, moments = forward(
            step.passed, state.params, batch.x, knobs, batch.key
        )
        probe = self._probe(state.weights, images, labels, knobs)
        # One call for both: each row of LOSSES is compiled once, not twice, which saves a third.
        both = (
            jnp.concatenate([batch_logits, probe.logits]),
            jnp.concatenate([batch.labels, probe.labels]),
        )
        losses, slopes = losses_and_slopes(step.form, *both, knobs, step.shape.formula)
        size = len(batch.x)
        own = diagnostics.correct(batch_logits, batch.labels) if step.normalises else None
        loss, slope = losses[size:], slopes[size:]
        gradients = batch_gradient(
            pull_back, slopes[:size], knobs, state.scaler, step.filled(state)
        )
        # As the weights see it, in the batch's loss: tiny slopes underflow in its mean.
        share = share_of_batch(slope, step.shape.batch_size, knobs, state.scaler)
        share = share.astype(step.precision.compute.dtype)
        kinds = diagnostics.gradient_kinds(share)
        of_gradients, of_params = map(diagnostics.measured, (gradients, state.params))
        values = {
            "loss": jnp.mean(diagnostics.wide(loss)),
            "gradient_norms": of_gradients.norms,
            "weight_norms": of_params.norms,
            "dead_units": diagnostics.dead_units(probe.units),
            **self._answers(state.weights, probe, kinds, knobs, batch.key),
            "gradients": kinds,
            "health": of_gradients.health,
            "sample_health": diagnostics.sample_health(share),
            "loss_scale": state.scaler.scale if state.scaler else jnp.float32(1),
        }
        if own is not None:
            values["batch_accuracy"] = jnp.mean(own)
        if step.precision.narrow:
            exact = self._in_float32(state, batch, probe.x, slopes[:size], gradients, knobs)
            return values | exact, gradients, moments
        activation = diagnostics.largest([probe.units, probe.logits])
        largest = Largest(activation, of_gradients.largest, of_params.largest)
        values |= {"largest": largest, "vanished": jnp.float32(jnp.nan)}
        return values, gradients, moments

    def follow(
        self, state: State, gradients: Params, moments: Any, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """What a snapshot holds of a step along these gradients, and the state after it."""
        after = self.step.update(state, gradients, moments, knobs)
        new, old = (jax.tree.map(diagnostics.wide, each.params) for each in (after, state))
        moved = diagnostics.moved(gradients, state.params, after.params)
        others, then = (
            (each.slots, each.scaler, each.running, after.step) for each in (state, after)
        )
        values = {
            "update_norms": diagnostics.measured(jax.tree.map(jnp.subtract, new, old)).norms,
            "rounded_away": moved.rounded_away,
            "next_finite": moved.finite,
            "fixed": moved.unmoved & diagnostics.same(others, then),
        }
        return values, after

    def diagnose(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """`see`, then `follow`: what a snapshot holds, and the state after the next step."""
        values, gradients, moments = self.see(state, images, labels, order, knobs)
        step, after = self.follow(state, gradients, moments, knobs)
        return values | step, after

    @property
    def held_out(self) -> Callable[[Weights, Array, Array, Knobs], Array | Fit]:
        """(weights, images, labels, knobs) -> the accuracy, or a regression's Fit."""
        return self.fit if self.step.form == "regression" else self.accuracy

    def accuracy(self, weights: Weights, images: Array, labels: Array, knobs: Knobs) -> Array:
        """The share of the images that get the right answer."""
        logits = self.step.evaluate(weights, pixels(images, knobs), knobs)
        return jnp.mean(diagnostics.correct(logits, labels))

    def reported(self, weights: Weights, images: Array, labels: Array, knobs: Knobs) -> Array:
        """The accuracy on these images as the run's program reports it; see REPORTS."""
        logits, takes_nan = self._reported_logits(weights, images, knobs)
        rows = list(REPORTS.values())
        right = lax.switch(knobs.report, [row.right for row in rows], logits, labels)
        unknown = jnp.any(jnp.isnan(logits), axis=-1) & ~takes_nan
        return jnp.mean(jnp.where(unknown, jnp.nan, right))

    def reports(self, weights: Weights, images: Array, labels: Array, knobs: Knobs) -> Array:
        """That accuracy, the mean loss of the same logits, and that of the true ones: [3]."""
        accuracy = self.reported(weights, images, labels, knobs)
        said, _ = self._reported_logits(weights, images, knobs)
        true = self.step.evaluate(weights, pixels(images, knobs), knobs)
        both = jnp.concatenate([said, true]), jnp.concatenate([labels, labels])
        losses, _ = losses_and_slopes(self.step.form, *both, knobs, self.step.shape.formula)
        means = jnp.mean(diagnostics.wide(losses).reshape(2, -1), axis=-1)
        return jnp.concatenate([accuracy[None], means]).astype(jnp.float32)

    def _reported_logits(
        self, weights: Weights, images: Array, knobs: Knobs
    ) -> tuple[Array, Array]:
        """The logits that the run's program reports from, and whether NaN is an answer there."""
        rows, step, key = list(REPORTS.values()), self.step, test_key(knobs)
        drops, scales, takes_nan = (
            jnp.array([getattr(row, name) for row in rows])[knobs.report]
            for name in ("drops", "scales", "takes_nan")
        )
        x = jnp.where(scales, pixels(images, knobs), images.astype(jnp.float32))
        passes = [partial(step.evaluate, weights, knobs=knobs, key=each) for each in (key, None)]
        return lax.cond(drops, *passes, x), takes_nan

    def fit(self, weights: Weights, inputs: Array, targets: Array, knobs: Knobs) -> Fit:
        """How well a regression predicts held-out series."""
        predictions = self.step.evaluate(weights, inputs, knobs)
        return Fit(
            diagnostics.squared_error(predictions, targets),
            diagnostics.squared_error(inputs, targets),
            *(each[:SHOWN] for each in (inputs, targets, diagnostics.wide(predictions))),
        )

    def _probe(self, weights: Weights, images: Array, labels: Array, knobs: Knobs) -> _Probe:
        step, labels = self.step, labels[: self.size]
        x, params = pixels(images[: self.size], knobs), weights.params
        how: dict[str, Any] = {"drop": dropping(knobs), "norm": norming(knobs, weights.running)}

        def logits_and_units(x: Array) -> tuple[Array, list[Array]]:
            logits, hidden = step.logits_and_layers(params, x, **how)
            return logits, [layer.units for layer in hidden]

        logits, units = step.model.at_test(logits_and_units, x)
        return _Probe(x, labels, logits, units)

    def _answers(
        self, weights: Weights, probe: _Probe, kinds: Array, knobs: Knobs, key: Array
    ) -> dict[str, Any]:
        """What is measured of right and wrong answers; a regression gives none."""
        if self.step.form == "regression":
            return diagnostics.unanswered(probe.logits, kinds)
        is_correct = diagnostics.correct(probe.logits, probe.labels)
        p = diagnostics.probability(probe.logits, probe.labels)
        step = self.step
        ends = clip_range(step.form, knobs, step.precision.loss.dtype, step.shape.formula)
        p, low, high = map(diagnostics.wide, (p, *ends))
        return {
            "train_accuracy": jnp.mean(is_correct),
            "next_label": diagnostics.next_label(probe.logits, probe.labels),
            "one_answer": diagnostics.one_answer(probe.logits),
            "saturation": diagnostics.saturation(p, kinds, low, high),
            "census": diagnostics.census(is_correct, kinds),
            "margins": diagnostics.margin(diagnostics.wide(probe.logits), probe.labels),
            "labels": probe.labels,
            "correct": is_correct,
            **self._dropped(weights, probe, knobs, key),
        }

    def _dropped(
        self, weights: Weights, probe: _Probe, knobs: Knobs, key: Array
    ) -> dict[str, Array]:
        """What dropping units does to the answers; NaN, at no cost, if no unit is dropped."""
        drop, nothing = dropping(knobs), (jnp.float32(jnp.nan),) * 2
        if not self.step.drops:
            return dict(zip(("dropped_accuracy", "flipped"), nothing, strict=True))
        x, whole = probe.x[:DROPPED], answers(probe.logits[:DROPPED])
        labels = probe.labels[:DROPPED]

        def measured(weights: Weights) -> tuple[Array, Array]:
            norm = norming(knobs, weights.running)
            apply = partial(self.step.apply, weights.params, rng=key, drop=drop, norm=norm)
            left = answers(self.step.model.at_test(apply, x))
            mean = partial(jnp.mean, dtype=jnp.float32)
            return mean(left == labels), mean(left != whole)

        drops = drop.keep_prob < 1
        accuracy, flipped = lax.cond(drops, measured, lambda weights: nothing, weights)
        return {"dropped_accuracy": accuracy, "flipped": flipped}

    def _in_float32(
        self,
        state: State,
        batch: Batch,
        probed: Array,
        slopes: Array,
        gradients: Params,
        knobs: Knobs,
    ) -> dict[str, Any]:
        """The largest numbers of this step in float32, and what share vanished in 16 bits."""
        network = self.step.network
        params, slopes = cast((state.params, slopes), jnp.float32)

        def passed(*arguments: Any, **how: Any) -> tuple[Array, tuple[()]]:
            return network.apply(*arguments, **how), ()

        _, pull_back, _ = forward(passed, params, batch.x, knobs, batch.key)
        exact = batch_gradient(pull_back, slopes, knobs, filled=self.step.filled(state))
        norm = norming(knobs, state.running)

        def layers_and_logits(x: Array) -> tuple[Any, Array]:
            logits, hidden = network.passed(params, x, norm=norm)
            return [layer[:2] for layer in hidden], logits

        activations = self.step.model.at_test(layers_and_logits, probed)
        largest = Largest(*map(diagnostics.largest, (activations, exact, params)))
        if state.scaler:
            largest = largest._replace(gradient=largest.gradient * state.scaler.scale)
        return {"largest": largest, "vanished": diagnostics.vanished(gradients, exact)}
