"""The model of the Gemini Live server: its rules, one claim each.

Every message it says on the way is judged by the official types, and so is every one it is told (`Server`).
"""

import base64
import json
from typing import Any, cast

import msgspec
import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from bargein.simulator.facts import Asked, Told
from bargein.simulator.gemini import DEFAULT_SETUP, GeminiBounds, GeminiRules, GeminiServer
from bargein.simulator.gemini_facts import asked, told, told_all
from bargein.simulator.turns import Bounds, Choice, Remembered, Said
from bargein.simulator.voice import trace

from .official import gemini_is_told, gemini_says

Json = dict[str, Any]

MANUAL: Json = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
KEPT: Json = {"realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}}
NOTE: Json = {"clientContent": {"turnComplete": False}}
START: Json = {"realtimeInput": {"activityStart": {}}}
END: Json = {"realtimeInput": {"activityEnd": {}}}
AUDIO: Json = {"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/pcm;rate=16000"}}}


def ask(text: str = "hi", *, complete: bool = True) -> Json:
    turns = [{"role": "user", "parts": [{"text": text}]}]
    return {"clientContent": {"turns": turns, "turnComplete": complete}}


def result(scheduling: str | None = None, **names: str) -> Json:
    response: Json = {"response": {"output": "ok"}} | names
    if scheduling:
        response["scheduling"] = scheduling
    return {"toolResponse": {"functionResponses": [response]}}


