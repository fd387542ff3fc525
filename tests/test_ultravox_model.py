"""The model of the Ultravox server: its rules, one claim each. facts/providers.md 6."""

import json

import pytest

from bargein.simulator import ultravox_facts
from bargein.simulator.facts import Asked, Told
from bargein.simulator.turns import Choice

from .turn_models import ULTRAVOX_TAKES, Json, shapes, text, ultravox


def test_ultravox_thinks_speaks_and_listens() -> None:
    server = ultravox()
    assert shapes(server.does("connects")) == ["call_started", "listening"]
    assert shapes(server.told(text())) == ["user"]
    assert shapes(server.does("begins")) == ["thinking"]
    assert shapes(server.does("speaks", "resp_1", 20, "a ")) == ["speaking", "agent", "audio"]
    assert shapes(server.does("speaks", "resp_1", 20, "b")) == ["agent", "audio"]
    (final,) = server.does("ends_generation", "resp_1")
    assert isinstance(final, dict)
    assert (final["text"], final["final"], final["ordinal"]) == ("a b", True, 1)
    assert shapes(server.does("finishes", "resp_1")) == ["listening"]


def test_ultravox_takes_every_message_of_its_page() -> None:
    """facts/providers.md 6.3, in its words; a hang-up ends the call."""
    server = ultravox()
    for each in ULTRAVOX_TAKES:
        assert not server.model.closed
        server.told(each)
    assert (server.model.close_code, server.model.close_reason) == (1000, "Bye")


@pytest.mark.parametrize("message", [{"type": "input_audio"}, {"type": "user_text_message"}, b"\0"])
def test_ultravox_closes_on_what_it_does_not_know(message: Json | bytes) -> None:
    server = ultravox()
    assert server.told(message) == []
    assert server.model.closed


def test_ultravox_takes_the_caller_s_audio_in_binary_frames_and_answers_a_ping() -> None:
    server = ultravox()
    assert server.told(bytes(640)) == []
    assert server.told({"type": "ping", "timestamp": 1.5}) == [{"type": "pong", "timestamp": 1.5}]


@pytest.mark.parametrize("urgency", ["soon", "immediate", "later"])
def test_ultravox_answers_text_by_its_urgency(urgency: str) -> None:
    server = ultravox()
    server.speaking()
    cleared = ["playback_clear_buffer"] if urgency == "immediate" else []
    assert shapes(server.told(text("more", urgency))) == [*cleared, "user"]
    assert server.model.waiting == ([] if urgency == "later" else ["resp_2"])


@pytest.mark.parametrize("defers", [False, True])
def test_ultravox_may_answer_even_text_that_shall_not_be_answered(defers: bool) -> None:
    """No source says whether `deferResponse` is honoured; an empty text has no echo."""
    server = ultravox(defers=defers)
    server.speaking()
    hush = text("", "immediate", deferResponse=True)
    assert shapes(server.told(hush)) == ["playback_clear_buffer"]
    assert server.model.waiting == ([] if defers else ["resp_2"])
    assert shapes(server.does("finishes", "resp_1")) == ["listening"]
    assert ultravox_facts.asked(json.dumps(hush)) == Asked("cancel")


def test_ultravox_may_go_from_an_interrupted_turn_straight_to_the_answer() -> None:
    server = ultravox(listens_between=False, clears_for_text=False, echoes=False)
    server.speaking()
    assert server.told(text("stop", "immediate")) == []
    assert server.does("finishes", "resp_1") == []
    assert shapes(server.does("begins")) == ["thinking"]


def test_ultravox_clears_and_then_listens_when_the_caller_interrupts() -> None:
    server = ultravox()
    name = server.speaking(100, "hello")
    assert shapes(server.does("hears_speech_start", 0, heard_ms=60)) == ["playback_clear_buffer"]
    assert shapes(server.does("trailing_delta", name)) == ["audio"]
    final, state = server.does("finishes", name)
    assert isinstance(final, dict) and final["text"] == "hello"[: 5 * 60 // 200]
    assert shapes([state]) == ["listening"]
    assert shapes(server.does("hears_speech_stop", 0)) == ["user"]
    assert server.model.waiting == ["resp_2"]


def test_ultravox_that_thinks_is_interrupted_without_a_clear_and_without_audio() -> None:
    server = ultravox()
    server.told(text())
    server.does("begins")
    assert server.does("hears_speech_start", 0) == []
    assert Choice("trailing_delta", "resp_1") not in server.model.choices()
    assert shapes(server.does("finishes", "resp_1")) == ["listening"]


def test_ultravox_can_be_interrupted_until_it_listens() -> None:
    """It speaks while it believes that its audio plays; the final transcript came before."""
    server = ultravox()
    name = server.speaking(100, "hi")
    server.does("ends_generation", name)
    assert shapes(server.does("hears_speech_start", 0)) == ["playback_clear_buffer"]
    assert shapes(server.does("finishes", name)) == ["listening"]
    assert server.does("hears_speech_stop", 0) != []
    assert server.does("hears_speech_start", 0, playing=True) == []


def test_ultravox_may_tell_the_last_words_before_the_last_audio() -> None:
    server = ultravox(early_finals=True)
    name = server.speaking(100, "hi")
    assert Choice("ends_words", name) in server.model.choices()
    assert shapes(server.does("ends_words", name)) == ["agent"]
    assert Choice("ends_words", name) not in server.model.choices()
    assert shapes(server.does("speaks", name, 20, "you")) == ["audio"]
    assert shapes(server.does("finishes", name)) == ["listening"]
    with pytest.raises(ValueError, match="is completed"):
        server.does("ends_words", name)


@pytest.mark.parametrize("reaction", ["speaks", "listens"])
def test_ultravox_is_frozen_until_the_result_of_a_tool(reaction: str) -> None:
    """Tools are uninterruptible; the result says whether the agent speaks about it."""
    server = ultravox()
    server.told(text())
    said = server.does("calls", "resp_1", "lookup", '{"a": 1}')
    call = {"toolName": "lookup", "invocationId": "call_1", "parameters": {"a": 1}}
    assert said[-1] == {"type": "client_tool_invocation"} | call
    assert server.told(text("", "immediate")) == []
    assert server.does("hears_speech_start", 0) == []
    result = {"type": "client_tool_result", "result": "{}", "agentReaction": reaction}
    assert server.told(result | {"invocationId": "call_9"}) == []
    listens = ["listening"] if reaction == "listens" else []
    assert shapes(server.told(result | {"invocationId": "call_1"})) == listens
    assert server.model.responses["resp_1"].done == (reaction == "listens")


def test_ultravox_does_not_let_itself_be_interrupted_where_it_was_told_so() -> None:
    server = ultravox()
    forced = {"type": "forced_agent_message", "content": "a", "uninterruptible": True}
    server.told(forced | {"urgency": "immediate"})
    server.does("speaks", "resp_1", 100, "")
    assert server.does("hears_speech_start", 0) == []
    assert server.model.responses["resp_1"].state == "in_progress"


def test_ultravox_tells_whose_a_frame_is_by_its_voice_alone() -> None:
    server = ultravox()
    (padding,) = server.does("pads", 20)
    assert isinstance(padding, bytes)
    assert ultravox_facts.told(padding) is None
    server.speaking()
    server.does("finishes", "resp_1")
    server.told(text("more"))
    *_, frame = server.model.speaks("resp_2", 100, "")
    assert ultravox_facts.told(frame) == Told("audio", "resp_2", "item_101", voice=101, ms=100)
