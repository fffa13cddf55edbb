"""CAUSES: what may be wrong with a run, each measured on its own snapshots.

A cause is one function: it measures, and where it fits it says so, with its cure. The first that
fits is said and the others stand behind it. A sentence says what was seen. Where one foretells, the
Diagnosis's `holds` says what must come true, and benchmarks.truth holds that against the rest of
some hundred runs.
"""

from collections.abc import Sequence

from core.config import RunConfig
from core.run.diagnosis import batches, labels, losses, numbers, pieces, results, silence, steps
from core.run.diagnosis.evidence import Cause, Diagnosis, Evidence, percent
from core.run.snapshot import Snapshot

__all__ = ["CAUSES", "Diagnosis", "Evidence", "diagnose", "percent"]

CAUSES: dict[str, Cause] = {
    cause.__name__: cause
    for cause in (
        numbers.overflow,
        numbers.broken_weights,
        numbers.breaking_step,
        numbers.nan,
        numbers.nonfinite_gradients,
        labels.shifted_labels,
        silence.stopped,
        silence.all_silent,
        losses.softmax_twice,
        losses.taken_for_probabilities,
        pieces.lost_in_epsilon,
        steps.clipped,
        steps.too_small,
        silence.silent,
        numbers.vanishing,
        numbers.rounded_away,
        batches.unmixed,
        results.dropout_too_strong,
        silence.silent_layer,
        silence.dead_units,
        pieces.decayed,
        steps.one_answer,
        steps.too_large,
        losses.divided_by_outputs,
        losses.each_output,
        pieces.averages_apart,
        pieces.far_from_chance,
        steps.too_slow,
        batches.small_last_batch,
        results.worse_than_copying,
        results.memorising,
        results.reported,
        results.learning,
    )
}


def diagnose(config: RunConfig, snapshots: Sequence[Snapshot]) -> list[Diagnosis]:
    """The causes that fit a run's snapshots so far, the first one first. There is always one.

    Behind broken weights comes since when they are broken, and what was said of them before.
    """
    evidence = Evidence(config, snapshots)
    diagnoses = {key: cause(evidence) for key, cause in CAUSES.items()}
    fitting = [fits._replace(cause=key) for key, fits in diagnoses.items() if fits]
    return [fitting[0], *_before_the_break(evidence, fitting[0]), *fitting[1:]]


def _before_the_break(evidence: Evidence, first: Diagnosis) -> list[Diagnosis]:
    """Where weights are broken: since when, and what the last look before said, perhaps the cause.

    It is no cause of its own, and has no key in CAUSES.
    """
    if first.cause != numbers.broken_weights.__name__ or not (before := evidence.unbroken):
        return []
    then, now = before[-1].step, evidence.snapshots[len(before)].step
    between = f"at step {now:,}" if now == then + 1 else f"between steps {then:,} and {now:,}"
    sentence, said = f"The weights broke {between}.", diagnose(evidence.config, before)[0]
    if said.cause != results.learning.__name__:
        sentence += f" Step {then:,} said: “{said.sentence}”"
    return [Diagnosis(sentence)]
