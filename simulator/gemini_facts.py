"""How the Gemini Live server's model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any, Final

import msgspec

from .facts import Asked, Told
from .gemini_wire import decode
from .turns_facts import tells, tells_audio, tells_done
from .turns_state import Refused

_BYTES_PER_MS: Final = 48
"""PCM16 at 24 kHz."""


@lru_cache(maxsize=4096)
def told_all(message: str | bytes) -> tuple[Told, ...]:
    """Everything a message of the server says: content first, then how the turn goes on."""
    m: dict[str, Any] = msgspec.json.decode(message)
    content: dict[str, Any] = m.get("serverContent") or {}
    found: list[Told] = []
    if (m.get("voiceActivity") or {}).get("voiceActivityType") == "ACTIVITY_START":
        found.append(Told("speech_started"))
    if content.get("outputTranscription"):
        found.append(tells("text", m))
    for part in (content.get("modelTurn") or {}).get("parts") or ():
        if "inlineData" in part:
            audio = base64.b64decode(part["inlineData"]["data"])
            found.append(tells_audio(audio, _BYTES_PER_MS, m))
        else:
            found.append(tells("text", m))
    found += [tells("call", m) for _ in (m.get("toolCall") or {}).get("functionCalls") or ()]
    if content.get("generationComplete"):
        found.append(tells("ended", m))
    if content.get("interrupted"):
        found.append(tells("interrupted", m))
    if content.get("turnComplete"):
        found.append(tells_done(m, "failed" if content.get("turnCompleteReason") else ""))
    return tuple(found)


def told(message: str | bytes) -> Told | None:
    """What a message of the server says, the last thing of several; None if it says nothing that the properties
    speak of."""
    found = told_all(message)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for. New input that is no request can only interrupt."""
    try:
        m = decode(message)
    except Refused:
        return Asked("other")
    content, heard = m.client_content, m.realtime_input
    if content is not None:
        return Asked("create", request=content.text) if content.turn_complete else Asked("cancel")
    if heard is not None and heard.text is not None:
        return Asked("create", request=heard.text)
    return Asked("cancel" if heard is not None and heard.activity_start is not None else "other")
