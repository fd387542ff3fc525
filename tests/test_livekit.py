"""LiveKit's output as a transport: what it says of its segments becomes what is heard of items."""

import sys
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import anyio
import pytest
from anyio import lowlevel

from bargein import adapters
from bargein.runtime import events as ev
from bargein.runtime.driver import Driver
from bargein.runtime.errors import TransportError, UsageError
from bargein.runtime.livekit import FRAME_MS, LiveKitOutput
from bargein.runtime.segments import Segment
from bargein.simulator.voice import speech, trace

from .streams import MemoryStream

LIVEKIT = adapters.transport("livekit")
OPENAI = adapters.provider("openai")
VOICE = LIVEKIT.audio["pcm16"]
PER_MS = VOICE.bytes_per_ms


class Frame(NamedTuple):
    """As `livekit.rtc.AudioFrame`."""

    data: bytes
    sample_rate: int
    num_channels: int
    samples_per_channel: int


class Event(NamedTuple):
    """As LiveKit's events of the playback."""

    playback_position: float = 0
    interrupted: bool = False
    offset: float = 0
    duration: float = 0


class Emitter:
    """The parts of LiveKit's `AudioOutput` that this project uses, for where its package is not installed."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[[Any], None]]] = {}
        self.segments = 0
        self._open = False

    def on(self, event: str, callback: Any = None) -> None:  # noqa: ANN401
        self._callbacks.setdefault(event, []).append(callback)

    def off(self, event: str, callback: Any) -> None:  # noqa: ANN401
        self._callbacks[event].remove(callback)

    async def capture_frame(self, frame: Any) -> None:  # noqa: ANN401
        self.segments += not self._open
        self._open = True

    def flush(self) -> None:
        self._open = False

    def on_playback_started(self, *, created_at: float) -> None:
        self._emit("playback_started", Event())

    def on_playback_progressed(self, *, started_at: float, offset: float, duration: float) -> None:
        self._emit("playback_progressed", Event(offset=offset, duration=duration))

    def on_playback_finished(self, *, playback_position: float, interrupted: bool) -> None:
        self._emit("playback_finished", Event(playback_position, interrupted))

    def _emit(self, event: str, said: Event) -> None:
        for callback in self._callbacks.get(event, ()):
            callback(said)


def sink(base: Any) -> Any:  # noqa: ANN401
    """An output that plays when the test says so."""

    class Sink(base):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:  # noqa: ANN401
            super().__init__(**options)
            self.frames: list[bytes] = []
            self.flushes = self.clears = 0
            self.subscribed = anyio.Event()
            self.subscribed.set()

        async def capture_frame(self, frame: Any) -> None:  # noqa: ANN401
            await self.subscribed.wait()
            await super().capture_frame(frame)
            self.frames.append(bytes(frame.data))

        def flush(self) -> None:
            super().flush()
            self.flushes += 1

        def clear_buffer(self) -> None:
            self.clears += 1

        def finishes(self, position_ms: int, *, interrupted: bool = False) -> None:
            self.on_playback_finished(playback_position=position_ms / 1000, interrupted=interrupted)

        @property
        def pushed(self) -> list[int]:
            """The milliseconds of each voice that came, in order."""
            places = trace(b"".join(self.frames), PER_MS)
            return [place[0] * 10_000 + place[1] for place in places if place is not None]

    return Sink


@pytest.fixture(params=["of our own", "official"])
def output(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    if request.param == "of our own":
        return sink(Emitter)()
    if find_spec("livekit") is None or find_spec("livekit.agents") is None:
        pytest.skip("livekit-agents is not installed; its own AudioOutput is not tried")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What it warns of at its import is its own affair.
        io = import_module("livekit.agents.voice.io")
    return sink(io.AudioOutput)(
        label="test", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=24000
    )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def audio(item: int, from_ms: int, duration_ms: int, generation: int = 0) -> bytes:
    sound = speech(item, from_ms, duration_ms, PER_MS)
    [data] = LIVEKIT.play(None, sound, f"item_{item}", generation)
    return data


def flush(generation: int) -> bytes:
    [data] = LIVEKIT.clear(None, generation)
    return data


async def until(true: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not true():
            await lowlevel.checkpoint()


async def said(out: LiveKitOutput, count: int = 1) -> list[ev.Event]:
    """The next so many messages, as the table reads them."""
    found: list[ev.Event] = []
    with anyio.fail_after(5):
        for _ in range(count):
            message = await out.receive()
            assert message is not None
            found += LIVEKIT.decode(message)
    return found


async def opened(output: Any) -> LiveKitOutput:  # noqa: ANN401
    out = await LiveKitOutput(output, VOICE, frame=Frame).open()
    [started] = await said(out)
    assert isinstance(started, ev.StreamStarted)
    return out


# -- how far a segment is ---------------------------------------------------------------------------


def test_the_clock_counts_from_the_first_sound_and_never_to_the_end() -> None:
    """That an item was heard to its end is LiveKit's word: its clock may stand, ours does not know it."""
    segment = Segment("item_1", 2, 100)
    segment.offered_ms = segment.pushed_ms = 300
    assert segment.position(1000) is None and not segment.has_run_dry(10**6)
    segment.started(1000)
    expected = {"type": "position", "item": "item_1", "played_ms": 150, "generation": 2}
    assert segment.position(1050) == expected and segment.position(1050) is None
    assert segment.position(9999) == expected | {"played_ms": 399} and segment.has_run_dry(1300)
    assert segment.finished(0.3)["played_ms"] == 400


