"""The models of ElevenLabs Agents and the Deepgram Voice Agent: their rules, one claim each.

Every message on the way is judged (`official.py`).
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from bargein import adapters
from bargein.simulator import deepgram_facts, elevenlabs_facts
from bargein.simulator.deepgram import DeepgramRules, DeepgramServer
from bargein.simulator.deepgram import settings as asks_for
from bargein.simulator.elevenlabs import ElevenLabsBounds, ElevenLabsRules, ElevenLabsServer
from bargein.simulator.facts import Asked, Told
from bargein.simulator.turn_servers_b import SERVERS_B, entry
from bargein.simulator.turns import Bounds, Choice, Remembered, Said, TurnServer
from bargein.simulator.voice import trace
from bargein.simulator.worlds import PLANS

from .official import (
    Client,
    deepgram_is_told,
    deepgram_says,
    elevenlabs_is_told,
    elevenlabs_says,
)

Json = dict[str, Any]
Heard = list[Json | bytes]

# -- the servers as a test uses them ------------------------------------------------------------------


class Server:
    """A model whose every message either way is judged, and comes back decoded."""

    model: TurnServer

    def judge(self, message: Json) -> None:
        raise NotImplementedError

    def judge_client(self, message: Json) -> None:
        raise NotImplementedError

    def told(self, message: Json | bytes) -> Heard:
        if isinstance(message, bytes):
            return self.heard(self.model.receive(message, 0))
        self.judge_client(message)
        return self.heard(self.model.receive(json.dumps(message), 0))

    def does(self, what: str, *args: object, **fields: object) -> Heard:
        return self.heard(getattr(self.model, what)(*args, **fields))

    def heard(self, said: Said) -> Heard:
        found: Heard = []
        for each in said:
            if isinstance(each, bytes):
                found.append(each)
                continue
            message = json.loads(each)
            message.pop("_of", None)
            self.judge(message)
            found.append(message)
        return found

    @property
    def memory(self) -> Remembered:
        return self.model.memory()[-1]


class ElevenLabs(Server):
    def __init__(self, *, bounds: Bounds | None = None, **rules: Any) -> None:  # noqa: ANN401
        self.client = Client()
        self.model = ElevenLabsServer(rules=ElevenLabsRules(**rules), bounds=bounds)
        self.opened = self.heard(self.model.connects())

    def judge(self, message: Json) -> None:
        elevenlabs_says(message)
        if message["type"] != "error":
            self.client.reads(message)

    def judge_client(self, message: Json) -> None:
        elevenlabs_is_told(message)

    def speaking(self, ms: int = 200, text: str = "") -> "ElevenLabs":
        self.told(ASK)
        self.does("speaks", self.model.latest_response, ms, text)
        return self


class Deepgram(Server):
    def __init__(self, *, bounds: Bounds | None = None, **rules: Any) -> None:  # noqa: ANN401
        self.model = DeepgramServer(rules=DeepgramRules(**rules), bounds=bounds)
        self.opened = self.heard(self.model.connects())
        self.opened += self.told(asks_for())

    def judge(self, message: Json) -> None:
        deepgram_says(message)

    def judge_client(self, message: Json) -> None:
        deepgram_is_told(message)

    def speaking(self, ms: int = 200, text: str = "") -> "Deepgram":
        self.told(INJECT)
        self.does("speaks", self.model.latest_response, ms, text)
        return self


def kinds(heard: Heard) -> list[str]:
    return ["audio" if isinstance(each, bytes) else each["type"] for each in heard]


def one(heard: Heard) -> Json:
    (message,) = heard
    assert isinstance(message, dict)
    return message


ASK: Json = {"type": "user_message", "text": "hi"}
INJECT: Json = {"type": "InjectUserMessage", "content": "hi"}


# -- ElevenLabs ----------------------------------------------------------------------------------------


def test_elevenlabs_opens_with_its_formats() -> None:
    event = one(ElevenLabs().opened)["conversation_initiation_metadata_event"]
    assert event["agent_output_audio_format"] == event["user_input_audio_format"] == "ulaw_8000"
    (opened,) = ElevenLabsServer(bytes_per_ms=32).connects()
    assert b"pcm_16000" in (opened if isinstance(opened, bytes) else opened.encode())
    with pytest.raises(KeyError):
        ElevenLabsServer(bytes_per_ms=9)


def test_elevenlabs_all_of_a_segment_carries_its_number_and_the_next_has_a_higher_one() -> None:
    server = ElevenLabs()
    for number in (1, 2):
        assert server.told(ASK) == []
        heard = server.does("speaks", str(number), 100) + server.does("calls", str(number))
        assert kinds(heard) == ["agent_response", "audio", "client_tool_call"]
        assert [
            each[key]["event_id"]
            for each, key in zip(
                heard, ("agent_response_event", "audio_event", "client_tool_call"), strict=True
            )
            if isinstance(each, dict)
        ] == [number] * 3
        assert server.told(result(f"call_{100 * number - 98}")) == []
        assert server.does("finishes", str(number)) == []


def result(call_id: str) -> Json:
    return {
        "type": "client_tool_result", "tool_call_id": call_id, "result": "ok", "is_error": False,
    }  # fmt: skip


def test_elevenlabs_audio_says_what_it_is() -> None:
    server = ElevenLabs()
    server.told(ASK)
    (message,) = server.does("speaks", "1", 20, "")
    assert isinstance(message, dict)
    audio = base64.b64decode(message["audio_event"]["audio_base_64"])
    assert trace(audio) == [(1, ms) for ms in range(20)]


def test_elevenlabs_words_of_a_segment_come_once_with_its_first_audio() -> None:
    server = ElevenLabs()
    server.told(ASK)
    assert kinds(server.does("speaks", "1", 100)) == ["agent_response", "audio"]
    assert kinds(server.does("speaks", "1", 100)) == ["audio"]


def test_elevenlabs_nothing_says_that_a_segment_is_over() -> None:
    server = ElevenLabs().speaking()
    assert server.does("finishes", "1") == []
    assert server.model.head is None


def test_elevenlabs_a_tool_call_waits_for_its_result() -> None:
    server = ElevenLabs()
    server.told(ASK)
    server.does("calls", "1")
    assert server.model.choices() == []
    server.told(result("call_7"))
    assert server.model.choices() == []
    server.told(result("call_1"))
    assert kinds(server.does("speaks", "1", 100, "")) == ["audio"]


def test_elevenlabs_the_caller_interrupts_and_late_audio_has_the_old_number() -> None:
    """The official client lets nothing of that number through any more."""
    server = ElevenLabs().speaking()
    event = one(server.does("hears_speech_start", 0))
    assert event == {"type": "interruption", "interruption_event": {"event_id": 1}}
    late = one(server.does("trailing_delta", "1"))
    assert late["audio_event"]["event_id"] == 1
    assert server.client.reads(late) == ""
    server.does("finishes", "1")
    words = one(server.does("hears_speech_stop", 0))
    assert words["user_transcription_event"]["event_id"] == 2
    assert server.client.reads(one(server.does("speaks", "2", 100, ""))) == "handle_audio_output"


def test_elevenlabs_an_interruption_may_name_the_segment_to_come() -> None:
    """https://github.com/elevenlabs/elevenlabs-python/issues/829: then the official client is silent for a whole
    segment."""
    server = ElevenLabs(interruption_names="next").speaking()
    (event,) = server.told({"type": "multimodal_message", "text": ASK})
    assert isinstance(event, dict)
    assert event["interruption_event"]["event_id"] == 2
    server.does("finishes", "1")
    assert server.client.reads(one(server.does("speaks", "2", 100, ""))) == ""


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("before", ["agent_response_correction", "interruption"]),
        ("after", ["interruption", "agent_response_correction"]),
        ("never", ["interruption"]),
    ],
)
def test_elevenlabs_the_correction_says_what_was_heard(when: str, said: list[str]) -> None:
    server = ElevenLabs(correction=when).speaking(200, "Hello my friend")
    heard = server.does("hears_speech_start", 0, heard_ms=80)
    assert kinds(heard) == said
    for each in heard:
        if isinstance(each, dict) and each["type"] == "agent_response_correction":
            assert each["agent_response_correction_event"] == {
                "original_agent_response": "Hello my friend",
                "corrected_agent_response": "Hello ",
                "event_id": 1,
            }
    assert (server.memory.remembered_ms, server.memory.transcript) == (80, "Hello ")


def test_elevenlabs_nothing_is_corrected_that_was_heard_whole() -> None:
    server = ElevenLabs().speaking(200, "Hello")
    assert kinds(server.does("hears_speech_start", 0, heard_ms=200)) == ["interruption"]
    assert kinds(ElevenLabs().speaking().does("hears_speech_start", 0)) == ["interruption"]


def test_elevenlabs_the_caller_may_interrupt_what_the_server_has_done_with() -> None:
    server = ElevenLabs().speaking()
    server.does("finishes", "1")
    event = one(server.does("hears_speech_start", 0, playing=True, heard_ms=50))
    assert event["interruption_event"]["event_id"] == 1
    assert server.memory.remembered_ms == 50


def test_elevenlabs_whether_a_message_of_the_user_interrupts_is_a_rule() -> None:
    assert kinds(ElevenLabs().speaking().told(ASK)) == ["interruption"]
    server = ElevenLabs(message_interrupts=False).speaking()
    assert server.told(ASK) == []
    assert [turn.state for turn in server.model.responses.values()] == ["in_progress", "requested"]


def test_elevenlabs_a_message_before_the_answer_to_the_one_before_takes_its_place() -> None:
    server = ElevenLabs()
    server.told(ASK)
    server.told({"type": "user_message", "text": "no, wait"})
    assert [turn.request for turn in server.model.responses.values()] == ["no, wait"]


def test_elevenlabs_what_the_agent_s_settings_do_not_let_it_say_nobody_hears() -> None:
    server = ElevenLabs(client_events=("audio",))
    assert server.opened == []
    server.told(ASK)
    assert kinds(server.does("speaks", "1", 100)) == ["audio"]
    assert server.does("hears_speech_start", 0) == []
    assert server.memory.remembered_ms == 0


def override(**conversation: object) -> Json:
    config = {"conversation": conversation}
    return {"type": "conversation_initiation_client_data", "conversation_config_override": config}


def test_elevenlabs_the_client_may_choose_what_it_is_told() -> None:
    server = ElevenLabs()
    assert server.told(override(client_events=["interruption"])) == []
    server.told({"type": "conversation_initiation_client_data"})
    assert server.speaking().does("speaks", "1", 100) == []
    assert kinds(server.does("hears_speech_start", 0)) == ["interruption"]


def test_elevenlabs_a_ping_wants_its_pong() -> None:
    server = ElevenLabs(bounds=ElevenLabsBounds(pings=1))
    assert isinstance(server.model, ElevenLabsServer)
    assert Choice("pings") in server.model.choices()
    ping = one(server.heard(server.model.take(Choice("pings"), 0)))
    assert server.client.reads(ping) == "handle_ping"
    assert Choice("pings") not in server.model.choices()
    server.told({"type": "pong", "event_id": 7})
    assert server.model.unanswered_pings == (1,)
    server.told({"type": "pong", "event_id": ping["ping_event"]["event_id"]})
    assert not server.model.unanswered_pings


QUIET: list[Json] = [
    {"user_audio_chunk": "AAEC"},
    {"type": "contextual_update", "text": "x"},
    {"type": "user_activity"},
    {"type": "feedback", "event_id": 1, "score": "like"},
    {"type": "mcp_tool_approval_result", "tool_call_id": "x", "is_approved": True},
    {"type": "user_message", "text": None},
    {"type": "pong", "event_id": 1},
]


@pytest.mark.parametrize("message", QUIET)
def test_elevenlabs_what_asks_for_nothing_disturbs_nothing(message: Json) -> None:
    server = ElevenLabs().speaking()
    before = server.model.key()
    assert (server.told(message), server.model.key()) == ([], before)
    assert elevenlabs_facts.asked(json.dumps(message)) == Asked("other")


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        '{"type": "response.create"}',
        '{"type": "pong"}',
        '{"user_audio_chunk": "%"}',
        json.dumps(override(client_events=1)),
    ],
)
def test_elevenlabs_what_it_does_not_take_closes_the_socket(message: str) -> None:
    server = ElevenLabs(client_events=())
    assert kinds(server.heard(server.model.receive(message, 0))) == ["error"]
    assert (server.model.closed, server.model.close_code) == (True, 1008)
    assert elevenlabs_facts.asked(message).what == "other"


def test_elevenlabs_facts_are_told_by_the_numbers_on_the_wire() -> None:
    server = ElevenLabsServer(bounds=Bounds())
    assert elevenlabs_facts.told(str(server.connects()[0])) is None
    server.receive(json.dumps(ASK), 0)
    said = server.speaks("1", 100) + server.calls("1") + server.hears_speech_start(0)
    assert [each for m in said for each in elevenlabs_facts.told_all(m)] == [
        Told("text", "1", "1/speech", status="message"),
        Told("audio", "1", "1/speech", voice=1, ms=100),
        Told("call", "1", "item_2"),
        Told("interrupted", "1", status="caller"),
    ]
    assert elevenlabs_facts.told(said[3]) == Told("interrupted", "1", status="caller")
    assert elevenlabs_facts.asked(json.dumps(ASK)) == Asked("create", request="hi")
    assert [(m.response, m.item) for m in server.memory()] == [("1", "1/speech"), ("1", "item_2")]
    server.finishes("1")
    server.forget("1")
    assert (server.memory(), server.responses) == ([], {})


def test_elevenlabs_a_second_stretch_of_a_segment_has_a_name_of_its_own() -> None:
    server = ElevenLabs().speaking(100)
    server.does("ends_item", "1")
    server.does("speaks", "1", 100, "")
    assert [m.item for m in server.model.memory()] == ["1/speech", "1/speech_2"]


def test_elevenlabs_a_multimodal_message_asks_too() -> None:
    server = ElevenLabs()
    server.told({"type": "multimodal_message", "text": ASK})
    assert server.model.waiting == ["1"]
    file = json.dumps(
        {"type": "multimodal_message", "file": {"type": "file_input", "file_id": "f"}}
    )
    server.model.receive(file, 0)
    assert [turn.request for turn in server.model.responses.values()] == [""]
    assert elevenlabs_facts.asked(file) == Asked("create")


# -- Deepgram -------------------------------------------------------------------------------------------


def test_deepgram_shakes_hands() -> None:
    assert kinds(Deepgram().opened) == ["Welcome", "SettingsApplied"]
    model = DeepgramServer()
    assert (model.ready, model.choices()) == (False, [])
    assert len(DeepgramServer(settings=asks_for()).connects()) == 2


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "bytes_per_ms"),
    [("mulaw", 8_000, 8), ("linear16", 24_000, 48), ("linear16", 16_000, 32)],
)
def test_deepgram_speaks_as_it_was_asked_to(encoding: str, rate_hz: int, bytes_per_ms: int) -> None:
    model = DeepgramServer(settings=asks_for(encoding, rate_hz))
    model.receive(json.dumps(INJECT), 0)
    (audio,) = [each for each in model.speaks("resp_1", 20, "") if isinstance(each, bytes)]
    assert trace(audio, bytes_per_ms) == [(1, ms) for ms in range(20)]


@pytest.mark.parametrize(
    ("first", "message", "code"),
    [
        (False, b"\xff\xff", "BINARY_MESSAGE_BEFORE_SETTINGS"),
        (True, json.dumps(asks_for()), "SETTINGS_ALREADY_APPLIED"),
        (True, '{"type": "InjectUserMessage"}', "UNPARSABLE_CLIENT_MESSAGE"),
        (True, '{"type": "Cancel"}', "UNPARSABLE_CLIENT_MESSAGE"),
        (True, '{"type": "ForceEndTurn"}', "UNPARSABLE_CLIENT_MESSAGE"),
        (True, "no JSON", "UNPARSABLE_CLIENT_MESSAGE"),
        (False, json.dumps(asks_for("opus")), "INVALID_SETTINGS"),
    ],
)
def test_deepgram_an_error_ends_the_conversation(
    first: bool, message: str | bytes, code: str
) -> None:
    server = Deepgram()
    if not first:
        server.model = DeepgramServer()
    error = one(server.heard(server.model.receive(message, 0)))
    assert (error["type"], error["code"], server.model.closed) == ("Error", code, True)


def test_deepgram_a_turn_is_thinking_words_frames_and_the_end_of_the_audio() -> None:
    server = Deepgram()
    assert server.told(INJECT) == []
    assert kinds(server.does("begins")) == ["AgentThinking"]
    assert kinds(server.does("speaks", "resp_1", 100)) == ["ConversationText", "audio"]
    assert kinds(server.does("finishes", "resp_1")) == ["AgentAudioDone"]


def test_deepgram_a_greeting_begins_with_its_audio() -> None:
    server = Deepgram()
    server.does("speaks_up")
    assert kinds(server.does("speaks", "resp_1", 100, "")) == ["audio"]
    without = Deepgram(thinks=False)
    without.told(INJECT)
    assert kinds(without.does("speaks", "resp_1", 100, "")) == ["audio"]


def test_deepgram_the_caller_interrupts_and_their_words_come_after_all_of_it() -> None:
    server = Deepgram().speaking()
    assert kinds(server.does("hears_speech_start", 0)) == ["UserStartedSpeaking"]
    assert kinds(server.does("trailing_delta", "resp_1")) == ["audio"]
    words = one(server.does("hears_speech_stop", 0))
    assert (words["type"], words["role"]) == ("ConversationText", "user")
    assert [turn.state for turn in server.model.responses.values()] == ["cancelled", "requested"]


def test_deepgram_late_audio_may_even_follow_the_caller_s_words() -> None:
    server = Deepgram(late_after_words=True).speaking()
    server.does("hears_speech_start", 0)
    assert kinds(server.does("hears_speech_stop", 0)) == ["ConversationText"]
    assert kinds(server.does("trailing_delta", "resp_1")) == ["audio"]


def test_deepgram_whether_an_end_follows_an_interruption_is_a_rule() -> None:
    server = Deepgram(done_after_interruption=True).speaking()
    server.does("hears_speech_start", 0)
    assert kinds(server.does("hears_speech_stop", 0)) == ["AgentAudioDone", "ConversationText"]


@pytest.mark.parametrize(
    ("rules", "said", "states"),
    [
        ({}, [], ["in_progress", "requested"]),
        ({"echoes_injected": True}, ["ConversationText"], ["in_progress", "requested"]),
        ({"injected": "refused"}, ["InjectionRefused"], ["in_progress"]),
        ({"injected": "interrupts"}, [], ["interrupted", "requested"]),
        (
            {"injected": "interrupts", "echoes_injected": True},
            ["ConversationText"],
            ["cancelled", "requested"],
        ),
    ],
)
def test_deepgram_what_an_injected_message_does_in_a_turn_is_a_rule(
    rules: Json, said: list[str], states: list[str]
) -> None:
    server = Deepgram(**rules).speaking()
    assert kinds(server.told(INJECT)) == said
    assert [turn.state for turn in server.model.responses.values()] == states


def agent(behavior: str | None = None) -> Json:
    message: Json = {"type": "InjectAgentMessage", "message": "one moment"}
    return message | {"behavior": behavior} if behavior else message


def test_deepgram_what_the_agent_is_told_to_say_waits_is_refused_or_cuts_in() -> None:
    """https://developers.deepgram.com/docs/voice-agent-inject-agent-message"""
    idle = Deepgram()
    assert idle.told(agent()) == []
    assert kinds(idle.does("speaks", "resp_1", 100, "one moment")) == ["ConversationText", "audio"]
    assert kinds(Deepgram().speaking().told(agent())) == ["InjectionRefused"]
    speaking = Deepgram()
    speaking.does("hears_speech_start", 0)
    assert kinds(speaking.told(agent("default"))) == ["InjectionRefused"]
    queued = Deepgram().speaking()
    assert queued.told(agent("queue")) == []
    assert [t.state for t in queued.model.responses.values()] == ["in_progress", "requested"]
    cut = Deepgram().speaking()
    assert cut.told(agent("interrupt")) == []
    assert [t.state for t in cut.model.responses.values()] == ["interrupted", "requested"]


