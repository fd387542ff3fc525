"""A counterexample as a story: who said what to whom, which rows of the tables made it so, and what differs after it.

world = rerun.walkable(plan, provider, transport)
told = story(found, world, Places(tables, folder, provider, transport))
console.print(diagrams.sequence.table(told, console.width))
"""

import re
from collections.abc import Iterable
from typing import Final, Literal

from msgspec.structs import astuple

from bargein.diagrams.sequence import Change, Lane, Row, Step, Story
from bargein.simulator.explorer import Counterexample
from bargein.simulator.properties import PROPERTIES, Broken
from bargein.simulator.rerun import Leg, walk
from bargein.simulator.untimed import Input
from bargein.simulator.untimed import Step as SessionStep
from bargein.simulator.world import LOST, State, World

from .differences import Differences
from .naming import Messages, Names, reported, spoken
from .places import Places

Kind = Literal["message", "act", "lost", "violation"]

_JUDGED_AT: Final[dict[str, Lane]] = {"I4": "ear", "I6": "ear", "I8": "server"}
"""Where it shows that a call which is over was not right; elsewhere it is the session."""


def story(found: Counterexample, world: World, places: Places) -> Story:
    """The story of a counterexample, told by making its moves again.

    `world` must be a fresh one (`rerun.walkable`) of the plan and the adapters that it was found with.
    """
    broken = PROPERTIES[found.number]
    teller = _Teller(world, places)
    teller.tell(list(walk(world, found.moves)), Broken(found.number, found.finding))
    return Story(
        f"{broken.number}: {broken.name}",
        f"{teller.plain(found.finding)}. The property: {broken.says}",
        tuple(teller.steps),
    )


