"""Gemini Live: no ids, no cancel, no errors; a turn is known by its boundary alone.

facts/races.md R03, R04, R73, R77. It plays into a browser: no carrier takes its 24 kHz against the caller's 16.
"""

from typing import Any

import pytest

from bargein.runtime import actions as do

from .races import race
from .scene_turns import Turns, both_engines

pytestmark = both_engines

MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
"""We say when the caller speaks, so that activityStart is ours to say."""


def gemini(engine: str, **how: Any) -> Turns:  # noqa: ANN401
    """A call in which the server listens for the caller by itself, unless `asks` says otherwise."""
    return Turns(engine, "gemini", "browser", **how)


def fenced(call: Turns) -> list[str]:
    """The kinds of content that were dropped, each told once per turn."""
    return [each.kind for each in call.told(do.Fenced)]


# -- the fence, where the server hears for itself ------------------------------------------------------


@pytest.mark.parametrize("frames", ["text", "binary"])
@race("R03")
def test_r03_an_unanswered_request_is_fenced_and_nothing_is_sent_that_would_close_the_socket(
    engine: str, frames: str
) -> None:
    """activityStart closes the socket here, so a plugin's guard swallowed it and called it a success.

    What is reported is that the request is withdrawn and that nothing was cancelled.
    """
    with gemini(engine, rules={"binary_frames": frames == "binary"}) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        report = call.interrupts()
        assert (report.withdrawn, report.cancelled, report.cleared) == ([ref], [], False)
        call.resolves(ref, "interrupted")
        turn = call.begins(ref)
        item = call.speaks(turn, 600)
        call.finishes(turn)
        call.does()
        assert call.sent("activityStart") == []
        assert fenced(call) == ["text", "audio"]
        call.item_is(item, "skipped")
        call.diverged(item, "all it sent")
        call.waits_ms(1_000)
        assert call.heard_of(turn) == 0


@race("R03")
def test_r03_a_turn_that_is_heard_is_cleared_and_fenced_to_its_end(engine: str) -> None:
    """The report says fenced: nobody could tell the server, and it goes on to its end."""
    with gemini(engine) as call:
        reply = call.replies(800, finished=False)
        call.hears_ms(300)
        report = call.interrupts()
        call.does("clear")
        assert (report.cleared, report.cancelled, len(report.fenced)) == (True, [], 1)
        call.speaks(reply.response, 2_000)
        call.finishes(reply.response)
        call.waits_ms(3_000)
        assert call.heard_ms(reply.item) == 300
        call.item_is(reply.item, "partial", 300)
        call.diverged(reply.item, "all it sent")


# -- one request in place of another -------------------------------------------------------------------


@pytest.mark.parametrize("asks", [None, MANUAL], ids=["automatic", "manual"])
@race("R04")
def test_r04_the_request_that_replaces_another_is_last_on_the_wire_and_heard(
    engine: str, asks: dict[str, Any] | None
) -> None:
    """No signal for the first goes out that could hit the second: it waits for the first's end."""
    with gemini(engine, asks=asks) as call:
        first = call.requests()
        call.does(f"create {first}")
        call.interrupts(first, "supersede")
        second = call.requests()
        call.does()
        turn = call.begins(first)
        call.speaks(turn, 400)
        call.does(*["cancel"] * (asks is not None))
        call.finishes(turn)
        call.does(f"create {second}")
        answer = call.begins(second)
        item = call.speaks(answer, 900)
        call.finishes(answer)
        call.hears_ms(900)
        call.resolves(first, "interrupted")
        call.resolves(second, "completed")
        call.item_is(item, "full", 900)
        assert call.heard_of(turn) == 0


@race("R04")
def test_r04_a_first_request_that_is_never_answered_holds_the_second_for_a_bounded_wait(
    engine: str,
) -> None:
    """The server gives the first up aloud when the second comes: interrupted and turnComplete, without content."""
    with gemini(engine) as call:
        first = call.requests()
        call.does(f"create {first}")
        call.interrupts(first, "supersede")
        second = call.requests()
        call.does()
        call.waits_ms(5_000)
        call.does(f"create {second}")
        head = call.server.head
        assert head is not None
        call.finishes(head.id)
        answer = call.begins(second)
        item = call.speaks(answer, 600)
        call.finishes(answer)
        call.hears_ms(600)
        call.resolves(second, "completed")
        call.item_is(item, "full", 600)


# -- boundaries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundled", [False, True], ids=["apart", "bundled"])
@race("R73")
def test_r73_all_through_the_next_turn_complete_is_the_old_turn_s(
    engine: str, bundled: bool
) -> None:
    """The old turn's end ended the receiver of the new one, and the answer was orphaned: langwatch/scenario#907."""
    with gemini(engine) as call:
        old = call.replies(700, finished=False)
        call.hears_ms(200)
        with call.held("from_server"):
            call.interrupts()
            call.does("clear")
            recovery = call.requests()
            call.does()
            if bundled:
                call.server_does(lambda server: server.speaks_last(old.response, 500))
            else:
                call.speaks(old.response, 500)
                call.finishes(old.response)
        call.does(f"create {recovery}")
        turn = call.begins(recovery)
        item = call.speaks(turn, 900)
        call.finishes(turn)
        call.hears_ms(900)
        call.resolves(recovery, "completed")
        call.item_is(item, "full", 900)
        assert call.heard_ms(old.item) == 200


