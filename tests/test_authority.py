"""Who acts, as the tables say it, is who acts: every provider, every cause, in a real session (invariant I10)."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.errors import UsageError
from bargein.runtime.formats import agreed
from bargein.runtime.routing import BargeIn
from bargein.runtime.session import Session
from bargein.statemachines.authority import (
    ACTS,
    CAUSES,
    Act,
    Cause,
    Clash,
    authority,
    can_be_manual,
    hears_caller,
)
from bargein.statemachines.claims import Claim, capability
from bargein.statemachines.guarantees import carrier, guarantee, no_call
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import Hook, Provider, Transport

from .authority_call import RESPONSE, Call
from .scene import both_engines

TABLES = load_all()
CELLS = [
    (name, cause, manual)
    for name, provider in TABLES.providers.items()
    for manual in (False, True)[: 1 + can_be_manual(provider)]
    for cause in CAUSES
    if not (manual and cause == "caller")
]
every_cell = pytest.mark.parametrize(
    ("provider", "cause", "manual"),
    CELLS,
    ids=[f"{name}-{cause}{'-manual' * manual}" for name, cause, manual in CELLS],
)
every_transport = pytest.mark.parametrize(
    "transport", [n for n, t in TABLES.transports.items() if t.can["heard"].is_ != "server"]
)
"""Every one that carries something."""


def line_for(provider: str) -> str:
    """A transport for it: nobody, where its server plays by itself."""
    plays = TABLES.providers[provider].can["playback"].is_ == "server"
    return "server_played" if plays else "twilio"


_CAUSE_OF = {"application": "api", "guardrail": "guardrail", "supersede": "supersede"}


class Driven(Call):
    """A response that is being spoken, up to the moment at which something goes wrong, and beyond."""

    def __init__(self, provider: str, cause: Cause, manual: bool, engine: str) -> None:
        self.table = TABLES.providers[provider]
        self.how = hears_caller(TABLES, self.table).how
        never = self.how == "only_if_told"
        barge_in: BargeIn = "always" if never else "auto"
        super().__init__(provider, line_for(provider), engine=engine, barge_in=barge_in)
        if never:
            self.hears(ev.Configured(interrupts_itself=False, vad="server_vad"))
        if manual:
            self.hears(ev.Configured(manual=True))
        self.cause = cause

    def begins(self, *, heard: bool) -> None:
        self.asks()
        if self.cause == "no_answer":
            self.waits(self.provider.timeouts_ms["created_ms"])
            return
        self.is_born()
        self.speaks()
        if heard:
            self.is_heard()
        self.said.clear()

    def goes_wrong(self) -> None:
        """The cause comes, and what is on its way all the same comes after it."""
        match self.cause:
            case "caller" if self.how != "interrupted":
                self.hears(ev.SpeechStarted())
            case "caller":
                self.hears(ev.Interrupted(self.response))
            case "hang_up":
                self.carried(ev.StreamEnded())
            case "no_answer":
                self.is_born()
            case "stall":
                self.waits(self.provider.timeouts_ms["stalled_ms"])
                if (
                    self.provider.can["finishes"] == "never"
                ):  # It counts from the end of its speech on.
                    self.waits(self.provider.timeouts_ms["stalled_ms"])
            case _:
                self.interrupts(cause=_CAUSE_OF[self.cause])
                if self.cause == "supersede":
                    self.asks()


def claims(provider: str, cause: Cause, manual: bool) -> dict[Act, Claim]:
    return authority(TABLES, TABLES.providers[provider], manual=manual)[cause]


@both_engines
@every_cell
def test_whoever_is_said_to_cancel_and_clear_does_and_nobody_else(
    provider: str, cause: Cause, manual: bool, engine: str
) -> None:
    """One cancel if it is ours, and by the response's id where that is said; none if it is another's."""
    said = claims(provider, cause, manual)
    call = Driven(provider, cause, manual, engine)
    call.begins(heard=True)
    call.goes_wrong()
    if cause == "no_answer":
        call.speaks()  # Where nothing announces a birth, this is it.
    cancels = call.sent("cancel")
    assert len(cancels) == (said["cancel"].who == "we")
    if cancels:
        assert (RESPONSE.encode() in cancels[0]) == (said["cancel"].how == "by_id")
    assert len(call.sent("clear")) == (said["clear"].who == "we")


@both_engines
@every_cell
def test_what_was_left_to_the_server_is_ours_after_a_while_where_that_is_said(
    provider: str, cause: Cause, manual: bool, engine: str
) -> None:
    """And only then: one after the other, never both."""
    said = claims(provider, cause, manual)["cancel"]
    call = Driven(provider, cause, manual, engine)
    call.begins(heard=True)
    call.goes_wrong()
    if said.who == "we":
        return
    call.waits(call.provider.timeouts_ms["settled_ms"] - 1)
    assert call.sent("cancel") == []
    call.waits(1)
    assert len(call.sent("cancel")) == (said.how == "by_itself_first")


@both_engines
@every_cell
def test_whoever_is_said_to_truncate_does_and_memory_is_called_what_it_is(
    provider: str, cause: Cause, manual: bool, engine: str
) -> None:
    """Of an item of which the caller heard 100 ms; where nobody cuts it exactly, the application is told."""
    said = claims(provider, cause, manual)["truncate"]
    call = Driven(provider, cause, manual, engine)
    call.begins(heard=True)
    call.goes_wrong()
    call.ends()
    cuts = call.sent("truncate")
    assert len(cuts) == (said.who == "we")
    if said.how == "not_due":
        return
    if call.plays:
        call.hears(ev.Truncated(call.item_id, 100))
    outcome = call.outcome()
    assert (outcome.state, outcome.heard_ms) == ("partial", 100)
    if cuts:
        assert outcome.memory == "pending"
        call.hears(ev.Truncated(call.item_id))
        assert call.outcome().memory == "exact"
    elif said.how == "server":
        assert outcome.memory == "exact"
    else:
        assert outcome.memory == "diverged"
        assert outcome.reason


@both_engines
@every_cell
def test_whoever_is_said_to_delete_what_nobody_heard_does(
    provider: str, cause: Cause, manual: bool, engine: str
) -> None:
    """Not before the response's last word, where that is said."""
    said = claims(provider, cause, manual)["delete"]
    call = Driven(provider, cause, manual, engine)
    call.begins(heard=False)
    call.goes_wrong()
    call.speaks()
    if "last word" in said.words:
        assert call.sent("forget") == []
    call.ends()
    if call.plays and said.how != "not_due":
        assert call.sent("forget") == []  # It may have begun to play it.
        call.hears(ev.PlaybackCleared(call.response))
    assert len(call.sent("forget")) == (said.who == "we")
    if said.how != "not_due":
        expected = "pending" if said.who == "we" else "diverged"
        assert call.outcome().state == "skipped"
        assert call.outcome().memory == expected


