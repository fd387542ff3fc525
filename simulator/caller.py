"""A scripted call: any carrier's model on a real websocket, Twilio's unless told otherwise, with an ear.

    async with call("ws://127.0.0.1:8080/twilio") as caller:
        await caller.listens(until=lambda ear: ear.heard_ms(1) >= 800)
        await caller.says(600)
        await caller.hangs_up()
    assert caller.ear.faults() == []

Inbound frames leave every 20 ms as a telephone's do, speech or silence. What the app sends is played
by the clock into the ear, and marks come back when their audio is over.
"""

import math
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
import anyio

from .carrier import FRAME_MS, StreamCarrier
from .ear import Ear
from .twilio import TwilioCarrier
from .voice import caller_speech, silence

_LOOK_MS: Final = 5  # how often `listens` looks at the ear
_GOODBYE_S: Final = 1.0  # how long the app may take to answer a close


@asynccontextmanager
async def call(
    url: str,
    *,
    carrier: StreamCarrier[Any] | None = None,
    speed: float = 1.0,
    sends_start: bool = True,
    headers: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
) -> AsyncIterator["Caller"]:
    """Call the app at `url` (`ws://HOST:PORT/twilio`); leaving the block hangs up.

    `carrier` says which it is and what it does with marks and clears; `protocols` are the subprotocols it offers. At
    `speed` 10 a second of the call takes a tenth of a second: every time the caller tells is call time. With
    `sends_start=False` only the first message of the carrier's opening is sent (Twilio's `start` is withheld) and all
    else goes on. Raises `aiohttp.ClientError` when the app cannot
    be reached; whatever the block raises leaves it as it is, in no exception group.
    """
    failure: Exception | None = None
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, headers=headers, protocols=protocols, max_msg_size=0) as websocket,
    ):
        caller = Caller(websocket, carrier or TwilioCarrier(), speed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller._run, sends_start)
            try:
                yield caller
                await caller.hangs_up()
            except Exception as error:
                failure = error
                await caller.drops()
    if failure is not None:
        raise failure


