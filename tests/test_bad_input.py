"""Bad input over real sockets: a clear, logged, typed error or declared tolerance; then the next call works.

Every test leaves through `bridged`, which checks that no task is left, every handle is resolved, and every journal
is complete and replays equal.
"""

import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import WSMsgType, web

from bargein.runtime.bridge import CARRIER_MESSAGE_BYTES
from bargein.runtime.dialing import PROVIDER_MESSAGE_BYTES
from bargein.runtime.driver import Limits
from bargein.simulator.caller import Caller, call
from bargein.simulator.emulator import Plan, PlannedItem
from bargein.simulator.voice import speech

from .bridged import World, bridged, served

pytestmark = pytest.mark.anyio

LONG = Plan(speed=20.0, items=(PlannedItem(ms=3000),))
SHORT = Plan(speed=20.0, items=(PlannedItem(ms=100),))

Speak = Callable[[web.WebSocketResponse], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "bargein")
    return caplog


def codes(log: pytest.LogCaptureFixture) -> list[str]:
    """The stable codes of what was logged as wrong."""
    return [
        str(getattr(record, "code", None))
        for record in log.records
        if record.name == "bargein" and record.levelno >= logging.WARNING
    ]


async def works(world: World) -> None:
    """The bridge is still there for the next caller."""
    async with call(world.url) as caller:
        assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 100)
    assert caller.ear.faults() == []


def provider(*speak: Speak) -> Callable[[web.Request], Awaitable[web.WebSocketResponse]]:
    """A provider that does `speak` with its first connections, one each, and then greets as it should."""
    left = list(speak)

    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(timeout=0.2)
        await websocket.prepare(request)
        await (left.pop(0) if left else answers)(websocket)
        return websocket

    return handle


async def answers(websocket: web.WebSocketResponse, times: int = 9) -> None:
    """Answer so many requests, each with 100 ms of one item."""
    number = 0
    async for message in websocket:
        said = json.loads(message.data)
        if said["type"] != "response.create":
            continue
        number += 1
        response = {"id": f"resp_{number}", "metadata": said["response"]["metadata"]}
        where = {"response_id": f"resp_{number}", "item_id": f"item_{number}", "content_index": 0}
        delta = b64encode(speech(number, 0, 100)).decode()
        for event in (
            {"type": "response.created", "response": response},
            {"type": "response.output_audio.delta", "delta": delta, **where},
            {"type": "response.done", "response": {**response, "status": "completed"}},
        ):
            await websocket.send_json(event)
        if number == times:
            return


@asynccontextmanager
async def against(folder: Path, *speak: Speak, **options: Any) -> AsyncIterator[World]:  # noqa: ANN401
    """A bridge whose provider does `speak`, and is well again for the call after."""
    async with (
        served(provider(*speak)) as url,
        bridged(folder, provider_url=url, greet="Hello.", **options) as world,
    ):
        yield world
        await works(world)


# -- what the provider says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        ("{", "provider.malformed"),
        ("no json", "provider.malformed"),
        ("[]", "provider.malformed"),
        ("{}", "provider.malformed"),
        ('{"type": 7}', "provider.malformed"),
        ('{"type": null}', "provider.malformed"),
        ("[" * 10_000, "provider.malformed"),
        (b"\x00\x01\xff", "provider.malformed"),
        (b'{"type": "response.unheard_of"}', None),
        ('{"type": "response.unheard_of", "x": {}}', None),
        ('{"type": "response.created"}', "provider.malformed"),
        ('{"type": "response.created", "response": {}}', None),
        ('{"type": "response.created", "response": {"id": 7}}', "provider.malformed"),
        ('{"type": "response.output_audio.delta", "delta": "AAAA"}', None),
        (
            '{"type": "response.output_audio.delta", "delta": "!", "response_id": "r", "item_id": "i"}',
            "provider.malformed",
        ),
        (
            '{"type": "response.output_audio.delta", "delta": 7, "response_id": "r", "item_id": "i"}',
            "provider.malformed",
        ),
        ('{"type": "response.done", "response": {"id": "resp_99", "status": "completed"}}', None),
        ('{"type": "response.done", "response": {"id": ["x"]}}', "provider.malformed"),
        ('{"type": "conversation.item.truncated", "item_id": "item_99"}', None),
        ('{"type": "conversation.item.truncated"}', "provider.malformed"),
        ('{"type": "error", "error": {"code": "odd", "message": "Odd."}}', "provider.odd"),
        ('{"type": "error"}', None),
        ('{"type": "error", "error": "odd"}', None),
    ],
)
async def test_junk_from_the_provider_is_survived(
    tmp_path: Path, log: pytest.LogCaptureFixture, junk: str | bytes, code: str | None
) -> None:
    """It is logged with its code or passed on; the greeting is heard all the same."""

    async def speaks(websocket: web.WebSocketResponse) -> None:
        frame = WSMsgType.TEXT if isinstance(junk, str) else WSMsgType.BINARY
        await websocket.send_frame(junk.encode() if isinstance(junk, str) else junk, frame)
        await answers(websocket)

    async with against(tmp_path, speaks) as world:
        await works(world)
    if code is not None:
        assert codes(log) == [code]


