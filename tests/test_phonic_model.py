"""The model of the Phonic server: its rules, one claim each. facts/providers.md 7."""

import base64
import json

import pytest

from bargein.simulator import phonic_facts
from bargein.simulator.facts import Told
from bargein.simulator.phonic import PhonicBounds, PhonicRules, PhonicServer
from bargein.simulator.turns import Bounds, Choice

from .turn_models import (
    CONFIG,
    Json,
    Server,
    fields_of,
    judge_phonic,
    phonic_server,
    remembered,
    reply,
    shapes,
)


def test_phonic_is_ready_after_its_config_and_refuses_anything_before() -> None:
    server = Server("phonic", PhonicServer())
    assert server.does("connects") == []
    for early in ({"type": "audio_chunk", "audio": "AAAA"}, reply()):
        assert shapes(server.told(early)) == ["error"]
    config = {"type": "config"} | CONFIG
    ready = ["conversation_created", "ready_to_start_conversation"]
    assert shapes(server.told(config)) == ready
    assert shapes(server.told(config)) == ["error"]
    assert (server.model.bytes_per_ms, server.model.closed) == (8, False)


@pytest.mark.parametrize(("ms", "said"), [(20, []), (40, []), (41, ["error"])])
def test_phonic_takes_forty_milliseconds_of_audio_at_most(ms: int, said: list[str]) -> None:
    audio = base64.b64encode(bytes(8 * ms)).decode()
    assert shapes(phonic_server().told({"type": "audio_chunk", "audio": audio})) == said


def test_phonic_says_the_words_of_a_chunk_with_it() -> None:
    server = phonic_server()
    server.told(reply())
    start, chunk = server.does("speaks", "resp_1", 20, "Hello")
    assert shapes([start]) == ["assistant_started_speaking"]
    assert isinstance(chunk, dict)
    assert (chunk["text"], len(base64.b64decode(chunk["audio"]))) == ("Hello", 160)
    assert server.does("says", "resp_1", "you") == [
        {"type": "audio_chunk", "audio": "", "text": "you"}
    ]
    assert server.does("speaks", "resp_1", 20, "") != []
    assert shapes(server.does("finishes", "resp_1")) == ["assistant_finished_speaking"]


@pytest.mark.parametrize("finishes", [True, False])
def test_phonic_says_what_was_spoken_when_the_caller_has_finished(finishes: bool) -> None:
    server = phonic_server(finishes_interrupted=finishes)
    server.speaking(100, "0123456789")
    assert shapes(server.does("hears_speech_start", 0, heard_ms=40)) == ["user_started_speaking"]
    assert shapes(server.does("trailing_delta", "resp_1")) == ["audio_chunk"]
    said = server.does("hears_speech_stop", 0)
    end = ["assistant_finished_speaking"] * finishes
    told = ["user_finished_speaking", "input_text", "interrupted_response"]
    assert shapes(said) == [*end, *told]
    assert said[-1] == {"type": "interrupted_response", "text": "0123"}
    assert server.model.responses["resp_1"].state == "cancelled"
    assert server.model.waiting == ["resp_2"]


def test_phonic_reports_a_turn_that_was_over_but_still_played() -> None:
    server = phonic_server()
    server.does("finishes", server.speaking(100, "0123456789"))
    server.does("hears_speech_start", 0, playing=True, heard_ms=40)
    assert remembered(server) == (100, 40)
    (*_, last) = server.does("hears_speech_stop", 0)
    assert last == {"type": "interrupted_response", "text": "0123"}
    assert shapes(server.does("hears_speech_start", 0)) == ["user_started_speaking"]
    assert "interrupted_response" not in shapes(server.does("hears_speech_stop", 0))


def test_phonic_forgets_a_turn_and_still_says_that_it_was_interrupted() -> None:
    server = phonic_server()
    server.does("finishes", server.speaking(100, "hi"))
    server.does("hears_speech_start", 0, playing=True, heard_ms=100)
    server.model.forget("resp_1")
    assert shapes(server.does("hears_speech_stop", 0))[-1] == "interrupted_response"


def test_phonic_s_late_report_means_the_interrupted_turn() -> None:
    model = PhonicServer(config=CONFIG, bounds=Bounds())
    model.receive(json.dumps(reply()), 0)
    model.speaks("resp_1", 100, "hi")
    model.hears_speech_start(0)
    *_, report = model.hears_speech_stop(0)
    assert phonic_facts.told(report) == Told("done", "resp_1", request="hi", status="cancelled")


@pytest.mark.parametrize("late", [True, False])
def test_phonic_may_send_chunks_after_an_interruption(late: bool) -> None:
    model = PhonicServer(config=CONFIG, rules=PhonicRules(late_chunks=late))
    model.receive(json.dumps(reply()), 0)
    model.speaks("resp_1", 100, "")
    model.hears_speech_start(0)
    assert (Choice("trailing_delta", "resp_1") in model.choices()) == late


