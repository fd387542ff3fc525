"""What all carriers do, sans-I/O: play a buffer to an ear, give marks back, bring the caller's voice.

How each spells it on its wire is its own module's affair: `twilio.py`, `telnyx.py`, `signalwire.py`, `plivo.py`,
`jambonz.py`, `vonage.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import ClassVar, Final, Generic, NamedTuple, Self, TypeVar

import msgspec

from .buffer import Echo, MarksOnClear, PlayoutBuffer
from .ear import Ear
from .voice import silence

FRAME_MS: Final = 20
"""The caller's audio comes in frames of 20 ms. facts/transports.md 2.1, 5; of jambonz and Plivo about."""

UNLIMITED_MS: Final = 2**31
"""The limit of a buffer for which none is documented."""

CALL_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When a stream starts, for carriers that tell the time of day: a model reads no clock."""

BYTES_PER_MS: Final[dict[str, int]] = {
    "mulaw": 8,
    "pcm16_8k": 16,
    "pcm16_16k": 32,
    "pcm16": 48,
    "pcm16_48k": 96,
    "pcm16_64k": 128,
}
"""The audio formats that carriers speak, named as in the tables: `pcm16` alone is 24 kHz."""


def rate_hz(audio: str) -> int:
    """Samples a second of one of the formats in `BYTES_PER_MS`; μ-law has one byte a sample, PCM16 two."""
    return BYTES_PER_MS[audio] * (1000 if audio == "mulaw" else 500)


class CarrierWarning(NamedTuple):
    """What a carrier would not take. Twilio keeps it in the account's debugger; most say nothing on the socket.

    `code` is the carrier's own number for it, 0 where it has none.
    """

    code: int
    reason: str
    at_ms: int


class InvalidMessage(Exception):
    """The carrier would not take the message: `code` as in `CarrierWarning`."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.code = code


class Outbound(msgspec.Struct, forbid_unknown_fields=True, tag_field="event", rename="camel"):
    """A message an app may send, with the fields that are documented and no others."""


Voice = TypeVar("Voice", str, bytes)
"""How the caller's voice travels: inside of JSON text, or as bare audio in binary frames."""

Command = TypeVar("Command")


