"""The moves of a counterexample made again: act by act for who tells its story, or as a test that they break nothing.

    ending = rerun(plan("strict"), MOVES, adapters.provider("openai"), adapters.transport("twilio"))
    assert ending.broken is None, ending.broken

What is mended behaves in another way, so a move may not be possible any more: the path is closed, and the call goes
on from there by itself. Wherever the moves lead, all ways in which the call can then come to rest are searched too.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import Struct

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError

from .explorer import Search
from .properties import Broken
from .world import Act, Left, Reductions, State, World
from .worlds import PLANS, CarrierKind, Plan, ServerKind, bounded, make, plans_for

GOES_ON: Final = 5_000
"""How many states are looked at after the last move. From most places far fewer are left."""

_ANY_ORDER: Final = Reductions(order=False)
"""In a search some interleavings stand for others; whoever repeats one must be allowed each."""

Given = Iterable[tuple[str, Any]]
"""A move as a literal: its acts, each what is done and what about; plain tuples will do."""


class Leg(NamedTuple):
    """One act of a walk, and where it led. Without an act it is a judge who spoke, and `broken` says what."""

    before: State
    act: Act | None
    after: State | None = None
    """None where a property broke, or where the act was not possible."""
    settled: State | None = None
    """After the last act of a move: without messages that change nothing, and without what is over everywhere."""
    broken: Broken | None = None

    @property
    def closed(self) -> bool:
        """The act was not possible."""
        return self.after is None and self.broken is None


class Ending(Struct, frozen=True):
    """How a rerun ended: after so many of the moves, at one that was not possible, or at a broken property."""

    made: int
    closed: bool
    broken: Broken | None


def plan(name: str, pair: tuple[str, str] | None = None, /, **bounds: int) -> Plan:
    """The world of that name, as far as a pair of provider and carrier can be in it, perhaps with other bounds.

    :raises UsageError: if there is no such world, for that pair, or no such bound.
    """
    plans = PLANS if pair is None else plans_for(*pair)
    for each in plans:
        if each.name == name:
            return bounded(each, **bounds)
    raise UsageError(f"there is no world {name!r}; there are: {', '.join(p.name for p in plans)}")


def rerun(
    plan: Plan,
    moves: Iterable[Given],
    provider: ProviderAdapter,
    transport: TransportAdapter,
    *,
    engine: str = "table",
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
) -> Ending:
    """Make `moves` from the start of a world, as far as they are possible, and let the call go on to its end.

    :raises UsageError: if there is no model to run them against.
    """
    world = walkable(plan, provider, transport, engine=engine, server=server, carrier=carrier)
    at, made, closed = world.start, 0, False
    for leg in walk(world, moves):
        if leg.broken is not None:
            return Ending(made, False, leg.broken)
        closed = leg.closed
        at = leg.settled or leg.after or leg.before
        made += leg.settled is not None
    return Ending(made, closed, _goes_on(world, at))


def walkable(
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    *,
    engine: str = "table",
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
) -> World:
    """A world to `walk` in.

    :raises UsageError: if there is no model of the provider's server or of the carrier.
    """
    return make(
        plan,
        provider,
        transport,
        engine=engine,
        server=server,
        carrier=carrier,
        reductions=_ANY_ORDER,
    )


def walk(world: World, moves: Iterable[Given]) -> Iterator[Leg]:
    """Make `moves` one act at a time, up to the first that is not possible or breaks a property.

    Like a search, it judges every quiet state on the way. What a judge does himself to find out is made as well.
    """
    at = world.start
    for move in moves:
        if judged := _judged(world, at):
            yield from judged
            return
        legs = _makes(world, at, tuple(move))
        yield from legs
        if legs[-1].settled is None:
            return
        at = legs[-1].settled
    yield from _judged(world, at)


def _makes(world: World, at: State, move: tuple[tuple[str, Any], ...]) -> list[Leg]:
    legs: list[Leg] = []
    midway = at
    for what, about in move:
        act = next(
            (act for (act, *_) in world.moves(midway) if act == (what, about)),
            None,
        )
        if act is None:
            return [*legs, Leg(midway, Act(what, about))]
        legs.append(_does(world, midway, act))
        if legs[-1].after is None:
            return legs
        midway = legs[-1].after
    try:
        settled = world.follow(at, tuple([leg.act for leg in legs if leg.act is not None]))
    except Broken as broken:
        return [*legs, Leg(midway, None, broken=broken)]
    legs[-1] = legs[-1]._replace(settled=settled)
    return legs


def _does(world: World, at: State, act: Act) -> Leg:
    try:
        return Leg(at, act, world.does(at, act))
    except Broken as broken:
        return Leg(at, act, broken=broken)


def _judged(world: World, at: State) -> list[Leg]:
    """Nothing if all is well or the call is not quiet; otherwise what a judge did, and what he found."""
    if not world.quiet.is_quiet(at):
        return []
    try:
        world.quiet.judge_call(at)
    except Broken as broken:
        legs: list[Leg] = []
        for (act,) in broken.moves:
            if not legs:  # The judge's own request is not one of those that the bounds allow.
                at = at._replace(left=at.left._replace(requests=1))
            legs.append(_does(world, at, act))
            at = legs[-1].after or at
        if legs and legs[-1].broken:
            return legs
        return [*legs, Leg(at, None, broken=broken)]
    return []


def _goes_on(world: World, at: State) -> Broken | None:
    """What breaks if nobody asks for anything any more: in how the call goes on, or because it does not rest."""
    nothing = Left._make([0] * len(Left._fields))
    world.start, world.reduced = at._replace(left=nothing), Reductions()
    found = Search(world, max_states=GOES_ON).run().counterexample
    return Broken(found.number, found.finding) if found else None