@pytest.mark.parametrize(
    ("rule", "said", "states"),
    [
        ("queued", [], ["in_progress", "requested"]),
        ("interrupts", [], ["interrupted", "requested"]),
        ("refused", ["error"], ["in_progress"]),
    ],
)
def test_phonic_and_a_request_while_it_speaks(
    rule: str, said: list[str], states: list[str]
) -> None:
    server = phonic_server(second_reply=rule)
    server.speaking()
    assert shapes(server.told(reply("more"))) == said
    assert [each.state for each in server.model.responses.values()] == states


def test_phonic_names_the_request_it_refuses_to_the_explorer() -> None:
    rules = PhonicRules(second_reply="refused")
    model = PhonicServer(config=CONFIG, rules=rules, bounds=Bounds())
    model.receive(json.dumps(reply()), 0)
    (refused,) = model.receive(json.dumps(reply("more")), 0)
    assert phonic_facts.told(refused) == Told("error", request="more", op="more")


def test_phonic_has_no_cancel_and_no_truncate() -> None:
    server = phonic_server()
    server.speaking()
    for kind in ("cancel", "truncate", "clear"):
        said = server.model.receive(json.dumps({"type": kind}), 0)
        assert [fields_of(each)["type"] for each in said] == ["error"]
    assert server.model.responses["resp_1"].state == "in_progress"


def test_phonic_voids_the_tool_calls_of_an_interrupted_turn() -> None:
    server = phonic_server()
    server.told(reply())
    server.does("calls", "resp_1")
    said = server.does("hears_speech_start", 0)
    assert said[-1] == {
        "type": "tool_call_interrupted",
        "tool_call_id": "call_1",
        "tool_name": "lookup",
    }
    assert server.told({"type": "tool_call_output", "tool_call_id": "call_1", "output": 1}) == []


def test_phonic_goes_on_when_a_tool_has_its_output() -> None:
    server = phonic_server()
    server.told(reply())
    server.does("calls", "resp_1")
    assert Choice("speaks", "resp_1") not in server.model.choices()
    assert server.told({"type": "tool_call_output", "tool_call_id": "call_1", "output": 1}) == []
    assert Choice("speaks", "resp_1") in server.model.choices()


def test_phonic_keeps_what_must_not_be_interrupted() -> None:
    server = phonic_server()
    server.told({"type": "say", "text": "a", "interruptible": False})
    server.does("speaks", "resp_1", 100, "a")
    assert shapes(server.does("hears_speech_start", 0)) == ["user_started_speaking"]
    assert server.model.responses["resp_1"].state == "in_progress"
    assert shapes(server.does("hears_speech_stop", 0))[-1] == "input_text"


def test_phonic_welcomes_unasked() -> None:
    config = CONFIG | {"welcome_message": "Hi", "is_welcome_message_interruptible": False}
    server = phonic_server(config)
    server.does("speaks", "resp_1", 100, "Hi")
    server.does("hears_speech_start", 0)
    assert server.model.responses["resp_1"].state == "in_progress"


def test_phonic_may_hear_too_little_to_interrupt() -> None:
    """The session hears of speech, though the server speaks on."""
    model = PhonicServer(config=CONFIG, bounds=PhonicBounds(too_few_words=1))
    model.receive(json.dumps(reply()), 0)
    model.speaks("resp_1", 100, "")
    (choice,) = [each for each in model.choices() if each.act == "hears_too_few_words"]
    started, finished = [phonic_facts.told(each) for each in model.take(choice, 0)]
    assert (started, finished) == (Told("speech_started"), None)
    assert model.responses["resp_1"].state == "in_progress"
    assert choice not in model.choices()


def test_phonic_listens_to_the_caller_who_pushes_to_talk() -> None:
    server = phonic_server(CONFIG | {"push_to_talk": True})
    assert server.does("hears_speech_start", 0) == []
    assert server.told({"type": "unmute"}) == []
    assert shapes(server.does("hears_speech_start", 0)) == ["user_started_speaking"]
    assert shapes(server.told({"type": "mute"})) == ["user_finished_speaking", "input_text"]
    assert server.model.waiting == ["resp_1"]


def test_phonic_may_choose_not_to_respond_to_the_caller() -> None:
    model = PhonicServer(config=CONFIG, bounds=Bounds(refusals=True))
    model.hears_speech_start(0)
    model.hears_speech_stop(0)
    assert Choice("declines", "resp_1") in model.choices()
    (said,) = model.take(Choice("declines", "resp_1"), 0)
    judge_phonic(said)
    assert (model.responses, phonic_facts.told(said)) == ({}, None)


def test_phonic_begins_all_over_and_takes_notes_on_the_way() -> None:
    server = phonic_server()
    server.speaking()
    notes: list[Json] = [
        {"type": "add_system_message", "system_message": "a"},
        {"type": "update_system_prompt", "system_prompt": "a"},
        {"type": "update_tools_subset", "tools": []},
        {"type": "set_external_id", "external_id": "a"},
    ]
    assert server.told(*notes) == []
    assert shapes(server.does("warns", "slow")) == ["warning"]
    assert server.told({"type": "reset", "config": CONFIG}) == []
    assert server.model.responses["resp_1"].state == "interrupted"
