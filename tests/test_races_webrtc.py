"""Races where the server plays by itself: OpenAI over WebRTC and SIP. Only it knows what was heard, so only it cuts.

facts/races.md R25, R32, R65; facts/transports.md 11.
"""

import json
from typing import Any

import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Session, Settings
from bargein.simulator.openai_played import PlayedRules

from .races import race
from .scene_call import both_engines
from .scene_played import PlayedScene, says

ORDERS = pytest.mark.parametrize(
    "rules",
    [
        PlayedRules(),
        PlayedRules(cut_told="after_cleared"),
        PlayedRules(cuts_unplayed=True),
        PlayedRules(cuts_unplayed=True, cut_told="after_cleared"),
        PlayedRules(names_cleared=False),
        PlayedRules(answers_empty=True),
        PlayedRules(shows_audio=True),
    ],
    ids=[
        "cut first",
        "cleared first",
        "all cut",
        "cleared, then all cut",
        "no name",
        "empty",
        "audio",
    ],
)
WAITS_MS = 5_000
"""How long the server may owe its word on what was heard: `answer_ms` of the table."""
OVERDUE_MS = 120_000
"""How long it may say nothing of what it plays: `overdue_ms` of the table."""
REQUEST = pytest.param("request", id="asked for")


# -- races -----------------------------------------------------------------------------------------


@race("R25")
@both_engines
@ORDERS
def test_r25_a_turn_stopped_before_its_birth_is_cancelled_and_cleared(
    engine: str, rules: PlayedRules
) -> None:
    """The reply must not take the silence off again, nor may its tools run."""
    with PlayedScene(engine, rules=rules) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        call.resolves(ref, "interrupted")
        with call.held("to_server"):
            response = call.creates(ref)  # Born; our cancel is under way.
            call.does(f"cancel {response}", "clear")
            tool = call.announces(response, "function_call")
            call.server_does(lambda server: server.calls(response, tool))
            call.ends(tool)
            item = call.announces(response)
            call.speaks(item, 300)
        call.waits_ms(500)
        call.finishes(response)
        call.unclaim()
        assert call.heard_ms(item) == 0
        assert not call.told(do.CallArrived)
        assert len(call.sent("output_audio_buffer.clear")) == 1


@race("R25")
@both_engines
def test_r25_what_begins_to_sound_before_the_cancel_arrives_is_cleared_by_it(engine: str) -> None:
    """One clear is enough: it comes right behind the cancel, so nothing sounds after it."""
    with PlayedScene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        call.holds("to_server")
        response = call.creates(ref)
        call.does(f"cancel {response}", "clear")
        item = call.announces(response)
        call.speaks(item, 1_000)
        call.hears_ms(120)  # The time the cancel takes.
        call.releases()
        call.does()
        call.item_is(item, "partial", 120)
        call.waits_ms(500)
        call.finishes(response)
        call.forgives.after_ms = 120
        assert call.heard_ms(item) == 120


@race("R32")
@both_engines
@ORDERS
def test_r32_after_the_response_is_done_the_buffer_is_cleared_and_nothing_is_cancelled(
    engine: str, rules: PlayedRules
) -> None:
    """Neither would stop the sound: not a cancel, since nothing is generated, and not a truncate."""
    with PlayedScene(engine, rules=rules) as call:
        reply = call.replies(4_000)
        assert reply.ref is not None
        call.hears_ms(1_500)
        report = call.interrupts()
        call.does("clear")
        assert report.cleared
        assert not report.cancelled
        assert not report.truncated
        call.item_is(reply.item, "partial", 1_500)
        resolved = call.resolves(reply.ref, "interrupted")
        assert [(i.state, i.heard_ms, i.memory, i.evidence) for i in resolved.items] == [
            ("partial", 1_500, "exact", "server")
        ]
        call.waits_ms(500)
        assert call.heard_ms(reply.item) == 1_500
        assert call.memory(reply.item).remembered_ms == 1_500


@race("R32")
@both_engines
@ORDERS
def test_r32_while_it_generates_the_cancel_comes_before_the_clear(
    engine: str, rules: PlayedRules
) -> None:
    """The other way round, what is still generated would play."""
    with PlayedScene(engine, rules=rules) as call:
        reply = call.replies(2_000, finished=False)
        assert reply.ref is not None
        call.hears_ms(700)
        call.interrupts()
        call.does(f"cancel {reply.response}", "clear")
        call.waits_ms(200)
        call.finishes(reply.response)
        call.resolves(reply.ref, "interrupted")
        call.item_is(reply.item, "partial", 700)
        assert not call.sent("conversation.item.truncate")


