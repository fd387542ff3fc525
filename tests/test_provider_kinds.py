"""Providers of every kind, told apart by what they can do and never by name.

A provider is made of OpenAI's adapter with other capabilities; it says its events by their own names, and what it is
told is readable. Every step is taken by a copy of the session too, which must do the same and be the same after it.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.adapter import ItemFacts, ProviderAdapter, RequestFields, ResponseFacts, Wire
from bargein.runtime.events import event_name
from bargein.runtime.lifecycle import _RESPONSE_ACTIONS, REMEMBERED_IDS, Interrupted
from bargein.runtime.session import Session, Settings
from bargein.runtime.speech import _PLAYBACK_ACTIONS
from bargein.statemachines.loader import load_all

from .scene import both_engines

OPENAI, TWILIO = adapters.provider("openai"), adapters.transport("twilio")
SECOND = b"\x7f" * 8_000
WORDS = {event_name(each, "provider"): each for each in ev.Event.__subclasses__()}
SETTLED_MS, STALLED_MS = 1_000, 4_000

BY_TURN = {
    "correlates": "order",
    "identifies": "turn",
    "cancel": "none",
    "truncate": "none",
    "delete": "none",
    "concurrent": "none",
}
TURNS = {**BY_TURN, "announces": "created"}
TURNS_BY_CONTENT = {**BY_TURN, "announces": "content"}
SUPERSEDES = {"supersedes": "silently"}
ANONYMOUS = {"cancel": "anonymous"}
BY_INPUT = {"cancel": "by_new_input"}
OPENS = {"opens": "when_ready"}


def decode(message: str | bytes) -> tuple[ev.Event, ...]:
    """One event, by its own name."""
    fields = json.loads(message)
    cls = WORDS[fields.pop("is")]
    if cls is ev.Audio:
        fields["audio"] = b64decode(fields["audio"])
    return (cls(**fields),)


def cancel(op: str, response: ResponseFacts) -> Wire:
    manual = " by hand" if response.manual_turns else ""
    return (f"cancel {response.server_id}{manual}".encode(),)


def left_to_vad(op: str, response: ResponseFacts) -> Wire:
    return () if response.server_cancels else cancel(op, response)


def request(ref: str, fields: RequestFields) -> Wire:
    return (f"create {ref}".encode(),)


def truncate(op: str, item: ItemFacts) -> Wire:
    return (f"truncate {item.item_id}".encode(),)


def forget(op: str, item: ItemFacts) -> Wire:
    return (f"delete {item.item_id}".encode(),)


def silent(op: str, facts: object) -> Wire:
    return ()


def provider(**can: str) -> ProviderAdapter:
    """OpenAI's tables with these capabilities, in words of our own."""
    can = {**OPENAI.can, **can}
    return msgspec.structs.replace(
        OPENAI,
        name="invented",
        can=can,
        decode=decode,
        kind=lambda message: json.loads(message)["is"],
        configure=lambda op, settings: (json.dumps(settings).encode(),),
        request=request,
        cancel=silent if can["cancel"] == "none" else cancel,
        truncate=truncate if can["truncate"] == "item_ms" else silent,
        forget=forget if can["delete"] == "item" else silent,
        pong=lambda ping: (f"pong {ping}".encode(),),
    )


