"""A probe: how the code of a piece is run in its framework, and what that should give."""

import importlib
import importlib.metadata
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from core.study.atlas.piece import FRAMEWORKS

Observed = list[np.ndarray]
# What code in `write` may call -> the module. It is imported only if the code does.
MODULES = {
    "jax": "jax",
    "jnp": "jax.numpy",
    "optax": "optax",
    "optimizers": "jax.example_libraries.optimizers",
    "stax": "jax.example_libraries.stax",
    "flax": "flax",
    "equinox": "equinox",
    "keras": "keras",
    "torch": "torch",
    "tf": "tensorflow",
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How to ask a framework about a piece.

    `observe(framework, code)` runs code and returns numbers; `expect(value, framework)` are those
    that a value of the piece should give. Numbers agree if none is off by more than `rtol` of the
    largest in its array.
    """

    bare: Mapping[str, str]  # framework -> code that says all but what the piece is about
    observe: Callable[[str, str], Observed]
    expect: Callable[[str, str], Observed]
    rtol: float = 1e-5
    # Framework -> two values that cannot be told apart there.
    alike: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def agrees(self, observed: Observed, value: str, framework: str) -> bool:
        """Whether a framework did what this value says."""
        expected = self.expect(value, framework)
        return len(observed) == len(expected) and all(
            np.shape(a) == np.shape(b)
            and bool(np.all(np.abs(a - b) <= self.rtol * max(np.max(np.abs(b)), 1e-300)))
            for a, b in zip(observed, expected, strict=True)
        )


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run the code of a piece, with the modules that it uses, and return all names afterwards.

    Skips the test if one of the modules is not installed.
    """
    space: dict[str, Any] = {"itertools": itertools, "math": math, **names}
    for name, module in MODULES.items():
        if f"{name}." in code:
            space[name] = installed(module)
    exec(code, space)
    return space


def installed(module: str) -> Any:
    """Import a module, or skip the test without it."""
    if importlib.util.find_spec("triton"):  # PyTorch's, which crashes if TensorFlow, which Flax
        importlib.import_module("triton")  # loads as well, comes before it
    if module == "flax":
        pytest.importorskip("flax.linen")
    return pytest.importorskip(module)


def array(x: Any) -> np.ndarray:
    """Any framework's array, or a variable, as float64."""
    if hasattr(x, "detach"):
        x = x.detach()
    return np.asarray(x, np.float64)


@contextmanager
def versions(framework: str) -> Iterator[None]:
    """Add to a failure which versions were read and which are installed."""
    try:
        yield
    except Exception as fault:
        for package, read in FRAMEWORKS[framework].versions.items():
            fault.add_note(f"{package} was read in {read}; installed is {_installed(package)}")
        raise


def _installed(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"
