"""A call as a graph: application, session, two links each way, server, carrier and ear, in every interleaving.

A state is a tuple of numbers and of the messages under way; a move is what one party does. Which moves are offered is
the whole of the search, so the reductions stand here, each with the reason why nothing is lost (`Reductions`).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Struct

from bargein.runtime import events as ev

from .peers import Carrier, Server
from .properties import Broken
from .quiet import Quiet
from .untimed import Input, Step, UntimedSession, written
from .watch import Readings, Watch

_WITHOUT_EFFECT = (ev.Unknown, ev.SpeechStopped)
"""Events that a session only hands to the application."""

LOST = ""
"""On the link from the server: the connection is gone."""


class Limits(Struct, frozen=True, kw_only=True):
    """How often each thing may happen in one call. What the server may do by itself is bounded by its model."""

    requests: int = 2
    interrupts: int = 2
    """Interrupts of the application: of everything, or of one request while others live."""
    speech_turns: int = 1
    """How often the caller may begin to speak, as the server's VAD hears it."""
    lag: int = 3
    """Messages under way from the server beyond which it begins nothing by itself; it still answers."""
    backlog_ms: int = 300
    """Speech delivered and not yet confirmed as heard, from which on the server begins no more by itself."""
    deadlines: int = 1
    """Timers that fire although something else could still happen. When nothing else can, all may."""
    beside: int = 0
    """How many of the requests may be out of band."""
    scoped: bool = True
    """Whether the application may interrupt one request alone."""
    lost: int = 0
    """Messages of the server, other than audio, that never come."""
    repeated: int = 0
    """Messages of the server, other than audio, that come twice."""
    silences: int = 0
    """Whether the server may fall silent for good."""
    losses: int = 0
    """Whether the connection to the server may break."""
    hangups: int = 0
    """Whether the caller may hang up."""


class Reductions(Struct, frozen=True, kw_only=True):
    """Interleavings that need not be searched because others stand for them. `tests/test_reductions.py` compares.

    * `order`: parties share nothing but links, so moves of different parties commute unless one sends what the other
      takes. A party whose incoming links all hold something cannot be influenced by the others' next moves: it moves
      alone (a persistent set). And the server and the carrier act only when the session needs their message or when
      a message of ours is about to change what they do.
    * `eager`: audio and marks reach the carrier at once unless a clear is under way before them. Playing later is
      still possible, so arriving later adds nothing.
    * `forget`: a response that is over everywhere (for the session, the server, the carrier, on the links and for the
      watch) is judged and taken out of the state. Nobody will speak of it again.
    * `plain`: messages of the server that cannot change a session are not carried.
    * `inert`: a message that is about to arrive and would change nothing arrives at once. It could change something
      later only if the session learned to care about it in between, and it only ever stops caring.
    * `budget`: a state is not searched again with less left of `Limits`; it could do nothing that it cannot do with
      more.
    """

    order: bool = True
    eager: bool = True
    forget: bool = True
    plain: bool = True
    inert: bool = True
    budget: bool = True


_ALL_FALSE = dict.fromkeys(Reductions.__struct_fields__, False)
UNREDUCED = Reductions(**_ALL_FALSE)


class Left(NamedTuple):
    """What is left of `Limits`."""

    requests: int
    interrupts: int
    speech_turns: int
    deadlines: int
    beside: int
    lost: int
    repeated: int
    silences: int
    losses: int
    hangups: int


class State(NamedTuple):
    """One moment of the call."""

    session: int
    server: int
    carrier: int
    watch: int
    to_server: tuple[str, ...]
    from_server: tuple[str, ...]
    to_carrier: tuple[str, ...]
    from_carrier: tuple[str, ...]
    left: Left
    silent: bool = False
    """The server says nothing any more."""
    hung_up: bool = False
    """The caller has hung up."""


class Act(NamedTuple):
    """What one party does in a move: `what` is a method of `World` without its `_does_`."""

    what: str
    about: Any = None


Move = tuple[Act, ...]
"""One step of the search: one act, or a choice of the server or the carrier and the arrival of what it says."""


