"""The end of a story: what to remember, and links to go on with the visitor's settings."""

from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig, to_query
from core.parts.choices import TASKS
from ui.microscope import setting as microscope
from ui.pages import PAGES
from ui.story.chapters import chapter
from ui.story.twin import Twin
from ui.twins.pair import page_link


def onward(story: str, a: Twin, b: Twin, headline: str, lessons: Sequence[str]) -> None:
    """Draw the lessons, links to the trainer and the next story, and the other links, folded.

    Args:
      story: its key in PAGES.
      headline: what the lessons say in one line.
    """
    chapter("remember", headline)
    st.markdown("\n".join(f"- {lesson}" for lesson in lessons))
    chapter("next", "Go on from here")
    stories = [key for key, row in PAGES.items() if row.section == "Stories"]
    at = stories.index(story)
    following, *others = stories[at + 1 :] + stories[:at]
    _link("train", f"Train “{a.label}” yourself", to_query(a.config))
    _link(following, PAGES[following].label, {})
    with st.expander("Other ways to go on"):
        page_link(a.config, b.config, f"Take “{a.label}” and “{b.label}” apart")
        if not TASKS[a.config.task].series:
            near = microscope.Setting(
                task=a.config.task, losses=tuple(dict.fromkeys([a.config.loss, b.config.loss]))
            )
            _link("microscope", "See the loss under the microscope", microscope.link(near))
        for key in others:
            _link(key, PAGES[key].label, {})


def _link(key: str, label: str, query: dict[str, str]) -> None:
    row = PAGES[key]
    st.page_link(row.path, label=label, icon=row.icon, query_params=query)


def as_trained(config: RunConfig, label: str) -> None:
    """Draw a link to the trainer, which then plays the run to its end."""
    _link("train", label, {**to_query(config), "until": "end"})
