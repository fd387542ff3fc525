"""What a client of ElevenLabs Agents may write. facts/transports.md 18.

Shapes: `packages/types/schemas/agent.asyncapi.yaml` of https://github.com/elevenlabs/packages. What the conversation
does not depend on is not looked at.
"""

import base64
import binascii
from typing import Final, TypeAlias

import msgspec

from .turns_state import Json, Refused

INVALID: Final = 1008
"""WebSocket close code for an invalid message (`WebSocketCloseCode` of the schema)."""

CLIENT_EVENTS: Final = (
    "conversation_initiation_metadata",
    "audio",
    "agent_response",
    "agent_response_correction",
    "interruption",
    "user_transcript",
    "client_tool_call",
    "ping",
)
"""What the model can say, by the names under which an agent's `conversation.client_events` turns it on."""


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    """A message that says what it is."""


class Initiation(_Message, frozen=True, tag="conversation_initiation_client_data"):
    """`ConversationInitiationPayload`."""

    conversation_config_override: Json | None = None

    @property
    def client_events(self) -> tuple[str, ...] | None:
        """What the server shall say; None where that is left to the agent's own settings.

        :raises Refused: if it is said in another shape.
        """
        conversation = (self.conversation_config_override or {}).get("conversation")
        if not isinstance(conversation, dict) or conversation.get("client_events") is None:
            return None
        try:
            return msgspec.convert(conversation["client_events"], tuple[str, ...])
        except msgspec.ValidationError as problem:
            raise Refused(str(problem), code="override_error") from None


class UserMessage(_Message, frozen=True, tag="user_message"):
    """`UserMessagePayload`; without text it asks for nothing."""

    text: str | None = None


class MultimodalMessage(_Message, frozen=True, tag="multimodal_message"):
    """`MultimodalMessagePayload`."""

    text: UserMessage | None = None
    file: Json | None = None


class Pong(_Message, frozen=True, tag="pong"):
    """`PongPayload`."""

    event_id: int


class ClientToolResult(_Message, frozen=True, tag="client_tool_result"):
    """`ClientToolResultPayload`."""

    tool_call_id: str
    result: str
    is_error: bool


class ContextualUpdate(_Message, frozen=True, tag="contextual_update"):
    """`ContextualUpdatePayload`."""

    text: str


class UserActivity(_Message, frozen=True, tag="user_activity"):
    """`UserActivityPayload`."""


class Feedback(_Message, frozen=True, tag="feedback"):
    """`UserFeedbackPayload`."""

    event_id: int
    score: str


class ToolApproval(_Message, frozen=True, tag="mcp_tool_approval_result"):
    """`MCPToolApprovalResultPayload`."""

    tool_call_id: str
    is_approved: bool


class UserAudio(msgspec.Struct, frozen=True):
    """`UserAudioPayload`, the one message without a type; base64."""

    user_audio_chunk: str


_Typed: TypeAlias = (
    Initiation
    | UserMessage
    | MultimodalMessage
    | Pong
    | ClientToolResult
    | ContextualUpdate
    | UserActivity
    | Feedback
    | ToolApproval
)
ClientMessage: TypeAlias = _Typed | UserAudio


def decode(message: str | bytes) -> ClientMessage:
    """A client message.

    :raises Refused: if it is none; `code` is an `ErrorType` of the schema.
    """
    try:
        raw: object = msgspec.json.decode(message)
        if isinstance(raw, dict) and "user_audio_chunk" in raw:
            heard = msgspec.convert(raw, UserAudio)
            base64.b64decode(heard.user_audio_chunk, validate=True)
            return heard
        found: _Typed = msgspec.convert(raw, _Typed)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as problem:
        raise Refused(str(problem), code="invalid_message") from None
    return found
