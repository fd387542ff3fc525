"""A model of a player that counts what it plays, sans-I/O: the other side of `statemachines/transports/browser.yaml`.

A page with an audio worklet, a sound card, a room: each plays in real time and reports how far it is in the item that
sounds. Positions count from the item's first millisecond sent in a generation; a flush begins the next generation.
Why they count so: facts/transports.md 12.
"""

import base64
from typing import Final

import msgspec

from .buffer import Echo
from .carrier import BYTES_PER_MS, UNLIMITED_MS, InvalidMessage, StreamCarrier, read, told
from .ear import Ear
from .voice import trace

REPORT_EVERY_MS: Final = 50
"""How often the page of `examples/browser` reports."""

FORMATS: Final[dict[str, tuple[int, int]]] = {
    "pcm16": (BYTES_PER_MS["pcm16"], BYTES_PER_MS["pcm16"]),
    "pcm16_16k": (BYTES_PER_MS["pcm16_16k"], BYTES_PER_MS["pcm16_16k"]),
    "pcm16_24k_16k": (BYTES_PER_MS["pcm16"], BYTES_PER_MS["pcm16_16k"]),
    "mulaw": (BYTES_PER_MS["mulaw"], BYTES_PER_MS["mulaw"]),
}
"""Bytes a millisecond of the agent's voice and of the caller's, by the table's names of the formats."""


