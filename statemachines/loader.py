"""Table files → tables. Loading finds everything that is wrong with the files and their shape, all at once.

What the tables mean together is for `checks.check`.
"""

from pathlib import Path
from typing import TypeVar

from .diagnostics import Diagnostic, Place
from .model import Machine, Provider, Transport
from .reader import Reader
from .tables import FOLDERS, ROOM, Kind, Tables, yaml_files

__all__ = [
    "ROOM",
    "Tables",
    "load_all",
    "load_machine",
    "load_provider",
    "load_transport",
    "table_files",
]

T = TypeVar("T", Machine, Provider, Transport)


def load_machine(path: str | Path) -> Machine:
    """One machine. Raises TableError with everything that is wrong with the file."""
    return _load_one(path, "machine", Machine)


def load_provider(path: str | Path) -> Provider:
    """One provider, with what it extends. Raises TableError with everything that is wrong."""
    return _load_one(path, "provider", Provider)


def load_transport(path: str | Path) -> Transport:
    """One transport, with what it extends. Raises TableError with everything that is wrong."""
    return _load_one(path, "transport", Transport)


def load_all(root: Path | None = None) -> Tables:
    """All tables below `root` (by default those that bargein ships). Raises TableError."""
    reader = Reader()
    tables = reader.tables(table_files(ROOM if root is None else root, reader.found))
    reader.raise_errors()
    return tables


def table_files(root: Path, found: list[Diagnostic]) -> list[tuple[Path, Kind | None]]:
    """The table files below a folder, in order. The kind is None where only the file can say it."""
    files: list[tuple[Path, Kind | None]] = [(path, None) for path in yaml_files(root)]
    for kind in ("provider", "transport"):
        files += [(path, kind) for path in yaml_files(root / FOLDERS[kind])]
    if not files:
        message = "no tables here: no *.yaml, providers/*.yaml or transports/*.yaml"
        found.append(Diagnostic.at(Place(str(root)), "E001", message))
    return files


def _load_one(path: str | Path, kind: Kind, table: type[T]) -> T:
    reader = Reader()
    loaded = reader.tables([(Path(path), kind)])
    reader.raise_errors()
    (only,) = loaded
    assert isinstance(only, table)
    return only
