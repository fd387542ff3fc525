"""The models of the carriers beside Twilio: documented shapes, limits, and what a clear does to marks.

Shapes and golden traces are those of facts/transports.md 3 to 7 and 16.1.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bargein.simulator.buffer import MarksOnClear, PlayoutBuffer
from bargein.simulator.carrier import BYTES_PER_MS
from bargein.simulator.carrier_facts import played, readings
from bargein.simulator.carriers import CARRIERS, AnyCarrier, entry
from bargein.simulator.ear import Ear, Segment
from bargein.simulator.facts import Order, Returned
from bargein.simulator.jambonz import JambonzCarrier
from bargein.simulator.peers import Carrier, CarrierModel
from bargein.simulator.plivo import PlivoCarrier
from bargein.simulator.signalwire import SignalWireCarrier
from bargein.simulator.telnyx import TelnyxCarrier
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import caller_speech, silence, speech
from bargein.simulator.vonage import VonageCarrier
from bargein.simulator.worlds import PLANS

Json = dict[str, Any]

TELNYX = TelnyxCarrier.stream_id
SIGNALWIRE = SignalWireCarrier.stream_sid
PLIVO = PlivoCarrier.stream_id


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def parsed(messages: list[str]) -> list[Json]:
    return [json.loads(message) for message in messages]


class App:
    """What an app sends to one carrier: literally the JSON of the facts."""

    def __init__(
        self,
        make: Callable[..., AnyCarrier],
        audio: Callable[[bytes], list[str | bytes]],
        mark: Callable[[str], Json],
        clear: Json,
    ) -> None:
        self.make, self.clear = make, json.dumps(clear)
        self._audio, self._mark = audio, mark

    def call(self, **fields: object) -> "Call":
        carrier = self.make(**fields)
        carrier.start(0)
        return Call(self, carrier)

    def audio(self, audio: bytes) -> list[str | bytes]:
        return self._audio(audio)

    def mark(self, name: str) -> str:
        return json.dumps(self._mark(name))


class Call:
    """One call with that carrier; what the carrier says is parsed."""

    def __init__(self, app: App, carrier: AnyCarrier) -> None:
        self.app, self.carrier = app, carrier

    def plays(self, item: int, from_ms: int, duration_ms: int, now_ms: int = 0) -> list[Json]:
        audio = speech(item, from_ms, duration_ms, self.carrier.ear.bytes_per_ms)
        said = [self.carrier.receive(each, now_ms) for each in self.app.audio(audio)]
        return parsed([message for messages in said for message in messages])

    def marks(self, name: str, now_ms: int = 0) -> list[Json]:
        return parsed(self.carrier.receive(self.app.mark(name), now_ms))

    def clears(self, now_ms: int) -> list[Json]:
        return parsed(self.carrier.receive(self.app.clear, now_ms))

    def until(self, now_ms: int) -> list[Json]:
        return parsed(self.carrier.advance(now_ms))

    def sends_item(self, piece_ms: int = 250) -> None:
        """Item A in four pieces, a mark after each."""
        for at_ms in range(0, 4 * piece_ms, piece_ms):
            assert self.plays(1, at_ms, piece_ms) == []
            assert self.marks(f"A:{at_ms + piece_ms}:g1") == []


def json_media(event: str, **fields: str) -> Callable[[bytes], list[str | bytes]]:
    return lambda audio: [json.dumps({"event": event, **fields, "media": {"payload": b64(audio)}})]


def frames_of(frame_bytes: int) -> Callable[[bytes], list[str | bytes]]:
    return lambda audio: [audio[at : at + frame_bytes] for at in range(0, len(audio), frame_bytes)]


def plivo_audio(audio: bytes) -> list[str | bytes]:
    media = {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": b64(audio)}
    return [json.dumps({"event": "playAudio", "media": media})]


def like_twilio(make: Callable[..., AnyCarrier], sid: str) -> App:
    return App(
        make,
        json_media("media", streamSid=sid),
        lambda name: {"event": "mark", "streamSid": sid, "mark": {"name": name}},
        {"event": "clear", "streamSid": sid},
    )


APPS = {
    "twilio": like_twilio(TwilioCarrier, TwilioCarrier.stream_sid),
    "signalwire": like_twilio(SignalWireCarrier, SIGNALWIRE),
    "telnyx": App(
        TelnyxCarrier,
        json_media("media"),
        lambda name: {"event": "mark", "mark": {"name": name}},
        {"event": "clear"},
    ),
    "plivo": App(
        PlivoCarrier,
        plivo_audio,
        lambda name: {"event": "checkpoint", "streamId": PLIVO, "name": name},
        {"event": "clearAudio", "streamId": PLIVO},
    ),
    "jambonz": App(
        JambonzCarrier,
        lambda audio: [audio],
        lambda name: {"type": "mark", "data": {"name": name}},
        {"type": "killAudio"},
    ),
    "vonage": App(
        VonageCarrier,
        frames_of(640),
        lambda name: {"action": "notify", "payload": {"mark": name}},
        {"action": "clear"},
    ),
}
OURS = [name for name in APPS if name != "twilio"]


# -- Golden traces -----------------------------------------------------------------------------------


def twilio_mark(name: str, number: int) -> Json:
    sid = TwilioCarrier.stream_sid
    number_ = {"sequenceNumber": str(number)}
    return {"event": "mark", **number_, "streamSid": sid, "mark": {"name": name}}


def telnyx_mark(name: str, number: int) -> Json:
    number_ = {"sequence_number": str(number)}
    return {"event": "mark", **number_, "stream_id": TELNYX, "mark": {"name": name}}


def signalwire_mark(name: str, _: int) -> Json:
    return {"event": "mark", "streamSid": SIGNALWIRE, "mark": {"name": name}}


def plivo_mark(name: str, number: int) -> Json:
    return {"event": "playedStream", "sequenceNumber": number, "streamId": PLIVO, "name": name}


def jambonz_mark(name: str, _: int) -> Json:
    return {"type": "mark", "data": {"name": name, "event": "playout"}}


def vonage_mark(name: str, _: int) -> Json:
    return {"event": "websocket:notify", "payload": {"mark": name}}


def jambonz_cleared(name: str) -> Json:
    return {"type": "mark", "data": {"name": name, "event": "cleared"}}


GOLDEN: dict[str, tuple[int, Callable[[str, int], Json], list[Json]]] = {
    "twilio": (250, twilio_mark, [twilio_mark("A:750:g1", 4), twilio_mark("A:1000:g1", 5)]),
    "telnyx": (250, telnyx_mark, [telnyx_mark("A:750:g1", 4), telnyx_mark("A:1000:g1", 5)]),
    "signalwire": (
        250,
        signalwire_mark,
        [signalwire_mark("A:750:g1", 0), signalwire_mark("A:1000:g1", 0)],
    ),
    "plivo": (
        250,
        plivo_mark,
        [{"event": "clearedAudio", "sequenceNumber": 4, "streamId": PLIVO}],
    ),
    "jambonz": (250, jambonz_mark, [jambonz_cleared("A:750:g1"), jambonz_cleared("A:1000:g1")]),
    "vonage": (240, vonage_mark, [{"event": "websocket:cleared"}]),
}
"""The length of a piece (Vonage takes whole frames), how a mark is spelled, and all that a clear returns."""


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_trace_of_a_clear_while_a_played_mark_is_in_flight(name: str) -> None:
    """facts/transports.md 16.1: `A:500` has played and is on its way to us when the clear is sent."""
    ms, mark, cleared = GOLDEN[name]
    call = APPS[name].call()
    ear = call.carrier.ear
    call.sends_item(ms)
    assert call.until(ms) == [mark(f"A:{ms}:g1", 2)]
    assert call.until(2 * ms) == [mark(f"A:{2 * ms}:g1", 3)]
    assert call.clears(2 * ms) == cleared
    assert call.until(2000) == []
    assert list(ear.segments) == [Segment(1, 0, 2 * ms, 0)]

    assert call.plays(2, 0, ms, 2000) == []
    assert call.marks("B:1:g2", 2000) == []
    assert call.carrier.next_event_ms == 2000 + ms
    assert call.until(2000 + ms) == [mark("B:1:g2", 4 + len(cleared))]
    assert list(ear.segments)[1:] == [Segment(2, 0, ms, 2000)]
    assert ear.faults() == [] and call.carrier.warnings == ()


NATURE: dict[str, MarksOnClear] = {
    "twilio": "returned_unflagged",
    "telnyx": "returned_unflagged",
    "signalwire": "returned_unflagged",
    "plivo": "dropped",
    "jambonz": "returned_flagged",
    "vonage": "unknown",
}


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("meaning", sorted(set(NATURE.values())))
def test_a_mark_after_a_clear_means_one_of_four_things(name: str, meaning: MarksOnClear) -> None:
    """facts/transports.md 1. Each has its own nature; told another, a model behaves so, and no clear returns more."""
    assert APPS[name].call().carrier.buffer.marks_on_clear == NATURE[name]
    call = APPS[name].call(marks_on_clear=meaning)
    assert call.plays(1, 0, 240) == call.marks("m") == []
    acknowledged = 1 if name in ("plivo", "vonage") else 0
    back = call.clears(100)
    assert len(back) == acknowledged + meaning.startswith("returned")
    if meaning != "unknown":
        assert parsed(call.carrier.decides(True)) == []
    else:
        twin = call.carrier.copy()
        assert len(call.carrier.decides(True)) == 1
        assert call.carrier.decides(True) == twin.decides(False) == twin.decides(True) == []


@pytest.mark.parametrize("name", OURS)
def test_only_jambonz_tells_a_cleared_mark_from_a_played_one(name: str) -> None:
    """Everywhere else a client must remember what it cleared."""
    call = APPS[name].call(marks_on_clear="returned_flagged")
    returned = entry(name).returned
    call.plays(1, 0, 40)
    call.marks("played")
    call.plays(1, 40, 20)
    call.marks("cleared")
    said = call.carrier.advance(40) + call.carrier.receive(call.app.clear, 40)
    assert [returned(message) for message in said if returned(message).mark] == [
        Returned("mark", "played"),
        Returned("cleared_mark" if name == "jambonz" else "mark", "cleared"),
    ]


# -- Shapes --------------------------------------------------------------------------------------------


def test_telnyx_speaks_as_documented() -> None:
    """facts/transports.md 3"""
    carrier = TelnyxCarrier(custom_parameters={"lang": "en"})
    connected, start = parsed(carrier.start(0))
    assert connected == {"event": "connected", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": carrier.user_id,
            "call_control_id": carrier.call_control_id,
            "call_session_id": carrier.call_session_id,
            "from": "+15550100",
            "to": "+15550199",
            "tags": [],
            "client_state": "",
            "custom_parameters": {"lang": "en"},
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
        "stream_id": TELNYX,
    }
    payload = b64(caller_speech(20))
    assert parsed(carrier.caller_says(caller_speech(20), 40)) == [
        {
            "event": "media",
            "sequence_number": "2",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "40", "payload": payload},
            "stream_id": TELNYX,
        }
    ]
    carrier.advance(60)
    assert parsed(carrier.caller_presses("1")) == [
        {
            "event": "dtmf",
            "stream_id": TELNYX,
            "occurred_at": "2026-01-01T00:00:00.060000Z",
            "sequence_number": "3",
            "dtmf": {"digit": "1"},
        }
    ]
    assert parsed(carrier.receive("{", 70)) == [
        {
            "event": "error",
            "payload": {
                "code": 100003,
                "title": "malformed_frame",
                "detail": "Input data was truncated",
            },
            "stream_id": TELNYX,
        }
    ]
    call = {"user_id": carrier.user_id, "call_control_id": carrier.call_control_id}
    assert parsed(carrier.stop(100)) == [
        {"event": "stop", "sequence_number": "4", "stop": call, "stream_id": TELNYX}
    ]


def test_signalwire_speaks_as_documented() -> None:
    """facts/transports.md 6: no stream id on `start` and `media`, no number on `mark`, no body in `stop`."""
    carrier = SignalWireCarrier(audio="pcm16", custom_parameters={"lang": "en"})
    connected, start = parsed(carrier.start(0))
    assert connected == {"event": "connected", "protocol": "Call", "version": "0.2.0"}
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "streamSid": SIGNALWIRE,
            "accountSid": carrier.account_sid,
            "callSid": carrier.call_sid,
            "tracks": ["inbound"],
            "customParameters": {"lang": "en"},
            "mediaFormat": {"encoding": "audio/x-L16", "sampleRate": 24000, "channels": 1},
        },
    }
    payload = b64(caller_speech(20, 48))
    assert parsed(carrier.caller_says(caller_speech(20, 48), 0)) == [
        {
            "event": "media",
            "sequenceNumber": "2",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload},
        }
    ]
    assert parsed(carrier.caller_presses("1")) == [
        {
            "event": "dtmf",
            "sequenceNumber": "3",
            "dtmf": {"digit": "1", "duration": 200},
            "streamSid": SIGNALWIRE,
        }
    ]
    assert parsed(carrier.stop(100)) == [{"event": "stop", "sequenceNumber": "4"}]


def test_plivo_speaks_as_documented() -> None:
    """facts/transports.md 4: no `connected`, numbers that are numbers, the time of day as text, and no `stop`."""
    carrier = PlivoCarrier(extra_headers={"lang": "en", "tier": "2"})
    assert parsed(carrier.start(0)) == [
        {
            "event": "start",
            "sequenceNumber": 1,
            "start": {
                "callId": carrier.call_id,
                "streamId": PLIVO,
                "accountId": carrier.account_id,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
            },
            "extra_headers": "lang=en;tier=2",
        }
    ]
    assert parsed(carrier.caller_says(caller_speech(20), 40)) == [
        {
            "event": "media",
            "sequenceNumber": 2,
            "streamId": PLIVO,
            "media": {
                "track": "inbound",
                "chunk": 1,
                "timestamp": "1767225600040",
                "payload": b64(caller_speech(20)),
            },
            "extra_headers": "lang=en;tier=2",
        }
    ]
    assert parsed(carrier.caller_presses("1")) == [
        {
            "event": "dtmf",
            "sequenceNumber": 3,
            "streamId": PLIVO,
            "dtmf": {"track": "inbound", "digit": "1", "timestamp": "1767225600000"},
        }
    ]
    assert carrier.stop(100) == []
    assert not carrier.is_open


def test_jambonz_speaks_as_documented() -> None:
    """facts/transports.md 7: text without a type, then bare PCM16."""
    carrier = JambonzCarrier(metadata={"lang": "en"})
    assert parsed(carrier.start(0)) == [
        {
            "sampleRate": 8000,
            "mixType": "mono",
            "callSid": carrier.call_sid,
            "accountSid": carrier.account_sid,
            "direction": "inbound",
            "from": "+15550100",
            "to": "+15550199",
            "lang": "en",
        }
    ]
    voice = caller_speech(30, 16)
    assert carrier.caller_says(voice, 0) == [voice[:320], voice[320:] + silence(10, 16)]
    assert parsed(carrier.caller_presses("2")) == [
        {"event": "dtmf", "dtmf": "2", "duration": "1600"}
    ]
    assert carrier.stop(100) == []
    silent = JambonzCarrier(passes_keys=False)
    silent.start(0)
    assert silent.caller_presses("2") == []


def test_vonage_speaks_as_documented() -> None:
    """facts/transports.md 5: headers flattened into the first text, frames of 20 ms, no ids."""
    carrier = VonageCarrier(headers={"lang": "en"})
    assert parsed(carrier.start(0)) == [
        {
            "event": "websocket:connected",
            "content-type": "audio/l16;rate=16000",
            "lang": "en",
        }
    ]
    voice = caller_speech(40, 32)
    assert carrier.caller_says(voice, 0) == [voice[:640], voice[640:]]
    assert parsed(carrier.caller_presses("5")) == [
        {"event": "websocket:dtmf", "digit": "5", "duration": 260}
    ]
    assert carrier.stop(100) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"mark": "A:1"},
        {"mark": "{A"},
        {"mark": ""},
        {"name": "A:1"},
        {"mark": "A:1", "generation": 2},
        {"mark": {"deep": [1, None, "é"]}},
        {},
    ],
)
def test_vonage_returns_the_same_payload_whatever_object_it_is(payload: Json) -> None:
    carrier = APPS["vonage"].call()
    carrier.marks("first")
    carrier.plays(1, 0, 20)
    notify = json.dumps({"action": "notify", "payload": payload})
    assert carrier.carrier.receive(notify, 0) == []
    assert carrier.until(20) == [{"event": "websocket:notify", "payload": payload}]


# -- What is taken, and what is not ----------------------------------------------------------------------


TAKEN: list[tuple[str, Json | bytes]] = [
    ("telnyx", {"event": "media", "media": {"payload": b64(silence(20))}}),
    ("telnyx", {"event": "media", "media": {"payload": b64(silence(30_000))}}),
    ("telnyx", {"event": "clear"}),
    ("signalwire", {"event": "dtmf", "streamSid": SIGNALWIRE, "dtmf": {"digit": "#"}}),
    (
        "plivo",
        {
            "event": "playAudio",
            "streamId": PLIVO,
            "media": {
                "contentType": "audio/x-mulaw",
                "sampleRate": "8000",
                "payload": b64(silence(20)),
            },
        },
    ),
    ("jambonz", silence(7, 16)),
    ("jambonz", {"type": "clearMarks"}),
    ("jambonz", {"type": "disconnect"}),
    ("vonage", silence(20, 32)),
]
REFUSED: list[tuple[str, Json | bytes | str, int]] = [
    *[(name, "{", 100003 if name == "telnyx" else 0) for name in OURS],
    *[(name, '{"event": "nothing"}', 100003 if name == "telnyx" else 0) for name in OURS],
    *[(name, "[" * 100_000, 100003 if name == "telnyx" else 0) for name in OURS],
    *[(name, "\ud800", 100003 if name == "telnyx" else 0) for name in OURS],
    *[(name, silence(20), 100003 if name == "telnyx" else 0) for name in OURS[:3]],
    ("telnyx", {"event": "clear", "stream_id": TELNYX}, 100003),
    ("telnyx", {"event": "mark", "mark": {"name": 1}}, 100003),
    ("telnyx", {"event": "media", "media": {"payload": "%"}}, 100003),
    ("telnyx", {"event": "media", "media": {"payload": b64(silence(19))}}, 100004),
    ("telnyx", {"event": "media", "media": {"payload": b64(silence(30_001))}}, 100004),
    ("signalwire", {"event": "clear"}, 0),
    ("signalwire", {"event": "clear", "streamSid": "other"}, 0),
    ("signalwire", {"event": "dtmf", "streamSid": SIGNALWIRE, "dtmf": {"digit": "12"}}, 0),
    ("plivo", {"event": "clearAudio"}, 0),
    ("plivo", {"event": "clearAudio", "streamId": "other"}, 0),
    ("plivo", {"event": "checkpoint", "streamId": PLIVO, "checkpoint": {"name": "m"}}, 0),
    ("plivo", {"event": "playAudio", "media": {"payload": b64(silence(20))}}, 0),
    (
        "plivo",
        {
            "event": "playAudio",
            "media": {
                "contentType": "audio/x-l16",
                "sampleRate": 8000,
                "payload": b64(silence(20)),
            },
        },
        0,
    ),
    (
        "plivo",
        {
            "event": "playAudio",
            "streamId": "other",
            "media": {
                "contentType": "audio/x-mulaw",
                "sampleRate": 8000,
                "payload": b64(silence(20)),
            },
        },
        0,
    ),
    ("jambonz", {"type": "mark", "name": "m"}, 0),
    ("jambonz", {"type": "playAudio", "data": {"audioContent": "", "audioContentType": "raw"}}, 0),
    ("jambonz", {"event": "killAudio"}, 0),
    ("vonage", silence(20, 16), 0),
    ("vonage", silence(40, 32), 0),
    ("vonage", b"", 0),
    ("vonage", {"action": "notify", "payload": "m"}, 0),
    ("vonage", {"action": "clear", "id": "1"}, 0),
]


def wire(message: Json | bytes | str) -> str | bytes:
    return json.dumps(message) if isinstance(message, dict) else message


@pytest.mark.parametrize(("name", "message"), TAKEN)
def test_what_a_carrier_takes_is_no_warning(name: str, message: Json | bytes) -> None:
    carrier = APPS[name].call().carrier
    assert carrier.receive(wire(message), 10) == []
    assert carrier.warnings == ()


@pytest.mark.parametrize(("name", "message", "code"), REFUSED)
def test_what_a_carrier_would_not_take_is_a_warning(
    name: str, message: Json | bytes | str, code: int
) -> None:
    """Nothing of it is played, and only Telnyx says so on the socket."""
    carrier = APPS[name].call().carrier
    said = parsed(carrier.receive(wire(message), 10))
    assert [each["payload"]["code"] for each in said] == ([code] if name == "telnyx" else [])
    assert [(warning.code, warning.at_ms) for warning in carrier.warnings] == [(code, 10)]
    assert carrier.buffer.buffered_ms == 0


@pytest.mark.parametrize("name", ["signalwire", "plivo"])
def test_before_the_stream_starts_no_stream_id_is_right(name: str) -> None:
    carrier = APPS[name].make()
    assert carrier.receive(APPS[name].clear, 0) == []
    assert len(carrier.warnings) == 1


@pytest.mark.parametrize(
    ("audio", "frame_bytes"), [("pcm16_8k", 320), ("pcm16_16k", 640), ("pcm16", 960)]
)
def test_vonage_frames_are_20_ms_at_every_rate(audio: str, frame_bytes: int) -> None:
    carrier = VonageCarrier(audio=audio)
    [connected] = parsed(carrier.start(0))
    assert connected["content-type"] == f"audio/l16;rate={frame_bytes * 25}"
    for length in (frame_bytes - 2, frame_bytes, frame_bytes + 2):
        carrier.receive(bytes(length), 0)
    assert carrier.buffer.buffered_ms == 20
    assert len(carrier.warnings) == 2


def test_vonage_holds_3072_frames() -> None:
    carrier = APPS["vonage"].call().carrier
    for _ in range(3074):
        carrier.receive(silence(20, 32), 0)
    assert carrier.buffer.buffered_ms == 3072 * 20
    assert len(carrier.warnings) == 1


def test_jambonz_drops_the_31st_mark_without_a_word() -> None:
    """It was never out, so neither playing nor a kill returns it."""
    call = APPS["jambonz"].call()
    call.plays(1, 0, 20)
    for number in range(32):
        assert call.marks(f"m{number}") == []
    assert len(call.carrier.warnings) == 1
    assert [back["data"]["name"] for back in call.until(20)] == [f"m{n}" for n in range(30)]
    assert call.marks("next") == [jambonz_mark("next", 0)]


def test_jambonz_forgets_marks_and_plays_on() -> None:
    call = APPS["jambonz"].call()
    call.plays(1, 0, 20)
    call.marks("m")
    call.plays(1, 20, 20)
    assert call.carrier.receive('{"type": "clearMarks"}', 5) == []
    assert call.until(100) == []
    assert call.carrier.ear.heard_ms(1) == 40


def test_jambonz_ends_the_stream_when_told_to() -> None:
    call = APPS["jambonz"].call()
    call.plays(1, 0, 100)
    assert call.carrier.receive('{"type": "disconnect"}', 40) == []
    assert not call.carrier.is_open and call.until(100) == []
    assert call.carrier.ear.heard_ms(1) == 40


# -- Rules where no source settles it, or a fault is known -------------------------------------------------


def test_jambonz_may_swallow_as_many_marks_as_a_kill_cleared() -> None:
    """lws_glue.cpp: markers are anonymous, and those that the kill dropped are awaited in the next item."""
    call = APPS["jambonz"].call(loses_marks=True)
    for at_ms in (0, 20, 40):  # The third mark has no audio behind it, so it has no marker.
        call.plays(1, at_ms, 20)
        call.marks(f"A:{at_ms + 20}")
    assert call.clears(10) == [jambonz_cleared(f"A:{ms}") for ms in (20, 40, 60)]

    said = []
    for at_ms in range(0, 120, 20):
        said += call.plays(2, at_ms, 20, 10) + call.marks(f"B:{at_ms + 20}", 10)
    said += call.until(1000)
    assert said == [jambonz_mark(f"B:{ms}", 0) for ms in (20, 40, 60)]
    assert call.carrier.ear.heard_ms(2) == 120
    assert call.clears(1000) == [jambonz_cleared(f"B:{ms}") for ms in (80, 100, 120)]


def test_jambonz_that_swallows_marks_is_late_and_never_early() -> None:
    call = APPS["jambonz"].call(loses_marks=True)
    call.plays(1, 0, 20)
    call.marks("A:20")
    call.plays(1, 20, 20)
    assert call.clears(0) == [jambonz_cleared("A:20")]
    for at_ms in (0, 20, 40):
        call.plays(2, at_ms, 20)
        call.marks(f"B:{at_ms + 20}")
    assert call.until(39) == []
    assert call.until(40) == [jambonz_mark("B:20", 0)]
    assert call.until(200) == []
    assert call.plays(2, 60, 20, 200) == [jambonz_mark("B:40", 0)]


@pytest.mark.parametrize("loses_marks", [False, True])
def test_jambonz_without_a_kill_returns_every_mark_in_its_place(loses_marks: bool) -> None:
    call = APPS["jambonz"].call(loses_marks=loses_marks)
    call.sends_item()
    for ms in (250, 500, 750, 1000):
        assert call.until(ms - 1) == []
        assert call.until(ms) == [jambonz_mark(f"A:{ms}:g1", 0)]


def test_jambonz_may_return_a_mark_before_its_audio_has_played() -> None:
    """jambonz-feature-server#811: heard must be capped by the clock."""
    call = APPS["jambonz"].call(false_marks=True)
    call.plays(1, 0, 500)
    assert call.marks("A:500") == [jambonz_mark("A:500", 0)]
    assert call.clears(100) == []
    assert call.carrier.ear.heard_ms(1) == 100


