"""Which rule, with which numbers, turns the recorded gradients into the recorded steps.

Each rule is fitted to u = w(k) - w(k + 1) over the first steps, each number weighted by what
rounding can do to it: half a unit in the last place of the weight, and a little of the step. The
rate is linear and solved; the other numbers are searched on a grid and then by Gauss and Newton.
If no rule fits with one rate, each step is given a rate of its own.
Numbers are then rounded to as few digits as serve.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.study.compare import formats
from core.study.compare.pieces import Candidate, Facets, Fit, alike, plainest
from core.study.compare.recording import Array, Recording
from core.study.compare.rules import RULES, Rule, decay_by_signs
from core.study.compare.schedules import Schedule
from core.study.compare.steps import Data, data, frozen

_COARSE = 160  # how many weights are looked at on a grid
_SURE = 2.0  # a misfit, in units of rounding, that is still rounding
_COMMON = ("sgd", "momentum", "adam", "adam_keras")
_USUAL = {
    "beta": (0.5, 0.9, 0.95, 0.99),
    "beta_2": (0.9, 0.95, 0.99, 0.999),
    "epsilon": (1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    "start": (0.0, 0.1, 1.0),
}
_RATES = tuple(n * 10.0**k for k in range(-5, 1) for n in (1, 2, 3, 5))
_DECAYS = (1e-4, 5e-4, 2e-3, 5e-3, 1e-2, 3e-2, 0.1)


@dataclass(frozen=True)
class Form:
    """A rule with a form of decay and of clipping."""

    rule: Rule
    decay: str = ""  # coupled, decoupled
    of: str = ""  # all, kernels
    clip: str = ""  # all together, each by itself
    rates: str = ""  # of each step another: of the sum, or of each gradient in it

    @property
    def grid(self) -> dict[str, tuple[float, ...]]:
        """The numbers to search, with values to start from."""
        grid = dict(self.rule.grid)
        if self.decay == "coupled" or (self.decay and self.rates):
            grid["decay"] = _DECAYS
        return grid

    @property
    def complexity(self) -> int:
        """How much is added to the rule."""
        return bool(self.decay) + bool(self.clip) + 2 * bool(self.rates)


def fit_update(recording: Recording) -> Fit:
    """Fit the steps of all parameters that move."""
    still = {*frozen(recording)}
    all_of_it = data(recording, {*recording.params(0)} - still)
    if all_of_it is None:
        return Fit()
    coarse = all_of_it.some(_COARSE)
    tried = _searched(all_of_it, coarse, [Form(rule) for rule in RULES], 8)
    if not any(c.fits for c in tried):
        near = [form.rule for c in tried if (form := form_of(c.facets))]
        tried += _searched(all_of_it, coarse, list(_forms(near)), 8)
    if not any(c.fits for c in tried) and len(all_of_it.u) > 1:
        tried += _searched(all_of_it, coarse, list(_scheduled()), 8)
    tried += [c for best in [c for c in tried if c.fits][:6] for c in _others(all_of_it, best)]
    return Fit(plainest(tried), lambda facets: _judged(all_of_it, facets))


def _forms(near: list[Rule]) -> Iterator[Form]:
    """The rules that came near, and the commonest, with each form of decay and clipping."""
    for rule in [rule for rule in RULES if rule in near or rule.keys[0] in _COMMON]:
        for decay in ("coupled", "decoupled"):
            for of in ("all", "kernels"):
                yield Form(rule, decay, of)
        for clip in ("all together", "each by itself"):
            yield Form(rule, clip=clip)


def _scheduled() -> Iterator[Form]:
    """All rules with a rate for each step, and the commonest with decay, too."""
    for rule in RULES:
        yield Form(rule, rates="of the sum")
        if rule.name == "momentum":
            yield Form(rule, rates="of each gradient")
        for decay in ("coupled", "decoupled") if rule.keys[0] in _COMMON else ():
            yield from (Form(rule, decay, of, rates="of the sum") for of in ("all", "kernels"))


def _searched(d: Data, coarse: Data, forms: list[Form], keep: int) -> list[Candidate]:
    """Search each form on a grid of few weights, and the best of them closely on more."""
    starts: list[tuple[float, int, Form, list[dict[str, float]]]] = []
    for i, form in enumerate(forms):
        each = sorted(((_misfit(coarse, form, n), j, n) for j, n in enumerate(_grid(form, coarse))),
                      key=lambda start: start[:2])  # fmt: skip
        # The misfit has many valleys along a clip, one between any two norms.
        count = 6 if form.clip and not form.rule.squares else 1
        starts.append((each[0][0], i, form, [numbers for *_, numbers in each[:count]]))
    starts.sort(key=lambda start: start[:2])
    # A plain rule with a clip has few numbers to come near with on a grid, but is soon searched.
    plain = [start for start in starts[keep:] if not start[2].rule.squares and start[2].clip]
    found = []
    for _, _, form, each_start in starts[:keep] + plain:
        close = min((_newton(coarse, form, numbers) for numbers in each_start),
                    key=lambda numbers: _misfit(coarse, form, numbers))  # fmt: skip
        found.append(_candidate(d, form, _rounded(d, form, _newton(d, form, close))))
    return found


def _grid(form: Form, d: Data) -> Iterator[dict[str, float]]:
    grid = form.grid
    if form.decay == "coupled":
        own = d.kernel > 0 if form.of == "kernels" else d.kernel >= 0
        grid["decay"] += decay_by_signs(d.g[0, own], d.w[0, own], d.u[0, own])
    if form.clip:
        # Between two norms it is always the same gradients that are clipped.
        norms = np.unique(_norms(d, form.clip))
        between = np.concatenate([norms[:1] / 2, (norms[1:] + norms[:-1]) / 2])
        count = 24 if len(grid) < 2 else 6
        at = np.unique(np.linspace(0, len(between) - 1, count).astype(np.intp))
        grid["most"] = tuple(float(most) for most in between[at])
    if len(grid) > 3:  # a form with more to search has the usual betas and epsilon
        searched = ("most", "decay")
        grid = {key: values if key in searched else values[:1] for key, values in grid.items()}
    names = list(grid)

    def combined(i: int) -> Iterator[dict[str, float]]:
        if i == len(names):
            yield {}
            return
        for value in grid[names[i]]:
            for rest in combined(i + 1):
                yield {names[i]: value, **rest}

    return combined(0)


def _norms(d: Data, clip: str) -> Array:
    """The norm that a weight's gradient is clipped by: [steps, weights], or [steps, 1]."""
    if clip == "each by itself":
        return d.norms[:, d.tensor]
    return np.sqrt(np.sum(d.norms**2, axis=1, keepdims=True))


