"""What a Phonic client may write. Shapes: the package `phonic` 0.32, `phonic.conversations.socket_client`.

Only what the conversation depends on is looked at; an unknown type or shape is refused.
"""

import base64
import binascii
from typing import Any, Final, Literal

import msgspec

from .turns_state import Refused

Format = Literal["pcm_44100", "pcm_24000", "pcm_16000", "pcm_8000", "mulaw_8000"]

MOST_MS: Final = 40
"""The longest piece of the caller's audio that is taken (`AudioChunkPayload`)."""


def bytes_per_s(name: Format) -> int:
    """Bytes in a second of audio."""
    coding, rate_hz = name.split("_")
    return int(rate_hz) * (1 if coding == "mulaw" else 2)


class Options(msgspec.Struct, frozen=True):
    """`phonic.types.ConfigOptions`. What formats hold by default is not told; the largest is first in their list."""

    input_format: Format = "pcm_44100"
    output_format: Format = "pcm_44100"
    push_to_talk: bool | None = None
    generate_welcome_message: bool | None = None
    welcome_message: str | None = None
    is_welcome_message_interruptible: bool | None = None

    @property
    def welcomes(self) -> bool:
        """The assistant speaks first."""
        return bool(self.generate_welcome_message or self.welcome_message)


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    """A message of the client."""


class Config(Options, frozen=True, tag_field="type", tag="config"):
    """The first message."""


class Reset(_Message, frozen=True, tag="reset"):
    """The conversation begins anew on the same socket."""

    config: Options


class AudioChunk(_Message, frozen=True, tag="audio_chunk"):
    """The caller's audio, base64."""

    audio: str


class GenerateReply(_Message, frozen=True, tag="generate_reply"):
    """A request for a response."""

    system_message: str | None = None
    user_message: str | None = None

    @property
    def text(self) -> str:
        """By which the request is known."""
        return self.system_message or self.user_message or ""


class Say(_Message, frozen=True, tag="say"):
    """Words to be spoken as they are."""

    text: str
    interruptible: bool | None = None


class ToolOutput(_Message, frozen=True, tag="tool_call_output"):
    """The result of a function call."""

    tool_call_id: str
    output: Any


class AddSystemMessage(_Message, frozen=True, tag="add_system_message"):
    """A note to the model; no request."""

    system_message: str


class UpdateSystemPrompt(_Message, frozen=True, tag="update_system_prompt"):
    """Another system prompt."""

    system_prompt: str


class UpdateTools(_Message, frozen=True, tag="update_tools_subset"):
    """Other tools."""

    tools: list[Any]


class SetExternalId(_Message, frozen=True, tag="set_external_id"):
    """The client's name of the conversation."""

    external_id: str


class Mute(_Message, frozen=True, tag="mute"):
    """With push to talk: the caller's turn is over."""


class Unmute(_Message, frozen=True, tag="unmute"):
    """With push to talk: the server shall listen."""


Note = AddSystemMessage | UpdateSystemPrompt | UpdateTools | SetExternalId
ClientMessage = (
    Config | Reset | AudioChunk | GenerateReply | Say | ToolOutput | Mute | Unmute
    | AddSystemMessage | UpdateSystemPrompt | UpdateTools | SetExternalId
)  # fmt: skip

_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(ClientMessage)


def decode(message: str | bytes) -> ClientMessage:
    """A client message.

    :raises Refused: if it is none.
    """
    try:
        found: ClientMessage = _DECODER.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise Refused(f"invalid message: {problem}") from None
    return found


def check_audio(audio: str, form: Format) -> None:
    """Nothing, if the server takes this piece of the caller's audio.

    :raises Refused: if it is no base64 or too long.
    """
    try:
        size_bytes = len(base64.b64decode(audio, validate=True))
    except (binascii.Error, ValueError):
        raise Refused("audio is no base64") from None
    if size_bytes * 1000 > bytes_per_s(form) * MOST_MS:
        raise Refused(f"an audio chunk may contain at most {MOST_MS} ms of audio")
