"""What may be loaded when: the home page comes up at once, and charts and engine stay apart."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from ui.pages import PAGES

HEAVY = ("jax", "tensorflow_datasets", "altair", "optax")

# Runs the home page as Streamlit does, without a browser.
HOME = """
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("app.py", default_timeout=60).run()
assert not page.exception, page.exception
assert page.title[0].value == "Same(?) net"
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (HOME, HEAVY),
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


def test_no_page_in_a_folder_named_pages() -> None:
    """Streamlit would serve those by itself, before app.py has run."""
    assert not [file for file in ROOT.rglob("pages/*.py") if ".venv" not in file.parts]


def test_every_page_has_its_file() -> None:
    assert all((ROOT / row.file).is_file() for row in PAGES.values())
