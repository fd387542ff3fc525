"""How the AssemblyAI Voice Agent server's model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any

import msgspec

from .assemblyai_wire import Create, decode
from .facts import Asked, Told
from .turns_facts import tells, tells_audio, tells_done
from .turns_state import Refused


@lru_cache(maxsize=4096)
def told_all(message: str | bytes, bytes_per_ms: int = 8) -> tuple[Told, ...]:
    """Everything a message of the server says. That the caller speaks is no barge-in here: the server says of a
    reply that it was interrupted, with its last word."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "reply.started":
            return (tells("created", m),)
        case "reply.audio":
            return (tells_audio(base64.b64decode(m["data"]), bytes_per_ms, m),)
        case "reply.done" if m.get("status") == "interrupted":
            return (tells("interrupted", m), tells_done(m, "cancelled"))
        case "reply.done":
            return (tells_done(m, "completed"),)
        case "transcript.agent" if not m["interrupted"]:
            return (tells("text", m),)
        case "tool.call":
            return (tells("call", m),)
        case "session.error":
            return (tells("error", m),)
    return ()


def told(message: str | bytes, bytes_per_ms: int = 8) -> Told | None:
    """What a message of the server says, the last thing of several; None if it says nothing that the properties
    speak of."""
    found = told_all(message, bytes_per_ms)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for."""
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    return (
        Asked("create", request=m.instructions or "") if isinstance(m, Create) else Asked("other")
    )
