"""The ElevenLabs Agents emulator, as the official client `elevenlabs` sees it."""

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import httpx
import pytest

from bargein.simulator.emulator import Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating, remembered_ms

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports names websockets gave up
    from elevenlabs import ElevenLabs
    from elevenlabs.conversational_ai.conversation import AsyncAudioInterface, AsyncConversation

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The client runs on asyncio alone."""
    return "asyncio"


class Telephone(AsyncAudioInterface):
    """The audio interface that the client asks its user for: what was heard, and what there is to say."""

    def __init__(self) -> None:
        self.heard_bytes = 0
        self.interrupted = anyio.Event()
        self._changed = anyio.Event()
        self._says: Callable[[bytes], Awaitable[None]] | None = None

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        self._says = input_callback
        self._tell()

    async def stop(self) -> None:
        self._says = None

    async def output(self, audio: bytes) -> None:
        self.heard_bytes += len(audio)
        self._tell()

    async def interrupt(self) -> None:
        self.interrupted.set()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def hears(self, size_bytes: int) -> None:
        while self.heard_bytes < size_bytes:
            await self._changed.wait()

    async def connected(self) -> None:
        while self._says is None:
            await self._changed.wait()

    async def says(self, audio: bytes) -> None:
        assert self._says is not None
        await self._says(audio)


class Call:
    """A conversation of the official client."""

    def __init__(self, emulator: Emulator, agent_id: str, requires_auth: bool) -> None:
        self.phone = Telephone()
        self.responses: list[str] = []
        self.corrections: list[tuple[str, str]] = []
        self.corrected = anyio.Event()
        self.http = httpx.Client()
        client = ElevenLabs(api_key="unchecked", base_url=emulator.base_url, httpx_client=self.http)
        self.conversation = AsyncConversation(
            client,
            agent_id,
            requires_auth=requires_auth,
            audio_interface=self.phone,
            callback_agent_response=self._responds,
            callback_agent_response_correction=self._corrects,
        )

    async def _responds(self, text: str) -> None:
        self.responses.append(text)

    async def _corrects(self, original: str, corrected: str) -> None:
        self.corrections.append((original, corrected))
        self.corrected.set()


@asynccontextmanager
async def calling(
    emulator: Emulator, agent_id: str = "any-agent", *, requires_auth: bool = False
) -> AsyncIterator[Call]:
    """The official client, with nothing changed but its base URL."""
    call = Call(emulator, agent_id, requires_auth)
    await call.conversation.start_session()  # type: ignore[no-untyped-call]
    try:
        await call.phone.connected()
        yield call
    finally:
        await call.conversation.end_session()  # type: ignore[no-untyped-call]
        await call.conversation.wait_for_session_end()
        call.http.close()


async def test_the_official_client_is_answered() -> None:
    """16 bit PCM at 16 kHz, as its audio interfaces have it; the words once and whole."""
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=300, text="Good morning"),), speed=50.0)
    async with emulating("elevenlabs", [plan]) as emulator, calling(emulator) as call:
        await call.conversation.send_user_message("Hello")
        await call.phone.hears(300 * 32)
        assert call.phone.heard_bytes == 300 * 32
        assert call.responses == ["Good morning"]
        assert not call.phone.interrupted.is_set()


async def test_the_caller_interrupts_and_is_answered() -> None:
    """The client stops its audio interface and plays nothing more of that segment; then it plays the next."""
    async with emulating("elevenlabs", [LONG, QUICK]) as emulator, calling(emulator) as call:
        await call.conversation.send_user_message("Hello")
        await call.phone.hears(200 * 32)
        await call.phone.says(caller_speech(100, 32))
        await call.phone.interrupted.wait()
        before = call.phone.heard_bytes
        await call.phone.says(silence(220, 32))
        await call.phone.hears(before + 300 * 32)
        assert call.phone.heard_bytes == before + 300 * 32


async def test_the_server_corrects_what_it_said_to_what_was_heard() -> None:
    """It reckons that the client plays as the audio comes: of much that was sent in no time, little."""
    words = " ".join(["word"] * 600)
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=60_000, text=words),))
    async with emulating("elevenlabs", [plan]) as emulator, calling(emulator) as call:
        await call.conversation.send_user_message("Hello")
        await call.phone.hears(2_000 * 32)
        await call.phone.says(caller_speech(100, 32))
        await call.corrected.wait()
        (said, kept) = call.corrections[0]
        assert said == words
        assert said.startswith(kept)
        assert len(kept) < len(said)
        sent_ms = call.phone.heard_bytes // 32
        assert remembered_ms(emulator)[0] < sent_ms


async def test_a_message_interrupts_too() -> None:
    async with emulating("elevenlabs", [LONG, QUICK]) as emulator, calling(emulator) as call:
        await call.conversation.send_user_message("Hello")
        await call.phone.hears(200 * 32)
        await call.conversation.send_user_message("Stop")
        await call.phone.interrupted.wait()
        before = call.phone.heard_bytes
        await call.phone.hears(before + 300 * 32)


async def test_an_agent_that_wants_a_signed_url_gets_one() -> None:
    """And the end of its id says which audio it speaks."""
    async with (
        emulating("elevenlabs", [QUICK]) as emulator,
        calling(emulator, "agent_ulaw_8000", requires_auth=True) as call,
    ):
        await call.conversation.send_user_message("Hello")
        await call.phone.hears(300 * 8)
        assert call.phone.heard_bytes == 300 * 8


async def test_nonsense_closes_the_socket_with_a_reason() -> None:
    async with (
        emulating("elevenlabs", []) as emulator,
        aiohttp.ClientSession() as http,
        http.ws_connect(emulator.url) as socket,
    ):
        await socket.send_str("{")
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1008
        assert message.extra
