"""How far a walk has come: a bar that moves where a terminal can show it, else a line now and then."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .walked import Walked

_MOVES_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 15.0


class Strides:
    """Is told of the walk before every call, and shows it when it is time. `shown` False shows nothing."""

    def __init__(
        self, console: Console, shown: bool, steps: int | None, seconds: float | None
    ) -> None:
        self._console = console
        self._shown = shown
        self._steps, self._seconds = steps, seconds
        self._told_at = 0.0
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def tell(self, walked: Walked) -> None:
        """How far the walk has come."""
        now = time.monotonic()
        every_s = _MOVES_EVERY_S if self._bar is not None else _LINE_EVERY_S
        if not self._shown or now - max(self._told_at, self._began) < every_s:
            return
        self._told_at = now
        text = line(walked)
        if self._bar is None:
            self._console.print(text, soft_wrap=True)
            return
        parts = [0.0]
        if self._steps is not None:
            parts.append(walked.walk.count.steps / self._steps)
        if self._seconds:
            parts.append(walked.seconds / self._seconds)
        self._bar.update(
            self._bar.task_ids[0], completed=max(parts), description=text, refresh=True
        )

    def __enter__(self) -> Self:
        if self._shown and self._console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=20),
                TextColumn("{task.description}"),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
            self._bar.add_task("", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def line(walked: Walked) -> str:
    """How far, in one line."""
    walk, count = walked.walk, walked.walk.count
    fired = walk.rows() - len(walk.unexercised())
    return (
        f"{walked.elapsed}  {count.steps:,} steps, {walked.rate:,.0f}/s, {count.calls:,} calls, "
        f"{fired} of {walk.rows()} rows, {walk.sessions:,} session states"
    )
