"""Bugs in the table of one provider or carrier are found too, each by the invariant that names it.

The catalogue in `mutants.py` breaks what all share, on OpenAI and Twilio; here stands what only others can get wrong.
What survives has a reason: the tables then say something else, and no call goes another way.
"""

# ruff: noqa: E501 - the catalogue is a table

from pathlib import Path
from typing import Final, NamedTuple

import pytest
from msgspec.structs import asdict

from bargein.codegen.loaded import adapters
from bargein.simulator.rerun import plan, rerun
from bargein.simulator.verify import WorldReport, search
from bargein.simulator.worlds import PLANS, plans_for
from bargein.statemachines.diagnostics import TableError

from .mutants import INVARIANTS, RESPONSE, Patch, Refused, apply

Edit = tuple[str, str, str]
"""In a table, what stands there once, and what stands there then."""


class Bug(NamedTuple):
    """A bug of one pair. Any of `invariants` counts as caught, in the world of that name."""

    name: str
    pair: str
    world: str
    invariants: str
    why: str
    edits: tuple[Edit, ...]

    @property
    def both(self) -> tuple[str, str]:
        """Provider and carrier."""
        provider, _, carrier = self.pair.partition(" ")
        return provider, carrier

    def written(self, folder: Path) -> Path:
        """The tables with the bug in them."""
        patches = tuple([Patch(*edit) for edit in self.edits])
        return apply(Refused(self.name, (), patches, "", self.why), folder)

    def searched(self, folder: Path) -> WorldReport:
        """Its world, with the bug in it."""
        provider, carrier = adapters(self.written(folder), *self.both)
        (world,) = [each for each in plans_for(*self.both) if each.name == self.world]
        return search(world, provider.ADAPTER, carrier.ADAPTER)


def in_(kind: str, name: str, old: str, new: str = "") -> Edit:
    return f"{kind}s/{name}.yaml", old, new


_FENCE: Final = (
    RESPONSE,
    '{do: [], why: "Fenced: it left',
    '{go: streaming, why: "Fenced: it left',
)
_WITHDRAW: Final = (
    RESPONSE,
    "interrupt: {go: cancelled, do: [withdraw, resolve_interrupted]",
    "interrupt: {go: cancelled, do: [resolve_interrupted]",
)
_UNFENCED: Final = (
    "What was under way at the interrupt is taken for the next answer, because nothing names it."
)
_UNDROPPED: Final = "There is no verb to cancel with: to drop the unwritten request is all there is, and it is not done."

