"""The command `bargein new-provider`: a table to start from, and a test that fails until it reads real messages."""

import keyword
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from .cli import TABLES, fail, say

_HERE: Final = Path(__file__).parent
_FORM: Final = re.compile(r"[a-z][a-z0-9_]*")

Side = Literal["provider", "transport"]


@dataclass(frozen=True)
class _Place:
    """Where the files go: into the repository, or into a folder of somebody's own."""

    tables: Path
    test: Path
    to_tables: str
    """From the test to the folder of the tables, as an attribute of its path."""
    own: bool


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("new-provider", rich_help_panel=TABLES)(new_provider)


def new_provider(
    name: Annotated[str, typer.Argument(help="lower_case_with_underscores; the file's name too.")],
    transport: Annotated[
        bool, typer.Option("--transport", help="A playback transport instead of a provider.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of your own tables. Default: the bargein repository you are in.",
        ),
    ] = None,
) -> None:
    """Begin a provider (or, with --transport, a carrier): write its table and a test, with instructions in both.

    The table passes `bargein check` as it is, so that every later complaint is about what you wrote. It guesses, and
    says so: each guess is marked TODO. The test fails until no guess is left and every row was read against a message
    that was really sent.

    Nothing that exists is overwritten. docs/new-provider.md follows one from here to a first conversation.

    Try: bargein new-provider parrot --into birds
    """
    side: Side = "transport" if transport else "provider"
    _name_must_do(name)
    place = _place(name, side, into)
    table = place.tables / f"{side}s" / f"{name}.yaml"
    texts = {table: _table(name, side), place.test: _test(name, side, place.to_tables)}
    for path in texts:
        if path.exists():
            raise fail(f"{_shown(path)} is there already; nothing was written")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        if place.own:
            _copy_schema(place.tables, side)
    except OSError as error:
        raise fail(f"cannot write {error.filename}: {error.strerror}") from None
    for path in texts:
        say(f"wrote {_shown(path)}")
    say()
    for line in _next(name, side, place, table):
        say(line)


def _place(name: str, side: Side, into: Path | None) -> _Place:
    from bargein.codegen.errors import GenerateError
    from bargein.codegen.generate import find_repository

    if into is not None:
        return _Place(into, into / f"test_{name}.py", "parent", own=True)
    try:
        root = find_repository()
    except GenerateError:
        command = f"bargein new-provider {name}{' --transport' * (side == 'transport')}"
        raise fail(
            f"no bargein repository here; say where to begin: {command} --into DIR"
        ) from None
    tables = root / "statemachines"
    return _Place(
        tables, root / "tests" / f"test_{name}.py", 'parent.parent / "statemachines"', own=False
    )


def _name_must_do(name: str) -> None:
    """A name that is a name of Python too, and nobody's yet.

    :raises typer.Exit: if it is not; what is wrong has been said.
    """
    from bargein.statemachines.loader import load_all

    if not _FORM.fullmatch(name):
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
        hint = f"; perhaps: {plain}" if _FORM.fullmatch(plain) else ""
        raise fail(f"'{name}' is no name: lower case letters, digits and _, a letter first{hint}")
    if keyword.iskeyword(name):
        raise fail(f"'{name}' is a word of Python, and the name becomes a module's; try {name}_ai")
    shipped = load_all()
    for kind, known in (("provider", shipped.providers), ("transport", shipped.transports)):
        if name in known:
            hint = f"a table that differs in little has another name and says `extends: {name}`"
            raise fail(f"there is a {kind} '{name}' already; {hint}")


def _table(name: str, side: Side) -> str:
    text = (_HERE / f"new_{side}.yaml.txt").read_text(encoding="utf-8")
    return text.replace("@name@", name).replace("@NAME@", name.upper())


def _test(name: str, side: Side, to_tables: str) -> str:
    provider = side == "provider"
    values = {
        "name": name,
        "side": side,
        "folder": to_tables,
        "pair": f'"{name}", "twilio"' if provider else f'"openai", "{name}"',
        "at": "0" if provider else "1",
        "tag": "type" if provider else "event",
        "kind": "transcript" if provider else "mark",
        "more": ', "text": "Hello."' if provider else ', "mark": {"name": "m"}',
        "event": 'Transcript(text="Hello.")' if provider else 'Marked(mark="m")',
    }
    text = (_HERE / "new_test.py.txt").read_text(encoding="utf-8")
    for word, value in values.items():
        text = text.replace(f"@{word}@", value)
    return text


def _copy_schema(folder: Path, side: Side) -> None:
    """What editors complete from, where the table's first line says it is."""
    from bargein.statemachines.tables import ROOM

    schema = f"{side}.schema.json"
    (folder / "schema").mkdir(exist_ok=True)
    shutil.copyfile(ROOM / "schema" / schema, folder / "schema" / schema)


def _next(name: str, side: Side, place: _Place, table: Path) -> list[str]:
    folder = _shown(place.tables)
    own = f" --tables {folder} --out PACKAGE" if place.own else ""
    check = f" {folder}" if place.own else ""
    verify = f"{name}" if side == "provider" else f"--transport {name}"
    steps = [
        (f"edit {_shown(table)}", "put right every line that says TODO"),
        (f"bargein check{check}", "what contradicts itself, with place and remedy"),
        (f"pytest {_shown(place.test)}", "fails until real messages are read"),
        (f"bargein generate{own}", "the adapter, as Python"),
    ]
    width = max(len(command) for command, _ in steps)
    lines = ["next:"]
    lines += [f"  {command:{width}}  {why}" for command, why in steps]
    lines += [
        f"With a model of the other side in simulator/: bargein verify {verify}"
        + (f", bargein emulate {name}" if side == "provider" else "")
    ]
    return lines


def _shown(path: Path) -> str:
    """A path as somebody here would type it."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)
