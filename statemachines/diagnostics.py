"""What is wrong with a table, said like a good compiler: place, stable code, sentence, and a way out."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, NamedTuple

CODES: Final[dict[str, str]] = {
    # The file and its YAML.
    "E001": "A table cannot be read: it is missing, not a file, not UTF-8, or no tables are there.",
    "E002": "The text is not YAML.",
    "E003": "The file is empty, is not a mapping at its top level, or holds several documents.",
    "E004": "A key stands twice in one mapping.",
    "E005": "An unquoted value means different things in YAML 1.1 and 1.2.",
    "E006": "Anchors, aliases, merge keys and tags are not used in tables.",
    "E007": "The file is not the kind of table that belongs here.",
    "E009": "The name in the table is not the name of its file.",
    # The shape of a table.
    "E010": "A key is unknown.",
    "E011": "A key is missing.",
    "E012": "An event is unknown.",
    "E013": "A value has the wrong type.",
    "E014": "A value does not have the required form or range.",
    "E015": "A value is not one of those allowed.",
    "E016": "Two tables of one kind have the same name.",
    "E017": "`extends` names a table that is not there.",
    "E018": "Tables extend each other in a circle.",
    "E019": "A null deletes a key that the extended table does not have.",
    # Machines.
    "E020": "A state is unknown.",
    "E021": "An action is unknown.",
    "E022": "A guard is unknown.",
    "E023": "A state does not decide every event.",
    "E024": "A state decides an event twice.",
    "E025": "A state cannot be reached from the start.",
    "E026": "A shared machine does not have exactly the states prescribed.",
    "E027": "A shared machine is missing.",
    "E028": "Nothing is done about an event, and no `why` says so.",
    "E029": "A row says neither `go` nor `do`.",
    "E030": "A cell has no last row without a guard.",
    "E031": "A row is dead: a row without a guard stands before it.",
    "E032": "A guard is used twice in one cell.",
    "E033": "An event is declared and never decided.",
    "E034": "An action is declared and never done.",
    "E035": "A guard is declared and never asked.",
    "E036": "An action has no hook in the vocabulary, so no table can speak it.",
    # Providers and transports.
    "E040": "A hook names no action of a machine and no hook of the session.",
    "E041": "A hook is missing.",
    "E042": "A hook belongs to another side.",
    "E043": "A hook sends a message that is not declared.",
    "E044": "A message is declared and no hook sends it.",
    "E045": "A `$variable` is unknown, or does not stand alone.",
    "E046": "A hook does not offer the `$variable` that its message uses.",
    "E047": "`if` and `unless` stand together in one hook.",
    "E048": "A path into a message is badly spelled.",
    "E049": "A field is unknown to the event.",
    "E050": "A field that the event needs is missing.",
    "E051": "One message becomes the same event twice, or no event at all.",
    "E052": "A capability is unknown.",
    "E053": "A capability cannot have this value.",
    "E054": "A capability is missing.",
    "E055": "A timeout is unknown.",
    "E056": "A timeout is missing.",
    "E057": "A capability and the rest of the table contradict each other.",
    "E058": "No message becomes an event that is needed.",
    "E059": "The grammar can say this, and no runtime carries it out yet.",
    "E060": "A condition or constant of a `receive` row cannot be what it is.",
    "E061": "The guard speaks of something that the hook has nothing to do with.",
    "E062": "A limit of the carrier is unknown.",
    "E063": "A path into a message is read in two ways that exclude each other.",
    "E064": "`wire.tag` is said and no kind of message has a row.",
    "E065": "`after` stands at a hook that waits for nothing.",
    # Warnings: the table means what it should.
    "W001": "A table lacks the editor's modeline, or its schema is not there.",
}
"""Every code a check can print, with its meaning. Codes are stable: none is ever used for something else."""

_TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|[\w.$*&!/-]+|\S")
_WIDTH = 110


class Place(NamedTuple):
    """Where something stands: lines and columns count from 1."""

    file: str
    line: int = 1
    col: int = 1

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}:{self.col}"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding. `hint`, if there is one, says how to mend it."""

    file: str
    line: int
    col: int
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"
    hint: str | None = None

    @classmethod
    def at(cls, place: Place, code: str, message: str, hint: str | None = None) -> "Diagnostic":
        """The finding `code`, one of `CODES`, at `place`."""
        assert code in CODES, code
        return cls(*place, code, message, "warning" if code[0] == "W" else "error", hint)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.file, self.line, self.col)

    def __str__(self) -> str:
        return f"{self.place} {self.code} {self.message}"


