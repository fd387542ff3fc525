"""Every provider the emulator can be: where its websocket is, and how the model of its server is made.

A further provider needs a model and an entry here; nothing else in the emulator knows one from another.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import urlencode

from aiohttp import web

from . import emulated_hearing as hearing
from .assemblyai import AssemblyAIRules, AssemblyAIServer
from .deepgram import DeepgramRules, DeepgramServer
from .elevenlabs import ElevenLabsRules, ElevenLabsServer
from .emulator_deeds import Deeds, ResponseDeeds, TurnDeeds
from .gemini import GeminiRules, GeminiServer
from .openai import OpenAIServer, Rules
from .openai_family import FAMILY
from .openai_session import merge_session
from .phonic import PhonicRules, PhonicServer
from .ultravox import UltravoxRules, UltravoxServer


class Opening(NamedTuple):
    """With what a connection begins."""

    query: Mapping[str, str]
    """Of the websocket's URL."""
    silence_ms: int
    session: Mapping[str, Any]
    """Merged over the session a connection starts with, in OpenAI's GA shape; only where there is such a thing."""
    rules: Mapping[str, Any]
    """Fields of the model's rules."""


Page: TypeAlias = Callable[[web.Request, str], Awaitable[Mapping[str, Any]]]
"""What is answered as JSON beside the websocket, whose URL it is given."""


class Emulated(NamedTuple):
    """One provider's server on a socket."""

    path: str
    """Of its websocket."""
    base: str
    """What a stock client takes for the server's address, `{at}` being HOST:PORT."""
    client: str
    """How a stock client takes it."""
    make: Callable[[Opening], Deeds]
    also: tuple[str, ...] = ()
    """Further paths of the websocket, with variables as aiohttp has them."""
    pages: Mapping[tuple[str, str], Page] = {}
    """By method and path."""
    subprotocols: tuple[str, ...] = ()
    """Of which the client may ask for one."""


# -- OpenAI and its family --------------------------------------------------------------------------


def _session(opening: Opening) -> dict[str, Any]:
    """The key is not looked at, the model's name is repeated."""
    query = opening.query
    model = query.get("model") or query.get("deployment")
    turns = {"silence_duration_ms": opening.silence_ms}
    session = merge_session({"audio": {"input": {"turn_detection": turns}}}, opening.session)
    return session | ({"model": model} if model else {})


def _openai(opening: Opening) -> Deeds:
    rules = Rules(**{"rate_limits": True} | dict(opening.rules))
    model = OpenAIServer(session=_session(opening), rules=rules)
    return ResponseDeeds(model, hearing.openai(model))


def _member(name: str, pcm_bytes_per_ms: int = 48) -> Callable[[Opening], Deeds]:
    def make(opening: Opening) -> Deeds:
        model = FAMILY[name].server(session=_session(opening), rules=opening.rules)
        return ResponseDeeds(model, hearing.openai(model, pcm_bytes_per_ms))

    return make


def _vllm_omni(opening: Opening) -> Deeds:
    """Without turn detection unless asked: `_default_config` in vllm_omni/entrypoints/openai/realtime/session.py."""
    off = {"audio": {"input": {"turn_detection": None}}}
    return _member("vllm_omni")(opening._replace(session=merge_session(off, opening.session)))


# -- one turn after another -------------------------------------------------------------------------


def _gemini(opening: Opening) -> Deeds:
    model = GeminiServer(rules=GeminiRules(**opening.rules))
    return TurnDeeds(model, hearing.gemini(model))


def _phonic(opening: Opening) -> Deeds:
    model = PhonicServer(rules=PhonicRules(**opening.rules))
    return TurnDeeds(model, hearing.phonic(model))


def _deepgram(opening: Opening) -> Deeds:
    model = DeepgramServer(rules=DeepgramRules(**opening.rules))
    return TurnDeeds(model, hearing.deepgram(model))


def _assemblyai(opening: Opening) -> Deeds:
    model = AssemblyAIServer(rules=AssemblyAIRules(**opening.rules))
    return TurnDeeds(model, hearing.assemblyai(model))


_ELEVENLABS_FORMATS: Final = {"ulaw_8000": 8, "pcm_8000": 16, "pcm_16000": 32, "pcm_24000": 48}


def _elevenlabs(opening: Opening) -> Deeds:
    """An agent's settings say its format: here, the end of its id; else it is `pcm_16000`."""
    agent = opening.query.get("agent_id", "")
    found = (size for name, size in _ELEVENLABS_FORMATS.items() if agent.endswith(name))
    model = ElevenLabsServer(rules=ElevenLabsRules(**opening.rules), bytes_per_ms=next(found, 32))
    return TurnDeeds(model, hearing.elevenlabs(model), whole_words=True)


async def _signed_url(request: web.Request, url: str) -> Mapping[str, Any]:
    """`GET /v1/convai/conversation/get-signed-url`: the agent's id is all that is in it."""
    return {"signed_url": f"{url}?{urlencode({'agent_id': request.query.get('agent_id', '')})}"}


_RATES: Final = ("inputSampleRate", "outputSampleRate")
_RATES_HZ: Final = range(8_000, 48_001)


