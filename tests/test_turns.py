"""The rules that servers without response ids share, one claim each, in the words of a dialect made for it."""

import json
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bargein.simulator.turns import (
    Bounds,
    By,
    Choice,
    Item,
    Refused,
    Remembered,
    Rules,
    Said,
    Turn,
    TurnServer,
    Wire,
)
from bargein.simulator.turns_facts import tells, tells_audio, tells_done


class Plain(TurnServer):
    """Every moment is one message that names it; audio is a binary frame."""

    __slots__ = ()
    explicit_begin = True
    can_refuse = True

    def _client(self, message: str | bytes, now_ms: int) -> Said:
        words = str(message).split()
        match words:
            case ["ask", text]:
                return self._asks(text)
            case ["cut", text]:
                return self._asks(text, interrupts=True)
            case ["stop"]:
                return self._interrupts("client")
            case ["result", call_id]:
                return self._say([{"says": "known" if self._has_result(call_id) else "unknown"}])
        raise Refused("not understood", code=1003)

    def _begin(self, turn: Turn) -> list[Wire]:
        return [{"says": "begin"}]

    def _item_begin(self, turn: Turn, item: Item) -> list[Wire]:
        return [{"says": "item"}]

    def _words(self, turn: Turn, item: Item, text: str) -> list[Wire]:
        return [{"says": "words", "text": text}]

    def _audio(self, turn: Turn, item: Item, audio: bytes) -> list[Wire]:
        return [audio]

    def _item_end(self, turn: Turn, item: Item) -> list[Wire]:
        return [{"says": f"item ended {turn.state}"}]

    def _call(self, turn: Turn, item: Item) -> list[Wire]:
        return [{"says": "call", "call": item.call_id}]

    def _generation_end(self, turn: Turn) -> list[Wire]:
        return [{"says": "generated"}]

    def _turn_end(self, turn: Turn) -> list[Wire]:
        return [{"says": turn.state}]

    def _interruption(self, turn: Turn, by: By) -> list[Wire]:
        return [{"says": f"interrupted {turn.state} by {by}"}]

    def _void_calls(self, turn: Turn, calls: list[Item]) -> list[Wire]:
        return [{"says": "void", "calls": [call.call_id for call in calls]}]

    def _refusal(self, turn: Turn, reason: str) -> list[Wire]:
        return [{"says": reason}]

    def _speech_start(self, now_ms: int) -> list[Wire]:
        return [{"says": "caller starts"}]

    def _speech_stop(self, now_ms: int) -> list[Wire]:
        return [{"says": "caller stops"}]


class Wordless(Plain):
    """No message begins a turn or ends its generation."""

    __slots__ = ()
    explicit_begin = False
    says_generation_end = False

    def _begin(self, turn: Turn) -> list[Wire]:
        return []

    def _generation_end(self, turn: Turn) -> list[Wire]:
        return []


def plain(*messages: str, bounds: Bounds | None = None, **rules: object) -> Plain:
    """A server that was told these messages."""
    server = Plain(bytes_per_ms=8, rules=msgspec.convert(rules, Rules), bounds=bounds)
    for message in messages:
        server.receive(message, 0)
    return server


def spoken(said: Said) -> list[str]:
    """The messages by what they say; a frame is "audio"."""
    return ["audio" if isinstance(m, bytes) else json.loads(m)["says"] for m in said]


def speaking(ms: int = 200, **rules: object) -> Plain:
    """A server that has said so much in answer to a request."""
    server = Plain(bytes_per_ms=8, rules=msgspec.convert(rules, Rules))
    server.receive("ask a", 0)
    server.speaks("resp_1", ms, "")
    return server


def remembers(server: TurnServer, item: str = "item_1") -> Remembered:
    return next(each for each in server.memory() if each.item == item)


# One turn at a time


def test_a_turn_is_told_in_order() -> None:
    server = plain("ask a")
    said = (
        server.speaks("resp_1", 100) + server.speaks("resp_1", 100, "") + server.finishes("resp_1")
    )
    assert spoken(said) == [
        "begin", "item", "words", "audio", "audio", "item ended in_progress", "generated", "completed",
    ]  # fmt: skip


