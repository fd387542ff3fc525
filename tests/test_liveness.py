"""Every silence of the server is bounded, and every refusal settles what it names and nothing else."""

import json

import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Session, Settings

from .scene import Scene, both_engines

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")
SPEECH = "f39/" * 200  # 75 ms of mu-law


@both_engines
def test_a_server_that_promised_to_cancel_and_does_not_is_told_to_by_name(engine: str) -> None:
    """Once, and the next request waits for its last word: cancel and create must not leave together (I9)."""
    with Scene(engine, settings=Settings(settled_ms=1_000)) as call:
        first = call.replies(5_000, finished=False)
        call.hears_ms(400)
        call.server_says(
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "u"}
        )
        call.does("clear", f"truncate {first.item} 400")
        second = call.requests()
        call.waits_ms(999)
        call.does()
        call.waits_ms(1)
        call.does(f"cancel {first.response}")
        call.finishes(first.response)
        call.does(f"create {second}")


@both_engines
def test_a_response_whose_last_word_is_lost_ends_by_the_clock(engine: str) -> None:
    """What has arrived is heard to its end; the slot is free when the cancel is not answered either (I12)."""
    settings = Settings(stalled_ms=2_000, settled_ms=500)
    session = started(engine, settings)
    ref, _ = session.request(0)
    say(session, "response.created", 0, response={"id": "r", "metadata": {"client_event_id": ref}})
    say(
        session,
        "response.output_audio.delta",
        1_000,
        response_id="r",
        item_id="i",
        delta="f39/f39/f39/",
    )
    assert session.advance(2_500) == []
    assert wire(session.advance(3_000)) == ["response.cancel", "mark"]
    mark = session.playout.marks[0][0]
    heard = session.transport_received(json.dumps({"event": "mark", "mark": {"name": mark}}), 3_010)
    (resolved,) = [a for a in heard if isinstance(a, do.Resolved)]
    assert (resolved.verdict, resolved.items[0].state) == ("completed", "full")
    _, held = session.request(3_020)
    assert wire(held) == []
    assert wire(session.advance(3_500)) == ["response.create"]


@both_engines
def test_a_response_that_is_named_and_never_heard_of_again_times_out(engine: str) -> None:
    session = started(engine, Settings(stalled_ms=2_000))
    ref, _ = session.request(0)
    say(session, "response.created", 0, response={"id": "r", "metadata": {"client_event_id": ref}})
    actions = session.advance(2_000)
    assert wire(actions) == ["response.cancel"]
    assert [a.verdict for a in actions if isinstance(a, do.Resolved)] == ["timed_out"]


@both_engines
def test_r11_an_answer_taken_for_a_request_s_is_given_back_when_its_own_is_born(
    engine: str,
) -> None:
    """The server's own reply whose created event was lost, while a request of ours pends: both are heard."""
    session = started(engine, Settings())
    ref, _ = session.request(0)
    say(session, "response.output_audio.delta", 10, response_id="v", item_id="iv", delta=SPEECH)
    mine = {"id": "a", "metadata": {"client_event_id": ref}}
    assert wire(say(session, "response.created", 20, response=mine)) == []
    say(session, "response.output_audio.delta", 30, response_id="a", item_id="ia", delta=SPEECH)
    done = {"status": "completed", "metadata": None}
    say(session, "response.done", 40, response={"id": "v", **done})
    told = say(session, "response.done", 50, response={"id": "a", **done})
    while session.playout.marks:
        mark = {"event": "mark", "mark": {"name": session.playout.marks[0][0]}}
        told += session.transport_received(json.dumps(mark), 60)
    verdicts = {a.ref: (a.response, a.verdict) for a in told if isinstance(a, do.Resolved)}
    assert verdicts == {"auto_1": ("v", "completed"), ref: ("a", "completed")}
    assert not session.responses


