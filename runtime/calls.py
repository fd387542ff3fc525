"""The calls of a bridge, those that run and the last ones that ended, as its control API tells about them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from .driver import Driver

ENDED_CALLS: Final = 100
"""How many calls that are over can still be asked about."""


class Calls:
    """Calls by their id."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Driver, str]] = {}
        self._ended: dict[str, dict[str, Any]] = {}

    def begin(self, driver: Driver) -> None:
        """A call has begun; its id is `driver.call`."""
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._running[driver.call] = (driver, started_at)

    def end(self, driver: Driver) -> None:
        """A call is over. What it looked like at the end is kept for a while."""
        driver_and_start = self._running.get(driver.call)
        if driver_and_start is not None:
            self._ended[driver.call] = _snapshot(*driver_and_start)
            del self._running[driver.call]
        while len(self._ended) > ENDED_CALLS:
            del self._ended[next(iter(self._ended))]

    def running(self) -> Iterator[Driver]:
        """The drivers of the calls that run."""
        return iter([driver for driver, _ in self._running.values()])

    def __len__(self) -> int:
        """How many calls run."""
        return len(self._running)

    def driver(self, call: str) -> Driver | None:
        """The driver of a call that runs."""
        found = self._running.get(call)
        return None if found is None else found[0]

    def snapshot(self, call: str) -> dict[str, Any] | None:
        """What there is to tell about a call; None if it is unknown, or long over."""
        found = self._running.get(call)
        return self._ended.get(call) if found is None else _snapshot(*found)

    def summaries(self) -> list[dict[str, Any]]:
        """All calls, oldest first, in short."""
        snapshots = [
            *self._ended.values(),
            *(_snapshot(*found) for found in self._running.values()),
        ]
        keys = ("id", "state", "started_at", "age_ms", "stream", "carrier_call", "journal", "ended")
        return [{key: snapshot[key] for key in keys} for snapshot in snapshots]


def _snapshot(driver: Driver, started_at: str) -> dict[str, Any]:
    journal, ended = driver.journal, driver.ended
    return {
        "id": driver.call,
        "state": "active" if ended is None else "ended",
        "ended": None if ended is None else {"code": ended.code, "reason": ended.reason},
        "started_at": started_at,
        "age_ms": driver.now_ms,
        "journal": None if journal is None else str(journal.path),
        "journal_problem": None if journal is None else journal.broken,
        "counters": {
            "from_provider": driver.received["provider"],
            "from_carrier": driver.received["transport"],
            **driver.view.counters,
        },
        **driver.view.snapshot(),
    }
