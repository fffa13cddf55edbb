"""What a visitor's own program may send, without a server."""

import random
from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import Serialized, WStates

from tests.kit import hostile
from tests.kit.visitor import together
from ui import streamlit_privates
from ui.gate import Gate

DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def message(**fields: Any) -> bytes:
    made = BackMsg()
    for name, value in fields.items():
        getattr(made, name).SetInParent() if value is None else setattr(made, name, value)
    return made.SerializeToString()


PAGE_S = [message(rerun_script=None), message(stop_script=True), message(app_heartbeat=True),
          message(file_urls_request=None)]  # fmt: skip


def passed(*frames: bytes | str) -> tuple[list[Any], list[Any]]:
    """What of these frames a socket behind the gate gets, and what the visitor gets."""
    waiting: list[Any] = [
        {"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame}
        for frame in frames
    ]
    waiting.append(DISCONNECT)
    got: list[Any] = []
    sent: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        while (told := await receive())["type"] != "websocket.disconnect":
            got.append(told["bytes"])

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(told: Any) -> None:
        sent.append(told)

    together(lambda: Gate(endpoint, lambda size: True)({"type": "websocket"}, receive, send))
    return got, sent


def test_a_visitor_who_goes_while_the_server_sends_is_told_of_as_one_who_left() -> None:
    """Starlette's socket, as Streamlit uses it: a failed `send` must not end what it receives."""
    ends: list[object] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_bytes(b"a chart")
        try:
            await socket.receive_bytes()
        except WebSocketDisconnect as end:
            ends.append(end.code)

    waiting: list[Any] = [{"type": "websocket.connect"}, DISCONNECT]

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(told: Any) -> None:
        if told["type"] == "websocket.send":
            raise OSError("the visitor has gone")

    together(lambda: Gate(endpoint, lambda size: True)({"type": "websocket"}, receive, send))
    assert ends == [1000]


def test_what_a_page_sends_passes() -> None:
    assert passed(*PAGE_S) == (PAGE_S, [])


@pytest.mark.parametrize(
    "kind", ["clear_cache", "set_run_on_save", "load_git_info", "debug_shutdown_runtime",
             "debug_disconnect_websocket", "backend_operation_request"],
)  # fmt: skip
def test_what_no_page_sends_is_dropped_and_the_tab_goes_on(kind: str) -> None:
    other = message(**{kind: None if kind == "backend_operation_request" else True})
    assert passed(other, PAGE_S[0]) == (PAGE_S[:1], [])


@pytest.mark.parametrize("payload", ["deferred_file", "dataframe_chunk"])
def test_a_download_and_a_table_s_rows_can_be_asked_for(payload: str) -> None:
    asked = BackMsg()
    getattr(asked.backend_operation_request, payload).SetInParent()
    told = asked.SerializeToString()
    assert passed(told) == ([told], [])


def test_an_installation_cannot_be_asked_for() -> None:
    asked = BackMsg()
    asked.backend_operation_request.install_skills.SetInParent()
    assert passed(asked.SerializeToString()) == ([], [])


@pytest.mark.parametrize("frame", ["text", b"\xff\xff\xff", "\x00"])
def test_what_is_no_message_ends_the_connection(frame: bytes | str) -> None:
    got, sent = passed(frame, PAGE_S[0])
    assert got == [] and [told["type"] for told in sent] == ["websocket.close"]


def answered(path: str, length: str, room: int, method: str = "PUT") -> int:
    """The status of the answer to a request with a body of this length."""
    sent: list[Any] = []

    async def streamlit(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(told: Any) -> None:
        sent.append(told)

    scope = {"type": "http", "method": method, "path": path,
             "headers": [(b"content-length", length.encode())]}  # fmt: skip
    together(lambda: Gate(streamlit, lambda size: size <= room)(scope, None, send))  # type: ignore[arg-type]
    status: int = sent[0]["status"]
    return status


FILE = "/_stcore/upload_file/session/file"


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        (FILE, "100", 204),
        (FILE, "101", 507),
        ("/samenet" + FILE, "101", 507),
        (FILE, "junk", 204),
        (FILE, "9" * 400, 204),
        ("/status", "101", 204),
    ],
)
def test_a_file_that_does_not_fit_into_memory_is_refused(
    path: str, length: str, status: int
) -> None:
    assert answered(path, length, 100) == status


