"""One call's steps: each input goes through the session, into the journal, and out as messages and reports.

Nothing here awaits, so that a step is never torn: its messages stand in the outboxes in the order the session gave.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from . import events as ev
from .actions import (
    Action,
    MemorySettled,
    Problem,
    Resolved,
    Side,
    ToProvider,
    ToTransport,
)
from .adapter import ProviderAdapter, TransportAdapter
from .errors import UsageError
from .handles import Handle
from .journal import Journal, header
from .lines import Lines
from .session import Session, Settings
from .streams import Outbox
from .tap import tapped
from .view import CallView, split

log = logging.getLogger("bargein")

_AUDIO: Final = (ev.Audio, ev.CallerAudio)


class Steps:
    """A session with a clock, a journal and two outboxes."""

    def __init__(
        self,
        provider: ProviderAdapter,
        transport: TransportAdapter,
        settings: Settings | None,
        *,
        engine: str,
        journal: Journal | None,
        call: str,
        on_action: Callable[[Action], None] | None,
        outbox_bytes: int,
    ) -> None:
        settings = settings or Settings()
        tapped_provider, provider_tap = tapped(provider)
        tapped_transport, transport_tap = tapped(transport)
        self.session = session = Session(tapped_provider, tapped_transport, settings, engine=engine)
        self.view = CallView(session)
        self.journal = journal
        self.call = call
        self.to_provider = Outbox(outbox_bytes)
        self.to_transport = Outbox(outbox_bytes)
        self.handles: dict[str, Handle] = {}
        self.received: dict[Side, int] = {"provider": 0, "transport": 0}
        self.crash: Exception | None = None
        self._receive = {
            "provider": (session.provider_received, provider_tap),
            "transport": (session.transport_received, transport_tap),
        }
        self._provider_bare, self._transport_bare = provider.bare_audio, transport.bare_audio
        self._paced = "ahead_ms" in transport.pace_ms
        self._on_action = on_action
        self._reported: set[str] = set()
        self._epoch_ns = time.monotonic_ns()
        if journal is not None:
            first = header(
                provider, transport, settings, engine=engine, audio=journal.audio, call=call
            )
            journal.begin(first, provider, transport)

    @property
    def now_ms(self) -> int:
        """Milliseconds since the call began."""
        return (time.monotonic_ns() - self._epoch_ns) // 1_000_000

    def message(self, side: Side, message: str | bytes) -> bool:
        """A message has arrived. False if nothing but the flow of audio came of it: no deadline has moved.

        Whatever the session raises is a bug: it is kept in `crash` and in the journal, and raised.
        """
        receive, tap = self._receive[side]
        now_ms = (time.monotonic_ns() - self._epoch_ns) // 1_000_000
        self.received[side] += 1
        try:
            actions = receive(message, now_ms)
        except Exception as bug:
            self._broke(bug, lambda lines: lines.message(now_ms, side, message, tap.events))
            raise
        if self.journal is not None:
            self.journal.message(now_ms, side, message, tap.events, actions)
        events = tap.events
        loud = len(events) != 1 or type(events[0]) not in _AUDIO
        if self._paced and side == "provider":
            loud = True  # What it said may wait for the carrier's pace, and that is a deadline.
        return self._carry_out(actions) or loud

    def verb(self, verb: str, **arguments: Any) -> Any:  # noqa: ANN401
        """Call a method of the session; answers what it gave beside its actions. Raises what `message` does."""
        now_ms = self.now_ms
        try:
            gave, actions = split(getattr(self.session, verb)(now_ms=now_ms, **arguments))
        except UsageError:
            raise
        except Exception as bug:
            self._broke(bug, lambda lines: lines.verb(now_ms, verb, arguments))
            raise
        if self.journal is not None:
            self.journal.verb(now_ms, verb, arguments, gave, actions)
        if verb == "request" and isinstance(gave, str):
            handle = self.handles[gave] = Handle(gave)
            gave = handle
        self._carry_out(actions)
        return gave

    def log(self, level: int, code: str, text: str, *, once: bool = True) -> None:
        """A line about this call; of each `code` only the first, if `once`."""
        if once and code in self._reported:
            return
        self._reported.add(code)
        log.log(
            level, "[%s] %s: %s", self.call, code, text, extra={"call": self.call, "code": code}
        )

    def _carry_out(self, actions: Sequence[Action]) -> bool:
        """Hand every action to whom it concerns; True if there was more than audio."""
        loud = False
        for action in actions:
            if type(action) is ToTransport:
                self.to_transport.put(action.data, action.audio and self._transport_bare)
            elif type(action) is ToProvider:
                self.to_provider.put(action.data, action.audio and self._provider_bare)
                loud = loud or not action.audio
            else:
                self._report(action)
                loud = True
        return loud

    def _report(self, action: Action) -> None:
        self.view.observe(action)
        if isinstance(action, Resolved | MemorySettled):
            handle = self.handles.get(action.ref)
            if handle is not None and handle.take(action):
                del self.handles[action.ref]
        elif isinstance(action, Problem):
            level = logging.ERROR if action.fatal else logging.WARNING
            self.log(level, f"{action.side}.{action.code}", action.message)
        if self._on_action is not None:
            try:
                self._on_action(action)
            except Exception:
                self.log(logging.ERROR, "on_action", "the application's callback raised")
                log.debug("[%s] on_action", self.call, exc_info=True)

    def _broke(self, bug: Exception, write_input: Callable[[Lines], None]) -> None:
        self.crash = self.crash or bug
        if self.journal is not None:
            self.journal.broke(bug, write_input)
