"""MISTARGET: the right message, the wrong object. facts/races.md R06, R07, R11, R12, R37, R38, R40, R48-R50."""

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines


@race("R06")
def test_r06_two_responses_in_flight_are_cancelled_each_by_its_id(engine: str) -> None:
    """Their deltas arrive interleaved and never share a segment: one voice at a time."""
    with Scene(engine) as call:
        call.caller_speaks()
        call.caller_stops()
        ref = call.requests(beside=True)
        call.does(f"create {ref}")
        beside = call.creates(ref)
        main = call.creates()
        first, second = call.announces(beside), call.announces(main)
        for _ in range(10):
            call.speaks(first, 100)
            call.speaks(second, 100)
        call.hears_ms(300)
        report = call.interrupts()
        call.does("clear", f"cancel {beside}", f"cancel {main}", f"truncate {first} 300")
        assert report.cancelled == [beside, main]
        for _ in range(3):  # in flight when the cancels arrived
            call.speaks(first, 100)
            call.speaks(second, 100)
        call.finishes(beside)
        call.finishes(main)
        call.does(f"delete {second}")
        assert call.heard_ms(first) == 300 and call.heard_ms(second) == 0


@race("R06")
def test_r06_uninterrupted_each_is_heard_whole_one_after_the_other(engine: str) -> None:
    with Scene(engine) as call:
        call.caller_speaks()
        call.caller_stops()
        ref = call.requests(beside=True)
        call.does(f"create {ref}")
        beside, main = call.creates(ref), call.creates()
        first, second = call.announces(beside), call.announces(main)
        for _ in range(5):
            call.speaks(first, 100)
            call.speaks(second, 100)
        call.finishes(main)
        call.finishes(beside)
        call.hears_ms(1_000)
        call.item_is(first, "full", 500)
        call.item_is(second, "full", 500)
        assert call.ear.items == [call.memory(first).voice, call.memory(second).voice]


@pytest.mark.parametrize("covered", ["playing", "queued"])
def test_a_scoped_interrupt_lets_the_other_response_be_heard_whole(
    engine: str, covered: str
) -> None:
    """A clear empties the whole carrier; what nobody interrupted is sent again."""
    with Scene(engine) as call:
        one, other = call.replies(1_000), call.replies(1_000, beside=True)
        call.hears_ms(350)
        if covered == "playing":
            call.interrupts(one.ref)
            call.does("clear", f"truncate {one.item} 300")
            call.hears_ms(1_000)
            call.item_is(other.item, "full", 1_000)
            call.resolves(str(other.ref), "completed")
        else:
            call.forgives.repeats = True  # up to one mark interval, which no mark had confirmed
            call.interrupts(other.ref)
            call.does("clear", f"delete {other.item}")
            call.hears_ms(700)
            call.item_is(one.item, "full", 1_000)
            call.resolves(str(one.ref), "completed")
            heard_ms = sum(segment.duration_ms for segment in call.ear.segments)
            assert heard_ms == 1_050


def test_a_scoped_interrupt_by_the_server_s_id_is_the_same(engine: str) -> None:
    with Scene(engine) as call:
        one = call.replies(1_000, finished=False)
        assert call.interrupts(one.response).covered == [one.ref]
        call.does("clear", f"cancel {one.response}")


@race("R42")
def test_an_interrupt_of_nobody_says_nothing_to_anybody(engine: str) -> None:
    """R42: a barge-in that covers nothing clears nothing: what is queued stays queued."""
    with Scene(engine) as call:
        report = call.interrupts()
        assert report.covered == [] and not report.cleared
        reply = call.replies(500)
        call.interrupts("resp_unknown")
        call.does()
        call.hears_ms(500)
        call.item_is(reply.item, "full", 500)
        call.interrupts()
        call.does()


@race("R07")
def test_r07_a_request_after_an_interrupt_waits_for_the_last_word(engine: str) -> None:
    """Silenced is at once, settled is later; the create goes out once, after the clean-up."""
    with Scene(engine) as call:
        first = call.replies(2_000, 500, finished=False)
        call.hears_ms(700)
        call.interrupts()
        call.does("clear", f"cancel {first.response}", f"truncate {first.items[0]} 700")
        second = call.requests()
        call.does()
        call.finishes(first.response)
        call.does(f"delete {first.items[1]}", f"create {second}")
        response = call.creates(second)
        item = call.announces(response)
        call.speaks(item, 400)
        call.finishes(response)
        call.hears_ms(400)
        call.resolves(second, "completed")


@race("R07")
def test_r07_the_wait_for_the_last_word_is_bounded(engine: str) -> None:
    settings = Settings(settled_ms=2_000)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        first = call.replies(2_000, finished=False)
        call.interrupts()
        call.does("clear", f"cancel {first.response}")
        second = call.requests()
        call.waits_ms(1_999)
        call.does()
        call.waits_ms(1)
        call.does(f"delete {first.item}", f"create {second}")


