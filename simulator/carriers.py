"""The carriers beside Twilio as the explorer needs them: how a model is made, and how its wire is read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from .carrier import BYTES_PER_MS, StreamCarrier
from .carrier_facts import Wire, readings
from .facts import Order, Returned
from .jambonz import JambonzCarrier
from .plivo import PlivoCarrier
from .signalwire import SignalWireCarrier
from .telnyx import TelnyxCarrier
from .vonage import VonageCarrier

if TYPE_CHECKING:
    from .plans import Plan

AnyCarrier = StreamCarrier[str] | StreamCarrier[bytes]

_MODELS: Final[dict[str, tuple[Callable[..., AnyCarrier], str]]] = {
    "telnyx": (TelnyxCarrier, "mulaw"),
    "signalwire": (SignalWireCarrier, "mulaw"),
    "plivo": (PlivoCarrier, "mulaw"),
    "jambonz": (JambonzCarrier, "pcm16"),
    "vonage": (VonageCarrier, "pcm16"),
}
"""The model of each carrier, and the audio format that it shares with most providers."""


class CarrierEntry(NamedTuple):
    """One carrier with one audio format."""

    make: "Callable[[Plan], tuple[AnyCarrier, list[str]]]"
    """The model, with the plan's `carrier` as further arguments, and what it says when the stream opens."""
    ordered: Callable[[Wire], Order]
    returned: Callable[[Wire], Returned]
    audio: str
    """The format, a name of `simulator.carrier.BYTES_PER_MS`."""


def entry(name: str, audio: str | None = None) -> CarrierEntry:
    """The carrier `name`, with the format `audio` or its usual one.

    Raises `KeyError` for a name or a format that does not exist; a format that the carrier does not speak is a
    `ValueError` when it is made.
    """
    model, usual = _MODELS[name]
    spoken = audio or usual

    def make(plan: "Plan") -> tuple[AnyCarrier, list[str]]:
        made = model(audio=spoken, **plan.carrier)
        return made, made.start(0)

    ordered, returned = readings(name, BYTES_PER_MS[spoken])
    return CarrierEntry(make, ordered, returned, spoken)


CARRIERS: Final[dict[str, CarrierEntry]] = {name: entry(name) for name in _MODELS}
