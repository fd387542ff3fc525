"""Every emulator follows plans alike: faults, and whatever a client does at whatever moment. Bare websockets."""

import base64
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import anyio
import pytest

from bargein.runtime.errors import UsageError
from bargein.simulator.emulator import EMULATED, NO_WEBSOCKET, Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import QUICK, emulating, eventually

pytestmark = pytest.mark.anyio

Frame = dict[str, Any] | bytes


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


class Spoken(NamedTuple):
    """How a client of one provider says what all of them say."""

    asks: Callable[[str], Frame]
    says: Callable[[bytes], Frame]
    audio: tuple[str, ...] = ()
    """Within a JSON message that carries audio; none: audio is a binary frame."""
    opens: tuple[Frame, ...] = ()
    bytes_per_ms: int = 48
    at_once_ms: int = 1000


def _base64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def _openai(name: str) -> Spoken:
    return Spoken(
        lambda _: {"type": "response.create"},
        lambda audio: {"type": "input_audio_buffer.append", "audio": _base64(audio)},
        (f'"type":"response.{name}.delta"',),
    )


VAD = {
    "type": "realtime",
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}},
}
GA, BETA = _openai("output_audio"), _openai("audio")
FORMATS = {
    "input": {"encoding": "linear16", "sample_rate": 24_000},
    "output": {"encoding": "linear16", "sample_rate": 24_000, "container": "none"},
}

CLIENTS = {
    "openai": GA,
    "azure": GA,
    "azure_preview": BETA,
    "voicelive": BETA,
    "xai": GA,
    "localai": GA,
    "speaches": BETA,
    "inworld": GA,
    "qwen": BETA._replace(bytes_per_ms=32),
    "hf_speech_to_speech": GA,
    "vllm_omni": GA._replace(opens=({"type": "session.update", "session": VAD},)),
    "gemini": Spoken(
        lambda text: {
            "clientContent": {"turns": [{"parts": [{"text": text}]}], "turnComplete": True}
        },
        lambda audio: {
            "realtimeInput": {"audio": {"data": _base64(audio), "mimeType": "audio/pcm;rate=24000"}}
        },
        ('"inlineData"',),
        opens=({"setup": {"model": "models/any"}},),
    ),
    "ultravox": Spoken(
        lambda text: {"type": "user_text_message", "text": text, "urgency": "immediate"},
        lambda audio: audio,
        bytes_per_ms=32,
    ),
    "phonic": Spoken(
        lambda text: {"type": "generate_reply", "system_message": text},
        lambda audio: {"type": "audio_chunk", "audio": _base64(audio)},
        ('"type":"audio_chunk"',),
        opens=({"type": "config", "input_format": "pcm_24000", "output_format": "pcm_24000"},),
        at_once_ms=40,
    ),
    "elevenlabs": Spoken(
        lambda text: {"type": "user_message", "text": text},
        lambda audio: {"user_audio_chunk": _base64(audio)},
        ('"audio_base_64"',),
        bytes_per_ms=32,
    ),
    "deepgram": Spoken(
        lambda text: {"type": "InjectUserMessage", "content": text},
        lambda audio: audio,
        opens=({"type": "Settings", "audio": FORMATS, "agent": {}},),
    ),
    "assemblyai": Spoken(
        lambda text: {"type": "reply.create", "instructions": text},
        lambda audio: {"type": "input.audio", "audio": _base64(audio)},
        ('"type":"reply.audio"',),
        opens=({"type": "session.update", "session": {}},),
    ),
}
ALL = pytest.mark.parametrize("provider", list(CLIENTS))
WITHOUT_IDS = pytest.mark.parametrize(
    "provider", ["gemini", "ultravox", "phonic", "elevenlabs", "deepgram", "assemblyai"]
)


