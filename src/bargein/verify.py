"""The command `bargein verify`: its options. The work is in `proving.py`, loaded when it is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from .cli import TABLES, Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=TABLES)(verify)


def verify(
    provider: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROVIDER]",
            help="openai. Default: every provider whose server there is a model of.",
            show_default=False,
        ),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="The carrier; `all`: every one there is a model of. Default: twilio, or the first that speaks "
            "the provider's audio.",
            show_default=False,
        ),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The tables to verify. Default: those of the repository you are in, else those that ship.",
        ),
    ] = None,
    world: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Search this world only; may be given again."),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N,…",
            help="Other bounds, in every world that is searched: requests=2,interrupts=2. See --list.",
        ),
    ] = None,
    max_states: Annotated[
        int, typer.Option(min=1, metavar="N", help="Cut a world short after so many states.")
    ] = 3_000_000,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Search so many worlds at a time.")
    ] = 1,
    engine: Annotated[
        str, typer.Option(metavar="E", help="table or transitions: two engines with one meaning.")
    ] = "table",
    json: Json = False,
    mermaid: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a counterexample as Markdown with a sequence diagram; `-`: to standard output.",
        ),
    ] = None,
    write_test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a counterexample as a pytest file."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --write-test replace a file that is there.")
    ] = False,
    list_: Annotated[
        bool,
        typer.Option("--list", help="Print the worlds, their bounds and the properties; stop."),
    ] = False,
) -> None:
    """Prove the tables: every interleaving of application, network, server, carrier and timers, within stated bounds.

    The session runs as it ships, with the adapters that the tables would become, through real wire messages, against
    models of the server, of the carrier and of the caller's ear. Of what breaks a property the shortest way there is
    shown, with the rows that led there.

    Exit 0: all properties hold within the bounds. 1: one does not, or what must sometimes happen never does.
    2: the search was cut short, so nothing is proved; or a usage mistake.

    Try: bargein verify openai --world strict
    """
    from .proving import Asked, prove

    prove(
        Asked(
            provider=provider,
            transport=transport,
            tables=tables,
            worlds=world or [],
            bounds=bounds or [],
            max_states=max_states,
            jobs=jobs,
            engine=engine,
            json=json,
            mermaid=mermaid,
            write_test=write_test,
            force=force,
            list=list_,
        )
    )
