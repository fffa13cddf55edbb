"""RunConfig refuses what cannot be run, and survives a round trip through a URL."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from core.config import BY_SOURCE, FIELDS, RunConfig, agree, from_json, from_query, to_query
from core.data import Process
from core.fields import Choice, Range, number
from core.parts.initializers import INITIALIZERS
from core.parts.optimizers import OPTIMIZERS, SETTINGS
from core.presets import PRESETS
from tests.kit.runs import configs, parts

SERIES = {"source": "ou", "task": "next_value", "model": "gru", "loss": "mse_aligned"}


def bad_values() -> Iterator[Any]:
    """Values for every field: beyond both ends, of the wrong type, or right only in appearance."""
    for name, allowed in FIELDS.items():
        match allowed:
            case Choice():
                bad = ["no such key", "", None, 3]
            case Range():
                ends = [allowed.low - 1, allowed.high + 1, math.nan, math.inf, 10**400]
                bad = [*ends, str(allowed.low), True, *([] if name in SETTINGS else [None])]
                if allowed.whole:
                    bad += [allowed.low + 0.5, float(allowed.low)]
            case _:
                bad = [(), (0,), (16_385,), (8,) * 9, (1.5,), (8.0,), [8], 8, "8", None]
        for value in bad:
            yield pytest.param(name, value, id=f"{name}={str(value)[:20]}")


def words(name: str) -> list[str]:
    """The words with which a message about a field must state its range."""
    match FIELDS[name]:
        case Choice(registry=registry):
            return list(registry)
        case Range(low=low, high=high):
            return [str(low), str(high)]
        case widths:
            return [str(widths.most), str(widths.each.low), str(widths.each.high)]


@pytest.mark.parametrize(("name", "value"), list(bad_values()))
def test_bad_value_names_field_value_and_range(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is ") as caught:
        RunConfig(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is {value!r}; allowed ")
    assert all(word in message for word in words(name))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train_size": 4001, "batch_size": 1}, "train_size is 4001; .* from 10 to 4000"),
        ({"batch_size": 1001}, "batch_size is 1001; .* from 1 to 1000"),
        ({"loss": "naive_exp"}, "loss is 'naive_exp'; allowed for task binary are naive, mxnet, "),
        ({"task": "digits"}, "loss is 'question_stable'; allowed for task digits are naive_exp, "),
        (
            {"task": "next_value"},
            "task is 'next_value'; allowed for source sample are binary, digits",
        ),
        ({"model": "gru"}, "model is 'gru'; allowed for source sample are mlp"),
        ({"source": "ou"}, "task is 'binary'; allowed for source ou are next_value"),
        ({**SERIES, "loss": "naive"}, "loss is 'naive'; allowed for task next_value are mse_bro"),
        ({**SERIES, "train_size": 32_001}, "train_size is 32001; .* from 10 to 32000"),
        ({"epsilon": 0}, r"epsilon is 0; .* from 1e-12 to 0\.499"),
        ({"epsilon": 0.5}, r"epsilon is 0\.5; .* from 1e-12 to 0\.499"),
    ],
)
def test_fields_must_fit_together(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(**overrides)


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    given = {"learning_rate": 1, "loss_weight": 2, "label_smoothing": 1, "loss": "from_logits"}
    config = RunConfig(**given)
    assert config == RunConfig(**{**given, "learning_rate": 1.0, "label_smoothing": 1.0})
    numbers = [name for name, each in FIELDS.items() if isinstance(each, Range) and not each.whole]
    kept = [getattr(config, name) for name in numbers]
    assert all(value is None or type(value) is float for value in kept)


def test_images_beyond_the_last_full_batch_are_left_out() -> None:
    config = RunConfig(train_size=1000, batch_size=300, epochs=4)
    assert (config.steps_per_epoch, config.steps, config.full_batch) == (3, 12, False)
    assert RunConfig().full_batch and RunConfig().steps == 10
    kept = replace(config, last_batch="kept")
    assert (kept.steps_per_epoch, kept.steps) == (4, 16)


def test_a_last_batch_is_kept_only_where_it_is_smaller() -> None:
    for size in (1, 500, 1000):
        assert RunConfig(batch_size=size, last_batch="kept") == RunConfig(batch_size=size)
    for model in ("cnn", "cnn_28_channels"):  # its BatchNorm would see what fills the batch up
        config = RunConfig(model=model, batch_size=300, last_batch="kept")
        assert config == RunConfig(model=model, batch_size=300)
    assert RunConfig(batch_size=300, last_batch="kept") != RunConfig(batch_size=300)


@given(configs)
def test_differences_rebuild_a_config(config: RunConfig) -> None:
    rebuilt = RunConfig(**config.differences())
    assert rebuilt == config and hash(rebuilt) == hash(config)
    defaults = RunConfig()
    assert all(getattr(defaults, name) != value for name, value in config.differences().items())


@given(configs)
def test_url_restores_every_config(config: RunConfig) -> None:
    assert from_query(to_query(config)) == (config, [])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_url_restores_presets(preset: Any) -> None:
    config = preset.config
    query = to_query(config)
    assert from_query(query) == (config, [])
    assert query.keys() == config.differences().keys()  # defaults are left out
    assert all(re.fullmatch(r"[\w.+-]+", text) for text in query.values())


numberlike = st.one_of(st.floats(), st.integers()).map(str)
junk = st.dictionaries(
    st.sampled_from(list(FIELDS)) | st.text(max_size=10), st.text(max_size=50) | numberlike
)


@given(junk)
def test_junk_in_a_url_is_reported_and_never_raises(query: dict[str, str]) -> None:
    config, notes = from_query(query)
    RunConfig(**config.differences())
    unknown = [name for name in query if name not in FIELDS]
    assert sum("is not a setting" in note for note in notes) == len(unknown)
    for name in query.keys() - unknown:
        told = any(note.startswith(f"{name} ") for note in notes)
        if not told and name not in config.ignored():
            assert config.effective(name) == FIELDS[name].parse(query[name])
    assert not re.search(r"[<>`\[\]*$\\\n]", "".join(notes)), "a stranger's markup is never shown"


@pytest.mark.parametrize(
    ("query", "field", "value", "note"),
    [
        ({"learning_rate": "5000"}, "learning_rate", 1000, "learning_rate is now 1000 instead"),
        ({"learning_rate": "nan"}, "learning_rate", 0.01, "learning_rate cannot be"),
        ({"seed": "-3"}, "seed", 0, "seed is now 0 instead of “-3”"),
        ({"seed": "1e999"}, "seed", 2**31 - 1, "seed is now 2147483647"),
        ({"widths": ""}, "widths", (1000,), "widths cannot be “”; allowed are 1 to 8 widths"),
        ({"widths": "0-99999"}, "widths", (1, 16384), "widths is now 1-16384 instead"),
        ({"loss": "<b>"}, "loss", "question_stable", "loss cannot be “?b?”"),
        ({"nope": "1"}, "loss", "question_stable", "“nope” is not a setting"),
        ({"train_size": "100"}, "batch_size", 100, "batch_size is now 100"),
        ({"task": "digits"}, "loss", "from_logits", "loss is now “From logits”"),
        ({"train_size": "9000"}, "train_size", 4000, "train_size is now 4000"),
        ({"model": "gru"}, "model", "mlp", "model is now “MLP”"),
        (
            {"report": "rounded"},
            "report",
            "true",
            "report is now “as it is”: with these settings “each output by itself”",
        ),
        ({"tau": "0"}, "tau", 2.0, "tau is now 0.01"),
    ],
)
def test_url_is_moved_into_range_with_a_note(
    query: dict[str, str], field: str, value: Any, note: str
) -> None:
    config, notes = from_query(query)
    assert getattr(config, field) == value
    assert [text for text in notes if text.startswith(note)] == notes and notes


MOVED = {"train_size", "batch_size", "loss", "report"}


@given(parts)
def test_agree_moves_only_what_does_not_fit(values: dict[str, Any]) -> None:
    config, notes = agree(values)
    moved = {name for name, value in values.items() if config.effective(name) != value}
    if values.get("biases") == INITIALIZERS[config.initializer].own_biases:
        moved.discard("biases")  # they are called its own
    told = {note.split()[0] for note in notes}
    assert moved - set(config.ignored()) <= told <= {*MOVED, *BY_SOURCE}
    assert agree({name: getattr(config, name) for name in FIELDS}) == (config, [])


def test_ignored_settings_are_not_part_of_a_config() -> None:
    plain = RunConfig(loss="from_logits")
    norm = ("norm_momentum", "norm_epsilon", "norm_variance", "norm_test")
    optimizer = (*SETTINGS, "weight_decay", "clip_norm")
    order = ("data_order", "shuffle", "shuffle_buffer", "last_batch")
    unused = ("initial_spread", *norm, *optimizer, *order)
    assert plain.ignored() == ("epsilon", "dropout_value", *unused, *Process._fields)
    other = RunConfig(loss="from_logits", epsilon=1e-3, dropout_value=0.9)
    assert (other, hash(other), to_query(other)) == (plain, hash(plain), {"loss": "from_logits"})
    assert RunConfig(dropout="rate", dropout_value=0.9) != RunConfig(dropout="rate")
    assert RunConfig(epsilon=1e-3).ignored() == ("dropout_value", *unused, *Process._fields)
    assert RunConfig(mu=3.0, tau=0.5) == RunConfig()
    ignored = {"widths": (8,), "initializer": "keras", "activation": "tanh", "dropout": "rate"}
    cnn = RunConfig(model="cnn", **ignored)
    assert (cnn, to_query(cnn)) == (RunConfig(model="cnn"), {"model": "cnn"})
    unused = {
        "scaling": "unit", "activation": "tanh", "loss_input": "softmax", "dropout": "rate",
        "dropout_value": 0.9, "report": "nan_as_0",
        "label_smoothing": 0.1, "label_shift": 1,
    }  # fmt: skip
    series = RunConfig(**SERIES, **unused, mu=3.0)
    assert series == RunConfig(**SERIES, mu=3.0) != RunConfig(**SERIES)
    ordered = {"data_order": "sorted", "shuffle": "buffer", "shuffle_buffer": 7}
    assert RunConfig(**ordered) == RunConfig(), "each batch has all images"
    for name, value in ordered.items():
        used = {"batch_size": 100, "shuffle": "buffer", name: value}
        assert RunConfig(**used) != RunConfig(**{**used, name: getattr(RunConfig, name)})
    assert RunConfig(batch_size=100, shuffle_buffer=7) == RunConfig(batch_size=100)
    few = RunConfig(**SERIES, batch_size=100)
    assert replace(few, data_order="sorted") == few != replace(few, shuffle="once")
    assert RunConfig(norm_momentum=0.99, norm_test="batch") == RunConfig()
    normed, averages = {"normalisation": "batch_norm"}, {"norm_momentum": 0.99}
    assert RunConfig(**normed, **averages) != RunConfig(**normed) != RunConfig()
    by_batch = RunConfig(**normed, norm_test="batch")
    assert replace(by_batch, **averages, norm_variance="unbiased") == by_batch, "none are used"
    assert RunConfig(model="cnn", **normed, **averages) == RunConfig(model="cnn")
    assert from_query({"loss": "from_logits", "epsilon": "0.1"}) == (plain, [])


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_an_optimizer_s_own_settings_are_no_settings(key: str) -> None:
    row, config = OPTIMIZERS[key], RunConfig(optimizer=key)
    own = {name: row.own(name) for name in SETTINGS}
    assert {name: config.effective(name) for name in SETTINGS} == own
    assert RunConfig(optimizer=key, **own) == config
    assert to_query(config) == ({} if key == "sgd" else {"optimizer": key})
    assert {name for name in SETTINGS if own[name] is None} == {*config.ignored()} & {*SETTINGS}
    for name in SETTINGS:
        other = RunConfig(optimizer=key, **{name: 0.123})
        assert other.effective(name) == (None if own[name] is None else 0.123)
        assert (other == config) == (own[name] is None)


@given(st.sampled_from(list(OPTIMIZERS)), st.sampled_from(list(OPTIMIZERS)))
def test_another_optimizer_comes_with_its_own_settings(one: str, other: str) -> None:
    assert replace(RunConfig(optimizer=one), optimizer=other) == RunConfig(optimizer=other)


def test_the_share_of_decay_needs_a_decay_and_the_norm_a_clipping() -> None:
    assert RunConfig(weight_decay=0.3, clip_norm=2.0) == RunConfig()
    decaying = RunConfig(decay_form="l2", weight_decay=0.3)
    assert decaying != RunConfig(decay_form="l2")
    assert to_query(decaying) == {"decay_form": "l2", "weight_decay": "0.3"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.01, "0.01"), (1e-6, "1e-6"), (1e-12, "1e-12"), (1000.0, "1000"), (2e38, "2e38"),
        (-0.0, "0"), (math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_number_may_have_fewer_digits() -> None:
    assert [number(1234.5, 3), number(1e-7, 3)] == ["1.23e3", "1e-7"]


@given(configs)
def test_a_configuration_survives_json(config: RunConfig) -> None:
    assert from_json(json.dumps(config.differences())) == config
    assert from_json(json.dumps(to_query(config))) == config  # written as in a URL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("3", "a run is written as"),
        ('{"sead": 1}', "'sead' is no setting; allowed are source, train_size"),
        ('{"seed": "1.5"}', "seed is '1.5'; allowed is a whole number"),
        ('{"epsilon": "3"}', "epsilon is '3'; allowed is a number from"),
        ('{"widths": "300-0"}', "widths is '300-0'"),
        ('{"learning_rate": NaN}', "learning_rate is nan"),
    ],
)
def test_bad_json_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        from_json(text)


def test_what_a_model_ignores_decides_nothing_else() -> None:
    """A GRU has no BatchNorm, so the last batch can be kept, whatever was asked for."""
    series = {"source": "ou", "task": "next_value", "model": "gru", "loss": "mse_aligned"}
    config = RunConfig(
        **series, normalisation="batch_norm", last_batch="kept", train_size=10, batch_size=3
    )
    assert (config.normalisation, config.last_batch) == ("none", "kept")
    assert RunConfig(**config.differences()) == config