@dataclass
class Call:
    """A call with such a provider, and what came of it."""

    engine: str
    can: dict[str, str]
    barge_in: Any = "auto"
    now_ms: int = 0
    wrote: list[str] = field(default_factory=list)
    told: list[do.Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = Settings(
            settled_ms=SETTLED_MS, stalled_ms=STALLED_MS, created_ms=2_000, barge_in=self.barge_in
        )
        self.session = Session(provider(**self.can), TWILIO, settings, engine=self.engine)
        start = {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
        self.does("transport_received", json.dumps(start))

    def does(self, verb: str, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        """Take a step, and let a copy take it too; what the verb gave, and the actions."""
        twin = self.session.copy()
        if verb.endswith("received"):
            result = getattr(self.session, verb)(*given, self.now_ms, **named)
            again = getattr(twin, verb)(*given, self.now_ms, **named)
        else:
            result = getattr(self.session, verb)(self.now_ms, *given, **named)
            again = getattr(twin, verb)(self.now_ms, *given, **named)
        gave, actions = result if isinstance(result, tuple) else (None, result)
        assert actions == (again[1] if isinstance(again, tuple) else again)
        assert self.session.key() == twin.key()
        self.told += actions
        self.wrote += [a.data.decode() for a in actions if isinstance(a, do.ToProvider)]
        return gave, actions

    def server(self, event: type[ev.Event], **fields: object) -> list[do.Action]:
        """The provider says something."""
        if isinstance(audio := fields.get("audio"), bytes):
            fields["audio"] = b64encode(audio).decode()
        message = json.dumps({"is": event_name(event, "provider"), **fields})
        actions: list[do.Action] = self.does("provider_received", message)[1]
        return actions

    def speaks(self, **named: object) -> bool:
        """A second of speech arrives; whether any of it goes to the carrier."""
        actions = self.server(ev.Audio, audio=SECOND, **named)
        return any(isinstance(a, do.ToTransport) and a.audio for a in actions)

    def asks(self, **fields: object) -> str:
        ref: str = self.does("request", **fields)[0]
        return ref

    def interrupts(self, scope: str | None = None, **named: object) -> Interrupted:
        report: Interrupted = self.does("interrupt", scope, **named)[0]
        return report

    def waits(self, ms: int) -> None:
        self.now_ms += ms
        self.does("advance")

    def hears_all(self) -> None:
        while self.session.playout.marks:
            mark = {"event": "mark", "mark": {"name": self.session.playout.marks[0][0]}}
            self.does("transport_received", json.dumps(mark))

    def cancels_by(self, hook: Callable[[str, ResponseFacts], Wire]) -> None:
        self.session.provider = msgspec.structs.replace(self.session.provider, cancel=hook)

    @property
    def verdicts(self) -> dict[str, str]:
        return {a.ref: a.verdict for a in self.told if isinstance(a, do.Resolved)}

    @property
    def clears(self) -> int:
        control = [a.data for a in self.told if isinstance(a, do.ToTransport) and not a.audio]
        return sum(json.loads(data)["event"] == "clear" for data in control)

    def of(self, cls: type[do.Action]) -> list[Any]:
        return [each for each in self.told if isinstance(each, cls)]


every_naming = pytest.mark.parametrize(
    "can", [TURNS, TURNS_BY_CONTENT, {}], ids=["turns", "turns by content", "ids"]
)


def born(call: Call, response: str = "a") -> dict[str, Any]:
    """The server begins a response; how its content names it."""
    named = {} if call.session.by_turns else {"response": response}
    if call.session.provider.can["announces"] == "created":
        call.server(ev.Created, **named)
    return named


# -- the tables ------------------------------------------------------------------------------------


def test_every_action_of_the_tables_is_done_and_no_other() -> None:
    machines = load_all().machines
    assert set(machines["response"].actions) == set(_RESPONSE_ACTIONS)
    assert set(machines["playback"].actions) == set(_PLAYBACK_ACTIONS)


# -- interrupted -----------------------------------------------------------------------------------


@both_engines
@every_naming
def test_what_the_server_has_stopped_is_silenced_and_not_cancelled(
    engine: str, can: dict[str, str]
) -> None:
    call = Call(engine, {**can, "truncate": "none", "delete": "none"})
    named = born(call)
    assert call.speaks(**named)
    call.server(ev.Interrupted, **named)
    assert (call.clears, call.verdicts, call.wrote) == (1, {"auto_1": "interrupted"}, [])
    assert not call.speaks(**named)
    call.waits(SETTLED_MS)
    assert call.wrote == []  # It has said that it stopped: there is no promise to keep for it.


@both_engines
@every_naming
def test_the_last_word_of_what_the_server_has_stopped_ends_it(
    engine: str, can: dict[str, str]
) -> None:
    call = Call(engine, {**can, "truncate": "none", "delete": "none"})
    named = born(call)
    call.speaks(**named)
    call.server(ev.Interrupted)
    assert call.session.responses
    call.server(ev.Finished, **named)
    assert not call.session.responses
    assert call.session.turn is None


@both_engines
@every_naming
def test_speech_that_still_plays_after_its_end_is_cut_when_the_server_says_so(
    engine: str, can: dict[str, str]
) -> None:
    """Generation outruns playback: the caller interrupts what the server made long ago."""
    call = Call(engine, {**can, "truncate": "none", "delete": "none"})
    named = born(call)
    call.speaks(**named)
    call.server(ev.Finished, status="completed", **named)
    assert call.verdicts == {}
    call.server(ev.Interrupted)
    assert (call.clears, call.verdicts, call.wrote) == (1, {"auto_1": "interrupted"}, [])
    assert not call.session.responses


@both_engines
@every_naming
def test_what_the_server_stops_does_not_reach_a_request_that_is_not_born(
    engine: str, can: dict[str, str]
) -> None:
    """The request itself may be what interrupted; its answer is still to come."""
    call = Call(engine, can)
    ref = call.asks()
    call.server(ev.Interrupted)
    call.server(ev.Interrupted)
    assert (call.clears, call.verdicts) == (0, {})
    named = born(call)
    assert call.speaks(**named)
    call.server(ev.Finished, status="completed", **named)
    call.hears_all()
    assert call.verdicts == {ref if call.session.by_turns else "auto_1": "completed"}


@both_engines
@every_naming
def test_to_be_told_twice_or_for_nothing_does_no_harm(engine: str, can: dict[str, str]) -> None:
    call = Call(engine, {**can, "truncate": "none", "delete": "none"})
    call.server(ev.Interrupted)
    named = born(call)
    call.speaks(**named)
    call.server(ev.Interrupted)
    assert call.server(ev.Interrupted) == []
    assert call.clears == 1


@both_engines
@every_naming
def test_a_call_that_nothing_may_interrupt_is_not(engine: str, can: dict[str, str]) -> None:
    call = Call(engine, can, barge_in="never")
    named = born(call)
    call.speaks(**named)
    assert call.server(ev.Interrupted) == []
    assert call.speaks(**named)


@both_engines
def test_a_turn_stopped_before_its_first_word_is_over(engine: str) -> None:
    """Announced again it is another, and that one is heard."""
    call = Call(engine, TURNS)
    call.server(ev.Created)
    call.server(ev.Interrupted)
    assert call.verdicts == {"auto_1": "interrupted"}
    call.server(ev.Created)
    assert call.speaks()


@both_engines
def test_a_turn_we_gave_up_and_the_server_then_stopped_is_over_too(engine: str) -> None:
    call = Call(engine, TURNS)
    call.server(ev.Created)
    call.interrupts()
    call.server(ev.Interrupted)
    call.server(ev.Created)
    assert call.speaks()


@both_engines
def test_a_server_that_says_it_stopped_need_not_be_told_later(engine: str) -> None:
    """Its VAD came first, so the response was left to it; now it has kept its word."""
    call = Call(engine, TURNS | BY_INPUT | {"truncate": "none"})
    call.cancels_by(left_to_vad)
    call.server(ev.Created)
    call.speaks()
    call.server(ev.SpeechStarted)
    call.server(ev.Interrupted)
    call.waits(SETTLED_MS)
    assert call.wrote == []


@both_engines
def test_an_interruption_that_names_what_nobody_has_heard_of_does_not_mute_it(engine: str) -> None:
    """Some servers give it the number of what comes next: elevenlabs/elevenlabs-python#829."""
    call = Call(engine, {"identifies": "response", "announces": "content", "correlates": "order"})
    call.server(ev.Interrupted, response="7")
    assert call.speaks(response="7")


@both_engines
def test_a_late_stop_of_what_is_over_does_not_reach_what_speaks(engine: str) -> None:
    call = Call(engine, {})
    call.server(ev.Created, response="old")
    call.server(ev.Finished, response="old", status="completed")
    call.server(ev.Created, response="young")
    call.server(ev.Interrupted, response="old")
    assert call.speaks(response="young")


@both_engines
def test_stops_of_unknown_names_do_not_fill_the_memory(engine: str) -> None:
    call = Call(engine, {})
    for number in range(3 * REMEMBERED_IDS):
        call.server(ev.Interrupted, response=f"nobody {number}")
    assert len(call.session.retired) <= REMEMBERED_IDS


# -- corrected, ping, closing ----------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize("remembers", ["reckoned", "unknown"])
def test_a_correction_is_of_the_response_that_was_cut_last(engine: str, remembers: str) -> None:
    call = Call(engine, TURNS | {"remembers": remembers})
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Finished)
    call.server(ev.Interrupted)
    call.server(ev.Created)
    assert call.server(ev.Corrected, text="Hel") == [do.Corrected("auto_1", "Hel", "turn_1")]


@both_engines
def test_of_several_cut_at_once_a_correction_is_of_the_one_the_caller_heard(engine: str) -> None:
    call = Call(engine, {"remembers": "reckoned", "truncate": "none", "delete": "none"})
    call.server(ev.Created, response="heard")
    call.speaks(response="heard", item="a")
    call.server(ev.Finished, response="heard", status="completed")
    call.server(ev.Created, response="waiting")
    call.speaks(response="waiting", item="b")
    call.interrupts()
    assert call.server(ev.Corrected, text="Hel") == [do.Corrected("auto_1", "Hel", "heard")]
    assert "heard" not in call.session.by_server
    gone = call.server(ev.Corrected, text="Hel", response="heard")
    assert gone == [do.Corrected("auto_1", "Hel", "heard")]
    named = call.server(ev.Corrected, text="", response="waiting")
    assert named == [do.Corrected("auto_2", "", "waiting")]


@both_engines
def test_a_correction_of_nobody_we_know_is_told_all_the_same(engine: str) -> None:
    call = Call(engine, TURNS | {"remembers": "reckoned"})
    assert call.server(ev.Corrected, text="Hel") == [do.Corrected(None, "Hel")]
    named = call.server(ev.Corrected, text="Hel", response="9")
    assert named == [do.Corrected(None, "Hel", "9")]


@both_engines
def test_a_ping_is_answered_with_itself(engine: str) -> None:
    call = Call(engine, {})
    assert call.server(ev.Ping, ping=7) == [do.ToProvider(b"pong 7")]


@both_engines
@pytest.mark.parametrize("left", ["50s", None])
def test_the_application_is_told_that_the_server_will_leave(engine: str, left: str | None) -> None:
    call = Call(engine, {})
    (problem,) = call.server(ev.Closing, left=left)
    assert isinstance(problem, do.Problem)
    assert (problem.side, problem.code, problem.fatal) == ("provider", "closing", False)
    assert (left or "close") in problem.message
    assert "None" not in problem.message


# -- superseded ------------------------------------------------------------------------------------


@both_engines
def test_a_response_that_another_replaces_before_its_first_word_ends_there(engine: str) -> None:
    call = Call(engine, SUPERSEDES)
    first = call.asks()
    call.server(ev.Created, response="a", request=first)
    second = call.asks()
    call.server(ev.Created, response="b")
    (told,) = call.of(do.Resolved)
    assert (told.ref, told.verdict, told.code) == (first, "interrupted", "superseded")
    assert call.wrote == [f"create {first}"]  # The slot is the other's.
    call.server(ev.Finished, response="b", status="completed")
    assert call.wrote == [f"create {first}", f"create {second}"]


@both_engines
def test_what_had_arrived_of_a_replaced_response_is_heard_to_its_end(engine: str) -> None:
    call = Call(engine, SUPERSEDES)
    ref = call.asks()
    call.server(ev.Created, response="a", request=ref)
    call.speaks(response="a", item="a1")
    call.server(ev.Created, response="b")
    assert call.verdicts == {}
    assert not call.speaks(response="a", item="a1")  # Nothing more was to come.
    assert call.speaks(response="b", item="b1")
    call.hears_all()
    call.server(ev.Finished, response="b", status="completed")
    assert call.verdicts == {ref: "completed", "auto_1": "completed"}
    assert call.of(do.Resolved)[0].items[0].heard_ms == 1_000


@both_engines
@pytest.mark.parametrize("how", ["cancelled", "timed out", "silent"])
def test_a_tombstone_goes_when_its_successor_is_born(engine: str, how: str) -> None:
    """Nothing more will come of it, so it holds up nobody and is not waited for."""
    call = Call(engine, SUPERSEDES)
    call.server(ev.Created, response="a")
    if how == "silent":
        call.speaks(response="a", item="a1")
        call.hears_all()
    if how == "cancelled":
        call.interrupts()
    else:
        call.waits(STALLED_MS)
    assert list(call.session.by_server) == ["a"]
    call.server(ev.Created, response="b")
    assert list(call.session.by_server) == ["b"]
    assert not call.speaks(response="a", item="a1")
    assert call.of(do.Fenced)[-1].response == "a"


@both_engines
def test_what_runs_beside_replaces_nothing_and_is_not_replaced(engine: str) -> None:
    call = Call(engine, SUPERSEDES)
    call.server(ev.Created, response="a")
    beside = call.asks(beside=True)
    call.server(ev.Created, response="b", request=beside)
    assert call.speaks(response="a", item="a1")
    call.server(ev.Created, response="c")
    call.server(ev.Text, response="b", item="b1", text="Hel")
    assert [(a.ref, a.text) for a in call.of(do.TextArrived)] == [(beside, "Hel")]


@both_engines
def test_the_first_content_replaces_too_where_no_birth_is_announced(engine: str) -> None:
    call = Call(engine, {**SUPERSEDES, "announces": "content", "identifies": "response"})
    call.speaks(response="1")
    call.speaks(response="2")
    call.hears_all()
    assert call.verdicts == {"auto_1": "completed"}


@both_engines
def test_a_server_that_does_not_replace_owes_every_last_word(engine: str) -> None:
    call = Call(engine, {})
    call.server(ev.Created, response="a")
    call.server(ev.Created, response="b")
    assert call.verdicts == {}
    assert call.speaks(response="a", item="a1")


@both_engines
def test_a_request_that_is_not_born_is_not_replaced(engine: str) -> None:
    call = Call(engine, SUPERSEDES)
    ref = call.asks()
    call.server(ev.Created, response="a")
    assert call.verdicts == {}
    call.server(ev.Created, response="b", request=ref)
    assert call.speaks(response="b", item="b1")


# -- turns -----------------------------------------------------------------------------------------


@both_engines
def test_a_turn_announced_again_before_it_speaks_is_one_turn(engine: str) -> None:
    """Some servers say that they think, and then that they speak."""
    call = Call(engine, TURNS)
    ref = call.asks()
    call.server(ev.Created)
    assert call.server(ev.Created) == []
    assert call.speaks()
    call.server(ev.Finished)
    call.hears_all()
    assert call.verdicts == {ref: "completed"}


@both_engines
def test_a_given_up_turn_announced_again_is_the_one_that_nobody_hears(engine: str) -> None:
    """Announced twice, the answer to a request that was withdrawn must not pass for another's."""
    call = Call(engine, TURNS)
    call.asks()
    call.interrupts()
    call.server(ev.Created)
    call.server(ev.Created)
    assert not call.speaks()
    call.server(ev.Finished)
    assert not call.session.responses


@both_engines
def test_a_turn_that_always_has_its_last_word_may_be_announced_again_and_again(engine: str) -> None:
    """Thinking, then speaking: states of one turn, whatever came of it between."""
    call = Call(engine, {**BY_TURN, "announces": "created", "finishes": "always"})
    first = call.asks()
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Finished)
    call.hears_all()
    assert call.verdicts == {first: "completed"}


@both_engines
@pytest.mark.parametrize("announces", ["created", "content"])
def test_an_announcement_behind_content_begins_another_turn(engine: str, announces: str) -> None:
    """The end of the first was lost; what had come of it plays on."""
    call = Call(engine, {**BY_TURN, "announces": announces, "finishes": "usually"})
    first = call.asks()
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Finished)
    call.hears_all()
    assert call.verdicts == {first: "completed", "auto_1": "completed"}
    assert [a.items[0].item for a in call.of(do.Resolved)] == ["turn_1/speech", "turn_2/speech"]


