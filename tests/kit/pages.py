"""Pages in this process, with the real engine. AppTest fires no timers, so pages are rerun."""

import html
import re
import time
from collections.abc import Collection, Iterable
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest

from core.run.errands import LEASE, Errand
from core.run.job import Status, Viewer
from tests.kit import MINUTE, ROOT
from ui.engine import engine
from ui.pieces.on_screen import OnScreen
from ui.state import TURNS


def open_page(file: str, **query: str) -> AppTest:
    """A page as a visitor with this query sees it."""
    page = AppTest.from_file(ROOT / "ui/main.py", default_timeout=4 * MINUTE)
    page.query_params.update(query)
    return go(page, file)


def go(page: AppTest, file: str) -> AppTest:
    """Take the same visitor to another page; `file` is relative to ROOT, as in PAGES."""
    return page.switch_page(str(ROOT / file)).run()


def without_widgets(page: AppTest) -> AppTest:
    """Run the page as a browser asks for it that opens it, or that goes back to it."""
    return page._run(WidgetStates())


def settled(page: AppTest) -> AppTest:
    """The page, once every run and every errand that it waits for has ended."""
    deadline = time.monotonic() + 8 * MINUTE
    while time.monotonic() < deadline:
        if "story_viewers" in page.session_state:  # missing until a story trains
            _wait_for(page.session_state["story_viewers"].values(), deadline)
        errands = _drawn_with(page)
        assert not page.exception
        assert not (failures := [errand.failure for errand in errands if errand.failure]), failures
        if all(errand.done for errand in errands) and not engine().errands.waiting():
            return page
        # Rerun the page seldom, because that takes as much CPU time as what it waits for.
        again = time.monotonic() + LEASE / 4
        while engine().errands.waiting() and time.monotonic() < again:
            time.sleep(0.05)
    raise AssertionError("an errand did not end")


def _drawn_with(page: AppTest) -> list[Errand]:
    """Run the page; return every errand as the page saw it, which may have ended since."""
    errands, seen = engine().errands, list[Errand]()
    look = errands.look

    def noted(*args: Any, **others: Any) -> Errand:
        seen.append(look(*args, **others))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errands, "look", noted)
        page.run()
    return seen


def _wait_for(viewers: Collection[Viewer], deadline: float) -> None:
    """Wait for all of them together, because each look renews a lease."""
    while (seen := {viewer.view().status for viewer in viewers}) != {Status.DONE}:
        assert Status.FAILED not in seen, [viewer.view().message for viewer in viewers]
        assert all(viewer.alive() for viewer in viewers) and time.monotonic() < deadline
        time.sleep(0.02)


def keyed(widgets: Iterable[Any], name: str) -> Any:
    """The widget of this name, which has a new key each time the page sets it (ui/state.py)."""
    (found,) = (each for each in widgets if each.key and re.fullmatch(rf"{name}(-\d+)?", each.key))
    return found


def viewer(page: AppTest) -> Viewer:
    """The view of the run that the trainer shows."""
    on_screen: OnScreen = page.session_state["on_screen"]
    assert on_screen.viewer is not None
    return on_screen.viewer


def seen(page: AppTest, snapshots: int) -> AppTest:
    """The page, once its run has this many snapshots or has ended."""
    view = engine().wait(viewer(page), snapshots, 4 * MINUTE)
    assert len(view.snapshots) >= snapshots or view.status in (Status.DONE, Status.FAILED)
    page.run()
    assert not page.exception
    return page


def stated(page: AppTest, name: str) -> Any:
    """What the session holds for the widget of this name."""
    turn = page.session_state[TURNS].get(name, 0) if TURNS in page.session_state else 0
    return page.session_state[f"{name}-{turn}" if turn else name]


def bodies(page: AppTest) -> str:
    """All the HTML of a page."""
    return "\n".join(each.proto.body for each in page.get("html"))


def bars(page: AppTest, label: str) -> dict[str, str]:
    """The values of a row of bars (ui/pieces/bars.py), by series."""
    rows = re.findall("<li>(.*?)</li>", bodies(page))
    row = next(row for row in rows if f"<span>{html.escape(label)}</span>" in row)
    found = re.findall(r'class="unseen">(.*?): </span>(.*?)</b>', row)
    return {html.unescape(name): value for name, value in found}


def tables(page: AppTest) -> list[dict[str, list[str]]]:
    """The tables of a page (ui/pieces/draw.py), each with its columns by heading."""
    found = []
    for body in re.findall(r'<div class="table".*?</div>', bodies(page), re.DOTALL):
        heads = map(_text, re.findall(r"<th .*?>(.*?)</th>", body))
        rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]
        columns = zip(*(map(_text, row) for row in rows if row), strict=True)
        found.append(dict(zip(heads, map(list, columns), strict=True)))
    return found


def _text(cell: str) -> str:
    return html.unescape(re.sub("<.*?>", "", cell))


def answers(page: AppTest) -> list[str]:
    """What the page says of each guess, in order: that it was right, or what the answer is."""
    boxes = (each for each in page.main if each.type in ("success", "warning"))
    return [each.value for each in boxes if each.value.startswith("You said")]
