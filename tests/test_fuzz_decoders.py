"""Nothing a peer says can hurt: not the decoders, not a session in the middle of a call, not the machine's memory.

Every provider and transport of the registry is tried, with mutants of its real messages (`fuzzing.py`), against calls
that have their hands full (`soundness.py`). To search longer than CI does, with new cases every time:

    BARGEIN_FUZZ=100 pytest tests/test_fuzz_decoders.py

A failure prints the shortest list of messages that shows it, and, of a longer search, a line to repeat it with.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bargein import adapters
from bargein.runtime import events as ev
from bargein.runtime.lifecycle import REMEMBERED_IDS
from bargein.runtime.session import Session, Settings

from .fuzzing import (
    FIRST,
    PAIRS,
    PEERS,
    TIMES,
    Ids,
    Message,
    Side,
    adapter_of,
    effort,
    mutant,
    says,
    seeds,
    telling,
)
from .scene import Scene, both_engines
from .soundness import SPEECH_MS, Fed, live, misshapen, names

every_peer = pytest.mark.parametrize(
    ("side", "name"), [(side, name) for side, name in PEERS if seeds(side, name)]
)
every_pair = pytest.mark.parametrize(("provider", "transport"), PAIRS)

Step = tuple[str, Any]
"""What is done to a session: (side, message), or what the application and the clock do."""


def mutants(
    side: Side, name: str, ids: Ids | None = None, of: Sequence[str] = ()
) -> st.SearchStrategy[Message]:
    """Messages of one peer gone wrong. Drawn as a number: that is quick, and lists of them shrink well."""
    real = of or seeds(side, name)
    return st.builds(
        lambda message, number: mutant(Random(number), side, name, ids or {}, message),
        st.sampled_from(real),
        st.integers(0, 2**16),
    )


@st.composite
def inputs(draw: st.DrawFn, provider: str, transport: str) -> list[Step]:
    """What may happen to a call, mostly what the two peers say.

    Each example makes do with a few kinds of messages and a few ids, so that those meet again and again.
    """
    known = names(middle(provider, transport, "table").session)
    ids = {
        field: draw(st.lists(st.sampled_from(some), min_size=1, max_size=3, unique=True))
        for field, some in known.items()
    }
    kinds = draw(st.lists(st.sampled_from(telling("provider", provider)), min_size=3, max_size=9))
    theirs = mutants("provider", provider, ids, kinds)
    happens: list[st.SearchStrategy[Step]] = [
        st.tuples(st.just("provider"), theirs),
        st.tuples(st.just("provider"), theirs),
        st.tuples(st.just("provider"), theirs),
        st.tuples(st.just("transport"), mutants("transport", transport, ids)),
        st.tuples(st.just("waits"), st.sampled_from([0, 20, 400, 5_000, 30_000])),
        st.tuples(st.just("interrupts"), st.none() | st.sampled_from(ids["response"])),
        st.tuples(st.just("requests"), st.none()),
    ]
    some = st.lists(st.one_of(happens), max_size=12)
    return list(chain.from_iterable(draw(st.lists(some, max_size=12))))


@cache
def _middle(provider: str, transport: str, engine: str) -> Fed:
    return live(provider, transport, engine)


def middle(provider: str, transport: str, engine: str) -> Fed:
    """A call in the middle, of one's own."""
    return _middle(provider, transport, engine).copy()


def feed(call: Fed, steps: list[Step]) -> None:
    """Do it; `Fed` looks after every step."""
    for what, value in steps:
        if what == "waits":
            call.waits_ms(value)
        elif what == "interrupts":
            call.interrupts(value)
        elif what == "requests":
            call.requests()
        else:
            call.hears("provider" if what == "provider" else "transport", value)


# -- The decoders -----------------------------------------------------------------------------------


