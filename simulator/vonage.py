"""A model of Vonage's Voice websocket, sans-I/O: bare audio in frames of exactly 20 ms, and no ids at all.

facts/transports.md 5: Vonage's page "WebSockets in the Vonage Voice API" and the tutorial "Create the WebSocket".
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .buffer import Echo, MarksOnClear
from .carrier import (
    FRAME_MS,
    InvalidMessage,
    StreamCarrier,
    rate_hz,
    read,
    spoken,
    told,
)

LIMIT_MS: Final = 3072 * FRAME_MS
"""3072 messages of 20 ms, about a minute. What becomes of more is not documented: the model discards it."""

KEY_MS: Final = 260
"""How long a key is held, as in the documented example."""

_CONTENT_TYPES: Final = {
    audio: f"audio/l16;rate={rate_hz(audio)}" for audio in ("pcm16_8k", "pcm16_16k", "pcm16")
}
"""8 and 16 kHz are documented; 24 kHz is seen in clients."""


class _Command(msgspec.Struct, forbid_unknown_fields=True, tag_field="action"):
    pass


class _Clear(_Command, tag="clear"):
    pass


class _Notify(_Command, tag="notify"):
    payload: dict[str, Any]


_DECODER: Final[msgspec.json.Decoder[_Clear | _Notify]] = msgspec.json.Decoder(_Clear | _Notify)


class VonageCarrier(StreamCarrier[bytes]):
    """Vonage's end of one websocket. When the caller hangs up, the socket is closed and nothing said.

    `audio` is one of `pcm16_8k`, `pcm16_16k` and `pcm16`; `ValueError` is raised for another format. What becomes of
    notifies that wait at a clear is not documented: `decides` says it, or `marks_on_clear` from the start. `headers`
    are those of the NCCO's endpoint. The buffer knows a notify by the one string its payload holds, so that it has
    the name the app gave it; a payload of any other shape by its JSON text.
    """

    __slots__ = ("_audio", "_field", "_headers")

    def __init__(
        self,
        *,
        audio: str = "pcm16_16k",
        marks_on_clear: MarksOnClear = "unknown",
        marks_echoed: bool = True,
        limit_ms: int = LIMIT_MS,
        headers: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(
            spoken(audio, _CONTENT_TYPES, "Vonage"),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._audio = audio
        self._headers = dict(headers or {})
        self._field: str | None = None  # where payloads that hold one string hold it

    def key(self) -> tuple[object, ...]:
        """What decides the future, what was heard and warned of; hashable."""
        return (*super().key(), self._field)

    def _opening(self) -> list[str]:
        connected = {"event": "websocket:connected", "content-type": _CONTENT_TYPES[self._audio]}
        return [told({**self._headers, **connected})]

    def _take(self, message: str | bytes) -> list[str]:
        if isinstance(message, bytes):
            frame_bytes = FRAME_MS * self.ear.bytes_per_ms
            if len(message) != frame_bytes:
                raise InvalidMessage(f"a frame of {len(message)} bytes, not {frame_bytes}")
            return self._put(message)
        match read(_DECODER, message):
            case _Notify(payload=payload):
                return self._mark_with(self._name(payload))
            case _Clear():
                return [*self._clear(), told({"event": "websocket:cleared"})]

    def _name(self, payload: dict[str, Any]) -> str:
        if len(payload) == 1:
            [(field, name)] = payload.items()
            if isinstance(name, str) and not name.startswith("{"):
                self._field = field if self._field is None else self._field
                if field == self._field:
                    return name
        return told(payload)

    def _returned(self, echo: Echo) -> str:
        whole = echo.name.startswith("{")
        payload = msgspec.json.decode(echo.name) if whole else {self._field: echo.name}
        return told({"event": "websocket:notify", "payload": payload})

    def _says(self, frame: bytes) -> bytes:
        return frame

    def _key_pressed(self, digit: str) -> str:
        return told({"event": "websocket:dtmf", "digit": digit, "duration": KEY_MS})
