"""Markdown that GitHub and GitLab render, and that means nothing but its words."""

import re
from collections.abc import Iterable


def page(parts: Iterable[str]) -> str:
    """The parts, a blank line between each."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; nothing if it has no rows."""
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    if not lines:
        return ""
    return "".join([f"| {' | '.join(columns)} |\n", f"|{'---|' * len(columns)}\n", *lines])


def source(see: str | None) -> str:
    """` (source)`, linked if it is an address; nothing without one."""
    if see is None:
        return ""
    if re.fullmatch(r"https?://[^\s<>()|\\`\"]+", see):
        return f" ([source]({see}))"
    return f" ({cell(see)})"


def cell(text: str) -> str:
    """A sentence as Markdown that means nothing but its words, also within a table."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*\[\]<>|$~&])|(?<!\w)(_)|(_)(?!\w)", r"\\\1\2\3", line)
    return re.sub(r"^(\d*)([-+#=.)])", r"\1\\\2", line)


def code(text: str) -> str:
    """A code span that survives backticks and the bars of a table."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|')}{pad}{fence}"