class Caller:
    """One call. Made by `call`; what it does is a method that a script awaits.

    Once the call is over, whoever ended it, every method returns at once.
    """

    def __init__(
        self,
        websocket: aiohttp.ClientWebSocketResponse,
        carrier: StreamCarrier[Any],
        speed: float,
    ) -> None:
        self.carrier = carrier
        self.speed = speed
        self.closed = anyio.Event()
        """Set when the call is over."""
        self._websocket = websocket
        self._epoch = anyio.current_time()
        self._to_say_ms = 0
        self._said = anyio.Event()  # replaced when set, like `_changed`
        self._changed = anyio.Event()  # the time of the carrier's next event may have moved
        self._outbox, self._to_write = anyio.create_memory_object_stream[
            "str | bytes | anyio.Event"
        ](math.inf)

    @property
    def now_ms(self) -> int:
        """Call time: milliseconds since the socket opened."""
        elapsed_s = anyio.current_time() - self._epoch
        return int(elapsed_s * 1000 * self.speed + 1e-6)  # a timer due now must not read as early

    @property
    def close_code(self) -> int | None:
        """The websocket's close code, 1006 if the connection broke; None while the call lasts."""
        if not self.closed.is_set():
            return None
        return self._websocket.close_code or aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    @property
    def protocol(self) -> str | None:
        """The subprotocol that the app agreed to."""
        return self._websocket.protocol

    @property
    def ear(self) -> Ear:
        """What was heard up to this moment."""
        self._post(self.carrier.advance(self.now_ms))
        return self.carrier.ear

    async def says(self, duration_ms: int) -> None:
        """Talk for `duration_ms`, rounded up to frames of 20 ms; returns when the last one has left."""
        self._to_say_ms += duration_ms
        while self._to_say_ms > 0 and not self.closed.is_set():
            await self._said.wait()

    async def listens(
        self, for_ms: int | None = None, *, until: Callable[[Ear], bool] | None = None
    ) -> bool:
        """Listen for `for_ms`, or until `until` is true of the ear, or to the end of the call.

        Answers whether `until` came true. The ear is looked at every 5 ms of the call.
        """
        end_ms = math.inf if for_ms is None else self.now_ms + for_ms
        while until is None or not until(self.ear):
            left_ms = end_ms - self.now_ms
            if left_ms <= 0 or self.closed.is_set():
                return False
            look_ms = left_ms if until is None else min(left_ms, _LOOK_MS)
            with anyio.move_on_after(look_ms / 1000 / self.speed):
                await self.closed.wait()
        return True

    async def presses(self, digit: str) -> None:
        """Press a key of the telephone."""
        if self.carrier.is_open:
            self._post(self.carrier.caller_presses(digit))
        await self._written()

    async def sends(self, message: str | bytes) -> None:
        """Put any frame on the wire, junk included."""
        self._post([message])
        await self._written()

    async def hangs_up(self) -> None:
        """What the carrier says when the caller hangs up, Twilio `stop`; then close the socket."""
        if self.closed.is_set():
            return
        self._post(self.carrier.stop(self.now_ms))
        await self._written()
        with anyio.move_on_after(_GOODBYE_S):
            await self._websocket.close()
        await self.closed.wait()

    async def drops(self) -> None:
        """The connection breaks: no `stop`, no closing handshake."""
        if self.closed.is_set():
            return
        self.carrier.stop(self.now_ms)
        connection: socket.socket | None = self._websocket.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):  # the app was quicker
                connection.shutdown(socket.SHUT_RDWR)
        await self.closed.wait()

    async def _run(self, sends_start: bool) -> None:
        opening = self.carrier.start(0)
        self._post(opening if sends_start else opening[:1])
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._play)
                tasks.start_soon(self._speak)
                await self._read()
                tasks.cancel_scope.cancel()
        finally:
            self._end()

    async def _read(self) -> None:
        async for frame in self._websocket:
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break
            self._post(self.carrier.receive(frame.data, self.now_ms))
            self._changed.set()
            self._changed = anyio.Event()

    async def _play(self) -> None:
        """Advance the carrier whenever a mark falls due."""
        while True:
            self._post(self.carrier.advance(self.now_ms))
            due_ms = self.carrier.next_event_ms
            due_s = math.inf if due_ms is None else self._epoch + due_ms / 1000 / self.speed
            with anyio.CancelScope(deadline=due_s):
                await self._changed.wait()

    async def _speak(self) -> None:
        """A frame every 20 ms; frames that are late follow at once, as after a stalled network."""
        at_ms = 0
        while self.carrier.is_open:
            talking = self._to_say_ms > 0
            sound = caller_speech if talking else silence
            audio = sound(FRAME_MS, self.carrier.caller_bytes_per_ms)
            self._post(self.carrier.caller_says(audio, at_ms))
            self._to_say_ms = max(0, self._to_say_ms - FRAME_MS)
            if talking and self._to_say_ms == 0:
                self._said.set()
                self._said = anyio.Event()
            at_ms += FRAME_MS
            await anyio.sleep_until(self._epoch + at_ms / 1000 / self.speed)

    async def _write(self) -> None:
        """All frames leave through here, in the order they were made."""
        async for entry in self._to_write:
            if isinstance(entry, anyio.Event):
                entry.set()
                continue
            try:
                if isinstance(entry, bytes):
                    await self._websocket.send_bytes(entry)
                else:
                    await self._websocket.send_str(entry)
            except ConnectionError:
                continue  # the socket is closing, which `_read` is about to see

    def _post(self, messages: Sequence[str | bytes]) -> None:
        if not self.closed.is_set():
            for message in messages:
                self._outbox.send_nowait(message)

    async def _written(self) -> None:
        if not self.closed.is_set():
            written = anyio.Event()
            self._outbox.send_nowait(written)
            await written.wait()

    def _end(self) -> None:
        """What was not played is lost, and nobody waits any longer."""
        self.carrier.stop(self.now_ms)
        self.closed.set()
        self._said.set()
        while self._to_write.statistics().current_buffer_used:
            entry = self._to_write.receive_nowait()
            if isinstance(entry, anyio.Event):
                entry.set()
        self._outbox.close()
        self._to_write.close()
