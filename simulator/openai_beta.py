"""The spellings with beta names: Azure OpenAI preview, Azure Voice Live, Speaches.

Sources: facts/providers.md 3.2 and 3.3, facts/transports.md 21 (Voice Live) and 26.1 (Speaches).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from .openai_memory import Item
from .openai_spelling import Path, Spelling, put
from .openai_wire import Json, Refusal


class Beta(Spelling):
    """The names before general availability: Azure's `api-version=…-preview`, and who copied them."""

    names: ClassVar[Mapping[str, str]] = {
        f"response.output_{kind}.{verb}": f"response.{kind}.{verb}"
        for kind in ("text", "audio", "audio_transcript")
        for verb in ("delta", "done")
    }
    tells_idle = False
    audio_alone: bool = False
    """Whether `modalities` may be `["audio"]`; Azure wants `["audio", "text"]`."""
    calls_named: bool = False
    """Whether `response.function_call_arguments.done` has the function's name; else only the item has it
    (`openai.types.beta.realtime.ResponseFunctionCallArgumentsDoneEvent`)."""
    parameters: ClassVar[Mapping[str, Path | None]] = {
        "conversation": ("conversation",),
        "input": ("input",),
        "instructions": ("instructions",),
        "max_response_output_tokens": ("max_output_tokens",),
        "metadata": ("metadata",),
        "tool_choice": ("tool_choice",),
        "tools": ("tools",),
        "output_audio_format": ("audio", "output", "format"),
        "voice": ("audio", "output", "voice"),
        "temperature": None,
    }
    """A field of `response.create`'s response: where GA has it; None where it has none."""
    settings: ClassVar[Mapping[str, Path | None]] = {
        "input_audio_format": ("audio", "input", "format"),
        "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
        "input_audio_transcription": ("audio", "input", "transcription"),
        "instructions": ("instructions",),
        "max_response_output_tokens": ("max_output_tokens",),
        "model": ("model",),
        "output_audio_format": ("audio", "output", "format"),
        "speed": ("audio", "output", "speed"),
        "temperature": None,
        "tool_choice": ("tool_choice",),
        "tools": ("tools",),
        "tracing": ("tracing",),
        "turn_detection": ("audio", "input", "turn_detection"),
        "voice": ("audio", "output", "voice"),
    }
    """A field of the session: where GA has it."""

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """`Spelling.joins`."""
        return "conversation.item.created" if verb == "added" else None

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if "session" in fields:
            fields["session"] = self.session(fields["session"])
        if "item" in fields:
            fields["item"] = _item(fields["item"])
        if "response" in fields:
            fields["response"] = self.response(fields["response"])
        if not self.calls_named and event == "response.function_call_arguments.done":
            fields.pop("name", None)
        return super().says(event, fields)

    def session(self, session: Json) -> Json:
        """A session object, flat."""
        audio = session.get("audio") or {}
        heard, spoken = audio.get("input") or {}, audio.get("output") or {}
        turns = heard.get("turn_detection")
        if turns:
            turns = {k: v for k, v in turns.items() if k != "idle_timeout_ms"}
        return {
            "id": session["id"],
            "model": session.get("model"),
            "modalities": _modalities(session.get("output_modalities")),
            "instructions": session.get("instructions"),
            "voice": spoken.get("voice"),
            "speed": spoken.get("speed"),
            "input_audio_format": _format(heard.get("format")),
            "output_audio_format": _format(spoken.get("format")),
            "input_audio_transcription": heard.get("transcription"),
            "input_audio_noise_reduction": heard.get("noise_reduction"),
            "turn_detection": turns,
            "tools": session.get("tools"),
            "tool_choice": session.get("tool_choice"),
            "temperature": 0.8,
            "max_response_output_tokens": session.get("max_output_tokens"),
        }

    def response(self, response: Json) -> Json:
        """A response object."""
        said = dict(response)
        if "output_modalities" in said:
            said["modalities"] = _modalities(said.pop("output_modalities"))
        said["output"] = [_item(item) for item in said["output"]]
        return said

    def hears(self, raw: Json) -> Json:
        """`Spelling.hears`."""
        raw = dict(raw)
        match raw["type"]:
            case "session.update":
                where = "session"
                heard = self._moved(raw.get(where), self.settings, where)
                raw[where] = {"type": "realtime"} | heard if isinstance(heard, dict) else heard
            case "response.create" if "response" in raw:
                raw["response"] = self._moved(raw["response"], self.parameters, "response")
            case "conversation.item.create":
                raw["item"] = _heard_item(raw.get("item"))
        return raw

    def reads(self, message: Json) -> Json:
        """`Spelling.reads`."""
        return message | {"type": _GA_NAMES.get(message["type"], message["type"])}

    def _moved(self, given: object, places: Mapping[str, Path | None], where: str) -> object:
        if not isinstance(given, dict):
            return given
        moved: Json = {}
        for key, value in given.items():
            if key == "modalities":
                moved["output_modalities"] = self._heard_modalities(value, where)
                continue
            if key not in places:
                param = f"{where}.{key}"
                raise Refusal(
                    f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param
                )
            path = places[key]
            if path is not None:
                ga = _heard_format(value, where, key) if path[-1] == "format" else value
                put(moved, path, ga)
        return moved

    def _heard_modalities(self, value: object, where: str) -> list[str]:
        kinds = value if isinstance(value, list) else []
        if kinds == ["text"]:
            return ["text"]
        if "audio" in kinds and (self.audio_alone or "text" in kinds):
            return ["audio"]
        raise Refusal(
            f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio', 'text'].",
            code="invalid_value",
            param=f"{where}.modalities",
        )


