"""The transport of a call in which the provider's own server plays: nobody is at its other end.

    nobody = Nobody(call="rtc_1")
    await Driver(adapters.provider("openai_webrtc"), adapters.transport("server_played")).run(nobody, connect, greet)

`connect` opens the stream of events: the sideband WebSocket of the call, or its data channel as a `MessageStream`.
"""

from collections import deque

import anyio
import msgspec


class Nobody:
    """A `MessageStream` that speaks `statemachines/transports/server_played.yaml`: the call begins, and it ends.

    Say `hang_up` when you learn that the caller has gone; you need not where the provider's connection ends with the
    call. `call` is the name of the call, for the application.
    """

    def __init__(self, call: str | None = None) -> None:
        self.why = "closed by us"
        start = {"type": "start"} if call is None else {"type": "start", "call": call}
        self._said: deque[str | None] = deque([msgspec.json.encode(start).decode()])
        self._news = anyio.Event()

    def hang_up(self) -> None:
        """The caller has gone."""
        self._say('{"type":"stop"}')

    async def receive(self) -> str | bytes | None:
        """See `MessageStream.receive`."""
        while not self._said:
            self._news = anyio.Event()
            await self._news.wait()
        return self._said.popleft()

    def takes(self, size_bytes: int) -> bool:
        """See `MessageStream.takes`: there is nothing to take."""
        return True

    async def send(self, data: bytes, binary: bool = False) -> None:
        """See `MessageStream.send`: nobody is told anything."""

    async def aclose(self, failed: bool = False) -> None:
        """See `MessageStream.aclose`."""
        self._say(None)

    def _say(self, message: str | None) -> None:
        self._said.append(message)
        self._news.set()