@pytest.mark.parametrize("junk", [b"\xff\xfe", b'{"type": "\xff"}'])
async def test_text_that_is_no_utf8_ends_the_providers_side(
    tmp_path: Path, log: pytest.LogCaptureFixture, junk: bytes
) -> None:
    """The websocket protocol says so (RFC 6455, 8.1): close code 1007."""

    async def speaks(websocket: web.WebSocketResponse) -> None:
        await websocket.send_frame(junk, WSMsgType.TEXT)
        async for _ in websocket:
            pass
        assert websocket.close_code == 1007

    async with against(tmp_path, speaks) as world:
        await lost(world)
    assert codes(log)[:2] == ["provider.connection_lost", "ended.provider_lost"]


async def test_a_flood_of_junk_is_logged_once(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """A peer must not be able to fill the disk with our words."""

    async def speaks(websocket: web.WebSocketResponse) -> None:
        for _ in range(200):
            await websocket.send_str("junk")
        await answers(websocket)

    async with against(tmp_path, speaks) as world:
        await works(world)
    assert codes(log) == ["provider.malformed"]


async def test_a_message_beyond_the_limit_ends_the_providers_side(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """16 MiB from a provider; the close code tells it why."""

    async def speaks(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str("y" * (PROVIDER_MESSAGE_BYTES + 1))
        async for _ in websocket:
            pass
        assert websocket.close_code == 1009

    async with against(tmp_path, speaks) as world:
        await lost(world)
    assert codes(log)[:2] == ["provider.connection_lost", "ended.provider_lost"]


# -- a provider that is not there -------------------------------------------------------------------


async def lost(world: World) -> dict[str, Any]:
    """Call and be told that nobody is there: the carrier's socket is closed with 1011."""
    async with call(world.url) as caller:
        await caller.closed.wait()
    assert caller.close_code == 1011
    ended = (await world.ended())[0]
    assert all(verdict != "pending" for verdict in ended["handles"].values())
    return ended


async def test_a_provider_whose_port_is_closed(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """One clear error; the next call is refused as clearly."""
    async with served(provider()) as url:
        pass
    async with bridged(tmp_path, provider_url=url, greet="Hello.") as world:
        ended = await lost(world)
        assert ended["ended"]["code"] == "refused"
        assert f"{url} cannot be reached: " in ended["ended"]["reason"]
        await lost(world)
    assert codes(log) == ["provider.connection_lost", "ended.refused"] * 2


@pytest.mark.parametrize("status", [401, 403, 429, 500, 302])
async def test_a_provider_that_refuses_the_handshake(
    tmp_path: Path, log: pytest.LogCaptureFixture, status: int
) -> None:
    """The HTTP status is in the error; the key is not."""
    left = [status]

    async def handle(request: web.Request) -> web.StreamResponse:
        if left:
            return web.Response(status=left.pop(), text="no")
        return await provider()(request)

    async with served(handle) as url:
        options: dict[str, Any] = {"provider_url": url + "?token=hidden", "api_key": "sk-hidden"}
        async with bridged(tmp_path, greet="Hello.", **options) as world:
            ended = await lost(world)
            assert ended["ended"] == {
                "code": "refused",
                "reason": f"{url} refused us: HTTP {status}",
            }
            await works(world)
    assert codes(log) == ["provider.connection_lost", "ended.refused"]
    assert "hidden" not in log.text


async def test_a_provider_whose_handshake_hangs(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """The time to connect is bounded."""
    left = [True]

    async def handle(request: web.Request) -> web.StreamResponse:
        if left:
            left.clear()
            await anyio.sleep_forever()
        return await provider()(request)

    async with served(handle) as url:
        options: dict[str, Any] = {"provider_url": url, "connect_timeout_s": 0.1}
        async with bridged(tmp_path, greet="Hello.", **options) as world:
            ended = await lost(world)
            assert ended["ended"]["reason"] == f"{url} did not answer within 0.1 s"
            await works(world)


async def test_a_caller_who_hangs_up_before_the_provider_answers(tmp_path: Path) -> None:
    """Connecting is given up at once; nobody waits for it."""
    left = [True]

    async def handle(request: web.Request) -> web.StreamResponse:
        if left:
            left.clear()
            await anyio.sleep_forever()
        return await provider()(request)

    async with served(handle) as url, bridged(tmp_path, provider_url=url, greet="Hello.") as world:
        async with call(world.url) as caller:
            await caller.listens(100)
        assert (await world.ended())[0]["ended"]["code"] == "hung_up"
        await works(world)


async def test_a_provider_that_drops_in_the_middle_of_speech(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """A torso is silenced and the caller's line closed; the handle is failed, not forgotten."""
    drops = Plan(speed=5.0, items=(PlannedItem(ms=3000),), drop_connection_after_ms=300)
    async with bridged(tmp_path, [drops], greet="Hello.") as world:
        async with call(world.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 50)
            await caller.closed.wait()
        assert caller.close_code == 1011
        ended = (await world.ended())[0]
        assert ended["handles"] == {"bargein_req_1": "failed"}
        assert ended["responses"][0]["code"] == "connection_lost"
    assert codes(log) == ["provider.connection_lost", "ended.provider_lost"]


async def test_speech_that_arrived_in_full_is_heard_although_the_provider_is_gone(
    tmp_path: Path,
) -> None:
    """The call ends when the sentence does."""

    async def speaks(websocket: web.WebSocketResponse) -> None:
        await answers(websocket, times=1)
        await websocket.close()

    async with against(tmp_path, speaks) as world:
        async with call(world.url) as caller:
            await caller.closed.wait()
        assert caller.ear.heard_ms(1) == 100
        assert caller.close_code == 1011
        assert (await world.ended())[0]["handles"] == {"bargein_req_1": "completed"}


# -- what the carrier says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        ("{", "transport.malformed"),
        ("", "transport.malformed"),
        ("[]", "transport.malformed"),
        ("{}", "transport.malformed"),
        ('{"event": 7}', "transport.malformed"),
        (b"\xff\x00" * 80, "transport.malformed"),
        (b'{"event": "connected"}', None),
        ('{"event": "dance"}', None),
        ('{"event": "media"}', "transport.malformed"),
        ('{"event": "media", "media": {"payload": 7}}', "transport.malformed"),
        ('{"event": "media", "media": {"payload": "!"}}', "transport.malformed"),
        ('{"event": "media", "media": {"payload": ""}}', None),
        ('{"event": "mark", "mark": {}}', "transport.malformed"),
        ('{"event": "mark", "mark": {"name": "nobody\'s"}}', None),
        ('{"event": "mark", "mark": {"name": "bargein_mark_99"}}', None),
        ('{"event": "dtmf", "dtmf": {"digit": 5}}', "transport.malformed"),
        ('{"event": "start"}', "transport.malformed"),
        ('{"event": "start", "start": {"streamSid": 7}}', "transport.malformed"),
    ],
)
async def test_junk_from_the_carrier_is_survived(
    tmp_path: Path, log: pytest.LogCaptureFixture, junk: str | bytes, code: str | None
) -> None:
    """It is logged with its code or passed on; the greeting is heard all the same."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:
        async with call(world.url) as caller:
            await caller.sends(junk)
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) == 100)
            await caller.sends(junk)
        await works(world)
    assert codes(log) == ([] if code is None else [code])


async def test_a_carrier_that_never_starts_a_stream(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """It is given up after the time it may take; nothing was said to it."""
    limits = Limits(start_ms=150)
    async with bridged(tmp_path, [SHORT], greet="Hello.", limits=limits) as world:
        async with call(world.url, sends_start=False) as caller:
            await caller.closed.wait()
        assert caller.close_code == 1011
        assert (await world.ended())[0]["ended"] == {
            "code": "carrier_lost",
            "reason": "the carrier never started a stream",
        }
        assert caller.ear.segments == ()
        await works(world)
    assert codes(log) == ["transport.connection_lost", "ended.carrier_lost"]


async def test_a_stop_in_the_middle_of_speech(tmp_path: Path) -> None:
    """The model is told what was heard, although nobody listens any more."""
    async with bridged(tmp_path, [LONG], greet="Hello.") as world:
        async with call(world.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 300)
        ended = (await world.ended())[0]
        assert ended["handles"] == {"bargein_req_1": "interrupted"}
        await remembers(world, caller)


async def test_a_carrier_that_vanishes_without_a_close_frame(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """The same, and logged: somebody cut the line."""
    async with bridged(tmp_path, [LONG], greet="Hello.") as world:
        async with call(world.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 300)
            await caller.drops()
        ended = (await world.ended())[0]
        assert ended["handles"] == {"bargein_req_1": "interrupted"}
        await remembers(world, caller)
    assert codes(log) == ["transport.connection_lost", "ended.carrier_lost"]


async def remembers(world: World, caller: Caller) -> None:
    """The server's memory ends where the caller's hearing did, within a mark and two frames."""
    model = world.emulator.connections[0].model
    heard_ms = caller.ear.heard_ms(1)
    while True:
        item = next(item for item in model.memory() if item.role == "assistant")
        if item.remembered_ms <= heard_ms:
            break
        await anyio.sleep(0.005)
    assert heard_ms - item.remembered_ms <= 160


async def test_a_message_beyond_the_limit_ends_the_carriers_side(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """1 MiB from a carrier."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:
        async with call(world.url) as caller:
            await caller.sends("x" * (CARRIER_MESSAGE_BYTES + 1))
            await caller.closed.wait()
        assert caller.close_code in (1009, 1006)  # A reset may overtake the goodbye.
        reason = (await world.ended())[0]["ended"]["reason"]
        assert reason == "it broke the protocol: Message size 1048577 exceeds limit 1048576"
        await works(world)
    assert codes(log) == ["transport.connection_lost", "ended.carrier_lost"]


STEPS: dict[str, Callable[[dict[str, Any]], object]] = {
    "connected": lambda told: True,
    "started": lambda told: told["stream"],
    "requested": lambda told: told["responses"],
    "created": lambda told: told["responses"] and told["responses"][0]["response"],
    "streaming": lambda told: told["responses"] and told["responses"][0]["items"],
    "heard": lambda told: told["responses"] and any(
        item["heard_ms"] for item in told["responses"][0]["items"]
    ),
    "done": lambda told: told["responses"] and told["responses"][0]["state"] == "done",
    "interrupted": lambda told: told["responses"] and told["responses"][0]["verdict"],
    "over": lambda told: told["responses"] and not told["responses"][0]["live"],
}  # fmt: skip


@pytest.mark.parametrize("side", ["carrier", "provider"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_socket_closed_at_every_step_of_a_call(
    tmp_path: Path, side: str, step: str
) -> None:
    """Whichever side, whenever: the other is closed, handles resolve, and the next call works."""
    plan = Plan(created_after_ms=60, speed=8.0, items=(PlannedItem(ms=1500),))
    async with bridged(tmp_path, [plan], greet="Hello.") as world:
        async with call(world.url) as caller:
            if step in ("interrupted", "over"):
                told = await world.until(STEPS["heard"])
                await world.post(f"/calls/{told['id']}/interrupt")
            await world.until(STEPS[step])
            if side == "carrier":
                await caller.drops()
            else:
                while not world.emulator.connections:
                    await anyio.sleep(0.001)
                world.emulator.connections[0].close()
            await caller.closed.wait()
        ended = (await world.ended())[0]
        assert ended["ended"]["code"] == ("carrier_lost" if side == "carrier" else "provider_lost")
        await works(world)


async def test_what_is_no_websocket_handshake_starts_no_call(tmp_path: Path) -> None:
    """No HTTP, half a handshake, a wrong version: no call begins, and none is harmed."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:
        host, _, port = world.bridge.authority.rpartition(":")
        for garbage in (
            b"\x16\x03\x01\x00\xa5",
            b"GET /twilio HTTP/1.1\r\nHost: x\r\nUpgrade: webso",
            b"GET /twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        ):
            async with await anyio.connect_tcp(host, int(port)) as connection:
                await connection.send(garbage)
        assert len(world.bridge.calls) == 0
        await works(world)


async def test_frames_that_are_no_websocket_frames(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """After the handshake somebody writes noise: that call ends, typed."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:
        async with world.http.ws_connect(world.url) as websocket:
            raw: Any = websocket._writer
            raw.transport.write(b"\xff\xff\xff\xff")
            assert (await websocket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        assert (await world.ended())[0]["ended"]["code"] == "carrier_lost"
        await works(world)
    assert codes(log) == ["transport.connection_lost", "ended.carrier_lost"]


async def test_a_provider_that_answers_no_ping_is_given_up(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may be dead without anybody having closed it."""
    monkeypatch.setattr("bargein.runtime.bridge._PROVIDER_PING_S", 0.1)

    async def speaks(websocket: web.WebSocketResponse) -> None:
        raw: Any = websocket._req
        raw.transport.pause_reading()
        await anyio.sleep(0.4)
        raw.transport.resume_reading()

    async with against(tmp_path, speaks) as world:
        async with call(world.url) as caller:
            await caller.closed.wait()
        assert caller.close_code == 1011
        ended = (await world.ended())[0]["ended"]
        assert ended["code"] == "provider_lost"
        assert "no answer to a ping for 0.1 s" in ended["reason"]
        async with call(world.url) as caller:  # Who answers is left alone.
            await caller.listens(350)
            assert not caller.closed.is_set()
    assert codes(log) == ["provider.connection_lost", "ended.provider_lost"]
