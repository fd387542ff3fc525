"""From a long run that breaks a property to a short one: acts are dropped as long as the same property breaks.

Delta debugging over the list of acts: big pieces first, then single acts, then pairs; and what concerns one request
is tried as what concerns all. A shortened list is walked again act by act; what is not possible any more where it
stands is left out, or done to another of its kind: names shift when what came before them is gone. Nothing is
believed that the world did not just do.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from msgspec.structs import replace

from .explorer import Counterexample
from .properties import Broken
from .state import Act, Limits, State
from .walk import Found, comes_to_rest
from .whims import kind_of
from .world import World
from .worlds import Plan

AMPLE: Final = 1_000_000
PAIRS_UP_TO: Final = 60
"""Of longer lists only acts that are `NEAR` each other are left out in pairs: what is said, and its arrival."""
NEAR: Final = 15


class Run(NamedTuple):
    """A run that breaks a property: its acts, and those that the judge made by itself afterwards."""

    acts: tuple[Act, ...]
    judged: tuple[Act, ...]
    broken: Broken

    @property
    def counterexample(self) -> Counterexample:
        """As the explorer reports it."""
        moves = tuple((act,) for act in (*self.acts, *self.judged))
        return Counterexample(self.broken.number, self.broken.finding, moves)


def shrink(world: World, found: Found, on_progress: Callable[[int], None] | None = None) -> Run:
    """The shortest run found that breaks the same property, in a world of the same plan, made `ample`.

    `on_progress` is told the number of acts whenever there are fewer.

    :raises ValueError: if the acts of `found` break nothing in `world`: it is another world.
    """
    run = rerun(world, found.acts, found.number)
    if run is None:
        raise ValueError(f"the acts of call {found.call} do not break {found.number} in this world")
    tell = on_progress or (lambda _: None)
    before: tuple[Act, ...] | None = None
    while before != run.acts:
        before, length = run.acts, len(run.acts)
        size = max(1, length // 2)
        while True:
            run = _without_pieces(world, run, size, tell)
            if size == 1:
                break
            size //= 2
        if len(run.acts) == length:
            run = _without_a_pair(world, _simpler(world, run))
            tell(len(run.acts))
    return run


def _without_pieces(world: World, run: Run, size: int, tell: Callable[[int], None]) -> Run:
    """`run` without every piece of `size` acts that it does not need, looked for from its end."""
    end = len(run.acts)
    while end > 0:
        start = max(0, end - size)
        shorter = rerun(world, run.acts[:start] + run.acts[end:], run.broken.number)
        if shorter is not None and len(shorter.acts) < len(run.acts):
            run = shorter
            tell(len(run.acts))
        end = min(start, len(run.acts))
    return run


def _simpler(world: World, run: Run) -> Run:
    """`run` with plain requests and interrupts of everything where these break the same."""
    for at, act in enumerate(run.acts):
        if act.about and act.what in ("request", "interrupt"):
            plain = Act(act.what, False if act.what == "request" else "")
            acts = [*run.acts[:at], plain, *run.acts[at + 1 :]]
            simpler = rerun(world, acts, run.broken.number)
            if simpler is not None and len(simpler.acts) <= len(run.acts):
                return simpler
    return run


def _without_a_pair(world: World, run: Run) -> Run:
    """`run` without two acts that need each other, if there are such."""
    length = len(run.acts)
    for one, other in combinations(range(length), 2):
        if length > PAIRS_UP_TO and other - one > NEAR:
            continue
        acts = [act for at, act in enumerate(run.acts) if at not in (one, other)]
        shorter = rerun(world, acts, run.broken.number)
        if shorter is not None and len(shorter.acts) < length:
            return shorter
    return run


def rerun(world: World, acts: Sequence[Act], number: str) -> Run | None:
    """The run of these acts, as far as they are possible, if it breaks property `number` first."""
    at, done = world.start, list[Act]()
    try:
        _judge(world, at)
        for wanted in acts:
            act = possible(world, at, wanted)
            if act is not None:
                done.append(act)
                at = world.follow(at, (act,))
                _judge(world, at)
        if number == "I12":
            comes_to_rest(world, at)
    except Broken as broken:
        if broken.number != number:
            return None
        judged = tuple(act for move in broken.moves for act in move)
        return Run(tuple(done), judged, broken)
    return None


def ample(plan: Plan) -> Plan:
    """`plan`, where whatever its limits allow at all is allowed as often as one likes."""
    limits = {
        name: AMPLE
        for name in Limits.__struct_fields__
        if name not in ("lag", "backlog_ms")
        and not isinstance(getattr(plan.limits, name), bool)
        and getattr(plan.limits, name)
    }
    return replace(plan, limits=replace(plan.limits, **limits))


def possible(world: World, at: State, wanted: Act) -> Act | None:
    """`wanted`, if it may happen in `at`, else the first of its kind that may."""
    kind, other = kind_of(wanted), None
    for act, *_ in world.moves(at):
        if act == wanted:
            return act
        if other is None and kind_of(act) == kind:
            other = act
    return other


def _judge(world: World, at: State) -> None:
    if world.quiet.is_quiet(at):
        world.quiet.judge_call(at)