class Server:
    """The model as a Scene uses it: every message either way is judged, and comes back decoded."""

    def __init__(
        self,
        setup: Json | None = None,
        *,
        rules: GeminiRules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.model = GeminiServer(rules=rules, bounds=bounds)
        said = self.told({"setup": DEFAULT_SETUP | (setup or {})})
        assert [next(iter(each)) for each in said] == ["setupComplete"]

    def told(self, message: Json) -> list[Json]:
        gemini_is_told(message)
        return self.heard(self.model.receive(json.dumps(message), 0))

    def does(self, what: str, *args: object, **fields: object) -> list[Json]:
        return self.heard(getattr(self.model, what)(*args, **fields))

    def heard(self, said: Said) -> list[Json]:
        for message in said:
            gemini_says(message)
        return [json.loads(message) for message in said]

    def speaking(self, ms: int = 200) -> str:
        """A turn that answers a request and has said so much."""
        assert self.told(ask()) == []
        self.does("speaks", self.model.latest_response, ms, "")
        return self.model.latest_response

    def remembers(self) -> Remembered:
        return self.model.memory()[0]


def shapes(said: list[Json]) -> list[str]:
    """The messages by the fields that are set, each serverContent by its own."""
    return [" ".join(m.get("serverContent") or m).replace(" usageMetadata", "") for m in said]


@pytest.fixture
def server() -> Server:
    return Server()


# The handshake


def test_nothing_is_said_before_the_setup() -> None:
    model = GeminiServer(bounds=Bounds(speech_turns=1, spontaneous=1))
    assert (model.connects(), model.choices()) == ([], [])
    assert model.receive(json.dumps(ask()), 0) == []
    assert (model.close_code, model.close_reason) == (1007, "setup must be the first message")


def test_a_second_setup_closes_the_socket(server: Server) -> None:
    server.told({"setup": DEFAULT_SETUP})
    assert server.model.close_code == 1007


def test_a_session_may_begin_after_its_setup() -> None:
    model = GeminiServer(setup=DEFAULT_SETUP)
    assert model.connects() == ['{"setupComplete":{}}']


def test_the_setup_is_understood_in_snake_case_too() -> None:
    """The SDK mixes both."""
    config = {"automatic_activity_detection": {"disabled": True}}
    model = GeminiServer()
    model.receive(json.dumps({"setup": {"realtime_input_config": config}}).encode(), 0)
    assert (model.ready, model.detects_speech) == (True, False)


# A turn


def test_a_turn_is_content_then_the_end_of_the_generation_then_its_own(server: Server) -> None:
    server.told(ask())
    said = server.does("speaks", "resp_1", 100) + server.does("finishes", "resp_1")
    assert shapes(said) == [
        "outputTranscription",
        "modelTurn",
        "generationComplete",
        "turnComplete",
    ]


def test_audio_is_pcm16_at_24_khz(server: Server) -> None:
    server.speaking(100)
    (said,) = server.model.speaks("resp_1", 20, "")
    content = gemini_says(said).server_content
    assert content is not None and content.model_turn is not None
    (part,) = content.model_turn.parts or [types.Part()]
    assert part.inline_data is not None and part.inline_data.data is not None
    assert part.inline_data.mime_type == "audio/pcm;rate=24000"
    assert trace(part.inline_data.data, 48) == [(1, ms) for ms in range(100, 120)]


def test_words_come_only_if_the_setup_asks_for_them() -> None:
    server = Server({"outputAudioTranscription": None})
    server.told(ask())
    assert shapes(server.does("speaks", "resp_1", 100)) == ["modelTurn"]


def test_content_may_come_in_one_message_with_the_end_of_the_turn(server: Server) -> None:
    server.told(ask())
    said = server.does("speaks_last", "resp_1", 100)
    (fields,) = [set(message["serverContent"]) for message in said]
    assert fields == {"outputTranscription", "modelTurn", "generationComplete", "turnComplete"}
    assert server.remembers().remembered_ms == 100
    assert server.model.head is None


def test_thoughts_are_text_that_nobody_hears(server: Server) -> None:
    server.told(ask())
    (said,) = server.does("thinks", "resp_1", "hm")
    assert said["serverContent"]["modelTurn"]["parts"] == [{"text": "hm", "thought": True}]
    assert server.model.memory() == []


def test_a_turn_may_be_rejected(server: Server) -> None:
    server.told(ask())
    (said,) = server.does("rejects", "resp_1")
    assert said["serverContent"]["turnCompleteReason"] == "RESPONSE_REJECTED"
    assert server.model.head is None


def test_a_turn_that_ends_may_say_that_all_is_idle() -> None:
    server = Server(rules=GeminiRules(interaction_status=True, usage=False))
    server.told(ask())
    (*_, said) = server.does("finishes", "resp_1")
    assert said == {"serverContent": {"turnComplete": True, "interactionStatus": "IDLE"}}


def test_json_may_come_in_binary_frames() -> None:
    model = GeminiServer(setup={}, rules=GeminiRules(binary_frames=True))
    assert model.connects() == [b'{"setupComplete":{}}']
    model.receive(json.dumps(ask()), 0)
    assert all(isinstance(each, bytes) for each in model.speaks_last("resp_1", 10))


# Interruption


@pytest.mark.parametrize("message", [NOTE, ask(), ask(complete=False)])
def test_client_content_of_any_kind_interrupts(server: Server, message: Json) -> None:
    """`google.genai.types.LiveClientContent`; no `generationComplete` comes in such a turn."""
    name = server.speaking()
    assert shapes(server.told(message)) == ["interrupted"]
    assert shapes(server.does("finishes", name)) == ["turnComplete"]


def test_a_request_is_answered_after_the_turn_it_interrupts(server: Server) -> None:
    server.speaking()
    server.told(ask("again"))
    assert server.model.waiting == ["resp_2"]
    server.does("finishes", "resp_1")
    assert shapes(server.does("speaks", "resp_2", 100, "")) == ["modelTurn"]


def test_a_request_takes_the_place_of_the_one_not_begun(server: Server) -> None:
    """`interrupted` and `turnComplete` come before any content; one request waits at a time."""
    server.told(ask("a"))
    assert shapes(server.told(ask("b"))) == ["interrupted"]
    assert server.told(ask("c")) == []
    assert shapes(server.does("finishes", "resp_1")) == ["turnComplete"]
    assert [server.model.responses[name].request for name in server.model.waiting] == ["c"]


def test_the_pause_before_the_end_of_the_turn_can_be_interrupted(server: Server) -> None:
    name = server.speaking()
    server.does("ends_generation", name)
    assert shapes(server.told(NOTE)) == ["interrupted"]
    assert shapes(server.does("finishes", name)) == ["turnComplete"]


def test_a_note_is_not_always_noticed() -> None:
    server = Server(rules=GeminiRules(note_interrupts=False))
    server.speaking()
    assert server.told(NOTE) == []


def test_the_caller_interrupts_where_the_server_listens(server: Server) -> None:
    name = server.speaking()
    assert shapes(server.does("hears_speech_start", 0)) == ["interrupted"]
    server.does("trailing_delta", name)
    assert shapes(server.does("finishes", name)) == ["turnComplete"]
    assert server.does("hears_speech_stop", 0) == []
    assert shapes(server.does("speaks", "resp_2", 100, "")) == ["modelTurn"]


def test_the_caller_does_not_interrupt_where_the_setup_says_so() -> None:
    server = Server(KEPT)
    server.speaking()
    assert server.does("hears_speech_start", 0) == []


def test_what_is_over_may_be_interrupted_while_the_client_plays(server: Server) -> None:
    server.does("finishes", server.speaking())
    assert shapes(server.does("hears_speech_start", 0, playing=True)) == ["interrupted"]


def test_only_what_was_sent_is_remembered(server: Server) -> None:
    name = server.speaking(300)
    server.told(NOTE)
    server.does("trailing_delta", name)
    assert (server.remembers().generated_ms, server.remembers().remembered_ms) == (400, 300)


# Activity


@pytest.mark.parametrize("message", [START, END])
def test_explicit_activity_closes_the_socket_of_a_server_that_listens(
    server: Server, message: Json
) -> None:
    server.speaking()
    assert server.told(message) == []
    assert server.model.closed
    assert (server.model.close_code, server.model.close_reason) == (
        1007,
        "Explicit activity control is not supported when automatic activity detection is enabled",
    )


def test_activity_interrupts_and_its_end_is_answered() -> None:
    server = Server(MANUAL, bounds=Bounds(speech_turns=1))
    name = server.speaking()
    assert shapes(server.told(START)) == ["interrupted"]
    assert "hears_speech_stop" not in {each.act for each in server.model.choices()}
    server.does("finishes", name)
    assert server.told(END) == []
    assert server.model.waiting == ["resp_2"]
    assert server.told(END) == []
    assert server.model.waiting == ["resp_2"]


def test_activity_does_not_interrupt_where_the_setup_says_so() -> None:
    config = MANUAL["realtimeInputConfig"] | KEPT["realtimeInputConfig"]
    server = Server({"realtimeInputConfig": config})
    server.speaking()
    assert server.told(START) == []


@pytest.mark.parametrize("again", ["ignored", "interrupts"])
def test_activity_that_begins_twice(again: str) -> None:
    server = Server(MANUAL, rules=GeminiRules(activity_again=again))  # type: ignore[arg-type]
    server.told(START)
    server.speaking()
    assert shapes(server.told(START)) == ["interrupted"] * (again == "interrupts")


def test_a_server_that_is_told_of_activity_does_not_listen_for_it() -> None:
    server = Server(MANUAL)
    assert server.does("hears_speech_start", 0) == []
    assert not server.model.caller_speaks


def test_the_end_of_the_audio_ends_the_caller_s_turn(server: Server) -> None:
    server.does("hears_speech_start", 0)
    server.told({"realtimeInput": {"audioStreamEnd": True}})
    assert (server.model.caller_speaks, server.model.waiting) == (False, ["resp_1"])


def test_where_it_is_enabled_voice_activity_is_told() -> None:
    server = Server(rules=GeminiRules(voice_activity=True))
    name = server.speaking()
    said = server.does("hears_speech_start", 1200)
    assert shapes(said) == ["voiceActivity", "interrupted"]
    assert said[0]["voiceActivity"] == {
        "voiceActivityType": "ACTIVITY_START",
        "audioOffset": "1.2s",
    }
    server.does("finishes", name)
    (stopped,) = server.does("hears_speech_stop", 2000)
    assert stopped["voiceActivity"]["voiceActivityType"] == "ACTIVITY_END"


# Other input


def test_the_caller_s_audio_is_taken_in_silence(server: Server) -> None:
    server.speaking()
    assert server.told(AUDIO) == []
    assert not server.model.closed


def test_realtime_text_is_answered_and_interrupts(server: Server) -> None:
    server.speaking()
    assert shapes(server.told({"realtimeInput": {"text": "stop"}})) == ["interrupted"]
    assert server.model.responses["resp_2"].request == "stop"


@pytest.mark.parametrize("nudge", [{"realtimeInput": {"text": " "}}, AUDIO])
def test_models_3_x_wait_for_realtime_input_before_they_answer_content(nudge: Json) -> None:
    server = Server(rules=GeminiRules(content_answers=False))
    assert server.told(ask("seed")) == []
    assert server.model.waiting == []
    server.told(nudge)
    assert [each.request for each in server.model.responses.values()] == ["seed"]


def test_initial_history_is_not_answered() -> None:
    server = Server({"historyConfig": {"initialHistoryInClientContent": True}})
    server.told(ask("seed", complete=False))
    server.told(ask("seed"))
    assert server.model.waiting == []
    server.told(ask("go"))
    assert server.model.waiting == ["resp_1"]


def test_a_changed_context_changes_nothing_that_runs(server: Server) -> None:
    server.speaking()
    update = {"contextUpdate": {"systemInstruction": {"parts": [{"text": "be brief"}]}}}
    assert server.told(update) == []
    assert server.model.responses["resp_1"].state == "in_progress"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        b"\xff",
        '{"clientContent":7}',
        '{"clientContent":{"turnComplete":1}}',
        '{"clientContent":{},"setup":{}}',
        '{"sing":{}}',
        '{"realtimeInput":{"audio":{"data":"?"}}}',
        '{"realtimeInput":{"audio":{"data":"ä"}}}',
        "[" * 100_000,
    ],
)
def test_what_is_not_understood_closes_the_socket(server: Server, message: str | bytes) -> None:
    assert server.model.receive(message, 0) == []
    assert server.model.close_code == 1007


