"""What the tests of the emulators share: two plans, and a deadline around an emulator and its client."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import anyio

from bargein.simulator.emulator import Emulator, Plan, PlannedItem

QUICK = Plan(created_after_ms=5, first_delta_after_ms=5, items=(PlannedItem(ms=300),), speed=50.0)
LONG = Plan(created_after_ms=5, first_delta_after_ms=5, items=(PlannedItem(ms=60_000),))


@asynccontextmanager
async def emulating(
    provider: str,
    plans: Sequence[Plan],
    tls: SSLContext | None = None,
    rules: Mapping[str, Any] | None = None,
) -> AsyncIterator[Emulator]:
    """The emulator; 10 s for everything."""
    with anyio.fail_after(10):
        async with Emulator(plans, provider=provider, tls=tls, rules=rules) as emulator:
            yield emulator


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what no message tells."""
    while not holds():
        await anyio.sleep(0.002)


def remembered_ms(emulator: Emulator) -> list[int]:
    """What the first connection's model remembers of each thing it said, in ms."""
    memory = emulator.connections[0].model.memory()
    return [each.remembered_ms for each in memory if each.role == "assistant"]
