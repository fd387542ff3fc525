"""Which worlds are searched for a provider and a carrier, and how one is put together.

The worlds are the same for all, as far as a server can be in them; which models there are is said in `kinds.py`.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.runtime.session import Session, Settings

from .kinds import (
    CARRIERS,
    SERVERS,
    CarrierKind,
    ServerKind,
    carrier_kind,
    server_kind,
    shared_audio,
)
from .knowledge import Readings
from .peers import Carrier, Server
from .plans import DELTA_MS, Plan
from .untimed import UntimedSession
from .world import Limits, Reductions, World

__all__ = [
    "CARRIERS",
    "DELTA_MS",
    "PLANS",
    "SERVERS",
    "CarrierKind",
    "Plan",
    "ServerKind",
    "bounded",
    "make",
    "plans_for",
]

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
        name="answers",
        says="The server answers the caller by itself, and nothing is asked of it.",
        limits=Limits(requests=0, interrupts=1, deadlines=0, speech_turns=2),
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

    :raises UsageError: if there is no model of the provider's server or of the carrier, or they share no format.
    """
    audio = shared_audio(provider, transport)
    server = server or server_kind(provider.name, audio)
    carrier = carrier or carrier_kind(transport.name, audio)
    server_model, says = server.make(plan)
    carrier_model, starts = carrier.make(plan)
    session = Session(provider, transport, Settings(audio=audio), engine=engine)
    if server.settings is not None:
        session.configure(0, server.settings(plan))
        session.operations_made, session.configuring = 0, None
    for message in says:
        session.provider_received(message, 0)
    for message in starts:
        session.transport_received(message, 0)
    readings = Readings(
        told=server.told,
        asked=server.asked,
        ordered=carrier.ordered,
        returned=carrier.returned,
        interrupts=server.interrupts(plan),
        interrupts_itself=server.interrupts_itself(plan),
        names=server.names,
        cancels=server.cancels(plan),
        truncates=server.truncates,
        deletes=server.deletes,
        by_order=server.by_order,
        supersedes=server.supersedes,
        answers_cancel=server.answers_cancel,
        finishes=server.finishes,
        marks=carrier.marks,
    )
    return World(
        UntimedSession(session),
        Server(server_model),
        Carrier(carrier_model),
        readings,
        plan.limits,
        reductions,
    )


def plans_for(
    provider: str, transport: str | None = None, plans: Sequence[Plan] = PLANS
) -> tuple[Plan, ...]:
    """The plans as far as a provider's server can be in such a world, and as they are searched with a carrier."""
    fits = server_kind(provider).fits
    fitted = [each for plan in plans if (each := fits(plan)) is not None]
    if transport is not None:
        fitted = list(map(carrier_kind(transport).fits, fitted))
    return tuple(fitted)


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
