"""*Sometimes*: what must happen in some world before "nothing breaks" means anything, and what is not asked of whom.

A search in which nothing is ever cancelled proves nothing about cancelling. So every outcome, and every row of the
tables that speaks to a wire or keeps a tombstone, must really have happened in some world. Servers can do less than
OpenAI's, and some worlds are not searched with them: what then cannot happen follows from what is said of the server
in `kinds.ServerKind` and from the plans, by the `RULES` here, each with its reason. None of them names a server.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct, field

from bargein.runtime import actions as do
from bargein.runtime.adapter import ProviderAdapter
from bargein.runtime.machine import Row

from .kinds import ServerKind
from .knowledge import Readings
from .plans import Plan
from .untimed import RowId, Step, Written

SPOKEN: Final = frozenset({"cancel", "clear", "truncate", "forget"})
"""Actions that speak to a wire: each row that has one must be reached."""

TOMBSTONES: Final = frozenset({"cancelled", "timed_out"})

CUT: Final = "a cut is confirmed by the server"
CANCEL: Final = "a cancel is sent"
CLEAR: Final = "a clear is sent"
WRITTEN: Final = frozenset({CANCEL, CLEAR})
"""Outcomes that are messages of the session."""

OUTCOMES: Final = (
    "a handle resolves completed",
    "a handle resolves interrupted",
    "a handle resolves timed_out",
    "a handle resolves failed",
    "an item is heard full",
    "an item is heard partial",
    "an item is skipped",
    "content of a covered response is fenced",
    CLEAR,
    CANCEL,
    CUT,
)


def outcomes(step: Step) -> Iterator[str]:
    """Which of `OUTCOMES` a step of a session tells the application of."""
    for action in step.actions:
        match action:
            case do.Resolved(verdict=verdict):
                yield f"a handle resolves {verdict}"
            case do.ItemSettled(outcome=outcome):
                state = outcome.state
                yield "an item is skipped" if state == "skipped" else f"an item is heard {state}"
            case do.MemorySettled(outcome=outcome) if outcome.memory == "exact":
                yield CUT
            case do.Fenced():
                yield "content of a covered response is fenced"


def sent(written: Iterable[Written], readings: Readings) -> Iterator[str]:
    """Which of them these messages are, as the other side reads them."""
    for link, message in written:
        if link == "to_server" and readings.asked(message).what == "cancel":
            yield CANCEL
        elif link == "to_carrier" and readings.ordered(message).what == "clear":
            yield CLEAR


class Place(NamedTuple):
    """A row of the machines."""

    machine: str
    state: str
    event: str
    guard: str

    @classmethod
    def of(cls, id_: RowId, row: Row) -> "Place":
        """Where a row stands."""
        return cls(*id_[:3], row.guard or "")


class Rule(NamedTuple):
    """Something that is not asked of some servers."""

    why: str
    true_of: Callable[[ServerKind, Sequence[Plan]], bool]
    rows: Callable[[Place], bool] = lambda _: False
    outcomes: frozenset[str] = frozenset()


def _in_time(plans: Sequence[Plan]) -> bool:
    return not any(plan.limits.deadlines for plan in plans)


def _loses_births(plan: Plan) -> bool:
    return bool(plan.limits.lost or plan.server.get("silent_creates"))


def _cannot_stop(kind: ServerKind, plans: Sequence[Plan]) -> bool:
    return _no_verb(kind, plans) and _never_left(kind, plans)


def _no_verb(kind: ServerKind, plans: Sequence[Plan]) -> bool:
    return all(kind.cancels(plan) == "none" for plan in plans)


def _never_left(kind: ServerKind, plans: Sequence[Plan]) -> bool:
    return not any(kind.interrupts_itself(plan) for plan in plans)


def _left_to_server(at: Place) -> bool:
    return at.guard == "left_to_server"


def _overtaken(at: Place) -> bool:
    if at.state == "timed_out":
        return at.event not in ("deadline", "interrupt")
    return _left_to_server(at) or at.guard == "owed" or _deleted_late(at)


def _deleted_late(at: Place) -> bool:
    return at.event == "overrun" and at.guard == "unasked"


def _truncated_late(at: Place) -> bool:
    return at.event == "overrun" and at.state == "full"


RULES: Final = (
    Rule(
        "the client plays: it is not for the server to say what was heard",
        lambda kind, _: not kind.plays,
        lambda at: (
            at.event in ("halted", "cut", "unplayed")
            or (at.event == "unanswered" and at.state in ("queued", "playing"))
            or at.guard == "stopping"
        ),
    ),
    Rule(
        "the server drops no response without a word for another one",
        lambda kind, _: not kind.supersedes,
        lambda at: at.event == "superseded",
    ),
    Rule(
        "a request waits for the last word before it, which always comes, and no timer overtakes it",
        lambda kind, plans: kind.finishes and _in_time(plans),
        lambda at: at.event == "superseded" and at.state in TOMBSTONES,
    ),
    Rule(
        "a response has no last word",
        lambda kind, _: not kind.finishes,
        lambda at: at.event in ("finished", "stopped"),
    ),
    Rule(
        "no message announces a birth: a response begins with its content",
        lambda kind, _: kind.announces == "content",
        lambda at: at.machine == "response" and "created" in (at.state, at.event),
    ),
    Rule(
        "what announces a response comes together with its first content: nobody waits in between",
        lambda kind, _: kind.announces == "item",
        lambda at: at.machine == "response" and at.state == "created" and at.event == "deadline",
    ),
    Rule(
        "every birth is announced, and in these worlds no announcement is lost",
        lambda kind, plans: (
            kind.announces == "created" and not any(_loses_births(plan) for plan in plans)
        ),
        lambda at: at.event == "content" and at.guard == "unborn",
    ),
    Rule(
        "no timer overtakes an event in these worlds: where one runs out, no more is to come",
        lambda _, plans: _in_time(plans),
        _overtaken,
    ),
    Rule(
        "no timer ends a response whose speech goes on",
        lambda kind, plans: kind.truncates and _in_time(plans),
        _truncated_late,
    ),
    Rule(
        "no response of several items meets a timer that overtakes it",
        lambda _, plans: not any(p.limits.deadlines and p.items > 1 for p in plans),
        _deleted_late,
    ),
    Rule(
        "a request waits until what came before is heard: none stands in line when the caller hangs up",
        lambda kind, _: kind.by_order and not kind.finishes,
        lambda at: at.state == "queued" and at.event == "lost",
    ),
    Rule(
        "no request is refused in these worlds",
        lambda _, plans: not any(plan.server.get("refusals") for plan in plans),
        lambda at: at.event == "rejected",
    ),
    Rule(
        "whoever hears that the server has stopped hears it before the last word",
        lambda kind, _: kind.tells_interruption,
        lambda at: at.event == "stopped" and at.state in ("created", "streaming"),
    ),
    Rule(
        "a last word does not say whether the response was cancelled",
        lambda kind, _: not kind.statuses,
        lambda at: at.event == "stopped",
    ),
    Rule(
        "nothing stops a response before its end: there is no verb, and the caller does not",
        _cannot_stop,
        lambda at: at.event == "stopped",
    ),
    Rule(
        "no cancel is left to the server",
        _never_left,
        _left_to_server,
    ),
    Rule(
        "what the server stops for the caller is over before anybody hears of the caller",
        lambda kind, _: kind.stops_first,
        _left_to_server,
    ),
    Rule(
        "there is no verb to cancel with",
        _no_verb,
        _left_to_server,
        frozenset({CANCEL}),
    ),
    Rule(
        "nothing can be truncated",
        lambda kind, _: not kind.truncates,
        lambda at: at.guard == "first_refusal" or _truncated_late(at),
    ),
    Rule(
        "nothing can be deleted",
        lambda kind, _: not kind.deletes,
        _deleted_late,
    ),
    Rule(
        "nothing can be truncated or deleted",
        lambda kind, _: not kind.truncates and not kind.deletes,
        outcomes=frozenset({CUT}),
    ),
    Rule(
        "a truncate has no answer, or none that refuses it for its length",
        lambda kind, plans: (
            not kind.answers_truncate
            or not any(plan.rules.get("truncate_margin_ms") for plan in plans)
        ),
        lambda at: at.guard == "first_refusal",
    ),
)
"""What is not asked, of whom and why. What a rule is about may happen all the same."""


class Sometimes(Struct, kw_only=True):
    """What did not happen in any of the worlds that were searched."""

    never: list[str] = field(default_factory=list)
    """What had to, in words."""
    unexercised: list[RowId] = field(default_factory=list)
    """All rows that never fired, required or not."""
    exempt: dict[RowId, str] = field(default_factory=dict)
    """Those of them that a rule is about, and why."""
    exempt_outcomes: dict[str, str] = field(default_factory=dict)
    """The outcomes that did not come about and need not, and why."""


def judge(
    provider: ProviderAdapter,
    kind: ServerKind,
    plans: Sequence[Plan],
    rows: set[RowId],
    happened: set[str],
) -> Sometimes:
    """What is missing where these `rows` fired and this `happened` in the worlds of all `plans` together."""
    found = Sometimes()
    rules = [rule for rule in RULES if rule.true_of(kind, plans)]
    for what in OUTCOMES:
        if what in happened:
            continue
        why = next((rule.why for rule in rules if what in rule.outcomes), None)
        if why is None:
            found.never.append(what)
        else:
            found.exempt_outcomes[what] = why
    for id_, row in every_row(provider):
        if id_ in rows:
            continue
        found.unexercised.append(id_)
        at = Place.of(id_, row)
        why = next((rule.why for rule in rules if rule.rows(at)), None)
        if why is not None:
            found.exempt[id_] = why
        elif is_required(id_, row):
            when = f" if {row.guard}" if row.guard else ""
            found.never.append(f"{at.machine}: {at.state}, {at.event}{when}")
    return found


def is_required(id_: RowId, row: Row) -> bool:
    """Whether a row must fire unless a rule says that it cannot."""
    moves = bool(row.do) or row.go is not None
    return bool(SPOKEN & set(row.do)) or (id_[1] in TOMBSTONES and moves)


def every_row(provider: ProviderAdapter) -> Iterator[tuple[RowId, Row]]:
    """The rows of both machines."""
    for machine in (provider.response, provider.playback):
        for state, cells in machine.cells.items():
            for event, choices in cells.items():
                for at, row in enumerate(choices):
                    yield (machine.name, state, event, at), row
