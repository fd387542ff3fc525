"""GEN≠HEARD and OFFSET: what was heard is what is remembered. facts/races.md R16, R18-R22, R35, R52-R58."""

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines


@race("R16")
def test_r16_speech_without_words_is_truncated_all_the_same(engine: str) -> None:
    """The wire action depends on the playback alone, not on what was transcribed."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 1_000, text="")
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"cancel {response}", f"truncate {item} 400")
        assert call.told(do.TextArrived) == []


@pytest.mark.parametrize("cause", ["vad", "api"])
@race("R18")
def test_r18_speech_stops_long_after_its_generation_has_ended(engine: str, cause: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(10_000)
        call.hears_ms(2_000)
        if cause == "vad":
            call.caller_speaks()
        else:
            call.interrupts()
        call.does(
            "clear", f"truncate {reply.item} 2000"
        )  # and no cancel: nothing is left to cancel
        call.resolves(str(reply.ref), "interrupted")
        call.item_is(reply.item, "partial", 2_000)
        media = len(call.sent("media"))
        call.waits_ms(3_000)
        assert len(call.sent("media")) == media


@race("R19")
def test_r19_whatever_a_clear_silences_the_model_is_told(engine: str) -> None:
    """One snapshot: the clear and the settlement of every item it hits are one decision."""
    with Scene(engine) as call:
        one, two = call.replies(1_000, 1_000), call.replies(500, beside=True)
        call.hears_ms(1_300)
        report = call.interrupts()
        call.does(
            "clear", f"truncate {one.items[1]} 300", f"delete {two.item}"
        )  # the first item was heard to its end
        assert report.cleared
        assert report.truncated == [(one.items[1], 300)] and report.forgotten == [two.item]


@race("R20")
def test_r20_deltas_that_trail_behind_an_interrupt_refill_nothing(engine: str) -> None:
    with Scene(engine) as call:
        first = call.replies(1_000, finished=False)
        call.hears_ms(300)
        call.interrupts()
        call.does("clear", f"cancel {first.response}", f"truncate {first.item} 300")
        media = len(call.sent("media"))
        call.speaks(first.item, 400)
        call.finishes(first.response)
        call.speaks(first.item, 400)  # even behind the last word
        assert len(call.sent("media")) == media
        second = call.replies(500)
        call.hears_ms(500)
        call.item_is(second.item, "full", 500)
        kinds = [f.kind for f in call.told(do.Fenced) if f.response == first.response]
        assert kinds == ["text", "audio", "late"]  # said once per kind, not once per delta


@race("R21")
def test_r21_the_position_of_one_item_is_not_that_of_the_next(engine: str) -> None:
    """The first item's closing mark is under way: the second has no evidence of its own, so it has none."""
    with Scene(engine) as call:
        reply = call.replies(700, 2_000)
        one, two = reply.items
        call.hears_ms(600)
        with call.held("from_carrier"):
            call.hears_ms(150)
            call.interrupts()
            call.does("clear", f"truncate {one} 600", f"delete {two}")
        call.item_is(one, "partial", 600)
        call.item_is(two, "skipped", 0)


