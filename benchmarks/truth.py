"""Is every sentence true? Odd settings run to their end, each sentence held against the rest.

`python -m benchmarks.truth`: trains each setting on the sample, diagnoses it at every look, and

held, broken  for each cause that foretells: how often a later look of the same run bore it out,
              and how often not; each pair of sentence and later look is counted
said          in how many settings each cause was the first to be named, and at how many looks
cures         for the first cause with a cure at each setting's end: the cured setting is run as
              well; helped: its final accuracy (on held-out images where the cause is memorising,
              else on training images) is higher by more than a hundredth; worse: lower by as much

JSON: settings; said; held; broken; broken_settings; cures: by cause {offered, helped, worse}; and
rows, one a setting: what differs from the default, the first cause at each look (runs of the same
one are one), first and final accuracy, the cure and the accuracy that it gave.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from itertools import groupby
from typing import Any

from benchmarks._server import say
from core.config import RunConfig, agree
from core.data import load
from core.parts.losses import losses_for
from core.parts.precisions import PRECISIONS
from core.run import train
from core.run.diagnosis import Evidence, Finding, diagnose
from core.run.snapshot import Snapshot

DIGITS: dict[str, Any] = {
    "task": "digits", "loss": "from_logits", "widths": (256,), "batch_size": 100, "epochs": 3,
    "scaling": "unit",
}  # fmt: skip
DEEP: dict[str, Any] = {**DIGITS, "widths": (256,) * 4, "initializer": "glorot_uniform"}


def settings() -> Iterator[RunConfig]:
    """Losses, rates, epsilons, dropout, optimizers, tasks, scalings, batches, number formats."""
    changes: list[dict[str, Any]] = [{"loss": loss} for loss in losses_for("binary")]
    changes += [{"seed": seed} for seed in (1, 2, 3, 5)]
    rates = (1e-8, 1e-6, 1e-4, 1e-3, 0.1, 1.0, 30.0, 1e3)
    for loss in ("question_stable", "from_logits", "torch_bce"):
        changes += [{"loss": loss, "learning_rate": rate} for rate in rates]
    changes += [{"epsilon": epsilon} for epsilon in (1e-12, 1e-3, 0.1, 0.499)]
    changes += [{"scaling": scaling, "epochs": 30} for scaling in ("unit", "standardised")]
    for loss in ("question_stable", "from_logits"):
        changes += [{"loss": loss, "dropout": "rate", "dropout_value": v} for v in (0.5, 0.9)]
        changes += [
            {"loss": loss, "optimizer": "adam", "learning_rate": rate, "epochs": 30}
            for rate in (1e-3, 0.1)
        ]
        changes += [{"loss": loss, "optimizer": "momentum", "epochs": 30}]
        changes += [{"loss": loss, "batch_size": batch, "epochs": 3} for batch in (10, 100)]
        changes += [{"loss": loss, "train_size": 4000, "batch_size": 4000}]
        changes += [{"loss": loss, "widths": (1,)}, {"loss": loss, "widths": (64,) * 8}]
    changes += [{**DIGITS, "loss": loss} for loss in losses_for("softmax")]
    changes += [{**DIGITS, "loss": loss, "scaling": "raw"} for loss in losses_for("softmax")]
    for rate in (1e-8, 1e-3, 1.0, 30.0, 1e3):
        changes += [{**DIGITS, "learning_rate": rate}]
        changes += [{**DIGITS, "learning_rate": rate, "optimizer": "adam"}]
    for dropout, value in (("rate", 0.7), ("rate", 0.95), ("keep_prob", 0.7), ("keep_prob", 0.1)):
        drop = {"dropout": dropout, "dropout_value": value}
        changes += [{**DEEP, **drop, "optimizer": "adam", "learning_rate": 1e-3, "epochs": 6}]
    changes += [{**DIGITS, "train_size": 200, "optimizer": "adam", "learning_rate": 1e-3,
                 "epochs": 60}]  # fmt: skip
    for precision in PRECISIONS:
        formats: list[dict[str, Any]] = [{"loss": loss} for loss in ("naive", "question_stable")]
        formats += [{"loss": "from_logits", "learning_rate": rate} for rate in (0.01, 1.0)]
        formats += [{**DIGITS, "learning_rate": 0.1}, {**DIGITS, "scaling": "raw", "loss": "clip"}]
        formats += [{**DIGITS, "optimizer": "adam", "learning_rate": 1e-3}]
        changes += [{**change, "precision": precision} for change in formats]
    for change in changes:
        yield agree(change)[0]


def probed(config: RunConfig) -> list[tuple[Snapshot, list[Finding]]]:
    """Every look of a run with its findings."""
    seen = run(config)
    return [(look, diagnose(config, seen[: i + 1])) for i, look in enumerate(seen)]


@cache
def run(config: RunConfig) -> list[Snapshot]:
    """A run to its end."""
    return list(train.run(config, load(config.source, config.train_size)))


def verdicts(config: RunConfig) -> Iterator[tuple[str, bool]]:
    """For each sentence that foretells and each later look: its cause, and whether it held."""
    looks = probed(config)
    seen = [look for look, _ in looks]
    for i, (_, findings) in enumerate(looks):
        evidence = Evidence(config, seen[: i + 1])
        for finding in findings:
            if finding.cause.holds is not None:
                for later in seen[i + 1 :]:
                    yield finding.cause.key, finding.cause.holds(evidence, later)


def cured(config: RunConfig) -> tuple[str, RunConfig] | None:
    """The first cause at the run's end that has a cure, and the setting that it gives."""
    for finding in probed(config)[-1][1]:
        if finding.cure:
            return finding.cause.key, agree({**asdict(config), **finding.cure})[0]
    return None


