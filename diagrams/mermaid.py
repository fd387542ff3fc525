"""Mermaid `stateDiagram-v2`, emitted so strictly that what is drawn is what was meant.

Mermaid reads wrong text without complaint: a `;` cuts a label and makes states of the rest, and a sentence that
contains "direction LR" turns the picture. So a state is written under an identifier, its words are a label, and
every character that means something to Mermaid, to its Markdown or to HTML is an entity code (`#59;` is `;`).
Edges have no style in this kind of diagram (https://github.com/mermaid-js/mermaid/issues/1352); none is attempted.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["open", "closed", "fenced"]
"""What a state's border says: alive; never left again; never left again, and nothing of it may be heard."""

# Borders only: fills chosen here would be unreadable in either the light or the dark theme.
_CLASSES: Final = {
    "closed": "stroke-width:3px",
    "fenced": "stroke-width:3px,stroke-dasharray:7 4",
}

# Words that Mermaid's lexer takes for itself at the start of a line, and the ids of its own nodes.
_OF_MERMAID: Final = """
    accdescr acctitle as class classdef click constructor default direction end fork hide href join note
    root root_end root_start scale state style
"""
_RESERVED: Final = frozenset(_OF_MERMAID.split())

KEEP: Final = "\u2007"
"""A space at which nothing is broken. Not U+00A0, of which Mermaid makes `&nbsp;` and without HTML shows that."""

# Characters in a line of an arrow's label, of a loop's (it stands beside its state), and of a state's sentence.
_ARROW: Final = 56
_LOOP: Final = 36
_SENTENCE: Final = 34

_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*")

# `ﬂ ° ¶ ß` are Mermaid's own placeholders for entity codes.
_SPECIAL: Final = re.compile(
    r"""["#;:%{}<>&\\`|$*~^=@°¶ßﬂ]"""
    r"|\](?=[(\[])"  # a Markdown link
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # Markdown emphasis; snake_case is left to be read
    r"|^[-+](?=\s)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)"  # a Markdown list
    r"|d(?=irection\s)"  # a statement, wherever it stands in a line
    r"|(?<=www)\.",  # a bare link
    re.IGNORECASE,
)


class Node(Struct, frozen=True):
    """A state of the picture: its name, the sentence that says what it is, and its border."""

    name: str
    sentence: str
    kind: Kind = "open"


class Edge(Struct, frozen=True):
    """An arrow from state to state (or back to the same) and the lines written on it."""

    source: str
    target: str
    lines: tuple[str, ...]


def text(words: str) -> str:
    """Any text as one line of a Mermaid label: white space becomes one space, control characters vanish."""
    plain = "".join(c for c in _blank(words) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", plain)


def identifier(name: str) -> str:
    """The Mermaid identifier of a state.

    :raises ValueError: if the name is not lower_case_with_underscores; the loader refuses such tables.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a Mermaid identifier; expected [a-z][a-z0-9_]*")
    # `end` is end_ and `end_` is end__: no two names share an identifier.
    return f"{name}_" if name.rstrip("_") in _RESERVED else name


def state_diagram(start: str, nodes: Iterable[Node], edges: Iterable[Edge]) -> str:
    """The text of a `stateDiagram-v2`, nodes and edges in the order given; it ends in a line feed."""
    nodes = list(nodes)
    out = ["stateDiagram-v2"]
    for node in nodes:
        id_ = identifier(node.name)
        out.append(f'    state "{text(node.name)}" as {id_}')
        if lines := _balanced(" ".join(node.sentence.split())):
            out.append(f"    {id_} : {'<br/>'.join(map(text, lines))}")
    out.append("")
    out.append(f"    [*] --> {identifier(start)}")
    for edge in edges:
        label = "<br/>".join(text(part) for line in edge.lines for part in _unbroken(edge, line))
        out.append(f"    {identifier(edge.source)} --> {identifier(edge.target)} : {label}")
    for kind, style in _CLASSES.items():
        if members := [identifier(node.name) for node in nodes if node.kind == kind]:
            out += ["", f"    classDef {kind} {style}", f"    class {','.join(members)} {kind}"]
    return "\n".join(out) + "\n"


def _balanced(sentence: str) -> list[str]:
    """The sentence in as few lines as possible, and these as even as possible."""
    lines = _wrapped(sentence, _SENTENCE)
    for width in range(_SENTENCE, 0, -1):
        narrower = _wrapped(sentence, width)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _unbroken(edge: Edge, line: str) -> list[str]:
    """A line of a label in parts that stay whole. Mermaid would break it at 200 px, and labels would collide."""
    width = _LOOP if edge.source == edge.target else _ARROW
    return [part.replace(" ", KEEP) for part in _wrapped(_blank(line), width)]


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)


def _blank(words: str) -> str:
    """White space as single spaces; no-break spaces stay."""
    return KEEP.join(" ".join(part.split()) for part in words.split(KEEP))