def test_deepgram_a_request_may_be_refused_after_all() -> None:
    server = Deepgram(bounds=Bounds(refusals=True))
    server.told(INJECT)
    assert Choice("refuses", "resp_1") in server.model.choices()
    assert kinds(server.does("refuses", "resp_1")) == ["InjectionRefused"]


def test_deepgram_no_turn_begins_while_the_caller_speaks_unless_the_rules_say_so() -> None:
    for talks_over in (False, True):
        server = Deepgram(talks_over=talks_over)
        server.does("hears_speech_start", 0)
        server.told(INJECT)
        assert (Choice("begins", "resp_1") in server.model.choices()) is talks_over
        assert Choice("hears_speech_stop") in server.model.choices()


def test_deepgram_function_calls_wait_and_are_cancelled() -> None:
    server = Deepgram()
    server.told(INJECT)
    (_, request) = server.does("calls", "resp_1", "lookup", '{"a": 1}')
    assert isinstance(request, dict)
    assert request["functions"] == [
        {"id": "call_1", "name": "lookup", "arguments": '{"a": 1}', "client_side": True}
    ]
    assert server.told(answer("call_1")) == []
    server.does("calls", "resp_1")
    heard = server.does("hears_speech_start", 0)
    assert kinds(heard) == ["UserStartedSpeaking", "FunctionCallCancelled"]
    assert isinstance(heard[1], dict)
    assert heard[1]["functions"] == [{"id": "call_2", "name": "lookup"}]
    assert server.told(answer("call_2")) == []


