"""A model of a peer that does what the real one does not must not come out green.

Otherwise `bargein verify` would say nothing about the peers at all, and a slip in a model would go unnoticed. Where a
session copes with what a peer does wrong, the verdict is `holds`, and that is a claim too.
"""

# ruff: noqa: ANN401  an override passes on what it does not look at

from typing import Any, Self

import pytest
from msgspec.structs import replace

from bargein import adapters
from bargein.simulator.buffer import Echo, PlayoutBuffer
from bargein.simulator.openai import OpenAIServer
from bargein.simulator.openai_wire import ResponseCancel, Truncate
from bargein.simulator.rerun import plan
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.verify import WorldReport, search
from bargein.simulator.worlds import CARRIERS, SERVERS, CarrierKind, Plan, ServerKind

# -- Servers ----------------------------------------------------------------------------------------


class DeltasAfterDone(OpenAIServer):
    """It makes more of an item when the response is over, and remembers it."""

    def finishes(self, response_id: str, *args: Any, **fields: Any) -> list[str]:
        events = super().finishes(response_id, *args, **fields)
        for item in self.responses[response_id].items:
            if self.conversation.items[item].modality == "audio":
                events += self.trailing_delta(response_id, item)
        return events


class TruncatesNothing(OpenAIServer):
    """It says that it truncated."""

    def _truncate(self, event: Truncate) -> list[str]:
        before = self.conversation.items[event.item_id]
        events = super()._truncate(event)
        self.conversation.change(event.item_id, remembered_ms=before.remembered_ms)
        return events


class DeletesNothing(OpenAIServer):
    """It says that it deleted."""

    def _delete(self, event: Any) -> list[str]:
        return [self._event("conversation.item.deleted", item_id=event.item_id)]


class NeverFinishes(OpenAIServer):
    """Its responses end, and nobody is told."""

    def finishes(self, *args: Any, **fields: Any) -> list[str]:
        return super().finishes(*args, **fields)[:-1]


class CancelsNothing(OpenAIServer):
    """It speaks on."""

    def _cancel(self, event: ResponseCancel) -> list[str]:
        return []


class CancelsAnother(OpenAIServer):
    """Where two run, the wrong one."""

    def _cancel(self, event: ResponseCancel) -> list[str]:
        running = [each.id for each in self.responses.values() if each.state == "in_progress"]
        others = [each for each in running if each != event.response_id]
        return super()._cancel(replace(event, response_id=others[0]) if others else event)


class MixesResponses(OpenAIServer):
    """Where two speak, the audio of one comes under the name of the other."""

    def speaks(self, response_id: str, item_id: str, *args: Any, **fields: Any) -> list[str]:
        events = super().speaks(response_id, item_id, *args, **fields)
        for other in self.responses.values():
            if other.active and other.id != response_id and other.items:
                names = {response_id: other.id, item_id: other.items[0]}
                for name, its in names.items():
                    events = [event.replace(f'"{name}"', f'"{its}"') for event in events]
        return events


class LosesMetadata(OpenAIServer):
    """What it creates names no request."""

    def _response_json(self, *args: Any) -> Any:
        return super()._response_json(*args) | {"metadata": None}


class CreatesTwice(OpenAIServer):
    def creates(self, *args: Any, **fields: Any) -> list[str]:
        return super().creates(*args, **fields) * 2


class IgnoresTruncates(OpenAIServer):
    def _truncate(self, event: Truncate) -> list[str]:
        return []


class IgnoresDeletes(OpenAIServer):
    def _delete(self, event: Any) -> list[str]:
        return []


# -- Carriers ---------------------------------------------------------------------------------------


class _Buffered(TwilioCarrier):
    """Twilio with another buffer."""

    kind: type[PlayoutBuffer] = PlayoutBuffer

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.buffer = self.kind(self.buffer.ear)


class _Buffer(PlayoutBuffer):
    """Its copies are of its own kind."""

    def copy(self) -> Self:
        twin = object.__new__(type(self))
        plain = super().copy()
        for slot in PlayoutBuffer.__slots__:
            setattr(twin, slot, getattr(plain, slot))
        return twin


class _Deaf(_Buffer):
    def clear(self) -> list[Echo]:
        return []


class DropsClears(_Buffered):
    """It plays on."""

    kind = _Deaf


class _Hasty(_Buffer):
    def mark(self, name: str) -> list[Echo]:
        return [Echo(name, False, self.now_ms)]


class ReturnsMarksEarly(_Buffered):
    """When they come, not when what stands before them was heard."""

    kind = _Hasty


