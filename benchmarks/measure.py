"""How a number is made: two sides in turn, many rounds, the median of the rounds' ratios.

Machines are noisy and clocks drift, so a time alone says little. Both sides of a ratio are measured within
milliseconds of each other, in alternating order, and each round gives one ratio. What is reported is the median
over the rounds and, as the spread, the 10th and the 90th percentile.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from msgspec import Struct

Side = Callable[[int], int]
"""Does the work so many times; returns the nanoseconds it took, without its set-up."""

Tick = Callable[[], None]
"""Called after each round, for the progress display."""


class Effort(Struct, frozen=True):
    """How long to measure: `rounds` of `batch` operations; the bridge in `bridge_rounds` of `seconds` per side.

    `saturating_calls` are so many that the program under test never waits for a frame; `calls` are those at which
    latency is measured.
    """

    name: str
    rounds: int
    batch: int
    seconds: float
    bridge_rounds: int
    saturating_calls: int
    calls: tuple[int, ...]


FULL = Effort("full", 60, 200, 1.0, 5, 200, (1, 50, 200))
QUICK = Effort("quick", 15, 100, 0.2, 2, 100, (1, 20))
SMOKE = Effort("smoke", 2, 3, 0.1, 1, 1, (1,))


class Spread(Struct, frozen=True):
    """The middle of many rounds and how far they lie apart: the median, the 10th and 90th percentile."""

    median: float
    low: float
    high: float


class Row(Struct, frozen=True):
    """One line of the table: a claim, its budget in words, what was measured, and what that is made of.

    `met` is None where there is no budget, or where this machine cannot tell.
    """

    id: str
    what: str
    budget: str
    measured: str
    spread: str
    met: bool | None
    made_of: str
    numbers: dict[str, float]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float]) -> Spread:
    """Median, 10th and 90th percentile of `values`."""
    return Spread(median(values), percentile(values, 0.1), percentile(values, 0.9))


def interleave(sides: Mapping[str, Side], effort: Effort, tick: Tick) -> dict[str, list[float]]:
    """Microseconds per operation of every side, one figure per round; index i of each is the same round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side(effort.batch)  # The first time is never like the others.
    names = list(sides)
    for turn in range(effort.rounds):
        gc.collect()
        for name in names if turn % 2 else reversed(names):
            times[name].append(sides[name](effort.batch) / effort.batch / 1000)
        tick()
    return times


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times dearer `theirs` is than `ours`, round by round."""
    return spread([a / b for a, b in zip(theirs, ours, strict=True)])


def one_in(times: Spread) -> tuple[str, str]:
    """A ratio and its spread in words: `1/21.3` and `1/20.9 … 1/21.8`."""
    return f"1/{times.median:.1f}", f"1/{times.low:.1f} … 1/{times.high:.1f}"


def timed(operation: Callable[[], object]) -> Side:
    """A side that calls `operation`. The time is this thread's own, so others on the machine count less."""

    def side(count: int) -> int:
        start = time.thread_time_ns()
        for _ in range(count):
            operation()
        return time.thread_time_ns() - start

    return side


def each(operation: Callable[..., object], arguments: Sequence[object]) -> Side:
    """A side that calls `operation` with one of `arguments` after the other."""

    def side(count: int) -> int:
        work = [arguments[i % len(arguments)] for i in range(count)]
        start = time.thread_time_ns()
        for argument in work:
            operation(argument)
        return time.thread_time_ns() - start

    return side
