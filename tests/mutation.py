"""Mechanical mutants: every small way in which a loaded adapter could be another one.

    for variant in variants(adapters.provider("openai"), adapters.transport("twilio")):
        Session(variant.provider, variant.transport)

They are made of the machines and hooks as loaded, not of the YAML, so none is ever refused. Nothing is random: the
same adapters give the same variants in the same order. Some mean the same as the original, e.g. two actions swapped
that the session does phase by phase anyway; whoever runs them says so of each that survives.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, cast

from msgspec.structs import replace

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter, Wire
from bargein.runtime.machine import Machine, Row

Rows = tuple[Row, ...]
Kind = Literal["drop", "swap", "idle", "retarget", "add", "guard", "silent", "after", "error"]

KINDS: Final[dict[Kind, str]] = {
    "drop": "one action of a row is left out",
    "swap": "two neighbouring actions of a row change places",
    "idle": "a row does nothing and stays",
    "retarget": "a row goes to another state, or stays",
    "add": "a row that says nothing goes somewhere",
    "guard": "a guard is forgotten, its row is, or the rows change places under it",
    "silent": "a hook says nothing",
    "after": "what should wait for the last word does not",
    "error": "an error code means nothing",
}

_PROVIDER_HOOKS: Final = {
    "session.configure": "configure",
    "session.listen": "listen",
    "session.request": "request",
    "response.cancel": "cancel",
    "playback.truncate": "truncate",
    "playback.forget": "forget",
}
_TRANSPORT_HOOKS: Final = {
    "session.play": "play",
    "session.mark": "mark",
    "response.clear": "clear",
}


class Variant(NamedTuple):
    """One mutant. `name` is stable: `response.streaming.interrupt: drop cancel`.

    `file` and `keys` are the place of the changed row or entry, as `statemachines.tables.Tables.where` takes it.
    """

    name: str
    kind: Kind
    file: str
    keys: tuple[str | int, ...]
    provider: ProviderAdapter
    transport: TransportAdapter


def variants(provider: ProviderAdapter, transport: TransportAdapter) -> Iterator[Variant]:
    """Every mechanical mutant of the two: of the machines, then of the hooks, then of the rest."""
    for field, machine in (("response", provider.response), ("playback", provider.playback)):
        for change in _of_machine(machine):
            cells = machine.cells | {
                change.state: machine.cells[change.state] | {change.event: change.rows}
            }
            keys = ("states", change.state, "when", change.event, change.row)
            yield Variant(
                f"{machine.name}.{change.what}",
                change.kind,
                f"{machine.name}.yaml",
                keys,
                replace(provider, **{field: replace(machine, cells=cells)}),
                transport,
            )
    yield from _of_peers(provider, transport)


class _Change(NamedTuple):
    """A cell (`state`, `event`) with other rows; `row` is the one that was changed."""

    kind: Kind
    what: str
    state: str
    event: str
    row: int
    rows: Rows


def _of_machine(machine: Machine) -> Iterator[_Change]:
    """Every changed cell of a machine, each once: two ways to the same cell are one mutant, the first."""
    for state, events in machine.cells.items():
        for event, rows in events.items():
            seen = {rows}
            for kind, at, how, changed in _of_cell(machine, state, rows):
                if changed not in seen:
                    seen.add(changed)
                    guard = f"[{rows[at].guard or 'otherwise'}]" if len(rows) > 1 else ""
                    what = f"{state}.{event}{guard}: {how}"
                    yield _Change(kind, what, state, event, at, changed)


def _of_cell(machine: Machine, state: str, rows: Rows) -> Iterator[tuple[Kind, int, str, Rows]]:
    for at, row in enumerate(rows):
        for kind, how, changed in _of_row(machine, state, row):
            yield kind, at, how, (*rows[:at], changed, *rows[at + 1 :])
        if row.guard is not None:
            yield "guard", at, "forget the guard", (*rows[:at], row._replace(guard=None))
            yield "guard", at, "forget the row", (*rows[:at], *rows[at + 1 :])
            after = rows[at + 1]
            swapped = (after._replace(guard=row.guard), row._replace(guard=after.guard))
            yield "guard", at, "swap the rows", (*rows[:at], *swapped, *rows[at + 2 :])


def _of_row(machine: Machine, state: str, row: Row) -> Iterator[tuple[Kind, str, Row]]:
    go, do = row.go, row.do
    for at, action in enumerate(do):
        yield "drop", f"drop {action}", row._replace(do=(*do[:at], *do[at + 1 :]))
    for at in range(len(do) - 1):
        swapped = (*do[:at], do[at + 1], do[at], *do[at + 2 :])
        yield "swap", f"swap {do[at]} and {do[at + 1]}", row._replace(do=swapped)
    yield "idle", "do nothing", Row(guard=row.guard)
    if go not in (None, state):
        yield "retarget", "stay", row._replace(go=None)
    kind: Kind = "retarget" if go is not None or do else "add"
    for other in machine.cells:
        if other not in (go, state):  # To go where one is, is to stay.
            yield kind, f"go {other}", row._replace(go=other)


def _of_peers(provider: ProviderAdapter, transport: TransportAdapter) -> Iterator[Variant]:
    speaks, plays = f"providers/{provider.name}.yaml", f"transports/{transport.name}.yaml"
    for hook, field in _PROVIDER_HOOKS.items():
        silent: dict[str, Any] = {field: _says_nothing}
        name = f"{provider.name}.{hook}: say nothing"
        changed = replace(provider, **silent)
        yield Variant(name, "silent", speaks, ("hooks", hook), changed, transport)
    for hook, field in _TRANSPORT_HOOKS.items():
        silent = {field: _says_nothing}
        name = f"{transport.name}.{hook}: say nothing"
        quiet = replace(transport, **silent)
        yield Variant(name, "silent", plays, ("hooks", hook), provider, quiet)
    for action in sorted(provider.after_finished):
        name = f"{provider.name}.playback.{action}: do not wait for the last word"
        changed = replace(provider, after_finished=provider.after_finished - {action})
        keys = ("hooks", f"playback.{action}")
        yield Variant(name, "after", speaks, keys, changed, transport)
    for code in provider.errors:
        rest = {other: rule for other, rule in provider.errors.items() if other != code}
        name = f"{provider.name}.errors.{code}: forget"
        changed = replace(provider, errors=rest)
        yield Variant(name, "error", speaks, ("errors", code), changed, transport)


def _says_nothing(*_: object) -> Wire:
    return cast(Wire, ())