@both_engines
@pytest.mark.parametrize("announces", ["created", "content"])
def test_an_announcement_behind_an_interrupted_turn_begins_another(
    engine: str, announces: str
) -> None:
    call = Call(engine, {**BY_TURN, "announces": announces})
    call.server(ev.Created)
    call.speaks()
    call.interrupts()
    assert not call.speaks()
    call.server(ev.Created)
    assert call.speaks()
    assert list(call.session.responses) == ["auto_2"]


@both_engines
def test_where_turns_are_announced_content_without_one_is_fenced(engine: str) -> None:
    """It trails behind a turn that is over; said once of each."""
    call = Call(engine, TURNS)
    assert not call.speaks()
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Finished)
    assert not call.speaks()
    assert not call.speaks()
    call.server(ev.Text, text="tail")
    call.hears_all()
    assert not call.speaks()
    fenced = [(a.response, a.kind) for a in call.of(do.Fenced)]
    assert fenced == [
        ("turn_0", "late"),
        ("turn_1", "audio"),
        ("turn_1", "text"),
        ("turn_1", "late"),
    ]
    assert (call.of(do.TextArrived), call.verdicts) == ([], {"auto_1": "completed"})


@both_engines
def test_an_item_announced_outside_a_turn_is_nobody_s(engine: str) -> None:
    call = Call(engine, TURNS)
    assert call.server(ev.Announced, item="x") == []
    assert not call.session.responses


