"""The servers of the OpenAI family: one claim for each way in which they are not OpenAI's.

Everything they say on the way is judged by the official types of `family.py`, and so is what is written to them.
"""

import base64
import json
from collections import deque
from typing import Any

import pytest
from msgspec.structs import replace

from bargein.simulator.openai import OpenAIServer
from bargein.simulator.openai_facts import told as told_by_openai
from bargein.simulator.openai_family import FAMILY, XAI_CANCEL_CODE
from bargein.simulator.openai_family_rules import FamilyBounds
from bargein.simulator.openai_family_server import FamilyChoice, FamilyServer
from bargein.simulator.openai_replies import CANCEL_NOT_ACTIVE
from bargein.simulator.worlds import PLANS

from .family import PCMU, Json, Server, official, types

BETA = ("azure_preview", "voicelive", "speaches")
TRUNCATE = "conversation.item.truncate"
DELETE = "conversation.item.delete"

WIDE = FamilyBounds(
    items=1,
    kinds=("message", "text", "function_call"),
    deltas=1,
    ends=("completed", "failed"),
    speech_turns=1,
)
SESSION = {"audio": {"input": PCMU, "output": PCMU}}


def messages(name: str) -> tuple[str, ...]:
    """What the client writes in a walk, each once."""
    request: Json = {"type": "response.create", "event_id": "req_1"}
    if name != "speaches":
        request |= {"response": {"metadata": {"client_event_id": "req_1"}}}
    return tuple(
        json.dumps(message)
        for message in (
            request,
            {"type": "response.create", "event_id": "req_2"},
            {"type": "response.cancel", "event_id": "c_1", "response_id": "resp_1"},
            {
                "type": TRUNCATE,
                "event_id": "t_1",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 50,
            },
            {"type": DELETE, "event_id": "d_1", "item_id": "item_1"},
        )
    )


def walk(model: OpenAIServer, written: tuple[str, ...], states: int = 1500) -> list[list[str]]:
    """What is said in each step of every run of the model, up to so many states."""
    said = [model.connects()]
    todo = deque([(model, written)])
    seen = {(model.key(), written)}
    while todo and len(seen) < states:
        at, left = todo.popleft()
        steps: list[tuple[Any, tuple[str, ...]]] = [(choice, left) for choice in at.choices()]
        steps += [(each, tuple(x for x in left if x != each)) for each in left]
        for step, after_left in steps:
            after = at.copy()
            assert after.key() == at.key()
            told = after.receive(step, 0) if isinstance(step, str) else after.take(step, 0)
            said.append(told)
            if (after.key(), after_left) not in seen:
                seen.add((after.key(), after_left))
                todo.append((after, after_left))
    return said


@pytest.mark.parametrize("name", FAMILY)
def test_all_that_a_server_says_is_official(name: str) -> None:
    """Whatever is asked and whatever it decides: no name, field or value that its own vendor does not know."""
    bounds = replace(WIDE, abandons=name == "xai", pings=name in ("xai", "inworld"))
    for rules in ({}, {"auto_truncate": True, "vad_interrupts": "always", "stopped_ends": "bare"}):
        model = FAMILY[name].server(session=SESSION, rules=rules, bounds=bounds)
        kinds = {
            official(name, event)["type"] for step in walk(model, messages(name)) for event in step
        }
        assert {"response.created", "response.done", "input_audio_buffer.speech_started"} < kinds


def test_azure_s_ga_endpoint_says_byte_for_byte_what_openai_says() -> None:
    """With OpenAI's rules and spelling the family's model is OpenAI's."""
    bounds = FamilyBounds(items=1, deltas=1, speech_turns=1)
    azure = FAMILY["azure"].server(session=SESSION, bounds=bounds)
    openai = OpenAIServer(session=SESSION, bounds=bounds)
    assert walk(azure, messages("azure")) == walk(openai, messages("azure"))


