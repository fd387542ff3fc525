"""What a Nova Sonic client may write, and in which order. Shapes: facts/providers.md 8.2.

A breach ends the stream with a ValidationException; there is no error event.
"""

import base64
import binascii
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from .turns_state import Json, Refused

INVALID: Final = 400
"""The HTTP status of a ValidationException (service model of `bedrock-runtime`)."""

Kind = Literal["TEXT", "AUDIO", "TOOL"]
Role = Literal["SYSTEM", "USER", "ASSISTANT", "TOOL"]


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    """The body of an event. Unknown fields are not looked at."""


class MediaType(_Shape, frozen=True):
    """Which form text has."""

    media_type: str


class AudioForm(_Shape, frozen=True):
    """Which form audio has: PCM16, mono."""

    media_type: Literal["audio/lpcm"]
    sample_rate_hertz: Literal[8000, 16000, 24000]
    sample_size_bits: Literal[16]
    channel_count: Literal[1]
    encoding: Literal["base64"]
    audio_type: Literal["SPEECH"]

    @property
    def bytes_per_ms(self) -> int:
        """How many bytes a millisecond has."""
        return self.sample_rate_hertz * 2 // 1000


class SessionStart(_Shape, frozen=True):
    """The first event."""

    inference_configuration: Json


class PromptStart(_Shape, frozen=True):
    """The second: how it shall answer."""

    prompt_name: str
    text_output_configuration: MediaType
    audio_output_configuration: AudioForm
    tool_use_output_configuration: Json | None = None
    tool_configuration: Json | None = None


class ToolResultInput(_Shape, frozen=True):
    """Which tool use a result answers."""

    tool_use_id: str
    type: str
    text_input_configuration: MediaType | None = None


class ContentStart(_Shape, frozen=True):
    """A block of content begins."""

    prompt_name: str
    content_name: str
    type: Kind
    role: Role
    interactive: bool
    text_input_configuration: MediaType | None = None
    audio_input_configuration: AudioForm | None = None
    tool_result_input_configuration: ToolResultInput | None = None

    @property
    def asks(self) -> bool:
        """Text of the user that is to be answered at once."""
        return self.type == "TEXT" and self.role == "USER" and self.interactive


class Piece(_Shape, frozen=True):
    """What a block holds, or a part of it."""

    prompt_name: str
    content_name: str
    content: str


class ContentEnd(_Shape, frozen=True):
    """The block is complete."""

    prompt_name: str
    content_name: str


class PromptEnd(_Shape, frozen=True):
    """Nothing more will be asked."""

    prompt_name: str


class Event(_Shape, frozen=True, forbid_unknown_fields=True):
    """One of its fields is set."""

    session_start: SessionStart | None = None
    prompt_start: PromptStart | None = None
    content_start: ContentStart | None = None
    text_input: Piece | None = None
    audio_input: Piece | None = None
    tool_result: Piece | None = None
    content_end: ContentEnd | None = None
    prompt_end: PromptEnd | None = None
    session_end: Json | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: Event


_DECODER: Final[msgspec.json.Decoder[_Envelope]] = msgspec.json.Decoder(_Envelope)


def invalid(reason: str) -> Refused:
    """How the stream ends on a message that the server does not take."""
    return Refused(f"ValidationException: {reason}", code=INVALID)


def decode(message: str | bytes) -> tuple[str, Any]:
    """The name of the event in a client message, in snake case, and its body.

    :raises Refused: if it is none.
    """
    try:
        event = _DECODER.decode(message).event
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise invalid(f"Unable to parse input chunk. {problem}") from None
    given = [(name, getattr(event, name)) for name in event.__struct_fields__]
    found = [(name, body) for name, body in given if body is not None]
    if len(found) != 1:
        raise invalid("An input chunk holds exactly one event.")
    return found[0]


_KINDS: Final[dict[str, Kind]] = {
    "text_input": "TEXT",
    "audio_input": "AUDIO",
    "tool_result": "TOOL",
}


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """How far the client has come. Never changed, only replaced."""

    stage: Literal["new", "session", "prompt", "closing", "over"] = "new"
    prompt: str = ""
    blocks: tuple[ContentStart, ...] = ()
    """Blocks that are open."""
    instructed: bool = False
    """The system's text was given."""
    last_role: str = ""
    """Who spoke last in the history."""
    streams: bool = False
    """The block of the caller's audio has begun: the history is complete."""

    def block(self, name: str) -> ContentStart:
        """An open block.

        :raises Refused: if there is none of this name.
        """
        for each in self.blocks:
            if each.content_name == name:
                return each
        raise invalid(f"No open content found for content name: {name}.")

    def after(self, name: str, body: Any) -> "Input":  # noqa: ANN401  of any event
        """When the client has written this event.

        :raises Refused: if it is not its turn.
        """
        needed = {"session_start": "new", "prompt_start": "session", "session_end": "closing"}
        if self.stage != needed.get(name, "prompt"):
            raise invalid(f"The event {name} is not expected here.")
        if name == "session_start":
            return replace(self, stage="session")
        if name == "session_end":
            return replace(self, stage="over")
        if name == "prompt_start":
            return replace(self, stage="prompt", prompt=body.prompt_name)
        if body.prompt_name != self.prompt:
            raise invalid(f"No open prompt found for prompt name: {body.prompt_name}.")
        if name == "content_start":
            return self._begins(body)
        if name == "content_end":
            ended = self.block(body.content_name)
            return replace(self, blocks=tuple(x for x in self.blocks if x is not ended))
        if name == "prompt_end":
            if self.blocks:
                raise invalid("Content is still open.")
            return replace(self, stage="closing")
        self._holds(name, body)
        return self

    def _begins(self, block: ContentStart) -> "Input":
        if any(each.content_name == block.content_name for each in self.blocks):
            raise invalid(f"Content is open already: {block.content_name}.")
        given = {
            "TEXT": block.text_input_configuration,
            "AUDIO": block.audio_input_configuration,
            "TOOL": block.tool_result_input_configuration,
        }
        if given[block.type] is None:
            raise invalid(f"The input configuration of {block.type} content is missing.")
        new = replace(self, blocks=(*self.blocks, block))
        if block.role == "SYSTEM":
            if self.instructed or self.last_role or self.streams:
                raise invalid("The system's text comes first, and once.")
            return replace(new, instructed=True)
        if not self.instructed:
            raise invalid("The system's text comes first.")
        if block.type == "AUDIO":
            if self.streams:
                raise invalid("The caller's audio is one content.")
            if self.blocks:
                raise invalid(_HISTORY)
            return replace(new, streams=True)
        return new._remembers(block) if block.type == "TEXT" and not block.interactive else new

    def _remembers(self, block: ContentStart) -> "Input":
        if self.streams:
            raise invalid(_HISTORY)
        if block.role == (self.last_role or "ASSISTANT"):
            raise invalid("The history begins with the user, and roles alternate.")
        return replace(self, last_role=block.role)

    def _holds(self, name: str, piece: Piece) -> None:
        block = self.block(piece.content_name)
        if block.type != _KINDS[name]:
            raise invalid(f"The content {piece.content_name} is {block.type}.")
        if name != "audio_input":
            return
        if any(each.type == "TEXT" for each in self.blocks):
            raise invalid("A text content is open.")
        try:
            base64.b64decode(piece.content, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Audio is no base64.") from None


_HISTORY: Final = "Chat history should be sent completely before streaming audio"
"""facts/providers.md 8.2."""
