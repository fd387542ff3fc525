"""The corpus is whole: every race is told by a test or waits for somebody, and docs/races.md says so."""

import re
from collections import Counter
from pathlib import Path

import pytest

from .mutants import MUTANTS, REFUSED
from .race_page import PAGE, Told, collect, main, page, state
from .races import CLASSES, RACES, Class, Race, Waits

TESTS = collect()

SIZES: dict[Class, int] = {
    "UNBORN": 8,
    "MISTARGET": 8,
    "GEN≠HEARD": 7,
    "OFFSET": 8,
    "MULTI": 4,
    "ZOMBIE": 5,
    "ORDER": 3,
    "AUTHORITY": 5,
    "ERR-ROUTE": 5,
    "LIMBO": 7,
    "TOOL-DEBT": 4,
    "REVERSAL": 3,
    "LEDGER": 4,
}
"""facts/races.md section 12: 71 in all."""


def test_the_page_says_what_the_tests_say() -> None:
    """If not: `python -m tests.race_page`."""
    assert PAGE.read_text(encoding="utf-8") == page(TESTS)


def test_no_race_of_the_corpus_is_missing() -> None:
    assert Counter(race.klass for race in RACES.values()) == SIZES
    assert list(RACES) == sorted(RACES)
    assert all(re.fullmatch(r"R\d\d", number) for number in RACES)


def test_the_page_has_one_row_for_each_race() -> None:
    rows = re.findall(r"^\| (R\d\d) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(RACES)


@pytest.mark.parametrize("number", RACES)
def test_a_race_is_told_or_waits_for_somebody(number: str) -> None:
    race = RACES[number]
    assert TESTS.get(number) or race.waits
    assert race.title and not race.title.endswith(".")
    assert race.waits is None or race.waits.shows.endswith(".")


def test_no_test_tells_a_race_that_is_not_in_the_corpus() -> None:
    assert TESTS.keys() - RACES.keys() == set()
    assert {
        race for mutant in (*MUTANTS, *REFUSED) for race in mutant.races
    } - RACES.keys() == set()


def test_a_test_that_names_a_race_tells_it() -> None:
    """A name is read by people, the mark by the page; they must not disagree."""
    for path in sorted(Path(__file__).parent.glob("test_races_*.py")):
        for name in re.findall(r"^def (test_r\d\d_\w+)", path.read_text("utf-8"), re.MULTILINE):
            number = name[5:8].upper()
            assert name in [told.name for told in TESTS.get(number, [])], f"{path.name}::{name}"


def test_an_expected_failure_says_which_race_it_fails() -> None:
    failing = [(n, told) for n, tests in TESTS.items() for told in tests if told.fails]
    assert failing
    for number, told in failing:
        assert all(reason.startswith(f"{number}: ") for reason in told.fails), told


def test_a_class_means_something() -> None:
    assert all(meaning.endswith(".") for meaning in CLASSES.values())


@pytest.mark.parametrize(
    ("fails", "waits", "words"),
    [
        ([False], False, "holds"),
        ([False], True, "holds; waits for Nobody"),
        ([False, True], False, "holds; fails in part"),
        ([True], True, "fails; waits for Nobody"),
        ([], True, "waits for Nobody"),
    ],
)
def test_the_state_of_a_race_follows_from_its_tests(
    fails: list[bool], waits: bool, words: str
) -> None:
    race = Race("R00", "ORDER", "", "", "", Waits(("Nobody",), "") if waits else None)
    tests = [Told("", "", ("R00: so it is",) * each) for each in fails]
    assert state(race, {"R00": tests}) == words


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.race_page.PAGE", tmp_path / "races.md")
    assert main() == 0
    assert (tmp_path / "races.md").read_text(encoding="utf-8") == page(TESTS)


def test_what_waits_has_a_section_where_something_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "## What waits" not in page(TESTS)
    waits = RACES["R29"]._replace(waits=Waits(("Nobody",), "That it is told."))
    monkeypatch.setitem(RACES, "R29", waits)
    assert "## What waits" in page(TESTS)
    assert "**Nobody**\n\n* R29: That it is told.\n" in page(TESTS)
