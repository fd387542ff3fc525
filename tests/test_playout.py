"""The playout ledger by itself: what a mark credits, what a clear voids, who may speak when."""

import json
from base64 import b64decode
from collections.abc import Container

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bargein.adapters.twilio import ADAPTER
from bargein.runtime.actions import Action, ToTransport
from bargein.runtime.playout import Playout
from bargein.runtime.records import Item
from bargein.simulator.voice import speech

MARK_MS = 100


class Carrier:
    """A ledger, and what it wrote, as (what, milliseconds or name)."""

    def __init__(self, talking: Container[str] = (), pace_ms: dict[str, int] | None = None) -> None:
        adapter = replace(ADAPTER, pace_ms=pace_ms or {})
        self.playout = Playout(adapter, ADAPTER.audio["mulaw"], MARK_MS, "m")
        self.playout.open = True
        self.playout.stream = "MZ"
        self.talking = talking

    def item(self, name: str, ref: str = "r") -> Item:
        return Item(name, ref, "resp", 8)

    def takes(self, item: Item, ms: int, *, ended: bool = False) -> None:
        self.playout.take(item, speech(1, item.received_bytes // 8, ms))
        item.complete = ended

    def pumps(self, now_ms: int = 0) -> list[tuple[str, object]]:
        out: list[Action] = []
        self.playout.pump(now_ms, out, self.talking.__contains__)
        return _written(out)

    def clears(self, now_ms: int, *covered: str) -> list[tuple[str, object]]:
        out: list[Action] = []
        self.playout.clear(now_ms, covered, out)
        return _written(out)


def _written(out: list[Action]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for action in out:
        assert isinstance(action, ToTransport)
        message = json.loads(action.data)
        kind = message["event"]
        assert action.audio == (kind == "media")
        if kind == "media":
            found.append(("media", len(message["media"]["payload"]) * 3 // 4 // 8))
        else:
            found.append((kind, message.get("mark", {}).get("name")))
    return found


def test_a_mark_credits_its_item_up_to_its_position_and_no_further() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 250)
    assert carrier.pumps() == [
        ("media", 100),
        ("mark", "m1"),
        ("media", 100),
        ("mark", "m2"),
        ("media", 50),
    ]
    assert carrier.playout.marked("m1") is item and item.heard_bytes == 800
    assert carrier.playout.marked("m2") is item and item.heard_bytes == 1_600


@pytest.mark.parametrize("pieces_ms", [[20] * 15, [99, 99, 102], [130, 170], [250, 50], [300]])
def test_marks_stand_at_full_intervals_whatever_the_pieces(pieces_ms: list[int]) -> None:
    carrier = Carrier()
    item = carrier.item("i")
    for ms in pieces_ms:
        carrier.takes(item, ms)
        carrier.pumps()
    assert [position // 8 for _, _, position in carrier.playout.marks] == [100, 200, 300]


def test_the_end_of_an_item_is_marked_wherever_it_falls_and_once() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 130)
    carrier.pumps()
    item.complete = True
    assert carrier.pumps() == [("mark", "m2")]
    assert carrier.pumps() == []


def test_bytes_that_are_no_full_millisecond_round_down() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.playout.take(item, b"\xff" * 1_607)
    item.complete = True
    carrier.pumps()
    for name, _, _ in list(carrier.playout.marks):
        carrier.playout.marked(name)
    outcome = item.outcome()
    assert (outcome.received_ms, outcome.sent_ms, outcome.heard_ms) == (200, 200, 200)


def test_marks_returned_out_of_order_never_take_credit_back() -> None:
    """Some carriers return marks out of order."""
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 300)
    carrier.pumps()
    assert carrier.playout.marked("m3") is item and item.heard_bytes == 2_400
    assert carrier.playout.marked("m1") is item and item.heard_bytes == 2_400
    assert carrier.playout.marked("m1") is None


def test_an_unknown_mark_credits_nobody() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 100)
    carrier.pumps()
    assert carrier.playout.marked("m7") is None and item.heard_bytes == 0


def test_a_clear_voids_every_mark_that_is_out() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 300)
    carrier.pumps()
    carrier.playout.marked("m1")
    assert carrier.clears(150, "r") == [("clear", None)]
    assert carrier.playout.marked("m2") is None and carrier.playout.marked("m3") is None
    assert item.heard_bytes == 800


def test_what_a_clear_took_along_is_sent_again_from_the_last_confirmation() -> None:
    carrier = Carrier()
    item, other = carrier.item("i", "a"), carrier.item("j", "b")
    carrier.takes(item, 300, ended=True)
    carrier.takes(other, 100, ended=True)
    carrier.pumps()
    carrier.playout.marked("m1")
    carrier.clears(150, "b")
    carrier.playout.settle(other)
    assert carrier.pumps(150) == [
        ("media", 100),
        ("mark", "m5"),
        ("media", 100),
        ("mark", "m6"),
    ]
    carrier.playout.marked("m6")
    assert item.heard_bytes == item.received_bytes == 2_400


def test_what_is_sent_again_keeps_its_place_before_what_was_never_sent() -> None:
    carrier = Carrier()
    item, other = carrier.item("i", "a"), carrier.item("j", "b")
    carrier.takes(item, 100)
    carrier.pumps()
    carrier.clears(0, "b")
    carrier.takes(item, 50, ended=True)
    assert [what for what in carrier.pumps() if what[0] == "media"] == [
        ("media", 100),
        ("media", 50),
    ]
    assert other not in carrier.playout.queue


def test_another_response_waits_while_the_one_before_may_still_speak() -> None:
    talking = {"a"}
    carrier = Carrier(talking)
    first, second = carrier.item("i", "a"), carrier.item("j", "b")
    carrier.takes(first, 100)
    carrier.takes(second, 100)
    assert carrier.pumps() == [("media", 100), ("mark", "m1")]
    assert carrier.pumps() == []
    talking.clear()
    assert carrier.pumps() == [("media", 100), ("mark", "m2")]


def test_an_item_of_the_response_that_speaks_goes_before_another_response_s() -> None:
    carrier = Carrier({"a"})
    one, other, two = carrier.item("1", "a"), carrier.item("x", "b"), carrier.item("2", "a")
    carrier.takes(one, 100, ended=True)
    carrier.takes(other, 100, ended=True)
    carrier.takes(two, 100, ended=True)
    assert [item.item_id for item in carrier.playout.queue] == ["1", "2", "x"]


def test_an_item_of_one_response_is_sent_although_the_one_before_has_not_ended() -> None:
    """The unconfirmed rest of the first is marked before the second begins: whatever its end is, it comes first."""
    carrier = Carrier({"a"})
    one, two = carrier.item("1", "a"), carrier.item("2", "a")
    carrier.takes(one, 50)
    carrier.takes(two, 100)
    assert carrier.pumps() == [("media", 50), ("mark", "m1"), ("media", 100), ("mark", "m2")]
    assert carrier.playout.marked("m1") is one and one.heard_bytes == 400


def test_nothing_is_sent_before_the_stream_is_open() -> None:
    carrier = Carrier()
    carrier.playout.open = False
    item = carrier.item("i")
    carrier.takes(item, 300)
    assert carrier.pumps() == [] and item.sent_bytes == 0
    carrier.playout.open = True
    assert len(carrier.pumps()) == 6


def test_a_settled_item_leaves_no_audio_and_no_mark_behind() -> None:
    carrier = Carrier()
    item, other = carrier.item("i", "a"), carrier.item("j", "b")
    carrier.takes(item, 200, ended=True)
    carrier.takes(other, 100, ended=True)
    carrier.pumps()
    carrier.playout.settle(item)
    assert not item.held and not item.at_carrier
    assert [mark[0] for mark in carrier.playout.marks] == ["m3"]
    assert carrier.playout.queue == [other]


def test_the_clock_of_what_is_sent_runs_on_behind_what_was_sent_before() -> None:
    carrier = Carrier()
    one, two = carrier.item("1"), carrier.item("2")
    carrier.takes(one, 300, ended=True)
    carrier.pumps(1_000)
    carrier.takes(two, 200, ended=True)
    carrier.pumps(1_100)
    assert (one.clock_end_ms, two.clock_end_ms) == (1_300, 1_500)
    carrier.clears(1_200, "nobody")
    carrier.pumps(1_200)
    assert two.clock_end_ms == 1_700


def test_the_rest_of_an_item_leaves_when_its_response_has_no_more_to_say() -> None:
    """Filled up to a frame; while more may come it waits."""
    talking = {"r"}
    carrier = Carrier(talking, {"frame_ms": 20})
    carrier.takes(carrier.item("i"), 25)
    assert carrier.pumps() == [("media", 20)]
    assert carrier.pumps() == []
    talking.clear()
    assert carrier.pumps() == [("media", 20)]


PACES = st.fixed_dictionaries(
    {}, optional={"frame_ms": st.integers(1, 70), "ahead_ms": st.integers(1, 400)}
)


@given(PACES, st.lists(st.tuples(st.integers(1, 900), st.integers(0, 120)), max_size=12))
def test_at_any_pace_all_is_sent_once_and_in_order_and_none_too_early(
    pace_ms: dict[str, int], pieces: list[tuple[int, int]]
) -> None:
    """Whatever the sizes of deltas, in bytes, and the times between them, in milliseconds."""
    carrier = Carrier({"r"}, pace_ms)
    playout, item, now_ms = carrier.playout, carrier.item("i"), 0
    frame_bytes = 8 * pace_ms.get("frame_ms", 0)
    limit_ms = max(pace_ms.get("ahead_ms", 1 << 40), pace_ms.get("frame_ms", 0))
    speech_bytes, wire = b"", b""

    def pumps() -> None:
        nonlocal wire
        out: list[Action] = []
        playout.pump(now_ms, out, carrier.talking.__contains__)
        for action in out:
            assert isinstance(action, ToTransport)
            if action.audio:
                audio = b64decode(json.loads(action.data)["media"]["payload"])
                assert not frame_bytes or len(audio) == frame_bytes
                wire += audio
        assert playout.clock_end_ms - now_ms <= limit_ms
        assert sum(len(audio) for _, audio in item.held) == item.received_bytes - item.sent_bytes
        waits = item.received_bytes - item.sent_bytes
        if playout.due_ms is None:
            assert waits < max(frame_bytes, 1) and not (waits and item.complete)
        else:
            assert waits and playout.due_ms > now_ms

    for number, (size_bytes, wait_ms) in enumerate(pieces):
        audio = bytes([number + 1]) * size_bytes
        speech_bytes += audio
        playout.take(item, audio)
        pumps()
        now_ms += wait_ms
        pumps()
    item.complete = True
    pumps()
    while playout.due_ms is not None:
        now_ms = playout.due_ms
        pumps()
    filling = wire[len(speech_bytes) :]
    assert wire[: len(speech_bytes)] == speech_bytes
    assert len(filling) < max(frame_bytes, 1) and set(filling) <= {0xFF}


def test_a_copy_goes_its_own_way() -> None:
    carrier = Carrier()
    item = carrier.item("i")
    carrier.takes(item, 300)
    carrier.pumps()
    twins = {"i": item.copy()}
    twin = carrier.playout.copy(twins)
    assert twin.key() == carrier.playout.key()
    twin.marked("m1")
    assert twins["i"].heard_bytes == 800 and item.heard_bytes == 0
    assert twin.key() != carrier.playout.key()
