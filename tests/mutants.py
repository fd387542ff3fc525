"""Mutants: small patches to the shipped tables that bring real bugs back. `bargein verify` must find each by name.

A mutant is judged like a table somebody sent for review: it is written as a copy of the tables (`apply`), generated,
loaded and explored. Races and classes are those of facts/races.md, invariants those of its section 13.
"""

# ruff: noqa: E501 - the catalogue is a table

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bargein.runtime.actions import Action
from bargein.simulator.knowledge import Readings
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.rerun import walk
from bargein.simulator.untimed import Input
from bargein.simulator.world import Move, World
from bargein.statemachines.tables import ROOM

from .searching import given

RESPONSE = "response.yaml"
PLAYBACK = "playback.yaml"
OPENAI = "providers/openai.yaml"
TWILIO = "transports/twilio.yaml"

CLASSES: Final = (
    "UNBORN",
    "MISTARGET",
    "GEN≠HEARD",
    "OFFSET",
    "MULTI",
    "ZOMBIE",
    "ORDER",
    "AUTHORITY",
    "ERR-ROUTE",
    "LIMBO",
    "LEDGER",
)
INVARIANTS: Final = tuple(PROPERTIES)

WORDS: Final = {
    "application": ("request", "interrupt"),
    "server": (
        "created",
        "announced",
        "audio",
        "text",
        "call",
        "ended",
        "done",
        "speech_started",
        "error",
    ),
    "session": ("create", "cancel", "truncate", "delete", "clear"),
    "carrier": ("mark",),
    "others": ("deadline", "provider_lost"),
}
"""What a shape is made of. A message stands where the session takes it (server, carrier) or writes it (session)."""


@dataclass(frozen=True)
class Patch:
    """In `file` of the tables, `old`, which stands there once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One bug. `races` are those it brings back: several where they differ only in the framework that had them.

    Any of `invariants` counts as caught; an exception that leaves the session breaks I12, for it must be total.
    `shape` are words that any trace to the bug has in this order, others between them; `a|b` is either. `world` is
    the smallest of `simulator.worlds.PLANS` in which the search meets the bug and tells it in this shape.
    """

    name: str
    races: tuple[str, ...]
    klass: str
    patches: tuple[Patch, ...]
    invariants: frozenset[str]
    shape: tuple[str, ...]
    why: str
    world: str


@dataclass(frozen=True)
class Refused:
    """A bug that cannot get so far: `bargein check` refuses the patched table, with `code`."""

    name: str
    races: tuple[str, ...]
    patches: tuple[Patch, ...]
    code: str
    why: str


def apply(mutant: Mutant | Refused, folder: Path) -> Path:
    """Write a complete copy of the shipped tables, patched, into `folder`; returns it.

    Raises `ValueError` where a patch does not fit exactly once: the table has changed under the catalogue.
    """
    shutil.copytree(
        ROOM, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"), dirs_exist_ok=True
    )
    for patch in mutant.patches:
        text = (folder / patch.file).read_text(encoding="utf-8")
        if text.count(patch.old) != 1:
            raise ValueError(
                f"{mutant.name}: {text.count(patch.old)} times in {patch.file}: {patch.old}"
            )
        (folder / patch.file).write_text(text.replace(patch.old, patch.new), encoding="utf-8")
    return folder


def fits(shape: tuple[str, ...], words: Iterable[str]) -> bool:
    """Whether a trace, told in `WORDS`, has the shape: all its words in this order, others between them."""
    left = iter(words)
    return all(any(word in wanted.split("|") for word in left) for wanted in shape)


def told(world: World, moves: Iterable[Move]) -> list[str]:
    """A run in `WORDS`. What changes nothing when it arrives is told too, after the move that brought it."""
    words: list[str] = []
    for before, act, after, settled, _ in walk(world, moves):
        taken = given(before, act) if act else None
        if taken is not None:
            words += _taken(taken, world.readings)
            try:
                words += _written(world.session.step(before.session, taken).actions, world)
            except Exception:  # A mutant may raise; the trace ends here.
                return words
        if after is not None and settled is not None:
            arrived = len(after.from_server) - len(settled.from_server)
            for message in after.from_server[:arrived]:
                words += _taken(Input("from_server", message), world.readings)
    return words


