"""How a call ends, and what a driver puts up with before it does."""

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .actions import Side
from .errors import BargeinError

EndCode: TypeAlias = Literal[
    "hung_up", "closed", "carrier_lost", "provider_lost", "refused", "overflow", "crashed"
]
LOST: Final[dict[Side, EndCode]] = {"provider": "provider_lost", "transport": "carrier_lost"}


class Limits(Struct, frozen=True):
    """What a driver puts up with.

    `outbox_bytes` may wait for one side: of mu-law speech, four megabytes are about six minutes. `start_ms` is how
    long the carrier may take to open its stream. `goodbye_s` bounds the last writes of each side, and its close.
    """

    outbox_bytes: int = 4 * 1024 * 1024
    start_ms: int = 10_000
    goodbye_s: float = 1.0


class Ended(Struct, frozen=True):
    """How a call ended. `error` is None if somebody simply hung up or closed it."""

    code: EndCode
    reason: str
    error: BargeinError | None = None
