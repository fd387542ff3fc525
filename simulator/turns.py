"""A sans-I/O model of a server without response ids: one conversation, one turn at a time.

What all such servers share stands here; how one of them says it is its dialect (`turns_dialect.py`). `receive` is
what the server does when told. What it decides by itself are `choices`, or the methods of the same names that a
Scene calls. `memory` is the oracle for what the server then remembers.

It has no clock: the same calls give the same messages. With `bounds` the explorer looks on: every JSON message then
carries `_of`, whom it is about, which no table reads; without them the wire is exactly the provider's.
"""

from collections.abc import Hashable
from typing import ClassVar, Final, NamedTuple, Self

from .openai_memory import Remembered
from .turns_dialect import Said
from .turns_replies import Replies
from .turns_state import Bounds, By, Item, ItemKind, Json, Refused, Rules, Turn, Wire

__all__ = [
    "Bounds", "By", "Choice", "Item", "ItemKind", "Json", "Refused", "Remembered", "Rules", "Said", "Turn",
    "TurnServer", "Wire",
]  # fmt: skip


class Choice(NamedTuple):
    """One thing the server may do now: the method, and what it is done to."""

    act: str
    response: str = ""
    how: str = ""
    """`silently` for a begin that nobody is told of, `playing` for speech while the client may still play,
    `premature` for an end before the end of the generation."""