class _Message(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Audio(_Message, tag="audio"):
    item: str
    generation: int
    audio: bytes


class _Flush(_Message, tag="flush"):
    generation: int


_DECODER: Final[msgspec.json.Decoder[_Audio | _Flush]] = msgspec.json.Decoder(_Audio | _Flush)


class _Count(msgspec.Struct, frozen=True):
    """How much of an item has sounded in this generation, and whose voice it is."""

    item: str
    voice: int
    played_bytes: int = 0


class BrowserCarrier(StreamCarrier[str]):
    """The page's end of one websocket.

    It reports at every multiple of `report_every_ms` of an item, where the item ends or runs dry, and at a flush.
    `marks_echoed` is False for a page that never reports. `audio` is one of `FORMATS`; `ValueError` is raised for
    another.
    """

    __slots__ = (
        "_caller_bytes_per_ms",
        "_counts",
        "_generation",
        "_pieces",
        "_report_bytes",
        "_sample_bytes",
    )

    stream_id: Final = "browser-stream"
    call_id: Final = "browser-call"

    def __init__(
        self,
        *,
        audio: str = "pcm16",
        report_every_ms: int = REPORT_EVERY_MS,
        marks_echoed: bool = True,
        limit_ms: int = UNLIMITED_MS,
    ) -> None:
        if audio not in FORMATS:
            raise ValueError(f"a page does not speak {audio!r}; it speaks: {', '.join(FORMATS)}")
        agent, self._caller_bytes_per_ms = FORMATS[audio]
        super().__init__(
            Ear(agent), marks_on_clear="dropped", marks_echoed=marks_echoed, limit_ms=limit_ms
        )
        self._sample_bytes = 1 if audio == "mulaw" else 2
        self._report_bytes = report_every_ms * agent
        self._generation = 0
        self._pieces: tuple[tuple[str, int], ...] = ()  # what waits: items and bytes
        self._counts: tuple[_Count, ...] = ()

    @property
    def generation(self) -> int:
        """How many flushes came."""
        return self._generation

    @property
    def caller_bytes_per_ms(self) -> int:
        """The caller's voice may have a rate of its own."""
        return self._caller_bytes_per_ms

    @property
    def next_event_ms(self) -> int | None:
        """When the next report is due if nothing else happens; None if nothing plays."""
        due = self._pieces and self.buffer.marks_echoed
        return self.buffer.now_ms + self._to_report_ms() if due else None

    def advance(self, now_ms: int) -> list[str]:
        """Play up to `now_ms`; returns the reports of the way."""
        messages = self.plays(now_ms - self.buffer.now_ms)
        if not self._stopped:
            self.buffer.advance(now_ms)
        return messages

    def plays(self, duration_ms: int) -> list[str]:
        """Play the next `duration_ms`, whatever the clock says."""
        messages: list[str] = []
        left_ms = 0 if self._stopped else min(duration_ms, self.buffer.buffered_ms)
        while left_ms > 0:
            step_ms = min(left_ms, self._to_report_ms())
            self.buffer.play(step_ms)
            messages += self._count(step_ms * self.ear.bytes_per_ms)
            left_ms -= step_ms
        return messages

    def plays_to_next_mark(self) -> list[str]:
        """Play until the next report, or all there is if the page never reports."""
        reports = self._pieces and self.buffer.marks_echoed
        return self.plays(self._to_report_ms() if reports else self.buffer.buffered_ms)

    def stop(self, now_ms: int) -> list[str]:
        """The page is left: what was not played is lost, and the last report stands."""
        messages = super().stop(now_ms)
        self._pieces, self._counts = (), ()
        return messages

    def forgets(self, voice: int, from_ms: int) -> None:
        """Drop what was heard of a voice from a millisecond on, and the count of an item nobody sends any more."""
        super().forgets(voice, from_ms)
        waiting = {item for item, _ in self._pieces}
        self._counts = tuple(
            [each for each in self._counts if each.voice != voice or each.item in waiting]
        )

    def recounts(self) -> None:
        """Call the generation that plays the first one."""
        self._generation = 0

    def key(self) -> tuple[object, ...]:
        """What decides the future, what was heard and warned of; hashable."""
        counts = tuple([(each.item, each.voice, each.played_bytes) for each in self._counts])
        return (*super().key(), self._generation, self._pieces, counts)

    # -- what it counts -----------------------------------------------------------------------------

    def _to_report_ms(self) -> int:
        """How long to play until there is something to report: something waits."""
        item = self._pieces[0][0]
        played = self._played(item).played_bytes
        run = 0
        for each, size in self._pieces:
            if each != item:
                break
            run += size
        to_grid = self._report_bytes - played % self._report_bytes
        return -(-min(run, to_grid) // self.ear.bytes_per_ms)

    def _count(self, played: int) -> list[str]:
        """So many bytes of what waits have sounded: what is reported of it."""
        messages = []
        while played > 0 and self._pieces:
            item, size = self._pieces[0]
            piece = min(size, played)
            left = ((item, size - piece),) if piece < size else ()
            self._pieces = left + self._pieces[1:]
            before = self._played(item)
            after = msgspec.structs.replace(before, played_bytes=before.played_bytes + piece)
            self._counts = tuple([after if each is before else each for each in self._counts])
            ends = not self._pieces or self._pieces[0][0] != item
            passed = before.played_bytes // self._report_bytes
            if ends or passed != after.played_bytes // self._report_bytes:
                messages.append(self._position(after))
            played -= piece
        return messages if self.buffer.marks_echoed else []

    def _played(self, item: str) -> _Count:
        return next(each for each in self._counts if each.item == item)

    def _position(self, count: _Count) -> str:
        return told({"type": "position", **self._where(count)})

    def _where(self, count: _Count | None) -> dict[str, object]:
        """Where in which item the player is. The generation is the one in which that is counted."""
        return {
            "item": None if count is None else count.item,
            "played_ms": 0 if count is None else count.played_bytes // self.ear.bytes_per_ms,
            "generation": self._generation,
        }

    # -- the wire -----------------------------------------------------------------------------------

    def _opening(self) -> list[str]:
        return [told({"type": "start", "stream": self.stream_id, "call": self.call_id})]

    def _take(self, message: str | bytes) -> list[str]:
        match read(_DECODER, message):
            case _Audio() as audio:
                return self._queue(audio)
            case _Flush(generation=generation):
                return self._flush(generation)

    def _queue(self, audio: _Audio) -> list[str]:
        if audio.generation < self._generation:
            return []  # It left before a flush that has overtaken it.
        if audio.generation > self._generation:
            raise InvalidMessage(
                f"audio of generation {audio.generation} after {self._generation} flushes"
            )
        if not audio.audio or len(audio.audio) % self._sample_bytes:
            raise InvalidMessage(f"{len(audio.audio)} bytes are no samples")
        warned = len(self.warnings)
        self._put(audio.audio)
        if len(self.warnings) > warned:
            return []
        if all(each.item != audio.item for each in self._counts):
            place = trace(audio.audio, self.ear.bytes_per_ms)[0]
            self._counts += (_Count(audio.item, place[0] if place else 0),)
        self._pieces += ((audio.item, len(audio.audio)),)
        return []

    def _flush(self, generation: int) -> list[str]:
        if generation <= self._generation:
            raise InvalidMessage(f"a flush to generation {generation} in {self._generation}")
        sounds = self._played(self._pieces[0][0]) if self._pieces else None
        if not self.buffer.marks_echoed:
            sounds = None
        answer = told({"type": "flushed", **self._where(sounds)})
        self._clear()
        self._pieces, self._counts = (), ()
        self._generation = generation
        return [answer]

    def _returned(self, echo: Echo) -> str:
        raise AssertionError(f"a page has no marks, and gave {echo.name} back")

    def _says(self, frame: bytes) -> str:
        return told({"type": "audio", "audio": base64.b64encode(frame).decode()})

    def _key_pressed(self, digit: str) -> str:
        return told({"type": "dtmf", "digit": digit})

    def _closing(self) -> list[str]:
        return [told({"type": "stop"})]
