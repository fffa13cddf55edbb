"""Sweeps: plans, tables, what survives a crash, and a cluster."""

import csv
import errno
import importlib.util
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import FIELDS, RunConfig
from core.parts.precisions import PRECISIONS
from core.run.train import bytes_needed, shape
from core.study import lanes
from core.study.reproduce.question import ONE_RUN, VARIANTS
from core.study.sweep import (
    BROKEN,
    OUTCOMES,
    SILENT,
    SWEEPS,
    TRAINS,
    Folder,
    Memory,
    Plan,
    Sample,
    Span,
    command,
    from_json,
    sweep,
    table,
    to_csv,
    to_json,
    to_parquet,
)
from core.study.sweep import run as running
from core.study.sweep import store as stores
from core.study.sweep.run import families
from core.study.sweep.table import MEASURED, measured_in
from tests.compiled.test_lanes import alone
from tests.kit import ROOT
from tests.kit.runs import tiny

SMALL = Plan(base=tiny(), axes={"seed": tuple(range(40)), "loss": ("clip", "from_logits")})
MANY = Plan(base=tiny(), axes={"seed": tuple(range(300)), "loss": ("clip", "from_logits")})


def swept(plan: Plan, store: Any = None) -> pa.Table:
    store = store or Memory()
    for _ in sweep(plan, store):
        pass
    return table(plan, store.done())


@pytest.fixture(scope="module")
def small() -> pa.Table:
    return swept(SMALL)


# Plans


spans = st.tuples(st.floats(1e-8, 1e3), st.floats(1e-8, 1e3), st.booleans()).map(
    lambda t: Span(low=min(t[:2]), high=max(t[:2]), log=t[2])
)
plans = st.builds(
    lambda seeds, rate, sample: Plan(
        base=tiny(), axes={"seed": tuple(seeds), "learning_rate": rate}, sample=sample
    ),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True),
    st.one_of(spans, st.just((0.1, 0.5))),
    st.builds(Sample, count=st.integers(1, 50), seed=st.integers(0, 9)),
)


@given(plans)
def test_a_plan_survives_json_and_its_cells_are_allowed(plan: Plan) -> None:
    again = from_json(to_json(plan))
    assert again == plan and again.key == plan.key and again.cells == plan.cells
    assert len(plan.cells) == plan.size
    for values, config in zip(plan.values, plan.cells, strict=True):
        told = dict(zip(plan.axes, values, strict=True))
        assert config == RunConfig(**{**plan.base.differences(), **told})


def test_a_grid_has_every_pair_once() -> None:
    assert SMALL.size == len(SMALL.cells) == len(set(SMALL.cells)) == 80
    assert SMALL.values[:3] == [(0, "clip"), (0, "from_logits"), (1, "clip")]
    widths = Plan(base=tiny(), axes={"widths": ((4,), (4, 4))})
    assert from_json(to_json(widths)) == widths


