"""Run the real one, as a visitor sees it; tests/compiled/test_real.py has its process."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, to_query
from core.export import real
from core.run.errands import Errand
from core.study.band import Copy
from tests.kit import MINUTE
from tests.kit.runs import tiny, trained
from ui.engine import engine
from ui.trainer.real import KEY, rounding


@pytest.fixture
def frameworks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that are not installed; what each framework gives is read from the run."""
    lacking: list[str] = []
    monkeypatch.setattr(real, "missing", lambda row: [m for m in row.modules if m in lacking])
    monkeypatch.setattr(real, "version", lambda row: f"{row.label} 9")

    def looks(config: RunConfig, key: str, *_: Any) -> Iterator[Any]:
        yield None
        for each in trained(config):
            yield real.Look(each.step, each.loss * (1 + 9e-5 * (each.step == 5)), 0.5, 0.5)
        if key == "keras_jax":
            yield real.Failure("Keras has stopped: `$` no memory")

    monkeypatch.setattr(real, "looks", looks)
    return lacking


def _real(query: dict[str, str]) -> None:
    from core.config import from_query
    from ui.engine import engine
    from ui.pieces.on_screen import on_screen
    from ui.trainer.real import offer

    config = from_query(query)[0]
    on_screen().viewer = engine().submit(config)
    offer(config)


def real_page(config: RunConfig) -> AppTest:
    page = AppTest.from_function(
        _real, kwargs={"query": to_query(config)}, default_timeout=4 * MINUTE
    )
    engine().wait(engine().submit(config), 10**9, 4 * MINUTE)
    page.run().session_state[KEY] = True
    return page.run()


def press(page: AppTest, button: str) -> AppTest:
    page.button(key=button).click().run()
    assert not page.exception
    return page


def finished(page: AppTest, key: str, config: RunConfig) -> AppTest:
    deadline = time.monotonic() + 4 * MINUTE
    while not engine().errands.peek(("real", config, key)).done:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        page.run()  # looks, and so keeps it going
    return page.run()


@pytest.mark.usefixtures("frameworks")
def test_a_real_framework_is_compared_step_by_step() -> None:
    config = tiny()
    page = real_page(config)
    assert [each.label for each in page.button] == ["Run it in PyTorch 9"]
    page = finished(press(page, "real_run"), "torch", config)
    assert not page.exception
    told = next(each.value for each in page.markdown if "stays within" in each.value)
    assert told.startswith("**PyTorch 9 stays within 9e-5 of this run's loss, relative to it, over")
    assert "the largest difference is at step 5" in told and "has not been measured" in told
    alts = [each.proto.alt for each in page.get("vega_lite_chart")]
    assert alts == ["Both losses by step.", told.strip("*")]
    page.button_group[0].set_value("keras_jax").run()
    page = finished(press(page, "real_run"), "keras_jax", config)
    assert [each.value for each in page.warning] == ["Keras has stopped: '\\$' no memory"]
    press(page, "real_again")
    assert not page.exception and finished(page, "keras_jax", config).warning


def test_what_is_not_installed_is_named_and_nothing_is_run(frameworks: list[str]) -> None:
    frameworks += ["torch", "keras"]
    page = real_page(tiny())
    assert "This server does not have PyTorch." in page.info[0].value and not page.button
    assert page.code[0].value == "pip install -r requirements-frameworks.txt"
    assert any(each.value.startswith("Recorded of the question's run") for each in page.markdown)


@pytest.mark.usefixtures("frameworks")
def test_a_host_may_offer_no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_FRAMEWORK_SECONDS", "never")
    page = AppTest.from_function(_real, kwargs={"query": to_query(tiny())}).run()
    assert not page.expander and not page.exception


@pytest.mark.usefixtures("frameworks")
def test_copies_say_what_rounding_does() -> None:
    looks = trained(tiny())
    own, steps = {s.step: s.loss for s in looks}, np.array([s.step for s in looks])
    losses = np.array([s.loss for s in looks])
    copies = [Copy(steps, losses, losses * (1 + 1e-6)), Copy(steps, losses, losses * np.nan)]
    found = rounding(Errand(copies, True, ""), own)
    assert list(found) == steps.tolist()
    np.testing.assert_allclose(list(found.values()), 1e-6, rtol=1e-2)
    assert rounding(Errand(copies, False, ""), own) == rounding(None, own) == {}
