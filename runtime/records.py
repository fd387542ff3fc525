"""What a session keeps: responses and message items, and what it notes of an interrupt and of an open question.

Plain slots, cheap to copy and to hash.
"""

from collections import deque
from typing import Any, Literal

from .actions import Evidence, ItemOutcome, Memory, Verdict
from .adapter import Wire

Hush = Literal["no", "due", "left", "said"]
Sounds = Literal["not begun", "playing", "stopped", "cleared"]
SOUNDING = ("queued", "playing")
"""States of an item of which more may be heard."""


class Response:
    """One response from our request, or from the server's own decision, to the server's last word.

    `ref` is our name for it and its handle: `<prefix>req_N` for a request, `auto_N` for the server's own.
    `slot` is False for a response that runs beside the conversation and takes nobody's turn.
    """

    __slots__ = (
        "answers_cancel",
        "asks",
        "begun",
        "code",
        "cut_at",
        "deadline_ms",
        "fenced_kinds",
        "guessed",
        "holds_slot",
        "hush",
        "items",
        "last_word",
        "left_to_server",
        "manual_turns",
        "own",
        "passed_over",
        "ref",
        "seen_ms",
        "server_cancels",
        "server_id",
        "slot",
        "sounds",
        "state",
        "status",
        "untold",
        "verdict",
        "written",
    )

    def __init__(self, ref: str, *, own: bool, slot: bool = True) -> None:
        self.ref = ref
        self.own = own
        self.slot = slot
        self.state = "requested"
        self.server_id: str | None = None
        self.asks: Wire = ()
        self.written = not own
        self.holds_slot = False
        self.last_word = False
        self.server_cancels = False
        self.guessed = False
        self.left_to_server = False
        self.manual_turns = False
        self.answers_cancel = False
        """It answers the input by which we cancelled another. Cancelled, it would be answered too."""
        self.begun = False
        self.passed_over = False
        """Where there are only turns: something of it has come, or the server has stopped it. A `created` that comes
        then is another's."""
        self.seen_ms = 0
        self.deadline_ms: int | None = None
        self.status: str | None = None
        self.code: str | None = None
        self.verdict: Verdict | None = None
        self.sounds: Sounds = "not begun"
        """Where the server plays: what it has said of its playing of it."""
        self.cut_at: str | None = None
        """Where the server plays: the item it has cut last."""
        self.hush: Hush = "no"
        """Where the server plays: whether it was told to throw away what it has of it, or does so by itself."""
        self.untold = False
        """The verdict is known, and the handle waits for the server to say what was heard."""
        self.items: list[str] = []
        self.fenced_kinds: frozenset[str] = frozenset()

    @property
    def unborn(self) -> bool:
        """The server had not named it before this event."""
        return self.server_id is None

    @property
    def owed(self) -> bool:
        """The server has not said its last word about it."""
        return not self.last_word

    @property
    def running(self) -> bool:
        """The server may be at it: it knows of it, and its next word is waited for."""
        waits = self.deadline_ms is not None and not self.passed_over
        return self.written and not self.last_word and waits

    def copy(self) -> "Response":
        """An independent copy."""
        new = Response.__new__(Response)
        new.ref, new.own, new.slot, new.state = self.ref, self.own, self.slot, self.state
        new.server_id, new.asks, new.written = self.server_id, self.asks, self.written
        new.holds_slot, new.last_word = self.holds_slot, self.last_word
        new.server_cancels, new.left_to_server = self.server_cancels, self.left_to_server
        new.guessed, new.begun = self.guessed, self.begun
        new.passed_over = self.passed_over
        new.manual_turns, new.answers_cancel = self.manual_turns, self.answers_cancel
        new.deadline_ms, new.seen_ms = self.deadline_ms, self.seen_ms
        new.status, new.code, new.verdict = self.status, self.code, self.verdict
        new.sounds, new.hush, new.untold = self.sounds, self.hush, self.untold
        new.cut_at = self.cut_at
        new.items, new.fenced_kinds = self.items.copy(), self.fenced_kinds
        return new

    def key(self) -> tuple[Any, ...]:
        """All that can change, hashable."""
        return (
            self.ref, self.slot, self.state, self.server_id, self.written, self.holds_slot,
            self.last_word, self.deadline_ms, self.status, self.code, self.verdict, tuple(self.items),
            self.fenced_kinds, self.left_to_server, self.guessed, self.begun, self.passed_over, self.seen_ms,
            self.asks,
            self.sounds, self.hush, self.untold, self.cut_at,
        )  # fmt: skip


