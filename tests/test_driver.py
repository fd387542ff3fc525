"""The driver: whatever happens to a call, it is tidied away, and everybody who waits gets an answer."""

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import get_running_tasks
from msgspec import structs

from bargein import adapters
from bargein.runtime import events as ev
from bargein.runtime.actions import Action
from bargein.runtime.adapter import ItemFacts, ProviderAdapter, Wire
from bargein.runtime.driver import Driver, Ended, Limits
from bargein.runtime.errors import ProviderError, TransportError, UsageError
from bargein.runtime.handles import Handle
from bargein.runtime.journal import Journal
from bargein.runtime.replay import replay
from bargein.runtime.session import Settings
from bargein.runtime.streams import MessageStream

from .streams import MemoryStream

pytestmark = pytest.mark.anyio

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")
VONAGE = adapters.transport("vonage")
BROWSER = adapters.transport("browser")

START = {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
STOP = {"event": "stop", "streamSid": "MZ1"}
FRAME = {
    "event": "media",
    "streamSid": "MZ1",
    "media": {"track": "inbound", "payload": b64encode(bytes(160)).decode()},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Call:
    """A driver between two streams in memory, run by `running`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.carrier = MemoryStream()
        self.provider = MemoryStream()
        self.ended: Ended | None = None
        self.over = anyio.Event()
        self.bug: Exception | None = None

    async def speaks(self, *, ms: int = 300, end: bool = True) -> Handle:
        """Ask for a response; the model answers with one item of `ms`."""
        handle = await self.driver.request(instructions="Speak.")
        await self.provider.until_told("response.create")
        metadata = {"client_event_id": handle.ref}
        response = {"id": "resp_1", "metadata": metadata, "status": "completed"}
        self.provider.says({"type": "response.created", "response": response})
        for _ in range(ms // 100):
            self.provider.says(delta())
        if end:
            self.provider.says({"type": "response.done", "response": response})
        await self.carrier.until(lambda carrier: carrier.kinds().count("media") >= ms // 100)
        return handle

    def hears(self, marks: int) -> None:
        """The carrier returns the first so many marks."""
        names = [message["mark"] for message in self.carrier.told if message["event"] == "mark"]
        for mark in names[:marks]:
            self.carrier.says({"event": "mark", "streamSid": "MZ1", "mark": mark})


def delta() -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "response_id": "resp_1",
        "item_id": "item_1",
        "content_index": 0,
        "delta": b64encode(bytes(800)).decode(),
    }


@asynccontextmanager
async def running(
    driver: Driver,
    *,
    start: bool = True,
    carrier: MemoryStream | None = None,
    connect: Callable[[], Awaitable[MessageStream]] | None = None,
    script: Callable[[Driver], Awaitable[None]] | None = None,
) -> AsyncIterator[Call]:
    """The call runs as long as the block, which must bring it to its end; nothing may be left of it."""
    before = {task.id for task in get_running_tasks()}
    call = Call(driver)
    call.carrier = carrier or call.carrier

    async def run() -> None:
        try:
            call.ended = await driver.run(call.carrier, connect or call.provider, script)
        except ArithmeticError as bug:
            call.bug = bug
        finally:
            call.over.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            if start:
                call.carrier.says(START)
            yield call
            await call.over.wait()
    assert {task.id for task in get_running_tasks()} <= before
    assert call.carrier.closed is not None


# -- the ordinary call ------------------------------------------------------------------------------


async def test_a_request_resolves_when_it_was_heard_to_its_end() -> None:
    """Not when the model has finished: that is seconds earlier."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=300)
        assert not handle.silenced
        call.hears(marks=3)
        outcome = await handle.resolved()
        assert outcome.verdict == "completed"
        assert [(item.state, item.heard_ms) for item in outcome.items] == [("full", 300)]
        assert [item.memory for item in await handle.remembered()] == ["exact"]
        call.carrier.says(STOP)
    assert call.ended == Ended("hung_up", "the caller hung up")
    assert (call.carrier.closed, call.provider.closed) == (False, False)


async def test_an_interrupt_silences_at_once_and_is_remembered_a_round_trip_later() -> None:
    """Two moments: the caller's and the server's."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=300, end=False)
        call.hears(marks=1)
        await wait_for(lambda: call.driver.view.snapshot()["responses"][0]["items"][0]["heard_ms"])
        done = await call.driver.interrupt()
        assert handle.silenced
        assert done == {
            "covered": [handle.ref],
            "cleared": True,
            "cancelled": ["resp_1"],
            "left_to_server": [],
            "withdrawn": [],
            "fenced": [],
            "truncated": [{"item": "item_1", "audio_end_ms": 100}],
            "forgotten": [],
            "to_forget": [],
        }
        assert call.carrier.kinds()[-1] == "clear"
        assert call.provider.kinds()[-2:] == ["response.cancel", "conversation.item.truncate"]
        assert (await handle.resolved()).items[0].memory == "pending"
        call.provider.says({"type": "conversation.item.truncated", "item_id": "item_1"})
        assert [item.memory for item in await handle.remembered()] == ["exact"]
        again = await call.driver.interrupt()
        assert not any(again.values())
        call.carrier.says(STOP)


async def test_what_comes_before_the_provider_is_there_waits_in_order() -> None:
    """The carrier talks from the first second; connecting takes longer. The settings go first."""
    provider, connected = MemoryStream(), anyio.Event()

    async def connect() -> MessageStream:
        await connected.wait()
        return provider

    driver = Driver(OPENAI, TWILIO)
    await driver.configure({"type": "realtime"})
    async with running(driver, connect=connect) as call:
        for _ in range(5):
            call.carrier.says(FRAME)
        await wait_for(lambda: driver.received["transport"] == 6)
        connected.set()
        await provider.until(lambda stream: len(stream.told) == 6)
        assert provider.kinds() == ["session.update"] + ["input_audio_buffer.append"] * 5
        call.carrier.says(STOP)
    assert provider.closed is False


async def test_a_script_runs_beside_the_call_and_ends_with_it() -> None:
    """An application is a function of its driver; it need not clean up."""
    seen: list[str] = []

    async def script(driver: Driver) -> None:
        await driver.ready()
        seen.append("ready")
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("cancelled")

    async with running(Driver(OPENAI, TWILIO), script=script) as call:
        await wait_for(lambda: seen)
        call.carrier.says(STOP)
    assert seen == ["ready", "cancelled"]


async def test_deadlines_fire() -> None:
    """The session has no clock; the driver is it."""
    async with running(Driver(OPENAI, TWILIO, Settings(created_ms=40))) as call:
        handle = await call.driver.request(instructions="Nobody answers.")
        before_ms = call.driver.now_ms
        assert (await handle.resolved()).verdict == "timed_out"
        assert call.driver.now_ms - before_ms >= 39
        call.carrier.says(STOP)


async def test_every_action_for_the_application_is_told_in_order() -> None:
    """Traces, words, keys and problems; wire messages are none of its business."""
    seen: list[Action] = []
    async with running(Driver(OPENAI, TWILIO, on_action=seen.append)) as call:
        call.carrier.says({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "5"}})
        call.provider.says({"type": "input_audio_buffer.speech_started"})
        await wait_for(lambda: len(seen) == 3)
        call.carrier.says(STOP)
    assert [type(action).__name__ for action in seen] == [
        "StreamOpened",
        "KeyPressed",
        "CallerHeard",
    ]


async def test_a_callback_that_raises_is_logged_once_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug of the application must not cost the call."""

    def callback(action: Action) -> None:
        raise RuntimeError("a bug of the application")

    async with running(Driver(OPENAI, TWILIO, on_action=callback)) as call:
        handle = await call.speaks(ms=100)
        call.hears(marks=1)
        assert (await handle.resolved()).verdict == "completed"
        call.carrier.says(STOP)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "[call] on_action: the application's callback raised"
    ]


# -- slow and stuck ---------------------------------------------------------------------------------


async def test_a_stuck_carrier_does_not_hold_up_the_cancel_to_the_provider() -> None:
    """The model must stop talking even if the carrier does not listen."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        await call.speaks(ms=300, end=False)
        call.hears(marks=1)
        call.carrier.stuck = True
        call.provider.says(delta())
        await call.driver.interrupt()
        await call.provider.until_told("response.cancel")
        assert "clear" not in call.carrier.kinds()
        call.carrier.unstick()
        await call.carrier.until_told("clear")
        call.carrier.says(STOP)


async def test_a_carrier_that_takes_nothing_ends_the_call_and_not_the_memory_of_the_machine() -> (
    None
):
    """Bounded: what waits too long is an error with a name, and the model is told what was heard."""
    driver = Driver(OPENAI, TWILIO, limits=Limits(outbox_bytes=4_000, goodbye_s=0.05))
    async with running(driver) as call:
        handle = await call.speaks(ms=100, end=False)
        call.carrier.stuck = True
        for _ in range(6):
            call.provider.says(delta())
        assert (await handle.resolved()).verdict == "interrupted"
    assert call.ended is not None and call.ended.code == "overflow"
    assert isinstance(call.ended.error, TransportError)
    assert "bytes wait" in call.ended.reason
    assert "response.cancel" in call.provider.kinds()


async def test_a_provider_that_takes_nothing_ends_the_call() -> None:
    """The same the other way round: every request fails by name."""
    driver = Driver(OPENAI, TWILIO, limits=Limits(outbox_bytes=2_000, goodbye_s=0.05))
    async with running(driver) as call:
        await call.provider.until(lambda stream: True)
        call.provider.stuck = True
        handle = await driver.request(instructions="x" * 100)
        for _ in range(10):
            call.carrier.says(FRAME)
        outcome = await handle.resolved()
        assert (outcome.verdict, outcome.code) == ("failed", "connection_lost")
    assert call.ended is not None and call.ended.code == "overflow"
    assert isinstance(call.ended.error, ProviderError)


# -- the ends of a call -----------------------------------------------------------------------------


async def test_a_refusing_provider_fails_requests_and_closes_the_carrier_with_an_error() -> None:
    """One clear typed error."""

    async def connect() -> MessageStream:
        await anyio.lowlevel.checkpoint()
        raise ProviderError("ws://nowhere/ refused us: HTTP 401")

    driver = Driver(OPENAI, TWILIO)
    handle = await driver.request(instructions="Hello?")
    async with running(driver, connect=connect) as call:
        outcome = await handle.resolved()
        assert (outcome.verdict, outcome.code) == ("failed", "connection_lost")
    assert call.ended is not None
    assert (call.ended.code, call.ended.reason) == ("refused", "ws://nowhere/ refused us: HTTP 401")
    assert isinstance(call.ended.error, ProviderError)
    assert call.carrier.closed is True


async def test_speech_that_was_received_in_full_plays_on_when_the_provider_is_lost() -> None:
    """A whole sentence is better than silence; when it is heard the call ends."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=200)
        await wait_for(
            lambda: call.driver.view.snapshot()["responses"][0]["state"] == "done",
        )
        call.provider.ends()
        await wait_for(lambda: not call.driver.session.connected)
        assert call.ended is None and not handle.silenced
        late = await call.driver.request(instructions="Too late.")
        assert (await late.resolved()).code == "connection_lost"
        call.hears(marks=2)
        assert (await handle.resolved()).verdict == "completed"
    assert call.ended is not None and call.ended.code == "provider_lost"
    assert "clear" not in call.carrier.kinds()


async def test_a_torso_is_silenced_when_the_provider_is_lost() -> None:
    """Half a sentence is worse than silence."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=300, end=False)
        call.provider.ends()
        assert (await handle.resolved()).code == "connection_lost"
    assert call.ended is not None and call.ended.code == "provider_lost"
    assert "clear" in call.carrier.kinds()
    assert call.carrier.closed is True


async def test_a_carrier_that_vanishes_leaves_a_true_memory_behind() -> None:
    """The clean-up is written to the provider before it is closed."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=300, end=False)
        call.hears(marks=1)
        await wait_for(lambda: call.driver.received["transport"] == 2)
        call.carrier.ends()
        assert (await handle.resolved()).verdict == "interrupted"
    assert call.ended is not None and call.ended.code == "carrier_lost"
    assert isinstance(call.ended.error, TransportError)
    assert call.provider.kinds()[-2:] == ["response.cancel", "conversation.item.truncate"]
    assert call.provider.told[-1]["audio_end_ms"] == 100


async def test_a_carrier_that_never_starts_its_stream_is_given_up() -> None:
    """A socket alone is no call."""
    driver = Driver(OPENAI, TWILIO, limits=Limits(start_ms=50))
    async with running(driver, start=False) as call:
        call.carrier.says({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        call.carrier.says(FRAME)
    assert call.ended is not None
    assert (call.ended.code, call.ended.reason) == (
        "carrier_lost",
        "the carrier never started a stream",
    )


async def test_close_ends_a_call_as_a_hang_up_does() -> None:
    """What a bridge does when it is shut down."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        handle = await call.speaks(ms=300, end=False)
        call.driver.close("the bridge is shutting down")
        outcome = await handle.resolved()
        assert outcome.verdict == "interrupted"
    assert call.ended == Ended("closed", "the bridge is shutting down")
    assert "response.cancel" in call.provider.kinds()


async def test_cancelling_a_call_resolves_closes_and_journals_everything(tmp_path: Path) -> None:
    """Ctrl-C."""
    path = tmp_path / "call.jsonl"
    driver = Driver(OPENAI, TWILIO, journal=Journal(path))
    call = Call(driver)
    call.carrier.says(START)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run, call.carrier, call.provider)
            handle = await call.speaks(ms=300, end=False)
            tasks.cancel_scope.cancel()
    assert handle.outcome is not None and handle.outcome.verdict == "interrupted"
    await handle.remembered()
    assert "response.cancel" in call.provider.kinds()
    assert (call.carrier.closed, call.provider.closed) == (False, False)
    assert path.read_text().endswith('"end":"closed: cancelled"}\n')
    assert replay(path, {"openai": OPENAI}, {"twilio": TWILIO}).same


async def test_after_the_end_nothing_can_be_asked() -> None:
    """The error says how it ended."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        call.carrier.says(STOP)
    for ask in (call.driver.request, call.driver.interrupt):
        with pytest.raises(UsageError, match="the call is over: the caller hung up"):
            await ask()


async def test_what_is_no_json_is_refused_before_it_can_do_harm() -> None:
    """A request may wait for its turn; an error must not."""
    async with running(Driver(OPENAI, TWILIO)) as call:
        with pytest.raises(UsageError, match="JSON"):
            await call.driver.request(input=object())
        with pytest.raises(UsageError, match="JSON"):
            await call.driver.configure({"x": {1, object()}})
        call.carrier.says(STOP)


# -- bugs -------------------------------------------------------------------------------------------


async def test_a_bug_in_the_session_ends_the_call_in_order_and_is_raised(tmp_path: Path) -> None:
    """The journal holds the input that did it; everybody who waits is answered."""

    def breaks(op: str, item: ItemFacts) -> Wire:
        raise ZeroDivisionError("a bug")

    path = tmp_path / "call.jsonl"
    broken = structs.replace(OPENAI, truncate=breaks)
    async with running(Driver(broken, TWILIO, journal=Journal(path))) as call:
        handle = await call.speaks(ms=300, end=False)
        call.hears(marks=1)
        await wait_for(lambda: call.driver.received["transport"] == 2)
        call.provider.says({"type": "input_audio_buffer.speech_started"})
    assert isinstance(call.bug, ZeroDivisionError)
    assert handle.outcome is not None
    assert (call.carrier.closed, call.provider.closed) == (True, True)
    assert call.driver.ended is not None and call.driver.ended.code == "crashed"
    assert '{"raised":"ZeroDivisionError: a bug"}' in path.read_text()
    assert '"end":"crashed' in path.read_text()
    assert replay(path, {"openai": broken}, {"twilio": TWILIO}).same


async def test_a_bug_in_the_script_ends_the_call_and_is_raised() -> None:
    """In no group: the caller of `run` catches what the script raised."""

    async def script(driver: Driver) -> None:
        await driver.ready()
        raise FloatingPointError("a bug of the application")

    async with running(Driver(OPENAI, TWILIO), script=script) as call:
        pass
    assert isinstance(call.bug, FloatingPointError)


async def wait_for(true: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not true():
            await anyio.sleep(0.002)


# -- carriers of other kinds ------------------------------------------------------------------------


def bare(adapter: ProviderAdapter) -> ProviderAdapter:
    """The same provider, if it took and sent audio in binary frames with nothing around it."""

    def decode(message: str | bytes) -> tuple[ev.Event, ...]:
        if isinstance(message, bytes):
            return (ev.Audio(message, response="resp_1", item="item_1"),)
        return adapter.decode(message)

    return structs.replace(adapter, bare_audio=True, decode=decode, listen=lambda audio: (audio,))


@pytest.mark.parametrize("audio", [False, True])
async def test_binary_frames_and_text_are_kept_apart_both_ways(tmp_path: Path, audio: bool) -> None:
    """On the wires and in the journal, which replays byte for byte and holds the sound only if asked."""
    provider, path = bare(OPENAI), tmp_path / "call.jsonl"
    speech, voice = b"\x01\x02" * 480, b"\x7f{}\x00" * 160
    driver = Driver(provider, VONAGE, journal=Journal(path, audio=audio))
    async with running(driver, start=False) as call:
        call.carrier.says({"event": "websocket:connected", "content-type": "audio/l16;rate=24000"})
        call.carrier.says(voice)
        call.carrier.says(b"[]")  # It would be JSON, if it were text.
        await call.provider.until(lambda stream: len(stream.binary) == 2)
        assert call.provider.binary == [voice, b"[]"] and call.provider.told == []
        handle = await driver.request(instructions="Speak.")
        await call.provider.until_told("response.create")
        metadata = {"client_event_id": handle.ref}
        response = {"id": "resp_1", "metadata": metadata, "status": "completed"}
        call.provider.says({"type": "response.created", "response": response})
        for _ in range(5):
            call.provider.says(speech)
        call.provider.says({"type": "response.done", "response": response})
        await call.carrier.until(lambda stream: len(stream.told) == 1)
        assert call.carrier.binary == [speech] * 5
        (notify,) = call.carrier.told
        call.carrier.says({"event": "websocket:notify", "payload": notify["payload"]})
        assert (await handle.resolved()).verdict == "completed"
        call.carrier.ends()
    written = path.read_text()
    assert (b64encode(speech).decode() in written) is audio
    assert (b64encode(voice).decode() in written) is audio
    assert f'"size_bytes":{len(voice)}' in written
    result = replay(path, {"openai": provider}, {"vonage": VONAGE})
    assert result.same, result.difference
    assert result.header.settings["audio"] == "pcm16"


async def test_what_waits_for_the_carrier_s_pace_leaves_without_being_asked(tmp_path: Path) -> None:
    """The model says it all at once and then nothing more; time alone sends the rest, as the journal tells."""
    path = tmp_path / "call.jsonl"
    slow = structs.replace(TWILIO, pace_ms={"frame_ms": 20, "ahead_ms": 60})
    async with running(Driver(OPENAI, slow, journal=Journal(path))) as call:
        handle = await call.driver.request(instructions="Speak.")
        await call.provider.until_told("response.create")
        metadata = {"client_event_id": handle.ref}
        response = {"id": "resp_1", "metadata": metadata, "status": "completed"}
        call.provider.says({"type": "response.created", "response": response})
        call.provider.says(delta())
        begun_ms = call.driver.now_ms
        await call.carrier.until(lambda stream: stream.kinds().count("media") == 5)
        assert call.driver.now_ms - begun_ms >= 40  # Two frames more than the carrier took at once.
        call.carrier.says(STOP)
    assert '"do":"advance"' in path.read_text()
    assert replay(path, {"openai": OPENAI}, {"twilio": slow}).same


async def test_no_piece_of_speech_slips_into_a_journal_that_names_its_item(tmp_path: Path) -> None:
    """Where messages name item and generation no two kinds of them are alike, and short pieces look like ids."""
    path = tmp_path / "call.jsonl"
    async with running(Driver(OPENAI, BROWSER, journal=Journal(path)), start=False) as call:
        call.carrier.says({"type": "start", "stream": "s"})
        response = {"id": "resp_1", "status": "completed"}
        await call.driver.ready()
        call.provider.says({"type": "response.created", "response": response})
        for item in ("item_1", "item_2"):
            piece = {**delta(), "item_id": item, "delta": b64encode(b"Secret words" * 2).decode()}
            call.provider.says(piece)
        await call.carrier.until(lambda stream: stream.kinds().count("audio") == 2)
        call.carrier.says({"type": "stop"})
    written = path.read_text()
    assert b64encode(b"Secret words").decode() not in written
    assert written.count('"item":"item_2","generation":0,"audio":"@audio:24"') == 1
    assert replay(path, {"openai": OPENAI}, {"browser": BROWSER}).same
