"""The model of the OpenAI server: its rules, one claim each, and its oracle.

Every event it sends on the way is judged by the official types (`_checked`).
"""

import base64
import json
from functools import cache
from typing import Any, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from bargein.simulator.openai import Bounds, Choice, OpenAIServer, Remembered, Rules
from bargein.simulator.voice import trace

PCMU = {
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}},
        "output": {"format": {"type": "audio/pcmu"}},
    }
}
VAD_OFF: dict[str, Any] = {"audio": {"input": {"turn_detection": None}}}

Event = dict[str, Any]


@cache
def _official() -> TypeAdapter[RealtimeServerEvent]:
    return TypeAdapter(RealtimeServerEvent)


@cache
def _official_client() -> TypeAdapter[RealtimeClientEvent]:
    return TypeAdapter(RealtimeClientEvent)


def _checked(events: list[str]) -> list[Event]:
    """The events as JSON, each recognised by the official package as what it says it is."""
    for event in events:
        parsed = _official().validate_json(event)
        assert get_args(type(parsed).model_fields["type"].annotation) == (parsed.type,)
    return [json.loads(event) for event in events]


def _types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


class Server:
    """The model as a Scene uses it: events come back judged and decoded."""

    def __init__(
        self,
        session: dict[str, Any] | None = None,
        *,
        rules: Rules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.model = OpenAIServer(session=PCMU | (session or {}), rules=rules, bounds=bounds)

    def told(self, type_: str, **fields: object) -> list[Event]:
        message = json.dumps({"type": type_} | fields)
        return _checked(self.model.receive(message, now_ms=0))

    def does(self, what: str, *args: object, **fields: object) -> list[Event]:
        return _checked(getattr(self.model, what)(*args, **fields))

    def asked(self, request: str = "req_1", **response: object) -> str:
        """A request, accepted and not yet created; its response's id."""
        metadata = {"client_event_id": request}
        body = {"metadata": metadata} | response
        assert self.told("response.create", event_id=request, response=body) == []
        return self.model.latest_response

    def speaking(self, ms: int = 1000, **response: object) -> tuple[str, str]:
        """A response that has spoken `ms` of its first item."""
        name = self.asked("req_1", **response)
        self.does("creates", name)
        self.does("announces", name)
        item = self.model.latest_item
        for _ in range(ms // 100):
            self.does("speaks", name, item, 100)
        return name, item

    def remembers(self, item: str) -> Remembered:
        return {each.item: each for each in self.model.memory()}[item]

    def error(self, type_: str, **fields: object) -> Event:
        """The one error a message is answered with."""
        (answer,) = self.told(type_, **fields)
        assert answer["type"] == "error"
        error: Event = answer["error"]
        assert error["type"] == "invalid_request_error"
        return error


@pytest.fixture
def server() -> Server:
    return Server()


# Responses


def test_a_response_is_sent_in_the_documented_order(server: Server) -> None:
    name = server.asked()
    assert _types(server.does("creates", name)) == ["response.created"]
    assert _types(server.does("announces", name)) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
    ]
    assert _types(server.does("speaks", name, "item_1", 100)) == [
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
    ]
    assert _types(server.does("finishes", name)) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]


def test_metadata_comes_back_in_created_and_in_done(server: Server) -> None:
    """The one way to tell which request a response answers."""
    name = server.asked(metadata={"client_event_id": "req_7", "topic": "greeting"})
    (created,) = server.does("creates", name)
    (done,) = server.does("finishes", name)
    for event in (created, done):
        assert event["response"]["metadata"] == {"client_event_id": "req_7", "topic": "greeting"}


def test_audio_names_its_item_and_its_millisecond(server: Server) -> None:
    """What the ear traces; two items of one response are two voices."""
    name, _ = server.speaking(200)
    server.does("announces", name)
    item = server.model.latest_item
    _, delta = server.does("speaks", name, item, 100)
    voice = server.remembers(item).voice
    assert trace(base64.b64decode(delta["delta"])) == [(voice, ms) for ms in range(100)]
    assert voice != server.remembers("item_1").voice


@pytest.mark.parametrize(
    ("encoding", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8), ("audio/pcma", 8)]
)
def test_audio_is_as_long_as_the_session_s_format_says(encoding: str, bytes_per_ms: int) -> None:
    server = Server()
    session = {"type": "realtime", "audio": {"output": {"format": {"type": encoding}}}}
    server.told("session.update", session=session)
    name, item = server.speaking(0)
    _, delta = server.does("speaks", name, item, 100)
    assert len(base64.b64decode(delta["delta"])) == 100 * bytes_per_ms


