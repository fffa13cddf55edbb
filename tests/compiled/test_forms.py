"""The form of a convolution's gradient: timed where it is needed, kept, and told by the host."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from core.parts.convolution import BY_INPUT, DEFAULT, Place, by_input, convolve
from core.run import train
from core.run.train import forms
from core.run.train.programs import Program
from tests.kit.runs import POST_CNN

PLACE = Place((2, 4, 4, 1), (3, 3, 1, 2), 2, ((0, 1), (0, 1)), "float32")
OTHER = next(key for key in BY_INPUT if key != DEFAULT)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host that has chosen nothing yet, and where its choices go."""
    monkeypatch.delenv(forms.VARIABLE, raising=False)
    monkeypatch.setattr(forms, "_chosen", {})
    monkeypatch.setattr(forms, "_file", lambda: tmp_path / forms.FILE)
    return tmp_path


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another process of the same host, which must not time anything."""
    monkeypatch.setattr(forms, "_chosen", {})
    monkeypatch.setattr(forms, "timed", lambda place: pytest.fail(f"{place} is timed again"))


def test_another_form_is_taken_only_if_it_is_clearly_faster() -> None:
    assert forms.best({DEFAULT: 1.0, OTHER: 0.89}) == OTHER
    assert forms.best({DEFAULT: 1.0, OTHER: 0.91}) == DEFAULT
    assert forms.best({DEFAULT: 1.0}) == DEFAULT


def test_a_choice_is_made_once_and_kept_for_later_processes(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 2.0, OTHER: 1.0})
    assert forms.fastest(PLACE) == OTHER
    forget(monkeypatch)
    assert forms.fastest(PLACE) == OTHER
    assert json.loads((folder / forms.FILE).read_text()) == {forms.host(): {str(PLACE): OTHER}}
    assert len([*folder.iterdir()]) == 1, "nothing is left beside it"


def test_hosts_and_places_that_share_a_folder_do_not_share_choices(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 2.0, OTHER: 1.0})
    forms.fastest(PLACE)
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 1.0, OTHER: 2.0})
    wider = PLACE._replace(x=(2, 4, 5, 1))
    assert forms.fastest(wider) == DEFAULT
    here = forms.host()
    monkeypatch.setattr(forms, "host", lambda: "another")
    assert forms.fastest(PLACE) == DEFAULT
    found = json.loads((folder / forms.FILE).read_text())
    assert found == {
        here: {str(PLACE): OTHER, str(wider): DEFAULT}, "another": {str(PLACE): DEFAULT}
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{"])
def test_a_file_that_cannot_be_read_is_written_anew(
    monkeypatch: pytest.MonkeyPatch, folder: Path, text: str
) -> None:
    (folder / forms.FILE).write_text(text)
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 1.0})
    assert forms.fastest(PLACE) == DEFAULT
    assert forms.kept() == {forms.host(): {str(PLACE): DEFAULT}}


def test_a_form_that_is_no_longer_there_is_timed_anew(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / forms.FILE).write_text(json.dumps({forms.host(): {str(PLACE): "by hand"}}))
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 1.0})
    assert forms.fastest(PLACE) == DEFAULT


def test_without_a_folder_a_choice_lasts_as_long_as_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forms, "_file", lambda: None)
    monkeypatch.setattr(forms, "timed", lambda place: {DEFAULT: 2.0, OTHER: 1.0})
    assert forms.fastest(PLACE) == OTHER
    monkeypatch.setattr(forms, "timed", lambda place: pytest.fail("it is timed again"))
    assert forms.fastest(PLACE) == OTHER


@pytest.mark.parametrize("key", BY_INPUT)
def test_a_host_can_say_which(monkeypatch: pytest.MonkeyPatch, folder: Path, key: str) -> None:
    forget(monkeypatch)
    monkeypatch.setenv(forms.VARIABLE, key)
    assert forms.fastest(PLACE) == key
    assert not [*folder.iterdir()]


def test_a_host_that_mistypes_is_told_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(forms.VARIABLE, "fast")
    with pytest.raises(ValueError, match="is 'fast'; allowed is timed, residues, dilated"):
        forms.fastest(PLACE)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators have one form")
def test_forms_are_timed_while_a_function_is_traced(
    monkeypatch: pytest.MonkeyPatch, compilations: list[float]
) -> None:
    x, kernel = np.ones(PLACE.x, np.float32), np.ones(PLACE.kernel, np.float32)

    def slope(x: jax.Array) -> jax.Array:
        return convolve(x, kernel, PLACE.stride).sum()

    gradient = forms.in_fastest(jax.grad(slope))
    monkeypatch.setattr(forms, "SECONDS", 0.01)
    jax.jit(gradient).lower(x)
    assert len(compilations) == 1, "where the first form is quick, no other is compiled"
    assert forms.kept() == {forms.host(): {str(PLACE): DEFAULT}}
    monkeypatch.setattr(forms, "WORTH", 0.0)
    assert set(forms.timed(PLACE)) == {*BY_INPUT}
    assert len(compilations) == 1 + len(BY_INPUT)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators have one form")
def test_the_steps_between_looks_take_the_form_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places: list[Place] = []

    def note(place: Place) -> str:
        places.append(place)
        return OTHER

    monkeypatch.setattr(forms, "fastest", note)
    assert Program(train.shape(POST_CNN)).step_operations > 0
    assert [place.x[2] for place in places] == [4, 7, 14, 28]


def test_only_what_is_traced_inside_takes_a_form() -> None:
    seen: list[Place] = []

    def note(place: Place) -> str:
        seen.append(place)
        return OTHER

    gradient = jax.grad(lambda x, k: convolve(x, k, 2).sum())
    types = [jax.ShapeDtypeStruct(size, np.float32) for size in (PLACE.x, PLACE.kernel)]
    with by_input(note):
        jax.eval_shape(gradient, *types)
    jax.eval_shape(gradient, *types)
    assert seen == ([PLACE] if jax.default_backend() == "cpu" else [])
