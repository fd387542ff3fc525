"""Carriers of every kind under one session: what leaves, when, and what counts as heard.

A kind is what a table says: `can`, `pace_ms`, whether audio is bare. No test here depends on a carrier's name.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.adapter import AudioFormat, TransportAdapter, Voice, Wire
from bargein.runtime.errors import UsageError
from bargein.runtime.formats import agreed
from bargein.runtime.session import Session, Settings
from bargein.simulator.voice import speech

from .scene import both_engines

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")
SILENCE = b"\xff"


# -- kinds ------------------------------------------------------------------------------------------


def _play(stream: str | None, audio: bytes, item: str, generation: int) -> Wire:
    said = {"event": "play", "item": item, "generation": generation}
    return (json.dumps({**said, "audio": b64encode(audio).decode()}).encode(),)


def _mark(stream: str | None, mark: str, item: str, generation: int) -> Wire:
    return (json.dumps({"event": "mark", "mark": mark, "item": item}).encode(),)


def _clear(stream: str | None, generation: int) -> Wire:
    return (json.dumps({"event": "clear", "generation": generation}).encode(),)


_SAID: dict[str, type[ev.Event]] = {
    "started": ev.StreamStarted,
    "marked": ev.Marked,
    "mark_cleared": ev.MarkCleared,
    "cleared": ev.Cleared,
    "played": ev.Played,
    "error": ev.TransportError,
    "ended": ev.StreamEnded,
}


def _decode(message: str | bytes) -> tuple[ev.Event, ...]:
    if isinstance(message, bytes):
        return (ev.CallerAudio(message),)
    said = json.loads(message)
    return (_SAID[said.pop("event")](**said),)


def kind(
    *, pace_ms: Mapping[str, int] | None = None, bare: bool = False, **can: str
) -> TransportAdapter:
    """A carrier that can what is said, and else what a plain one can. Nothing it takes needs a stream's id."""
    return replace(
        TWILIO,
        name="kind",
        can={**TWILIO.can, **can},
        pace_ms=pace_ms or {},
        bare_audio=bare,
        decode=_decode,
        play=(lambda stream, audio, item, generation: (audio,)) if bare else _play,
        mark=_mark,
        clear=(lambda stream, generation: ()) if can.get("clear") == "none" else _clear,
    )


REPORTS = kind(heard="report", marks="none")
CLOCK = kind(heard="clock", marks="none")
NO_CLEAR = kind(clear="none")


class Call:
    """A session between the provider and a carrier of some kind."""

    def __init__(self, transport: TransportAdapter, engine: str = "table", **settings: Any) -> None:  # noqa: ANN401
        self.session = Session(
            OPENAI, transport, Settings(audio="mulaw", **settings), engine=engine
        )
        self.bare = transport.bare_audio
        self.now_ms = 0
        self.received_ms: dict[str, int] = {}
        self.actions: list[do.Action] = []
        self.hears("started")

    def _did(self, actions: list[do.Action]) -> list[do.Action]:
        self.actions += actions
        return actions

    def hears(self, event: str, **fields: Any) -> list[do.Action]:  # noqa: ANN401
        message = json.dumps({"event": event, **fields})
        return self._did(self.session.transport_received(message, self.now_ms))

    def speaks(self, item: str, ms: int, response: str = "r") -> list[tuple[str, Any]]:
        """The model says `ms` more of an item, at once; what the carrier is told."""
        start = self.received_ms.get(item, 0)
        self.received_ms[item] = start + ms
        return self.says_bytes(item, speech(ord(item[0]), start, ms), response)

    def says_bytes(self, item: str, audio: bytes, response: str = "r") -> list[tuple[str, Any]]:
        delta = {
            "type": "response.output_audio.delta",
            "response_id": response,
            "item_id": item,
            "content_index": 0,
            "delta": b64encode(audio).decode(),
        }
        message = json.dumps(delta)
        return self.told(self._did(self.session.provider_received(message, self.now_ms)))

    def finishes(self, response: str = "r") -> list[tuple[str, Any]]:
        done = {"type": "response.done", "response": {"id": response, "status": "completed"}}
        message = json.dumps(done)
        return self.told(self._did(self.session.provider_received(message, self.now_ms)))

    def waits_until(self, now_ms: int) -> list[tuple[str, Any]]:
        """Let time pass, as a driver does: `advance` whenever it is due."""
        told = []
        while (due_ms := self.session.next_deadline_ms) is not None and due_ms <= now_ms:
            self.now_ms = max(due_ms, self.now_ms)
            told += self.told(self._did(self.session.advance(self.now_ms)))
            assert (self.session.next_deadline_ms or now_ms + 1) > self.now_ms, (
                "it was told already"
            )
        self.now_ms = now_ms
        return told

    def interrupts(self, scope: str | None = None) -> tuple[Any, list[tuple[str, Any]]]:
        report, actions = self.session.interrupt(self.now_ms, scope)
        return report, self.told(self._did(actions))

    def told(self, actions: list[do.Action]) -> list[tuple[str, Any]]:
        """What went to the carrier: ("play", bytes), or the message's name with its mark or generation."""
        told: list[tuple[str, Any]] = []
        for action in actions:
            if not isinstance(action, do.ToTransport):
                continue
            if action.audio and self.bare:
                told.append(("play", action.data))
                continue
            said = json.loads(action.data)
            if said["event"] == "play":
                told.append(("play", b64decode(said["audio"])))
            else:
                told.append((said["event"], said.get("mark", said.get("generation"))))
        return told

    def outcome(self, item: str) -> do.ItemOutcome:
        """How an item was settled."""
        settled = (a.outcome for a in self.actions if isinstance(a, do.ItemSettled))
        return next(outcome for outcome in settled if outcome.item == item)

    def heard_ms(self, item: str) -> int:
        return self.session.items[item].outcome().heard_ms

    def truncated_ms(self) -> list[int]:
        """Where the model was told to cut."""
        said = (json.loads(a.data) for a in self.actions if isinstance(a, do.ToProvider))
        return [m["audio_end_ms"] for m in said if m["type"] == "conversation.item.truncate"]


