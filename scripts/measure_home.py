"""Measure the curves that the home page shows and write them to assets/home.json."""

import json
from pathlib import Path

import jax

from core.config import RunConfig
from core.data import load
from core.run import train

OUT = Path(__file__).parents[1] / "assets" / "home.json"
LOSSES = {"naive": "as in the textbook", "question_stable": "clipped", "from_logits": "from logits"}


def main() -> None:
    """Ten steps of the question, seed 0, with three ways to write the same loss."""
    rows = []
    for loss, label in LOSSES.items():
        config = RunConfig(loss=loss)
        for snapshot in train.run(config, load(config.source, config.train_size)):
            nan = snapshot.saturation.nonfinite > 0
            accuracy = None if nan else round(snapshot.train_accuracy, 4)
            rows.append({"step": snapshot.step, "accuracy": accuracy, "loss": label})
    measured = f"JAX {jax.__version__} on a {jax.devices()[0].platform.upper()}, seed 0"
    OUT.write_text(json.dumps({"measured_with": measured, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