def _taken(taken: Input, readings: Readings) -> Iterator[str]:
    match taken.what:
        case "from_server":
            yield from (says.what for says in readings.told(taken.about))
        case "from_carrier":
            yield readings.returned(taken.about).what
        case what:
            yield what


def _written(actions: Iterable[Action], world: World) -> Iterator[str]:
    readings = world.readings
    for side, message in filter(None, map(world.session.written, actions)):
        what = (readings.asked if side == "to_server" else readings.ordered)(message).what
        if what in WORDS["session"]:
            yield what


def _mutant(
    name: str,
    races: str,
    klass: str,
    *patches: tuple[str, str, str],
    invariants: str,
    shape: str,
    why: str,
    world: str = "words",
) -> Mutant:
    return Mutant(
        name,
        tuple(races.split()),
        klass,
        tuple(Patch(*patch) for patch in patches),
        frozenset(invariants.split()),
        tuple(shape.split()),
        why,
        world,
    )


def _refused(name: str, races: str, code: str, *patches: tuple[str, str, str], why: str) -> Refused:
    return Refused(name, tuple(races.split()), tuple(Patch(*patch) for patch in patches), code, why)


# Rows that several mutants change.
_REQUESTED_INTERRUPT = "{go: cancelled, do: [withdraw, resolve_interrupted],"
_REQUESTED_DEADLINE = "{go: timed_out, do: [withdraw, resolve_timed_out],"
_CREATED_INTERRUPT = '{go: cancelled, do: [clear, cancel, cut, resolve_interrupted], why: "No audio'
_STREAMING_INTERRUPT = (
    '{go: cancelled, do: [clear, cancel, cut, resolve_interrupted], why: "Barge-in'
)
_DONE_INTERRUPT = "interrupt: {do: [clear, cut, resolve_interrupted],"
_CANCELLED_CREATED = '{if: unborn, do: [name, cancel], why: "Interrupted before'
_TIMED_OUT_CREATED = '{if: unborn, do: [name, cancel], why: "Late. Cancel'
_QUEUED_INTERRUPT = 'interrupt: {go: skipped, do: [forget, settle], why: "Generated'
_PLAYING_HEARD = '{if: heard, go: partial, do: [truncate, settle], why: "Keep'
_PLAYING_UNHEARD = '{go: skipped, do: [forget, settle], why: "It had begun'
_CREATED_MESSAGE = (
    "{event: created, response: response.id, request: response.metadata.client_event_id,"
)
_CANCEL_MESSAGE = "cancel:   {type: response.cancel, event_id: $op, response_id: $response}"
_CANCEL_HOOK = "{unless: server_cancels, send: cancel,"

_ANONYMOUS: Final = (
    (OPENAI, "cancel:            {is: by_id,", "cancel:            {is: anonymous,"),
    (OPENAI, _CANCEL_MESSAGE, "cancel:   {type: response.cancel, event_id: $op}"),
)  # fmt: skip

