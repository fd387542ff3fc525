"""One model for the servers of the OpenAI family: what it does when told, what it hears, what it may do by itself."""

from collections.abc import Hashable
from typing import Any, Final, Literal, NamedTuple, Self, cast

from msgspec.structs import replace

from .openai_family_rules import NOT_IMPLEMENTED, NOT_SUPPORTED
from .openai_family_speech import FamilySpeech
from .openai_memory import TRUNCATE_UNKNOWN
from .openai_wire import (
    Bare,
    ClientEvent,
    ItemRef,
    Json,
    Refusal,
    ResponseCancel,
    ResponseCreate,
    Truncate,
    check_metadata,
    event_id_of,
    parse,
    shaped,
)

_NOT_OWED: Final = ("hears_speech_start", "loses_connection", "pings")
_BARE: Final = ("input_audio_buffer.commit", "input_audio_buffer.clear")
_FIELD_NAMES: Final = {"audio": "output_audio_format"}


class FamilyChoice(NamedTuple):
    """One thing only some of the family do by themselves; the others are `openai.Choice`."""

    act: Literal["abandons", "pings", "truncates_itself"]
    response: str = ""
    item: str = ""
    how: str = ""
    """Where it truncates, in milliseconds; empty if it finds nothing to cut."""


class FamilyServer(FamilySpeech):
    """One connection to a server of the family."""

    __slots__ = ()

    # What it may do by itself.

    def choices(self) -> list[Any]:
        """`OpenAIServer.choices`."""
        found: list[Any] = list(super().choices())
        if self.closed:
            return found
        if self._owes_truncate:
            spoken_ms = self.conversation.items[self._owes_truncate].remembered_ms
            places = [str(ms) for ms in range(0, spoken_ms, self.bounds.delta_ms)]
            found += [
                FamilyChoice("truncates_itself", item=self._owes_truncate, how=ms)
                for ms in ("", *places)
            ]
        if self.bounds.abandons and self._speech_item:
            found += [
                FamilyChoice("abandons", response.id)
                for response in self.responses.values()
                if response.state == "in_progress" and not response.items
            ]
        if self.bounds.pings:
            found.append(FamilyChoice("pings"))
        return found

    def take(self, choice: Any, now_ms: int) -> list[str]:  # noqa: ANN401  one of two kinds
        """`OpenAIServer.take`."""
        if not isinstance(choice, FamilyChoice):
            return super().take(choice, now_ms)
        match choice.act:
            case "abandons":
                return self.abandons(choice.response)
            case "pings":
                return self.pings(now_ms)
            case "truncates_itself":
                return self.truncates_itself(choice.item, int(choice.how) if choice.how else None)

    @property
    def owes(self) -> bool:
        """`OpenAIServer.owes`."""
        return any(each.act not in _NOT_OWED for each in self.choices())

    # What it does when told.

    def _decode(self, message: str | bytes) -> tuple[ClientEvent, Json]:
        raw = parse(message)
        try:
            heard = self.spelling.hears(raw)
        except Refusal as refusal:
            refusal.event_id = event_id_of(raw)
            raise
        self._keeps_previous = self.spelling.keeps_previous(raw)
        try:
            return shaped(heard), heard
        except Refusal as refusal:
            if self.rules.unknown_ignored and refusal.param == "type":
                return Bare(type="", event_id=event_id_of(raw)), raw
            raise

    def _answer(self, event: ClientEvent, raw: Json) -> list[str]:
        if self.rules.unknown_ignored and isinstance(event, Bare) and event.type not in _BARE:
            return []
        acked = self.rules.acks_named and event.type != "input_audio_buffer.commit"
        self._answering = (event.event_id or "") if acked else ""
        try:
            return super()._answer(event, raw)
        finally:
            self._answering = ""

    def _create_response(self, event: ResponseCreate) -> list[str]:
        events: list[str] = []
        params = event.response
        if params is not None:
            for field in self.rules.complained_of:
                if getattr(params, field) is not None:
                    name = _FIELD_NAMES.get(field, field)
                    events += self.sends_error(NOT_SUPPORTED.format(field=name))
            dropped = dict.fromkeys((*self.rules.complained_of, *self.rules.ignored))
            event = replace(event, response=replace(params, **dropped))
        how = self.rules.create_supersedes
        if how == "no" or self._keeps_previous:
            return events + super()._create_response(event)
        if event.response is not None and event.response.metadata is not None:
            check_metadata(event.response.metadata)
        for response in self._in_slot():
            events += self._supersede(response, how)
        events += self._last_words()
        self._accept("client", request=event.event_id, params=event.response)
        return events

    def _cancel(self, event: ResponseCancel) -> list[str]:
        return self._cancelled(event) + self._last_words()

    def _last_words(self) -> list[str]:
        """Of what was just told to stop, where they come at once."""
        stopped = [each for each in self._in_slot() if each.state == "cancelling"]
        at_once = stopped if self.rules.stopped_at_once != "no" else []
        return [event for response in at_once for event in self.finishes(response.id)]

    def _cancelled(self, event: ResponseCancel) -> list[str]:
        rules = self.rules
        if not rules.cancels:
            return self._not_implemented(event)
        target = self.responses.get(event.response_id or "")
        if target is None or not rules.cancel_reads_id:
            target = self.slot_holder()
        unborn = target is not None and target.state == "requested"
        if target is not None and ((rules.stops_unborn and unborn) or not rules.cancel_reads_id):
            return self._supersede(target, "cancels")
        try:
            return super()._cancel(event)
        except Refusal:
            if rules.idle_cancel == "silent":
                return []
            raise

    def _truncate(self, event: Truncate) -> list[str]:
        rules = self.rules
        if rules.truncates == "cuts":
            return self._cut(event) if rules.stopped_blanks else super()._truncate(event)
        if rules.truncates == "ignored":
            return []
        if rules.truncates == "unsupported":
            return self._not_implemented(event)
        item = self.conversation.items.get(event.item_id)
        if type(event.audio_end_ms) is not int:
            raise Refusal("Invalid JSON format", code="invalid_json")
        known = item is not None and item.id in self.conversation.order
        if item is None or not known or item.role != "assistant" or item.kind != "message":
            raise Refusal("Item to truncate not found", code=TRUNCATE_UNKNOWN)
        self.conversation.change(item.id, remembered_ms=0, text="", truncates=item.truncates + 1)
        return [
            self._event(
                "conversation.item.truncated",
                item_id=item.id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
            )
        ]

    def _cut(self, event: Truncate) -> list[str]:
        """A truncate, which may also bring back what a stop has blanked."""
        item = self.conversation.items.get(event.item_id)
        blank = item is not None and item.status == "incomplete" and not item.truncates
        if item is None or not blank:
            return super()._truncate(event)
        self.conversation.change(item.id, remembered_ms=item.generated_ms)
        try:
            return super()._truncate(event)
        except Refusal:
            self.conversation.change(item.id, remembered_ms=item.remembered_ms)
            raise

    def _delete(self, event: ItemRef) -> list[str]:
        item = self.conversation.items.get(event.item_id)
        if not self.rules.deletes_own and (item is None or item.response is not None):
            raise Refusal("Item not found")
        return super()._delete(event)

    def _not_implemented(self, event: ResponseCancel | Truncate) -> list[str]:
        message = NOT_IMPLEMENTED.format(verb=event.type)
        return self.sends_error(message, event_id=event.event_id, error_type="server_error")

    # What it hears.

    @property
    def detects_turns(self) -> bool:
        """`OpenAIServer.detects_turns`."""
        return self.rules.vad_reports_when_off or super().detects_turns

    @property
    def _only_reports(self) -> bool:
        return self.rules.vad_reports_when_off and not self._audio_input.get("turn_detection")

    def _vad(self, key: str) -> bool:
        if self._only_reports:
            return False
        if key == "interrupt_response" and self.rules.vad_interrupts != "by_session":
            return self.rules.vad_interrupts == "always"
        return super()._vad(key)

    def hears_speech_start(self, now_ms: int) -> list[str]:
        """`OpenAIServer.hears_speech_start`."""
        if self._speech_item:
            return []
        holder = self.slot_holder()
        events = super().hears_speech_start(now_ms)
        if holder is None or not self._vad("interrupt_response"):
            return events
        if holder.state == "requested" and self.rules.stops_unborn:
            events += self._supersede(holder, "cancels")
        if self.rules.stopped_at_once == "before_speech":
            return events[1:] + self._last_words() + events[:1]
        events += self._last_words()
        if self.rules.auto_truncate and holder.state == "in_progress":
            items = [self.conversation.items[each] for each in holder.items]
            spoken = [each.id for each in items if each.remembered_ms and not each.truncates]
            self._owes_truncate = spoken[-1] if spoken else ""
        return events

    def hears_speech_stop(self, now_ms: int) -> list[str]:
        """`OpenAIServer.hears_speech_stop`."""
        if not self._only_reports or not self._speech_item:
            return super().hears_speech_stop(now_ms)
        heard, self._speech_item = self._speech_item, ""
        end_ms = self._written_ms(now_ms)
        event = "input_audio_buffer.speech_stopped"
        return [self._event(event, audio_end_ms=end_ms, item_id=heard)]

    def hears_nothing(self, idle_ms: int, now_ms: int) -> list[str]:
        """`OpenAIServer.hears_nothing`."""
        if not self.spelling.tells_idle:
            raise ValueError("this server has no idle timeout")
        return super().hears_nothing(idle_ms, now_ms)

    def _vad_response(self) -> list[str]:
        how = self.rules.vad_supersedes
        if how == "no" or not self._vad("create_response"):
            return super()._vad_response()
        events: list[str] = []
        self._owes_response = False
        for response in self._in_slot():
            if how != "unspoken":
                events += self._supersede(response, how)
            elif response.active and not response.items:
                self.abandons(response.id)
        events += self._last_words()
        if self.slot_holder() is None or how == "cancels":
            self._accept("vad")
        else:
            self._owes_response = True
        return events

    # What an explorer needs.

    def forget_item(self, item_id: str) -> None:
        """`OpenAIServer.forget_item`."""
        super().forget_item(item_id)
        self._settle_truncate()

    def forget(self, response_id: str) -> None:
        """`OpenAIServer.forget`."""
        super().forget(response_id)
        self._settle_truncate()

    def tidy(self) -> None:
        """`OpenAIServer.tidy`."""
        super().tidy()
        self._settle_truncate()

    def _settle_truncate(self) -> None:
        if self._owes_truncate not in self.conversation.items:
            self._owes_truncate = ""

    def copy(self) -> Self:
        """`OpenAIServer.copy`."""
        twin = super().copy()
        for slot in FamilySpeech.__slots__:
            setattr(twin, slot, getattr(self, slot))
        return twin

    def key(self) -> Hashable:
        """`OpenAIServer.key`."""
        key = cast(tuple[Hashable, ...], super().key())
        return (*key, self._owes_truncate)
