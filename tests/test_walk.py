"""The long random walk: one seed, one walk; it goes on where it stopped; what it finds is made short and spelled."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bargein import adapters, cli
from bargein import walk as command
from bargein.codegen.loaded import adapters as from_tables
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Settings
from bargein.scene_script import script, written_test
from bargein.simulator.explorer import Search, without_collector
from bargein.simulator.kinds import shared_audio
from bargein.simulator.openai import Rules
from bargein.simulator.properties import Broken
from bargein.simulator.shrink import Run, ample, rerun, shrink
from bargein.simulator.state import Act
from bargein.simulator.walk import (
    CALLS_IN_A_ROW,
    WALKED,
    Count,
    Found,
    Seen,
    Walk,
    interleaved,
    walked_with,
)
from bargein.simulator.whims import WEIGHTS, Whims, kind_of
from bargein.simulator.worlds import (
    CARRIERS,
    DELTA_MS,
    PLANS,
    SERVERS,
    Plan,
    make,
    plans_for,
)

from .mutants import MUTANTS, apply
from .scene import Scene

ROOT = Path(__file__).resolve().parent.parent
CALM = next(plan for plan in WALKED if plan.name == "superseded")

command.add_to(cli.app)

Pair = tuple[ProviderAdapter, TransportAdapter]


def shipped() -> Pair:
    return adapters.provider("openai"), adapters.transport("twilio")


def walked(calls: int, *, seed: int = 1, first: int = 0, **how: Any) -> Walk:  # noqa: ANN401
    """A walk after so many calls; one that breaks something is stepped over, as it is stepped over next time."""
    how = {"plans": (CALM,)} | how
    walk = Walk(*shipped(), seed=seed, count=Count(calls=first), **how)
    goes_on(walk, calls)
    return walk


def goes_on(walk: Walk, calls: int) -> list[Found]:
    found = []
    with without_collector():
        for _ in range(calls):
            if (broken := walk.next_call()) is not None:
                found.append(broken)
                walk.count = Count(calls=walk.count.calls + 1, steps=walk.count.steps)
    return found


def mutant(name: str, folder: Path) -> Pair:
    (one,) = [each for each in MUTANTS if each.name == name]
    provider, transport = from_tables(apply(one, folder), "openai", "twilio")
    return provider.ADAPTER, transport.ADAPTER


def first_found(pair: Pair, *, seed: int = 1, steps: int = 20_000) -> Found:
    walk = Walk(*pair, [plan for plan in WALKED if plan.name == "words"], seed=seed)
    while walk.count.steps < steps:
        if (found := walk.next_call()) is not None:
            return found
    raise AssertionError("the walk found nothing")


# -- One walk ---------------------------------------------------------------------------------------


def test_one_seed_is_one_walk_under_any_hash_seed() -> None:
    """Nothing on the way may depend on the order of a set."""
    code = (
        "from bargein import adapters; from bargein.simulator.walk import *\n"
        "walk = Walk(adapters.provider('openai'), adapters.transport('twilio'), WALKED[-1:])\n"
        "while walk.count.steps < 2_000 and walk.next_call() is None: pass\n"
        "print(walk.count, sorted(walk.seen.rows), sorted(walk.seen.happened))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "quiet=" in said.pop()


def test_another_seed_is_another_walk() -> None:
    assert walked(3, seed=1).count.fingerprint != walked(3, seed=2).count.fingerprint


def test_a_walk_goes_on_exactly_where_it_stopped() -> None:
    """At a call's end, the world's change among them: what was seen before is carried along."""
    first, plans = CALLS_IN_A_ROW - 3, WALKED[:2]
    whole = walked(6, first=first, plans=plans)
    part = walked(2, first=first, plans=plans)
    rest = Walk(*shipped(), plans, count=part.count, seen=part.seen)
    goes_on(rest, 4)
    assert rest.count == whole.count
    assert rest.seen == whole.seen
    assert whole.plan_of(first) != whole.plan_of(first + 5)


def test_a_world_thrown_away_is_not_missed() -> None:
    """What bounds the memory changes nothing of the walk."""
    usual, forgetful = walked(12), walked(12, remembered=1)
    assert (usual.resets, forgetful.resets) == (0, 12)
    assert forgetful.count == usual.count
    assert forgetful.seen == usual.seen
    assert forgetful.sessions > usual.sessions


def test_both_engines_walk_the_same_walk() -> None:
    assert walked(3).count == walked(3, engine="transitions").count


def test_the_longer_the_walk_the_more_is_seen() -> None:
    walk = walked(1)
    little, most = set(walk.seen.rows), walk.rows()
    goes_on(walk, 40)
    assert little < walk.seen.rows
    assert len(walk.seen.rows) == most - len(walk.unexercised())


def test_every_world_has_its_turn_in_every_round() -> None:
    walk = Walk(*shipped())
    turns = [walk.plan_of(turn * CALLS_IN_A_ROW).name for turn in range(2 * len(WALKED))]
    for once in (turns[: len(WALKED)], turns[len(WALKED) :]):
        assert sorted(once) == sorted(plan.name for plan in WALKED)
    assert turns[: len(WALKED)] != turns[len(WALKED) :]


def test_a_walk_without_a_world_is_refused() -> None:
    with pytest.raises(UsageError, match="no world"):
        Walk(*shipped(), [])


def test_every_kind_of_act_comes_about() -> None:
    """A weight for what never happens would be a promise that nobody keeps."""
    kinds: set[str] = set()
    for plan in WALKED:
        if plan.name in ("anything", "lost", "silent"):
            for seed in range(25):
                kinds.update(kind_of(act) for act in at_random(plan, seed, 80))
    assert kinds >= WEIGHTS.keys()


# -- Other providers and carriers --------------------------------------------------------------------


def pairs() -> list[tuple[str, str]]:
    """Every provider and every carrier of which there is a model, each at least once."""

    def fits(pair: tuple[str, str]) -> bool:
        try:
            return bool(shared_audio(adapters.provider(pair[0]), adapters.transport(pair[1])))
        except UsageError:
            return False

    found = list[tuple[str, str]]()
    for turn, provider in enumerate(SERVERS):
        carriers = [*CARRIERS][turn % len(CARRIERS) :] + [*CARRIERS][: turn % len(CARRIERS)]
        found.append(next(pair for carrier in carriers if fits(pair := (provider, carrier))))
    for carrier in CARRIERS.keys() - {carrier for _, carrier in found}:
        found.append(next(pair for provider in SERVERS if fits(pair := (provider, carrier))))
    return sorted(found)


def walk_of(pair: tuple[str, str], **how: Any) -> Walk:  # noqa: ANN401
    plans = walked_with(*pair)
    return Walk(adapters.provider(pair[0]), adapters.transport(pair[1]), plans, **how)


@pytest.mark.parametrize("pair", pairs(), ids="-".join)
def test_every_provider_and_every_carrier_survives_a_short_walk(pair: tuple[str, str]) -> None:
    """Some calls in each of its worlds."""
    with without_collector():
        for turn, _ in enumerate(walked_with(*pair)):
            walk = walk_of(pair, count=Count(calls=turn * CALLS_IN_A_ROW), seed=2)
            for _ in range(3):
                assert walk.next_call() is None
            assert walk.count.steps > 0 and walk.count.quiet > 0


def test_openai_on_twilio_walks_through_every_world_as_it_is() -> None:
    assert walked_with("openai", "twilio") == WALKED


@pytest.mark.parametrize("pair", pairs(), ids="-".join)
def test_a_server_does_on_a_walk_only_what_it_does_in_a_search(pair: tuple[str, str]) -> None:
    """What the explorer leaves out with this server, a bigger world does not bring in."""
    searched = {plan.name: plan for plan in plans_for(*pair)}
    walked = walked_with(*pair)
    assert {plan.name for plan in walked} - {"anything"} == searched.keys()
    for plan in walked:
        if plan.name in searched:
            small = searched[plan.name]
            assert (plan.vad, plan.rules, plan.carrier) == (small.vad, small.rules, small.carrier)
        for name in ("deadlines", "beside", "scoped", "lost", "repeated", "speech_turns"):
            if getattr(plan.limits, name):
                assert any(getattr(each.limits, name) for each in searched.values()), name


def test_a_call_without_names_is_the_same_whatever_was_walked_before_it() -> None:
    pair = ("gemini", "browser")
    usual, forgetful = walk_of(pair), walk_of(pair, remembered=1)
    with without_collector():
        for _ in range(10):
            assert usual.next_call() is None and forgetful.next_call() is None
    assert usual.count == forgetful.count


def test_sessions_that_may_still_send_other_audio_are_told_apart() -> None:
    """Turn for turn the session gives the same names, and only the audio says which speech it is."""
    (plan,) = [plan for plan in walked_with("gemini", "browser") if plan.name == "superseded"]
    gemini, browser = adapters.provider("gemini"), adapters.transport("browser")
    world = interleaved(plan, gemini, browser)
    at = world.start
    for what in ("request", "server_receives"):
        (move,) = [move for move in world.moves(at) if move[0].what == what]
        at = world.follow(at, move)
    said = list[Any]()
    for _ in range(2):
        (speaks,) = [c for c in world.server.choices(at.server) if c.act == "speaks"]
        step = world.server.takes(at.server, speaks)
        at, said = at._replace(server=step.after), [*said, *step.messages]
    untimed = world.session
    after = []
    for message in (said[0], said[-1]):  # As much of the same turn, from another place.
        session = untimed.sessions[at.session].copy()
        session.provider_received(message, 0)
        after.append(untimed._intern(session))
    one, other = (untimed.sessions[each] for each in after)
    assert one.key() == other.key()
    assert after[0] != after[1]


def test_what_is_cut_after_the_clock_had_it_heard_is_cut_where_the_clock_said() -> None:
    """No mark tells of it: it was heard as far as it had come, and what came after that is to be forgotten."""
    (plan,) = [plan for plan in WALKED if plan.name == "unmarked"]
    world = interleaved(plan, *shipped())
    at = world.start
    for what in (
        *("request", "server_receives", "creates", "server_arrives", "announces", "server_arrives"),
        *("speaks", "server_arrives", "carrier_receives", "carrier_receives", "plays", "speaks"),
        *("response", "item", "server_arrives"),
    ):
        at = world.follow(at, next(m for m in world.moves(at) if what in told_of(m[0])))
    asked = [world.readings.asked(message) for message in at.to_server]
    assert [(each.what, each.ms) for each in asked] == [("cancel", 0), ("truncate", DELTA_MS)]


def told_of(act: Act) -> tuple[str, ...]:
    """What is done, to what kind of timer, by which choice."""
    if act.what == "deadline":
        return (act.about[0],)
    return (act.what, act.about.act if act.what == "chooses" else "")


# -- What is found is made short --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["interrupt-just-after-birth-cancels-nothing", "the-carrier-is-never-told"]
)
def test_a_bug_is_found_and_shrinks_to_the_explorers_size(name: str, tmp_path: Path) -> None:
    """The explorer's counterexample is a shortest one, in a world where the carrier receives at once."""
    pair = mutant(name, tmp_path)
    found = first_found(pair)
    run = shrink(interleaved(ample(found.plan), *pair), found)
    assert run.broken.number == found.number
    (plan,) = [plan for plan in PLANS if plan.name == "superseded"]
    shortest = Search(make(plan, *pair)).run().counterexample
    assert shortest is not None
    explored = [act for move in shortest.moves for act in move]
    assert len(without_the_carriers_link(run.acts)) <= len(without_the_carriers_link(explored)) + 2
    assert len(run.acts) < len(found.acts)


