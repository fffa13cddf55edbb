"""FRAMEWORKS: what a run can be written in, and the files of each."""

from collections.abc import Callable
from dataclasses import dataclass

from core.config import RunConfig
from core.export import carried, in_jax, in_keras, in_torch, shared
from core.export.script import Script
from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Framework(Row):
    """A framework that a run can be written in."""

    write: Callable[[RunConfig], Script]
    draws: bool = False  # whether it draws the trainer's own weights and batches


FRAMEWORKS = Registry(
    "framework",
    [
        Framework(
            key="jax",
            label="JAX",
            summary="stax for the network, optax for the steps.",
            reference="jax.example_libraries.stax, JAX 0.10.2; optax 0.2.8",
            write=in_jax.script,
            draws=True,
        ),
        Framework(
            key="keras",
            label="Keras 3",
            summary="Its own layers, losses and optimizers, on the backend of its loss.",
            reference="Keras 3.15",
            write=in_keras.script,
        ),
        Framework(
            key="torch",
            label="PyTorch",
            summary="Its own layers, losses and optimizers.",
            reference="PyTorch 2.13",
            write=in_torch.script,
        ),
    ],
)


def script(config: RunConfig, framework: str) -> Script:
    """The run as a script of a framework; its `cannot` says what the script does not do."""
    return FRAMEWORKS[framework].write(config)


def notebook(config: RunConfig, framework: str) -> str:
    """The same as a notebook: JSON of nbformat 4."""
    return script(config, framework).notebook


def files(config: RunConfig, framework: str) -> dict[str, bytes]:
    """What the script reads: file names and their contents; nothing if there is no whole script.

    Raises DataUnavailable.
    """
    row = FRAMEWORKS[framework]
    if not script(config, framework).whole:
        return {}
    read = {shared.DATA: carried.data(config, ordered=not row.draws)}
    return read if row.draws else {**read, shared.WEIGHTS: carried.weights(config)}
