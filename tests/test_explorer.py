"""The search engine against worlds whose answers are known: by arithmetic, by old puzzles, or by a second search.

A graph here wears the clothes of a `World`: its node stands where the session's state would. What the search may
leave out of a real world is the matter of `test_reductions.py`.
"""

import os
import random
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.session import Session
from bargein.simulator.explorer import OPTIONAL, Counterexample, Outcome, Progress, Search
from bargein.simulator.properties import Broken
from bargein.simulator.untimed import Input
from bargein.simulator.world import UNREDUCED, Act, Left, Limits, Move, Reductions, State, World
from bargein.simulator.worlds import PLANS, Plan, bounded, make

from .mutation import variants
from .searching import given, takes, told

PINNED = {
    "superseded": (1_472, 2_473, 25),
    "words": (155, 214, 13),
    "hung up": (343, 605, 14),
    "answers": (1_850, 2_668, 25),
}
"""States, edges and depth of four worlds, cut to one request of one item where they have more.

A change of these numbers is a change of meaning: of a table, of the session, of a model, of a property's knowledge or
of a reduction. Say which, then change them."""

CUT = {
    "superseded": {"deltas": 1},
    "words": {"deltas": 1},
    "hung up": {"deltas": 1, "speech_turns": 0},
    "answers": {"deltas": 1},
}

PROVIDER, TRANSPORT = adapters.provider("openai"), adapters.transport("twilio")


class Edge(NamedTuple):
    """A move of a graph. `costs` is what it takes from the bound on interrupts, which then must last."""

    to: Any
    what: str = "chooses"
    costs: int = 0


class Graph:
    """A graph as a world. `edges` are the moves from a node; where it may end is `quiet`, where it breaks `bad`."""

    def __init__(
        self,
        start: Any,  # noqa: ANN401
        edges: Callable[[Any], Iterable[Edge]],
        *,
        quiet: Callable[[Any], bool] = lambda node: True,
        bad: Callable[[Any], bool] = lambda node: False,
        bad_end: Callable[[Any], bool] = lambda node: False,
        left: int = 0,
        budget: bool = True,
    ) -> None:
        self.nodes: list[Any] = []
        self._ids: dict[Any, int] = {}
        self._edges, self._quiet, self._bad, self._bad_end = edges, quiet, bad, bad_end
        self.limits = Limits(requests=0, interrupts=left, speech_turns=0, deadlines=0)
        self.reduced = Reductions(budget=budget)
        self.quiet = self
        self.start = self._state(start, Left(0, left, *(0 for _ in Left._fields[2:])))

    def _state(self, node: Any, left: Left) -> State:  # noqa: ANN401
        at = self._ids.setdefault(node, len(self.nodes))
        if at == len(self.nodes):
            self.nodes.append(node)
        return State(at, 0, 0, 0, (), (), (), (), left)

    def successors(self, at: State) -> Iterator[tuple[Move, State | Broken]]:
        for edge in self._edges(self.nodes[at.session]):
            interrupts = at.left.interrupts - edge.costs
            if interrupts < 0:
                continue
            move = (Act(edge.what, edge.to),)
            if self._bad(edge.to):
                yield move, Broken("I1", f"{edge.to} is bad")
            else:
                yield move, self._state(edge.to, at.left._replace(interrupts=interrupts))

    def is_callers(self, move: Move) -> bool:
        return False

    def is_quiet(self, at: State) -> bool:
        return self._quiet(self.nodes[at.session])

    def judge_call(self, at: State) -> None:
        if self._bad_end(self.nodes[at.session]):
            raise Broken("I8", "a bad end", ((Act("request"),),))


def run(graph: Any, **options: Any) -> Outcome:  # noqa: ANN401
    return Search(graph, **options).run()


def places(counterexample: Counterexample | None) -> list[Any]:
    assert counterexample is not None
    return [act.about for move in counterexample.moves for act in move]


def drawn(arrows: str, **what: str) -> Callable[[str], list[Edge]]:
    """The moves of a small drawing: `ab ba bc` are three; `what` names those that are not of the server."""
    pairs = arrows.split()
    return lambda node: [
        Edge(pair[1], what.get(pair, "chooses")) for pair in pairs if pair[0] == node
    ]


