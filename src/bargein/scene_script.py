"""A run through a world as a Scene: the script that a regression test is written in (`tests/scene.py`).

The walk forgets what is over and gives its names again, and leaves out messages that mean nothing; a Scene does
neither. So the run is made a second time in a world that does not either, act for act, and that is what is spelled.
Scenes speak OpenAI and Twilio. What a Scene cannot say stands in a comment.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from msgspec.structs import replace

from bargein.codegen.render import format_python
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.runtime.errors import UsageError
from bargein.simulator.properties import PROPERTIES, Broken
from bargein.simulator.shrink import AMPLE, Run, ample
from bargein.simulator.state import LOST, UNREDUCED, Act, State
from bargein.simulator.walk import interleaved
from bargein.simulator.whims import kind_of
from bargein.simulator.world import World
from bargein.simulator.worlds import DELTA_MS, Plan, make

SPOKEN: Final = ("openai", "twilio")
"""The provider and the carrier that Scenes speak to."""

_DIVERGES: Final = ("message_lost", "loses_connection", "falls_silent")
"""After these the server may remember what the session could not make it forget."""

_TEXT: Final = '''\
"""{title}

{finding}

Found by `bargein walk`, in the world "{world}", and shrunk to {acts} acts.
"""

from bargein.runtime.session import Settings
from bargein.simulator.openai import Rules

from .scene import Scene, both_engines


@both_engines
def {name}(engine: str) -> None:
    """{says}"""
    with Scene(
        engine,
        turn_detection={turns},
        rules=Rules({rules}),
        settings=Settings(mark_every_ms={mark_ms}),
        marks_echoed={echoed},
    ) as call:
{script}
'''


def script(
    found: Run,
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    engine: str = "table",
) -> list[str]:
    """The statements of the Scene, one line each.

    :raises UsageError: if Scenes do not speak to this provider or this carrier.
    """
    if (provider.name, transport.name) != SPOKEN:
        raise UsageError(no_scene(provider.name, transport.name))
    plan = ample(plan)
    walked = interleaved(plan, provider, transport, engine)
    limits = replace(plan.limits, lag=AMPLE, backlog_ms=AMPLE)
    spelled = _unreduced(replace(plan, limits=limits), provider, transport, engine)
    speller = _Speller(walked, spelled, bool(plan.server.get("words")))
    lines = list(speller.spell(found.acts))
    lines[:0] = _forgiven(plan, found, speller)
    lines.insert(0, 'call.holds("to_server", "from_server", "to_carrier", "from_carrier")')
    where = "When the call has come to rest" if found.judged else "Here"
    end = f"# {where}, {found.broken.number} breaks: {found.broken.finding}"
    return [*_together(lines), end, "call.unclaim()", "call.releases()", "call.unclaim()"]


def written_test(
    found: Run,
    plan: Plan,
    provider: ProviderAdapter,
    transport: TransportAdapter,
    engine: str = "table",
) -> str:
    """The text of a pytest file that plays the Scene; it belongs beside `tests/scene.py`.

    :raises UsageError: if Scenes do not speak to this provider or this carrier.
    """
    broken = PROPERTIES[found.broken.number]
    words = "".join(c if c.isalnum() else " " for c in f"{broken.number} {broken.name}").lower()
    turns = {"type": "server_vad", "interrupt_response": plan.vad == "interrupts"}
    lines = script(found, plan, provider, transport, engine)
    text = _TEXT.format(
        title=_quoted(f"{broken.number}: {broken.name}."),
        finding=_quoted(found.broken.finding),
        world=plan.name,
        acts=len(found.acts),
        name=f"test_{'_'.join(words.split())}",
        says=_quoted(broken.says),
        turns=None if plan.vad == "off" else turns,
        rules=", ".join(f"{name}={value!r}" for name, value in plan.rules.items()),
        mark_ms=DELTA_MS,
        echoed=_echoed(plan),
        script="\n".join(f"        {line}" for line in lines),
    )
    return format_python({"test_found.py": text})["test_found.py"]


def no_scene(provider: str, transport: str) -> str:
    """Why a run with these two cannot be spelled."""
    return f"a Scene speaks {' and '.join(SPOKEN)}, not {provider} and {transport}"


def _unreduced(
    plan: Plan, provider: ProviderAdapter, transport: TransportAdapter, engine: str
) -> World:
    return make(plan, provider, transport, reductions=UNREDUCED, engine=engine)


class _Speller:
    """Makes a run in the world it was found in and, with its own names, in the one that is spelled."""

    def __init__(self, walked: World, spelled: World, words: bool) -> None:
        self._walked, self._spelled, self._words = walked, spelled, words
        self.after_ms = 0
        """Speech heard while a clear was under way."""
        self.behind_ms = 0
        """The most speech that was heard while its marks were under way."""
        self._heard_ms = self._told_ms = 0

    def spell(self, acts: Iterable[Act]) -> Iterator[str]:
        """The lines, up to the act that breaks a property in either world."""
        walked, spelled = self._walked.start, self._spelled.start
        for act in acts:
            if act.what in ("server_arrives", "message_lost", "message_repeated"):
                while self._says_nothing(spelled):
                    yield 'call.delivers("from_server")'
                    spelled = self._spelled.does(spelled, Act("server_arrives"))
            own = _same(self._walked, walked, act, self._spelled, spelled)
            if own is None:
                yield f"# {act.what}: a Scene has no such moment"
                return
            yield from self._line(spelled, own)
            try:
                walked = self._walked.follow(walked, (act,))
                after = self._spelled.does(spelled, own)
            except Broken:
                return
            yield from self._claims(spelled, after)
            spelled = after

    def _says_nothing(self, at: State) -> bool:
        return at.from_server[0] != LOST and not self._spelled._means(at.from_server[0])

    def _line(self, at: State, act: Act) -> Iterator[str]:
        what, about = act
        match what:
            case "request":
                yield f"call.requests({'beside=True' if about else ''})"
            case "interrupt":
                yield (
                    f'call.interrupts("{about}", cause="supersede")'
                    if about
                    else "call.interrupts()"
                )
            case "server_receives" if at.silent:
                yield "# The server takes it and is silent."
            case "server_receives":
                yield 'call.delivers("to_server")'
            case "server_arrives" if at.from_server[0] == LOST:
                yield "call.loses_provider()"
            case "server_arrives":
                yield 'call.delivers("from_server")'
            case "carrier_receives":
                yield 'call.delivers("to_carrier")'
            case "carrier_arrives":
                self._told_ms = min(self._told_ms + DELTA_MS, self._heard_ms)
                yield 'call.delivers("from_carrier")'
            case "plays":
                played = self._spelled.carrier.plays(at.carrier).after
                before_ms = self._spelled.carrier.buffered_ms(at.carrier)
                heard_ms = before_ms - self._spelled.carrier.buffered_ms(played)
                if any(self._spelled.readings.ordered(m).what == "clear" for m in at.to_carrier):
                    self.after_ms += heard_ms
                self._heard_ms += heard_ms
                self.behind_ms = max(self.behind_ms, self._heard_ms - self._told_ms)
                yield f"call.hears_ms({heard_ms})"
            case "deadline" | "time_passes":
                yield f"# The time of {about[0]} {about[1]} is up, and of nothing else that waits."
                if self._spelled.carrier.buffered_ms(at.carrier):
                    yield "# Meanwhile nothing plays; in a Scene it does."
                yield "call.waits_ms((call.session.next_deadline_ms or call.now_ms) - call.now_ms)"
            case "message_lost":
                yield 'call.wires["from_server"].popleft()  # It never comes.'
            case "message_repeated":
                yield 'call.wires["from_server"].appendleft(call.wires["from_server"][0])  # It comes twice.'
                yield 'call.delivers("from_server")'
            case "falls_silent":
                yield "# From here on the server says nothing more; what is under way from it still comes."
            case "loses_connection":
                yield 'call.drops("to_server")  # The connection breaks; what it had sent still comes.'
            case "hangs_up":
                yield 'call.drops("to_carrier")'
                yield "call.hangs_up()"
            case "chooses":
                yield self._chosen(about)
                if about.act == "refuses":
                    yield "call.server_does(lambda server: server.tidy() or [])  # Its id is free again."
            case _:
                yield f"# {what} {about or ''}"

    def _chosen(self, choice: Any) -> str:  # noqa: ANN401  whatever the server's model can choose
        response, item, how = choice.response, choice.item, choice.how
        said: dict[str, Callable[[], str]] = {
            "creates": lambda: f'call.creates("{response}")',
            "creates_silently": lambda: f'call.creates("{response}", created_event=False)',
            "refuses": lambda: f'call.refuses("{response}")',
            "announces": lambda: f'call.announces("{response}", "{how}")',
            "ends_item": lambda: f'call.ends("{item}")',
            "finishes": lambda: f'call.finishes("{response}", "{how}")',
            "hears_speech_start": lambda: "call.caller_speaks()",
            "hears_speech_stop": lambda: "call.caller_stops()",
        }
        if choice.act in said:
            return said[choice.act]()
        if choice.act == "speaks":
            text = "" if self._words else ', text=""'
            return f'call.speaks("{item}", {DELTA_MS}{text})'
        more = {"says_text": ', "words "', "trailing_delta": f", {DELTA_MS}"}.get(choice.act, "")
        return f'call.server_does(lambda server: server.{choice.act}("{response}", "{item}"{more}))'

    def _claims(self, before: State, after: State) -> Iterator[str]:
        """What the session wrote in this act, in the words of `call.does`."""
        if after.silent or after.hung_up:
            if after.session != before.session:
                yield "call.unclaim()"
            return
        if after.session == before.session and after.watch == before.watch:
            return
        readings = self._spelled.readings
        said: list[str] = []
        for message in after.to_server[len(before.to_server) :]:
            asked = readings.asked(message)
            about = {
                "create": asked.request,
                "cancel": asked.response,
                "truncate": f"{asked.item} {asked.ms}",
                "delete": asked.item,
            }
            if asked.what in about:
                said.append(f"{asked.what} {about[asked.what]}")
        for message in after.to_carrier[len(before.to_carrier) :]:
            if readings.ordered(message).what == "clear":
                said.insert(0, "clear")
        if said:
            claims = ", ".join(f'"{each}"' for each in said)
            yield f"call.does({claims})"


def _same(walked: World, at: State, act: Act, spelled: World, there: State) -> Act | None:
    """What `act` is in the other world: in the same place among those of its kind."""
    kind = kind_of(act)
    here = [move[0] for move in walked.moves(at) if kind_of(move[0]) == kind]
    others = [move[0] for move in spelled.moves(there) if kind_of(move[0]) == kind]
    place = here.index(act) if act in here else 0
    return others[place] if place < len(others) else None


def _forgiven(plan: Plan, found: Run, speller: "_Speller") -> Iterator[str]:
    """What the judge of Scenes cannot know to be right: what follows from what was held back or lost."""
    if speller.after_ms:
        yield f"call.forgives.after_ms += {speller.after_ms}  # Heard while a clear was under way."
    if speller.behind_ms:
        yield f"call.forgives.memory_ms += {speller.behind_ms}  # Heard while marks were under way."
    if any(act.what == "interrupt" and act.about for act in found.acts):
        yield "call.forgives.repeats = True  # A clear for one takes the others along."
    if any(act.what in _DIVERGES for act in found.acts):
        yield "call.forgives.divergence = call.forgives.residue = True"
    if not _echoed(plan):
        yield "call.forgives.next_turn = True  # Only the clock tells what of it was heard."


def _echoed(plan: Plan) -> bool:
    return bool(plan.carrier.get("marks_echoed", True))


def _together(lines: list[str]) -> Iterator[str]:
    """Deliveries in one direction, one after the other, on one line."""
    for line, same in groupby(lines):
        times = len(list(same))
        if times > 1 and line.startswith("call.delivers("):
            yield f"{line[:-1]}, {times})"
        else:
            yield from [line] * times


def _quoted(text: str) -> str:
    """Text that a docstring holds as it is."""
    return text.replace("\\", "/").replace('"', "'")
