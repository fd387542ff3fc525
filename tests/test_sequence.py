"""A counterexample is drawn as it happened: read back with a parser of our own, and with Mermaid's where it is."""

import io
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console

from bargein.diagrams.sequence import LANES, Change, Row, Step, Story, markdown, mermaid, table

ROOT = Path(__file__).resolve().parent.parent

SMALL = Story(
    "I5: Silence follows playback",
    "The clear was lost; the caller hears item_1 after the interrupt.",
    (
        Step("media item_1", "session", "carrier", arrives=False),
        Step(
            "interrupt (all)",
            "application",
            "session",
            rows=(
                Row("statemachines/response.yaml:104", "streaming, interrupt -> cancelled; clear"),
            ),
            changes=(Change("response req_1", "streaming", "cancelled"), Change("same", "x", "x")),
        ),
        Step("clear", "session", "carrier", kind="lost"),
        Step("response.cancel resp_1", "session", "server", arrives=False),
        Step("media item_1", "wire", "carrier"),
        Step("200 ms pass", "carrier", kind="act"),
        Step(
            "plays item_1",
            "carrier",
            "ear",
            kind="violation",
            changes=(Change("heard of item_1", "", "200 ms"),),
        ),
    ),
)

SMALL_DRAWN = """\
sequenceDiagram
    title I5#58; Silence follows playback
    participant application
    participant session
    participant wire
    participant server
    participant carrier
    participant ear
    autonumber
    session--)wire: media item_1 (to carrier)
    application-)session: interrupt (all)
    Note over session: response.yaml#58;104 streaming, interrupt -#62;<br/>cancelled#59; clear
    Note over session: response req_1#58; streaming → cancelled
    session-xcarrier: clear (lost)
    session--)wire: response.cancel resp_1<br/>(to server, still under way)
    wire-)carrier: media item_1 (sent in 1)
    carrier->>carrier: 200 ms pass
    rect rgba(255, 0, 0, 0.15)
        carrier-)ear: plays item_1
        Note over ear: heard of item_1#58; none → 200 ms
        Note over application,ear: VIOLATION<br/>The clear was lost#59; the caller hears item_1 after the interrupt.
    end
"""

SMALL_TABLE = """\
I5: Silence follows playback
The clear was lost; the caller hears item_1 after the interrupt.
Rows are lines of the tables in statemachines/. ⇢ is sent and arrives in a later
step.

#  who            what                  because                what differs
────────────────────────────────────────────────────────────────────────────────
1  session ⇢      media item_1
   carrier
2  application →  interrupt (all)       response.yaml:104      response req_1:
   session                              streaming, interrupt   streaming →
                                        -> cancelled; clear    cancelled
3  session →      clear (lost)
   carrier
4  session ⇢      response.cancel
   server         resp_1
                  (still under way)
5  wire →         media item_1
   carrier        (sent in 1)
6  carrier        200 ms pass
────────────────────────────────────────────────────────────────────────────────
7  carrier → ear  VIOLATION: plays                             heard of item_1:
                  item_1                                       none → 200 ms
"""

SMALL_LIST = """\
- **1** session ⇢ carrier: `media item_1`
- **2** application → session: `interrupt (all)`
  - `statemachines/response.yaml:104` streaming, interrupt -> cancelled; clear
  - response req_1: streaming → cancelled
- **3** session → carrier: `clear` (lost)
- **4** session ⇢ server: `response.cancel resp_1` (still under way)
- **5** wire → carrier: `media item_1` (sent in 1)
- **6** carrier: `200 ms pass`
- **7** **VIOLATION** carrier → ear: `plays item_1`
  - heard of item_1: none → 200 ms
"""

