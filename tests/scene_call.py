"""What every Scene is told in: the verbs of its script, and the claims that stand between them.

Messages flow at once; a Scene that wants a race holds a direction back (`call.held`). Time passes only where the
script says so (`hears_ms`, `waits_ms`). What the server does is told by the kinds of Scene that stand on this one:
`scene.py` (servers that name what they say) and `scene_turns.py` (servers that answer turn after turn).

Every control message the session writes (create, cancel, truncate, delete, clear) must be claimed by `call.does`
before the next step; one that nobody claimed fails the Scene. When the script is over the world is brought to rest
and judged (`scene_judge.py`) by what the ear heard and the server remembers, never by what the library thinks of
itself. A failure prints the transcript.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pytest

from bargein.runtime import actions as do
from bargein.runtime.lifecycle import Interrupted
from bargein.runtime.routing import Cause
from bargein.simulator.openai import Remembered
from bargein.simulator.voice import caller_speech

from . import scene_judge as judge
from .scene_peers import Message
from .scene_world import DIRECTIONS, Direction, World

both_engines = pytest.mark.parametrize("engine", ["table", "transitions"])


class Call(World):
    """See the module. Use as a context manager; the end of the block judges."""

    # -- what the kinds of Scenes tell ----------------------------------------------------------------

    @abstractmethod
    def winds_down(self) -> None:
        """Whatever the server still owes is paid."""

    @abstractmethod
    def asks_again(self) -> None:
        """One more turn: it must be answered and heard (I12)."""

    @abstractmethod
    def outcome_about(self, remembered: Remembered) -> do.ItemOutcome | None:
        """What the session says became of something the server remembers; None if it says nothing."""

    @abstractmethod
    def voices_of(self, item: str) -> set[int]:
        """The voices that speak in one of the session's items."""

    @abstractmethod
    def voices_of_response(self, ref: str) -> set[int]:
        """The voices of what was asked for by a handle, or of a response of the server's own."""

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

    def caller_stops(self) -> None:
        """The server's VAD hears the caller no more."""
        self._next("caller   stops")
        self._says(self.server.hears_speech_stop(self.now_ms))
        self._flow()

    def server_does(self, act: Callable[[Any], Sequence[Message]]) -> None:
        """Anything else the server's model can do."""
        self._next("server   does")
        self._says(act(self.server))
        self._flow()

    def server_says(self, *messages: Message | Mapping[str, Any]) -> None:
        """The server says what its model would not."""
        self._next("server   says")
        self._says([json.dumps(m) if isinstance(m, Mapping) else m for m in messages])
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

    def carrier_says(self, *messages: Message | Mapping[str, Any]) -> None:
        """The carrier says what its model would not."""
        self._next("carrier  says")
        self.wires["from_carrier"] += [
            json.dumps(m) if isinstance(m, Mapping) else m for m in messages
        ]
        self._flow()

    def carrier_does(self, act: Callable[[Any], Sequence[Message]]) -> None:
        """Anything else the carrier's model can do."""
        self._next("carrier  does")
        self.wires["from_carrier"] += act(self.carrier)
        self._flow()

    def caller_says_ms(self, ms: int) -> None:
        """Frames of the caller's voice."""
        self._next(f"caller   says {ms} ms")
        speech = caller_speech(ms, self.carrier.caller_bytes_per_ms)
        self.wires["from_carrier"] += self.carrier.caller_says(speech, self.now_ms)
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
        return sum(self.ear.heard_ms(voice) for voice in self.voices_of(item))

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """All messages of that type or event written so far, to either wire."""
        return [m for m in self.sent_messages if kind in (m.get("type"), m.get("event"))]

    def told(self, kind: type[do.Action]) -> list[Any]:
        """All actions of that kind for the application so far."""
        return [action for action in self.others if type(action) is kind]
