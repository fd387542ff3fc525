"""How servers of the OpenAI family speak: OpenAI's ways, spelled otherwise and under other rules.

Nothing is told twice: what is not said here is as in `openai.py` and what it is built on.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from .openai import OpenAIServer
from .openai_family_rules import FamilyBounds, FamilyRules
from .openai_memory import Item
from .openai_spelling import GA, Spelling
from .openai_state import End, Response
from .openai_wire import Json

_ACKS: Final = (
    "conversation.item.added",
    "conversation.item.deleted",
    "conversation.item.truncated",
    "input_audio_buffer.cleared",
)


class FamilySpeech(OpenAIServer):
    """The half of a server that speaks: `OpenAIServer` under a `spelling` and `FamilyRules`."""

    __slots__ = ("_answering", "_keeps_previous", "_owes_truncate", "spelling")

    rules: FamilyRules
    bounds: FamilyBounds

    def __init__(
        self,
        *,
        spelling: Spelling = GA,
        session: Mapping[str, Any] | None = None,
        rules: FamilyRules | None = None,
        bounds: FamilyBounds | None = None,
    ) -> None:
        super().__init__(
            session=session, rules=rules or FamilyRules(), bounds=bounds or FamilyBounds()
        )
        self.spelling = spelling
        self._answering = ""
        self._keeps_previous = False
        self._owes_truncate = ""

    def pings(self, now_ms: int) -> list[str]:
        """xAI's `ping`, which nobody answers: facts/providers.md 4.2."""
        return [self._event("ping", timestamp=now_ms)]

    def abandons(self, response_id: str) -> list[str]:
        """A response dies and nothing more is said of it, not even `response.done`."""
        self._close(self._active(response_id))
        self._change(response_id, state="cancelled")
        self._free_slot()
        return []

    def truncates_itself(self, item_id: str, end_ms: int | None) -> list[str]:
        """The server truncates an item where it takes its playback to be, counted from its first sample, and says so;
        None if it takes it to have been heard. facts/transports.md 21.

        It may do so to what it spoke last even after `response.done`; `choices` offers it for what the caller
        interrupted while it was made, since a model without a clock cannot tell what else may still play.
        """
        if item_id == self._owes_truncate:
            self._owes_truncate = ""
        if end_ms is None:
            return []
        item = self.conversation.items[item_id]
        if not 0 <= end_ms <= item.remembered_ms:
            raise ValueError(f"{item_id} holds {item.remembered_ms} ms, not {end_ms}")
        self.conversation.change(item_id, remembered_ms=end_ms, truncates=item.truncates + 1)
        event = "conversation.item.truncated"
        return [self._event(event, item_id=item_id, content_index=0, audio_end_ms=end_ms)]

    def connects(self) -> list[str]:
        """`OpenAIServer.connects`."""
        opened = super().connects()
        return opened if self.spelling.tells_conversation else opened[:1]

    def says_text(self, response_id: str, item_id: str, text: str) -> list[str]:
        """`OpenAIServer.says_text`."""
        events = super().says_text(response_id, item_id, text)
        double = self.spelling.doubles.get("response.output_text.delta")
        if double:
            item = self.conversation.items[item_id]
            events.append(self._part_event(double, item, delta=text))
        return events

    def finishes(
        self, response_id: str, status: End | None = None, reason: str | None = None
    ) -> list[str]:
        """`OpenAIServer.finishes`."""
        rules, response = self.rules, self.responses[response_id]
        if response.state == "cancelling":
            if rules.stopped_ends == "silently":
                return self.abandons(response_id)
            if rules.stopped_ends == "bare" or rules.stopped_forgets:
                self._close(response)
        if status == "failed" and rules.failure != "done" and not response.done:
            self._close(response, forgets=False)
            self._change(response_id, state="failed")
            said = self.sends_error(
                "backend error: try again", code=rules.failure_code, error_type=rules.failure
            )
            self._free_slot()
            return said
        blank = rules.stopped_blanks and response.state == "cancelling"
        cut = self.open_items(response_id) if blank else []
        events = super().finishes(response_id, status, reason)
        for item_id in cut:
            if not self.conversation.items[item_id].truncates:
                self.conversation.change(item_id, remembered_ms=0)
        return events

    def sends_error(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
        error_type: str = "invalid_request_error",
    ) -> list[str]:
        """`OpenAIServer.sends_error`."""
        own = dict(self.rules.codes)
        return super().sends_error(
            message,
            code=own.get(code, code) if code else code,
            param=param,
            event_id=event_id if self.rules.errors_named else None,
            error_type=error_type,
        )

    def _close(self, response: Response, *, forgets: bool | None = None) -> None:
        """End what is open of a response, and say nothing of it."""
        for item_id in self.open_items(response.id):
            self.conversation.change(item_id, status="incomplete")
            if self.rules.stopped_forgets if forgets is None else forgets:
                order = self.conversation.order
                self.conversation.order = tuple(each for each in order if each != item_id)
                self.conversation.change(item_id, deleted=True, remembered_ms=0)

    def _response_json(self, response: Response) -> Json:
        shown = super()._response_json(response)
        if response.state == "cancelled" and self.rules.stopped_ends == "bare":
            return {"object": shown["object"], "id": response.id, "output": []}
        if not self.rules.metadata_echo:
            shown["metadata"] = None
        if self.rules.stopped_forgets:
            items = self.conversation.items
            kept = [items[each] for each in response.items if not items[each].deleted]
            shown["output"] = [item.to_json() for item in kept]
        return shown

    def _conversation_event(
        self, verb: Literal["added", "done"], item: Item, shown: Json
    ) -> list[str]:
        name = self.spelling.joins(verb, item)
        before = self.conversation.before(item.id)
        return [self._event(name, previous_item_id=before, item=shown)] if name else []

    def _speak(self, item: Item, ms: int, text: str | None, *, remembered: bool) -> list[str]:
        blank = self.rules.truncates == "blanks" and item.truncates > 0
        return super()._speak(item, ms, text, remembered=remembered and not blank)

    def _event(self, event: str, **fields: object) -> str:
        if self._answering and event in _ACKS:
            fields = {"event_id": self._answering} | fields
        name, said = self.spelling.says(event, fields)
        return super()._event(name, **said)

    # Who has the slot.

    def slot_holder(self) -> Response | None:
        """`OpenAIServer.slot_holder`."""
        if self.rules.stopped_holds_slot:
            return super().slot_holder()
        return next((each for each in self._in_slot() if each.state != "cancelling"), None)

    def _in_slot(self) -> list[Response]:
        return [each for each in self.responses.values() if not each.done and not each.out_of_band]

    def _supersede(self, response: Response, how: Literal["cancels", "silently"]) -> list[str]:
        """Another takes the place of a response, or it is stopped before anybody knew it.

        One that the client asked for was begun when it was asked for, so its `response.created` is said at least.
        """
        events: list[str] = []
        if response.state == "requested":
            if response.by != "client":
                del self.responses[response.id]
                return []
            events = self.creates(response.id)
        if how == "silently":
            return events + self.abandons(response.id)
        if self.responses[response.id].state == "in_progress":
            self._stop(response.id, "client_cancelled")
        return events
