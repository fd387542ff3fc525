"""TOOL-DEBT: tool calls across an interruption. facts/races.md R90, R91, R93, R94."""

import pytest

from bargein.runtime import actions as do

from .races import race
from .scene import Scene, both_engines
from .scene_turns import Turns

pytestmark = both_engines

QUESTION = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]}


def answers(call: Scene, asked: do.CallArrived, output: str = "done") -> None:
    """The application's tool is ready, and its output goes to the model."""
    item = {"type": "function_call_output", "call_id": asked.call, "output": output}
    call.tells({"type": "conversation.item.create", "item": item})


def kept(call: Scene, kind: str) -> list[str]:
    """The items of a kind that the server has in its conversation."""
    known = call.server.conversation
    return [item for item in known.order if known.items[item].kind == kind]


@pytest.mark.parametrize("heard_ms", [0, 250])
@race("R90")
def test_r90_what_a_tool_has_done_is_remembered_whatever_becomes_of_the_speech(
    engine: str, heard_ms: int
) -> None:
    """The booking is made; the caller cuts short the sentence that tells of it, or does not hear it begin.

    livekit/agents#3702 dropped the result along with the speech, and the model booked again.
    """
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response, "function_call")
        call.server_does(lambda server: server.calls(response, item, '{"seats": 2}'))
        call.finishes(response)
        call.resolves(ref, "completed")
        (asked,) = call.told(do.CallArrived)
        answers(call, asked, "booked")

        told = call.replies(2_000, finished=False)
        call.hears_ms(heard_ms)
        call.interrupts()
        cut = [f"truncate {told.item} 200"] if heard_ms else []
        call.does("clear", f"cancel {told.response}", *cut)
        call.finishes(told.response)
        call.does(*[f"delete {told.item}"] * (not heard_ms))
        assert kept(call, "function_call") == [item]
        assert len(kept(call, "function_call_output")) == 1
        assert call.told(do.CallArrived) == [asked]


@race("R90")
def test_r90_a_call_is_answered_although_the_words_before_it_were_interrupted(engine: str) -> None:
    """One response says a sentence and calls a tool; the tool runs when the caller cuts the sentence."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        sentence = call.announces(response)
        call.speaks(sentence, 1_000)
        item = call.announces(response, "function_call")
        call.server_does(lambda server: server.calls(response, item))
        call.finishes(response)
        (asked,) = call.told(do.CallArrived)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"truncate {sentence} 400")
        answers(call, asked)
        assert kept(call, "function_call") == [item]
        assert len(kept(call, "function_call_output")) == 1
        assert call.server.errors == ()


@race("R91")
def test_r91_a_call_that_nobody_answers_does_not_silence_the_model_for_ever(engine: str) -> None:
    """Its turn is stuck; the next request goes out after a bounded wait, stops it and is answered."""
    with Turns(engine, "gemini", "browser") as call:
        stuck = call.replies(600, finished=False)
        call.calls(stuck.response)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear")
        request = call.requests()
        call.waits_ms(5_000)
        call.does(f"create {request}")
        call.finishes(stuck.response)
        turn = call.begins(request)
        item = call.speaks(turn, 600)
        call.finishes(turn)
        call.hears_ms(600)
        call.resolves(request, "completed")
        call.item_is(item, "full", 600)


@race("R91")
def test_r91_a_call_the_server_has_withdrawn_gets_no_answer(engine: str) -> None:
    """The application is told of the withdrawal, and nothing goes out."""
    with Turns(engine, "gemini", "browser") as call:
        stuck = call.replies(600, finished=False)
        call.calls(stuck.response)
        call.hears_ms(200)
        call.caller_speaks()
        call.does("clear")
        call.finishes(stuck.response)
        assert call.sent("toolResponse") == []
        told = [each for each in call.told(do.Passed) if "toolCallCancellation" in str(each.data)]
        assert len(told) == 1


@pytest.mark.xfail(
    raises=AssertionError,
    reason="R91: open calls are not counted; an interrupt leaves the answer to the application",
)
@race("R91")
def test_r91_an_interrupt_pays_the_debt_once_and_silently(engine: str) -> None:
    """The server waits for a result, and nobody wants to hear what it would say: livekit/agents#6569."""
    with Turns(engine, "gemini", "browser") as call:
        stuck = call.replies(600, finished=False)
        call.calls(stuck.response)
        call.hears_ms(200)
        call.interrupts()
        call.unclaim()
        assert len(call.sent("functionResponses")) == 1


@pytest.mark.xfail(
    raises=AssertionError,
    reason="R93: nobody counts the open calls of a response; a request after each answer is a create for each",
)
@pytest.mark.parametrize("provider", ["openai", "xai"])
@race("R93")
def test_r93_two_tools_of_one_response_lead_to_one_reply(engine: str, provider: str) -> None:
    """Each tool's completion asks for a reply, knowing nothing of the other: GetStream/Vision-Agents#527."""
    with Scene(engine, provider=provider) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        for _ in ("Rome", "Oslo"):
            call.announces(response, "function_call")
            call.server_does(lambda server: server.calls(response, server.latest_item))
        call.finishes(response)
        rome, oslo = call.told(do.CallArrived)

        answers(call, rome, "21 °C")
        first = call.requests()
        call.does()  # half of the answer is missing
        answers(call, oslo, "-3 °C")
        second = call.requests()
        assert len(call.sent("response.create")) == 2
        call.unclaim()
        reply = call.creates()
        item = call.announces(reply)
        call.speaks(item, 300)
        call.finishes(reply)
        call.hears_ms(300)
        for handle in (first, second):
            call.resolves(handle, "completed")


@race("R94")
def test_r94_calls_that_come_with_the_end_of_a_cancelled_reply_are_not_run(engine: str) -> None:
    """It finished before the cancel arrived, so its last word carries the calls: ReviewStage/luke#78 ran them.

    The provider needs no answer to them: the next request is accepted.
    """
    with Scene(engine) as call:
        first = call.replies(600, finished=False)
        call.hears_ms(200)
        with call.held("to_server"):
            call.interrupts()
            call.does("clear", f"cancel {first.response}", f"truncate {first.item} 200")
            call.tells({"type": "conversation.item.create", "item": QUESTION})
            second = call.requests()
            item = call.announces(first.response, "function_call")
            call.server_does(lambda server: server.calls(first.response, item))
            call.finishes(first.response, "completed")
            call.does(f"create {second}")
        assert call.told(do.CallArrived) == []
        assert "call" in [each.kind for each in call.told(do.Fenced)]
        response = call.creates(second)
        answer = call.announces(response)
        call.speaks(answer, 400)
        call.finishes(response)
        call.hears_ms(400)
        call.resolves(second, "completed")