class TurnServer(Replies):
    """One connection to the server; a dialect is a subclass. `bytes_per_ms` of its audio: 48 for PCM16 at 24 kHz,
    8 for mu-law."""

    __slots__ = ("bounds",)

    speech: Final = "hears_speech_start"
    audio: Final = "speaks"
    _every_slot: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._every_slot = tuple(x for each in cls.__mro__ for x in getattr(each, "__slots__", ()))

    def __init__(
        self, *, bytes_per_ms: int, rules: Rules | None = None, bounds: Bounds | None = None
    ) -> None:
        super().__init__(
            bytes_per_ms=bytes_per_ms, rules=rules or Rules(), exploring=bounds is not None
        )
        self.bounds = bounds or Bounds()

    def connects(self) -> Said:
        """What the server says when the connection opens."""
        return []

    def receive(self, message: str | bytes, now_ms: int) -> Said:
        """Take one client message; returns what the server says at once, maybe nothing. Never raises for
        anything a client may write."""
        if self.closed:
            return []
        try:
            return self._client(message, now_ms)
        except Refused as refused:
            return self._protests(refused)

    # What it may do by itself.

    def choices(self) -> list[Choice]:
        """What the server may do now within `bounds`, in a fixed order. `take` does it."""
        if self.closed or not self.ready:
            return []
        found = self._choices_of(self.head) if self.head else []
        found += self._more_choices()
        bounds = self.bounds
        if self.head is None and self._spontaneous < bounds.spontaneous:
            found.append(Choice("speaks_up"))
        if self.detects_speech and self._speaking:
            found.append(Choice("hears_speech_stop"))
        elif self.detects_speech and self._speech_turns < bounds.speech_turns:
            found.append(Choice("hears_speech_start"))
            if self._still_playing() is not None:
                found.append(Choice("hears_speech_start", how="playing"))
        if bounds.drops:
            found.append(Choice("loses_connection"))
        return found

    def _choices_of(self, turn: Turn) -> list[Choice]:
        """What may become of the turn that has the floor."""
        bounds, name, found = self.bounds, turn.id, list[Choice]()
        if turn.state == "requested" and self.explicit_begin:
            found.append(Choice("begins", name))
            if bounds.silent_begins:
                found.append(Choice("begins", name, "silently"))
        elif turn.state in ("requested", "in_progress"):
            found += self._choices_running(turn)
        elif turn.state == "generated":
            found.append(Choice("finishes", name))
        else:
            spoken = turn.begun or turn.items
            if spoken and turn.trailing < bounds.trailing_deltas:
                found.append(Choice("trailing_delta", name))
            found.append(Choice("finishes", name))
        if (
            turn.state == "requested"
            and turn.by == "client"
            and self.can_refuse
            and bounds.refusals
        ):
            found.append(Choice("refuses", name))
        if bounds.deaths:
            found.append(Choice("dies", name))
        return found

    def _choices_running(self, turn: Turn) -> list[Choice]:
        bounds, name, found = self.bounds, turn.id, list[Choice]()
        if self.rules.waits_for_tools and self.open_calls(name):
            return found
        said = self._items_of(name)
        spoken = [item for item in said if item.kind == "message"]
        last = spoken[-1] if spoken and spoken[-1].open else None
        full_ms = bounds.deltas * bounds.delta_ms
        more = last.generated_ms < full_ms if last else len(spoken) < bounds.items
        if more and "message" in bounds.kinds:
            found.append(Choice("speaks", name))
        if last is not None and last.generated_ms and len(spoken) < bounds.items:
            found.append(Choice("ends_item", name))
        if "function_call" in bounds.kinds and len(said) == len(spoken):
            found.append(Choice("calls", name))
        if said or bounds.empty_turns:
            if self.says_generation_end and turn.begun:
                found.append(Choice("ends_generation", name))
            else:
                found.append(Choice("finishes", name))
            if self.says_generation_end and bounds.premature_ends:
                found.append(Choice("finishes", name, "premature"))
        return found

    def _more_choices(self) -> list[Choice]:
        """What else this dialect's server may do; `_take_more` does it."""
        return []

    def take(self, choice: Choice, now_ms: int) -> Said:
        """Do one of `choices()`; returns the messages."""
        act, name, how = choice
        words = None if self.bounds.words else ""
        match act:
            case "begins":
                return self.begins(name, announced=how != "silently")
            case "speaks":
                return self.speaks(name, self.bounds.delta_ms, words)
            case "trailing_delta":
                return self.trailing_delta(name, self.bounds.delta_ms)
            case "finishes":
                return self.finishes(name, premature=how == "premature")
            case "hears_speech_start":
                return self.hears_speech_start(now_ms, playing=how == "playing")
            case "hears_speech_stop":
                return self.hears_speech_stop(now_ms)
            case "speaks_up":
                return self.speaks_up()
            case "loses_connection":
                return self.loses_connection()
            case "calls" | "ends_item" | "ends_generation" | "refuses" | "dies":
                said: Said = getattr(self, act)(name)
                return said
        return self._take_more(choice, now_ms)

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        raise ValueError(f"not one of the choices: {choice}")

    # What an explorer and a test need.

    @property
    def owes(self) -> bool:
        """Whether it has still to say something by itself: nobody need make the caller speak for it."""
        return any(each.act not in _NOT_OWED for each in self.choices())

    def tidy(self) -> None:
        """Drop what no later step depends on: the number of the caller's turns, how a turn ended.

        So `Bounds.speech_turns` no longer bounds: who tidies counts the turns.
        """
        self._speech_turns = 0
        for turn in list(self.responses.values()):
            if turn.done:
                self._change(turn.id, state="completed", stopped_by=None, trailing=0)
                for item in self._items_of(turn.id):
                    if item.open:
                        self._change_item(item.id, open=False)

    def copy(self) -> Self:
        """An independent copy. Frozen parts are shared, so it costs a few dict copies."""
        twin = object.__new__(type(self))
        for slot in self._every_slot:
            setattr(twin, slot, getattr(self, slot))
        twin.responses = self.responses.copy()
        twin.items = self.items.copy()
        return twin

    def key(self) -> Hashable:
        """Equal keys: the same future and the same memory."""
        return (
            tuple(self.responses.values()),
            tuple(self.items.values()),
            self._speaking,
            self._speech_turns,
            self._spontaneous,
            self.closed,
            self._more_key(),
        )

    def _more_key(self) -> Hashable:
        """What else this dialect's server knows, where it changes."""
        return ()


_NOT_OWED: Final = ("hears_speech_start", "loses_connection", "speaks_up", "dies")
