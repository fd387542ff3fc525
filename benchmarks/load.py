"""The load generator: the provider and the carrier of many calls, in one process with one clock.

It is told what to do by JSON lines on its standard input and answers each with one on its output. Both ends of a
call live here, so a frame's latency is the difference of two readings of one clock. A call's frames keep their
order, so the i-th that leaves one end is the i-th that arrives at the other.

    {"do": "serve", "group": "relay"}                                      → {"port": 40001}
    {"do": "open", "group": "relay", "port": 40002, "count": 50}           → {"open": 50}
    {"do": "run", "group": "relay", "mode": "paced", "seconds": 2, "echo": true, "pid": 77} → counts, latencies
    {"do": "close", "group": "relay"}                                      → {"open": 0}
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Literal

from . import messages
from .frames import CLOSE, Peer, frame

Mode = Literal["speech", "mix", "paced"]
"""`speech`: as many deltas as will go, in bursts, as providers send them. `mix`: as many frames as will go, five of
the caller's to each delta, of each kind one at a time per call. `paced`: fifty caller frames of 20 ms and ten deltas
of 100 ms per second and call.
"""

BURST = 8
"""Deltas under way per call in the mode `speech`."""

CALLER_FRAMES_PER_DELTA = 5
_PATIENCE_S = 5.0
_SPEECH_BYTES = 1_000  # No other frame is as long as one that carries 100 ms of speech.
_CALLER_BYTES = 200  # No frame of the caller's is shorter, no mark longer.

_DELTAS = [frame(m, masked=False) for m in messages.deltas(messages.MULAW_100_MS_BYTES)]
_CALLER = frame(messages.caller_frame(), masked=True)
_MARK = frame(
    b'{"event":"mark","streamSid":"%b","mark":{"name":"bargein_mark_1000"}}'
    % messages.STREAM.encode(),
    masked=True,
)


class _End(Peer):
    """One end of a call; what arrives is the call's business."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.arrived: Callable[[list[int], list[bytes]], None] = lambda sizes, marks: None

    def received(self, sizes: list[int], marks: list[bytes]) -> None:
        """See `Peer.received`."""
        self.arrived(sizes, marks)


class Call:
    """Both ends of one call, and what is under way between them."""

    def __init__(self, carrier: _End, provider: _End) -> None:
        self.carrier, self.provider = carrier, provider
        self.echo = False
        self.mode: Mode = "paced"
        self.running = False
        self.heard, self.listened = 0, 0
        self.down: deque[float] = deque()
        self.up: deque[float] = deque()
        self.latencies: list[float] = []
        self._next = 0
        carrier.arrived = self._at_carrier
        provider.arrived = self._at_provider

    def start(self) -> None:
        """The provider announces an endless response."""
        for message in messages.response_opens():
            self.provider.transport.write(frame(message, masked=False))

    def begin(self, mode: Mode, echo: bool) -> None:
        """Forget what was counted; unless paced, send the first frames, whose arrival sends the next."""
        self.mode, self.echo = mode, echo
        self.running = mode != "paced"
        self.heard = self.listened = 0
        self.down.clear()
        self.up.clear()
        self.latencies = []
        if mode == "mix":
            self.say()
        elif mode == "speech":
            self.speak(BURST)

    def speak(self, count: int = 1) -> None:
        """The provider sends so many deltas."""
        now = time.perf_counter()
        self.down.extend([now] * count)
        at = self._next
        self._next += count
        self.provider.transport.write(b"".join(_DELTAS[i & 15] for i in range(at, at + count)))

    def say(self, count: int = 1) -> None:
        """The carrier sends so many frames of the caller's."""
        now = time.perf_counter()
        self.up.extend([now] * count)
        self.carrier.transport.write(_CALLER * count)

    def _at_carrier(self, sizes: list[int], marks: list[bytes]) -> None:
        heard = sum(size >= _SPEECH_BYTES for size in sizes)
        self._arrived(self.down, heard)
        self.heard += heard
        if marks:
            self.carrier.transport.write(b"".join(frame(mark, masked=True) for mark in marks))
        elif self.echo and heard:
            self.carrier.transport.write(_MARK * heard)
        if self.running and self.mode == "speech" and heard:
            self.speak(heard)

    def _at_provider(self, sizes: list[int], _: list[bytes]) -> None:
        listened = sum(_CALLER_BYTES <= size < _SPEECH_BYTES for size in sizes)
        self._arrived(self.up, listened)
        before, self.listened = self.listened, self.listened + listened
        if self.running and self.mode == "mix" and listened:
            self.say(listened)
            due = self.listened // CALLER_FRAMES_PER_DELTA - before // CALLER_FRAMES_PER_DELTA
            if due:
                self.speak(due)

    def _arrived(self, under_way: deque[float], count: int) -> None:
        now = time.perf_counter()
        for _ in range(min(count, len(under_way))):
            sent = under_way.popleft()
            if self.mode == "paced":
                self.latencies.append(now - sent)

    async def close(self) -> None:
        """Hang up as a carrier does, and wait until the other side has closed both sockets."""
        self.carrier.transport.write(frame(b'{"event":"stop"}', masked=True))
        self.carrier.transport.write(frame(b"", masked=True, opcode=CLOSE))
        try:
            async with asyncio.timeout(5):
                await self.provider.closed
        except TimeoutError:
            self.provider.transport.abort()
        self.carrier.transport.abort()


