"""The official packages, and where there is none the documents, as judges of what goes over a provider's wire.

A judge takes a message and raises if its vendor's own types do not know it, with each of its fields. The judges of
OpenAI's family are in `family.py`, those of what Phonic, Ultravox and Nova Sonic say in `turn_models.py`.
"""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: ANN401  any JSON

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
from deepgram.agent.v1 import types as dg
from google.genai import types as genai
from openai.types import realtime as ga
from pydantic import BaseModel, TypeAdapter

from . import documented, family, turn_models

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # The package's, of its own dependencies.
    from elevenlabs.conversational_ai.conversation import (
        BaseConversation,
        ConversationInitiationData,
        MultimodalMessageClientToOrchestratorEvent,
        UserActivityClientToOrchestratorEvent,
        UserMessageClientToOrchestratorEvent,
    )

Json = dict[str, Any]


def unknown_fields(value: Any) -> Iterator[str]:
    """Fields that a package's types let pass without knowing them."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from unknown_fields(each)


# -- Gemini ---------------------------------------------------------------------------------------------


def gemini_says(message: str | bytes) -> genai.LiveServerMessage:
    """The message as the SDK reads it, which refuses what it does not know; the truth beside the wire is not its."""
    fields = json.loads(message)
    fields.pop("_of", None)
    return genai.LiveServerMessage.model_validate_json(json.dumps(fields))


def gemini_is_told(message: Json) -> None:
    """The SDK judges what the client says. Its `LiveClientSetup` lacks the one field that its own converter writes
    (`google.genai._live_converters`), so that is judged by its own type."""
    message = json.loads(json.dumps(message))
    config = (message.get("setup") or {}).pop("realtimeInputConfig", None)
    if config is not None:
        genai.RealtimeInputConfig.model_validate(config)
    genai.LiveClientMessage.model_validate(message)


# -- ElevenLabs: no types, but a client and a published schema ------------------------------------------

_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer"}
_FORMAT: Json = {
    "enum": [
        "pcm_8000",
        "pcm_16000",
        "pcm_22050",
        "pcm_24000",
        "pcm_44100",
        "pcm_48000",
        "ulaw_8000",
    ]
}


def shape(type: str, body: str, optional: tuple[str, ...] = (), **fields: Json) -> Json:  # noqa: A002
    """A payload of `packages/types/schemas/agent.asyncapi.yaml` in https://github.com/elevenlabs/packages."""
    inner: Json = {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"type": {"const": type}, body: inner},
        "required": ["type", body],
        "additionalProperties": False,
    }


ELEVENLABS_SAYS = {
    "conversation_initiation_metadata": shape(
        "conversation_initiation_metadata",
        "conversation_initiation_metadata_event",
        conversation_id=_TEXT,
        agent_output_audio_format=_FORMAT,
        user_input_audio_format=_FORMAT,
    ),
    "audio": shape("audio", "audio_event", audio_base_64=_TEXT, event_id=_NUMBER),
    "agent_response": shape(
        "agent_response", "agent_response_event", agent_response=_TEXT, event_id=_NUMBER
    ),
    "agent_response_correction": shape(
        "agent_response_correction",
        "agent_response_correction_event",
        original_agent_response=_TEXT,
        corrected_agent_response=_TEXT,
        event_id=_NUMBER,
    ),
    "interruption": shape("interruption", "interruption_event", event_id=_NUMBER),
    "user_transcript": shape(
        "user_transcript", "user_transcription_event", user_transcript=_TEXT, event_id=_NUMBER
    ),
    "client_tool_call": shape(
        "client_tool_call",
        "client_tool_call",
        tool_name=_TEXT,
        tool_call_id=_TEXT,
        parameters={"type": "object"},
        event_id=_NUMBER,
    ),
    "ping": shape(
        "ping", "ping_event", ("ping_ms",), event_id=_NUMBER, ping_ms={"type": ["integer", "null"]}
    ),
    "error": shape(
        "error",
        "error_event",
        code={"enum": [1000, 1002, 1008, 1011]},
        error_type={"enum": ["invalid_message", "missing_fields", "override_error"]},
        message=_TEXT,
    ),
}


class Ear:
    """What the official client hands on, by name; it asks for every callback it has."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("callback_"):
            return True
        return lambda *what: self.heard.append((name, *what))


class Client(BaseConversation):
    """The official client's reading and writing of messages, and nothing else of it."""

    def __init__(self) -> None:
        self.config, self.user_id = ConversationInitiationData(), None
        self._conversation_id = None
        self._last_interrupt_id = 0
        self.ear = Ear()

    def reads(self, message: Json) -> str:
        """What the message was handed on as; empty if it was dropped."""
        self.ear.heard.clear()
        self._handle_message_core(message, self.ear)
        return self.ear.heard[0][0] if self.ear.heard else ""


WRITTEN_BY_HAND = {
    "pong": {"event_id"},
    "client_tool_result": {"tool_call_id", "result", "is_error"},
    "contextual_update": {"text"},
    "feedback": {"event_id", "score"},
    "mcp_tool_approval_result": {"tool_call_id", "is_approved"},
}
"""What the client writes without a type: facts/transports.md 18."""


