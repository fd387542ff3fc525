"""The table of `docs/performance.md`, between its markers, and the report as JSON."""

from pathlib import Path

from msgspec import Struct

from .machine import MachineFacts, describe
from .measure import Row

BEGIN = "<!-- measured: begin. Written by `make bench`; do not edit. -->"
END = "<!-- measured: end -->"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


class Report(Struct, frozen=True):
    """All that one run has to say."""

    effort: str
    seconds: float
    machine: MachineFacts
    rows: list[Row]


def met(row: Row) -> str:
    """Whether the budget was met, in a word."""
    return {True: "yes", False: "**no**", None: "–"}[row.met]


def table(report: Report) -> str:
    """The report as Markdown."""
    lines = [
        f"{describe(report.machine)} The run took {report.seconds:.0f} s.",
        "",
        "| what | budget | measured | spread | met | made of |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.what} | {row.budget} | {row.measured} | {row.spread} | {met(row)} | {row.made_of} |"
        for row in report.rows
    ]
    with_budget = [row for row in report.rows if row.budget != "–"]
    budgets = [row for row in with_budget if row.met is not None]
    missed = [row.what for row in budgets if not row.met]
    lines += ["", f"{len(budgets) - len(missed)} of {len(budgets)} budgets met."]
    lines += [f"Missed: {'; '.join(missed)}."] if missed else []
    if open_ := len(with_budget) - len(budgets):
        lines += [f"Not judged, since the machine was busy with other work: {open_}."]
    return "\n".join(lines)


def written(page: str, report: Report) -> str:
    """The page with its measured part replaced.

    :raises ValueError: if the page has lost its markers.
    """
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{PAGE.name} has lost its markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table(report)}\n\n{END}{after}"
