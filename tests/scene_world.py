"""The world of a Scene: a session, two models, the ear, and four queues of messages between them.

What happens in it is the script's (`scene_call.py`). Each step is taken by the session and by a copy of it, and both
must do the same; all that the session wants done is noted here, and every message goes its way.
"""

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.adapter import ProviderAdapter
from bargein.runtime.session import Session, Settings
from bargein.simulator.ear import Ear

from .scene_peers import Message, audio_of, line

_T = TypeVar("_T")
Direction = Literal["to_server", "from_server", "to_carrier", "from_carrier"]
DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_carrier", "from_server", "from_carrier")


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
        self.clock = False
        """Marks do not come back: the clock settles, also the turn that the judge asks for."""
        self.next_turn = False
        """The call cannot answer another turn: somebody has left."""


class World(ABC):
    """See the module.

    `carrier_rules` are further arguments of the carrier's model. `adapter` is taken in place of the shipped one.
    """

    server: Any

    def __init__(
        self,
        engine: str,
        *,
        provider: str,
        carrier: str,
        settings: Settings | None,
        carrier_rules: Mapping[str, Any],
        adapter: ProviderAdapter | None = None,
    ) -> None:
        self.provider = adapter or adapters.provider(provider)
        self.transport = adapters.transport(carrier)
        self.audio = audio_of(provider, carrier)
        self.carrier, self._ordered = line(carrier, self.audio, carrier_rules)
        self.session = Session(self.provider, self.transport, settings, engine=engine)
        self.now_ms = 0
        self.transcript: list[str] = []
        self.wires: dict[Direction, deque[Message]] = {name: deque() for name in DIRECTIONS}
        self.forgives = Forgives()
        self.provider_gone = self.carrier_gone = False
        self.resolved: dict[str, do.Resolved] = {}
        self.outcomes: dict[str, do.ItemOutcome] = {}
        self.sent_messages: list[dict[str, Any]] = []
        self.sent_frames: list[bytes] = []
        """The agent's speech, where it travels bare."""
        self.others: list[do.Action] = []
        self.silenced_ms: dict[str, int] = {}
        """Our handle, or the id of a response the server made: since when nobody may hear it."""
        self.server_ids: dict[str, str] = {}
        self.refs: list[str] = []
        self._held: set[Direction] = set()
        self._unclaimed: list[str] = []

    @property
    def ear(self) -> Ear:
        """The caller's."""
        ear: Ear = self.carrier.ear
        return ear

    @abstractmethod
    def _written(self, direction: Direction, message: Message) -> None:
        """The session has written a message: put it on its way, and note what must be claimed."""

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

    def _says(self, messages: Sequence[Message]) -> None:
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
            self._hears_server(message)
        else:
            self._log("<", message)
            self._does(lambda s: (None, s.transport_received(message, self.now_ms)))

    def _hears_server(self, message: Message) -> None:
        self._does(lambda s: (None, s.provider_received(message, self.now_ms)))

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
            case do.ToProvider(data=data, audio=audio):
                bare = audio and self.provider.bare_audio
                self._written("to_server", data if bare else data.decode())
            case do.ToTransport(data=data, audio=audio):
                bare = audio and self.transport.bare_audio
                self.sent_frames += [data] * bare
                self._written("to_carrier", data if bare else data.decode())
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

    def _claims_clear(self, message: Message) -> None:
        """The carrier's own word for it is known to its model alone."""
        if self._ordered(message).what == "clear":
            self._unclaimed.append("clear")

    def _log(self, way: str, message: Message) -> None:
        line = f"         {way} {_short(message)}"
        last = self.transcript[-1] if self.transcript else ""
        if last.split(" ×")[0] == line:  # Deltas and marks come in swarms.
            times = int(last.split(" ×")[1]) if " ×" in last else 1
            line = f"{line} ×{times + 1}"
            self.transcript.pop()
        self.transcript.append(line)


def _short(message: Message) -> str:
    """A message as the transcript shows it: its kind and whom it is about."""
    if isinstance(message, bytes) and not message.startswith(b"{"):
        return "audio"
    try:
        fields = json.loads(message)
        kind = _kind(fields)
    except (ValueError, AttributeError, KeyError, RecursionError):
        return repr(message[:80])
    if kind in ("media", "mark") or kind.endswith((".delta", ".modelTurn", ".audioOutput")):
        return f"{kind} {fields.get('item_id', '')}".rstrip()
    about = [json.dumps(fields[name])[:160] for name in _ABOUT if fields.get(name) is not None]
    return " ".join((kind, *about))


_ABOUT = (
    "response_id", "item_id", "audio_end_ms", "event_id", "error", "response", "item",
    "state", "role", "text", "delta", "played_ms", "urgency",
)  # fmt: skip


def _kind(fields: dict[str, Any]) -> str:
    """By its own word for it, or by the names that lead into it."""
    for name in ("type", "event", "action"):
        if isinstance(fields.get(name), str):
            return str(fields[name])
    (name, inside), *_ = fields.items()
    return f"{name}.{'+'.join(inside)}" if isinstance(inside, dict) else str(name)
