"""The sound card as a playback transport: the microphone and the loudspeaker of this machine, in this process.

    card = SoundCard(adapter.audio["pcm16"])
    await Driver(provider, adapter).run(card.open, connect)

It speaks the protocol of `statemachines/transports/soundcard.yaml` to the driver, and PCM16 to PortAudio. A position
is what has sounded: the frames handed to the device, less those that wait for its output latency.
"""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from secrets import token_hex
from typing import Any, Final, Protocol

import msgspec

from .adapter import AudioFormat
from .errors import TransportError, UsageError

REPORT_EVERY_MS: Final = 50
BLOCK_MS: Final = 10
"""How much the device is handed at a time; so late may a flush be."""
FRAME_MS: Final = 20
"""The caller's voice comes in frames of this length."""
_SAMPLE_BYTES: Final = 2


class Times(Protocol):
    """PortAudio's clock at a callback, in seconds (`PaStreamCallbackTimeInfo`)."""

    currentTime: float  # noqa: N815  PortAudio's name
    outputBufferDacTime: float  # noqa: N815
    """When the first frame that is handed over now will sound."""


class DeviceStream(Protocol):
    """As `sounddevice.RawOutputStream` and `RawInputStream`."""

    latency: Any
    """Of the device, in seconds."""

    def start(self) -> None:
        """Begin to call back."""
        ...

    def close(self) -> None:
        """Stop, and let go of the device."""
        ...


class Device(Protocol):
    """What makes the two streams: the module `sounddevice`, or whatever has these two of it."""

    def RawOutputStream(self, **options: Any) -> DeviceStream:  # noqa: ANN401, N802
        """A stream that asks for sound."""
        ...

    def RawInputStream(self, **options: Any) -> DeviceStream:  # noqa: ANN401, N802
        """A stream that brings sound."""
        ...


class _Audio(msgspec.Struct, tag_field="type", tag="audio"):
    item: str
    generation: int
    audio: bytes


class _Flush(msgspec.Struct, tag_field="type", tag="flush"):
    generation: int


Command = _Audio | _Flush
_decode: Final = msgspec.json.Decoder(Command).decode