def answer(call_id: str) -> Json:
    return {"type": "FunctionCallResponse", "id": call_id, "name": "lookup", "content": "ok"}


def test_deepgram_the_client_may_end_the_caller_s_turn_where_that_is_enabled() -> None:
    server = Deepgram(ends_turns=True)
    end = {"type": "ForceEndTurn"}
    assert server.told(end) == []
    server.does("hears_speech_start", 0)
    assert kinds(server.told(end)) == ["ConversationText"]
    assert server.model.waiting == ["resp_1"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\xff" * 160, []),
        ({"type": "KeepAlive"}, []),
        ({"type": "UpdatePrompt", "prompt": "be brief"}, ["PromptUpdated"]),
    ],
)
def test_deepgram_what_asks_for_nothing_disturbs_nothing(
    message: Json | bytes, said: list[str]
) -> None:
    server = Deepgram().speaking()
    before = server.model.key()
    assert (kinds(server.told(message)), server.model.key()) == (said, before)
    wire = message if isinstance(message, bytes) else json.dumps(message)
    assert deepgram_facts.asked(wire) == Asked("other")


def test_deepgram_settings_change_underway() -> None:
    server = Deepgram()
    for what in ("speak", "think", "listen"):
        message = json.dumps({"type": f"Update{what.title()}", what: {}})
        assert kinds(server.heard(server.model.receive(message, 0))) == [f"{what.title()}Updated"]


