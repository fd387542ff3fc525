"""Phonic and Nova Sonic: the server alone decides what is stopped. facts/races.md R04, R05."""

from typing import Any

import pytest

from bargein.runtime import actions as do

from .races import race
from .scene_turns import Said, Turns, both_engines

pytestmark = both_engines

LINES = {"phonic": "twilio", "nova_sonic": "vonage"}
"""Of each provider a carrier that speaks its format."""


def call_of(engine: str, provider: str, **how: Any) -> Turns:  # noqa: ANN401
    """A call on the provider's line."""
    return Turns(engine, provider, LINES[provider], **how)


def is_heard(call: Turns, request: str, ms: int = 600) -> Said:
    """The server takes up the request, and the caller hears the whole answer, which is called the request's own."""
    turn = call.begins(request)
    item = call.speaks(turn, ms)
    call.finishes(turn)
    call.hears_ms(ms)
    call.resolves(request, "completed")
    call.item_is(item, "full", ms)
    return Said(request, turn, item)


# -- one request in place of another -------------------------------------------------------------------


@race("R04")
def test_r04_on_phonic_the_second_request_waits_for_the_first_to_end(engine: str) -> None:
    """Nothing can be said to the first, so nothing is: its answer is fenced, and then the second is asked."""
    with call_of(engine, "phonic") as call:
        first = call.requests()
        call.does(f"create {first}")
        call.interrupts(first, "supersede")
        second = call.requests()
        call.does()
        turn = call.begins(first)
        call.speaks(turn, 400)
        call.does()
        call.finishes(turn)
        call.does(f"create {second}")
        is_heard(call, second)
        assert call.heard_of(turn) == 0


# -- too late to be dropped ----------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["phonic", "nova_sonic"])
@race("R05")
def test_r05_what_is_not_yet_written_is_never_written(engine: str, provider: str) -> None:
    """It waits for the turn before it, and is withdrawn there; the turn before it is not touched."""
    with call_of(engine, provider) as call:
        running = call.replies(900, finished=False)
        waiting = call.requests()
        call.does()
        call.interrupts(waiting)
        call.does()
        call.finishes(running.response)
        call.does()
        call.hears_ms(900)
        call.resolves(waiting, "interrupted")
        call.resolves(str(running.ref), "completed")
        assert waiting not in str(call.sent_messages)


@race("R05")
def test_r05_what_waits_for_phonic_to_be_ready_is_dropped_unsaid(engine: str) -> None:
    """The only lever there is: a request is not on the wire before ready_to_start_conversation."""
    with call_of(engine, "phonic", heard_ready=False) as call:
        dropped = call.requests()
        call.interrupts()
        call.resolves(dropped, "interrupted")
        kept = call.requests()
        call.caller_says_ms(100)
        call.does()
        assert [each["type"] for each in call.sent_messages] == ["config"]
        call.releases("from_server")
        call.does(f"create {kept}")
        is_heard(call, kept)
        assert dropped not in str(call.sent_messages)


@pytest.mark.parametrize("provider", ["phonic", "nova_sonic"])
@race("R05")
def test_r05_the_answer_to_what_is_written_is_fenced_and_remembered(
    engine: str, provider: str
) -> None:
    """There is no cancel. The provider keeps what nobody heard, and that is said."""
    with call_of(engine, provider) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        call.resolves(ref, "interrupted")
        turn = call.begins(ref)
        item = call.speaks(turn, 800)
        call.does()
        call.finishes(turn)
        call.item_is(item, "skipped")
        call.diverged(item, "what it reckons was heard")
        call.waits_ms(1_500)
        assert call.heard_of(turn) == 0
        assert [each for each in call.told(do.TextArrived) if each.ref == ref] == []


