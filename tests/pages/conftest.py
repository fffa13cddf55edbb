"""What the tests of pages share: stories in few steps, and an engine that is never left busy."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner import script_runner

from core.study import lasagne, series
from core.study.lasagne import claims
from tests.kit.small import SMALL, few_steps
from ui.engine import engine
from ui.trainer import nudged


@pytest.fixture(autouse=True, scope="session")
def no_chores() -> Iterator[None]:
    """Spare Streamlit two chores that took a fifth and more than half of the trainer's tests.

    For every AppTest it reads what all installed packages say of themselves, to find components;
    here it does so once. And after every run of a page it lets Keras collect the garbage, where
    tests of real frameworks have imported Keras into this process; no page does.
    """
    scan = cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        patch.setattr(script_runner, "_clean_problem_modules", lambda: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def small_stories() -> Iterator[None]:
    """Shorten the stories, and train no copies of a run unless they are asked for."""
    with pytest.MonkeyPatch.context() as patch:
        few_steps(patch)
        small, trained = SMALL["epsilon"], claims._trained
        patch.setattr(lasagne, "CONFIG", replace(lasagne.CONFIG, **small))
        patch.setattr(claims, "_trained", lambda config: trained(replace(config, **small)))
        for name in ("POST", "ALIGNED"):
            patch.setattr(series, name, replace(getattr(series, name), **SMALL["gru"]))
        patch.setattr(nudged, "CHEAP", 0.0)
        yield


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Leave no run for which the next test would have to wait."""
    yield
    with engine()._changed:
        for job in engine()._jobs.values():
            job.viewers.clear()
