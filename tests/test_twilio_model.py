"""The model of Twilio Media Streams: golden traces, documented shapes, and nothing it cannot take."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bargein.simulator.buffer import MarksOnClear, PlayoutBuffer
from bargein.simulator.ear import Ear, Segment
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import caller_speech, silence, speech

SID = TwilioCarrier.stream_sid


def media(item: int, start_ms: int, duration_ms: int) -> str:
    return media_of(speech(item, start_ms, duration_ms))


def media_of(audio: bytes) -> str:
    payload = base64.b64encode(audio).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}})


def mark(name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": name}})


CLEAR = json.dumps({"event": "clear", "streamSid": SID})


def marks(messages: list[str]) -> list[dict[str, Any]]:
    parsed = [json.loads(message) for message in messages]
    assert all(message["event"] == "mark" for message in parsed)
    return [message["mark"] for message in parsed]


def names(messages: list[str]) -> list[str]:
    return [echo["name"] for echo in marks(messages)]


def started(
    marks_on_clear: MarksOnClear = "returned_unflagged", marks_echoed: bool = True
) -> TwilioCarrier:
    carrier = TwilioCarrier(marks_on_clear=marks_on_clear, marks_echoed=marks_echoed)
    carrier.start(0)
    return carrier


def sends_item_a(carrier: TwilioCarrier) -> None:
    """1000 ms as 4 × 250 ms, a mark after each."""
    for at_ms in range(0, 1000, 250):
        assert carrier.receive(media(1, at_ms, 250), 0) == []
        assert carrier.receive(mark(f"A:{at_ms + 250}:g1"), 0) == []


@pytest.mark.parametrize(
    ("meaning", "returned"),
    [
        ("returned_unflagged", [{"name": "A:750:g1"}, {"name": "A:1000:g1"}]),
        (
            "returned_flagged",
            [{"name": "A:750:g1", "event": "cleared"}, {"name": "A:1000:g1", "event": "cleared"}],
        ),
        ("dropped", []),
        ("unknown", []),
    ],
)
def test_golden_trace_of_a_clear_while_a_played_mark_is_in_flight(
    meaning: MarksOnClear, returned: list[dict[str, str]]
) -> None:
    """facts/transports.md 16.1: `A:500` played and on its way when the clear is sent."""
    carrier = started(meaning)
    sends_item_a(carrier)
    assert names(carrier.advance(250)) == ["A:250:g1"]
    in_flight = carrier.advance(500)
    assert names(in_flight) == ["A:500:g1"]
    assert marks(carrier.receive(CLEAR, 500)) == returned
    assert carrier.advance(2000) == []
    assert carrier.ear.segments == (Segment(1, 0, 500, 0),)

    assert carrier.receive(media(2, 0, 250), 2000) == []
    assert carrier.receive(mark("B:250:g2"), 2000) == []
    assert carrier.next_event_ms == 2250
    assert names(carrier.advance(2250)) == ["B:250:g2"]
    assert list(carrier.ear.segments)[1:] == [Segment(2, 0, 250, 2000)]
    assert carrier.ear.faults() == [] and carrier.warnings == ()


@pytest.mark.parametrize(
    ("meaning", "shapes"), [("returned_unflagged", 1), ("returned_flagged", 2)]
)
def test_a_flag_tells_played_from_cleared_and_no_flag_does_not(
    meaning: MarksOnClear, shapes: int
) -> None:
    """The difference between Twilio and jambonz, and why a client must remember what it cleared."""
    carrier = started(meaning)
    sends_item_a(carrier)
    echoes = marks(carrier.advance(500) + carrier.receive(CLEAR, 500))
    assert len({tuple({**echo, "name": ""}.items()) for echo in echoes}) == shapes


@pytest.mark.parametrize("returned", [True, False])
def test_where_a_clear_is_undocumented_the_world_decides(returned: bool) -> None:
    """Vonage and Exotel: an explorer must try both."""
    carrier = started("unknown")
    sends_item_a(carrier)
    carrier.receive(CLEAR, 600)
    assert carrier.buffer.undecided == ("A:750:g1", "A:1000:g1")
    expected = ["A:750:g1", "A:1000:g1"] if returned else []
    assert names(carrier.decides(returned)) == expected
    assert carrier.decides(returned) == []


def test_a_mark_comes_back_when_the_audio_before_it_has_played_not_sooner() -> None:
    carrier = started()
    carrier.receive(media(1, 0, 250), 100)
    carrier.receive(mark("m"), 120)
    assert carrier.next_event_ms == 350
    assert carrier.advance(349) == []
    assert names(carrier.advance(350)) == ["m"]
    assert carrier.next_event_ms is None


def test_a_mark_with_nothing_to_play_before_it_comes_back_at_once() -> None:
    carrier = started()
    assert names(carrier.receive(mark("m"), 5)) == ["m"]


def test_marks_come_back_in_order_and_several_may_share_an_instant() -> None:
    carrier = started()
    carrier.receive(media(1, 0, 10), 0)
    for name in "abc":
        carrier.receive(mark(name), 0)
    assert names(carrier.advance(10)) == ["a", "b", "c"]


def test_a_second_clear_returns_nothing_again() -> None:
    carrier = started()
    sends_item_a(carrier)
    assert len(carrier.receive(CLEAR, 10)) == 4
    assert carrier.receive(CLEAR, 10) == []


def test_a_carrier_that_never_echoes_marks_still_plays() -> None:
    """R35: nothing may wait for ever for a mark."""
    carrier = started(marks_echoed=False)
    sends_item_a(carrier)
    assert carrier.next_event_ms is None
    assert carrier.advance(800) == carrier.receive(CLEAR, 800) == []
    assert carrier.ear.heard_ms(1) == 800


def test_the_wire_is_as_documented() -> None:
    """https://www.twilio.com/docs/voice/media-streams/websocket-messages"""
    carrier = TwilioCarrier(custom_parameters={"lang": "en"})
    call = {"accountSid": carrier.account_sid, "callSid": carrier.call_sid}
    connected, start = (json.loads(message) for message in carrier.start(0))
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            **call,
            "streamSid": SID,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"lang": "en"},
        },
        "streamSid": SID,
    }
    frames = [json.loads(message) for message in carrier.caller_says(caller_speech(30), 40)]
    payload = base64.b64encode(caller_speech(20)).decode()
    assert frames[0] == {
        "event": "media",
        "sequenceNumber": "2",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "40", "payload": payload},
        "streamSid": SID,
    }
    assert [frame["media"]["timestamp"] for frame in frames] == ["40", "60"]
    assert base64.b64decode(frames[1]["media"]["payload"]) == caller_speech(10) + silence(10)
    assert [json.loads(message) for message in carrier.receive(mark("m"), 80)] == [
        {"event": "mark", "sequenceNumber": "4", "mark": {"name": "m"}, "streamSid": SID}
    ]
    assert [json.loads(message) for message in carrier.caller_presses("1")] == [
        {
            "event": "dtmf",
            "sequenceNumber": "5",
            "dtmf": {"track": "inbound_track", "digit": "1"},
            "streamSid": SID,
        }
    ]
    assert [json.loads(message) for message in carrier.stop(100)] == [
        {"event": "stop", "sequenceNumber": "6", "stop": call, "streamSid": SID}
    ]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\x00" * 160, 31950),
        ("", 31951),
        ("{", 31951),
        ("[" * 100_000, 31951),
        ("\ud800", 31951),
        ("[]", 31951),
        ("{}", 31951),
        ('{"event": 7}', 31951),
        ({"event": "Clear", "streamSid": SID}, 31951),
        ({"event": "clear"}, 31951),
        ({"event": "clear", "streamSid": "MZ1"}, 31951),
        ({"event": "clear", "streamSid": SID, "mark": {}}, 31951),
        ({"event": "mark", "streamSid": SID}, 31951),
        ({"event": "mark", "streamSid": SID, "mark": {"name": 1}}, 31951),
        ({"event": "mark", "streamSid": SID, "mark": {"name": "m", "x": 1}}, 31951),
        ({"event": "media", "streamSid": SID, "media": []}, 31951),
        ({"event": "media", "streamSid": SID, "media": {"payload": "%"}}, 31951),
        ({"event": "media", "streamSid": SID, "media": {"payload": "é"}}, 31951),
        ({"event": "media", "streamSid": SID, "media": {"payload": "AAA"}}, 31951),
    ],
)
def test_what_twilio_would_not_take_is_a_warning_and_says_nothing(
    message: str | bytes | dict[str, object], code: int
) -> None:
    """Only the account's debugger knows, so a client that sends it must be caught here."""
    carrier = started()
    wire = json.dumps(message) if isinstance(message, dict) else message
    assert carrier.receive(wire, 10) == []
    assert [(warning.code, warning.at_ms) for warning in carrier.warnings] == [(code, 10)]
    assert carrier.buffer.buffered_ms == 0


