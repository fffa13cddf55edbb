"""Every term of the glossary is explained on some page, in a sentence that names it."""

import re

import pytest

from tests.kit import ROOT
from ui.pieces.glossary import GLOSSARY, explained


@pytest.mark.parametrize("term", GLOSSARY)
def test_every_term_is_explained_on_a_page(term: str) -> None:
    sources = [path.read_text() for room in ("ui", "pages") for path in (ROOT / room).rglob("*.py")]
    calls = " ".join(
        call for text in sources for call in re.findall(r"(?:explained|section)\(([^)]*)\)", text)
    )
    assert f'"{term}"' in calls


def test_an_explanation_is_a_sentence_that_says_the_term() -> None:
    for term, sentence in GLOSSARY.items():
        said = sentence.lower().replace("nan", "NaN").replace("-", " ")
        assert f"**{term.rstrip('s')}".replace("-", " ") in said
        assert sentence.endswith(".")
        assert explained(term, "logit").startswith(sentence)
