"""The source shown for a loss is its own source, with one line marked."""

import inspect
from itertools import pairwise

import pytest

from core.parts.losses import LOSSES, Form, losses_for, marked, source
from core.parts.losses.source import MARK

FORMS: tuple[Form, ...] = ("binary", "softmax")
SHOWN = [(key, form) for form in FORMS for key in losses_for(form)]


@pytest.mark.parametrize(("key", "form"), SHOWN)
def test_the_source_is_the_function_s_own(key: str, form: Form) -> None:
    function = getattr(LOSSES[key], form)
    shown = source(function)
    assert shown.startswith(inspect.getsource(function).strip())
    compile(shown.replace("@", "#"), key, "exec")  # whole functions, decorators aside


@pytest.mark.parametrize(("key", "form"), SHOWN)
def test_the_line_that_loses_the_gradient_is_marked(key: str, form: Form) -> None:
    row = LOSSES[key]
    assert (row.kills is None) == (row.works_on == "logits")
    lines = marked(row, form).splitlines()
    below = [after for line, after in pairwise(lines) if line.strip() == MARK]
    assert len(below) == (row.kills is not None)
    assert all(row.kills in line for line in below)
    assert [line for line in lines if line.strip() != MARK] == source(
        getattr(row, form)
    ).splitlines()


def test_what_a_loss_calls_is_shown_below_it() -> None:
    shown = source(LOSSES["torch_bce"].binary)
    assert "def _torch_bce_of_p_jvp" in shown, "the hand-written gradient is another function"
    assert shown.count("def torch_sigmoid") == 1, "called twice, shown once"
    assert "def clip" not in source(LOSSES["question_stable"].binary), "it calls jnp.clip"