class Player:
    """Plays items in the order they come and counts what of them has sounded. Sans I/O.

    At every callback of the device: `sounded`, `take` for each command, `render`. The first two return messages for
    the session. Positions count as `docs/browser.md` says.
    """

    def __init__(self, rate_hz: int, report_every_ms: int = REPORT_EVERY_MS) -> None:
        self._rate_hz = rate_hz
        self._every = rate_hz * report_every_ms // 1000
        self._generation = 0
        self._queue: deque[tuple[str, memoryview]] = deque()
        self._handed: deque[tuple[str | None, int]] = deque()  # not sounded yet: items, or silence
        self._handed_frames = 0
        self._counts: dict[str, int] = {}

    def sounded(self, latency_frames: int) -> list[dict[str, Any]]:
        """All that was handed over has sounded but for so many frames; what there is to report."""
        messages, frames = [], self._handed_frames - latency_frames
        while frames > 0 and self._handed:
            item, length = self._handed.popleft()
            size = min(frames, length)
            if size < length:
                self._handed.appendleft((item, length - size))
            self._handed_frames -= size
            frames -= size
            if item is not None and self._count(item, size):
                messages.append({"type": "position", **self._where(item)})
        return messages

    def take(self, command: Command) -> list[dict[str, Any]]:
        """Queue audio of the generation that plays, or flush."""
        if isinstance(command, _Audio):
            whole = memoryview(command.audio)[: len(command.audio) // _SAMPLE_BYTES * _SAMPLE_BYTES]
            if command.generation == self._generation and whole:
                self._queue.append((command.item, whole))
            return []
        ahead = [item for item, _ in self._handed if item is not None]
        sounds = next(iter(ahead), self._queue[0][0] if self._queue else None)
        answer = {"type": "flushed", **self._where(sounds)}
        self._queue.clear()
        self._counts.clear()
        # What the device has it plays; it counts for nobody.
        self._handed = deque([(None, self._handed_frames)]) if self._handed_frames else deque()
        self._generation = command.generation
        return [answer]

    def render(self, frames: int) -> bytes:
        """The next frames for the device."""
        out, left = bytearray(), frames
        while left and self._queue:
            item, audio = self._queue[0]
            size = min(left, len(audio) // _SAMPLE_BYTES)
            out += audio[: size * _SAMPLE_BYTES]
            if size * _SAMPLE_BYTES < len(audio):
                self._queue[0] = (item, audio[size * _SAMPLE_BYTES :])
            else:
                self._queue.popleft()
            self._hand(item, size)
            left -= size
        self._hand(None, left)
        return bytes(out) + bytes(left * _SAMPLE_BYTES)

    def _hand(self, item: str | None, frames: int) -> None:
        if not frames:
            return
        self._handed_frames += frames
        if self._handed and self._handed[-1][0] == item:
            frames += self._handed.pop()[1]
        self._handed.append((item, frames))

    def _count(self, item: str, frames: int) -> bool:
        """Whether there is something to report: a full interval, or the end of what there is of the item."""
        before = self._counts.get(item, 0)
        self._counts[item] = before + frames
        after = self._handed or self._queue
        ends = not after or after[0][0] != item
        return ends or before // self._every != (before + frames) // self._every

    def _where(self, item: str | None) -> dict[str, Any]:
        frames = 0 if item is None else self._counts.get(item, 0)
        return {
            "item": item,
            "played_ms": frames * 1000 // self._rate_hz,
            "generation": self._generation,
        }


class SoundCard:
    """The device as a `MessageStream`. `open` it in the event loop; its callbacks come from a thread of PortAudio.

    `voice` is one of the formats of the table `soundcard`. `device` is what makes the streams, None takes
    sounddevice (`pip install "bargein[soundcard]"`) with the system's default devices. `latency` is what is asked
    of the device: `low`, `high` or seconds.

    :raises UsageError: for a format that is not PCM16.
    """

    def __init__(
        self, voice: AudioFormat, device: Device | None = None, *, latency: str | float = "low"
    ) -> None:
        for part in (voice, voice.heard):
            if part.bytes_per_ms * 1000 != part.rate_hz * _SAMPLE_BYTES:
                raise UsageError(f"a sound card speaks PCM16, not {voice.name}")
        self.why = "closed by us"
        self._voice = voice
        self._device = device
        self._latency = latency
        self._player = Player(voice.rate_hz)
        self._commands: deque[Command] = deque()  # to the callback's thread
        self._said: deque[str | None] = deque()
        self._streams: list[DeviceStream] = []
        self._stated_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    async def open(self) -> "SoundCard":
        """Begin to play and to listen; returns itself, so that it is a `Source` of the driver.

        :raises TransportError: if there is no such device, or sounddevice is not installed.
        """
        device, voice = self._device or _sounddevice(), self._voice
        self._loop = asyncio.get_running_loop()
        names = {"stream": token_hex(8), "call": token_hex(8)}
        self._say([{"type": "start", **names}])
        shared = {"channels": 1, "dtype": "int16", "latency": self._latency}
        try:
            speaker = device.RawOutputStream(
                samplerate=voice.rate_hz,
                blocksize=voice.rate_hz * BLOCK_MS // 1000,
                callback=self._plays,
                finished_callback=self._gone,
                **shared,
            )
            self._streams.append(speaker)
            self._stated_s = float(speaker.latency)
            microphone = device.RawInputStream(
                samplerate=voice.heard.rate_hz,
                blocksize=voice.heard.rate_hz * FRAME_MS // 1000,
                callback=self._hears,
                finished_callback=self._gone,
                **shared,
            )
            self._streams.append(microphone)
            for stream in self._streams:
                stream.start()
        except Exception as error:  # PortAudioError is no OSError.
            await self.aclose(failed=True)
            raise TransportError(f"the sound card cannot be opened: {error}") from error
        return self

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
        """See `MessageStream.takes`: there is room for everything."""
        return True

    async def send(self, data: bytes, binary: bool = False) -> None:
        """See `MessageStream.send`."""
        if not self._streams:
            raise BrokenPipeError("the sound card is closed")
        self._commands.append(_decode(data))

    async def aclose(self, failed: bool = False) -> None:
        """See `MessageStream.aclose`. What has not sounded never will."""
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()
        self._end()

    # -- the device's side, in its own thread -------------------------------------------------------

    def _plays(self, out: Any, frames: int, times: Times, _: Any) -> None:  # noqa: ANN401  CFFI's
        messages = self._player.sounded(self._latency_frames(times))
        while self._commands:
            messages += self._player.take(self._commands.popleft())
        out[:] = self._player.render(frames)
        self._tell(messages)

    def _hears(self, sound: Any, frames: int, times: Times, _: Any) -> None:  # noqa: ANN401
        self._tell([{"type": "audio", "audio": b64encode(bytes(sound)).decode()}])

    def _gone(self) -> None:
        """A stream has ended: closed by us, or the device is gone."""
        if self._streams and self._loop is not None:
            self.why = "the device is gone"
            self._loop.call_soon_threadsafe(self._end)

    def _latency_frames(self, times: Times) -> int:
        """Some systems do not tell the times; then what the device states once is all there is."""
        ahead_s = times.outputBufferDacTime - times.currentTime
        told = times.currentTime > 0 and ahead_s > 0
        return round((ahead_s if told else self._stated_s) * self._voice.rate_hz)

    def _tell(self, messages: Sequence[dict[str, Any]]) -> None:
        if messages and self._streams and self._loop is not None:
            self._loop.call_soon_threadsafe(self._say, messages)

    def _say(self, messages: Sequence[dict[str, Any]]) -> None:
        self._said += [msgspec.json.encode(message).decode() for message in messages]
        self._news.set()

    def _end(self) -> None:
        if None not in self._said:
            self._said.append(None)
        self._news.set()


def _sounddevice() -> Device:
    try:
        device: Device = import_module("sounddevice")
    except (ImportError, OSError) as error:  # OSError: it is there, and PortAudio is not.
        raise TransportError(
            f'the sound card needs sounddevice and PortAudio: pip install "bargein[soundcard]" ({error})'
        ) from error
    return device
