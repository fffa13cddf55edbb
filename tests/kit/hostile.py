"""What a hostile visitor sends: query strings, recordings, values of widgets, frames, requests.

Every text that could be taken for markup, for a line of a log or for code holds MARK, so that it is
found wherever it turns up.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from core.config import FIELDS
from core.fields import Choice, Range
from core.run.train.vocabulary import Shape
from core.study.compare.recording import read
from tests.kit.recorder import Program, recorded, written

MARK = "zqx"
SCRIPTS = (
    f"<img src=x onerror={MARK}(1)>",
    f"<script>{MARK}()</script>",
    f'"><svg/onload={MARK}()>',
    f"![{MARK}](http://{MARK}.example/x.png)",
    f"[{MARK}](javascript:{MARK}())",
    f":red[{MARK}] :material/{MARK}:",
    f"$\\href{{javascript:{MARK}()}}{{x}}$",
    f"{{{{{MARK}}}}} {{% {MARK} %}} ${{{MARK}}}",
    f"__import__('os').system('{MARK}')",
    f"\n2026-01-01 00:00:00 {MARK} run started: {{}}",
    f"\x1b[31m{MARK}\x1b[0m\r",
    f"../../../../etc/{MARK}\x00",
    f"=cmd|'/c {MARK}'!A0",
    f"\u202e{MARK}\u2066",
    f"'; drop table {MARK}; --",
)
# What must not be shown: a tag, a link, a colour or a formula that a visitor's text has become.
TAG = re.compile(rf"(?<!\\)<\s*(?:img|script|svg|a)\b[^&<]*{MARK}", re.IGNORECASE)
MARKDOWN = re.compile(
    rf"\]\((?:javascript:|http://){MARK}|(?<!\\):(?:red|material)[/\[]{MARK}|(?<!\\)\$\\+href"
)
FORGED = re.compile(rf"^2026-01-01 00:00:00 {MARK}|\x1b\[31m{MARK}", re.MULTILINE)
ODD = (
    "", "nan", "-nan", "inf", "-inf", "1e999", "-1e999", "-0", "1e-400", "0x10", "1_0", "٣", "½",
    "true", "None", "[]", "{}", "1,2", "-", "--", ".", "..", "\x00", "%", "%00", "%ff", "+", " ",
    "9" * 400, "-".join("9" * 200), "a" * 5000, "[" * 2000, "\ufeff1", "1\n2", "🧨" * 50,
)  # fmt: skip
OTHER_NAMES = (
    "until", "over_seed", "over_loss", "over_learning_rate", "over_widths", "over_", "over_x",
    "pair", "there", "here", "uses", "from", "step", "view", "embed", "embed_options", "page",
    "__proto__", "constructor", "query", "seed", "seed",
)  # fmt: skip


def text(chance: random.Random) -> str:
    """A text that is a script, an odd number, or noise."""
    kind = chance.random()
    if kind < 0.45:
        return chance.choice(SCRIPTS)
    if kind < 0.8:
        return chance.choice(ODD)
    return "".join(chr(chance.choice((chance.randrange(1, 128), chance.randrange(1, 0xD800))))
                   for _ in range(chance.randrange(1, 60)))  # fmt: skip


def query(chance: random.Random) -> str:
    """A query string: random settings, adversarial ones, or no query at all.

    What a program is compiled for stays, or else each of them would take ten seconds.
    """
    kind = chance.random()
    if kind < 0.1:
        return text(chance)
    if kind < 0.15:
        return "&".join(f"{quote(text(chance))}" for _ in range(chance.randrange(1, 300)))
    if kind < 0.2:
        return "".join(f"%{chance.randrange(256):02x}" for _ in range(chance.randrange(200)))
    names = [_name(chance) for _ in range(chance.randrange(1, 8))]
    pairs = [(name, _value(name, chance)) for name in names]
    encode: Callable[[str], str] = quote if chance.random() < 0.8 else str
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def _name(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.75:
        return chance.choice([*FIELDS])
    return chance.choice(OTHER_NAMES) if kind < 0.9 else text(chance)


def _value(name: str, chance: random.Random) -> str:
    allowed = FIELDS.get(name)
    if allowed is None or chance.random() < 0.4:
        wrong = text(chance)
        return MARK + wrong if name in Shape._fields else wrong
    if name in Shape._fields or name == "source":
        return chance.choice(SCRIPTS)
    if isinstance(allowed, Choice):
        return chance.choice([*allowed.registry])
    if isinstance(allowed, Range):
        edge = chance.choice([allowed.low, allowed.high, -1, 0, 1e30])
        return str(chance.choice([edge, chance.uniform(allowed.low, allowed.high)]))
    return text(chance)


GREEDY = (
    "widths=16384-16384-16384-16384-16384-16384-16384-16384&train_size=5000&batch_size=5000",
    "widths=16384-16384&batch_size=1&epochs=1000",
    "task=digits&loss=from_logits&widths=16384&train_size=5000&batch_size=5000&epochs=1000",
    "model=cnn&task=digits&loss=from_logits&train_size=5000&batch_size=5000&epochs=1000",
    "source=full&train_size=60000&batch_size=60000&widths=4096-4096&epochs=1000",
    "source=full&train_size=60000&batch_size=1&epochs=1000",
    "source=ou&model=gru&train_size=60000&batch_size=60000&epochs=1000",
    "normalisation=batch&widths=8192-8192-8192&precision=float64&optimizer=adam",
    "widths=1-1-1-1-1-1-1-1&batch_size=1&epochs=1000",
    "widths=12000&optimizer=adam&train_size=5000&batch_size=5000",
)
GREEDY_SWEEPS = (
    f"over_seed={','.join(map(str, range(1000)))}&widths=16384-16384&train_size=5000",
    f"over_seed={','.join(map(str, range(3000)))}&over_learning_rate=1,2,3,4,5,6,7,8,9,10",
    "over_widths=16384-16384,8192,4096,2048&over_batch_size=1,2,3,5,7&epochs=1000",
)


def recording(chance: random.Random) -> tuple[str, bytes]:
    """A file's name and its bytes: a recording that lies, or nothing of the kind."""
    header, rest = _good()
    name = chance.choice([*SCRIPTS, "a", "a" * 3000]) + ".safetensors"
    kind = chance.randrange(8)
    if kind == 0:
        return name, chance.randbytes(chance.choice([0, 7, 8, 9, 1000, 100_000]))
    if kind == 1:
        return name, _joined(_nested(chance), rest)
    if kind == 2:
        return name, _spoilt(chance)
    if kind == 3:
        return name, _markup(chance)
    if kind == 4:
        huge = chance.choice([2**31, 2**63, 2**64 - 1, 10**400])
        return name, chance.choice([huge.to_bytes(200, "little"), _sized(huge, rest)])
    if kind == 5:
        data = bytearray(_joined(header, rest))
        for _ in range(chance.randrange(1, 9)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return name, bytes(data)
    wrong = json.loads(json.dumps(header))
    for _ in range(chance.randrange(1, 4)):
        entry = wrong[chance.choice([*wrong])]
        if isinstance(entry, dict) and entry:
            entry[chance.choice([*entry])] = _wrong(chance)
    return name, _joined(wrong, rest)


def run_file(chance: random.Random) -> str:
    """The text of a run's file, for `python -m core.run`: wrong in one way or another."""
    kind = chance.random()
    if kind < 0.2:
        return text(chance)
    if kind < 0.3:
        return json.dumps(_wrong(chance))
    if kind < 0.4:
        return "[" * chance.choice([10, 100_000]) + '{"loss": ' * chance.choice([1, 50_000])
    names = [_name(chance) for _ in range(chance.randrange(1, 6))]
    return json.dumps({name: _wrong(chance) for name in names})


@cache
def _good() -> tuple[dict[str, Any], bytes]:
    data = recorded(Program(steps=2, batch=8, widths=(6, 5, 3)))
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _joined(header: object, rest: bytes) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + rest


def _sized(size: int, rest: bytes) -> bytes:
    entry = {"dtype": "F32", "shape": [size, 2], "data_offsets": [0, size % 2**64]}
    return _joined({"__metadata__": {"samenet_recording": "1", "steps": "1"}, "a": entry}, rest)


def _nested(chance: random.Random) -> bytes:
    depth = chance.choice([50, 1000, 100_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return opening * depth + b"1" + closing * depth


def _spoilt(chance: random.Random) -> bytes:
    good = dict(read(_joined(*_good())).tensors)
    for name in chance.sample([*good], 4):
        v = good[name]
        value = chance.choice([np.nan, np.inf, -np.inf, 3e38, 0.0])
        changed = [
            v.reshape(-1),
            v.T,
            np.zeros((0, *v.shape), v.dtype),
            np.concatenate([v[None]] * 9),
        ]
        if v.dtype.kind == "f":
            changed += [np.full_like(v, value)] * 3
        good[name] = chance.choice(changed)
    return written(good, 2)


def _markup(chance: random.Random) -> bytes:
    """A good recording whose framework, parameters, metrics and settings are named by scripts."""
    good, script = dict(read(_joined(*_good())).tensors), chance.choice(SCRIPTS)
    shown = "".join(c for c in script if c.isprintable())
    named = {k.replace("dense", shown.replace("/", "|")).replace("accuracy", shown): v
             for k, v in good.items()}  # fmt: skip
    settings = json.dumps({script: script, "batch_size": script})
    return written(named, 2, framework=script, version=script, backend=script, settings=settings)


def _wrong(chance: random.Random) -> Any:
    return chance.choice(
        [None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, [], {}, [[]], [-1], [2**62],
         ["a"], {"a": {}}, text(chance), chance.choice(SCRIPTS)]
    )  # fmt: skip


VALUES = (
    "trigger_value", "bool_value", "double_value", "int_value", "string_value",
    "double_array_value", "int_array_value", "string_array_value", "json_value", "arrow_value",
    "bytes_value", "file_uploader_state_value", "string_trigger_value", "chat_input_value",
    "json_trigger_value",
)  # fmt: skip


def widget_state(id: str, chance: random.Random) -> WidgetState:
    """A value for a widget, of any type and out of range."""
    state, kind = WidgetState(id=id), chance.choice(VALUES)
    number = chance.choice([0, -1, 1, 10**6, 2**62, -(2**62)])
    real = chance.choice([float("nan"), float("inf"), -1e308, 0.5, 1e30])
    word = text(chance)
    if kind == "double_array_value":
        state.double_array_value.data.extend([real] * chance.choice([0, 1, 2, 1000]))
    elif kind == "int_array_value":
        state.int_array_value.data.extend([number] * chance.choice([0, 1, 2, 1000]))
    elif kind == "string_array_value":
        state.string_array_value.data.extend([word] * chance.choice([0, 1, 2, 100]))
    elif kind == "file_uploader_state_value":
        file = state.file_uploader_state_value.uploaded_file_info.add()
        file.file_id, file.name, file.size = word, word, abs(number)
    elif kind == "chat_input_value":
        state.chat_input_value.data = word
    elif kind == "arrow_value":
        state.arrow_value.data = chance.randbytes(100)
    elif kind == "json_value":
        other = json.dumps({"selection": {word: [{word: number}]}})
        state.json_value = chance.choice([word, "[" * 50_000, "null", "3", other])
    else:
        value = {"double_value": real, "int_value": number, "bytes_value": word.encode(),
                 "trigger_value": True, "bool_value": True}.get(kind, word)  # fmt: skip
        if kind == "string_trigger_value":
            state.string_trigger_value.data = word
        else:
            setattr(state, kind, value)
    return state


def frame(chance: random.Random, session: str) -> bytes | str:
    """What a web socket may bring: text, noise, or a message that the page never sends."""
    kind = chance.randrange(11)
    message = BackMsg()
    if kind == 0:
        return text(chance)
    if kind == 1:
        return chance.randbytes(chance.choice([0, 1, 100, 100_000]))
    if kind in (2, 3):
        message.clear_cache = True
    elif kind == 4:
        message.set_run_on_save = True
    elif kind == 5:
        message.load_git_info = True
    elif kind == 6:
        message.debug_shutdown_runtime = message.debug_disconnect_websocket = True
    elif kind == 7:
        message.file_urls_request.file_names.extend([text(chance)] * chance.choice([1, 1000]))
    elif kind in (8, 9):
        operation = message.backend_operation_request
        operation.request_id, operation.session_id = text(chance), session
        if kind == 8:
            operation.install_skills.SetInParent()
        else:
            operation.deferred_file.file_id = text(chance)
    else:
        client = message.rerun_script
        client.page_script_hash, client.fragment_id = text(chance), text(chance)
        client.page_name, client.query_string = text(chance), text(chance)
    return message.SerializeToString()


def request(chance: random.Random, session: str) -> bytes:
    """A request as a socket sends it, most of them none that HTTP knows."""
    word = text(chance)
    path = chance.choice(
        ["/", "/status", "/metrics", "/_stcore/health", "/_stcore/stream", "/static/../../app.py",
         "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/app/static/%00", "/media/" + quote(word),
         f"/_stcore/upload_file/{session}/{quote(word)}", f"/train?{word}", f"/{quote(word)}"]
    )  # fmt: skip
    method = chance.choice(["GET", "GET", "POST", "PUT", "DELETE", "TRACE", word])
    extra: Sequence[str] = chance.choice(
        [(), (f"X-Forwarded-For: {word}",), ("Content-Length: 9" * 3,), ("Content-Length: -1",),
         ("Transfer-Encoding: chunked",), (f"Cookie: _streamlit_xsrf={word}",),
         ("A: " + "a" * 70_000,)]
    )  # fmt: skip
    head = "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *extra]
    )
    return head.encode("utf-8", "replace") + b"\r\n\r\n"