def test_azure_preview_says_the_same_by_other_names() -> None:
    """The reader of the facts sees no difference, and no GA name is left on the wire."""
    bounds = FamilyBounds(items=1, kinds=("message", "text"), deltas=1, speech_turns=1)
    preview = FAMILY["azure_preview"].server(session=SESSION, bounds=bounds)
    openai = OpenAIServer(session=SESSION, bounds=bounds)
    theirs = walk(preview, messages("azure_preview"))
    ours = walk(openai, messages("azure_preview"))
    read = FAMILY["azure_preview"].told
    for step, same in zip(theirs, ours, strict=True):
        facts = [told_by_openai(event) for event in same]
        assert [f for f in map(read, step) if f] == [f for f in facts if f]
        for event in step:
            assert "output_text" not in event
            assert "output_audio" not in event.replace("output_audio_format", "")
            assert "conversation.item.added" not in event


# Beta names: facts/providers.md 3


def test_an_item_joins_the_conversation_in_one_event_of_beta() -> None:
    server = Server("azure_preview")
    name = server.asked()
    server.does("creates", name)
    assert types(server.does("announces", name)) == [
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
    ]
    assert types(server.does("speaks", name, "item_1", 100)) == [
        "response.audio_transcript.delta",
        "response.audio.delta",
    ]
    assert types(server.does("finishes", name)) == [
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]


def test_the_beta_session_is_flat_both_ways() -> None:
    server = Server("azure_preview")
    wanted = {
        "modalities": ["audio", "text"],
        "voice": "echo",
        "input_audio_format": "pcm16",
        "output_audio_format": "g711_alaw",
        "turn_detection": {"type": "server_vad", "interrupt_response": False},
        "max_response_output_tokens": 7,
        "temperature": 0.8,
    }
    (updated,) = server.told("session.update", session=wanted)
    shown = updated["session"]
    assert {key: shown[key] for key in wanted if key != "turn_detection"} == {
        key: wanted[key] for key in wanted if key != "turn_detection"
    }
    assert shown["turn_detection"]["interrupt_response"] is False
    name, _ = server.speaking(100)
    server.does("hears_speech_start", 0)
    assert server.model.responses[name].state == "in_progress"
    assert len(base64.b64decode(server.does("speaks", name, "item_1", 100)[-1]["delta"])) == 800


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"audio": {"output": PCMU}}, "session.audio"),
        ({"output_modalities": ["audio"]}, "session.output_modalities"),
        ({"input_audio_format": "audio/pcmu"}, "session.input_audio_format"),
        ({"modalities": ["audio"]}, "session.modalities"),
    ],
)
def test_a_ga_session_is_refused_by_beta(session: Json, param: str) -> None:
    """Azure preview also refuses audio alone, facts/providers.md 3.3."""
    server = Server("azure_preview")
    before = server.model.key()
    error = server.error("session.update", odd=True, event_id="u_1", session=session)
    assert (error["param"], error["event_id"]) == (param, "u_1")
    server.model.errors = ()
    assert server.model.key() == before


def test_beta_calls_the_assistant_s_parts_text_and_audio() -> None:
    """Outgoing `output_text` must be rewritten to `text`, facts/providers.md 3.2."""
    server = Server("azure_preview")
    item = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    (created,) = server.told("conversation.item.create", item=item)
    assert created["type"] == "conversation.item.created"
    assert created["item"]["content"] == [{"type": "text", "text": "Hi"}]
    item["content"] = [{"type": "output_text", "text": "Hi"}]
    error = server.error("conversation.item.create", odd=True, item=item)
    assert error["param"] == "item.content[0].type"


def test_beta_responses_take_modalities_and_metadata() -> None:
    server = Server("azure_preview")
    name = server.asked(modalities=["text"], conversation="none")
    (created,) = server.does("creates", name)
    assert created["response"]["modalities"] == ["text"]
    assert created["response"]["metadata"] == {"client_event_id": "req_1"}
    server.does("announces", name)
    (delta,) = server.does("says_text", name, "item_1", "Hi")
    assert delta["type"] == "response.text.delta"


@pytest.mark.parametrize(("server", "named"), [("azure_preview", False), ("voicelive", True)])
def test_only_the_item_names_a_call_of_beta(server: str, named: bool) -> None:
    """Voice Live has beta names and repeats it all the same."""
    one = Server(server)
    name = one.asked()
    one.does("creates", name)
    added = one.does("announces", name, "function_call", name="weather")
    assert added[0]["item"]["name"] == "weather"
    done = one.does("finishes", name)[0]
    assert done["type"] == "response.function_call_arguments.done"
    assert done.get("name") == ("weather" if named else None)