def test_requests_are_answered_one_after_another() -> None:
    """The second answer may begin only when the first turn is over, not when it is generated."""
    server = plain("ask a", "ask b")
    server.speaks("resp_1", 100)
    server.ends_generation("resp_1")
    with pytest.raises(ValueError, match="resp_2 is requested"):
        server.speaks("resp_2", 100)
    server.finishes("resp_1")
    assert spoken(server.speaks("resp_2", 100, "")) == ["begin", "item", "audio"]


def test_without_a_message_for_it_content_begins_a_turn() -> None:
    server = Wordless(bytes_per_ms=8)
    server.receive("ask a", 0)
    assert [each.act for each in server.choices()] == ["speaks"]
    said = server.speaks("resp_1", 100, "") + server.finishes("resp_1")
    assert spoken(said) == ["item", "audio", "item ended in_progress", "completed"]


def test_words_may_come_apart_from_their_audio() -> None:
    server = speaking()
    server.ends_generation("resp_1")
    assert spoken(server.says("resp_1", "late")) == ["words"]
    assert remembers(server).transcript == "late"


def test_a_turn_may_have_several_stretches_of_speech_each_with_its_own_voice() -> None:
    server = speaking(100)
    assert spoken(server.ends_item("resp_1")) == ["item ended in_progress"]
    with pytest.raises(ValueError, match="speaks nothing"):
        server.ends_item("resp_1")
    said = server.speaks("resp_1", 50, "")
    assert [(m.item, m.voice, m.generated_ms) for m in server.memory()] == [
        ("item_1", 1, 100),
        ("item_2", 2, 50),
    ]
    assert isinstance(said[-1], bytes)
    told = tells_audio(said[-1], 8)
    assert (told.response, told.item, told.voice, told.ms) == ("resp_1", "item_2", 2, 50)


def test_a_premature_end_leaves_the_end_of_the_generation_out() -> None:
    assert spoken(speaking().finishes("resp_1", premature=True)) == [
        "item ended in_progress",
        "completed",
    ]


def test_a_turn_may_end_without_content() -> None:
    assert spoken(plain("ask a").finishes("resp_1")) == ["begin", "generated", "completed"]


def test_a_silent_death_gives_the_floor_to_the_next_and_says_nothing() -> None:
    server = speaking()
    server.receive("ask b", 0)
    assert server.dies("resp_1") == []
    assert spoken(server.begins()) == ["begin"]
    assert remembers(server).remembered_ms == 200


def test_a_death_before_the_begin_leaves_no_trace() -> None:
    server = plain("ask a")
    server.dies("resp_1")
    assert (server.responses, server.memory()) == ({}, [])


def test_a_refused_request_is_no_turn() -> None:
    server = plain("ask a")
    assert spoken(server.refuses(None, "no")) == ["no"]
    assert not server.responses


def test_a_message_the_server_does_not_take_closes_the_socket() -> None:
    server = plain("ask a")
    assert server.receive("nonsense", 0) == []
    assert (server.closed, server.close_code, server.close_reason) == (True, 1003, "not understood")
    assert (server.receive("ask b", 0), server.choices(), len(server.responses)) == ([], [], 1)


# Interruption


def test_the_client_interrupts_and_the_end_comes_after_late_audio() -> None:
    server = speaking()
    assert spoken(server.receive("stop", 0)) == ["interrupted in_progress by client"]
    assert spoken(server.receive("stop", 0)) == []
    assert spoken(server.trailing_delta("resp_1")) == ["audio"]
    assert spoken(server.finishes("resp_1")) == ["item ended interrupted", "cancelled"]


def test_a_request_that_interrupts_is_answered_after_the_end_of_what_it_stopped() -> None:
    server = speaking()
    assert spoken(server.receive("cut b", 0)) == ["interrupted in_progress by client"]
    with pytest.raises(ValueError, match="resp_2 is requested"):
        server.begins("resp_2")
    server.finishes("resp_1")
    assert spoken(server.begins("resp_2")) == ["begin"]


