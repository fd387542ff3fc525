"""Which servers and carriers there are models of, and how each is made and read for the explorer.

A further provider needs its table, a model of its server with `told` and `asked`, and an entry here; a further
carrier likewise.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError

from . import (
    fitting,
    gemini_facts,
    openai_facts,
    turn_servers,
    turn_servers_b,
    turn_servers_c,
)
from .browser import FORMATS
from .carrier import BYTES_PER_MS
from .carrier_kinds import CARRIER_FORMATS, CARRIERS, CarrierKind, make_carrier
from .facts import Asked, Told
from .gemini import GeminiBounds, GeminiRules, GeminiServer
from .openai import Bounds, OpenAIServer, Rules
from .openai_family import FAMILY, Member
from .peers import Message, ServerModel
from .plans import DELTA_MS, Plan

__all__ = [
    "CARRIERS",
    "SERVERS",
    "CarrierKind",
    "ServerKind",
    "carrier_kind",
    "common_audio",
    "server_kind",
    "shared_audio",
]


def _by_plan(plan: Plan) -> bool:
    return plan.vad == "interrupts"


class ServerKind(Struct, frozen=True):
    """How the model of one provider's server is made and read, and what it can do at all."""

    make: Callable[[Plan], tuple[ServerModel, Sequence[Message]]]
    """The model, and what it says when the connection opens."""
    told: Callable[[Any], tuple[Told, ...]]
    asked: Callable[[Any], Asked]
    fits: Callable[[Plan], Plan | None] = fitting.same
    """A plan as far as this server can be in such a world; None if it cannot."""
    interrupts_itself: Callable[[Plan], bool] = _by_plan
    """Whether the server cancels its response when it hears the caller."""
    interrupts: Callable[[Plan], bool] = _by_plan
    """Whether the caller's speech is a barge-in: the session was not told otherwise."""
    settings: Callable[[Plan], Any] | None = None
    """Session settings that the application must have sent for such a world."""
    cancels: Callable[[Plan], str] = lambda _: "by_id"
    """How a response is cancelled: by_id, anonymous, by_new_input or none."""
    names: str = "item"
    """What messages name: item, response or turn."""
    truncates: bool = True
    deletes: bool = True
    by_order: bool = False
    """Responses name no request, and the server makes none by itself in these worlds."""
    supersedes: bool = False
    """A new response ends the one before, which then has no last word."""
    answers_cancel: bool = False
    """A cancel may be answered with a response that nobody asked for."""
    finishes: bool = True
    """A response has a last word."""
    announces: str = "created"
    """What tells of a response before its content: a message of its own (created), one that its content follows at
    once (item), or nothing (content)."""
    statuses: bool = True
    """A last word says whether the response was cancelled."""
    tells_interruption: bool = False
    """That the server has stopped is told before any last word."""
    stops_first: bool = False
    """What it stops for the caller is over before it tells that it heard the caller."""
    answers_truncate: bool = True
    """A truncate has an answer."""
    plays: bool = False
    """The server plays its speech by itself, and says what was heard."""


# -- OpenAI and its family --------------------------------------------------------------------------


def _session(plan: Plan, audio: str, *, answers: bool = True) -> dict[str, Any]:
    """`answers`: the end of the caller's turn is answered."""
    form: dict[str, Any] = {"format": {"type": "audio/pcmu"}}
    if audio != "mulaw":
        form = {"format": {"type": "audio/pcm", "rate": 24000}}
    turns: dict[str, Any] | None = None
    if plan.vad != "off":
        turns = {"type": "server_vad", "interrupt_response": plan.vad == "interrupts"}
        if not answers:
            turns["create_response"] = False
    return {"audio": {"input": form | {"turn_detection": turns}, "output": form}}


def _openai(audio: str) -> ServerKind:
    def make(plan: Plan) -> tuple[ServerModel, Sequence[Message]]:
        bounds: dict[str, Any] = {"words": False} | dict(plan.server)
        model = OpenAIServer(
            session=_session(plan, audio),
            rules=Rules(**plan.rules),
            bounds=Bounds(
                items=plan.items, deltas=plan.deltas, delta_ms=DELTA_MS, speech_turns=1, **bounds
            ),
        )
        return model, model.connects()

    return ServerKind(make, _one(openai_facts.told, audio), openai_facts.asked)