@both_engines
@every_cell
def test_we_fence_whatever_the_cause(
    provider: str, cause: Cause, manual: bool, engine: str
) -> None:
    """Speech and words that were on their way reach neither the carrier nor the application."""
    assert claims(provider, cause, manual)["fence"].who == "we"
    call = Driven(provider, cause, manual, engine)
    call.begins(heard=True)
    call.goes_wrong()
    call.played.clear()
    call.told.clear()
    call.speaks()
    call.hears(ev.Transcript("a ghost", call.response, call.item))
    call.speaks()
    assert call.played == []
    assert not any(isinstance(action, do.TextArrived) for action in call.told)


@pytest.mark.parametrize("barge_in", ["auto", "always"])
@pytest.mark.parametrize(
    "provider",
    [n for n, p in TABLES.providers.items() if hears_caller(TABLES, p).how != "interrupted"],
)
def test_a_session_told_not_to_interrupt_interrupts_only_if_the_application_insists(
    provider: str, barge_in: str
) -> None:
    """Then it is as if the application did it; the server does nothing by itself, so nothing is left to it."""
    table = TABLES.providers[provider]
    how: BargeIn = "always" if barge_in == "always" else "auto"
    call = Call(provider, line_for(provider), barge_in=how)
    call.hears(ev.Configured(interrupts_itself=False, vad="server_vad"))
    call.asks()
    call.is_born()
    call.speaks()
    call.is_heard()
    call.said.clear()
    call.hears(ev.SpeechStarted())
    said = authority(TABLES, table)["application"]
    insists = barge_in == "always"
    assert len(call.sent("cancel")) == (insists and said["cancel"].who == "we")
    assert len(call.sent("clear")) == insists
    assert len(call.sent("truncate")) == (insists and said["truncate"].who == "we")


# -- transports ---------------------------------------------------------------------------------------


