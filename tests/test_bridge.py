"""The bridge on real sockets: a carrier, a provider, and what the caller hears between them."""

import json
import logging
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import anyio
import pytest
from aiohttp import web
from msgspec import structs

from bargein import adapters
from bargein.runtime.adapter import Answer, Connect, ProviderAdapter, TransportAdapter
from bargein.runtime.bridge import Bridge, session_settings
from bargein.runtime.errors import UsageError
from bargein.runtime.journal import JournalError
from bargein.runtime.replay import replay
from bargein.runtime.session import Settings
from bargein.simulator.caller import call
from bargein.simulator.emulator import Plan, PlannedItem

from .bridged import OPENAI, TWILIO, bridged, replayed, served

pytestmark = pytest.mark.anyio

VONAGE = adapters.transport("vonage")

PCMU = {"type": "audio/pcmu"}
NEEDED = {"type": "realtime", "audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}
LONG = Plan(speed=20.0, items=(PlannedItem(ms=3000),))
SHORT = Plan(speed=20.0, items=(PlannedItem(ms=200),))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- settings ---------------------------------------------------------------------------------------


def test_the_users_settings_are_laid_over_the_needed_audio_formats() -> None:
    """Mappings are merged at every depth; everything else is the user's."""
    user = {
        "voice": "marin",
        "tools": [{"type": "function"}],
        "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}, "output": {"speed": 1.1}},
    }
    assert session_settings(user, OPENAI.audio["mulaw"].asks) == {
        "type": "realtime",
        "voice": "marin",
        "tools": [{"type": "function"}],
        "audio": {
            "input": {"format": PCMU, "turn_detection": {"type": "semantic_vad"}},
            "output": {"format": PCMU, "speed": 1.1},
        },
    }
    assert session_settings({}, OPENAI.audio["mulaw"].asks) == NEEDED


@pytest.mark.parametrize(
    "user",
    [
        {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}},
        {"audio": {"input": {"format": "pcm16"}}},
        {"audio": None},
    ],
)
def test_settings_the_call_could_not_speak_are_refused_at_the_start(user: dict[str, Any]) -> None:
    """Not as noise in somebody's ear."""
    with pytest.raises(UsageError, match="session settings"):
        Bridge(OPENAI, TWILIO, provider_url="ws://127.0.0.1/", session=user)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://", "ws://:80/", "nonsense", "ws://a:x"])
def test_a_provider_url_that_cannot_be_right_is_refused_at_the_start(url: str) -> None:
    """Before the first caller finds out."""
    with pytest.raises(UsageError, match="provider URL"):
        Bridge(OPENAI, TWILIO, provider_url=url)


