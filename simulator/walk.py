"""A long random walk through worlds too big to be searched: the same models and properties, one run after another.

A walk is a row of calls, numbered from 0. All that happens in a call follows from the seed and its number, so a walk
can be stopped after any call and go on later, and one call can be walked again alone. No reduction orders the acts:
every interleaving is possible. What is likely differs from call to call (`Whims`), so that rare things come to meet.

    walk = Walk(adapters.provider("openai"), adapters.transport("twilio"), seed=7)
    while walk.count.steps < 1_000_000 and (found := walk.next_call()) is None: ...
"""

import gc
import hashlib
import zlib
from collections.abc import Sequence
from itertools import islice
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError

from .properties import Broken
from .sometimes import WRITTEN, every_row, outcomes, sent
from .state import Act, Left, Limits, Move, Reductions, State
from .untimed import RowId, Step
from .whims import Whims
from .world import World
from .worlds import PLANS, CarrierKind, Plan, ServerKind, make, plans_for

INTERLEAVED: Final = Reductions(order=False, eager=False, inert=False, budget=False)
"""What only spares the walk dead weight: what is over is judged and forgotten, what means nothing is not carried."""

ANEW: Final = 0.25
"""How likely a quiet call ends; else it goes on, with new `Limits` when its requests are used up."""

RESTLESS: Final = 5_000
"""Acts without a quiet moment, after which the call is led to rest: one that cannot be breaks I12."""

CALLS_IN_A_ROW: Final = 50
"""Calls in the same world before the next one's turn comes."""

REMEMBERED: Final = 30_000
"""Steps of sessions remembered before all worlds are thrown away and made anew: about 300 MB."""

_FAULTS: Final = ("lost", "repeated", "silences", "losses", "hangups")

_UNBOUNDED_MS: Final = 1_000_000
"""Where no mark comes back, nothing is confirmed while the call goes on: the server must not wait for it."""

_GROWTH: Final = {"trailing_deltas": 3, "separate_ends": True}
"""What a server does by itself that the explorer's do not."""


def grown(plan: Plan) -> Plan:
    """A world of the explorer's, bigger than it could be searched; the faults in it stay what they are."""
    small = plan.limits
    born_unseen = (
        small.lost or plan.server.get("silent_creates") or plan.server.get("unborn_deaths")
    )
    limits = replace(
        small,
        requests=6 * bool(small.requests),
        interrupts=4,
        speech_turns=3 if plan.vad != "off" else 0,
        lag=6,
        backlog_ms=1_500 if plan.carrier.get("marks_echoed", True) else _UNBOUNDED_MS,
        deadlines=3,
        beside=0 if born_unseen else 2,  # Whose birth was missed would be anyone's guess.
        scoped=True,
        lost=min(1, small.lost),  # Of two births missed nobody could say which is which.
        repeated=3 * bool(small.repeated),
    )
    return replace(plan, limits=limits, items=4, deltas=6, server=_GROWTH | dict(plan.server))


_ANYTHING: Final = Plan(
    name="anything",
    says="All at once: a server that hears, words, every end, and every fault that hides no birth.",
    limits=Limits(repeated=1, silences=1, losses=1, hangups=1),
    server={
        "words": True,
        "kinds": ("message", "text", "function_call"),
        "ends": ("completed", "failed", "incomplete", "cancelled"),
    },
)

WALKED: Final[tuple[Plan, ...]] = tuple(map(grown, (*PLANS, _ANYTHING)))
"""The explorer's worlds, grown, and one in which everything happens."""


def walked_with(provider: str, transport: str, plans: Sequence[Plan] = WALKED) -> tuple[Plan, ...]:
    """`plans`, of those in `WALKED`, as far as a provider's server can be in such a world, on a carrier.

    What it can do in none of the explorer's worlds (`plans_for`), it does not do in a bigger one.

    :raises UsageError: if there is no model of the provider's server or of the carrier.
    """
    searched = plans_for(provider, transport)
    small = {plan.name: plan for plan in plans_for(provider, transport, (*PLANS, _ANYTHING))}
    able = {name for plan in searched for name, bound in asdict(plan.limits).items() if bound}
    shown = {name for plan in searched for name in plan.server} | {*_GROWTH}
    several = any(plan.items > 1 for plan in searched)

    def limits(of: Plan) -> Limits:
        bounds = asdict(of.limits)
        return Limits(**{n: bound if n in able else type(bound)() for n, bound in bounds.items()})

    return tuple(
        replace(
            plan,
            limits=limits(plan),
            items=plan.items if several else 1,
            server={name: bound for name, bound in plan.server.items() if name in shown},
            vad=small[plan.name].vad,
            rules=small[plan.name].rules,
        )
        for plan in plans
        if plan.name in small
    )


class Count(Struct, frozen=True, kw_only=True):
    """How far a walk has come, at the end of a call."""

    calls: int = 0
    steps: int = 0
    """Acts done."""
    quiet: int = 0
    """Quiet moments in which the whole call was judged, and the next turn tried."""
    fingerprint: int = 0
    """Of every act of the walk, in order: equal for equal walks."""


class Seen(Struct, kw_only=True):
    """What came about on a walk."""

    rows: set[RowId] = set()
    """Rows of the tables that fired."""
    happened: set[str] = set()
    """Outcomes, as in `sometimes.OUTCOMES`."""

    def note(self, step: Step) -> None:
        """Add what happened in a step of a session."""
        self.rows.update(step.rows)
        self.happened.update(outcomes(step))


class Found(Struct, frozen=True, kw_only=True):
    """A call that broke a property: which, and all its acts, those of the judge included."""

    call: int
    plan: Plan
    number: str
    finding: str
    acts: tuple[Act, ...]


