"""Golden traces of every carrier, in a whole call: what a clear does to marks, and what is heard then.

facts/transports.md 4, 5, 7, 15.1 and 16.1. In each, a naive client believes something else: that marks which a clear
returned were heard, that dropped ones will come, or that all that was sent was heard.
"""

from base64 import b64decode
from typing import Any

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings

from .races import race
from .scene import Reply, Scene, both_engines

pytestmark = both_engines

CARRIERS = ("twilio", "telnyx", "signalwire", "plivo", "jambonz", "vonage")
carriers = pytest.mark.parametrize("carrier", CARRIERS)
ACKNOWLEDGEMENTS: dict[str, dict[str, Any]] = {
    "plivo": {"event": "clearedAudio", "sequenceNumber": 0, "streamId": "plivo-stream"},
    "vonage": {"event": "websocket:cleared"},
}
"""Of a clear, where it is acknowledged."""
FRAME_BYTES = 20 * 48
"""20 ms of PCM16 at 24 kHz."""


def line(engine: str, carrier: str, mark_every_ms: int = 200, **rules: Any) -> Scene:  # noqa: ANN401
    """OpenAI on a carrier's line; `rules` are of the carrier's model."""
    settings = Settings(mark_every_ms=mark_every_ms)
    call = Scene(engine, carrier=carrier, settings=settings, carrier_rules=rules)
    call.forgives.memory_ms = mark_every_ms
    return call


def is_heard(call: Scene, ms: int = 600, evidence: str = "marks") -> Reply:
    """The next item plays as if nothing had been before it, and is called full by this evidence."""
    reply = call.replies(ms)
    call.hears_ms(ms)
    if evidence == "clock":
        call.is_open(str(reply.ref))
        call.waits_ms(2_000)
    call.item_is(reply.item, "full", ms)
    assert call.outcome(reply.item).evidence == evidence
    call.resolves(str(reply.ref), "completed")
    return reply


def interrupted_with_a_mark_in_flight(call: Scene) -> Reply:
    """The golden setting: speech with four marks; the first is back, the second is on its way to us.

    Quarters of 200 ms, where the facts have 250, for Vonage takes frames of 20.
    """
    reply = call.replies(800)
    call.hears_ms(200)
    with call.held("from_carrier"):
        call.hears_ms(200)
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 200")
    call.waits_ms(1_000)
    call.item_is(reply.item, "partial", 200)
    call.resolves(str(reply.ref), "interrupted")
    assert call.heard_ms(reply.item) == 400
    assert len(call.sent("conversation.item.truncate")) == 1
    return reply


# -- golden traces -------------------------------------------------------------------------------------


@carriers
@race("R22")
def test_r22_a_mark_in_flight_at_the_clear_and_those_behind_it_are_no_progress(
    engine: str, carrier: str
) -> None:
    """The truncate has left by then, at what was surely heard.

    Who counts the returned ones has heard 800 ms and truncates nothing; who waits for the dropped ones waits for
    ever.
    """
    with line(engine, carrier) as call:
        interrupted_with_a_mark_in_flight(call)
        is_heard(call)


@pytest.mark.parametrize("returned", [True, False], ids=["returned", "dropped"])
def test_notifies_that_wait_at_a_clear_prove_nothing_whatever_becomes_of_them(
    engine: str, returned: bool
) -> None:
    """Nobody has told what Vonage does with them: they come late, into the next item, or never."""
    with line(engine, "vonage") as call:
        interrupted_with_a_mark_in_flight(call)
        reply = call.replies(500)
        call.hears_ms(200)
        call.carrier_does(lambda carrier: carrier.decides(returned))
        call.is_open(str(reply.ref))
        call.hears_ms(300)
        call.item_is(reply.item, "full", 500)
        assert [each for each in call.told(do.Passed) if each.side == "transport"] == []


