"""What the session asks of an adapter. Generated modules in `adapters/` fill these two structs.

A hook returns the wire messages to be written, in order: an empty tuple means that nothing is to be said (a guard
held it back, or the provider has no verb for it). Wire messages are bytes: JSON text in UTF-8, or a binary frame.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from .events import Event
from .machine import Machine

Wire = tuple[bytes, ...]


class ResponseFacts(Protocol):
    """What a response hook may ask about its response."""

    @property
    def server_id(self) -> str | None:
        """The provider's id of the response."""
        ...

    @property
    def server_cancels(self) -> bool:
        """The server cancels this response by itself, because it heard the caller speak."""
        ...

    @property
    def manual_turns(self) -> bool:
        """The session was told that we say when the caller speaks; the server does not listen for it."""
        ...


class ItemFacts(Protocol):
    """What a playback hook may ask about its item."""

    @property
    def item_id(self) -> str:
        """The provider's id of the item."""
        ...

    @property
    def response_id(self) -> str | None:
        """The provider's id of the response the item belongs to."""
        ...

    @property
    def part(self) -> int:
        """The content index of the item's audio."""
        ...

    @property
    def cut_ms(self) -> int:
        """Where to cut: what was heard, in whole milliseconds of the item's own audio, never more than it has."""
        ...

    @property
    def has_audio(self) -> bool:
        """The server has sent audio of the item."""
        ...

    @property
    def text_only(self) -> bool:
        """Text of the item was handed to the application, and it has no audio."""
        ...


class Voice(Struct, frozen=True):
    """How one direction of audio is encoded: `bytes_per_ms` turns bytes into milliseconds."""

    rate_hz: int
    bytes_per_ms: int


class AudioFormat(Struct, frozen=True):
    """An encoding a peer speaks: `bytes_per_ms` turns bytes of the agent's speech into milliseconds.

    `caller` is that of the caller's voice where it differs. `silence` is the byte of which silence is made. `asks`
    are the session settings by which a provider is asked for it, in the provider's own shape.
    """

    name: str
    rate_hz: int
    bytes_per_ms: int
    caller: Voice | None = None
    silence: int = 0
    asks: Mapping[str, Any] = {}

    @property
    def heard(self) -> Voice:
        """The encoding of the caller's voice."""
        return self.caller or Voice(self.rate_hz, self.bytes_per_ms)


class RequestFields(Struct, frozen=True):
    """What an application may say when it asks for a response; None is left out of the message."""

    conversation: str | None = None
    instructions: str | None = None
    input: Any = None
    tools: Any = None

    @property
    def instructed(self) -> bool:
        """The application said what the response should be about."""
        return self.instructions is not None or self.input is not None

    @property
    def text(self) -> str:
        """The instructions, as the text that some providers cannot do without."""
        return self.instructions or ""


class Connect(Struct, frozen=True):
    """How a provider is reached: where, and how the key is shown. In `headers` `$key` stands for the key."""

    url: str
    key: str | None = None
    headers: Mapping[str, str] = {}


class Answer(Struct, frozen=True):
    """What a carrier's webhook is answered with, so that the call comes to us; `$url` stands for our websocket."""

    type: str
    body: str


class ErrorRule(Struct, frozen=True):
    """What one error code means: benign, create_refused, truncate_refused, gone or fatal."""

    means: str
    param: str | None = None
    says: str | None = None


def _nothing(op: str, response: ResponseFacts) -> Wire:
    """Who does not play has nothing to throw away."""
    return ()


class ProviderAdapter(Struct, frozen=True):
    """One provider: its tables, its words, its messages."""

    name: str
    abi: int
    digest: str
    response: Machine
    playback: Machine
    can: dict[str, str]
    timeouts_ms: dict[str, int]
    audio: dict[str, AudioFormat]
    errors: dict[str, ErrorRule]
    decode: Callable[[str | bytes], tuple[Event, ...]]
    kind: Callable[[str | bytes], str | None]
    configure: Callable[[str, Any], Wire]
    listen: Callable[[bytes], Wire]
    request: Callable[[str, RequestFields], Wire]
    cancel: Callable[[str, ResponseFacts], Wire]
    truncate: Callable[[str, ItemFacts], Wire]
    forget: Callable[[str, ItemFacts], Wire]
    pong: Callable[[Any], Wire]
    hush: Callable[[str, ResponseFacts], Wire] = _nothing
    after_finished: frozenset[str] = frozenset()
    bare_audio: bool = False
    """Audio travels as binary frames, without a message around it."""
    numbered: bool = False
    """Responses are named by numbers that grow, so an interruption is over all that came before."""
    subprotocol: str | None = None
    connect: Connect | None = None


class TransportAdapter(Struct, frozen=True):
    """One carrier: its words, its messages.

    Every hook takes the stream id first, None before the stream started, and last the generation: how many clears
    came before. `play` and `mark` also take the item that is being said.
    """

    name: str
    abi: int
    digest: str
    can: dict[str, str]
    timeouts_ms: dict[str, int]
    audio: dict[str, AudioFormat]
    decode: Callable[[str | bytes], tuple[Event, ...]]
    kind: Callable[[str | bytes], str | None]
    play: Callable[[str | None, bytes, str, int], Wire]
    mark: Callable[[str | None, str, str, int], Wire]
    clear: Callable[[str | None, int], Wire]
    bare_audio: bool = False
    """Audio travels as binary frames, without a message around it."""
    pace_ms: Mapping[str, int] = {}
    """`frame_ms` and `ahead_ms`, as far as the carrier has such limits."""
    subprotocol: str | None = None
    answer: Answer | None = None


ABI = 2
"""Raised when a generated adapter of an older version would no longer fit. The session refuses any other number."""