class Client:
    """A bare client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, spoken: Spoken) -> None:
        self.socket = socket
        self.spoken = spoken

    async def sends(self, frame: Frame) -> None:
        if isinstance(frame, bytes):
            await self.socket.send_bytes(frame)
        else:
            await self.socket.send_json(frame)

    async def asks(self, text: str = "Hello") -> None:
        await self.sends(self.spoken.asks(text))

    async def says(self, ms: int, sound: Callable[[int, int], bytes] = caller_speech) -> None:
        while ms > 0:
            piece_ms = min(ms, self.spoken.at_once_ms)
            await self.sends(self.spoken.says(sound(piece_ms, self.spoken.bytes_per_ms)))
            ms -= piece_ms

    async def receives(self) -> str | bytes:
        message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        data: str | bytes = message.data
        return data

    def is_audio(self, message: str | bytes) -> bool:
        if isinstance(message, bytes):
            return not self.spoken.audio
        return any(sign in message for sign in self.spoken.audio)

    async def hears(self) -> list[str | bytes]:
        """Everything received up to the first audio."""
        messages = [await self.receives()]
        while not self.is_audio(messages[-1]):
            messages.append(await self.receives())
        return messages


@asynccontextmanager
async def connected(
    provider: str, *plans: Plan, rules: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[Client, Emulator]]:
    async with (
        emulating(provider, plans, rules=rules) as emulator,
        aiohttp.ClientSession() as http,
        http.ws_connect(emulator.url) as socket,
    ):
        client = Client(socket, CLIENTS[provider])
        for frame in client.spoken.opens:
            await client.sends(frame)
        yield client, emulator


def states(emulator: Emulator) -> list[str]:
    """How far each response of the first connection is."""
    return [each.state for each in emulator.connections[0].model.responses.values()]


def test_every_emulator_is_tried_here() -> None:
    assert set(CLIENTS) == set(EMULATED)
    assert not set(NO_WEBSOCKET) & set(EMULATED)


def test_what_cannot_be_emulated_says_why() -> None:
    with pytest.raises(UsageError, match="HTTP/2, no websocket"):
        Emulator(provider="nova_sonic")
    with pytest.raises(UsageError, match="no emulator of 'nobody': there are: openai"):
        Emulator(provider="nobody")
    with pytest.raises(UsageError, match=r"rules of gemini: .*no_such"):
        Emulator(provider="gemini", rules={"no_such": 1})


@ALL
async def test_the_plans_drop_comes_without_a_word(provider: str) -> None:
    plan = Plan(created_after_ms=10_000, drop_connection_after_ms=20)
    async with connected(provider, plan) as (client, _):
        await client.asks()
        while (message := await client.socket.receive()).type in (
            aiohttp.WSMsgType.TEXT,
            aiohttp.WSMsgType.BINARY,
        ):
            pass
        assert client.socket.close_code == 1006
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@WITHOUT_IDS
async def test_a_turn_that_hangs_ends_when_the_caller_interrupts(provider: str) -> None:
    """It has spoken and would never end; the next turn speaks."""
    hangs = Plan(created_after_ms=1, items=(PlannedItem(ms=100),), end="never")
    async with connected(provider, hangs, QUICK) as (client, emulator):
        await client.asks()
        await client.hears()
        await client.says(100)
        await client.says(300, silence)
        await client.hears()
        while states(emulator)[-1] == "requested":
            await client.hears()
        assert states(emulator)[0] == "cancelled"


@WITHOUT_IDS
async def test_what_a_wire_cannot_say_is_silence(provider: str) -> None:
    """A refusal (only Deepgram has a word for it), and a failure. Each time the next request is answered."""
    refused = Plan(created_after_ms=50, refuse="busy")
    failed = Plan(created_after_ms=1, items=(PlannedItem(ms=100),), speed=50.0, end="failed")
    async with connected(provider, refused, failed, QUICK) as (client, emulator):
        await client.asks("first")
        await eventually(lambda: bool(emulator.connections) and states(emulator) != [])
        await eventually(lambda: states(emulator) == [])
        await client.asks("second")
        await eventually(lambda: states(emulator) == ["died"])
        await client.asks("third")
        await eventually(lambda: states(emulator) == ["died", "completed"])
        audio = [message for _ in range(2) for message in await client.hears()]
        refusals = [x for x in audio if isinstance(x, str) and '"InjectionRefused"' in x]
        assert len(refusals) == (provider == "deepgram")


@ALL
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_client_does_and_whenever_the_server_stands(
    provider: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests, speech and silence on one another's heels, over plans of every kind. No connection breaks."""
    chance = random.Random(f"{provider} {seed}")
    plans = [
        Plan(
            created_after_ms=chance.choice([0, 5, 30]),
            created=chance.random() < 0.8,
            refuse=chance.choice([None] * 9 + ["busy"]),
            first_delta_after_ms=chance.choice([0, 10]),
            items=tuple(
                PlannedItem(ms=chance.choice([50, 200, 1000]))
                for _ in range(chance.choice([0, 1, 1, 2]))
            ),
            speed=chance.choice([8.0, 50.0]),
            trailing_deltas=chance.choice([0, 1, 3]),
            done_after_cancel_ms=chance.choice([0, 10]),
            end=chance.choice(["completed", "completed", "incomplete", "failed", "never"]),
        )
        for _ in range(40)
    ]
    async with connected(provider, *plans, QUICK) as (client, emulator):
        for _ in range(40):
            doing = chance.choice(["ask", "speech", "silence", "listen", "listen"])
            if doing == "ask":
                await client.asks()
            elif doing == "listen":
                with anyio.move_on_after(chance.choice([0.002, 0.02])):
                    for _ in range(chance.choice([1, 20])):
                        await client.receives()
            else:
                sound = caller_speech if doing == "speech" else silence
                await client.says(chance.choice([40, 240]), sound)
        assert not client.socket.closed
        await client.socket.close()
        await eventually(lambda: emulator.connections[0].model.closed)
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


async def test_a_request_given_up_takes_its_plan_with_it() -> None:
    """Its name is given again; who has it then is answered as planned for it."""
    late = Plan(created_after_ms=60_000)
    rules = {"pending": "dropped"}
    async with (
        connected("gemini", late, QUICK, rules=rules) as (client, emulator),
    ):
        await client.asks("first")
        await client.asks("second")
        await client.hears()
        assert list(emulator.connections[0].model.responses) == ["resp_1"]