def test_what_is_spoken_of_a_stopped_turn_is_late_audio_and_of_others_there_is_none() -> None:
    server = speaking()
    with pytest.raises(ValueError, match="no trailing audio"):
        server.trailing_delta("resp_1")
    server.receive("stop", 0)
    assert spoken(server.speaks("resp_1", 100)) == ["audio"]
    assert server.responses["resp_1"].trailing == 1


def test_a_generated_turn_can_be_interrupted_until_its_end() -> None:
    server = speaking()
    server.ends_generation("resp_1")
    assert spoken(server.receive("stop", 0)) == ["interrupted generated by client"]
    assert spoken(server.finishes("resp_1")) == ["cancelled"]


def test_what_is_over_cannot_be_stopped() -> None:
    server = speaking()
    server.finishes("resp_1")
    assert server.receive("stop", 0) == []


@pytest.mark.parametrize(
    ("pending", "said", "left"),
    [
        ("kept", [], ["resp_1", "resp_2"]),
        ("dropped", [], []),
        ("ended", ["interrupted requested by client"], ["resp_1"]),
    ],
)
def test_what_an_interruption_does_to_requests_not_begun(
    pending: str, said: list[str], left: list[str]
) -> None:
    """Only the oldest can be under way already; of the others nobody hears."""
    server = plain("ask a", "ask b", pending=pending)
    assert spoken(server.receive("stop", 0)) == said
    assert list(server.responses) == left


def test_a_turn_given_up_aloud_ends_without_content() -> None:
    server = plain("ask a", "cut b", pending="ended")
    assert Choice("trailing_delta", "resp_1") not in server.choices()
    assert spoken(server.finishes("resp_1")) == ["cancelled"]
    assert server.waiting == ["resp_2"]


def test_a_second_request_may_supersede_the_first() -> None:
    assert [t.request for t in plain("ask a", "ask b").responses.values()] == ["a", "b"]
    server = plain("ask a", "ask b", second_request="supersedes")
    assert [t.request for t in server.responses.values()] == ["b"]


# The caller


def test_the_caller_interrupts_and_is_answered() -> None:
    server = speaking()
    assert spoken(server.hears_speech_start(0)) == [
        "caller starts",
        "interrupted in_progress by caller",
    ]
    assert server.hears_speech_start(0) == []
    server.finishes("resp_1")
    assert spoken(server.hears_speech_stop(0)) == ["caller stops"]
    assert server.hears_speech_stop(0) == []
    assert [(t.by, t.request) for t in server.responses.values()][1:] == [("caller", "")]


def test_where_speech_does_not_interrupt_the_caller_is_answered_later() -> None:
    server = speaking(speech_interrupts=False)
    assert spoken(server.hears_speech_start(0)) == ["caller starts"]
    server.hears_speech_stop(0)
    assert [t.state for t in server.responses.values()] == ["in_progress", "requested"]


def test_where_the_server_does_not_answer_speech_it_only_listens() -> None:
    server = plain(answers_speech=False)
    server.hears_speech_start(0)
    server.hears_speech_stop(0)
    assert not server.responses


def test_the_caller_may_interrupt_what_is_over_once_for_the_client_may_be_playing_it() -> None:
    server = speaking()
    server.finishes("resp_1")
    said = server.hears_speech_start(0, playing=True)
    assert spoken(said) == ["caller starts", "interrupted completed by caller"]
    server.hears_speech_stop(0)
    server.dies("resp_2")
    assert spoken(server.hears_speech_start(0, playing=True)) == ["caller starts"]


@pytest.mark.parametrize("rules", [{"late_notice": False}, {}])
def test_no_late_notice_without_the_rule_or_without_speech(rules: dict[str, bool]) -> None:
    server = speaking(**rules) if rules else plain("ask a")
    server.finishes("resp_1")
    assert spoken(server.hears_speech_start(0, playing=True)) == ["caller starts"]


