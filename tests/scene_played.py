"""A Scene in which the server plays by itself: WebRTC and SIP. What it says, `openai.types` must understand.

The line is the server's own: it takes nothing of the session, and what the caller hears leaves the server's buffer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from bargein.simulator.ear import Ear
from bargein.simulator.openai import OpenAIServer, Rules
from bargein.simulator.openai_played import PlayedRules, PlayedServer

from .scene import Scene
from .scene_peers import Message


class Line:
    """What a Scene asks of a carrier, where the server plays."""

    warnings: tuple[str, ...] = ()

    def __init__(self, server: PlayedServer, says: Callable[[Sequence[Message]], None]) -> None:
        self._server = server
        self._says = says

    @property
    def buffer(self) -> PlayedServer:
        """Where speech waits."""
        return self._server

    @property
    def ear(self) -> Ear:
        """The caller's."""
        return self._server.ear

    @property
    def next_event_ms(self) -> int | None:
        """When the server next has something to say of what it plays."""
        return self._server.next_event_ms

    def advance(self, now_ms: int) -> list[str]:
        """Time passes; what the server says of it goes the server's way."""
        self._says(self._server.advance(now_ms))
        return []

    def receive(self, message: Message, now_ms: int) -> list[str]:
        """Nobody is there to take it."""
        raise AssertionError(f"sent to nobody: {message!r}")

    def start(self, now_ms: int) -> list[str]:
        """The call is there."""
        return ['{"type":"start","call":"call_1"}']

    def stop(self, now_ms: int) -> list[str]:
        """The caller hangs up: what was not played is lost."""
        self._server.hangs_up()
        return ['{"type":"stop"}']


class PlayedScene(Scene):
    """See `Scene` and the module."""

    server: PlayedServer

    def __init__(
        self,
        engine: str,
        *,
        rules: PlayedRules | None = None,
        turn_detection: Any = "default",  # noqa: ANN401  as `Scene` takes it
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(
            engine,
            provider="openai_webrtc",
            carrier="server_played",
            rules=rules,
            turn_detection=turn_detection,
            **more,
        )

    def _serves(
        self, provider: str, session: Mapping[str, Any], rules: Rules | Mapping[str, Any] | None
    ) -> OpenAIServer:
        assert rules is None or isinstance(rules, PlayedRules)
        server = PlayedServer(session=session, rules=rules)
        self.carrier = Line(server, self._says)
        return server

    def _says(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self.server.rules.names_cleared:
                _official().validate_json(message)
        super()._says(messages)


@cache
def _official() -> TypeAdapter[Any]:
    return TypeAdapter(RealtimeServerEvent)


def says(kind: str, **fields: Any) -> str:  # noqa: ANN401
    """An event of the server's that its model would not send now."""
    return json.dumps({"type": kind, "event_id": "event_0", **fields})