def test_telnyx_may_let_frames_overtake_each_other() -> None:
    """The documentation tells a client to put them in order by `chunk`; none is lost."""
    carrier = TelnyxCarrier(audio_ordered=False)
    carrier.start(0)
    said = carrier.caller_says(caller_speech(60), 0) + carrier.caller_says(caller_speech(40), 60)
    assert [frame["media"]["chunk"] for frame in parsed(said)] == ["2", "1", "4", "3"]
    last, stop = parsed(carrier.stop(100))
    assert (last["media"]["chunk"], stop["event"]) == ("5", "stop")


def test_telnyx_may_turn_marks_round() -> None:
    call = APPS["telnyx"].call(marks_ordered=False)
    call.sends_item()
    names = [back["mark"]["name"] for back in call.clears(300)]
    assert names == ["A:250:g1", "A:1000:g1", "A:750:g1", "A:500:g1"]


def test_telnyx_may_take_a_short_tail() -> None:
    call = APPS["telnyx"].call(takes_short=True)
    assert call.plays(1, 0, 5) == []
    assert call.carrier.warnings == ()
    call.until(10)
    assert call.carrier.ear.heard_ms(1) == 5


# -- As the explorer sees them -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRIERS)
def test_each_can_be_explored_in_its_usual_format(name: str) -> None:
    """A voice that a carrier plays is read back from what was ordered, and what the carrier says from its wire."""
    kind = CARRIERS[name]
    per_ms = BYTES_PER_MS[kind.audio]
    model, said = kind.make(PLANS[0])
    checked: CarrierModel = model
    assert [kind.returned(message).what for message in said] == ["other"] * len(said)
    app = APPS[name]
    audio = speech(3, 100, 100, per_ms)
    pieces = frames_of(20 * per_ms)(audio) if name == "vonage" else app.audio(audio)
    assert kind.ordered(pieces[0]) == Order("play", 3, 100, 120 if name == "vonage" else 200)
    assert kind.ordered(app.mark("m")) == Order("mark", mark="m")
    assert kind.ordered(app.clear) == Order("clear")

    explored = Carrier(checked)
    at = explored.start
    messages: list[Any] = [*pieces, app.mark("m")]
    for message in messages:
        at = explored.receives(at, message).after
    assert explored.holds(at) == {3} and explored.marks(at) == ("m",)
    renamed = explored.renames(at, ("n",))
    assert [kind.returned(message) for message in explored.plays(at).messages] == [
        Returned("mark", "m")
    ]
    assert [kind.returned(message) for message in explored.plays(renamed).messages] == [
        Returned("mark", "n")
    ]
    heard = explored.models[explored.plays(at).after]
    assert heard.ear.segments == (Segment(3, 100, 200, 0),) and heard.warnings == ()
    stopped = [kind.returned(message).what for message in explored.stops(at).messages]
    assert stopped == (["stop"] if name in ("telnyx", "signalwire") else [])