async def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    """Journals are on by default, so their absence must not be a surprise."""
    (tmp_path / "file").write_text("")
    bridge = Bridge(OPENAI, TWILIO, provider_url="ws://127.0.0.1/", journals=tmp_path / "file")
    with pytest.raises(JournalError, match="cannot be written"):
        async with bridge:
            pass


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    """The usual mistake."""
    async with bridged(tmp_path) as world:
        port = int(world.bridge.authority.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with Bridge(
                OPENAI, TWILIO, provider_url="ws://127.0.0.1/", port=port, journals=None
            ):
                pass


# -- the webhook ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Host": "agent.example.com"}, "wss://agent.example.com/twilio"),
        ({"Host": "agent.example.com:8443"}, "wss://agent.example.com:8443/twilio"),
        (
            {"Host": "internal:8080", "X-Forwarded-Host": "agent.example.com"},
            "wss://agent.example.com/twilio",
        ),
        ({"Host": "a.example", "X-Forwarded-Proto": "https"}, "wss://a.example/twilio"),
        ({"Host": "a.example", "X-Forwarded-Proto": "http"}, "ws://a.example/twilio"),
        ({"Host": "[::1]:80"}, "ws://[::1]:80/twilio"),
    ],
)
async def test_the_webhook_sends_the_call_to_the_websocket(
    tmp_path: Path, method: str, headers: dict[str, str], url: str
) -> None:
    """TwiML, whose address is the one the carrier itself has used."""
    async with (
        bridged(tmp_path) as world,
        world.http.request(
            method, f"http://{world.bridge.authority}/twiml", headers=headers
        ) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/xml"
        stream = ElementTree.fromstring(await response.text())
        assert (stream.tag, stream[0].tag, stream[0][0].tag) == ("Response", "Connect", "Stream")
        assert stream[0][0].attrib == {"url": url}


async def test_a_public_url_goes_before_headers(tmp_path: Path) -> None:
    """For proxies that say nothing; what XML would misread is escaped."""
    async with bridged(tmp_path, public_url="https://agent.example.com/a&b/") as world:
        address = f"http://{world.bridge.authority}/twiml"
        async with world.http.get(address, headers={"X-Forwarded-Host": "other"}) as response:
            text = await response.text()
    assert 'url="wss://agent.example.com/a&amp;b/twilio"' in text


async def test_a_host_that_is_none_is_refused(tmp_path: Path) -> None:
    """Nobody writes markup through our mouth."""
    async with bridged(tmp_path) as world:
        address = f"http://{world.bridge.authority}/twiml"
        for host in ('x"/><Dial>+1900</Dial><X y="', "a b", ""):
            async with world.http.get(address, headers={"X-Forwarded-Host": host}) as response:
                assert response.status == 400


# -- calls ------------------------------------------------------------------------------------------


async def test_the_provider_is_greeted_with_key_and_settings(tmp_path: Path) -> None:
    """`Authorization: Bearer`, then session.update, before any of the caller's audio."""
    seen: list[str | None] = []
    told: list[dict[str, Any]] = []
    enough = anyio.Event()

    async def provider(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers.get("Authorization"))
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            told.append(json.loads(message.data))
            if len(told) == 5:
                enough.set()
        return websocket

    async with served(provider) as url:
        options: dict[str, Any] = {"api_key": "sk-test", "session": {"voice": "marin"}}
        async with bridged(tmp_path, provider_url=url, **options) as world, call(world.url):
            await enough.wait()
    assert seen == ["Bearer sk-test"]
    assert told[0].pop("event_id")
    assert told[0] == {"type": "session.update", "session": {**NEEDED, "voice": "marin"}}
    assert {message["type"] for message in told[1:]} == {"input_audio_buffer.append"}
    assert "sk-test" not in "".join(path.read_text() for path in tmp_path.iterdir())


async def test_the_greeting_is_heard_in_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent speaks first; what was asked of it is in the journal, and the journal replays."""
    caplog.set_level(logging.INFO, "bargein")
    async with bridged(tmp_path, [SHORT], greet="Good evening.") as world:
        async with call(world.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) == 200)
            await world.until(lambda call: call["handles"] == {"bargein_req_1": "completed"})
        ended = (await world.ended())[0]
    assert caller.ear.faults() == []
    assert ended["ended"] == {"code": "hung_up", "reason": "the caller hung up"}
    item = ended["responses"][0]["items"][0]
    assert (item["state"], item["heard_ms"], item["memory"]) == ("full", 200, "exact")
    journal = Path(ended["journal"])
    assert journal.parent == tmp_path and ended["id"] in journal.name
    assert "Good evening." in journal.read_text()
    assert replayed(journal).same
    prefix = f"[{ended['id']}]"
    lines = [r.getMessage() for r in caplog.records if r.name == "bargein"]
    assert lines == [f"{prefix} begins: 127.0.0.1", f"{prefix} ended.hung_up: the caller hung up"]


async def test_a_barge_in_silences_and_the_model_remembers_what_was_heard(tmp_path: Path) -> None:
    """The law, over real sockets: judged by the caller's ear and by the server's memory."""
    async with bridged(tmp_path, [LONG], greet="Hello.") as world:
        async with call(world.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 400)
            await caller.says(200)
            await world.until(lambda call: "interrupted" in call["handles"].values())
            heard_ms = caller.ear.heard_ms(1)
            await world.until(lambda call: not call["unanswered"])
            memory = world.emulator.connections[0].model.memory()
            remembered = next(item for item in memory if item.role == "assistant")
        assert caller.ear.heard_ms(1) - heard_ms <= 40
    assert caller.ear.faults() == []
    assert 0 <= heard_ms - remembered.remembered_ms <= 160


async def test_calls_at_the_same_time_keep_apart(tmp_path: Path) -> None:
    """Each has its session, its provider connection and its journal."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:

        async def calls() -> None:
            async with call(world.url) as caller:
                assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) == 200)
                await caller.listens(40)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(calls)
        ended = await world.ended(5)
    assert len({each["id"] for each in ended}) == 5
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    assert len(world.emulator.connections) == 5