@race("R73")
def test_r73_the_caller_s_words_after_our_interrupt_are_answered_in_full(engine: str) -> None:
    """The recovery is audio: the server hears it, ends the old turn and answers, and none of that was asked for."""
    with gemini(engine) as call:
        old = call.replies(700, finished=False)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear")
        call.caller_speaks()
        call.speaks(old.response, 300)
        call.finishes(old.response)
        call.caller_stops()
        call.does()
        answer = call.answers_caller(1_000)
        call.hears_ms(1_000)
        call.item_is(answer.item, "full", 1_000)
        assert call.heard_ms(old.item) == 200


@race("R77")
def test_r77_interrupted_is_not_the_last_word(engine: str) -> None:
    """The turn is owned until turnComplete: a request is held for it, and its end is nobody else's."""
    with gemini(engine) as call:
        old = call.replies(1_000, finished=False)
        call.hears_ms(400)
        call.caller_speaks()
        call.does("clear")
        call.resolves(str(old.ref), "interrupted")
        request = call.requests()
        call.does()
        call.speaks(old.response, 300)
        call.finishes(old.response)
        call.does(f"create {request}")
        turn = call.begins(request)
        item = call.speaks(turn, 600)
        call.finishes(turn)
        call.hears_ms(600)
        call.resolves(request, "completed")
        call.item_is(item, "full", 600)
        assert call.heard_ms(old.item) == 400


@race("R77")
def test_r77_a_turn_complete_that_never_comes_holds_nobody_for_ever(engine: str) -> None:
    """AidenAI-IO/aiden-firmware#644 was busy for minutes; the wait is bounded."""
    with gemini(engine) as call:
        old = call.replies(1_000, finished=False)
        call.hears_ms(400)
        call.caller_speaks()
        call.does("clear")
        request = call.requests()
        with call.held("from_server"):
            call.finishes(old.response)
            call.drops("from_server")
        call.waits_ms(4_999)
        call.does()
        call.waits_ms(1)
        call.does(f"create {request}")
        turn = call.begins(request)
        item = call.speaks(turn, 600)
        call.finishes(turn)
        call.hears_ms(600)
        call.item_is(item, "full", 600)


@pytest.mark.parametrize("after", [True, False], ids=["turnComplete said", "to come"])
@race("R77")
def test_r77_what_still_plays_after_its_end_can_be_interrupted(engine: str, after: bool) -> None:
    """`interrupted` comes after turnComplete, or between the end of the generation and it."""
    with gemini(engine) as call:
        reply = call.replies(3_000, finished=after)
        if not after:
            call.server_does(lambda server: server.ends_generation(reply.response))
        call.hears_ms(1_200)
        call.caller_speaks(playing=after)
        call.does("clear")
        call.item_is(reply.item, "partial", 1_200)
        call.diverged(reply.item)
        call.waits_ms(2_000)
        assert call.heard_ms(reply.item) == 1_200


def test_interrupted_before_any_content_ends_a_turn_that_nobody_has_seen(engine: str) -> None:
    """The caller speaks while the answer is being thought of: the server gives it up, and says so without content.

    The request is not hit by that, for nothing says that the turn was its; the next answer is taken for its own.
    """
    with gemini(engine) as call:
        request = call.requests()
        call.does(f"create {request}")
        call.caller_speaks()
        head = call.server.head
        assert head is not None
        call.finishes(head.id)
        call.does()
        call.caller_stops()
        answer = call.answers_caller(800)
        call.hears_ms(800)
        call.item_is(answer.item, "full", 800)
        call.waits_ms(5_000)
        assert request in call.resolved


def test_content_in_one_message_with_the_end_of_its_turn_is_heard(engine: str) -> None:
    """Models 3.x say both at once: the audio comes first."""
    with gemini(engine) as call:
        request = call.requests()
        call.does(f"create {request}")
        turn = call.begins(request)
        call.server_does(lambda server: server.speaks_last(turn, 700))
        call.hears_ms(700)
        call.resolves(request, "completed")
        (item,) = call.items_of(turn)
        call.item_is(item, "full", 700)


def test_content_in_one_message_with_the_end_of_a_fenced_turn_is_not_heard(engine: str) -> None:
    """The whole turn is one message: it is the answer to a request that was withdrawn."""
    with gemini(engine) as call:
        request = call.requests()
        call.does(f"create {request}")
        call.interrupts()
        turn = call.begins(request)
        call.server_does(lambda server: server.speaks_last(turn, 700))
        call.waits_ms(1_000)
        assert call.heard_of(turn) == 0
        (item,) = call.items_of(turn)
        call.diverged(item)


# -- where we say when the caller speaks ---------------------------------------------------------------


@pytest.mark.parametrize("born", [True, False], ids=["heard", "unborn"])
def test_with_manual_detection_an_interrupt_is_one_activity_start(engine: str, born: bool) -> None:
    """Once for the turn, and for an unanswered request when its first content shows that it is answered."""
    with gemini(engine, asks=MANUAL) as call:
        request = call.requests()
        call.does(f"create {request}")
        turn = call.begins(request)
        if born:
            call.speaks(turn, 700)
            call.hears_ms(300)
        call.interrupts()
        call.does(*["clear", "cancel"] * born)
        call.interrupts()
        call.does()
        if not born:
            call.speaks(turn, 300)
            call.does("cancel")
        call.speaks(turn, 300)
        call.finishes(turn)
        call.does()
        assert len(call.sent("activityStart")) == 1
        call.waits_ms(1_000)
        assert call.heard_of(turn) == (300 if born else 0)