@pytest.mark.parametrize("provider", ["phonic", "nova_sonic"])
@race("R05")
def test_r05_a_turn_cut_in_the_middle_is_fenced_to_its_end(engine: str, provider: str) -> None:
    """The server speaks on, for it was told nothing; the next request waits for it and is heard."""
    with call_of(engine, provider) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(500)
        call.interrupts()
        call.does("clear")
        request = call.requests()
        call.speaks(cut.response, 1_500)
        call.does()
        call.finishes(cut.response)
        call.does(f"create {request}")
        is_heard(call, request)
        call.item_is(cut.item, "partial")
        call.diverged(cut.item)
        assert 500 <= call.heard_ms(cut.item) <= 520


# -- Phonic: what it takes for heard -------------------------------------------------------------------


@pytest.mark.parametrize("ends", [True, False], ids=["told", "untold"])
def test_what_phonic_takes_for_spoken_is_handed_on_as_its_own_reckoning(
    engine: str, ends: bool
) -> None:
    """interrupted_response comes when the caller has finished; it is about the turn the caller cut."""
    with call_of(engine, "phonic", rules={"finishes_interrupted": ends}) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.caller_speaks(heard_ms=300)
        call.does("clear")
        call.caller_stops()
        call.does()
        (corrected,) = call.told(do.Corrected)
        assert corrected.ref == cut.ref
        assert corrected.text
        answer = call.answers_caller(700)
        call.hears_ms(700)
        call.item_is(cut.item, "partial", 400)
        call.diverged(cut.item, "what it reckons was heard")
        call.item_is(answer.item, "full", 700)


# -- Nova Sonic: a turn of several blocks --------------------------------------------------------------


@pytest.mark.parametrize("ended", [True, False], ids=["END_TURN said", "under way"])
def test_of_several_audio_blocks_each_is_settled_by_itself(engine: str, ended: bool) -> None:
    """The first was heard, the second is cut, the third never begun: one turn, three items."""
    with call_of(engine, "nova_sonic") as call:
        ref = call.requests()
        call.does(f"create {ref}")
        turn = call.begins(ref)
        blocks: list[str] = []
        for ms in (600, 800, 500):
            if blocks:
                call.server_does(lambda server: server.ends_item(turn))
            blocks.append(call.speaks(turn, ms))
        if ended:
            call.finishes(turn)
        call.hears_ms(900)
        call.caller_speaks(playing=ended, heard_ms=900)
        call.does("clear")
        call.waits_ms(1_000)
        call.resolves(ref, "interrupted")
        call.item_is(blocks[0], "full", 600)
        call.item_is(blocks[1], "partial", 300)
        call.item_is(blocks[2], "skipped", 0)
        assert [call.heard_ms(block) for block in blocks] == [600, 300, 0]


def test_an_interruption_after_the_end_of_the_turn_empties_the_line(engine: str) -> None:
    """Generation is over for seconds; the caller still hears it, and nothing else says that it is to stop."""
    with call_of(engine, "nova_sonic") as call:
        reply = call.replies(4_000)
        call.hears_ms(1_000)
        call.caller_speaks(playing=True)
        call.does("clear")
        call.waits_ms(4_000)
        call.resolves(str(reply.ref), "interrupted")
        call.item_is(reply.item, "partial", 1_000)
        call.diverged(reply.item)
        assert call.heard_ms(reply.item) == 1_000


def test_a_block_heard_in_full_may_be_forgotten_by_a_server_that_reckons_less(engine: str) -> None:
    """The server cut its record within the first block, which the caller heard whole before he spoke."""
    with call_of(engine, "nova_sonic") as call:
        ref = call.requests()
        call.does(f"create {ref}")
        turn = call.begins(ref)
        first = call.speaks(turn, 600)
        call.server_does(lambda server: server.ends_item(turn))
        call.speaks(turn, 800)
        call.hears_ms(900)
        call.caller_speaks(heard_ms=300)
        call.does("clear")
        call.item_is(first, "full", 600)
        call.diverged(first, "what it reckons was heard")
