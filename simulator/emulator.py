"""A network emulator of the providers' servers: the model, real sockets, real time.

Any client that lets its server's address be changed can talk to it. It decides nothing by itself: what each response
does is a `Plan`, what the server answers is the model's, which models there are says `emulated.py`. Keys are not
looked at.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

import anyio
from aiohttp import web

from bargein.runtime.errors import UsageError
from bargein.runtime.streams import listen

from .emulated import EMULATED, NO_WEBSOCKET, Opening, Page
from .emulator_connection import Connection, OnEvent, SilenceRule
from .emulator_deeds import Deeds
from .emulator_plan import Plan, PlannedItem, load_plans

__all__ = [
    "EMULATED",
    "NO_WEBSOCKET",
    "Connection",
    "Emulator",
    "OnEvent",
    "Plan",
    "PlannedItem",
    "SilenceRule",
    "load_plans",
    "serve",
]

_MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024  # OpenAI takes 15 MiB of audio, in base64
_CLOSE_TIMEOUT_S: Final = 1.0


class Emulator:
    """A provider's server on a real socket, for as long as its `async with` block runs.

    `plans` are followed by each connection from the first on, one for each response in the order they are
    accepted (asked for by the client, or made by VAD); `then` is for those after, by default the last plan
    again. Port 0 lets the system choose; `url` says which. `silence_ms` is how much silence ends the
    caller's turn where the session does not say. `session` is merged over what a connection starts with, in OpenAI's
    GA shape, and matters to OpenAI's family alone; `rules` are fields of the model's rules. With `tls` the socket is
    a TLS socket.

    :raises UsageError: if there is no emulator of `provider`, or its rules are not these.
    """

    def __init__(
        self,
        plans: Sequence[Plan] = (),
        *,
        provider: str = "openai",
        host: str = "127.0.0.1",
        port: int = 0,
        then: Plan | None = None,
        silence_ms: int = 200,
        session: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
        tls: SSLContext | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        if provider not in EMULATED:
            why = NO_WEBSOCKET.get(provider, f"there are: {', '.join(EMULATED)}")
            raise UsageError(f"no emulator of {provider!r}: {why}")
        self.connections: list[Connection] = []
        """Every connection there ever was, oldest first."""
        self._emulated = EMULATED[provider]
        self._plans = tuple(plans)
        self._then = then or (self._plans[-1] if self._plans else Plan())
        self._host = host
        self._port = port
        self._silence_ms = silence_ms
        self._session = session or {}
        self._rules = rules or {}
        self._tls = tls
        self._on_event = on_event
        self._runner: web.AppRunner | None = None
        try:
            self._make({})
        except TypeError as problem:
            raise UsageError(f"rules of {provider}: {problem}") from None

    @property
    def url(self) -> str:
        """Where a websocket client connects, for instance `ws://HOST:PORT/v1/realtime`."""
        return f"ws{'s' * self._safe}://{self._authority}{self._emulated.path}"

    @property
    def base_url(self) -> str:
        """What a stock client takes for the server's address, for instance `http://HOST:PORT/v1`."""
        scheme, rest = self._emulated.base.format(at=self._authority).split(":", 1)
        return f"{scheme}{'s' * self._safe}:{rest}"

    @property
    def _safe(self) -> bool:
        return self._tls is not None

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        emulated = self._emulated
        for (method, path), page in emulated.pages.items():
            app.router.add_route(method, path, self._answers(page))
        for path in (emulated.path, *emulated.also):
            app.router.add_get(path, self._accept)
        self._runner = await listen(app, self._host, self._port, self._tls)
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self.connections:
            connection.close()
        if self._runner is not None:
            with anyio.CancelScope(shield=True):
                await self._runner.cleanup()

    def _answers(self, page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(dict(await page(request, self.url)))

        return answer

    def _make(self, query: Mapping[str, str]) -> Deeds:
        return self._emulated.make(Opening(query, self._silence_ms, self._session, self._rules))

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S,
            heartbeat=30.0,
            max_msg_size=_MAX_MESSAGE_BYTES,
            protocols=self._emulated.subprotocols,
        )
        await socket.prepare(request)
        connection = Connection(
            len(self.connections) + 1,
            self._make(request.query),
            plans=self._plans,
            then=self._then,
            silence_ms=self._silence_ms,
            on_event=self._on_event,
        )
        self.connections.append(connection)
        await connection.run(socket, lambda: _abort(request))
        await socket.close(code=1001, message=b"")
        return socket


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    plans: Sequence[Plan] = (),
    *,
    provider: str = "openai",
    tls: SSLContext | None = None,
    on_event: OnEvent | None = None,
    on_ready: Callable[[Emulator], None] | None = None,
) -> None:
    """Run an `Emulator` until cancelled. `on_ready` is called once it listens. Raises `OSError` if it cannot."""
    async with Emulator(
        plans, provider=provider, host=host, port=port, tls=tls, on_event=on_event
    ) as emulator:
        if on_ready is not None:
            on_ready(emulator)
        await anyio.sleep_forever()