@pytest.mark.parametrize("name", BETA)
def test_beta_has_no_idle_timeout(name: str) -> None:
    with pytest.raises(ValueError, match="idle"):
        Server(name).model.hears_nothing(5000, 0)


# Azure Voice Live: facts/transports.md 21


def test_voice_live_opens_without_a_conversation() -> None:
    assert types(Server("voicelive").does("connects")) == ["session.created"]
    assert types(Server("azure_preview").does("connects"))[1] == "conversation.created"


def test_voice_live_answers_a_cancel_of_nothing_by_an_error() -> None:
    error = Server("voicelive").error("response.cancel", event_id="c_1")
    assert (error["type"], error["event_id"]) == ("invalid_request_error", "c_1")


def test_a_create_on_voice_live_ends_the_response_before_it_unless_told_not_to() -> None:
    """`cancel_previous` of azure.ai.voicelive.models.ResponseCreateParams defaults to true."""
    server = Server("voicelive")
    first, _ = server.speaking()
    keeping = {"cancel_previous": False}
    error = server.error("response.create", event_id="req_2", response=keeping)
    assert error["code"] == "conversation_already_has_active_response"
    second = server.asked("req_3")
    assert second not in [choice.response for choice in server.model.choices()]
    done = server.does("finishes", first)[-1]
    assert done["response"]["status"] == "cancelled"
    (created,) = server.does("creates", second)
    assert created["response"]["metadata"] == {"client_event_id": "req_3"}


def test_voice_live_keeps_a_response_out_of_the_conversation_by_commit() -> None:
    """Its `response.create` has no `conversation`."""
    server = Server("voicelive")
    name = server.asked(commit=False)
    assert server.model.responses[name].out_of_band
    assert not server.model.responses[server.asked(commit=True)].out_of_band
    aside = {"conversation": "none"}
    error = server.error("response.create", odd=True, response=aside)
    assert error["param"] == "response.conversation"


@pytest.mark.parametrize("kind", ["server_vad", "azure_semantic_vad", "azure_semantic_vad_en"])
def test_voice_live_takes_its_own_kinds_of_turn_detection(kind: str) -> None:
    server = Server("voicelive")
    turns: Json = {"type": kind, "interrupt_response": False}
    if kind != "server_vad":
        turns["remove_filler_words"] = True
    (updated,) = server.told("session.update", session={"turn_detection": turns})
    assert updated["session"]["turn_detection"]["interrupt_response"] is False


def test_voice_live_truncates_by_itself_where_it_takes_playback_to_be() -> None:
    """Then the client must not: what it was right about is no longer there to be cut."""
    server = Server("voicelive", auto_truncate=True)
    name, item = server.speaking(300)
    assert types(server.does("hears_speech_start", 0)) == ["input_audio_buffer.speech_started"]
    offered = [c.how for c in server.model.choices() if c.act == "truncates_itself"]
    assert offered == ["", "0", "100", "200"]
    (event,) = server.takes(FamilyChoice("truncates_itself", item=item, how="100"))
    assert (event["type"], event["audio_end_ms"]) == ("conversation.item.truncated", 100)
    server.does("trailing_delta", name, item, 100)
    server.does("finishes", name)
    assert server.remembers(item).remembered_ms == 100
    assert not any(c.act == "truncates_itself" for c in server.model.choices())
    (refused,) = server.truncate(item, 200)
    assert refused["error"]["param"] == "audio_end_ms"


def test_without_auto_truncate_voice_live_remembers_all_it_said() -> None:
    server = Server("voicelive")
    name, item = server.speaking(300)
    server.does("hears_speech_start", 0)
    server.does("finishes", name)
    assert server.remembers(item).remembered_ms == 300


# xAI: facts/providers.md 4


