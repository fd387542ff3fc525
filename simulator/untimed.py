"""The session as the explorer sees it: a machine without a clock, each of whose steps is taken only once.

Every step runs the shipped session through real encode and decode. What it did is remembered under the state it was
in and the input it had, so that a state met again in another interleaving costs a look-up. Two sessions with equal
keys behave alike from then on; that is the session's own promise (`Session.key`).

Of an item that is settled the session is left to know that it was heard, not how much: what it said of it was judged.
Of a response whose handle is resolved it need not know how it ended.
That something was fenced is reported again and again here, not once: nothing judges these reports.

Time is left out: the clock stands at 0, every armed timer is due "some day", and any armed timer may be made to fire
at any moment, in any order. That is more than a clock allows, so nothing a clock allows is missed.
"""

from collections import deque
from typing import Any, Literal, NamedTuple

from bargein.runtime.actions import Action, ToProvider, ToTransport
from bargein.runtime.lifecycle import Operation
from bargein.runtime.machine import Engine, Machine, Subject
from bargein.runtime.routing import Cause
from bargein.runtime.session import Session

_SOME_DAY_MS = 1

Timer = tuple[Literal["response", "operation", "item"], str]
"""What waits for time to pass, and for whom: a response's deadline (a request's by its handle, the server's own by
its id), an operation's answer, an item's clock. Where the server gives no names, handles stand for them:
`HANDLE`, `HANDLE:ITEM`."""

RowId = tuple[str, str, str, int]
"""(machine, state, event, which of the cell's rows)."""


Written = tuple[Literal["to_server", "to_carrier"], str | bytes]
"""A message of the session, and the link it goes on."""


class Input(NamedTuple):
    """One thing that can happen to a session."""

    what: Literal[
        "request",
        "interrupt",
        "from_server",
        "from_carrier",
        "deadline",
        "provider_lost",
        "transport_lost",
    ]
    about: str | bytes = ""
    """The wire message; the scope of an interrupt (empty: all); the one a timer is armed for."""
    how: str = ""
    """`beside` of a request; the cause of an interrupt; the kind of a timer."""


class Step(NamedTuple):
    """What a session did on one input: the state it is in after it, its actions in order, the rows that fired."""

    after: int
    actions: tuple[Action, ...]
    rows: tuple[RowId, ...]
    ref: str = ""
    """The handle of a request."""


