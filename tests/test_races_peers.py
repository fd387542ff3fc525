"""What peers get wrong, and when they leave: errors, nonsense, losses, a stream that has not started.

facts/races.md R63-R65, and the bad input every peer is capable of.
"""

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, audio_delta, both_engines

pytestmark = both_engines

# -- errors settle their own request -------------------------------------------------------------------


@race("R63")
def test_r63_a_refused_create_settles_its_handle_at_once(engine: str) -> None:
    """The server has made a response of its own that we do not know of yet."""
    with Scene(engine) as call:
        call.caller_speaks()
        call.caller_stops()
        with call.held("from_server"):
            made_by_vad = call.creates()
            ref = call.requests()
            call.does(f"create {ref}")
        call.resolves(ref, "failed", "conversation_already_has_active_response")
        item = call.announces(made_by_vad)
        call.speaks(item, 300)
        call.finishes(made_by_vad)
        call.hears_ms(300)
        assert call.told(do.Problem) == []


@pytest.mark.parametrize("busy_code", ["conversation_already_has_active_response", None])
@race("R63")
def test_r63_a_refusal_that_names_nobody_is_matched_by_its_kind(
    engine: str, busy_code: str | None
) -> None:
    """Some errors come with a null event_id, some builds gave this one no code."""
    null = frozenset({busy_code} if busy_code else ())
    rules = Rules(null_event_id_for=null, busy_code=busy_code)
    with Scene(engine, rules=rules) as call:
        call.caller_speaks()
        call.caller_stops()
        with call.held("from_server"):
            made_by_vad = call.creates()
            ref = call.requests()
            call.does(f"create {ref}")
        call.resolves(ref, "failed", busy_code or "create_refused")
        call.finishes(made_by_vad)


def test_a_truncate_error_that_names_nobody_is_the_only_truncate_s(engine: str) -> None:
    rules = Rules(truncate_margin_ms=85, null_event_id_for=frozenset({"invalid_value"}))
    with Scene(engine, rules=rules) as call:
        call.forgives.memory_ms = 200
        reply = call.replies(700, finished=False)
        call.hears_ms(700)
        call.interrupts()
        call.does(
            *[f"cancel {reply.response}", *[f"truncate {reply.item} {n}" for n in (700, 600)]]
        )


def test_a_truncate_error_that_names_nobody_is_not_a_delete_s(engine: str) -> None:
    rules = Rules(truncate_margin_ms=150, null_event_id_for=frozenset({"invalid_value"}))
    with Scene(engine, rules=rules) as call:
        call.forgives.memory_ms = 200
        reply = call.replies(700, 300)
        call.hears_ms(600)
        call.interrupts()
        one, two = reply.items
        call.does("clear", f"truncate {one} 600", f"delete {two}", f"truncate {one} 500")
        assert call.outcome(one).memory == call.outcome(two).memory == "exact"


