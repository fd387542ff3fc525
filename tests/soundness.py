"""A session with its hands full, and what a sound session looks like from the inside.

`Fed` feeds a session and looks after every step: both copies did the same, every action is of its declared shape, no
handle resolved twice, and `faults` found nothing. It judges structure, not sense: sense is the judge of Scenes.
"""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.lifecycle import REMEMBERED_IDS
from bargein.runtime.records import Item, Response
from bargein.runtime.session import Session, Settings

from .fuzzing import Message, common_format, says

_T = TypeVar("_T")
SPEECH_MS = 150


class Fed:
    """A session being fed. Times are the session's own; every input is taken by a copy too."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now_ms = 0
        self.resolved: dict[str, do.Resolved] = {}

    def copy(self) -> "Fed":
        """An independent one that goes on from here."""
        new = Fed(self.session.copy())
        new.now_ms, new.resolved = self.now_ms, self.resolved.copy()
        return new

    # -- inputs -------------------------------------------------------------------------------------

    def server(self, event: type[ev.Event], **fields: object) -> list[do.Action]:
        """The provider says what means `event`."""
        return self.hears("provider", says(self.session.provider, event, **fields))

    def carrier(self, event: type[ev.Event], **fields: object) -> list[do.Action]:
        """The carrier says what means `event`."""
        return self.hears("transport", says(self.session.transport, event, **fields))

    def may_say(self, event: type[ev.Event], **fields: object) -> None:
        """The provider says it, if it has words for it."""
        with suppress(LookupError):
            self.server(event, **fields)

    def hears(self, side: do.Side, message: Message) -> list[do.Action]:
        """One of the peers says anything at all."""
        if side == "provider":
            return self.does(lambda s: (None, s.provider_received(message, self.now_ms)))[1]
        return self.does(lambda s: (None, s.transport_received(message, self.now_ms)))[1]

    def requests(self, *, beside: bool = False) -> str:
        """The application asks for a response; the handle's ref."""
        return self.does(lambda s: s.request(self.now_ms, beside=beside))[0]

    def interrupts(self, scope: str | None = None) -> None:
        """The application wants silence."""
        self.does(lambda s: (None, s.interrupt(self.now_ms, scope)[1]))

    def waits_ms(self, ms: int) -> None:
        """Time passes, and deadlines with it."""
        end_ms = self.now_ms + ms
        for _ in range(1_000):
            due_ms = self.session.next_deadline_ms
            if due_ms is None or due_ms > end_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            self.does(lambda s: (None, s.advance(self.now_ms)))
        else:
            raise AssertionError("a deadline is due again and again")
        self.now_ms = end_ms

    def loses(self, side: do.Side) -> None:
        """A connection is gone."""
        if side == "provider":
            self.does(lambda s: (None, s.provider_lost(self.now_ms, "gone")))
        else:
            self.does(lambda s: (None, s.transport_lost(self.now_ms, "gone")))

    def comes_to_rest(self) -> None:
        """Nobody says anything any more: every deadline passes."""
        for _ in range(10_000):
            due_ms = self.session.next_deadline_ms
            if due_ms is None:
                return
            self.waits_ms(max(0, due_ms - self.now_ms))
        raise AssertionError("the session does not come to rest")

    def does(
        self, act: Callable[[Session], tuple[_T, list[do.Action]]]
    ) -> tuple[_T, list[do.Action]]:
        """One input, taken by the session and by a copy of it."""
        twin = self.session.copy()
        assert twin.key() == self.session.key(), "a copy is another session"
        result, actions = act(self.session)
        _, again = act(twin)
        assert actions == again, "a copy acts otherwise"
        assert twin.key() == self.session.key(), "a copy ends in another state"
        self.looks_at(actions)
        found = faults(self.session)
        assert not found, found
        return result, actions

    def looks_at(self, actions: list[do.Action]) -> None:
        """What one input led to."""
        for action in actions:
            wrong = misshapen(action)
            assert not wrong, wrong
            if isinstance(action, do.Resolved):
                assert action.ref not in self.resolved, f"{action.ref} resolves twice"
                self.resolved[action.ref] = action
            elif isinstance(action, do.ToProvider | do.ToTransport):
                to_provider = isinstance(action, do.ToProvider)
                peer = self.session.provider if to_provider else self.session.transport
                if not (action.audio and peer.bare_audio):
                    json.loads(action.data)


