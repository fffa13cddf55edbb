"""The rules that recordings are fitted with are those that runs are trained with."""

from typing import Any

import jax
import numpy as np
import pytest

from core.parts.optimizers import OPTIMIZERS
from core.parts.rules import Settings
from core.study.compare.rules import RULES

NUMBERS = {"beta": 0.8, "beta_2": 0.9, "epsilon": 1e-3}
CASES = [(rule, key) for rule in RULES for key in rule.keys]


@pytest.mark.parametrize(("rule", "key"), CASES, ids=[f"{r.name}-{k}" for r, k in CASES])
def test_a_rule_takes_the_steps_of_its_rows(rule: Any, key: str) -> None:
    row = OPTIMIZERS[key]
    gradients = np.random.default_rng(0).normal(size=(5, 7))
    # Only the rule with a momentum has one.
    beta = NUMBERS["beta"] if "beta" in rule.grid else 0.0
    with jax.enable_x64(True), jax.disable_jit():
        values = (0.1, beta, 1 - beta, NUMBERS["beta_2"], 1 - NUMBERS["beta_2"])
        settings = Settings(*map(np.float64, (*values, NUMBERS["epsilon"], beta, 0.9)))
        slots = row.init(np.zeros(7))
        steps = []
        for gradient in gradients:
            step, slots = row.step(gradient, slots, settings)
            steps.append(np.asarray(step))
    numbers = {**NUMBERS, "start": row.first_square}
    assert np.allclose(0.1 * rule.steps(gradients, numbers), np.stack(steps), rtol=1e-7, atol=0)