class StreamCarrier(ABC, Generic[Voice]):
    """A carrier's end of one bidirectional stream: takes the app's messages, gives the carrier's.

    Every method that takes `now_ms` first plays up to that time. An explorer that orders events
    instead of timing them leaves `now_ms` at 0 and plays by `plays` and `plays_to_next_mark`.
    What the carrier would not take is found in `warnings`.

    The slots of subclasses hold what is never changed in place: a copy shares it.
    """

    __slots__ = (
        "_chunk",
        "_said_ms",
        "_sequence",
        "_started_ms",
        "_stopped",
        "buffer",
        "warnings",
    )

    overflow_code: ClassVar[int] = 0
    """The code of the warning that the buffer is full."""

    def __init__(
        self, ear: Ear, *, marks_on_clear: MarksOnClear, marks_echoed: bool, limit_ms: int
    ) -> None:
        self.buffer = PlayoutBuffer(
            ear, marks_on_clear=marks_on_clear, marks_echoed=marks_echoed, limit_ms=limit_ms
        )
        self.warnings: tuple[CarrierWarning, ...] = ()
        self._started_ms: int | None = None
        self._stopped = False
        self._sequence = self._chunk = self._said_ms = 0

    @property
    def ear(self) -> Ear:
        """What the caller has heard so far."""
        return self.buffer.ear

    @property
    def generation(self) -> int:
        """How many clears it has taken, where its messages say so; else 0."""
        return 0

    @property
    def caller_bytes_per_ms(self) -> int:
        """Of the caller's voice; most carriers speak one format both ways."""
        return self.ear.bytes_per_ms

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
        """The stream opens: what the carrier says first. Once; raises `RuntimeError` after that."""
        if self._started_ms is not None:
            raise RuntimeError("the stream has already started")
        self._started_ms = now_ms
        self.buffer.advance(now_ms)
        return self._opening()

    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        """The app sent `message`. Anything may come; what the carrier would not take is warned of."""
        messages = self.advance(now_ms)
        if self._stopped:
            return messages
        try:
            return messages + self._take(message)
        except InvalidMessage as invalid:
            self._warn(invalid.code, str(invalid))
            return messages + self._complaint(invalid)

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

    def caller_says(self, audio: bytes, now_ms: int) -> list[Voice]:
        """The caller's `audio`, in frames of 20 ms, the last one filled up with silence.

        Frames follow each other on the stream's own clock, which never runs behind `now_ms`.
        Raises `RuntimeError` when the stream is not open.
        """
        started_ms = self._open()
        self._said_ms = max(self._said_ms, now_ms - started_ms)
        per_ms = self.caller_bytes_per_ms
        length = FRAME_MS * per_ms
        messages = []
        for at in range(0, len(audio), length):
            frame = audio[at : at + length]
            frame += silence(FRAME_MS, per_ms)[len(frame) :]
            self._chunk += 1
            messages.append(self._says(frame))
            self._said_ms += FRAME_MS
        return messages

    def caller_presses(self, digit: str) -> list[str]:
        """The caller presses a key. Raises `RuntimeError` when the stream is not open."""
        self._open()
        return [self._key_pressed(digit)]

    def stop(self, now_ms: int) -> list[str]:
        """The caller hangs up: what was not played is lost, and no pending mark comes back.

        Says nothing when the stream never started or has stopped, nor where the carrier only closes the socket.
        """
        messages = self.advance(now_ms)
        if self.is_open:
            messages += self._closing()
        self._stopped = True
        self.buffer.clear()
        self.buffer.undecided = ()
        return messages

    def copy(self) -> Self:
        """A carrier, with an ear of its own, that goes on from here."""
        twin = object.__new__(type(self))
        for kind in type(self).__mro__:
            for slot in kind.__dict__.get("__slots__", ()):
                setattr(twin, slot, getattr(self, slot))
        twin.buffer = self.buffer.copy()
        return twin

    def forgets(self, voice: int, from_ms: int) -> None:
        """Drop what was heard of a voice from a millisecond on, and whatever else it alone is kept for."""
        self.ear.forget(voice, from_ms)

    def recounts(self) -> None:
        """Count generations from 0 again: nobody speaks of those before."""

    def tidy(self) -> None:
        """Drop what no later step depends on: the numbers of past messages."""
        self._sequence = 0

    def key(self) -> tuple[object, ...]:
        """What decides the future, what was heard and warned of; hashable. Counters and times are left out."""
        warned = tuple([w[:2] for w in self.warnings])
        return (self.buffer.key(), self._started_ms is not None, self._stopped, warned)

    # -- how a carrier spells it --------------------------------------------------------------------

    @abstractmethod
    def _opening(self) -> list[str]:
        """What is said when the stream opens."""

    @abstractmethod
    def _take(self, message: str | bytes) -> list[str]:
        """Do what a message orders. Raises `InvalidMessage`."""

    @abstractmethod
    def _returned(self, echo: Echo) -> str:
        """A mark that comes back."""

    @abstractmethod
    def _says(self, frame: bytes) -> Voice:
        """A frame of the caller's voice, said at `_said_ms` as number `_chunk`."""

    @abstractmethod
    def _key_pressed(self, digit: str) -> str:
        """A key of the telephone."""

    def _closing(self) -> list[str]:
        """What is said when the caller has hung up; nothing, if the socket is only closed."""
        return []

    def _complaint(self, invalid: InvalidMessage) -> list[str]:
        """What is said on the socket of a message that was not taken."""
        return []

    # -- what they spell it with --------------------------------------------------------------------

    def _put(self, audio: bytes) -> list[str]:
        reason = "more than the buffer holds: media discarded"
        if not self.buffer.put(audio):
            self._warn_once(self.overflow_code, reason)
        return []

    def _mark_with(self, name: str) -> list[str]:
        return self._echoes(self.buffer.mark(name))

    def _clear(self) -> list[str]:
        return self._echoes(self.buffer.clear())

    def _echoes(self, echoes: list[Echo]) -> list[str]:
        return [self._returned(echo) for echo in echoes]

    def _next(self) -> int:
        """The number of the next message."""
        self._sequence += 1
        return self._sequence

    def _open(self) -> int:
        if self._started_ms is None or self._stopped:
            raise RuntimeError("the stream is not open")
        return self._started_ms

    def _warn(self, code: int, reason: str) -> None:
        self.warnings += (CarrierWarning(code, reason, self.buffer.now_ms),)

    def _warn_once(self, code: int, reason: str) -> None:
        if all(w[:2] != (code, reason) for w in self.warnings):
            self._warn(code, reason)


def told(fields: Mapping[str, object]) -> str:
    """`fields` as JSON text."""
    return msgspec.json.encode(fields).decode()


def read(decoder: msgspec.json.Decoder[Command], message: str | bytes, code: int = 0) -> Command:
    """A text message as one of those an app may send. Raises `InvalidMessage` with `code` if it is none."""
    if isinstance(message, bytes):
        raise InvalidMessage("binary frame", code)
    try:
        return decoder.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidMessage(str(error), code) from None


def spoken(audio: str, formats: Collection[str], carrier: str) -> Ear:
    """An ear for `audio`, one of `formats`. Raises `ValueError` if the carrier does not speak it."""
    if audio not in formats:
        raise ValueError(f"{carrier} does not speak {audio!r}; it speaks: {', '.join(formats)}")
    return Ear(BYTES_PER_MS[audio])
