"""What the tests share: small configurations, trained runs, and random valid configurations."""

import html
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from jax.example_libraries import stax
from streamlit.testing.v1 import AppTest

from benchmarks._server import MNIST, MNIST_VARIABLE
from core.config import FIELDS, RunConfig, agree
from core.data import load
from core.fields import Choice, Range
from core.run import train
from core.run.errands import LEASE
from core.run.job import Status
from core.run.snapshot import BINS, Census, Gradient, Largest, Saturation, Snapshot
from ui.engine import engine

# A shared or busy machine may be slow; a slow example is no failure.
hypothesis.settings.register_profile("samenet", deadline=None)
hypothesis.settings.load_profile("samenet")

ROOT = Path(__file__).parents[1]
more = partial(pytest.param, marks=pytest.mark.slow)  # a trial that rarely says more
MINUTE = 60.0  # what a busy machine may take for one page


def pytest_configure(config: pytest.Config) -> None:
    """Share compiled programs among all tests, workers and servers, and leave none behind."""
    if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has the environment of who started it
        folder = tempfile.TemporaryDirectory(prefix="samenet-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
        # Two workers share two cores: a program compiled in one piece in place of 32 takes an
        # eighth less of them, and comes to the same bits.
        flags = (os.environ.get("XLA_FLAGS", ""), "--xla_cpu_parallel_codegen_split_count=1")
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


# What takes minutes begins first, or else one worker ends alone.
LONGEST = ("browser/test_accessible", "test_start", "test_story_page", "browser/test_trainer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; --no-loadscope-reorder keeps them so."""
    first = {str(ROOT / "tests" / f"{name}.py"): i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(str(item.path), len(LONGEST)))


def tiny(**overrides: Any) -> RunConfig:
    """A run of 10 steps that compiles and ends in no time."""
    small = {"train_size": 100, "batch_size": 20, "widths": (8,), "scaling": "unit", "epochs": 2}
    return RunConfig(**{**small, "loss": "from_logits", **overrides})


@cache
def trained(config: RunConfig) -> list[Snapshot]:
    """The snapshots of a run, trained once however many tests look at them."""
    return list(train.run(config, load(config.source, config.train_size)))


def post_cnn(*last: Any) -> tuple[Any, Any]:
    """The post's own stack in stax, to its logits, and then `last`."""
    conv, norm, relu = partial(stax.Conv, padding="SAME"), stax.BatchNorm, stax.Relu
    return stax.serial(
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), relu,
        stax.Flatten, stax.Dense(10), *last,
    )  # fmt: skip


def _values(allowed: Any) -> st.SearchStrategy[Any]:
    match allowed:
        case Choice():
            return st.sampled_from(list(allowed.registry))
        case Range(whole=True):
            return st.integers(int(allowed.low), int(allowed.high))
        case Range():
            return st.floats(allowed.low, allowed.high)
    return st.lists(_values(allowed.each), min_size=1, max_size=allowed.most).map(tuple)


parts = st.fixed_dictionaries({}, optional={name: _values(FIELDS[name]) for name in FIELDS})
configs = parts.map(lambda values: agree(values)[0])


def open_page(file: str, **query: str) -> AppTest:
    """A page as a visitor with this query finds it; the first run is the home page's."""
    page = AppTest.from_file(ROOT / "ui/main.py", default_timeout=MINUTE).run()
    page.query_params.update(query)
    return go(page, file)


def go(page: AppTest, file: str) -> AppTest:
    """The same visitor on another page; `file` is below ROOT, as in PAGES."""
    return page.switch_page(str(ROOT / file)).run()


def settled(page: AppTest) -> AppTest:
    """The page once every run and every errand that it waits for has ended."""
    deadline = time.monotonic() + 8 * MINUTE
    while time.monotonic() < deadline:
        if "story_viewers" in page.session_state:  # not before a story trains
            for viewer in page.session_state["story_viewers"].values():
                left = deadline - time.monotonic()
                assert engine().wait(viewer, 10**9, left).status is Status.DONE
        waiting = engine().errands.waiting()
        page.run()
        assert not page.exception
        if not waiting and not engine().errands.waiting():
            return page
        # Looks seldom: a run of the page takes as much of a core as what it waits for.
        again = time.monotonic() + LEASE / 4
        while engine().errands.waiting() and time.monotonic() < again:
            time.sleep(0.05)
    raise AssertionError("an errand did not end")


@pytest.fixture
def full_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The full data, prepared for this test from the official files, where they are."""
    folder = Path(os.environ.get(MNIST_VARIABLE) or MNIST)
    if not folder.is_dir():
        pytest.skip(f"no official MNIST files in {folder}")
    monkeypatch.setenv(MNIST_VARIABLE, str(folder))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path))


def bodies(page: AppTest) -> str:
    """All HTML of a page."""
    return "\n".join(each.proto.body for each in page.get("html"))


def bars(page: AppTest, label: str) -> dict[str, str]:
    """The values of a row of bars (ui/bars.py) by series."""
    rows = re.findall("<li>(.*?)</li>", bodies(page))
    row = next(row for row in rows if f"<span>{html.escape(label)}</span>" in row)
    found = re.findall(r'class="unseen">(.*?): </span>(.*?)</b>', row)
    return {html.unescape(name): value for name, value in found}


@pytest.fixture
def no_full_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that neither has the full data nor reaches the network."""
    monkeypatch.setenv("SAMENET_MNIST_DIR", str(tmp_path / "manual"))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setattr("core.data.mnist_tfds.URL", "http://127.0.0.1:1/")


@pytest.fixture
def compilations() -> Iterator[list[float]]:
    """A list that grows by one with every program that XLA compiles."""
    seen: list[float] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def look(step: int = 1, n: int = 100, **overrides: Any) -> Snapshot:
    """A healthy look at n images of a network with one hidden layer, with what the test changes."""
    healthy: dict[str, Any] = {
        "epoch": step / 10, "loss": 0.5, "train_accuracy": 0.9, "test_accuracy": 0.9,
        "test_examples": 10, "gradient_norms": np.ones(2, np.float32),
        "weight_norms": np.full(2, 10, np.float32), "update_norms": np.full(2, 0.01, np.float32),
        "dead_units": np.zeros(1, np.float32), "one_answer": 0.5,
        "dropped_accuracy": math.nan, "flipped": math.nan, "next_finite": True, "fixed": False,
        "saturation": Saturation(np.zeros((len(Gradient), BINS + 5), int), 0, 0, 0, 0),
        "census": Census(0.1, 0, 0), "margins": np.zeros(n, np.float32),
        "labels": np.zeros(n, np.uint8), "correct": np.arange(n) >= n // 10,
        "gradients": np.zeros(n, np.uint8), "health": np.tile(np.float32([0, 0, 0, 1]), (4, 1)),
        "sample_health": np.float32([0, 0, 0, 1]), "largest": Largest(1.0, 1.0, 1.0),
        "vanished": math.nan, "loss_scale": 1.0,
    }  # fmt: skip
    return Snapshot(step=step, **{**healthy, **overrides})
