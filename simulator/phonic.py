"""A sans-I/O model of the Phonic server (speech to speech over a WebSocket), as a dialect of `turns.py`.

Nothing on this wire has an id but function calls, and the client has no verb that stops a turn. What the server takes
for spoken of an interrupted turn it says when the caller has finished. facts/providers.md 7; the types of the package
`phonic` judge every message in the tests.
"""

import base64
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import msgspec

from .phonic_wire import (
    AudioChunk,
    Config,
    GenerateReply,
    Mute,
    Options,
    Reset,
    Say,
    ToolOutput,
    Unmute,
    bytes_per_s,
    check_audio,
    decode,
)
from .turns import Bounds, By, Choice, Item, Json, Refused, Rules, Said, Turn, TurnServer, Wire
from .turns_spoken import spoken

__all__ = ["PhonicBounds", "PhonicRules", "PhonicServer"]


class PhonicRules(Rules, frozen=True, kw_only=True):
    """What no source settles. facts/providers.md 7.4 and 11, point 9."""

    memory: Literal["generated", "sent", "own"] = "own"
    """The server reports what it believes was spoken; whether that is what was played is not told."""
    finishes_interrupted: bool = True
    """Whether `assistant_finished_speaking` follows an interruption."""
    late_chunks: bool = True
    """Whether audio does."""
    second_reply: Literal["queued", "interrupts", "refused"] = "queued"
    """What a request does while a turn runs."""


class PhonicBounds(Bounds, frozen=True, kw_only=True):
    """How far `choices` goes."""

    too_few_words: int = 0
    """How often the caller may say less than `min_words_to_interrupt`."""


