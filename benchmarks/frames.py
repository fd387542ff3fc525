"""Just enough WebSocket for a load generator that is much cheaper than what it measures.

The programs under test speak through `aiohttp` on both sides. If the generator did too, it would cost as much as they
do and the measurement would be of the generator. So it writes frames made beforehand, many at once, and of what
it receives it reads little more than the lengths. https://www.rfc-editor.org/rfc/rfc6455#section-5.2
"""

import asyncio
from base64 import b64encode
from hashlib import sha1
from typing import cast

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_KEY = b64encode(bytes(16)).decode()


def frame(payload: bytes, *, masked: bool, opcode: int = TEXT) -> bytes:
    """One unfragmented frame. The mask is zero: legal, unmasked by the receiver like any other, and free for us."""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


class Peer(asyncio.Protocol):
    """One end of a WebSocket. `is_server` says which end of the handshake, and with it who masks."""

    def __init__(self, *, is_server: bool, path: str = "/", host: str = "") -> None:
        self._is_server = is_server
        self._path, self._host = path, host
        self._rest = b""
        self._open = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def received(self, sizes: list[int], marks: list[bytes]) -> None:
        """Frames have arrived: their sizes, and the payloads of those that are marks."""
        raise NotImplementedError

    # -- asyncio's side -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client asks for the upgrade; a server waits to be asked."""
        self.transport = cast(asyncio.Transport, transport)
        if not self._is_server:
            self.transport.write(
                f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for this end is told."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"closed before it was open: {exc}"))
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Walk over the frames that are complete, keep the rest."""
        if self._rest:
            data = self._rest + data
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._shake(head)
        self._rest = self._walk(data)

    def _walk(self, data: bytes) -> bytes:
        sizes: list[int] = []
        marks: list[bytes] = []
        at, end = 0, len(data)
        mask = 4 if self._is_server else 0
        while end - at >= 2:
            size, body = data[at + 1] & 0x7F, at + 2
            if size == 126:
                size, body = int.from_bytes(data[body : body + 2], "big"), body + 2
            elif size == 127:
                size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
            body += mask
            if body + size > end:
                break
            opcode = data[at] & 0x0F
            if opcode == TEXT:
                sizes.append(size)
                if not mask and size < 300 and b'"mark"' in data[body : body + size]:
                    marks.append(data[body : body + size])
            else:
                self._control(opcode)
            at = body + size
        if sizes:
            self.received(sizes, marks)
        return data[at:]

    def _shake(self, head: bytes) -> None:
        if self._is_server:
            key = next(
                value.strip()
                for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
                if name.lower() == b"sec-websocket-key"
            )
            accept = b64encode(sha1(key + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
        elif b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"refused: {head[:200]!r}")
        self._open = True
        self.opened.set_result(None)

    def _control(self, opcode: int) -> None:
        if opcode == PING:
            self.transport.write(frame(b"", masked=not self._is_server, opcode=PONG))
        elif opcode == CLOSE:
            self.transport.write(frame(b"", masked=not self._is_server, opcode=CLOSE))
            self.transport.close()