class Group:
    """The calls through one program under test."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._arriving: asyncio.Queue[_End] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def serve(self) -> int:
        """Be the provider; returns the port."""

        def accept() -> _End:
            end = _End(is_server=True)
            self._arriving.put_nowait(end)
            return end

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self, port: int, count: int) -> None:
        """Place calls until there are `count`, one after the other: so their ends find each other."""
        loop = asyncio.get_running_loop()
        while len(self.calls) < count:
            async with asyncio.timeout(10):
                _, carrier = await loop.create_connection(
                    lambda: _End(is_server=False, path="/twilio", host=f"127.0.0.1:{port}"),
                    "127.0.0.1",
                    port,
                )
                await carrier.opened
                for message in messages.stream_opens(len(self.calls)):
                    carrier.transport.write(frame(message, masked=True))
                provider = await self._arriving.get()
                await provider.opened
            provider.transport.write(frame(messages.session_created(), masked=False))
            call = Call(carrier, provider)
            call.start()
            self.calls.append(call)
        await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Hang up all calls."""
        await asyncio.gather(*(call.close() for call in self.calls))
        self.calls.clear()

    async def run(self, mode: Mode, seconds: float, echo: bool, pid: int) -> dict[str, Any]:
        """Load the program under test for so long; `pid` is its process, whose time is read."""
        for call in self.calls:
            call.begin(mode, echo)
        if mode == "paced":
            counted = await self._paced(seconds, pid)
        else:
            counted = await self._saturated(seconds, pid)
        for call in self.calls:
            call.running = False
        await self._drain()
        lost = sum(len(call.down) + len(call.up) for call in self.calls)
        return {**counted, "lost": lost}

    async def _saturated(self, seconds: float, pid: int) -> dict[str, Any]:
        await asyncio.sleep(seconds / 5)  # Until it flows.
        before, used, start = self._counts(), on_processor_ns(pid), time.perf_counter()
        limit = start + seconds + _PATIENCE_S
        await asyncio.sleep(seconds)
        while self._counts() == before and time.perf_counter() < limit:
            await asyncio.sleep(seconds)  # A starved machine; a round needs a frame to be one.
        after, elapsed = self._counts(), time.perf_counter() - start
        return {
            "seconds": elapsed,
            **_since(used, on_processor_ns(pid)),
            "deltas": after[0] - before[0],
            "caller_frames": after[1] - before[1],
            "latencies_us": [],
        }

    async def _paced(self, seconds: float, pid: int) -> dict[str, Any]:
        due: list[tuple[float, Callable[[], None]]] = []
        random = Random(len(self.calls))
        for call in self.calls:
            acts: list[tuple[float, Callable[[], None]]] = [(0.02, call.say), (0.1, call.speak)]
            for every, act in acts:
                offset = random.uniform(0, every)
                due += [(offset + every * i, act) for i in range(int(seconds / every))]
        due.sort(key=lambda entry: entry[0])
        spins = (os.cpu_count() or 1) > 1
        used, start = on_processor_ns(pid), time.perf_counter()
        late_s = 0.0
        for at, act in due:
            while (ahead := start + at - time.perf_counter()) > 0:
                # Sleeping is exact to a millisecond, which is what is to be measured; so this spins.
                await asyncio.sleep(0 if spins else ahead)
            late_s = max(late_s, -ahead)
            act()
        await self._drain()
        return {
            "seconds": time.perf_counter() - start,
            "late_ms": late_s * 1000,
            **_since(used, on_processor_ns(pid)),
            "deltas": sum(call.heard for call in self.calls),
            "caller_frames": sum(call.listened for call in self.calls),
            "latencies_us": [round(t * 1e6, 1) for call in self.calls for t in call.latencies],
        }

    async def _drain(self) -> None:
        limit = time.perf_counter() + _PATIENCE_S
        while any(call.down or call.up for call in self.calls) and time.perf_counter() < limit:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)

    def _counts(self) -> tuple[int, int]:
        return sum(c.heard for c in self.calls), sum(c.listened for c in self.calls)


def _since(before: tuple[int, int], after: tuple[int, int]) -> dict[str, int]:
    return {"cpu_ns": after[0] - before[0], "waited_ns": after[1] - before[1]}


def on_processor_ns(pid: int) -> tuple[int, int]:
    """Time the threads of a process have had on a processor, and time they waited for one that others had.

    Both are 0 where the system does not tell; only Linux does.
    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        pairs = [(task / "schedstat").read_text().split() for task in tasks]
    except OSError:
        return 0, 0
    return sum(int(pair[0]) for pair in pairs), sum(int(pair[1]) for pair in pairs)


async def obey() -> None:
    """Do what standard input says until it ends."""
    gc.freeze()
    gc.disable()
    groups: dict[str, Group] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        group = groups.setdefault(order["group"], Group())
        answer: dict[str, Any]
        if order["do"] == "serve":
            answer = {"port": await group.serve()}
        elif order["do"] == "open":
            await group.open(order["port"], order["count"])
            answer = {"open": len(group.calls)}
        elif order["do"] == "run":
            answer = await group.run(order["mode"], order["seconds"], order["echo"], order["pid"])
        else:
            await group.close()
            answer = {"open": 0}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(obey())