def plays(told: list[tuple[str, Any]]) -> list[bytes]:
    return [audio for what, audio in told if what == "play"]


def ms(told: list[tuple[str, Any]]) -> list[int]:
    """How many milliseconds each message of audio holds."""
    return [len(audio) // 8 for audio in plays(told)]


# -- what both sides speak --------------------------------------------------------------------------


def _speaking(**formats: AudioFormat) -> dict[str, AudioFormat]:
    return formats


TWO_RATES = AudioFormat("two", 24_000, 48, caller=Voice(16_000, 32))


def test_the_first_format_that_fits_both_ways_is_taken() -> None:
    """Of the provider's, in its order; the caller's voice must fit as well as the agent's."""
    fits = AudioFormat("fits", 16_000, 32)
    provider = replace(
        OPENAI, audio=_speaking(two=TWO_RATES, fits=fits, mulaw=OPENAI.audio["mulaw"])
    )
    one_rate = AudioFormat("two", 24_000, 48)
    transport = replace(
        TWILIO, audio=_speaking(mulaw=TWILIO.audio["mulaw"], two=one_rate, fits=fits)
    )
    assert agreed(provider, transport).name == "fits"
    assert (
        agreed(provider, replace(transport, audio=transport.audio | {"two": TWO_RATES})).name
        == "two"
    )
    assert agreed(OPENAI, TWILIO).name == "mulaw"


def test_a_call_of_two_rates_counts_the_agent_s_bytes() -> None:
    provider = replace(OPENAI, audio=_speaking(two=TWO_RATES))
    session = Session(provider, replace(kind(), audio=_speaking(two=TWO_RATES)))
    assert session.playout.bytes_per_ms == 48


@pytest.mark.parametrize(
    ("ours", "says"),
    [
        (
            AudioFormat("two", 24_000, 48),
            r"the caller's voice is 16000 Hz.* for openai and 24000 Hz",
        ),
        (
            AudioFormat("two", 16_000, 32),
            r"the agent's voice is 24000 Hz.* for openai and 16000 Hz",
        ),
        (AudioFormat("two", 24_000, 24, caller=Voice(16_000, 32)), r"agent's.*48 bytes.*24 bytes"),
    ],
)
def test_voices_that_do_not_fit_are_refused_by_name_and_rate(ours: AudioFormat, says: str) -> None:
    """Nothing is resampled; what both do speak is named."""
    mulaw = OPENAI.audio["mulaw"]
    provider = replace(OPENAI, audio=_speaking(two=TWO_RATES, mulaw=mulaw))
    transport = replace(TWILIO, audio=_speaking(two=ours, mulaw=TWILIO.audio["mulaw"]))
    with pytest.raises(UsageError, match=rf"'two': .*{says}.*common: mulaw"):
        Session(provider, transport, Settings(audio="two"))


def test_two_sides_with_nothing_in_common_are_told_what_each_speaks() -> None:
    provider = replace(OPENAI, audio=_speaking(two=TWO_RATES))
    with pytest.raises(
        UsageError, match=r"openai speaks two \(24000 Hz, the caller's voice 16000 Hz\)"
    ):
        Session(provider, TWILIO)


# -- frames -----------------------------------------------------------------------------------------


FRAMES = kind(pace_ms={"frame_ms": 20})


@both_engines
@pytest.mark.parametrize("bare", [False, True])
def test_audio_leaves_in_frames_of_one_length(engine: str, bare: bool) -> None:
    """Whatever the deltas; what fills no frame waits, and the words come out in order."""
    call = Call(kind(pace_ms={"frame_ms": 20}, bare=bare), engine)
    told = [*call.speaks("a", 30), *call.speaks("a", 5), *call.speaks("a", 47)]
    assert ms(told) == [20] * 4
    assert b"".join(plays(told)) == speech(ord("a"), 0, 80)
    assert call.session.items["a"].outcome().sent_ms == 80
    told = call.finishes()
    assert plays(told) == [speech(ord("a"), 80, 2) + SILENCE * 18 * 8]


@both_engines
def test_the_filling_of_the_last_frame_counts_for_nobody(engine: str) -> None:
    """Not as received, sent or heard: the model must not be told of milliseconds it never spoke."""
    call = Call(FRAMES, engine)
    call.speaks("a", 25)
    told = call.finishes()
    assert [what for what, _ in told] == ["play", "mark"]
    call.hears("marked", mark=told[-1][1])
    outcome = call.outcome("a")
    assert (outcome.received_ms, outcome.sent_ms, outcome.heard_ms) == (25, 25, 25)
    assert (outcome.state, outcome.evidence) == ("full", "marks")


def test_a_mark_due_inside_a_frame_stands_after_it() -> None:
    """Its position is the frame's end, which is what its return confirms."""
    call = Call(kind(pace_ms={"frame_ms": 30}))
    told = call.speaks("a", 240)
    assert [what for what, _ in told] == ["play"] * 4 + ["mark"] + ["play"] * 3 + ["mark"] + [
        "play"
    ]
    call.hears("marked", mark=told[4][1])
    assert call.heard_ms("a") == 120


def test_the_rest_of_an_item_leaves_before_the_next_item_of_its_response() -> None:
    """Filled up: no frame holds two items."""
    call = Call(FRAMES)
    call.speaks("a", 25)
    told = call.speaks("b", 20)
    assert plays(told) == [
        speech(ord("a"), 20, 5) + SILENCE * 15 * 8,
        speech(ord("b"), 0, 20),
    ]


def test_frames_begin_where_the_caller_stopped_hearing_when_a_clear_took_them() -> None:
    """Confirmed up to a position inside what was cut, the rest is framed anew and nothing is lost or doubled."""
    call = Call(kind(pace_ms={"frame_ms": 20}, heard="report", marks="none"))
    call.speaks("a", 100, "r1")
    call.finishes("r1")
    call.speaks("b", 60, "r2")
    call.hears("played", item="a", played_ms=33)
    _, told = call.interrupts("r2")
    assert [what for what, _ in told] == ["clear", *["play"] * 4]
    expected = speech(ord("a"), 33, 67) + SILENCE * 13 * 8
    assert b"".join(plays(told)) == expected


def test_a_delta_of_seconds_is_framed_without_loss() -> None:
    call = Call(FRAMES)
    told = call.speaks("a", 3_001)
    assert ms(told) == [20] * 150
    assert b"".join(plays(told)) == speech(ord("a"), 0, 3_000)


def test_bytes_that_are_no_full_millisecond_are_not_lost_in_frames() -> None:
    call = Call(FRAMES)
    audio = speech(ord("a"), 0, 50)[:-3]
    told = [
        *call.says_bytes("a", audio[:161]),
        *call.says_bytes("a", audio[161:]),
        *call.finishes(),
    ]
    assert b"".join(plays(told)) == audio + SILENCE * (60 * 8 - len(audio))


# -- pace -------------------------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize("pace_ms", [{"frame_ms": 20, "ahead_ms": 200}, {"ahead_ms": 200}])
def test_no_more_than_that_is_ever_ahead_of_what_plays(
    engine: str, pace_ms: dict[str, int]
) -> None:
    """And never so little that the caller hears a gap."""
    call = Call(kind(pace_ms=pace_ms), engine)
    sent_ms = sum(ms(call.speaks("a", 1_000)))
    assert sent_ms == 200
    call.finishes()
    ahead = []
    for now_ms in range(20, 1_001, 20):
        sent_ms += sum(ms(call.waits_until(now_ms)))
        ahead.append(sent_ms - now_ms)
        assert sent_ms - now_ms <= 200
    assert all(left > 0 for left in ahead[:-1]) and sent_ms == 1_000


def test_the_session_says_when_more_may_go() -> None:
    """To the millisecond: 200 ms are there, and a frame of 20 fits when 20 have played."""
    call = Call(kind(pace_ms={"frame_ms": 20, "ahead_ms": 200}))
    call.speaks("a", 1_000)
    assert call.session.next_deadline_ms == 20
    call.now_ms = 19
    assert call.told(call.session.advance(19)) == []
    assert ms(call.told(call.session.advance(20))) == [20]
    assert call.session.next_deadline_ms == 40


def test_a_late_wake_up_sends_all_that_fits() -> None:
    """Timers are late: the carrier had run dry, and its clock begins again."""
    call = Call(kind(pace_ms={"frame_ms": 20, "ahead_ms": 200}))
    call.speaks("a", 1_000)
    assert sum(ms(call.told(call.session.advance(500)))) == 200
    assert call.session.next_deadline_ms == 520


@both_engines
def test_a_barge_in_finds_what_waits_unsent(engine: str) -> None:
    """It is dropped here, and the outcome says that it never left."""
    call = Call(kind(pace_ms={"frame_ms": 20, "ahead_ms": 200}), engine)
    told = call.speaks("a", 1_000)
    call.waits_until(100)
    call.hears("marked", mark=told[5][1])
    report, told = call.interrupts()
    assert report.cleared and [what for what, _ in told] == ["clear"]
    assert call.waits_until(900) == []
    outcome = call.outcome("a")
    assert (outcome.received_ms, outcome.sent_ms, outcome.heard_ms) == (1_000, 300, 100)
    assert call.truncated_ms() == [100]


@both_engines
def test_after_a_clear_the_clock_begins_again(engine: str) -> None:
    """What others take along is sent again, up to the limit at once: the carrier holds nothing."""
    call = Call(kind(pace_ms={"frame_ms": 20, "ahead_ms": 200}), engine)
    call.speaks("a", 100, "r1")
    call.finishes("r1")
    call.speaks("b", 1_000, "r2")
    call.waits_until(40)
    _, told = call.interrupts("r2")
    assert [what for what, _ in told if what != "mark"] == ["clear", *["play"] * 5]
    assert b"".join(plays(told)) == speech(ord("a"), 0, 100)
    assert sum(ms(call.speaks("c", 1_000, "r3"))) == 100


def test_another_item_waits_behind_what_is_held() -> None:
    """One voice at a time: nothing overtakes on the way out."""
    call = Call(kind(pace_ms={"ahead_ms": 100}))
    told = [*call.speaks("a", 150), *call.speaks("b", 150)]
    call.finishes()
    for now_ms in range(10, 400, 10):
        told += call.waits_until(now_ms)
    assert b"".join(plays(told)) == speech(ord("a"), 0, 150) + speech(ord("b"), 0, 150)


def test_without_a_pace_everything_leaves_at_once() -> None:
    call = Call(kind())
    assert sum(ms(call.speaks("a", 30_000))) == 30_000
    assert call.session.playout.due_ms is None


# -- reports ----------------------------------------------------------------------------------------


@both_engines
def test_a_report_credits_its_item_so_far_and_no_further(engine: str) -> None:
    """Never more than was sent, whatever the player says; and no mark is asked for."""
    call = Call(REPORTS, engine)
    told = call.speaks("a", 300)
    assert {what for what, _ in told} == {"play"}
    call.hears("played", item="a", played_ms=120, generation=0)
    assert call.heard_ms("a") == 120
    call.hears("played", item="a", played_ms=90, generation=0)
    assert call.heard_ms("a") == 120
    call.hears("played", item="a", played_ms=9_000)
    assert call.heard_ms("a") == 300
    call.finishes()
    outcome = call.outcome("a")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("full", 300, "report")


@both_engines
def test_the_last_report_ends_the_item(engine: str) -> None:
    """Also when its end is no full millisecond, which no player reports."""
    call = Call(REPORTS, engine)
    call.says_bytes("a", speech(ord("a"), 0, 50)[:-3])
    call.finishes()
    call.hears("played", item="a", played_ms=48, generation=0)
    assert "a" in call.session.items
    call.hears("played", item="a", played_ms=49, generation=0)
    assert call.outcome("a").state == "full"


@both_engines
def test_an_interrupt_cuts_where_the_last_report_stood(engine: str) -> None:
    call = Call(REPORTS, engine)
    call.speaks("a", 1_000)
    call.hears("played", item="a", played_ms=432, generation=0)
    report, told = call.interrupts()
    assert report.cleared and told == [("clear", 1)]
    assert call.truncated_ms() == [432]
    assert call.outcome("a").evidence == "report"


@both_engines
def test_a_report_of_the_generation_before_proves_nothing(engine: str) -> None:
    """It was on its way when the clear left; the item has been begun again, and is counted from there."""
    call = Call(REPORTS, engine)
    call.speaks("a", 300, "r1")
    call.finishes("r1")
    call.speaks("b", 100, "r2")
    call.hears("played", item="a", played_ms=100, generation=0)
    _, told = call.interrupts("r2")
    assert told[0] == ("clear", 1) and b"".join(plays(told)) == speech(ord("a"), 100, 200)
    call.hears("played", item="a", played_ms=150, generation=0)
    assert call.heard_ms("a") == 100
    call.hears("played", item="a", played_ms=50, generation=1)
    assert call.heard_ms("a") == 150
    call.hears("played", item="a", played_ms=200, generation=1)
    assert call.outcome("a").state == "full"


def test_a_report_of_an_item_nobody_plays_is_no_event() -> None:
    call = Call(REPORTS)
    assert call.hears("played", item="z", played_ms=10) == []


def test_a_player_that_falls_silent_holds_no_item_for_ever() -> None:
    """The clock decides after its slack, and is named."""
    call = Call(REPORTS, overdue_ms=500)
    call.speaks("a", 300)
    call.finishes()
    call.waits_until(799)
    assert "a" in call.session.items
    call.waits_until(800)
    outcome = call.outcome("a")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("full", 300, "clock")


def test_the_generation_is_told_with_every_piece_and_counts_the_clears() -> None:
    call = Call(REPORTS)
    call.speaks("a", 100, "r1")
    call.interrupts()
    call.speaks("b", 100, "r2")
    said = [json.loads(a.data) for a in call.actions if isinstance(a, do.ToTransport)]
    assert [(m["event"], m.get("item"), m["generation"]) for m in said] == [
        ("play", "a", 0),
        ("clear", None, 1),
        ("play", "b", 1),
    ]


# -- the clock --------------------------------------------------------------------------------------


@both_engines
def test_where_the_clock_is_all_there_is_an_interrupt_cuts_where_it_stands(engine: str) -> None:
    call = Call(CLOCK, engine)
    assert {what for what, _ in call.speaks("a", 1_000)} == {"play"}
    call.waits_until(430)
    report, _ = call.interrupts()
    assert report.cleared and call.truncated_ms() == [430]
    outcome = call.outcome("a")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("partial", 430, "clock")


@both_engines
def test_by_the_clock_an_item_is_over_with_its_last_millisecond(engine: str) -> None:
    """As played, not as overdue: there is nothing else to wait for."""
    call = Call(CLOCK, engine)
    call.speaks("a", 300)
    call.now_ms = 100
    call.finishes()
    call.waits_until(299)
    assert "a" in call.session.items
    call.waits_until(300)
    outcome = call.outcome("a")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("full", 300, "clock")
    assert "played" in [a.event for a in call.actions if isinstance(a, do.StateChanged)]


@both_engines
def test_the_clock_knows_that_the_model_fell_silent_for_a_while(engine: str) -> None:
    """What arrived late was heard late: a gap is not taken for speech."""
    call = Call(CLOCK, engine)
    call.speaks("a", 100)
    call.waits_until(500)
    call.speaks("a", 400)
    call.waits_until(600)
    call.interrupts()
    assert call.truncated_ms() == [200]


def test_the_second_item_counts_from_the_end_of_the_first() -> None:
    call = Call(CLOCK)
    call.speaks("a", 200)
    call.speaks("b", 200)
    call.finishes()
    call.waits_until(150)
    call.interrupts()
    assert (call.outcome("a").heard_ms, call.outcome("b").heard_ms) == (150, 0)
    assert call.outcome("b").state == "skipped"


def test_a_clear_is_sent_although_by_the_clock_all_has_been_heard() -> None:
    """The line is slower than the clock: the caller may still hear the end."""
    call = Call(CLOCK)
    call.speaks("a", 200)
    call.waits_until(210)
    report, told = call.interrupts()
    assert report.cleared and told == [("clear", 1)]


def test_what_a_clear_took_is_sent_again_from_where_the_clock_stood() -> None:
    call = Call(CLOCK)
    call.speaks("a", 200, "r1")
    call.finishes("r1")
    call.speaks("b", 100, "r2")
    call.waits_until(70)
    _, told = call.interrupts("r2")
    assert b"".join(plays(told)) == speech(ord("a"), 70, 130)
    call.waits_until(200)
    assert call.outcome("a").heard_ms == 200


def test_what_was_heard_to_its_end_is_not_sent_again_because_a_timer_was_late() -> None:
    call = Call(CLOCK)
    call.speaks("a", 200, "r1")
    call.finishes("r1")
    call.speaks("b", 100, "r2")
    call.now_ms = 210
    _, told = call.interrupts("r2")
    assert told == [("clear", 1)]
    call.waits_until(211)
    assert (call.outcome("a").state, call.outcome("b").heard_ms) == ("full", 10)


def test_the_filling_of_a_frame_takes_its_time() -> None:
    """The caller hears it, as silence: the next item begins behind it."""
    call = Call(kind(heard="clock", marks="none", pace_ms={"frame_ms": 20}))
    call.speaks("a", 25)
    call.speaks("b", 60)
    call.waits_until(55)
    call.interrupts()
    assert (call.outcome("a").heard_ms, call.outcome("b").heard_ms) == (25, 15)


# -- marks and clears -------------------------------------------------------------------------------


@both_engines
def test_a_mark_that_comes_back_as_cleared_is_void(engine: str) -> None:
    """It credits nothing, also if nobody asked for a clear: some carriers drop marks when they hold too many."""
    call = Call(kind(marks_on_clear="returned_flagged"), engine)
    told = call.speaks("a", 300)
    marks = [name for what, name in told if what == "mark"]
    call.hears("mark_cleared", mark=marks[2])
    call.hears("marked", mark=marks[2])
    assert call.heard_ms("a") == 0
    call.hears("marked", mark=marks[1])
    assert call.heard_ms("a") == 200
    assert [name for name, _, _ in call.session.playout.marks] == [marks[0]]


def test_a_mark_that_is_not_ours_is_the_application_s_also_when_it_is_cleared() -> None:
    call = Call(kind())
    passed = call.hears("mark_cleared", mark="theirs")
    assert [type(each) for each in passed] == [do.Passed]
    assert call.hears("mark_cleared", mark="bargein_mark_99") == []


def test_a_confirmed_clear_touches_nothing_that_was_said_since() -> None:
    """It names no clear: a late one must not be taken for a newer."""
    call = Call(kind(clear_ack="anonymous"))
    for response, item in (("r1", "a"), ("r2", "b")):
        call.speaks(item, 200, response)
        call.interrupts()
    told = call.speaks("c", 200, "r3")
    before = call.session.copy().key()
    assert call.session.playout.clears_out == 2
    call.hears("cleared")
    assert call.session.playout.clears_out == 1
    call.hears("marked", mark=told[1][1])
    assert call.heard_ms("c") == 100
    call.hears("cleared")
    call.hears("cleared")
    assert call.session.playout.clears_out == 0
    assert before != call.session.key()


@both_engines
def test_what_cannot_be_taken_back_will_be_heard(engine: str) -> None:
    """No verb for it: so little is sent ahead, and the model is cut where the carrier's last millisecond is."""
    call = Call(kind(clear="none", pace_ms={"frame_ms": 20, "ahead_ms": 100}), engine)
    call.speaks("a", 1_000)
    call.waits_until(200)
    report, told = call.interrupts()
    assert not report.cleared and told == []
    assert call.waits_until(2_000) == []
    outcome = call.outcome("a")
    assert (outcome.sent_ms, outcome.heard_ms, outcome.evidence) == (300, 300, "clock")
    assert call.truncated_ms() == [300]


def test_speech_behind_what_cannot_be_taken_back_waits_for_its_turn() -> None:
    """The carrier still holds the old: its clock goes on."""
    call = Call(kind(clear="none", pace_ms={"ahead_ms": 100}))
    call.speaks("a", 1_000, "r1")
    call.interrupts()
    assert call.speaks("b", 100, "r2") == []
    assert call.session.next_deadline_ms == 50


# -- the rest of what a carrier says ----------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"code": "rate_limit", "message": "too much"}, "rate_limit", "too much"),
        ({}, "carrier_error", "the carrier reported an error"),
    ],
)
def test_a_carrier_s_error_is_a_problem(
    engine: str, fields: dict[str, str], code: str, message: str
) -> None:
    call = Call(kind(), engine)
    assert call.hears("error", **fields) == [do.Problem("transport", code, message)]