class VoiceLive(Beta):
    """Azure Voice Live: `azure.ai.voicelive.models`."""

    tells_conversation = False
    audio_alone = True
    calls_named = True
    parameters: ClassVar[Mapping[str, Path | None]] = {
        **{k: v for k, v in Beta.parameters.items() if k not in ("conversation", "input")},
        "append_input_items": ("input",),
        "input_items": ("input",),
        "max_output_tokens": ("max_output_tokens",),
        "commit": ("conversation",),
        "cancel_previous": None,
        "reasoning_effort": None,
    }
    settings: ClassVar[Mapping[str, Path | None]] = {
        **{k: v for k, v in Beta.settings.items() if k not in ("speed", "tracing")},
        "input_audio_sampling_rate": None,
        "input_audio_echo_cancellation": None,
        "output_audio_timestamp_types": None,
    }

    def session(self, session: Json) -> Json:
        """`Beta.session`."""
        said = super().session(session)
        del said["speed"]
        if isinstance(said["voice"], str):
            said["voice"] = {"type": "openai", "name": said["voice"]}
        return said

    def response(self, response: Json) -> Json:
        """`Beta.response`."""
        said = super().response(response)
        details = said.get("status_details")
        if details:
            # It has details of three ends, each with what concerns it (`ResponseStatusDetails`).
            kept = {"cancelled": "reason", "incomplete": "reason", "failed": "error"}
            about = kept.get(details["type"])
            said["status_details"] = about and {key: details[key] for key in ("type", about)}
        return said

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if event == "conversation.item.input_audio_transcription.completed":
            fields.pop("usage", None)
        return super().says(event, fields)

    def hears(self, raw: Json) -> Json:
        """`Spelling.hears`."""
        raw = super().hears(raw)
        response = raw.get("response")
        if isinstance(response, dict) and "conversation" in response:
            # `commit: false` keeps a response out of the conversation (ResponseCreateParams).
            response["conversation"] = "auto" if response["conversation"] else "none"
        session = raw.get("session")
        if raw["type"] == "session.update" and isinstance(session, dict):
            turns = session.get("audio", {}).get("input", {}).get("turn_detection")
            if isinstance(turns, dict):
                put(session, ("audio", "input", "turn_detection"), _openai_turns(turns))
        return raw

    def keeps_previous(self, raw: Json) -> bool:
        """`Spelling.keeps_previous`."""
        response = raw.get("response")
        return isinstance(response, dict) and response.get("cancel_previous") is False


class Speaches(Beta):
    """Speaches: beta names, and a response object of five fields."""

    audio_alone = True

    def response(self, response: Json) -> Json:
        """`Beta.response`."""
        said = super().response(response)
        known = ("id", "object", "status", "output", "modalities")
        said = {key: said[key] for key in known if key in said}
        if said.get("status") == "in_progress":
            said["status"] = "incomplete"  # It has no other word for what is not completed.
        return said


BETA: Final = Beta()
VOICELIVE: Final = VoiceLive()
SPEACHES: Final = Speaches()

_GA_NAMES: Final = {own: ga for ga, own in Beta.names.items()}
_FORMATS: Final[dict[str, Json]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_FORMAT_NAMES: Final = {form["type"]: name for name, form in _FORMATS.items()}
_PARTS: Final = {"output_text": "text", "output_audio": "audio"}
"""Content parts of the assistant: GA, beta."""
_GA_PARTS: Final = {own: ga for ga, own in _PARTS.items()}


def _modalities(ga: Any) -> list[str]:  # noqa: ANN401  a JSON list or nothing
    return ["text"] if ga == ["text"] else ["audio", "text"]


def _format(ga: Json | None) -> str:
    return _FORMAT_NAMES[(ga or {}).get("type", "audio/pcm")]


def _heard_format(value: object, where: str, key: str) -> Json | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in _FORMATS:
        names = ", ".join(f"'{name}'" for name in _FORMATS)
        raise Refusal(
            f"Invalid value: {value!r}. Supported values are: {names}.",
            code="invalid_value",
            param=f"{where}.{key}",
        )
    return _FORMATS[value]


def _item(ga: Json) -> Json:
    if "content" not in ga:
        return ga
    content = [part | {"type": _PARTS.get(part["type"], part["type"])} for part in ga["content"]]
    return ga | {"content": content}


def _heard_item(item: object) -> object:
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    parts = []
    for at, part in enumerate(item["content"]):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _PARTS:
            raise Refusal(
                f"Invalid value: '{kind}'. Supported values are: '{_PARTS[kind]}'.",
                code="invalid_value",
                param=f"item.content[{at}].type",
            )
        if isinstance(kind, str) and kind in _GA_PARTS:
            part = part | {"type": _GA_PARTS[kind]}
        parts.append(part)
    return item | {"content": parts}


def _openai_turns(turns: Json) -> Json:
    """Turn detection as OpenAI has it. Azure's own kinds of VAD interrupt alike, so one stands for all; what else
    they can be told changes nothing on this wire."""
    kept = ("threshold", "prefix_padding_ms", "silence_duration_ms")
    flags = ("create_response", "interrupt_response")
    kind = turns.get("type")
    if isinstance(kind, str) and kind.startswith("azure_semantic_vad"):
        kind = "server_vad"
    return {"type": kind} | {key: turns[key] for key in (*kept, *flags) if key in turns}
