"""A model of Telnyx media streaming over websockets in RTP mode, sans-I/O.

facts/transports.md 3: the Telnyx guide "Media Streaming over Websockets" and its AsyncAPI page. No limit of the
buffer is documented.
"""

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from .buffer import Echo, MarksOnClear
from .carrier import (
    CALL_BEGAN,
    UNLIMITED_MS,
    InvalidMessage,
    Outbound,
    StreamCarrier,
    rate_hz,
    read,
    spoken,
    told,
)
from .twilio import Name, Payload

MALFORMED_FRAME: Final = 100003
INVALID_MEDIA: Final = 100004
_TITLES: Final = {MALFORMED_FRAME: "malformed_frame", INVALID_MEDIA: "invalid_media"}

SHORTEST_MS: Final = 20
LONGEST_MS: Final = 30_000
"""How much audio one message may hold."""

_ENCODINGS: Final = {
    "mulaw": "PCMU",
    "pcm16_8k": "L16",
    "pcm16_16k": "L16",
    "pcm16": "L16",
    "pcm16_48k": "L16",
}
"""`stream_bidirectional_codec`; the model's line speaks it both ways."""


class _Media(Outbound, tag="media"):
    media: Payload


class _Mark(Outbound, tag="mark"):
    mark: Name


class _Clear(Outbound, tag="clear"):
    pass


_DECODER: Final[msgspec.json.Decoder[_Media | _Mark | _Clear]] = msgspec.json.Decoder(
    _Media | _Mark | _Clear
)


class TelnyxCarrier(StreamCarrier[str]):
    """Telnyx's end of one bidirectional stream. What it would not take it also says on the socket.

    `audio` is `mulaw` or any PCM16 up to 48 kHz; `ValueError` is raised for another format. Where no source settles
    what Telnyx does, a rule says it: `takes_short` lets messages under 20 ms through, as a last piece may be;
    `audio_ordered=False` lets every second frame of the caller overtake the one before (documented as possible),
    `marks_ordered=False` turns round the marks that come back together.
    """

    __slots__ = ("_audio", "_audio_ordered", "_held", "_marks_ordered", "_params", "_takes_short")

    user_id: Final = "telnyx-user"
    call_control_id: Final = "telnyx-call-control"
    call_session_id: Final = "telnyx-call-session"
    stream_id: Final = "telnyx-stream"

    def __init__(
        self,
        *,
        audio: str = "mulaw",
        marks_on_clear: MarksOnClear = "returned_unflagged",
        marks_echoed: bool = True,
        limit_ms: int = UNLIMITED_MS,
        custom_parameters: Mapping[str, str] | None = None,
        takes_short: bool = False,
        audio_ordered: bool = True,
        marks_ordered: bool = True,
    ) -> None:
        super().__init__(
            spoken(audio, _ENCODINGS, "Telnyx"),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._audio = audio
        self._audio_ordered = audio_ordered
        self._marks_ordered = marks_ordered
        self._takes_short = takes_short
        self._params = dict(custom_parameters or {})
        self._held: tuple[str, ...] = ()  # a frame that the next one overtakes

    def caller_says(self, audio: bytes, now_ms: int) -> list[str]:
        """The caller's `audio` in frames of 20 ms; where they overtake each other the last may be held back.

        Raises `RuntimeError` when the stream is not open.
        """
        frames = super().caller_says(audio, now_ms)
        if self._audio_ordered:
            return frames
        said = list[str]()
        for frame in frames:
            if self._held:
                said += [frame, *self._held]
                self._held = ()
            else:
                self._held = (frame,)
        return said

    def _opening(self) -> list[str]:
        start = {
            "user_id": self.user_id,
            "call_control_id": self.call_control_id,
            "call_session_id": self.call_session_id,
            "from": "+15550100",
            "to": "+15550199",
            "tags": [],
            "client_state": "",
            "custom_parameters": self._params,
            "media_format": {
                "encoding": _ENCODINGS[self._audio],
                "sample_rate": rate_hz(self._audio),
                "channels": 1,
            },
        }
        return [told({"event": "connected", "version": "1.0.0"}), self._message("start", start)]

    def _take(self, message: str | bytes) -> list[str]:
        match read(_DECODER, message, MALFORMED_FRAME):
            case _Media(media=media):
                length_ms = len(media.payload) / self.ear.bytes_per_ms
                if length_ms > LONGEST_MS or (length_ms < SHORTEST_MS and not self._takes_short):
                    raise InvalidMessage(f"a message of {length_ms:g} ms of audio", INVALID_MEDIA)
                return self._put(media.payload)
            case _Mark(mark=mark):
                return self._mark_with(mark.name)
            case _Clear():
                return self._clear()

    def _complaint(self, invalid: InvalidMessage) -> list[str]:
        payload = {"code": invalid.code, "title": _TITLES[invalid.code], "detail": str(invalid)}
        return [told({"event": "error", "payload": payload, "stream_id": self.stream_id})]

    def _echoes(self, echoes: list[Echo]) -> list[str]:
        return super()._echoes(echoes if self._marks_ordered else echoes[::-1])

    def _returned(self, echo: Echo) -> str:
        return self._message("mark", {"name": echo.name})

    def _says(self, frame: bytes) -> str:
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._said_ms),
            "payload": base64.b64encode(frame).decode(),
        }
        return self._message("media", media)

    def _key_pressed(self, digit: str) -> str:
        at = CALL_BEGAN + timedelta(milliseconds=self.buffer.now_ms)
        return self._message("dtmf", {"digit": digit}, occurred_at=at)

    def _closing(self) -> list[str]:
        stop = {"user_id": self.user_id, "call_control_id": self.call_control_id}
        held, self._held = self._held, ()
        return [*held, self._message("stop", stop)]

    def _message(self, event: str, body: Mapping[str, object], **fields: object) -> str:
        number = str(self._next())
        return told(
            {
                "event": event,
                "sequence_number": number,
                event: body,
                "stream_id": self.stream_id,
                **fields,
            }
        )
