"""One moment of the explored call, and what may be bounded and left out in searching it."""

from typing import Any, NamedTuple

from msgspec import Struct

from .peers import Message

LOST = ""
"""On a link to us: the connection is gone."""


class Limits(Struct, frozen=True, kw_only=True):
    """How often each thing may happen in one call. What the server may do by itself is bounded by its model."""

    requests: int = 2
    interrupts: int = 2
    """Interrupts of the application: of everything, or of one request while others live."""
    speech_turns: int = 1
    """How often the caller may begin to speak, as the server's VAD hears it."""
    lag: int = 3
    """Messages under way from the server beyond which it begins nothing by itself; it still answers.

    Where it binds, `Reductions.order` searches less than a search without it: the server may then not run ahead
    before it takes our message. The same holds of `backlog_ms`."""
    backlog_ms: int = 300
    """Speech delivered and not yet confirmed as heard, from which on the server begins no more by itself."""
    deadlines: int = 1
    """Timers that fire although something else could still happen. When nothing else can, all may."""
    late_marks: bool = True
    """Whether such a timer may be an item's, which was played and whose mark is still on its way."""
    beside: int = 0
    """How many of the requests may be out of band."""
    scoped: bool = True
    """Whether the application may interrupt one request alone."""
    lost: int = 0
    """Messages of the server, other than audio, that never come."""
    repeated: int = 0
    """Messages of the server, other than audio, that come twice."""
    silences: int = 0
    """Whether the server may fall silent for good."""
    losses: int = 0
    """Whether the connection to the server may break."""
    hangups: int = 0
    """Whether the caller may hang up."""


class Reductions(Struct, frozen=True, kw_only=True):
    """Interleavings that need not be searched because others stand for them. `tests/test_reductions.py` compares.

    * `order`: parties share nothing but links, so moves of different parties commute unless one sends what the other
      takes. A party whose incoming links all hold something cannot be influenced by the others' next moves: it moves
      alone (a persistent set). And the server and the carrier act only when the session needs their message or when
      a message of ours is about to change what they do.
    * `eager`: audio and marks reach the carrier at once unless a clear is under way before them. Playing later is
      still possible, so arriving later adds nothing.
    * `forget`: a response that is over everywhere (for the session, the server, the carrier, on the links and for the
      watch) is judged and taken out of the state. Nobody will speak of it again.
    * `plain`: messages of the server that cannot change a session are not carried.
    * `inert`: a message that is about to arrive and would change nothing arrives at once. It could change something
      later only if the session learned to care about it in between, and it only ever stops caring.
    * `budget`: a state is not searched again with less left of `Limits`; it could do nothing that it cannot do with
      more.
    """

    order: bool = True
    eager: bool = True
    forget: bool = True
    plain: bool = True
    inert: bool = True
    budget: bool = True


_ALL_FALSE = dict.fromkeys(Reductions.__struct_fields__, False)
UNREDUCED = Reductions(**_ALL_FALSE)


class Left(NamedTuple):
    """What is left of `Limits`."""

    requests: int
    interrupts: int
    speech_turns: int
    deadlines: int
    beside: int
    lost: int
    repeated: int
    silences: int
    losses: int
    hangups: int


class State(NamedTuple):
    """One moment of the call."""

    session: int
    server: int
    carrier: int
    watch: int
    to_server: tuple[Message, ...]
    from_server: tuple[Message, ...]
    to_carrier: tuple[Message, ...]
    from_carrier: tuple[Message, ...]
    left: Left
    silent: bool = False
    """The server says nothing any more."""
    hung_up: bool = False
    """The caller has hung up."""


class Act(NamedTuple):
    """What one party does in a move: `what` is a method of `World` without its `_does_`."""

    what: str
    about: Any = None


Move = tuple[Act, ...]
"""One step of the search: one act, or a choice of the server or the carrier and the arrival of what it says."""
