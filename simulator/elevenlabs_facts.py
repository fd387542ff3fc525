"""How the ElevenLabs Agents server's model reads its own wire for the explorer's properties.

Responses are called by their numbers on the wire. The end of a segment that nobody stopped has no message: it is the
next one's first (`Readings.supersedes`). Which request is answered is not told: only the order says so.
"""

import base64
from functools import lru_cache
from typing import Any

import msgspec

from .elevenlabs_wire import MultimodalMessage, UserMessage, decode
from .facts import Asked, Told
from .turns_facts import tells, tells_audio
from .turns_state import Refused


@lru_cache(maxsize=4096)
def told_all(message: str | bytes, bytes_per_ms: int = 8) -> tuple[Told, ...]:
    """Everything a message of the server says. Nothing is ever a last word: late audio may follow an interruption,
    and no message says that a segment is complete."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "audio":
            audio = base64.b64decode(m["audio_event"]["audio_base_64"])
            return (tells_audio(audio, bytes_per_ms, m)._replace(request=""),)
        case "agent_response":
            return (tells("text", m)._replace(request="", status="message"),)
        case "client_tool_call":
            return (tells("call", m)._replace(request=""),)
        case "interruption":
            return (tells("interrupted", m)._replace(request=""),)
    return ()


def told(message: str | bytes) -> Told | None:
    """What a message of the server says, the last thing of several; None if it says nothing that the properties
    speak of. Its audio is mu-law."""
    found = told_all(message)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for."""
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    match m:
        case UserMessage(text=str(text)) | MultimodalMessage(text=UserMessage(text=str(text))):
            return Asked("create", request=text)
        case MultimodalMessage(file=dict()):
            return Asked("create")
    return Asked("other")