def test_a_stream_needs_no_name_where_nothing_needs_it() -> None:
    call = Call(kind())
    assert call.session.playout.open and call.session.playout.stream is None
    assert ms(call.speaks("a", 100)) == [100]


def test_a_stream_without_the_name_its_messages_need_is_not_open() -> None:
    """Or speech would be counted as sent that nobody could be told."""
    session = Session(OPENAI, TWILIO)
    actions = session.transport_received('{"event":"start","start":{}}', 0)
    assert [type(each) for each in actions] == [do.Problem, do.Passed]
    assert not session.playout.open


# -- copies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transport",
    [
        REPORTS,
        CLOCK,
        kind(pace_ms={"frame_ms": 20, "ahead_ms": 100}),
        kind(pace_ms={"ahead_ms": 100}, heard="report", marks="none"),
    ],
)
def test_a_copy_goes_on_as_the_original_does(transport: TransportAdapter) -> None:
    """All that a kind remembers is copied, and none of it is shared."""
    call = Call(transport)
    call.speaks("a", 150, "r1")
    call.finishes("r1")
    call.speaks("b", 155, "r2")
    call.now_ms = 50
    call.hears("played", item="a", played_ms=40, generation=0)
    call.interrupts("r2")
    twin = call.session.copy()
    assert twin.key() == call.session.key()
    key = twin.key()

    def goes_on(session: Session) -> list[do.Action]:
        actions = []
        for now_ms in (70, 110, 150, 190):
            actions += session.advance(now_ms)
            report = {"event": "played", "item": "a", "played_ms": now_ms - 50}
            actions += session.transport_received(json.dumps(report), now_ms)
        return actions

    assert goes_on(call.session) == goes_on(twin)
    assert twin.key() == call.session.key() != key


