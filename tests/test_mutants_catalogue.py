"""The mutants are worth running: each is another table, each seed bug is there, and none is there twice."""

import re
from collections.abc import Hashable
from pathlib import Path

import pytest

from bargein.adapters import openai, twilio
from bargein.codegen.loaded import adapters
from bargein.runtime.adapter import Answer, AudioFormat, Connect
from bargein.runtime.machine import Machine
from bargein.simulator.worlds import PLANS
from bargein.statemachines.checks import check_paths
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import Table

from .mutants import (
    CLASSES,
    INVARIANTS,
    MUTANTS,
    NOT_A_TABLE,
    REFUSED,
    WORDS,
    Mutant,
    Patch,
    Refused,
    apply,
    fits,
)
from .mutation import KINDS, Variant, variants

SEEDS = {f"R{number:02}" for number in range(1, 24)}
VARIANTS = list(variants(openai.ADAPTER, twilio.ADAPTER))


def named(each: Mutant | Refused) -> str:
    return each.name


# -- The catalogue ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_a_mutant_is_a_table_that_passes_and_means_something_else(
    mutant: Mutant, tmp_path: Path
) -> None:
    """`check` finds no fault with it, it loads, and the digest of what it means is another."""
    folder = apply(mutant, tmp_path)
    assert check_paths([folder]) == []
    provider, transport = (module.ADAPTER for module in adapters(folder, "openai", "twilio"))
    changed = {patch.file for patch in mutant.patches}
    speaks = any(not file.startswith("transports/") for file in changed)
    assert (provider.digest != openai.ADAPTER.digest) == speaks
    assert (transport.digest != twilio.ADAPTER.digest) == ("transports/twilio.yaml" in changed)


@pytest.mark.parametrize("mutant", REFUSED, ids=named)
def test_a_bug_that_the_check_knows_does_not_get_as_far_as_a_mutant(
    mutant: Refused, tmp_path: Path
) -> None:
    with pytest.raises(TableError) as caught:
        adapters(apply(mutant, tmp_path), "openai", "twilio")
    assert mutant.code in {finding.code for finding in caught.value.diagnostics}


def test_every_bug_of_the_five_seed_threads_is_accounted_for() -> None:
    """By a mutant, or by a reason why no table could bring it back; never by both."""
    brought_back = {race for mutant in MUTANTS for race in mutant.races}
    assert brought_back | NOT_A_TABLE.keys() >= SEEDS
    assert brought_back & NOT_A_TABLE.keys() == set()
    assert len(brought_back - SEEDS) >= 10


def test_every_class_of_race_has_a_mutant() -> None:
    assert {mutant.klass for mutant in MUTANTS} == set(CLASSES)


def test_mutants_are_written_in_the_words_of_the_catalogue() -> None:
    words = {word for group in WORDS.values() for word in group}
    worlds = {plan.name for plan in PLANS}
    for mutant in MUTANTS:
        assert mutant.invariants and mutant.invariants <= set(INVARIANTS), mutant.name
        shape = {word for wanted in mutant.shape for word in wanted.split("|")}
        assert shape and shape <= words, mutant.name
        assert mutant.world in worlds, mutant.name
        assert mutant.why.endswith("."), mutant.name
    for each in (*MUTANTS, *REFUSED):
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", each.name), each.name
        assert each.races and all(re.fullmatch(r"R\d\d", race) for race in each.races), each.name
    assert all(NOT_A_TABLE.values())


def test_no_mutant_is_there_twice() -> None:
    everything = (*MUTANTS, *REFUSED)
    assert len({each.name for each in everything}) == len(everything)
    assert len({frozenset(each.patches) for each in everything}) == len(everything)


def test_a_patch_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    """A table that moved on must not turn a mutant into the original."""
    gone = Refused("gone", ("R01",), (Patch("response.yaml", "no such text", ""),), "", "")
    with pytest.raises(ValueError, match=r"gone: 0 times in response\.yaml"):
        apply(gone, tmp_path / "a")
    often = Refused("often", ("R01",), (Patch("response.yaml", "go: cancelled", ""),), "", "")
    with pytest.raises(ValueError, match=r"often: \d\d? times in response\.yaml"):
        apply(often, tmp_path / "b")