@both_engines
@pytest.mark.parametrize("can", [TURNS, TURNS_BY_CONTENT], ids=["created", "content"])
def test_an_interrupted_turn_is_not_given_up_in_the_middle_of_its_speech(
    engine: str, can: dict[str, str]
) -> None:
    """Or its rest would be taken for another's, and heard."""
    call = Call(engine, can)
    born(call)
    call.speaks()
    call.interrupts()
    for _ in range(5):
        call.waits(SETTLED_MS - 1)
        assert not call.speaks()
    call.waits(SETTLED_MS)
    assert call.session.turn is None
    assert call.speaks() == (can["announces"] == "content")
    born(call)
    assert call.speaks()


@both_engines
def test_the_end_of_a_turn_that_nobody_saw_is_quiet(engine: str) -> None:
    call = Call(engine, TURNS)
    assert call.server(ev.Finished, status="completed") == []
    call.server(ev.Created)
    call.server(ev.Finished)
    assert call.server(ev.Finished) == []


@both_engines
def test_speech_is_whole_before_its_turn_ends(engine: str) -> None:
    """Between the end of generation and the end of the turn lies the speech itself."""
    call = Call(engine, TURNS_BY_CONTENT)
    call.speaks()
    call.server(ev.Ended)
    call.hears_all()
    assert [(a.outcome.item, a.outcome.state) for a in call.of(do.ItemSettled)] == [
        ("turn_1/speech", "full")
    ]


