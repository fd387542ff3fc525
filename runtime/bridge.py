"""The bridge: a web server that joins each call of a carrier to a speech-to-speech provider.

    GET  /<carrier>      the carrier's websocket, one per call        (`/twilio`)
    GET, POST /answer    the carrier's webhook, if its table has an answer: it sends the call to that websocket
    GET, POST /twiml     the same, for carriers that are answered in XML

Nothing here knows one carrier or provider from another: their tables say how they are met.
"""

import logging
import math
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import anyio
from aiohttp import web

from .actions import Action
from .adapter import ProviderAdapter, TransportAdapter
from .calls import Calls
from .dialing import Dial, check_url
from .driver import Driver, Limits
from .errors import UsageError
from .formats import agreed
from .journal import Journal, JournalError, check_folder, journal_path
from .session import Session, Settings
from .streams import WebSocketStream, listen
from .webhook import Webhook

__all__ = ["Bridge"]

log = logging.getLogger("bargein")

CARRIER_MESSAGE_BYTES: Final = 1024 * 1024
"""The largest message a carrier may send; a larger one closes its side with code 1009."""

_PROVIDER_PING_S: Final = 20.0
_KEEP_ALIVE: Final = {
    "TCP_KEEPIDLE": 20,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}
"""A carrier that vanished is noticed by the kernel: pings would cost a timer for each of 50 frames a second."""


class Bridge:
    """A bridge on `host:port` for as long as its `async with` block runs; port 0 lets the system choose.

    The provider is where its table says, or at `provider_url`, and is shown `api_key` as its table says. `session`
    are its own session settings, laid over what the bridge needs: its audio formats. `greet` is what the agent says
    first. `settings` and `engine` are those of every call's `Session`, `limits` of its `Driver`. Each call is written
    to a file in `journals`; None writes none, `journal_audio` keeps the sound. Behind a proxy that does not forward
    the host it was asked for, `public_url` says how carriers reach this bridge. More than `max_calls` at a time are
    answered with 503.

    :raises UsageError: if a value cannot be right.
    """

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        *,
        provider_url: str | None = None,
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        session: Mapping[str, Any] | None = None,
        greet: str | None = None,
        settings: Settings | None = None,
        engine: str = "table",
        limits: Limits | None = None,
        journals: str | Path | None = "journals",
        journal_audio: bool = False,
        public_url: str | None = None,
        max_calls: int | None = None,
        connect_timeout_s: float = 10.0,
        on_action: Callable[[str, Action], None] | None = None,
    ) -> None:
        self._settings = settings or Settings()
        Session(provider, transport, self._settings, engine=engine)
        self._dial = Dial(provider, url=provider_url, key=api_key)
        if public_url:
            check_url(public_url, public_url, ("http", "https", "ws", "wss"), "public URL")
        audio = agreed(provider, transport, self._settings.audio)
        self._webhook = Webhook(transport, transport.audio[audio.name], public_url)
        self._session = session_settings(session or {}, audio.asks)
        self._provider = provider
        self._transport = transport
        self._host = host
        self._port = port
        self._greet = greet
        self._engine = engine
        self._limits = limits or Limits()
        self._journals = None if journals is None else Path(journals)
        self._journal_audio = journal_audio
        self._max_calls = max_calls
        self._connect_timeout_s = connect_timeout_s
        self._on_action = on_action
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._closing = False
        self._quiet = anyio.Event()
        self.calls = Calls()
        """The calls, running and ended."""

    @property
    def authority(self) -> str:
        """`HOST:PORT` where the bridge listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def url(self) -> str:
        """Where the carrier's websocket connects."""
        return f"ws://{self.authority}/{self._transport.name}"

    @property
    def webhook(self) -> str | None:
        """Where the carrier asks what to do with a call; None if its table does not say how to answer."""
        paths = self._webhook.paths
        return f"http://{self.authority}{paths[0]}" if paths else None

    async def __aenter__(self) -> Self:
        """Start to listen.

        :raises JournalError: if journals cannot be written.
        :raises OSError: if the address cannot be had.
        """
        if self._journals is not None:
            check_folder(self._journals)
        app = web.Application()
        app.router.add_get(f"/{self._transport.name}", self._accept)
        self._webhook.add_to(app)
        self._runner = await listen(app, self._host, self._port)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._shut()

    async def _shut(self) -> None:
        """Take no more calls, end those that run within a bound, and let go of the sockets."""
        self._closing = True
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
        for driver in self.calls.running():
            driver.close("the bridge is shutting down")
        if len(self.calls):
            with anyio.move_on_after(3 * self._limits.goodbye_s):
                await self._quiet.wait()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    # -- calls --------------------------------------------------------------------------------------

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        if self._closing or (self._max_calls is not None and len(self.calls) >= self._max_calls):
            reason = "shutting down" if self._closing else f"{self._max_calls} calls are running"
            log.warning("a call was turned away: %s", reason, extra={"code": "turned_away"})
            return web.Response(status=503, text=f"{reason}\n")
        websocket = web.WebSocketResponse(
            timeout=self._limits.goodbye_s,
            max_msg_size=CARRIER_MESSAGE_BYTES,
            compress=False,
            protocols=() if self._transport.subprotocol is None else (self._transport.subprotocol,),
        )
        if not websocket.can_prepare(request):
            return web.Response(status=400, text="this is a websocket\n")
        await websocket.prepare(request)
        _keep_alive(request)
        await self._run(WebSocketStream(websocket), f"{request.remote}")
        return websocket

    async def _run(self, carrier: WebSocketStream, peer: str) -> None:
        call = secrets.token_hex(4)
        driver = Driver(
            self._provider,
            self._transport,
            self._settings,
            engine=self._engine,
            journal=self._journal(call),
            call=call,
            on_action=None if self._on_action is None else partial(self._on_action, call),
            limits=self._limits,
        )
        self.calls.begin(driver)
        log.info("[%s] begins: %s", call, peer, extra={"call": call, "code": "begins"})
        try:
            await driver.configure(self._session)
            await driver.run(carrier, self._connect, self._attend)
        except Exception:
            log.exception("[%s] crashed", call, extra={"call": call, "code": "crashed"})
        finally:
            self.calls.end(driver)
            if not len(self.calls):
                self._quiet.set()
                self._quiet = anyio.Event()

    async def _attend(self, driver: Driver) -> None:
        """What the bridge itself does during a call: see that the provider is alive, and greet."""
        provider = await driver.connected()
        async with anyio.create_task_group() as tasks:
            if isinstance(provider, WebSocketStream):
                tasks.start_soon(provider.keep_alive, _PROVIDER_PING_S)
            await driver.ready()
            if self._greet is not None:
                await driver.request(
                    instructions=f"Say exactly this to the caller, and nothing else: {self._greet}"
                )

    def _journal(self, call: str) -> Journal | None:
        if self._journals is None:
            return None
        try:
            return Journal(journal_path(self._journals, call), audio=self._journal_audio)
        except JournalError as error:
            log.error("[%s] no journal: %s", call, error, extra={"call": call, "code": "journal"})
            return None

    async def _connect(self) -> WebSocketStream:
        assert self._http is not None, "the bridge listens"
        return await self._dial.open(
            self._http, within_s=self._connect_timeout_s, close_s=self._limits.goodbye_s
        )


