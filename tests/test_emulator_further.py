"""The emulators of Inworld, Hugging Face speech-to-speech and vLLM-Omni, as the official client `openai` sees them;
and that of Qwen-Omni by hand, as its documentation says:
https://www.alibabacloud.com/help/en/model-studio/client-events
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent

from bargein.simulator.emulator import Emulator
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating, remembered_ms

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The clients run on asyncio alone."""
    return "asyncio"


def base64_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


@asynccontextmanager
async def official(
    emulator: Emulator, how: str = "base_url"
) -> AsyncIterator[AsyncRealtimeConnection]:
    """The official client, with nothing changed but where the server is."""
    where = {"base_url": emulator.base_url}
    if how == "websocket_base_url":
        where = {"websocket_base_url": emulator.base_url.replace("http", "ws")}
    async with (
        AsyncOpenAI(api_key="unchecked", **where) as client,  # type: ignore[arg-type]
        client.realtime.connect(model="any-model") as connection,
    ):
        yield connection


async def until(connection: AsyncRealtimeConnection, type_: str) -> list[Any]:
    """Everything received up to the first event of this type."""
    events: list[Any] = []
    while not events or events[-1].type != type_:
        events.append(await connection.recv())
    return events


async def hears_from_now_on(connection: AsyncRealtimeConnection) -> None:
    """With VAD, which 200 ms of silence satisfy."""
    await connection.session.update(
        session={
            "type": "realtime",
            "audio": {
                "input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}
            },
        }
    )
    await until(connection, "session.updated")


ALIKE = pytest.mark.parametrize("provider", ["inworld", "hf_speech_to_speech", "vllm_omni"])


@ALIKE
@pytest.mark.parametrize("how", ["base_url", "websocket_base_url"])
async def test_the_official_client_is_answered(provider: str, how: str) -> None:
    """Session, response, audio, and its last word."""
    async with emulating(provider, [QUICK]) as emulator, official(emulator, how) as connection:
        opened = (await until(connection, "session.created"))[-1]
        assert opened.session.model == "any-model"
        await connection.response.create()
        events: list[RealtimeServerEvent] = await until(connection, "response.done")
        audio = [each.delta for each in events if each.type == "response.output_audio.delta"]
        assert sum(len(base64.b64decode(delta)) for delta in audio) == 300 * 48
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status == "completed"
        assert remembered_ms(emulator) == [300]


@ALIKE
async def test_the_caller_interrupts_and_is_answered(provider: str) -> None:
    """The response says that it was cancelled, and the next one follows the caller's turn."""
    async with emulating(provider, [LONG, QUICK]) as emulator, official(emulator) as connection:
        await hears_from_now_on(connection)
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.input_audio_buffer.append(audio=base64_of(caller_speech(100, 48)))
        events = await until(connection, "response.done")
        assert events[-1].response.status == "cancelled"
        assert events[-1].response.status_details.reason == "turn_detected"
        heard_first = "input_audio_buffer.speech_started" in [each.type for each in events]
        assert heard_first == (provider != "hf_speech_to_speech")
        await connection.input_audio_buffer.append(audio=base64_of(silence(200, 48)))
        done = (await until(connection, "response.done"))[-1]
        assert done.response.status == "completed"


async def test_inworld_is_found_where_its_documentation_says() -> None:
    """`wss://api.inworld.ai/api/v1/realtime/session?key=…&protocol=realtime`."""
    async with (
        emulating("inworld", [QUICK]) as emulator,
        aiohttp.ClientSession(headers={"Authorization": "Basic unchecked"}) as http,
        http.ws_connect(f"{emulator.url}?key=any&protocol=realtime") as socket,
    ):
        assert "/api/v1/realtime/session" in emulator.url
        assert (await socket.receive_json())["type"] == "session.created"


async def test_hugging_face_ends_at_once_and_forgets_what_was_not_whole() -> None:
    """Its truncate has no answer: the next that is answered is the session."""
    async with (
        emulating("hf_speech_to_speech", [LONG]) as emulator,
        official(emulator) as connection,
    ):
        await connection.response.create()
        delta = (await until(connection, "response.output_audio.delta"))[-1]
        await connection.response.cancel()
        done = (await until(connection, "response.done"))[-1]
        assert done.response.status == "cancelled"
        await connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=50
        )
        await connection.session.update(session={"type": "realtime"})
        after = [each.type for each in await until(connection, "session.updated")]
        assert after == ["session.updated"]
        assert remembered_ms(emulator) == [0]


async def test_hugging_face_says_an_error_by_its_type() -> None:
    """And knows no delete."""
    async with (
        emulating("hf_speech_to_speech", [LONG]) as emulator,
        official(emulator) as connection,
    ):
        await connection.conversation.item.delete(item_id="item_any")
        error = (await until(connection, "error"))[-1].error
        assert (error.type, error.code) == ("unknown_or_invalid_event", None)


