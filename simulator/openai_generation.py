"""How the OpenAI server answers: the life of a response on the wire, one decision at a time.

Each method is something the server may do at that moment and returns the events it then sends; when to do
it is decided outside (a Scene, the emulator's clock, the explorer). Order of events inside a response:
facts/providers.md 2.2. Calling what cannot happen raises `ValueError`.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from .openai_memory import Item, base64_speech
from .openai_state import CONVERSATION, End, SentError, ServerState, head
from .openai_wire import Json

ItemKind: TypeAlias = Literal["message", "text", "function_call"]

_REASONS: Final[dict[str, str | None]] = {
    "completed": None,
    "incomplete": "max_output_tokens",
    "cancelled": "client_cancelled",
    "failed": None,
}


class Generation(ServerState):
    """The half of the server that speaks."""

    __slots__ = ()

    def connects(self) -> list[str]:
        """`session.created`, `conversation.created`."""
        conversation = {"id": CONVERSATION, "object": "realtime.conversation"}
        return [
            self._event("session.created", session=self.session),
            self._event("conversation.created", conversation=conversation),
        ]

    def creates(self, request: str | None = None, *, created_event: bool = True) -> list[str]:
        """`response.created`, however late: of the request named by its client event id, its metadata's
        `client_event_id` or its response id; of the oldest one waiting when None.

        Without `created_event` the response begins and nobody is told. Metadata comes back as given
        (`openai.types.realtime.ResponseCreateEvent`).
        """
        response = self._waiting(request)
        response = self._change(response.id, state="in_progress", announced=created_event)
        events = []
        if created_event:
            events.append(self._event("response.created", response=self._response_json(response)))
            if self.rules.rate_limits:
                limits = [
                    {"name": "requests", "limit": 5000, "remaining": 4999, "reset_seconds": 0.02},
                    {
                        "name": "tokens",
                        "limit": 400_000,
                        "remaining": 395_000,
                        "reset_seconds": 0.7,
                    },
                ]
                events.append(self._event("rate_limits.updated", rate_limits=limits))
        return events

    def refuses(
        self,
        request: str | None = None,
        *,
        code: str | None = "rate_limit_exceeded",
        message: str = "Rate limit reached.",
    ) -> list[str]:
        """An `error` instead of `response.created`: a request accepted and then given up."""
        response = self._waiting(request)
        del self.responses[response.id]
        events = self.sends_error(message, code=code, event_id=response.request)
        self._free_slot()
        return events

    def announces(
        self, response_id: str, kind: ItemKind = "message", *, name: str = "lookup"
    ) -> list[str]:
        """A new item of the response: `response.output_item.added`, `conversation.item.added` (in the
        default conversation only), and for messages `response.content_part.added`.
        """
        response = self._active(response_id)
        number = self._number_of_item(response)
        item = Item(
            id=f"item_{number}",
            kind="function_call" if kind == "function_call" else "message",
            role="assistant",
            response=response_id,
            output_index=len(response.items),
            bytes_per_ms=response.bytes_per_ms,
            in_conversation=not response.out_of_band,
            name=name if kind == "function_call" else "",
            call_id=f"call_{number}" if kind == "function_call" else "",
        )
        if kind != "function_call":
            text = kind == "text" or response.text_only
            item = msgspec.structs.replace(item, modality="text" if text else "audio", voice=number)
        self.conversation.add(item)
        self._change(response_id, items=(*response.items, item.id))
        whose = {"response_id": response_id, "output_index": item.output_index}
        shown = item.to_json(empty=True)
        events = [self._event("response.output_item.added", **whose, item=shown)]
        if item.in_conversation:
            events += self._conversation_event("added", item, shown)
        if kind != "function_call":
            part = (
                {"type": "text", "text": ""}
                if item.modality == "text"
                else {"type": "audio", "transcript": ""}
            )
            events.append(self._part_event("response.content_part.added", item, part=part))
        return events

    def speaks(self, response_id: str, item_id: str, ms: int, text: str | None = None) -> list[str]:
        """`ms` more audio of an item, its words first; `text` "" leaves the words out."""
        response = self._active(response_id)
        item = self._open_item(response, item_id, "audio")
        if response.state == "cancelling":
            return self.trailing_delta(response_id, item_id, ms, text)
        # What a truncate cut off while the response ran on is lost; what comes after it is remembered.
        return self._speak(item, ms, text, remembered=not item.deleted)

    def trailing_delta(
        self, response_id: str, item_id: str, ms: int = 100, text: str | None = ""
    ) -> list[str]:
        """Audio that was under way when the response was told to stop, or even after its end.

        "Audio/transcript deltas already in flight" follow a cancel, facts/providers.md 2.5. A truncate
        that came first has cut them off too.
        """
        response = self.responses[response_id]
        item = self.conversation.items[item_id]
        if response.state in ("requested", "in_progress") or item.modality != "audio":
            raise ValueError(f"{response_id} is {response.state}: no trailing audio of {item_id}")
        self._change(response_id, trailing=response.trailing + 1)
        return self._speak(item, ms, text, remembered=not (item.truncates or item.deleted))

    def says_text(self, response_id: str, item_id: str, text: str) -> list[str]:
        """`response.output_text.delta` of a text item."""
        item = self._open_item(self._active(response_id), item_id, "text")
        item = self.conversation.change(item_id, text=item.text + text)
        return [self._part_event("response.output_text.delta", item, delta=text)]

    def calls(self, response_id: str, item_id: str, arguments: str = "{}") -> list[str]:
        """`response.function_call_arguments.delta` of a function call."""
        item = self._open_item(self._active(response_id), item_id, "none")
        item = self.conversation.change(item_id, arguments=item.arguments + arguments)
        return [
            self._event(
                "response.function_call_arguments.delta",
                **head(item),
                call_id=item.call_id,
                delta=arguments,
            )
        ]

    def ends_item(
        self,
        response_id: str,
        item_id: str,
        status: Literal["completed", "incomplete"] | None = None,
    ) -> list[str]:
        """The last events of one item; `incomplete` by default once the response was told to stop."""
        response = self._active(response_id)
        item = self._open_item(response, item_id)
        by_default = "incomplete" if response.state == "cancelling" else "completed"
        item = self.conversation.change(item_id, status=status or by_default)
        events = []
        if item.kind == "function_call":
            done = "response.function_call_arguments.done"
            call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            events.append(self._event(done, **head(item), **call))
        elif item.modality == "text":
            events.append(self._part_event("response.output_text.done", item, text=item.text))
            part = {"type": "text", "text": item.text}
            events.append(self._part_event("response.content_part.done", item, part=part))
        else:
            words = item.transcript
            done = "response.output_audio_transcript.done"
            events.append(self._part_event("response.output_audio.done", item))
            events.append(self._part_event(done, item, transcript=words))
            part = {"type": "audio", "transcript": words}
            events.append(self._part_event("response.content_part.done", item, part=part))
        whose = {"response_id": response_id, "output_index": item.output_index}
        shown = item.to_json()
        events.append(self._event("response.output_item.done", **whose, item=shown))
        if item.id in self.conversation.order:
            events += self._conversation_event("done", item, shown)
        return events

    def finishes(
        self, response_id: str, status: End | None = None, reason: str | None = None
    ) -> list[str]:
        """`response.done`, after the last events of every item still open.

        `cancelled` by default once the response was told to stop, else `completed`. A response that was
        never created may finish too: a done without a created, livekit/agents#5564.
        """
        response = self.responses[response_id]
        if response.done:
            raise ValueError(f"{response_id} is {response.state} already")
        by_default: End = "cancelled" if response.state == "cancelling" else "completed"
        status = status or by_default
        events = []
        for item_id in self.open_items(response_id):
            ended: Literal["completed", "incomplete"] = (
                "completed" if status == "completed" else "incomplete"
            )
            events += self.ends_item(response_id, item_id, ended)
        why = reason or response.reason if status == "cancelled" else reason
        response = self._change(response_id, state=status, reason=why or _REASONS[status])
        events.append(self._event("response.done", response=self._response_json(response)))
        self._free_slot()
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
        """An `error` event (`openai.types.realtime.RealtimeErrorEvent`)."""
        if code in self.rules.null_event_id_for:
            event_id = None
        self.errors = (*self.errors, SentError(code, message, event_id))
        error = {
            "type": error_type,
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id,
        }
        return [self._event("error", error=error)]

    def loses_connection(self) -> list[str]:
        """The connection is gone: nothing is sent or taken any more. A new one is a new conversation."""
        self.closed = True
        return []

    def _conversation_event(
        self, verb: Literal["added", "done"], item: Item, shown: Json
    ) -> list[str]:
        """What is said of the default conversation when an item joins it and when the item is whole."""
        before = self.conversation.before(item.id)
        return [self._event(f"conversation.item.{verb}", previous_item_id=before, item=shown)]

    def _speak(self, item: Item, ms: int, text: str | None, *, remembered: bool) -> list[str]:
        words = f"[{item.generated_ms}] " if text is None else text
        audio = base64_speech(item.voice, item.generated_ms, ms, item.bytes_per_ms)
        item = self.conversation.change(
            item.id,
            generated_ms=item.generated_ms + ms,
            remembered_ms=item.remembered_ms + ms * remembered,
            transcript=item.transcript + words,
        )
        events = []
        if words:
            transcript = "response.output_audio_transcript.delta"
            events.append(self._part_event(transcript, item, delta=words))
        events.append(self._part_event("response.output_audio.delta", item, delta=audio))
        return events
