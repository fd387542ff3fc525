"""What happened on a wire, in one vocabulary for all providers and carriers.

Adapters decode messages into these; `Session` reacts to them. Counterpart: `actions.py`, what is to be done.
A field that is None was not in the message; providers without ids leave `response` and `item` None and the
session gives them an identity by turn. Field names and kinds are those of `statemachines/vocabulary.py`.
"""

from msgspec import Struct


class Event(Struct, gc=False):
    """Anything a peer said. Events carry no time: the session is told the time beside them."""


# -- Provider: the life of a response ---------------------------------------------------------------


class Created(Event):
    """The server has made a response; `request` is our id for it when the server echoes one."""

    response: str | None = None
    request: str | None = None
    conversation: str | None = None


class Announced(Event):
    """An output item of a response exists; `kind` as the provider says it (`message`, `function_call`)."""

    response: str | None = None
    item: str | None = None
    kind: str | None = None


class Audio(Event):
    """A delta of speech: raw bytes in the session's audio format, already out of base64."""

    audio: bytes
    response: str | None = None
    item: str | None = None
    part: int | None = None


class Transcript(Event):
    """A delta of the words that are being spoken. It runs ahead of what the caller hears."""

    text: str
    response: str | None = None
    item: str | None = None
    part: int | None = None


class Text(Event):
    """A delta of written output: the application gets it, the caller never hears it."""

    text: str
    response: str | None = None
    item: str | None = None
    part: int | None = None


class Call(Event):
    """The model asks for a function; `arguments` is JSON text as the model wrote it."""

    call: str
    arguments: str
    name: str | None = None
    response: str | None = None
    item: str | None = None


class Ended(Event):
    """An item is whole, or will not grow any more."""

    response: str | None = None
    item: str | None = None


class Finished(Event):
    """The server's last word about a response; `status` is completed, cancelled, failed or incomplete.

    `item` is the item with whose end it comes, where nothing names the response.
    """

    response: str | None = None
    status: str | None = None
    reason: str | None = None
    code: str | None = None
    request: str | None = None
    conversation: str | None = None
    item: str | None = None


# -- Provider: the caller, the session, and answers to us -------------------------------------------


class Ready(Event):
    """The server has taken its settings: from here on it takes requests and the caller's voice."""


class SpeechStarted(Event):
    """The provider's VAD hears the caller speak."""


class SpeechStopped(Event):
    """The provider's VAD hears the caller no more."""


class Interrupted(Event):
    """The server has stopped speaking because the caller began to: what it makes is over, what still plays too."""

    response: str | None = None


class Corrected(Event):
    """The words of the response cut short that the server takes for heard, by its own reckoning."""

    text: str
    response: str | None = None


class Configured(Event):
    """The session's settings as the server has them; None means: as the provider does by default.

    `manual` says that we tell the server when the caller speaks, and it does not listen for it.
    """

    interrupts_itself: bool | None = None
    vad: str | None = None
    manual: bool | None = None


class Closing(Event):
    """The server will close the connection; `left` is how much time is left, in the server's words."""

    left: str | None = None


class Ping(Event):
    """The server wants `ping` back."""

    ping: object = None


class Truncated(Event):
    """The server has cut an item; `heard_ms`, from its first millisecond, is where."""

    item: str
    heard_ms: int | None = None


class Deleted(Event):
    """The server has deleted an item."""

    item: str


class Error(Event):
    """The server refused something; `op` is the id of our message if the server names it."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    op: str | None = None


# -- Provider: what its server plays by itself --------------------------------------------------------


class PlaybackStarted(Event):
    """The server begins to play speech of a response."""

    response: str | None = None


class PlaybackStopped(Event):
    """The server has played all it had of a response."""

    response: str | None = None


class PlaybackCleared(Event):
    """The server has thrown away what it had not played: we told it to, or the caller interrupted."""

    response: str | None = None


# -- Transport --------------------------------------------------------------------------------------


class Connected(Event):
    """The carrier's socket is open; no stream yet."""


class StreamStarted(Event):
    """Audio may flow; `stream` is the id to be put into what we send, `call` the carrier's call id."""

    stream: str | None = None
    call: str | None = None


class CallerAudio(Event):
    """A frame of what the caller says: raw bytes in the transport's audio format."""

    audio: bytes
    track: str | None = None


class Marked(Event):
    """The carrier returns a mark. Whether the audio before it was played depends on the carrier."""

    mark: str


class MarkCleared(Event):
    """The carrier returns a mark and says that a clear took the audio before it."""

    mark: str


class Cleared(Event):
    """The carrier has emptied its buffer."""


class Played(Event):
    """The player reports how much of an item has sounded, counted from the item's first millisecond it was sent.

    `generation` is the count of clears before the audio it speaks of.
    """

    item: str
    played_ms: int
    generation: int | None = None


class TransportError(Event):
    """The carrier refused something."""

    code: str | None = None
    message: str | None = None


class Dtmf(Event):
    """The caller pressed a key."""

    digit: str


class StreamEnded(Event):
    """The carrier says that the stream is over."""


# -- Either side ------------------------------------------------------------------------------------


class Unknown(Event):
    """A message the table gives no meaning to. It passes to the application untouched."""

    kind: str


class Malformed(Event):
    """A message that breaks the protocol: not JSON, no kind, or a field missing or of the wrong type."""

    reason: str
    kind: str | None = None


def event_name(event: type[Event], side: str) -> str:
    """The vocabulary's word for an event class: `Created` is `created`; a transport's own drop their prefix."""
    name = event.__name__
    if side == "transport":
        name = name.removeprefix("Stream").removeprefix("Transport")
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
