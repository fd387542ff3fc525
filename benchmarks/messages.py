"""What the peers say in a benchmark: the wire messages of a call in its steady state, and a session in it."""

import json
from base64 import b64encode
from random import Random

from bargein import adapters
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.session import Session, Settings

RESPONSE_ID = "resp_" + "A" * 21
ITEM_ID = "item_" + "B" * 21
STREAM = "MZ" + "0" * 32

MULAW_100_MS_BYTES = 800
MULAW_20_MS_BYTES = 160
PCM16_100_MS_BYTES = 4_800


def _text(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def delta(size_bytes: int, number: int) -> bytes:
    """A `response.output_audio.delta` of that many bytes of noise; every number is another message."""
    return _text(
        {
            "type": "response.output_audio.delta",
            "event_id": f"event_{number:021d}",
            "response_id": RESPONSE_ID,
            "item_id": ITEM_ID,
            "output_index": 0,
            "content_index": 0,
            "delta": b64encode(Random(number).randbytes(size_bytes)).decode(),
        }
    )


def deltas(size_bytes: int) -> list[bytes]:
    """Sixteen different deltas."""
    return [delta(size_bytes, number) for number in range(16)]


def response_opens(request: str | None = None) -> list[bytes]:
    """The server announces a response, answering `request` or by its own decision, and its message item."""
    metadata = None if request is None else {"client_event_id": request}
    return [
        _text(
            {
                "type": "response.created",
                "event_id": "event_created",
                "response": {"id": RESPONSE_ID, "metadata": metadata},
            }
        ),
        _text(
            {
                "type": "response.output_item.added",
                "event_id": "event_added",
                "response_id": RESPONSE_ID,
                "output_index": 0,
                "item": {"id": ITEM_ID, "type": "message", "role": "assistant"},
            }
        ),
    ]


def session_created() -> bytes:
    """The first message of the provider."""
    return _text(
        {
            "type": "session.created",
            "event_id": "event_session",
            "session": {"id": "sess_1", "type": "realtime"},
        }
    )


def stream_opens(number: int = 0) -> list[bytes]:
    """What the carrier says before any audio."""
    stream = f"MZ{number:032d}"
    start = {
        "streamSid": stream,
        "accountSid": "AC" + "0" * 32,
        "callSid": f"CA{number:032d}",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    return [
        _text({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
        _text({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": stream}),
    ]


def caller_frame(number: int = 0) -> bytes:
    """20 ms of the caller's voice as the carrier sends it."""
    media = {
        "track": "inbound",
        "chunk": "2",
        "timestamp": "20",
        "payload": b64encode(Random(number).randbytes(MULAW_20_MS_BYTES)).decode(),
    }
    return _text(
        {"event": "media", "sequenceNumber": "3", "media": media, "streamSid": f"MZ{number:032d}"}
    )


def session(
    *,
    provider: ProviderAdapter | None = None,
    carrier: TransportAdapter | None = None,
    engine: str = "table",
) -> Session:
    """A session with an open stream and nothing to do."""
    made = Session(
        provider or adapters.provider("openai"),
        carrier or adapters.transport("twilio"),
        Settings(),
        engine=engine,
    )
    for message in stream_opens():
        made.transport_received(message, 0)
    return made


def speaking(
    *,
    provider: ProviderAdapter | None = None,
    carrier: TransportAdapter | None = None,
    engine: str = "table",
) -> Session:
    """A session in the midst of a response: its item plays, and its first 100 ms are confirmed as heard."""
    made = session(provider=provider, carrier=carrier, engine=engine)
    ref, _ = made.request(0)
    for message in [*response_opens(ref), delta(MULAW_100_MS_BYTES, 0)]:
        made.provider_received(message, 0)
    acknowledge(made)
    return made


def acknowledge(speaks: Session) -> None:
    """The carrier has played everything: every mark that is out comes back."""
    playout = speaks.playout
    while playout.marks:
        playout.marked(playout.marks[0][0])
