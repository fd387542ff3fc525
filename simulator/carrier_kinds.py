"""Which carriers there are models of, and how each is made and read for the explorer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from . import browser_facts, carriers, fitting, twilio_facts
from .browser import FORMATS, BrowserCarrier
from .facts import Order, Returned
from .peers import CarrierModel, Message
from .plans import DELTA_MS, Plan
from .twilio import TwilioCarrier


class CarrierKind(Struct, frozen=True):
    """How the model of one carrier is made and read."""

    make: Callable[[Plan], tuple[CarrierModel, Sequence[Message]]]
    """The model, and what it says when the stream opens."""
    ordered: Callable[[Any], Order]
    returned: Callable[[Any], Returned]
    marks: bool = True
    """What was heard is confirmed by marks; if not, the carrier reports it by itself."""
    fits: Callable[[Plan], Plan] = fitting.as_it_is
    """A plan as it is searched with this carrier."""


def _browser(audio: str) -> CarrierKind:
    def make(plan: Plan) -> tuple[CarrierModel, Sequence[Message]]:
        model = BrowserCarrier(audio=audio, **{"report_every_ms": DELTA_MS, **plan.carrier})
        return model, model.start(0)

    ordered, returned = browser_facts.readings(FORMATS[audio][0])
    return CarrierKind(make, ordered, returned, marks=False, fits=fitting.smaller)


def make_carrier(name: str, audio: str) -> CarrierKind:
    """One of `CARRIER_FORMATS`, with one of its formats."""
    if name == "twilio":

        def make(plan: Plan) -> tuple[CarrierModel, Sequence[Message]]:
            model = TwilioCarrier(**plan.carrier)
            return model, model.start(0)

        return CarrierKind(make, twilio_facts.ordered, twilio_facts.returned)
    if name == "browser":
        return _browser(audio)
    if name in ("soundcard", "livekit"):
        return _browser(audio)
    if name == "vonage":
        return _vonage(audio)
    made = carriers.entry(name, audio)
    fits = fitting.smaller if name == "plivo" else fitting.as_it_is
    return CarrierKind(made.make, made.ordered, made.returned, fits=fits)


def _vonage(audio: str) -> CarrierKind:
    """What becomes of its marks at a clear nobody knows: in half of the worlds they come back, in half not."""
    made = carriers.entry("vonage", audio)

    def make(plan: Plan) -> tuple[CarrierModel, Sequence[Message]]:
        marks = "returned_unflagged" if plan.vad == "off" else "dropped"
        return made.make(replace(plan, carrier={"marks_on_clear": marks, **plan.carrier}))

    return CarrierKind(make, made.ordered, made.returned, fits=fitting.smaller)


CARRIER_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "twilio": ("mulaw",),
    "telnyx": ("mulaw",),
    "signalwire": ("mulaw", "pcm16", "pcm16_16k"),
    "plivo": ("mulaw",),
    "jambonz": ("pcm16", "pcm16_16k", "pcm16_8k"),
    "vonage": ("pcm16", "pcm16_16k", "pcm16_8k"),
    "browser": tuple(FORMATS),
    "soundcard": tuple(name for name in FORMATS if name != "mulaw"),
    "livekit": tuple(name for name in FORMATS if name != "mulaw"),
}
"""Of each carrier the audio formats that its model speaks."""

CARRIERS: Final[Mapping[str, CarrierKind]] = {
    name: make_carrier(name, formats[0]) for name, formats in CARRIER_FORMATS.items()
}
"""Every carrier of which there is a model, with the first format it speaks."""