def without_the_carriers_link(acts: Any) -> list[Act]:  # noqa: ANN401
    return [act for act in acts if act.what != "carrier_receives"]


def test_a_shrunk_run_needs_each_of_its_acts(tmp_path: Path) -> None:
    pair = mutant("interrupt-frees-the-slot", tmp_path)
    found = first_found(pair)
    world = interleaved(ample(found.plan), *pair)
    run = shrink(world, found)
    again = rerun(world, run.acts, run.broken.number)
    assert again is not None
    assert again.acts == run.acts
    for at in range(len(run.acts)):
        shorter = rerun(world, run.acts[:at] + run.acts[at + 1 :], run.broken.number)
        assert shorter is None or len(shorter.acts) == len(run.acts)


def test_what_does_not_break_there_is_not_shrunk(tmp_path: Path) -> None:
    found = first_found(mutant("interrupt-frees-the-slot", tmp_path))
    with pytest.raises(ValueError, match="do not break I9"):
        shrink(interleaved(ample(found.plan), *shipped()), found)


# -- and spelled as a Scene -------------------------------------------------------------------------


@pytest.mark.parametrize("plan", WALKED, ids=lambda plan: plan.name)
def test_whatever_is_walked_is_a_scene_that_can_be_played(plan: Plan) -> None:
    """Line for line, with every control message claimed, and judged by a judge of its own.

    Timers are left out: a Scene has a clock, and its carrier plays while time passes.
    """
    for seed in range(4):
        run = Run(tuple(at_random(plan, seed, 60, timers=False)), (), Broken("I12", "nothing"))
        lines = script(run, plan, *shipped())
        assert not [line for line in lines if "no such moment" in line]
        turns = {"type": "server_vad", "interrupt_response": plan.vad == "interrupts"}
        with Scene(
            "table",
            turn_detection=None if plan.vad == "off" else turns,
            rules=Rules(**plan.rules),
            settings=Settings(mark_every_ms=DELTA_MS),
            marks_echoed=plan.carrier.get("marks_echoed", True),
        ) as call:
            exec("\n".join(lines), {"call": call})


