"""How the Ultravox server's model reads its own wire for the explorer's properties."""

from functools import lru_cache
from typing import Any

import msgspec

from .facts import Asked, Told
from .turns_facts import tells, tells_audio, tells_done, truth
from .turns_state import Refused
from .ultravox_wire import ForcedAgentMessage, UserText, decode


@lru_cache(maxsize=4096)
def told(message: str | bytes, bytes_per_ms: int = 32) -> Told | None:
    """What a message of the server says; None if it says nothing that the properties speak of. A binary frame is
    audio, unless it is padding."""
    if isinstance(message, bytes):
        audio = tells_audio(message, bytes_per_ms)
        return audio if audio.voice else None
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "state":
            return _state(m)
        case "transcript" if m["role"] == "agent":
            return tells("ended" if m["final"] else "text", m)
        case "playback_clear_buffer":
            return tells("interrupted", m)
        case "client_tool_invocation":
            return tells("call", m)
    return None


def _state(m: dict[str, Any]) -> Told | None:
    """That the agent listens says nothing of why; that it was interrupted was said before, if at all."""
    if not truth(m).response:
        return None
    return (
        tells("created", m)
        if m["state"] in ("thinking", "speaking")
        else tells_done(m, "completed")
    )


def told_all(message: str | bytes, bytes_per_ms: int = 32) -> tuple[Told, ...]:
    """The same as a tuple."""
    found = told(message, bytes_per_ms)
    return () if found is None else (found,)


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for. Text that interrupts and says nothing can only be a cancel, whatever the
    server makes of it."""
    if isinstance(message, bytes):
        return Asked("other")
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    match m:
        case UserText(urgency="later"):
            return Asked("other")
        case UserText(urgency="immediate", text=""):
            return Asked("cancel")
        case UserText(defer_response=True):
            return Asked("cancel" if m.urgency == "immediate" else "other")
        case UserText():
            return Asked("create", request=m.text)
        case ForcedAgentMessage():
            return Asked("create", request=m.content)
    return Asked("other")
