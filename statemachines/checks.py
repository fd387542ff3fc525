"""`bargein check`: what tables mean together. Everything is reported at once, and nothing twice.

An error that follows from another is not reported: what could not be read is not called missing, and a word
that is misspelled in one place is not called unused in another.
"""

from collections.abc import Iterable
from pathlib import Path

from .diagnostics import Diagnostic, Place, tidy
from .loader import table_files
from .machine_checks import PRESCRIBED, check_machine
from .model import Machine
from .peer_checks import check_peer
from .reader import Reader
from .tables import ROOM, Kind, Tables

__all__ = ["PRESCRIBED", "check", "check_paths"]


def check(tables: Tables) -> list[Diagnostic]:
    """Everything that is wrong with what the tables mean, sorted by place."""
    found = _missing_machines(tables)
    for table in tables:
        found += (
            check_machine(tables, table)
            if isinstance(table, Machine)
            else check_peer(tables, table)
        )
    return tidy(found)


def check_paths(paths: Iterable[Path] | None = None) -> list[Diagnostic]:
    """Load and check table files and folders of them; by default all tables that bargein ships.

    A folder that holds machines stands for itself. Other tables are checked together with the shipped ones,
    which they replace where they have the same name; so findings can be about those too. Whatever a user
    gets wrong becomes a diagnostic, never an exception.
    """
    reader = Reader()
    given: dict[Path, tuple[Path, Kind | None]] = {}
    in_folder = False
    for path in [ROOM] if paths is None else paths:
        in_folder = in_folder or path.is_dir()
        files = table_files(path, reader.found) if path.is_dir() else [(path, None)]
        for file, kind in files:
            given.setdefault(file.absolute(), (file, kind))
    tables = reader.tables(given.values())
    if not (in_folder and tables.machines):
        tables = tables.over(Reader().tables(table_files(ROOM, [])))
    return tidy([*reader.found, *check(tables)])


def _missing_machines(tables: Tables) -> list[Diagnostic]:
    folder = ROOM
    if (first := next(iter(tables), None)) is not None:
        folder = tables.files(first)[0].parent
        folder = folder if isinstance(first, Machine) else folder.parent
    return [
        Diagnostic.at(
            Place(str(folder / f"{name}.yaml")), "E027", f"the machine '{name}' is missing"
        )
        for name in PRESCRIBED
        if name not in tables.machines and not (folder / f"{name}.yaml").exists()
    ]
