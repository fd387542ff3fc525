"""Inworld, Qwen-Omni, Hugging Face speech-to-speech and vLLM-Omni, one claim each; and worlds that are searched.

What their models say on the way is judged by the official types of `family.py`, and so is what is written to them.
"""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.session import Session
from bargein.simulator.kinds import server_kind
from bargein.simulator.verify import search
from bargein.simulator.worlds import plans_for

from .family import Server, types

CARRIER = {
    "assemblyai": "twilio",
    "inworld": "twilio",
    "qwen": "browser",
    "hf_speech_to_speech": "browser",
    "vllm_omni": "browser",
}
"""Each provider with a carrier that shares an audio format with it."""
WORLDS = [
    (name, plan.name)
    for name in CARRIER
    for plan in plans_for(name)
    if plan.name in ("superseded", "silent", "answers", "words", "unmarked")
]

# The members of the OpenAI family: facts/transports.md 22, 23, 26.3, 26.4


def test_inworld_leaves_the_name_of_a_function_to_its_item() -> None:
    server = Server("inworld")
    name = server.asked()
    server.does("creates", name)
    assert server.does("announces", name, "function_call", name="weather")[0]["item"]["name"]
    done = server.does("finishes", name)[0]
    assert done["type"] == "response.function_call_arguments.done" and "name" not in done
    (call,) = adapters.provider("inworld").decode(json.dumps(done))
    assert call == ev.Call("call_1", arguments="", response=name, item="call_1")


@pytest.mark.parametrize("name", ["inworld", "qwen", "hf_speech_to_speech"])
def test_a_cancel_reaches_whatever_runs(name: str) -> None:
    server = Server(name)
    running, _ = server.speaking()
    server.told("response.cancel", event_id="c_1", response_id="resp_of_somebody_else")
    assert server.model.responses[running].state in ("cancelling", "cancelled")
    (cancel,) = adapters.provider(name).cancel("op", _facts())
    assert json.loads(cancel) == {"type": "response.cancel", "event_id": "op"}


def _facts() -> Any:  # noqa: ANN401
    session = Session(adapters.provider("openai"), adapters.transport("twilio"))
    ref, _ = session.request(0)
    response = session.responses[ref]
    response.server_id = "resp_1"
    return response


def test_qwen_takes_instructions_and_nothing_that_would_come_back() -> None:
    session = Session(adapters.provider("qwen"), adapters.transport("browser"))
    _, asked = session.request(0, instructions="Greet.")
    (create,) = [json.loads(a.data) for a in asked if isinstance(a, do.ToProvider)]
    assert create["response"] == {"instructions": "Greet."}
    server = Server("qwen")
    assert server.model.receive(json.dumps(create), 0) == []
    error = server.error("response.create", response={"metadata": {"a": "b"}})
    assert error["code"] == "unknown_parameter"
    assert server.truncate("item_1")[0]["error"]["param"] == "type"
    assert server.does("connects")[0]["session"]["output_audio_format"] == "pcm24"


def test_hugging_face_ends_what_the_caller_interrupts_before_it_says_that_it_heard_them() -> None:
    server = Server("hf_speech_to_speech")
    name, item = server.speaking()
    said = server.does("hears_speech_start", 0)
    assert types(said)[-2:] == ["response.done", "input_audio_buffer.speech_started"]
    assert said[-2]["response"]["status_details"]["reason"] == "turn_detected"
    assert server.model.responses[name].done and server.remembers(item).deleted


def test_hugging_face_names_its_errors_by_type() -> None:
    server = Server("hf_speech_to_speech")
    _, item = server.speaking()
    assert server.truncate(item) == []
    error = server.error("conversation.item.delete", event_id="d_1", item_id=item)
    assert (error["type"], error["code"]) == ("unknown_or_invalid_event", None)
    busy = json.dumps({"type": "response.create", "event_id": "req_2"})
    (refused,) = server.model.receive(busy, 0)
    kind = "conversation_already_has_active_response"
    (read,) = adapters.provider("hf_speech_to_speech").decode(refused)
    assert isinstance(read, ev.Error) and (read.code, read.op) == (kind, "req_2")
    assert types(server.told("response.cancel"))[-1] == "response.done"
    assert server.told("response.cancel") == []


def test_vllm_omni_forgets_the_words_it_was_cut_at_until_a_truncate_tells_where() -> None:
    server = Server("vllm_omni")
    name, item = server.speaking(300)
    said = server.does("hears_speech_start", 0)
    assert types(said)[0] == "input_audio_buffer.speech_started"
    assert types(said)[-1] == "response.done"
    assert server.remembers(item).remembered_ms == 0
    (refused,) = server.truncate(item, 400)
    assert "actual audio duration" in refused["error"]["message"]
    assert server.remembers(item).remembered_ms == 0
    (cut,) = server.truncate(item, 200)
    assert cut["type"] == "conversation.item.truncated"
    assert server.remembers(item).remembered_ms == 200
    error = server.error("response.cancel", event_id="c_1", response_id=name)
    means = [
        rule.means
        for rule in adapters.provider("vllm_omni").errors.values()
        if rule.says and rule.says in error["message"]
    ]
    assert (error["code"], means) == ("invalid_request_error", ["benign"])


def test_a_request_to_vllm_omni_ends_the_response_before_it_at_once() -> None:
    server = Server("vllm_omni")
    first, _ = server.speaking()
    done = server.told("response.create", event_id="req_2")[-1]
    assert (done["type"], done["response"]["id"]) == ("response.done", first)
    assert done["response"]["status"] == "cancelled"


# The worlds of the explorer


@pytest.mark.parametrize(("name", "world"), WORLDS)
def test_a_world_holds(name: str, world: str) -> None:
    plan = next(each for each in plans_for(name) if each.name == world)
    report = search(plan, adapters.provider(name), adapters.transport(CARRIER[name]))
    assert report.outcome.counterexample is None and not report.outcome.truncated


@pytest.mark.parametrize("name", CARRIER)
def test_a_table_that_misses_how_a_response_ended_is_found(name: str) -> None:
    """The worlds are not green by themselves: an end by interruption that is read as any other is told at once."""
    sound = adapters.provider(name)

    def careless(message: str | bytes) -> tuple[ev.Event, ...]:
        heard = [each for each in sound.decode(message) if not _tells_of_interruption(each)]
        return tuple(
            [ev.Finished(response=e.response) if isinstance(e, ev.Finished) else e for e in heard]
        )

    plan = next(each for each in plans_for(name) if each.name == "answers")
    table = replace(sound, decode=careless)
    report = search(plan, table, adapters.transport(CARRIER[name]), server=server_kind(name))
    assert report.outcome.counterexample is not None


def _tells_of_interruption(event: ev.Event) -> bool:
    return isinstance(event, ev.Interrupted | ev.SpeechStarted)
