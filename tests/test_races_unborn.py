"""UNBORN: what is withdrawn before the server has named it. facts/races.md R01, R02, R08-R10, R24-R26."""

from typing import Literal

import pytest

from bargein.runtime import actions as do
from bargein.runtime.session import Settings
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines


@race("R01")
def test_r01_interrupt_before_created_is_cancelled_by_id_when_it_is_born(engine: str) -> None:
    """The handle does not wait for the server; the tombstone does."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        report = call.interrupts()
        call.does()
        call.resolves(ref, "interrupted")
        assert report.withdrawn == [ref] and report.cancelled == []

        response = call.creates(ref)
        call.does(f"cancel {response}")
        item = call.announces(response)
        call.speaks(item, 500)  # under way when the cancel arrived
        successor = call.requests()
        call.does()  # the slot is not free before the last word

        call.finishes(response)
        call.does(f"delete {item}", f"create {successor}")
        assert call.sent("media") == []


@race("R01")
def test_r01_a_second_interrupt_of_the_same_request_changes_nothing(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        assert call.interrupts().covered == []
        response = call.creates(ref)
        call.does(f"cancel {response}")
        call.interrupts()
        call.does()


@race("R01")
def test_r01_of_two_unborn_requests_only_the_one_addressed_dies(engine: str) -> None:
    """The sibling is born first, the doomed one second: each is known by its name, not by its place."""
    with Scene(engine) as call:
        main = call.requests()
        call.does(f"create {main}")
        beside = call.requests(beside=True)
        call.does(f"create {beside}")
        call.interrupts(main)
        call.resolves(main, "interrupted")

        sibling = call.creates(beside)
        call.does()
        doomed = call.creates(main)
        call.does(f"cancel {doomed}")
        item = call.announces(sibling)
        call.speaks(item, 300)
        call.finishes(sibling)
        call.hears_ms(300)
        call.item_is(item, "full", 300)
        call.resolves(beside, "completed")


INSTANTS = ("unwritten", "written", "created on the wire", "created", "audio arriving")


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("cause", ["interrupt", "timeout"])
@race("R02")
def test_r02_a_withdrawal_has_one_outcome_at_every_instant(
    engine: str, cause: str, instant: str
) -> None:
    """Whether the future was pending must not decide; the state of the response does.

    A timeout is for the creation: it does not concern a response that is created.
    """
    with Scene(engine, settings=Settings(created_ms=1_000, hold_ms=1_000)) as call:
        verdict = {"interrupt": "interrupted", "timeout": "timed_out"}[cause]

        def withdraws(ref: str) -> None:
            if cause == "interrupt":
                call.interrupts(ref)
            else:
                call.waits_ms(1_000)

        if instant == "unwritten":
            first = call.replies(2_000, finished=False)
            ref = call.requests()
            withdraws(ref)
            call.does()
            call.resolves(ref, verdict)
            call.finishes(first.response)
            call.does()  # never written: neither now nor when the slot is free
            return

        if instant == "written":
            with call.held("to_server"):
                ref = call.requests()
                call.does(f"create {ref}")
                withdraws(ref)
            response = call.creates(ref)
            call.does(f"cancel {response}")
        elif instant == "created on the wire":
            ref = call.requests()
            call.does(f"create {ref}")
            with call.held("from_server"):
                response = call.creates(ref)
                withdraws(ref)
                call.does()
            call.does(f"cancel {response}")
        else:
            ref = call.requests()
            call.does(f"create {ref}")
            response = call.creates(ref)
            item = call.announces(response)
            if instant == "audio arriving":
                call.speaks(item, 300)
            withdraws(ref)
            if cause == "timeout":
                call.does()
                call.is_open(ref)
                return
            call.does(*["clear"] * (instant == "audio arriving"), f"cancel {response}")
        call.resolves(ref, verdict)

        late = call.announces(response)
        call.speaks(late, 300)
        call.does()
        call.finishes(response)
        call.unclaim()
        assert call.ear.segments == ()
        assert all(each.deleted for each in call.server.memory())


@pytest.mark.parametrize("cause", ["interrupt", "timeout"])
@race("R02")
def test_r02_a_doomed_response_whose_created_was_lost_is_cancelled_at_its_first_content(
    engine: str, cause: str
) -> None:
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        else:
            call.waits_ms(1_000)
        response = call.creates(ref, created_event=False)
        call.does()
        item = call.announces(response)
        call.does(f"cancel {response}")
        call.speaks(item, 300)
        call.finishes(response)
        call.does(f"delete {item}")
        assert call.sent("media") == []


@pytest.mark.parametrize("cause", ["nobody", "interrupt", "timeout"])
def test_the_first_sign_of_life_may_be_the_speech_itself(engine: str, cause: str) -> None:
    """Created and announced were lost on the way: the audio names the response."""
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        elif cause == "timeout":
            call.waits_ms(1_000)
        response = call.creates(ref, created_event=False)
        with call.held("from_server"):
            item = call.announces(response)
            call.drops("from_server")
        call.speaks(item, 400)
        if cause == "nobody":
            call.finishes(response)
            call.hears_ms(400)
            call.resolves(ref, "completed")
            assert call.states(ref) == ["streaming", "done"]
        else:
            call.does(f"cancel {response}")
            call.finishes(response)
            call.does(f"delete {item}")
            assert call.sent("media") == []


def test_two_responses_whose_birth_was_lost_are_told_apart_by_their_names(engine: str) -> None:
    """The first content binds the server's id; the next id is the next request's."""
    with Scene(engine) as call:
        refs = []
        for _ in range(2):
            refs.append(call.requests(beside=True))
            call.does(f"create {refs[-1]}")
        items = []
        for ref in refs:
            response = call.creates(ref, created_event=False)
            with call.held("from_server"):
                items.append(call.announces(response))
                call.drops("from_server")
            call.speaks(items[-1], 200)
        for item in reversed(items):
            call.finishes(call.memory(item).response or "")
        call.hears_ms(400)
        for ref, item in zip(refs, items, strict=True):
            assert [each.item for each in call.resolves(ref, "completed").items] == [item]


@pytest.mark.parametrize("cause", ["interrupt", "timeout"])
def test_a_ghost_announced_twice_is_cancelled_once(engine: str, cause: str) -> None:
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        else:
            call.waits_ms(1_000)
        response = call.creates(ref)
        call.does(f"cancel {response}")
        again = {"id": response, "metadata": {"client_event_id": ref}}
        call.server_says({"type": "response.created", "response": again})
        call.does()


def test_lost_created_content_belongs_to_the_request_that_waits(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref, created_event=False)
        item = call.announces(response)
        call.speaks(item, 400)
        call.finishes(response)
        call.hears_ms(400)
        call.resolves(ref, "completed")
        call.item_is(item, "full", 400)


@pytest.mark.parametrize("status", ["cancelled", "completed", "failed"])
@race("R08")
def test_r08_a_done_without_created_settles_the_request_it_names(
    engine: str, status: Literal["cancelled", "completed", "failed"]
) -> None:
    """An interrupt raced the birth on the server: its end is all that is told."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.finishes(call.server.latest_response, status)
        call.does()
        verdicts = {"cancelled": "interrupted", "completed": "completed", "failed": "failed"}
        assert call.resolved[ref].verdict == verdicts[status]


