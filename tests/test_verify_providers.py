"""Every provider holds on a carrier, in small; what is not asked of a server has a reason that is true."""

from collections.abc import Sequence
from typing import Final

import pytest
from msgspec.structs import replace

from bargein import adapters
from bargein.runtime.adapter import ProviderAdapter
from bargein.simulator.kinds import CARRIERS, SERVERS, common_audio, server_kind, shared_audio
from bargein.simulator.sometimes import (
    CANCEL,
    OUTCOMES,
    RULES,
    SPOKEN,
    TOMBSTONES,
    Place,
    every_row,
    is_required,
    judge,
)
from bargein.simulator.verify import Report, verify
from bargein.simulator.worlds import PLANS, Plan, bounded, plans_for

from .verify_table import PAGE, pairs, table_of

SERVER_PLAYS: Final = (
    "the server plays by itself: there is no speech here that could be played or cut"
)
NO_SERVER: Final = {"openai_webrtc": SERVER_PLAYS}
NO_CARRIER: Final = {"server_played": SERVER_PLAYS}

NO_WORD_FOR_IT: Final = "nothing can be"
"""So begins the reason of a rule about rows that may fire, and then have nothing to say to the server."""

OPENAI: Final = adapters.provider("openai")


def first_carrier(provider: str) -> str:
    """What `bargein verify PROVIDER` takes."""
    spoken = adapters.provider(provider).audio
    return next(
        name
        for name in CARRIERS
        if common_audio(provider, spoken, name, adapters.transport(name).audio)
    )


def small(plan: Plan) -> Plan:
    """The same world with less in it, so that all of a provider's take seconds."""
    limits = plan.limits
    return bounded(
        plan,
        requests=min(limits.requests, 2 if plan.name == "superseded" else 1),
        interrupts=min(limits.interrupts, 1),
        speech_turns=min(limits.speech_turns, 1),
        items=1,
        deltas=1 if plan.name in ("broken", "refused", "hung up") else plan.deltas,
    )


def searched(provider: str, carrier: str, plans: Sequence[Plan]) -> Report:
    return verify(adapters.provider(provider), adapters.transport(carrier), plans)


# -- every provider, every carrier --------------------------------------------------------------------


@pytest.mark.parametrize("provider", SERVERS)
def test_a_provider_holds_on_its_first_carrier(provider: str) -> None:
    """In all worlds but the largest, in small; and what a call consists of really happens there.

    A rule that excuses a row is no excuse for what it says: the row must indeed not fire.
    """
    carrier = first_carrier(provider)
    plans = [small(plan) for plan in plans_for(provider, carrier) if plan.name != "calls"]
    report = searched(provider, carrier, plans)
    assert report.counterexample is None, report.counterexample.finding
    assert not any(world.outcome.truncated for world in report.worlds)
    assert not set(report.sometimes.never) & set(OUTCOMES)
    adapter = adapters.provider(provider)
    kind = server_kind(provider, shared_audio(adapter, adapters.transport(carrier)))
    verbs = {kind.cancels(plan) for plan in plans}
    assert (CANCEL in report.sometimes.exempt_outcomes) == (verbs == {"none"})
    fired = {row for world in report.worlds for row in world.rows}
    rules = [rule for rule in RULES if rule.true_of(kind, plans)]
    for id_, row in every_row(adapter):
        if id_ in fired:
            excuses = [rule.why for rule in rules if rule.rows(Place.of(id_, row))]
            assert all(why.startswith(NO_WORD_FOR_IT) for why in excuses), (id_, excuses)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_carrier_holds_with_openai(carrier: str) -> None:
    """In a world in which the server hears the caller, and in one in which it refuses what no source promises."""
    plans = [plan for plan in plans_for("openai", carrier) if plan.name in ("answers", "strict")]
    report = searched("openai", carrier, plans)
    assert len(report.worlds) == 2
    assert report.counterexample is None, report.counterexample.finding
    assert not any(world.outcome.truncated for world in report.worlds)


def test_the_page_tells_of_every_pair_and_of_nothing_that_does_not_hold() -> None:
    """The numbers are those of the day they were made; that they are there for each, and the verdict, is not."""
    rows = table_of(PAGE.read_text(encoding="utf-8"))
    assert [(row[0], row[1]) for row in rows] == pairs()
    assert {row[5] for row in rows} == {"holds"}