@pytest.mark.parametrize("carrier", ACKNOWLEDGEMENTS)
@pytest.mark.parametrize("late", [False, True], ids=["in time", "in the next item"])
def test_an_acknowledgement_too_many_touches_nothing(engine: str, late: bool, carrier: str) -> None:
    """It names no clear: two clears in flight, two acknowledgements, and a third, maybe while the next item plays."""
    acknowledgement = ACKNOWLEDGEMENTS[carrier]
    with line(engine, carrier) as call:
        first = call.replies(1_000)
        call.hears_ms(200)
        with call.held("from_carrier"):
            call.interrupts()
            call.does("clear", f"truncate {first.item} 200")
            second = call.replies(1_000)
            call.waits_ms(300)
            call.interrupts()
            call.does("clear", f"delete {second.item}")
        if not late:
            call.carrier_says(acknowledgement)
        third = call.replies(700)
        call.hears_ms(350)
        if late:
            call.carrier_says(acknowledgement)
        call.hears_ms(350)
        call.item_is(third.item, "full", 700)
        call.forgives.memory_ms = 300  # the second was heard a little before its first mark


@carriers
def test_on_a_line_that_returns_no_marks_the_clock_settles(engine: str, carrier: str) -> None:
    """Who waits for marks alone never takes the next turn."""
    with line(engine, carrier, marks_echoed=False) as call:
        is_heard(call, 800, "clock")
        call.forgives.next_turn = (
            True  # it would be settled by the clock too, and the judge waits for marks
        )
        is_heard(call, 400, "clock")


@pytest.mark.parametrize("carrier", ["twilio", "telnyx", "signalwire", "plivo", "jambonz"])
@race("R22")
def test_r22_speech_that_a_clear_takes_along_is_sent_again_and_its_returned_marks_are_void(
    engine: str, carrier: str
) -> None:
    """Nobody interrupted it; the clear that silences another empties the whole line. Its marks come back with it."""
    with line(engine, carrier) as call:
        main = call.replies(600)
        beside = call.replies(800, beside=True)
        call.hears_ms(200)
        call.interrupts(beside.ref)
        call.does("clear", f"delete {beside.item}")
        call.is_open(str(main.ref))
        call.hears_ms(400)
        call.item_is(main.item, "full", 600)
        call.resolves(str(main.ref), "completed")
        assert call.heard_ms(beside.item) == 0


# -- jambonz -------------------------------------------------------------------------------------------


def test_marks_that_jambonz_swallows_after_a_kill_are_not_waited_for(engine: str) -> None:
    """As many markers as the kill cleared are lost from the speech after it: the clock watches."""
    with line(engine, "jambonz", loses_marks=True) as call:
        first = call.replies(2_000)
        call.hears_ms(500)
        call.interrupts()
        call.does("clear", f"truncate {first.item} 400")
        call.forgives.clock = True
        is_heard(call, 700, "clock")


def test_a_mark_that_comes_back_too_early_is_not_believed(engine: str) -> None:
    """A sample of -1 looks like a marker to jambonz: the mark is back at once, and nothing was heard."""
    with line(engine, "jambonz", false_marks=True) as call:
        reply = call.replies(1_500)
        call.is_open(str(reply.ref))
        call.hears_ms(500)
        call.interrupts()
        call.unclaim()
        call.waits_ms(1_000)
        assert call.heard_ms(reply.item) == 500
        outcome = call.outcome(reply.item)
        assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("partial", 400, "clock")


def test_speech_whose_marks_all_come_too_early_is_heard_to_its_end_and_no_sooner(
    engine: str,
) -> None:
    """They are kept and count by the clock, so nobody waits for the watchdog, and the next item plays."""
    with line(engine, "jambonz", false_marks=True) as call:
        reply = call.replies(1_500)
        call.hears_ms(1_499)
        call.is_open(str(reply.ref))
        call.waits_ms(1)
        call.item_is(reply.item, "full", 1_500)
        assert call.outcome(reply.item).evidence == "clock"
        call.resolves(str(reply.ref), "completed")
        call.forgives.clock = True


def test_jambonz_never_has_more_marks_out_than_it_keeps(engine: str) -> None:
    """It drops the 31st without a word; the model warns, and the judge does not forgive that."""
    with line(engine, "jambonz", 100) as call:
        reply = call.replies(12_000)
        call.hears_ms(12_000)
        call.item_is(reply.item, "full", 12_000)
        assert call.outcome(reply.item).evidence == "marks"


# -- frames and pace -----------------------------------------------------------------------------------