def at_random(plan: Plan, seed: int, length: int, *, timers: bool = True) -> Iterator[Act]:
    world = world_of(plan.name)
    random, at = Random(seed), world.start
    whims = Whims(random)
    for _ in range(length):
        moves = world.moves(at)
        if not timers:
            moves = [move for move in moves if move[0].what not in ("deadline", "time_passes")]
        if not moves:
            return
        move = whims.picks(moves)
        try:
            at = world.follow(at, move)
        except Broken:  # Whether anything breaks is for the walk to say.
            return
        yield from move


@cache
def world_of(name: str) -> Any:  # noqa: ANN401
    (plan,) = [plan for plan in WALKED if plan.name == name]
    return interleaved(plan, *shipped())


def test_a_written_test_names_the_property_and_parses(tmp_path: Path) -> None:
    pair = mutant("the-carrier-is-never-told", tmp_path)
    found = first_found(pair)
    run = shrink(interleaved(ample(found.plan), *pair), found)
    text = written_test(run, found.plan, *pair)
    compile(text, "test_found.py", "exec")
    assert "def test_i5_silence_follows_playback_not_generation(engine: str)" in text
    assert "call.interrupts()" in text
    assert f"# Here, {run.broken.number} breaks: {run.broken.finding}" in text


# -- The command ------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["walk", "openai", "--world", "superseded", *arguments])


