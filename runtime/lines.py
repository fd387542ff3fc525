"""The lines of a journal: what went into a session and what came out, one JSON object each. Sans I/O.

    {"at": 1200, "from": "provider", "json": {...}}                      a message arrived, 1200 ms into the call
    {"at": 1200, "from": "transport", "masked": true, "json": {...}}     one that held audio or a secret
    {"at": 1300, "do": "interrupt", "with": {"scope": null}}             the application or the driver did something
    {"gave": {...}}                                                      what that returned
    {"to": "transport", "json": {...}}                                   a message for a wire
    {"app": "StateChanged", ...}                                         an action for the application
    {"raised": "KeyError: 'x'"}                                          the session broke: a bug
    {"at": 9000, "note": "..."} {"at": 9000, "end": "..."}               remarks of the driver, not replayed

A message that is no JSON on one line stands under `text`; a binary frame under `binary`, cut after 48 bytes. Where a
peer sends or takes audio in binary frames, these stand under `binary` whole, or by their `size_bytes` alone.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from . import events as ev
from .actions import Action, Passed, Side, StreamOpened, ToProvider, ToTransport
from .adapter import ProviderAdapter, TransportAdapter, Wire
from .masking import (
    audio_of,
    base64_chars,
    decoded,
    expand_json,
    expand_text,
    mask_json,
    mask_text,
    may_hide,
)

BINARY_BYTES: Final = 48
"""So much of a binary frame that nobody could read is kept: enough to see what it was, too little to hear it."""

_encode = msgspec.json.Encoder().encode
_BASE64: Final = re.compile(rb'"([A-Za-z0-9+/]{64,}={0,2})"')
_SURE_BYTES: Final = 48
"""So much audio, or more, cannot be mistaken for another field of its message."""


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a journal, read back. Which fields are set says what kind it is; see the module."""

    at: int | None = None
    from_: Side | None = msgspec.field(default=None, name="from")
    do: str | None = None
    with_: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw, name="with")
    masked: bool = False
    json: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    text: str | None = None
    binary: bytes | None = None
    size_bytes: int | None = None
    frame: Literal["binary"] | None = None
    encoding: Literal["latin-1"] | None = None
    note: str | None = None
    end: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What the verb was called with."""
        if self.do == "tell":
            message = self.message()
            return {"message": message.encode() if isinstance(message, str) else message}
        text = bytes(self.with_).decode() or "{}"
        return msgspec.json.decode(expand_json(text) if self.masked else text, type=dict[str, Any])

    def message(self) -> str | bytes:
        """The message as the session got it, with silence where audio was left out."""
        if self.binary is not None:
            return self.binary.ljust(self.size_bytes or 0, b"\0")
        if self.text is not None:
            text = expand_text(self.text) if self.masked else self.text
        else:
            text = bytes(self.json).decode()
            if not text:
                raise ValueError("there is no message")
            text = expand_json(text) if self.masked else text
        return text.encode(self.encoding or "utf-8") if self.frame == "binary" else text


class Lines:
    """Writes lines into `out`. `audio` keeps the sound; secrets are never kept."""

    def __init__(self, *, audio: bool = False) -> None:
        self.audio = audio
        self.out: list[str] = []
        self._keys: dict[str, str] = {}
        self._sent: dict[type[Action], _Envelope] = {}
        self._audio_keys: dict[type[Action], bytes] = {}
        self._play: Callable[[str | None, bytes, str, int], Wire] | None = None
        self._bare: frozenset[Side] = frozenset()

    def learn(self, provider: ProviderAdapter, transport: TransportAdapter) -> None:
        """See how these adapters send audio, so that not even the shortest piece of it slips through."""
        sides: tuple[tuple[Side, bool], ...] = (
            ("provider", provider.bare_audio),
            ("transport", transport.bare_audio),
        )
        self._bare = frozenset(side for side, bare in sides if bare)
        self._play = transport.play
        for data in provider.listen(bytes(_SURE_BYTES)):
            self._audio_sent(ToProvider(data, True))

    # -- inputs -------------------------------------------------------------------------------------

    def message(
        self, now_ms: int, side: Side, message: str | bytes, events: Sequence[ev.Event]
    ) -> None:
        """A message of `side`, which its adapter has read as `events`."""
        if isinstance(message, bytes) and side in self._bare:
            self.out.append(f'{{"at":{now_ms},"from":"{side}",{self._frame(message)}}}')
            return
        if len(events) == 1 and not self.audio:
            event = events[0]
            if isinstance(message, str) and isinstance(event, ev.Audio | ev.CallerAudio):
                key = self._keys.get(side, "\n")  # A line break is in no message on one line.
                start = message.find(key)
                if start >= 0:
                    start += len(key)
                    size = len(event.audio)
                    head, rest = message[:start], message[start + base64_chars(size) :]
                    if rest[:1] == '"' and "\n" not in rest and "\n" not in head:
                        self.out.append(
                            f'{{"at":{now_ms},"from":"{side}","masked":true,'
                            f'"json":{head}@audio:{size}{rest}}}'
                        )
                        return
                self._learn(side, message, event.audio)
        body = self._body(message, audio_of(events))
        if isinstance(message, bytes):
            body = '"frame":"binary",' + body
        self.out.append(f'{{"at":{now_ms},"from":"{side}",{body}}}')

    def verb(self, now_ms: int, verb: str, arguments: Mapping[str, Any]) -> None:
        """A call of the session's method `verb` with these arguments; those that are None are left out."""
        message = arguments.get("message")
        if isinstance(message, bytes):
            self.out.append(f'{{"at":{now_ms},"do":"{verb}",{self._body(message, ())}}}')
            return
        said = {key: value for key, value in arguments.items() if value not in (None, False)}
        masked = mask_json(said, audio=not self.audio)
        mark = "" if masked is said else '"masked":true,'
        text = _encode(masked).decode()
        self.out.append(f'{{"at":{now_ms},"do":"{verb}",{mark}"with":{text}}}')

    # -- outputs ------------------------------------------------------------------------------------

    def actions(self, actions: Sequence[Action], message: str | bytes | None = None) -> None:
        """What the session wants done, in answer to `message`."""
        for action in actions:
            if type(action) is ToTransport or type(action) is ToProvider:
                if action.audio and _SIDES[type(action)] in self._bare:
                    side = _SIDES[type(action)]
                    self.out.append(f'{{"to":"{side}",{self._frame(action.data)}}}')
                elif action.audio and not self.audio:
                    envelope = self._sent.get(type(action))
                    line = None if envelope is None else envelope.line(action.data)
                    self.out.append(line or self._audio_sent(action))
                else:
                    self.out.append(f'{{"to":"{_SIDES[type(action)]}",{self._body(action.data)}}}')
            else:
                self._told(action, message)

    def gave(self, value: object) -> None:
        """What the verb returned beside its actions."""
        self.out.append(f'{{"gave":{_encode(value).decode()}}}')

    def raised(self, bug: BaseException) -> None:
        """The session broke on this input."""
        self.out.append(_encode({"raised": f"{type(bug).__name__}: {bug}"}).decode())

    # -- remarks ------------------------------------------------------------------------------------

    def note(self, now_ms: int, text: str) -> None:
        """A remark that is not replayed."""
        self.out.append(_encode({"at": now_ms, "note": text}).decode())

    def end(self, now_ms: int, text: str) -> None:
        """The last line."""
        self.out.append(_encode({"at": now_ms, "end": text}).decode())

    # -- shared -------------------------------------------------------------------------------------

    def _body(self, message: str | bytes, known: Sequence[str] = ()) -> str:
        """A message as the fields of a line, masked."""
        if isinstance(message, str):
            text = message
        else:
            try:
                text = message.decode()
            except UnicodeDecodeError:
                return self._undecodable(message)
        hides = bool(known) or may_hide(text, audio=not self.audio)
        json = decoded(text)
        if json is msgspec.UNSET:
            masked = mask_text(text, audio=not self.audio) if hides else text
            mark = "" if masked == text else '"masked":true,'
            return f'{mark}"text":{_encode(masked).decode()}'
        if hides:
            masked_json = mask_json(json, audio=not self.audio, known=known)
            if masked_json is not json:
                return f'"masked":true,"json":{_encode(masked_json).decode()}'
        if "\n" in text or text != text.strip():
            return f'"text":{_encode(text).decode()}'
        return f'"json":{text}'

    def _frame(self, data: bytes) -> str:
        """A binary frame of audio: its length is all that is kept, unless the sound is."""
        kept = data if self.audio else b""
        return f'"binary":{_encode(kept).decode()},"size_bytes":{len(data)}'

    def _undecodable(self, message: bytes) -> str:
        if _reads_as_text(message):  # Nearly: somebody's encoding is wrong.
            text = mask_text(message.decode("latin-1"), audio=not self.audio)
            return f'"masked":true,"encoding":"latin-1","text":{_encode(text).decode()}'
        kept = message if self.audio else message[:BINARY_BYTES]
        return f'"binary":{_encode(kept).decode()},"size_bytes":{len(message)}'

    def _told(self, action: Action, message: str | bytes | None) -> None:
        """An action for the application. A message passed on is not written twice."""
        if isinstance(action, StreamOpened) and self._play is not None:
            for data in self._play(action.stream, bytes(_SURE_BYTES), "", 0):
                self._audio_sent(ToTransport(data, True))
        fields = msgspec.to_builtins(action)
        if isinstance(action, Passed) and action.data is message:
            fields["data"] = "@message"
        text = _encode(fields).decode()
        if may_hide(text, audio=not self.audio):
            text = _encode(mask_json(fields, audio=not self.audio)).decode()
        comma = "," if fields else ""
        self.out.append(f'{{"app":"{type(action).__name__}"{comma}{text[1:]}')

    def _learn(self, side: Side, message: str, audio: bytes) -> None:
        """Remember the key under which `side` sends audio, as it is written."""
        if len(audio) < _SURE_BYTES:
            return
        start = message.find(f'"{b64encode(audio).decode()}"')
        name = message.rfind('"', 0, message.rfind('"', 0, start)) if start > 0 else -1
        if name >= 0:
            self._keys[side] = message[name : start + 1]

    def _audio_sent(self, action: ToProvider | ToTransport) -> str:
        """The first message in a new envelope: find the audio in it, by its key where that is known."""
        side, data = _SIDES[type(action)], action.data
        key = self._audio_keys.get(type(action), b"\n")
        start = data.rfind(key) + len(key)
        end = data.find(b'"', start)
        if start < len(key) or end < 0:
            longest = max(_BASE64.finditer(data), key=lambda found: len(found[1]), default=None)
            if longest is None:
                body = self._body(data) if data[:1] == b"{" else self._frame(data)
                return f'{{"to":"{side}",{body}}}'
            start, end = longest.span(1)
            name = data.rfind(b'"', 0, data.rfind(b'"', 0, start - 1))
            self._audio_keys[type(action)] = data[max(name, 0) : start]
        head, tail = data[:start], data[end:]
        envelope = _Envelope(f'{{"to":"{side}","masked":true,"json":', head, tail)
        self._sent[type(action)] = envelope
        return envelope.line(data) or f'{{"to":"{side}",{self._body(data)}}}'


