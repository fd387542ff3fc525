"""Tables → drawings, on disk: `bargein diagram` writes them, `bargein diagram --check` holds them to the tables."""

import difflib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bargein.statemachines.checks import check as check_tables
from bargein.statemachines.claims import Told
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.explain import Peer, UnknownName, name_of
from bargein.statemachines.loader import Tables, load_all
from bargein.statemachines.model import Provider, Table

from .guarantees import Place, guarantees_page
from .pages import MARK, Link, machine_page, peer_page

GUARANTEES = "guarantees"
"""The page that is no drawing: what holds, and who acts. It lies in `docs/`, where a project has such a folder."""


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

    A project with its tables in `statemachines/` and a folder `docs/` gets the page of guarantees there. With `names`
    (of machines, providers, transports, or `guarantees`) only theirs. Returns the files that changed.

    :raises UnknownName: if nothing is called so.
    """
    changes, pages = _compare(root, names)
    (root / "diagrams").mkdir(exist_ok=True)
    for change in changes:
        if change.what == "superfluous":
            change.path.unlink()
        else:
            change.path.write_text(pages[change.path], encoding="utf-8", newline="\n")
    return [change.path for change in changes]


def check(root: Path, names: Collection[str] | None = None) -> list[Change]:
    """What `write` would change, and nothing written: drawings that are stale, missing or of no table."""
    return _compare(root, names)[0]


def _compare(root: Path, names: Collection[str] | None) -> tuple[list[Change], dict[Path, str]]:
    pages = _pages(root)
    changes = []
    for path, text in (pages if names is None else _named(pages, names)).items():
        old = path.read_text("utf-8", errors="replace") if path.is_file() else None
        if old != text:
            what: Literal["missing", "stale"] = "missing" if old is None else "stale"
            changes.append(Change(path, what, _diff(old or "", text, path)))
    if names is None:
        for path in sorted((root / "diagrams").glob("*.md")):
            text = path.read_text("utf-8", errors="replace")
            if path not in pages and text.startswith(MARK):
                changes.append(Change(path, "superfluous", _diff(text, "", path)))
    return changes, pages


def _pages(root: Path) -> dict[Path, str]:
    """Every file there should be, and its text."""
    tables, folder, docs = read(root), root / "diagrams", root / "docs"
    pages = {folder / name: text for name, text in draw(tables, folder).items()}
    if docs.is_dir() and (root / "statemachines").is_dir():
        pages[docs / f"{GUARANTEES}.md"] = guarantees_page(tables, _placer(docs))
    return pages


def _named(pages: dict[Path, str], names: Collection[str]) -> dict[Path, str]:
    known = list(dict.fromkeys(path.name.split(".")[0] for path in pages))
    for name in names:
        if name not in known:
            raise UnknownName("table", name, known)
    return {path: text for path, text in pages.items() if path.name.split(".")[0] in names}


def _linker(tables: Tables, folder: Path | None) -> Link:
    """Links from the drawings to tables: a relative path if they share a project, else the file's name."""

    def link(table: Table) -> str:
        return _relative(tables.files(table)[0], folder)

    return link


def _placer(folder: Path) -> Place:
    """The same for one row of a table: with its line, as a link that GitHub and GitLab understand."""

    def place(told: Told) -> str:
        path = _relative(Path(told.file), folder)
        return f"{path}#L{told.line}" if path.startswith("../") else path

    return place


def _relative(file: Path, folder: Path | None) -> str:
    file = file.resolve()
    if folder is not None and file.is_relative_to(folder.resolve().parent):
        return Path(os.path.relpath(file, folder.resolve())).as_posix()
    return file.name


def _diff(old: str, new: str, path: Path) -> str:
    name = f"{path.parent.name}/{path.name}"
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        f"{name} (on disk)",
        f"{name} (from the tables)",
    )
    return "".join(lines)
