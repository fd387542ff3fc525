"""A model of Twilio Media Streams, sans-I/O: how Twilio spells what a `PlayoutBuffer` does.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

import base64
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import msgspec

from .buffer import BUFFER_LIMIT_MS, Echo, MarksOnClear, PlayoutBuffer
from .ear import Ear
from .voice import silence

FRAME_MS: Final = 20
"""The caller's audio comes in frames of 20 ms, 160 bytes. facts/transports.md 2.1."""


class CarrierWarning(NamedTuple):
    """An entry in the account's debugger; nothing of it is said on the socket."""

    code: int
    reason: str
    at_ms: int


class TwilioCarrier:
    """Twilio's end of one bidirectional stream: takes the app's messages, gives Twilio's.

    Every method that takes `now_ms` first plays up to that time. An explorer that orders events
    instead of timing them leaves `now_ms` at 0 and plays by `plays` and `plays_to_next_mark`.
    What is wrong with a message is found in `warnings`, as in the account's debugger
    (https://www.twilio.com/docs/api/errors/31951), and never said in-band.
    """

    __slots__ = (
        "_chunk",
        "_params",
        "_said_ms",
        "_sequence",
        "_started_ms",
        "_stopped",
        "buffer",
        "warnings",
    )

    account_sid: Final = "AC" + "0" * 32
    call_sid: Final = "CA" + "0" * 32
    stream_sid: Final = "MZ" + "0" * 32

    def __init__(
        self,
        ear: Ear | None = None,
        *,
        marks_on_clear: MarksOnClear = "returned_unflagged",
        marks_echoed: bool = True,
        limit_ms: int = BUFFER_LIMIT_MS,
        custom_parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.buffer = PlayoutBuffer(
            ear or Ear(),
            marks_on_clear=marks_on_clear,
            marks_echoed=marks_echoed,
            limit_ms=limit_ms,
        )
        self.warnings: tuple[CarrierWarning, ...] = ()
        self._params = dict(custom_parameters or {})
        self._started_ms: int | None = None
        self._stopped = False
        self._sequence = self._chunk = self._said_ms = 0

    @property
    def ear(self) -> Ear:
        """What the caller has heard so far."""
        return self.buffer.ear

    @property
    def is_open(self) -> bool:
        """Whether the stream has started and not stopped."""
        return self._started_ms is not None and not self._stopped

    @property
    def next_event_ms(self) -> int | None:
        """When the next mark comes back if nothing else happens; None if none will."""
        wait_ms = self.buffer.next_mark_in_ms
        return None if wait_ms is None else self.buffer.now_ms + wait_ms

    def start(self, now_ms: int) -> list[str]:
        """The stream opens: `connected`, then `start`. Once; raises `RuntimeError` after that."""
        if self._started_ms is not None:
            raise RuntimeError("the stream has already started")
        self._started_ms = now_ms
        self.buffer.advance(now_ms)
        start = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._params,
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [_json(connected), self._message("start", start)]

    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        """The app sent `message`. Anything may come; what Twilio would not take is warned of."""
        messages = self.advance(now_ms)
        if self._stopped:
            return messages
        if isinstance(message, bytes):
            self._warn(31950, "binary frame")
            return messages
        try:
            event, value = self._read(message)
        except _InvalidMessage as invalid:
            self._warn(31951, str(invalid))
            return messages
        if isinstance(value, bytes):
            if not self.buffer.put(value) and all(w.code != 31931 for w in self.warnings):
                self._warn(31931, "more than the buffer holds: media discarded")
            return messages
        return messages + self._echoes(
            self.buffer.mark(value) if event == "mark" else self.buffer.clear()
        )

    def advance(self, now_ms: int) -> list[str]:
        """Play up to `now_ms`; the marks whose audio has finished come back."""
        return [] if self._stopped else self._echoes(self.buffer.advance(now_ms))

    def plays(self, duration_ms: int) -> list[str]:
        """Play the next `duration_ms`, whatever the clock says."""
        return [] if self._stopped else self._echoes(self.buffer.play(duration_ms))

    def plays_to_next_mark(self) -> list[str]:
        """Play until the next mark comes back, whatever the clock says; if none waits, play all."""
        wait_ms = self.buffer.next_mark_in_ms
        return self.plays(self.buffer.buffered_ms if wait_ms is None else wait_ms)

    def decides(self, returned: bool) -> list[str]:
        """Where the meaning of a clear is `unknown`: the cleared marks come back now, or never."""
        return [] if self._stopped else self._echoes(self.buffer.decide(returned))

    def caller_says(self, audio: bytes, now_ms: int) -> list[str]:
        """The caller's μ-law `audio`, in frames of 20 ms, the last one filled up with silence.

        Frames follow each other on the stream's own clock, which never runs behind `now_ms`.
        Raises `RuntimeError` when the stream is not open.
        """
        started_ms = self._open()
        self._said_ms = max(self._said_ms, now_ms - started_ms)
        length = FRAME_MS * 8
        messages = []
        for at in range(0, len(audio), length):
            frame = audio[at : at + length]
            frame += silence(FRAME_MS)[len(frame) :]
            self._chunk += 1
            media = {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(self._said_ms),
                "payload": base64.b64encode(frame).decode(),
            }
            messages.append(self._message("media", media))
            self._said_ms += FRAME_MS
        return messages

    def caller_presses(self, digit: str) -> list[str]:
        """The caller presses a key. Raises `RuntimeError` when the stream is not open."""
        self._open()
        return [self._message("dtmf", {"track": "inbound_track", "digit": digit})]

    def stop(self, now_ms: int) -> list[str]:
        """The caller hangs up: what was not played is lost, and no pending mark comes back.

        Says nothing when the stream never started or has stopped.
        """
        messages = self.advance(now_ms)
        if self.is_open:
            stop = {"accountSid": self.account_sid, "callSid": self.call_sid}
            messages.append(self._message("stop", stop))
        self._stopped = True
        self.buffer.clear()
        self.buffer.undecided = ()
        return messages

    def copy(self) -> Self:
        """A carrier, with an ear of its own, that goes on from here."""
        twin = object.__new__(type(self))
        twin.buffer = self.buffer.copy()
        twin.warnings = self.warnings
        twin._params = self._params
        twin._started_ms = self._started_ms
        twin._stopped = self._stopped
        twin._sequence = self._sequence
        twin._chunk = self._chunk
        twin._said_ms = self._said_ms
        return twin

    def tidy(self) -> None:
        """Drop what no later step depends on: the numbers of past messages."""
        self._sequence = 0

    def key(self) -> tuple[object, ...]:
        """What decides the future, what was heard and warned of; hashable. Counters and times are left out."""
        warned = tuple([w[:2] for w in self.warnings])
        return (self.buffer.key(), self._started_ms is not None, self._stopped, warned)

    def _open(self) -> int:
        if self._started_ms is None or self._stopped:
            raise RuntimeError("the stream is not open")
        return self._started_ms

    def _read(self, message: str) -> tuple[str, bytes | str]:
        """The event, and its audio, mark name or nothing."""
        try:
            fields = msgspec.json.decode(message)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise _InvalidMessage("not JSON") from None
        event = fields.get("event") if isinstance(fields, dict) else None
        if not isinstance(event, str) or event not in _BODIES:
            raise _InvalidMessage(f"unknown event {event!r}")
        inner = _BODIES[event]
        if fields.keys() != {"event", "streamSid"} | ({event} if inner else set()):
            raise _InvalidMessage(f"{event}: wrong fields {sorted(fields)}")
        if self._started_ms is None or fields["streamSid"] != self.stream_sid:
            raise _InvalidMessage(f"{event}: wrong streamSid {fields['streamSid']!r}")
        if inner is None:
            return event, ""
        body = fields[event]
        if not isinstance(body, dict) or body.keys() != {inner} or not isinstance(body[inner], str):
            raise _InvalidMessage(f"{event}: its body must be one string, {inner!r}")
        if event == "mark":
            return event, body[inner]
        try:
            return event, base64.b64decode(body[inner], validate=True)
        except ValueError:
            raise _InvalidMessage("media: payload is not base64") from None

    def _echoes(self, echoes: list[Echo]) -> list[str]:
        return [self._message("mark", self._mark(echo)) for echo in echoes]

    def _mark(self, echo: Echo) -> dict[str, object]:
        """Twilio has no flag; a model told to flag says it as jambonz does."""
        if self.buffer.marks_on_clear == "returned_flagged":
            return {"name": echo.name, "event": "cleared" if echo.cleared else "playout"}
        return {"name": echo.name}

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence += 1
        sequence = str(self._sequence)
        return _json(
            {"event": event, "sequenceNumber": sequence, event: body, "streamSid": self.stream_sid}
        )

    def _warn(self, code: int, reason: str) -> None:
        self.warnings += (CarrierWarning(code, reason, self.buffer.now_ms),)


_BODIES: Final[dict[str, str | None]] = {"media": "payload", "mark": "name", "clear": None}
"""What an app may send (facts/transports.md 2.2), and the one field in the body of each."""


class _InvalidMessage(Exception):
    """The message is not of a documented shape."""


def _json(fields: Mapping[str, object]) -> str:
    return msgspec.json.encode(fields).decode()