@race("R07")
def test_r07_requests_leave_in_the_order_they_were_decided(engine: str) -> None:
    """I9: one unanswered create at a time; what runs beside the conversation waits for nobody."""
    with Scene(engine) as call:
        one = call.requests()
        call.does(f"create {one}")
        two, three = call.requests(), call.requests()
        call.does()
        beside = call.requests(beside=True)
        call.does(f"create {beside}")
        call.finishes(call.creates(one))
        call.does(f"create {two}")
        call.refuses(two)
        call.does(f"create {three}")
        call.resolves(two, "failed", "rate_limit_exceeded")


@race("R11")
def test_r11_a_timeout_does_not_touch_the_reply_that_is_being_heard(engine: str) -> None:
    """The request is stuck behind a reply the server made by itself; nothing unborn is cancelled."""
    settings = Settings(created_ms=1_000)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        call.caller_speaks()
        call.caller_stops()
        with call.held("from_server"):
            made_by_vad = call.creates()
            ref = call.requests()
            call.does(f"create {ref}")
        item = call.announces(made_by_vad)
        call.speaks(item, 3_000)
        call.hears_ms(1_000)
        call.resolves(ref, "timed_out")
        call.does()
        call.hears_ms(1_000)
        call.finishes(made_by_vad)
        call.hears_ms(1_000)
        call.item_is(item, "full", 3_000)
        ghost = call.creates(ref)
        call.does(f"cancel {ghost}")


@race("R12")
def test_r12_the_discard_is_per_response_not_one_slot(engine: str) -> None:
    """A doomed response is born while another streams; each delta finds its own response."""
    with Scene(engine) as call:
        doomed = call.requests(beside=True)
        call.does(f"create {doomed}")
        call.interrupts(doomed)
        reply = call.replies(500, finished=False)
        ghost = call.creates(doomed)
        call.does(f"cancel {ghost}")
        item = call.announces(ghost)
        for _ in range(5):
            call.speaks(item, 100)
            call.speaks(reply.item, 100)
        call.finishes(reply.response)
        call.speaks(item, 100)
        call.hears_ms(1_000)
        call.item_is(reply.item, "full", 1_000)
        call.does()
        call.finishes(ghost)
        call.does(f"delete {item}")


@pytest.mark.parametrize("cause", ["interrupt", "timeout"])
@race("R12")
def test_r12_a_refusal_removes_the_tombstone(engine: str, cause: str) -> None:
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        else:
            call.waits_ms(1_000)
        assert list(call.session.responses) == [ref]
        call.refuses(ref)
        assert call.session.responses == {}


@race("R37")
def test_r37_the_tail_of_a_finished_response_is_cut_without_a_cancel(engine: str) -> None:
    """The server's VAD interrupts and answers by itself; a cancel would kill the answer to the barge-in."""
    with Scene(engine) as call:
        first = call.replies(2_000)
        call.hears_ms(600)
        call.caller_speaks()
        call.does("clear", f"truncate {first.item} 600")
        call.caller_stops()
        response = call.creates()
        item = call.announces(response)
        call.speaks(item, 500)
        call.finishes(response)
        call.hears_ms(500)
        call.item_is(item, "full", 500)
        assert call.sent("response.cancel") == []


@race("R38")
def test_r38_a_late_last_word_frees_only_its_own_slot(engine: str) -> None:
    settings = Settings(settled_ms=1_000)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        first = call.replies(1_000, finished=False)
        call.interrupts()
        call.does("clear", f"cancel {first.response}")
        call.waits_ms(1_000)
        call.does(f"delete {first.item}")
        second = call.requests()
        call.does(f"create {second}")
        third = call.requests()
        call.finishes(first.response)  # late: the second request is under way
        call.does()
        call.finishes(call.creates(second))
        call.does(f"create {third}")


@race("R40")
def test_r40_a_text_only_response_is_cancelled_and_older_speech_is_left_alone(engine: str) -> None:
    with Scene(engine) as call:
        spoken = call.replies(500)
        call.hears_ms(500)
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "text")
        call.server_does(lambda server: server.says_text(response, item, "Bad words"))
        call.interrupts(ref)
        call.does(f"cancel {response}")
        call.server_does(lambda server: server.says_text(response, item, "and more"))
        call.finishes(response)
        call.does()  # its text was handed over: it is not unsaid
        assert [text.text for text in call.told(do.TextArrived)][-1] == "Bad words"
        call.item_is(spoken.item, "full", 500)