MUTANTS: Final = (
    # livekit/agents#5703
    _mutant(
        "interrupt-before-birth-only-flags-the-handle", "R01", "UNBORN",
        (RESPONSE, _REQUESTED_INTERRUPT, "{do: [resolve_interrupted],"),
        invariants="I1 I2 I3 I5", shape="request create interrupt created",
        why="The handle says interrupted, the machine was not told; the reply is born and spoken.",
    ),
    _mutant(
        "interrupt-just-after-birth-cancels-nothing", "R02", "UNBORN",
        (RESPONSE, _CREATED_INTERRUPT, '{go: cancelled, do: [clear, cut, resolve_interrupted], why: "No audio'),
        invariants="I1 I2", shape="request create created interrupt",
        why="Born between the request and the interrupt, it is nobody's: fenced, and generated to its end in the slot.",
    ),
    _mutant(
        "cancel-swallowed-by-a-mode-guard", "R03", "AUTHORITY",
        (OPENAI, _CANCEL_HOOK, "{if: server_cancels, send: cancel,"),
        invariants="I1 I2 I10", shape="request create created|speech_started",
        why="The guard is the wrong way round: an interrupt by the application sends nothing, one by the VAD does.",
    ),
    _mutant(
        "births-attributed-by-order", "R04 R12", "MISTARGET",
        (OPENAI, "correlates:        {is: metadata,", "correlates:        {is: order,"),
        (OPENAI, _CREATED_MESSAGE, "{event: created, response: response.id,"),
        invariants="I1 I2 I3 I4", shape="request create interrupt created cancel",
        why="One slot for whatever is born next: the doom of a request lands on the caller's own turn.",
        world="listens",
    ),
    _mutant(
        "withdrawn-request-stays-at-the-gate", "R05 R26", "UNBORN",
        (RESPONSE, _REQUESTED_INTERRUPT, "{go: cancelled, do: [resolve_interrupted],"),
        invariants="I2 I12 I13", shape="request create request interrupt",
        why="Interrupted while it waits for its turn, and still in the queue of what is to be written.",
        world="superseded",
    ),
    _mutant(
        "interrupted-request-comes-alive-at-birth", "R05 R25", "UNBORN",
        (RESPONSE, _CANCELLED_CREATED, '{if: unborn, go: created, do: [name], why: "Interrupted before'),
        invariants="I1 I2 I3 I5", shape="request create interrupt created",
        why="Nothing could be sent at the interrupt, and no fence stands when the reply comes.",
    ),
    # livekit/agents#5564
    _mutant(
        "cancel-without-a-name", "R06", "MISTARGET",
        *_ANONYMOUS,
        invariants="I1 I4", shape="request create created cancel",
        why="A cancel that names nobody hits whatever runs, and with two in flight nothing.",
    ),
    _mutant(
        "interrupt-frees-the-slot", "R07", "ORDER",
        (RESPONSE, _CREATED_INTERRUPT, '{go: cancelled, do: [clear, cancel, cut, resolve_interrupted, free], why: "No audio'),
        (RESPONSE, _STREAMING_INTERRUPT, '{go: cancelled, do: [clear, cancel, cut, resolve_interrupted, free], why: "Barge-in'),
        invariants="I9", shape="request create created interrupt cancel create",
        why="Silenced is taken for settled: the next create is written before the last word and refused.",
        world="superseded",
    ),
    _mutant(
        "last-word-before-birth-settles-nobody", "R08", "ZOMBIE",
        (RESPONSE, "finished:  {go: done, do: [name, conclude],", "finished:  {do: [retire],"),
        (RESPONSE, "stopped:   {go: cancelled, do: [name, resolve_interrupted, retire],", "stopped:   {do: [retire],"),
        invariants="I12 I13", shape="request create done",
        why="A done without a created ends the waiting, and the handle is forgotten.",
        world="refused",
    ),
    # livekit/agents#6238
    _mutant(
        "timed-out-request-comes-alive-at-birth", "R09", "UNBORN",
        (RESPONSE, _TIMED_OUT_CREATED, '{if: unborn, go: created, do: [name], why: "Late. Cancel'),
        invariants="I1 I2 I3", shape="request create deadline created",
        why="The late reply is surfaced as a fresh one and spoken to a caller who has moved on.",
        world="lost",
    ),
    _mutant(
        "timeout-erases-the-tombstone", "R10", "UNBORN",
        (RESPONSE, _REQUESTED_DEADLINE, "{go: timed_out, do: [withdraw, resolve_timed_out, retire],"),
        invariants="I2 I9", shape="request create deadline",
        why="Popped from the registry before its answer came: nobody knows that the slot is still owed one.",
        world="lost",
    ),
    _mutant(
        "the-name-that-comes-back-is-not-read", "R10", "UNBORN",
        (OPENAI, _CREATED_MESSAGE, "{event: created, response: response.id,"),
        invariants="I1 I2 I3 I4 I12", shape="request create created",
        why="The look-up misses, the reply looks like the server's own, and is spoken although it was withdrawn.",
    ),
    _mutant(
        "the-name-is-not-sent-along", "R10", "UNBORN",
        (OPENAI, "      metadata: {client_event_id: $request}\n", ""),
        invariants="I1 I2 I3 I4 I12 I13", shape="request create created",
        why="Nothing comes back that could name the request; the reply looks like the server's own.",
    ),
    _mutant(
        "timeout-cancels-whatever-runs", "R11", "MISTARGET",
        *_ANONYMOUS,
        (RESPONSE, _REQUESTED_DEADLINE, "{go: timed_out, do: [withdraw, cancel, resolve_timed_out],"),
        invariants="I1 I4", shape="request create deadline cancel",
        why="A request without a name is cancelled without a name, and the reply that is being heard dies.",
        world="lost",
    ),
    _mutant(
        "refused-tombstone-is-kept", "R12 R79", "LIMBO",
        (RESPONSE, 'rejected:  {do: [retire], why: "Refused after', 'rejected:  {do: [], why: "Refused after'),
        invariants="I9 I12 I13", shape="request create error",
        why="Interrupted and then refused: the doomed id is never removed, and the slot waits for a last word.",
        world="listens",
    ),
    # livekit/agents#5763
    _mutant(
        "end-of-one-item-ends-the-response", "R13", "MULTI",
        (OPENAI, "{event: ended, response: response_id, item: item.id, why:", "{event: finished, response: response_id, why:"),
        invariants="I1 I4 I9 I12", shape="created announced ended",
        why="One message per response: the second is taken for what trails behind the end.",
    ),
    _mutant(
        "one-position-for-all-items", "R14 R55", "MULTI",
        (OPENAI, "{event: audio, response: response_id, item: item_id,", "{event: audio, response: response_id, item: response_id,"),
        invariants="I6 I7 I8", shape="created announced audio",
        why="Positions count from the response's first millisecond, and the item they name is none.",
    ),
    _mutant(
        "unheard-items-stay-in-history", "R15 R23", "MULTI",
        (PLAYBACK, _QUEUED_INTERRUPT, 'interrupt: {go: skipped, do: [settle], why: "Generated'),
        invariants="I7 I8", shape="created announced interrupt|speech_started",
        why="What was queued behind the item being heard is dropped here and remembered there.",
        world="repeated",
    ),
    _mutant(
        "no-text-no-truncate", "R16", "LEDGER",
        (OPENAI, "playback.truncate: [{if: has_audio,", "playback.truncate: [{if: text_only,"),
        invariants="I7 I8", shape="created audio mark interrupt|speech_started",
        why="The truncate waits for text that an audio item does not have; the server keeps the whole.",
    ),
    _mutant(
        "skipped-speech-is-not-deleted", "R17", "AUTHORITY",
        (OPENAI, "- {unless: text_only, after: finished, send: delete,", "- {if: text_only, after: finished, send: delete,"),
        invariants="I7 I8", shape="created announced interrupt|speech_started",
        why="Neither truncated nor deleted, and memory is called exact: the stale item stays for ever.",
    ),
    # openai/openai-agents-js#1173
    _mutant(
        "interrupt-after-generation-is-a-no-op", "R18 R29", "GEN≠HEARD",
        (RESPONSE, _DONE_INTERRUPT, "interrupt: {do: [],"),
        invariants="I5 I7 I12", shape="created audio done|deadline interrupt|speech_started",
        why="Nothing is being generated, so nothing is thought to be heard; the agent talks over the caller.",
    ),
    _mutant(
        "clear-without-telling-the-model", "R19", "GEN≠HEARD",
        (PLAYBACK, _PLAYING_HEARD, '{if: heard, go: partial, do: [settle], why: "Keep'),
        (PLAYBACK, _PLAYING_UNHEARD, '{go: skipped, do: [settle], why: "It had begun'),
        (PLAYBACK, _QUEUED_INTERRUPT, 'interrupt: {go: skipped, do: [settle], why: "Generated'),
        invariants="I7 I8", shape="created audio interrupt|speech_started",
        why="Silence is right and memory is wrong: the items in the carrier's buffer are settled here alone.",
    ),
    _mutant(
        "late-deltas-raise-the-dead", "R20", "ZOMBIE",
        (RESPONSE, '{do: [], why: "Fenced: it left', '{go: streaming, why: "Fenced: it left'),
        invariants="I1 I3 I5", shape="interrupt|speech_started created|cancel audio|text|call",
        why="Content under way at the interrupt makes the response stream again; what comes next is heard or read.",
    ),
    _mutant(
        "a-position-without-evidence", "R21", "OFFSET",
        (PLAYBACK, '- {if: heard, go: partial, do: [truncate, settle], why: "Keep', '- {go: partial, do: [truncate, settle], why: "Keep'),
        (PLAYBACK, '        - {go: skipped, do: [forget, settle], why: "It had begun by our reckoning; no evidence says that anything was heard."}\n', ""),
        invariants="I6 I7 I8", shape="created audio interrupt|speech_started truncate",
        why="An item no mark has come back for is cut at a place nobody confirmed, and kept.",
    ),
    # A clear voids the marks that are out whatever a table says. What a table can bring back is the ledger that goes on
    # believing after the cut; what it then believes is the clock.
    _mutant(
        "evidence-after-the-cut-counts", "R22", "OFFSET",
        (PLAYBACK, _PLAYING_HEARD, '{if: heard, go: partial, do: [truncate], why: "Keep'),
        (PLAYBACK, "    is: Cut short; the caller heard its beginning.\n    when:\n      started, played, overdue: {do: [], why:",
         "    is: Cut short; the caller heard its beginning.\n    when:\n      started: {do: [], why: It plays no more.}\n      played, overdue: {go: full, do: [settle], why:"),
        invariants="I6 I12 I13", shape="created audio mark interrupt|speech_started truncate",
        why="The ledger stays open after the cut, and what comes back then makes the item full.",
    ),
    _mutant(
        "the-item-being-heard-is-not-truncated", "R23 R48", "MULTI",
        (PLAYBACK, _PLAYING_HEARD, '{if: heard, go: partial, do: [settle], why: "Keep'),
        invariants="I7 I8", shape="created audio mark interrupt|speech_started",
        why="Whoever stopped it, everybody thinks that the other one truncates.",
    ),
    # More classes.
    _mutant(
        "interrupt-before-the-first-audio-is-dropped", "R24", "UNBORN",
        (RESPONSE, _CREATED_INTERRUPT, '{do: [], why: "No audio'),
        invariants="I1 I3 I5 I12", shape="request create created interrupt",
        why="No current item, so nothing to interrupt; the reply is spoken.",
    ),
    _mutant(
        "lost-birth-raises-the-dead", "R25", "ZOMBIE",
        (RESPONSE, '{if: unborn, do: [name, cancel], why: "Its created', '{if: unborn, go: streaming, do: [name], why: "Its created'),
        invariants="I1 I2 I3 I5", shape="request create interrupt",
        why="Stopped, and its created event lost: the first audio is adopted and heard.",
        world="lost",
    ),
    _mutant(
        "timeout-nobody-is-told-of", "R28", "ERR-ROUTE",
        (RESPONSE, _REQUESTED_DEADLINE, "{go: timed_out, do: [withdraw],"),
        invariants="I12 I13", shape="request create deadline",
        why="The timeout is logged and the handle never resolves.",
        world="lost",
    ),
    _mutant(
        "truncate-and-no-clear-after-generation", "R32", "GEN≠HEARD",
        (RESPONSE, _DONE_INTERRUPT, "interrupt: {do: [cut, resolve_interrupted],"),
        invariants="I5 I3 I6 I8", shape="created audio done|deadline interrupt|speech_started",
        why="History is short and the ear is full: the carrier plays its buffer to the end.",
    ),
    _mutant(
        "the-carrier-is-never-told", "R33", "GEN≠HEARD",
        (RESPONSE, _STREAMING_INTERRUPT, '{go: cancelled, do: [cancel, cut, resolve_interrupted], why: "Barge-in'),
        invariants="I5 I3 I6 I8", shape="created audio interrupt|speech_started",
        why="Our own queues are emptied; what the carrier holds is not.",
    ),
    _mutant(
        "marks-that-nobody-recognises", "R35", "GEN≠HEARD",
        (TWILIO, "{event: marked, mark: mark.name}", "{event: marked, mark: streamSid}"),
        invariants="I6 I7 I8 I12", shape="created audio mark",
        why="Echoes are read and match no mark, so nothing is ever confirmed and heard speech is deleted.",
    ),
    _mutant(
        "both-cancel-on-vad", "R37 R49", "AUTHORITY",
        (OPENAI, _CANCEL_HOOK, "{send: cancel,"),
        invariants="I1 I10", shape="created speech_started cancel",
        why="The server's own VAD has cancelled already; the second cancel errs, or hits the answer to the barge-in.",
        world="hung up",
    ),
    _mutant(
        "clean-up-after-the-next-create", "R43", "ORDER",
        (RESPONSE, "      finished:  {do: [name, retire], why: \"It finished", "      finished:  {do: [name], why: \"It finished"),
        (RESPONSE, "      stopped:   {do: [name, retire]}\n      rejected:  {do: [retire], why: \"Refused", "      stopped:   {do: [name]}\n      rejected:  {do: [retire], why: \"Refused"),
        invariants="I1 I7 I8 I9 I12", shape="created announced interrupt|speech_started done",
        why="The last word frees the slot, and the deletes it was waited for with come after the next create, or never.",
        world="calls",
    ),
    _mutant(
        "told-not-to-interrupt-and-does", "R50", "AUTHORITY",
        *(
            (OPENAI, f"  {kind}:\n    {{event: configured, interrupts_itself: session.audio.input.turn_detection.",
             f"  {kind}:\n    {{event: configured, interrupts_itself: session.turn_detection.")
            for kind in ("session.created", "session.updated", "session.update")
        ),
        invariants="I1 I4 I5 I10", shape="speech_started",
        why="The session's setting is read where it used to be: speech that must not be interrupted is, and nobody cancels.",
        world="listens",
    ),
    _mutant(
        "everything-sent-is-heard", "R30", "GEN≠HEARD",
        (PLAYBACK, "started:   {go: playing}", "started:   {go: full, do: [settle]}"),
        invariants="I6 I7 I8", shape="created audio",
        why="An item is called heard to its end with its first audio, and nothing of it is ever cut.",
    ),
    _mutant(
        "truncate-where-nothing-was-cut", "R52", "OFFSET",
        (PLAYBACK, "      started:   {do: [], why: It plays already.}\n      played:    {go: full, do: [settle]}",
         "      started:   {do: [], why: It plays already.}\n      played:    {go: full, do: [truncate, settle]}"),
        invariants="I7", shape="created audio mark truncate",
        why="Heard to its end and truncated all the same.",
    ),
    _mutant(
        "truncate-at-nothing", "R53", "OFFSET",
        (PLAYBACK, _QUEUED_INTERRUPT, 'interrupt: {go: skipped, do: [truncate, settle], why: "Generated'),
        (OPENAI, "playback.truncate: [{if: has_audio, send: truncate}]", "playback.truncate: [{send: truncate}]"),
        invariants="I7 I8 I11", shape="created announced interrupt|speech_started truncate",
        why="An item of which nothing was heard, or nothing exists, is truncated and not deleted.",
    ),
    _mutant(
        "the-wrong-number-for-a-position", "R56", "OFFSET",
        (OPENAI, "content_index: $part, audio_end_ms: $heard_ms", "content_index: $heard_ms, audio_end_ms: $part"),
        invariants="I7 I8", shape="created audio mark interrupt|speech_started truncate",
        why="A number that is right somewhere else: the cut is refused, or forgets what was heard.",
    ),
    _mutant(
        "a-refused-truncate-counts-as-done", "R58", "OFFSET",
        (PLAYBACK, 'do: [truncate], why: "The server counts its audio a little shorter than its bytes; ask once for less.", see:',
         'do: [confirm], why: "The server counts its audio a little shorter than its bytes; ask once for less.", see:'),
        invariants="I8", shape="created audio mark interrupt|speech_started truncate error",
        why="The server counts 85 ms less than it sent and refuses; memory is called exact.",
        world="strict",
    ),
    _mutant(
        "a-refused-create-is-only-logged", "R63", "ERR-ROUTE",
        (RESPONSE, "rejected:  {go: cancelled, do: [resolve_failed, retire]}", "rejected:  {do: [], why: It is logged.}"),
        invariants="I9 I11 I12", shape="request create error",
        why="The error names the request and settles nobody; the caller waits for the generic timeout.",
        world="listens",
    ),
    _mutant(
        "a-benign-race-is-fatal", "R64 R65", "ERR-ROUTE",
        (OPENAI, "response_cancel_not_active:               {means: benign,", "response_cancel_not_active:               {means: fatal,"),
        invariants="I11", shape="created cancel done error",
        why="The response finished while our cancel was under way, and that ends the session.",
    ),
    _mutant(
        "a-lost-last-word-holds-the-slot", "R76 R77", "LIMBO",
        (RESPONSE, '{do: [free], why: "The server owes', '{do: [], why: "The server owes'),
        invariants="I9 I12 I13", shape="request create interrupt deadline",
        why="The discard waits for an end that will not come, and every later request waits with it.",
        world="lost",
    ),
    _mutant(
        "playback-is-never-overdue", "R80", "LIMBO",
        (PLAYBACK, '{go: full, do: [settle], why: "The carrier', '{do: [], why: "The carrier'),
        invariants="I6 I7 I12 I13", shape="created audio ended deadline",
        why="The confirmation that speech is over never comes, and nothing stands in for it.",
        world="unmarked",
    ),
    _mutant(
        "a-broken-line-resolves-nobody", "R82", "LIMBO",
        (RESPONSE, "lost:      {go: cancelled, do: [clear, cut, resolve_failed, retire],", "lost:      {go: cancelled, do: [clear, cut, retire],"),
        invariants="I12 I13", shape="created provider_lost",
        why="The socket drops in the middle of a response, and whoever waits for it waits for ever.",
        world="broken",
    ),
    _mutant(
        "waits-for-speech-that-never-starts", "R85", "LIMBO",
        (PLAYBACK, "empty:     {go: skipped, do: [settle], why: Text or nothing.", "empty:     {do: [], why: Text or nothing."),
        invariants="I6 I12 I13", shape="created announced ended",
        why="An item without audio is never settled, and its response never concludes.",
    ),
    _mutant(
        "marks-too-far-apart", "R96", "LEDGER",
        (TWILIO, "mark_every_ms: {is: 100, ", "mark_every_ms: {is: 60000, "),
        invariants="I6 I7 I8", shape="created audio",
        why="A second was heard, and for want of evidence nothing of it is kept.",
    ),
)  # fmt: skip

