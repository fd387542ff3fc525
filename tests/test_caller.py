"""The scripted caller on real sockets, against a tiny app that speaks Media Streams by hand."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from bargein.simulator.caller import Caller, call
from bargein.simulator.twilio import TwilioCarrier
from bargein.simulator.voice import is_silence, speech

pytestmark = pytest.mark.anyio

SID = TwilioCarrier.stream_sid


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class App:
    """One connection as the app sees it: what arrived and when."""

    def __init__(self, websocket: web.WebSocketResponse) -> None:
        self.websocket = websocket
        self.arrived: list[tuple[float, dict[str, Any]]] = []
        self.junk: list[str | bytes] = []

    async def reads(self) -> None:
        """To the end of the connection."""
        async for frame in self.websocket:
            try:
                self.arrived.append((anyio.current_time(), json.loads(frame.data)))
            except ValueError:
                self.junk.append(frame.data)

    async def plays(self, item: int, start_ms: int, duration_ms: int) -> None:
        payload = base64.b64encode(speech(item, start_ms, duration_ms)).decode()
        await self.sends(event="media", media={"payload": payload})

    async def marks(self, name: str) -> None:
        await self.sends(event="mark", mark={"name": name})

    async def clears(self) -> None:
        await self.sends(event="clear")

    async def sends(self, **fields: object) -> None:
        await self.websocket.send_json({"streamSid": SID, **fields})

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.arrived if message["event"] == kind]

    def marks_back(self) -> list[str]:
        return [message["mark"]["name"] for message in self.events("mark")]


Behaviour = Callable[[App], Awaitable[None]]


@asynccontextmanager
async def an_app(behaves: Behaviour) -> AsyncIterator[tuple[str, list[App]]]:
    """A real server on a port of the system's choosing; gives its URL and the connections it had."""
    apps: list[App] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(timeout=1.0)
        await websocket.prepare(request)
        app = App(websocket)
        apps.append(app)
        await behaves(app)
        return websocket

    server = web.Application()
    server.router.add_get("/twilio", answer)
    runner = web.AppRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        with anyio.fail_after(10):
            yield f"ws://{host}:{port}/twilio", apps
    finally:
        await runner.cleanup()


async def test_a_call_opens_talks_and_ends_as_documented() -> None:
    async with an_app(App.reads) as (url, apps):
        async with call(url, speed=4) as caller:
            await caller.listens(100)
            await caller.says(100)
            await caller.presses("5")
            await caller.sends("junk")
            await caller.sends(b"\x00")
            await caller.hangs_up()
        app = apps[0]
        kinds = [message["event"] for _, message in app.arrived]
        assert kinds[:2] == ["connected", "start"] and kinds[-1] == "stop"
        assert app.junk == ["junk", b"\x00"]
        numbers = [int(m["sequenceNumber"]) for _, m in app.arrived if m["event"] != "connected"]
        assert numbers == list(range(1, len(numbers) + 1))
        frames = [message["media"] for message in app.events("media")]
        assert [int(frame["chunk"]) for frame in frames] == list(range(1, len(frames) + 1))
        assert [int(f["timestamp"]) for f in frames] == list(range(0, 20 * len(frames), 20))
        loud = [not is_silence(base64.b64decode(frame["payload"])) for frame in frames]
        assert sum(loud) == 5 and not any(loud[:5])
        assert app.events("dtmf")[0]["dtmf"]["digit"] == "5"
        assert caller.close_code == 1000


async def test_frames_leave_and_marks_come_back_in_real_time() -> None:
    """A mark early would claim what nobody heard; late, it would delay whoever waits for it."""
    sent_at = 0.0

    async def behaves(app: App) -> None:
        nonlocal sent_at
        sent_at = anyio.current_time()
        await app.plays(1, 0, 200)
        await app.marks("first")
        await app.plays(1, 200, 100)
        await app.marks("second")
        await app.reads()

    async with an_app(behaves) as (url, apps):
        async with call(url) as caller:
            assert await caller.listens(until=lambda ear: ear.heard_ms(1) >= 300)
            await caller.listens(60)
        app = apps[0]
        assert app.marks_back() == ["first", "second"]
        arrived_ms = [1000 * (at - sent_at) for at, m in app.arrived if m["event"] == "mark"]
        assert 195 <= arrived_ms[0] < 1000 and 295 <= arrived_ms[1] < 1000  # above: a busy machine
        assert 15 <= len(app.events("media")) <= caller.now_ms / 20 + 2
        assert caller.ear.faults() == []
        assert caller.ear.heard_ms(1) == 300