def test_xai_takes_no_notice_of_a_truncate() -> None:
    """No ack, no error, not even for an item that never was; and all is remembered."""
    server = Server("xai")
    name, item = server.speaking(300)
    assert server.truncate(item) == []
    assert server.truncate("item_nobody_made") == []
    server.does("finishes", name)
    assert server.truncate(item) == []
    assert server.remembers(item).remembered_ms == 300
    assert server.remembers(item).transcript


def test_xai_deletes_the_client_s_items_and_not_its_own() -> None:
    server = Server("xai")
    name, item = server.speaking()
    server.does("finishes", name)
    error = server.error(DELETE, event_id="d_1", item_id=item)
    assert (error["message"], error["event_id"]) == ("Item not found", "d_1")
    assert server.remembers(item).remembered_ms == 300
    mine = {
        "id": "mine",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}],
    }
    server.told("conversation.item.create", item=mine)
    assert types(server.told(DELETE, item_id="mine")) == ["conversation.item.deleted"]


@pytest.mark.parametrize("named", [{}, {"response_id": "resp_9"}])
def test_xai_has_its_own_code_for_a_cancel_of_nothing(named: Json) -> None:
    error = Server("xai").error("response.cancel", **named)
    assert error["message"] == "Cancellation failed: no active response found"
    assert error["code"] == XAI_CANCEL_CODE
    assert error["code"] != CANCEL_NOT_ACTIVE


def test_xai_has_no_known_code_for_a_second_response() -> None:
    server = Server("xai")
    server.asked()
    error = server.error("response.create", event_id="req_2")
    assert "already has an active response" in error["message"]
    assert error["code"] is None


def test_a_silent_response_of_xai_is_superseded_without_a_word() -> None:
    """It was created, the caller spoke, and the next `response.created` is all that tells of its death."""
    server = Server("xai")
    first = server.asked()
    server.does("creates", first)
    server.does("hears_speech_start", 0)
    said = server.does("hears_speech_stop", 0)
    second = server.model.latest_response
    said += server.does("creates", second) + server.does("announces", second)
    said += server.does("finishes", second)
    done = [event["response"]["id"] for event in said if event["type"] == "response.done"]
    assert done == [second] != [first]


def test_a_response_of_xai_that_speaks_is_waited_for() -> None:
    server = Server("xai")
    first, _ = server.speaking()
    server.does("hears_speech_start", 0)
    server.does("hears_speech_stop", 0)
    assert server.model.latest_response == first
    assert types(server.does("finishes", first))[-1] == "response.done"
    assert server.model.latest_response != first


def test_a_response_of_xai_may_die_while_the_caller_speaks() -> None:
    """Or survive: it is a choice, only of what has said nothing."""
    server = Server("xai", bounds=FamilyBounds(abandons=True, speech_turns=1))
    name = server.asked()
    server.does("creates", name)
    dies = FamilyChoice("abandons", name)
    assert dies not in server.model.choices()
    server.does("hears_speech_start", 0)
    survivor = server.model.copy()
    survivor.announces(name)
    assert dies not in survivor.choices()
    assert server.takes(dies) == []
    assert server.model.slot_holder() is None
    server.asked("req_2")


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({"vad_interrupts": "always", "stopped_ends": "cancelled"}, "cancelled"),
        ({"vad_interrupts": "always", "stopped_ends": "bare"}, None),
        ({"vad_interrupts": "always", "stopped_ends": "silently"}, "no done"),
        ({}, "completed"),
    ],
)
def test_xai_may_do_three_things_or_nothing_when_the_caller_speaks(
    rules: Json, status: str | None
) -> None:
    """facts/providers.md 4.5: contradictory reports; by default it goes on, as the live probe saw."""
    server = Server("xai", **rules)
    name, item = server.speaking()
    server.does("hears_speech_start", 0)
    said = server.does("finishes", name)
    assert server.model.slot_holder() is None
    assert server.model.responses[name].done
    assert server.remembers(item).remembered_ms == 300
    if status == "no done":
        assert said == []
    else:
        assert said[-1]["type"] == "response.done"
        assert said[-1]["response"].get("status") == status
        assert (len(said) == 1) == (status is None)
        told = FAMILY["xai"].told(json.dumps(said[-1]))
        assert told is not None
        assert (told.what, told.status) == ("done", status or "")


