"""What the hooks of the generated adapters say, judged by the peers' own types and documents."""

import json
from typing import Any

import pytest
from msgspec import Struct
from openai.types import realtime
from pydantic import BaseModel, TypeAdapter

from bargein import adapters
from bargein.runtime.adapter import RequestFields, Wire

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")


class Response(Struct):
    server_id: str | None = "resp_1"
    server_cancels: bool = False
    manual_turns: bool = False


class Item(Struct):
    item_id: str = "item_1"
    response_id: str | None = "resp_1"
    part: int = 0
    cut_ms: int = 850
    has_audio: bool = True
    text_only: bool = False


TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SETTINGS = {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}}
USER_SAYS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}

SAID: list[tuple[Wire, type[BaseModel], dict[str, Any]]] = [
    (
        OPENAI.configure("op_0", SETTINGS),
        realtime.SessionUpdateEvent,
        {"type": "session.update", "event_id": "op_0", "session": SETTINGS},
    ),
    (
        OPENAI.listen(b"\xff\x00"),
        realtime.InputAudioBufferAppendEvent,
        {"type": "input_audio_buffer.append", "audio": "/wA="},
    ),
    (
        OPENAI.request("req_7", RequestFields()),
        realtime.ResponseCreateEvent,
        {
            "type": "response.create",
            "event_id": "req_7",
            "response": {"metadata": {"client_event_id": "req_7"}},
        },
    ),
    (
        OPENAI.request("req_8", RequestFields("none", "Be brief.", [], [TOOL])),
        realtime.ResponseCreateEvent,
        {
            "type": "response.create",
            "event_id": "req_8",
            "response": {
                "conversation": "none",
                "instructions": "Be brief.",
                "input": [],
                "tools": [TOOL],
                "metadata": {"client_event_id": "req_8"},
            },
        },
    ),
    (
        OPENAI.request("req_9", RequestFields(input=[USER_SAYS])),
        realtime.ResponseCreateEvent,
        {
            "type": "response.create",
            "event_id": "req_9",
            "response": {"input": [USER_SAYS], "metadata": {"client_event_id": "req_9"}},
        },
    ),
    (
        OPENAI.cancel("op_1", Response()),
        realtime.ResponseCancelEvent,
        {"type": "response.cancel", "event_id": "op_1", "response_id": "resp_1"},
    ),
    (
        OPENAI.truncate("op_2", Item(part=1)),
        realtime.ConversationItemTruncateEvent,
        {
            "type": "conversation.item.truncate",
            "event_id": "op_2",
            "item_id": "item_1",
            "content_index": 1,
            "audio_end_ms": 850,
        },
    ),
    (
        OPENAI.forget("op_3", Item(has_audio=False)),
        realtime.ConversationItemDeleteEvent,
        {"type": "conversation.item.delete", "event_id": "op_3", "item_id": "item_1"},
    ),
]


@pytest.mark.parametrize(("wire", "cls", "message"), SAID, ids=lambda v: getattr(v, "__name__", ""))
def test_openai_is_told_what_its_own_package_accepts(
    wire: Wire, cls: type[BaseModel], message: dict[str, Any]
) -> None:
    """The exact message; the official types take it for what we mean, and know every field of it."""
    (text,) = wire
    assert json.loads(text) == message
    event: BaseModel = TypeAdapter(realtime.RealtimeClientEvent).validate_json(text)
    assert type(event) is cls
    assert unknown_fields(event) == []


def unknown_fields(model: BaseModel) -> list[str]:
    """Fields the official types let pass without knowing them."""
    inner = [value for value in model.__dict__.values() if isinstance(value, BaseModel)]
    return [*(model.model_extra or {}), *(name for part in inner for name in unknown_fields(part))]


def test_a_cancel_without_a_name_is_not_said() -> None:
    """An id-less cancel would hit whatever response is running."""
    assert OPENAI.cancel("op_1", Response(server_id=None)) == ()


def test_a_response_the_server_cancels_by_itself_is_not_cancelled_again() -> None:
    assert OPENAI.cancel("op_1", Response(server_cancels=True)) == ()


def test_an_item_without_audio_is_not_truncated() -> None:
    """The server answers such a truncate with unsupported_content_type."""
    assert OPENAI.truncate("op_1", Item(has_audio=False)) == ()


def test_an_item_whose_text_was_handed_over_is_not_forgotten() -> None:
    assert OPENAI.forget("op_1", Item(text_only=True)) == ()


def test_a_delete_waits_for_the_end_of_its_item() -> None:
    assert OPENAI.after_finished == {"forget"}


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (
            TWILIO.play("MZ1", b"\xff\xff", "item", 0),
            {"event": "media", "streamSid": "MZ1", "media": {"payload": "//8="}},
        ),
        (
            TWILIO.mark("MZ1", "m.1", "item", 0),
            {"event": "mark", "streamSid": "MZ1", "mark": {"name": "m.1"}},
        ),
        (TWILIO.clear("MZ1", 0), {"event": "clear", "streamSid": "MZ1"}),
    ],
)
def test_twilio_is_told_exactly_what_it_documents(wire: Wire, message: dict[str, Any]) -> None:
    """A field too many or too few is Twilio's warning 31951, which we should never hear of."""
    (text,) = wire
    assert json.loads(text) == message


def test_before_the_stream_has_started_nothing_is_said_to_it() -> None:
    assert TWILIO.play(None, b"", "item", 0) == ()
    assert TWILIO.mark(None, "m", "item", 0) == ()
    assert TWILIO.clear(None, 0) == ()
