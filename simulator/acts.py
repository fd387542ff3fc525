"""What the parties of a world do: each act from one state to the next."""

from typing import Any

from bargein.runtime import events as ev

from .knowledge import Readings
from .peers import Carrier, Message, Server
from .properties import Broken
from .quiet import Quiet
from .state import LOST, Act, Limits, Reductions, State
from .untimed import Input, Step, UntimedSession, Written
from .watch import Watch

_WITHOUT_EFFECT = (ev.Unknown, ev.SpeechStopped)
"""Events that a session only hands to the application."""


class Acts:
    """What each party does, one act at a time, and what was remembered of it."""

    quiet: Quiet

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
        self._written: dict[int, tuple[Written | None, ...]] = {}
        self._covered: dict[int, frozenset[int]] = {}
        self._spoken: dict[Message, bool] = {}
        self._decode = session.sessions[0].provider.decode

    def does(self, at: State, act: Act) -> State:
        """Where one act leads."""
        after: State = getattr(self, "_does_" + act.what)(at, act.about)
        return after

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
        goodbye = said.messages or (LOST,)  # Some carriers only close their socket.
        return at._replace(
            carrier=said.after,
            to_carrier=(),
            from_carrier=at.from_carrier + goodbye,
            left=left,
            hung_up=True,
        )

    def _does_chooses(self, at: State, choice: object) -> State:
        said = self.server.takes(at.server, choice)
        if self.server.is_speech(choice):
            at = at._replace(left=at.left._replace(speech_turns=at.left.speech_turns - 1))
        return self._says(at, said.after, said.messages)

    def _does_falls_silent(self, at: State, _: None) -> State:
        left = at.left._replace(silences=0)  # What it has not taken yet it never takes.
        return at._replace(to_server=(), left=left, silent=True)

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
        message = at.from_carrier[0]
        given = Input("from_carrier", message) if message else Input("transport_lost")
        return self._steps(at._replace(from_carrier=at.from_carrier[1:]), given)

    # -- the parts ---------------------------------------------------------------------------------------------

    def _steps(self, at: State, given: Input) -> State:
        """The session takes a step, is watched, and what it writes goes on the wires."""
        step = self._step(at, given)
        watch = self._watches(at.watch, at.session, given, step)
        to_server, to_carrier = at.to_server, at.to_carrier
        carrier, from_carrier = at.carrier, at.from_carrier
        for said in self._wire(step):
            if said is None:
                continue
            link, message = said
            if link == "to_server":
                if not at.silent:
                    to_server = (*to_server, message)
            elif at.hung_up:
                pass
            elif to_carrier or not self.reduced.eager or self._is_clear(message):
                to_carrier = (*to_carrier, message)
            else:
                answer = self.carrier.receives(carrier, message)
                carrier, from_carrier = answer.after, from_carrier + answer.messages
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

    def _wire(self, step: Step) -> tuple[Written | None, ...]:
        """What each of its actions writes; None for what is told to the application."""
        found = self._written.get(id(step))
        if found is None:
            found = tuple([self.session.written(action) for action in step.actions])
            self._written[id(step)] = found
        return found

    def _watches(self, watch: int, session: int, given: Input, step: Step) -> int:
        key = (watch, session, given)
        found = self._watched.get(key)
        if found is None:
            try:
                wire = self._wire(step)
                found = self.intern_watch(
                    self.watches[watch].after(given, step, self.readings, wire)
                )
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

    def _says(self, at: State, server: int, messages: tuple[Message, ...]) -> State:
        if self.reduced.plain:
            messages = tuple([message for message in messages if self._means(message)])
        return at._replace(server=server, from_server=at.from_server + messages)

    def _means(self, message: Message) -> bool:
        found = self._spoken.get(message)
        if found is None:
            known = any(type(event) not in _WITHOUT_EFFECT for event in self._decode(message))
            found = self._spoken[message] = known or bool(self.readings.told(message))
        return found

    def _is_clear(self, message: Message) -> bool:
        return self.readings.ordered(message).what == "clear"

    def _silenced(self, watch: int) -> frozenset[int]:
        found = self._covered.get(watch)
        if found is None:
            found = self._covered[watch] = self.watches[watch].silenced()
        return found
