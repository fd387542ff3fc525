"""What is to be done: the session's answers, in order. Counterpart: `events.py`, what happened.

Only a driver carries these out. Two go to a wire; the others tell the application, traces and problems included,
so that a test can assert a log line as the consequence of an event.
"""

from typing import Literal

from msgspec import Struct

Side = Literal["provider", "transport"]
Verdict = Literal["completed", "interrupted", "timed_out", "failed"]
Memory = Literal["exact", "pending", "diverged"]
Evidence = Literal["marks", "report", "clock", "server"]


class Action(Struct, gc=False):
    """Anything the session wants done."""


class ToProvider(Action):
    """Write this message to the provider. `audio` says that it carries the caller's voice."""

    data: bytes
    audio: bool = False


class ToTransport(Action):
    """Write this message to the carrier. `audio` says that it carries the agent's voice."""

    data: bytes
    audio: bool = False


class ItemOutcome(Struct, frozen=True, gc=False):
    """What became of one message item.

    All times count from the item's own first millisecond. `state` is one of the playback machine's; `memory` says
    whether the server remembers just what was heard (`pending`: asked, not yet confirmed). `evidence` is what
    `heard_ms` rests on: marks the carrier has returned, reports of the player, nothing but the clock, or the word of
    the server, which plays by itself. Then none of it passes here: `received_ms` and `sent_ms` are 0, and `heard_ms`
    is known of what was cut, not of what is `full`.
    """

    item: str
    state: str
    received_ms: int
    sent_ms: int
    heard_ms: int
    memory: Memory = "exact"
    reason: str | None = None
    evidence: Evidence = "marks"


class Resolved(Action):
    """The handle `ref` is resolved, this once: how it ended, why, and what was heard of each item."""

    ref: str
    verdict: Verdict
    code: str | None = None
    items: tuple[ItemOutcome, ...] = ()
    response: str | None = None


class ItemSettled(Action):
    """Nothing more of the item will be heard."""

    ref: str
    outcome: ItemOutcome


class MemorySettled(Action):
    """The server has cut or deleted the item as asked (`exact`), or it has not (`diverged`, with the reason)."""

    ref: str
    outcome: ItemOutcome


class StateChanged(Action):
    """A response (`item` is None) or an item has moved; for views, logs and timelines."""

    ref: str
    event: str
    state: str
    response: str | None = None
    item: str | None = None


class TextArrived(Action):
    """Words of a response: written output, or (`spoken`) the transcript of speech, ahead of what is heard."""

    ref: str
    item: str
    text: str
    spoken: bool


class Corrected(Action):
    """The words the server takes for heard of a response that was cut short, by its own reckoning.

    `ref` is the response the server names, or the one the caller cut short last; None if that is not known.
    """

    ref: str | None
    text: str
    response: str | None = None


class CallArrived(Action):
    """The model asks the application to run a function; answer through `Session.tell`."""

    ref: str
    item: str
    call: str
    name: str | None
    arguments: str


class CallerHeard(Action):
    """The provider's VAD: the caller has begun (or, `speaking` False, stopped) to speak."""

    speaking: bool


class KeyPressed(Action):
    """The caller pressed a key."""

    digit: str


class StreamOpened(Action):
    """The carrier's stream is open; `call` is the carrier's id of the call."""

    stream: str | None
    call: str | None


class Passed(Action):
    """A message the tables give no meaning to, untouched."""

    side: Side
    kind: str
    data: str | bytes


class Problem(Action):
    """Something went wrong and was survived. `code` is stable; `fatal` means that no retry will heal it."""

    side: Side
    code: str
    message: str
    fatal: bool = False


class Fenced(Action):
    """Content that nobody may hear or read was dropped. Reported once per response and kind."""

    response: str
    kind: str