# -- counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wide", "high"), [(0, 0), (1, 7), (5, 3), (20, 30)])
def test_a_grid_has_the_states_edges_and_depth_that_arithmetic_says(wide: int, high: int) -> None:
    """Two counters that do not know of each other: every interleaving of their steps."""

    def steps(at: tuple[int, int]) -> Iterator[Edge]:
        if at[0] < wide:
            yield Edge((at[0] + 1, at[1]))
        if at[1] < high:
            yield Edge((at[0], at[1] + 1))

    found = run(Graph((0, 0), steps, quiet=lambda at: at == (wide, high)))
    assert found.states == (wide + 1) * (high + 1)
    assert found.edges == wide * (high + 1) + high * (wide + 1)
    assert (found.depth, found.quiet) == (wide + high, 1)
    assert not found.truncated and found.counterexample is None


@pytest.mark.parametrize("bits", [1, 4, 9])
def test_a_cube_has_the_states_edges_and_depth_that_arithmetic_says(bits: int) -> None:
    """Full of cycles: every bit can be turned back."""
    found = run(Graph(0, lambda at: [Edge(at ^ 1 << bit) for bit in range(bits)]))
    assert (found.states, found.edges, found.depth) == (2**bits, bits * 2**bits, bits)


def pour(at: tuple[int, int]) -> Iterator[Edge]:
    """Jugs of 3 and 5: fill one, empty one, pour one into the other."""
    three, five = at
    over, back = min(three, 5 - five), min(five, 3 - three)
    for after in (
        *((3, five), (three, 5), (0, five), (three, 0)),
        *((three - over, five + over), (three + back, five - back)),
    ):
        yield Edge(after)


def test_the_water_jugs_are_solved_in_six_steps() -> None:
    """A known answer: 16 states can be reached, and 4 is measured in 6 steps and no fewer."""
    assert run(Graph((0, 0), pour)).states == 16
    solved = run(Graph((0, 0), pour, bad=lambda at: at[1] == 4)).counterexample
    assert places(solved) == [(0, 5), (3, 2), (0, 2), (2, 0), (2, 5), (3, 4)]


def ferry(at: tuple[int, int, int]) -> Iterator[Edge]:
    """Missionaries and cannibals on the near shore, and where the boat is."""
    for good, wild in ((1, 0), (2, 0), (0, 1), (0, 2), (1, 1)):
        sign = -1 if at[2] else 1
        m, c = at[0] + sign * good, at[1] + sign * wild
        if 0 <= m <= 3 and 0 <= c <= 3 and (m in (0, 3) or m == c):
            yield Edge((m, c, 1 - at[2]))


def test_the_missionaries_cross_in_eleven() -> None:
    crossed = run(Graph((3, 3, 1), ferry, bad=lambda at: at[:2] == (0, 0))).counterexample
    assert crossed is not None and len(crossed.moves) == 11
    everywhere = run(Graph((3, 3, 1), ferry))
    assert (everywhere.states, everywhere.edges, everywhere.depth) == oracle((3, 3, 1), ferry)


def oracle(start: Any, edges: Callable[[Any], Iterable[Edge]]) -> tuple[int, int, int]:  # noqa: ANN401
    """States, edges and depth, by a second breadth-first search that has nothing in common with the first."""
    depth = {start: 0}
    waiting, count = deque([start]), 0
    while waiting:
        at = waiting.popleft()
        for edge in edges(at):
            count += 1
            if edge.to not in depth:
                depth[edge.to] = depth[at] + 1
                waiting.append(edge.to)
    return len(depth), count, max(depth.values())


def chance_graph(seed: int) -> tuple[Callable[[int], list[Edge]], random.Random]:
    """A random graph of 40 nodes. What costs is optional, as in a call."""
    chance = random.Random(seed)
    arrows: list[list[Edge]] = []
    for _ in range(40):
        whats = chance.choices(("chooses", "server_arrives", "interrupt"), k=chance.randrange(4))
        arrows.append(
            [Edge(chance.randrange(40), what, int(what == "interrupt")) for what in whats]
        )
    return arrows.__getitem__, chance