@both_engines
def test_items_that_have_names_belong_to_the_turn_that_is_open(engine: str) -> None:
    call = Call(engine, TURNS_BY_CONTENT)
    call.server(ev.Announced, item="a")
    assert call.speaks(item="a")
    call.speaks(item="b")
    call.server(ev.Finished)
    call.hears_all()
    (told,) = call.of(do.Resolved)
    assert [(item.item, item.state) for item in told.items] == [("a", "full"), ("b", "full")]


@both_engines
def test_a_named_item_s_tail_is_its_own_turn_s(engine: str) -> None:
    """It does not open a turn of its own, nor is it taken for the turn that is open."""
    call = Call(engine, TURNS_BY_CONTENT)
    call.speaks(item="a")
    call.server(ev.Finished)
    assert not call.speaks(item="a")
    assert list(call.session.responses) == ["auto_1"]
    call.speaks(item="b")
    assert not call.speaks(item="a")
    assert call.session.items["b"].received_bytes == len(SECOND)


@both_engines
def test_an_answer_goes_to_the_request_that_waits_and_not_to_one_given_up(engine: str) -> None:
    """One lost answer would shift all that come after it by one request, for the rest of the call."""
    call = Call(engine, TURNS_BY_CONTENT)
    lost = call.asks()
    call.waits(2_000)
    assert call.verdicts == {lost: "timed_out"}
    call.waits(SETTLED_MS)
    second = call.asks()
    assert call.speaks()
    call.server(ev.Finished)
    call.hears_all()
    assert call.verdicts[second] == "completed"
    assert not call.session.responses  # Answers come in order: the lost one will not.


@both_engines
def test_requests_that_are_never_answered_are_forgotten_in_the_end(engine: str) -> None:
    call = Call(engine, TURNS_BY_CONTENT)
    for _ in range(REMEMBERED_IDS + 3):
        call.asks()
        call.waits(2_000)
        call.waits(SETTLED_MS)
    assert len(call.session.responses) <= REMEMBERED_IDS


# -- cancelling ------------------------------------------------------------------------------------


@both_engines
def test_a_server_without_a_cancel_is_told_nothing(engine: str) -> None:
    """Whatever the hook would say."""
    call = Call(engine, TURNS)
    call.cancels_by(cancel)
    call.server(ev.Created)
    report = call.interrupts()
    assert (call.wrote, report.cancelled, report.fenced) == ([], [], ["turn_1"])


@both_engines
def test_a_server_without_a_cancel_is_not_waited_for_twice(engine: str) -> None:
    """It was to stop by itself; if it does not there is nothing to remind it with."""
    call = Call(engine, TURNS)
    call.server(ev.Created)
    call.server(ev.SpeechStarted)
    call.waits(SETTLED_MS)
    assert call.session.turn is None


