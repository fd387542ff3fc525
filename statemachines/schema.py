"""JSON Schemas for editors, made of the same types as the loader, with the closed vocabulary as choices.

A schema is what an editor can know of one file: spelling, shape and choices. What tables mean together is for
`bargein check`. The text depends on the types and the vocabulary alone, so it can be held to them.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from .model import Path as WirePath
from .tables import KINDS, ROOM, Kind
from .vocabulary import (
    HOOK_GUARDS,
    HOOK_VARIABLES,
    OPTIONAL_CAPABILITIES,
    PACES,
    PROVIDER_CAPABILITIES,
    PROVIDER_EVENTS,
    PROVIDER_SESSION_HOOKS,
    PROVIDER_TIMEOUTS,
    TRANSPORT_CAPABILITIES,
    TRANSPORT_EVENTS,
    TRANSPORT_SESSION_HOOKS,
    TRANSPORT_TIMEOUTS,
)

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NULL: Final[Schema] = {"type": "null"}


def render() -> dict[str, str]:
    """The text of each schema by file name, the same bytes every time."""
    return {
        f"{kind}.schema.json": json.dumps(_schema(kind), indent=2, ensure_ascii=False) + "\n"
        for kind in KINDS
    }


def write(root: Path | None = None) -> list[Path]:
    """Write the schemas into `root`/schema (by default the room's own) and return their paths."""
    folder = (ROOM if root is None else root) / "schema"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {folder / name: text for name, text in render().items()}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)


def _schema(kind: Kind) -> Schema:
    table = KINDS[kind].__name__
    parts: Schema = msgspec.json.schema(KINDS[kind])["$defs"]
    head: Schema = {"$schema": _DIALECT, "title": f"bargein: {kind} table"}
    if kind == "machine":
        return {**head, "$ref": f"#/$defs/{table}", "$defs": parts}
    parts = _closed(parts, table, kind)
    extending = {f"Extending{name}": _loosened(part) for name, part in parts.items()}
    top = extending[f"Extending{table}"]
    own = {key: parts[table]["properties"][key] for key in (kind, "is", "extends")}
    top["properties"] |= own
    top["required"] = list(own)
    return {
        **head,
        "if": {"required": ["extends"]},
        "then": {"$ref": f"#/$defs/Extending{table}"},
        "else": {"$ref": f"#/$defs/{table}"},
        "$defs": parts | extending,
    }


def _closed(parts: Schema, table: str, kind: Kind) -> Schema:
    """The parts with the closed vocabulary where msgspec knows only names."""
    events: Mapping[str, Collection[str]]
    capabilities: Mapping[str, Collection[str]]
    timeouts: Collection[str]
    if kind == "provider":
        events, capabilities, timeouts = PROVIDER_EVENTS, PROVIDER_CAPABILITIES, PROVIDER_TIMEOUTS
        foreign = TRANSPORT_SESSION_HOOKS
    else:
        events, capabilities = TRANSPORT_EVENTS, TRANSPORT_CAPABILITIES
        timeouts, foreign = TRANSPORT_TIMEOUTS, PROVIDER_SESSION_HOOKS
    fields = parts[table]["properties"]
    row: Schema = {"$ref": "#/$defs/Receive"}
    guard = {"anyOf": [{"enum": list(HOOK_GUARDS)}, _NULL], "description": _sentences(HOOK_GUARDS)}
    closed = {
        "can": _section(
            {n: _capability(parts, values) for n, values in capabilities.items()},
            required=[name for name in capabilities if name not in OPTIONAL_CAPABILITIES],
        ),
        "timeouts": _section(dict.fromkeys(timeouts, fields["timeouts"]["additionalProperties"])),
        "receive": {
            "type": "object",
            "additionalProperties": {"anyOf": [row, {"type": "array", "items": row}]},
        },
        "hooks": _section(
            {
                hook: fields["hooks"]["additionalProperties"]
                for hook in HOOK_VARIABLES
                if hook not in foreign
            },
            required=(),
        ),
    }
    if "pace" in fields:
        closed["pace"] = _section(
            dict.fromkeys(PACES, fields["pace"]["additionalProperties"]), required=()
        )
    hook = parts["Hook"]
    return {
        **{name: part for name, part in parts.items() if name != "Capability"},
        table: {**parts[table], "properties": fields | closed},
        "Hook": {**hook, "properties": hook["properties"] | {"if": guard, "unless": guard}},
        "Receive": _receive(events),
        "Path": msgspec.json.schema(WirePath),
    }


def _section(properties: Schema, required: Collection[str] | None = None) -> Schema:
    names = list(properties if required is None else required)
    section = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**section, "required": names} if names else section


def _capability(parts: Schema, values: Collection[str]) -> Schema:
    capability = parts["Capability"]
    return {**capability, "properties": capability["properties"] | {"is": {"enum": list(values)}}}


def _receive(events: Mapping[str, Collection[str]]) -> Schema:
    """A row of `receive`: which fields go with which event is for the checks."""
    path: Schema = {"$ref": "#/$defs/Path"}
    always = {"type": "object", "properties": {"is": {}}, "required": ["is"]}
    value: Schema = {"type": ["string", "number", "boolean", "null"]}
    conditions: Schema = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": path,
        "additionalProperties": {"anyOf": [value, {"type": "array", "items": value}]},
    }
    fields = sorted({name for names in events.values() for name in names})
    return {
        "title": "Receive",
        "description": "The event that a message becomes, the path of each of its fields, and when the row applies.",
        "type": "object",
        "properties": {
            "event": {"enum": list(events)},
            **{name: {"anyOf": [path, always]} for name in fields},
            "if": conditions,
            "unless": conditions,
            "why": {"type": "string"},
            "see": {"type": "string"},
        },
        "required": ["event"],
        "additionalProperties": False,
    }


def _loosened(schema: Schema) -> Schema:
    """The schema of what an extending table may say of the same thing: a part of it, or null to delete.

    Lists replace, so what is in them is as strict as ever.
    """
    loose = {key: value for key, value in schema.items() if key not in ("required", "default")}
    if "$ref" in loose:
        loose["$ref"] = loose["$ref"].replace("#/$defs/", "#/$defs/Extending")
    if "properties" in loose:
        loose["properties"] = {k: _deletable(v) for k, v in loose["properties"].items()}
    if isinstance(loose.get("additionalProperties"), dict):
        loose["additionalProperties"] = _deletable(loose["additionalProperties"])
    if "anyOf" in loose:
        loose["anyOf"] = [_loosened(choice) for choice in loose["anyOf"]]
    return loose


def _deletable(schema: Schema) -> Schema:
    loose = _loosened(schema)
    if "anyOf" in loose:
        return {**loose, "anyOf": [*(c for c in loose["anyOf"] if c != _NULL), _NULL]}
    return {"anyOf": [loose, _NULL]}


def _sentences(meanings: Mapping[str, str]) -> str:
    return " ".join(f"{name}: {meaning}" for name, meaning in meanings.items())
