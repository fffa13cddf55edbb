"""The trainer's diagnosis of each twin, at a step that the visitor chooses."""

from collections.abc import Mapping

import streamlit as st

from core.run.diagnosis import diagnose
from core.run.snapshot import Snapshot
from ui.story.twin import Twins, snapshots


def diagnoses(twins: Twins, key: str, at: float) -> None:
    """Draw a slider over the steps, and the first diagnosis of each run at the chosen step.

    Args:
      at: where the slider is at first, as a share of the steps.
    """
    runs = {twin.label: snapshots(twin) for twin in twins}
    steps = sorted({snapshot.step for run in runs.values() for snapshot in run})
    first = min(steps, key=lambda step: abs(step - at * steps[-1]))
    st.fragment(_diagnoses)(twins, runs, steps, first, key)


def _diagnoses(
    twins: Twins, runs: Mapping[str, list[Snapshot]], steps: list[int], first: int, key: str
) -> None:
    step = st.select_slider("after step", steps, first, key=key)
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        so_far = [snapshot for snapshot in runs[twin.label] if snapshot.step <= step]
        finding = diagnose(twin.config, so_far)[0]
        column.info(f"**{twin.label}**: {finding.sentence}", icon=":material/stethoscope:")
