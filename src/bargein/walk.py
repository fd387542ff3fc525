"""The command that walks at random through worlds that are too big to be searched."""

from pathlib import Path
from typing import Annotated

import typer

from .cli import TABLES, Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=TABLES)(walk)


def walk(
    provider: Annotated[
        str | None, typer.Argument(metavar="[PROVIDER]", help="Whose tables: openai.")
    ] = None,
    transport: Annotated[
        str, typer.Option(metavar="T", help="The carrier that the calls come over.")
    ] = "twilio",
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The tables to walk with. Default: those of the repository you are in, else those that ship.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Walk until there are so many steps, those before a resumption included. "
            "Default: 1,000,000, or no end with --minutes.",
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="Walk for so long this time.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which walk: one seed, one walk. Default: 1."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on where the walk in this file stopped; it is written every few seconds and at the end.",
        ),
    ] = None,
    from_call: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Begin at this call of the walk.")
    ] = None,
    world: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Walk in this world only; may be given again."),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N,…", help="Other bounds in every world: requests=10,lag=20. See --list."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="E", help="table or transitions: two engines with one meaning.")
    ] = "table",
    json: Json = False,
    draw: Annotated[
        bool,
        typer.Option("--draw", help="Show what breaks as a table with the rows that led there."),
    ] = False,
    mermaid: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write what breaks as Markdown with a sequence diagram; `-`: to standard output.",
        ),
    ] = None,
    write_test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write what breaks as a Scene, to stand beside tests/scene.py."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --write-test replace a file that is there.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the worlds and their bounds; stop.")
    ] = False,
) -> None:
    """Look beyond the bounds of `verify`: a long random walk through bigger worlds, with the same properties.

    One seed is one walk, step for step, on every machine. It can be stopped at any time (Ctrl-C) and goes on later
    with --state. A call that breaks a property is shrunk and printed as its acts and as a Scene.

    Exit 0: nothing broke, which proves nothing. 1: a property is broken. 130: stopped by Ctrl-C.

    Try: bargein walk openai --minutes 10 --state walk.json
    """
    from .walking import Wanted, go

    go(
        Wanted(
            provider=provider,
            transport=transport,
            tables=tables,
            steps=steps,
            minutes=minutes,
            seed=seed,
            state=state,
            from_call=from_call,
            worlds=world or [],
            bounds=bounds or [],
            engine=engine,
            json=json,
            draw=draw,
            mermaid=mermaid,
            write_test=write_test,
            force=force,
            list=list_,
        )
    )