def test_the_server_may_speak_up_though_nobody_asked() -> None:
    server = plain()
    server.speaks_up()
    assert spoken(server.speaks("resp_1", 100, "")) == ["begin", "item", "audio"]
    assert server.responses["resp_1"].by == "server"


# Memory


@pytest.mark.parametrize(
    ("memory", "remembered_ms"), [("generated", 300), ("sent", 200), ("own", 120)]
)
def test_what_is_remembered_of_an_interrupted_turn(
    memory: Literal["generated", "sent", "own"], remembered_ms: int
) -> None:
    server = speaking(memory=memory, reckons_ms=120)
    server.receive("stop", 0)
    server.trailing_delta("resp_1", 100)
    assert (remembers(server).generated_ms, remembers(server).remembered_ms) == (300, remembered_ms)


@pytest.mark.parametrize("memory", ["generated", "sent", "own"])
def test_what_nobody_interrupted_is_remembered_whole(
    memory: Literal["generated", "sent", "own"],
) -> None:
    server = speaking(memory=memory)
    server.finishes("resp_1")
    assert remembers(server).remembered_ms == 200


def test_the_server_s_own_reckoning_runs_through_the_items_of_a_turn() -> None:
    server = speaking(100, memory="own")
    server.ends_item("resp_1")
    server.speaks("resp_1", 100)
    server.finishes("resp_1")
    server.hears_speech_start(0, playing=True, heard_ms=130)
    assert [m.remembered_ms for m in server.memory()] == [100, 30]


# Function calls


def test_a_turn_with_a_function_call_waits_for_its_result() -> None:
    server = plain("ask a")
    said = server.calls("resp_1")
    assert spoken(said) == ["begin", "call"]
    with pytest.raises(ValueError, match="waits for the result"):
        server.speaks("resp_1", 100)
    assert (server.choices(), server.owes) == ([], False)
    assert spoken(server.receive("result call_1", 0)) == ["known"]
    assert spoken(server.receive("result call_1", 0)) == ["unknown"]
    assert spoken(server.speaks("resp_1", 100, "")) == ["item", "audio"]


def test_an_interruption_makes_function_calls_void() -> None:
    server = plain("ask a")
    server.calls("resp_1")
    assert spoken(server.receive("stop", 0)) == ["interrupted in_progress by client", "void"]
    assert spoken(server.receive("result call_1", 0)) == ["unknown"]


# What an explorer needs


def test_the_truth_goes_along_only_while_the_explorer_looks_on() -> None:
    (message,) = plain("ask a").begins()
    assert json.loads(message) == {"says": "begin"}
    server = plain("ask a", bounds=Bounds())
    said = [json.loads(m) for m in (*server.begins(), *server.says("resp_1", "x")[1:])]
    begun, words = said
    told = tells("created", begun)
    assert (told.response, told.item, told.request) == ("resp_1", "", "a")
    assert tells("text", words).item == "item_1"
    (stopped,) = [json.loads(m) for m in server.receive("stop", 0)]
    assert tells("interrupted", stopped).status == "client"
    ended = json.loads(server.finishes("resp_1")[-1])
    assert tells_done(ended).status == "cancelled"
    assert tells_done(begun).status == "completed"


def test_a_forgotten_turn_frees_its_names() -> None:
    server = speaking()
    server.finishes("resp_1")
    server.receive("ask b", 0)
    server.speaks("resp_2", 100)
    assert server.latest_item == "item_101"
    server.finishes("resp_2")
    server.forget_item("item_1")
    server.forget("resp_1")
    server.receive("ask c", 0)
    server.speaks("resp_1", 100)
    assert [(m.item, m.voice) for m in server.memory()] == [("item_101", 101), ("item_1", 1)]


