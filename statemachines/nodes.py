"""YAML text → nodes that know where they stand, in the small, unambiguous part of YAML that tables use.

Scalars mean what YAML 1.2's core schema says: only true/false are booleans. Whatever YAML 1.1 would read
differently (`on`, `no`, 1:30, 0777, dates) is an error, because readers and other tools would differ on it.
Anchors, aliases, tags and merge keys are errors too: a table is read from top to bottom.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from .diagnostics import Diagnostic, Place

_DEEPEST: Final = 40
_LOADERS: Final[tuple[type, ...]] = (
    *((yaml.CSafeLoader,) if yaml.__with_libyaml__ else ()),
    yaml.SafeLoader,
)

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")
_TRAPS: Final = (
    (re.compile(r"on|On|ON|yes|Yes|YES"), "is true in YAML 1.1"),
    (re.compile(r"off|Off|OFF|no|No|NO"), "is false in YAML 1.1"),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        "is a base-60 number in YAML 1.1",
    ),
    (re.compile(r"[-+]?0[0-9_]+"), "is octal in YAML 1.1 and decimal in YAML 1.2"),
    (re.compile(r"[-+]?0[box][0-9a-fA-F_]+"), "is a number only in some versions of YAML"),
    (re.compile(r"[-+]?[0-9]+_[0-9_]*"), "is a number in YAML 1.1 and text in YAML 1.2"),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), "is a number that JSON cannot carry"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\s].*)?"), "is a date in YAML 1.1"),
    (re.compile(r"="), "is a special value in YAML 1.1"),
    (re.compile(r"[-+]?[0-9]{19,}"), "is a number too large to be carried exactly"),
)

_HINTS: Final = (
    ("mapping values are not allowed", "a sentence with ': ' in it needs quotes"),
    (
        "cannot start any token",
        "indent with spaces; quote a value that begins with a special character",
    ),
    (
        "expected ',' or '}'",
        "inside { } a sentence with ':' or quotes in it needs quotes around it",
    ),
    ("expected ',' or ']'", "close the list with ]"),
    ("could not find expected ':'", "a key needs a colon and a space"),
    ("expected <block end>", "the lines of one mapping must begin in the same column"),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; `text` is how it was written."""

    value: str | int | float | bool | None
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file. `whole` is False if a key of it had to be left out."""

    entries: dict[str, Entry]
    place: Place
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Bad:
    """A value whose error is already reported."""

    place: Place


Node = Scalar | Mapping | Sequence | Bad
Event = Any
"""One of yaml's parse events, whose classes have no common typed interface."""


class _Stop(Exception):
    """Reading cannot go on; the error is reported."""


def read(text: str, file: str, found: list[Diagnostic]) -> Node | None:
    """The document in `text`, or None if there is none to speak of. Errors are added to `found`."""
    try:
        return _Composer(_events(text, file, found), file, found).document()
    except _Stop:
        return None
    except yaml.YAMLError as error:
        found.append(_syntax_error(error, text, file))
        return None


def _events(text: str, file: str, found: list[Diagnostic]) -> Iterator[Event]:
    """Parse events. The C parser is ten times faster; the Python one has the better messages."""
    for loader in _LOADERS:
        events, depth = [], 0
        try:
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > _DEEPEST:
                    found.append(
                        Diagnostic.at(_place(event, file), "E002", "nested too deeply for a table")
                    )
                    raise _Stop
                events.append(event)
            return iter(events)
        except yaml.YAMLError:
            if loader is _LOADERS[-1]:
                raise
    raise AssertionError("unreachable")


def _place(event: Event, file: str) -> Place:
    return Place(file, event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> Diagnostic:
    if isinstance(error, yaml.MarkedYAMLError) and (error.problem_mark or error.context_mark):
        mark = error.problem_mark or error.context_mark
        assert mark is not None
        place = Place(file, mark.line + 1, mark.column + 1)
        message = " ".join(filter(None, (error.context, error.problem)))
        hint = next((hint for symptom, hint in _HINTS if symptom in message), None)
        return Diagnostic.at(place, "E002", f"not YAML: {message}", hint)
    position = getattr(error, "position", 0)  # yaml.reader.ReaderError has no mark
    before = text[:position]
    place = Place(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
    return Diagnostic.at(place, "E002", "not YAML: a control character stands here")


class _Composer:
    """Events → nodes. yaml.compose would resolve aliases and forget which keys stood twice."""

    def __init__(self, events: Iterator[Event], file: str, found: list[Diagnostic]) -> None:
        self._events = events
        self._file = file
        self._found = found

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._report(
                        _place(event, self._file), "E003", "a second document; a file is one table"
                    )
                    break
                root = self._node(next(self._events))
        return root

    def _report(self, place: Place, code: str, message: str, hint: str | None = None) -> None:
        self._found.append(Diagnostic.at(place, code, message, hint))

    def _node(self, event: Event) -> Node:
        place = _place(event, self._file)
        if self._is_foreign(event, place):
            self._skip(event)
            return Bad(place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place)
        return self._sequence(place)

    def _is_foreign(self, event: Event, place: Place) -> bool:
        """Report anchors, aliases and tags: everything that makes a table mean something elsewhere."""
        if isinstance(event, yaml.AliasEvent):
            self._report(place, "E006", f"alias '*{event.anchor}'; write the value out")
        elif event.anchor is not None:
            self._report(place, "E006", f"anchor '&{event.anchor}'; tables use no anchors")
        elif event.tag is not None:
            self._report(place, "E006", f"tag '{event.tag}'; tables use no tags")
        else:
            return False
        return True

    def _skip(self, event: Event) -> None:
        depth = int(isinstance(event, yaml.CollectionStartEvent))
        while depth:
            event = next(self._events)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)

    def _mapping(self, place: Place) -> Mapping:
        entries: dict[str, Entry] = {}
        whole = True
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = _place(event, self._file)
            key = self._key(event, at)
            node = self._node(next(self._events))
            if key is None:
                whole = False
            elif key in entries:
                first = entries[key].place.line
                self._report(at, "E004", f"'{key}' stands twice; the first is in line {first}")
            else:
                entries[key] = Entry(at, node)
        return Mapping(entries, place, whole)

    def _key(self, event: Event, place: Place) -> str | None:
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            self._report(place, "E006", "merge key '<<'; write the keys out")
            return None
        node = self._node(event)
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        if not isinstance(node, Bad):
            what = f"'{node.text}'" if isinstance(node, Scalar) else "a list or mapping"
            self._report(
                place, "E013", f"a key must be text, and {what} is not", "put it in quotes"
            )
        return None

    def _sequence(self, place: Place) -> Sequence:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event))
        return Sequence(tuple(items), place)

    def _scalar(self, event: Event, place: Place) -> Scalar | Bad:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            return Scalar(text, text, place)
        for trap, meaning in _TRAPS:
            if trap.fullmatch(text):
                self._report(place, "E005", f"unquoted '{text}' {meaning}", "put it in quotes")
                return Bad(place)
        return Scalar(_value(text), text, place)


def _value(text: str) -> str | int | float | bool | None:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