@race("R65")
@both_engines
def test_r65_the_error_for_a_cancel_that_lost_the_race_is_no_problem(engine: str) -> None:
    """It comes after the last word, when nothing is left of the response that it speaks of."""
    with PlayedScene(engine) as call:
        reply = call.replies(400, finished=False)
        assert reply.ref is not None
        call.hears_ms(100)
        with call.held("to_server"):
            call.interrupts()
            call.does(f"cancel {reply.response}", "clear")
            call.finishes(reply.response)  # Before the cancel arrives: it is too late.
        call.item_is(reply.item, "partial", 100)
        call.resolves(reply.ref, "interrupted")
        assert [error.code for error in call.server.errors] == ["response_cancel_not_active"]
        call.waits_ms(500)
        assert not call.told(do.Problem)
        assert not call.session.responses


# -- what was heard --------------------------------------------------------------------------------


@both_engines
def test_an_item_plays_from_started_to_stopped(engine: str) -> None:
    """The end of generation says nothing of the end of the speech."""
    with PlayedScene(engine) as call:
        reply = call.replies(1_000)
        assert reply.ref is not None
        call.is_open(reply.ref)
        assert call.states(reply.item) == ["playing"]
        call.hears_ms(1_000)
        call.resolves(reply.ref, "completed")
        call.item_is(reply.item, "full")


@both_engines
@ORDERS
@pytest.mark.parametrize(
    ("heard_ms", "states"),
    [
        (600, "partial skipped skipped"),
        (1_000, "full skipped skipped"),
        (1_400, "full partial skipped"),
        (2_100, "full full partial"),
    ],
)
def test_of_several_items_those_before_the_cut_are_full_and_those_after_it_skipped(
    engine: str, rules: PlayedRules, heard_ms: int, states: str
) -> None:
    """The server speaks of the response; only its cut names an item."""
    with PlayedScene(engine, rules=rules) as call:
        reply = call.replies(1_000, 1_000, 1_000)
        call.hears_ms(heard_ms)
        call.interrupts()
        skipped = [
            item
            for item, state in zip(reply.items, states.split(), strict=True)
            if state == "skipped"
        ]
        call.does("clear", *[f"delete {item}" for item in skipped])
        call.waits_ms(WAITS_MS)  # Cut at 0 tells nothing at once of the item before.
        assert [call.outcome(item).state for item in reply.items] == states.split()
        assert all(call.outcome(item).memory == "exact" for item in reply.items)


@both_engines
@ORDERS
@pytest.mark.parametrize("generating", [True, False])
def test_the_server_that_hears_the_caller_clears_by_itself(
    engine: str, rules: PlayedRules, generating: bool
) -> None:
    """Exactly one actor: we neither cancel, nor clear, nor truncate."""
    with PlayedScene(engine, rules=rules) as call:
        reply = call.replies(2_000, finished=not generating)
        assert reply.ref is not None
        call.hears_ms(800)
        call.caller_speaks()
        call.does()
        if generating:
            call.finishes(reply.response)
        call.item_is(reply.item, "partial", 800)
        call.resolves(reply.ref, "interrupted")
        call.waits_ms(300)
        assert call.heard_ms(reply.item) == 800
        call.caller_stops()


@both_engines
def test_whoever_else_stops_the_server_interrupts(engine: str) -> None:
    """A page of the same call may say it too; we see only what comes of it."""
    with PlayedScene(engine) as call:
        reply = call.replies(2_000)
        assert reply.ref is not None
        call.hears_ms(500)
        clear = json.dumps({"type": "output_audio_buffer.clear"})
        call.server_does(lambda server: server.receive(clear, call.now_ms))
        call.does()
        call.item_is(reply.item, "partial", 500)
        call.resolves(reply.ref, "interrupted")


@both_engines
def test_speech_that_was_over_before_the_clear_arrived_is_full(engine: str) -> None:
    """What settles it is what the server says, not what we asked for."""
    with PlayedScene(engine) as call:
        reply = call.replies(500)
        assert reply.ref is not None
        call.hears_ms(400)
        call.holds("to_server")
        call.interrupts()
        call.does("clear")
        call.is_open(reply.ref)
        call.hears_ms(100)
        call.releases()
        call.resolves(reply.ref, "interrupted")
        call.item_is(reply.item, "full")
        call.forgives.after_ms = 100


@both_engines
def test_an_item_interrupted_before_we_know_that_it_began_is_what_the_server_says(
    engine: str,
) -> None:
    """`started` is under way when we interrupt: it is no reason to clear again, and none to delete the item."""
    with PlayedScene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        with call.held("from_server"):
            call.speaks(item, 600)
            call.hears_ms(150)
            call.interrupts()
            call.does(f"cancel {response}", "clear")
            call.finishes(response)
        call.does()
        call.item_is(item, "partial", 150)
        call.resolves(ref, "interrupted")


