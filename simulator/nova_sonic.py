"""A sans-I/O model of the Amazon Nova Sonic server (Bedrock bidirectional stream), as a dialect of `turns.py`.

Everything is a block of content. A spoken turn is several audio blocks, before each the text that it means to say,
and after them the text that was spoken. The client cannot interrupt; the server does when it hears the caller, and
may say so after the turn's end. facts/providers.md 8.
"""

import base64
from collections.abc import Hashable
from typing import Any, Final, Literal

import msgspec

from .nova_sonic_wire import Input, decode
from .turns import Bounds, By, Choice, Item, Json, Rules, Said, Turn, TurnServer, Wire
from .turns_spoken import spoken

__all__ = ["INTERRUPTED", "NovaSonicRules", "NovaSonicServer"]

INTERRUPTED: Final = '{ "interrupted" : true }'
"""The text of the block that says so, literally."""


class NovaSonicRules(Rules, frozen=True, kw_only=True):
    """How Nova's models differ, or what no source settles. facts/providers.md 8.2–8.5 and 11, point 10."""

    memory: Literal["generated", "sent", "own"] = "own"
    """It keeps what was spoken; whether that is what was played or what was sent is not told."""
    answers_text: bool = True
    """Whether interactive text is a request; Nova 1 does not answer it."""
    audio_end: Literal["before", "after", "missing"] = "before"
    """How the audio block of an interrupted turn ends: with `PARTIAL_TURN` before it is said that it was interrupted,
    with `INTERRUPTED` afterwards, or not at all."""
    record: Literal["after", "before", "missing"] = "after"
    """When the text of what was spoken comes: after the turn's end, just before it, or never."""
    record_of_interrupted: bool = True
    """Whether it comes of an interrupted turn."""