def elevenlabs_says(message: Json) -> None:
    """By the published schema, and the client understands it."""
    jsonschema.validate(message, ELEVENLABS_SAYS[message["type"]])
    if message["type"] != "error":  # The client knows nothing of errors.
        Client().reads(message)


def elevenlabs_is_told(message: Json) -> None:
    """Made by the official client, or of the shapes that it writes by hand (`Conversation._run_session`)."""
    match message.get("type"):
        case None:
            assert message.keys() == {"user_audio_chunk"}
        case "conversation_initiation_client_data":
            known = json.loads(Client()._create_initiation_message())
            assert message.keys() <= known.keys()
        case "user_message":
            assert message == UserMessageClientToOrchestratorEvent(message["text"]).to_dict()
        case "multimodal_message":
            words = message["text"]["text"]
            assert message == MultimodalMessageClientToOrchestratorEvent(words).to_dict()
        case "user_activity":
            assert message == UserActivityClientToOrchestratorEvent().to_dict()
        case kind:
            assert message.keys() - {"type"} == WRITTEN_BY_HAND[str(kind)]


# -- Deepgram -------------------------------------------------------------------------------------------

DEEPGRAM_SAYS: dict[str, type[BaseModel]] = {
    "Welcome": dg.AgentV1Welcome,
    "SettingsApplied": dg.AgentV1SettingsApplied,
    "ConversationText": dg.AgentV1ConversationText,
    "UserStartedSpeaking": dg.AgentV1UserStartedSpeaking,
    "AgentThinking": dg.AgentV1AgentThinking,
    "AgentAudioDone": dg.AgentV1AgentAudioDone,
    "FunctionCallRequest": dg.AgentV1FunctionCallRequest,
    "FunctionCallCancelled": dg.AgentV1FunctionCallCancelled,
    "InjectionRefused": dg.AgentV1InjectionRefused,
    "PromptUpdated": dg.AgentV1PromptUpdated,
    "SpeakUpdated": dg.AgentV1SpeakUpdated,
    "ThinkUpdated": dg.AgentV1ThinkUpdated,
    "ListenUpdated": dg.AgentV1ListenUpdated,
    "Error": dg.AgentV1Error,
    "Warning": dg.AgentV1Warning,
}
DEEPGRAM_TAKES: dict[str, type[BaseModel]] = {
    "Settings": dg.AgentV1Settings,
    "InjectUserMessage": dg.AgentV1InjectUserMessage,
    "InjectAgentMessage": dg.AgentV1InjectAgentMessage,
    "FunctionCallResponse": dg.AgentV1SendFunctionCallResponse,
    "KeepAlive": dg.AgentV1KeepAlive,
    "ForceEndTurn": dg.AgentV1ForceEndTurn,
    "UpdatePrompt": dg.AgentV1UpdatePrompt,
}


def deepgram_says(message: Json) -> None:
    """The SDK's models let further fields pass, and say so."""
    parsed = DEEPGRAM_SAYS[message["type"]].model_validate(message)
    assert not list(unknown_fields(parsed)), message


def deepgram_is_told(message: Json) -> None:
    """The SDK's models let further fields pass, and say so."""
    parsed = DEEPGRAM_TAKES[message["type"]].model_validate(message)
    assert not list(unknown_fields(parsed)), message


# -- What a provider takes ------------------------------------------------------------------------------


def openai_is_told(message: Json) -> None:
    """A client event of general availability, and no field that its type does not know."""
    parsed: BaseModel = TypeAdapter(ga.RealtimeClientEvent).validate_json(json.dumps(message))
    assert not list(unknown_fields(parsed)), message


def xai_is_told(message: Json) -> None:
    """As OpenAI; its session has no type and some fields at its top: facts/providers.md 4.1, 4.3."""
    if message["type"] != "session.update":
        openai_is_told(message)
        return
    known = {"audio", "instructions", "resumption", "tools", "turn_detection", "voice"}
    assert message.keys() == {"type", "event_id", "session"}
    assert message["session"].keys() <= known
    for form in message["session"].get("audio", {}).values():
        assert form["format"]["type"] in ("audio/pcm", "audio/pcmu", "audio/pcma")


TAKES: dict[str, Callable[[Json], None]] = {
    "openai": openai_is_told,
    "azure_preview": lambda message: family.judge_client("azure_preview", message),
    "voicelive": lambda message: family.judge_client("voicelive", message),
    "xai": xai_is_told,
    "gemini": gemini_is_told,
    "phonic": lambda message: turn_models.judged_by(turn_models.PHONIC_TAKES, message),
    "deepgram": deepgram_is_told,
    "elevenlabs": elevenlabs_is_told,
    "ultravox": documented.ultravox_is_told,
    "nova_sonic": documented.nova_sonic_is_told,
    "assemblyai": documented.assemblyai_is_told,
}
"""Who judges what a provider is told. A provider that is not here is judged as the one whose table it extends."""
