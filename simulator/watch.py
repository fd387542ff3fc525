"""What an observer of one call knows who sees both wires and the application, and believes nobody's own words.

The watch keeps, per response and per item, just what the properties need, and compares every action of the session
with it at the step in which it happens. It judges *always*; what must hold when all is quiet is judged in `quiet.py`.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple, replace

from bargein.runtime import actions as do

from .facts import Asked, Order, Returned, Told
from .properties import Broken
from .untimed import Input, Step, written

MARK_EVERY_MS: Final = 100
"""How much speech may go to a carrier without a mark behind it, by which it could be confirmed as heard."""

_ENOUGH: Final = 3
"""Deadlines of one response after which a further one says nothing new."""


class Spoken(Struct, gc=False):
    """One message item as its audio went by. Milliseconds count from the item's own first."""

    item: str
    voice: int = 0
    received_ms: int = 0
    sent_ms: int = 0
    confirmed_ms: int = 0
    """What marks that nobody voided have confirmed to the session."""
    outcome: str = ""
    cut_ms: int = 0
    truncates: int = 0
    op: str = ""
    """The truncate or delete that the server has not answered."""
    refusals: int = 0
    unanswered: bool = False
    """The time for the server's answer was over before it came."""
    deletes: int = 0
    diverged: bool = False
    overdue: bool = False
    rewound: bool = False
    """A clear meant for others took some of it along, so that it is sent again."""
    overrun: bool = False
    """Audio of it came after it was heard to what was its end."""
    answered: bool = False
    """The server has said that it cut or deleted the item."""
    judged: bool = False
    """What is remembered of it is what was heard; nothing more need be known."""


class Reply(Struct, gc=False):
    """One response as the session could know it."""

    ref: str = ""
    """Our handle; of a response the server made by itself, the one the session gives it."""
    response: str = ""
    own: bool = False
    slot: bool = True
    written: bool = False
    told: str = ""
    """How far the server has told of it: nothing, created, done or refused."""
    status: str = ""
    content: bool = False
    verdict: str = ""
    covered: str = ""
    """Why nobody may hear it any more: api, supersede, vad, timeout, server, lost, refused, hangup."""
    left: bool = False
    """The server cancels it by itself."""
    called: str = ""
    """The state in which the application was told that it is; `over` when that matters no more."""
    misreport: tuple[str, str] = ("", "")
    """The property broken, and what the application was told of it that is not so. Judged when the response is over:
    whatever made it so is worse and found before."""
    cancels: int = 0
    deadlines: int = 0
    items: tuple[Spoken, ...] = ()


class Readings(Struct, frozen=True):
    """How the wires of this world are read, each by the other side's own model."""

    told: Callable[[str], Told | None]
    asked: Callable[[str], Asked]
    ordered: Callable[[str], Order]
    returned: Callable[[str], Returned]
    interrupts_itself: bool
    """The server cancels the response of the conversation when it hears the caller."""