HOSTILE = [
    "a;b",
    "# c #59; &amp; #quot;",
    "x: y ::: z",
    "say \"hi\" 'there'",
    "a-->>b: c",
    "line\nend\nloop forever\r\nand\u2028rest",
    "end",
    "loop 3 times",
    "rect rgb(0,0,0)",
    "Note over ear: x",
    "wrap: nowrap:x",
    ":wrap:x",
    "participant x as y",
    "%%{init: {'theme': 'x'}}%% %% comment",
    "</div><script>alert(1)</script><br/>",
    "- item",
    "12) twelfth",
    "123. and",
    "> quoted",
    "=====",
    "*b* _em_ __x__ ~~s~~ a_b_c",
    '`code` ``` "`md`"',
    "[l](http://x.y) ![i](j) <http://x.y>",
    "@somebody #12 and # heading",
    "| a | b |",
    "$$x^2$$ \\n \\\\ \\",
    "[red]rich[/red] [/] :smile:",
    "ﬂ°°59¶ß ß °",
    "right\u202eto\u200bleft\x00\x1b[31m",
    "日本語 naïve “quotes” … → 🎧🏳️‍🌈",
    "通話中の割り込みで再生を止めた後も発話が続いて聞こえてしまうという反例を示す非常に長い一語",
    "accTitle: x",
    "a_word/that.is_longer_than.any_line.of_a/label.or_a.cell_may_be_and_goes.on",
    "",
]

_WORDS = r"(?:[^;#:%\"{}<>\\`|$&*~^=@°¶ßﬂ\n]|#\d+;)+?"
_LABEL = rf"({_WORDS}(?:<br/>{_WORDS})*)"
_LANE = f"({'|'.join(LANES)})"
_LINES = {
    "autonumber": re.compile(r"autonumber(?: (\d+))?"),
    "arrow": re.compile(rf"{_LANE}(-\)|--\)|-x|->>){_LANE}: {_LABEL}"),
    "note": re.compile(rf"Note over {_LANE}(?:,{_LANE})?: {_LABEL}"),
    "loop": re.compile(r"loop (\d+ times, steps \d+ to \d+)"),
    "rect": re.compile(r"rect (rgba\(255, 0, 0, 0\.15\))"),
    "end": re.compile(r"end"),
}


class Read(Struct):
    """A diagram, read back: what stands in it, line by line, and the number of each arrow."""

    title: str
    participants: list[str]
    lines: list[list[str]]
    numbers: list[int]

    @property
    def arrows(self) -> list[list[str]]:
        return [line[1:] for line in self.lines if line[0] == "arrow"]

    @property
    def notes(self) -> list[str]:
        return [line[-1] for line in self.lines if line[0] == "note"]

    def told(self) -> list[int]:
        """The numbers of all steps that are drawn, repeated or left out."""
        told: list[int] = []
        numbers = iter(self.numbers)
        inside = ""
        for kind, *words in self.lines:
            if kind == "arrow":
                number = next(numbers)
                told += [] if inside else [number]
            elif kind == "loop" or (kind == "note" and "left out" in words[-1]):
                first, last = re.search(r"\b(\d+)(?: to (\d+))?\)?(?: …|$)", words[-1]).groups()  # type: ignore[union-attr]
                told += range(int(first), int(last or first) + 1)
            if kind in ("loop", "end"):
                inside = kind if kind == "loop" else ""
        return told


def read(diagram: str) -> Read:
    head, title, *lines = diagram.removesuffix("\n").split("\n")
    assert head == "sequenceDiagram"
    named = re.fullmatch(rf"    title ({_WORDS})", title)
    assert named
    participants = [line.removeprefix("    participant ") for line in lines[: len(LANES)]]
    found = Read(decoded(named[1]), participants, [], [])
    number = 0
    for line in lines[len(LANES) :]:
        kind, match = next(
            (k, m) for k, pattern in _LINES.items() if (m := pattern.fullmatch(line.strip()))
        )
        words = [decoded(group) for group in match.groups("")]
        found.lines.append([kind, *words])
        if kind == "autonumber":
            number = int(words[0] or 1)
        if kind == "arrow":
            found.numbers.append(number)
            number += 1
    return found


def decoded(label: str) -> str:
    """A label's words, without the codes and breaks."""
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label.replace("<br/>", " "))


