"""One provider with one carrier, verified: what is known, and what is not."""

from typing import Any, Final

from msgspec import Struct

from bargein.diagrams.sequence import Story
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.untimed import RowId
from bargein.simulator.verify import Report
from bargein.simulator.worlds import Plan
from bargein.statemachines.diagnostics import listed

from .places import Places, rows

HOLDS: Final = "holds within these bounds"
BROKEN: Final = "broken"
UNDECIDED: Final = "not decided"


class Run(Struct, kw_only=True):
    """One provider with one carrier, verified."""

    report: Report
    plans: tuple[Plan, ...]
    places: Places
    tables: str
    """The folder, as it is printed."""
    behind: list[str]
    """Generated adapters that are not what these tables say."""
    engine: str
    whole: bool
    """All worlds were to be searched, within their own bounds or wider ones: only then *sometimes* is judged."""
    seconds: float
    story: Story | None = None

    @property
    def verdict(self) -> str:
        """`holds`, `broken`, `never` or `truncated`."""
        found = self.report.verdict
        return "holds" if found == "never" and not self.whole else found

    @property
    def never(self) -> list[str]:
        """What must sometimes happen and never does."""
        return self.report.sometimes.never if self.whole and self.report.verdict == "never" else []

    @property
    def all_rows(self) -> list[RowId]:
        """Every row of the two machines."""
        machines = self.places.tables.machines
        return rows([machines["response"], machines["playback"]])

    def property_verdict(self, number: str) -> str:
        """What is known of a property. A search that was cut short, or ended at another one, decides nothing."""
        found = self.report.counterexample
        if found is not None:
            return BROKEN if found.number == number else UNDECIDED
        return UNDECIDED if self.report.verdict == "truncated" else HOLDS

    def place_of_never(self, what: str) -> str | None:
        """Where the table has the row that never fires."""
        for row in self.report.sometimes.unexercised:
            machine, state, event, _ = row
            if what.startswith(f"{machine}: {state}, {event}"):
                told = self.places.rule(row)
                guard = what.partition(" if ")[2]
                if (f" if {guard}" in told.text) == bool(guard):
                    return told.place
        return None

    def sentence(self) -> str:
        """The verdict in a sentence."""
        outcomes = [each.outcome for each in self.report.worlds]
        who = f"{self.report.provider} on {self.report.transport}"
        size = (
            f"{sum(o.states for o in outcomes):,} states, {sum(o.edges for o in outcomes):,} edges"
        )
        if self.verdict == "broken" and self.report.broken and self.report.counterexample:
            number, world = self.report.counterexample.number, self.report.broken.plan.name
            return f"{who}: BROKEN: {number}, {PROPERTIES[number].name}, in the world '{world}'."
        if self.verdict == "truncated":
            cut = listed([w.plan.name for w in self.report.worlds if w.outcome.truncated])
            return (
                f"{who}: NOT FINISHED: {cut} cut short at --max-states; nothing is proved ({size})."
            )
        if self.verdict == "never":
            return (
                f"{who}: NEVER: nothing is broken, but {len(self.never)} that must sometimes happen "
                f"cannot ({size})."
            )
        worlds = f"{len(outcomes)} world{'s' * (len(outcomes) != 1)}"
        return (
            f"{who}: all {len(PROPERTIES)} properties hold within these bounds: {worlds}, {size}."
        )


def totals(run: Run) -> dict[str, Any]:
    """Sums over all worlds; the rates are those of the searches alone."""
    worlds = run.report.worlds
    searching = max(sum(each.outcome.seconds for each in worlds), 1e-3)
    states = sum(each.outcome.states for each in worlds)
    edges = sum(each.outcome.edges for each in worlds)
    return {
        "states": states,
        "edges": edges,
        "depth": max((each.outcome.depth for each in worlds), default=0),
        "seconds": round(run.seconds, 3),
        "states_per_s": round(states / searching),
        "edges_per_s": round(edges / searching),
        "session_states": sum(each.session_states for each in worlds),
        "session_steps": sum(each.session_steps for each in worlds),
    }
