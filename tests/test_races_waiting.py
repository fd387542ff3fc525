"""REVERSAL and LEDGER: Scenes of what bargein cannot do yet. facts/races.md R83, R86-R88, R96, R99.

Each is a call as it should go, and fails where its reason says. `pauses`, `resumes` and `words` are the only places
that know how the session is asked; they ask for the nearest thing there is.
"""

import pytest

from bargein.runtime import actions as do

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines

NO_PAUSE = "nothing can be paused: an interrupt is final at once"
NO_WORDS = "words are told as they are generated; which of them were heard is nowhere recorded"

NOISE = {"interrupt_response": False, "create_response": False}
"""The server hears the caller and leaves the verdict to us."""

sinks = pytest.mark.parametrize("sink", ["twilio", "livekit"])
"""A carrier, and the output it was seen on."""


def pauses(call: Scene) -> None:
    """It may be an interruption: silence, and nothing that cannot be taken back."""
    call.interrupts(cause="vad")
    call.unclaim()  # how a carrier is silenced is its own affair
    final = {"response.cancel", "conversation.item.truncate", "conversation.item.delete"}
    assert [m for m in call.sent_messages if m.get("type") in final] == []
    assert call.resolved == {}


def resumes(call: Scene) -> None:
    """It was none, or is over: what is left may be heard."""
    call.unclaim()


def words(call: Scene, item: str) -> str:
    """What of an item's text counts as heard."""
    return "".join(each.text for each in call.told(do.TextArrived) if each.item == item)


# -- paused until it is known ---------------------------------------------------------------------------


@sinks
@pytest.mark.xfail(raises=AssertionError, reason=f"R86: {NO_PAUSE}")
@race("R86")
def test_r86_a_confirmed_interruption_lets_nothing_of_what_was_parked_go(
    engine: str, sink: str
) -> None:
    """The sink is resumed for the next speech; what was parked is gone by then: livekit/agents-js#2122."""
    with Scene(engine, carrier=sink, turn_detection=NOISE) as call:
        first = call.replies(2_000)
        call.hears_ms(500)
        pauses(call)
        call.waits_ms(300)
        call.interrupts()
        assert call.sent("conversation.item.truncate")[-1]["audio_end_ms"] == 500
        call.unclaim()
        resumes(call)
        call.waits_ms(2_000)
        assert call.heard_ms(first.item) == 500
        call.item_is(first.item, "partial", 500)


@sinks
@pytest.mark.xfail(raises=AssertionError, reason=f"R87: {NO_PAUSE}")
@race("R87")
def test_r87_an_interruption_that_is_over_takes_nothing_of_the_next_reply(
    engine: str, sink: str
) -> None:
    """Each of its frames is heard before it is called full: livekit/agents-js#2124 heard 2 of 20."""
    with Scene(engine, carrier=sink, turn_detection=NOISE) as call:
        call.replies(2_000)
        call.hears_ms(500)
        pauses(call)
        call.interrupts()
        call.unclaim()
        second = call.replies(400)
        resumes(call)
        call.hears_ms(400)
        call.item_is(second.item, "full", 400)
        call.resolves(str(second.ref), "completed")


@pytest.mark.parametrize("finished", [True, False], ids=["generated", "generating"])
@pytest.mark.xfail(raises=AssertionError, reason=f"R88: {NO_PAUSE}")
@race("R88")
def test_r88_after_a_false_alarm_the_speech_goes_on_where_it_stood(
    engine: str, finished: bool
) -> None:
    """A cough: nothing is lost and nothing repeated; vellum-assistant#41801 had nothing left to resume."""
    with Scene(engine, turn_detection=NOISE) as call:
        reply = call.replies(2_000, finished=finished)
        call.hears_ms(500)
        call.caller_speaks()
        pauses(call)
        call.waits_ms(400)
        call.caller_stops()
        resumes(call)
        call.hears_ms(1_500)
        if not finished:
            call.finishes(reply.response)
        call.item_is(reply.item, "full", 2_000)
        call.resolves(str(reply.ref), "completed")
        assert [segment.duration_ms for segment in call.ear.segments] == [500, 1_500]


# -- the words that were heard --------------------------------------------------------------------------


@pytest.mark.parametrize("heard_ms", [0, 100, 1_000, 2_900])
@pytest.mark.xfail(raises=AssertionError, reason=f"R96: {NO_WORDS}")
@race("R96")
def test_r96_of_what_was_generated_the_words_that_were_heard_are_kept(
    engine: str, heard_ms: int
) -> None:
    """A beginning of the text: empty if nothing was heard, and no longer than the share that was.

    livekit/agents-js#1269 kept all of it, the next version nothing.
    """
    with Scene(engine) as call:
        reply = call.replies(3_000)
        said = "".join(each.text for each in call.told(do.TextArrived))
        call.hears_ms(heard_ms)
        call.interrupts()
        call.unclaim()
        heard = words(call, reply.item)
        assert said.startswith(heard)
        assert bool(heard) == bool(heard_ms)
        assert len(heard) * 3_000 <= len(said) * heard_ms


@pytest.mark.xfail(raises=AssertionError, reason=f"R99: {NO_WORDS}")
@race("R99")
def test_r99_the_server_s_empty_transcript_erases_no_words_of_ours(engine: str) -> None:
    """A truncate deletes it there; whoever looks the item up afterwards still knows what was heard.

    openai/openai-agents-js#523 copied the server's item over its own.
    """
    with Scene(engine) as call:
        reply = call.replies(2_000)
        said = [each.text for each in call.told(do.TextArrived)]
        call.hears_ms(800)
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 800")
        call.tells({"type": "conversation.item.retrieve", "item_id": reply.item})
        assert call.memory(reply.item).transcript is None
        assert words(call, reply.item) == "".join(said[:8])


@pytest.mark.xfail(
    raises=AssertionError, reason=f"R83: {NO_WORDS}, so a new connection cannot be told them"
)
@race("R83")
def test_r83_what_a_new_connection_may_be_told_is_what_was_heard(engine: str) -> None:
    """The old server's text is what it generated; only we know how much of it was heard.

    pydantic/pydantic-ai#7379 replayed a torso as if it were whole.
    """
    with Scene(engine) as call:
        call.forgives.divergence = True
        whole = call.replies(300)
        call.hears_ms(300)
        torso = call.replies(2_000, finished=False)
        call.hears_ms(500)
        call.loses_provider()
        call.does("clear")
        call.resolves(str(torso.ref), "failed", "connection_lost")
        said = [each.text for each in call.told(do.TextArrived)]
        assert words(call, whole.item) == "".join(said[:3])
        assert words(call, torso.item) == "".join(said[3:8])