class Item:
    """One message item: what was received, sent and heard of it, in bytes of the session's audio format.

    Audio that is not known to be heard is kept as (end position, bytes): `held` is not sent yet, `at_carrier` is sent
    and kept in case a clear meant for another item takes it along.
    """

    __slots__ = (
        "asked",
        "at_carrier",
        "awaited",
        "bytes_per_ms",
        "clock_end_ms",
        "complete",
        "cut_ms",
        "evidence",
        "forget_due",
        "has_text",
        "heard_bytes",
        "held",
        "item_id",
        "marked_bytes",
        "memory",
        "part",
        "reason",
        "received_bytes",
        "ref",
        "refusals",
        "response_id",
        "sent_bytes",
        "sounded",
        "spoken",
        "state",
    )

    def __init__(self, item_id: str, ref: str, response_id: str | None, bytes_per_ms: int) -> None:
        self.item_id = item_id
        self.ref = ref
        self.response_id = response_id
        self.bytes_per_ms = bytes_per_ms
        self.part = 0
        self.state = "queued"
        self.received_bytes = 0
        self.sent_bytes = 0
        self.marked_bytes = 0
        self.heard_bytes = 0
        self.complete = False
        self.has_text = False
        self.spoken = False
        """Where the server plays: it has said that the item is speech, of which nothing passes here."""
        self.sounded = False
        self.awaited = False
        """Where the server plays: it has begun to play the item's response."""
        self.forget_due = False
        self.cut_ms = 0
        self.asked = False
        self.refusals = 0
        self.clock_end_ms = 0
        self.memory: Memory = "exact"
        self.reason: str | None = None
        self.evidence: Evidence = "marks"
        self.held: deque[tuple[int, bytes]] = deque()
        self.at_carrier: deque[tuple[int, bytes]] = deque()

    @property
    def settled(self) -> bool:
        """Nothing more of it will be heard."""
        return self.state not in SOUNDING

    @property
    def has_audio(self) -> bool:
        """The server has sent audio of the item, or plays it itself."""
        return self.received_bytes > 0 or self.spoken

    @property
    def text_only(self) -> bool:
        """Text of the item was handed to the application, and it has no audio."""
        return self.has_text and not self.has_audio

    @property
    def heard(self) -> bool:
        """The carrier, or the server that plays, has confirmed at least one millisecond of it."""
        return self.heard_bytes >= self.bytes_per_ms

    @property
    def stopping(self) -> bool:
        """It was stopped, and the server, which plays it, has not said yet how far it was heard."""
        return self.awaited and not self.settled

    @property
    def going_on(self) -> bool:
        """Nobody has stopped it."""
        return not self.stopping

    @property
    def unasked(self) -> bool:
        """The server was never asked to cut or delete it."""
        return not self.asked and not self.forget_due

    @property
    def first_refusal(self) -> bool:
        """The server has refused this only once; a shorter cut may pass."""
        return self.refusals == 1

    def outcome(self) -> ItemOutcome:
        """What became of it, so far."""
        per_ms = self.bytes_per_ms
        return ItemOutcome(
            item=self.item_id,
            state=self.state,
            received_ms=self.received_bytes // per_ms,
            sent_ms=self.sent_bytes // per_ms,
            heard_ms=self.heard_bytes // per_ms,
            memory="pending" if self.stopping else self.memory,
            reason=self.reason,
            evidence=self.evidence,
        )

    def copy(self) -> "Item":
        """An independent copy; the audio itself is shared."""
        new = Item.__new__(Item)
        new.item_id, new.ref, new.response_id = self.item_id, self.ref, self.response_id
        new.bytes_per_ms, new.part, new.state = self.bytes_per_ms, self.part, self.state
        new.received_bytes, new.sent_bytes = self.received_bytes, self.sent_bytes
        new.marked_bytes, new.heard_bytes = self.marked_bytes, self.heard_bytes
        new.complete, new.has_text, new.forget_due = self.complete, self.has_text, self.forget_due
        new.spoken, new.sounded, new.awaited = self.spoken, self.sounded, self.awaited
        new.asked, new.cut_ms, new.refusals, new.clock_end_ms = (
            self.asked,
            self.cut_ms,
            self.refusals,
            self.clock_end_ms,
        )
        new.memory, new.reason, new.evidence = self.memory, self.reason, self.evidence
        new.held, new.at_carrier = self.held.copy(), self.at_carrier.copy()
        return new

    def key(self) -> tuple[Any, ...]:
        """All that can change, hashable; the audio only by its length."""
        return (
            self.item_id, self.ref, self.state, self.received_bytes, self.sent_bytes,
            self.marked_bytes, self.heard_bytes, self.complete, self.has_text, self.forget_due,
            self.asked, self.cut_ms, self.refusals, self.clock_end_ms, self.memory, self.part,
            self.reason, self.evidence, self.spoken, self.sounded, self.awaited,
            tuple(end for end, _ in self.held),
            tuple(end for end, _ in self.at_carrier),
        )  # fmt: skip


class Operation:
    """A truncate or delete the server has not answered yet; or (`halt`) its word on what was heard is awaited."""

    __slots__ = ("deadline_ms", "item_id", "kind")

    def __init__(self, kind: str, item_id: str, deadline_ms: int) -> None:
        self.kind = kind
        self.item_id = item_id
        self.deadline_ms = deadline_ms


class Interrupted:
    """What one interrupt really did; each list holds our refs or the server's ids, in wire order.

    Items `to_forget` are deleted when the server has had its last word about their response.
    """

    __slots__ = (
        "cancelled",
        "cleared",
        "covered",
        "fenced",
        "forgotten",
        "left_to_server",
        "to_forget",
        "truncated",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.covered: list[str] = []
        self.cleared = False
        self.cancelled: list[str] = []
        self.left_to_server: list[str] = []
        self.withdrawn: list[str] = []
        self.fenced: list[str] = []
        self.truncated: list[tuple[str, int]] = []
        self.forgotten: list[str] = []
        self.to_forget: list[str] = []
