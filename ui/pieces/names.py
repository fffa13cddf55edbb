"""Names of runs: what a visitor would call them, among others."""

from collections.abc import Sequence

from core.config import FIELDS, RunConfig
from core.presets import PRESETS
from ui.pieces.widgets import setting_text, value_text

FEW = 3  # the most settings in a name


def names(configs: Sequence[RunConfig]) -> list[str]:
    """Name each run by what differs among them or, if that is much, by its nearest preset.

    Different runs have different names.
    """
    differing = [f for f in FIELDS if len({getattr(config, f) for config in configs}) > 1]
    named_fields = [[f for f in _read(config) if f in differing] for config in configs]
    if differing and all(0 < len(fields) <= FEW for fields in named_fields):
        return [_settings(c, fields) for c, fields in zip(configs, named_fields, strict=True)]
    return [near_preset(config) for config in configs]


def near_preset(config: RunConfig) -> str:
    """Name a run by the preset that it differs least from, and by what differs."""
    read = _read(config)
    differing, row = min(
        ((_differing(config, row.config, read), row) for row in PRESETS.values()),
        key=lambda candidate: len(candidate[0]),
    )
    return ", ".join(filter(None, [row.label, _settings(config, differing)]))


def _read(config: RunConfig) -> list[str]:
    """Return the fields that have an effect on a run."""
    ignored = config.ignored()
    return [field for field in FIELDS if field not in ignored]


def _differing(a: RunConfig, b: RunConfig, fields: Sequence[str]) -> list[str]:
    """Return those of the fields in which two runs differ."""
    return [field for field in fields if getattr(a, field) != getattr(b, field)]


def _settings(config: RunConfig, fields: Sequence[str]) -> str:
    return ", ".join(_setting(config, field) for field in fields)


def _setting(config: RunConfig, field: str) -> str:
    """Return a setting as the page words it; a loss by its name alone."""
    value = config.effective(field)
    return value_text(field, value) if field == "loss" else setting_text(field, value)
