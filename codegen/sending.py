"""`send:` and `hooks:` become wire structs and the functions that fill and encode them.

What is not known is left out of a message; a message that cannot be said without it is not said at all: without
a stream there is nobody to clear, and a cancel without its id would hit another response.
"""

from typing import Any

from bargein.statemachines.model import Hook, Machine, Provider, Transport
from bargein.statemachines.vocabulary import PROVIDER_VARIABLES, TRANSPORT_VARIABLES

from .names import Namespace, attributes, camel
from .plan import FieldPlan, HookPlan, SayPlan, SendPlan, StructPlan

_OF_ITEM = {"op": "op", "response": "item.response_id", "item": "item.item_id", "part": "item.part"}
_PROVIDER_HOOKS: dict[str, tuple[str, dict[str, str]]] = {
    "session.configure": ("settings: object", {"settings": "settings"}),
    "session.listen": ("audio: bytes", {"audio": "audio"}),
    "session.request": (
        "request: str, fields: RequestFields",
        {
            "request": "request",
            "conversation": "fields.conversation",
            "instructions": "fields.instructions",
            "input": "fields.input",
            "tools": "fields.tools",
        },
    ),
    "response.cancel": (
        "op: str, response: ResponseFacts",
        {"op": "op", "response": "response.server_id"},
    ),
    "playback.truncate": ("op: str, item: ItemFacts", {**_OF_ITEM, "heard_ms": "item.cut_ms"}),
    "playback.forget": ("op: str, item: ItemFacts", _OF_ITEM),
}
_TRANSPORT_HOOKS: dict[str, tuple[str, dict[str, str]]] = {
    "session.play": ("stream: str | None, audio: bytes", {"stream": "stream", "audio": "audio"}),
    "session.mark": ("stream: str | None, mark: str", {"stream": "stream", "mark": "mark"}),
    "response.clear": ("stream: str | None", {"stream": "stream"}),
}
_MAY_BE_NONE = {
    "stream": "The stream has not started: there is nobody to say it to.",
    "response.server_id": "It has no name yet, and without one the server would take another.",
    "item.response_id": "Its response has no name.",
}
_SENTENCES = {
    "session.configure": "Tell the server how the session is to be.",
    "session.listen": "Let the server hear the caller.",
    "session.request": "Ask for a response.",
    "session.play": "Let the caller hear speech.",
    "session.mark": "Ask to be told when all speech before this point has been heard.",
}
_TYPES = {"str": "str", "bytes": "bytes", "int": "int", "any": "Any"}


def plan_send(
    peer: Provider | Transport, machines: dict[str, Machine], names: Namespace
) -> SendPlan:
    """The structs of all messages we send to `peer`, and its hooks, each hook of the contract present."""
    provider = isinstance(peer, Provider)
    variables = PROVIDER_VARIABLES if provider else TRANSPORT_VARIABLES
    contract = _PROVIDER_HOOKS if provider else _TRANSPORT_HOOKS
    structs: list[StructPlan] = []
    messages = {
        name: _Message(name, template, peer.wire.tag, dict(variables), names, structs)
        for name, template in peer.send.items()
    }
    hooks = tuple(
        _hook(full, contract[full], peer.hooks.get(full, ()), messages, machines)
        for full in contract
    )
    return SendPlan(structs=tuple(structs), hooks=hooks)


def after_finished(peer: Provider | Transport) -> tuple[str, ...]:
    """The actions whose hooks wait for the last word about the item or its response."""
    return tuple(
        full.partition(".")[2]
        for full, hooks in peer.hooks.items()
        if any(hook.after == "finished" for hook in hooks)
    )