def test_deepgram_facts() -> None:
    server = DeepgramServer(settings=asks_for(), bounds=Bounds())
    assert [deepgram_facts.told(m) for m in server.connects()] == [None, None]
    server.receive(json.dumps(INJECT), 0)
    said = server.speaks("resp_1", 100) + server.calls("resp_1") + server.hears_speech_start(0)
    said += server.trailing_delta("resp_1") + server.hears_speech_stop(0) + server.begins()
    said += server.speaks("resp_2", 100, "") + server.finishes("resp_2")
    found = [each for m in said for each in deepgram_facts.told_all(m)]
    assert {each.request for each in found if each.response == "resp_2"} <= {""}
    assert [each._replace(request="") for each in found] == [
        Told("created", "resp_1"),
        Told("text", "resp_1", "item_1", status="message"),
        Told("audio", "resp_1", "item_1", voice=1, ms=100),
        Told("call", "resp_1", "item_2"),
        Told("speech_started"),
        Told("audio", "resp_1", "item_1", voice=1, ms=100),
        Told("done", "resp_1", status="cancelled"),
        Told("created", "resp_2"),
        Told("audio", "resp_2", "item_101", voice=101, ms=100),
        Told("done", "resp_2", status="completed"),
    ]
    refused = server.receive(json.dumps(agent()), 0) or server.receive(json.dumps(agent()), 0)
    error = deepgram_facts.told(refused[0])
    assert error is not None
    assert (error.what, error.op) == ("error", "one moment")
    assert deepgram_facts.asked(json.dumps(INJECT)) == Asked("create", request="hi")
    assert deepgram_facts.asked("no JSON") == Asked("other")


