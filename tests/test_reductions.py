"""No reduction of the explorer loses anything: on small bounds it tells the same stories as the search without them.

`tests/searching.py` says what a story is. The bounds here bind nothing but how much happens: with a `lag` or a
backlog that binds, the reduced search looks at less, which has a test of its own.
"""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bargein import adapters
from bargein.codegen.loaded import adapters as loaded
from bargein.runtime import actions as do
from bargein.simulator.explorer import Search
from bargein.simulator.properties import Broken
from bargein.simulator.untimed import Step
from bargein.simulator.watch import Watch
from bargein.simulator.world import UNREDUCED, Limits, Reductions, State, World
from bargein.simulator.worlds import Plan, make

from .mutants import MUTANTS, apply
from .mutation import Variant, variants
from .searching import Found, Story, given, takes, tell, told

PROVIDER, TRANSPORT = adapters.provider("openai"), adapters.transport("twilio")
NAMES = Reductions.__struct_fields__
EACH = {name: replace(UNREDUCED, **{name: True}) for name in NAMES} | {"all": Reductions()}
SOME = ("order", "all")

FREE = {"lag": 1_000, "backlog_ms": 1_000_000}
"""Bounds that never bind."""


def plan(**bounds: Any) -> Plan:  # noqa: ANN401
    """One request, one item, one delta and one interrupt, unless `bounds` say otherwise."""
    few = {"requests": 1, "interrupts": 1, "speech_turns": 0, "deadlines": 0}
    own: dict[str, Any] = {"vad": "off", "items": 1, "deltas": 1}
    others = ("server", "rules", "carrier")
    own |= {name: bounds.pop(name) for name in (*own, *others) if name in bounds}
    return Plan(name="small", says="", limits=Limits(**(few | FREE | bounds)), **own)


REFUSED = {
    "refusals": True,
    "unborn_deaths": True,
    "silent_creates": True,
    "ends": ("completed", "failed", "incomplete", "cancelled"),
}
STRICT = {
    "truncate_margin_ms": 85,
    "delete_in_progress": "refused",
    "truncate_at_zero": "refused",
    "cancel_again": "refused",
}
WORDS = {"words": True, "kinds": ("message", "text", "function_call")}

WORLDS: dict[str, tuple[Plan, tuple[str, ...]]] = {
    "one request": (plan(), tuple(EACH)),
    "two deltas": (plan(deltas=2), tuple(EACH)),
    "two items": (plan(items=2), SOME),
    "an early timer": (plan(deadlines=1), tuple(EACH)),
    "two interrupts": (plan(interrupts=2), ("budget", "all")),
    "two requests": (plan(requests=2), ("all",)),
    "beside": (plan(beside=1), SOME),
    "the caller speaks": (plan(requests=0, speech_turns=1, vad="interrupts"), SOME),
    "the caller speaks while asked": (
        plan(speech_turns=1, interrupts=0, vad="interrupts"),
        ("all",),
    ),
    "the server only listens": (plan(requests=0, speech_turns=1, vad="listens"), SOME),
    "words": (plan(server=WORDS), ("plain", "inert", "all")),
    "refused": (plan(server=REFUSED), SOME),
    "strict": (plan(rules=STRICT), SOME),
    "ends apart": (plan(server={"separate_ends": True}), SOME),
    "lost": (plan(lost=1), SOME),
    "repeated": (plan(repeated=1), tuple(EACH)),
    "silent": (plan(silences=1), SOME),
    "unmarked": (plan(carrier={"marks_echoed": False}), SOME),
    "broken": (plan(losses=1), ("forget", *SOME)),
}


def world(of: Plan, reductions: Reductions, variant: Variant | None = None) -> World:
    provider = variant.provider if variant else PROVIDER
    transport = variant.transport if variant else TRANSPORT
    return make(of, provider, transport, reductions=reductions)


@cache
def unreduced(name: str) -> Found:
    return tell(world(WORLDS[name][0], UNREDUCED))


# -- the shipped tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reduced"), [(name, each) for name in WORLDS for each in WORLDS[name][1]]
)
def test_a_reduction_tells_every_story_and_no_other(name: str, reduced: str) -> None:
    """What is heard, remembered, resolved, settled, written and handed over, and by which rows: sets are equal."""
    without, found = unreduced(name), tell(world(WORLDS[name][0], EACH[reduced]))
    assert len(without.stories) > 10
    assert not without.broken and not found.broken
    if name == "repeated" and reduced in ("inert", "all"):
        ours, theirs = shortened(found), shortened(without)
    else:
        ours, theirs = found.stories, without.stories
    assert not theirs - ours, first(theirs - ours)
    assert not ours - theirs, first(ours - theirs)


def shortened(found: Found) -> frozenset[Story]:
    """The stories without rows that do nothing and stay.

    The second copy of a message changes nothing after the first. With `inert` it arrives at once, so the row that
    ignores it in another state is not seen. That it ignores it is seen: the copy arrives in that state too when the
    first one did.
    """

    def moves(machine: str, state: str, event: str, at: int) -> bool:
        table = PROVIDER.response if machine == "response" else PROVIDER.playback
        row = table.cells[state][event][at]
        return bool(row.do) or row.go not in (None, state)

    return frozenset(
        story._replace(rows=frozenset(row for row in story.rows if moves(*row)))
        for story in found.stories
    )


