"""A sans-I/O model of the Ultravox server (server WebSocket), as a dialect of `turns.py`.

Raw PCM travels in binary frames both ways, data messages in text frames. Nothing names a response: what is said
belongs to the state that the server last told. There is no verb to cancel; text of urgency `immediate` comes nearest.
facts/providers.md 6; the parser of the package `ultravox-client` reads the same fields.
"""

from collections.abc import Hashable
from typing import Literal

import msgspec

from .turns import Bounds, By, Choice, Item, Json, Refused, Rules, Said, Turn, TurnServer, Wire
from .turns_spoken import spoken
from .ultravox_wire import (
    ForcedAgentMessage,
    HangUp,
    Ping,
    SetOutputMedium,
    ToolResult,
    UserText,
    decode,
)

__all__ = ["UltravoxRules", "UltravoxServer"]


class UltravoxRules(Rules, frozen=True, kw_only=True):
    """What no source settles. facts/providers.md 6.3–6.5 and 11, point 8."""

    memory: Literal["generated", "sent", "own"] = "own"
    """History is meant to hold what was spoken; how the client's buffer counts is not told."""
    late_notice: bool = False
    """The state stays `speaking` while the server believes that its audio plays: nothing is left to clear after."""
    defers: bool = False
    """Whether `deferResponse` of a `user_text_message` is honoured; the page lists it no more."""
    clears_for_text: bool = True
    """Whether `playback_clear_buffer` comes when text interrupts, as it does when the caller does."""
    listens_between: bool = True
    """Whether the state is `listening` between a turn that text interrupts and the answer to that text."""
    thinks: bool = True
    """Whether the state is `thinking` before it is `speaking`."""
    echoes: bool = True
    """Whether text of the user comes back as a transcript."""
    early_finals: bool = False
    """Whether the final transcript may come before the last audio."""


