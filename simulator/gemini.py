"""A sans-I/O model of the Gemini Live server (BidiGenerateContent, WebSocket), as a dialect of `turns.py`.

Nothing on this wire has an id, nothing is refused, and no verb stops a turn: new input does. facts/providers.md 5;
`google.genai.types.LiveServerMessage` judges every message in the tests.
"""

import base64
from collections.abc import Hashable, Mapping
from typing import Any

import msgspec

from .gemini_setup import DEFAULT_SETUP, GeminiBounds, GeminiRules, read_setup
from .gemini_wire import (
    EXPLICIT_ACTIVITY,
    INVALID,
    ClientContent,
    RealtimeInput,
    ToolResponse,
    decode,
)
from .turns import Bounds, By, Choice, Item, Json, Refused, Said, Turn, TurnServer, Wire

__all__ = ["DEFAULT_SETUP", "GeminiBounds", "GeminiRules", "GeminiServer"]


class GeminiServer(TurnServer):
    """One connection to the server. With `setup` the handshake is over; without, it waits for the client's.

    `bytes_per_ms` is that of the audio it says: 48, PCM16 at 24 kHz. Raises `Refused` for a `setup` of another shape.
    """

    __slots__ = (
        "_detects", "_go_aways", "_no_interruption", "_owed", "_ready", "_resumes", "_seeding", "_transcribes",
    )  # fmt: skip

    rules: GeminiRules

    def __init__(
        self,
        *,
        setup: Mapping[str, Any] | None = None,
        rules: GeminiRules | None = None,
        bounds: Bounds | None = None,
        bytes_per_ms: int = 48,
    ) -> None:
        super().__init__(bytes_per_ms=bytes_per_ms, rules=rules or GeminiRules(), bounds=bounds)
        self._ready = self._resumes = self._seeding = self._transcribes = False
        self._detects, self._no_interruption = True, False
        self._owed: str | None = None
        self._go_aways = 0
        if setup is not None:
            self._sets_up(setup)

    @property
    def ready(self) -> bool:
        """Whether `setupComplete` was said."""
        return self._ready

    @property
    def detects_speech(self) -> bool:
        """`automaticActivityDetection` is not disabled."""
        return self._detects

    @property
    def speech_interrupts(self) -> bool:
        """`activityHandling` is not `NO_INTERRUPTION`."""
        return self.rules.speech_interrupts and not self._no_interruption

    def connects(self) -> Said:
        """`setupComplete` where the setup is given, else nothing: the client speaks first."""
        return self._say([{"setupComplete": {}}]) if self._ready else []

    # What the client writes.

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        m = decode(message)
        if m.setup is not None:
            if self._ready:
                raise Refused("setup must be the first message and only the first", code=INVALID)
            self._sets_up(m.setup)
            return self.connects()
        if not self._ready:
            raise Refused("setup must be the first message", code=INVALID)
        if m.client_content is not None:
            return self._takes_content(m.client_content)
        if m.realtime_input is not None:
            return self._takes_input(m.realtime_input, now_ms)
        return self._takes_results(m.tool_response) if m.tool_response is not None else []

    def _sets_up(self, setup: Mapping[str, Any]) -> None:
        given = read_setup(setup)
        self._detects = given.detects_speech
        self._no_interruption = given.no_interruption
        self._transcribes = given.output_audio_transcription is not None
        self._resumes = given.session_resumption is not None
        self._seeding = given.seeds_history
        self._ready = True

    def _takes_content(self, content: ClientContent) -> Said:
        """`clientContent` of any kind interrupts; with `turnComplete` it asks for a response."""
        if self._seeding:
            self._seeding = not content.turn_complete
            return []
        if not content.turn_complete:
            return self._interrupts("client") if self.rules.note_interrupts else []
        if self.rules.content_answers:
            return self._asks(content.text, interrupts=True)
        self._owed = content.text
        return self._interrupts("client")

    def _takes_input(self, heard: RealtimeInput, now_ms: int) -> Said:
        explicit = heard.activity_start is not None or heard.activity_end is not None
        if explicit and self._detects:
            raise Refused(EXPLICIT_ACTIVITY, code=INVALID)
        said: Said = []
        if self._owed is not None:
            said += self._asks(self._owed)
            self._owed = None
        elif heard.text is not None:
            interrupts = self.rules.text_interrupts and self.speech_interrupts
            said += self._asks(heard.text, interrupts=interrupts)
        if heard.activity_start is not None and (
            not self._speaking or self.rules.activity_again == "interrupts"
        ):
            said += self._caller_starts(now_ms)
            said += self._interrupts("client") if self.speech_interrupts else []
        ends = heard.activity_end is not None or (heard.audio_stream_end and self._detects)
        return said + self._caller_stops(now_ms) if ends and self._speaking else said

    def _takes_results(self, results: ToolResponse) -> Said:
        """The turn goes on when all its calls have theirs; results that no call waits for change nothing."""
        said: Said = []
        for result in results.function_responses or ():
            waits = [x for x in self.items.values() if x.kind == "function_call" and x.open]
            named = [x.call_id for x in waits if result.id in (None, x.call_id)]
            if result.id is None:
                named = [x.call_id for x in waits if x.name == result.name]
            if named:
                self._has_result(named[0])
            if result.scheduling == "INTERRUPT":
                said += self._interrupts("client")
        return said

    # What the server says.

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        return [_content(outputTranscription={"text": text})] if self._transcribes else []

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        data = base64.b64encode(audio).decode()
        blob = {"mimeType": "audio/pcm;rate=24000", "data": data}
        return [_content(modelTurn={"parts": [{"inlineData": blob}]})]

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        call = {"name": item.name, "args": msgspec.json.decode(item.arguments)}
        if self.rules.call_ids:
            call = {"id": item.call_id} | call
        wires: list[Wire] = [{"toolCall": {"functionCalls": [call]}}]
        if self.rules.generation_end_at_call:
            wires.append(_content(generationComplete=True))
        return wires

    def _generation_end(self, turn: Turn) -> list[Wire]:
        return [_content(generationComplete=True)]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        return [self._ended(turn)]

    def _ended(self, turn: Turn, **reason: str) -> Json:
        idle = {"interactionStatus": "IDLE"} if self.rules.interaction_status else {}
        wire = _content(turnComplete=True, **reason, **idle)
        if self.rules.usage:
            made_ms = sum(item.generated_ms for item in self._items_of(turn.id))
            wire["usageMetadata"] = {"totalTokenCount": made_ms // 40}
        return wire

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        return [_content(interrupted=True)]

    def _void_calls(self, turn: Turn, calls: list[Item]) -> list[Wire]:
        if not self.rules.call_ids:
            return []
        return [{"toolCallCancellation": {"ids": [call.call_id for call in calls]}}]

    def _speech_start(self, now_ms: int) -> list[Wire]:
        return self._activity("ACTIVITY_START", now_ms)

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        return self._activity("ACTIVITY_END", now_ms)

    def _activity(self, kind: str, now_ms: int) -> list[Wire]:
        told = {"voiceActivityType": kind, "audioOffset": f"{now_ms / 1000:g}s"}
        return [{"voiceActivity": told}] if self.rules.voice_activity else []

    def _say(
        self,
        wires: list[Wire],
        turn: Turn | None = None,
        item: Item | None = None,
        by: By | None = None,
    ) -> Said:
        said = super()._say(wires, turn, item, by)
        return (
            [x.encode() if isinstance(x, str) else x for x in said]
            if self.rules.binary_frames
            else said
        )

    # Deeds of this server alone.

    def speaks_last(self, response_id: str, ms: int, text: str | None = None) -> Said:
        """The last audio and the end of the turn in one message."""
        parts = [*self.speaks(response_id, ms, text), *self.finishes(response_id)]
        whole: Json = {}
        content: Json = {}
        for part in reversed(parts):
            fields: Json = msgspec.json.decode(part)
            content = fields.pop("serverContent") | content
            whole |= fields
        message = msgspec.json.encode({"serverContent": content} | whole)
        return [message if self.rules.binary_frames else message.decode()]

    def thinks(self, response_id: str, text: str) -> Said:
        """Text that is not spoken: `modelTurn` with a thought."""
        said, turn = self._talks(response_id)
        self._change(response_id, begun=True)
        return said + self._say(
            [_content(modelTurn={"parts": [{"text": text, "thought": True}]})], turn
        )

    def rejects(self, response_id: str, reason: str = "RESPONSE_REJECTED") -> Said:
        """The turn ends for a reason (`google.genai.types.TurnCompleteReason`), with or without content."""
        self._floor(response_id, "requested", "in_progress", "generated")
        turn = self._change(response_id, state="completed")
        return self._say([self._ended(turn, turnCompleteReason=reason)], turn)

    def transcribes(self, text: str, *, interim: bool = False) -> Said:
        """The caller's words, at any time."""
        key = "interimInputTranscription" if interim else "inputTranscription"
        return self._say([_content(**{key: {"text": text}})])

    def waits_for_input(self) -> Said:
        """It is silent because it expects more from the caller."""
        return self._say([_content(waitingForInput=True)])

    def goes_away(self, left_s: int = 50) -> Said:
        """`goAway`: it will close the socket."""
        self._go_aways += 1
        return self._say([{"goAway": {"timeLeft": f"{left_s}s"}}])

    def offers_handle(self, handle: str = "handle_1") -> Said:
        """`sessionResumptionUpdate`, where the setup asked for it; not resumable while something runs."""
        if not self._resumes:
            raise ValueError("the setup did not ask for session resumption")
        resumable = self.head is None
        told = {"newHandle": handle} if resumable else {}
        return self._say([{"sessionResumptionUpdate": told | {"resumable": resumable}}])

    def _more_choices(self) -> list[Choice]:
        head, found = self.head, list[Choice]()
        if self.rules.bundles and head is not None:
            running = self._choices_of(head)
            found += [each._replace(act="speaks_last") for each in running if each.act == "speaks"]
        if isinstance(self.bounds, GeminiBounds) and self._go_aways < self.bounds.go_aways:
            found.append(Choice("goes_away"))
        return found

    def _take_more(self, choice: Choice, now_ms: int) -> Said:
        if choice.act == "speaks_last":
            words = None if self.bounds.words else ""
            return self.speaks_last(choice.response, self.bounds.delta_ms, words)
        return self.goes_away() if choice.act == "goes_away" else super()._take_more(choice, now_ms)

    def _more_key(self) -> Hashable:
        setup = (
            self._ready,
            self._detects,
            self._no_interruption,
            self._transcribes,
            self._resumes,
        )
        return (*setup, self._seeding, self._owed, self._go_aways)


def _content(**fields: object) -> Json:
    return {"serverContent": fields}
