"""The official types of the OpenAI family as judges of what its models say and of what the tests write to them."""

# ruff: noqa: ANN401  any JSON

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

from azure.ai.voicelive.models import ClientEvent, ServerEvent
from openai.types import realtime as ga
from openai.types.beta import realtime as beta
from pydantic import BaseModel, TypeAdapter

from bargein.simulator.openai_family import FAMILY
from bargein.simulator.openai_family_rules import FamilyBounds
from bargein.simulator.openai_memory import Remembered

Json = dict[str, Any]

PCMU = {"format": {"type": "audio/pcmu"}}
PREVIEW = ("azure_preview", "speaches", "qwen")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def official(name: str, event: str) -> Json:
    """A server event as JSON, after the official package has recognised it as what it says it is.

    Of beta names nothing else is let through either: their types are the list of what there is.
    """
    said: Json = json.loads(event)
    if name == "voicelive":
        parsed = _azure(ServerEvent)(said, [])
        assert type(parsed) is not ServerEvent, f"unknown to azure-ai-voicelive: {event}"
        assert not list(_unknown_to_azure(parsed)), event
    elif name in PREVIEW or said["type"] == "response.text.delta":
        ours = event.replace("pcm24", "pcm16")  # Qwen's name of 24 kHz: facts/transports.md 22.
        parsed = _adapter(beta.RealtimeServerEvent).validate_json(ours)
        assert get_args(type(parsed).model_fields["type"].annotation) == (said["type"],)
        assert not list(_unknown_to_openai(parsed)), event
    elif name in ("xai", "inworld") and said["type"] == "ping":
        # Nobody's types know it: facts/providers.md 4.2, facts/transports.md 23.
        assert said.keys() == {"type", "event_id", "timestamp"}
    else:
        nameless = name == "inworld" and said["type"] == "response.function_call_arguments.done"
        known = said | {"name": "lookup"} if nameless else said  # Again: facts/transports.md 23.
        parsed = _adapter(ga.RealtimeServerEvent).validate_python(known)
        assert get_args(type(parsed).model_fields["type"].annotation) == (said["type"],)
    return said


def judge_client(name: str, message: Json) -> None:
    """A client message that the official package knows with all its fields."""
    if name == "voicelive":
        parsed = _azure(ClientEvent)(message, [])
        assert type(parsed) is not ClientEvent
        assert not list(_unknown_to_azure(parsed))
    elif name in PREVIEW:
        parsed = _adapter(beta.RealtimeClientEvent).validate_python(message)
        assert not list(_unknown_to_openai(parsed))
    else:
        _adapter(ga.RealtimeClientEvent).validate_python(message)


def _azure(kind: Any) -> Callable[[Json, list[str]], Any]:
    """As the package's own client reads the wire (azure.ai.voicelive.aio, `recv`)."""
    read: Callable[[Json, list[str]], Any] = kind._deserialize
    return read


def _unknown_to_openai(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for field in type(value).model_fields:
            yield from _unknown_to_openai(getattr(value, field))
    elif isinstance(value, list):
        for each in value:
            yield from _unknown_to_openai(each)


def _unknown_to_azure(value: Any) -> Iterator[str]:
    if hasattr(value, "_attr_to_rest_field"):
        fields = {rest._rest_name: attr for attr, rest in value._attr_to_rest_field.items()}
        yield from set(value) - set(fields)
        for name in set(value) & set(fields):
            yield from _unknown_to_azure(getattr(value, fields[name]))
    elif isinstance(value, list):
        for each in value:
            yield from _unknown_to_azure(each)


class Server:
    """A model as a Scene uses it: what it says comes back judged and decoded."""

    def __init__(
        self,
        name: str,
        *,
        turns: Json | None = None,
        bounds: FamilyBounds | None = None,
        **rules: Any,
    ) -> None:
        """`turns` goes into the turn detection, which is on; `rules` over the server's own."""
        heard = PCMU | {"turn_detection": {"type": "server_vad"} | (turns or {})}
        self.name = name
        self.model = FAMILY[name].server(
            session={"audio": {"input": heard, "output": PCMU}}, rules=rules, bounds=bounds
        )

    def told(self, type_: str, *, odd: bool = False, **fields: Any) -> list[Json]:
        """It takes a client message; one that the official types do not know is `odd`."""
        message = {"type": type_} | fields
        if not odd:
            judge_client(self.name, message)
        return self._judged(self.model.receive(json.dumps(message), 0))

    def does(self, what: str, *args: Any, **fields: Any) -> list[Json]:
        """It does something by itself."""
        return self._judged(getattr(self.model, what)(*args, **fields))

    def takes(self, choice: Any) -> list[Json]:
        """It does one of its choices."""
        assert choice in self.model.choices()
        return self._judged(self.model.take(choice, 0))

    def asked(self, request: str = "req_1", **response: Any) -> str:
        """A request that is accepted without a word; its response's id."""
        body = {"metadata": {"client_event_id": request}} | response
        if self.name in ("speaches", "qwen"):
            del body["metadata"]
        assert self.told("response.create", event_id=request, response=body) == []
        return self.model.latest_response

    def speaking(self, ms: int = 300, request: str = "req_1") -> tuple[str, str]:
        """A response that has spoken `ms` of its first item."""
        name = self.asked(request)
        self.does("creates", name)
        self.does("announces", name)
        item = self.model.latest_item
        for _ in range(ms // 100):
            self.does("speaks", name, item, 100)
        return name, item

    def error(self, type_: str, *, odd: bool = False, **fields: Any) -> Json:
        """The one error a message is answered with."""
        (answer,) = self.told(type_, odd=odd, **fields)
        assert answer["type"] == "error"
        error: Json = answer["error"]
        return error

    def truncate(self, item: str, ms: int = 100, event_id: str = "t_1") -> list[Json]:
        """A truncate of the first part of an item."""
        verb = "conversation.item.truncate"
        return self.told(verb, event_id=event_id, item_id=item, content_index=0, audio_end_ms=ms)

    def remembers(self, item: str) -> Remembered:
        """The oracle's line of an item."""
        return {each.item: each for each in self.model.memory()}[item]

    def _judged(self, events: list[str]) -> list[Json]:
        return [official(self.name, event) for event in events]


def types(events: list[Json]) -> list[str]:
    """What kinds of event these are."""
    return [event["type"] for event in events]
