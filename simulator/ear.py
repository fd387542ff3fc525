"""The ear: what the caller really heard, and when. The oracle the library never sees.

The ear is told only what left the loudspeaker. It knows nothing of marks, clears, sessions or providers,
so it can contradict all of them.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from .voice import is_silence, trace


class Segment(NamedTuple):
    """An unbroken stretch of one item's audio, `from_ms` up to but not including `to_ms`.

    `from_ms` and `to_ms` count from the item's first sample, `at_ms` is when it began to sound.
    `item` is None for a sound that belongs to no item; it then counts from the start of that sound.
    """

    item: int | None
    from_ms: int
    to_ms: int
    at_ms: int

    @property
    def duration_ms(self) -> int:
        """How long it sounded."""
        return self.to_ms - self.from_ms

    @property
    def end_ms(self) -> int:
        """When it stopped sounding."""
        return self.at_ms + self.duration_ms


class Ear:
    """Collects what was played; answers, per item, what of it was heard and whether it came out right."""

    __slots__ = ("bytes_per_ms", "segments")

    def __init__(self, bytes_per_ms: int = 8) -> None:
        self.bytes_per_ms = bytes_per_ms
        self.segments: tuple[Segment, ...] = ()
        """Everything heard, in the order heard. Silence leaves no segment."""

    def hear(self, audio: bytes, now_ms: int) -> None:
        """`audio` begins to sound at `now_ms` and sounds to its end."""
        heard = list(self.segments)
        for run in _runs(audio, self.bytes_per_ms):
            segment = run._replace(at_ms=now_ms + run.at_ms)
            if heard and _continues(heard[-1], segment):
                segment = heard[-1]._replace(to_ms=heard[-1].to_ms + segment.duration_ms)
                heard[-1] = segment
            else:
                heard.append(segment)
        self.segments = tuple(heard)

    @property
    def items(self) -> list[int]:
        """The items heard, in the order they were first heard."""
        return list(dict.fromkeys(s.item for s in self.segments if s.item is not None))

    def heard_ms(self, item: int) -> int:
        """How many different milliseconds of `item` were heard; hearing one twice counts once."""
        return sum(to_ms - from_ms for from_ms, to_ms in self._heard(item))

    def heard_from_start_ms(self, item: int) -> int:
        """How much of `item` was heard from its start on without a hole: what a memory may keep."""
        first = next(iter(self._heard(item)), (0, 0))
        return first[1] if first[0] == 0 else 0

    def heard_after(self, now_ms: int, item: int | None = None) -> int:
        """Milliseconds of sound heard from `now_ms` on: of `item`, or of anything at all if None."""
        return sum(
            s.end_ms - max(s.at_ms, now_ms)
            for s in self.segments
            if s.end_ms > now_ms and item in (None, s.item)
        )

    @property
    def silent_since(self) -> int | None:
        """When the last sound ended; None if nothing was ever heard."""
        return max((s.end_ms for s in self.segments), default=None)

    @property
    def foreign_ms(self) -> int:
        """Milliseconds of sound that belong to no item: mangled, misaligned or never ours."""
        return sum(s.duration_ms for s in self.segments if s.item is None)

    def repeated(self, item: int) -> bool:
        """Whether any millisecond of `item` was heard more than once."""
        return sum(s.duration_ms for s in self._of(item)) > self.heard_ms(item)

    def out_of_order(self, item: int) -> bool:
        """Whether a millisecond of `item` was heard after a later one of it."""
        parts = self._of(item)
        return any(after.from_ms < before.to_ms for before, after in pairwise(parts))

    def has_gap(self, item: int) -> bool:
        """Whether a millisecond of `item` was heard while an earlier one never was."""
        heard = self._heard(item)
        return len(heard) > 1 or any(from_ms > 0 for from_ms, _ in heard)

    def mixed(self) -> list[int]:
        """The items that were resumed after another one had begun."""
        order = [s.item for s in self.segments if s.item is not None]
        starts = [item for at, item in enumerate(order) if at == 0 or order[at - 1] != item]
        return sorted({item for item in starts if starts.count(item) > 1})

    def faults(self) -> list[str]:
        """What was wrong with how it sounded, a sentence each. An item that stops early is no fault."""
        found = []
        for item in self.items:
            if self.repeated(item):
                found.append(f"item {item}: some of it was heard more than once")
            if self.out_of_order(item):
                found.append(f"item {item}: heard out of order")
            if self.has_gap(item):
                found.append(f"item {item}: heard with a gap")
        found += [f"item {item}: resumed after another item had begun" for item in self.mixed()]
        if self.foreign_ms:
            found.append(f"{self.foreign_ms} ms of sound belong to no item")
        return found

    def forget(self, item: int, from_ms: int = 0) -> None:
        """Drop what was heard of `item` from `from_ms` on, as if it had never sounded."""
        kept = [
            s._replace(to_ms=min(s.to_ms, from_ms)) if s.item == item else s for s in self.segments
        ]
        self.segments = tuple([s for s in kept if s.duration_ms > 0])

    def copy(self) -> "Ear":
        """An ear that has heard the same and goes its own way from here."""
        twin = Ear(self.bytes_per_ms)
        twin.segments = self.segments
        return twin

    def key(self, with_times: bool = False) -> tuple[object, ...]:
        """What was heard, hashable. Without times, two calls that sounded alike at other hours are equal."""
        return self.segments if with_times else tuple([s[:3] for s in self.segments])

    def __repr__(self) -> str:
        heard = [f"{s.item}:{s.from_ms}–{s.to_ms}@{s.at_ms}" for s in self.segments]
        return f"Ear({', '.join(heard)})"

    def _of(self, item: int) -> list[Segment]:
        return [s for s in self.segments if s.item == item]

    def _heard(self, item: int) -> list[tuple[int, int]]:
        """The stretches of `item` heard at least once, merged, in the item's own order."""
        merged: list[tuple[int, int]] = []
        for from_ms, to_ms in sorted((s.from_ms, s.to_ms) for s in self._of(item)):
            if merged and from_ms <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], to_ms))
            else:
                merged.append((from_ms, to_ms))
        return merged


def _continues(before: Segment, after: Segment) -> bool:
    if before.item != after.item or before.end_ms != after.at_ms:
        return False
    return before.item is None or before.to_ms == after.from_ms


@lru_cache(maxsize=4096)
def _runs(audio: bytes, bytes_per_ms: int) -> tuple[Segment, ...]:
    """`audio` as segments whose times count from its own start."""
    runs: list[Segment] = []
    for at_ms, place in enumerate(trace(audio, bytes_per_ms)):
        if place is not None:
            piece = Segment(place[0], place[1], place[1] + 1, at_ms)
        elif is_silence(audio[at_ms * bytes_per_ms : (at_ms + 1) * bytes_per_ms], bytes_per_ms):
            continue
        else:
            piece = Segment(None, 0, 1, at_ms)
        if runs and _continues(runs[-1], piece):
            runs[-1] = runs[-1]._replace(to_ms=runs[-1].to_ms + 1)
        else:
            runs.append(piece)
    return tuple(runs)
