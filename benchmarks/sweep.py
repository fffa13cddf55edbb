"""Seconds a cell: a sweep beside a loop of single runs, taking turns in one process.

The cells are seeds of the question's preset or, with --network tiny, of a network of 8 units on 100
images that trains for 10 steps. `sweep` is core.study.sweep.sweep into memory. `alone` is a loop of
core.run.train.run, which looks at the network as often as the trainer does. `unseen` is a loop of
the run's own programs that looks only once, at the end, as a sweep does. One warm-up of each is not
counted.

JSON:
  network, device, cells, rounds
  sweep, alone, unseen
               seconds: wall seconds a cell in each round; median: their median; cpu_median: median
               CPU seconds of the whole process, which depend less on other programs on the machine
  sweep_over_alone, sweep_over_unseen
               ratio of the medians; with _cpu, ratio of the CPU medians
  resident     MB of the process after the first and the last round
  ways         with --ways: seconds a step of one run when runs are mapped in turn and all at once
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import jax
import psutil

from benchmarks._server import say
from core.config import RunConfig
from core.data import load
from core.run import entry, train
from core.run.prepare import device_data
from core.study import lanes, states
from core.study.sweep import Memory, Plan, sweep

NETWORKS = {
    "question": RunConfig(),
    "tiny": RunConfig(
        train_size=100, batch_size=20, widths=(8,), scaling="unit", epochs=2, loss="from_logits"
    ),
}


def swept(plan: Plan) -> None:
    for _ in sweep(plan, Memory()):
        pass


def alone(plan: Plan) -> None:
    data = load(plan.base.source, plan.base.train_size)
    for config in plan.cells:
        for _ in train.run(config, data):
            pass


def unseen(plan: Plan) -> None:
    data = device_data(plan.base, lambda fraction, text: None)
    program = train.program(train.shape(plan.base))
    images = len(data.test_images)
    for config in plan.cells:
        knobs = train.knobs(config)
        *_, end = states.states(config, data)
        jax.device_get(
            program.diagnose(end.state, data.train_images, data.train_labels, end.order, knobs)[0]
        )
        program.held_out(images)(end.state.weights, data.test_images, data.test_labels, knobs)


LOOPS = {"sweep": swept, "alone": alone, "unseen": unseen}


def measure(loop: Callable[[Plan], None], plan: Plan) -> tuple[float, float]:
    """Wall and CPU seconds a cell."""
    wall, cpu = time.perf_counter(), time.process_time()
    loop(plan)
    return (
        (time.perf_counter() - wall) / plan.size,
        (time.process_time() - cpu) / plan.size,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="question")
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", action="store_true")
    options = parser.parse_args()
    entry.begin()
    base = NETWORKS[options.network]
    plan = Plan(base=base, axes={"seed": tuple(range(options.cells))})
    for loop in LOOPS.values():
        loop(Plan(base=base, axes={"seed": (0, 1)}))
    process, resident = psutil.Process(), []
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in LOOPS}
    for at in range(options.rounds):
        for name, loop in LOOPS.items():
            took[name].append(measure(loop, plan))
            say(f"round {at + 1}, {name}: {took[name][-1][0]:.4f} s a cell")
        resident.append(round(process.memory_info().rss / 1e6))
    figures = {
        name: {
            "seconds": [wall for wall, _ in each],
            "median": statistics.median(wall for wall, _ in each),
            "cpu_median": statistics.median(cpu for _, cpu in each),
        }
        for name, each in took.items()
    }
    ratios = {
        f"sweep_over_{name}{suffix}": figures["sweep"][key] / figures[name][key]
        for name in ("alone", "unseen")
        for suffix, key in (("", "median"), ("_cpu", "cpu_median"))
    }
    told = {
        "network": options.network,
        "device": jax.devices()[0].device_kind,
        "cells": options.cells,
        "rounds": options.rounds,
        **figures,
        **ratios,
        "resident": [resident[0], resident[-1]],
    }
    if options.ways:
        data = device_data(base, lambda fraction, text: None)
        told["ways"] = {
            name: lanes.seconds_a_step(base, data, lanes.Way(name, 1)) for name in lanes.WAYS
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
