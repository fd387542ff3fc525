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


class AudioFormat(Struct, frozen=True):
    """An encoding a peer speaks: `bytes_per_ms` turns bytes into milliseconds.

    `asks` are the session settings by which a provider is asked for it, in the provider's own shape.
    """

    name: str
    rate_hz: int
    bytes_per_ms: int
    asks: Mapping[str, Any] = {}


class RequestFields(Struct, frozen=True):
    """What an application may say when it asks for a response; None is left out of the message."""

    conversation: str | None = None
    instructions: str | None = None
    input: Any = None
    tools: Any = None


class ErrorRule(Struct, frozen=True):
    """What one error code means: benign, create_refused, truncate_refused, gone or fatal."""

    means: str
    param: str | None = None
    says: str | None = None


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
    after_finished: frozenset[str] = frozenset()


class TransportAdapter(Struct, frozen=True):
    """One carrier: its words, its messages. Every hook takes the stream id first, None before the stream started."""

    name: str
    abi: int
    digest: str
    can: dict[str, str]
    timeouts_ms: dict[str, int]
    audio: dict[str, AudioFormat]
    decode: Callable[[str | bytes], tuple[Event, ...]]
    kind: Callable[[str | bytes], str | None]
    play: Callable[[str | None, bytes], Wire]
    mark: Callable[[str | None, str], Wire]
    clear: Callable[[str | None], Wire]


ABI = 1
"""Raised when a generated adapter of an older version would no longer fit. The session refuses any other number."""
