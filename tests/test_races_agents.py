"""ElevenLabs Agents and the Deepgram Voice Agent: nothing says that a turn is over, or what belongs to it.

facts/races.md R68, R71, R74; facts/transports.md 18, 19.
"""

from typing import Any

import pytest

from bargein.runtime import actions as do

from .races import race
from .scene_turns import Turns, both_engines

pytestmark = both_engines

providers = pytest.mark.parametrize("provider", ["elevenlabs", "deepgram"])


def agent(engine: str, provider: str, **how: Any) -> Turns:  # noqa: ANN401
    """A call over the telephone."""
    return Turns(engine, provider, "twilio", **how)


def words(call: Turns, ref: str) -> str:
    """What the application was told that a response says."""
    return "".join(each.text for each in call.told(do.TextArrived) if each.ref == ref)


def answers(call: Turns, ms: int = 700) -> str:
    """The caller has spoken, and hears the whole answer; the answer's handle."""
    call.caller_stops()
    call.does()
    stopped = call.server.head
    if stopped is not None and stopped.state == "interrupted":
        call.finishes(stopped.id)
    answer = call.answers_caller(ms, finished=False)
    call.hears_ms(ms)
    assert call.heard_ms(answer.item) == ms
    call.finishes(answer.response)
    return call.of_ref[answer.item]


# -- ready -------------------------------------------------------------------------------------------


def test_deepgram_is_asked_nothing_before_its_settings_are_applied(engine: str) -> None:
    """Its connection closes if a frame of the caller's comes before them."""
    with agent(engine, "deepgram", heard_ready=False) as call:
        dropped = call.requests()
        call.interrupts()
        kept = call.requests()
        call.caller_says_ms(100)
        call.does()
        assert [each["type"] for each in call.sent_messages] == ["Settings"]
        call.releases("from_server")
        call.does(f"create {kept}")
        turn = call.begins(kept)
        call.speaks(turn, 500)
        call.finishes(turn)
        call.hears_ms(500)
        call.resolves(dropped, "interrupted")
        call.resolves(kept, "completed")


# -- late audio ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("heard_ms", [0, 300], ids=["before it is heard", "while it is heard"])
@providers
@race("R68")
def test_r68_nothing_of_a_turn_that_the_caller_stopped_is_heard_in_the_next(
    engine: str, provider: str, heard_ms: int
) -> None:
    """The guard stands on the turn, not on whether the agent was heard to speak: pipecat#1942."""
    with agent(engine, provider) as call:
        with call.held("to_carrier"):
            old = call.replies(900, finished=False)
            if heard_ms:
                call.releases("to_carrier")
                call.hears_ms(heard_ms)
            call.caller_speaks()
            call.does("clear")
        call.speaks(old.response, 500)
        answers(call)
        call.resolves(str(old.ref), "interrupted")
        assert call.heard_ms(old.item) == heard_ms


@providers
@race("R68")
def test_r68_nothing_of_a_turn_that_we_stopped_is_heard_in_the_next(
    engine: str, provider: str
) -> None:
    """The server knows nothing of it and speaks on; the next request stops it there."""
    with agent(engine, provider) as call:
        old = call.replies(900, finished=False)
        call.hears_ms(300)
        call.interrupts()
        call.does("clear")
        request = call.requests()
        call.speaks(old.response, 2_000)
        call.does()
        if provider == "deepgram":
            call.finishes(old.response)
            call.does(f"create {request}")
        else:  # No last word: a bounded wait, and then the request is what stops it.
            call.waits_ms(2_000)
            call.does(f"create {request}")
            call.speaks(old.response, 300)
            call.finishes(old.response)
        turn = call.begins(request)
        item = call.speaks(turn, 800)
        call.hears_ms(800)
        call.finishes(turn)
        call.waits_ms(8_000)
        call.resolves(request, "completed")
        call.item_is(item, "full", 800)
        assert call.heard_ms(old.item) == 300


