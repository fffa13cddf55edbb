"""The story of the GRU, and the trainer on series, as a visitor sees them."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, to_query
from core.presets import PRESETS
from core.study.series import End
from tests.kit import MINUTE, small
from tests.kit.pages import answers, bodies, open_page, settled, viewer
from tests.pages.test_story_pages import said, told
from ui.engine import engine
from ui.pages import PAGES
from ui.story import series

pytestmark = pytest.mark.timeout(900)
SMALL = RunConfig(**{**PRESETS["gru"].overrides, **small.SMALL["gru"]})
POST, ALIGNED = "the post's loss", "aligned"


@pytest.fixture(scope="module")
def story() -> AppTest:
    return told("gru", {}, guess=0)


def test_the_answer_follows_from_the_measured_errors(story: AppTest) -> None:
    """core.reproduce has a row for the errors after all 5,000 batches."""
    answer = answers(story)[0]
    post, _, copied = map(float, re.findall(r"0\.\d{3}", answer))
    assert copied == pytest.approx(0.036, abs=0.0015)
    assert f"The answer is “{series.WORSE}”" in answer and post > 1.05 * copied


def test_the_story_says_which_pairs_are_compared(story: AppTest) -> None:
    assert f"**{POST}: 81 pairs, of which 9 belong together**" in said(story)
    assert f"**{ALIGNED}: 9 pairs, of which 9 belong together**" in said(story)
    assert any("stretches both arrays" in each.value for each in story.warning)
    assert "<mark>(9, 32, 1) - (32, 9) -&gt; (9, 32, 9)</mark>" in bodies(story)
    assert "differ from **step 0** on" in said(story)
    assert "32 series differ" in said(story)


def test_the_gates_from_one_key_are_equal(story: AppTest) -> None:
    assert "**One key: all three are equal**" in said(story)
    assert "**Split keys: they differ**" in said(story)
    assert any("no better than copying the noisy input" in each.value for each in story.info)


@pytest.mark.parametrize(
    ("split", "says"),
    [((0.0301, 0.0303), "**does not matter in the end**"), ((0.02, 0.021), "**matters in the")],
)
def test_the_verdict_on_the_key_follows_from_the_measured_errors(
    split: tuple[float, float], says: str
) -> None:
    ends = [End("one key", seed, error, 0.0354) for seed, error in enumerate((0.0300, 0.0302))]
    ends += [End("split keys", seed, error, 0.0354) for seed, error in enumerate(split)]
    assert says in series.verdict(ends)


def test_the_trainer_shows_errors_of_series_and_no_accuracy() -> None:
    page = open_page("pages/lab/train.py", **to_query(SMALL), until="end")
    engine().wait(viewer(page), 10**9, 4 * MINUTE)
    page.run()
    assert not page.exception
    assert "step 12 of 12" in str([each.proto.text for each in page.get("progress")])
    numbers = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", bodies(page)))
    assert numbers.keys() == {
        "loss", "squared error, held out", "of copying the input", "zero gradient"
    }  # fmt: skip
    assert float(numbers["of copying the input"]) == pytest.approx(0.0354, abs=0.001)
    assert "nan" not in bodies(page).lower().replace("<!--", "")
    assert "4,000 others" in " ".join(each.value for each in page.caption)
    assert PAGES["microscope"].label not in [link.proto.label for link in page.get("page_link")]


def test_twins_on_series_are_taken_apart() -> None:
    query = {**to_query(SMALL), "b_loss": "mse_aligned"}
    page = open_page(PAGES["twins"].file, **query)
    page = settled(settled(page))
    assert "differ from **step 0** on" in said(page)
    assert "Which images are silent before the first step" not in [
        each.value for each in page.header
    ]
