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
from dataclasses import asdict
from itertools import groupby
from typing import Any

from benchmarks._server import say
from core.config import RunConfig, agree
from tests.kit.runs import trained
from tests.kit.truth import probed, settings, verdicts


def cured(config: RunConfig) -> tuple[str, RunConfig] | None:
    """The first cause at the run's end that has a cure, and the setting that it gives."""
    for finding in probed(config)[-1][1]:
        if finding.cure:
            return finding.cause, agree({**asdict(config), **finding.cure})[0]
    return None


def final(config: RunConfig, cause: str) -> float:
    """The accuracy that a cure of this cause is judged by; NaN predictions are none right."""
    last = trained(config)[-1]
    if last.saturation.nonfinite > 0:
        return 0.0
    return last.test_accuracy if cause == "memorising" else last.train_accuracy


def measure(config: RunConfig) -> dict[str, Any]:
    """One setting's row."""
    looks = probed(config)
    firsts = [findings[0].cause for _, findings in looks]
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
        firsts = [findings[0].cause for _, findings in probed(config)]
        said.update(set(firsts))
        looks.update(firsts)
        for cause, true in verdicts(config):
            (held if true else broken)[cause] += 1
        say(f"{i + 1}/{len(every)} {rows[-1]}")
        trained.cache_clear()
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
