"""One cell of a table, explained: what happens, what goes out on the wire, why, and where that is declared.

explanation = explain(tables, "openai", "response", "timed_out", "created")
print(render_text(explanation))
"""

import json
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct, field

from .diagnostics import did_you_mean, shown
from .loader import Tables
from .model import Hook, Intent, Machine, Provider, Row, State, Transport
from .vocabulary import HOOK_GUARDS

T = TypeVar("T")
Peer = Provider | Transport

_AFTER: Final = {"finished": "not before the server has finished the item"}

# What a peer can do at all about an intent, where the two have different names.
_CAPABILITY: Final = {"forget": "delete"}


class UnknownName(LookupError):
    """No table has a peer, machine, state or event of that name. `valid` are those that exist."""

    def __init__(self, kind: str, name: str, valid: Collection[str]) -> None:
        self.kind = kind
        self.name = name
        self.valid = tuple(valid)
        hint = did_you_mean(name, self.valid)
        choice = "" if hint.startswith("; expected") else f" ({kind}s: {', '.join(self.valid)})"
        super().__init__(f"unknown {kind} '{name}'{hint}{choice}")


class Declared(Struct, frozen=True):
    """Where something is declared. `line` and `col` count from 1."""

    file: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


class Condition(Struct, frozen=True):
    """A guard, and whether it must hold (`must` True) or must not."""

    guard: str
    is_: str = field(name="is")
    must: bool = True

    def __str__(self) -> str:
        return self.guard if self.must else f"not {self.guard}"


class Saying(Struct, frozen=True):
    """A wire message that an intent becomes.

    `kind` is what the peer calls the message (the value of its tag field), `send` what the table calls it; in `shape`
    each `$variable` is filled in when it is said.
    """

    peer: str
    send: str
    kind: str
    shape: dict[str, Any] | str
    conditions: tuple[Condition, ...]
    after: str | None
    why: str | None
    see: str | None
    declared: Declared | None


class Act(Struct, frozen=True):
    """One action of a row, who does it, and what is said for it. `note` says why nothing is."""

    action: str
    is_: str = field(name="is")
    by: Literal["session", "provider", "transport"]
    says: tuple[Saying, ...] = ()
    note: str | None = None


class Case(Struct, frozen=True):
    """One row of the cell: under `conditions` (all of them) it acts and goes to `go`, or stays if that is None."""

    conditions: tuple[Condition, ...]
    go: str | None
    go_is: str | None
    acts: tuple[Act, ...]
    why: str | None
    see: str | None
    declared: Declared


class Explanation(Struct, frozen=True):
    """Everything the tables say about one (state, event) of a machine, as spoken to one peer."""

    peer: str
    machine: str
    state: str
    state_is: str
    event: str
    event_is: str
    cases: tuple[Case, ...]


def explain(tables: Tables, peer: str, machine: str, state: str, event: str) -> Explanation:
    """What happens when `event` meets `state`.

    With a provider as `peer`, its own messages and those of every transport are shown; with a transport, its own.

    :raises UnknownName: if a name is in no table; the message says which names are.
    """
    peers: dict[str, Peer] = {**tables.transports, **tables.providers}
    spoken = [_known("peer", peer, peers)]
    table = _known("machine", machine, tables.machines)
    here = _known("state", state, table.states)
    word = _known("event", event, table.events)
    if isinstance(spoken[0], Provider):
        spoken += tables.transports.values()
    cell = cell_of(here, event)
    return Explanation(
        peer=peer,
        machine=machine,
        state=state,
        state_is=here.is_,
        event=event,
        event_is=word.is_,
        cases=tuple(
            Case(
                conditions=conditions,
                go=row.go,
                go_is=table.states[row.go].is_ if row.go else None,
                acts=tuple(_act(tables, table, action, spoken) for action in row.do or ()),
                why=row.why,
                see=row.see,
                declared=_declared(tables, table, "states", state, "when", *keys),
            )
            for keys, row, conditions in cell_cases(table, cell)
        ),
    )


def cell_of(state: State, event: str) -> tuple[str, Row | tuple[Row, ...]]:
    """The key under which a state decides an event (it may name several), and what it decides."""
    for key, value in state.when.items():
        if event in (name.strip() for name in key.split(",")):
            return key, value
    raise UnknownName("event", event, [name for name, _ in state.rows()])


def conditions_of(machine: Machine, rows: Sequence[Row]) -> list[tuple[Condition, ...]]:
    """For each row of a cell, all that must hold for it: the guards before it must not, its own must."""
    passed: tuple[Condition, ...] = ()
    out = []
    for row in rows:
        if row.if_ is None:
            out.append(passed)
            continue
        meaning = machine.guards[row.if_].is_
        out.append((*passed, Condition(row.if_, meaning)))
        passed = (*passed, Condition(row.if_, meaning, must=False))
    return out


def cell_cases(
    machine: Machine, cell: tuple[str, Row | tuple[Row, ...]]
) -> Iterator[tuple[tuple[str | int, ...], Row, tuple[Condition, ...]]]:
    """Each row of a cell with its keys below `when` and its conditions."""
    key, value = cell
    if isinstance(value, Row):
        yield (key,), value, ()
        return
    for index, (row, conditions) in enumerate(
        zip(value, conditions_of(machine, value), strict=True)
    ):
        yield (key, index), row, conditions


