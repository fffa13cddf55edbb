"""How strong the tests are: make small changes to core/ and ui/ that a test should notice.

    python scripts/mutants.py draw --count 60 --seed 0 > mutants.json
    python scripts/mutants.py run mutants.json --tests "-n 0 tests/unit" --near --out results.json

`draw` takes the kinds of change in turn, so the first mutants of a draw are what a smaller draw
gives. `run` tests each mutant in a copy of this checkout, and leaves the checkout itself alone. It
writes each outcome at once and, if interrupted, continues where it stopped. Two runs may share the
files of mutants and results if each has its own --only.
"""

import argparse
import ast
import fcntl
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle, pairwise
from pathlib import Path
from types import EllipsisType
from typing import Any

ROOT = Path(__file__).parents[1]
# Programs that this checkout's own tests have compiled are used for the mutants too.
COMPILED = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache/d/compiled")}
# As JSON holds it. `at` is where `before` begins and ends in the file, counted in bytes.
Mutant = dict[str, Any]
# The most test files that run first: with more, it would be the whole suite.
NEAREST = 4
NO_TESTS, MISUSED = 5, 4  # pytest's exit statuses

# Type of operator -> a pattern that finds it, and its replacement.
COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"), ast.In: ("in", "not in"), ast.NotIn: (r"not\s+in", "in"),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: (r"\+", "-"), ast.Sub: ("-", "+"), ast.Mult: (r"\*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "*"), ast.Pow: (r"\*\*", "*"),
}  # fmt: skip
BOOLEANS = {
    ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.BitAnd: ("&", "|"), ast.BitOr: (r"\|", "&"),
}  # fmt: skip
UNARY = {ast.Not: "boolean", ast.Invert: "boolean", ast.USub: "arithmetic"}
# Do not change < to <= beside a clock, which never shows exactly the bound.
ORDERS, CLOCKS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE), {"monotonic", "perf_counter", "time"}
# Functions and methods whose result has the type of their argument, so that the argument can
# replace the call.
WRAPPERS = {
    "abs", "absolute", "astype", "capitalize", "ceil", "clip", "copy", "cumsum", "escape", "exp",
    "expm1", "flip", "floor", "log", "log10", "log1p", "log2", "log_sigmoid", "log_softmax",
    "lower", "max", "maximum", "min", "minimum", "nan_to_num", "relu", "reversed", "round",
    "sigmoid", "sign", "softmax", "softplus", "sorted", "sqrt", "square", "stop_gradient", "strip",
    "tanh", "upper",
}  # fmt: skip
MODULES = re.compile(r"(copy|html|jax|jnp|lax|math|np)(\.\w+)*")
# Statements that do not affect results.
SILENT = re.compile(r"(log|logging|gc|time\.sleep|.*\bblock_until_ready)\b")
TYPES = re.compile(r"tuple|list|dict|set|type|[A-Z]\w*[a-z]\w*")