def test_the_voice_in_a_frame_is_found_beside_the_silence_that_fills_it_up() -> None:
    whole = speech(1, 0, 10, 32)
    assert played(whole + silence(10, 32), 32) == Order("play", 1, 0, 10)
    assert played(silence(10, 32) + whole, 32) == Order("other")
    assert played(whole + caller_speech(10, 32), 32) == Order("other")
    assert played(whole + speech(2, 0, 10, 32), 32) == Order("other")
    assert played(silence(20, 32), 32) == played(b"", 32) == Order("other")


def test_readings_know_nothing_of_binary_frames_where_audio_is_text() -> None:
    ordered, returned = readings("plivo", 8)
    assert ordered(speech(1, 0, 20)) == Order("other")
    assert returned(speech(1, 0, 20)) == Returned("other")
    assert ordered('{"event": "sendDTMF"}') == Order("other")
    assert entry("plivo").returned('{"event": "clearedAudio"}') == Returned("other")


@pytest.mark.parametrize("name", OURS)
def test_a_format_that_a_carrier_does_not_speak_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="does not speak 'opus'"):
        APPS[name].make(audio="opus")


@pytest.mark.parametrize("name", OURS)
def test_a_copy_goes_its_own_way_and_equal_histories_have_equal_keys(name: str) -> None:
    call = APPS[name].call()
    call.sends_item(240)
    call.until(300)
    twin = call.carrier.copy()
    assert twin.key() == call.carrier.key() and hash(twin.key()) == hash(call.carrier.key())
    twin.receive(call.app.clear, 300)
    assert twin.key() != call.carrier.key()
    call.until(2000)
    assert (call.carrier.ear.heard_ms(1), twin.ear.heard_ms(1)) == (960, 300)


