"""One interrupted call, end to end, on real local sockets: `bargein demo`.

An emulated OpenAI server, the bridge, and a scripted Twilio caller talk over loopback. The script is fixed; what the
table at the end says is measured: generated and remembered by the server's model, sent by the session's ledger,
heard by the caller's ear.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
from rich.console import Console
from rich.table import Table

from bargein.adapters import provider, transport
from bargein.runtime.bridge import Bridge
from bargein.runtime.control import Control
from bargein.runtime.session import Settings

from .caller import Caller, call
from .ear import Ear
from .emulator import Connection, Emulator, Plan, PlannedItem
from .openai_memory import Remembered

Say = Callable[[str], None]

CREATED_TIMEOUT_MS = 700
TOLERANCE_MS = 120
"""A mark every 100 ms, and one frame of the ear: so much may have been heard and not be remembered."""

_TWO_ITEMS = Plan(
    items=(
        PlannedItem(ms=3000, text="Let me look that up for you, it will take but a moment."),
        PlannedItem(ms=4000, text="The flight leaves at nine from gate twelve, and it is on time."),
    )
)
_SHORT = Plan(items=(PlannedItem(ms=1200, text="Of course. Which gate do you mean?"),))
_LATE = Plan(
    created_after_ms=1600,
    first_delta_after_ms=0,
    speed=40.0,
    trailing_deltas=3,
    items=(PlannedItem(ms=3000, text="For only forty euros more you could sit in front."),),
)
_SLOW = msgspec.structs.replace(_LATE, created_after_ms=500)

SETTINGS: dict[str, Any] = {
    "instructions": "You are a friendly travel desk.",
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}},
}


class DemoItem(msgspec.Struct, frozen=True):
    """One row of the table at the end. Milliseconds count from the item's own start."""

    item: str
    response: str | None
    generated_ms: int
    sent_ms: int
    heard_ms: int
    remembered_ms: int
    outcome: str


class DemoResult(msgspec.Struct, frozen=True):
    """What the demo measured. `violations` is empty when the law held."""

    items: list[DemoItem]
    violations: list[str]
    journal: str | None
    handles: dict[str, str]


async def run_demo(say: Say, journals: Path, engine: str = "table") -> DemoResult:
    """Play the script; `say` gets its progress line by line.

    :raises bargein.runtime.errors.BargeinError: if the journal cannot be written.
    """
    plans = [_TWO_ITEMS, _SHORT, _LATE, _SLOW]
    async with (
        Emulator(plans, silence_ms=200) as server,
        Bridge(
            provider("openai"),
            transport("twilio"),
            provider_url=server.url,
            session=SETTINGS,
            settings=Settings(created_ms=CREATED_TIMEOUT_MS),
            engine=engine,
            journals=journals,
        ) as bridge,
        Control(bridge.calls) as control,
        aiohttp.ClientSession(control.url) as http,
    ):
        say(f"emulated OpenAI at {server.url}, bridge at {bridge.url}, control at {control.url}")
        async with call(bridge.url) as caller:
            script = _Script(say, http, caller)
            await script.play()
            seen = await script.look()
        with anyio.fail_after(5):
            while len(bridge.calls):
                await anyio.sleep(0.01)
        ended = await script.look()
        return _judge(server.connections[0], caller.ear, seen, ended)


