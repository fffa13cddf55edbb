"""A chart becomes a file, in a process of its own."""

import io
import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.kit import MINUTE, ROOT, more
from tests.unit.test_paper import RUN, SPEC
from ui.charts import convert
from ui.charts.paper import Panel, standalone
from ui.pieces import aside


@pytest.mark.skipif(not convert.installed(), reason="requirements-figures.txt is not installed")
@pytest.mark.parametrize("name", ["png", more("svg"), more("pdf")])
def test_a_chart_becomes_a_file(name: str) -> None:
    spec = standalone(Panel("a chart", SPEC, {"run": RUN}), 300)
    asked = {"size": "column", "specs": [spec], "titles": ["a chart"], "caption": "Seed 3."}

    given = json.dumps({**asked, "format": name}).encode()
    command = [sys.executable, "-m", "ui.charts.convert"]
    done = subprocess.run(command, input=given, capture_output=True, cwd=ROOT, timeout=4 * MINUTE)
    assert done.returncode == 0, done.stderr
    if name == "png":
        picture = Image.open(io.BytesIO(done.stdout))
        assert picture.width == pytest.approx(86 / 25.4 * 300, abs=1)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
    elif name == "pdf":
        (box,) = re.findall(rb"MediaBox *\[ *0 0 ([\d.]+)", done.stdout)
        assert float(box) / 72 * 25.4 == pytest.approx(86, abs=0.01)
    else:
        assert b"the other" in done.stdout


def test_what_a_process_says_last_is_why_it_failed() -> None:
    with pytest.raises(aside.Failed, match="Error"):
        aside.run("ui.charts.convert", given=b"no JSON")
    with pytest.raises(aside.Failed, match="after 0 s"):
        aside.run("http.server", "0", seconds=0.2)