# -- A call in the middle ---------------------------------------------------------------------------


def live(provider: str, transport: str, engine: str, settings: Settings | None = None) -> Fed:
    """A call in the middle.

    One response is over; one was interrupted, owes its last word and the answer to its truncate; one is streaming,
    with an item playing and another behind it; a request is held back. Where responses may run side by side a request
    is written and not born, another was interrupted before it was born, and one is streaming text.
    """
    settings = settings or Settings()
    settings.audio = common_format(provider, transport) or ""
    session = Session(
        adapters.provider(provider), adapters.transport(transport), settings, engine=engine
    )
    speech = b"\x7f" * (SPEECH_MS * session.playout.bytes_per_ms)
    fed = Fed(session)
    fed.may_say(ev.Ready)
    fed.carrier(ev.StreamStarted, stream="stream_1")
    over = fed.requests()
    fed.may_say(ev.Created, response="resp_0", request=over)
    fed.may_say(ev.Finished, response="resp_0", request=over, status="completed")
    interrupted = fed.requests()
    fed.may_say(ev.Created, response="resp_1", request=interrupted)
    fed.server(ev.Audio, response="resp_1", item="item_1", audio=speech)
    fed.server(ev.Audio, response="resp_1", item="item_1", audio=speech)
    if session.playout.marks:
        fed.carrier(ev.Marked, mark=session.playout.marks[0][0])
    fed.interrupts(interrupted)
    fed.may_say(ev.Created, response="resp_2", request="the server's own")
    for item in ("item_2", "item_2", "item_3"):
        fed.server(ev.Audio, response="resp_2", item=item, audio=speech)
    fed.requests()
    if session.provider.can["concurrent"] != "none":
        fed.requests(beside=True)
        unborn = fed.requests(beside=True)
        fed.interrupts(unborn)
        text = fed.requests(beside=True)
        fed.server(ev.Created, response="resp_3", request=text)
        fed.server(ev.Text, response="resp_3", item="item_4", text="words")
    return fed


def names(session: Session) -> dict[str, list[str]]:
    """By the field of an event: every id that means something to this session, and a few that mean nothing."""
    known = {
        "response": [*session.by_server, *session.retired, "turn_1", ""],
        "item": [*session.items, ""],
        "request": [ref for ref in session.responses if ref.startswith(session.prefix)],
        "op": [*session.operations, *session.responses],
        "mark": [mark[0] for mark in session.playout.marks],
        "stream": [session.playout.stream or "", ""],
    }
    fresh = ["fresh_1", "fresh_2", f"{session.prefix}req_99"]
    return {field: [*ids, *fresh] for field, ids in known.items()}


# -- What is sound ----------------------------------------------------------------------------------


def faults(session: Session) -> list[str]:
    """What is wrong inside `session` between two inputs, a sentence each."""
    return [
        *_map_faults(session),
        *_response_faults(session),
        *_item_faults(session),
        *_mark_faults(session),
    ]


def _map_faults(session: Session) -> list[str]:
    found = []
    for server_id, response in session.by_server.items():
        if session.responses.get(response.ref) is not response or response.server_id != server_id:
            found.append(f"by_server[{server_id!r}] is {response.ref}, {response.server_id!r}")
    named = Counter(
        item_id for response in session.responses.values() for item_id in response.items
    )
    found += [f"{item_id!r} is in {times} lists" for item_id, times in named.items() if times > 1]
    if named.keys() != session.items.keys():
        found.append(f"items {sorted(session.items)}, but responses list {sorted(named)}")
    if len(session.retired) > REMEMBERED_IDS:
        found.append(f"{len(session.retired)} ids are retired")
    held = [
        ref
        for ref, response in session.responses.items()
        if not response.written and not response.verdict
    ]
    if sorted(session.gate) != sorted(held):
        found.append(f"{session.gate} at the gate, but not written are {held}")
    for op, asked in session.operations.items():
        if asked.item_id not in session.items:
            found.append(f"{op} asks about {asked.item_id!r}, which is gone")
    if session.out or session.naming is not None:
        found.append("a step is not finished")
    return found


