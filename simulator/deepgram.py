"""A sans-I/O model of the Deepgram Voice Agent's server (v1 converse, WebSocket), as a dialect of `turns.py`.

Audio is bare binary frames, both ways. Nothing has an id but a function call, and no verb stops a turn without
putting another in its place. facts/transports.md 19, 28; `deepgram.agent.v1.types` judges every message in the tests.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final, Literal

import msgspec

from .deepgram_wire import (
    BINARY_BEFORE_SETTINGS,
    SETTINGS_TWICE,
    UNPARSABLE,
    UPDATED,
    ForceEndTurn,
    FunctionCallResponse,
    InjectAgentMessage,
    InjectUserMessage,
    Settings,
    decode,
)
from .turns import Bounds, Choice, Item, Json, Refused, Rules, Said, Turn, TurnServer
from .turns_state import Wire

__all__ = ["DeepgramRules", "DeepgramServer", "settings"]

_CLOSE_CODE: Final = 1008
"""WebSocket close code after an `Error`. Which one it is nobody tells."""


def settings(encoding: str = "mulaw", rate_hz: int = 8_000) -> Json:
    """A `Settings` message with the same format both ways, and an agent that the model does not look at."""
    form = {"encoding": encoding, "sample_rate": rate_hz}
    audio = {"input": form, "output": form | {"container": "none"}}
    return {"type": "Settings", "audio": audio, "agent": {}}


class DeepgramRules(Rules, frozen=True, kw_only=True):
    """What no source settles. facts/transports.md 19 and 30, point 10."""

    pending: Literal["kept", "dropped", "ended"] = "dropped"
    """Who speaks again before the agent has begun is answered once."""
    second_request: Literal["queued", "supersedes"] = "supersedes"
    """Likewise."""
    thinks: bool = True
    """Whether `AgentThinking` begins a turn; it never does where the agent says what it was told to say."""
    done_after_interruption: bool = False
    """Whether `AgentAudioDone` follows a turn that was stopped."""
    late_after_words: bool = False
    """Whether audio of a stopped turn may even follow the caller's words that came after it. What was under way when
    the caller began to speak comes before, for a WebSocket keeps the order."""
    injected: Literal["interrupts", "queued", "refused"] = "queued"
    """What becomes of an `InjectUserMessage` while the agent is at a turn or the caller speaks. The documents say
    only that the agent responds as if it had been spoken."""
    echoes_injected: bool = False
    """Whether `ConversationText` of the user repeats what was injected."""
    talks_over: bool = False
    """Whether a turn may begin while the caller speaks."""
    ends_turns: bool = False
    """Whether `ForceEndTurn` is enabled; elsewhere it cannot be parsed."""


class DeepgramServer(TurnServer):
    """One connection. With `settings` the handshake is over; without, it waits for the client's.

    `bytes_per_ms` of its audio comes from the settings. Raises `Refused` for settings of another shape.
    """

    __slots__ = ("_ready", "_untold")

    explicit_begin = True
    says_generation_end = False
    can_refuse = True

    rules: DeepgramRules

    def __init__(
        self,
        *,
        settings: Mapping[str, Any] | None = None,
        rules: DeepgramRules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(bytes_per_ms=8, rules=rules or DeepgramRules(), bounds=bounds)
        self._ready = False
        self._untold = ""
        """The turn that was stopped, of whose end nobody was told."""
        if settings is not None:
            given = decode(msgspec.json.encode(settings).decode())
            if not isinstance(given, Settings):
                raise Refused("not a Settings message", code=UNPARSABLE)
            self._sets_up(given)

    @property
    def ready(self) -> bool:
        """Whether `SettingsApplied` was said."""
        return self._ready

    def connects(self) -> Said:
        """`Welcome`; where the settings are given, `SettingsApplied` too."""
        welcome: Wire = {"type": "Welcome", "request_id": "00000000-0000-4000-8000-000000000000"}
        return self._say([welcome, {"type": "SettingsApplied"}] if self._ready else [welcome])

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        if isinstance(message, bytes):
            if not self._ready:
                raise Refused("audio came before Settings", code=BINARY_BEFORE_SETTINGS)
            return []
        m = decode(message)
        if isinstance(m, Settings):
            if self._ready:
                raise Refused("Settings may come only once", code=SETTINGS_TWICE)
            self._sets_up(m)
            return self._say([{"type": "SettingsApplied"}])
        match m:
            case InjectUserMessage(content=content):
                return self._takes_words(content)
            case InjectAgentMessage(message=words, behavior=behavior):
                return self._takes_lines(words, behavior or "default")
            case FunctionCallResponse(id=str(call_id)):
                self._has_result(call_id)
            case ForceEndTurn():
                if not self.rules.ends_turns:
                    raise Refused("ForceEndTurn is not enabled", code=UNPARSABLE)
                return self._caller_stops(now_ms) if self._speaking else []
        return self._say([{"type": UPDATED[type(m)]}] if type(m) in UPDATED else [])

    def _sets_up(self, given: Settings) -> None:
        self.bytes_per_ms = given.bytes_per_ms
        self._ready = True

    def _takes_words(self, content: str) -> Said:
        busy = self.head is not None or self._speaking
        if busy and self.rules.injected == "refused":
            return self._refuses_injection("the agent or the user is speaking", content)
        said: Said = []
        if self.rules.injected == "interrupts":
            said += self._interrupts("client")
        if self.rules.echoes_injected:
            said += self._says_words("user", content)
        return said + self._asks(content)

    def _takes_lines(self, words: str, behavior: Literal["default", "queue", "interrupt"]) -> Said:
        """What the agent is told to say: it does not think first."""
        if behavior == "default" and (self.head is not None or self._speaking):
            return self._refuses_injection("the agent or the user is speaking", words)
        said = self._interrupts("client") if behavior == "interrupt" else []
        return said + self._accepts("server", words)

    def _refuses_injection(self, reason: str, request: str) -> Said:
        return self._say(
            [{"type": "InjectionRefused", "message": reason}], Turn(id="", request=request)
        )

    def _protests(self, refused: Refused) -> Said:
        error: Wire = {"type": "Error", "description": refused.reason, "code": refused.code}
        return self._say([error]) + self.closes(_CLOSE_CODE, refused.reason)

    # What the server says.

    def _choices_of(self, turn: Turn) -> list[Choice]:
        waits = turn.state == "requested" and self._speaking and not self.rules.talks_over
        return [] if waits else super()._choices_of(turn)

    def _begin(self, turn: Turn) -> list[Wire]:
        self._untold = ""
        thinks = self.rules.thinks and turn.by != "server"
        return [{"type": "AgentThinking", "content": ""}] if thinks else []

    def _item_begin(self, turn: Turn, item: Item) -> list[Wire]:
        if turn.state == "in_progress":
            self._untold = ""
        return []

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        return [_text("assistant", text)]

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        return [audio]

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        call = {"id": item.call_id, "name": item.name, "arguments": item.arguments}
        return [{"type": "FunctionCallRequest", "functions": [call | {"client_side": True}]}]

    def _void_calls(self, turn: Turn, calls: list[Item]) -> list[Wire]:
        named = [{"id": call.call_id, "name": call.name} for call in calls]
        return [{"type": "FunctionCallCancelled", "functions": named}]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        if turn.state == "cancelled" and not self.rules.done_after_interruption:
            self._untold = turn.id if turn.begun or turn.items else ""
            return []
        return [{"type": "AgentAudioDone"}]

    def _refusal(self, turn: Turn, reason: str) -> list[Wire]:
        return [{"type": "InjectionRefused", "message": reason}]

    def _speech_start(self, now_ms: int) -> list[Wire]:
        return [{"type": "UserStartedSpeaking"}]

    def _caller_stops(self, now_ms: int) -> Said:
        """Their words are transcribed, and before them what they stopped has come to its end."""
        self._speaking = False
        said = self._says_words("user", "(the caller's words)")
        return said + self._accepts("caller") if self.rules.answers_speech else said

    def _says_words(self, role: str, words: str) -> Said:
        head, said = self.head, list[str | bytes]()
        if head is not None and head.state == "interrupted" and not self.rules.late_after_words:
            said += self.finishes(head.id)
        ended = self.responses.get(self._untold)
        self._untold = ""
        return said + self._say([_text(role, words)], ended)

    def forget(self, response_id: str) -> None:
        """As of every server."""
        super().forget(response_id)
        if self._untold == response_id:
            self._untold = ""

    def _more_key(self) -> Hashable:
        return self._ready, self.bytes_per_ms, self._untold


def _text(role: str, words: str) -> Json:
    return {"type": "ConversationText", "role": role, "content": words}