class Watch:
    """See the module. `after` makes the next watch; a watch never changes once made."""

    __slots__ = (
        "called",
        "cleared",
        "connected",
        "due",
        "hung_up",
        "last_voice",
        "marks",
        "replies",
    )

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.marks: tuple[tuple[str, int, int], ...] = ()
        """Marks that are out: name, voice, milliseconds."""
        self.last_voice = 0
        self.connected = True
        self.hung_up = False
        self.due: list[Reply] = []
        self.cleared = 0
        self.called: tuple[tuple[Spoken, str], ...] = ()
        """Items whose state was told in this step."""

    def key(self) -> Any:  # noqa: ANN401  hashable, shaped by the structs above
        """Equal keys: the same knowledge."""
        return (
            tuple([_key(reply) for reply in self.replies]),
            self.marks,
            self.last_voice,
            self.connected,
            self.hung_up,
        )

    def copy(self) -> "Watch":
        """An independent copy."""
        new = Watch()
        new.replies = [_copy(reply) for reply in self.replies]
        new.marks, new.last_voice = self.marks, self.last_voice
        new.connected, new.hung_up = self.connected, self.hung_up
        return new

    def open_refs(self) -> list[str]:
        """Handles of requests that are not resolved."""
        return [reply.ref for reply in self.replies if reply.own and not reply.verdict]

    def voice_of(self, item_id: str) -> int:
        """The voice of an item, 0 if no audio of it came by."""
        return next((item.voice for item in self._items() if item.item == item_id), 0)

    def silenced(self) -> frozenset[int]:
        """The voices that nobody may hear any more."""
        return frozenset(
            item.voice
            for reply in self.replies
            if reply.covered
            for item in reply.items
            if item.voice
        )

    def rewound(self) -> frozenset[int]:
        """The voices of which some may be heard twice."""
        return frozenset(item.voice for item in self._items() if item.rewound)

    def unheard_ms(self) -> int:
        """Speech delivered that nobody has cut and no mark has confirmed."""
        return sum(
            item.received_ms - item.confirmed_ms for item in self._items() if not item.outcome
        )

    def cut(self) -> tuple[tuple[int, int], ...]:
        """Voices cut short, and where."""
        return tuple(
            (item.voice, item.confirmed_ms)
            for item in self._items()
            if item.voice and item.outcome in ("partial", "skipped") and not item.judged
        )

    def with_judged(self, names: list[str]) -> "Watch":
        """What is left to know when these items are over everywhere."""
        new = self.copy()
        for item in new._items():
            if item.item in names:
                item.judged, item.voice = True, 0
                item.received_ms = item.sent_ms = item.confirmed_ms = item.cut_ms = 0
        return new

    def with_marks(self, names: tuple[str, ...]) -> "Watch":
        """The same knowledge with other names for the marks that are out."""
        new = self.copy()
        new.marks = tuple([(name, *mark[1:]) for name, mark in zip(names, new.marks, strict=True)])
        return new

    def without(self, gone: list[int]) -> "Watch":
        """What is left to know when nobody will speak of the responses at these places any more."""
        new = self.copy()
        new.replies = [reply for at, reply in enumerate(new.replies) if at not in gone]
        if not new.replies:
            new.last_voice = 0
        return new

    def after(self, given: Input, step: Step, readings: Readings) -> "Watch":
        """What is known after the session took `step` on `given`.

        :raises Broken: if the step breaks a property.
        """
        new = self.copy()
        new._given(given, step, readings)
        unconfirmed = not new.hung_up and any(
            item.sent_ms > item.confirmed_ms
            for reply in new.due
            for item in reply.items
            if not item.outcome
        )
        for action in step.actions:
            new._done(action, readings)
        new._judge(unconfirmed)
        new._settle()
        return new

    def _settle(self) -> None:
        """Forget of what is settled all that no property will ask for."""
        for item in self._items():
            if item.outcome in ("partial", "skipped"):
                item.received_ms = item.sent_ms = item.confirmed_ms
        for reply in self.replies:
            if reply.verdict and reply.told == "done":
                reply.status, reply.content, reply.cancels, reply.left = "", True, 0, False
                reply.covered = reply.covered and "over"
                reply.deadlines = min(reply.deadlines, 1)
                reply.called = "over"

    # -- what happened to the session ------------------------------------------------------------------

    def _given(self, given: Input, step: Step, readings: Readings) -> None:
        match given.what:
            case "request":
                self.replies.append(Reply(step.ref, own=True, slot=given.how != "beside"))
                if self.hung_up or not self.connected:
                    self._cover(self.replies[-1], "lost")
            case "interrupt":
                for reply in self._open():
                    if given.about in ("", reply.ref, reply.response):
                        self._cover(reply, given.how)
            case "from_server":
                told = readings.told(given.about)
                if told is not None and self.connected:
                    self._told(told, readings)
            case "from_carrier":
                returned = readings.returned(given.about)
                if returned.what == "stop":
                    self._hang_up()
                for at, (mark, voice, ms) in enumerate(self.marks):
                    if mark == returned.mark:
                        self.marks = self.marks[:at] + self.marks[at + 1 :]
                        item = self._voice(voice)
                        if item is not None:
                            item.confirmed_ms = max(item.confirmed_ms, ms)
            case "deadline":
                self._deadline(given.how, given.about)
            case "provider_lost":
                self.connected = False
                for reply in self._open():
                    given_up = reply.deadlines and reply.content
                    if reply.told != "done" and not given_up:
                        self._cover(reply, "lost")
            case "transport_lost":
                self._hang_up()

    def _hang_up(self) -> None:
        self.hung_up = True
        for reply in self._open():
            self._cover(reply, "hangup")

    def _told(self, told: Told, readings: Readings) -> None:
        if told.what == "speech_started":
            if readings.interrupts_itself:
                for reply in self._open():
                    self._cover(reply, "vad")
                    reply.left = reply.slot and reply.told == "created"
        elif told.what == "ended":
            pass  # It tells nothing of a response that nobody knows.
        elif told.what in ("truncated", "deleted"):
            for item in self._items():
                if item.item == told.item:
                    item.answered, item.op = True, ""
        elif told.what == "error":
            self._error(told)
        else:
            self._of_a_response(told)

    def _of_a_response(self, told: Told) -> None:
        reply = self._named(told.response)
        if reply is None and told.request:
            reply = next((r for r in self.replies if r.ref == told.request), None)
        elif reply is None and told.what != "created":
            # Its birth was not told. One request at a time has the slot, so it is the oldest that was not answered.
            reply = next((r for r in self.replies if r.written and r.own and not r.told), None)
        if reply is None:
            reply = Reply()
            self.replies.append(reply)
            if self.hung_up:
                reply.covered, reply.verdict, reply.called = "hangup", "interrupted", "cancelled"
        reply.response = told.response
        if told.what == "done":
            reply.told, reply.status = "done", told.status
            if told.status == "cancelled" and not reply.covered and not reply.deadlines:
                self._cover(reply, "server")
            return
        if reply.told == "done":
            return
        reply.told = "created"
        content = told.what in ("announced", "audio", "text", "call")
        if content and reply.deadlines and reply.content and not reply.covered:
            # Given up because it was silent, it speaks again.
            if reply.verdict:
                reply.covered = "server"
            else:
                self._cover(reply, "server")
        if told.what in ("audio", "text", "call"):
            reply.content = True
        if told.item and (told.what == "audio" or told.status == "message"):
            item = next((each for each in reply.items if each.item == told.item), None)
            if item is None:
                item = Spoken(told.item)
                reply.items = (*reply.items, item)
            if told.what == "audio":
                item.voice = told.voice
                item.overrun = item.overrun or item.outcome in ("full", "skipped")
                if not item.outcome and not reply.deadlines:
                    item.received_ms += told.ms

    def _error(self, told: Told) -> None:
        for reply in self.replies:
            if told.op and reply.ref == told.op and not reply.told:
                reply.told = "refused"
                if not reply.verdict:
                    self._cover(reply, "refused")
        for item in self._items():
            if told.op and item.op == told.op:
                item.refusals += 1

    def _deadline(self, kind: str, name: str) -> None:
        if kind == "response":
            reply = self._named(name) or self._by_ref(name)
            reply.deadlines = min(reply.deadlines + 1, _ENOUGH)
            if not reply.content and not reply.verdict:
                self._cover(reply, "timeout")
        elif kind == "operation":
            for item in self._items():
                item.unanswered = item.unanswered or item.op == name
        elif kind == "item":
            for item in self._items():
                if item.item == name:
                    item.overdue = True

    def _cover(self, reply: Reply, why: str) -> None:
        reply.covered = why
        reply.left = False
        self.due.append(reply)

    # -- what the session did --------------------------------------------------------------------------

    def _done(self, action: do.Action, readings: Readings) -> None:
        said = written(action)
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
            case do.MemorySettled(outcome=outcome):
                for item in self._items():
                    if item.item == outcome.item:
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
            self._creates(self._by_ref(asked.request))
        elif asked.what == "cancel":
            self._cancels(asked, readings)
        elif asked.what == "truncate":
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
            if asked.ms != item.confirmed_ms and not (
                item.truncates and asked.ms < item.confirmed_ms
            ):
                raise Broken(
                    "I7",
                    f"{asked.item} is truncated at {asked.ms} ms; {item.confirmed_ms} ms are confirmed",
                )
            item.truncates += 1
            item.cut_ms, item.op = asked.ms, asked.op
        elif asked.what == "delete":
            item = self._item(asked.item, "I7", "deleted")
            if item.confirmed_ms or item.deletes > item.refusals:
                raise Broken(
                    "I7",
                    f"{asked.item} is deleted; {item.confirmed_ms} ms of it were heard, "
                    f"{item.deletes} deletes before",
                )
            item.deletes += 1
            item.op = asked.op

    def _creates(self, reply: Reply) -> None:
        if reply.written:
            raise Broken("I9", f"{reply.ref} is written a second time")
        if reply.covered:
            raise Broken("I2", f"{reply.ref} is written after it was withdrawn ({reply.covered})")
        reply.written = True
        if not reply.slot:
            return
        for other in self.replies:
            if other is reply or not other.slot or other.told in ("done", "refused"):
                self._is_cleaned_up(other, reply)
                continue
            if other.own and not other.written:
                if not other.covered and self.replies.index(other) < self.replies.index(reply):
                    raise Broken("I9", f"{reply.ref} is written before {other.ref}, asked earlier")
                continue
            needed = 1 if other.covered not in ("", "timeout") and not other.left else 2
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
        if not asked.response:
            raise Broken("I1", "a cancel names no response")
        reply = self._named(asked.response)
        if reply is None:
            raise Broken("I1", f"a cancel names {asked.response}, which nobody was told of")
        if reply.told == "done":
            raise Broken("I1", f"{asked.response} is cancelled after its last word")
        if reply.cancels:
            raise Broken("I1", f"{asked.response} is cancelled a second time")
        if reply.left and not reply.deadlines:
            raise Broken("I10", f"{asked.response} is cancelled by the server and by us")
        if not reply.covered and not reply.deadlines:
            raise Broken("I4", f"{asked.response} is cancelled, and nothing covers it")
        reply.cancels += 1

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
            self.last_voice = order.voice
        elif order.what == "mark":
            _, item = self._of_voice(self.last_voice)
            self.marks += ((order.mark, self.last_voice, item.sent_ms),)
        elif order.what == "clear":
            self.cleared += 1
            self.marks = ()
            for reply in self.replies:
                for item in reply.items:
                    if not reply.covered and not item.outcome:
                        item.rewound = item.rewound or item.sent_ms > item.confirmed_ms
                        item.sent_ms = item.confirmed_ms
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
        item = next((each for each in reply.items if each.item == name), None)
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
        item = next((each for each in reply.items if each.item == outcome.item), None)
        if item is None:
            raise Broken("I6", f"{outcome.item} settles as part of {ref}, which does not have it")
        if item.outcome:
            raise Broken("I6", f"{outcome.item} settles a second time: {outcome.state}")
        item.outcome = outcome.state
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

    def _judge(self, unconfirmed: bool) -> None:
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
        self.due = []
        self._judge_reports()
        for item in self._items():
            if not item.outcome and not self.hung_up:
                self._has_marks(item)
        if not self.connected:
            return
        for reply in self.replies:
            left = reply.left and not reply.deadlines
            if reply.told == "created" and reply.covered and not reply.cancels and not left:
                raise Broken(
                    "I10" if reply.left else "I1",
                    f"{reply.response} is covered ({reply.covered}) and gets no cancel",
                )
            for item in reply.items:
                if item.outcome == "full" and item.truncates + item.deletes and not item.overrun:
                    raise Broken("I7", f"{item.item} was heard to its end and is cut")
                if item.outcome == "partial" and not item.truncates:
                    raise Broken("I7", f"{item.item} is partial and is not truncated")

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

    # -- finding ----------------------------------------------------------------------------------------

    def _open(self) -> list[Reply]:
        return [reply for reply in self.replies if not reply.verdict and not reply.covered]

    def _items(self) -> list[Spoken]:
        return [item for reply in self.replies for item in reply.items]

    def _named(self, response: str) -> Reply | None:
        return next((r for r in self.replies if response and r.response == response), None)

    def _by_ref(self, ref: str) -> Reply:
        for reply in self.replies:
            if reply.ref == ref:
                return reply
        raise Broken("I12", f"{ref} is spoken of, which nobody asked for")

    def _learns(self, ref: str, response: str | None) -> Reply:
        """The response of a handle; the session gives one to what the server made by itself."""
        for reply in self.replies:
            if reply.ref == ref:
                return reply
        reply_named = self._named(response or "")
        if reply_named is not None and reply_named.ref:
            number = "I2" if reply_named.covered else "I4"
            raise Broken(number, f"{response} answers {reply_named.ref}, and is taken for {ref}")
        if reply_named is None:
            raise Broken("I12", f"{ref} is spoken of, which nobody asked for ({response})")
        reply_named.ref = ref
        return reply_named

    def _item(self, name: str, number: str, done: str) -> Spoken:
        for item in self._items():
            if item.item == name:
                return item
        raise Broken(number, f"{name} is {done}, and nobody was told of it")

    def _voice(self, voice: int) -> Spoken | None:
        return next((item for item in self._items() if item.voice == voice), None)

    def _of_voice(self, voice: int) -> tuple[Reply, Spoken]:
        for reply in self.replies:
            for item in reply.items:
                if voice and item.voice == voice:
                    return reply, item
        raise Broken("I3", f"sound goes to the carrier that no response has (voice {voice})")


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


def _copy(reply: Reply) -> Reply:
    return replace(reply, items=tuple([replace(item) for item in reply.items]))


def _key(reply: Reply) -> tuple[Any, ...]:
    *fields, items = astuple(reply)
    return (*fields, *[astuple(item) for item in items])
