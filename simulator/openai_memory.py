"""What the OpenAI server remembers: the items of the default conversation, and the rules that change them.

The rules are those of `openai.types.realtime` (docstrings of the item events) and facts/providers.md 2.6;
what no source settles is a field of `Rules`.
"""

import base64
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from .openai_wire import Json, NewItem, Refusal
from .voice import speech

Verdict: TypeAlias = Literal["accepted", "refused"]
Modality: TypeAlias = Literal["audio", "text", "none"]

TRUNCATE_UNKNOWN: Final = "item_truncate_invalid_item_id"
DELETE_UNKNOWN: Final = "item_delete_invalid_item_id"
RETRIEVE_UNKNOWN: Final = "item_retrieve_invalid_item_id"
DUPLICATE: Final = "item_create_duplicate_item_id"
ALREADY_TRUNCATED: Final = "item_already_truncated"

_CONTENT_OF_ROLE: Final[dict[str, tuple[str, ...]]] = {
    "user": ("input_text", "input_audio", "input_image"),
    "system": ("input_text",),
    "assistant": ("output_text",),
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What no source settles, or where sources differ; the defaults are the tolerant reading.

    facts/providers.md section 11, points 1–4.
    """

    truncate_margin_ms: int = 0
    """How much shorter the server holds an item than it sent; 85 was reported (pipecat-ai/pipecat#2106)."""
    truncate_at_zero: Verdict = "accepted"
    """A truncate at 0 of an item that has audio."""
    truncate_again: Verdict = "accepted"
    """A second truncate of an item; refused means `item_already_truncated` (one Azure client)."""
    truncate_in_progress: Verdict = "accepted"
    """A truncate of an item whose response is not done."""
    mutes_after_refused_truncate: bool = False
    """Two reports of silence for the rest of the session (pipecat-ai/pipecat#3677)."""
    delete_in_progress: Verdict = "accepted"
    """A delete of an item whose response is not done."""
    cancel_unknown_code: str | None = "response_cancel_not_active"
    """The error code for a cancel that names a response which is unknown or done."""
    cancel_again: Literal["ignored", "refused"] = "ignored"
    """A second cancel of a response that is still ending."""
    cancel_without_id: Literal["alone", "default_conversation"] = "alone"
    """"alone": with several responses in flight it reaches none (livekit/agents#5564, measured);
    "default_conversation": it reaches that one's (`openai.types.realtime.ResponseCancelEvent`)."""
    create_when_busy: Literal["refused", "queued"] = "refused"
    """A create for a slot that is taken; "queued" is kept until the slot is free (never documented)."""
    busy_code: str | None = "conversation_already_has_active_response"
    """None in builds of early 2025 (openai/openai-realtime-agents#3)."""
    vad_create_when_busy: Literal["silent", "refused"] = "silent"
    """A VAD-made response whose slot is taken "may fail to create" (`RealtimeAudioInputTurnDetection`);
    "refused" says so with an error event."""
    vad_cancels_unborn: bool = False
    """Whether a VAD start also ends a response that was accepted and not yet created."""
    null_event_id_for: frozenset[str] = frozenset()
    """Error codes whose `error.event_id` is null although the client gave one (openai-agents-js#189)."""
    rate_limits: bool = False
    """Whether `rate_limits.updated` follows each `response.created`."""


class Item(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One item. Never changed, only replaced: copies of a server share it."""

    id: str
    kind: Literal["message", "function_call", "function_call_output"] = "message"
    role: Literal["user", "assistant", "system", "tool"] = "assistant"
    modality: Modality = "none"
    status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
    response: str | None = None
    output_index: int = 0
    voice: int = 0
    bytes_per_ms: int = 8
    in_conversation: bool = True
    deleted: bool = False
    generated_ms: int = 0
    remembered_ms: int = 0
    transcript: str = ""
    text: str = ""
    truncates: int = 0
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    body: bytes = b""
    """JSON of an item the client made; its shape is the client's."""

    @property
    def open(self) -> bool:
        """Whether the model may still add to it."""
        return self.status == "in_progress"

    def to_json(self, *, with_audio: bool = False, empty: bool = False) -> Json:
        """The item as events show it: without audio unless asked for, `empty` while it is being made."""
        if self.body:
            made_by_client: Json = msgspec.json.decode(self.body)
            return made_by_client
        head: Json = {"id": self.id, "object": "realtime.item", "status": self.status}
        if self.kind == "function_call":
            call = {"call_id": self.call_id, "name": self.name, "arguments": self.arguments}
            return head | {"type": "function_call"} | call
        head |= {"type": "message", "role": self.role}
        if self.role == "user":
            return head | {"content": [{"type": "input_audio", "transcript": self.transcript}]}
        if empty or self.modality == "none":
            return head | {"content": []}
        if self.modality == "text":
            return head | {"content": [{"type": "output_text", "text": self.text}]}
        # A truncate deletes the server's transcript of the item (ConversationItemTruncatedEvent).
        part: Json = {
            "type": "output_audio",
            "transcript": "" if self.truncates else self.transcript,
        }
        if with_audio:
            part["audio"] = base64_speech(self.voice, 0, self.remembered_ms, self.bytes_per_ms)
        return head | {"content": [part]}


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the memory oracle: what the server holds of an item, whoever thinks otherwise.

    Times count from the item's first sample. `generated_ms` is all audio made for it, heard or not;
    `remembered_ms` is what is left after truncates, 0 when deleted or never in the default conversation.
    `transcript` is None when there is none: lost to a truncate, deleted, or not in the conversation.
    `voice` is the number its audio carries, by which the ear knows it.
    """

    item: str
    role: str
    kind: str
    response: str | None
    voice: int
    generated_ms: int
    remembered_ms: int
    transcript: str | None
    status: str
    deleted: bool
    out_of_band: bool


@lru_cache(maxsize=1024)
def base64_speech(voice: int, start_ms: int, duration_ms: int, bytes_per_ms: int) -> str:
    """`speech` as it travels in JSON."""
    return base64.b64encode(speech(voice, start_ms, duration_ms, bytes_per_ms)).decode()


class Conversation:
    """All items ever made, and the order of those in the default conversation."""

    __slots__ = ("items", "order")

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.order: tuple[str, ...] = ()

    def copy(self) -> "Conversation":
        """An independent copy, sharing the items, which never change."""
        twin = Conversation()
        twin.items = self.items.copy()
        twin.order = self.order
        return twin

    def add(self, item: Item, previous: str | None = None) -> None:
        """Append, or insert after `previous` ("root": first). Raises `Refusal` for an unknown one."""
        if item.in_conversation:
            at = len(self.order)
            if previous == "root":
                at = 0
            elif previous is not None:
                if previous not in self.order:
                    raise Refusal(
                        f"Previous item with id '{previous}' does not exist.",
                        code="invalid_value",
                        param="previous_item_id",
                    )
                at = self.order.index(previous) + 1
            self.order = (*self.order[:at], item.id, *self.order[at:])
        self.items[item.id] = item

    def change(self, item_id: str, **fields: object) -> Item:
        """Replace fields of an item; the rest stays."""
        item = self.items[item_id] = msgspec.structs.replace(self.items[item_id], **fields)
        return item

    def forget(self, item_id: str) -> None:
        """Drop an item as if it had never been made."""
        del self.items[item_id]
        self.order = tuple(other for other in self.order if other != item_id)

    def before(self, item_id: str) -> str | None:
        """The item in front of this one, if any."""
        at = self.order.index(item_id)
        return self.order[at - 1] if at else None

    def find(self, item_id: str, verb: str, code: str) -> Item:
        """An item of the default conversation; raises `Refusal` in the words of the delete error."""
        if item_id not in self.order:
            # Reported for delete (openai-agents tests); the codes of the others by pipecat and others.
            message = f"Error {verb} item: the item with id '{item_id}' does not exist."
            raise Refusal(message, code=code, param="item_id")
        return self.items[item_id]

    def create(self, new: NewItem, previous: str | None, fresh_id: str) -> Item:
        """`conversation.item.create`; it cannot make assistant audio (`ConversationItemCreateEvent`)."""
        item_id = new.id if new.id is not None else fresh_id
        if item_id in self.items and not self.items[item_id].deleted:
            message = f"Error adding item: an item with id '{item_id}' already exists."
            raise Refusal(message, code=DUPLICATE, param="item.id")
        required = {
            "message": ("role", "content"),
            "function_call": ("name", "arguments"),
            "function_call_output": ("call_id", "output"),
        }[new.type]
        for field in required:
            if getattr(new, field) is None:
                raise Refusal(
                    f"Missing required parameter: 'item.{field}'.",
                    code="missing_required_parameter",
                    param=f"item.{field}",
                )
        if new.type == "message":
            _check_content(new)
        body: Json = msgspec.to_builtins(new)
        body |= {"id": item_id, "object": "realtime.item", "status": "completed"}
        for part in body.get("content") or ():
            part.pop("audio", None)  # only conversation.item.retrieved shows audio
        item = Item(
            id=item_id,
            kind=new.type,
            role=(new.role or "user") if new.type == "message" else "tool",
            status="completed",
            text="".join(part.text or "" for part in new.content or ()),
            call_id=new.call_id or "",
            body=msgspec.json.encode(body),
        )
        self.add(item, previous)
        return item

    def truncate(self, item_id: str, audio_end_ms: object, rules: Rules, *, busy: bool) -> Item:
        """`conversation.item.truncate`; `busy` says the item's response is not done.

        facts/providers.md 2.6; the strings are quoted in pipecat-ai/pipecat#3677, livekit/agents#6157.
        """
        param = "audio_end_ms"
        if type(audio_end_ms) is not int:
            message = f"Invalid type for '{param}': expected an integer."
            raise Refusal(message, code="invalid_type", param=param)
        if audio_end_ms < 0:
            message = f"Invalid '{param}': expected a value >= 0, but got {audio_end_ms} instead."
            raise Refusal(message, code="integer_below_min_value", param=param)
        item = self.find(item_id, "truncating", TRUNCATE_UNKNOWN)
        if item.modality != "audio" or item.role != "assistant" or not item.generated_ms:
            raise Refusal(
                "Only model output audio messages can be truncated",
                code="unsupported_content_type",
            )
        if item.truncates and rules.truncate_again == "refused":
            raise Refusal("The item is already truncated.", code=ALREADY_TRUNCATED)
        if busy and rules.truncate_in_progress == "refused":
            raise Refusal("The item is still being generated.", code="invalid_value")
        margin = 0 if item.truncates else rules.truncate_margin_ms
        held_ms = max(0, item.remembered_ms - margin)
        if audio_end_ms > held_ms:
            message = f"Audio content of {held_ms}ms is already shorter than {audio_end_ms}ms"
            raise Refusal(message, code="invalid_value", param=param)
        if audio_end_ms == 0 and rules.truncate_at_zero == "refused":
            message = f"Invalid '{param}': expected a value > 0."
            raise Refusal(message, code="invalid_value", param=param)
        return self.change(item_id, remembered_ms=audio_end_ms, truncates=item.truncates + 1)

    def delete(self, item_id: str, rules: Rules, *, busy: bool) -> Item:
        """`conversation.item.delete`; `busy` says the item's response is not done."""
        self.find(item_id, "deleting", DELETE_UNKNOWN)
        if busy and rules.delete_in_progress == "refused":
            raise Refusal("The item is still being generated.", code="invalid_value")
        self.order = tuple(other for other in self.order if other != item_id)
        return self.change(item_id, deleted=True, remembered_ms=0)

    def memory(self) -> list[Remembered]:
        """The oracle: one line per item, in the order they were made."""
        return [_remembered(item) for item in self.items.values()]


def _check_content(new: NewItem) -> None:
    allowed = _CONTENT_OF_ROLE[new.role or "user"]
    for at, part in enumerate(new.content or ()):
        if part.type not in allowed:
            names = ", ".join(f"'{name}'" for name in allowed)
            raise Refusal(
                f"Invalid value: '{part.type}'. Supported values are: {names}.",
                code="invalid_value",
                param=f"item.content[{at}].type",
            )


def _remembered(item: Item) -> Remembered:
    known = item.in_conversation and not item.deleted
    words = item.text if item.modality != "audio" else item.transcript
    return Remembered(
        item=item.id,
        role=item.role,
        kind=item.kind,
        response=item.response,
        voice=item.voice,
        generated_ms=item.generated_ms,
        remembered_ms=item.remembered_ms if known else 0,
        transcript=words if known and not item.truncates and words else None,
        status=item.status,
        deleted=item.deleted,
        out_of_band=not item.in_conversation,
    )
