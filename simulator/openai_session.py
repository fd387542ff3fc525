"""The session object of an OpenAI Realtime connection: what it starts with and how an update changes it."""

from collections.abc import Mapping
from typing import Any

from .openai_wire import Json


def default_session() -> Json:
    """What a fresh connection starts with.

    VAD on, answering and interrupting by itself; threshold, padding and silence as in
    `openai.types.realtime.RealtimeAudioInputTurnDetection`. facts/providers.md 2.5.
    """
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": _default_turn_detection("server_vad"),
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "speed": 1.0,
                "voice": "marin",
            },
        },
    }


def _default_turn_detection(kind: object) -> Json:
    common: Json = {"type": kind, "create_response": True, "interrupt_response": True}
    if kind == "semantic_vad":
        return common | {"eagerness": "auto"}
    return common | {
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
    }


def merge_session(old: Json, new: Mapping[str, Any]) -> Json:
    """The session after an update; neither argument is changed.

    "Only the fields that are present in the `session.update` are updated"
    (`openai.types.realtime.SessionUpdateEvent`), at every depth. A null clears turn detection; a
    format, or a turn detection of another type, replaces what was there.
    """
    return _merge(old, new)


def _merge(old: Json, new: Mapping[str, Any]) -> Json:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if not isinstance(value, Mapping) or key == "format":
            merged[key] = value
        elif key == "turn_detection":
            known = before if isinstance(before, dict) else _default_turn_detection("server_vad")
            kind = value.get("type", known["type"])
            same = known["type"] == kind
            merged[key] = _merge(known if same else _default_turn_detection(kind), value)
        else:
            merged[key] = _merge(before if isinstance(before, dict) else {}, value)
    return merged
