"""How the Nova Sonic server's model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any

import msgspec

from .facts import Asked, Told
from .nova_sonic_wire import decode
from .turns_facts import tells, tells_audio, tells_done, truth
from .turns_state import Refused


@lru_cache(maxsize=4096)
def told_all(message: str | bytes, bytes_per_ms: int = 32) -> tuple[Told, ...]:
    """Everything a message of the server says. Text blocks say nothing of what is spoken now: it is planned, or a
    record. Only that one was interrupted counts."""
    m: dict[str, Any] = msgspec.json.decode(message)
    ((name, body),) = m["event"].items()
    match name:
        case "contentStart" if body["type"] == "AUDIO":
            response, item, request, _ = truth(m)
            return (Told("announced", response, item, request, status="message"),)
        case "audioOutput":
            return (tells_audio(base64.b64decode(body["content"]), bytes_per_ms, m),)
        case "toolUse":
            return (tells("call", m),)
        case "contentEnd":
            return _block_end(m, body["type"], body["stopReason"])
    return ()


def _block_end(m: dict[str, Any], kind: str, reason: str) -> tuple[Told, ...]:
    ended = (tells("ended", m),) if kind == "AUDIO" else ()
    if reason == "INTERRUPTED":
        return (*ended, tells("interrupted", m), tells_done(m, "cancelled"))
    return (*ended, tells_done(m)) if kind == "AUDIO" and reason == "END_TURN" else ended


def told(message: str | bytes, bytes_per_ms: int = 32) -> Told | None:
    """What a message of the server says, the last thing of several; None if it says nothing that the properties
    speak of."""
    found = told_all(message, bytes_per_ms)
    return found[-1] if found else None


@lru_cache(maxsize=4096)
def asked(message: str | bytes) -> Asked:
    """What a message of the client asks for. A request is three events; the first tells that it is one, and its
    name."""
    try:
        name, body = decode(message)
    except Refused:
        return Asked("other")
    if name == "content_start" and body.asks:
        return Asked("create", request=body.content_name)
    return Asked("other")
