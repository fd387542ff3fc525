"""The loaded tables, and where everything in them stands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from .convert import Damage
from .diagnostics import Place
from .model import Machine, Provider, Table, Transport
from .nodes import Entry, Mapping, Node, Sequence

Kind = Literal["machine", "provider", "transport"]

ROOM: Final = Path(__file__).resolve().parent
"""The folder of the shipped tables."""

KINDS: Final[dict[Kind, type[Machine] | type[Provider] | type[Transport]]] = {
    "machine": Machine,
    "provider": Provider,
    "transport": Transport,
}
FOLDERS: Final[dict[Kind, str]] = {
    "machine": "",
    "provider": "providers",
    "transport": "transports",
}


@dataclass(frozen=True)
class Source:
    """Where a table came from: its nodes after `extends`, and its files, its own first."""

    root: Mapping
    files: tuple[Path, ...]
    damage: Damage


@dataclass(frozen=True)
class Tables:
    """All tables by name, and where everything in them stands."""

    machines: dict[str, Machine] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    transports: dict[str, Transport] = field(default_factory=dict)
    sources: dict[tuple[Kind, str], Source] = field(default_factory=dict, repr=False)

    def __iter__(self) -> Iterator[Table]:
        yield from self.machines.values()
        yield from self.providers.values()
        yield from self.transports.values()

    def over(self, others: "Tables") -> "Tables":
        """These tables, and of the others those that have another name."""
        return Tables(
            others.machines | self.machines,
            others.providers | self.providers,
            others.transports | self.transports,
            others.sources | self.sources,
        )

    def where(self, table: Table, *keys: str | int) -> Place:
        """Where the key or list item at `keys` stands, in the file that says it.

        `where(response, "states", "requested", "when", "created")`; of a key that names several events each
        one is found. What is not there is said to stand where the nearest thing around it does.
        """
        return self._walk(table, keys)[0]

    def where_value(self, table: Table, *keys: str | int) -> Place:
        """The same for the value: where its text begins."""
        return self._walk(table, keys)[1].place

    def files(self, table: Table) -> tuple[Path, ...]:
        """The files that a table is made of: its own, then those it extends."""
        return self.source(table).files

    def source(self, table: Table) -> Source:
        """Where the table came from."""
        return self.sources[kind_and_name(table)]

    def _walk(self, table: Table, keys: Iterable[str | int]) -> tuple[Place, Node]:
        node: Node = self.source(table).root
        place = next((e.place for e in self.source(table).root.entries.values()), node.place)
        for key in keys:
            if isinstance(node, Mapping) and (entry := _find(node, str(key))) is not None:
                place, node = entry.place, entry.node
            elif isinstance(node, Sequence) and isinstance(key, int) and key < len(node.items):
                node = node.items[key]
                place = node.place
            elif key == 0 and isinstance(node, Mapping):
                continue  # a single row is the first of its cell
            else:
                break
        return place, node


def kind_and_name(table: Table) -> tuple[Kind, str]:
    """What a table is and what it is called: the key of `Tables.sources`."""
    match table:
        case Machine():
            return "machine", table.machine
        case Provider():
            return "provider", table.provider
        case Transport():
            return "transport", table.transport


def _find(node: Mapping, key: str) -> Entry | None:
    """The entry of a key, or of the key that names several events and this among them."""
    if key in node.entries:
        return node.entries[key]
    return next(
        (e for k, e in node.entries.items() if "," in k and key in map(str.strip, k.split(","))),
        None,
    )


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files of a folder, by name; none if there is no such folder."""
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())
    except OSError:
        return []
