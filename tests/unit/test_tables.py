"""A run's looks as CSV, and a run as JSON that opens again."""

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given

from core.config import RunConfig, from_json
from core.run import tables
from core.run.command import as_json
from core.run.snapshot import BINS, Census, Fit, Gradient, Saturation
from tests.kit.runs import configs, look
from ui.trainer import data_along


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_curves_have_a_row_a_look_and_say_nan() -> None:
    broken = look(2, loss=math.nan, gradient_norms=np.float32([np.inf, 0.1]))
    first, last = rows(tables.curves([look(0, census=Census(0.5, 0.25, 0.125)), broken]))
    assert (first["step"], first["loss"], first["train_accuracy"]) == ("0", "0.5", "0.9")
    census = [first[name] for name in ("wrong", "zero_gradient", "wrong_and_zero_gradient")]
    assert census == ["0.5", "0.25", "0.125"] and first["reported_accuracy"] == ""
    assert (last["loss"], last["gradient_norm_1"]) == ("NaN", "inf")
    assert np.float32(last["gradient_norm_2"]) == np.float32(0.1)


def test_what_a_program_reports_is_taken_along() -> None:
    """Its loss may be NaN, which is not the same as that it reports none."""
    said = look(1, reported=0.25, reported_loss=math.nan, held_out_loss=0.5)
    names = ("reported_accuracy", "reported_loss", "held_out_loss")
    looks = as_json(RunConfig(), [look(0), said])["looks"]
    assert not looks[0].keys() & {*names}
    assert [looks[1][name] for name in names] == [0.25, "NaN", 0.5]
    first, last = rows(tables.curves([look(0), said]))
    assert [first[name] for name in names] == ["", "", ""]
    assert [last[name] for name in names] == ["0.25", "NaN", "0.5"]
    assert (last["wrong"], last["weight_norm_1"]) == ("0.1", "10.0")


def test_a_regression_has_errors_and_no_accuracies() -> None:
    fit = Fit(0.5, 0.25, *np.zeros((3, 1, 1), np.float32))
    (row,) = rows(tables.curves([look(0, fit=fit)]))
    assert (row["test_error"], row["copied_error"], row["train_accuracy"]) == ("0.5", "0.25", "")
    assert (row["zero_gradient"], row["wrong"], row["weight_norm_1"]) == ("0", "", "10.0")


def test_a_histogram_counts_every_image() -> None:
    counts = np.zeros((len(Gradient), BINS + 5), int)
    counts[Gradient.ZERO, 0], counts[Gradient.SOME, -2] = 3, 4
    found = rows(tables.histogram([look(1, saturation=Saturation(counts, 0, 0, 0, 0))]))
    assert len(found) == len(Gradient) * (BINS + 5)
    full = {(r["prediction"], r["gradient"]): r["images"] for r in found if r["images"] != "0"}
    assert full == {("exactly 0", "exactly 0"): "3", ("exactly 1", "some"): "4"}


def test_images_are_listed_one_by_one() -> None:
    margins = np.float32([0.1, np.nan])
    found = rows(tables.images(look(3, n=2, margins=margins, correct=np.array([True, False]))))
    assert [row["right"] for row in found] == ["True", "False"]
    assert np.float32(found[0]["margin"]) == margins[0] and found[1]["margin"] == "NaN"


@given(configs)
def test_a_run_as_json_opens_again(config: RunConfig) -> None:
    looks = [look(0, loss=math.inf), look(1, reported=0.5, reported_loss=1.0, held_out_loss=2.0)]
    text = json.dumps(as_json(config, looks))
    assert from_json(text) == config == data_along.read(text.encode())


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"config": {"seed": {}}}',
        b'{"config": {"widths": [[1], 2]}}', b'{"loss": ["<script>"]}', b'{"<b>": 1}',
        b'{"learning_rate": 1e999}', b'{"seed": ' + b"9" * 5000 + b"}", b'{"widths": []}',
        b"x" * (data_along.MOST + 1), b'{"seed": true}', b'{"epsilon": "NaN"}',
    ],
)  # fmt: skip
def test_what_is_no_run_is_told_briefly(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w") as told:
        data_along.read(content)
    assert len(str(told.value)) <= 200 and not {*"<>`[]*"} & {*str(told.value)}
