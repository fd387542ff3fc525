"""One interrupted call, end to end, on real local sockets: `bargein demo`.

An emulated OpenAI server, the bridge, and a scripted Twilio caller talk over loopback. The script is fixed; what the
table at the end says is measured: generated and remembered by the server's model, sent by the session's ledger,
heard by the caller's ear.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from msgspec import Struct

from bargein.adapters import provider, transport
from bargein.runtime.bridge import Bridge, BridgeOptions
from bargein.runtime.control import Control
from bargein.runtime.session import Settings

from .caller import Caller, call
from .ear import Ear
from .emulator import Connection, Emulator, Plan, PlannedItem
from .openai_memory import Remembered

Say = Callable[[str], None]

CREATED_TIMEOUT_MS = 700
TOLERANCE_MS = 120
"""A mark every 100 ms, and one frame of the ear: so much may have been heard and not be remembered."""

_TWO_ITEMS = Plan(
    items=(
        PlannedItem(ms=3000, text="Let me look that up for you, it will take but a moment."),
        PlannedItem(ms=4000, text="The flight leaves at nine from gate twelve, and it is on time."),
    )
)
_SHORT = Plan(items=(PlannedItem(ms=1200, text="Of course. Which gate do you mean?"),))
_LATE = Plan(created_after_ms=1600, speed=40.0, trailing_deltas=3, items=(PlannedItem(ms=3000),))
_SLOW = Plan(created_after_ms=500, speed=40.0, trailing_deltas=3, items=(PlannedItem(ms=3000),))

SETTINGS: dict[str, Any] = {
    "instructions": "You are a friendly travel desk.",
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}},
}


class DemoItem(Struct, frozen=True):
    """One row of the table at the end. Milliseconds count from the item's own start."""

    item: str
    response: str | None
    generated_ms: int
    sent_ms: int
    heard_ms: int
    remembered_ms: int
    outcome: str


class DemoResult(Struct, frozen=True):
    """What the demo measured. `violations` is empty when the law held."""

    items: list[DemoItem]
    violations: list[str]
    journal: str | None
    handles: dict[str, str]
