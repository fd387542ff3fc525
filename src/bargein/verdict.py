"""What a verification found, as people read it and as machines do."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bargein.diagrams.sequence import table
from bargein.simulator.explorer import Outcome
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.untimed import RowId
from bargein.simulator.verify import WorldReport
from bargein.simulator.worlds import Plan

from .progress import Seen
from .runs import BROKEN, HOLDS, UNDECIDED, Run, totals

FORMAT: Final = 1
"""Raised when what `--json` prints changes its meaning; what is added does not."""


def show(run: Run, console: Console) -> None:
    """The whole verdict on a console; the last line is its sentence."""
    console.print(_worlds(run))
    console.print(_totals(run))
    skipped = [plan.name for plan in run.plans[len(run.report.worlds) :]]
    if skipped:
        console.print(f"not searched after the counterexample: {', '.join(skipped)}")
    console.print()
    if run.report.verdict in ("holds", "never"):
        console.print(_properties(run))
    else:
        open_ = [number for number in PROPERTIES if run.property_verdict(number) == UNDECIDED]
        console.print(f"not decided: {', '.join(open_)}")
    if run.report.counterexample is None:
        _show_coverage(run, console)
    elif run.story is not None:
        console.print()
        console.print(table(run.story, console.width))
    console.print()
    style = "bold green" if run.verdict == "holds" else "bold red"
    console.print(Text(run.sentence(), style), soft_wrap=True)


def show_seen(seen: list[Seen], console: Console) -> None:
    """What was seen before somebody stopped it."""
    grid = _grid("world", "", "states", "edges", "depth", "seconds")
    for each in seen:
        grid.add_row(
            each.world,
            "searched" if each.finished else "not finished",
            f"{each.states:,}",
            f"{each.edges:,}",
            str(each.depth),
            f"{each.seconds:.1f}",
        )
    if seen:
        console.print(grid)
    console.print(Text("not finished: nothing is proved", "bold red"))


def show_list(plans: tuple[Plan, ...], console: Console) -> None:
    """The worlds with their bounds, and the properties."""
    grid = Table("world", "what it is for, and its bounds", box=box.HORIZONTALS, show_edge=False)
    for plan in plans:
        told = ", ".join(f"{name}={value}" for name, value in bounds_of(plan).items() if value)
        grid.add_row(plan.name, Text.assemble(plan.says, "\n", (told, "dim")))
    console.print(grid)
    console.print()
    grid = Table("", "property", "kind", box=box.HORIZONTALS, show_edge=False)
    for each in PROPERTIES.values():
        grid.add_row(each.number, _property(each.name, each.says), each.kind)
    console.print(grid)
    console.print()
    sometimes = "Besides, every outcome and every row that speaks to a wire must sometimes happen."
    console.print(sometimes)


def bounds_of(plan: Plan) -> dict[str, int]:
    """The bounds of a world by name, as `--bounds` takes them."""
    limits = {name: int(value) for name, value in asdict(plan.limits).items()}
    return limits | {"items": plan.items, "deltas": plan.deltas}


# -- for people ---------------------------------------------------------------------------------------------


def _together(silent: list[RowId], run: Run) -> Iterator[tuple[str, str]]:
    """Rows that one line of a table decides together."""
    for place, same in groupby(silent, key=lambda row: run.places.rule(row).place):
        together = list(same)
        machine, state = together[0][:2]
        yield place, f"{machine}: {state}, {', '.join(event for _, _, event, _ in together)}"


def _grid(*columns: str) -> Table:
    grid = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    for at, name in enumerate(columns):
        right = at > 1
        grid.add_column(name, justify="right" if right else "left", no_wrap=right)
    return grid


def _worlds(run: Run) -> Table:
    grid = _grid("world", "what it is for", "states", "edges", "depth", "s", "edges/s")
    for each in run.report.worlds:
        found = each.outcome
        reached = f"reached: {', '.join(found.reached)}" if found.reached else "no bound reached"
        says = Text.assemble(each.plan.says, "\n", (reached, "dim"))
        if found.truncated:
            says.append("\ncut short: not everything was seen", "bold red")
        if found.counterexample is not None:
            says.append(f"\nBROKEN: {found.counterexample.number}", "bold red")
        grid.add_row(each.plan.name, says, *_numbers(found))
    return grid


def _numbers(found: Outcome) -> tuple[str, ...]:
    rate = found.edges / max(found.seconds, 1e-3)
    return (
        f"{found.states:,}",
        f"{found.edges:,}",
        str(found.depth),
        f"{found.seconds:.1f}",
        f"{rate:,.0f}",
    )


def _totals(run: Run) -> str:
    total = totals(run)
    return (
        f"together: {total['states']:,} states, {total['edges']:,} edges, depth {total['depth']}, "
        f"{total['edges_per_s']:,} edges/s, {run.seconds:.1f} s; the session was found in "
        f"{total['session_states']:,} states, and {total['session_steps']:,} of its steps were really run. "
        "Behind a bound that is reached lies more."
    )


def _properties(run: Run) -> Table:
    grid = Table("", "property", "verdict", box=box.HORIZONTALS, show_edge=False, pad_edge=False)
    for number, each in PROPERTIES.items():
        verdict = run.property_verdict(number)
        style = {HOLDS: "green", BROKEN: "bold red"}.get(verdict, "yellow")
        grid.add_row(number, _property(each.name, each.says), Text(verdict, style))
    return grid


def _property(name: str, says: str) -> Text:
    return Text.assemble((f"{name}. ", "bold"), says)


def _show_coverage(run: Run, console: Console) -> None:
    every, found = run.all_rows, run.report.sometimes
    console.print()
    console.print(
        f"rows of the tables exercised: {len(every) - len(found.unexercised)} of {len(every)}"
    )
    left = [row for row in found.unexercised if row not in found.exempt]
    told = [(run.places.rule(row), run.places.does_nothing(row)) for row in left]
    if any(not nothing for _, nothing in told):
        console.print("never exercised:")
        for row in [row for row, nothing in told if not nothing]:
            console.print(f"  {row.place}  {row.text}", soft_wrap=True)
    if any(nothing for _, nothing in told):
        console.print("never exercised; the table says that they do nothing:")
        for place, words in _together([row for row in left if run.places.does_nothing(row)], run):
            console.print(f"  {place}  {words}", soft_wrap=True)
    for why in dict.fromkeys([*found.exempt_outcomes.values(), *found.exempt.values()]):
        console.print(f"not asked for, since {why}:", soft_wrap=True)
        for what in [what for what, reason in found.exempt_outcomes.items() if reason == why]:
            console.print(f"  {what}")
        silent = [row for row, reason in found.exempt.items() if reason == why]
        for place, words in _together(silent, run):
            console.print(f"  {place}  {words}", soft_wrap=True)
    if not run.whole:
        console.print("What must sometimes happen is judged only when all worlds are searched.")
    for what in run.never:
        where = f"{row_at}  " if (row_at := run.place_of_never(what)) else ""
        console.print(Text(f"FAILED: never happens: {where}{what}", "bold red"), soft_wrap=True)


# -- for machines -------------------------------------------------------------------------------------------


def as_json(run: Run) -> dict[str, Any]:
    """Everything about one run, of plain values."""
    found = run.report.sometimes
    return {
        "provider": run.report.provider,
        "transport": run.report.transport,
        "engine": run.engine,
        "tables": run.tables,
        "behind": run.behind,
        "verdict": run.verdict,
        "sentence": run.sentence(),
        **totals(run),
        "worlds": [_world_json(each) for each in run.report.worlds],
        "not_searched": [plan.name for plan in run.plans[len(run.report.worlds) :]],
        "properties": [
            {
                "number": number,
                "name": each.name,
                "says": each.says,
                "kind": each.kind,
                "verdict": run.property_verdict(number),
            }
            for number, each in PROPERTIES.items()
        ],
        "sometimes": {
            "judged": run.whole and run.report.verdict in ("holds", "never"),
            "never": [{"what": w, "place": run.place_of_never(w)} for w in run.never],
            "not_asked_for": [{"what": w, "why": y} for w, y in found.exempt_outcomes.items()],
        },
        "coverage": {
            "rows": len(run.all_rows),
            "exercised": len(run.all_rows) - len(found.unexercised),
            "unexercised": [
                asdict(run.places.rule(row))
                | {
                    "does_nothing": run.places.does_nothing(row),
                    "not_asked_for": found.exempt.get(row),
                }
                for row in found.unexercised
            ],
        },
        "counterexample": _counterexample_json(run),
    }


def list_json(plans: tuple[Plan, ...]) -> dict[str, Any]:
    """The worlds and the properties."""
    return {
        "format": FORMAT,
        "worlds": [
            {"name": plan.name, "says": plan.says, "bounds": bounds_of(plan)} for plan in plans
        ],
        "properties": [asdict(each) for each in PROPERTIES.values()],
    }


def _world_json(world: WorldReport) -> dict[str, Any]:
    found = world.outcome
    return {
        "name": world.plan.name,
        "says": world.plan.says,
        "bounds": bounds_of(world.plan),
        "reached": found.reached,
        "truncated": found.truncated,
        "broken": found.counterexample is not None,
        "states": found.states,
        "edges": found.edges,
        "quiet": found.quiet,
        "depth": found.depth,
        "seconds": round(found.seconds, 3),
        "states_per_s": round(found.states / max(found.seconds, 1e-3)),
        "edges_per_s": round(found.edges / max(found.seconds, 1e-3)),
        "session_states": world.session_states,
        "session_steps": world.session_steps,
    }


def _counterexample_json(run: Run) -> dict[str, Any] | None:
    found, world = run.report.counterexample, run.report.broken
    if found is None or world is None or run.story is None:
        return None
    broken = PROPERTIES[found.number]
    return {
        "world": world.plan.name,
        "number": found.number,
        "name": broken.name,
        "says": broken.says,
        "finding": found.finding,
        "moves": [[[act.what, act.about] for act in move] for move in found.moves],
        "steps": [
            {"step": number, **_plain(step)} for number, step in enumerate(run.story.steps, 1)
        ],
    }


def _plain(step: Struct) -> dict[str, Any]:
    fields = asdict(step)
    fields["rows"] = [asdict(row) for row in fields["rows"]]
    fields["changes"] = [asdict(change) for change in fields["changes"]]
    return fields
