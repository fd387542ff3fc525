"""A Scene of a server that answers turn after turn and names nothing, or not what is needed.

The script tells what the server does by the model's own names (`resp_1`), which the wire does not carry, and speaks
of the session's items by the names the session gave them (`turn_1/speech`). Which voice speaks in which item is seen
at the session when the audio arrives; what of it was heard, the ear tells. Most of these servers cannot be made to
forget: what they remember beyond what was heard, the session must call diverged.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from bargein.runtime import actions as do
from bargein.runtime.adapter import ProviderAdapter
from bargein.runtime.session import Settings
from bargein.simulator.openai import Remembered
from bargein.simulator.turns import TurnServer

from .scene_call import Call, both_engines
from .scene_peers import Message, peer
from .scene_world import Direction

__all__ = ["Said", "Turns", "both_engines"]


class Said(NamedTuple):
    """A turn the server has spoken: our handle (None: nobody asked), the model's name of it, the session's item."""

    ref: str | None
    response: str
    item: str


class Turns(Call):
    """See the module. Use as a context manager; the end of the block judges.

    `asks` goes over the settings by which the audio format is asked for, key by key; `rules` are fields of the rules
    of the server's model, `carrier_rules` further arguments of the carrier's. `adapter` is taken in place of the
    shipped one. Where the Scene is not `heard_ready`, what the server says to open the conversation is under way.
    """

    server: TurnServer

    def __init__(
        self,
        engine: str,
        provider: str,
        carrier: str = "twilio",
        *,
        asks: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
        carrier_rules: Mapping[str, Any] | None = None,
        adapter: ProviderAdapter | None = None,
        started: bool = True,
        heard_ready: bool = True,
    ) -> None:
        super().__init__(
            engine,
            provider=provider,
            carrier=carrier,
            settings=settings,
            carrier_rules=carrier_rules or {},
            adapter=adapter,
        )
        self.server, self._told_all, self._asked = peer(provider, self.audio, rules or {})
        self.forgives.divergence = True
        self.voices: dict[str, set[int]] = {}
        """By the session's item, the voices that were heard to speak in it, by the session."""
        self.of_ref: dict[str, str] = {}
        """By the session's item, whose it is."""
        self._asked_for: dict[str, str] = {}
        """By the text of a request, its handle."""
        if not heard_ready:
            self.holds("from_server")
        self._says(self.server.connects())
        self._flow()
        wanted = {**self.audio.asks, **(asks or {})}
        self._does(lambda session: (None, session.configure(self.now_ms, wanted)))
        self._flow()
        self._check(self.server.ready, "the server does not take the settings")
        if started:
            self.starts()

    # -- the script: the application -----------------------------------------------------------------

    def requests(self, *, beside: bool = False, **fields: Any) -> str:  # noqa: ANN401
        """The application asks for a response, in words of its own unless `instructions` says them; its handle."""
        session = self.session
        ref = f"{session.prefix}req_{session.requests_made + 1}"
        words = fields.setdefault("instructions", f"words of {ref}")
        self._asked_for[words] = ref
        made = super().requests(beside=beside, **fields)
        self._check(made == ref, f"the handle is {made}, not {ref}")
        return made

    # -- the script: the server ----------------------------------------------------------------------

    def begins(self, request: str | None = None) -> str:
        """The server takes up the oldest request that waits, which is `request` if that is named; the turn's name."""
        self._next(f"server   begins {request or 'the oldest'}")
        waiting = self.server.waiting
        self._check(bool(waiting), "no request waits")
        turn = self.server.responses[waiting[0]]
        asked = self._asked_for.get(turn.request, turn.request)
        self._check(request in (None, asked), f"{turn.id} answers {asked}, not {request}")
        self._says(self.server.begins(turn.id))
        self._flow()
        return turn.id

    def speaks(
        self, response: str, ms: int, *, delta_ms: int = 100, text: str | None = None
    ) -> str:
        """`ms` more audio of a turn, in deltas; trailing ones if it was stopped. The session's item, "" if none."""
        self._next(f"server   speaks {ms} ms of {response}")
        stopped = self.server.responses[response].state in ("interrupted", "cancelled")
        say = self.server.trailing_delta if stopped else self.server.speaks
        for at_ms in range(0, ms, delta_ms):
            piece_ms = min(delta_ms, ms - at_ms)
            said = say(response, piece_ms) if text is None else say(response, piece_ms, text)
            self._says(said)
        self._flow()
        return next(iter(self.items_of(response)[-1:]), "")

    def calls(self, response: str, name: str = "lookup") -> None:
        """The turn calls a function."""
        self._next(f"server   calls {name} in {response}")
        self._says(self.server.calls(response, name))
        self._flow()

    def finishes(self, response: str, *, premature: bool = False) -> None:
        """The turn is over."""
        self._next(f"server   finishes {response}")
        self._says(self.server.finishes(response, premature=premature))
        self._flow()

    def speaks_up(self) -> str:
        """The server takes the floor though nobody asked; the turn's name."""
        self._next("server   speaks up")
        self._says(self.server.speaks_up())
        self._flow()
        return self.server.latest_response

    def caller_speaks(self, *, playing: bool = False, heard_ms: int | None = None) -> None:
        """The server hears the caller begin; `playing`: it says that its turn, which is over, is interrupted.

        `heard_ms` is how much it reckons heard.
        """
        self._next("caller   speaks")
        self._says(self.server.hears_speech_start(self.now_ms, playing=playing, heard_ms=heard_ms))
        self._flow()

    def replies(self, ms: int, *, finished: bool = True) -> Said:
        """A request and its answer."""
        ref = self.requests()
        self.does(f"create {ref}")
        return self._answers(ref, self.begins(ref), ms, finished)

    def answers_caller(self, ms: int, *, finished: bool = True) -> Said:
        """The caller has spoken and the server answers by itself."""
        return self._answers(None, self.begins(), ms, finished)

    def _answers(self, ref: str | None, response: str, ms: int, finished: bool) -> Said:
        item = self.speaks(response, ms)
        if finished:
            self.finishes(response)
        return Said(ref, response, item)

    # -- what must have been done ----------------------------------------------------------------------

    def items_of(self, response: str) -> list[str]:
        """The session's items in which a turn's voices speak."""
        voices = {each.voice for each in self.server.memory() if each.response == response}
        return [item for item, heard in self.voices.items() if heard & voices]

    def heard_of(self, response: str) -> int:
        """What the ear heard of a turn, whatever the session makes of it."""
        spoken = [each for each in self.server.memory() if each.response == response]
        return sum(self.ear.heard_ms(each.voice) for each in spoken if each.voice)

    def diverged(self, item: str, why: str = "") -> None:
        """The session says that the server remembers an item otherwise than it was heard."""
        got = self.outcome(item)
        fits = got.memory == "diverged" and why in (got.reason or "")
        self._check(fits, f"{item}: expected a divergence ({why}), got {got}")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """All messages written so far, to either wire, that are of that kind or hold a field of that name."""
        return [m for m in self.sent_messages if kind in _names(m)]

    # -- for the judge --------------------------------------------------------------------------------

    def winds_down(self) -> None:
        """Whatever the server still owes is paid, late."""
        if self.server.caller_speaks and self.server.detects_speech:
            self.caller_stops()
            self.unclaim()
        while (head := self.server.head) is not None:
            if head.state == "requested":
                self.begins()
                self.unclaim()
                self.speaks(head.id, 300)
                self.unclaim()
            self.finishes(head.id)
            self.unclaim()

    def asks_again(self) -> None:
        """One more turn."""
        reply = self.replies(700)
        self.hears_ms(700)
        for _ in range(3):  # A deadline may find that it is not due yet, and move.
            due_ms = self.session.next_deadline_ms
            if due_ms is not None and reply.ref not in self.resolved:
                self.passes_until(due_ms)
        self.unclaim()
        assert reply.ref is not None
        self.resolves(reply.ref, "completed")
        self.item_is(reply.item, "full")

    def outcome_about(self, remembered: Remembered) -> do.ItemOutcome | None:
        """By the voice that was heard in it."""
        items = [item for item, heard in self.voices.items() if remembered.voice in heard]
        if len(items) > 1:
            self.fail(f"{remembered.item} is spread over {items}")
        return self.outcomes.get(items[0]) if items else None

    def voices_of(self, item: str) -> set[int]:
        """As they were heard by the session."""
        return self.voices.get(item, set())

    def voices_of_response(self, ref: str) -> set[int]:
        """What the server said for a request, and what the session took for the answer."""
        taken = [self.voices[item] for item, whose in self.of_ref.items() if whose == ref]
        said = {
            each.voice
            for each in self.server.memory()
            if each.voice and each.response and self._request_of(each.response) == ref
        }
        return said.union(*taken)

    # -- the machinery ----------------------------------------------------------------------------------

    def _request_of(self, response: str) -> str:
        words = self.server.responses[response].request
        return self._asked_for.get(words, words)

    def _hears_server(self, message: Message) -> None:
        before = {item.item_id: item.received_bytes for item in self.session.items.values()}
        told = len(self.others)
        super()._hears_server(message)
        voices = {each.voice for each in self._told_all(message) if each.what == "audio"} - {0}
        grown = {
            item.item_id: item.ref
            for item in self.session.items.values()
            if item.received_bytes > before.get(item.item_id, 0)
        }
        for settled in self.others[told:]:  # It may have come and gone with one message.
            if isinstance(settled, do.ItemSettled) and settled.outcome.item not in before:
                grown[settled.outcome.item] = settled.ref
        for item, ref in grown.items():
            self.voices[item] = self.voices.get(item, set()) | voices
            self.of_ref[item] = ref

    def _deliver(self, direction: Direction) -> None:
        closed = self.server.closed
        super()._deliver(direction)
        if self.server.closed and not closed:
            self.fail(f"the server closes the socket: {self.server.close_reason}")

    def _written(self, direction: Direction, message: Message) -> None:
        self.wires[direction].append(message)
        self._log(">", message)
        if direction == "to_carrier":
            self._claims_clear(message)
        else:
            asked = self._asked(message)
            if asked.what == "create":
                ref = self._asked_for.get(asked.request, asked.request)
                self._unclaimed.append(f"create {ref}")
            elif asked.what == "cancel":
                self._unclaimed.append("cancel")
        if isinstance(message, str):
            self.sent_messages.append(json.loads(message))


def _names(value: Any) -> set[str]:  # noqa: ANN401  JSON
    """The kind of a message, and the names of all its fields."""
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    own = {*value, *(value[each] for each in ("type", "event") if isinstance(value.get(each), str))}
    return own.union(*map(_names, value.values()))