class _Message:
    """One template of `send:`: makes its structs at once, its expression per hook."""

    def __init__(
        self,
        name: str,
        template: dict[str, Any],
        tag_field: str,
        variables: dict[str, str],
        names: Namespace,
        structs: list[StructPlan],
    ) -> None:
        self._variables = variables
        self._names = names
        self._structs = structs
        self._classes: dict[tuple[str, ...], str] = {}
        self._name = name
        self._tag_field = tag_field
        tag = template.get(tag_field)
        self._tag = tag if isinstance(tag, str) and not tag.startswith("$") else None
        body = {k: v for k, v in template.items() if self._tag is None or k != tag_field}
        self._body = body
        self._declare((), body, camel(f"send_{name}"))

    def _declare(self, path: tuple[str, ...], value: dict[str, Any], wanted: str) -> None:
        for key, inner in value.items():
            for at, found in _objects((*path, key), inner):
                self._declare(at, found, wanted + camel(key))
        name = self._classes[path] = self._names.give(wanted)
        attribute = attributes(value)
        plans = []
        for key, inner in value.items():
            type_, optional = self._type((*path, key), inner)
            plans.append(FieldPlan(attribute[key], key, type_, optional))
        of = f"`{self._tag}`" if self._tag else f"`{self._name}`"
        doc = (
            f"`{'.'.join(path)}` of {of}."
            if path
            else f"{of}, which the table calls `{self._name}`."
        )
        bases = "Struct, gc=False"
        if any(plan.optional for plan in plans):
            bases += ", omit_defaults=True, kw_only=True"
        if self._tag and not path:
            bases += f", tag_field={self._tag_field!r}, tag={self._tag!r}"
        self._structs.append(StructPlan(name, bases, doc, tuple(plans)))

    def _type(self, path: tuple[str, ...], value: object) -> tuple[str, bool]:
        match value:
            case str() if value.startswith("$"):
                type_ = self._variables[value[1:]]
                base = _TYPES[type_.rstrip("?")]
                optional = type_.endswith("?")
                return (f"{base} | None" if optional and base != "Any" else base), optional
            case dict():
                optional = bool(self._conditions(value, None))
                name = self._classes[path]
                return (f"{name} | None" if optional else name), optional
            case list():
                return "tuple[Any, ...]", False
            case _:
                return type(value).__name__.replace("NoneType", "None"), False

    def _conditions(self, value: object, exprs: dict[str, str] | None) -> list[str]:
        """When an object of nothing but optional fields is said: any of these; empty means always."""
        match value:
            case str() if value.startswith("$") and self._variables[value[1:]].endswith("?"):
                return [f"{exprs[value[1:]] if exprs else value} is not None"]
            case dict() if value:
                parts = [self._conditions(inner, exprs) for inner in value.values()]
                return [] if not all(parts) else list(dict.fromkeys(p for q in parts for p in q))
            case _:
                return []

    def expr(self, exprs: dict[str, str]) -> str:
        """Python source that builds the message out of a hook's arguments."""
        return self._expr((), self._body, exprs)

    def _expr(self, path: tuple[str, ...], value: object, exprs: dict[str, str]) -> str:
        match value:
            case str() if value.startswith("$"):
                return exprs[value[1:]]
            case dict():
                attribute = attributes(value)
                args = ", ".join(
                    f"{attribute[key]}={self._expr((*path, key), inner, exprs)}"
                    for key, inner in value.items()
                )
                built = f"{self._classes[path]}({args})"
                unless = self._conditions(value, exprs) if path else []
                return f"({built} if {' or '.join(unless)} else None)" if unless else built
            case list():
                inner = [self._expr((*path, str(i)), v, exprs) for i, v in enumerate(value)]
                return f"({', '.join(inner)},)" if inner else "()"
            case _:
                return repr(value)

    def variables(self) -> set[str]:
        """The names it is filled with."""
        return set(_variables(self._body))


def _objects(path: tuple[str, ...], value: object) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        return [(path, value)]
    if isinstance(value, list):
        return [o for i, v in enumerate(value) for o in _objects((*path, str(i)), v)]
    return []


def _variables(value: object) -> list[str]:
    match value:
        case str() if value.startswith("$"):
            return [value[1:]]
        case dict():
            return [name for inner in value.values() for name in _variables(inner)]
        case list():
            return [name for inner in value for name in _variables(inner)]
        case _:
            return []


def _hook(
    full: str,
    contract: tuple[str, dict[str, str]],
    hooks: tuple[Hook, ...],
    messages: dict[str, _Message],
    machines: dict[str, Machine],
) -> HookPlan:
    machine, _, action = full.partition(".")
    signature, exprs = contract
    sentence = _SENTENCES.get(full) or machines[machine].actions[action].is_
    doc = [sentence]
    if not hooks:
        doc.append("Nothing is said: the other side has no verb for it.")
    for hook in hooks:
        doc.extend(filter(None, [hook.why, hook.see and f"see {hook.see}"]))
    used = {exprs[name] for hook in hooks for name in messages[hook.send].variables()}
    missing = [expr for expr in _MAY_BE_NONE if expr in used]
    unsaid = [f"{expr} is None" for expr in missing]
    subject = "item" if machine == "playback" else machine
    says = [SayPlan(_guard(hook, subject), messages[hook.send].expr(exprs)) for hook in hooks]
    if len(says) == 1 and says[0].condition:
        unsaid.append(_negated(says[0].condition))
        says = [SayPlan(None, says[0].expr)]
    return HookPlan(
        function=action,
        signature=signature,
        doc=tuple(doc),
        unsaid=" or ".join(unsaid) or None,
        reason=" ".join(_MAY_BE_NONE[expr] for expr in missing),
        says=tuple(says),
    )


def _guard(hook: Hook, subject: str) -> str | None:
    if hook.if_ is not None:
        return f"{subject}.{hook.if_}"
    return f"not {subject}.{hook.unless}" if hook.unless is not None else None


def _negated(condition: str) -> str:
    return condition.removeprefix("not ") if condition.startswith("not ") else f"not {condition}"
