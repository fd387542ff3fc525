"""How a provider is reached: where, with which key, and what is said if it cannot be."""

from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import anyio

from .adapter import Connect, ProviderAdapter
from .errors import ProviderError, UsageError
from .streams import WebSocketStream

PROVIDER_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The largest message a provider may send; a larger one closes its side with code 1009."""


class Dial:
    """One provider's websocket and our key to it.

    `url` goes before the table's. In both `$key` stands for the key, and so it does in the table's headers; without a
    key what would show it is left out. The key is in no message this raises.

    :raises UsageError: if no URL is known, it is no websocket's, or it needs a key and there is none.
    """

    def __init__(
        self, provider: ProviderAdapter, *, url: str | None = None, key: str | None = None
    ) -> None:
        connect = provider.connect or Connect("")
        where = connect.url if url is None else url
        if not where:
            raise UsageError(
                f"the table of {provider.name} names no URL, so you must: provider_url"
            )
        if url is None and key is None and connect.key is not None:
            raise UsageError(f"{provider.name} needs a key, which belongs in {connect.key}")
        if "$key" in where and key is None:
            raise UsageError(f"the URL of {provider.name} needs a key, and there is none")
        self._secrets = [] if not key else [key, quote(key, safe="")]
        self._url = where.replace("$key", quote(key or "", safe=""))
        check_url(where, self._url, ("ws", "wss"), "provider URL")
        self._headers = {
            name: value.replace("$key", key or "")
            for name, value in connect.headers.items()
            if key or "$key" not in value
        }
        self._where = urlunsplit(urlsplit(where)._replace(query="", fragment=""))

    async def open(
        self, http: aiohttp.ClientSession, *, within_s: float, close_s: float
    ) -> WebSocketStream:
        """The open websocket. It answers no pings by itself: see `WebSocketStream.keep_alive`.

        :raises ProviderError: if it cannot be had; without anything secret in it.
        """
        where = self._where
        try:
            with anyio.fail_after(within_s):
                websocket = await http.ws_connect(
                    self._url,
                    headers=self._headers,
                    autoping=False,
                    max_msg_size=PROVIDER_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=close_s),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise ProviderError(f"{where} refused us: HTTP {error.status}") from error
        except TimeoutError as error:
            raise ProviderError(f"{where} did not answer within {within_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError(f"{where} cannot be reached: {self._told(error)}") from error
        return WebSocketStream(websocket)

    def _told(self, error: Exception) -> str:
        """What went wrong, in words that may go into a log."""
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "$key")
        return text


def check_url(shown: str, url: str, schemes: tuple[str, ...], what: str) -> None:
    """See that `url` can be one; an error shows it as `shown`.

    :raises UsageError: if not.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in schemes and parts.hostname and parts.port != 0:
            return
    except ValueError:
        pass
    raise UsageError(f"the {what} {shown!r} must be {' or '.join(f'{s}://HOST…' for s in schemes)}")
