"""What the OpenAI server hears: the input buffer and voice activity detection.

When the caller begins and ends to speak is decided outside; what follows from it is the session's
`turn_detection`. `openai.types.realtime.RealtimeAudioInputTurnDetection`, facts/providers.md 2.5.
"""

from collections.abc import Mapping
from typing import Any

from .openai_generation import Generation
from .openai_memory import Item, Rules
from .openai_wire import BYTES_PER_MS, Json, Refusal


class Hearing(Generation):
    """The half of the server that listens."""

    __slots__ = ("_buffer_bytes", "_input_bytes", "_speech_item", "_speech_turns")

    def __init__(
        self, *, session: Mapping[str, Any] | None = None, rules: Rules | None = None
    ) -> None:
        super().__init__(session=session, rules=rules)
        self._speech_item = ""
        self._speech_turns = 0
        self._input_bytes = 0
        self._buffer_bytes = 0

    def hears_speech_start(self, now_ms: int) -> list[str]:
        """The caller begins to speak: `input_audio_buffer.speech_started`, nothing with VAD off.

        With `interrupt_response` it cancels the response of the default conversation, never one out of
        band; its last events are choices. On WebSocket nothing is truncated.
        `openai.types.realtime.RealtimeAudioInputTurnDetection`, facts/providers.md 2.5.
        """
        if not self.detects_turns or self._speech_item:
            return []
        self._speech_turns += 1
        self._speech_item = f"item_heard_{self._speech_turns}"
        while self._speech_item in self.conversation.items:
            self._speech_item += "_"
        events = [
            self._event(
                "input_audio_buffer.speech_started",
                audio_start_ms=self._written_ms(now_ms),
                item_id=self._speech_item,
            )
        ]
        holder = self.slot_holder()
        if holder is None or not self._vad("interrupt_response"):
            return events
        if holder.state == "in_progress":
            self._stop(holder.id, "turn_detected")
        elif holder.state == "requested" and self.rules.vad_cancels_unborn:
            events += self.finishes(holder.id, "cancelled", "turn_detected")
        return events

    def hears_speech_stop(self, now_ms: int) -> list[str]:
        """The caller is silent again: `speech_stopped`, `committed` and the user's item.

        With `create_response` a response without metadata is accepted; while the interrupted one is still
        ending it waits for that one's `response.done`.
        """
        if not self._speech_item:
            return []
        stopped = self._event(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=self._written_ms(now_ms),
            item_id=self._speech_item,
        )
        return [stopped, *self._commit(), *self._vad_response()]

    def hears_nothing(self, idle_ms: int, now_ms: int) -> list[str]:
        """`idle_timeout_ms` ran out: `input_audio_buffer.timeout_triggered`, the silence is committed and
        a response accepted (`openai.types.realtime.InputAudioBufferTimeoutTriggered`).
        """
        if not self.detects_turns or self._speech_item or self.slot_holder() is not None:
            return []
        self._item_count += 1
        self._speech_item = self._fresh_item_id()
        end_ms = self._written_ms(now_ms)
        triggered = self._event(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=max(0, end_ms - idle_ms),
            audio_end_ms=end_ms,
            item_id=self._speech_item,
        )
        events = [triggered, *self._commit()]
        self._accept("idle")
        return events

    def transcribes(self, item_id: str, transcript: str, duration_ms: int = 0) -> list[str]:
        """The transcript of a user's item, before or after anything else."""
        return [
            self._event(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=0,
                transcript=transcript,
                usage={"type": "duration", "seconds": duration_ms / 1000},
            )
        ]

    def _commit(self) -> list[str]:
        if not self._speech_item:
            self._item_count += 1
            self._speech_item = self._fresh_item_id()
        item = Item(id=self._speech_item, role="user", status="completed")
        self._speech_item = ""
        self._buffer_bytes = 0
        self.conversation.add(item)
        before = self.conversation.before(item.id)
        committed = self._event(
            "input_audio_buffer.committed", item_id=item.id, previous_item_id=before
        )
        return [committed, *self._joined(item)]

    def _joined(self, item: Item) -> list[str]:
        shown = item.to_json()
        added = self._conversation_event("added", item, shown)
        return added + self._conversation_event("done", item, shown)

    def _vad_response(self) -> list[str]:
        if not self._vad("create_response"):
            return []
        holder = self.slot_holder()
        if holder is None or self.rules.create_when_busy == "queued":
            self._accept("vad")
        elif holder.state == "cancelling":
            self._owes_response = True
        elif self.rules.vad_create_when_busy == "refused":
            return self.sends_error(
                "Conversation already has an active response", code=self.rules.busy_code
            )
        return []

    @property
    def detects_turns(self) -> bool:
        """Whether voice activity detection is on: `turn_detection` is not null."""
        return bool(self._audio_input.get("turn_detection"))

    @property
    def _audio_input(self) -> Json:
        return (self.session.get("audio") or {}).get("input") or {}

    def _vad(self, key: str) -> bool:
        return (self._audio_input.get("turn_detection") or {}).get(key) is not False

    @property
    def silence_duration_ms(self) -> int | None:
        """How much silence ends the caller's turn, if the session says."""
        turn_detection = self._audio_input.get("turn_detection") or {}
        silence_ms: int | None = turn_detection.get("silence_duration_ms")
        return silence_ms

    @property
    def input_format(self) -> str:
        """`audio/pcm`, `audio/pcmu` or `audio/pcma`, as the session says for the input."""
        name: str = (self._audio_input.get("format") or {}).get("type", "audio/pcm")
        return name

    @property
    def _input_bytes_per_ms(self) -> int:
        return BYTES_PER_MS[self.input_format]

    def _written_ms(self, now_ms: int) -> int:
        """On the wire these times count audio written to the buffer; without any, `now_ms` serves."""
        return self._input_bytes // self._input_bytes_per_ms if self._input_bytes else now_ms

    def _commit_by_client(self) -> list[str]:
        held_ms = self._buffer_bytes / self._input_bytes_per_ms
        if held_ms < 100:  # "needs >= 100 ms of audio", facts/providers.md 2.1
            raise Refusal(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of "
                f"audio, but buffer only has {held_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        return self._commit()
