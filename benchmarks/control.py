"""A control transition by the table engine, against the same by `transitions`."""

import time
from collections.abc import Callable

from bargein import adapters
from bargein.runtime.adapter import ProviderAdapter
from bargein.runtime.machine import Engine, TableEngine, TransitionsEngine
from bargein.runtime.records import Response
from bargein.runtime.session import Session

from . import messages
from .measure import Effort, Row, Side, Tick, interleave, one_in, ratios, spread, timed

BUDGET = 30.0


def _streaming() -> Response:
    response = Response("bargein_req_1", own=True)
    response.state, response.server_id = "streaming", messages.RESPONSE_ID
    return response


def fired(engine: Engine, provider: ProviderAdapter) -> Callable[[], object]:
    """Interrupt a streaming response: the state changes, the row's actions come back."""
    response, machine = _streaming(), provider.response

    def operation() -> object:
        response.state = "streaming"
        return engine.fire(machine, response, "interrupt")

    return operation


def bare(provider: ProviderAdapter) -> Callable[[], object]:
    """The same by `transitions` itself, without the engine around it."""
    response = _streaming()
    interrupt = TransitionsEngine().reference(provider.response).events["interrupt"]

    def operation() -> object:
        response.state = "streaming"
        return interrupt.trigger(response, [])

    return operation


def hooked(engine: Engine, provider: ProviderAdapter) -> Callable[[], object]:
    """The transition and its hook: the cancel message, encoded."""
    response, machine = _streaming(), provider.response

    def operation() -> object:
        response.state = "streaming"
        engine.fire(machine, response, "interrupt")
        return provider.cancel("bargein_cancel_1", response)

    return operation


def interrupted(session: Session) -> Side:
    """The whole of `Session.interrupt` on a call in mid-speech: clear, cancel, truncate, handle resolved."""

    def side(count: int) -> int:
        calls = [session.copy() for _ in range(count)]
        start = time.thread_time_ns()
        for call in calls:
            call.interrupt(100)
        return time.thread_time_ns() - start

    return side


def measure(effort: Effort, tick: Tick) -> list[Row]:
    """The rows of a control transition: alone, with its hook, and as a whole interrupt."""
    provider = adapters.provider("openai")
    table, reference = TableEngine(), TransitionsEngine()
    times = interleave(
        {
            "table": timed(fired(table, provider)),
            "bare": timed(bare(provider)),
            "transitions": timed(fired(reference, provider)),
            "table_hook": timed(hooked(table, provider)),
            "transitions_hook": timed(hooked(reference, provider)),
            "table_interrupt": interrupted(messages.speaking()),
            "transitions_interrupt": interrupted(messages.speaking(engine="transitions")),
        },
        effort,
        tick,
    )
    us = {name: spread(values).median for name, values in times.items()}
    numbers = {f"{name}_us": value for name, value in us.items()}

    def row(id_: str, ours: str, theirs: str, what: str, made_of: str, budget: float | None) -> Row:
        times_dearer = ratios(times[theirs], times[ours])
        measured, low_high = one_in(times_dearer)
        return Row(
            id=f"control.{id_}",
            what=what,
            budget="–" if budget is None else f"≤ 1/{budget:g} of `transitions`",
            measured=measured,
            spread=low_high,
            met=None if budget is None else times_dearer.median >= budget,
            made_of=f"{us[ours]:.2f} μs against {us[theirs]:.1f} μs{made_of}",
            numbers=numbers,
        )

    hook_us = us["table_hook"] - us["table"]
    return [
        row(
            "transition",
            "table",
            "bare",
            "a control transition (interrupt while streaming)",
            "; their side is the bare `Event.trigger`, without our engine around it "
            f"({us['transitions']:.1f} μs with it)",
            BUDGET,
        ),
        row(
            "hook",
            "table_hook",
            "transitions_hook",
            "the transition and its hook: the cancel message encoded",
            f"; the hook costs both sides the same {hook_us:.2f} μs, so the ratio is lower",
            None,
        ),
        row(
            "interrupt",
            "table_interrupt",
            "transitions_interrupt",
            "a whole interrupt in mid-speech: clear, cancel, truncate, handle resolved",
            "; two transitions, three messages and the ledger",
            None,
        ),
    ]