def main() -> None:
    """Draw mutants, or test them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    draws = commands.add_parser("draw", help="print mutants as JSON")
    draws.add_argument("--count", type=int, default=60)
    draws.add_argument("--seed", type=int, default=0)
    runs = commands.add_parser("run", help="run the tests against each mutant")
    runs.add_argument("mutants", type=Path, help="what draw printed")
    runs.add_argument(
        "--tests", required=True, metavar="ARGUMENTS",
        help="pytest's, as in '-n 2 tests/unit --ignore=tests/unit/test_ou.py': paths, and options "
        "with =; these tests must pass without a mutant",
    )  # fmt: skip
    runs.add_argument(
        "--near", action="store_true",
        help=f"first run the {NEAREST} test files among them that are closest to the mutated file",
    )  # fmt: skip
    runs.add_argument("--only", metavar="IDS", help="such as 3,17")
    runs.add_argument("--timeout", type=float, default=900, help="seconds for one mutant (900)")
    runs.add_argument(
        "--out", type=Path, required=True, help="the results; a mutant found there is done"
    )
    asked = parser.parse_args()
    if asked.command == "draw":
        print(json.dumps(draw(asked.count, asked.seed), indent=1, ensure_ascii=False))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # otherwise pytest would keep running
    only = asked.only and set(map(int, asked.only.split(",")))
    for mutant in json.loads(asked.mutants.read_text()):
        done = any(mutant.items() <= each.items() for each in results(asked.out))
        if not done and (not only or mutant["id"] in only):
            outcome = tried(mutant, shlex.split(asked.tests), asked.near, asked.timeout)
            keep(asked.out, mutant | outcome)
            print(mutant["id"], f"{mutant['file']}:{mutant['line']}", *outcome.values(), flush=True)


# Where code can change, and how.


def draw(count: int, seed: int) -> list[Mutant]:
    """Mutants of each kind in turn; within a kind every place is equally likely."""
    chance = random.Random(seed)
    left = defaultdict(list)
    for path in sorted(path for room in ("core", "ui") for path in (ROOT / room).rglob("*.py")):
        for mutant in mutants(path):
            left[mutant["kind"]].append(mutant)
    for several in left.values():
        chance.shuffle(several)
    drawn: list[Mutant] = []
    for kind in cycle(chance.sample(sorted(left), len(left))):
        if len(drawn) == count or not any(left.values()):
            break
        while left[kind]:
            if compiles(mutant := left[kind].pop()):
                drawn.append({"id": len(drawn) + 1} | mutant)
                break
    return drawn


def mutants(path: Path) -> Iterator[Mutant]:
    """Every possible change of a file."""
    source = Source(path.read_bytes())
    for node in alive(ast.parse(source.text)):
        for kind, place, after in changes(node, source):
            yield {
                "file": str(path.relative_to(ROOT)),
                "line": place.lineno,
                "kind": kind,
                "before": source.of(place),
                "after": after,
                "at": source.span(place),
                "source": source.text.splitlines()[place.lineno - 1].decode().strip(),
            }


class Source:
    """A file as bytes, because ast counts columns in bytes."""

    def __init__(self, text: bytes):
        self.text = text
        self.starts = [0, *(found.end() for found in re.finditer(b"\n", text))]

    def span(self, node: Any) -> tuple[int, int]:
        """The positions at which a node begins and ends."""
        begin = self.starts[node.lineno - 1] + node.col_offset
        return begin, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: Any) -> str:
        """The source of a node, without parentheses around it."""
        return self.text[slice(*self.span(node))].decode()

    def swapped(self, node: Any, sides: Sequence[Any], old: str, new: str) -> str:
        """The source of a node with another operator between its operands."""
        begin, end = self.span(node)
        text = self.text[:end]
        for left, right in reversed(list(pairwise(sides))):
            between = slice(self.span(left)[1], self.span(right)[0])
            # Apart from the operator only brackets and comments can be here.
            bare = re.sub(b"#[^\n]*", lambda found: b" " * len(found[0]), text[between])
            found = re.search(old.encode(), bare)
            assert found
            first, last = (between.start + at for at in found.span())
            text = text[:first] + new.encode() + text[last:]
        return text[begin:].decode()


def alive(node: ast.AST) -> Iterator[Any]:
    """a message; and Python 3.11 misplaces the nodes inside"""
    match node:
        case (
            ast.Assert() | ast.Raise()
            | ast.JoinedStr()  # a message; and Python 3.11 misplaces the nodes inside
            | ast.If(test=ast.Compare(left=ast.Name(id="__name__")) | ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="__all__" | "_")])
            | ast.Assign(col_offset=0, value=ast.BinOp(op=ast.BitOr()))  # another name for a type
            | ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))
            | ast.Expr(value=ast.Call(  # prose
                func=ast.Attribute(
                    value=ast.Name(id="st"), attr="caption" | "header" | "markdown" | "subheader"
                ),
                args=[ast.Constant()],
            ))
            # The size of a cache, a timeout, or a check that lengths agree.
            | ast.keyword(arg="maxsize" | "max_entries" | "timeout" | "strict")
        ):  # fmt: skip
            return
        case ast.Subscript(value=ast.Name(id=name)) if TYPES.fullmatch(name):
            return
        case ast.Expr(value=ast.Call(func=function)) if SILENT.match(ast.unparse(function)):
            return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list") and not _axis(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from alive(child)


def changes(node: ast.AST, source: Source) -> Iterator[tuple[str, Any, str]]:
    """The changes that a node allows: the kind, the place, and the text to put there."""
    match node:
        case ast.Compare():
            for op, sides in zip(node.ops, pairwise([node.left, *node.comparators]), strict=True):
                if not (isinstance(op, ORDERS) and any(map(_reads_clock, sides))):
                    yield "comparison", node, source.swapped(node, sides, *COMPARISONS[type(op)])
        case ast.BoolOp():
            yield "boolean", node, source.swapped(node, node.values, *BOOLEANS[type(node.op)])
        case ast.BinOp(left=left, right=right) | ast.AugAssign(target=left, value=right):
            for kind, swaps in (("arithmetic", ARITHMETIC), ("boolean", BOOLEANS)):
                if type(node.op) in swaps and not (_holds(left) or _holds(right)):
                    text = source.swapped(node, (left, right), *swaps[type(node.op)])
                    yield kind, node, text
        case ast.UnaryOp(op=op, operand=operand):
            if type(op) in UNARY and not isinstance(operand, ast.Constant):
                yield UNARY[type(op)], node, re.sub(r"^(not\b|~|-)\s*", "", source.of(node))
        case ast.Constant(value=bool() | int() | float() as value):
            yield "constant", node, repr(_other(value))
        case ast.keyword(arg=name, value=value) if _axis(node):
            text = source.of(value)
            if text in ("True", "False") or text.lstrip("-").isdigit():
                after = text != "True" if name == "keepdims" else int(text == "0")
                yield "axis", node, f"{name}={after}"
        case ast.Subscript(slice=ast.Tuple(elts=[one, two]) as pair):
            if _whole(one) != _whole(two):
                yield "axis", pair, f"{source.of(two)}, {source.of(one)}"
        case ast.Attribute(attr="T", value=value):
            yield "axis", node, _grouped(value, source)
        case ast.Expr(value=ast.Call()):
            yield "call", node, "pass"
        case ast.Call():
            yield from (("call", node, _grouped(each, source)) for each in _wrapped(node))
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield from _negated(test, source)
        case ast.match_case(guard=ast.expr() as test):
            yield from _negated(test, source)
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield from _negated(test, source)


def _negated(test: Any, source: Source) -> Iterator[tuple[str, Any, str]]:
    """The opposite of a condition, if no other kind of change produces it."""
    match test:
        case ast.Constant() | ast.UnaryOp(op=ast.Not()):
            return
        case ast.Compare(ops=[op]) if not isinstance(op, ORDERS):
            return
    yield "condition", test, f"not ({source.of(test)})"


def _wrapped(call: ast.Call) -> list[ast.expr]:
    """The x of `x.astype(...)`, `jnp.abs(x)` and similar calls."""
    arguments = [each for each in call.args if not isinstance(each, ast.Constant | ast.Starred)]
    match call.func:
        case ast.Name(id=name):
            known = len(call.args) > 1 or name not in ("max", "min")  # otherwise x is a collection
        case ast.Attribute(attr=name, value=of):
            known = bool(MODULES.fullmatch(ast.unparse(of)))
            if not known:  # a method; an array's own max reduces it
                arguments, known = [of], name not in ("max", "min")
        case _:
            return []
    return arguments[:1] if known and name in WRAPPERS else []


def _reads_clock(side: ast.AST) -> bool:
    return any(isinstance(each, ast.Attribute) and each.attr in CLOCKS for each in ast.walk(side))


def _holds(side: ast.AST) -> bool:
    """Whether it is clearly a string or a collection, where another operator could only fail."""
    match side:
        case ast.Constant(value=value):
            return isinstance(value, str)
        case ast.BinOp(left=left, right=right):
            return _holds(left) or _holds(right)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in ("dict", "join", "list", "set", "str", "tuple")
    return isinstance(side, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.ListComp)


def _other(value: float) -> float:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) or value == 0 else 2 * value


def _axis(node: ast.AST) -> bool:
    """Whether it names an array's axis; Altair's axes are not numbers."""
    return isinstance(node, ast.keyword) and (
        node.arg == "keepdims"
        or (node.arg == "axis" and isinstance(node.value, ast.Constant | ast.UnaryOp))
    )


def _whole(index: ast.AST) -> bool:
    match index:
        case ast.Slice(lower=None, upper=None, step=None) | ast.Constant(value=EllipsisType()):
            return True
    return False


def _grouped(node: Any, source: Source) -> str:
    """The source of a node, in parentheses unless it needs none anywhere."""
    alone = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.GeneratorExp
    return source.of(node) if isinstance(node, alone) else f"({source.of(node)})"


def changed(mutant: Mutant, folder: Path) -> bytes:
    """The mutant's file with its change made."""
    text = (folder / mutant["file"]).read_bytes()
    begin, end = mutant["at"]
    if text[begin:end] != mutant["before"].encode():
        raise SystemExit(f"{mutant['file']} has changed since it was drawn from: {mutant}")
    return text[:begin] + mutant["after"].encode() + text[end:]