def test_random_graphs_are_counted_as_by_a_second_search() -> None:
    for seed in range(200):
        edges, _ = chance_graph(seed)

        def free(node: int, edges: Callable[[int], list[Edge]] = edges) -> list[Edge]:
            return [edge._replace(costs=0) for edge in edges(node)]

        found = run(Graph(0, free))
        assert (found.states, found.edges, found.depth) == oracle(0, free)


# -- counterexamples ------------------------------------------------------------------------------------------------


def test_a_counterexample_is_a_shortest_one_and_begins_at_the_start() -> None:
    """Also where a longer way is offered first."""
    found = run(Graph("a", drawn("ab bc cd dx ae ex"), bad=lambda node: node == "x"))
    assert found.counterexample is not None
    assert (found.counterexample.number, places(found.counterexample)) == ("I1", ["e", "x"])


def test_a_bad_end_is_told_with_the_moves_of_its_judge() -> None:
    found = run(Graph("a", drawn("ab"), bad_end=lambda node: node == "b")).counterexample
    assert found is not None
    assert [act.what for move in found.moves for act in move] == ["chooses", "request"]
    assert (found.number, found.finding) == ("I8", "a bad end")


def test_a_bad_start_needs_no_move() -> None:
    found = run(Graph("a", drawn("ab"), quiet=lambda node: False)).counterexample
    assert found is not None and found.moves == ()


def test_an_end_is_judged_only_where_all_is_quiet() -> None:
    graph = Graph(
        "a", drawn("ab bc"), quiet=lambda node: node == "c", bad_end=lambda node: node == "b"
    )
    assert run(graph).counterexample is None


# -- fairness -----------------------------------------------------------------------------------------------------


def never_ends(arrows: str, **what: str) -> list[Any] | None:
    """Where a drawing is first stuck; `z` is quiet."""
    found = run(Graph("a", drawn(arrows, **what), quiet=lambda node: node == "z"))
    if found.counterexample is None:
        return None
    assert found.counterexample.number == "I12"
    return places(found.counterexample)


def test_a_cycle_that_can_be_left_is_left_some_day() -> None:
    assert never_ends("ab bc ca cz") is None


def test_a_cycle_that_cannot_be_left_is_found() -> None:
    """By the shortest way into it, though a quiet end can be reached before."""
    assert never_ends("az ab bc cd db") == ["b"]


def test_a_call_that_only_turns_on_the_spot_never_ends() -> None:
    assert never_ends("az ab bb") == ["b"]


def test_a_dead_end_that_is_not_quiet_is_found() -> None:
    assert never_ends("az ab bc") == ["b"]


@pytest.mark.parametrize("what", sorted(OPTIONAL))
def test_what_need_never_happen_saves_no_call(what: str) -> None:
    """The application, the caller and faults may end a cycle; nobody can rely on it."""
    assert never_ends("az ab bb bz", bz=what) == ["b"]
    assert never_ends("az ab bb bz", bz="server_arrives") is None
    assert never_ends("az ab bz", ab=what) is None


def test_a_caller_who_begins_to_speak_saves_no_call() -> None:
    """The server's model offers it among its own choices; it is the caller's."""
    search = Search(make(small(requests=0, speech_turns=1), PROVIDER, TRANSPORT))
    assert search.run().states > 10
    assert 0 not in search._progress_from  # From the start nothing but the caller's word leads on.
    assert 1 in search._progress_from


def test_random_graphs_are_fair_where_a_second_search_says_so() -> None:
    """Backwards from the quiet nodes there, forwards from every node here."""
    fair = []
    for seed in range(200):
        edges, chance = chance_graph(seed)
        ends = {node for node in range(40) if chance.random() < 0.3}
        found = run(Graph(0, edges, quiet=ends.__contains__, left=2)).counterexample

        def must(node: int, edges: Callable[[int], list[Edge]] = edges) -> list[Edge]:
            return [edge for edge in edges(node) if edge.what not in OPTIONAL]

        nodes = {node for node, _ in reach((0, 2), paying(edges))}
        fair.append(all(reach(node, must) & ends for node in nodes))
        assert (found is None) == fair[-1], seed
    assert 10 < sum(fair) < 190


