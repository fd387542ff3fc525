"""OpenAI's protocol in other hands: xAI, LocalAI, Speaches. facts/races.md R37, R76."""

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines


def words(call: Scene, item: str) -> str:
    """What the application was told that an item says."""
    return "".join(each.text for each in call.told(do.TextArrived) if each.item == item)


def answers(call: Scene, ms: int = 800) -> str:
    """The response the server has made by itself is heard in full; its id."""
    response = call.creates()
    item = call.announces(response)
    call.speaks(item, ms)
    call.finishes(response)
    call.hears_ms(ms)
    call.item_is(item, "full", ms)
    return response


# -- xAI -----------------------------------------------------------------------------------------------


@race("R37")
def test_r37_a_barge_in_on_what_is_generated_cancels_nothing(engine: str) -> None:
    """There is nothing to stop but the ear, and a cancel would find the answer: pydantic-ai#7870.

    A truncate is asked for, which hits nobody else; xAI ignores it, and that is said.
    """
    with Scene(engine, provider="xai") as call:
        told = call.replies(3_000)
        call.hears_ms(800)
        call.caller_speaks()
        call.does("clear", f"truncate {told.item} 800")
        call.caller_stops()
        answers(call)
        assert call.sent("response.cancel") == []
        call.waits_ms(10_000)
        assert call.outcome(told.item).memory == "diverged"
        assert call.heard_ms(told.item) == 800


@pytest.mark.parametrize("stops", ["always", "never"], ids=["by itself", "when told"])
@race("R37")
def test_r37_a_cancel_that_comes_late_names_what_it_is_for(engine: str, stops: str) -> None:
    """Whether the server stops by itself is not settled, so it is told to. The answer is not what is told of."""
    with Scene(engine, provider="xai", rules={"vad_interrupts": stops}) as call:
        told = call.replies(900, finished=False)
        call.hears_ms(400)
        with call.held("to_server"):
            call.caller_speaks()
            call.does("clear", f"cancel {told.response}", f"truncate {told.item} 400")
            call.caller_stops()
            call.finishes(told.response)
            response = call.creates()
            item = call.announces(response)
            call.speaks(item, 300)
        call.speaks(item, 500)
        call.finishes(response)
        call.hears_ms(800)
        call.item_is(item, "full", 800)
        assert call.told(do.Problem) == []
        assert call.heard_ms(told.item) == 400


def test_a_response_that_dies_without_a_word_is_over_when_the_next_begins(engine: str) -> None:
    """The caller talks over it before it has output, and it is dropped: livekit/agents#6729."""
    with Scene(engine, provider="xai", settings=Settings(barge_in="never")) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        dead = call.creates(ref)
        call.caller_speaks()
        call.server_does(lambda server: server.abandons(dead))
        call.caller_stops()
        call.is_open(ref)
        response = call.creates()
        call.resolves(ref, "interrupted")
        item = call.announces(response)
        call.speaks(item, 800)
        call.finishes(response)
        call.hears_ms(800)
        call.item_is(item, "full", 800)


@pytest.mark.parametrize("ends", ["bare", "silently"])
def test_a_cancel_with_a_strange_answer_or_none_frees_the_slot(engine: str, ends: str) -> None:
    """Reports contradict each other on how a cancelled response ends; the next request goes out in either case."""
    with Scene(engine, provider="xai", rules={"stopped_ends": ends}) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"cancel {cut.response}", f"truncate {cut.item} 400")
        request = call.requests()
        call.finishes(cut.response)
        if ends == "silently":
            call.does()
            call.waits_ms(10_000)
        call.does(f"create {request}")
        response = call.creates(request)
        item = call.announces(response)
        call.speaks(item, 600)
        call.finishes(response)
        call.hears_ms(600)
        call.resolves(request, "completed")
        call.item_is(item, "full", 600)


def test_a_truncate_that_nobody_answers_ends_as_memory_that_diverged(engine: str) -> None:
    """Measured: no answer at all, and the whole item is recalled."""
    with Scene(engine, provider="xai") as call:
        reply = call.replies(2_000)
        call.hears_ms(700)
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 700")
        assert call.outcome(reply.item).memory == "pending"
        call.waits_ms(10_000)
        assert call.outcome(reply.item).memory == "diverged"
        assert call.memory(reply.item).remembered_ms == 2_000


# -- self-hosted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("last_word", ["before", "after"], ids=["first ends", "second begins"])
@pytest.mark.parametrize("provider", ["localai", "speaches"])
@race("R76")
def test_r76_of_a_speculative_reply_that_another_replaces_nothing_more_passes(
    engine: str, provider: str, last_word: str
) -> None:
    """The caller goes on after a pause: audio and words of the first answer share one fence, the second has none.

    huggingface/speech-to-speech#321. Speaches says nothing of the first any more; LocalAI does, before the second
    begins or after it.
    """
    carrier = "twilio" if provider == "localai" else "signalwire"
    with Scene(engine, provider=provider, carrier=carrier) as call:
        first = call.replies_by_vad(500, finished=False)
        call.hears_ms(200)
        before = words(call, first.item)
        with call.held("from_server"):
            call.speaks(first.item, 300)
            call.caller_speaks()
        call.does("clear")
        before = words(call, first.item)
        call.caller_stops()
        cancelling = call.server.responses[first.response].state == "cancelling"
        if cancelling and last_word == "before":
            call.finishes(first.response)
        response = call.creates()
        call.speaks(first.item, 300)
        item = call.announces(response)
        if cancelling and last_word == "after":
            call.finishes(first.response)
        call.speaks(item, 700)
        call.finishes(response)
        call.hears_ms(700)
        call.item_is(item, "full", 700)
        assert words(call, item)
        assert words(call, first.item) == before
        assert call.heard_ms(first.item) == 200


@pytest.mark.parametrize("heard_ms", [0, 300])
def test_what_cannot_be_cancelled_is_fenced_and_called_diverged(engine: str, heard_ms: int) -> None:
    """Speaches knows neither cancel nor truncate: it speaks on, and keeps all of it."""
    with Scene(engine, provider="speaches", carrier="signalwire") as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 900)
        call.hears_ms(heard_ms)
        call.interrupts()
        call.does("clear")
        call.speaks(item, 900)
        call.finishes(response)
        call.does()
        call.waits_ms(2_000)
        assert call.heard_ms(item) == heard_ms
        assert call.outcome(item).memory == "diverged"
