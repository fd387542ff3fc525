"""How the browser's model reads its own wire for the explorer's properties."""

import base64
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from .carrier_facts import Wire, played
from .facts import Order, Returned


@lru_cache(maxsize=64)
def readings(bytes_per_ms: int) -> tuple[Callable[[Wire], Order], Callable[[Wire], Returned]]:
    """What messages to the page order, and what its own tell, for an agent's voice of so many bytes a millisecond."""

    @lru_cache(maxsize=4096)
    def ordered(message: Wire) -> Order:
        m: dict[str, Any] = msgspec.json.decode(message)
        match m.get("type"):
            case "audio":
                order = played(base64.b64decode(m["audio"]), bytes_per_ms)
                return order._replace(item=m["item"], generation=m["generation"])
            case "flush":
                return Order("clear", generation=m["generation"])
        return Order("other")

    return ordered, returned


@lru_cache(maxsize=4096)
def returned(message: Wire) -> Returned:
    """What a message of the page tells of the playout."""
    m: dict[str, Any] = msgspec.json.decode(message)
    match m["type"]:
        case "position" | "flushed" if m["item"] is not None:
            return Returned("played", item=m["item"], ms=m["played_ms"], generation=m["generation"])
        case "stop":
            return Returned("stop")
    return Returned("other")
