"""A Scene: one call in a world of models, told as a script of what is seen and what is done.

The world is a `Session` under test, the model of the OpenAI server, the model of Twilio and the caller's ear, and
four queues of messages between them. Messages flow at once; a Scene that wants a race holds a direction back
(`call.held`). Time passes only where the script says so (`hears_ms`, `waits_ms`).

Every control message the session writes (create, cancel, truncate, delete, clear) must be claimed by `call.does`
before the next step; one that nobody claimed fails the Scene. Each step is taken by the session and by a copy of it,
and both must do the same. When the script is over the world is brought to rest and judged (`scene_judge.py`) by what
the ear heard and the server remembers, never by the library's opinion of itself. A failure prints the transcript.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Any, Literal, NamedTuple, NoReturn, Self, TypeVar

import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.lifecycle import Interrupted
from bargein.runtime.routing import Cause
from bargein.runtime.session import Session, Settings
from bargein.simulator.ear import Ear
from bargein.simulator.openai import OpenAIServer, Remembered, Rules
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import caller_speech

from . import scene_judge as judge

_T = TypeVar("_T")
Direction = Literal["to_server", "from_server", "to_carrier", "from_carrier"]
DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_carrier", "from_server", "from_carrier")

PCMU = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}

both_engines = pytest.mark.parametrize("engine", ["table", "transitions"])


class Reply(NamedTuple):
    """A response the server has made: our handle (None: made by the server's VAD), its id, its items."""

    ref: str | None
    response: str
    items: tuple[str, ...]

    @property
    def item(self) -> str:
        """Its only item."""
        (item,) = self.items
        return item


class Forgives:
    """What a Scene declares to be all right although the judge would object."""

    def __init__(self) -> None:
        self.repeats = False
        """Speech nobody interrupted was taken along by a clear and is sent again."""
        self.divergence = False
        """The server keeps what nobody heard, and the session says so."""
        self.memory_ms = 100
        """How much less than was heard may be remembered: one mark interval, unless messages were held."""
        self.after_ms = 20
        """How long covered speech may sound after the interrupt: one frame, unless messages were held."""
        self.residue = False
        self.next_turn = False
        """The call cannot answer another turn: somebody has left."""


class Scene:
    """See the module. Use as a context manager; the end of the block judges."""

    def __init__(
        self,
        engine: str,
        *,
        turn_detection: Mapping[str, Any] | Literal["default"] | None = "default",
        rules: Rules | None = None,
        settings: Settings | None = None,
        marks_echoed: bool = True,
        started: bool = True,
    ) -> None:
        audio: dict[str, Any] = {side: dict(value) for side, value in PCMU.items()}
        if turn_detection != "default":
            audio["input"]["turn_detection"] = turn_detection
        self.server = OpenAIServer(session={"audio": audio}, rules=rules)
        self.carrier = TwilioCarrier(marks_echoed=marks_echoed)
        self.session = Session(
            adapters.provider("openai"), adapters.transport("twilio"), settings, engine=engine
        )
        self.now_ms = 0
        self.transcript: list[str] = []
        self.wires: dict[Direction, deque[str]] = {name: deque() for name in DIRECTIONS}
        self.forgives = Forgives()
        self.provider_gone = self.carrier_gone = False
        self.resolved: dict[str, do.Resolved] = {}
        self.outcomes: dict[str, do.ItemOutcome] = {}
        self.sent_messages: list[dict[str, Any]] = []
        self.others: list[do.Action] = []
        self.silenced_ms: dict[str, int] = {}
        """Our handle, or the id of a response the server made: since when nobody may hear it."""
        self.server_ids: dict[str, str] = {}
        self.done_seen: set[str] = set()
        self.refs: list[str] = []
        self._held: set[Direction] = set()
        self._unclaimed: list[str] = []
        self._says(self.server.connects())
        self._flow()
        if started:
            self.starts()

    # -- the script: the application -----------------------------------------------------------------

    def requests(self, *, beside: bool = False, **fields: Any) -> str:  # noqa: ANN401
        """The application asks for a response; its handle."""
        self._next(f"app      requests{' beside' * beside}")
        ref = self._does(lambda session: session.request(self.now_ms, beside=beside, **fields))
        self.refs.append(ref)
        self._flow()
        return ref

    def interrupts(self, scope: str | None = None, cause: Cause = "api") -> Interrupted:
        """The application wants silence."""
        self._next(f"app      interrupts {scope or 'all'}")
        report = self._does(lambda session: session.interrupt(self.now_ms, scope, cause=cause))
        self._flow()
        return report

    def tells(self, message: Mapping[str, Any]) -> None:
        """The application sends the provider a message of its own."""
        self._next(f"app      tells {message.get('type')}")
        data = json.dumps(message).encode()
        self._does(lambda session: (None, session.tell(self.now_ms, data)))
        self._flow()

    # -- the script: the server ----------------------------------------------------------------------

    def creates(self, request: str | None = None, *, created_event: bool = True) -> str:
        """The server makes the response of `request` (None: the oldest that waits); its id."""
        waiting = [
            each
            for each in self.server.responses.values()
            if each.state == "requested" and request in (None, each.request, each.id)
        ]
        self._next(f"server   creates {request or 'the oldest'}")
        if not waiting:
            self.fail(f"no request waits to be created ({request=})")
        self._says(self.server.creates(waiting[0].id, created_event=created_event))
        self._flow()
        return waiting[0].id

    def announces(
        self, response: str, kind: Literal["message", "text", "function_call"] = "message"
    ) -> str:
        """A new item of `response`; its id."""
        self._next(f"server   announces a {kind} of {response}")
        self._says(self.server.announces(response, kind))
        self._flow()
        return self.server.latest_item

    def speaks(self, item: str, ms: int, *, delta_ms: int = 100, text: str | None = None) -> None:
        """`ms` more audio of `item`, in deltas; trailing ones if its response was told to stop."""
        self._next(f"server   speaks {ms} ms of {item}")
        response = self.server.conversation.items[item].response or ""
        for at_ms in range(0, ms, delta_ms):
            piece_ms = min(delta_ms, ms - at_ms)
            if self.server.responses[response].active:
                self._says(self.server.speaks(response, item, piece_ms, text))
            else:
                self._says(self.server.trailing_delta(response, item, piece_ms))
        self._flow()

    def ends(self, item: str) -> None:
        """The last events of one item."""
        self._next(f"server   ends {item}")
        response = self.server.conversation.items[item].response or ""
        self._says(self.server.ends_item(response, item))
        self._flow()

    def finishes(
        self,
        response: str,
        status: Literal["completed", "failed", "incomplete", "cancelled"] | None = None,
    ) -> None:
        """The server's last word about `response`."""
        self._next(f"server   finishes {response} {status or ''}")
        self._says(self.server.finishes(response, status))
        self._flow()

    def replies(self, *items_ms: int, finished: bool = True, beside: bool = False) -> Reply:
        """A request and its whole answer, one message item per length in milliseconds."""
        ref = self.requests(beside=beside)
        self.does(f"create {ref}")
        return self._answers(ref, self.creates(ref), items_ms, finished)

    def replies_by_vad(self, *items_ms: int, finished: bool = True) -> Reply:
        """The caller says something and the server answers by itself."""
        self.caller_speaks()
        self.caller_stops()
        return self._answers(None, self.creates(), items_ms, finished)

    def _answers(
        self, ref: str | None, response: str, items_ms: Sequence[int], finished: bool
    ) -> Reply:
        items: list[str] = []
        for ms in items_ms:
            if items:
                self.ends(items[-1])
            items.append(self.announces(response))
            self.speaks(items[-1], ms)
        if finished:
            self.finishes(response)
        return Reply(ref, response, tuple(items))

    def caller_speaks(self) -> None:
        """The server's VAD hears the caller begin to speak."""
        self._next("caller   speaks")
        self._says(self.server.hears_speech_start(self.now_ms))
        self._flow()

    def caller_stops(self) -> None:
        """The server's VAD hears the caller no more."""
        self._next("caller   stops")
        self._says(self.server.hears_speech_stop(self.now_ms))
        self._flow()

    def refuses(self, request: str, *, code: str | None = "rate_limit_exceeded") -> None:
        """The server gives up a request it had accepted."""
        self._next(f"server   refuses {request}")
        self._says(self.server.refuses(request, code=code))
        self._flow()

    def server_does(self, act: Callable[[OpenAIServer], list[str]]) -> None:
        """Anything else the server's model can do."""
        self._next("server   does")
        self._says(act(self.server))
        self._flow()

    def server_says(self, *messages: str | Mapping[str, Any]) -> None:
        """The server says what its model would not."""
        self._next("server   says")
        self._says([m if isinstance(m, str) else json.dumps(m) for m in messages])
        self._flow()

    def loses_provider(self) -> None:
        """The connection to the provider is gone, with all that was under way."""
        self._next("provider lost")
        self.server.loses_connection()
        self.wires["to_server"].clear()
        self.wires["from_server"].clear()
        self.provider_gone = self.forgives.next_turn = True
        self._does(lambda session: (None, session.provider_lost(self.now_ms, "gone")))
        self._flow()

    # -- the script: the carrier and the caller -------------------------------------------------------

    def starts(self) -> None:
        """The carrier opens the stream."""
        self._next("carrier  starts")
        self.wires["from_carrier"] += self.carrier.start(self.now_ms)
        self._flow()

    def carrier_says(self, *messages: str | Mapping[str, Any]) -> None:
        """The carrier says what its model would not."""
        self._next("carrier  says")
        self.wires["from_carrier"] += [m if isinstance(m, str) else json.dumps(m) for m in messages]
        self._flow()

    def caller_says_ms(self, ms: int) -> None:
        """Frames of the caller's voice."""
        self._next(f"caller   says {ms} ms")
        self.wires["from_carrier"] += self.carrier.caller_says(caller_speech(ms), self.now_ms)
        self._flow()

    def hangs_up(self) -> None:
        """The caller hangs up; the carrier says so."""
        self._next("caller   hangs up")
        self.carrier_gone = self.forgives.next_turn = True
        self.wires["from_carrier"] += self.carrier.stop(self.now_ms)
        self._flow()

    def loses_carrier(self) -> None:
        """The carrier's socket is gone without a goodbye."""
        self._next("carrier  lost")
        self.carrier_gone = self.forgives.next_turn = True
        self.carrier.stop(self.now_ms)
        self.wires["to_carrier"].clear()
        self.wires["from_carrier"].clear()
        self._does(lambda session: (None, session.transport_lost(self.now_ms, "gone")))
        self._flow()

    def hears_ms(self, ms: int) -> None:
        """Time passes and the caller hears speech all the while."""
        before_ms = self.ear.heard_after(0)
        self.waits_ms(ms)
        heard_ms = self.ear.heard_after(0) - before_ms
        self._check(heard_ms == ms, f"the caller heard {heard_ms} ms, not {ms}")

    def waits_ms(self, ms: int) -> None:
        """Time passes: the carrier plays, deadlines come."""
        self._next(f"time     {ms} ms")
        self.passes_until(self.now_ms + ms)

    # -- races ----------------------------------------------------------------------------------------

    @contextmanager
    def held(self, *directions: Direction) -> Iterator[None]:
        """Messages of these directions are under way until the end of the block (or `delivers`)."""
        self.holds(*directions)
        yield
        self.releases(*directions)

    def holds(self, *directions: Direction) -> None:
        """From here on messages of these directions are under way; `releases` lets them arrive."""
        self._held |= set(directions)
        self.transcript.append(f"         held from here on: {', '.join(directions)}")

    def releases(self, *directions: Direction) -> None:
        """What was held in these directions (none named: in all) arrives."""
        self._held -= set(directions or DIRECTIONS)
        self.transcript.append("         what was held arrives")
        self._flow()

    def delivers(self, direction: Direction, count: int = 1) -> None:
        """The next messages of a direction that is held arrive after all."""
        self._next(f"net      delivers {count} {direction}")
        for _ in range(count):
            self._check(bool(self.wires[direction]), f"nothing is under way {direction}")
            self._deliver(direction)
        self._flow()

    def drops(self, direction: Direction) -> None:
        """What is under way in a direction that is held never arrives."""
        self._next(f"net      drops {len(self.wires[direction])} {direction}")
        self.wires[direction].clear()

    # -- what must have been done ----------------------------------------------------------------------

    def does(self, *expected: str) -> None:
        """Claim all control messages written since the last claim, in the order written, to either wire."""
        got, self._unclaimed = self._unclaimed, []
        self._check(got == list(expected), f"expected {list(expected)}\n     got {got}")

    def resolves(self, ref: str, verdict: str, code: str | None = None) -> do.Resolved:
        """The handle is resolved, and how."""
        if ref not in self.resolved:
            self.fail(f"{ref} is not resolved")
        resolved = self.resolved[ref]
        got = (resolved.verdict, resolved.code) if code else (resolved.verdict, None)
        self._check(got == (verdict, code), f"{ref}: expected {verdict} {code}, got {resolved}")
        return resolved

    def is_open(self, ref: str) -> None:
        """The handle is not resolved yet."""
        self._check(ref not in self.resolved, f"{ref} is resolved: {self.resolved.get(ref)}")

    def states(self, subject: str) -> list[str]:
        """The states a response (by its handle) or an item was told to have gone through."""
        changes = self.told(do.StateChanged)
        return [c.state for c in changes if subject == (c.item or c.ref)]

    def outcome(self, item: str) -> do.ItemOutcome:
        """What the session says became of an item."""
        if item not in self.outcomes:
            self.fail(f"{item} is not settled")
        return self.outcomes[item]

    def item_is(self, item: str, state: str, heard_ms: int | None = None) -> None:
        """The item is settled, and how; `heard_ms` is the session's own reckoning."""
        got = self.outcome(item)
        fits = got.state == state and heard_ms in (None, got.heard_ms)
        self._check(fits, f"{item}: expected {state} {heard_ms}, got {got}")

    def heard_ms(self, item: str) -> int:
        """What the ear heard of an item."""
        return self.ear.heard_ms(self.memory(item).voice)

    def memory(self, item: str) -> Remembered:
        """What the server remembers of an item."""
        return next(each for each in self.server.memory() if each.item == item)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """All messages of that type or event written so far, to either wire."""
        return [m for m in self.sent_messages if kind in (m.get("type"), m.get("event"))]

    def told(self, kind: type[do.Action]) -> list[Any]:
        """All actions of that kind for the application so far."""
        return [action for action in self.others if type(action) is kind]

    @property
    def ear(self) -> Ear:
        """The caller's."""
        return self.carrier.ear

    # -- the machinery ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._next("the end")
            judge.judges(self)
        elif not getattr(error, "__notes__", None):
            error.add_note(self._told())

    def fail(self, reason: str) -> NoReturn:
        """The Scene does not go as written."""
        failure = AssertionError(reason)
        failure.add_note(self._told())
        raise failure

    def passes_until(self, end_ms: int) -> None:
        """Time passes, stopping wherever the carrier or a deadline has something to say."""
        for _ in range(100_000):
            due = [end_ms, self.carrier.next_event_ms, self.session.next_deadline_ms]
            self.now_ms = max(self.now_ms, min(ms for ms in due if ms is not None))
            self.wires["from_carrier"] += self.carrier.advance(self.now_ms)
            self._flow()
            deadline_ms = self.session.next_deadline_ms
            if deadline_ms is not None and deadline_ms <= self.now_ms:
                self._does(lambda session: (None, session.advance(self.now_ms)))
                self._flow()
                deadline_ms = self.session.next_deadline_ms
                late = deadline_ms is not None and deadline_ms <= self.now_ms
                self._check(not late, "a deadline that has fired is due again")
            if self.now_ms >= end_ms:
                return
        self.fail("time does not pass")

    def unclaim(self) -> None:
        """From here on nothing need be claimed: the script is over."""
        self._unclaimed.clear()

    def _next(self, step: str) -> None:
        self._check(not self._unclaimed, f"nobody claimed {self._unclaimed}")
        self.transcript.append(f"{self.now_ms:>6} ms {step}")

    def _check(self, holds: bool, reason: str) -> None:
        if not holds:
            self.fail(reason)

    def _told(self) -> str:
        return "the call so far:\n" + "\n".join(self.transcript)

    def _says(self, messages: list[str]) -> None:
        self.wires["from_server"] += messages

    def _flow(self) -> None:
        for _ in range(100_000):
            ready = [name for name in DIRECTIONS if self.wires[name] and name not in self._held]
            if not ready:
                return
            self._deliver(ready[0])
        self.fail("too many round trips")

    def _deliver(self, direction: Direction) -> None:
        message = self.wires[direction].popleft()
        if direction == "to_server":
            if not self.provider_gone:
                self._says(self.server.receive(message, self.now_ms))
        elif direction == "to_carrier":
            self.wires["from_carrier"] += self.carrier.receive(message, self.now_ms)
        elif direction == "from_server":
            self._log("<", message)
            self._does(lambda s: (None, s.provider_received(message, self.now_ms)))
            if message.startswith('{"type":"response.done"'):
                self.done_seen.add(json.loads(message)["response"]["id"])
        else:
            self._log("<", message)
            self._does(lambda s: (None, s.transport_received(message, self.now_ms)))

    def _does(self, act: Callable[[Session], tuple[_T, list[do.Action]]]) -> _T:
        """One input, taken by the session and by a copy of it: both must do the same."""
        twin = self.session.copy()
        result, actions = act(self.session)
        _, again = act(twin)
        self._check(actions == again, f"a copy acts otherwise: {again}, not {actions}")
        self._check(self.session.key() == twin.key(), "a copy ends in another state")
        for action in actions:
            self._take(action)
        return result

    def _take(self, action: do.Action) -> None:
        match action:
            case do.ToProvider(data=data):
                self._written("to_server", data.decode())
            case do.ToTransport(data=data):
                self._written("to_carrier", data.decode())
            case do.Resolved(ref=ref):
                self._check(ref not in self.resolved, f"{ref} resolved twice: {action}")
                self.resolved[ref] = action
                self.transcript.append(f"            {ref} resolves {action.verdict}")
                if action.response is not None:
                    self.server_ids[ref] = action.response
                for outcome in action.items:
                    self.outcomes[outcome.item] = outcome
                if action.verdict != "completed":
                    self.silenced_ms.setdefault(ref, self.now_ms)
            case do.ItemSettled(outcome=outcome) | do.MemorySettled(outcome=outcome):
                self.outcomes[outcome.item] = outcome
                self.transcript.append(f"            {outcome}")
                self.others.append(action)
            case do.StateChanged():
                what = action.item or f"{action.ref} ({action.response})"
                self.transcript.append(f"            {what}: {action.event} → {action.state}")
                if action.response is not None:
                    self.server_ids[action.ref] = action.response
                self.others.append(action)
            case _:
                self.others.append(action)

    def _written(self, direction: Direction, message: str) -> None:
        self.wires[direction].append(message)
        fields = json.loads(message)
        if direction == "to_server":
            _official().validate_json(message)
        kind = fields.get("type") or fields["event"]
        if kind == "response.cancel":
            judge.judges_cancel(self, fields)
        self.sent_messages.append(fields)
        self._log(">", message)
        if kind in _CONTROL:
            self._unclaimed.append(
                " ".join((_CONTROL[kind][0], *_named(fields, _CONTROL[kind][1:])))
            )

    def _log(self, way: str, message: str) -> None:
        line = f"         {way} {_short(message)}"
        last = self.transcript[-1] if self.transcript else ""
        if last.split(" ×")[0] == line:  # Deltas and marks come in swarms.
            times = int(last.split(" ×")[1]) if " ×" in last else 1
            line = f"{line} ×{times + 1}"
            self.transcript.pop()
        self.transcript.append(line)


def _short(message: str) -> str:
    """A message as the transcript shows it: its kind and whom it is about."""
    try:
        fields = json.loads(message)
        kind = str(fields.get("type") or fields["event"])
    except (ValueError, AttributeError, KeyError, RecursionError):
        return repr(message[:80])
    if kind in ("media", "mark") or kind.endswith(".delta"):
        return f"{kind} {fields.get('item_id', '')}".rstrip()
    names = ("response_id", "item_id", "audio_end_ms", "event_id", "error", "response", "item")
    about = [json.dumps(fields[name])[:160] for name in names if fields.get(name) is not None]
    return " ".join((kind, *about))


_CONTROL = {
    "response.create": ("create", "event_id"),
    "response.cancel": ("cancel", "response_id"),
    "conversation.item.truncate": ("truncate", "item_id", "audio_end_ms"),
    "conversation.item.delete": ("delete", "item_id"),
    "clear": ("clear",),
}


def _named(fields: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [str(fields.get(name)) for name in names]


def audio_delta(response: str, item: str, audio: str) -> dict[str, object]:
    """A delta of speech that the server's model would not send; `audio` is base64."""
    ids = {"response_id": response, "item_id": item, "content_index": 0, "output_index": 0}
    return {"type": "response.output_audio.delta", "delta": audio, **ids}


@cache
def _official() -> TypeAdapter[Any]:
    return TypeAdapter(RealtimeClientEvent)
