"""What a server without response ids knows of one conversation: its turns, their items, and what it remembers.

The words are OpenAI's where both have the thing. The names (`resp_1`, `item_1`) are the model's own: such a wire
carries none. Everything mutable is a dict of frozen structs or a plain value, so a copy is a few shallow copies.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from .openai_memory import Remembered

Json: TypeAlias = dict[str, Any]
Wire: TypeAlias = Json | bytes
"""One message of the server: JSON, or a binary frame of audio."""

By: TypeAlias = Literal["client", "caller", "server"]
"""Who began or stopped a turn: a message of the client, the caller's voice, the server by itself."""

ItemKind: TypeAlias = Literal["message", "function_call"]


class Refused(Exception):
    """The server does not take a client message. `code` is the dialect's: an error code, or how the socket closes."""

    def __init__(self, reason: str, *, code: str | int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How servers of this family differ, or what no source settles. A dialect sets its own defaults."""

    pending: Literal["kept", "dropped", "ended"] = "kept"
    """What an interruption does to requests not begun: answered later, given up silently, or given up aloud with
    the interruption notice and the end of the turn, without content."""
    second_request: Literal["queued", "supersedes"] = "queued"
    """What a request does to one before it that is not begun; superseded is as `pending` says, at least dropped."""
    speech_interrupts: bool = True
    """Whether the caller's voice stops the turn that runs."""
    answers_speech: bool = True
    """Whether the end of the caller's turn is a request."""
    late_notice: bool = True
    """Whether the caller may be said to interrupt a turn that is over, for the client may still be playing it."""
    waits_for_tools: bool = True
    """Whether a turn says nothing more until its function calls have their results."""
    memory: Literal["generated", "sent", "own"] = "generated"
    """What is kept of an interrupted turn: all that was made, late audio included; what had been sent when it was
    stopped; or what the server itself reckons the caller has heard."""
    reckons_ms: int = 0
    """How much of an interrupted turn the server reckons heard, where `memory` is "own" and nobody says otherwise."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far `choices` goes. Everything outside is still possible by calling the method."""

    items: int = 1
    """Message items in one turn."""
    kinds: tuple[ItemKind, ...] = ("message",)
    deltas: int = 2
    """Deltas of one item."""
    delta_ms: int = 100
    trailing_deltas: int = 1
    """Deltas of one turn after it was stopped."""
    words: bool = True
    """Whether the transcript of what is spoken goes along with it."""
    empty_turns: bool = False
    """Whether a turn may end without content."""
    premature_ends: bool = False
    """Whether a turn may end without the end of its generation being said."""
    silent_begins: bool = False
    """Whether the message that begins a turn may be missing, where the provider has one."""
    deaths: bool = False
    """Whether a turn may die without a word."""
    refusals: bool = False
    """Whether a request may be refused after all, where the provider can say so."""
    spontaneous: int = 0
    """Turns the server begins though nobody asked."""
    speech_turns: int = 0
    """How often the caller may begin to speak."""
    drops: bool = False
    """Whether the connection may drop."""


class Turn(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One response. Never changed, only replaced: copies of a server share it.

    `generated`: the model has made all of it, the end of the turn is to come. `interrupted`: told to stop, its end
    is to come.
    """

    id: str
    state: Literal[
        "requested", "in_progress", "generated", "interrupted", "completed", "cancelled", "died"
    ] = "requested"
    by: By = "client"
    request: str = ""
    """The text the request carried."""
    begun: bool = False
    """Whether the wire has told of it: its begin or some content."""
    items: tuple[str, ...] = ()
    stopped_by: By | None = None
    trailing: int = 0
    """Deltas sent after it was stopped."""
    noticed: bool = False
    """Whether an interruption notice was sent for it."""

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.state in ("completed", "cancelled", "died")

    @property
    def active(self) -> bool:
        """Whether it has begun and is not over."""
        return self.state in ("in_progress", "generated", "interrupted")


class Item(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One stretch of speech, or one function call. Never changed, only replaced."""

    id: str
    response: str
    kind: ItemKind = "message"
    voice: int = 0
    """The number its audio carries."""
    open: bool = True
    """More of it may come; of a function call, its result is still to come."""
    generated_ms: int = 0
    remembered_ms: int = 0
    transcript: str = ""
    name: str = ""
    arguments: str = ""
    void: bool = False
    """A function call whose result nobody wants any more."""

    @property
    def call_id(self) -> str:
        """The provider's name of a function call."""
        return self.id.replace("item", "call")


_ITEMS_OF_A_RESPONSE: Final = 100


class TurnState:
    """What one connection knows."""

    __slots__ = (
        "_exploring",
        "_speaking",
        "_speech_turns",
        "_spontaneous",
        "close_code",
        "close_reason",
        "closed",
        "items",
        "responses",
        "rules",
    )

    def __init__(self, *, rules: Rules, exploring: bool) -> None:
        self.rules = rules
        self.responses: dict[str, Turn] = {}
        """Every turn accepted so far, by the model's own name, in order of acceptance."""
        self.items: dict[str, Item] = {}
        self.closed = False
        self.close_code: int | None = None
        """With what the server closed the socket; None while it is open and when it was lost."""
        self.close_reason = ""
        self._exploring = exploring
        self._speaking = False
        self._speech_turns = 0
        self._spontaneous = 0

    # What a Scene asks to name things.

    @property
    def latest_response(self) -> str:
        """The turn accepted last. `IndexError` when there is none."""
        return list(self.responses)[-1]

    @property
    def latest_item(self) -> str:
        """The item made last. `IndexError` when there is none."""
        return list(self.items)[-1]

    @property
    def waiting(self) -> list[str]:
        """Turns accepted and not begun, oldest first."""
        return [each.id for each in self.responses.values() if each.state == "requested"]

    @property
    def head(self) -> Turn | None:
        """The turn that has the floor: the oldest not over. One after another; no other says anything."""
        return next((each for each in self.responses.values() if not each.done), None)

    @property
    def caller_speaks(self) -> bool:
        """Whether the server hears the caller."""
        return self._speaking

    def open_calls(self, response_id: str) -> list[str]:
        """Function calls of a turn that wait for their results."""
        return [x.id for x in self._items_of(response_id) if x.kind == "function_call" and x.open]

    def memory(self) -> list[Remembered]:
        """What the server remembers of every item ever made, in order: the oracle."""
        return [
            Remembered(
                item=item.id,
                role="assistant",
                kind=item.kind,
                response=item.response,
                voice=item.voice,
                generated_ms=item.generated_ms,
                remembered_ms=item.remembered_ms,
                transcript=item.transcript or None,
                status="in_progress" if item.open else "completed",
                deleted=False,
                out_of_band=False,
            )
            for item in self.items.values()
        ]

    def forget_item(self, item_id: str) -> None:
        """Drop an item of a turn that is over."""
        del self.items[item_id]

    def forget(self, response_id: str) -> None:
        """Drop a turn that is over and its items, as if they had never been. Their names are free again."""
        for item_id in self.responses.pop(response_id).items:
            self.items.pop(item_id, None)

    # Changing.

    def _items_of(self, response_id: str) -> list[Item]:
        names = self.responses[response_id].items
        return [self.items[name] for name in names if name in self.items]

    def _open_message(self, response_id: str) -> Item | None:
        items = self._items_of(response_id)
        return next((x for x in items if x.kind == "message" and x.open), None)

    def _change(self, response_id: str, **fields: object) -> Turn:
        turn = msgspec.structs.replace(self.responses[response_id], **fields)
        self.responses[response_id] = turn
        return turn

    def _change_item(self, item_id: str, **fields: object) -> Item:
        item = self.items[item_id] = msgspec.structs.replace(self.items[item_id], **fields)
        return item

    def _new_turn(self, by: By, request: str) -> Turn:
        number = 1
        while f"resp_{number}" in self.responses:
            number += 1
        turn = Turn(id=f"resp_{number}", by=by, request=request)
        self.responses[turn.id] = turn
        return turn

    def _new_item(self, turn: Turn, kind: ItemKind, **fields: str) -> Item:
        """Named by its turn and its place in it, so that names do not depend on what else happened."""
        place = _ITEMS_OF_A_RESPONSE * (int(turn.id.removeprefix("resp_")) - 1)
        number = place + len(turn.items) + 1
        voice = number if kind == "message" else 0
        item = Item(id=f"item_{number}", response=turn.id, kind=kind, voice=voice, **fields)  # type: ignore[arg-type]
        self.items[item.id] = item
        self._change(turn.id, items=(*turn.items, item.id))
        return item

    def _cut_memory(self, turn: Turn, heard_ms: int | None) -> None:
        """What is left of a turn that the caller did not hear to its end, where the server reckons by itself."""
        if self.rules.memory != "own":
            return
        left_ms = self.rules.reckons_ms if heard_ms is None else heard_ms
        for item in self._items_of(turn.id):
            kept_ms = min(left_ms, item.generated_ms)
            left_ms -= kept_ms
            self._change_item(item.id, remembered_ms=kept_ms)


def truth(response: str, item: str, request: str, by: str) -> Json:
    """What a message carries beside the provider's fields while the explorer looks on, and no table reads."""
    return {"_of": {"response": response, "item": item, "request": request, "by": by}}
