"""How one provider without response ids spells what its server does: the methods a dialect overrides.

Each gives the messages of one moment, as JSON or binary frames, maybe none. Turns and items are as they were just
before the moment unless a method says otherwise.
"""

from typing import ClassVar, TypeAlias

import msgspec

from .turns_state import By, Item, Refused, Rules, Turn, TurnState, Wire, truth

Said: TypeAlias = list[str | bytes]


class Dialect(TurnState):
    """The wire of one provider."""

    __slots__ = ("bytes_per_ms",)

    explicit_begin: ClassVar[bool] = False
    """Whether a message says that a turn begins; elsewhere its first content does."""
    says_generation_end: ClassVar[bool] = True
    """Whether the end of the generation is said before the end of the turn."""
    can_refuse: ClassVar[bool] = False
    """Whether the server can say that it will not answer a request."""

    def __init__(self, *, bytes_per_ms: int, rules: Rules, exploring: bool) -> None:
        super().__init__(rules=rules, exploring=exploring)
        self.bytes_per_ms = bytes_per_ms

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        """Take one client message, with `_asks`, `_interrupts`, `_caller_starts`, `_caller_stops` and `_has_result`.

        :raises Refused: if the server does not take it.
        """
        raise NotImplementedError

    def _protests(self, refused: Refused) -> Said:
        """What the server does with a message it does not take: by default it closes the socket."""
        return self.closes(refused.code if isinstance(refused.code, int) else 1007, refused.reason)

    def closes(self, code: int, reason: str) -> Said:
        """The server closes the socket, with a WebSocket close code and its reason."""
        self.closed, self.close_code, self.close_reason = True, code, reason
        return []

    @property
    def ready(self) -> bool:
        """Whether the handshake is over: before, the server says nothing by itself."""
        return True

    @property
    def detects_speech(self) -> bool:
        """Whether the server hears by itself when the caller speaks."""
        return True

    @property
    def speech_interrupts(self) -> bool:
        """Whether the caller's voice stops the turn that runs."""
        return self.rules.speech_interrupts

    # What the server says.

    def _begin(self, turn: Turn) -> list[Wire]:
        """The turn begins; only where `explicit_begin`."""
        return []

    def _item_begin(self, turn: Turn, item: Item) -> list[Wire]:
        """A stretch of speech begins."""
        return []

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        """Words spoken; just before their audio where both are said at once."""
        return []

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        """Audio; `item.generated_ms` is 0 for the item's first."""
        raise NotImplementedError

    def _item_end(self, turn: Turn, item: Item) -> list[Wire]:
        """A stretch of speech ends: of a turn `in_progress` or `interrupted`."""
        return []

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        """A function call."""
        return []

    def _generation_end(self, turn: Turn) -> list[Wire]:
        """The model has made all of the turn; only where `says_generation_end`."""
        return []

    def _turn_end(self, turn: Turn) -> list[Wire]:
        """The turn is over: `completed` or, interrupted before, `cancelled`."""
        return []

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        """The server says that it stops `turn`, which may be requested, running, generated or over by then."""
        return []

    def _void_calls(self, turn: Turn, calls: list[Item]) -> list[Wire]:
        """The interrupted turn's function calls need no result any more."""
        return []

    def _refusal(self, turn: Turn, reason: str) -> list[Wire]:
        """A request is refused after all; only where `can_refuse`."""
        return []

    def _speech_start(self, now_ms: int) -> list[Wire]:
        """The server hears the caller begin; an interruption notice, if due, comes after it."""
        return []

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        """The server hears the caller end."""
        return []

    # Writing.

    def _say(
        self,
        wires: list[Wire],
        turn: Turn | None = None,
        item: Item | None = None,
        by: By | None = None,
    ) -> Said:
        """The messages as they go out; with the truth in them while the explorer looks on."""
        said: Said = []
        for wire in wires:
            if isinstance(wire, bytes):
                said.append(wire)
                continue
            if self._exploring:
                about = (turn.id, item.id if item else "", turn.request) if turn else ("", "", "")
                wire = wire | truth(*about, by or "")
            said.append(msgspec.json.encode(wire).decode())
        return said
