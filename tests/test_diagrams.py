"""The drawings say what the tables say: read back with a parser of our own, and held to the files on disk."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bargein.diagrams.draw import check, draw, read, write
from bargein.diagrams.mermaid import Edge, Node, identifier, state_diagram, text
from bargein.diagrams.pages import MARK, machine_page
from bargein.diagrams.picture import picture
from bargein.statemachines.diagnostics import TableError
from bargein.statemachines.explain import Peer, UnknownName
from bargein.statemachines.loader import load_all
from bargein.statemachines.model import Machine, Provider, Row

ROOT = Path(__file__).resolve().parent.parent
TABLES = load_all()
PEERS: dict[str, Peer] = {**TABLES.providers, **TABLES.transports}
MACHINES = pytest.mark.parametrize("machine", TABLES.machines.values(), ids=TABLES.machines)

HOSTILE = [
    "a;b",
    "# c #59; &amp;",
    "x: y ::: z",
    "say \"hi\" 'there'",
    "a --> b",
    "direction LR, Direction\ttb and DIRECTION RL",
    "%%{init: {'theme': 'x'}}%% %% comment",
    "</div><script>alert(1)</script><br/>",
    "1. first",
    "12) twelfth",
    "- item",
    "*b* _em_ __x__ ~~s~~ a_b_c",
    '`code` "`md`"',
    "[l](http://x.y) www.example.com a@b.c",
    'state "x" as y {',
    "a sentence of many well-hyphenated barge-in words, and a_word_longer_than_any_line_of_a_state_may_be",
    "50% $$x^2$$ \\n \\\\",
    "ﬂ°°59¶ß ß °",
    "fa:fa-car",
    "style q fill:#f00; classDef x fill:#fff;",
    "line\nbreak\r\nand\u2028separator",
    "right\u202eto\u200bleft\x00\x1b[31m",
    "<<fork>> [[join]] [*]",
    'click a href "javascript:alert(1)"',
    "| a | b |",
    "```mermaid",
    "naïve “quotes” … → 日本語",
]

# What our own grammar of a diagram allows; Mermaid's is wider, and reads wrong text without complaint.
_WORDS = r"(?:[^;#:%\"{}<>\\`|$&*~^=@°¶ßﬂ\n]|#\d+;)+?"
_LABEL = rf"{_WORDS}(?:<br/>{_WORDS})*"
_ID = r"[a-z][a-z0-9_]*"
_LINES = {
    "head": re.compile(r"stateDiagram-v2"),
    "state": re.compile(rf'    state "({_WORDS})" as ({_ID})'),
    "sentence": re.compile(rf"    ({_ID}) : ({_LABEL})"),
    "start": re.compile(rf"    \[\*\] --> ({_ID})"),
    "edge": re.compile(rf"    ({_ID}) --> ({_ID}) : ({_LABEL})"),
    "style": re.compile(r"    classDef (\w+) stroke-[\w:, -]+"),
    "members": re.compile(rf"    class ({_ID}(?:,{_ID})*) (\w+)"),
    "blank": re.compile(r""),
}


class Read:
    """A diagram, read back."""

    def __init__(self, diagram: str) -> None:
        self.names: dict[str, str] = {}
        self.sentences: dict[str, str] = {}
        self.start = ""
        self.edges: list[tuple[str, str, str]] = []
        self.kinds: dict[str, str] = {}
        head, *lines = diagram.removesuffix("\n").split("\n")
        assert head == "stateDiagram-v2"
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        kind, match = next(
            (k, m) for k, pattern in _LINES.items() if (m := pattern.fullmatch(line)) is not None
        )
        if kind == "state":
            self.names[match[2]] = decoded(match[1])
        elif kind == "sentence":
            self.sentences[self.names[match[1]]] = decoded(match[2])
        elif kind == "start":
            self.start = self.names[match[1]]
        elif kind == "edge":
            edge = self.names[match[1]], self.names[match[2]], decoded(match[3])
            self.edges.append(edge)
        elif kind == "members":
            self.kinds |= dict.fromkeys((self.names[m] for m in match[1].split(",")), match[2])

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """(state, target, event, guard, what is done) of everything written on an arrow."""
        for source, target, label in self.edges:
            for row in re.split(r"(?:^| )• ", label) if "•" in label else [label]:
                if row:
                    head, _, doing = row.partition(" / ")
                    events, _, guard = head.removesuffix(" /").partition(" [")
                    for event in events.split(", "):
                        yield source, target, event, guard.removesuffix("]"), doing


def decoded(label: str) -> str:
    """A label's words, without the codes and breaks."""
    spaced = label.replace("<br/>", " ").replace("\u2007", " ")
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), spaced)


def told(words: str) -> str:
    """What must be left of any text: its words, and no character that cannot be seen."""
    return " ".join("".join(c for c in words if c.isprintable() or c.isspace()).split())


