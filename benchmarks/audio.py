"""One audio event through the session, against the official SDK's typed parse of the same bytes.

The SDK's side is what `openai`'s realtime connection does in `recv()` with the bytes of a frame:
`RealtimeConnection.parse_event`, that is `json.loads` and `construct_type_unchecked` into `RealtimeServerEvent`
(openai/resources/realtime/realtime.py). It leaves the audio in base64; our side has decoded it.
"""

import time

import msgspec
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from bargein import adapters
from bargein.runtime.session import Session

from . import messages
from .measure import Effort, Row, Side, Tick, each, interleave, one_in, ratios, spread

BUDGET = 20.0


def official_parse() -> Side:
    """The SDK's own parse of sixteen 100 ms deltas in mu-law."""
    return each(_sdk().parse_event, messages.deltas(messages.MULAW_100_MS_BYTES))


def _sdk() -> AsyncRealtimeConnection:
    # `parse_event` uses nothing of the connection, so none needs to be opened.
    return AsyncRealtimeConnection.__new__(AsyncRealtimeConnection)


def received(session: Session, kinds: list[bytes]) -> Side:
    """A side that hands `session` one delta after the other; the marks are returned outside the time."""

    def side(count: int) -> int:
        work = [kinds[i % len(kinds)] for i in range(count)]
        now_ms = session.playout.clock_end_ms
        start = time.thread_time_ns()
        for message in work:
            session.provider_received(message, now_ms)
        elapsed = time.thread_time_ns() - start
        messages.acknowledge(session)
        return elapsed

    return side


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """The rows of one audio event: whole, without the carrier's words, and its decoding alone."""
    provider = adapters.provider("openai")
    twilio = adapters.transport("twilio")
    mute = msgspec.structs.replace(twilio, play=lambda *_: (), mark=lambda *_: ())
    mulaw = messages.deltas(messages.MULAW_100_MS_BYTES)
    pcm16 = messages.deltas(messages.PCM16_100_MS_BYTES)
    sdk = _sdk()
    times = interleave(
        {
            "sdk": official_parse(),
            "routed": received(messages.speaking(carrier=mute), mulaw),
            "whole": received(messages.speaking(), mulaw),
            "decoded": each(provider.decode, mulaw),
            "sdk_pcm16": each(sdk.parse_event, pcm16),
            "decoded_pcm16": each(provider.decode, pcm16),
        },
        effort,
        tick,
    )
    us = {name: spread(values).median for name, values in times.items()}
    numbers = {f"{name}_us": value for name, value in us.items()}

    def row(key: str, against: str, what: str, made_of: str, budget: float | None = None) -> Row:
        times_dearer = ratios(times[against], times[key])
        measured, low_high = one_in(times_dearer)
        return Row(
            id=f"audio.{key}",
            what=what,
            budget="–" if budget is None else f"≤ 1/{budget:g} of the SDK's parse",
            measured=measured,
            spread=low_high,
            met=None if budget is None else times_dearer.median >= budget,
            made_of=made_of,
            numbers=numbers,
        )

    return [
        row(
            "routed",
            "sdk",
            "100 ms of μ-law speech: decode, ledger and routing",
            f"{us['routed']:.2f} μs against {us['sdk']:.1f} μs; of ours {us['decoded']:.2f} μs decode the JSON "
            f"and its base64, {us['routed'] - us['decoded']:.2f} μs are ledger and routing",
            BUDGET,
        ),
        row(
            "whole",
            "sdk",
            "the same, and the carrier's `media` and `mark` encoded",
            f"{us['whole']:.2f} μs, of which {us['whole'] - us['routed']:.2f} μs write the carrier's two messages; "
            "the SDK's parse writes nothing",
        ),
        row(
            "decoded",
            "sdk",
            "decode alone, μ-law (800 bytes)",
            f"{us['decoded']:.2f} μs; the SDK's {us['sdk']:.1f} μs leave the audio in base64",
        ),
        row(
            "decoded_pcm16",
            "sdk_pcm16",
            "decode alone, 16 bit PCM at 24 kHz (4 800 bytes)",
            f"{us['decoded_pcm16']:.2f} μs against {us['sdk_pcm16']:.1f} μs; "
            "the longer the audio, the more of both is base64 and JSON",
        ),
    ]
