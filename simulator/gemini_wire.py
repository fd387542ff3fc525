"""What a Gemini Live client may write. Shapes: `google.genai.types.LiveClientMessage` and what it refers to.

Keys may be camelCase or snake_case, as the SDK mixes both. facts/providers.md 5.1, 5.3.
"""

import base64
import binascii
import re
from typing import Any, Final

import msgspec

from .turns_state import Json, Refused

INVALID: Final = 1007
"""WebSocket close code for an invalid argument. facts/providers.md 5.8."""

EXPLICIT_ACTIVITY: Final = (
    "Explicit activity control is not supported when automatic activity detection is enabled"
)
"""Why the socket closes on `activityStart` while the server listens by itself. facts/providers.md 5.5."""


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A message or a part of one: nothing in it is unknown."""


class Part(msgspec.Struct, frozen=True):
    """A part of a turn; only its text is looked at."""

    text: str | None = None


class Content(msgspec.Struct, frozen=True):
    """One turn of the history."""

    parts: tuple[Part, ...] = ()
    role: str | None = None


class ClientContent(_Shape, frozen=True):
    """`google.genai.types.LiveClientContent`."""

    turns: tuple[Content, ...] | None = None
    turn_complete: bool | None = None

    @property
    def text(self) -> str:
        """All its text, by which a request is known."""
        return "".join(part.text or "" for turn in self.turns or () for part in turn.parts)


class Blob(_Shape, frozen=True):
    """Audio or video; `data` is base64."""

    data: str
    mime_type: str = ""


class RealtimeInput(_Shape, frozen=True):
    """`google.genai.types.LiveClientRealtimeInput`."""

    media_chunks: tuple[Blob, ...] | None = None
    audio: Blob | None = None
    audio_stream_end: bool | None = None
    video: Blob | None = None
    text: str | None = None
    activity_start: Json | None = None
    activity_end: Json | None = None


class FunctionResponse(msgspec.Struct, frozen=True):
    """`google.genai.types.FunctionResponse`, as far as the conversation depends on it."""

    id: str | None = None
    name: str | None = None
    scheduling: str | None = None


class ToolResponse(_Shape, frozen=True):
    """`google.genai.types.LiveClientToolResponse`."""

    function_responses: tuple[FunctionResponse, ...] | None = None


class ClientMessage(_Shape, frozen=True):
    """`google.genai.types.LiveClientMessage`: one of its fields is set."""

    setup: Json | None = None
    client_content: ClientContent | None = None
    realtime_input: RealtimeInput | None = None
    tool_response: ToolResponse | None = None
    context_update: Json | None = None


def decode(message: str | bytes) -> ClientMessage:
    """A client message.

    :raises Refused: if it is none.
    """
    try:
        raw: object = msgspec.json.decode(message)
        found = msgspec.convert(_camel(raw), ClientMessage)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise Refused(f"Invalid JSON payload received. {problem}", code=INVALID) from None
    given = [name for name in found.__struct_fields__ if getattr(found, name) is not None]
    if len(given) != 1:
        raise Refused("Exactly one kind of message must be set.", code=INVALID)
    heard = found.realtime_input
    if heard is not None:
        for blob in (*(heard.media_chunks or ()), heard.audio, heard.video):
            if blob is not None:
                _check_base64(blob.data)
    return found


def _check_base64(data: str) -> None:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            "Invalid value at 'data' (TYPE_BYTES), Base64 decoding failed.", code=INVALID
        ) from None


def _camel(value: Any) -> Any:  # noqa: ANN401  JSON
    """The same with keys in camelCase. What it does to the keys of a payload nobody looks at."""
    if isinstance(value, dict):
        return {_UNDERSCORE.sub(_upper, key): _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


_UNDERSCORE: Final = re.compile(r"(?<=[a-z0-9])_([a-z])")


def _upper(found: re.Match[str]) -> str:
    return found[1].upper()