def test_before_the_stream_starts_no_stream_sid_is_right() -> None:
    """A clear sent before `start` can only carry a guess (facts/transports.md 2.6)."""
    carrier = TwilioCarrier()
    assert carrier.receive(CLEAR, 0) == []
    assert carrier.warnings[0].code == 31951


def test_more_than_ten_minutes_is_discarded_and_warned_of_once() -> None:
    """https://www.twilio.com/docs/api/errors/31931"""
    carrier = started()
    minute = media_of(silence(60_000))
    for _ in range(12):
        carrier.receive(minute, 0)
    assert carrier.buffer.buffered_ms == 600_000
    assert [warning.code for warning in carrier.warnings] == [31931]


def test_after_the_caller_hung_up_nothing_plays_and_nothing_comes_back() -> None:
    carrier = started()
    sends_item_a(carrier)
    assert len(carrier.stop(300)) == 2  # the mark at 250 ms, and `stop`
    assert carrier.advance(5000) == carrier.plays(500) == carrier.stop(5000) == []
    assert carrier.receive(mark("m"), 5000) == carrier.receive(b"", 5000) == []
    assert carrier.ear.heard_ms(1) == 300
    with pytest.raises(RuntimeError, match="not open"):
        carrier.caller_says(caller_speech(20), 5000)


