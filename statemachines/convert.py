"""Nodes → the typed model, with every error at its place.

One walk for all types: it reads what msgspec knows of them, so a new field needs nothing here. Whatever does
not fit is reported, noted as damaged and replaced by a blank of the right type, so that the rest of the table
can still be checked. What fits is built by msgspec itself.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import inspect

from .diagnostics import Diagnostic, Place, closest, did_you_mean
from .nodes import Bad, Mapping, Node, Scalar, Sequence

T = TypeVar("T")

Plain: TypeAlias = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None
"""What JSON can carry."""

Keys = tuple[str | int, ...]
"""The way from the top of a table to something in it: keys of mappings, indices of lists."""

_PROSE = ("is", "why", "see")
"""What says nothing that another row could miss."""

_SHAPES: dict[type[inspect.Type], tuple[type, str]] = {
    inspect.StructType: (Mapping, "a mapping"),
    inspect.DictType: (Mapping, "a mapping"),
    inspect.VarTupleType: (Sequence, "a list"),
    inspect.StrType: (Scalar, "text"),
    inspect.IntType: (Scalar, "a whole number"),
    inspect.LiteralType: (Scalar, "a word"),
    inspect.NoneType: (Scalar, "null"),
}


class Damage:
    """Where a table is not what its author meant, so that one mistake is not reported many times."""

    def __init__(self) -> None:
        self._blank: set[Keys] = set()
        self._lacking: set[Keys] = set()

    def blank(self, keys: Keys) -> None:
        """The value at `keys` is a stand-in."""
        self._blank.add(keys)

    def lacking(self, keys: Keys) -> None:
        """Something at `keys` could not be read; what seems missing there may not be."""
        self._lacking.add(keys)

    def hides(self, keys: Keys) -> bool:
        """True if the value at `keys` is a stand-in or lies in one."""
        return any(keys[: len(b)] == b for b in self._blank)

    def doubts(self, keys: Keys) -> bool:
        """True if nothing can be said about what is missing at or below `keys`."""
        return any(
            keys[: len(b)] == b or (b[: len(keys)] == keys and b[-1] not in _PROSE)
            for b in self._blank | self._lacking
        )


def plain(node: Node) -> Plain:
    """The node as Python values, without places."""
    match node:
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value
        case Bad():
            return None


def _readable(node: Node) -> bool:
    """Whether every key and value of it could be read."""
    match node:
        case Mapping():
            return node.whole and all(_readable(entry.node) for entry in node.entries.values())
        case Sequence():
            return all(map(_readable, node.items))
    return isinstance(node, Scalar)


def convert(
    root: Mapping, table: type[T], found: list[Diagnostic], damage: Damage, *, complete: bool = True
) -> T:
    """A `table` from its root node; errors are added to `found`, and what they touch to `damage`.

    `complete=False` if the table extends one that could not be read: then nothing is called missing.
    """
    walk = _Walk(found, damage, complete)
    if not complete:
        damage.lacking(())
    top = next((entry.place for entry in root.entries.values()), root.place)
    return msgspec.convert(walk.fit(root, inspect.type_info(table), (), top), table)


class _Walk:
    def __init__(self, found: list[Diagnostic], damage: Damage, complete: bool) -> None:
        self._found = found
        self._damage = damage
        self._complete = complete

    def fit(self, node: Node, kind: inspect.Type, keys: Keys, at: Place) -> Plain:
        """`node` as msgspec would accept it for `kind`; `at` is where a missing key is reported."""
        kind, wording = _unwrap(kind)
        if isinstance(kind, inspect.AnyType):
            if not _readable(node):
                self._damage.lacking(keys)
            return plain(node)
        if isinstance(node, Bad):
            return self._blank(kind, keys)
        kind, wording = self._choose(node, kind, wording)
        match node, kind:
            case Mapping(), inspect.StructType():
                return self._struct(node, kind, keys, at)
            case Mapping(), inspect.DictType():
                return self._dict(node, kind, keys)
            case Sequence(), inspect.VarTupleType():
                return [
                    self.fit(item, kind.item_type, (*keys, i), item.place)
                    for i, item in enumerate(node.items)
                ]
            case Scalar(), _ if self._scalar(node, kind, wording):
                return node.value
            case Scalar(), _:
                return self._blank(kind, keys)
        self._wrong_type(node, kind)
        return self._blank(kind, keys)

    def _choose(self, node: Node, kind: inspect.Type, wording: str) -> tuple[inspect.Type, str]:
        """Of a union, the member that has the node's shape; otherwise the first, as it is to be said."""
        if not isinstance(kind, inspect.UnionType):
            return kind, wording
        if isinstance(node, Scalar) and node.value is None:
            return next((t for t in kind.types if isinstance(t, inspect.NoneType)), kind), ""
        for member in kind.types:
            bare, wording = _unwrap(member)
            if not isinstance(bare, inspect.NoneType) and isinstance(node, _shape(bare)[0]):
                return bare, wording
        return kind, ""

    def _struct(
        self, node: Mapping, kind: inspect.StructType, keys: Keys, at: Place
    ) -> dict[str, Plain]:
        fields = {field.encode_name: field for field in kind.fields}
        meant = self._unknown_keys(node, fields, keys)
        out: dict[str, Plain] = {}
        for name, field in fields.items():
            if (entry := node.entries.get(name)) is not None:
                out[name] = self.fit(entry.node, field.type, (*keys, name), entry.place)
            elif field.required:
                if self._complete and node.whole and name not in meant:
                    self._report(at, "E011", f"key '{name}' is missing")
                out[name] = self._blank(field.type, (*keys, name))
        return out

    def _unknown_keys(self, node: Mapping, known: Iterable[str], keys: Keys) -> set[str]:
        """Report them; the answer is the keys that were probably meant, which are not missing then."""
        if not node.whole:
            self._damage.lacking(keys)
        absent = [name for name in known if name not in node.entries]
        meant = set()
        for name, entry in node.entries.items():
            if name in set(known):
                continue
            hint = None
            if " " in name and isinstance(entry.node, Scalar) and entry.node.text == "":
                hint = "inside { } a sentence with a comma needs quotes"
            message = f"unknown key '{name}'{did_you_mean(name, list(known))}"
            self._report(entry.place, "E010", message, hint)
            if (near := closest(name, absent)) is not None:
                meant.add(near)
                self._damage.blank((*keys, near))
        return meant

    def _dict(self, node: Mapping, kind: inspect.DictType, keys: Keys) -> dict[str, Plain]:
        if not node.whole:
            self._damage.lacking(keys)
        key_kind, wording = _unwrap(kind.key_type)
        out: dict[str, Plain] = {}
        for name, entry in node.entries.items():
            value = self.fit(entry.node, kind.value_type, (*keys, name), entry.place)
            if self._text_fits(name, key_kind, wording, entry.place):
                out[name] = value
            else:
                self._damage.blank((*keys, name))
        return out

    def _scalar(self, node: Scalar, kind: inspect.Type, wording: str) -> bool:
        """True if the value fits; otherwise the reason is reported."""
        value = node.value
        match kind:
            case inspect.NoneType() if value is None:
                return True
            case inspect.StrType() if isinstance(value, str):
                return self._text_fits(value, kind, wording, node.place)
            case inspect.LiteralType() if isinstance(value, str):
                if value in kind.values:
                    return True
                ending = did_you_mean(value, [str(v) for v in kind.values])
                self._report(node.place, "E015", f"'{value}' is not allowed here{ending}")
            case inspect.IntType() if isinstance(value, int) and not isinstance(value, bool):
                if kind.gt is None or value > kind.gt:
                    return True
                self._report(
                    node.place, "E014", f"{value} is too small; it must be above {kind.gt}"
                )
            case _:
                self._wrong_type(node, kind)
        return False

    def _text_fits(self, text: str, kind: inspect.Type, wording: str, place: Place) -> bool:
        if not isinstance(kind, inspect.StrType):
            return True
        if kind.min_length is not None and len(text) < kind.min_length:
            self._report(place, "E014", "empty text")
        elif kind.pattern is not None and not re.search(kind.pattern, text):
            form = wording.rstrip(".") or f"of the form {kind.pattern}"
            self._report(place, "E014", f"'{text}' does not have the form: {form}")
        else:
            return True
        return False

    def _wrong_type(self, node: Node, kind: inspect.Type) -> None:
        kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        wanted = [_shape(_unwrap(kind)[0])[1] for kind in kinds]
        wanted = [w for w in dict.fromkeys(wanted) if w != "null"]
        match node:
            case Mapping():
                got = "a mapping"
            case Sequence():
                got = "a list"
            case Scalar(value=None):
                got = "nothing"
            case Scalar():
                got = f"'{node.text}'"
            case Bad():
                return
        hint = None
        if "text" in wanted and isinstance(node, Scalar) and node.value is not None:
            hint = "put it in quotes to make it text"
        elif "text" in wanted and isinstance(node, Mapping):
            hint = "text that begins with { needs quotes"
        self._report(node.place, "E013", f"expected {' or '.join(wanted)}, found {got}", hint)

    def _blank(self, kind: inspect.Type, keys: Keys) -> Plain:
        self._damage.blank(keys)
        return blank(kind)

    def _report(self, place: Place, code: str, message: str, hint: str | None = None) -> None:
        self._found.append(Diagnostic.at(place, code, message, hint))


def blank(kind: inspect.Type) -> Plain:
    """The least value that msgspec accepts for `kind`."""
    kind, _ = _unwrap(kind)
    match kind:
        case inspect.StructType():
            return {f.encode_name: blank(f.type) for f in kind.fields if f.required}
        case inspect.DictType():
            return {}
        case inspect.VarTupleType():
            return []
        case inspect.StrType():
            return "x"
        case inspect.IntType():
            return 1
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.UnionType():
            return blank(min(kind.types, key=lambda t: not isinstance(t, inspect.NoneType)))
        case _:
            return None


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """The type without its annotations, and the description among them."""
    wording = ""
    while isinstance(kind, inspect.Metadata):
        wording = (kind.extra_json_schema or {}).get("description", wording)
        kind = kind.type
    return kind, wording


def _shape(kind: inspect.Type) -> tuple[type, str]:
    try:
        return _SHAPES[type(kind)]
    except KeyError:
        raise TypeError(
            f"no table may hold a {type(kind).__name__}; teach convert.py first"
        ) from None
