"""Rules of the session that are no race: what it refuses, passes on, reports, copies, and leaves behind."""

import json

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.adapter import AudioFormat
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Session, Settings

from .scene import Scene, both_engines

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")


# -- what it refuses -------------------------------------------------------------------------------------


def test_an_adapter_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match=r"ABI 99.*bargein generate"):
        Session(msgspec.structs.replace(OPENAI, abi=99), TWILIO)


def test_an_audio_format_only_one_side_speaks_is_refused_and_the_common_ones_are_named() -> None:
    with pytest.raises(UsageError, match=r"'pcm16' is not spoken by both.*common: mulaw"):
        Session(OPENAI, TWILIO, Settings(audio="pcm16"))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="expected table or transitions"):
        Session(OPENAI, TWILIO, engine="steam")


def test_a_second_voice_is_refused_where_the_provider_has_one() -> None:
    one_voice = msgspec.structs.replace(OPENAI, can=OPENAI.can | {"concurrent": "none"})
    session = Session(one_voice, TWILIO)
    with pytest.raises(UsageError, match="one request at a time"):
        session.request(0, beside=True)
    assert session.responses == {} and session.requests_made == 0


def test_positions_are_in_the_transport_s_own_bytes() -> None:
    """A carrier that plays PCM: 48 bytes are one millisecond, and a mark is due every 100 of those."""
    pcm = msgspec.structs.replace(TWILIO, audio={"pcm16": AudioFormat("pcm16", 24_000, 48)})
    session = Session(OPENAI, pcm, Settings(audio="pcm16"))
    start = {"event": "start", "start": {"streamSid": "MZ"}}
    session.transport_received(json.dumps(start), 0)
    delta = {
        "type": "response.output_audio.delta",
        "response_id": "r",
        "item_id": "i",
        "delta": "A" * (48 * 150 * 4 // 3),
    }
    actions = session.provider_received(json.dumps(delta), 0)
    written = [json.loads(each.data) for each in actions if isinstance(each, do.ToTransport)]
    assert [each["event"] for each in written] == ["media", "mark", "media"]
    assert session.items["i"].outcome().received_ms == 150


# -- what it passes on -----------------------------------------------------------------------------------


@both_engines
def test_the_caller_s_voice_goes_to_the_provider_as_it_is(engine: str) -> None:
    with Scene(engine) as call:
        call.caller_says_ms(60)
        appended = call.sent("input_audio_buffer.append")
        assert len(appended) == 3
        other = {"event": "media", "media": {"payload": "AAAA", "track": "outbound"}}
        call.carrier_says(other)  # our own voice, returned
        assert len(call.sent("input_audio_buffer.append")) == 3
        call.loses_provider()
        call.caller_says_ms(20)
        assert len(call.sent("input_audio_buffer.append")) == 3


@both_engines
def test_keys_and_the_opening_of_the_stream_are_told(engine: str) -> None:
    with Scene(engine, started=False) as call:
        call.starts()
        (opened,) = call.told(do.StreamOpened)
        assert (opened.stream, opened.call) == (call.carrier.stream_sid, call.carrier.call_sid)
        call.carrier_says(*call.carrier.caller_presses("7"))
        assert [key.digit for key in call.told(do.KeyPressed)] == ["7"]


@both_engines
def test_what_the_tables_give_no_meaning_to_passes_untouched(engine: str) -> None:
    with Scene(engine) as call:
        message = '{"type":"brand.new",  "x": [1, 2.50]}'
        call.server_says(message)
        passed = call.told(do.Passed)[-1]
        assert (passed.side, passed.kind, passed.data) == ("provider", "brand.new", message)


@both_engines
def test_the_application_s_own_messages_keep_their_place_in_the_order(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(500, finished=False)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}")
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "?"}]}
        call.tells({"type": "conversation.item.create", "item": said})
        kinds = [m.get("type") for m in call.sent_messages if "type" in m]
        assert kinds[-2:] == ["response.cancel", "conversation.item.create"]


