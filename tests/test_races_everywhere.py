"""What may happen to any provider on any carrier: R01, R09, R18, R20, R82 on each that answers turn after turn.

OpenAI's own are told at length in the other modules.
"""

from collections.abc import Iterator

import pytest

from bargein import adapters
from bargein.runtime.errors import UsageError

from .races import race
from .scene_peers import audio_of
from .scene_turns import Turns, both_engines

pytestmark = both_engines

PROVIDERS = ("gemini", "ultravox", "phonic", "nova_sonic", "elevenlabs", "deepgram")
CARRIERS = ("twilio", "telnyx", "signalwire", "plivo", "jambonz", "vonage", "browser")


def _pairs() -> Iterator[tuple[str, str]]:
    for provider in PROVIDERS:
        for carrier in CARRIERS:
            try:
                audio_of(provider, carrier)
            except UsageError:
                continue
            yield provider, carrier


PAIRS = list(_pairs())
pairs = pytest.mark.parametrize(("provider", "carrier"), PAIRS, ids=map("-".join, PAIRS))


def stops(call: Turns) -> None:
    """Whatever this provider is told when a turn is stopped, it is told once; then nothing more."""
    told = ["cancel"] * (call.provider.can["cancel"] == "by_new_input" and not automatic(call))
    call.does("clear", *told)


def automatic(call: Turns) -> bool:
    """Gemini has no cancel where it hears the caller by itself."""
    return call.provider.name == "gemini"


def pays(call: Turns) -> None:
    """Where what stops a turn is answered, that answer comes now, and nobody hears it."""
    if call.provider.can["answers_cancel"] == "always":
        unasked = call.begins()
        call.speaks(unasked, 400)
        call.finishes(unasked)
        call.does()
        assert call.heard_of(unasked) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_has_a_carrier(engine: str, provider: str) -> None:
    assert any(provider == each for each, _ in PAIRS)


@pairs
@race("R01")
def test_r01_a_request_withdrawn_before_its_birth_has_no_living_child(
    engine: str, provider: str, carrier: str
) -> None:
    """Its answer comes all the same, for most have no cancel; not a millisecond of it is heard."""
    with Turns(engine, provider, carrier) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        call.does()
        call.resolves(ref, "interrupted")
        turn = call.begins(ref)
        call.unclaim()  # Ultravox is told when the turn shows itself
        call.speaks(turn, 700)
        call.finishes(turn)
        pays(call)
        call.waits_ms(1_500)
        assert call.heard_of(turn) == 0


@pairs
@race("R09")
def test_r09_an_answer_that_comes_too_late_is_not_spoken(
    engine: str, provider: str, carrier: str
) -> None:
    """The application has had its timeout, and the caller has moved on."""
    with Turns(engine, provider, carrier) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.waits_ms(adapters.provider(provider).timeouts_ms["created_ms"])
        call.resolves(ref, "timed_out")
        turn = call.begins(ref)
        call.unclaim()
        call.speaks(turn, 700)
        call.finishes(turn)
        pays(call)
        call.waits_ms(1_500)
        assert call.heard_of(turn) == 0


@pytest.mark.parametrize("finished", [True, False], ids=["generated", "generating"])
@pairs
@race("R18", "R20")
def test_r18_what_the_carrier_holds_is_cleared_and_what_is_under_way_is_fenced(
    engine: str, provider: str, carrier: str, finished: bool
) -> None:
    """R20: deltas that left the server before it was told, or that it sends because nobody can tell it."""
    with Turns(engine, provider, carrier) as call:
        reply = call.replies(1_200, finished=finished)
        call.hears_ms(400)
        call.interrupts()
        if finished and provider != "elevenlabs":  # whose segments have no end to go by
            call.does("clear")
        else:
            stops(call)
        if not finished:
            call.speaks(reply.response, 900)
            call.finishes(reply.response)
            call.does()
            pays(call)
        call.waits_ms(3_000)
        call.resolves(str(reply.ref), "interrupted")
        call.item_is(reply.item, "partial", 400)
        assert 400 <= call.heard_ms(reply.item) <= 420


@pairs
@race("R82")
def test_r82_a_socket_that_drops_in_the_middle_of_a_turn_leaves_nobody_waiting(
    engine: str, provider: str, carrier: str
) -> None:
    """One request is answered and one waits; both end, and the torso is not played out."""
    with Turns(engine, provider, carrier) as call:
        reply = call.replies(1_200, finished=False)
        waiting = call.requests()
        call.hears_ms(300)
        call.loses_provider()
        call.does("clear")
        for ref in (str(reply.ref), waiting):
            call.resolves(ref, "failed", "connection_lost")
        call.waits_ms(2_000)
        assert call.heard_ms(reply.item) <= 320


@pairs
def test_the_caller_who_hangs_up_ends_everything(engine: str, provider: str, carrier: str) -> None:
    """Nothing more is heard, nothing is asked, and the handle says what was."""
    with Turns(engine, provider, carrier) as call:
        reply = call.replies(1_200, finished=False)
        call.hears_ms(400)
        call.loses_carrier()
        call.unclaim()
        call.resolves(str(reply.ref), "interrupted")
        call.item_is(reply.item, "partial", 400)