@both_engines
def test_what_never_began_to_sound_is_deleted(engine: str) -> None:
    """The model must not build on what nobody heard."""
    with PlayedScene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.interrupts()
        call.does(f"cancel {response}", "clear")
        call.is_open(ref)
        call.finishes(response)
        call.does(f"delete {item}")
        call.item_is(item, "skipped", 0)
        call.resolves(ref, "interrupted")


@both_engines
def test_a_response_that_plays_is_not_cleared_for_another_that_is_stopped(engine: str) -> None:
    """There is one buffer and one word for it. The stopped one is cleared when it begins."""
    with PlayedScene(engine) as call:
        first = call.replies(1_000)
        second = call.replies(1_000, finished=False)
        assert first.ref is not None
        assert second.ref is not None
        call.hears_ms(400)
        call.interrupts(second.ref)
        call.does(f"cancel {second.response}")
        call.finishes(second.response)
        call.does(f"delete {second.item}")
        call.resolves(second.ref, "interrupted")
        call.hears_ms(600)
        call.resolves(first.ref, "completed")
        call.does("clear")
        assert call.heard_ms(first.item) == 1_000
        assert call.heard_ms(second.item) == 0


@both_engines
def test_what_sounds_is_silenced_whatever_else_sounds(engine: str) -> None:
    """Where the server plays two at once, the one that was stopped may not go on for the other's sake."""
    with PlayedScene(engine) as call:
        first = call.replies(1_000, finished=False)
        second = call.requests(beside=True)
        call.does(f"create {second}")
        beside = call.creates(second)
        call.hears_ms(300)
        call.server_says(says("output_audio_buffer.started", response_id=beside))
        call.interrupts(first.ref)
        call.does(f"cancel {first.response}", "clear")
        call.finishes(first.response)
        call.item_is(first.item, "partial", 300)
        assert second not in call.resolved


@both_engines
def test_an_interrupt_of_what_is_over_says_nothing(engine: str) -> None:
    """A clear then would hit whatever plays next."""
    with PlayedScene(engine) as call:
        call.replies(300)
        call.hears_ms(300)
        call.interrupts()
        call.interrupts()
        call.does()


@both_engines
def test_a_second_interrupt_clears_nothing_more(engine: str) -> None:
    """Once per interrupt, and what is interrupted already is not interrupted again."""
    with PlayedScene(engine) as call:
        call.replies(1_000)
        call.hears_ms(300)
        with call.held("to_server"):
            call.interrupts()
            call.does("clear")
            call.interrupts()
            call.does()


@both_engines
def test_words_that_are_not_spoken_wait_for_no_player(engine: str) -> None:
    """A text item is settled with its response: nothing of it will ever sound."""
    with PlayedScene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "text")
        call.server_does(lambda server: server.says_text(response, item, "words"))
        call.finishes(response)
        call.resolves(ref, "completed")
        call.item_is(item, "skipped")


# -- what never comes ------------------------------------------------------------------------------


@both_engines
def test_a_cut_that_the_server_does_not_tell_is_declared(engine: str) -> None:
    """Nobody else can know how far it was heard; a handle that waits for ever helps nobody."""
    with PlayedScene(engine, rules=PlayedRules(cut_told="never")) as call:
        reply = call.replies(2_000)
        assert reply.ref is not None
        call.hears_ms(500)
        call.interrupts()
        call.does("clear")
        call.is_open(reply.ref)
        call.waits_ms(WAITS_MS)
        call.resolves(reply.ref, "interrupted")
        outcome = call.outcome(reply.item)
        assert (outcome.state, outcome.memory) == ("partial", "diverged")
        call.forgives.divergence = True


@both_engines
def test_a_cut_told_late_is_believed(engine: str) -> None:
    """The first word was that nobody knows; the second is what was heard."""
    with PlayedScene(engine, rules=PlayedRules(cut_told="never")) as call:
        reply = call.replies(2_000, finished=False)
        call.hears_ms(500)
        call.interrupts()
        call.does(f"cancel {reply.response}", "clear")
        call.waits_ms(WAITS_MS - 1)
        call.waits_ms(1)
        call.server_says(
            says(
                "conversation.item.truncated",
                item_id=reply.item,
                content_index=0,
                audio_end_ms=500,
            )
        )
        call.item_is(reply.item, "partial", 500)
        assert call.outcome(reply.item).memory == "exact"
        assert call.told(do.MemorySettled)


@both_engines
def test_the_last_item_is_settled_when_the_server_never_says_that_it_is_through(
    engine: str,
) -> None:
    """How long it is nobody sees here; the time is generous, and the outcome names the clock."""
    with PlayedScene(engine) as call:
        reply = call.replies(500)
        assert reply.ref is not None
        call.holds("from_server")
        call.waits_ms(500)
        call.drops("from_server")
        call.releases()
        call.waits_ms(OVERDUE_MS)
        call.resolves(reply.ref, "completed")
        call.item_is(reply.item, "full")
        assert call.outcome(reply.item).evidence == "clock"