@both_engines
@pytest.mark.parametrize("other", [None, "held", "beside", "the server's own", "both covered"])
def test_a_cancel_without_a_name_is_sent_only_if_it_can_hit_nobody_else(
    engine: str, other: str | None
) -> None:
    call = Call(engine, ANONYMOUS)
    ref = call.asks()
    call.server(ev.Created, response="a", request=ref)
    if other in ("beside", "both covered"):
        call.asks(beside=True)
    elif other == "held":  # The server knows nothing of it.
        call.asks()
    elif other is not None:
        call.server(ev.Created, response="b")
    call.wrote.clear()
    report = call.interrupts(None if other == "both covered" else ref)
    alone = other in (None, "held")
    assert call.wrote == (["cancel a"] if alone else [])
    assert (report.cancelled, report.fenced) == ((["a"], []) if alone else ([], ["a"]))


@both_engines
def test_a_response_beside_is_not_cancelled_without_a_name(engine: str) -> None:
    """Such a cancel is for the slot: it would hit what comes there next."""
    call = Call(engine, ANONYMOUS)
    ref = call.asks(beside=True)
    call.server(ev.Created, response="a", request=ref)
    assert call.interrupts().fenced == ["a"]


@both_engines
def test_one_interrupt_is_one_new_input(engine: str) -> None:
    """However many it covers: the server is at one of them."""
    call = Call(engine, BY_INPUT)
    call.server(ev.Created, response="a")
    call.server(ev.Created, response="b")
    report = call.interrupts()
    assert call.wrote == ["cancel a"]
    assert (report.cancelled, report.fenced) == (["a"], ["b"])


@both_engines
def test_every_interrupt_has_its_own_new_input(engine: str) -> None:
    call = Call(engine, TURNS | BY_INPUT)
    for _ in range(2):
        call.server(ev.Created)
        call.interrupts()
        call.server(ev.Finished)
    assert call.wrote == ["cancel turn_1", "cancel turn_2"]


