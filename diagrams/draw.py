"""Tables → drawings, on disk: `bargein diagram` writes them, `bargein diagram --check` holds them to the tables."""

import difflib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bargein.statemachines.checks import check as check_tables
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.explain import Peer, UnknownName, name_of
from bargein.statemachines.loader import Tables, load_all
from bargein.statemachines.model import Provider, Table

from .pages import MARK, Link, machine_page, peer_page


class Change(Struct, frozen=True):
    """A drawing that is not what the tables say. `diff` goes from the file on disk to what it should hold."""

    path: Path
    what: Literal["missing", "stale", "superfluous"]
    diff: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def draw(tables: Tables, folder: Path | None = None) -> dict[str, str]:
    """File name → text of every drawing of these tables: one for each machine, provider and transport.

    `folder` is where they will lie; links to the tables are relative to it.
    """
    link = _linker(tables, folder)
    machines = tables.machines.values()
    pages = {f"{m.machine}.md": machine_page(m, link) for m in machines}
    peers: list[Peer] = [*tables.providers.values(), *tables.transports.values()]
    for peer in peers:
        # A provider and a transport may share a name; so may either with a machine.
        kind = "provider" if isinstance(peer, Provider) else "transport"
        name = name_of(peer)
        file = f"{name}.md" if f"{name}.md" not in pages else f"{name}.{kind}.md"
        pages[file] = peer_page(peer, machines, link, f"{name} ({kind})")
    return pages


def read(root: Path) -> Tables:
    """The tables of a project: those in its `statemachines/`, or in `root` itself if there is no such folder.

    A project that declares no machines of its own uses those that bargein ships.

    :raises bargein.statemachines.diagnostics.TableError: if a table has errors.
    """
    folder = root / "statemachines"
    tables = load_all(folder if folder.is_dir() else root)
    if not tables.machines:
        shipped = load_all()
        sources = {**shipped.sources, **tables.sources}
        tables = replace(tables, machines=shipped.machines, sources=sources)
    if errors := [d for d in check_tables(tables) if d.severity == "error"]:
        raise TableError(errors)
    return tables


def write(root: Path, names: Collection[str] | None = None) -> list[Path]:
    """Write the drawings of a project into its `diagrams/`, and remove those of tables that are gone.

    With `names` (of machines, providers, transports) only theirs. Returns the files that changed.

    :raises UnknownName: if nothing is called so.
    """
    changes, pages = _compare(root, names)
    (root / "diagrams").mkdir(exist_ok=True)
    for change in changes:
        if change.what == "superfluous":
            change.path.unlink()
        else:
            change.path.write_text(pages[change.path.name], encoding="utf-8", newline="\n")
    return [change.path for change in changes]


def check(root: Path, names: Collection[str] | None = None) -> list[Change]:
    """What `write` would change, and nothing written: drawings that are stale, missing or of no table."""
    return _compare(root, names)[0]


def _compare(root: Path, names: Collection[str] | None) -> tuple[list[Change], dict[str, str]]:
    folder = root / "diagrams"
    pages = draw(read(root), folder)
    there = {p.name: p.read_text("utf-8", errors="replace") for p in sorted(folder.glob("*.md"))}
    changes = []
    for name, text in (pages if names is None else _named(pages, names)).items():
        if name not in there:
            changes.append(Change(folder / name, "missing", _diff("", text, name)))
        elif there[name] != text:
            changes.append(Change(folder / name, "stale", _diff(there[name], text, name)))
    if names is None:
        changes += [
            Change(folder / name, "superfluous", _diff(text, "", name))
            for name, text in there.items()
            if name not in pages and text.startswith(MARK)
        ]
    return changes, pages


def _named(pages: dict[str, str], names: Collection[str]) -> dict[str, str]:
    known = list(dict.fromkeys(file.split(".")[0] for file in pages))
    for name in names:
        if name not in known:
            raise UnknownName("table", name, known)
    return {file: text for file, text in pages.items() if file.split(".")[0] in names}


def _linker(tables: Tables, folder: Path | None) -> Link:
    """Links from the drawings to tables: a relative path if they share a project, else the file's name."""

    def link(table: Table) -> str:
        file = tables.files(table)[0].resolve()
        if folder is not None and file.is_relative_to(folder.resolve().parent):
            return Path(os.path.relpath(file, folder.resolve())).as_posix()
        return file.name

    return link


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        f"diagrams/{name} (on disk)",
        f"diagrams/{name} (from the tables)",
    )
    return "".join(lines)
