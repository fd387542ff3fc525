"""A counterexample as it is told: its steps, messages paired with their arrivals, repetition folded.

A message that travels is two steps: it is sent (`arrives=False`), and later it arrives. The two are paired here, so
that every rendering says what was under way when it mattered.
"""

import unicodedata
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

Lane = Literal["application", "session", "wire", "server", "carrier", "ear"]
"""Who takes part; the wire is what lies between the session and the others, in both directions."""

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
"""The lanes from left to right."""

# What comes three times in a row is told once: a step, or a group of up to six.
_REPEATS: Final = 3
_GROUP: Final = 6


class Row(Struct, frozen=True):
    """A row of a table that fired: its place, `file:line` below the root, and what it says in one line."""

    place: str
    text: str


class Change(Struct, frozen=True):
    """What differs after a step: of whom, and the words for before and after; "" says that it is not there."""

    what: str
    before: str
    after: str


class Step(Struct, frozen=True):
    """One step of a trace.

    `at` is who acts, `to` whom it is said to (`None`: done alone). `lost` is a message that never arrives.
    A message with `arrives=False` is put on the wire; its arrival (or its loss on the way) is a later step with the
    same `text` and `to`. What has not arrived when the story ends is shown as still under way.
    """

    text: str
    at: Lane
    to: Lane | None = None
    kind: Literal["message", "act", "lost", "violation"] = "message"
    arrives: bool = True
    rows: tuple[Row, ...] = ()
    changes: tuple[Change, ...] = ()


class Story(Struct, frozen=True):
    """A counterexample: the property's title, one or two sentences on what is wrong, and the steps to it."""

    title: str
    finding: str
    steps: tuple[Step, ...]


class Sight(Struct, frozen=True):
    """A step as it is seen: its number, from which lane to which, and when what arrives was sent."""

    number: int
    step: Step
    source: Lane
    target: Lane
    way: Literal["whole", "sent", "left", "arrived"] = "whole"
    """In one step; put on the wire; put there and still under way when the story ends; taken from there."""
    sent: tuple[int, ...] = ()

    @property
    def violates(self) -> bool:
        """Whether this is where the property is violated."""
        return self.step.kind == "violation"

    @property
    def aside(self) -> str:
        """What is said in brackets beside it."""
        parts = [f"sent in {span_of(self.sent)}"] if self.sent else []
        parts += ["still under way"] * (self.way == "left")
        parts += ["lost"] * (self.step.kind == "lost")
        return ", ".join(parts)

    @property
    def changes(self) -> list[str]:
        """What differs, in words."""
        return differs(self.step.changes)

    def like(self, other: "Sight") -> bool:
        """Whether only the values of what changed tell the two apart; violations are told one by one."""
        mine, its = self.step, other.step
        return (
            not self.violates
            and (self.source, self.target, self.way) == (other.source, other.target, other.way)
            and (mine.text, mine.to, mine.kind, mine.rows) == (its.text, its.to, its.kind, its.rows)
            and [change.what for change in mine.changes] == [change.what for change in its.changes]
        )


class Run(Struct, frozen=True):
    """Steps that come `times` times, one round after the other; changes are told over all rounds."""

    body: tuple[Sight, ...]
    times: int
    last: int

    @property
    def first(self) -> int:
        """The number of its first step."""
        return self.body[0].number

    @property
    def violates(self) -> bool:
        """Whether this is where the property is violated."""
        return self.body[0].violates


class Gap(Struct, frozen=True):
    """Steps that are left out, from the first number to the last, and what differs after them."""

    first: int
    last: int
    changes: tuple[Change, ...]

    @property
    def words(self) -> str:
        """How much is left out."""
        span = span_of(range(self.first, self.last + 1))
        return f"{counted(self.last - self.first + 1, 'step')} left out ({span})"


