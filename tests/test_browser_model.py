"""The model of a player that reports positions, and the explorer that lets reports confirm what was heard."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bargein import adapters
from bargein.runtime import events as ev
from bargein.simulator import browser_facts
from bargein.simulator.browser import FORMATS, BrowserCarrier
from bargein.simulator.explorer import Search
from bargein.simulator.facts import Order, Returned
from bargein.simulator.verify import search
from bargein.simulator.voice import caller_speech, speech
from bargein.simulator.world import UNREDUCED, World
from bargein.simulator.worlds import PLANS, Plan, bounded, make

PER_MS = 48
BROWSER = adapters.transport("browser")


class Page:
    """The page and what the app sends to it: literally the table's JSON."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401
        self.carrier = BrowserCarrier(**fields)
        self.per_ms = self.carrier.ear.bytes_per_ms
        self.opening = [json.loads(each) for each in self.carrier.start(0)]

    def hears(
        self, item: int, from_ms: int, duration_ms: int, generation: int = 0, now_ms: int = 0
    ) -> list[Any]:
        audio = speech(item, from_ms, duration_ms, self.per_ms)
        return self.takes(
            now_ms,
            type="audio",
            item=f"item_{item}",
            generation=generation,
            audio=base64.b64encode(audio).decode(),
        )

    def flushes(self, now_ms: int, generation: int) -> list[Any]:
        return self.takes(now_ms, type="flush", generation=generation)

    def takes(self, now_ms: int, **message: Any) -> list[Any]:  # noqa: ANN401
        return [json.loads(each) for each in self.carrier.receive(json.dumps(message), now_ms)]

    def plays_until(self, now_ms: int) -> list[Any]:
        return [json.loads(each) for each in self.carrier.advance(now_ms)]

    @property
    def warnings(self) -> list[str]:
        return [warning.reason for warning in self.carrier.warnings]


def position(item: int, played_ms: int, generation: int = 0) -> dict[str, Any]:
    return {
        "type": "position",
        "item": f"item_{item}",
        "played_ms": played_ms,
        "generation": generation,
    }


def flushed(item: int | None, played_ms: int, generation: int) -> dict[str, Any]:
    name = None if item is None else f"item_{item}"
    return {"type": "flushed", "item": name, "played_ms": played_ms, "generation": generation}


# -- playing -----------------------------------------------------------------------------------------


def test_it_says_who_it_is_when_it_opens() -> None:
    page = Page()
    assert page.opening == [{"type": "start", "stream": "browser-stream", "call": "browser-call"}]


def test_it_reports_every_50_ms_and_at_the_end_of_an_item() -> None:
    """The last report of an item is what tells that it was heard whole."""
    page = Page()
    assert page.hears(1, 0, 120) == []
    assert page.plays_until(49) == []
    assert page.plays_until(130) == [position(1, 50), position(1, 100), position(1, 120)]
    assert page.carrier.ear.heard_ms(1) == 120


def test_it_names_the_item_that_sounds_and_not_the_one_that_was_queued_last() -> None:
    """A known fault of players is to report the item being written: facts/transports.md 12."""
    page = Page()
    page.hears(1, 0, 60)
    page.hears(2, 0, 60)
    assert page.plays_until(120) == [
        position(1, 50),
        position(1, 60),
        position(2, 50),
        position(2, 60),
    ]


def test_an_item_that_ran_dry_counts_on_when_more_of_it_comes() -> None:
    """Positions count within the item, whatever gaps the network makes."""
    page = Page()
    page.hears(1, 0, 30)
    assert page.plays_until(200) == [position(1, 30)]
    page.hears(1, 30, 30, now_ms=200)
    assert page.plays_until(300) == [position(1, 50), position(1, 60)]


def test_the_next_event_is_the_next_report() -> None:
    page = Page(report_every_ms=100)
    assert page.carrier.next_event_ms is None
    page.hears(1, 0, 130, now_ms=1000)
    assert page.carrier.next_event_ms == 1100
    page.plays_until(1110)
    assert page.carrier.next_event_ms == 1130


