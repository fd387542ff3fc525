"""The AssemblyAI Voice Agent: its table and the model of its server, one claim each.

No package has types for it, so its messages are judged by the examples of its reference page
(https://www.assemblyai.com/docs/api-reference/voice-agent-api/voice-agent-web-socket), field by field.
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bargein import adapters
from bargein.runtime import actions as do
from bargein.runtime import events as ev
from bargein.runtime.session import Session, Settings
from bargein.simulator import assemblyai_facts
from bargein.simulator.assemblyai import AssemblyAIBounds, AssemblyAIRules, AssemblyAIServer
from bargein.simulator.facts import Asked, Told
from bargein.simulator.turn_servers_c import entry
from bargein.simulator.worlds import plans_for

from .family import types

Json = dict[str, Any]

SAID: dict[str, Json] = {
    "session.ready": {"session_id": "sess_abc123"},
    "session.updated": {},
    "session.error": {"code": "invalid_format", "message": "Invalid message format"},
    "session.ended": {},
    "input.speech.started": {},
    "input.speech.stopped": {},
    "transcript.user": {"text": "What's the weather in Tokyo?", "item_id": "item_abc123"},
    "reply.started": {"reply_id": "reply_abc123"},
    "reply.audio": {"data": "EAAgADAA"},
    "transcript.agent": {
        "text": "It's sunny.",
        "reply_id": "reply_abc123",
        "item_id": "item_abc123",
        "interrupted": False,
    },
    "reply.done": {"status": "interrupted"},
    "tool.call": {"call_id": "call_abc123", "name": "get_weather", "arguments": {"city": "Tokyo"}},
}
"""What AssemblyAI documents that it says."""


class AssemblyAI:
    """A model whose every message is judged and comes back decoded."""

    def __init__(self, *, bounds: AssemblyAIBounds | None = None, **rules: Any) -> None:  # noqa: ANN401
        self.model = AssemblyAIServer(rules=AssemblyAIRules(**rules), bounds=bounds)
        assert self.model.connects() == []
        form = {"format": {"encoding": "audio/pcmu", "sample_rate": 8000}}
        self.opened = self.told("session.update", session={"input": form, "output": form})

    def told(self, kind: str, **fields: object) -> list[Json]:
        return self.heard(self.model.receive(json.dumps({"type": kind} | fields), 0))

    def does(self, what: str, *args: object, **fields: object) -> list[Json]:
        return self.heard(getattr(self.model, what)(*args, **fields))

    def heard(self, said: list[str | bytes]) -> list[Json]:
        found = [json.loads(each) for each in said]
        for message in found:
            judge(message)
        return found

    def speaking(self, ms: int = 100, words: str = "Hello. ") -> str:
        self.told("reply.create", instructions="Greet.")
        name = self.model.latest_response
        self.does("speaks", name, ms, words)
        return name


def judge(message: Json) -> None:
    """The message has the fields of the documented one, of the same types; only a status may be missing."""
    fields = {key: value for key, value in message.items() if key not in ("type", "_of")}
    example = SAID[message["type"]]
    missing = example.keys() - fields.keys()
    assert fields.keys() <= example.keys() and missing <= {"status"}, message
    assert all(type(fields[key]) is type(example[key]) for key in fields), message


# facts/transports.md 25


def test_assemblyai_is_read_as_documented() -> None:
    read = adapters.provider("assemblyai").decode
    found = {kind: read(json.dumps({"type": kind} | fields)) for kind, fields in SAID.items()}
    meant: dict[str, tuple[ev.Event, ...]] = {
        "session.ready": (ev.Ready(),),
        "reply.started": (ev.Created(),),
        "reply.audio": (ev.Audio(audio=base64.b64decode("EAAgADAA")),),
        "reply.done": (ev.Interrupted(), ev.Finished(status="cancelled")),
        "transcript.agent": (ev.Transcript(text="It's sunny."),),
        "tool.call": (
            ev.Call(call="call_abc123", name="get_weather", arguments='{"city":"Tokyo"}'),
        ),
        "session.error": (ev.Error(code="invalid_format", message="Invalid message format"),),
    }
    assert {kind: found[kind] for kind in meant} == meant
    for kind in SAID.keys() - meant.keys():
        assert found[kind] == (ev.Unknown(kind=kind),)
    assert read('{"type": "reply.done"}') == (ev.Finished(),)
    cut = {"type": "transcript.agent"} | SAID["transcript.agent"] | {"interrupted": True}
    assert read(json.dumps(cut)) == (ev.Corrected(text="It's sunny."),)


def test_assemblyai_waits_for_its_settings() -> None:
    server = AssemblyAI()
    assert types(server.opened) == ["session.ready"]
    assert server.model.bytes_per_ms == 8
    assert types(server.told("session.update", session={})) == ["session.updated"]
    early = AssemblyAIServer()
    (error,) = [json.loads(each) for each in early.receive('{"type": "reply.create"}', 0)]
    assert (error["type"], early.head, early.closed) == ("session.error", None, False)


def test_a_reply_of_assemblyai_is_framed_and_its_words_are_said_once() -> None:
    server = AssemblyAI()
    name = server.speaking(100, "Hello. ")
    server.does("speaks", name, 100, "How are you?")
    said = server.does("finishes", name)
    assert types(said) == ["transcript.agent", "reply.done"]
    assert said[0]["text"] == "Hello. How are you?"
    assert "status" not in said[1]


def test_uh_huh_does_not_interrupt_assemblyai() -> None:
    """It tells that the caller speaks, and talks on: that alone is no barge-in."""
    server = AssemblyAI(bounds=AssemblyAIBounds(back_channels=1))
    name = server.speaking()
    (choice,) = [each for each in server.model.choices() if each.act == "hears_back_channel"]
    heard = server.heard(server.model.take(choice, 0))
    assert types(heard)[:2] == ["input.speech.started", "input.speech.stopped"]
    assert server.model.responses[name].state == "in_progress"
    assert all(assemblyai_facts.told(json.dumps(each)) is None for each in heard)


def test_interrupted_assemblyai_ends_its_reply_and_then_says_what_was_heard() -> None:
    server = AssemblyAI(reckons_ms=50)
    name = server.speaking(100, "0123456789")
    said = server.does("hears_speech_start", 0)
    assert types(said) == ["input.speech.started", "reply.done", "transcript.agent"]
    assert said[1]["status"] == "interrupted"
    assert (said[2]["interrupted"], said[2]["text"]) == (True, "01234")
    assert types(server.does("trailing_delta", name, 100)) == ["reply.audio"]
    assert server.does("finishes", name) == []


def test_assemblyai_can_be_told_to_let_nobody_interrupt() -> None:
    server = AssemblyAI()
    session = {"input": {"turn_detection": {"interrupt_response": False}}}
    server.told("session.update", session=session)
    name = server.speaking()
    assert types(server.does("hears_speech_start", 0)) == ["input.speech.started"]
    assert server.model.responses[name].state == "in_progress"


def test_the_result_of_a_tool_is_answered_by_another_reply_of_assemblyai() -> None:
    server = AssemblyAI()
    name = server.speaking()
    (call,) = server.does("calls", name, "lookup", '{"n": 1}')
    assert types(server.does("finishes", name)) == ["transcript.agent", "reply.done"]
    assert server.model.waiting == []
    server.told("tool.result", call_id=call["call_id"], result="{}")
    assert len(server.model.waiting) == 1


def test_what_assemblyai_s_wire_says_of_whom_is_told_beside_it() -> None:
    made = entry("assemblyai")
    plan = next(each for each in plans_for("assemblyai") if each.name == "answers")
    model, opening = made.make(plan)
    assert [json.loads(each)["type"] for each in opening] == ["session.ready"]
    ask = '{"type": "reply.create", "instructions": "q1"}'
    assert made.asked(ask) == Asked("create", request="q1")
    model.receive(ask, 0)
    told = [fact for each in model.speaks("resp_1", 100, "") for fact in made.told_all(each)]
    assert told == [
        Told("created", "resp_1", request="q1"),
        Told("audio", "resp_1", "item_1", "q1", voice=1, ms=100),
    ]
    ended = [fact for each in model.hears_speech_start(0) for fact in made.told_all(each)]
    assert [(fact.what, fact.status) for fact in ended] == [
        ("interrupted", "caller"),
        ("done", "cancelled"),
    ]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_assemblyai_does_its_words_are_its_own(data: st.DataObject) -> None:
    """Every message passes the judge and is understood by the table, and a copy does the same."""
    bounds = AssemblyAIBounds(
        kinds=("message", "function_call"), speech_turns=9, back_channels=2, deaths=True
    )
    model = AssemblyAI(bounds=bounds).model
    for number in range(data.draw(st.integers(5, 40))):
        found, twin = model.choices(), model.copy()
        if not found or data.draw(st.booleans()):
            ask = json.dumps({"type": "reply.create", "instructions": f"q{number}"})
            said = model.receive(ask, 0)
            assert said == twin.receive(ask, 0)
        else:
            choice = data.draw(st.sampled_from(found))
            said = model.take(choice, 0)
            assert said == twin.take(choice, 0)
        assert twin.key() == model.key() and not model.closed
        for each in said:
            judge(json.loads(each))
            read = adapters.provider("assemblyai").decode(each)
            assert not any(isinstance(event, ev.Malformed) for event in read)


@given(raw=st.one_of(st.binary(), st.text(), st.dictionaries(st.text(), st.text()).map(json.dumps)))
def test_nothing_a_client_writes_breaks_assemblyai(raw: str | bytes) -> None:
    assert types(AssemblyAI().heard(AssemblyAI().model.receive(raw, 0))) == ["session.error"]
    assert assemblyai_facts.asked(raw).what == "other"


@pytest.mark.parametrize("engine", ["table", "transitions"])
def test_a_call_on_assemblyai_is_cleared_by_the_interruption_and_not_by_a_sound(
    engine: str,
) -> None:
    session = Session(
        adapters.provider("assemblyai"), adapters.transport("twilio"), Settings(), engine=engine
    )
    start = {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
    session.transport_received(json.dumps(start), 0)
    server = AssemblyAI()
    for said in server.model.connects():
        session.provider_received(said, 0)
    ref, asked = session.request(0, instructions="Greet.")
    done = list(asked)
    for action in asked:
        if isinstance(action, do.ToProvider):
            server.model.receive(action.data, 0)
    for said in server.model.speaks("resp_1", 1_000):
        done += session.provider_received(said, 10)
    for said in server.model.hears_back_channel():
        done += session.provider_received(said, 20)
    assert b'"clear"' not in b"".join(a.data for a in done if isinstance(a, do.ToTransport))
    after = []
    for said in server.model.hears_speech_start(30):
        after += session.provider_received(said, 30)
    assert b'"clear"' in b"".join(a.data for a in after if isinstance(a, do.ToTransport))
    assert [a.verdict for a in after if isinstance(a, do.Resolved) and a.ref == ref] == [
        "interrupted"
    ]
