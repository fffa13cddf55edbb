"""RunConfig: everything that decides a run, frozen, validated, hashable, serialisable.

A field's limits are given in its metadata and nowhere else; widgets, URLs and error messages
read them from FIELDS.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from core.data import SOURCES, Process
from core.fields import Choice, Field, Range, Widths, parse_query, to_text, written_as
from core.limits import Limits, limits
from core.parts.activations import ACTIVATIONS
from core.parts.choices import REDUCTIONS, SCALINGS, STREAMS, TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.dropout import DROPOUTS
from core.parts.initializers import BIASES, INITIALIZERS, SPREAD, uses_spread
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES, losses_for
from core.parts.models import MODELS
from core.parts.normalisations import NORM_FIELDS, NORM_TESTS, NORM_VARIANCES, NORMALISATIONS
from core.parts.optimizers import OPTIMIZERS, SETTINGS
from core.parts.order import DATA_ORDERS, LAST_BATCHES, SHUFFLES
from core.parts.precisions import PRECISIONS
from core.parts.reports import REPORTS
from core.registry import Registry


def _field(default: Any, allowed: Field) -> Any:
    return field(default=default, metadata={"allowed": allowed})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. The defaults are those of the JAX/Keras question, with its "stable" loss.

    Fields that have no effect on the run are set to their defaults, so that equal runs compare
    equal: epsilon if the loss has none, smoothing if it takes integer labels only, the dropout
    value if dropout is off, the spread of initial weights that have one of their own, biases that
    belong to the initial weights, the numbers of a normalisation that there is none of, the order
    of the images if each batch has all of them, the last batch if it is as large as the others or
    BatchNorm would see what fills it up, the buffer's size if there is no buffer, and what the
    source or the model does not use. Series need a task and a model of their own.

    The optimizer's settings are None if they are its own, by default, so that another optimizer
    comes with others; `effective` gives their values.

    `label_shift` moves the labels that the loss is given, class y to y + 1 and the last to 0, as if
    they were off by one; answers are judged by the true labels.

    `report` changes no training; one that measures the true accuracy here, as without dropout one
    that leaves it on, is set to "true".

    A batch as large as the training set means full-batch descent, with the images in their
    original order: a mean or sum over all of them depends on their order by rounding only. Smaller
    batches are cut from an order that is drawn, with every image once, as `data_order` and
    `shuffle` say; `last_batch` says whether images left over at the end of an epoch are used.

    Raises:
      ValueError: names the field, the value and what is allowed.
    """

    source: str = _field("sample", Choice(SOURCES))
    train_size: int = _field(1000, Range(10, 60_000, whole=True))  # images
    task: str = _field("binary", Choice(TASKS))
    scaling: str = _field("raw", Choice(SCALINGS))
    model: str = _field("mlp", Choice(MODELS))
    widths: tuple[int, ...] = _field((1000,), Widths(Range(1, 16_384, whole=True), most=8))
    initializer: str = _field("glorot_normal", Choice(INITIALIZERS))
    biases: str = _field("own", Choice(BIASES))
    initial_spread: float = _field(SPREAD, Range(1e-6, 10))
    activation: str = _field("relu", Choice(ACTIVATIONS))
    normalisation: str = _field("none", Choice(NORMALISATIONS))
    # The share of a running average that a batch leaves: PyTorch's momentum is 1 minus this.
    norm_momentum: float = _field(0.9, Range(0, 0.9999))
    norm_epsilon: float = _field(1e-5, Range(1e-12, 1))
    norm_variance: str = _field("biased", Choice(NORM_VARIANCES))
    norm_test: str = _field("running", Choice(NORM_TESTS))
    stream: str = _field("original", Choice(STREAMS))
    seed: int = _field(0, Range(0, 2**31 - 1, whole=True))
    loss: str = _field("question_stable", Choice(LOSSES))
    epsilon: float = _field(1e-6, Range(1e-12, 0.499))
    loss_input: str = _field("logits", Choice(LOSS_INPUTS))
    reduction: str = _field("mean", Choice(REDUCTIONS))
    loss_weight: float = _field(1.0, Range(1e-8, 1e3))
    label_smoothing: float = _field(0.0, Range(0, 1))
    label_shift: int = _field(0, Range(0, 1, whole=True))  # added to the labels trained on
    dropout: str = _field("off", Choice(DROPOUTS))
    dropout_value: float = _field(0.5, Range(0.05, 0.95))
    precision: str = _field("float32", Choice(PRECISIONS))
    optimizer: str = _field("sgd", Choice(OPTIMIZERS))
    learning_rate: float = _field(0.01, Range(1e-8, 1e3))
    momentum: float | None = _field(None, Range(0, 0.9999))
    beta_2: float | None = _field(None, Range(0, 0.999999))
    optimizer_epsilon: float | None = _field(None, Range(0, 1))
    decay_form: str = _field("off", Choice(DECAY_FORMS))
    weight_decay: float = _field(0.01, Range(1e-6, 10))
    clip_form: str = _field("off", Choice(CLIP_FORMS))
    clip_norm: float = _field(1.0, Range(1e-6, 1e3))
    batch_size: int = _field(1000, Range(1, 60_000, whole=True))  # images
    epochs: int = _field(10, Range(1, 1000, whole=True))
    data_order: str = _field("as_is", Choice(DATA_ORDERS))
    shuffle: str = _field("every_epoch", Choice(SHUFFLES))
    last_batch: str = _field("dropped", Choice(LAST_BATCHES))
    shuffle_buffer: int = _field(1000, Range(1, 60_000, whole=True))  # images
    report: str = _field("true", Choice(REPORTS))
    # For series only; core.data.Process explains each.
    x0: float = _field(Process().x0, Range(-10, 10))
    mu: float = _field(Process().mu, Range(-10, 10))
    tau: float = _field(Process().tau, Range(0.01, 100))
    sigma: float = _field(Process().sigma, Range(0, 10))
    noise: float = _field(Process().noise, Range(0, 10))
    dt: float = _field(Process().dt, Range(0.001, 10))

    def __post_init__(self) -> None:
        for name, allowed in FIELDS.items():
            value = getattr(self, name)
            if name in SETTINGS and value is None:
                continue
            if fault := allowed.fault(value):
                raise ValueError(f"{name} is {value!r}; {fault}")
            if isinstance(allowed, Range) and not allowed.whole:
                object.__setattr__(self, name, float(value))  # JSON may write 1 for 1.0
        for name in BY_SOURCE:
            if (key := getattr(self, name)) not in (rows := rows_for(name, self.source)):
                raise ValueError(
                    f"{name} is {key!r}; allowed for source {self.source} are {', '.join(rows)}"
                )
        if self.train_size > (most := SOURCES[self.source].train_size):
            raise ValueError(
                f"train_size is {self.train_size}; allowed for source {self.source} "
                f"is a whole number from 10 to {most}"
            )
        if self.batch_size > self.train_size:
            raise ValueError(
                f"batch_size is {self.batch_size}; allowed is a whole number from 1 to "
                f"{self.train_size}, the number of training images"
            )
        if not _fits(self.loss, self.task):
            raise ValueError(
                f"loss is {self.loss!r}; allowed for task {self.task} "
                f"are {', '.join(losses_for(TASKS[self.task].form))}"
            )

        for name in self.ignored():
            object.__setattr__(self, name, getattr(RunConfig, name))
        if self.report not in reports_for(vars(self)):
            object.__setattr__(self, "report", RunConfig.report)
        for name in SETTINGS:
            if getattr(self, name) == OPTIMIZERS[self.optimizer].own(name):
                object.__setattr__(self, name, None)

    def ignored(self) -> tuple[str, ...]:
        """The fields that have no effect on this run."""
        epsilon = ("epsilon",) if LOSSES[self.loss].epsilon is None else ()
        value = ("dropout_value",) if self.dropout == "off" else ()
        smoothing = () if takes_smoothing(vars(self)) else ("label_smoothing",)
        spread = unused_by_weights(vars(self))
        buffer = ("shuffle_buffer",) if self.shuffle != "buffer" else ()
        order = ORDER if self.full_batch else buffer
        ignores = MODELS[self.model].ignores
        whole = self.train_size % self.batch_size == 0
        normed = "normalisation" not in ignores and NORMALISATIONS[self.normalisation].test_batch
        last = ("last_batch",) if whole or normed else ()
        norm = unused_by_norm(vars(self))
        unused = [*norm, *unused_by_step(vars(self)), *order, *last, *unused_by(self.source)]
        return tuple(dict.fromkeys([*epsilon, *smoothing, *value, *spread, *unused, *ignores]))

    def effective(self, name: str) -> Any:
        """A field's value; for a setting of the optimizer its own where the field is None."""
        value = getattr(self, name)
        return OPTIMIZERS[self.optimizer].own(name) if value is None else value

    @property
    def loss_as_written(self) -> bool:
        """Whether an example's loss is what its row of LOSSES gives its logits and its label."""
        return self.loss_input == "logits" and not (self.label_smoothing or self.label_shift)

    @property
    def process(self) -> Process:
        """The process that series are drawn from."""
        return Process(*(getattr(self, name) for name in Process._fields))

    @property
    def full_batch(self) -> bool:
        """Whether every step uses all images."""
        return self.batch_size == self.train_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches in the training set: the whole ones, and the last one if it is kept."""
        return self.train_size // self.batch_size + LAST_BATCHES[self.last_batch].kept

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch

    def differences(self) -> dict[str, Any]:
        """The fields that differ from the defaults; RunConfig(**differences) rebuilds it."""
        default = asdict(RunConfig())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


BY_SOURCE: dict[str, Registry[Any]] = {"task": TASKS, "model": MODELS}
ORDER = ("data_order", "shuffle", "shuffle_buffer")


def rows_for(name: str, source: str) -> tuple[str, ...]:
    """The keys of the tasks (or models) that fit a source: for series or for images."""
    return tuple(k for k, row in BY_SOURCE[name].items() if row.series == SOURCES[source].series)


def unused_by(source: str) -> tuple[str, ...]:
    """The fields that a source does not use: those of images, or those of series."""
    of_loss = ("loss_input", "label_smoothing", "label_shift")
    of_images = ("scaling", *of_loss, "data_order", "report")
    return of_images if SOURCES[source].series else Process._fields


def reports_for(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of REPORTS that differ from the true accuracy with these values, and "true"."""
    rows = REPORTS.items()
    return tuple(key for key, row in rows if not row.same or values[row.same[0]] != row.same[1])


