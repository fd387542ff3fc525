"""The verdict on a provider and a carrier: every plan searched, every property, and what really happened somewhere.

    report = verify(adapters.provider("openai"), adapters.transport("twilio"))
    report.verdict

*Sometimes* is judged over all worlds together: a search in which nothing is ever cancelled proves nothing about
cancelling. So every outcome, and every row of the tables that speaks to a wire or keeps a tombstone, must have
happened; where one cannot happen, that is a finding like a broken property.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, Literal

from msgspec import Struct, field

from bargein.runtime import actions as do
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter

from .explorer import Counterexample, Outcome, Progress, Search, without_collector
from .untimed import RowId, UntimedSession
from .worlds import PLANS, CarrierKind, Plan, ServerKind, make

Verdict = Literal["holds", "broken", "never", "truncated"]
"""`never`: nothing is broken, and something that must sometimes happen never does."""

SPOKEN: Final = frozenset({"cancel", "clear", "truncate", "forget"})
"""Actions that speak to a wire: each row that has one must be reached."""

TOMBSTONES: Final = frozenset({"cancelled", "timed_out"})

OUTCOMES: Final = (
    "a handle resolves completed",
    "a handle resolves interrupted",
    "a handle resolves timed_out",
    "a handle resolves failed",
    "an item is heard full",
    "an item is heard partial",
    "an item is skipped",
    "a cut is confirmed by the server",
)


class WorldReport(Struct, kw_only=True):
    """What the search of one world found."""

    plan: Plan
    outcome: Outcome
    session_states: int
    """Different states of the session; each step from one was really run once."""
    session_steps: int
    rows: set[RowId] = field(default_factory=set)
    """Rows of the tables that fired."""
    happened: set[str] = field(default_factory=set)
    """Which of `OUTCOMES` came about."""


class Report(Struct, kw_only=True):
    """The verdict, and what it rests on."""

    provider: str
    transport: str
    worlds: list[WorldReport]
    verdict: Verdict
    never: list[str]
    """What must sometimes happen and does not, in words."""
    unexercised: list[RowId]
    """All rows that never fired in any world, required or not."""

    @property
    def broken(self) -> WorldReport | None:
        """The world with a counterexample."""
        return next((each for each in self.worlds if each.outcome.counterexample), None)

    @property
    def counterexample(self) -> Counterexample | None:
        """The first one found."""
        return self.broken.outcome.counterexample if self.broken else None


OnProgress = Callable[[str, Progress], None]
"""Is told the name of the world and how far its search has come."""


def verify(
    provider: ProviderAdapter,
    transport: TransportAdapter,
    plans: Sequence[Plan] = PLANS,
    *,
    jobs: int = 1,
    max_states: int = 3_000_000,
    engine: str = "table",
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Search all `plans` with these adapters, up to the first counterexample.

    `jobs` searches as many worlds at a time, in processes of their own; progress is then told once per world, and
    the counterexample is that of the world which finds one first.

    :raises UsageError: if there is no model to verify them against.
    """
    run = _Run(provider, transport, max_states, engine, server, carrier)
    worlds: list[WorldReport] = []
    reports = run.one_by_one(plans, on_progress) if jobs <= 1 else run.at_once(plans, jobs)
    for report in reports:
        worlds.append(report)
        if on_progress is not None:
            outcome = report.outcome
            on_progress(
                report.plan.name,
                Progress(outcome.states, outcome.edges, 0, outcome.depth, outcome.seconds),
            )
        if report.outcome.counterexample is not None:
            break
    worlds.sort(key=lambda each: plans.index(each.plan))
    return _judged(provider, transport, worlds)


