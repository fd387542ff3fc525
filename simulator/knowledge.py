"""What is known of one call to one who sees both wires: responses, their items, and the marks that are out."""

from collections.abc import Callable
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import astuple, replace

from .facts import Asked, Order, Returned, Told
from .properties import Broken


class Spoken(Struct, gc=False):
    """One message item as its audio went by. Milliseconds count from the item's own first."""

    item: str
    voice: int = 0
    received_ms: int = 0
    sent_ms: int = 0
    confirmed_ms: int = 0
    """What marks that nobody voided have confirmed to the session."""
    outcome: str = ""
    cut_ms: int = 0
    truncates: int = 0
    op: str = ""
    """The truncate or delete that the server has not answered."""
    refusals: int = 0
    unanswered: bool = False
    """The time for the server's answer was over before it came."""
    deletes: int = 0
    diverged: bool = False
    overdue: bool = False
    rewound: bool = False
    """A clear meant for others took some of it along, so that it is sent again."""
    overrun: bool = False
    """Audio of it came after it was heard to what was its end."""
    answered: bool = False
    """The server has said that it cut or deleted the item."""
    judged: bool = False
    """What is remembered of it is what was heard; nothing more need be known."""
    player: str = ""
    """What the carrier knows it by, if that is another name."""
    base_ms: int = 0
    """Where the carrier's reports begin to count in this generation."""


class Reply(Struct, gc=False):
    """One response as the session could know it."""

    ref: str = ""
    """Our handle; of a response the server made by itself, the one the session gives it."""
    response: str = ""
    own: bool = False
    slot: bool = True
    written: bool = False
    told: str = ""
    """How far the server has told of it: nothing, created, done or refused."""
    status: str = ""
    content: bool = False
    verdict: str = ""
    covered: str = ""
    """Why nobody may hear it any more: api, supersede, vad, timeout, server, lost, refused, hangup."""
    left: bool = False
    """The server cancels it by itself."""
    called: str = ""
    """The state in which the application was told that it is; `over` when that matters no more."""
    misreport: tuple[str, str] = ("", "")
    """The property broken, and what the application was told of it that is not so. Judged when the response is over:
    whatever made it so is worse and found before."""
    cancels: int = 0
    deadlines: int = 0
    items: tuple[Spoken, ...] = ()


class Readings(Struct, frozen=True):
    """How the wires of this world are read, each by the other side's own model."""

    told: Callable[[Any], tuple[Told, ...]]
    asked: Callable[[Any], Asked]
    ordered: Callable[[Any], Order]
    returned: Callable[[Any], Returned]
    interrupts: bool
    """The caller's speech, as the server hears it, is a barge-in; the session was not told otherwise."""
    interrupts_itself: bool = False
    """The server then cancels the response of the conversation by itself."""
    names: str = "item"
    """What messages name: items, only responses, or nothing but the turn (`can.identifies`)."""
    cancels: str = "by_id"
    """How a response is cancelled in this world (`can.cancel`)."""
    truncates: bool = True
    deletes: bool = True
    by_order: bool = False
    """A response that names no request answers the oldest that was not answered: the server makes none by itself."""
    supersedes: bool = False
    """A new response ends the one before, which then has no last word."""
    answers_cancel: bool = False
    """A cancel may be answered with a response that nobody asked for."""
    finishes: bool = True
    """A response has a last word."""
    marks: bool = True
    """What was heard is confirmed by marks; if not, the carrier reports it by itself."""