def told(words: str) -> str:
    """What must be left of any text: its words, and no character that cannot be seen."""
    return " ".join("".join(c for c in words if c.isprintable() or c.isspace()).split()) or "…"


def squeezed(words: str) -> str:
    """Words without white space: a long one may be broken anywhere."""
    return re.sub(r"\s", "", words)


def hostile(words: str) -> Story:
    """The same words wherever words may stand."""
    rows, changes = (Row(words, words),), (Change(words, words, f"{words}!"),)
    steps = (
        Step(words, "application", "session", rows=rows, changes=changes),
        Step(words, "session", "server", arrives=False),
        Step(words, "carrier", kind="act", rows=rows),
        Step(words, "carrier", "session", kind="lost"),
        Step(words, "carrier", "ear", kind="violation"),
    )
    return Story(words, words, steps)


def printed(story: Story, columns: int, options: Mapping[str, Any] = {}) -> str:
    out = io.StringIO()
    Console(file=out, width=columns, **options).print(table(story, columns))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def ticks(count: int, before: int = 0) -> tuple[Step, ...]:
    """The carrier plays 20 ms so many times."""
    return tuple(
        Step("plays 20 ms", "carrier", "ear", changes=(Change("heard", str(n), str(n + 1)),))
        for n in range(before, before + count)
    )


def different(count: int) -> tuple[Step, ...]:
    return tuple(Step(f"event {n}", "server", "session") for n in range(1, count + 1))


def test_the_small_story_is_drawn_so() -> None:
    """The picture itself, to be looked at when it changes."""
    assert mermaid(SMALL) == SMALL_DRAWN


def test_the_small_story_is_tabled_so() -> None:
    """80 columns; nothing is said in colour alone."""
    assert printed(SMALL, 80) == SMALL_TABLE


def test_the_markdown_holds_the_picture_and_every_step_with_its_place() -> None:
    """What a reviewer sees in a pull request."""
    page = markdown(SMALL)
    assert page.startswith(
        f"### {SMALL.title}\n\n{SMALL.finding}\n\n```mermaid\n{SMALL_DRAWN}```\n\n"
    )
    assert f"<details><summary>The trace in 7 steps</summary>\n\n{SMALL_LIST}\n</details>\n" in page


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_do_not_change_what_is_drawn(words: str) -> None:
    """Mermaid would make arrows, blocks, comments or markup of them."""
    drawn = read(mermaid(hostile(words)))
    said = squeezed(told(words))
    assert drawn.title == told(words)
    assert drawn.participants == list(LANES)
    assert [(s, head, t, squeezed(w)) for s, head, t, w in drawn.arrows] == [
        ("application", "-)", "session", said),
        ("session", "--)", "wire", f"{said}(toserver,stillunderway)"),
        ("carrier", "->>", "carrier", said),
        ("carrier", "-x", "session", f"{said}(lost)"),
        ("carrier", "-)", "ear", said),
    ]
    labels = re.findall(r"(?:-\)|-x|->>)\w+: (.*)", mermaid(hostile(words)))
    assert max(len(decoded(part)) for label in labels for part in label.split("<br/>")) <= 34
    assert [kind for kind, *_ in drawn.lines if kind in ("loop", "rect", "end")] == ["rect", "end"]
    assert squeezed(drawn.notes[-1]) == squeezed(f"VIOLATION{told(words) if words else ''}")


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_do_not_break_the_markdown(words: str) -> None:
    """No mention, no issue link, no tag, no list and no fence that is not ours; CommonMark's own parser judges."""
    tokens = MarkdownIt("commonmark").parse(markdown(hostile(words)))
    inline = [token for token in tokens if token.type == "inline"]
    heading = "".join(child.content for child in inline[0].children or () if child.type == "text")
    assert heading == told(words)
    fence = [token.content for token in tokens if token.type in ("fence", "code_block")]
    assert fence == [mermaid(hostile(words))]
    assert [token.content for token in tokens if token.type == "html_block"] == [
        "<details><summary>The trace in 5 steps</summary>\n",
        "</details>\n",
    ]
    assert [token.type for token in tokens].count("list_item_open") == 8
    parts = [child for token in inline for child in token.children or ()]
    assert {part.type for part in parts} <= {
        "text",
        "text_special",
        "code_inline",
        "html_inline",
        "strong_open",
        "strong_close",
    }
    assert {part.content for part in parts if part.type == "html_inline"} <= {"<!-- -->"}
    assert {part.content for part in parts if part.type == "code_inline"} == {told(words)}
    assert not any(re.search(r"@\w|#\d", part.content) for part in parts if part.type == "text")


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_of_the_table_is_wider_than_the_console(words: str, columns: int) -> None:
    """A line that wraps by itself tears the columns apart. Wide characters take two columns."""
    lines = printed(hostile(words), columns).splitlines()
    assert max(map(cell_len, lines)) <= columns
    shown = Counter("".join(lines))
    said = Counter(
        squeezed(told(words))
    )  # title, finding, 5 steps, 2 rows, 1 change of three words
    assert not words or all(shown[char] >= 12 * count for char, count in said.items())
    assert not any(set(line) & set("\x1b\x00\u202e\u200b") for line in lines)


