"""What an Ultravox client may write in text frames. Shapes: facts/providers.md 6.3, `ultravox_client.session`.

Binary frames are the caller's audio. An unknown type or shape is refused; unknown fields are not looked at.
"""

from typing import Any, Final, Literal

import msgspec

from .turns_state import Refused

Urgency = Literal["immediate", "soon", "later"]


class _Message(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """A data message of the client."""


class UserText(_Message, frozen=True, tag="user_text_message"):
    """Text of the user. `defer_response`: it is not to be answered."""

    text: str
    urgency: Urgency = "soon"
    defer_response: bool = False


class ForcedAgentMessage(_Message, frozen=True, tag="forced_agent_message"):
    """What the agent shall say, word for word."""

    content: str
    uninterruptible: bool = False
    urgency: Urgency = "soon"


class ToolResult(_Message, frozen=True, tag="client_tool_result"):
    """The result of a client tool."""

    invocation_id: str
    result: str | None = None
    agent_reaction: Literal["speaks", "listens", "speaks-once"] = "speaks"


class SetOutputMedium(_Message, frozen=True, tag="set_output_medium"):
    """Voice or text."""

    medium: Literal["voice", "text"]


class HangUp(_Message, frozen=True, tag="hang_up"):
    """The call shall end."""

    message: str | None = None


class Ping(_Message, frozen=True, tag="ping"):
    """Answered by a pong with the same timestamp."""

    timestamp: float


ClientMessage = UserText | ForcedAgentMessage | ToolResult | SetOutputMedium | HangUp | Ping

_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(ClientMessage)


def decode(message: str) -> ClientMessage:
    """A text frame of the client.

    :raises Refused: if it is none.
    """
    try:
        found: ClientMessage = _DECODER.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise Refused(f"invalid data message: {problem}") from None
    return found