def test_only_reports_put_the_generation_into_the_key() -> None:
    """Elsewhere a clear that left nothing behind is no other state."""

    def after_a_clear(transport: TransportAdapter) -> Any:  # noqa: ANN401
        playouts = []
        for clears in (1, 2):
            playout = Call(transport).session.playout
            for _ in range(clears):
                playout.clear(0, (), [])
            playouts.append(playout.key())
        return playouts[0] == playouts[1]

    assert after_a_clear(kind()) and not after_a_clear(REPORTS)


# -- marks that are checked ---------------------------------------------------------------------------


CHECKED = kind(heard="checked_marks")


def all_back(call: Call) -> None:
    """Every mark that is out comes back, whether or not anything was played."""
    for name in [name for name, _, _ in call.session.playout.marks]:
        call.hears("marked", mark=name)


@both_engines
def test_a_mark_that_comes_back_too_early_counts_when_its_time_has_come(engine: str) -> None:
    """The session asks to be woken for it; nobody else would tell."""
    call = Call(CHECKED, engine)
    call.speaks("i", 350)
    call.now_ms = 5
    all_back(call)
    assert (call.heard_ms("i"), call.session.playout.early[0][0]) == (0, 100)
    heard = []
    for now_ms in (99, 100, 299, 300):
        call.waits_until(now_ms)
        heard.append(call.heard_ms("i"))
    assert heard == [0, 100, 200, 300]


