"""What carriers have in common, sans-I/O: a buffer that plays in real time, marks, and a clear.

Audio plays in the order sent; a mark comes back when the audio before it has played; a clear empties
the buffer. How carriers spell this: `simulator/carrier.py`.
"""

from collections import deque
from collections.abc import Mapping
from itertools import takewhile
from typing import Final, Literal, NamedTuple

from .ear import Ear

MarksOnClear = Literal["returned_unflagged", "returned_flagged", "dropped", "unknown"]
"""What becomes of the marks still pending at a clear: they come back and look like played ones
(Twilio, Telnyx, SignalWire), come back saying they were cleared (jambonz), never come back (Plivo),
or nobody has documented it (Vonage, Exotel). facts/transports.md 1."""

BUFFER_LIMIT_MS: Final = 600_000
"""Ten minutes, then media is discarded: https://www.twilio.com/docs/api/errors/31931"""


class Echo(NamedTuple):
    """A mark that came back at `at_ms`; `cleared` is the truth, whether or not the wire tells it."""

    name: str
    cleared: bool
    at_ms: int


class PlayoutBuffer:
    """What a carrier still has to play, and the ear it plays into.

    `now_ms` is the moment up to which everything has been played. Audio may end within a millisecond;
    that millisecond then counts as played when it is over. A buffer that does not echo marks
    (`marks_echoed=False`) accepts and forgets them.
    """

    __slots__ = (
        "_entries",
        "_head_bytes",
        "_left_bytes",
        "ear",
        "limit_ms",
        "marks_echoed",
        "marks_on_clear",
        "now_ms",
        "undecided",
    )

    def __init__(
        self,
        ear: Ear,
        *,
        marks_on_clear: MarksOnClear = "returned_unflagged",
        marks_echoed: bool = True,
        limit_ms: int = BUFFER_LIMIT_MS,
    ) -> None:
        self.ear = ear
        self.marks_on_clear: MarksOnClear = marks_on_clear
        self.marks_echoed = marks_echoed
        self.limit_ms = limit_ms
        self.now_ms = 0
        self.undecided: tuple[str, ...] = ()
        """Marks cleared while the meaning is `unknown`; `decide` says what became of them."""
        self._entries: deque[bytes | str] = deque()  # audio and, between, the names of marks
        self._head_bytes = 0  # already played of the first entry
        self._left_bytes = 0

    @property
    def buffered_ms(self) -> int:
        """Audio not yet played."""
        return -(-self._left_bytes // self.ear.bytes_per_ms)

    @property
    def pending_marks(self) -> list[str]:
        """Marks that wait for audio, in order."""
        return [entry for entry in self._entries if isinstance(entry, str)]

    @property
    def trailing_marks(self) -> int:
        """How many of them have no audio behind them."""
        return len(list(takewhile(lambda entry: isinstance(entry, str), reversed(self._entries))))

    @property
    def pending_audio(self) -> list[bytes]:
        """Audio that waits, in order; of the first piece some may have played."""
        return [entry for entry in self._entries if isinstance(entry, bytes)]

    @property
    def next_mark_in_ms(self) -> int | None:
        """How much audio is to be played before the next mark; None if no mark waits."""
        ahead_bytes = -self._head_bytes
        for entry in self._entries:
            if isinstance(entry, str):
                return -(-ahead_bytes // self.ear.bytes_per_ms)
            ahead_bytes += len(entry)
        return None

    def put(self, audio: bytes) -> bool:
        """Queue `audio`; False, and nothing of it is queued, if the buffer would overflow."""
        if self._left_bytes + len(audio) > self.limit_ms * self.ear.bytes_per_ms:
            return False
        if audio:
            self._entries.append(audio)
            self._left_bytes += len(audio)
        return True

    def mark(self, name: str) -> list[Echo]:
        """Queue a mark; it comes back at once if there is nothing to play before it."""
        if not self.marks_echoed:
            return []
        if not self._entries:
            return [Echo(name, False, self.now_ms)]
        self._entries.append(name)
        return []

    def clear(self) -> list[Echo]:
        """Play nothing of what is queued; what is queued later plays normally."""
        pending = self.pending_marks
        self._entries.clear()
        self._head_bytes = self._left_bytes = 0
        if self.marks_on_clear == "unknown":
            self.undecided += tuple(pending)
        elif self.marks_on_clear != "dropped":
            return [Echo(name, True, self.now_ms) for name in pending]
        return []

    def decide(self, returned: bool) -> list[Echo]:
        """Settle what became of the `undecided` marks: they come back now, or never."""
        names, self.undecided = self.undecided, ()
        return [Echo(name, True, self.now_ms) for name in names] if returned else []

    def advance(self, now_ms: int) -> list[Echo]:
        """Play in real time up to `now_ms`. A time already past plays nothing."""
        echoes = self.play(now_ms - self.now_ms)
        self.now_ms = max(self.now_ms, now_ms)
        return echoes

    def play(self, duration_ms: int) -> list[Echo]:
        """Play the next `duration_ms`, or what there is of it; `now_ms` moves by what was played."""
        per_ms = self.ear.bytes_per_ms
        budget = min(duration_ms * per_ms, self._left_bytes)
        if budget <= 0:
            return []
        started_ms, played, echoes = self.now_ms, bytearray(), list[Echo]()
        entries = self._entries
        while entries:
            head = entries[0]
            if isinstance(head, str):
                echoes.append(Echo(head, False, started_ms - (-len(played) // per_ms)))
                entries.popleft()
                continue
            if len(played) == budget:
                break
            piece = head[self._head_bytes : self._head_bytes + budget - len(played)]
            played += piece
            self._head_bytes += len(piece)
            if self._head_bytes == len(head):
                entries.popleft()
                self._head_bytes = 0
        self._left_bytes -= len(played)
        self.now_ms = started_ms - (-len(played) // per_ms)
        self.ear.hear(bytes(played), started_ms)
        return echoes

    def forget_marks(self) -> None:
        """Play on without the marks that wait."""
        self._entries = deque(self.pending_audio)

    def rename_marks(self, names: Mapping[str, str]) -> None:
        """Give marks that wait other names."""
        self._entries = deque(
            [
                names.get(entry, entry) if isinstance(entry, str) else entry
                for entry in self._entries
            ]
        )

    def copy(self) -> "PlayoutBuffer":
        """A buffer, with an ear of its own, that goes on from here."""
        twin = object.__new__(PlayoutBuffer)
        twin.ear = self.ear.copy()
        twin.marks_on_clear = self.marks_on_clear
        twin.marks_echoed = self.marks_echoed
        twin.limit_ms = self.limit_ms
        twin.now_ms = self.now_ms
        twin.undecided = self.undecided
        twin._entries = self._entries.copy()
        twin._head_bytes = self._head_bytes
        twin._left_bytes = self._left_bytes
        return twin

    def key(self) -> tuple[object, ...]:
        """What decides the future, and what was heard; hashable. Times are left out."""
        return (self._head_bytes, tuple(self._entries), self.undecided, self.ear.key())