def test_text_only_responses_carry_text_and_no_audio(server: Server) -> None:
    name = server.asked(output_modalities=["text"])
    server.does("creates", name)
    *_, part = server.does("announces", name)
    assert part["part"]["type"] == "text"
    item = server.model.latest_item
    assert _types(server.does("says_text", name, item, "Hello")) == ["response.output_text.delta"]
    assert _types(server.does("ends_item", name, item))[0] == "response.output_text.done"
    assert server.remembers(item).transcript == "Hello"
    assert server.remembers(item).generated_ms == 0


def test_a_function_call_is_an_item_of_its_own(server: Server) -> None:
    name = server.asked()
    server.does("creates", name)
    added = server.does("announces", name, "function_call", name="weather")
    assert added[0]["item"]["name"] == "weather"
    server.does("calls", name, "item_1", '{"town":')
    server.does("calls", name, "item_1", '"Rome"}')
    done = server.does("ends_item", name, "item_1")
    assert done[0]["type"] == "response.function_call_arguments.done"
    assert done[0]["arguments"] == '{"town":"Rome"}'


def test_out_of_band_responses_run_in_parallel_and_join_no_conversation(server: Server) -> None:
    """`conversation: none`: no slot, no conversation.item.added, nothing to truncate."""
    server.speaking()
    name = server.asked("req_2", conversation="none")
    (created,) = server.does("creates", name)
    assert created["response"]["conversation_id"] is None
    added = server.does("announces", name)
    item = server.model.latest_item
    assert "conversation.item.added" not in _types(added)
    server.does("speaks", name, item, 100)
    assert "conversation.item.done" not in _types(server.does("finishes", name))
    assert server.remembers(item).out_of_band
    assert server.remembers(item).remembered_ms == 0
    assert server.error("conversation.item.delete", item_id=item)["code"] == (
        "item_delete_invalid_item_id"
    )


@pytest.mark.parametrize("stage", ["requested", "created", "cancelling"])
def test_a_second_create_is_refused_until_response_done(server: Server, stage: str) -> None:
    """The slot is freed by response.done, not by response.cancel (R07)."""
    name = server.asked()
    if stage != "requested":
        server.does("creates", name)
    if stage == "cancelling":
        server.told("response.cancel", response_id=name)
    error = server.error("response.create", event_id="req_2")
    assert error["code"] == "conversation_already_has_active_response"
    assert error["event_id"] == "req_2"
    assert name in error["message"]
    server.does("finishes", name)
    server.asked("req_3")


def test_an_accepted_request_may_still_be_refused_by_name(server: Server) -> None:
    server.asked("req_1")
    (event,) = server.does("refuses", "req_1", code="rate_limit_exceeded")
    assert event["error"]["event_id"] == "req_1"
    server.asked("req_2")


def test_created_may_come_late_and_finds_its_request_by_any_of_its_names(server: Server) -> None:
    name = server.asked("req_1")
    (created,) = server.does("creates", "req_1")
    assert created["response"]["id"] == name


def test_a_response_may_begin_or_end_without_created(server: Server) -> None:
    """R08: response.done(cancelled) with no created before it."""
    (done,) = server.does("finishes", server.asked(), "cancelled")
    assert (done["type"], done["response"]["status"]) == ("response.done", "cancelled")
    name = server.asked()
    assert server.does("creates", name, created_event=False) == []
    assert _types(server.does("announces", name))[0] == "response.output_item.added"


@pytest.mark.parametrize(
    ("status", "reason", "item_status"),
    [
        ("completed", None, "completed"),
        ("incomplete", "max_output_tokens", "incomplete"),
        ("incomplete", "content_filter", "incomplete"),
        ("failed", None, "incomplete"),
    ],
)
def test_done_tells_how_it_ended(
    server: Server, status: str, reason: str | None, item_status: str
) -> None:
    name, item = server.speaking()
    *_, done = server.does("finishes", name, status, reason)
    details = done["response"]["status_details"]
    assert (details["type"], details["reason"]) == (status, reason)
    assert ("error" in details) == (status == "failed")
    assert server.remembers(item).status == item_status


