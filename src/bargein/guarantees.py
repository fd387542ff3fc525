"""The command `bargein guarantees`: what an interruption is worth with a provider, who does what, and why."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bargein.statemachines.authority import (
    ACTS,
    CAUSES,
    Clash,
    authority,
    can_be_manual,
    hears_caller,
)
from bargein.statemachines.claims import Told
from bargein.statemachines.diagnostics import did_you_mean
from bargein.statemachines.guarantees import PROMISES, carrier, guarantee, no_call
from bargein.statemachines.model import Provider, Transport
from bargein.statemachines.tables import Tables

from .cli import FINDING, TABLES, Json, fail, print_json, tables_must_be_right


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="guarantees", rich_help_panel=TABLES)(guarantees)


def guarantees(
    provider: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROVIDER]", help="openai. Default: all, in short.", show_default=False
        ),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(metavar="T", help="On this transport only: twilio.", show_default=False),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of your own tables; what it does not declare is what ships.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """What holds when speech is interrupted: with a provider, on a transport, and who does what.

    Four promises: the caller hears at most one more frame; nothing of the interrupted response is heard later; the
    server is told to stop that response by its name; the server remembers what the caller heard, or it is said that
    it does not. Then, for each cause of an interruption (the caller, the application, a guardrail, another response
    in its place, a hang-up, no answer, a stall): who cancels, truncates, deletes, clears and fences. Each act has one
    actor. Last the reasons, each with the row of the table it stands in.

    All of it for all providers is in docs/guarantees.md. Exit 1 if an act has no actor, or two.

    Try: bargein guarantees gemini --transport browser
    """
    with tables_must_be_right():
        found = _tables(tables)
    providers = [_named("provider", provider, found.providers)] if provider else None
    on = [_named("transport", transport, found.transports)] if transport else None
    chosen = providers or list(found.providers.values())
    carriers = on or list(found.transports.values())
    try:
        known = [_known(found, each, carriers) for each in chosen]
    except Clash as clash:
        where = ", ".join(f"{row.file}:{row.line}" for row in clash.told)
        raise fail(f"{clash}; see {where}", FINDING) from None
    if json:
        on_them = [carrier(found, each) for each in carriers]
        print_json({"providers": known, "transports": on_them})
        return
    console = Console(highlight=False)
    if providers:
        _print_one(console, found, providers[0], carriers)
    else:
        _print_all(console, found, chosen, carriers)


def _tables(folder: Path | None) -> Tables:
    from bargein.diagrams.draw import read
    from bargein.statemachines.loader import load_all

    return load_all() if folder is None else read(folder).over(load_all())


def _named(kind: str, name: str, known: dict[str, Any]) -> Any:  # noqa: ANN401  a provider or transport
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
        raise fail(f"unknown {kind} '{name}'{hint}")
    return known[name]


def _known(tables: Tables, provider: Provider, on: Iterable[Transport]) -> dict[str, Any]:
    """All there is to say of one provider, for machines."""
    manual = authority(tables, provider, manual=True) if can_be_manual(provider) else None
    return {
        "provider": provider.provider,
        "hears_caller": hears_caller(tables, provider),
        "guarantees": [
            guarantee(tables, provider, transport) for transport in _calls(provider, on)
        ],
        "no_call": _no_calls(provider, on),
        "authority": authority(tables, provider),
        "authority_manual": manual,
    }


def _calls(provider: Provider, on: Iterable[Transport]) -> list[Transport]:
    """The transports that can hold a call with it."""
    return [transport for transport in on if no_call(provider, transport) is None]


def _no_calls(provider: Provider, on: Iterable[Transport]) -> dict[str, str]:
    """The others, each with why not."""
    return {each.transport: why for each in on if (why := no_call(provider, each)) is not None}


# -- for people ---------------------------------------------------------------------------------------


def _print_all(
    console: Console, tables: Tables, providers: list[Provider], on: list[Transport]
) -> None:
    rows = {provider.provider: _promises(tables, provider, on) for provider in providers}
    table = _table("provider", "on", *PROMISES)
    table.columns[0].no_wrap = True
    for words, names in _alike(rows.items()):
        for row in words:
            table.add_row(Text("\n".join(names), "bold"), *row)
    console.print(table)
    _print_reserves(console, tables, on)
    if mute := [name for name, words in rows.items() if not words]:
        console.print(f"No call: {', '.join(mute)}.")
    console.print("\nWho does what, and why: bargein guarantees PROVIDER")


def _print_one(console: Console, tables: Tables, provider: Provider, on: list[Transport]) -> None:
    console.print(Text(provider.provider, "bold") + Text(f": {_plain(provider.is_)}", "not bold"))
    table = _table("on", *PROMISES)
    for row in _promises(tables, provider, on):
        table.add_row(*row)
    if table.row_count:
        console.print("\nWhat holds when its speech is interrupted:", table)
    _print_reserves(console, tables, _calls(provider, on))
    for why, names in _alike(_no_calls(provider, on).items()):
        console.print(f"No call on {', '.join(names)}: {why}.")
    _print_acts(console, tables, provider)
    heard = hears_caller(tables, provider)
    console.print(f"\nThat the caller speaks is told by: {_plain(heard.words)}")
    _print_reasons(console, tables, provider, on)


def _print_acts(console: Console, tables: Tables, provider: Provider) -> None:
    for manual in (False, True)[: 1 + can_be_manual(provider)]:
        table = _table("when", *ACTS)
        decided = authority(tables, provider, manual=manual)
        said = {
            cause: tuple(f"{c.who}: {_plain(c.words)}" for c in claims.values())
            for cause, claims in decided.items()
        }
        for words, causes in _alike(said.items()):
            table.add_row(Text("\n".join(causes), "bold"), *words)
        where = " where the session was told that we say when the caller speaks" * manual
        console.print(f"\nWho acts{where}:", table)


def _print_reasons(
    console: Console, tables: Tables, provider: Provider, on: list[Transport]
) -> None:
    seen: dict[tuple[str, str], Told] = {}
    for transport in _calls(provider, on):
        for answer in guarantee(tables, provider, transport).promises.values():
            seen[answer.told.key, answer.why] = answer.told
    for manual in (False, True)[: 1 + can_be_manual(provider)]:
        for claims in authority(tables, provider, manual=manual).values():
            seen.update({(c.told.key, c.why): c.told for c in claims.values()})
    console.print("\nWhy:")
    for (key, why), told in seen.items():
        console.print(Text.assemble("  ", (key, "bold"), "  ", (f"{told.file}:{told.line}", "dim")))
        console.print(Padding(Text(_plain(why)), (0, 0, 0, 4)))


def _print_reserves(console: Console, tables: Tables, on: list[Transport]) -> None:
    for each in (carrier(tables, transport) for transport in on):
        if each.reserve:
            console.print(Text(f"* {each.transport}: {_plain(each.reserve)}"))


def _promises(
    tables: Tables, provider: Provider, on: list[Transport]
) -> tuple[tuple[str, ...], ...]:
    """Transports with the same answers share a row."""
    said = {}
    for transport in _calls(provider, on):
        answers = guarantee(tables, provider, transport).promises
        silence, *others = (_plain(answer.words) for answer in answers.values())
        reserved = "*" * bool(carrier(tables, transport).reserve)
        said[transport.transport] = (silence + reserved, *others)
    return tuple((", ".join(names), *words) for words, names in _alike(said.items()))


def _alike(said: Iterable[tuple[str, Any]]) -> list[tuple[Any, list[str]]]:
    """What is said of several, once, with their names."""
    names: dict[Any, list[str]] = {}
    for name, words in said:
        names.setdefault(words, []).append(name.replace("_", " ") if name in CAUSES else name)
    return list(names.items())


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _plain(words: str) -> str:
    return words.replace("`", "")
