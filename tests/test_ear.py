"""The ear and the labelled audio it traces: the oracle must be right before anything else can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bargein.simulator.ear import Ear, Segment
from bargein.simulator.voice import caller_speech, is_silence, silence, speech, trace


@given(
    item=st.integers(0, 0xFFFF),
    start_ms=st.integers(0, 1_000_000),
    duration_ms=st.integers(0, 60),
    bytes_per_ms=st.sampled_from([8, 16, 32, 48]),
)
def test_every_millisecond_of_speech_names_its_item_and_its_place(
    item: int, start_ms: int, duration_ms: int, bytes_per_ms: int
) -> None:
    """Whatever is cut out of it, on a millisecond, still says where it came from."""
    audio = speech(item, start_ms, duration_ms, bytes_per_ms)
    assert len(audio) == duration_ms * bytes_per_ms
    assert trace(audio, bytes_per_ms) == [(item, start_ms + ms) for ms in range(duration_ms)]
    assert trace(audio[bytes_per_ms:], bytes_per_ms) == trace(audio, bytes_per_ms)[1:]


def test_silence_and_a_talking_caller_are_nobody_s_item() -> None:
    """Else an echo of the caller would count as heard speech."""
    assert trace(silence(3) + caller_speech(2)) == [None] * 5
    assert is_silence(silence(20)) and is_silence(silence(20, 48), 48) and is_silence(b"")
    assert not is_silence(caller_speech(20)) and not is_silence(speech(0, 0, 1))
    assert len(caller_speech(7)) == 56


def test_a_mangled_or_incomplete_millisecond_is_not_traced() -> None:
    """A half-played or misaligned millisecond must not pass for a heard one."""
    audio = speech(1, 0, 3)
    assert trace(audio[:-3]) == [(1, 0), (1, 1), None]
    assert trace(audio[1:]) == [None, None, None]
    assert trace(audio[:4] + b"\x07" + audio[5:]) == [None, (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("item", "start_ms", "duration_ms", "bytes_per_ms"),
    [(-1, 0, 1, 8), (0x10000, 0, 1, 8), (0, -1, 1, 8), (0, 0, -1, 8), (0, 0, 1, 7)],
)
def test_speech_that_cannot_be_labelled_is_refused(
    item: int, start_ms: int, duration_ms: int, bytes_per_ms: int
) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        speech(item, start_ms, duration_ms, bytes_per_ms)


def test_an_item_heard_in_pieces_is_one_segment_and_has_no_faults() -> None:
    """How the carrier happened to slice it is not something a caller hears."""
    ear = Ear()
    for ms in range(0, 100, 20):
        ear.hear(speech(1, ms, 20), 1000 + ms)
    assert ear.segments == (Segment(1, 0, 100, 1000),)
    assert ear.heard_ms(1) == ear.heard_from_start_ms(1) == 100
    assert ear.faults() == []


def test_an_underrun_is_two_segments_but_no_fault() -> None:
    """The network was late; nothing was lost."""
    ear = Ear()
    ear.hear(speech(1, 0, 20), 0)
    ear.hear(speech(1, 20, 20), 50)
    assert ear.segments == (Segment(1, 0, 20, 0), Segment(1, 20, 40, 50))
    assert ear.heard_from_start_ms(1) == 40
    assert ear.faults() == []


def test_silence_leaves_no_segment_and_moves_those_after_it() -> None:
    ear = Ear()
    ear.hear(silence(30) + speech(1, 0, 10) + silence(5) + speech(2, 0, 10) + silence(9), 100)
    assert ear.segments == (Segment(1, 0, 10, 130), Segment(2, 0, 10, 145))
    assert ear.silent_since == 155
    assert ear.items == [1, 2]


def test_an_ear_that_heard_nothing_says_so() -> None:
    ear = Ear()
    assert (ear.silent_since, ear.items, ear.heard_ms(1), ear.heard_after(0)) == (None, [], 0, 0)
    assert ear.heard_from_start_ms(1) == 0 and ear.faults() == []


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([(1, 0, 20), (1, 10, 20)], "item 1: some of it was heard more than once"),
        ([(1, 0, 20), (1, 40, 20), (1, 20, 20)], "item 1: heard out of order"),
        ([(1, 0, 20), (1, 30, 20)], "item 1: heard with a gap"),
        ([(1, 20, 20)], "item 1: heard with a gap"),
        ([(1, 0, 20), (2, 0, 20), (1, 20, 20)], "item 1: resumed after another item had begun"),
    ],
)
def test_each_way_of_sounding_wrong_is_named(
    pieces: list[tuple[int, int, int]], fault: str
) -> None:
    ear, now_ms = Ear(), 0
    for piece in pieces:
        ear.hear(speech(*piece), now_ms)
        now_ms += piece[2]
    assert fault in ear.faults()


def test_a_repetition_and_a_hole_do_not_cancel_out() -> None:
    """Milliseconds are counted as different ones, not as many ones."""
    ear = Ear()
    ear.hear(speech(1, 0, 10) + speech(1, 0, 10) + speech(1, 15, 5), 0)
    assert ear.heard_ms(1) == 15
    assert ear.heard_from_start_ms(1) == 10
    assert ear.faults() == [
        "item 1: some of it was heard more than once",
        "item 1: heard out of order",
        "item 1: heard with a gap",
    ]


def test_a_sound_of_no_item_is_heard_and_reported() -> None:
    """A resampler's tail or a misaligned cut is noise to the caller; the ear must not call it silence."""
    ear = Ear()
    ear.hear(caller_speech(5), 0)
    ear.hear(speech(1, 0, 5)[3:], 5)
    assert ear.foreign_ms == 10 and ear.heard_after(0) == 10 and ear.heard_ms(1) == 0
    assert ear.faults() == ["10 ms of sound belong to no item"]


def test_what_was_heard_after_an_instant_can_be_asked_in_the_middle_of_a_segment() -> None:
    """Silence after an interrupt is measured from the interrupt, not from a frame's edge."""
    ear = Ear()
    ear.hear(speech(1, 0, 100) + speech(2, 0, 50), 1000)
    assert ear.heard_after(1070) == 80
    assert ear.heard_after(1070, item=1) == 30
    assert ear.heard_after(1150) == 0


def test_a_copy_hears_on_alone_and_equal_hearing_has_an_equal_key() -> None:
    """An explorer clones it at every branch and merges what sounded alike."""
    ear = Ear()
    ear.hear(speech(1, 0, 20), 0)
    twin = ear.copy()
    assert twin.key() == ear.key() and hash(twin.key()) == hash(ear.key())
    twin.hear(speech(1, 20, 20), 20)
    assert (ear.heard_ms(1), twin.heard_ms(1)) == (20, 40)
    assert twin.key() != ear.key()
    later = Ear()
    later.hear(speech(1, 0, 20), 500)
    assert later.key() == ear.key()
    assert later.key(with_times=True) != ear.key(with_times=True)


@given(cuts=st.lists(st.integers(1, 40), max_size=12), start_ms=st.integers(0, 10_000))
def test_slicing_never_changes_what_was_heard(cuts: list[int], start_ms: int) -> None:
    whole, sliced, at_ms = Ear(), Ear(), 0
    whole.hear(speech(7, 0, sum(cuts)), start_ms)
    for cut in cuts:
        sliced.hear(speech(7, at_ms, cut), start_ms + at_ms)
        at_ms += cut
    assert sliced.key(with_times=True) == whole.key(with_times=True)
