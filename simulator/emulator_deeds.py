"""What the emulator has any model do, said alike for both kinds: with ids for responses (`openai.py` and its family),
and one turn after another (`turns.py`).

Nothing here waits or knows the time; when to do what is `emulator_connection.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from .emulator_plan import PlannedItem
from .openai import OpenAIServer
from .openai_memory import Remembered
from .openai_state import End
from .openai_wire import Refusal
from .turns import Refused, TurnServer

Said: TypeAlias = Sequence[str | bytes]

State: TypeAlias = Literal["waits", "runs", "stopped", "over"]
"""Of a response: accepted and not begun; begun; told to stop; nothing more may be said of it."""

Edge: TypeAlias = Literal["start", "stop"]

PCM: Final = "audio/pcm"


class Heard(NamedTuple):
    """The caller's audio, as one client message carries it."""

    audio: bytes
    encoding: str = PCM
    """`audio/pcm` (16 bit, little-endian), `audio/pcmu` or `audio/pcma`."""
    bytes_per_ms: int = 48


class Model(Protocol):
    """What both kinds of model have, for whoever looks into a connection."""

    closed: bool
    responses: Any
    """The responses accepted so far, by id."""
    conversation: Any
    """Only where the server gives its items ids."""

    def memory(self) -> list[Remembered]:
        """What the server remembers: the oracle."""
        ...


class Deeds(Protocol):
    """One connection's model on strings."""

    whole_words: bool
    """Whether what is spoken is told once, with its first audio, and not bit by bit."""

    @property
    def model(self) -> Any:  # noqa: ANN401  one of two kinds
        """The server's half of the call."""
        ...

    @property
    def silence_ms(self) -> int | None:
        """How much silence ends the caller's turn, if the session says."""
        ...

    @property
    def goodbye(self) -> tuple[int, str] | None:
        """With what code and reason the server closes the socket, once it does."""
        ...

    def heard(self, message: str | bytes) -> Heard | None:
        """The caller's audio in a message that the server was given; None if it listens to none or there is none.

        It must be asked of every message, for some say what the audio after them is.
        """
        ...

    @property
    def listening(self) -> bool:
        """Whether the server still hears the speech whose start it was told."""
        ...

    def speech(self, edge: Edge, now_ms: int, unplayed_ms: int) -> Said:
        """The caller begins or ends to speak. `unplayed_ms`: of what was said last, what a client that plays as it
        comes has still to play."""
        ...

    def requests(self) -> Mapping[str, object]:
        """The responses that may be begun, and what stands for each as long as it is the same request."""
        ...

    def state(self, name: str) -> State:
        """How far a response is."""
        ...

    def begins(self, name: str, *, announced: bool) -> Said:
        """It begins; unannounced, nobody is told."""
        ...

    def refuses(self, name: str, code: str) -> Said:
        """It is refused after all; where the wire has no word for that, nothing is said."""
        ...

    def opens(self, name: str, item: PlannedItem) -> tuple[Said, bool]:
        """The next item, and whether it is to be spoken; what is not has been said whole."""
        ...

    def waits_for_client(self, name: str) -> bool:
        """Whether it says no more until its function calls have their results."""
        ...

    def speaks(self, name: str, ms: int, words: str | None) -> Said:
        """`ms` more of the item opened last. None: any words."""
        ...

    def can_trail(self, name: str) -> bool:
        """Whether audio may still come of a response told to stop."""
        ...

    def trails(self, name: str, ms: int) -> Said:
        """Audio that was under way when it was told to stop."""
        ...

    def finishes(self, name: str, end: End | None) -> Said:
        """It is over; None as it happens: stopped, or else completed."""
        ...


Hears: TypeAlias = Callable[[str | bytes], Heard | None]
"""Finds the caller's audio in a message; sees all of one connection. May raise `Refused` or `Refusal`, as the model
then did."""


class ResponseDeeds:
    """A server of the OpenAI family."""

    def __init__(self, model: OpenAIServer, hears: Hears) -> None:
        self.model = model
        self._hears = hears
        self.whole_words = False

    goodbye = None

    @property
    def silence_ms(self) -> int | None:
        """`Deeds.silence_ms`."""
        return self.model.silence_duration_ms

    def heard(self, message: str | bytes) -> Heard | None:
        """`Deeds.heard`."""
        try:
            found = self._hears(message)
        except Refusal:
            return None
        return found if self.model.detects_turns else None

    @property
    def listening(self) -> bool:
        """`Deeds.listening`: whether a client's commit ended the speech, the model minds itself."""
        return True

    def speech(self, edge: Edge, now_ms: int, unplayed_ms: int) -> Said:
        """`Deeds.speech`."""
        if edge == "start":
            return self.model.hears_speech_start(now_ms)
        return self.model.hears_speech_stop(now_ms)

    def requests(self) -> Mapping[str, object]:
        """`Deeds.requests`. Ids are never given twice."""
        model = self.model
        holder = model.slot_holder()
        free = (r for r in model.responses.values() if r.out_of_band or r is holder)
        return {r.id: model for r in free if r.state == "requested" and not model.muted}

    def state(self, name: str) -> State:
        """`Deeds.state`."""
        response = self.model.responses.get(name)
        known: dict[str, State] = {
            "requested": "waits",
            "in_progress": "runs",
            "cancelling": "stopped",
        }
        return known.get(response.state, "over") if response is not None else "over"

    def begins(self, name: str, *, announced: bool) -> Said:
        """`Deeds.begins`."""
        return self.model.creates(name, created_event=announced)

    def refuses(self, name: str, code: str) -> Said:
        """`Deeds.refuses`."""
        return self.model.refuses(name, code=code, message="Refused as planned.")

    def opens(self, name: str, item: PlannedItem) -> tuple[Said, bool]:
        """`Deeds.opens`."""
        said = self.model.announces(name, item.kind, name=item.name)
        made = self.model.conversation.items[self.model.responses[name].items[-1]]
        if made.kind == "function_call":
            return said + self.model.calls(name, made.id, item.text or "{}"), False
        if made.modality == "text":
            return said + self.model.says_text(name, made.id, item.text), False
        return said, True

    def waits_for_client(self, name: str) -> bool:
        """`Deeds.waits_for_client`: a result is answered by another response."""
        return False

    def speaks(self, name: str, ms: int, words: str | None) -> Said:
        """`Deeds.speaks`."""
        return self.model.speaks(name, self.model.responses[name].items[-1], ms, words)

    def can_trail(self, name: str) -> bool:
        """`Deeds.can_trail`."""
        return bool(self._spoken(name))

    def trails(self, name: str, ms: int) -> Said:
        """`Deeds.trails`."""
        return self.model.trailing_delta(name, self._spoken(name)[-1], ms)

    def finishes(self, name: str, end: End | None) -> Said:
        """`Deeds.finishes`."""
        return self.model.finishes(name, end)

    def _spoken(self, name: str) -> list[str]:
        items = self.model.conversation.items
        return [x for x in self.model.open_items(name) if items[x].modality == "audio"]


