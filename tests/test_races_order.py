"""ORDER, LIMBO and ERR-ROUTE: in which order, to what end, and who is told.

facts/races.md R17, R28, R43, R44, R64, R74, R76, R79, R80, R85.
"""

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime.session import Session, Settings
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines

QUESTION = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]}

# -- in the order decided ------------------------------------------------------------------------------


@race("R43")
def test_r43_the_wire_has_the_order_of_the_decisions(engine: str) -> None:
    """Interrupt, new question, request: one outbox; ReviewStage/luke#695 had a sender for each."""
    with Scene(engine) as call:
        first = call.replies(2_000, finished=False)
        call.hears_ms(300)
        call.interrupts()
        call.does("clear", f"cancel {first.response}", f"truncate {first.item} 300")
        call.tells({"type": "conversation.item.create", "item": QUESTION})
        second = call.requests()
        call.does()
        call.finishes(first.response)
        call.does(f"create {second}")
        assert [m["type"] for m in call.sent_messages if "type" in m] == [
            "response.create",
            "response.cancel",
            "conversation.item.truncate",
            "conversation.item.create",
            "response.create",
        ]


@pytest.mark.parametrize("overtaken", [False, True], ids=["in order", "overtaken by the create"])
@race("R43")
def test_r43_a_cancel_that_comes_after_the_next_birth_hits_nobody(
    engine: str, overtaken: bool
) -> None:
    """It names the response it is for, so even a network that reorders does no harm."""
    with Scene(engine) as call:
        first = call.replies(2_000, finished=False)
        call.hears_ms(300)
        with call.held("to_server"):
            call.interrupts()
            call.does("clear", f"cancel {first.response}", f"truncate {first.item} 300")
            second = call.requests()
            call.finishes(first.response)  # by itself: the cancel has not arrived
            call.does(f"create {second}")
            if overtaken:
                call.wires["to_server"].rotate(1)
                call.delivers("to_server")
                response = call.creates(second)
        if not overtaken:
            response = call.creates(second)
        assert [error.code for error in call.server.errors] == ["response_cancel_not_active"]
        item = call.announces(response)
        call.speaks(item, 500)
        call.finishes(response)
        call.hears_ms(500)
        call.resolves(second, "completed")
        assert call.told(do.Problem) == []


@race("R44")
def test_r44_what_is_settled_after_the_next_birth_is_settled_by_the_old_snapshot(
    engine: str,
) -> None:
    """The truncate leaves at once; what must wait for the last word is then said of the old item.

    iterate/iterate#2376 put it off and read the state of the reply that had begun since.
    """
    with Scene(engine) as call:
        first = call.replies(1_000, 700, finished=False)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"cancel {first.response}", f"truncate {first.items[0]} 400")
        second = call.replies(600, finished=False, beside=True)
        call.hears_ms(300)
        call.finishes(first.response)
        call.does(f"delete {first.items[1]}")
        assert call.outcome(first.items[0]).heard_ms == 400
        call.finishes(second.response)
        call.hears_ms(300)
        call.item_is(second.item, "full", 600)


@race("R64")
def test_r64_a_tool_s_result_and_the_server_s_own_reply_at_once_end_nothing(engine: str) -> None:
    """The server answers the caller by itself while the answer to its tool call is under way.

    The refusal settles the request it names: pipecat-ai/pipecat#3960 ended the call with it.
    """
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "function_call")
        call.server_does(lambda server: server.calls(response, item))
        call.finishes(response)
        (asked,) = call.told(do.CallArrived)
        call.caller_speaks()
        call.caller_stops()
        with call.held("from_server"):
            made_by_vad = call.creates()
            result = {"type": "function_call_output", "call_id": asked.call, "output": "21 °C"}
            call.tells({"type": "conversation.item.create", "item": result})
            spoken = call.requests()
            call.does(f"create {spoken}")
        call.resolves(spoken, "failed", "conversation_already_has_active_response")
        assert call.told(do.Problem) == []
        answer = call.announces(made_by_vad)
        call.speaks(answer, 500)
        call.finishes(made_by_vad)
        call.hears_ms(500)
        call.item_is(answer, "full", 500)


