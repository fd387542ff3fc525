"""A model of Twilio Media Streams, sans-I/O: how Twilio spells what a `PlayoutBuffer` does.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

import base64
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from .buffer import BUFFER_LIMIT_MS, Echo, MarksOnClear
from .carrier import (
    FRAME_MS,
    CarrierWarning,
    InvalidMessage,
    Outbound,
    StreamCarrier,
    read,
    told,
)
from .ear import Ear

__all__ = ["FRAME_MS", "CarrierWarning", "TwilioCarrier"]


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    """Audio in base64."""

    payload: bytes


class Name(msgspec.Struct, forbid_unknown_fields=True):
    """What a mark is called."""

    name: str


class Media(Outbound, tag="media"):
    """Audio to be played."""

    stream_sid: str
    media: Payload


class Mark(Outbound, tag="mark"):
    """A mark, to come back when the audio before it has played."""

    stream_sid: str
    mark: Name


class Clear(Outbound, tag="clear"):
    """Play nothing of what waits."""

    stream_sid: str


_DECODER: Final[msgspec.json.Decoder[Media | Mark | Clear]] = msgspec.json.Decoder(
    Media | Mark | Clear
)
"""What an app may send (facts/transports.md 2.2)."""


class TwilioCarrier(StreamCarrier[str]):
    """Twilio's end of one bidirectional stream: takes the app's messages, gives Twilio's.

    What is wrong with a message is found in `warnings`, as in the account's debugger
    (https://www.twilio.com/docs/api/errors/31951), and never said in-band.
    """

    __slots__ = ("_params",)

    account_sid: Final = "AC" + "0" * 32
    call_sid: Final = "CA" + "0" * 32
    stream_sid: Final = "MZ" + "0" * 32

    overflow_code: ClassVar[int] = 31931

    def __init__(
        self,
        ear: Ear | None = None,
        *,
        marks_on_clear: MarksOnClear = "returned_unflagged",
        marks_echoed: bool = True,
        limit_ms: int = BUFFER_LIMIT_MS,
        custom_parameters: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            ear or Ear(),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._params = dict(custom_parameters or {})

    def _opening(self) -> list[str]:
        start = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._params,
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [told(connected), self._message("start", start)]

    def _take(self, message: str | bytes) -> list[str]:
        command = read(_DECODER, message, 31950 if isinstance(message, bytes) else 31951)
        if self._started_ms is None or command.stream_sid != self.stream_sid:
            raise InvalidMessage(f"wrong streamSid {command.stream_sid!r}", 31951)
        match command:
            case Media(media=media):
                return self._put(media.payload)
            case Mark(mark=mark):
                return self._mark_with(mark.name)
            case Clear():
                return self._clear()

    def _returned(self, echo: Echo) -> str:
        return self._message("mark", self._mark(echo))

    def _mark(self, echo: Echo) -> dict[str, object]:
        """Twilio has no flag; a model told to flag says it as jambonz does."""
        if self.buffer.marks_on_clear == "returned_flagged":
            return {"name": echo.name, "event": "cleared" if echo.cleared else "playout"}
        return {"name": echo.name}

    def _says(self, frame: bytes) -> str:
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._said_ms),
            "payload": base64.b64encode(frame).decode(),
        }
        return self._message("media", media)

    def _key_pressed(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def _closing(self) -> list[str]:
        stop = {"accountSid": self.account_sid, "callSid": self.call_sid}
        return [self._message("stop", stop)]

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        number = str(self._next())
        return told(
            {"event": event, "sequenceNumber": number, event: body, "streamSid": self.stream_sid}
        )