def first(stories: frozenset[Story]) -> Story | None:
    return min(stories, key=str, default=None)


def test_reductions_reduce() -> None:
    """Else the comparison above compares a search with itself."""
    bounds = plan(interrupts=2)
    most = Search(world(bounds, UNREDUCED)).run()
    for name, reductions in EACH.items():
        least = Search(world(bounds, reductions)).run()
        if (
            name == "forget"
        ):  # What is over ends in fewer ways; on the way there it may take more steps.
            assert least.quiet < most.quiet
        else:
            assert least.states < most.states, name
    two = plan(requests=2)
    assert tell(world(two, EACH["all"])).states < unreduced("two requests").states / 5


@pytest.mark.parametrize("reduced", ["eager", "order", "all"])
def test_a_hang_up_loses_only_how_much_of_the_last_stretch_was_heard(reduced: str) -> None:
    """The caller can hang up between a stretch of speech and the mark behind it, both on their way to the carrier.

    With `eager` they reach it together, and with `order` the hang-up waits for them: then either both are played or
    neither. So an item can be heard a stretch further than any reduced story says; all else is equal, and to have
    heard more breaks none of the properties once nobody is left to be told of it.
    """
    bounds = plan(hangups=1)
    without, found = tell(world(bounds, UNREDUCED)), tell(world(bounds, EACH[reduced]))
    assert not without.broken and not found.broken
    assert found.stories < without.stories
    for story in without.stories - found.stories:
        assert any(
            twin._replace(heard=story.heard) == story
            and sounded_ms(twin) in (sounded_ms(story) - 100, sounded_ms(story))
            for twin in found.stories
        ), story


def sounded_ms(story: Story) -> int:
    return sum(to_ms - from_ms for _, from_ms, to_ms in story.heard)


@pytest.mark.parametrize("lag", [1, 3])
def test_a_lag_that_binds_makes_the_reduced_search_look_at_less_and_at_nothing_else(
    lag: int,
) -> None:
    """With `order` the server takes our message before the session takes the server's next one.

    So `lag` then bounds what the server may say until it has taken our message, too: it can be overtaken by as many
    messages, and by no more. Without it both searches are the same (above).
    """
    tight = plan(items=2, lag=lag)
    without, found = tell(world(tight, UNREDUCED)), tell(world(tight, Reductions()))
    assert found.stories < without.stories
    assert without.stories == unreduced("two items").stories


def test_the_budget_reduction_reaches_every_state_but_for_what_is_left() -> None:
    bounds = plan(interrupts=2, repeated=1)
    cores = []
    for reductions in (UNREDUCED, EACH["budget"]):
        search = Search(world(bounds, reductions))
        search.run()
        parts = search.world
        cores.append({spelled(parts, at) for at in search.states})
    assert cores[0] == cores[1]


def spelled(parts: World, at: State) -> Any:  # noqa: ANN401
    """A state without `left`, by what its numbers stand for: each world numbers for itself."""
    return (
        parts.session.sessions[at.session].key(),
        parts.server.models[at.server].key(),
        parts.carrier.models[at.carrier].key(),
        parts.watches[at.watch].key(),
        *at[4:8],
        at.silent,
        at.hung_up,
    )


# -- broken tables -----------------------------------------------------------------------------------------------


@cache
def mechanical() -> tuple[Variant, ...]:
    return tuple(variants(PROVIDER, TRANSPORT))