def paying(edges: Callable[[int], list[Edge]]) -> Callable[[Any], list[Edge]]:
    """The same graph over pairs of node and what is left."""
    return lambda at: [
        Edge((edge.to, at[1] - edge.costs)) for edge in edges(at[0]) if edge.costs <= at[1]
    ]


def reach(start: Any, edges: Callable[[Any], list[Edge]]) -> set[Any]:  # noqa: ANN401
    seen, waiting = {start}, [start]
    while waiting:
        for edge in edges(waiting.pop()):
            if edge.to not in seen:
                seen.add(edge.to)
                waiting.append(edge.to)
    return seen


# -- what is left, bounds, cut short ---------------------------------------------------------------------------------


def test_a_state_is_not_searched_again_with_less_left() -> None:
    """Same nodes, same verdict, same length of the way, in fewer states; all as a second search finds them."""
    fewer = broken = 0
    for seed in range(200):
        edges, chance = chance_graph(seed)
        bad = chance.randrange(1, 40)
        pairs = reach((0, 3), paying(edges))
        graphs: list[Any] = [Graph(0, edges, left=3, budget=budget) for budget in (True, False)]
        whole = [Search(graph) for graph in graphs]
        less, more = (search.run() for search in whole)
        for search in whole:
            assert {at.session for at in search.states} == set(range(len({n for n, _ in pairs})))
        assert more.states == len(pairs)
        fewer += less.states < more.states
        ways = [
            run(Graph(0, edges, left=3, budget=budget, bad=partial(eq, bad)))
            for budget in (True, False)
        ]
        lengths = [way.counterexample and len(way.counterexample.moves) for way in ways]
        assert lengths[0] == lengths[1]
        assert (lengths[0] is not None) == (bad in {node for node, _ in pairs})
        broken += lengths[0] is not None
    assert fewer > 50 and broken > 50


def test_a_bound_is_named_only_when_some_state_has_used_it_up() -> None:
    twice = Graph("a", lambda node: [Edge("b", "interrupt", 1)] if node == "a" else [], left=2)
    assert run(twice).reached == []
    round_ = Graph("a", lambda node: [Edge("a", "interrupt", 1)], left=2, budget=False)
    assert run(round_).reached == ["interrupts=2"]


def test_a_search_that_is_cut_short_says_so() -> None:
    """Never where everything was seen, nor where something was found."""

    def line(node: int) -> list[Edge]:
        return [Edge(node + 1)] if node < 99 else []

    whole = run(Graph(0, line), max_states=100)
    assert (whole.states, whole.truncated) == (100, False)
    cut = run(Graph(0, line), max_states=99)
    assert cut.truncated and cut.counterexample is None
    unfair = run(Graph(0, line, quiet=lambda node: False), max_states=50)
    assert unfair.truncated and unfair.counterexample is None  # What lies behind is not judged.
    found = run(Graph(0, line, bad=lambda node: node == 40), max_states=50)
    assert not found.truncated and len(places(found.counterexample)) == 40


def test_progress_is_told_and_only_grows() -> None:
    told: list[Progress] = []
    bits = 13
    edges = {at: [Edge(at ^ 1 << bit) for bit in range(bits)] for at in range(2**bits)}
    found = run(Graph(0, edges.__getitem__), on_progress=told.append)
    assert [each.states for each in told] == sorted(each.states for each in told)
    assert len(told) == found.states // 2_000
    assert told[-1].edges <= found.edges and told[-1].frontier < found.states


# -- real worlds -----------------------------------------------------------------------------------------------------


def small(**bounds: Any) -> Plan:  # noqa: ANN401
    few = {"requests": 1, "interrupts": 1, "speech_turns": 0, "deadlines": 0}
    return Plan(name="small", says="", limits=Limits(**(few | bounds)), items=1, deltas=1)


