"""What an entry point sets for its process."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from core.export import real
from core.run import entry
from tests.kit import IN_A_HURRY, ROOT
from tests.kit.runs import DIGITS, trained


@pytest.mark.parametrize(
    ("host", "then"),
    [
        ("", entry.LOOPS),
        ("--xla_cpu_max_isa=AVX2", f"--xla_cpu_max_isa=AVX2 {entry.LOOPS}"),
        (f"{entry.EXTRA}=-inline-threshold=1", f"{entry.EXTRA}=-inline-threshold=1"),
    ],
)
def test_flags_of_the_host_are_kept(host: str, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(entry.FLAGS, host)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for _ in range(2):
        entry.keep_loops()
        assert os.environ[entry.FLAGS] == then
    assert entry.plain(os.environ).get(entry.FLAGS, "") == host


@pytest.mark.parametrize(
    ("platforms", "plugins", "added"),
    [
        ("", (), True),
        ("", ("no_such_plugin", "json"), False),
        ("cpu", ("json",), True),
        ("cuda", (), False),
    ],
)
def test_programs_of_an_accelerator_are_left_as_they_are(
    platforms: str, plugins: tuple[str, ...], added: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(entry, "ACCELERATORS", plugins)
    monkeypatch.delenv(entry.FLAGS, raising=False)
    entry.keep_loops()
    assert (os.environ.get(entry.FLAGS) == entry.LOOPS) is added


def test_a_framework_that_is_not_ours_gets_no_flag_of_ours(tmp_path: Path) -> None:
    assert entry.plain({"HOME": "/", entry.FLAGS: entry.LOOPS}) == {"HOME": "/"}
    assert entry.plain({"HOME": "/"}) == {"HOME": "/"}
    given = {"HOME": "/", entry.FLAGS: entry.LOOPS}
    assert entry.FLAGS not in real._environment(given, "jax", tmp_path)


def test_no_entry_point_begins_with_a_part_of_it() -> None:
    rooms = (ROOT / room for room in ("core", "ui", "benchmarks", "scripts"))
    files = (file for room in rooms for file in room.rglob("*.py"))
    calls = [file for file in files if "memory.keep_buffers(" in file.read_text()]
    assert calls == [ROOT / "core/run/entry.py"]


OPTIMISED = {"xla_backend_optimization_level": "3", "xla_cpu_use_fusion_emitters": True}


def size() -> int:
    """The bytes of a compiled function with a loop over ten classes."""

    def loss(z: Array) -> Array:
        return jnp.sum(jnp.exp(z) * jnp.log(z), axis=-1)

    compiled = jax.jit(loss).lower(jnp.zeros((100, 10))).compile(OPTIMISED)
    return len(compiled.runtime_executable().serialize())


@pytest.mark.skipif(not entry.only_cpu(), reason="an accelerator's programs are left as they are")
def test_loops_are_kept_as_loops() -> None:
    told = "from tests.compiled.test_entry import size; print(size())"
    plain = subprocess.run(
        [sys.executable, "-c", told],
        cwd=ROOT, env=entry.plain(os.environ), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert size() < int(plain.stdout), "this JAX no longer passes the option on to LLVM"


def losses() -> list[float]:
    """The losses of a run at its looks."""
    return [look.loss for look in trained(DIGITS)]


def test_a_run_is_the_same_as_the_product_compiles_it() -> None:
    """Not slow, because slow tests compile as the product does and would compare nothing."""
    told = "from tests.compiled.test_entry import losses; print(*losses())"
    flags = [flag for flag in os.environ[entry.FLAGS].split() if flag not in IN_A_HURRY]
    product = subprocess.run(
        [sys.executable, "-c", told],
        cwd=ROOT, env=os.environ | {entry.FLAGS: " ".join(flags)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    np.testing.assert_allclose(losses(), [float(x) for x in product.stdout.split()], rtol=1e-4)