def met(name: str, some: int) -> list[Variant]:
    """So many mutants of rows that fire in a world, spread over all of them: there is something to be found."""
    rows = {row for story in unreduced(name).stories for row in story.rows}
    found = []
    for variant in mechanical():
        if variant.keys[0] == "states":
            _, state, _, event, at = variant.keys
            if (variant.file.removesuffix(".yaml"), state, event, at) in rows:
                found.append(variant)
    return found[:: len(found) // some]


def first_broken(name: str, reductions: Reductions, variant: Variant) -> str | None:
    found = Search(world(WORLDS[name][0], reductions, variant)).run().counterexample
    return found.number if found else None


@pytest.mark.parametrize(
    "name", ["one request", "repeated", "an early timer", "silent", "lost", "the caller speaks"]
)
def test_a_broken_table_is_found_with_reductions_as_without(name: str) -> None:
    """It may be another property of those it breaks: a move of the reduced search may be several of the other, so
    another break can be nearer."""
    caught = 0
    for variant in met(name, 18):
        without = first_broken(name, UNREDUCED, variant)
        found = first_broken(name, Reductions(), variant)
        assert (found is None) == (without is None), variant.name
        if found != without:
            assert found in tell(world(WORLDS[name][0], UNREDUCED, variant)).broken, variant.name
        caught += found is not None
    assert caught > 5


def test_no_reduction_alone_hides_or_invents_a_bug() -> None:
    caught = 0
    for variant in met("one request", 15):
        without = first_broken("one request", UNREDUCED, variant)
        for name in NAMES:
            found = first_broken("one request", EACH[name], variant)
            assert (found is None) == (without is None), (variant.name, name)
        caught += without is not None
    assert caught > 5


CATALOGUE = (
    "interrupt-before-birth-only-flags-the-handle",
    "interrupt-just-after-birth-cancels-nothing",
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_bug_of_the_catalogue_breaks_the_same_properties_either_way(
    name: str, tmp_path: Path
) -> None:
    """Here all that breaks is compared, not only what breaks first."""
    mutant = next(each for each in MUTANTS if each.name == name)
    provider, transport = loaded(apply(mutant, tmp_path / "tables"), "openai", "twilio")
    without = tell(make(plan(), provider.ADAPTER, transport.ADAPTER, reductions=UNREDUCED))
    found = tell(make(plan(), provider.ADAPTER, transport.ADAPTER))
    assert found.broken == without.broken != frozenset()


# -- what is left out of a state always ------------------------------------------------------------------------------

FAULTY = plan(
    requests=2, items=2, deltas=2, interrupts=2, deadlines=2, speech_turns=1, vad="interrupts",
    repeated=2, lost=1, beside=1, server=WORDS, rules=STRICT,
)  # fmt: skip


def walks(parts: World, seeds: range, length: int) -> Iterator[tuple[bool, State, Any, State]]:
    """Random runs of a world: whether a run begins here, a state, an act from it and where it leads."""
    for seed in seeds:
        chance, at, begins = random.Random(seed), parts.start, True
        for _ in range(length):
            moves = parts.moves(at)
            if not moves:
                break
            (act,) = chance.choice(moves)
            try:
                after = parts.does(at, act)
            except Broken:
                break  # An error that comes twice is reported as a problem; not the question here.
            yield begins, at, act, after
            at, begins = after, False


def test_the_session_of_the_explorer_does_what_a_session_does() -> None:
    """A session of which nothing is left out takes the same inputs in step with it.

    Their wires and what they tell are the same, but for what `told` leaves out.
    """
    parts = world(FAULTY, UNREDUCED)
    plain, resolved, remembered = parts.session.sessions[parts.start.session], 0, 0
    for begins, at, act, after in walks(parts, range(150), 150):
        if begins:
            plain = parts.session.sessions[parts.start.session].copy()
        taken = given(at, act)
        if taken is None:
            continue
        step = parts.session.step(at.session, taken)
        if taken.what == "deadline":
            actions = parts.session._fire(plain, taken.how, str(taken.about))
        else:
            actions = takes(plain, taken, 0)
        assert told(actions) == told(step.actions)
        assert parts.session._intern(plain.copy()) == after.session
        resolved += sum(type(each) is do.Resolved for each in actions)
        remembered += sum(type(each) is do.MemorySettled for each in actions)
    assert resolved > 200 and remembered > 50


class Remembering(Watch):
    """A watch that forgets nothing of what is settled."""

    def _settle(self) -> None:
        pass


def test_the_watch_may_forget_what_it_forgets() -> None:
    """One that forgets nothing, in step with it, sees the same properties break at the same moment, and answers the
    explorer's questions alike."""
    broken, differs = 0, 0
    for variant in (None, *mechanical()[7::40]):
        parts = world(FAULTY, UNREDUCED, variant)
        keeps, run = Watch(), -1
        for seed, at, act, step, number in judged_walks(parts, range(12), 120):
            if seed != run:
                keeps, run = Remembering(), seed
            try:
                keeps = keeps.after(act, step, parts.readings, parts._wire(step))
                seen = ""
            except Broken as found:
                seen = found.number
            assert seen == number, variant and variant.name
            if number:
                broken += 1
                continue
            forgets = parts.watches[parts._watches(at.watch, at.session, act, step)]
            differs += keeps.key() != forgets.key()
            for question in ("open_refs", "silenced", "rewound", "unheard_ms", "cut"):
                assert getattr(keeps, question)() == getattr(forgets, question)()
    assert broken > 20 and differs > 100


def judged_walks(
    parts: World, seeds: range, length: int
) -> Iterator[tuple[int, State, Any, Step, str]]:
    """Random runs up to what breaks: seed, state, input, step, and the number of what it breaks."""
    for seed in seeds:
        chance, at = random.Random(seed), parts.start
        for _ in range(length):
            moves = parts.moves(at)
            if not moves:
                break
            (act,) = chance.choice(moves)
            taken, number = given(at, act), ""
            step = parts.session.step(at.session, taken) if taken else None
            before = at
            try:
                if step is not None and taken is not None:
                    parts._watches(at.watch, at.session, taken, step)
            except Broken as found:
                number = found.number
            if step is not None:
                yield seed, before, taken, step, number
            if number:
                break
            try:
                at = parts.does(at, act)
            except Broken:
                break  # Heard or taken wrongly; the watch has no part in that.