class TableError(Exception):
    """Tables have errors; `diagnostics` are all of them, in the order of their places."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tidy(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))


def tidy(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Each finding once, sorted by place. Two tables that extend a third find its errors twice."""
    return sorted(set(diagnostics), key=lambda d: (d.place, d.code, d.message))


def shown(file: str) -> str:
    """The file as a reader here would name it: relative when it is below the current directory."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file


def closest(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant, or None."""
    plain = {k.lower().replace("_", "").replace("-", ""): k for k in known}
    bare = word.lower().replace("_", "").replace("-", "")
    near = [plain[bare]] if bare in plain else get_close_matches(word, sorted(known), n=1)
    return near[0] if near else None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of an error message: the probable word, or the choice when it is short."""
    if (near := closest(word, known)) is not None:
        return f"; did you mean '{near}'?"
    if 0 < len(known) <= 10:
        return f"; expected {listed(sorted(known), 'or')}"
    return ""


def listed(words: Sequence[str], last: str = "and") -> str:
    """`'a', 'b' and 'c'`."""
    quoted = [f"'{word}'" for word in words]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def render(diagnostics: Iterable[Diagnostic], *, source: bool = True) -> str:
    """All findings as text, each (with `source`) under its line and a caret, and its hint."""
    lines: dict[str, list[str]] = {}
    blocks = []
    for d in diagnostics:
        block = [str(d)]
        if source:
            block += _excerpt(d, lines.setdefault(d.file, _lines(d.file)))
        if d.hint:
            block.append(f"  hint: {d.hint}")
        blocks.append("\n".join(block))
    return "\n".join(blocks)


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`3 errors in 2 files`, or `no errors`."""
    if not diagnostics:
        return "no errors"
    counts = Counter(d.severity for d in diagnostics)
    files = len({d.file for d in diagnostics})
    words = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in sorted(counts.items())]
    return f"{', '.join(words)} in {files} file{'s' * (files > 1)}"


def to_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, str | int | None]]:
    """The findings for machines, one flat object each."""
    return [
        {
            "file": shown(d.file),
            "line": d.line,
            "col": d.col,
            "code": d.code,
            "severity": d.severity,
            "message": d.message,
            "hint": d.hint,
        }
        for d in diagnostics
    ]


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text("utf-8-sig", errors="replace").splitlines()
    except (OSError, ValueError):
        return []


def _excerpt(d: Diagnostic, lines: list[str]) -> list[str]:
    """The line of the finding and a caret below; a long line is cut around it."""
    if not 0 < d.line <= len(lines) or not (text := lines[d.line - 1].replace("\t", " ")).strip():
        return []
    at = min(d.col - 1, len(text))
    token = _TOKEN.match(text, at)
    width = len(token[0]) if token else 1
    start = max(0, min(at - 30, len(text) - _WIDTH))
    before, after = "…" * (start > 0), "…" * (len(text) > start + _WIDTH)
    width = max(1, min(width, start + _WIDTH - at))
    number = f"{d.line:5} | "
    gutter = " " * (len(number) - 2) + "| "
    return [
        f"{number}{before}{text[start : start + _WIDTH]}{after}",
        f"{gutter}{' ' * (len(before) + at - start)}{'^' * width}",
    ]