@both_engines
def test_a_turn_that_the_server_was_to_stop_and_has_not_is_stopped_by_us(engine: str) -> None:
    """However much it goes on to say."""
    call = Call(engine, TURNS | BY_INPUT)
    call.cancels_by(left_to_vad)
    call.server(ev.Created)
    call.speaks()
    call.server(ev.SpeechStarted)
    for _ in range(2):
        assert call.wrote == []
        call.waits(SETTLED_MS // 2)
        call.speaks()
    assert call.wrote == ["cancel turn_1"]


@both_engines
@pytest.mark.parametrize("state", ["unwritten", "unborn", "finished", "another runs"])
def test_new_input_is_not_wasted_on_what_does_not_generate(engine: str, state: str) -> None:
    """It would be answered."""
    call = Call(engine, BY_INPUT)
    first = call.asks()
    if state == "unwritten":
        call.server(ev.Created, response="a", request=first)
        call.server(ev.Finished, response="a", status="completed")
        call.asks()
        call.asks()
    elif state != "unborn":
        call.server(ev.Created, response="a", request=first)
        call.speaks(response="a", item="a1")
    if state == "finished":
        call.server(ev.Finished, response="a", status="completed")
    elif state == "another runs":
        call.server(ev.Created, response="b")
    report = call.interrupts(first if state == "another runs" else None)
    assert first in report.covered or state == "unwritten"
    assert not [each for each in call.wrote if each.startswith("cancel")]


@both_engines
def test_a_turn_taken_for_whole_because_it_is_silent_is_not_disturbed(engine: str) -> None:
    """New input would make the server speak about nothing."""
    call = Call(engine, TURNS | BY_INPUT)
    call.server(ev.Created)
    call.speaks()
    call.waits(STALLED_MS)
    assert (call.wrote, call.verdicts) == ([], {"auto_1": "completed"})


@both_engines
def test_new_input_stops_a_withdrawn_request_when_it_is_born(engine: str) -> None:
    call = Call(engine, TURNS | BY_INPUT)
    ref = call.asks()
    call.interrupts()
    call.server(ev.Created)
    assert call.wrote == [f"create {ref}", "cancel turn_1"]
    assert not call.speaks()


@both_engines
def test_a_hook_knows_whether_we_say_when_the_caller_speaks(engine: str) -> None:
    """By what the server was told last, or said last, about it; silence about it changes nothing."""
    call = Call(engine, {})
    wrote = []
    for number, manual in enumerate([None, True, None, False]):
        call.does("configure", {"is": "configured", "manual": manual, "vad": "server"})
        call.server(ev.Created, response=f"r{number}")
        call.wrote.clear()
        call.interrupts()
        wrote += call.wrote
    assert wrote == ["cancel r0", "cancel r1 by hand", "cancel r2 by hand", "cancel r3"]


@both_engines
def test_a_server_that_does_not_listen_for_the_caller_stops_nothing_by_itself(engine: str) -> None:
    call = Call(engine, {"interrupts_itself": "on_vad"})
    call.cancels_by(left_to_vad)
    call.server(ev.Configured, manual=True)
    call.server(ev.Created, response="a")
    report = call.interrupts(cause="vad")
    assert (report.cancelled, report.left_to_server) == (["a"], [])


# -- the answer to a cancel ------------------------------------------------------------------------


def cancelled(engine: str, answers: str) -> Call:
    """A turn was cancelled by new input, and has ended."""
    call = Call(engine, TURNS | BY_INPUT | {"answers_cancel": answers})
    call.server(ev.Created)
    call.speaks()
    call.interrupts()
    call.server(ev.Finished)
    assert call.wrote == ["cancel turn_1"]
    return call


@both_engines
@pytest.mark.parametrize("answers", ["always", "unknown"])
def test_the_answer_to_a_cancel_is_nobody_s_wish(engine: str, answers: str) -> None:
    """It is not heard, and it is not cancelled: that would be answered too, for ever."""
    call = cancelled(engine, answers)
    call.server(ev.Created)
    assert not call.speaks()
    call.interrupts()
    call.server(ev.SpeechStarted)
    call.server(ev.Interrupted)
    call.server(ev.Finished)
    assert call.wrote == ["cancel turn_1"]
    assert not call.session.responses
    call.server(ev.Created)
    assert call.speaks()  # Exactly one.


@both_engines
def test_the_answer_may_come_before_the_cancelled_turn_has_ended(engine: str) -> None:
    """What was stopped before it spoke may be announced again; what spoke may not: this is another."""
    call = Call(engine, TURNS | BY_INPUT | {"answers_cancel": "always"})
    call.server(ev.Created)
    call.speaks()
    call.interrupts()
    call.server(ev.Created)
    call.server(ev.Created)  # The answer, announced again.
    assert not call.speaks()
    call.server(ev.Finished)
    call.server(ev.Created)
    assert call.speaks()
    assert call.wrote == ["cancel turn_1"]


@both_engines
def test_a_server_that_never_answers_a_cancel_is_heard_next(engine: str) -> None:
    call = cancelled(engine, "never")
    call.server(ev.Created)
    assert call.speaks()


@both_engines
@pytest.mark.parametrize("answers", ["always", "unknown"])
@pytest.mark.parametrize("sign", ["the caller speaks", "a request"])
def test_where_an_answer_is_not_sure_it_is_expected_until_something_else_is(
    engine: str, answers: str, sign: str
) -> None:
    call = cancelled(engine, answers)
    if sign == "a request":
        call.asks()
    else:
        call.server(ev.SpeechStarted)
    call.server(ev.Created)
    assert call.speaks() == (answers == "unknown")
    call.server(ev.Finished)
    call.server(ev.Created)
    assert call.speaks()


@both_engines
def test_only_a_cancel_that_was_sent_is_answered(engine: str) -> None:
    call = Call(engine, TURNS | BY_INPUT | {"answers_cancel": "always"})
    call.cancels_by(silent)
    call.server(ev.Created)
    call.interrupts()
    call.server(ev.Finished)
    call.server(ev.Created)
    assert call.speaks()


@both_engines
def test_a_birth_that_names_a_request_of_ours_answers_no_cancel(engine: str) -> None:
    call = Call(engine, BY_INPUT | {"answers_cancel": "always"})
    call.server(ev.Created, response="a")
    call.interrupts()
    call.server(ev.Finished, response="a", status="cancelled")
    ref = call.asks()
    call.server(ev.Created, response="b", request=ref)
    assert call.speaks(response="b", item="b1")
    call.server(ev.Finished, response="b", status="completed")
    call.server(ev.Created, response="c")
    assert not call.speaks(response="c", item="c1")


@both_engines
def test_a_request_given_up_while_the_answer_is_due_keeps_its_own_answer(engine: str) -> None:
    """Both are unwanted, and they come in order."""
    call = cancelled(engine, "always")
    call.asks()
    call.interrupts()
    call.server(ev.Created)
    call.server(ev.Finished)
    call.server(ev.Created)
    assert not call.speaks()


# -- memory ----------------------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    ("remembers", "what"),
    [
        ("generated", "it remembers all it generated"),
        ("sent", "it remembers all it sent"),
        ("reckoned", "it remembers what it reckons was heard"),
        ("unknown", "it remembers nobody knows what"),
    ],
)
@pytest.mark.parametrize("heard", [True, False])
def test_what_the_server_keeps_is_said_at_once(
    engine: str, remembers: str, what: str, heard: bool
) -> None:
    call = Call(engine, TURNS | {"remembers": remembers})
    call.server(ev.Created)
    call.speaks()
    if heard:
        mark = {"event": "mark", "mark": {"name": call.session.playout.marks[0][0]}}
        call.does("transport_received", json.dumps(mark))
    call.interrupts()
    verb, state = ("truncate", "partial") if heard else ("delete", "skipped")
    (told,) = call.of(do.Resolved)
    (item,) = told.items
    assert (item.state, item.memory) == (state, "diverged")
    assert item.reason == f"the provider cannot {verb}; {what}"
    assert not call.session.owed


@both_engines
def test_what_was_heard_to_the_end_is_remembered_as_it_is(engine: str) -> None:
    call = Call(engine, TURNS | {"remembers": "unknown"})
    call.server(ev.Created)
    call.speaks()
    call.server(ev.Finished)
    call.hears_all()
    (told,) = call.of(do.Resolved)
    assert (told.items[0].state, told.items[0].memory) == ("full", "exact")


# -- copies ----------------------------------------------------------------------------------------