@race("R68")
def test_r68_where_no_segment_is_open_audio_of_an_old_one_is_not_taken(engine: str) -> None:
    """No context is not any context: what carries the number of a segment that is over is dropped."""
    with agent(engine, "elevenlabs") as call:
        old = call.replies(600, finished=False)
        call.hears_ms(300)
        call.caller_speaks()
        call.does("clear")
        call.finishes(old.response)
        call.waits_ms(10_000)
        call.speaks(old.response, 400)
        call.waits_ms(1_000)
        assert call.heard_ms(old.item) == 300
        answers(call)


# -- the number of a segment ---------------------------------------------------------------------------


@race("R71")
def test_r71_a_local_interrupt_drops_what_has_the_number_of_what_it_stopped(engine: str) -> None:
    """The next chunk of the same segment undid the click: elevenlabs/packages#18. The segment after it is heard."""
    with agent(engine, "elevenlabs") as call:
        old = call.replies(500, finished=False)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear")
        for _ in range(4):
            call.speaks(old.response, 250)
            call.waits_ms(100)
        assert call.heard_ms(old.item) == 200
        call.finishes(old.response)
        later = call.speaks_up()
        item = call.speaks(later, 600)
        call.hears_ms(600)
        call.item_is(old.item, "partial", 200)
        assert call.heard_ms(item) == 600


@race("R71")
def test_r71_an_objection_to_the_interruption_does_not_end_the_session(engine: str) -> None:
    """The server wanted to hear of it in its own words: elevenlabs/packages#14. Here it hears of none."""
    with agent(engine, "elevenlabs") as call:
        old = call.replies(500, finished=False)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear")
        told = {"code": 1008, "error_type": "interruption", "message": "not the last message"}
        call.server_says({"type": "error", "error_event": told})
        call.does()
        assert not [each for each in call.told(do.Problem) if each.fatal]
        call.finishes(old.response)
        later = call.speaks_up()
        item = call.speaks(later, 600)
        call.hears_ms(600)
        assert call.heard_ms(item) == 600


@pytest.mark.parametrize(
    "names",
    [
        "stopped",
        pytest.param(
            "next",
        ),
    ],
)
@pytest.mark.parametrize("correction", ["before", "after", "never"])
def test_an_interruption_stops_what_is_heard_whatever_number_it_carries(
    engine: str, correction: str, names: str
) -> None:
    """One SDK takes it for the number of what is stopped, another for that of what comes next."""
    rules = {"interruption_names": names, "correction": correction}
    with agent(engine, "elevenlabs", rules=rules) as call:
        old = call.replies(900, finished=False)
        call.hears_ms(400)
        call.caller_speaks(heard_ms=300)
        call.does("clear")
        call.finishes(old.response)
        assert call.heard_ms(old.item) == 400
        told = [each.ref for each in call.told(do.Corrected)]
        assert told == [old.ref] * (correction != "never")
        answers(call)


# -- late words ----------------------------------------------------------------------------------------


@providers
@race("R74")
def test_r74_words_of_a_turn_that_is_over_are_nobody_s(engine: str, provider: str) -> None:
    """They were appended to the next message: pipecat#4145."""
    with agent(engine, provider) as call:
        old = call.replies(900, finished=False)
        call.hears_ms(300)
        before = words(call, str(old.ref))
        call.caller_speaks()
        call.does("clear")
        call.server_does(lambda server: server.says(old.response, "stale words"))
        ref = answers(call)
        assert words(call, str(old.ref)) == before
        assert "stale" not in words(call, ref)
        assert {"text", "late"} & {each.kind for each in call.told(do.Fenced)}


@race("R74")
def test_r74_words_of_an_old_segment_are_known_by_its_number_while_the_next_speaks(
    engine: str,
) -> None:
    """They come when the answer has begun, and are not taken for the answer's."""
    with agent(engine, "elevenlabs") as call:
        old = call.replies(900, finished=False)
        call.hears_ms(300)
        call.caller_speaks()
        call.does("clear")
        call.finishes(old.response)
        call.caller_stops()
        answer = call.answers_caller(400, finished=False)
        call.server_does(lambda server: server.says(old.response, "stale words"))
        call.hears_ms(400)
        assert "stale" not in "".join(each.text for each in call.told(do.TextArrived))
        assert call.heard_ms(answer.item) == 400