class _Script:
    """The caller's and the application's half of the call."""

    def __init__(self, say: Say, http: aiohttp.ClientSession, caller: Caller) -> None:
        self._say = say
        self._http = http
        self._caller = caller
        self._call = ""

    async def play(self) -> None:
        while not self._call:
            calls = (await self._get("/calls"))["calls"]
            self._call = calls[0]["id"] if calls else ""
        self._tell("the caller is on the line")

        await self._request("Tell the caller when the flight leaves.")
        await self._caller.listens(20_000, until=lambda ear: _heard(ear) >= 1200)
        self._tell(f"the agent has spoken for {_heard(self._caller.ear)} ms; the caller barges in")
        before = _heard(self._caller.ear)
        await self._caller.says(500)
        self._tell(
            f"silence after {_heard(self._caller.ear) - before} ms more; the caller speaks on"
        )

        await self._caller.listens(20_000, until=lambda ear: _heard(ear) - before >= 1150)
        await self._until("the server's own answer was heard to its end", "completed")

        late = await self._request("Offer an upgrade.")
        await self._until("the request timed out: the server was too slow", "timed_out", late)
        await self._caller.listens(1500)
        self._tell("its late answer came, was cancelled by name, and stayed unheard")

        third = await self._request("Say goodbye.")
        await self._caller.listens(150)
        done = await self._post("interrupt", {})
        self._tell(f"another request was interrupted before it was created: {_told(done)}")
        await self._until("", "interrupted", third)
        await self._caller.listens(1200)
        self._tell("the caller hangs up")

    async def look(self) -> dict[str, Any]:
        """The call as the control API tells it."""
        seen: dict[str, Any] = await self._get(f"/calls/{self._call}")
        return seen

    async def _until(self, text: str, verdict: str, ref: str | None = None) -> None:
        with anyio.fail_after(20):
            while True:
                for response in (await self.look())["responses"]:
                    mine = response["ref"] == ref or (ref is None and "auto" in response["ref"])
                    if mine and response["verdict"] == verdict:
                        if text:
                            self._tell(text)
                        return
                await anyio.sleep(0.02)

    async def _request(self, instructions: str) -> str:
        ref: str = (await self._post("request", {"instructions": instructions}))["ref"]
        self._tell(f"{ref}: {instructions}")
        return ref

    async def _get(self, path: str) -> Any:  # noqa: ANN401
        async with self._http.get(path) as response:
            return await response.json()

    async def _post(self, verb: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
        async with self._http.post(f"/calls/{self._call}/{verb}", json=body) as response:
            return await response.json()

    def _tell(self, text: str) -> None:
        self._say(f"{self._caller.now_ms / 1000:7.2f} s  {text}")


def _heard(ear: Ear) -> int:
    return sum(ear.heard_ms(item) for item in ear.items)


def _told(done: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in done.items() if value) or "nothing to do"


def _judge(server: Connection, ear: Ear, seen: dict[str, Any], ended: dict[str, Any]) -> DemoResult:
    """Hold the ear against the server's memory."""
    views = {item["item"]: item for response in seen["responses"] for item in response["items"]}
    items, violations = [], list(ear.faults())
    for remembered in server.model.memory():
        if remembered.kind != "message" or remembered.role != "assistant":
            continue
        heard_ms = ear.heard_ms(remembered.voice)
        view = views.get(remembered.item, {})
        items.append(
            DemoItem(
                item=remembered.item,
                response=remembered.response,
                generated_ms=remembered.generated_ms,
                sent_ms=view.get("sent_ms", 0),
                heard_ms=heard_ms,
                remembered_ms=remembered.remembered_ms,
                outcome=view.get("state", "skipped"),
            )
        )
        violations += _violations(remembered, heard_ms, items[-1].outcome)
    violations += [
        f"I12: the handle {ref} never resolved"
        for ref, verdict in ended["handles"].items()
        if verdict == "pending"
    ]
    return DemoResult(items, violations, ended["journal"], ended["handles"])


def _violations(remembered: Remembered, heard_ms: int, outcome: str) -> list[str]:
    name, kept_ms = remembered.item, remembered.remembered_ms
    found = []
    if kept_ms > heard_ms:
        found.append(f"I8: the model remembers {kept_ms} ms of {name}, {heard_ms} ms were heard")
    if heard_ms - kept_ms > TOLERANCE_MS:
        found.append(f"I8: {heard_ms} ms of {name} were heard, the model remembers {kept_ms} ms")
    if heard_ms == 0 and not remembered.deleted:
        found.append(f"I8: {name} was never heard and is still in the model's memory")
    if (outcome == "full") != (heard_ms == remembered.generated_ms and heard_ms > 0):
        found.append(f"I6: {name} is {outcome}, {heard_ms} of {remembered.generated_ms} ms heard")
    return found


def render(result: DemoResult, console: Console) -> None:
    """The table at the end, and the verdict."""
    table = Table(
        title="what was generated, sent, heard and remembered, in ms", title_justify="left"
    )
    table.add_column("item")
    table.add_column("response")
    for column in ("generated", "sent", "heard", "remembered"):
        table.add_column(column, justify="right")
    table.add_column("outcome")
    for row in result.items:
        numbers = (row.generated_ms, row.sent_ms, row.heard_ms, row.remembered_ms)
        table.add_row(row.item, row.response or "", *map(str, numbers), row.outcome)
    console.print(table)
    for ref, verdict in result.handles.items():
        console.print(f"  {ref}: {verdict}")
    for violation in result.violations:
        console.print(f"violated: {violation}", soft_wrap=True)
    if not result.violations:
        console.print("What the caller heard is what the model remembers, and nothing else played.")
    console.print(f"journal: {result.journal}   (bargein replay ...)", soft_wrap=True)
