"""The benchmarks in short: they finish, complain of nothing and print what they document.

No time is judged here: a machine that is busy must not fail a test.
"""

import json
import subprocess
import sys

import pytest

from benchmarks._client import LOOPBACK, Session, percentile
from benchmarks._server import ROOT
from benchmarks.live import chromium

LONGEST = 600  # seconds; a guard against hanging


def figures(*command: str) -> dict:
    """The JSON that a benchmark prints."""
    answer = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    return json.loads(answer.stdout)


def test_epoch_prints_all_three_side_by_side():
    shown = figures("benchmarks.epoch", "--engine", "--rounds", "1", "--images", "2000")
    assert shown["data"] in ("mnist", "random bytes")
    for name in ("bare", "product", "engine"):
        assert len(shown[name]["seconds"]) == shown["rounds"] == 1
        assert shown[name].keys() == {"seconds", "median", "cpu_median"}
    for name in ("product", "engine"):
        assert {f"{name}_over_bare{what}" for what in ("", "_cpu", "_rounds")} <= shown.keys()


def test_epoch_of_the_network_that_drops():
    network = ("--network", "keep_or_drop", "--rounds", "1", "--images", "2000")
    shown = figures("benchmarks.epoch", *network)
    assert shown["network"] == "keep_or_drop"
    assert shown["product_over_bare"] > 0


@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH")
def test_live_drives_a_real_browser():
    short = "--sample --changes 2 --frames 5 --epochs 20 --bare-rounds 0"
    shown = figures("benchmarks.live", *short.split())
    assert shown["errors"] == []
    assert shown["slider"]["count"] == 2
    alone, with_grey = shown["frame"]["run"], shown["frame"]["run_and_grey"]
    assert alone["count"] == with_grey["count"] == 5
    assert 4 * 400 < alone["points"] < with_grey["points"]
    assert shown["epoch"]["data"] == "sample"
    assert shown["epoch"]["steps"] > 0
    assert shown["frames"].keys() == {"per_second", "largest_gap_ms"}


@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH")
def test_cold_visits_each_peer_at_once_and_later():
    shown = figures("benchmarks.cold", "--rounds", "1", "--settle", "1")
    assert shown.keys() == {"here", "small"}
    for peer in shown.values():
        assert peer.keys() == {"listens_s", "at_once_s", "total_s", "idle_mb", "later_s"}
        assert all(len(figure["values"]) == 1 for figure in peer.values())


@pytest.mark.parametrize(
    ("scenario", "fields"),
    [
        (
            "thirty-seeds --sessions 3 --changes 2",
            {"open_s", "finish_s", "half_time", "slider_ms", "slider_at_once_ms"},
        ),
        ("one-preset --sessions 3", {"open_s", "finish_s", "trainings"}),
        (
            "soak --sessions 2 --minutes 0.2",
            {"actions", "memory_mb", "at_quarter_mb", "at_end_mb", "end_over_quarter"},
        ),
        ("drop", {"same_session", "step_before", "step_after", "still_running", "trainings"}),
        ("stop", {"exit_code", "seconds", "orphans", "still_listening", "last_log"}),
    ],
)
def test_load(scenario: str, fields: set[str]):
    shown = figures("benchmarks.load", *scenario.split())
    assert fields <= shown.keys()
    assert {"scenario", "sessions", "first_open_s", "server_cpu_s"} <= shown.keys()
    assert shown["errors"] == shown["server_errors"] == []
    assert shown.get("same_session", True)
    assert shown.get("trainings") in (None, 1)
    assert shown.get("orphans", []) == []


def test_close_waits_for_the_lease():
    shown = figures("benchmarks.load", "close")
    assert shown["errors"] == []
    assert {"paused_after_s", "idle_after_s", "freed_after_s"} <= shown.keys()


def test_the_client_speaks_to_this_machine_only():
    with pytest.raises(ValueError, match="allowed are the hosts"):
        Session("http://example.org:8501")
    for host in LOOPBACK:
        Session(f"http://[{host}]:1" if ":" in host else f"http://{host}:1")


def test_percentile_is_a_value_of_the_list():
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile(list(map(float, range(1, 101))), 0.95) == 95.0
    assert percentile([1.0], 0.5) == 1.0
