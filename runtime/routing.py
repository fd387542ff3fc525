"""Provider events find their response and their item here, by identity, and move them.

Identity comes from the server's ids. Where a provider has none, everything belongs to the turn that is open, and a
turn is opened by its first sign of life. A birth that names no request is attributed by order only where order is
all there is: on providers that echo nothing, and for a response whose `created` was lost on the way.
"""

from collections.abc import Callable
from typing import Any, Literal

from . import events as ev
from .actions import CallArrived, CallerHeard, Fenced, Passed, Problem, Side, TextArrived
from .lifecycle import Interrupted, Lifecycle
from .records import SOUNDING, Item, Response

Cause = Literal["api", "vad", "guardrail", "supersede", "hangup"]
BargeIn = Literal["auto", "always", "never"]

ContentEvent = ev.Audio | ev.Text | ev.Transcript | ev.Call


class Routing(Lifecycle):
    """From what the provider said to the machines it moves."""

    barge_in: BargeIn = "auto"
    told_not_to_interrupt = False
    configuring: str | None = None
    unsolicited = 0
    turns_made = 0

    # -- interrupting -------------------------------------------------------------------------------

    def cover(self, scope: str | None, cause: Cause) -> Interrupted:
        """Interrupt everything `scope` addresses (None: all) whose handle is not resolved, as one decision."""
        self.report = report = Interrupted()
        covered = [
            response
            for response in self.responses.values()
            if response.verdict is None
            and (scope is None or scope in (response.ref, response.server_id))
        ]
        report.covered = [response.ref for response in covered]
        by_itself = (
            cause == "vad"
            and self.provider.can["interrupts_itself"] == "on_vad"
            and not self.told_not_to_interrupt
        )
        for response in covered:
            response.server_cancels = by_itself and response.slot
        self.move(covered, "interrupt")
        for response in covered:
            response.server_cancels = False
        self.report = Interrupted()  # The caller's is final.
        return report

    # -- routing ------------------------------------------------------------------------------------

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
        response.seen_ms = self.now_ms
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
        first = not item.received_bytes
        if first:
            item.part = event.part or 0
        playout = self.playout
        playout.take(item, audio)
        playout.pump(self.now_ms, self.out, self._talking)
        return not first  # Its first audio may end what was heard before it, and start it.

    def _audio(self, event: ev.Audio) -> None:
        self.route_audio(event)

    def _created(self, event: ev.Created) -> None:
        asked = self.responses.get(event.request or "")
        known = self.by_server.get(event.response) if event.response else None
        if event.response in self.retired:
            return
        if asked is not None and asked.guessed and known in (None, asked):
            if known is None:
                self._disown(asked)
            asked.guessed = False
        if known is None:
            known = self._mother(event.request, self.provider.can["correlates"] == "order")
        self._named_move(known, event.response or self._new_turn(), "created")

    def _announced(self, event: ev.Announced) -> None:
        response = self._find(event.response)
        if response is None:
            return
        if response.unborn:
            self._named_move(response, event.response or self._new_turn(), "created")
        elif response.state == "done" and response.owed:
            self._named_move(response, event.response, "content")
        if event.kind in (None, "message") and response.state != "done":
            self._item(response, event.item)

    def _text(self, event: ev.Text | ev.Transcript) -> None:
        response = self._content(event, "text")
        if response is not None:
            spoken = type(event) is ev.Transcript
            item = self._item(response, event.item)
            if item.state in ("partial", "skipped"):
                self._fence(response, item.item_id, "text")
                return
            item.has_text = item.has_text or not spoken
            self.out.append(TextArrived(response.ref, item.item_id, event.text, spoken))

    def _call(self, event: ev.Call) -> None:
        response = self._content(event, "call")
        if response is not None:
            self.out.append(
                CallArrived(
                    response.ref, event.item or event.call, event.call, event.name, event.arguments
                )
            )

    def _ended(self, event: ev.Ended) -> None:
        item = self.items.get(event.item) if event.item else None
        if item is not None:
            self.complete(item)

    def _finished(self, event: ev.Finished) -> bool:
        known = self.by_server.get(event.response or self.turn or "")
        asked = self._asked(event.request)
        if known is not None:
            self._last_word(known, event, event.response or None)
        if asked is not None and asked is not known:
            # Its created event was lost. If its content was taken for another's, that other has its name.
            self._last_word(asked, event, (event.response or None) if known is None else None)
        if not event.response:
            self.turn = None
        return known is not None or asked is not None

    def _last_word(self, response: Response, event: ev.Finished, server_id: str | None) -> None:
        response.last_word, response.holds_slot = True, False
        response.status, response.code = event.status, event.code or event.reason
        if response.status == "failed" and response.code is None:
            response.code = "failed"
        outcome = "stopped" if event.status == "cancelled" else "finished"
        self._named_move(response, server_id, outcome)

    def _speech_started(self, event: ev.SpeechStarted) -> None:
        self.out.append(CallerHeard(True))
        if self.barge_in == "always" or (
            self.barge_in == "auto" and not self.told_not_to_interrupt
        ):
            self.cover(None, "vad")

    def _speech_stopped(self, event: ev.SpeechStopped) -> None:
        self.out.append(CallerHeard(False))

    def _configured(self, event: ev.Configured) -> bool:
        self.learn(event)
        self.configuring = None
        return False  # The application wants to see the settings too.

    def learn(self, event: ev.Configured) -> None:
        """Take note of settings. Where they say nothing of turns, what was known before holds."""
        if event.vad is not None or event.interrupts_itself is not None:
            self.told_not_to_interrupt = event.interrupts_itself is False

    def _truncated(self, event: ev.Truncated) -> bool:
        return self._answer("truncate", event.item)

    def _deleted(self, event: ev.Deleted) -> bool:
        return self._answer("delete", event.item)

    def _answer(self, kind: str, item_id: str) -> bool:
        for op, asked in self.operations.items():
            if asked.kind == kind and asked.item_id == item_id:
                self.answered(op, "confirmed")
                return True
        return False  # Not ours: the application asked for it.

    def _error(self, event: ev.Error) -> None:
        rule = next(
            (
                rule.means
                for code, rule in self.provider.errors.items()
                if (
                    code == event.code
                    or (rule.says is not None and rule.says in (event.message or ""))
                )
                and rule.param in (None, event.param)
            ),
            None,
        )
        op = event.op or ""
        response = self._asked(op)
        if response is None and rule == "create_refused" and not op:
            response = self._oldest_unnamed()
        if not op and rule in ("truncate_refused", "gone"):
            op = self._only_asked(rule, event.message or "")
        settles = response is not None or op in self.operations
        if response is not None:
            response.code = event.code or rule or "rejected"
            self.move([response], "rejected")
        elif op and op == self.configuring:
            self.configuring = None
            text = f"the session settings were refused: {event.message or event.code}"
            self.out.append(Problem("provider", "settings_refused", text, fatal=True))
            return
        elif op in self.operations:
            kind = self.operations[op].kind
            gone = rule == "gone" or (rule == "benign" and kind == "truncate")
            self.answered(op, "confirmed" if gone else "refused", event.message)
        harmless = rule in ("benign", "gone") or self._is_over(op)
        if rule == "fatal" or not (settles or harmless):
            text = event.message or "the provider reported an error"
            code = event.code or "provider_error"
            self.out.append(Problem("provider", code, text, rule == "fatal"))

    def _is_over(self, op: str) -> bool:
        """Whether a message of ours is settled already, or was given up: no error about it changes anything."""
        ours = op.startswith(self.prefix) and not op.startswith(self.prefix + "configure_")
        return ours and op not in self.responses

    def answered(self, op: str, event: str, reason: str | None = None) -> None:
        """The server has answered (`confirmed`, `refused`) or not answered (`unanswered`) an operation."""
        asked = self.operations.pop(op)
        item = self.items.get(asked.item_id)
        if item is not None:
            item.refusals += event == "refused"
            item.reason = reason or ("the server did not answer" if event == "unanswered" else None)
            self.move_item(item, event)

    def pass_on(self, side: Side, event: ev.Event, message: str | bytes) -> None:
        """Hand the application what the tables give no meaning to."""
        if isinstance(event, ev.Malformed):
            where = f"{event.kind}: " if event.kind else ""
            self.out.append(Problem(side, "malformed", where + event.reason))
        kind = getattr(event, "kind", None) or "malformed"
        self.out.append(Passed(side, kind, message))

    # -- identity -----------------------------------------------------------------------------------

    def _find(self, server_id: str | None) -> Response | None:
        """The response an event belongs to; a fresh one if it is a first sign of life, None if it is over."""
        if not server_id:
            response = self.by_server.get(self.turn or "")
        else:
            response = self.by_server.get(server_id)
            if response is None and server_id in self.retired:
                self._fence_id(server_id)
                return None
        if response is None:
            response = self._mother(None, True)
            response.guessed = response.own and self.provider.can["correlates"] != "order"
        return response

    def _mother(self, request: str | None, by_order: bool) -> Response:
        """Whose response is being born."""
        ours = request is not None and request.startswith(self.prefix)
        waiting = self._oldest_unnamed() if by_order and not ours else self._asked(request)
        if waiting is not None:
            return waiting
        self.unsolicited += 1
        response = Response(f"auto_{self.unsolicited}", own=False)
        if ours or self.hung_up:
            # Of a request that has had its answer, or to a caller who has gone: nobody waits for it.
            response.state, response.verdict = "cancelled", "interrupted"
        self.responses[response.ref] = response
        return response

    def _disown(self, asked: Response) -> None:
        """What was taken for this request's response, by order, was the server's own: let it be that."""
        self.unsolicited += 1
        other = asked.copy()
        other.ref, other.own, other.guessed = f"auto_{self.unsolicited}", False, False
        self.responses[other.ref] = other
        if other.server_id is not None:
            self.by_server[other.server_id] = other
        for item_id in other.items:
            if item_id in self.items:
                self.items[item_id].ref = other.ref
        asked.server_id, asked.items = None, []
        asked.status, asked.code, asked.last_word = None, None, False
        if asked.verdict is None:
            asked.state = self.provider.response.start

    def _asked(self, request: str | None) -> Response | None:
        """Our request of that name, if it was written and the server has not named its response."""
        response = self.responses.get(request or "")
        return response if response is not None and response.written and response.unborn else None

    def _oldest_unnamed(self) -> Response | None:
        unnamed = (r for r in self.responses.values() if r.own and r.written and r.unborn)
        return next(unnamed, None)

    def _new_turn(self) -> str:
        while True:
            self.turns_made += 1
            name = f"turn_{self.turns_made}"
            if name not in self.by_server and name not in self.retired:
                self.turn = name
                return name

    def _only_asked(self, rule: str, message: str) -> str:
        """The operation an error that names nobody can only mean, if there is just one."""
        could_mean = [
            op
            for op, asked in self.operations.items()
            if (asked.item_id in message if rule == "gone" else asked.kind == "truncate")
        ]
        return could_mean[0] if len(could_mean) == 1 else ""

    def _named_move(self, response: Response, server_id: str | None, event: str) -> None:
        self.naming = server_id
        self.move([response], event)
        self.naming = None

    def _content(self, event: ContentEvent, kind: str) -> Response | None:
        """The response whose content this is, streaming; None if nobody may hear or read it."""
        response = self._find(event.response)
        if response is None:
            return None
        if response.state != "streaming":
            name = event.response or self.turn or self._new_turn()
            self._named_move(response, name, "content")
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

    def _overruns(self, item: Item) -> None:
        if item.settled:
            self.move_item(item, "overrun")

    def _item(self, response: Response, item_id: str | None) -> Item:
        """The item of that id, made if new. An item of an interrupted response is born interrupted."""
        item_id = item_id or f"{response.server_id}/speech"
        item = self.items.get(item_id)
        if item is None:
            bytes_per_ms = self.playout.bytes_per_ms
            item = Item(item_id, response.ref, response.server_id, bytes_per_ms)
            self.items[item_id] = item
            response.items.append(item_id)
            if response.state in ("cancelled", "timed_out"):
                self.move_item(item, "interrupt")
        return item

    def _fence(self, response: Response, item_id: str | None, kind: str) -> None:
        if kind not in response.fenced_kinds:
            response.fenced_kinds |= {kind}
            self.out.append(Fenced(response.server_id or response.ref, kind))

    def _fence_id(self, server_id: str) -> None:
        if not self.retired[server_id]:
            self.retired[server_id] = True
            self.out.append(Fenced(server_id, "late"))


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
    ev.Configured: Routing._configured,
    ev.Truncated: Routing._truncated,
    ev.Deleted: Routing._deleted,
    ev.Error: Routing._error,
}
