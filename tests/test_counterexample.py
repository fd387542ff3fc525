"""A counterexample is told as it happened, the rows it names stand where it says, and it can be made again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bargein import adapters
from bargein.codegen.generate import load
from bargein.codegen.loaded import adapters as from_tables
from bargein.counterexample import story
from bargein.diagrams.story import Step, Story, seen
from bargein.places import Places
from bargein.runtime.errors import UsageError
from bargein.simulator.explorer import Counterexample
from bargein.simulator.rerun import Ending, plan, rerun, walk, walkable
from bargein.simulator.verify import search
from bargein.simulator.world import Act, State, World
from bargein.simulator.worlds import Plan
from bargein.statemachines.tables import ROOM

from .mutants import MUTANTS, apply
from .mutation import variants

SHIPPED = adapters.provider("openai"), adapters.transport("twilio")

BUGS = {
    "interrupt-just-after-birth-cancels-nothing": "words",
    "births-attributed-by-order": "listens",
    "withdrawn-request-stays-at-the-gate": "silent",
    "refused-tombstone-is-kept": "listens",
    "unheard-items-stay-in-history": "repeated",
    "both-cancel-on-vad": "hung up",
    "a-refused-truncate-counts-as-done": "strict",
    "a-benign-race-is-fatal": "strict",
    "a-broken-line-resolves-nobody": "broken",
    "a-position-without-evidence": "words",
}
"""Bugs of several kinds, and a world that shows each soon."""


class Found(NamedTuple):
    """A bug, found."""

    plan: Plan
    folder: Path
    adapters: tuple[Any, Any]
    counterexample: Counterexample
    story: Story


@pytest.fixture(scope="module", params=BUGS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    (mutant,) = [each for each in MUTANTS if each.name == request.param]
    folder = apply(mutant, tmp_path_factory.mktemp("found") / "patched")
    provider, transport = (module.ADAPTER for module in from_tables(folder, "openai", "twilio"))
    world = plan(BUGS[request.param])
    counterexample = search(world, provider, transport).outcome.counterexample
    assert counterexample is not None
    places = Places(load(folder), folder, provider, transport)
    told = story(counterexample, walkable(world, provider, transport), places)
    return Found(world, folder, (provider, transport), counterexample, told)


# -- the story --------------------------------------------------------------------------------------


def test_the_violation_is_told_once_and_hardly_anything_after_it(found: Found) -> None:
    """What the same step said besides may follow."""
    kinds = [step.kind for step in found.story.steps]
    assert kinds.count("violation") == 1
    after = found.story.steps[kinds.index("violation") + 1 :]
    assert all(step.at == "session" for step in after)


def test_every_row_stands_where_the_story_says(found: Found) -> None:
    rows = {row for step in found.story.steps for row in step.rows}
    assert rows
    for row in rows:
        name, _, line = row.place.rpartition(":")
        assert name.startswith("patched/")
        lines = (found.folder.parent / name).read_text(encoding="utf-8").splitlines()
        text = lines[int(line) - 1]
        if row.text.startswith("read as") and text.endswith(":"):
            text += lines[int(line)]  # A long one begins below its name.
        for word in words_of(row.text):
            assert word in text, (row, text)


def words_of(text: str) -> list[str]:
    """What a line must hold if it is the one that is meant."""
    head, machine, row = text.partition(": ")
    if machine and head in ("response", "playback"):
        decision, _, actions = row.partition("; ")
        where, _, go = decision.partition(" -> ")
        guard = where.partition(" if ")[2]
        does = f"do: [{actions.removeprefix('nothing')}]" if actions else ""
        parts = (does, go and f"go: {go}", guard and f"if: {guard}")
        return [part for part in parts if part]
    first, *rest = text.split(" ")
    match rest:
        case ["as", event] if first == "read":
            return [f"event: {event}"]
        case ["means", meaning]:
            return [f"{first}:", f"means: {meaning}"]
        case ["sends", name, *_]:
            return [f"send: {name}"]
        case [name] if first == "send":
            return [f"  {name}:"]
    raise AssertionError(text)


def test_what_arrives_was_sent_and_only_once(found: Found) -> None:
    sights = seen(found.story)
    arrived = [number for sight in sights for number in sight.sent]
    assert len(arrived) == len(set(arrived))
    sent = [sight.number for sight in sights if sight.way in ("sent", "left")]
    assert set(arrived) <= set(sent)
    for sight in sights:
        if sight.way == "whole" and sight.target == "session" and sight.source == "wire":
            raise AssertionError(sight)


def test_a_story_is_told_the_same_again(found: Found) -> None:
    places = Places(load(found.folder), found.folder, *found.adapters)
    again = story(found.counterexample, walkable(found.plan, *found.adapters), places)
    assert again == found.story


def test_names_are_short(found: Found) -> None:
    text = repr(found.story)
    assert "bargein_" not in text
    assert "voice " not in text


# -- making it again --------------------------------------------------------------------------------


def test_the_same_moves_break_the_same_property(found: Found) -> None:
    ending = again(found)
    assert ending.broken is not None
    assert ending.broken.number == found.counterexample.number
    assert ending.broken.finding == found.counterexample.finding


def test_tables_without_the_bug_pass(found: Found) -> None:
    assert rerun(found.plan, found.counterexample.moves, *SHIPPED).broken is None


def again(found: Found) -> Ending:
    """As a test does it that was written: of plain tuples."""
    moves = [[tuple(act) for act in move] for move in found.counterexample.moves]
    return rerun(found.plan, moves, *found.adapters)


def test_a_path_that_is_closed_ends_there_and_what_goes_on_is_judged_all_the_same() -> None:
    """The bug is in what the server says later: it shows, though the walk ended before."""
    name = "response.cancelled.created[unborn]: go streaming"
    (bug,) = [each for each in variants(*SHIPPED) if each.name == name]
    patched = (bug.provider, bug.transport)
    world = plan("repeated")
    counterexample = search(world, *patched).outcome.counterexample
    assert counterexample is not None
    asked = [move[0].what for move in counterexample.moves].index("interrupt")
    assert asked < len(counterexample.moves) - 2
    moves: list[Any] = list(counterexample.moves[: asked + 1])
    moves.append((("hangs_up", None),))
    right = rerun(world, moves, *SHIPPED)
    assert (right.made, right.closed, right.broken) == (len(moves) - 1, True, None)
    wrong = rerun(world, moves, *patched)
    assert wrong.broken is not None
    assert wrong.broken.number == counterexample.number


def test_a_world_or_bound_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no world 'strickt'"):
        plan("strickt")
    with pytest.raises(UsageError, match="no bound 'request'"):
        plan("strict", request=2)


# -- what the searches of the bugs above do not tell -------------------------------------------------


class Walk:
    """Moves made by name, to be told as if they were a counterexample."""

    def __init__(self, name: str, **bounds: int) -> None:
        self.plan = plan(name, **bounds)
        self.world: World = walkable(self.plan, *SHIPPED)
        self.moves: list[tuple[Act, ...]] = []
        self.at: State = self.world.start

    def does(self, what: str, choice: str = "") -> "Walk":
        def fits(act: Act) -> bool:
            return act.what == what and (not choice or act.about[0] == choice)

        (move, *_) = [move for move in self.world.moves(self.at) if fits(move[0])]
        return self.makes(move)

    def makes(self, move: tuple[Act, ...]) -> "Walk":
        self.moves.append(move)
        self.at = self.world.follow(self.at, move)
        return self

    def rests(self) -> "Walk":
        while (act := self.world.goes_on(self.at)) is not None:
            self.makes((act,))
        return self

    def told(self) -> tuple[Step, ...]:
        counterexample = Counterexample("I12", "told", tuple(self.moves))
        world = walkable(self.plan, *SHIPPED)
        places = Places(load(ROOM), ROOM, *SHIPPED)
        return story(counterexample, world, places).steps


def texts(steps: tuple[Step, ...], wanted: Callable[[Step], bool]) -> list[str]:
    return [step.text for step in steps if wanted(step)]


def test_a_name_that_the_search_gives_again_is_another_name_in_the_story() -> None:
    """When a response is over everywhere the explorer lets its names be used again; a reader must not be misled."""
    call = Walk("superseded", deltas=1)
    call.does("request").rests().does("request").rests()
    steps = call.told()
    assert texts(steps, lambda s: s.at == "application") == ["request req_1", "request req_2"]
    plays = texts(steps, lambda s: s.to == "ear")
    assert plays == ["plays item_1", "plays item_2"]
    marks = texts(steps, lambda s: s.at == "session" and s.text.startswith("mark"))
    assert marks == ["mark mark_1", "mark mark_2"]
    born = texts(
        steps,
        lambda s: s.at == "server" and s.text.startswith("response.created") and not s.arrives,
    )
    assert born == ["response.created resp_1 for req_1", "response.created resp_2 for req_2"]


def test_what_is_lost_is_told_and_does_not_arrive() -> None:
    call = Walk("lost").does("request").does("server_receives").does("chooses", "creates")
    steps = call.does("message_lost").told()
    lost = texts(steps, lambda s: s.kind == "lost")
    assert lost == ["response.created resp_1 for req_1"]
    assert not any(
        step.to == "session" and step.at == "server" and step.arrives
        for step in steps
        if step.kind == "message"
    )


def test_what_comes_twice_is_told_twice() -> None:
    call = Walk("repeated").does("request").does("server_receives").does("chooses", "creates")
    steps = call.does(
        "message_repeated"
    ).told()  # The second changes nothing, so it arrives at once.
    sights = [sight for sight in seen(Story("", "", steps)) if sight.way == "arrived"]
    twice = [s for s in sights if s.step.text == "response.created resp_1 for req_1"]
    assert len(twice) == 2


def test_a_broken_line_loses_what_is_on_it() -> None:
    call = Walk("broken").does("request").does("loses_connection").does("server_arrives")
    steps = call.told()
    assert texts(steps, lambda s: s.kind == "lost") == ["response.create req_1"]
    assert "the connection breaks" in texts(steps, lambda s: s.at == "server")
    assert "req_1 is resolved: failed (connection_lost)" in texts(
        steps, lambda s: s.to == "application"
    )


def test_a_hang_up_is_the_callers() -> None:
    steps = Walk("hung up").does("request").does("hangs_up").does("carrier_arrives").told()
    assert texts(steps, lambda s: s.at == "ear") == ["the caller hangs up"]
    assert "req_1 is resolved: interrupted" in texts(steps, lambda s: s.to == "application")


def test_words_and_calls_are_told_to_the_application() -> None:
    call = Walk("words").does("request").does("server_receives").does("chooses", "creates")
    call.does("server_arrives").makes(_announces(call, "function_call")).rests()
    assert "function call of item_1" in texts(call.told(), lambda s: s.to == "application")


def _announces(call: Walk, kind: str) -> tuple[Act, ...]:
    (move,) = [m for m in call.world.moves(call.at) if m[0].about and kind in m[0].about]
    return move


def test_what_differs_is_told_of_session_server_carrier_and_ear() -> None:
    call = Walk("superseded", deltas=2).does("request").does("server_receives")
    call.does("chooses", "creates").does("server_arrives").does("chooses", "announces")
    call.does("server_arrives").does("chooses", "speaks").does("server_arrives")
    call.does("plays").does("carrier_arrives").does("interrupt").rests()
    changes = [
        (change.what, change.before, change.after)
        for step in call.told()
        for change in step.changes
    ]
    for one in (
        ("response req_1", "created", "streaming"),
        ("item_1", "playing, heard 0 of 100 ms", "playing, heard 100 of 100 ms"),
        ("item_1", "playing, heard 100 of 100 ms", "partial, heard 100 of 100 ms"),
        ("item_1, memory", "pending", "exact"),
        ("server remembers of item_1", "0 ms", "100 ms"),
        ("carrier's buffer", "100 ms", "0 ms"),
        ("ear has heard of item_1", "", "100 ms"),
    ):
        assert one in changes, changes


def test_a_walk_ends_at_the_first_act_that_is_not_possible() -> None:
    world = walkable(plan("words"), *SHIPPED)
    legs = list(walk(world, [[("request", False)], [("plays", None)], [("interrupt", "")]]))
    assert [leg.closed for leg in legs] == [False, True]
