"""Calls nobody thought of, bigger than the explorer's, shrunk to the shortest that goes wrong.

Hypothesis drives a Scene: the application, the server, the caller, the network and the clock each do what they may,
and at the end the judge of every Scene decides. To search longer than CI does, with new calls every time:

    BARGEIN_FUZZ=100 pytest tests/test_stateful.py

A failure prints, after the transcript, the call as a Scene: a test to be pasted, with what the session did claimed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import hypothesis.strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bargein.runtime.routing import Cause
from bargein.runtime.session import Settings
from bargein.simulator.openai import Bounds, Choice, Rules
from bargein.simulator.openai_generation import ItemKind
from bargein.simulator.openai_state import End

from .fuzzing import effort
from .scene import DIRECTIONS, Direction, Scene

REQUESTS = 6
BOUNDS = Bounds(
    items=4,
    kinds=("message", "message", "text", "function_call"),
    deltas=6,
    delta_ms=250,
    trailing_deltas=3,
    ends=("completed", "completed", "failed", "incomplete"),
    separate_ends=True,
    silent_creates=True,
    unborn_deaths=True,
    refusals=True,
    speech_turns=4,
)
DELTAS_MS = [100, 250, 133, 60, 7, 1]
HEARD_MS = [0, 90, 150, 400]
LONGEST_HOLD_MS = 400
LONGEST_WAIT_MS = 40_000

indices = st.integers(0, 31)


class Calls(RuleBasedStateMachine):
    """One call. Every rule writes down its line of the script before it acts."""

    call: Scene

    def __init__(self) -> None:
        super().__init__()
        self.script: list[str] = []
        self.held_since_ms: int | None = None
        self.longest_ms = 0
        self.left = self.given_up = False
        self.stays = 0
        """How many lines of script nobody hangs up or is lost for."""
        self._around = sys.exc_info()[1]

    @initialize(
        engine=st.sampled_from(["table", "transitions"]),
        turn_detection=st.sampled_from(["default", {"interrupt_response": False}, None]),
        rules=st.fixed_dictionaries(
            {},
            optional={
                "vad_cancels_unborn": st.just(True),
                "create_when_busy": st.just("queued"),
                "vad_create_when_busy": st.just("refused"),
                "cancel_again": st.just("refused"),
                "busy_code": st.none(),
            },
        ),
        settings=st.fixed_dictionaries(
            {},
            optional={
                "created_ms": st.sampled_from([300, 1_000]),
                "stalled_ms": st.sampled_from([300, 2_000]),
                "settled_ms": st.sampled_from([300, 2_000]),
                "answer_ms": st.just(300),
                "hold_ms": st.just(1_000),
                "mark_every_ms": st.sampled_from([20, 250]),
                "barge_in": st.sampled_from(["always", "never"]),
            },
        ),
        replies=st.integers(0, 2),
        stays=st.sampled_from([50, 10, 200]),
    )
    def begins(
        self,
        engine: str,
        turn_detection: Literal["default"] | dict[str, Any] | None,
        rules: dict[str, Any],
        settings: dict[str, Any],
        replies: int,
        stays: int,
    ) -> None:
        """The world, what its judge is told beforehand, and often a call that is under way already."""
        self.call = Scene(
            engine,
            turn_detection=turn_detection,
            rules=Rules(**rules),
            settings=Settings(**settings),
        )
        said = (f"{name}={kind}({_arguments(of)})" for name, kind, of in (
            ("rules", "Rules", rules), ("settings", "Settings", settings)
        ) if of)  # fmt: skip
        arguments = ", ".join([repr(engine), f"turn_detection={turn_detection!r}", *said])
        self.script.append(f"call = Scene({arguments})")
        self.call.server.bounds = BOUNDS
        if settings.get("mark_every_ms", 100) > 100:
            self._forgives("memory_ms", settings["mark_every_ms"])
        if settings.get("answer_ms"):
            self._forgives("divergence", True)  # An answer that is held comes after its deadline.
        self.stays = stays
        if replies:
            self.requests(beside=False)
            self.server_replies(deltas=4, ms=250)
        if replies == 2:
            self.requests(beside=False)
            self.server_answers(times=4, ms=100, heard_ms=150)

    # -- the application ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.call.refs) < REQUESTS)
    @rule(beside=st.booleans())
    def requests(self, beside: bool) -> None:
        with self._step(f"call.requests(beside={beside})"):
            self.call.requests(beside=beside)

    @precondition(lambda self: self._plays() or len(self.script) % 3 == 0)
    @rule(which=indices, cause=st.sampled_from(["api", "guardrail", "supersede"]))
    def interrupts(self, which: int, cause: Cause) -> None:
        living = self.call.session.responses.values()
        playing = [item.ref for item in self.call.session.playout.queue]
        known = (*playing, *(r.server_id for r in living), *(r.ref for r in living))
        scopes = [None, *dict.fromkeys(name for name in known if name)]
        scope = scopes[which % len(scopes)]
        with self._step(f"call.interrupts({scope!r}, {cause!r})"):
            self.call.interrupts(scope, cause)

    def _plays(self) -> bool:
        return any(item.heard_bytes for item in self.call.session.playout.queue)

    # -- the server ---------------------------------------------------------------------------------

    @precondition(lambda self: self._choices())
    @rule(which=indices, ms=st.sampled_from(DELTAS_MS))
    def server_acts(self, which: int, ms: int) -> None:
        choices = self._choices()
        self._takes(choices[which % len(choices)], ms)

    @precondition(lambda self: self._wanted())
    @rule(
        times=st.integers(1, 9), ms=st.sampled_from(DELTAS_MS), heard_ms=st.sampled_from(HEARD_MS)
    )
    def server_answers(self, times: int, ms: int, heard_ms: int) -> None:
        """What a call mostly consists of: the server creates, announces and speaks, and the caller listens.

        Responses that run side by side take turns.
        """
        for turn in range(times):
            if wanted := self._wanted():
                alike = [choice for choice in wanted if choice.act == wanted[-1].act]
                self._takes(alike[turn % len(alike)], ms)
        if heard_ms:
            self.waits(heard_ms)

    @precondition(lambda self: self._wanted())
    @rule(deltas=st.integers(2, 6), ms=st.sampled_from(DELTAS_MS))
    def server_replies(self, deltas: int, ms: int) -> None:
        """A whole answer of one item: most are, and the next one then begins while this one is still heard."""
        first = self._wanted()[0]
        if first.act == "creates":
            self._takes(first, ms)
        if not any(c.act == "speaks" and c.response == first.response for c in self._choices()):
            self._takes(Choice("announces", first.response, how="message"), ms)
        for _ in range(deltas):
            speaks = [c for c in self._choices() if c[:2] == ("speaks", first.response)]
            if speaks:
                self._takes(speaks[0], ms)
        if self.call.server.responses[first.response].state == "in_progress":
            self._takes(Choice("finishes", first.response, how="completed"), ms)

    def _choices(self) -> list[Choice]:
        """What the server may do. Created events are lost only where the order of requests tells whose it was."""
        nameless = [r for r in self.call.session.responses.values() if r.own and r.unborn]
        choices = self.call.server.choices()
        return [c for c in choices if c.act != "creates_silently" or len(nameless) == 1]

    def _wanted(self) -> list[Choice]:
        acts = ("creates", "announces", "speaks")
        choices = [c for c in self._choices() if c.act in acts]
        return sorted(
            (c for c in choices if c.how in ("", "message")), key=lambda c: acts.index(c.act)
        )

    def _takes(self, choice: Choice, ms: int) -> None:
        call, (act, response, item, how) = self.call, choice
        match act:
            case "creates" | "creates_silently":
                told = act == "creates"
                with self._step(f"call.creates({response!r}, created_event={told})"):
                    call.creates(response, created_event=told)
            case "refuses":
                with self._step(f"call.refuses({response!r})"):
                    call.refuses(response)
            case "announces":
                with self._step(f"call.announces({response!r}, {how!r})"):
                    call.announces(response, cast(ItemKind, how))
            case "speaks" | "trailing_delta":
                with self._step(f"call.speaks({item!r}, {ms}, delta_ms={ms})"):
                    call.speaks(item, ms, delta_ms=ms)
            case "ends_item":
                with self._step(f"call.ends({item!r})"):
                    call.ends(item)
            case "finishes":
                with self._step(f"call.finishes({response!r}, {how!r})"):
                    call.finishes(response, cast(End, how))
            case "hears_speech_start":
                with self._step("call.caller_speaks()"):
                    call.caller_speaks()
            case "hears_speech_stop":
                with self._step("call.caller_stops()"):
                    call.caller_stops()
            case _:
                taken = f"Choice({act!r}, {response!r}, {item!r}, {how!r})"
                with self._step(f"call.server_does(lambda s: s.take({taken}, call.now_ms))"):
                    call.server_does(lambda server: server.take(choice, call.now_ms))

    # -- the caller, the network, the clock -----------------------------------------------------------

    @precondition(lambda self: self._heard())
    @rule()
    def caller_begins_or_ends(self) -> None:
        self._takes(self._heard()[0], 0)

    def _heard(self) -> list[Choice]:
        return [choice for choice in self._choices() if choice.act.startswith("hears")]

    @rule(ms=st.sampled_from([20, 1, 50, 130, LONGEST_HOLD_MS]))
    def waits(self, ms: int) -> None:
        self._waits(ms)
        if self.held_since_ms is not None and self._held_ms() > LONGEST_HOLD_MS:
            self.releases()

    @precondition(lambda self: self.held_since_ms is None)
    @rule(more_ms=st.sampled_from([0, 1, 500]))
    def waits_for_a_deadline(self, more_ms: int) -> None:
        due_ms = self.call.session.next_deadline_ms
        if due_ms is not None and due_ms - self.call.now_ms < LONGEST_WAIT_MS:
            self._waits(max(0, due_ms - self.call.now_ms) + more_ms)

    def _waits(self, ms: int) -> None:
        due_ms = self.call.session.next_deadline_ms
        self.given_up |= due_ms is not None and due_ms <= self.call.now_ms + ms
        with self._step(f"call.waits_ms({ms})"):
            self.call.waits_ms(ms)

    @precondition(lambda self: self.held_since_ms is None)
    @rule(directions=st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=4, unique=True))
    def holds(self, directions: list[Direction]) -> None:
        with self._step(f"call.holds({', '.join(map(repr, directions))})"):
            self.call.holds(*directions)
        self.held_since_ms = self.call.now_ms

    @precondition(lambda self: self.held_since_ms is not None)
    @rule()
    def releases(self) -> None:
        with self._step("call.releases()"):
            self.call.releases()
        self.longest_ms = max(self.longest_ms, self._held_ms())
        self.held_since_ms = None

    @precondition(lambda self: any(self.call.wires.values()))
    @rule(which=indices, count=st.integers(1, 5))
    def delivers(self, which: int, count: int) -> None:
        under_way = [name for name in DIRECTIONS if self.call.wires[name]]
        direction = under_way[which % len(under_way)]
        count = min(count, len(self.call.wires[direction]))
        with self._step(f"call.delivers({direction!r}, {count})"):
            self.call.delivers(direction, count)

    @precondition(lambda self: not self.left and len(self.script) > self.stays)
    @rule(how=st.sampled_from(["hangs_up", "loses_provider", "loses_carrier"]))
    def leaves(self, how: str) -> None:
        self.left = True
        self._forgives("divergence", True)
        with self._step(f"call.{how}()"):
            getattr(self.call, how)()

    # -- the end ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """The judge of Scenes, unless something has gone wrong before."""
        if not hasattr(self, "call") or sys.exc_info()[1] is not self._around:
            return
        if self.held_since_ms is not None:
            self.releases()
        for response in list(self.call.server.responses.values()):
            if response.active and not self.call.provider_gone:
                how = "cancelled" if response.state == "cancelling" else "completed"
                self._takes(Choice("finishes", response.id, how=how), 0)
        if self.call.sent("clear"):  # What it took along of others is sent again.
            self._forgives("repeats", True)
        if self.longest_ms:
            self._forgives("memory_ms", self.call.forgives.memory_ms + self.longest_ms)
            self._forgives("after_ms", self.call.forgives.after_ms + self.longest_ms)
        with self._step("with call: pass"), self.call:
            self._judges_order()

    def _judges_order(self) -> None:
        """I9: where only we create responses and nobody was given up, no create comes while the slot is taken."""
        call = self.call
        busy = [e.message for e in call.server.errors if "already has an active" in e.message]
        if busy and not self.given_up and not call.server.detects_turns:
            call.fail(f"a create too early: {busy}")

    # -- the machinery ------------------------------------------------------------------------------

    def _held_ms(self) -> int:
        assert self.held_since_ms is not None
        return self.call.now_ms - self.held_since_ms

    def _forgives(self, what: str, value: object) -> None:
        setattr(self.call.forgives, what, value)
        self.script.append(f"call.forgives.{what} = {value!r}")

    @contextmanager
    def _step(self, line: str) -> Iterator[None]:
        self.script.append(line)
        try:
            yield
        except Exception as error:
            error.add_note("as a Scene:\n    " + "\n    ".join(self.script))
            raise
        claimed = self.call._unclaimed.copy()
        self.call.unclaim()
        if claimed:
            self.script.append(f"call.does({', '.join(map(repr, claimed))})")


def _arguments(of: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in of.items())


def test_a_call_nobody_thought_of_is_sound() -> None:
    """Six requests, four items of six deltas each, messages held in any direction, deadlines, losses."""
    run_state_machine_as_test(Calls, settings=effort(250, stateful_step_count=80))
