"""The state of one OpenAI connection, and how its events are written.

Everything mutable is a dict of frozen structs or a plain value, so a copy is a few shallow copies.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .openai_memory import Conversation, Item, Rules
from .openai_session import default_session, merge_session
from .openai_wire import BYTES_PER_MS, Json, ResponseParams

End: TypeAlias = Literal["completed", "failed", "incomplete", "cancelled"]

CONVERSATION: Final = "conv_1"


class Response(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One response. Never changed, only replaced: copies of a server share it.

    `requested`: accepted, named by nobody yet. `cancelling`: told to stop, its last events are to come.
    """

    id: str
    state: Literal["requested", "in_progress", "cancelling"] | End = "requested"
    by: Literal["client", "vad", "idle"] = "client"
    request: str | None = None
    """The `event_id` of the `response.create`."""
    metadata: tuple[tuple[str, str], ...] | None = None
    out_of_band: bool = False
    text_only: bool = False
    bytes_per_ms: int = 48
    announced: bool = False
    """Whether `response.created` was sent."""
    items: tuple[str, ...] = ()
    reason: str | None = None
    cancels: int = 0
    """Cancels received that name it."""
    trailing: int = 0
    """Deltas sent after it was told to stop."""

    @property
    def done(self) -> bool:
        """Whether `response.done` was sent."""
        return self.state not in ("requested", "in_progress", "cancelling")

    @property
    def active(self) -> bool:
        """Whether it is created and not done: what a cancel can reach, or has reached."""
        return self.state in ("in_progress", "cancelling")


class SentError(msgspec.Struct, frozen=True):
    """An `error` event the server sent."""

    code: str | None
    message: str
    event_id: str | None