@pytest.mark.parametrize("options", [{"no_color": True}, {"_environ": {"TERM": "dumb"}}, {}])
def test_the_violation_stands_out_without_colour(options: dict[str, Any]) -> None:
    """Terminals of CI, `NO_COLOR`, and eyes that do not tell red from green."""
    story = Story(SMALL.title, SMALL.finding, (*SMALL.steps, *ticks(1)))
    lines = printed(story, 80, options).splitlines()
    (at,) = (n for n, line in enumerate(lines) if "VIOLATION" in line)
    assert set(lines[at - 1]) == set(lines[-2]) == {"─"}


def test_equal_steps_are_a_loop_and_what_they_changed_is_summed_up() -> None:
    """Ten frames of audio are one arrow; the numbers after them still are those of the table."""
    story = Story("t", "f", (*different(1), *ticks(10), *different(1)))
    drawn = read(mermaid(story))
    assert [words for *_, words in drawn.arrows] == ["event 1", "plays 20 ms", "event 1"]
    assert drawn.numbers == [1, 2, 12]
    assert ["loop", "10 times, steps 2 to 11"] in drawn.lines
    assert drawn.notes[0] == "heard: 0 → 10"
    assert (
        "- **2 to 11**, 10 times:\n  - carrier → ear: `plays 20 ms`\n    - heard: 0 → 10\n"
        in markdown(story)
    )


def test_a_step_that_changes_something_else_is_no_repetition() -> None:
    """The first delta of a response moves its state; the loop of the others must not say so."""
    moves = Change("response", "created", "streaming")
    first, *others = ticks(4)
    first = Step(first.text, first.at, first.to, changes=(*first.changes, moves))
    drawn = read(mermaid(Story("t", "f", (first, *others))))
    assert drawn.notes[:2] == ["heard: 0 → 1 response: created → streaming", "heard: 1 → 4"]
    assert ["loop", "3 times, steps 2 to 4"] in drawn.lines


def test_groups_that_repeat_are_a_loop_and_say_when_each_was_sent() -> None:
    """Sent and arrived, sent and arrived: two arrows, however often."""
    pair = (
        Step("delta", "server", "session", arrives=False),
        Step("delta", "wire", "session"),
    )
    drawn = read(mermaid(Story("t", "f", pair * 4)))
    assert [words for *_, words in drawn.arrows] == [
        "delta (to session)",
        "delta (sent in 1, 3, 5, 7)",
    ]
    assert ["loop", "4 times, steps 1 to 8"] in drawn.lines
    assert "(sent in 1, 3, …, 99)" in mermaid(Story("t", "f", pair * 50))


