"""What differs between two moments of a call: for the session, in the server's memory, at the carrier, in the ear."""

from typing import Any

from bargein.diagrams.sequence import Change
from bargein.runtime import actions as do
from bargein.runtime.session import Session
from bargein.simulator.untimed import Step
from bargein.simulator.world import State, World


class Differences:
    """Compares moments of one walk through a world, which must be told of each step of the session in order.

    The explorer forgets how much was heard of an item once that is settled; what was said of it is kept here.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: dict[str, tuple[str, ...]] = {}
        self._memory: dict[str, str] = {}

    def forget(self, names: set[str]) -> None:
        """These are over, and their names may be given again."""
        for name in names:
            self._items.pop(name, None)
            self._memory.pop(name, None)

    def session(self, at: State, step: Step) -> tuple[Change, ...]:
        """What the session's step changed: responses, items with what was heard, and what it says of memory."""
        before = self._world.session.sessions[at.session]
        after = self._world.session.sessions[step.after]
        changes = [
            Change(f"response {ref}", _state(before, ref), _state(after, ref) or "over")
            for ref in {**before.responses, **after.responses}
        ]
        for action in step.actions:
            if isinstance(action, do.ItemSettled):
                changes += self._settled(action.outcome)
                changes += self._remembers(action.outcome)
            elif isinstance(action, do.MemorySettled):
                changes += self._remembers(action.outcome)
        for item in after.items.values():
            changes += self._moved(item.outcome(), item.settled)
        return tuple([change for change in changes if change.before != change.after])

    def _settled(self, outcome: do.ItemOutcome) -> list[Change]:
        return self._is(outcome.item, outcome.state, _heard(outcome))

    def _moved(self, outcome: do.ItemOutcome, settled: bool) -> list[Change]:
        heard = _heard(outcome)
        if settled:
            heard = "".join(self._items.get(outcome.item, ("", heard))[1:])
        return self._is(outcome.item, outcome.state, heard)

    def _is(self, item: str, state: str, heard: str) -> list[Change]:
        before = ", ".join(self._items.get(item, ()))
        self._items[item] = (state, heard) if heard else (state,)
        return [Change(item, before, ", ".join(self._items[item]))]

    def _remembers(self, outcome: do.ItemOutcome) -> list[Change]:
        before = self._memory.get(outcome.item, "")
        after = outcome.memory + (f": {outcome.reason}" if outcome.reason else "")
        self._memory[outcome.item] = after
        return [Change(f"{outcome.item}, memory", before, after)]

    def memory(self, before: int, after: int) -> tuple[Change, ...]:
        """What the server remembers of each item."""
        was, now = self._remembered(before), self._remembered(after)
        return _differing("server remembers of {}", was, now)

    def playout(self, at: State, before: int, after: int) -> tuple[Change, ...]:
        """What the carrier has still to play, and what the ear has heard of each item."""
        carrier = self._world.carrier
        was = {"carrier's buffer": f"{carrier.buffered_ms(before)} ms"}
        now = {"carrier's buffer": f"{carrier.buffered_ms(after)} ms"}
        heard = self._heard(at, before), self._heard(at, after)
        return (*_differing("{}", was, now), *_differing("ear has heard of {}", *heard))

    def heard_and_remembered(self, at: State) -> tuple[Change, ...]:
        """Items of which more or less is remembered than was heard."""
        heard, remembered = self._heard(at, at.carrier), self._remembered(at.server)
        return tuple(
            [
                Change(item, f"heard {heard.get(item, '0 ms')}", f"remembered {remembered[item]}")
                for item in remembered
                if heard.get(item, "0 ms") != remembered[item]
            ]
        )

    def played(self, at: State, before: int, after: int) -> str:
        """What sounds between the two states of the carrier."""
        was, now = self._heard(at, before), self._heard(at, after)
        items = [item for item in now if was.get(item) != now[item]]
        return f"plays {' and '.join(items)}" if items else "plays"

    def _remembered(self, server: int) -> dict[str, str]:
        return {
            line.item: "nothing, deleted" if line.deleted else f"{line.remembered_ms} ms"
            for line in self._lines(server)
        }

    def _heard(self, at: State, carrier: int) -> dict[str, str]:
        ear = self._world.carrier.models[carrier].ear
        return {
            line.item: f"{ear.heard_ms(line.voice)} ms"
            for line in self._lines(at.server)
            if line.voice in ear.items
        }

    def _lines(self, server: int) -> list[Any]:
        return [line for line in self._world.server.models[server].memory() if line.response]


def _state(session: Session, ref: str) -> str:
    response = session.responses.get(ref)
    return response.state if response is not None else ""


def _differing(what: str, was: dict[str, str], now: dict[str, str]) -> tuple[Change, ...]:
    return tuple(
        [
            Change(what.format(name), was.get(name, ""), value)
            for name, value in now.items()
            if was.get(name, "") != value
        ]
    )


def _heard(outcome: do.ItemOutcome) -> str:
    return f"heard {outcome.heard_ms} of {outcome.received_ms} ms" if outcome.received_ms else ""