@pytest.mark.parametrize(
    ("axes", "sample", "message"),
    [
        ({}, None, "at least one axis"),
        ({"seed": ()}, None, "axis seed is empty"),
        ({"color": (1,)}, None, "'color' is not an axis; allowed are source"),
        ({"seed": (0, -1)}, None, "axis seed has -1; allowed is a whole number"),
        ({"seed": (1, 1)}, None, "axis seed has a value twice"),
        ({"loss": ("clip", "hinge")}, None, "axis loss has 'hinge'"),
        ({"seed": tuple(range(1000)), "epsilon": tuple(np.linspace(1e-9, 0.4, 1000).tolist())},
         None, "has 1,000,000 cells; allowed are up to 100,000"),
        ({"seed": (0,)}, Sample(count=10**6), "has 1,000,000 cells"),
        ({"seed": (0,)}, Sample(count=0), "sample count is 0"),
        ({"learning_rate": Span(low=0.1, high=1)}, None, "is a span, of which there is no grid"),
        ({"loss": Span(low=0, high=1)}, Sample(count=2), "axis loss has no numbers"),
        ({"learning_rate": Span(low=0.1, high=1e4)}, Sample(count=2), "axis learning_rate has"),
        ({"learning_rate": Span(low=1.0, high=0.1)}, Sample(count=2), "low comes first"),
    ],
)  # fmt: skip
def test_a_bad_plan_is_refused_with_the_reason(axes: Any, sample: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(axes=axes, sample=sample)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested"),
        ("[]", "a plan is"),
        ('{"axes": {"seed": [0]}}', "version None"),
        ('{"version": 99, "axes": {"seed": [0]}}', "version 99; this program reads 1"),
        ('{"version": 1, "axes": {"seed": 3}}', "an axis is a list"),
        ('{"version": 1, "axes": {"seed": {"low": 1}}}', "cannot be read"),
        ('{"version": 1, "axes": {"seed": [0]}, "extra": 1}', "a plan has no extra"),
        ('{"version": 1, "base": {"colour": 1}, "axes": {"seed": [0]}}', "cannot be read"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_values_that_do_not_fit_together_are_refused_before_training() -> None:
    plan = Plan(base=tiny(), axes={"batch_size": (20, 101)})
    with pytest.raises(ValueError, match="batch_size is 101"):
        sweep(plan, Memory())


def test_a_step_that_the_host_does_not_allow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_STEP_SECONDS", "1e-12")
    with pytest.raises(Exception, match="are allowed"):
        swept(SMALL)


# What a sweep measures


def test_each_of_64_random_cells_is_bit_for_bit_the_run_alone() -> None:
    plan = Plan(
        base=tiny(),
        axes={
            "seed": Span(low=0, high=1000),
            "learning_rate": Span(low=1e-3, high=10, log=True),
            "epsilon": Span(low=1e-9, high=0.1, log=True),
            "loss": ("naive", "question_stable", "clip", "torch_bce", "from_logits"),
            "dropout": ("off", "keep_prob", "rate"),
            "scaling": ("raw", "unit"),
        },
        sample=Sample(count=64, seed=1),
    )
    assert len({lanes.family(config) for config in plan.cells}) == 1
    for row, config in zip(swept(plan).to_pylist(), plan.cells, strict=True):
        own = alone(config)
        np.testing.assert_array_equal(
            (row["final_loss"], row["train_accuracy"]), own, err_msg=str(row)
        )


@pytest.mark.slow
def test_the_ten_seeds_preset_reproduces_the_facts() -> None:
    """One seed is checked: a chaotic cell against its band, the others to within rounding."""
    preset = SWEEPS["ten_seeds"].plan
    assert preset.axes["seed"] == tuple(range(10))
    stated = {variant.loss: variant for variant in VARIANTS if variant.epsilon in (1e-6, 1e-7)}
    assert set(preset.axes["loss"]) <= stated.keys()
    few = Plan(base=preset.base, axes={"loss": preset.axes["loss"], "seed": (1,)})
    for row in swept(few).to_pylist():
        variant = stated[row["loss"]]
        assert variant.chaotic(1) == (row["loss"] == "torch_bce")
        if variant.chaotic(1):  # it may collapse or train, but never as well as from logits
            assert row["outcome"] in (SILENT, TRAINS)
            assert 0.489 < row["train_accuracy"] < ONE_RUN[1]
        else:
            assert row["train_accuracy"] == pytest.approx(variant.stated[1], abs=6e-4)
            assert row["outcome"] == {
                "naive": BROKEN, "keras_tf": TRAINS, "from_logits": TRAINS
            }.get(row["loss"], SILENT)  # fmt: skip


@pytest.mark.slow
def test_an_epsilon_that_rounds_away_saves_nothing() -> None:
    """As the preset's summary says, such runs end in NaN."""
    plan = SWEEPS["epsilon_and_format"].plan
    lost = [
        row["outcome"]
        for row, config in zip(swept(plan).to_pylist(), plan.cells, strict=True)
        if (dtype := PRECISIONS[config.precision].loss.dtype)
        and dtype.type(1) - dtype.type(config.epsilon) == 1
    ]
    assert lost == [BROKEN] * len(lost) and len(lost) >= 30


def test_cells_with_the_same_configuration_share_one_run() -> None:
    plan = Plan(base=tiny(), axes={"epsilon": (1e-7, 1e-3), "loss": ("clip", "from_logits")})
    (family,) = families(plan, {})
    assert sorted(map(len, family.values())) == [1, 1, 2], "logits have no epsilon"
    rows = swept(plan).to_pylist()
    assert [row["epsilon"] for row in rows] == [1e-7, 1e-7, 1e-3, 1e-3]
    assert rows[1]["final_loss"] == rows[3]["final_loss"]


def test_static_fields_divide_cells_into_families() -> None:
    plan = Plan(base=tiny(), axes={"optimizer": ("sgd", "adam"), "epochs": (1, 2), "seed": (0, 1)})
    assert [len(family) for family in families(plan, {})] == [2, 2, 2, 2]


def test_presets_have_only_allowed_cells() -> None:
    assert [row.key for row in SWEEPS.values()] == [
        "ten_seeds", "rate_and_loss", "epsilon_and_format", "optimizer_and_weights"
    ]  # fmt: skip
    for row in SWEEPS.values():
        assert from_json(to_json(row.plan)) == row.plan
        assert len(row.plan.cells) == row.plan.size <= 200


# The table


def test_the_table_is_tidy(small: pa.Table) -> None:
    assert small.column_names[:3] == ["cell", "seed", "loss"]
    assert small["cell"].to_pylist() == list(range(80))
    assert set(small["outcome"].to_pylist()) <= OUTCOMES.keys()
    lines = to_csv(small).decode().splitlines()
    assert len(lines) == 81 and lines[0] == ",".join(small.column_names)
    assert pq.read_table(pa.BufferReader(to_parquet(small))).equals(small)


def test_a_loss_with_commas_is_one_cell_of_the_csv() -> None:
    plan = Plan(base=tiny(), axes={"loss": ("max(z, 0) - z*y + log1p(exp(-abs(z)))",)})
    measured = dict.fromkeys(MEASURED, 0.0) | {"outcome": TRAINS}
    head, row = csv.reader(to_csv(table(plan, {0: measured})).decode().splitlines())
    assert dict(zip(head, row, strict=True))["loss"] == plan.axes["loss"][0]


def test_a_plan_may_write_a_formula_in_another_way() -> None:
    text = '{"version": 1, "base": {"loss": "%s"}, "axes": {"loss": ["clip", "%s"]}}'
    own = "max(z, 0) - z*y"
    assert from_json(text % (own.replace(" ", ""), f" {own}")) == Plan(
        base=RunConfig(loss=own), axes={"loss": ("clip", own)}
    )


def test_a_plan_with_reports_has_a_column_for_them(small: pa.Table) -> None:
    plan = Plan(base=tiny(), axes={"report": ("true", "threshold"), "seed": (0, 1)})
    found = swept(plan)
    assert [name for name in found.column_names if name not in small.column_names] == [
        "report", "reported"
    ]  # fmt: skip
    for row in found.to_pylist():
        assert math.isnan(row["reported"]) == (row["report"] == "true")
    true, otherwise = found["held_out"].to_pylist()[:2], found["held_out"].to_pylist()[2:]
    assert true == otherwise != found["reported"].to_pylist()[2:], "it is no part of training"
    kept = measured_in(found)
    np.testing.assert_array_equal(
        [kept[cell]["reported"] for cell in range(4)], found["reported"].to_pylist()
    )


def test_a_table_from_before_reports_is_read(small: pa.Table) -> None:
    plan = Plan(base=tiny(), axes={"report": ("true",), "seed": (0,)})
    old = small.select(["cell", *MEASURED]).slice(0, 1)
    (row,) = table(plan, measured_in(old)).to_pylist()
    assert row["final_loss"] == old["final_loss"][0].as_py() and math.isnan(row["reported"])


def test_nan_is_nan_in_every_format() -> None:
    plan = Plan(base=tiny(scaling="raw", learning_rate=10.0, loss="naive"), axes={"seed": (0,)})
    found = swept(plan)
    (row,) = found.to_pylist()
    assert row["outcome"] == BROKEN and math.isnan(row["final_loss"])
    assert "NaN" in to_csv(found).decode()


# What is kept


def test_a_sweep_continues_where_it_stopped(
    tmp_path: Path, small: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "EVERY", 0.0)
    left = sweep(SMALL, Folder(tmp_path, SMALL))
    while not next(left):
        pass
    left.close()
    kept = Folder(tmp_path, SMALL).done()
    assert 0 < len(kept) < SMALL.size
    asked: list[RunConfig] = []
    runs = lanes.runs
    monkeypatch.setattr(
        lanes, "runs", lambda configs, data: asked.extend(configs) or runs(configs, data)
    )
    assert swept(SMALL, Folder(tmp_path, SMALL)).equals(small)
    assert len(asked) == SMALL.size - len(kept), "no cell is trained twice"
    assert [file.name for file in tmp_path.glob("*.parquet")] == [stores.WHOLE]
    assert pq.read_table(tmp_path / stores.WHOLE).equals(small)
    assert not list(tmp_path.glob(f"*{stores.TEMPORARY}"))


def test_many_files_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "EVERY", -1.0)
    monkeypatch.setattr(stores, "FILES", 3)
    folder = Folder(tmp_path, SMALL)
    row = {"final_loss": 1.0, "train_accuracy": 0.5, "held_out": 0.5, "gradient_norm": 0.0,
           "outcome": SILENT}  # fmt: skip
    for cell in range(20):
        folder.add({cell: row})
        assert len(list(tmp_path.glob("*.parquet"))) <= 4
        assert sorted(folder.done()) == list(range(cell + 1))


@pytest.mark.parametrize("other", ["plan", "version", "jax", "stranger", "table"])
def test_a_folder_of_something_else_is_left_unchanged(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if other == "stranger":
        (tmp_path / "thesis.txt").write_text("mine")
    elif other == "plan":
        Folder(tmp_path, MANY)
    else:
        Folder(tmp_path, SMALL)
        mark = tmp_path / stores.PLAN
        if other == "version":
            mark.write_text(mark.read_text().replace('"version": 1', '"version": 7'))
        elif other == "jax":
            mark.write_text(mark.read_text().replace(jax.__version__, "0.4.13"))
        else:
            pq.write_table(pa.table({"cell": [0]}), tmp_path / "batch-0.parquet")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    words = {"plan": "another sweep", "version": "version 7", "jax": "0.4.13",
             "stranger": "not the folder of a sweep", "table": "of another sweep"}  # fmt: skip
    with pytest.raises(ValueError, match=words[other]):
        Folder(tmp_path, SMALL).done()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_two_sweeps_do_not_write_to_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    plan, out = tmp_path / "plan.json", tmp_path / "out"
    plan.write_text(to_json(SMALL))
    first = Folder(out, SMALL)
    assert command.main([str(plan), "--out", str(out)]) == 1
    assert "Another sweep is writing to" in capsys.readouterr().err
    first.close()
    Folder(out, SMALL).close()


def test_a_sweep_works_where_there_are_no_file_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    Folder(tmp_path, SMALL).close()


def test_a_place_that_cannot_be_written_to_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written to"):
        Folder(tmp_path / "file" / "folder", SMALL)
    with pytest.raises(OSError, match="cannot be written to"):
        Folder(Path("/proc/sweep"), SMALL)


def test_a_full_disk_loses_no_finished_cell(
    tmp_path: Path, small: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr(stores, "EVERY", 0.0)
    left = sweep(SMALL, folder := Folder(tmp_path, SMALL))
    while not next(left):
        pass
    whole = len(folder.done())
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a: opened(Path("/dev/full"), *a))
    with pytest.raises(OSError, match=r"No space left.*whole"):
        for _ in left:
            pass
    monkeypatch.setattr(Path, "open", opened)
    assert len(Folder(tmp_path, SMALL).done()) == whole > 0
    assert swept(SMALL, Folder(tmp_path, SMALL)).equals(small)


# The command, when it is killed


FAST = (
    "import sys; from core.study.sweep import command, store; store.EVERY = 0.01; "
    "sys.exit(command.main(sys.argv[1:]))"
)


def cached() -> dict[str, str]:
    """Let compiled programs be found in the tests' own folder."""
    return os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FAST, *map(str, arguments)],
        cwd=ROOT, env=cached(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 5])
