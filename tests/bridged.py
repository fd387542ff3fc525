"""A bridge with its control API between an emulated provider and whoever calls, on real local sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from aiohttp import web

from bargein import adapters
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.bridge import Bridge
from bargein.runtime.control import Control
from bargein.runtime.replay import ReplayResult, replay
from bargein.simulator.emulator import Emulator, Plan

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")


class World:
    """What the tests ask and look at."""

    def __init__(
        self, bridge: Bridge, control: Control, http: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        self.bridge = bridge
        self.control = control
        self.http = http
        self.emulator = emulator
        self.url = bridge.url

    async def call(self, state: str = "active") -> dict[str, Any]:
        """The newest call in that state, as the control API tells it; waits for one."""
        while True:
            for summary in reversed((await self.get("/calls"))[1]["calls"]):
                if summary["state"] == state:
                    _, call = await self.get(f"/calls/{summary['id']}")
                    return dict(call)
            await anyio.sleep(0.005)

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """The first `count` calls that ended; waits for them."""
        while True:
            calls = (await self.get("/calls"))[1]["calls"]
            over = [call for call in calls if call["state"] == "ended"]
            if len(over) >= count:
                return [(await self.get(f"/calls/{call['id']}"))[1] for call in over]
            await anyio.sleep(0.005)

    async def until(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The active call, once that is true of it."""
        while True:
            call = await self.call()
            if true(call):
                return call
            await anyio.sleep(0.005)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:  # noqa: ANN401
        async with self.http.get(self.control.url + path, **options) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: object = None, **options: Any) -> tuple[int, Any]:  # noqa: ANN401
        if body is not None:
            options["json"] = body
        async with self.http.post(self.control.url + path, **options) as response:
            return response.status, await response.json()


@asynccontextmanager
async def bridged(
    folder: Path,
    plans: Sequence[Plan] = (),
    *,
    provider: ProviderAdapter = OPENAI,
    transport: TransportAdapter = TWILIO,
    token: str | None = None,
    within_s: float = 20.0,
    provider_url: str | None = None,
    query: str = "",
    **options: Any,  # noqa: ANN401
) -> AsyncIterator[World]:
    """A world for one test. Whatever the test does to it: nothing may be left, and every journal must replay.

    `query` is asked of the emulator, whose URL has none.
    """
    before = asyncio.all_tasks()
    with anyio.fail_after(within_s):
        async with (
            aiohttp.ClientSession() as http,
            Emulator(plans, provider=provider.name) as emulator,
            Bridge(
                provider,
                transport,
                provider_url=provider_url or emulator.url + query,
                journals=folder,
                **options,
            ) as bridge,
            Control(bridge.calls, token=token) as control,
        ):
            yield World(bridge, control, http, emulator)
        await anyio.sleep(0)
        while asyncio.all_tasks() - before:  # Sockets that are being closed.
            await anyio.sleep(0.005)
    assert not len(bridge.calls)
    for summary in bridge.calls.summaries():
        call = bridge.calls.snapshot(summary["id"])
        assert call is not None and "pending" not in call["handles"].values()
    for path in folder.glob("*.jsonl"):
        result = replayed(path, provider, transport)
        assert result.same, result.difference
        assert result.warnings == ()


def replayed(
    path: Path, provider: ProviderAdapter = OPENAI, transport: TransportAdapter = TWILIO
) -> ReplayResult:
    return replay(path, {provider.name: provider}, {transport.name: transport})


@asynccontextmanager
async def served(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A provider of the test's own."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