def test_a_setup_of_another_shape_closes_the_socket() -> None:
    model = GeminiServer()
    assert model.receive('{"setup":{"realtimeInputConfig":7}}', 0) == []
    assert (model.close_code, model.ready) == (1007, False)


# Function calls


def test_a_function_call_waits_for_its_result_and_the_turn_goes_on(server: Server) -> None:
    server.told(ask())
    (said,) = server.does("calls", "resp_1", "lookup", '{"x":1}')
    assert said == {
        "toolCall": {"functionCalls": [{"id": "call_1", "name": "lookup", "args": {"x": 1}}]}
    }
    assert not server.model.owes
    assert server.told(result(id="call_9", name="lookup")) == []
    assert not server.model.owes
    server.told(result(id="call_1", name="lookup"))
    assert shapes(server.does("speaks", "resp_1", 100, "")) == ["modelTurn"]


def test_an_interruption_cancels_the_calls_that_wait(server: Server) -> None:
    server.told(ask())
    server.does("calls", "resp_1")
    said = server.does("hears_speech_start", 0)
    assert shapes(said) == ["interrupted", "toolCallCancellation"]
    assert said[1] == {"toolCallCancellation": {"ids": ["call_1"]}}


def test_calls_may_lack_ids_and_are_then_known_by_name() -> None:
    server = Server(rules=GeminiRules(call_ids=False))
    server.told(ask())
    (said,) = server.does("calls", "resp_1")
    assert "id" not in said["toolCall"]["functionCalls"][0]
    server.told(result(name="lookup"))
    assert server.model.open_calls("resp_1") == []
    server.does("calls", "resp_1")
    assert shapes(server.told(NOTE)) == ["interrupted"]