@pytest.mark.parametrize(
    ("told", "fit"),
    [
        ("request create interrupt created cancel done", True),
        ("speech_started created created cancel", True),
        ("created request create interrupt", False),
        ("request interrupt create cancel", False),
        ("", False),
    ],
)
def test_a_trace_fits_a_shape_whose_words_it_has_in_order(told: str, fit: bool) -> None:
    """One word of the trace stands for one of the shape."""
    assert fits(("interrupt|created", "created", "cancel"), told.split()) is fit


# -- The mechanical mutants -------------------------------------------------------------------------


def test_all_variants_differ_from_the_original_and_from_each_other() -> None:
    original = meaning(VARIANTS[0]._replace(provider=openai.ADAPTER, transport=twilio.ADAPTER))
    meanings = {meaning(variant) for variant in VARIANTS}
    assert original not in meanings
    assert len(meanings) == len(VARIANTS)
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)


def test_the_variants_are_the_same_every_time_and_of_every_kind() -> None:
    again = list(variants(openai.ADAPTER, twilio.ADAPTER))
    assert [(v.name, meaning(v)) for v in again] == [(v.name, meaning(v)) for v in VARIANTS]
    assert {variant.kind for variant in VARIANTS} == set(KINDS)


def test_no_row_hook_or_rule_escapes() -> None:
    """Counted from the adapters: each row is changed, each action dropped, each hook silenced."""
    by_name = {variant.name: variant for variant in VARIANTS}
    for machine in (openai.ADAPTER.response, openai.ADAPTER.playback):
        for state, events in machine.cells.items():
            for event, rows in events.items():
                for row in rows:
                    guard = f"[{row.guard or 'otherwise'}]" if len(rows) > 1 else ""
                    place = f"{machine.name}.{state}.{event}{guard}"
                    ways = {name for name in by_name if name.startswith(f"{place}: ")}
                    assert {f"{place}: drop {action}" for action in row.do} <= ways
                    moves = {f"{place}: go {other}" for other in machine.cells}
                    moves -= {f"{place}: go {state}", f"{place}: go {row.go}"}
                    assert moves <= ways
                    if row.guard is not None:
                        assert f"{place}: forget the row" in ways
    assert sum(v.kind == "silent" for v in VARIANTS) == 9
    assert sum(v.kind == "error" for v in VARIANTS) == len(openai.ADAPTER.errors)
    assert by_name["response.streaming.interrupt: drop cancel"].provider.response.cells[
        "streaming"
    ]["interrupt"][0].do == ("clear", "cut", "resolve_interrupted")


def test_every_variant_names_the_place_in_the_tables_that_it_changes() -> None:
    """A survivor is justified in writing, so its row must be findable."""
    tables = load_all()
    by_file: dict[str, Table] = {f"{name}.yaml": each for name, each in tables.machines.items()}
    by_file["providers/openai.yaml"] = tables.providers["openai"]
    by_file["transports/twilio.yaml"] = tables.transports["twilio"]
    for variant in VARIANTS:
        table = by_file[variant.file]
        whole = tables.where(table, *variant.keys[:-1])
        assert tables.where(table, *variant.keys).line >= whole.line > 1
        assert tables.where(table, *variant.keys).file.endswith(variant.file)


def test_the_original_is_left_as_it_was() -> None:
    """Variants share what they do not change, so a change in place would spoil all that come after it."""
    provider, _ = adapters(None, "openai", "twilio")
    assert openai.ADAPTER.response == provider.ADAPTER.response
    assert openai.ADAPTER.playback == provider.ADAPTER.playback
    assert openai.ADAPTER.errors == provider.ADAPTER.errors


def meaning(variant: Variant) -> tuple[Hashable, ...]:
    """All that is in a variant, comparable: functions by identity."""
    return tuple(
        hashable(getattr(adapter, field))
        for adapter in (variant.provider, variant.transport)
        for field in adapter.__struct_fields__
    )


def hashable(value: object) -> Hashable:
    match value:
        case Machine():
            return (value.name, value.start, hashable(value.cells))
        case dict():
            return tuple((key, hashable(inner)) for key, inner in value.items())
        case AudioFormat() | Connect() | Answer():
            return repr(value)
        case _:
            assert isinstance(value, Hashable)
            return value