@both_engines
def test_an_item_whose_early_marks_reach_its_end_is_over_by_the_clock(engine: str) -> None:
    """Not at the watchdog's slack: the carrier has confirmed it, if too soon."""
    call = Call(CHECKED, engine)
    call.speaks("i", 350)
    call.finishes()
    all_back(call)
    call.waits_until(349)
    assert not any(isinstance(each, do.ItemSettled) for each in call.actions)
    call.waits_until(350)
    outcome = call.outcome("i")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("full", 350, "clock")
    assert call.session.playout.early == [] and call.session.playout.mark_due_ms == {}


@both_engines
def test_a_mark_in_time_is_believed_at_once(engine: str) -> None:
    call = Call(CHECKED, engine)
    call.speaks("i", 300)
    call.finishes()
    for at_ms in (100, 200, 300):
        call.waits_until(at_ms)
        call.hears("marked", mark=call.session.playout.marks[0][0])
        assert call.session.playout.early == []
    outcome = call.outcome("i")
    assert (outcome.state, outcome.heard_ms, outcome.evidence) == ("full", 300, "marks")


@both_engines
def test_an_interrupt_takes_of_early_marks_what_the_clock_allows(engine: str) -> None:
    """Also when the interrupt comes before the wake-up that is due; what is left of them is void."""
    call = Call(CHECKED, engine)
    call.speaks("i", 1_000)
    call.now_ms = 5
    all_back(call)
    call.now_ms = 750
    call.interrupts()
    assert call.truncated_ms() == [700]
    assert call.session.playout.early == []
    call.waits_until(1_500)
    assert call.outcome("i").heard_ms == 700


