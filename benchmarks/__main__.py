"""The command line of the benchmarks."""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import audio, bridge, control, generation, journal, machine, memory, page
from .measure import FULL, QUICK, SMOKE, Effort, Row, Tick

BENCHMARKS: dict[str, tuple[str, Callable[[Effort, Tick], list[Row]], Callable[[Effort], int]]] = {
    "audio": ("one audio event, and the SDK's parse", audio.measure, lambda e: e.rounds),
    "control": ("a control transition, and `transitions`", control.measure, lambda e: e.rounds),
    "journal": ("an audio event written to the journal", journal.measure, lambda e: e.rounds),
    "memory": ("a session in memory", memory.measure, lambda e: 2),
    "generate": ("`bargein generate`", generation.measure, lambda e: max(1, e.bridge_rounds)),
    "bridge": ("the bridge, and a raw relay", bridge.measure, bridge.rounds),
}


def main() -> None:
    """Measure, show, and write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="What bargein costs, as ratios measured in one run."
    )
    parser.add_argument("--quick", action="store_true", help="twenty seconds instead of minutes")
    parser.add_argument("--smoke", action="store_true", help="only show that everything runs")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--write-docs", action="store_true", help=f"renew {page.PAGE.name}")
    asked = parser.parse_args()
    if asked.write_docs and (asked.quick or asked.smoke or asked.only):
        parser.error("--write-docs needs a whole run: leave out --quick, --smoke and --only")
    effort = SMOKE if asked.smoke else QUICK if asked.quick else FULL
    report = run(effort, asked.only or list(BENCHMARKS))
    show(report)
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if asked.write_docs:
        text = page.written(page.PAGE.read_text(encoding="utf-8"), report)
        page.PAGE.write_text(text, encoding="utf-8")


def run(effort: Effort, names: list[str]) -> page.Report:
    """Run the benchmarks of those names, in their order here."""
    facts = machine.facts()
    start = time.perf_counter()
    rows: list[Row] = []
    with Progress(
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        for name, (what, measure, steps) in BENCHMARKS.items():
            if name in names:
                task = progress.add_task(what, total=steps(effort))
                rows += measure(effort, partial(progress.advance, task))
    return page.Report(effort.name, round(time.perf_counter() - start, 1), facts, rows)


def show(report: page.Report) -> None:
    """The table for the terminal."""
    console = Console()
    shown = Table(show_lines=True)
    for heading in ("what", "budget", "measured", "spread", "met", "made of"):
        shown.add_column(heading, overflow="fold")
    for row in report.rows:
        shown.add_row(
            row.what, row.budget, row.measured, row.spread, page.met(row).strip("*"), row.made_of
        )
    console.print(machine.describe(report.machine))
    console.print(shown)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
