"""A message as a tree of what a table reads of it: objects, list elements and leaves."""

from collections.abc import Iterator
from typing import Final

from bargein.statemachines.model import Receive
from bargein.statemachines.path_checks import ROW_KEYS
from bargein.statemachines.vocabulary import PROVIDER_EVENTS, TRANSPORT_EVENTS

from .errors import GenerateError
from .names import attributes, camel
from .plan import FieldPlan, StructPlan

__all__ = ["ROW_KEYS", "Node", "event_class", "field_types", "fields_of", "part"]

_TRANSPORT_CLASSES: Final = {
    "started": "StreamStarted",
    "ended": "StreamEnded",
    "error": "TransportError",
}


def event_class(event: str, side: str) -> str:
    """The class in `runtime.events` of a vocabulary word; a transport has some of its own."""
    if side == "transport" and event in _TRANSPORT_CLASSES:
        return _TRANSPORT_CLASSES[event]
    return camel(event)


def field_types(row: Receive, side: str) -> dict[str, str]:
    """The type of every field that the row's event has."""
    vocabulary = PROVIDER_EVENTS if side == "provider" else TRANSPORT_EVENTS
    return dict(vocabulary[str(row["event"])])


class Node:
    """An object or a leaf of a message, as far as the table reads it."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.children: dict[str, Node] = {}
        self.type: str | None = None
        self.struct = ""

    @property
    def required(self) -> bool:
        """Whether a message without it breaks the protocol."""
        if self.type is not None:
            return not self.type.endswith("?")
        return any(child.required for child in self.children.values())

    @property
    def shape(self) -> object:
        """Equal for objects that are read in the same way at the same place: they share a struct."""
        inner = tuple((key, child.shape) for key, child in self.children.items())
        return self.path, self.type, inner

    def at(self, path: tuple[str, ...]) -> "Node":
        """The node at the end of a path."""
        node = self
        for step in path:
            node = node.children[step]
        return node

    def add(self, path: tuple[str, ...], type_: str, kind: str) -> None:
        """Read `path` as `type_`; a path that two events read is required if either requires it."""
        if not path:
            if self.children and type_ == "any?":
                return  # That it is there is asked of the object itself.
            read = (self.type or type_).rstrip("?")
            if self.children or (
                "any" not in (read, type_.rstrip("?")) and read != type_.rstrip("?")
            ):
                raise GenerateError(
                    f"{kind}: {'.'.join(self.path)} is read in two incompatible ways"
                )
            if self.type is None or self.type == "any?" or not type_.endswith("?"):
                self.type = type_
            return
        if self.type == "any?" and not self.children:
            self.type = None
        if self.type is not None:
            raise GenerateError(f"{kind}: {'.'.join(self.path)} is read both whole and in parts")
        key = path[0]
        child = self.children.setdefault(key, Node((*self.path, key)))
        child.add(path[1:], type_, kind)

    def objects(self) -> Iterator["Node"]:
        """This object and those in it, innermost first."""
        for child in self.children.values():
            if child.type is None:
                yield from child.objects()
        yield self


def part(node: Node) -> StructPlan:
    """The struct of an object inside a message."""
    doc = f"`{'.'.join(node.path)}` of a message."
    return StructPlan(node.struct, "Struct, gc=False", (doc,), fields_of(node))


def fields_of(node: Node) -> tuple[FieldPlan, ...]:
    """The fields of an object's struct, required ones first."""
    names = attributes(node.children)
    fields = [
        FieldPlan(names[key], key.removesuffix("[]"), _type(key, child), not child.required)
        for key, child in node.children.items()
    ]
    return tuple(sorted(fields, key=lambda field: field.optional))


def _type(key: str, node: Node) -> str:
    if key.endswith("[]"):
        inner = "Any" if node.type is not None else f"{node.struct} | Other"
        return f"list[{inner}] | Single"
    if node.type == "bytes?":
        return "bytes | None"
    if node.type is not None:
        return "Any" if node.type.endswith("?") else node.type
    return node.struct if node.required else f"{node.struct} | Other"
