"""The Ultravox emulator, as a client sees it that creates a call and joins it, as its documentation says.

The official package speaks WebRTC alone, so the wire is spoken by hand: https://docs.ultravox.ai/apps/websockets
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bargein.simulator.emulator import Emulator
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating

pytestmark = pytest.mark.anyio

Socket = aiohttp.ClientWebSocketResponse
MEDIUM = {"inputSampleRate": 16_000, "outputSampleRate": 24_000, "clientBufferSizeMs": 30_000}


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


@asynccontextmanager
async def joined(
    emulator: Emulator, medium: dict[str, int] | None = None, agent: str = ""
) -> AsyncIterator[Socket]:
    """A call that was created and joined."""
    path = f"agents/{agent}/calls" if agent else "calls"
    asked = {"medium": {"serverWebSocket": MEDIUM if medium is None else medium}}
    async with aiohttp.ClientSession(headers={"X-API-Key": "unchecked"}) as http:
        async with http.post(f"{emulator.base_url}/{path}", json=asked) as answer:
            answer.raise_for_status()
            call = await answer.json()
        async with http.ws_connect(call["joinUrl"]) as socket:
            yield socket


async def until(socket: Socket, type_: str, **fields: str) -> tuple[list[dict[str, Any]], int]:
    """Data messages up to the first of this kind, and how much audio came with them."""
    messages: list[dict[str, Any]] = []
    size_bytes = 0
    while not messages or not {"type": type_, **fields}.items() <= messages[-1].items():
        frame = await socket.receive()
        if frame.type == aiohttp.WSMsgType.BINARY:
            size_bytes += len(frame.data)
        else:
            messages.append(frame.json())
    return messages, size_bytes


async def says(socket: Socket, text: str, urgency: str = "soon") -> None:
    await socket.send_json({"type": "user_text_message", "text": text, "urgency": urgency})


@pytest.mark.parametrize("agent", ["", "a-1"])
async def test_a_call_is_created_joined_and_answered(agent: str) -> None:
    """Audio comes at the rate that the call asked for."""
    async with emulating("ultravox", [QUICK]) as emulator, joined(emulator, agent=agent) as socket:
        await until(socket, "state", state="listening")
        await says(socket, "Hello")
        messages, size_bytes = await until(socket, "state", state="listening")
        assert size_bytes == 300 * 48
        states = [each["state"] for each in messages if each["type"] == "state"]
        assert states == ["thinking", "speaking", "listening"]
        assert [each["final"] for each in messages if each.get("role") == "agent"][-1]


async def test_the_output_rate_is_that_of_the_input_where_it_is_not_told() -> None:
    async with (
        emulating("ultravox", [QUICK]) as emulator,
        joined(emulator, {"inputSampleRate": 8_000}) as socket,
    ):
        await until(socket, "state", state="listening")
        await says(socket, "Hello")
        assert (await until(socket, "state", state="listening"))[1] == 300 * 16


async def test_the_caller_interrupts_and_is_answered() -> None:
    """`playback_clear_buffer`, and another turn once they are silent."""
    async with emulating("ultravox", [LONG, QUICK]) as emulator, joined(emulator) as socket:
        await says(socket, "Hello")
        await until(socket, "state", state="speaking")
        await socket.send_bytes(caller_speech(100, 32))
        await until(socket, "playback_clear_buffer")
        await socket.send_bytes(silence(220, 32))
        await until(socket, "state", state="thinking")
        assert (await until(socket, "state", state="listening"))[1] == 300 * 48


async def test_text_of_immediate_urgency_interrupts() -> None:
    async with emulating("ultravox", [LONG, QUICK]) as emulator, joined(emulator) as socket:
        await says(socket, "Hello")
        await until(socket, "state", state="speaking")
        await says(socket, "Stop", "immediate")
        await until(socket, "playback_clear_buffer")
        await until(socket, "state", state="speaking")


async def test_who_hangs_up_is_left() -> None:
    async with emulating("ultravox", [LONG]) as emulator, joined(emulator) as socket:
        await socket.send_json({"type": "hang_up", "message": "Bye"})
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1000


async def test_a_call_for_another_medium_is_refused() -> None:
    async with emulating("ultravox", []) as emulator, aiohttp.ClientSession() as http:
        bodies: list[dict[str, Any]] = [
            {"medium": {"webRtc": {}}},
            {"medium": {"serverWebSocket": {"inputSampleRate": 0}}},
            {},
        ]
        for body in bodies:
            async with http.post(f"{emulator.base_url}/calls", json=body) as answer:
                assert answer.status == 400
                assert "serverWebSocket" in (await answer.json())["detail"]