class ReturnsMarksTwice(TwilioCarrier):
    def _echoes(self, echoes: list[Echo]) -> list[str]:
        return super()._echoes([again for each in echoes for again in (each, each)])


class SwapsMarks(TwilioCarrier):
    """The first two come back in the wrong order."""

    __slots__ = ("_held", "_swaps")

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._held: tuple[Echo, ...] = ()
        self._swaps = True

    def _echoes(self, echoes: list[Echo]) -> list[str]:
        if self._swaps:
            echoes = [*self._held, *echoes]
            self._held = tuple(echoes)
            if len(echoes) < 2:
                return []
            self._swaps, self._held = False, ()
            echoes = [echoes[1], echoes[0], *echoes[2:]]
        return super()._echoes(echoes)

    def copy(self) -> Self:
        twin = super().copy()
        twin._held, twin._swaps = self._held, self._swaps
        return twin

    def key(self) -> tuple[object, ...]:
        return (*super().key(), self._held, self._swaps)


# -- Verdicts ---------------------------------------------------------------------------------------

Peer = type[OpenAIServer] | type[TwilioCarrier]

FOUND: dict[Peer, tuple[str, str]] = {
    DeltasAfterDone: ("words", "I4"),  # Nothing covers it, and it is not heard whole.
    TruncatesNothing: ("words", "I8"),
    DeletesNothing: ("words", "I8"),
    NeverFinishes: ("words", "I12"),
    CancelsNothing: ("words", "I8"),
    CancelsAnother: (
        "beside",
        "I8",
    ),  # The one that should have stopped goes on, and is remembered.
    MixesResponses: ("beside", "I6"),
    LosesMetadata: ("words", "I12"),
    DropsClears: ("words", "I5"),
    ReturnsMarksEarly: ("words", "I5"),
    SwapsMarks: (
        "repeated",
        "I6",
    ),  # An item confirmed before the one in front of it is still queued.
}
"""Broken models, a world that notices, and the invariant that a person would name."""

COPED_WITH: dict[Peer, str] = {
    CreatesTwice: "The first name stands.",
    IgnoresTruncates: "It waits, and then says that memory differs.",
    IgnoresDeletes: "It waits, and then says that memory differs.",
    ReturnsMarksTwice: "A mark that came back is known no more.",
}
"""Broken models that a session copes with, and how."""


@pytest.mark.parametrize("peer", FOUND, ids=lambda peer: peer.__name__)
def test_a_peer_that_breaks_its_promises_is_not_green(peer: Peer) -> None:
    world, number = FOUND[peer]
    found = searched(plan(world), peer).outcome.counterexample
    assert found is not None
    assert found.number == number, found.finding


@pytest.mark.parametrize("world", ["words", "listens", "superseded"])
@pytest.mark.parametrize("peer", COPED_WITH, ids=lambda peer: peer.__name__)
def test_a_session_copes_with_some_faults_of_a_peer(peer: Peer, world: str) -> None:
    """See `COPED_WITH` for how."""
    outcome = searched(plan(world), peer).outcome
    assert outcome.counterexample is None, outcome.counterexample
    assert not outcome.truncated


@pytest.mark.parametrize("peer", [OpenAIServer, TwilioCarrier], ids=lambda peer: peer.__name__)
def test_a_sound_peer_given_by_hand_is_as_good_as_the_one_of_the_registry(peer: Peer) -> None:
    """What is found above is found in the fault, not in how it was given."""
    for world in ("words", "repeated"):
        ours, theirs = searched(plan(world), peer).outcome, searched(plan(world), None).outcome
        assert ours.counterexample is None
        assert (ours.states, ours.edges) == (theirs.states, theirs.edges)


def searched(world: Plan, peer: Peer | None) -> WorldReport:
    provider, transport = adapters.provider("openai"), adapters.transport("twilio")
    if peer is None:
        return search(world, provider, transport)
    if issubclass(peer, OpenAIServer):
        return search(world, provider, transport, server=server(peer))
    return search(world, provider, transport, carrier=carrier(peer))


def server(kind: type[OpenAIServer]) -> ServerKind:
    def make(world: Plan) -> tuple[OpenAIServer, list[str]]:
        sound, _ = SERVERS["openai"].make(world)
        assert isinstance(sound, OpenAIServer)
        model = kind(session=sound.session, rules=sound.rules, bounds=sound.bounds)
        return model, model.connects()

    return replace(SERVERS["openai"], make=make)


def carrier(kind: type[TwilioCarrier]) -> CarrierKind:
    def make(world: Plan) -> tuple[TwilioCarrier, list[str]]:
        model = kind(**world.carrier)
        return model, model.start(0)

    return replace(CARRIERS["twilio"], make=make)
