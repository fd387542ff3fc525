"""Where no package is official the documents judge what a provider is told."""

import json
from typing import Any

from . import turn_models

Json = dict[str, Any]


def ultravox_is_told(message: Json) -> None:
    """One of the messages of facts/providers.md 6.3, with the same fields of the same types."""
    assert _shape(message) in [
        _shape(each) for each in turn_models.ULTRAVOX_TAKES if each["type"] == message["type"]
    ]
    assert message.get("urgency", "soon") in ("immediate", "soon", "later")


def nova_sonic_is_told(message: Json) -> None:
    """An event of facts/providers.md 8.2, its fields in the same order; its bytes fit the service model."""
    known = [_shape({"event": event}) for event in NOVA_SONIC_TAKES]
    assert _shape(message) in known, message
    assert 0 < len(json.dumps(message)) <= turn_models.frame("input").metadata["max"]


def _shape(value: object) -> object:
    """The names in a message in their order, and what kind of value each has."""
    if isinstance(value, dict):
        return tuple((name, _shape(inner)) for name, inner in value.items())
    return type(value).__name__


_IN: Json = {"promptName": "P", "contentName": "C"}
_BLOCK: Json = {**_IN, "type": "TEXT", "interactive": False, "role": "SYSTEM"}
_TEXT_FORM: Json = {"mediaType": "text/plain"}
_HEARING: Json = {
    "mediaType": "audio/lpcm", "sampleRateHertz": 16000, "sampleSizeBits": 16, "channelCount": 1,
    "audioType": "SPEECH", "encoding": "base64",
}  # fmt: skip
_SPEECH: Json = {
    "mediaType": "audio/lpcm", "sampleRateHertz": 24000, "sampleSizeBits": 16, "channelCount": 1,
    "voiceId": "matthew", "encoding": "base64", "audioType": "SPEECH",
}  # fmt: skip
NOVA_SONIC_TAKES: tuple[Json, ...] = (
    {"sessionStart": {"inferenceConfiguration": {"maxTokens": 1, "topP": 0.9, "temperature": 0.7}}},
    {
        "promptStart": {
            "promptName": "P",
            "textOutputConfiguration": _TEXT_FORM,
            "audioOutputConfiguration": _SPEECH,
            "toolUseOutputConfiguration": {"mediaType": "application/json"},
            "toolConfiguration": {"tools": []},
        }
    },
    {"contentStart": _BLOCK | {"textInputConfiguration": _TEXT_FORM}},
    {"contentStart": _BLOCK | {"audioInputConfiguration": _HEARING}},
    {"textInput": {**_IN, "content": "hi"}},
    {"audioInput": {**_IN, "content": "AAAA"}},
    {"contentEnd": _IN},
)  # fmt: skip


def assemblyai_is_told(message: Json) -> None:
    """facts/transports.md 25."""
    fields = {
        "session.update": {"session"},
        "input.audio": {"audio"},
        "reply.create": {"instructions"},
    }
    assert message.keys() - {"type"} <= fields[message["type"]]
