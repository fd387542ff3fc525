"""How the Twilio model reads its own wire for the explorer's properties."""

import base64
from functools import lru_cache
from typing import Any

import msgspec

from .facts import Order, Returned
from .voice import trace


@lru_cache(maxsize=4096)
def ordered(message: str) -> Order:
    """What a message to the carrier orders."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m.get("event"):
        case "media":
            places = trace(base64.b64decode(m["media"]["payload"]))
            first, last = places[0], places[-1]
            if first is None or last is None or first[0] != last[0]:
                return Order("other")
            return Order("play", first[0], first[1], last[1] + 1)
        case "mark":
            return Order("mark", mark=m["mark"]["name"])
        case "clear":
            return Order("clear")
    return Order("other")


@lru_cache(maxsize=4096)
def returned(message: str) -> Returned:
    """What a message of the carrier tells of the playout."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["event"]:
        case "mark":
            return Returned("mark", m["mark"]["name"])
        case "stop":
            return Returned("stop")
    return Returned("other")