@both_engines
def test_a_clear_that_takes_along_what_nobody_interrupted_voids_its_early_marks(
    engine: str,
) -> None:
    """It is sent again from where the clock allows, and what came back before says nothing of it."""
    call = Call(CHECKED, engine)
    call.speaks("a", 300, "r")
    call.finishes("r")
    call.speaks("b", 300, "s")
    all_back(call)
    call.now_ms = 150
    _, told = call.interrupts("s")
    assert ms(told) == [100, 100]
    assert call.session.playout.early == []
    call.waits_until(349)
    assert call.heard_ms("a") == 100
    all_back(call)
    assert call.heard_ms("a") == 200
    call.waits_until(350)
    assert call.outcome("a").heard_ms == 300


def test_each_item_is_checked_from_where_it_begins_and_a_pause_in_it_counts() -> None:
    """The clock is the carrier's: what is sent after a silence begins when it is sent."""
    call = Call(CHECKED)
    call.speaks("i", 100)
    call.now_ms = 1_000
    call.speaks("i", 100)
    assert list(call.session.playout.mark_due_ms.values()) == [100, 1_100]
    all_back(call)
    assert call.heard_ms("i") == 100


def test_a_session_with_early_marks_is_copied_with_them() -> None:
    """What the copy counts, the first does not."""
    call = Call(CHECKED)
    call.speaks("i", 200)
    all_back(call)
    twin = call.session.copy()
    assert twin.key() == call.session.key()
    twin.advance(100)
    assert twin.key() != call.session.key()
    assert (twin.items["i"].heard_bytes, call.heard_ms("i")) == (800, 0)


