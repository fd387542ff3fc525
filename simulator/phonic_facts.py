"""How the Phonic server's model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any

import msgspec

from .facts import Asked, Told
from .phonic_wire import GenerateReply, Reset, Say, decode
from .turns_facts import tells, tells_audio, tells_done, truth
from .turns_state import Refused


@lru_cache(maxsize=4096)
def told_all(message: str | bytes, bytes_per_ms: int = 8) -> tuple[Told, ...]:
    """Everything a message of the server says: a chunk of audio has its words with it."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "audio_chunk":
            words = (tells("text", m),) if m["text"] else ()
            audio = base64.b64decode(m["audio"])
            return (*words, tells_audio(audio, bytes_per_ms, m)) if audio else words
        case "assistant_started_speaking":
            return (tells("created", m),)
        case "assistant_finished_speaking":
            return (tells_done(m),)
        case "interrupted_response" if truth(m).response:
            # Long after the interruption; it speaks of a turn that is over by then, told or not.
            return (tells_done(m, "cancelled"),)
        case "user_started_speaking":
            return (Told("speech_started"),)
        case "tool_call":
            return (tells("call", m),)
        case "error":
            return (tells("error", m),)
    return ()


def told(message: str | bytes, bytes_per_ms: int = 8) -> Told | None:
    """What a message of the server says, the last thing of several; None if it says nothing that the properties
    speak of."""
    found = told_all(message, bytes_per_ms)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for. Nothing is a cancel but to begin all over."""
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    if isinstance(m, GenerateReply | Say):
        return Asked("create", request=m.text)
    return Asked("cancel" if isinstance(m, Reset) else "other")
