"""The model of the Nova Sonic server: its rules, one claim each. facts/providers.md 8."""

import base64
import json

import pytest

from bargein import adapters
from bargein.simulator import nova_sonic_facts
from bargein.simulator.facts import Told
from bargein.simulator.nova_sonic import INTERRUPTED, NovaSonicServer
from bargein.simulator.turn_servers import CALLER, PROMPT, SERVERS_A
from bargein.simulator.turns import Choice

from .turn_models import (
    BARE,
    END,
    OPENING,
    Json,
    Server,
    block,
    frame,
    heard,
    nova,
    plan,
    service,
    shapes,
    tool_result,
)


def test_nova_says_what_it_means_to_say_says_it_and_records_it() -> None:
    server = nova(memory="sent")
    assert server.told(*block()) == []
    plan = ["contentStart ASSISTANT SPECULATIVE", "textOutput", "TEXT PARTIAL_TURN"]
    audio = ["contentStart ASSISTANT", "audioOutput"]
    record = ["contentStart ASSISTANT FINAL", "textOutput", "TEXT PARTIAL_TURN"]
    assert shapes(server.does("speaks", "resp_1", 100, "One.")) == plan + audio
    assert shapes(server.does("speaks", "resp_1", 100, "")) == ["audioOutput"]
    assert shapes(server.does("ends_item", "resp_1")) == ["AUDIO PARTIAL_TURN"]
    assert shapes(server.does("speaks", "resp_1", 100, "Two.")) == plan + audio
    assert shapes(server.does("finishes", "resp_1")) == ["AUDIO END_TURN", *record, *record]


def test_nova_speaks_at_the_rate_it_was_asked_for() -> None:
    server = nova()
    server.told(*block())
    begin, piece = server.does("speaks", "resp_1", 100, "")
    assert isinstance(begin, dict) and isinstance(piece, dict)
    form = begin["event"]["contentStart"]["audioOutputConfiguration"]
    assert (form["sampleRateHertz"], form["sampleSizeBits"]) == (16_000, 16)
    assert len(base64.b64decode(piece["event"]["audioOutput"]["content"])) == 3_200


@pytest.mark.parametrize("record", ["before", "missing"])
def test_nova_may_record_early_or_never(record: str) -> None:
    server = nova(record=record)
    server.speaking(100, "a")
    early = ["contentStart ASSISTANT FINAL", "textOutput", "TEXT PARTIAL_TURN"]
    assert shapes(server.does("finishes", "resp_1")) == early * (record == "before") + [
        "AUDIO END_TURN"
    ]


BLOCK = ["contentStart ASSISTANT FINAL", "textOutput", "TEXT INTERRUPTED"]


@pytest.mark.parametrize(
    ("how", "first", "last"),
    [("before", ["AUDIO PARTIAL_TURN"], []), ("after", [], ["AUDIO INTERRUPTED"]), ("missing", [], [])],
)  # fmt: skip
def test_nova_says_that_it_was_interrupted_in_a_block_of_text(
    how: str, first: list[str], last: list[str]
) -> None:
    server = nova(audio_end=how)
    name = server.speaking(100, "0123456789")
    said = server.does("hears_speech_start", 0, heard_ms=40)
    assert shapes(said) == first + BLOCK
    assert isinstance(said[-2], dict)
    assert said[-2]["event"]["textOutput"]["content"] == INTERRUPTED == '{ "interrupted" : true }'
    assert (Choice("trailing_delta", name) in server.model.choices()) == (how != "before")
    record = ["contentStart ASSISTANT FINAL", "textOutput", "TEXT PARTIAL_TURN"]
    end = server.does("finishes", name)
    assert shapes(end) == last + record
    assert isinstance(end[-2], dict)
    assert end[-2]["event"]["textOutput"]["content"] == "0123"
    assert shapes(server.does("hears_speech_stop", 0))[0] == "contentStart USER FINAL"


def test_nova_may_interrupt_after_the_turn_s_end() -> None:
    """Generation runs ahead of the speech."""
    model, _ = SERVERS_A["nova_sonic"].make(BARE)
    for each in block():
        model.receive(json.dumps(each), 0)
    model.speaks("resp_1", 100, "")
    end = model.finishes("resp_1")[0]
    done = Told("done", "resp_1", request="q", status="completed")
    assert nova_sonic_facts.told_all(end) == (Told("ended", "resp_1", "item_1", "q"), done)
    *_, late = model.take(Choice("hears_speech_start", how="playing"), 0)
    assert [each.what for each in nova_sonic_facts.told_all(late)] == ["interrupted", "done"]
    assert nova_sonic_facts.told_all(late)[-1] == done._replace(status="cancelled")


def test_nova_ends_a_turn_only_with_audio() -> None:
    """`END_TURN` is said of an audio block, so one more must come."""
    model, _ = SERVERS_A["nova_sonic"].make(plan())
    for each in block():
        model.receive(json.dumps(each), 0)
    model.speaks("resp_1", 100, "")
    assert Choice("finishes", "resp_1") in model.choices()
    model.ends_item("resp_1")
    assert Choice("finishes", "resp_1") not in model.choices()
    assert Choice("speaks", "resp_1") in model.choices()
    with pytest.raises(ValueError, match="nothing that could end"):
        model.ends_item("resp_1")


