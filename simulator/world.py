"""A call as a graph: application, session, two links each way, server, carrier and ear, in every interleaving.

A state is a tuple of numbers and of the messages under way; a move is what one party does. Which moves are offered is
the whole of the search, so the reductions stand here; each has its reason in `Reductions`.
"""

from collections.abc import Iterator

from .acts import Acts
from .knowledge import Readings
from .peers import Carrier, Message, Server
from .properties import Broken
from .quiet import Quiet
from .state import LOST, UNREDUCED, Act, Left, Limits, Move, Reductions, State
from .untimed import Input, UntimedSession
from .watch import Watch

__all__ = ["LOST", "UNREDUCED", "Act", "Left", "Limits", "Move", "Reductions", "State", "World"]


class World(Acts):
    """See the module. One world per search: what its parties did is remembered here."""

    def __init__(
        self,
        session: UntimedSession,
        server: Server,
        carrier: Carrier,
        readings: Readings,
        limits: Limits,
        reductions: Reductions | None = None,
    ) -> None:
        super().__init__(session, server, carrier, readings, limits, reductions)
        self._unheard: dict[int, int] = {}
        self._cut: dict[int, tuple[tuple[int, int], ...]] = {}
        self.quiet = Quiet(self)
        left = Left(*[getattr(limits, name) for name in Left._fields])
        self.start = State(
            session.start,
            server.start,
            carrier.start,
            self.intern_watch(Watch()),
            (), (), (), (), left,
        )  # fmt: skip

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
        while (
            at.from_carrier
            and at.from_carrier[0] != LOST
            and self._is_inert(at, Input("from_carrier", at.from_carrier[0]))
        ):
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
            if step.after != at.session or any(self._wire(step)):
                return False
            return self._watches(at.watch, at.session, given, step) == at.watch
        except Broken:
            return False

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
            return [(*move, act) for act in (Act("carrier_arrives"), *self._overtakers(at, after))]
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
                if timer[0] != "item" or (self.limits.late_marks and self._is_overdue(at, timer[1]))
            ]
        if left.hangups:
            found.append((Act("hangs_up"),))
        return found

    def _overtakers(self, at: State, after: State) -> list[Act]:
        """Clocks of items that have just been played: they may run out before the mark arrives."""
        if not (at.left.deadlines and self.limits.late_marks):
            return []
        return [
            Act("deadline", timer)
            for timer in self.session.timers(at.session)
            if timer[0] == "item"
            and self._is_overdue(after, timer[1])
            and not self._is_overdue(at, timer[1])
        ]

    def _is_overdue(self, at: State, item_id: str) -> bool:
        """The clock cannot overtake the carrier: an item is overdue only when it has been played.

        Nor does it run out before the news that the caller has hung up.
        """
        if at.hung_up:
            return False
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
            if at.left.silences:
                found.append((Act("falls_silent"),))
            if at.left.losses:
                found.append((Act("loses_connection"),))
        return found

    def _carrier_acts(self, at: State) -> list[Move]:
        return [(Act("plays"),)] if self.carrier.buffered_ms(at.carrier) else []

    def _arrivals(self, at: State) -> list[Act]:
        found = [Act("server_arrives")]
        if at.left.lost or at.left.repeated:
            told = self.readings.told(at.from_server[0]) if at.from_server[0] else ()
            if any(each.what not in ("audio", "text") for each in told):
                found += [Act("message_lost")] * bool(at.left.lost)
                found += [Act("message_repeated")] * bool(at.left.repeated)
        return found

    def is_callers(self, move: Move) -> bool:
        """Whether by this move the caller begins to speak, which nobody can rely on."""
        return move[0].what == "chooses" and self.server.is_speech(move[0].about)

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

    # -- what no later step depends on ---------------------------------------------------------------------------

    def _forgets(self, at: State) -> State:
        """`at` without what no later step can depend on: what is over, and names that are no longer in use."""
        if not self.reduced.forget:
            return at
        if not at.to_carrier:
            cut = self._cut_voices(at.watch)  # Before the watch forgets which these are.
            if cut and not any(voice in self.carrier.holds(at.carrier) for voice, _ in cut):
                at = at._replace(carrier=self.carrier.forgets(at.carrier, cut))
        if not (at.to_server or at.from_server or at.to_carrier or at.from_carrier):
            at = self.quiet.tidied(at)
        else:
            ops_out = bool(at.to_server) or any(self._names_op(m) for m in at.from_server)
            session = self.session.calm(at.session, ops_out=ops_out, refs_out=True)
            if session != at.session:
                at = at._replace(session=session)
        return at if at.to_carrier or at.from_carrier else self._recounted(at)

    def _recounted(self, at: State) -> State:
        generation = self.session.generation(at.session)
        if (
            generation
            == self.watches[at.watch].generation
            == self.carrier.generation(at.carrier)
            > 0
        ):
            at = at._replace(
                session=self.session.renews(at.session),
                carrier=self.carrier.recounts(at.carrier),
                watch=self.intern_watch(self.watches[at.watch].recounted()),
            )
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

    def _names_op(self, message: Message) -> bool:
        return any(told.op for told in self.readings.told(message)) if message else False