def test_a_stream_starts_once() -> None:
    carrier = started()
    with pytest.raises(RuntimeError, match="already started"):
        carrier.start(1)


def test_order_can_be_explored_without_a_clock() -> None:
    """An explorer chooses what happens next; it does not wait for it."""
    carrier = started()
    sends_item_a(carrier)
    assert carrier.plays(100) == []
    assert names(carrier.plays_to_next_mark()) == ["A:250:g1"]
    assert names(carrier.plays_to_next_mark()) == ["A:500:g1"]
    assert carrier.ear.heard_ms(1) == 500
    assert names(carrier.receive(CLEAR, 0)) == ["A:750:g1", "A:1000:g1"]
    carrier.receive(media(2, 0, 40), 0)
    assert carrier.plays_to_next_mark() == []  # no mark waits: all of it plays
    assert carrier.ear.heard_ms(2) == 40
    assert carrier.plays_to_next_mark() == []


def test_a_copy_goes_its_own_way_and_equal_histories_have_equal_keys() -> None:
    carrier = started()
    sends_item_a(carrier)
    carrier.advance(300)
    twin = carrier.copy()
    assert twin.key() == carrier.key() and hash(twin.key()) == hash(carrier.key())
    assert names(twin.receive(CLEAR, 300)) == ["A:500:g1", "A:750:g1", "A:1000:g1"]
    assert twin.key() != carrier.key()
    assert carrier.buffer.buffered_ms == 700
    assert names(carrier.advance(1000)) == ["A:500:g1", "A:750:g1", "A:1000:g1"]
    assert (carrier.ear.heard_ms(1), twin.ear.heard_ms(1)) == (1000, 300)


def test_a_mark_inside_a_millisecond_comes_back_when_that_millisecond_is_over() -> None:
    """Providers cut where they like; a mark never runs ahead of the audio before it."""
    audio = speech(1, 0, 2)
    buffer = PlayoutBuffer(Ear())
    buffer.put(audio[:11])
    assert buffer.mark("m") == []
    buffer.put(audio[11:])
    assert buffer.next_mark_in_ms == 2
    assert buffer.play(1) == []
    assert [(echo.name, echo.at_ms) for echo in buffer.play(1)] == [("m", 2)]
    assert buffer.ear.faults() == []


junk_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
shaped = st.fixed_dictionaries(
    {"event": st.sampled_from(["media", "mark", "clear", "stop"]) | junk_json},
    optional={
        "streamSid": st.just(SID) | junk_json,
        "media": st.fixed_dictionaries(
            {"payload": st.sampled_from(["", "/w==", "//8="]) | junk_json}
        ),
        "mark": st.fixed_dictionaries({"name": junk_json}) | junk_json,
    },
).map(json.dumps)
messages = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=20),
    junk_json.map(json.dumps),
    shaped,
    st.builds(media, st.integers(1, 2), st.integers(0, 50), st.integers(0, 50)),
    st.sampled_from("abc").map(mark),
    st.just(CLEAR),
)


@given(
    steps=st.lists(st.tuples(messages, st.integers(-5, 60)), max_size=25),
    meaning=st.sampled_from(["returned_unflagged", "returned_flagged", "dropped", "unknown"]),
    echoed=st.booleans(),
    stop_at=st.integers(0, 30),
)
def test_no_sequence_of_messages_raises_and_only_marks_that_were_sent_come_back(
    steps: list[tuple[str | bytes, int]], meaning: MarksOnClear, echoed: bool, stop_at: int
) -> None:
    """Always: marks in the order sent, each at most once, no more heard than time has passed."""
    carrier = TwilioCarrier(marks_on_clear=meaning, marks_echoed=echoed)
    carrier.start(0)
    now_ms, back = 0, list[str]()
    for at, (message, wait_ms) in enumerate(steps):
        now_ms += wait_ms
        if at == stop_at:
            carrier.stop(now_ms)
        back += names(carrier.receive(message, now_ms))
        due_ms = carrier.next_event_ms
        assert due_ms is None or due_ms > now_ms
        hash(carrier.key())
    back += names(carrier.advance(now_ms + 10_000))
    assert carrier.buffer.pending_marks == [] and carrier.buffer.buffered_ms == 0
    sent = [name for message, _ in steps for name in "abc" if message == mark(name)]
    remaining = iter(sent)
    assert all(name in remaining for name in back if name in "abc")


@pytest.mark.parametrize(("meaning", "count"), [("returned_unflagged", 4), ("dropped", 0)])
def test_sometimes_marks_come_back_after_a_clear_and_sometimes_they_do_not(
    meaning: MarksOnClear, count: int
) -> None:
    """The property above is not true for want of marks."""
    carrier = started(meaning)
    sends_item_a(carrier)
    assert len(carrier.receive(CLEAR, 10)) == count
