"""Runs the mechanical mutants of `mutation.py` against the explorer, and writes docs/mutation-score.md.

    python -m tests.mutation_score            # all of them, and the page
    python -m tests.mutation_score response.streaming   # those with this in their name; no page

Exits 1 if a mutant survives without a reason in `survivors.py`, or does not survive in spite of one.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from bargein.adapters import openai, twilio
from bargein.simulator.explorer import Search
from bargein.simulator.rerun import plan
from bargein.simulator.untimed import Input, Step, UntimedSession
from bargein.simulator.worlds import Plan, make

from .mutation import KINDS, Variant, variants
from .survivors import reason

PAGE: Final = Path(__file__).parent.parent / "docs" / "mutation-score.md"

Cell = tuple[str, str, str]
"""(machine, state, event)"""

Verdict = Literal["killed", "same", "never", "unnoticed"]

VERDICTS: Final[dict[Verdict, str]] = {
    "killed": "The search ends with a counterexample.",
    "unnoticed": "It does something else somewhere, and no property breaks.",
    "same": "Wherever it could do something else, it does the same: same actions, same state.",
    "never": "Nothing that happens in any world reaches it.",
}


def _world(
    name: str,
    like: str,
    server: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    **bounds: int,
) -> Plan:
    world = plan(like, **bounds)
    return replace(
        world,
        name=name,
        server={**world.server, **(server or {})},
        rules={**world.rules, **(rules or {})},
    )


_NAMELESS: Final = {"null_event_id_for": frozenset({"response_cancel_not_active"})}
_ENDS: Final = {"ends": ("completed", "cancelled", "failed")}

SMALL: Final = (
    plan("words"),
    _world("refused, once", "refused", requests=1),
    _world("unmarked, once", "unmarked", requests=1),
    _world("repeated and late", "repeated", deadlines=1, items=1),
    plan("repeated"),
    plan("lost"),
    _world("lost, and ended", "lost", server=_ENDS),
    plan("listens"),
    _world("nameless errors", "listens", rules=_NAMELESS),
    plan("silent"),
    plan("strict"),
    _world("never truncated", "strict", rules={"truncate_margin_ms": 1_000}),
    _world("broken, one delta", "broken", deltas=1),
    _world("one call", "calls", requests=1, items=1),
    _world("hung up, not interrupted", "hung up", interrupts=0),
    _world("beside, one delta", "beside", deltas=1),
)
"""Worlds in order of size. Whatever dies at all dies here; the tests run these."""

LARGE: Final = (
    plan("superseded"),
    _world("hung up, one delta", "hung up", deltas=1),
    _world("calls, one item", "calls", interrupts=1, items=1, deadlines=0),
    plan("refused"),
)
"""More, so that what survives survives them too. Only the bounds of the largest worlds are smaller than shipped."""


class Shipped:
    """A world as the shipped tables make it: each step its session took, by the cells of the tables that fired."""

    def __init__(self, world: Plan) -> None:
        self.world = world
        built = make(world, openai.ADAPTER, twilio.ADAPTER)
        outcome = Search(built).run()
        if outcome.counterexample is not None or outcome.truncated:
            raise ValueError(f"{world.name}: the shipped tables do not hold: {outcome}")
        self.states = outcome.states
        self._session = built.session
        self._told = built.readings.told
        self._cells: dict[Cell, list[tuple[int, Input]]] = defaultdict(list)
        for key, step in self._session.steps.items():
            for cell in {row[:3] for row in step.rows}:
                self._cells[cell].append(key)

    def alike(self, variant: Variant) -> int | None:
        """In how many steps the mutant could do something else, if it does the same in all of them; None if not.

        By induction over a run, it then does the same in the whole world, and need not be searched.
        """
        steps = self._concerned(variant)
        for at, given in steps:
            known = self._session.steps[at, given]
            if not self._same(variant, at, given, known):
                return None
        return len(steps)

    def _concerned(self, variant: Variant) -> Sequence[tuple[int, Input]]:
        if variant.keys[0] == "states":
            _, state, _, event, _ = variant.keys
            return self._cells.get((variant.file.removesuffix(".yaml"), str(state), str(event)), ())
        steps = list(self._session.steps)
        if variant.kind == "error":
            code = variant.keys[1]
            steps = [step for step in steps if step[1].what == "from_server"]
            return [
                step for step in steps if any(m.status == code for m in self._told(step[1].about))
            ]
        return steps

    def _same(self, variant: Variant, at: int, given: Input, known: Step) -> bool:
        session = self._session.sessions[at].copy()
        session.provider, session.transport = variant.provider, variant.transport
        session.playout._adapter = variant.transport
        twin = UntimedSession(session)
        try:
            step = twin.step(0, given)
        except Exception:  # The search finds it, and says what it is.
            return False
        after, theirs = self._session.sessions[known.after], twin.sessions[step.after]
        return step.actions == known.actions and theirs.key() == after.key()


class Judged(Struct, frozen=True, kw_only=True):
    """What became of a mutant."""

    variant: Variant
    verdict: Verdict
    world: str = ""
    """Where it was killed."""
    number: str = ""
    worlds: tuple[str, ...] = ()
    """Where it does something else and is not killed."""
    steps: int = 0
    """Steps in which it could have done something else and did not."""


def judge(variant: Variant, worlds: Iterable[Shipped]) -> Judged:
    """Search world after world until a property breaks. A search that does not end is one that is not green."""
    steps, differs = 0, list[str]()
    for shipped in worlds:
        alike = shipped.alike(variant)
        if alike is not None:
            steps += alike
            continue
        name = shipped.world.name
        built = make(shipped.world, variant.provider, variant.transport)
        outcome = Search(built, max_states=4 * shipped.states + 2_000).run()
        found = outcome.counterexample
        if found is not None or outcome.truncated:
            number = found.number if found else "endless"
            return Judged(variant=variant, verdict="killed", world=name, number=number)
        differs.append(name)
    verdict: Verdict = "unnoticed" if differs else "same" if steps else "never"
    return Judged(variant=variant, verdict=verdict, worlds=tuple(differs), steps=steps)


# -- The page ---------------------------------------------------------------------------------------


def page(judged: Sequence[Judged], worlds: Sequence[Shipped]) -> str:
    """docs/mutation-score.md."""
    verdicts = Counter(each.verdict for each in judged)
    differ = verdicts["killed"] + verdicts["unnoticed"]
    score = (
        f"**{verdicts['killed']} of {len(judged)} are killed.** {differ} ever do something else than the "
        f"original: of these {verdicts['killed'] / differ:.1%}. Every survivor is listed below, with the reason why."
    )
    lines = [
        "# Mutation score",
        "",
        "What `bargein verify` would notice if the tables were wrong. Every small way in which an adapter could be",
        "another one (`tests/mutation.py`) is explored like the shipped one. Written by `python -m",
        "tests.mutation_score`; the tests run a sample, and the catalogue of real bugs (`tests/mutants.py`) whole.",
        "",
        score,
        "",
        *_table(("", "Mutants", ""), [(v, verdicts[v], says) for v, says in VERDICTS.items()]),
        "",
        "## By kind",
        "",
        *_by(judged, [(kind, f"{kind}: {says}") for kind, says in KINDS.items()], _kind),
        "",
        "## By machine",
        "",
        *_by(judged, [(name, name) for name in dict.fromkeys(map(_machine, judged))], _machine),
        "",
        "## By property",
        "",
        "Which property broke first.",
        "",
        *_table(
            ("Property", "Mutants"),
            _numbered(Counter(each.number for each in judged if each.number)),
        ),
        "",
        "## Worlds",
        "",
        "Smallest first; a mutant is searched in those in which it does something else, until it is killed. All are",
        "worlds of `bargein verify`, with smaller bounds or with one more fault of the server.",
        "",
        *_table(
            ("World", "States", "Killed"),
            [
                (each.world.name, each.states, sum(j.world == each.world.name for j in judged))
                for each in worlds
            ],
        ),
    ]
    for verdict in ("unnoticed", "same", "never"):
        lines += ["", f"## Survivors: {verdict}", "", VERDICTS[verdict]]
        lines += _survivors([each for each in judged if each.verdict == verdict])
    return "\n".join(lines) + "\n"


def _survivors(judged: Iterable[Judged]) -> list[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for each in judged:
        by_reason[reason(each.variant) or "NO REASON"].append(each.variant.name)
    lines = []
    for why, names in by_reason.items():
        lines += ["", why, "", *[f"* `{name}`" for name in names]]
    return lines


def _by(judged: Sequence[Judged], rows: Iterable[tuple[str, str]], of: Any) -> list[str]:  # noqa: ANN401
    counted = []
    for key, says in rows:
        verdicts = Counter(each.verdict for each in judged if of(each) == key)
        counted.append((says, verdicts.total(), *[verdicts[verdict] for verdict in VERDICTS]))
    return _table(("", "Mutants", *VERDICTS), counted)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def _kind(judged: Judged) -> str:
    return judged.variant.kind


def _machine(judged: Judged) -> str:
    return judged.variant.name.partition(".")[0]


def _numbered(found: Counter[str]) -> list[tuple[str, int]]:
    """I1, I2 and so on, then those without a number."""
    return sorted(found.items(), key=lambda row: (not row[0][1:].isdigit(), len(row[0]), row[0]))


# -- The command ------------------------------------------------------------------------------------


def faults(judged: Iterable[Judged]) -> list[str]:
    """Survivors without a reason, and reasons for what does not survive."""
    found = []
    for each in judged:
        why = reason(each.variant)
        if each.verdict != "killed" and why is None:
            found.append(f"{each.variant.name}: survives ({each.verdict}), and no reason is given")
        if each.verdict == "killed" and why is not None:
            found.append(f"{each.variant.name}: a reason is given, and {each.number} kills it")
    return found


def main(words: Sequence[str]) -> int:
    """Run the mutants that have one of `words` in their name, or all and then write the page."""
    began = time.perf_counter()
    worlds = [Shipped(world) for world in (*SMALL, *LARGE)]
    judged = []
    for variant in variants(openai.ADAPTER, twilio.ADAPTER):
        if not words or any(word in variant.name for word in words):
            judged.append(judge(variant, worlds))
            last = judged[-1]
            print(f"{last.verdict:9} {last.number:5} {variant.name}", *last.worlds, flush=True)
    if not words:
        PAGE.write_text(page(judged, worlds), encoding="utf-8")
    print(dict(Counter(each.verdict for each in judged)), f"{time.perf_counter() - began:.0f} s")
    wrong = faults(judged)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