def compiles(mutant: Mutant) -> bool:
    """Whether Python compiles it without a warning, because pytest fails on warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(changed(mutant, ROOT), mutant["file"], "exec")
        except (SyntaxError, SyntaxWarning):
            return False
    return True


# What the tests say about it.


def tried(mutant: Mutant, arguments: list[str], near: bool, seconds: float) -> Mutant:
    """Whether a mutant was killed, in how many seconds, and which test failed first."""
    began = time.monotonic()
    first = nearest(mutant["file"], arguments) if near else []
    turns = [[*arguments, *(f"--deselect={test}" for test in first)]]
    if first:
        turns.insert(0, [*(each for each in arguments if not _path(each)), *first])
    passed, status, said = False, None, ""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        copy = checkout(Path(folder), mutant)
        for turn in turns:
            status, said = tested(copy, turn, began + seconds - time.monotonic())
            passed |= status == 0
            if status not in (0, NO_TESTS):
                break
    # A mutant may break a conftest, which is no misuse.
    misused = status == MISUSED and "while loading conftest" not in said
    if misused or (status == NO_TESTS and not passed):
        raise SystemExit(f"{said}\nThese are no tests: {shlex.join(arguments)}")
    survived = status in (0, NO_TESTS)
    return {
        "outcome": "timeout" if status is None else "survived" if survived else "killed",
        "seconds": round(time.monotonic() - began, 1),
        "first": "" if survived else first_failed(said),
    }


def checkout(folder: Path, mutant: Mutant) -> Path:
    """A copy of this checkout with the mutant in it."""
    left_out = shutil.ignore_patterns(".git", ".venv", ".hypothesis", "__pycache__", ".*_cache")
    copy = Path(shutil.copytree(ROOT, folder / "checkout", ignore=left_out))
    (copy / ".venv").symlink_to((ROOT / ".venv").resolve())
    if (ROOT.parent / "shared").is_dir():  # the official MNIST files, which the tests look for
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    (copy / mutant["file"]).write_bytes(changed(mutant, copy))
    return copy


def nearest(file: str, arguments: list[str]) -> list[str]:
    """The test files among the arguments that import a module, or else name its package.

    The module's own test file comes first, then those that name it most often.
    """
    full = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    package, _, name = full.rpartition(".")
    within = [ROOT / each for each in arguments if _path(each)] or [ROOT]
    without = [ROOT / each[9:] for each in arguments if each.startswith("--ignore=")]
    texts = {
        str(test.relative_to(ROOT)): test.read_text()
        for test in sorted((ROOT / "tests").rglob("test_*.py"))
        if any(map(test.is_relative_to, within)) and not any(map(test.is_relative_to, without))
    }
    imported = rf"\b{full}\b|from {package} import (\([^)]*|.*)\b{name}\b"
    by_name = [test for test in texts if re.search(imported, texts[test])]
    found = by_name or [test for test in texts if re.search(rf"\b{package}\b", texts[test])]

    def distance(test: str) -> tuple[bool, int]:
        return Path(test).name != f"test_{name}.py", -len(re.findall(rf"\b{name}\b", texts[test]))

    return sorted(found, key=distance)[:NEAREST]


def _path(argument: str) -> bool:
    return (ROOT / argument.partition("::")[0]).exists()


def tested(copy: Path, arguments: list[str], seconds: float) -> tuple[int | None, str]:
    """Pytest's exit status and output; the status is None if it ran out of time."""
    scratch, said = copy.with_name("tmp"), copy.with_name("said")
    # Removed together with the copy, whatever a test leaves there.
    scratch.mkdir(exist_ok=True)
    # Not a pipe, which a process left running by a test would keep open.
    with said.open("w") as out:
        process = subprocess.Popen(
            [".venv/bin/python", "-m", "pytest", "-x", "-q", "--tb=no", "--color=no",
             "-p", "no:cacheprovider", *arguments],
            cwd=copy, env={**COMPILED, **os.environ, "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(max(0, seconds))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()
    return status, said.read_text(errors="replace")


def first_failed(said: str) -> str:
    """The first test that failed, or else pytest's last line."""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)
    return found[1] if found else (said.strip().splitlines() or [""])[-1]


def results(out: Path) -> list[Mutant]:
    """The results so far."""
    return json.loads(out.read_text()) if out.exists() else []


def keep(out: Path, result: Mutant) -> None:
    """Add a result to the file, which other runs may be writing too."""
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = sorted([*results(out), result], key=lambda each: each["id"])
        fresh = out.with_suffix(".new")
        fresh.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
        fresh.replace(out)


if __name__ == "__main__":
    main()