def as_json(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code in (cli.OK, cli.FINDING), result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def of_the_walk(said: dict[str, Any]) -> list[Any]:
    return [said[name] for name in ("steps", "calls", "quiet", "fingerprint", "rows", "verdict")]


def test_a_walk_of_two_days_is_the_walk_of_one(tmp_path: Path) -> None:
    state = str(tmp_path / "walk.json")
    assert run("--steps", "800", "--state", state).exit_code == cli.OK
    resumed = as_json("--steps", "2000", "--state", state)
    assert of_the_walk(resumed) == of_the_walk(as_json("--steps", "2000"))
    assert resumed["verdict"] == "holds"
    assert resumed["steps"] >= 2000


def test_ctrl_c_keeps_the_place_and_says_how_to_go_on(tmp_path: Path) -> None:
    state, seen = tmp_path / "walk.json", 0

    def presses(_: int, frame: FrameType | None) -> None:
        """In the middle of a call, and not of the first one."""
        nonlocal seen
        while frame is not None and frame.f_code.co_name != "next_call":
            frame = frame.f_back
        seen += frame is not None
        if seen == 10:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, presses)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        result = run("--steps", "100000000", "--state", str(state))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result.exit_code == cli.INTERRUPTED
    assert f"--world superseded --state {state}" in result.stderr
    place = json.loads(state.read_text(encoding="utf-8"))
    assert place["count"]["steps"] > 0
    steps = str(place["count"]["steps"] + 500)
    resumed = as_json("--steps", steps, "--state", str(state))
    assert of_the_walk(resumed) == of_the_walk(as_json("--steps", steps))
    assert list(tmp_path.iterdir()) == [state]