@race("R40")
def test_r40_when_the_last_word_wins_the_race_nothing_is_cancelled(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "text")
        call.server_does(lambda server: server.says_text(response, item, "Words"))
        call.finishes(response)
        call.resolves(ref, "completed")
        call.interrupts()
        call.does()


# -- who cancels when the server's VAD hears the caller ------------------------------------------------


@pytest.mark.parametrize("interrupt_response", [True, None])
@race("R48", "R49")
def test_r49_the_server_s_vad_cancels_and_we_only_clear_and_truncate(
    engine: str, interrupt_response: bool | None
) -> None:
    """R48: whoever cancelled, on a WebSocket the client truncates. The default is that the server cancels."""
    with Scene(engine) as call:
        turn_detection = {"type": "server_vad", "interrupt_response": interrupt_response}
        if interrupt_response is None:
            del turn_detection["interrupt_response"]
        session = {"audio": {"input": {"turn_detection": turn_detection}}}
        call.server_says({"type": "session.updated", "session": session})
        reply = call.replies(2_000, finished=False)
        call.hears_ms(500)
        call.caller_speaks()
        call.does("clear", f"truncate {reply.item} 500")
        call.resolves(str(reply.ref), "interrupted")
        call.speaks(reply.item, 200)
        call.finishes(reply.response)
        call.does()


@race("R49")
def test_r49_the_server_s_vad_does_not_reach_what_runs_beside_the_conversation(engine: str) -> None:
    """So what the server leaves alone is cancelled by us, by its id."""
    with Scene(engine) as call:
        main = call.replies(1_000, finished=False)
        beside = call.replies(1_000, finished=False, beside=True)
        call.hears_ms(200)
        call.caller_speaks()
        call.does("clear", f"cancel {beside.response}", f"truncate {main.item} 200")


@pytest.mark.parametrize("stage", ["unborn", "created"])
@race("R49")
def test_r49_a_request_the_vad_does_not_reach_is_cancelled_by_us(engine: str, stage: str) -> None:
    """The server's VAD stops what it has created; what it has merely accepted lives on until it is named."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if stage == "created":
            response = call.creates(ref)
            call.caller_speaks()
            call.does()
        else:
            call.caller_speaks()
            call.does()
            response = call.creates(ref)
            call.does(f"cancel {response}")
        call.resolves(ref, "interrupted")
        call.finishes(response)
        call.does()


@race("R50")
def test_r50_told_not_to_interrupt_a_barge_in_interrupts_nobody(engine: str) -> None:
    with Scene(engine, turn_detection={"interrupt_response": False}) as call:
        reply = call.replies(1_000, finished=False)
        call.hears_ms(200)
        call.caller_speaks()
        call.does()
        assert [heard.speaking for heard in call.told(do.CallerHeard)] == [True]
        call.finishes(reply.response)
        call.hears_ms(800)
        call.item_is(reply.item, "full", 1_000)


@race("R50")
def test_r50_where_we_decide_and_the_server_does_not_cancel_we_do(engine: str) -> None:
    """Exactly one actor: told not to interrupt, the server leaves the cancel to us."""
    settings = Settings(barge_in="always")
    with Scene(engine, settings=settings, turn_detection={"interrupt_response": False}) as call:
        reply = call.replies(1_000, finished=False)
        call.hears_ms(200)
        call.caller_speaks()
        call.does("clear", f"cancel {reply.response}", f"truncate {reply.item} 200")


@race("R50")
def test_r50_a_response_the_server_stops_by_itself_stops_sounding(engine: str) -> None:
    """We were told never to react to the VAD; the server reacts, and a torso is no answer."""
    with Scene(engine, settings=Settings(barge_in="never")) as call:
        reply = call.replies(2_000, finished=False)
        call.hears_ms(200)
        call.caller_speaks()
        call.does()
        call.hears_ms(200)
        call.finishes(reply.response)
        call.does("clear", f"truncate {reply.item} 400")
        call.resolves(str(reply.ref), "interrupted", "turn_detected")


def test_a_stop_by_the_server_clears_the_ear_although_an_interrupt_had_cleared_it_before(
    engine: str,
) -> None:
    """Once per decision, not once per call."""
    with Scene(engine, settings=Settings(barge_in="never")) as call:
        first = call.replies(1_000)
        call.hears_ms(100)
        assert call.interrupts().cleared
        call.does("clear", f"truncate {first.item} 100")
        second = call.replies(1_000, finished=False)
        call.hears_ms(300)
        call.caller_speaks()
        call.finishes(second.response)
        call.does("clear", f"truncate {second.item} 300")


@race("R50")
def test_turn_detection_that_is_off_leaves_the_cancel_to_us(engine: str) -> None:
    with Scene(engine, turn_detection=None) as call:
        reply = call.replies(1_000, finished=False)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}", f"truncate {reply.item} 200")
