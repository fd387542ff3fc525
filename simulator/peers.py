"""The two models as the explorer sees them: machines each of whose steps is taken only once.

Like `untimed.py` for the session: what a model does in a state is remembered, and met again costs a look-up.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self

from .buffer import PlayoutBuffer
from .ear import Ear
from .voice import trace

Message = str | bytes
"""A message on a wire: text, or a binary frame."""


class ServerModel(Protocol):
    """What the explorer asks of the model of a provider's server."""

    closed: bool

    @property
    def speech(self) -> str:
        """The choice by which the caller begins to speak."""
        ...

    @property
    def audio(self) -> str:
        """The choice by which it says a delta of speech."""
        ...

    def receive(self, message: Message, now_ms: int) -> Sequence[Message]:
        """Take a client message; returns what the server says at once."""
        ...

    def choices(self) -> list[Any]:
        """What it may do by itself."""
        ...

    def take(self, choice: Any, now_ms: int) -> Sequence[Message]:  # noqa: ANN401
        """Do one of `choices()`."""
        ...

    @property
    def owes(self) -> bool:
        """Whether it has still to say something by itself."""
        ...

    def tidy(self) -> None:
        """Drop what no later step depends on."""
        ...

    def forget(self, response_id: str) -> None:
        """Drop a response that is over and its items."""
        ...

    def forget_item(self, item_id: str) -> None:
        """Drop an item that is over, of a response that is done."""
        ...

    def memory(self) -> list[Any]:
        """What it remembers of every item."""
        ...

    def copy(self) -> Self:
        """An independent copy."""
        ...

    def key(self) -> Hashable:
        """Equal keys: the same future."""
        ...


class CarrierModel(Protocol):
    """What the explorer asks of the model of a carrier."""

    buffer: PlayoutBuffer
    warnings: tuple[Any, ...]

    @property
    def ear(self) -> Ear:
        """What the caller has heard."""
        ...

    def receive(self, message: Message, now_ms: int) -> Sequence[Message]:
        """Take a message of the session."""
        ...

    @property
    def generation(self) -> int:
        """How many clears it has taken, where its messages say so; else 0."""
        ...

    def plays_to_next_mark(self) -> Sequence[Message]:
        """Play until the next mark or report comes back; if none will, play all."""
        ...

    def stop(self, now_ms: int) -> Sequence[Message]:
        """The caller hangs up."""
        ...

    def forgets(self, voice: int, from_ms: int) -> None:
        """Drop what was heard of a voice from a millisecond on, and whatever else it alone is kept for."""
        ...

    def recounts(self) -> None:
        """Count generations from 0 again: nobody speaks of those before."""
        ...

    def tidy(self) -> None:
        """Drop what no later step depends on."""
        ...

    def copy(self) -> Self:
        """An independent copy."""
        ...

    def key(self) -> Hashable:
        """Equal keys: the same future and the same heard."""
        ...


class Said(NamedTuple):
    """The state a model is in after a step, and what it said."""

    after: int
    messages: tuple[Message, ...]


class Server:
    """All states the server's model has been found in."""

    def __init__(self, model: ServerModel) -> None:
        self.models: list[ServerModel] = []
        self._ids: dict[Hashable, int] = {}
        self._steps: dict[tuple[int, Hashable], Said] = {}
        self._choices: dict[int, tuple[Any, ...]] = {}
        self._owes: dict[int, bool] = {}
        self._forgotten: dict[tuple[int, str], int] = {}
        self.start = self._intern(model)

    def receives(self, at: int, message: Message) -> Said:
        """The model takes a message of the session."""
        return self._step(at, ("receives", message), lambda model: model.receive(message, 0))

    def takes(self, at: int, choice: Any) -> Said:  # noqa: ANN401
        """The model does one of its choices."""
        return self._step(at, choice, lambda model: model.take(choice, 0))

    def choices(self, at: int) -> tuple[Any, ...]:
        """What the model may do by itself."""
        found = self._choices.get(at)
        if found is None:
            found = self._choices[at] = tuple(self.models[at].choices())
        return found

    def is_speech(self, choice: Any) -> bool:  # noqa: ANN401
        """Whether by this choice the caller begins to speak."""
        return bool(choice.act == self.models[self.start].speech)

    def is_audio(self, choice: Any) -> bool:  # noqa: ANN401
        """Whether by this choice the server says more speech."""
        return bool(choice.act == self.models[self.start].audio)

    def owes(self, at: int) -> bool:
        """Whether the model has still to say something by itself."""
        found = self._owes.get(at)
        if found is None:
            found = self._owes[at] = self.models[at].owes
        return found

    def forgets(self, at: int, response: str) -> int:
        """The model without a response that is over."""
        found = self._forgotten.get((at, response))
        if found is None:
            model = self.models[at].copy()
            model.forget(response)
            found = self._forgotten[at, response] = self._intern(model)
        return found

    def forgets_item(self, at: int, item: str) -> int:
        """The model without an item that is over."""
        found = self._forgotten.get((at, item))
        if found is None:
            model = self.models[at].copy()
            model.forget_item(item)
            found = self._forgotten[at, item] = self._intern(model)
        return found

    def _step(
        self, at: int, what: Hashable, act: Callable[[ServerModel], Sequence[Message]]
    ) -> Said:
        found = self._steps.get((at, what))
        if found is None:
            model = self.models[at].copy()
            messages = tuple(act(model))
            found = self._steps[at, what] = Said(self._intern(model), messages)
        return found

    def _intern(self, model: ServerModel) -> int:
        model.tidy()
        key = model.key()
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.models)
            self.models.append(model)
        return found


