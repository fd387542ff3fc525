"""What an OpenAI Realtime client may write, and how the server says no.

Shapes: `openai.types.realtime.RealtimeClientEvent` and what it refers to. A message that does not fit is
answered with an `error` event and leaves the session as it was
(`openai.types.realtime.RealtimeErrorEvent`: "Most errors are recoverable and the session will stay open").
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]

BYTES_PER_MS: Final[dict[str, int]] = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
"""PCM is 24 kHz, 16 bit, mono; G.711 is 8 kHz (`openai.types.realtime.RealtimeAudioFormats`)."""

MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
"""`openai.types.realtime.InputAudioBufferAppendEvent`."""


class Refusal(Exception):
    """The server will not do what a client event asks. Its fields are those of the `error` event."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.event_id = event_id


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the three audio formats."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Literal[24000] | None = None


class TurnDetection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`openai.types.realtime.RealtimeAudioInputTurnDetection`, both kinds in one."""

    type: Literal["server_vad", "semantic_vad"]
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: int | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    threshold: float | None = None
    eagerness: Literal["low", "medium", "high", "auto"] | None = None


class AudioInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio.input`."""

    format: Format | None = None
    noise_reduction: Json | None = None
    transcription: Json | None = None
    turn_detection: TurnDetection | None = None


class AudioOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio.output` and `response.audio.output`."""

    format: Format | None = None
    speed: float | None = None
    voice: str | Json | None = None


class Audio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session.audio` and `response.audio`."""

    input: AudioInput | None = None
    output: AudioOutput | None = None


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`openai.types.realtime.RealtimeSessionCreateRequest`."""

    type: Literal["realtime"]
    audio: Audio | None = None
    include: list[str] | None = None
    instructions: str | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    model: str | None = None
    output_modalities: list[Literal["text", "audio"]] | None = None
    parallel_tool_calls: bool | None = None
    prompt: Json | None = None
    reasoning: Json | None = None
    tool_choice: str | Json | None = None
    tools: list[Json] | None = None
    tracing: str | Json | None = None
    truncation: str | Json | None = None


class SessionUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session.update`."""

    type: str
    session: Session
    event_id: str | None = None


class ResponseParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`openai.types.realtime.RealtimeResponseCreateParams`."""

    audio: Audio | None = None
    conversation: Literal["auto", "none"] | None = None
    input: list[Json] | None = None
    instructions: str | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    metadata: dict[str, str] | None = None
    output_modalities: list[Literal["text", "audio"]] | None = None
    parallel_tool_calls: bool | None = None
    prompt: Json | None = None
    reasoning: Json | None = None
    tool_choice: str | Json | None = None
    tools: list[Json] | None = None


class ResponseCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`response.create`."""

    type: str
    response: ResponseParams | None = None
    event_id: str | None = None


class ResponseCancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`response.cancel`."""

    type: str
    response_id: str | None = None
    event_id: str | None = None


class Truncate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`conversation.item.truncate`. `audio_end_ms` is checked by hand: 850.0 is no integer here."""

    type: str
    item_id: str
    content_index: int
    audio_end_ms: Any
    event_id: str | None = None


class ItemRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`conversation.item.delete` and `conversation.item.retrieve`."""

    type: str
    item_id: str
    event_id: str | None = None


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One content part of a message made by the client."""

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: Literal["auto", "low", "high"] | None = None


class NewItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An item made by the client; the fields of the three kinds in one."""

    type: Literal["message", "function_call", "function_call_output"]
    id: str | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: list[Content] | None = None
    call_id: str | None = None
    output: str | None = None
    name: str | None = None
    arguments: str | None = None


class ItemCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`conversation.item.create`."""

    type: str
    item: NewItem
    previous_item_id: str | None = None
    event_id: str | None = None


class Append(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`input_audio_buffer.append`."""

    type: str
    audio: str
    event_id: str | None = None


class Bare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client event that is only its type."""

    type: str
    event_id: str | None = None


ClientEvent: TypeAlias = (
    SessionUpdate
    | ResponseCreate
    | ResponseCancel
    | Truncate
    | ItemRef
    | ItemCreate
    | Append
    | Bare
)

_SHAPES: Final[dict[str, type[ClientEvent]]] = {
    "session.update": SessionUpdate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
    "conversation.item.create": ItemCreate,
    "conversation.item.truncate": Truncate,
    "conversation.item.delete": ItemRef,
    "conversation.item.retrieve": ItemRef,
    "input_audio_buffer.append": Append,
    "input_audio_buffer.commit": Bare,
    "input_audio_buffer.clear": Bare,
    "output_audio_buffer.clear": Bare,
}

_COMPLAINT: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(
    r"Object (?P<how>missing required|contains unknown) field `(?P<name>.*)`"
)


def decode(message: str | bytes) -> tuple[ClientEvent, Json]:
    """A client message as its struct and as plain JSON. Raises `Refusal`."""
    raw = parse(message)
    return shaped(raw), raw


def parse(message: str | bytes) -> Json:
    """A client message as plain JSON with a `type`. Raises `Refusal`."""
    if isinstance(message, bytes):
        raise Refusal("Expected a text message holding JSON, got a binary one.")
    try:
        raw = msgspec.json.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Refusal("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(raw, dict) or "type" not in raw:
        # The example of the API reference:
        # https://platform.openai.com/docs/api-reference/realtime-server-events/error
        raise Refusal(
            "The 'type' field is missing.", code="invalid_event", event_id=event_id_of(raw)
        )
    return raw


def shaped(raw: Json) -> ClientEvent:
    """A client message as its struct. Raises `Refusal`."""
    kind = raw["type"]
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        names = ", ".join(f"'{name}'" for name in _SHAPES)
        raise Refusal(
            f"Invalid value: {kind!r}. Supported values are: {names}."
            if isinstance(kind, str)
            else "Invalid type for 'type': expected a string.",
            code="invalid_value" if isinstance(kind, str) else "invalid_type",
            param="type",
            event_id=event_id_of(raw),
        )
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as problem:
        refusal = _refusal(str(problem))
        refusal.event_id = event_id_of(raw)
        raise refusal from None


def event_id_of(raw: object) -> str | None:
    """The `event_id` that the client gave, None if it gave none or no text."""
    event_id = raw.get("event_id") if isinstance(raw, dict) else None
    return event_id if isinstance(event_id, str) else None


def _refusal(complaint: str) -> Refusal:
    match = _COMPLAINT.fullmatch(complaint)
    what, where = (match["what"], match["where"] or "") if match else (complaint, "")
    field = _FIELD.match(what)
    if field is None:
        code = "invalid_value" if what.startswith("Invalid") else "invalid_type"
        return Refusal(f"Invalid '{where}': {what}.", code=code, param=where or None)
    param = f"{where}.{field['name']}" if where else field["name"]
    if field["how"] == "contains unknown":
        return Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    return Refusal(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def decode_audio(text: str) -> bytes:
    """Base64 audio as bytes. Raises `Refusal` when it is no base64 or more than 15 MiB."""
    try:
        audio = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(
            "Invalid 'audio'. Expected base64-encoded audio bytes but got an invalid value.",
            code="invalid_value",
            param="audio",
        ) from None
    if len(audio) > MAX_APPEND_BYTES:
        raise Refusal("Invalid 'audio'. At most 15 MiB.", code="invalid_value", param="audio")
    return audio


def check_metadata(metadata: Mapping[str, str]) -> None:
    """16 pairs, keys of 64 and values of 512 characters at most (`openai.types.shared.Metadata`)."""
    if len(metadata) > 16:
        raise Refusal(
            "Invalid 'response.metadata': at most 16 pairs.",
            code="object_above_max_properties",
            param="response.metadata",
        )
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise Refusal(
                "Invalid 'response.metadata': keys hold 64 characters at most, values 512.",
                code="string_above_max_length",
                param="response.metadata",
            )