BUGS: Final = (
    # Where nothing has a name, the fence is all that tells a late frame from an answer.
    Bug("gemini-has-no-fence", "gemini browser", "superseded", "I3", _UNFENCED, (_FENCE,)),
    Bug("phonic-has-no-fence", "phonic twilio", "superseded", "I3", _UNFENCED, (_FENCE,)),
    Bug("deepgram-has-no-fence", "deepgram twilio", "superseded", "I3", _UNFENCED, (_FENCE,)),
    Bug("nova-has-no-fence", "nova_sonic signalwire", "superseded", "I3", _UNFENCED, (_FENCE,)),
    Bug("assemblyai-has-no-fence", "assemblyai twilio", "answers", "I3", _UNFENCED, (_FENCE,)),
    Bug("ultravox-has-no-fence", "ultravox signalwire", "superseded", "I3", _UNFENCED, (_FENCE,)),
    Bug("speaches-has-no-fence", "speaches signalwire", "superseded", "I3", _UNFENCED, (_FENCE,)),
    # Where nothing can be cancelled, a request that waits must be dropped.
    Bug("gemini-sends-what-was-dropped", "gemini browser", "superseded", "I2 I12", _UNDROPPED, (_WITHDRAW,)),
    Bug("phonic-sends-what-was-dropped", "phonic twilio", "superseded", "I2 I12", _UNDROPPED, (_WITHDRAW,)),
    Bug("nova-sends-what-was-dropped", "nova_sonic signalwire", "superseded", "I2 I12", _UNDROPPED, (_WITHDRAW,)),
    # Gemini.
    Bug(
        "gemini-says-activity-where-the-server-listens", "gemini browser", "answers", "I1",
        "activityStart closes the socket where the server listens for speech by itself.",
        (in_("provider", "gemini", "[{if: manual_turns, send: activity}]", "[{send: activity}]"),),
    ),
    Bug(
        "gemini-interrupted-means-that-somebody-speaks", "gemini browser", "calls", "I4",
        "The notice comes of a turn that we stopped ourselves too: what waits behind it is not covered.",
        (in_("provider", "gemini", '{event: interrupted, why: "In a turn', '{event: speech_started, why: "In a turn'),),
    ),
    Bug(
        "gemini-generation-complete-is-the-end", "gemini browser", "superseded", "I9 I12",
        "The turn is open for as long as the speech plays: the next request interrupts it.",
        (in_("provider", "gemini", "serverContent.generationComplete: {event: ended,", "serverContent.generationComplete: {event: finished,"),),
    ),
    # ElevenLabs.
    Bug(
        "elevenlabs-interruption-means-that-somebody-speaks", "elevenlabs twilio", "calls", "I4",
        "It names the segment it stops, and a request that was asked for since is not that.",
        (in_("provider", "elevenlabs", "interruption: {event: interrupted, response: interruption_event.event_id}", "interruption: {event: speech_started}"),),
    ),
    Bug(
        "elevenlabs-interruption-is-not-read", "elevenlabs twilio", "answers", "I5",
        "Nothing else tells that the caller began to speak, so the agent talks over them.",
        (in_("provider", "elevenlabs", "  interruption: {event: interrupted, response: interruption_event.event_id}\n"),),
    ),
    Bug(
        "elevenlabs-segments-last-for-ever", "elevenlabs twilio", "answers", "told",
        "The next segment is the only sign that the one before is over.",
        (in_("provider", "elevenlabs", "supersedes:        {is: silently,", "supersedes:        {is: never,"),),
    ),
    # Ultravox.
    Bug(
        "ultravox-is-hushed-only-when-it-stopped", "ultravox signalwire", "words", "I1",
        "The guard the wrong way round: what we interrupt is not interrupted.",
        (in_("provider", "ultravox", "{unless: server_cancels, send: hush,", "{if: server_cancels, send: hush,"),),
    ),
    Bug(
        "ultravox-is-hushed-twice", "ultravox signalwire", "words", "I1",
        "Each hush is answered: the second interrupts the answer to the first.",
        (in_("provider", "ultravox", "    - {unless: server_cancels, send: hush,", "    - {send: hush}\n    - {unless: server_cancels, send: hush,"),),
    ),
    Bug(
        "ultravox-answer-to-the-hush-is-played", "ultravox signalwire", "words", "I1 I3",
        "To interrupt is to say something to the model, and it answers.",
        (in_("provider", "ultravox", "answers_cancel:    {is: always,", "answers_cancel:    {is: never,"),),
    ),
    Bug(
        "ultravox-clear-buffer-is-not-read", "ultravox signalwire", "answers", "I5",
        "The server is silent and the carrier goes on.",
        (in_("provider", "ultravox", "  playback_clear_buffer: {event: interrupted}\n"),),
    ),
    Bug(
        "ultravox-thinking-is-nothing", "ultravox signalwire", "superseded", "I1",
        "Interrupted while it thinks the turn is not hushed, and speaks.",
        (in_("provider", "ultravox", "state: [thinking, speaking]", "state: [speaking]"),),
    ),
    Bug(
        "ultravox-listening-is-nothing", "ultravox signalwire", "words", "I12",
        "No turn ever ends, and no request is ever written again.",
        (in_("provider", "ultravox", "state: [listening, idle]", "state: [idle]"),),
    ),
    Bug(
        "ultravox-final-transcript-counts-as-a-delta", "ultravox signalwire", "words", "I11",
        "It has no delta, and repeats what was said.",
        (in_("provider", "ultravox", ", unless: {delta: null},", ","),),
    ),
    # Nova Sonic.
    Bug(
        "nova-turns-do-not-end", "nova_sonic signalwire", "words", "I12",
        "END_TURN is the only last word of a turn that nobody interrupted.",
        (in_("provider", "nova_sonic", "[END_TURN, INTERRUPTED]", "[INTERRUPTED]"),),
    ),
    Bug(
        "nova-every-block-is-the-last", "nova_sonic signalwire", "answers", "I9 I12",
        "A turn speaks in several blocks, and PARTIAL_TURN says that more is to come.",
        (in_("provider", "nova_sonic", "{event.contentEnd.type: AUDIO, event.contentEnd.stopReason: [END_TURN, INTERRUPTED]}", "{event.contentEnd.type: AUDIO}"),),
    ),
    Bug(
        "nova-interrupted-is-not-read", "nova_sonic signalwire", "answers", "I5",
        "INTERRUPTED is all that tells of the caller.",
        (in_("provider", "nova_sonic", "{event: interrupted, if: {event.contentEnd.stopReason: INTERRUPTED}", "{event: interrupted, if: {event.contentEnd.stopReason: NEVER}"),),
    ),
    Bug(
        "nova-interrupted-text-ends-nothing", "nova_sonic signalwire", "answers", "I6 I13",
        "The audio block of an interrupted turn may end before it is said that it was, and says then no END_TURN.",
        (in_("provider", "nova_sonic", "    - {event: finished, if: {event.contentEnd.type: TEXT, event.contentEnd.stopReason: INTERRUPTED}}\n"),),
    ),
    # Deepgram.
    Bug(
        "deepgram-words-of-the-caller-end-nothing", "deepgram twilio", "answers", "I6 I13",
        "Nothing else tells that a turn is over that the caller interrupted.",
        (in_("provider", "deepgram", "{event: finished, if: {role: user}", "{event: finished, if: {role: nobody}"),),
    ),
    Bug(
        "deepgram-thinking-begins-nothing", "deepgram twilio", "answers", "told I12",
        "The turn is there before its audio, and to be interrupted.",
        (in_("provider", "deepgram", "  AgentThinking:       {event: created}\n"),),
    ),
    Bug(
        "deepgram-refusal-is-harmless", "deepgram twilio", "refused", "I12",
        "A request that was refused waits for an answer.",
        (in_("provider", "deepgram", "InjectionRefused: {means: create_refused,", "InjectionRefused: {means: benign,"),),
    ),
    # Phonic and AssemblyAI.
    Bug(
        "phonic-does-not-hear-the-caller", "phonic twilio", "answers", "I12",
        "Without user_started_speaking nobody tells of a barge-in.",
        (in_("provider", "phonic", "  user_started_speaking:  {event: speech_started}\n"),),
    ),
    Bug(
        "assemblyai-late-audio-begins-a-reply", "assemblyai twilio", "hung up", "I2 I3",
        "Audio that was under way follows the end of an interrupted reply: only reply.started begins one.",
        (in_("provider", "assemblyai", "announces:         {is: created,", "announces:         {is: content,"),),
    ),
    Bug(
        "assemblyai-interrupted-is-an-end", "assemblyai twilio", "calls", "I5",
        "The reply was generated to its end before the caller spoke, and plays on.",
        (in_("provider", "assemblyai", "    - {event: interrupted, if: {status: interrupted}}\n"),),
    ),
    # OpenAI's family.
    Bug(
        "xai-dropped-responses-are-waited-for", "xai twilio", "answers", "I12",
        "A response that the user talks over is dropped without a word.",
        (in_("provider", "xai", "supersedes:        {is: silently,", "supersedes:        {is: never,"),),
    ),
    Bug(
        "xai-is-trusted-to-stop-by-itself", "xai twilio", "answers", "I1 I10",
        "It does not stop for the caller, and nobody tells it to.",
        (in_("provider", "xai", "interrupts_itself: {is: unknown,", "interrupts_itself: {is: on_vad,"),),
    ),
    Bug(
        "azure-preview-speech-is-not-read", "azure_preview twilio", "words", "I6 I8 I12",
        "With the names of general availability not a word is heard.",
        (
            in_("provider", "azure_preview", "  response.audio.delta:\n    {event: audio, response: response_id, item: item_id, part: content_index, audio: delta}\n"),
            in_("provider", "azure_preview", "  response.output_audio.delta: null\n"),
        ),
    ),
    Bug(
        "localai-is-asked-to-cancel-one", "localai twilio", "answers", "I1 I4 I10",
        "It reads no name and cancels what runs, which may be another.",
        (
            in_("provider", "localai", "cancel:            {is: anonymous,", "cancel:            {is: by_id,"),
            in_("provider", "localai", "  cancel: {response_id: null}\n"),
        ),
    ),
    Bug(
        "localai-truncates", "localai twilio", "words", "I7 I8",
        "It blanks the whole item, heard or not.",
        (
            in_("provider", "localai", "truncate:          {is: none, ", "truncate:          {is: item_ms, "),
            in_("provider", "localai", "  truncate: null\n"),
            in_("provider", "localai", "hooks:\n  playback.truncate: []\n"),
        ),
    ),
    Bug(
        "speaches-is-sent-a-cancel", "speaches signalwire", "words", "I1",
        "It is answered: not implemented.",
        (
            in_("provider", "speaches", "cancel:            {is: none, ", "cancel:            {is: by_id, "),
            in_("provider", "speaches", "  cancel: null\n"),
            in_("provider", "speaches", "  response.cancel: []\n", "  response.cancel: [{send: cancel}]\n"),
        ),
    ),
    Bug(
        "speaches-names-what-it-answers", "speaches signalwire", "words", "I4",
        "It echoes no metadata: what it answers is taken for its own.",
        (in_("provider", "speaches", "correlates:        {is: order, ", "correlates:        {is: metadata, "),),
    ),
    Bug(
        "inworld-names-what-it-answers", "inworld twilio", "words", "I4",
        "Nobody has told that metadata comes back, and here it does not.",
        (in_("provider", "inworld", "correlates:        {is: order, ", "correlates:        {is: metadata, "),),
    ),
    Bug(
        "qwen-is-sent-a-delete", "qwen browser", "words", "I7",
        "There is no such message.",
        (
            in_("provider", "qwen", "delete:            {is: none, ", "delete:            {is: item, "),
            in_("provider", "qwen", "  delete: null\n"),
            in_("provider", "qwen", "  playback.forget: []\n"),
        ),
    ),
    # Carriers.
    Bug(
        "browser-reports-of-before-the-flush-count", "openai browser", "superseded", "I6",
        "A report that was under way at the flush is about speech that was sent before it.",
        (in_("transport", "browser", "position: {event: played, item: item, played_ms: played_ms, generation: generation}", "position: {event: played, item: item, played_ms: played_ms}"),),
    ),
)  # fmt: skip

