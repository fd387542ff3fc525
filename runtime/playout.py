"""The playout ledger: which item has the caller's ear, what was sent of it, and what was surely heard.

Rules, in the order they matter:

* Heard is what the carrier's evidence says (`hearing.py`). A clear voids every mark that is out, and every report of
  the generation before. Where the clock is all there is, it is asked at every decision, and an item is over when the
  clock says so.
* One voice at a time. Items play in the order their audio arrives, and the items of another response only when the
  response before it has no more to say. What must wait is held here, also for the carrier's pace (`pacing.py`).
* A clear empties the whole carrier. What it took from items that nobody interrupted is sent again from where the
  last confirmation stands. Where there is no clear, what the carrier holds will be heard, and counts at once.
* Where no mark and no report comes back, the clock settles a complete item after a slack (`overdue_ms`): an estimate,
  and named so.
"""

from collections import deque
from collections.abc import Callable, Container
from typing import Any, Final

from .actions import Action, ToTransport
from .adapter import AudioFormat, TransportAdapter
from .hearing import Hearing
from .pacing import Pace, taken
from .records import Item

_NEVER_BYTES: Final = 1 << 62
"""Where the next mark is due at a carrier that returns none."""


class Playout(Hearing):
    """The queue of items that are not settled, and the marks that are out. Sans I/O; times are arguments.

    `voice` is the carrier's description of the call's audio format.
    """

    __slots__ = (
        "_adapter",
        "_direct",
        "_mark_bytes",
        "_pace",
        "_step_bytes",
        "clock_end_ms",
        "due_ms",
        "marks_made",
        "open",
        "prefix",
        "stream",
    )

    def __init__(
        self, adapter: TransportAdapter, voice: AudioFormat, mark_every_ms: int, prefix: str
    ) -> None:
        super().__init__(adapter, voice.bytes_per_ms)
        self._adapter = adapter
        self._mark_bytes = (
            mark_every_ms * voice.bytes_per_ms if self.evidence == "marks" else _NEVER_BYTES
        )
        self._pace = Pace(adapter.pace_ms, voice, self._mark_bytes) if adapter.pace_ms else None
        self._step_bytes = self._mark_bytes if self._pace is None else self._pace.piece_bytes
        self._direct = self._pace is None and not self.by_clock
        self.prefix = prefix
        self.marks_made = 0
        self.clock_end_ms = 0
        self.due_ms: int | None = None
        """When more may be sent of what is held for the carrier's pace; None if nothing is."""
        self.stream: str | None = None
        self.open = False

    # -- what arrives -----------------------------------------------------------------------------

    def take(self, item: Item, audio: bytes) -> None:
        """Hold `audio`, a further piece of `item` (not empty), until `pump` may send it.

        It is cut where marks are due, so that a mark stands at every full interval whatever the size of a delta, or
        into the pieces the carrier takes.
        """
        if not item.received_bytes:
            item.evidence = self.evidence
            self._enqueue(item)
        end, start, step = item.received_bytes, 0, self._step_bytes
        while start < len(audio):
            size = min(step - end % step, len(audio) - start)
            end += size
            item.held.append((end, audio[start : start + size]))
            start += size
        item.received_bytes = end

    def extend(self, item: Item, audio: bytes, now_ms: int, out: list[Action]) -> bool:
        """Send a further piece of an item that is being sent, up to the next mark; the way nearly all audio goes.

        False, and nothing done, where that is not all there is to it: then `take` and `pump`.
        """
        size = len(audio)
        to_mark = self._mark_bytes - item.received_bytes % self._mark_bytes
        if item.held or not item.sent_bytes or size > to_mark or not self._direct:
            return False
        end = item.received_bytes + size
        item.received_bytes = item.sent_bytes = end
        item.at_carrier.append((end, audio))
        for data in self._adapter.play(self.stream, audio, item.item_id, self.generation):
            out.append(ToTransport(data, True))  # noqa: PERF401  one at a time is quicker: it is one
        clock_ms = self.clock_end_ms
        if clock_ms < now_ms:
            clock_ms = now_ms
        self.clock_end_ms = item.clock_end_ms = clock_ms + size // self.bytes_per_ms
        if size == to_mark:
            self._mark(item, out)
        return True

    def _enqueue(self, item: Item) -> None:
        """Put `item` behind its response's last item, or last if anything behind that was sent."""
        place = len(self.queue)
        for index in range(len(self.queue) - 1, -1, -1):
            if self.queue[index].ref == item.ref:
                place = index + 1
                break
            if self.queue[index].sent_bytes:
                break
        else:
            place = len(self.queue)
        self.queue.insert(place, item)

    # -- what goes out ----------------------------------------------------------------------------

    def pump(self, now_ms: int, out: list[Action], talking: Callable[[str], bool]) -> None:
        """Send all that may be sent now. `talking(ref)`: may more items of that response come?"""
        self.due_ms = None
        if not self.open:
            return
        before: Item | None = None
        for index, item in enumerate(self.queue):
            if before is not None and before.ref != item.ref and talking(before.ref):
                return
            if item.held:
                if before is not None:
                    self._mark(before, out)  # Whatever its end is, this much of it comes first.
                if self._pace is None:
                    self._send(item, now_ms, out)
                elif not self._send_paced(
                    item, self._pace, now_ms, out, self._ends(index, talking)
                ):
                    return
            if item.complete:
                self._mark(item, out)
            before = item

    def _send(self, item: Item, now_ms: int, out: list[Action]) -> None:
        adapter, stream, per_ms = self._adapter, self.stream, item.bytes_per_ms
        clock_ms = max(self.clock_end_ms, now_ms)
        while item.held:
            chunk = item.held.popleft()
            item.at_carrier.append(chunk)
            end, audio = chunk
            for data in adapter.play(stream, audio, item.item_id, self.generation):
                out.append(ToTransport(data, True))  # noqa: PERF401  one at a time is quicker
            clock_ms += end // per_ms - item.sent_bytes // per_ms
            item.sent_bytes = end
            item.clock_end_ms = clock_ms
            if end % self._mark_bytes == 0:
                self._mark(item, out)
        self.clock_end_ms = clock_ms

    def _ends(self, index: int, talking: Callable[[str], bool]) -> bool:
        """Whether the item's last piece may leave as it is: no more will come of it before something else does."""
        item = self.queue[index]
        return (
            item.complete
            or not talking(item.ref)
            or any(later.ref == item.ref for later in self.queue[index + 1 :])
        )

    def _send_paced(
        self, item: Item, pace: Pace, now_ms: int, out: list[Action], ended: bool
    ) -> bool:
        """Send what the carrier takes now; False if the rest must wait for its clock, until `due_ms`."""
        while size := pace.size_bytes(item.received_bytes - item.sent_bytes, ended):
            start, begins_ms = item.sent_bytes, max(self.clock_end_ms, now_ms)
            lasts_ms = pace.lasts_ms(start, start + size)
            due_ms = pace.due_ms(begins_ms, lasts_ms)
            if due_ms is not None and due_ms > now_ms:
                self.due_ms = due_ms
                return False
            end, audio = taken(item.held, size)
            item.at_carrier.append((end, audio))
            frame = pace.filled(audio)
            for data in self._adapter.play(self.stream, frame, item.item_id, self.generation):
                out.append(ToTransport(data, True))  # noqa: PERF401  one at a time is quicker
            item.sent_bytes = end
            item.clock_end_ms = begins_ms + end // pace.bytes_per_ms - start // pace.bytes_per_ms
            self.clock_end_ms = begins_ms + lasts_ms
            if start // self._mark_bytes != end // self._mark_bytes:
                self._mark(item, out)
        return True

    def _mark(self, item: Item, out: list[Action]) -> None:
        """Ask the carrier to tell when all that was sent of `item` so far has been heard."""
        if item.marked_bytes == item.sent_bytes or self.evidence != "marks":
            return
        self.marks_made += 1
        name = f"{self.prefix}{self.marks_made}"
        self.marks.append((name, item, item.sent_bytes))
        item.marked_bytes = item.sent_bytes
        if self.checked:
            self.mark_due_ms[name] = item.clock_end_ms
        for data in self._adapter.mark(self.stream, name, item.item_id, self.generation):
            out.append(ToTransport(data))  # noqa: PERF401  one at a time is quicker: it is one

    def clear(self, now_ms: int, covered: Container[str], out: list[Action]) -> bool:
        """Empty the carrier and void the marks that are out; False if the carrier has no word for it.

        Items of responses that are not `covered` are rewound to what was surely heard, to be sent again.
        """
        if self.by_clock:
            self.reckon(now_ms)
        self.matured(now_ms)
        messages = self._adapter.clear(self.stream, self.generation + 1)
        if not messages:
            if self._adapter.can["clear"] == "none":
                self._let_play(covered)
            return False
        out += [ToTransport(data) for data in messages]
        self.generation += 1
        self.clears_out += self._adapter.can["clear_ack"] != "none"
        self.marks.clear()
        self.mark_due_ms.clear()
        self.early.clear()
        self.clock_end_ms = now_ms
        for item in self.queue:
            if item.ref not in covered:
                self._rewind(item)
        return True

    def _let_play(self, covered: Container[str]) -> None:
        """What cannot be taken back will be heard."""
        for item in self.queue:
            if item.ref in covered and item.sent_bytes > item.heard_bytes:
                item.heard_bytes, item.evidence = item.sent_bytes, "clock"

    def _rewind(self, item: Item) -> None:
        held, heard = item.held, item.heard_bytes
        held.extendleft(reversed(item.at_carrier))
        item.at_carrier.clear()
        while held and held[0][0] <= heard:
            held.popleft()
        if held:
            end, audio = held[0]
            unheard = end - heard
            if unheard < len(audio):  # Reports and clocks end inside a piece.
                held[0] = (end, audio[-unheard:])
        item.sent_bytes = item.marked_bytes = heard
        if self.evidence == "report":
            self._bases[item.item_id] = heard

    def settle(self, item: Item) -> None:
        """Forget the audio of an item of which nothing more will be heard, and the marks that are out for it."""
        item.held.clear()
        item.at_carrier.clear()
        self._bases.pop(item.item_id, None)
        self.early = [each for each in self.early if each[1] is not item]
        if any(mark[1] is item for mark in self.marks):
            for name, of, _ in self.marks:
                if of is item:
                    self.mark_due_ms.pop(name, None)
            self.marks = deque(mark for mark in self.marks if mark[1] is not item)
        if item in self.queue:
            self.queue.remove(item)

    # -- copying ----------------------------------------------------------------------------------

    def copy(self, items: dict[str, Item]) -> "Playout":
        """An independent copy that refers to the items of `items` (the copied session's)."""
        new = Playout.__new__(Playout)
        new._adapter, new._mark_bytes, new.prefix = self._adapter, self._mark_bytes, self.prefix
        new.bytes_per_ms, new.evidence, new.by_clock = (
            self.bytes_per_ms,
            self.evidence,
            self.by_clock,
        )
        new._pace, new._step_bytes, new._direct = self._pace, self._step_bytes, self._direct
        new.queue = [items[item.item_id] for item in self.queue]
        new.marks = deque((name, items[item.item_id], at) for name, item, at in self.marks)
        new.checked, new.mark_due_ms = self.checked, self.mark_due_ms.copy()
        new.early = [(due_ms, items[item.item_id], at) for due_ms, item, at in self.early]
        new.marks_made, new.clock_end_ms = self.marks_made, self.clock_end_ms
        new.due_ms, new.clears_out = self.due_ms, self.clears_out
        new.generation, new._bases = self.generation, self._bases.copy()
        new.stream, new.open = self.stream, self.open
        return new

    def key(self) -> tuple[Any, ...]:
        """All that can change, hashable. What is due follows from the rest; only reports ask for the generation."""
        reports = self.evidence == "report"
        return (
            tuple(item.item_id for item in self.queue),
            tuple((name, item.item_id, at) for name, item, at in self.marks),
            tuple(self.mark_due_ms.values()),
            tuple((due_ms, item.item_id, at) for due_ms, item, at in self.early),
            self.marks_made,
            self.clock_end_ms,
            self.open,
            self.stream,
            self.clears_out,
            (self.generation, *self._bases.items()) if reports else None,
        )
