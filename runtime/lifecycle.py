"""What the actions of the machines do: the session's own half of the tables.

`Lifecycle` holds the maps (responses, items, asked operations, the playout ledger) and moves the machines. Each
action named in `statemachines/*.yaml` is one method here, called `_<machine>_<action>`; a test holds the two sets
equal. There is no "current response" anywhere: everything is found by identity.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from .actions import (
    Action,
    ItemSettled,
    MemorySettled,
    Resolved,
    StateChanged,
    ToProvider,
    Verdict,
)
from .adapter import ProviderAdapter, Wire
from .machine import Engine
from .playout import Playout
from .records import Item, Response

REMEMBERED_IDS = 16
"""How many ids of ended responses are kept: deltas that trail behind a last word are known for what they are."""

SHORTER_MS = 100
"""How much less a second truncate asks for. One provider was measured to count 85 ms less than its bytes hold:
https://github.com/pipecat-ai/pipecat/issues/2106"""

_PHASE = {"name": 0, "withdraw": 0, "clear": 1, "cancel": 2, "cut": 3}
_LAST_PHASE = 4
"""When one interrupt covers several responses: clear the ear, cancel all, settle all, then resolve."""


_TOMBSTONES = ("cancelled", "timed_out")
_ENDING = (*_TOMBSTONES, "done")
"""States in which nothing but the server's last word is waited for."""


