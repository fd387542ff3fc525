"""What `bargein verify` does: it makes adapters of the tables, searches the worlds, and says what it found."""

import multiprocessing
import time
from collections.abc import Collection, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer
from msgspec import Struct
from rich.console import Console

from bargein import __version__
from bargein.codegen.errors import GenerateError, RepositoryNotFound
from bargein.codegen.generate import find_repository, generate, load
from bargein.codegen.loaded import adapters
from bargein.diagrams.sequence import markdown
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.simulator import rerun
from bargein.simulator.kinds import common_audio
from bargein.simulator.verify import verify
from bargein.simulator.worlds import CARRIERS, PLANS, SERVERS, Plan, bounded, plans_for
from bargein.statemachines.diagnostics import did_you_mean
from bargein.statemachines.loader import load_all
from bargein.statemachines.tables import ROOM, Tables

from .cli import FINDING, INTERRUPTED, OK, USAGE, fail, print_json, say, tables_must_be_right
from .counterexample import story
from .places import Places
from .progress import Watching, ending_together
from .regression import regression
from .runs import Run
from .verdict import FORMAT, as_json, bounds_of, list_json, show, show_list, show_seen

ENGINES: Final = ("table", "transitions")

_AT_LEAST_ONE: Final = ("items", "deltas", "lag", "backlog_ms")
"""With none of these a call cannot go on, and nothing can be said of it."""


class Asked(Struct, kw_only=True, frozen=True):
    """What the command line asks for; see `verify.py`."""

    provider: str | None
    transport: str | None
    tables: Path | None
    worlds: list[str]
    bounds: list[str]
    max_states: int
    jobs: int
    engine: str
    json: bool
    mermaid: str | None
    write_test: Path | None
    force: bool
    list: bool


def prove(asked: Asked) -> None:
    """Do what is asked; always ends by raising `typer.Exit`, with the status of the verdict."""
    plans = _plans(asked)
    known_or_fail("engine", asked.engine, ENGINES)
    if asked.list:
        if asked.json:
            print_json(list_json(plans))
        else:
            show_list(plans, Console(highlight=False))
        raise typer.Exit(OK)
    may_write(asked)
    if asked.jobs > 1 and "fork" not in multiprocessing.get_all_start_methods():
        raise fail("--jobs needs processes that fork, which this system does not have")
    errors = Console(stderr=True, highlight=False)
    with tables_must_be_right(), told_plainly():
        folder, behind, tables = tables_of(asked)
        pairs = pairs_of(asked, tables)
        verified = {name for pair in pairs for name in pair}
        behind = [path for path in behind if Path(path).stem in verified]
        for path in behind if not asked.json else ():
            text = f"{path} is behind its table: this verifies what `bargein generate` would write"
            errors.print(text, soft_wrap=True)
        runs: list[Run] = []
        with Watching(errors, not asked.json or errors.is_terminal) as watching:
            try:
                with ending_together():
                    for pair in pairs:
                        run = _run(asked, plans, tables, folder, pair, watching)
                        run.behind = [p for p in behind if Path(p).stem in pair]
                        runs.append(run)
            except KeyboardInterrupt:
                stopped = True
            else:
                stopped = False
        _print(asked, runs, watching if stopped else None)
        if not stopped:
            _write(asked, runs)
    raise typer.Exit(INTERRUPTED if stopped else _status(runs))


# -- what is asked --------------------------------------------------------------------------------------------


def _plans(asked: Asked) -> tuple[Plan, ...]:
    known = {plan.name: plan for plan in PLANS}
    plans = PLANS
    if asked.worlds:
        names = {name.replace("-", " ").replace("_", " ") for name in asked.worlds}
        for name in names:
            known_or_fail("world", name, known)
        plans = tuple([plan for plan in PLANS if plan.name in names])
    bounds = read_bounds(asked.bounds)
    return tuple([bounded(plan, **bounds) for plan in plans])