@both_engines
def test_the_next_response_that_plays_ends_the_one_before(engine: str) -> None:
    """One buffer, in order: the lost word that the first was through is made up for."""
    with PlayedScene(engine) as call:
        reply = call.replies(500)
        assert reply.ref is not None
        call.holds("from_server")
        call.waits_ms(500)
        call.drops("from_server")
        call.releases()
        call.replies(500)
        call.resolves(reply.ref, "completed")
        assert call.outcome(reply.item).evidence == "server"
        call.hears_ms(500)


@both_engines
def test_a_server_that_was_to_clear_by_itself_and_does_not_is_told(engine: str) -> None:
    """Of two who each trust the other, somebody must speak in the end."""
    with PlayedScene(engine) as call:
        reply = call.replies(20_000)
        call.hears_ms(500)
        call.server_says(
            says("input_audio_buffer.speech_started", audio_start_ms=500, item_id="heard")
        )
        call.does()
        call.waits_ms(WAITS_MS)
        call.does("clear")
        call.item_is(reply.item, "partial", 500 + WAITS_MS)
        call.forgives.after_ms = WAITS_MS


@both_engines
@pytest.mark.parametrize("playing", [True, False])
def test_a_lost_connection_leaves_nobody_waiting(engine: str, playing: bool) -> None:
    """The channel of events is gone; whether the server plays on, nobody will say."""
    with PlayedScene(engine) as call:
        reply = call.replies(2_000, finished=playing)
        assert reply.ref is not None
        call.hears_ms(500)
        call.loses_provider()
        verdict, code = ("interrupted", None) if playing else ("failed", "connection_lost")
        call.resolves(reply.ref, verdict, code)
        outcome = call.outcome(reply.item)
        assert (outcome.state, outcome.memory, outcome.reason) == (
            "partial",
            "diverged",
            "connection lost",
        )
        call.forgives.divergence = True
        call.forgives.after_ms = 2_000


@both_engines
def test_the_caller_hangs_up(engine: str) -> None:
    """There is nobody to silence; what the server says of the cut still counts, and is waited for."""
    with PlayedScene(engine) as call:
        reply = call.replies(2_000, finished=False)
        assert reply.ref is not None
        call.hears_ms(500)
        call.hangs_up()
        call.does(f"cancel {reply.response}")
        assert call.session.owed
        call.finishes(reply.response)
        call.waits_ms(WAITS_MS)
        call.resolves(reply.ref, "interrupted")
        call.forgives.divergence = True


# -- settings, and who fits whom --------------------------------------------------------------------


@both_engines
def test_a_call_that_is_not_to_be_interrupted_still_learns_that_it_was(engine: str) -> None:
    """`barge_in: never` does not stop the server; what it has cut was not heard."""
    with PlayedScene(engine, settings=Settings(barge_in="never")) as call:
        reply = call.replies(2_000)
        assert reply.ref is not None
        call.hears_ms(500)
        call.caller_speaks()
        call.does()
        call.resolves(reply.ref, "interrupted")
        call.item_is(reply.item, "partial", 500)
        call.caller_stops()


@both_engines
def test_a_server_told_not_to_interrupt_is_cleared_by_us(engine: str) -> None:
    """`barge_in: always`: the session forbids it to stop by itself, so the caller's voice is our business."""
    listens = {"type": "server_vad", "interrupt_response": False, "create_response": False}
    with PlayedScene(engine, turn_detection=listens, settings=Settings(barge_in="always")) as call:
        reply = call.replies(2_000, finished=False)
        call.hears_ms(500)
        call.caller_speaks()
        call.does(f"cancel {reply.response}", "clear")
        call.finishes(reply.response)
        call.item_is(reply.item, "partial", 500)
        call.caller_stops()


@pytest.mark.parametrize(
    ("provider", "transport", "words"),
    [
        ("openai_webrtc", "twilio", "openai_webrtc plays by itself"),
        ("openai", "server_played", "openai does not play"),
    ],
)
def test_who_plays_is_agreed(provider: str, transport: str, words: str) -> None:
    """Two that both play, or neither: refused before the call, and not by the caller's ear."""
    with pytest.raises(UsageError, match=words):
        Session(adapters.provider(provider), adapters.transport(transport))


def test_nothing_ever_goes_to_the_transport() -> None:
    """There is nobody."""
    transport = adapters.transport("server_played")
    hooks: list[Any] = [
        transport.play("s", b"a", "i", 0),
        transport.mark("s", "m", "i", 0),
        transport.clear("s", 0),
    ]
    assert hooks == [(), (), ()]