def test_violations_and_what_is_still_under_way_are_not_folded_away() -> None:
    """They are what the reader looks for."""
    sent = Step("delta", "server", "session", arrives=False)
    steps = (sent, sent, sent, Step("delta", "wire", "session"))
    bad = Step("bad", "ear", kind="violation")
    drawn = read(mermaid(Story("t", "f", (*steps, bad, bad, bad))))
    assert [words.partition("(")[0] for *_, words in drawn.arrows].count("bad") == 3
    assert [words for *_, words in drawn.arrows[:4]] == [
        "delta (to session)",
        "delta (to session, still under way)",
        "delta (to session, still under way)",
        "delta (sent in 1)",
    ]
    assert drawn.notes == ["VIOLATION f"]


def test_what_arrives_is_the_oldest_equal_message_and_may_be_lost_on_the_way() -> None:
    """Links are queues; an actor's name at the arrival is as good as the wire's."""
    send = Step("m", "session", "server", arrives=False)
    steps = (send, send, Step("m", "session", "server"), Step("m", "wire", "server", kind="lost"))
    drawn = read(mermaid(Story("t", "f", steps)))
    assert drawn.arrows[2:] == [
        ["wire", "-)", "server", "m (sent in 1)"],
        ["wire", "-x", "server", "m (sent in 2, lost)"],
    ]


def test_of_a_long_story_the_middle_is_left_out_and_the_first_violation_stays() -> None:
    """A picture of a hundred arrows is looked at by nobody."""
    bad = Step("bad", "ear", kind="violation")
    drawn = read(mermaid(Story("t", "f", (*different(60), bad, *different(60)))))
    assert len(drawn.arrows) == 40
    assert drawn.numbers == [*range(1, 14), 61, *range(96, 122)]
    assert [note for note in drawn.notes if "left out" in note] == [
        "… 47 steps left out (14 to 60) …",
        "… 34 steps left out (62 to 95) …",
    ]


def test_what_is_left_out_says_what_it_changed() -> None:
    """Or the reader would find things changed that nothing on the page has changed."""
    steps = tuple(
        Step(f"event {n}", "server", "session", changes=(Change("count", str(n), str(n + 1)),))
        for n in range(100)
    )
    drawn = read(mermaid(Story("t", "f", steps)))
    assert "… 60 steps left out (14 to 73) … count: 13 → 73" in drawn.notes


def test_a_diagram_is_never_too_long_for_mermaid_nor_a_page_for_a_comment() -> None:
    """Of more than 50,000 characters Mermaid draws nothing at all, and GitHub takes no comment of 65,537."""
    words = "; # <" * 100
    rows = (Row("a.yaml:1", words),) * 30
    changes = tuple(Change(f"{n}{words}", "", words) for n in range(30))
    long = Step(words, "server", "session", rows=rows, changes=changes)
    steps = tuple(Step(f"{n} {words}", "server", "session", rows=rows) for n in range(200))
    for story in Story(words, words * 9, (*steps, long)), Story("t", "f", different(5000)):
        assert len(mermaid(story)) < 50_000
        assert len(markdown(story)) <= 65_536
    worded = tuple(
        Step(f"{n} {'word ' * 40}", "server", "session", rows=rows[:2]) for n in range(140)
    )
    assert 20_000 < len(markdown(Story("t", "f", worded))) <= 65_536


def test_a_finding_without_a_violating_step_is_told_at_the_end() -> None:
    """What never happens has no step."""
    drawn = read(mermaid(Story("I12", "It never ends.", different(1))))
    assert drawn.lines[-1] == ["note", "application", "ear", "VIOLATION It never ends."]
    assert read(mermaid(Story("I12", "It never ends.", ()))).arrows == []
    assert "The trace in 0 steps" in markdown(Story("I12", "It never ends.", ()))


_steps = st.builds(
    Step,
    text=st.sampled_from(["a", "b", *HOSTILE]),
    at=st.sampled_from(LANES),
    to=st.none() | st.sampled_from(LANES),
    kind=st.sampled_from(["message", "message", "act", "lost", "violation"]),
    arrives=st.booleans(),
    changes=st.lists(
        st.builds(Change, st.sampled_from("xyz"), st.sampled_from("123"), st.sampled_from("123"))
    ).map(tuple),
)
_stories = st.lists(
    st.lists(_steps, max_size=4).flatmap(lambda g: st.integers(1, 12).map(lambda n: g * n)),
    max_size=12,
).map(lambda groups: Story("t", "f", tuple(step for group in groups for step in group)))


