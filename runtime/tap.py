"""What an adapter has just read, for those who stand beside a session: the driver and the journal."""

from typing import TypeVar

from msgspec import structs

from . import events as ev
from .adapter import ProviderAdapter, TransportAdapter

AnyAdapter = TypeVar("AnyAdapter", ProviderAdapter, TransportAdapter)


class Tap:
    """Remembers the events of the last message."""

    __slots__ = ("_decode", "events")

    def __init__(self, adapter: ProviderAdapter | TransportAdapter) -> None:
        self._decode = adapter.decode
        self.events: tuple[ev.Event, ...] = ()

    def __call__(self, message: str | bytes) -> tuple[ev.Event, ...]:
        """Decode as the adapter does."""
        events = self.events = self._decode(message)
        return events


def tapped(adapter: AnyAdapter) -> tuple[AnyAdapter, Tap]:
    """The same adapter with a tap on its `decode`. For one session alone: a tap is no more than its last message."""
    tap = Tap(adapter)
    return structs.replace(adapter, decode=tap), tap
