"""Reads from the tests which races they tell, and writes docs/races.md.

python -m tests.race_page
"""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from .races import CLASSES, RACES, Class, Race, told_by

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "races.md"

HEAD: Final = """\
# Races

Races that really happened, in public issue trackers, and what tells each of them here. A test that tells one is a
*Scene*: a call among models of the server, the carrier and the caller's ear, judged by what was heard and what is
remembered. Written by `python -m tests.race_page`; the catalogue is `tests/races.py`.

* **holds**: told, and it goes as it should. Where it *waits* as well, it is not yet told on the provider or transport
  it happened on.
* **waits for** somebody: nothing can be told before that provider or transport is there.
* **fails**: told, and it does not go as it should yet. The test is expected to fail, strictly, for the reason given.

A race may be counted in several columns.
"""


class Told(NamedTuple):
    """A test that tells a race. `fails`: why it is expected not to pass yet."""

    file: str
    name: str
    fails: tuple[str, ...]


Tests = Mapping[str, Sequence[Told]]
"""By number of the race, in the order of files and within them."""


# -- Collecting -------------------------------------------------------------------------------------


def collect() -> dict[str, list[Told]]:
    """What each race is told by, unknown numbers included."""
    found: dict[str, list[Told]] = {}
    for module in _modules():
        for name, test in vars(module).items():
            if name.startswith("test_"):
                for number in told_by(test):
                    told = Told(f"{_file(module)}.py", name, tuple(_reasons(module, test)))
                    found.setdefault(number, []).append(told)
    return found


def _modules() -> Iterator[ModuleType]:
    for path in sorted(HERE.glob("test_*.py")):
        if re.search(r"^@race\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield importlib.import_module(f"{__package__}.{path.stem}")


def _file(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _reasons(module: ModuleType, test: Any) -> Iterator[str]:  # noqa: ANN401
    """Of the expected failures: of the module, of the test, of single parameters."""
    of_module = getattr(module, "pytestmark", [])
    marks = [*(of_module if isinstance(of_module, list) else [of_module])]
    marks += getattr(test, "pytestmark", [])
    for mark in marks:
        if mark.name == "parametrize":
            sets = [each for each in mark.args[1] if hasattr(each, "marks")]
            marks += [inner for each in sets for inner in each.marks]
        elif mark.name == "xfail":
            yield mark.kwargs["reason"]


# -- The page ---------------------------------------------------------------------------------------


def page(tests: Tests) -> str:
    """docs/races.md."""
    lines = [HEAD, *_overview(tests)]
    for klass, meaning in CLASSES.items():
        lines += [
            "",
            f"## {klass}",
            "",
            meaning,
            "",
            *_table(klass, tests),
            "",
            *_list(klass, tests),
        ]
    if waiting := list(_waiting()):
        about = "By whom it waits for, and what a Scene there must show."
        lines += ["", "## What waits", "", about, "", *waiting]
    return "\n".join(lines) + "\n"


def state(race: Race, tests: Tests) -> str:
    """Of one race, in the words of the page."""
    told = tests.get(race.number, ())
    words = ["holds"] if any(not each.fails for each in told) else []
    if any(each.fails for each in told):
        words.append("fails in part" if words else "fails")
    if race.waits:
        words.append(f"waits for {', '.join(race.waits.providers)}")
    return "; ".join(words)


def _overview(tests: Tests) -> list[str]:
    counts = {klass: _counts(_of(klass), tests) for klass in CLASSES}
    rows = [[f"[{klass}](#{_anchor(klass)})", *counted] for klass, counted in counts.items()]
    rows.append(["all", *_counts(list(RACES.values()), tests)])
    return _rows(["Class", "Races", "hold", "fail", "wait"], rows)


def _counts(races: Sequence[Race], tests: Tests) -> list[object]:
    states = [state(race, tests) for race in races]
    return [len(races), *(sum(word in s for s in states) for word in ("holds", "fails", "waits"))]


def _table(klass: Class, tests: Tests) -> list[str]:
    rows = [
        [race.number, race.title, f"{race.provider} · {race.transport}", state(race, tests)]
        for race in _of(klass)
    ]
    return _rows(["Race", "What went wrong", "Where", "State"], rows)


def _list(klass: Class, tests: Tests) -> Iterator[str]:
    for race in _of(klass):
        for told in tests.get(race.number, ()):
            line = f"* {race.number} `{told.file}::{told.name}`"
            yield f"{line}, which fails: {'; '.join(told.fails)}." if told.fails else line


def _waiting() -> Iterator[str]:
    providers = dict.fromkeys(
        name for race in RACES.values() if race.waits for name in race.waits.providers
    )
    for name in providers:
        yield from ("", f"**{name}**", "")
        for race in RACES.values():
            if race.waits and name in race.waits.providers:
                yield f"* {race.number}: {race.waits.shows}"


def _of(klass: Class) -> list[Race]:
    return [race for race in RACES.values() if race.klass == klass]


def _anchor(heading: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _rows(head: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(collect()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