def read_bounds(texts: list[str]) -> dict[str, int]:
    """`requests=2,interrupts=2` as numbers by name."""
    known = bounds_of(PLANS[0])
    bounds: dict[str, int] = {}
    for part in ",".join(texts).split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not part.strip():
            continue
        known_or_fail("bound", name, known)
        if not equals or not value.isascii() or not value.isdigit():
            raise fail(f"--bounds {part.strip()}: expected NAME=N, like requests=2")
        if name in bounds:
            raise fail(f"--bounds names {name} twice")
        if name in _AT_LEAST_ONE and int(value) < 1:
            raise fail(f"--bounds {part.strip()}: at least 1, or no call can go on")
        bounds[name] = int(value)
    return bounds


def known_or_fail(kind: str, name: str, known: Collection[str]) -> None:
    """End with a message if there is no such thing, and say which there are."""
    if name not in known:
        hint = did_you_mean(name, known)
        choice = f"; there are: {', '.join(known)}"
        raise fail(f"no {kind} '{name}'{hint}{'' if hint.startswith('; expected') else choice}")


def may_write(asked: Asked) -> None:
    """Whatever stands against writing is said before minutes of search, not after."""
    if asked.mermaid == "-" and asked.json:
        raise fail("--json and --mermaid - both want standard output; name a file for one of them")
    test = asked.write_test
    if test is not None and test.suffix != ".py":
        raise fail(f"--write-test {test}: a test is a Python file, like test_found.py")
    if test is not None and test.exists() and not asked.force:
        raise fail(f"--write-test {test}: the file exists; --force replaces it")
    for path in (test, Path(asked.mermaid) if asked.mermaid not in (None, "-") else None):
        if path is not None and not path.absolute().parent.is_dir():
            raise fail(f"{path}: there is no such folder")
        if path is not None and path.is_dir():
            raise fail(f"{path}: this is a folder")


def tables_of(asked: Asked) -> tuple[Path, list[str], Tables]:
    """The folder of the tables, the generated adapters that are behind them, and the tables."""
    behind: list[str] = []
    if asked.tables is not None:
        folder = asked.tables
        tables = load(folder)
    else:
        try:
            root = find_repository()
        except RepositoryNotFound:
            root = ROOM.parent
        folder = root / ROOM.name
        tables = load(folder)
        room = root / "adapters"
        stale = [c.path for c in generate(root, check=True) if c.path.parent == room]
        behind = [f"{room.name}/{path.name}" for path in stale if path.stem != "__init__"]
    if not tables.providers or not tables.transports:
        tables = tables.over(load_all())
    return folder, behind, tables


def pairs_of(asked: Asked, tables: Tables) -> list[tuple[str, str]]:
    """Which providers are verified on which carriers: those asked for, as far as they share an audio format.

    Without a word about the carrier each provider gets the first that speaks what it speaks.
    """
    if asked.provider is not None:
        known_or_fail("provider", asked.provider, tables.providers)
        _modelled("provider", asked.provider, SERVERS)
    if asked.transport not in (None, "all"):
        known_or_fail("transport", asked.transport, tables.transports)
        _modelled("transport", asked.transport, CARRIERS)
    providers = (
        [asked.provider] if asked.provider else [p for p in SERVERS if p in tables.providers]
    )
    carriers = [t for t in CARRIERS if t in tables.transports]
    pairs = []
    for provider in providers:
        wanted = carriers if asked.transport in (None, "all") else [asked.transport]
        speaks = [t for t in wanted if _speak(tables, provider, t)]
        pairs += [(provider, t) for t in (speaks[:1] if asked.transport is None else speaks)]
    if not pairs:
        formats = ", ".join(tables.providers[providers[0]].audio)
        whom = asked.transport or "any carrier"
        raise fail(f"{providers[0]} shares no audio format with {whom}: it speaks {formats}")
    return pairs


def _speak(tables: Tables, provider: str, transport: str) -> bool:
    """Whether they have an audio format in common."""
    first, second = tables.providers[provider], tables.transports[transport]
    return common_audio(provider, first.audio, transport, second.audio) is not None


def _modelled(side: str, name: str, models: Collection[str]) -> None:
    if name not in models:
        there = ", ".join(models)
        raise fail(f"there is no model to verify {side} '{name}' against; there are: {there}")


# -- the search -----------------------------------------------------------------------------------------------


