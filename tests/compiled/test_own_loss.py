"""A visitor's formula computes what the same row of LOSSES computes, and is judged like one."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, Form
from core.study import origin, precision
from tests.kit.runs import OWN, tiny, trained

FLOAT32 = np.dtype(np.float32)
# Rows of the table, written as formulas.
SAME: dict[Form, dict[str, str]] = {
    "binary": {
        "naive": "-(y*log(p) + (1 - y)*log(1 - p))",
        "mxnet": "-(y*log(p + eps) + (1 - y)*log(1 - p + eps))",
        "clip": "-(y*log(clip(p, eps, 1 - eps)) + (1 - y)*log(1 - clip(p, eps, 1 - eps)))",
        "optax": "y*softplus(-z) + (1 - y)*softplus(z)",
    },
    "softmax": {
        "naive": "-sum(y*log(p))",
        "keras_jax_logits": "-sum(y*log_softmax(z))",
    },
}
PAIRS = [(form, key, text) for form, rows in SAME.items() for key, text in rows.items()]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("form", "key", "text"), PAIRS)
def test_a_formula_gives_the_numbers_and_edges_of_its_row(
    form: Form, key: str, text: str, dtype: str
) -> None:
    row = DTYPES[dtype].dtype
    z, epsilon = np.linspace(-150, 150, 2001).astype(row), LOSSES[key].epsilon or 1e-7
    for label in (0, 1):
        own = precision.evaluate(form, text, z, label, epsilon)
        listed = precision.evaluate(form, key, z, label, epsilon)
        # XLA sums the three exponentials of a softmax in another order.
        ulps = 4 * float(ml_dtypes.finfo(row).eps) if form == "softmax" else 0
        for mine, others in zip(own, listed, strict=True):
            np.testing.assert_allclose(mine, others, rtol=ulps)
        edges = (precision.edges(form, k, label, epsilon, row) for k in (text, key))
        assert next(edges) == next(edges)


def test_a_formula_is_rounded_as_it_is_written() -> None:
    """The compiler would take 1 + 1e-7 together, and log(exp(x)) for x."""
    z, y = jnp.float32([-20.0, 3.0, 17.0, 90.0]), jnp.float32(1)
    written = {
        "-log(1 - p + 1e-7)": lambda z, p: -jnp.log((1 - p) + jnp.float32(1e-7)),
        "log(exp(z))": lambda z, p: jnp.log(jnp.exp(z)),
        "exp(z)*exp(-z) + z": lambda z, p: jnp.exp(z) * jnp.exp(-z) + z,
        "(z + 1e9) - 1e9": lambda z, p: (z + jnp.float32(1e9)) - jnp.float32(1e9),
    }
    for text, one_by_one in written.items():
        key = LOSSES.spelled(text)
        found = jax.jit(LOSSES[key].binary)(z, y, jnp.float32(0))  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, one_by_one(z, jax.nn.sigmoid(z)), err_msg=text)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dead_zones_halves_and_nan_are_found_in_every_format(dtype: str) -> None:
    row, clip = DTYPES[dtype].dtype, "-log(clip(p, 0.25, 1 - eps))"
    found = precision.edges("binary", clip, 1, 1e-7, row)
    assert found.dead is not None and -1.2 < found.dead < -1.0 and found.nan is None
    broken = precision.edges("binary", "log(z)*y", 1, 1e-7, row)
    assert broken.nan is not None and broken.nan <= 0
    assert "NaN or inf first" in precision.where("binary", "log(z)*y", 1e-7, row)
    halved = "where(y == 1, softplus(-z), softplus(z)/2 + max(z, z)/4)"
    assert precision.edges("binary", halved, 0, 1e-7, row).half_from is None
    assert not LOSSES[halved].cross_entropy, "half of p - y means nothing there"


def test_a_half_gradient_is_found_in_a_cross_entropy() -> None:
    text = "y*softplus(-z) + (1 - y)*softplus(z)*where(z > 20, 0.5, 1)"
    assert LOSSES[text].cross_entropy, "as far as one looks"
    found = precision.edges("binary", text, 0, 1e-7, FLOAT32)
    assert found.half_from == np.nextafter(np.float32(20), np.float32(30))


def test_programs_of_formulas_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[precision.evaluate.__module__], "MOST_OWN", 2)
    texts = [f"z*y + {i}" for i in (1000, 1001, 1002)]
    for text in texts:
        precision.compiled("binary", FLOAT32, text)
    assert [precision.ready("binary", FLOAT32, text) for text in texts] == [False, True, True]
    loss, slope = precision.evaluate("binary", texts[0], np.ones(1, np.float32), 1, 0.0)
    assert (loss[0], slope[0]) == (1001, 1)


def test_a_run_trains_and_reports_with_it_as_with_the_row() -> None:
    runs = OWN, tiny(loss="mxnet", epsilon=1e-3)
    own, listed = (trained(replace(each, report="unscaled")) for each in runs)
    assert len(own) == len(listed) > 3
    for mine, others in zip(own, listed, strict=True):
        np.testing.assert_allclose(mine.loss, others.loss, rtol=1e-6)
        np.testing.assert_allclose(mine.margins, others.margins, rtol=1e-5, atol=1e-6)
        assert mine.census == others.census
        reports = ([look.held_out_loss, look.reported_loss] for look in (mine, others))
        np.testing.assert_allclose(*reports, rtol=1e-5)


def test_its_nan_is_traced_to_an_operation() -> None:
    text = "-(y*log(p) + (1 - y)*log(1 - p))"
    assert origin.at_logit("binary", text, -20.0, 0, 1e-7, FLOAT32) is None
    made = origin.at_logit("binary", text, -120.0, 0, 1e-7, FLOAT32)
    assert made is not None and made.result == 0, "0 * log(0), in the loss"
