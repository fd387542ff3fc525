"""What `bargein walk` does: it makes adapters of the tables, walks, keeps its place in a file, says what it found."""

import os
import shlex
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Console

from bargein import __version__
from bargein.diagrams.sequence import markdown
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.simulator.explorer import without_collector
from bargein.simulator.shrink import ample, shrink
from bargein.simulator.untimed import RowId
from bargein.simulator.walk import (
    WALKED,
    Count,
    Found,
    Seen,
    Walk,
    interleaved,
    walked_with,
)
from bargein.simulator.worlds import Plan, bounded
from bargein.statemachines.diagnostics import did_you_mean, listed

from . import proving
from .cli import FINDING, INTERRUPTED, OK, fail, print_json, say, tables_must_be_right
from .counterexample import story
from .places import Places
from .scene_script import SPOKEN, no_scene, script, written_test
from .strides import Strides
from .verdict import list_json, show_list
from .walked import Shrunk, Walked, show

STEPS: Final = 1_000_000
SAVED_EVERY_S: Final = 10.0
FORMAT: Final = 1
"""Of the file of `--state` and of what `--json` prints; raised when the meaning of either changes."""


class Wanted(Struct, kw_only=True, frozen=True):
    """What the command line asks for; see `walk.py`."""

    provider: str | None
    transport: str
    tables: Path | None
    steps: int | None
    minutes: float | None
    seed: int | None
    state: Path | None
    from_call: int | None
    worlds: list[str]
    bounds: list[str]
    engine: str
    json: bool
    draw: bool
    mermaid: str | None
    write_test: Path | None
    force: bool
    list: bool


class Saved(Struct, kw_only=True, frozen=True):
    """The place of a walk, as the file of `--state` has it. `identity` is that of `Walk`."""

    format: int
    bargein: str
    provider: str
    transport: str
    seed: int
    worlds: list[str]
    identity: str
    count: Count
    seconds: float
    rows: list[RowId]
    happened: list[str]


def go(wanted: Wanted) -> None:
    """Do what is asked; always ends by raising `typer.Exit`, with the status of the verdict."""
    plans = _plans(wanted)
    if wanted.list:
        if wanted.json:
            print_json(list_json(plans))
        else:
            show_list(plans, Console(highlight=False))
        raise typer.Exit(OK)
    asked = _asked(wanted)
    proving.known_or_fail("engine", wanted.engine, proving.ENGINES)
    proving.may_write(asked)
    if wanted.state is not None and not wanted.state.absolute().parent.is_dir():
        raise fail(f"{wanted.state}: there is no such folder")
    with tables_must_be_right(), proving.told_plainly():
        folder, _, tables = proving.tables_of(asked)
        pairs = proving.pairs_of(asked, tables)
        if len(pairs) > 1:
            raise fail("name one provider and one transport: each has a walk of its own")
        _can_be_told(wanted, pairs[0])
        plans = _possible(plans, pairs[0])
        adapters = proving.adapters_of(folder, pairs[0])
        walked = Walked(Places(tables, folder, *adapters), _command(wanted, pairs[0]))
        saved = _read(wanted)
        seed = saved.seed if saved else 1 if wanted.seed is None else wanted.seed
        count = saved.count if saved else Count(calls=wanted.from_call or 0)
        seen = Seen(rows=set(saved.rows), happened=set(saved.happened)) if saved else None
        walk = Walk(*adapters, plans, seed=seed, count=count, seen=seen, engine=wanted.engine)
        if saved is not None and saved.identity != walk.identity:
            raise fail(f"{wanted.state}: {_otherwise(saved, walk)}")
        walked.walk, walked.seconds_before = walk, saved.seconds if saved else 0.0
        stopped = _walks(wanted, walked)
        if walked.found is not None and not stopped:
            stopped = _explains(wanted, walked)
    _say(wanted, walked, stopped)
    if walked.shrunk is not None:
        _write(wanted, walked, walked.shrunk)
    if walked.found is not None:
        raise typer.Exit(FINDING)
    raise typer.Exit(INTERRUPTED if stopped else OK)


