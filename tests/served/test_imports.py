"""Imports load only what they need: the server listens at once; charts and engine stay apart."""

import subprocess
import sys

import pytest

from tests.kit import ROOT
from ui.pages import PAGES

HEAVY = ("jax", "tensorflow_datasets", "altair", "optax")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import app", HEAVY),
        ("import core.data", HEAVY),
        ("import core.run.snapshot", HEAVY),
        ("import core.run.engine", ("streamlit", "altair", "tensorflow_datasets", "ui")),
        ("import ui.charts.live", ("jax", "streamlit", "core.run.train")),
        ("import ui.charts.home", ("jax", "streamlit", "altair")),
    ],
    ids=lambda value: value.strip().splitlines()[-1][:40] if isinstance(value, str) else "",
)
def test_loads_nothing_it_does_not_need(code: str, unwanted: tuple[str, ...]) -> None:
    report = f"\nimport sys\nprint(*(set({unwanted!r}) & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []


def test_no_folder_named_pages_beside_the_script_that_the_app_runs() -> None:
    """Streamlit would serve the files in such a folder, and show the wrong page for a deep link."""
    assert not (ROOT / "ui/pages").exists()


def test_every_page_has_its_file() -> None:
    assert all((ROOT / row.file).is_file() for row in PAGES.values())


# Record what will be called when the process ends, in the order of registration.
NOTE = """
import atexit
register, noted = atexit.register, []
atexit.register = lambda call, *rest: (noted.append(call.__qualname__), register(call, *rest))[1]
from ui import main, server  # as app.py does
from ui.engine import engine
engine()
print(*noted)
"""


def test_pages_and_runs_end_before_jax_cleans_up() -> None:
    """What is registered last is called first: pages end, then runs, then JAX.

    `wait_for_scripts` is registered a second time, early, in case the process ends before there is
    an engine while pages are still importing.
    """
    ran = subprocess.run([sys.executable, "-c", NOTE], cwd=ROOT, capture_output=True, text=True)
    ends = ["wait_for_scripts", "clean_up", "Engine.close", "wait_for_scripts"]
    assert [name for name in ran.stdout.split() if name in ends] == ends, ran.stderr