def test_what_the_output_tells_goes_before_the_clock() -> None:
    segment = Segment("item_1", 0, 0)
    segment.offered_ms = segment.pushed_ms = 300
    segment.started(0)
    segment.progressed(120)
    position = segment.position(250)
    assert position is not None and position["played_ms"] == 120


def test_no_more_was_played_than_was_pushed() -> None:
    """Swapped outputs are known to say more: facts/transports.md 10.3."""
    segment = Segment("item_1", 0, 0)
    segment.offered_ms = segment.pushed_ms = 300
    assert segment.finished(7.5)["played_ms"] == 300


# -- the stream -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_item_is_one_segment_and_its_end_is_livekits_word(output: Any) -> None:  # noqa: ANN401
    """The next item waits until the one before has finished: LiveKit plays no two at a time."""
    out = await opened(output)
    await out.send(audio(1, 0, 120))
    await out.send(audio(1, 120, 30))
    await out.send(audio(2, 0, 20))
    await until(lambda: output.flushes)
    assert output.pushed == [10_000 + ms for ms in range(150)]
    assert {len(frame) for frame in output.frames[:2]} == {FRAME_MS * PER_MS}
    output.finishes(150)
    assert await said(out) == [ev.Played(item="item_1", played_ms=150, generation=0)]
    await until(lambda: len(output.pushed) == 170)
    await out.aclose()
    assert await out.receive() is None and out.why == "closed by us"


@pytest.mark.anyio
async def test_an_item_that_has_run_dry_is_completed_and_counts_on(output: Any) -> None:  # noqa: ANN401
    """Without that nobody would ever be told that it was heard."""
    out = await opened(output)
    await out.send(audio(1, 0, 20))
    await until(lambda: output.pushed)
    output.on_playback_started(created_at=0)
    output.on_playback_progressed(started_at=0, offset=0.0, duration=0.02)
    with anyio.fail_after(5):
        assert await said(out) == [ev.Played(item="item_1", played_ms=19, generation=0)]
    await until(lambda: output.flushes == 1)
    output.finishes(20)
    assert await said(out) == [ev.Played(item="item_1", played_ms=20, generation=0)]
    await out.send(audio(1, 20, 10))
    await until(lambda: len(output.pushed) == 30)
    await out.send(audio(2, 0, 10))
    await until(lambda: output.flushes == 2)
    output.finishes(10)
    assert await said(out) == [ev.Played(item="item_1", played_ms=30, generation=0)]
    await out.aclose()


