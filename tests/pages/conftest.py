"""What tests of pages share: stories in few steps, and an engine that nobody has left busy."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.study import lasagne, series
from core.study.lasagne import claims
from tests.kit.small import SMALL, few_steps
from ui import chance
from ui.engine import engine


@pytest.fixture(autouse=True, scope="module")
def small_stories() -> Iterator[None]:
    """The stories in few steps, and no copies of a run by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        few_steps(patch)
        small, trained = SMALL["epsilon"], claims._trained
        patch.setattr(lasagne, "CONFIG", replace(lasagne.CONFIG, **small))
        patch.setattr(claims, "_trained", lambda config: trained(replace(config, **small)))
        for name in ("POST", "ALIGNED"):
            patch.setattr(series, name, replace(getattr(series, name), **SMALL["gru"]))
        patch.setattr(chance, "CHEAP", 0.0)
        yield


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """Leave no run behind that the next test would wait for."""
    yield
    with engine()._changed:
        for job in engine()._jobs.values():
            job.viewers.clear()
