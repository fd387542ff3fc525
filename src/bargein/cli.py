"""The command line: `bargein COMMAND --help` teaches each. Exit status: 0 ok, 1 a finding, 2 a usage mistake.

Human output by default, `--json` for machines. A user's mistake ends in one clear message, never in a stack trace;
Ctrl-C ends cleanly.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bargein.statemachines.diagnostics import CODES, TableError, render, summary, to_json

OK, FINDING, USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="bargein",
    help="Interruption in realtime voice agents: what the caller heard is what the model remembers.",
    epilog="Begin with `bargein demo`: an interrupted phone call, end to end, on local sockets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Check = Annotated[
    bool,
    typer.Option("--check", help="Write nothing: show what is stale and exit 1 if anything is."),
]
TABLES, RUN = "Tables", "Calls"


def say(text: str = "") -> None:
    """A line for the reader."""
    typer.echo(text)


def print_json(value: Any) -> None:  # noqa: ANN401  anything msgspec encodes
    """One JSON document on standard output."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def fail(message: str, status: int = USAGE) -> typer.Exit:
    """Say what is wrong and how to mend it; raise what this returns."""
    typer.echo(f"bargein: {message}", err=True)
    return typer.Exit(status)


@contextmanager
def tables_must_be_right() -> Iterator[None]:
    """Print everything that is wrong with the tables instead of a trace."""
    try:
        yield
    except TableError as error:
        typer.echo(render(error.diagnostics), err=True)
        raise fail(f"{summary(error.diagnostics)}; nothing was written", FINDING) from None


def _version(asked: bool) -> None:
    if asked:
        from bargein import __version__

        say(f"bargein {__version__}")
        raise typer.Exit(OK)


@app.callback()
def front(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which, and stop."),
    ] = False,
) -> None:
    """Interruption in realtime voice agents: what the caller heard is what the model remembers."""


# -- tables -----------------------------------------------------------------------------------------


@app.command(rich_help_panel=TABLES)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Table files, or folders of them. Default: all tables that ship."),
    ] = None,
    json: Json = False,
    codes: Annotated[
        bool, typer.Option("--codes", help="List every code and what it means, and stop.")
    ] = False,
) -> None:
    """Validate tables: every mistake at once, each with its place, a stable code and a remedy.

    Prints `file:line:col CODE message` per finding. Exit 1 if any is an error; a warning alone is not one.
    """
    from bargein.statemachines.checks import check_paths

    if codes:
        if json:
            print_json(CODES)
        else:
            say("\n".join(f"{code}  {meaning}" for code, meaning in CODES.items()))
        return
    found = check_paths(paths or None)
    if json:
        print_json(to_json(found))
    elif found:
        say(render(found))
        say(f"\n{summary(found)}")
    else:
        say("no errors: every cell is decided, every intent has its words")
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(FINDING)


@app.command(rich_help_panel=TABLES)
def generate(
    check: Check = False,
    json: Json = False,
    tables: Annotated[
        Path | None, typer.Option(help="A folder of your own tables, instead of the repository's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The package to write your own adapters into.")
    ] = None,
) -> None:
    """Turn tables into adapters and JSON Schema.

    In a checkout of bargein without options; elsewhere with --tables and --out. With --check it prints a diff of
    what is stale and the command that mends it, and exits 1.
    """
    from bargein.codegen.errors import GenerateError
    from bargein.codegen.generate import COMMAND
    from bargein.codegen.generate import generate as make

    with tables_must_be_right():
        try:
            changes = make(check=check, tables=tables, out=out)
        except GenerateError as error:
            raise fail(str(error)) from None
    command = f"{COMMAND} --tables {tables} --out {out}" if tables else COMMAND
    _report_changes([(c.path, c.diff) for c in changes], command, check, json, "generated files")


@app.command(rich_help_panel=TABLES)
def diagram(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Machines, providers, transports, or `guarantees`. Default: all.",
        ),
    ] = None,
    check: Check = False,
    json: Json = False,
    root: Annotated[
        Path | None, typer.Option(help="Where statemachines/ and diagrams/ are.")
    ] = None,
) -> None:
    """Draw the state machines, and each provider's and carrier's words on them, into diagrams/.

    Markdown with Mermaid, which GitHub and GitLab render as it is. What an interruption is worth with each provider
    on each carrier, and who does what, is written into docs/guarantees.md.
    """
    from bargein.codegen.errors import GenerateError
    from bargein.codegen.generate import find_repository
    from bargein.diagrams import draw
    from bargein.statemachines.authority import Clash
    from bargein.statemachines.explain import UnknownName

    with tables_must_be_right():
        try:
            folder = root or find_repository()
            changes = draw.check(folder, names or None)
            if not check:
                draw.write(folder, names or None)
        except Clash as clash:
            raise fail(f"{clash}; nothing was written", FINDING) from None
        except (GenerateError, UnknownName) as error:
            raise fail(str(error)) from None
    _report_changes([(c.path, c.diff) for c in changes], "bargein diagram", check, json, "drawings")


def _report_changes(
    changes: list[tuple[Path, str]], command: str, check: bool, json: bool, what: str
) -> None:
    if json:
        print_json([{"path": str(path), "diff": diff} for path, diff in changes])
    elif check and changes:
        for _, diff in changes:
            say(diff)
        say(f"{len(changes)} {what} differ from the tables; to mend them run: {command}")
    elif changes:
        say("\n".join(f"wrote {path}" for path, _ in changes))
    else:
        say(f"all {what} agree with the tables")
    if check and changes:
        raise typer.Exit(FINDING)


@app.command(rich_help_panel=TABLES)
def explain(
    peer: Annotated[str, typer.Argument(metavar="P", help="A provider or transport: openai.")],
    machine: Annotated[str, typer.Argument(help="response or playback.")],
    state: Annotated[str, typer.Argument(help="A state of that machine: timed_out.")],
    event: Annotated[str, typer.Argument(help="An event of that machine: created.")],
    tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of your own tables too.")
    ] = None,
    json: Json = False,
) -> None:
    """What happens, which wire messages go out, why, and where it is declared.

    Try: bargein explain openai response timed_out created
    """
    from bargein.statemachines.explain import UnknownName, render_text
    from bargein.statemachines.explain import explain as look_up
    from bargein.statemachines.loader import load_all

    with tables_must_be_right():
        known = load_all()
        if tables is not None:
            from bargein.codegen.generate import load

            known = load(tables).over(known)
        try:
            explanation = look_up(known, peer, machine, state, event)
        except UnknownName as error:
            raise fail(str(error)) from None
    if json:
        print_json(explanation)
    else:
        say(render_text(explanation))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Ctrl-C ends with status 130 and no trace."""
    # Here, because they need what is above.
    from bargein import calls, guarantees, new_provider, verify, walk

    guarantees.add_to(app)
    new_provider.add_to(app)
    verify.add_to(app)
    walk.add_to(app)
    calls.add_to(app)
    try:
        app(arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `bargein ... | head`
        sys.stderr.close()
        sys.exit(OK)
