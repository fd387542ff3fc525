"""Calls nobody thought of: the server, the network, the caller and the application each do something at random.

Seeds are fixed, so a failure is a Scene to replay: its transcript is printed. The judge is that of every Scene.
"""

from random import Random
from typing import Any

import pytest

from bargein.runtime.session import Settings
from bargein.simulator.openai import Bounds, Rules

from .scene import DIRECTIONS, Direction, Scene, both_engines

STEPS = 100
LONGEST_HOLD_MS = 400

LIKELY = {"speaks": 8, "trailing_delta": 4, "creates": 3, "finishes": 0.4, "refuses": 0.05}
"""How much likelier than once each of the server's acts is: a call should mostly consist of speech."""


@both_engines
@pytest.mark.parametrize("seed", range(60))
def test_a_random_call_is_sound(engine: str, seed: int) -> None:
    dice = Random(seed)
    turn_detection: list[Any] = ["default", "default", {"interrupt_response": False}, None]
    call = Scene(
        engine,
        turn_detection=dice.choice(turn_detection),
        rules=Rules(
            vad_cancels_unborn=dice.random() < 0.3,
            create_when_busy=dice.choice(["refused", "refused", "queued"]),
            vad_create_when_busy=dice.choice(["silent", "refused"]),
            cancel_again=dice.choice(["ignored", "refused"]),
        ),
        settings=Settings(
            created_ms=dice.choice([300, 1_000, 5_000]),
            settled_ms=dice.choice([300, 2_000]),
            hold_ms=dice.choice([1_000, 10_000]),
            barge_in=dice.choice(["auto", "auto", "always", "never"]),
        ),
    )
    call.server.bounds = Bounds(
        items=3,
        kinds=("message", "message", "text", "function_call"),
        deltas=20,
        delta_ms=dice.choice([60, 100, 250]),
        trailing_deltas=3,
        ends=("completed", "completed", "failed", "incomplete"),
        separate_ends=True,
        silent_creates=dice.random() < 0.2,
        unborn_deaths=dice.random() < 0.3,
        refusals=True,
        speech_turns=3,
    )
    call.forgives.repeats = True
    with call:
        leaves_at = dice.randrange(3 * STEPS)  # in two calls of three nobody leaves
        held_since_ms: int | None = None
        longest_ms = 0
        for step in range(STEPS):
            call.unclaim()
            if step == leaves_at:
                call.forgives.divergence = True
                dice.choice([call.hangs_up, call.loses_provider, call.loses_carrier])()
            elif held_since_ms is not None and (
                call.now_ms - held_since_ms > LONGEST_HOLD_MS or dice.random() < 0.1
            ):
                longest_ms = max(longest_ms, call.now_ms - held_since_ms)
                held_since_ms = None
                call.releases()
            else:
                act = dice.random()
                if act < 0.06:
                    call.requests(beside=dice.random() < 0.3)
                elif act < 0.10:
                    call.interrupts(dice.choice([None, None, *call.session.responses]))
                elif act < 0.25:
                    call.waits_ms(dice.choice([10, 50, 100, 230, LONGEST_HOLD_MS]))
                elif act < 0.30 and held_since_ms is None:
                    held_since_ms = call.now_ms
                    call.holds(*dice.sample(DIRECTIONS, dice.choice([1, 1, 2])))
                elif act < 0.35:
                    _delivers_some(call, dice)
                else:
                    _server_acts(call, dice)
        call.releases()
        call.unclaim()
        if held_since_ms is not None:
            longest_ms = max(longest_ms, call.now_ms - held_since_ms)
        call.forgives.memory_ms += longest_ms
        call.forgives.after_ms += longest_ms


def _delivers_some(call: Scene, dice: Random) -> None:
    under_way: list[Direction] = [name for name in DIRECTIONS if call.wires[name]]
    if under_way:
        direction = dice.choice(under_way)
        call.delivers(direction, dice.randint(1, len(call.wires[direction])))


def _server_acts(call: Scene, dice: Random) -> None:
    choices = call.server.choices()
    if choices:
        (choice,) = dice.choices(choices, [LIKELY.get(each.act, 1) for each in choices])
        call.server_does(lambda server: server.take(choice, call.now_ms))