def _columns(d: Data, form: Form, numbers: Mapping[str, float]) -> list[Array]:
    """What the step is a sum of, each times a number: the rule's step, and decoupled decay."""
    g = d.g
    if form.clip:
        g = g * np.minimum(1, numbers["most"] / np.maximum(_norms(d, form.clip), 1e-300))
    of = d.kernel if form.of == "kernels" else np.ones_like(d.kernel)
    if form.decay == "coupled":
        g = g + numbers["decay"] * of * d.w
    if form.rates:
        return _by_step(d, form, g, numbers)
    columns = [form.rule.steps(g, numbers)]
    return [*columns, d.w * of] if form.decay == "decoupled" else columns


def _by_step(d: Data, form: Form, g: Array, numbers: Mapping[str, float]) -> list[Array]:
    """What each step's rate is multiplied with, in all steps."""
    at = np.eye(len(g), dtype=bool)[:, :, None]
    if form.rates == "of each gradient":
        return [form.rule.steps(np.where(own, g, 0.0), numbers) for own in at]
    steps = form.rule.steps(g, numbers)
    if form.decay == "decoupled":
        steps = steps + numbers["decay"] * d.w * (d.kernel if form.of == "kernels" else 1)
    return [np.where(own, steps, 0.0) for own in at]


def _rates_of(columns: list[Array], target: Array) -> tuple[Array, Array]:
    """The rate of each step, and what they leave."""
    x = np.stack(columns, axis=1)
    square = x.T @ x
    if not np.all(np.isfinite(square)):
        return np.zeros(len(columns)), target
    rates = np.linalg.lstsq(square, x.T @ target, rcond=1e-14)[0]
    return rates, target - x @ rates


def _solved(d: Data, form: Form, numbers: Mapping[str, float]) -> tuple[Array, Array]:
    """The rate and, if decoupled, the rate of decay; and what they leave, in units of rounding.

    If each step has its own rate, all of them, and what they leave.
    """
    inverse, target = d.weighted[form.rule.squares]
    columns = [(c * inverse).reshape(-1) for c in _columns(d, form, numbers)]
    if form.rates:
        return _rates_of(columns, target)
    if len(columns) == 1:
        size = float(columns[0] @ columns[0])
        rate = float(columns[0] @ target) / size if 0 < size < math.inf else 0.0
        return np.array([rate]), target - rate * columns[0]
    x, y = columns
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    whole = xx * yy - xy * xy
    if not 1e-14 * xx * yy < whole < math.inf:
        return np.zeros(2), target
    p, q = float(x @ target), float(y @ target)
    rates = np.array([(yy * p - xy * q) / whole, (xx * q - xy * p) / whole])
    return rates, target - rates[0] * x - rates[1] * y