def _reads_as_text(message: bytes) -> bool:
    """Whether bytes that are no UTF-8 begin like a message and not like sound."""
    head = message[:BINARY_BYTES]
    return head.isascii() and head.decode().replace("\n", " ").isprintable()


_SIDES: Final[dict[type[Action], Side]] = {ToProvider: "provider", ToTransport: "transport"}


class _Envelope:
    """What stands before and after the audio in every message of a kind; lines of equal length are made once."""

    __slots__ = ("_head", "_lines", "_prefix", "_tail")

    def __init__(self, prefix: str, head: bytes, tail: bytes) -> None:
        self._prefix = prefix
        self._head = head
        self._tail = tail
        self._lines: dict[tuple[int, int], str] = {}

    def line(self, data: bytes) -> str | None:
        """The line of `data`, None if it came in another envelope."""
        tail = len(self._tail)
        if not data.startswith(self._head) or not data.endswith(self._tail):
            return None
        padding = data.count(b"=", len(data) - tail - 2, len(data) - tail)
        key = (len(data), padding)
        line = self._lines.get(key)
        if line is None:
            size = (len(data) - len(self._head) - tail) * 3 // 4 - padding
            line = f"{self._prefix}{self._head.decode()}@audio:{size}{self._tail.decode()}}}"
            if len(self._lines) < 256:
                self._lines[key] = line
        return line
