"""What the rows of `receive:` must be: known events, every field they need, paths, conditions and constants."""

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

from .convert import Keys
from .diagnostics import closest, did_you_mean
from .findings import Findings
from .model import UNTAGGED, Path, Provider, Receive, Transport
from .path_checks import ROW_KEYS, check_paths, paths_of

_PATH = re.compile(next(meta.pattern for meta in get_args(Path)[1:]))
_CONSTANTS: Final = {"str": str, "bool": bool, "int": int}
_UNIDENTIFIED: Final = {"item": (), "response": ("item",), "turn": ("response", "item")}
"""By `can.identifies`: the fields that messages of such a provider cannot name."""
_OF_AN_ITEM: Final = ("truncated", "deleted")
"""Events that speak of an item whatever else messages name."""


def check_rows(
    peer: Provider | Transport, events: Mapping[str, Mapping[str, str]], find: Findings
) -> None:
    """Report everything that is wrong with the rows of `receive`."""
    check = _RowCheck(peer, events, find)
    if peer.wire.tag is not None:
        check.tag(peer.wire.tag)
    for kind, rows in peer.received():
        check.kind(kind, rows)
    check_paths(peer, events, find)


class _RowCheck:
    def __init__(
        self,
        peer: Provider | Transport,
        events: Mapping[str, Mapping[str, str]],
        find: Findings,
    ) -> None:
        self._peer = peer
        self._events = events
        self._find = find

    def tag(self, tag: str) -> None:
        if not _PATH.search(tag):
            self.path(tag, ("wire", "tag"))
        elif "." in tag or "[" in tag:
            hint = "without `tag` every key of `receive` is a path into the message"
            message = f"'{tag}' is not a field at the top of a message"
            self._find.value("E048", message, "wire", "tag", hint=hint)
        if not self._peer.receive.keys() - {UNTAGGED} and not self._find.doubtful("receive"):
            message = "no kind of message has a row, so nothing needs a tag"
            hint = "leave `tag` out; then every key of `receive` is a path into the message"
            self._find.key("E064", message, "wire", "tag", hint=hint)

    def path(self, path: str, keys: Keys) -> None:
        if not _PATH.search(path):
            hint = "names joined by dots: response.id"
            if path.startswith("$"):
                hint = "what is received is read from a path; only what is sent has $variables"
            self._find.value("E048", f"'{path}' is not a path into a message", *keys, hint=hint)

    def kind(self, kind: str, rows: tuple[Receive, ...]) -> None:
        single = isinstance(self._peer.receive[kind], dict)
        if self._peer.wire.tag is None and (kind == UNTAGGED or not _PATH.search(kind)):
            hint = "messages have no kind here: `wire.tag` is not said"
            message = f"'{kind}' is not a path into a message"
            self._find.key("E048", message, "receive", kind, hint=hint)
        if not kind:
            self._find.key("E048", "this names no kind of message", "receive", kind)
        if not rows:
            message = f"'{kind}' becomes no event"
            self._find.missing("E051", message, "receive", kind, hint="leave it out")
        seen: set[str] = set()
        for i, row in enumerate(rows):
            keys: Keys = ("receive", kind) if single else ("receive", kind, i)
            event = row.get("event")
            if event is None:
                self._find.missing("E011", "key 'event' is missing", *keys)
            elif not isinstance(event, str) or event not in self._events:
                ending = did_you_mean(str(event), self._events)
                self._find.value("E012", f"unknown event '{event}'{ending}", *keys, "event")
            else:
                if event in seen and not {"if", "unless"} & row.keys():
                    self._find.value("E051", f"'{kind}' is '{event}' twice", *keys, "event")
                if not {"if", "unless"} & row.keys():
                    seen.add(event)
                self._fields(event, row, keys)
            self._values(row, keys)
            self._lists(kind, row, keys)

    def _fields(self, event: str, row: Receive, keys: Keys) -> None:
        known = self._events[event]
        absent = [name for name in known if name not in row]
        for name, value in row.items():
            if name not in known and name not in ROW_KEYS:
                choice = [*known, *ROW_KEYS[1:]]
                message = f"event '{event}' has no field '{name}'{did_you_mean(name, choice)}"
                self._find.key("E049", message, *keys, name)
                if (near := closest(name, absent)) is not None:
                    absent.remove(near)
            elif name in known and isinstance(value, dict):
                self._constant(name, value, known[name], (*keys, name))
        identifies = self._peer.can.get("identifies")
        unidentified = _UNIDENTIFIED.get(identifies.is_, ()) if identifies else ()
        for name in absent:
            needed = name not in unidentified or event in _OF_AN_ITEM
            if not known[name].endswith("?") and needed:
                message = f"event '{event}' needs the field '{name}'"
                self._find.missing("E050", message, *keys)

    def _constant(self, name: str, value: dict[str, Any], type_: str, keys: Keys) -> None:
        wanted = _CONSTANTS.get(type_.rstrip("?"))
        if value.keys() != {"is"}:
            message = f"'{name}' is a path, or {{is: …}} for what is always the same"
            self._find.value("E060", message, *keys)
        elif wanted is not None and type(value["is"]) is not wanted:
            message = f"'{name}' cannot be always {value['is']!r}; it is {type_.rstrip('?')}"
            self._find.value("E060", message, *keys)

    def _values(self, row: Receive, keys: Keys) -> None:
        for at, path in paths_of(row):
            if len(at) == 1:
                self.path(path, (*keys, *at))
            elif not _PATH.search(path):
                self._find.key("E048", f"'{path}' is not a path into a message", *keys, *at)
        for key in ("if", "unless"):
            conditions = row.get(key, {})
            if not isinstance(conditions, dict) or (key in row and not conditions):
                message = f"`{key}` holds paths, each with its value: {{status: done}}"
                self._find.value("E060", message, *keys, key)
                continue
            for path, value in conditions.items():
                if value == []:
                    message = f"'{path}' is compared with nothing at all"
                    self._find.value("E060", message, *keys, key, path)
                if not all(_is_scalar(v) for v in (value if isinstance(value, list) else [value])):
                    message = f"'{path}' can be compared with a word, a number, true, false or null"
                    self._find.value("E060", message, *keys, key, path)

    def _lists(self, kind: str, row: Receive, keys: Keys) -> None:
        """All that a row reads of lists, it reads of the elements of one."""
        paths = [path for _, path in paths_of(row) if _PATH.search(path)]
        if self._peer.wire.tag is None:
            paths.append(kind)
        lists = {path.rpartition("[]")[0] for path in paths if "[]" in path}
        if len(lists) > 1 or any("[]" in each for each in lists):
            message = (
                f"one row reads the elements of one list, not of {' and '.join(sorted(lists))}"
            )
            self._find.key("E060", message, *keys)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
