"""The webhook of a carrier: our websocket as the carrier sees it, and the answer that sends a call there."""

import re
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from .adapter import Answer, AudioFormat, TransportAdapter
from .control import is_loopback
from .errors import UsageError

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


class Webhook:
    """Answers a carrier's webhook, if its table says how.

    In the answer `$url` stands for our websocket, `$rate_hz` and `$caller_rate_hz` for the rates of the agent's voice
    and of the caller's, in the call's `audio` format. `public_url` goes before what the request's headers say of our
    address.
    """

    def __init__(
        self, transport: TransportAdapter, audio: AudioFormat, public_url: str | None
    ) -> None:
        self._name = transport.name
        self._public_url = public_url
        self._answer = answer = transport.answer or Answer("", "")
        self._body = answer.body.replace("$rate_hz", str(audio.rate_hz)).replace(
            "$caller_rate_hz", str(audio.heard.rate_hz)
        )
        self.paths: tuple[str, ...] = ()
        """Where it is asked, the best first; `/twiml` only for what is XML."""
        if transport.answer is not None:
            self.paths = ("/answer", "/twiml") if _is_xml(answer) else ("/answer",)

    def add_to(self, app: web.Application) -> None:
        """Serve it there."""
        for path in self.paths:
            app.router.add_route("GET", path, self._answered)
            app.router.add_route("POST", path, self._answered)

    async def _answered(self, request: web.Request) -> web.Response:
        try:
            url = f"{self._public(request)}/{self._name}"
        except UsageError as error:
            return web.Response(status=400, text=f"{error}\n")
        body = self._body.replace("$url", _escaped(url, self._answer))
        return web.Response(body=body.encode(), headers={"Content-Type": self._answer.type})

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
        proto = headers.get("X-Forwarded-Proto", "http" if near else "https").split(",")[0]
        return f"{'ws' if proto.strip().lower() in ('http', 'ws') else 'wss'}://{host}"


def _is_xml(answer: Answer) -> bool:
    kind = answer.type.partition(";")[0].strip().lower()
    return kind.endswith(("/xml", "+xml"))


def _escaped(url: str, answer: Answer) -> str:
    """The address as it may stand between quotes in the answer."""
    if _is_xml(answer):
        return escape(url, {'"': "&quot;", "'": "&apos;"})
    if "json" in answer.type.lower():
        return msgspec.json.encode(url).decode()[1:-1]
    return url
