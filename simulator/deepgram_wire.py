"""What a client of the Deepgram Voice Agent may write. facts/transports.md 19.

Shapes: `deepgram.agent.v1.types` of `deepgram-sdk`. A message that is none of these ends the conversation.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from .turns_state import Refused

UNPARSABLE: Final = "UNPARSABLE_CLIENT_MESSAGE"
"""An error code: https://developers.deepgram.com/docs/voice-agent-errors-warnings"""
BINARY_BEFORE_SETTINGS: Final = "BINARY_MESSAGE_BEFORE_SETTINGS"
"""An error code, as clients meet it: https://github.com/Signal-Meaning/dg_react_agent"""
SETTINGS_TWICE: Final = "SETTINGS_ALREADY_APPLIED"
"""Likewise: https://github.com/Signal-Meaning/dg_react_agent/issues/399; the connection closes."""

_BYTES_PER_SAMPLE: Final = {"mulaw": 1, "alaw": 1, "linear16": 2}


class _Message(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """A message that says what it is; nothing in it is unknown."""


class Format(msgspec.Struct, frozen=True):
    """How one direction of audio is encoded."""

    encoding: str | None = None
    sample_rate: int | None = None


class Audio(msgspec.Struct, frozen=True):
    """`AgentV1SettingsAudio`."""

    input: Format | None = None
    output: Format | None = None


class Settings(_Message, frozen=True):
    """`AgentV1Settings`. What the agent is made of nobody looks at."""

    audio: Audio
    agent: dict[str, Any] | str
    tags: tuple[str, ...] | None = None
    experimental: bool | None = None
    flags: dict[str, Any] | None = None
    mip_opt_out: bool | None = None

    @property
    def bytes_per_ms(self) -> int:
        """Of the audio the server is to say.

        :raises Refused: if that is not plain samples, which is all that the model speaks.
        """
        form = self.audio.output or Format()
        encoding, rate_hz = form.encoding or "linear16", form.sample_rate or 24_000
        if encoding not in _BYTES_PER_SAMPLE or rate_hz % 8_000:
            raise Refused(f"no model of {encoding} at {rate_hz} Hz", code="INVALID_SETTINGS")
        return _BYTES_PER_SAMPLE[encoding] * rate_hz // 1_000


class InjectUserMessage(_Message, frozen=True):
    """`AgentV1InjectUserMessage`."""

    content: str


class InjectAgentMessage(_Message, frozen=True):
    """`AgentV1InjectAgentMessage`."""

    message: str
    behavior: Literal["default", "queue", "interrupt"] | None = None


class FunctionCallResponse(_Message, frozen=True):
    """`AgentV1SendFunctionCallResponse`."""

    name: str
    content: str
    id: str | None = None
    thought_signature: str | None = None


class KeepAlive(_Message, frozen=True):
    """`AgentV1KeepAlive`."""


class ForceEndTurn(_Message, frozen=True):
    """`AgentV1ForceEndTurn`."""


class UpdatePrompt(_Message, frozen=True):
    """`AgentV1UpdatePrompt`."""

    prompt: str


class UpdateSpeak(_Message, frozen=True):
    """`AgentV1UpdateSpeak`."""

    speak: Any


class UpdateThink(_Message, frozen=True):
    """`AgentV1UpdateThink`."""

    think: Any


class UpdateListen(_Message, frozen=True):
    """`AgentV1UpdateListen`."""

    listen: Any


UPDATED: Final[dict[type[_Message], str]] = {
    UpdatePrompt: "PromptUpdated",
    UpdateSpeak: "SpeakUpdated",
    UpdateThink: "ThinkUpdated",
    UpdateListen: "ListenUpdated",
}
"""How the server answers a message that changes its settings."""

ClientMessage: TypeAlias = (
    Settings
    | InjectUserMessage
    | InjectAgentMessage
    | FunctionCallResponse
    | KeepAlive
    | ForceEndTurn
    | UpdatePrompt
    | UpdateSpeak
    | UpdateThink
    | UpdateListen
)


def decode(message: str) -> ClientMessage:
    """A client message that is no audio.

    :raises Refused: if it is none.
    """
    try:
        found: ClientMessage = msgspec.json.decode(message, type=ClientMessage)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise Refused(str(problem), code=UNPARSABLE) from None
    return found
