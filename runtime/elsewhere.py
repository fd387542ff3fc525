"""Speech that the provider's server plays by itself: what it says of it, and what that means for items and handles.

Nothing of it passes here. The server has one buffer for the call; it says of a response when it begins to play it,
when it is through and when it has thrown the rest away, and of an item where it has cut it: its only evidence. These
come in any order, and any of them may be missing.

* An item is heard in full when its response is played through, up to the server's cut if it is cut, and not at all
  if the server never began. The items before the one that is cut were heard in full, those after it not at all.
* An interrupted item stays `playing`, and is `stopping`, until one of these has come, or for `answer_ms`. Its handle
  waits with it.
* What the server stops without our asking (for the caller's voice, or for another client of the same call) is
  interrupted.
"""

from collections.abc import Iterator
from typing import Final

from . import events as ev
from .answers import Answers
from .lifecycle import TOMBSTONES
from .records import Item, Response

_NOTHING_COMES: Final = ("cancelled", "failed")
"""How a response ended of which the server does not begin to play anything any more."""


class Elsewhere(Answers):
    """From what the server says of its playing to the items it moves. See the module."""

    heard_of_ms = 0
    """When the server last said something of what it plays, or ended what it will play."""

    def _begins(self, event: ev.PlaybackStarted) -> None:
        gone = event.response in self.retired and event.response not in self.by_server
        if gone or not event.response:
            return
        response = self._find(event.response, None, None)
        if response is None:
            return
        if response.unborn or response.state == "created":
            self._named_move(response, event.response, "content")
        self.heard_of_ms = response.seen_ms = self.now_ms
        for other in self.responses.values():
            if other is not response and other.sounds == "playing" and _is_generated(other):
                self._is_through(other)  # It has one buffer, and that goes in order.
        response.sounds = "playing"
        for item in self._spoken(response):
            item.sounded = True
        if response.verdict == "interrupted" or response.state in TOMBSTONES:
            self.hush([response])
        elif first := next((item for item in self._spoken(response) if not item.settled), None):
            self.move_item(first, "started")

    def _runs_out(self, event: ev.PlaybackStopped) -> None:
        self.heard_of_ms = self.now_ms
        response = self.by_server.get(event.response or "")
        if response is not None and response.sounds != "cleared":
            self._is_through(response)
        self.hush_due()

    def _emptied(self, event: ev.PlaybackCleared) -> None:
        self.heard_of_ms = self.now_ms
        named = self.by_server.get(event.response or "")
        playing = [each for each in self.responses.values() if each.sounds == "playing"]
        for response in [named] if named is not None else playing * (not event.response):
            begun = response.sounds != "not begun"
            response.sounds = "cleared"
            self._has_stopped(response)
            if not begun:
                self._is_unplayed(response)
        self.hush_due()

    def _truncated(self, event: ev.Truncated) -> bool:
        item = self.items.get(event.item)
        heard_ms = event.heard_ms
        if not self.server_plays or item is None or heard_ms is None:
            return super()._truncated(event)
        self.heard_of_ms = self.now_ms
        response = self.responses[item.ref]
        response.cut_at = item.item_id
        self._has_stopped(response)
        item.heard_bytes = max(0, heard_ms) * item.bytes_per_ms
        items = list(self._spoken(response))
        place = items.index(item) if item in items else len(items)
        if item.heard:
            for before in items[:place]:
                self.move_item(before, "played")
        self.move_item(item, "cut")
        for after in items[place + 1 :]:
            self.move_item(after, "unplayed")
        return True

    def answered(self, op: str, event: str, reason: str | None = None) -> None:
        """See `Answers.answered`. What the server was to stop by itself, and did not, it is told to stop."""
        asked = self.operations[op]
        if asked.kind == "halt" and event != "unanswered":
            return  # It is no message of ours: whatever names it does not answer it.
        if asked.kind == "halt" and self.connected:
            response = self.responses[self.items[asked.item_id].ref]
            if response.hush == "left" and response.sounds == "playing":
                response.hush = "no"
                if self.hush([response]):
                    return  # Once more it has time to answer.
            items = response.items
            if response.cut_at in items[items.index(asked.item_id) + 1 :]:
                self.move_item(self.items[asked.item_id], "played")  # A later one was cut, not it.
                return
        super().answered(op, event, reason)

    def _generated(self, response: Response) -> None:
        """The server has had its last word about a response; what it has not played it may play yet."""
        self.heard_of_ms = self.now_ms
        if response.sounds == "stopped":
            self._is_through(response)
        elif response.sounds == "not begun" and response.status in _NOTHING_COMES:
            self._is_unplayed(response)

    def _has_stopped(self, response: Response) -> None:
        """Of its own accord, or for somebody else, if we have not told it to."""
        if response.verdict is None:
            self.cover(response.ref, "vad", stopped=True)

    def _is_through(self, response: Response) -> None:
        """All that the server had of it was heard; that is all there is if it generates no more of it."""
        response.sounds = "stopped"
        if _is_generated(response):
            for item in self._spoken(response):
                self.move_item(item, "played")

    def hush_due(self) -> None:
        """What was not said for the sake of what played, if that is over."""
        due = [each for each in self.responses.values() if each.hush == "due"]
        self.hush(due)
        for response in due:
            if response.hush == "due" and not self._may_sound(response):
                response.hush = "no"

    def _is_unplayed(self, response: Response) -> None:
        for item in self._spoken(response):
            self.move_item(item, "unplayed")

    def _spoken(self, response: Response) -> Iterator[Item]:
        """Its items, in their order, but for those that are only text."""
        for item_id in response.items.copy():
            item = self.items.get(item_id)
            if item is not None and not item.text_only:
                yield item

    # -- the clock ----------------------------------------------------------------------------------

    def unheard_of_ms(self) -> list[int]:
        """When what the server was to play, and says nothing of, is settled without it."""
        return [self.heard_of_ms + self.times["overdue_ms"]] if self._awaited() else []

    def settle_unheard_of(self) -> None:
        """Settle it: what had begun was heard by the clock, what had not was not."""
        if self.heard_of_ms + self.times["overdue_ms"] <= self.now_ms:
            for item in self._awaited():
                item.evidence = "clock"
                self.move_item(item, "overdue" if item.sounded else "unplayed")
            self.hush_due()

    def _awaited(self) -> list[Item]:
        """The items of which nothing is waited for but the end of their playing."""
        done = [r for r in self.responses.values() if r.state == "done" and r.verdict is None]
        return [i for response in done for i in self._spoken(response) if not i.settled]


def _is_generated(response: Response) -> bool:
    return response.last_word or response.state == "done"