def test_a_sweep_that_was_killed_again_and_again_has_the_same_table(
    tmp_path: Path, kills: int
) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "out"
    plan.write_text(to_json(MANY))
    rng = random.Random(time.time_ns())
    for _ in range(kills):
        before, running = written(out), start(plan, "--out", out)
        while written(out) <= before and running.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    running = start(plan, "--out", out)
    _, told = running.communicate(timeout=240)
    assert running.returncode == 0, told
    assert "600 of 600 cells" in told
    assert pq.read_table(out / stores.WHOLE).equals(swept(MANY))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["ten_seeds", "--out", "/proc/nowhere"], "cannot be written to"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 1
    assert message in capsys.readouterr().err


def test_progress_shows_the_time_left() -> None:
    assert command.progress(12, 60, 0.5) == "12 of 60 cells, 0.5 s a cell, 24 s left"
    assert command.progress(60, 60, 0.5) == "60 of 60 cells"
    assert "8 min left" in command.progress(0, 1000, 0.5)


# A cluster


needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="requirements-dask.txt"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def process(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT, env=cached() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        running.wait()


@needs_dask
@pytest.mark.slow
def test_a_worker_killed_in_mid_sweep_leaves_every_cell_once(tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "out"
    plan.write_text(to_json(MANY))
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = ("distributed.cli.dask_scheduler", "--host", address, "--no-dashboard")
    worker = ("distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard",
              "--nthreads", "1", "--local-directory", tmp_path)  # fmt: skip
    with process(*scheduler), process(*worker) as first, process(*worker):
        deadline = time.monotonic() + 120
        told = "has no worker"
        while "has no worker" in told or "No scheduler" in told:
            assert time.monotonic() < deadline, told
            running = start(plan, "--out", out, "--scheduler", address)
            while written(out) == 0 and running.poll() is None:
                time.sleep(0.01)
            if running.poll() is None:
                first.kill()
            _, told = running.communicate(timeout=240)
        assert running.returncode == 0, told
    assert pq.read_table(out / stores.WHOLE).equals(swept(MANY))


@pytest.mark.slow
@needs_dask
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_a_scheduler_that_does_not_answer_is_reported(silent: bool, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "axes": {"seed": [0]}}))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if silent else free_port()
        running = start(plan, "--out", tmp_path / "out", "--scheduler", f"tcp://127.0.0.1:{port}")
        _, told = running.communicate(timeout=60)
    assert running.returncode == 1 and "No scheduler answers at tcp://127.0.0.1" in told


def test_every_field_can_be_an_axis() -> None:
    for name in FIELDS:
        own = RunConfig(optimizer="adam").effective(name)
        assert Plan(axes={name: (own,)}).size == 1


def test_a_sweep_keeps_to_what_is_free_with_the_activations_of_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny(batch_size=50)
    weights = bytes_needed(shape(config))
    monkeypatch.setattr(running, "free", lambda: weights + 3 * 4 * 50 * sum(config.widths))
    running.check(config)
    monkeypatch.setattr(running, "free", lambda: weights)
    with pytest.raises(MemoryError, match=r"A run needs .* GB are free"):
        running.check(config)