class World:
    """See the module. One world per search: what its parties did is remembered here."""

    REQUEST = Act("request", False)

    def __init__(
        self,
        session: UntimedSession,
        server: Server,
        carrier: Carrier,
        readings: Readings,
        limits: Limits,
        reductions: Reductions | None = None,
    ) -> None:
        self.session = session
        self.server = server
        self.carrier = carrier
        self.readings = readings
        self.limits = limits
        self.reduced = reductions or Reductions()
        self.watches: list[Watch] = []
        self._watch_ids: dict[Any, int] = {}
        self._watched: dict[tuple[int, int, Input], int | Broken] = {}
        self._written: dict[int, tuple[tuple[str, str], ...]] = {}
        self._covered: dict[int, frozenset[int]] = {}
        self._spoken: dict[str, bool] = {}
        self._unheard: dict[int, int] = {}
        self._cut: dict[int, tuple[tuple[int, int], ...]] = {}
        self._decode = session.sessions[0].provider.decode
        self.quiet = Quiet(self)
        left = Left(*[getattr(limits, name) for name in Left._fields])
        self.start = State(
            session.start,
            server.start,
            carrier.start,
            self.intern_watch(Watch()),
            (), (), (), (), left,
        )  # fmt: skip

    # -- moves --------------------------------------------------------------------------------------------

    def successors(self, at: State) -> Iterator[tuple[Move, State | Broken]]:
        """Every move from `at` and where it leads; `Broken` if it breaks a property."""
        for move in self.moves(at):
            try:
                yield move, self.follow(at, move)
            except Broken as broken:
                yield move, broken

    def follow(self, at: State, move: Move) -> State:
        """Where `move` leads.

        :raises Broken: if a property does not hold on the way.
        """
        for act in move:
            at = self.does(at, act)
        if self.reduced.inert:
            at = self._without_inert(at)
        return self._forgets(at)

    def _without_inert(self, at: State) -> State:
        while at.from_carrier and self._is_inert(at, Input("from_carrier", at.from_carrier[0])):
            at = at._replace(from_carrier=at.from_carrier[1:])
        while (
            at.from_server
            and at.from_server[0] != LOST
            and self._is_inert(at, Input("from_server", at.from_server[0]))
        ):
            at = at._replace(from_server=at.from_server[1:])
        return at

    def _is_inert(self, at: State, given: Input) -> bool:
        try:
            step = self._step(at, given)
            if step.after != at.session or self._wire(step):
                return False
            return self._watches(at.watch, at.session, given, step) == at.watch
        except Broken:
            return False

    def does(self, at: State, act: Act) -> State:
        """Where one act leads."""
        after: State = getattr(self, "_does_" + act.what)(at, act.about)
        return after

    def moves(self, at: State) -> list[Move]:
        """What may happen in `at`, in a fixed order."""
        if self.reduced.order:
            if at.to_carrier:
                return [(Act("carrier_receives"),), *self._carrier_acts(at)]
            if at.to_server:
                return [(Act("server_receives"),), *self._server_acts(at)]
        found = self._application(at)
        if at.to_server:
            found.append((Act("server_receives"),))
        if at.to_carrier:
            found.append((Act("carrier_receives"),))
        if at.from_server:
            found += [(act,) for act in self._arrivals(at)]
        if not at.from_server or not self.reduced.order:
            for choice in self._server_acts(at):
                found += self._and_arrives(at, choice, "from_server")
        if at.from_carrier:
            found.append((Act("carrier_arrives"),))
        if not at.from_carrier or not self.reduced.order:
            for choice in self._carrier_acts(at):
                found += self._and_arrives(at, choice, "from_carrier")
        if self.at_rest(at):
            found += [(Act("time_passes", timer),) for timer in self.session.timers(at.session)]
        return found

    def _and_arrives(self, at: State, move: Move, link: str) -> list[Move]:
        if not self.reduced.order or getattr(at, link):
            return [move]
        try:
            after = self.does(at, move[0])
        except Broken:
            return [move]
        if not getattr(after, link):
            return [move]
        if link == "from_carrier":
            return [(*move, Act("carrier_arrives"))]
        return [(*move, act) for act in self._arrivals(after)]

    def _application(self, at: State) -> list[Move]:
        left, found = at.left, list[Move]()
        if left.requests:
            found.append((Act("request", False),))
            if left.beside:
                found.append((Act("request", True),))
        if left.interrupts:
            found.append((Act("interrupt", ""),))
            if self.limits.scoped:
                open_refs = self.watches[at.watch].open_refs()
                if len(open_refs) > 1:
                    found += [(Act("interrupt", ref),) for ref in open_refs]
        if left.deadlines and not self.at_rest(at):
            found += [
                (Act("deadline", timer),)
                for timer in self.session.timers(at.session)
                if timer[0] != "item" or self._is_overdue(at, timer[1])
            ]
        if left.hangups:
            found.append((Act("hangs_up"),))
        return found

    def _is_overdue(self, at: State, item_id: str) -> bool:
        """The clock cannot overtake the carrier: an item is overdue only when it has been played."""
        item = self.session.sessions[at.session].items[item_id]
        voice = self.watches[at.watch].voice_of(item_id)
        return not at.to_carrier and voice not in self.carrier.holds(at.carrier) and bool(item)

    def _server_acts(self, at: State) -> list[Move]:
        if at.silent or len(at.from_server) >= self.limits.lag:
            return []
        found: list[Move] = [
            (Act("chooses", choice),)
            for choice in self.server.choices(at.server)
            if at.left.speech_turns or not self.server.is_speech(choice)
        ]
        if self._unheard_ms(at.watch) >= self.limits.backlog_ms:
            found = [move for move in found if not self.server.is_audio(move[0].about)]
        if not self.server.models[at.server].closed:
            if at.left.silences and not at.to_server:
                found.append((Act("falls_silent"),))
            if at.left.losses:
                found.append((Act("loses_connection"),))
        return found

    def _carrier_acts(self, at: State) -> list[Move]:
        return [(Act("plays"),)] if self.carrier.buffered_ms(at.carrier) else []

    def _arrivals(self, at: State) -> list[Act]:
        found = [Act("server_arrives")]
        if at.left.lost or at.left.repeated:
            told = self.readings.told(at.from_server[0]) if at.from_server[0] else None
            if told is not None and told.what not in ("audio", "text"):
                found += [Act("message_lost")] * bool(at.left.lost)
                found += [Act("message_repeated")] * bool(at.left.repeated)
        return found

    def at_rest(self, at: State) -> bool:
        """Nothing is under way, nothing plays, and the server owes nothing: only time can pass."""
        return (
            not (at.to_server or at.from_server or at.to_carrier or at.from_carrier)
            and not self.carrier.buffered_ms(at.carrier)
            and (at.silent or not self.server.owes(at.server))
        )

    def goes_on(self, at: State) -> Act | None:
        """One act by which the call goes on by itself, the same in the same state; None at rest."""
        if at.to_server:
            return Act("server_receives")
        if at.to_carrier:
            return Act("carrier_receives")
        if at.from_server:
            return Act("server_arrives")
        if at.from_carrier:
            return Act("carrier_arrives")
        if self.server.owes(at.server):
            return Act("chooses", self.server.choices(at.server)[0])
        if self.carrier.buffered_ms(at.carrier):
            return Act("plays")
        return None

    # -- acts -----------------------------------------------------------------------------------------------

    def _does_request(self, at: State, beside: bool) -> State:
        left = at.left._replace(requests=at.left.requests - 1, beside=at.left.beside - beside)
        given = Input("request", how="beside" if beside else "")
        return self._steps(at._replace(left=left), given)

    def _does_interrupt(self, at: State, scope: str) -> State:
        left = at.left._replace(interrupts=at.left.interrupts - 1)
        cause = "supersede" if scope else "api"
        return self._steps(at._replace(left=left), Input("interrupt", scope, cause))

    def _does_deadline(self, at: State, timer: tuple[str, str]) -> State:
        left = at.left._replace(deadlines=at.left.deadlines - 1)
        return self._steps(at._replace(left=left), Input("deadline", timer[1], timer[0]))

    def _does_time_passes(self, at: State, timer: tuple[str, str]) -> State:
        return self._steps(at, Input("deadline", timer[1], timer[0]))

    def _does_hangs_up(self, at: State, _: None) -> State:
        said = self.carrier.stops(at.carrier)
        left = at.left._replace(hangups=0)
        return at._replace(
            carrier=said.after,
            to_carrier=(),
            from_carrier=at.from_carrier + said.messages,
            left=left,
            hung_up=True,
        )

    def _does_chooses(self, at: State, choice: object) -> State:
        said = self.server.takes(at.server, choice)
        if self.server.is_speech(choice):
            at = at._replace(left=at.left._replace(speech_turns=at.left.speech_turns - 1))
        return self._says(at, said.after, said.messages)

    def _does_falls_silent(self, at: State, _: None) -> State:
        return at._replace(left=at.left._replace(silences=0), silent=True)

    def _does_loses_connection(self, at: State, _: None) -> State:
        left = at.left._replace(losses=0)
        from_server = (*at.from_server, LOST)
        return at._replace(to_server=(), from_server=from_server, left=left, silent=True)

    def _does_server_receives(self, at: State, _: None) -> State:
        message, at = at.to_server[0], at._replace(to_server=at.to_server[1:])
        if at.silent:
            return at
        said = self.server.receives(at.server, message)
        return self._says(at, said.after, said.messages)

    def _does_server_arrives(self, at: State, _: None) -> State:
        message = at.from_server[0]
        given = Input("from_server", message) if message else Input("provider_lost")
        return self._steps(at._replace(from_server=at.from_server[1:]), given)

    def _does_message_lost(self, at: State, _: None) -> State:
        left = at.left._replace(lost=at.left.lost - 1)
        return at._replace(from_server=at.from_server[1:], left=left)

    def _does_message_repeated(self, at: State, _: None) -> State:
        left = at.left._replace(repeated=at.left.repeated - 1)
        message = at.from_server[0]
        return self._steps(at._replace(left=left), Input("from_server", message))

    def _does_plays(self, at: State, _: None) -> State:
        said = self.carrier.plays(at.carrier)
        if not any(self.readings.ordered(m).what == "clear" for m in at.to_carrier):
            before, after = self.carrier.models[at.carrier].ear, self.carrier.models[said.after].ear
            for voice in self._silenced(at.watch):
                if after.heard_ms(voice) > before.heard_ms(voice):
                    raise Broken("I5", f"voice {voice} is heard after it was silenced")
        self.quiet.judge_sound(said.after, at.watch)
        from_carrier = at.from_carrier + said.messages
        return at._replace(carrier=said.after, from_carrier=from_carrier)

    def _does_carrier_receives(self, at: State, _: None) -> State:
        carrier, from_carrier, waiting = at.carrier, at.from_carrier, at.to_carrier
        while waiting:
            message, waiting = waiting[0], waiting[1:]
            said = self.carrier.receives(carrier, message)
            carrier, from_carrier = said.after, from_carrier + said.messages
            if not self.reduced.eager or (waiting and self._is_clear(waiting[0])):
                break
        return at._replace(carrier=carrier, from_carrier=from_carrier, to_carrier=waiting)

    def _does_carrier_arrives(self, at: State, _: None) -> State:
        given = Input("from_carrier", at.from_carrier[0])
        return self._steps(at._replace(from_carrier=at.from_carrier[1:]), given)

    # -- the parts ---------------------------------------------------------------------------------------------

    def _steps(self, at: State, given: Input) -> State:
        """The session takes a step, is watched, and what it writes goes on the wires."""
        step = self._step(at, given)
        watch = self._watches(at.watch, at.session, given, step)
        to_server, to_carrier = at.to_server, at.to_carrier
        carrier, from_carrier = at.carrier, at.from_carrier
        for link, message in self._wire(step):
            if link == "to_server":
                if not at.silent:
                    to_server = (*to_server, message)
            elif at.hung_up:
                pass
            elif to_carrier or not self.reduced.eager or self._is_clear(message):
                to_carrier = (*to_carrier, message)
            else:
                said = self.carrier.receives(carrier, message)
                carrier, from_carrier = said.after, from_carrier + said.messages
                self.quiet.judge_wire(carrier)
        return State(
            step.after, at.server, carrier, watch,
            to_server, at.from_server, to_carrier, from_carrier, at.left, at.silent, at.hung_up,
        )  # fmt: skip

    def _step(self, at: State, given: Input) -> Step:
        try:
            return self.session.step(at.session, given)
        except Exception as error:  # Whatever a table makes of a session, it must not raise.
            raise Broken("I12", f"the session raises {type(error).__name__}: {error}") from error

    def _wire(self, step: Step) -> tuple[tuple[str, str], ...]:
        found = self._written.get(id(step))
        if found is None:
            said = [written(action) for action in step.actions]
            found = self._written[id(step)] = tuple([each for each in said if each is not None])
        return found

    def _watches(self, watch: int, session: int, given: Input, step: Step) -> int:
        key = (watch, session, given)
        found = self._watched.get(key)
        if found is None:
            try:
                found = self.intern_watch(self.watches[watch].after(given, step, self.readings))
            except Broken as broken:
                found = broken
            self._watched[key] = found
        if isinstance(found, Broken):
            raise found
        return found

    def intern_watch(self, watch: Watch) -> int:
        """The number of a watch."""
        key = watch.key()
        found = self._watch_ids.get(key)
        if found is None:
            found = self._watch_ids[key] = len(self.watches)
            self.watches.append(watch)
        return found

    def _says(self, at: State, server: int, messages: tuple[str, ...]) -> State:
        if self.reduced.plain:
            messages = tuple([message for message in messages if self._means(message)])
        return at._replace(server=server, from_server=at.from_server + messages)

    def _means(self, message: str) -> bool:
        found = self._spoken.get(message)
        if found is None:
            known = any(type(event) not in _WITHOUT_EFFECT for event in self._decode(message))
            found = self._spoken[message] = known or self.readings.told(message) is not None
        return found

    def _is_clear(self, message: str) -> bool:
        return self.readings.ordered(message).what == "clear"

    def _silenced(self, watch: int) -> frozenset[int]:
        found = self._covered.get(watch)
        if found is None:
            found = self._covered[watch] = self.watches[watch].silenced()
        return found

    def _forgets(self, at: State) -> State:
        """`at` without what no later step can depend on: what is over, and names that are no longer in use."""
        if not self.reduced.forget:
            return at
        if not (at.to_server or at.from_server or at.to_carrier or at.from_carrier):
            at = self.quiet.tidied(at)
        else:
            ops_out = bool(at.to_server) or any(self._names_op(m) for m in at.from_server)
            session = self.session.calm(at.session, ops_out, None)
            if session != at.session:
                at = at._replace(session=session)
        if at.to_carrier:
            return at
        cut = self._cut_voices(at.watch)
        if cut and not any(voice in self.carrier.holds(at.carrier) for voice, _ in cut):
            at = at._replace(carrier=self.carrier.forgets(at.carrier, cut))
        return at if at.from_carrier else self._recounted(at)

    def _recounted(self, at: State) -> State:
        marks = self.carrier.marks(at.carrier)
        after = self.session.recounts(at.session)
        watched = tuple([mark[0] for mark in self.watches[at.watch].marks])
        if after == at.session or not marks == watched == self.session.marks(at.session):
            return at
        names = self.session.counted(at.session)
        watch = self.intern_watch(self.watches[at.watch].with_marks(names))
        carrier = self.carrier.renames(at.carrier, names)
        return at._replace(session=after, carrier=carrier, watch=watch)

    def _unheard_ms(self, watch: int) -> int:
        found = self._unheard.get(watch)
        if found is None:
            found = self._unheard[watch] = self.watches[watch].unheard_ms()
        return found

    def _cut_voices(self, watch: int) -> tuple[tuple[int, int], ...]:
        found = self._cut.get(watch)
        if found is None:
            found = self._cut[watch] = self.watches[watch].cut()
        return found

    def _names_op(self, message: str) -> bool:
        told = self.readings.told(message) if message else None
        return told is not None and bool(told.op)
