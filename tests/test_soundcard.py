"""The sound card: a position is what has sounded, never what the device still holds."""

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import pytest
from anyio import lowlevel
from hypothesis import given
from hypothesis import strategies as st

from bargein import adapters
from bargein.runtime import events as ev
from bargein.runtime.driver import Driver
from bargein.runtime.errors import TransportError, UsageError
from bargein.runtime.soundcard import BLOCK_MS, Player, SoundCard, _decode
from bargein.simulator.ear import Ear
from bargein.simulator.voice import caller_speech, speech

from .streams import MemoryStream

CARD = adapters.transport("soundcard")
OPENAI = adapters.provider("openai")
VOICE = CARD.audio["pcm16"]
PER_MS = VOICE.bytes_per_ms


class Times(NamedTuple):
    """PortAudio's clock."""

    currentTime: float  # noqa: N815
    outputBufferDacTime: float  # noqa: N815


class Stream:
    """One direction of the device."""

    def __init__(self, callback: Callable[..., None], finished: Callable[[], None]) -> None:
        self.callback, self.finished = callback, finished
        self.latency = 0.03
        self.started = self.closed = False

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True
        self.finished()


class Device:
    """A sound card of the test's own: it calls back when told to, and an ear hears what its converter has made sound.

    It holds `latency_ms` between what it is handed and what sounds. `tells` is whether it tells the times.
    """

    def __init__(self, latency_ms: int = 30, *, tells: bool = True) -> None:
        self.latency_ms, self.tells = latency_ms, tells
        self.ear = Ear(PER_MS)
        self.streams: list[Stream] = []
        self.asked: list[dict[str, Any]] = []
        self._line = bytearray(latency_ms * PER_MS)
        self._now_ms = 1000

    def RawOutputStream(self, **options: Any) -> Stream:  # noqa: ANN401, N802
        return self._stream(options)

    def RawInputStream(self, **options: Any) -> Stream:  # noqa: ANN401, N802
        return self._stream(options)

    def _stream(self, options: dict[str, Any]) -> Stream:
        self.asked.append(options)
        stream = Stream(options["callback"], options["finished_callback"])
        stream.latency = self.latency_ms / 1000
        self.streams.append(stream)
        return stream

    def plays(self, duration_ms: int) -> None:
        for _ in range(duration_ms // BLOCK_MS):
            out = bytearray(BLOCK_MS * PER_MS)
            now_s = self._now_ms / 1000
            times = Times(now_s, now_s + self.latency_ms / 1000) if self.tells else Times(0, 0)
            frames = len(out) // 2
            self.streams[0].callback(memoryview(out), frames, times, None)
            self._line += out
            sounds, self._line = self._line[: len(out)], self._line[len(out) :]
            self.ear.hear(bytes(sounds), self._now_ms)
            self._now_ms += BLOCK_MS

    def hears(self, sound: bytes) -> None:
        self.streams[1].callback(memoryview(sound), len(sound) // 2, Times(0, 0), None)


def audio(item: int, from_ms: int, duration_ms: int, generation: int = 0) -> bytes:
    sound = speech(item, from_ms, duration_ms, PER_MS)
    [data] = CARD.play(None, sound, f"item_{item}", generation)
    return data


# -- what has sounded -------------------------------------------------------------------------------


def test_what_the_device_still_holds_has_not_sounded() -> None:
    """The known fault of such players is to count what they have handed over: facts/transports.md 13."""
    player = Player(24000)
    player.take(_decode(audio(1, 0, 200)))
    latency = 30 * 24
    reports = [(player.sounded(latency), player.render(240))[0] for _ in range(25)]
    said = {10 * at: each for at, each in enumerate(reports) if each}
    assert {at_ms: each[0]["played_ms"] for at_ms, each in said.items()} == {
        80: 50,
        130: 100,
        180: 150,
        230: 200,
    }


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 3), st.integers(1, 130)),
        st.tuples(st.just("plays"), st.integers(1, 25), st.integers(0, 45)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 45))