class UltravoxServer(TurnServer):
    """One call that has been joined. `bytes_per_ms` is that of the audio it says, agreed on when the call was
    created: 32 for PCM16 at 16 kHz. `set_output_medium` is taken; the model keeps to voice."""

    __slots__ = ("_finals", "_firm", "_ordinal", "_ordinals")

    explicit_begin = True
    rules: UltravoxRules

    def __init__(
        self,
        *,
        rules: UltravoxRules | None = None,
        bounds: Bounds | None = None,
        bytes_per_ms: int = 32,
    ) -> None:
        super().__init__(bytes_per_ms=bytes_per_ms, rules=rules or UltravoxRules(), bounds=bounds)
        self._finals: frozenset[str] = frozenset()
        """Items whose final transcript is out although they go on."""
        self._firm: frozenset[str] = frozenset()
        """Turns that nobody may interrupt."""
        self._ordinals = self._ordinal = 0

    def connects(self) -> Said:
        """The call has started and the server listens."""
        return self._say([{"type": "call_started", "callId": "call_1"}, _state("listening")])

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        if isinstance(message, bytes):
            if len(message) % 2:
                raise Refused("half a sample of PCM16")
            return []
        m = decode(message)
        match m:
            case UserText():
                return self._takes_text(m)
            case ForcedAgentMessage():
                said = self._asks(m.content, interrupts=m.urgency == "immediate")
                if m.uninterruptible:
                    self._firm |= {self.latest_response}
                return said
            case ToolResult():
                return self._takes_result(m)
            case SetOutputMedium():
                return []
            case HangUp():
                return self.closes(1000, m.message or "")
            case Ping():
                return self._say([{"type": "pong", "timestamp": m.timestamp}])

    def _takes_text(self, m: UserText) -> Said:
        """`later` waits to be read, `soon` is answered in its turn, `immediate` stops what is said first."""
        said = self._interrupts("client") if m.urgency == "immediate" else []
        if m.text and self.rules.echoes:
            said += self._say([self._of_user(m.text, "text")])
        deferred = m.urgency == "later" or (m.defer_response and self.rules.defers)
        return said if deferred else said + self._asks(m.text)

    def _takes_result(self, m: ToolResult) -> Said:
        """The conversation goes on; `listens`: the agent says nothing about it. What no call waits for is ignored."""
        head = self.head
        if not self._has_result(m.invocation_id) or head is None or self.open_calls(head.id):
            return []
        return self.finishes(head.id) if m.agent_reaction == "listens" else []

    def _interrupts(self, by: By, heard_ms: int | None = None) -> Said:
        """Tools and what is said to be so cannot be interrupted."""
        head = self.head
        if head is not None and (head.id in self._firm or self.open_calls(head.id)):
            return []
        return super()._interrupts(by, heard_ms)

    # What the server says.

    def _begin(self, turn: Turn) -> list[Wire]:
        return [_state("thinking")] if self.rules.thinks else []

    def _item_begin(self, turn: Turn, item: Item) -> list[Wire]:
        self._ordinal = self._next_ordinal()
        first = not any(each.kind == "message" and each != item for each in self._items_of(turn.id))
        return [_state("speaking")] if first and turn.state == "in_progress" else []

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        return [] if item.id in self._finals else [self._of_agent(item, final=False, delta=text)]

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        return [audio]

    def _item_end(self, turn: Turn, item: Item) -> list[Wire]:
        text = spoken([item]) if turn.state == "interrupted" else item.transcript
        return [self._of_agent(item, final=True, text=text)] * (
            item.id not in self._finals and text != ""
        )

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        arguments = msgspec.json.decode(item.arguments)
        call = {"toolName": item.name, "invocationId": item.call_id, "parameters": arguments}
        return [{"type": "client_tool_invocation"} | call]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        unsaid = turn.stopped_by == "client" and not self.rules.listens_between
        return [] if unsaid else [_state("listening")]

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        spoke = any(item.generated_ms for item in self._items_of(turn.id))
        clears = spoke and (by != "client" or self.rules.clears_for_text)
        return [{"type": "playback_clear_buffer"}] if clears else []

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        return [self._of_user("(speech)", "voice")]

    def _of_user(self, text: str, medium: str) -> Json:
        ordinal = self._next_ordinal()
        said = {"role": "user", "medium": medium, "text": text, "final": True, "ordinal": ordinal}
        return {"type": "transcript"} | said

    def _of_agent(self, item: Item, *, final: bool, **words: str) -> Json:
        ordinal = item.voice if self._exploring else self._ordinal
        spoken_by = {"role": "agent", "medium": "voice"}
        return {"type": "transcript"} | spoken_by | words | {"final": final, "ordinal": ordinal}

    def _next_ordinal(self) -> int:
        """Utterances are numbered as they begin; not while the explorer looks on, so that states can be met again."""
        ordinal = self._ordinals
        self._ordinals += not self._exploring
        return ordinal

    # Deeds of this server alone.

    def pads(self, ms: int) -> Said:
        """Zero-filled audio, which no turn has said."""
        return self._say([bytes(ms * self.bytes_per_ms)])

    def ends_words(self, response_id: str) -> Said:
        """The final transcript, though audio of it is still to come; further words are not told."""
        turn = self._floor(response_id, "in_progress")
        item = self._open_message(response_id)
        if item is None or not item.transcript or item.id in self._finals:
            raise ValueError(f"{response_id} has no words that could be final")
        self._finals |= {item.id}
        return self._say([self._of_agent(item, final=True, text=item.transcript)], turn, item)

    def _choices_of(self, turn: Turn) -> list[Choice]:
        """What was stopped while the server was thinking has no audio under way."""
        found = super()._choices_of(turn)
        spoke = any(item.generated_ms for item in self._items_of(turn.id))
        return [each for each in found if spoke or each.act != "trailing_delta"]

    def _more_choices(self) -> list[Choice]:
        head = self.head
        if not self.rules.early_finals or head is None or head.state != "in_progress":
            return []
        item = self._open_message(head.id)
        early = item is not None and item.transcript != "" and item.id not in self._finals
        return [Choice("ends_words", head.id)] if early else []

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        if choice.act == "ends_words":
            return self.ends_words(choice.response)
        return super()._take_more(choice, now_ms)

    def forget(self, response_id: str) -> None:
        """Drop a turn that is over, and what was said to be so about it."""
        self._finals -= frozenset(self.responses[response_id].items)
        self._firm -= {response_id}
        super().forget(response_id)

    def _more_key(self) -> Hashable:
        return (self._finals, self._firm, self._ordinals, self._ordinal)


def _state(state: str) -> Json:
    return {"type": "state", "state": state}
