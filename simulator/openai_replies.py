"""What the OpenAI server does when told: every client event, each rule with its source."""

from collections.abc import Mapping
from typing import Any, Final

from .openai_hearing import Hearing
from .openai_memory import RETRIEVE_UNKNOWN, Rules
from .openai_session import merge_session
from .openai_wire import (
    Append,
    ClientEvent,
    ItemCreate,
    ItemRef,
    Json,
    Refusal,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    Truncate,
    check_metadata,
    decode,
    decode_audio,
)

CANCEL_NOT_ACTIVE: Final = "response_cancel_not_active"


class Replies(Hearing):
    """The server as a client can command it."""

    __slots__ = ("cancels_without_id",)

    def __init__(
        self, *, session: Mapping[str, Any] | None = None, rules: Rules | None = None
    ) -> None:
        super().__init__(session=session, rules=rules)
        self.cancels_without_id = 0

    def receive(self, message: str | bytes, now_ms: int) -> list[str]:
        """Take one client message; returns what the server says at once, maybe nothing.

        Never raises for anything a client may write: what cannot be done is answered with an `error`
        event that names the message's `event_id`, or null where it gave none.
        """
        if self.closed:
            return []
        event_id = None
        try:
            event, raw = self._decode(message)
            event_id = event.event_id
            return self._answer(event, raw)
        except Refusal as refusal:
            return self.sends_error(
                refusal.message,
                code=refusal.code,
                param=refusal.param,
                event_id=refusal.event_id or event_id,
            )

    def _decode(self, message: str | bytes) -> tuple[ClientEvent, Json]:
        return decode(message)

    def _answer(self, event: ClientEvent, raw: Json) -> list[str]:
        match event:
            case SessionUpdate():
                return self._update_session(raw["session"])
            case ResponseCreate():
                return self._create_response(event)
            case ResponseCancel():
                return self._cancel(event)
            case ItemCreate():
                return self._create_item(event)
            case Truncate():
                return self._truncate(event)
            case ItemRef(type="conversation.item.delete"):
                return self._delete(event)
            case ItemRef():
                item = self.conversation.find(event.item_id, "retrieving", RETRIEVE_UNKNOWN)
                shown = item.to_json(with_audio=True)
                return [self._event("conversation.item.retrieved", item=shown)]
            case Append():
                audio = decode_audio(event.audio)
                self._input_bytes += len(audio)
                self._buffer_bytes += len(audio)
                return []  # the one client event without acknowledgement (InputAudioBufferAppendEvent)
            case _ if event.type == "input_audio_buffer.commit":
                return self._commit_by_client()
            case _ if event.type == "input_audio_buffer.clear":
                self._buffer_bytes = 0
                return [self._event("input_audio_buffer.cleared")]
            case _:
                # "WebRTC/SIP Only" (OutputAudioBufferClearEvent); the words of the refusal are ours.
                raise Refusal(f"'{event.type}' is for WebRTC and SIP only.", param="type")

    def _update_session(self, changes: Json) -> list[str]:
        try:
            self._set_session(merge_session(self.session, changes))
        except (OverflowError, RecursionError):
            raise Refusal(
                "Invalid 'session': a number too large, or nested too deeply.",
                code="invalid_value",
                param="session",
            ) from None
        return [self._event("session.updated", session=self.session)]

    def _create_response(self, event: ResponseCreate) -> list[str]:
        params = event.response
        if params is not None and params.metadata is not None:
            check_metadata(params.metadata)
        out_of_band = params is not None and params.conversation == "none"
        holder = self.slot_holder()
        if holder is not None and not out_of_band and self.rules.create_when_busy == "refused":
            # Freed by response.done, not by response.cancel; the words: openai-agents-python#1466.
            raise Refusal(
                "Conversation already has an active response in progress: "
                f"{holder.id}. Wait until the response is finished before creating a new one.",
                code=self.rules.busy_code,
            )
        self._accept("client", request=event.event_id, params=params)
        return []

    def _cancel(self, event: ResponseCancel) -> list[str]:
        """facts/providers.md 2.5, `openai.types.realtime.ResponseCancelEvent`."""
        wanted = event.response_id
        if wanted is None:
            self.cancels_without_id += 1
            active = [each for each in self.responses.values() if each.active]
            ours = [each for each in active if not each.out_of_band]
            if len(active) > 1 and self.rules.cancel_without_id == "alone":
                return []  # measured in livekit/agents#5564: nothing is cancelled, nothing is said
            if not ours:
                raise self._nothing_to_cancel(CANCEL_NOT_ACTIVE)
            target = ours[0]
        else:
            named = self.responses.get(wanted)
            if named is not None:
                named = self._change(wanted, cancels=named.cancels + 1)
            if named is None or not named.active:
                # Before response.created there is nothing to cancel, and the response is still created
                # (livekit/agents#6244).
                raise self._nothing_to_cancel(self.rules.cancel_unknown_code)
            target = named
        if target.state == "in_progress":
            self._stop(target.id, "client_cancelled")
        elif self.rules.cancel_again == "refused":
            raise self._nothing_to_cancel(CANCEL_NOT_ACTIVE)
        return []

    def _nothing_to_cancel(self, code: str | None) -> Refusal:
        return Refusal("Cancellation failed: no active response found", code=code)

    def _create_item(self, event: ItemCreate) -> list[str]:
        if event.item.id is None:
            self._item_count += 1
        item = self.conversation.create(event.item, event.previous_item_id, self._fresh_item_id())
        return self._joined(item)

    def _truncate(self, event: Truncate) -> list[str]:
        busy = self._is_busy(event.item_id)
        end_ms = event.audio_end_ms
        if event.content_index != 0:  # "Set this to `0`" (ConversationItemTruncateEvent)
            message = "Invalid 'content_index': the item has no such content part."
            raise Refusal(message, code="invalid_value", param="content_index")
        try:
            self.conversation.truncate(event.item_id, end_ms, self.rules, busy=busy)
        except Refusal:
            self.muted |= self.rules.mutes_after_refused_truncate
            raise
        return [
            self._event(
                "conversation.item.truncated",
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=end_ms,
            )
        ]

    def _delete(self, event: ItemRef) -> list[str]:
        self.conversation.delete(event.item_id, self.rules, busy=self._is_busy(event.item_id))
        return [self._event("conversation.item.deleted", item_id=event.item_id)]

    def _is_busy(self, item_id: str) -> bool:
        item = self.conversation.items.get(item_id)
        response = self.responses.get(item.response or "") if item else None
        return response is not None and not response.done
