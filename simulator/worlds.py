"""Which worlds are searched for a provider and a carrier, and how one is put together.

A further provider needs its table, a model of its server with `told` and `asked`, and an entry in `SERVERS`; a
further carrier likewise in `CARRIERS`. The worlds themselves are the same for all.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Session, Settings

from . import openai_facts, twilio_facts
from .facts import Asked, Order, Returned, Told
from .knowledge import Readings
from .openai import Bounds, OpenAIServer, Rules
from .peers import Carrier, CarrierModel, Server, ServerModel
from .twilio import TwilioCarrier
from .untimed import UntimedSession
from .world import Limits, Reductions, World

DELTA_MS: Final = 100
"""One delta of speech, and one mark: the explorer plays from mark to mark."""


class Plan(Struct, frozen=True, kw_only=True):
    """One world to be searched: what it is for, how far it goes, and how the server in it behaves."""

    name: str
    says: str
    limits: Limits
    items: int = 2
    """Items in one response."""
    deltas: int = 2
    """Deltas of speech in one item."""
    server: Mapping[str, Any] = {}
    """What else the server may do by itself; for OpenAI fields of `simulator.openai.Bounds`."""
    rules: Mapping[str, Any] = {}
    """How the server behaves where no source settles it; for OpenAI fields of `simulator.openai_memory.Rules`."""
    carrier: Mapping[str, Any] = {}
    """How the carrier behaves; for Twilio arguments of `simulator.twilio.TwilioCarrier`."""
    vad: str = "interrupts"
    """What the server's voice activity detection does: `interrupts`, `listens` (it answers, the application
    interrupts) or `off`."""


class ServerKind(Struct, frozen=True):
    """How the model of one provider's server is made and read."""

    make: Callable[[Plan], tuple[ServerModel, list[str]]]
    """The model, and what it says when the connection opens."""
    told: Callable[[str], Told | None]
    asked: Callable[[str], Asked]


class CarrierKind(Struct, frozen=True):
    """How the model of one carrier is made and read."""

    make: Callable[[Plan], tuple[CarrierModel, list[str]]]
    """The model, and what it says when the stream opens."""
    ordered: Callable[[str], Order]
    returned: Callable[[str], Returned]


def _openai(plan: Plan) -> tuple[ServerModel, list[str]]:
    pcmu = {"format": {"type": "audio/pcmu"}}
    turns: dict[str, Any] | None = None
    if plan.vad != "off":
        turns = {"type": "server_vad", "interrupt_response": plan.vad == "interrupts"}
    audio = {"input": pcmu | {"turn_detection": turns}, "output": pcmu}
    bounds: dict[str, Any] = {"words": False} | dict(plan.server)
    model = OpenAIServer(
        session={"audio": audio},
        rules=Rules(**plan.rules),
        bounds=Bounds(
            items=plan.items, deltas=plan.deltas, delta_ms=DELTA_MS, speech_turns=1, **bounds
        ),
    )
    return model, model.connects()


def _twilio(plan: Plan) -> tuple[CarrierModel, list[str]]:
    model = TwilioCarrier(**plan.carrier)
    return model, model.start(0)


SERVERS: Final[dict[str, ServerKind]] = {
    "openai": ServerKind(_openai, openai_facts.told, openai_facts.asked),
}
CARRIERS: Final[dict[str, CarrierKind]] = {
    "twilio": CarrierKind(_twilio, twilio_facts.ordered, twilio_facts.returned),
}