def test_a_file_can_be_taken_away_though_the_server_is_full() -> None:
    assert answered(FILE, "0", -1, "DELETE") == 204
    assert answered(FILE, "0", -1) == 507


class Menu:
    """What Streamlit's menus deserialize with."""

    def __init__(self) -> None:
        self.formatted_option_to_option_index = {"red": 0, "green": 1}

    def deserialize(self, text: Any) -> Any:
        if text == "green":
            raise OverflowError("not this one")
        return text or "the default"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WStates, "__getitem__", WStates.__getitem__)
    streamlit_privates.refuse_impossible_values()


def taken(state: WidgetState, key: str = "colour") -> Any:
    """What a menu has for its value after a browser has sent this."""
    id = state.id = f"$$ID-0123-{key}"
    widget = WidgetMetadata(
        id=id, deserializer=Menu().deserialize, serializer=str, value_type="string_value"
    )
    return WStates({id: Serialized(state)}, {id: widget})[id]


@pytest.mark.usefixtures("guarded")
def test_a_menu_keeps_its_default_where_it_is_sent_what_it_does_not_offer() -> None:
    assert taken(WidgetState(string_value="red")) == "red"
    assert taken(WidgetState(string_value="")) == "the default"
    assert taken(WidgetState(string_value="blue")) == "the default"
    assert taken(WidgetState(int_value=0)) == "the default"
    assert taken(WidgetState(int_value=1)) == "the default"
    assert taken(WidgetState(string_value="green")) == "the default"
    assert taken(WidgetState(string_value="512-512"), "control_widths") == "512-512"


@pytest.mark.usefixtures("guarded")
def test_one_of_several_buttons_is_always_chosen() -> None:
    class Buttons(Menu):
        default_option_index = 0

        def deserialize(self, texts: Any) -> Any:
            return texts[0] if texts else None if texts == [] else "the default"

    for texts, value in ((["red"], "red"), ([], "the default"), (["red", "red"], "the default")):
        state = WidgetState(id="$$ID-0123-colour")
        state.string_array_value.data.extend(texts)
        widget = WidgetMetadata(
            id=state.id,
            deserializer=Buttons().deserialize,
            serializer=str,
            value_type="string_array_value",
        )
        assert WStates({state.id: Serialized(state)}, {state.id: widget})[state.id] == value


@pytest.mark.usefixtures("guarded")
def test_no_value_of_another_type_reaches_a_widget() -> None:
    chance = random.Random(0)
    for _ in range(300):
        assert taken(hostile.widget_state("", chance)) == "the default"


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("sent", [WidgetState(int_value=5), WidgetState(double_value=5)], ids=str)
def test_a_browser_sends_numbers_of_both_kinds(sent: WidgetState) -> None:
    sent.id = "$$ID-0123-seed"
    widget = WidgetMetadata(
        id=sent.id, deserializer=int, serializer=float, value_type="double_value"
    )
    assert WStates({sent.id: Serialized(sent)}, {sent.id: widget})[sent.id] == 5


# Who is there


def test_a_visitor_is_there_as_long_as_a_tab_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime:
        def is_active_session(self, session: str) -> bool:
            return session in connected

    connected, server = {"mine"}, Runtime()
    monkeypatch.setattr(streamlit_privates.runtime, "exists", lambda: True)
    monkeypatch.setattr(streamlit_privates.runtime, "get_instance", lambda: server)
    assert streamlit_privates.presence()()  # without a session, there is nobody who could go
    monkeypatch.setattr(streamlit_privates, "session", lambda: "mine")
    there = streamlit_privates.presence()
    assert there()
    connected.clear()
    assert not there()