def test_deepgram_the_end_of_what_nobody_heard_of_is_not_told() -> None:
    rules = DeepgramRules(thinks=False)
    server = DeepgramServer(settings=asks_for(), rules=rules, bounds=Bounds())
    server.receive(json.dumps(INJECT), 0)
    server.begins()
    server.hears_speech_start(0)
    assert [deepgram_facts.told(m) for m in server.hears_speech_stop(0)] == [None]


def test_deepgram_the_end_is_told_once_and_only_by_words_before_the_next_turn() -> None:
    server = DeepgramServer(settings=asks_for(), bounds=Bounds())
    server.receive(json.dumps(INJECT), 0)
    server.speaks("resp_1", 100, "")
    server.receive(json.dumps(agent("interrupt")), 0)
    server.finishes("resp_1")
    server.speaks("resp_2", 100, "")
    server.finishes("resp_2")
    server.hears_speech_start(0)
    assert [deepgram_facts.told(m) for m in server.hears_speech_stop(0)] == [None]


# -- both --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS_B)
def test_a_server_is_made_for_a_plan_with_its_handshake_over(name: str) -> None:
    kind = SERVERS_B[name]
    assert kind.audio in adapters.provider(name).audio
    for plan in PLANS:
        model, said = kind.make(structs.replace(plan, rules={}))
        assert said
        speech = [each for each in model.choices() if each.act == model.speech]
        assert bool(speech) is (plan.vad != "off")
        assert [kind.told_all(each) for each in said] == [()] * len(said)


