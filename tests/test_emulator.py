"""The network emulator, as the official client and as clients that misbehave see it."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent

from bargein.simulator.emulator import Emulator, Plan, PlannedItem, SilenceRule, load_plans, serve
from bargein.simulator.voice import caller_speech, silence

pytestmark = pytest.mark.anyio

PCMU = {"type": "audio/pcmu"}
QUICK = Plan(created_after_ms=5, first_delta_after_ms=5, items=(PlannedItem(ms=300),), speed=50.0)
LONG = Plan(created_after_ms=5, first_delta_after_ms=5, items=(PlannedItem(ms=60_000),))

Socket = aiohttp.ClientWebSocketResponse


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


@asynccontextmanager
async def official(emulator: Emulator) -> AsyncIterator[AsyncRealtimeConnection]:
    """The official client, with nothing changed but its base URL; 10 s for everything."""
    with anyio.fail_after(10):
        async with (
            AsyncOpenAI(api_key="unchecked", base_url=emulator.base_url) as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            yield connection


async def until(
    connection: AsyncRealtimeConnection, type_: str, count: int = 1
) -> list[RealtimeServerEvent]:
    """Everything received up to the `count`-th event of this type."""
    events = []
    while count:
        events.append(await connection.recv())
        count -= events[-1].type == type_
    return events


@asynccontextmanager
async def raw(emulator: Emulator) -> AsyncIterator[Socket]:
    """A bare websocket, for what the official client would not send; 10 s for everything."""
    with anyio.fail_after(10):
        async with aiohttp.ClientSession() as http, http.ws_connect(emulator.url) as socket:
            yield socket


async def raw_until(socket: Socket, type_: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != type_:
        events.append(await socket.receive_json())
    return events


def _types(events: list[RealtimeServerEvent]) -> list[str]:
    return [event.type for event in events]


async def _eventually(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not holds():
            await anyio.sleep(0.005)


async def test_the_official_client_holds_a_conversation() -> None:
    """Session, response, audio in the format asked for, and the memory of it."""
    async with Emulator([QUICK]) as emulator, official(emulator) as connection:
        await connection.session.update(
            session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}}
        )
        await until(connection, "session.updated")
        await connection.response.create(response={"metadata": {"client_event_id": "req_1"}})
        events = await until(connection, "response.done")
        created, done = events[0], events[-1]
        assert created.type == "response.created"
        assert created.response.metadata == {"client_event_id": "req_1"}
        assert done.type == "response.done"
        assert done.response.status == "completed"
        audio = [each.delta for each in events if each.type == "response.output_audio.delta"]
        assert sum(len(base64.b64decode(delta)) for delta in audio) == 300 * 8
        (memory,) = emulator.connections[0].model.memory()
        assert (memory.generated_ms, memory.remembered_ms) == (300, 300)


async def test_the_official_client_interrupts_by_hand() -> None:
    """Cancel in mid stream, truncate what was heard; later delete it all."""
    plan = Plan(created_after_ms=5, items=(PlannedItem(ms=60_000),), trailing_deltas=2)
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        events = await until(connection, "response.output_audio.delta", 3)
        created, delta = next(e for e in events if e.type == "response.created"), events[-1]
        assert delta.type == "response.output_audio.delta"
        assert created.response.id is not None
        await connection.response.cancel(response_id=created.response.id)
        await connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=120
        )
        events = await until(connection, "response.done")
        assert "conversation.item.truncated" in _types(events)
        assert emulator.connections[0].model.responses["resp_1"].trailing == 2
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status == "cancelled"
        assert done.response.status_details is not None
        assert done.response.status_details.reason == "client_cancelled"
        (memory,) = emulator.connections[0].model.memory()
        assert memory.remembered_ms == 120
        await connection.conversation.item.delete(item_id=delta.item_id)
        await until(connection, "conversation.item.deleted")
        (memory,) = emulator.connections[0].model.memory()
        assert memory.deleted


async def test_errors_reach_the_official_client_and_end_nothing() -> None:
    async with Emulator([LONG]) as emulator, official(emulator) as connection:
        await connection.response.cancel(event_id="c_1")
        error = (await until(connection, "error"))[-1]
        assert error.type == "error"
        assert error.error.code == "response_cancel_not_active"
        assert error.error.event_id == "c_1"
        await connection.response.create()
        await connection.response.create(event_id="req_2")
        error = (await until(connection, "error"))[-1]
        assert error.type == "error"
        assert error.error.code == "conversation_already_has_active_response"
        assert error.error.event_id == "req_2"


async def test_speech_interrupts_and_silence_is_answered() -> None:
    """The whole barge-in by VAD: what is not silence is speech, 200 ms of silence end it."""
    async with Emulator([LONG, QUICK]) as emulator, official(emulator) as connection:
        await connection.session.update(
            session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        )
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        for audio in (silence(20), caller_speech(300), silence(180)):
            await connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())
        events = await until(connection, "response.done")
        assert "input_audio_buffer.speech_started" in _types(events)
        assert "input_audio_buffer.speech_stopped" not in _types(events)
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status_details is not None
        assert done.response.status_details.reason == "turn_detected"
        await connection.input_audio_buffer.append(audio=base64.b64encode(silence(20)).decode())
        events = await until(connection, "response.done")
        assert "input_audio_buffer.committed" in _types(events)
        done = events[-1]
        assert done.type == "response.done"
        assert done.response.status == "completed"
        assert done.response.metadata is None


async def test_turn_detection_null_hears_nothing() -> None:
    async with Emulator() as emulator, official(emulator) as connection:
        await connection.session.update(
            session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        )
        audio = base64.b64encode(caller_speech(300, 48)).decode()
        await connection.input_audio_buffer.append(audio=audio)
        await connection.input_audio_buffer.commit()
        events = await until(connection, "input_audio_buffer.committed")
        assert "input_audio_buffer.speech_started" not in _types(events)


async def test_a_plan_of_several_items_is_followed_in_order() -> None:
    items = (
        PlannedItem(ms=200, text="Let me look that up for you"),
        PlannedItem(ms=250, text="It is twelve degrees"),
        PlannedItem(kind="function_call", name="weather", text='{"town":"Rome"}'),
        PlannedItem(kind="text", text="12 degrees"),
    )
    plan = Plan(created_after_ms=1, items=items, speed=100.0)
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.done")
        memory = emulator.connections[0].model.memory()
        assert [each.generated_ms for each in memory] == [200, 250, 0, 0]
        assert [(each.transcript or "").strip() for each in memory] == [
            "Let me look that up for you",
            "It is twelve degrees",
            "",
            "12 degrees",
        ]


async def test_out_of_band_responses_run_in_parallel() -> None:
    async with Emulator([LONG, QUICK]) as emulator, official(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.create(response={"conversation": "none", "input": []})
        done = (await until(connection, "response.done"))[-1]
        assert done.type == "response.done"
        assert done.response.conversation_id is None
        assert emulator.connections[0].model.responses["resp_1"].state == "in_progress"


@pytest.mark.parametrize(
    ("plan", "types"),
    [
        (Plan(created=False, items=(), created_after_ms=1), ["response.done"]),
        (
            Plan(created=False, items=(), created_after_ms=1, end="cancelled"),
            ["response.done"],
        ),
        (
            Plan(created_after_ms=1, first_delta_after_ms=1, items=(), end="failed"),
            ["response.created", "rate_limits.updated", "response.done"],
        ),
        (Plan(created_after_ms=1, refuse="rate_limit_exceeded"), ["error"]),
    ],
)
async def test_a_plan_may_go_wrong(plan: Plan, types: list[str]) -> None:
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await until(connection, "conversation.created")
        await connection.response.create()
        assert _types(await until(connection, types[-1])) == types


async def test_a_response_may_begin_without_created() -> None:
    plan = Plan(created=False, created_after_ms=1, items=(PlannedItem(ms=100),))
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        events = await until(connection, "response.done")
        assert "response.created" not in _types(events)
        assert "response.output_audio.delta" in _types(events)


async def test_a_created_that_comes_late_comes_after_a_cancel_that_found_nothing() -> None:
    """R01 on the wire: the cancel is answered with an error, the response is created and speaks."""
    plan = Plan(created_after_ms=300, items=(PlannedItem(ms=100),))
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        await connection.response.cancel()
        types = _types(await until(connection, "response.done"))
        assert types.index("error") < types.index("response.created")
        assert "response.output_audio.delta" in types


async def test_a_response_that_hangs_ends_when_it_is_cancelled() -> None:
    plan = Plan(created_after_ms=1, first_delta_after_ms=1, items=(), end="never")
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        await until(connection, "response.created")
        await connection.response.cancel(response_id="resp_1")
        done = (await until(connection, "response.done"))[-1]
        assert done.type == "response.done"
        assert done.response.status == "cancelled"


async def test_a_response_that_never_comes_keeps_its_slot() -> None:
    plan = Plan(created=False, items=(), created_after_ms=1, end="never")
    async with Emulator([plan]) as emulator, official(emulator) as connection:
        await connection.response.create()
        await connection.response.create(event_id="req_2")
        error = (await until(connection, "error"))[-1]
        assert error.type == "error"
        assert error.error.event_id == "req_2"


async def test_plans_are_used_in_order_and_then_the_last_one_again() -> None:
    plans = [QUICK, Plan(created_after_ms=1, items=(PlannedItem(ms=100),), speed=50.0)]
    async with Emulator(plans) as emulator, official(emulator) as connection:
        for _ in range(3):
            await connection.response.create()
            await until(connection, "response.done")
        memory = emulator.connections[0].model.memory()
        assert [each.generated_ms for each in memory] == [300, 100, 100]


async def test_each_connection_is_a_conversation_of_its_own() -> None:
    """No resumption: facts/providers.md 2.10."""
    async with Emulator([QUICK]) as emulator:
        for _ in range(2):
            async with official(emulator) as connection:
                await connection.response.create()
                await until(connection, "response.done")
        assert [each.number for each in emulator.connections] == [1, 2]
        for each in emulator.connections:
            assert [item.item for item in each.model.memory()] == ["item_1"]


async def test_a_dropped_connection_is_dropped_without_a_word() -> None:
    plan = msgspec.structs.replace(LONG, drop_connection_after_ms=300)
    async with Emulator([plan]) as emulator, raw(emulator) as socket:
        await socket.send_json({"type": "response.create"})
        await raw_until(socket, "response.output_audio.delta")
        while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1006
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await _eventually(lambda: emulator.connections[0].model.closed)


@pytest.mark.parametrize("deltas", [0, 1, 5])
async def test_a_client_that_vanishes_leaves_nothing_running(deltas: int) -> None:
    """The socket is torn down, not closed, at different moments of a response."""
    async with Emulator([LONG]) as emulator:
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(emulator.url)
            await socket.send_json({"type": "response.create"})
            for _ in range(deltas):
                await raw_until(socket, "response.output_audio.delta")
            assert http.connector is not None
            await http.connector.close()
        await _eventually(lambda: emulator.connections[0].model.closed)
        async with official(emulator) as connection:
            await connection.response.create()
            await until(connection, "response.created")


async def test_nonsense_is_answered_and_the_session_goes_on() -> None:
    async with Emulator([QUICK]) as emulator, raw(emulator) as socket:
        await socket.send_str("{")
        await socket.send_bytes(b"\x00\x01")
        await socket.send_str("{}")
        await socket.send_json({"type": "input_audio_buffer.append", "audio": "?"})
        for _ in range(4):
            assert (await raw_until(socket, "error"))[-1]["error"]["type"] == (
                "invalid_request_error"
            )
        await socket.send_json({"type": "response.create"})
        await raw_until(socket, "response.done")


async def test_what_is_no_websocket_is_refused() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        async with http.get(f"{emulator.base_url}/realtime") as answer:
            assert answer.status == 400
        async with http.get(f"{emulator.base_url}/chat") as answer:
            assert answer.status == 404


async def test_every_message_is_shown_to_the_observer() -> None:
    seen: list[tuple[int, str, str]] = []

    def observe(number: int, direction: str, message: str | bytes) -> None:
        seen.append((number, direction, json.loads(message)["type"]))

    async with Emulator([QUICK], on_event=observe) as emulator, raw(emulator) as socket:
        await socket.send_json({"type": "response.create"})
        await raw_until(socket, "response.done")
        await _eventually(lambda: seen[-1] == (1, "sent", "response.done"))
    assert (1, "received", "response.create") in seen


async def test_leaving_ends_open_connections_at_once() -> None:
    async with aiohttp.ClientSession() as http:
        async with Emulator([LONG]) as emulator:
            socket = await http.ws_connect(emulator.url)
            await socket.send_json({"type": "response.create"})
            await raw_until(socket, "response.output_audio.delta")
        with anyio.fail_after(5):
            while (await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
            await socket.close()
        assert emulator.connections[0].model.closed


async def test_serve_runs_until_cancelled() -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            ready: list[Emulator] = []
            tasks.start_soon(lambda: serve(plans=[QUICK], on_ready=ready.append))
            await _eventually(lambda: bool(ready))
            async with raw(ready[0]) as socket:
                await raw_until(socket, "session.created")
                tasks.cancel_scope.cancel()
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.ws_connect(ready[0].url)


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with Emulator() as emulator:
        port = int(emulator.url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(OSError, match="address already in use"):
            await serve(port=port)


# Without sockets


def test_plans_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    text = """
    - created_after_ms: 400
      items:
        - {ms: 1500, text: Good morning}
        - {ms: 4000}
    - created: false
      end: never
    """
    plans = load_plans(text)
    assert plans[0].items[0] == PlannedItem(ms=1500, text="Good morning")
    assert (plans[0].created_after_ms, plans[0].speed) == (400, 8.0)
    assert (plans[1].created, plans[1].end) == (False, "never")
    assert load_plans('{"trailing_deltas": 3}')[0].trailing_deltas == 3
    assert load_plans("") == []
    file = tmp_path / "plans.yaml"
    file.write_text(text)
    assert load_plans(file) == plans


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {creatd: false}", "creatd"),
        ("- {end: soon}", "soon"),
        ("- {delta_ms: 0}", "delta_ms"),
        ("- {items: [{ms: -1}]}", "ms"),
        ("7", "array"),
        ("{", "neither YAML nor JSON"),
    ],
)
def test_a_plan_that_makes_no_sense_says_where(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_plans(text)


@pytest.mark.parametrize(
    ("encoding", "quiet", "bytes_per_ms"),
    [("audio/pcmu", b"\xff", 8), ("audio/pcma", b"\xd5", 8), ("audio/pcm", b"\x00", 48)],
)
@pytest.mark.parametrize("frame_ms", [20, 100, 1000])
def test_speech_is_what_is_not_silence(
    encoding: str, quiet: bytes, bytes_per_ms: int, frame_ms: int
) -> None:
    """However the audio is cut into messages."""
    audio = b"".join(
        (b"\x11" if loud else quiet) * (100 * bytes_per_ms)
        for loud in (False, True, False, True, False, False, False, False, True, False)
    )
    rule = SilenceRule()
    step = frame_ms * bytes_per_ms
    edges = [
        edge
        for at in range(0, len(audio), step)
        for edge in rule.listen(audio[at : at + step], encoding, 200)
    ]
    assert edges == ["start", "stop", "start"]
