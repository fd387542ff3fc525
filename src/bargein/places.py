"""Where a table says what happened: rows of the machines, and of the provider's and the carrier's messages."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from bargein.diagrams.sequence import Row
from bargein.runtime import events as ev
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.simulator.untimed import RowId
from bargein.statemachines.explain import cell_of
from bargein.statemachines.model import Hook, Machine, Provider, Table, Transport
from bargein.statemachines.model import Row as Decision
from bargein.statemachines.tables import ROOM, Tables

Side = Literal["provider", "transport"]

_NOTHING: Final = "nothing"


class Places:
    """The rows of one provider's and one carrier's tables, each with its `file:line` and its words.

    A file is named as a reader in the current directory would, and by its last folders where it lies elsewhere:
    what is printed is the same on every machine.
    """

    def __init__(
        self,
        tables: Tables,
        folder: Path,
        provider: ProviderAdapter,
        transport: TransportAdapter,
    ) -> None:
        self.tables = tables
        self._bases = (folder.resolve(), ROOM)
        self._adapters: dict[Side, ProviderAdapter | TransportAdapter] = {
            "provider": provider,
            "transport": transport,
        }
        self._peers: dict[Side, Provider | Transport] = {
            "provider": tables.providers[provider.name],
            "transport": tables.transports[transport.name],
        }

    def place(self, table: Table, *keys: str | int) -> str:
        """`file:line` of a key."""
        where = self.tables.where(table, *keys)
        return f"{self.named(Path(where.file))}:{where.line}"

    def named(self, path: Path) -> str:
        """A file as it is printed."""
        path, here = path.resolve(), Path.cwd()
        if path.is_relative_to(here) and here != Path(here.anchor):
            return path.relative_to(here).as_posix()
        for base in self._bases:
            if path.is_relative_to(base):
                return path.relative_to(base.parent).as_posix()
        return path.name

    # -- machines ---------------------------------------------------------------------------------------

    def rule(self, row: RowId) -> Row:
        """A row of a machine: `response: streaming, interrupt -> cancelled; clear, cancel, cut`."""
        machine, state, event, at = row
        decision = self._decision(row)
        head = f"{machine}: {state}, {event}" + (f" if {decision.if_}" if decision.if_ else "")
        go = f" -> {decision.go}" if decision.go else ""
        do = ", ".join(decision.do or ()) or ("" if decision.go else _NOTHING)
        table = self.tables.machines[machine]
        place = self.place(table, "states", state, "when", event, at)
        return Row(place, f"{head}{go}" + (f"; {do}" if do else ""))

    def does_nothing(self, row: RowId) -> bool:
        """The table says that there is nothing to be done."""
        decision = self._decision(row)
        return not decision.do and decision.go is None

    def _decision(self, row: RowId) -> Decision:
        machine, state, event, at = row
        _, cell = cell_of(self.tables.machines[machine].states[state], event)
        return cell if isinstance(cell, Decision) else cell[at]

    # -- messages ---------------------------------------------------------------------------------------

    def kind(self, side: Side, message: str | bytes) -> str:
        """What the other side calls a message."""
        return self._adapters[side].kind(message) or "a message"

    def received(self, side: Side, message: str | bytes) -> tuple[Row, ...]:
        """The rows by which a message of the other side is read."""
        peer, kind = self._peers[side], self.kind(side, message)
        becomes = dict(peer.received()).get(kind)
        if becomes is None:
            return ()
        events = " and ".join(dict.fromkeys(str(fields["event"]) for fields in becomes))
        read = Row(self.place(peer, "receive", kind), f"read as {events}")
        return (read, *self._meanings(side, message))

    def sent(self, side: Side, message: str | bytes) -> tuple[Row, ...]:
        """The rows by which a message of ours is said: the hooks that send it, and its shape."""
        peer, kind = self._peers[side], self.kind(side, message)
        names = [name for name, shape in peer.send.items() if peer.kind_of(shape) == kind]
        return tuple([row for name in names[:1] for row in self._said(peer, name)])

    def _said(self, peer: Provider | Transport, name: str) -> Iterator[Row]:
        for hook, entries in peer.hooks.items():
            for at, entry in enumerate(entries):
                if entry.send == name:
                    yield Row(self.place(peer, "hooks", hook, at), f"{hook} {_hook(entry)}")
        yield Row(self.place(peer, "send", name), f"send {name}")

    def _meanings(self, side: Side, message: str | bytes) -> Iterator[Row]:
        peer, adapter = self._peers[side], self._adapters[side]
        if not isinstance(peer, Provider):
            return
        for event in adapter.decode(message):
            if not isinstance(event, ev.Error):
                continue
            for code, meaning in peer.errors.items():
                says = meaning.says is not None and meaning.says in (event.message or "")
                if (code == event.code or says) and meaning.param in (None, event.param):
                    yield Row(self.place(peer, "errors", code), f"{code} means {meaning.means}")
                    return


def rows(machines: Iterable[Machine]) -> list[RowId]:
    """Every row of these machines."""
    return [
        (machine.machine, state, event, at)
        for machine in machines
        for state, event, cell in machine.cells()
        for at in range(len(cell))
    ]


def _hook(entry: Hook) -> str:
    guard = f" if {entry.if_}" if entry.if_ else f" unless {entry.unless}" if entry.unless else ""
    return f"sends {entry.send}{guard}" + (f", after {entry.after}" if entry.after else "")
