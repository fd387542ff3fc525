"""The emulators of OpenAI's family, as the official clients of each see them: `openai` and `azure-ai-voicelive`."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from azure.ai.voicelive.aio import VoiceLiveConnection, connect
from azure.ai.voicelive.models import (
    InputAudioFormat,
    Modality,
    OutputAudioFormat,
    RequestSession,
    ServerEvent,
    ServerEventInputAudioBufferSpeechStarted,
    ServerEventResponseAudioDelta,
    ServerEventResponseCreated,
    ServerEventResponseDone,
    ServerEventSessionUpdated,
    ServerVad,
)
from azure.core.credentials import AzureKeyCredential
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection as BetaConnection
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.beta.realtime import RealtimeServerEvent as BetaEvent
from openai.types.realtime import RealtimeServerEvent

from bargein.simulator.emulator import Emulator
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating, remembered_ms

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The clients run on asyncio alone."""
    return "asyncio"


class _Receives(Protocol):
    async def recv(self) -> Any:  # noqa: ANN401  each package has its own events
        """The next event."""


async def until(connection: _Receives, type_: str) -> list[Any]:
    """Everything received up to the first event of this type."""
    events: list[Any] = []
    while not events or events[-1].type != type_:
        events.append(await connection.recv())
    return events


def base64_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def sent_bytes(events: list[Any], type_: str) -> int:
    return sum(len(base64.b64decode(each.delta)) for each in events if each.type == type_)


# -- GA names: azure, xai, localai --------------------------------------------------------------


@asynccontextmanager
async def ga(emulator: Emulator, how: str = "base_url") -> AsyncIterator[AsyncRealtimeConnection]:
    """The official client, with nothing changed but where the server is."""
    where = {"base_url": emulator.base_url}
    if how == "websocket_base_url":
        where = {"websocket_base_url": emulator.base_url.replace("http", "ws")}
    async with (
        AsyncOpenAI(api_key="unchecked", **where) as client,  # type: ignore[arg-type]
        client.realtime.connect(model="any-model") as connection,
    ):
        yield connection


GA = pytest.mark.parametrize("provider", ["azure", "xai", "localai"])


@GA
@pytest.mark.parametrize("how", ["base_url", "websocket_base_url"])
async def test_the_official_client_is_answered(provider: str, how: str) -> None:
    """Session, response, audio in the format asked for."""
    async with emulating(provider, [QUICK]) as emulator, ga(emulator, how) as connection:
        opened = (await until(connection, "session.created"))[-1]
        assert opened.session.model == "any-model"
        await connection.session.update(
            session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}}
        )
        await until(connection, "session.updated")
        await connection.response.create()
        events: list[RealtimeServerEvent] = await until(connection, "response.done")
        assert sent_bytes(events, "response.output_audio.delta") == 300 * 8
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status == "completed"
        assert remembered_ms(emulator) == [300]


