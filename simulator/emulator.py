"""A network emulator of the OpenAI Realtime server: the model, real sockets, real time.

Any client that lets its base URL be changed can talk to it. It decides nothing by itself: what each response
does is a `Plan`, what the server answers is the model's (`simulator/openai.py`). The bearer key is not looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import anyio
from aiohttp import web

from bargein.runtime.streams import listen

from .emulator_connection import Connection, OnEvent, SilenceRule
from .emulator_plan import Plan, PlannedItem, load_plans
from .openai import OpenAIServer, Rules
from .openai_session import merge_session

__all__ = [
    "Connection",
    "Emulator",
    "OnEvent",
    "Plan",
    "PlannedItem",
    "SilenceRule",
    "load_plans",
    "serve",
]

PATH: Final = "/v1/realtime"
_MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024  # 15 MiB of audio, in base64
_CLOSE_TIMEOUT_S: Final = 1.0


class Emulator:
    """An OpenAI Realtime server on a real socket, for as long as its `async with` block runs.

    `plans` are followed by each connection from the first on, one for each response in the order they are
    accepted (asked for by the client, or made by VAD); `then` is for those after, by default the last plan
    again. Port 0 lets the system choose; `url` says which. `silence_ms` is how much silence ends the
    caller's turn where the session does not say.
    """

    def __init__(
        self,
        plans: Sequence[Plan] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        then: Plan | None = None,
        silence_ms: int = 200,
        session: Mapping[str, Any] | None = None,
        rules: Rules | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.connections: list[Connection] = []
        """Every connection there ever was, oldest first."""
        self._plans = tuple(plans)
        self._then = then or (self._plans[-1] if self._plans else Plan())
        self._host = host
        self._port = port
        self._silence_ms = silence_ms
        patience = {"audio": {"input": {"turn_detection": {"silence_duration_ms": silence_ms}}}}
        self._session = merge_session(patience, session or {})
        self._rules = rules or Rules(rate_limits=True)
        self._on_event = on_event
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where a websocket client connects, `ws://HOST:PORT/v1/realtime`."""
        return f"ws://{self._authority}{PATH}"

    @property
    def base_url(self) -> str:
        """What the official client takes as `base_url`, `http://HOST:PORT/v1`."""
        return f"http://{self._authority}/v1"

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(PATH, self._accept)
        self._runner = await listen(app, self._host, self._port)
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

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S,
            heartbeat=30.0,
            max_msg_size=_MAX_MESSAGE_BYTES,
            protocols=("realtime",),
        )
        await socket.prepare(request)
        model = request.query.get("model")
        session = self._session | ({"model": model} if model else {})
        connection = Connection(
            len(self.connections) + 1,
            OpenAIServer(session=session, rules=self._rules),
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
    rules: Rules | None = None,
    on_event: OnEvent | None = None,
    on_ready: Callable[[Emulator], None] | None = None,
) -> None:
    """Run an `Emulator` until cancelled. `on_ready` is called once it listens. Raises `OSError` if it cannot."""
    async with Emulator(plans, host=host, port=port, rules=rules, on_event=on_event) as emulator:
        if on_ready is not None:
            on_ready(emulator)
        await anyio.sleep_forever()