class Knowledge:
    """What is known at one moment. The copies that the methods make are of the same kind."""

    __slots__ = (
        "answer_due",
        "called",
        "cleared",
        "connected",
        "due",
        "generation",
        "hung_up",
        "last_voice",
        "marks",
        "nameless",
        "replies",
    )

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.marks: tuple[tuple[str, int, int], ...] = ()
        """Marks that are out: name, voice, milliseconds."""
        self.last_voice = 0
        self.generation = 0
        """How many clears the carrier was given, where they are counted."""
        self.connected = True
        self.hung_up = False
        self.nameless = False
        """The session has names of its own for responses and items: the server gives none."""
        self.answer_due = False
        """A cancel was sent that the server may answer with a response nobody asked for."""
        self.due: list[Reply] = []
        self.cleared = 0
        self.called: tuple[tuple[Spoken, str], ...] = ()
        """Items whose state was told in this step."""

    def key(self) -> Any:  # noqa: ANN401  hashable, shaped by the structs above
        """Equal keys: the same knowledge."""
        return (
            tuple([_key(reply) for reply in self.replies]),
            self.marks,
            self.last_voice,
            self.generation,
            self.connected,
            self.hung_up,
            self.answer_due,
        )

    def copy(self) -> Self:
        """An independent copy."""
        new = type(self)()
        new.replies = [_copy(reply) for reply in self.replies]
        new.marks, new.last_voice = self.marks, self.last_voice
        new.connected, new.hung_up = self.connected, self.hung_up
        new.nameless, new.generation = self.nameless, self.generation
        new.answer_due = self.answer_due
        return new

    def open_refs(self) -> list[str]:
        """Handles of requests that are not resolved."""
        return [reply.ref for reply in self.replies if reply.own and not reply.verdict]

    def voice_of(self, item_id: str) -> int:
        """The voice of an item, 0 if no audio of it came by."""
        item = self._called(item_id)
        return 0 if item is None else item.voice

    def silenced(self) -> frozenset[int]:
        """The voices that nobody may hear any more."""
        return frozenset(
            item.voice
            for reply in self.replies
            if reply.covered
            for item in reply.items
            if item.voice
        )

    def rewound(self) -> frozenset[int]:
        """The voices of which some may be heard twice."""
        return frozenset(item.voice for item in self._items() if item.rewound)

    def unheard_ms(self) -> int:
        """Speech delivered that nobody has cut and no mark has confirmed."""
        return sum(
            item.received_ms - item.confirmed_ms for item in self._items() if not item.outcome
        )

    def cut(self) -> tuple[tuple[int, int], ...]:
        """Voices cut short, and where."""
        return tuple(
            (item.voice, item.confirmed_ms)
            for item in self._items()
            if item.voice and item.outcome in ("partial", "skipped") and not item.judged
        )

    def with_judged(self, names: list[str]) -> Self:
        """What is left to know when these items are over everywhere."""
        new = self.copy()
        for item in new._items():
            if item.item in names:
                item.judged, item.voice = True, 0
                item.received_ms = item.sent_ms = item.confirmed_ms = item.cut_ms = 0
                item.player, item.base_ms = "", 0
        return new

    def with_marks(self, names: tuple[str, ...]) -> Self:
        """The same knowledge with other names for the marks that are out."""
        new = self.copy()
        new.marks = tuple([(name, *mark[1:]) for name, mark in zip(names, new.marks, strict=True)])
        return new

    def recounted(self) -> Self:
        """The same knowledge in the carrier's first generation."""
        new = self.copy()
        new.generation = 0
        return new

    def without(self, gone: list[int]) -> Self:
        """What is left to know when nobody will speak of the responses at these places any more."""
        new = self.copy()
        new.replies = [reply for at, reply in enumerate(new.replies) if at not in gone]
        if not new.replies:
            new.last_voice = 0
        return new

    # -- finding ----------------------------------------------------------------------------------------

    def _open(self) -> list[Reply]:
        return [reply for reply in self.replies if not reply.verdict and not reply.covered]

    def _items(self) -> list[Spoken]:
        return [item for reply in self.replies for item in reply.items]

    def _named(self, response: str) -> Reply | None:
        return next((r for r in self.replies if response and r.response == response), None)

    def _by_ref(self, ref: str) -> Reply:
        for reply in self.replies:
            if reply.ref == ref:
                return reply
        raise Broken("I12", f"{ref} is spoken of, which nobody asked for")

    def _learns(self, ref: str, response: str | None) -> Reply:
        """The response of a handle; the session gives one to what the server made by itself."""
        for reply in self.replies:
            if reply.ref == ref:
                return reply
        if self.nameless:
            return self._learns_nameless(ref)
        reply_named = self._named(response or "")
        if reply_named is not None and reply_named.ref:
            number = "I2" if reply_named.covered else "I4"
            raise Broken(number, f"{response} answers {reply_named.ref}, and is taken for {ref}")
        if reply_named is None:
            raise Broken("I12", f"{ref} is spoken of, which nobody asked for ({response})")
        reply_named.ref = ref
        return reply_named

    def _learns_nameless(self, ref: str) -> Reply:
        unnamed = [reply for reply in self.replies if not reply.ref and not reply.own]
        if not unnamed:
            raise Broken("I2", f"{ref} is begun for what answers a request of ours, or nothing")
        unnamed[-1].ref = ref
        return unnamed[-1]

    def _part(self, reply: Reply, name: str) -> Spoken | None:
        """The item of a response that the session calls `name`; without names there is but one."""
        found = next((each for each in reply.items if each.item == name), None)
        if found is None and self.nameless and len(reply.items) == 1:
            return reply.items[0]
        return found

    def _item(self, name: str, number: str, done: str) -> Spoken:
        for item in self._items():
            if item.item == name:
                return item
        raise Broken(number, f"{name} is {done}, and nobody was told of it")

    def _voice(self, voice: int) -> Spoken | None:
        return next((item for item in self._items() if item.voice == voice), None)

    def _called(self, name: str) -> Spoken | None:
        """The item that session and carrier call so; where the server has no names, maybe the one that sounds."""
        items = self._items()
        for item in reversed(items):
            if (item.player or item.item) == name:
                return item
        unnamed = items if self.nameless else []
        return next((item for item in unnamed if item.voice and not item.outcome), None)

    def _of_voice(self, voice: int) -> tuple[Reply, Spoken]:
        for reply in self.replies:
            for item in reply.items:
                if voice and item.voice == voice:
                    return reply, item
        raise Broken("I3", f"sound goes to the carrier that no response has (voice {voice})")


def _copy(reply: Reply) -> Reply:
    return replace(reply, items=tuple([replace(item) for item in reply.items]))


def _key(reply: Reply) -> tuple[Any, ...]:
    *fields, items = astuple(reply)
    return (*fields, *[astuple(item) for item in items])