def test_some_models_end_the_generation_at_a_call() -> None:
    server = Server(rules=GeminiRules(generation_end_at_call=True))
    server.told(ask())
    assert shapes(server.does("calls", "resp_1")) == ["toolCall", "generationComplete"]


@pytest.mark.parametrize("scheduling", ["INTERRUPT", "WHEN_IDLE", "SILENT"])
def test_a_result_interrupts_only_where_its_scheduling_says_so(
    server: Server, scheduling: str
) -> None:
    server.speaking()
    said = server.told(result(scheduling, id="call_9", name="lookup"))
    assert shapes(said) == ["interrupted"] * (scheduling == "INTERRUPT")


# The session


def test_the_server_may_announce_that_it_goes(server: Server) -> None:
    assert server.does("goes_away", 50) == [{"goAway": {"timeLeft": "50s"}}]


def test_a_session_resumes_only_while_nothing_runs() -> None:
    server = Server({"sessionResumption": {"handle": None}})
    (idle,) = server.does("offers_handle", "h1")
    assert idle == {"sessionResumptionUpdate": {"newHandle": "h1", "resumable": True}}
    server.speaking()
    (busy,) = server.does("offers_handle", "h2")
    assert busy == {"sessionResumptionUpdate": {"resumable": False}}


def test_no_handle_is_offered_that_the_setup_did_not_ask_for(server: Server) -> None:
    with pytest.raises(ValueError, match="did not ask"):
        server.does("offers_handle")


def test_what_the_caller_said_and_that_more_is_awaited_may_come_at_any_time(server: Server) -> None:
    assert shapes(server.does("transcribes", "hello")) == ["inputTranscription"]
    assert shapes(server.does("transcribes", "he", interim=True)) == ["interimInputTranscription"]
    assert shapes(server.does("waits_for_input")) == ["waitingForInput"]


# How the explorer reads the wire


