"""Why a mechanical mutant may survive: for each of them a reason in writing."""

from typing import Final

from bargein.runtime.lifecycle import _LAST_PHASE, _PHASE

from .mutation import Variant


def reason(variant: Variant) -> str | None:
    """Why it may survive; None if it may not."""
    cell, _, how = variant.name.partition(": ")
    if variant.kind == "swap" and variant.file == "response.yaml":
        first, _, second = how.removeprefix("swap ").partition(" and ")
        if _PHASE.get(first, _LAST_PHASE) != _PHASE.get(second, _LAST_PHASE):
            return PHASES
    if cell.endswith("[stopping]") and how not in ("forget the guard", "swap the rows"):
        return _CARRIER_PLAYS
    for key in (variant.name, f"*: {how}", cell.partition("[")[0]):
        if key in REASONS:
            return REASONS[key]
    return None


PHASES: Final = (
    "The session does the actions of one decision phase by phase (`Lifecycle.move`), whatever their order in a row: "
    "it names and withdraws, clears, cancels, cuts, resolves."
)
_RESOLVES: Final = (
    "To resolve only notes the verdict until the end of the step; nothing else in the row depends on it, and a step "
    "resolves a handle once."
)
_LAST_WORD: Final = (
    "The last word is noted before the machine is moved, and of a response that nobody had interrupted no delete "
    "waits for it."
)
_AFTER_THE_LAST_WORD: Final = (
    "The name would serve what comes after the last word. The link keeps the order, and this server says "
    "nothing more."
)
_NOTHING_MORE: Final = (
    "Content of a response that is done and not owed its last word would come after that word. The link keeps the "
    "order, and this server says nothing more."
)
_NAMED: Final = (
    "An error comes here only while nobody has named the response (`Routing._asked`); later it is about "
    "something else. The row makes the table total."
)
_IN_ORDER: Final = (
    "The link keeps the order: created comes before content and before the last word, or not at all. The row makes "
    "the table total, and would serve a provider that mixes them."
)
_RESOLVED: Final = (
    "An interrupt covers only what is not resolved, and this is. The row makes the table total."
)
_SETTLED: Final = (
    "The session fires it only at an item that is settled. The row makes the table total."
)
_OPEN: Final = (
    "What is settled is out of the queue, and its marks out of the ledger: nothing can confirm, interrupt or end it "
    "again. The row makes the table total, and keeps the promise if the ledger ever breaks it."
)
_UNASKED: Final = (
    "The server answers only what was asked, and a truncate or delete makes the item partial or skipped in the same "
    "step. The row makes the table total."
)
_IN_FRONT: Final = (
    "What stands in front is settled first: marks and clocks come in the order of the speech. The row would serve a "
    "carrier that swaps marks."
)
_NO_AUDIO: Final = (
    "The session fires it at an item that is complete without audio; with audio, or settled, it never is. The row "
    "makes the table total."
)
_NOT_SAID: Final = "The model of the server never answers so to anything this session writes."
_FATAL: Final = "The model of the server never ends a session by itself; this is tested without it."
_UNUSED: Final = (
    "The application of these worlds only requests and interrupts, and its caller sends no audio."
)
_GIVES_UP: Final = (
    "It says after the first refusal that memory differs, which I8 allows. The row asks once for less, so that it "
    "need not differ."
)
_BY_NAME: Final = (
    "An error that names our message is settled by that name; the code serves those that name nobody, and the watch "
    "could not attribute these either. tests/test_races_peers.py has them."
)
_SUPERSEDED: Final = (
    "OpenAI says a last word of every response (`can.supersedes` is never). The row serves providers that drop a "
    "response for the next one."
)
_CARRIER_PLAYS: Final = (
    "Here the carrier plays; only a server that plays by itself (`can.playback` is server) stops an item and says "
    "afterwards what was heard."
)

