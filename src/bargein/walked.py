"""What a walk found, as people read it and as machines do."""

from typing import Any, Final

from msgspec import Struct
from rich.console import Console

from bargein.diagrams.sequence import Story, table
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.shrink import Run
from bargein.simulator.sometimes import OUTCOMES
from bargein.simulator.state import Act
from bargein.simulator.walk import Found, Walk

from .places import Places

_SHORT: Final = {
    "server_receives": "the server receives",
    "server_arrives": "from the server arrives",
    "carrier_receives": "the carrier receives",
    "carrier_arrives": "from the carrier arrives",
    "plays": "the carrier plays to the next mark",
    "chooses": "the server",
    "message_lost": "a message of the server never comes",
    "message_repeated": "a message of the server comes, and will come again",
    "falls_silent": "the server falls silent for good",
    "loses_connection": "the connection to the server breaks",
    "hangs_up": "the caller hangs up",
}


class Shrunk(Struct, frozen=True):
    """A call that broke a property, made short: the run, the Scene of it, and its story."""

    run: Run
    scene: list[str]
    story: Story


class Walked:
    """A walk, and what came of it."""

    walk: Walk

    def __init__(self, places: Places, command: str) -> None:
        self.places = places
        self.command = command
        """How the same tables, worlds and engine are asked for; the seed and the call must be added."""
        self.found: Found | None = None
        self.shrunk: Shrunk | None = None
        self.seconds = 0.0
        """Of this run of the command, shrinking left out."""
        self.seconds_before = 0.0

    @property
    def rate(self) -> float:
        """Steps per second, over all runs of the command."""
        return self.walk.count.steps / max(self.seconds_before + self.seconds, 1e-3)

    @property
    def elapsed(self) -> str:
        """Of all runs of the command, as people read it."""
        minutes, seconds = divmod(round(self.seconds_before + self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    @property
    def missing(self) -> list[str]:
        """Outcomes that did not come about."""
        happened = self.walk.seen.happened
        return [outcome for outcome in OUTCOMES if outcome not in happened]

    def as_json(self, finished: bool) -> dict[str, Any]:
        """For `--json`."""
        walk, count = self.walk, self.walk.count
        verdict = "broken" if self.found else "holds" if finished else "not finished"
        unexercised = walk.unexercised()
        return {
            "verdict": verdict,
            "provider": walk.provider.name,
            "transport": walk.transport.name,
            "seed": walk.seed,
            "worlds": [plan.name for plan in walk.plans],
            "steps": count.steps,
            "calls": count.calls,
            "quiet": count.quiet,
            "fingerprint": f"{count.fingerprint:08x}",
            "seconds": round(self.seconds_before + self.seconds, 3),
            "steps_per_second": round(self.rate),
            "session_states": walk.sessions,
            "worlds_thrown_away": walk.resets,
            "rows": {
                "all": walk.rows(),
                "fired": walk.rows() - len(unexercised),
                "never": [
                    {"row": list(row), "place": self.places.rule(row).place} for row in unexercised
                ],
            },
            "outcomes_missing": self.missing,
            "counterexample": self._counterexample(),
        }

    def _counterexample(self) -> dict[str, Any] | None:
        if self.found is None:
            return None
        found, shrunk = self.found, self.shrunk
        return {
            "property": found.number,
            "name": PROPERTIES[found.number].name,
            "finding": shrunk.run.broken.finding if shrunk else found.finding,
            "world": found.plan.name,
            "call": found.call,
            "acts_walked": len(found.acts),
            "acts": shrunk.run.acts if shrunk else found.acts,
            "acts_of_the_judge": shrunk.run.judged if shrunk else [],
            "scene": shrunk.scene if shrunk else [],
            "again": self.again(found),
        }

    def again(self, found: Found) -> str:
        """How the call is walked again."""
        return f"{self.command} --seed {self.walk.seed} --from-call {found.call} --steps 1"


def show(walked: Walked, console: Console, draw: bool, stopped: bool) -> None:
    """For people."""
    if walked.found is not None:
        _show_found(walked, walked.found, console, draw)
        console.print()
    walk, count = walked.walk, walked.walk.count
    fired = walk.rows() - len(walk.unexercised())
    console.print(
        f"seed {walk.seed}: {count.steps:,} steps in {count.calls:,} calls, {count.quiet:,} quiet "
        f"moments judged, {len(walk.plans)} world{'s' * (len(walk.plans) != 1)}",
        soft_wrap=True,
    )
    console.print(
        f"{walked.elapsed} at {walked.rate:,.0f} steps/s, {walk.sessions:,} session states; "
        f"{fired} of {walk.rows()} rows fired; fingerprint {count.fingerprint:08x}",
        soft_wrap=True,
    )
    if walked.missing:
        console.print(f"never came about: {', '.join(walked.missing)}", soft_wrap=True)
    console.print()
    who = f"{walk.provider.name} on {walk.transport.name}"
    if walked.found is not None:
        number = walked.found.number
        verdict = (
            f"BROKEN: {number}, {PROPERTIES[number].name}, in the world '{walked.found.plan.name}'."
        )
    elif stopped:
        verdict = "stopped; nothing broke so far."
    else:
        verdict = "nothing broke. A walk proves nothing; `bargein verify` does, within its bounds."
    console.print(f"{who}: {verdict}", soft_wrap=True)


def _show_found(walked: Walked, found: Found, console: Console, draw: bool) -> None:
    broken, shrunk = PROPERTIES[found.number], walked.shrunk
    finding = shrunk.run.broken.finding if shrunk else found.finding
    console.print(f"[bold]{broken.number}: {broken.name}[/bold]", soft_wrap=True)
    console.print(finding, soft_wrap=True, markup=False)
    console.print(f"The property: {broken.says}", soft_wrap=True, markup=False)
    console.print()
    where = f"call {found.call:,} of seed {walked.walk.seed}, in the world '{found.plan.name}'"
    if shrunk is None:
        console.print(f"{where}, {len(found.acts)} acts, not shrunk", soft_wrap=True)
    else:
        acts, judged = shrunk.run.acts, shrunk.run.judged
        console.print(f"{where}: {len(acts)} of {len(found.acts)} acts are enough", soft_wrap=True)
        for number, act in enumerate(acts, 1):
            console.print(f"{number:4}. {told(act)}", soft_wrap=True, markup=False)
        if judged:
            last = f"{told(judged[0])} … {told(judged[-1])}"
            console.print(
                f"      and the judge goes on, {len(judged)} acts: {last}", soft_wrap=True
            )
        if shrunk.scene:
            console.print("\nAs a Scene:\n")
            for line in shrunk.scene:
                console.print(f"    {line}", soft_wrap=True, markup=False)
        if draw:
            console.print()
            console.print(table(shrunk.story, console.width))
    console.print(f"\nto walk this call again: {walked.again(found)}", soft_wrap=True)


def told(act: Act) -> str:
    """One act in words."""
    what, about = act
    match what:
        case "request":
            return f"the application requests{' beside' * bool(about)}"
        case "interrupt":
            return f"the application interrupts {about or 'all'}"
        case "deadline":
            return f"the time of {about[0]} {about[1]} is up, early"
        case "time_passes":
            return f"nothing else can happen; the time of {about[0]} {about[1]} is up"
        case "chooses":
            whom = getattr(about, "item", "") or about.response
            return " ".join(
                filter(None, ("the server", about.act.replace("_", " "), whom, about.how))
            )
    return _SHORT.get(what, what.replace("_", " "))
