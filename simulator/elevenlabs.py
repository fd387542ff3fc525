"""A sans-I/O model of the ElevenLabs Agents server (Conversational AI, WebSocket), as a dialect of `turns.py`.

A turn is one segment and has the number that all its messages carry (`event_id`), by which it is named here too.
Nothing says that it is over, and no verb stops it. facts/transports.md 18, 28; the shapes of the official schema and
the official client judge every message in the tests.
"""

import base64
from collections.abc import Hashable
from typing import Final, Literal

import msgspec

from .elevenlabs_wire import (
    CLIENT_EVENTS,
    INVALID,
    ClientToolResult,
    Initiation,
    MultimodalMessage,
    Pong,
    UserMessage,
    decode,
)
from .turns import Bounds, By, Choice, Item, ItemKind, Json, Refused, Rules, Said, Turn, TurnServer
from .turns_state import Wire

__all__ = ["CLIENT_EVENTS", "ElevenLabsBounds", "ElevenLabsRules", "ElevenLabsServer"]

_FORMATS: Final = {8: "ulaw_8000", 16: "pcm_8000", 32: "pcm_16000", 48: "pcm_24000"}
"""`agent_output_audio_format` by bytes per millisecond."""

_PING_MS: Final = 50
"""The round trip that a ping tells of; nobody depends on it."""


class ElevenLabsRules(Rules, frozen=True, kw_only=True):
    """How agents differ, or what no source settles. facts/transports.md 18 and 30, point 10."""

    pending: Literal["kept", "dropped", "ended"] = "dropped"
    """Who speaks again before the agent has begun is answered once."""
    second_request: Literal["queued", "supersedes"] = "supersedes"
    """Likewise."""
    memory: Literal["generated", "sent", "own"] = "own"
    """The server reckons what was heard; `agent_response_correction` tells it."""
    message_interrupts: bool = True
    """Whether a message of the user stops the segment that runs. A multimodal one is seen to do so:
    https://github.com/elevenlabs/elevenlabs-python/issues/829."""
    interruption_names: Literal["stopped", "next"] = "stopped"
    """Whose number an interruption carries: that of the segment it stops, as the Python SDK takes it, which plays
    nothing of that number any more; or that of the segment to come, as the JavaScript SDK takes it and as was seen in
    the issue above."""
    correction: Literal["before", "after", "never"] = "after"
    """When `agent_response_correction` comes, seen from the interruption."""
    client_events: tuple[str, ...] = CLIENT_EVENTS
    """What the agent's settings let the server say; of anything else nobody hears."""


class ElevenLabsBounds(Bounds, frozen=True, kw_only=True):
    """How far `choices` goes."""

    pings: int = 0
    """How often the server may ask whether the client is there."""


