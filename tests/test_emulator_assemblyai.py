"""The AssemblyAI emulator, as a client sees it that speaks as the documentation says.

The official package has no client for voice agents, so the wire is spoken by hand:
https://www.assemblyai.com/docs/voice-agents/voice-agent-api/events-reference
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bargein.simulator.emulator import Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating, remembered_ms

pytestmark = pytest.mark.anyio

Socket = aiohttp.ClientWebSocketResponse
Messages = list[dict[str, Any]]


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


@asynccontextmanager
async def connected(emulator: Emulator, **settings: object) -> AsyncIterator[Socket]:
    """A session that is ready."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer unchecked"}) as http,
        http.ws_connect(emulator.base_url) as socket,
    ):
        await socket.send_json({"type": "session.update", "session": settings})
        ready = await socket.receive_json()
        assert ready["type"] == "session.ready" and ready["session_id"]
        yield socket


async def until(socket: Socket, type_: str) -> Messages:
    """Everything received up to the first message of this type."""
    messages: Messages = []
    while not messages or messages[-1]["type"] != type_:
        messages.append(await socket.receive_json())
    return messages


async def asks(socket: Socket, instructions: str = "Greet the caller.") -> None:
    await socket.send_json({"type": "reply.create", "instructions": instructions})


async def says(socket: Socket, audio: bytes) -> None:
    encoded = base64.b64encode(audio).decode()
    await socket.send_json({"type": "input.audio", "audio": encoded})


def size_bytes(messages: Messages) -> int:
    audio = [each["data"] for each in messages if each["type"] == "reply.audio"]
    return sum(len(base64.b64decode(data)) for data in audio)


async def test_a_request_is_answered() -> None:
    """Started, audio without an id, the words once and whole, done."""
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=300, text="Good morning"),), speed=50.0)
    async with emulating("assemblyai", [plan]) as emulator, connected(emulator) as socket:
        await asks(socket)
        messages = await until(socket, "reply.done")
        assert messages[0]["type"] == "reply.started"
        assert size_bytes(messages) == 300 * 48
        assert not any("reply_id" in each for each in messages if each["type"] == "reply.audio")
        words = [each for each in messages if each["type"] == "transcript.agent"]
        assert [each["text"].strip() for each in words] == ["Good morning"]
        assert words[0]["reply_id"] == messages[0]["reply_id"]
        assert messages[-1].get("status") != "interrupted"


async def test_the_greeting_of_the_settings_is_spoken_unasked() -> None:
    async with (
        emulating("assemblyai", [QUICK]) as emulator,
        connected(emulator, greeting="Good morning.") as socket,
    ):
        assert size_bytes(await until(socket, "reply.done")) == 300 * 48


@pytest.mark.parametrize(
    ("encoding", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8), ("audio/pcma", 8)]
)
async def test_the_caller_interrupts_and_is_answered(encoding: str, bytes_per_ms: int) -> None:
    """In each format, both ways; 200 ms of its own silence end the caller's turn."""
    form = {"format": {"encoding": encoding}}
    quiet = b"\xd5" * 200 * 8 if encoding == "audio/pcma" else silence(200, bytes_per_ms)
    async with (
        emulating("assemblyai", [LONG, QUICK]) as emulator,
        connected(emulator, input=form, output=form) as socket,
    ):
        await asks(socket)
        await until(socket, "reply.audio")
        await says(socket, caller_speech(100, bytes_per_ms))
        await until(socket, "input.speech.started")
        done = (await until(socket, "reply.done"))[-1]
        assert done["status"] == "interrupted"
        await says(socket, quiet)
        await until(socket, "transcript.user")
        await until(socket, "reply.started")
        assert size_bytes(await until(socket, "reply.done")) == 300 * bytes_per_ms
        assert remembered_ms(emulator)[1:] == [300]


async def test_the_words_of_an_interrupted_reply_are_those_that_were_heard() -> None:
    items = (PlannedItem(ms=60_000, text=" ".join(["word"] * 600)),)
    plan = Plan(created_after_ms=5, items=items)
    async with emulating("assemblyai", [plan]) as emulator, connected(emulator) as socket:
        await asks(socket)
        await until(socket, "reply.audio")
        await says(socket, caller_speech(100, 48))
        await until(socket, "reply.done")
        words = (await until(socket, "transcript.agent"))[-1]
        assert words["interrupted"] is True
        assert len(words["text"].split()) < 600


async def test_a_session_can_keep_the_caller_from_interrupting() -> None:
    """The speech is told, and the reply goes on."""
    uninterrupted = {"turn_detection": {"interrupt_response": False}}
    async with (
        emulating("assemblyai", [LONG]) as emulator,
        connected(emulator, input=uninterrupted) as socket,
    ):
        await asks(socket)
        await until(socket, "reply.audio")
        await says(socket, caller_speech(100, 48))
        await until(socket, "input.speech.started")
        await until(socket, "reply.audio")
        assert emulator.connections[0].model.responses["resp_1"].state == "in_progress"


async def test_a_reply_ends_before_the_result_of_its_call_and_another_follows_it() -> None:
    calls = PlannedItem(kind="function_call", name="weather", text='{"town": "Rome"}')
    plan = Plan(created_after_ms=5, items=(calls,))
    async with emulating("assemblyai", [plan, QUICK]) as emulator, connected(emulator) as socket:
        await asks(socket, "Tell the weather.")
        messages = await until(socket, "reply.done")
        call = next(each for each in messages if each["type"] == "tool.call")
        assert (call["name"], call["arguments"]) == ("weather", {"town": "Rome"})
        await socket.send_json(
            {"type": "tool.result", "call_id": call["call_id"], "result": "12 degrees"}
        )
        assert size_bytes(await until(socket, "reply.done")) == 300 * 48


async def test_what_comes_before_the_settings_is_an_error_and_the_end_is_said() -> None:
    async with (
        emulating("assemblyai", [QUICK]) as emulator,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{emulator.url}?token=unchecked") as socket,
    ):
        await asks(socket)
        assert (await until(socket, "session.error"))[-1]["code"] == "not_ready"
        await socket.send_json({"type": "session.update", "session": {}})
        await until(socket, "session.ready")
        await socket.send_json({"type": "session.end"})
        await until(socket, "session.ended")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000
