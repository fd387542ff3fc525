"""A model of SignalWire's cXML `<Connect><Stream>`, sans-I/O: Twilio's words with differences.

facts/transports.md 6: the SignalWire page "stream" of the Compatibility API. No limit of the buffer is documented.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from .buffer import Echo, MarksOnClear
from .carrier import (
    UNLIMITED_MS,
    InvalidMessage,
    Outbound,
    StreamCarrier,
    rate_hz,
    read,
    spoken,
    told,
)
from .twilio import Clear, Mark, Media

KEY_MS: Final = 200
"""How long a key is held that `caller_presses`. A model's choice: the wire tells a duration."""

_ENCODINGS: Final = {
    "mulaw": "audio/x-mulaw",
    "pcm16_16k": "audio/x-L16",
    "pcm16": "audio/x-L16",
}
"""`PCMU@8000h`, `L16@16000h`, `L16@24000h`; the same codec both ways."""


class _Digit(msgspec.Struct, forbid_unknown_fields=True):
    digit: Annotated[str, msgspec.Meta(pattern="^[0-9*#A-D]$")]


class _Dtmf(Outbound, tag="dtmf"):
    """A tone to be played into the call."""

    stream_sid: str
    dtmf: _Digit


_DECODER: Final[msgspec.json.Decoder[Media | Mark | Clear | _Dtmf]] = msgspec.json.Decoder(
    Media | Mark | Clear | _Dtmf
)


class SignalWireCarrier(StreamCarrier[str]):
    """SignalWire's end of one bidirectional stream.

    `audio` is one of `mulaw`, `pcm16_16k` and `pcm16`. PCM16 is little-endian here; the order of its bytes is not
    documented. Raises `ValueError` for another format.
    """

    __slots__ = ("_audio", "_params")

    account_sid: Final = "signalwire-project"
    call_sid: Final = "signalwire-call"
    stream_sid: Final = "signalwire-stream"

    def __init__(
        self,
        *,
        audio: str = "mulaw",
        marks_on_clear: MarksOnClear = "returned_unflagged",
        marks_echoed: bool = True,
        limit_ms: int = UNLIMITED_MS,
        custom_parameters: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            spoken(audio, _ENCODINGS, "SignalWire"),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._audio = audio
        self._params = dict(custom_parameters or {})

    def _opening(self) -> list[str]:
        start = {
            "streamSid": self.stream_sid,
            "accountSid": self.account_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "customParameters": self._params,
            "mediaFormat": {
                "encoding": _ENCODINGS[self._audio],
                "sampleRate": rate_hz(self._audio),
                "channels": 1,
            },
        }
        connected = {"event": "connected", "protocol": "Call", "version": "0.2.0"}
        return [told(connected), self._message("start", start=start)]

    def _take(self, message: str | bytes) -> list[str]:
        command = read(_DECODER, message)
        if self._started_ms is None or command.stream_sid != self.stream_sid:
            raise InvalidMessage(f"wrong streamSid {command.stream_sid!r}")
        match command:
            case Media(media=media):
                return self._put(media.payload)
            case Mark(mark=mark):
                return self._mark_with(mark.name)
            case Clear():
                return self._clear()
            case _Dtmf():
                return []

    def _returned(self, echo: Echo) -> str:
        return told({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": echo.name}})

    def _says(self, frame: bytes) -> str:
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._said_ms),
            "payload": base64.b64encode(frame).decode(),
        }
        return self._message("media", media=media)

    def _key_pressed(self, digit: str) -> str:
        dtmf = {"digit": digit, "duration": KEY_MS}
        return self._message("dtmf", dtmf=dtmf, streamSid=self.stream_sid)

    def _closing(self) -> list[str]:
        return [self._message("stop")]

    def _message(self, event: str, **fields: object) -> str:
        return told({"event": event, "sequenceNumber": str(self._next()), **fields})
