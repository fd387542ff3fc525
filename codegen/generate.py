"""From tables to files: what should be there, what differs, and how to write it.

    for change in generate(find_repository(), check=True):
        print(change.diff)

The generator needs neither the adapters nor the runtime: it works when its own output is broken or gone.
"""

import os
import tempfile
import tomllib
from difflib import unified_diff
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from bargein.statemachines import schema
from bargein.statemachines.checks import check as findings
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.loader import Tables, load_all, table_files
from bargein.statemachines.model import Machine, Provider, Transport
from bargein.statemachines.reader import Reader

from .analysis import MACHINES, plan_peer
from .errors import ForeignFile, GenerateError, RepositoryNotFound
from .render import MARK, format_python, render_peer, render_registry

COMMAND: Final = "bargein generate"
"""What mends a stale file."""


class Change(Struct, frozen=True):
    """A file that is not as the tables say; `diff` leads from what it is to what it should be."""

    path: Path
    diff: str


def find_repository(start: Path | None = None) -> Path:
    """The bargein repository around `start` (by default the current directory).

    :raises RepositoryNotFound: if no folder upwards has a pyproject.toml of the project bargein.
    """
    start = (Path.cwd() if start is None else start).resolve()
    for folder in (start, *start.parents):
        try:
            text = (folder / "pyproject.toml").read_text(encoding="utf-8")
            project = tomllib.loads(text).get("project", {})
        except (OSError, ValueError):
            continue
        if isinstance(project, dict) and project.get("name") == "bargein":
            return folder
    raise RepositoryNotFound(
        f"no bargein repository at {start} or above it; go to one, or name a folder of tables "
        "and a folder for the modules"
    )


def generate(
    root: Path | None = None,
    *,
    check: bool = False,
    tables: Path | None = None,
    out: Path | None = None,
) -> list[Change]:
    """Bring what is generated up to date and say what was not; with `check`, only say it.

    Of a repository (`root`) the rooms are known. For tables of your own name both folders: `tables`, with
    `providers/` and `transports/` in it (and machines, if they are not to be the shipped ones), and `out`, the
    package to write. Nothing is written if anything is wrong; a file that is right already is not touched.

    :raises TableError: with everything that is wrong with the tables.
    :raises GenerateError: if there is no repository, `out` holds a file of that name that is not ours, or a file
        cannot be written.
    """
    if (tables is None) != (out is None) or (tables is not None and root is not None):
        raise GenerateError("name a repository, or both a folder of tables and a folder to write")
    if tables is not None and out is not None:
        base, ours = tables, False
    else:
        base = find_repository() if root is None else root
        tables, out, ours = base / "statemachines", base / "adapters", True
    wanted: dict[Path, str | None] = {
        out / name: text for name, text in modules(load(tables), base).items()
    }
    if ours:
        wanted |= {tables / "schema" / name: text for name, text in schema.render().items()}
    for path in sorted(out.glob("*.py")):
        if path not in wanted and _is_ours(path):
            wanted[path] = None
    changes = []
    for path, text in wanted.items():
        was = _read(path)
        if was != text:
            if not ours and was and not was.startswith(MARK):
                raise ForeignFile(f"{path} was not made by {COMMAND}; move it away")
            changes.append(Change(path, _diff(_named(path, base), was, text)))
    if not check:
        for change in changes:
            try:
                _write(change.path, wanted[change.path])
            except OSError as error:
                raise GenerateError(f"cannot write {change.path}: {error.strerror}") from error
    return changes


def load(folder: Path) -> Tables:
    """The tables of a folder, checked; over the shipped machines if it has none of its own.

    :raises TableError: with everything that is wrong with them.
    """
    reader = Reader()
    own = reader.tables(table_files(folder, reader.found))
    shipped = Tables() if own.machines else load_all()
    tables = Tables(
        shipped.machines | own.machines,
        own.providers,
        own.transports,
        shipped.sources | own.sources,
    )
    found = [*reader.found, *findings(tables)]
    if any(finding.severity == "error" for finding in found):
        raise TableError(found)
    return tables


def modules(tables: Tables, base: Path) -> dict[str, str]:
    """File name → text of every module of the room. Sources are named relative to `base`.

    :raises GenerateError: if two modules would have one name.
    """
    peers: dict[str, Provider | Transport] = dict(tables.providers)
    for name, transport in tables.transports.items():
        if name in peers:
            raise GenerateError(f"a provider and a transport are both called {name}")
        peers[name] = transport
    texts = {}
    for name, peer in peers.items():
        spoken = {hook.partition(".")[0] for hook in peer.hooks}
        used = MACHINES if isinstance(peer, Provider) else [m for m in MACHINES if m in spoken]
        shared = [path for m in used for path in _sources(tables, tables.machines[m], base)]
        plan = plan_peer(peer, tables.machines, [*shared, *_sources(tables, peer, base)])
        texts[f"{name}.py"] = render_peer(plan)
    texts["__init__.py"] = render_registry(
        list(tables.providers),
        list(tables.transports),
        [str(_sources(tables, peer, base)[0]) for peer in peers.values()],
    )
    return format_python(texts)


def _sources(
    tables: Tables, table: Machine | Provider | Transport, base: Path
) -> tuple[PurePosixPath, ...]:
    return tuple(PurePosixPath(_named(path, base)) for path in tables.files(table))


def _named(path: Path, base: Path) -> str:
    """A path as every machine would name it: below `base`, or by its last two parts."""
    path, base = path.resolve(), base.resolve()
    known = path.relative_to(base) if path.is_relative_to(base) else Path(*path.parts[-2:])
    return known.as_posix()


def _is_ours(path: Path) -> bool:
    return (_read(path) or "").startswith(MARK)


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GenerateError(f"cannot read {path}: {error.strerror}") from error


def _diff(name: str, was: str | None, wanted: str | None) -> str:
    lines = unified_diff(
        (was or "").splitlines(keepends=True),
        (wanted or "").splitlines(keepends=True),
        f"{name} (as it is)" if was is not None else "/dev/null",
        f"{name} (as the tables say)" if wanted is not None else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _write(path: Path, text: str | None) -> None:
    """Put a file in place whole, or take it away."""
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