PLANS: Final[tuple[Plan, ...]] = (
    Plan(
        name="calls",
        says="Requests, interrupts of everything, one early timer, and a caller whom the server hears.",
        limits=Limits(scoped=False, late_marks=False, lag=1, backlog_ms=200),
    ),
    Plan(
        name="superseded",
        says="One of two requests is interrupted and the other plays on.",
        limits=Limits(interrupts=2, deadlines=0, speech_turns=0),
        items=1,
        vad="off",
    ),
    Plan(
        name="beside",
        says="An out-of-band response runs beside the conversation, and one of them is interrupted.",
        limits=Limits(interrupts=1, deadlines=0, speech_turns=0, beside=1, lag=1, backlog_ms=200),
        items=1,
        vad="off",
    ),
    Plan(
        name="repeated",
        says="A message of the server comes twice.",
        limits=Limits(requests=1, interrupts=1, deadlines=0, speech_turns=0, repeated=1),
        vad="off",
    ),
    Plan(
        name="lost",
        says="Messages of the server never come.",
        limits=Limits(requests=1, interrupts=1, deadlines=1, speech_turns=0, lost=2),
        items=1,
        vad="off",
    ),
    Plan(
        name="silent",
        says="The server falls silent for good; only the timers are left.",
        limits=Limits(interrupts=1, deadlines=0, speech_turns=0, silences=1),
        items=1,
        vad="off",
    ),
    Plan(
        name="broken",
        says="The connection to the server breaks.",
        limits=Limits(interrupts=1, deadlines=1, speech_turns=0, losses=1),
        items=1,
        vad="off",
    ),
    Plan(
        name="hung up",
        says="The caller hangs up.",
        limits=Limits(requests=1, interrupts=1, deadlines=0, speech_turns=1, hangups=1),
        items=1,
    ),
    Plan(
        name="words",
        says="Transcripts, text items and function calls go along with the speech.",
        limits=Limits(requests=1, interrupts=1, deadlines=0, speech_turns=0),
        items=1,
        server={"words": True, "kinds": ("message", "text", "function_call")},
        vad="off",
    ),
    Plan(
        name="refused",
        says="Requests are refused after all, responses fail, end early, or begin without being announced.",
        limits=Limits(requests=2, interrupts=1, deadlines=1, speech_turns=0),
        items=1,
        deltas=1,
        server={
            "refusals": True,
            "unborn_deaths": True,
            "silent_creates": True,
            "ends": ("completed", "failed", "incomplete", "cancelled"),
        },
        vad="off",
    ),
    Plan(
        name="listens",
        says="The server hears the caller and answers, but leaves interrupting to the application.",
        limits=Limits(requests=1, interrupts=1, deadlines=0),
        items=1,
        vad="listens",
    ),
    Plan(
        name="unmarked",
        says="The carrier never returns a mark; only the clock tells what was heard.",
        limits=Limits(requests=2, interrupts=1, deadlines=1, speech_turns=0),
        items=1,
        carrier={"marks_echoed": False},
        vad="off",
    ),
    Plan(
        name="strict",
        says="The server counts its audio shorter than it is and refuses what no source promises.",
        limits=Limits(requests=1, interrupts=1, deadlines=1, speech_turns=0),
        rules={
            "truncate_margin_ms": 85,
            "delete_in_progress": "refused",
            "truncate_at_zero": "refused",
            "cancel_again": "refused",
        },
        vad="off",
    ),
)


def make(
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    *,
    server: ServerKind | None = None,
    carrier: CarrierKind | None = None,
    reductions: Reductions | None = None,
    engine: str = "table",
) -> World:
    """The world of a plan, with these adapters in it, and the models of their names unless others are given.

    :raises UsageError: if there is no model of the provider's server or of the carrier.
    """
    server_kind = server or _kind("provider", provider.name, SERVERS)
    carrier_kind = carrier or _kind("transport", transport.name, CARRIERS)
    server_model, says = server_kind.make(plan)
    carrier_model, starts = carrier_kind.make(plan)
    session = Session(provider, transport, Settings(), engine=engine)
    for message in says:
        session.provider_received(message, 0)
    for message in starts:
        session.transport_received(message, 0)
    readings = Readings(
        server_kind.told,
        server_kind.asked,
        carrier_kind.ordered,
        carrier_kind.returned,
        plan.vad == "interrupts",
    )
    return World(
        UntimedSession(session),
        Server(server_model),
        Carrier(carrier_model),
        readings,
        plan.limits,
        reductions,
    )


def _kind(side: str, name: str, kinds: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if name not in kinds:
        raise UsageError(
            f"there is no model of {side} {name!r} to verify it against; there are: {', '.join(kinds)}"
        )
    return kinds[name]


def bounded(plan: Plan, **bounds: int) -> Plan:
    """`plan` with other bounds: names of `Limits`, or `items` and `deltas`.

    :raises UsageError: for a bound that does not exist or is negative.
    """
    known = {*Limits.__struct_fields__, "items", "deltas"}
    for name, value in bounds.items():
        if name not in known:
            raise UsageError(f"there is no bound {name!r}; there are: {', '.join(sorted(known))}")
        if value < 0:
            raise UsageError(f"bound {name} cannot be {value}")
    own = {name: bounds.pop(name) for name in ("items", "deltas") if name in bounds}
    return replace(plan, limits=replace(plan.limits, **bounds), **own)