class Carrier:
    """All states the carrier's model has been found in."""

    def __init__(self, model: CarrierModel) -> None:
        self.models: list[CarrierModel] = []
        self._ids: dict[Hashable, int] = {}
        self._steps: dict[tuple[int, str, Message], Said] = {}
        self._forgotten: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {}
        self._buffered_ms: list[int] = []
        self._holds: dict[int, frozenset[int]] = {}
        self._marks: dict[int, tuple[str, ...]] = {}
        self._renamed: dict[tuple[int, tuple[str, ...]], int] = {}
        self._recounted: dict[int, int] = {}
        self.start = self._intern(model)

    def receives(self, at: int, message: Message) -> Said:
        """The model takes a message of the session."""
        return self._step(at, "receives", message)

    def plays(self, at: int) -> Said:
        """The model plays until the next mark comes back."""
        return self._step(at, "plays", "")

    def stops(self, at: int) -> Said:
        """The caller hangs up."""
        return self._step(at, "stops", "")

    def buffered_ms(self, at: int) -> int:
        """How much the model has still to play."""
        return self._buffered_ms[at]

    def holds(self, at: int) -> frozenset[int]:
        """The voices of which the model has still something to play."""
        found = self._holds.get(at)
        if found is None:
            buffer = self.models[at].buffer
            pieces = (trace(audio, buffer.ear.bytes_per_ms)[0] for audio in buffer.pending_audio)
            found = self._holds[at] = frozenset(place[0] for place in pieces if place)
        return found

    def marks(self, at: int) -> tuple[str, ...]:
        """The marks that wait to come back."""
        found = self._marks.get(at)
        if found is None:
            found = self._marks[at] = tuple(self.models[at].buffer.pending_marks)
        return found

    def renames(self, at: int, names: tuple[str, ...]) -> int:
        """The model with other names for the marks that wait."""
        found = self._renamed.get((at, names))
        if found is None:
            model = self.models[at].copy()
            model.buffer.rename_marks(dict(zip(self.marks(at), names, strict=True)))
            found = self._renamed[at, names] = self._intern(model)
        return found

    def generation(self, at: int) -> int:
        """How many clears the model has taken, where its messages say so."""
        return self.models[at].generation

    def recounts(self, at: int) -> int:
        """The model in its first generation."""
        found = self._recounted.get(at)
        if found is None:
            model = self.models[at].copy()
            model.recounts()
            found = self._recounted[at] = self._intern(model)
        return found

    def forgets(self, at: int, voices: tuple[tuple[int, int], ...]) -> int:
        """The model with an ear that heard of each voice nothing from a millisecond on."""
        found = self._forgotten.get((at, voices))
        if found is None:
            model = self.models[at].copy()
            for voice, from_ms in voices:
                model.forgets(voice, from_ms)
            found = self._forgotten[at, voices] = self._intern(model)
        return found

    def _step(self, at: int, what: Literal["receives", "plays", "stops"], message: Message) -> Said:
        found = self._steps.get((at, what, message))
        if found is None:
            model = self.models[at].copy()
            messages: Sequence[Message]
            if what == "receives":
                messages = model.receive(message, 0)
            elif what == "plays":
                messages = model.plays_to_next_mark()
            else:
                messages = model.stop(0)
            found = self._steps[at, what, message] = Said(self._intern(model), tuple(messages))
        return found

    def _intern(self, model: CarrierModel) -> int:
        model.tidy()
        key = model.key()
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.models)
            self.models.append(model)
            self._buffered_ms.append(model.buffer.buffered_ms)
        return found