class _RecordingEngine:
    """An engine that notes which rows it fires."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.rows: list[RowId] = []
        self._engine = engine

    def fire(self, machine: Machine, subject: Subject, event: str) -> tuple[str, ...]:
        """See `Engine.fire`."""
        state = subject.state
        for at, row in enumerate(machine.cells[state][event]):
            if row.guard is None or getattr(subject, row.guard):
                self.rows.append((machine.name, state, event, at))
                break
        return self._engine.fire(machine, subject, event)


class UntimedSession:
    """All states a session has been found in, and every step it took between them."""

    def __init__(self, session: Session) -> None:
        self._engine = _RecordingEngine(session.engine)
        session.engine = self._engine
        session.playout.checked = False  # By a clock, which there is none.
        self.sessions: list[Session] = []
        self.steps: dict[tuple[int, Input], Step] = {}
        self._ids: dict[Any, int] = {}
        self._timers: dict[int, tuple[Timer, ...]] = {}
        self._known: dict[int, frozenset[str]] = {}
        self._calm: dict[tuple[int, bool, bool, frozenset[str]], int] = {}
        self._recounted: dict[int, int] = {}
        self._renewed: dict[int, int] = {}
        self._reports = session.transport.can["heard"] == "report"
        can = session.provider.can
        self._nameless = can["identifies"] != "item"
        self._by_turns = can["identifies"] == "turn"
        self._says_who = can["correlates"] == "order"
        self._bare = session.provider.bare_audio, session.transport.bare_audio
        self.start = self._intern(session)

    def step(self, at: int, given: Input) -> Step:
        """What the session in state `at` does on `given`."""
        found = self.steps.get((at, given))
        if found is None:
            found = self.steps[at, given] = self._take(at, given)
        return found

    def timers(self, at: int) -> tuple[Timer, ...]:
        """The timers armed in state `at`."""
        found = self._timers.get(at)
        if found is None:
            session = self.sessions[at]
            armed: list[Timer] = [
                ("response", each.ref if each.own or self._nameless else each.server_id or each.ref)
                for each in session.responses.values()
                if each.deadline_ms is not None
                and not (each.state == "requested" and each.written and session.is_behind(each))
            ]
            armed += [("operation", op) for op in session.operations]
            if session.playout.open:
                armed += [
                    ("item", f"{item.ref}:{item.item_id}" if self._nameless else item.item_id)
                    for item in session.playout.queue
                    if item.complete and not item.held and item.received_bytes
                ]
            found = self._timers[at] = tuple(armed)
        return found

    def known(self, at: int) -> frozenset[str]:
        """Handles, responses and items of which the session still keeps something in state `at`."""
        found = self._known.get(at)
        if found is None:
            session = self.sessions[at]
            found = self._known[at] = frozenset(
                [*session.responses, *session.by_server, *session.items]
            )
        return found

    def left_over(self, at: int, tombstones: set[str]) -> list[str]:
        """What is not empty in state `at` although nothing goes on any more.

        `tombstones` are handles whose last word never came: these are kept until the connection ends.
        """
        session = self.sessions[at]
        kept: dict[str, Any] = {
            "responses": session.responses.keys() - tombstones,
            "names of responses": [
                r for r in session.by_server.values() if r.ref not in tombstones
            ],
            "items": [
                i for i in session.items.values() if i.ref not in tombstones or not i.settled
            ],
            "unanswered operations": session.operations,
            "held requests": session.gate,
            "the playout queue": session.playout.queue,
            "marks": session.playout.marks,
        }
        return [name for name, value in kept.items() if value]

    def given_up(self, at: int) -> set[str]:
        """Handles of responses in state `at` that are resolved and whose last word has not come."""
        living = self.sessions[at].responses.values()
        return {each.ref for each in living if each.verdict is not None and not each.last_word}

    def calm(
        self, at: int, *, ops_out: bool, refs_out: bool, over: frozenset[str] = frozenset()
    ) -> int:
        """State `at` where names that nobody holds may be given again.

        `ops_out` and `refs_out` say that names of operations, and of requests that are over, are still known to
        others; `over` are server ids that nobody will speak of again.
        """
        key = (at, ops_out, refs_out, over)
        found = self._calm.get(key)
        if found is None:
            found = self._calm[key] = self._calmed(*key)
        return found

    def _calmed(self, at: int, ops_out: bool, refs_out: bool, over: frozenset[str]) -> int:
        session = self.sessions[at]
        operations_made = session.operations_made
        if not ops_out and not session.operations:
            operations_made = 0
        names = list(map(_numbered, session.responses))
        requests_made, unsolicited = session.requests_made, session.unsolicited
        if not refs_out:
            requests_made = max((int(n) for head, _, n in names if head != "auto"), default=0)
            unsolicited = max((int(n) for head, _, n in names if head == "auto"), default=0)
        retired = {each: False for each in session.retired if each not in over}
        turns_made = session.turns_made
        if self._by_turns and not (self._reports and refs_out):
            # Names of turns are the session's own: nobody but a carrier that reports holds one.
            open_turns = [
                int(n) for head, _, n in map(_numbered, session.by_server) if head == "turn"
            ]
            retired = {name: late for name, late in retired.items() if _numbered(name)[0] != "turn"}
            turns_made = max(open_turns, default=0)
        stopped_number = session.stopped_number
        if not refs_out:  # The server counts from those it still knows.
            known = [int(name) for name in session.by_server if name.isdigit()]
            stopped_number = min(stopped_number, max(known, default=0))
        if (
            operations_made == session.operations_made
            and requests_made == session.requests_made
            and unsolicited == session.unsolicited
            and retired == session.retired
            and turns_made == session.turns_made
            and stopped_number == session.stopped_number
        ):
            return at
        session = session.copy()
        session.operations_made, session.retired = operations_made, retired
        session.turns_made, session.stopped_number = turns_made, stopped_number
        session.requests_made, session.unsolicited = requests_made, unsolicited
        return self._intern(session)

    def marks(self, at: int) -> tuple[str, ...]:
        """The marks that are out in state `at`."""
        return tuple([name for name, _, _ in self.sessions[at].playout.marks])

    def counted(self, at: int) -> tuple[str, ...]:
        """The names that as many marks would have, were they the first."""
        playout = self.sessions[at].playout
        return tuple([f"{playout.prefix}{n}" for n in range(1, len(playout.marks) + 1)])

    def generation(self, at: int) -> int:
        """How many clears came before what is sent next in state `at`, where the carrier counts them too."""
        return self.sessions[at].playout.generation if self._reports else 0

    def renews(self, at: int) -> int:
        """State `at` in its first generation. The others who count must follow."""
        found = self._renewed.get(at)
        if found is None:
            session = self.sessions[at].copy()
            session.playout.generation = 0
            found = self._renewed[at] = self._intern(session)
        return found

    def recounts(self, at: int) -> int:
        """State `at` with its marks counted from the first again. The others who hold them must follow."""
        found = self._recounted.get(at)
        if found is None:
            session, names = self.sessions[at], self.counted(at)
            if names == self.marks(at) and session.playout.marks_made == len(names):
                found = at
            else:
                session = session.copy()
                playout = session.playout
                playout.marks = deque(
                    [(name, *mark[1:]) for name, mark in zip(names, playout.marks, strict=True)]
                )
                playout.marks_made = len(names)
                found = self._intern(session)
            self._recounted[at] = found
        return found

    def _take(self, at: int, given: Input) -> Step:
        session = self.sessions[at].copy()
        self._engine.rows.clear()
        ref = ""
        match given.what:
            case "request":
                ref, actions = session.request(
                    0, instructions=self._words(session), beside=given.how == "beside"
                )
            case "interrupt":
                cause: Any = given.how
                _, actions = session.interrupt(0, str(given.about) or None, cause=cause)
            case "from_server":
                actions = session.provider_received(given.about, 0)
            case "from_carrier":
                actions = session.transport_received(given.about, 0)
            case "deadline":
                actions = self._fire(session, given.how, str(given.about))
            case "provider_lost":
                actions = session.provider_lost(0, "gone")
            case "transport_lost":
                actions = session.transport_lost(0, "gone")
        return Step(self._intern(session), tuple(actions), tuple(self._engine.rows), ref)

    def written(self, action: Action) -> Written | None:
        """The wire message an action puts on a wire; None for what is told to the application."""
        if type(action) is ToProvider:
            bare = action.audio and self._bare[0]
            return "to_server", action.data if bare else action.data.decode()
        if type(action) is ToTransport:
            bare = action.audio and self._bare[1]
            return "to_carrier", action.data if bare else action.data.decode()
        return None

    def _words(self, session: Session) -> str | None:
        """What a request says, so that the other side can tell which one it answers: its handle."""
        return f"{session.prefix}req_{session.requests_made + 1}" if self._says_who else None

    def _fire(self, session: Session, kind: str, name: str) -> list[Action]:
        if kind == "response":
            response = session.responses.get(name) or session.by_server[name]
            response.deadline_ms = 0
            response.seen_ms = -session.times["stalled_ms"]
        elif kind == "operation":
            asked = session.operations[name]
            session.operations[name] = Operation(asked.kind, asked.item_id, 0)
        else:
            item = session.items[name.partition(":")[2] if self._nameless else name]
            item.clock_end_ms = -session.times["overdue_ms"]
        return session.advance(0)

    def _intern(self, session: Session) -> int:
        for response in session.responses.values():
            response.seen_ms = 0
            response.fenced_kinds = frozenset()
            if response.verdict is not None:
                response.status = response.code = None
            if response.deadline_ms is not None:
                response.deadline_ms = _SOME_DAY_MS
        for op, asked in session.operations.items():
            if asked.deadline_ms != _SOME_DAY_MS:
                session.operations[op] = Operation(asked.kind, asked.item_id, _SOME_DAY_MS)
        for item in session.items.values():
            item.clock_end_ms = 0
            if item.settled and item.received_bytes:
                least = item.bytes_per_ms
                whose = session.responses.get(item.ref)
                if item.memory != "pending" and (whose is None or whose.last_word):
                    item.heard_bytes, item.cut_ms = min(item.heard_bytes, least), 0
                heard = max(item.heard_bytes, least)
                item.received_bytes = item.sent_bytes = item.marked_bytes = heard
        session.playout.clock_end_ms = 0
        session.retired = dict.fromkeys(session.retired, False)
        key = (session.key(), _audio_of(session) if self._nameless else None)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.sessions)
            self.sessions.append(session)
        return found


def _audio_of(session: Session) -> tuple[bytes, ...]:
    """The audio it may still send. An item's name says whose it is only where the server gives the names."""
    parts = (part for item in session.items.values() for part in (*item.held, *item.at_carrier))
    return tuple([audio for _, audio in parts])


def _numbered(name: str) -> tuple[str, str, str]:
    return name.rpartition("_")


__all__ = ["Cause", "Input", "RowId", "Step", "Timer", "UntimedSession", "Written"]
