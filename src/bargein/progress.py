"""How far a verification has come: a line that moves where a terminal can show it, else a line per finished world."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from bargein.simulator.explorer import Progress


class Seen(Struct):
    """What has been seen of one world so far."""

    world: str
    states: int
    edges: int
    depth: int
    seconds: float
    finished: bool


class Watching:
    """Takes the progress of one verification after the other; shows it, and keeps what was seen of each world.

    `shown` False shows nothing.
    """

    def __init__(self, console: Console, shown: bool) -> None:
        self.seen: dict[str, Seen] = {}
        self._console = console
        self._shown = shown
        self._live: Live | None = None
        self._began = time.monotonic()

    def begins(self, worlds: int, jobs: int) -> None:
        """A verification of so many worlds begins, so many at a time."""
        self.seen = {}
        self._began = time.monotonic()
        if jobs > 1:
            self._says(f"{worlds} worlds, {jobs} at a time")

    def __call__(self, world: str, progress: Progress) -> None:
        """How far the search of one world has come."""
        known = self.seen.get(world)
        finished = progress.frontier == 0
        self.seen[world] = Seen(
            world, progress.states, progress.edges, progress.depth, progress.seconds, finished
        )
        if self._live is None:
            if self._shown and finished and not (known and known.finished):
                self._console.print(_line(world, progress), soft_wrap=True)
            return
        self._says(_line(world, progress))

    def _says(self, text: str) -> None:
        if self._live is not None:
            elapsed = f"{time.monotonic() - self._began:.0f} s  "
            self._live.update(Text(elapsed + text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def __enter__(self) -> "Watching":
        if self._shown and self._console.is_terminal:
            # Without a thread of its own: processes are forked beside it.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _line(world: str, progress: Progress) -> str:
    rate = progress.states / max(progress.seconds, 1e-3)
    waiting = f"frontier {progress.frontier:,}, " if progress.frontier else ""
    return (
        f"{world}: {progress.states:,} states, {progress.edges:,} edges, {waiting}"
        f"depth {progress.depth}, {rate:,.0f}/s"
    )


@contextmanager
def ending_together() -> Iterator[None]:
    """While this holds, Ctrl-C and a polite kill end the processes of a search with their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    parent = os.getpid()

    def end(number: int, _: FrameType | None) -> NoReturn:
        if os.getpid() != parent:
            os._exit(128 + number)
        for child in multiprocessing.active_children():
            child.terminate()
        if number == signal.SIGTERM:
            raise SystemExit(128 + number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
