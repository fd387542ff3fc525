"""What rows read of one message, held together: no path may be read in two ways that exclude each other."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from .convert import Keys
from .findings import Findings
from .model import UNTAGGED, Provider, Receive, Transport

ROW_KEYS: Final = ("event", "if", "unless", "why", "see")
"""What a row may hold beside the fields of its event."""

NAMES: Final = ("response", "item", "request")
"""Fields that hold names, which some peers write as numbers (`wire.ids: number`)."""


class _Read(NamedTuple):
    """A path that a row reads; `type` is None where the row only asks what is there."""

    path: str
    type: str | None
    keys: Keys
    asks: object = None

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(self.path.split("."))


def paths_of(row: Receive) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every path a row reads, and the keys under which it stands: fields first, then conditions."""
    for name, value in row.items():
        if isinstance(value, str) and name not in ROW_KEYS:
            yield (name,), value
    for key in ("if", "unless"):
        conditions = row.get(key)
        if isinstance(conditions, dict):
            for path in conditions:
                yield (key, path), path


def check_paths(
    peer: Provider | Transport, events: Mapping[str, Mapping[str, str]], find: Findings
) -> None:
    """Report every path that two rows about one message, or a row and the tag, cannot both read."""
    whole: list[_Read] = []
    for kind, rows in peer.received():
        reads = [read for i, row in enumerate(rows) for read in _reads(peer, kind, i, row, events)]
        if peer.wire.tag is None and find.doubtful("wire"):
            return  # there may be a tag, and then each kind is read alone
        if peer.wire.tag is None:
            whole += [_Read(kind, None, ("receive", kind)), *reads]
            continue
        if kind != UNTAGGED:
            for read in reads:
                if read.path == peer.wire.tag:
                    message = f"'{read.path}' is the tag: it names the kind and is no field"
                    find.key("E063", message, *read.keys)
        _check_together(reads, find)
    _check_together(whole, find)


def _reads(
    peer: Provider | Transport,
    kind: str,
    at: int,
    row: Receive,
    events: Mapping[str, Mapping[str, str]],
) -> Iterator[_Read]:
    listed = not isinstance(peer.receive[kind], dict)
    place: Keys = ("receive", kind, at) if listed else ("receive", kind)
    types = events.get(str(row.get("event")), {})
    for keys, path in paths_of(row):
        conditions = row.get(keys[0])
        if len(keys) > 1 and isinstance(conditions, dict):
            yield _Read(path, None, (*place, *keys), conditions[path])
        elif keys[0] in types:
            type_ = types[keys[0]].rstrip("?")
            numbered = peer.wire.ids == "number" and keys[0] in NAMES
            yield _Read(path, "name" if numbered else type_, (*place, *keys))


def _check_together(reads: Iterable[_Read], find: Findings) -> None:
    """Report of each pair that excludes each other the later one, once."""
    before: list[_Read] = []
    for read in reads:
        clash = next((why for other in before if (why := _clash(other, read))), None)
        if clash is not None:
            find.key("E063", clash, *read.keys)
        before.append(read)


def _clash(one: _Read, other: _Read) -> str | None:
    for a, b in zip(one.steps, other.steps, strict=False):
        if a != b:
            if a.removesuffix("[]") == b.removesuffix("[]"):
                return f"'{a.removesuffix('[]')}' is read both as a list and whole"
            return None
    if len(one.steps) != len(other.steps):
        short = min(one, other, key=lambda read: len(read.steps))
        whole = short.type is not None
        return f"'{short.path}' is read both whole and in parts" if whole else None
    types = {one.type, other.type} - {None, "any"}
    if len(types) > 1:
        return f"'{one.path}' is read as {' and as '.join(sorted(map(str, types)))}"
    asked = one.asks if one.type is None else other.asks
    if "bytes" in types and asked is not None:
        return f"'{one.path}' is audio, which can only be compared with null"
    return None
