"""What the messages of a server without response ids have in common for the explorer's properties."""

from typing import Any, Literal, NamedTuple

from .facts import Told
from .voice import trace


class Truth(NamedTuple):
    """Whom a message is about, as the model says beside the wire (`_of`); nothing where no explorer looks on."""

    response: str = ""
    item: str = ""
    request: str = ""
    by: str = ""


def truth(message: dict[str, Any]) -> Truth:
    """What `_of` says."""
    return Truth(**message.get("_of", {}))


def tells(
    what: Literal["created", "text", "call", "ended", "interrupted", "error"],
    message: dict[str, Any],
) -> Told:
    """What a JSON message says of the turn it is about. An interruption's `status` is who stopped it (`client`,
    `caller`); an error's `op` is the request it refuses."""
    response, item, request, by = truth(message)
    op = request if what == "error" else ""
    return Told(what, response, item, request, status=by, op=op)


def tells_done(message: dict[str, Any], status: str = "") -> Told:
    """The end of a turn. By default it is `cancelled` if somebody stopped it, else `completed`."""
    response, _, request, by = truth(message)
    status = status or ("cancelled" if by else "completed")
    return Told("done", response, request=request, status=status)


def tells_audio(audio: bytes, bytes_per_ms: int, message: dict[str, Any] | None = None) -> Told:
    """Audio, in a JSON message or (None) a binary frame: then its own voice tells whose it is, and not which request
    it answers."""
    first = trace(audio[:bytes_per_ms], bytes_per_ms)[0] if audio else None
    voice, ms = (first[0] if first else 0), len(audio) // bytes_per_ms
    if message is None:
        named = (f"resp_{(voice - 1) // 100 + 1}", f"item_{voice}") if voice else ("", "")
        return Told("audio", *named, voice=voice, ms=ms)
    response, item, request, _ = truth(message)
    return Told("audio", response, item, request, voice, ms)