@both_engines
@every_transport
def test_a_transport_is_cleared_and_tells_what_was_heard_as_its_table_says(
    transport: str, engine: str
) -> None:
    """The grain of what was heard, how far ahead it is given speech, and in which frames."""
    said = carrier(TABLES, TABLES.transports[transport])
    call = Call("openai", transport, engine=engine)
    call.asks()
    call.is_born()
    call.speaks(5_000)
    sent_ms = call.session.items[call.item_id].sent_bytes // call.audio.bytes_per_ms
    assert sent_ms == min(5_000, said.ahead_ms or 5_000)
    heard = TABLES.transports[transport].can["heard"].is_
    if heard in ("marks", "checked_marks"):
        assert said.resolution_ms is not None
        assert len(call.marks) == sent_ms // said.resolution_ms
        call.waits(said.resolution_ms)
        call.carried(ev.Marked(call.marks[0]))
    elif heard == "report":
        call.carried(ev.Played(call.item_id, 137, 0))
    call.interrupts()
    assert len(call.sent("clear")) == (TABLES.transports[transport].can["clear"].is_ != "none")
    expected_ms = {
        "marks": said.resolution_ms,
        "checked_marks": said.resolution_ms,
        "report": 137,
    }.get(heard)
    if expected_ms is not None:
        assert call.outcome().heard_ms == expected_ms
        call.carried(*map(ev.Marked, call.marks))
        call.hears(ev.Truncated(call.item_id))
        assert call.outcome().heard_ms == expected_ms


@every_transport
def test_a_carrier_that_never_confirms_is_judged_by_the_clock_when_its_table_says(
    transport: str,
) -> None:
    said = carrier(TABLES, TABLES.transports[transport])
    call = Call("openai", transport)
    call.asks()
    call.is_born()
    call.speaks(500)
    call.ends()
    by_clock = TABLES.transports[transport].can["heard"].is_ == "clock"
    call.waits(499 + (0 if by_clock else said.overdue_ms))
    assert not any(isinstance(action, do.ItemSettled) for action in call.told)
    call.waits(1 if not said.frame_ms else said.frame_ms)
    assert (call.outcome().state, call.outcome().evidence) == ("full", "clock")


# -- no cell is empty, none is double -----------------------------------------------------------------


@pytest.mark.parametrize("provider", TABLES.providers.values(), ids=TABLES.providers)
def test_every_act_has_one_actor_a_reason_and_a_row(provider: Provider) -> None:
    for manual in (False, True)[: 1 + can_be_manual(provider)]:
        decided = authority(TABLES, provider, manual=manual)
        assert list(decided) == [cause for cause in CAUSES if not (manual and cause == "caller")]
        for cells in decided.values():
            assert list(cells) == list(ACTS)
            for claim in cells.values():
                assert claim.who in ("we", "the server", "nobody")
                assert claim.words
                assert claim.why.endswith(".")
                assert _line(claim) != ""


def _line(claim: Claim) -> str:
    """The line of the table that the claim names, if it is a row of that name."""
    line = Path(claim.told.file).read_text("utf-8").splitlines()[claim.told.line - 1].strip()
    section, name = claim.told.key.split(".")[:2]
    if section == "can":
        return line if line.startswith(f"{name}:") else ""
    return line if not line.startswith("#") else ""


def changed(provider: Provider, hook: str, *rows: Hook, **can: str) -> Provider:
    """The provider with other rows in a hook, and other capabilities."""
    abilities = dict(provider.can)
    for name, value in can.items():
        abilities[name] = msgspec.structs.replace(abilities[name], is_=value)
    return msgspec.structs.replace(provider, hooks={**provider.hooks, hook: rows}, can=abilities)


OPENAI = TABLES.providers["openai"]


def broken() -> Iterator[tuple[str, Provider, str]]:
    yield (
        "we cancel although the server does",
        changed(OPENAI, "response.cancel", Hook(send="cancel")),
        "caller: cancel is done by the server (can.interrupts_itself) and we (can.cancel)",
    )
    yield (
        "we cancel only when the server does",
        changed(OPENAI, "response.cancel", Hook(send="cancel", if_="server_cancels")),
        "caller: cancel is done by the server (can.interrupts_itself) and we",
    )
    yield (
        "nobody cancels",
        changed(OPENAI, "response.cancel", interrupts_itself="never"),
        "caller: cancel is done by nobody",
    )
    yield (
        "both truncate",
        changed(OPENAI, "playback.truncate", Hook(send="truncate"), truncate="server"),
        "caller: truncate is done by the server (can.truncate) and we (can.truncate)",
    )
    yield (
        "nobody truncates, and nothing says why",
        changed(OPENAI, "playback.truncate"),
        "caller: truncate is done by nobody",
    )
    yield (
        "nobody deletes, and nothing says why",
        changed(OPENAI, "playback.forget"),
        "caller: delete is done by nobody",
    )


