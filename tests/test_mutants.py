"""`bargein verify` catches every bug of the catalogue, by the invariant that names it and with a telling trace."""

from pathlib import Path
from typing import Final

import pytest

from bargein import adapters as shipped
from bargein.codegen.loaded import adapters
from bargein.simulator.rerun import plan, walkable
from bargein.simulator.verify import search
from bargein.simulator.worlds import Plan

from .mutants import MUTANTS, Mutant, apply, fits, told

SMALL: Final[dict[str, dict[str, int]]] = {
    "calls": {"requests": 1, "items": 1},
    "refused": {"requests": 1},
    "hung up": {"interrupts": 0},
    "broken": {"deltas": 1},
}
"""Bounds of worlds that take seconds to search to their end; none of the bugs needs more."""


def world_of(mutant: Mutant) -> Plan:
    return plan(mutant.world, **SMALL.get(mutant.world, {}))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_search_finds_the_bug_and_names_it(mutant: Mutant, tmp_path: Path) -> None:
    """By an invariant that a person would name too, with a shortest trace that tells what the bug is made of."""
    provider, transport = adapters(apply(mutant, tmp_path), "openai", "twilio")
    found = search(world_of(mutant), provider.ADAPTER, transport.ADAPTER).outcome.counterexample
    assert found is not None, f"{mutant.name} survives"
    assert found.number in mutant.invariants, found.finding
    world = walkable(world_of(mutant), provider.ADAPTER, transport.ADAPTER)
    words = told(world, found.moves)
    assert fits(mutant.shape, words), " ".join(words)


@pytest.mark.parametrize("name", sorted({mutant.world for mutant in MUTANTS}))
def test_the_shipped_tables_hold_where_the_mutants_do_not(name: str) -> None:
    """A search that finds fault with everything would catch every mutant too."""
    outcome = search(
        plan(name, **SMALL.get(name, {})), shipped.provider("openai"), shipped.transport("twilio")
    ).outcome
    assert outcome.counterexample is None
    assert not outcome.truncated