@pytest.mark.parametrize("audio", ["mulaw", "pcm16_16k"])
@pytest.mark.parametrize("name", SERVERS_B)
def test_audio_of_every_format_is_told_in_its_milliseconds(name: str, audio: str) -> None:
    kind = entry(name, audio)
    model, _ = kind.make(PLANS[0])
    assert isinstance(model, TurnServer)
    model.speaks_up()
    (said,) = model.speaks(model.latest_response, 40, "")
    (told,) = kind.told_all(said)
    assert (told.what, told.ms, told.voice) == ("audio", 40, 1)


@pytest.mark.parametrize("name", SERVERS_B)
def test_the_table_asks_in_words_that_the_server_takes(name: str) -> None:
    provider, kind = adapters.provider(name), SERVERS_B[name]
    model, _ = kind.make(PLANS[0])
    assert isinstance(model, TurnServer)
    model.receive(json.dumps(ASK if name == "elevenlabs" else INJECT), 0)
    assert not model.closed
    settled = provider.audio[kind.audio].asks
    fresh = DeepgramServer() if name == "deepgram" else model
    fresh.receive(json.dumps(dict(settled)), 0)
    assert (fresh.closed, fresh.ready) == (False, True)


WIDE: dict[str, Any] = {
    "items": 2,
    "kinds": ("message", "function_call"),
    "empty_turns": True,
    "deaths": True,
    "spontaneous": 1,
    "speech_turns": 2,
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_every_message_is_official_and_a_copy_does_the_same(
    data: st.DataObject,
) -> None:
    server: Server
    if data.draw(st.booleans()):
        server = ElevenLabs(
            bounds=ElevenLabsBounds(pings=1, **WIDE),
            interruption_names=data.draw(st.sampled_from(["stopped", "next"])),
            correction=data.draw(st.sampled_from(["before", "after", "never"])),
            pending=data.draw(st.sampled_from(["kept", "dropped", "ended"])),
            reckons_ms=50,
        )
        messages = [ASK, result("call_1"), {"type": "pong", "event_id": 1}]
        facts: Any = elevenlabs_facts
    else:
        server = Deepgram(
            bounds=Bounds(refusals=True, silent_begins=True, **WIDE),
            injected=data.draw(st.sampled_from(["interrupts", "queued", "refused"])),
            echoes_injected=data.draw(st.booleans()),
            done_after_interruption=data.draw(st.booleans()),
            late_after_words=data.draw(st.booleans()),
            pending=data.draw(st.sampled_from(["kept", "dropped", "ended"])),
        )
        messages = [INJECT, agent("interrupt"), agent(), answer("call_1")]
        facts = deepgram_facts
    for _ in range(data.draw(st.integers(0, 30))):
        acts: list[Choice | Json] = [*server.model.choices(), *messages]
        act = data.draw(st.sampled_from(acts))
        twin = server.model.copy()
        said, again = (_does(each, act) for each in (server.model, twin))
        assert (said, server.model.key()) == (again, twin.key())
        server.heard(said)
        for message in said:
            for told in facts.told_all(message):
                gone = told.what == "error"
                assert gone or told.response in ("", *server.model.responses)


def _does(model: TurnServer, act: Choice | Json) -> Said:
    return model.take(act, 0) if isinstance(act, Choice) else model.receive(json.dumps(act), 0)