# -- the walk -------------------------------------------------------------------------------------------------


def _walks(wanted: Wanted, walked: Walked) -> bool:
    """Walk to the end; whether Ctrl-C came before it. The place is kept at the last call that was walked through."""
    walk, stopped = walked.walk, False
    steps = wanted.steps or (None if wanted.minutes is not None else STEPS)
    seconds = None if wanted.minutes is None else wanted.minutes * 60
    began = saved_at = time.monotonic()
    console = Console(stderr=True, highlight=False)
    shown = not wanted.json or console.is_terminal
    with Strides(console, shown, steps, seconds) as strides, without_collector():
        try:
            while walked.found is None and (steps is None or walk.count.steps < steps):
                now = time.monotonic()
                walked.seconds = now - began
                if seconds is not None and walked.seconds >= seconds:
                    break
                if wanted.state is not None and now - saved_at >= SAVED_EVERY_S:
                    _save(wanted.state, walked)
                    saved_at = now
                strides.tell(walked)
                walked.found = walk.next_call()
        except KeyboardInterrupt:
            stopped = True
    walked.seconds = time.monotonic() - began
    if wanted.state is not None:
        _save(wanted.state, walked)
    return stopped


def _explains(wanted: Wanted, walked: Walked) -> bool:
    """Shrink what was found and tell it; whether Ctrl-C came before that was done."""
    assert walked.found is not None
    found, walk = walked.found, walked.walk
    plan = ample(found.plan)
    console = Console(stderr=True, highlight=False)
    try:
        with console.status("shrinking") as status:
            world = interleaved(plan, walk.provider, walk.transport, wanted.engine)
            least = shrink(world, found, lambda n: status.update(f"shrinking: {n} acts"))
            scene = script(least, *_whose(found, walk, wanted)) if _has_scenes(walk) else []
            fresh = interleaved(plan, walk.provider, walk.transport, wanted.engine)
            told = story(least.counterexample, fresh, walked.places)
            walked.shrunk = Shrunk(least, scene, told)
    except KeyboardInterrupt:
        return True
    return False


def _whose(
    found: Found, walk: Walk, wanted: Wanted
) -> tuple[Plan, ProviderAdapter, TransportAdapter, str]:
    return found.plan, walk.provider, walk.transport, wanted.engine


def _has_scenes(walk: Walk) -> bool:
    return (walk.provider.name, walk.transport.name) == SPOKEN


# -- its place ------------------------------------------------------------------------------------------------


def _read(wanted: Wanted) -> Saved | None:
    if wanted.state is None or not wanted.state.exists():
        return None
    try:
        saved = msgspec.json.decode(wanted.state.read_bytes(), type=Saved)
    except msgspec.MsgspecError as error:
        raise fail(f"{wanted.state}: not the place of a walk: {error}") from None
    if saved.format != FORMAT:
        raise fail(f"{wanted.state}: written by bargein {saved.bargein}, in another format")
    if wanted.from_call is not None:
        raise fail(f"{wanted.state} says which call comes next; leave --from-call out")
    if wanted.seed is not None and wanted.seed != saved.seed:
        raise fail(f"{wanted.state} is a walk of seed {saved.seed}; leave --seed out")
    return saved


def _otherwise(saved: Saved, walk: Walk) -> str:
    """Why a walk cannot go on from there."""
    was = f"{saved.provider} on {saved.transport}"
    now = f"{walk.provider.name} on {walk.transport.name}"
    if was != now:
        return f"a walk with {was}, not {now}"
    worlds = [plan.name for plan in walk.plans]
    if saved.worlds != worlds:
        return f"a walk in {', '.join(saved.worlds)}; name the same with --world"
    return "the tables or the bounds have changed since; remove the file to begin anew"


