"""Generated table, `transitions` and the YAML itself mean the same, in every cell under every guard."""

from collections.abc import Iterator
from itertools import product

import pytest

from bargein import adapters
from bargein.runtime.errors import UsageError
from bargein.runtime.machine import Engine, Machine, TableEngine, TransitionsEngine, engine
from bargein.statemachines import model
from bargein.statemachines.loader import load_all

TABLES = load_all()
MACHINES = ("response", "playback")


class Subject:
    """A response or an item as an engine sees it: a state, and an attribute per guard."""

    def __init__(self, state: str, guards: dict[str, bool]) -> None:
        self.state = state
        self.__dict__.update(guards)


def generated(provider: str, name: str) -> Machine:
    """The machine as the provider's generated adapter carries it."""
    adapter = adapters.provider(provider)
    return adapter.response if name == "response" else adapter.playback


def every_case() -> Iterator[tuple[str, str, str, dict[str, bool]]]:
    """(machine, state, event, guard values): all there are, by the tables' own declarations."""
    for name in MACHINES:
        table = TABLES.machines[name]
        for values in product((False, True), repeat=len(table.guards)):
            for state, event in product(table.states, table.events):
                yield name, state, event, dict(zip(table.guards, values, strict=True))


def as_written(
    table: model.Machine, state: str, event: str, guards: dict[str, bool]
) -> tuple[str, tuple[str, ...]]:
    """What the YAML says, read as a person reads it: the first row whose `if` holds."""
    rows = dict(table.states[state].rows())[event]
    row = next(row for row in rows if row.if_ is None or guards[row.if_])
    return row.go or state, row.do or ()


def fired(
    engine: Engine, machine: Machine, state: str, event: str, guards: dict[str, bool]
) -> tuple[str, tuple[str, ...]]:
    subject = Subject(state, guards)
    done = engine.fire(machine, subject, event)
    return subject.state, done


@pytest.mark.parametrize("provider", adapters.PROVIDERS)
@pytest.mark.parametrize("an_engine", [TableEngine(), TransitionsEngine()], ids=lambda e: e.name)
def test_every_cell_of_every_adapter_does_what_its_table_says(
    provider: str, an_engine: Engine
) -> None:
    """Both engines, all states, all events, all values of the guards: nothing is sampled."""
    cases = list(every_case())
    differences = [
        (name, state, event, guards, got, written)
        for name, state, event, guards in cases
        if (got := fired(an_engine, generated(provider, name), state, event, guards))
        != (written := as_written(TABLES.machines[name], state, event, guards))
    ]
    assert differences == []
    assert len(cases) == sum(
        len(t.states) * len(t.events) * 2 ** len(t.guards)
        for t in (TABLES.machines[name] for name in MACHINES)
    )


@pytest.mark.parametrize("provider", adapters.PROVIDERS)
@pytest.mark.parametrize("name", MACHINES)
def test_the_generated_machine_has_the_states_and_events_of_its_table(
    provider: str, name: str
) -> None:
    """No cell more either: a row that only the adapter has would never be looked at above."""
    machine, table = generated(provider, name), TABLES.machines[name]
    assert (machine.name, machine.start) == (table.machine, table.start)
    assert list(machine.cells) == list(table.states)
    assert all(set(row) == set(table.events) for row in machine.cells.values())


@pytest.mark.parametrize("an_engine", [TableEngine(), TransitionsEngine()], ids=lambda e: e.name)
@pytest.mark.parametrize(("state", "event"), [("nowhere", "created"), ("requested", "nothing")])
def test_a_state_or_event_that_is_not_in_the_table_is_a_bug_and_says_so(
    an_engine: Engine, state: str, event: str
) -> None:
    """The tables are total, so a miss cannot be the other side's doing."""
    machine = generated("openai", "response")
    with pytest.raises(KeyError):
        an_engine.fire(machine, Subject(state, {"unborn": False}), event)


def test_engines_go_by_name() -> None:
    assert [engine(name).name for name in ("table", "transitions")] == ["table", "transitions"]
    with pytest.raises(UsageError, match="expected table or transitions"):
        engine("petri")
