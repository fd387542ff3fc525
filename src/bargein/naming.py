"""What things are called in the story of a counterexample: shortly, and each by one name from beginning to end.

The search gives names again that nobody uses any more; a reader must not take the new thing for the old one.
"""

import re

from bargein.runtime import actions as do
from bargein.simulator.facts import Told
from bargein.simulator.world import LOST, State, World

from .places import Places


class Names:
    """The names of one story, as they stand now. Every text goes through here once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._prefix = world.session.sessions[world.start.session].prefix
        self._shown: dict[str, str] = {}
        self._used: set[str] = set()

    def __call__(self, text: str) -> str:
        """The text with the names that the story uses."""
        return re.sub(r"\b\w+_\d+\b", lambda found: self._name(found[0]), text)

    def _name(self, name: str) -> str:
        if name not in self._shown:
            shown = name.removeprefix(self._prefix)
            stem, _, number = shown.rpartition("_")
            free = int(number)
            while f"{stem}_{free}" in self._used:
                free += 1
            self._shown[name] = f"{stem}_{free}"
            self._used.add(f"{stem}_{free}")
        return self._shown[name]

    def given_again(self, midway: State, settled: State) -> set[str]:
        """What is forgotten between the two states may come again as something else; returns those names."""
        world = self._world
        gone = self._known(midway) - self._known(settled)
        for name in gone:
            self._shown.pop(name, None)
        before = world.session.sessions[midway.session].playout
        after = world.session.sessions[settled.session].playout
        if before.marks_made != after.marks_made:
            was, now = world.session.marks(midway.session), world.session.marks(settled.session)
            kept = [self._name(name) for name in was]
            for name in [name for name in self._shown if name.startswith(before.prefix)]:
                del self._shown[name]
            self._shown.update(zip(now, kept, strict=True))
        return gone

    def _known(self, at: State) -> set[str]:
        """What the watch knows. It forgets last, and only when nobody will speak of a thing any more."""
        names: set[str] = set()
        for reply in self._world.watches[at.watch].replies:
            names |= {reply.ref, reply.response, *[item.item for item in reply.items]}
        return names - {""}

    # -- what has no name of its own ------------------------------------------------------------------------

    def item(self, at: State, voice: int) -> str:
        """The item whose audio carries this number."""
        lines = self._world.server.models[at.server].memory()
        return next((str(line.item) for line in lines if line.voice == voice), f"voice {voice}")

    def operation(self, at: State, op: str) -> str:
        """What a message of ours asked for, by the name we gave it: `the truncate of item_1`."""
        asked = self._world.session.sessions[at.session].operations.get(op)
        if asked is not None:
            return f"the {asked.kind} of {asked.item_id}"
        name = op.removeprefix(self._prefix)
        stem = name.rpartition("_")[0]
        return f"the {stem}" if stem and stem != "req" else name

    def items_for_voices(self, at: State, text: str) -> str:
        """Where a finding speaks of sound by its number, the item."""
        return re.sub(r"\b(?:voice|item) (\d+)\b", lambda found: self.item(at, int(found[1])), text)


class Messages:
    """Wire messages in a few words: what the wire calls them, whom they are about, and milliseconds."""

    def __init__(self, world: World, places: Places, names: Names) -> None:
        self._readings = world.readings
        self._places = places
        self._names = names

    def from_server(self, at: State, message: str | bytes) -> str:
        """What the server says."""
        if message == LOST:
            return "the connection is lost"
        kind, said = self._places.kind("provider", message), self._readings.told(message)
        if not said:
            return kind
        told = said[-1]
        return _line(kind, *_told(told), told.op and f"about {self._names.operation(at, told.op)}")

    def to_server(self, message: str | bytes) -> str:
        """What the session asks of the server."""
        asked = self._readings.asked(message)
        cut = f"at {asked.ms} ms" if asked.what == "truncate" else ""
        kind = self._places.kind("provider", message)
        return _line(kind, asked.request or asked.response, asked.item, cut)

    def to_carrier(self, at: State, message: str | bytes) -> str:
        """What the session orders of the carrier."""
        order = self._readings.ordered(message)
        kind = self._places.kind("transport", message)
        if order.what == "play":
            item = self._names.item(at, order.voice)
            return _line(kind, item, f"{order.from_ms} to {order.to_ms} ms")
        return _line(kind, order.mark)

    def from_carrier(self, message: str | bytes) -> str:
        """What the carrier says."""
        if message == LOST:
            return "the carrier is gone"
        returned = self._readings.returned(message)
        return _line(self._places.kind("transport", message), returned.mark)


def spoken(action: do.Action) -> str | None:
    """What the application is told, if every story should tell it."""
    match action:
        case do.Resolved(ref=ref, verdict=verdict, code=code):
            return f"{ref} is resolved: {verdict}" + (f" ({code})" if code else "")
        case do.TextArrived(item=item):
            return f"text of {item}"
        case do.CallArrived(item=item):
            return f"function call of {item}"
        case do.Problem(side=side, code=code):
            return f"problem of the {side}: {code}"
    return None


def reported(action: do.Action) -> str:
    """What the application is told besides: worth a line only where it is wrong."""
    match action:
        case do.StateChanged(ref=ref, item=item, state=state):
            return f"{item or ref} is {state}"
        case do.ItemSettled(outcome=it) | do.MemorySettled(outcome=it):
            return f"{it.item} is {it.state}, heard {it.heard_ms} ms, memory {it.memory}"
    return type(action).__name__


def _told(told: Told) -> tuple[str, ...]:
    ms = f"{told.ms} ms" if told.what == "audio" else ""
    cut = f"at {told.ms} ms" if told.what == "truncated" else ""
    return told.response, told.item, ms, cut, told.status, told.request and f"for {told.request}"


def _line(*words: str) -> str:
    return " ".join(word for word in words if word)
