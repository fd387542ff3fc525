"""The bridge: a web server that joins each call of a carrier to a speech-to-speech provider.

    GET  /<carrier>     the carrier's websocket, one per call        (`/twilio`)
    GET, POST /twiml    the webhook for carriers that speak TwiML: it sends the call to that websocket

https://www.twilio.com/docs/voice/twiml/stream
"""

import logging
import math
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import quoteattr

import aiohttp
import anyio
from aiohttp import web

from .actions import Action
from .adapter import ProviderAdapter, TransportAdapter
from .calls import Calls
from .control import is_loopback
from .driver import Driver, Limits
from .errors import ProviderError, UsageError
from .journal import Journal, JournalError, check_folder, journal_path
from .session import Session, Settings
from .streams import WebSocketStream, listen

__all__ = ["Bridge"]

log = logging.getLogger("bargein")

CARRIER_MESSAGE_BYTES: Final = 1024 * 1024
PROVIDER_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The largest message each side may send; a larger one closes that side with code 1009."""

_PROVIDER_PING_S: Final = 20.0
_KEEP_ALIVE: Final = {
    "TCP_KEEPIDLE": 20,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}
"""A carrier that vanished is noticed by the kernel: pings would cost a timer for each of 50 frames a second."""

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


class Bridge:
    """A bridge on `host:port` for as long as its `async with` block runs; port 0 lets the system choose.

    `session` are the provider's own session settings, laid over what the bridge needs: its audio formats. `greet` is
    what the agent says first. `settings` and `engine` are those of every call's `Session`, `limits` of its `Driver`.
    Each call is written to a file in `journals`; None writes none, `journal_audio` keeps the sound. Behind a proxy
    that does not forward the host it was asked for, `public_url` says how carriers reach this bridge. More than
    `max_calls` at a time are answered with 503.

    :raises UsageError: if a value cannot be right.
    """

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        *,
        provider_url: str,
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
        self._url = _checked(provider_url, ("ws", "wss"), "provider URL")
        self._public_url = public_url and _checked(
            public_url, ("http", "https", "ws", "wss"), "public URL"
        )
        self._session = session_settings(session or {}, provider.audio[self._settings.audio].asks)
        self._provider = provider
        self._transport = transport
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
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

    async def __aenter__(self) -> Self:
        """Start to listen.

        :raises JournalError: if journals cannot be written.
        :raises OSError: if the address cannot be had.
        """
        if self._journals is not None:
            check_folder(self._journals)
        app = web.Application()
        app.router.add_get(f"/{self._transport.name}", self._accept)
        app.router.add_route("GET", "/twiml", self._twiml)
        app.router.add_route("POST", "/twiml", self._twiml)
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

    # -- the webhook --------------------------------------------------------------------------------

    async def _twiml(self, request: web.Request) -> web.Response:
        try:
            url = f"{self._public(request)}/{self._transport.name}"
        except UsageError as error:
            return web.Response(status=400, text=f"{error}\n")
        twiml = f"<Response><Connect><Stream url={quoteattr(url)}/></Connect></Response>"
        return web.Response(
            text=f'<?xml version="1.0" encoding="UTF-8"?>\n{twiml}\n', content_type="text/xml"
        )

    def _public(self, request: web.Request) -> str:
        """The root of our address as the carrier sees it.

        Without a proxy's word it is TLS, which carriers insist on; only on loopback there is nothing between.
        """
        if self._public_url:
            scheme, rest = self._public_url.split("://", 1)
            return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest.rstrip('/')}"
        headers = request.headers
        host = headers.get("X-Forwarded-Host", request.host).split(",")[0].strip()
        if not _HOST.fullmatch(host):
            raise UsageError("the Host header names no host")
        near = is_loopback(urlsplit(f"//{host}").hostname or "")
        proto = (
            headers.get("X-Forwarded-Proto", "http" if near else "https")
            .split(",")[0]
            .strip()
            .lower()
        )
        return f"{'ws' if proto in ('http', 'ws') else 'wss'}://{host}"

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
        where = urlunsplit(urlsplit(self._url)._replace(query="", fragment=""))
        try:
            with anyio.fail_after(self._connect_timeout_s):
                websocket = await self._http.ws_connect(
                    self._url,
                    headers=self._headers,
                    autoping=False,
                    max_msg_size=PROVIDER_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=self._limits.goodbye_s),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise ProviderError(f"{where} refused us: HTTP {error.status}") from error
        except TimeoutError as error:
            seconds = f"{self._connect_timeout_s:g} s"
            raise ProviderError(f"{where} did not answer within {seconds}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError(f"{where} cannot be reached: {error}") from error
        return WebSocketStream(websocket)


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


def _checked(url: str, schemes: tuple[str, ...], what: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in schemes and parts.hostname and parts.port != 0:
            return url
    except ValueError:
        pass
    raise UsageError(f"the {what} {url!r} must be {' or '.join(f'{s}://HOST…' for s in schemes)}")
