"""GEN≠HEARD and OFFSET at the sink: what it holds, and by which clock. facts/races.md R29, R30, R33, R42, R55-R60."""

import base64
import json
from typing import Literal

import pytest

from bargein.runtime.session import Settings

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines

# -- what the sink holds -------------------------------------------------------------------------------


@pytest.mark.parametrize("sounding", [True, False], ids=["sounding", "silent"])
@pytest.mark.parametrize("generating", [True, False], ids=["generating", "generated"])
@race("R29")
def test_r29_what_is_generated_and_what_sounds_are_two_questions(
    engine: str, generating: bool, sounding: bool
) -> None:
    """A cancel for the first, clear and truncate for the second: Azure/azure-sdk-for-python#48965 asked only one."""
    with Scene(engine) as call:
        reply = call.replies(900, finished=not generating)
        call.hears_ms(500 if sounding else 900)
        call.interrupts()
        cut = ["clear"] * sounding
        cut += [f"cancel {reply.response}"] * generating
        if sounding or generating:  # An item that may still grow is not heard whole.
            cut.append(f"truncate {reply.item} {500 if sounding else 900}")
        call.does(*cut)
        assert call.heard_ms(reply.item) == (500 if sounding else 900)


@race("R29")
def test_r29_a_loudspeaker_is_emptied_by_the_vad_although_no_response_is_active(
    engine: str,
) -> None:
    """The server has nothing to cancel either, so nobody's cancel is on the wire."""
    with Scene(engine) as call:
        reply = call.replies(4_000)
        call.hears_ms(1_500)
        call.caller_speaks()
        call.does("clear", f"truncate {reply.item} 1500")
        call.waits_ms(2_500)
        assert call.heard_ms(reply.item) == 1_500


@race("R30")
def test_r30_an_agent_speaks_until_its_speech_is_over_not_until_the_last_push(engine: str) -> None:
    """Half a minute is handed over at once; eight seconds later it is a barge-in, and the answer waits for nothing.

    PatterAI/Patter#164 took it for a calm next turn and queued the answer behind the old speech.
    """
    with Scene(engine) as call:
        story = call.replies(28_000)
        call.hears_ms(8_000)
        call.is_open(str(story.ref))
        call.caller_speaks()
        call.does("clear", f"truncate {story.item} 8000")
        call.caller_stops()
        response = call.creates()
        item = call.announces(response)
        call.speaks(item, 600)
        call.finishes(response)
        call.hears_ms(600)
        call.item_is(item, "full", 600)
        assert call.heard_ms(story.item) == 8_000


@race("R33")
def test_r33_every_place_that_holds_audio_is_emptied(engine: str) -> None:
    """What the carrier has, what waits here for its turn, what is under way: each is told, the carrier once.

    The same bug in one sink after another: cloudflare/agents#2261, pipecat#366, pipecat#4151.
    """
    with Scene(engine) as call:
        main = call.replies(60_000, finished=False)
        beside = call.replies(2_000, beside=True)
        call.hears_ms(1_000)
        with call.held("from_server"):
            call.speaks(main.item, 5_000)
            call.interrupts()
            call.does(
                "clear",
                f"cancel {main.response}",
                f"truncate {main.item} 1000",
                f"delete {beside.item}",
            )
        assert call.carrier.buffer.buffered_ms == 0
        call.finishes(main.response)
        call.waits_ms(70_000)
        assert call.heard_ms(main.item) == 1_000
        assert call.heard_ms(beside.item) == 0


@pytest.mark.parametrize("started", [True, False], ids=["at the carrier", "held here"])
@pytest.mark.parametrize("barge_in", ["auto", "never"])
@race("R42")
def test_r42_a_barge_in_that_is_refused_says_nothing_to_anybody(
    engine: str, barge_in: Literal["auto", "never"], started: bool
) -> None:
    """First the decision, then the deed: vellum-assistant#37061 cleared a greeting nobody had heard yet."""
    with Scene(
        engine,
        settings=Settings(barge_in=barge_in),
        turn_detection={"interrupt_response": False, "create_response": False},
        started=started,
    ) as call:
        greeting = call.replies(1_500)
        call.caller_speaks()
        call.does()
        call.caller_stops()
        call.does()
        if not started:
            call.starts()
        call.hears_ms(1_500)
        call.item_is(greeting.item, "full", 1_500)
        assert call.sent("clear") == []


# -- by which clock ------------------------------------------------------------------------------------


@race("R55")
def test_r55_the_second_item_s_position_is_not_the_age_of_the_call(engine: str) -> None:
    """57 s into the call, 3 s into an item of nine: one start time for both made it 57340 of 9250."""
    with Scene(engine) as call:
        first = call.replies(4_000)
        call.hears_ms(4_000)
        call.item_is(first.item, "full", 4_000)
        call.waits_ms(50_000)
        second = call.replies(9_250)
        call.hears_ms(3_340)
        call.caller_speaks()
        call.does("clear", f"truncate {second.item} 3300")
        assert call.now_ms == 57_340


@race("R56")
def test_r56_the_caller_s_media_clock_says_nothing_of_the_agent_s_speech(engine: str) -> None:
    """Its timestamps ran ahead before the speech began; the item that waits has no position at all."""
    with Scene(engine) as call:
        call.caller_says_ms(5_000)
        one, two = call.replies(1_000), call.replies(2_000)
        call.caller_says_ms(400)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"truncate {one.item} 400", f"delete {two.item}")
        call.item_is(two.item, "skipped", 0)


@race("R56")
def test_r56_a_clock_that_is_ahead_of_the_audio_is_not_the_position(engine: str) -> None:
    """3700 ms of audio, 3760 ms by the caller's clock: more than there is would be refused."""
    with Scene(engine) as call:
        reply = call.replies(3_700, finished=False)
        call.caller_says_ms(3_760)
        call.waits_ms(3_760)
        call.caller_speaks()
        call.does(f"truncate {reply.item} 3700")
        assert call.server.errors == ()


@pytest.mark.parametrize("piece_bytes", [7, 83, 1_001, 3_999])
@race("R60")
def test_r60_a_position_is_a_whole_millisecond_however_the_audio_was_cut(
    engine: str, piece_bytes: int
) -> None:
    """No delta ends on a millisecond; a fraction would be refused: openai/openai-agents-js#315."""
    with Scene(engine) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates(ref)
        item = call.announces(response)
        with call.held("from_server"):
            call.speaks(item, 1_500, delta_ms=1_500, text="")
            delta = json.loads(call.wires["from_server"][0])
            call.drops("from_server")
        audio = base64.b64decode(delta["delta"])
        for at in range(0, len(audio), piece_bytes):
            piece = base64.b64encode(audio[at : at + piece_bytes]).decode()
            call.server_says(delta | {"delta": piece})
        call.hears_ms(1_234)
        call.interrupts()
        call.does("clear", f"cancel {response}", f"truncate {item} 1200")
        (truncate,) = call.sent("conversation.item.truncate")
        assert type(truncate["audio_end_ms"]) is int
        assert call.server.errors == ()


@race("R60", "R52")
def test_r60_a_cut_is_said_although_more_time_has_passed_than_there_is_audio(engine: str) -> None:
    """openai/openai-agents-js#552: elapsed beyond the length was a silent return, and nobody was told of anything."""
    with Scene(engine) as call:
        reply = call.replies(1_234, finished=False)
        call.waits_ms(1_900)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}", f"truncate {reply.item} 1200")
        call.item_is(reply.item, "partial", 1_200)
        call.resolves(str(reply.ref), "interrupted")