def _rms(left: Array) -> float:
    value = float(np.sqrt(np.mean(left * left)))
    return value if math.isfinite(value) else math.inf


def _misfit(d: Data, form: Form, numbers: Mapping[str, float]) -> float:
    return _rms(_solved(d, form, numbers)[1])


_BELOW_ONE = ("beta", "beta_2")
# Of 1 - beta and of all else. Beyond them a rule turns into another one: Adam with an epsilon far
# above the gradients is momentum.
_LIMITS = {"beta": (1e-3, 0.9), "beta_2": (1e-5, 0.7), "epsilon": (1e-16, 0.1), "start": (1e-8, 10)}


def _inward(name: str, value: float) -> float:
    """A number as one without limits: 1 - beta and all else by their logarithms."""
    return math.log(max(1 - value if name in _BELOW_ONE else value, 1e-16))


def _outward(name: str, value: float) -> float:
    low, high = _LIMITS.get(name, (1e-8, 1e8))
    e = min(max(math.exp(min(value, 40.0)), low), high)
    return 1 - e if name in _BELOW_ONE else e


def _newton(d: Data, form: Form, numbers: Mapping[str, float]) -> dict[str, float]:
    """Improve the numbers by steps of Gauss and Newton, damped as Levenberg and Marquardt do."""
    names = [name for name, value in numbers.items() if value not in (0, 1)]
    fixed = {name: numbers[name] for name in numbers if name not in names}
    x = np.array([_inward(name, numbers[name]) for name in names])

    def left(x: Array) -> Array:
        each = {name: _outward(name, v) for name, v in zip(names, x, strict=True)}
        return _solved(d, form, {**fixed, **each})[1]

    now, damping = left(x), 1e-3
    for _ in range(12 if names else 0):
        slopes = np.stack([(left(x + h) - now) / 1e-5 for h in 1e-5 * np.eye(len(x))], axis=1)
        square = slopes.T @ slopes
        if not np.all(np.isfinite(square)):
            break
        step = np.linalg.solve(
            square + damping * np.diag(np.diag(square)) + 1e-12 * np.eye(len(x)), -slopes.T @ now
        )
        tried = left(x + np.clip(step, -2, 2))
        if _rms(tried) < _rms(now):
            done = _rms(now) - _rms(tried) < 1e-6 * _rms(now)
            x, now, damping = x + np.clip(step, -2, 2), tried, damping / 5
            if done:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return {**fixed, **{name: _outward(name, v) for name, v in zip(names, x, strict=True)}}


def _enough(least: float) -> float:
    """The misfit up to which other numbers serve as well as the best."""
    return min(_SURE, max(1.1 * least + 0.02, 0.1)) if least <= _SURE else _SURE


def _rounded(d: Data, form: Form, numbers: dict[str, float]) -> dict[str, float]:
    """Round each number to as few digits as leave no more."""
    enough = max(_enough(_misfit(d, form, numbers)), 1.02 * _misfit(d, form, numbers))
    for name in sorted(numbers, key=lambda n: n in ("epsilon", "start")):
        for digits in (1, 2, 3):
            value = numbers[name]
            beta = name in _BELOW_ONE
            near = (
                1 - formats.snapped(1 - value, digits) if beta else formats.snapped(value, digits)
            )
            trial = {**numbers, name: near}
            if _misfit(d, form, trial) <= enough:
                numbers = trial
                break
    return {name: float(f"{value:.12g}") for name, value in numbers.items()}


def _candidate(d: Data, form: Form, numbers: Mapping[str, float]) -> Candidate:
    rates, left = _solved(d, form, numbers)
    least = _rms(left)
    rate: float | Schedule = _rate(form, rates, 6)
    for digits in (1, 2, 3) if not form.rates else (2, 3, 4, 5):
        near = _rate(form, rates, digits)
        misfit = _rms(_left(d, form, numbers, near, rates[1:]))
        if misfit <= max(_enough(least), 1.02 * least, 0.5):
            rate = near
            break
    else:
        rate = rate if form.rates else float(rates[0])
    facets = {"rule": form.rule.name, "form": form.rule.form, "rate": rate, **numbers}
    if form.decay:
        decay = numbers.get("decay", float(rates[-1] / rates[0]) if rates[0] else 0.0)
        facets |= {"decay_form": form.decay, "decay_of": form.of,
                   "decay": formats.snapped(decay, 2)}  # fmt: skip
    if form.clip:
        facets |= {"clip": form.clip, "most": formats.snapped(numbers["most"], 3)}
    return _told(d, form, facets, least)


