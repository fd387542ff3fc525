"""What is judged when something is over: one response everywhere, or the whole call.

The oracle is the ear and the server's memory; the session's own words are compared with them, never trusted.
"""

from typing import TYPE_CHECKING, Any

from .knowledge import Reply, Spoken
from .properties import Broken
from .state import Act, State

if TYPE_CHECKING:
    from .world import World

REQUEST = Act("request", False)

_TURN_ACTS = 1000
"""More acts than any one answer takes within the bounds."""

_REPEATS = ("more than once", "out of order", "resumed")
"""Faults of the ear where a carrier can only clear everything: speech nobody interrupted is sent again."""


class Quiet:
    """The judge of what is over in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._tidied: dict[tuple[int, int, int, int], tuple[int, int, int, int] | Broken] = {}
        self._probed: dict[Any, Broken | None] = {}
        self._sounds: dict[tuple[int, int], str] = {}

    # -- one response -----------------------------------------------------------------------------------------

    def tidied(self, at: State) -> State:
        """`at`, where no message is under way, without what is over.

        :raises Broken: if what is over did not end as it must.
        """
        parts = (at.session, at.server, at.carrier, at.watch)
        found = self._tidied.get(parts)
        if found is None:
            try:
                found = self._tidy(at)
            except Broken as broken:
                found = broken
            self._tidied[parts] = found
        if isinstance(found, Broken):
            raise found
        if found == parts:
            return at
        session, server, carrier, watch = found
        return at._replace(session=session, server=server, carrier=carrier, watch=watch)

    def _tidy(self, at: State) -> tuple[int, int, int, int]:
        world = self._world
        server, carrier, watch = at.server, at.carrier, world.watches[at.watch]
        known, holds = world.session.known(at.session), world.carrier.holds(at.carrier)
        gone: list[int] = []
        ids: list[str] = []
        judged: list[str] = []
        for place, reply in enumerate(watch.replies):
            if reply.told == "done" and not at.silent:
                for line in self._lines(at, reply.response):
                    item = next((each for each in reply.items if each.item == line.item), None)
                    if item is None or not _is_remembered(item) or line.voice in holds:
                        continue
                    self.judge_reply(at, reply, [line])
                    judged.append(item.item)
                    ids.append(item.item)
                    server = world.server.forgets_item(server, item.item)
                    carrier = world.carrier.forgets(carrier, ((line.voice, 0),))
            ended = _is_over(reply) or (not watch.connected and reply.verdict)
            if not ended or reply.ref in known or reply.response in known:
                continue
            lines = [line for line in self._lines(at, reply.response) if line.item not in judged]
            voices = frozenset(line.voice for line in lines if line.voice)
            voices |= {item.voice for item in reply.items if item.voice}  # Memory may have lost it.
            if voices & holds or any(line.item in known for line in lines):
                continue
            if not at.silent:
                self.judge_reply(at, reply, lines)
            _judge_reports(reply)
            gone.append(place)
            ids += [item.item for item in reply.items]
            if reply.response:
                ids.append(reply.response)
                server = world.server.forgets(server, reply.response)
                if voices:
                    carrier = world.carrier.forgets(
                        carrier, tuple((voice, 0) for voice in sorted(voices))
                    )
        watch_id = at.watch
        if gone or judged:
            watch_id = world.intern_watch(watch.with_judged(judged).without(gone))
        held = [r.ref for place, r in enumerate(watch.replies) if place not in gone]
        session = world.session.calm(
            at.session,
            ops_out=False,
            refs_out=not known.issuperset(held),
            over=frozenset(ids),
        )
        return session, server, carrier, watch_id

    def _lines(self, at: State, response: str) -> list[Any]:
        memory = self._world.server.models[at.server].memory()
        return [line for line in memory if response and line.response == response]

    def judge_reply(self, at: State, reply: Reply, lines: list[Any]) -> None:
        """I4, I6, I7, I8 of one response: the ear and the server's memory against what is said of it."""
        ear = self._world.carrier.models[at.carrier].ear
        for line in lines:
            item = next((each for each in reply.items if each.item == line.item), None)
            if item is None or line.kind != "message":
                continue
            heard_ms = ear.heard_from_start_ms(line.voice)
            if not reply.covered and not reply.deadlines and heard_ms != line.generated_ms:
                raise Broken(
                    "I4",
                    f"{item.item} was covered by nothing; {heard_ms} of {line.generated_ms} ms are heard",
                )
            if item.outcome == "full" and heard_ms < item.received_ms:
                raise Broken("I6", f"{item.item} is called full; {heard_ms} ms of it were heard")
            if line.out_of_band and item.diverged and item.refusals and not item.unanswered:
                raise Broken(
                    "I8", f"{item.item} is called diverged; the server does not know it at all"
                )
            if line.out_of_band or item.diverged:
                continue
            self._judge_memory(item, line, heard_ms)

    def _judge_memory(self, item: Spoken, line: Any, heard_ms: int) -> None:  # noqa: ANN401
        name, remembered_ms = item.item, line.remembered_ms
        if remembered_ms > heard_ms:
            raise Broken("I8", f"{name}: {heard_ms} ms are heard, {remembered_ms} ms remembered")
        if item.outcome == "full" and remembered_ms < heard_ms:
            raise Broken(
                "I8", f"{name}: all {heard_ms} ms are heard, {remembered_ms} ms remembered"
            )
        if item.outcome == "partial" and remembered_ms != item.cut_ms:
            raise Broken("I8", f"{name}: cut at {item.cut_ms} ms, {remembered_ms} ms remembered")
        if not heard_ms and line.generated_ms and not line.deleted:
            raise Broken("I8", f"{name}: nothing of it is heard, and it is still remembered")

    # -- the whole call -----------------------------------------------------------------------------------------

    def is_quiet(self, at: State) -> bool:
        """Nothing can happen any more unless the application, the caller or a fault begins something."""
        return self._world.at_rest(at) and not self._world.session.timers(at.session)

    def judge_call(self, at: State) -> None:
        """I8, I12, I13 of a quiet state, and the next turn: it must be answered and heard.

        :raises Broken: if one of them does not hold.
        """
        world = self._world
        watch = world.watches[at.watch]
        broken_off = at.silent
        for reply in watch.replies:
            name = reply.ref or reply.response
            if not reply.verdict and not (at.hung_up and not reply.own):
                raise Broken("I12", f"{name} never resolves")
            for item in reply.items:
                if not item.outcome and not broken_off:
                    raise Broken("I12", f"{item.item} never settles")
            if not broken_off:
                self.judge_reply(at, reply, self._lines(at, reply.response))
        for reply in watch.replies:
            _judge_reports(reply)
        if broken_off:
            kept = [] if watch.connected else world.session.left_over(at.session, set())
            if kept:
                raise Broken("I13", f"the line is gone, and the session keeps {', '.join(kept)}")
            return
        waiting = {r.ref for r in watch.replies if r.verdict and r.told not in ("done", "refused")}
        unanswered = bool(world.limits.lost) or world.readings.by_order
        if not world.readings.finishes:  # Such tombstones are kept, a bounded number of them.
            waiting |= world.session.given_up(at.session)
            unanswered = True
        left_over = world.session.left_over(at.session, waiting if unanswered else set())
        if left_over:
            raise Broken("I13", f"all is quiet, and the session keeps {', '.join(left_over)}")
        if not at.hung_up:
            self._asks_again(at)

    def _asks_again(self, at: State) -> None:
        key = (at.session, at.server, at.carrier, at.watch)
        if key not in self._probed:
            try:
                self._next_turn(at)
                self._probed[key] = None
            except Broken as broken:
                self._probed[key] = broken
        found = self._probed[key]
        if found is not None:
            raise found

    def _next_turn(self, at: State) -> None:
        world = self._world
        acts = [REQUEST]
        try:
            at = world.does(at._replace(left=at.left._replace(requests=1)), REQUEST)
            asked = len(world.watches[at.watch].replies) - 1
            while (act := self._goes_on(at)) is not None and len(acts) < _TURN_ACTS:
                acts.append(act)
                at = world.does(at, act)
        except Broken as broken:
            raise Broken(broken.number, broken.finding, tuple((act,) for act in acts)) from None
        reply = world.watches[at.watch].replies[asked]
        if reply.verdict != "completed" or not any(item.outcome == "full" for item in reply.items):
            raise Broken(
                "I12",
                "the next request, made when all is quiet, is not answered and heard: "
                f"{reply.verdict or 'no verdict'}",
                tuple((act,) for act in acts),
            )

    def _goes_on(self, at: State) -> Act | None:
        """Where a mark was lost, or the carrier never reports, only the clock can tell that an item was heard; where
        the server has no last word, only the clock can tell that a response is over.

        Elsewhere nothing may need it.
        """
        world = self._world
        act = world.goes_on(at)
        if act is None and not world.readings.finishes:
            silent = [timer for timer in world.session.timers(at.session) if timer[0] == "response"]
            if silent:
                return Act("time_passes", silent[0])
        mute = not world.readings.marks and not world.carrier.models[at.carrier].buffer.marks_echoed
        if act is None and (mute or world.watches[at.watch].marks):
            clocks = [timer for timer in world.session.timers(at.session) if timer[0] == "item"]
            return Act("time_passes", clocks[0]) if clocks else None
        return act

    # -- sound and wire -------------------------------------------------------------------------------------------

    def judge_sound(self, carrier: int, watch: int) -> None:
        """I3, I6: what sounds is ours, whole, in order and, unless a clear took it along, only once."""
        key = (carrier, watch)
        found = self._sounds.get(key)
        if found is None:
            faults = self._world.carrier.models[carrier].ear.faults()
            if faults and self._world.watches[watch].rewound():
                faults = [f for f in faults if not any(word in f for word in _REPEATS)]
            found = self._sounds[key] = "; ".join(faults)
        if found:
            raise Broken("I6", f"it sounds wrong: {found}")

    def judge_wire(self, carrier: int) -> None:
        """The carrier took the message."""
        warnings = self._world.carrier.models[carrier].warnings
        if warnings:
            raise Broken("wire", f"the carrier does not take a message: {warnings[-1]}")


def _judge_reports(reply: Reply) -> None:
    number, finding = reply.misreport
    if number:
        raise Broken(number, finding)


def _is_remembered(item: Spoken) -> bool:
    """It is settled, and the server has nothing more to say of it."""
    cut = item.outcome in ("partial", "skipped") or item.overrun
    settled = item.answered or item.diverged if cut else item.outcome == "full"
    return settled and item.voice > 0 and not item.judged and not item.refusals


def _is_over(reply: Reply) -> bool:
    never_written = reply.own and not reply.written
    return bool(reply.verdict) and (reply.told in ("done", "refused") or never_written)