def test_no_report_says_more_than_the_ear_heard(
    steps: list[tuple[str, int, int]], last_latency_ms: int
) -> None:
    """However the latency changes from one callback to the next. And in the end, all that was sent is reported."""
    player, ear, line = Player(24000), Ear(PER_MS), bytearray()
    generation = 0
    sent, begun, reported = dict[int, int](), dict[int, int](), dict[int, int]()

    def judge(messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["item"] is not None:
                assert message["generation"] == generation
                item = int(message["item"].removeprefix("item_"))
                reported[item] = begun[item] + message["played_ms"]
                assert reported[item] <= ear.heard_ms(item)

    def renders(latency_ms: int) -> None:
        sounded = max(0, len(line) - latency_ms * PER_MS)
        ear.hear(bytes(line[:sounded]), 0)
        del line[:sounded]
        judge(player.sounded(latency_ms * 24))
        out = player.render(240)
        assert len(out) == 480
        line.extend(out)

    for what, one, two in [*steps, ("plays", 250, last_latency_ms)]:
        if what == "audio":
            begun.setdefault(one, sent.get(one, 0))
            judge(player.take(_decode(audio(one, sent.get(one, 0), two, generation))))
            sent[one] = sent.get(one, 0) + two
        elif what == "plays":
            for _ in range(one):
                renders(two)
        else:
            [data] = CARD.clear(None, generation + 1)
            judge(player.take(_decode(data)))
            generation += 1
            begun.clear()
            sent.update({item: ear.heard_ms(item) for item in sent})
    if sum(step[2] for step in steps if step[0] == "audio") < 2000:
        assert {item: reported[item] for item in begun} == {item: sent[item] for item in begun}
    assert ear.foreign_ms == 0


def test_audio_from_before_a_flush_is_not_played_after_it() -> None:
    player = Player(24000)
    [data] = CARD.clear(None, 1)
    assert player.take(_decode(data)) == [
        {"type": "flushed", "item": None, "played_ms": 0, "generation": 0}
    ]
    player.take(_decode(audio(1, 0, 50, generation=0)))
    assert (player.render(240), player.sounded(0)) == (bytes(480), [])


def test_half_a_sample_holds_nothing_up() -> None:
    player = Player(24000)
    for sound in (b"\1", b"\1\2\3"):
        [data] = CARD.play(None, sound, "item_1", 0)
        player.take(_decode(data))
    assert player.render(4) == b"\1\2" + bytes(6)


# -- the stream -------------------------------------------------------------------------------------


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def said(card: SoundCard, count: int) -> list[ev.Event]:
    """The next so many messages, as the table reads them."""
    found: list[ev.Event] = []
    with anyio.fail_after(5):
        for _ in range(count):
            message = await card.receive()
            assert message is not None
            found += CARD.decode(message)
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("tells", [True, False])
async def test_the_table_reads_what_the_card_says(tells: bool) -> None:
    """Whether the device tells the times of each callback, or only once how late it is."""
    device = Device(latency_ms=30, tells=tells)
    card = await SoundCard(VOICE, device).open()
    [started] = await said(card, 1)
    assert isinstance(started, ev.StreamStarted) and started.stream and started.call
    await card.send(audio(1, 0, 120))
    device.plays(100)
    assert await said(card, 1) == [ev.Played(item="item_1", played_ms=50, generation=0)]
    assert device.ear.heard_ms(1) == 70
    [flush] = CARD.clear(None, 1)
    await card.send(flush)
    device.plays(10)
    assert await said(card, 1) == [
        ev.Played(item="item_1", played_ms=70, generation=0),
        ev.Cleared(),
    ]
    caller = caller_speech(20, VOICE.heard.bytes_per_ms)
    device.hears(caller)
    assert await said(card, 1) == [ev.CallerAudio(audio=caller)]
    await card.aclose()
    assert await card.receive() is None and await card.receive() is None
    assert card.why == "closed by us" and all(stream.closed for stream in device.streams)
    with pytest.raises(OSError, match="closed"):
        await card.send(flush)


@pytest.mark.anyio
async def test_each_voice_has_its_own_rate() -> None:
    """Two streams, and not one for both ways: the model may hear at another rate than it speaks."""
    device = Device()
    card = await SoundCard(CARD.audio["pcm16_24k_16k"], device, latency="high").open()
    assert [each["samplerate"] for each in device.asked] == [24000, 16000]
    assert [each["blocksize"] for each in device.asked] == [240, 320]
    for each in device.asked:
        assert (each["channels"], each["dtype"], each["latency"]) == (1, "int16", "high")
    await card.aclose()


@pytest.mark.anyio
async def test_a_device_that_goes_away_ends_the_call() -> None:
    """A headset that is unplugged is a caller who has hung up."""
    device = Device()
    card = await SoundCard(VOICE, device).open()
    await said(card, 1)
    device.streams[0].finished()
    with anyio.fail_after(5):
        assert await card.receive() is None
    assert card.why == "the device is gone"
    await card.aclose()


@pytest.mark.anyio
async def test_a_device_that_cannot_be_opened_is_a_transports_error() -> None:
    device = Device()

    def fails(**_: Any) -> Stream:  # noqa: ANN401
        raise RuntimeError("Invalid number of channels")

    device.RawInputStream = fails  # type: ignore[method-assign]
    with pytest.raises(TransportError, match="Invalid number of channels"):
        await SoundCard(VOICE, device).open()
    assert [stream.closed for stream in device.streams] == [True]


@pytest.mark.anyio
async def test_without_sounddevice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is asked for only by who plays."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(TransportError, match=r"bargein\[soundcard\]"):
        await SoundCard(VOICE).open()


def test_a_format_that_is_no_pcm16_is_refused() -> None:
    with pytest.raises(UsageError, match="mulaw"):
        SoundCard(adapters.transport("browser").audio["mulaw"], Device())


# -- a call -----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_interrupted_item_is_cut_where_the_card_stood() -> None:
    """The whole way: model, session, sound card, ear. What is remembered was heard, to within one report."""
    device, provider = Device(latency_ms=40), MemoryStream()
    driver = Driver(OPENAI, CARD)
    card = SoundCard(VOICE, device)

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
        delta = b64encode(speech(1, 0, 1000, PER_MS)).decode()
        of = {"response_id": "resp_1", "item_id": "item_1", "content_index": 0}
        provider.says({"type": "response.output_audio.delta", **of, "delta": delta})
        while "item_1" not in driver.session.items:
            await lowlevel.checkpoint()
        device.plays(330)
        while driver.session.items["item_1"].heard_bytes < 250 * PER_MS:
            await lowlevel.checkpoint()
        device.hears(caller_speech(20, VOICE.heard.bytes_per_ms))
        await driver.interrupt()
        device.plays(400)
        cut = await provider.until_told("conversation.item.truncate")
        assert cut["audio_end_ms"] == 250
        # The flush takes effect at the next callback; what the device held then sounds to its end.
        assert device.ear.heard_ms(1) == 330
        assert not device.ear.faults()
        heard = await provider.until_told("input_audio_buffer.append")
        assert b64decode(heard["audio"]) == caller_speech(20, VOICE.heard.bytes_per_ms)
        driver.close()

    with anyio.fail_after(10):
        await driver.run(card.open, provider, script)
    assert all(stream.closed for stream in device.streams)