def test_a_page_that_never_reports_plays_all_the_same() -> None:
    page = Page(marks_echoed=False)
    page.hears(1, 0, 120)
    assert page.plays_until(100) == []
    assert page.flushes(100, 1) == [flushed(None, 0, 0)]
    assert page.carrier.ear.heard_ms(1) == 100


# -- flushing ----------------------------------------------------------------------------------------


def test_a_flush_stops_the_sound_and_says_where() -> None:
    """More exactly than any report: at the millisecond."""
    page = Page()
    page.hears(1, 0, 200)
    assert page.flushes(73, 1) == [position(1, 50), flushed(1, 73, 0)]
    assert page.plays_until(500) == []
    assert page.carrier.ear.heard_ms(1) == 73


def test_a_flush_of_silence_names_no_item() -> None:
    page = Page()
    page.hears(1, 0, 40)
    assert page.flushes(60, 1) == [position(1, 40), flushed(None, 0, 0)]


def test_positions_count_from_what_was_first_sent_after_the_flush() -> None:
    """An item that a flush took along begins again where the session sends it from."""
    page = Page()
    page.hears(1, 0, 200)
    page.flushes(120, 1)
    page.hears(1, 100, 100, generation=1, now_ms=120)
    assert page.plays_until(300) == [position(1, 50, 1), position(1, 100, 1)]


def test_audio_from_before_a_flush_is_not_played_after_it() -> None:
    """Two messages on two ways may overtake each other; the generation tells."""
    page = Page()
    page.flushes(0, 2)
    assert page.hears(1, 0, 100, generation=1, now_ms=1) == []
    assert page.carrier.buffer.buffered_ms == 0 and page.warnings == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            {"type": "audio", "item": "i", "generation": 1, "audio": "AAAA"},
            "generation 1 after 0 flushes",
        ),
        ({"type": "audio", "item": "i", "generation": 0, "audio": "AA=="}, "1 bytes"),
        ({"type": "audio", "item": "i", "generation": 0, "audio": ""}, "0 bytes"),
        ({"type": "flush", "generation": 0}, "a flush to generation 0 in 0"),
        ({"type": "flush"}, "generation"),
        ({"type": "clear"}, "clear"),
        ({"type": "flush", "generation": 1, "stream": "s"}, "stream"),
    ],
)
def test_it_warns_of_what_the_protocol_does_not_have(message: dict[str, Any], reason: str) -> None:
    page = Page()
    assert page.takes(0, **message) == []
    assert len(page.warnings) == 1 and reason in page.warnings[0]


# -- the caller --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("audio", "caller"), [(name, each[1]) for name, each in FORMATS.items()])
def test_the_callers_voice_has_its_own_rate(audio: str, caller: int) -> None:
    page = Page(audio=audio)
    frames = page.carrier.caller_says(caller_speech(40, caller), 0)
    found = [base64.b64decode(json.loads(frame)["audio"]) for frame in frames]
    assert [len(frame) for frame in found] == [20 * caller] * 2


def test_keys_and_the_end_are_told() -> None:
    page = Page()
    said = [*page.carrier.caller_presses("5"), *page.carrier.stop(10), *page.carrier.stop(20)]
    assert [json.loads(each) for each in said] == [{"type": "dtmf", "digit": "5"}, {"type": "stop"}]
    assert page.hears(1, 0, 20, now_ms=30) == [] and page.plays_until(99) == []


def test_a_format_it_does_not_speak_is_refused() -> None:
    with pytest.raises(ValueError, match="opus"):
        BrowserCarrier(audio="opus")


# -- the table ---------------------------------------------------------------------------------------