def _fits(loss: str, task: str) -> bool:
    """Whether a loss, which may be a formula, is one of a task."""
    return getattr(LOSSES[loss], TASKS[task].form) is not None


def takes_smoothing(values: Mapping[str, Any]) -> bool:
    """Whether the loss with these values takes probabilities as targets, not only integers.

    A formula does not: it need not be linear in y.
    """
    given, loss = LOSS_INPUTS[values["loss_input"]], LOSSES[values["loss"]]
    if loss.formula is not None and not given.instead:
        return False
    integers = given.integers if given.instead else loss.integers
    return not (integers and TASKS[values["task"]].form == "softmax")


def unused_by_weights(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings of initial weights that have no effect with these values."""
    own = values["biases"] == INITIALIZERS[values["initializer"]].own_biases
    spread = () if uses_spread(values["initializer"], values["biases"]) else ("initial_spread",)
    return (*(("biases",) if own else ()), *spread)


def unused_by_step(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that the optimizer, the decay and the clipping with these values do not use."""
    row = OPTIMIZERS[values["optimizer"]]
    decay = ("weight_decay",) if values["decay_form"] == "off" else ()
    clip = ("clip_norm",) if values["clip_form"] == "off" else ()
    return (*(name for name in SETTINGS if row.own(name) is None), *decay, *clip)


def unused_by_norm(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings of a normalisation that have no effect with these values."""
    used = NORMALISATIONS[values["normalisation"]].settings
    if values["norm_test"] == "batch":
        used = tuple(name for name in used if name not in ("norm_momentum", "norm_variance"))
    return tuple(name for name in NORM_FIELDS[1:] if name not in used)


FIELDS: dict[str, Field] = {field.name: field.metadata["allowed"] for field in fields(RunConfig)}


def agree(values: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """Return the RunConfig nearest to `values`, and a note for each field that had to change.

    Each value is allowed by itself, but they may not fit together, or go beyond what the host of
    this server allows.
    """
    values, host, notes = dict(values), limits(), []

    def limit(name: str, most: int, why: str) -> None:
        if values.get(name, getattr(RunConfig, name)) > most:
            values[name] = most
            notes.append(f"{name} is now {most}: {why}")

    source = values.get("source", RunConfig.source)
    if source not in host.data:
        values["source"] = host.data[0]
        offered, asked = _label("source", host.data[0]), _label("source", source)
        notes.append(f"source is now {offered}: this server does not offer {asked}")
        source = host.data[0]
    for name in BY_SOURCE:
        if values.get(name, getattr(RunConfig, name)) not in (rows := rows_for(name, source)):
            values[name] = rows[0]
            fits = f"the other does not fit {_label('source', source)}"
            notes.append(f"{name} is now {_label(name, rows[0])}: {fits}")
    limit("train_size", SOURCES[source].train_size, f"{_label('source', source)} has no more")
    limit("batch_size", values.get("train_size", RunConfig.train_size), "the whole training set")
    task = values.get("task", RunConfig.task)
    if not _fits(values.get("loss", RunConfig.loss), task):
        values["loss"] = losses_for(TASKS[task].form)[-1]
        loss = _label("loss", values["loss"])
        notes.append(f"loss is now {loss}: the other cannot be used for this task")
    widths = values.get("widths", RunConfig.widths)
    unused = "widths" in MODELS[values.get("model", RunConfig.model)].ignores
    if max(widths) > host.width and not unused:
        values["widths"] = tuple(min(width, int(host.width)) for width in widths)
        why = f"this server trains layers of up to {host.width:,} units"
        notes.append(f"widths is now {to_text(values['widths'])}: {why}")
    config = RunConfig(**values)
    asked = values.get("report", config.report)
    if asked != config.report and "report" not in config.ignored():
        own, other = _label("report", config.report), _label("report", asked)
        notes.append(f"report is now {own}: with these settings {other} is the same")
    config, shortened = _short_enough(config, host)
    return config, notes + shortened


def _label(name: str, key: str) -> str:
    """What the menu of a field calls one of its rows, quoted."""
    field = FIELDS[name]
    assert isinstance(field, Choice)
    return f"“{field.registry[key].label}”"


def _short_enough(config: RunConfig, host: Limits) -> tuple[RunConfig, list[str]]:
    """Take fewer epochs, or if one is too long larger batches, until the host allows the steps."""
    if config.steps <= host.steps:
        return config, []
    most, notes = int(host.steps), []
    why = f"this server trains up to {most:,} steps"
    if config.steps_per_epoch > most:
        config = replace(config, batch_size=-(-config.train_size // most))
        notes.append(f"batch_size is now {config.batch_size}: {why}")
    if config.steps > most:
        config = replace(config, epochs=most // config.steps_per_epoch)
        notes.append(f"epochs is now {config.epochs}: {why}")
    return config, notes


def refusal(config: RunConfig) -> str:
    """Say which of the host's limits a run goes beyond, or "" if it keeps to all of them."""
    host = limits()
    if config.source not in host.data:
        return f"This server does not offer the data “{SOURCES[config.source].label}”."
    widest = 0 if "widths" in config.ignored() else max(config.widths)
    if widest > host.width:
        return (
            f"This server trains layers of up to {host.width:,} units, and this run's widest has "
            f"{widest:,}."
        )
    if config.steps > host.steps:
        return (
            f"This server trains up to {host.steps:,} steps, and this run takes {config.steps:,}."
        )
    return ""


def to_query(config: RunConfig) -> dict[str, str]:
    """What differs from the defaults, as text for a URL."""
    return {name: to_text(value) for name, value in config.differences().items()}


def from_query(query: Mapping[str, str]) -> tuple[RunConfig, list[str]]:
    """The RunConfig that a URL asks for, with a note for each part that could not be used."""
    values, notes = parse_query(FIELDS, query)
    config, moved = agree(values)
    return config, notes + moved


def from_json(text: str) -> RunConfig:
    """The RunConfig of a text such as {"loss": "clip", "widths": [300, 100]}.

    It holds what differs from the defaults. A value may also be written as in a URL: "300-100". Or
    it is a run as `python -m core.run` writes it, which has all settings under "config".

    Raises:
      ValueError: it is not JSON, or it names a field or a value that there is not; says which.
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("this is not a run: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError('a run is written as {"field": value, ...}')
    if isinstance(values.get("config"), dict):
        values = values["config"]
    if unknown := [name for name in values if name not in FIELDS]:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} is no setting; allowed are {', '.join(FIELDS)}"
        )
    return RunConfig(**{name: _read(FIELDS[name], value) for name, value in values.items()})


def _read(allowed: Field, value: Any) -> Any:
    """A value in JSON as a field holds it; one that is not allowed comes back as it was."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    if isinstance(allowed, Choice):
        return allowed.parse(value)
    try:
        parsed = allowed.parse(value)
    except ValueError:
        return value
    return parsed if written_as(parsed, value) else value