def test_without_a_clock_marks_are_believed() -> None:
    """An explorer takes marks in any order, and time stands still in it."""
    call = Call(CHECKED)
    call.session.playout.checked = False
    call.speaks("i", 300)
    all_back(call)
    assert call.heard_ms("i") == 300


# -- pieces that are not too short --------------------------------------------------------------------


LEAST = kind(pace_ms={"least_ms": 20})


@both_engines
@pytest.mark.parametrize("delta_ms", [3, 7, 19, 20, 21, 85, 110, 333])
def test_no_piece_is_shorter_than_the_least_but_the_rest_of_an_item(
    engine: str, delta_ms: int
) -> None:
    """Whatever the size of a delta: a short piece waits for more, and nothing of it is lost."""
    call, told = Call(LEAST, engine), []
    for _ in range(9):
        told += call.speaks("i", delta_ms)
    told += call.finishes()
    sent = ms(told)
    assert min(sent[:-1], default=20) >= 20
    assert b"".join(plays(told)) == speech(ord("i"), 0, 9 * delta_ms)
    assert told[-1][0] == "mark"
    all_back(call)
    outcome = call.outcome("i")
    assert (outcome.state, outcome.heard_ms) == ("full", 9 * delta_ms)


def test_a_mark_that_falls_due_in_a_piece_stands_after_it() -> None:
    """Deltas of 85 ms leave as they come: nothing is cut for the sake of a mark."""
    call = Call(LEAST)
    told = [each for _ in range(3) for each in call.speaks("i", 85)]
    assert ms(told) == [85, 85, 85]
    assert [what for what, _ in told] == ["play", "play", "mark", "play", "mark"]
    assert [at // 8 for _, _, at in call.session.playout.marks] == [170, 255]


def test_what_is_too_short_to_leave_is_not_sent_and_an_interrupt_drops_it() -> None:
    call = Call(LEAST)
    assert ms(call.speaks("i", 110)) == [100]
    assert call.session.items["i"].outcome().sent_ms == 100
    call.interrupts()
    assert call.outcome("i").sent_ms == 100


def test_the_rest_of_an_item_leaves_when_another_of_its_response_begins() -> None:
    call = Call(LEAST)
    call.speaks("i", 110)
    assert ms(call.speaks("j", 10)) == [10]
    assert ms(call.finishes()) == [10]


def test_how_much_may_be_ahead_is_never_less_than_the_least_piece() -> None:
    """Or nothing could be sent at all."""
    call = Call(kind(pace_ms={"least_ms": 50, "ahead_ms": 30}))
    assert ms(call.speaks("i", 100)) == [50]
    assert ms(call.waits_until(50)) == [50]
