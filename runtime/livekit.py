"""An `AudioOutput` of LiveKit Agents as a playback transport: a room, an avatar, whatever stands behind it.

    out = LiveKitOutput(session.output.audio, adapter.audio["pcm16"], frames_of_the_caller)
    await Driver(provider, adapter).run(out.open, connect)

It speaks the protocol of `statemachines/transports/livekit.yaml` to the driver. One item is one segment, or several
if it runs dry. How far a segment is: `segments.py`. What LiveKit promises: facts/transports.md 10.
"""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterable, Callable
from importlib import import_module
from secrets import token_hex
from typing import Any, Final, Protocol

import msgspec

from .adapter import AudioFormat
from .errors import TransportError, UsageError
from .segments import Message, Segment

REPORT_EVERY_MS: Final = 50
FRAME_MS: Final = 50
"""As long as the frames of LiveKit's own room output."""
_SAMPLE_BYTES: Final = 2


class Output(Protocol):
    """What is needed of `livekit.agents.voice.io.AudioOutput`."""

    def on(self, event: Any, callback: Any = None) -> Any:  # noqa: ANN401  an emitter of LiveKit
        """Be told of an event."""
        ...

    def off(self, event: Any, callback: Any) -> Any:  # noqa: ANN401
        """Be told no more."""
        ...

    async def capture_frame(self, frame: Any) -> None:  # noqa: ANN401  rtc.AudioFrame
        """Play a frame; the first one after a flush begins a segment."""
        ...

    def flush(self) -> None:
        """The segment is complete."""
        ...

    def clear_buffer(self) -> None:
        """Stop playing."""
        ...


class _Audio(msgspec.Struct, tag_field="type", tag="audio"):
    item: str
    generation: int
    audio: bytes


class _Flush(msgspec.Struct, tag_field="type", tag="flush"):
    generation: int


_decode: Final = msgspec.json.Decoder(_Audio | _Flush).decode


