"""The Gemini Live emulator, as the official client `google-genai` sees it."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession

from bargein.simulator.emulator import Emulator, Plan, PlannedItem
from bargein.simulator.voice import caller_speech, silence

from .emulators import LONG, QUICK, emulating, remembered_ms

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The client runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "emulator")])
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    today = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(place, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + signed.public_bytes(encoding))
    return file


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The emulator's end; the client trusts what SSL_CERT_FILE names, as its documentation says."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def official(emulator: Emulator, **config: Any) -> AsyncIterator[AsyncSession]:  # noqa: ANN401
    """The official client, with nothing changed but its base URL. It takes `wss://` for granted."""
    options = types.HttpOptions(base_url=emulator.base_url)
    client = genai.Client(api_key="unchecked", http_options=options)
    config = {"response_modalities": ["AUDIO"]} | config
    try:
        async with client.aio.live.connect(model="gemini-live", config=config) as session:  # type: ignore[arg-type]
            yield session
    finally:
        await client.aio.aclose()
        client.close()


async def asks(session: AsyncSession, text: str) -> None:
    turn = types.Content(role="user", parts=[types.Part(text=text)])
    await session.send_client_content(turns=turn, turn_complete=True)


async def speaks(session: AsyncSession, audio: bytes) -> None:
    await session.send_realtime_input(
        audio=types.Blob(data=audio, mime_type="audio/pcm;rate=16000")
    )


async def turn(session: AsyncSession) -> list[types.LiveServerMessage]:
    """All messages to the end of the turn: the client's iterator ends there."""
    return [message async for message in session.receive()]


def audio_ms(messages: list[types.LiveServerMessage]) -> int:
    return sum(len(message.data or b"") for message in messages) // 48


def interrupted(messages: list[types.LiveServerMessage]) -> bool:
    return any(m.server_content and m.server_content.interrupted for m in messages)


async def test_the_official_client_is_answered(tls: ssl.SSLContext) -> None:
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=300, text="Good morning"),), speed=50.0)
    async with (
        emulating("gemini", [plan], tls) as emulator,
        official(emulator, output_audio_transcription={}) as session,
    ):
        await asks(session, "Hello")
        messages = await turn(session)
        assert audio_ms(messages) == 300
        contents = [m.server_content for m in messages if m.server_content]
        said = [c.output_transcription.text or "" for c in contents if c.output_transcription]
        assert "".join(said).strip() == "Good morning"
        assert [c.generation_complete for c in contents if c.generation_complete] == [True]
        assert contents[-1].turn_complete
        assert remembered_ms(emulator) == [300]


async def test_the_caller_interrupts_and_is_answered(tls: ssl.SSLContext) -> None:
    """By the server's own VAD: what is not silence is speech, 200 ms of silence end it."""
    async with emulating("gemini", [LONG, QUICK], tls) as emulator, official(emulator) as session:
        await asks(session, "Hello")
        messages = []
        async for message in session.receive():
            messages.append(message)
            if len(messages) == 2:
                await speaks(session, caller_speech(300, 32) + silence(220, 32))
        assert interrupted(messages)
        messages = await turn(session)
        assert not interrupted(messages)
        assert audio_ms(messages) == 300


async def test_another_question_interrupts_too(tls: ssl.SSLContext) -> None:
    """`clientContent` is the only way to stop a turn: `interrupted`, then the answer to it."""
    async with emulating("gemini", [LONG, QUICK], tls) as emulator, official(emulator) as session:
        await asks(session, "Hello")
        async for message in session.receive():
            if message.data:
                await asks(session, "Stop")
                break
        assert interrupted(await turn(session))
        assert audio_ms(await turn(session)) == 300


async def test_a_turn_waits_for_the_result_of_its_call(tls: ssl.SSLContext) -> None:
    call = PlannedItem(kind="function_call", name="weather", text='{"town":"Rome"}')
    plan = Plan(created_after_ms=5, items=(call, PlannedItem(ms=200)), speed=50.0)
    async with emulating("gemini", [plan], tls) as emulator, official(emulator) as session:
        await asks(session, "How is the weather?")
        messages = []
        async for message in session.receive():
            messages.append(message)
            if message.tool_call and message.tool_call.function_calls:
                (asked,) = message.tool_call.function_calls
                assert (asked.name, asked.args) == ("weather", {"town": "Rome"})
                await session.send_tool_response(
                    function_responses=types.FunctionResponse(
                        id=asked.id, name=asked.name, response={"degrees": 12}
                    )
                )
        assert audio_ms(messages) == 200


async def test_speech_after_the_turns_end_is_told_while_it_still_plays(tls: ssl.SSLContext) -> None:
    """300 ms were said in a few: a client that plays them is interrupted all the same."""
    async with emulating("gemini", [QUICK], tls) as emulator, official(emulator) as session:
        await asks(session, "Hello")
        await turn(session)
        await speaks(session, caller_speech(40, 32) + silence(240, 32))
        assert interrupted(await turn(session))


async def test_what_the_server_does_not_take_closes_the_socket(tls: ssl.SSLContext) -> None:
    """1007 and the reason, as the client reports it; the plan's drop is 1006, as it reports that."""
    plan = Plan(created_after_ms=10_000, drop_connection_after_ms=50)
    async with emulating("gemini", [plan], tls) as emulator:
        async with official(emulator) as session:
            await session.send_realtime_input(activity_start=types.ActivityStart())
            with pytest.raises(errors.APIError, match="Explicit activity control") as refused:
                await turn(session)
            assert refused.value.code == 1007
        async with official(emulator) as session:
            await asks(session, "Hello")
            with pytest.raises(errors.APIError) as dropped:
                await turn(session)
            assert dropped.value.code == 1006


async def test_gemini_without_tls_is_for_clients_of_your_own() -> None:
    """The same server on `ws://`, at any version of the API, for text and binary frames alike."""
    async with emulating("gemini", [QUICK]) as emulator, aiohttp.ClientSession() as http:
        url = emulator.url.replace("v1beta", "v1alpha")
        async with http.ws_connect(url) as socket:
            await socket.send_bytes(b'{"setup": {"model": "models/any"}}')
            assert await socket.receive_json() == {"setupComplete": {}}