def test_nothing_that_is_shipped_is_left_out() -> None:
    """Whatever has a table has a model to be verified against, or a reason why not."""
    assert set(adapters.PROVIDERS) == SERVERS.keys() | NO_SERVER.keys()
    assert set(adapters.TRANSPORTS) == CARRIERS.keys() | NO_CARRIER.keys()


@pytest.mark.parametrize("provider", SERVERS)
def test_a_provider_has_worlds_to_be_wrong_in(provider: str) -> None:
    """Whatever a server cannot be in, the core of the worlds is left, and each of them can be made."""
    names = {plan.name for plan in plans_for(provider, first_carrier(provider))}
    assert names >= {"calls", "superseded", "silent", "broken", "hung up", "words", "unmarked"}


# -- what must happen ---------------------------------------------------------------------------------


def demanded(provider: ProviderAdapter) -> set[str]:
    """What is missing where nothing has happened, without any exemption."""
    rows = [(id_, row) for id_, row in every_row(provider) if is_required(id_, row)]
    guarded = [(id_, f" if {row.guard}" if row.guard else "") for id_, row in rows]
    return {*OUTCOMES, *(f"{id_[0]}: {id_[1]}, {id_[2]}{when}" for id_, when in guarded)}


def test_everything_is_asked_of_openai_but_what_another_server_does() -> None:
    """Its server neither lets a response go for another nor tells what the caller heard over a carrier."""
    found = judge(OPENAI, server_kind("openai"), PLANS, set(), set())
    excused = demanded(OPENAI) - set(found.never)
    assert excused == {
        "response: cancelled, superseded",
        "response: timed_out, superseded",
        "playback: queued, unplayed",
        "playback: playing, unanswered",
        "playback: playing, cut",
        "playback: playing, unplayed",
    }
    assert found.exempt_outcomes == {}


@pytest.mark.parametrize("provider", SERVERS)
def test_every_call_must_have_what_calls_are_made_of(provider: str) -> None:
    """No rule may excuse a server from being interrupted, heard, silenced and fenced."""
    adapter = adapters.provider(provider)
    plans = plans_for(provider, first_carrier(provider))
    found = judge(adapter, server_kind(provider), plans, set(), set())
    whole = set(OUTCOMES) - {CANCEL, "a cut is confirmed by the server"}
    assert set(found.never) >= whole
    assert set(found.never) >= {
        "response: streaming, interrupt",
        "response: done, interrupt",
        "playback: queued, interrupt",
        "playback: playing, interrupt if heard",
        "playback: playing, interrupt",
    }


def test_a_rule_speaks_of_what_is_there_and_is_true_of_somebody_only() -> None:
    """One that is about no row or no server is dead; one that is true of all would be no demand on anybody."""
    places = [Place.of(id_, row) for id_, row in every_row(OPENAI)]
    for rule in RULES:
        assert rule.outcomes <= set(OUTCOMES)
        assert rule.outcomes or any(rule.rows(at) for at in places), rule.why
        true_of = [
            name
            for name, kind in SERVERS.items()
            if rule.true_of(kind, plans_for(name, first_carrier(name)))
        ]
        assert true_of, rule.why
        assert len(true_of) < len(SERVERS) or rule.why.startswith("the client plays"), rule.why


def test_what_never_happens_is_said_unless_a_rule_excuses_it() -> None:
    """The same worlds, once with the server as it is and once with one of which more is to be expected."""
    provider, carrier = "phonic", first_carrier("phonic")
    plans = [small(plan) for plan in plans_for(provider, carrier)]
    report = searched(provider, carrier, plans)
    excused = ("response", "streaming", "stopped", 0)
    assert excused in report.sometimes.exempt
    eager = replace(server_kind(provider), statuses=True, tells_interruption=False)
    adapter = adapters.provider(provider)
    fired = {row for world in report.worlds for row in world.rows}
    happened = {what for world in report.worlds for what in world.happened}
    found = judge(adapter, eager, plans, fired, happened)
    assert "response: streaming, stopped" in found.never
    assert excused in found.unexercised
    assert excused not in found.exempt


def test_rows_that_speak_and_rows_of_tombstones_are_required_and_no_others() -> None:
    required = {id_ for id_, row in every_row(OPENAI) if is_required(id_, row)}
    for id_, row in every_row(OPENAI):
        speaks = any(action in SPOKEN for action in row.do)
        keeps = id_[1] in TOMBSTONES and (row.do or row.go)
        assert (id_ in required) == bool(speaks or keeps), id_
