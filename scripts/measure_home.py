"""Measure the curves that the home page shows and write them to assets/home.json."""

import json

import jax

from core.data import load
from core.run import train
from ui.home import RECORDED, RUNS, row


def main() -> None:
    """Train ten steps of the question, seed 0, with three ways of writing the same loss."""
    rows = [
        row(label, look)
        for label, config in RUNS.items()
        for look in train.run(config, load(config.source, config.train_size))
    ]
    measured = f"JAX {jax.__version__} on a {jax.devices()[0].platform.upper()}, seed 0"
    RECORDED.write_text(json.dumps({"measured_with": measured, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
