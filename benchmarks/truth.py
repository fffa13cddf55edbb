"""Is every sentence of the diagnosis true? Odd settings are trained to the end to find out.

`python -m benchmarks.truth` trains each setting on the sample, diagnoses it at every look, and
counts:

held, broken  for each cause whose sentence makes a prediction: how often a later look of the same
              run agreed with it, and how often not; each pair of sentence and later look counts
said          in how many settings each cause was named first, and at how many looks
cures         the first cause with a cure at the end of each setting: the cured setting is run too.
              helped: its final accuracy is higher by more than 0.01; worse: lower by more than
              the rounding band. The accuracy is on held-out images where the cause is memorising,
              otherwise on training images. The band is the range of final training accuracies
              of the run or of the cured one, whichever is wider, over the run and COPIES of it
              from weights nudged by one rounding; it is measured where accuracy fell.

JSON: settings; said_in_settings; said_at_looks; held; broken; cures: by cause {offered, helped,
worse}; and rows, one for each setting: what differs from the default, the first cause at each look
(repeats are joined), first and final accuracy, the cause cured, its cure, the gain in accuracy
and, where it is negative, the rounding band.
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
from core.run.prepare import device_data
from core.study import band
from tests.kit.runs import trained
from tests.kit.truth import probed, settings, verdicts

COPIES = 5


def cured(config: RunConfig) -> tuple[str, RunConfig] | None:
    """The first cause at the end of the run that has a cure, and the cured setting."""
    for diagnosis in probed(config)[-1][1]:
        if diagnosis.cure:
            return diagnosis.cause, agree({**asdict(config), **diagnosis.cure})[0]
    return None


def final(config: RunConfig, cause: str) -> float:
    """The accuracy by which a cure of this cause is judged; 0 if predictions are not finite."""
    last = trained(config)[-1]
    if last.saturation.nonfinite > 0:
        return 0.0
    return last.test_accuracy if cause == "memorising" else last.train_accuracy


def rounding_band(config: RunConfig, cured: RunConfig) -> float:
    """The range of final scores over a run and its nudged copies, of whichever run's is wider."""
    return max(map(_range, (config, cured)))


def _range(config: RunConfig) -> float:
    copies = band.copies(config, device_data(config), COPIES)
    scores = [copy.score[-1] for copy in copies if copy is not None]
    scores = [0.0 if math.isnan(score) else float(score) for score in scores]
    scores.append(final(config, ""))
    return max(scores) - min(scores)


def measure(config: RunConfig) -> dict[str, Any]:
    """The row of one setting."""
    looks = probed(config)
    firsts = [diagnoses[0].cause for _, diagnoses in looks]
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
        if gain < 0:
            row["band"] = round(rounding_band(config, better), 3)
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
        firsts = [diagnoses[0].cause for _, diagnoses in probed(config)]
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
            "worse": sum(row["cause"] == cause and _worse(row) for row in offered),
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


def _worse(row: dict[str, Any]) -> bool:
    return bool(row["gain"] < 0 and -row["gain"] > row["band"])


def _finite(value: Any) -> Any:
    """Replace NaN and infinities by their names, because JSON has none."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


if __name__ == "__main__":
    main()