@lru_cache
def _one(told: Callable[[str], Told | None], audio: str) -> Callable[[str], tuple[Told, ...]]:
    """A reader of one thing as a reader of all; the lengths it tells are those of mu-law."""
    spoken = FORMATS[audio][0] if audio in FORMATS else BYTES_PER_MS[audio]
    scale = spoken // BYTES_PER_MS["mulaw"]

    @lru_cache(maxsize=4096)
    def told_all(message: str) -> tuple[Told, ...]:
        said = told(message)
        if said is None:
            return ()
        return (said._replace(ms=said.ms // scale) if said.what == "audio" else said,)

    return told_all


def _member(name: str, **what: Any) -> Callable[[str], ServerKind]:  # noqa: ANN401
    member: Member = FAMILY[name]

    def kind(audio: str) -> ServerKind:
        def make(plan: Plan) -> tuple[ServerModel, Sequence[Message]]:
            # By order alone the answer to the caller is no other than ours.
            answers = not (what.get("by_order") and plan.limits.requests)
            return member.make(plan, _session(plan, audio, answers=answers))

        return ServerKind(
            make,
            _one(member.told, audio),
            member.asked,
            interrupts_itself=member.interrupts_itself,
            stops_first=member.rules.get("stopped_at_once") == "before_speech",
            answers_truncate=member.rules.get("truncates") != "ignored",
            **what,
        )

    return kind


# -- servers that name no responses -----------------------------------------------------------------


_TURNS: Final[dict[str, Any]] = {
    "fits": fitting.always_interrupts,
    "names": "turn",
    "by_order": True,
    "truncates": False,
    "deletes": False,
    "supersedes": True,
    "tells_interruption": True,
}
"""What all servers have in common that answer one turn after another and give nothing a name."""


def _gemini_setup(plan: Plan) -> dict[str, Any]:
    handling = {"interrupts": "START_OF_ACTIVITY_INTERRUPTS", "listens": "NO_INTERRUPTION"}
    hears: dict[str, Any] = {"automaticActivityDetection": {"disabled": plan.vad == "off"}}
    if plan.vad in handling:
        hears["activityHandling"] = handling[plan.vad]
    return {
        "model": "models/any",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "realtimeInputConfig": hears,
    }


def _gemini(_: str) -> ServerKind:
    def make(plan: Plan) -> tuple[ServerModel, Sequence[Message]]:
        own = {name: x for name, x in plan.server.items() if name in GeminiBounds.__struct_fields__}
        bounds = GeminiBounds(
            **{"words": False, "speech_turns": int(plan.vad != "off")} | own,
            deltas=plan.deltas,
            delta_ms=DELTA_MS,
        )
        rules = GeminiRules(**{"waits_for_tools": False} | dict(plan.rules))
        model = GeminiServer(setup=_gemini_setup(plan), rules=rules, bounds=bounds)
        return model, model.connects()

    return ServerKind(
        make,
        gemini_facts.told_all,
        gemini_facts.asked,
        settings=_gemini_setup,
        fits=fitting.turn_by_turn,
        cancels=lambda plan: "by_new_input" if plan.vad == "off" else "none",
        announces="content",
        **{name: what for name, what in _TURNS.items() if name != "fits"},
    )


def _turns(entry: Callable[[str, str], Any], name: str, **what: Any) -> Callable[[str], ServerKind]:  # noqa: ANN401
    def kind(audio: str) -> ServerKind:
        made = entry(name, audio)
        return ServerKind(
            made.make, made.told_all, made.asked, **{"cancels": lambda _: "none"} | _TURNS | what
        )

    return kind


# -- which there are --------------------------------------------------------------------------------

_SERVERS: Final[dict[str, tuple[tuple[str, ...], Callable[[str], ServerKind]]]] = {
    "openai": (("mulaw", "pcm16"), _openai),
    "azure": (("mulaw", "pcm16"), _member("azure", fits=fitting.like_openai)),
    "azure_preview": (("mulaw", "pcm16"), _member("azure_preview", fits=fitting.like_openai)),
    "voicelive": (("mulaw", "pcm16"), _member("voicelive", fits=fitting.one_at_a_time)),
    "xai": (("mulaw", "pcm16"), _member("xai", fits=fitting.cannot_listen, supersedes=True)),
    "localai": (
        ("mulaw", "pcm16"),
        _member(
            "localai",
            fits=fitting.localai,
            cancels=lambda _: "anonymous",
            truncates=False,
        ),
    ),
    "speaches": (
        ("pcm16",),
        _member(
            "speaches",
            fits=fitting.speaches,
            by_order=True,
            cancels=lambda _: "none",
            truncates=False,
            deletes=False,
            supersedes=True,
        ),
    ),
    "inworld": (
        ("mulaw", "pcm16"),
        _member(
            "inworld", fits=fitting.asked_in_order, by_order=True, cancels=lambda _: "anonymous"
        ),
    ),
    "qwen": (
        ("pcm16_24k_16k",),
        _member(
            "qwen",
            fits=fitting.asked_in_order,
            by_order=True,
            cancels=lambda _: "anonymous",
            truncates=False,
            deletes=False,
        ),
    ),
    "hf_speech_to_speech": (
        ("pcm16",),
        _member(
            "hf_speech_to_speech",
            fits=fitting.hf_speech_to_speech,
            cancels=lambda _: "anonymous",
            truncates=False,
            deletes=False,
        ),
    ),
    "vllm_omni": (("pcm16",), _member("vllm_omni", fits=fitting.cannot_listen)),
    "gemini": (("pcm16_24k_16k",), _gemini),
    "ultravox": (
        ("pcm16_16k", "pcm16_8k", "pcm16"),
        _turns(
            turn_servers.entry,
            "ultravox",
            cancels=lambda _: "by_new_input",
            answers_cancel=True,
            statuses=False,
            fits=fitting.ultravox,
        ),
    ),
    "phonic": (
        ("mulaw", "pcm16", "pcm16_16k", "pcm16_8k"),
        _turns(turn_servers.entry, "phonic", statuses=False),
    ),
    "nova_sonic": (
        ("pcm16_16k", "pcm16_8k"),
        _turns(turn_servers.entry, "nova_sonic", announces="item", statuses=False),
    ),
    "elevenlabs": (
        ("mulaw", "pcm16_16k"),
        _turns(turn_servers_b.entry, "elevenlabs", finishes=False, announces="content"),
    ),
    "deepgram": (
        ("mulaw", "pcm16", "pcm16_16k"),
        _turns(turn_servers_b.entry, "deepgram", fits=fitting.deepgram, statuses=False),
    ),
    "assemblyai": (("mulaw", "pcm16"), _turns(turn_servers_c.entry, "assemblyai")),
}
"""Of each provider the audio formats that its model speaks, and how it is made for one of them."""

SERVERS: Final[Mapping[str, ServerKind]] = {
    name: make(formats[0]) for name, (formats, make) in _SERVERS.items()
}
"""Every provider of whose server there is a model, with the first format it speaks."""


def common_audio(
    provider: str, spoken: Collection[str], transport: str, carried: Collection[str]
) -> str | None:
    """The first audio format that a provider and a carrier, both said by name and formats, and their models speak."""
    modelled = _SERVERS[provider][0] if provider in _SERVERS else tuple(spoken)
    played = CARRIER_FORMATS.get(transport, tuple(carried))
    both = (name for name in modelled if name in spoken and name in carried and name in played)
    return next(both, None)


def shared_audio(provider: ProviderAdapter, transport: TransportAdapter) -> str:
    """The format in which a provider and a carrier are searched: the first that all four speak.

    :raises UsageError: if there is none.
    """
    found = common_audio(provider.name, provider.audio, transport.name, transport.audio)
    if found is None:
        raise UsageError(
            f"{provider.name} and {transport.name} share no audio format: "
            f"{', '.join(provider.audio)} and {', '.join(transport.audio)}"
        )
    return found


def server_kind(name: str, audio: str | None = None) -> ServerKind:
    """The model of a provider's server, for one audio format.

    :raises UsageError: if there is none.
    """
    made: tuple[tuple[str, ...], Callable[[str], ServerKind]] = _known("provider", name, _SERVERS)
    formats, make = made
    return make(audio or formats[0])


def carrier_kind(name: str, audio: str | None = None) -> CarrierKind:
    """The model of a carrier, for one audio format.

    :raises UsageError: if there is none.
    """
    return make_carrier(name, audio or _known("transport", name, CARRIER_FORMATS)[0])


def _known(side: str, name: str, kinds: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if name not in kinds:
        raise UsageError(
            f"there is no model of {side} {name!r} to verify it against; there are: {', '.join(kinds)}"
        )
    return kinds[name]
