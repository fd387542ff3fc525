"""A sans-I/O model of the OpenAI Realtime server (GA event names, WebSocket).

Two layers. `receive` is what the server does when told: fixed by the rules, each with its source. What it
decides by itself (when a response is created, how much it says, whether it fails) are `choices`, or the
methods of the same names that a Scene calls. `memory` is the oracle for what the server then remembers.

It has no clock: `now_ms` is an argument and matters only where the wire carries a time. The same calls give
the same bytes. `copy` and `key` are cheap, an explorer lives on them.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Literal, NamedTuple, Self, cast

import msgspec

from .openai_generation import ItemKind
from .openai_memory import Remembered, Rules
from .openai_replies import Replies
from .openai_state import End, Response, SentError

__all__ = ["Bounds", "Choice", "OpenAIServer", "Remembered", "Response", "Rules", "SentError"]


class Choice(NamedTuple):
    """One thing the server may do now: the method, and what it is done to."""

    act: Literal[
        "creates",
        "creates_silently",
        "refuses",
        "announces",
        "calls",
        "speaks",
        "says_text",
        "ends_item",
        "trailing_delta",
        "finishes",
        "hears_speech_start",
        "hears_speech_stop",
        "loses_connection",
    ]
    response: str = ""
    item: str = ""
    how: str = ""
    """The kind of item announced, or the status finished with."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far `choices` goes. Everything outside is still possible by calling the method."""

    items: int = 2
    """Items in one response."""
    kinds: tuple[ItemKind, ...] = ("message",)
    deltas: int = 2
    """Deltas of one item."""
    delta_ms: int = 100
    trailing_deltas: int = 1
    """Deltas of one response after it was told to stop."""
    ends: tuple[End, ...] = ("completed",)
    """How a response that nobody stopped may end."""
    separate_ends: bool = False
    """Whether an item's last events may come earlier than just before `response.done`."""
    silent_creates: bool = False
    """Whether a response may begin without `response.created`."""
    unborn_deaths: bool = False
    """Whether a `response.done` may come for a response that was never created."""
    refusals: bool = False
    """Whether an accepted request may be refused after all."""
    words: bool = True
    """Whether the transcript of what is spoken goes along with it."""
    speech_turns: int = 0
    """How often the caller may begin to speak."""
    drops: bool = False
    """Whether the connection may drop."""