@pytest.mark.parametrize("name", OURS)
def test_after_the_caller_hung_up_nothing_plays_and_nothing_comes_back(name: str) -> None:
    call = APPS[name].call()
    call.sends_item(240)
    call.carrier.stop(300)
    assert call.until(5000) == parsed(call.carrier.plays(500) + call.carrier.stop(5000)) == []
    assert call.marks("m", 5000) == call.clears(5000) == []
    assert call.carrier.ear.heard_ms(1) == 300
    with pytest.raises(RuntimeError, match="not open"):
        call.carrier.caller_says(b"", 5000)
    with pytest.raises(RuntimeError, match="already started"):
        call.carrier.start(0)


@pytest.mark.parametrize("name", OURS)
def test_a_carrier_that_never_echoes_marks_still_plays(name: str) -> None:
    """Nothing may wait for ever for a mark."""
    call = APPS[name].call(marks_echoed=False)
    call.sends_item(240)
    assert call.carrier.next_event_ms is None
    assert call.until(800) == []
    assert call.carrier.ear.heard_ms(1) == 800


def test_marks_with_no_audio_behind_them_are_counted_and_can_be_forgotten() -> None:
    buffer = PlayoutBuffer(Ear())
    for audio, marks in ((speech(1, 0, 10), "a"), (speech(1, 10, 10), "bc")):
        buffer.put(audio)
        for name in marks:
            buffer.mark(name)
    assert buffer.trailing_marks == 2
    buffer.forget_marks()
    assert buffer.pending_marks == [] and buffer.trailing_marks == 0
    assert buffer.play(100) == [] and buffer.ear.heard_ms(1) == 20