def test_every_message_tells_the_truth_to_the_explorer_alone() -> None:
    server = Server(bounds=Bounds())
    server.told(ask("r1"))
    words, audio = server.model.speaks("resp_1", 100)
    assert told(words) == Told("text", "resp_1", "item_1", "r1")
    assert told(audio) == Told("audio", "resp_1", "item_1", "r1", 1, 100)
    (stopped,) = server.model.receive(json.dumps(ask("r2")), 0)
    assert told(stopped) == Told("interrupted", "resp_1", request="r1", status="client")
    (ended,) = server.model.finishes("resp_1")
    assert told(ended) == Told("done", "resp_1", request="r1", status="cancelled")
    (thought,) = server.model.thinks("resp_2", "hm")
    assert told(thought) == Told("text", "resp_2", request="r2")
    (call,) = server.model.calls("resp_2")
    assert told(call) == Told("call", "resp_2", "item_101", "r2")
    (rejected,) = server.model.rejects("resp_2")
    assert told(rejected) == Told("done", "resp_2", request="r2", status="failed")
    assert told('{"goAway":{"timeLeft":"1s"}}') is None
    assert told('{"voiceActivity":{"voiceActivityType":"ACTIVITY_START"}}') == Told(
        "speech_started"
    )


def test_one_message_may_tell_several_things_content_first() -> None:
    server = Server(bounds=Bounds())
    server.told(ask("r1"))
    (message,) = server.model.speaks_last("resp_1", 100)
    assert [each.what for each in told_all(message)] == ["text", "audio", "ended", "done"]
    assert {(each.response, each.request) for each in told_all(message)} == {("resp_1", "r1")}
    assert told(message) == told_all(message)[-1]


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (ask("r1"), Asked("create", request="r1")),
        ({"realtimeInput": {"text": "r1"}}, Asked("create", request="r1")),
        ({"clientContent": {"turnComplete": True}}, Asked("create")),
        (NOTE, Asked("cancel")),
        (START, Asked("cancel")),
        (END, Asked("other")),
        (AUDIO, Asked("other")),
        ({"setup": {}}, Asked("other")),
        (result(name="f"), Asked("other")),
        ({"nonsense": 1}, Asked("other")),
    ],
)
def test_what_a_client_message_asks_for(message: Json, meant: Asked) -> None:
    assert asked(json.dumps(message)) == meant


# Everything it can say

WIDE = GeminiBounds(
    deltas=1,
    kinds=("message", "function_call"),
    empty_turns=True,
    premature_ends=True,
    deaths=True,
    spontaneous=1,
    speech_turns=1,
    drops=True,
    go_aways=1,
)
INPUTS = [ask("a"), NOTE, START, END, AUDIO, result(name="lookup", id="call_1")]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_whatever_happens_the_sdk_reads_every_message(data: st.DataObject) -> None:
    """Every choice under every rule: no message is strange to the official types, none is without its truth, and
    the session never says a word after the socket is closed."""
    flags = {
        name: data.draw(st.booleans(), label=name)
        for name in ("bundles", "interaction_status", "usage", "voice_activity", "call_ids")
    }
    waits = data.draw(st.booleans())
    setup = data.draw(st.sampled_from([{}, MANUAL, KEPT]))
    rules = msgspec.convert({"waits_for_tools": waits} | flags, GeminiRules)
    server = Server(cast("Json", setup), rules=rules, bounds=WIDE)
    for _ in range(data.draw(st.integers(0, 25))):
        acts: list[Choice | Json] = [*server.model.choices(), *INPUTS]
        act = data.draw(st.sampled_from(acts))
        before = server.model.closed
        said = (
            server.told(act) if isinstance(act, dict) else server.heard(server.model.take(act, 0))
        )
        assert not (before and said)
        assert all(message.get("_of") is not None for message in said)


def test_the_bounds_reach_every_deed_and_bound_them() -> None:
    """The choices of a call of two requests, walked to the end."""
    start = Server(
        MANUAL, rules=GeminiRules(bundles=True, waits_for_tools=False), bounds=WIDE
    ).model
    start.receive(json.dumps(ask("a")), 0)
    seen, left, met = {start.key()}, [start], set[str]()
    while left:
        at = left.pop()
        acts: list[Choice | Json] = [*at.choices(), NOTE]
        for act in acts:
            new = at.copy()
            if isinstance(act, dict):
                new.receive(json.dumps(act), 0)
            else:
                met.add(act.act)
                for message in new.take(act, 0):
                    gemini_says(message)
            for turn in [each.id for each in new.responses.values() if each.done]:
                new.forget(turn)
            if new.key() not in seen:
                seen.add(new.key())
                left.append(new)
        assert len(seen) < 5_000, "the bounds do not bound"
    assert met == {
        "speaks", "speaks_last", "trailing_delta", "calls", "ends_generation", "finishes", "dies", "speaks_up",
        "goes_away", "loses_connection",
    }  # fmt: skip


def test_audio_is_read_back_by_the_sdk_as_it_was_made(server: Server) -> None:
    server.told(ask())
    (*_, said) = server.does("speaks", "resp_1", 5)
    data = said["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"]
    assert len(base64.b64decode(data)) == 5 * 48