async def test_a_created_timeout_can_be_chosen(tmp_path: Path) -> None:
    """`--created-timeout-ms`; the late answer stays unheard."""
    late = Plan(created_after_ms=200, speed=20.0, items=(PlannedItem(ms=300),))
    settings = Settings(created_ms=50)
    async with (
        bridged(tmp_path, [late], greet="Hello.", settings=settings) as world,
        call(world.url) as caller,
    ):
        await world.until(lambda call: "timed_out" in call["handles"].values())
        await world.until(
            lambda call: call["responses"] and not any(r["live"] for r in call["responses"])
        )
        await caller.listens(50)
    assert caller.ear.segments == ()


async def test_more_calls_than_allowed_are_turned_away(tmp_path: Path) -> None:
    """With 503, which a carrier understands; the calls that run do not notice."""
    async with bridged(tmp_path, max_calls=1) as world:
        async with call(world.url):
            await world.call()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with call(world.url):
                    pass
            assert refused.value.status == 503
        await world.ended()
        async with call(world.url):
            await world.call()


async def test_shutting_down_ends_the_calls_that_run(tmp_path: Path) -> None:
    """Within a bound, with the provider told what was heard; new calls are refused."""
    async with (
        bridged(tmp_path, [LONG], greet="Hello.") as world,
        call(world.url) as caller,
    ):
        await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= 200)
        await world.bridge.__aexit__(None, None, None)
        assert not len(world.bridge.calls)
        await caller.closed.wait()
        assert caller.close_code == 1000
        ended = (await world.ended())[0]
        assert ended["ended"] == {"code": "closed", "reason": "the bridge is shutting down"}
        assert ended["handles"] == {"bargein_req_1": "interrupted"}


async def test_a_browser_at_the_websocket_is_told_what_it_is(tmp_path: Path) -> None:
    """Plain GET: 400. Unknown paths: 404."""
    async with bridged(tmp_path) as world:
        for path, status in (("/twilio", 400), ("/", 404), ("/calls", 404)):
            async with world.http.get(f"http://{world.bridge.authority}{path}") as response:
                assert response.status == status


async def test_calls_can_go_unwritten(tmp_path: Path) -> None:
    """Journals are on by default, not by force."""
    async with bridged(tmp_path, [SHORT], greet="Hello.") as world:
        bridge = Bridge(
            OPENAI, TWILIO, provider_url=world.emulator.url, journals=None, greet="Hello."
        )
        async with bridge, call(bridge.url) as caller:
            assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) == 200)
    assert list(tmp_path.iterdir()) == []


# -- carriers and providers of other kinds ----------------------------------------------------------


def carrier(answer: Answer | None) -> TransportAdapter:
    return structs.replace(TWILIO, name="kind", answer=answer)


