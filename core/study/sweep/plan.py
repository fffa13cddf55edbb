"""Plan: the runs of a sweep. Frozen, validated, and readable from and writable to JSON."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from core.config import FIELDS, RunConfig
from core.fields import Choice, Range
from core.parts.losses import LOSSES

VERSION = 1  # of the JSON and of the table
MOST = 100_000  # cells


@dataclass(frozen=True, kw_only=True)
class Span:
    """Numbers from `low` to `high`, drawn uniformly, or uniformly in their logarithm."""

    low: float
    high: float
    log: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> list[float]:
        """Draw `count` numbers."""
        if not self.log:
            return rng.uniform(self.low, self.high, count).tolist()
        drawn = np.exp(rng.uniform(math.log(self.low), math.log(self.high), count))
        return np.clip(drawn, self.low, self.high).tolist()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Random cells instead of a grid: `count` of them, drawn with `seed`."""

    count: int
    seed: int = 0


Axis = tuple[Any, ...] | Span


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A grid over the values of each axis, or a random sample of them; all else is as in `base`.

    The cells of a grid are in the order of its axes, the last one changing fastest. A sample draws
    each axis independently: one of its values, or a number from its span. If the loss is an axis
    and epsilon is not, each loss has its own epsilon, as in its framework.

    Raises:
      ValueError: there is no axis, an axis is empty or not a field, a value is not allowed, or
        there are too many cells; the message says which, and what is allowed.
    """

    base: RunConfig = field(default_factory=RunConfig)
    axes: Mapping[str, Axis] = field(default_factory=dict)
    sample: Sample | None = None

    def __post_init__(self) -> None:
        if not self.axes:
            raise ValueError("a sweep needs at least one axis")
        for name, axis in self.axes.items():
            _check(name, axis, self.sample is not None)
        if self.sample is not None and not _count(self.sample.count) > 0:
            raise ValueError(
                f"sample count is {self.sample.count!r}; allowed is a whole number > 0"
            )
        if self.size > MOST:
            raise ValueError(f"this sweep has {self.size:,} cells; allowed are up to {MOST:,}")

    @property
    def size(self) -> int:
        """The number of cells."""
        if self.sample is not None:
            return self.sample.count
        return math.prod(len(axis) for axis in self.axes.values() if isinstance(axis, tuple))

    @cached_property
    def values(self) -> list[tuple[Any, ...]]:
        """The values of the axes in each cell."""
        if self.sample is None:
            return list(product(*self.axes.values()))  # type: ignore[arg-type]
        rng = np.random.default_rng(self.sample.seed)
        columns = [_drawn(name, axis, rng, self.sample.count) for name, axis in self.axes.items()]
        return list(zip(*columns, strict=True))

    @cached_property
    def cells(self) -> list[RunConfig]:
        """The configuration of each cell.

        Raises:
          ValueError: the values of a cell do not fit together.
        """
        base = self.base.differences()
        cells = (dict(zip(self.axes, values, strict=True)) for values in self.values)
        return [RunConfig(**{**base, **self._own_epsilon(cell), **cell}) for cell in cells]

    def _own_epsilon(self, cell: Mapping[str, Any]) -> dict[str, float]:
        own = LOSSES[cell["loss"]].epsilon if "loss" in cell else None
        return {} if own is None else {"epsilon": own}

    @cached_property
    def key(self) -> str:
        """A name for the sweep; different plans have different keys."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.key)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _check(name: str, axis: Axis, sampled: bool) -> None:
    if name not in FIELDS:
        raise ValueError(f"{name!r} is not an axis; allowed are {', '.join(FIELDS)}")
    allowed = FIELDS[name]
    if isinstance(axis, Span):
        if not sampled:
            raise ValueError(f"axis {name} is a span, of which there is no grid: list its values")
        if not isinstance(allowed, Range):
            raise ValueError(f"axis {name} has no numbers: list its values")
        if axis.low > axis.high or (axis.log and axis.low <= 0):
            raise ValueError(f"axis {name} goes from {axis.low} to {axis.high}; low comes first")
        ends = [axis.low, axis.high]
        values = [int(end) if allowed.whole else end for end in ends]
    else:
        values = list(axis)
    if not values:
        raise ValueError(f"axis {name} is empty: list its values")
    for value in values:
        if fault := allowed.fault(value):
            raise ValueError(f"axis {name} has {value!r}; {fault}")
    if not isinstance(axis, Span) and len(set(values)) < len(values):
        raise ValueError(f"axis {name} has a value twice")


def _drawn(name: str, axis: Axis, rng: np.random.Generator, count: int) -> list[Any]:
    if isinstance(axis, tuple):
        return [axis[i] for i in rng.integers(len(axis), size=count)]
    allowed, drawn = FIELDS[name], axis.draw(rng, count)
    whole = isinstance(allowed, Range) and allowed.whole
    return [round(value) for value in drawn] if whole else drawn


# As JSON.


def to_json(plan: Plan) -> str:
    """Write the plan as text that `from_json` can read."""

    def axis(values: Axis) -> Any:
        if isinstance(values, Span):
            return {"low": values.low, "high": values.high, "log": values.log}
        return list(values)

    document: dict[str, Any] = {
        "version": VERSION,
        "base": plan.base.differences(),
        "axes": {name: axis(values) for name, values in plan.axes.items()},
    }
    if plan.sample is not None:
        document["sample"] = {"count": plan.sample.count, "seed": plan.sample.seed}
    return json.dumps(document, indent=1)


def from_json(text: str) -> Plan:
    """Read a plan from text.

    Raises:
      ValueError: the text is not a plan, or one of another version; the message says why.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("the plan is not JSON: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the plan is not JSON: {error}") from error
    if not isinstance(document, dict) or "axes" not in document:
        raise ValueError('a plan is {"version": 1, "base": {…}, "axes": {"seed": [0, 1]}}')
    if (version := document.get("version")) != VERSION:
        raise ValueError(f"the plan is of version {version!r}; this program reads {VERSION}")
    if unknown := document.keys() - {"version", "base", "axes", "sample"}:
        raise ValueError(f"a plan has no {', '.join(sorted(unknown))}")
    try:
        base = {name: _value(name, value) for name, value in document.get("base", {}).items()}
        axes = {name: _axis(name, values) for name, values in document["axes"].items()}
        sample = Sample(**document["sample"]) if document.get("sample") is not None else None
        config = RunConfig(**base)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the plan cannot be read: {error}") from error
    return Plan(base=config, axes=axes, sample=sample)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    field = FIELDS.get(name)
    # A formula may be written in more than one way.
    return field.parse(value) if isinstance(field, Choice) and isinstance(value, str) else value


def _axis(name: str, values: Any) -> Axis:
    if isinstance(values, dict):
        return Span(**values)
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"an axis is a list of values or a span, not {values!r}")
    return tuple(_value(name, value) for value in values)
