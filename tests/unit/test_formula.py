"""A visitor's own loss is read into a tree, and nothing else comes of its text."""

import builtins
import importlib
import random
import re

import hypothesis.strategies as st
import pytest
from hypothesis import assume, example, given

from core.config import RunConfig, agree, from_json, from_query, to_query
from core.export import FRAMEWORKS, script
from core.parts.losses import FIRST, LOSSES, FormulaError, fault
from core.parts.losses.formula import (
    BINDING,
    COMPARISONS,
    FUNCTIONS,
    LONGEST,
    NAMES,
    NEGATED,
    NODES,
    Call,
    Name,
    Number,
    Tree,
    nodes,
    parse,
)
from core.parts.losses.own import MEANINGS

ARITHMETIC = [sign for sign in BINDING if sign not in COMPARISONS]
ONE_NUMBER = [name for name, row in FUNCTIONS.items() if not row.classes and row.least == 1]


def _calls(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    """Operations and functions of one example's numbers."""
    single = st.builds(lambda of, a: Call(of, (a,)), st.sampled_from(ONE_NUMBER[:-2]), inner)
    signed = st.builds(lambda a: Call(NEGATED, (a,)), inner)
    double = st.builds(
        lambda of, a, b: Call(of, (a, b)),
        st.sampled_from([*ARITHMETIC, "max", "min"]),
        inner,
        inner,
    )
    clip = st.builds(lambda a, b, c: Call("clip", (a, b, c)), inner, inner, inner)
    where = st.builds(
        lambda of, a, b, c, d: Call("where", (Call(of, (a, b)), c, d)),
        st.sampled_from(COMPARISONS), inner, inner, inner, inner,
    )  # fmt: skip
    return single | signed | double | clip | where


numbers = st.floats(0, allow_nan=False, allow_infinity=False).map(lambda x: Number(x + 0.0))
leaves: st.SearchStrategy[Tree] = numbers | st.sampled_from([Name(name) for name in NAMES])
trees = st.recursive(leaves, _calls, max_leaves=12)


@given(trees)
@example(Call("**", (Call("**", (Name("z"), Name("p"))), Call(NEGATED, (Number(2.0),)))))
@example(Call("-", (Name("z"), Call("-", (Name("y"), Call("*", (Name("p"), Number(5e-324))))))))
def test_a_tree_is_read_from_its_own_text(tree: Tree) -> None:
    assume({Name("z"), Name("p")} & {*nodes(tree)} and len(str(tree)) <= LONGEST)
    assume(len([*nodes(tree)]) <= NODES)
    assert parse(str(tree)) == tree
    assert parse(str(tree).replace(" ", "")) == tree


def test_it_is_read_as_python_reads_it() -> None:
    same = {
        "-z**2": "-(z**2)", "z - y - p": "(z - y) - p", "z/y*p": "(z/y)*p",
        "z**-y**p": "z**(-(y**p))",
        "z*-y": "z*(-y)", "+z - -y": "z - (-y)", "epsilon*z": "eps*z", "1.50*z": "1.5*z",
        " z \n": "z", "1e-07 + z": "1e-7 + z", ".5*z": "0.5*z", "5.*z": "5*z",
    }  # fmt: skip
    for one, other in same.items():
        assert parse(one) == parse(other), one
    assert parse("z - (y - p)") != parse("z - y - p")
    assert parse("(-z)**2") != parse("-z**2")


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "there is no formula yet"),
        ("z z", 2, "here it should end or go on"),
        ("(z", 2, "it ends too early"),
        ("log(z", 5, "it ends too early"),
        ("log(z p)", 6, "a comma or a closing parenthesis is missing"),
        ("z + * y", 4, "a number, z, y, p, eps or a function should stand"),
        ("z + q", 4, "“q” is not known; known are z, y, p, eps, log"),
        ("z + logg(z)", 4, "“logg” is not known; did you mean log?"),
        ("z + log", 4, "log is a function: write its argument in parentheses"),
        ("z(3)", 0, "z is a number, not a function"),
        ("z + log(z, y)", 4, "log takes 1 argument, not 2"),
        ("z + clip(z)", 4, "clip takes 3 arguments, not 1"),
        ("z < y", 2, "a comparison can only be the first part of where"),
        ("where(z, 1, 2)", 7, "where begins with a comparison"),
        ("z^2", 1, "a power is written with two asterisks"),
        ("where(z = 1, z, y)", 8, "two equals signs"),
        ("z.real", 1, "a dot belongs between digits"),
        ("y + 1", 0, "a loss depends on z or p"),
        ("z*1e999", 2, "this number is too large"),
        ("softmax(z)", 0, "a number for each class: bring them together with sum"),
        ("z + sum(eps)", 4, "sum is over the classes, and this is one number: eps"),
        ("z + ß", 4, "“latin small letter sharp s” cannot be in a formula"),
        ("(" * 60 + "z", 20, "nested too deeply"),
        ("-" * 60 + "z", 39, "nested too deeply"),
        ("z+" * 60 + "z", 101, "too large: 100 numbers, names and operations"),
        ("z" * 301, 300, "too long: 300 characters"),
        (".123456+" * 33 + "z", 265, "too long: 300 characters, with spaces"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(text: str, at: int, words: str) -> None:
    with pytest.raises(FormulaError, match=re.escape(words)) as caught:
        parse(text)
    if text:
        assert str(caught.value).startswith(f"at character {at + 1}, ")
        line, mark = caught.value.pointed.split("\n")
        assert mark.endswith("^") and len(mark) <= 13
        assert at >= len(text) or line[len(mark) - 1] == text[at]


def test_a_formula_is_of_two_classes_or_of_several() -> None:
    for form, text in FIRST.items():
        assert fault(text, form) is None
    assert "bring them together" in str(fault(FIRST["binary"], "softmax"))
    assert "sum is over classes" in str(fault(FIRST["softmax"], "binary"))
    assert "max of one argument" in str(fault("max(z)", "binary"))
    assert fault("max(z, 0)", "binary") is None and fault("max(z)", "softmax") is None
    assert "not of series" in str(fault("z", "regression"))


@pytest.mark.parametrize(
    ("text", "on_paper"),
    [
        *((text, True) for text in FIRST.values()),
        ("max(z, 0) - z*y + log1p(exp(-abs(z)))", True),
        ("log(sum(exp(z - max(z)))) + max(z) - sum(y*z)", True),
        ("where(y == 1, -log(p), -log(1 - p))", True),
        ("y*softplus(-z) + (1 - y)*softplus(z) + eps", True),
        ("(p - y)**2", False), ("2*softplus(z) - 2*y*z", False), ("-log(p)", False),
        ("sum((p - y)**2)", False), ("-sum((1 - p)**2*y*log(p))", False),
    ],
)  # fmt: skip
def test_it_is_known_whether_it_is_the_cross_entropy_on_paper(text: str, on_paper: bool) -> None:
    row = LOSSES[LOSSES.spelled(text)]
    assert row.cross_entropy == on_paper
    assert ("it is the cross-entropy" in row.summary) == on_paper
    assert (row.epsilon == 1e-7) == ("eps" in text)


def test_each_function_has_a_meaning_and_every_meaning_a_name() -> None:
    named = {(of, n) for of, row in FUNCTIONS.items() for n in range(row.least, row.most + 1)}
    assert {*MEANINGS} == named | {(NEGATED, 1)} | {(of, 2) for of in BINDING}


# A formula is a loss of a run.


def test_a_formula_survives_a_url_and_json_however_it_is_written() -> None:
    text = "-(y * log(p+1e-07) + (1-y)*log(1-p + eps))"
    config, notes = from_query({"loss": text, "epsilon": "1e-5"})
    assert notes == [] and config.loss == LOSSES.spelled(text) != text
    assert from_query(to_query(config)) == (config, [])
    assert from_json(f'{{"loss": "{text}", "epsilon": 1e-5}}') == config
    assert RunConfig(**config.differences()) == config
    with pytest.raises(ValueError, match=r"loss is .* or a formula of z, y, p and eps"):
        RunConfig(loss=text)


def test_what_a_formula_does_not_use_is_not_part_of_the_run() -> None:
    plain = RunConfig(loss="softplus(z) - y*z")
    assert RunConfig(loss="softplus(z) - y*z", epsilon=0.1, label_smoothing=0.1) == plain
    assert RunConfig(loss="softplus(z) - y*z + eps", epsilon=0.1).epsilon == 0.1


def test_a_formula_that_the_task_cannot_use_is_moved() -> None:
    config, notes = agree({"loss": FIRST["softmax"]})
    assert config.loss == "from_logits" and len(notes) == 1
    with pytest.raises(ValueError, match="allowed for task digits are"):
        RunConfig(loss=FIRST["binary"], task="digits")


# Hostile texts.

WRITTEN = [
    "__import__('os').system('id')", "().__class__.__bases__[0]", "z.__globals__", "eval('z')",
    "exec(z)", "open('/etc/passwd')", "lambda: z", "z if p else y", "[z for z in p]", "{z}",
    "f'{z}'", "z; import os", "z\nimport os", "z:=3", "globals()", "getattr(z, 'x')",
    "breakpoint()", "print(z)", "jnp.log(z)", "os", "'z'", '"z"', "`z`", "$(id)", "${z}", "z\\",
    "z#", "z//2", "z%2", "z@p", "~z", "z&p", "z|p", "z!=p", "not z", "z and p", "z is p", "z<<2",
    "0x1f*z", "1_000*z", "1j*z", "z[0]", "z'", "{{z}}", "<script>alert(1)</script>", "<b>z</b>",
    "z\x00", "z\u202e", "\u200bz", "ｚ", "𝒛", "٣*z", "²*z", "∑(z)", "−z", "z×y", "log²(z)",
    "log z", "log", "()", "(,)", "log()", "log(,z)", "log(z,)", ",", "*z", "z*", "z**", "**z",
    "z***y", "z==", "==z", "where()", "where(z)", "where(z<1)", "where(z<1<2, z, y)",
    "where((z<1), z, y)", "log(z<1)", "1e", "1e+", "..", "1..2*z", "1e5e5*z", "9" * 299 + "*z",
    "1e99999999*z", "z**1e999", "(" * 300, ")" * 300, "-" * 300,
    "((((((((((((((((((((((((((((((z", "log(" * 75, "z" + ")" * 200, "," * 300, "z," * 150,
    "z+" * 149 + "z", "+" * 299 + "z", "sum(sum(z))", "softmax(sum(z))", "logsumexp(1)",
    "max(y, z, p)", "clip(z, 0)", "eps", "1", "y", "y*eps", "z" * 10_000, "z*" * 100_000,
    "\n" * 5000, "é" * 300, "\ud800", "🙂", "z🙂", "import", "None", "True", "nan*z", "inf*z",
    "NaN", "Infinity*z", "e*z", "pi*z",
]  # fmt: skip


def _generated() -> list[str]:
    """Texts of signs and words at random, and formulas with a piece cut out, put in or repeated."""
    chance, found = random.Random(30), []
    pieces = [
        *NAMES, *FUNCTIONS, *BINDING, "(", ")", ",", "1", "0.5", "1e-7", " ", "__class__",
        "import", ".", "[", "]", "'", "{", ":", "=", "!", "\\", "lambda", "é", "\x00", "\n",
    ]  # fmt: skip
    while len(found) < 500 - len(WRITTEN):
        if chance.random() < 0.5:
            text = "".join(chance.choices(pieces, k=chance.randint(1, 60)))
        else:
            text = chance.choice([*FIRST.values(), "where(z > 0, log1p(exp(-z)), z*y)"])
            at, end = sorted(chance.choices(range(len(text)), k=2))
            text = text[:at] + chance.choice(["", *pieces, text[at:end] * 2]) + text[end:]
        if all(fault(text, form) for form in ("binary", "softmax")):
            found.append(text)
    return found


HOSTILE = [*WRITTEN, *_generated()]
MARKUP = re.compile(r"[<>`\[\]*$\\\n{}#|]")


def _never(*_: object, **__: object) -> None:
    raise AssertionError("something of a formula was run")


def test_hostile_texts_are_refused_in_words_and_nothing_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(HOSTILE) == 500
    with monkeypatch.context() as patched:
        patched.setattr(importlib, "import_module", _never)
        for name in ("eval", "exec", "compile", "open", "breakpoint", "__import__"):
            patched.setattr(builtins, name, _never)
        told = {text: fault(text, "binary") for text in HOSTILE}
    for text, error in told.items():
        assert error is not None, text
        assert 10 <= len(str(error)) <= 250 and not MARKUP.search(str(error)), (text, str(error))
        assert len(error.pointed) <= 40 and error.pointed.count("\n") == 1


def test_hostile_texts_in_a_url_change_nothing() -> None:
    assert {from_query({"loss": text})[0] for text in HOSTILE} == {RunConfig()}
    assert not [text for text in HOSTILE if text in LOSSES and fault(text, "binary") is None]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_script_holds_the_tree_and_not_the_text(framework: str) -> None:
    for form, task in (("binary", "binary"), ("softmax", "digits")):
        typed = "(" + FIRST[form].replace(" ", "   ") + ")  "  # type: ignore[index]
        config, _ = from_query({"loss": typed, "task": task})
        text = script(config, framework).text
        assert typed.strip() not in text and "log(p + eps)" in text and "eps = " in text
