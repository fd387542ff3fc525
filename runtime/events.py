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
    """The server's last word about a response; `status` is completed, cancelled, failed or incomplete."""

    response: str | None = None
    status: str | None = None
    reason: str | None = None
    code: str | None = None
    request: str | None = None
    conversation: str | None = None


# -- Provider: the caller, the session, and answers to us -------------------------------------------


class SpeechStarted(Event):
    """The provider's VAD hears the caller speak."""


class SpeechStopped(Event):
    """The provider's VAD hears the caller no more."""


class Configured(Event):
    """The session's settings as the server has them; None means: as the provider does by default."""

    interrupts_itself: bool | None = None
    vad: str | None = None


class Truncated(Event):
    """The server has cut an item."""

    item: str


class Deleted(Event):
    """The server has deleted an item."""

    item: str


class Error(Event):
    """The server refused something; `op` is the id of our message if the server names it."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    op: str | None = None


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
    """The vocabulary's word for an event class: `Created` is `created`, a transport's stream drops the prefix."""
    name = event.__name__
    if side == "transport" and name.startswith("Stream"):
        name = name.removeprefix("Stream")
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
