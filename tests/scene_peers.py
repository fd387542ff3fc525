"""The two sides of a Scene by their names: models of carriers and of servers, and how each reads its own wire."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from bargein import adapters
from bargein.runtime.adapter import AudioFormat
from bargein.runtime.formats import agreed
from bargein.simulator import (
    browser_facts,
    carrier_facts,
    deepgram_facts,
    elevenlabs_facts,
    gemini_facts,
    nova_sonic_facts,
    phonic_facts,
    twilio_facts,
    ultravox_facts,
)
from bargein.simulator.browser import FORMATS, BrowserCarrier
from bargein.simulator.carrier import StreamCarrier
from bargein.simulator.deepgram import DeepgramRules, DeepgramServer
from bargein.simulator.elevenlabs import ElevenLabsRules, ElevenLabsServer
from bargein.simulator.facts import Asked, Order, Told
from bargein.simulator.gemini import GeminiRules, GeminiServer
from bargein.simulator.jambonz import JambonzCarrier
from bargein.simulator.nova_sonic import NovaSonicRules, NovaSonicServer
from bargein.simulator.phonic import PhonicRules, PhonicServer
from bargein.simulator.plivo import PlivoCarrier
from bargein.simulator.signalwire import SignalWireCarrier
from bargein.simulator.telnyx import TelnyxCarrier
from bargein.simulator.turns import TurnServer
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.ultravox import UltravoxRules, UltravoxServer
from bargein.simulator.vonage import VonageCarrier

Message = str | bytes
"""A text frame, or a binary one."""


def audio_of(provider: str, carrier: str) -> AudioFormat:
    """The format that a call between the two speaks."""
    return agreed(adapters.provider(provider), adapters.transport(carrier))


# -- carriers ---------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A carrier's model, and what a message to it orders."""

    model: Any
    """A `StreamCarrier`; the caller's voice is text on some lines and bare on others."""
    ordered: Callable[[Any], Order]


_CARRIERS: Final[Mapping[str, Callable[..., StreamCarrier[Any]]]] = {
    "twilio": TwilioCarrier,
    "telnyx": TelnyxCarrier,
    "signalwire": SignalWireCarrier,
    "plivo": PlivoCarrier,
    "jambonz": JambonzCarrier,
    "vonage": VonageCarrier,
    "browser": BrowserCarrier,
    "soundcard": BrowserCarrier,
    "livekit": BrowserCarrier,
}
_PLAYERS: Final = ("browser", "soundcard", "livekit")
"""They speak one protocol, that of a player which reports its position."""


def line(name: str, audio: AudioFormat, rules: Mapping[str, Any]) -> Line:
    """The carrier `name`; `rules` are further arguments of its model."""
    if name == "server_played":
        return Line(None, lambda _: Order("other"))  # The server is the line: `scene_played.py`.
    if name == "twilio":
        return Line(TwilioCarrier(**rules), twilio_facts.ordered)
    model = _CARRIERS[name](audio=audio.name, **rules)
    if name in _PLAYERS:
        return Line(model, browser_facts.readings(FORMATS[audio.name][0])[0])
    return Line(model, carrier_facts.readings(name, audio.bytes_per_ms)[0])


# -- servers without response ids -------------------------------------------------------------------


class Peer(NamedTuple):
    """One server of the kind that answers turn after turn."""

    server: TurnServer
    told: Callable[[Message], tuple[Told, ...]]
    asked: Callable[[Message], Asked]


def peer(name: str, audio: AudioFormat, rules: Mapping[str, Any]) -> Peer:
    """The server `name`, before its handshake; `rules` are fields of its rules."""
    per_ms = audio.bytes_per_ms
    match name:
        case "gemini":
            gemini = GeminiServer(rules=GeminiRules(**rules), bytes_per_ms=per_ms)
            return Peer(gemini, gemini_facts.told_all, gemini_facts.asked)
        case "ultravox":
            ultravox = UltravoxServer(rules=UltravoxRules(**rules), bytes_per_ms=per_ms)
            return Peer(ultravox, _told(ultravox_facts, per_ms), ultravox_facts.asked)
        case "phonic":
            phonic = PhonicServer(rules=PhonicRules(**rules))
            return Peer(phonic, _told(phonic_facts, per_ms), phonic_facts.asked)
        case "nova_sonic":
            nova = NovaSonicServer(rules=NovaSonicRules(**rules))
            return Peer(nova, _told(nova_sonic_facts, per_ms), nova_sonic_facts.asked)
        case "elevenlabs":
            eleven = ElevenLabsServer(rules=ElevenLabsRules(**rules), bytes_per_ms=per_ms)
            return Peer(eleven, _told(elevenlabs_facts, per_ms), elevenlabs_facts.asked)
        case "deepgram":
            deepgram = DeepgramServer(rules=DeepgramRules(**rules))
            return Peer(deepgram, _told(deepgram_facts, per_ms), deepgram_facts.asked)
    raise KeyError(name)


def _told(facts: Any, bytes_per_ms: int) -> Callable[[Message], tuple[Told, ...]]:  # noqa: ANN401
    return partial(facts.told_all, bytes_per_ms=bytes_per_ms)
