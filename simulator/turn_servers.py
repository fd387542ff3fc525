"""Ultravox, Phonic and Nova Sonic as the explorer needs them: how a server is made, and how its wire is read."""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from . import nova_sonic_facts, phonic_facts, ultravox_facts
from .carrier import BYTES_PER_MS
from .facts import Asked, Told
from .nova_sonic import NovaSonicRules, NovaSonicServer
from .phonic import PhonicBounds, PhonicRules, PhonicServer
from .plans import DELTA_MS
from .turns import Bounds, Said, TurnServer
from .ultravox import UltravoxRules, UltravoxServer

if TYPE_CHECKING:
    from .plans import Plan

_Bounds = TypeVar("_Bounds", bound=Bounds)
_Make = Callable[["Plan", str], tuple[TurnServer, Said]]

PROMPT: Final = "bargein"
"""The prompt and the block of the caller's audio of a Nova Sonic stream, as the table names them."""
CALLER: Final = "caller"

_PHONIC_FORMATS: Final = {
    "mulaw": "mulaw_8000",
    "pcm16_8k": "pcm_8000",
    "pcm16_16k": "pcm_16000",
    "pcm16": "pcm_24000",
}


class TurnEntry(NamedTuple):
    """One provider's server with one audio format."""

    make: "Callable[[Plan], tuple[TurnServer, Said]]"
    """The model of a plan, its handshake over, and what it has said so far. `Plan.server` may also hold bounds of
    other models, which are left out."""
    told: Callable[[str | bytes], Told | None]
    told_all: Callable[[str | bytes], tuple[Told, ...]]
    asked: Callable[[str | bytes], Asked]
    audio: str
    """The format, a name of `simulator.carrier.BYTES_PER_MS`."""


def _bounds(plan: "Plan", kind: type[_Bounds], items: int) -> _Bounds:
    """Where nobody is to be heard, nobody speaks."""
    own = {name: x for name, x in plan.server.items() if name in kind.__struct_fields__}
    wanted: dict[str, Any] = {"words": False, "speech_turns": int(plan.vad != "off")} | own
    return kind(items=items, deltas=plan.deltas, delta_ms=DELTA_MS, **wanted)


def _rules(plan: "Plan") -> dict[str, Any]:
    """Nobody answers function calls in the worlds of the explorer."""
    how = {"waits_for_tools": False, "speech_interrupts": plan.vad == "interrupts"}
    return how | dict(plan.rules)


def _ultravox(plan: "Plan", audio: str) -> tuple[TurnServer, Said]:
    """A turn is one utterance."""
    model = UltravoxServer(
        rules=UltravoxRules(**_rules(plan)),
        bounds=_bounds(plan, Bounds, 1),
        bytes_per_ms=BYTES_PER_MS[audio],
    )
    return model, model.connects()


def _phonic(plan: "Plan", audio: str) -> tuple[TurnServer, Said]:
    """A turn is one utterance."""
    form = _PHONIC_FORMATS[audio]
    config = {"input_format": form, "output_format": form, "push_to_talk": plan.vad == "off"}
    model = PhonicServer(
        config=config, rules=PhonicRules(**_rules(plan)), bounds=_bounds(plan, PhonicBounds, 1)
    )
    return model, model.connects()


def _nova_sonic(plan: "Plan", audio: str) -> tuple[TurnServer, Said]:
    model = NovaSonicServer(
        rules=NovaSonicRules(**_rules(plan)), bounds=_bounds(plan, Bounds, plan.items)
    )
    said = model.connects()
    for event in nova_sonic_opening(BYTES_PER_MS[audio] * 500):
        said += model.receive(json.dumps({"event": event}), 0)
    return model, said


def nova_sonic_opening(rate_hz: int) -> list[dict[str, Any]]:
    """What a client writes before the caller's audio, up to the start of its block; `rate_hz` both ways."""
    form: dict[str, Any] = {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": rate_hz,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "audioType": "SPEECH",
        "encoding": "base64",
    }
    text = {"mediaType": "text/plain"}
    system = {"promptName": PROMPT, "contentName": "system"}
    block = {"type": "TEXT", "interactive": False, "role": "SYSTEM", "textInputConfiguration": text}
    caller = {"type": "AUDIO", "interactive": True, "role": "USER", "audioInputConfiguration": form}
    answers = {
        "textOutputConfiguration": text,
        "audioOutputConfiguration": form | {"voiceId": "matthew"},
        "toolUseOutputConfiguration": {"mediaType": "application/json"},
        "toolConfiguration": {"tools": []},
    }
    inference = {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}
    return [
        {"sessionStart": {"inferenceConfiguration": inference}},
        {"promptStart": {"promptName": PROMPT} | answers},
        {"contentStart": system | block},
        {"textInput": system | {"content": "You are a helpful voice assistant."}},
        {"contentEnd": system},
        {"contentStart": {"promptName": PROMPT, "contentName": CALLER} | caller},
    ]


class _Kind(NamedTuple):
    make: _Make
    facts: Any
    """The module that reads its wire."""
    formats: tuple[str, ...]
    """The audio formats it speaks; first that which it shares with most carriers."""


_LINEAR: Final = ("pcm16_16k", "pcm16_8k", "pcm16")
_KINDS: Final = {
    "ultravox": _Kind(_ultravox, ultravox_facts, _LINEAR),
    "phonic": _Kind(_phonic, phonic_facts, tuple(_PHONIC_FORMATS)),
    "nova_sonic": _Kind(_nova_sonic, nova_sonic_facts, _LINEAR),
}


def entry(name: str, audio: str | None = None) -> TurnEntry:
    """The server of the provider `name`, with the format `audio` or its usual one.

    Raises `KeyError` for a name that does not exist, `ValueError` for a format that the server does not speak.
    """
    kind = _KINDS[name]
    spoken = audio or kind.formats[0]
    if spoken not in kind.formats:
        raise ValueError(f"{name} does not speak {spoken}: {', '.join(kind.formats)}")

    def make(plan: "Plan") -> tuple[TurnServer, Said]:
        return kind.make(plan, spoken)

    bytes_per_ms = BYTES_PER_MS[spoken]
    told = partial(kind.facts.told, bytes_per_ms=bytes_per_ms)
    told_all = partial(kind.facts.told_all, bytes_per_ms=bytes_per_ms)
    return TurnEntry(make, told, told_all, kind.facts.asked, spoken)


SERVERS_A: Final[dict[str, TurnEntry]] = {name: entry(name) for name in _KINDS}
