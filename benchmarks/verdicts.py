"""How often "fact" or "chance" is the right verdict after few runs: the basis of `ENOUGH`.

`ENOUGH` is in ui/story/jax_vs_keras/repetitions.py. Each of the question's seeds is trained with
both of its losses: once as it is, and --copies times from weights moved by one rounding. Where the
final accuracies of these runs differ, the result is chance. A visitor sees only the run itself and
a few of its copies. Such subsets are drawn at random --draws times, and a subset calls a result a
fact by mistake when its own accuracies agree although the whole set's differ.

JSON:
  copies, learning_rate, device
  runs         by "seed, loss": spread: the range of all final accuracies; mistaken: by number of
               runs, the share of the draws that call a fact what is chance (0 where it is a fact)
  worst        by number of runs, the largest of these shares
"""

import argparse
import json

import jax
import numpy as np

from benchmarks._server import say
from core.config import RunConfig
from core.data import load
from core.study import band
from ui.story.jax_vs_keras.repetitions import PERTURBATIONS, SAME, SEEDS

LOSSES = ("question_stable", "clip")
COUNTS = (2, 3, 4, 5, 6, 8, 12, 20)  # including the run whose weights were not moved


def mistaken(ends: np.ndarray, count: int, draws: int, rng: np.random.Generator) -> float:
    """The share of `draws` random subsets whose ends agree, although not all ends do.

    A subset is the run itself, `ends[0]`, and `count - 1` of its copies.
    """
    if np.ptp(ends) < SAME or count > len(ends):
        return 0.0
    copies = np.array([rng.permutation(len(ends) - 1)[: count - 1] + 1 for _ in range(draws)])
    drawn = np.column_stack([np.full(draws, ends[0]), ends[copies]])
    return float(np.mean(np.ptp(drawn, axis=1) < SAME))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=PERTURBATIONS)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--learning-rate", type=float, default=RunConfig().learning_rate)
    asked = parser.parse_args()
    runs = {}
    for seed in range(asked.seeds):
        for loss in LOSSES:
            config = RunConfig(seed=seed, loss=loss, learning_rate=asked.learning_rate)
            data = load(config.source, config.train_size)
            ends = band.collect(band.rounding_band(config, data, asked.copies)).accuracy[:, -1]
            rng = np.random.default_rng(0)
            shares = {count: mistaken(ends, count, asked.draws, rng) for count in COUNTS}
            runs[f"{seed}, {loss}"] = {"spread": float(np.ptp(ends)), "mistaken": shares}
            say(f"seed {seed}, {loss}: spread {np.ptp(ends):.3f}")
    worst = {count: max(run["mistaken"][count] for run in runs.values()) for count in COUNTS}
    print(
        json.dumps(
            {
                "copies": asked.copies,
                "learning_rate": asked.learning_rate,
                "device": jax.devices()[0].device_kind,
                "runs": runs,
                "worst": worst,
            }
        )
    )


if __name__ == "__main__":
    main()