class LiveKitOutput:
    """The output as a `MessageStream`, in the event loop in which LiveKit runs.

    `voice` is one of the formats of the table `livekit`. `heard` are the caller's frames (`rtc.AudioFrame`, mono, at
    the rate `voice` says), for instance of an `rtc.AudioStream`; None if nobody is heard. `frame` makes a frame to
    be played and is `livekit.rtc.AudioFrame` unless given.

    :raises UsageError: for a format that is not PCM16.
    """

    def __init__(
        self,
        output: Output,
        voice: AudioFormat,
        heard: AsyncIterable[Any] | None = None,
        *,
        frame: Callable[..., Any] | None = None,
    ) -> None:
        for part in (voice, voice.heard):
            if part.bytes_per_ms * 1000 != part.rate_hz * _SAMPLE_BYTES:
                raise UsageError(f"LiveKit's frames are PCM16, not {voice.name}")
        self.why = "closed by us"
        self._output = output
        self._voice = voice
        self._heard = heard
        self._frame = frame
        self._generation = 0
        self._counts: dict[str, int] = {}
        self._queue: deque[_Audio] = deque()
        self._segment: Segment | None = None
        self._owed: list[int] = []  # generations whose flush waits for the end of a segment
        self._said: deque[str | None] = deque()
        self._news = asyncio.Event()  # for who receives
        self._work = asyncio.Event()  # for who feeds
        self._tasks: list[asyncio.Task[None]] = []
        self._capturing: asyncio.Future[None] | None = None

    async def open(self) -> "LiveKitOutput":
        """Begin to play and to listen; returns itself, so that it is a `Source` of the driver.

        :raises TransportError: if LiveKit's package is not installed.
        """
        if self._frame is None:
            try:
                self._frame = import_module("livekit.rtc").AudioFrame
            except ImportError as error:
                raise TransportError(
                    "LiveKit needs its package: pip install livekit-agents"
                ) from error
        for event, callback in self._callbacks.items():
            self._output.on(event, callback)
        self._say({"type": "start", "stream": token_hex(8), "call": token_hex(8)})
        works = [
            self._feeds(),
            self._watches(),
            *([self._hears(self._heard)] if self._heard else []),
        ]
        self._tasks = [asyncio.ensure_future(self._guarded(work)) for work in works]
        return self

    @property
    def _callbacks(self) -> dict[str, Callable[[Any], None]]:
        return {
            "playback_started": self._on_started,
            "playback_progressed": self._on_progressed,
            "playback_finished": self._on_finished,
        }

    # -- the driver's side --------------------------------------------------------------------------

    async def receive(self) -> str | bytes | None:
        """See `MessageStream.receive`."""
        while not self._said:
            self._news.clear()
            await self._news.wait()
        message = self._said.popleft()
        if message is None:
            self._said.append(None)
        return message

    def takes(self, size_bytes: int) -> bool:
        """See `MessageStream.takes`: what LiveKit does not take yet waits here, where a flush finds it."""
        return True

    async def send(self, data: bytes, binary: bool = False) -> None:
        """See `MessageStream.send`."""
        if not self._tasks:
            raise BrokenPipeError("the output is closed")
        command = _decode(data)
        if isinstance(command, _Flush):
            self._flush(command.generation)
        elif command.generation == self._generation:
            self._queue.append(command)
        self._work.set()

    async def aclose(self, failed: bool = False) -> None:
        """See `MessageStream.aclose`. What has not sounded never will; the output itself is not closed."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            if self._segment is not None:
                self._output.clear_buffer()
                self._output.flush()
            for event, callback in self._callbacks.items():
                self._output.off(event, callback)
        self._end()

    # -- playing ------------------------------------------------------------------------------------

    def _flush(self, generation: int) -> None:
        ended, self._generation = self._generation, generation
        self._queue.clear()
        self._counts.clear()
        segment = self._segment
        if segment is None or not segment.pushed_ms:
            if self._capturing is not None:
                self._capturing.cancel()  # It waits for somebody to subscribe, and is wanted no more.
            self._say({"type": "flushed", "item": None, "played_ms": 0, "generation": ended})
            return
        self._owed.append(ended)
        self._output.clear_buffer()
        self._close(segment)

    def _close(self, segment: Segment) -> None:
        if not segment.closing:
            segment.closing = True
            self._output.flush()

    async def _feeds(self) -> None:
        """Push what waits, one segment after another: LiveKit plays no two at a time."""
        while True:
            segment = self._segment
            if not self._queue or (segment is not None and segment.closing):
                self._work.clear()
                await self._work.wait()
            elif segment is not None and segment.item != self._queue[0].item:
                self._close(segment)
            else:
                await self._pushes(self._queue.popleft())

    async def _pushes(self, command: _Audio) -> None:
        per_ms, step = self._voice.bytes_per_ms, FRAME_MS * self._voice.bytes_per_ms
        for at in range(0, len(command.audio) - 1, step):
            segment = self._segment
            if segment is None:
                base_ms = self._counts.get(command.item, 0)
                segment = self._segment = Segment(command.item, command.generation, base_ms)
            sound = command.audio[at : at + step]
            assert self._frame is not None, "it is open"
            frame = self._frame(sound, self._voice.rate_hz, 1, len(sound) // _SAMPLE_BYTES)
            segment.offered_ms += len(sound) / per_ms
            self._capturing = asyncio.ensure_future(self._output.capture_frame(frame))
            await asyncio.wait([self._capturing])
            done, self._capturing = self._capturing, None
            if done.cancelled():
                self._segment = None
                return
            done.result()
            segment.pushed_ms = segment.offered_ms
            if command.generation != self._generation:
                if not segment.closing:  # It was taken in the moment in which it was flushed.
                    self._output.clear_buffer()
                    self._close(segment)
                return

    async def _watches(self) -> None:
        """Report how far it is, and complete a segment that has run dry: only then LiveKit says that it was heard."""
        while True:
            await asyncio.sleep(REPORT_EVERY_MS / 1000)
            segment, now_ms = self._segment, self._now_ms()
            if segment is None or segment.closing:
                continue
            position = segment.position(now_ms)
            if position is not None:
                self._say(position)
            if not self._queue and self._capturing is None and segment.has_run_dry(now_ms):
                self._close(segment)

    def _on_started(self, _: Any) -> None:  # noqa: ANN401  events of LiveKit
        if self._segment is not None:
            self._segment.started(self._now_ms())

    def _on_progressed(self, event: Any) -> None:  # noqa: ANN401
        if self._segment is not None:
            self._segment.progressed((event.offset + event.duration) * 1000)

    def _on_finished(self, event: Any) -> None:  # noqa: ANN401
        segment, self._segment = self._segment, None
        if segment is None:
            return
        where = segment.finished(event.playback_position)
        owed, self._owed = self._owed, []
        if segment.generation == self._generation:
            self._counts[segment.item] = where["played_ms"]
        if not owed:
            self._say({"type": "position", **where})
        for at, generation in enumerate(owed):
            nothing = {"item": None, "played_ms": 0, "generation": generation}
            self._say({"type": "flushed", **(nothing if at else where)})
        self._work.set()

    # -- the rest -----------------------------------------------------------------------------------

    async def _hears(self, frames: AsyncIterable[Any]) -> None:
        voice = self._voice.heard
        async for frame in frames:
            if (frame.sample_rate, frame.num_channels) != (voice.rate_hz, 1):
                raise ValueError(
                    f"the caller's frames have {frame.sample_rate} Hz and {frame.num_channels} channels, "
                    f"not {voice.rate_hz} Hz and one"
                )
            self._say({"type": "audio", "audio": b64encode(bytes(frame.data)).decode()})

    async def _guarded(self, work: Any) -> None:  # noqa: ANN401  one of our coroutines
        try:
            await work
        except Exception as error:  # LiveKit's own kinds, of a room that is gone.
            self.why = str(error) or type(error).__name__
            self._end()

    def _now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def _say(self, *messages: Message) -> None:
        self._said += [msgspec.json.encode(message).decode() for message in messages]
        self._news.set()

    def _end(self) -> None:
        if None not in self._said:
            self._said.append(None)
        self._news.set()
