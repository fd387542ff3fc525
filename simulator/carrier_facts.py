"""How the carrier models read their own wires for the explorer's properties. Twilio's is `twilio_facts.py`.

Text is `str` here and a binary frame `bytes`. The trace in the audio needs to know the format, so the two readers of
a carrier are made for one: `ordered, returned = carrier_facts.readings("vonage", bytes_per_ms=32)`.
"""

import base64
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from .facts import Order, Returned
from .voice import is_silence, trace

Wire = str | bytes
Path = tuple[str, ...]


class Words(NamedTuple):
    """The words of one carrier that the properties speak of. A path leads into the message."""

    tag: str
    """The field that says what a message is; the app's may differ from the carrier's."""
    mark: str
    mark_name: Path
    clear: str
    returned_tag: str
    returned: str
    returned_name: Path
    media: str = ""
    audio: Path = ()
    """Where text carries the audio; nowhere, if it travels as binary frames."""
    flag: Path = ()
    """Where a mark says `cleared` that was."""
    stop: str = ""


_LIKE_TWILIO: Final = Words(
    tag="event",
    media="media",
    audio=("media", "payload"),
    mark="mark",
    mark_name=("mark", "name"),
    clear="clear",
    returned_tag="event",
    returned="mark",
    returned_name=("mark", "name"),
    stop="stop",
)
WORDS: Final[dict[str, Words]] = {
    "telnyx": _LIKE_TWILIO,
    "signalwire": _LIKE_TWILIO,
    "plivo": Words(
        tag="event",
        media="playAudio",
        audio=("media", "payload"),
        mark="checkpoint",
        mark_name=("name",),
        clear="clearAudio",
        returned_tag="event",
        returned="playedStream",
        returned_name=("name",),
    ),
    "jambonz": Words(
        tag="type",
        mark="mark",
        mark_name=("data", "name"),
        clear="killAudio",
        returned_tag="type",
        returned="mark",
        returned_name=("data", "name"),
        flag=("data", "event"),
    ),
    "vonage": Words(
        tag="action",
        mark="notify",
        mark_name=("payload",),
        clear="clear",
        returned_tag="event",
        returned="websocket:notify",
        returned_name=("payload",),
    ),
}


@lru_cache(maxsize=64)
def readings(
    carrier: str, bytes_per_ms: int
) -> tuple[Callable[[Wire], Order], Callable[[Wire], Returned]]:
    """What messages to `carrier` order, and what its own messages tell, where audio has so many bytes a millisecond.

    Raises `KeyError` for a carrier that is not in `WORDS`.
    """
    words = WORDS[carrier]

    @lru_cache(maxsize=4096)
    def ordered(message: Wire) -> Order:
        if isinstance(message, bytes):
            return Order("other") if words.audio else played(message, bytes_per_ms)
        fields: dict[str, Any] = msgspec.json.decode(message)
        what = fields.get(words.tag)
        if what == words.mark:
            return Order("mark", mark=_name(fields, words.mark_name))
        if what == words.clear:
            return Order("clear")
        if words.audio and what == words.media:
            return played(base64.b64decode(_at(fields, words.audio)), bytes_per_ms)
        return Order("other")

    @lru_cache(maxsize=4096)
    def returned(message: Wire) -> Returned:
        if isinstance(message, bytes):
            return Returned("other")
        fields: dict[str, Any] = msgspec.json.decode(message)
        what = fields.get(words.returned_tag)
        if what == words.returned:
            cleared = bool(words.flag) and _at(fields, words.flag) == "cleared"
            name = _name(fields, words.returned_name)
            return Returned("cleared_mark" if cleared else "mark", name)
        return Returned("stop" if words.stop and what == words.stop else "other")

    return ordered, returned


def played(audio: bytes, bytes_per_ms: int) -> Order:
    """The speech of one voice that `audio` holds, whatever silence fills it up; `other` if it holds no such thing."""
    places = trace(audio, bytes_per_ms)
    spoken = [place for place in places if place is not None]
    if not spoken or places[: len(spoken)] != spoken or spoken[0][0] != spoken[-1][0]:
        return Order("other")
    if not is_silence(audio[len(spoken) * bytes_per_ms :], bytes_per_ms):
        return Order("other")
    return Order("play", spoken[0][0], spoken[0][1], spoken[-1][1] + 1)


def _at(fields: dict[str, Any], path: Path) -> Any:  # noqa: ANN401  what JSON holds
    found: Any = fields
    for step in path:
        found = found[step]
    return found


def _name(fields: dict[str, Any], path: Path) -> str:
    """The mark's name. Vonage takes an object: it is the one string in it, or else the whole as JSON."""
    found = _at(fields, path)
    if isinstance(found, str):
        return found
    strings = list(found.values())
    if len(strings) == 1 and isinstance(strings[0], str):
        return strings[0]
    return msgspec.json.encode(found).decode()