def _rate(form: Form, rates: Array, digits: int) -> float | Schedule:
    """The rate, or all of them, rounded to some digits."""
    if form.rates:
        each = tuple(formats.snapped(float(rate), digits) for rate in rates)
        return Schedule(each, form.rates == "of each gradient")
    return formats.snapped(float(rates[0]), digits)


def _step(columns: list[Array], rate: float | Schedule, decay: float) -> Array:
    """The steps; `decay` is the rate of decay, if it is apart from the gradient."""
    if isinstance(rate, Schedule):
        return np.sum([r * c for r, c in zip(rate.rates, columns, strict=False)], axis=0)
    return rate * columns[0] + (decay * columns[1] if len(columns) > 1 else 0)


def _left(
    d: Data, form: Form, numbers: Mapping[str, float], rate: float | Schedule, more: Array
) -> Array:
    step = _step(_columns(d, form, numbers), rate, more[0] if len(more) else 0.0)
    inverse, target = d.weighted[form.rule.squares]
    return target - (step * inverse).reshape(-1)


def _told(d: Data, form: Form, facets: dict[str, Any], misfit: float) -> Candidate:
    """A candidate whose residual is relative to the steps: the misfit times what rounding makes."""
    unit = _rms(1 / d.weighted[form.rule.squares][0]) / max(_rms(d.u), 1e-300)
    return Candidate(facets, misfit * unit, _SURE * unit, form.complexity + _unusual(facets))


def _unusual(facets: Facets) -> int:
    """1 for numbers that nobody would write, as where one rule imitates another."""
    epsilon, start = facets.get("epsilon", 1e-8), facets.get("start", 0.0)
    usual = [
        1e-12 <= epsilon <= 1e-3 and alike(epsilon, 10.0 ** round(math.log10(max(epsilon, 1e-30)))),
        facets.get("beta_2", 0.9) < 0.99995,
        start == 0 or alike(start, formats.snapped(start, 1)),
        *(alike(1 - facets.get(b, 0.9), formats.snapped(1 - facets.get(b, 0.9), 1))
          for b in _BELOW_ONE),
    ]  # fmt: skip
    return int(not all(usual))


def form_of(facets: Facets) -> Form | None:
    """Return the rule, decay and clipping that facets name."""
    rule = next((r for r in RULES if (r.name, r.form) == (facets.get("rule"), facets.get("form"))),
                None)  # fmt: skip
    if rule is None:
        return None
    rate, rates = facets.get("rate"), ""
    if isinstance(rate, Schedule):
        rates = "of each gradient" if rate.inside else "of the sum"
    return Form(rule, facets.get("decay_form", ""), facets.get("decay_of", ""),
                facets.get("clip", ""), rates)  # fmt: skip


def predicted(d: Data, facets: Facets) -> Array:
    """Return the steps [steps, weights] that facets would take from these gradients."""
    form = form_of(facets)
    assert form is not None
    rate = facets["rate"]
    decay = 0.0 if isinstance(rate, Schedule) else rate * facets.get("decay", 0.0)
    return _step(_columns(d, form, facets), rate, decay)


def _named(form: Form) -> set[str]:
    """The facets that tell all of a form."""
    decay = {"decay_form", "decay_of", "decay"} if form.decay else set()
    clip = {"clip", "most"} if form.clip else set()
    return {"rule", "form", "rate", *form.rule.grid, *decay, *clip}


def _judged(d: Data, facets: Facets) -> Candidate | None:
    """What the rule, the rate and all numbers of the facets leave of these steps."""
    form = form_of(facets)
    if form is None or {*facets} != _named(form):
        return None
    rate = facets["rate"]
    if isinstance(rate, Schedule):
        if len(rate.rates) < len(d.u):
            return None
        more = np.zeros(0)
    else:
        more = np.array([rate * facets.get("decay", 0.0)])
    misfit = _rms(_left(d, form, facets, rate, more))
    return _told(d, form, dict(facets), misfit)


def _others(d: Data, best: Candidate) -> Iterator[Candidate]:
    """Other usual numbers that fit as well: what cannot be told from the steps is not claimed."""
    form = form_of(best.facets)
    assert form is not None
    numbers = {name: best.facets[name] for name in form.grid}
    if form.clip:
        numbers["most"] = best.facets["most"]
    least = _misfit(d, form, numbers)
    for rate in _RATES if form.clip else ():  # if all steps are, only rate times norm is known
        trial = {**numbers, "most": numbers["most"] * best.facets["rate"] / rate}
        if _misfit(d, form, trial) <= _enough(least):
            yield _candidate(d, form, trial)
    for name, values in ((name, _USUAL[name]) for name in form.rule.grid):
        for value in values:
            trial = {**numbers, name: value}
            if value != numbers[name] and _misfit(d, form, trial) <= _enough(least):
                yield _candidate(d, form, trial)
