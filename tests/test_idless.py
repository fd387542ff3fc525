"""A provider without ids, without a created event and without a verb for cancel: identity by order and by turn.

OpenAI's adapter with its ids taken away stands in for Gemini Live and its kind; the session must not need them.
"""

import json

import msgspec
import pytest

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.session import Session, Settings

from .scene import both_engines

OPENAI = adapters.provider("openai")
TWILIO = adapters.transport("twilio")
SECOND = "f39/" * 2_667  # a thousand milliseconds of mu-law, and a byte


def nameless(message: str | bytes) -> tuple[ev.Event, ...]:
    """What OpenAI's message would say if it named nothing and announced nothing."""
    events: list[ev.Event] = []
    for event in OPENAI.decode(message):
        if isinstance(event, ev.Audio):
            events.append(ev.Audio(event.audio))
        elif isinstance(event, ev.Finished):
            events.append(ev.Finished(status=event.status))
    return tuple(events)


PROVIDER = msgspec.structs.replace(
    OPENAI,
    name="nameless",
    can={
        **OPENAI.can,
        "correlates": "order",
        "announces": "content",
        "identifies": "turn",
        "cancel": "none",
        "truncate": "none",
        "delete": "none",
    },
    decode=nameless,
    cancel=lambda op, response: (),
    truncate=lambda op, item: (),
    forget=lambda op, item: (),
)


class Call:
    """A session with a nameless provider, and what came of it."""

    def __init__(self, engine: str) -> None:
        self.session = Session(PROVIDER, TWILIO, Settings(settled_ms=1_000), engine=engine)
        self.now_ms = 0
        self.told: list[do.Action] = []
        start = {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
        self.take(self.session.transport_received(json.dumps(start), 0))

    def take(self, actions: list[do.Action]) -> list[do.Action]:
        self.told += actions
        return actions

    def asks(self) -> str:
        ref, actions = self.session.request(self.now_ms)
        self.take(actions)
        return ref

    def speaks(self) -> int:
        """A second of speech arrives; how many messages with audio go to the carrier."""
        delta = {"response_id": "?", "item_id": "?", "delta": SECOND}
        message = json.dumps({"type": "response.output_audio.delta", **delta})
        actions = self.take(self.session.provider_received(message, self.now_ms))
        return sum(isinstance(a, do.ToTransport) and a.audio for a in actions)

    def finishes(self, status: str = "completed") -> None:
        message = json.dumps({"type": "response.done", "response": {"id": "?", "status": status}})
        self.take(self.session.provider_received(message, self.now_ms))

    def hears_all(self) -> None:
        while self.session.playout.marks:
            mark = {"event": "mark", "mark": {"name": self.session.playout.marks[0][0]}}
            self.take(self.session.transport_received(json.dumps(mark), self.now_ms))

    def waits(self, ms: int) -> None:
        self.now_ms += ms
        self.take(self.session.advance(self.now_ms))

    def verdicts(self) -> dict[str, str]:
        return {a.ref: a.verdict for a in self.told if isinstance(a, do.Resolved)}


@both_engines
def test_the_first_content_is_the_birth_of_the_oldest_request(engine: str) -> None:
    call = Call(engine)
    ref = call.asks()
    assert call.speaks() > 0
    call.finishes()
    call.hears_all()
    assert call.verdicts() == {ref: "completed"}
    assert not call.session.responses


@both_engines
def test_an_answer_nobody_asked_for_plays_too(engine: str) -> None:
    """The server's own answer to the caller's turn."""
    call = Call(engine)
    assert call.speaks() > 0
    call.finishes()
    call.hears_all()
    assert call.verdicts() == {"auto_1": "completed"}


@both_engines
def test_r73_after_an_interrupt_all_is_fenced_through_the_next_end_of_turn(engine: str) -> None:
    call = Call(engine)
    first = call.asks()
    assert call.speaks() > 0
    report, actions = call.session.interrupt(call.now_ms)
    call.take(actions)
    assert (report.cleared, report.cancelled, len(report.fenced)) == (True, [], 1)
    second = call.asks()
    assert call.speaks() == 0
    call.finishes()
    assert call.speaks() > 0
    call.finishes()
    call.hears_all()
    assert call.verdicts() == {first: "interrupted", second: "completed"}


@both_engines
def test_r01_a_request_withdrawn_before_its_answer_takes_its_answer_with_it(engine: str) -> None:
    """Nothing can be said to the server, so its next turn is that request's, and it is dropped."""
    call = Call(engine)
    ref = call.asks()
    call.take(call.session.interrupt(call.now_ms)[1])
    assert call.speaks() == 0
    call.finishes()
    assert call.verdicts() == {ref: "interrupted"}
    assert not call.session.responses


@both_engines
def test_r77_a_lost_end_of_turn_does_not_fence_for_ever(engine: str) -> None:
    call = Call(engine)
    call.asks()
    assert call.speaks() > 0
    call.take(call.session.interrupt(call.now_ms)[1])
    second = call.asks()
    call.waits(1_000)
    assert call.speaks() > 0
    call.finishes()
    call.hears_all()
    assert call.verdicts()[second] == "completed"


@both_engines
def test_what_the_server_cannot_forget_is_declared(engine: str) -> None:
    call = Call(engine)
    call.asks()
    call.speaks()
    call.take(call.session.interrupt(call.now_ms)[1])
    (told,) = [a.outcome for a in call.told if isinstance(a, do.ItemSettled)]
    assert (told.state, told.memory) == ("skipped", "diverged")
    assert told.reason == "the provider cannot delete; it remembers all it generated"


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
def test_an_end_without_a_turn_is_nobody_s(status: str) -> None:
    call = Call("table")
    call.finishes(status)
    assert call.verdicts() == {}