@race("R22")
def test_r22_marks_that_a_clear_returns_prove_nothing(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(900)
        call.hears_ms(330)
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 300")
        call.item_is(reply.item, "partial", 300)
        second = call.replies(500)  # nor are they credited to the next generation
        call.hears_ms(150)
        call.interrupts()
        call.does("clear", f"truncate {second.item} 100")


@pytest.mark.parametrize("mark", ["bargein_mark_99", "bargein_mark_5", "foreign", ""])
@race("R22")
def test_r22_marks_unknown_or_not_yet_sent_change_nothing(engine: str, mark: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(400)
        call.hears_ms(200)
        call.carrier_says({"event": "mark", "streamSid": "MZ", "mark": {"name": mark}})
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 200")


@race("R22")
def test_r22_marks_under_way_at_the_clear_are_void_and_the_cut_is_on_the_safe_side(
    engine: str,
) -> None:
    """The caller heard 500 ms; the evidence of the last 300 was on its way. Less is remembered, never more."""
    with Scene(engine) as call:
        reply = call.replies(900)
        call.hears_ms(200)
        call.forgives.memory_ms = 300
        with call.held("from_carrier"):
            call.hears_ms(300)
            call.interrupts()
            call.does("clear", f"truncate {reply.item} 200")
        call.item_is(reply.item, "partial", 200)


def test_a_clear_under_way_is_followed_by_nothing_of_what_it_silences(engine: str) -> None:
    with Scene(engine) as call:
        first = call.replies(900, finished=False)
        call.hears_ms(300)
        call.forgives.after_ms = 120
        call.forgives.memory_ms = 120
        with call.held("to_carrier"):
            call.interrupts()
            call.does("clear", f"cancel {first.response}", f"truncate {first.item} 300")
            call.hears_ms(120)
        call.waits_ms(500)


# -- offsets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta_ms", [20, 30, 99, 100, 130, 250, 1_000])
def test_a_mark_stands_at_every_hundred_milliseconds_whatever_the_size_of_a_delta(
    engine: str, delta_ms: int
) -> None:
    """So that what is remembered is at most one interval short of what was heard."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 2_000, delta_ms=delta_ms)
        call.hears_ms(799)
        call.interrupts()
        call.does("clear", f"cancel {response}", f"truncate {item} 700")


@race("R52")
def test_r52_nothing_is_truncated_where_nothing_was_cut(engine: str) -> None:
    """A normal next turn after speech heard to its end."""
    with Scene(engine) as call:
        call.replies(500)
        call.hears_ms(500)
        call.caller_speaks()
        call.does()


@race("R52")
def test_r52_a_position_is_never_beyond_what_was_received(engine: str) -> None:
    """Generation is slower than speech for once: all that has arrived was heard, and more will come."""
    with Scene(engine) as call:
        reply = call.replies(500, finished=False)
        call.waits_ms(2_000)
        call.interrupts()
        call.does(f"cancel {reply.response}", f"truncate {reply.item} 500")


@race("R53")
def test_r53_zero_is_four_situations(engine: str) -> None:
    """Unknown to the server: nothing. Announced: delete. Audio unheard: delete. Heard under a mark: delete."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        call.interrupts()  # no item at all
        call.does(f"cancel {response}")
        call.finishes(response)
        call.does()

        reply = call.replies(500)
        call.interrupts()  # audio, none played
        call.does("clear", f"delete {reply.item}")
        call.item_is(reply.item, "skipped", 0)

        reply = call.replies(500)
        call.hears_ms(60)  # played, but no mark says so
        call.interrupts()
        call.does("clear", f"delete {reply.item}")
        call.item_is(reply.item, "skipped", 0)


@race("R53")
def test_r53_an_item_the_server_does_not_know_is_as_good_as_forgotten(engine: str) -> None:
    """Not found on delete: it does not remember, which is all we want."""
    with Scene(engine) as call:
        reply = call.replies(500)
        delete = {"type": "conversation.item.delete", "item_id": reply.item}
        call.tells(delete)
        call.unclaim()
        call.interrupts()
        call.does("clear", f"delete {reply.item}")
        assert call.outcome(reply.item).memory == "exact"
        assert call.told(do.Problem) == []


@race("R58")
def test_r58_a_truncate_that_asks_too_much_is_asked_once_more_for_less(engine: str) -> None:
    """The server counts 85 ms less than its bytes hold; the call goes on, the memory is exact."""
    with Scene(engine, rules=Rules(truncate_margin_ms=85)) as call:
        call.forgives.memory_ms = 200
        reply = call.replies(700, finished=False)
        call.hears_ms(700)
        call.interrupts()
        item = reply.item
        call.does(f"cancel {reply.response}", f"truncate {item} 700", f"truncate {item} 600")
        assert call.outcome(item).memory == "exact"
        assert call.told(do.Problem) == []


@race("R58")
def test_r58_a_truncate_refused_twice_is_a_divergence_that_is_told(engine: str) -> None:
    with Scene(engine, rules=Rules(truncate_margin_ms=250)) as call:
        call.forgives.divergence = True
        reply = call.replies(700)
        with call.held("from_carrier"):
            call.hears_ms(700)
            call.delivers("from_carrier", 6)
            call.interrupts()
            call.does("clear", *[f"truncate {reply.item} {ms}" for ms in (600, 500)])
        outcome = call.outcome(reply.item)
        assert outcome.memory == "diverged" and "already shorter" in (outcome.reason or "")


@pytest.mark.parametrize("reply_ms", [40, 100])
@race("R58")
def test_r58_asking_for_less_never_asks_for_less_than_one_millisecond(
    engine: str, reply_ms: int
) -> None:
    """Truncate at zero is ambiguous."""
    with Scene(engine, rules=Rules(truncate_margin_ms=99)) as call:
        reply = call.replies(reply_ms, finished=False)
        call.hears_ms(reply_ms)
        call.interrupts()
        call.unclaim()
        assert all(m["audio_end_ms"] > 0 for m in call.sent("conversation.item.truncate"))
        call.forgives.divergence = True
        assert reply.item in call.outcomes


@race("R67")
def test_r67_a_refused_truncate_does_not_free_the_slot(engine: str) -> None:
    with Scene(engine, rules=Rules(truncate_margin_ms=500)) as call:
        call.forgives.divergence = True
        reply = call.replies(700, finished=False)
        call.hears_ms(250)
        successor = call.requests()
        call.interrupts(reply.ref)
        call.does(
            "clear",
            f"cancel {reply.response}",
            f"truncate {reply.item} 200",
        )
        call.finishes(reply.response)
        call.does(f"create {successor}")


def test_an_unanswered_truncate_diverges_after_a_bounded_wait(engine: str) -> None:
    with Scene(engine, settings=Settings(answer_ms=2_000)) as call:
        call.forgives.divergence = True
        reply = call.replies(700)
        call.hears_ms(300)
        with call.held("from_server"):
            call.interrupts()
            call.does("clear", f"truncate {reply.item} 300")
            call.waits_ms(1_999)
            assert call.outcome(reply.item).memory == "pending"
            call.waits_ms(1)
        outcome = call.outcome(reply.item)
        assert (outcome.memory, outcome.reason) == ("diverged", "the server did not answer")


# -- carriers that do not confirm ----------------------------------------------------------------------


@race("R35")
def test_r35_where_no_mark_comes_back_the_clock_settles_the_item(engine: str) -> None:
    """An estimate, and named so; the next request is not held for ever."""
    with Scene(engine, marks_echoed=False) as call:
        call.forgives.next_turn = True
        for _ in range(2):
            reply = call.replies(500)
            call.waits_ms(2_499)
            call.is_open(str(reply.ref))
            call.waits_ms(1)
            call.resolves(str(reply.ref), "completed")
            call.item_is(reply.item, "full", 500)
            assert call.outcome(reply.item).evidence == "clock"


@race("R35")
def test_r35_speech_that_nothing_confirms_is_cut_at_nothing(engine: str) -> None:
    """Without evidence nothing counts as heard: the model forgets the item rather than invent a position."""
    with Scene(engine, marks_echoed=False) as call:
        call.forgives.next_turn = True
        call.forgives.memory_ms = 400
        reply = call.replies(1_000)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"delete {reply.item}")


def test_a_mark_that_is_late_is_better_evidence_than_the_clock(engine: str) -> None:
    """Marks are echoed after the slack has passed; they are known for what they are and change nothing."""
    with Scene(engine) as call:
        reply = call.replies(500)
        with call.held("from_carrier"):
            call.waits_ms(2_500)
            call.item_is(reply.item, "full", 500)
        assert call.told(do.Problem) == []
        assert [passed for passed in call.told(do.Passed) if passed.side == "transport"] == []


@race("R80")
def test_a_mark_that_was_lost_costs_no_more_than_its_own_evidence(engine: str) -> None:
    """The second item is confirmed to its end before anything was known of the first one's."""
    with Scene(engine) as call:
        reply = call.replies(300, 200)
        one, two = reply.items
        with call.held("from_carrier"):
            call.hears_ms(310)
            call.drops("from_carrier")
        call.hears_ms(190)
        call.item_is(two, "full", 200)
        assert call.states(two) == ["full"]
        call.is_open(str(reply.ref))
        call.waits_ms(2_000)
        call.item_is(one, "full", 300)
        assert (call.outcome(one).evidence, call.outcome(two).evidence) == ("clock", "marks")


def test_a_delete_that_is_refused_is_a_divergence_that_is_told(engine: str) -> None:
    """The last word did not come in time, so the delete was asked for before it, and the server would not."""
    settings = Settings(settled_ms=1_000)
    with Scene(engine, settings=settings, rules=Rules(delete_in_progress="refused")) as call:
        call.forgives.divergence = True
        reply = call.replies(300, finished=False)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}")
        call.waits_ms(1_000)
        call.does(f"delete {reply.item}")
        outcome = call.outcome(reply.item)
        assert (outcome.state, outcome.memory) == ("skipped", "diverged")
        assert outcome.reason == "The item is still being generated."


def test_a_delete_that_is_not_answered_is_a_divergence_that_is_told(engine: str) -> None:
    with Scene(engine, settings=Settings(answer_ms=1_000)) as call:
        call.forgives.divergence = True
        reply = call.replies(300)
        with call.held("from_server"):
            call.interrupts()
            call.does("clear", f"delete {reply.item}")
            call.waits_ms(1_000)
        assert call.outcome(reply.item).memory == "diverged"
