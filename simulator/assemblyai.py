"""A sans-I/O model of the AssemblyAI Voice Agent's server (WebSocket), as a dialect of `turns.py`.

The server decides by what was said whether the caller interrupts; that they speak at all is told beside. No verb of
the client stops a reply. facts/transports.md 25, 28, and
https://www.assemblyai.com/docs/voice-agents/voice-agent-api/turn-detection-and-interruptions.
"""

import base64
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import msgspec

from .assemblyai_wire import BYTES_PER_MS, Create, End, Session, ToolResult, Update, decode
from .turns import Bounds, By, Choice, Item, Json, Refused, Rules, Said, Turn, TurnServer, Wire
from .turns_spoken import spoken

__all__ = ["AssemblyAIBounds", "AssemblyAIRules", "AssemblyAIServer"]


class AssemblyAIRules(Rules, frozen=True, kw_only=True):
    """What no source settles. facts/transports.md 25 and 30, point 10."""

    memory: Literal["generated", "sent", "own"] = "own"
    """`transcript.agent` says what the caller heard of an interrupted reply; how that is reckoned is not told."""
    late_notice: bool = False
    """Of a reply that is over nothing more is told."""
    late_audio: bool = True
    """Whether `reply.audio` that was under way follows the `reply.done` of an interrupted reply."""
    waits_for_tools: bool = False
    """A reply that calls a tool ends before the result, and another follows it."""
    second_reply: Literal["queued", "interrupts"] = "queued"
    """What a `reply.create` does while a reply runs."""
    says_completed: bool = False
    """Whether `reply.done` says so of a reply that nobody stopped; the documents show it without."""


class AssemblyAIBounds(Bounds, frozen=True, kw_only=True):
    """How far `choices` goes."""

    back_channels: int = 0
    """How often the caller may say what does not interrupt."""


class AssemblyAIServer(TurnServer):
    """One connection. With `session` the handshake is over; without, it waits for the client's `session.update`.

    The session's output format says how many bytes a millisecond of its audio has. Raises `Refused` for a `session`
    of another shape.
    """

    __slots__ = ("_brief", "_interruptible", "_ready")

    explicit_begin = True
    says_generation_end = False
    rules: AssemblyAIRules

    def __init__(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        rules: AssemblyAIRules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(bytes_per_ms=48, rules=rules or AssemblyAIRules(), bounds=bounds)
        self._ready, self._interruptible, self._brief = False, True, 0
        if session is not None:
            given = decode(msgspec.json.encode({"type": "session.update", "session": session}))
            if isinstance(given, Update):
                self._sets_up(given.session)

    @property
    def ready(self) -> bool:
        """Whether `session.ready` was said."""
        return self._ready

    @property
    def speech_interrupts(self) -> bool:
        """Unless `turn_detection` says `interrupt_response: false`."""
        return self._interruptible and super().speech_interrupts

    def connects(self) -> Said:
        """`session.ready` where the settings are given, else nothing: the client speaks first."""
        ready: Json = {"type": "session.ready", "session_id": "sess_1"}
        return self._say([ready]) if self._ready else []

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        m = decode(message)
        if isinstance(m, Update):
            begins = not self._ready
            self._sets_up(m.session)
            return self.connects() if begins else self._say([{"type": "session.updated"}])
        if not self._ready:
            raise Refused("session.update must be the first message", code="not_ready")
        match m:
            case Create():
                interrupts = self.rules.second_reply == "interrupts"
                return self._asks(m.instructions or "", interrupts=interrupts)
            case ToolResult():
                if self._has_result(m.call_id) and not self.open_calls_of_all():
                    return self._asks("")
            case End():
                return self._say([{"type": "session.ended"}]) + self.closes(1000, "")
        return []

    def _sets_up(self, given: Session) -> None:
        heard = given.input
        if heard is not None and heard.turn_detection is not None:
            self._interruptible = heard.turn_detection.interrupt_response
        if given.output is not None and given.output.format is not None:
            self.bytes_per_ms = BYTES_PER_MS[given.output.format.encoding]
        if given.greeting and not self._ready:
            self._new_turn("server", "")
        self._ready = True

    def open_calls_of_all(self) -> list[str]:
        """Function calls of any reply that wait for their results: the next reply needs them all."""
        return [call for name in self.responses for call in self.open_calls(name)]

    def _protests(self, refused: Refused) -> Said:
        return self._say(
            [{"type": "session.error", "code": refused.code, "message": refused.reason}]
        )

    # What the server says.

    def _begin(self, turn: Turn) -> list[Wire]:
        return [{"type": "reply.started", "reply_id": _named(turn)}]

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        return [{"type": "reply.audio", "data": base64.b64encode(audio).decode()}]

    def _item_end(self, turn: Turn, item: Item) -> list[Wire]:
        """The words of a reply are said once, whole; of an interrupted one they were said before."""
        return [] if turn.state == "interrupted" else _transcript(turn, item, item.transcript)

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        arguments = msgspec.json.decode(item.arguments)
        call = {"call_id": item.call_id, "name": item.name, "arguments": arguments}
        return [{"type": "tool.call"} | call]

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        """And then the words, as far as the server takes them for heard."""
        said: list[Wire] = [{"type": "reply.done", "status": "interrupted"}]
        for item in self._items_of(turn.id):
            said += _transcript(turn, item, spoken([item]), interrupted=True)
        return said

    def _turn_end(self, turn: Turn) -> list[Wire]:
        if turn.state == "cancelled":
            return []
        status = {"status": "completed"} if self.rules.says_completed else {}
        return [{"type": "reply.done"} | status]

    def _speech_start(self, now_ms: int) -> list[Wire]:
        return [{"type": "input.speech.started"}]

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        words = {"text": "(the caller's words)", "item_id": "item_caller"}
        return [{"type": "input.speech.stopped"}, {"type": "transcript.user"} | words]

    # Deeds of this server alone.

    def hears_back_channel(self) -> Said:
        """The caller says "uh-huh": the reply goes on."""
        self._brief += 1
        heard = {"type": "transcript.user", "text": "Uh-huh.", "item_id": "item_caller"}
        names = ("input.speech.started", "input.speech.stopped")
        return self._say([*({"type": name} for name in names), heard])

    def _choices_of(self, turn: Turn) -> list[Choice]:
        found = super()._choices_of(turn)
        late = self.rules.late_audio
        return [each for each in found if late or each.act != "trailing_delta"]

    def _more_choices(self) -> list[Choice]:
        bounds, hears = self.bounds, self.detects_speech and not self._speaking
        brief = isinstance(bounds, AssemblyAIBounds) and self._brief < bounds.back_channels
        return [Choice("hears_back_channel")] if hears and brief else []

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        if choice.act == "hears_back_channel":
            return self.hears_back_channel()
        return super()._take_more(choice, now_ms)

    def _more_key(self) -> Hashable:
        return self.bytes_per_ms, self._ready, self._interruptible, self._brief


def _transcript(turn: Turn, item: Item, text: str, *, interrupted: bool = False) -> list[Wire]:
    words = {"text": text, "reply_id": _named(turn), "item_id": item.id}
    told: Wire = {"type": "transcript.agent"} | words | {"interrupted": interrupted}
    return [told] if item.transcript else []


def _named(turn: Turn) -> str:
    return turn.id.replace("resp", "reply")
