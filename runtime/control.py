"""The control API of a bridge: what its calls are doing, and a way to make the agent speak or be silent.

    GET  /calls                 all calls, in short
    GET  /calls/ID              one call: every response and item, what was received, sent, heard and is remembered
    POST /calls/ID/request      {"instructions": "...", "beside": false, "wait": false}; 202, or 200 if waited for
    POST /calls/ID/interrupt    {"scope": null, "cause": "api"} or no body; 200 and what was really done

Errors are JSON, `{"error": code, "reason": text}`, with 400, 401, 403, 404 or 409 (the call is over).
"""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

import anyio
import msgspec
from aiohttp import web

from .calls import Calls
from .driver import Driver
from .errors import UsageError
from .streams import listen

__all__ = ["Control"]

_BODY_BYTES: Final = 1024 * 1024

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST …/request` takes. See `Session.request`; `wait` answers when the request is resolved."""

    instructions: str | None = None
    input: Any = None
    tools: Any = None
    beside: bool = False
    wait: bool = False


class InterruptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST …/interrupt` takes. `scope` is a `ref` or a server's response id; None covers all."""

    scope: str | None = None
    cause: Literal["api", "guardrail", "supersede"] = "api"


_Body = TypeVar("_Body", RequestBody, InterruptBody)


class Control:
    """The control API on `host:port` for as long as its `async with` block runs; port 0 lets the system choose.

    Beyond this machine it answers only who sends `Authorization: Bearer <token>`. On loopback no token is needed;
    pages in a browser are kept out by the Host and Origin they cannot forge.

    :raises UsageError: if `host` is not loopback and there is no token.
    """

    def __init__(
        self, calls: Calls, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        if not token and not is_loopback(host):
            raise UsageError(f"the control API on {host} needs a token: it is not loopback")
        self._calls = calls
        self._host = host
        self._port = port
        self._token = token or None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The root of the API."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        """Start to listen.

        :raises OSError: if the address cannot be had.
        """
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_BYTES)
        app.router.add_get("/calls", self._list)
        app.router.add_get("/calls/{id}", self._show)
        app.router.add_post("/calls/{id}/request", self._request)
        app.router.add_post("/calls/{id}/interrupt", self._interrupt)
        self._runner = await listen(app, self._host, self._port)
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            with anyio.CancelScope(shield=True):
                await self._runner.cleanup()

    # -- who may ask --------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            self._let_in(request)
            return await handler(request)
        except _Refused as refused:
            return _refusal(refused.status, refused.code, refused.reason)
        except web.HTTPException as error:
            return _refusal(error.status, error.reason.lower().replace(" ", "_"), error.reason)

    def _let_in(self, request: web.Request) -> None:
        if self._token is not None:
            sent = request.headers.get("Authorization", "")
            known = f"Bearer {self._token}".encode()
            if not hmac.compare_digest(sent.encode(errors="surrogateescape"), known):
                raise _Refused(401, "unauthorized", "send Authorization: Bearer <token>")
            return
        if not is_loopback(_hostname(request.host)):
            raise _Refused(
                403, "foreign_host", "without a token only loopback may be named as host"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not is_loopback(_hostname(origin.partition("://")[2])):
            raise _Refused(403, "foreign_origin", "pages of other sites may not ask")

    # -- the calls ----------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        return _json({"calls": self._calls.summaries()})

    async def _show(self, request: web.Request) -> web.Response:
        call = request.match_info["id"]
        snapshot = self._calls.snapshot(call)
        if snapshot is None:
            raise _Refused(404, "unknown_call", f"there is no call {call}")
        return _json(snapshot)

    async def _request(self, request: web.Request) -> web.Response:
        driver = self._driver(request)
        body = await _read(request, RequestBody)
        try:
            handle = await driver.request(
                instructions=body.instructions,
                input=body.input,
                tools=body.tools,
                beside=body.beside,
            )
        except UsageError as error:
            raise _Refused(409 if driver.ended else 400, "refused", str(error)) from error
        if not body.wait:
            return _json({"ref": handle.ref}, status=202)
        return _json(await handle.resolved())

    async def _interrupt(self, request: web.Request) -> web.Response:
        driver = self._driver(request)
        body = await _read(request, InterruptBody)
        try:
            return _json(await driver.interrupt(body.scope, cause=body.cause))
        except UsageError as error:
            raise _Refused(409, "call_over", str(error)) from error

    def _driver(self, request: web.Request) -> Driver:
        call = request.match_info["id"]
        driver = self._calls.driver(call)
        if driver is not None:
            return driver
        if self._calls.snapshot(call) is not None:
            raise _Refused(409, "call_over", f"the call {call} is over")
        raise _Refused(404, "unknown_call", f"there is no call {call}")


class _Refused(Exception):
    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason


def is_loopback(host: str) -> bool:
    """Whether a host, as a user or a header names it, is this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _read(request: web.Request, kind: type[_Body]) -> _Body:
    data = await request.read()
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "bad_body", str(error)) from error


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def _refusal(status: int, code: str, reason: str) -> web.Response:
    response = _json({"error": code, "reason": reason}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
