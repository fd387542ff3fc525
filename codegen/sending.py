"""`send:` and `hooks:` become wire structs and the functions that fill and encode them.

What is not known is left out of a message; a message that cannot be said without it is not said at all: without
a stream there is nobody to clear, and a cancel without its id would hit another response.
"""

from collections.abc import Mapping
from typing import Any

from bargein.statemachines.model import Hook, Machine, Provider, Transport
from bargein.statemachines.vocabulary import PROVIDER_VARIABLES, TRANSPORT_VARIABLES

from .names import Namespace, attributes, camel
from .plan import FieldPlan, HookPlan, SayPlan, SendPlan, StructPlan

_OF_ITEM = {"op": "op", "response": "item.response_id", "item": "item.item_id", "part": "item.part"}
_PROVIDER_HOOKS: dict[str, tuple[str, dict[str, str]]] = {
    "session.configure": ("op: str, settings: object", {"op": "op", "settings": "settings"}),
    "session.listen": ("audio: bytes", {"audio": "audio"}),
    "session.request": (
        "request: str, fields: RequestFields",
        {
            "request": "request",
            "conversation": "fields.conversation",
            "instructions": "fields.instructions",
            "text": "fields.text",
            "input": "fields.input",
            "tools": "fields.tools",
        },
    ),
    "session.pong": ("ping: object", {"ping": "ping"}),
    "session.hush": (
        "op: str, response: ResponseFacts",
        {"op": "op", "response": "response.server_id"},
    ),
    "response.cancel": (
        "op: str, response: ResponseFacts",
        {"op": "op", "response": "response.server_id"},
    ),
    "playback.truncate": ("op: str, item: ItemFacts", {**_OF_ITEM, "heard_ms": "item.cut_ms"}),
    "playback.forget": ("op: str, item: ItemFacts", _OF_ITEM),
}
_TRANSPORT_HOOKS: dict[str, tuple[str, dict[str, str]]] = {
    "session.play": (
        "stream: str | None, audio: bytes, item: str, generation: int",
        {"stream": "stream", "audio": "audio", "item": "item", "generation": "generation"},
    ),
    "session.mark": (
        "stream: str | None, mark: str, item: str, generation: int",
        {"stream": "stream", "mark": "mark", "item": "item", "generation": "generation"},
    ),
    "response.clear": (
        "stream: str | None, generation: int",
        {"stream": "stream", "generation": "generation"},
    ),
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
    "session.pong": "Answer the server's ping.",
    "session.hush": "Make the server, where it plays, throw away what it has not played.",
    "session.play": "Let the caller hear speech.",
    "session.mark": "Ask to be told when all speech before this point has been heard.",
}
_SUBJECTS = {"session.hush": "response", "playback": "item", "session": "fields"}
"""By hook, or by its machine: of whom its guards ask."""
_TYPES = {"str": "str", "bytes": "bytes", "int": "int", "any": "Any"}
_NUMBERED = ("response", "item")
"""What the provider has named, and is told by a number where its names are numbers."""


def plan_send(
    peer: Provider | Transport, machines: dict[str, Machine], names: Namespace
) -> SendPlan:
    """The structs of all messages we send to `peer`, and its hooks, each hook of the contract present."""
    provider = isinstance(peer, Provider)
    variables: Mapping[str, str] = PROVIDER_VARIABLES if provider else TRANSPORT_VARIABLES
    contract = _PROVIDER_HOOKS if provider else _TRANSPORT_HOOKS
    messages = {
        name: _Message(template, camel(f"send_{name}"), peer, variables, names)
        for name, template in peer.send.items()
    }
    hooks = tuple(
        _hook(
            full,
            contract[full],
            peer.hooks.get(full, ()),
            messages,
            machines,
            bare=peer.wire.frames == "mixed" and full in ("session.listen", "session.play"),
            numbered=provider and peer.wire.ids == "number",
        )
        for full in contract
    )
    structs = tuple(struct for message in messages.values() for struct in message.structs)
    parted = any("." in name for message in messages.values() for name in message.parts())
    numbered = any("_number(" in say.expr for hook in hooks for say in hook.says)
    return SendPlan(structs=structs, hooks=hooks, parted=parted, numbered=numbered)


def after_finished(peer: Provider | Transport) -> tuple[str, ...]:
    """The actions whose hooks wait for the last word about the item or its response."""
    return tuple(
        full.partition(".")[2]
        for full, hooks in peer.hooks.items()
        if any(hook.after == "finished" for hook in hooks)
    )


