"""Exhaustive search of a world, breadth first, so that the first counterexample is a shortest one.

What it reports is honest about its limits: how many states, how deep, which bounds were reached, and whether it
was cut short. Safety is judged on every move; what must come in the end is judged in every quiet state, and on the
graph: from every state a quiet one must be reachable by moves that nobody can withhold for ever (`Search._fair`).
"""

import gc
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import ge
from typing import Any, Final

from msgspec import Struct

from .properties import Broken
from .world import Left, Move, State, World

OPTIONAL: Final = frozenset(
    {"request", "interrupt", "deadline", "hangs_up", "falls_silent", "loses_connection"}
    | {"message_lost", "message_repeated"}
)
"""Acts that need never happen: the application's, the caller's, and faults. A timer that overtakes is one too."""

PROGRESS_EVERY: Final = 2_000


@contextmanager
def without_collector() -> Iterator[None]:
    """Nothing looks for cycles among millions of objects that are in none: that would take half the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Progress(Struct, frozen=True):
    """How far a search has come."""

    states: int
    edges: int
    frontier: int
    depth: int
    seconds: float


class Counterexample(Struct, frozen=True):
    """A shortest run that breaks a property: its moves from the start, and what is broken at the end."""

    number: str
    finding: str
    moves: tuple[Move, ...]


class Outcome(Struct, kw_only=True):
    """What a search found. `reached` names the bounds that some state has used up: behind them lies more."""

    states: int
    edges: int
    quiet: int
    depth: int
    seconds: float
    truncated: bool
    reached: list[str]
    counterexample: Counterexample | None = None


class Search:
    """One search of one world."""

    def __init__(
        self,
        world: World,
        *,
        max_states: int = 3_000_000,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.world = world
        self.states: list[State] = []
        self._max_states = max_states
        self._on_progress = on_progress
        self._parents = array("l")
        self._moves: list[Move | None] = []
        self._depths = array("l")
        self._places: dict[tuple[Any, ...], list[tuple[Left, int]]] = {}
        self._edges = 0
        self._progress_from = array("l")
        self._progress_to = array("l")
        self._quiet: list[int] = []
        self._least = list(world.start.left)

    def run(self) -> Outcome:
        """Search until everything within the bounds is seen, a property breaks, or `max_states` are found."""
        with without_collector():
            return self._run()

    def _run(self) -> Outcome:
        began = time.perf_counter()
        self._add(self.world.start, -1, None)
        broken, truncated = None, False
        place = 0
        while place < len(self.states) and broken is None:
            broken = self._expand(place)
            place += 1
            if len(self.states) > self._max_states:
                truncated = True
                break
            if self._on_progress is not None and place % PROGRESS_EVERY == 0:
                self._on_progress(self._progress(place, began))
        if broken is None and not truncated:
            broken = self._fair()
        return Outcome(
            states=len(self.states),
            edges=self._edges,
            quiet=len(self._quiet),
            depth=max(self._depths),
            seconds=time.perf_counter() - began,
            truncated=truncated and broken is None,
            reached=self._reached(),
            counterexample=broken,
        )

    def path(self, place: int) -> tuple[Move, ...]:
        """The moves that lead to a state."""
        moves: list[Move] = []
        while self._parents[place] >= 0:
            move = self._moves[place]
            assert move is not None
            moves.append(move)
            place = self._parents[place]
        return tuple(reversed(moves))

    def _expand(self, place: int) -> Counterexample | None:
        world, at = self.world, self.states[place]
        if world.quiet.is_quiet(at):
            self._quiet.append(place)
            try:
                world.quiet.judge_call(at)
            except Broken as broken:
                return self._counterexample(place, (), broken)
        for move, after in world.successors(at):
            self._edges += 1
            if isinstance(after, Broken):
                return self._counterexample(place, (move,), after)
            if after.left != at.left:
                self._least = list(map(min, self._least, after.left))
            to = self._add(after, place, move)
            optional = move[0].what in OPTIONAL or move[-1].what in OPTIONAL
            if not optional and not world.is_callers(move):
                self._progress_from.append(place)
                self._progress_to.append(to)
        return None

    def _add(self, at: State, parent: int, move: Move | None) -> int:
        core = (*at[:8], at.silent, at.hung_up)
        known = self._places.get(core)
        if known is None:
            known = self._places[core] = []
        elif self.world.reduced.budget:
            for left, place in known:
                if all(map(ge, left, at.left)):
                    return place
        else:
            for left, place in known:
                if left == at.left:
                    return place
        place = len(self.states)
        known.append((at.left, place))
        self.states.append(at)
        self._parents.append(parent)
        self._moves.append(move)
        self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)
        return place

    def _counterexample(self, place: int, last: tuple[Move, ...], broken: Broken) -> Counterexample:
        return Counterexample(
            broken.number, broken.finding, (*self.path(place), *last, *broken.moves)
        )

    def _fair(self) -> Counterexample | None:
        """From every state a quiet one can be reached by moves that must happen some day.

        With that, a run in which every such move that stays possible again and again is made at last (strong
        fairness) ends in a quiet state, cycles or not; and every quiet state was judged.
        """
        ends = bytearray(len(self.states))
        for place in self._quiet:
            ends[place] = 1
        sources, targets = self._progress_from, self._progress_to
        changed = True
        while changed:
            changed = False
            for at in range(len(sources) - 1, -1, -1):
                if ends[targets[at]] and not ends[sources[at]]:
                    ends[sources[at]] = 1
                    changed = True
        stuck = ends.find(0)
        if stuck < 0:
            return None
        broken = Broken("I12", "from here on the call never comes to rest, whatever happens")
        return self._counterexample(stuck, (), broken)

    def _reached(self) -> list[str]:
        limits = self.world.limits
        return [
            f"{name}={getattr(limits, name)}"
            for name, least in zip(Left._fields, self._least, strict=True)
            if getattr(limits, name) and least == 0
        ]

    def _progress(self, place: int, began: float) -> Progress:
        return Progress(
            len(self.states),
            self._edges,
            len(self.states) - place,
            self._depths[place - 1],
            time.perf_counter() - began,
        )
