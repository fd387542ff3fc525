"""What a client of the AssemblyAI Voice Agent API may write. facts/transports.md 25.

Shapes: https://www.assemblyai.com/docs/voice-agents/voice-agent-api/events-reference. What the conversation does not
depend on is not looked at; an unknown type or shape is refused.
"""

import base64
import binascii
from typing import Any, Final, Literal

import msgspec

from .turns_state import Refused

INVALID: Final = "invalid_format"
"""`code` of a `session.error` about a message that does not fit."""

Encoding = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
BYTES_PER_MS: Final[dict[Encoding, int]] = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
"""PCM is 16 bit at 24 kHz, G.711 at 8 kHz; there is no other rate."""


class Format(msgspec.Struct, frozen=True):
    """How one direction is encoded."""

    encoding: Encoding = "audio/pcm"
    sample_rate: int | None = None


class TurnDetection(msgspec.Struct, frozen=True):
    """When the caller interrupts."""

    interrupt_response: bool = True


class Input(msgspec.Struct, frozen=True):
    """What the server hears."""

    format: Format | None = None
    turn_detection: TurnDetection | None = None


class Output(msgspec.Struct, frozen=True):
    """What the server says."""

    format: Format | None = None


class Session(msgspec.Struct, frozen=True):
    """Settings; what is left out stays as it was."""

    input: Input | None = None
    output: Output | None = None
    greeting: str | None = None


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    """A message of the client."""


class Update(_Message, frozen=True, tag="session.update"):
    """The first message; later ones change the settings."""

    session: Session


class Resume(_Message, frozen=True, tag="session.resume"):
    """Instead of the first: a session that was cut off less than 30 s ago goes on."""

    session_id: str


class Audio(_Message, frozen=True, tag="input.audio"):
    """The caller's audio, base64."""

    audio: str


class ToolResult(_Message, frozen=True, tag="tool.result"):
    """The result of a function call."""

    call_id: str
    result: str


class Create(_Message, frozen=True, tag="reply.create"):
    """A request for a reply."""

    instructions: str | None = None


class End(_Message, frozen=True, tag="session.end"):
    """The session is over."""


ClientMessage = Update | Resume | Audio | ToolResult | Create | End

_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(ClientMessage)


def decode(message: str | bytes) -> ClientMessage:
    """A client message.

    :raises Refused: if it is none.
    """
    try:
        found: ClientMessage = _DECODER.decode(message)
        if isinstance(found, Audio):
            base64.b64decode(found.audio, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as problem:
        raise Refused(f"Invalid message format: {problem}", code=INVALID) from None
    return found