def test_the_table_reads_all_that_the_page_says() -> None:
    """The page's words and the table's are the same protocol."""
    page = Page()
    page.hears(1, 0, 60)
    said = [*page.carrier.advance(55), *page.carrier.receive('{"type":"flush","generation":1}', 56)]
    said += [
        *page.carrier.receive('{"type":"flush","generation":2}', 57),
        *page.carrier.caller_presses("1"),
    ]
    said += [*page.carrier.caller_says(b"\1\2" * 480, 60), *page.carrier.stop(61)]
    start = ev.StreamStarted(stream="browser-stream", call="browser-call")
    found = [
        event for message in map(json.dumps, page.opening) for event in BROWSER.decode(message)
    ]
    assert found == [start]
    assert [event for message in said for event in BROWSER.decode(message)] == [
        ev.Played(item="item_1", played_ms=50, generation=0),
        ev.Played(item="item_1", played_ms=56, generation=0),
        ev.Cleared(),
        ev.Cleared(),
        ev.Dtmf(digit="1"),
        ev.CallerAudio(audio=b"\1\2" * 480),
        ev.StreamEnded(),
    ]


def test_the_page_takes_all_that_the_table_says() -> None:
    page = Page()
    for data in (
        *BROWSER.play(None, speech(1, 0, 50, PER_MS), "item_1", 0),
        *BROWSER.clear(None, 1),
        *BROWSER.play(None, speech(2, 0, 50, PER_MS), "item_2", 1),
    ):
        page.carrier.receive(data.decode(), 0)
    page.plays_until(100)
    assert page.warnings == [] and page.carrier.ear.items == [2]


def test_the_readings_say_voices_names_and_generations() -> None:
    ordered, returned = browser_facts.readings(PER_MS)
    [data] = BROWSER.play(None, speech(7, 100, 50, PER_MS), "item_7", 3)
    assert ordered(data.decode()) == Order("play", 7, 100, 150, item="item_7", generation=3)
    assert ordered(BROWSER.clear(None, 4)[0].decode()) == Order("clear", generation=4)
    told = Returned("played", item="item_7", ms=20, generation=3)
    assert returned(json.dumps(position(7, 20, 3))) == told
    assert returned(json.dumps(flushed(7, 20, 3))) == told
    assert returned(json.dumps(flushed(None, 0, 3))) == Returned("other")
    assert returned('{"type":"stop"}') == Returned("stop")


# -- always ------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 3), st.integers(1, 170)),
        st.tuples(st.just("plays"), st.just(0), st.integers(1, 230)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
    ),
    max_size=20,
)


@given(STEPS, st.integers(7, 120))
def test_no_report_says_more_than_the_ear_heard(
    steps: list[tuple[str, int, int]], every_ms: int
) -> None:
    """And the last report of an item that was played out says all of it."""
    page, now_ms, generation = Page(report_every_ms=every_ms, audio="mulaw"), 0, 0
    sent: dict[int, int] = {}
    begun: dict[int, int] = {}
    reported: dict[int, int] = {}

    def judge(messages: list[Any]) -> None:
        for message in messages:
            if message["item"] is None:
                continue
            assert message["generation"] == generation
            item = int(message["item"].removeprefix("item_"))
            reported[item] = begun[item] + message["played_ms"]
            assert reported[item] <= page.carrier.ear.heard_ms(item)

    for what, item, ms in steps:
        if what == "audio":
            at_ms = sent.get(item, 0)
            begun.setdefault(item, at_ms)
            judge(page.hears(item, at_ms, ms, generation, now_ms))
            sent[item] = at_ms + ms
        elif what == "plays":
            now_ms += ms
            judge(page.plays_until(now_ms))
        else:
            judge(page.flushes(now_ms, generation + 1))
            generation += 1
            for each in begun:  # The session sends from where it knows that it was heard.
                sent[each] = page.carrier.ear.heard_ms(each)
            begun.clear()
    judge(page.plays_until(now_ms + 10_000))
    assert page.warnings == []
    for item in begun:
        assert reported[item] == sent[item] == page.carrier.ear.heard_ms(item)