async def test_vllm_omni_hears_nobody_unless_asked_to() -> None:
    """Turn detection is off in a fresh session."""
    async with emulating("vllm_omni", [LONG]) as emulator, official(emulator) as connection:
        opened = (await until(connection, "session.created"))[-1]
        assert opened.session.audio.input.turn_detection is None
        await connection.input_audio_buffer.append(audio=base64_of(caller_speech(100, 48)))
        await connection.input_audio_buffer.append(audio=base64_of(silence(600, 48)))
        await connection.session.update(session={"type": "realtime"})
        await until(connection, "session.updated")
        assert not emulator.connections[0].model.responses


async def test_a_request_of_vllm_omni_cancels_the_one_before() -> None:
    """And what was cut short has its words back, up to where a truncate says."""
    async with emulating("vllm_omni", [LONG, QUICK]) as emulator, official(emulator) as connection:
        await connection.response.create()
        delta = (await until(connection, "response.output_audio.delta"))[-1]
        await connection.response.create()
        done = (await until(connection, "response.done"))[-1]
        assert (done.response.id, done.response.status) == ("resp_1", "cancelled")
        done = (await until(connection, "response.done"))[-1]
        assert (done.response.id, done.response.status) == ("resp_2", "completed")
        assert remembered_ms(emulator) == [0, 300]
        await connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=50
        )
        await until(connection, "conversation.item.truncated")
        assert remembered_ms(emulator) == [50, 300]


# -- Qwen-Omni ----------------------------------------------------------------------------------

Socket = aiohttp.ClientWebSocketResponse
SETTINGS = {
    "modalities": ["text", "audio"],
    "voice": "Cherry",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm24",
    "input_audio_transcription": {"model": "gummy-realtime-v1"},
    "turn_detection": {
        "type": "server_vad",
        "threshold": 0.2,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 300,
    },
}


@asynccontextmanager
async def qwen(emulator: Emulator) -> AsyncIterator[Socket]:
    """A session with the settings that a client of the vendor asks for."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer unchecked"}) as http,
        http.ws_connect(f"{emulator.base_url}?model=any-model") as socket,
    ):
        opened = (await messages(socket, "session.created"))[-1]
        assert opened["session"]["model"] == "any-model"
        await socket.send_json({"type": "session.update", "session": SETTINGS})
        updated = (await messages(socket, "session.updated"))[-1]["session"]
        formats = ("input_audio_format", "output_audio_format")
        assert [updated[name] for name in formats] == ["pcm16", "pcm24"]
        yield socket


async def messages(socket: Socket, type_: str) -> list[dict[str, Any]]:
    """Everything received up to the first message of this type."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != type_:
        found.append(await socket.receive_json())
    return found


async def says(socket: Socket, audio: bytes) -> None:
    await socket.send_json({"type": "input_audio_buffer.append", "audio": base64_of(audio)})


async def test_qwen_answers_and_is_cancelled() -> None:
    """A cancel names nothing; there is no truncate."""
    async with emulating("qwen", [QUICK, LONG]) as emulator, qwen(emulator) as socket:
        asked = {"instructions": "Greet.", "modalities": ["text", "audio"]}
        await socket.send_json({"type": "response.create", "response": asked})
        answer = await messages(socket, "response.done")
        audio = [x["delta"] for x in answer if x["type"] == "response.audio.delta"]
        assert sum(len(base64.b64decode(delta)) for delta in audio) == 300 * 48
        assert answer[-1]["response"]["status"] == "completed"

        await socket.send_json({"type": "response.create"})
        delta = (await messages(socket, "response.audio.delta"))[-1]
        await socket.send_json({"type": "response.cancel"})
        done = (await messages(socket, "response.done"))[-1]
        assert done["response"]["status"] == "cancelled"
        cut = {"item_id": delta["item_id"], "content_index": 0, "audio_end_ms": 50}
        await socket.send_json({"type": "conversation.item.truncate", **cut})
        error = (await messages(socket, "error"))[-1]["error"]
        assert error["code"] == "invalid_value"


async def test_qwen_hears_16_khz() -> None:
    """300 ms of silence at that rate end the caller's turn, and 280 ms do not."""
    async with emulating("qwen", [LONG, QUICK]) as emulator, qwen(emulator) as socket:
        await socket.send_json({"type": "response.create"})
        await messages(socket, "response.audio.delta")
        await says(socket, caller_speech(100, 32) + silence(280, 32))
        await messages(socket, "input_audio_buffer.speech_started")
        done = (await messages(socket, "response.done"))[-1]
        assert done["response"]["status"] == "cancelled"
        assert len(emulator.connections[0].model.responses) == 1
        await says(socket, silence(20, 32))
        await messages(socket, "input_audio_buffer.speech_stopped")
        done = (await messages(socket, "response.done"))[-1]
        assert done["response"]["status"] == "completed"