class Walk:
    """See the module. `count` and `seen` are those of a walk that goes on from there; else it is the first call's."""

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        plans: Sequence[Plan] = WALKED,
        *,
        seed: int = 1,
        count: Count | None = None,
        seen: Seen | None = None,
        remembered: int = REMEMBERED,
        engine: str = "table",
        server: ServerKind | None = None,
        carrier: CarrierKind | None = None,
    ) -> None:
        self.provider, self.transport, self.plans = provider, transport, tuple(plans)
        if not self.plans:
            raise UsageError("there is no world to walk through")
        self.seed = seed
        self.count = count or Count()
        self._seen = seen or Seen()
        self._remembered = remembered
        self._engine, self._models = engine, (server, carrier)
        self._worlds: dict[str, World] = {}
        self._noted: dict[str, int] = {}
        self._sessions = 0
        self.resets = 0
        """How often the worlds were thrown away."""

    @property
    def identity(self) -> str:
        """Equal for walks that are the same from the first step: tables, worlds and seed."""
        said = (self.provider.digest, self.transport.digest, repr(self.plans), self.seed)
        return hashlib.sha256(repr(said).encode()).hexdigest()

    @property
    def seen(self) -> Seen:
        """What came about so far."""
        self._look()
        return self._seen

    @property
    def sessions(self) -> int:
        """States that sessions were found in; one met again after the worlds were thrown away counts again."""
        return self._sessions + sum(len(each.session.sessions) for each in self._worlds.values())

    def unexercised(self) -> list[RowId]:
        """Rows of the tables that never fired."""
        rows = self.seen.rows
        return [row for row, _ in every_row(self.provider) if row not in rows]

    def rows(self) -> int:
        """How many rows the tables have."""
        return sum(1 for _ in every_row(self.provider))

    def plan_of(self, call: int) -> Plan:
        """The world that a call is in: each in turn, in an order of its own every time round."""
        round_, place = divmod(call // CALLS_IN_A_ROW, len(self.plans))
        order = list(range(len(self.plans)))
        Random(f"worlds {self.seed} {round_}").shuffle(order)
        return self.plans[order[place]]

    def next_call(self) -> Found | None:
        """Walk through one more call; what it found. A call that is abandoned midway is walked again.

        After a finding the walk stands before the call that had it.

        :raises UsageError: if there is no model of the provider's server or of the carrier.
        """
        count, acts = self.count, list[Act]()
        plan = self.plan_of(count.calls)
        world = self._world(plan)
        try:
            quiet = self._walks(world, Random(f"{self.seed} {count.calls}"), acts)
        except Broken as broken:
            judged = [act for move in broken.moves for act in move]
            return Found(
                call=count.calls,
                plan=plan,
                number=broken.number,
                finding=broken.finding,
                acts=(*acts, *judged),
            )
        self.count = Count(
            calls=count.calls + 1,
            steps=count.steps + len(acts),
            quiet=count.quiet + quiet,
            fingerprint=zlib.crc32(repr(acts).encode(), count.fingerprint),
        )
        if sum(len(each.session.steps) for each in self._worlds.values()) > self._remembered:
            self._forget()
        return None

    def _walks(self, world: World, random: Random, acts: list[Act]) -> int:
        whims, at = Whims(random), world.start
        quiet = rested = 0
        while True:
            if world.quiet.is_quiet(at):
                world.quiet.judge_call(at)
                quiet, rested = quiet + 1, len(acts)
                if random.random() < ANEW:
                    return quiet
                if not at.left.requests:
                    at = at._replace(left=_renewed(at.left, world.start.left))
            elif len(acts) - rested > RESTLESS:
                comes_to_rest(world, at)
                return quiet
            move = whims.picks(world.moves(at))
            acts += move
            at = world.follow(at, move)

    def _world(self, plan: Plan) -> World:
        world = self._worlds.get(plan.name)
        if world is None:
            world = self._worlds[plan.name] = interleaved(
                plan, self.provider, self.transport, self._engine, *self._models
            )
            self._noted[plan.name] = 0
        return world

    def _look(self) -> None:
        """Note what the steps taken since the last look have done."""
        for name, world in self._worlds.items():
            steps = world.session.steps
            for step in islice(steps.values(), self._noted[name], None):
                self._seen.note(step)
                if not self._seen.happened >= WRITTEN:
                    written = filter(None, map(world.session.written, step.actions))
                    self._seen.happened.update(sent(written, world.readings))
            self._noted[name] = len(steps)

    def _forget(self) -> None:
        self._look()
        self._sessions = self.sessions
        while self._worlds:
            _, world = self._worlds.popitem()
            del world.quiet  # The two know each other: parted, both go at once, unsearched for.
        self.resets += 1
        gc.collect()


def interleaved(
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    engine: str = "table",
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
) -> World:
    """The world of a plan in which every interleaving is possible."""
    return make(
        plan,
        provider,
        transport,
        reductions=INTERLEAVED,
        engine=engine,
        server=server,
        carrier=carrier,
    )


def comes_to_rest(world: World, at: State) -> None:
    """Let go on what can, and time pass, until all is quiet; judge the quiet.

    :raises Broken: if it never is, or if it is not as it should be.
    """
    moves: list[Move] = []
    for _ in range(RESTLESS):
        if world.quiet.is_quiet(at):
            world.quiet.judge_call(at)
            return
        act = world.goes_on(at)
        if act is None:
            (act,) = world.moves(at)[-1]
        moves.append((act,))
        at = world.follow(at, moves[-1])
    raise Broken("I12", "from here on the call never comes to rest", tuple(moves))


def _renewed(left: Left, start: Left) -> Left:
    """What may happen again; faults are counted over the whole call."""
    return start._replace(**{name: getattr(left, name) for name in _FAULTS})