class PhonicServer(TurnServer):
    """One connection to the server. With `config` the handshake is over; without, it waits for the client's.

    The config's `output_format` says how many bytes a millisecond of its audio has; of 44.1 kHz the model says 88,
    for a millisecond has no whole number of them. Raises `Refused` for a `config` of another shape.
    """

    __slots__ = ("_brief", "_chunk_words", "_cut", "_firm", "_input_format", "_listens", "_ready")

    explicit_begin = True
    says_generation_end = False
    rules: PhonicRules

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        rules: PhonicRules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(bytes_per_ms=88, rules=rules or PhonicRules(), bounds=bounds)
        self._ready, self._listens = False, True
        self._input_format = Options().input_format
        self._chunk_words = ""
        self._cut: tuple[str, str] | None = None
        """The turn that the caller interrupted, and what was spoken of it; said when the caller has finished."""
        self._firm: frozenset[str] = frozenset()
        """Turns that the caller may not interrupt."""
        self._brief = 0
        if config is not None:
            self._sets_up(decode(msgspec.json.encode({"type": "config", **config})))

    @property
    def ready(self) -> bool:
        """Whether `ready_to_start_conversation` was said."""
        return self._ready

    @property
    def detects_speech(self) -> bool:
        """With `push_to_talk` only between `unmute` and `mute`."""
        return self._listens

    def connects(self) -> Said:
        """That the conversation may start where the config is given, else nothing: the client speaks first."""
        if not self._ready:
            return []
        created = {"type": "conversation_created", "conversation_id": "conv_1"}
        return self._say([created, {"type": "ready_to_start_conversation"}])

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        m = decode(message)
        if isinstance(m, Config):
            if self._ready:
                raise Refused("config was sent already")
            self._sets_up(m)
            return self.connects()
        if not self._ready:
            raise Refused("config must be the first message")
        match m:
            case AudioChunk():
                check_audio(m.audio, self._input_format)
            case GenerateReply():
                return self._takes_request(m.text)
            case Say():
                known = set(self.responses)
                said = self._takes_request(m.text)
                if m.interruptible is False:
                    self._firm |= self.responses.keys() - known
                return said
            case ToolOutput():
                self._has_result(m.tool_call_id)
            case Reset():
                said = self._interrupts("client")
                self._sets_up(m.config)
                return said
            case Unmute():
                self._listens = True
            case Mute():
                self._listens = False
                return self._caller_stops(now_ms) if self._speaking else []
        return []

    def _sets_up(self, given: object) -> None:
        if not isinstance(given, Options):
            raise Refused("not a config")
        self._ready, self._listens = True, not given.push_to_talk
        self._input_format = given.input_format
        self.bytes_per_ms = bytes_per_s(given.output_format) // 1000
        if given.welcomes:
            turn = self._new_turn("server", "")
            if given.is_welcome_message_interruptible is False:
                self._firm |= {turn.id}

    def _takes_request(self, text: str) -> Said:
        how = self.rules.second_reply
        if how == "refused" and self.head is not None:
            about = Turn(id="", request=text)
            return self._say([_error("the assistant is speaking")], about)
        return self._asks(text, interrupts=how == "interrupts")

    def _protests(self, refused: Refused) -> Said:
        return self._say([_error(refused.reason)])

    def _interrupts(self, by: By, heard_ms: int | None = None) -> Said:
        head = self.head
        if by == "caller" and head is not None and head.id in self._firm:
            return []
        return super()._interrupts(by, heard_ms)

    def _caller_stops(self, now_ms: int) -> Said:
        """An interrupted turn is over before the next is asked for; only then it is said what was spoken of it."""
        cut, said = self._cut, list[str | bytes]()
        if cut is None:
            return super()._caller_stops(now_ms)
        self._cut = None
        head = self.head
        if head is not None and head.id == cut[0] and head.state == "interrupted":
            said += self.finishes(head.id)
        said += super()._caller_stops(now_ms)
        notice: Json = {"type": "interrupted_response", "text": cut[1]}
        return said + self._say([notice], self.responses.get(cut[0]), by="caller")

    # What the server says.

    def _begin(self, turn: Turn) -> list[Wire]:
        return [{"type": "assistant_started_speaking"}]

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        """Words go along in the chunk that speaks them."""
        self._chunk_words = text
        return []

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        words, self._chunk_words = self._chunk_words, ""
        return [_chunk(words, audio)]

    def says(self, response_id: str, text: str) -> Said:
        """Words in a chunk without audio."""
        said = super().says(response_id, text)
        turn, self._chunk_words = self.responses[response_id], ""
        item = [x for x in self._items_of(response_id) if x.kind == "message"][-1]
        return said + self._say([_chunk(text, b"")], turn, item)

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        arguments = msgspec.json.decode(item.arguments)
        return [{"type": "tool_call"} | _tool(item) | {"parameters": arguments}]

    def _void_calls(self, turn: Turn, calls: list[Item]) -> list[Wire]:
        return [{"type": "tool_call_interrupted"} | _tool(call) for call in calls]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        silent = turn.state == "cancelled" and not self.rules.finishes_interrupted
        return [] if silent else [{"type": "assistant_finished_speaking"}]

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        if by == "caller":
            self._cut = (turn.id, spoken(self._items_of(turn.id)))
        return []

    def _speech_start(self, now_ms: int) -> list[Wire]:
        return [{"type": "user_started_speaking"}]

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        heard = {"type": "input_text", "language": "en", "text": "(speech)"}
        return [{"type": "user_finished_speaking"}, heard]

    # Deeds of this server alone.

    def hears_too_few_words(self) -> Said:
        """The caller says less than would interrupt: the turn goes on, though speech was told."""
        self._brief += 1
        return self._say([{"type": "user_started_speaking"}, {"type": "user_finished_speaking"}])

    def declines(self, response_id: str) -> Said:
        """The assistant chooses not to respond to the caller."""
        turn = self._floor(response_id, "requested")
        del self.responses[response_id]
        return self._say([{"type": "assistant_chose_not_to_respond"}], turn)

    def warns(self, reason: str) -> Said:
        """A warning; the conversation goes on."""
        return self._say([{"type": "warning", "warning": {"message": reason}}])

    def _choices_of(self, turn: Turn) -> list[Choice]:
        found = super()._choices_of(turn)
        if turn.state == "requested" and turn.by == "caller" and self.bounds.refusals:
            found.append(Choice("declines", turn.id))
        late = self.rules.late_chunks
        return [each for each in found if late or each.act != "trailing_delta"]

    def _more_choices(self) -> list[Choice]:
        bounds, hears = self.bounds, self.detects_speech and not self._speaking
        brief = isinstance(bounds, PhonicBounds) and self._brief < bounds.too_few_words
        return [Choice("hears_too_few_words")] if hears and brief else []

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        if choice.act == "hears_too_few_words":
            return self.hears_too_few_words()
        if choice.act == "declines":
            return self.declines(choice.response)
        return super()._take_more(choice, now_ms)

    def forget(self, response_id: str) -> None:
        """Drop a turn that is over. That it was interrupted may still be said."""
        self._firm -= {response_id}
        if self._cut is not None and self._cut[0] == response_id:
            self._cut = ("", self._cut[1])
        super().forget(response_id)

    def _more_key(self) -> Hashable:
        formats = (self.bytes_per_ms, self._input_format)
        return (*formats, self._ready, self._listens, self._cut, self._firm, self._brief)


def _error(reason: str) -> Json:
    return {"type": "error", "error": {"message": reason}}


def _chunk(words: str, audio: bytes) -> Json:
    return {"type": "audio_chunk", "audio": base64.b64encode(audio).decode(), "text": words}


def _tool(item: Item) -> Json:
    return {"tool_call_id": item.call_id, "tool_name": item.name}