@given(_stories)
@settings(max_examples=50, deadline=None)
def test_every_step_is_told_once_and_in_its_order(story: Story) -> None:
    """Folded or left out, no step vanishes, and each arrow has the lanes and words of the step of its number."""
    drawn = read(mermaid(story))
    assert drawn.told() == list(range(1, len(story.steps) + 1))
    assert len(drawn.arrows) <= 40
    for number, (source, _, target, words) in zip(drawn.numbers, drawn.arrows, strict=True):
        step = story.steps[number - 1]
        assert squeezed(words).startswith(squeezed(told(step.text)))
        assert source in (step.at, "wire")
        assert target in (step.to or step.at, "wire")
    tabled = re.findall(r"^ *(\d+)  \S", printed(story, 120), re.MULTILINE)
    assert list(map(int, tabled)) == drawn.told()


_NODE = """
import purify from 'dompurify'; import mermaid from 'mermaid'; import fs from 'fs';
// Purification needs a browser's DOM; what is read back here is the grammar.
Object.assign(purify, {addHook: () => {}, sanitize: words => words});
const read = [];
for (const diagram of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    await mermaid.parse(diagram);
    const {db} = await mermaid.mermaidAPI.getDiagramFromText(diagram);
    const kinds = Object.fromEntries(Object.entries(db.LINETYPE).map(([kind, code]) => [code, kind]));
    const lines = db.getMessages().map(m => [kinds[m.type], m.from, m.to, m.message]);
    read.push([db.getDiagramTitle(), [...db.getActorKeys()], lines]);
}
console.log(JSON.stringify(read));
"""
_KINDS = {"SOLID_POINT": "-)", "DOTTED_POINT": "--)", "SOLID_CROSS": "-x", "SOLID": "->>"}


def test_mermaid_itself_reads_what_we_read() -> None:
    """Our reader could share our mistakes. Set BARGEIN_MERMAID to a folder in which `npm install mermaid` was run."""
    home = Path(os.environ.get("BARGEIN_MERMAID", ROOT))
    node = shutil.which("node")
    if node is None or not (home / "node_modules" / "mermaid").is_dir():
        pytest.skip("needs Node, and the npm package mermaid in $BARGEIN_MERMAID/node_modules")
    stories = [SMALL, *map(hostile, HOSTILE), Story("t", "f", (*different(60), *ticks(9)))]
    diagrams = [mermaid(story) for story in stories]
    done = subprocess.run(
        [node, "--input-type=module", "--eval", _NODE],
        input=json.dumps(diagrams),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for diagram, (title, actors, lines) in zip(diagrams, json.loads(done.stdout), strict=True):
        ours = read(diagram)
        assert coded(title) == ours.title
        assert actors == ours.participants
        assert [by_mermaid(*line) for line in lines] == ours.lines


def by_mermaid(
    kind: str, source: str | None, target: str | None, message: str | dict[str, int] | None
) -> list[str]:
    """A line as Mermaid has read it, in the words of our reader."""
    if kind == "AUTONUMBER":
        assert isinstance(message, dict)
        return ["autonumber", str(message.get("start", ""))]
    block, _, edge = kind.partition("_")
    if edge == "END":
        return ["end"]
    assert isinstance(message, str)
    if kind in _KINDS:
        return ["arrow", source or "", _KINDS[kind], target or "", coded(message)]
    if kind == "NOTE":
        return ["note", source or "", (target or "") if target != source else "", coded(message)]
    return [block.lower(), coded(message)]


def coded(words: str) -> str:
    """Mermaid's own placeholders for our entity codes, resolved."""
    return decoded(re.sub(r"ﬂ°°(\d+)¶ß", r"#\1;", words))