def test_xai_says_text_under_both_names() -> None:
    server = Server("xai")
    name = server.asked()
    server.does("creates", name)
    server.does("announces", name, "text")
    one, other = server.does("says_text", name, "item_1", "Hi")
    assert [one["type"], other["type"]] == ["response.output_text.delta", "response.text.delta"]
    same = ("response_id", "item_id", "delta", "content_index", "output_index")
    assert [one[key] for key in same] == [other[key] for key in same]
    assert one["event_id"] != other["event_id"]


def test_a_ping_of_xai_changes_nothing_and_is_not_owed() -> None:
    server = Server("xai", bounds=FamilyBounds(pings=True))
    before = server.model.key()
    assert server.takes(FamilyChoice("pings"))[0]["type"] == "ping"
    assert server.model.key() == before
    assert not server.model.owes
    assert FAMILY["xai"].told('{"type":"ping","event_id":"e","timestamp":0}') is None


@pytest.mark.parametrize("echo", [True, False])
def test_whether_xai_repeats_metadata_is_a_rule(echo: bool) -> None:
    server = Server("xai", metadata_echo=echo)
    (created,) = server.does("creates", server.asked())
    assert created["response"]["metadata"] == ({"client_event_id": "req_1"} if echo else None)


@pytest.mark.parametrize("nested", [True, False])
def test_xai_has_voice_and_turn_detection_at_the_top(nested: bool) -> None:
    """Nested turn detection is taken too; its switches are not."""
    server = Server("xai")
    turns = {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}
    session: Json = {"voice": "Ara", "audio": {"output": {"format": {"type": "audio/pcma"}}}}
    if nested:
        session["audio"]["input"] = {"turn_detection": turns}
    else:
        session["turn_detection"] = turns
    session["audio"]["output"]["format"]["rate"] = 8000
    (updated,) = server.told("session.update", odd=True, session=session)
    shown = updated["session"]
    assert shown["voice"] == "Ara"
    assert shown["turn_detection"]["silence_duration_ms"] == 200
    assert "create_response" not in shown["turn_detection"]
    assert "turn_detection" not in shown["audio"]["input"]
    assert shown["audio"]["output"]["format"]["type"] == "audio/pcma"
    assert server.model.silence_duration_ms == 200


def test_xai_reports_speech_without_turn_detection_and_answers_none() -> None:
    server = Server("xai", bounds=FamilyBounds(speech_turns=1))
    server.told("session.update", odd=True, session={"turn_detection": None})
    assert "hears_speech_start" in [choice.act for choice in server.model.choices()]
    assert types(server.does("hears_speech_start", 0)) == ["input_audio_buffer.speech_started"]
    assert types(server.does("hears_speech_stop", 0)) == ["input_audio_buffer.speech_stopped"]
    assert not server.model.responses


def test_xai_puts_usage_beside_the_response_and_retrieves_nothing() -> None:
    server = Server("xai")
    name, item = server.speaking()
    assert server.does("finishes", name)[-1]["usage"] == {}
    assert server.error("conversation.item.retrieve", item_id=item)["param"] == "type"


# LocalAI: facts/transports.md 26.2


def test_a_cancel_on_localai_takes_whatever_runs() -> None:
    server = Server("localai")
    name, _ = server.speaking()
    assert server.told("response.cancel", response_id="resp_of_another_call") == []
    assert server.model.responses[name].state == "cancelling"


def test_localai_is_silent_about_a_cancel_of_nothing() -> None:
    assert Server("localai").told("response.cancel", event_id="c_1") == []


def test_a_create_on_localai_supersedes_and_need_not_wait() -> None:
    """The old response gets its end, before or after the new one begins, and a late cancel hits the new one."""
    server = Server("localai")
    first, _ = server.speaking()
    second = server.asked("req_2")
    (created,) = server.does("creates", second)
    assert created["response"]["id"] == second
    assert server.told("response.cancel", response_id=first) == []
    assert server.model.responses[second].state == "cancelling"
    (done,) = server.does("finishes", first)
    assert (done["response"]["id"], done["response"]["status"]) == (first, "cancelled")