def _run(
    asked: Asked,
    plans: tuple[Plan, ...],
    tables: Tables,
    folder: Path,
    pair: tuple[str, str],
    watching: Watching,
) -> Run:
    provider, transport = adapters_of(folder, pair)
    fitted = plans_for(*pair, plans)
    plans = tuple([bounded(plan, **read_bounds(asked.bounds)) for plan in fitted])
    places = Places(tables, folder, provider, transport)
    watching.begins(len(plans), asked.jobs)
    began = time.perf_counter()
    report = verify(
        provider,
        transport,
        plans,
        jobs=asked.jobs,
        max_states=asked.max_states,
        engine=asked.engine,
        on_progress=watching,
    )
    run = Run(
        report=report,
        plans=plans,
        places=places,
        tables=places.named(folder),
        behind=[],
        engine=asked.engine,
        whole=_is_whole(plans, plans_for(*pair)),
        seconds=time.perf_counter() - began,
    )
    if report.counterexample is not None and report.broken is not None:
        world = rerun.walkable(report.broken.plan, provider, transport, engine=asked.engine)
        run.story = story(report.counterexample, world, places)
    return run


def adapters_of(folder: Path, pair: tuple[str, str]) -> tuple[ProviderAdapter, TransportAdapter]:
    """The adapters that the tables of a folder would become."""
    first, second = adapters(folder, *pair)
    return first.ADAPTER, second.ADAPTER


def _is_whole(plans: tuple[Plan, ...], own: tuple[Plan, ...]) -> bool:
    """All worlds of the pair, and none of them narrower than it comes."""
    narrower = (
        bounds_of(plan)[name] < value
        for plan, usual in zip(plans, own, strict=False)
        for name, value in bounds_of(usual).items()
    )
    return len(plans) == len(own) and not any(narrower)


@contextmanager
def told_plainly() -> Iterator[None]:
    """What a user or a machine got wrong, in one line."""
    try:
        yield
    except (UsageError, GenerateError, OSError) as error:
        raise fail(str(error)) from None
    except MemoryError:
        raise fail("out of memory: search fewer worlds, or with smaller --bounds") from None
    except BrokenProcessPool:
        text = "a process of the search was ended from outside, perhaps for want of memory"
        raise fail(f"{text}; try fewer --jobs or smaller --bounds") from None


# -- what is said ---------------------------------------------------------------------------------------------


def _print(asked: Asked, runs: list[Run], stopped: Watching | None) -> None:
    if asked.json:
        verdicts = [run.verdict for run in runs]
        worst = next((v for v in ("broken", "never", "truncated") if v in verdicts), "holds")
        print_json(
            {
                "format": FORMAT,
                "bargein": __version__,
                "finished": stopped is None,
                "verdict": worst if stopped is None else "not finished",
                "runs": [as_json(run) for run in runs],
                "seen": [] if stopped is None else list(stopped.seen.values()),
            }
        )
        return
    console = Console(stderr=asked.mermaid == "-", highlight=False)
    for run in runs:
        show(run, console)
    if stopped is not None:
        show_seen(list(stopped.seen.values()), console)


def _write(asked: Asked, runs: list[Run]) -> None:
    broken = next((run for run in runs if run.story is not None), None)
    if asked.mermaid is None and asked.write_test is None:
        return
    if broken is None or broken.story is None:
        typer.echo("bargein: no counterexample, so nothing was written", err=True)
        return
    if asked.mermaid == "-":
        say(markdown(broken.story).rstrip())
    elif asked.mermaid is not None:
        Path(asked.mermaid).write_text(markdown(broken.story), encoding="utf-8")
        typer.echo(f"wrote {asked.mermaid}", err=True)
    report = broken.report
    if asked.write_test is None or report.counterexample is None or report.broken is None:
        return
    text = regression(
        report.counterexample,
        report.broken.plan,
        report.provider,
        report.transport,
        broken.story,
        broken.engine,
    )
    asked.write_test.write_text(text, encoding="utf-8")
    named = asked.tables or broken.tables
    how = f"BARGEIN_TABLES={named} " if asked.tables or broken.behind else ""
    typer.echo(f"wrote {asked.write_test}; run it: {how}pytest {asked.write_test}", err=True)


def _status(runs: list[Run]) -> int:
    verdicts = {run.verdict for run in runs}
    if verdicts & {"broken", "never"}:
        return FINDING
    return USAGE if "truncated" in verdicts else OK
