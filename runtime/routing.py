"""Provider events find their handler here, and move the response and the item they belong to.

The parts of a session stand on each other: `speech.py` (items), `lifecycle.py` (responses), `identity.py` (whose
event is it), `interrupting.py` (who silences whom), `answers.py` (what the server says of our messages),
`elsewhere.py` (what it says of speech it plays itself), and this.
"""

from collections.abc import Callable
from typing import Any

from . import events as ev
from .actions import CallArrived, Passed, Problem, Side, TextArrived
from .elsewhere import Elsewhere
from .interrupting import BargeIn, Cause
from .lifecycle import TOMBSTONES
from .records import SOUNDING, Item, Response

__all__ = ["BargeIn", "Cause", "Routing"]

ContentEvent = ev.Audio | ev.Text | ev.Transcript | ev.Call


class Routing(Elsewhere):
    """From what the provider said to the machines it moves."""

    def route(self, event: ev.Event, message: str | bytes) -> None:
        """React to one event of the provider."""
        handler = _ROUTES.get(type(event))
        if handler is None:
            self.pass_on("provider", event, message)
        elif handler(self, event) is False:
            self.pass_on("provider", ev.Unknown(self.provider.kind(message) or ""), message)

    def route_audio(self, event: ev.Audio) -> bool:
        """Route a delta of speech; True if nothing but its own messages can follow from it."""
        response = self.by_server.get(event.response or "")
        if response is None or response.state != "streaming":
            response = self._content(event, "audio")
        if response is None:
            return False
        audio = event.audio
        response.seen_ms = self._drained_ms(audio) if self.endless else self.now_ms
        item = self.items.get(event.item or "") or self._item(response, event.item)
        if item.ref != response.ref:
            self._fence(response, item.item_id, "audio")
            return False
        if item.state not in SOUNDING:
            self._overruns(item)
            self._fence(response, item.item_id, "audio")
            return False
        item.complete = False  # Its audio was said to be over, and is not.
        if not audio:
            return False
        if self.playout.extend(item, audio, self.now_ms, self.out):
            return True
        if self.server_plays:
            item.spoken = True
            return False
        first = not item.received_bytes
        if first:
            item.part = event.part or 0
        playout = self.playout
        playout.take(item, audio)
        playout.pump(self.now_ms, self.out, self._talking)
        return not first  # Its first audio may end what was heard before it, and start it.

    def _drained_ms(self, audio: bytes) -> int:
        """When `audio` will have been heard: where nothing says that it is over, it is silent from then on."""
        playout = self.playout
        return max(self.now_ms, playout.clock_end_ms) + len(audio) // playout.bytes_per_ms

    def _audio(self, event: ev.Audio) -> None:
        self.route_audio(event)

    def _created(self, event: ev.Created) -> None:
        asked = self.responses.get(event.request or "")
        self.echoes |= asked is not None
        if event.response in self.retired:
            return
        if not event.response and self._silent_turn() is not None:
            return  # The same turn, announced again.
        known = self.by_server.get(event.response) if event.response else None
        if asked is not None and asked.guessed and known in (None, asked):
            if known is None:
                self._disown(asked)
            asked.guessed = False
        if known is None:
            known = self._mother(event.request, self._goes_by_order())
            known.guessed |= known.own and known.ref != event.request and self._may_echo()
        self._named_move(known, event.response or self._new_turn(), "created")

    def _goes_by_order(self) -> bool:
        """Whether a birth that names no request answers the oldest: always, or until the server echoes one."""
        correlates = self.provider.can["correlates"]
        if correlates == "assumed":  # What the caller said is answered without a name too.
            return not self.echoes and not self.caller_waits
        return correlates == "order"

    def _may_echo(self) -> bool:
        return self.provider.can["correlates"] == "assumed"

    def _announced(self, event: ev.Announced) -> None:
        response = self._find(event.response, event.item, None)
        if response is None:
            return
        if response.unborn:
            self._named_move(response, event.response or self.turn, "created")
        elif response.state == "done" and response.owed:
            self._named_move(response, event.response, "content")
        if event.kind in (None, "message", "speech") and response.state != "done":
            item = self._item(response, event.item)
            item.spoken |= self.server_plays and event.kind == "speech"

    def _text(self, event: ev.Text | ev.Transcript) -> bool | None:
        if type(event) is ev.Transcript and self._is_nobodys(event):
            return False
        response = self._content(event, "text")
        if response is not None:
            spoken = type(event) is ev.Transcript
            item = self._item(response, event.item)
            if item.state in ("partial", "skipped"):
                self._fence(response, item.item_id, "text")
                return None
            item.has_text = item.has_text or not spoken
            item.spoken |= self.server_plays and spoken
            self.out.append(TextArrived(response.ref, item.item_id, event.text, spoken))
        return None

    def _is_nobodys(self, event: ev.Transcript) -> bool:
        """Words may trail behind their turn: where nobody waits for an answer, they do not begin another."""
        if not self.by_turns or self._in_turn(event.item) is not None:
            return not event.text
        return not event.text or self._oldest_unnamed() is None

    def _call(self, event: ev.Call) -> None:
        response = self._content(event, "call")
        if response is not None:
            self.out.append(
                CallArrived(
                    response.ref, event.item or event.call, event.call, event.name, event.arguments
                )
            )

    def _ended(self, event: ev.Ended) -> None:
        item = self.items.get(event.item or f"{event.response or self.turn}/speech")
        if item is not None:
            self.complete(item)

    def _finished(self, event: ev.Finished) -> bool:
        known = self.by_server.get(event.response or self.turn or "")
        if event.item in self.retired:
            return True  # The end of what is over.
        if self.by_turns and event.item in self.items:
            known = self.responses.get(self.items[event.item].ref)
        asked = self._asked(event.request)
        if known is not None:
            self._last_word(known, event, event.response or None)
        if asked is not None and asked is not known:
            # Its created event was lost. If its content was taken for another's, that other has its name.
            self._last_word(asked, event, (event.response or None) if known is None else None)
        empty = self.by_turns and not event.response and known is None
        if empty and (ended := self._ended_without_turn()) is not None:
            status = "cancelled" if self.cut_unborn else event.status
            self._last_word(ended, ev.Finished(status=status), None)
        if not event.response and (known is None or known.server_id == self.turn):
            self.turn, self.cut_unborn = None, False
        return known is not None or asked is not None or empty

    def _ended_without_turn(self) -> Response | None:
        """Whose end comes while no turn is open, where every turn has one and content is the only sign of a birth.

        A turn's that was given up before its end, or else that of our oldest request: it never began.
        """
        can = self.provider.can
        if can["announces"] != "content" or can["finishes"] != "always":
            return None
        living = [each for each in self.responses.values() if each.slot and not each.last_word]
        owed = (each for each in living if not each.unborn)
        unborn = (each for each in living if each.own and each.written and each.unborn)
        return next(owed, None) or next(unborn, None)

    def _last_word(self, response: Response, event: ev.Finished, server_id: str | None) -> None:
        response.last_word, response.holds_slot = True, False
        response.status, response.code = event.status, event.code or event.reason
        if response.status == "failed" and response.code is None:
            response.code = "failed"
        outcome = "stopped" if event.status == "cancelled" else "finished"
        self._named_move(response, server_id, outcome)
        if outcome == "stopped":
            self._doubt_heard(response)
        if self.server_plays:
            self._generated(response)

    def _doubt_heard(self, response: Response) -> None:
        """The server has stopped what we had given up: of what the caller had heard by then it may keep less."""
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None and item.state == "full":
                self._told = True
                self.doubt(item)

    def _ping(self, event: ev.Ping) -> None:
        self.say(self.provider.pong(event.ping))

    def _closing(self, event: ev.Closing) -> None:
        left = f" in {event.left}" if event.left else ""
        self.out.append(
            Problem("provider", "closing", f"the server will close the connection{left}")
        )

    def pass_on(self, side: Side, event: ev.Event, message: str | bytes) -> None:
        """Hand the application what the tables give no meaning to."""
        if isinstance(event, ev.Malformed):
            where = f"{event.kind}: " if event.kind else ""
            self.out.append(Problem(side, "malformed", where + event.reason))
        kind = getattr(event, "kind", None) or "malformed"
        self.out.append(Passed(side, kind, message))

    def _content(self, event: ContentEvent, kind: str) -> Response | None:
        """The response whose content this is, streaming; None if nobody may hear or read it."""
        response = self._find(event.response, event.item, kind)
        if response is None:
            return None
        if response.state != "streaming":
            self._named_move(response, event.response or self.turn, "content")
        if self.by_turns:
            self._goes_on(response)
        if response.state == "streaming":
            response.seen_ms = self.now_ms
            return response
        if isinstance(event, ev.Audio):
            item = self.items.get(event.item or "")
            if item is None and response.state != "done":
                item = self._item(response, event.item)
            if item is not None and item.ref == response.ref and item.settled:
                item.received_bytes += len(event.audio)
                self._overruns(item)
        self._fence(response, event.item, kind)
        return None

    def _goes_on(self, response: Response) -> None:
        """Content of a turn has come. A tombstone's wait for the last word begins anew: not in the middle of its
        speech may it be given up, or the rest would be taken for another's.
        """
        response.begun = True
        waits = response.deadline_ms is not None and not response.left_to_server
        if waits and response.state in TOMBSTONES:
            response.deadline_ms = self.now_ms + self.times["settled_ms"]

    def _overruns(self, item: Item) -> None:
        if item.settled and not self.server_plays:
            self.move_item(item, "overrun")


_ROUTES: dict[type[ev.Event], Callable[[Any, Any], bool | None]] = {
    ev.Audio: Routing._audio,
    ev.Created: Routing._created,
    ev.Announced: Routing._announced,
    ev.Text: Routing._text,
    ev.Transcript: Routing._text,
    ev.Call: Routing._call,
    ev.Ended: Routing._ended,
    ev.Finished: Routing._finished,
    ev.SpeechStarted: Routing._speech_started,
    ev.SpeechStopped: Routing._speech_stopped,
    ev.Interrupted: Routing._interrupted,
    ev.Corrected: Routing._corrected,
    ev.Ready: Routing._ready,
    ev.Configured: Routing._configured,
    ev.Closing: Routing._closing,
    ev.Ping: Routing._ping,
    ev.Truncated: Routing._truncated,
    ev.Deleted: Routing._deleted,
    ev.PlaybackStarted: Routing._begins,
    ev.PlaybackStopped: Routing._runs_out,
    ev.PlaybackCleared: Routing._emptied,
    ev.Error: Routing._error,
}
