"""MULTI: several items, several responses, several kinds of content. facts/races.md R13-R15, R23."""

from bargein.runtime import actions as do

from .races import race
from .scene import Scene, audio_delta, both_engines

pytestmark = both_engines


@race("R13")
def test_r13_every_message_of_a_response_is_heard_in_order(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(500, 700, 300)
        call.hears_ms(1_499)
        call.is_open(str(reply.ref))
        call.hears_ms(1)
        resolved = call.resolves(str(reply.ref), "completed")
        assert [(each.item, each.state) for each in resolved.items] == [
            (item, "full") for item in reply.items
        ]
        assert call.ear.items == [call.memory(item).voice for item in reply.items]


@race("R13")
def test_r13_an_item_need_not_wait_for_the_end_of_the_one_before(engine: str) -> None:
    """The items' last events may come bunched at the end of the response; the speech does not stop for them."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        one, two = call.announces(response), call.announces(response)
        call.speaks(one, 550)
        call.speaks(two, 500)
        call.hears_ms(1_050)
        call.finishes(response)
        call.item_is(one, "full", 550)
        call.item_is(two, "full", 500)


@race("R13")
def test_r13_an_item_is_heard_although_the_one_before_has_not_been_ended(engine: str) -> None:
    """Its own marks are its evidence, and the next item's audio says that it is whole: nothing is cut."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        one, two = call.announces(response), call.announces(response)
        call.speaks(one, 550)
        call.speaks(two, 1_000)
        call.hears_ms(950)
        call.interrupts()
        call.does("clear", f"cancel {response}", f"truncate {two} 400")
        call.item_is(one, "full", 550)


@race("R14")
def test_r14_positions_count_from_the_item_s_own_start(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(3_000, 4_000)
        one, two = reply.items
        call.hears_ms(4_200)
        call.item_is(one, "full", 3_000)
        call.interrupts()
        call.does("clear", f"truncate {two} 1200")
        call.item_is(two, "partial", 1_200)


@race("R15")
def test_r15_what_was_generated_and_never_heard_is_forgotten(engine: str) -> None:
    """Queued, announced, and announced only after the interrupt: each is in the list, so each is deleted."""
    with Scene(engine) as call:
        reply = call.replies(1_000, 800, finished=False)
        playing, queued = reply.items
        call.ends(queued)
        announced = call.announces(reply.response)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}", f"truncate {playing} 400")
        afterwards = call.announces(reply.response)
        call.speaks(afterwards, 200)
        call.does()
        call.finishes(reply.response)
        call.does(*[f"delete {item}" for item in (queued, announced, afterwards)])
        kept = [each.item for each in call.server.memory() if not each.deleted]
        assert kept == [playing]


@race("R15")
def test_r15_a_finished_response_s_unheard_items_are_deleted_at_once(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(1_000, 800, 600)
        call.hears_ms(400)
        call.interrupts()
        one, two, three = reply.items
        call.does("clear", f"truncate {one} 400", f"delete {two}", f"delete {three}")


@race("R23")
def test_r23_all_items_queued_at_the_carrier_are_settled_each_at_its_own_place(engine: str) -> None:
    with Scene(engine) as call:
        items = [call.replies(1_000).item for _ in range(3)]
        call.hears_ms(700)
        call.interrupts()
        one, two, three = items
        call.does("clear", f"truncate {one} 700", f"delete {two}", f"delete {three}")
        assert [call.outcome(item).heard_ms for item in items] == [700, 0, 0]


def test_what_runs_beside_a_response_fills_its_gap_and_does_not_cut_into_its_speech(
    engine: str,
) -> None:
    """One voice at a time: while the first item sounds the other response waits; so does the second item then."""
    with Scene(engine) as call:
        main = call.replies(300, finished=False)
        beside = call.replies(300, beside=True, finished=False)
        call.ends(main.item)
        call.hears_ms(400)
        second = call.announces(main.response)
        call.speaks(second, 300)
        call.speaks(beside.item, 200)
        call.finishes(beside.response)
        call.finishes(main.response)
        call.hears_ms(700)
        voices = [call.memory(item).voice for item in (main.item, beside.item, second)]
        assert call.ear.items == voices


def test_a_scoped_interrupt_of_what_is_not_at_the_carrier_clears_nothing(engine: str) -> None:
    """What waits its turn here is dropped here; the voice that is being heard does not even stumble."""
    with Scene(engine) as call:
        main = call.replies(600, finished=False)
        beside = call.replies(300, beside=True)
        call.hears_ms(250)
        report = call.interrupts(beside.ref)
        call.does(f"delete {beside.item}")
        assert not report.cleared
        call.finishes(main.response)
        call.hears_ms(350)
        call.item_is(main.item, "full", 600)


# -- other ends ----------------------------------------------------------------------------------------


def test_a_failed_response_is_heard_as_far_as_it_came_and_resolves_failed(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(400, finished=False)
        call.finishes(reply.response, "failed")
        call.hears_ms(400)
        call.resolves(str(reply.ref), "failed", "failed")
        call.item_is(reply.item, "full", 400)


def test_an_incomplete_response_completes_and_says_why_it_is_short(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(400, finished=False)
        call.finishes(reply.response, "incomplete")
        call.hears_ms(400)
        call.resolves(str(reply.ref), "completed", "max_output_tokens")


def test_a_response_without_items_completes_at_its_last_word(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        call.finishes(response)
        assert call.resolves(ref, "completed").items == ()


@race("R85")
def test_an_item_that_ends_without_audio_holds_nobody_up(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(0, 300)
        call.hears_ms(300)
        call.resolves(str(reply.ref), "completed")
        call.item_is(reply.items[0], "skipped", 0)
        settled = [action.outcome.item for action in call.told(do.ItemSettled)]
        assert settled == list(reply.items)


def test_empty_deltas_are_nothing(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        for _ in range(2):
            call.server_says(audio_delta(response, item, ""))
        call.speaks(item, 200)
        call.server_says(audio_delta(response, item, ""))
        call.finishes(response)
        call.hears_ms(200)
        call.item_is(item, "full", 200)


def test_audio_that_trails_behind_the_end_of_its_item_is_heard(engine: str) -> None:
    """Its own done events may overtake it; the server remembers it, so the caller must hear it."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        call.speaks(item, 200)
        ids = {"response_id": response, "item_id": item, "content_index": 0, "output_index": 0}
        call.server_says({"type": "response.output_audio.done", **ids})
        call.hears_ms(100)
        call.speaks(item, 150)
        call.finishes(response)
        call.hears_ms(250)
        call.item_is(item, "full", 350)


def test_text_for_an_item_that_was_ended_is_not_handed_over(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "text")
        call.server_does(lambda server: server.says_text(response, item, "Words"))
        call.ends(item)
        ids = {"response_id": response, "item_id": item, "content_index": 0, "output_index": 0}
        call.server_says({"type": "response.output_text.delta", "delta": "late", **ids})
        call.finishes(response)
        assert [text.text for text in call.told(do.TextArrived)] == ["Words"]
        assert [fenced.kind for fenced in call.told(do.Fenced)] == ["text"]


def test_a_function_call_reaches_the_application(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        spoken = call.announces(response)
        call.speaks(spoken, 200)
        item = call.announces(response, "function_call")
        call.server_does(lambda server: server.calls(response, item, '{"town": "Rome"}'))
        call.finishes(response)
        (arrived,) = call.told(do.CallArrived)
        assert (arrived.ref, arrived.item, arrived.arguments) == (ref, item, '{"town": "Rome"}')
        call.hears_ms(200)
        assert [each.item for each in call.resolves(ref, "completed").items] == [spoken]


@race("R94")
def test_a_function_call_behind_an_interrupt_is_fenced(engine: str) -> None:
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        call.announces(response, "function_call")
        call.interrupts()
        call.does(f"cancel {response}")
        call.finishes(response)
        assert call.told(do.CallArrived) == []


@race("R74")
def test_words_reach_the_application_and_stop_at_the_interrupt(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(300, finished=False)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}")
        words = len(call.told(do.TextArrived))
        call.server_does(
            lambda server: server.trailing_delta(reply.response, reply.item, 100, "late")
        )
        assert len(call.told(do.TextArrived)) == words == 3
        assert all(text.spoken for text in call.told(do.TextArrived))


def test_a_confirmation_we_did_not_ask_for_passes_to_the_application(engine: str) -> None:
    """The application deletes an item of its own; the answer is the application's."""
    with Scene(engine) as call:
        reply = call.replies(200)
        call.hears_ms(200)
        call.tells({"type": "conversation.item.delete", "item_id": reply.item})
        call.unclaim()
        call.forgives.memory_ms = 200
        assert [p.kind for p in call.told(do.Passed)].count("conversation.item.deleted") == 1


def test_a_response_stopped_without_a_word_about_its_items_settles_them(engine: str) -> None:
    """The server stops it before its first audio, and says nothing but response.done."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        done = {"id": response, "status": "cancelled", "status_details": {"reason": "why_not"}}
        call.server_says({"type": "response.done", "response": done})
        call.does(f"delete {item}")
        call.resolves(ref, "interrupted", "why_not")
        call.item_is(item, "skipped", 0)
        call.finishes(response)


def test_the_states_a_response_goes_through_are_told(engine: str) -> None:
    with Scene(engine) as call:
        spoken = call.replies(200)
        call.hears_ms(200)
        assert call.states(str(spoken.ref)) == ["created", "streaming", "done"]
        assert call.states(spoken.item) == ["playing", "full"]

        cut = call.replies(200, finished=False)
        call.hears_ms(100)
        call.interrupts()
        call.does("clear", f"cancel {cut.response}", f"truncate {cut.item} 100")
        call.finishes(cut.response)
        assert call.states(str(cut.ref)) == ["created", "streaming", "cancelled"]
        assert call.states(cut.item) == ["playing", "partial"]

        refused = call.requests()
        call.does(f"create {refused}")
        call.refuses(refused)
        assert call.states(refused) == ["cancelled"]

        unborn = call.requests()
        call.does(f"create {unborn}")
        call.finishes(call.server.latest_response, "cancelled")
        assert call.states(unborn) == ["cancelled"]

        for stage in (["created"], ["created", "streaming"]):
            stopped = call.requests()
            call.does(f"create {stopped}")
            response = call.creates(stopped)
            if len(stage) == 2:
                call.speaks(call.announces(response), 100)
            call.finishes(response, "cancelled")
            call.unclaim()
            assert call.states(stopped) == [*stage, "cancelled"]
