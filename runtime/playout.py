"""The playout ledger: which item has the caller's ear, what was sent of it, and what was surely heard.

Rules, in the order they matter:

* Heard is what a mark confirms. A mark names an item and a position in it; a clear voids every mark that is out.
* One voice at a time. Items play in the order their audio arrives, and the items of another response only when the
  response before it has no more to say. What must wait is held here.
* A clear empties the whole carrier. What it took from items that nobody interrupted is sent again from where the
  last confirmation stands.
* Where no mark comes back, the clock settles a complete item after a slack (`overdue_ms`): an estimate, and named so.
"""

from collections import deque
from collections.abc import Callable, Container
from typing import Any

from .actions import Action, ToTransport
from .adapter import TransportAdapter
from .records import Item


class Playout:
    """The queue of items that are not settled, and the marks that are out. Sans I/O; times are arguments."""

    __slots__ = (
        "_adapter",
        "_mark_bytes",
        "bytes_per_ms",
        "clock_end_ms",
        "marks",
        "marks_made",
        "open",
        "prefix",
        "queue",
        "stream",
    )

    def __init__(
        self, adapter: TransportAdapter, bytes_per_ms: int, mark_every_ms: int, prefix: str
    ) -> None:
        self._adapter = adapter
        self.bytes_per_ms = bytes_per_ms
        self._mark_bytes = mark_every_ms * bytes_per_ms
        self.prefix = prefix
        self.queue: list[Item] = []
        self.marks: deque[tuple[str, Item, int]] = deque()
        self.marks_made = 0
        self.clock_end_ms = 0
        self.stream: str | None = None
        self.open = False

    # -- what arrives -----------------------------------------------------------------------------

    def take(self, item: Item, audio: bytes) -> None:
        """Hold `audio`, a further piece of `item` (not empty), until `pump` may send it.

        It is cut where marks are due, so that a mark stands at every full interval whatever the size of a delta.
        """
        if not item.received_bytes:
            self._enqueue(item)
        end, start = item.received_bytes, 0
        while start < len(audio):
            size = min(self._mark_bytes - end % self._mark_bytes, len(audio) - start)
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
        if item.held or not item.sent_bytes or size > to_mark:
            return False
        end = item.received_bytes + size
        item.received_bytes = item.sent_bytes = end
        item.at_carrier.append((end, audio))
        for data in self._adapter.play(self.stream, audio):
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

    def marked(self, name: str) -> Item | None:
        """Credit a returned mark; None if the name is unknown or was voided by a clear."""
        marks = self.marks
        for index, (known, item, position) in enumerate(marks):
            if known == name:
                if index:
                    del marks[index]  # Some carriers return marks out of order.
                else:
                    marks.popleft()
                if position > item.heard_bytes:
                    item.heard_bytes = position
                    while item.at_carrier and item.at_carrier[0][0] <= position:
                        item.at_carrier.popleft()
                return item
        return None

    # -- what goes out ----------------------------------------------------------------------------

    def pump(self, now_ms: int, out: list[Action], talking: Callable[[str], bool]) -> None:
        """Send all that may be sent now. `talking(ref)`: may more items of that response come?"""
        if not self.open:
            return
        before: Item | None = None
        for item in self.queue:
            if before is not None and before.ref != item.ref and talking(before.ref):
                return
            if item.held:
                if before is not None:
                    self._mark(before, out)  # Whatever its end is, this much of it comes first.
                self._send(item, now_ms, out)
            if item.complete:
                self._mark(item, out)
            before = item

    def _send(self, item: Item, now_ms: int, out: list[Action]) -> None:
        adapter, stream = self._adapter, self.stream
        clock_ms = max(self.clock_end_ms, now_ms)
        while item.held:
            chunk = item.held.popleft()
            item.at_carrier.append(chunk)
            end, audio = chunk
            out += [ToTransport(data, True) for data in adapter.play(stream, audio)]
            clock_ms += (end - item.sent_bytes) // item.bytes_per_ms
            item.sent_bytes = end
            if end % self._mark_bytes == 0:
                self._mark(item, out)
        self.clock_end_ms = item.clock_end_ms = clock_ms

    def _mark(self, item: Item, out: list[Action]) -> None:
        """Ask the carrier to tell when all that was sent of `item` so far has been heard."""
        if item.marked_bytes == item.sent_bytes:
            return
        self.marks_made += 1
        name = f"{self.prefix}{self.marks_made}"
        self.marks.append((name, item, item.sent_bytes))
        item.marked_bytes = item.sent_bytes
        for data in self._adapter.mark(self.stream, name):
            out.append(ToTransport(data))  # noqa: PERF401  one at a time is quicker: it is one

    def clear(self, now_ms: int, covered: Container[str], out: list[Action]) -> bool:
        """Empty the carrier and void the marks that are out; False if the carrier has no word for it.

        Items of responses that are not `covered` are rewound to what was surely heard, to be sent again.
        """
        messages = self._adapter.clear(self.stream)
        if not messages:
            return False
        out += [ToTransport(data) for data in messages]
        self.marks.clear()
        self.clock_end_ms = now_ms
        for item in self.queue:
            if item.ref not in covered:
                item.held.extendleft(reversed(item.at_carrier))
                item.at_carrier.clear()
                item.sent_bytes = item.marked_bytes = item.heard_bytes
        return True

    def settle(self, item: Item) -> None:
        """Forget the audio of an item of which nothing more will be heard, and the marks that are out for it."""
        item.held.clear()
        item.at_carrier.clear()
        if any(mark[1] is item for mark in self.marks):
            self.marks = deque(mark for mark in self.marks if mark[1] is not item)
        if item in self.queue:
            self.queue.remove(item)

    # -- copying ----------------------------------------------------------------------------------

    def copy(self, items: dict[str, Item]) -> "Playout":
        """An independent copy that refers to the items of `items` (the copied session's)."""
        new = Playout.__new__(Playout)
        new._adapter, new._mark_bytes, new.prefix = self._adapter, self._mark_bytes, self.prefix
        new.bytes_per_ms = self.bytes_per_ms
        new.queue = [items[item.item_id] for item in self.queue]
        new.marks = deque((name, items[item.item_id], at) for name, item, at in self.marks)
        new.marks_made, new.clock_end_ms = self.marks_made, self.clock_end_ms
        new.stream, new.open = self.stream, self.open
        return new

    def key(self) -> tuple[Any, ...]:
        """All that can change, hashable."""
        return (
            tuple(item.item_id for item in self.queue),
            tuple((name, item.item_id, at) for name, item, at in self.marks),
            self.marks_made,
            self.clock_end_ms,
            self.open,
            self.stream,
        )
