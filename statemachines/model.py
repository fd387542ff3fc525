"""What a table is: one msgspec type per kind of file, as it is spelled in YAML.

Three kinds: a `Machine` (shared by all providers), a `Provider` (how one provider speaks the machine's intents
and how its messages become events) and a `Transport` (the same for a playback carrier). The JSON Schema that
editors use is generated from these types, and the loader accepts exactly what they accept.

`is`, `if` and `from` are Python keywords; their fields end in an underscore here and nowhere else.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Sentence = Annotated[str, Meta(min_length=1, description="A sentence that reads aloud.")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", description="lower_case_with_underscores")]
Path = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\[\])?(\.[A-Za-z_][A-Za-z0-9_]*(\[\])?)*$",
        description="Dotted path into the message; `parts[]` is each element of the list `parts`.",
    ),
]


class _Table(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all table types: immutable, and strict about keys."""


class Row(_Table, frozen=True):
    """One decision: what happens when an event meets a state. `go` absent means: stay."""

    go: Name | None = None
    do: tuple[Name, ...] | None = None
    if_: Name | None = field(default=None, name="if")
    why: Sentence | None = None
    see: str | None = None


class State(_Table, frozen=True):
    """One state, in the words of the caller, and its row for every event."""

    is_: Sentence = field(name="is")
    when: dict[str, Row | tuple[Row, ...]]

    def rows(self) -> Iterator[tuple[str, tuple[Row, ...]]]:
        """Every (event, rows) of this state; keys that name several events are taken apart."""
        for key, value in self.when.items():
            rows = (value,) if isinstance(value, Row) else value
            for event in key.split(","):
                yield event.strip(), rows


class Word(_Table, frozen=True):
    """A name of a machine's own vocabulary (event or guard) and its meaning."""

    is_: Sentence = field(name="is")


class Intent(_Table, frozen=True):
    """An action of a machine: what it means, and which side says or does it."""

    by: Literal["session", "provider", "transport"]
    is_: Sentence = field(name="is")


class Machine(_Table, frozen=True):
    """A finite-state machine shared by all providers and transports."""

    machine: Name
    is_: Sentence = field(name="is")
    start: Name
    events: dict[Name, Word]
    actions: dict[Name, Intent]
    states: dict[Name, State]
    guards: dict[Name, Word] = {}

    def cells(self) -> Iterator[tuple[str, str, tuple[Row, ...]]]:
        """Every (state, event, rows), in the order of the file."""
        for name, state in self.states.items():
            for event, rows in state.rows():
                yield name, event, rows


class Wire(_Table, frozen=True):
    """How messages travel. `tag` is the field whose value names a message's kind.

    Without a `tag` messages have no kind: every key of `receive` is a path, and a message becomes the events of each
    path it has, in the order of the table. `frames: mixed` means that audio travels bare in binary frames, both ways,
    and all else as text. `ids: number` is for peers that name things by numbers.
    """

    frames: Literal["text", "mixed"]
    format: Literal["json"]
    tag: str | None = None
    ids: Literal["text", "number"] = "text"
    subprotocol: str | None = None


class Voice(_Table, frozen=True):
    """How one direction of audio is encoded."""

    rate_hz: int
    bytes_per_ms: int


class AudioFormat(_Table, frozen=True):
    """An audio encoding the peer speaks; audio is base64 in JSON unless the frame is binary.

    `caller` says how the caller's voice is encoded where it differs from the agent's. `silence` is the byte of which
    silence is made. `asks` are the session settings by which a provider is asked for it, in the provider's own shape.
    """

    is_: Sentence = field(name="is")
    rate_hz: int
    bytes_per_ms: int
    caller: Voice | None = None
    silence: int = 0
    asks: dict[str, Any] = {}


class Capability(_Table, frozen=True):
    """What the other side can do at all, with its reason and source."""

    is_: Name = field(name="is")
    why: Sentence | None = None
    see: str | None = None


class Limit(_Table, frozen=True):
    """A number of milliseconds with its reason."""

    is_: Annotated[int, Meta(gt=0)] = field(name="is")
    why: Sentence | None = None
    see: str | None = None


class Hook(_Table, frozen=True):
    """How an intent is spoken: which message goes out, under which guard, and when."""

    send: Name
    if_: Name | None = field(default=None, name="if")
    unless: Name | None = None
    after: Literal["finished"] | None = None
    why: Sentence | None = None
    see: str | None = None


class ErrorMeaning(_Table, frozen=True):
    """What one of the provider's error codes means to us. `param` and `says` narrow or widen the match."""

    means: Literal["benign", "create_refused", "truncate_refused", "gone", "fatal"]
    param: str | None = None
    says: str | None = None
    why: Sentence | None = None
    see: str | None = None


Receive = dict[str, str | dict[str, Any]]
"""A row of `receive`: `event:` and the fields of that event, each with the path it is read from, or `{is: …}`,
a value that is always the same; `why` and `see` besides. `if:` and `unless:` hold paths with the value, or the
list of values, under which the row applies."""

UNTAGGED = "_"
"""The key in `receive` of messages without a kind, where messages have one."""


class Connect(_Table, frozen=True):
    """How a provider is reached. `key` is the environment variable that holds the key; `$key` stands for it."""

    url: str
    key: str | None = None
    headers: dict[str, str] = {}
    why: Sentence | None = None
    see: str | None = None


class Answer(_Table, frozen=True):
    """What a carrier's webhook is answered with, so that the call comes to us; `$url` stands for our websocket."""

    type: str
    body: str
    why: Sentence | None = None
    see: str | None = None


class _Peer(_Table, frozen=True, kw_only=True):
    """What providers and transports have in common."""

    is_: Sentence = field(name="is")
    wire: Wire
    audio: dict[Name, AudioFormat]
    can: dict[Name, Capability]
    timeouts: dict[Name, Limit]
    receive: dict[str, Receive | tuple[Receive, ...]]
    send: dict[Name, dict[str, Any] | str]
    hooks: dict[str, tuple[Hook, ...]]
    see: str | None = None
    extends: Name | None = None

    def received(self) -> Iterator[tuple[str, tuple[Receive, ...]]]:
        """Every (message kind, events it becomes), in the order of the file."""
        for kind, value in self.receive.items():
            yield kind, (value,) if isinstance(value, dict) else value

    def kind_of(self, message: dict[str, Any] | str) -> str | None:
        """What the peer calls a message of ours: its tag or, without tags, the way to the first thing in it."""
        if isinstance(message, str):
            return None
        if self.wire.tag is not None:
            tag = message.get(self.wire.tag)
            return tag if isinstance(tag, str) and not tag.startswith("$") else None
        first = next(iter(message), None)
        inner = message.get(first) if first is not None else None
        one = isinstance(inner, dict) and len(inner) == 1
        return f"{first}.{next(iter(inner))}" if one and inner else first


class Provider(_Peer, frozen=True, kw_only=True):
    """How one provider of speech-to-speech models speaks."""

    provider: Name
    errors: dict[str, ErrorMeaning] = {}
    connect: Connect | None = None


class Transport(_Peer, frozen=True, kw_only=True):
    """How one playback carrier speaks."""

    transport: Name
    pace: dict[Name, Limit] = {}
    answer: Answer | None = None


Table = Machine | Provider | Transport
