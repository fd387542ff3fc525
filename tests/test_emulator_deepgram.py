"""The Deepgram Voice Agent emulator, as the official client `deepgram-sdk` sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.agent.v1 import (
    AgentV1AgentAudioDone,
    AgentV1AgentThinking,
    AgentV1ConversationText,
    AgentV1Error,
    AgentV1InjectAgentMessage,
    AgentV1InjectionRefused,
    AgentV1InjectUserMessage,
    AgentV1Settings,
    AgentV1SettingsAgent,
    AgentV1SettingsApplied,
    AgentV1SettingsAudio,
    AgentV1SettingsAudioInput,
    AgentV1SettingsAudioOutput,
    AgentV1UserStartedSpeaking,
    AgentV1Welcome,
)
from deepgram.environment import DeepgramClientEnvironment

from bargein.simulator.emulator import Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating

pytestmark = [
    pytest.mark.anyio,
    # It connects by a client that websockets has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:deepgram"),
]

SETTINGS = AgentV1Settings(
    audio=AgentV1SettingsAudio(
        input=AgentV1SettingsAudioInput(encoding="linear16", sample_rate=16_000),
        output=AgentV1SettingsAudioOutput(encoding="mulaw", sample_rate=8_000, container="none"),
    ),
    agent=AgentV1SettingsAgent(),
)


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
        await self.socket.send_inject_user_message(AgentV1InjectUserMessage(content=text))


@asynccontextmanager
async def connected(emulator: Emulator) -> AsyncIterator[Call]:
    """The official client, with nothing changed but its environment."""
    environment = DeepgramClientEnvironment(
        agent=emulator.base_url,
        base="http://unused.invalid",
        production="ws://unused.invalid",
        agent_rest="http://unused.invalid",
    )
    client = AsyncDeepgramClient(api_key="unchecked", environment=environment)
    async with client.agent.v1.connect() as socket:
        yield Call(socket)


@asynccontextmanager
async def official(emulator: Emulator) -> AsyncIterator[Call]:
    """The same, with 16 kHz PCM in and mu-law out."""
    async with connected(emulator) as call:
        await call.until(AgentV1Welcome)
        await call.socket.send_settings(SETTINGS)
        await call.until(AgentV1SettingsApplied)
        yield call


def audio_ms(messages: list[Any]) -> int:
    return sum(len(each) for each in messages if isinstance(each, bytes)) // 8


async def test_the_official_client_is_answered() -> None:
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=300, text="Good morning"),), speed=50.0)
    async with emulating("deepgram", [plan]) as emulator, official(emulator) as call:
        await call.asks("Hello")
        messages = await call.until(AgentV1AgentAudioDone)
        assert audio_ms(messages) == 300
        texts = [each for each in messages if isinstance(each, AgentV1ConversationText)]
        said = [each.content for each in texts if each.role == "assistant"]
        assert "".join(said).strip() == "Good morning"


async def test_the_caller_interrupts_and_is_answered() -> None:
    """`UserStartedSpeaking` is all that is said of it; no `AgentAudioDone` of the turn they stopped."""
    async with emulating("deepgram", [LONG, QUICK]) as emulator, official(emulator) as call:
        await call.asks("Hello")
        await call.until(bytes)
        await call.socket.send_media(caller_speech(100, 32))
        await call.until(AgentV1UserStartedSpeaking)
        await call.socket.send_media(silence(220, 32))
        messages = await call.until(AgentV1AgentThinking)
        assert not any(isinstance(each, AgentV1AgentAudioDone) for each in messages)
        assert audio_ms(await call.until(AgentV1AgentAudioDone)) == 300


async def test_a_line_for_the_agent_interrupts_or_is_refused() -> None:
    async with emulating("deepgram", [LONG, QUICK]) as emulator, official(emulator) as call:
        await call.asks("Hello")
        await call.until(bytes)
        line = AgentV1InjectAgentMessage(message="One moment.")
        await call.socket.send_inject_agent_message(line)
        await call.until(AgentV1InjectionRefused)
        line = AgentV1InjectAgentMessage(message="One moment.", behavior="interrupt")
        await call.socket.send_inject_agent_message(line)
        await call.until(AgentV1AgentAudioDone)
        states = [each.state for each in emulator.connections[0].model.responses.values()]
        assert states == ["cancelled", "completed"]


async def test_a_plan_may_refuse_where_the_wire_has_a_word_for_it() -> None:
    plan = Plan(created_after_ms=5, refuse="busy")
    async with emulating("deepgram", [plan, QUICK]) as emulator, official(emulator) as call:
        await call.asks("Hello")
        refused = (await call.until(AgentV1InjectionRefused))[-1]
        assert refused.message == "busy"
        await call.asks("Hello again")
        assert audio_ms(await call.until(AgentV1AgentAudioDone)) == 300


async def test_audio_before_the_settings_ends_the_conversation() -> None:
    async with emulating("deepgram", []) as emulator, connected(emulator) as call:
        await call.socket.send_media(caller_speech(20, 32))
        error = (await call.until(AgentV1Error))[-1]
        assert error.code == "BINARY_MESSAGE_BEFORE_SETTINGS"


async def test_a_turn_begins_when_the_caller_is_silent() -> None:
    """They speak again before it has begun; nothing is said over them."""
    plan = Plan(created_after_ms=250, items=(PlannedItem(ms=300),), speed=50.0)
    async with emulating("deepgram", [plan]) as emulator, official(emulator) as call:
        await call.socket.send_media(caller_speech(20, 32) + silence(220, 32))
        await call.until(AgentV1ConversationText)
        await call.socket.send_media(caller_speech(20, 32))
        await call.until(AgentV1UserStartedSpeaking)
        with anyio.move_on_after(0.4):
            await call.until(AgentV1AgentThinking)
            pytest.fail("the agent began while the caller spoke")
        await call.socket.send_media(silence(220, 32))
        assert audio_ms(await call.until(AgentV1AgentAudioDone)) == 300