class Interrupted:
    """What one interrupt really did; each list holds our refs or the server's ids, in wire order.

    Items `to_forget` are deleted when the server has had its last word about their response.
    """

    __slots__ = (
        "cancelled",
        "cleared",
        "covered",
        "fenced",
        "forgotten",
        "left_to_server",
        "to_forget",
        "truncated",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.covered: list[str] = []
        self.cleared = False
        self.cancelled: list[str] = []
        self.left_to_server: list[str] = []
        self.withdrawn: list[str] = []
        self.fenced: list[str] = []
        self.truncated: list[tuple[str, int]] = []
        self.forgotten: list[str] = []
        self.to_forget: list[str] = []


class Operation:
    """A truncate or delete the server has not answered yet."""

    __slots__ = ("deadline_ms", "item_id", "kind")

    def __init__(self, kind: str, item_id: str, deadline_ms: int) -> None:
        self.kind = kind
        self.item_id = item_id
        self.deadline_ms = deadline_ms


class Lifecycle:
    """Responses and items, and what moving them means. See the module."""

    def __init__(
        self,
        provider: ProviderAdapter,
        playout: Playout,
        engine: Engine,
        prefix: str,
        times: dict[str, int],
    ) -> None:
        self.provider = provider
        self.times = times
        self.playout = playout
        self.engine = engine
        self.prefix = prefix
        self.now_ms = 0
        self.connected = True
        self.hung_up = False
        self.responses: dict[str, Response] = {}
        self.by_server: dict[str, Response] = {}
        self.items: dict[str, Item] = {}
        self.operations: dict[str, Operation] = {}
        self.retired: dict[str, bool] = {}
        """Server ids of ended responses, and whether something that trailed behind the end was reported."""
        self.gate: list[str] = []
        self.operations_made = 0
        self.report = Interrupted()
        self.out: list[Action] = []
        self._covered: frozenset[str] = frozenset()
        self._cleared = False
        self.naming: str | None = None
        self.turn: str | None = None
        """Where the provider has no ids: the name we gave to the response that is being answered."""
        self._resolving: list[Response] = []

    # -- moving -----------------------------------------------------------------------------------

    def move(self, responses: Sequence[Response], event: str) -> None:
        """Fire one event at responses as one decision.

        Their actions run phase by phase, not one by one; one clear serves all, and no handle concludes midway.
        """
        self._cleared = False
        covered: list[str] = []
        plan: list[tuple[int, Response, str]] = []
        for response in responses:
            state = response.state
            done = self.engine.fire(self.provider.response, response, event)
            if response.state != state:
                self._response_moved(response, event)
            plan += [(_PHASE.get(name, _LAST_PHASE), response, name) for name in done]
            if "cut" in done:
                covered.append(response.ref)
        self._covered = frozenset(covered)
        plan.sort(key=lambda step: step[0])
        for _, response, name in plan:
            _RESPONSE_ACTIONS[name](self, response)
        self._covered = frozenset()

    def move_item(self, item: Item, event: str) -> None:
        """Fire one event at an item."""
        state = item.state
        done = self.engine.fire(self.provider.playback, item, event)
        if item.state != state:
            self.out.append(
                StateChanged(item.ref, event, item.state, item.response_id, item.item_id)
            )
        for name in done:
            _PLAYBACK_ACTIONS[name](self, item)

    def _response_moved(self, response: Response, event: str) -> None:
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
                if response.state in _TOMBSTONES:  # Named late: the wait for its last word begins.
                    response.deadline_ms = self.now_ms + self.times["settled_ms"]

    def _response_withdraw(self, response: Response) -> None:
        self.report.withdrawn.append(response.ref)
        if not response.written:
            self.gate.remove(response.ref)
            response.last_word = True

    def _response_clear(self, response: Response) -> None:
        if self._cleared or not self.playout.open:
            return
        if any(item.at_carrier for item in self.playout.queue if item.ref in self._covered):
            self._cleared = True
            self.report.cleared = self.playout.clear(self.now_ms, self._covered, self.out)

    def _response_cancel(self, response: Response) -> None:
        sent = self.say(self.provider.cancel(self._operation_id("cancel"), response))
        response.left_to_server = response.server_cancels and not sent
        if response.state in _ENDING and not response.last_word:
            response.deadline_ms = self.now_ms + self.times["settled_ms"]
        report = self.report
        unsaid = report.left_to_server if response.server_cancels else report.fenced
        done = report.cancelled if sent else unsaid
        done.append(response.server_id or response.ref)

    def _response_cut(self, response: Response) -> None:
        event = "lost" if self.hung_up else "interrupt"
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None and not item.settled:
                self.move_item(item, event)

    def _response_conclude(self, response: Response) -> None:
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None:
                self.complete(item)
        self._conclude_if_settled(response)

    def _conclude_if_settled(self, response: Response) -> None:
        if response.state != "done" or any(
            not self.items[item_id].settled for item_id in response.items if item_id in self.items
        ):
            return
        self._resolve(response, "failed" if response.status == "failed" else "completed")

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
        self._forget_due(response)

    def _response_retire(self, response: Response) -> None:
        response.last_word = True
        response.holds_slot = False
        response.deadline_ms = None
        self._forget_due(response)

    def _resolve(self, response: Response, verdict: Verdict) -> None:
        if response.verdict is None:
            response.verdict = verdict
            self._resolving.append(response)

    # -- the playback machine's actions -------------------------------------------------------------

    def _playback_truncate(self, item: Item) -> None:
        heard_ms = min(item.heard_bytes, item.received_bytes) // item.bytes_per_ms
        item.cut_ms = max(1, heard_ms - SHORTER_MS * item.refusals)
        if self._ask("truncate", item, self.provider.truncate):
            self.report.truncated.append((item.item_id, item.cut_ms))

    def _playback_forget(self, item: Item) -> None:
        response = self.responses.get(item.ref)
        if (
            self.connected
            and response is not None
            and not response.last_word
            and "forget" in self.provider.after_finished
        ):
            item.forget_due = True
            if response.deadline_ms is None:  # Given up before; its last word is due again.
                response.deadline_ms = self.now_ms + self.times["settled_ms"]
            self.report.to_forget.append(item.item_id)
            item.memory = "pending"
        elif self._ask("delete", item, self.provider.forget):
            self.report.forgotten.append(item.item_id)

    def _playback_settle(self, item: Item) -> None:
        self.playout.settle(item)
        self.out.append(ItemSettled(item.ref, item.outcome()))
        response = self.responses.get(item.ref)
        if response is not None and response.ref not in self._covered:
            self._conclude_if_settled(response)

    def _playback_confirm(self, item: Item) -> None:
        self._remember(item, None)

    def _playback_diverge(self, item: Item) -> None:
        self._remember(item, item.reason or "the server would not forget")

    def _remember(self, item: Item, diverged: str | None) -> None:
        was_pending = item.memory == "pending"
        item.memory, item.reason = "exact" if diverged is None else "diverged", diverged
        if was_pending:
            self.out.append(MemorySettled(item.ref, item.outcome()))

    def _forget_due(self, response: Response) -> None:
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None and item.forget_due:
                item.forget_due = False
                self._ask("delete", item, self.provider.forget)

    def _ask(self, kind: str, item: Item, hook: Callable[[str, Any], Wire]) -> bool:
        op = self._operation_id(kind)
        item.asked = True
        if self.say(hook(op, item)):
            due_ms = self.now_ms + self.times["answer_ms"]
            self.operations[op] = Operation(kind, item.item_id, due_ms)
            item.memory = "pending"
            return True
        diverged = None
        if not self.connected:
            diverged = "connection lost"
        elif self.provider.can[kind] == "none":
            diverged = f"the provider cannot {kind}"
        self._remember(item, diverged)
        return False

    @property
    def owed(self) -> bool:
        """Whether the server has yet to say what it remembers of some item."""
        return any(item.memory == "pending" for item in self.items.values())

    # -- shared -------------------------------------------------------------------------------------

    def complete(self, item: Item) -> None:
        """No more audio will come for `item`."""
        if item.complete or item.settled:
            return
        item.complete = True
        if not item.received_bytes:
            self.move_item(item, "empty")
        elif item.heard_bytes >= item.received_bytes:
            self.move_item(item, "played")

    def say(self, messages: Wire) -> bool:
        """Write messages to the provider; False if there is nothing to say or nobody to hear it."""
        if not self.connected:
            return False
        for data in messages:
            self.out.append(ToProvider(data))
        return bool(messages)

    def _operation_id(self, kind: str) -> str:
        self.operations_made += 1
        return f"{self.prefix}{kind}_{self.operations_made}"

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
        """Write held requests in the order they were decided, one unanswered create per slot."""
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

    def _drop_ended(self) -> None:
        waiting: list[Response] = []
        for response in list(self.responses.values()):
            if response.verdict is None:
                continue
            items = [self.items[item_id] for item_id in response.items if item_id in self.items]
            if any(not item.settled or item.memory == "pending" for item in items):
                continue
            if response.last_word or not response.written:
                self._drop(response)
            elif response.deadline_ms is None and response.server_id is not None:
                waiting.append(response)
        for response in waiting[:-REMEMBERED_IDS]:  # A server that ends nothing must not fill us.
            self._drop(response)

    def _drop(self, response: Response) -> None:
        for item_id in response.items:
            self.items.pop(item_id, None)
        del self.responses[response.ref]
        if response.server_id is not None:
            del self.by_server[response.server_id]
            self.retired[response.server_id] = False
            if len(self.retired) > REMEMBERED_IDS:
                del self.retired[next(iter(self.retired))]


def _named(machine: str) -> dict[str, Callable[[Any, Any], None]]:
    prefix = f"_{machine}_"
    return {
        name.removeprefix(prefix): value
        for name, value in vars(Lifecycle).items()
        if name.startswith(prefix) and name != "_response_moved"
    }


_RESPONSE_ACTIONS = _named("response")
_PLAYBACK_ACTIONS = _named("playback")