junk = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=700),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=6,
    ).map(json.dumps),
)
commands = st.sampled_from(["audio", "a", "b", "clear"])


@pytest.mark.parametrize("name", OURS)
@given(
    steps=st.lists(st.tuples(commands | junk, st.integers(0, 60)), max_size=25),
    meaning=st.sampled_from(sorted(set(NATURE.values()))),
    faults=st.booleans(),
)
def test_no_sequence_of_messages_raises_and_only_marks_that_were_sent_come_back(
    name: str, steps: list[tuple[str | bytes, int]], meaning: MarksOnClear, faults: bool
) -> None:
    """Always: each mark at most once, and in the order sent, whatever else is true of the carrier."""
    app, returned = APPS[name], entry(name).returned
    call = app.call(
        marks_on_clear=meaning, **({"loses_marks": faults} if name == "jambonz" else {})
    )
    carrier, per_ms = call.carrier, call.carrier.ear.bytes_per_ms
    now_ms, sent, said = 0, list[str](), list[str]()
    for number, (command, wait_ms) in enumerate(steps):
        now_ms += wait_ms
        messages: list[str | bytes] = [command]
        if command == "audio":
            messages = app.audio(speech(number, 0, 20, per_ms))
        elif command in ("a", "b"):
            sent.append(f"{command}{number}")
            messages = [app.mark(sent[-1])]
        elif command == "clear":
            messages = [app.clear]
        for message in messages:
            said += carrier.receive(message, now_ms)
        hash(carrier.key())
        carrier = carrier.copy()
    said += carrier.advance(now_ms + 10_000)
    assert carrier.buffer.buffered_ms == 0
    read = [returned(message) for message in said]
    back = [each.mark for each in read if each.what in ("mark", "cleared_mark")]
    assert len(set(back)) == len(back)
    assert back == [mark for mark in sent if mark in back]
