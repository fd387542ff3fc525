"""GEN≠HEARD and LIMBO at a player that says how far it is: a loudspeaker of our own, a LiveKit output.

facts/races.md R29, R33, R80. Both report every 50 ms and at a flush (`runtime/soundcard.py`, `runtime/livekit.py`);
what they do with their device or room is told in `test_soundcard.py` and `test_livekit.py`.
"""

import json
from typing import Any

import pytest

from .races import race
from .scene import Scene, both_engines

pytestmark = both_engines

players = pytest.mark.parametrize("player", ["soundcard", "livekit"])


def reports(call: Scene) -> list[dict[str, Any]]:
    """What of the player is under way."""
    return [json.loads(message) for message in call.wires["from_carrier"]]


# -- what the sink holds -------------------------------------------------------------------------------


@players
@race("R29")
def test_r29_a_player_is_emptied_although_its_response_is_done(engine: str, player: str) -> None:
    """Nothing is generated, so no cancel; the device plays, so it is cleared and the item cut where it stood.

    Azure/azure-sdk-for-python#48965 emptied the loudspeaker only while a response was active.
    """
    with Scene(engine, carrier=player) as call:
        reply = call.replies(4_000)
        call.hears_ms(1_500)
        call.caller_speaks()
        call.does("clear", f"truncate {reply.item} 1500")
        call.waits_ms(2_500)
        call.item_is(reply.item, "partial", 1_500)
        assert call.heard_ms(reply.item) == 1_500


@players
@race("R33")
def test_r33_a_player_is_emptied_of_every_item_and_settles_each_by_its_report(
    engine: str, player: str
) -> None:
    """What sounds, what waits behind it and what is under way: pipecat#4151, pollen reachy_mini#1108."""
    with Scene(engine, carrier=player) as call:
        main = call.replies(2_000, 8_000, finished=False)
        beside = call.replies(2_000, beside=True)
        call.hears_ms(3_000)
        with call.held("from_server"):
            call.speaks(main.items[1], 5_000)
            call.interrupts()
            call.does(
                "clear",
                f"cancel {main.response}",
                f"truncate {main.items[1]} 1000",
                f"delete {beside.item}",
            )
        assert call.carrier.buffer.buffered_ms == 0
        call.finishes(main.response)
        call.waits_ms(20_000)
        call.item_is(main.items[0], "full", 2_000)
        call.item_is(main.items[1], "partial", 1_000)
        call.item_is(beside.item, "skipped", 0)
        assert [call.heard_ms(item) for item in (*main.items, beside.item)] == [2_000, 1_000, 0]


@players
@race("R33")
def test_r33_frames_that_a_flush_overtakes_are_of_an_older_generation(
    engine: str, player: str
) -> None:
    """They reach the player after it was emptied, and are not played."""
    with Scene(engine, carrier=player) as call:
        reply = call.replies(500, finished=False)
        call.hears_ms(300)
        call.holds("to_carrier")
        call.speaks(reply.item, 2_000)
        call.interrupts()
        call.does("clear", f"cancel {reply.response}", f"truncate {reply.item} 300")
        wire = call.wires["to_carrier"]
        wire.rotate(1)  # The flush comes first.
        call.releases("to_carrier")
        assert call.carrier.buffer.buffered_ms == 0
        call.finishes(reply.response)
        assert call.heard_ms(reply.item) == 300


# -- the report that does not come ------------------------------------------------------------------------


@players
@race("R80")
def test_r80_after_a_flush_nobody_waits_for_the_player_s_word(engine: str, player: str) -> None:
    """Settled at once by what was told; what comes late is of an older generation and credits nobody.

    livekit/agents-js#2065 counted reports, and was one behind for the rest of the call.
    """
    with Scene(engine, carrier=player) as call:
        call.forgives.memory_ms = 300
        first = call.replies(1_000)
        with call.held("from_carrier"):
            call.hears_ms(300)
            call.interrupts()
            call.does("clear", f"delete {first.item}")
            call.resolves(str(first.ref), "interrupted")
            call.item_is(first.item, "skipped", 0)
            late = reports(call)
            call.drops("from_carrier")
        assert [each["type"] for each in late] == ["position"] * 6 + ["flushed"]
        second = call.replies(500)
        call.hears_ms(200)
        call.carrier_says(*late)
        call.hears_ms(200)
        call.interrupts()
        call.does("clear", f"truncate {second.item} 400")


@players
@race("R80")
def test_r80_a_player_that_reports_no_more_holds_an_item_for_a_while_only(
    engine: str, player: str
) -> None:
    """Its end never comes: the clock settles it, says so, and the next reply is waited for as ever."""
    with Scene(engine, carrier=player, marks_echoed=False) as call:
        call.forgives.clock = True
        reply = call.replies(1_000)
        call.hears_ms(1_000)
        call.is_open(str(reply.ref))
        overdue_ms = call.transport.timeouts_ms["overdue_ms"]
        call.waits_ms(overdue_ms - 1)
        call.is_open(str(reply.ref))
        call.waits_ms(1)
        call.resolves(str(reply.ref), "completed")
        assert call.outcome(reply.item).evidence == "clock"