def _response_faults(session: Session) -> list[str]:
    found = []
    for ref, response in session.responses.items():
        if response.ref != ref:
            found.append(f"{response.ref} is kept as {ref}")
        if response.state not in session.provider.response.cells:
            found.append(f"{ref} is {response.state!r}")
        if (
            response.server_id is not None
            and session.by_server.get(response.server_id) is not response
        ):
            found.append(f"{ref} is not found as {response.server_id!r}")
        if (
            response.verdict is None
            and response.deadline_ms is None
            and not _plays(session, response)
        ):
            found.append(f"{ref}, {response.state}, waits for nothing and is not resolved")
    return found


def _plays(session: Session, response: Response) -> bool:
    """Whether only its speech is waited for."""
    mine = [session.items[item_id] for item_id in response.items]
    return response.state == "done" and any(not item.settled and item.complete for item in mine)


def _item_faults(session: Session) -> list[str]:
    found = []
    asked = {each.item_id for each in session.operations.values() if each.kind != "halt"}
    awaited = {each.item_id for each in session.operations.values() if each.kind == "halt"}
    queued = session.playout.queue
    places = {id(item) for item in queued}
    for item_id, item in session.items.items():
        if item.item_id != item_id or item.state not in session.provider.playback.cells:
            found.append(f"{item.item_id!r}, {item.state!r}, is kept as {item_id!r}")
        if item_id not in getattr(session.responses.get(item.ref), "items", ()):
            found.append(f"{item_id!r} belongs to {item.ref}, which does not list it")
        passes_here = not session.server_plays
        if passes_here and not 0 <= item.heard_bytes <= item.sent_bytes <= item.received_bytes:
            found.append(f"{item_id!r}: heard ≤ sent ≤ received does not hold: {item.outcome()}")
        to_be_heard = item.has_audio and not item.settled and not session.server_plays
        if to_be_heard != (id(item) in places):
            found.append(f"{item_id!r} is in the queue and over, or to be heard and not in it")
        if (item.memory == "pending") != (item.forget_due or item_id in asked):
            found.append(
                f"{item_id!r}: its memory is {item.memory}, and nothing more will be heard of it"
            )
        if item.stopping != (item_id in awaited):
            found.append(f"{item_id!r} is {item.state}, and {sorted(awaited)} are waited for")
        response = session.responses.get(item.ref)
        if item.forget_due and (
            response is None or response.last_word or response.deadline_ms is None
        ):
            found.append(
                f"{item_id!r} is to be deleted, and nothing is waited for that leads to it"
            )
        if not item.settled:
            found += _ledger_faults(item)
    if len(places) != len(queued):
        found.append("an item is queued twice")
    if any(session.items.get(item.item_id) is not item for item in queued):
        found.append("an item in the queue is nobody's")
    return found


def _ledger_faults(item: Item) -> list[str]:
    ends = [item.heard_bytes, *(end for end, _ in item.at_carrier), *(end for end, _ in item.held)]
    whole = ends[-1] == item.received_bytes and all(
        before < after for before, after in pairwise(ends)
    )
    sizes = sum(len(audio) for _, audio in (*item.at_carrier, *item.held))
    if not whole or sizes < item.received_bytes - item.heard_bytes:
        return [
            f"{item.item_id!r}: pieces end at {ends} of {item.received_bytes}, {sizes} bytes kept"
        ]
    return []


def _mark_faults(session: Session) -> list[str]:
    return [
        f"mark {name} at {at} of {item.item_id!r}, {item.state}, {item.sent_bytes} bytes sent"
        for name, item, at in session.playout.marks
        if session.items.get(item.item_id) is not item or item.settled or at > item.sent_bytes
    ]


# -- Shapes -----------------------------------------------------------------------------------------


@cache
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return get_type_hints(kind)


def misshapen(value: Struct) -> list[str]:
    """Fields of a struct that are not of the type they are declared with."""
    return [
        f"{type(value).__name__}.{name} is {getattr(value, name)!r}"
        for name, hint in _hints(type(value)).items()
        if not _is_of(getattr(value, name), hint)
    ]


def _is_of(value: object, hint: Any) -> bool:  # noqa: ANN401  an annotation
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_of(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_of(each, inner[0]) for each in value)
    if isinstance(value, Struct) and type(value) is hint:
        return not misshapen(value)
    return hint is object or type(value) is hint