@pytest.mark.anyio
async def test_a_flush_is_answered_when_livekit_says_where_it_stopped(output: Any) -> None:  # noqa: ANN401
    """Until then what follows waits: LiveKit would drop it."""
    out = await opened(output)
    await out.send(audio(1, 0, 100))
    await until(lambda: len(output.frames) == 2)
    await out.send(flush(1))
    await out.send(audio(2, 0, 50, 1))
    await out.send(audio(9, 0, 50, 0))
    assert (output.clears, output.flushes) == (1, 1)
    await out.send(flush(2))
    await out.send(audio(3, 0, 50, 2))
    output.finishes(64, interrupted=True)
    assert await said(out, 2) == [
        ev.Played(item="item_1", played_ms=64, generation=0),
        ev.Cleared(),
        ev.Cleared(),
    ]
    await until(lambda: len(output.frames) == 3)
    assert output.pushed[100:] == [30_000 + ms for ms in range(50)]
    await out.aclose()


@pytest.mark.anyio
async def test_what_nobody_has_subscribed_to_is_flushed_unheard(output: Any) -> None:  # noqa: ANN401
    """A room takes no frame before somebody listens; then nothing old may sound."""
    output.subscribed = anyio.Event()
    out = await opened(output)
    await out.send(audio(1, 0, 100))
    await lowlevel.checkpoint()
    await lowlevel.checkpoint()
    await out.send(flush(1))
    assert await said(out) == [ev.Cleared()]
    await out.send(audio(2, 0, 50, 1))
    output.subscribed.set()
    await until(lambda: output.frames)
    assert output.pushed == [20_000 + ms for ms in range(50)]
    await out.aclose()


@pytest.mark.anyio
async def test_the_callers_frames_are_passed_on_and_a_wrong_rate_ends_the_call(output: Any) -> None:  # noqa: ANN401
    async def heard() -> AsyncIterator[Frame]:
        yield Frame(b"\1\2" * 480, 24000, 1, 480)
        yield Frame(b"\1\2" * 960, 48000, 1, 960)

    out = await LiveKitOutput(output, VOICE, heard(), frame=Frame).open()
    assert (await said(out, 2))[1] == ev.CallerAudio(audio=b"\1\2" * 480)
    with anyio.fail_after(5):
        assert await out.receive() is None
    assert "48000 Hz" in out.why
    await out.aclose()
    with pytest.raises(OSError, match="closed"):
        await out.send(flush(1))


@pytest.mark.anyio
async def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    with pytest.raises(TransportError, match="livekit-agents"):
        await LiveKitOutput(sink(Emitter)(), VOICE).open()


def test_a_format_that_is_no_pcm16_is_refused() -> None:
    with pytest.raises(UsageError, match="mulaw"):
        LiveKitOutput(sink(Emitter)(), adapters.transport("browser").audio["mulaw"])


@pytest.mark.anyio
async def test_a_call_ends_with_what_livekit_said_was_heard(output: Any) -> None:  # noqa: ANN401
    """The whole way: model, session, output."""
    provider = MemoryStream()
    driver = Driver(OPENAI, LIVEKIT)
    out = LiveKitOutput(output, VOICE, frame=Frame)

    async def script(driver: Driver) -> None:
        await driver.ready()
        handle = await driver.request(instructions="Speak.")
        await provider.until_told("response.create")
        response = {
            "id": "resp_1",
            "metadata": {"client_event_id": handle.ref},
            "status": "completed",
        }
        provider.says({"type": "response.created", "response": response})
        delta = b64encode(speech(1, 0, 200, PER_MS)).decode()
        of = {"response_id": "resp_1", "item_id": "item_1", "content_index": 0}
        provider.says({"type": "response.output_audio.delta", **of, "delta": delta})
        provider.says({"type": "response.done", "response": response})
        await until(lambda: len(output.frames) == 4)
        output.finishes(200)
        outcome = await handle.resolved()
        assert [(item.state, item.heard_ms) for item in outcome.items] == [("full", 200)]
        driver.close()

    with anyio.fail_after(10):
        await driver.run(out.open, provider, script)
