"""Messages made of official types: what their packages know a server to say, filled with anything."""

# ruff: noqa: ANN401  annotations and models of any package

from datetime import datetime, timedelta
from enum import Enum
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from google.genai import types as genai
from openai.types import realtime as ga
from openai.types.beta import realtime as beta
from pydantic import BaseModel

from .turn_models import PHONIC_SAYS as PHONIC_SAYS

Model = TypeVar("Model", bound=BaseModel)


def _members(union: Any) -> tuple[type[BaseModel], ...]:
    """The models of an annotated union, however nested."""
    found: list[type[BaseModel]] = []
    for each in get_args(union):
        if isinstance(each, type) and issubclass(each, BaseModel):
            found.append(each)
        elif get_args(each):
            found += _members(each)
    return tuple(found)


OPENAI_SAYS = _members(ga.RealtimeServerEvent)
PREVIEW_SAYS = _members(beta.RealtimeServerEvent)
GEMINI_SAYS = genai.LiveServerMessage

_ALWAYS = {"id", "name", "args", "data"}
"""Fields that name a thing or are the thing, which no server leaves out even where its types allow it."""

_DEEP = 6


def filled(dice: Random, kind: type[Model], depth: int = 0) -> Model:
    """A model with all that it requires, and some of the rest; where it may be one thing or another, one of them."""
    given: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        named = name in _ALWAYS or name.endswith("_id")
        if field.is_required() or named or (depth < _DEEP and dice.random() < 0.5):
            given[field.alias or name] = _value(dice, field.annotation, depth)
    return kind.model_validate(given)


def _value(dice: Random, kind: Any, depth: int) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        choices = [each for each in inner if each is not NoneType]  # What is left out is null too.
        return _value(dice, dice.choice(choices), depth)
    if origin is Literal:
        return dice.choice(inner)
    if origin is list:
        return [_value(dice, inner[0], depth + 1) for _ in range(dice.randrange(3))]
    if origin is dict or kind is dict:
        return {"AAAA": _value(dice, inner[1], depth + 1) if inner else "AAAA"}
    if hasattr(kind, "__metadata__"):  # Annotated
        return _value(dice, inner[0], depth)
    if isinstance(kind, type):
        if issubclass(kind, BaseModel):
            return filled(dice, kind, depth + 1)
        if issubclass(kind, Enum):
            return dice.choice(list(kind))
        return _PLAIN.get(kind)
    return None if kind in (Any, object) else "AAAA"


_PLAIN: dict[type, Any] = {
    str: "AAAA",  # Base64 too, for audio.
    int: 7,
    float: 0.5,
    bool: True,
    bytes: b"\x00\x00\x00",
    datetime: datetime(2026, 1, 1),
    timedelta: timedelta(seconds=1),
}


def by_schema(dice: Random, schema: Any) -> Any:
    """What a JSON schema allows."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kind = schema["type"]
    match dice.choice(kind) if isinstance(kind, list) else kind:
        case "object":
            inner = schema.get("properties", {})
            wanted = [name for name in inner if name in schema["required"] or dice.random() < 0.5]
            return {name: by_schema(dice, inner[name]) for name in wanted}
        case "integer":
            return 7
        case "string":
            return "AAAA"
        case _:
            return None