class TurnDeeds:
    """A server that answers one turn after another."""

    def __init__(self, model: TurnServer, hears: Hears, *, whole_words: bool = False) -> None:
        self.model = model
        self._hears = hears
        self.whole_words = whole_words

    silence_ms = None

    @property
    def goodbye(self) -> tuple[int, str] | None:
        """`Deeds.goodbye`."""
        code = self.model.close_code
        return None if code is None else (code, self.model.close_reason)

    def heard(self, message: str | bytes) -> Heard | None:
        """`Deeds.heard`."""
        try:
            found = self._hears(message)
        except Refused:
            return None
        return found if self.model.ready and self.model.detects_speech else None

    @property
    def listening(self) -> bool:
        """`Deeds.listening`."""
        return self.model.caller_speaks

    def speech(self, edge: Edge, now_ms: int, unplayed_ms: int) -> Said:
        """`Deeds.speech`."""
        if edge == "stop":
            return self.model.hears_speech_stop(now_ms)
        return self.model.hears_speech_start(
            now_ms, playing=unplayed_ms > 0, heard_ms=max(0, self._last_ms() - unplayed_ms)
        )

    def _last_ms(self) -> int:
        """How much the turn that spoke last has said."""
        said = [x for x in self.model.items.values() if x.generated_ms]
        return sum(x.generated_ms for x in said if x.response == said[-1].response)

    def requests(self) -> Mapping[str, object]:
        """`Deeds.requests`. A name may be given again once a request is given up, the turn is another then."""
        head = self.model.head
        if head is None or head.state != "requested":
            return {}
        free = any(each.response == head.id for each in self.model.choices())
        return {head.id: head} if free else {}

    def state(self, name: str) -> State:
        """`Deeds.state`."""
        turn = self.model.responses.get(name)
        known: dict[str, State] = {
            "requested": "waits",
            "in_progress": "runs",
            "generated": "runs",
            "interrupted": "stopped",
        }
        return known.get(turn.state, "over") if turn is not None else "over"

    def begins(self, name: str, *, announced: bool) -> Said:
        """`Deeds.begins`."""
        return self.model.begins(name, announced=announced)

    def refuses(self, name: str, code: str) -> Said:
        """`Deeds.refuses`."""
        if self.model.can_refuse and self.model.responses[name].by == "client":
            return self.model.refuses(name, code)
        return self.model.dies(name)

    def opens(self, name: str, item: PlannedItem) -> tuple[Said, bool]:
        """`Deeds.opens`."""
        if item.kind == "function_call":
            return self.model.calls(name, item.name, item.text or "{}"), False
        if item.kind == "text":
            return self.model.says(name, item.text), False
        items = (self.model.items[x] for x in self.model.responses[name].items)
        speaks = any(x.kind == "message" and x.open for x in items)
        return self.model.ends_item(name) if speaks else [], True

    def waits_for_client(self, name: str) -> bool:
        """`Deeds.waits_for_client`."""
        return self.model.rules.waits_for_tools and bool(self.model.open_calls(name))

    def speaks(self, name: str, ms: int, words: str | None) -> Said:
        """`Deeds.speaks`."""
        return self.model.speaks(name, ms, words)

    def can_trail(self, name: str) -> bool:
        """`Deeds.can_trail`."""
        items = (self.model.items[x] for x in self.model.responses[name].items)
        return any(x.generated_ms for x in items)

    def trails(self, name: str, ms: int) -> Said:
        """`Deeds.trails`."""
        return self.model.trailing_delta(name, ms)

    def finishes(self, name: str, end: End | None) -> Said:
        """`Deeds.finishes`. Only an end completed or `incomplete` can be said; any other is silence."""
        if end in ("failed", "cancelled"):
            return self.model.dies(name)
        if self.state(name) != "waits":
            return self.model.finishes(name, premature=end == "incomplete")
        begun = self.model.begins(name, announced=False)
        return begun + self.model.finishes(name, premature=end == "incomplete")
