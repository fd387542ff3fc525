"""A counterexample as a test that people keep: red while the bug is there, green when it is gone."""

import textwrap
from typing import Any, Final

from msgspec.structs import asdict

from bargein.codegen.render import format_python
from bargein.diagrams.story import Story, seen
from bargein.simulator.explorer import Counterexample
from bargein.simulator.properties import PROPERTIES
from bargein.simulator.worlds import Plan

_WIDTH: Final = 96

_TEXT: Final = '''\
"""{title}

{finding}

Found by `bargein verify`. The moves below are made again with the adapters that bargein ships, or
with those that the tables in the folder BARGEIN_TABLES would become. When the bug is gone, things
go another way, and a move may not be possible any more: then the path is closed, which is right.
Wherever the moves lead, what can still happen without anybody's asking is searched too, and must
be right as well.

What happened when this was written:

{story}
"""

import os
from pathlib import Path

from bargein import adapters
from bargein.codegen.loaded import adapters as from_tables
from bargein.runtime.adapter import ProviderAdapter, TransportAdapter
from bargein.simulator.rerun import plan, rerun

WORLD = plan(
    {world!r},
    ({provider!r}, {transport!r}),
    {bounds},
)

MOVES = (
    {moves},
)


def adapters_under_test() -> tuple[ProviderAdapter, TransportAdapter]:
    folder = os.environ.get("BARGEIN_TABLES")
    if folder is None:
        return adapters.provider({provider!r}), adapters.transport({transport!r})
    provider, transport = from_tables(Path(folder), {provider!r}, {transport!r})
    return provider.ADAPTER, transport.ADAPTER


def {name}() -> None:
    """{says}"""
    ending = rerun(WORLD, MOVES, *adapters_under_test(){engine})
    assert ending.broken is None, f"after {{ending.made}} moves: {{ending.broken}}"
'''


def regression(
    found: Counterexample, plan: Plan, provider: str, transport: str, story: Story, engine: str
) -> str:
    """The text of a pytest file that makes the moves of a counterexample again."""
    broken = PROPERTIES[found.number]
    words = "".join(c if c.isalnum() else " " for c in f"{found.number} {broken.name}").lower()
    bounds = asdict(plan.limits) | {"items": plan.items, "deltas": plan.deltas}
    text = _TEXT.format(
        title=_wrapped(f"{story.title}."),
        finding=_wrapped(story.finding),
        story=_told(story),
        world=plan.name,
        bounds=", ".join(f"{name}={int(value)}" for name, value in bounds.items()),
        moves=",\n    ".join(_move(move) for move in found.moves),
        provider=provider,
        transport=transport,
        name=f"test_{'_'.join(words.split())}",
        says="\n    ".join(textwrap.wrap(_plain(broken.says), _WIDTH)),
        engine="" if engine == "table" else f", engine={engine!r}",
    )
    return format_python({"regression.py": text})["regression.py"]


def _move(move: tuple[Any, ...]) -> str:
    return repr(tuple([(act.what, _literal(act.about)) for act in move]))


def _literal(value: Any) -> Any:  # noqa: ANN401  whatever a model's choices are made of
    return tuple(map(_literal, value)) if isinstance(value, tuple) else value


def _told(story: Story) -> str:
    lines: list[str] = []
    for sight in seen(story):
        way = f"{sight.source} -> {sight.target}" if sight.step.to else sight.source
        aside = f" ({sight.aside})" if sight.aside else ""
        mark = "VIOLATION: " if sight.violates else ""
        head = _plain(f"{sight.number:4}. {mark}{way}: {sight.step.text}{aside}")
        lines += textwrap.wrap(head, _WIDTH, subsequent_indent="      ")
        for change in sight.changes:
            lines += textwrap.wrap(_plain(change), _WIDTH - 8, initial_indent="        ")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(_plain(text), _WIDTH))


def _plain(text: str) -> str:
    """Text that a docstring holds as it is."""
    return text.replace("\\", "/").replace('"', "'").replace("→", "->")
