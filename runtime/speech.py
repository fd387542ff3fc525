"""Items, and what the actions of their machine do: what is heard of them, and what the server remembers of it.

`Speech` holds what a session keeps (responses, items, asked operations, the playout ledger) and moves the items. Each
`playback` action of `statemachines/playback.yaml` is one method here, called `_playback_<action>`.
"""

from collections.abc import Callable
from typing import Any

from .actions import Action, ItemSettled, MemorySettled, StateChanged, ToProvider, Verdict
from .adapter import ProviderAdapter, Wire
from .machine import Engine
from .playout import Playout
from .records import SOUNDING, Interrupted, Item, Operation, Response

SHORTER_MS = 100
"""How much less a second truncate asks for. One provider was measured to count 85 ms less than its bytes hold:
https://github.com/pipecat-ai/pipecat/issues/2106"""

_REMEMBERS = {
    "generated": "all it generated",
    "sent": "all it sent",
    "reckoned": "what it reckons was heard",
    "unknown": "nobody knows what",
}
"""By the capability `remembers`: what the server keeps of an item that it cannot be made to cut or delete."""


class Speech:
    """What a session keeps, and the life of its items. See the module."""

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
        self.ready = provider.can["opens"] == "at_once"
        """Whether the server takes requests and the caller's voice."""
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
        self.server_plays = provider.can["playback"] == "server"
        self.by_turns = provider.can["identifies"] == "turn"
        self.endless = provider.can["finishes"] == "never"
        self.turn: str | None = None
        """Where the provider has no ids: the name we gave to the response that is being answered."""
        self._resolving: list[Response] = []
        self._told = False
        """Whether what became of the item that moves was told before."""

    # -- items --------------------------------------------------------------------------------------

    def move_item(self, item: Item, event: str) -> None:
        """Fire one event at an item."""
        state = item.state
        self._told = state not in SOUNDING
        done = self.engine.fire(self.provider.playback, item, event)
        if item.state != state:
            self.out.append(
                StateChanged(item.ref, event, item.state, item.response_id, item.item_id)
            )
        for name in done:
            _PLAYBACK_ACTIONS[name](self, item)

    def doubt(self, item: Item) -> None:
        """Its response is cut, and the server reckons by itself what of it was heard: all of this, or less."""
        if self.provider.can["remembers"] in ("reckoned", "unknown") and item.memory == "exact":
            self._remember(item, f"it was heard in full; the server remembers {self._kept()}")

    def complete(self, item: Item) -> None:
        """No more audio will come for `item`."""
        if item.complete or item.settled:
            return
        item.complete = True
        if self.server_plays:
            self._complete_elsewhere(item)
        elif not item.received_bytes:
            self.move_item(item, "empty")
        elif item.heard_bytes >= item.received_bytes:
            self.move_item(item, "played")

    def _complete_elsewhere(self, item: Item) -> None:
        """No more of `item` will be generated. That says nothing of when the server has played it."""
        if item.text_only or not (item.has_audio or item.sounded):
            self.move_item(item, "empty")
        elif self.responses[item.ref].sounds == "stopped":
            self.move_item(item, "played")

    def cut_short(self, item: Item, event: str) -> None:
        """Tell an item that is not settled that it is interrupted, or (`lost`) that nobody hears it any more."""
        waits = self.server_plays and not item.text_only
        self.move_item(item, "halted" if waits else event)

    # -- the server ---------------------------------------------------------------------------------

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

    # -- handles ------------------------------------------------------------------------------------

    def _conclude_if_settled(self, response: Response) -> None:
        if response.state != "done" or any(
            not self.items[item_id].settled for item_id in response.items if item_id in self.items
        ):
            return
        self._resolve(response, "failed" if response.status == "failed" else "completed")

    def _resolve(self, response: Response, verdict: Verdict) -> None:
        if response.verdict is None:
            response.verdict = verdict
            response.untold = True
            self._tell(response)

    def _tell(self, response: Response) -> None:
        """Resolve its handle, unless the server has yet to say what was heard of it."""
        items = [self.items[item_id] for item_id in response.items if item_id in self.items]
        if response.untold and not any(item.stopping for item in items):
            response.untold = False
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
            and self.provider.can["delete"] != "none"
        ):
            item.forget_due = True
            if response.deadline_ms is None:  # Given up before; its last word is due again.
                response.deadline_ms = self.now_ms + self.times["settled_ms"]
            self.report.to_forget.append(item.item_id)
            item.memory = "pending"
        elif self._ask("delete", item, self.provider.forget):
            self.report.forgotten.append(item.item_id)

    def _playback_wait(self, item: Item) -> None:
        item.awaited = True
        if self.connected:
            due_ms = self.now_ms + self.times["answer_ms"]
            self.operations[self._operation_id("halt")] = Operation("halt", item.item_id, due_ms)
        else:
            item.reason = "connection lost"
            self.move_item(item, "unanswered")

    def _playback_keep(self, item: Item) -> None:
        late = item.asked
        item.forget_due = False
        self._let_go(self._verb("delete"), item)
        reason = "it was deleted before the server said that some of it was heard"
        self._remember(item, reason if late else None)

    def _let_go(self, kind: str, item: Item) -> None:
        """The answer to it does not matter any more."""
        for op, asked in list(self.operations.items()):
            if asked.kind == kind and asked.item_id == item.item_id:
                del self.operations[op]

    def _playback_settle(self, item: Item) -> None:
        response = self.responses.get(item.ref)
        if item.state == "full" and response is not None:
            told_to_stop = self.provider.can["cancel"] != "none"
            given_up = told_to_stop and response.state == "done" and response.owed
            if given_up or response.status == "cancelled":
                self.doubt(item)
        self.playout.settle(item)
        if self.server_plays:
            self._let_go("halt", item)
        self.out.append(ItemSettled(item.ref, item.outcome()))
        if response is not None and response.ref not in self._covered:
            self._conclude_if_settled(response)
            self._tell(response)

    def _playback_confirm(self, item: Item) -> None:
        self._remember(item, None)

    def _playback_diverge(self, item: Item) -> None:
        self._remember(item, item.reason or "the server would not forget")

    def _remember(self, item: Item, diverged: str | None) -> None:
        was = item.memory
        item.memory, item.reason = "exact" if diverged is None else "diverged", diverged
        news = was != item.memory or self.server_plays  # It may say late what was heard.
        if was == "pending" or (self._told and news):
            self.out.append(MemorySettled(item.ref, item.outcome()))

    def _forget_due(self, response: Response) -> None:
        for item_id in response.items:
            item = self.items.get(item_id)
            if item is not None and item.forget_due:
                item.forget_due = False
                self._ask("delete", item, self.provider.forget)

    def _ask(self, kind: str, item: Item, hook: Callable[[str, Any], Wire]) -> bool:
        verb = self._verb(kind)
        op = self._operation_id(verb)
        item.asked = True
        if self.say(hook(op, item)):
            due_ms = self.now_ms + self.times["answer_ms"]
            self.operations[op] = Operation(verb, item.item_id, due_ms)
            item.memory = "pending"
            return True
        diverged = None
        if not self.connected:
            diverged = "connection lost"
        elif self.provider.can[kind] == "none":
            diverged = f"the provider cannot {kind}; it remembers {self._kept()}"
        self._remember(item, diverged)
        return False

    def _verb(self, kind: str) -> str:
        """The verb that reaches the server: a truncate stands for the delete it does not know."""
        return "truncate" if self.provider.can[kind] == "none" else kind

    def _kept(self) -> str:
        return _REMEMBERS[self.provider.can["remembers"]]

    @property
    def owed(self) -> bool:
        """Whether the server has yet to say what it remembers of some item, or what was heard of it."""
        return any(item.memory == "pending" or item.stopping for item in self.items.values())


def actions_of(cls: type, machine: str) -> dict[str, Callable[[Any, Any], None]]:
    """The methods of `cls` that are the actions of `machine`, by the names the table calls them."""
    prefix = f"_{machine}_"
    return {
        name.removeprefix(prefix): value
        for name, value in vars(cls).items()
        if name.startswith(prefix)
    }


_PLAYBACK_ACTIONS = actions_of(Speech, "playback")
