"""A counterexample as people read it: a Mermaid sequence diagram, a terminal table, and Markdown around both.

A step has the same number in all of them. As in `mermaid.py`, the diagram is emitted so strictly that what is drawn
is what was meant: Mermaid would cut a label at `;` or `#` and take the rest for statements.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .mermaid import text as escaped
from .story import (
    LANES,
    Change,
    Gap,
    Lane,
    Row,
    Run,
    Sight,
    Step,
    Story,
    counted,
    differs,
    folded,
    line,
    seen,
    shortened,
    span_of,
)

__all__ = ["LANES", "Change", "Lane", "Row", "Step", "Story", "markdown", "mermaid", "table"]

_ARROWS: Final = 40
_ENTRIES: Final = 150
"""So many steps are drawn, and so many listed in Markdown; of a longer story the middle is left out."""

# Of a diagram of more than 50,000 characters Mermaid draws nothing, and GitHub takes 65,536 in a comment.
_MAX_DIAGRAM: Final = 30_000
_MAX_PAGE: Final = 65_000

# Characters in a line of an arrow's label, of a note at a lane, and of a note across all lanes; lines in a note.
_LABEL: Final = 34
_NOTE: Final = 44
_WIDE: Final = 110
_NOTE_LINES: Final = 10

_FINDING: Final = 1000

# Seen through, in the light theme and in the dark one.
_RED: Final = "rgba(255, 0, 0, 0.15)"

_KEEP: Final = "\N{NO-BREAK SPACE}"


def mermaid(story: Story) -> str:
    """The text of a `sequenceDiagram` in six lanes; it ends in a line feed.

    A dashed arrow is sent and arrives in a later step, a cross is lost, the red box is the violation. What repeats is
    a loop. Of more than 40 arrows the middle is left out, and a note says which steps those are.
    """
    runs = folded(seen(story))
    return _fitting(lambda most: _drawn(story, shortened(runs, most)), _ARROWS, _MAX_DIAGRAM)


def table(story: Story, width_columns: int) -> RenderableType:
    """The terminal table, one row per step, for a console of that many columns (60 at least).

    The violation is ruled off and named in words, so it stands out without colour, too.
    """
    sights = seen(story)
    width = max(60, width_columns)
    number = len(str(len(sights)))
    who = 13 if width < 100 else 21
    rest = width - number - who - 8  # two columns stand between two cells
    what, change = rest * 7 // 20, rest * 6 // 20
    because = rest - what - change
    grid = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    grid.add_column("#", width=number, justify="right")
    grid.add_column("who", width=who, overflow="fold")
    grid.add_column("what", width=what, overflow="fold")
    grid.add_column("because", width=because, overflow="fold")
    grid.add_column("what differs", width=change, overflow="fold")
    root = _root(story)
    for sight in sights:
        if sight.violates:
            grid.add_section()
        mark = "VIOLATION: " if sight.violates else ""
        grid.add_row(
            str(sight.number),
            _who(sight),
            _cell([f"{mark}{_said(sight, sight.aside)}"], what),
            _cell(_because(sight.step, root), because),
            _cell(sight.changes, change),
            style="bold red" if sight.violates else "",
            end_section=sight.violates,
        )
    where = f"Rows are lines of the tables in {root}/. " if root else ""
    key = "⇢ is sent and arrives in a later step." if any(s.way == "sent" for s in sights) else ""
    said = [Text(line(story.title), "bold"), Text(line(story.finding, _FINDING))]
    return Group(*said, *([Text(where + key, "dim")] if where or key else []), Text(), grid)


def markdown(story: Story) -> str:
    """Title, finding, the diagram in a fence, and the steps with their places: fit for a pull request comment."""
    runs = folded(seen(story))
    head = [
        f"### {_prose(story.title)}",
        _prose(story.finding),
        f"```mermaid\n{mermaid(story)}```",
        "A dashed arrow is sent and arrives in a later step; a cross is lost; the red box is the violation.",
        f"<details><summary>The trace in {counted(len(story.steps), 'step')}</summary>",
    ]

    def page(most: int) -> str:
        steps = "\n".join(_list(shortened(runs, most)))
        return "\n\n".join([*head, *([steps] if steps else []), "</details>"]) + "\n"

    return _fitting(page, _ENTRIES, _MAX_PAGE)


def _fitting(written: Callable[[int], str], most: int, limit: int) -> str:
    """What is written with as many steps as fit, `most` at most."""
    while len(text := written(most)) > limit and most:
        most //= 2
    return text


# Mermaid.


def _drawn(story: Story, shown: Iterable[Run | Gap]) -> str:
    root = _root(story)
    out = ["sequenceDiagram", f"    title {escaped(line(story.title)) or '…'}"]
    out += [f"    participant {lane}" for lane in LANES]
    out.append("    autonumber")
    finding = _across(["VIOLATION", line(story.finding, _FINDING)])
    told, number = False, 1
    for part in shown:
        if isinstance(part, Gap):
            out.append(_across([f"… {part.words} …", *differs(part.changes)]))
            continue
        if part.first != number:
            out.append(f"    autonumber {part.first}")
        number = part.first + len(part.body)
        arrows = [drawn for sight in part.body for drawn in _arrow(sight, root)]
        if part.violates:
            out += _block(f"rect {_RED}", arrows if told else [*arrows, finding])
            told = True
        elif part.times > 1:
            span = span_of(range(part.first, part.last + 1))
            out += _block(f"loop {part.times} times, steps {span}", arrows)
        else:
            out += arrows
    return "\n".join(out if told else [*out, finding]) + "\n"


def _arrow(sight: Sight, root: str) -> Iterator[str]:
    """The arrow, and below it a note with the rows and one with what differs."""
    if sight.step.kind == "lost":
        head = "-x"
    elif sight.step.to is None:
        head = "->>"
    else:
        head = "--)" if sight.target == "wire" else "-)"
    to = f"to {sight.step.to}" if sight.target == "wire" else ""
    aside = ", ".join(part for part in (to, sight.aside) if part)
    yield f"    {sight.source}{head}{sight.target}: {_label([_said(sight, aside)], _LABEL)}"
    ends = sight.source, sight.target
    lane = "session" if "session" in ends else ends[sight.target != "wire"]
    for notes in _because(sight.step, root), sight.changes:
        if notes:
            yield f"    Note over {lane}: {_note(notes, _NOTE)}"


def _block(head: str, lines: Iterable[str]) -> list[str]:
    return [f"    {head}", *(f"    {inner}" for inner in lines), "    end"]


def _across(lines: list[str]) -> str:
    return f"    Note over {LANES[0]},{LANES[-1]}: {_note(lines, _WIDE)}"


def _note(lines: list[str], width: int) -> str:
    if len(lines) > _NOTE_LINES:
        shown = lines[: _NOTE_LINES - 1]
        lines = [*shown, f"and {len(lines) - len(shown)} more"]
    return _label(lines, width)


def _label(lines: Iterable[str], width: int) -> str:
    """Lines of a label, broken at that width and escaped; a label is never empty."""
    wrapped = [escaped(part) for words in lines for part in _wrapped(words, width)]
    return "<br/>".join(part for part in wrapped if part) or "…"


# Words.


def _said(sight: Sight, aside: str) -> str:
    words = line(sight.step.text) or "…"
    return f"{words} ({aside.replace(' ', _KEEP)})" if aside else words


def _who(sight: Sight) -> str:
    if sight.step.to is None:
        return sight.source
    if sight.target == "wire":
        return f"{sight.source} ⇢ {sight.step.to}"
    return f"{sight.source} → {sight.target}"


def _because(step: Step, root: str) -> list[str]:
    return [f"{line(row.place.removeprefix(f'{root}/'))} {line(row.text)}" for row in step.rows]


def _root(story: Story) -> str:
    """The folder that all places share, which need not be repeated."""
    folders = {posixpath.dirname(row.place) for step in story.steps for row in step.rows}
    if not folders or any(folder.startswith("/") or not folder for folder in folders):
        return ""
    return line(posixpath.commonpath(folders))


def _wrapped(words: str, width: int) -> list[str]:
    """Lines of at most that width; a word too long for one is broken after `.`, `_` or `/` if it has one."""
    lines = [""]
    for word in words.split(" "):
        space = " " if lines[-1] else ""
        if len(lines[-1] + space + word) <= width:
            lines[-1] += space + word
        elif len(word) <= width:
            lines.append(word)
        else:
            lines.append("")
            for piece in re.findall(rf"[^._/{_KEEP}]*[._/{_KEEP}]|[^._/{_KEEP}]+", word):
                if len(lines[-1] + piece) <= width:
                    lines[-1] += piece
                else:
                    lines += [piece[at : at + width] for at in range(0, len(piece), width)]
    return [part.replace(_KEEP, " ").strip() for part in lines if part]


def _cell(lines: Iterable[str], width: int) -> Text:
    return Text("\n".join(part for words in lines for part in _wrapped(words, width)))


# Markdown.


def _list(shown: Iterable[Run | Gap]) -> Iterator[str]:
    for part in shown:
        if isinstance(part, Gap):
            yield f"- {part.words}"
        elif part.times == 1:
            yield from _entry(part.body[0], f"**{part.first}** ")
        else:
            yield f"- **{span_of(range(part.first, part.last + 1))}**, {part.times} times:"
            yield from (f"  {inner}" for sight in part.body for inner in _entry(sight, ""))


def _entry(sight: Sight, number: str) -> Iterator[str]:
    mark = "**VIOLATION** " if sight.violates else ""
    aside = f" ({sight.aside})" if sight.aside else ""
    yield f"- {number}{mark}{_who(sight)}: {_code(sight.step.text)}{aside}"
    yield from (f"  - {_code(row.place)} {_prose(row.text)}" for row in sight.step.rows)
    yield from (f"  - {_prose(change)}" for change in sight.changes)


def _prose(words: str) -> str:
    """Markdown that means nothing but its words, and on GitHub neither calls anybody nor links an issue."""
    plain = re.sub(
        r"[\\`*\[\]<|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", line(words, _FINDING)
    )
    plain = re.sub(r"^(\d*)([-+=>#.)])", r"\1\\\2", plain)
    return re.sub(r"@|#(?=\d)", r"\g<0><!-- -->", plain) or "…"


def _code(words: str) -> str:
    """A code span that survives backticks."""
    plain = line(words) or "…"
    longest = max(map(len, re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {plain} {fence}" if longest else f"`{plain}`"