# -- of the dead nothing, of the living all ------------------------------------------------------------


@race("R74", "R20")
def test_r74_words_of_a_dead_response_are_not_read_as_the_next_one_s(engine: str) -> None:
    """They lag behind the audio; pipecat-ai/pipecat#4145 wrote them into the next message."""
    settings = Settings(settled_ms=500)
    with Scene(engine, settings=settings, rules=Rules(create_when_busy="queued")) as call:
        first = call.replies(1_000, finished=False)
        call.hears_ms(300)
        call.interrupts()
        call.does("clear", f"cancel {first.response}", f"truncate {first.item} 300")
        call.finishes(first.response)
        second = call.replies(300, finished=False)
        before = len(call.told(do.TextArrived))
        late = "the old words"
        call.server_does(lambda s: s.trailing_delta(first.response, first.item, 100, late))
        call.speaks(second.item, 300)
        words = call.told(do.TextArrived)[before:]
        assert words and {each.item for each in words} == {second.item}
        assert late not in [each.text for each in words]
        call.finishes(second.response)
        call.hears_ms(600)
        call.item_is(second.item, "full", 600)


@race("R76")
def test_r76_audio_and_words_of_a_superseded_guess_go_the_same_way(engine: str) -> None:
    """The server guesses that the caller has finished, and is wrong; the second answer is heard and read.

    Of the first neither passes, although its last deltas come while the second is being told:
    huggingface/speech-to-speech#321 had a flag for one and generations for the other.
    """
    with Scene(engine) as call:
        guess = call.replies_by_vad(500, finished=False)
        call.hears_ms(100)
        call.caller_speaks()
        call.does("clear", f"truncate {guess.item} 100")
        call.caller_stops()
        call.finishes(guess.response)
        answer = call.creates()
        item = call.announces(answer)
        read = len(call.told(do.TextArrived))
        for _ in range(3):
            call.server_does(lambda s: s.trailing_delta(guess.response, guess.item, 100, "guess "))
            call.speaks(item, 200)
        call.finishes(answer)
        call.hears_ms(600)
        call.item_is(item, "full", 600)
        assert {each.item for each in call.told(do.TextArrived)[read:]} == {item}
        assert len(call.told(do.TextArrived)) - read == 6


# -- everything ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["completed", "interrupted", "timed_out", "failed"])
@race("R28")
def test_r28_the_handle_says_by_itself_how_it_ended(engine: str, verdict: str) -> None:
    """Once, in one of four words, with no log to read: livekit/agents#6224 returned as if all had been said."""
    with Scene(engine, settings=Settings(created_ms=1_000)) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        if verdict == "completed":
            call.finishes(call.creates(ref))
        elif verdict == "interrupted":
            call.interrupts()
        elif verdict == "timed_out":
            call.waits_ms(1_000)
        else:
            call.refuses(ref)
        resolved = call.resolves(
            ref, verdict, "rate_limit_exceeded" if verdict == "failed" else None
        )
        assert resolved.items == ()
        assert call.told(do.Problem) == []


@race("R79")
def test_r79_who_is_interrupted_when_its_turn_has_come_holds_nobody_up(engine: str) -> None:
    """Its turn comes with the end of the reply before it; it is withdrawn at once, and two more wait behind it.

    livekit/agents-js#1124: its task returned without a word, and the scheduler waited for it for ever.
    """
    with Scene(engine) as call:
        first = call.replies(500, finished=False)
        withdrawn, third, fourth = call.requests(), call.requests(), call.requests()
        call.does()
        call.finishes(first.response)
        call.does(f"create {withdrawn}")
        call.interrupts(withdrawn)
        call.resolves(withdrawn, "interrupted")
        ghost = call.creates(withdrawn)
        call.does(f"cancel {ghost}")
        call.finishes(ghost)
        call.does(f"create {third}")
        call.hears_ms(500)
        for ref in (third, fourth):
            response = call.creates(ref)
            item = call.announces(response)
            call.speaks(item, 400)
            call.finishes(response)
            call.does(*[f"create {fourth}"] * (ref == third))
            call.hears_ms(400)
            call.resolves(ref, "completed")
            call.item_is(item, "full", 400)