def test_what_cannot_happen_is_refused_to_the_scene(server: Server) -> None:
    """A Scene that lets the server break its own rules is a wrong Scene."""
    name, item = server.speaking()
    with pytest.raises(ValueError, match="no request waits"):
        server.model.creates()
    server.does("finishes", name)
    for act in (server.model.finishes, server.model.announces):
        with pytest.raises(ValueError, match="completed"):
            act(name)
    with pytest.raises(ValueError, match="completed"):
        server.model.speaks(name, item, 100)


# Cancel


def test_cancel_by_id_ends_that_response_after_its_tail(server: Server) -> None:
    name, item = server.speaking()
    assert server.told("response.cancel", response_id=name) == []
    assert _types(server.does("trailing_delta", name, item)) == ["response.output_audio.delta"]
    tail = server.does("finishes", name)
    assert tail[-3]["item"]["status"] == "incomplete"
    assert tail[-1]["response"]["status"] == "cancelled"
    assert tail[-1]["response"]["status_details"]["reason"] == "client_cancelled"
    assert server.remembers(item).generated_ms == 1100
    assert server.model.responses[name].cancels == 1


def test_cancel_without_id_takes_the_one_active_response(server: Server) -> None:
    name, _ = server.speaking()
    assert server.told("response.cancel") == []
    assert server.model.responses[name].state == "cancelling"


def test_cancel_without_id_takes_none_of_several(server: Server) -> None:
    """R06, measured in livekit/agents#5564; nothing is said either."""
    ours, _ = server.speaking()
    theirs, _ = server.speaking(conversation="none")
    assert server.told("response.cancel") == []
    assert {server.model.responses[name].state for name in (ours, theirs)} == {"in_progress"}
    assert server.model.cancels_without_id == 1


def test_cancel_without_id_may_take_the_default_conversation_s_as_documented() -> None:
    server = Server(rules=Rules(cancel_without_id="default_conversation"))
    theirs, _ = server.speaking(conversation="none")
    ours, _ = server.speaking()
    server.told("response.cancel")
    assert server.model.responses[ours].state == "cancelling"
    assert server.model.responses[theirs].state == "in_progress"


def test_cancel_without_id_does_not_reach_out_of_band(server: Server) -> None:
    server.speaking(conversation="none")
    assert server.error("response.cancel")["code"] == "response_cancel_not_active"


@pytest.mark.parametrize("named", [True, False])
def test_cancel_of_nothing_is_a_harmless_error(server: Server, named: bool) -> None:
    name, _ = server.speaking()
    server.does("finishes", name)
    extra = {"response_id": name} if named else {}
    error = server.error("response.cancel", event_id="c_1", **extra)
    assert error["code"] == "response_cancel_not_active"
    assert error["message"] == "Cancellation failed: no active response found"
    assert error["event_id"] == "c_1"
    server.speaking()


def test_cancel_before_created_does_nothing_and_the_response_is_still_created(
    server: Server,
) -> None:
    """R01: livekit/agents#6244."""
    name = server.asked()
    assert server.error("response.cancel")["code"] == "response_cancel_not_active"
    assert server.error("response.cancel", response_id=name)["code"] == "response_cancel_not_active"
    assert _types(server.does("creates", name)) == ["response.created"]
    assert server.model.responses[name].state == "in_progress"


@pytest.mark.parametrize("rule", ["ignored", "refused"])
def test_a_second_cancel_is_ignored_or_refused(rule: Literal["ignored", "refused"]) -> None:
    server = Server(rules=Rules(cancel_again=rule))
    name, _ = server.speaking()
    server.told("response.cancel", response_id=name)
    answer = server.told("response.cancel", response_id=name)
    assert _types(answer) == ([] if rule == "ignored" else ["error"])
    assert server.model.responses[name].cancels == 2


# Truncate, delete, retrieve


def test_truncate_forgets_the_rest_of_the_audio_and_all_of_the_transcript(server: Server) -> None:
    name, item = server.speaking(1000)
    server.does("finishes", name)
    assert server.remembers(item).transcript
    (ack,) = server.told(
        "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=850
    )
    assert ack["type"] == "conversation.item.truncated"
    assert (ack["item_id"], ack["content_index"], ack["audio_end_ms"]) == (item, 0, 850)
    memory = server.remembers(item)
    assert (memory.generated_ms, memory.remembered_ms) == (1000, 850)
    assert memory.transcript is None
    (shown,) = server.told("conversation.item.retrieve", item_id=item)
    assert len(base64.b64decode(shown["item"]["content"][0]["audio"])) == 850 * 8