def seen(story: Story) -> list[Sight]:
    """The steps with their lanes; what arrives is the oldest equal message under way."""
    sights: list[Sight] = []
    under_way: dict[tuple[str, Lane], deque[int]] = {}
    for number, step in enumerate(story.steps, 1):
        if step.to is None:
            sights.append(Sight(number, step, step.at, step.at))
            continue
        waiting = under_way.setdefault((step.text, step.to), deque())
        if not step.arrives and step.kind != "lost":
            waiting.append(number)
            sights.append(Sight(number, step, step.at, "wire", "sent"))
        elif waiting:
            sights.append(Sight(number, step, "wire", step.to, "arrived", (waiting.popleft(),)))
        else:
            sights.append(Sight(number, step, step.at, step.to))
    for number in (number for waiting in under_way.values() for number in waiting):
        sights[number - 1] = replace(sights[number - 1], way="left")
    return sights


def folded(sights: Sequence[Sight]) -> list[Run]:
    """Equal steps in a row, and equal groups of steps in a row, as one run each."""
    runs: list[Run] = []
    start = 0
    while start < len(sights):
        size, times = 1, 1
        for group in range(1, _GROUP + 1):
            rounds = _rounds(sights, start, group)
            if rounds >= _REPEATS and group * rounds > size * times:
                size, times = group, rounds
        end = start + size * times
        body = tuple(_merged(sights[start + at : end : size]) for at in range(size))
        runs.append(Run(body, times, sights[end - 1].number))
        start = end
    return runs


def shortened(runs: Sequence[Run], arrows: int) -> list[Run | Gap]:
    """At most so many arrows: the beginning, the end and the first violation. Most of them go to the end."""
    if sum(len(run.body) for run in runs) <= arrows:
        return list(runs)
    kept = {run.first for run in runs if run.violates}
    kept = {min(kept)} if kept else set()
    left = arrows - len(kept)
    for order, budget in ((reversed(runs), left - left // 3), (iter(runs), left // 3)):
        for run in order:
            if run.first not in kept:
                budget -= len(run.body)
                if budget < 0:
                    break
                kept.add(run.first)
    shown: list[Run | Gap] = []
    for keep, members in groupby(runs, key=lambda run: run.first in kept):
        part = list(members)
        if keep:
            shown += part
        else:
            changes = (change for run in part for s in run.body for change in s.step.changes)
            shown.append(Gap(part[0].first, part[-1].last, _net(changes)))
    return shown


def _rounds(sights: Sequence[Sight], start: int, group: int) -> int:
    """How often the group of so many steps comes from `start` on."""
    end = start + group
    while end < len(sights) and sights[end].like(sights[end - group]):
        end += 1
    return (end - start) // group


def _merged(alike: Sequence[Sight]) -> Sight:
    first = alike[0]
    changes = _net(change for sight in alike for change in sight.step.changes)
    sent = tuple(number for sight in alike for number in sight.sent)
    return replace(first, step=replace(first.step, changes=changes), sent=sent)


def _net(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change for each thing, from its first before to its last after."""
    net: dict[str, Change] = {}
    for change in changes:
        before = net.get(change.what, change).before
        net[change.what] = Change(change.what, before, change.after)
    return tuple(net.values())


# Words.


def line(words: str, most: int = 240) -> str:
    """One line of at most so many characters, none of which is invisible or turns the text around."""
    plain = " ".join(words.split())
    plain = "".join(c for c in plain if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def differs(changes: Iterable[Change]) -> list[str]:
    """A line for each change that is one."""
    return [
        f"{line(change.what)}: {line(change.before) or 'none'} → {line(change.after) or 'none'}"
        for change in changes
        if change.before != change.after
    ]


def span_of(numbers: Sequence[int]) -> str:
    """Numbers in words: "3 to 7"; one by one where they are no such range, and of many the ends."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 1 and list(numbers) == list(range(first, last + 1)):
        return f"{first} to {last}"
    if len(numbers) > 4:
        return f"{first}, {numbers[1]}, …, {last}"
    return ", ".join(map(str, numbers))


def counted(count: int, word: str) -> str:
    """How many there are: "1 step", "3 steps"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