def final(config: RunConfig, cause: str) -> float:
    """The accuracy that a cure of this cause is judged by; NaN predictions are none right."""
    last = run(config)[-1]
    if last.saturation.nonfinite > 0:
        return 0.0
    return last.test_accuracy if cause == "memorising" else last.train_accuracy


def measure(config: RunConfig) -> dict[str, Any]:
    """One setting's row."""
    looks = probed(config)
    firsts = [findings[0].cause.key for _, findings in looks]
    row: dict[str, Any] = {
        "setting": config.differences(),
        "first_causes": [f"{key} x{len(list(same))}" for key, same in groupby(firsts)],
        "first_accuracy": round(looks[0][0].train_accuracy, 3),
        "final_accuracy": round(looks[-1][0].train_accuracy, 3),
    }
    if found := cured(config):
        cause, better = found
        change = {k: v for k, v in asdict(better).items() if v != getattr(config, k)}
        gain = final(better, cause) - final(config, cause)
        row |= {"cause": cause, "cure": change, "gain": round(gain, 3)}
    return row


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, help="so many settings only")
    options = parser.parse_args()
    rows, held, broken, said, looks = [], Counter(), Counter(), Counter(), Counter()
    every = list(dict.fromkeys(settings()))[: options.only]
    for i, config in enumerate(every):
        rows.append(measure(config))
        firsts = [findings[0].cause.key for _, findings in probed(config)]
        said.update(set(firsts))
        looks.update(firsts)
        for cause, true in verdicts(config):
            (held if true else broken)[cause] += 1
        say(f"{i + 1}/{len(every)} {rows[-1]}")
        run.cache_clear()
    offered = [row for row in rows if "cure" in row]
    cures = {
        cause: {
            "offered": sum(row["cause"] == cause for row in offered),
            "helped": sum(row["cause"] == cause and row["gain"] > 0.01 for row in offered),
            "worse": sum(row["cause"] == cause and row["gain"] < -0.01 for row in offered),
        }
        for cause in dict.fromkeys(row["cause"] for row in offered)
    }
    report = {
        "settings": len(rows),
        "said_in_settings": said,
        "said_at_looks": looks,
        "held": held,
        "broken": broken,
        "cures": cures,
        "rows": rows,
    }
    print(json.dumps(_finite(report), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON has no NaN: its name instead."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


if __name__ == "__main__":
    main()