def declared(machine: Machine) -> Iterator[tuple[str, str, str, str, Row]]:
    """(state, target, event, guard, row) of every row that does something, straight from the table."""
    for state, event, rows in machine.cells():
        passed: list[str] = []
        for row in rows:
            guards = [*passed, *([row.if_] if row.if_ else [])]
            if row.go or row.do:
                yield state, row.go or state, event, " and ".join(guards), row
            passed += [f"not {row.if_}"] if row.if_ else []


@MACHINES
def test_every_row_that_does_something_is_on_an_arrow_and_no_arrow_is_without_a_row(
    machine: Machine,
) -> None:
    """That a diagram parses proves nothing; what was read back must be the table."""
    drawn = Read(picture(machine))
    rows = {(s, t, e, g, ", ".join(row.do or ())) for s, t, e, g, row in declared(machine)}
    found = list(drawn.rows())
    assert set(found) == rows
    assert len(found) == len(rows)
    assert list(drawn.names.values()) == list(machine.states)
    assert drawn.sentences == {name: told(s.is_) for name, s in machine.states.items()}
    assert drawn.start == machine.start
    assert len({(s, t) for s, t, _ in drawn.edges}) == len(drawn.edges)


@MACHINES
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_a_peers_picture_has_the_same_arrows_and_every_message_on_its_row(
    machine: Machine, peer: Peer
) -> None:
    """Nothing goes out that is not written on the arrow, and nothing is written that does not go out."""
    side = "provider" if isinstance(peer, Provider) else "transport"
    expected = set()
    for state, target, event, guard, row in declared(machine):
        said = []
        for action in row.do or ():
            if machine.actions[action].by == side:
                hooks = peer.hooks[f"{machine.machine}.{action}"]
                said += [f"{action} → nothing"] * (not hooks)
                for hook in hooks:
                    terms = [f"if {hook.if_}"] * bool(hook.if_)
                    terms += [f"unless {hook.unless}"] * bool(hook.unless)
                    terms += [f"after {hook.after}"] * bool(hook.after)
                    kind = peer.kind_of(peer.send[hook.send]) or hook.send
                    said += [f"{action} → {kind}", *([", ".join(terms)] if terms else [])]
        expected.add((state, target, event, guard, " ".join(said)))
    assert set(Read(picture(machine, peer)).rows()) == expected


def test_the_providers_picture_names_the_condition_of_a_cancel() -> None:
    """The reviewer sees on the arrow when the cancel stays unsaid."""
    drawn = Read(picture(TABLES.machines["response"], TABLES.providers["openai"]))
    label = next(words for s, t, words in drawn.edges if (s, t) == ("streaming", "cancelled"))
    assert "interrupt / cancel → response.cancel unless server_cancels" in label


def test_an_intent_without_a_message_is_drawn_as_nothing() -> None:
    """A provider that has no verb must not look like one whose hook was forgotten in the picture."""
    mute = msgspec.structs.replace(TABLES.providers["openai"], hooks={})
    drawn = Read(picture(TABLES.machines["response"], mute))
    assert any("interrupt / cancel → nothing" in label for _, _, label in drawn.edges)


def test_fenced_and_closed_states_have_borders_of_their_own() -> None:
    """What must stay unheard is seen at a glance."""
    response, playback = (Read(picture(TABLES.machines[m])) for m in ("response", "playback"))
    assert response.kinds == {"cancelled": "fenced", "timed_out": "fenced"}
    assert playback.kinds == {"partial": "closed"}  # The server may say late that more was heard.


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_stay_words(words: str) -> None:
    """Mermaid would make states, statements or markup of them."""
    nodes = [Node("one", words), Node("two", words, "fenced")]
    drawn = Read(
        state_diagram(
            "one", nodes, [Edge("one", "two", (words, "and")), Edge("two", "two", (words,))]
        )
    )
    assert drawn.names == {"one": "one", "two": "two"}
    assert drawn.sentences == {"one": told(words), "two": told(words)}
    assert drawn.edges == [("one", "two", f"{told(words)} and"), ("two", "two", told(words))]


def test_no_line_is_a_direction_statement() -> None:
    """Mermaid's lexer takes `direction LR` for a statement wherever it stands in a line."""
    assert not re.search(r"direction\s+(TB|BT|LR|RL)", text("Direction lr, direction TB"), re.I)


def test_words_of_mermaid_are_not_used_as_identifiers() -> None:
    """A state may be called `end` or `note`; its identifier may not, and no two may clash."""
    names = [
        "end",
        "note",
        "state",
        "default",
        "root",
        "root_start",
        "class",
        "end_",
        "note_",
        "ended",
    ]
    ids = [identifier(name) for name in names]
    assert len(set(ids)) == len(names)
    assert not set(ids) & set(names[:7])
    assert ids[-1] == "ended"
    with pytest.raises(ValueError, match="timed-out"):
        identifier("timed-out")