@race("R64")
def test_r64_an_error_that_concerns_nobody_settles_nobody(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(500, finished=False)
        error = {"code": "teapot", "message": "no", "param": None, "event_id": "evt_else"}
        call.server_says({"type": "error", "error": error})
        problems = call.told(do.Problem)
        assert [(p.code, p.fatal) for p in problems] == [("teapot", False)]
        call.does()
        call.finishes(reply.response)
        call.hears_ms(500)


@race("R64")
def test_r64_an_error_that_no_retry_heals_is_called_fatal(engine: str) -> None:
    with Scene(engine) as call:
        error = {"code": "insufficient_quota", "message": "pay"}
        call.server_says({"type": "error", "error": error})
        assert [problem.fatal for problem in call.told(do.Problem)] == [True]


@race("R65")
def test_r65_the_error_for_a_cancel_is_benign_however_late_it_comes(engine: str) -> None:
    """The response finished before the cancel arrived; the last word was processed long before the error."""
    with Scene(engine) as call:
        reply = call.replies(500, finished=False)
        with call.held("from_server", "to_server"):
            call.finishes(reply.response)
            call.interrupts()
            call.does("clear", f"cancel {reply.response}")
        call.does(f"delete {reply.item}")
        assert [e.code for e in call.server.errors] == ["response_cancel_not_active"]
        assert call.told(do.Problem) == []


@pytest.mark.parametrize("code", ["response_cancel_not_active", None, "surprise"])
@race("R65")
def test_r65_an_error_for_any_cancel_is_benign_whatever_its_code(
    engine: str, code: str | None
) -> None:
    with Scene(engine, rules=Rules(cancel_unknown_code=code)) as call:
        reply = call.replies(500, finished=False)
        with call.held("from_server", "to_server"):
            call.finishes(reply.response)
            call.interrupts()
            call.unclaim()
        call.unclaim()
        assert call.told(do.Problem) == []


# -- whoever leaves -------------------------------------------------------------------------------------


def test_a_hangup_in_the_middle_of_speech_cancels_and_truncates_and_clears_nothing(
    engine: str,
) -> None:
    with Scene(engine) as call:
        reply = call.replies(2_000, 500, finished=False)
        call.hears_ms(650)
        call.hangs_up()
        one, two = reply.items
        call.does(f"cancel {reply.response}", f"truncate {one} 600")
        call.resolves(str(reply.ref), "interrupted")
        call.item_is(one, "partial", 600)
        call.finishes(reply.response)
        call.does(f"delete {two}")


def test_a_carrier_lost_without_a_goodbye_is_a_hangup(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(2_000)
        call.hears_ms(300)
        call.loses_carrier()
        call.does(f"truncate {reply.item} 300")
        assert [problem.code for problem in call.told(do.Problem)] == ["connection_lost"]


def test_whatever_is_born_after_the_hangup_is_cancelled(engine: str) -> None:
    """The server's VAD answers a caller who has gone: nobody will hear it, so nobody pays for it."""
    with Scene(engine) as call:
        call.caller_speaks()
        call.hangs_up()
        call.caller_stops()
        response = call.creates()
        call.does(f"cancel {response}")
        item = call.announces(response)
        call.speaks(item, 300)
        call.finishes(response)
        call.does(f"delete {item}")


def test_a_request_after_the_hangup_fails_at_once(engine: str) -> None:
    with Scene(engine) as call:
        call.hangs_up()
        ref = call.requests()
        call.does()
        call.resolves(ref, "failed", "hung_up")


STAGES = {
    "unwritten": "failed",
    "written": "failed",
    "created": "failed",
    "announced": "failed",
    "streaming": "failed",
    "done": "completed",
    "withdrawn": "interrupted",
    "interrupted": "interrupted",
    "cut": "interrupted",
    "timed out": "timed_out",
}


@pytest.mark.parametrize("stage", STAGES)
@race("R82")
def test_a_provider_that_leaves_resolves_every_handle_whatever_its_state(
    engine: str, stage: str
) -> None:
    """What was wholly received plays on; a torso is silenced; what cannot be forgotten is called diverged."""
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        call.forgives.divergence = True
        if stage == "unwritten":
            call.requests()
            call.unclaim()
        ref = call.requests()
        call.unclaim()
        item = None
        if stage in ("created", "announced", "streaming", "done", "interrupted", "cut"):
            response = call.creates(ref)
            if stage != "created":
                item = call.announces(response)
            if stage in ("streaming", "done", "cut"):
                assert item is not None
                call.speaks(item, 800)
                call.hears_ms(300)
            if stage == "done":
                call.finishes(response)
        if stage in ("withdrawn", "interrupted", "cut"):
            with call.held("from_server"):
                call.interrupts(ref)
                call.unclaim()
                call.loses_provider()
        elif stage == "timed out":
            call.waits_ms(1_000)
            call.loses_provider()
        else:
            call.loses_provider()
            call.does(*["clear"] * (stage == "streaming"))
        if stage == "done":
            call.is_open(ref)
            call.hears_ms(500)
        if STAGES[stage] == "failed":
            assert call.states(ref)[-1] == "cancelled"
        code = "connection_lost" if STAGES[stage] == "failed" else None
        call.resolves(ref, STAGES[stage], code)
        if stage in ("announced", "streaming", "interrupted", "cut"):
            assert item is not None
            assert call.outcome(item).memory == "diverged"
        late = call.requests()
        call.does()
        call.resolves(late, "failed", "connection_lost")


def test_an_interrupt_after_the_provider_left_still_silences_the_ear(engine: str) -> None:
    with Scene(engine) as call:
        call.forgives.divergence = True
        reply = call.replies(1_000)
        call.hears_ms(300)
        call.loses_provider()
        report = call.interrupts()
        call.does("clear")
        assert report.cleared and report.truncated == []
        call.resolves(str(reply.ref), "interrupted")
        assert call.outcome(reply.item).memory == "diverged"


def test_a_message_behind_the_end_of_the_connection_is_not_heard(engine: str) -> None:
    with Scene(engine) as call:
        call.loses_provider()
        call.server_says(audio_delta("resp_9", "item_9", "/////////////w=="))
        call.does()
        assert call.sent("media") == []


# -- bad input ------------------------------------------------------------------------------------------

BAD = [
    "",
    "{",
    "[]",
    "null",
    "17",
    "\x00\xff",
    "{}",
    '{"type": 7}',
    '{"type": "response.created"}',
    '{"type": "response.created", "response": {}}',
    '{"type": "response.created", "response": {"id": 7}}',
    '{"type": "response.done", "response": null}',
    '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "%%%"}',
    '{"type": "response.output_audio.delta", "item_id": "i", "delta": "AAAA"}',
    '{"type": "conversation.item.truncated"}',
    '{"type": "error", "error": "oops"}',
    '{"type": "error"}',
    '{"type": "brand.new", "x": 1}',
    '{"type": "session.created", "session": []}',
    "[" * 5_000,
]
WHEN = ["idle", "requested", "created", "streaming", "done", "withdrawn", "interrupted"]


@pytest.mark.parametrize("when", WHEN)
def test_nothing_the_provider_says_breaks_the_call(engine: str, when: str) -> None:
    """Each is told to the application or tolerated; none moves anything, and the call goes on."""
    with Scene(engine) as call:
        ref = None
        if when != "idle":
            ref = call.requests()
            call.unclaim()
        if when in ("created", "streaming", "done", "interrupted"):
            response = call.creates(ref)
            if when != "created":
                call.speaks(call.announces(response), 500)
                call.hears_ms(200)
            if when == "done":
                call.finishes(response)
        if when in ("withdrawn", "interrupted"):
            call.interrupts()
            call.unclaim()
        before = [(r.ref, r.state) for r in call.session.responses.values()]
        told = len(call.others)
        for message in BAD:
            call.server_says(message)
            call.does()
            assert len(call.others) > told, f"{message[:40]!r} is dropped in silence"
            told = len(call.others)
        assert [(r.ref, r.state) for r in call.session.responses.values()] == before


@pytest.mark.parametrize("when", WHEN)
def test_nothing_the_carrier_says_breaks_the_call(engine: str, when: str) -> None:
    bad = [m.replace('"type"', '"event"') for m in BAD if "response" not in m and "item" not in m]
    bad += ['{"event": "mark"}', '{"event": "media", "media": {"payload": 3}}', '{"event": "dtmf"}']
    bad += ['{"event": "start"}', '{"event": "mark", "mark": {"name": null}}']
    with Scene(engine) as call:
        if when in ("streaming", "done", "interrupted"):
            call.replies(1_000, finished=when == "done")
            call.hears_ms(200)
            if when == "interrupted":
                call.interrupts()
                call.unclaim()
        elif when != "idle":
            call.requests()
            call.unclaim()
        told = len(call.others)
        for message in bad:
            call.carrier_says(message)
            call.does()
            assert len(call.others) > told, f"{message[:40]!r} is dropped in silence"
            told = len(call.others)


def test_a_birth_without_an_id_is_a_problem_and_its_content_finds_the_request(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.server_says({"type": "response.created", "response": {"object": "realtime.response"}})
        assert [problem.code for problem in call.told(do.Problem)] == ["malformed"]
        call.is_open(ref)
        response = call.creates(ref, created_event=False)
        item = call.announces(response)
        call.speaks(item, 200)
        call.finishes(response)
        call.hears_ms(200)
        call.resolves(ref, "completed")


def test_the_server_may_say_a_thing_twice(engine: str) -> None:
    """Created and done announced twice: the first name stands, the last word was said."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        again = {"id": response, "metadata": {"client_event_id": ref}}
        call.server_says({"type": "response.created", "response": again})
        item = call.announces(response)
        call.speaks(item, 200)
        call.finishes(response)
        call.server_says({"type": "response.done", "response": again | {"status": "completed"}})
        call.server_says({"type": "response.created", "response": again})
        call.hears_ms(200)
        call.resolves(ref, "completed")
        call.server_says({"type": "response.created", "response": again})
        call.does()


# -- before the stream starts ----------------------------------------------------------------------------


def test_speech_that_comes_before_the_stream_starts_waits_for_it(engine: str) -> None:
    """A greeting generated while the carrier still connects is heard from its first millisecond."""
    with Scene(engine, started=False) as call:
        reply = call.replies(500, 300)
        assert call.sent("media") == []
        call.waits_ms(1_000)
        call.starts()
        call.hears_ms(800)
        call.resolves(str(reply.ref), "completed")


def test_speech_interrupted_before_the_stream_starts_is_forgotten_without_a_clear(
    engine: str,
) -> None:
    with Scene(engine, started=False) as call:
        reply = call.replies(500)
        report = call.interrupts()
        call.does(f"delete {reply.item}")
        assert not report.cleared
        call.starts()
        call.waits_ms(500)
        assert call.ear.segments == ()


def test_carrier_messages_before_the_start_are_tolerated(engine: str) -> None:
    with Scene(engine, started=False) as call:
        call.carrier_says(
            {"event": "mark", "mark": {"name": "bargein_mark_1"}},
            {"event": "media", "media": {"payload": "AAAA", "track": "inbound"}},
            {"event": "dtmf", "dtmf": {"digit": "1"}},
        )
        call.starts()


def test_a_call_that_ends_before_it_starts_resolves_its_handles(engine: str) -> None:
    with Scene(engine, started=False) as call:
        reply = call.replies(500)
        call.forgives.next_turn = True
        call.carrier_says({"event": "stop"})
        call.does(f"delete {reply.item}")
        call.resolves(str(reply.ref), "interrupted")