@pytest.mark.parametrize("delta_ms", [7, 33, 330])
def test_every_frame_to_vonage_is_20_ms_and_the_filling_counts_for_nobody(
    engine: str, delta_ms: int
) -> None:
    """330 ms are 16 frames and a half; the half is filled up at the item's end, and what fills it is not speech."""
    with line(engine, "vonage", 100) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 330, delta_ms=delta_ms)
        assert len(call.sent_frames) == 16  # what does not fill a frame waits for more
        call.finishes(response)
        assert len(call.sent_frames) == 17
        assert {len(frame) for frame in call.sent_frames} == {FRAME_BYTES}
        assert call.sent_frames[-1][FRAME_BYTES // 2 :] == bytes(FRAME_BYTES // 2)
        call.hears_ms(330)
        call.waits_ms(10)
        outcome = call.outcome(item)
        assert (outcome.received_ms, outcome.sent_ms, outcome.heard_ms) == (330, 330, 330)
        call.resolves(ref, "completed")


def test_a_cut_in_the_filling_is_at_the_item_s_own_end(engine: str) -> None:
    """The last mark is back, the response is not done: the truncate asks for what there is, not for whole frames."""
    with line(engine, "vonage", 100) as call:
        first = call.replies(330)
        second = call.replies(450, finished=False)
        call.hears_ms(330)
        call.waits_ms(250)
        call.item_is(first.item, "full", 330)
        call.interrupts()
        call.does("clear", f"cancel {second.response}", f"truncate {second.item} 200")
        assert {len(frame) for frame in call.sent_frames} == {FRAME_BYTES}


@pytest.mark.parametrize(("carrier", "ahead_ms"), [("jambonz", 2_000), ("vonage", 20_000)])
def test_what_is_held_for_the_carrier_s_pace_is_neither_sent_nor_heard(
    engine: str, carrier: str, ahead_ms: int
) -> None:
    """A minute is generated at once. Who takes it for sent, and what is sent for heard, truncates nothing."""
    with line(engine, carrier, 100) as call:
        story = call.replies(60_000)
        call.hears_ms(3_000)
        assert call.carrier.buffer.buffered_ms <= ahead_ms
        call.interrupts()
        call.does("clear", f"truncate {story.item} 3000")
        outcome = call.outcome(story.item)
        assert (outcome.received_ms, outcome.heard_ms) == (60_000, 3_000)
        assert 3_000 < outcome.sent_ms <= 3_000 + ahead_ms
        frames = len(call.sent_frames)
        call.waits_ms(60_000)
        assert len(call.sent_frames) == frames
        assert call.heard_ms(story.item) == 3_000


@pytest.mark.parametrize("carrier", ["jambonz", "vonage"])
def test_speech_under_pace_is_heard_without_a_hole(engine: str, carrier: str) -> None:
    """It is sent by the clock, and the clock is ours: nothing is late, nothing is lost."""
    with line(engine, carrier, 100) as call:
        is_heard(call, 30_000)


@pytest.mark.parametrize("carrier", ["plivo", "jambonz", "vonage"])
def test_a_caller_who_hangs_up_without_a_word_leaves_nothing_open(
    engine: str, carrier: str
) -> None:
    """These carriers only close the socket: what was marked by then was heard."""
    with line(engine, carrier) as call:
        reply = call.replies(2_000)
        call.hears_ms(600)
        call.loses_carrier()
        call.does(f"truncate {reply.item} 600")
        call.item_is(reply.item, "partial", 600)
        call.resolves(str(reply.ref), "interrupted")


@pytest.mark.parametrize("delta_ms", [7, 85, 330])
def test_no_message_of_speech_to_telnyx_is_shorter_than_20_ms(engine: str, delta_ms: int) -> None:
    """20 ms to 30 s is what it takes: 85 ms leave as they come, not cut into 15 and 70 where marks are due.

    Whether it takes a rest that is shorter is not told; here it does.
    """
    with line(engine, "telnyx", 100, takes_short=True) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 990, delta_ms=delta_ms)
        call.finishes(response)
        sent = [each["media"]["payload"] for each in call.sent("media")]
        sizes_ms = [len(b64decode(payload)) // 8 for payload in sent]
        assert min(sizes_ms[:-1]) >= 20 and sum(sizes_ms) == 990
        call.hears_ms(990)
        call.item_is(item, "full", 990)
        call.resolves(ref, "completed")
