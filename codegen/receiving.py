"""`receive:` becomes wire structs and one converter per kind of message.

A path that must be there is typed and required, so msgspec itself refuses a message without it. A path that may
be missing is read as anything at all and looked at afterwards: of another type it counts as missing, because a
compatible server that sends `status_details` as a string has not broken anything we need. Messages that must be asked
what they are (`reading.py`) require nothing.
"""

from bargein.statemachines.model import UNTAGGED, Provider, Receive, Transport
from bargein.statemachines.path_checks import NAMES

from .names import Namespace, attributes, camel, local, snake
from .plan import ConverterPlan, ReceivePlan, StructPlan
from .reading import Reader, add_conditional, is_conditional, plain_events
from .tree import ROW_KEYS, Node, field_types, fields_of, part

_HELPERS = ("_object", "_list", "_there", "_text", "_flag", "_count", "_name", "_json", "_written")


def plan_receive(peer: Provider | Transport, names: Namespace) -> ReceivePlan:
    """The structs and converters for all messages of `peer` that have a row."""
    side = "provider" if isinstance(peer, Provider) else "transport"
    tag, ids = peer.wire.tag, peer.wire.ids
    structs: list[StructPlan] = []
    converters: list[ConverterPlan] = []
    parts: dict[object, str] = {}
    helpers: set[str] = set()
    kinds = _kinds(peer)
    trees = {kind: _tree(kind, rows, side, tag, ids) for kind, rows in kinds.items()}
    for kind, tree in trees.items():
        tree.struct = names.give(camel(kind) if kind != UNTAGGED else "Untagged")
    for kind, rows in kinds.items():
        tree = trees[kind]
        for node in tree.objects():
            if node is not tree:
                node.struct = parts.get(node.shape, "")
            if not node.struct:
                node.struct = parts[node.shape] = _part_name(node, tree, names)
                structs.append(part(node))
        every = tuple(row for some in rows.values() for row in some)
        structs.append(_message(tree, kind, every, tag))
        converter, used = _converter(tree, kind, rows, side, tag, ids, names)
        converters.append(converter)
        helpers |= used | ({"_written"} if "_json" in used else set())
    typed = " ".join(field.type for struct in structs for field in struct.fields)
    return ReceivePlan(
        structs=tuple(structs),
        converters=tuple(converters),
        helpers=tuple(h for h in _HELPERS if h in helpers),
        other="Other" in typed or "_object" in helpers,
        single="Single" in typed,
        json="Json" in typed or "_json" in helpers,
        bare_audio=peer.wire.frames == "mixed",
    )


_ByPath = dict[str | None, tuple[Receive, ...]]
"""Rows by the path they are about; of messages with a kind all stand under None."""


def _kinds(peer: Provider | Transport) -> dict[str, _ByPath]:
    if peer.wire.tag is None:
        return {"Message": dict(peer.received())}
    return {kind: {None: rows} for kind, rows in peer.received()}


def _tree(kind: str, rows: _ByPath, side: str, tag: str | None, ids: str) -> Node:
    root = Node(())
    for key, some in rows.items():
        conditional = is_conditional(some, tag)
        for row in some:
            if conditional:
                add_conditional(root, row, side, key or kind, key)
                continue
            types = field_types(row, side)
            for name, path in row.items():
                if isinstance(path, str) and name not in ROW_KEYS:
                    type_ = types[name].replace("json", "Json")
                    if ids == "number" and name in NAMES:
                        type_ = type_.replace("str", "int")
                    root.add(tuple(path.split(".")), type_, kind)
    return root


def _message(node: Node, kind: str, rows: tuple[Receive, ...], tag: str | None) -> StructPlan:
    events = " and ".join(dict.fromkeys(f"`{row['event']}`" for row in rows))
    reasons = [str(row["why"]) for row in rows if "why" in row]
    links = [f"see {row['see']}" for row in rows if "see" in row]
    what = f"`{kind}` becomes {events}."
    if tag is None:
        what, reasons, links = "Any message, as far as the table reads it.", [], []
    elif kind == UNTAGGED:
        what = f"A message without a kind becomes {events}."
    tagged = f", tag_field={tag!r}, tag={kind!r}" if tag is not None and kind != UNTAGGED else ""
    return StructPlan(
        name=node.struct,
        bases=f"Struct, gc=False{tagged}",
        doc=(what, *reasons, *links),
        fields=fields_of(node),
    )


def _part_name(node: Node, tree: Node, names: Namespace) -> str:
    plain = "".join(map(camel, node.path))
    if names.free(plain):
        return names.give(plain)
    return names.give(f"{plain}Object" if plain == tree.struct else f"{tree.struct}{plain}")


def _converter(
    root: Node,
    kind: str,
    rows: _ByPath,
    side: str,
    tag: str | None,
    ids: str,
    names: Namespace,
) -> tuple[ConverterPlan, set[str]]:
    """How the message becomes events, and the helpers that it takes."""
    called = kind if kind != UNTAGGED else "untagged"
    function = names.give(f"_read_{snake(called)}".rstrip("_"))
    every = tuple(row for some in rows.values() for row in some)
    if is_conditional(every, tag):
        reader = Reader(root, side, None if tag is None else kind, ids)
        body = tuple(reader.lines(rows))
        plan = ConverterPlan(
            function=function, struct=root.struct, kind=kind, steps=(), events=(), body=body
        )
        return plan, reader.helpers
    inside = Namespace(frozenset({"m", "events", *_HELPERS}))
    steps: list[tuple[str, str]] = []
    source: dict[tuple[str, ...], str] = {(): "m"}

    def walk(node: Node) -> None:
        of = attributes(node.children)
        for key, child in node.children.items():
            expr = f"{source[node.path]}.{of[key]}"
            if child.type is None and not child.required:
                steps.append((inside.give(local(key)), f"_object({expr}, {child.struct})"))
                expr = steps[-1][0]
            source[child.path] = expr
            walk(child)

    walk(root)
    events, helpers = plain_events(every, source, side, ids)
    plan = ConverterPlan(
        function=function,
        struct=root.struct,
        kind=kind,
        steps=tuple(steps),
        events=events,
    )
    return plan, helpers | ({"_object"} if steps else set())
