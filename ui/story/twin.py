"""The runs that a story compares, and the session's viewers of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import streamlit as st

from core.config import RunConfig
from core.parts.losses import LOSSES
from core.run.job import Status, Viewer
from core.run.snapshot import Snapshot
from ui.engine import engine
from ui.pieces.colours import run_colours

MOST = 16  # viewers that a session keeps


class Twin(NamedTuple):
    """One of the runs, with its name and colour in the story."""

    label: str
    config: RunConfig
    colour: str


Twins = Sequence[Twin]  # two or more, which differ in one thing


def twins(shared: RunConfig, variants: Mapping[str, Mapping[str, Any]]) -> list[Twin]:
    """Twins of the shared run; `variants` gives, by name, the fields that each changes."""
    return coloured({name: replace(shared, **changes) for name, changes in variants.items()})


def coloured(configs: Mapping[str, RunConfig]) -> list[Twin]:
    """Twins of these runs by name, each in the colour of the choice that only it has."""
    colours = run_colours(list(configs.values()))
    return [Twin(*each, colour) for each, colour in zip(configs.items(), colours, strict=True)]


def with_own_epsilon(loss: str, shared: RunConfig) -> RunConfig:
    """The shared run with this loss and, if the loss has one, its own epsilon."""
    own = LOSSES[loss].epsilon
    return replace(shared, loss=loss, epsilon=shared.epsilon if own is None else own)


def viewers(configs: Mapping[str, RunConfig]) -> dict[str, Viewer]:
    """The session's viewers of these runs, by name.

    A viewer whose run was freed is replaced. Beyond MOST, the least recently used are stopped.
    """
    kept: dict[RunConfig, Viewer] = st.session_state.setdefault("story_viewers", {})
    asked: dict[str, Viewer] = {}  # two runs of the script may overlap, and share what is kept
    for name, config in configs.items():
        viewer = kept.get(config)
        asked[name] = viewer if viewer and viewer.alive() else engine().submit(config)
        kept.pop(config, None)  # put at the end, so the least recently used is first
        kept[config] = asked[name]
    while len(kept) > max(MOST, len(configs)):
        if oldest := kept.pop(next(iter(kept)), None):
            oldest.stop()
    return asked


def viewers_of(twins: Twins) -> dict[str, Viewer]:
    """The session's viewers of these twins, by label."""
    return viewers({twin.label: twin.config for twin in twins})


def all_done(viewers: Mapping[str, Viewer]) -> bool:
    """True if every run has ended without failing."""
    return all(viewer.view().status is Status.DONE for viewer in viewers.values())


def ends(twins: Twins) -> dict[str, float]:
    """The training accuracy at which each run has ended, by label."""
    return {twin.label: snapshots(twin)[-1].train_accuracy for twin in twins}


def snapshots(twin: Twin) -> list[Snapshot]:
    """All snapshots of a twin's run so far."""
    return viewers_of([twin])[twin.label].view().snapshots