class NovaSonicServer(TurnServer):
    """One stream. It says nothing before the block of the caller's audio has begun.

    The audio it says has the rate that `audioOutputConfiguration` asks for, before that 24 kHz.
    A message it does not take ends the stream: `close_code` is the HTTP status, `close_reason` names the exception.
    A request's name is that of its text block.
    """

    __slots__ = ("_input",)

    says_generation_end = False
    rules: NovaSonicRules

    def __init__(
        self, *, rules: NovaSonicRules | None = None, bounds: Bounds | None = None
    ) -> None:
        super().__init__(bytes_per_ms=48, rules=rules or NovaSonicRules(), bounds=bounds)
        self._input = Input()

    @property
    def ready(self) -> bool:
        """Whether the caller's audio streams."""
        return self._input.streams and self._input.stage == "prompt"

    @property
    def detects_speech(self) -> bool:
        """The same: it always listens."""
        return self.ready

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        name, body = decode(message)
        before, self._input = self._input, self._input.after(name, body)
        if name == "prompt_start":
            self.bytes_per_ms = body.audio_output_configuration.bytes_per_ms
        if name == "content_start" and body.type == "AUDIO":
            return self._say([self._event("completionStart")])
        if name == "content_end":
            block = before.block(body.content_name)
            if block.asks and self.rules.answers_text:
                return self._asks(block.content_name)
            if block.tool_result_input_configuration is not None:
                self._has_result(block.tool_result_input_configuration.tool_use_id)
        if name == "prompt_end":
            return self._say([self._event("completionEnd", stopReason="END_TURN")])
        return self.closes(200, "sessionEnd") if name == "session_end" else []

    # What the server says.

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        """What it means to say in this block, before its audio; the rest comes with the record."""
        if item.generated_ms:
            return []
        return self._text(f"{item.id}-{len(item.transcript)}", text, stage="SPECULATIVE")

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        data = base64.b64encode(audio).decode()
        said: list[Wire] = [self._event("audioOutput", contentId=item.id, content=data)]
        if item.generated_ms:
            return said
        form = {
            "mediaType": "audio/lpcm",
            "sampleRateHertz": self.bytes_per_ms * 500,
            "sampleSizeBits": 16,
            "encoding": "base64",
            "channelCount": 1,
        }
        return [self._starts(item.id, "AUDIO", audioOutputConfiguration=form), *said]

    def _item_end(self, turn: Turn, item: Item) -> list[Wire]:
        if not item.generated_ms:
            return []
        if turn.state != "interrupted":
            early = self.rules.record == "before"
            return [
                *(self._record(turn) if early else []),
                self._ends(item.id, "AUDIO", "END_TURN"),
            ]
        after = self.rules.audio_end == "after"
        return [self._ends(item.id, "AUDIO", "INTERRUPTED")] if after else []

    def ends_item(self, response_id: str) -> Said:
        """An audio block is complete and another will follow; with the last the turn ends (`finishes`)."""
        turn = self._floor(response_id, "in_progress")
        item = self._open_message(response_id)
        if item is None or not item.generated_ms:
            raise ValueError(f"{response_id} speaks nothing that could end")
        self._change_item(item.id, open=False)
        return self._say([self._ends(item.id, "AUDIO", "PARTIAL_TURN")], turn, item)

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        use = {"toolName": item.name, "toolUseId": item.call_id, "content": item.arguments}
        return [
            self._starts(item.id, "TOOL", role="TOOL"),
            self._event("toolUse", contentId=item.id, **use),
            self._ends(item.id, "TOOL", "TOOL_USE"),
        ]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        if turn.state == "cancelled":
            return self._record(turn) if self.rules.record_of_interrupted else []
        return self._record(turn) if self.rules.record == "after" else []

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        item = self._open_message(turn.id)
        said: list[Wire] = []
        if item is not None and item.generated_ms and self.rules.audio_end == "before":
            said.append(self._ends(item.id, "AUDIO", "PARTIAL_TURN"))
        return said + self._text(f"{turn.id}-interrupted", INTERRUPTED, reason="INTERRUPTED")

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        return self._text(f"user-{len(self.responses) + 1}", "(speech)", role="USER")

    def _record(self, turn: Turn) -> list[Wire]:
        """What was spoken of the turn, a block for each of its audio blocks."""
        said: list[Wire] = []
        for item in self._items_of(turn.id):
            text = spoken([item])
            said += self._text(f"{item.id}-spoken", text) if text else []
        return said

    def _text(
        self,
        name: str,
        text: str,
        *,
        role: str = "ASSISTANT",
        stage: str = "FINAL",
        reason: str = "PARTIAL_TURN",
    ) -> list[Wire]:
        fields = {"generationStage": stage}
        more = {"additionalModelFields": msgspec.json.encode(fields).decode()}
        form = {"mediaType": "text/plain"}
        return [
            self._starts(name, "TEXT", role=role, textOutputConfiguration=form, **more),
            self._event("textOutput", contentId=name, role=role, content=text),
            self._ends(name, "TEXT", reason),
        ]

    def _starts(self, name: str, kind: str, *, role: str = "ASSISTANT", **more: Any) -> Json:  # noqa: ANN401
        return self._event("contentStart", contentId=name, type=kind, role=role, **more)

    def _ends(self, name: str, kind: str, reason: str) -> Json:
        return self._event("contentEnd", contentId=name, type=kind, stopReason=reason)

    def _event(self, what: str, **fields: Any) -> Json:  # noqa: ANN401
        """One completion spans the whole stream."""
        ids = {
            "sessionId": "session_1",
            "promptName": self._input.prompt,
            "completionId": "completion_1",
        }
        return {"event": {what: ids | fields}}

    # Deeds of this server alone.

    def counts_usage(self) -> Said:
        """A `usageEvent`, at any time."""
        return self._say([self._event("usageEvent", details={"delta": {}, "total": {}})])

    def _choices_of(self, turn: Turn) -> list[Choice]:
        """Nothing more is said in an audio block that is closed."""
        found = super()._choices_of(turn)
        closed = self.rules.audio_end == "before"
        return [each for each in found if not closed or each.act != "trailing_delta"]

    def _choices_running(self, turn: Turn) -> list[Choice]:
        """A turn that has spoken or called ends with audio, for only there `END_TURN` is said."""
        found = super()._choices_running(turn)
        item = self._open_message(turn.id)
        ends = self.bounds.empty_turns or (item is not None and item.generated_ms > 0)
        return [each for each in found if ends or each.act != "finishes"]

    def _more_key(self) -> Hashable:
        return (self._input, self.bytes_per_ms)
