"""A sample of the mechanical mutants dies as the page says, and what survives has its reason in writing.

All of them take minutes: `python -m tests.mutation_score`.
"""

import re
from typing import Final

import pytest

from bargein.adapters import openai, twilio

from .mutation import KINDS, Variant, variants
from .mutation_score import PAGE, SMALL, Shipped, faults, judge
from .survivors import REASONS, reason

EVERY: Final = 12
VARIANTS: Final = list(variants(openai.ADAPTER, twilio.ADAPTER))
SAMPLE: Final = VARIANTS[::EVERY]


@pytest.fixture(scope="module")
def worlds() -> list[Shipped]:
    """Searching them holds the shipped tables to the same properties."""
    return [Shipped(world) for world in SMALL]


@pytest.mark.parametrize("variant", SAMPLE, ids=lambda variant: variant.name)
def test_a_mutant_dies_unless_there_is_a_reason_why_it_survives(
    variant: Variant, worlds: list[Shipped]
) -> None:
    """A reason for what dies would be wrong too."""
    assert faults([judge(variant, worlds)]) == []


def test_the_sample_has_mutants_of_most_kinds_and_some_of_either_fate() -> None:
    assert len({variant.kind for variant in SAMPLE}) > len(KINDS) / 2
    assert 0.5 < sum(reason(variant) is None for variant in SAMPLE) / len(SAMPLE) < 0.9


def test_every_reason_is_some_survivors() -> None:
    named = [REASONS.get(key) for key in REASONS]
    given = {reason(variant) for variant in VARIANTS}
    assert set(named) <= given
    for key in REASONS:
        head, _, how = key.partition(": ")
        assert any(
            v.name.startswith(head) or (head == "*" and v.name.endswith(f": {how}"))
            for v in VARIANTS
        ), key


def test_the_page_lists_every_survivor_and_no_other() -> None:
    listed = re.findall(r"^\* `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(variant.name for variant in VARIANTS if reason(variant))
    assert "NO REASON" not in PAGE.read_text(encoding="utf-8")