class OpenAIServer(Replies):
    """One connection to the server.

    `session` is merged over the session a connection starts with, e.g.
    `{"audio": {"output": {"format": {"type": "audio/pcmu"}}}}`; `rules` decide what no source settles.
    """

    __slots__ = ("bounds",)

    speech: Final = "hears_speech_start"
    audio: Final = "speaks"

    def __init__(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        rules: Rules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(session=session, rules=rules)
        self.bounds = bounds or Bounds()

    # What it may do by itself.

    def choices(self) -> list[Choice]:
        """What the server may do now within `bounds`, in a fixed order. `take` does it."""
        if self.closed:
            return []
        found: list[Choice] = []
        for response in self.responses.values():
            if response.state == "requested":
                found += self._choices_unborn(response)
            elif response.state == "in_progress":
                found += self._choices_running(response)
            elif response.state == "cancelling":
                found += self._choices_ending(response)
        if self._speech_item:
            found.append(Choice("hears_speech_stop"))
        elif self.detects_turns and self._speech_turns < self.bounds.speech_turns:
            found.append(Choice("hears_speech_start"))
        if self.bounds.drops:
            found.append(Choice("loses_connection"))
        return found

    def _choices_unborn(self, response: Response) -> list[Choice]:
        first = response.out_of_band or self.slot_holder() is response
        if self.muted or not first:
            return []
        found = [Choice("creates", response.id)]
        if self.bounds.silent_creates:
            found.append(Choice("creates_silently", response.id))
        if self.bounds.unborn_deaths:
            found.append(Choice("finishes", response.id, how="cancelled"))
        if self.bounds.refusals:
            found.append(Choice("refuses", response.id))
        return found

    def _choices_running(self, response: Response) -> list[Choice]:
        found: list[Choice] = []
        bounds = self.bounds
        last = self.conversation.items[response.items[-1]] if response.items else None
        begun = last is None or bool(last.generated_ms or last.text or last.arguments)
        if len(response.items) < bounds.items and begun:
            found += [Choice("announces", response.id, how=kind) for kind in bounds.kinds]
        if last is not None and last.open:
            if last.kind == "function_call" and not last.arguments:
                found.append(Choice("calls", response.id, last.id))
            elif last.modality == "text" and not last.text:
                found.append(Choice("says_text", response.id, last.id))
            elif last.modality == "audio" and last.generated_ms < bounds.deltas * bounds.delta_ms:
                found.append(Choice("speaks", response.id, last.id))
        if bounds.separate_ends:
            found += [Choice("ends_item", response.id, x) for x in self.open_items(response.id)[:1]]
        return found + [Choice("finishes", response.id, how=end) for end in bounds.ends]

    def _choices_ending(self, response: Response) -> list[Choice]:
        found: list[Choice] = []
        open_items = self.open_items(response.id)
        spoken = [x for x in open_items if self.conversation.items[x].modality == "audio"]
        if spoken and response.trailing < self.bounds.trailing_deltas:
            found.append(Choice("trailing_delta", response.id, spoken[-1]))
        if self.bounds.separate_ends:
            found += [Choice("ends_item", response.id, x) for x in open_items[:1]]
        return [*found, Choice("finishes", response.id, how="cancelled")]

    def take(self, choice: Choice, now_ms: int) -> list[str]:
        """Do one of `choices()`; returns the events."""
        act, response, item, how = choice
        delta_ms = self.bounds.delta_ms
        does: dict[str, Callable[[], list[str]]] = {
            "creates": lambda: self.creates(response),
            "creates_silently": lambda: self.creates(response, created_event=False),
            "refuses": lambda: self.refuses(response),
            "announces": lambda: self.announces(response, cast(ItemKind, how)),
            "calls": lambda: self.calls(response, item),
            "speaks": lambda: self.speaks(
                response, item, delta_ms, None if self.bounds.words else ""
            ),
            "says_text": lambda: self.says_text(response, item, "words "),
            "ends_item": lambda: self.ends_item(response, item),
            "trailing_delta": lambda: self.trailing_delta(response, item, delta_ms),
            "finishes": lambda: self.finishes(response, cast(End, how)),
            "hears_speech_start": lambda: self.hears_speech_start(now_ms),
            "hears_speech_stop": lambda: self.hears_speech_stop(now_ms),
            "loses_connection": self.loses_connection,
        }
        return does[act]()

    # What an explorer and a test need.

    @property
    def owes(self) -> bool:
        """Whether it has still to say something by itself: nobody need make the caller speak for it."""
        return any(each.act not in _NOT_OWED for each in self.choices())

    def tidy(self) -> None:
        """Drop what no later step depends on: the numbers of past events and turns, past errors, the caller's items,
        how a response ended.
        Names that are free are given again, the lowest first.

        So `Bounds.speech_turns` no longer bounds: who tidies counts the turns.
        """
        self._event_count = self._speech_turns = 0
        self._item_count = self._response_count = 0
        self.errors = ()
        for response in self.responses.values():
            if response.done:
                self._change(response.id, state="completed", reason=None, trailing=0, cancels=0)
            elif response.cancels:
                self._change(response.id, cancels=0)
        for item in list(self.conversation.items.values()):
            whose = self.responses.get(item.response or "")
            if item.role == "user":
                self.conversation.forget(item.id)
            elif whose is not None and whose.done:
                if item.deleted:
                    self.forget_item(item.id)
                elif item.status != "completed":
                    self.conversation.change(item.id, status="completed")

    def forget_item(self, item_id: str) -> None:
        """Drop an item of a response that is done. Its name is not given again while the response is known."""
        self.conversation.forget(item_id)

    def forget(self, response_id: str) -> None:
        """Drop a response that is done and its items, as if they had never been. Nobody may speak of them
        any more, and their names are free again.
        """
        for item_id in self.responses.pop(response_id).items:
            if item_id in self.conversation.items:
                self.conversation.forget(item_id)

    def memory(self) -> list[Remembered]:
        """What the server remembers of every item ever made, in order: the oracle."""
        return self.conversation.memory()

    def copy(self) -> Self:
        """An independent copy. Frozen parts are shared, so it costs a few dict copies."""
        twin = object.__new__(type(self))
        for slot in _SLOTS:
            setattr(twin, slot, getattr(self, slot))
        twin.conversation = self.conversation.copy()
        twin.responses = self.responses.copy()
        return twin

    def key(self) -> Hashable:
        """Equal keys: the same future and the same memory. Server event ids are left out: they differ
        with the path and nothing depends on them.
        """
        return (
            self._session_key,
            self.conversation.order,
            tuple(self.conversation.items.values()),
            tuple(self.responses.values()),
            tuple(error.code for error in self.errors),
            self._speech_item,
            self._speech_turns,
            self._input_bytes,
            self._buffer_bytes,
            self._owes_response,
            self._item_count,
            self._response_count,
            self.cancels_without_id,
            self.muted,
            self.closed,
        )


_NOT_OWED: Final = ("hears_speech_start", "loses_connection")

_SLOTS: Final = tuple(
    slot for kind in OpenAIServer.__mro__ for slot in getattr(kind, "__slots__", ())
)
