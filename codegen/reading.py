"""Messages that must be asked what they are: rows with conditions, rows of list elements, messages without a kind.

Such a message is read as far as it goes, nothing of it is required, and each row is asked whether it applies. A row
that applies and lacks what it needs makes the message `Malformed`; one to which no row applies is `Unknown`.
"""

from collections.abc import Iterator, Mapping, Sequence

from bargein.statemachines.model import Receive
from bargein.statemachines.path_checks import NAMES, paths_of
from bargein.statemachines.vocabulary import PROVIDER_EVENTS, TRANSPORT_EVENTS

from .names import Namespace, attributes, local
from .plan import EventPlan
from .tree import ROW_KEYS, Node, event_class, field_types

_TAKEN = frozenset(
    {"m", "events", "found", "each", "kind", "message", "decode"}
    | {
        f"its_{name}"
        for side in (PROVIDER_EVENTS, TRANSPORT_EVENTS)
        for e in side.values()
        for name in e
    }
)

Steps = tuple[str, ...]
"""A path into a message, `parts[]` being one step."""


def is_conditional(rows: tuple[Receive, ...], tag: str | None) -> bool:
    """Whether these rows cannot be read without asking."""
    return tag is None or any(
        {"if", "unless"} & row.keys() or any("[]" in path for _, path in paths_of(row))
        for row in rows
    )


def add_conditional(root: Node, row: Receive, side: str, kind: str, key: str | None) -> None:
    """What a conditional row reads, added to the tree of its message. `key` is the path that the row is about."""
    types = field_types(row, side)
    for at, path in paths_of(row):
        type_ = "any?" if len(at) > 1 else _loose(types[at[0]])
        root.add(tuple(path.split(".")), type_, kind)
    if key is not None and not _is_inside(key, row):
        root.add(tuple(key.split(".")), "any?", kind)


class Reader:
    """Writes the body of one conditional converter: one statement a line, for ruff to lay out."""

    def __init__(self, root: Node, side: str, kind: str | None, ids: str) -> None:
        self._root = root
        self._side = side
        self._kind = kind
        self._ids = ids
        self._known: dict[Steps, str] = {}
        self.helpers: set[str] = set()

    def lines(self, rows: Mapping[str | None, tuple[Receive, ...]]) -> Iterator[str]:
        """The statements for all rows, by the path they are about (None: by the kind of the message)."""
        names = Namespace(_TAKEN)
        every = [path for key, some in rows.items() for row in some for path in _read_by(row, key)]
        yield from self._objects(self._root, "m", names, every)
        yield "found: tuple[events.Event, ...] = ()"
        for key, some in rows.items():
            for row in some:
                yield from self._row(key, row, names)
        unknown = repr(self._kind) if self._kind is not None else 'kind(message) or ""'
        yield f"return found or (events.Unknown(kind={unknown}),)"

    def _objects(
        self, node: Node, expr: str, names: Namespace, paths: Sequence[Steps]
    ) -> Iterator[str]:
        """The objects on the way to `paths`, each in a variable; one that is not there has nothing in it."""
        self._known[node.path] = expr
        for key, child in node.children.items():
            deep = len(child.path)
            if key.endswith("[]") or not any(
                len(path) > deep and path[:deep] == child.path for path in paths
            ):
                continue
            self.helpers.add("_object")
            name = names.give(local(key))
            yield f"{name} = _object({self._attribute(child.path)}, {child.struct})"
            yield from self._objects(child, name, names, paths)

    def _row(self, key: str | None, row: Receive, names: Namespace) -> Iterator[str]:
        paths = _read_by(row, key)
        each = next((path[: at + 1] for path in paths if (at := _list_in(path)) is not None), None)
        pad = ""
        if each is not None:
            self.helpers.add("_list")
            yield f"for each in _list({self._attribute(each)}):"
            pad = "    "
            if any(len(path) > len(each) and path[: len(each)] == each for path in paths):
                self.helpers.add("_object")
                node = self._root.at(each)
                element = names.give(local(each[-1].removesuffix("[]").removesuffix("s")))
                yield f"{pad}{element} = _object(each, {node.struct})"
                for line in self._objects(node, element, names, paths):
                    yield pad + line
        conditions = [*self._presence(key), *self._conditions(row)]
        if conditions:
            yield f"{pad}if {' and '.join(conditions)}:"
            pad += "    "
        fields, needed = self._fields(row)
        cls = event_class(str(row["event"]), self._side)
        args = ", ".join(f"{name}={expr}" for name, expr in fields)
        if not needed:
            yield f"{pad}found += (events.{cls}({args}),)"
            return
        for name, _, expr in needed:
            yield f"{pad}{name} = {expr}"
        lacking = " or ".join(f"{name} is None" for name, _, _ in needed)
        lost = " or ".join(path for _, path, _ in needed)
        kind = repr(self._kind) if self._kind is not None else "kind(message)"
        yield f"{pad}if {lacking}:"
        yield f"{pad}    found += (events.Malformed(reason={f'no `{lost}`'!r}, kind={kind}),)"
        yield f"{pad}else:"
        yield f"{pad}    found += (events.{cls}({args}),)"

    def _presence(self, key: str | None) -> Iterator[str]:
        if key is None or key.endswith("[]"):
            return
        steps = tuple(key.split("."))
        node = self._root.at(steps)
        expr = self._expr(steps)
        if node.children:
            yield f"isinstance({expr}, {node.struct})"
        else:
            self.helpers.add("_there")
            yield f"_there({expr})"

    def _conditions(self, row: Receive) -> Iterator[str]:
        for word in ("if", "unless"):
            conditions = row.get(word)
            if not isinstance(conditions, dict):
                continue
            for path, value in conditions.items():
                expr = self._expr(tuple(path.split(".")))
                yield _compared(expr, value, must=word == "if")

    def _fields(self, row: Receive) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
        """(field, expression) of each, and those that must not be missing: (local name, path, expression)."""
        fields: list[tuple[str, str]] = []
        needed: list[tuple[str, str, str]] = []
        types = field_types(row, self._side)
        for name, said in row.items():
            if name in ROW_KEYS:
                continue
            if isinstance(said, dict):
                fields.append((name, repr(said["is"])))
                continue
            expr = self._value(self._expr(tuple(said.split("."))), name, types[name])
            if types[name].endswith("?"):
                fields.append((name, expr))
            else:
                variable = f"its_{name}"
                needed.append((variable, said, expr))
                fields.append((name, variable))
        return fields, needed

    def _value(self, expr: str, name: str, type_: str) -> str:
        type_ = type_.rstrip("?")
        if type_ in ("any", "bytes"):
            return expr
        helper = {"str": "_text", "bool": "_flag", "int": "_count", "json": "_json"}[type_]
        if type_ == "str" and self._ids == "number" and name in NAMES:
            helper = "_name"
        self.helpers.add(helper)
        return f"{helper}({expr})"

    def _expr(self, steps: Steps) -> str:
        """What reads a path; `parts[]` is the element that the loop is at."""
        return "each" if steps[-1].endswith("[]") else self._attribute(steps)

    def _attribute(self, steps: Steps) -> str:
        """An attribute of the variable that holds the object around it."""
        around = self._root.at(steps[:-1])
        return f"{self._known[steps[:-1]]}.{attributes(around.children)[steps[-1]]}"