@pytest.mark.parametrize("name", PINNED)
def test_the_counts_of_small_worlds_are_pinned(name: str) -> None:
    plan = next(each for each in PLANS if each.name == name)
    found = run(make(bounded(plan, **CUT[name]), PROVIDER, TRANSPORT))
    assert found.counterexample is None and not found.truncated
    assert (found.states, found.edges, found.depth) == PINNED[name]


def report() -> str:
    """A search that ends, and one that finds something, in full."""
    broken = next(
        each
        for each in variants(PROVIDER, TRANSPORT)
        if "created.interrupt: drop cancel" in each.name
    )
    lines = []
    for provider in (PROVIDER, broken.provider):
        found = run(make(small(deadlines=1, repeated=1), provider, TRANSPORT))
        counts = (found.states, found.edges, found.quiet, found.depth, found.reached)
        lines.append(f"{counts} {found.counterexample}")
    return "\n".join(lines)


def test_two_runs_give_the_same_to_the_last_move() -> None:
    """In another process, whose sets and dicts of text are ordered otherwise."""
    code = "from tests.test_explorer import report; print(report())"
    seen = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout.strip())
    assert seen == {report()}
    assert "Counterexample(number='I1'" in report()


# -- time ---------------------------------------------------------------------------------------------------------


JUMPS_MS = (0, 0, 20, 400, 3_000, 11_000, 31_000)


def test_whatever_a_clock_allows_is_a_path_without_one() -> None:
    """A session with a real clock, driven as a driver drives it, and the explorer's beside it.

    Whenever time has passed, firing some of the timers that the explorer offers, in some order, leads to the state
    that the session is in, and the wires carry the same. On every other input the two are in step.
    """
    lengths: list[int] = []
    for seed in range(150):
        chance = random.Random(seed)
        faults = {"lost": 2} if seed % 2 else {"silences": 1, "speech_turns": 1, "beside": 1}
        limits = small(requests=2, interrupts=2, **faults)
        at = (world := make(limits, PROVIDER, TRANSPORT, reductions=UNREDUCED)).start
        session, now_ms = world.session.sessions[at.session].copy(), 0
        for _ in range(120):
            if jump_ms := chance.choice(JUMPS_MS):
                at, now_ms = played(world, at), now_ms + jump_ms
                due_ms = session.next_deadline_ms
                if due_ms is not None and due_ms <= now_ms:
                    actions = session.advance(now_ms)
                    at, length = fired(world, at, session, actions)
                    lengths.append(length)
            moves = [move[0] for move in world.moves(at) if move[0].what != "time_passes"]
            if not moves:
                continue
            act = chance.choice(moves)
            taken, after = given(at, act), world.does(at, act)
            if taken is not None:
                step = world.session.step(at.session, taken)
                assert told(takes(session, taken, now_ms)) == told(step.actions)
                assert world.session._intern(session.copy()) == after.session
            at = after
    assert lengths.count(1) > 100 and sum(length > 1 for length in lengths) > 20


def played(world: World, at: State) -> State:
    """A carrier plays in real time: what was on its way to it has arrived and sounded."""
    while at.to_carrier:
        at = world.does(at, Act("carrier_receives"))
    while world.carrier.buffered_ms(at.carrier):
        at = world.does(at, Act("plays"))
    return at


def fired(world: World, at: State, session: Session, actions: list[do.Action]) -> tuple[State, int]:
    """Where firing timers leads to the same, and how many it took."""
    wanted, said = world.session._intern(session.copy()), sorted(map(repr, told(actions)))
    waiting: deque[tuple[State, int, tuple[str, ...]]] = deque([(at, 0, ())])
    while waiting:
        now, length, before = waiting.popleft()
        if now.session == wanted and sorted(before) == said:
            return now, length
        for kind, name in world.session.timers(now.session):
            if kind == "item" and not world._is_overdue(now, name):
                continue
            step = world.session.step(now.session, Input("deadline", name, kind))
            after = world.does(now, Act("time_passes", (kind, name)))
            waiting.append((after, length + 1, before + tuple(map(repr, told(step.actions)))))
            assert len(waiting) < 5_000
    raise AssertionError(f"no order of timers does {said}")