_FORGOTTEN: Final = "A session forgets the marks that are out when it clears, so whatever comes back of them names nothing."

SURVIVORS: Final = (
    Bug(
        "jambonz-cleared-marks-count-as-played", "openai jambonz", "answers", "", _FORGOTTEN,
        (in_("transport", "jambonz", "{event: mark_cleared, mark: data.name", "{event: marked, mark: data.name"),),
    ),
    Bug(
        "plivo-is-thought-to-return-marks", "openai plivo", "answers", "", _FORGOTTEN,
        (in_("transport", "plivo", "marks_on_clear: {is: dropped,", "marks_on_clear: {is: returned_unflagged,"),),
    ),
    Bug(
        "telnyx-is-thought-to-drop-marks", "openai telnyx", "answers", "", _FORGOTTEN,
        (in_("transport", "telnyx", "marks_on_clear: {is: returned_unflagged,", "marks_on_clear: {is: dropped,"),),
    ),
    Bug(
        "ultravox-is-hushed-although-it-stopped", "ultravox signalwire", "answers", "",
        "It tells of the caller only by saying that it has stopped, and then nothing is asked of it anyway.",
        (in_("provider", "ultravox", "{unless: server_cancels, send: hush,", "{send: hush,"),),
    ),
    Bug(
        "gemini-is-thought-to-interrupt-where-it-only-listens", "gemini browser", "listens", "",
        "It says nothing when it hears the caller, so no interrupt is ever left to it.",
        (in_("provider", "gemini", "    - {event: configured, interrupts_itself: {is: false}, if: {setup.realtimeInputConfig.activityHandling: NO_INTERRUPTION}}\n"),),
    ),
    Bug(
        "speaches-dropped-responses-are-waited-for", "speaches signalwire", "superseded", "",
        "In worlds by order a request waits for the last word before it and the server begins none by itself, so none is dropped.",
        (in_("provider", "speaches", "supersedes:        {is: silently}", "supersedes:        {is: never}"),),
    ),
    Bug(
        "phonic-late-audio-begins-a-turn", "phonic twilio", "answers", "",
        "Its model says all late audio before assistant_finished_speaking; none comes where no turn is open.",
        (in_("provider", "phonic", "announces:         {is: created,", "announces:         {is: content,"),),
    ),
)  # fmt: skip