def session_settings(user: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The provider's session settings: the user's, over what must be `asked` for the call's audio format.

    :raises UsageError: if the user's settings contradict what must be asked, or cannot be said in JSON.
    """
    _check_json(user, "session settings")
    return _merged(asked, user, "session settings: ")


def _keep_alive(request: web.Request) -> None:
    connection = request.get_extra_info("socket")
    for name, value in _KEEP_ALIVE.items():
        option = getattr(socket, name, None)  # Not every system has them all.
        if connection is not None and option is not None:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _check_json(value: object, path: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                hint = (
                    "; YAML reads on, off, yes and no as booleans" if isinstance(key, bool) else ""
                )
                raise UsageError(f"{path}: the key {key!r} must be text, in quotes{hint}")
            _check_json(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_json(inner, f"{path}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{path}: {value} is no number that JSON knows")
    elif value is not None and not isinstance(value, str | int | float):
        raise UsageError(f"{path}: {value!r} cannot be said in JSON; put it in quotes")


def _merged(needed: Mapping[str, Any], user: Mapping[str, Any], path: str) -> dict[str, Any]:
    merged = {**needed, **user}
    for key in needed.keys() & user.keys():
        must, is_ = needed[key], user[key]
        if isinstance(must, Mapping) and isinstance(is_, Mapping):
            merged[key] = _merged(must, is_, f"{path}{key}.")
        elif must != is_:
            raise UsageError(f"{path}{key} must be {must!r} in this call, not {is_!r}")
    return merged
