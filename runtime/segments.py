"""How far a segment is that an output of LiveKit plays. Sans I/O.

Where it ends is LiveKit's word (`playback_finished`). How far it is meanwhile is told by `playback_progressed`, or
else by the clock since `playback_started`, which knows nothing of the room's own delay: an estimate.
"""

from typing import Any

Message = dict[str, Any]


class Segment:
    """One segment: so much of an item, from `base_ms` on, as it was first sent in its generation."""

    def __init__(self, item: str, generation: int, base_ms: int) -> None:
        self.item = item
        self.generation = generation
        self.base_ms = base_ms
        self.offered_ms = 0.0
        """With the frame that is being captured."""
        self.pushed_ms = 0.0
        self.closing = False
        """No more will be pushed; its `playback_finished` is waited for."""
        self._told_ms: int | None = None
        self._started_ms: float | None = None
        self._said_ms = 0

    def started(self, now_ms: float) -> None:
        """It has begun to sound."""
        self._started_ms = now_ms

    def progressed(self, played_ms: float) -> None:
        """The output itself tells how far it is; the clock is asked no more."""
        self._told_ms = max(int(played_ms), self._told_ms or 0)

    def position(self, now_ms: float) -> Message | None:
        """How far it is; None if nothing can be said that was not said. Never to its end: that is LiveKit's word."""
        if self._told_ms is not None:
            played_ms: float = self._told_ms
        elif self._started_ms is not None:
            played_ms = now_ms - self._started_ms
        else:
            return None
        ms = int(min(played_ms, self.pushed_ms - 1))
        if ms <= self._said_ms:
            return None
        self._said_ms = ms
        return {"type": "position", **self.at(ms)}

    def has_run_dry(self, now_ms: float) -> bool:
        """By the clock all that was pushed has sounded."""
        if self._told_ms is not None and self._told_ms >= int(self.pushed_ms):
            return True
        return self._started_ms is not None and now_ms - self._started_ms >= self.pushed_ms

    def finished(self, position_s: float) -> dict[str, Any]:
        """Where LiveKit says that it ended."""
        return self.at(min(round(position_s * 1000), int(self.offered_ms)))

    def at(self, ms: int) -> dict[str, Any]:
        """A position in it as it is told."""
        return {"item": self.item, "played_ms": self.base_ms + ms, "generation": self.generation}