REFUSED: Final = (
    Bug(
        "gemini-turns-do-not-end", "gemini browser", "E058", "",
        "Without turnComplete nothing becomes the last word that the table promises.",
        (in_("provider", "gemini", "  serverContent.turnComplete: {event: finished}\n"),),
    ),
    Bug(
        "telnyx-is-not-cleared", "openai telnyx", "E041", "",
        "A carrier that can be silenced and is not.",
        (in_("transport", "telnyx", "response.clear: [{send: clear}]", "response.clear: []"),),
    ),
)  # fmt: skip
"""In place of the world: the finding of `bargein check` that lets it go no further."""

EVERY: Final = (*BUGS, *SURVIVORS, *REFUSED)


def named(bug: Bug) -> str:
    return bug.name


@pytest.mark.parametrize("bug", BUGS, ids=named)
def test_the_search_finds_the_bug_and_names_it(bug: Bug, tmp_path: Path) -> None:
    found = bug.searched(tmp_path).outcome.counterexample
    assert found is not None, f"{bug.name} survives"
    assert found.number in bug.invariants.split(), f"{found.number}: {found.finding}"


@pytest.mark.parametrize("bug", SURVIVORS, ids=named)
def test_what_survives_makes_no_call_go_another_way(bug: Bug, tmp_path: Path) -> None:
    """As many states and steps as with the shipped tables: the reason given is true."""
    outcome = bug.searched(tmp_path / "patched").outcome
    original = bug._replace(edits=()).searched(tmp_path / "shipped").outcome
    assert outcome.counterexample is original.counterexample is None
    assert (outcome.states, outcome.edges) == (original.states, original.edges)