def silent_turn(call: Call) -> None:
    call.server(ev.Created)
    call.interrupts()


def stopped_turn(call: Call) -> None:
    call.server(ev.Created)
    call.server(ev.Interrupted)


def ended(call: Call) -> None:
    call.server(ev.Created)
    call.interrupts()
    call.server(ev.Finished)


def ended_unsaid(call: Call) -> None:
    call.cancels_by(lambda op, response: ())
    ended(call)


def ended_and_heard(call: Call) -> None:
    ended(call)
    call.server(ev.SpeechStarted)


def two_ended(call: Call) -> None:
    call.server(ev.Created)
    call.server(ev.Finished)
    ended(call)


def two_ended_first_cut(call: Call) -> None:
    ended(call)
    call.server(ev.Created)
    call.server(ev.Finished)


def told_manual(call: Call) -> None:
    call.server(ev.Configured, manual=True)


def told_automatic(call: Call) -> None:
    call.server(ev.Configured, manual=False)


@both_engines
@pytest.mark.parametrize(
    ("can", "one", "other"),
    [
        (TURNS, silent_turn, stopped_turn),
        (TURNS | BY_INPUT | {"answers_cancel": "unknown"}, ended, ended_unsaid),
        (TURNS | BY_INPUT | {"answers_cancel": "unknown"}, ended, ended_and_heard),
        (TURNS | {"remembers": "reckoned"}, two_ended, two_ended_first_cut),
        (TURNS, told_manual, told_automatic),
    ],
)
def test_what_decides_the_future_is_in_the_key(
    engine: str,
    can: dict[str, str],
    one: Callable[[Call], None],
    other: Callable[[Call], None],
) -> None:
    """Two sessions that a later message would tell apart are not taken for one."""
    keys = []
    for story in (one, other):
        call = Call(engine, can)
        story(call)
        keys.append(call.session.key())
    assert keys[0] != keys[1]


# -- ready -----------------------------------------------------------------------------------------


MEDIA = json.dumps({"event": "media", "media": {"track": "inbound", "payload": "AAAA"}})


@both_engines
@every_naming
def test_nothing_is_asked_of_a_server_before_it_is_ready(engine: str, can: dict[str, str]) -> None:
    """What the application says itself, the settings and a pong pass: the server waits for some of it."""
    call = Call(engine, can | OPENS)
    call.does("configure", {"is": "configured"})
    ref = call.asks()
    call.does("tell", b"by hand")
    call.server(ev.Ping, ping=7)
    assert call.wrote == ['{"is": "configured"}', "by hand", "pong 7"]
    assert call.session.gate == [ref]
    call.server(ev.Ready)
    assert call.wrote[3:] == [f"create {ref}"]


@both_engines
def test_a_request_interrupted_before_the_server_is_ready_is_never_written(engine: str) -> None:
    """Where there is no cancel this is the only way to take a request back: livekit/agents#5703."""
    call = Call(engine, TURNS | OPENS)
    first, second = call.asks(), call.asks()
    call.interrupts(first)
    assert call.verdicts == {first: "interrupted"}
    call.server(ev.Ready)
    assert call.wrote == [f"create {second}"]


@both_engines
def test_what_waits_for_a_server_that_never_gets_ready_is_given_up(engine: str) -> None:
    """Bounded by `hold_ms`, like any other wait at the gate."""
    call = Call(engine, OPENS)
    ref, beside = call.asks(), call.asks(beside=True)
    call.waits(29_999)
    assert (call.verdicts, call.wrote) == ({}, [])
    call.waits(1)
    assert set(call.verdicts) == {ref, beside}
    assert not {"completed", "interrupted"} & set(call.verdicts.values())
    call.server(ev.Ready)
    assert call.wrote == [] and not call.session.responses


@both_engines
def test_a_server_that_is_lost_before_it_is_ready_fails_what_waits_for_it(engine: str) -> None:
    call = Call(engine, OPENS)
    ref = call.asks()
    call.does("provider_lost", "gone")
    assert call.verdicts == {ref: "failed"}
    assert call.session.gate == [] and call.wrote == []


@both_engines
def test_nobody_listens_to_the_caller_before_the_server_is_ready(engine: str) -> None:
    """Audio before its settings is an error to some, and closes the connection."""
    call = Call(engine, OPENS)
    call.does("transport_received", MEDIA)
    assert call.of(do.ToProvider) == []
    call.server(ev.Ready)
    assert call.of(do.ToProvider) == []  # It is not kept: nobody waits for what is that old.
    call.does("transport_received", MEDIA)
    assert len(call.of(do.ToProvider)) == 1


@both_engines
def test_a_server_that_opens_at_once_is_never_waited_for(engine: str) -> None:
    call = Call(engine, {})
    ref = call.asks()
    call.does("transport_received", MEDIA)
    assert call.wrote[0] == f"create {ref}" and len(call.wrote) == 2


@both_engines
def test_the_application_sees_the_word_that_a_server_is_ready(engine: str) -> None:
    """A session's id may come with it; said again it changes nothing."""
    call = Call(engine, OPENS)
    for _ in range(2):
        assert [each.kind for each in call.server(ev.Ready) if isinstance(each, do.Passed)] == [
            "ready"
        ]
