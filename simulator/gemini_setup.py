"""How one Gemini Live session is set up, and the rules and bounds of its server's model."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from .gemini_wire import INVALID
from .turns_state import Bounds, Json, Refused, Rules

DEFAULT_SETUP: Final[Json] = {
    "model": "models/gemini-live",
    "generationConfig": {"responseModalities": ["AUDIO"]},
    "inputAudioTranscription": {},
    "outputAudioTranscription": {},
}


class GeminiRules(Rules, frozen=True, kw_only=True):
    """How Gemini's models differ, or what no source settles. facts/providers.md 5.2–5.7 and 11, point 7."""

    pending: Literal["kept", "dropped", "ended"] = "ended"
    """`interrupted` and `turnComplete` may come before any content of a turn."""
    second_request: Literal["queued", "supersedes"] = "supersedes"
    """One pending request at a time; the next `clientContent` takes its place."""
    memory: Literal["generated", "sent", "own"] = "sent"
    """"Only the information already sent to the client is retained"."""
    note_interrupts: bool = True
    """Whether `clientContent` with `turnComplete` false is noticed in a turn; doubtful on 3.x."""
    content_answers: bool = True
    """Whether `clientContent` alone is answered; models 3.x wait for some `realtimeInput` after it."""
    text_interrupts: bool = True
    """Whether `realtimeInput.text` stops the turn that runs, as the caller's voice does."""
    activity_again: Literal["ignored", "interrupts"] = "ignored"
    """What an `activityStart` does before the `activityEnd` of the one before."""
    generation_end_at_call: bool = False
    """Whether `generationComplete` comes with a function call; some models send it, others do not."""
    call_ids: bool = True
    """Whether function calls have ids."""
    bundles: bool = False
    """Whether content may come in one message with `turnComplete`, as models 3.x do."""
    interaction_status: bool = False
    """Whether `interactionStatus` goes along with `turnComplete`."""
    usage: bool = True
    """Whether `usageMetadata` does; it may be missing."""
    voice_activity: bool = False
    """Whether `voiceActivity` tells when the caller begins and ends to speak; when it is enabled is unknown."""
    binary_frames: bool = False
    """Whether the server's JSON comes in binary frames, as is reported of it."""


class GeminiBounds(Bounds, frozen=True, kw_only=True):
    """How far `choices` goes."""

    go_aways: int = 0
    """How often the server may announce that it will close."""


class _Detection(msgspec.Struct, frozen=True):
    disabled: bool | None = None


class _Listens(msgspec.Struct, frozen=True, rename="camel"):
    automatic_activity_detection: _Detection | None = None
    activity_handling: str | None = None


class _History(msgspec.Struct, frozen=True, rename="camel"):
    initial_history_in_client_content: bool | None = None


class Setup(msgspec.Struct, frozen=True, rename="camel"):
    """What of `google.genai.types.LiveClientSetup` the conversation depends on."""

    realtime_input_config: _Listens = _Listens()
    output_audio_transcription: Json | None = None
    session_resumption: Json | None = None
    history_config: _History = _History()

    @property
    def detects_speech(self) -> bool:
        """Whether the server hears by itself when the caller speaks: unless the client disables it."""
        detection = self.realtime_input_config.automatic_activity_detection
        return not (detection and detection.disabled)

    @property
    def no_interruption(self) -> bool:
        """Whether the caller's speech leaves the turn alone; by default it interrupts."""
        return self.realtime_input_config.activity_handling == "NO_INTERRUPTION"

    @property
    def seeds_history(self) -> bool:
        """Whether the first `clientContent`, through its `turnComplete`, is history and no request."""
        return bool(self.history_config.initial_history_in_client_content)


def read_setup(setup: Mapping[str, Any]) -> Setup:
    """What a `setup` asks for.

    :raises Refused: if it has another shape.
    """
    try:
        return msgspec.convert(setup, Setup)
    except msgspec.ValidationError as problem:
        raise Refused(f"Invalid JSON payload received. {problem}", code=INVALID) from None