def test_truncate_at_the_very_end_is_in_range(server: Server) -> None:
    _, item = server.speaking(1000)
    (ack,) = server.told(
        "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1000
    )
    assert ack["type"] == "conversation.item.truncated"


@pytest.mark.parametrize(("margin_ms", "end_ms", "held_ms"), [(0, 1001, 1000), (85, 1000, 915)])
def test_truncate_beyond_the_audio_is_an_error(margin_ms: int, end_ms: int, held_ms: int) -> None:
    """pipecat-ai/pipecat#3677; with the 85 ms of #2106 even what was received is too long."""
    server = Server(rules=Rules(truncate_margin_ms=margin_ms))
    _, item = server.speaking(1000)
    error = server.error(
        "conversation.item.truncate",
        event_id="t_1",
        item_id=item,
        content_index=0,
        audio_end_ms=end_ms,
    )
    assert (error["code"], error["param"]) == ("invalid_value", "audio_end_ms")
    assert error["message"] == f"Audio content of {held_ms}ms is already shorter than {end_ms}ms"
    assert error["event_id"] == "t_1"
    assert server.remembers(item).remembered_ms == 1000


@pytest.mark.parametrize("end_ms", [850.0, "850", None, True, -1])
def test_truncate_takes_nothing_but_an_integer(server: Server, end_ms: object) -> None:
    _, item = server.speaking(1000)
    error = server.error(
        "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=end_ms
    )
    assert error["param"] == "audio_end_ms"


def test_an_item_without_audio_cannot_be_truncated(server: Server) -> None:
    """Announced and not yet spoken (R53), text, user: livekit/agents#6157."""
    name, item = server.speaking(0)
    server.does("announces", name, "text")
    text = server.model.latest_item
    content = [{"type": "input_text", "text": "hi"}]
    made = {"type": "message", "role": "user", "id": "mine", "content": content}
    server.told("conversation.item.create", item=made)
    for each in (item, text, "mine"):
        error = server.error(
            "conversation.item.truncate", item_id=each, content_index=0, audio_end_ms=0
        )
        assert error["code"] == "unsupported_content_type"
        assert error["message"] == "Only model output audio messages can be truncated"


def test_unknown_items_have_a_code_for_each_verb(server: Server) -> None:
    unknown = {"item_id": "nobody"}
    truncate = {"content_index": 0, "audio_end_ms": 0} | unknown
    assert server.error("conversation.item.truncate", **truncate)["code"] == (
        "item_truncate_invalid_item_id"
    )
    deleted = server.error("conversation.item.delete", **unknown)
    assert deleted["code"] == "item_delete_invalid_item_id"
    assert deleted["message"] == ("Error deleting item: the item with id 'nobody' does not exist.")
    assert server.error("conversation.item.retrieve", **unknown)["code"] == (
        "item_retrieve_invalid_item_id"
    )


