"""`extends: NAME`: a table that says only how it differs from another.

Mappings are merged key by key, however deep; anything else replaces; null deletes. Each node keeps the place
in the file that says it. Three refinements make the result read true:

* name, `is`, `see` and `extends` are a table's own and never inherited;
* a row that says something new does not inherit the other row's `why` and `see`;
* a row of `receive` that names another `event` replaces the whole row.
"""

from .diagnostics import Diagnostic, did_you_mean
from .nodes import Entry, Mapping, Node, Scalar

_OWN = ("is", "see", "extends")
_PROSE = ("why", "see")


def merge(parent: Mapping, heir: Mapping, kind: str, found: list[Diagnostic]) -> Mapping:
    """The heir's table over its parent's. A null that deletes nothing is reported to `found`."""
    inherited = {k: e for k, e in parent.entries.items() if k not in (kind, *_OWN)}
    own = {k: e for k, e in heir.entries.items() if k in (kind, *_OWN)}
    rest = {k: e for k, e in heir.entries.items() if k not in own}
    body = _merge(
        Mapping(inherited, parent.place, parent.whole),
        Mapping(rest, heir.place, heir.whole),
        (),
        found,
    )
    return Mapping({**own, **body.entries}, heir.place, body.whole)


def _merge(
    parent: Mapping, heir: Mapping, keys: tuple[str, ...], found: list[Diagnostic]
) -> Mapping:
    in_message = keys[:1] == ("send",) and len(keys) > 1
    entries = dict(parent.entries)
    if not in_message and len(keys) > 1 and set(heir.entries) - {*_PROSE}:
        entries = {k: e for k, e in entries.items() if k not in _PROSE}
    for key, entry in heir.entries.items():
        old = parent.entries.get(key)
        if not _is_null(entry.node):
            entries[key] = entry if old is None else _over(old, entry, (*keys, key), found)
        elif old is not None:
            entries.pop(key, None)
        elif in_message:
            entries[key] = entry  # a message may carry a null of its own
        else:
            message = (
                f"nothing to delete: no '{key}' is inherited{did_you_mean(key, parent.entries)}"
            )
            found.append(Diagnostic.at(entry.place, "E019", message))
    return Mapping(entries, heir.place, parent.whole and heir.whole)


def _over(old: Entry, new: Entry, keys: tuple[str, ...], found: list[Diagnostic]) -> Entry:
    if not isinstance(old.node, Mapping) or not isinstance(new.node, Mapping):
        return new
    if keys[0] == "receive" and len(keys) == 2 and _another_event(old.node, new.node):
        return new
    return Entry(new.place, _merge(old.node, new.node, keys, found))


def _another_event(old: Mapping, new: Mapping) -> bool:
    said = new.entries.get("event")
    before = old.entries.get("event")
    return said is not None and (before is None or _text(said.node) != _text(before.node))


def _text(node: Node) -> str | None:
    return node.text if isinstance(node, Scalar) else None


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