@race("R80")
def test_r80_reports_that_never_come_or_come_late_are_nobody_else_s(engine: str) -> None:
    """Interrupted before the sink said a word; what it says afterwards is about what is over.

    livekit/agents-js#2065 counted reports, and was one behind for the rest of the call.
    """
    with Scene(engine) as call:
        call.forgives.memory_ms = 300
        first = call.replies(1_000)
        with call.held("from_carrier"):
            call.hears_ms(300)
            call.interrupts()
            call.does("clear", f"delete {first.item}")
            call.resolves(str(first.ref), "interrupted")
            call.item_is(first.item, "skipped", 0)
            late = list(call.wires["from_carrier"])
            call.drops("from_carrier")
        assert len(late) == 10
        second = call.replies(500)
        call.hears_ms(200)
        call.carrier_says(*late)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear", f"truncate {second.item} 400")


@race("R85")
def test_r85_an_end_is_told_of_speech_that_never_began(engine: str) -> None:
    """Who waits for the end of the speech is let go when there will be none: pipecat-ai/pipecat#4431 stood still."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        waiting = call.requests()
        call.interrupts(ref)
        call.does(f"cancel {response}")
        call.item_is(item, "skipped", 0)
        assert [each.outcome.item for each in call.told(do.ItemSettled)] == [item]
        call.resolves(ref, "interrupted")
        call.finishes(response)
        call.does(f"delete {item}", f"create {waiting}")
        assert call.states(item) == ["skipped"]


# -- where the provider cannot -------------------------------------------------------------------------


def _without_delete(call: Scene, engine: str, *, truncates: bool) -> None:
    """The call's provider truncates and has no delete; `truncates`: at zero, in its place."""
    shipped = adapters.provider("openai")
    provider = msgspec.structs.replace(
        shipped,
        can=shipped.can | {"delete": "none"},
        forget=shipped.truncate if truncates else lambda op, item: (),
    )
    call.session = Session(provider, adapters.transport("twilio"), engine=engine)
    call.starts()


@race("R17")
def test_r17_what_cannot_be_forgotten_is_called_diverged(engine: str) -> None:
    """Neither deleted nor truncated: the application is told which item the model wrongly remembers."""
    with Scene(engine, started=False) as call:
        call.forgives.divergence = True
        _without_delete(call, engine, truncates=False)
        reply = call.replies(500, 700)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear", f"truncate {reply.items[0]} 200")
        assert call.outcome(reply.items[0]).memory == "exact"
        outcome = call.outcome(reply.items[1])
        assert (outcome.state, outcome.memory) == ("skipped", "diverged")
        assert "the provider cannot delete" in (outcome.reason or "")


@race("R17")
def test_r17_skipped_speech_is_cut_at_zero_where_it_cannot_be_deleted(engine: str) -> None:
    """livekit/agents#5763 returned before the truncate that would have done it.

    Not judged at its end: the judge wants what nobody heard to be gone, and here it can only be empty.
    """
    call = Scene(engine, started=False)
    _without_delete(call, engine, truncates=True)
    reply = call.replies(500, 700)
    call.hears_ms(200)
    call.interrupts()
    call.does("clear", f"truncate {reply.items[0]} 200", f"truncate {reply.items[1]} 0")
    assert call.memory(reply.items[1]).remembered_ms == 0
    assert call.outcome(reply.items[1]).memory == "exact"
