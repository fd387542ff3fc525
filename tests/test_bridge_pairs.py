"""The bridge between other providers and carriers than OpenAI and Twilio, on real sockets, in each one's format.

What a pair has in common with all others is in its tables; that text and binary frames, formats, greetings and
interruptions meet on sockets as well is shown here, one call a pair.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bargein import adapters
from bargein.simulator.browser import BrowserCarrier
from bargein.simulator.caller import call
from bargein.simulator.carrier import StreamCarrier
from bargein.simulator.emulator import Plan, PlannedItem
from bargein.simulator.jambonz import JambonzCarrier
from bargein.simulator.plivo import PlivoCarrier
from bargein.simulator.signalwire import SignalWireCarrier
from bargein.simulator.telnyx import TelnyxCarrier
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.vonage import VonageCarrier

from .bridged import bridged

pytestmark = pytest.mark.anyio

SPEECH = Plan(created_after_ms=5, items=(PlannedItem(ms=60_000),))
"""Generated faster than it plays, and not yet whole when the caller interrupts."""
NOTHING = Plan(created_after_ms=60_000)
"""The server's own answer to the caller, which must not be taken for a tail of the one before."""


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


class Pair(NamedTuple):
    """Who is joined, and what either needs to be told."""

    provider: str
    carrier: str
    makes: Callable[[], StreamCarrier[Any]]
    session: Mapping[str, Any] = {}
    query: str = ""
    protocol: str | None = None


PAIRS = [
    Pair(
        "gemini", "browser", lambda: BrowserCarrier(audio="pcm16_24k_16k"),
        session={"model": "models/any"},
    ),
    Pair("deepgram", "twilio", TwilioCarrier),
    Pair(
        "ultravox", "vonage", lambda: VonageCarrier(marks_on_clear="returned_unflagged"),
    ),
    Pair("phonic", "plivo", PlivoCarrier),
    Pair("elevenlabs", "telnyx", TelnyxCarrier, query="?agent_id=agent_ulaw_8000"),
    Pair(
        "openai", "jambonz", lambda: JambonzCarrier(audio="pcm16"),
        protocol="audio.jambonz.org",
    ),
    Pair("xai", "signalwire", SignalWireCarrier),
    Pair("assemblyai", "twilio", TwilioCarrier),
    Pair("qwen", "browser", lambda: BrowserCarrier(audio="pcm16_24k_16k")),
    Pair(
        "hf_speech_to_speech", "jambonz", lambda: JambonzCarrier(audio="pcm16"),
        protocol="audio.jambonz.org",
    ),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.provider}-{pair.carrier}")
async def test_a_greeting_is_heard_and_a_barge_in_silences_it(tmp_path: Path, pair: Pair) -> None:
    """Judged by the caller's ear, which understands one format alone.

    That the journal replays and nothing is left behind, `bridged` sees to.
    """
    carrier = pair.makes()
    async with bridged(
        tmp_path,
        [SPEECH, NOTHING],
        provider=adapters.provider(pair.provider),
        transport=adapters.transport(pair.carrier),
        query=pair.query,
        session=pair.session,
        greet="Hello.",
        journal_audio=True,
    ) as world:
        protocols = (pair.protocol,) if pair.protocol else ()
        async with call(world.url, carrier=carrier, protocols=protocols) as caller:
            assert caller.protocol == pair.protocol
            assert await caller.listens(5000, until=lambda ear: ear.heard_after(0) >= 400)
            await caller.says(200)
            await world.until(lambda call: "interrupted" in call["handles"].values())
            interrupted_ms = caller.now_ms
            await caller.listens(300)
        told = (await world.ended())[0]
    assert list(told["handles"].values()) == ["interrupted"]
    assert len(caller.ear.items) == 1
    assert 400 <= caller.ear.heard_ms(caller.ear.items[0]) < 5000
    assert caller.ear.heard_after(interrupted_ms + 60) == 0
    assert caller.ear.faults() == []
    assert carrier.warnings == ()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
