"""Responses, and what the actions of their machine do; with `speech.py` the session's own half of the tables.

Each action named in `statemachines/response.yaml` is one method here, called `_response_<action>`; a test holds the
two sets equal. There is no "current response" anywhere: everything is found by identity.
"""

from collections.abc import Sequence
from itertools import zip_longest

from .actions import Action, Resolved, StateChanged
from .hushing import Hushing
from .records import Interrupted, Operation, Response
from .speech import actions_of

__all__ = ["REMEMBERED_IDS", "TOMBSTONES", "Interrupted", "Lifecycle", "Operation"]

REMEMBERED_IDS = 16
"""How many ids of ended responses are kept: deltas that trail behind a last word are known for what they are."""

_PHASE = {"name": 0, "withdraw": 0, "clear": 1, "cancel": 2, "cut": 3}
_LAST_PHASE = 4
"""When one interrupt covers several responses: clear the ear, cancel all, settle all, then resolve."""

TOMBSTONES = ("cancelled", "timed_out")
_ENDING = (*TOMBSTONES, "done")
"""States in which nothing but the server's last word is waited for."""


class Lifecycle(Hushing):
    """Responses, and what moving them means. See the module."""

    answer_due = False
    """The server will answer the input by which we cancelled, as if the caller had said it. Nobody asked for that."""
    answer_due_ms = 0
    """Until when: what comes later answers something else."""
    caller_waits = False
    """The caller has spoken, and the server has not begun an answer by itself since."""
    echoes = False
    """The server has been seen to repeat our name for a request."""
    cut_unborn = False
    """The server has told of an interruption while no turn was open: what ends next had not begun."""
    stopped_number = 0
    """Where responses are numbered in order: up to here all are over, whether or not anything of them came."""
    last_cut: tuple[str, str | None] | None = None
    """Our name and the server's of the response the caller last cut short: what a correction is about."""
    manual_turns = False
    _input_sent = False

    # -- moving -----------------------------------------------------------------------------------

    def move(self, responses: Sequence[Response], event: str) -> None:
        """Fire one event at responses as one decision.

        Their actions run phase by phase, not one by one; one clear serves all, and no handle concludes midway.
        """
        self._cleared = self._input_sent = False
        self._unwanted: list[Response] = []
        covered: list[Response] = []
        plan: list[tuple[int, Response, str]] = []
        for response in responses:
            state = response.state
            done = self.engine.fire(self.provider.response, response, event)
            if response.state != state:
                self._note_moved(response, event)
            plan += [(_PHASE.get(name, _LAST_PHASE), response, name) for name in done]
            if "cut" in done:
                covered.append(response)
        self._covered = frozenset([response.ref for response in covered])
        if covered and event in ("interrupt", "stopped"):
            self._note_cut(covered)
        plan.sort(key=lambda step: step[0])
        for _, response, name in plan:
            _RESPONSE_ACTIONS[name](self, response)
        self._covered = frozenset()
        if self._unwanted:
            self.hush(self._unwanted)

    def _note_cut(self, covered: Sequence[Response]) -> None:
        """Of several responses cut short the caller heard one; if none, the server was at the last."""
        heard = {item.ref for item in self.playout.queue if item.state == "playing"}
        cut = next((each for each in covered if each.ref in heard), covered[-1])
        self.last_cut = cut.ref, cut.server_id

    def _note_moved(self, response: Response, event: str) -> None:
        named = response.server_id or self.naming
        self.out.append(StateChanged(response.ref, event, response.state, named))
        response.deadline_ms = None
        if response.state in ("created", "streaming"):
            response.seen_ms = self.now_ms
            response.deadline_ms = self.now_ms + self.times["stalled_ms"]
        elif response.written and not response.last_word:
            response.deadline_ms = self.now_ms + self.times["settled_ms"]

    # -- the response machine's actions -------------------------------------------------------------

    def _response_name(self, response: Response) -> None:
        if response.server_id is None and self.naming is not None:
            response.server_id = self.naming
            self.by_server[self.naming] = response
            if not response.last_word:
                response.holds_slot = response.slot
                if response.state in TOMBSTONES:  # Named late: the wait for its last word begins.
                    response.deadline_ms = self.now_ms + self.times["settled_ms"]

    def _response_withdraw(self, response: Response) -> None:
        self.report.withdrawn.append(response.ref)
        if not response.written:
            self.gate.remove(response.ref)
            response.last_word = True

    def _response_clear(self, response: Response) -> None:
        if self.server_plays:
            self._unwanted.append(response)
        if self._cleared or not self.playout.open:
            return
        if any(item.at_carrier for item in self.playout.queue if item.ref in self._covered):
            self._cleared = True
            self.report.cleared = self.playout.clear(self.now_ms, self._covered, self.out)

    def _response_cancel(self, response: Response) -> None:
        can = self.provider.can
        sent = False
        if self._can_cancel(response):
            response.manual_turns = self.manual_turns
            sent = self.say(self.provider.cancel(self._operation_id("cancel"), response))
        if sent and can["cancel"] == "by_new_input":
            self.answer_due = can["answers_cancel"] != "never"
            self.answer_due_ms = self.now_ms + self.times["created_ms"]
        if sent and self.by_turns:
            response.begun |= bool(response.items) or self.provider.can["finishes"] != "always"
        if self.server_plays and response.state in TOMBSTONES:
            response.hush = "no" if sent else response.hush
            self._unwanted.append(response)
        response.left_to_server = (
            response.server_cancels and not (sent or self.stopped) and can["cancel"] != "none"
        )
        if response.state in _ENDING and not response.last_word:
            response.deadline_ms = self.now_ms + self.times["settled_ms"]
        report = self.report
        unsaid = report.left_to_server if response.server_cancels else report.fenced
        done = report.cancelled if sent else unsaid
        done.append(response.server_id or response.ref)

    def _can_cancel(self, response: Response) -> bool:
        """Whether there is a cancel that would hit this response and no other.

        One that names nobody hits what the server is at, so that must be this response.
        """
        kind = self.provider.can["cancel"]
        if (self.stopped and response.server_cancels) or response.answers_cancel or kind == "none":
            return False
        if kind == "by_id":
            return True
        if not response.slot:
            return False
        others = [each for each in self.responses.values() if each is not response and each.running]
        if kind == "anonymous":
            return not others
        # What is covered with it is unwanted too, and new input can stop only one.
        wanted = any(each.state not in _ENDING for each in others)
        if wanted or self._input_sent or response.state == "done":
            return False
        self._input_sent = True
        return True

    def _response_cut(self, response: Response) -> None:
        event = "lost" if self.hung_up else "interrupt"
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None and not item.settled:
                self.cut_short(item, event)
            elif item is not None and item.state == "full":
                self._told = True
                self.doubt(item)

    def _response_conclude(self, response: Response) -> None:
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None:
                self.complete(item)
        self._conclude_if_settled(response)

    def _response_resolve_interrupted(self, response: Response) -> None:
        self._resolve(response, "interrupted")

    def _response_resolve_timed_out(self, response: Response) -> None:
        self._resolve(response, "timed_out")

    def _response_resolve_failed(self, response: Response) -> None:
        self._resolve(response, "failed")

    def _response_free(self, response: Response) -> None:
        response.holds_slot = False
        if response.server_id == self.turn:
            self.turn = None  # Whatever comes without a name from now on is another's.
        if response.unborn and self.provider.can["correlates"] == "order":
            self._gives_up(response)
        self._forget_due(response)

    def _gives_up(self, response: Response) -> None:
        """By order an answer that never comes would claim the next one: it is waited for once more, not longer."""
        if response.passed_over:
            response.last_word = True
        else:
            response.passed_over = True
            response.deadline_ms = self.now_ms + self.times["created_ms"]

    def _response_retire(self, response: Response) -> None:
        response.last_word = True
        response.holds_slot = False
        response.deadline_ms = None
        self._forget_due(response)

    # -- shared -------------------------------------------------------------------------------------

    def finish_step(self) -> list[Action]:
        """End of an input: start what may play, write what may be asked, resolve handles, drop what is over."""
        self.playout.pump(self.now_ms, self.out, self._talking)
        queue = self.playout.queue.copy()
        for item, after in zip_longest(queue, queue[1:]):
            if item.state == "queued" and item.sent_bytes:
                self.move_item(item, "started")
            if item.heard_bytes < item.received_bytes:
                break  # It stands before all others.
            if after is not None and after.ref == item.ref and after.sent_bytes:
                self.complete(item)  # Deltas come item by item: no more of this one will.
        self._open_gate()
        for response in self._resolving:
            items = [self.items[i].outcome() for i in response.items if i in self.items]
            self.out.append(
                Resolved(
                    response.ref,
                    response.verdict or "failed",
                    response.code,
                    tuple(items),
                    response.server_id,
                )
            )
        self._resolving.clear()
        self._drop_ended()
        out, self.out = self.out, []
        return out

    def _talking(self, ref: str) -> bool:
        response = self.responses.get(ref)
        return response is not None and response.state in ("created", "streaming")

    def _open_gate(self) -> None:
        """Write held requests in the order they were decided, one unanswered create per slot.

        Nothing is written before the server is ready to take it: until then an interrupt drops a request unsaid.
        """
        if not self.ready:
            return
        busy = any(response.holds_slot for response in self.responses.values())
        for ref in self.gate.copy():
            response = self.responses[ref]
            if response.slot and busy:
                continue
            self.gate.remove(ref)
            response.written = True
            response.holds_slot = response.slot
            response.deadline_ms = self.now_ms + self.times["created_ms"]
            self.say(response.asks)
            busy = busy or response.slot
            if self.provider.can["answers_cancel"] == "unknown":
                self.answer_due = False

    def _drop_ended(self) -> None:
        waiting: list[Response] = []
        for response in list(self.responses.values()):
            if response.verdict is None:
                continue
            items = [self.items[item_id] for item_id in response.items if item_id in self.items]
            if any(not item.settled or item.memory == "pending" for item in items):
                continue
            if response.hush == "due" and not self.hung_up:
                continue
            if response.last_word or not response.written:
                self._drop(response)
            elif response.deadline_ms is None:
                waiting.append(response)
        for response in waiting[:-REMEMBERED_IDS]:  # A server that ends nothing must not fill us.
            self._drop(response)

    def _drop(self, response: Response) -> None:
        for item_id in response.items:
            self.items.pop(item_id, None)
            if self.by_turns and not item_id.endswith("/speech"):
                self._end_name(item_id)  # Items may be named where responses are not.
        del self.responses[response.ref]
        if response.server_id is not None:
            del self.by_server[response.server_id]
            self._end_name(response.server_id)

    def _end_name(self, server_id: str) -> None:
        """Content under this name belongs to nobody any more."""
        self.retired.setdefault(server_id, False)
        if len(self.retired) > REMEMBERED_IDS:
            del self.retired[next(iter(self.retired))]


_RESPONSE_ACTIONS = actions_of(Lifecycle, "response")
