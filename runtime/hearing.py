"""What the caller has heard, by the evidence the carrier gives: marks, reports of its player, or only the clock.

* A mark names an item and a position in it. It is known by its name, so marks may come back in any order.
* Where marks are checked, a mark counts no sooner than the clock says its speech can have been played. One that comes
  back earlier is kept until then, and a clear voids it like any other.
* A report counts from where the item was last begun, and names the generation: how many clears came before it. A
  report of another generation than the current one speaks of audio a clear has taken.
* The clock takes for heard all that was sent, but for what would still be playing if nothing delayed it. It knows
  nothing of the line's own delay.
"""

from collections import deque
from typing import Final

from .actions import Evidence
from .adapter import TransportAdapter
from .records import Item


class Hearing:
    """The items that are not settled, the marks that are out, and what they are worth. Sans I/O."""

    __slots__ = (
        "_bases",
        "by_clock",
        "bytes_per_ms",
        "checked",
        "clears_out",
        "early",
        "evidence",
        "generation",
        "mark_due_ms",
        "marks",
        "queue",
    )

    def __init__(self, adapter: TransportAdapter, bytes_per_ms: int) -> None:
        self.bytes_per_ms = bytes_per_ms
        self.evidence: Evidence = _EVIDENCE.get(adapter.can["heard"], "clock")
        self.by_clock = self.evidence == "clock"
        self.checked = adapter.can["heard"] == "checked_marks"
        """Whether a mark is believed only when the clock allows. Who has no clock switches it off."""
        self.mark_due_ms: dict[str, int] = {}
        """By the name of a mark that is out: when its speech can have been played, if marks are checked."""
        self.early: list[tuple[int, Item, int]] = []
        """Marks that came back too early: when each counts, its item, its position."""
        self.queue: list[Item] = []
        self.marks: deque[tuple[str, Item, int]] = deque()
        self.generation = 0
        """How many clears came before what is sent next."""
        self.clears_out = 0
        """How many clears the carrier has yet to confirm, if it does."""
        self._bases: dict[str, int] = {}
        """Where a report's count begins, in bytes, of items that were begun again after a clear."""

    def marked(self, name: str, now_ms: int = 0) -> Item | None:
        """Credit a returned mark; None if it is unknown, was voided by a clear, or came too early and is kept."""
        marks = self.marks
        for index, (known, item, position) in enumerate(marks):
            if known == name:
                if index:
                    del marks[index]  # Some carriers return marks out of order.
                else:
                    marks.popleft()
                due_ms = self.mark_due_ms.pop(name, now_ms)
                if due_ms > now_ms:
                    self.early.append((due_ms, item, position))
                    return None
                _credit(item, position)
                return item
        return None

    def voided(self, name: str) -> bool:
        """Strike out a mark whose audio was never played; False if the name is unknown."""
        for index, (known, _, _) in enumerate(self.marks):
            if known == name:
                del self.marks[index]
                self.mark_due_ms.pop(name, None)
                return True
        return False

    def matured(self, now_ms: int) -> list[Item]:
        """Credit the early marks whose time has come; the items they are about. Then the clock is the witness."""
        items = []
        for due_ms, item, position in self.early:
            if due_ms <= now_ms:
                item.evidence = "clock"
                _credit(item, position)
                items.append(item)
        if items:
            self.early = [each for each in self.early if each[0] > now_ms]
        return items

    def reported(self, item_id: str, played_ms: int, generation: int | None) -> Item | None:
        """Credit a report of the player; None if it speaks of nothing that plays, or of what a clear has taken.

        Never more than was sent. What is less than a millisecond counts with the one before.
        """
        if self.evidence != "report" or generation not in (None, self.generation):
            return None
        item = next((each for each in self.queue if each.item_id == item_id), None)
        if item is not None:
            position = self._bases.get(item_id, 0) + played_ms * self.bytes_per_ms
            all_sent = item.sent_bytes - position < self.bytes_per_ms
            _credit(item, item.sent_bytes if all_sent else position)
        return item

    def reckon(self, now_ms: int) -> None:
        """Where the clock is all there is: credit what must have sounded by now."""
        for item in self.queue:
            left_ms = max(0, item.clock_end_ms - now_ms)
            # The last piece stays, however long ago: the line is slower than the clock, and a clear may be needed.
            _credit(item, item.sent_bytes - left_ms * self.bytes_per_ms, keep=1)

    def confirmed(self) -> None:
        """The carrier has confirmed a clear. It does not say which: what was sent since is not touched."""
        self.clears_out = max(0, self.clears_out - 1)


_EVIDENCE: Final[dict[str, Evidence]] = {
    "marks": "marks",
    "checked_marks": "marks",
    "report": "report",
}
"""By what a table says of `heard`; all else is the clock's."""


def _credit(item: Item, position: int, keep: int = 0) -> None:
    """The item was heard up to there. Let go of what need not be sent again, but for the last `keep` pieces."""
    if position > item.heard_bytes:
        item.heard_bytes = position
        at_carrier = item.at_carrier
        while len(at_carrier) > keep and at_carrier[0][0] <= position:
            at_carrier.popleft()
