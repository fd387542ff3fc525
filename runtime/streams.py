"""The two ends a driver joins: streams of messages, and the ordered outbox before each.

A text frame is `str` when it arrives, a binary frame is `bytes`; what leaves is bytes, written as it is, and a flag
says which of the two it is.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Final, Protocol

import anyio
from aiohttp import ClientWebSocketResponse, WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

__all__ = ["MessageStream", "Outbox", "WebSocketStream", "listen"]

AT_ONCE_BYTES: Final = 32 * 1024
"""While less than this waits in a socket's buffer, writing to it cannot block: half of asyncio's high-water mark."""

_GONE: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""Whoever receives from the stream is about to see its end, and to report it."""


class MessageStream(Protocol):
    """Messages in both directions. One task receives; sends come one at a time."""

    @property
    def why(self) -> str:
        """Why the stream ended, in words for a log."""
        ...

    async def receive(self) -> str | bytes | None:
        """The next message; None when there will be no other. Never raises for what the peer does."""
        ...

    def takes(self, size_bytes: int) -> bool:
        """Whether a message of that size can be sent without waiting for the peer."""
        ...

    async def send(self, data: bytes, binary: bool = False) -> None:
        """Write one message, as text or `binary`. Raises `OSError` or an anyio error if the stream is gone."""
        ...

    async def aclose(self, failed: bool = False) -> None:
        """Say goodbye and close; `failed` tells the peer that it was not as planned. Safe at any time, and twice."""
        ...


class WebSocketStream:
    """A websocket of aiohttp, of either end."""

    def __init__(self, websocket: web.WebSocketResponse | ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._transport = _transport(websocket)
        self.why = "closed by us"
        self._pongs = 0
        self._silent: str | None = None

    async def receive(self) -> str | bytes | None:
        """See `MessageStream.receive`."""
        message = await self._websocket.receive()
        kind = message.type
        while kind is WSMsgType.PONG or kind is WSMsgType.PING:  # Where aiohttp leaves them to us.
            self._pongs += kind is WSMsgType.PONG
            if kind is WSMsgType.PING:
                await self._pong(message.data)
            message = await self._websocket.receive()
            kind = message.type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
            data: str | bytes = message.data
            return data
        self.why = self._reason(message)
        return None

    async def keep_alive(self, every_s: float) -> None:
        """Ping the peer for ever; drop the connection if it owes a pong for so long. Needs `autoping=False`.

        aiohttp's own heartbeat restarts a timer for every piece of data: two microseconds each.
        """
        while True:
            pongs = self._pongs
            with suppress(ConnectionError):  # `receive` is about to tell.
                await self._websocket.ping()
            await anyio.sleep(every_s)
            if pongs == self._pongs and self._transport is not None:
                self._silent = f"no answer to a ping for {every_s:g} s"
                self._transport.abort()

    async def _pong(self, data: bytes) -> None:
        with suppress(ConnectionError):
            await self._websocket.pong(data)

    def _reason(self, last: WSMessage) -> str:
        error = last.data if last.type is WSMsgType.ERROR else self._websocket.exception()
        if isinstance(error, WebSocketError):
            return f"it broke the protocol: {error}"
        code = self._websocket.close_code
        reason = "closed without a goodbye" if code in (None, 1006) else f"closed with code {code}"
        detail = self._silent or error or (last.type is WSMsgType.CLOSE and last.extra)
        return f"{reason}: {detail}" if detail else reason

    def takes(self, size_bytes: int) -> bool:
        """See `MessageStream.takes`."""
        transport = self._transport
        return (
            transport is not None and transport.get_write_buffer_size() + size_bytes < AT_ONCE_BYTES
        )

    def send(self, data: bytes, binary: bool = False) -> Coroutine[Any, Any, None]:
        """See `MessageStream.send`."""
        return self._websocket.send_frame(data, WSMsgType.BINARY if binary else WSMsgType.TEXT)

    async def aclose(self, failed: bool = False) -> None:
        """See `MessageStream.aclose`."""
        try:
            code = WSCloseCode.INTERNAL_ERROR if failed else WSCloseCode.OK
            await self._websocket.close(code=code)
        finally:
            # A peer that does not read must not keep the socket open until it does.
            if self._transport is not None and self._transport.get_write_buffer_size():
                self._transport.abort()


class Outbox:
    """Messages on their way to one side, in order.

    What the stream takes at once is written by whoever has something to say; the rest waits for `run`, so that a
    slow peer holds up nobody. Nothing is dropped silently: `push` tells when more than `limit_bytes` wait.
    """

    __slots__ = ("_more", "_stream", "_writing", "gone", "limit_bytes", "queue", "waiting_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.queue: deque[tuple[bytes, bool]] = deque()
        self.waiting_bytes = 0
        self.gone = False
        self._stream: MessageStream | None = None
        self._writing = False
        self._more = anyio.Event()

    def put(self, data: bytes, binary: bool = False) -> None:
        """Queue a message, a text or a `binary` frame; before the stream is open too. Follow with `push`."""
        if not self.gone:
            self.queue.append((data, binary))
            self.waiting_bytes += len(data)

    async def push(self) -> bool:
        """Write what can be written without waiting and leave the rest to `run`. True if too much is left."""
        stream, queue = self._stream, self.queue
        if stream is not None and not self._writing:
            self._writing = True
            try:
                while queue and stream.takes(len(queue[0][0])):
                    data, binary = queue.popleft()
                    self.waiting_bytes -= len(data)
                    await stream.send(data, binary)
            except _GONE:
                self.give_up()
            finally:
                self._writing = False
            if not queue:
                return False
            self._more.set()
        return self.waiting_bytes > self.limit_bytes

    async def run(self, stream: MessageStream) -> None:
        """Write to `stream` whatever has to wait for it, until cancelled."""
        self._stream = stream
        while not self.gone:
            await self._drain(stream)
            self._more = anyio.Event()
            await self._more.wait()

    async def finish(self) -> None:
        """Write all that is left. Nobody else may be writing."""
        if self._stream is not None:
            await self._drain(self._stream)

    async def _drain(self, stream: MessageStream) -> None:
        self._writing = True
        try:
            while self.queue:
                data, binary = self.queue.popleft()
                self.waiting_bytes -= len(data)
                await stream.send(data, binary)
        except _GONE:
            self.give_up()
        finally:
            self._writing = False

    def give_up(self) -> None:
        """Nothing more can be said to this side."""
        self.gone = True
        self.queue.clear()
        self.waiting_bytes = 0


async def listen(
    app: web.Application, host: str, port: int, tls: SSLContext | None = None
) -> web.AppRunner:
    """Serve `app` at `host:port`; the runner's first address tells which port 0 became, `cleanup` ends it.

    :raises OSError: if the address cannot be had; then nothing is left running.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def _transport(websocket: object) -> asyncio.WriteTransport | None:
    """What tells how many bytes wait in the socket's buffer.

    aiohttp shows the transport of a request but not that of a client's websocket; where it cannot be found, nothing
    is ever written at once.
    """
    transport = getattr(getattr(websocket, "_writer", None), "transport", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None
