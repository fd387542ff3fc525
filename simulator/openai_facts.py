"""How the OpenAI server's model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from .facts import Asked, Told
from .voice import trace

_BYTES_PER_MS: Final = 8
"""The explorer's calls speak G.711 mu-law, as telephones do."""

_ASKS: Final[dict[str, Literal["create", "cancel", "truncate", "delete"]]] = {
    "response.create": "create",
    "response.cancel": "cancel",
    "conversation.item.truncate": "truncate",
    "conversation.item.delete": "delete",
}


@lru_cache(maxsize=4096)
def told(message: str) -> Told | None:
    """What a message of the server says; None if it says nothing that the properties speak of."""
    return read(msgspec.json.decode(message))


def read(m: dict[str, Any]) -> Told | None:
    """`told` of a message that is decoded and has GA names."""
    response, item = m.get("response_id") or "", m.get("item_id") or ""
    match m["type"]:
        case "response.created":
            made = m["response"]
            return Told("created", made["id"], request=_request(made))
        case "response.output_item.added":
            kind = m["item"]["type"]
            return Told("announced", response, m["item"]["id"], status=kind)
        case "response.output_audio.delta":
            audio = base64.b64decode(m["delta"])
            voice, ms = _voice(audio)
            return Told("audio", response, item, voice=voice, ms=ms)
        case "response.output_text.delta" | "response.output_audio_transcript.delta":
            return Told("text", response, item)
        case "response.function_call_arguments.done":
            return Told("call", response, item)
        case "response.output_audio.done":
            return Told("ended", response, item)
        case "response.output_item.done":
            return Told("ended", response, m["item"]["id"])
        case "response.done":
            ended = m["response"]
            return Told(
                "done", ended["id"], request=_request(ended), status=ended.get("status") or ""
            )
        case "input_audio_buffer.speech_started":
            return Told("speech_started")
        case "conversation.item.truncated":
            return Told("truncated", item=item, ms=m["audio_end_ms"])
        case "conversation.item.deleted":
            return Told("deleted", item=item)
        case "error":
            error = m["error"]
            return Told("error", status=error.get("code") or "", op=error.get("event_id") or "")
    return None


@lru_cache(maxsize=4096)
def asked(message: str) -> Asked:
    """What a message of the client asks for."""
    m: dict[str, Any] = msgspec.json.decode(message)
    what = _ASKS.get(m["type"])
    if what is None:
        return Asked("other")
    op = m.get("event_id") or ""
    return Asked(
        what,
        request=op if what == "create" else "",
        response=m.get("response_id") or "",
        item=m.get("item_id") or "",
        ms=m.get("audio_end_ms", 0),
        op=op,
    )


def _request(response: dict[str, Any]) -> str:
    request: str = (response.get("metadata") or {}).get("client_event_id") or ""
    return request


def _voice(audio: bytes) -> tuple[int, int]:
    first = trace(audio[:_BYTES_PER_MS], _BYTES_PER_MS)[0]
    return (first[0] if first else 0), len(audio) // _BYTES_PER_MS
