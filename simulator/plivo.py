"""A model of Plivo audio streams, sans-I/O: a clear is acknowledged, and marks behind it never come back.

facts/transports.md 4: Plivo's pages "Audio Streaming", "checkpoint event", "clear-audio-stream" and
"play-audio-event". No limit of the buffer is documented; `sendDTMF`, of which no shape is known, is not taken.
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

_CONTENT_TYPES: Final = {
    "mulaw": "audio/x-mulaw",
    "pcm16_8k": "audio/x-l16",
    "pcm16_16k": "audio/x-l16",
}
"""A stream has one content type, and what is played must match it."""


class _Sound(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    content_type: str
    sample_rate: int | str
    payload: bytes


class _PlayAudio(Outbound, tag="playAudio"):
    media: _Sound
    stream_id: str | None = None
    """Not documented, and sent by pipecat."""


class _Checkpoint(Outbound, tag="checkpoint"):
    stream_id: str
    name: str


class _ClearAudio(Outbound, tag="clearAudio"):
    stream_id: str


_DECODER: Final[msgspec.json.Decoder[_PlayAudio | _Checkpoint | _ClearAudio]] = (
    msgspec.json.Decoder(_PlayAudio | _Checkpoint | _ClearAudio)
)


class PlivoCarrier(StreamCarrier[str]):
    """Plivo's end of one bidirectional stream. When the caller hangs up, the socket is closed and nothing said.

    `audio` is one of `mulaw`, `pcm16_8k` and `pcm16_16k`; `ValueError` is raised for another format.
    """

    __slots__ = ("_audio", "_extra_headers")

    account_id: Final = "plivo-account"
    call_id: Final = "plivo-call"
    stream_id: Final = "plivo-stream"

    def __init__(
        self,
        *,
        audio: str = "mulaw",
        marks_on_clear: MarksOnClear = "dropped",
        marks_echoed: bool = True,
        limit_ms: int = UNLIMITED_MS,
        extra_headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            spoken(audio, _CONTENT_TYPES, "Plivo"),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self._audio = audio
        self._extra_headers = ";".join(f"{k}={v}" for k, v in (extra_headers or {}).items())

    def _opening(self) -> list[str]:
        start = {
            "callId": self.call_id,
            "streamId": self.stream_id,
            "accountId": self.account_id,
            "tracks": ["inbound"],
            "mediaFormat": {
                "encoding": _CONTENT_TYPES[self._audio],
                "sampleRate": rate_hz(self._audio),
            },
        }
        return [self._message("start", start=start, extra_headers=self._extra_headers)]

    def _take(self, message: str | bytes) -> list[str]:
        command = read(_DECODER, message)
        unnamed = isinstance(command, _PlayAudio) and command.stream_id is None
        if not unnamed and (self._started_ms is None or command.stream_id != self.stream_id):
            raise InvalidMessage(f"wrong streamId {command.stream_id!r}")
        match command:
            case _PlayAudio(media=media):
                return self._play(media)
            case _Checkpoint(name=name):
                return self._mark_with(name)
            case _ClearAudio():
                return [*self._clear(), self._message("clearedAudio", streamId=self.stream_id)]

    def _play(self, media: _Sound) -> list[str]:
        ours = (_CONTENT_TYPES[self._audio], str(rate_hz(self._audio)))
        theirs = (media.content_type, str(media.sample_rate))
        if theirs != ours:
            raise InvalidMessage(f"playAudio: {';'.join(theirs)} on a stream of {';'.join(ours)}")
        return self._put(media.payload)

    def _returned(self, echo: Echo) -> str:
        return self._message("playedStream", streamId=self.stream_id, name=echo.name)

    def _says(self, frame: bytes) -> str:
        media = {
            "track": "inbound",
            "chunk": self._chunk,
            "timestamp": self._epoch_ms((self._started_ms or 0) + self._said_ms),
            "payload": base64.b64encode(frame).decode(),
        }
        return self._message(
            "media", streamId=self.stream_id, media=media, extra_headers=self._extra_headers
        )

    def _key_pressed(self, digit: str) -> str:
        at = self._epoch_ms(self.buffer.now_ms)
        dtmf = {"track": "inbound", "digit": digit, "timestamp": at}
        return self._message("dtmf", streamId=self.stream_id, dtmf=dtmf)

    def _message(self, event: str, **fields: object) -> str:
        return told({"event": event, "sequenceNumber": self._next(), **fields})

    @staticmethod
    def _epoch_ms(now_ms: int) -> str:
        """The time of day, which Plivo tells as text."""
        at = CALL_BEGAN + timedelta(milliseconds=now_ms)
        return str(round(at.timestamp() * 1000))