@every_peer
def test_every_kind_an_adapter_reads_is_mutated(side: Side, name: str) -> None:
    """Or the others here would say little: each event it can mean is meant by a real message."""
    adapter = adapter_of(side, name)
    meant = {type(event) for seed in seeds(side, name) for event in adapter.decode(seed)}
    heard = ev.Audio if side == "provider" else ev.CallerAudio
    elsewhere = adapter.can.get("heard") == "server"
    assert adapter.bare_audio or elsewhere or heard in meant
    dice, found = Random(0), set[type[ev.Event]]()
    for _ in range(5_000):
        wrong = mutant(dice, side, name, {}, dice.choice(seeds(side, name)))
        found |= {type(event) for event in adapter.decode(wrong)}
    assert found >= meant | {ev.Malformed, ev.Unknown}


@every_peer
def test_a_decoder_never_raises_and_its_events_are_of_their_declared_types(
    side: Side, name: str
) -> None:
    """And bytes mean what the same text means: a socket library may hand over either."""
    adapter = adapter_of(side, name)

    @effort(1_500 if name in FIRST else 200)
    @given(mutants(side, name))
    def holds(message: Message) -> None:
        events = adapter.decode(message)
        assert events
        for event in events:
            assert type(event) in ev.Event.__subclasses__()
            assert not misshapen(event)
        kind = adapter.kind(message)
        assert kind is None or type(kind) is str
        bare = adapter.bare_audio
        if not bare and isinstance(message, str) and (data := _utf8(message)) is not None:
            assert adapter.kind(data) == kind
            assert adapter.decode(data) == events

    holds()


def _utf8(message: str) -> bytes | None:
    try:
        return message.encode()
    except UnicodeEncodeError:
        return None


# -- The session ------------------------------------------------------------------------------------


@both_engines
@every_pair
def test_a_call_in_the_middle_survives_whatever_its_peers_say(
    provider: str, transport: str, engine: str
) -> None:
    """Nothing raises, `soundness.faults` finds nothing, and when both lines are lost every handle resolves, once."""

    @effort(few(200, provider, transport))
    @given(inputs(provider, transport))
    def holds(steps: list[Step]) -> None:
        call = middle(provider, transport, engine)
        feed(call, steps)
        ours = {f"{call.session.prefix}req_{n + 1}" for n in range(call.session.requests_made)}
        call.loses("provider")
        call.comes_to_rest()
        call.loses("transport")
        call.comes_to_rest()
        assert call.resolved.keys() >= ours
        assert _left(call) == {}

    holds()


@every_pair
def test_both_engines_do_the_same_whatever_the_peers_say(provider: str, transport: str) -> None:
    """The oracle of the table engine, off the beaten track too."""

    @effort(few(100, provider, transport))
    @given(inputs(provider, transport))
    def holds(steps: list[Step]) -> None:
        calls = [middle(provider, transport, engine) for engine in ("table", "transitions")]
        for call in calls:
            feed(call, steps)
        assert calls[0].session.key() == calls[1].session.key()
        assert calls[0].resolved == calls[1].resolved

    holds()


# -- Memory -----------------------------------------------------------------------------------------

TIME_MS = 100

WINDOW_MS = 4 * TIME_MS + 3 * SPEECH_MS
"""How long a message of a flood may be remembered: the response it began stalls, is told to stop, owes its last word,
and the answer to what that asks for; and what is to be heard waits until the speech before it has been."""

FLOOD = 20_000


def hasty() -> Settings:
    """Every deadline comes soon."""
    return Settings(
        created_ms=TIME_MS,
        stalled_ms=TIME_MS,
        settled_ms=TIME_MS,
        answer_ms=TIME_MS,
        hold_ms=TIME_MS,
        overdue_ms=TIME_MS,
    )


@both_engines
@every_pair
def test_a_flood_of_mutants_leaves_no_more_than_its_last_messages(
    provider: str, transport: str, engine: str
) -> None:
    """20,000 messages of both wires, 1 ms apart, each about somebody new; deadlines are all that bounds them."""
    flooded = Flooded(live(provider, transport, engine, hasty()))
    dice, peers = Random(2), _peers(provider, transport)
    for number in range(few(FLOOD, provider, transport)):
        side, name = dice.choice([*peers, peers[0]])
        ids = {field: [f"{field}_{number}"] for field in names(flooded.call.session)}
        message = mutant(dice, side, name, ids, dice.choice(telling(side, name)))
        if adapter_of(side, name).decode(message) != (ev.StreamEnded(),):
            flooded.takes(side, message)
    flooded.ebbs()