async def answered(
    transport: TransportAdapter, path: str, public_url: str, provider: ProviderAdapter = OPENAI
) -> tuple[int, str, str]:
    """Status, type and body of what the webhook says."""
    options: dict[str, Any] = {"provider_url": "ws://127.0.0.1/", "journals": None}
    async with (
        Bridge(provider, transport, public_url=public_url, **options) as bridge,
        aiohttp.ClientSession() as http,
        http.post(f"http://{bridge.authority}{path}") as response,
    ):
        return response.status, response.headers["Content-Type"], await response.text()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (Answer("text/xml", '<S a="$url"/>'), '<S a="wss://x/&quot;&amp;&lt;/kind"/>'),
        (Answer("application/json", '[{"u": "$url"}]'), '[{"u": "wss://x/\\"&</kind"}]'),
        (Answer("text/plain", "$url at $rate_hz"), 'wss://x/"&</kind at 8000'),
    ],
)
async def test_the_webhook_answers_as_the_table_says(answer: Answer, body: str) -> None:
    """In its type, with our websocket escaped as the type needs it, at the rate of the call."""
    told = await answered(carrier(answer), "/answer", 'https://x/"&<')
    assert told == (200, answer.type, body)


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (Answer("application/xml; charset=utf-8", "<R/>"), (200, 200)),
        (Answer("application/json", "{}"), (200, 404)),
        (None, (404, 404)),
    ],
)
async def test_twiml_is_another_name_for_an_answer_in_xml(
    answer: Answer | None, statuses: tuple[int, int]
) -> None:
    """And where the table has no answer there is no webhook."""
    paths = ("/answer", "/twiml")
    found = [(await answered(carrier(answer), path, "https://x"))[0] for path in paths]
    assert tuple(found) == statuses


@pytest.mark.parametrize(
    "name", [name for name in adapters.TRANSPORTS if adapters.transport(name).answer is not None]
)
async def test_every_shipped_answer_leads_to_our_websocket(name: str) -> None:
    """Well-formed, whatever its type."""
    transport = adapters.transport(name)
    audio = transport.audio[next(iter(transport.audio))]
    speaks = structs.replace(OPENAI, audio={audio.name: audio})
    _, kind, body = await answered(transport, "/answer", "https://x/a&b", speaks)
    if kind.endswith("xml"):
        texts = [
            value
            for element in ElementTree.fromstring(body).iter()
            for value in (element.text, *element.attrib.values())
        ]
        assert f"wss://x/a&b/{name}" in texts
    else:
        assert f'"wss://x/a&b/{name}"' in json.dumps(json.loads(body))


async def test_the_carrier_s_subprotocol_is_agreed_upon() -> None:
    """Some hang up without it."""
    transport = structs.replace(TWILIO, name="kind", subprotocol="audio.example.org")
    options: dict[str, Any] = {"provider_url": "ws://127.0.0.1:9/", "journals": None}
    async with Bridge(OPENAI, transport, **options) as bridge, aiohttp.ClientSession() as http:
        for offered, chosen in ((("other", "audio.example.org"), "audio.example.org"), ((), None)):
            async with http.ws_connect(bridge.url, protocols=offered) as websocket:
                assert websocket.protocol == chosen


