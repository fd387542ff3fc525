"""One step of a machine, by two engines with one meaning.

`Machine` is the table as a literal, as the generated adapters hold it. `TableEngine` looks the row up:
no reflection, nothing allocated. `TransitionsEngine` builds a `transitions.Machine` from the same table: the
readable reference that can be inspected and stepped, and the oracle of the tests.

A subject is anything with a `state` attribute and one boolean attribute per guard of its machine.
"""

from typing import Any, NamedTuple, Protocol

from msgspec import Struct
from transitions import Machine as ReferenceMachine

from .errors import UsageError


class Row(NamedTuple):
    """One decision: where to go (None: stay), what to do, and the guard under which it holds."""

    go: str | None = None
    do: tuple[str, ...] = ()
    guard: str | None = None


Cells = dict[str, dict[str, tuple[Row, ...]]]
"""State → event → its rows, the unguarded one last."""


class Machine(Struct, frozen=True):
    """A table ready to run. `cells` is total: every state decides every event."""

    name: str
    start: str
    cells: Cells


class Subject(Protocol):
    """What a machine moves: a response or an item."""

    state: str


class Engine(Protocol):
    """Fires events at subjects."""

    name: str

    def fire(self, machine: Machine, subject: Subject, event: str) -> tuple[str, ...]:
        """Move `subject` and return the actions of its row, in order.

        Raises `KeyError` for a state or event the machine does not have: the tables are total, so that is a bug.
        """
        ...


class TableEngine:
    """The default: one look-up in the generated table."""

    name = "table"

    def fire(self, machine: Machine, subject: Subject, event: str) -> tuple[str, ...]:
        """See `Engine.fire`."""
        for go, do, guard in machine.cells[subject.state][event]:
            if guard is None or getattr(subject, guard):
                if go is not None:
                    subject.state = go
                return do
        raise KeyError((machine.name, subject.state, event))


class TransitionsEngine:
    """The same tables run by the `transitions` package, one shared machine per table.

    About forty times slower than `TableEngine`; choose it to inspect (`reference(machine)`), not to serve.
    """

    name = "transitions"

    def __init__(self) -> None:
        self._built: dict[str, tuple[Machine, ReferenceMachine]] = {}

    def reference(self, machine: Machine) -> ReferenceMachine:
        """The `transitions.Machine` of a table; it holds no models, so it may be shared."""
        built = self._built.get(machine.name)
        if built is None or built[0] is not machine:
            built = self._built[machine.name] = (machine, _build(machine))
        return built[1]

    def fire(self, machine: Machine, subject: Subject, event: str) -> tuple[str, ...]:
        """See `Engine.fire`."""
        if event not in machine.cells[subject.state]:
            raise KeyError((machine.name, subject.state, event))
        done: list[str] = []
        if not self.reference(machine).events[event].trigger(subject, done):
            raise KeyError((machine.name, subject.state, event))
        return tuple(done)


def _build(machine: Machine) -> ReferenceMachine:
    reference = ReferenceMachine(
        model=None,
        states=list(machine.cells),
        initial=machine.start,
        auto_transitions=False,
        send_event=True,
    )
    for state, events in machine.cells.items():
        for event, rows in events.items():
            for row in rows:
                reference.add_transition(
                    event, state, row.go, conditions=_guard(row.guard), before=_doer(row.do)
                )
    return reference


def _guard(name: str | None) -> list[Any]:
    return [] if name is None else [lambda data: getattr(data.model, name)]


def _doer(do: tuple[str, ...]) -> Any:  # noqa: ANN401  transitions takes any callable
    return lambda data: data.args[0].extend(do)


def engine(name: str) -> Engine:
    """The engine of that name: `table` (default everywhere) or `transitions`.

    :raises UsageError: if there is no such engine.
    """
    if name == "table":
        return TableEngine()
    if name == "transitions":
        return TransitionsEngine()
    raise UsageError(f"unknown engine {name!r}; expected table or transitions")
