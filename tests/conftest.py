"""How the tests run: one folder of compiled programs, the longest files first, shared fixtures."""

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import jax
import numpy as np
import pytest

from core.run import entry
from core.run.train.pieces import Pieces
from tests.kit import IN_A_HURRY, MNIST_VARIABLE, ROOT, official_mnist
from tests.kit.runs import SHAPES, compiling

# A shared or busy machine may be slow, and a slow example is no failure.
hypothesis.settings.register_profile("samenet", deadline=None)
hypothesis.settings.load_profile("samenet")


def pytest_configure(config: pytest.Config) -> None:
    """Let all tests, workers, servers and later runs of this checkout share compiled programs.

    The key of a program includes the versions, the flags and the processor it was compiled for.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits its environment
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(config.cache.mkdir("compiled"))
        os.environ.setdefault("SAMENET_CONVOLUTIONS", "residues")  # none is timed
        # The workers share few cores. A program compiled in one piece instead of 32 takes an eighth
        # less CPU time, and gives the same bits.
        flags = [os.environ.get(entry.FLAGS, ""), "--xla_cpu_parallel_codegen_split_count=1"]
        # LLVM also compiles for accelerators, whose programs are left as they are.
        if config.option.markexpr == "not slow" and entry.only_cpu():
            flags += IN_A_HURRY
        os.environ[entry.FLAGS] = " ".join(flags).strip()
        entry.keep_loops()
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


# Files that take minutes begin first; otherwise one worker would be left to finish alone. The one
# that opens the stories in a browser comes later, and finds their programs compiled.
LONGEST = (
    "slow/test_benchmarks",
    "pages/test_story_pages",
    "compiled/test_export",
    "served/test_browser_trainer",
    "served/test_lives",
)
LATER = "served/test_browser_accessible"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; --no-loadscope-reorder keeps this order.

    Files that wait for a browser are spread evenly among those that compute, so that at any time
    some worker waits while the others use the processor.
    """
    place: dict[Path, float] = {}
    for waits in (False, True):
        files = [file for file in dict.fromkeys(i.path for i in items) if _served(file) is waits]
        place.update((file, (i + 0.5) / len(files)) for i, file in enumerate(files))
    for i, name in enumerate(LONGEST):
        place[ROOT / "tests" / f"{name}.py"] = i - len(LONGEST)
    place[ROOT / "tests" / f"{LATER}.py"] = 0.4
    items.sort(key=lambda item: place[item.path])


def pytest_collection_finish() -> None:
    """Let the garbage collector never look again at what is imported and collected by now.

    To look at them took 1.1 of the 45 CPU seconds of two files' tests.
    """
    gc.freeze()


def _served(file: Path) -> bool:
    return file.parent.name == "served"


@cache
def _has_float16() -> bool:
    """Whether XLA can compute in float16 on the processor for which it compiles."""
    try:
        jax.jit(lambda x: x + x)(np.float16(1)).block_until_ready()
    except jax.errors.JaxRuntimeError:
        return False
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Skip a test that failed because XLA has no float16 for this processor.

    That is so for processors from before 2012, which lack F16C. No jaxlib runs on most of these,
    but `--xla_cpu_max_isa=SSE4_2` compiles as if for one.
    """
    report: pytest.TestReport = yield
    told = "".join([report.longreprtext, *(text for _, text in report.sections)])
    if report.failed and "Failed to materialize symbols" in told and not _has_float16():
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, "XLA has no float16 for this processor")
    return report


@pytest.fixture
def full_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The full data, prepared for this test from the official files; skip it without them."""
    folder = official_mnist()
    if folder is None:
        pytest.skip("no official MNIST files here")
    monkeypatch.setenv(MNIST_VARIABLE, str(folder))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path))


@pytest.fixture
def no_full_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that neither has the full data nor reaches the network."""
    monkeypatch.setenv("SAMENET_MNIST_DIR", str(tmp_path / "manual"))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setattr("core.data.mnist_tfds.URL", "http://127.0.0.1:1/")


@pytest.fixture
def compilations() -> Iterator[list[float]]:
    """A list that grows by one with every program that XLA compiles."""
    with compiling() as seen:
        yield seen


@pytest.fixture(autouse=True)
def only_shared_shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that is not slow compile only networks of SHAPES; each takes ten seconds."""
    if "slow" in request.keywords:
        return
    seen = {shape._replace(optimizer="") for shape in SHAPES}  # a look uses no optimizer
    compiled = Pieces.compiled

    def checked(pieces: Pieces, function: Any, *types: Any, **settings: Any) -> Any:
        shape, name = pieces.shape, function.__name__
        if name in ("advance", "follow"):
            assert shape in SHAPES, f"{shape} is none of SHAPES in tests/kit/runs.py"
        elif name == "see":
            assert shape._replace(optimizer="") in seen, (
                f"{shape} is none of SHAPES in tests/kit/runs.py"
            )
        return compiled(pieces, function, *types, **settings)

    monkeypatch.setattr(Pieces, "compiled", checked)
