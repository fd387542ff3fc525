"""UNBORN: what is withdrawn before the server has named it. facts/races.md R01, R02, R08-R10, R24-R26."""

from .scene import Scene, both_engines

pytestmark = both_engines


def test_first(engine: str) -> None:
    with Scene(engine) as call:
        reply = call.replies(1000)
        call.hears_ms(400)
        call.interrupts()
        call.does("clear", f"truncate {reply.item} 400")
