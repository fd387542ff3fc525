"""The control API: what a call is doing, and a way to make the agent speak or be silent."""

from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest

from bargein.runtime.calls import ENDED_CALLS, Calls
from bargein.runtime.control import Control, is_loopback
from bargein.runtime.driver import Driver
from bargein.runtime.errors import UsageError
from bargein.simulator.caller import Caller, call
from bargein.simulator.emulator import Plan, PlannedItem

from .bridged import OPENAI, TWILIO, bridged

pytestmark = pytest.mark.anyio

LONG = Plan(speed=20.0, items=(PlannedItem(ms=3000),))
TWO = Plan(speed=20.0, items=(PlannedItem(ms=1000), PlannedItem(ms=1000)))
SHORT = Plan(speed=20.0, items=(PlannedItem(ms=100),))
NOTHING: dict[str, Any] = {
    "covered": [],
    "cleared": False,
    "cancelled": [],
    "left_to_server": [],
    "withdrawn": [],
    "fenced": [],
    "truncated": [],
    "forgotten": [],
    "to_forget": [],
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- what it tells ----------------------------------------------------------------------------------


async def test_calls_are_listed_and_told_in_full(tmp_path: Path) -> None:
    """Every response and item, also those that are over, with what was received, sent, heard, kept."""
    async with bridged(tmp_path, [TWO], greet="Hello.") as world:
        assert await world.get("/calls") == (200, {"calls": []})
        async with call(world.url) as caller:
            await heard(caller, 300)
            summary = (await world.get("/calls"))[1]["calls"][0]
            told = await world.call()
            assert {key: told[key] for key in summary} | {"age_ms": 0} == summary | {"age_ms": 0}
            assert (told["state"], told["ended"]) == ("active", None)
            assert told["stream"].startswith("MZ") and told["carrier_call"].startswith("CA")
            assert told["counters"]["from_carrier"] > 10
            await world.until(lambda call: call["responses"][0]["state"] == "done")
            await world.post(f"/calls/{told['id']}/interrupt")
            told = await world.until(lambda call: not call["unanswered"])
            response = told["responses"][0]
            assert response["ref"] == "bargein_req_1" and response["response"] == "resp_1"
            assert (response["state"], response["verdict"]) == ("done", "interrupted")
            first, second = response["items"]
            assert first["state"] == "partial" and second["state"] == "skipped"
            assert first["received_ms"] == first["sent_ms"] == 1000
            assert 300 - 120 <= first["heard_ms"] <= 500
            assert second["heard_ms"] == 0
            assert (first["memory"], second["memory"]) == ("exact", "exact")
            assert told["handles"] == {"bargein_req_1": "interrupted"}
        ended = (await world.ended())[0]
        assert ended["responses"] == told["responses"]
        assert (ended["id"], ended["state"]) == (told["id"], "ended")
        assert Path(ended["journal"]).exists()


async def test_an_unknown_call_is_not_found(tmp_path: Path) -> None:
    """404, in JSON, whatever is asked of it; unknown paths and verbs are no crash."""
    async with bridged(tmp_path) as world:
        assert await world.get("/calls/nobody") == (
            404,
            {"error": "unknown_call", "reason": "there is no call nobody"},
        )
        for path in ("/calls/nobody/request", "/calls/nobody/interrupt"):
            assert (await world.post(path))[0] == 404
        assert (await world.get("/nothing"))[0] == 404
        assert (await world.post("/calls"))[0] == 405


def test_calls_that_ended_are_forgotten_after_a_while() -> None:
    """A bridge runs for months."""
    calls = Calls()
    for number in range(ENDED_CALLS + 5):
        driver = Driver(OPENAI, TWILIO, call=str(number))
        calls.begin(driver)
        driver.close()
        calls.end(driver)
    assert len(calls) == 0
    assert len(calls.summaries()) == ENDED_CALLS
    assert calls.snapshot("4") is None and calls.snapshot("5") is not None


# -- what it does -----------------------------------------------------------------------------------


async def test_a_request_is_accepted_or_waited_for(tmp_path: Path) -> None:
    """202 and the handle's ref at once, or 200 and how it ended."""
    async with bridged(tmp_path, [SHORT]) as world, call(world.url) as caller:
        path = f"/calls/{(await world.call())['id']}/request"
        assert await world.post(path, {"instructions": "Say it."}) == (
            202,
            {"ref": "bargein_req_1"},
        )
        await world.until(lambda call: call["handles"] == {"bargein_req_1": "completed"})
        status, outcome = await world.post(path, {"instructions": "Again.", "wait": True})
        assert (status, outcome["verdict"], outcome["ref"]) == (200, "completed", "bargein_req_2")
        assert [(i["state"], i["heard_ms"]) for i in outcome["items"]] == [("full", 100)]
        assert caller.ear.heard_ms(101) == 100


async def test_an_interrupt_answers_what_was_really_done(tmp_path: Path) -> None:
    """And when there is nothing to do, that."""
    slow = Plan(speed=1.5, items=(PlannedItem(ms=3000),))
    async with bridged(tmp_path, [slow], greet="Hello.") as world, call(world.url) as caller:
        await heard(caller, 300)
        path = f"/calls/{(await world.call())['id']}/interrupt"
        status, done = await world.post(path)
        cut_ms = done["truncated"][0].pop("audio_end_ms")
        assert 180 <= cut_ms <= 500
        assert (status, done) == (
            200,
            {
                **NOTHING,
                "covered": ["bargein_req_1"],
                "cleared": True,
                "cancelled": ["resp_1"],
                "truncated": [{"item": "item_1"}],
            },
        )
        assert await world.post(path) == (200, NOTHING)
        assert await world.post(path, {"scope": "resp_99"}) == (200, NOTHING)
        heard_ms = caller.ear.heard_ms(1)
        await caller.listens(100)
        assert caller.ear.heard_ms(1) - heard_ms <= 20


async def test_an_interrupt_can_be_meant_for_one_response(tmp_path: Path) -> None:
    """By our ref or by the server's id; the other speaks on."""
    async with bridged(tmp_path, [LONG, SHORT]) as world, call(world.url) as caller:
        path = f"/calls/{(await world.call())['id']}"
        await world.post(f"{path}/request", {"instructions": "Speak."})
        await heard(caller, 100)
        status, outcome = await world.post(f"{path}/interrupt", {"scope": "bargein_req_1"})
        assert (status, outcome["covered"]) == (200, ["bargein_req_1"])
        body = {"instructions": "Speak beside.", "beside": True, "wait": True}
        status, outcome = await world.post(f"{path}/request", body)
        assert (status, outcome["verdict"]) == (200, "completed")


async def test_waiting_ends_with_the_call(tmp_path: Path) -> None:
    """A handle always resolves, so a waiting client is always answered."""
    async with bridged(tmp_path, [LONG]) as world:
        answers: list[tuple[int, Any]] = []

        async def wait(path: str) -> None:
            answers.append(await world.post(path, {"instructions": "Speak.", "wait": True}))

        async with anyio.create_task_group() as tasks, call(world.url) as caller:
            tasks.start_soon(wait, f"/calls/{(await world.call())['id']}/request")
            await heard(caller, 100)
        assert [(status, told["verdict"]) for status, told in answers] == [(200, "interrupted")]


async def test_a_call_that_is_over_takes_no_orders(tmp_path: Path) -> None:
    """409: it was there, and it cannot be asked any more."""
    async with bridged(tmp_path) as world:
        async with call(world.url):
            await world.call()
        path = f"/calls/{(await world.ended())[0]['id']}"
        for verb in ("request", "interrupt"):
            status, told = await world.post(f"{path}/{verb}")
            assert (status, told["error"]) == (409, "call_over")


@pytest.mark.parametrize(
    ("verb", "body", "reason"),
    [
        ("request", "", None),
        ("request", "{", "truncated"),
        ("request", "[]", "Expected `object`"),
        ("request", '{"instruction": "x"}', "unknown field"),
        ("request", '{"instructions": 7}', "Expected `str | null`"),
        ("request", '{"wait": "yes"}', "Expected `bool`"),
        ("request", '{"input":' + "[" * 100_000, "recursion"),
        ("request", b"\xff\xfe", "malformed"),
        ("interrupt", "null", "Expected `object`"),
        ("interrupt", '{"scope": ["resp_1"]}', "Expected `str | null`"),
        ("interrupt", '{"cause": "boredom"}', "Invalid enum value"),
        ("interrupt", "junk", "malformed"),
    ],
)
async def test_a_bad_body_is_refused_with_a_reason(
    tmp_path: Path, verb: str, body: str | bytes, reason: str | None
) -> None:
    """400 that says what is wrong and where; the call does not notice."""
    async with bridged(tmp_path, [SHORT]) as world, call(world.url):
        path = f"/calls/{(await world.call())['id']}/{verb}"
        status, told = await world.post(path, data=body)
        if reason is None:
            assert status == 202
        else:
            assert (status, told["error"]) == (400, "bad_body")
            assert reason in told["reason"]
        assert (await world.post(path.replace(verb, "interrupt")))[0] == 200


async def test_a_body_beyond_reason_is_refused(tmp_path: Path) -> None:
    """413: at most a megabyte."""
    async with bridged(tmp_path, [SHORT]) as world, call(world.url):
        path = f"/calls/{(await world.call())['id']}/request"
        assert (await world.post(path, data=BytesIO(bytes(1024 * 1024 + 1))))[0] == 413


# -- who may ask ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "agent.example.com", ""])
def test_off_loopback_a_token_is_required(host: str) -> None:
    """An open port that can make a telephone talk is refused at the start."""
    with pytest.raises(UsageError, match="needs a token"):
        Control(Calls(), host=host)
    with pytest.raises(UsageError, match="needs a token"):
        Control(Calls(), host=host, token="")
    Control(Calls(), host=host, token="t0ken")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_told_by_the_address_not_by_its_looks(host: str, loopback: bool) -> None:
    """A name that begins like an address is a name."""
    assert is_loopback(host) is loopback


async def test_a_token_is_asked_for_and_compared_in_full(tmp_path: Path) -> None:
    """401 with the challenge; nothing is told."""
    async with bridged(tmp_path, token="t0ken") as world:
        for sent in (None, "t0ken", "Bearer t0ke", "Bearer t0kenx", "Basic t0ken", "Bearer ü"):
            headers = {} if sent is None else {"Authorization": sent}
            async with world.http.get(f"{world.control.url}/calls", headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
        good = {"Authorization": "Bearer t0ken", "Host": "anything.example"}
        assert await world.get("/calls", headers=good) == (200, {"calls": []})


async def test_without_a_token_foreign_names_and_pages_are_kept_out(tmp_path: Path) -> None:
    """A page of another site can reach loopback, but cannot forge its Host (rebinding) or its Origin."""
    async with bridged(tmp_path) as world:
        for headers, status in (
            ({"Host": "evil.example"}, 403),
            ({"Host": "evil.example:80"}, 403),
            ({"Host": "[junk"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Host": "localhost:1"}, 200),
            ({"Host": "[::1]"}, 200),
            ({"Origin": "http://localhost:3000"}, 200),
        ):
            assert (await world.get("/calls", headers=headers))[0] == status, headers


async def test_garbage_on_the_socket_harms_nobody(tmp_path: Path) -> None:
    """No HTTP at all, a request without an end: the API stays up."""
    async with bridged(tmp_path) as world:
        port = int(world.control.url.rpartition(":")[2])
        for garbage in (
            b"\x00\xff\x16\x03\x01",
            b"GET /calls HTTP/9.9\r\n\r\n",
            b"POST /calls/x HT",
        ):
            async with await anyio.connect_tcp("127.0.0.1", port) as connection:
                await connection.send(garbage)
        assert (await world.get("/calls"))[0] == 200


async def test_an_address_that_is_taken_is_an_error(tmp_path: Path) -> None:
    """And nothing is left open."""
    async with bridged(tmp_path) as world:
        port = int(world.control.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with Control(Calls(), port=port):
                pass


async def heard(caller: Caller, ms: int) -> None:
    """Until so much of the first item was heard."""
    assert await caller.listens(5000, until=lambda ear: ear.heard_ms(1) >= ms)