class ElevenLabsServer(TurnServer):
    """One conversation. `bytes_per_ms` of its audio: 8 for `ulaw_8000`, 16, 32 or 48 for PCM; raises `KeyError` for
    another."""

    __slots__ = ("_events", "_pings", "_unanswered")

    says_generation_end = False

    rules: ElevenLabsRules

    def __init__(
        self,
        *,
        rules: ElevenLabsRules | None = None,
        bounds: Bounds | None = None,
        bytes_per_ms: int = 8,
    ) -> None:
        super().__init__(bytes_per_ms=bytes_per_ms, rules=rules or ElevenLabsRules(), bounds=bounds)
        _FORMATS[bytes_per_ms]
        self._events = self.rules.client_events
        self._pings = 0
        self._unanswered: tuple[int, ...] = ()

    @property
    def unanswered_pings(self) -> tuple[int, ...]:
        """The pings to which no `pong` came."""
        return self._unanswered

    def connects(self) -> Said:
        """`conversation_initiation_metadata`."""
        audio = _FORMATS[self.bytes_per_ms]
        told = {
            "conversation_id": "conv_1",
            "agent_output_audio_format": audio,
            "user_input_audio_format": audio,
        }
        return self._say([_event("conversation_initiation_metadata", told)])

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        m = decode(message)
        match m:
            case Initiation(client_events=events) if events is not None:
                self._events = events
            case UserMessage(text=str(text)) | MultimodalMessage(text=UserMessage(text=str(text))):
                return self._asks(text, interrupts=self.rules.message_interrupts)
            case MultimodalMessage(file=dict()):
                return self._asks("", interrupts=self.rules.message_interrupts)
            case Pong(event_id=number):
                self._unanswered = tuple([x for x in self._unanswered if x != number])
            case ClientToolResult(tool_call_id=call_id):
                self._has_result(call_id)
        return []

    def _protests(self, refused: Refused) -> Said:
        told = {"code": INVALID, "error_type": refused.code, "message": refused.reason}
        said = super()._say([_event("error", told)])  # No setting turns it off.
        return said + self.closes(INVALID, refused.reason)

    # What the server says.

    def _say(
        self,
        wires: list[Wire],
        turn: Turn | None = None,
        item: Item | None = None,
        by: By | None = None,
    ) -> Said:
        enabled = [x for x in wires if isinstance(x, dict) and x["type"] in self._events]
        return super()._say([*enabled], turn, item, by)

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        return [_event("agent_response", {"agent_response": text, "event_id": int(turn.id)})]

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        data = base64.b64encode(audio).decode()
        return [_event("audio", {"audio_base_64": data, "event_id": int(turn.id)})]

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        call = {
            "tool_name": item.name,
            "tool_call_id": item.call_id,
            "parameters": msgspec.json.decode(item.arguments),
            "event_id": int(turn.id),
        }
        return [{"type": "client_tool_call", "client_tool_call": call}]

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        number = int(turn.id) if self.rules.interruption_names == "stopped" else self._next_number()
        notice: Wire = _event("interruption", {"event_id": number})
        correction = self._correction(turn)
        return [*correction, notice] if self.rules.correction == "before" else [notice, *correction]

    def _correction(self, turn: Turn) -> list[Wire]:
        """What the server takes for heard, in words, where that is not all it said."""
        original = corrected = ""
        for item in self._items_of(turn.id):
            kept = len(item.transcript) * item.remembered_ms // max(1, item.generated_ms)
            original += item.transcript
            corrected += item.transcript[:kept]
            self._change_item(item.id, transcript=item.transcript[:kept])
        if original == corrected or self.rules.correction == "never":
            return []
        told = {
            "original_agent_response": original,
            "corrected_agent_response": corrected,
            "event_id": int(turn.id),
        }
        return [_event("agent_response_correction", told)]

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        told = {"user_transcript": "(the caller's words)", "event_id": self._next_number()}
        return [{"type": "user_transcript", "user_transcription_event": told}]

    # Names.

    def _next_number(self) -> int:
        """The number of the segment to come."""
        return int(self.waiting[0]) if self.waiting else self._free_number()

    def _free_number(self) -> int:
        """The numbers grow: one above all that are known."""
        return max(map(int, self.responses), default=0) + 1

    def _new_turn(self, by: By, request: str) -> Turn:
        """By its number on the wire."""
        turn = Turn(id=str(self._free_number()), by=by, request=request)
        self.responses[turn.id] = turn
        return turn

    def _new_item(self, turn: Turn, kind: ItemKind, **fields: str) -> Item:
        """Speech has no name but its segment's: by that it is called here, as the session under test calls it."""
        made = super()._new_item(turn, kind, **fields)
        if kind != "message":
            return made
        spoken = sum(item.kind == "message" for item in self._items_of(turn.id))
        name = f"{turn.id}/speech" + f"_{spoken}" * (spoken > 1)
        del self.items[made.id]
        item = self.items[name] = msgspec.structs.replace(made, id=name)
        self._change(turn.id, items=(*turn.items, name))
        return item

    # Deeds.

    def speaks(self, response_id: str, ms: int, text: str | None = None) -> Said:
        """As of every server; but the words of a segment are said once, whole, with its first audio."""
        if text is None and any(item.transcript for item in self._items_of(response_id)):
            text = ""
        return super().speaks(response_id, ms, text)

    def pings(self) -> Said:
        """`ping`: the client is to answer with `pong`."""
        self._pings += 1
        self._unanswered += (self._pings,)
        return self._say([_event("ping", {"event_id": self._pings, "ping_ms": _PING_MS})])

    def _more_choices(self) -> list[Choice]:
        bound = self.bounds.pings if isinstance(self.bounds, ElevenLabsBounds) else 0
        return [Choice("pings")] if self._pings < bound else []

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        return self.pings() if choice.act == "pings" else super()._take_more(choice, now_ms)

    def _more_key(self) -> Hashable:
        return self._events, self._pings, self._unanswered


def _event(kind: str, told: Json) -> Json:
    return {"type": kind, f"{kind}_event": told}