def _read_by(row: Receive, key: str | None) -> list[Steps]:
    """Every path that a row has to do with."""
    paths = [path for _, path in paths_of(row)]
    return [tuple(path.split(".")) for path in ([*paths, key] if key is not None else paths)]


def _list_in(path: Steps) -> int | None:
    """Which step of a path is a list's elements."""
    return next((at for at, step in enumerate(path) if step.endswith("[]")), None)


def plain_events(
    rows: tuple[Receive, ...], source: Mapping[Steps, str], side: str, ids: str
) -> tuple[tuple[EventPlan, ...], set[str]]:
    """The events of rows that always apply, and the helpers their expressions use."""
    helpers: set[str] = set()
    events = []
    for row in rows:
        fields = []
        types = field_types(row, side)
        for name, said in row.items():
            if name in ROW_KEYS:
                continue
            if isinstance(said, dict):
                fields.append((name, repr(said["is"])))
                continue
            expr, helper = _plain_value(source[tuple(said.split("."))], name, types[name], ids)
            helpers |= {helper} if helper else set()
            fields.append((name, expr))
        events.append(EventPlan(cls=event_class(str(row["event"]), side), fields=tuple(fields)))
    return tuple(events), helpers


def _plain_value(expr: str, name: str, type_: str, ids: str) -> tuple[str, str | None]:
    """What reads a field's value; whatever is not of its type counts as missing."""
    if type_ == "int?":  # Every delta has one, so no function is called for it.
        return f"{expr} if type({expr}) is int else None", None
    helper = {"str?": "_text", "bool?": "_flag", "json": "_written"}.get(type_)
    if ids == "number" and type_.startswith("str") and name in NAMES:
        helper = "_name"
        if type_ == "str":
            return f"str({expr})", None
    return (f"{helper}({expr})", helper) if helper else (expr, None)


def _loose(type_: str) -> str:
    return type_ if type_.endswith("?") else f"{type_}?"


def _is_inside(key: str, row: Receive) -> bool:
    """Whether the row reads something inside what its key names, so that the key is an object."""
    return any(path.startswith(f"{key}.") for _, path in paths_of(row))


def _compared(expr: str, value: object, *, must: bool) -> str:
    if isinstance(value, list):
        if all(each is None or isinstance(each, str) for each in value):
            return f"{expr} {'in' if must else 'not in'} {tuple(value)!r}"
        return (
            f"({(' or ' if must else ' and ').join(_compared(expr, v, must=must) for v in value)})"
        )
    if value is None or isinstance(value, bool):
        return f"{expr} {'is' if must else 'is not'} {value!r}"
    if value in (0, 1):  # Which Python takes for False and True; a wire does not.
        if must:
            return f"(type({expr}) is not bool and {expr} == {value!r})"
        return f"(type({expr}) is bool or {expr} != {value!r})"
    return f"{expr} {'==' if must else '!='} {value!r}"
