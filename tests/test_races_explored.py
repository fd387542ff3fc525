"""Races that nobody had thought of: `bargein verify` found each as its shortest trace, told again here as a Scene."""

from bargein.runtime import actions as do
from bargein.simulator.openai import Rules

from .races import race
from .scene import Scene, both_engines


@both_engines
@race("R23")
def test_an_item_that_begins_when_the_one_before_was_heard_whole_is_playing(engine: str) -> None:
    """I6, R23: its marks came back while nobody had noticed that it plays; it was deleted although heard."""
    with Scene(engine, turn_detection=None) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates()
        first = call.announces(response)
        call.speaks(first, 100)
        call.hears_ms(100)
        second = call.announces(response)
        call.speaks(second, 100)
        call.speaks(second, 100)
        call.hears_ms(100)
        call.interrupts()
        call.does("clear", f"cancel {response}", f"truncate {second} 100")
        call.item_is(first, "full", 100)
        call.item_is(second, "partial", 100)


@both_engines
@race("R79")
def test_speech_of_a_response_given_up_for_silent_is_not_remembered(engine: str) -> None:
    """I8, R79: silent for too long, cancelled, played out; then it spoke on, and the server remembered that."""
    with Scene(engine, turn_detection=None) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates()
        item = call.announces(response)
        call.speaks(item, 100)
        call.holds("to_server")
        call.waits_ms(20_000)
        call.does(f"cancel {response}")
        call.item_is(item, "full", 100)
        call.speaks(item, 100)
        call.does(f"truncate {item} 100")
        call.releases("to_server")
        call.finishes(response)


@both_engines
@race("R79")
def test_what_plays_when_a_response_given_up_speaks_on_is_cut_where_it_is(engine: str) -> None:
    """I8, R79: the rest would be remembered and not heard; a new item of it is deleted."""
    with Scene(engine, turn_detection=None) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        response = call.creates()
        item = call.announces(response)
        call.speaks(item, 30_000, delta_ms=1_000)
        call.waits_ms(20_000)
        call.does(f"cancel {response}")
        more = call.announces(response)
        call.does("clear", f"truncate {item} 20000")
        call.resolves(ref, "interrupted")
        call.speaks(more, 100)
        call.finishes(response)
        call.does(f"delete {more}")


@both_engines
@race("R83")
def test_a_lost_line_leaves_the_speech_that_had_arrived_whole(engine: str) -> None:
    """I4, R83: the clear meant for the torso took the finished speech along, and it was never sent again."""
    with Scene(engine, turn_detection=None) as call:
        call.forgives.repeats = call.forgives.divergence = True
        spoken = call.replies(300)
        cut = call.requests()
        call.does(f"create {cut}")
        response = call.creates()
        item = call.announces(response)
        call.speaks(item, 100)
        call.hears_ms(150)
        call.loses_provider()
        call.does("clear")
        call.resolves(cut, "failed", "connection_lost")
        call.waits_ms(400)
        call.item_is(spoken.item, "full", 300)
        assert call.heard_ms(spoken.item) == 300


@both_engines
@race("R82")
def test_an_item_of_a_response_given_up_twice_is_deleted(engine: str) -> None:
    """I8, R82: announced after the wait for the last word was over, and the last word never came."""
    with Scene(engine, turn_detection=None) as call:
        ref = call.requests()
        call.does(f"create {ref}")
        call.interrupts()
        response = call.creates()
        call.does(f"cancel {response}")
        call.waits_ms(5_000)
        item = call.announces(response)
        call.waits_ms(5_000)
        call.does(f"delete {item}")


@both_engines
@race("R58")
def test_the_late_refusal_of_a_truncate_given_up_is_no_problem(engine: str) -> None:
    """I11, R58: it was told as a fault of the provider, after the memory had been declared diverged."""
    with Scene(engine, turn_detection=None, rules=Rules(truncate_margin_ms=85)) as call:
        call.forgives.divergence = True
        reply = call.replies(300, finished=False)
        call.hears_ms(300)
        with call.held("from_server"):
            call.interrupts()
            call.does(f"cancel {reply.response}", f"truncate {reply.item} 300")
            call.waits_ms(5_000)
        assert call.told(do.Problem) == []


@both_engines
@race("R12")
def test_a_response_given_up_for_silent_is_over_when_the_line_is_lost(engine: str) -> None:
    """I13, R12: it waited for a last word that could not come any more, for as long as the call lasted."""
    with Scene(engine, turn_detection=None) as call:
        call.forgives.divergence = True
        reply = call.replies(100, finished=False)
        call.waits_ms(20_000)
        call.does(f"cancel {reply.response}")
        assert reply.ref is not None
        call.resolves(reply.ref, "completed")
        call.loses_provider()
        assert not call.session.responses


@both_engines
@race("R65")
def test_the_second_copy_of_a_refusal_is_no_problem(engine: str) -> None:
    """I11, R65: the request it names has been answered by the first."""
    with Scene(engine) as call:
        call.caller_speaks()
        with call.held("to_server"):
            ref = call.requests()
            call.does(f"create {ref}")
            call.caller_stops()
        call.resolves(ref, "failed", "conversation_already_has_active_response")
        refusal = {"code": "conversation_already_has_active_response", "event_id": ref}
        call.server_says({"type": "error", "error": {"message": "busy", **refusal}})
        assert call.told(do.Problem) == []