@given(st.lists(st.integers(1, 120), max_size=12), st.lists(st.integers(1, 90), max_size=30))
def test_how_often_it_is_asked_changes_nothing(pieces: list[int], steps: list[int]) -> None:
    """A clock that ticks often and one that ticks once give the same reports and the same sound."""

    def page() -> Page:
        made, at = Page(audio="mulaw"), [0, 0, 0]
        for number, ms in enumerate(pieces):
            item = number // 2 % 3
            made.hears(item, at[item], ms)
            at[item] += ms
        return made

    often, once = page(), page()
    said: list[Any] = []
    for now_ms in [sum(steps[: each + 1]) for each in range(len(steps))]:
        said += often.plays_until(now_ms)
    assert said == once.plays_until(sum(steps))
    assert often.carrier.key() == once.carrier.key()


def test_a_copy_goes_its_own_way() -> None:
    page = Page()
    page.hears(1, 0, 100)
    twin, key = page.carrier.copy(), page.carrier.key()
    assert twin.key() == key
    twin.plays_to_next_mark()
    assert page.carrier.key() == key != twin.key()


def test_what_is_forgotten_counts_from_its_first_millisecond_again() -> None:
    """The explorer gives names again: the count of an item that is over must not live on in another."""
    page = Page()
    page.hears(1, 0, 50)
    page.plays_until(60)
    page.carrier.forgets(1, 0)
    page.hears(1, 0, 50, now_ms=60)
    assert page.plays_until(120) == [position(1, 50)]


# -- the explorer ------------------------------------------------------------------------------------

OPENAI = adapters.provider("openai")


def plan(name: str, **bounds: int) -> Plan:
    return bounded(next(each for each in PLANS if each.name == name), **bounds)


@pytest.mark.parametrize("name", ["superseded", "hung up", "unmarked", "words"])
def test_reports_confirm_what_was_heard(name: str) -> None:
    found = search(plan(name, deltas=1), OPENAI, BROWSER)
    assert found.outcome.counterexample is None and not found.outcome.truncated


def test_items_without_names_of_the_server_are_reported_by_the_sessions_own() -> None:
    """Gemini names nothing; the page knows the items by the names that the session gives them."""
    found = search(plan("superseded", deadlines=0), adapters.provider("gemini"), BROWSER)
    assert found.outcome.counterexample is None and not found.outcome.truncated
    assert {"an item is heard full", "an item is heard partial"} <= found.happened


def test_counting_generations_again_hides_nothing() -> None:
    """The same world without reductions, where every generation keeps its number, has the same verdict."""
    small = plan("superseded", requests=1, interrupts=1, deltas=1)
    worlds: list[World] = [
        make(small, OPENAI, BROWSER, reductions=reductions) for reductions in (None, UNREDUCED)
    ]
    reduced, whole = [Search(world, max_states=200_000).run() for world in worlds]
    assert reduced.counterexample is None and whole.counterexample is None
    assert reduced.states < whole.states


def _misread(change: Callable[[ev.Played], ev.Played]) -> dict[str, Any]:
    def decode(message: str | bytes) -> tuple[ev.Event, ...]:
        return tuple(
            change(event) if isinstance(event, ev.Played) else event
            for event in BROWSER.decode(message)
        )

    return {"decode": decode}


FAULTS: dict[str, dict[str, Any]] = {
    "the generation of a report is not read": _misread(
        lambda event: ev.Played(event.item, event.played_ms, None)
    ),
    "positions are read as seconds": _misread(
        lambda event: ev.Played(event.item, event.played_ms // 1000, event.generation)
    ),
    "positions are read too far": _misread(
        lambda event: ev.Played(event.item, event.played_ms * 2, event.generation)
    ),
    "a flush names the generation that ends": {
        "clear": lambda stream, generation: BROWSER.clear(stream, generation - 1)
    },
    "audio names the first generation for ever": {
        "play": lambda stream, audio, item, generation: BROWSER.play(stream, audio, item, 0)
    },
    "audio names no item of its own": {
        "play": lambda stream, audio, item, generation: BROWSER.play(stream, audio, "x", generation)
    },
    "nothing is flushed": {"clear": lambda stream, generation: ()},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_misunderstands_the_page_is_found_out(fault: str) -> None:
    """So that a search that finds nothing means something."""
    transport = replace(BROWSER, **FAULTS[fault])
    found = search(plan("superseded"), OPENAI, transport)
    assert found.outcome.counterexample is not None
