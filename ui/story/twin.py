"""Runs that a story tells of, and the session's hold on them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st

from core.config import RunConfig
from core.parts.losses import LOSSES
from core.run.job import Status, Viewer
from core.run.snapshot import Snapshot
from ui.engine import engine
from ui.state import Values


class Twin(NamedTuple):
    """One of the runs, under the name and in the colour that the story gives it."""

    label: str
    config: RunConfig
    colour: str


Twins = Sequence[Twin]  # two or more, which differ in one thing


def with_own_epsilon(loss: str, values: Values) -> RunConfig:
    """A run with this loss as its framework has it."""
    own = LOSSES[loss].epsilon
    return RunConfig(loss=loss, **(values if own is None else {**values, "epsilon": own}))


def viewers(configs: Mapping[str, RunConfig]) -> dict[str, Viewer]:
    """The session's viewers of these runs, by name; a changed configuration starts anew."""
    held: dict[str, Viewer] = st.session_state.setdefault("story_viewers", {})
    for name, config in configs.items():
        viewer = held.get(name)
        if viewer is None or viewer.config != config or not viewer.alive():
            if viewer is not None:
                viewer.stop()
            held[name] = engine().submit(config)
    return {name: held[name] for name in configs}


def viewers_of(twins: Twins) -> dict[str, Viewer]:
    """The session's viewers of twins, by label."""
    return viewers({twin.label: twin.config for twin in twins})


def all_done(held: Mapping[str, Viewer]) -> bool:
    """Whether every run has ended well."""
    return all(viewer.view().status is Status.DONE for viewer in held.values())


def snapshots(twin: Twin) -> list[Snapshot]:
    """All that the run of a twin has shown."""
    return viewers_of([twin])[twin.label].view().snapshots
