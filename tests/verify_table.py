"""Verifies every provider on its first carrier and OpenAI on every one; writes the table of docs/verification.md.

    python -m tests.verify_table              # all pairs, and the table in the page
    python -m tests.verify_table gemini xai   # those with such a provider or carrier, printed only

Some minutes of work. Exits 1 if a pair does not hold.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bargein import adapters
from bargein.simulator.kinds import CARRIERS, SERVERS, common_audio
from bargein.simulator.verify import Report, verify
from bargein.simulator.worlds import PLANS, plans_for

PAGE: Final = Path(__file__).parent.parent / "docs" / "verification.md"
BEGIN: Final = "<!-- table: python -m tests.verify_table -->\n"
END: Final = "<!-- end of table -->\n"
HEAD: Final = (
    "| provider | carrier | worlds | states | edges | verdict | worlds it cannot be in |",
    "|---|---|--:|--:|--:|---|---|",
)
JOBS: Final = 2


def pairs() -> list[tuple[str, str]]:
    """OpenAI with every carrier, the others with the first they share an audio format with."""
    found = []
    for provider in SERVERS:
        speaks = [carrier for carrier in CARRIERS if _speak(provider, carrier)]
        found += [(provider, carrier) for carrier in speaks[: None if provider == "openai" else 1]]
    return found


def _speak(provider: str, carrier: str) -> bool:
    first, second = adapters.provider(provider).audio, adapters.transport(carrier).audio
    return common_audio(provider, first, carrier, second) is not None


def verified(provider: str, carrier: str) -> Report:
    """The verdict on a pair, all its worlds within their bounds."""
    adapter, transport = adapters.provider(provider), adapters.transport(carrier)
    return verify(adapter, transport, plans_for(provider, carrier), jobs=JOBS)


def row(report: Report) -> str:
    """A line of the table."""
    outcomes = [world.outcome for world in report.worlds]
    names = {world.plan.name for world in report.worlds}
    cells = (
        report.provider,
        report.transport,
        str(len(outcomes)),
        f"{sum(outcome.states for outcome in outcomes):,}",
        f"{sum(outcome.edges for outcome in outcomes):,}",
        report.verdict,
        ", ".join(plan.name for plan in PLANS if plan.name not in names) or "none",
    )
    return f"| {' | '.join(cells)} |"


def with_table(page: str, lines: Sequence[str]) -> str:
    """The page with another table in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "".join([before, BEGIN, *[f"{line}\n" for line in lines], END, after])


def table_of(page: str) -> list[list[str]]:
    """The cells of the table that stands in the page, its head left out."""
    _, _, rest = page.partition(BEGIN)
    lines = rest.partition(END)[0].splitlines()[len(HEAD) :]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _told(wanted: Sequence[tuple[str, str]]) -> Iterator[Report]:
    for pair in wanted:
        report = verified(*pair)
        print(row(report), *report.sometimes.never, flush=True)
        yield report


def main(words: Sequence[str]) -> int:
    """Verify the pairs that one of `words` names, or all and then write the table."""
    wanted = [pair for pair in pairs() if not words or set(words) & set(pair)]
    reports = list(_told(wanted))
    if not words:
        page = PAGE.read_text(encoding="utf-8")
        lines = (*HEAD, *map(row, reports))
        PAGE.write_text(with_table(page, lines), encoding="utf-8")
    return 0 if all(report.verdict == "holds" for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