@every_pair
@pytest.mark.parametrize("of_one_response", [False, True])
def test_a_flood_of_one_kind_is_gone_when_its_deadlines_are(
    provider: str, transport: str, of_one_response: bool
) -> None:
    """Each kind of message that has a meaning, again and again: a new response each time, or all of the same one."""
    for side, name in _peers(provider, transport):
        adapter = adapter_of(side, name)
        for kind in {type(adapter.decode(seed)[0]): None for seed in telling(side, name)}:
            if kind in (ev.Unknown, ev.StreamEnded):
                continue
            flooded = Flooded(live(provider, transport, "table", hasty()))
            fields: dict[str, object] = {
                field: f"@{field}@" for field in ID_FIELDS & set(kind.__struct_fields__)
            }
            if of_one_response:
                fields.pop("response", None)
            fields |= {"audio": b"\x7f" * 160} if "audio" in kind.__struct_fields__ else {}
            try:
                real = says(adapter, kind, **fields)
            except LookupError:
                continue  # It is said together with something else, which has its turn.
            for number in range(few(min(FLOOD, 300 * TIMES), provider, transport)):
                message = real.replace("@", f"{number}") if isinstance(real, str) else real
                flooded.takes(side, message, bounded=not of_one_response)
            flooded.ebbs()


def few(times: int, provider: str, transport: str) -> int:
    """So many for the first pair, and fewer for each other: there are many."""
    return times if (provider, transport) == FIRST else times // 20


def _peers(provider: str, transport: str) -> list[tuple[Side, str]]:
    return [("provider", provider), ("transport", transport)]


ID_FIELDS = {"response", "item", "request", "op", "call", "mark", "stream"}


class Flooded:
    """A call under a flood of messages, one each millisecond, and what is left of them."""

    def __init__(self, call: Fed) -> None:
        self.call = call
        self.before = sum(_left(call).values())
        self.most = 0

    def takes(self, side: Side, message: Message, *, bounded: bool = True) -> None:
        """One more message, without the checks of `Fed`: there are many."""
        call, session = self.call, self.call.session
        call.now_ms += 1
        due_ms = session.next_deadline_ms
        if due_ms is not None and due_ms <= call.now_ms:
            call.looks_at(session.advance(call.now_ms))
        hear = session.provider_received if side == "provider" else session.transport_received
        call.looks_at(hear(message, call.now_ms))
        assert len(session.retired) <= REMEMBERED_IDS
        if bounded:
            self.most = max([self.most, *_left(call).values()])
            assert self.most <= self.before + WINDOW_MS, (call.now_ms, _left(call))

    def ebbs(self) -> None:
        """The peers are silent: what is left owes a last word that nobody waits for, and it is not much."""
        call = self.call
        call.comes_to_rest()
        left = list(call.session.responses.values())
        assert all(each.verdict is not None and not each.holds_slot for each in left)
        assert len([each for each in left if each.unborn]) <= call.session.requests_made
        assert len([each for each in left if not each.unborn]) <= REMEMBERED_IDS
        assert _left(call).keys() <= {"responses", "by_server", "items"}
        assert not call.session.owed
        call.loses("provider")
        call.loses("transport")
        assert _left(call) == {}


def _left(call: Fed) -> dict[str, int]:
    session = call.session
    kept: dict[str, Any] = {
        "responses": session.responses,
        "by_server": session.by_server,
        "items": session.items,
        "operations": session.operations,
        "gate": session.gate,
        "queue": session.playout.queue,
        "marks": session.playout.marks,
    }
    return {name: len(value) for name, value in kept.items() if value}


# -- What it found ----------------------------------------------------------------------------------


def started(engine: str) -> Fed:
    """OpenAI and Twilio, the stream open."""
    call = Fed(Session(adapters.provider("openai"), adapters.transport("twilio"), engine=engine))
    call.carrier(ev.StreamStarted, stream="stream")
    return call


SPEECH = b"\x7f" * 1_000


