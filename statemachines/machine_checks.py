"""What a machine must be: every cell decided, every name known, every state reachable, nothing idle."""

from collections.abc import Collection
from typing import Final

from .convert import Keys
from .diagnostics import Diagnostic, closest, did_you_mean, listed
from .findings import Findings
from .model import Machine, Row
from .tables import Tables
from .vocabulary import HOOK_VARIABLES

PRESCRIBED: Final[dict[str, tuple[str, ...]]] = {
    "response": ("requested", "created", "streaming", "done", "cancelled", "timed_out"),
    "playback": ("queued", "playing", "full", "partial", "skipped"),
}
"""The shared machines and their states: the words that the runtime and the reports use."""


def check_machine(tables: Tables, machine: Machine) -> list[Diagnostic]:
    """Everything that is wrong with what the machine says."""
    found: list[Diagnostic] = []
    _MachineCheck(machine, Findings(tables, machine, found)).run()
    return found


class _MachineCheck:
    def __init__(self, machine: Machine, find: Findings) -> None:
        self._machine = machine
        self._find = find

    def run(self) -> None:
        machine = self._machine
        self._known("E020", "state", machine.start, machine.states, "states", ("start",))
        self._prescribed_states()
        for name, state in machine.states.items():
            self._decisions(name)
            for key, value in state.when.items():
                self._cell(value, ("states", name, "when", key))
        self._reachable()
        self._unused()
        self._spoken()

    def _known(
        self, code: str, what: str, name: str, known: Collection[str], section: str, keys: Keys
    ) -> None:
        if name not in known and not self._find.unsure(section, name):
            self._find.value(code, f"unknown {what} '{name}'{did_you_mean(name, known)}", *keys)

    def _prescribed_states(self) -> None:
        machine = self._machine
        if (wanted := PRESCRIBED.get(machine.machine)) is None:
            return
        absent = [state for state in wanted if state not in machine.states]
        hint = f"the states of '{machine.machine}' are {listed(wanted)}"
        for state in machine.states:
            if state not in wanted:
                message = f"'{machine.machine}' has no state '{state}'{did_you_mean(state, absent)}"
                self._find.key("E026", message, "states", state, hint=hint)
                if (near := closest(state, absent)) is not None:
                    absent.remove(near)
        if absent:
            message = f"'{machine.machine}' must have the state {listed(absent)}"
            self._find.missing("E026", message, "states", hint=hint)

    def _decisions(self, name: str) -> None:
        """Every event decided, and once."""
        events = self._machine.events
        decided: dict[str, str] = {}
        unknown = []
        for key in self._machine.states[name].when:
            keys = ("states", name, "when", key)
            for event in map(str.strip, key.split(",")):
                if event in decided:
                    line = self._find.line("states", name, "when", decided[event])
                    message = f"'{name}' decides '{event}' twice; the first is in line {line}"
                    self._find.key("E024", message, *keys)
                elif event not in events and not self._find.unsure("events", event):
                    unknown.append(event)
                    message = f"unknown event '{event}'{did_you_mean(event, events)}"
                    self._find.key("E012", message, *keys)
                decided.setdefault(event, key)
        absent = [event for event in events if event not in decided]
        absent = [e for e in absent if e not in {closest(event, absent) for event in unknown}]
        if absent:
            hint = f"decide each, if only with `{absent[0]}: {{do: [], why: …}}`"
            message = f"'{name}' does not decide {listed(absent)}"
            if not self._find.doubtful("states", name, "when"):
                self._find.key("E023", message, "states", name, hint=hint)

    def _cell(self, value: Row | tuple[Row, ...], keys: Keys) -> None:
        single = isinstance(value, Row)
        rows = (value,) if isinstance(value, Row) else value
        guards: set[str] = set()
        default = None
        for i, row in enumerate(rows):
            at = keys if single else (*keys, i)
            if default is not None:
                message = f"never reached: row {default + 1} of this cell has no guard"
                self._find.key("E031", message, *at)
            elif row.if_ is None and not self._find.unsure(*at, "if"):
                default = i
            if row.if_ is not None and row.if_ in guards:
                self._find.value("E032", f"'{row.if_}' is asked before in this cell", *at, "if")
            elif row.if_ is not None:
                guards.add(row.if_)
            self._row(row, at)
        if default is None:
            last = keys if single or not rows else (*keys, len(rows) - 1)
            message = "no row without a guard: what happens otherwise?"
            self._find.missing("E030", message, *last, hint="end the cell with a row without `if`")

    def _row(self, row: Row, keys: Keys) -> None:
        machine = self._machine
        if row.go is not None:
            self._known("E020", "state", row.go, machine.states, "states", (*keys, "go"))
        if row.if_ is not None:
            self._known("E022", "guard", row.if_, machine.guards, "guards", (*keys, "if"))
        for i, action in enumerate(row.do or ()):
            self._known("E021", "action", action, machine.actions, "actions", (*keys, "do", i))
        if row.go is None and row.do is None:
            hint = "to do nothing is a decision: `do: []` and `why`"
            self._find.missing("E029", "the row says neither `go` nor `do`", *keys, hint=hint)
        elif row.do == () and row.why is None:
            message = "nothing is done here, and no `why` says why"
            if not self._find.unsure(*keys, "why"):
                self._find.value("E028", message, *keys, "do")

    def _reachable(self) -> None:
        states = self._machine.states
        reached: set[str] = set()
        ahead = [self._machine.start]
        while ahead:
            if (name := ahead.pop()) in states and name not in reached:
                reached.add(name)
                rows = (row for _, rows in states[name].rows() for row in rows)
                ahead += [row.go for row in rows if row.go is not None]
        if self._find.doubtful("states") or self._machine.start not in states:
            return
        for name in states:
            if name not in reached:
                self._find.key("E025", f"no way leads from the start to '{name}'", "states", name)

    def _unused(self) -> None:
        machine = self._machine
        rows = [row for _, _, rows in machine.cells() for row in rows]
        uses = (
            ("E033", "events", machine.events, {event for _, event, _ in machine.cells()}),
            ("E034", "actions", machine.actions, {act for row in rows for act in row.do or ()}),
            ("E035", "guards", machine.guards, {row.if_ for row in rows}),
        )
        if self._find.doubtful("states"):
            return
        for code, section, declared, used in uses:
            for name in declared:
                if name not in used:
                    message = f"{section[:-1]} '{name}' is declared and never used"
                    self._find.key(code, message, section, name)

    def _spoken(self) -> None:
        """What a peer is to say, the vocabulary must know; else no table could say it."""
        machine = self._machine
        for name, intent in machine.actions.items():
            hook = f"{machine.machine}.{name}"
            if intent.by != "session" and hook not in HOOK_VARIABLES:
                message = f"no hook '{hook}' in the vocabulary{did_you_mean(hook, HOOK_VARIABLES)}"
                self._find.key("E036", message, "actions", name)