@race("R08")
def test_r08_a_done_without_created_ends_the_wait_of_a_withdrawn_request(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        successor = call.requests()
        call.does()
        call.finishes(call.server.latest_response, "cancelled")
        call.does(f"create {successor}")  # and no cancel: it is over


@race("R08")
def test_r08_a_done_that_names_nobody_we_know_settles_nobody(engine: str) -> None:
    """Without metadata and with an unknown id it is not ours; it passes to the application untouched."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        done = {"type": "response.done", "response": {"id": "resp_else", "status": "cancelled"}}
        call.server_says(done)
        call.does()
        call.is_open(ref)
        assert [passed.kind for passed in call.told(do.Passed)].count("response.done") == 1


@pytest.mark.parametrize("status", ["cancelled", "completed"])
@pytest.mark.parametrize("cause", ["nobody", "interrupt", "timeout"])
@race("R08")
def test_r08_what_trails_behind_a_done_without_created_is_not_heard(
    engine: str, cause: str, status: Literal["cancelled", "completed"]
) -> None:
    """The last word gave the response its name: what still comes under that name is over."""
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        elif cause == "timeout":
            call.waits_ms(1_000)
        response = call.server.latest_response
        call.finishes(response, status)
        ids = {"response_id": response, "item_id": "item_late", "content_index": 0}
        delta = {"type": "response.output_audio.delta", "delta": "/////////////w==", **ids}
        call.server_says(delta)
        call.does()
        assert call.sent("media") == []


@pytest.mark.parametrize("status", ["cancelled", "completed"])
@race("R09")
def test_r09_a_reply_after_the_timeout_is_a_ghost_and_stays_unheard(
    engine: str, status: Literal["cancelled", "completed"]
) -> None:
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.waits_ms(999)
        call.is_open(ref)
        call.waits_ms(1)
        call.does()
        call.resolves(ref, "timed_out")

        response = call.creates(ref)
        call.does(f"cancel {response}")
        item = call.announces(response)
        call.speaks(item, 800)
        successor = call.requests()
        call.does()  # busy until the ghost's last word
        call.finishes(response, status)
        call.does(f"delete {item}", f"create {successor}")
        assert call.sent("media") == []


@pytest.mark.parametrize("cause", ["interrupt", "timeout"])
@race("R10")
def test_r10_the_tombstone_outlives_the_wait_for_the_slot(engine: str, cause: str) -> None:
    """Giving up the slot must not erase the evidence by which a very late birth is recognised."""
    settings = Settings(created_ms=1_000, settled_ms=2_000)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if cause == "interrupt":
            call.interrupts()
        else:
            call.waits_ms(1_000)
        successor = call.requests()
        call.waits_ms(1_999)
        call.does()
        call.waits_ms(1)
        call.does(f"create {successor}")  # a bounded wait: others may speak

        ghost = call.creates(ref)
        call.does(f"cancel {ghost}")
        item = call.announces(ghost)
        call.speaks(item, 500)
        call.does()
        call.finishes(ghost)
        call.does(f"delete {item}")
        reply = call.creates(successor)
        spoken = call.announces(reply)
        call.speaks(spoken, 300)
        call.finishes(reply)
        call.hears_ms(300)
        call.resolves(successor, "completed")


@race("R10")
def test_r10_a_ghost_born_after_the_wait_makes_others_wait_once_more_and_no_longer(
    engine: str,
) -> None:
    settings = Settings(created_ms=1_000, settled_ms=2_000)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.waits_ms(3_000)  # timed out, and the wait for its last word is over
        ghost = call.creates(ref)
        call.does(f"cancel {ghost}")
        successor = call.requests()
        call.waits_ms(1_999)
        call.does()
        call.waits_ms(1)
        call.does(f"create {successor}")


def test_two_requests_whose_created_was_lost_both_come_to_an_end(engine: str) -> None:
    """By order the content is taken for the older one's; the last word says whose it was."""
    with Scene(engine) as call:
        older = call.requests(beside=True)
        call.does(f"create {older}")
        younger = call.requests(beside=True)
        call.does(f"create {younger}")
        response = call.creates(younger, created_event=False)
        item = call.announces(response)
        call.speaks(item, 200)
        call.finishes(response)
        call.hears_ms(200)
        call.resolves(younger, "completed")
        late = call.creates(older)  # nobody waits for it any more: it was answered
        call.does(f"cancel {late}")


@race("R10")
def test_a_birth_that_names_a_request_long_forgotten_is_a_ghost(engine: str) -> None:
    """Our name on it is evidence enough: the request it names was answered, and nobody waits for another."""
    with Scene(engine) as call:
        first = call.replies(300)
        call.hears_ms(300)
        assert first.ref is not None
        call.resolves(first.ref, "completed")
        for name in ("resp_ghost_1", "resp_ghost_2"):
            metadata = {"client_event_id": first.ref}
            response = {"id": name, "metadata": metadata}
            call.server_says({"type": "response.created", "response": response})
            call.does(f"cancel {name}")
            done = response | {"status": "cancelled"}
            call.server_says({"type": "response.done", "response": done})
            call.does()


def test_a_second_birth_of_one_request_is_a_ghost(engine: str) -> None:
    """One request, one child: the twin is nobody's, and must not be taken for a reply of the server's own."""
    with Scene(engine) as call:
        reply = call.replies(300, finished=False)
        twin = {"id": "resp_twin", "metadata": {"client_event_id": reply.ref}}
        call.server_says({"type": "response.created", "response": twin})
        call.does("cancel resp_twin")
        call.server_says(
            {
                "type": "response.output_audio.delta",
                "response_id": "resp_twin",
                "item_id": "item_twin",
                "content_index": 0,
                "delta": "/////////////w==",
            },
            {"type": "response.done", "response": twin | {"status": "cancelled"}},
        )
        call.does("delete item_twin")
        call.finishes(reply.response)
        call.hears_ms(300)
        call.item_is(reply.item, "full", 300)


@race("R24")
def test_r24_an_interrupt_before_the_first_audio_cancels_once_and_truncates_nothing(
    engine: str,
) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        report = call.interrupts()
        call.does(f"cancel {response}")
        assert report.cancelled == [response] and not report.cleared
        call.resolves(ref, "interrupted")
        call.finishes(response)
        call.does()


@race("R24", "R53")
def test_r24_an_item_announced_without_audio_is_deleted_never_truncated(engine: str) -> None:
    """A truncate of an item that has no audio is an error; the delete waits for the response's end."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.interrupts()
        call.does(f"cancel {response}")
        call.finishes(response)
        call.does(f"delete {item}")
        call.item_is(item, "skipped", 0)


@race("R25")
def test_r25_the_tools_of_a_request_that_was_stopped_are_not_run(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        response = call.creates(ref)
        call.does(f"cancel {response}")
        item = call.announces(response, "function_call")
        call.server_does(lambda server: server.calls(response, item, '{"town": "Rome"}'))
        call.finishes(response)
        call.does()
        assert call.told(do.CallArrived) == []
        assert [fenced.kind for fenced in call.told(do.Fenced)] == ["call"]


@pytest.mark.parametrize("cause", ["interrupt", "timeout", "hangup"])
@race("R26")
def test_r26_a_request_that_waits_for_its_turn_is_dropped_unwritten(
    engine: str, cause: str
) -> None:
    with Scene(engine, settings=Settings(hold_ms=3_000)) as call:
        first = call.replies(4_000, finished=False)
        ref = call.requests()
        call.hears_ms(1_000)
        call.does()
        if cause == "interrupt":
            report = call.interrupts(ref)
            assert report.withdrawn == [ref]
            call.resolves(ref, "interrupted")
        elif cause == "timeout":
            call.hears_ms(2_000)
            call.resolves(ref, "timed_out")
        else:
            call.hangs_up()
            call.does(f"cancel {first.response}", f"truncate {first.item} 1000")
            call.resolves(ref, "interrupted")
        call.does()
        call.finishes(first.response)
        call.does()
        assert [m["event_id"] for m in call.sent("response.create")] == [first.ref]