def test_localai_cancels_before_it_has_said_created_too() -> None:
    """Then it says both, in that order."""
    server = Server("localai")
    name = server.asked()
    (created,) = server.told("response.cancel")
    assert (created["type"], created["response"]["id"]) == ("response.created", name)
    (done,) = server.does("finishes", name)
    assert done["response"]["status"] == "cancelled"


def test_localai_fails_by_an_error_and_no_done() -> None:
    """The error names nobody."""
    server = Server("localai")
    name, _ = server.speaking()
    (failed,) = server.does("finishes", name, "failed")
    assert (failed["type"], failed["error"]["code"]) == ("error", "inference_failed")
    assert failed["error"]["event_id"] is None
    assert server.model.slot_holder() is None
    assert not [c for c in server.model.choices() if c.response == name]


def test_a_truncate_on_localai_blanks_the_whole_item_and_echoes_what_was_asked() -> None:
    """Even what is spoken of it afterwards is not remembered."""
    server = Server("localai")
    name, item = server.speaking(300)
    (ack,) = server.truncate(item, 123_456, event_id="t_7")
    assert ack["type"] == "conversation.item.truncated"
    assert (ack["audio_end_ms"], ack["event_id"]) == (123_456, "t_7")
    server.does("speaks", name, item, 100)
    server.does("finishes", name)
    assert server.remembers(item).remembered_ms == 0
    assert server.remembers(item).transcript is None


def test_localai_has_one_code_for_every_unknown_item_and_names_no_event() -> None:
    server = Server("localai")
    (refused,) = server.truncate("item_9")
    deleted = server.error(DELETE, event_id="d_1", item_id="item_9")
    for error in (refused["error"], deleted):
        assert (error["code"], error["event_id"]) == ("invalid_item_id", None)


@pytest.mark.parametrize("interrupts", [True, False])
def test_localai_interrupts_whatever_the_session_says(interrupts: bool) -> None:
    server = Server("localai", turns={"interrupt_response": interrupts})
    name, _ = server.speaking()
    server.does("hears_speech_start", 0)
    (done,) = server.does("finishes", name)
    assert done["response"]["status"] == "cancelled"
    assert "status_details" not in done["response"]


def test_the_caller_s_turn_on_localai_supersedes_even_what_began_meanwhile() -> None:
    server = Server("localai")
    server.does("hears_speech_start", 0)
    name, _ = server.speaking()
    server.does("hears_speech_stop", 0)
    assert server.model.responses[name].state == "cancelling"
    assert server.model.responses[server.model.latest_response].by == "vad"


def test_an_interrupted_item_leaves_localai_s_memory() -> None:
    """A truncate that comes then finds nothing."""
    server = Server("localai")
    name, item = server.speaking()
    server.told("response.cancel", response_id=name)
    assert types(server.does("finishes", name)) == ["response.done"]
    assert server.remembers(item).deleted
    (refused,) = server.truncate(item)
    assert refused["error"]["code"] == "invalid_item_id"


@pytest.mark.parametrize("kind", ["output_audio_buffer.clear", "session.finish"])
def test_localai_ignores_what_it_does_not_know(kind: str) -> None:
    assert Server("localai").told(kind, odd=True) == []


def test_localai_has_no_responses_beside_the_conversation() -> None:
    server = Server("localai")
    first, _ = server.speaking()
    second = server.asked("req_2", conversation="none")
    assert not server.model.responses[second].out_of_band
    assert server.model.responses[first].state == "cancelling"


# Speaches: facts/transports.md 26.1


def test_speaches_implements_neither_cancel_nor_truncate() -> None:
    server = Server("speaches")
    name, item = server.speaking()
    cancel = server.error("response.cancel", event_id="c_1", response_id=name)
    (truncate,) = server.truncate(item)
    for error, verb in ((cancel, "response.cancel"), (truncate["error"], TRUNCATE)):
        assert error["type"] == "server_error"
        assert error["message"] == f"Handling of the '{verb}' event is not implemented."
    assert (cancel["event_id"], truncate["error"]["event_id"]) == ("c_1", "t_1")
    assert server.model.responses[name].state == "in_progress"
    server.does("finishes", name)
    assert server.remembers(item).remembered_ms == 300