class ServerState:
    """What one connection knows."""

    __slots__ = (
        "_event_count",
        "_item_count",
        "_owes_response",
        "_response_count",
        "_session_key",
        "closed",
        "conversation",
        "errors",
        "muted",
        "responses",
        "rules",
        "session",
    )

    def __init__(
        self, *, session: Mapping[str, Any] | None = None, rules: Rules | None = None
    ) -> None:
        self.rules = rules or Rules()
        self.session: Json = {}
        self._set_session(merge_session(default_session(), session or {}))
        self.conversation = Conversation()
        self.responses: dict[str, Response] = {}
        """Every response accepted so far, by id, in order of acceptance."""
        self.errors: tuple[SentError, ...] = ()
        self.muted = False
        self.closed = False
        self._owes_response = False
        self._event_count = 0
        self._item_count = 0
        self._response_count = 0

    # What a Scene asks to name things.

    @property
    def latest_response(self) -> str:
        """Id of the response accepted last. `IndexError` when there is none."""
        return list(self.responses)[-1]

    @property
    def latest_item(self) -> str:
        """Id of the item made last. `IndexError` when there is none."""
        return list(self.conversation.items)[-1]

    @property
    def waiting(self) -> list[str]:
        """Responses accepted and not created, oldest first."""
        return [each.id for each in self.responses.values() if each.state == "requested"]

    def open_items(self, response_id: str) -> list[str]:
        """Items of a response that have not had their last events."""
        items = self.conversation.items
        return [each for each in self.responses[response_id].items if items[each].open]

    def slot_holder(self) -> Response | None:
        """Who writes to the default conversation, created or about to be: one at a time
        (`openai.types.realtime.ResponseCreateEvent`), until its `response.done`."""
        for response in self.responses.values():
            if not response.done and not response.out_of_band:
                return response
        return None

    def _stop(self, response_id: str, reason: str) -> None:
        self._change(response_id, state="cancelling", reason=reason)

    def _accept(
        self,
        by: Literal["client", "vad", "idle"],
        *,
        request: str | None = None,
        params: ResponseParams | None = None,
    ) -> Response:
        params = params or ResponseParams()
        self._response_count += 1
        while f"resp_{self._response_count}" in self.responses:
            self._response_count += 1
        session_format = ((self.session.get("audio") or {}).get("output") or {}).get("format") or {}
        encoding = session_format.get("type", "audio/pcm")
        if params.audio and params.audio.output and params.audio.output.format:
            encoding = params.audio.output.format.type
        modalities = params.output_modalities or self.session.get("output_modalities")
        response = Response(
            id=f"resp_{self._response_count}",
            by=by,
            request=request,
            metadata=None if params.metadata is None else tuple(params.metadata.items()),
            out_of_band=params.conversation == "none",
            text_only=modalities == ["text"],
            bytes_per_ms=BYTES_PER_MS[encoding],
        )
        self.responses[response.id] = response
        return response

    def _free_slot(self) -> None:
        """A VAD-made response that waited for the end of the one it interrupted gets the slot."""
        if self._owes_response and self.slot_holder() is None:
            self._owes_response = False
            self._accept("vad")

    def _waiting(self, request: str | None) -> Response:
        for response in self.responses.values():
            ids = (
                response.id,
                response.request,
                dict(response.metadata or ()).get("client_event_id"),
            )
            if response.state == "requested" and (request is None or request in ids):
                return response
        raise ValueError(f"no request waits to be created ({request=})")

    def _active(self, response_id: str) -> Response:
        response = self.responses[response_id]
        if not response.active:
            raise ValueError(f"{response_id} is {response.state}")
        return response

    def _open_item(self, response: Response, item_id: str, modality: str | None = None) -> Item:
        item = self.conversation.items[item_id]
        if item_id not in response.items or not item.open:
            raise ValueError(f"{item_id} is no open item of {response.id}")
        if modality is not None and item.modality != modality:
            raise ValueError(f"{item_id} is a {item.kind} without {modality}")
        return item

    def _change(self, response_id: str, **fields: object) -> Response:
        response = msgspec.structs.replace(self.responses[response_id], **fields)
        self.responses[response_id] = response
        return response

    def _fresh_item_id(self) -> str:
        while f"item_client_{self._item_count}" in self.conversation.items:
            self._item_count += 1
        return f"item_client_{self._item_count}"

    def _number_of_item(self, response: Response) -> int:
        """Items are numbered by their response and their place in it, so that names do not depend on what
        else happened: an explorer meets fewer states that differ in names alone."""
        number = 100 * (int(response.id.removeprefix("resp_")) - 1) + len(response.items) + 1
        while f"item_{number}" in self.conversation.items:
            number += 1
        return number

    def _set_session(self, session: Json) -> None:
        self._session_key = msgspec.json.encode(session)
        self.session = session

    def _response_json(self, response: Response) -> Json:
        status = "in_progress" if not response.done else response.state
        details: Json | None = None
        usage: Json | None = None
        items = [self.conversation.items[each] for each in response.items]
        if response.done:
            details = {"type": status, "reason": response.reason}
            if status == "failed":
                details["error"] = {"type": "server_error", "code": None, "message": "Try again."}
            tokens = sum(item.generated_ms for item in items) // 50
            usage = {"total_tokens": tokens, "input_tokens": 0, "output_tokens": tokens}
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": status,
            "status_details": details,
            "output": [item.to_json() for item in items],
            "conversation_id": None if response.out_of_band else CONVERSATION,
            "output_modalities": ["text"] if response.text_only else ["audio"],
            "metadata": None if response.metadata is None else dict(response.metadata),
            "usage": usage,
        }

    def _part_event(self, event: str, item: Item, **fields: object) -> str:
        return self._event(event, **head(item), content_index=0, **fields)

    def _event(self, event: str, **fields: object) -> str:
        self._event_count += 1
        first = {"type": event, "event_id": f"event_{self._event_count}"}
        return msgspec.json.encode(first | fields).decode()


def head(item: Item) -> Json:
    """What every event about a part of an item begins with."""
    return {
        "response_id": item.response,
        "item_id": item.id,
        "output_index": item.output_index,
    }
