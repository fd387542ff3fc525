"""What an observer learns from what happens to a session: messages that arrive, timers, the application, losses."""

from typing import Final

from .facts import Told
from .knowledge import Knowledge, Readings, Reply, Spoken
from .untimed import Input, Step

_ENOUGH: Final = 3
"""Deadlines of one response after which a further one says nothing new."""


class Observer(Knowledge):
    """Knowledge that grows with what happens. What the session then does is judged in `watch.py`."""

    __slots__ = ()

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
                for told in readings.told(given.about) if self.connected else ():
                    self._told(told, readings)
            case "from_carrier":
                returned = readings.returned(given.about)
                if returned.what == "stop":
                    self._hang_up()
                if returned.what == "played" and returned.generation == self.generation:
                    played = self._called(returned.item)
                    if played is not None:
                        heard_ms = min(played.base_ms + returned.ms, played.sent_ms)
                        played.confirmed_ms = max(played.confirmed_ms, heard_ms)
                for at, (mark, voice, ms) in enumerate(self.marks):
                    if mark == returned.mark:
                        self.marks = self.marks[:at] + self.marks[at + 1 :]
                        item = self._voice(voice)
                        if item is not None:
                            item.confirmed_ms = max(item.confirmed_ms, ms)
            case "deadline":
                self._deadline(given.how, str(given.about))
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
            if readings.interrupts:
                for reply in self._open():
                    self._cover(reply, "vad")
                    by_itself = readings.interrupts_itself and reply.slot
                    reply.left = by_itself and reply.told == "created"
        elif told.what == "interrupted":
            for reply in self._open():
                if reply.told:
                    self._cover(reply, "server")
                    reply.left = reply.told == "created"
            for reply in self.replies:
                if reply.left:  # What it was to stop by itself it has stopped.
                    reply.covered = "server"
            stopped = None if readings.finishes else self._named(told.response)
            if stopped is not None:  # There will be no other last word.
                stopped.left, stopped.deadlines = False, max(stopped.deadlines, 2)
        elif told.what == "ended":
            pass  # It tells nothing of a response that nobody knows.
        elif told.what in ("truncated", "deleted"):
            for item in self._items():
                if item.item == told.item:
                    item.answered, item.op = True, ""
        elif told.what == "error":
            self._error(told)
        else:
            self._of_a_response(told, readings)

    def _of_a_response(self, told: Told, readings: Readings) -> None:
        reply = self._named(told.response)
        if reply is None and told.request and not self.answer_due:
            reply = next((r for r in self.replies if r.ref == told.request), None)
        elif reply is None and self.answer_due:
            pass  # What begins next answers our cancel, and no request.
        elif reply is None and (readings.by_order or told.what != "created"):
            # Its birth was not told. One request at a time has the slot, so it is the oldest that was not answered.
            waiting = [r for r in self.replies if r.written and r.own and not r.told]
            if readings.by_order:  # What is still waited for comes before what was given up.
                waiting.sort(key=lambda each: bool(each.covered))
            reply = next(iter(waiting), None)
        if reply is None and told.what == "done" and self.nameless:
            return  # A turn that ended before anything told of it: nobody missed it.
        if reply is None:
            reply = Reply()
            self.replies.append(reply)
            if self.hung_up or self.answer_due:
                why = "hangup" if self.hung_up else "unasked"
                reply.covered, reply.verdict, reply.called = why, "interrupted", "cancelled"
                reply.cancels = int(self.answer_due)  # Nobody cancels the answer to a cancel.
                self.answer_due = False
        if readings.supersedes and not reply.told and reply.slot and told.what != "done":
            self._supersedes(reply, readings)
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
        spoken = told.what == "audio" or (self.nameless and told.what == "text")
        if told.item and (spoken or told.status == "message"):
            item = next((each for each in reply.items if each.item == told.item), None)
            if item is None:
                item = Spoken(told.item)
                reply.items = (*reply.items, item)
            if told.what == "audio":
                item.voice = told.voice
                item.overrun = item.overrun or item.outcome in ("full", "skipped")
                if not item.outcome and not reply.deadlines:
                    item.received_ms += told.ms

    def _supersedes(self, born: Reply, readings: Readings) -> None:
        """The server has begun another response: what it has not finished it never will.

        Where all goes by order, it has passed over requests that were given up before.
        """
        for other in self.replies:
            given_up = readings.by_order and other.written and other.deadlines and not other.told
            if other is not born and given_up:
                other.told = "done"
            if other is not born and other.slot and other.told == "created":
                if not other.covered and not other.deadlines and not other.content:
                    self._cover(other, "server")
                other.told = "done"

    def _error(self, told: Told) -> None:
        for reply in self.replies:
            if told.op and reply.ref == told.op and not reply.told:
                reply.told = "refused"
                if not reply.verdict:
                    self._cover(reply, "refused")
        for item in self._items():
            if item.op and told.op in ("", item.op):  # One that names nothing may be about any.
                item.refusals += 1

    def _deadline(self, kind: str, name: str) -> None:
        if kind == "response":
            reply = self._named(name) or self._learns(name, name)
            reply.deadlines = min(reply.deadlines + 1, _ENOUGH)
            if not reply.content and not reply.verdict:
                self._cover(reply, "timeout")
        elif kind == "operation":
            for item in self._items():
                item.unanswered = item.unanswered or item.op == name
        elif kind == "item":
            ref, _, called = name.rpartition(":")
            played = self._part(self._by_ref(ref), called) if ref else self._called(name)
            if played is not None:
                played.overdue = True

    def _cover(self, reply: Reply, why: str) -> None:
        reply.covered = why
        reply.left = False
        self.due.append(reply)