REASONS: Final[dict[str, str]] = {
    "*: swap resolve_interrupted and retire": _RESOLVES,
    "*: swap resolve_failed and retire": _RESOLVES,
    "response.requested.finished: drop name": _AFTER_THE_LAST_WORD,
    "response.requested.stopped: drop name": _AFTER_THE_LAST_WORD,
    "response.requested.stopped: drop retire": _LAST_WORD,
    "response.cancelled.finished: drop name": _AFTER_THE_LAST_WORD,
    "response.cancelled.stopped: drop name": _AFTER_THE_LAST_WORD,
    "response.timed_out.finished: drop name": _AFTER_THE_LAST_WORD,
    "response.timed_out.stopped: drop name": _AFTER_THE_LAST_WORD,
    "response.created.stopped: drop clear": "Nothing of it has arrived, so nothing of it is at the carrier.",
    "response.created.stopped: drop retire": _LAST_WORD,
    "response.created.interrupt: drop clear": "Nothing of it has arrived, so nothing of it is at the carrier.",
    "response.streaming.stopped: drop retire": _LAST_WORD,
    "response.created.rejected": _NAMED,
    "response.streaming.rejected": _NAMED,
    "response.done.rejected": _NAMED,
    "response.streaming.created": _IN_ORDER,
    "response.done.created": _IN_ORDER,
    "response.streaming.content": "What streams gets its content beside the machine; the row says so.",
    "response.cancelled.interrupt": _RESOLVED,
    "response.timed_out.interrupt": _RESOLVED,
    "playback.queued.played": _IN_FRONT,
    "playback.queued.overdue": _IN_FRONT,
    "playback.queued.overrun": _SETTLED,
    "playback.playing.overrun": _SETTLED,
    "playback.queued.confirmed": _UNASKED,
    "playback.queued.refused": _UNASKED,
    "playback.queued.unanswered": _UNASKED,
    "playback.playing.confirmed": _UNASKED,
    "playback.playing.refused": _UNASKED,
    "playback.playing.unanswered": _UNASKED,
    "playback.full.confirmed": _UNASKED,
    "playback.full.refused": _UNASKED,
    "playback.full.unanswered": _UNASKED,
    "playback.playing.empty": _NO_AUDIO,
    "playback.full.empty": _NO_AUDIO,
    "playback.partial.empty": _NO_AUDIO,
    "playback.skipped.empty": _NO_AUDIO,
    "playback.full.started": _OPEN,
    "playback.full.played": _OPEN,
    "playback.full.overdue": _OPEN,
    "playback.full.interrupt": _OPEN,
    "playback.full.lost": _OPEN,
    "playback.partial.started": _OPEN,
    "playback.partial.played": _OPEN,
    "playback.partial.overdue": _OPEN,
    "playback.partial.interrupt": _OPEN,
    "playback.partial.lost": _OPEN,
    "playback.skipped.started": _OPEN,
    "playback.skipped.played": _OPEN,
    "playback.skipped.overdue": _OPEN,
    "playback.skipped.interrupt": _OPEN,
    "playback.skipped.lost": _OPEN,
    "response.done.content[owed]: forget the guard": _NOTHING_MORE,
    "playback.playing.started": "The session fires it only at a queued item. The row makes the table total.",
    "playback.partial.refused[first_refusal]: forget the row": _GIVES_UP,
    "playback.partial.refused[first_refusal]: swap the rows": _GIVES_UP,
    "openai.playback.forget: do not wait for the last word": (
        "Most worlds' servers delete at once. The strict one refuses, and then it says that memory differs, which I8 "
        "allows; the table waits so that it need not."
    ),
    "openai.session.configure: say nothing": _UNUSED,
    "openai.session.listen: say nothing": _UNUSED,
    "openai.errors.conversation_already_has_active_response: forget": _BY_NAME,
    "openai.errors.invalid_value: forget": _BY_NAME,
    "openai.errors.item_already_truncated: forget": _NOT_SAID,
    "openai.errors.unsupported_content_type: forget": _NOT_SAID,
    "openai.errors.input_audio_buffer_commit_empty: forget": _NOT_SAID,
    "openai.errors.session_expired: forget": _FATAL,
    "openai.errors.insufficient_quota: forget": _FATAL,
    "openai.errors.credit_balance_exhausted: forget": _FATAL,
    "openai.errors.invalid_api_key: forget": _FATAL,
    "openai.errors.account_deactivated: forget": _FATAL,
    "openai.errors.billing_hard_limit_reached: forget": _FATAL,
    "response.done.content[otherwise]: go requested": _NOTHING_MORE,
    "response.done.content[otherwise]: go created": _NOTHING_MORE,
    "response.done.content[otherwise]: go streaming": _NOTHING_MORE,
    "response.done.content[otherwise]: go cancelled": _NOTHING_MORE,
    "response.done.content[otherwise]: go timed_out": _NOTHING_MORE,
    "response.requested.superseded": _SUPERSEDED,
    "response.created.superseded": _SUPERSEDED,
    "response.streaming.superseded": _SUPERSEDED,
    "response.done.superseded": _SUPERSEDED,
    "response.cancelled.superseded": _SUPERSEDED,
    "response.timed_out.superseded": _SUPERSEDED,
    "playback.queued.halted": _CARRIER_PLAYS,
    "playback.queued.cut": _CARRIER_PLAYS,
    "playback.queued.unplayed": _CARRIER_PLAYS,
    "playback.playing.halted": _CARRIER_PLAYS,
    "playback.playing.cut": _CARRIER_PLAYS,
    "playback.playing.unplayed": _CARRIER_PLAYS,
    "playback.full.halted": _CARRIER_PLAYS,
    "playback.full.cut": _CARRIER_PLAYS,
    "playback.full.unplayed": _CARRIER_PLAYS,
    "playback.partial.halted": _CARRIER_PLAYS,
    "playback.partial.cut": _CARRIER_PLAYS,
    "playback.partial.unplayed": _CARRIER_PLAYS,
    "playback.skipped.halted": _CARRIER_PLAYS,
    "playback.skipped.cut": _CARRIER_PLAYS,
    "playback.skipped.unplayed": _CARRIER_PLAYS,
}