async def test_a_carrier_of_binary_frames_is_bridged(tmp_path: Path) -> None:
    """Its voice reaches the provider as the provider wants it, and the other way round; the journal replays."""
    heard: list[Any] = []

    async def provider(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            said = json.loads(message.data)
            heard.append(said)
            if said["type"] == "input_audio_buffer.append":
                delta = {"response_id": "r", "item_id": "i", "delta": said["audio"]}
                await websocket.send_json({"type": "response.output_audio.delta", **delta})
        return websocket

    voice = bytes(range(240)) * 4  # 20 ms at 24 kHz
    options: dict[str, Any] = {"journals": tmp_path, "journal_audio": True}
    with anyio.fail_after(10):
        async with (
            served(provider) as url,
            Bridge(OPENAI, VONAGE, provider_url=url, **options) as bridge,
            aiohttp.ClientSession() as http,
            http.ws_connect(bridge.url) as call,
        ):
            await call.send_json({"event": "websocket:connected"})
            await call.send_bytes(voice)
            assert (await call.receive()).data == voice
    rate = {"type": "audio/pcm", "rate": 24000}
    audio = heard[0]["session"]["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == rate
    (journal,) = tmp_path.glob("*.jsonl")
    result = replay(journal, {"openai": OPENAI}, {"vonage": VONAGE})
    assert result.same, result.difference


KEY = "k&y/+ ü"


async def dialled(connect: Connect, **options: Any) -> tuple[str | None, dict[str, str]]:  # noqa: ANN401
    """The key as a provider found it in the URL, and the headers it was shown."""
    seen: list[web.Request] = []

    async def provider(request: web.Request) -> web.WebSocketResponse:
        seen.append(request)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for _ in websocket:
            pass
        return websocket

    with anyio.fail_after(10):
        async with served(provider) as url:
            said = structs.replace(connect, url=connect.url.replace("URL", url))
            adapter = structs.replace(OPENAI, connect=said)
            async with (
                Bridge(adapter, TWILIO, journals=None, **options) as bridge,
                call(bridge.url),
            ):
                while not seen:
                    await anyio.sleep(0.005)
    return seen[0].query.get("key"), dict(seen[0].headers)


async def test_a_provider_is_reached_as_its_table_says() -> None:
    """The key in a header of any name, or in the URL, where it is quoted."""
    connect = Connect("URL?key=$key", "THE_KEY", {"x-api-key": "Token $key", "x-beta": "1"})
    in_url, headers = await dialled(connect, api_key="sk-1&2")
    assert in_url == "sk-1&2"
    assert (headers["x-api-key"], headers["x-beta"]) == ("Token sk-1&2", "1")
    assert "Authorization" not in headers


async def test_a_url_that_is_given_goes_before_the_table_s() -> None:
    """Then no key is needed, and headers that would show one are left out."""
    connect = Connect("ws://unused.invalid/", "THE_KEY", {"x-api-key": "$key", "x-beta": "1"})
    seen: list[Any] = []

    async def provider(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.receive()
        return websocket

    with anyio.fail_after(10):
        async with served(provider) as url:
            adapter = structs.replace(OPENAI, connect=connect)
            async with (
                Bridge(adapter, TWILIO, provider_url=url, journals=None) as bridge,
                call(bridge.url),
            ):
                while not seen:
                    await anyio.sleep(0.005)
    assert "x-api-key" not in seen[0] and seen[0]["x-beta"] == "1"


@pytest.mark.parametrize(
    ("connect", "options", "says"),
    [
        (Connect("wss://x/", "THE_KEY"), {}, "openai needs a key, which belongs in THE_KEY"),
        (None, {}, "the table of openai names no URL"),
        (Connect("wss://x/"), {"provider_url": "wss://x/?key=$key"}, "needs a key"),
        (Connect("http://x/?k=$key"), {"api_key": KEY}, r"'http://x/\?k=\$key' must be ws"),
    ],
)
def test_a_provider_that_cannot_be_reached_is_refused_at_the_start(
    connect: Connect | None, options: dict[str, Any], says: str
) -> None:
    """By the name of what is missing, and never with the key."""
    with pytest.raises(UsageError, match=says):
        Bridge(structs.replace(OPENAI, connect=connect), TWILIO, **options)


@pytest.mark.parametrize("status", [302, 403])
async def test_a_key_in_the_url_is_in_no_log_and_no_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """Not even when the provider answers with it."""
    caplog.set_level(logging.DEBUG, "bargein")

    async def refuses(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": str(request.url)})

    async with served(refuses) as url:
        connect = Connect(f"{url}?key=$key", "THE_KEY")
        adapter = structs.replace(OPENAI, connect=connect)
        with anyio.fail_after(10):
            async with (
                Bridge(adapter, TWILIO, api_key="sk-hidden&1", journals=tmp_path) as bridge,
                call(bridge.url) as caller,
            ):
                await caller.closed.wait()
    (journal,) = tmp_path.glob("*.jsonl")
    for text in (caplog.text, journal.read_text()):
        assert "connection_lost" in text and "sk-hidden" not in text