@pytest.mark.parametrize(
    ("provider", "told"), [row[1:] for row in broken()], ids=[row[0] for row in broken()]
)
def test_a_cell_without_an_actor_or_with_two_is_a_clash(provider: Provider, told: str) -> None:
    """The defects of the class AUTHORITY, each brought into OpenAI's table."""
    with pytest.raises(Clash) as caught:
        authority(TABLES, provider)
    assert str(caught.value).startswith(told)
    assert all(row.line for row in caught.value.told)


def test_an_unknown_interruption_is_ours_and_says_what_is_not_known() -> None:
    """Nobody knows whether that server stops by itself, so we cancel, by a name that can hit no other."""
    claim = authority(
        TABLES, changed(OPENAI, "response.cancel", Hook(send="cancel"), interrupts_itself="unknown")
    )
    cancel = claim["caller"]["cancel"]
    assert (cancel.who, cancel.how, cancel.told.key) == ("we", "by_id", "can.interrupts_itself")
    assert "nobody knows" in cancel.words


# -- the promises -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TABLES.transports.values(), ids=TABLES.transports)
@pytest.mark.parametrize("provider", TABLES.providers.values(), ids=TABLES.providers)
def test_every_pair_answers_every_promise_with_a_reason(
    provider: Provider, transport: Transport
) -> None:
    pair = guarantee(TABLES, provider, transport)  # Also of a pair that holds no call.
    assert list(pair.promises) == ["silence", "ghosts", "cancel", "memory"]
    for answer in pair.promises.values():
        assert answer.kept in ("yes", "in part", "no")
        assert answer.words
        assert answer.why.endswith(".")


def test_the_promises_of_the_first_providers_are_those_of_the_design() -> None:
    def kept(provider: str) -> list[str]:
        pair = guarantee(TABLES, TABLES.providers[provider], TABLES.transports["twilio"])
        return [answer.kept for answer in pair.promises.values()]

    assert kept("openai") == kept("azure") == ["yes", "yes", "yes", "yes"]
    assert kept("xai") == ["yes", "yes", "in part", "in part"]
    assert kept("phonic") == ["yes", "in part", "no", "no"]


def test_formats_in_common_are_those_a_session_agrees_on() -> None:
    """The page must not say that a pair holds a call which the runtime refuses, nor the other way round."""
    for provider in TABLES.providers.values():
        for transport in TABLES.transports.values():
            theirs = adapters.provider(provider.provider)
            carries = adapters.transport(transport.transport)
            formats = guarantee(TABLES, provider, transport).audio
            for name in {*theirs.audio, *carries.audio}:
                try:
                    agreed(theirs, carries, name)
                    fits = True
                except UsageError:
                    fits = False
                assert fits == (name in formats), (provider.provider, transport.transport, name)


def test_a_pair_that_a_session_refuses_holds_no_call_and_no_other() -> None:
    for provider in TABLES.providers.values():
        for transport in TABLES.transports.values():
            theirs = adapters.provider(provider.provider)
            carries = adapters.transport(transport.transport)
            try:
                Session(theirs, carries)
                refused = False
            except UsageError:
                refused = True
            assert refused == (no_call(provider, transport) is not None), (theirs, carries)


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(provider, id=name)
        for name, provider in TABLES.providers.items()
        if capability(provider, "remembers") == "reckoned"
    ],
)
def test_what_a_server_that_reckons_keeps_is_said_alike_wherever_it_is_said(
    provider: Provider,
) -> None:
    """By who acts and by what holds; the outcome of a session has these words too (`test_provider_kinds.py`)."""
    claim = authority(TABLES, provider)["application"]["truncate"]
    memory = guarantee(TABLES, provider, TABLES.transports["browser"]).promises["memory"]
    assert memory.words == "diverged, declared: the server keeps what it reckons was heard"
    assert (
        claim.words
        == {
            "nobody": "the server keeps what it reckons was heard; declared",
            "the server": "by its own reckoning",  # it is told to stop
        }[claim.who]
    )
