"""A sans-I/O model of the OpenAI Realtime server that plays by itself: over WebRTC and SIP.

It is the server of `openai.py` with a buffer in front of the caller's ear. Its audio never shows on the wire that the
client reads; what does are `output_audio_buffer.*`, and `conversation.item.truncated` where it has cut by itself.
`advance` plays in real time. What no source settles is a field of `PlayedRules`.

`openai.types.realtime.OutputAudioBufferClearEvent` and the server events of that buffer; facts/transports.md 11.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final, Literal, NamedTuple, Self

from .ear import Ear
from .openai import Bounds, OpenAIServer
from .openai_memory import Item, Rules
from .openai_wire import BYTES_PER_MS, ClientEvent, Json
from .voice import speech

CLEAR: Final = "output_audio_buffer.clear"
_DELTA: Final = '{"type":"response.output_audio.delta"'


class PlayedRules(Rules, frozen=True, kw_only=True):
    """What no source settles of a server that plays; see `Rules`."""

    cut_told: Literal["before_cleared", "after_cleared", "never"] = "before_cleared"
    """When `conversation.item.truncated` comes, relative to `output_audio_buffer.cleared`."""
    cuts_unplayed: bool = False
    """Whether items of the response that had not begun to sound are cut at 0; if not, they stay as they are."""
    answers_empty: bool = False
    """Whether a clear is answered although there was nothing to clear."""
    names_cleared: bool = True
    """Whether `cleared` names its response; openai-agents-js declares it without."""
    shows_audio: bool = False
    """Whether audio deltas are seen on the wire as well."""


class Piece(NamedTuple):
    """Speech that waits to be played, from one millisecond of its item to another."""

    response: str
    item: str
    from_ms: int
    to_ms: int


class PlayedServer(OpenAIServer):
    """One call to the server; `ear` is the caller's. See `OpenAIServer` and the module."""

    __slots__ = ("_cut_off", "_pieces", "_played", "_playing", "ear", "now_ms")

    rules: PlayedRules

    def __init__(
        self,
        *,
        session: Mapping[str, Any] | None = None,
        rules: PlayedRules | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(session=session, rules=rules or PlayedRules(), bounds=bounds)
        output = (self.session.get("audio") or {}).get("output") or {}
        encoding = (output.get("format") or {}).get("type", "audio/pcm")
        self.ear = Ear(BYTES_PER_MS[encoding])
        self.now_ms = 0
        self._pieces: tuple[Piece, ...] = ()
        self._playing = ""
        """The response that was said to sound and not to be through."""
        self._cut_off: frozenset[str] = frozenset()
        """Responses of which nothing will sound any more."""
        self._played: dict[str, int] = {}
        """By item: how much of it has sounded."""

    @property
    def buffered_ms(self) -> int:
        """Speech not yet played."""
        return sum(piece.to_ms - piece.from_ms for piece in self._pieces)

    @property
    def next_event_ms(self) -> int | None:
        """When, if nothing else happens, the response that sounds will have no more to play."""
        own = [p.to_ms - p.from_ms for p in self._pieces if p.response == self._playing]
        return self.now_ms + sum(own) if own else None

    def advance(self, now_ms: int) -> list[str]:
        """Play in real time up to `now_ms`; what there is to say of it."""
        events = self.plays(now_ms - self.now_ms)
        self.now_ms = max(self.now_ms, now_ms)
        return events

    def plays(self, duration_ms: int) -> list[str]:
        """Play the next `duration_ms`, or what there is of it, whatever the clock says."""
        events: list[str] = []
        while duration_ms > 0 and self._pieces:
            piece, *rest = self._pieces
            ms = min(duration_ms, piece.to_ms - piece.from_ms)
            item = self.conversation.items[piece.item]
            audio = speech(item.voice, piece.from_ms, ms, self.ear.bytes_per_ms)
            self.ear.hear(audio, self.now_ms)
            self.now_ms += ms
            duration_ms -= ms
            left = piece._replace(from_ms=piece.from_ms + ms)
            self._pieces = (left, *rest) if left.from_ms < left.to_ms else tuple(rest)
            self._played = self._played | {piece.item: left.from_ms}
            events += self._goes_on()
        return events

    def hangs_up(self) -> None:
        """The caller has gone: what was not played is lost, and nobody is told."""
        self._pieces, self._playing = (), ""

    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        """See `OpenAIServer.receive`; first everything up to `now_ms` is played."""
        return self.advance(now_ms) + super().receive(message, now_ms)

    def hears_speech_start(self, now_ms: int) -> list[str]:
        """The caller begins to speak. What cancels the response clears the buffer too, generation over or not."""
        played = self.advance(now_ms)
        speaks = super().hears_speech_start(now_ms)
        interrupts = speaks and self._vad("interrupt_response")
        return played + speaks + (self._clear() if interrupts else [])

    def finishes(self, response_id: str, *args: Any, **fields: Any) -> list[str]:  # noqa: ANN401
        """`response.done`; if all of it has sounded by then, the buffer is drained after it."""
        return super().finishes(response_id, *args, **fields) + self._goes_on()

    def _answer(self, event: ClientEvent, raw: Json) -> list[str]:
        if event.type != CLEAR:
            return super()._answer(event, raw)
        if not self._playing and not self._pieces and self.rules.answers_empty:
            return [self._cleared(self.latest_response)] if self.responses else []
        return self._clear()

    def _speak(self, item: Item, ms: int, text: str | None, *, remembered: bool) -> list[str]:
        events = super()._speak(item, ms, text, remembered=remembered)
        if not self.rules.shows_audio:
            events = [event for event in events if not event.startswith(_DELTA)]
        if item.response and item.response not in self._cut_off:
            end_ms = item.generated_ms + ms
            self._pieces += (Piece(item.response, item.id, item.generated_ms, end_ms),)
        return self._goes_on() + events

    def _goes_on(self) -> list[str]:
        """The response that sounds is through, or the next one begins."""
        events: list[str] = []
        ahead = self._pieces[0].response if self._pieces else ""
        if self._playing and ahead != self._playing and self.responses[self._playing].done:
            events.append(self._event("output_audio_buffer.stopped", response_id=self._playing))
            self._playing = ""
        if ahead and not self._playing:
            self._playing = ahead
            events.append(self._event("output_audio_buffer.started", response_id=ahead))
        return events

    def _clear(self) -> list[str]:
        """Everything is thrown away; of what was sounding the memory is cut where it stopped."""
        waiting = [piece.response for piece in self._pieces]
        stopped = [each.id for each in self.responses.values() if each.state == "cancelling"]
        self._cut_off |= {self._playing, *waiting, *stopped}
        events: list[str] = []
        for response in dict.fromkeys([self._playing] * bool(self._playing) + waiting):
            cuts = self._cut(response)
            cleared = [self._cleared(response)]
            events += cuts + cleared if self.rules.cut_told == "before_cleared" else cleared + cuts
        self._pieces, self._playing = (), ""
        return events

    def _cleared(self, response: str) -> str:
        named = {"response_id": response} if self.rules.names_cleared else {}
        return self._event("output_audio_buffer.cleared", **named)

    def _cut(self, response_id: str) -> list[str]:
        items = [self.conversation.items[each] for each in self.responses[response_id].items]
        spoken = [item for item in items if item.modality == "audio" and item.generated_ms]
        sounds = [p.item for p in self._pieces[:1] if p.response == response_id == self._playing]
        begun = [item for item in spoken if item.id in self._played or item.id in sounds]
        unplayed = spoken[len(begun) :] if self.rules.cuts_unplayed else []
        events = []
        for item in [*begun[-1:], *unplayed]:
            end_ms = self._played.get(item.id, 0)
            self.conversation.change(
                item.id, remembered_ms=min(end_ms, item.remembered_ms), truncates=item.truncates + 1
            )
            if self.rules.cut_told != "never":
                where = {"item_id": item.id, "content_index": 0, "audio_end_ms": end_ms}
                events.append(self._event("conversation.item.truncated", **where))
        return events

    def copy(self) -> Self:
        """See `OpenAIServer.copy`."""
        twin = super().copy()
        twin.ear, twin.now_ms = self.ear.copy(), self.now_ms
        twin._pieces, twin._playing, twin._played = self._pieces, self._playing, self._played
        twin._cut_off = self._cut_off
        return twin

    def key(self) -> Hashable:
        """See `OpenAIServer.key`; times are left out."""
        played = tuple(self._played.items())
        return (
            super().key(), self._pieces, self._playing, self._cut_off, played, self.ear.key(),
        )  # fmt: skip
