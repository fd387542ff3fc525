"""The session's transport half: what the carrier says, and what the playout ledger waits for.

Nothing here asks which carrier it is: its table says what its messages mean, what it takes, and how it is known what
was heard.
"""

from collections.abc import Sequence
from typing import Final

from . import events as ev
from .actions import Action, KeyPressed, Problem, StreamOpened, ToProvider
from .adapter import TransportAdapter
from .records import Item, Response
from .routing import Routing

_CALLERS_TRACKS: Final = (None, "inbound")
"""Tracks that carry the caller's voice. Carriers that send the agent's own back call it otherwise."""


class Carrying(Routing):
    """From what the carrier said to the items it moves."""

    transport: TransportAdapter

    def transport_received(self, message: str | bytes, now_ms: int) -> list[Action]:
        """React to a message of the carrier. Never raises: what breaks the protocol becomes a `Problem`."""
        self.now_ms = now_ms
        events = self.transport.decode(message)
        quiet = len(events) == 1
        for event in events:
            if type(event) is ev.CallerAudio:
                if self.ready and self.connected and event.track in _CALLERS_TRACKS:
                    self.out += [ToProvider(d, True) for d in self.provider.listen(event.audio)]
                if quiet:
                    return self._take_out()
            elif type(event) is ev.Marked:
                if not self._marked(event, message) and quiet:
                    return self._take_out()
            elif type(event) is ev.Played:
                if not self._played(event) and quiet:
                    return self._take_out()
            elif type(event) is ev.MarkCleared:
                if not self.playout.voided(event.mark):
                    self._unknown_mark(event.mark, message)
            elif type(event) is ev.Cleared:
                self.playout.confirmed()
            elif type(event) is ev.StreamStarted:
                self._started(event, message)
            elif type(event) is ev.StreamEnded:
                self._hang_up()
            elif type(event) is ev.Dtmf:
                self.out.append(KeyPressed(event.digit))
            elif type(event) is ev.TransportError:
                text = event.message or "the carrier reported an error"
                self.out.append(Problem("transport", event.code or "carrier_error", text))
            elif type(event) is not ev.Connected:
                self.pass_on("transport", event, message)
        return self.finish_step()

    def transport_lost(self, now_ms: int, reason: str) -> list[Action]:
        """The carrier's socket is gone, with or without a goodbye: nobody hears anything any more."""
        self.now_ms = now_ms
        if self.hung_up:
            return []
        self.out.append(Problem("transport", "connection_lost", reason))
        self._hang_up()
        return self.finish_step()

    def _started(self, event: ev.StreamStarted, message: str | bytes) -> None:
        if event.stream is None and _needs_stream(self.transport):
            reason = "the stream has no id, and without it nothing can be said to it"
            self.pass_on("transport", ev.Malformed(reason, self.transport.kind(message)), message)
            return
        self.playout.stream, self.playout.open = event.stream, not self.hung_up
        self.out.append(StreamOpened(event.stream, event.call))

    def _marked(self, event: ev.Marked, message: str | bytes) -> bool:
        """Credit a mark; False if nothing can follow from it."""
        item = self.playout.marked(event.mark, self.now_ms)
        return self._unknown_mark(event.mark, message) if item is None else self._heard(item)

    def _played(self, event: ev.Played) -> bool:
        """Credit a report; False if nothing can follow from it."""
        item = self.playout.reported(event.item, event.played_ms, event.generation)
        return item is not None and self._heard(item)

    def _heard(self, item: Item) -> bool:
        """More of the item was heard; False if nothing can follow from it."""
        if item.heard_bytes < item.received_bytes:
            return False
        if item.complete:
            self.move_item(item, "played")
        return True

    def _unknown_mark(self, mark: str, message: str | bytes) -> bool:
        """A mark that is not out: void if it is ours, and the application's if not. False if it is ours."""
        if mark.startswith(self.prefix):
            return False
        self.pass_on("transport", ev.Unknown(self.transport.kind(message) or ""), message)
        return True

    def _take_out(self) -> list[Action]:
        out, self.out = self.out, []
        return out

    def _hang_up(self) -> None:
        if not self.hung_up:
            self.hung_up = True
            self.playout.open = False
            self.cover(None, "hangup")

    # -- the clock ----------------------------------------------------------------------------------

    def move(self, responses: Sequence[Response], event: str) -> None:
        """See `Lifecycle.move`. Where the clock has a say in what was heard, it is asked before all is decided."""
        if self.playout.by_clock:
            self.playout.reckon(self.now_ms)
        elif self.playout.early:
            self.playout.matured(self.now_ms)
        super().move(responses, event)

    def playout_due_ms(self) -> list[int]:
        """When something happens to what plays although nobody says anything."""
        if self.server_plays:
            return self.unheard_of_ms()
        playout = self.playout
        if not playout.open:
            return []
        due = [self._overdue_ms(item) for item in playout.queue if _all_sent(item)]
        due += [due_ms for due_ms, _, _ in playout.early]
        return due if playout.due_ms is None else [*due, playout.due_ms]

    def settle_by_clock(self) -> None:
        """Settle the items whose end the carrier should have confirmed by now, or cannot confirm."""
        if self.server_plays:
            self.settle_unheard_of()
        elif self.playout.open:
            for item in self.playout.matured(self.now_ms):
                self._heard(item)
            for item in self.playout.queue.copy():
                if _all_sent(item) and self._overdue_ms(item) <= self.now_ms:
                    item.heard_bytes, item.evidence = item.received_bytes, "clock"
                    self.move_item(item, "played" if self.playout.by_clock else "overdue")

    def _overdue_ms(self, item: Item) -> int:
        """When the clock settles an item: at its end where it is all there is, elsewhere when no evidence came."""
        return item.clock_end_ms + (0 if self.playout.by_clock else self.times["overdue_ms"])


def _all_sent(item: Item) -> bool:
    return item.complete and not item.held and item.received_bytes > 0


def _needs_stream(transport: TransportAdapter) -> bool:
    """Whether something that can be said to a stream cannot be said without its id."""

    def speech(stream: str | None) -> list[bool]:
        hooks = (
            transport.play(stream, b"", "", 0),
            transport.mark(stream, "", "", 0),
            transport.clear(stream, 0),
        )
        return [bool(messages) for messages in hooks]

    return speech(None) != speech("")