def test_speech_interrupts_nothing_on_speaches_and_its_end_supersedes_silently() -> None:
    server = Server("speaches", turns={"interrupt_response": True})
    name, _ = server.speaking()
    server.does("hears_speech_start", 0)
    server.does("speaks", name, "item_1", 100)
    said = server.does("hears_speech_stop", 0)
    assert "response.done" not in types(said)
    assert server.model.responses[name].done
    assert server.model.latest_response != name
    with pytest.raises(ValueError, match="cancelled"):
        server.model.speaks(name, "item_1", 100)


def test_a_create_on_speaches_supersedes_silently() -> None:
    """What it had said of the old one is all there ever is, and what it had generated is remembered."""
    server = Server("speaches")
    first, item = server.speaking()
    second = server.asked("req_2")
    assert second != first
    said = server.does("creates", second) + server.does("finishes", second)
    assert [e["response"]["id"] for e in said if "response" in e] == [second, second]
    assert server.remembers(item).remembered_ms == 300
    server.asked("req_3")
    (created,) = server.told("response.create", event_id="req_4")
    assert created["type"] == "response.created"


def test_speaches_complains_of_metadata_and_answers_all_the_same() -> None:
    """The complaint names no event, and what is complained of is not done."""
    server = Server("speaches")
    body = {"metadata": {"client_event_id": "req_1"}, "conversation": "none"}
    errors = server.told("response.create", event_id="req_1", response=body)
    assert types(errors) == ["error", "error"]
    for each, field in zip(errors, ("conversation", "metadata"), strict=True):
        assert f"`response.{field}` is not supported" in each["error"]["message"]
        assert each["error"]["event_id"] is None
    name = server.model.latest_response
    assert not server.model.responses[name].out_of_band
    (created,) = server.does("creates", name)
    assert "metadata" not in created["response"]


def test_a_response_of_speaches_is_incomplete_until_it_is_completed() -> None:
    server = Server("speaches")
    name = server.asked()
    (created,) = server.does("creates", name)
    assert created["response"]["status"] == "incomplete"
    assert server.does("finishes", name)[-1]["response"]["status"] == "completed"


def test_speaches_fails_by_a_server_error_and_no_done() -> None:
    server = Server("speaches")
    name, _ = server.speaking()
    (failed,) = server.does("finishes", name, "failed")
    assert (failed["error"]["type"], failed["error"]["code"]) == ("server_error", None)
    assert server.model.slot_holder() is None


# What the explorer asks of each


@pytest.mark.parametrize("name", FAMILY)
def test_a_world_can_be_made_of_every_server(name: str) -> None:
    """Its telephone speaks G.711, it has said hello, and its reader hears what it says."""
    member = FAMILY[name]
    plan = next(each for each in PLANS if each.name == "calls")
    model, opening = member.make(plan, SESSION)
    assert isinstance(model, FamilyServer)
    assert json.loads(opening[0])["type"] == "session.created"
    request = json.dumps({"type": "response.create", "event_id": "req_1"})
    assert member.asked(request).request == "req_1"
    model.receive(request, 0)
    said = []
    while model.owes:
        said += model.take(model.choices()[0], 0)
    facts = [each.what for each in map(member.told, said) if each]
    assert facts[:2] == ["created", "announced"]
    assert facts[-1] == "done"
    audio = [each for each in map(member.told, said) if each and each.what == "audio"]
    assert [each.ms for each in audio] == [100] * len(audio) != []


def test_who_interrupts_by_itself_in_a_world_is_known() -> None:
    """What a world's `Readings` want: the plan asks, the server's rules decide."""
    plans = {plan.vad: plan for plan in PLANS}
    found = {
        name: tuple(
            member.interrupts_itself(plans[vad]) for vad in ("interrupts", "listens", "off")
        )
        for name, member in FAMILY.items()
    }
    asked, always, never = (True, False, False), (True, True, False), (False, False, False)
    assert found == {
        "azure": asked,
        "azure_preview": asked,
        "voicelive": asked,
        "xai": never,
        "localai": always,
        "speaches": never,
        "inworld": asked,
        "qwen": asked,
        "hf_speech_to_speech": asked,
        "vllm_omni": asked,
    }