@pytest.mark.parametrize("bug", REFUSED, ids=named)
def test_a_bug_that_the_check_knows_gets_no_further(bug: Bug, tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        adapters(bug.written(tmp_path), *bug.both)
    assert bug.world in {finding.code for finding in caught.value.diagnostics}


@pytest.mark.parametrize(("pair", "name"), sorted({(bug.pair, bug.world) for bug in BUGS}), ids=str)
def test_the_shipped_tables_hold_where_the_bugs_do_not(pair: str, name: str) -> None:
    """A search that finds fault with everything would find every bug too."""
    provider, _, carrier = pair.partition(" ")
    (world,) = [each for each in plans_for(provider, carrier) if each.name == name]
    first, second = adapters(None, provider, carrier)
    outcome = search(world, first.ADAPTER, second.ADAPTER).outcome
    assert outcome.counterexample is None
    assert not outcome.truncated


def test_the_bugs_are_written_in_the_words_of_the_catalogue() -> None:
    assert len({bug.name for bug in EVERY}) == len(EVERY)
    assert len({(bug.pair, bug.edits) for bug in EVERY}) == len(EVERY)
    for bug in EVERY:
        assert bug.why.endswith("."), bug.name
    worlds = {plan.name for plan in PLANS}
    for bug in (*BUGS, *SURVIVORS):
        assert bug.world in worlds, bug.name
        assert set(bug.invariants.split()) <= set(INVARIANTS), bug.name
    assert all(bug.invariants for bug in BUGS)


def test_the_test_that_is_written_of_a_bug_is_about_the_world_of_its_pair(tmp_path: Path) -> None:
    """Gemini's `answers` is not OpenAI's: made again there, the moves would show nothing."""
    (bug,) = [each for each in BUGS if each.name == "gemini-says-activity-where-the-server-listens"]
    report = bug.searched(tmp_path)
    found = report.outcome.counterexample
    assert found is not None
    limits = asdict(report.plan.limits) | {"items": report.plan.items, "deltas": report.plan.deltas}
    world = plan(bug.world, bug.both, **{name: int(value) for name, value in limits.items()})
    assert world == report.plan
    provider, carrier = adapters(tmp_path, *bug.both)
    ending = rerun(world, found.moves, provider.ADAPTER, carrier.ADAPTER)
    assert ending.broken is not None
    assert ending.broken.number == found.number
    shipped = rerun(world, found.moves, *[each.ADAPTER for each in adapters(None, *bug.both)])
    assert shipped.broken is None