def test_a_broken_table_is_exit_1_with_the_scene_and_the_way_back(tmp_path: Path) -> None:
    mutant("interrupt-frees-the-slot", tmp_path)
    tables = ["--tables", str(tmp_path)]
    said = as_json(*tables)
    found = said["counterexample"]
    assert (said["verdict"], found["property"]) == ("broken", "I9")
    assert "call.requests()" in found["scene"]
    words = found["again"].split()
    assert words[:3] == ["bargein", "walk", "openai"]
    again = CliRunner().invoke(cli.app, [*words[1:], "--json"])
    assert again.exit_code == cli.FINDING
    same = json.loads(again.stdout)["counterexample"]
    assert same == found
    told = CliRunner().invoke(cli.app, [*words[1:], "--draw"])
    assert "BROKEN: I9" in told.stdout
    assert "As a Scene:" in told.stdout
    assert "VIOLATION" in told.stdout


def test_a_finding_is_written_as_a_test_and_as_a_drawing(tmp_path: Path) -> None:
    mutant("interrupt-frees-the-slot", tmp_path / "tables")
    test, drawing = tmp_path / "test_found.py", tmp_path / "found.md"
    result = run(
        "--tables", str(tmp_path / "tables"), "--write-test", str(test), "--mermaid", str(drawing)
    )
    assert result.exit_code == cli.FINDING
    assert "from .scene import Scene, both_engines" in test.read_text(encoding="utf-8")
    assert "sequenceDiagram" in drawing.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--world", "nowhere"], "no world 'nowhere'"),
        (["--bounds", "requests=x"], "requests=x"),
        (["--bounds", "answers=1"], "no bound 'answers'"),
        (["--state", "no/such/folder/walk.json"], "no such folder"),
        (["--transport", "pigeon"], "no transport 'pigeon'"),
        (["--engine", "steam"], "no engine 'steam'"),
        (
            ["--transport", "vonage", "--write-test", "test_x.py"],
            "a Scene speaks openai and twilio",
        ),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == cli.USAGE
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_world_that_a_provider_cannot_be_in_is_one_clear_line() -> None:
    arguments = ["walk", "gemini", "--transport", "browser", "--world", "beside"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == cli.USAGE
    assert "gemini cannot be in the world 'beside'; it can be in: calls" in result.stderr


def test_another_provider_is_walked_and_what_it_finds_is_told_without_a_scene(
    tmp_path: Path,
) -> None:
    """Scenes speak OpenAI and Twilio; the acts are told all the same."""
    mutant("interrupt-frees-the-slot", tmp_path)
    arguments = ["walk", "phonic", "--world", "superseded", "--tables", str(tmp_path)]
    said = CliRunner().invoke(cli.app, arguments)
    assert said.exit_code == cli.FINDING, said.output
    assert "the server begins" in said.stdout
    assert "As a Scene" not in said.stdout
    assert "phonic on twilio: BROKEN" in said.stdout


def test_a_state_is_not_taken_for_another_walk(tmp_path: Path) -> None:
    state = tmp_path / "walk.json"
    run("--steps", "100", "--state", str(state), "--seed", "3")
    for arguments, told in (
        (["--seed", "4"], "is a walk of seed 3"),
        (["--from-call", "7"], "which call comes next"),
        (["--world", "calls"], "a walk in superseded"),
        (["--bounds", "requests=2"], "have changed"),
    ):
        result = run("--state", str(state), *arguments)
        assert (result.exit_code, told in result.stderr) == (cli.USAGE, True), result.stderr
    state.write_text("{}", encoding="utf-8")
    result = run("--state", str(state))
    assert result.exit_code == cli.USAGE
    assert "not the place of a walk" in result.stderr


def test_the_worlds_are_listed_with_their_bounds() -> None:
    result = CliRunner().invoke(cli.app, ["walk", "--list", "--json"])
    (calls,) = [each for each in json.loads(result.stdout)["worlds"] if each["name"] == "calls"]
    assert (calls["bounds"]["requests"], calls["bounds"]["backlog_ms"]) == (6, 1500)


def test_the_shipped_tables_survive_a_short_walk() -> None:
    """A walk of hours is for `bargein walk`; this one sees that it would not end at once."""
    walk = Walk(*shipped(), [plan for plan in WALKED if plan.name in ("calls", "words")], seed=5)
    while walk.count.steps < 8_000:
        assert walk.next_call() is None
    assert walk.seen != Seen()
