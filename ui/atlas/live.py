"""Links from a piece to two runs of the twins page that differ in it."""

from html import escape
from urllib.parse import urlencode

from core.study.atlas.comparisons import LIVE, compared
from core.study.atlas.piece import CONTEXTS, Piece
from ui.projector import carried
from ui.twins import pair


def links(piece: Piece, there: str, here: str) -> list[str]:
    """A link in HTML to the runs of two values, for each context in which they are compared."""
    return [
        f'<a href="twins?{urlencode({**pair.link(c.original, c.ported), **carried()})}">'
        f"{escape(CONTEXTS[c.context].label)}</a>"
        for c in compared(piece, there, here, LIVE)
    ]
