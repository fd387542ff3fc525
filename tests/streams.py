"""A message stream in memory, for tests of the driver."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio


class MemoryStream:
    """What the peer says is fed in; what it is told is kept. While `stuck`, it takes nothing at once, nor later."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.why = "closed without a goodbye"
        self.closed: bool | None = None
        """How it was closed: whether it had failed; None while open."""
        self.told: list[dict[str, Any]] = []
        self.binary: list[bytes] = []
        """What it was told in binary frames."""
        self.stuck = stuck
        self._said: deque[str | bytes | None] = deque()
        self._spoke = anyio.Event()
        self._unstuck = anyio.Event()
        self._news = anyio.Event()

    # -- the driver's side --------------------------------------------------------------------------

    async def receive(self) -> str | bytes | None:
        while not self._said:
            self._spoke = anyio.Event()
            await self._spoke.wait()
        return self._said.popleft()

    def takes(self, size_bytes: int) -> bool:
        return not self.stuck

    async def send(self, data: bytes, binary: bool = False) -> None:
        if self.closed is not None:
            raise anyio.ClosedResourceError
        if self.stuck:
            await self._unstuck.wait()
        if binary:
            self.binary.append(data)
        else:
            self.told.append(json.loads(data))
        self._tell()

    async def aclose(self, failed: bool = False) -> None:
        if self.closed is None:
            self.closed = failed
        self._tell()

    # -- the test's side ----------------------------------------------------------------------------

    def says(self, message: str | bytes | dict[str, Any]) -> None:
        self._said.append(json.dumps(message) if isinstance(message, dict) else message)
        self._spoke.set()

    def ends(self) -> None:
        self._said.append(None)
        self._spoke.set()

    def unstick(self) -> None:
        self.stuck = False
        self._unstuck.set()

    def kinds(self) -> list[str]:
        return [str(message.get("type") or message.get("event")) for message in self.told]

    async def until(self, true: Callable[["MemoryStream"], bool]) -> None:
        with anyio.fail_after(5):
            while not true(self):
                await self._news.wait()

    async def until_told(self, kind: str) -> dict[str, Any]:
        await self.until(lambda stream: kind in stream.kinds())
        return self.told[self.kinds().index(kind)]

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
