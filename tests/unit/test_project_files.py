"""Files that list what the code has list all of it."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.kit import ROOT

# What the app can do without, and the file that names the package.
OPTIONAL = {
    "distributed": "requirements-dask.txt",
    "keras": "requirements-dev.txt",
    "vl_convert": "requirements-figures.txt",
}


# Import contracts


def contract(name: str) -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    return next(each for each in contracts if each["name"] == name)


def test_every_story_s_own_folder_is_kept_from_what_is_shared() -> None:
    private = contract("what a story has to itself is not shared")
    story = ROOT / "ui/story"
    folders = {f"ui.story.{file.parent.name}" for file in story.glob("*/__init__.py")}
    modules = {f"ui.story.{file.stem}" for file in story.glob("[!_]*.py")}
    assert folders == {*private["forbidden_modules"]}
    assert modules == {each for each in private["source_modules"] if each.startswith("ui.story.")}


# Requirements

brings = cache(packages_distributions)  # a package -> the distributions that install it


def named_in(file: str) -> set[str]:
    """The distributions that a requirements file names itself."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    wanted = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(each.name) for each in wanted}


@cache
def promised() -> set[str]:
    """What requirements.txt names, and what these distributions themselves require outright."""
    named = named_in("requirements.txt")
    needed = [Requirement(text) for name in named for text in requires(name) or ()]
    outright = [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return named | {canonicalize_name(each.name) for each in outright}


def imported(file: Path) -> Iterator[str]:
    """The top-level packages that a file imports, at its head or later."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def others() -> list[str]:
    """The packages that the app imports and that are neither its own nor Python's."""
    rooms = [ROOT / name for name in ("core", "ui", "pages", "recorders")]
    files = [ROOT / "app.py", *(file for room in rooms[:-1] for file in room.rglob("*.py"))]
    found = {name for file in files for name in imported(file)}
    return sorted(found - {*sys.stdlib_module_names, *(room.name for room in rooms)})


def test_what_the_app_imports_is_in_its_requirements() -> None:
    for package in others():
        if package in OPTIONAL and package not in brings():
            continue  # not installed
        distributions = {canonicalize_name(each) for each in brings()[package]}
        file = OPTIONAL.get(package, "requirements.txt")
        assert distributions & (named_in(file) if package in OPTIONAL else promised()), (
            f"{file} names nothing that brings {package}"
        )


def test_what_is_optional_is_imported_somewhere() -> None:
    assert {*OPTIONAL} <= {*others()}


# The container

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_has_all_that_the_app_reads_and_no_tests() -> None:
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    needed = {"app.py", "core", "ui", "pages", "recorders", "assets", "scripts", ".streamlit"}
    assert "COPY . ." in DOCKERFILE
    assert needed.isdisjoint(left_out) and {"tests", ".venv", ".git"} <= {*left_out}
    words = [word.strip(";") for word in DOCKERFILE.split()]
    named = {word for word in words if word.endswith((".py", ".txt"))}
    assert named == {"requirements.txt", "app.py", "scripts/compile_ahead.py"}
    assert all((ROOT / name).is_file() for name in named)


def test_the_proxy_keeps_the_host_s_addresses_from_the_public() -> None:
    from ui.status import routes

    compose = (ROOT / "compose.yaml").read_text()
    assert f"path {' '.join(route.path for route in routes())} " in compose