NOT_A_TABLE: Final[dict[str, str]] = {}
"""Seed races (R01–R23) that no patch of a table brings back, and why."""

REFUSED: Final = (
    _refused(
        "a-name-is-promised-and-not-sent", "R06", "E057",
        _ANONYMOUS[1],
        why="The cancel loses its response_id while the table still says by_id.",
    ),
    _refused(
        "deltas-belong-to-one-slot", "R12 R38", "E057",
        (OPENAI, "identifies:        {is: item,", "identifies:        {is: turn,"),
        (OPENAI, "{event: audio, response: response_id, item: item_id,", "{event: audio,"),
        why="Audio without ids goes to the turn that is open; then nothing can be truncated by item either.",
    ),
    _refused(
        "deletes-that-are-not-said", "R17", "E041",
        (OPENAI, '    - {unless: text_only, after: finished, send: delete, why: "Truncate at 0 is ambiguous and fails on an item without audio; delete is neither. Not before the item is finished.", see: "https://github.com/livekit/agents/pull/6158"}\n', ""),
        (OPENAI, "  playback.forget:\n", "  playback.forget: []\n"),
        why="The hook says nothing, yet the table says that the provider can delete.",
    ),
    _refused(
        "a-carrier-that-is-not-cleared", "R33", "E041",
        (TWILIO, "response.clear: [{send: clear}]", "response.clear: []"),
        why="The carrier can clear, and nobody would tell it to.",
    ),
    _refused(
        "a-mark-without-a-name", "R22", "E057",
        (TWILIO, "mark: {name: $mark}", "mark: {name: $stream}"),
        why="All marks would have one name, and any echo would confirm any position.",
    ),
    _refused(
        "playback-left-to-the-server", "R32 R48", "E059",
        (OPENAI, "playback:          {is: client,", "playback:          {is: server,"),
        why="On a WebSocket the client truncates; nobody would.",
    ),
    _refused(
        "a-constant-for-a-position", "R52 R60", "E057",
        (OPENAI, "audio_end_ms: $heard_ms", "audio_end_ms: 0"),
        why="It would cut anywhere but where the hearing ended.",
    ),
    _refused(
        "births-are-not-heard-of", "R08 R82", "E058",
        (OPENAI, "  response.created:\n    {event: created, response: response.id, request: response.metadata.client_event_id, conversation: response.conversation_id}\n", ""),
        why="The table says that the provider announces a birth, and no message is read as one.",
    ),
    _refused(
        "an-undecided-cell", "R24", "E023",
        (RESPONSE, '      interrupt: {go: cancelled, do: [clear, cancel, cut, resolve_interrupted], why: "No audio yet is no reason to let it speak.", see: "https://github.com/openai/openai-agents-js/issues/17"}\n', ""),
        why="An interrupt before the first audio would fall through.",
    ),
)  # fmt: skip
