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