def search(
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    *,
    max_states: int = 3_000_000,
    engine: str = "table",
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> WorldReport:
    """Search one world."""
    with without_collector():
        world = make(plan, provider, transport, server=server, carrier=carrier, engine=engine)
        outcome = Search(world, max_states=max_states, on_progress=on_progress).run()
        rows, happened = _coverage(world.session)
        report = WorldReport(
            plan=plan,
            outcome=outcome,
            session_states=len(world.session.sessions),
            session_steps=len(world.session.steps),
            rows=rows,
            happened=happened,
        )
        vars(
            world
        ).clear()  # It knows itself through its judge; so it is gone before anybody looks for cycles.
        return report


class _Run:
    """The arguments of one verification; workers that are forked inherit it."""

    current: "_Run"

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        max_states: int,
        engine: str,
        server: ServerKind | None,
        carrier: CarrierKind | None,
    ) -> None:
        self._adapters = provider, transport
        self._models = server, carrier
        self._max_states = max_states
        self._engine = engine

    def search(
        self, plan: Plan, on_progress: Callable[[Progress], None] | None = None
    ) -> WorldReport:
        server, carrier = self._models
        return search(
            plan,
            *self._adapters,
            max_states=self._max_states,
            engine=self._engine,
            server=server,
            carrier=carrier,
            on_progress=on_progress,
        )

    def one_by_one(
        self, plans: Sequence[Plan], on_progress: OnProgress | None
    ) -> Iterator[WorldReport]:
        for plan in plans:
            tell = None
            if on_progress is not None:
                tell = _named(on_progress, plan.name)
            yield self.search(plan, tell)

    def at_once(self, plans: Sequence[Plan], jobs: int) -> Iterator[WorldReport]:
        _Run.current = (
            self  # Adapters loaded from tables cannot be sent to a process; it is born with them.
        )
        forking = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, mp_context=forking) as pool:
            futures = [pool.submit(_search_current, plan) for plan in plans]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:  # Of no interest any more: what is left after a counterexample, or after Ctrl-C.
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()


def _search_current(plan: Plan) -> WorldReport:
    return _Run.current.search(plan)


def _named(on_progress: OnProgress, name: str) -> Callable[[Progress], None]:
    return lambda progress: on_progress(name, progress)


def _coverage(session: UntimedSession) -> tuple[set[RowId], set[str]]:
    rows: set[RowId] = set()
    happened: set[str] = set()
    for step in session.steps.values():
        rows.update(step.rows)
        for action in step.actions:
            if isinstance(action, do.Resolved):
                happened.add(f"a handle resolves {action.verdict}")
            elif isinstance(action, do.ItemSettled):
                state = action.outcome.state
                happened.add(
                    "an item is skipped" if state == "skipped" else f"an item is heard {state}"
                )
            elif isinstance(action, do.MemorySettled) and action.outcome.memory == "exact":
                happened.add("a cut is confirmed by the server")
    return rows, happened


def _judged(
    provider: ProviderAdapter, transport: TransportAdapter, worlds: list[WorldReport]
) -> Report:
    rows = {row for each in worlds for row in each.rows}
    happened = {what for each in worlds for what in each.happened}
    unexercised, never = [], [what for what in OUTCOMES if what not in happened]
    for machine in (provider.response, provider.playback):
        for state, cells in machine.cells.items():
            for event, choices in cells.items():
                for at, row in enumerate(choices):
                    if (machine.name, state, event, at) in rows:
                        continue
                    unexercised.append((machine.name, state, event, at))
                    moves = bool(row.do) or row.go is not None
                    if SPOKEN & set(row.do) or (state in TOMBSTONES and moves):
                        when = f" if {row.guard}" if row.guard else ""
                        never.append(f"{machine.name}: {state}, {event}{when}")
    verdict: Verdict = "holds"
    if any(each.outcome.counterexample for each in worlds):
        verdict = "broken"
    elif any(each.outcome.truncated for each in worlds):
        verdict = "truncated"
    elif never:
        verdict = "never"
    return Report(
        provider=provider.name,
        transport=transport.name,
        worlds=worlds,
        verdict=verdict,
        never=never,
        unexercised=unexercised,
    )