@both_engines
def test_a_guess_that_was_confirmed_is_no_guess_any_more(engine: str) -> None:
    """Content overtakes its created event; a second birth under the same name is a ghost, not the owner."""
    session = started(engine, Settings())
    ref, _ = session.request(0)
    say(session, "response.output_audio.delta", 10, response_id="a", item_id="ia", delta=SPEECH)
    mine = {"metadata": {"client_event_id": ref}}
    assert wire(say(session, "response.created", 20, response={"id": "a", **mine})) == []
    ghost = say(session, "response.created", 30, response={"id": "b", **mine})
    assert wire(ghost) == ["response.cancel"]
    assert session.by_server["a"].ref == ref
    assert session.responses[ref].state == "streaming"


@both_engines
def test_r09_a_ghost_taken_for_another_s_is_still_cancelled_when_it_is_named(engine: str) -> None:
    session = started(engine, Settings())
    ref, _ = session.request(0)
    session.interrupt(5)
    first = say(
        session, "response.output_audio.delta", 10, response_id="v", item_id="iv", delta=SPEECH
    )
    assert wire(first) == ["response.cancel"]
    mine = {"id": "a", "metadata": {"client_event_id": ref}}
    assert wire(say(session, "response.created", 20, response=mine)) == ["response.cancel"]
    for server_id in ("v", "a"):
        ended = {"id": server_id, "status": "cancelled"}
        say(session, "response.done", 30, response=ended)
    say(session, "conversation.item.deleted", 40, item_id="iv")
    assert not session.by_server


@both_engines
@pytest.mark.parametrize("echo", [{}, {"audio": {"input": {"turn_detection": None}}}])
def test_r50_what_we_asked_of_turns_holds_where_the_server_does_not_repeat_it(
    engine: str, echo: dict[str, object]
) -> None:
    """Told not to interrupt, the server will not cancel: with barge-in wanted all the same, we must."""
    session = started(engine, Settings(barge_in="always"))
    turns = {"type": "server_vad", "interrupt_response": False}
    session.configure(0, {"type": "realtime", "audio": {"input": {"turn_detection": turns}}})
    say(session, "session.created", 1, session=echo)
    ref, _ = session.request(2)
    mine = {"id": "a", "metadata": {"client_event_id": ref}}
    say(session, "response.created", 3, response=mine)
    assert wire(say(session, "input_audio_buffer.speech_started", 4)) == ["response.cancel"]


@both_engines
def test_refused_settings_are_fatal(engine: str) -> None:
    """Without them the provider may speak another audio format, which would be noise in somebody's ear."""
    session = started(engine, Settings())
    (asked,) = session.configure(0, {"type": "realtime", "nonsense": 1})
    assert isinstance(asked, do.ToProvider)
    op = json.loads(asked.data)["event_id"]
    told = say(
        session, "error", 10, error={"code": "unknown_parameter", "message": "No.", "event_id": op}
    )
    assert [(p.code, p.fatal) for p in told if isinstance(p, do.Problem)] == [
        ("settings_refused", True)
    ]


@both_engines
def test_an_error_about_the_application_s_own_message_settles_no_request_of_ours(
    engine: str,
) -> None:
    session = started(engine, Settings())
    ref, _ = session.request(0)
    refused = {
        "code": "conversation_already_has_active_response",
        "message": "",
        "event_id": "app_1",
    }
    say(session, "error", 10, error=refused)
    assert session.responses[ref].verdict is None


def test_a_request_that_cannot_be_said_is_refused_when_it_is_asked() -> None:
    with pytest.raises(UsageError, match="cannot be said"):
        started("table", Settings()).request(0, input=object())


def started(engine: str, settings: Settings) -> Session:
    session = Session(OPENAI, TWILIO, settings, engine=engine)
    session.transport_received('{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1"}}', 0)
    return session


def say(call: Session, kind: str, now_ms: int, **fields: object) -> list[do.Action]:
    return call.provider_received(json.dumps({"type": kind, **fields}), now_ms)


def wire(actions: list[do.Action]) -> list[str]:
    """The kinds of the messages that go out, in order; audio aside."""
    sent = [json.loads(a.data) for a in actions if isinstance(a, do.ToProvider | do.ToTransport)]
    return [message.get("type", message.get("event")) for message in sent]
