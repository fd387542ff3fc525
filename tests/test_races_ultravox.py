"""Ultravox: there is no cancel but a text that interrupts, and audio that names nothing. facts/races.md R04."""

import json

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.adapter import ResponseFacts

from .races import race
from .scene_turns import Turns, both_engines

pytestmark = both_engines


def ultravox(engine: str, defers: bool, **rules: bool) -> Turns:
    """A server that answers the text that interrupts it, as the table takes it; or one that honours deferResponse,
    and a table that asks for it.
    """
    shipped = adapters.provider("ultravox")
    hush = {"type": "user_text_message", "text": "", "urgency": "immediate", "deferResponse": True}

    def cancel(op: str, response: ResponseFacts) -> tuple[bytes, ...]:
        return () if response.server_cancels else (json.dumps(hush).encode(),)

    can = shipped.can | {"answers_cancel": "never"}
    deferring = msgspec.structs.replace(shipped, can=can, cancel=cancel)
    adapter = deferring if defers else shipped
    return Turns(
        engine,
        "ultravox",
        "signalwire",
        rules={"defers": defers, **rules},
        adapter=adapter,
    )


def is_heard(call: Turns, request: str) -> None:
    """The server takes up the request, and the caller hears the whole answer, which is called the request's own."""
    turn = call.begins(request)
    item = call.speaks(turn, 600)
    call.finishes(turn)
    call.hears_ms(600)
    call.resolves(request, "completed")
    call.item_is(item, "full", 600)


# -- one request in place of another -------------------------------------------------------------------


@pytest.mark.parametrize("honoured", [True, False], ids=["deferred", "answered"])
@race("R04")
def test_r04_on_ultravox_what_stops_the_first_does_not_stop_the_second(
    engine: str, honoured: bool
) -> None:
    """The interrupting text goes out when the first turn shows itself, and the second request only behind its end.

    Where the text is answered, that answer comes before the second's, and nobody hears it.
    """
    with ultravox(engine, honoured) as call:
        first = call.requests()
        call.does(f"create {first}")
        call.interrupts(first, "supersede")
        second = call.requests()
        call.does()
        turn = call.begins(first)
        call.does("cancel")
        call.finishes(turn)
        call.does(f"create {second}")
        if not honoured:
            unasked = call.begins()
            call.speaks(unasked, 500)
            call.finishes(unasked)
            assert call.heard_of(unasked) == 0
        is_heard(call, second)
        assert call.heard_of(turn) == 0


@race("R04")
def test_r04_on_ultravox_a_long_answer_to_what_stops_the_first_does_not_cost_the_second(
    engine: str,
) -> None:
    """The state stays speaking while the unasked answer plays at the server's: longer than a request waits."""
    with ultravox(engine, False) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", "cancel")
        second = call.requests()
        call.finishes(cut.response)
        call.does(f"create {second}")
        unasked = call.begins()
        call.speaks(unasked, 6_000)
        call.waits_ms(6_000)
        call.finishes(unasked)
        is_heard(call, second)
        assert call.heard_of(unasked) == 0


# -- Ultravox: text that interrupts --------------------------------------------------------------------


@pytest.mark.parametrize("clears", [True, False], ids=["cleared", "not cleared"])
def test_barge_in_by_text_that_is_deferred_stops_the_turn_and_nothing_follows(
    engine: str, clears: bool
) -> None:
    """deferResponse is honoured: one text, no answer to it, and the next turn answers the next request."""
    with ultravox(engine, True, clears_for_text=clears) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", "cancel")
        call.speaks(cut.response, 300)
        call.finishes(cut.response)
        call.does()
        assert call.server.waiting == []
        request = call.requests()
        call.does(f"create {request}")
        is_heard(call, request)
        call.item_is(cut.item, "partial", 400)
        assert call.heard_ms(cut.item) == 400


@pytest.mark.parametrize(
    "listens",
    [
        pytest.param(True, id="listening between"),
        pytest.param(
            False,
            id="at once",
        ),
    ],
)
def test_the_answer_to_a_text_that_interrupts_is_fenced_and_not_interrupted(
    engine: str, listens: bool
) -> None:
    """Interrupted like any other it would be answered again, and again."""
    with ultravox(engine, False, listens_between=listens) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", "cancel")
        call.finishes(cut.response)
        unasked = call.begins()
        call.speaks(unasked, 800)
        call.does()
        call.finishes(unasked)
        call.waits_ms(2_000)
        assert call.heard_of(unasked) == 0
        assert len([m for m in call.sent_messages if m.get("urgency") == "immediate"]) == 1
        request = call.requests()
        call.does(f"create {request}")
        is_heard(call, request)


@pytest.mark.parametrize("told", ["before its end", "after its end"])
def test_binary_frames_behind_a_clear_are_nobody_s(engine: str, told: str) -> None:
    """They name nothing: what comes after playback_clear_buffer, and between two turns, is the tail of the last."""
    with ultravox(engine, False) as call:
        cut = call.replies(900, finished=False)
        call.hears_ms(400)
        call.caller_speaks()
        call.does("clear")
        if told == "after its end":
            call.finishes(cut.response)
        call.speaks(cut.response, 500)
        call.waits_ms(1_000)
        if told == "before its end":
            call.finishes(cut.response)
        call.caller_stops()
        call.does()
        answer = call.answers_caller(700)
        call.hears_ms(700)
        call.item_is(answer.item, "full", 700)
        assert call.heard_ms(cut.item) == 400
        assert "audio" in [each.kind for each in call.told(do.Fenced)] or told == "after its end"
