"""What an observer of one call knows who sees both wires and the application, and believes nobody's own words.

The watch keeps, per response and per item, just what the properties need, and compares every action of the session
with it at the step in which it happens. It judges *always*; what must hold when all is quiet is judged in `quiet.py`.
"""

from typing import Final, Self

from bargein.runtime import actions as do

from .facts import Asked, Order
from .knowledge import Readings, Reply, Spoken
from .observer import Observer
from .properties import Broken
from .untimed import Input, Step, Written

MARK_EVERY_MS: Final = 100
"""How much speech may go to a carrier without a mark behind it, by which it could be confirmed as heard."""


class Watch(Observer):
    """See the module. `after` makes the next watch; a watch never changes once made."""

    __slots__ = ()

    def after(
        self, given: Input, step: Step, readings: Readings, wire: tuple[Written | None, ...]
    ) -> Self:
        """What is known after the session took `step` on `given`. `wire` is what each of its actions wrote.

        :raises Broken: if the step breaks a property.
        """
        new = self.copy()
        new.nameless = readings.names == "turn"
        new._given(given, step, readings)
        unconfirmed = not new.hung_up and any(
            item.sent_ms > item.confirmed_ms
            for reply in new.due
            for item in reply.items
            if not item.outcome
        )
        for action, said in zip(step.actions, wire, strict=True):
            new._done(action, said, readings)
        new._judge(unconfirmed, readings)
        new._settle()
        return new

    def _settle(self) -> None:
        """Forget of what is settled all that no property will ask for."""
        for item in self._items():
            if item.outcome in ("partial", "skipped"):
                item.received_ms = item.sent_ms = item.confirmed_ms
                item.player, item.base_ms = "", 0
        for reply in self.replies:
            if reply.verdict and reply.told == "done":
                reply.status, reply.content, reply.cancels, reply.left = "", True, 0, False
                reply.covered = reply.covered and "over"
                reply.deadlines = min(reply.deadlines, 1)
                reply.called = "over"

    # -- what the session did --------------------------------------------------------------------------

    def _done(self, action: do.Action, said: Written | None, readings: Readings) -> None:
        if said is not None:
            if said[0] == "to_server":
                self._asks(readings.asked(said[1]), readings)
            else:
                self._orders(readings.ordered(said[1]))
            return
        match action:
            case do.Resolved():
                self._resolved(action)
            case do.ItemSettled(ref=ref, outcome=outcome):
                self._settled(ref, outcome)
            case do.MemorySettled(ref=ref, outcome=outcome):
                for item in self._items():
                    if item is self._part(self._by_ref(ref), outcome.item):
                        # Refused since the server does not know it is an answer too.
                        known = item.answered or item.refusals or not item.voice
                        if outcome.memory == "exact" and not known:
                            raise Broken(
                                "I8", f"{item.item} is called exactly remembered; nobody said so"
                            )
                        item.diverged = outcome.memory == "diverged"
            case do.StateChanged(ref=ref, response=response, item=name, state=state):
                self._changed(self._learns(ref, response), name, state)
            case do.TextArrived(ref=ref, item=name) | do.CallArrived(ref=ref, item=name):
                if self._by_ref(ref).covered:
                    raise Broken(
                        "I3", f"content of {name} is handed over although {ref} is covered"
                    )
            case do.Problem(side=side, code=code, message=message):
                if code != "connection_lost":
                    raise Broken("I11", f"a problem of the {side} is reported: {code}: {message}")

    def _asks(self, asked: Asked, readings: Readings) -> None:
        if asked.what == "create":
            self._creates(self._by_ref(asked.request), readings)
        elif asked.what == "cancel":
            self._cancels(asked, readings)
        elif asked.what == "truncate":
            if not readings.truncates:
                raise Broken("I7", "a truncate is sent to a server that has no word for it")
            item = self._item(asked.item, "I7", "truncated")
            if item.truncates > min(item.refusals, 1):
                raise Broken(
                    "I7", f"{asked.item} is truncated again, after {item.refusals} refusals"
                )
            if not 0 < asked.ms <= item.received_ms:
                raise Broken(
                    "I7",
                    f"{asked.item} is truncated at {asked.ms} ms; it has {item.received_ms} ms",
                )
            heard_ms = item.received_ms if item.overdue else item.confirmed_ms
            if asked.ms != heard_ms and not (item.truncates and asked.ms < heard_ms):
                raise Broken(
                    "I7", f"{asked.item} is truncated at {asked.ms} ms; {heard_ms} ms are confirmed"
                )
            item.truncates += 1
            item.cut_ms, item.op = asked.ms, asked.op
        elif asked.what == "delete":
            if not readings.deletes:
                raise Broken("I7", "a delete is sent to a server that has no word for it")
            item = self._item(asked.item, "I7", "deleted")
            if item.confirmed_ms or item.deletes > item.refusals:
                raise Broken(
                    "I7",
                    f"{asked.item} is deleted; {item.confirmed_ms} ms of it were heard, "
                    f"{item.deletes} deletes before",
                )
            item.deletes += 1
            item.op = asked.op

    def _creates(self, reply: Reply, readings: Readings) -> None:
        if reply.written:
            raise Broken("I9", f"{reply.ref} is written a second time")
        if reply.covered:
            raise Broken("I2", f"{reply.ref} is written after it was withdrawn ({reply.covered})")
        reply.written = True
        if not reply.slot:
            return
        for other in self.replies:
            if other is reply or not other.slot or other.told in ("done", "refused"):
                if readings.deletes:
                    self._is_cleaned_up(other, reply)
                continue
            if other.own and not other.written:
                if not other.covered and self.replies.index(other) < self.replies.index(reply):
                    raise Broken("I9", f"{reply.ref} is written before {other.ref}, asked earlier")
                continue
            promised = other.left and other.covered != "server"
            needed = 1 if other.covered not in ("", "timeout") and not promised else 2
            if other.deadlines < needed:
                raise Broken(
                    "I9",
                    f"{reply.ref} is written while {other.ref or other.response} has the slot",
                )

    def _is_cleaned_up(self, other: Reply, reply: Reply) -> None:
        """What was not heard of the response before is out of the server's memory when the next is asked for."""
        for item in other.items if other.told == "done" else ():
            unheard = item.outcome == "skipped" and item.voice
            if unheard and not item.deletes and not item.diverged:
                raise Broken("I9", f"{reply.ref} is written before the delete of {item.item}")

    def _cancels(self, asked: Asked, readings: Readings) -> None:
        if readings.cancels == "by_id" and not asked.response:
            raise Broken("I1", "a cancel names no response")
        if readings.cancels == "none":
            raise Broken("I1", "a cancel is sent to a server that has no word for it")
        if readings.cancels == "by_id":
            reply = self._named(asked.response)
        else:
            running = [r for r in self.replies if r.slot and r.told == "created"]
            reply = next((r for r in running if not r.cancels), next(iter(running), None))
        if reply is None:
            whom = asked.response or "what runs"
            raise Broken("I1", f"a cancel means {whom}, and nobody was told of it")
        if reply.told == "done":
            raise Broken("I1", f"{asked.response} is cancelled after its last word")
        if reply.cancels:
            raise Broken("I1", f"{asked.response} is cancelled a second time")
        if reply.left and not reply.deadlines:
            raise Broken("I10", f"{asked.response} is cancelled by the server and by us")
        if not reply.covered and not reply.deadlines:
            raise Broken("I4", f"{asked.response} is cancelled, and nothing covers it")
        reply.cancels += 1
        self.answer_due = readings.answers_cancel

    def _orders(self, order: Order) -> None:
        if order.what == "play":
            reply, item = self._of_voice(order.voice)
            if reply.covered:
                raise Broken(
                    "I3", f"audio of {item.item} is sent although {reply.covered} covers it"
                )
            if order.from_ms != item.sent_ms:
                raise Broken(
                    "I6", f"{item.item} is sent from {order.from_ms} ms on, not {item.sent_ms}"
                )
            item.sent_ms = order.to_ms
            item.player = order.item if order.item != item.item else ""
            self.last_voice = order.voice
        elif order.what == "mark":
            _, item = self._of_voice(self.last_voice)
            self.marks += ((order.mark, self.last_voice, item.sent_ms),)
        elif order.what == "clear":
            self.cleared += 1
            self.generation = order.generation
            self.marks = ()
            for reply in self.replies:
                for item in reply.items:
                    if not reply.covered and not item.outcome:
                        item.rewound = item.rewound or item.sent_ms > item.confirmed_ms
                        item.sent_ms = item.confirmed_ms
                        item.base_ms = item.confirmed_ms if order.generation else 0
        else:
            raise Broken("wire", "the carrier gets a message that the model cannot read")

    def _changed(self, reply: Reply, name: str | None, state: str) -> None:
        """The application is told that the response, or one item of it, is now in `state`."""
        if name is None:
            if state == "done" and reply.covered:
                reply.misreport = ("I3", f"{reply.ref} is called done; {reply.covered} covers it")
            if reply.called == "done" == reply.told:
                reply.misreport = ("told", f"{reply.ref} was done, and is called {state}")
            reply.called = state
            return
        if state == "playing" and reply.covered:
            raise Broken("I16", f"{name} begins to play although {reply.ref} is covered")
        item = self._part(reply, name)
        if item is not None:
            self.called += ((item, state),)

    def _resolved(self, action: do.Resolved) -> None:
        reply = self._learns(action.ref, action.response)
        if reply.verdict:
            raise Broken("I12", f"{action.ref} resolves a second time: {action.verdict}")
        reply.verdict = action.verdict
        fits = {
            "completed": not reply.covered,
            "interrupted": reply.covered not in ("", "timeout", "refused", "lost"),
            "timed_out": reply.covered == "timeout",
            "failed": reply.covered in ("refused", "lost") or reply.status == "failed",
        }
        if not fits[action.verdict]:
            number = "I11" if action.verdict == "failed" or reply.covered == "refused" else "I4"
            raise Broken(
                number,
                f"{action.ref} resolves {action.verdict}; it was {reply.covered or 'not'} covered",
            )
        if action.verdict == "completed":
            if reply.told != "done" and not reply.deadlines:
                raise Broken("I12", f"{action.ref} completes before the server's last word")
            for item in reply.items:
                if item.received_ms and item.outcome != "full":
                    raise Broken("I4", f"{action.ref} completes, {item.item} is {item.outcome}")

    def _settled(self, ref: str, outcome: do.ItemOutcome) -> None:
        reply = self._by_ref(ref)
        item = self._part(reply, outcome.item)
        if item is None:
            raise Broken("I6", f"{outcome.item} settles as part of {ref}, which does not have it")
        if item.outcome:
            raise Broken("I6", f"{outcome.item} settles a second time: {outcome.state}")
        item.outcome = outcome.state
        item.diverged = item.diverged or outcome.memory == "diverged"
        if outcome.memory == "exact" and outcome.state != "full" and item.received_ms:
            raise Broken("I8", f"{outcome.item} is cut, and is called exactly remembered at once")
        heard_ms = item.received_ms if item.overdue else item.confirmed_ms
        fits = {
            "full": heard_ms == item.received_ms > 0,
            "partial": heard_ms > 0 and bool(reply.covered),
            "skipped": heard_ms == 0 and (bool(reply.covered) or item.received_ms == 0),
        }
        if not fits.get(outcome.state) or outcome.heard_ms != heard_ms:
            raise Broken(
                "I6",
                f"{outcome.item} settles {outcome.state} with {outcome.heard_ms} ms; confirmed are "
                f"{heard_ms} of {item.received_ms} ms",
            )

    # -- what a step must have done --------------------------------------------------------------------

    def _judge(self, unconfirmed: bool, readings: Readings) -> None:
        if self.cleared != unconfirmed:
            why = "covered speech is at the carrier" if unconfirmed else "nothing covered is"
            raise Broken("I5", f"{self.cleared} clears are sent, and {why}")
        self.cleared = 0
        for reply in self.due:
            if not reply.verdict:
                raise Broken(
                    "I12", f"{reply.ref or reply.response} is covered and does not resolve"
                )
            for item in reply.items:
                if not item.outcome:
                    raise Broken("I6", f"{item.item} is covered and does not settle")
        due, self.due = self.due, []
        self._judge_reports()
        for item in self._items():
            if readings.marks and not item.outcome and not self.hung_up:
                self._has_marks(item)
        if not self.connected:
            return
        for reply in self.replies:
            left = reply.left and not reply.deadlines
            unasked = not reply.cancels and not left
            if readings.cancels != "by_id":  # Later it could hit another.
                new = reply in due and not reply.deadlines
                unasked = unasked and new and self._can_cancel(reply, readings)
            if reply.told == "created" and reply.covered and unasked:
                raise Broken(
                    "I10" if reply.left else "I1",
                    f"{reply.response} is covered ({reply.covered}) and gets no cancel",
                )
            for item in reply.items:
                if item.outcome == "full" and item.truncates + item.deletes and not item.overrun:
                    raise Broken("I7", f"{item.item} was heard to its end and is cut")
                if item.outcome == "partial" and not item.truncates and readings.truncates:
                    raise Broken("I7", f"{item.item} is partial and is not truncated")
                if item.outcome == "partial" and not readings.truncates and not item.diverged:
                    raise Broken(
                        "I8",
                        f"{item.item} is partial, cannot be cut, and is not said to be diverged",
                    )

    def _can_cancel(self, reply: Reply, readings: Readings) -> bool:
        """Whether a cancel without a name could hit no other: it hits whatever runs, or begins to."""
        return readings.cancels != "none" and not any(
            other is not reply
            and other.slot
            and other.told not in ("done", "refused")
            and (other.written or not other.own)
            for other in self.replies
        )

    def _judge_reports(self) -> None:
        for reply in self.replies:
            if reply.called not in ("over", *_states(reply)):
                finding = (
                    f"{reply.ref or reply.response} is called {reply.called or 'nothing'}; the server told "
                    f"{reply.told or 'nothing'} of it, and {reply.covered or 'nothing'} covers it"
                )
                reply.misreport = (_misreported(reply), finding)
            for item, state in self.called:
                overran = item.overrun and item.outcome == "full" and state == "partial"
                if item in reply.items and state != (item.outcome or "playing") and not overran:
                    finding = f"{item.item} is called {state}; it is {item.outcome or 'open'}"
                    reply.misreport = ("I6", finding)
        self.called = ()

    def _has_marks(self, item: Spoken) -> None:
        """A mark stands behind all speech at the carrier but the last bit: what is heard can be confirmed."""
        marked_ms = max([item.confirmed_ms, *[ms for _, v, ms in self.marks if v == item.voice]])
        if item.sent_ms - marked_ms >= MARK_EVERY_MS:
            raise Broken(
                "I6",
                f"{item.sent_ms - marked_ms} ms of {item.item} are sent with no mark behind them",
            )


def _states(reply: Reply) -> tuple[str, ...]:
    """The states in which the application may think that a response is."""
    if reply.covered == "timeout":
        return ("timed_out",)
    if reply.covered:
        return ("cancelled", "done")  # An interrupt of what was done leaves it done.
    if reply.told == "done" or (reply.deadlines and reply.content):
        return ("done",)
    if reply.told == "created":
        return ("streaming",) if reply.content else ("created",)
    return ("",)


def _misreported(reply: Reply) -> str:
    """Which property a wrong report breaks: what is silenced is called alive, or the other way round."""
    silent = reply.called in ("cancelled", "timed_out")
    if reply.covered:
        return "told" if silent else "I3"
    return "I4" if silent else "told"
