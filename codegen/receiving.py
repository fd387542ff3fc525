"""`receive:` becomes wire structs and one converter per kind of message.

A path that must be there is typed and required, so msgspec itself refuses a message without it. A path that may
be missing is read as anything at all and looked at afterwards: of another type it counts as missing, because a
compatible server that sends `status_details` as a string has not broken anything we need.
"""

from collections.abc import Iterator

from bargein.statemachines.model import Provider, Receive, Transport
from bargein.statemachines.vocabulary import PROVIDER_EVENTS, TRANSPORT_EVENTS

from .errors import GenerateError
from .names import Namespace, attributes, camel, local, snake
from .plan import ConverterPlan, EventPlan, FieldPlan, ReceivePlan, StructPlan

_HELPERS = {"object": "_object", "str?": "_text", "bool?": "_flag"}
_STREAM_EVENTS = {"started": "StreamStarted", "ended": "StreamEnded"}


def event_class(event: str, side: str) -> str:
    """The class in `runtime.events` of a vocabulary word; a transport's stream has its own two."""
    if side == "transport" and event in _STREAM_EVENTS:
        return _STREAM_EVENTS[event]
    return camel(event)


class _Node:
    """An object or a leaf of a message, as far as the table reads it."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.children: dict[str, _Node] = {}
        self.type: str | None = None
        self.struct = ""

    @property
    def required(self) -> bool:
        if self.type is not None:
            return not self.type.endswith("?")
        return any(child.required for child in self.children.values())

    @property
    def shape(self) -> object:
        """Equal for objects that are read in the same way at the same place: they share a struct."""
        inner = tuple((key, child.shape) for key, child in self.children.items())
        return self.path, self.type, inner

    def add(self, path: tuple[str, ...], type_: str, kind: str) -> None:
        """Read `path` as `type_`; a path that two events read is required if either requires it."""
        if not path:
            if self.children or (self.type or type_).rstrip("?") != type_.rstrip("?"):
                raise GenerateError(
                    f"{kind}: {'.'.join(self.path)} is read in two incompatible ways"
                )
            self.type = type_ if self.type is None or not type_.endswith("?") else self.type
            return
        if self.type is not None:
            raise GenerateError(f"{kind}: {'.'.join(self.path)} is read both whole and in parts")
        key = path[0]
        child = self.children.setdefault(key, _Node((*self.path, key)))
        child.add(path[1:], type_, kind)

    def objects(self) -> Iterator["_Node"]:
        """This object and those in it, innermost first."""
        for child in self.children.values():
            if child.type is None:
                yield from child.objects()
        yield self


def plan_receive(peer: Provider | Transport, names: Namespace) -> ReceivePlan:
    """The structs and converters for all messages of `peer` that have a row."""
    side = "provider" if isinstance(peer, Provider) else "transport"
    structs: list[StructPlan] = []
    converters: list[ConverterPlan] = []
    parts: dict[object, str] = {}
    trees = {kind: _tree(kind, rows, side) for kind, rows in peer.received()}
    for kind, tree in trees.items():
        tree.struct = names.give(camel(kind))
    for kind, rows in peer.received():
        tree = trees[kind]
        for node in tree.objects():
            if node is not tree:
                node.struct = parts.get(node.shape, "")
            if not node.struct:
                node.struct = parts[node.shape] = _part_name(node, tree, names)
                structs.append(_part(node))
        structs.append(_message(tree, kind, rows, peer.wire.tag))
        converters.append(_converter(tree, kind, rows, side))
    used = [expr for c in converters for _, expr in c.steps]
    used += [expr for c in converters for event in c.events for _, expr in event.fields]
    return ReceivePlan(
        structs=tuple(structs),
        converters=tuple(converters),
        helpers=tuple(h for h in _HELPERS.values() if any(e.startswith(f"{h}(") for e in used)),
    )


def _fields(row: Receive, side: str) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Every (field, path, type) of a row, in the order of the file."""
    vocabulary = PROVIDER_EVENTS if side == "provider" else TRANSPORT_EVENTS
    types = vocabulary[row["event"]]
    for name, path in row.items():
        if name not in ("event", "why", "see"):
            yield name, tuple(path.split(".")), types[name]


def _tree(kind: str, rows: tuple[Receive, ...], side: str) -> _Node:
    root = _Node(())
    for row in rows:
        for _, path, type_ in _fields(row, side):
            root.add(path, type_, kind)
    return root


def _message(node: _Node, kind: str, rows: tuple[Receive, ...], tag: str) -> StructPlan:
    events = " and ".join(f"`{row['event']}`" for row in rows)
    reasons = [row["why"] for row in rows if "why" in row]
    links = [f"see {row['see']}" for row in rows if "see" in row]
    return StructPlan(
        name=node.struct,
        bases=f"Struct, gc=False, tag_field={tag!r}, tag={kind!r}",
        doc=(f"`{kind}` becomes {events}.", *reasons, *links),
        fields=_attributes(node),
    )


def _part_name(node: _Node, tree: _Node, names: Namespace) -> str:
    plain = "".join(map(camel, node.path))
    if names.free(plain):
        return names.give(plain)
    return names.give(f"{plain}Object" if plain == tree.struct else f"{tree.struct}{plain}")


def _part(node: _Node) -> StructPlan:
    doc = f"`{'.'.join(node.path)}` of a message."
    return StructPlan(node.struct, "Struct, gc=False", (doc,), _attributes(node))


def _attributes(node: _Node) -> tuple[FieldPlan, ...]:
    names = attributes(node.children)
    fields = [
        FieldPlan(names[key], key, _type(child), not child.required)
        for key, child in node.children.items()
    ]
    return tuple(sorted(fields, key=lambda field: field.optional))


def _type(node: _Node) -> str:
    if node.type is not None:
        return "Any" if node.type.endswith("?") else node.type
    return node.struct if node.required else f"{node.struct} | Other"


def _value(expr: str, type_: str) -> str:
    """What reads a field's value; whatever is not of its type counts as missing."""
    if type_ == "int?":  # Every delta has one, so no function is called for it.
        return f"{expr} if type({expr}) is int else None"
    helper = _HELPERS.get(type_)
    return f"{helper}({expr})" if helper else expr


def _converter(root: _Node, kind: str, rows: tuple[Receive, ...], side: str) -> ConverterPlan:
    names = Namespace(frozenset({"m", "events", *_HELPERS.values()}))
    steps: list[tuple[str, str]] = []
    source: dict[tuple[str, ...], str] = {(): "m"}

    def walk(node: _Node) -> None:
        of = attributes(node.children)
        for key, child in node.children.items():
            expr = f"{source[node.path]}.{of[key]}"
            if child.type is None and not child.required:
                steps.append((names.give(local(key)), f"_object({expr}, {child.struct})"))
                expr = steps[-1][0]
            source[child.path] = expr
            walk(child)

    walk(root)
    events = []
    for row in rows:
        fields = []
        for name, path, type_ in _fields(row, side):
            fields.append((name, _value(source[path], type_)))
        events.append(EventPlan(cls=event_class(row["event"], side), fields=tuple(fields)))
    return ConverterPlan(
        function=f"_read_{snake(kind)}".rstrip("_"),
        struct=root.struct,
        kind=kind,
        steps=tuple(steps),
        events=tuple(events),
    )
