"""In what servers of the OpenAI family differ from OpenAI's, beside spelling: one field a difference, each sourced.

The defaults are OpenAI's own ways. `openai_family.py` says which server has which.
"""

from typing import Final, Literal, TypeAlias

from .openai import Bounds, Rules

Supersede: TypeAlias = Literal["no", "cancels", "silently"]
"""What becomes of a response when another takes its place: it is not replaced, it gets its `response.done`, or
nothing more is ever said of it."""

NOT_IMPLEMENTED: Final = "Handling of the '{verb}' event is not implemented."
NOT_SUPPORTED: Final = (
    "Specifying `response.{field}` is not supported. The server either does not support this field or it is "
    "not configurable."
)
"""Speaches' words (speaches-ai/speaches, src/speaches/realtime)."""


class FamilyRules(Rules, frozen=True, kw_only=True):
    """What differs. See the module."""

    # Requests.

    metadata_echo: bool = True
    """Whether `response.create`'s metadata comes back. xAI: only inferred from LiveKit, facts/providers.md 4.4."""
    complained_of: tuple[str, ...] = ()
    """Fields of `response.create` that draw an error each, naming no event, and are then ignored while the response
    is made all the same: Speaches (`handle_response_create_event` in response_event_router.py)."""
    ignored: tuple[str, ...] = ()
    """Fields of `response.create` that are ignored: LocalAI never reads `conversation`
    (core/http/endpoints/openai/realtime.go)."""
    create_supersedes: Supersede = "no"
    """What a `response.create` does to the response that has its slot. "cancels": LocalAI, facts/transports.md 26.2,
    and Voice Live, whose `cancel_previous` is true by default (`azure.ai.voicelive.models.ResponseCreateParams`).
    "silently": Speaches, facts/transports.md 26.1."""
    failure: Literal["done", "invalid_request_error", "server_error"] = "done"
    """How a response fails: by its `response.done`, or by an error of this type and no `response.done` at all.
    LocalAI: facts/transports.md 26.2; Speaches: `generate_response` in response_event_router.py."""
    failure_code: str | None = None
    """The code of that error."""

    # Cancels.

    cancels: bool = True
    """Whether there is `response.cancel`; Speaches says "not implemented", facts/transports.md 26.1."""
    cancel_reads_id: bool = True
    """LocalAI ignores `response_id`: whatever runs is cancelled. facts/transports.md 26.2."""
    idle_cancel: Literal["error", "silent"] = "error"
    """The answer to a cancel when nothing runs. LocalAI is silent, facts/transports.md 26.2; so is Hugging Face
    speech-to-speech (`handle_response_cancel` in handlers/response.py)."""
    stops_unborn: bool = False
    """Whether cancel and VAD reach a response before its `response.created`: LocalAI then says created and done
    at once (`triggerResponse` in realtime.go)."""
    stopped_ends: Literal["cancelled", "bare", "silently"] = "cancelled"
    """How a response that was told to stop ends: with status cancelled, with a `response.done` that has no status and
    no item ends before it, or with no word. xAI: contradictory reports, facts/providers.md 4.5."""
    stopped_at_once: Literal["no", "after_speech", "before_speech"] = "no"
    """Whether its last word comes with the stop and, where the caller stopped it, after `speech_started` or even
    before. "after_speech": vLLM-Omni (`_handle_turn_detection_result` in entrypoints/openai/realtime/connection.py);
    "before_speech": Hugging Face speech-to-speech (`on_speech_started` in api/openai_realtime/handlers/audio.py)."""
    stopped_blanks: bool = False
    """Whether of its unfinished item no word is remembered unless a truncate says up to where: vLLM-Omni
    (`_run_response_inner`). There a truncate of what is still being made waits for its end; here it does not."""
    stopped_holds_slot: bool = True
    """Whether it keeps its slot until then. On LocalAI the next may begin before it (`responseSink.issue` in
    realtime_respcoord.go)."""
    stopped_forgets: bool = False
    """Whether its unfinished item leaves the conversation: LocalAI (`emitAssistantMessage` in realtime.go)."""

    # The caller's speech.

    vad_interrupts: Literal["by_session", "always", "never"] = "by_session"
    """Whether the caller's speech stops the response: as `interrupt_response` says; LocalAI always,
    facts/transports.md 26.2; Speaches never, 26.1; xAI never in a live probe, facts/providers.md 4.5."""
    vad_supersedes: Literal["no", "unspoken", "cancels", "silently"] = "no"
    """What the end of the caller's turn does to a response that still runs. "unspoken": xAI opens a response at every
    commit and drops those without output of which no more is said, facts/providers.md 4.5; one that speaks is waited
    for. "silently": Speaches, facts/transports.md 26.1."""
    vad_reports_when_off: bool = False
    """xAI says `speech_started` and `speech_stopped` without turn detection too, facts/providers.md 4.2."""
    auto_truncate: bool = False
    """Voice Live with `auto_truncate`: interrupted by the caller it truncates what it spoke last by itself, where it
    takes playback to be, and says so. facts/transports.md 21."""

    # Memory.

    truncates: Literal["cuts", "ignored", "blanks", "unsupported"] = "cuts"
    """xAI ignores a truncate, no ack and no error, and remembers all: facts/providers.md 4.6. LocalAI blanks the
    whole item and echoes the position: facts/transports.md 26.2. Speaches: "not implemented", 26.1."""
    deletes_own: bool = True
    """Whether items of the server's own responses can be deleted; xAI answers "Item not found",
    facts/providers.md 4.6."""

    # Errors and acknowledgements.

    codes: tuple[tuple[str, str | None], ...] = ()
    """OpenAI's code of an error, and what this server says in its place."""
    errors_named: bool = True
    """Whether `error.event_id` ever names the client's event; not on LocalAI (`sendError` in realtime.go)."""
    acks_named: bool = False
    """Whether an acknowledgement takes the client's `event_id` for its own: LocalAI, facts/transports.md 26.2."""
    unknown_ignored: bool = False
    """Whether client events of an unknown type are ignored: LocalAI, facts/transports.md 26.2."""


class FamilyBounds(Bounds, frozen=True, kw_only=True):
    """How far `choices` goes."""

    abandons: bool = False
    """Whether a response without output may die without a word while the caller speaks: xAI, livekit/agents#6729."""
    pings: bool = False
    """Whether a `ping` may come: xAI, facts/providers.md 4.2."""
