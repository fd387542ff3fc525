"""The verdict on a provider and a carrier: every plan searched, every property, and what really happened somewhere.

    report = verify(adapters.provider("openai"), adapters.transport("twilio"))
    report.verdict

*Sometimes* is judged over all worlds together (`sometimes.py`): what must happen and never does is a finding like a
broken property.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Literal

from msgspec import Struct, field

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter

from .explorer import Counterexample, Outcome, Progress, Search, without_collector
from .kinds import server_kind, shared_audio
from .sometimes import Sometimes, judge, outcomes, sent
from .untimed import RowId, Written
from .world import World
from .worlds import PLANS, CarrierKind, Plan, ServerKind, make

Verdict = Literal["holds", "broken", "never", "truncated"]
"""`never`: nothing is broken, and something that must sometimes happen never does."""


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
    """Which of `sometimes.OUTCOMES` came about."""


class Report(Struct, kw_only=True):
    """The verdict, and what it rests on."""

    provider: str
    transport: str
    worlds: list[WorldReport]
    verdict: Verdict
    sometimes: Sometimes
    """What did not happen in any of the worlds."""

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
    return run.judged(worlds)


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
        rows, happened = _coverage(world)
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
            except BaseException:  # After a counterexample, or Ctrl-C, the rest is of no interest.
                for process in multiprocessing.active_children():
                    process.terminate()
                pool.shutdown(cancel_futures=True)
                raise

    def judged(self, worlds: list[WorldReport]) -> Report:
        """The verdict on all worlds together."""
        provider, transport = self._adapters
        kind = self._models[0] or server_kind(provider.name, shared_audio(provider, transport))
        sometimes = judge(
            provider,
            kind,
            [each.plan for each in worlds],
            {row for each in worlds for row in each.rows},
            {what for each in worlds for what in each.happened},
        )
        verdict: Verdict = "holds"
        if any(each.outcome.counterexample for each in worlds):
            verdict = "broken"
        elif any(each.outcome.truncated for each in worlds):
            verdict = "truncated"
        elif sometimes.never:
            verdict = "never"
        return Report(
            provider=provider.name,
            transport=transport.name,
            worlds=worlds,
            verdict=verdict,
            sometimes=sometimes,
        )


def _search_current(plan: Plan) -> WorldReport:
    return _Run.current.search(plan)


def _named(on_progress: OnProgress, name: str) -> Callable[[Progress], None]:
    return lambda progress: on_progress(name, progress)


def _coverage(world: World) -> tuple[set[RowId], set[str]]:
    rows: set[RowId] = set()
    happened: set[str] = set()
    written: set[Written] = set()
    for step in world.session.steps.values():
        rows.update(step.rows)
        happened.update(outcomes(step))
        written.update(said for said in map(world.session.written, step.actions) if said)
    return rows, happened.union(sent(written, world.readings))