def test_settings_for_the_provider_are_written_in_its_own_words() -> None:
    session = Session(OPENAI, TWILIO)
    (action,) = session.configure(0, {"type": "realtime", "instructions": "Be brief."})
    assert isinstance(action, do.ToProvider)
    written = json.loads(action.data)
    assert written["type"] == "session.update"
    assert written["session"] == {"type": "realtime", "instructions": "Be brief."}


@both_engines
def test_what_a_request_may_say_reaches_the_server_and_nothing_else_does(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests(beside=True, instructions="Say hello.")
        call.does(f"create {ref}")
        (create,) = call.sent("response.create")
        assert create["response"] == {
            "conversation": "none",
            "instructions": "Say hello.",
            "metadata": {"client_event_id": ref},
        }


# -- what an interrupt reports -----------------------------------------------------------------------------


@both_engines
def test_an_interrupt_reports_what_was_really_done_and_the_report_is_final(engine: str) -> None:
    """One of each: heard, queued, streaming beside, unborn, unwritten."""
    with Scene(engine) as call:
        done = call.replies(1_000, 400)
        beside = call.replies(300, beside=True, finished=False)
        unborn = call.requests()
        call.does(f"create {unborn}")
        unwritten = call.requests()
        call.hears_ms(500)
        report = call.interrupts()
        call.does(
            "clear",
            f"cancel {beside.response}",
            f"truncate {done.items[0]} 500",
            f"delete {done.items[1]}",
        )
        assert report.covered == [done.ref, beside.ref, unborn, unwritten]
        assert report.cleared
        assert report.withdrawn == [unborn, unwritten]
        assert report.cancelled == [beside.response]
        assert report.left_to_server == report.fenced == []
        assert report.truncated == [(done.items[0], 500)]
        assert report.forgotten == [done.items[1]]
        before = repr([getattr(report, name) for name in type(report).__slots__])
        born = call.creates(unborn)
        call.does(f"cancel {born}")
        call.finishes(born)
        call.finishes(beside.response)
        call.unclaim()
        call.requests()
        call.unclaim()
        call.waits_ms(10_000)  # and this one times out: another decision
        assert repr([getattr(report, name) for name in type(report).__slots__]) == before
        assert call.interrupts().covered == []


@both_engines
def test_an_interrupt_by_the_server_s_vad_reports_what_is_left_to_the_server(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(300, finished=False)
        report = call.interrupts(cause="vad")
        call.does("clear")
        assert report.left_to_server == [reply.response] and report.cancelled == []


@both_engines
def test_an_interrupt_after_the_provider_left_reports_nothing_said_to_it(engine: str) -> None:
    with Scene(engine) as call:
        call.forgives.divergence = True
        call.replies(500)
        call.hears_ms(200)
        call.loses_provider()
        report = call.interrupts()
        call.does("clear")
        assert report.truncated == [] and report.forgotten == report.cancelled == []


@both_engines
def test_a_handle_tells_what_was_heard_of_each_item(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(300, 600, 200)
        call.hears_ms(500)
        call.interrupts()
        call.unclaim()
        resolved = call.resolves(str(reply.ref), "interrupted")
        assert resolved.response == reply.response
        told = [(each.state, each.heard_ms, each.received_ms) for each in resolved.items]
        assert told == [("full", 300, 300), ("partial", 200, 600), ("skipped", 0, 200)]


# -- errors -------------------------------------------------------------------------------------------------


@both_engines
def test_a_fatal_error_that_refuses_a_request_fails_it_and_is_told_as_fatal(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.refuses(ref, code="insufficient_quota")
        call.resolves(ref, "failed", "insufficient_quota")
        assert [(p.code, p.fatal) for p in call.told(do.Problem)] == [("insufficient_quota", True)]


@both_engines
@pytest.mark.parametrize(
    "message",
    [
        {"type": "error", "error": {"code": "teapot", "event_id": "bargein_req_2"}},
        {
            "type": "response.done",
            "response": {
                "id": "resp_x",
                "status": "completed",
                "metadata": {"client_event_id": "bargein_req_2"},
            },
        },
    ],
)
def test_a_request_that_was_never_written_is_not_settled_by_the_server(
    engine: str, message: dict[str, object]
) -> None:
    """It cannot know the name; whatever the message means, the held request is written in its turn."""
    with Scene(engine) as call:
        first = call.requests()
        call.does(f"create {first}")
        held = call.requests()
        assert held == "bargein_req_2"
        call.server_says(message)
        call.is_open(held)
        call.finishes(call.creates(first))
        call.does(f"create {held}")


# -- time, copies, residue -------------------------------------------------------------------------------------


def test_at_rest_nothing_is_due_and_advancing_does_nothing() -> None:
    session = Session(OPENAI, TWILIO)
    assert session.next_deadline_ms is None
    key = session.key()
    assert session.advance(10**9) == [] and session.key() == key


def test_advancing_early_does_nothing() -> None:
    session = Session(OPENAI, TWILIO, Settings(created_ms=1_000))
    session.request(0)
    assert session.next_deadline_ms == 1_000
    assert session.advance(999) == []
    resolved = [each for each in session.advance(1_000) if isinstance(each, do.Resolved)]
    assert [each.verdict for each in resolved] == ["timed_out"]


@both_engines
def test_a_driver_that_comes_late_finds_all_that_was_due(engine: str) -> None:
    """A pause of the process: several items are overdue at once, the later ones before they were seen to start."""
    with Scene(engine, marks_echoed=False) as call:
        call.forgives.next_turn = True
        reply = call.replies(300, 200)
        late = call.session.copy()
        told = late.advance(call.now_ms + 60_000)
        settled = [each.outcome for each in told if isinstance(each, do.ItemSettled)]
        assert [(each.item, each.state) for each in settled] == [
            (item, "full") for item in reply.items
        ]
        assert [each.verdict for each in told if isinstance(each, do.Resolved)] == ["completed"]
        assert late.next_deadline_ms is None


@both_engines
def test_the_same_calls_give_the_same_bytes(engine: str) -> None:
    def plays() -> tuple[list[str], tuple[object, ...]]:
        with Scene(engine) as call:
            reply = call.replies(1_000, 500, finished=False)
            call.hears_ms(430)
            call.caller_speaks()
            call.unclaim()
            call.finishes(reply.response)
            call.unclaim()
        return [json.dumps(m) for m in call.sent_messages], call.session.key()

    assert plays() == plays()


@both_engines
def test_a_copy_is_independent_and_its_key_is_hashable(engine: str) -> None:
    """Every step of every Scene compares a copy; here one goes its own way."""
    with Scene(engine) as call:
        reply = call.replies(1_000)
        call.hears_ms(300)
        twin = call.session.copy()
        assert hash(twin.key()) == hash(call.session.key())
        twin.request(call.now_ms)
        twin.request(call.now_ms)  # held
        twin.interrupt(call.now_ms, reply.ref)
        assert call.session.gate == [] and len(twin.gate) == 1
        assert twin.key() != call.session.key()
        call.hears_ms(700)
        call.item_is(reply.item, "full", 1_000)


@both_engines
def test_a_copy_made_while_marks_are_out_for_settled_speech_is_sound(engine: str) -> None:
    """The clock settled the item, its marks never came, and the item is forgotten."""
    with Scene(engine, marks_echoed=False) as call:
        call.forgives.next_turn = True
        call.replies(300)
        call.waits_ms(5_000)
        assert call.session.copy().key() == call.session.key()


@both_engines
def test_many_interrupted_turns_leave_nothing_behind(engine: str) -> None:
    """I13: after N cycles every map is as after one."""
    with Scene(engine) as call:
        for turn in range(30):
            reply = call.replies(400, 200, finished=turn % 2 == 0)
            call.hears_ms(150)
            call.interrupts()
            call.unclaim()
            if turn % 2:
                call.finishes(reply.response)
                call.unclaim()
            assert not call.session.responses and not call.session.items
            assert call.session.operations == {} and call.session.gate == []
            assert not call.session.playout.queue and not call.session.playout.marks
        assert len(call.session.retired) <= 16