def sayings(peer: Peer, hook: str, tables: Tables | None = None) -> tuple[Saying, ...]:
    """The messages a peer has for a hook (`response.cancel`), in order; with `tables`, where they are declared."""
    return tuple(
        Saying(
            peer=name_of(peer),
            send=entry.send,
            kind=_kind(peer, entry.send),
            shape=peer.send[entry.send],
            conditions=tuple(_hook_conditions(entry)),
            after=entry.after,
            why=entry.why,
            see=entry.see,
            declared=_declared(tables, peer, "hooks", hook, index) if tables else None,
        )
        for index, entry in enumerate(peer.hooks.get(hook, ()))
    )


def name_of(peer: Peer) -> str:
    """The name of a provider or transport."""
    return peer.provider if isinstance(peer, Provider) else peer.transport


def render_text(explanation: Explanation, width: int = 100) -> str:
    """The explanation for a terminal: plain text, sentences wrapped to `width`, one message shape per line."""
    e = explanation
    out = [f"{e.peer}  {e.machine}  {e.state}  {e.event}", ""]
    out += _wrapped(f"  state  {e.state}: ", e.state_is, width)
    out += _wrapped(f"  event  {e.event}: ", e.event_is, width)
    for case in e.cases:
        out += ["", *_case(case, e.state, width)]
    return "\n".join(out) + "\n"


def _case(case: Case, state: str, width: int) -> Iterator[str]:
    if case.conditions:
        yield f"when {' and '.join(map(str, case.conditions))}"
        for condition in case.conditions:
            yield from _wrapped(f"  ({condition.guard}: ", f"{condition.is_})", width)
    if case.go is None:
        yield f"  → stays {state}"
    else:
        yield from _wrapped(f"  → {case.go}: ", case.go_is or "", width)
    if not case.acts:
        yield "  does nothing"
    for act in case.acts:
        yield from _wrapped(f"  {act.action} (by the {act.by}): ", act.is_, width, hang=6)
        if act.note:
            yield from _wrapped("      ", act.note, width)
        for saying in act.says:
            yield from _saying(saying, width)
    if case.why:
        yield from _wrapped("  why   ", case.why, width)
    if case.see:
        yield f"  see   {case.see}"
    yield f"  at    {case.declared}"


def _saying(saying: Saying, width: int) -> Iterator[str]:
    shape = json.dumps(saying.shape, ensure_ascii=False, separators=(", ", ": "))
    yield f"      {saying.peer} ← {shape}"
    for condition in saying.conditions:
        word = "if" if condition.must else "unless"
        yield from _wrapped(f"        {word} {condition.guard}: ", condition.is_, width)
    if saying.after:
        yield f"        after {saying.after}: {_AFTER[saying.after]}"
    if saying.why:
        yield from _wrapped("        why   ", saying.why, width)
    if saying.see:
        yield f"        see   {saying.see}"
    if saying.declared:
        yield f"        at    {saying.declared}"


def _wrapped(head: str, sentence: str, width: int, hang: int | None = None) -> list[str]:
    """The head and the sentence, continued below where the sentence began, or at `hang`."""
    indent = " " * (min(len(head), width // 3) if hang is None else hang)
    text = " ".join(sentence.split())
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _act(tables: Tables, machine: Machine, action: str, peers: Iterable[Peer]) -> Act:
    intent = machine.actions[action]
    if intent.by == "session":
        return Act(action, intent.is_, intent.by)
    said_by = Provider if intent.by == "provider" else Transport
    asked = [peer for peer in peers if isinstance(peer, said_by)]
    hook = f"{machine.machine}.{action}"
    says = tuple(saying for peer in asked for saying in sayings(peer, hook, tables))
    return Act(action, intent.is_, intent.by, says, _note(action, intent, asked, hook))


def _note(action: str, intent: Intent, asked: Sequence[Peer], hook: str) -> str | None:
    if not asked:
        return f"Each {intent.by} says it in its own words; name one to see them."
    silent = [peer for peer in asked if not peer.hooks.get(hook)]
    sentences = []
    for peer in silent:
        can = peer.can.get(_CAPABILITY.get(action, action))
        reason = f" {can.why}" if can and can.why else ""
        sentences.append(f"{name_of(peer)} has no message for it; nothing is said.{reason}")
    return " ".join(sentences) or None


def _hook_conditions(hook: Hook) -> Iterator[Condition]:
    if hook.if_ is not None:
        yield Condition(hook.if_, HOOK_GUARDS[hook.if_])
    if hook.unless is not None:
        yield Condition(hook.unless, HOOK_GUARDS[hook.unless], must=False)


def _kind(peer: Peer, send: str) -> str:
    """What the peer calls the message; a format without a tag field has only the table's name for it."""
    return peer.kind_of(peer.send[send]) or send


def _declared(tables: Tables, table: Machine | Peer, *keys: str | int) -> Declared:
    file, line, col = tables.where(table, *keys)
    return Declared(shown(str(file)), line, col)


def _known(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownName(kind, name, known)
    return known[name]
