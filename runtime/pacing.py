"""How a carrier takes audio: in frames of one length, and only so far ahead of what it plays. Sans I/O.

Rules, where a table names `frame_ms`, `least_ms` or `ahead_ms`:

* A frame is exactly `frame_ms` long. What does not fill one waits for more of its item; at the item's end the frame
  is filled up with silence, which counts for the carrier's clock and never as received, sent or heard.
* No piece is shorter than `least_ms`. What is shorter waits for more of its item; only an item's rest may be shorter.
* The carrier never holds more than `ahead_ms` that it has not played, by its clock. What must wait is held here, so
  that an interrupt finds it unsent.
* A mark that falls due inside a piece stands after it.
"""

from collections import deque
from collections.abc import Mapping

from .adapter import AudioFormat


class Pace:
    """The limits of one carrier, in the audio format of the call. Never changed, so copies of a ledger share it."""

    __slots__ = (
        "_silence",
        "ahead_ms",
        "bytes_per_ms",
        "frame_bytes",
        "least_bytes",
        "piece_bytes",
    )

    def __init__(self, pace_ms: Mapping[str, int], voice: AudioFormat, mark_bytes: int) -> None:
        self.bytes_per_ms = voice.bytes_per_ms
        frame_ms = pace_ms.get("frame_ms", 0)
        least_ms = max(frame_ms, pace_ms.get("least_ms", 0))
        ahead_ms = pace_ms.get("ahead_ms")
        self.frame_bytes = frame_ms * voice.bytes_per_ms
        self.least_bytes = least_ms * voice.bytes_per_ms
        self.ahead_ms = None if ahead_ms is None else max(1, ahead_ms, least_ms)
        """Never less than the least piece, or nothing could be sent at all."""
        self.piece_bytes = self.frame_bytes or max(self.least_bytes, self._share(mark_bytes))
        self._silence = bytes([voice.silence])

    def _share(self, mark_bytes: int) -> int:
        """Without frames: half of what the carrier may hold, so that one half plays while the other is on its way."""
        if self.ahead_ms is None:
            return mark_bytes
        half_ms = max(1, self.ahead_ms // 2)
        return min(half_ms * self.bytes_per_ms, mark_bytes)

    def size_bytes(self, waiting_bytes: int, ended: bool) -> int:
        """How much of what waits may leave in one piece; 0 if it must wait for more. If it has `ended`, all may."""
        if waiting_bytes < self.least_bytes and not ended:
            return 0
        return min(self.piece_bytes, waiting_bytes)

    def filled(self, audio: bytes) -> bytes:
        """The piece as it leaves: a frame, if the carrier takes frames."""
        return audio + self._silence * (self.frame_bytes - len(audio))

    def lasts_ms(self, sent_bytes: int, end_bytes: int) -> int:
        """How long the carrier plays the piece between these positions of an item."""
        if self.frame_bytes:
            return self.frame_bytes // self.bytes_per_ms
        return end_bytes // self.bytes_per_ms - sent_bytes // self.bytes_per_ms

    def due_ms(self, begins_ms: int, lasts_ms: int) -> int | None:
        """When a piece may leave that the carrier will begin to play at `begins_ms`; None: at once."""
        return None if self.ahead_ms is None else begins_ms + lasts_ms - self.ahead_ms


def taken(held: deque[tuple[int, bytes]], size_bytes: int) -> tuple[int, bytes]:
    """The first `size_bytes` of what is held, which holds as much, with the position of their end."""
    end, audio = held.popleft()
    if len(audio) < size_bytes:
        parts, missing = [audio], size_bytes - len(audio)
        while missing > 0:
            end, audio = held.popleft()
            parts.append(audio)
            missing -= len(audio)
        audio = b"".join(parts)
    over = len(audio) - size_bytes
    if over:
        held.appendleft((end, audio[size_bytes:]))
        return end - over, audio[:size_bytes]
    return end, audio
