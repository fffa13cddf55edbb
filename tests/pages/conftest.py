"""What the tests of pages share: stories in few steps, and an engine that is never left busy."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from streamlit.components.v2 import manifest_scanner

from core.study import lasagne, series
from core.study.lasagne import claims
from tests.kit.small import SMALL, few_steps
from ui.engine import engine
from ui.trainer import nudged


@pytest.fixture(autouse=True, scope="session")
def one_scan() -> Iterator[None]:
    """Let Streamlit read what the installed packages say of themselves once.

    It does so for every AppTest, to find components, and that took a fifth of the trainer's tests.
    """
    scan = cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
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