def test_what_was_under_way_when_truncated_is_cut_off_too(server: Server) -> None:
    """The truncate overtakes deltas the server had already made (R20)."""
    name, item = server.speaking(500)
    server.told("response.cancel", response_id=name)
    server.told("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=200)
    server.does("trailing_delta", name, item, 100)
    server.does("finishes", name)
    memory = server.remembers(item)
    assert (memory.generated_ms, memory.remembered_ms, memory.transcript) == (600, 200, None)


def test_truncating_without_cancelling_does_not_stop_the_response(server: Server) -> None:
    """The response runs on, and what it adds is remembered."""
    name, item = server.speaking(500)
    server.told("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=200)
    server.does("speaks", name, item, 100)
    assert server.remembers(item).remembered_ms == 300


def test_a_deleted_item_is_forgotten(server: Server) -> None:
    name, item = server.speaking()
    server.does("finishes", name)
    (ack,) = server.told("conversation.item.delete", item_id=item)
    assert (ack["type"], ack["item_id"]) == ("conversation.item.deleted", item)
    memory = server.remembers(item)
    assert (memory.deleted, memory.remembered_ms, memory.transcript) == (True, 0, None)
    assert server.error("conversation.item.delete", item_id=item)["code"] == (
        "item_delete_invalid_item_id"
    )


def test_an_item_deleted_while_it_is_made_ends_without_a_word_about_the_conversation(
    server: Server,
) -> None:
    name, item = server.speaking()
    server.told("conversation.item.delete", item_id=item)
    server.does("speaks", name, item, 100)
    assert "conversation.item.done" not in _types(server.does("finishes", name))
    assert server.remembers(item).remembered_ms == 0


@pytest.mark.parametrize(
    ("rules", "message", "code"),
    [
        (Rules(truncate_at_zero="refused"), {"audio_end_ms": 0}, "invalid_value"),
        (Rules(truncate_in_progress="refused"), {"audio_end_ms": 100}, "invalid_value"),
        (Rules(delete_in_progress="refused"), None, "invalid_value"),
    ],
)
def test_unsettled_refusals_can_be_switched_on(
    rules: Rules, message: dict[str, object] | None, code: str
) -> None:
    """facts/providers.md section 11: what no source settles is a rule with a tolerant default."""
    for server, refused in ((Server(), False), (Server(rules=rules), True)):
        _, item = server.speaking()
        if message is None:
            answer = server.told("conversation.item.delete", item_id=item)
        else:
            truncate = {"item_id": item, "content_index": 0} | message
            answer = server.told("conversation.item.truncate", **truncate)
        assert (answer[0]["type"] == "error") == refused
        if refused:
            assert answer[0]["error"]["code"] == code


def test_a_second_truncate_may_be_refused() -> None:
    server = Server(rules=Rules(truncate_again="refused"))
    _, item = server.speaking()
    truncate = {"item_id": item, "content_index": 0, "audio_end_ms": 100}
    server.told("conversation.item.truncate", **truncate)
    assert server.error("conversation.item.truncate", **truncate)["code"] == (
        "item_already_truncated"
    )


def test_a_refused_truncate_may_mute_the_session() -> None:
    """pipecat-ai/pipecat#3677: requests are taken and never answered."""
    server = Server(rules=Rules(mutes_after_refused_truncate=True))
    name, item = server.speaking()
    server.error("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=9999)
    server.does("finishes", name)
    server.asked("req_2")
    assert server.model.choices() == []


def test_an_error_may_forget_which_event_it_answers() -> None:
    """Seen for deletes, openai/openai-agents-js#189."""
    code = "item_delete_invalid_item_id"
    server = Server(rules=Rules(null_event_id_for=frozenset({code})))
    error = server.error("conversation.item.delete", event_id="d_1", item_id="nobody")
    assert (error["code"], error["event_id"]) == (code, None)


# Items made by the client


def test_an_item_made_by_the_client_joins_where_it_was_told(server: Server) -> None:
    def make(item_id: str, previous: str | None = None) -> list[Event]:
        content = [{"type": "input_text", "text": "hi"}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        extra = {} if previous is None else {"previous_item_id": previous}
        return server.told("conversation.item.create", item=item, **extra)

    assert _types(make("b")) == ["conversation.item.added", "conversation.item.done"]
    make("a", "root")
    make("c", "b")
    assert make("d", "a")[0]["previous_item_id"] == "a"
    assert server.model.conversation.order == ("a", "d", "b", "c")
    assert make("e", "nobody")[0]["type"] == "error"
    assert make("a")[0]["error"]["code"] == "item_create_duplicate_item_id"
    assert server.model.conversation.order == ("a", "d", "b", "c")
    assert server.remembers("a").transcript == "hi"


def test_a_tool_s_answer_is_an_item(server: Server) -> None:
    item = {"type": "function_call_output", "call_id": "call_1", "output": "12 degrees"}
    added, _ = server.told("conversation.item.create", item=item)
    assert added["item"]["output"] == "12 degrees"
    assert added["item"]["id"] == server.model.latest_item


def test_the_client_cannot_make_assistant_audio(server: Server) -> None:
    """So truncated history cannot be rebuilt after a reconnect, only as text."""
    content = [{"type": "output_audio", "transcript": "hi"}]
    item = {"type": "message", "role": "assistant", "content": content}
    error = server.error("conversation.item.create", item=item)
    assert error["param"] == "item.content[0].type"


# The caller's voice


def test_speech_interrupts_the_default_conversation_only(server: Server) -> None:
    """On WebSocket nothing is truncated: that is the client's to do."""
    ours, item = server.speaking()
    theirs, _ = server.speaking(conversation="none")
    (started,) = server.does("hears_speech_start", 1200)
    assert started["type"] == "input_audio_buffer.speech_started"
    assert started["audio_start_ms"] == 1200
    assert server.model.responses[theirs].state == "in_progress"
    *_, done = server.does("finishes", ours)
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    assert server.remembers(item).remembered_ms == 1000


def test_silence_after_speech_commits_the_user_s_item_and_asks_for_a_response(
    server: Server,
) -> None:
    (started,) = server.does("hears_speech_start", 0)
    events = server.does("hears_speech_stop", 1000)
    assert _types(events) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert {event.get("item_id", started["item_id"]) for event in events} == {started["item_id"]}
    (created,) = server.does("creates")
    assert created["response"]["metadata"] is None


def test_the_answer_to_an_interruption_waits_for_the_interrupted_response(server: Server) -> None:
    """The slot is that one's until its response.done, however short the caller's turn."""
    name, _ = server.speaking()
    server.does("hears_speech_start", 0)
    server.does("hears_speech_stop", 500)
    assert server.model.waiting == []
    server.does("finishes", name)
    assert len(server.model.waiting) == 1


@pytest.mark.parametrize("rule", ["silent", "refused"])
def test_a_vad_response_collides_with_a_response_that_may_not_be_interrupted(
    rule: Literal["silent", "refused"],
) -> None:
    """`interrupt_response: false` "may fail to create a response"."""
    audio = {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}
    server = Server({"audio": audio}, rules=Rules(vad_create_when_busy=rule))
    name, _ = server.speaking()
    server.does("hears_speech_start", 0)
    assert server.model.responses[name].state == "in_progress"
    events = server.does("hears_speech_stop", 500)
    assert ("error" in _types(events)) == (rule == "refused")
    assert server.model.waiting == []


@pytest.mark.parametrize("cancels_unborn", [False, True])
def test_speech_over_an_unborn_response_may_end_it_without_created(cancels_unborn: bool) -> None:
    """R08 by VAD; by default the unborn response is born."""
    server = Server(rules=Rules(vad_cancels_unborn=cancels_unborn))
    server.asked()
    events = server.does("hears_speech_start", 0)
    assert ("response.done" in _types(events)) == cancels_unborn


def test_without_vad_nothing_is_detected() -> None:
    server = Server(VAD_OFF)
    assert server.does("hears_speech_start", 0) == []
    assert server.does("hears_speech_stop", 0) == []


def test_with_both_switches_off_vad_only_reports() -> None:
    detection = {"type": "server_vad", "interrupt_response": False, "create_response": False}
    server = Server({"audio": {"input": {"turn_detection": detection}}})
    name, _ = server.speaking()
    assert _types(server.does("hears_speech_start", 0)) == ["input_audio_buffer.speech_started"]
    assert _types(server.does("hears_speech_stop", 0))[0] == "input_audio_buffer.speech_stopped"
    assert server.model.responses[name].state == "in_progress"
    assert server.model.waiting == []


def test_a_caller_who_stays_silent_is_answered_too(server: Server) -> None:
    """`idle_timeout_ms`."""
    events = server.does("hears_nothing", 5000, 9000)
    assert _types(events)[0] == "input_audio_buffer.timeout_triggered"
    assert len(server.model.waiting) == 1


def test_the_input_buffer_is_committed_cleared_and_never_acknowledged(server: Server) -> None:
    audio = base64.b64encode(b"\xff" * 800).decode()
    assert server.told("input_audio_buffer.append", audio=audio) == []
    assert _types(server.told("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"
    assert server.error("input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"
    server.told("input_audio_buffer.append", audio=audio)
    assert _types(server.told("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert server.error("input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"
    assert server.error("input_audio_buffer.append", audio="?")["param"] == "audio"


def test_a_transcript_of_the_caller_may_come_at_any_time(server: Server) -> None:
    (event,) = server.does("transcribes", "item_1", "Hello?", 700)
    assert event["transcript"] == "Hello?"


# The session


def test_a_session_update_changes_only_what_it_names(server: Server) -> None:
    detection = {"type": "server_vad", "interrupt_response": False}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    (updated,) = server.told("session.update", session=session)
    heard = updated["session"]["audio"]["input"]
    assert heard["turn_detection"]["interrupt_response"] is False
    assert heard["turn_detection"]["silence_duration_ms"] == 500
    assert heard["format"] == {"type": "audio/pcmu"}
    off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    (updated,) = server.told("session.update", session=off)
    assert updated["session"]["audio"]["input"]["turn_detection"] is None


def test_a_connection_begins_with_its_session(server: Server) -> None:
    assert _types(server.does("connects")) == ["session.created", "conversation.created"]


def test_a_lost_connection_is_silent_for_ever(server: Server) -> None:
    server.asked()
    assert server.does("loses_connection") == []
    assert server.told("response.cancel") == []
    assert server.model.choices() == []


# Bad input


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (b'{"type":"response.create"}', None, None),
        ("{", "invalid_json", None),
        ("", "invalid_json", None),
        ("\ud800", "invalid_json", None),
        ("[" * 100_000, "invalid_json", None),
        ("[]", "invalid_event", None),
        ("{}", "invalid_event", None),
        ('{"type":"response.creat"}', "invalid_value", "type"),
        ('{"type":7}', "invalid_type", "type"),
        ('{"type":"response.cancel","response_id":7}', "invalid_type", "response_id"),
        ('{"type":"response.cancel","id":"x"}', "unknown_parameter", "id"),
        ('{"type":"conversation.item.delete"}', "missing_required_parameter", "item_id"),
        ('{"type":"session.update","session":{}}', "missing_required_parameter", "session.type"),
        ('{"type":"output_audio_buffer.clear"}', None, "type"),
    ],
)
def test_what_makes_no_sense_is_an_error_and_no_more(
    server: Server, message: str | bytes, code: str | None, param: str | None
) -> None:
    (event,) = _checked(server.model.receive(message, now_ms=0))
    assert event["error"]["type"] == "invalid_request_error"
    assert (event["error"]["code"], event["error"]["param"]) == (code, param)
    server.speaking()


def test_an_error_names_the_event_even_when_it_makes_no_sense(server: Server) -> None:
    assert server.error("response.cancel", event_id="c_1", response_id=7)["event_id"] == "c_1"
    assert server.error("nonsense", event_id="n_1")["event_id"] == "n_1"
    assert server.error("response.cancel", event_id=7)["event_id"] is None


@pytest.mark.parametrize(
    "metadata", [{str(n): "" for n in range(17)}, {"k" * 65: ""}, {"k": "v" * 513}]
)
def test_metadata_has_its_limits(server: Server, metadata: dict[str, str]) -> None:
    error = server.error("response.create", response={"metadata": metadata})
    assert error["param"] == "response.metadata"


# What the explorer lives on


def test_a_copy_is_equal_and_independent() -> None:
    server = Server(bounds=Bounds(speech_turns=1, separate_ends=True))
    name, item = server.speaking()
    before = server.model.key()
    twin = server.model.copy()
    assert twin.key() == before
    assert hash(twin.key()) == hash(before)
    twin.speaks(name, item, 100)
    twin.receive('{"type":"response.cancel"}', 0)
    twin.receive(json.dumps({"type": "conversation.item.delete", "item_id": item}), 0)
    twin.hears_speech_start(0)
    assert server.model.key() == before
    assert twin.key() != before


def test_the_way_there_does_not_matter_to_the_key() -> None:
    """Server event ids differ with the path; two equal worlds must not count twice."""
    one, other = OpenAIServer(), OpenAIServer()
    other.connects()
    assert one.key() == other.key()


def test_the_same_calls_give_the_same_bytes() -> None:
    def run() -> list[str]:
        server = OpenAIServer()
        events = server.connects() + server.receive('{"type":"response.create"}', 0)
        while choices := server.choices():
            events += server.take(choices[0], 0)
        return events

    assert run() == run()


def test_every_choice_is_reachable_within_wide_bounds() -> None:
    """The explorer sees each thing the server may do: a walk over all states finds every act."""
    bounds = Bounds(
        items=1,
        kinds=("message", "text", "function_call"),
        deltas=1,
        separate_ends=True,
        silent_creates=True,
        unborn_deaths=True,
        refusals=True,
        speech_turns=1,
        drops=True,
    )
    start = OpenAIServer(session=PCMU, bounds=bounds)
    start.receive('{"type":"response.create"}', 0)
    seen, todo = {start.key()}, [start]
    acts: set[str] = set()
    while todo:
        state = todo.pop()
        for choice in state.choices():
            acts.add(choice.act)
            after = state.copy()
            after.take(choice, 0)
            if after.key() not in seen:
                seen.add(after.key())
                todo.append(after)
    assert acts == set(get_args(Choice.__annotations__["act"]))


IDS = st.sampled_from(["resp_1", "resp_2", "item_1", "item_2", "item_3", "mine", "root"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | IDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ITEMS = st.one_of(
    st.builds(
        lambda item_id, role, kind: {
            "id": item_id,
            "type": "message",
            "role": role,
            "content": [{"type": kind, "text": "x"}],
        },
        IDS,
        st.sampled_from(["user", "assistant", "system"]),
        st.sampled_from(["input_text", "output_text", "output_audio"]),
    ),
    st.builds(lambda c: {"type": "function_call_output", "call_id": c, "output": ""}, IDS),
    JSON,
)
SESSIONS = st.one_of(
    st.sampled_from([None, "server_vad", "semantic_vad"]).map(
        lambda kind: {
            "type": "realtime",
            "audio": {"input": {"turn_detection": kind and {"type": kind}}},
        }
    ),
    st.sampled_from([["text"], ["audio"]]).map(
        lambda kinds: {"type": "realtime", "output_modalities": kinds}
    ),
    st.just({"type": "realtime", "audio": {"output": {"format": None}, "input": None}}),
    JSON,
)
MESSAGES = st.one_of(
    st.sampled_from([{}, {"conversation": "none"}, {"output_modalities": ["text"]}]).map(
        lambda response: {"type": "response.create", "response": response}
    ),
    st.builds(lambda name: {"type": "response.cancel", "response_id": name}, st.none() | IDS),
    st.builds(
        lambda item, ms: {
            "type": "conversation.item.truncate",
            "item_id": item,
            "content_index": 0,
            "audio_end_ms": ms,
        },
        IDS,
        st.sampled_from([0, 50, 100, 200, 201, 850.5, 2**70]),
    ),
    st.builds(
        lambda verb, item: {"type": f"conversation.item.{verb}", "item_id": item},
        st.sampled_from(["delete", "retrieve"]),
        IDS,
    ),
    st.builds(
        lambda item, before: {
            "type": "conversation.item.create",
            "item": item,
            "previous_item_id": before,
        },
        ITEMS,
        st.none() | IDS,
    ),
    st.builds(lambda session: {"type": "session.update", "session": session}, SESSIONS),
    st.sampled_from(["commit", "clear"]).map(lambda verb: {"type": f"input_audio_buffer.{verb}"}),
    st.sampled_from(["/" * 1280, "////", "?"]).map(
        lambda audio: {"type": "input_audio_buffer.append", "audio": audio}
    ),
    st.dictionaries(st.sampled_from(["type", "event_id", "item", "session"]), JSON),
)
STEPS = st.lists(
    st.one_of(
        MESSAGES.map(json.dumps), st.text(max_size=8), st.binary(max_size=8), st.integers(0, 99)
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nothing_a_client_writes_and_no_order_of_choices_breaks_the_server(
    steps: list[str | bytes | int],
) -> None:
    """Whatever comes, every event is one the official package knows, and the memory adds up."""
    bounds = Bounds(
        kinds=("message", "text", "function_call"),
        ends=("completed", "failed", "incomplete"),
        separate_ends=True,
        silent_creates=True,
        unborn_deaths=True,
        refusals=True,
        speech_turns=3,
    )
    server = OpenAIServer(session=PCMU, bounds=bounds)
    for now_ms, step in enumerate(steps):
        if not isinstance(step, int):
            _checked(server.receive(step, now_ms))
        elif choices := server.choices():
            _checked(server.take(choices[step % len(choices)], now_ms))
        assert server.copy().key() == server.key()
    for each in server.memory():
        assert 0 <= each.remembered_ms <= each.generated_ms


def test_the_client_events_this_file_writes_are_official_too() -> None:
    """A model that accepts what no client sends would prove nothing."""
    for message in (
        {"type": "response.create", "event_id": "r", "response": {"metadata": {"a": "b"}}},
        {"type": "response.create", "response": {"conversation": "none", "input": []}},
        {"type": "response.cancel", "response_id": "resp_1"},
        {"type": "session.update", "session": {"type": "realtime"} | PCMU},
    ):
        _official_client().validate_python(message)
        answer = OpenAIServer().receive(json.dumps(message), 0)
        assert not any('"unknown_parameter"' in event for event in answer)
