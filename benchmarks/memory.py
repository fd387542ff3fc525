"""What a session holds in memory, counted by `tracemalloc` over many of them; adapters are shared and not counted."""

import gc
import tracemalloc
from collections.abc import Callable

from bargein.runtime.session import Session

from . import messages
from .measure import Effort, Row, Tick

BUDGET_BYTES = 16 * 1024


def size_bytes(make: Callable[[], Session], count: int) -> float:
    """Bytes that each of `count` sessions adds."""
    kept = [make()]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept += [make() for _ in range(count)]
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


def waiting() -> Session:
    """A session in mid-speech with ten seconds of audio under way to the caller."""
    session = messages.speaking()
    for number in range(100):
        session.provider_received(messages.delta(messages.MULAW_100_MS_BYTES, number), 0)
    return session


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """The rows of a session's memory: idle, and with speech under way."""
    count = effort.batch
    idle = size_bytes(messages.session, count)
    tick()
    speaking = size_bytes(messages.speaking, count)
    full = size_bytes(waiting, max(2, count // 20))
    audio = 10 * 8_000
    tick()
    return [
        Row(
            id="memory.idle",
            what="a session in memory, idle: stream open, nothing asked",
            budget="≤ 16 kB",
            measured=f"{idle / 1024:.1f} kB",
            spread="–",
            met=idle <= BUDGET_BYTES,
            made_of=f"{speaking / 1024:.1f} kB in mid-speech with everything heard; "
            f"{full / 1024:.0f} kB with ten seconds not heard yet, {audio / 1024:.0f} kB of it audio",
            numbers={"idle_bytes": idle, "speaking_bytes": speaking, "ten_seconds_bytes": full},
        )
    ]
