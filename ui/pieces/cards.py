"""Training images as cards, in HTML: the picture, its label, and its figures."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import NamedTuple

from core.data import load
from ui.pieces.pictures import data_url


class ImageCard(NamedTuple):
    """What a card says about a training image."""

    image: int  # its index among the training images
    head: str  # in bold
    label: int
    figures: Mapping[str, str]  # name -> value


def sheet(source: str, cards: Sequence[ImageCard], wide: bool = False) -> str:
    """Return the HTML of a list of cards, as many in a row as fit; `wide` ones fit long names."""
    kind = "cards wide" if wide else "cards"
    return f'<ul class="{kind}">{"".join(_card(source, each) for each in cards)}</ul>'


def _card(source: str, card: ImageCard) -> str:
    url, digit = _picture(source, card.image)
    figures = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in card.figures.items()
    )
    return (
        f'<li data-image="{card.image}"><img src="{url}" alt="a handwritten {digit}">'
        f"<div><b>{escape(card.head)}</b>, label {card.label}<dl>{figures}</dl></div></li>"
    )


@lru_cache(maxsize=4096)
def _picture(source: str, image: int) -> tuple[str, int]:
    """Return the picture of a training image as a data URL, and the digit that it shows."""
    data = load(source)
    return data_url(data.train_images[image]), int(data.train_labels[image])