@GA
async def test_the_official_client_cancels(provider: str) -> None:
    """In mid stream; what it sees is a `response.done` with status cancelled."""
    async with emulating(provider, [LONG]) as emulator, ga(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        done = (await until(connection, "response.done"))[-1]
        assert done.response.status == "cancelled"


@pytest.mark.parametrize(
    ("provider", "stops"), [("azure", True), ("localai", True), ("xai", False)]
)
async def test_the_caller_interrupts_where_the_server_lets_them(provider: str, stops: bool) -> None:
    """xAI tells of the speech and speaks on: cancelling is the client's affair."""
    async with emulating(provider, [LONG]) as emulator, ga(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.input_audio_buffer.append(audio=base64_of(caller_speech(100, 48)))
        await until(connection, "input_audio_buffer.speech_started")
        if not stops:
            await until(connection, "response.output_audio.delta")
            assert emulator.connections[0].model.responses["resp_1"].state == "in_progress"
            return
        done = (await until(connection, "response.done"))[-1]
        assert done.response.status == "cancelled"


async def test_a_request_of_localai_takes_the_place_of_the_one_before() -> None:
    """The one that runs ends cancelled; a server that stops it by itself must not be spoken on for it."""
    async with emulating("localai", [LONG, QUICK]) as emulator, ga(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.create()
        first = (await until(connection, "response.done"))[-1]
        second = (await until(connection, "response.done"))[-1]
        ended = {each.response.id: each.response.status for each in (first, second)}
        assert ended == {"resp_1": "cancelled", "resp_2": "completed"}


# -- beta names: azure_preview, speaches --------------------------------------------------------


@asynccontextmanager
async def beta(provider: str, emulator: Emulator) -> AsyncIterator[BetaConnection]:
    """The official client's `beta.realtime`. It takes `wss://` for granted unless given `websocket_base_url`."""
    client: AsyncOpenAI
    if provider == "azure_preview":
        client = AsyncAzureOpenAI(
            api_key="unchecked",
            api_version="2024-10-01-preview",
            azure_endpoint="http://unused.invalid",
            websocket_base_url=emulator.base_url,
        )
    else:
        client = AsyncOpenAI(api_key="unchecked", websocket_base_url=emulator.base_url)
    async with client, client.beta.realtime.connect(model="any-model") as connection:
        yield connection


BETA = pytest.mark.parametrize("provider", ["azure_preview", "speaches"])


@BETA
async def test_the_beta_client_is_answered(provider: str) -> None:
    """A flat session, and the beta's names for what is spoken."""
    async with emulating(provider, [QUICK]) as emulator, beta(provider, emulator) as connection:
        opened = (await until(connection, "session.created"))[-1]
        assert opened.session.model == "any-model"
        await connection.session.update(session={"voice": "alloy", "output_audio_format": "pcm16"})
        updated = (await until(connection, "session.updated"))[-1]
        assert updated.session.output_audio_format == "pcm16"
        await connection.response.create()
        events: list[BetaEvent] = await until(connection, "response.done")
        assert sent_bytes(events, "response.audio.delta") == 300 * 48
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status == "completed"


async def test_the_caller_interrupts_azure_preview() -> None:
    """VAD; and the server's own answer to what the caller said follows."""
    async with (
        emulating("azure_preview", [LONG, QUICK]) as emulator,
        beta("azure_preview", emulator) as connection,
    ):
        await connection.response.create()
        await until(connection, "response.audio.delta")
        audio = caller_speech(100, 48) + silence(240, 48)
        await connection.input_audio_buffer.append(audio=base64_of(audio))
        events = await until(connection, "response.done")
        assert "input_audio_buffer.speech_started" in [each.type for each in events]
        assert events[-1].response.status_details.reason == "turn_detected"
        done = (await until(connection, "response.done"))[-1]
        assert done.response.status == "completed"


async def test_a_request_of_speaches_silently_ends_the_one_before() -> None:
    """No verb cancels and no word is said of the response that was replaced."""
    async with (
        emulating("speaches", [LONG, QUICK]) as emulator,
        beta("speaches", emulator) as connection,
    ):
        await connection.response.create()
        await until(connection, "response.audio.delta")
        await connection.response.cancel()
        error = (await until(connection, "error"))[-1]
        assert "not implemented" in error.error.message
        await connection.response.create()
        done = (await until(connection, "response.done"))[-1]
        assert (done.response.id, done.response.status) == ("resp_2", "completed")
        assert emulator.connections[0].model.responses["resp_1"].state == "cancelled"


# -- Voice Live ---------------------------------------------------------------------------------


@asynccontextmanager
async def voicelive(emulator: Emulator) -> AsyncIterator[VoiceLiveConnection]:
    """The official client, with nothing changed but its endpoint."""
    key = AzureKeyCredential("unchecked")
    async with connect(
        credential=key, endpoint=emulator.base_url, model="gpt-realtime"
    ) as connection:
        yield connection


async def of_kind(connection: VoiceLiveConnection, kind: type[ServerEvent]) -> list[Any]:
    """Everything received up to the first event that the package takes for this kind."""
    events: list[Any] = []
    while not events or not isinstance(events[-1], kind):
        events.append(await connection.recv())
    return events


async def test_the_voice_live_client_is_answered_and_interrupted() -> None:
    """Its typed events tell of both."""
    async with (
        emulating("voicelive", [QUICK, LONG]) as emulator,
        voicelive(emulator) as connection,
    ):
        await connection.session.update(
            session=RequestSession(
                modalities=[Modality.TEXT, Modality.AUDIO],
                input_audio_format=InputAudioFormat.PCM16,
                output_audio_format=OutputAudioFormat.PCM16,
                turn_detection=ServerVad(silence_duration_ms=300),
            )
        )
        await of_kind(connection, ServerEventSessionUpdated)
        await connection.response.create()
        events = await of_kind(connection, ServerEventResponseDone)
        audio = [each for each in events if isinstance(each, ServerEventResponseAudioDelta)]
        assert sum(len(each.delta) for each in audio) == 300 * 48
        assert events[-1].response.status == "completed"

        await connection.response.create()
        await of_kind(connection, ServerEventResponseAudioDelta)
        await connection.input_audio_buffer.append(audio=base64_of(caller_speech(100, 48)))
        await of_kind(connection, ServerEventInputAudioBufferSpeechStarted)
        done = (await of_kind(connection, ServerEventResponseDone))[-1]
        assert done.response.status == "cancelled"


async def test_a_request_of_voice_live_cancels_the_one_before() -> None:
    """`cancel_previous` is the default of its `response.create`."""
    async with (
        emulating("voicelive", [LONG, QUICK]) as emulator,
        voicelive(emulator) as connection,
    ):
        await connection.response.create()
        await of_kind(connection, ServerEventResponseAudioDelta)
        await connection.response.create()
        done = (await of_kind(connection, ServerEventResponseDone))[-1]
        assert done.response.status == "cancelled"
        await of_kind(connection, ServerEventResponseCreated)
        done = (await of_kind(connection, ServerEventResponseDone))[-1]
        assert done.response.status == "completed"