class _Message:
    """One template of `send:`: makes its structs at once, and its expression for each hook that sends it."""

    def __init__(
        self,
        template: dict[str, Any] | str,
        wanted: str,
        peer: Provider | Transport,
        variables: Mapping[str, str],
        names: Namespace,
    ) -> None:
        self.structs: list[StructPlan] = []
        self._variables = variables
        self._numbered = peer.wire.ids == "number" and isinstance(peer, Provider)
        self._body: dict[str, Any] | str = template
        if isinstance(template, str):
            return
        tag_field = peer.wire.tag
        tag = template.get(tag_field) if tag_field is not None else None
        self._kind = peer.kind_of(template) or wanted
        self._tag = tag if isinstance(tag, str) and not tag.startswith("$") else None
        self._body = {k: v for k, v in template.items() if self._tag is None or k != tag_field}
        self._names = names
        self._classes: dict[tuple[str, ...], str] = {}
        tagged = f", tag_field={tag_field!r}, tag={self._tag!r}" if self._tag else ""
        self._declare((), self._body, wanted, f"`{self._kind}`, as we send it.", tagged)

    def expr(self, exprs: Mapping[str, str]) -> str:
        """Python source that builds the message out of a hook's arguments."""
        return self._expr((), self._body, exprs)

    def parts(self) -> list[str]:
        """The same with the parts of them that it takes."""
        return _variables(self._body)

    def variables(self) -> set[str]:
        """The names it is filled with."""
        return {name.partition(".")[0] for name in _variables(self._body)}

    def _declare(
        self, path: tuple[str, ...], value: dict[str, Any], wanted: str, doc: str, tagged: str
    ) -> None:
        for key, inner in value.items():
            for at, found in _objects((*path, key), inner):
                of = f"`{'.'.join(at)}` of `{self._kind}`."
                self._declare(at, found, wanted + camel(key), of, "")
        self._classes[path] = self._names.give(wanted)
        attribute = attributes(value)
        fields = tuple(
            FieldPlan(attribute[key], key, self._type((*path, key), inner), self._may_lack(inner))
            for key, inner in value.items()
        )
        omits = ", omit_defaults=True, kw_only=True" if any(f.optional for f in fields) else ""
        bases = f"Struct, gc=False{omits}{tagged}"
        self.structs.append(StructPlan(self._classes[path], bases, (doc,), fields))

    def _may_lack(self, value: object) -> bool:
        """Whether the field can be left out: an unknown variable, or an object of nothing else."""
        match value:
            case str() if value.startswith("$"):
                return "." in value or self._variables[value[1:]].endswith("?")
            case dict():
                return bool(value) and all(map(self._may_lack, value.values()))
            case _:
                return False

    def _type(self, path: tuple[str, ...], value: object) -> str:
        match value:
            case str() if value.startswith("$"):
                name = value[1:].partition(".")[0]
                type_ = _TYPES[self._variables[name].rstrip("?")]
                if self._numbered and name in _NUMBERED:
                    type_ = "int | str"
            case dict():
                type_ = self._classes[path]
            case list():
                type_ = "tuple[Any, ...]"
            case _:
                type_ = "None" if value is None else type(value).__name__
        return f"{type_} | None" if self._may_lack(value) and type_ != "Any" else type_

    def _expr(self, path: tuple[str, ...], value: object, exprs: Mapping[str, str]) -> str:
        match value:
            case str() if value.startswith("$"):
                return _variable(value[1:], exprs)
            case dict():
                attribute = attributes(value)
                args = [
                    f"{attribute[key]}={self._expr((*path, key), inner, exprs)}"
                    for key, inner in value.items()
                ]
                built = f"{self._classes[path]}({', '.join(args)})"
                if not path or not self._may_lack(value):
                    return built
                names = dict.fromkeys(_variables(value))
                known = [f"{_variable(name, exprs)} is not None" for name in names]
                return f"({built} if {' or '.join(known)} else None)"
            case list():
                parts = [self._expr((*path, str(i)), v, exprs) for i, v in enumerate(value)]
                return f"({', '.join(parts)},)" if parts else "()"
            case _:
                return repr(value)


def _variable(name: str, exprs: Mapping[str, str]) -> str:
    """What fills a variable; `settings.voice` is a part of the settings, missing if they do not have it."""
    whole, _, part = name.partition(".")
    return f"_part({exprs[whole]}, {part!r})" if part else exprs[whole]


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
    *,
    bare: bool,
    numbered: bool,
) -> HookPlan:
    machine, _, action = full.partition(".")
    signature, exprs = contract
    filled = {
        name: f"_number({expr})" if numbered and name in _NUMBERED else expr
        for name, expr in exprs.items()
    }
    sentence = _SENTENCES.get(full) or machines[machine].actions[action].is_
    doc = [sentence]
    if bare:
        doc.append("As a binary frame, with nothing around it.")
    elif not hooks:
        doc.append("Nothing is said: the other side has no verb for it.")
    for hook in hooks:
        doc.extend(filter(None, [hook.why, hook.see and f"see {hook.see}"]))
    used = {exprs[name] for hook in hooks for name in messages[hook.send].variables()}
    unsaid = [(f"{expr} is None", why) for expr, why in _MAY_BE_NONE.items() if expr in used]
    subject = _SUBJECTS.get(full) or _SUBJECTS.get(machine, machine)
    says = [SayPlan(_guard(hook, subject), messages[hook.send].expr(filled)) for hook in hooks]
    if len(says) == 1 and says[0].condition:
        unsaid.append((_negated(says[0].condition), ""))
        says = [SayPlan(None, says[0].expr)]
    return HookPlan(
        function=action,
        signature=signature,
        doc=tuple(doc),
        unsaid=tuple(unsaid),
        says=tuple(says),
        bare=bare,
    )


def _guard(hook: Hook, subject: str) -> str | None:
    if hook.if_ is not None:
        return f"{subject}.{hook.if_}"
    return f"not {subject}.{hook.unless}" if hook.unless is not None else None


def _negated(condition: str) -> str:
    return condition.removeprefix("not ") if condition.startswith("not ") else f"not {condition}"