def _save(path: Path, walked: Walked) -> None:
    """All or nothing: what is in the file is always a whole place."""
    walk = walked.walk
    seen = walk.seen
    saved = Saved(
        format=FORMAT,
        bargein=__version__,
        provider=walk.provider.name,
        transport=walk.transport.name,
        seed=walk.seed,
        worlds=[plan.name for plan in walk.plans],
        identity=walk.identity,
        count=walk.count,
        seconds=round(walked.seconds_before + walked.seconds, 3),
        rows=sorted(seen.rows),
        happened=sorted(seen.happened),
    )
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=1))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# -- what is asked and said -----------------------------------------------------------------------------------


def _plans(wanted: Wanted) -> tuple[Plan, ...]:
    known = {plan.name: plan for plan in WALKED}
    names = [name.replace("-", " ").replace("_", " ") for name in wanted.worlds]
    for name in names:
        if name not in known:
            raise fail(f"no world '{name}'{did_you_mean(name, known)}")
    bounds = proving.read_bounds(wanted.bounds)
    return tuple(bounded(plan, **bounds) for plan in WALKED if not names or plan.name in names)


def _possible(plans: tuple[Plan, ...], pair: tuple[str, str]) -> tuple[Plan, ...]:
    """The worlds that the two can be in; one that was named must be among them."""
    found = walked_with(*pair, plans)
    if not found:
        named = listed([plan.name for plan in plans])
        there = ", ".join(plan.name for plan in walked_with(*pair))
        raise fail(f"{pair[0]} cannot be in the world {named}; it can be in: {there}")
    return found


def _can_be_told(wanted: Wanted, pair: tuple[str, str]) -> None:
    if wanted.write_test is not None and pair != SPOKEN:
        raise fail(f"--write-test writes a Scene: {no_scene(*pair)}")


def _command(wanted: Wanted, pair: tuple[str, str]) -> str:
    words = ["bargein", "walk", pair[0], "--transport", pair[1]]
    words += ["--tables", str(wanted.tables)] if wanted.tables else []
    for option, values in (("--world", wanted.worlds), ("--bounds", wanted.bounds)):
        for value in values:
            words += [option, value]
    words += ["--engine", wanted.engine] if wanted.engine != "table" else []
    return shlex.join(words)


def _asked(wanted: Wanted) -> proving.Asked:
    return proving.Asked(
        provider=wanted.provider,
        transport=wanted.transport,
        tables=wanted.tables,
        worlds=[],
        bounds=[],
        max_states=1,
        jobs=1,
        engine=wanted.engine,
        json=wanted.json,
        mermaid=wanted.mermaid,
        write_test=wanted.write_test,
        force=wanted.force,
        list=False,
    )


def _say(wanted: Wanted, walked: Walked, stopped: bool) -> None:
    if wanted.json:
        said: dict[str, Any] = {"format": FORMAT, "bargein": __version__}
        print_json(said | walked.as_json(finished=not stopped))
    else:
        console = Console(stderr=wanted.mermaid == "-", highlight=False)
        show(walked, console, wanted.draw, stopped)
    if stopped and walked.found is None:
        again = f"--state {wanted.state}" if wanted.state else _from_here(walked)
        typer.echo(f"stopped; to go on: {walked.command} {again}", err=True)


def _from_here(walked: Walked) -> str:
    return f"--seed {walked.walk.seed} --from-call {walked.walk.count.calls}"


def _write(wanted: Wanted, walked: Walked, shrunk: Shrunk) -> None:
    if wanted.mermaid == "-":
        say(markdown(shrunk.story).rstrip())
    elif wanted.mermaid is not None:
        Path(wanted.mermaid).write_text(markdown(shrunk.story), encoding="utf-8")
        typer.echo(f"wrote {wanted.mermaid}", err=True)
    if wanted.write_test is not None and walked.found is not None:
        text = written_test(shrunk.run, *_whose(walked.found, walked.walk, wanted))
        wanted.write_test.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {wanted.write_test}; it belongs beside tests/scene.py", err=True)
