"""Who silences whom: the application, the caller as the provider hears it, and the server that stops by itself."""

from typing import Literal

from . import events as ev
from .actions import CallerHeard, Corrected
from .identity import Identity, number_of
from .lifecycle import TOMBSTONES
from .records import Interrupted

Cause = Literal["api", "vad", "guardrail", "supersede", "hangup"]
BargeIn = Literal["auto", "always", "never"]


class Interrupting(Identity):
    """What is interrupted, and what of it is left to the server. See the module."""

    barge_in: BargeIn = "auto"
    told_not_to_interrupt = False

    def cover(
        self, scope: str | None, cause: Cause, *, stopped: bool = False, number: int | None = None
    ) -> Interrupted:
        """Interrupt everything `scope` addresses (None: all) whose handle is not resolved, as one decision.

        `stopped` says that the server has stopped by itself already, up to the response of that `number` where it
        counts them. What it has not begun it has not stopped.
        """
        self.report = report = Interrupted()
        covered = [
            response
            for response in self.responses.values()
            if response.verdict is None
            and (scope is None or scope in (response.ref, response.server_id))
            and not (stopped and response.state == "requested")
        ]
        if stopped and self.provider.numbered and number is not None:
            covered = [each for each in covered if (number_of(each.server_id) or 0) <= number]
        numbers = [found for each in covered if (found := number_of(each.server_id)) is not None]
        if self.provider.numbered:
            self.stopped_number = max([self.stopped_number, number or 0, *numbers])
        report.covered = [response.ref for response in covered]
        by_itself = stopped or (
            cause == "vad"
            and self.provider.can["interrupts_itself"] == "on_vad"
            and not self.told_not_to_interrupt
            and not self.manual_turns
        )
        for response in covered:
            response.server_cancels = by_itself and response.slot
            response.begun |= by_itself and self.by_turns and not response.unborn
        self.stopped = stopped
        self.move(covered, "interrupt")
        self.stopped = False
        for response in covered:
            response.server_cancels = False
        self.report = Interrupted()  # The caller's is final.
        return report

    def _interrupted(self, event: ev.Interrupted) -> None:
        if self.barge_in == "never" or event.response in self.retired:
            return
        for response in self.responses.values():
            if response.state in TOMBSTONES and response.slot and not response.unborn:
                response.left_to_server = False  # It has kept its word.
                response.begun |= self.by_turns
        self.cut_unborn = self.by_turns and self.turn is None
        self.cover(None, "vad", stopped=True, number=number_of(event.response))
        named = self.by_server.get(event.response or "")
        if (
            named is not None and self.endless
        ):  # There will be no other last word. Late audio may come.
            named.holds_slot, named.deadline_ms = False, None

    def _corrected(self, event: ev.Corrected) -> None:
        named = self.by_server.get(event.response) if event.response else None
        ref, server_id = (named.ref, named.server_id) if named else (None, event.response)
        if self.last_cut is not None and event.response in (None, "", self.last_cut[1]):
            ref, server_id = self.last_cut
        self.out.append(Corrected(ref, event.text, server_id))

    def _speech_started(self, event: ev.SpeechStarted) -> None:
        self.out.append(CallerHeard(True))
        self.caller_waits = True
        if self.provider.can["answers_cancel"] == "unknown":
            self.answer_due = False  # What comes from here on answers the caller.
        if self.barge_in == "always" or (
            self.barge_in == "auto" and not self.told_not_to_interrupt
        ):
            self.cover(None, "vad")

    def _speech_stopped(self, event: ev.SpeechStopped) -> None:
        self.out.append(CallerHeard(False))

    def learn(self, event: ev.Configured) -> None:
        """Take note of settings. Where they say nothing of turns, what was known before holds."""
        if event.vad is not None or event.interrupts_itself is not None:
            self.told_not_to_interrupt = event.interrupts_itself is False
        if event.manual is not None:
            self.manual_turns = event.manual
