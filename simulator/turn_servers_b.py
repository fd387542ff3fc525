"""ElevenLabs Agents and the Deepgram Voice Agent as the explorer needs them: made for a plan, and read."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import deepgram_facts, elevenlabs_facts
from .carrier import BYTES_PER_MS
from .deepgram import DeepgramRules, DeepgramServer, settings
from .elevenlabs import ElevenLabsBounds, ElevenLabsRules, ElevenLabsServer
from .facts import Asked, Told
from .peers import Message, ServerModel
from .plans import DELTA_MS
from .turns import Bounds

if TYPE_CHECKING:
    from .plans import Plan


class TurnEntry(NamedTuple):
    """One provider with one audio format."""

    make: "Callable[[Plan], tuple[ServerModel, Sequence[Message]]]"
    """The model, its handshake over, and what it has said so far. `Plan.server` may also hold bounds of other models,
    which are left out; `Plan.items` is one, for nothing on these wires tells one stretch of speech from the next."""
    told: Callable[[Any], Told | None]
    told_all: Callable[[Any], tuple[Told, ...]]
    asked: Callable[[Any], Asked]
    audio: str
    """The format, a name of `simulator.carrier.BYTES_PER_MS`."""


def _bounds(plan: "Plan", known: Sequence[str]) -> dict[str, Any]:
    """These servers always listen: where nobody is to be heard, nobody speaks."""
    own = {name: value for name, value in plan.server.items() if name in known}
    heard = {"words": False, "speech_turns": int(plan.vad != "off")}
    return heard | {"deltas": plan.deltas, "delta_ms": DELTA_MS} | own


def _rules(plan: "Plan") -> dict[str, Any]:
    """Nobody answers function calls in the worlds of the explorer. What a server gives up for the caller is answered
    with the caller, or, where it is to answer only us, kept."""
    how: dict[str, Any] = {"waits_for_tools": False}
    how["speech_interrupts"] = plan.vad == "interrupts"
    if not plan.rules.get("answers_speech", True):
        how["pending"] = "kept"
    return how | dict(plan.rules)


def _elevenlabs(plan: "Plan", audio: str) -> tuple[ServerModel, Sequence[Message]]:
    bounds = ElevenLabsBounds(**_bounds(plan, ElevenLabsBounds.__struct_fields__))
    rules = ElevenLabsRules(**{"memory": "sent"} | _rules(plan))  # No clock to reckon by.
    model = ElevenLabsServer(rules=rules, bounds=bounds, bytes_per_ms=BYTES_PER_MS[audio])
    return model, model.connects()


def _deepgram(plan: "Plan", audio: str) -> tuple[ServerModel, Sequence[Message]]:
    bounds = Bounds(**_bounds(plan, Bounds.__struct_fields__))
    form = ("mulaw", 8_000) if audio == "mulaw" else ("linear16", 500 * BYTES_PER_MS[audio])
    model = DeepgramServer(
        settings=settings(*form), rules=DeepgramRules(**_rules(plan)), bounds=bounds
    )
    return model, model.connects()


_MAKERS: Final = {"elevenlabs": _elevenlabs, "deepgram": _deepgram}
_FACTS: Final[dict[str, Any]] = {"elevenlabs": elevenlabs_facts, "deepgram": deepgram_facts}


def entry(name: str, audio: str = "mulaw") -> TurnEntry:
    """The provider `name`, with the audio format `audio`.

    Raises `KeyError` for a name or a format that does not exist.
    """
    facts, bytes_per_ms = _FACTS[name], BYTES_PER_MS[audio]
    make = partial(_MAKERS[name], audio=audio)
    told_all = partial(facts.told_all, bytes_per_ms=bytes_per_ms)
    return TurnEntry(make, facts.told, told_all, facts.asked, audio)


SERVERS_B: Final[dict[str, TurnEntry]] = {name: entry(name) for name in _MAKERS}
"""The providers of this module, with the format of telephones."""
