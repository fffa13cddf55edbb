"""What is said of each chosen image, compared with what the run itself measured."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.config import RunConfig
from core.data import load
from core.parts.choices import TASKS
from core.run.snapshot import Gradient
from tests.kit import more
from tests.kit.runs import DIGITS, look, tiny, trained
from ui.charts.chosen import towards
from ui.pieces import chosen
from ui.pieces.pictures import data_url

RUNS = [
    RunConfig(),
    more(RunConfig(loss="from_logits")),
    more(RunConfig(loss="torch_bce")),
    more(replace(DIGITS, loss="clip", epsilon=1e-7, scaling="raw")),
    replace(DIGITS, loss="optax"),
]


@pytest.mark.parametrize("config", RUNS, ids=lambda config: f"{config.task} {config.loss}")
def test_losses_and_slopes_of_all_images_are_the_runs_own(config: RunConfig) -> None:
    """Computed from the margins of a Snapshot, they agree with its loss and gradients."""
    binary = TASKS[config.task].form == "binary"
    for now in trained(config)[:: config.steps]:
        labels = now.labels if binary else np.ones(len(now.labels))
        loss, slope = chosen.losses_and_slopes(
            chosen.own_loss(config), towards(now.margins, now.labels, binary), labels
        )
        assert loss.mean() == pytest.approx(now.loss, rel=1e-3)
        assert (np.abs(slope[now.gradients == Gradient.ZERO]) < 1e-30).all()
        assert (slope[~now.correct & (now.gradients == Gradient.SOME)] != 0).all()
        if binary:  # a larger logit favours label 1
            assert (slope[now.labels == 1] <= 0).all() and (slope[now.labels == 0] >= 0).all()


def test_a_loss_that_the_margin_does_not_determine_is_not_known() -> None:
    config = tiny(task="digits", loss="naive")
    now = look(0, 2, margins=np.float32([3, 3]), labels=np.uint8([7, 7]),
               gradients=np.uint8([Gradient.NONFINITE, Gradient.SOME]))  # fmt: skip
    first, second = chosen.cards(now, np.array([0, 1]), False, chosen.own_loss(config))
    assert (first.loss, first.slope) == ("not known", "NaN or inf")
    assert (second.loss, second.slope) == ("0.0486", "-0.0474")


def test_a_loss_of_other_labels_is_not_known() -> None:
    assert chosen.own_loss(tiny()).of_logits
    assert not chosen.own_loss(tiny(label_smoothing=0.1)).of_logits
    assert not chosen.own_loss(tiny(label_shift=1)).of_logits


def test_nan_is_shown_as_nan() -> None:
    now = look(0, 1, margins=np.float32([np.nan]), gradients=np.uint8([Gradient.NONFINITE]))
    (card,) = chosen.cards(now, np.array([0]), True, chosen.own_loss(tiny()))
    assert (card.p, card.logit, card.loss, card.slope) == ("NaN",) * 4


def test_shares_close_to_one_are_shown_as_differences_from_one() -> None:
    texts = [chosen.probability_text(p) for p in (0, 0.5, 1 - 2**-24, 1)]
    assert texts == ["0", "0.5", "1 - 5.96e-8", "1"]


def test_the_words_count_only_the_chosen_images() -> None:
    now = look(4, 10, gradients=np.uint8([1] * 5 + [0] * 5))  # the first image is wrong
    held = chosen.Chosen(RunConfig(), np.array([0, 3, 9, 700]), "wrong, silent at step 0")
    now_in = RunConfig()
    assert chosen.heading(held, np.array([0, 3, 9]), now, now_in) == (
        "**wrong, silent at step 0: 4 images; this run measures 3.** Of these 3 images, 2 are "
        "right at step 4; gradient exactly 0: 2."
    )
    assert "It is wrong at step 4" in chosen.heading(held, np.array([0]), now, now_in)
    nobody = held._replace(images=np.zeros(0, int))
    told = chosen.heading(nobody, np.zeros(0, int), now, RunConfig(seed=1))
    assert told == "**wrong, silent at step 0 of an earlier run: no image.**"


def test_a_run_shows_only_chosen_images_that_it_looks_at() -> None:
    held = chosen.Chosen(RunConfig(), np.array([999, 5, 150]), "")
    assert chosen._in_run(held, RunConfig()).tolist() == [999, 5, 150]
    assert chosen._in_run(held, RunConfig(train_size=200, batch_size=200)).tolist() == [5, 150]
    assert not len(chosen._in_run(held._replace(run=RunConfig(source="full")), RunConfig()))
    assert not len(chosen._in_run(None, RunConfig()))


def test_a_picture_is_the_image_in_ink_on_paper() -> None:
    image = load("sample").train_images[3]
    _, _, encoded = data_url(image).partition("base64,")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    np.testing.assert_array_equal(drawn.ravel(), 255 - image)