def test_nova_uses_a_tool_and_goes_on_with_its_result() -> None:
    server = nova()
    server.told(*block())
    said = server.does("calls", "resp_1", "f", "{}")
    assert shapes(said) == ["contentStart TOOL", "toolUse", "TOOL TOOL_USE"]
    assert isinstance(said[1], dict) and said[1]["event"]["toolUse"]["toolUseId"] == "call_1"
    assert Choice("speaks", "resp_1") not in server.model.choices()
    assert server.told(*tool_result("call_1")) == []
    assert Choice("speaks", "resp_1") in server.model.choices()


def test_nova_answers_text_only_when_the_block_is_complete_and_the_model_can() -> None:
    server = nova()
    start, words, end = block()
    server.told(start, words)
    assert server.model.waiting == []
    server.told(end)
    assert server.model.waiting == ["resp_1"]
    old = nova(answers_text=False)
    old.told(*block())
    assert old.model.waiting == []


def test_nova_answers_the_caller_in_the_same_completion_until_the_prompt_ends() -> None:
    server = nova()
    server.told(heard())
    server.does("hears_speech_start", 0)
    server.does("hears_speech_stop", 0)
    server.does("finishes", server.model.waiting[0])
    prompt_end = {"event": {"promptEnd": {"promptName": PROMPT}}}
    assert shapes(server.told(*END, prompt_end)) == ["completionEnd"]
    assert server.model.choices() == []
    assert server.told({"event": {"sessionEnd": {}}}) == []
    assert (server.model.closed, server.model.close_code) == (True, 200)


def test_nova_counts_its_usage_beside_the_turns() -> None:
    assert shapes(nova().does("counts_usage")) == ["usageEvent"]


HISTORY = block("h1", interactive=False)
ANSWER = block("h2", interactive=False, role="ASSISTANT")
TEXT_START = block()[0]
OTHER_AUDIO: Json = json.loads(json.dumps(OPENING[5]).replace(CALLER, "other"))
REFUSED: dict[str, list[Json]] = {
    "Unable to parse input chunk": [{"session": {}}],
    "unknown field `responseCancel`": [{"event": {"responseCancel": {}}}],
    "exactly one event": [{"event": OPENING[0]["event"] | OPENING[1]["event"]}],
    "prompt_start is not expected": OPENING[1:2],
    "content_start is not expected": [OPENING[0], OPENING[5]],
    "No open prompt": [*OPENING[:2], {"event": {"promptEnd": {"promptName": "other"}}}],
    "session_start is not expected": [*OPENING, OPENING[0]],
    "system's text comes first.": [*OPENING[:2], OPENING[5]],
    "and once": [*OPENING[:5], OPENING[2]],
    "sent completely before": [*OPENING[:4], OPENING[5]],
    "before streaming audio": [*OPENING, HISTORY[0]],
    "begins with the user": [*OPENING[:5], ANSWER[0]],
    "roles alternate": [*OPENING[:5], *HISTORY, HISTORY[0]],
    "audio is one content": [*OPENING, OTHER_AUDIO],
    "configuration of AUDIO content is missing": [*OPENING, *block("a", type="AUDIO")[:1]],
    "text content is open": [*OPENING, TEXT_START, heard()],
    "is AUDIO": [*OPENING, {"event": {"textInput": heard()["event"]["audioInput"]}}],
    "No open content": [*OPENING, block()[1]],
    "open already": [*OPENING, TEXT_START, TEXT_START],
    "no base64": [*OPENING, heard("!")],
    "still open": [*OPENING, {"event": {"promptEnd": {"promptName": PROMPT}}}],
}


@pytest.mark.parametrize("case", REFUSED)
def test_nova_ends_the_stream_on_a_breach_of_the_order(case: str) -> None:
    """The last message is one, and for this reason; exception and status are those of the service model."""
    *good, bad = REFUSED[case]
    server = Server("nova_sonic", NovaSonicServer())
    server.told(*good)
    assert not server.model.closed
    assert server.told(bad) == []
    name, _, reason = server.model.close_reason.partition(": ")
    error = service().output_shape.members["body"].members[name[0].lower() + name[1:]]
    status = error.metadata["error"]["httpStatusCode"]
    assert (server.model.closed, server.model.close_code) == (True, status)
    assert case in reason


def test_nova_takes_a_history_before_the_audio() -> None:
    server = Server("nova_sonic", NovaSonicServer())
    said = server.told(*OPENING[:5], *HISTORY, *ANSWER, OPENING[5], heard(), *block(), heard())
    assert (shapes(said), server.model.waiting) == (["completionStart"], ["resp_1"])


def test_nova_s_client_messages_fit_a_frame_and_are_those_of_the_adapter() -> None:
    """What the table's adapter writes, the model takes."""
    written: list[bytes] = []
    adapter = adapters.provider("nova_sonic")
    asks = next(iter(adapter.audio.values())).asks
    written += adapter.configure("op", asks)
    server = NovaSonicServer()
    for each in written:
        assert len(each) <= frame("input").metadata["max"]
        server.receive(each, 0)
    assert (server.ready, server.closed) == (True, False)