class _Teller:
    """Tells leg by leg. Names that the search gives a second time are told apart."""

    def __init__(self, world: World, places: Places) -> None:
        self.steps: list[Step] = []
        self._world = world
        self._places = places
        self._last = world.start
        self._names = Names(world)
        self._messages = Messages(world, places, self._names)
        self._differences = Differences(world)
        self._under_way: dict[str, list[str]] = {"server": [], "session": [], "carrier": [], "": []}
        """The words of the messages on each link, by where it ends; `""` is the one from the carrier."""
        self._handed: tuple[Change, ...] | None = None
        """What differs at the other side after it said what arrives at once."""

    def tell(self, legs: list[Leg], found: Broken) -> None:
        for leg, following in zip(legs, [*legs[1:], None], strict=True):
            told, self._last = len(self.steps), leg.before
            if leg.act is None:
                self._judged(leg)
            else:
                at_once = leg.settled is None and following is not None
                getattr(self, f"_tells_{leg.act.what}")(leg, at_once)
            new = self.steps[told:]
            if leg.broken is not None and all(step.kind != "violation" for step in new):
                self.steps[told:] = [_violating(new[0]), *new[1:]]
            if leg.after is not None and leg.settled is not None:
                self._settles(leg.after, leg.settled)
        if all(step.kind != "violation" for step in self.steps):
            text = "all that can still happen happens, and the call never rests"
            self._step(text, "session", kind="violation")

    def plain(self, text: str) -> str:
        """Words of a property with the names that the story uses, and items instead of voices."""
        return self._names(self._names.items_for_voices(self._last, text))

    # -- the application, and time --------------------------------------------------------------------------

    def _tells_request(self, leg: Leg, _: bool) -> None:
        how = "beside" if leg.act and leg.act.about else ""
        given = Input("request", how=how)
        step = self._takes(leg, given)
        beside = " beside the conversation" if how else ""
        self._session(leg, given, f"request {step.ref if step else ''}{beside}", "application")

    def _tells_interrupt(self, leg: Leg, _: bool) -> None:
        scope = str(leg.act.about) if leg.act else ""
        given = Input("interrupt", scope, "supersede" if scope else "api")
        self._session(leg, given, f"interrupt {scope or 'everything'}", "application")

    def _tells_deadline(self, leg: Leg, _: bool) -> None:
        assert leg.act is not None
        kind, name = leg.act.about
        if kind == "response":
            text = f"the time of {name} is over"
        elif kind == "item":
            text = f"by the clock {name} has been played"
        else:
            text = f"{self._names.operation(leg.before, name)} has had no answer in time"
        self._session(leg, Input("deadline", name, kind), text, None)

    _tells_time_passes = _tells_deadline

    # -- the server -------------------------------------------------------------------------------------------

    def _tells_chooses(self, leg: Leg, at_once: bool) -> None:
        if leg.after is None:
            self._step("does something by itself", "server", kind="act")
            return
        changes = self._differences.memory(leg.before.server, leg.after.server)
        said = leg.after.from_server[len(leg.before.from_server) :]
        if at_once and len(said) == 1:
            self._under_way["session"].append(self._messages.from_server(leg.before, said[0]))
            self._handed = changes
        elif said:
            self._server_says(leg.before, said, changes)
        else:
            assert leg.act is not None
            text = " ".join(str(part) for part in leg.act.about if part).replace("_", " ")
            text = re.sub(r" (\d+)\b", r"_\1", text)
            self._step(text, "server", kind="act", changes=changes)

    def _tells_falls_silent(self, leg: Leg, _: bool) -> None:
        self._step("falls silent for good", "server", kind="act")

    def _tells_loses_connection(self, leg: Leg, at_once: bool) -> None:
        self._step("the connection breaks", "server", kind="act")
        for text in self._under_way["server"]:
            self._step(text, "session", "server", kind="lost")
        self._under_way["server"].clear()
        self._server_says(leg.before, (LOST,), ())

    def _tells_server_receives(self, leg: Leg, _: bool) -> None:
        text = self._under_way["server"].pop(0)
        after = leg.after or leg.before
        changes = self._differences.memory(leg.before.server, after.server)
        self._step(text, "session", "server", changes=changes)
        self._server_says(leg.before, after.from_server[len(leg.before.from_server) :], ())

    def _tells_server_arrives(self, leg: Leg, _: bool) -> None:
        message, text = leg.before.from_server[0], self._under_way["session"].pop(0)
        given = Input("from_server", message) if message else Input("provider_lost")
        rows = self._places.received("provider", message) if message else ()
        self._session(leg, given, text, "server", rows)

    def _tells_message_lost(self, leg: Leg, _: bool) -> None:
        text = self._under_way["session"].pop(0)
        self._step(text, "server", "session", kind="lost")

    def _tells_message_repeated(self, leg: Leg, _: bool) -> None:
        text, message = self._under_way["session"][0], leg.before.from_server[0]
        if self._handed is not None:
            self._step(text, "server", "session", arrives=False, changes=self._handed)
            self._handed = None
        self._step(text, "server", "session", arrives=False)  # One arrives, one is still to come.
        rows = self._places.received("provider", message)
        self._session(leg, Input("from_server", message), text, "server", rows)

    def _server_says(
        self, at: State, messages: Iterable[str | bytes], changes: tuple[Change, ...]
    ) -> None:
        for message in messages:
            text = self._messages.from_server(at, message)
            self._under_way["session"].append(text)
            self._step(text, "server", "session", arrives=False, changes=changes)
            changes = ()

    # -- the carrier --------------------------------------------------------------------------------------------

    def _tells_plays(self, leg: Leg, at_once: bool) -> None:
        before = leg.before.carrier
        said = self._world.carrier.plays(before)
        changes = self._differences.playout(leg.before, before, said.after)
        self._step(
            self._differences.played(leg.before, before, said.after),
            "carrier",
            "ear",
            changes=changes,
        )
        if at_once and len(said.messages) == 1:
            self._under_way[""].append(self._messages.from_carrier(said.messages[0]))
            self._handed = ()
        else:
            self._carrier_says(said.messages)

    def _tells_carrier_receives(self, leg: Leg, _: bool) -> None:
        after = leg.after or leg.before
        carrier = leg.before.carrier
        for message in leg.before.to_carrier[: len(leg.before.to_carrier) - len(after.to_carrier)]:
            text = self._under_way["carrier"].pop(0)
            carrier = self._carrier_takes(leg, carrier, message, text)

    def _tells_carrier_arrives(self, leg: Leg, _: bool) -> None:
        message, text = leg.before.from_carrier[0], self._under_way[""].pop(0)
        rows = self._places.received("transport", message)
        self._session(leg, Input("from_carrier", message), text, "carrier", rows)

    def _tells_hangs_up(self, leg: Leg, _: bool) -> None:
        assert leg.after is not None
        self._step("the caller hangs up", "ear", "carrier")
        for text in self._under_way["carrier"]:
            self._step(text, "session", "carrier", kind="lost")
        self._under_way["carrier"].clear()
        self._carrier_says(leg.after.from_carrier[len(leg.before.from_carrier) :])

    def _carrier_takes(
        self,
        leg: Leg,
        carrier: int,
        message: str | bytes,
        text: str,
        rows: tuple[Row, ...] = (),
        violates: bool = False,
    ) -> int:
        said = self._world.carrier.receives(carrier, message)
        changes = self._differences.playout(leg.before, carrier, said.after)
        warned = leg.broken is not None and self._world.carrier.models[said.after].warnings
        kind: Kind = "violation" if violates or warned else "message"
        self._step(text, "session", "carrier", kind=kind, rows=rows, changes=changes)
        self._carrier_says(said.messages)
        return said.after

    def _carrier_says(self, messages: Iterable[str | bytes]) -> None:
        for message in messages:
            text = self._messages.from_carrier(message)
            self._under_way[""].append(text)
            self._step(text, "carrier", "session", arrives=False)

    # -- the session ----------------------------------------------------------------------------------------------

    def _session(
        self,
        leg: Leg,
        given: Input,
        text: str,
        source: Lane | None,
        rows: tuple[Row, ...] = (),
    ) -> None:
        """What comes to the session, what it does, and what it says."""
        step = self._takes(leg, given)
        handed, self._handed = self._handed or (), None
        kind: Kind = "message" if source else "act"
        to: Lane | None = "session" if source else None
        if step is None:  # It raised.
            self._step(text, source or "session", to, kind="violation", rows=rows)
            return
        culprit = self._culprit(leg, given, step)
        self._step(
            text,
            source or "session",
            to,
            kind="violation" if culprit == -1 else kind,
            rows=(*rows, *[self._places.rule(row) for row in step.rows]),
            changes=(*handed, *self._differences.session(leg.before, step)),
        )
        self._says(leg, step, culprit)

    def _says(self, leg: Leg, step: SessionStep, culprit: int | None) -> None:
        at, carrier, waiting = leg.before, leg.before.carrier, len(leg.before.to_carrier)
        for place, action in enumerate(step.actions):
            kind: Kind = "violation" if place == culprit else "message"
            said = self._world.session.written(action)
            if said is None:
                told = spoken(action)
                if told is not None or place == culprit:
                    words = told or reported(action)
                    self._step(words, "session", "application", kind=kind)
                continue
            link, message = said
            if link == "to_server":
                text = self._messages.to_server(message)
                rows = self._places.sent("provider", message)
                self._puts(text, "server", rows, kind, at.silent)
                continue
            text = self._messages.to_carrier(at, message)
            rows = self._places.sent("transport", message)
            order = self._world.readings.ordered(message)
            queued = waiting or not self._world.reduced.eager or order.what == "clear"
            if queued or at.hung_up:
                waiting += self._puts(text, "carrier", rows, kind, at.hung_up)
            else:
                violates = place == culprit
                carrier = self._carrier_takes(leg, carrier, message, text, rows, violates)

    def _puts(self, text: str, to: Lane, rows: tuple[Row, ...], kind: Kind, gone: bool) -> int:
        """A message on its way; 0 if nobody is there any more."""
        if gone:
            self._step(text, "session", to, kind="lost" if kind == "message" else kind, rows=rows)
            return 0
        self._under_way[to].append(text)
        self._step(text, "session", to, kind=kind, arrives=False, rows=rows)
        return 1

    def _takes(self, leg: Leg, given: Input) -> SessionStep | None:
        try:
            return self._world.session.step(leg.before.session, given)
        except Exception:  # The finding says which.
            return None

    def _culprit(self, leg: Leg, given: Input, step: SessionStep) -> int | None:
        """Which action broke the property: the first after which the watch says so; -1: what is missing did."""
        if leg.broken is None:
            return None
        watch, readings = self._world.watches[leg.before.watch], self._world.readings
        wire = tuple(map(self._world.session.written, step.actions))
        for many in range(len(step.actions) + 1):
            try:
                some = step._replace(actions=step.actions[:many])
                watch.after(given, some, readings, wire[:many])
            except Broken as broken:
                if broken.finding == leg.broken.finding:
                    return many - 1
        return None

    # -- after a move -------------------------------------------------------------------------------------------

    def _settles(self, midway: State, settled: State) -> None:
        self._nothing_new(midway, settled)
        self._differences.forget(self._names.given_again(midway, settled))

    def _nothing_new(self, midway: State, settled: State | None) -> None:
        """Messages that change nothing arrive at once."""
        left = len(settled.from_carrier) if settled else 0
        for message in midway.from_carrier[: len(midway.from_carrier) - left]:
            leg = Leg(midway, None, midway)
            text, rows = self._under_way[""].pop(0), self._places.received("transport", message)
            self._session(leg, Input("from_carrier", message), text, "carrier", rows)
        left = len(settled.from_server) if settled else 0
        for message in midway.from_server[: len(midway.from_server) - left]:
            leg = Leg(midway, None, midway)
            text, rows = (
                self._under_way["session"].pop(0),
                self._places.received("provider", message),
            )
            self._session(leg, Input("from_server", message), text, "server", rows)

    def _judged(self, leg: Leg) -> None:
        assert leg.broken is not None
        self._nothing_new(leg.before, None)
        rests = self._world.at_rest(leg.before)
        text = "all is quiet" if rests else "nobody has anything more to say of it"
        at = _JUDGED_AT.get(leg.broken.number, "session")
        changes = self._differences.heard_and_remembered(leg.before) if at != "session" else ()
        self._step(text, at, kind="violation", changes=changes)

    def _step(
        self,
        text: str,
        at: Lane,
        to: Lane | None = None,
        *,
        kind: Kind = "message",
        arrives: bool = True,
        rows: tuple[Row, ...] = (),
        changes: tuple[Change, ...] = (),
    ) -> None:
        named = tuple([Change(*[self._names(words) for words in astuple(c)]) for c in changes])
        self.steps.append(Step(self._names(text), at, to, kind, arrives, rows, named))


def _violating(step: Step) -> Step:
    return Step(step.text, step.at, step.to, "violation", step.arrives, step.rows, step.changes)
