"""The real frameworks, run beside a run as the trainer's page runs them."""

from dataclasses import replace

import pytest

from core.config import RunConfig
from core.export import REALS, real
from tests.kit.runs import DIGITS, OWN, POST_CNN, SERIES, trained


@pytest.mark.slow  # 20 to 50 s each
@pytest.mark.parametrize("key", REALS)
@pytest.mark.parametrize(
    "config",
    [
        OWN,
        replace(DIGITS, loss="keras_jax", epsilon=1e-3),
        POST_CNN,
        replace(SERIES, optimizer="momentum"),
    ],
)
def test_a_real_framework_stays_near_the_run(key: str, config: RunConfig) -> None:
    if lacking := real.missing(REALS[key]):
        pytest.skip(f"needs {' and '.join(lacking)}")
    pieces = list(real.looks(config, key, 600.0, lambda: False))
    assert not [piece for piece in pieces if isinstance(piece, real.Failure)]
    looks = {piece.step: piece.loss for piece in pieces if isinstance(piece, real.Look)}
    found = real.agreement(looks, {each.step: each.loss for each in trained(config)})
    assert found.steps[-1] == config.steps and all(found.alike)
    assert found.largest[0] < 1e-5, found
