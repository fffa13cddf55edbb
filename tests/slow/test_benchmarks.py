"""Short runs of the benchmarks: they finish, complain of nothing and print what they document.

No time is judged here, because a test must not fail on a busy machine. Each benchmark runs as a
process of its own, so no test imports one.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.kit import ROOT
from tests.kit.browser import chromium

pytestmark = pytest.mark.slow
LONGEST = 600  # seconds, in case it hangs


def figures(*command: str) -> dict:
    """Run a benchmark; return the JSON that it prints."""
    answer = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    return json.loads(answer.stdout)


def test_epoch_prints_all_side_by_side():
    shown = figures("benchmarks.epoch", "--engine", "--rounds", "1", "--images", "2000")
    assert shown["data"] in ("mnist", "random bytes")
    for name in ("bare", "product", "steps", "engine"):
        assert len(shown[name]["seconds"]) == shown["rounds"] == len(shown["load"]) == 1
        assert shown[name].keys() == {"seconds", "median", "cpu_median"}
    assert shown["looks"].keys() == {"seconds", "cpu", "share", "share_cpu"}
    for name in ("product", "steps", "engine"):
        assert {f"{name}_over_bare{what}" for what in ("", "_cpu", "_rounds")} <= shown.keys()


def test_sweep_prints_all_three_side_by_side():
    shown = figures("benchmarks.sweep", "--network", "tiny", "--cells", "8", "--rounds", "1")
    for name in ("sweep", "alone", "unseen"):
        assert shown[name].keys() == {"seconds", "median", "cpu_median"}
        assert len(shown[name]["seconds"]) == shown["rounds"] == 1
    assert {"sweep_over_alone", "sweep_over_alone_cpu", "sweep_over_unseen"} <= shown.keys()


@pytest.mark.parametrize("network", ["keep_or_drop", "cnn_28_channels"])
def test_epoch_trains_another_network(network: str):
    short = ("--network", network, "--rounds", "1", "--images", "2000")
    shown = figures("benchmarks.epoch", *short)
    assert shown["network"] == network
    assert shown["product_over_bare"] > 0


def test_verdicts_are_mistaken_less_often_after_more_runs():
    shown = figures("benchmarks.verdicts", "--seeds", "1", "--copies", "6", "--draws", "200")
    assert shown["runs"].keys() == {"0, question_stable", "0, clip"}
    assert shown["worst"]["2"] >= shown["worst"]["4"]


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_peers_train_in_turn(network: str):
    short = ("--network", network, "--rounds", "1", "--images", "500")
    shown = figures("benchmarks.peers", *short)
    assert shown["images"] == 500 and shown["matrix_product_gflops"] > 0
    found = shown["networks"][network]
    assert {"product", "numpy"} <= found["peers"].keys()
    assert not found["peers"].keys() & found["left_out"].keys()
    for ratios in (found["product_over"], found["product_over_cpu"]):
        assert ratios.keys() == found["peers"].keys() - {"product"}
    for peer in found["peers"].values():
        assert len(peer["seconds"]) == 1 and peer["version"] and 0 < peer["share"] < 1.5


def test_numpy_loop_follows_the_gradient():
    pairs = figures("benchmarks._peers.numpy_loop")
    assert len(pairs) > 20
    for gradient, quotient in pairs:
        assert quotient == pytest.approx(gradient, rel=1e-3, abs=1e-5)


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
        (
            "greedy --sessions 2 --heavy widths=1024&epochs=1000",
            {"alone", "heavy", "sweep", "heavy_over_alone", "sweep_over_alone"},
        ),
        ("drop", {"same_session", "step_before", "step_after", "still_running", "trainings"}),
        ("stop", {"exit_code", "seconds", "orphans", "still_listening", "last_log"}),
    ],
)
def test_load_prints_its_figures(scenario: str, fields: set[str]):
    shown = figures("benchmarks.load", *scenario.split())
    assert fields <= shown.keys()
    assert {"scenario", "sessions", "first_open_s", "server_cpu_s"} <= shown.keys()
    assert shown["errors"] == shown["server_errors"] == []
    assert shown.get("same_session", True)
    assert shown.get("trainings") in (None, 1)
    assert shown.get("orphans", []) == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two cores")
def test_slow_prints_where_its_time_goes():
    shown = figures("benchmarks.slow", "--rounds", "1", "--sessions", "2", "--profile")
    names = {f"{what}_{of}_s" for what in ("slider", "at_once") for of in ("median", "p95")}
    names |= {"cold_train_s", "cold_microscope_s", "cold_settled_s"}
    assert shown["here"].keys() == names
    assert all(len(found["values"]) == 1 for found in shown["here"].values())
    assert len(shown["profile"]["here"]) == 4


def test_close_prints_when_the_run_was_freed():
    shown = figures("benchmarks.load", "close")
    assert shown["errors"] == []
    assert {"paused_after_s", "idle_after_s", "freed_after_s"} <= shown.keys()


def test_memory_prints_what_the_server_had_and_let_go():
    shown = figures("benchmarks.memory", "--minutes", "1.2", "--sessions", "2", "--budget", "600")
    assert shown["errors"] == shown["server_errors"] == []
    assert len(shown["resident_mb"]) == len(shown["state"])
    assert sum(shown["visits"].values()) > 0


def test_attack_finds_a_server_that_answers_and_victims_that_train():
    shown = figures("benchmarks.attack", "--share", "0.01", "--victims", "1")
    assert shown["victims_errors"] == [] and shown["restarts"] == 0
    assert set(shown["attacks"]) >= {"queries", "recordings", "files", "widgets", "frames"}
    assert shown["attacks"].pop("files")["others"] == []
    for attack in shown["attacks"].values():
        assert attack["answered"] == attack["sent"] > 0
        assert attack["tracebacks_shown"] == attack["tracebacks_logged"] == attack["runs_lost"] == 0
        assert attack["markup"] == attack["forged"] == []