async def test_a_clear_silences_the_ear_and_returns_the_marks() -> None:
    async def behaves(app: App) -> None:
        for at_ms in range(0, 4000, 500):
            await app.plays(1, at_ms, 500)
            await app.marks(f"A:{at_ms + 500}")
        while not any(
            not is_silence(base64.b64decode(m["media"]["payload"])) for m in app.events("media")
        ):
            frame = await app.websocket.receive_json()
            app.arrived.append((0.0, frame))
        await app.clears()
        await app.plays(2, 0, 100)
        await app.marks("B:100")
        await app.reads()

    async with an_app(behaves) as (url, apps):
        async with call(url, speed=2) as caller:
            await caller.listens(until=lambda ear: ear.heard_ms(1) >= 700)
            await caller.says(200)
            assert await caller.listens(until=lambda ear: ear.heard_ms(2) >= 100)
            await caller.listens(200)
        assert apps[0].marks_back() == [f"A:{at}" for at in range(500, 4001, 500)] + ["B:100"]
        assert 700 <= caller.ear.heard_ms(1) < 3000
        assert caller.ear.items == [1, 2] and caller.ear.faults() == []
        assert caller.carrier.warnings == ()


async def test_the_carrier_s_meaning_of_a_clear_is_a_choice() -> None:
    async def behaves(app: App) -> None:
        await app.plays(1, 0, 5000)
        await app.marks("never")
        await app.clears()
        await app.marks("at once")
        await app.reads()

    async with an_app(behaves) as (url, apps):
        async with call(url, carrier=TwilioCarrier(marks_on_clear="dropped"), speed=5) as caller:
            await caller.listens(200)
        assert apps[0].marks_back() == ["at once"]


async def test_a_caller_that_never_sends_start() -> None:
    async with an_app(App.reads) as (url, apps):
        async with call(url, sends_start=False, speed=5) as caller:
            await caller.listens(100)
        assert apps[0].events("connected") and apps[0].events("media")
        assert apps[0].events("start") == []


async def test_a_dropped_call_says_no_goodbye() -> None:
    async def behaves(app: App) -> None:
        await app.plays(1, 0, 5000)
        await app.reads()

    async with an_app(behaves) as (url, apps):
        async with call(url, speed=5) as caller:
            await caller.listens(until=lambda ear: ear.heard_ms(1) >= 50)
            await caller.drops()
            assert caller.close_code == 1006
            heard_ms = caller.ear.heard_ms(1)
            assert await caller.listens(1000) is False
            assert caller.ear.heard_ms(1) == heard_ms
        await anyio.wait_all_tasks_blocked()
        assert apps[0].events("stop") == []
        assert apps[0].websocket.close_code == 1006


async def test_when_the_app_closes_every_step_of_the_script_returns() -> None:
    """A test of a bridge that fails must fail, not hang."""

    async def behaves(app: App) -> None:
        await app.plays(1, 0, 5000)
        await app.websocket.receive()
        await app.websocket.close(code=4000)

    async with an_app(behaves) as (url, _), call(url) as caller:
        assert await caller.listens(until=lambda ear: ear.heard_ms(1) >= 5000) is False
        assert caller.close_code == 4000
        await caller.says(1000)
        await caller.presses("1")
        await caller.sends("junk")
        await caller.hangs_up()
        await caller.drops()
        assert caller.ear.heard_ms(1) < 1000


@pytest.mark.parametrize(
    "stuck", [lambda c: c.listens(), lambda c: c.says(60_000), lambda c: c.closed.wait()]
)
async def test_a_cancelled_script_leaves_nothing_running(
    stuck: Callable[[Caller], Awaitable[object]],
) -> None:
    async with an_app(App.reads) as (url, apps):
        with anyio.move_on_after(0.1) as scope:
            async with call(url) as caller:
                await stuck(caller)
        assert scope.cancelled_caught
        assert caller.closed.is_set()
        with anyio.fail_after(2):
            while not apps[0].websocket.closed:
                await anyio.lowlevel.checkpoint()


async def test_what_the_script_raises_comes_out_as_it_is() -> None:
    """A failed assertion in a script must read as one."""
    async with an_app(App.reads) as (url, _):
        with pytest.raises(AssertionError, match="heard"):
            async with call(url):
                raise AssertionError("heard nothing")


async def test_an_app_that_does_not_answer_is_an_error_at_once() -> None:
    with anyio.fail_after(10), pytest.raises(aiohttp.ClientError):
        async with call("ws://127.0.0.1:1/twilio"):
            pass


async def test_an_app_that_never_answers_a_close_does_not_hold_the_caller() -> None:
    release = anyio.Event()

    async def behaves(app: App) -> None:
        await release.wait()

    async with an_app(behaves) as (url, _):
        async with call(url) as caller:
            await caller.hangs_up()
        assert caller.close_code == 1006
        release.set()
