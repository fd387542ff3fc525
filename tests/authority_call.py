"""A call of any provider on any transport, for whom nothing but the decoder is made up: what it sends is real.

The provider's messages are events put into its decoder's mouth, so that no test needs to know its words; what the
session says is taken from the adapter's own hooks, and told apart by which hook said it.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.routing import BargeIn
from bargein.runtime.session import Session, Settings

RESPONSE: Final = "7001"
ITEM: Final = "8001"
"""Names that are good for those who name things by numbers, too."""


class Call:
    """A session, and what it said to whom. `generated_ms` of speech come in one delta."""

    def __init__(
        self,
        provider: str,
        transport: str,
        *,
        engine: str = "table",
        barge_in: BargeIn = "auto",
    ) -> None:
        self._events: tuple[ev.Event, ...] = ()
        self._hook_of: dict[bytes, str] = {}
        self.marks: list[str] = []
        theirs, carrier = adapters.provider(provider), adapters.transport(transport)
        self.provider = self._provider(theirs, carrier)
        self.transport = self._transport(carrier)
        self.audio = next(iter(self.provider.audio.values()))
        settings = Settings(audio=self.audio.name, barge_in=barge_in)
        self.session = Session(self.provider, self.transport, settings, engine=engine)
        self.plays = self.session.server_plays
        self.now_ms = 0
        self.ref = ""
        self.said: list[tuple[str, bytes]] = []
        """Every message that went out and was not audio: the hook that said it, and the message."""
        self.played: list[bytes] = []
        self.told: list[do.Action] = []
        self.hears(ev.Ready())
        self.carried(ev.StreamStarted(stream="9001"))

    # -- what happens ---------------------------------------------------------------------------------

    def asks(self) -> None:
        self.ref, actions = self.session.request(self.now_ms, instructions="Say something.")
        self._take(actions)

    def is_born(self) -> None:
        """By an event of its own, where there is one; else its first content is its birth."""
        if self.provider.can["announces"] == "created":
            echoes = self.provider.can["correlates"] == "metadata"
            self.hears(ev.Created(self.response, self.ref if echoes else None))

    def speaks(self, generated_ms: int = 1_000) -> None:
        audio = bytes(generated_ms * self.audio.bytes_per_ms)
        self.hears(ev.Audio(audio, self.response, self.item))

    def is_heard(self) -> None:
        """By the caller, and we learn of it: 100 ms from the carrier, or that a server that plays has begun."""
        if self.plays:
            self.hears(ev.PlaybackStarted(self.response))
        else:
            self.carried(ev.Marked(self.marks[0]))

    def ends(self) -> None:
        self.hears(ev.Finished(self.response, "completed"))

    def hears(self, *events: ev.Event) -> None:
        """The provider says this."""
        self._events = events
        self._take(self.session.provider_received("{}", self.now_ms))

    def carried(self, *events: ev.Event) -> None:
        """The carrier says this."""
        self._events = events
        self._take(self.session.transport_received("{}", self.now_ms))

    def interrupts(self, **how: Any) -> None:  # noqa: ANN401
        self._take(self.session.interrupt(self.now_ms, **how)[1])

    def waits(self, ms: int) -> None:
        self.now_ms += ms
        self._take(self.session.advance(self.now_ms))

    @property
    def response(self) -> str | None:
        """What the provider calls the response, if anything."""
        return None if self.provider.can["identifies"] == "turn" else RESPONSE

    @property
    def item(self) -> str | None:
        """What the provider calls the item, if anything."""
        return ITEM if self.provider.can["identifies"] == "item" else None

    # -- what came of it ------------------------------------------------------------------------------

    def sent(self, hook: str) -> list[bytes]:
        return [message for by, message in self.said if by == hook]

    def outcome(self) -> do.ItemOutcome:
        """What the application was told last of the one item there was."""
        known = (do.ItemSettled, do.MemorySettled)
        return [action.outcome for action in self.told if isinstance(action, known)][-1]

    @property
    def item_id(self) -> str:
        """What the session calls the item."""
        (item_id,) = self.session.items
        return item_id

    # -- the wiring -----------------------------------------------------------------------------------

    def _decode(self, message: str | bytes) -> tuple[ev.Event, ...]:
        return self._events

    def _provider(self, real: ProviderAdapter, carrier: TransportAdapter) -> ProviderAdapter:
        """Its own, but for the decoder; and it speaks the carrier's audio, for the acts do not depend on it."""
        return msgspec.structs.replace(
            real,
            decode=self._decode,
            audio=carrier.audio,
            cancel=self._noted("cancel", real.cancel),
            truncate=self._noted("truncate", real.truncate),
            forget=self._noted("forget", real.forget),
            hush=self._noted("clear", real.hush),
        )

    def _transport(self, real: TransportAdapter) -> TransportAdapter:
        def mark(stream: str | None, name: str, item: str, generation: int) -> tuple[bytes, ...]:
            self.marks.append(name)
            return real.mark(stream, name, item, generation)

        return msgspec.structs.replace(
            real,
            decode=self._decode,
            mark=self._noted("mark", mark),
            clear=self._noted("clear", real.clear),
        )

    def _noted(
        self, hook: str, says: Callable[..., tuple[bytes, ...]]
    ) -> Callable[..., tuple[bytes, ...]]:
        def noted(*arguments: object) -> tuple[bytes, ...]:
            messages = says(*arguments)
            self._hook_of.update(dict.fromkeys(messages, hook))
            return messages

        return noted

    def _take(self, actions: list[do.Action]) -> None:
        self.told += actions
        for action in actions:
            if isinstance(action, do.ToProvider | do.ToTransport):
                if not action.audio:
                    self.said.append((self._hook_of.get(action.data, "other"), action.data))
                elif isinstance(action, do.ToTransport):
                    self.played.append(action.data)
