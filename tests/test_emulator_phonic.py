"""The Phonic emulator, as the official client `phonic` sees it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from phonic import AsyncPhonic
from phonic.environment import PhonicEnvironment
from phonic.types import (
    AssistantFinishedSpeakingPayload,
    AssistantStartedSpeakingPayload,
    AudioChunkPayload,
    AudioChunkResponsePayload,
    ConfigPayload,
    ErrorPayload,
    GenerateReplyPayload,
    InterruptedResponsePayload,
    ReadyToStartConversationPayload,
    SayPayload,
    ToolCallOutputPayload,
    ToolCallPayload,
    UserStartedSpeakingPayload,
)

from bargein.simulator.emulator import Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating

pytestmark = [
    pytest.mark.anyio,
    # It connects by a client that websockets has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:phonic"),
]


@pytest.fixture
def anyio_backend() -> str:
    """The client runs on asyncio alone."""
    return "asyncio"


class Call:
    """A conversation of the official client."""

    def __init__(self, socket: Any) -> None:  # noqa: ANN401  its type is of a deprecated package
        self.socket = socket

    async def until(self, kind: type) -> list[Any]:
        """Everything received up to the first message that the package takes for this kind."""
        messages: list[Any] = []
        while not messages or not isinstance(messages[-1], kind):
            messages.append(await self.socket.recv())
        return messages

    async def asks(self, text: str) -> None:
        await self.socket.send_generate_reply(GenerateReplyPayload(system_message=text))

    async def says(self, audio: bytes) -> None:
        """At most 40 ms at a time, as the server wants it."""
        step = 20 * 48
        for at in range(0, len(audio), step):
            chunk = base64.b64encode(audio[at : at + step]).decode()
            await self.socket.send_audio_chunk(AudioChunkPayload(audio=chunk))


@asynccontextmanager
async def official(emulator: Emulator) -> AsyncIterator[Call]:
    """The official client, with nothing changed but its environment; 24 kHz PCM in, mu-law out."""
    environment = PhonicEnvironment(base="http://unused.invalid", production=emulator.base_url)
    client = AsyncPhonic(api_key="unchecked", environment=environment)
    async with client.conversations.connect() as socket:
        call = Call(socket)
        await socket.send_config(
            ConfigPayload(input_format="pcm_24000", output_format="mulaw_8000")
        )
        await call.until(ReadyToStartConversationPayload)
        yield call


def audio_ms(messages: list[Any]) -> int:
    chunks = [each for each in messages if isinstance(each, AudioChunkResponsePayload)]
    return sum(len(base64.b64decode(each.audio)) for each in chunks) // 8


async def test_the_official_client_is_answered() -> None:
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=300, text="Good morning"),), speed=50.0)
    async with emulating("phonic", [plan]) as emulator, official(emulator) as call:
        await call.asks("Greet the caller.")
        messages = await call.until(AssistantFinishedSpeakingPayload)
        assert isinstance(messages[0], AssistantStartedSpeakingPayload)
        assert audio_ms(messages) == 300
        chunks = [each for each in messages if isinstance(each, AudioChunkResponsePayload)]
        assert "".join(each.text for each in chunks).strip() == "Good morning"


async def test_the_caller_interrupts_and_is_answered() -> None:
    """What was spoken of the turn is said once the caller is silent; then comes the next turn."""
    async with emulating("phonic", [LONG, QUICK]) as emulator, official(emulator) as call:
        await call.asks("Greet the caller.")
        await call.until(AudioChunkResponsePayload)
        await call.says(caller_speech(100, 48))
        await call.until(UserStartedSpeakingPayload)
        await call.says(silence(220, 48))
        notice = (await call.until(InterruptedResponsePayload))[-1]
        assert isinstance(notice.text, str)
        await call.until(AssistantStartedSpeakingPayload)
        assert audio_ms(await call.until(AssistantFinishedSpeakingPayload)) == 300


async def test_what_is_said_uninterruptibly_goes_on() -> None:
    async with emulating("phonic", [LONG]) as emulator, official(emulator) as call:
        await call.socket.send_say(SayPayload(text="This call is recorded.", interruptible=False))
        await call.until(AudioChunkResponsePayload)
        await call.says(caller_speech(100, 48))
        await call.until(UserStartedSpeakingPayload)
        await call.until(AudioChunkResponsePayload)
        assert emulator.connections[0].model.responses["resp_1"].state == "in_progress"


async def test_a_turn_waits_for_the_result_of_its_call() -> None:
    items = (PlannedItem(kind="function_call", name="weather", text="{}"), PlannedItem(ms=200))
    plan = Plan(created_after_ms=5, items=items, speed=50.0)
    async with emulating("phonic", [plan]) as emulator, official(emulator) as call:
        await call.asks("Tell the weather.")
        asked = (await call.until(ToolCallPayload))[-1]
        assert asked.tool_name == "weather"
        await call.socket.send_tool_call_output(
            ToolCallOutputPayload(tool_call_id=asked.tool_call_id, output="12 degrees")
        )
        assert audio_ms(await call.until(AssistantFinishedSpeakingPayload)) == 200


async def test_audio_in_too_long_pieces_is_an_error_and_no_speech() -> None:
    async with emulating("phonic", [QUICK]) as emulator, official(emulator) as call:
        audio = base64.b64encode(caller_speech(100, 48)).decode()
        await call.socket.send_audio_chunk(AudioChunkPayload(audio=audio))
        error = (await call.until(ErrorPayload))[-1]
        assert "40 ms" in error.error.message
        await call.asks("Greet the caller.")
        messages = await call.until(AssistantFinishedSpeakingPayload)
        assert not any(isinstance(each, UserStartedSpeakingPayload) for each in messages)