@MACHINES
def test_a_page_decides_every_cell_and_lists_what_is_ignored(machine: Machine) -> None:
    """The matrix is whole, and each nothing is there with its reason."""
    page = machine_page(machine, lambda table: "../x.yaml")
    every_cell = section(page, "Every cell")
    assert len(every_cell) == len(machine.states) + 2
    assert {len(cells(line)) for line in every_cell} == {len(machine.events) + 1}
    assert "?" not in "".join(every_cell)
    listed = {
        (state.strip("`"), event.strip(), why)
        for state, events, why in map(cells, section(page, "Where nothing happens")[2:])
        for event in events.split(",")
    }
    ignored = [row for _, _, rows in machine.cells() for row in rows if not row.go and not row.do]
    assert len(listed) == len(ignored)
    assert all(why for _, _, why in listed)


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_sentences_do_not_break_a_page(words: str) -> None:
    """A bar or a line feed in a sentence would move the cells of a table; a tag would vanish."""
    row = {"go": "off", "why": words}
    stay = {"do": [], "why": words, "see": f"https://x.y/{words}"}
    table = {
        "machine": "m",
        "is": words,
        "start": "on",
        "events": {"e": {"is": words}},
        "actions": {"a": {"by": "session", "is": words}},
        "states": {
            "on": {"is": words, "when": {"e": row}},
            "off": {"is": words, "when": {"e": stay}},
        },
    }
    page = machine_page(msgspec.convert(table, Machine), lambda table: "../x.yaml")
    assert page.count("```") == 2
    assert {len(cells(line)) for line in section(page, "Where nothing happens")} == {3}
    assert not re.search(r"(?<!\\)<(?!br)[a-z/]", page.partition("```\n")[2])


def test_the_drawings_in_the_repository_are_those_of_the_tables() -> None:
    """What is reviewed is what is run."""
    assert [f"{change}\n{change.diff}" for change in check(ROOT)] == []


def test_drawings_are_the_same_bytes_under_any_hash_seed() -> None:
    """A drawing that flaps would make the check worthless."""
    script = (
        "import sys; from pathlib import Path; from bargein.diagrams.draw import draw, read;"
        "root = Path(sys.argv[1]); sys.stdout.buffer.write(repr(draw(read(root), root / 'diagrams')).encode())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(ROOT)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert outputs == {repr(draw(read(ROOT), ROOT / "diagrams")).encode()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with one provider of their own."""
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "mine.yaml").write_text("provider: mine\nextends: openai\nis: A server of our own.\n")
    return tmp_path


def test_a_users_own_folder_is_drawn(project: Path) -> None:
    """A provider of one page needs nothing of this repository's layout."""
    written = write(project)
    assert {path.name for path in written} == {"mine.md", "response.md", "playback.md"}
    page = (project / "diagrams" / "mine.md").read_text("utf-8")
    assert page.startswith(MARK)
    assert "[providers/mine.yaml](../providers/mine.yaml)" in page
    assert str(project) not in page
    assert str(ROOT) not in page
    assert write(project) == []


def test_check_finds_stale_missing_and_superfluous_drawings_and_write_mends_them(
    project: Path,
) -> None:
    """A hand-written file beside the drawings is nobody's business."""
    write(project)
    folder = project / "diagrams"
    (folder / "gone.md").write_text(f"{MARK}gone.yaml. -->\n")
    (folder / "README.md").write_text("# By hand\n")
    (folder / "mine.md").write_text((folder / "mine.md").read_text("utf-8") + "edited\n", "utf-8")
    (folder / "response.md").unlink()
    found = {change.path.name: change for change in check(project)}
    assert {name: change.what for name, change in found.items()} == {
        "mine.md": "stale",
        "response.md": "missing",
        "gone.md": "superfluous",
    }
    assert "\n-edited\n" in found["mine.md"].diff
    assert set(write(project)) == {change.path for change in found.values()}
    assert check(project) == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "mine.md",
        "playback.md",
        "response.md",
    ]


def test_one_drawing_can_be_written_alone(project: Path) -> None:
    """`bargein diagram NAME` touches nothing else; a wrong name says which are right."""
    assert [path.name for path in write(project, ["mine"])] == ["mine.md"]
    assert [path.name for path in (project / "diagrams").iterdir()] == ["mine.md"]
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        write(project, ["mien"])


def test_broken_tables_are_not_drawn(project: Path) -> None:
    """A picture of a table that does not hold would be believed."""
    table = project / "providers" / "mine.yaml"
    table.write_text(
        table.read_text() + "hooks: {response.cancel: [{unless: sever_cancels, send: cancel}]}\n"
    )
    with pytest.raises(TableError, match="sever_cancels"):
        write(project)
    assert not (project / "diagrams").exists()


def section(page: str, title: str) -> list[str]:
    """The lines of the first table below a heading."""
    lines = page.partition(f"## {title}\n\n")[2].split("\n")
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]


def cells(line: str) -> list[str]:
    """The cells of a table's row as Markdown sees them."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]
