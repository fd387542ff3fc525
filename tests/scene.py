"""A Scene: one call in a world of models, told as a script of what is seen and what is done.

What is common to all is in `scene_call.py`. Here is what a server does that names what it says: OpenAI's, and those
of its family. Its answers are told by the server's own ids.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from bargein.runtime import actions as do
from bargein.runtime.session import Settings
from bargein.simulator.openai import OpenAIServer, Remembered, Rules
from bargein.simulator.openai_family import FAMILY

from . import scene_judge as judge
from .scene_call import Call, both_engines
from .scene_peers import Message
from .scene_world import DIRECTIONS, Direction, Forgives

__all__ = ["DIRECTIONS", "Direction", "Forgives", "Reply", "Scene", "audio_delta", "both_engines"]

PCMU = {"type": "audio/pcmu"}
PCM = {"type": "audio/pcm", "rate": 24_000}


class Reply(NamedTuple):
    """A response the server has made: our handle (None: made by the server's VAD), its id, its items."""

    ref: str | None
    response: str
    items: tuple[str, ...]

    @property
    def item(self) -> str:
        """Its only item."""
        (item,) = self.items
        return item


class Scene(Call):
    """See the module. Use as a context manager; the end of the block judges.

    `provider` is OpenAI or one of its family. `rules` are the server's: `Rules` of OpenAI's, fields of `FamilyRules`
    of the others. `carrier_rules` are further arguments of the carrier's model.
    """

    server: OpenAIServer

    def __init__(
        self,
        engine: str,
        *,
        provider: str = "openai",
        carrier: str = "twilio",
        turn_detection: Mapping[str, Any] | Literal["default"] | None = "default",
        rules: Rules | Mapping[str, Any] | None = None,
        settings: Settings | None = None,
        carrier_rules: Mapping[str, Any] | None = None,
        marks_echoed: bool = True,
        started: bool = True,
    ) -> None:
        line = {"marks_echoed": marks_echoed, **(carrier_rules or {})}
        super().__init__(
            engine, provider=provider, carrier=carrier, settings=settings, carrier_rules=line
        )
        form = PCMU if self.audio.name == "mulaw" else PCM
        audio: dict[str, Any] = {side: {"format": dict(form)} for side in ("input", "output")}
        if turn_detection != "default":
            audio["input"]["turn_detection"] = turn_detection
        self.server = self._serves(provider, {"audio": audio}, rules)
        self.forgives.divergence = "none" in (
            self.provider.can["truncate"],
            self.provider.can["delete"],
        )
        self.forgives.divergence |= provider == "xai"
        self.done_seen: set[str] = set()
        self._says(self.server.connects())
        self._flow()
        if started:
            self.starts()

    def _serves(
        self, provider: str, session: Mapping[str, Any], rules: Rules | Mapping[str, Any] | None
    ) -> OpenAIServer:
        if provider == "openai":
            assert rules is None or isinstance(rules, Rules)
            return OpenAIServer(session=session, rules=rules)
        assert not isinstance(rules, Rules)
        return FAMILY[provider].server(session=session, rules=rules)

    # -- the script: the server ----------------------------------------------------------------------

    def creates(self, request: str | None = None, *, created_event: bool = True) -> str:
        """The server makes the response of `request` (None: the oldest that waits); its id."""
        waiting = [
            each
            for each in self.server.responses.values()
            if each.state == "requested" and request in (None, each.request, each.id)
        ]
        self._next(f"server   creates {request or 'the oldest'}")
        if not waiting:
            self.fail(f"no request waits to be created ({request=})")
        self._says(self.server.creates(waiting[0].id, created_event=created_event))
        self._flow()
        return waiting[0].id

    def announces(
        self, response: str, kind: Literal["message", "text", "function_call"] = "message"
    ) -> str:
        """A new item of `response`; its id."""
        self._next(f"server   announces a {kind} of {response}")
        self._says(self.server.announces(response, kind))
        self._flow()
        return self.server.latest_item

    def speaks(self, item: str, ms: int, *, delta_ms: int = 100, text: str | None = None) -> None:
        """`ms` more audio of `item`, in deltas; trailing ones if its response was told to stop."""
        self._next(f"server   speaks {ms} ms of {item}")
        response = self.server.conversation.items[item].response or ""
        for at_ms in range(0, ms, delta_ms):
            piece_ms = min(delta_ms, ms - at_ms)
            if self.server.responses[response].active:
                self._says(self.server.speaks(response, item, piece_ms, text))
            else:
                self._says(self.server.trailing_delta(response, item, piece_ms))
        self._flow()

    def ends(self, item: str) -> None:
        """The last events of one item."""
        self._next(f"server   ends {item}")
        response = self.server.conversation.items[item].response or ""
        self._says(self.server.ends_item(response, item))
        self._flow()

    def finishes(
        self,
        response: str,
        status: Literal["completed", "failed", "incomplete", "cancelled"] | None = None,
    ) -> None:
        """The server's last word about `response`."""
        self._next(f"server   finishes {response} {status or ''}")
        self._says(self.server.finishes(response, status))
        self._flow()

    def replies(self, *items_ms: int, finished: bool = True, beside: bool = False) -> Reply:
        """A request and its whole answer, one message item per length in milliseconds."""
        ref = self.requests(beside=beside)
        self.does(f"create {ref}")
        return self._answers(ref, self.creates(ref), items_ms, finished)

    def replies_by_vad(self, *items_ms: int, finished: bool = True) -> Reply:
        """The caller says something and the server answers by itself."""
        self.caller_speaks()
        self.caller_stops()
        return self._answers(None, self.creates(), items_ms, finished)

    def _answers(
        self, ref: str | None, response: str, items_ms: Sequence[int], finished: bool
    ) -> Reply:
        items: list[str] = []
        for ms in items_ms:
            if items:
                self.ends(items[-1])
            items.append(self.announces(response))
            self.speaks(items[-1], ms)
        if finished:
            self.finishes(response)
        return Reply(ref, response, tuple(items))

    def caller_speaks(self) -> None:
        """The server's VAD hears the caller begin to speak."""
        self._next("caller   speaks")
        self._says(self.server.hears_speech_start(self.now_ms))
        self._flow()

    def refuses(self, request: str, *, code: str | None = "rate_limit_exceeded") -> None:
        """The server gives up a request it had accepted."""
        self._next(f"server   refuses {request}")
        self._says(self.server.refuses(request, code=code))
        self._flow()

    # -- what must have been done ----------------------------------------------------------------------

    def memory(self, item: str) -> Remembered:
        """What the server remembers of an item."""
        return next(each for each in self.server.memory() if each.item == item)

    # -- for the judge --------------------------------------------------------------------------------

    def winds_down(self) -> None:
        """Whatever the server still owes is paid, late."""
        for response in list(self.server.responses.values()):
            state = self.server.responses[response.id].state
            if state == "requested" and (
                response.out_of_band or self.server.slot_holder() in (None, response)
            ):
                self.creates(response.id)
                self.unclaim()
                state = self.server.responses[response.id].state
                item = self.announces(response.id)
                self.speaks(item, 300)
            if state in ("in_progress", "cancelling"):
                self.finishes(response.id)
                self.unclaim()

    def asks_again(self) -> None:
        """One more turn, of two items."""
        reply = self.replies(700, 300)
        self.hears_ms(1_000)
        while self.forgives.clock and (due_ms := self.session.next_deadline_ms) is not None:
            self.passes_until(due_ms)
        self.unclaim()
        assert reply.ref is not None
        self.resolves(reply.ref, "completed")
        for item in reply.items:
            self.item_is(item, "full")

    def outcome_about(self, remembered: Remembered) -> do.ItemOutcome | None:
        """By its name."""
        return self.outcomes.get(remembered.item)

    def voices_of(self, item: str) -> set[int]:
        """By its name."""
        return {self.memory(item).voice}

    def voices_of_response(self, ref: str) -> set[int]:
        """By the name the request gave itself, or the one the session was told."""
        ids = {each.request: each.id for each in self.server.responses.values() if each.request}
        response = ids.get(ref) or self.server_ids.get(ref)
        return {
            each.voice
            for each in self.server.memory()
            if each.role == "assistant" and each.response == response
        }

    # -- the machinery ----------------------------------------------------------------------------------

    def _hears_server(self, message: Message) -> None:
        super()._hears_server(message)
        if isinstance(message, str) and message.startswith('{"type":"response.done"'):
            self.done_seen.add(json.loads(message)["response"]["id"])

    def _written(self, direction: Direction, message: Message) -> None:
        self.wires[direction].append(message)
        if direction == "to_carrier":
            self._claims_clear(message)
        if isinstance(message, bytes):
            self._log(">", message)
            return
        fields = json.loads(message)
        if direction == "to_server" and self.provider.name in ("openai", "openai_webrtc"):
            _official().validate_json(message)
        kind = fields.get("type") or fields.get("event")
        if kind == "response.cancel":
            judge.judges_cancel(self, fields)
        self.sent_messages.append(fields)
        self._log(">", message)
        if direction == "to_server" and kind in _CONTROL:
            said, *names = _CONTROL[kind]
            self._unclaimed.append(" ".join((said, *_named(fields, names))))


_CONTROL = {
    "response.create": ("create", "event_id"),
    "response.cancel": ("cancel", "response_id"),
    "conversation.item.truncate": ("truncate", "item_id", "audio_end_ms"),
    "conversation.item.delete": ("delete", "item_id"),
    "output_audio_buffer.clear": ("clear",),
}


def _named(fields: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [str(fields.get(name)) for name in names]


def audio_delta(response: str, item: str, audio: str) -> dict[str, object]:
    """A delta of speech that the server's model would not send; `audio` is base64."""
    ids = {"response_id": response, "item_id": item, "content_index": 0, "output_index": 0}
    return {"type": "response.output_audio.delta", "delta": audio, **ids}


@cache
def _official() -> TypeAdapter[Any]:
    return TypeAdapter(RealtimeClientEvent)
