"""What a call looks like from outside: the states of its responses and items, also of those that are over.

A view is fed with every action meant for the application; what still lives is read from the session when asked.
"""

from typing import Any

from msgspec import Struct, structs, to_builtins

from .actions import (
    Action,
    CallerHeard,
    Fenced,
    ItemOutcome,
    ItemSettled,
    MemorySettled,
    Problem,
    Resolved,
    StateChanged,
    StreamOpened,
)
from .lifecycle import Interrupted
from .records import Item, Response
from .session import Session

ENDED_RESPONSES = 200
"""How many responses that are over a view still tells about."""


class ItemView(Struct):
    """One message item. Times count from the item's own first millisecond."""

    item: str
    state: str
    received_ms: int = 0
    sent_ms: int = 0
    heard_ms: int = 0
    memory: str = "exact"
    reason: str | None = None
    evidence: str = "marks"


class ResponseView(Struct):
    """One response, and the handle of the same name: `verdict` is None until the handle is resolved."""

    ref: str
    state: str = "requested"
    response: str | None = None
    verdict: str | None = None
    code: str | None = None
    live: bool = True
    items: dict[str, ItemView] = {}


class CallView:
    """Everything a call has to tell about itself. Feed it with `observe`, ask it with `snapshot`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.responses: dict[str, ResponseView] = {}
        self.stream: str | None = None
        self.carrier_call: str | None = None
        self.caller_speaking = False
        self.counters = {"problems": 0, "fenced": 0, "barge_ins": 0}

    def observe(self, action: Action) -> None:
        """Take note of an action meant for the application."""
        if isinstance(action, StateChanged):
            response = self._response(action.ref)
            if action.item is None:
                response.state = action.state
                response.response = action.response or response.response
            else:
                self._item(response, action.item).state = action.state
        elif isinstance(action, ItemSettled | MemorySettled):
            self._outcome(self._response(action.ref), action.outcome)
        elif isinstance(action, Resolved):
            response = self._response(action.ref)
            response.verdict, response.code = action.verdict, action.code
            for outcome in action.items:
                self._outcome(response, outcome)
        elif isinstance(action, Problem):
            self.counters["problems"] += 1
        elif isinstance(action, Fenced):
            self.counters["fenced"] += 1
        elif isinstance(action, CallerHeard):
            self.caller_speaking = action.speaking
            self.counters["barge_ins"] += action.speaking
        elif isinstance(action, StreamOpened):
            self.stream, self.carrier_call = action.stream, action.call

    def snapshot(self) -> dict[str, Any]:
        """The call as it is now, fit for JSON."""
        self._look()
        session = self._session
        return {
            "provider_connected": session.connected,
            "hung_up": session.hung_up,
            "stream": self.stream,
            "carrier_call": self.carrier_call,
            "caller_speaking": self.caller_speaking,
            "responses": [
                {
                    **to_builtins(response),
                    "items": [to_builtins(i) for i in response.items.values()],
                }
                for response in self.responses.values()
            ],
            "handles": {
                response.ref: response.verdict or "pending" for response in self.responses.values()
            },
            "unanswered": [
                {"kind": operation.kind, "item": operation.item_id}
                for operation in session.operations.values()
            ],
            "waiting": list(session.gate),
        }

    def _look(self) -> None:
        """Bring what lives up to date."""
        living = self._session.responses
        for response in living.values():
            self._living(response, self._session.items)
        for ref, view in self.responses.items():
            view.live = ref in living

    def _living(self, response: Response, items: dict[str, Item]) -> None:
        view = self._response(response.ref)
        view.state, view.response = response.state, response.server_id
        view.verdict, view.code = response.verdict, response.code
        for item_id in response.items:
            item = items.get(item_id)
            if item is not None:
                self._outcome(view, item.outcome())

    def _response(self, ref: str) -> ResponseView:
        view = self.responses.get(ref)
        if view is None:
            self._drop_ended()
            view = self.responses[ref] = ResponseView(ref)
        return view

    def _drop_ended(self) -> None:
        if len(self.responses) > ENDED_RESPONSES:
            living = self._session.responses
            ended = next((ref for ref in self.responses if ref not in living), None)
            if ended is not None:
                del self.responses[ended]

    @staticmethod
    def _item(response: ResponseView, item_id: str) -> ItemView:
        return response.items.setdefault(item_id, ItemView(item_id, "queued"))

    def _outcome(self, response: ResponseView, outcome: ItemOutcome) -> None:
        response.items[outcome.item] = ItemView(**structs.asdict(outcome))


def report(done: Interrupted) -> dict[str, Any]:
    """What one interrupt really did, fit for JSON."""
    return {
        "covered": list(done.covered),
        "cleared": done.cleared,
        "cancelled": list(done.cancelled),
        "left_to_server": list(done.left_to_server),
        "withdrawn": list(done.withdrawn),
        "fenced": list(done.fenced),
        "truncated": [{"item": item, "audio_end_ms": end_ms} for item, end_ms in done.truncated],
        "forgotten": list(done.forgotten),
        "to_forget": list(done.to_forget),
    }


def split(result: Any) -> tuple[object, list[Action]]:  # noqa: ANN401
    """A verb's result as what it gave and its actions; a report as a journal tells it."""
    if not isinstance(result, tuple):
        return None, result
    gave, actions = result
    return (report(gave) if isinstance(gave, Interrupted) else gave), actions
