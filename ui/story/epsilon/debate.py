"""The claims of a thread, each with a verdict that is computed here."""

from collections.abc import Iterator

import streamlit as st

from core.run.errands import Errand
from core.study.lasagne import CLAIMS, Claim, Verdict
from ui.engine import engine
from ui.microscope import setting as microscope
from ui.pages import PAGES
from ui.pieces.waiting import draw_until


def debate() -> None:
    """Draw the thread's claims, each with its verdict once computed; all other runs go first."""
    draw_until(lambda: _errand().done, lambda _: _debate(_errand()))


def _errand() -> Errand:
    return engine().errands.look("lasagne verdicts", _verdicts)


def _verdicts() -> Iterator[tuple[str, Verdict] | None]:
    for key, claim in CLAIMS.items():
        yield None
        yield key, claim.verdict()


def _debate(errand: Errand) -> None:
    if errand.failure:
        st.error(errand.failure, icon=":material/error:")
    verdicts = dict(errand.pieces)
    if not errand.done:
        text = f"{len(verdicts)} of {len(CLAIMS)} verdicts. Other runs go first"
        st.progress(len(verdicts) / len(CLAIMS), text=text)
    for key, verdict in verdicts.items():
        _claim(CLAIMS[key], verdict)
    if waiting := [claim for key, claim in CLAIMS.items() if key not in verdicts]:
        with st.container(border=True):
            st.caption("Not judged yet:")
            st.markdown("\n".join(f"- {_quotation(claim)}" for claim in waiting))


def _claim(claim: Claim, verdict: Verdict) -> None:
    icon = ":material/check_circle:" if verdict.holds else ":material/cancel:"
    word = "Holds" if verdict.holds else "Does not hold"
    with st.container(border=True, gap="xsmall"):
        st.markdown(_quotation(claim))
        st.markdown(f"{icon} **{word}.** {verdict.sentence}")
        st.page_link(
            PAGES["microscope"].path,
            label="See these numbers under the microscope",
            icon=PAGES["microscope"].icon,
            query_params=microscope.link(microscope.Setting(**claim.microscope)),
        )


def _quotation(claim: Claim) -> str:
    return f"**{claim.who}:** “{claim.label}”"
