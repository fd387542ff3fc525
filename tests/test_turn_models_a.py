"""The models of the servers of Ultravox, Phonic and Nova Sonic: what holds of all, one claim each.

Every message on the way is judged (`turn_models.py`).
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bargein import adapters
from bargein.simulator.facts import Asked, Told
from bargein.simulator.nova_sonic import NovaSonicRules
from bargein.simulator.plans import Plan
from bargein.simulator.state import Limits
from bargein.simulator.turn_servers import SERVERS_A, entry
from bargein.simulator.turns_spoken import spoken

from .turn_models import ASKS, BARE, JUDGES, NAMES, SERVERS, block, nova, plan


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_the_server_does_its_words_are_its_own(name: str, data: st.DataObject) -> None:
    """Every message passes the judge, the adapter of the table reads it, a copy does the same, and of audio that is
    told nothing is lost."""
    server = SERVERS_A[name]
    model, said = server.make(plan(deaths=True, refusals=True, empty_turns=True))
    voices: dict[int, int] = {}
    for number in range(data.draw(st.integers(5, 40))):
        found = model.choices()
        twin = model.copy()
        assert twin.key() == model.key() and hash(twin.key()) == hash(model.key())
        if not found or data.draw(st.booleans()):
            asks = block(f"q{number}") if name == "nova_sonic" else ASKS[name]
            more = [each for ask in asks for each in model.receive(json.dumps(ask), 0)]
            assert more == [each for ask in asks for each in twin.receive(json.dumps(ask), 0)]
        else:
            choice = data.draw(st.sampled_from(found))
            more = model.take(choice, 0)
            assert more == twin.take(choice, 0)
        assert twin.key() == model.key() and not model.closed
        said += more
    for each in said:
        JUDGES[name](each)
        adapters.provider(name).decode(each)
        for fact in server.told_all(each):
            if fact.what == "audio":
                voices[fact.voice] = voices.get(fact.voice, 0) + fact.ms
        assert server.told(each) == (server.told_all(each) or (None,))[-1]
    made = {x.voice: x.generated_ms for x in model.memory() if x.generated_ms}
    assert made.items() <= voices.items()


KEYS = st.sampled_from(["type", "event", "text", "audio"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(KEYS, inner)
)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(raw=st.one_of(st.binary(), st.text(), JSON.map(json.dumps)))
def test_nothing_a_client_writes_breaks_the_model(name: str, raw: str | bytes) -> None:
    server = SERVERS[name]()
    assert isinstance(server.model.receive(raw, 0), list)
    assert SERVERS_A[name].asked(raw).what == "other"


@pytest.mark.parametrize("name", NAMES)
def test_while_the_explorer_looks_on_the_request_of_a_turn_is_told(name: str) -> None:
    server = SERVERS_A[name]
    model, _ = server.make(BARE)
    for each in ASKS[name]:
        model.receive(json.dumps(each), 0)
    request = model.responses["resp_1"].request
    asked = [server.asked(json.dumps(each)) for each in ASKS[name]]
    assert [each for each in asked if each.what == "create"] == [Asked("create", request=request)]
    told = [fact for each in model.speaks("resp_1", 100) for fact in server.told_all(each)]
    assert told[-1] == Told("audio", "resp_1", "item_1", told[-1].request, voice=1, ms=100)
    assert {fact.request for fact in told if fact.what != "audio"} == {request}


@pytest.mark.parametrize("name", NAMES)
def test_the_worlds_wish_for_bounds_rules_and_a_format(name: str) -> None:
    every = Plan(name="x", says="", limits=Limits(), vad="off", rules={"memory": "sent"})
    made = entry(name, "pcm16").make(every)[0]
    assert (made.bytes_per_ms, made.rules.memory, made.ready) == (48, "sent", True)
    assert (made.bounds.speech_turns, made.bounds.words, made.bounds.delta_ms) == (0, False, 100)
    assert not made.rules.speech_interrupts
    with pytest.raises(ValueError, match="does not speak"):
        entry(name, "opus")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_over_can_be_forgotten(name: str) -> None:
    server = SERVERS[name]()
    start = server.model.key()
    server.does("finishes", server.speaking())
    assert server.model.key() != start
    server.model.tidy()
    server.model.forget("resp_1")
    assert server.model.memory() == []
    assert server.speaking() == "resp_1"


def test_of_a_part_of_the_audio_a_part_of_the_words_was_spoken() -> None:
    server = nova(memory="sent")
    name = server.speaking(100, "0123456789")
    item = server.model.items[server.model.latest_item]
    assert spoken([item]) == "0123456789"
    server.does("hears_speech_start", 0)
    server.model.rules = NovaSonicRules()
    server.model._cut_memory(server.model.responses[name], 40)
    assert spoken(server.model.items.values()) == "0123"