@both_engines
def test_a_response_whose_id_is_empty_is_one_response_and_not_a_new_one_each_time(
    engine: str,
) -> None:
    """An empty id names nobody. Two responses that got one name for it brought the session down when they ended."""
    call = started(engine)
    call.server(ev.Audio, response="", item="a", audio=SPEECH)
    call.server(ev.Audio, response="", item="b", audio=SPEECH)
    call.server(ev.Finished, response="", status="completed")
    call.server(ev.Audio, response="", item="c", audio=SPEECH)
    call.loses("transport")
    call.loses("provider")
    assert _left(call) == {}


@both_engines
def test_a_name_we_make_up_is_nobody_s_already(engine: str) -> None:
    """A server may call its responses as we call its nameless ones."""
    call = started(engine)
    call.server(ev.Created, response="turn_1")
    call.server(ev.Created, response="turn_2")
    call.server(ev.Created, response="")
    call.server(ev.Created, response="")
    assert len(call.session.by_server) == len(call.session.responses) == 4


@both_engines
def test_audio_that_names_the_item_of_another_response_leaves_that_item_alone(engine: str) -> None:
    """It was counted as received and kept by nobody; what came next for that item had no place in the queue."""
    call = started(engine)
    call.server(ev.Created, response="silenced")
    call.interrupts()
    call.server(ev.Created, response="other")
    call.server(ev.Announced, response="other", item="a")
    call.server(ev.Audio, response="silenced", item="a", audio=SPEECH)
    call.server(ev.Audio, response="other", item="a", audio=SPEECH)
    assert call.session.items["a"].received_bytes == len(SPEECH)


@both_engines
@pytest.mark.parametrize("taken", ["over", "living"])
def test_a_request_taken_for_answered_is_not_given_an_id_that_is_taken(
    engine: str, taken: str
) -> None:
    """Its own birth comes late and bears the id of a response we know: then it was no birth, and the request still
    ends. It lost what had been taken for its answer, got nothing, and waited for ever, without a deadline.
    """
    call = started(engine)
    call.server(ev.Created, response=taken, request="the server's own")
    if taken == "over":
        call.server(ev.Finished, response=taken, request="the server's own", status="completed")
    ref = call.requests(beside=True)
    call.server(ev.Audio, response="its", item="a", audio=SPEECH)  # Its created event was lost.
    call.server(ev.Finished, response="its", request="nobody's", status="completed")
    call.server(ev.Created, response=taken, request=ref)
    call.comes_to_rest()
    assert call.resolved[ref].verdict == "completed"


@both_engines
def test_responses_that_never_end_are_forgotten_in_the_end(engine: str) -> None:
    """They stay fenced, but not all of them for ever: a server could fill the memory with such responses."""
    call = started(engine)
    for number in range(REMEMBERED_IDS + 9):
        call.server(ev.Created, response=f"endless {number}", request="the server's own")
        call.comes_to_rest()
    assert len(call.session.responses) <= REMEMBERED_IDS
    call.server(ev.Audio, response="endless 0", item="a", audio=SPEECH)
    assert not call.session.items


@both_engines
def test_a_response_that_never_ends_is_over_when_the_line_is_lost(engine: str) -> None:
    """Its speech was heard to the end; nobody will say a last word about it any more (I13)."""
    call = started(engine)
    call.server(ev.Audio, response="endless", item="a", audio=SPEECH)
    call.comes_to_rest()
    call.loses("provider")
    assert _left(call) == {}


@both_engines
@pytest.mark.parametrize("ends", [True, False])
def test_what_was_not_heard_of_a_response_given_up_is_deleted_when_it_is_interrupted(
    engine: str, ends: bool
) -> None:
    """I8: its speech outlasts all deadlines; an item behind it was to be deleted at a last word nobody waited for."""
    with Scene(engine, turn_detection=None) as call:
        reply = call.replies(30_000, 1_000, finished=False)
        call.waits_ms(25_000)
        call.does(f"cancel {reply.response}")
        call.interrupts()
        call.does("clear", f"truncate {reply.items[0]} 25000")
        if ends:
            call.finishes(reply.response)
        else:
            call.waits_ms(5_000)
        call.does(f"delete {reply.items[1]}")