def _ultravox(opening: Opening) -> Deeds:
    heard_hz = _rate_hz(opening.query.get(_RATES[0], ""), 16_000)
    said_hz = _rate_hz(opening.query.get(_RATES[1], ""), heard_hz)
    model = UltravoxServer(rules=UltravoxRules(**opening.rules), bytes_per_ms=said_hz * 2 // 1000)
    return TurnDeeds(model, hearing.binary_pcm(heard_hz))


def _rate_hz(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and int(text) in _RATES_HZ else otherwise


async def _create_call(request: web.Request, url: str) -> Mapping[str, Any]:
    """`POST /api/calls`: what the call's `medium` asks for travels in its `joinUrl`.

    :raises aiohttp.web.HTTPBadRequest: if the call is not for a server's websocket.
    """
    try:
        call = await request.json() if request.can_read_body else {}
        medium = cast(Mapping[str, Any], call["medium"]["serverWebSocket"])
        asked = {name: int(medium[name]) for name in _RATES if name in medium}
        if any(rate_hz not in _RATES_HZ for rate_hz in asked.values()):
            raise ValueError(asked)
    except (ValueError, TypeError, LookupError):
        raise web.HTTPBadRequest(
            text='{"detail": "expected medium.serverWebSocket with its sample rates"}',
            content_type="application/json",
        ) from None
    join = f"{url}?{urlencode(asked)}" if asked else url
    return {"callId": "call_1", "joinUrl": join, "medium": call["medium"]}


# -- which there are --------------------------------------------------------------------------------

_REALTIME: Final = ("realtime",)
_BASE_URL: Final = "openai: AsyncOpenAI(base_url=…)"
_GEMINI: Final = "/ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"
_VERTEX: Final = "/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
_CALLS: Final = {
    ("POST", "/api/calls"): _create_call,
    ("POST", "/api/agents/{agent}/calls"): _create_call,
}

EMULATED: Final[Mapping[str, Emulated]] = {
    "openai": Emulated(
        "/v1/realtime", "http://{at}/v1", _BASE_URL, _openai, subprotocols=_REALTIME
    ),
    "azure": Emulated(
        "/openai/v1/realtime", "http://{at}/openai/v1", _BASE_URL, _member("azure"),
        subprotocols=_REALTIME,
    ),
    "azure_preview": Emulated(
        "/openai/realtime", "ws://{at}/openai",
        "openai: AsyncAzureOpenAI(websocket_base_url=…), and its beta.realtime",
        _member("azure_preview"), subprotocols=_REALTIME,
    ),
    "voicelive": Emulated(
        "/voice-live/realtime", "http://{at}", "azure-ai-voicelive: connect(endpoint=…)",
        _member("voicelive"), subprotocols=_REALTIME,
    ),
    "xai": Emulated(
        "/v1/realtime", "http://{at}/v1", _BASE_URL, _member("xai"), subprotocols=_REALTIME
    ),
    "localai": Emulated(
        "/v1/realtime", "http://{at}/v1", _BASE_URL, _member("localai"), subprotocols=_REALTIME
    ),
    "speaches": Emulated(
        "/v1/realtime", "ws://{at}/v1",
        "openai: AsyncOpenAI(websocket_base_url=…), and its beta.realtime",
        _member("speaches"), subprotocols=_REALTIME,
    ),
    "inworld": Emulated(
        "/api/v1/realtime/session", "http://{at}/v1", _BASE_URL, _member("inworld"),
        also=("/v1/realtime",),  # where clients in production find it: @memberjunction/ai-inworld
    ),
    "qwen": Emulated(
        "/api-ws/v1/realtime", "ws://{at}/api-ws/v1/realtime",
        "dashscope: OmniRealtimeConversation(url=…)", _member("qwen", hearing.QWEN_BYTES_PER_MS),
    ),
    "hf_speech_to_speech": Emulated(
        "/v1/realtime", "http://{at}/v1", _BASE_URL, _member("hf_speech_to_speech")
    ),
    "vllm_omni": Emulated("/v1/realtime", "http://{at}/v1", _BASE_URL, _vllm_omni),
    "gemini": Emulated(
        _GEMINI.format(version="v1beta", method="BidiGenerateContent"), "http://{at}",
        'google-genai: Client(http_options={"base_url": …}), over TLS',
        _gemini, also=(_GEMINI, _VERTEX),
    ),
    "ultravox": Emulated(
        "/calls/call_1", "http://{at}/api", "POST …/calls, and join its joinUrl",
        _ultravox, also=("/calls/{call}",), pages=_CALLS,
    ),
    "phonic": Emulated(
        "/v1/sts/ws", "ws://{at}", "phonic: PhonicEnvironment(production=…, base=…)", _phonic
    ),
    "elevenlabs": Emulated(
        "/v1/convai/conversation", "http://{at}", "elevenlabs: ElevenLabs(base_url=…)",
        _elevenlabs,
        pages={("GET", "/v1/convai/conversation/get-signed-url"): _signed_url},
    ),
    "deepgram": Emulated(
        "/v1/agent/converse", "ws://{at}",
        "deepgram-sdk: DeepgramClientEnvironment(agent=…, …)",
        _deepgram, subprotocols=("token", "bearer"),
    ),
    "assemblyai": Emulated(
        "/v1/ws", "ws://{at}/v1/ws", "a websocket, and session.update as the first message",
        _assemblyai,
    ),
}  # fmt: skip
"""By the name of the provider's table."""

NO_WEBSOCKET: Final[Mapping[str, str]] = {
    "nova_sonic": (
        "it speaks signed AWS event streams over HTTP/2, no websocket. Put its model (bargein.simulator.nova_sonic) "
        "behind a stream of your own, or search calls with it: `bargein verify nova_sonic`"
    ),
}
"""Providers whose server cannot be emulated on a websocket, and what there is instead."""