def test_a_tidied_server_does_not_know_how_a_turn_ended() -> None:
    stopped, ended = speaking(), speaking()
    stopped.receive("stop", 0)
    stopped.hears_speech_start(0)
    for server in (stopped, ended):
        server.finishes("resp_1")
    ended.hears_speech_start(0, playing=True)
    assert stopped.key() != ended.key()
    for server in (stopped, ended):
        server.tidy()
    assert stopped.key() == ended.key()


BOUNDS = Bounds(
    items=2,
    kinds=("message", "function_call"),
    empty_turns=True,
    premature_ends=True,
    silent_begins=True,
    deaths=True,
    refusals=True,
    spontaneous=1,
    speech_turns=1,
    drops=True,
)


def test_bounds_say_how_far_choices_go() -> None:
    """Each kind of choice is met within wide bounds, and only what must go on within the default ones."""
    assert _met(BOUNDS, "stop") == {
        "begins", "speaks", "trailing_delta", "finishes", "hears_speech_start", "hears_speech_stop", "speaks_up",
        "loses_connection", "calls", "ends_item", "ends_generation", "refuses", "dies",
    }  # fmt: skip
    assert _met(Bounds(), "stop") == {
        "begins",
        "speaks",
        "trailing_delta",
        "ends_generation",
        "finishes",
    }
    assert "trailing_delta" not in _met(Bounds(trailing_deltas=0), "stop")


def _met(bounds: Bounds, message: str) -> set[str]:
    start = plain("ask a", bounds=bounds, waits_for_tools=False)
    found: set[str] = set()
    seen = {start.key()}
    left = [start]
    while left:
        at = left.pop()
        choices = at.choices()
        found |= {each.act for each in choices}
        acts: list[Choice | str] = [*choices, message]
        for each in acts:
            new = at.copy()
            _does(new, each)
            for turn in list(new.responses.values()):
                if turn.done:
                    new.forget(turn.id)
            if new.key() not in seen:
                seen.add(new.key())
                left.append(new)
        assert len(seen) < 10_000, "the bounds do not bound"
    return found


def test_the_late_notice_is_a_choice_of_its_own() -> None:
    server = plain("ask a", bounds=Bounds(speech_turns=1))
    server.speaks("resp_1", 100)
    assert Choice("hears_speech_start", how="playing") not in server.choices()
    server.finishes("resp_1")
    choices = server.choices()
    assert choices == [Choice("hears_speech_start"), Choice("hears_speech_start", how="playing")]
    assert spoken(server.take(choices[1], 0)) == [
        "caller starts",
        "interrupted completed by caller",
    ]


def test_the_choice_that_is_not_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of the choices"):
        plain().take(Choice("sings"), 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_a_copy_does_the_same_and_turns_never_overlap(data: st.DataObject) -> None:
    """One turn speaks at a time, turns end in the order in which they were accepted, and no more is remembered than
    was made."""
    rules = Rules(
        pending=data.draw(st.sampled_from(["kept", "dropped", "ended"])),
        second_request=data.draw(st.sampled_from(["queued", "supersedes"])),
        memory=data.draw(st.sampled_from(["generated", "sent", "own"])),
        waits_for_tools=data.draw(st.booleans()),
        reckons_ms=50,
    )
    server = Plain(bytes_per_ms=8, rules=rules, bounds=BOUNDS)
    for _ in range(data.draw(st.integers(0, 30))):
        acts: list[Choice | str] = [*server.choices(), "ask a", "cut b", "stop", "result call_1"]
        act = data.draw(st.sampled_from([a for a in acts if "loses_connection" not in a]))
        twin = server.copy()
        said, again = (_does(each, act) for each in (server, twin))
        assert (said, server.key()) == (again, twin.key())
        active = [turn for turn in server.responses.values() if turn.active]
        assert active in ([], [server.head])
        over = [turn.done for turn in server.responses.values()]
        assert over == sorted(over, reverse=True)
        assert all(m.remembered_ms <= m.generated_ms for m in server.memory())


def _does(server: Plain, act: Choice | str) -> Said:
    return server.receive(act, 0) if isinstance(act, str) else server.take(act, 0)
