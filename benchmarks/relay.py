"""The yardstick: a raw relay between two sockets, by the same library the bridge uses.

For every carrier that connects it opens one connection to the provider and moves frames between the two, as bytes,
without looking at them. This is the least that any bridge built on `aiohttp` does.

    python -m benchmarks.relay ws://127.0.0.1:9001/     prints the port it listens on
"""

import asyncio
import sys
from contextlib import suppress

from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web


async def _move(
    source: "web.WebSocketResponse[bool] | ClientWebSocketResponse[bool]",
    sink: "web.WebSocketResponse[bool] | ClientWebSocketResponse[bool]",
) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await sink.send_frame(message.data, WSMsgType.TEXT)


async def serve(provider_url: str) -> None:
    """Relay every carrier to `provider_url` until cancelled."""
    async with ClientSession(connector=TCPConnector(limit=0)) as client:

        async def call(request: web.Request) -> web.StreamResponse:
            carrier = web.WebSocketResponse(compress=False, decode_text=False)
            await carrier.prepare(request)
            async with client.ws_connect(provider_url, decode_text=False) as provider:
                ways = [
                    asyncio.ensure_future(_move(carrier, provider)),
                    asyncio.ensure_future(_move(provider, carrier)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            await carrier.close()
            return carrier

        app = web.Application()
        app.router.add_get("/{path:.*}", call)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1]))
