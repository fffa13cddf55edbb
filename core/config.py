"""RunConfig: everything that decides a run, frozen, validated, hashable, serialisable.

The limits of a field stand in its metadata and nowhere else: widgets, URLs and error
messages read them from FIELDS.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from core.data import SOURCES
from core.fields import Choice, Field, Range, Widths, parse_query, to_text
from core.parts.choices import SCALINGS, STREAMS, TASKS
from core.parts.dropout import DROPOUTS
from core.parts.losses import LOSSES, losses_for
from core.parts.models import INITIALIZERS, MODELS
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS


def _field(default: Any, allowed: Field) -> Any:
    return field(default=default, metadata={"allowed": allowed})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. The defaults are the JAX/Keras question's, with its "stable" loss.

    A setting that the run ignores is not part of it: epsilon of a loss that has none and the value
    of a dropout that is off go back to their defaults, so that equal runs are equal.

    A batch as large as the training set is full-batch descent in the data's own order;
    a smaller one is drawn without replacement from a new order every epoch, and what is
    left over at an epoch's end is not used.

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
    stream: str = _field("original", Choice(STREAMS))
    seed: int = _field(0, Range(0, 2**31 - 1, whole=True))
    loss: str = _field("question_stable", Choice(LOSSES))
    epsilon: float = _field(1e-6, Range(1e-12, 0.499))
    dropout: str = _field("off", Choice(DROPOUTS))
    dropout_value: float = _field(0.5, Range(0.05, 0.95))
    precision: str = _field("float32", Choice(PRECISIONS))
    optimizer: str = _field("sgd", Choice(OPTIMIZERS))
    learning_rate: float = _field(0.01, Range(1e-8, 1e3))
    batch_size: int = _field(1000, Range(1, 60_000, whole=True))  # images
    epochs: int = _field(10, Range(1, 1000, whole=True))

    def __post_init__(self) -> None:
        for name, allowed in FIELDS.items():
            value = getattr(self, name)
            if fault := allowed.fault(value):
                raise ValueError(f"{name} is {value!r}; {fault}")
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
        if self.loss not in (allowed_losses := losses_for(TASKS[self.task].form)):
            raise ValueError(
                f"loss is {self.loss!r}; allowed for task {self.task} "
                f"are {', '.join(allowed_losses)}"
            )

        for name in self.ignored():
            object.__setattr__(self, name, getattr(RunConfig, name))

    def ignored(self) -> tuple[str, ...]:
        """The fields that this run does not look at."""
        epsilon = ("epsilon",) if LOSSES[self.loss].epsilon is None else ()
        return epsilon + (("dropout_value",) if self.dropout == "off" else ())

    @property
    def full_batch(self) -> bool:
        """Whether every step uses all images."""
        return self.batch_size == self.train_size

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return self.train_size // self.batch_size

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch

    def differences(self) -> dict[str, Any]:
        """The fields that differ from the defaults; RunConfig(**differences) rebuilds it."""
        default = asdict(RunConfig())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


FIELDS: dict[str, Field] = {field.name: field.metadata["allowed"] for field in fields(RunConfig)}


def agree(values: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """The nearest RunConfig to values that are each allowed but may not fit together.

    Returns it with a note for each field that had to move.
    """
    values, notes = dict(values), []

    def limit(name: str, most: int, why: str) -> None:
        if values.get(name, getattr(RunConfig, name)) > most:
            values[name] = most
            notes.append(f"{name} is now {most}: {why}")

    source = values.get("source", RunConfig.source)
    limit("train_size", SOURCES[source].train_size, f"the {source} has no more images")
    limit("batch_size", values.get("train_size", RunConfig.train_size), "the whole training set")
    allowed = losses_for(TASKS[values.get("task", RunConfig.task)].form)
    if values.get("loss", RunConfig.loss) not in allowed:
        values["loss"] = allowed[-1]
        notes.append(f"loss is now {allowed[-1]}: the other has no form for this task")
    return RunConfig(**values), notes


def to_query(config: RunConfig) -> dict[str, str]:
    """What differs from the defaults, as text for a URL."""
    return {name: to_text(value) for name, value in config.differences().items()}


def from_query(query: Mapping[str, str]) -> tuple[RunConfig, list[str]]:
    """The RunConfig that a URL asks for, with a note for each part that could not be used."""
    values, notes = parse_query(FIELDS, query)
    config, moved = agree(values)
    return config, notes + moved
