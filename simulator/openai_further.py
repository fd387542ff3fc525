"""Further spellings of the OpenAI family: Inworld, Hugging Face speech-to-speech, vLLM-Omni, Alibaba Qwen-Omni.

Sources: facts/transports.md 22 (Qwen-Omni), 23 (Inworld), 26.3 (Hugging Face), 26.4 (vLLM-Omni); of the two that one
hosts oneself also their code: src/speech_to_speech/api/openai_realtime in huggingface/speech-to-speech, and
vllm_omni/entrypoints/openai/realtime/connection.py in vllm-project/vllm-omni.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from .openai_beta import Beta
from .openai_memory import Item
from .openai_spelling import Path, Spelling
from .openai_wire import Json, Refusal


class Inworld(Spelling):
    """Inworld: GA names; how a function is called only its item says for certain."""

    tells_conversation = False

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if event == "response.function_call_arguments.done":
            fields.pop("name", None)
        return super().says(event, fields)


class HuggingFace(Spelling):
    """Hugging Face speech-to-speech: GA names, errors by their type, and few events of the conversation.

    The server does not say `response.content_part` events either, which the model says and no table reads.
    """

    tells_conversation = False
    tells_idle = False
    unknown: ClassVar[frozenset[str]] = frozenset(
        {"conversation.item.delete", "conversation.item.retrieve", "input_audio_buffer.clear"}
    )

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """`Spelling.joins`."""
        injected = verb == "added" and item.response is None
        return "conversation.item.created" if injected else None

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if event == "error":
            error = fields["error"]
            kind = error.get("code") or error["type"]
            fields["error"] = error | {"type": kind, "code": None, "param": None}
        return super().says(event, fields)

    def hears(self, raw: Json) -> Json:
        """`Spelling.hears`."""
        if raw["type"] in self.unknown:
            reason = f"Unknown or invalid event: {raw['type']}"
            raise Refusal(reason, code="unknown_or_invalid_event")
        return raw

    def reads(self, message: Json) -> Json:
        """`Spelling.reads`."""
        if message["type"] != "error":
            return message
        return message | {"error": message["error"] | {"code": message["error"]["type"]}}


class VllmOmni(Spelling):
    """vLLM-Omni, turn-based: GA names; an item joins the conversation when it is whole, and errors have one code."""

    tells_idle = False
    words: ClassVar[Mapping[str, str]] = {
        "response_cancel_not_active": "No response is in progress",
        "item_truncate_invalid_item_id": "Item not found",
        "item_delete_invalid_item_id": "Item not found",
        "item_retrieve_invalid_item_id": "Item not found",
        "unsupported_content_type": "Can only truncate assistant messages",
    }
    """What it says for one of OpenAI's codes, where a client may have to understand it."""

    def joins(self, verb: Literal["added", "done"], item: Item) -> str | None:
        """`Spelling.joins`."""
        early = verb == "added" and item.response is not None
        return None if early else f"conversation.item.{verb}"

    def says(self, event: str, fields: Json) -> tuple[str, Json]:
        """`Spelling.says`."""
        if event == "error":
            error = fields["error"]
            code, reason = error.get("code") or "", error["message"]
            if code == "invalid_value" and error.get("param") == "audio_end_ms":
                reason = "audio_end_ms is greater than the actual audio duration"
            own = {"code": "invalid_request_error", "message": self.words.get(code, reason)}
            fields["error"] = error | own | {"param": None}
        return super().says(event, fields)


class Qwen(Beta):
    """Alibaba Qwen-Omni: a request has instructions and modalities, and PCM is named by its rate."""

    parameters: ClassVar[Mapping[str, Path | None]] = {"instructions": ("instructions",)}
    settings: ClassVar[Mapping[str, Path | None]] = {
        key: path
        for key, path in Beta.settings.items()
        if key not in ("input_audio_noise_reduction", "speed", "tracing")
    }
    unknown: ClassVar[frozenset[str]] = frozenset(
        {
            "conversation.item.delete",
            "conversation.item.retrieve",
            "conversation.item.truncate",
        }
    )

    def session(self, session: Json) -> Json:
        """`Beta.session`."""
        return super().session(session) | {"output_audio_format": "pcm24"}

    def hears(self, raw: Json) -> Json:
        """`Spelling.hears`."""
        kind, session = raw["type"], raw.get("session")
        if kind in self.unknown:
            raise Refusal(f"Invalid value: '{kind}'.", code="invalid_value", param="type")
        if kind == "session.update" and isinstance(session, dict):
            formats = {"input_audio_format": "pcm16", "output_audio_format": "pcm24"}
            raw = raw | {"session": {k: v for k, v in session.items() if v != formats.get(k)}}
        return super().hears(raw)


INWORLD: Final = Inworld()
HUGGING_FACE: Final = HuggingFace()
VLLM_OMNI: Final = VllmOmni()
QWEN: Final = Qwen()
