"""The two ends a driver joins: streams of messages, and the ordered outbox before each.

A text frame is `str` when it arrives, a binary frame is `bytes`; what leaves is bytes, written as it is.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

import anyio
from aiohttp import ClientWebSocketResponse, WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

__all__ = ["MessageStream", "Outbox", "WebSocketStream"]

AT_ONCE_BYTES: Final = 32 * 1024
"""While less than this waits in a socket's buffer, writing to it cannot block: half of asyncio's high-water mark."""


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

    async def send(self, data: bytes) -> None:
        """Write one message. Raises `OSError` or an anyio resource error if the stream is gone."""
        ...

    async def aclose(self, failed: bool = False) -> None:
        """Say goodbye and close; `failed` tells the peer that it was not as planned. Safe at any time, and twice."""
        ...


class WebSocketStream:
    """A websocket of aiohttp, of either end, whose messages are text frames."""

    def __init__(self, websocket: web.WebSocketResponse | ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._transport = _transport(websocket)
        self.why = "closed by us"

    async def receive(self) -> str | bytes | None:
        """See `MessageStream.receive`."""
        message = await self._websocket.receive()
        kind = message.type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
            data: str | bytes = message.data
            return data
        self.why = self._reason(message)
        return None

    def _reason(self, last: WSMessage) -> str:
        error = last.data if last.type is WSMsgType.ERROR else self._websocket.exception()
        if isinstance(error, WebSocketError):
            return f"it broke the protocol: {error}"
        code = self._websocket.close_code
        reason = "closed without a goodbye" if code in (None, 1006) else f"closed with code {code}"
        detail = error or (last.type is WSMsgType.CLOSE and last.extra)
        return f"{reason}: {detail}" if detail else reason

    def takes(self, size_bytes: int) -> bool:
        """See `MessageStream.takes`."""
        transport = self._transport
        return (
            transport is not None and transport.get_write_buffer_size() + size_bytes < AT_ONCE_BYTES
        )

    async def send(self, data: bytes) -> None:
        """See `MessageStream.send`."""
        await self._websocket.send_frame(data, WSMsgType.TEXT)

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
    slow peer holds up nobody. Nothing is dropped silently: more than `limit_bytes` waiting sets `overflowed`.
    """

    __slots__ = ("_more", "_stream", "_writing", "gone", "limit_bytes", "queue", "waiting_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.queue: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.gone = False
        self._stream: MessageStream | None = None
        self._writing = False
        self._more = anyio.Event()

    @property
    def overflowed(self) -> bool:
        """More waits than may wait."""
        return self.waiting_bytes > self.limit_bytes

    def put(self, data: bytes) -> None:
        """Queue a message; before the stream is open too. Follow with `push`."""
        if not self.gone:
            self.queue.append(data)
            self.waiting_bytes += len(data)

    async def push(self) -> None:
        """Write what can be written without waiting; leave the rest to `run`."""
        stream, queue = self._stream, self.queue
        if stream is None or self._writing:
            return
        self._writing = True
        try:
            while queue and stream.takes(len(queue[0])):
                await self._send(stream)
        finally:
            self._writing = False
        if queue:
            self._more.set()

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
                await self._send(stream)
        finally:
            self._writing = False

    async def _send(self, stream: MessageStream) -> None:
        data = self.queue.popleft()
        self.waiting_bytes -= len(data)
        try:
            await stream.send(data)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            # Whoever receives from the stream is about to see its end, and to report it.
            self.give_up()

    def give_up(self) -> None:
        """Nothing more can be said to this side."""
        self.gone = True
        self.queue.clear()
        self.waiting_bytes = 0


def _transport(websocket: object) -> asyncio.WriteTransport | None:
    """What tells how many bytes wait in the socket's buffer.

    aiohttp shows the transport of a request but not that of a client's websocket; where it cannot be found, nothing
    is ever written at once.
    """
    transport = getattr(getattr(websocket, "_writer", None), "transport", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None
